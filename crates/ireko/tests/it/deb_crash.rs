//! `ireko pack --deb` that is killed, has no room, or runs twice at once: the store stays sound, and the same command
//! gives the same image.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use crate::crash::{Moments, alive};
use crate::deb_archive::DebArchive;
use crate::support::Place;

/// An archive with a package whose scripts run and one without, and what they are packed by.
struct Packs {
    /// It keeps its key as long as it is there.
    _archive: DebArchive,
    flags: Vec<String>,
}

impl Packs {
    fn new(place: &Place) -> Option<Self> {
        let mut archive = DebArchive::new(place)?;
        let script = "#!/bin/sh\nset -e\nmkdir -p /var/lib/app\necho made >/etc/app.conf\necho x:x:7:7::/:/x >>/etc/passwd\n";
        archive.script("app", script);
        archive.publish(&[("app", "1"), ("plain", "1\nDepends: left"), ("left", "1")]);
        let flags = archive.flags();
        Some(Self { _archive: archive, flags })
    }

    fn args<'a>(&'a self, package: &'a str) -> Vec<&'a str> {
        let flags: Vec<&str> = self.flags.iter().map(String::as_str).collect();
        [&["pack", "-q", "--suite", "debian:bookworm", "--deb", package, "-t", package], &flags[..]].concat()
    }

    fn start(&self, place: &Place, package: &str) -> Child {
        let mut command = place.command(&self.args(package));
        command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("a process")
    }

    /// The ids of both in a store that nobody else uses.
    fn ids(&self, place: &Place) -> [String; 2] {
        ["app", "plain"].map(|package| {
            let said = place.ireko(&[&self.args(package), &["--home", "fresh"][..]].concat()).ok();
            place.ireko(&["cache", "prune", "--all", "-f", "--home", "fresh"]).ok();
            said.stdout
        })
    }
}

#[track_caller]
fn aftermath(place: &Place, packs: &Packs, ids: &[String; 2]) {
    assert_eq!(alive(place), Vec::<String>::new());
    place.nothing_mounted();
    place.sound();
    let again = ["app", "plain"].map(|package| place.ireko(&packs.args(package)).ok().stdout);
    assert_eq!(&again, ids);
    place.sound();
    place.ireko(&["cache", "prune", "-f", "--unused-for", "0s"]).ok();
    for dir in ["tmp", "trash", "leases"] {
        let left: Vec<_> = fs::read_dir(place.store().join(dir)).expect("a directory").flatten().collect();
        assert!(left.is_empty(), "left in {dir}: {left:?}");
    }
}

#[test]
fn killed_packs_leave_a_sound_store() {
    let Some(place) = Place::new() else { return };
    let Some(packs) = Packs::new(&place) else { return };
    let ids = packs.ids(&place);
    let begin = Instant::now();
    packs.start(&place, "app").wait().expect("an end");
    let length = u64::try_from(begin.elapsed().as_micros()).expect("a short run");
    let mut moments = Moments(11);
    let (mut killed, mut round) = (0, 0);
    while killed < 24 {
        assert!(round < 60, "only {killed} were still running when they were killed");
        // Most rounds begin with nothing in the store, so that there is something to do.
        if round % 4 != 3 {
            place.ireko(&["cache", "prune", "--all", "-f"]).ok();
            let _ = place.ireko(&["rmi", "-f", "app", "plain"]);
        }
        let mut packing: Vec<Child> =
            ["app", "app", "plain"].iter().map(|name| packs.start(&place, name)).collect();
        let begin = Instant::now();
        let mut ends: Vec<u64> = packing.iter().map(|_| moments.next(length * 3 / 2)).collect();
        ends.sort_unstable();
        for (child, end) in packing.iter_mut().zip(ends) {
            std::thread::sleep(Duration::from_micros(end).saturating_sub(begin.elapsed()));
            killed += usize::from(child.try_wait().expect("a state").is_none());
            child.kill().expect("a signal");
        }
        for mut child in packing {
            child.wait().expect("an end");
        }
        round += 1;
        place.sound();
    }
    aftermath(&place, &packs, &ids);
}

#[test]
fn two_packs_at_once_make_one_image() {
    let Some(place) = Place::new() else { return };
    let Some(packs) = Packs::new(&place) else { return };
    let ids = packs.ids(&place);
    for _ in 0..3 {
        let packing: Vec<Child> =
            ["app", "plain", "app", "plain"].iter().map(|name| packs.start(&place, name)).collect();
        let said = packing.into_iter().map(|child| child.wait_with_output().expect("an end"));
        let said: Vec<(bool, String)> = said
            .map(|output| (output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
            .collect();
        let wanted = [&ids[0], &ids[1], &ids[0], &ids[1]].map(|id| (true, id.clone()));
        assert_eq!(said, wanted);
        place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    }
    aftermath(&place, &packs, &ids);
}

#[test]
fn a_full_disk_is_told_and_with_room_the_image_is_the_same() {
    let Some(place) = Place::new() else { return };
    let Some(packs) = Packs::new(&place) else { return };
    let ids = packs.ids(&place);
    let command = |package| packs.args(package).join(" ");
    let (app, plain) = (command("app"), command("plain"));
    let script = format!(
        "for size in 1 2 4 7 9 11 14 18 22 26 32; do
            mount -o remount,size=${{size}}m none $(dirname $IREKO_HOME) || exit 90
            $IREKO {plain} && echo; echo plain $?
            $IREKO {app} && echo; echo app $?
            $IREKO cache fsck >fsck || {{ cat fsck; exit 92; }}
            grep -q $IREKO_HOME/ /proc/self/mounts && exit 93
        done
        mount -o remount,size=400m none $(dirname $IREKO_HOME) || exit 94
        $IREKO {app} || exit 95
        $IREKO {plain} || exit 96
        $IREKO cache fsck >fsck || {{ cat fsck; exit 97; }}
        ls $IREKO_HOME/tmp $IREKO_HOME/leases | grep -v : | grep . && exit 98
        exit 0"
    );
    let world = crate::bad_input::in_small_world(&place, "-t tmpfs -o size=1m,mode=755", &script);
    let Some(said) = world else { return };
    let said = said.ok();
    for text in ["panicked", "Err(", "Os {", "internal"] {
        assert!(!said.stderr.contains(text), "`{text}` is in:\n{}", said.stderr);
    }
    let codes: Vec<&str> = said.stdout.lines().filter_map(|line| line.strip_prefix("app ")).collect();
    assert!(
        codes.contains(&"3") && codes.iter().all(|code| ["0", "3"].contains(code)),
        "{}\n{}",
        said.stdout,
        said.stderr
    );
    assert!(said.stderr.contains("No space left on device"), "{}", said.stderr);
    let lines: Vec<&str> = said.stdout.lines().filter(|line| line.starts_with("sha256:")).collect();
    assert_eq!(lines[lines.len() - 2..], [ids[0].trim(), ids[1].trim()], "{}", said.stdout);
    assert!(lines.iter().all(|line| [ids[0].trim(), ids[1].trim()].contains(line)), "{}", said.stdout);
}
