//! Machines that fail: no inodes, no memory, disks that cannot be read or written, a power cut.
//!
//! A disk is an ext4 file system in a file, by a loop device. Cut short under a mounted file system, its end cannot be
//! read any more; on a memory file system that is full, it cannot be written. Neither needs a device mapper.

use crate::bad_input::in_small_world;
use crate::support::{Place, Said, is_root};
use std::fs;
use std::os::unix::process::ExitStatusExt;

const DOCKERFILE: &str = "FROM base AS one\nCOPY d /d\nRUN cat /d/* | sha256sum >/sum; seq 3000 >/seq\n\
    FROM base\nARG N\nCOPY --from=one /sum /seq /out/\nCOPY d /d\nRUN --mount=type=cache,target=/m echo $N | tee /m/n >/last; rm /d/1\n";

/// What the image of it holds, as one line.
const PICTURE: &str = "cat /out/* /d/* /last | sha256sum";

fn context(place: &Place) {
    place.dockerfile(DOCKERFILE);
    for at in 0..40 {
        place.file(&format!("d/{at}"), &"some text\n".repeat(at * 100 + 1));
    }
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
}

/// The pictures of the images for `N=0` and so on, from an undisturbed store.
fn pictures(place: &Place, count: usize) -> Vec<String> {
    let of = |n| {
        place.build(&["--build-arg", &format!("N={n}")]).ok();
        place.inside(PICTURE)
    };
    (0..count).map(of).collect()
}

/// Whether file systems in files can be mounted here.
fn have_loops() -> bool {
    if !is_root() {
        eprintln!("skipped because only root can mount a disk");
        return false;
    }
    crate::support::have(&["mkfs.ext4", "losetup", "mount"])
}

/// Runs a script in a mount namespace of its own; `I` is the binary, and `disk FILE MEGABYTES`, `attach FILE DIR` make
/// and mount disks. All it mounts goes with it.
fn script(place: &Place, text: &str) -> Said {
    let head = "set -u
        disk() { truncate -s ${2}M $1 && mkfs.ext4 -q -F -E lazy_itable_init=0 $1 || exit 90; }
        attach() { mkdir -p $2; mount -o loop $1 $2 || exit 91; }
        ";
    let mut command = std::process::Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", &format!("{head}{text}")]);
    command.current_dir(place.path("")).env("I", env!("CARGO_BIN_EXE_ireko")).env("PICTURE", PICTURE);
    command.env_remove("IREKO_CACHE_MAX_SIZE");
    Said::of(command.output().expect("unshare"))
}

#[track_caller]
fn never_a_bug(said: &Said) {
    for text in ["panicked", "Err(", "Os {", "internal"] {
        assert!(!said.stderr.contains(text), "`{text}` is in:\n{}", said.stderr);
    }
}

#[test]
fn no_inodes_are_told_and_the_store_stays_sound() {
    let Some(place) = Place::with_base() else { return };
    context(&place);
    for at in 0..900 {
        place.file(&format!("many/{at}"), "x");
    }
    place.file("Dockerfile.many", "FROM base\nRUN --mount=target=/c cp -r /c/many /many\n");
    place.file("Dockerfile.one", "FROM base\nCOPY many /many\nRUN ls /many | wc -l >/count\n");
    let script = "
        $IREKO load -i base.tar || exit 91
        $IREKO build -t app -f context/Dockerfile.many context; echo many: $?
        $IREKO build -t app -f context/Dockerfile.one context; echo one: $?
        $IREKO cache fsck || exit 92
        $IREKO build -t app --build-arg N=1 context || exit 93
        $IREKO run --rm app cat /last || exit 94
        ls $IREKO_HOME/tmp $IREKO_HOME/leases";
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=200m,nr_inodes=1100,mode=755", script) else {
        return;
    };
    let said = said.ok();
    never_a_bug(&said);
    assert!(
        said.stdout.contains("many: 3\n") && said.stdout.contains("one: 3\n"),
        "{}\n{}",
        said.stdout,
        said.stderr
    );
    assert!(said.stderr.contains("No space left on device"), "{}", said.stderr);
    assert!(said.stdout.contains("\n1\n"), "{}", said.stdout);
}

#[test]
fn a_disk_that_cannot_be_read_gives_no_wrong_result() {
    let Some(place) = Place::with_base() else { return };
    if !have_loops() {
        return;
    }
    context(&place);
    let expected = pictures(&place, 1).remove(0);
    let text = "
        disk whole.img 64
        attach whole.img world
        export IREKO_HOME=$PWD/world/store
        $I load -i base.tar && $I build -q -t app --build-arg N=0 context && $I build -q --no-cache -t two context || exit 92
        $I cache fsck || exit 93
        umount world || exit 94
        for megabytes in 2 6 8 10 12 14 16 20 24; do
            cp --sparse=always whole.img cut.img
            attach cut.img world
            truncate -s ${megabytes}M cut.img
            $I build -q -t app --build-arg N=0 context; echo build $?
            $I run --rm app sh -c \"$PICTURE\" && echo ran
            $I build -q --no-cache -t app --build-arg N=0 context; echo again $?
            $I run --rm app sh -c \"$PICTURE\" && echo ran
            timeout 20 $I cache fsck --repair; echo fsck $?
            $I cache prune -f --max-size 1; echo prune $?
            umount world || umount -l world
        done";
    let said = script(&place, text).ok();
    never_a_bug(&said);
    let mut faults = 0;
    let lines: Vec<&str> = said.stdout.lines().collect();
    for (at, line) in lines.iter().enumerate() {
        // A picture that could be drawn is the right one.
        if *line == "ran" {
            assert_eq!(format!("{}\n", lines[at - 1]), expected, "{}\n{}", said.stdout, said.stderr);
        }
        if let Some((deed, code)) =
            line.split_once(' ').filter(|(deed, _)| ["build", "again", "fsck", "prune"].contains(deed))
        {
            faults += usize::from(code != "0");
            // A program that cannot be read is a step that fails.
            let failed = deed == "again" && code == "1";
            assert!(failed || ["0", "3"].contains(&code), "{deed} {code}\n{}\n{}", said.stdout, said.stderr);
        }
    }
    assert!(faults > 3 && said.stderr.contains("Input/output error"), "{}\n{}", said.stdout, said.stderr);
}

#[test]
fn a_disk_that_cannot_be_written_loses_nothing_that_was_there() {
    let Some(place) = Place::with_base() else { return };
    if !have_loops() {
        return;
    }
    context(&place);
    place.file("big", &"0123456789abcde\n".repeat(2 << 20));
    place.file("Dockerfile.big", "FROM base\nCOPY big /big\nRUN cp /big /big2\n");
    let expected = pictures(&place, 1).remove(0);
    // The disk believes that it has 200 MB, and what lies below it has 30.
    let text = "
        mkdir thin; mount -t tmpfs -o size=30m none thin || exit 90
        disk thin/disk.img 200
        attach thin/disk.img world
        export IREKO_HOME=$PWD/world/store
        $I load -i base.tar && $I build -q -t app --build-arg N=0 context || exit 92
        sync -f world
        for try in 1 2; do
            $I build -q -t big$try -f context/Dockerfile.big -o type=oci,dest=world/out.tar context; echo build $?
            sync -f world
        done
        umount world || umount -l world
        mount -o remount,size=300m thin || exit 95
        e2fsck -fy thin/disk.img >/dev/null
        attach thin/disk.img world
        $I cache fsck --repair; echo fsck $?
        $I run --rm app sh -c \"$PICTURE\" || exit 96
        $I build -q -t app --build-arg N=0 context && $I build -q -t big -f context/Dockerfile.big context || exit 97
        $I run --rm big sh -c 'cmp /big /big2 && wc -c </big' || exit 98
        $I run --rm app sh -c \"$PICTURE\"
        umount world; umount thin";
    let said = script(&place, text).ok();
    never_a_bug(&said);
    assert_eq!(said.stdout.matches(expected.as_str()).count(), 2, "{}\n{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("33554432\n"), "{}\n{}", said.stdout, said.stderr);
    for line in said.stdout.lines().filter(|line| line.starts_with("build ")) {
        assert!(["build 0", "build 3"].contains(&line), "{}\n{}", said.stdout, said.stderr);
    }
}

/// What a disk held at one moment, in the middle of builds, is mounted under another boot's id. No block of it was being
/// written while it was copied, so it is what a power cut would have left.
#[test]
fn a_power_cut_leaves_a_store_that_builds_right() {
    const CUTS: usize = 6;
    let Some(place) = Place::with_base() else { return };
    if !have_loops() {
        return;
    }
    context(&place);
    let expected = pictures(&place, CUTS);
    let text = "
        disk disk.img 128
        attach disk.img world
        export IREKO_HOME=$PWD/world/store
        loop=$(losetup -n -O NAME -j disk.img | head -1); stat=/sys/block/${loop#/dev/}/stat
        [ -r $stat ] || exit 92
        writes() { awk '{ print $5, $7, $9 }' $stat; }
        $I load -q -i base.tar || exit 93
        sync -f world
        for n in 0 1 2 3 4 5; do
            $I build -q -t app$n --build-arg N=$n context >/dev/null 2>&1 & one=$!
            $I build -q --no-cache -t two -o type=oci,dest=world/out.tar context >/dev/null 2>&1 & two=$!
            [ $((n % 2)) = 0 ] || $I cache prune -f --keep 0s >/dev/null 2>&1
            sleep 0.0$((n * 3 + 2))
            [ $((n % 3)) = 0 ] || sync -f world
            tries=0
            while :; do
                before=$(writes); cp --sparse=always disk.img cut$n.img; after=$(writes)
                [ \"$before\" != \"$after\" ] || break
                tries=$((tries + 1)); [ $tries -lt 200 ] || exit 94
            done
            wait $one || exit 95
            wait $two || exit 96
        done
        umount world || exit 97
        cat /proc/sys/kernel/random/uuid >boot
        mount --bind boot /proc/sys/kernel/random/boot_id || exit 98
        for n in 0 1 2 3 4 5; do
            attach cut$n.img world
            # The base may not have got so far, where it was only loaded.
            $I inspect base >/dev/null 2>&1 || { echo base lost; $I load -q -i base.tar || exit 99; }
            $I build -q -t app --build-arg N=$n context >/dev/null || exit 100
            $I run --rm app sh -c \"$PICTURE\" || exit 101
            # Images of the last seconds may be gone, and are told where they have a name.
            $I rmi -f two $(seq 0 5 | sed s/^/app/) >/dev/null 2>&1
            $I cache fsck --repair >fsck || { cat fsck; exit 102; }
            $I cache fsck >fsck || { cat fsck; exit 103; }
            $I build -q -t app --build-arg N=$n context >/dev/null || exit 104
            $I run --rm app sh -c \"$PICTURE\" || exit 105
            [ -z \"$(ls $IREKO_HOME/tmp $IREKO_HOME/leases | grep -v :)\" ] || exit 106
            umount world || exit 107
        done";
    let said = script(&place, text).ok();
    never_a_bug(&said);
    let seen: Vec<String> =
        said.stdout.lines().filter(|line| line.ends_with("  -")).map(|line| format!("{line}\n")).collect();
    let wanted: Vec<String> =
        expected.iter().flat_map(|picture| [picture.clone(), picture.clone()]).collect();
    assert_eq!(seen, wanted, "{}\n{}", said.stdout, said.stderr);
    assert!(!said.stdout.contains("base lost"), "{}", said.stdout);
}

#[test]
fn without_memory_a_build_ends_with_a_message_and_loses_nothing() {
    let Some(place) = Place::with_base() else { return };
    context(&place);
    let expected = pictures(&place, 1).remove(0);
    let (mut refused, mut ended) = (0, 0);
    for megabytes in (4..64).step_by(3).chain((64..400).step_by(24)) {
        let limited = |words: &str| {
            let mut command = place.command_by(
                &["sh", "-c", "ulimit -c 0; ulimit -v $((LIMIT * 1024)); exec \"$0\" $WORDS"],
                &[],
            );
            command.env("LIMIT", megabytes.to_string()).env("WORDS", words);
            command.output().expect("sh")
        };
        // The kernel ends a program that does not even fit itself.
        if !limited("--version").status.success() {
            continue;
        }
        let output = limited("build -q --no-cache -t app --build-arg N=0 context");
        let signal = output.status.signal();
        let said = Said::of(output);
        never_a_bug(&said);
        match said.code {
            0 => ended += 1,
            3 => {
                refused += 1;
                // The standard library may have said before what it asked for.
                let told = said.stderr.lines().any(|line| line.starts_with("error: "));
                assert!(told, "{megabytes} MB: {}", said.stderr);
            }
            // The program of a step has the limit too.
            1 => assert!(
                said.stderr.contains("failed with exit code") || said.stderr.contains("was killed"),
                "{}",
                said.stderr
            ),
            other => panic!("{megabytes} MB: ended with {other} or signal {signal:?}:\n{}", said.stderr),
        }
    }
    assert!(refused > 0 && ended > 0, "{refused} refused, {ended} ended");
    place.sound();
    place.nothing_mounted();
    place.build(&["--build-arg", "N=0"]).ok();
    assert_eq!(place.inside(PICTURE), expected);
    for dir in ["tmp", "leases"] {
        assert_eq!(fs::read_dir(place.store().join(dir)).expect("a directory").count(), 0, "{dir}");
    }
}
