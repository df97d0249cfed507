//! Addresses with `ssh://`, what the program is started with, and what its end means.

use std::ffi::OsString;
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use expect_test::{Expect, expect};

use super::{Far, Life, Program, Programs, Ssh, last_words};
use crate::{Address, Engine, Surroundings, Transfers, named};

#[track_caller]
fn check(variable: &str, text: &str, expect: Expect) {
    let mut around = Surroundings { container_sshkey: Some("/k".to_owned()), ..Surroundings::default() };
    match variable {
        "CONTAINER_HOST" => around.container_host = Some(text.to_owned()),
        _ => around.docker_host = Some(text.to_owned()),
    }
    let text = match named(&around) {
        Ok(Some(Address::Ssh(ssh))) => format!("{ssh}: {}", ssh.arguments().join(" | ")),
        Ok(other) => format!("{other:?}"),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&text);
}

#[test]
fn arguments_are_those_of_dockers_client() {
    let docker = |text: &str, expect: Expect| check("DOCKER_HOST", text, expect);
    docker(
        "ssh://h",
        expect![
            "ssh://h: -o | BatchMode=yes | -o | ConnectTimeout=30 | -T | -- | h | docker system dial-stdio"
        ],
    );
    docker(
        "ssh://me@example.com:10022/var/run/docker.sock",
        expect![
            "ssh://me@example.com:10022/var/run/docker.sock: -l | me | -p | 10022 | -o | BatchMode=yes | -o | ConnectTimeout=30 | -T | -- | example.com | docker '--host=unix:///var/run/docker.sock' system dial-stdio"
        ],
    );
    docker(
        "ssh://h//",
        expect![
            "ssh://h: -o | BatchMode=yes | -o | ConnectTimeout=30 | -T | -- | h | docker system dial-stdio"
        ],
    );
    docker(
        "ssh://a%40b@[fe80::1]:22/it's%20$(here)",
        expect![
            "ssh://a@b@[fe80::1]:22/it's $(here): -l | a@b | -p | 22 | -o | BatchMode=yes | -o | ConnectTimeout=30 | -T | -- | fe80::1 | docker '--host=unix:///it'\\''s $(here)' system dial-stdio"
        ],
    );
    check(
        "CONTAINER_HOST",
        "ssh://core@h:22/run/user/1000/podman/podman.sock",
        expect![
            "ssh://core@h:22/run/user/1000/podman/podman.sock: -l | core | -p | 22 | -i | /k | -o | BatchMode=yes | -o | ConnectTimeout=30 | -T | -- | h | podman '--url=unix:///run/user/1000/podman/podman.sock' system dial-stdio"
        ],
    );
}

#[test]
fn addresses_that_ssh_would_misread_are_refused() {
    let refused = |text: &str, expect: Expect| check("DOCKER_HOST", text, expect);
    refused(
        "ssh://-oProxyCommand=x",
        expect![
            "`ssh://-oProxyCommand=x`, from DOCKER_HOST, is no address of an engine: neither its host nor its user may begin with `-`: ssh would take it for an option"
        ],
    );
    refused(
        "ssh://%2doProxyCommand=x",
        expect![
            "`ssh://%2doProxyCommand=x`, from DOCKER_HOST, is no address of an engine: neither its host nor its user may begin with `-`: ssh would take it for an option"
        ],
    );
    refused(
        "ssh://-v@h",
        expect![
            "`ssh://-v@h`, from DOCKER_HOST, is no address of an engine: neither its host nor its user may begin with `-`: ssh would take it for an option"
        ],
    );
    refused("ssh://", expect!["`ssh://`, from DOCKER_HOST, is no address of an engine: it names no host"]);
    refused(
        "ssh:///run/x.sock",
        expect!["`ssh:///run/x.sock`, from DOCKER_HOST, is no address of an engine: it names no host"],
    );
    refused(
        "ssh://h:x",
        expect![
            "`ssh://h:x`, from DOCKER_HOST, is no address of an engine: its port is no number between 1 and 65535"
        ],
    );
    refused(
        "ssh://h:0",
        expect![
            "`ssh://h:0`, from DOCKER_HOST, is no address of an engine: its port is no number between 1 and 65535"
        ],
    );
    refused(
        "ssh://[::1",
        expect!["`ssh://[::1`, from DOCKER_HOST, is no address of an engine: a `[` in it is not closed"],
    );
    for text in ["ssh://[fe80::1]22", "ssh://[::1]x/", "ssh://[::1]]:22"] {
        let told = format!(
            "`{text}`, from DOCKER_HOST, is no address of an engine: behind the `]` in it stands something other than `:` and a port"
        );
        let found = named(&Surroundings { docker_host: Some(text.to_owned()), ..Surroundings::default() });
        assert_eq!(found.unwrap_err().to_string(), told);
    }
    refused(
        "ssh://h?a",
        expect![
            "`ssh://h?a`, from DOCKER_HOST, is no address of an engine: an address with ssh:// has no `?` and no `#`"
        ],
    );
    refused(
        "ssh://h/a%0ab",
        expect![
            "`ssh://h/a%0ab`, from DOCKER_HOST, is no address of an engine: there is a control character in it"
        ],
    );
    refused(
        "ssh://me:word@h/s",
        expect![
            "`ssh://me:xxxxx@h/s`, from DOCKER_HOST, is no address of an engine: it holds a password, which ssh does not take: use a key"
        ],
    );
}

#[test]
fn what_it_says_of_a_connection_that_is_well_is_not_repeated() {
    let text = "Warning: Permanently added 'h' (ED25519) to the list of known hosts.\r\n** WARNING: old\r\na\n\nb\nc\nd\n";
    assert_eq!(last_words(text), "b; c; d");
}

/// Programs that end at once, or never.
#[derive(Debug)]
struct Fake {
    said: &'static str,
    code: Result<u8, io::ErrorKind>,
}

struct Ended(Result<u8, io::ErrorKind>);

impl Life for Ended {
    fn code(&self, _: Duration) -> io::Result<u8> {
        self.0.map_err(io::Error::from)
    }
}

impl Programs for Fake {
    fn start(&self, program: &str, _: &[OsString]) -> io::Result<Program> {
        assert_eq!(program, "ssh");
        let (stream, _closed) = UnixStream::pair()?;
        Ok(Program { stream, said: Box::new(self.said.as_bytes()), life: Box::new(Ended(self.code)) })
    }
}

#[track_caller]
fn check_end(far: Far, said: &'static str, code: Result<u8, io::ErrorKind>, expect: Expect) {
    let ssh = Ssh { user: None, host: "h".to_owned(), port: None, socket: None, key: None, far };
    let programs: Arc<dyn Programs> = Arc::new(Fake { said, code });
    let error = Engine::connect(&Address::Ssh(ssh), &Transfers::default(), Some(&programs)).unwrap_err();
    let hint = error.hint().unwrap_or_default();
    expect.assert_eq(&format!("{}\n{hint}\n", error.to_string().replace("cannot reach the engine: ", "")));
}

#[test]
fn a_banner_is_not_the_cause() {
    let banner = "Welcome. Permission denied to strangers, Host key on the wall.\n";
    let http = |code, expect| check_end(Far::Docker, banner, code, expect);
    let added = || {
        expect![[r#"
            the engine at ssh://h gave no answer (`ssh` says: Welcome. Permission denied to strangers, Host key on the wall.)
            check that the engine runs and that you may use its socket; DOCKER_HOST names another
        "#]]
    };
    http(Err(io::ErrorKind::TimedOut), added());
    http(Ok(0), added());
    check_end(
        Far::Docker,
        "",
        Err(io::ErrorKind::PermissionDenied),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: it cannot be started: permission denied
            `ssh HOST docker version` must work by itself; see that the host and its port are right, in ~/.ssh/config too
        "#]],
    );
}

#[test]
fn what_went_wrong_is_told_with_what_to_do() {
    let docker = |said, code, expect| check_end(Far::Docker, said, code, expect);
    docker(
        "",
        Err(io::ErrorKind::NotFound),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` is not installed
            install openssh-client
        "#]],
    );
    docker(
        "ssh: Could not resolve hostname h: Name or service not known\r\n",
        Ok(255),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: Could not resolve hostname h: Name or service not known
            `ssh HOST docker version` must work by itself; see that the host and its port are right, in ~/.ssh/config too
        "#]],
    );
    docker(
        "Host key verification failed.\r\n",
        Ok(255),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: Host key verification failed.
            log in once with `ssh HOST`, so that the host's key is known
        "#]],
    );
    docker(
        "me@h: Permission denied (publickey,password).\r\n",
        Ok(255),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: me@h: Permission denied (publickey,password).
            nothing can be asked for here: `ssh HOST` must log in without a password, by a key that has no passphrase or is in ssh-agent
        "#]],
    );
}

#[test]
fn what_is_wrong_over_there_is_told_with_what_to_do() {
    let docker = |said, code, expect| check_end(Far::Docker, said, code, expect);
    docker(
        "bash: line 1: docker: command not found\n",
        Ok(127),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: bash: line 1: docker: command not found
            `docker` must be there for that user, on the PATH of `ssh HOST docker version`; it speaks with the engine
        "#]],
    );
    docker(
        "permission denied while trying to connect to the Docker daemon socket\n",
        Ok(1),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: permission denied while trying to connect to the Docker daemon socket
            see that the engine runs there, and that the user may use its socket: `ssh HOST docker version`
        "#]],
    );
    docker(
        "",
        Ok(1),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` ended with exit code 1
            see that the engine runs there, and that the user may use its socket: `ssh HOST docker version`
        "#]],
    );
    check_end(
        Far::Podman,
        "",
        Ok(127),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` ended with exit code 127
            `podman` must be there for that user, on the PATH of `ssh HOST podman version`; it speaks with the engine
        "#]],
    );
    check_end(
        Far::Podman,
        "Error: dial unix /run/podman/podman.sock: connect: no such file or directory\n",
        Ok(125),
        expect![[r#"
            the engine at ssh://h gave no answer: `ssh` says: Error: dial unix /run/podman/podman.sock: connect: no such file or directory
            see that Podman's socket is there: `systemctl --user enable --now podman.socket`, as that user; the address may end with its path
        "#]],
    );
}
