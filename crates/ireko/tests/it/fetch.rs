//! ADD of URLs: names, modes, times, revalidation, checksums, what servers do wrong, and logins that stay secret.

use crate::bad_input::in_small_world;
use crate::support::Place;
use ireko_testkit::{Answer, Received, Server, TarStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server of one file at `/dir/file`, whose content and tag follow a number that the test can raise.
fn versioned() -> (Server, Arc<AtomicUsize>) {
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    let server = Server::start(move |request: &Received| {
        let version = now.load(Ordering::SeqCst);
        let tag = format!("\"{version}\"");
        match request.header("if-none-match") {
            Some(known) if known == tag => Answer::status(304).header("ETag", &tag),
            _ => Answer::ok(format!("version {version}\n"))
                .header("ETag", &tag)
                .header("Last-Modified", "Wed, 21 Oct 2015 07:28:00 GMT"),
        }
    });
    (server, version)
}

#[test]
fn a_file_has_the_mode_time_and_name_that_buildkit_gives_it() {
    let Some(place) = Place::with_base() else { return };
    let (server, _) = versioned();
    let url = server.url("/dir/a%20file.txt?x=1#y");
    place.built(&format!(
        "FROM base\nADD {url} /plain\nADD {url} /dir/\nADD --chmod=755 --chown=app:extra {url} /owned\n\
         ADD {} /dir/\nWORKDIR /dir\nADD {url} .\n",
        server.url("/")
    ));
    let list = place.inside("stat -c '%a %u:%g %Y %n' /plain /owned /dir/*; cat /plain");
    assert_eq!(
        list,
        "600 0:0 1445412480 /plain\n755 1000:1001 1445412480 /owned\n600 0:0 1445412480 /dir/__unnamed__\n\
         600 0:0 1445412480 /dir/a file.txt\nversion 1\n"
    );
    assert_eq!(server.count("/dir/a%20file.txt"), 1, "one file is fetched once a build");
}

#[test]
fn an_unchanged_file_is_neither_sent_nor_copied_again() {
    let Some(place) = Place::with_base() else { return };
    let (server, version) = versioned();
    let text = format!("FROM base\nADD {} /f\nRUN cat /f > /g\n", server.url("/f"));
    place.built(&text);
    let first = place.id("app");
    let again = place.built(&text);
    assert_eq!(again.ran(), Vec::<String>::new(), "{}", again.stderr);
    assert_eq!(place.id("app"), first);
    assert_eq!(server.received().len(), 2);
    version.store(2, Ordering::SeqCst);
    place.built(&text);
    assert_eq!(place.inside("cat /g"), "version 2\n");
    // Back again: everything is known.
    version.store(1, Ordering::SeqCst);
    let back = place.built(&text);
    assert_eq!((back.ran(), place.id("app")), (Vec::new(), first.clone()), "{}", back.stderr);
    // What is known of the URL without what it gave: it is fetched again, whole.
    place.ireko(&["cache", "prune", "-f"]).ok();
    place.ireko(&["rmi", "app"]).ok();
    place.built(&text);
    assert_eq!(place.inside("cat /g"), "version 1\n");
    place.sound();
}

#[test]
fn a_redirect_that_leads_elsewhere_now_is_followed_to_another_file() {
    let Some(place) = Place::with_base() else { return };
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    // Every file has the same tag, which tells nothing of another address.
    let server = Server::start(move |request: &Received| match request.path.as_str() {
        "/latest" => {
            let to = format!("/v/{}", now.load(Ordering::SeqCst));
            Answer::status(302).header("Location", &to)
        }
        _ if request.header("if-none-match").is_some() => Answer::status(304),
        path => Answer::ok(format!("{path}\n")).header("ETag", "\"1\""),
    });
    let text = format!("FROM base\nADD {} /f\n", server.url("/latest"));
    place.built(&text);
    assert_eq!(place.built(&text).ran(), Vec::<String>::new());
    version.store(2, Ordering::SeqCst);
    place.built(&text);
    assert_eq!(place.inside("cat /f"), "/v/2\n");
}

#[test]
fn a_server_whose_tag_lies_is_found_out_when_the_file_is_fetched_whole() {
    let Some(place) = Place::with_base() else { return };
    let version = Arc::new(AtomicUsize::new(1));
    let now = Arc::clone(&version);
    let server = Server::start(move |request: &Received| match request.header("if-none-match") {
        Some(_) => Answer::status(304),
        None => Answer::ok(format!("{}\n", now.load(Ordering::SeqCst))).header("ETag", "\"1\""),
    });
    let text = format!("FROM base\nADD {} /f\n", server.url("/f"));
    place.built(&text);
    version.store(2, Ordering::SeqCst);
    place.build(&["--no-cache"]).ok();
    assert_eq!(place.inside("cat /f"), "2\n");
}

#[test]
fn a_checksum_is_kept_and_spares_the_request() {
    let Some(place) = Place::with_base() else { return };
    let (server, version) = versioned();
    let sum = ireko_oci::Digest::of(b"version 1\n");
    let text = format!("FROM base\nADD --checksum={sum} {} /f\n", server.url("/f"));
    place.built(&text);
    place.built(&text);
    assert_eq!(server.received().len(), 1, "the checksum says which file it is");
    version.store(2, Ordering::SeqCst);
    place.built(&text);
    place.dockerfile(&text);
    let found = ireko_oci::Digest::of(b"version 2\n").to_string();
    place.build(&["--no-cache"]).fails(2, &["--checksum", &sum.to_string(), &found, "Dockerfile:2"]);
    place.sound();
    let other = "sha512:2d2ee7d8e9a1d8aff6b8bd1aa6ea4ba0d8f8ac0a8a51ea0e9f9c2a2e0a3dc8b63e0c80cc2f5b9f1d\
                 d1a7d1b53bbd0d1bf20aa7ff3ae7e2b5b9d6b1ab4b5a9d0";
    place.dockerfile(&text.replace(&sum.to_string(), other));
    place.build(&[]).fails(2, &["wrong number of digits"]);
}

#[test]
fn archives_from_elsewhere_are_unpacked_only_on_demand() {
    let Some(place) = Place::with_base() else { return };
    let tar = TarStream::new().file("in/side", b"x").bytes();
    let server = Server::start(move |_: &Received| Answer::ok(tar.clone()));
    let url = server.url("/t.tar");
    std::fs::write(place.context().join("own.tar"), TarStream::new().file("own", b"y").bytes())
        .expect("a file");
    place.built(&format!(
        "FROM base\nADD own.tar {url} /mixed/\nADD --unpack {url} /out/\nADD --unpack=false own.tar /kept/\n"
    ));
    let list = place.inside("cd / && find mixed out kept -type f | sort");
    assert_eq!(list, "kept/own.tar\nmixed/own\nmixed/t.tar\nout/in/side\n");
}

#[test]
fn servers_that_fail() {
    let Some(place) = Place::with_base() else { return };
    let tried = AtomicUsize::new(0);
    let server = Server::start(move |request: &Received| match request.path.as_str() {
        "/gone" => Answer::status(404),
        "/private" => Answer::status(401),
        "/loop" => Answer::status(302).header("Location", "/loop"),
        "/moved" => Answer::status(301).header("Location", "/there"),
        "/there" => Answer::ok("moved"),
        "/cut" if tried.fetch_add(1, Ordering::SeqCst) == 0 => Answer::ok("whole").cut_after(2),
        "/cut" => Answer::ok("whole"),
        _ => Answer::ok("short").cut_after(2),
    });
    place.built(&format!("FROM base\nADD {} {} /d/\n", server.url("/moved"), server.url("/cut")));
    assert_eq!(place.inside("cat /d/moved /d/cut"), "movedwhole");
    for (path, code, says) in [
        ("/gone", 2, &["404", "check the spelling"] as &[&str]),
        ("/private", 2, &["401", "--secret id=HTTP_AUTH_TOKEN_127.0.0.1"]),
        ("/loop", 2, &["redirects"]),
        ("/short", 3, &["broke: "]),
    ] {
        let url = server.url(path);
        place.dockerfile(&format!("FROM base\nRUN true\nADD {url} /x\n"));
        let said = place.build(&[]).fails(code, &["Dockerfile:3", &format!("cannot fetch `{url}`")]);
        for text in says {
            assert!(said.stderr.contains(text), "`{text}` is not in:\n{}", said.stderr);
        }
    }
    place.dockerfile("FROM base\nADD http://127.0.0.1:1/x /x\n");
    place.build(&[]).fails(3, &["Dockerfile:2", "127.0.0.1:1", "check that the server runs"]);
    place.sound();
}

#[test]
fn logins_come_from_secrets_and_stay_there() {
    let Some(place) = Place::with_base() else { return };
    let server = Server::start(|request: &Received| match request.header("authorization") {
        Some("Bearer s3cr3t-token" | "Basic bWU6czNjcjN0LXRva2Vu") => Answer::ok("private"),
        _ => Answer::status(401),
    });
    let secret = place.path("token");
    std::fs::write(&secret, "s3cr3t-token\n").expect("a file");
    let secret = format!("id=HTTP_AUTH_TOKEN_127.0.0.1,src={}", secret.display());
    place.dockerfile(&format!("FROM base\nADD {} /f\n", server.url("/f")));
    place.build(&["--secret", &secret]).ok();
    assert_eq!(place.inside("cat /f"), "private");
    // A login in the URL itself: the Dockerfile has it, nothing else gets it.
    let url = server.url("/g").replace("http://", "http://me:s3cr3t-token@");
    let said = place.built(&format!("FROM base\nADD {url} /f\nRUN true\n"));
    assert!(!said.stderr.contains("s3cr3t"), "{}", said.stderr);
    assert!(!place.ireko(&["history", "--no-trunc", "app"]).ok().stdout.contains("s3cr3t"));
    let found = std::process::Command::new("grep").args(["-rl", "s3cr3t"]).arg(place.store()).output();
    assert_eq!(String::from_utf8_lossy(&found.expect("grep runs").stdout), "");
}

#[test]
fn ctrl_c_leaves_a_stalled_server() {
    let Some(place) = Place::with_base() else { return };
    let server = Server::start(|_: &Received| {
        std::thread::sleep(std::time::Duration::from_secs(50));
        Answer::ok("late")
    });
    place.dockerfile(&format!("FROM base\nADD {} /f\n", server.url("/f")));
    let mut child = place.command(&["build", "-q", "context"]).spawn().expect("it starts");
    while server.received().is_empty() {
        std::thread::yield_now();
    }
    let pid = rustix::process::Pid::from_child(&child);
    let began = std::time::Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(began.elapsed().as_secs() < 20);
    place.sound();
}

#[test]
fn a_context_from_a_server() {
    let Some(place) = Place::with_base() else { return };
    let files = || {
        TarStream::new()
            .file("Dockerfile", "FROM base\nCOPY . /ctx/\n")
            .file("sub/Other", "FROM base\nCOPY sub/x /x\nRUN --mount=target=/m cp /m/kept /y\n")
            .file("sub/x", "x")
            .file("kept", "k")
            .file(".dockerignore", "kept\n")
    };
    let (plain, packed) = (files().bytes(), files().gzip());
    let server = Server::start(move |request: &Received| match request.path.as_str() {
        "/plain.tar" => Answer::ok(plain.clone()),
        "/packed" => Answer::ok(packed.clone()),
        "/Dockerfile" => Answer::ok("FROM base\nRUN echo alone > /alone\n"),
        "/page" => Answer::ok("<html>"),
        _ => Answer::status(404),
    });
    let build = |url: &str, more: &[&str]| {
        let mut all = vec!["build", "--progress=plain", "-t", "app"];
        all.extend(more);
        all.push(url);
        place.ireko(&all)
    };
    for path in ["/plain.tar", "/packed"] {
        build(&server.url(path), &[]).ok();
        // What somebody packed is all there: no ignore file keeps it out.
        assert_eq!(
            place.inside("cd /ctx && find . -type f | sort | tr '\\n' ' '"),
            "./.dockerignore ./Dockerfile ./kept ./sub/Other ./sub/x "
        );
    }
    build(&server.url("/packed"), &["-f", "sub/Other"]).ok();
    assert_eq!(place.inside("cat /x /y"), "xk");
    let again = build(&server.url("/packed"), &["-f", "sub/Other"]).ok();
    assert_eq!(again.ran(), Vec::<String>::new());
    build(&server.url("/Dockerfile"), &[]).ok();
    assert_eq!(place.inside("cat /alone"), "alone\n");
    let gone = server.url("/gone");
    build(&gone, &[]).fails(2, &[&format!("cannot fetch `{gone}`"), "404"]);
    build(&server.url("/page"), &[]).fails(2, &["Dockerfile:1"]);
    build(&server.url("/packed"), &["-f", "../../../etc/passwd"]).fails(2, &["cannot read Dockerfile"]);
    let input = files().gzip();
    place.ireko_fed(&["build", "-q", "-t", "app", "-"], &input).ok();
    assert_eq!(place.inside("cat /ctx/kept"), "k", "nor does one in a tar on standard input");
}

#[test]
fn a_named_context_from_a_server() {
    let Some(place) = Place::with_base() else { return };
    let (server, version) = versioned();
    place.dockerfile(
        "FROM base\nCOPY --from=files context /a\nRUN --mount=from=files,target=/m cp /m/context /b\n",
    );
    let flag = format!("files={}", server.url("/x/y"));
    place.build(&["--build-context", &flag]).ok();
    assert_eq!(place.inside("cat /a /b"), "version 1\nversion 1\n");
    assert_eq!(place.build(&["--build-context", &flag]).ok().ran(), Vec::<String>::new());
    version.store(2, Ordering::SeqCst);
    place.build(&["--build-context", &flag]).ok();
    assert_eq!(place.inside("cat /a /b"), "version 2\nversion 2\n");
    place.dockerfile("FROM files\n");
    place.build(&["--build-context", &flag, "-o", "type=local,dest=out"]).ok();
    assert_eq!(std::fs::read_to_string(place.path("out/context")).expect("a file"), "version 2\n");
}

/// A tar whose only file is this long and all zeroes, packed to a thousandth of it.
fn bomb(size: usize) -> Vec<u8> {
    TarStream::new().file("Dockerfile", "FROM base\n").file("zeroes", vec![0; size]).gzip()
}

#[test]
fn what_is_fetched_does_not_fit_the_disk() {
    let Some(place) = Place::with_base() else { return };
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    let (big, packed) = (vec![b'x'; 40_000_000], bomb(60_000_000));
    assert!(packed.len() < 1_000_000, "it is small on its way");
    std::fs::write(place.path("bomb.tar.gz"), &packed).expect("a file");
    let server = Server::start(move |request: &Received| match request.path.as_str() {
        "/big" => Answer::ok(big.clone()),
        _ => Answer::ok(packed.clone()),
    });
    place.dockerfile(&format!("FROM base\nADD {} /big\n", server.url("/big")));
    place.file("Dockerfile.bomb", &format!("FROM base\nADD --unpack {} /x/\n", server.url("/bomb.tar.gz")));
    place.file("Dockerfile.small", "FROM base\nCOPY Dockerfile.small /x\n");
    let script = format!(
        "
        $IREKO load -i base.tar || exit 91
        $IREKO build -t app context; echo url: $?
        $IREKO build -t app -f context/Dockerfile.bomb context; echo unpack: $?
        $IREKO build -t app {}; echo context: $?
        $IREKO build -t app - < bomb.tar.gz; echo input: $?
        $IREKO cache fsck || exit 92
        ls $IREKO_HOME/tmp/* | grep . && exit 93
        $IREKO build -t app -f context/Dockerfile.small context || exit 94
        $IREKO run --rm app cat /x || exit 95",
        server.url("/bomb.tar.gz")
    );
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=24m,mode=755", &script) else { return };
    let said = said.ok();
    for what in ["url", "unpack", "context", "input"] {
        assert!(said.stdout.contains(&format!("{what}: 3\n")), "{what}:\n{}\n{}", said.stdout, said.stderr);
    }
    assert!(said.stderr.contains("cannot fetch `"), "{}", said.stderr);
    assert!(said.stderr.matches("No space left on device").count() >= 4, "{}", said.stderr);
}

#[test]
fn a_date_from_what_is_named() {
    let Some(place) = Place::with_base() else { return };
    let dockerfile = "FROM base\nARG SOURCE_DATE_EPOCH\nRUN echo at $SOURCE_DATE_EPOCH >/epoch\n";
    let tar = |dockerfile: &str| {
        let tar = TarStream::new().time(1_600_000_000).file("Dockerfile", dockerfile);
        tar.time(1_700_000_302).file("late", "x").time(1_800_000_000).dir("d").bytes()
    };
    let packed = tar(dockerfile);
    let sent = packed.clone();
    let server = Server::start(move |request| match request.path.as_str() {
        "/dated.tar" => Answer::ok(sent.clone()).header("last-modified", "Tue, 14 Nov 2023 22:16:41 GMT"),
        "/context.tar" => Answer::ok(sent.clone()),
        _ => Answer::ok("no archive"),
    });
    let epoch = |value: &str| format!("SOURCE_DATE_EPOCH={value}");
    let created = || place.inspect()["Created"].as_str().unwrap_or_default().to_owned();
    let cases = [
        ("/dated.tar", "2023-11-14T22:16:41Z", "at 1700000201\n"),
        ("/context.tar", "2023-11-14T22:18:22Z", "at 1700000302\n"),
    ];
    for (path, date, seen) in cases {
        let url = server.url(path);
        place.ireko(&["build", "-q", "-t", "app", "--build-arg", &epoch("context"), &url]).ok();
        assert_eq!((created().as_str(), place.inside("cat /epoch").as_str()), (date, seen), "{path}");
        // As a named context, and as a stage.
        place.dockerfile(dockerfile);
        let named = format!("src={url}");
        place.build(&["--build-arg", &epoch("src"), "--build-context", &named]).ok();
        assert_eq!((created().as_str(), place.inside("cat /epoch").as_str()), (date, seen), "{path}");
        place.dockerfile(&format!(
            "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\nARG N\nADD {}$N /\n{dockerfile}",
            server.url("")
        ));
        place.build(&["--build-arg", &format!("N={path}")]).ok();
        assert_eq!((created().as_str(), place.inside("cat /epoch").as_str()), (date, seen), "{path}");
    }
    place.ireko_fed(&["build", "-q", "-t", "app", "--build-arg", &epoch("context"), "-"], &packed).ok();
    assert_eq!(place.inside("cat /epoch"), "at 1700000302\n", "a tar on standard input");
    // What has no date gives none.
    place.dockerfile(dockerfile);
    for (value, named) in
        [("context", "src=context"), ("src", "src=context"), ("src", "src=docker-image://base")]
    {
        place.build(&["--build-arg", &epoch(value), "--build-context", named]).ok();
        assert_eq!(place.inside("cat /epoch"), "at\n", "{value} {named}");
    }
    place.build(&["--build-arg", &epoch("scr"), "--build-context", "src=context"]).fails(
        2,
        &["`SOURCE_DATE_EPOCH` is `scr`", "no stage or context is called so", "did you mean `src`?"],
    );
    place.dockerfile(
        "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\nADD https://h/a /\nENV A=b\nFROM base\n",
    );
    place.build(&[]).fails(2, &["stage `src` cannot give the date", "ENV", "Dockerfile:4"]);
}
