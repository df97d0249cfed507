//! What tells scanners of packages that no dpkg installed: `/var/lib/dpkg/status.d`, as distroless images have it.
//!
//! Of each package a file with its name and its control paragraph, and one with `.md5sums` behind it that lists its
//! files, both as they are in the package.

use std::collections::BTreeSet;

use ireko_deb::installed::STATUS_DIR;
use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};

use crate::error::Error;
use crate::packages::Named;
use crate::pieces::with_parents;

/// What is kept of a package.
pub(crate) struct Record {
    name: String,
    control: Vec<u8>,
    sums: Option<Vec<u8>>,
}

impl Record {
    /// The record of a package of which these files are there.
    pub(crate) fn of(named: &Named, files: &[Change]) -> Self {
        let package = &named.package;
        let control = package.control_file("control").map(|file| file.bytes.clone()).unwrap_or_default();
        let paths: BTreeSet<&[u8]> = files.iter().map(|change| change.path.as_bytes()).collect();
        let sums = package.control_file("md5sums").map(|file| {
            let lines = file.bytes.split_inclusive(|byte| *byte == b'\n');
            let is_there = |line: &&[u8]| {
                let line = line.strip_suffix(b"\n").unwrap_or(line);
                let gap = line.windows(2).position(|two| two == b"  ");
                gap.is_some_and(|at| paths.contains(&line[at + 2..]))
            };
            lines.filter(is_there).collect::<Vec<_>>().concat()
        });
        Self { name: named.name.clone(), control, sums: sums.filter(|sums| !sums.is_empty()) }
    }

    pub(crate) fn changes(self, time: Time) -> Result<Vec<Change>, Error> {
        let mut changes = Vec::new();
        let dir = TreePath::new(STATUS_DIR)?;
        let mut file = |name: &str, bytes: Vec<u8>| -> Result<(), Error> {
            let kind = ChangeKind::File(Data::memory(bytes));
            changes.push(Change::new(dir.join(name)?, Meta::new(0o644, time), kind));
            Ok(())
        };
        file(&self.name, self.control)?;
        if let Some(sums) = self.sums {
            file(&format!("{}.md5sums", self.name), sums)?;
        }
        Ok(with_parents(changes, time))
    }
}
