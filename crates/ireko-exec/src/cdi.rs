//! Devices of this machine that steps may ask for, by the Container Device Interface: files in known directories say
//! what a device is called, and what whoever uses it must be given.
//!
//! Names are found as BuildKit finds them. What cannot be given (programs that change a container before it starts) is
//! an error with its name, so that no step runs with half a device.

mod given;
mod spec;

#[cfg(test)]
mod tests;

pub(crate) use given::{Given, GivenNode, NodeKind};

use ireko_graph::op::Device;
use ireko_report::nearest_names;
use spec::{Edits, Spec, is_kind, is_name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where the files are; later ones win.
pub const SPEC_DIRS: [&str; 3] = ["/etc/cdi", "/var/run/cdi", "/etc/buildkit/cdi"];

/// A device says by this that it needs no leave.
const FREE: &str = "org.mobyproject.buildkit.device.autoallow";

/// A device says by this that it has a second name.
const CLASS: &str = "org.mobyproject.buildkit.device.class";

/// The devices of this machine.
#[derive(Debug, Default)]
pub struct Devices {
    /// By `vendor.com/class=name`.
    known: BTreeMap<String, Known>,
    /// Files that cannot be used, and why.
    broken: Vec<(PathBuf, String)>,
    dirs: Vec<PathBuf>,
}

#[derive(Debug)]
struct Known {
    spec: Arc<Spec>,
    /// Its place among the file's.
    at: usize,
    file: PathBuf,
    /// The directory's place among all.
    priority: usize,
    /// Another file of the same directory has it too.
    disputed: Option<PathBuf>,
}

/// What the command line allows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Every device.
    pub all: bool,
    /// These: whole names, or kinds.
    pub names: Vec<String>,
    /// Devices by the names that a Dockerfile may have for them.
    pub aliases: BTreeMap<String, String>,
}

/// Why a step cannot have its devices.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// What it needs of this machine cannot be had.
    #[error("{0}")]
    Made(String),
    /// It is no name.
    #[error("`{0}` is no name of a device")]
    NoName(String),
    /// There is none.
    #[error("device `{name}` is required, and this machine has none of that name")]
    Missing {
        /// As it was asked for.
        name: String,
        /// What there is instead, in words.
        instead: String,
    },
    /// Two files have it.
    #[error("device `{name}` is in two files: `{}` and `{}`", .files.0.display(), .files.1.display())]
    Disputed {
        /// The device.
        name: String,
        /// The files.
        files: (PathBuf, PathBuf),
    },
    /// It was not allowed.
    #[error("device `{0}` was not allowed")]
    NotAllowed(String),
    /// It wants something that ireko does not do.
    #[error("device `{name}` needs {what}, which ireko does not do (`{}`)", file.display())]
    Unable {
        /// The device.
        name: String,
        /// What it wants.
        what: String,
        /// The file that says so.
        file: PathBuf,
        /// Whether that is a hook.
        hook: bool,
    },
}

impl DeviceError {
    /// What to do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Made(_) => None,
            Self::NoName(_) => {
                Some("names look like vendor.com/class=name, vendor.com/class or vendor.com/class=*".to_owned())
            }
            Self::Missing { instead, .. } => Some(instead.clone()),
            Self::Disputed { .. } => Some("remove one of them".to_owned()),
            Self::NotAllowed(name) => {
                Some(format!("if that is meant, give `--allow device={name}`, or `--allow device` for all"))
            }
            Self::Unable { hook: true, .. } => Some(
                "describe the device without hooks (`nvidia-ctk cdi generate --disable-hook=all` does for NVIDIA's), \
                 and let the step do their work: `RUN --device=… ldconfig && …`"
                    .to_owned(),
            ),
            Self::Unable { .. } => None,
        }
    }
}

impl Devices {
    /// Reads all files of these directories. What is not there is no error; what cannot be read is told to whoever asks for
    /// a device that is not found.
    pub fn read(dirs: &[PathBuf]) -> Self {
        let mut devices = Self { dirs: dirs.to_vec(), ..Self::default() };
        for (priority, dir) in dirs.iter().enumerate() {
            let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
            let mut files: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
            files.sort();
            for file in files {
                let is_json = match file.extension().and_then(|ending| ending.to_str()) {
                    Some("json") => true,
                    Some("yaml" | "yml") => false,
                    _ => continue,
                };
                let text = std::fs::read_to_string(&file).map_err(|error| error.to_string());
                match text.and_then(|text| Spec::parse(&text, is_json)) {
                    Ok(spec) => devices.add(spec, &file, priority),
                    Err(why) => devices.broken.push((file, why)),
                }
            }
        }
        devices
    }

    fn add(&mut self, spec: Spec, file: &Path, priority: usize) {
        let spec = Arc::new(spec);
        for (at, device) in spec.devices.iter().enumerate() {
            let name = format!("{}={}", spec.kind, device.name);
            let known =
                Known { spec: Arc::clone(&spec), at, file: file.to_owned(), priority, disputed: None };
            match self.known.get_mut(&name) {
                Some(other) if other.priority == priority => other.disputed = Some(file.to_owned()),
                _ => {
                    self.known.insert(name, known);
                }
            }
        }
    }

    /// The names of those that a step asks for, each once, and of those that are not there and need not be.
    ///
    /// # Errors
    /// One that it needs is not there, or was not allowed.
    pub fn wanted(
        &self,
        asked: &[Device],
        allowed: &Allowed,
    ) -> Result<(Vec<String>, Vec<String>), DeviceError> {
        let (mut found, mut absent): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
        for Device { name, required } in asked {
            let alias = allowed.aliases.get(name);
            let names = self.find(alias.unwrap_or(name))?;
            match (names.as_slice(), required) {
                ([], true) => {
                    let name = alias.unwrap_or(name);
                    return Err(DeviceError::Missing { name: name.clone(), instead: self.instead(name) });
                }
                ([], false) => absent.push(name.clone()),
                (names, _) => {
                    for name in names {
                        if alias.is_none() && !self.allows(allowed, name) {
                            return Err(DeviceError::NotAllowed((*name).to_owned()));
                        }
                        if !found.iter().any(|known| known == name) {
                            found.push((*name).to_owned());
                        }
                    }
                }
            }
        }
        Ok((found, absent))
    }

    /// The devices of a name, as BuildKit has it: of a kind the first, of `kind=*` all, else the one so called, else those
    /// that say they are of the class.
    fn find(&self, name: &str) -> Result<Vec<&str>, DeviceError> {
        let (kind, which) = name.split_once('=').unwrap_or((name, ""));
        let bare = !kind.contains('/');
        let kind_is_right = if bare { is_kind(&format!("v/{kind}")) } else { is_kind(kind) };
        if !kind_is_right || !(which.is_empty() || which == "*" || is_name(which)) {
            return Err(DeviceError::NoName(name.to_owned()));
        }
        let of_kind = |one: &&str| {
            let own = one.split_once('=').map_or(*one, |(own, _)| own);
            own == kind || bare && own.split_once('/').is_some_and(|(_, class)| class == kind)
        };
        let all: Vec<&str> = self.known.keys().map(String::as_str).filter(of_kind).collect();
        Ok(match which {
            "" => all.into_iter().take(1).collect(),
            "*" => all,
            which => {
                let called = |one: &&str| one.split_once('=').is_some_and(|(_, own)| own == which);
                match all.iter().copied().find(called) {
                    Some(one) => vec![one],
                    None => all
                        .into_iter()
                        .filter(|one| self.annotation(one, CLASS).is_some_and(|class| class == which))
                        .collect(),
                }
            }
        })
    }

    fn annotation(&self, name: &str, of: &str) -> Option<&str> {
        let known = self.known.get(name)?;
        let own = known.spec.devices[known.at].annotations.get(of);
        own.or_else(|| known.spec.annotations.get(of)).map(String::as_str)
    }

    fn allows(&self, allowed: &Allowed, name: &str) -> bool {
        let kind = name.split_once('=').map_or(name, |(kind, _)| kind);
        let named = |one: &String| one == name || one == kind || one.strip_suffix("=*") == Some(kind);
        let free = self
            .annotation(name, FREE)
            .is_some_and(|value| matches!(value, "1" | "t" | "T" | "true" | "TRUE" | "True"));
        allowed.all || free || allowed.names.iter().any(named)
    }

    /// What there is in place of a missing device, for a hint.
    fn instead(&self, name: &str) -> String {
        let names = || self.known.keys().map(String::as_str);
        let near = nearest_names(name, names());
        let ticked =
            |names: &[&str]| names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let mut text = match (near.as_slice(), self.known.is_empty()) {
            ([], true) => {
                let dirs: Vec<String> = self.dirs.iter().map(|dir| dir.display().to_string()).collect();
                format!("no file in {} describes a device", dirs.join(", "))
            }
            ([], false) => format!("the devices are {}", ticked(&names().take(8).collect::<Vec<_>>())),
            (near, _) => format!("did you mean {}?", ticked(near)),
        };
        if let Some((file, why)) = self.broken.first() {
            text.push_str(&format!("; `{}` cannot be used: {why}", file.display()));
        }
        text
    }

    /// What whoever uses these devices is given.
    ///
    /// # Errors
    /// They want something that ireko does not do.
    pub fn check(&self, names: &[String]) -> Result<(), DeviceError> {
        self.given(names).map(drop)
    }

    /// What whoever uses these devices is given: first what a file says of all its devices, then each.
    pub(crate) fn given(&self, names: &[String]) -> Result<Given, DeviceError> {
        let mut given = Given::default();
        let mut files: Vec<&Path> = Vec::new();
        for name in names {
            let Some(known) = self.known.get(name) else { continue };
            if let Some(other) = &known.disputed {
                let files = (known.file.clone(), other.clone());
                return Err(DeviceError::Disputed { name: name.clone(), files });
            }
            let unable = |(what, hook): (String, bool)| DeviceError::Unable {
                name: name.clone(),
                what,
                file: known.file.clone(),
                hook,
            };
            if !files.contains(&known.file.as_path()) {
                files.push(&known.file);
                able(&known.spec.edits).and_then(|()| given.add(&known.spec.edits)).map_err(unable)?;
            }
            let edits = &known.spec.devices[known.at].edits;
            able(edits).and_then(|()| given.add(edits)).map_err(unable)?;
        }
        Ok(given)
    }
}

/// Says what of it cannot be done, and whether that is a hook.
fn able(edits: &Edits) -> Result<(), (String, bool)> {
    if let Some(hook) = edits.hooks.first() {
        // The first argument is the program's name again.
        let words: Vec<&str> = hook.args.iter().skip(1).map(String::as_str).collect();
        let program = format!("{} {}", hook.path, words.join(" "));
        return Err((format!("a hook (`{}`: `{}`)", hook.hook_name, program.trim_end()), true));
    }
    match edits.others.iter().find(|(_, value)| !value.is_null()) {
        Some((name, _)) => Err((format!("`{name}`"), false)),
        None => Ok(()),
    }
}
