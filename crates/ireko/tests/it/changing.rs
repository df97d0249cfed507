//! Files that change while a build reads them: the result is right or refused, and never remembered wrongly.

use crate::support::{Place, Said};
use std::io::Read;
use std::net::TcpListener;
use std::process::Stdio;

/// Builds `app` and calls `change` once while its step waits: the step runs `nc 127.0.0.1 PORT`.
fn build_and_change(place: &Place, dockerfile: &str, args: &[&str], change: impl FnOnce()) -> Said {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    // The port is no input of the step, so that the next build may find its record.
    place.file("port", &port);
    place.dockerfile(dockerfile);
    let mut command = place.command(&["build", "--progress=plain", "-t", "app"]);
    command.args(["--secret", "id=port,src=context/port"]).args(args).arg("context");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a process");
    let (mut step, _) = listener.accept().expect("the step");
    change();
    step.shutdown(std::net::Shutdown::Write).expect("a close");
    let _ = step.read_to_end(&mut Vec::new());
    drop(listener);
    Said::of(child.wait_with_output().expect("an end"))
}

/// The next build, in which nothing waits and nothing changes.
fn build_again(place: &Place) -> Said {
    place.build(&["--secret", "id=port,src=context/port"])
}

const WAIT: &str = "--mount=type=secret,id=port nc 127.0.0.1 $(cat /run/secrets/port) </dev/null";
const TRY: &str = "--mount=type=secret,id=port (nc 127.0.0.1 $(cat /run/secrets/port) </dev/null || true)";

#[test]
fn a_copy_after_the_change_has_the_new_file() {
    let Some(place) = Place::with_base() else { return };
    for (at, change) in ["second", "longer than before", ""].into_iter().enumerate() {
        place.file("f", "first");
        let text = format!("FROM base\nRUN {WAIT} && echo {at}\nCOPY f /f\nRUN cat /f >/seen\n");
        let said = build_and_change(&place, &text, &[], || {
            place.file("f", change);
        });
        match said.code {
            0 => assert_eq!(place.inside("cat /seen"), place.inside("cat /f")),
            _ => drop(said.fails(1, &["changed while being read"])),
        }
        // Whatever this build saw, the next one sees what is there; the step that waited is a hit.
        let again = build_again(&place);
        if again.code == 0 {
            assert_eq!(place.inside("cat /f"), change);
            assert_eq!(place.inside("cat /seen"), change);
        } else {
            panic!("{}", again.stderr);
        }
    }
    place.sound();
}

#[test]
fn a_bind_mount_that_changed_is_not_remembered() {
    let Some(place) = Place::with_base() else { return };
    place.file("dir/f", "first");
    place.file("dir/g", "first");
    let text = format!(
        "FROM base\nRUN --mount=type=bind,source=dir,target=/b {TRY}; cat /b/f >/seen\nRUN cat /seen >/again\n"
    );
    let said = build_and_change(&place, &text, &[], || {
        place.file("dir/f", "second");
    });
    // Used, with a warning, whichever of the two it saw.
    let said = said.ok();
    assert!(said.stderr.contains("not remembered"), "{}", said.stderr);
    assert_eq!(place.inside("cat /seen"), place.inside("cat /again"));
    build_again(&place).ok();
    assert_eq!(place.inside("cat /seen /again"), "secondsecond");
    // Back to what the first build was keyed by: it must not find a result of the other file.
    place.file("dir/f", "first");
    build_again(&place).ok();
    assert_eq!(place.inside("cat /seen /again"), "firstfirst");
    place.sound();
}

#[test]
fn a_file_that_comes_or_goes_under_a_bind_mount_is_seen() {
    let Some(place) = Place::with_base() else { return };
    place.file("dir/f", "f");
    let text = format!("FROM base\nRUN --mount=type=bind,source=dir,target=/b {TRY}; ls /b >/seen\n");
    let said = build_and_change(&place, &text, &[], || {
        place.file("dir/new", "new");
    });
    said.ok();
    build_again(&place).ok();
    assert_eq!(place.inside("cat /seen"), "f\nnew\n");
    std::fs::remove_file(place.context().join("dir/new")).expect("a file");
    build_again(&place).ok();
    assert_eq!(place.inside("cat /seen"), "f\n");
    place.sound();
}

/// What was hashed of a file before it changed must not be believed by a later build.
#[test]
fn hashes_of_files_that_change_all_the_time_are_not_kept() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nCOPY f /f\nRUN cat /f >/seen\n");
    for at in 0..40 {
        place.file("f", &format!("{at:04}"));
        place.build(&["-q"]).ok();
        assert_eq!(place.layers("app").len(), place.layers("base").len() + 2);
        let tar = place.path("out.tar");
        place.ireko(&["build", "-q", "-o", &format!("type=tar,dest={}", tar.display()), "context"]).ok();
        let bytes = std::fs::read(&tar).expect("an archive");
        let text = format!("{at:04}");
        let count =
            bytes.chunks(512).filter(|block| block.starts_with(text.as_bytes()) && block[4] == 0).count();
        assert_eq!(count, 2, "build {at} has another file");
    }
}
