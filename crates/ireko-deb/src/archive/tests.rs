//! An archive on a mirror that may fail in every way, and one on this disk.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ireko_http::{Client, Options, Patience};
use ireko_testkit::{Answer, Received, Server};
use ring::digest::{SHA256, digest};

use super::*;
use crate::release::{Listed, show_date, show_hash};
use crate::sources::{SignedBy, Source};
use crate::testing::{NOW, Says, TestKey, armored, packet};

const PACKAGES: &str = "Package: hello\nVersion: 1\nFilename: pool/h/hello_1%3a1_all.deb\n\n";

fn listed(bytes: &[u8]) -> Listed {
    let sha256 = digest(&SHA256, bytes).as_ref().try_into().unwrap();
    Listed { size: bytes.len() as u64, sha256 }
}

fn xz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = liblzma::write::XzEncoder::new(Vec::new(), 1);
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

fn gz(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The files of an archive, by their paths.
#[derive(Clone)]
struct Tree {
    files: BTreeMap<String, Vec<u8>>,
}

/// How an archive is made.
#[derive(Clone)]
struct Plan {
    packages: String,
    made: u64,
    fields: String,
    /// The forms of its list that it names, and whether it has them.
    forms: Vec<(&'static str, bool)>,
    by_hash: bool,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            packages: PACKAGES.to_owned(),
            made: NOW - 1000,
            fields: String::new(),
            forms: vec![("", false), (".xz", true), (".gz", true)],
            by_hash: false,
        }
    }
}

impl Plan {
    fn release(&self) -> (String, Tree) {
        let mut tree = Tree { files: BTreeMap::new() };
        let mut hashes = String::new();
        let name = "main/binary-amd64/Packages";
        for (form, is_there) in &self.forms {
            let plain = self.packages.as_bytes();
            let bytes = match *form {
                ".xz" => xz(plain),
                ".gz" => gz(plain),
                ".zst" => zstd::encode_all(plain, 1).unwrap(),
                _ => plain.to_vec(),
            };
            let Listed { size, sha256 } = listed(&bytes);
            let hash = show_hash(&sha256);
            hashes += &format!(" {hash} {size} {name}{form}\n");
            if *is_there {
                let by_hash = format!("/dists/stable/main/binary-amd64/by-hash/SHA256/{hash}");
                let path = if self.by_hash { by_hash } else { format!("/dists/stable/{name}{form}") };
                tree.files.insert(path, bytes);
            }
        }
        let by_hash = if self.by_hash { "Acquire-By-Hash: yes\n" } else { "" };
        let text = format!(
            "Origin: Test\nSuite: stable\nDate: {}\nComponents: main\nArchitectures: all amd64\n\
             No-Support-for-Architecture-all: Packages\n{by_hash}{}SHA256:\n{hashes}",
            show_date(self.made),
            self.fields,
        );
        (text, tree)
    }

    fn build(&self) -> Tree {
        let (text, mut tree) = self.release();
        let signed = TestKey::new(1).clear_sign(&text, &Says::new(1).at(self.made));
        tree.files.insert("/dists/stable/InRelease".to_owned(), signed.into_bytes());
        tree
    }
}

impl Tree {
    fn answer(&self, path: &str) -> Answer {
        self.files.get(path).map_or(Answer::status(404), |bytes| Answer::ok(bytes.clone()))
    }

    fn serve(self) -> Server {
        Server::start(move |request| self.answer(&request.path))
    }
}

/// What a test works with: a cache, and requests that are soon given up.
struct Desk {
    directory: tempfile::TempDir,
    client: Client,
    logins: Logins,
}

impl Desk {
    fn new() -> Self {
        let patience = Patience {
            idle: Duration::from_millis(300),
            answer: Duration::from_millis(300),
            attempts: 3,
            pause: Duration::from_millis(1),
            ..Patience::default()
        };
        let client = Client::new(Options { patience, ..Options::default() });
        Self { directory: tempfile::tempdir().unwrap(), client, logins: Logins::default() }
    }

    fn cache(&self) -> Cache {
        Cache::open(self.directory.path().join("cache"), NOW).unwrap()
    }

    fn with<T>(&self, work: impl FnOnce(&Archive<'_>) -> T) -> T {
        self.watched(&|_, _| {}, work)
    }

    fn watched<T>(&self, watch: &Watch<'_>, work: impl FnOnce(&Archive<'_>) -> T) -> T {
        let (client, cache, logins) = (&self.client, &self.cache(), &self.logins);
        work(&Archive { client, cache, logins, now: NOW, past: false, connections: 3, watch })
    }

    fn update(&self, source: &Source) -> Result<Updated, ArchiveError> {
        self.with(|archive| archive.update(Place { source, keys: &keys() }, "amd64"))
    }

    /// What is left of files that were never whole.
    fn drafts(&self) -> usize {
        std::fs::read_dir(self.directory.path().join("cache/new")).unwrap().count()
    }
}

fn keys() -> Keys {
    let mut keys = Keys::default();
    keys.keyring.add(&TestKey::new(1).usual()).unwrap();
    keys
}

fn source(uri: &str) -> Source {
    let (uri, suite) = (uri.to_owned(), "stable".to_owned());
    Source { uri, suite, components: vec!["main".to_owned()], ..Source::default() }
}

/// An error with its causes.
fn told(error: &dyn std::error::Error) -> String {
    let cause = error.source().map(|cause| format!(": {}", told(cause)));
    format!("{error}{}", cause.unwrap_or_default())
}

#[track_caller]
fn check(updated: &Result<Updated, ArchiveError>, server: &Server, wanted: &str) {
    let found = match updated {
        Ok(updated) => {
            assert_eq!(updated.lists[0].read().unwrap(), PACKAGES);
            "good".to_owned()
        }
        Err(error) => told(error).replace(&server.address(), "HOST"),
    };
    assert_eq!(found, wanted);
}

#[test]
fn an_update_takes_what_is_new() {
    let (desk, server) = (Desk::new(), Plan::default().build().serve());
    let source = source(&server.url("/"));
    let seen = Mutex::new(Vec::new());
    let watch = |done, total| seen.lock().unwrap().push((done, total));
    let updated = desk.watched(&watch, |archive| {
        archive.update(Place { source: &source, keys: &keys() }, "amd64").unwrap()
    });
    assert_eq!(updated.release.origin.as_deref(), Some("Test"));
    assert_eq!(updated.signers[0].signed, NOW - 1000);
    assert_eq!(updated.lists[0].listed, listed(PACKAGES.as_bytes()));
    let size = xz(PACKAGES.as_bytes()).len() as u64;
    assert_eq!(seen.lock().unwrap().last(), Some(&(size, size)));
    let address = updated.lists[0].address("pool/h/hello_1%3a1_all.deb").unwrap();
    assert_eq!(address, server.url("/pool/h/hello_1%253a1_all.deb"));
    for wrong in ["", "../x", "a/../../x", "/etc/passwd", "a//b"] {
        assert!(updated.lists[0].address(wrong).is_err(), "{wrong}");
    }
    // The list is there already.
    check(&desk.update(&source), &server, "good");
    let requests = ["GET /dists/stable/InRelease", "GET /dists/stable/main/binary-amd64/Packages.xz"];
    assert_eq!(server.lines(), [requests[0], requests[1], requests[0]]);
    assert_eq!(desk.drafts(), 0);
}

#[test]
fn what_is_unchanged_is_not_sent() {
    let tree = Plan::default().build();
    let desk = Desk::new();
    let server = Server::start(move |request| match request.header("if-none-match") {
        Some("\"1\"") if request.header("if-modified-since") == Some("then") => Answer::status(304),
        _ => tree.answer(&request.path).header("etag", "\"1\"").header("last-modified", "then"),
    });
    let source = source(&server.url(""));
    check(&desk.update(&source), &server, "good");
    check(&desk.update(&source), &server, "good");
    let asked: Vec<Received> = server.received();
    assert_eq!(asked.last().and_then(|one| one.header("if-none-match")), Some("\"1\""));
    // A kept file that was damaged is asked for whole again.
    let kept =
        std::fs::read_dir(desk.directory.path().join("cache/releases")).unwrap().next().unwrap().unwrap();
    let mut bytes = std::fs::read(kept.path()).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    std::fs::write(kept.path(), bytes).unwrap();
    check(&desk.update(&source), &server, "good");
    assert_eq!(server.received().last().and_then(|one| one.header("if-none-match")), None);
}

#[test]
fn every_form_and_by_hash() {
    for form in ["", ".xz", ".gz", ".zst"] {
        let plan = Plan { forms: vec![("", form.is_empty()), (form, true)], ..Plan::default() };
        for by_hash in [false, true] {
            let (desk, server) = (Desk::new(), Plan { by_hash, ..plan.clone() }.build().serve());
            check(&desk.update(&source(&server.url(""))), &server, "good");
            assert_eq!(server.count("by-hash") > 0, by_hash, "{form}");
        }
    }
    // Without the hash of the text itself, and where the best form is named and not there.
    let forms = vec![(".xz", false), (".gz", true)];
    let (desk, server) = (Desk::new(), Plan { forms, ..Plan::default() }.build().serve());
    check(&desk.update(&source(&server.url(""))), &server, "good");
}

#[test]
fn signatures_are_demanded() {
    let (text, tree) = Plan::default().release();
    let with = |files: &[(&str, String)]| {
        let mut tree = tree.clone();
        for (name, content) in files {
            tree.files.insert(format!("/dists/stable/{name}"), content.clone().into_bytes());
        }
        tree.serve()
    };
    let try_one = |files: &[(&str, String)], trusted: Option<bool>, wanted: &str| {
        let server = with(files);
        let source = Source { trusted, ..source(&server.url("")) };
        check(&Desk::new().update(&source), &server, wanted);
    };
    let key = TestKey::new(1);
    let fingerprint: String = key.fingerprint().iter().map(|byte| format!("{byte:02X}")).collect();
    let says = Says::new(1).at(NOW - 1000);
    let detached = armored("PGP SIGNATURE", &packet(2, &key.sign(&says.clone(), &crlf(&text))));
    let release = ("Release", text.clone());
    try_one(&[release.clone(), ("Release.gpg", detached.clone())], None, "good");
    let unsigned =
        "`http://HOST/dists/stable/` is not signed: there is neither an `InRelease` nor a `Release.gpg`";
    try_one(std::slice::from_ref(&release), None, unsigned);
    try_one(&[release], Some(true), "good");
    try_one(&[], None, "`http://HOST/dists/stable/Release` is missing: the server answered 404");
    let refused = "the signature of `http://HOST/dists/stable/InRelease` is not believed: ";
    let signed = key.clear_sign(&text, &says);
    let tampered = signed.replace("Origin: Test", "Origin: Evil");
    let wrong = format!("{refused}it is not the signature of key {fingerprint} for this content");
    try_one(&[("InRelease", tampered.clone())], None, &wrong);
    // Who trusts a source whatever it is gets it, but nothing beside the signed part.
    try_one(&[("InRelease", tampered)], Some(true), "good");
    let around = format!("Origin: Evil\n\n{signed}");
    let begins = "line 1: it does not begin with `-----BEGIN PGP SIGNED MESSAGE-----`";
    try_one(&[("InRelease", around.clone())], None, &format!("{refused}{begins}"));
    try_one(&[("InRelease", around)], Some(true), &format!("{refused}{begins}"));
    try_one(&[("InRelease", text.clone())], None, &format!("{refused}{begins}"));
    let html = "<html>log in</html>".to_owned();
    try_one(&[("InRelease", html)], None, &format!("{refused}{begins}"));
    let stranger = TestKey::new(2).clear_sign(&text, &Says::new(1));
    let server = with(&[("InRelease", stranger)]);
    let error = Desk::new().update(&source(&server.url(""))).expect_err("a stranger");
    assert!(told(&error).ends_with("is not trusted here"), "{}", told(&error));
    assert!(error.hint().is_some_and(|hint| hint.contains("keyring")));
}

fn crlf(text: &str) -> Vec<u8> {
    text.replace('\n', "\r\n").into_bytes()
}

#[test]
fn what_a_release_says_is_held() {
    let refused = |rest: &str| format!("`http://HOST/dists/stable/InRelease` is refused: {rest}");
    let try_one = |plan: &Plan, change: &dyn Fn(&mut Source), wanted: &str| {
        let server = plan.build().serve();
        let mut source = source(&server.url(""));
        change(&mut source);
        check(&Desk::new().update(&source), &server, wanted);
    };
    let over = Plan { fields: format!("Valid-Until: {}\n", show_date(NOW - 1)), ..Plan::default() };
    let told = "it is valid until Tue, 31 Dec 2024 23:59:59 UTC only: the mirror is out of date, or somebody holds back what is new";
    try_one(&over, &|_| {}, &refused(told));
    try_one(&over, &|source| source.check_valid_until = Some(false), "good");
    let other = Plan { fields: "Codename: x\n".to_owned(), ..Plan::default() };
    let mut tree = other.build();
    for (path, bytes) in tree.files.clone() {
        tree.files.insert(path.replace("/stable/", "/testing/"), bytes);
    }
    let server = tree.serve();
    let testing = Source { suite: "testing".to_owned(), ..source(&server.url("")) };
    let told = "`http://HOST/dists/testing/InRelease` is refused: it is of `stable`, `x`, and `testing` was asked for";
    check(&Desk::new().update(&testing), &server, told);
    try_one(
        &Plan { made: NOW + 60, ..Plan::default() },
        &|_| {},
        &refused("it is valid from Wed, 01 Jan 2025 00:01:00 UTC on only; check the clock"),
    );
    let (text, mut tree) = Plan::default().release();
    let weak = TestKey::new(1).clear_sign(&text.replace("SHA256:", "SHA1:"), &Says::new(1));
    tree.files.insert("/dists/stable/InRelease".to_owned(), weak.into_bytes());
    let server = tree.serve();
    let told = refused("it names no SHA-256 of its files, and nothing weaker is believed");
    check(&Desk::new().update(&source(&server.url(""))), &server, &told);
    let has = "it has components main for architectures all, amd64";
    let none = format!("`http://HOST/dists/stable/` has no component `universe`; {has}");
    try_one(&Plan::default(), &|source| source.components = vec!["universe".to_owned()], &none);
    let server = Plan::default().build().serve();
    let (source, keys) = (source(&server.url("")), keys());
    let error = Desk::new()
        .with(|archive| archive.update(Place { source: &source, keys: &keys }, "riscv64"))
        .expect_err("not there");
    assert!(told_of(&error).contains("no packages of component `main` for architecture `riscv64`"));
}

fn told_of(error: &ArchiveError) -> String {
    told(error)
}

#[test]
fn an_older_release_is_refused() {
    let tree = Arc::new(Mutex::new(Plan::default().build()));
    let served = Arc::clone(&tree);
    let server = Server::start(move |request| served.lock().unwrap().answer(&request.path));
    let (desk, source) = (Desk::new(), source(&server.url("")));
    check(&desk.update(&source), &server, "good");
    *tree.lock().unwrap() = Plan { made: NOW - 2000, ..Plan::default() }.build();
    let told = "`http://HOST/dists/stable/InRelease` is refused: it is of Tue, 31 Dec 2024 23:26:40 UTC, older than the one \
                of Tue, 31 Dec 2024 23:43:20 UTC that has come before from this place";
    check(&desk.update(&source), &server, told);
    // Another machine has not seen the newer one.
    check(&Desk::new().update(&source), &server, "good");
    // The newer one comes back, and it is the newer one that stayed.
    check(&desk.update(&source), &server, told);
    *tree.lock().unwrap() = Plan::default().build();
    check(&desk.update(&source), &server, "good");
    // Expired, but a state of the past is wanted.
    let over = Plan { fields: format!("Valid-Until: {}\n", show_date(NOW - 1)), ..Plan::default() };
    *tree.lock().unwrap() = over.build();
    let (client, cache, logins) = (&desk.client, &desk.cache(), &desk.logins);
    let archive = Archive { client, cache, logins, now: NOW, past: true, connections: 1, watch: &|_, _| {} };
    check(&archive.update(Place { source: &source, keys: &keys() }, "amd64"), &server, "good");
}

#[test]
fn half_an_update_is_asked_for_once_more() {
    let (old, new) =
        (Plan::default().build(), Plan { packages: format!("{PACKAGES}\n"), ..Plan::default() }.build());
    // Proxies keep an old InRelease, until they are asked past what they keep.
    let (stale, fresh) = (old.clone(), new.clone());
    let server = Server::start(move |request| {
        let anew = request.header("cache-control") == Some("no-cache");
        if request.path.ends_with("InRelease") && !anew {
            stale.answer(&request.path)
        } else {
            fresh.answer(&request.path)
        }
    });
    let desk = Desk::new();
    let updated = desk.update(&source(&server.url(""))).expect("good the second time");
    assert_eq!(updated.lists[0].read().unwrap(), format!("{PACKAGES}\n"));
    assert_eq!(server.count("InRelease"), 2);
    // It stays so.
    let server = Server::start(move |request| {
        let tree = if request.path.ends_with("InRelease") { &old } else { &new };
        tree.answer(&request.path)
    });
    let error = Desk::new().update(&source(&server.url(""))).expect_err("half");
    let told = told(&error).replace(&server.address(), "HOST");
    let wanted = "`http://HOST/dists/stable/` names lists that the mirror does not serve, also when asked once more: it is half \
                  updated: `http://HOST/dists/stable/main/binary-amd64/Packages.xz` is not the file that the archive's lists name: ";
    assert!(told.starts_with(wanted), "{told}");
    assert_eq!(server.count("InRelease"), 2);
}

/// Answers the first so often in this way, then as it should.
fn faulty(
    tree: Tree,
    part: &'static str,
    times: usize,
    fault: impl Fn(Answer) -> Answer + Send + Sync + 'static,
) -> Server {
    let count = AtomicUsize::new(0);
    Server::start(move |request| {
        let answer = tree.answer(&request.path);
        let is_meant = request.path.contains(part) && count.fetch_add(1, Ordering::SeqCst) < times;
        if is_meant { fault(answer) } else { answer }
    })
}

#[test]
fn mirrors_that_fail_for_a_while() {
    let tree = || Plan::default().build();
    for part in ["InRelease", "Packages.xz"] {
        for (times, fault) in [
            (2, (|answer| answer.cut_after(20)) as fn(Answer) -> Answer),
            (2, |_| Answer::status(500)),
            (2, |_| Answer::hang_up()),
            (1, |answer| {
                std::thread::sleep(Duration::from_millis(450));
                answer
            }),
        ] {
            let server = faulty(tree(), part, times, fault);
            let desk = Desk::new();
            check(&desk.update(&source(&server.url(""))), &server, "good");
            assert_eq!(desk.drafts(), 0);
        }
    }
    let server = faulty(tree(), "InRelease", usize::MAX, |_| Answer::status(500));
    let told = "cannot fetch `http://HOST/dists/stable/InRelease`: `HOST` answered 500 Internal Server Error";
    check(&Desk::new().update(&source(&server.url(""))), &server, told);
    let server = faulty(tree(), "Packages.xz", usize::MAX, |answer| answer.cut_after(20));
    let error = Desk::new().update(&source(&server.url(""))).expect_err("cut");
    assert!(matches!(error, ArchiveError::Fetch { .. }), "{}", super::tests::told(&error));
}

#[test]
fn an_archive_on_this_disk() {
    let desk = Desk::new();
    let root = desk.directory.path().join("a mirror");
    for (path, bytes) in Plan::default().build().files {
        let path = root.join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
    std::fs::write(root.join("hello.deb"), b"a package").unwrap();
    let path = root.display().to_string();
    for uri in
        [format!("file:{path}"), format!("file://{path}"), format!("copy:{}", path.replace(' ', "%20"))]
    {
        let updated = desk.update(&source(&uri)).expect("good");
        let addresses = vec![updated.lists[0].address("./hello.deb").unwrap()];
        let package = Package { addresses, listed: listed(b"a package") };
        let found = desk.with(|archive| archive.fetch(&[package])).expect("there");
        assert_eq!(std::fs::read(&found[0]).unwrap(), b"a package");
    }
    let error = desk.update(&source("file:/nowhere")).expect_err("nothing");
    assert!(told(&error).contains("`file:/nowhere/dists/stable/Release` is missing"), "{}", told(&error));
    for (uri, wanted) in [
        (
            "mirror://x/y",
            "cannot use `mirror://x/dists/stable/InRelease`: archives are reached by http, https, file or copy only",
        ),
        ("nothing", "cannot use `nothing/dists/stable/InRelease`: it is no URI"),
    ] {
        let uri = uri.replace("/y", "");
        assert_eq!(told(&desk.update(&source(&uri)).expect_err("of no use")), wanted);
    }
}

#[test]
fn flat_archives() {
    let hashes = |name: &str| {
        let Listed { size, sha256 } = listed(PACKAGES.as_bytes());
        format!("Date: {}\nSHA256:\n {} {size} {name}\n", show_date(NOW - 5), show_hash(&sha256))
    };
    for name in ["Packages", "./Packages"] {
        let signed = TestKey::new(1).clear_sign(&hashes(name), &Says::new(1));
        let files = [("/x/y/InRelease", signed.into_bytes()), ("/x/y/Packages", PACKAGES.into())];
        let server = Server::start(move |request| {
            let path = request.path.replace("/./", "/");
            files
                .iter()
                .find(|(name, _)| *name == path)
                .map_or(Answer::status(404), |(_, it)| Answer::ok(it.clone()))
        });
        let flat = Source { suite: "y/".to_owned(), components: Vec::new(), ..source(&server.url("/x")) };
        let desk = Desk::new();
        let updated = desk.update(&flat);
        check(&updated, &server, "good");
        assert_eq!(updated.unwrap().lists[0].address("./a.deb").unwrap(), server.url("/x/a.deb"));
    }
}

#[test]
fn several_sources_at_once() {
    let (good, bad) = (Plan::default().build().serve(), Tree { files: BTreeMap::new() }.serve());
    let sources = [source(&good.url("")), source(&bad.url("")), source(&good.url(""))];
    let keys = keys();
    let places: Vec<Place<'_>> = sources.iter().map(|source| Place { source, keys: &keys }).collect();
    let updated = Desk::new().with(|archive| archive.update_all(&places, "amd64"));
    assert_eq!(updated.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(Desk::new().with(|archive| archive.update_all(&[], "amd64")).is_empty());
}

/// Packages of a server: `/0.deb` and so on.
fn packages(server: &Server, count: usize) -> Vec<Package> {
    let one = |at: usize| Package {
        addresses: vec![server.url(&format!("/{at}.deb"))],
        listed: listed(&content(at)),
    };
    (0..count).map(one).collect()
}

fn content(at: usize) -> Vec<u8> {
    at.to_string().repeat(5000).into_bytes()
}

fn pool() -> Tree {
    Tree { files: (0..30).map(|at| (format!("/{at}.deb"), content(at))).collect() }
}

#[test]
fn packages_in_parallel() {
    let (busy, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (their_busy, their_most) = (Arc::clone(&busy), Arc::clone(&most));
    let server = Server::start(move |request| {
        their_most.fetch_max(their_busy.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        std::thread::sleep(Duration::from_millis(5));
        their_busy.fetch_sub(1, Ordering::SeqCst);
        pool().answer(&request.path)
    });
    let desk = Desk::new();
    let mut wanted = packages(&server, 30);
    wanted.push(wanted[3].clone());
    let last = Mutex::new((0, 0));
    let watch = |done, total| *last.lock().unwrap() = (done, total);
    let found = desk.watched(&watch, |archive| archive.fetch(&wanted)).expect("all");
    for (at, path) in found.iter().take(30).enumerate() {
        assert_eq!(std::fs::read(path).unwrap(), content(at));
    }
    assert_eq!(found[30], found[3]);
    assert!((2..=3).contains(&most.load(Ordering::SeqCst)), "{most:?} at once");
    let (done, total) = *last.lock().unwrap();
    assert_eq!(done, total);
    let asked = server.received().len();
    assert_eq!(desk.with(|archive| archive.fetch(&wanted)).expect("all"), found);
    assert_eq!(server.received().len(), asked);
    // A file that was damaged in the cache is fetched again.
    std::fs::write(&found[5], vec![b'x'; content(5).len()]).unwrap();
    desk.with(|archive| archive.fetch(&wanted)).expect("all");
    assert_eq!(std::fs::read(&found[5]).unwrap(), content(5));
    assert_eq!((server.received().len(), desk.drafts()), (asked + 1, 0));
}

#[test]
fn packages_that_are_others() {
    let check = |fault: fn(Answer) -> Answer, times: usize, wanted: &str| {
        let server = faulty(pool(), "/7.deb", times, fault);
        let desk = Desk::new();
        let found = desk.with(|archive| archive.fetch(&packages(&server, 10)));
        let told = found.map_or_else(|error| told(&error), |_| "good".to_owned());
        assert_eq!(told.replace(&server.address(), "HOST"), wanted);
        assert_eq!(desk.drafts(), 0);
    };
    let other = |_| Answer::ok(content(8));
    let hash = |at: usize| show_hash(&listed(&content(at)).sha256);
    let (of_8, of_7) = (hash(8), hash(7));
    let mismatch = format!(
        "`http://HOST/7.deb` is not the file that the archive's lists name: its SHA-256 is {of_8}, not {of_7}"
    );
    check(other, usize::MAX, &mismatch);
    // A proxy's damage goes away when it is asked past what it keeps.
    check(other, 1, "good");
    let short = "`http://HOST/7.deb` is not the file that the archive's lists name: it has 3 bytes, not 5000";
    check(|_| Answer::ok("xyz"), usize::MAX, short);
    let long =
        "`http://HOST/7.deb` is not the file that the archive's lists name: it has more bytes, not 5000";
    check(|_| Answer::ok(content(10)), usize::MAX, long);
    check(|_| Answer::status(404), usize::MAX, "`http://HOST/7.deb` is missing: the server answered 404");
    check(|answer| answer.cut_after(2000), 2, "good");
    let broke = "cannot fetch `http://HOST/7.deb`: connection to `HOST` broke: end of file before message length reached";
    check(|answer| answer.cut_after(2000), usize::MAX, broke);
    // Another place has it.
    let (none, server) = (Tree { files: BTreeMap::new() }.serve(), pool().serve());
    let mut wanted = packages(&server, 2);
    wanted.iter_mut().for_each(|one| one.addresses.insert(0, none.url("/x.deb")));
    assert!(Desk::new().with(|archive| archive.fetch(&wanted)).is_ok());
}

#[test]
fn redirects_are_followed() {
    let server = pool().serve();
    let to = server.url("");
    let first = Server::start(move |request| {
        Answer::status(302).header("location", &format!("{to}{}", request.path))
    });
    assert!(Desk::new().with(|archive| archive.fetch(&packages(&first, 3))).is_ok());
}

#[test]
fn one_cache_for_many() {
    let server = pool().serve();
    let desk = Desk::new();
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| desk.with(|archive| archive.fetch(&packages(&server, 20)).expect("all")));
        }
    });
    assert_eq!(desk.drafts(), 0);
    // What a killed process left is swept when it is a day old.
    let draft = desk.directory.path().join("cache/new/1-1");
    std::fs::write(&draft, "half").unwrap();
    let made = std::fs::metadata(&draft).unwrap().modified().unwrap();
    let made = made.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let open = |now: u64| Cache::open(desk.directory.path().join("cache"), now).unwrap();
    open(made + 80_000);
    assert_eq!(desk.drafts(), 1);
    open(made + 90_000);
    assert_eq!(desk.drafts(), 0);
    let error = Cache::open("/dev/null/x", NOW).expect_err("no directory");
    assert_eq!(error.to_string(), "cannot use `/dev/null/x/blobs` of the cache of archives");
    assert!(Path::new("/dev/null").exists());
}

#[test]
fn a_list_that_grows_without_end_is_refused() {
    let bomb = xz(&vec![b'a'; 1 << 20]);
    let (small, packed) = (listed(PACKAGES.as_bytes()), listed(&bomb));
    let text = format!(
        "Suite: stable\nSHA256:\n {} {} main/binary-amd64/Packages\n {} {} main/binary-amd64/Packages.xz\n",
        show_hash(&small.sha256),
        small.size,
        show_hash(&packed.sha256),
        packed.size,
    );
    let signed = TestKey::new(1).clear_sign(&text, &Says::new(1)).into_bytes();
    let files = BTreeMap::from([
        ("/dists/stable/InRelease".to_owned(), signed),
        ("/dists/stable/main/binary-amd64/Packages.xz".to_owned(), bomb),
    ]);
    let server = Tree { files }.serve();
    let desk = Desk::new();
    let error = desk.update(&source(&server.url(""))).expect_err("too much");
    assert!(told(&error).ends_with("it decompresses to more than its archive says"), "{}", told(&error));
    assert_eq!(desk.drafts(), 0);
}

#[test]
fn logins_are_not_told() {
    let server = Tree { files: BTreeMap::new() }.serve();
    let uri = format!("http://me:secret@{}/x", server.address());
    let error = Desk::new().update(&source(&uri)).expect_err("nothing");
    assert!(!told(&error).contains("secret") && !format!("{error:?}").contains("secret"));
    assert_eq!(server.received()[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    // Those of apt's own files go to whom they are for, and to nobody else.
    let to = server.url("");
    let first = Server::start(move |request| {
        Answer::status(302)
            .header("location", &format!("{}{}", to.replace("127.0.0.1", "localhost"), request.path))
    });
    let mut desk = Desk::new();
    desk.logins.add(&format!("machine http://{} login me password secret", first.address()));
    let error = desk.update(&source(&first.url(""))).expect_err("nothing");
    assert!(!told(&error).contains("secret"));
    assert_eq!(first.received()[0].header("authorization"), Some("Basic bWU6c2VjcmV0"));
    assert_eq!(server.received().last().and_then(|one| one.header("authorization")), None);
    assert!(SignedBy::default().is_empty());
}
