//! Agents of ssh in steps, and steps without confinement: only what was asked for and allowed.

use crate::support::{Place, have};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Puts a program of this machine, and the libraries it names, below the context's `tools`.
fn bring(place: &Place, program: &str) {
    let listed = Command::new("ldd").arg(program).output().expect("ldd runs");
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let libraries = listed.split_whitespace().filter(|word| word.starts_with('/'));
    for path in libraries.chain([program]) {
        let to = place.context().join("tools").join(path.trim_start_matches('/'));
        std::fs::create_dir_all(to.parent().expect("a directory")).expect("a directory");
        std::fs::copy(path, to).expect("a copy");
    }
}

fn key(dir: &Path, name: &str) -> PathBuf {
    let path = dir.join(name);
    let arguments = ["-q", "-t", "ed25519", "-N", "", "-C", name, "-f"];
    let made = Command::new("ssh-keygen").args(arguments).arg(&path).status();
    assert!(made.expect("ssh-keygen runs").success());
    path
}

/// A place whose image `tools` has `ssh-add`, and two keys outside the context.
fn place() -> Option<(Place, PathBuf, PathBuf)> {
    if !have(&["ssh-add", "ssh-agent", "ssh-keygen"]) {
        return None;
    }
    let place = Place::with_base()?;
    bring(&place, "/usr/bin/ssh-add");
    place.built("FROM base\nCOPY tools /\n");
    place.ireko(&["tag", "app", "tools"]).ok();
    let (one, two) = (key(&place.path(""), "one"), key(&place.path(""), "two"));
    Some((place, one, two))
}

#[test]
fn a_step_uses_the_keys_it_is_given_and_cannot_change_the_agent() {
    let Some((place, one, two)) = place() else { return };
    place.dockerfile(
        "FROM tools\nRUN --mount=type=ssh ssh-add -L > /keys; ssh-add -D 2>/refused; ssh-add -l >>/keys; \
         stat -c '%a %u:%g' $SSH_AUTH_SOCK >>/keys; echo $SSH_AUTH_SOCK >>/keys\n\
         RUN --mount=type=ssh,id=work,target=/a/sock,mode=0666,uid=1000,gid=1001 --mount=type=ssh \
         stat -c '%a %u:%g %n' /a/sock /run/buildkit/ssh_agent.1 >/places; echo $SSH_AUTH_SOCK >>/places\n\
         USER app\nRUN --mount=type=ssh,id=work,uid=1000 ssh-add -L >/tmp/own\n",
    );
    let (one_flag, two_flag) = (format!("default={}", one.display()), format!("work={}", two.display()));
    place.build(&["--ssh", &one_flag, "--ssh", &two_flag]).ok();
    let public = |key: &Path| std::fs::read_to_string(key.with_extension("pub")).expect("a public key");
    let keys = place.inside("cat /keys");
    assert!(keys.starts_with(&public(&one)), "{keys}");
    assert!(
        keys.contains("(ED25519)\n600 0:0\n/run/buildkit/ssh_agent.0\n"),
        "the key is still there: {keys}"
    );
    assert_eq!(
        place.inside("cat /places"),
        "666 1000:1001 /a/sock\n600 0:0 /run/buildkit/ssh_agent.1\n/a/sock\n"
    );
    assert_eq!(place.inside("cat /tmp/own"), public(&two));
    assert_eq!(
        place.inside("ls -d /run/buildkit /a 2>/dev/null; echo $SSH_AUTH_SOCK"),
        "\n",
        "nothing is left"
    );
    // Known is known: no agent is needed then, as with secrets.
    place.build(&[]).ok();
}

/// The address of a socket holds some hundred bytes.
#[test]
fn keys_with_a_store_far_below() {
    let Some((place, one, _)) = place() else { return };
    let key = format!("default={}", one.display());
    let far = place.store().join("f".repeat(120));
    place.dockerfile("FROM scratch\nCOPY Dockerfile /\n");
    let mut command = place.command(&["build", "-q", "--ssh", &key, "context"]);
    let output = command.env("IREKO_HOME", far).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn agents_that_are_not_there() {
    let Some((place, one, _)) = place() else { return };
    place.dockerfile("FROM tools\nRUN --mount=type=ssh,id=x test ! -e $SSH_AUTH_SOCK\n");
    place.build(&[]).ok();
    place.dockerfile("FROM tools\nRUN --mount=type=ssh,id=x,required true\n");
    place.build(&[]).fails(2, &["agent `x` is required", "--ssh x", "Dockerfile:2"]);
    place.dockerfile("FROM tools\nRUN --mount=type=ssh ssh-add -l\n");
    place.build(&["--ssh", "default=/nowhere/sock"]).fails(2, &["`/nowhere/sock`"]);
    std::fs::write(place.path("no-key"), "no key").expect("a file");
    place.build(&["--ssh", "default=no-key"]).fails(2, &["`no-key`", "private key"]);
    let twice = format!("default={}", one.display());
    place.build(&["--ssh", &twice, "--ssh", &twice]).fails(2, &["two `--ssh`"]);
    let stale = place.path("stale");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    place.build(&["--ssh", &format!("default={}", stale.display())]).fails(3, &["cannot be used", "--ssh"]);
    place.sound();
}

#[test]
fn a_step_without_confinement_has_to_be_allowed() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile(
        "FROM base\nRUN --security=insecure grep -E 'CapEff|Seccomp:' /proc/self/status >/caps; ! grep ' /proc/sys ' /proc/mounts\n\
         RUN grep -E 'CapEff|Seccomp:' /proc/self/status >>/caps; grep ' /proc/sys ' /proc/mounts\n",
    );
    place.build(&[]).fails(2, &["was not allowed", "--allow security.insecure", "Dockerfile:2"]);
    place.build(&["--allow", "network.host", "--allow", "everything"]).fails(2, &["`--allow everything`"]);
    place.build(&["--allow", "network.host,security.insecure"]).ok();
    let words = place.inside("awk '{print $2}' /caps");
    let words: Vec<&str> = words.split_whitespace().collect();
    let bits = |hex: &str| u64::from_str_radix(hex, 16).expect("hexadecimal").count_ones();
    // At level single-id a filter reports what is emulated.
    let filtered = if crate::support::level() == Some("single-id") { "2" } else { "0" };
    assert!(bits(words[0]) > 30 && words[1] == filtered, "{words:?}");
    assert_eq!((bits(words[2]), words[3]), (14, "2"));
}
