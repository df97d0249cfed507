//! Command lines of kaniko's executor.

use super::*;

fn asked(typed: &str, environment: &Environment) -> Result<Asked, Failure> {
    let words: Vec<OsString> = typed.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect();
    read(&words, environment)
}

/// The words of ireko, or what is said instead.
/// What a command line becomes, without the one word that all begin with.
fn words_in(typed: &str, environment: &Environment) -> String {
    match asked(typed, environment) {
        Ok(Asked::Build(translated)) => translated.words.join(" ").replacen("--isolation=chroot ", "", 1),
        Ok(Asked::Other(words)) => format!("{words:?}"),
        Ok(Asked::Help(text)) => text,
        Err(failure) => format!("no: {}", failure.message),
    }
}

fn words(typed: &str) -> String {
    words_in(typed, &Environment::of([]))
}

fn translated(typed: &str) -> Translated {
    match asked(typed, &Environment::of([])) {
        Ok(Asked::Build(translated)) => *translated,
        _ => panic!("`{typed}` is no build"),
    }
}

#[test]
fn commands_may_run_by_chroot_unless_something_else_is_said() {
    let first = |typed: &str, environment: &Environment| match asked(typed, environment) {
        Ok(Asked::Build(translated)) => translated.words[..2].join(" "),
        _ => panic!("`{typed}` is no build"),
    };
    let (none, said) = (Environment::of([]), Environment::of([("IREKO_ISOLATION", "auto")]));
    assert_eq!(first("-c /none --no-push", &none), "--isolation=chroot build");
    assert_eq!(first("--isolation=auto -c /none --no-push", &none), "--isolation auto");
    assert_eq!(first("-c /none --no-push", &said), "build --output=type=cacheonly");
}

#[test]
fn flags_are_those_of_build() {
    for (typed, expect) in [
        ("-c /none -d r.io/a:1", "build -tr.io/a:1 --output=type=registry -- /none"),
        (
            "--context=dir:///none --destination=r.io/a --destination r.io/b",
            "build -tr.io/a -tr.io/b --output=type=registry -- /none",
        ),
        ("-c=/none --no-push", "build --output=type=cacheonly -- /none"),
        ("--no-push", "build --output=type=cacheonly -- /workspace/"),
        ("-c /none --no-push -d a", "build -ta -- /none"),
        (
            "-c /none --no-push=true -d a --tar-path a.tar",
            "build -ta --output=type=docker,\"dest=a.tar\" -- /none",
        ),
        (
            "-c /none -d r.io/a --tarPath=a.tar",
            "build -tr.io/a --output=type=docker,\"dest=a.tar\" --output=type=registry -- /none",
        ),
        (
            "-c /none --no-push --oci-layout-path l,1",
            "build --output=type=oci,\"dest=l,1\",tar=false -- /none",
        ),
        (
            "-c /none --no-push --digest-file f",
            "build --digest-file=f --output=type=oci,\"dest=/dev/null\" -- /none",
        ),
        (
            "-c /none -d r.io/a --compression zstd --compression-level=3",
            "build -tr.io/a --output=type=registry,compression=zstd,compression-level=3 -- /none",
        ),
        (
            "-c /none -d r.io/a --compression-level -1 --image-format docker",
            "build -tr.io/a --output=type=registry,oci-mediatypes=false -- /none",
        ),
        (
            "-c /none --no-push --build-arg A=1 --build-arg=B --label x=y --target t --custom-platform linux/arm64",
            "build --build-arg=A=1 --build-arg=B --platform=linux/arm64 --label=x=y --target=t --output=type=cacheonly -- /none",
        ),
        (
            "-c /none --no-push --customPlatform=linux/arm/v7 --secret id=a,src=b --annotation a=b",
            "build --annotation=a=b --platform=linux/arm/v7 --secret=id=a,src=b --output=type=cacheonly -- /none",
        ),
        (
            "-c /none --no-push --cache=false --cache-ttl=6h",
            "build --cache-ttl=6h --output=type=cacheonly --no-cache -- /none",
        ),
        ("-c /none --no-push --cache --cache=true", "build --output=type=cacheonly -- /none"),
        (
            "-c /none --no-push --reproducible",
            "build --output=type=cacheonly --build-arg=SOURCE_DATE_EPOCH=0 -- /none",
        ),
        ("-c /none --no-push -v debug", "build --output=type=cacheonly --verbose -- /none"),
        (
            "-c /none --no-push --verbosity=warn --log-format=json",
            "build --output=type=cacheonly --progress=quiet -- /none",
        ),
        ("-c /none --no-push --log-format=json", "build --output=type=cacheonly --progress=json -- /none"),
        (
            "-c /none --no-push --skip-unused-stages=false",
            "build --skip-unused-stages=false --output=type=cacheonly -- /none",
        ),
        ("--home /h -c /none --no-push", "--home /h build --output=type=cacheonly -- /none"),
        ("version", "[\"version\"]"),
        ("login r.io -u me --password-stdin", "[\"login\", \"r.io\", \"-u\", \"me\", \"--password-stdin\"]"),
    ] {
        assert_eq!(words(typed), expect, "{typed}");
    }
    let environment = Environment::of([("KANIKO_NO_PUSH", "true")]);
    assert_eq!(words_in("-c /none", &environment), "build --output=type=cacheonly -- /none");
}

#[test]
fn contexts() {
    let context = |typed: &str, environment: &Environment| {
        let words = words_in(&format!("--no-push {typed}"), environment);
        words
            .strip_prefix("build ")
            .map_or(words.clone(), |rest| rest.replace("--output=type=cacheonly ", "").replace("-- ", ""))
    };
    let none = Environment::of([]);
    for (typed, expect) in [
        ("-c tar://stdin", "-"),
        ("-c tar:///w/c.tar.gz -f a/Dockerfile", "--file=a/Dockerfile tar:///w/c.tar.gz"),
        ("-c https://h/c.tar.gz", "https://h/c.tar.gz"),
        (
            "-c https://me.blob.core.windows.net/c/c.tar.gz",
            "no: a context from Azure's blob storage is not supported",
        ),
        ("-c s3://b/c.tar.gz", "no: a context from an S3 bucket is not supported"),
        ("-c gs://b/c.tar.gz", "no: a context from a bucket of Google's cloud storage is not supported"),
        ("-b b", "no: `--bucket` is not supported"),
        ("-c ftp://b/c", "no: a context from `ftp://` is not supported"),
        ("-c /none --context-sub-path a/b/", "/none/a/b"),
        (
            "-c tar:///c.tar --context-sub-path a",
            "no: `--context-sub-path` is for directories and git repositories",
        ),
        ("-c git://h/a/b.git", "https://h/a/b.git?submodules=0"),
        ("-c git://h/a/b", "https://h/a/b.git?submodules=0"),
        ("-c git://h/b.git#refs/heads/x --context-sub-path s", "https://h/b.git?submodules=0#refs/heads/x:s"),
        ("-c git://h/b.git#refs/heads/x#abc", "https://h/b.git?submodules=0#abc"),
        ("-c git://h/b.git --git=branch=x --git=recurse-submodules=true --git depth=1", "https://h/b.git#x"),
        ("-c git://h/b.git --git branch=x,single-branch=true", "https://h/b.git?submodules=0#x"),
        (
            "-c git://h/b.git --git insecure-skip-tls=true",
            "no: `--git insecure-skip-tls=true` is not supported",
        ),
        ("-c git://tok@h/b.git", "https://tok@h/b.git?submodules=0"),
        (
            "-c /none -f https://h/Dockerfile",
            "no: `--dockerfile https://h/Dockerfile`: a URL is not supported",
        ),
        ("-c /none -f nowhere", "no: there is no Dockerfile `nowhere`, neither here nor in `/none`"),
    ] {
        assert_eq!(context(typed, &none), expect, "{typed}");
    }
    let token = Environment::of([("GIT_TOKEN", "t")]);
    assert_eq!(
        context("-c git://h/b.git", &token),
        "--secret=id=GIT_AUTH_TOKEN,env=GIT_TOKEN https://h/b.git?submodules=0"
    );
    let login =
        Environment::of([("GIT_USERNAME", "me@x"), ("GIT_PASSWORD", "a/b"), ("GIT_PULL_METHOD", "http")]);
    assert_eq!(context("-c git://h/b.git", &login), "http://me%40x:a%2Fb@h/b.git?submodules=0");
}

#[test]
fn a_dockerfile_is_looked_for_here_and_then_in_the_context() {
    let dir = tempfile::tempdir().expect("a directory");
    std::fs::write(dir.path().join("Own"), "FROM scratch\n").expect("a file");
    let context = dir.path().display();
    assert_eq!(
        words(&format!("--no-push -c {context} -f Own")),
        format!("build --file={context}/Own --output=type=cacheonly -- {context}")
    );
    let absolute = format!("{context}/Own");
    assert_eq!(
        words(&format!("--no-push -c /none -f {absolute}")),
        format!("build --file={absolute} --output=type=cacheonly -- /none")
    );
}

#[test]
fn what_would_make_another_image_is_refused() {
    for (typed, expect) in [
        ("-c /none", "there is no `--destination`"),
        ("--no-push --single-snapshot", "`--single-snapshot` is not supported"),
        ("--no-push --ignore-path /a", "`--ignore-path` is not supported"),
        ("--no-push --materialize", "`--materialize` is not supported"),
        ("--no-push --dryrun", "`--dryrun` is not supported"),
        (
            "--no-push --registry-mirror m --skip-default-registry-fallback",
            "`--skip-default-registry-fallback` is not supported",
        ),
        (
            "--no-push --image-name-with-digest-file f",
            "`--image-name-with-digest-file` needs a name to write",
        ),
        ("--no-push --destinatoin a", "`--destinatoin` is no flag of kaniko's executor"),
        ("--no-push -x", "`-x` is no flag of kaniko's executor"),
        ("--no-push /context", "`/context` is no flag of kaniko's executor"),
        ("--no-push=perhaps", "`--no-push=perhaps`: it is neither true nor false"),
        ("--no-push --label", "`--label` has no value"),
        ("--no-push --verbosity loud", "`--verbosity loud` is no level"),
        ("--no-push --log-format xml", "`--log-format xml` is unknown"),
        ("--no-push --registry-map a", "`--registry-map a` is not of the form registry=value"),
        ("push a.tar -d b", "kaniko's `push` is not supported"),
    ] {
        assert_eq!(words(typed), format!("no: {expect}"), "{typed}");
    }
    // Switched off they ask for nothing.
    assert!(words("-c /none --no-push --single-snapshot=false --dryrun=false").starts_with("build"));
}

#[test]
fn registries_are_reached_as_the_flags_say() {
    let reach = translated(
        "-d r.io:5000/a --insecure --insecure-registry b:1 --skip-tls-verify-registry c \
         --registry-mirror m.io --registry-map index.docker.io=n;quay.io=http://q/x \
         --registry-certificate r.io=/ca.crt --registry-client-cert r.io=/a.crt,/a.key",
    )
    .reach;
    let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
    assert_eq!(reach.insecure, ["b:1", "c", "r.io:5000"]);
    assert_eq!(
        reach.mirrors,
        [pair("docker.io", "m.io"), pair("docker.io", "n"), pair("quay.io", "http://q/x")]
    );
    assert_eq!(reach.authorities, [("r.io".to_owned(), PathBuf::from("/ca.crt"))]);
    assert_eq!(reach.identities, [("r.io".to_owned(), PathBuf::from("/a.crt"), PathBuf::from("/a.key"))]);
    let pulls = translated("-d r.io/a --skip-tls-verify-pull --registry-mirror m.io/x").reach;
    assert_eq!(pulls.insecure, ["r.io", "m.io"]);
}

#[test]
fn what_has_no_effect_is_told_once() {
    let notes = |typed: &str| translated(typed).notes;
    assert_eq!(
        notes("--no-push --use-new-run --snapshotMode=redo --push-retry 3 --force"),
        ["`--push-retry`, `--snapshot-mode`, `--use-new-run`: without effect here, and nothing is lost"]
    );
    assert!(notes("--no-push --force --cache=true").is_empty());
    assert!(
        notes("--no-push --cache=true --cache-repo r.io/c")[0]
            .starts_with("`--cache-repo`: there is no cache")
    );
    assert!(notes("--no-push --cache=false --cache-repo r.io/c").is_empty());
}

#[test]
fn every_flag_is_in_the_help_and_in_the_guide() {
    let help = words("--help");
    let guide = include_str!("../../../../docs/user/from-kaniko.md");
    for flag in flags::FLAGS {
        assert!(help.contains(&format!("--{}", flag.name)), "{}", flag.name);
        let is_said = flags::OWN.iter().any(|(name, _)| *name == flag.name);
        assert_eq!(is_said, flag.becomes == Becomes::Own, "{}", flag.name);
        assert!(guide.contains(&format!("`--{}`", flag.name)), "the guide does not name `--{}`", flag.name);
    }
}

#[test]
fn whether_a_push_is_allowed_need_not_be_asked() {
    let build = "build -tr.io/a:1 --output=type=registry";
    assert_eq!(words("-c /none -d r.io/a:1"), format!("{build} -- /none"));
    for (given, becomes) in [("", " --skip-push-permission-check"), ("=false", "")] {
        let typed = format!("-c /none -d r.io/a:1 --skip-push-permission-check{given}");
        assert_eq!(words(&typed), format!("{build}{becomes} -- /none"));
    }
}
