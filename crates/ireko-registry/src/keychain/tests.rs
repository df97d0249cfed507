//! Auth files as they are met, and helpers that answer, fail, hang.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use expect_test::{Expect, expect};
use ireko_oci::Reference;

use super::write::{Place, erase, store};
use super::{AuthFile, Keychain, KeychainError, Secret};

struct Dir(tempfile::TempDir);

impl Dir {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn file(&self, text: &str) -> PathBuf {
        fs::write(self.path("config.json"), text).unwrap();
        self.path("config.json")
    }

    /// A helper of this name, which is a shell script.
    fn helper(&self, name: &str, script: &str) {
        let path = self.path(&format!("docker-credential-{name}"));
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = format!("{}:/usr/bin:/bin", self.0.path().display());
        vec![("PATH".into(), path.into()), ("DIR".into(), self.0.path().into())]
    }

    fn keychain(&self, text: &str) -> Keychain {
        let files = vec![AuthFile { path: self.file(text), asked: false }];
        Keychain { files, environment: self.environment(), ..Keychain::default() }
    }
}

fn say(keychain: &Keychain, reference: &str) -> String {
    let reference: Reference = reference.parse().unwrap();
    match keychain.login(&reference, &|| false) {
        Ok(None) => "nobody".to_owned(),
        Ok(Some(login)) => match login.secret {
            Secret::Password { user, password } => format!("{user}:{password}"),
            Secret::Refresh(token) => format!("refresh {token}"),
            Secret::Bearer(token) => format!("bearer {token}"),
        },
        Err(error) => error.to_string(),
    }
}

#[track_caller]
fn check(text: &str, references: &[&str], expect: Expect) {
    let dir = Dir::new();
    let keychain = dir.keychain(text);
    let said: Vec<String> =
        references.iter().map(|reference| format!("{reference}: {}\n", say(&keychain, reference))).collect();
    expect.assert_eq(&said.concat().replace(&dir.0.path().display().to_string(), "DIR"));
}

#[test]
fn dockers_own_registry_has_many_names() {
    for key in ["https://index.docker.io/v1/", "docker.io", "index.docker.io", "https://registry-1.docker.io"]
    {
        // me:pass
        let text = format!(r#"{{"auths": {{"{key}": {{"auth": "bWU6cGFzcw=="}}}}}}"#);
        check(
            &text,
            &["app"],
            expect![[r#"
            app: me:pass
        "#]],
        );
    }
}

#[test]
fn the_longest_entry_wins() {
    check(
        r#"{"auths": {
            "ghcr.io": {"username": "host", "password": "1"},
            "ghcr.io/team": {"username": "team", "password": "2"},
            "ghcr.io/team/app": {"username": "app", "password": "3"},
            "https://quay.io/v2/": {"identitytoken": "t"},
            "empty.io": {},
            "r.io:5000": {"registrytoken": "b", "auth": ""}
        }}"#,
        &[
            "ghcr.io/team/app:1",
            "ghcr.io/team/apple",
            "ghcr.io/teams/app",
            "ghcr.io/x",
            "quay.io/a",
            "empty.io/a",
            "r.io:5000/a",
            "r.io/a",
        ],
        expect![[r#"
            ghcr.io/team/app:1: app:3
            ghcr.io/team/apple: team:2
            ghcr.io/teams/app: host:1
            ghcr.io/x: host:1
            quay.io/a: refresh t
            empty.io/a: nobody
            r.io:5000/a: bearer b
            r.io/a: nobody
        "#]],
    );
}

#[test]
fn mistakes_are_told_without_secrets() {
    check(
        "{\n  \"auths\": {,\n}",
        &["a"],
        expect![[r#"
        a: cannot use the logins in `DIR/config.json`: it is no JSON (line 2, column 13)
    "#]],
    );
    check(
        "[]",
        &["a"],
        expect![[r#"
        a: cannot use the logins in `DIR/config.json`: it is a list, not an object with `auths` (line 1, column 1)
    "#]],
    );
    check(
        r#"{"auths": {"docker.io": "s3cret"}}"#,
        &["a"],
        expect![[r#"
        a: cannot use the logins in `DIR/config.json`: an entry is not of the form that Docker and Podman write (line 1, column 32)
    "#]],
    );
    check(
        r#"{"auths": {"docker.io": {"auth": "!!"}}}"#,
        &["a", "b.io/a"],
        expect![[r#"
        a: cannot use the logins in `DIR/config.json`: the entry `docker.io` has an `auth` that is no base64
        b.io/a: nobody
    "#]],
    );
    check(
        r#"{"credsStore": "../../bin/sh"}"#,
        &["a"],
        expect![[r#"
        a: cannot use the logins in `DIR/config.json`: `../../bin/sh` is no name of a credential helper: it holds a slash
    "#]],
    );
    check(
        "",
        &["a"],
        expect![[r#"
        a: nobody
    "#]],
    );
}

#[test]
fn the_first_place_with_an_entry_wins() {
    let dir = Dir::new();
    let mut keychain = dir.keychain(r#"{"auths": {"a.io": {"username": "file", "password": "1"}, "b.io": {"username": "file", "password": "1"}}}"#);
    keychain.inline = Some((
        "VARIABLE".to_owned(),
        r#"{"auths": {"a.io": {"username": "inline", "password": "2"}}}"#.to_owned(),
    ));
    assert_eq!(
        (say(&keychain, "a.io/x"), say(&keychain, "b.io/x")),
        ("inline:2".to_owned(), "file:1".to_owned())
    );
    keychain.given = Some(("a.io".to_owned(), Secret::Bearer("t".to_owned())));
    assert_eq!(
        (say(&keychain, "a.io/x"), say(&keychain, "b.io/x")),
        ("bearer t".to_owned(), "file:1".to_owned())
    );
}

#[test]
fn helpers_are_asked() {
    let dir = Dir::new();
    dir.helper("here", r#"read -r server; echo "{\"ServerURL\":\"$server\",\"Username\":\"$1\",\"Secret\":\"for $server\"}""#);
    dir.helper("token", r#"echo '{"Username":"<token>","Secret":"r"}'"#);
    dir.helper("none", "echo 'credentials not found in native keychain'; exit 1");
    dir.helper("broken", "echo 'the vault is locked' >&2; exit 1");
    dir.helper("odd", "echo hello");
    let keychain = dir.keychain(
        r#"{"credsStore": "here", "auths": {"own.io": {"username": "file", "password": "1"}},
            "credHelpers": {"t.io": "token", "n.io": "none", "b.io": "broken", "o.io": "odd", "gone.io": "gone"}}"#,
    );
    let said =
        |reference: &str| say(&keychain, reference).replace(&dir.0.path().display().to_string(), "DIR");
    assert_eq!(said("app"), "get:for https://index.docker.io/v1/");
    assert_eq!(said("x.io:5000/app"), "get:for x.io:5000");
    assert_eq!(said("own.io/app"), "file:1");
    assert_eq!(said("t.io/app"), "refresh r");
    assert_eq!(said("n.io/app"), "nobody");
    expect!["`docker-credential-broken`, which keeps the login for `b.io`, failed: the vault is locked"]
        .assert_eq(&said("b.io/app"));
    expect![
        "`docker-credential-odd`, which keeps the login for `o.io`, failed: its answer is no JSON of a login"
    ]
    .assert_eq(&said("o.io/app"));
    expect!["`docker-credential-gone`, which `DIR/config.json` names as the keeper of logins for `gone.io`, is not installed"]
        .assert_eq(&said("gone.io/app"));
}

#[test]
fn a_helper_that_hangs_can_be_left() {
    let dir = Dir::new();
    dir.helper("slow", "sleep 1000 & wait");
    let keychain = dir.keychain(r#"{"credsStore": "slow"}"#);
    let reference: Reference = "a.io/x".parse().unwrap();
    let error = keychain.login(&reference, &|| true).unwrap_err();
    assert!(matches!(&error, KeychainError::Interrupted), "{error}");
    assert_eq!((error.blame(), error.hint()), (ireko_report::Blame::Interrupted, None));
}

#[test]
fn what_a_helper_leaves_behind_is_not_waited_for() {
    let dir = Dir::new();
    dir.helper("agent", r#"setsid sleep 8 & echo '{"Username":"me","Secret":"p"}'"#);
    let begin = std::time::Instant::now();
    assert_eq!(say(&dir.keychain(r#"{"credsStore": "agent"}"#), "a.io/x"), "me:p");
    assert!(begin.elapsed() < std::time::Duration::from_secs(5), "{:?}", begin.elapsed());
}

#[test]
fn logins_are_kept_and_forgotten() {
    let dir = Dir::new();
    let path = dir.path("deep/config.json");
    let secret = Secret::Password { user: "me".to_owned(), password: "pa:ss".to_owned() };
    let put =
        |path: &Path, domain: &str| store(path, domain, &secret, &dir.environment(), &|| false).unwrap();
    assert_eq!(put(&path, "a.io"), Place::File(path.clone()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // What else it says stays, and other names of one registry go.
    let file = dir.file(
        r#"{"psFormat": "x", "auths": {"docker.io": {"auth": "eDp5"}, "b.io/team": {"auth": "eDp5"}}}"#,
    );
    put(&file, "docker.io");
    put(&file, "b.io");
    expect![[r#"
        {
          "auths": {
            "b.io": {
              "auth": "bWU6cGE6c3M="
            },
            "b.io/team": {
              "auth": "eDp5"
            },
            "https://index.docker.io/v1/": {
              "auth": "bWU6cGE6c3M="
            }
          },
          "psFormat": "x"
        }
    "#]]
    .assert_eq(&fs::read_to_string(&file).unwrap());
    let keychain =
        Keychain { files: vec![AuthFile { path: file.clone(), asked: true }], ..Keychain::default() };
    assert_eq!(say(&keychain, "app"), "me:pa:ss");
    let erased = erase(&file, "docker.io", &dir.environment(), &|| false).unwrap();
    assert_eq!((erased, say(&keychain, "app")), (Some(Place::File(file.clone())), "nobody".to_owned()));
    assert_eq!(erase(&file, "docker.io", &dir.environment(), &|| false).unwrap(), None);
}

#[test]
fn a_helper_keeps_what_it_is_given() {
    let dir = Dir::new();
    dir.helper("box", r#"cat >"$DIR/$1""#);
    let file = dir.file(r#"{"credsStore": "box"}"#);
    let secret = Secret::Refresh("r".to_owned());
    let place = store(&file, "a.io", &secret, &dir.environment(), &|| false).unwrap();
    assert_eq!(place, Place::Helper("docker-credential-box".to_owned()));
    let stored = fs::read_to_string(dir.path("store")).unwrap();
    assert_eq!(stored, r#"{"Secret":"r","ServerURL":"a.io","Username":"<token>"}"#);
    assert!(!fs::read_to_string(&file).unwrap().contains("\"r\""));
    erase(&file, "a.io", &dir.environment(), &|| false).unwrap();
    assert_eq!(fs::read_to_string(dir.path("erase")).unwrap(), "a.io");
}

#[test]
fn a_helper_takes_the_place_of_what_the_file_says() {
    let dir = Dir::new();
    dir.helper("box", BOX);
    let file = dir.file(r#"{"credsStore": "box", "auths": {"https://a.io/v2/": {"auth": "b2xkOm9sZA=="}}}"#);
    store(&file, "a.io", &password("new"), &dir.environment(), &|| false).unwrap();
    let keychain = Keychain {
        files: vec![AuthFile { path: file.clone(), asked: true }],
        environment: dir.environment(),
        ..Keychain::default()
    };
    assert_eq!(say(&keychain, "a.io/x"), "me:new");
    assert!(fs::read_to_string(&file).unwrap().contains("\"a.io\": {}"));
    // Nothing is there twice, and what is not there is not taken away.
    let erase = || erase(&file, "a.io", &dir.environment(), &|| false).unwrap();
    assert_eq!(erase(), Some(Place::Helper("docker-credential-box".to_owned())));
    assert_eq!(erase(), None);
    fs::write(&file, r#"{"credsStore": "deep/box"}"#).unwrap();
    let error = store(&file, "a.io", &password("new"), &dir.environment(), &|| false).unwrap_err();
    assert!(error.to_string().contains("holds a slash"), "{error}");
}

/// A helper that keeps one login.
const BOX: &str = r#"case $1 in
    store) cat >"$DIR/kept" ;;
    get) cat "$DIR/kept" 2>/dev/null || { echo 'credentials not found in native keychain'; exit 1; } ;;
    erase) rm -f "$DIR/kept" ;;
    esac"#;

fn password(password: &str) -> Secret {
    Secret::Password { user: "me".to_owned(), password: password.to_owned() }
}

#[test]
fn the_new_login_is_the_one_in_use() {
    let dir = Dir::new();
    let own = dir.file("{}");
    let first = dir.path("auth.json");
    fs::write(&first, r#"{"auths": {"a.io": {"auth": "b2xkOm9sZA=="}}}"#).unwrap();
    let file = |path: &Path| AuthFile { path: path.to_owned(), asked: false };
    let mut keychain = Keychain { files: vec![file(&first), file(&own)], ..Keychain::default() };
    let named: Reference = "a.io/x".parse().unwrap();
    let places = keychain.keep(&own, &named, &password("new"), &|| false).unwrap();
    assert_eq!(places, [Place::File(own.clone()), Place::File(first.clone())]);
    assert_eq!(say(&keychain, "a.io/x"), "me:new");
    let places = keychain.forget(&own, &named, &|| false).unwrap();
    assert_eq!((places.len(), say(&keychain, "a.io/x").as_str()), (2, "nobody"));
    assert!(keychain.forget(&own, &named, &|| false).unwrap().is_empty());
    // What cannot be changed is named.
    keychain.inline =
        Some(("VARIABLE".to_owned(), r#"{"auths": {"a.io": {"auth": "b2xkOm9sZA=="}}}"#.to_owned()));
    let error = keychain.keep(&own, &named, &password("new"), &|| false).unwrap_err();
    expect!["`VARIABLE` has another login for `a.io`, which stays in use"].assert_eq(&error.to_string());
    let error = keychain.forget(&own, &named, &|| false).unwrap_err();
    expect!["`VARIABLE` still has a login for `a.io`"].assert_eq(&error.to_string());
}

#[test]
fn a_file_stays_as_open_as_it_was() {
    let dir = Dir::new();
    let put = |path: &Path| store(path, "a.io", &password("p"), &[], &|| false).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let file = dir.file("{}");
    for bits in [0o640, 0o600, 0o444, 0o400] {
        fs::set_permissions(&file, fs::Permissions::from_mode(bits)).unwrap();
        put(&file);
        assert_eq!(mode(&file), bits);
    }
    // Directories are made for their owner alone; a link stays one, wherever it leads.
    let link = dir.path("link.json");
    std::os::unix::fs::symlink("there/auth.json", &link).unwrap();
    put(&link);
    assert!(fs::read_link(&link).is_ok() && dir.path("there/auth.json").is_file());
    assert_eq!((mode(&dir.path("there")), mode(&link)), (0o700, 0o600));
    // Only root can see this one.
    if std::os::unix::fs::chown(&file, Some(7), Some(7)).is_ok() {
        put(&file);
        let meta = fs::metadata(&file).unwrap();
        assert_eq!(
            (std::os::unix::fs::MetadataExt::uid(&meta), std::os::unix::fs::MetadataExt::gid(&meta)),
            (7, 7)
        );
    }
}

#[test]
fn logins_at_the_same_time_are_all_kept() {
    let dir = Dir::new();
    let file = dir.path("config.json");
    std::thread::scope(|scope| {
        for number in 0..16 {
            let file = &file;
            scope.spawn(move || {
                store(file, &format!("r{number}.io"), &password("p"), &[], &|| false).unwrap()
            });
        }
    });
    assert_eq!(fs::read_to_string(&file).unwrap().matches("\"auth\":").count(), 16);
    // The file and its lock.
    assert_eq!(fs::read_dir(dir.0.path()).unwrap().count(), 2);
}
