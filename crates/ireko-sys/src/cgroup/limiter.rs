//! Limits that are held: where groups with the right controllers can be made, found out before anything runs.
//!
//! A controller belongs to one hierarchy: to one of version 1, or to that of version 2, where it must have been handed
//! down to the group in which ours are made. That group may hold no process then, so this process may have to step
//! aside, into a group of its own; only itself and what it started, and only where nobody else is.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::find::{self, Hierarchy};
use super::limits::{Controller, Limits, Setting, Version};
use super::{Group, Home, MAGIC};

/// The file system type of control groups of version 1.
const MAGIC_1: u64 = 0x0027_e0eb;

/// Why limits cannot be held here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// There is no such controller.
    #[error("`{flag}` cannot be held: {}", no_controller(*controller, at.as_deref()))]
    NoController {
        /// The flag that asked for it.
        flag: &'static str,
        /// What would hold it.
        controller: Controller,
        /// The group of version 2 that lacks it, if there is one.
        at: Option<PathBuf>,
    },
    /// The parent that was named is not there.
    #[error("`--cgroup-parent {parent}` is no control group: there is no `{at}`", at = at.display())]
    NoParent {
        /// As it was given.
        parent: String,
        /// Where it would be.
        at: PathBuf,
    },
    /// No group can be made.
    #[error("`{flag}` cannot be held: no control group can be made in `{at}`", at = at.display())]
    Make {
        /// The flag that asked for it.
        flag: &'static str,
        /// In which group.
        at: PathBuf,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// Controllers are not handed down while other processes are in the group.
    #[error(
        "`{flag}` cannot be held: other processes ({others}) are in this process's control group `{at}`, and a group \
         with processes hands no controller down", at = at.display()
    )]
    Shared {
        /// The flag that asked for it.
        flag: &'static str,
        /// The group.
        at: PathBuf,
        /// How many there are.
        others: usize,
    },
    /// The kernel does not hand controllers down.
    #[error("`{flag}` cannot be held: control group `{at}` does not hand its controllers down", at = at.display())]
    HandDown {
        /// The flag that asked for it.
        flag: &'static str,
        /// The group.
        at: PathBuf,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// The kernel does not take a value.
    #[error("`{flag}` cannot be held: the kernel does not take `{value}` for `{file}`{}", there_are(available.as_deref()))]
    Value {
        /// The flag that asked for it.
        flag: &'static str,
        /// What was written.
        value: String,
        /// Where.
        file: &'static str,
        /// What there is, where that is a list.
        available: Option<String>,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
    /// A group cannot be joined.
    #[error("cannot use control group `{at}`", at = at.display())]
    Join {
        /// The group.
        at: PathBuf,
        /// The kernel's answer.
        #[source]
        cause: io::Error,
    },
}

fn no_controller(controller: Controller, at: Option<&Path>) -> String {
    match at {
        Some(at) => format!(
            "control group `{}` has no controller `{controller}`, and no hierarchy of version 1 has it",
            at.display()
        ),
        None => format!("no hierarchy of control groups with controller `{controller}` is mounted"),
    }
}

fn there_are(available: Option<&str>) -> String {
    available.map(|list| format!(" (there are {list})")).unwrap_or_default()
}

impl Refusal {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        const GIVEN: &str = "let systemd give ireko a group of its own: `systemd-run --user --scope -p Delegate=yes ireko …` \
            (as root without --user); where control groups are of version 1, only root can limit";
        match self {
            Self::Make { cause, .. } | Self::HandDown { cause, .. } | Self::Join { cause, .. } => {
                match cause.kind() {
                    io::ErrorKind::PermissionDenied => Some(GIVEN),
                    io::ErrorKind::ReadOnlyFilesystem => Some("start the outer container with --privileged"),
                    _ => None,
                }
            }
            Self::NoController { at: Some(_), .. } | Self::Shared { .. } => Some(GIVEN),
            Self::NoController { at: None, .. } => {
                Some("in a container: start it with its /sys/fs/cgroup (--privileged shows it writable)")
            }
            Self::NoParent { .. } => {
                Some("make it first, with mkdir as root; ireko removes only what it made itself")
            }
            Self::Value { .. } => None,
        }
    }
}

/// Where groups are made for these limits. Dropped, everything is as before.
#[derive(Debug)]
pub struct Limiter {
    limits: Limits,
    places: Vec<Place>,
    /// This process's own, if it had to step aside.
    _aside: Option<Aside>,
}

/// A group below which ours are made, in one hierarchy.
#[derive(Debug)]
struct Place {
    version: Version,
    home: Home,
    controllers: Vec<Controller>,
}

impl Limiter {
    /// Finds the places, makes them ready, and tries all of the limits once.
    pub fn prepare(limits: Limits) -> Result<Self, Refusal> {
        let found = Hierarchies::read();
        let mut places = found.places(&limits)?;
        let mut aside = None;
        for place in places.iter_mut().filter(|place| place.version == Version::Two) {
            aside = ready(place, &limits)?;
        }
        let limiter = Self { limits, places, _aside: aside };
        limiter.places.iter().for_each(|place| place.home.sweep());
        let tried = limiter.make()?;
        for group in tried.unified.iter().filter(|_| tried.unified_limits) {
            super::start_in(group).map_err(|cause| Refusal::Join { at: group.path().to_owned(), cause })?;
        }
        drop(tried);
        Ok(limiter)
    }

    /// What is held.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Groups for one command, with the limits in them.
    pub(crate) fn make(&self) -> Result<Groups, Refusal> {
        let mut groups = Groups::default();
        for place in &self.places {
            let group = place.home.make().map_err(|cause| {
                let at = place.home.dir.clone();
                Refusal::Make { flag: self.flag(), at, cause }
            })?;
            if place.version == Version::One && place.controllers.contains(&Controller::Cpuset) {
                inherit_sets(place.home.dir(), group.path()).map_err(|cause| {
                    let at = group.path().to_owned();
                    Refusal::Join { at, cause }
                })?;
            }
            let settings = self.limits.settings(place.version);
            for setting in settings.iter().filter(|one| place.controllers.contains(&one.controller)) {
                write(place.home.dir(), group.path(), setting)?;
            }
            match place.version {
                Version::One => groups.others.push(group),
                Version::Two => {
                    groups.unified_limits = !place.controllers.is_empty();
                    groups.unified = Some(group);
                }
            }
        }
        Ok(groups)
    }

    /// The first flag that was given.
    fn flag(&self) -> &'static str {
        first_flag(&self.limits)
    }
}

fn first_flag(limits: &Limits) -> &'static str {
    limits.settings(Version::Two).first().map_or("--cgroup-parent", |one| one.flag)
}

/// A new group of version 1 has no processors and no memory nodes, and nobody can be in such a one.
fn inherit_sets(parent: &Path, group: &Path) -> io::Result<()> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(group.join(file))?;
        if own.trim().is_empty() {
            fs::write(group.join(file), fs::read_to_string(parent.join(file))?.trim())?;
        }
    }
    Ok(())
}

fn write(parent: &Path, group: &Path, setting: &Setting) -> Result<(), Refusal> {
    match fs::write(group.join(setting.file), &setting.value) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !setting.needed => Ok(()),
        Err(cause) => {
            let lists = ["cpuset.cpus", "cpuset.mems"];
            let effective = lists.contains(&setting.file).then(|| available(parent, setting.file)).flatten();
            let (flag, value, file) = (setting.flag, setting.value.clone(), setting.file);
            Err(Refusal::Value { flag, value, file, available: effective, cause })
        }
    }
}

/// The processors or nodes that a group has.
fn available(group: &Path, file: &str) -> Option<String> {
    let names = [format!("{file}.effective"), file.to_owned()];
    let texts = names.iter().filter_map(|name| fs::read_to_string(group.join(name)).ok());
    texts.map(|text| text.trim().to_owned()).find(|text| !text.is_empty())
}

/// The groups of one command.
#[derive(Debug, Default)]
pub(crate) struct Groups {
    /// Of version 2: the command is started in it.
    pub(crate) unified: Option<Group>,
    /// That one holds limits.
    pub(crate) unified_limits: bool,
    /// Of version 1: the command joins them before it becomes the program.
    pub(crate) others: Vec<Group>,
}

impl Groups {
    /// The lists that the command writes itself into.
    pub(crate) fn lists(&self) -> io::Result<Vec<OwnedFd>> {
        self.others.iter().map(Group::processes).collect()
    }

    /// Whether the kernel killed something in them for using more memory than they have.
    pub(crate) fn out_of_memory(&self) -> bool {
        let killed = |group: &Group, file: &str| {
            let text = fs::read_to_string(group.path().join(file)).unwrap_or_default();
            kills(&text) > 0
        };
        self.unified.iter().any(|group| killed(group, "memory.events"))
            || self.others.iter().any(|group| killed(group, "memory.oom_control"))
    }
}

/// The count of kills in memory.events or memory.oom_control.
fn kills(text: &str) -> u64 {
    let counts = text.lines().filter_map(|line| line.strip_prefix("oom_kill "));
    counts.filter_map(|count| count.trim().parse::<u64>().ok()).sum()
}

/// What the kernel says of the hierarchies and this process in them.
struct Hierarchies {
    groups: Vec<u8>,
    mounts: Vec<u8>,
}

impl Hierarchies {
    fn read() -> Self {
        let read = |path| fs::read(path).unwrap_or_default();
        Self { groups: read("/proc/self/cgroup"), mounts: read("/proc/self/mountinfo") }
    }

    /// Where this process's group in a hierarchy is seen, or the one that stands for it; whether it is there or not.
    fn dir(&self, hierarchy: Hierarchy<'_>, parent: Option<&str>) -> Option<PathBuf> {
        let own = find::own_group(&self.groups, hierarchy)?;
        let path = parent.map_or(own.to_owned(), |parent| own.join(expanded(parent)));
        let candidates = find::directories(&self.mounts, hierarchy, &path)?;
        let first = candidates.first().cloned();
        candidates.into_iter().find(|dir| is_group(dir)).or(first)
    }

    /// The places that these limits need.
    fn places(&self, limits: &Limits) -> Result<Vec<Place>, Refusal> {
        let parent = limits.parent.as_deref();
        let unified = self.dir(Hierarchy::Unified, parent);
        let needed = limits.controllers();
        let mut found: Vec<(Version, PathBuf, Vec<Controller>)> = Vec::new();
        let mut add = |version, dir: PathBuf, controller: Option<Controller>| match found
            .iter_mut()
            .find(|(_, known, _)| *known == dir)
        {
            Some((.., controllers)) => controllers.extend(controller),
            None => found.push((version, dir, controller.into_iter().collect())),
        };
        for controller in needed.iter().copied() {
            if let Some(dir) = self.dir(Hierarchy::Of(controller.name()), parent) {
                add(Version::One, dir, Some(controller));
                continue;
            }
            match &unified {
                Some(dir) if !is_group(dir) || has(dir, "cgroup.controllers", controller.name()) => {
                    add(Version::Two, dir.clone(), Some(controller));
                }
                at => {
                    return Err(Refusal::NoController {
                        flag: limits.flag(controller),
                        controller,
                        at: at.clone(),
                    });
                }
            }
        }
        if parent.is_some() {
            // Wherever the parent is, steps are in it, limits or not.
            let others = Controller::ALL.into_iter().filter(|one| !needed.contains(one));
            let others = others.filter_map(|one| Some((one, self.dir(Hierarchy::Of(one.name()), parent)?)));
            for (controller, dir) in others.filter(|(_, dir)| is_group(dir)) {
                add(Version::One, dir, Some(controller));
            }
            if let Some(dir) = unified.as_ref().filter(|dir| is_group(dir)) {
                add(Version::Two, dir.clone(), None);
            }
        }
        if let (true, Some(parent)) = (found.is_empty(), parent) {
            let at =
                unified.unwrap_or_else(|| Path::new("/sys/fs/cgroup").join(parent.trim_start_matches('/')));
            return Err(Refusal::NoParent { parent: parent.to_owned(), at });
        }
        found
            .into_iter()
            .map(|(version, dir, controllers)| place(limits, version, dir, controllers))
            .collect()
    }
}

fn place(
    limits: &Limits,
    version: Version,
    dir: PathBuf,
    controllers: Vec<Controller>,
) -> Result<Place, Refusal> {
    if let Some(parent) = limits.parent.as_ref().filter(|_| !is_group(&dir)) {
        return Err(Refusal::NoParent { parent: parent.clone(), at: dir });
    }
    let home = Home::at(dir.clone()).filter(|_| is_group(&dir)).ok_or_else(|| {
        let cause = io::ErrorKind::NotFound.into();
        Refusal::Make { flag: first_flag(limits), at: dir, cause }
    })?;
    Ok(Place { version, home, controllers })
}

/// Systemd's short name of a slice: `a-b.slice` is below `a.slice`.
fn expanded(parent: &str) -> PathBuf {
    let Some(name) = parent.strip_suffix(".slice").filter(|name| !name.contains('/') && !name.is_empty())
    else {
        return PathBuf::from(parent);
    };
    let mut path = PathBuf::from("/");
    for (at, _) in name.match_indices('-').chain([(name.len(), "")]) {
        path.push(format!("{}.slice", &name[..at]));
    }
    path
}

fn is_group(dir: &Path) -> bool {
    rustix::fs::statfs(dir).is_ok_and(|stat| [MAGIC, MAGIC_1].contains(&(stat.f_type as u64)))
}

/// Whether a list of a group's has this word.
fn has(dir: &Path, file: &str, word: &str) -> bool {
    let text = fs::read_to_string(dir.join(file)).unwrap_or_default();
    text.split_ascii_whitespace().any(|one| one == word)
}

/// This process's own groups of version 1, in which groups of dead makers may lie.
pub(super) fn own_groups_of_version_1() -> Vec<PathBuf> {
    let found = Hierarchies::read();
    let dir = |one: Controller| found.dir(Hierarchy::Of(one.name()), None).filter(|dir| is_group(dir));
    let mut dirs: Vec<PathBuf> = Controller::ALL.into_iter().filter_map(dir).collect();
    dirs.dedup();
    dirs
}

/// Sees to it that groups made at a place of version 2 have its controllers. Root, who may make groups anywhere, takes a
/// group further up that has handed them down already where the own one cannot.
fn ready(place: &mut Place, limits: &Limits) -> Result<Option<Aside>, Refusal> {
    let missing = |dir: &Path| -> Vec<Controller> {
        let handed = |one: &Controller| has(dir, "cgroup.subtree_control", one.name());
        place.controllers.iter().copied().filter(|one| !handed(one)).collect()
    };
    let dir = place.home.dir().to_owned();
    let wanted = missing(&dir);
    if wanted.is_empty() {
        return Ok(None);
    }
    let flag = limits.flag(wanted[0]);
    let refusal = match hand_down(&dir, &wanted) {
        Ok(()) => return Ok(None),
        Err(cause) if cause.kind() == io::ErrorKind::ResourceBusy => {
            let others = processes_of(&dir).iter().filter(|process| !is_ours(**process)).count();
            if others == 0 && limits.parent.is_none() {
                let aside = Aside::step(&place.home, &wanted);
                return aside.map(Some).map_err(|cause| Refusal::HandDown { flag, at: dir, cause });
            }
            Refusal::Shared { flag, at: dir.clone(), others }
        }
        Err(cause) => Refusal::HandDown { flag, at: dir.clone(), cause },
    };
    let above = dir.ancestors().skip(1).filter(|_| limits.parent.is_none());
    let mut above = above.take_while(|dir| is_group(dir)).filter(|dir| missing(dir).is_empty());
    let usable = above.find_map(|dir| Home::at(dir.to_owned()).filter(|home| home.make().is_ok()));
    place.home = usable.ok_or(refusal)?;
    Ok(None)
}

fn hand_down(dir: &Path, controllers: &[Controller]) -> io::Result<()> {
    fs::write(dir.join("cgroup.subtree_control"), switches('+', controllers))
}

fn switches(sign: char, controllers: &[Controller]) -> String {
    let switches: Vec<String> = controllers.iter().map(|one| format!("{sign}{one}")).collect();
    switches.join(" ")
}

/// The processes of a group.
fn processes_of(dir: &Path) -> Vec<u32> {
    let text = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
    text.lines().filter_map(|line| line.parse().ok()).collect()
}

/// Whether a process is this one, or was started by it: what carries a connection, an agent.
fn is_ours(process: u32) -> bool {
    let parent = |process: u32| -> Option<u32> {
        let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
        text.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
    };
    std::iter::successors(Some(process), |one| parent(*one)).any(|one| one == std::process::id())
}

/// The group that this process stepped into. Dropped, it steps back.
#[derive(Debug)]
struct Aside {
    /// Where it was.
    home: PathBuf,
    /// Where it is.
    own: PathBuf,
    handed_down: Vec<Controller>,
}

impl Aside {
    fn step(home: &Home, controllers: &[Controller]) -> io::Result<Self> {
        let own = home.make_dir()?;
        let aside = Self { home: home.dir.clone(), own, handed_down: controllers.to_vec() };
        let list = aside.own.join("cgroup.procs");
        fs::write(&list, "0")?;
        for process in processes_of(&aside.home).into_iter().filter(|process| is_ours(*process)) {
            // One that has ended meanwhile is in nobody's way.
            let _ = fs::write(&list, process.to_string());
        }
        hand_down(&aside.home, controllers)?;
        Ok(aside)
    }
}

impl Drop for Aside {
    fn drop(&mut self) {
        // No process may be in a group that hands controllers down, so that ends first.
        let _ = fs::write(self.home.join("cgroup.subtree_control"), switches('-', &self.handed_down));
        for process in processes_of(&self.own) {
            let _ = fs::write(self.home.join("cgroup.procs"), process.to_string());
        }
        let _ = fs::remove_dir(&self.own);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_started_is_its_own() {
        let mut shell = std::process::Command::new("sh")
            .args(["-c", "sleep 1000 & echo $!; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = [0; 16];
        let length = io::Read::read(shell.stdout.as_mut().unwrap(), &mut said).unwrap();
        let sleep: u32 = std::str::from_utf8(&said[..length]).unwrap().trim().parse().unwrap();
        let found = [std::process::id(), shell.id(), sleep, 1, u32::MAX].map(is_ours);
        crate::raw::family::kill(i32::try_from(sleep).unwrap(), libc::SIGKILL);
        shell.wait().unwrap();
        assert_eq!(found, [true, true, true, false, false]);
    }

    /// Plain files in place of a group's: of what is written to one, the last remains.
    #[test]
    fn only_what_is_ours_steps_aside() {
        let dir = tempfile::tempdir().unwrap();
        let own = std::process::id();
        fs::write(dir.path().join("cgroup.procs"), format!("{own}\n1\n")).unwrap();
        let home = Home { dir: dir.path().to_owned(), process: (own, 0) };
        let aside = Aside::step(&home, &[Controller::Memory]).unwrap();
        assert_eq!(processes_of(&aside.own), [own]);
    }

    #[test]
    fn slices_are_inside_each_other() {
        for (parent, path) in [
            ("/ci/jobs", "/ci/jobs"),
            ("ci", "ci"),
            ("system.slice", "/system.slice"),
            ("a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"),
            ("/a-b.slice", "/a-b.slice"),
        ] {
            assert_eq!(expanded(parent), Path::new(path), "{parent}");
        }
    }

    #[test]
    fn kills_are_counted() {
        assert_eq!(kills("low 0\nhigh 0\nmax 12\noom 1\noom_kill 2\noom_group_kill 0\n"), 2);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), 1);
        assert_eq!(kills("oom_kill_disable 0\nunder_oom 0\noom_kill 0\n"), 0);
        assert_eq!(kills(""), 0);
    }

    const GROUPS: &str = "4:memory:/api\n3:cpuset:/\n2:cpu,cpuacct:/\n0::/user/scope\n";
    const MOUNTS: &str = "35 31 0:32 / /nowhere/memory rw - cgroup cgroup rw,memory\n\
        36 31 0:33 / /nowhere/cpu rw - cgroup cgroup rw,cpu,cpuacct\n\
        41 31 0:38 / /nowhere/unified rw - cgroup2 cgroup2 rw\n";

    #[track_caller]
    fn check(hierarchy: Hierarchy<'_>, parent: Option<&str>, expected: Option<&str>) {
        let found = Hierarchies { groups: GROUPS.into(), mounts: MOUNTS.into() };
        assert_eq!(found.dir(hierarchy, parent), expected.map(PathBuf::from), "{hierarchy:?} {parent:?}");
    }

    #[test]
    fn each_hierarchy_has_its_own_group() {
        check(Hierarchy::Of("memory"), None, Some("/nowhere/memory/api"));
        check(Hierarchy::Of("cpu"), None, Some("/nowhere/cpu"));
        check(Hierarchy::Of("cpuset"), None, None);
        check(Hierarchy::Of("pids"), None, None);
        check(Hierarchy::Unified, None, Some("/nowhere/unified/user/scope"));
        check(Hierarchy::Of("memory"), Some("/ci"), Some("/nowhere/memory/ci"));
        check(Hierarchy::Of("memory"), Some("ci"), Some("/nowhere/memory/api/ci"));
        check(Hierarchy::Unified, Some("a-b.slice"), Some("/nowhere/unified/a.slice/a-b.slice"));
        check(Hierarchy::Of("memory"), Some("/ci/../x"), None);
    }
}
