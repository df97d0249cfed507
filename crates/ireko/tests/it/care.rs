//! Looking after a store: while builds run, by many processes, and without root.

use crate::support::{Place, as_ordinary};
use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::process::{Child, Stdio};

fn quiet(place: &Place, args: &[&str]) -> Child {
    place.command(args).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a process")
}

#[track_caller]
fn finished(child: Child) {
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{:?}: {}", output.status, String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_prune_takes_nothing_from_a_running_build() {
    let Some(place) = Place::with_base() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    place.file("a", "1");
    place.dockerfile(&format!(
        "FROM base AS one\nCOPY a /a\nRUN cp /a /b\nFROM base AS two\nCOPY a /c\nRUN --mount=type=cache,target=/m cp /c /m/c; nc 127.0.0.1 {port} </dev/null; cp /m/c /d\n\
         FROM base\nCOPY --from=one /b /b\nCOPY --from=two /d /d\nRUN cat /b /d >/e\n"
    ));
    let build = quiet(&place, &["build", "-q", "-t", "app", "context"]);
    let (mut step, _) = listener.accept().expect("the step");
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.ireko(&["rmi", "base"]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.sound();
    step.shutdown(std::net::Shutdown::Write).expect("a close");
    let _ = step.read_to_end(&mut Vec::new());
    finished(build);
    assert_eq!(place.inside("cat /b /d /e"), "1111");
    place.sound();
}

#[test]
fn builds_prunes_and_removals_at_once() {
    let Some(place) = Place::with_base() else { return };
    for at in 0..20 {
        place.file(&format!("d/{at}"), &"x\n".repeat(at));
    }
    place.dockerfile("FROM base AS one\nARG N\nCOPY d /d\nRUN cat /d/* >/all; echo $N >/n\nFROM base\nCOPY --from=one /all /n /o/\nRUN cat /o/n >/n\n");
    for round in 0..4 {
        let mut children = Vec::new();
        for at in 0..4 {
            let arg = format!("N={}", at % 2 + round);
            let tag = format!("app{at}");
            children.push(quiet(&place, &["build", "-q", "-t", &tag, "--build-arg", &arg, "context"]));
        }
        children.push(quiet(&place, &["cache", "prune", "-f", "--unused-for", "0s"]));
        children.push(quiet(&place, &["cache", "prune", "--all", "-f"]));
        children.push(quiet(&place, &["cache", "fsck"]));
        children.push(quiet(&place, &["images"]));
        children.into_iter().for_each(finished);
        for at in 0..4 {
            let tag = format!("app{at}");
            let said = place.ireko(&["run", "--rm", &tag, "cat", "/n"]).ok();
            assert_eq!(said.stdout, format!("{}\n", at % 2 + round));
            place.ireko(&["rmi", &tag]).ok();
        }
    }
    place.sound();
    place.nothing_mounted();
}

#[test]
fn an_ordinary_user_can_remove_what_other_ids_own() {
    let Some(place) = Place::ordinary_with_base() else { return };
    place.file("a", "1");
    place.built(
        "FROM base\nCOPY --chown=1000:1001 --chmod=600 a /a\nRUN mkdir -p /o/p/q && echo x >/o/p/q/f && chmod 0 /o/p/q/f && chmod 500 /o/p/q && chown -R 1000:1000 /o && chmod 0 /o/p\n\
         RUN --mount=type=cache,target=/m mkdir -p /m/x && echo x >/m/x/y && chown -R 7:7 /m/x && chmod 0 /m/x\n",
    );
    let store = place.store();
    let size = |place: &Place| place.ireko(&["cache", "du"]).ok().stdout;
    assert!(size(&place).contains("snapshot") || size(&place).contains("unpacked"), "{}", size(&place));

    // A tagged image keeps blobs only, which are the user's own.
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    assert_eq!(fs::read_dir(store.join("snapshots")).expect("a directory").count(), 0);
    assert_eq!(place.inside("stat -c %u:%g:%a /a"), "1000:1001:600\n");
    place.ireko(&["rmi", "app", "base"]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    for dir in ["snapshots", "mounts", "tars", "layers", "trash", "tmp", "leases"] {
        let left: Vec<_> = fs::read_dir(store.join(dir)).expect("a directory").flatten().collect();
        assert!(left.is_empty(), "left in {dir}: {left:?}");
    }
    let gone = as_ordinary("rm").arg("-rf").arg(&store).output().expect("rm");
    assert!(gone.status.success(), "{}", String::from_utf8_lossy(&gone.stderr));
    assert!(!store.exists());
}

/// Root and an ordinary user's ids in one store: what one wrote unpacked, the other makes again.
#[test]
fn a_store_serves_both_levels_in_turn() {
    let Some(user) = Place::ordinary_with_base() else { return };
    if !crate::support::is_root() {
        eprintln!("skipped because this is not root");
        return;
    }
    user.built("FROM base\nRUN mkdir -p /o && echo x >/o/f && chown 1000:1001 /o/f && chmod 640 /o/f && rm /etc/group && rm -r /var && mkdir /var\n");
    let picture = "stat -c '%n %u:%g:%a' /o/f /var /tmp; ls -a /etc /var";
    let seen = user.inside(picture);
    let contents = user.contents("app");
    let root = user.into_root();
    root.ireko(&["run", "--rm", "app", "sh", "-c", picture]).ok();
    assert_eq!(root.inside(picture), seen);
    root.build(&[]).ok();
    assert_eq!(root.contents("app"), contents);
    root.sound();
}
