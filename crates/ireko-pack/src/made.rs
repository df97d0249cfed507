//! What is made here in place of maintainer scripts that are left out ([`crate::scripts()`]).

use ireko_layer::{Change, ChangeKind, Data, Meta, Time, TreePath};

use crate::error::Error;
use crate::packages::Named;

/// Where the certificates of authorities lie, one a file.
const AUTHORITIES: &str = "usr/share/ca-certificates";

/// The files that a package's scripts would have made and that would be missed.
pub(crate) fn made(named: &Named, changes: &[Change], time: Time) -> Result<Vec<Change>, Error> {
    let mut made = Vec::new();
    let mut put = |path: &str, mode: u32, kind: ChangeKind| -> Result<(), Error> {
        made.push(Change::new(TreePath::new(path)?, Meta::new(mode, time), kind));
        Ok(())
    };
    let file = |text: &str| ChangeKind::File(Data::memory(text.as_bytes().to_vec()));
    let link = |target: &str| ChangeKind::Symlink { target: target.as_bytes().to_vec() };
    match named.name.as_str() {
        "tzdata" => {
            put("etc/localtime", 0o777, link("/usr/share/zoneinfo/Etc/UTC"))?;
            put("etc/timezone", 0o644, file("Etc/UTC\n"))?;
        }
        "ca-certificates" => {
            let bundle = ChangeKind::File(Data::memory(bundle(changes)?));
            put("etc/ssl/certs/ca-certificates.crt", 0o644, bundle)?;
            // OpenSSL's own names for it; the hashed ones beside it are for whoever reads no bundle.
            put("usr/lib/ssl/cert.pem", 0o777, link("/etc/ssl/certs/ca-certificates.crt"))?;
        }
        "libc-bin" | "readline-common" => {
            let (from, to) = match named.name.as_str() {
                "libc-bin" => ("usr/share/libc-bin/nsswitch.conf", "etc/nsswitch.conf"),
                _ => ("usr/share/readline/inputrc", "etc/inputrc"),
            };
            if let Some(change) = changes.iter().find(|change| change.path.as_bytes() == from.as_bytes()) {
                put(to, 0o644, change.kind.clone())?;
            }
        }
        name => {
            // The package has a link to it.
            let version = name.strip_prefix("lib").unwrap_or(name).strip_suffix("-minimal");
            if let Some(python) = version.filter(|name| name.starts_with("python3.")) {
                let place = format!("etc/{python}/sitecustomize.py");
                let text = "# Empty sitecustomize.py to avoid a dangling symlink\n";
                if !changes.iter().any(|change| change.path.as_bytes() == place.as_bytes()) {
                    put(&place, 0o644, file(text))?;
                }
            }
        }
    }
    Ok(made)
}

/// All certificates in one file, as update-ca-certificates(8) joins them: by name, each with a line's end.
fn bundle(changes: &[Change]) -> Result<Vec<u8>, Error> {
    let mut bundle = Vec::new();
    let dir = TreePath::new(AUTHORITIES)?;
    let mut found: Vec<&Change> = changes
        .iter()
        .filter(|change| change.path.is_within(&dir) && change.path.as_bytes().ends_with(b".crt"))
        .collect();
    found.sort_by(|one, other| one.path.as_bytes().cmp(other.path.as_bytes()));
    for change in found {
        let ChangeKind::File(data) = &change.kind else { continue };
        bundle.extend(data.read(&change.path)?);
        if bundle.last().is_some_and(|byte| *byte != b'\n') {
            bundle.push(b'\n');
        }
    }
    Ok(bundle)
}
