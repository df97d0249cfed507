//! Package URLs of Debian packages (ECMA-427, type `deb`).

use super::{Distribution, Package};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// All but letters, digits, punctuation and the colon, which is never encoded.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-').remove(b'_').remove(b'~').remove(b':');

/// The package URL of a package. `upstream` is not in the specification's list: scanners match the advisories of
/// Debian by source packages, and look for them there.
pub(super) fn of(package: &Package, distribution: Option<&Distribution>) -> String {
    let vendor = distribution.map_or("debian", |distribution| distribution.id.as_str());
    let encoded = |text: &str| utf8_percent_encode(text, ENCODED).to_string();
    let mut url =
        format!("pkg:deb/{}/{}", encoded(&vendor.to_lowercase()), encoded(&package.name.to_lowercase()));
    if !package.version.is_empty() {
        url += &format!("@{}", encoded(&package.version));
    }
    let distro = distribution.map(|distribution| match distribution.version.as_str() {
        "" => distribution.codename.clone(),
        version => format!("{}-{version}", distribution.id),
    });
    let (source, version) = &package.source;
    let upstream = match version == &package.version {
        _ if source.is_empty() => String::new(),
        true if source == &package.name => String::new(),
        true => source.clone(),
        false => format!("{source}@{version}"),
    };
    // Sorted by their names.
    let qualifiers = [
        ("arch", package.architecture.clone()),
        ("distro", distro.unwrap_or_default()),
        ("upstream", upstream),
    ];
    let said: Vec<String> = qualifiers
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(key, value)| format!("{key}={}", encoded(&value)))
        .collect();
    if !said.is_empty() {
        url += &format!("?{}", said.join("&"));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    fn package(name: &str, version: &str) -> Package {
        let (name, version, architecture) = (name.to_owned(), version.to_owned(), "amd64".to_owned());
        Package { source: (name.clone(), version.clone()), name, version, architecture, ..Package::default() }
    }

    fn bookworm() -> Distribution {
        Distribution { id: "debian".to_owned(), version: "12".to_owned(), ..Distribution::default() }
    }

    #[test]
    fn as_the_specification_writes_them() {
        let check = |package: &Package, expected: &str| assert_eq!(of(package, Some(&bookworm())), expected);
        check(&package("hello", "2.10-3"), "pkg:deb/debian/hello@2.10-3?arch=amd64&distro=debian-12");
        check(
            &package("attr", "1:2.4.47-2+b1"),
            "pkg:deb/debian/attr@1:2.4.47-2%2Bb1?arch=amd64&distro=debian-12",
        );
        check(
            &package("libstdc++6", "12.2.0-14~rc1"),
            "pkg:deb/debian/libstdc%2B%2B6@12.2.0-14~rc1?arch=amd64&distro=debian-12",
        );
        let mut libc = package("libc6", "2.36-9");
        libc.source.0 = "glibc".to_owned();
        check(&libc, "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc");
        libc.source.1 = "2.36+x".to_owned();
        check(&libc, "pkg:deb/debian/libc6@2.36-9?arch=amd64&distro=debian-12&upstream=glibc%402.36%2Bx");
        let forky = Distribution { codename: "forky".to_owned(), version: String::new(), ..bookworm() };
        assert_eq!(of(&package("a", "1"), Some(&forky)), "pkg:deb/debian/a@1?arch=amd64&distro=forky");
        assert_eq!(of(&package("a", "1"), None), "pkg:deb/debian/a@1?arch=amd64");
    }

    /// Takes one apart as the specification says: from the right to the left.
    fn parsed(url: &str) -> (String, String, Vec<(String, String)>) {
        let decoded = |text: &str| percent_decode_str(text).decode_utf8().expect("UTF-8").into_owned();
        let (rest, query) = url.rsplit_once('?').expect("qualifiers");
        let pairs = query.split('&').map(|pair| pair.split_once('=').expect("a pair"));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), decoded(value))).collect();
        let (rest, version) = rest.rsplit_once('@').expect("a version");
        let (_, name) = rest.rsplit_once('/').expect("a name");
        (decoded(name), decoded(version), pairs)
    }

    proptest! {
        #[test]
        fn any_version_is_read_back(
            name in "[a-z0-9][a-z0-9+.-]{1,12}",
            version in "([0-9]:)?[0-9][0-9A-Za-z.+~:%@/?#&= é-]{0,16}",
            source in "[a-z0-9+.@-]{1,8}",
        ) {
            let mut package = package(&name, &version);
            package.source.0.clone_from(&source);
            let url = of(&package, Some(&bookworm()));
            prop_assert!(url.is_ascii() && !url.contains(' ') && !url.contains('#'), "{}", url);
            let (read, read_version, pairs) = parsed(&url);
            prop_assert_eq!((read, read_version), (name.clone(), version));
            let mut sorted = pairs.clone();
            sorted.sort();
            prop_assert_eq!(&pairs, &sorted);
            let upstream = pairs.iter().find(|(key, _)| key == "upstream").map(|(_, value)| value.clone());
            prop_assert_eq!(upstream, (source != name).then_some(source));
        }
    }
}
