//! Which files are looked at, and in which order.

use super::*;

fn files(environment: &Environment, flag: Option<&str>) -> Vec<String> {
    let keychain = keychain(environment, flag.map(Path::new));
    keychain
        .files
        .iter()
        .map(|file| format!("{}{}", file.path.display(), if file.asked { " !" } else { "" }))
        .collect()
}

#[test]
fn a_file_that_is_asked_for_is_the_only_one() {
    let environment =
        Environment::of([("REGISTRY_AUTH_FILE", "/a.json"), ("HOME", "/h"), ("DOCKER_AUTH_CONFIG", "{}")]);
    assert_eq!(files(&environment, None), ["/a.json !"]);
    assert_eq!(files(&environment, Some("/b.json")), ["/b.json !"]);
    assert!(keychain(&environment, None).inline.is_none());
}

#[test]
fn the_usual_files_have_an_order() {
    let environment =
        Environment::of([("HOME", "/h"), ("DOCKER_CONFIG", "/d"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
    assert_eq!(
        files(&environment, None),
        [
            "/d/config.json !",
            "/run/user/7/containers/auth.json",
            "/h/.config/containers/auth.json",
            "/kaniko/.docker/config.json"
        ]
    );
    let home = Environment::of([("HOME", "/h")]);
    assert_eq!(files(&home, None)[2], "/h/.docker/config.json");
    assert_eq!(auth_file(&environment, None).unwrap(), Path::new("/d/config.json"));
    assert!(auth_file(&Environment::of([]), None).is_err());
}

#[test]
fn flags_are_said_of_the_registry_that_is_named() {
    let args = RegistryArgs {
        creds: Some("me:a:b".to_owned()),
        tls_verify: Some("false".to_owned()),
        ..RegistryArgs::default()
    };
    let named = ["r.io:5000/app".parse().unwrap()];
    let options = options(&Environment::of([]), &args, &named).unwrap();
    let secret = Secret::Password { user: "me".to_owned(), password: "a:b".to_owned() };
    assert_eq!(options.keychain.given, Some(("r.io:5000".to_owned(), secret)));
    assert!(options.hosts.insecure_hosts().contains("r.io:5000"));
}

#[test]
fn a_configuration_that_was_asked_for_must_be_there() {
    let environment = Environment::of([("CONTAINERS_REGISTRIES_CONF", "/does/not/exist.conf")]);
    let failure = hosts(&environment).unwrap_err();
    assert!(failure.message.contains("/does/not/exist.conf"), "{}", failure.message);
}
