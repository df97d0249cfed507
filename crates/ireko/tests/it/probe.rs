//! What a step may do and what it sees, told by a program inside it (`tests/probe/probe.c`) and held against Docker's
//! published profile, and against the installed engine with the differences that `docs/user/sandbox.md` lists.

mod profile;

use crate::daemons::Engine;
use crate::support::{Place, Said, is_root, is_single_id};
use profile::Profile;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe/probe.c");
const PAGE: &str = include_str!("../../../../docs/user/sandbox.md");

/// The capabilities of a Docker container, as its documentation lists them.
const CAPABILITIES: [(&str, u32); 14] = [
    ("CAP_AUDIT_WRITE", 29),
    ("CAP_CHOWN", 0),
    ("CAP_DAC_OVERRIDE", 1),
    ("CAP_FOWNER", 3),
    ("CAP_FSETID", 4),
    ("CAP_KILL", 5),
    ("CAP_MKNOD", 27),
    ("CAP_NET_BIND_SERVICE", 10),
    ("CAP_NET_RAW", 13),
    ("CAP_SETFCAP", 31),
    ("CAP_SETGID", 6),
    ("CAP_SETPCAP", 8),
    ("CAP_SETUID", 7),
    ("CAP_SYS_CHROOT", 18),
];

/// What Docker hides; besides these, how hot each processor runs.
const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Calls that newer kernels take past every filter: traps of theirs in user code, useless by hand.
const PAST_EVERY_FILTER: [(&str, &str); 2] = [("x86_64 335", "signal 4"), ("x86_64 336", "errno 6")];

/// What the probe said.
struct Report {
    lines: Vec<String>,
}

impl Report {
    fn of(text: &str) -> Self {
        Self { lines: text.lines().map(|line| line.trim_end().to_owned()).collect() }
    }

    /// What came of each call, by convention and number, with the argument in brackets where it matters.
    fn calls(&self) -> BTreeMap<String, String> {
        let calls = self.lines.iter().filter_map(|line| line.strip_prefix("call "));
        let calls = calls.map(|call| {
            let mut words = call.splitn(3, ' ');
            let mut word = || words.next().expect("a convention, a number and a verdict");
            (format!("{} {}", word(), word()), word().to_owned())
        });
        calls.collect()
    }

    /// The rest of the one line that begins so.
    #[track_caller]
    fn after(&self, beginning: &str) -> &str {
        let mut found = self.lines.iter().filter_map(|line| line.strip_prefix(beginning));
        let rest = found.next().unwrap_or_else(|| panic!("no line begins with `{beginning}`"));
        assert_eq!(found.next(), None, "two lines begin with `{beginning}`");
        rest.trim()
    }

    /// The lines that are about no call.
    fn surroundings(&self) -> BTreeSet<&str> {
        self.lines.iter().map(String::as_str).filter(|line| !line.starts_with("call ")).collect()
    }
}

/// A place whose context has the probe, or `None` with one line why.
fn with_probe(place: Option<Place>) -> Option<Place> {
    let place = place?;
    if is_single_id("a program cannot ask for notifications of its own") {
        return None;
    }
    let made = Command::new("gcc")
        .args(["-static", "-O1", "-Wall", "-Werror", "-o"])
        .arg(place.context().join("probe"))
        .arg(PROGRAM)
        .output();
    let Ok(made) = made else {
        eprintln!("skipped because there is no gcc (tests/install.sh)");
        return None;
    };
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(place)
}

/// One place at each level that who runs the tests can have, with the level's name.
fn places() -> Vec<(Place, &'static str)> {
    let root = is_root().then(|| with_probe(Place::new())).flatten();
    let ordinary = with_probe(Place::ordinary());
    root.map(|place| (place, "root")).into_iter().chain(ordinary.map(|place| (place, "rootless"))).collect()
}

/// Runs the probe as a build step, on nothing but itself.
fn step(place: &Place, user: &str) -> (Said, Report) {
    place.dockerfile(&format!(
        "FROM scratch\nCOPY --chmod=755 probe /probe\nCOPY --chmod=777 <<EOF /report\nEOF\n{user}RUN [\"/probe\", \"/report\"]\n"
    ));
    let said = place.build(&["-v", "-o", "type=local,dest=out"]).ok();
    let text = fs::read_to_string(place.path("out/report")).expect("a report");
    (said, Report::of(&text))
}

#[test]
fn system_calls_are_those_of_dockers_published_profile() {
    for (place, level) in places() {
        let (_, report) = step(&place, "");
        let mut calls = report.calls();
        let mut expected: BTreeMap<String, String> = BTreeMap::new();
        let conventions: BTreeSet<&str> = calls.keys().map(|call| word(call, 0)).collect();
        assert!(conventions.contains(std::env::consts::ARCH), "{conventions:?}");
        for convention in conventions {
            let profile = Profile::of(convention);
            for call in calls.keys().filter(|call| word(call, 0) == convention) {
                expected.insert(call.clone(), profile.verdict(word(call, 1)));
            }
        }
        for (call, unfiltered) in PAST_EVERY_FILTER {
            if calls.get(call).is_some_and(|verdict| verdict == unfiltered) {
                calls.remove(call);
                expected.remove(call);
            }
        }
        let wrong: Vec<_> =
            calls.iter().filter(|(call, verdict)| expected.get(*call) != Some(*verdict)).collect();
        assert!(wrong.is_empty(), "at level {level}, not as the profile says: {wrong:?}");
        let count = |verdict: &str| calls.values().filter(|other| *other == verdict).count();
        assert!(count("allow") > 200 && count("errno 1") > 100 && count("errno 38") > 50, "{}", calls.len());
    }
}

#[test]
fn capabilities_are_dockers_and_the_level_is_told() {
    let set = CAPABILITIES.iter().fold(0_u64, |set, (_, number)| set | 1 << number);
    let (all, none) = (format!("{set:016x}"), format!("{:016x}", 0));
    for (place, level) in places() {
        for (user, held) in [("", &all), ("USER 1000:1001\n", &none)] {
            let (said, report) = step(&place, user);
            assert!(
                said.stderr.lines().any(|line| line == format!("sandbox level: {level}")),
                "{}",
                said.stderr
            );
            for (name, expected) in
                [("Inh", &none), ("Prm", held), ("Eff", held), ("Bnd", &all), ("Amb", &none)]
            {
                assert_eq!(
                    report.after(&format!("status Cap{name}:")),
                    expected,
                    "{name} of {user:?}, level {level}"
                );
            }
            assert_eq!(report.after("securebits "), "0");
            assert_eq!(report.after("status NoNewPrivs:"), "0");
            assert_eq!(report.after("status Seccomp:"), "2");
            assert_eq!(report.after("status Umask:"), "0022");
            assert_eq!(report.after("status Groups:"), if user.is_empty() { "0" } else { "1001" });
        }
        let said = place.ireko(&["run", "--verbose", "--rm", "app", "/probe"]).ok();
        assert!(said.stderr.contains(&format!("sandbox level: {level}\n")), "{}", said.stderr);
        assert_eq!(Report::of(&said.stdout).after("status CapEff:"), none, "as the image's user");
    }
}

#[test]
fn what_docker_hides_is_hidden() {
    let thermal = |cpu: usize| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle");
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    for (place, level) in places() {
        let (_, report) = step(&place, "");
        for path in MASKED.into_iter().map(str::to_owned).chain((0..processors).map(thermal)) {
            let seen = report.after(&format!("path {path} "));
            let hidden = ["device 1:3", "empty directory, read-only"].contains(&seen);
            assert!(
                hidden || seen == "absent" && !Path::new(&path).exists(),
                "`{path}` is `{seen}`, level {level}"
            );
        }
        for path in READ_ONLY {
            let seen = report.after(&format!("path {path} "));
            let closed = seen.ends_with(" read-only") || level == "rootless" && seen == "file, not permitted";
            assert!(
                closed || seen == "absent" && !Path::new(path).exists(),
                "`{path}` is `{seen}`, level {level}"
            );
        }
        for path in ["/sys", "/sys/fs/cgroup", "/sys/kernel", "/proc/sys"] {
            assert!(
                report.after(&format!("path {path} ")).ends_with(" read-only"),
                "`{path}`, level {level}"
            );
        }
        for line in report
            .lines
            .iter()
            .filter(|line| line.starts_with("mount /proc ") || line.starts_with("mount /sys"))
        {
            let masks =
                ["mount /sys/firmware ", "mount /sys/devices/"].iter().any(|mask| line.starts_with(mask));
            assert!(masks || line.contains(",nosuid,nodev,noexec"), "{line}, level {level}");
        }
        for deed in
            ["mount tmpfs", "remount /proc/sys", "unmount /proc/kcore", "new user namespace", "set host name"]
        {
            assert_eq!(
                report.after(&format!("deed {deed}: ")),
                "Operation not permitted",
                "{deed}, level {level}"
            );
        }
        for deed in ["open own null", "open own disk"] {
            assert_ne!(report.after(&format!("deed {deed}: ")), "done", "{deed}, level {level}");
        }
        let devices: Vec<&str> = report
            .lines
            .iter()
            .filter_map(|line| line.strip_prefix("dev "))
            .filter(|line| !line.contains("/core "))
            .collect();
        assert_eq!(devices, DEVICES, "level {level}");
        let open: Vec<&String> =
            report.lines.iter().filter(|line| line.starts_with("open descriptor ")).collect();
        assert_eq!(
            open,
            ["open descriptor 0", "open descriptor 2"],
            "besides the report itself, level {level}"
        );
    }
}

/// /dev of a Docker container: path, mode, device number, where a link leads.
const DEVICES: [&str; 15] = [
    "/dev/fd 120777 0:0 /proc/self/fd",
    "/dev/full 20666 1:7",
    "/dev/mqueue 41777 0:0",
    "/dev/null 20666 1:3",
    "/dev/ptmx 120777 0:0 pts/ptmx",
    "/dev/pts 40755 0:0",
    "/dev/pts/ptmx 20666 5:2",
    "/dev/random 20666 1:8",
    "/dev/shm 41777 0:0",
    "/dev/stderr 120777 0:0 /proc/self/fd/2",
    "/dev/stdin 120777 0:0 /proc/self/fd/0",
    "/dev/stdout 120777 0:0 /proc/self/fd/1",
    "/dev/tty 20666 5:0",
    "/dev/urandom 20666 1:9",
    "/dev/zero 20666 1:5",
];

#[test]
fn differences_from_the_installed_engine_are_the_documented_ones() {
    let Some(engine) = Engine::start() else { return };
    // The page's table is of one version.
    if !engine.version().starts_with("20.10.") {
        eprintln!("skipped because the engine to compare with is 20.10.x, here is {}", engine.version());
        return;
    }
    let Some(place) = with_probe(Place::new()) else { return };
    place.dockerfile("FROM scratch\nCOPY --chmod=755 probe /probe\nENTRYPOINT [\"/probe\"]\n");
    place.build(&["-o", "type=docker,dest=app.tar"]).ok();
    engine.docker(&["load", "-i", place.path("app.tar").to_str().expect("a plain path")]).ok();
    let theirs = Report::of(&engine.docker(&["run", "--rm", "--network=none", "app"]).ok().stdout);
    let ours = Report::of(&place.ireko(&["run", "--rm", "--network=none", "app"]).ok().stdout);
    let documented = Row::all();

    let (mut used, mut untold) = (BTreeSet::new(), BTreeSet::new());
    let (theirs_calls, calls) = (theirs.calls(), ours.calls());
    assert!(calls.keys().eq(theirs_calls.keys()), "one of the two was asked about other calls");
    for (call, verdict) in theirs_calls.iter().filter(|(call, verdict)| calls[*call] != **verdict) {
        let name = Profile::of(word(call, 0)).name(word(call, 1));
        match documented.iter().position(|row| row.says(&name, verdict, &calls[call])) {
            Some(row) => used.insert((row, name)),
            None => untold.insert(format!("`{name}` of {}: {verdict}, here {}", word(call, 0), calls[call])),
        };
    }
    for line in theirs.surroundings().symmetric_difference(&ours.surroundings()) {
        let about = about(line);
        if !documented.iter().flat_map(|row| &row.names).any(|name| *name == about) {
            untold.insert(format!("`{about}`: {line}"));
        }
    }
    assert!(untold.is_empty(), "the page does not tell of these differences:\n{untold:#?}");
    for (at, row) in documented.iter().enumerate().filter(|(_, row)| row.is_of_calls()) {
        for name in &row.names {
            assert!(
                used.contains(&(at, name.clone())),
                "the page tells of a difference in `{name}`, there is none"
            );
        }
    }
}

/// What a line that is about no call is about, as a row of the page names it.
fn about(line: &str) -> String {
    match word(line, 0) {
        "cgroup" => "/proc/self/cgroup".to_owned(),
        "deed" => line.split(": ").next().unwrap_or_default().replace("deed ", ""),
        _ if word(line, 1).starts_with("/sys/fs/cgroup") => "/sys/fs/cgroup".to_owned(),
        _ => word(line, 1).trim_end_matches(':').to_owned(),
    }
}

fn word(line: &str, at: usize) -> &str {
    line.split(' ').nth(at).unwrap_or_default()
}

/// A row of the page's table on the installed engine.
struct Row {
    /// Calls, `socket` with its family in brackets; or paths, or deeds.
    names: Vec<String>,
    /// All families of `socket` from this one on.
    families_from: Option<u64>,
    theirs: Vec<&'static str>,
    ours: Vec<&'static str>,
}

impl Row {
    fn all() -> Vec<Self> {
        let (_, table) = PAGE.split_once("\n## The installed engine\n").expect("the section is there");
        let rows =
            table.lines().skip_while(|line| !line.starts_with('|')).take_while(|line| line.starts_with('|'));
        // After the heading and the line below it.
        rows.skip(2).map(Self::of).collect()
    }

    fn of(line: &str) -> Self {
        let cells: Vec<&str> = line.split('|').collect();
        let [_, what, theirs, ours, reason, _] = cells[..] else { panic!("not four cells: `{line}`") };
        assert!(!reason.trim().is_empty(), "no reason: `{line}`");
        let mut names: Vec<String> = what.split('`').skip(1).step_by(2).map(str::to_owned).collect();
        let mut families_from = None;
        if names == ["socket"] {
            let words = what.split(|letter: char| !letter.is_ascii_digit());
            let families: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
            families_from = families.last().copied().filter(|_| what.contains("and up"));
            names = families.iter().map(|family| format!("socket({family})")).collect();
        }
        Self { names, families_from, theirs: verdicts(theirs), ours: verdicts(ours) }
    }

    fn is_of_calls(&self) -> bool {
        !self.theirs.is_empty()
    }

    fn says(&self, name: &str, theirs: &str, ours: &str) -> bool {
        let family =
            name.strip_prefix("socket(").and_then(|rest| rest.trim_end_matches(')').parse::<u64>().ok());
        let in_range = family.zip(self.families_from).is_some_and(|(family, from)| family >= from);
        let named = in_range || self.names.iter().any(|other| other == name);
        named && self.theirs.contains(&theirs) && self.ours.contains(&ours)
    }
}

/// The verdicts on calls that a cell speaks of.
fn verdicts(cell: &str) -> Vec<&'static str> {
    let words = [("call allowed", "allow"), ("`EPERM`", "errno 1"), ("`ENOSYS`", "errno 38")];
    words.into_iter().filter(|(word, _)| cell.contains(word)).map(|(_, verdict)| verdict).collect()
}
