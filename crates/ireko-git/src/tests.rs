//! Against real servers on loopback.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use ireko_testkit::{GitRepo, SshServer, git_daemon, git_over_http, git_over_old_http, silent_port};

use crate::{Auth, Checkout, Found, Git, GitError, Mtime, Options, Resolved, SshAuth, Want, Watch};

/// A directory with repositories `app` and `lib`, and room for copies and checkouts.
struct Fixture {
    dir: tempfile::TempDir,
    app: GitRepo,
    first: String,
    second: String,
}

impl Fixture {
    /// `app`: branch `main` of two commits, branch `old` and tags `light` and `v1` (annotated) on the first.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let app = GitRepo::new(&dir.path().join("repos/app"));
        app.file("a.txt", "one\n").file("run*", "#!/bin/sh\n").file("sub/deep/b.txt", "b\n");
        let first = app.commit("first");
        app.git(["branch", "old"]);
        app.git(["tag", "light"]);
        app.git(["tag", "--annotate", "--message", "one", "v1"]);
        std::os::unix::fs::symlink("a.txt", app.dir().join("link")).unwrap();
        std::os::unix::fs::symlink("sub", app.dir().join("to-sub")).unwrap();
        let second = app.file("a.txt", "two\n").commit("second");
        Self { dir, app, first, second }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn repos(&self) -> PathBuf {
        self.path("repos")
    }

    /// Resolves, fetches and checks out; the files.
    fn take(&self, url: &str, want: &Want, what: &Checkout) -> Result<String, GitError> {
        self.take_as(url, Auth::default(), want, what)
    }

    fn take_as(&self, url: &str, auth: Auth, want: &Want, what: &Checkout) -> Result<String, GitError> {
        let git = Git::new(options());
        let watch = Watch { cancelled: &|| false, said: &|_| {} };
        let repository = git.repository(url, auth, &self.path("store"), watch);
        let fetched = repository.fetch(&repository.resolve(want)?)?;
        let (dest, scratch) = (self.path("dest"), self.path("scratch"));
        let _first_time = fs::remove_dir_all(&dest);
        fs::create_dir_all(&dest).unwrap();
        fs::create_dir_all(&scratch).unwrap();
        fetched.checkout(what, &dest, &scratch)?;
        assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0, "scratch is left clean");
        Ok(shown(&dest, what.keep_git_dir))
    }

    fn resolve(&self, url: &str, reference: &str) -> Result<Resolved, GitError> {
        let git = Git::new(options());
        let watch = Watch { cancelled: &|| false, said: &|_| {} };
        let want = Want { reference: reference.to_owned(), ..Want::default() };
        git.repository(url, Auth::default(), &self.path("store"), watch).resolve(&want)
    }
}

fn options() -> Options {
    Options { patience: Duration::from_secs(20), ..Options::default() }
}

fn want(reference: &str) -> Want {
    Want { reference: reference.to_owned(), ..Want::default() }
}

/// Each file as `path mode content` or `path -> target`; of `.git` only that it is there.
fn shown(dir: &Path, keep: bool) -> String {
    let mut lines = BTreeMap::new();
    fn walk(dir: &Path, at: &str, lines: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = format!("{at}{}", path.file_name().unwrap().to_string_lossy());
            let meta = fs::symlink_metadata(&path).unwrap();
            let mode = meta.permissions().mode() & 0o7777;
            if meta.is_symlink() {
                lines.insert(name, format!("-> {}", fs::read_link(&path).unwrap().display()));
            } else if meta.is_dir() {
                assert_eq!(mode, 0o755, "{name}");
                lines.insert(name.clone(), "dir".to_owned());
                if !name.ends_with(".git") {
                    walk(&path, &format!("{name}/"), lines);
                }
            } else {
                lines.insert(name, format!("{mode:o} {:?}", fs::read_to_string(&path).unwrap()));
            }
        }
    }
    walk(dir, "", &mut lines);
    assert_eq!(lines.contains_key(".git"), keep);
    lines.iter().filter(|(_, what)| *what != "dir").map(|(name, what)| format!("{name} {what}\n")).collect()
}

/// Whether a text is anywhere below a directory.
fn found_below(dir: &Path, text: &str) -> bool {
    let output =
        std::process::Command::new("grep").args(["-r", "-l", "-a", "-F", text]).arg(dir).output().unwrap();
    !output.stdout.is_empty()
}

const FIRST: &str = "a.txt 644 \"one\\n\"\nrun 755 \"#!/bin/sh\\n\"\nsub/deep/b.txt 644 \"b\\n\"\n";
const SECOND: &str = "a.txt 644 \"two\\n\"\nlink -> a.txt\nrun 755 \"#!/bin/sh\\n\"\nsub/deep/b.txt 644 \"b\\n\"\nto-sub -> sub\n";

/// Every way to name a commit, on one server.
#[track_caller]
fn check_names(fixture: &Fixture, url: &str, auth: &Auth) {
    let (first, second) = (fixture.first.clone(), fixture.second.clone());
    let cases = [
        ("", SECOND),
        ("main", SECOND),
        ("refs/heads/old", FIRST),
        ("v1", FIRST),
        ("refs/tags/light", FIRST),
        (&first, FIRST),
        (&second, SECOND),
        (&first[..9], FIRST),
    ];
    for (reference, files) in cases {
        let found = fixture.take_as(url, auth.clone(), &want(reference), &Checkout::default());
        assert_eq!(
            found.map_err(|error| format!("{error} {error:?}")).as_deref(),
            Ok(files),
            "{url} {reference}"
        );
    }
}

#[test]
fn every_protocol_gives_every_commit() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    check_names(&fixture, &http.url("/app/.git"), &Auth::default());
    let daemon = git_daemon(&fixture.repos());
    check_names(&fixture, &format!("git://127.0.0.1:{}/app/.git", daemon.port()), &Auth::default());
}

#[test]
fn a_server_that_knows_only_the_first_protocol() {
    let fixture = Fixture::new();
    let http = git_over_old_http(&fixture.repos());
    let url = http.url("/app/.git");
    check_names(&fixture, &url, &Auth::default());
    // No ref names this commit any more, but a later one's history has it.
    let inside = fixture.app.file("a.txt", "inside\n").commit("inside");
    fixture.app.file("a.txt", "last\n").commit("last");
    let asked = http.received().len();
    assert!(fixture.take(&url, &want(&inside), &Checkout::default()).unwrap().contains("inside"));
    let all = http.lines().split_off(asked);
    assert_eq!(
        all.iter().filter(|line| line.starts_with("POST")).count(),
        1,
        "one refusal without a transfer: {all:?}"
    );
    assert_eq!(all.iter().filter(|line| line.starts_with("GET")).count(), 2, "{all:?}");
    let nowhere = "1234567890123456789012345678901234567890";
    let error = fixture.take(&url, &want(nowhere), &Checkout::default()).unwrap_err();
    assert!(matches!(error, GitError::NoRef { .. }), "{error}");
}

#[test]
fn objects_named_by_sha256() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("repos/app");
    fs::create_dir_all(&place).unwrap();
    let made = std::process::Command::new("git")
        .args(["init", "-q", "-b", "main", "--object-format=sha256"])
        .arg(&place)
        .status();
    assert!(made.unwrap().success());
    let app = GitRepo::new(&place);
    let first = app.file("a.txt", "one\n").file("sub/deep/b.txt", "b\n").commit("first");
    assert_eq!(first.len(), 64);
    app.git(["branch", "old"]);
    let second = app.file("a.txt", "two\n").commit("second");
    let fixture = Fixture { dir, app, first, second };
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    for (reference, content) in
        [("main", "two"), ("old", "one"), (&fixture.first, "one"), (&fixture.second, "two")]
    {
        for keep_git_dir in [false, true] {
            let what = Checkout { keep_git_dir, ..Checkout::default() };
            let files = fixture.take(&url, &want(reference), &what).unwrap();
            assert!(files.contains(content), "{reference}: {files}");
        }
    }
}

#[test]
fn one_file_without_a_checkout() {
    let fixture = Fixture::new();
    std::os::unix::fs::symlink("/etc/passwd", fixture.app.dir().join("out")).unwrap();
    std::os::unix::fs::symlink("../a.txt", fixture.app.dir().join("sub/up")).unwrap();
    fixture.app.commit("links");
    let http = git_over_http(&fixture.repos(), None);
    let git = Git::new(options());
    let watch = Watch { cancelled: &|| false, said: &|_| {} };
    let repository = git.repository(&http.url("/app/.git"), Auth::default(), &fixture.path("store"), watch);
    let fetched = repository.fetch(&repository.resolve(&want("main")).unwrap()).unwrap();
    let file = |text: &str| Found::File(text.as_bytes().to_vec());
    let cases = [
        ("", "a.txt", file("two\n")),
        ("", "link", file("two\n")),
        ("", "/to-sub/deep/b.txt", file("b\n")),
        ("", "sub/up", file("two\n")),
        ("sub", "deep/b.txt", file("b\n")),
        ("sub", "up", Found::Nothing),
        ("", "../a.txt", file("two\n")),
        ("", "out", Found::Nothing),
        ("", "sub", Found::Nothing),
        ("", "nothing", Found::Nothing),
        ("nowhere", "a.txt", Found::NoDirectory),
        ("to-sub", "a.txt", Found::NoDirectory),
        ("a.txt", "a.txt", Found::NoDirectory),
    ];
    for (subdir, path, found) in cases {
        assert_eq!(fetched.read(subdir, path).unwrap(), found, "{subdir} {path}");
    }
}

#[test]
fn dumb_http() {
    let fixture = Fixture::new();
    fixture.app.git(["update-server-info"]);
    let root = fixture.repos();
    let server = ireko_testkit::Server::start(move |request| {
        match fs::read(root.join(request.path.trim_start_matches('/'))) {
            Ok(bytes) => ireko_testkit::Answer::ok(bytes),
            Err(_) => ireko_testkit::Answer::status(404),
        }
    });
    check_names(&fixture, &server.url("/app/.git"), &Auth::default());
}

#[test]
fn over_ssh_with_an_agent_and_known_hosts() {
    let fixture = Fixture::new();
    let Some(server) = SshServer::start(&fixture.path("ssh")) else {
        println!("skipped because there is no ssh server on this machine");
        return;
    };
    let url = server.url(&fixture.app.dir().join(".git"));
    let auth = |known_hosts: Option<String>| Auth {
        ssh: SshAuth { agent_socket: Some(server.agent()), known_hosts: known_hosts.map(String::into_bytes) },
        ..Auth::default()
    };
    fs::create_dir_all(fixture.path("store")).unwrap();
    fs::write(fixture.path("store/known-hosts-4194999-0"), "of a process that cannot be").unwrap();
    check_names(&fixture, &url, &auth(Some(server.known_hosts())));
    let names = || fs::read_dir(fixture.path("store")).unwrap().flatten().map(|entry| entry.file_name());
    assert!(
        names().all(|name| !name.to_string_lossy().contains("known-hosts")),
        "{:?}",
        names().collect::<Vec<_>>()
    );
    let again = |auth: Auth| fixture.take_as(&url, auth, &want("main"), &Checkout::default());
    assert_eq!(again(auth(None)).unwrap(), SECOND, "a host that is not known is trusted");
    let own = fs::read_to_string(fixture.path("ssh/client.pub")).unwrap();
    let host = server.known_hosts().split(' ').next().unwrap().to_owned();
    let error = again(auth(Some(format!("{host} {own}")))).unwrap_err();
    assert!(matches!(&error, GitError::Unreachable { said, .. } if said.contains("Host key")), "{error}");
    let error = again(Auth::default()).unwrap_err();
    assert!(matches!(error, GitError::Denied { ssh: true, .. }), "{error}");
    assert!(error.hint().unwrap().contains("--ssh default"), "{:?}", error.hint());
}

#[test]
fn a_token_is_needed_and_stays_secret() {
    let fixture = Fixture::new();
    // `x-access-token:geheim42`, coded.
    let coded = "eC1hY2Nlc3MtdG9rZW46Z2VoZWltNDI=";
    let http = git_over_http(&fixture.repos(), Some(&format!("basic {coded}")));
    let url = http.url("/app/.git");
    let error = fixture.take(&url, &want("main"), &Checkout::default()).unwrap_err();
    assert!(matches!(error, GitError::Denied { known: false, .. }), "{error}");
    assert!(error.hint().unwrap().contains("--secret id=GIT_AUTH_TOKEN"));
    let auth = |token: &'static str| {
        Auth::from_secrets(&http.address(), move |id| {
            (id == "GIT_AUTH_TOKEN").then(|| token.as_bytes().to_vec())
        })
    };
    let take = |auth| {
        fixture.take_as(&url, auth, &want("main"), &Checkout { keep_git_dir: true, ..Checkout::default() })
    };
    let error = take(auth("falsch42")).unwrap_err();
    assert!(matches!(error, GitError::Denied { known: true, .. }), "{error}");
    assert!(!format!("{error:?}").contains("falsch42"));
    assert_eq!(take(auth("geheim42")).unwrap().replace(".git dir\n", ""), SECOND);
    // A name and password in the URL serve as well.
    let direct = url.replace("http://", "http://x-access-token:geheim42@");
    let http = git_over_http(&fixture.repos(), Some(&format!("Basic {coded}")));
    let direct = direct.replace(&fixture_port(&url), &http.port().to_string());
    let kept = Checkout { keep_git_dir: true, ..Checkout::default() };
    assert_eq!(fixture.take(&direct, &want("main"), &kept).unwrap(), SECOND);
    for text in ["geheim42", "falsch42", coded] {
        assert!(
            !found_below(&fixture.path("store"), text) && !found_below(&fixture.path("dest"), text),
            "{text}"
        );
    }
}

fn fixture_port(url: &str) -> String {
    url.rsplit(':').next().unwrap().split('/').next().unwrap().to_owned()
}

#[test]
fn nobody_is_asked_for_a_commit_that_is_here() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let take = || fixture.take(&url, &want(&fixture.first), &Checkout::default()).unwrap();
    assert_eq!(take(), FIRST);
    let asked = http.received().len();
    assert_eq!(take(), FIRST);
    assert_eq!(http.received().len(), asked);
    assert_eq!(fixture.resolve(&url, &fixture.first).unwrap().object, fixture.first);
    assert_eq!(http.received().len(), asked);
}

#[test]
fn a_branch_that_moves_means_another_commit() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let before = fixture.resolve(&url, "main").unwrap();
    assert_eq!((before.id(), before.name.as_deref()), (fixture.second.as_str(), Some("refs/heads/main")));
    assert_eq!(fixture.resolve(&url, "main").unwrap(), before);
    let third = fixture.app.file("a.txt", "three\n").commit("third");
    assert_eq!(fixture.resolve(&url, "main").unwrap().id(), third);
    // What was resolved is still what is fetched.
    let git = Git::new(options());
    let watch = Watch { cancelled: &|| false, said: &|_| {} };
    let repository = git.repository(&url, Auth::default(), &fixture.path("store"), watch);
    assert_eq!(repository.fetch(&before).unwrap().commit(), fixture.second);
    assert_eq!(repository.fetch(&before).unwrap().time(), 981_173_106);
    // A history that was rewritten is no obstacle.
    fixture.app.git(["commit", "--quiet", "--amend", "--message", "other"]);
    fixture.app.git(["tag", "--force", "light"]);
    assert!(fixture.take(&url, &want("light"), &Checkout::default()).unwrap().contains("three"));
}

#[test]
fn tags_with_a_message() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let tag = fixture.app.git(["rev-parse", "v1"]);
    let found = fixture.resolve(&url, "v1").unwrap();
    assert_eq!(
        (found.object.as_str(), found.commit.as_deref()),
        (tag.as_str(), Some(fixture.first.as_str()))
    );
    assert_eq!(fixture.take(&url, &want(&tag), &Checkout::default()).unwrap(), FIRST);
}

#[test]
fn checksums() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let tag = fixture.app.git(["rev-parse", "v1"]);
    let check = |reference: &str, checksum: &str| {
        let want = Want { reference: reference.to_owned(), checksum: checksum.to_owned(), by_commit: false };
        fixture.take(&url, &want, &Checkout::default()).map_err(|error| error.to_string())
    };
    assert_eq!(check("v1", &fixture.first).as_deref(), Ok(FIRST));
    assert_eq!(check("v1", &tag).as_deref(), Ok(FIRST));
    assert_eq!(check("v1", &fixture.first[..7].to_uppercase()).as_deref(), Ok(FIRST));
    assert_eq!(check(&fixture.first, &fixture.first[..10]).as_deref(), Ok(FIRST));
    let first = &fixture.first;
    let wrong = format!("`main` of `{url}` is {}, and must be {first}", fixture.second);
    assert_eq!(check("main", first), Err(wrong));
    assert!(check("v1", &fixture.second).unwrap_err().contains(&format!("{tag} or {first}")));
    assert!(check("main", "xyz").unwrap_err().contains("hexadecimal"));
    let by_commit = |reference: &str, checksum: &str| {
        let want = Want { reference: reference.to_owned(), checksum: checksum.to_owned(), by_commit: true };
        fixture.take(&url, &want, &Checkout::default()).map_err(|error| error.to_string())
    };
    assert_eq!(by_commit("refs/heads/gone", first).as_deref(), Ok(FIRST));
    assert!(by_commit("main", &first[..8]).unwrap_err().contains("whole commit"));
}

#[test]
fn what_is_not_there_is_told_with_what_is() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let error = |url: &str, reference: &str, subdir: &str| {
        let what = Checkout { subdir: subdir.to_owned(), ..Checkout::default() };
        fixture.take(url, &want(reference), &what).unwrap_err().to_string()
    };
    assert_eq!(error(&url, "mian", ""), format!("`{url}` has no ref `mian`; it has `main`"));
    assert_eq!(error(&url, "v1.0", ""), format!("`{url}` has no ref `v1.0`; it has `v1`"));
    let nowhere = "1234567890123456789012345678901234567890";
    assert_eq!(error(&url, nowhere, ""), format!("`{url}` has no commit `{nowhere}`"));
    assert_eq!(error(&url, "main", "sub/dep"), format!("`{url}` has no directory `sub/dep`; it has `deep`"));
    assert!(error(&url, "main", "to-sub/deep").contains("`to-sub` in it is no directory of its own"));
    assert!(error(&url, "main", "a.txt").contains("`a.txt` in it is no directory"));
    let elsewhere = http.url("/nothing.git");
    assert!(error(&elsewhere, "", "").starts_with(&format!("there is no repository at `{elsewhere}`")));
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(error(&format!("http://{closed}/a.git"), "", "").contains("cannot reach"));
}

#[test]
fn one_directory() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    for subdir in ["sub", "/sub/", "../sub/./", "x/../sub"] {
        let what = Checkout { subdir: subdir.to_owned(), keep_git_dir: false, ..Checkout::default() };
        assert_eq!(fixture.take(&url, &want(""), &what).unwrap(), "deep/b.txt 644 \"b\\n\"\n", "{subdir}");
    }
    let all = Checkout { subdir: "/".to_owned(), ..Checkout::default() };
    assert_eq!(fixture.take(&url, &want(""), &all).unwrap(), SECOND);
}

#[test]
fn times() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let what = Checkout { mtime: Mtime::Commit, ..Checkout::default() };
    fixture.take(&url, &want("main"), &what).unwrap();
    for name in ["", "a.txt", "link", "sub", "sub/deep/b.txt"] {
        assert_eq!(
            fs::symlink_metadata(fixture.path("dest").join(name)).unwrap().mtime(),
            981_173_106,
            "{name}"
        );
    }
    fixture.take(&url, &want("main"), &Checkout::default()).unwrap();
    assert!(fs::metadata(fixture.path("dest/a.txt")).unwrap().mtime() > 981_173_106);
}

#[test]
fn the_git_directory_is_kept_without_a_trace_of_here() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let kept = Checkout { keep_git_dir: true, ..Checkout::default() };
    let dest = GitRepoAt(fixture.path("dest"));
    let cases = [
        ("main", &fixture.second, "refs/heads/main"),
        ("v1", &fixture.first, "refs/tags/v1"),
        (&fixture.first, &fixture.first, ""),
    ];
    for (reference, commit, name) in cases {
        fixture.take(&url, &want(reference), &kept).unwrap();
        assert_eq!(&dest.git(&["rev-parse", "HEAD"]), commit);
        assert_eq!(dest.git(&["for-each-ref", "--format=%(refname)"]), name);
        assert_eq!(dest.git(&["status", "--porcelain"]), "");
        assert_eq!(dest.git(&["remote", "get-url", "origin"]), url);
        assert_eq!(dest.git(&["rev-list", "--count", "HEAD"]), "1", "the history is as short as the fetch");
        let here = fixture.path("store");
        assert!(!found_below(&fixture.path("dest"), &here.to_string_lossy()));
    }
    assert_eq!(dest.git(&["describe", "--tags", "--always"]).len(), 7);
}

struct GitRepoAt(PathBuf);

impl GitRepoAt {
    fn git(&self, args: &[&str]) -> String {
        let output = std::process::Command::new("git").args(args).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

/// `app` gets `lib` at `vendor/lib`, and `lib` gets `leaf` at `leaf`.
fn with_submodules(fixture: &Fixture, base: &str) {
    let leaf = GitRepo::new(&fixture.path("repos/leaf"));
    leaf.file("leaf.txt", "leaf\n").commit("leaf");
    let lib = GitRepo::new(&fixture.path("repos/lib"));
    lib.file("lib.txt", "lib\n");
    add_submodule(&lib, &format!("{base}/leaf/.git"), "leaf");
    lib.commit("lib");
    // The next commit is not the tip any more: it is fetched by its id.
    add_submodule(&fixture.app, "../../lib/.git", "vendor/lib");
    fixture.app.commit("with a submodule");
    lib.file("lib.txt", "later\n").commit("later");
}

fn add_submodule(repo: &GitRepo, url: &str, path: &str) {
    let name = if path.contains('/') { "lib" } else { "leaf" };
    let inner = repo.dir().parent().unwrap().join(name);
    let commit = GitRepoAt(inner).git(&["rev-parse", "HEAD"]);
    repo.file(".gitmodules", &format!("[submodule \"{path}\"]\n\tpath = {path}\n\turl = {url}\n"));
    repo.git(["add", ".gitmodules"]);
    repo.git(["update-index", "--add", "--cacheinfo", &format!("160000,{commit},{path}")]);
    // `add --all` would take a link without a directory for one that was removed.
    fs::create_dir_all(repo.dir().join(path)).unwrap();
}

#[test]
fn submodules() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    with_submodules(&fixture, &http.url(""));
    let url = http.url("/app/.git");
    let take = |what: &Checkout| fixture.take(&url, &want("main"), what).unwrap();
    let all = take(&Checkout::default());
    assert!(all.contains("vendor/lib/lib.txt 644 \"lib\\n\"\n"), "{all}");
    assert!(all.contains("vendor/lib/leaf/leaf.txt 644 \"leaf\\n\"\n"), "{all}");
    assert!(!all.contains("vendor/lib/.git "), "{all}");
    let without = take(&Checkout { submodules: false, ..Checkout::default() });
    assert!(!without.contains("lib.txt"), "{without}");
    let below = take(&Checkout { subdir: "vendor/lib/leaf".to_owned(), ..Checkout::default() });
    assert_eq!(below, "leaf.txt 644 \"leaf\\n\"\n");
    let beside = take(&Checkout { subdir: "sub".to_owned(), ..Checkout::default() });
    assert_eq!(beside, "deep/b.txt 644 \"b\\n\"\n");
    take(&Checkout { keep_git_dir: true, ..Checkout::default() });
    for path in ["dest", "dest/vendor/lib", "dest/vendor/lib/leaf"] {
        let repo = GitRepoAt(fixture.path(path));
        assert_eq!(repo.git(&["status", "--porcelain"]), "", "{path}");
        assert_eq!(
            Path::new(&repo.git(&["rev-parse", "--show-toplevel"])),
            fixture.path(path).canonicalize().unwrap()
        );
    }
    let moved = fixture.path("moved");
    fs::rename(fixture.path("dest"), &moved).unwrap();
    assert_eq!(GitRepoAt(moved.join("vendor/lib/leaf")).git(&["status", "--porcelain"]), "");
    assert!(!found_below(&moved, &fixture.dir.path().to_string_lossy()));
}

#[test]
fn submodules_that_lead_astray() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let lib = GitRepo::new(&fixture.path("repos/lib"));
    lib.file("lib.txt", "lib\n").commit("lib");
    let take = |url: &str, keep: bool| {
        add_submodule(&fixture.app, url, "vendor/lib");
        fixture.app.commit("submodule");
        let what = Checkout { keep_git_dir: keep, ..Checkout::default() };
        let error = fixture.take(&http.url("/app/.git"), &want("main"), &what).unwrap_err();
        let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {cause}")
    };
    let local = fixture.path("repos/lib/.git");
    let said = take(&local.to_string_lossy(), false);
    assert!(said.contains("submodule `vendor/lib`") && said.contains("not one of http"), "{said}");
    assert!(take("ext::sh -c touch% /tmp/x", false).contains("not one of http"));
    assert!(take("file:///etc", true).contains("not one of http"));
    let gone = take(&http.url("/gone.git"), false);
    assert!(gone.contains("there is no repository at"), "{gone}");
    // A password in it is used, and not told.
    let secret = http.url("/gone.git").replace("http://", "http://me:geheim42@");
    let said = take(&secret, false);
    assert!(said.contains("no repository") && !said.contains("geheim42"), "{said}");
}

#[test]
fn a_server_that_says_nothing() {
    let fixture = Fixture::new();
    let port = silent_port();
    let git = Git::new(Options { patience: Duration::from_secs(1), ..Options::default() });
    let watch = Watch { cancelled: &|| false, said: &|_| {} };
    for scheme in ["http", "git"] {
        let begin = Instant::now();
        let url = format!("{scheme}://127.0.0.1:{port}/a.git");
        let repository = git.repository(&url, Auth::default(), &fixture.path("store"), watch);
        let error = repository.resolve(&want("main")).unwrap_err();
        assert!(matches!(error, GitError::Stalled { .. }), "{scheme}: {error}");
        assert!(error.retryable());
        assert!(begin.elapsed() < Duration::from_secs(15), "{scheme}");
    }
}

#[test]
fn who_gives_up_is_not_kept_waiting() {
    let fixture = Fixture::new();
    let url = format!("http://127.0.0.1:{}/a.git", silent_port());
    let begin = Instant::now();
    let cancelled = || begin.elapsed() > Duration::from_millis(200);
    let git = Git::new(options());
    let watch = Watch { cancelled: &cancelled, said: &|_| {} };
    let repository = git.repository(&url, Auth::default(), &fixture.path("store"), watch);
    assert!(matches!(repository.resolve(&want("main")), Err(GitError::Cancelled)));
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[test]
fn without_git() {
    let fixture = Fixture::new();
    let git = Git::new(Options { path: fixture.path("repos").into_os_string(), ..Options::default() });
    let watch = Watch { cancelled: &|| false, said: &|_| {} };
    let repository = git.repository("https://h/a.git", Auth::default(), &fixture.path("store"), watch);
    let error = repository.resolve(&want("main")).unwrap_err();
    assert_eq!(error.to_string(), "cannot run `git`: it is not installed");
    assert!(error.hint().unwrap().starts_with("install git"));
}

#[test]
fn many_at_once() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    let (store, errors) = (fixture.path("store"), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for reference in ["main", "v1", "old", "main", &fixture.first, "light"] {
            let (url, store, errors) = (&url, &store, &errors);
            scope.spawn(move || {
                let git = Git::new(options());
                let watch = Watch { cancelled: &|| false, said: &|_| {} };
                let repository = git.repository(url, Auth::default(), store, watch);
                let fetched =
                    repository.resolve(&want(reference)).and_then(|found| repository.fetch(&found).map(drop));
                if let Err(error) = fetched {
                    errors.lock().unwrap().push(error.to_string());
                }
            });
        }
    });
    assert_eq!(errors.into_inner().unwrap(), [""; 0]);
}

#[test]
fn what_a_killed_fetch_left_is_cleared() {
    let fixture = Fixture::new();
    let http = git_over_http(&fixture.repos(), None);
    let url = http.url("/app/.git");
    fixture.take(&url, &want("old"), &Checkout::default()).unwrap();
    let copies = || fs::read_dir(fixture.path("store")).unwrap().flatten().map(|entry| entry.path());
    let copy = copies().find(|path| path.is_dir()).unwrap();
    fs::write(copy.join("shallow.lock"), "").unwrap();
    fs::write(copy.join("objects/pack/tmp_pack_x"), "half").unwrap();
    assert_eq!(fixture.take(&url, &want("main"), &Checkout::default()).unwrap(), SECOND);
    assert!(!copy.join("objects/pack/tmp_pack_x").exists());
    // A copy that is damaged is made again.
    fs::write(copy.join("config"), "[nonsense").unwrap();
    fixture.app.file("a.txt", "four\n").commit("fourth");
    assert!(fixture.take(&url, &want("main"), &Checkout::default()).unwrap().contains("four"));
}
