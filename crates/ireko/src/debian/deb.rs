//! One package of the archive, in the cache.

use crate::failure::Failure;
use ireko_deb::index::Stanza;
use ireko_deb::package::{Package, PackageError};
use ireko_deb::relation;
use ireko_deb::release::Listed;
use ireko_report::Blame;
use std::path::{Path, PathBuf};

/// A package of the archive, in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Deb {
    pub(crate) name: String,
    pub(crate) architecture: String,
    pub(crate) version: String,
    pub(crate) path: PathBuf,
    /// Its paragraph of the list.
    pub(crate) stanza: String,
    /// Where it was taken from.
    pub(crate) address: String,
    /// Its size and its hash.
    pub(crate) listed: Listed,
}

impl Deb {
    /// Whether its name, version and architecture are made of what Debian's policy allows (5.6.1, 5.6.8, 5.6.12): they
    /// become names of files and words of a script.
    pub(crate) fn is_well_named(&self) -> bool {
        let is_of = |text: &str, more: &[u8]| {
            text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || more.contains(&byte))
        };
        is_of(&self.name, b"+-.") && is_of(&self.version, b".+~:-") && is_of(&self.architecture, b"-")
    }

    /// Opens its file, which has to be the package that the list names: dpkg would go by what the file says.
    pub(crate) fn open(&self) -> Result<Package, Failure> {
        self.open_at(&self.path)
    }

    /// The same where the file lies somewhere else.
    pub(crate) fn open_at(&self, path: &Path) -> Result<Package, Failure> {
        let title = format!("package `{}` {} ({})", self.name, self.version, self.architecture);
        let package = Package::open(path).map_err(|error| match error {
            PackageError::Malformed { problem, .. } => {
                Failure::environment(format!("cannot use {title}: it is no Debian package")).cause(problem)
            }
            other => Failure::of(Blame::Environment, &other),
        })?;
        if let Some([name, version, architecture]) = self.another(&package) {
            return Err(Failure::environment(format!(
                "cannot use {title}: the file that the list names says that it is `{name}` {version} ({architecture})"
            ))
            .hint("the archive is at fault: use another mirror or another version"));
        }
        Ok(package)
    }

    /// The name, version and architecture that a package says of itself, where it is another than this.
    pub(crate) fn another(&self, package: &Package) -> Option<[String; 3]> {
        let control = package.control();
        let control = Stanza::new(&control);
        let said = ["Package", "Version", "Architecture"].map(|field| control.get(field).unwrap_or_default());
        (said != [&*self.name, &*self.version, &*self.architecture]).then(|| said.map(str::to_owned))
    }

    /// The names in these fields of relations, of all alternatives.
    pub(crate) fn needs(&self, fields: &[&str]) -> Vec<String> {
        relation::names_of(&self.stanza, fields)
    }
}
