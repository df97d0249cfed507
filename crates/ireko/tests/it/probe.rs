//! What a step may do and what it sees, told by a program inside it (`tests/probe/probe.c`) and held against Docker's
//! published profile, and against the installed engine with the differences that `docs/user/sandbox.md` lists.

use crate::support::{Place, Said, is_root};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/probe/probe.c");
const PROFILE: &str = include_str!("../probe/docker-profile.txt");
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

/// Calls newer than the installed kernel headers, of all conventions but where they are listed below.
const NEWER: [(&str, u32); 17] = [
    ("uretprobe", 335),
    ("cachestat", 451),
    ("fchmodat2", 452),
    ("map_shadow_stack", 453),
    ("futex_wake", 454),
    ("futex_wait", 455),
    ("futex_requeue", 456),
    ("statmount", 457),
    ("listmount", 458),
    ("lsm_get_self_attr", 459),
    ("lsm_set_self_attr", 460),
    ("lsm_list_modules", 461),
    ("mseal", 462),
    ("setxattrat", 463),
    ("getxattrat", 464),
    ("listxattrat", 465),
    ("removexattrat", 466),
];

/// Those of [`NEWER`] that a convention lacks.
const LACKS: [(&str, &str); 4] =
    [("i386", "uretprobe"), ("aarch64", "uretprobe"), ("x32", "uretprobe"), ("x32", "map_shadow_stack")];

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
        assert!(count("allow") > 300 && count("errno 1") > 100 && count("errno 38") > 50, "{}", calls.len());
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
    if !is_root() {
        eprintln!("skipped because only root starts an engine");
        return;
    }
    let Some(place) = with_probe(Place::new()) else { return };
    place.dockerfile("FROM scratch\nCOPY --chmod=755 probe /probe\nENTRYPOINT [\"/probe\"]\n");
    place.build(&["-o", "type=docker,dest=app.tar"]).ok();
    let Some(engine) = Engine::start(place.path("engine")) else { return };
    engine.docker(&["load", "-i", place.path("app.tar").to_str().expect("a plain path")]);
    let theirs = Report::of(&engine.docker(&["run", "--rm", "--network=none", "app"]));
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

/// The published profile for a container's capabilities, by the numbers of one convention.
struct Profile {
    numbers: BTreeMap<String, u32>,
    rules: Vec<Rule>,
}

struct Rule {
    verdict: String,
    /// The operator and value that the first argument is tested by.
    test: Option<(&'static str, u64)>,
    calls: Vec<&'static str>,
}

impl Profile {
    fn of(convention: &str) -> Self {
        Self { numbers: numbers(convention), rules: PROFILE.lines().filter_map(Rule::of).collect() }
    }

    /// What happens to a call by number, with its first argument in brackets if it is not zero.
    fn verdict(&self, call: &str) -> String {
        let (number, argument) = parts(call);
        let named: Vec<&Rule> = self.rules.iter().filter(|rule| rule.names(&self.numbers, number)).collect();
        if let Some(rule) =
            named.iter().filter(|rule| rule.verdict == "allow").find(|rule| rule.passes(argument))
        {
            return rule.verdict.clone();
        }
        if let Some(rule) =
            named.iter().filter(|rule| rule.verdict != "allow").find(|rule| rule.passes(argument))
        {
            return rule.verdict.replace("errno=", "errno ");
        }
        let newest =
            self.rules.iter().flat_map(|rule| &rule.calls).filter_map(|name| self.numbers.get(*name)).max();
        // As runc has it: programs are to take newer calls for missing ones.
        if newest.is_none_or(|newest| number > *newest) { "errno 38" } else { "errno 1" }.to_owned()
    }

    /// The name of a call by number, for people.
    fn name(&self, call: &str) -> String {
        let (number, argument) = parts(call);
        let name = self.numbers.iter().find(|(_, other)| **other == number).map(|(name, _)| name.clone());
        let name = name.unwrap_or_else(|| number.to_string());
        if call.contains('(') { format!("{name}({argument})") } else { name }
    }
}

impl Rule {
    /// A rule, if it applies to a container with Docker's capabilities on this machine.
    fn of(line: &'static str) -> Option<Self> {
        let (conditions, calls) = line.split_once(':').filter(|_| !line.starts_with('#'))?;
        let machine = if cfg!(target_arch = "x86_64") { "amd64" } else { "arm64" };
        let held = |name: &str| CAPABILITIES.iter().any(|(other, _)| *other == name);
        let mut test = None;
        for condition in conditions.split(' ').skip(1) {
            let applies = match condition.split_once('=') {
                Some(("arch", list)) => list.split(',').any(|other| other == machine),
                Some(("cap", name)) => held(name),
                Some(("nocap", name)) => !held(name),
                _ => {
                    test = Some(Self::test(condition));
                    true
                }
            };
            if !applies {
                return None;
            }
        }
        Some(Self {
            verdict: word(conditions, 0).to_owned(),
            test,
            calls: calls.split_whitespace().collect(),
        })
    }

    fn test(condition: &'static str) -> (&'static str, u64) {
        let test = condition.strip_prefix("arg0").expect("only first arguments are tested");
        let (operator, value) =
            test.split_at(test.find(|letter: char| letter.is_ascii_digit()).expect("a value"));
        (operator, value.trim_end_matches("==0").parse().expect("a number"))
    }

    fn names(&self, numbers: &BTreeMap<String, u32>, number: u32) -> bool {
        self.calls.iter().any(|name| numbers.get(*name) == Some(&number))
    }

    fn passes(&self, argument: u64) -> bool {
        match self.test {
            None => true,
            Some(("<", value)) => argument < value,
            Some(("==", value)) => argument == value,
            Some(("&", mask)) => argument & mask == 0,
            Some((other, _)) => panic!("no test is called `{other}`"),
        }
    }
}

/// The number of a call and its first argument, of `41` or `41(0x2)`.
fn parts(call: &str) -> (u32, u64) {
    let (number, argument) = call.split_once("(0x").unwrap_or((call, "0)"));
    let argument = u64::from_str_radix(argument.trim_end_matches(')'), 16).expect("a number");
    (number.parse().expect("a number"), argument)
}

/// The calls of a convention by the kernel's own headers, and those that are newer.
fn numbers(convention: &str) -> BTreeMap<String, u32> {
    let header = match convention {
        "x86_64" => "asm/unistd_64.h",
        "i386" => "asm/unistd_32.h",
        "x32" => "asm/unistd_x32.h",
        _ => "asm/unistd.h",
    };
    let text = Command::new("gcc").args(["-E", "-dM", "-include", header, "-x", "c", "/dev/null"]).output();
    let text = String::from_utf8(text.expect("the headers").stdout).expect("text");
    let defined: BTreeMap<&str, &str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("#define __NR")?.split_once(' '))
        .map(|(name, value)| (name, value.trim()))
        .collect();
    let number = |value: &str| {
        // One name may stand for another, and x32 adds its mark.
        let value = value.strip_prefix("__NR").and_then(|name| defined.get(name).copied()).unwrap_or(value);
        value.trim_start_matches("(__X32_SYSCALL_BIT + ").trim_end_matches(')').parse().ok()
    };
    let known =
        defined.iter().filter_map(|(name, value)| Some((name.strip_prefix('_')?.to_owned(), number(value)?)));
    let lacks = |name: &str| LACKS.contains(&(convention, name));
    let newer =
        NEWER.iter().filter(|(name, _)| !lacks(name)).map(|(name, number)| ((*name).to_owned(), *number));
    let all: BTreeMap<String, u32> = newer.chain(known).collect();
    assert!(all.len() > 250, "the headers name {} calls of {convention}", all.len());
    all
}

/// A Docker engine of this test's own, with all it mounts in a mount namespace of its own.
struct Engine {
    daemon: Child,
    folder: PathBuf,
}

impl Engine {
    /// Started, or `None` with one line why: the page's table is of one version.
    fn start(folder: PathBuf) -> Option<Self> {
        const DOCUMENTED: &str = "20.10.";
        let version = Command::new("dockerd").arg("--version").output();
        let version =
            version.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
        if !version.contains(DOCUMENTED) {
            eprintln!(
                "skipped because the engine to compare with is {DOCUMENTED}x, here is: {}",
                version.trim()
            );
            return None;
        }
        fs::create_dir(&folder).expect("a folder");
        let log = fs::File::create(folder.join("log")).expect("a log");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "dockerd", "--bridge=none", "--iptables=false"]);
        command.args(["--ip-forward=false", "--ip-masq=false"]);
        for (flag, name) in [("--data-root", "data"), ("--exec-root", "exec"), ("--pidfile", "pid")] {
            command.arg(flag).arg(folder.join(name));
        }
        command.arg("--host").arg(format!("unix://{}", folder.join("socket").display()));
        let daemon = command.stdout(Stdio::null()).stderr(log).spawn().expect("a process");
        let mut engine = Self { daemon, folder };
        for _ in 0..300 {
            if engine.command(&["version"]).output().is_ok_and(|output| output.status.success()) {
                return Some(engine);
            }
            if engine.daemon.try_wait().is_ok_and(|ended| ended.is_some()) {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("no engine: {}", fs::read_to_string(engine.folder.join("log")).unwrap_or_default());
    }

    fn command(&self, args: &[&str]) -> Command {
        // Debian's own client: a newer one on PATH may not speak with this engine.
        let mut command = Command::new("/usr/bin/docker");
        command.args(args).env("DOCKER_HOST", format!("unix://{}", self.folder.join("socket").display()));
        command.env("DOCKER_CONFIG", &self.folder).env_remove("DOCKER_CONTEXT").stdin(Stdio::null());
        command
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        Said::of(self.command(args).output().expect("a client")).ok().stdout
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // A signal that lets it end its containerd; it is ours, so the pid is right until we wait.
        if let Some(pid) = i32::try_from(self.daemon.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.daemon.wait();
    }
}
