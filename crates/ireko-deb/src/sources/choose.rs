//! Which sources serve a suite of a distribution, and those of a machine that has none.

use super::Source;

/// Whose packages are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Distribution {
    /// Debian.
    Debian,
    /// Ubuntu.
    Ubuntu,
}

/// What is added to a suite's name for its other parts.
const PARTS: [&str; 6] =
    ["-updates", "-security", "-backports", "-backports-sloppy", "-proposed-updates", "-proposed"];

impl Distribution {
    /// As its Release files name it in `Origin`.
    pub fn origin(self) -> &'static str {
        match self {
            Self::Debian => "Debian",
            Self::Ubuntu => "Ubuntu",
        }
    }

    /// Its components.
    pub fn components(self) -> &'static [&'static str] {
        match self {
            Self::Debian => &["main", "contrib", "non-free", "non-free-firmware"],
            Self::Ubuntu => &["main", "restricted", "universe", "multiverse"],
        }
    }

    /// Where its packages bring their keys.
    pub fn keyrings(self) -> &'static [&'static str] {
        match self {
            Self::Debian => &[
                "/usr/share/keyrings/debian-archive-keyring.gpg",
                "/usr/share/keyrings/debian-archive-keyring.pgp",
            ],
            Self::Ubuntu => &["/usr/share/keyrings/ubuntu-archive-keyring.gpg"],
        }
    }

    /// The package that brings them.
    pub fn keyring_package(self) -> &'static str {
        match self {
            Self::Debian => "debian-archive-keyring",
            Self::Ubuntu => "ubuntu-keyring",
        }
    }

    /// Whether a directory of this name is how mirrors call it.
    fn is_called(self, directory: &str) -> bool {
        match self {
            Self::Debian => ["debian", "debian-security"].contains(&directory),
            Self::Ubuntu => ["ubuntu", "ubuntu-ports"].contains(&directory),
        }
    }
}

/// The suite itself, with names that mean the same, and the parts that are used with it.
fn family(suite: &str) -> (Vec<String>, Vec<String>) {
    let base = PARTS.iter().find_map(|part| suite.strip_suffix(part)).unwrap_or(suite);
    let base = base.split('/').next().unwrap_or(base);
    match base {
        "sid" | "unstable" => (vec!["sid".to_owned(), "unstable".to_owned()], Vec::new()),
        "experimental" | "rc-buggy" => (
            vec!["sid".to_owned(), "unstable".to_owned()],
            vec!["experimental".to_owned(), "rc-buggy".to_owned()],
        ),
        base => {
            let mut parts: Vec<String> =
                ["-updates", "-security", "/updates"].iter().map(|part| format!("{base}{part}")).collect();
            parts.push(suite.to_owned());
            (vec![base.to_owned()], parts)
        }
    }
}

/// How sure it is that a source is the distribution's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Likeness {
    No,
    /// Suite and components are its own, the keys or the place another's: a mirror of a company, or another's packages
    /// for the same suite. Only its Release file says.
    Perhaps,
    Yes,
}

fn likeness(source: &Source, of: Distribution, suites: &[String]) -> Likeness {
    let components = of.components();
    let is_its = |component: &String| {
        let name = component.strip_prefix("updates/").unwrap_or(component);
        components.contains(&name)
    };
    if source.is_flat() || !suites.contains(&source.suite) || !source.components.iter().any(is_its) {
        return Likeness::No;
    }
    // Snapshots have the date behind the name: `…/archive/debian/20250520T000000Z`.
    let path = source.uri.split_once("://").map_or(&source.uri[..], |(_, rest)| rest);
    let is_called = path.split('/').skip(1).any(|directory| of.is_called(directory));
    let signed_by = &source.signed_by;
    let begins = format!("{}-archive", of.origin().to_ascii_lowercase());
    let by_its = signed_by.files.iter().any(|file| {
        file.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with(&begins))
    });
    if by_its || (is_called && signed_by.files.is_empty()) { Likeness::Yes } else { Likeness::Perhaps }
}

/// The sources that serve a suite: the suite itself, its updates and its security; other parts such as backports only
/// where they are asked for, and then from the mirror of the suite itself where no source names them. Those that are the
/// distribution's by place or keys are taken, and where there is none, those of which only the Release file can say it:
/// hold its `Origin` against [`Distribution::origin`].
///
/// Nothing where the suite itself is not among them; then [`defaults`] has what is usual.
pub fn serving(sources: &[Source], of: Distribution, suite: &str, architecture: &str) -> Vec<Source> {
    let (base, parts) = family(suite);
    let all = [base.clone(), parts].concat();
    for least in [Likeness::Yes, Likeness::Perhaps] {
        let mut chosen: Vec<Source> = sources
            .iter()
            .filter(|one| one.has_architecture(architecture) && likeness(one, of, &all) >= least)
            .cloned()
            .collect();
        let Some(first) = chosen.iter().find(|one| base.contains(&one.suite)) else { continue };
        let is_asked = |one: &Source| one.suite == suite || base.contains(&suite.to_owned());
        if !chosen.iter().any(is_asked) && !suite.ends_with("-security") {
            let other = Source { suite: suite.to_owned(), ..first.clone() };
            chosen.push(other);
        }
        return chosen;
    }
    Vec::new()
}

/// A mirror of the distribution, by any suite that it is used for; not one that has security alone.
pub fn mirror(sources: &[Source], of: Distribution, architecture: &str) -> Option<Source> {
    let is_security = |source: &Source| {
        let suite = &source.suite;
        suite.ends_with("-security") || suite.ends_with("/updates") || source.uri.contains("-security")
    };
    let is_one = |source: &&Source| {
        let suites = std::slice::from_ref(&source.suite);
        source.has_architecture(architecture)
            && !is_security(source)
            && likeness(source, of, suites) == Likeness::Yes
    };
    sources.iter().find(is_one).cloned()
}

/// The usual sources of a suite.
pub fn defaults(of: Distribution, suite: &str, architecture: &str) -> Vec<Source> {
    let (base, parts) = family(suite);
    let base = &base[0];
    let has_parts = parts.iter().any(|part| part.ends_with("-updates"));
    let (uri, security_uri, components): (_, _, &[&str]) = match of {
        Distribution::Debian => {
            ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security", &["main"])
        }
        Distribution::Ubuntu if ["amd64", "i386"].contains(&architecture) => {
            ("http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu", &["main", "universe"])
        }
        Distribution::Ubuntu => {
            let ports = "http://ports.ubuntu.com/ubuntu-ports";
            (ports, ports, &["main", "universe"])
        }
    };
    let security = match (of, base.as_str()) {
        (Distribution::Debian, "wheezy" | "jessie" | "stretch" | "buster") => format!("{base}/updates"),
        _ => format!("{base}-security"),
    };
    let mut wanted = vec![(uri, base.clone())];
    if has_parts {
        wanted.push((uri, format!("{base}-updates")));
        wanted.push((security_uri, security));
    }
    // Names that mean the same as the first one are not wanted twice.
    let is_known = wanted.iter().any(|(_, known)| known == suite) || ["sid", "unstable"].contains(&suite);
    let is_security = suite.ends_with("-security") || suite.ends_with("/updates");
    if !is_known && !is_security {
        wanted.push((uri, suite.to_owned()));
    }
    let source = |(uri, suite): (&str, String)| Source {
        uri: uri.to_owned(),
        suite,
        components: components.iter().map(|&one| one.to_owned()).collect(),
        ..Source::default()
    };
    wanted.into_iter().map(source).collect()
}
