//! The binary on a terminal: what a person sees and types.
#![expect(clippy::unwrap_used, reason = "a fixture that fails should fail the test at once")]

use crate::support::{Place, have, is_root};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A program on a terminal of its own, and who sits there.
struct Seat {
    terminal: File,
    /// The program's end, kept so that its modes can be seen when the program has ended.
    theirs: OwnedFd,
    child: Child,
    seen: String,
    /// The begin of a character whose end has not come yet.
    cut: Vec<u8>,
    /// How much of it was looked for already.
    passed: usize,
}

impl Seat {
    /// The binary with these arguments on a terminal of 80 columns.
    fn take(place: &Place, args: &[&str]) -> Option<Self> {
        Self::with(place, args, &[])
    }

    fn with(place: &Place, args: &[&str], variables: &[(&str, &str)]) -> Option<Self> {
        if !have(&["setsid"]) {
            return None;
        }
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let name = ptsname(&terminal, Vec::new()).unwrap();
        let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
        let theirs = rustix::fs::open(name, flags, Mode::empty()).unwrap();
        let mut command = place.command_by(&["setsid", "--ctty"], args);
        let stream = || Stdio::from(theirs.try_clone().unwrap());
        command.stdin(stream()).stdout(stream()).stderr(stream()).env("TERM", "xterm");
        command.envs(variables.iter().copied());
        let mut seat = Self {
            terminal: File::from(terminal),
            child: command.spawn().unwrap(),
            theirs,
            seen: String::new(),
            cut: Vec::new(),
            passed: 0,
        };
        seat.resize(24, 80);
        Some(seat)
    }

    fn resize(&mut self, rows: u16, columns: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        tcsetwinsize(&self.terminal, size).unwrap();
    }

    /// Reads what comes within a moment.
    fn look(&mut self) {
        let mut fds = [PollFd::new(&self.terminal, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 50_000_000 })).unwrap();
        if !fds[0].revents().contains(PollFlags::IN) {
            return;
        }
        let mut buffer = [0; 4096];
        let count = self.terminal.read(&mut buffer).unwrap_or(0);
        self.cut.extend(&buffer[..count]);
        let whole = match str::from_utf8(&self.cut) {
            Err(error) if error.error_len().is_none() => error.valid_up_to(),
            _ => self.cut.len(),
        };
        let bytes: Vec<u8> = self.cut.drain(..whole).collect();
        self.seen.push_str(&String::from_utf8_lossy(&bytes));
    }

    /// Waits until this comes, after what was waited for before.
    #[track_caller]
    fn sees(&mut self, text: &str) {
        let began = Instant::now();
        loop {
            if let Some(at) = self.seen[self.passed..].find(text) {
                self.passed += at + text.len();
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(60), "no `{text}` in:\n{}", self.seen);
            self.look();
        }
    }

    fn types(&mut self, text: &str) {
        self.terminal.write_all(text.as_bytes()).unwrap();
    }

    /// Waits until the program ends: its exit code, and all that was seen.
    fn ends(mut self) -> (i32, String) {
        let began = Instant::now();
        loop {
            self.look();
            if let Some(status) = self.child.try_wait().unwrap() {
                self.look();
                let modes = tcgetattr(&self.theirs).unwrap().local_modes;
                assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "left raw:\n{}", self.seen);
                return (status.code().unwrap_or(-1), self.seen);
            }
            assert!(began.elapsed() < Duration::from_secs(60), "it does not end:\n{}", self.seen);
        }
    }
}

const BUILD: [&str; 5] = ["build", "--on-failure=shell", "-t", "app", "context"];

/// A step that leaves something in each of its mounts and fails.
const FAILING: &str = "FROM base\nWORKDIR /work\nENV WHAT=variable\nUSER app\n\
    RUN --network=none --mount=type=cache,target=/cache,uid=1000 --mount=type=tmpfs,target=/fast \\\n  \
    --mount=type=bind,source=f,target=/f --mount=type=secret,id=token,mode=0444 \\\n  \
    echo cached > /cache/a; echo in memory > /fast/a; echo written > /tmp/a; ln -s x /tmp/l; echo its log; exit 7\n";

fn looks_around(place: &Place) {
    place.file("f", "from the context\n");
    std::fs::write(place.path("token"), "a secret\n").unwrap();
    place.dockerfile(FAILING);
    let args = [&BUILD[..], &["--secret=id=token,src=token"]].concat();
    let Some(mut seat) = Seat::take(place, &args) else { return };
    for text in [
        "the step failed with exit code 7",
        "Dockerfile:5",
        "| its log",
        "`/bin/sh` as app in /work",
        "`exit` ends the build",
    ] {
        seat.sees(text);
    }
    seat.types("cat /cache/a /fast/a /tmp/a /f /run/secrets/token; echo $WHAT $(pwd) $(id -u) $TERM\n");
    for text in
        ["cached", "in memory", "written", "from the context", "a secret", "variable /work 1000 xterm"]
    {
        seat.sees(text);
    }
    seat.types("stat -c '%u of link' /tmp/l; ls /sys/class/net | wc -l\n");
    seat.sees("1000 of link");
    seat.types("sh -c 'echo beg''un; exec sleep 1000'\n");
    seat.sees("begun");
    seat.types("\x03");
    seat.types("echo st''ill here\n");
    seat.sees("still here");
    seat.resize(33, 99);
    seat.types("until stty size | grep '33 99'; do usleep 20000; done\n");
    seat.sees("\n33 99");
    seat.types("touch /tmp/shell; exit 3\n");
    let (code, seen) = seat.ends();
    assert_eq!(code, 1, "{seen}");
    let (_, after) = seen.rsplit_once("exit 3").unwrap();
    assert!(after.contains("error: ") && after.contains("exit code 7"), "{seen}");
    assert!(!after.contains("no shell in"), "{seen}");
    place.nothing_mounted();
    place.sound();
    // Nothing of it was remembered, but the cache mount.
    place.dockerfile(&FAILING.replace("exit 7", "ls /tmp /cache"));
    let said = place.build(&["--secret=id=token,src=token"]).ok().stderr;
    assert!(said.contains("| a\n") && !said.contains("| shell"), "{said}");
}

#[test]
fn a_shell_in_a_failed_step() {
    let Some(place) = Place::with_base() else { return };
    looks_around(&place);
}

#[test]
fn an_ordinary_users_shell_in_a_failed_step() {
    let Some(place) = Place::ordinary_with_base().filter(|_| is_root()) else { return };
    looks_around(&place);
}

#[test]
fn a_shell_on_a_copied_tree_with_one_id() {
    let Some(place) = Place::ordinary_at("single-id").and_then(Place::and_base) else { return };
    looks_around(&place);
}

#[test]
fn other_steps_end_when_a_shell_opens_and_a_signal_ends_it() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "FROM base AS a\nRUN sleep 600\nFROM base AS b\nRUN sleep 1; exit 9\n\
         FROM base\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n",
    );
    let Some(mut seat) = Seat::take(&place, &BUILD) else { return };
    seat.sees("exit code 9");
    seat.types("echo ru''nning\n");
    seat.sees("running");
    // The first wish ends the shell, not the process.
    let pid = rustix::process::Pid::from_child(&seat.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let (code, seen) = seat.ends();
    assert_eq!(code, 1, "{seen}");
    assert!(seen.contains("sleep 600: ") && seen.contains("cancelled"), "{seen}");
    place.nothing_mounted();
    place.sound();
}

#[test]
fn nothing_is_left_of_a_shell_without_namespaces() {
    let Some(place) = Place::with_base().filter(|_| is_root()) else { return };
    let marker = format!("{}", 5_000_000 + std::process::id());
    place.dockerfile("FROM base\nRUN false\n");
    let args = [&["--level=none", "--isolation=chroot"][..], &BUILD].concat();
    let Some(mut seat) = Seat::take(&place, &args) else { return };
    seat.sees("`exit` ends the build");
    seat.types(&format!("(setsid sleep {marker} &); sleep {marker} & echo be''gun\n"));
    seat.sees("begun");
    let pid = rustix::process::Pid::from_child(&seat.child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let (code, seen) = seat.ends();
    assert_eq!(code, 1, "{seen}");
    let found = Command::new("pgrep").args(["-f", &format!("sleep {marker}")]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    place.sound();
}

#[test]
fn where_there_is_no_shell_it_is_said_once() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN false\n");
    place.build(&["--on-failure=shell"]).fails(2, &["`--on-failure=shell` needs a terminal", "ireko logs"]);

    // A person who may not know of it is told, where it would work.
    let hint = "hint: `--on-failure=shell` opens a shell";
    assert!(!place.build(&[]).stderr.contains(hint));
    let Some(seat) = Seat::take(&place, &["build", "context"]) else { return };
    assert!(seat.ends().1.contains(hint));

    place.dockerfile("FROM base\nCOPY --from=base /nothing /\n");
    let Some(seat) = Seat::take(&place, &BUILD) else { return };
    let (code, seen) = seat.ends();
    assert!(
        code != 0 && seen.contains("no shell in the failed step: only a RUN step whose command ran has one"),
        "{seen}"
    );

    std::fs::copy(place.path("base/busybox"), place.context().join("busybox")).unwrap();
    place.dockerfile("FROM scratch\nCOPY --chmod=755 busybox /busybox\nRUN [\"/busybox\", \"false\"]\n");
    let (code, seen) = Seat::take(&place, &BUILD).unwrap().ends();
    assert!(
        code == 1 && seen.contains("no shell in the failed step: the image has none that runs (`/bin/sh`)"),
        "{seen}"
    );
    assert_eq!(seen.matches("no shell in").count(), 1, "{seen}");
}

#[test]
fn a_container_hears_of_another_size() {
    let Some(place) = Place::with_base() else { return };
    let Some(mut seat) = Seat::take(&place, &["run", "--rm", "-it", "base"]) else { return };
    seat.types("stty size\n");
    seat.sees("24 80");
    seat.resize(31, 87);
    seat.types("until stty size | grep '31 87'; do usleep 20000; done; exit 5\n");
    seat.sees("\n31 87");
    let (code, seen) = seat.ends();
    assert_eq!(code, 5, "{seen}");
}

#[test]
fn forty_stages_are_watched_side_by_side() {
    let Some(place) = Place::with_base() else { return };
    let mut text = String::new();
    for stage in 0..40 {
        text += &format!(
            "FROM base AS stage-{stage}\nRUN echo 日本語日本語日本語日本語日本語日本語日本語日本語日本語日本語; sleep 3; \
             echo {stage} > /out\n"
        );
    }
    text += "FROM base\n";
    for stage in 0..40 {
        text += &format!("COPY --from=stage-{stage} /out /out{stage}\n");
    }
    text += "RUN head -c 3000000 /dev/zero > /zero\n";
    place.dockerfile(&text);
    let Some(mut seat) = Seat::take(&place, &["build", "-j", "40", "-t", "app", "context"]) else { return };
    seat.sees("0 of 81 steps, 40 running");
    seat.sees("and 19 more");
    seat.resize(15, 60);
    seat.sees("and 28 more");
    seat.resize(24, 80);
    seat.sees("and 19 more");
    let (code, seen) = seat.ends();
    assert_eq!(code, 0, "{seen}");
    // No line is wider than the terminal was, so the moving part was always erased as a whole.
    let wide = seen.split('\n').map(shown).find(|line| columns(line) > 80);
    assert_eq!(wide, None, "{seen}");
    let lines: Vec<String> = seen.lines().map(shown).filter(|line| !line.is_empty()).collect();
    let last = &lines[lines.len() - 2..];
    assert!(last[0].starts_with("built in ") && last[0].contains("0 of 81 steps remembered"), "{last:?}");
    assert!(last[1].contains("largest: 3.0") && last[1].contains("MB RUN head -c"), "{last:?}");

    // A build of the same has nothing new to say of sizes.
    let again = place.build(&[]).ok().stderr;
    assert!(again.contains("81 of 81 steps remembered") && !again.contains("largest"), "{again}");
}

/// A line without what moves the cursor and paints.
fn shown(line: &str) -> String {
    let mut parts = line.split('\u{1b}');
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.filter_map(|part| Some(part.split_once(|char: char| char.is_ascii_alphabetic())?.1));
    rest.fold(first, |line, part| line + part).replace('\r', "")
}

/// The columns it takes: what is Chinese or Japanese takes two.
fn columns(line: &str) -> usize {
    line.chars().map(|char| if ('\u{2e80}'..'\u{a000}').contains(&char) { 2 } else { 1 }).sum()
}

#[test]
fn a_terminal_that_cannot_be_drawn_over_gets_a_plain_log() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "FROM base\nRUN sleep 1; printf '1%%\\r2%%\\r3%%\\n'; head -c 3000000 /dev/zero > /zero\n",
    );
    let args = ["build", "-t", "app", "context"];
    let Some(seat) = Seat::with(&place, &args, &[("TERM", "dumb")]) else { return };
    let (code, seen) = seat.ends();
    assert!(code == 0 && !seen.contains('\u{1b}'), "{seen}");
    assert!(seen.contains("[2/2] | 3%") && seen.contains("largest: 3.0"), "{seen}");
    place.dockerfile("FROM base\nRUN sleep 1\n");
    let (code, seen) = Seat::with(&place, &args, &[("NO_COLOR", "1")]).unwrap().ends();
    // It moves, and has no colours.
    assert!(code == 0 && seen.contains("\u{1b}[K"), "{seen}");
    let paints = |part: &str| part.find(char::is_alphabetic).is_some_and(|at| part[at..].starts_with('m'));
    assert!(!seen.split('\u{1b}').skip(1).any(paints), "{seen:?}");
}

#[test]
fn a_step_that_waits_says_for_what() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "FROM base AS a\nRUN --mount=type=cache,target=/c,sharing=locked sleep 2\n\
         FROM base AS b\nRUN --mount=type=cache,target=/c,sharing=locked sleep 2; echo b\n\
         FROM base\nCOPY --from=a /etc/passwd /a\nCOPY --from=b /etc/passwd /b\n",
    );
    let said = place.build(&["--no-cache"]).ok().stderr;
    assert_eq!(said.matches("2/2] waiting for cache `/c`\n").count(), 1, "{said}");
    let Some(mut seat) = Seat::take(&place, &["build", "--no-cache", "context"]) else { return };
    seat.sees(": waiting for cache `/c`");
    seat.sees("(cache not asked)");
    let at = seat.passed;
    let (code, seen) = seat.ends();
    assert!(code == 0 && !seen[at..].contains("waiting for"), "{seen}");
}
