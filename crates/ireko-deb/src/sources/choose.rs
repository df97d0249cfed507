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
/// where they are asked for. Those that are the distribution's by place or keys are taken, and where there is none,
/// those of which only the Release file can say it: hold its `Origin` against [`Distribution::origin`].
///
/// Nothing where the suite itself is not among them; then [`defaults`] has what is usual.
pub fn serving<'a>(
    sources: &'a [Source],
    of: Distribution,
    suite: &str,
    architecture: &str,
) -> Vec<&'a Source> {
    let (base, parts) = family(suite);
    let all = [base.clone(), parts].concat();
    for least in [Likeness::Yes, Likeness::Perhaps] {
        let chosen: Vec<&Source> = sources
            .iter()
            .filter(|one| one.has_architecture(architecture) && likeness(one, of, &all) >= least)
            .collect();
        if chosen.iter().any(|one| base.contains(&one.suite)) {
            return chosen;
        }
    }
    Vec::new()
}

/// The usual sources of a suite.
pub fn defaults(of: Distribution, suite: &str, architecture: &str) -> Vec<Source> {
    let source = |uri: &str, suite: &str, components: &[&str]| Source {
        uri: uri.to_owned(),
        suite: suite.to_owned(),
        components: components.iter().map(|&one| one.to_owned()).collect(),
        ..Source::default()
    };
    let (base, parts) = family(suite);
    let mut suites = vec![base[0].clone()];
    match parts.first().filter(|_| of == Distribution::Debian) {
        Some(first) if !first.ends_with("-updates") => suites.push(first.clone()),
        Some(_) | None if parts.is_empty() => {}
        _ => suites.push(format!("{}-updates", base[0])),
    }
    let is_extra = parts.last().is_some_and(|part| part.starts_with(&format!("{}-", base[0])));
    let extra =
        parts.last().filter(|part| is_extra && !suites.contains(part) && !part.ends_with("-security"));
    suites.extend(extra.cloned());
    let has_security = !parts.is_empty() && parts[0].ends_with("-updates");
    let security = format!("{}-security", base[0]);
    let (uri, security_uri, security, components) = match of {
        Distribution::Debian => {
            let old = ["wheezy", "jessie", "stretch", "buster"].contains(&base[0].as_str());
            let security = if old { format!("{}/updates", base[0]) } else { security };
            ("http://deb.debian.org/debian", "http://deb.debian.org/debian-security", security, &["main"][..])
        }
        Distribution::Ubuntu if ["amd64", "i386"].contains(&architecture) => (
            "http://archive.ubuntu.com/ubuntu",
            "http://security.ubuntu.com/ubuntu",
            security,
            &["main", "universe"][..],
        ),
        Distribution::Ubuntu => {
            let ports = "http://ports.ubuntu.com/ubuntu-ports";
            (ports, ports, security, &["main", "universe"][..])
        }
    };
    let mut found: Vec<Source> = suites.iter().map(|suite| source(uri, suite, components)).collect();
    if has_security {
        found.push(source(security_uri, &security, components));
    }
    found
}
