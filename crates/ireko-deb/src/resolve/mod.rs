//! Which versions a request needs, as apt 2.6 answers it (`apt-get install` of Debian 12).
//!
//! This is not a search for the best answer: what apt takes depends on its steps, so these are taken, in its order, and
//! the documentation of a step names apt's function. Newer versions of apt (3.0, Debian 13) search in another way and
//! may take other alternatives.
//!
//! Left out, as a fresh system has no need of it: phased updates, sections whose packages are marked otherwise
//! (`Never-MarkAuto-Sections`, `Move-Autobit-Sections`), kernels that are kept, patterns and tasks.

mod explain;
mod mark;
mod problem;
mod release;
mod select;
mod solutions;
mod sort;
mod state;
mod sweep;
#[cfg(test)]
mod tests;

pub use explain::{Broken, Reason};

use crate::index::{Index, NONE, VersionId};
use mark::How;
use problem::Problems;
use state::{Policy, States};

/// The solver calls itself for each dependency of a dependency.
const STACK: usize = 256 << 20;

/// One thing that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// As for apt: `name`, `name:arch`, `name=version`, `name/suite`, or `name-` for what must not be there. What several
    /// packages provide is chosen by the name of one of them.
    Text(String),
    /// This very version, such as one of [`Index::candidates`].
    Version(VersionId),
}

/// What is followed, and what is not wanted.
#[derive(Clone, Debug, Default)]
pub struct Options<'a> {
    /// What packages recommend is installed, too, where it can be.
    pub recommends: bool,
    /// The same for what they suggest.
    pub suggests: bool,
    /// Names that must not be installed, as `name-`.
    pub without: &'a [String],
}

/// A version that is to be installed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Which.
    pub version: VersionId,
    /// Why.
    pub reason: Reason,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution {
    /// What is to be installed or upgraded, by name and architecture.
    pub install: Vec<Chosen>,
    /// What is installed and must go.
    pub remove: Vec<VersionId>,
}

/// Why there is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing has the name.
    #[error("no package is called `{name}`{}", explain::did_you_mean(nearest))]
    Unknown {
        /// What was asked for.
        name: String,
        /// Names that are like it.
        nearest: Vec<String>,
    },
    /// It is named by others, and no list has it.
    #[error(
        "package `{name}` is named by other packages, but no list has it{}",
        explain::did_you_mean(nearest)
    )]
    NoCandidate {
        /// What was asked for.
        name: String,
        /// Names that are like it.
        nearest: Vec<String>,
    },
    /// Several packages stand for it.
    #[error("`{name}` is a virtual package, ask for one that provides it: {}", providers.join(", "))]
    Virtual {
        /// What was asked for.
        name: String,
        /// What provides it.
        providers: Vec<String>,
    },
    /// It has other versions.
    #[error("package `{name}` has no version `{wanted}`, only {}", explain::or_none(known))]
    NoVersion {
        /// What was asked for.
        name: String,
        /// The version.
        wanted: String,
        /// What there is.
        known: Vec<String>,
    },
    /// It is in other suites.
    #[error("package `{name}` is not in `{wanted}`, only in {}", explain::or_none(known))]
    NoRelease {
        /// What was asked for.
        name: String,
        /// The suite.
        wanted: String,
        /// Where it is.
        known: Vec<String>,
    },
    /// `name/installed` of what is not.
    #[error("package `{name}` is not installed")]
    NotInstalled {
        /// What was asked for.
        name: String,
    },
    /// What was asked for cannot be together.
    #[error("{}", explain::show(broken))]
    Broken {
        /// Each package that cannot be installed, and why.
        broken: Vec<Broken>,
    },
    /// The system gives no thread to work in.
    #[error("cannot start a thread to resolve in")]
    Thread,
}

/// Answers a request.
pub fn resolve(
    index: &Index<'_>,
    requests: &[Request],
    options: &Options<'_>,
) -> Result<Solution, ResolveError> {
    std::thread::scope(|scope| {
        let work = || resolve_here(index, requests, options);
        let thread = std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work);
        thread.map_err(|_| ResolveError::Thread)?.join().map_err(|_| ResolveError::Thread)?
    })
}

fn resolve_here(
    index: &Index<'_>,
    requests: &[Request],
    options: &Options<'_>,
) -> Result<Solution, ResolveError> {
    let policy = Policy { recommends: options.recommends, suggests: options.suggests };
    let mut states = States::new(index, policy);
    let broken_before = states.broken != 0;
    let mut selected = select::select(&mut states, requests)?;
    for name in options.without {
        let request = Request::Text(format!("{name}-"));
        selected.remove.extend(select::select(&mut states, &[request])?.remove);
    }
    let mut problems = Problems::new(&states);
    for version in &selected.remove {
        remove(&mut states, &mut problems, *version);
    }
    let mut asked = Vec::new();
    for (version, _) in &selected.install {
        let package = states.package_of(*version);
        states.set_candidate(*version);
        problems.flags[package as usize].protected = true;
        problems.flags[package as usize].to_remove = false;
        states.protect(package);
        states.install(package, How { dependencies: false, depth: 0, by_user: true });
        // With something broken already, apt leaves what is needed to be asked for.
        if !broken_before {
            asked.push(package);
        }
        if !states.of(package).is_install() {
            states.change(package).automatic = false;
        }
    }
    release::follow(&mut states, &selected.by_release);
    for package in asked {
        states.install(package, How { dependencies: true, depth: 0, by_user: true });
    }
    if !broken_before || states.broken == 0 {
        problems.solve(&mut states);
        if states.broken == 0 {
            sweep::sweep(&mut states);
        }
    }
    if states.broken != 0 {
        return Err(ResolveError::Broken { broken: explain::broken(&mut states, &selected) });
    }
    Ok(solution(&states, &selected))
}

/// What must not be there (`TryToRemove`).
fn remove(states: &mut States<'_, '_>, problems: &mut Problems, version: u32) {
    let package = states.package_of(version);
    problems.flags[package as usize].protected = true;
    problems.flags[package as usize].to_remove = true;
    states.protect(package);
    match states.current(package) {
        NONE => states.change(package).hold = true,
        _ => {
            states.delete(package, 0, true);
        }
    }
}

fn solution(states: &States<'_, '_>, selected: &select::Selected) -> Solution {
    let index = states.index;
    let all = 0..states.packages.len() as u32;
    let install = all.clone().filter(|package| states.of(*package).is_install());
    let reasons = explain::reasons(states, selected);
    let chosen = |package: u32| Chosen {
        version: VersionId(states.of(package).install),
        reason: reasons.get(&package).copied().unwrap_or(Reason::Unknown),
    };
    let mut install: Vec<Chosen> = install.map(chosen).collect();
    install.sort_by(|one, other| {
        let key = |chosen: &Chosen| (index.name(chosen.version), index.architecture(chosen.version));
        key(one).cmp(&key(other))
    });
    let remove = all.filter(|package| states.of(*package).is_delete());
    Solution { install, remove: remove.map(|package| VersionId(states.current(package))).collect() }
}
