//! Licences of a package as an SPDX expression, where its copyright file says them in machine-readable form
//! (`copyright-format` 1.0, once DEP-5) and by names that mean exactly one licence.

use ireko_deb::control;
use std::collections::BTreeSet;

/// What a copyright file comes to; nothing where one licence of one file is not known for sure.
pub(super) fn of(copyright: &str) -> Option<String> {
    let mut paragraphs = control::paragraphs(copyright);
    let header = paragraphs.next()?.ok()?;
    let format = header.get("Format")?;
    if !format.contains("/packaging-manuals/copyright-format/1.0") {
        return None;
    }
    let mut all = BTreeSet::new();
    for paragraph in paragraphs {
        let paragraph = paragraph.ok()?;
        if paragraph.get("Files").is_some() {
            let synopsis = paragraph.get("License")?.lines().next()?.trim();
            all.insert(expression(synopsis)?);
        }
    }
    match all.len() {
        0 => None,
        1 => all.into_iter().next(),
        _ => {
            let one = |text: String| if text.contains(" OR ") { format!("({text})") } else { text };
            // What one expression says already, another that holds it need not.
            let parts: BTreeSet<String> = all
                .iter()
                .flat_map(|text| match text.contains(" OR ") {
                    true => vec![text.clone()],
                    false => text.split(" AND ").map(str::to_owned).collect(),
                })
                .collect();
            Some(parts.into_iter().map(one).collect::<Vec<_>>().join(" AND "))
        }
    }
}

/// `A or B`, `A and B`, `A or B, and C`: `and` binds tighter, a comma before it looser.
fn expression(synopsis: &str) -> Option<String> {
    let lower = synopsis.to_ascii_lowercase();
    let text = lower.split_whitespace().collect::<Vec<_>>().join(" ");
    let parts: Vec<&str> = text.split(", and ").collect();
    let parts = parts.into_iter().map(alternatives).collect::<Option<Vec<_>>>()?;
    if parts.len() == 1 {
        return parts.into_iter().next();
    }
    let one = |text: String| if text.contains(" OR ") { format!("({text})") } else { text };
    Some(parts.into_iter().map(one).collect::<Vec<_>>().join(" AND "))
}

fn alternatives(text: &str) -> Option<String> {
    let both = |text: &str| {
        let ids = text.split(" and ").map(id).collect::<Option<Vec<_>>>()?;
        Some(ids.join(" AND "))
    };
    let parts =
        text.split(" or ").map(|part| both(part.trim_end_matches(','))).collect::<Option<Vec<_>>>()?;
    Some(parts.join(" OR "))
}

/// Names that mean what their SPDX identifier does: those of the format's own list, and identifiers themselves where
/// they say a version or are used for nothing else. `MIT` is not among them (the format says `Expat`, since there are
/// several), nor are `Artistic`, `BSD`, `GPL` without a version, `public-domain`.
const EXACT: [(&str, &str); 45] = [
    ("0bsd", "0BSD"),
    ("apache-1.0", "Apache-1.0"),
    ("apache-1.1", "Apache-1.1"),
    ("apache-2", "Apache-2.0"),
    ("apache-2.0", "Apache-2.0"),
    ("artistic-2.0", "Artistic-2.0"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("bsd-4-clause", "BSD-4-Clause"),
    ("bsl-1.0", "BSL-1.0"),
    ("cc-by-1.0", "CC-BY-1.0"),
    ("cc-by-2.0", "CC-BY-2.0"),
    ("cc-by-2.5", "CC-BY-2.5"),
    ("cc-by-3.0", "CC-BY-3.0"),
    ("cc-by-4.0", "CC-BY-4.0"),
    ("cc-by-sa-1.0", "CC-BY-SA-1.0"),
    ("cc-by-sa-2.0", "CC-BY-SA-2.0"),
    ("cc-by-sa-2.5", "CC-BY-SA-2.5"),
    ("cc-by-sa-3.0", "CC-BY-SA-3.0"),
    ("cc-by-sa-4.0", "CC-BY-SA-4.0"),
    ("cc0-1.0", "CC0-1.0"),
    ("cddl-1.0", "CDDL-1.0"),
    ("cddl-1.1", "CDDL-1.1"),
    ("cpl-1.0", "CPL-1.0"),
    ("efl-1.0", "EFL-1.0"),
    ("efl-2.0", "EFL-2.0"),
    ("epl-1.0", "EPL-1.0"),
    ("epl-2.0", "EPL-2.0"),
    ("eupl-1.1", "EUPL-1.1"),
    ("eupl-1.2", "EUPL-1.2"),
    ("expat", "MIT"),
    ("fsfap", "FSFAP"),
    ("fsful", "FSFUL"),
    ("fsfullr", "FSFULLR"),
    ("isc", "ISC"),
    ("lppl-1.2", "LPPL-1.2"),
    ("lppl-1.3c", "LPPL-1.3c"),
    ("mpl-1.1", "MPL-1.1"),
    ("mpl-2", "MPL-2.0"),
    ("mpl-2.0", "MPL-2.0"),
    ("ofl-1.1", "OFL-1.1"),
    ("qpl-1.0", "QPL-1.0"),
    ("unlicense", "Unlicense"),
    ("w3c", "W3C"),
    ("zlib", "Zlib"),
];

/// Licences of GNU: their name, and the versions there are.
const GNU: [(&str, &str, &[&str]); 5] = [
    ("agpl", "AGPL", &["3.0"]),
    ("gfdl-niv", "GFDL", &["1.1", "1.2", "1.3"]),
    ("gfdl", "GFDL", &["1.1", "1.2", "1.3"]),
    ("gpl", "GPL", &["1.0", "2.0", "3.0"]),
    ("lgpl", "LGPL", &["2.0", "2.1", "3.0"]),
];

/// The identifier of a name.
fn id(name: &str) -> Option<String> {
    if let Ok(at) = EXACT.binary_search_by(|(known, _)| (*known).cmp(name)) {
        return Some(EXACT[at].1.to_owned());
    }
    let (family, rest) = GNU.iter().find_map(|family| {
        let rest = name.strip_prefix(family.0)?.strip_prefix('-')?;
        rest.starts_with(|letter: char| letter.is_ascii_digit()).then_some((family, rest))
    })?;
    let (version, which) = match rest.strip_suffix('+').or_else(|| rest.strip_suffix("-or-later")) {
        Some(version) => (version, "or-later"),
        None => (rest.strip_suffix("-only").unwrap_or(rest), "only"),
    };
    let version = if version.contains('.') { version.to_owned() } else { format!("{version}.0") };
    let is_known = family.2.contains(&version.as_str());
    let niv = if family.0 == "gfdl-niv" { "no-invariants-" } else { "" };
    is_known.then(|| format!("{}-{version}-{niv}{which}", family.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_sorted() {
        assert!(EXACT.is_sorted_by(|one, other| one.0 < other.0));
    }

    #[test]
    fn names_that_are_exact() {
        let check = |synopsis: &str, expected: Option<&str>| {
            assert_eq!(expression(synopsis).as_deref(), expected, "{synopsis}");
        };
        check("GPL-2+", Some("GPL-2.0-or-later"));
        check("GPL-2", Some("GPL-2.0-only"));
        check("GPL-2.0+", Some("GPL-2.0-or-later"));
        check("LGPL-2.1-or-later", Some("LGPL-2.1-or-later"));
        check("GFDL-NIV-1.3+", Some("GFDL-1.3-no-invariants-or-later"));
        check("Expat", Some("MIT"));
        check("BSD-3-clause and  GPL-3+", Some("BSD-3-Clause AND GPL-3.0-or-later"));
        check("GPL-1+ or Artistic-2.0", Some("GPL-1.0-or-later OR Artistic-2.0"));
        check("GPL-2 or Expat and ISC", Some("GPL-2.0-only OR MIT AND ISC"));
        check("GPL-2 or Expat, and ISC", Some("(GPL-2.0-only OR MIT) AND ISC"));
        check("Expat, or ISC", Some("MIT OR ISC"));
        for unknown in [
            "",
            "GPL",
            "GPL+",
            "GPL-4",
            "LGPL-2.5",
            "MIT",
            "Artistic",
            "BSD",
            "public-domain",
            "GPLv2",
            "GPL-2+ with Autoconf exception",
            "GPL-2+ or Artistic",
            "GPL-2-and-more",
        ] {
            check(unknown, None);
        }
    }

    #[test]
    fn all_files_of_a_package_count() {
        let head = "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";
        let check = |text: &str, expected: Option<&str>| assert_eq!(of(text).as_deref(), expected, "{text}");
        let with = |text: &str| format!("{head}{text}");
        check(&with("\nFiles: *\nCopyright: me\nLicense: Expat\n Text.\n"), Some("MIT"));
        let two = "\nFiles: *\nLicense: GPL-2 or Expat\n\nFiles: debian/*\nLicense: GPL-3+\n\nLicense: other\n text\n";
        check(&with(two), Some("(GPL-2.0-only OR MIT) AND GPL-3.0-or-later"));
        check(&with("\nFiles: a\nLicense: Expat\n\nFiles: b\nLicense: own\n"), None);
        check(&with("\nFiles: a\n"), None);
        check(&with(""), None);
        check("Files: *\nLicense: Expat\n", None);
        check("This package was made by me.\n", None);
        check("Format: http://dep.debian.net/deps/dep5\n\nFiles: *\nLicense: Expat\n", None);
        let twice = "\nFiles: a\nLicense: Expat and ISC\n\nFiles: b\nLicense: ISC\n";
        check(&with(twice), Some("ISC AND MIT"));
    }
}
