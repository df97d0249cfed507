//! The level single-id: an ordinary user without subordinate ids, whose layers have the owners that root's have.

use crate::support::{Place, have, is_root};
use std::fs;

/// Each builds on the one before, all owners and modes being the step's doing.
const STEPS: &[&str] = &[
    // Root gives files away: in all ways, and with what a change of owner does to modes.
    "mkdir /o && cd /o && touch a b c d && chown 5:6 a && chown 7 b && chgrp 8 c && chown -R app:extra . && chown 0:0 d",
    "cd /o && touch set && chmod 6755 set && chown 3:4 set && touch kept && chown 3:4 kept && chmod 6755 kept && chmod u+s,g-s kept",
    "cd /o && ln -s a soft && chown -h 9:10 soft && ln -s nowhere dead && chown -h 11:12 dead && mkfifo pipe && chown 13:14 pipe",
    "cd /o && mv soft moved && ln a hard && mv kept kept2 && cp -a set copied && chown 21:22 hard && rm dead && ln -s nowhere dead",
    // Layers below: links, pipes and directories keep theirs, what is written to too.
    "cd /o && touch -h moved && echo x >>b && sed -i s/x/y/ b && chmod 700 c && mkdir -p d2/e && chown 50:51 d2 && mv d2/e d2/f",
    "cd /o && rm pipe && mkfifo pipe && ln -sf other moved && cp -a moved again && chown 0 a",
    // A directory that hands its group on.
    "mkdir /s && chown 0:60 /s && chmod 2775 /s && cd /s && touch f && mkdir d d/e && ln -s f l && mkfifo p && touch d/e/g",
    // Other users, whose files are theirs.
    "mkdir -p /home/app && chown app:app /home/app && su app -c 'cd && touch f && mkdir d && ln -s f l && mkfifo p && umask 077 && echo x >g && cp f h && ln f i'",
    "su app -c 'chown app:extra /home/app/f && ! chown 0 /home/app/f 2>/dev/null && ! chgrp 99 /home/app/g 2>/dev/null'",
    "su app -s /bin/sh -c 'id -u; id -G; stat -c %u:%g:%a /home/app/f /o/hard' >/said && find / -xdev -user app | sort >>/said",
    "cp /usr/bin/busybox /id && chown 1000:1001 /id && chmod 6755 /id && cd /tmp && mkdir t && chown 40:41 t",
    "tar -C / -cf /t.tar o s home && mkdir /x && tar -C /x -xpf /t.tar && rm /t.tar",
    "mknod /whole p && chown -R 70:71 /x/o && tar -C /x -c o | tar -t -v | awk '{print $2}' | sort -u >/owners",
];

const TAIL: &str = "USER app\nWORKDIR /home/app/work\nRUN touch made && id >id && stat -c %u made >>id\nUSER 1234:77\n\
    RUN touch /tmp/z && mkdir /tmp/y && stat -c %u:%g /tmp/y >/tmp/z\nUSER 0\nCOPY --chown=90:91 --chmod=4755 f /given/\n\
    ADD t.tar /added/\nRUN stat -c '%n %u:%g %a' /given /given/f /added/a /added/l >/seen && chown 92 /given/f\n\
    RUN --mount=type=bind,from=other,source=/o,target=/m cp -a /m /bound && stat -c %u:%g /m/l >/bound/told\n";

fn dockerfile() -> String {
    let steps: Vec<String> = STEPS.iter().map(|step| format!("RUN {step}\n")).collect();
    let other = "FROM base AS other\nRUN mkdir /o && ln -s f /o/l && chown -h 7:8 /o/l && chown 9:9 /o\n";
    format!("{other}FROM base\n{}{TAIL}", steps.concat())
}

fn context(place: &Place) {
    place.file("f", "given\n");
    let tar = ireko_testkit::TarStream::new().file("a", "A\n").symlink("l", "a").bytes();
    fs::write(place.context().join("t.tar"), tar).expect("a file");
    place.dockerfile(&dockerfile());
}

/// The step that a layer is of, as far as it is one of the list; layers come from the base first.
fn step(layer: usize, layers: usize) -> &'static str {
    let tail =
        TAIL.lines().filter(|line| ["RUN", "COPY", "ADD", "WORKDIR"].iter().any(|it| line.starts_with(it)));
    let first = layers - STEPS.len() - tail.count();
    layer.checked_sub(first).and_then(|at| STEPS.get(at)).copied().unwrap_or("a step after the list")
}

/// What each layer holds: paths, types, modes, owners, links, attributes, bytes. In one store, each level reads what the
/// other wrote.
#[test]
fn layers_are_those_of_root() {
    let Some(place) = Place::ordinary_at("single-id").and_then(Place::and_base) else { return };
    context(&place);
    let build = |place: &Place, how: &str, name: &str| {
        place.ireko(&["--snapshotter", how, "build", "--no-cache", "-q", "-t", name, "context"]).ok();
        place.contents(name)
    };
    let ways = ["overlay", "copy"].map(|how| (how, build(&place, how, how)));
    place.sound();
    if !is_root() {
        eprintln!("skipped because only root can build at level root");
        return;
    }
    let place = place.into_root();
    for (how, single) in ways {
        let name = format!("root-{how}");
        let root = build(&place, how, &name);
        let differ: Vec<&str> = (0..root.len())
            .filter(|at| root.get(*at) != single.get(*at))
            .map(|at| step(at, root.len()))
            .collect();
        assert_eq!(differ, Vec::<&str>::new(), "{how}");
    }
    place.sound();
}

/// Layers made at one level are unpacked anew for the other, each with its own kind of owners.
#[test]
fn one_store_serves_all_levels_in_turn() {
    let Some(place) = Place::ordinary_at("single-id").and_then(Place::and_base) else { return };
    place.dockerfile("FROM base\nRUN touch /a && chown 5:6 /a && ln -s a /l && chown -h 7:8 /l\n");
    place.build(&[]).ok();
    let show = ["run", "--rm", "app", "stat", "-c", "%u:%g", "/a", "/l"];
    assert_eq!(place.ireko(&show).ok().stdout, "5:6\n7:8\n");
    let mut other = vec!["--level", "rootless"];
    other.extend(show);
    if place.ireko(&["--level", "rootless", "doctor"]).code == 0 {
        assert_eq!(place.ireko(&other).ok().stdout, "5:6\n7:8\n");
    }
    // A step of another class is another step, however alike its result.
    let said = place.build(&[]).ok();
    assert_eq!(said.ran(), Vec::<String>::new());
    if is_root() {
        let place = place.into_root();
        assert_eq!(place.ireko(&show).ok().stdout, "5:6\n7:8\n");
        assert_eq!(place.build(&[]).ok().ran().len(), 1);
        place.dockerfile("FROM app\nRUN chown 9 /a && stat -c %u:%g /a /l >/said\n");
        place.ireko(&["build", "-q", "-t", "more", "context"]).ok();
        assert_eq!(place.ireko(&["run", "--rm", "more", "cat", "/said"]).ok().stdout, "9:6\n7:8\n");
        place.sound();
    }
}

#[test]
fn the_level_and_its_limits_are_told() {
    let Some(place) = Place::ordinary_at("single-id").and_then(Place::and_base) else { return };
    place.dockerfile("FROM base\nRUN ! mknod /c c 1 3 2>/why && grep -q 'not permitted' /why && grep -q ' 1$' /proc/self/uid_map\n");
    let said = place.ireko(&["--verbose", "build", "-t", "app", "context"]).ok();
    assert!(said.stderr.contains("sandbox level: single-id"), "{}", said.stderr);
    let doctor = place.ireko(&["doctor"]).ok().stdout;
    assert!(doctor.contains("ok    sandbox level `single-id`"), "{doctor}");
    assert!(doctor.ends_with("steps run at level `single-id`\n"), "{doctor}");
    // A file of the host's, seen in the step, cannot be given away either.
    assert_eq!(place.ireko(&["run", "--rm", "-u", "app", "app", "id", "-u"]).ok().stdout, "1000\n");
    place.nothing_mounted();
}

/// Without ids of /etc/subuid, this is the best level there is.
#[test]
fn a_user_without_subordinate_ids_gets_it_by_itself() {
    if !is_root() {
        eprintln!("skipped because only root can become somebody without subordinate ids");
        return;
    }
    if !have(&["setpriv"]) {
        return;
    }
    let Some(place) = Place::ordinary() else { return };
    let home = place.path("alone");
    fs::create_dir(&home).expect("a directory");
    std::os::unix::fs::chown(&home, Some(64_321), Some(64_321)).expect("an owner");
    let home = home.display().to_string();
    let place = place.into_root();
    let ids = ["setpriv", "--reuid", "64321", "--regid", "64321", "--clear-groups"];
    let doctor = place.command_by(&ids, &["--home", &home, "doctor"]).output().expect("ireko runs");
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    if said.contains("no    sandbox level `single-id`") {
        eprintln!("skipped because user namespaces do not work here:\n{said}");
        return;
    }
    assert!(said.ends_with("steps run at level `single-id`\n"), "{said}");
    assert!(said.contains("usermod --add-subuids"), "{said}");
}

/// Whoever a process is said to be, its questions get one answer; and what root is refused, as rootless.
#[test]
fn users_are_who_they_are_said_to_be() {
    let Some(place) = Place::ordinary_at("single-id").and_then(Place::and_base) else { return };
    place.dockerfile(
        "FROM base\nUSER app\nRUN id -u && id -G && id -u -n && touch /tmp/a && stat -c %u:%g /tmp/a && \\
            ! chown 5 /tmp/a && chgrp extra /tmp/a && stat -c %g /tmp/a && ls -n /tmp/a | cut -c1-14\n\
         USER 0\nRUN chmod 4755 /usr/bin/busybox && chown 3:4 /usr/bin/busybox && test ! -u /usr/bin/busybox && \\
            su app -c 'id -u; mkfifo /tmp/p; ls -n /tmp/p' && tar -c /tmp/p 2>/dev/null | tar -tv && find /tmp -user app | wc -l\n",
    );
    let said = place.build(&["--no-cache"]).ok().stderr;
    let told: Vec<&str> =
        said.lines().filter_map(|line| line.split_once("] | ")).map(|(_, text)| text).collect();
    let of_app: Vec<&str> =
        told.iter().filter(|line| !line.contains("not permitted")).take(5).copied().collect();
    assert_eq!(of_app, ["1000", "1000 1001", "app", "1000:1000", "1001"]);
    assert!(told.iter().any(|line| line.contains("prw-r--r--") && line.contains("1000")), "{said}");
    assert!(told.iter().any(|line| line.contains("app/app") && line.contains("tmp/p")), "{said}");
    assert_eq!(told.last(), Some(&"2"), "{said}");
}

/// The thread that answers is ireko's own: with it gone, so is the step.
#[test]
fn nothing_outlives_a_killed_build() {
    let Some(place) = Place::ordinary_at("single-id").and_then(Place::and_base) else { return };
    let mark = format!("{}", 90_000 + std::process::id() % 9_999);
    place.dockerfile(&format!("FROM base\nRUN sleep {mark} & su app -c 'sleep {mark}'\n"));
    let sleepers = || {
        let all = fs::read_dir("/proc").expect("a directory").flatten();
        let lines = all.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let own =
            |line: &Vec<u8>| line.starts_with(b"sleep") && line.ends_with(format!("{mark}\0").as_bytes());
        lines.filter(own).count()
    };
    let wait_for = |count: usize| {
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
        while sleepers() != count && std::time::Instant::now() < deadline {
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        assert_eq!(sleepers(), count);
    };
    let mut build = place.command(&["build", "-q", "context"]).spawn().expect("a process");
    wait_for(2);
    build.kill().expect("a signal");
    build.wait().expect("an end");
    wait_for(0);
    place.nothing_mounted();
    place.sound();
}

#[test]
fn a_base_that_another_level_unpacked_is_told_and_can_be_written_for_all() {
    if Place::ordinary_at("single-id").is_none() {
        return;
    }
    let Some(place) = Place::ordinary_at("rootless").and_then(Place::and_base) else { return };
    place.dockerfile("FROM base\nRUN id -u >/f\n");
    let at =
        |level: &str| place.ireko(&["--level", level, "build", "--progress=plain", "-t", "app", "context"]);
    let says = [
        "of `base:latest` is in the store, but only unpacked by sandbox level `rootless`",
        "save --type oci",
    ];
    at("single-id").fails(3, &says);
    let archive = place.path("base.oci");
    let archive = archive.to_str().expect("a name");
    place.ireko(&["--level", "single-id", "save", "base", "-o", archive]).fails(3, &says);
    // What the hint says: written once by the other level, or the image made here too, which may be the same layer.
    place.ireko(&["--level", "rootless", "save", "--type", "oci", "base", "-o", archive]).ok();
    at("single-id").ok();
    let base = place.path("base");
    let base = base.to_str().expect("a name");
    place.ireko(&["--level", "single-id", "build", "-q", "-t", "here", base]).ok();
    place.dockerfile("FROM here\nRUN id -u >/f\n");
    at("single-id").ok();
    place.sound();
}
