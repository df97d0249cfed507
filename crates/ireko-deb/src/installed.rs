//! What dpkg notes of the packages of a root: `/var/lib/dpkg/status`, and the files of `status.d` where there is no dpkg.

use crate::control::{self, Malformed, Paragraph};

/// Where dpkg keeps its list in a root.
pub const STATUS: &str = "var/lib/dpkg/status";
/// Where images without dpkg keep a list for each package, as Google's distroless began it.
pub const STATUS_DIR: &str = "var/lib/dpkg/status.d";

/// States of a package whose files are there (dpkg-query(1)). Of one that is `half-installed` some may be, of one
/// version or of another.
const THERE: [&str; 5] = ["installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"];

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

/// Whether the file at this path in a root is a list of packages.
pub fn is_list(path: &str) -> bool {
    let below = path.strip_prefix(STATUS_DIR).and_then(|rest| rest.strip_prefix('/'));
    path == STATUS || below.is_some_and(|name| !name.ends_with(".md5sums"))
}

/// What a list says of the packages that are there. One that was removed and left its configuration is not; files of
/// `status.d` say nothing of a state.
///
/// # Errors
/// It is no control file.
pub fn there(text: &str) -> Result<Vec<Paragraph<'_>>, Malformed> {
    let is_there = |paragraph: &Paragraph<'_>| {
        let state = paragraph.get("Status").map(|status| status.split_ascii_whitespace().last());
        let is_named = paragraph.get("Package").is_some_and(|name| !name.is_empty());
        is_named && state.is_none_or(|state| THERE.contains(&state.unwrap_or_default()))
    };
    let paragraphs = control::paragraphs(text);
    paragraphs.filter(|paragraph| paragraph.as_ref().map_or(true, is_there)).collect()
}

/// The packages of a list that are there and have a version.
///
/// # Errors
/// It is no control file.
pub fn installed(text: &str) -> Result<Vec<Installed>, Malformed> {
    let package = |paragraph: &Paragraph<'_>| {
        let field = |name| paragraph.get(name).unwrap_or_default().to_owned();
        Installed { name: field("Package"), architecture: field("Architecture"), version: field("Version") }
    };
    let all = there(text)?;
    Ok(all.iter().map(package).filter(|package| !package.version.is_empty()).collect())
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

    #[test]
    fn states_in_which_the_files_are_there() {
        let is_there = |state: &str| {
            let text = format!("Package: a\nVersion: 1\nStatus: {state}\n");
            installed(&text).expect("a control file").len() == 1
        };
        let present = ["installed", "unpacked", "half-configured", "triggers-awaited", "triggers-pending"];
        assert!(present.iter().all(|state| is_there(&format!("install ok {state}"))));
        assert!(is_there("deinstall reinstreq installed"));
        let absent = ["not-installed", "config-files", "half-installed"];
        assert!(!absent.iter().any(|state| is_there(&format!("install reinstreq {state}"))));
        assert!(!is_there(""));
    }

    #[test]
    fn where_lists_lie() {
        for path in ["var/lib/dpkg/status", "var/lib/dpkg/status.d/libc6"] {
            assert!(is_list(path), "{path}");
        }
        for path in [
            "var/lib/dpkg/status-old",
            "var/lib/dpkg/status.d",
            "var/lib/dpkg/status.d/libc6.md5sums",
            "var/lib/dpkg/status.dx/libc6",
        ] {
            assert!(!is_list(path), "{path}");
        }
    }
}
