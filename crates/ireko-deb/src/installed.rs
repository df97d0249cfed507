//! What dpkg notes of the packages of a root: `/var/lib/dpkg/status`, and the files of `status.d` where there is no dpkg.

use crate::control::{self, Malformed};

/// A package that is there.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Installed {
    /// Its name.
    pub name: String,
    /// Its architecture, which may be `all`.
    pub architecture: String,
    /// Its version.
    pub version: String,
}

/// The packages of a text. What was removed and left its configuration is not there; files of `status.d` say nothing of
/// a state.
///
/// # Errors
/// It is no control file.
pub fn installed(text: &str) -> Result<Vec<Installed>, Malformed> {
    let mut found = Vec::new();
    for paragraph in control::paragraphs(text) {
        let paragraph = paragraph?;
        let is_there = paragraph.get("Status").is_none_or(|status| {
            !["not-installed", "config-files"].contains(&status.split_whitespace().last().unwrap_or_default())
        });
        let field = |name| paragraph.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let (Some(name), Some(version)) = (field("Package"), field("Version")) else { continue };
        if is_there {
            let architecture = field("Architecture").unwrap_or_default();
            found.push(Installed { name, architecture, version });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there() {
        let text = "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: amd64\n\n\
                    Package: b\nStatus: deinstall ok config-files\nVersion: 1\n\n\
                    Package: c\nVersion: 2:1-1\nArchitecture: all\nDescription: c\n of c\n\n\
                    Package: d\nStatus: hold ok half-configured\nVersion: 3\n\nPackage: e\nStatus: purge ok not-installed\n";
        let shown: Vec<String> = installed(text)
            .expect("a control file")
            .iter()
            .map(|one| format!("{} {} {}", one.name, one.architecture, one.version))
            .collect();
        assert_eq!(shown, ["a amd64 1", "c all 2:1-1", "d  3"]);
        assert_eq!(installed("<html>").expect_err("none").line, 1);
    }
}
