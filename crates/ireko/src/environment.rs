//! The only place that reads the environment, the clock and the current directory.
#![allow(
    clippy::disallowed_methods,
    reason = "this module is where the process's surroundings are read, once"
)]

use crate::failure::Failure;
use crate::ui::Ci;
use ireko_oci::Timestamp;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the process was started with.
#[derive(Clone, Debug)]
pub(crate) struct Environment {
    variables: BTreeMap<String, String>,
    uid: u32,
}

impl Environment {
    /// Reads it once. Variables that are not UTF-8 are left out.
    pub(crate) fn read() -> Self {
        let variables = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect();
        Self { variables, uid: rustix::process::getuid().as_raw() }
    }

    /// A made-up one, for tests.
    #[cfg(test)]
    pub(crate) fn of<const N: usize>(variables: [(&str, &str); N]) -> Self {
        let owned = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        Self { variables: variables.into_iter().map(owned).collect(), uid: 1000 }
    }

    /// The same with a variable that a flag stands for.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// All variables.
    pub(crate) fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Who started the process, before it entered any namespace.
    pub(crate) fn uid(&self) -> u32 {
        self.uid
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A variable as it is, empty or not.
    pub(crate) fn raw(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str)
    }

    /// Colours are wanted, as far as the environment says (`NO_COLOR`, a dumb terminal).
    pub(crate) fn colour(&self) -> bool {
        self.get("NO_COLOR").is_none() && !self.is_dumb()
    }

    /// The terminal cannot be drawn over.
    pub(crate) fn is_dumb(&self) -> bool {
        self.get("TERM") == Some("dumb")
    }

    /// The service that runs this in a job, if it is one that folds parts of a log.
    pub(crate) fn ci(&self) -> Option<Ci> {
        match (self.get("GITHUB_ACTIONS"), self.get("GITLAB_CI")) {
            (Some("true"), _) => Some(Ci::GitHub),
            (_, Some("true")) => Some(Ci::GitLab),
            _ => None,
        }
    }

    /// How steps are shown their files: the flag, `IREKO_SNAPSHOTTER`, or `auto`.
    pub(crate) fn snapshotter<'a>(&'a self, flag: Option<&'a str>) -> &'a str {
        flag.or_else(|| self.get("IREKO_SNAPSHOTTER")).unwrap_or("auto")
    }

    /// How steps are confined: the flag, `IREKO_LEVEL`, or `auto`.
    pub(crate) fn level<'a>(&'a self, flag: Option<&'a str>) -> &'a str {
        flag.or_else(|| self.get("IREKO_LEVEL")).unwrap_or("auto")
    }

    /// What commands may be confined by in the worst case: the flag, `IREKO_ISOLATION`, or `auto`.
    pub(crate) fn isolation<'a>(&'a self, flag: Option<&'a str>) -> &'a str {
        flag.or_else(|| self.get("IREKO_ISOLATION")).unwrap_or("auto")
    }

    /// Docker's directory of configuration.
    pub(crate) fn docker_dir(&self) -> Option<PathBuf> {
        let asked = self.get("DOCKER_CONFIG").map(PathBuf::from);
        asked.or_else(|| self.get("HOME").map(|home| Path::new(home).join(".docker")))
    }

    /// The store's directory: the flag, `IREKO_HOME`, the XDG data directory, or its default below the home.
    pub(crate) fn store(&self, flag: Option<&Path>, is_root: bool) -> Result<PathBuf, Failure> {
        let chosen = match (flag, self.get("IREKO_HOME"), self.get("XDG_DATA_HOME"), self.get("HOME")) {
            (Some(flag), ..) => flag.to_owned(),
            (None, Some(home), ..) => PathBuf::from(home),
            (None, None, Some(data), _) => Path::new(data).join("ireko"),
            (None, None, None, Some(home)) => Path::new(home).join(".local/share/ireko"),
            (None, None, None, None) if is_root => PathBuf::from("/var/lib/ireko"),
            _ => {
                let failure = Failure::environment(
                    "there is no place for the store: neither IREKO_HOME nor HOME is set",
                );
                return Err(failure.hint("set IREKO_HOME to a directory of yours, or give --home"));
            }
        };
        std::path::absolute(&chosen)
            .map_err(|error| Failure::environment(format!("cannot use `{}`", chosen.display())).cause(error))
    }
}

/// What was typed, the program's own name first.
pub(crate) fn typed() -> Vec<std::ffi::OsString> {
    std::env::args_os().collect()
}

/// The time now.
pub(crate) fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_unix(since.as_secs() as i64, since.subsec_nanos())
}
