//! ADD of git repositories and contexts that are one: what is fetched, what is remembered, and what stays secret.

use crate::bad_input::in_small_world;
use crate::support::{Place, Said};
use ireko_testkit::{GitRepo, Server, SshServer, git_over_http, silent_port};
use std::process::Command;

/// Repository `app` of two commits on a server. The first has the tag `v1`.
struct Served {
    repo: GitRepo,
    server: Server,
    first: String,
    second: String,
}

impl Served {
    fn new(place: &Place) -> Self {
        Self::guarded(place, None)
    }

    fn guarded(place: &Place, wanted: Option<&str>) -> Self {
        let repo = GitRepo::new(&place.path("repos/app"));
        repo.file("a.txt", "one\n")
            .file("run*", "#!/bin/sh\n")
            .file("docker/Dockerfile", "FROM base\nCOPY . /d\n");
        let first = repo.commit("first");
        repo.git(["tag", "--annotate", "--message", "one", "v1"]);
        let second = repo.file("a.txt", "two\n").file(".dockerignore", "a.txt\n").commit("second");
        let server = git_over_http(&place.path("repos"), wanted);
        Self { repo, server, first, second }
    }

    fn url(&self) -> String {
        self.server.url("/app/.git")
    }
}

#[test]
fn what_add_puts_where() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    let url = served.url();
    let (first, short) = (&served.first, &served.first[..8]);
    place.built(&format!(
        "FROM base\nADD {url} /all\nADD {url}#v1 /tag/deep\nADD --chown=app:extra --chmod=700 {url}?tag=v1 /owned/\n\
         ADD {url}#{first}:docker /sub\nADD {url}#{short} /short\nADD --keep-git-dir {url}#main /kept\n\
         ADD --exclude=docker --checksum={first} {url}#v1 /part\nADD --link {url}?mtime=commit&ref=v1 /dated\n"
    ));
    let list = place.inside(
        "cat /all/a.txt /tag/deep/a.txt /short/a.txt; ls -A /all /sub /part; ls /kept/.git/HEAD; \
         stat -c '%a %u:%g %n' /all /all/a.txt /all/run /owned/a.txt; stat -c %Y /dated/a.txt",
    );
    assert_eq!(
        list,
        "two\none\none\n/all:\n.dockerignore\na.txt\ndocker\nrun\n\n/part:\na.txt\nrun\n\n/sub:\nDockerfile\n\
         /kept/.git/HEAD\n755 0:0 /all\n644 0:0 /all/a.txt\n755 0:0 /all/run\n700 1000:1001 /owned/a.txt\n981173106\n"
    );
    let history = place.ireko(&["history", "--no-trunc", "app"]).ok().stdout;
    assert!(history.contains(&format!("ADD {url}#v1 /tag/deep # buildkit")), "{history}");
    place.sound();
}

#[test]
fn a_branch_is_asked_each_time_and_fetched_when_it_moved() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    let text = format!("FROM base\nADD {}#main /r\nRUN cat /r/a.txt > /g\n", served.url());
    place.built(&text);
    let first = place.id("app");
    let asked = served.server.count("git-upload-pack");
    let again = place.built(&text);
    assert_eq!((again.ran(), place.id("app")), (Vec::new(), first), "{}", again.stderr);
    assert_eq!(served.server.count("git-upload-pack"), asked + 1, "only what the branch means is asked");
    served.repo.file("a.txt", "three\n").commit("third");
    place.built(&text);
    assert_eq!(place.inside("cat /g"), "three\n");
    // Another commit with the same files: the copy and what follows are known.
    served.repo.commit("nothing");
    let same = place.built(&text);
    assert!(same.ran().iter().all(|line| !line.contains("RUN")), "{}", same.stderr);
    // Another name, and a commit without asking anybody.
    let asked = served.server.received().len();
    let text = format!("FROM base\nADD {}#{} /r\nRUN cat /r/a.txt > /g\n", served.url(), served.second);
    place.built(&text);
    assert_eq!(place.inside("cat /g"), "two\n");
    place.built(&text);
    assert!(served.server.received().len() <= asked + 2, "{:?}", served.server.lines());
    place.sound();
}

#[test]
fn mistakes_say_what_there_is() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    let (url, first) = (served.url(), &served.first);
    let gone = served.server.url("/gone.git");
    let cases: Vec<(String, i32, Vec<String>)> = vec![
        (format!("ADD {url}#mian /x"), 2, vec!["no ref `mian`; it has `main`".into()]),
        (format!("ADD {url}#main:dockr /x"), 2, vec!["no directory `dockr`; it has `docker`".into()]),
        (format!("ADD --checksum={first} {url}#main /x"), 2, vec![served.second.clone(), first.clone()]),
        (format!("ADD {gone} /x"), 2, vec![format!("no repository at `{gone}`")]),
        (format!("ADD --checksum=sha256:x {url} /x"), 2, vec!["no commit of a git repository".into()]),
        (format!("ADD {url}?brunch=main /x"), 2, vec!["unexpected query \"brunch\"".into()]),
        (
            format!("ADD --keep-git-dir=false {url}?keep-git-dir=true /x"),
            2,
            vec!["the flag says `false`".into()],
        ),
        (format!("COPY {url} /x"), 2, vec!["ADD can".into()]),
        ("ADD git://127.0.0.1:1/x /x".into(), 3, vec!["cannot reach".into()]),
    ];
    for (line, code, says) in cases {
        place.dockerfile(&format!("FROM base\nRUN true\n{line}\n"));
        let says: Vec<&str> = says.iter().map(String::as_str).chain(["Dockerfile:3"]).collect();
        place.build(&[]).fails(code, &says);
    }
    place.dockerfile(&format!("FROM base\nADD {url} /x\n"));
    let mut command = place.command(&["build", "context"]);
    command.env("PATH", place.context());
    Said::of(command.output().expect("it runs")).fails(3, &["`git`: it is not installed", "install git"]);
    place.sound();
}

#[test]
fn a_repository_of_its_own_is_the_same_each_time() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    place.dockerfile(&format!("FROM base\nADD --keep-git-dir {} /r\n", served.url()));
    place.build(&[]).ok();
    let sums = "find /r -type f -exec sha256sum {} + | sort";
    let first = place.inside(sums);
    place.build(&["--no-cache"]).ok();
    assert_eq!(place.inside(sums), first);
    assert!(first.contains("/r/.git/index"), "{first}");
}

#[test]
fn tokens_stay_secret() {
    let Some(place) = Place::with_base() else { return };
    // `x-access-token:s3cr3t-token`, coded.
    let coded = "eC1hY2Nlc3MtdG9rZW46czNjcjN0LXRva2Vu";
    let served = Served::guarded(&place, Some(&format!("basic {coded}")));
    let url = served.url();
    place.dockerfile(&format!("FROM base\nADD --keep-git-dir {url} /r\n"));
    place.build(&[]).fails(2, &["does not let everybody", "--secret id=GIT_AUTH_TOKEN", "Dockerfile:2"]);
    let secret = |text: &str| {
        std::fs::write(place.path("token"), text).expect("a file");
        format!("id=GIT_AUTH_TOKEN.{},src={}", served.server.address(), place.path("token").display())
    };
    let said = place.build(&["--secret", &secret("wrong-t0ken\n")]).fails(2, &["this token"]);
    assert!(!said.stderr.contains("wrong-t0ken"), "{}", said.stderr);
    place.build(&["--secret", &secret("s3cr3t-token\n")]).ok();
    assert_eq!(place.inside("cat /r/a.txt"), "two\n");
    // A login in the URL: the Dockerfile has it, nothing else gets it.
    let in_url = url.replace("http://", "http://x-access-token:s3cr3t-token@");
    let served = git_over_http(&place.path("repos"), Some(&format!("Basic {coded}")));
    let in_url = in_url.replace(
        &format!("{}/", url.split('/').nth(2).unwrap_or_default()),
        &format!("{}/", served.address()),
    );
    let said = place.built(&format!("FROM base\nADD --keep-git-dir {in_url} /r\nRUN cat /r/.git/config\n"));
    assert!(said.stderr.contains(&format!("url = http://{}", served.address())), "{}", said.stderr);
    assert!(!said.stderr.contains("s3cr3t"), "{}", said.stderr);
    let explained = place.build(&["--explain", "--no-cache"]).ok();
    assert!(!explained.stderr.contains("s3cr3t"), "{}", explained.stderr);
    assert!(!place.ireko(&["history", "--no-trunc", "app"]).ok().stdout.contains("s3cr3t"));
    for text in ["s3cr3t", "wrong-t0ken", coded] {
        let found = Command::new("grep").args(["-rla", text]).arg(place.store()).output().expect("grep runs");
        assert_eq!(String::from_utf8_lossy(&found.stdout), "", "{text}");
    }
}

#[test]
fn through_an_agent() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    let Some(ssh) = SshServer::start(&place.path("ssh")) else {
        eprintln!("skipped because there is no ssh server (tests/install.sh)");
        return;
    };
    let url = ssh.url(&served.repo.dir().join(".git"));
    place.dockerfile(&format!("FROM base\nADD {url}#v1 /r\n"));
    place.build(&[]).fails(2, &["Permission denied", "--ssh default", "Dockerfile:2"]);
    let agent = format!("default={}", ssh.agent().display());
    place.build(&["--ssh", &agent]).ok();
    assert_eq!(place.inside("cat /r/a.txt"), "one\n");
    let key = format!("default={}", ssh.key().display());
    place.build(&["--ssh", &key, "--no-cache"]).ok();
    let context = place.ireko(&["build", "--ssh", &agent, "-t", "ctx", "-f", "docker/Dockerfile", &url]);
    context.ok();
}

#[test]
fn a_repository_as_the_context() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    let url = served.url();
    let build = |args: &[&str], context: &str| {
        let args: Vec<&str> = ["build", "-t", "app"].iter().chain(args).copied().chain([context]).collect();
        place.ireko(&args)
    };
    // Also below a supervisor that ignores how its children end.
    let below = ["env", "--ignore-signal=CHLD"];
    let context = format!("{url}#main:docker");
    let output = place.command_by(&below, &["build", "-t", "app", &context]).output().expect("it runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(place.inside("ls /d"), "Dockerfile\n");
    // Its ignore file does not count, as it does not for any context from elsewhere.
    build(&["-f", "docker/Dockerfile"], &url).ok();
    assert_eq!(place.inside("cat /d/a.txt; ls -A /d"), "two\n.dockerignore\na.txt\ndocker\nrun\n");
    let said = build(&["-f", "docker/Dockerfile"], &url).ok();
    assert_eq!(said.ran(), Vec::<String>::new(), "{}", said.stderr);
    let own = place.file("Own", "FROM base\nCOPY --from=lib a.txt /lib\nCOPY a.txt /own\n");
    let lib = format!("lib={url}#v1");
    build(&["-f", own.to_str().expect("a name"), "--build-context", &lib], &url).ok();
    assert_eq!(place.inside("cat /lib /own"), "one\ntwo\n");
    let keep = ["--build-arg", "BUILDKIT_CONTEXT_KEEP_GIT_DIR=1", "-f", "docker/Dockerfile"];
    build(&keep, &url).ok();
    assert_eq!(place.inside("ls /d/.git/HEAD"), "/d/.git/HEAD\n");
    // A commit's times are asked for, whatever times an earlier copy of the same files has.
    let own = place.file(
        "Own",
        "FROM base\nCOPY run /dated/\nRUN --mount=type=bind,target=/m stat -c %Y /dated/run /m/run >/seen\n",
    );
    let own = ["-f", own.to_str().expect("a name")];
    let seen = || place.inside("cat /seen; stat -c %Y /dated/run").replace("981173106\n", "it ");
    build(&own, &url).ok();
    assert!(!seen().contains("it"));
    build(&own, &format!("{url}?mtime=commit")).ok();
    assert_eq!(seen(), "it it it ");
    build(&["-f", own[1], "--no-cache"], &format!("{url}?mtime=commit")).ok();
    assert_eq!(seen(), "it it it ");
    let dated = ["--build-arg", "SOURCE_DATE_EPOCH=context", "-f", own[1]];
    build(&dated, &url).ok();
    assert_eq!(seen(), "it it it ");
    assert_eq!(build(&dated, &url).ok().ran(), Vec::<String>::new());
    let config = place.ireko(&["inspect", "app"]).ok().stdout;
    assert!(config.contains("2001-02-03T04:05:06Z"), "{config}");
    assert_eq!(place.inside("stat -c %Y /dated/run"), "981173106\n");
    build(&[], &format!("{url}#mian")).fails(2, &["cannot fetch context", "no ref `mian`; it has `main`"]);
    build(&[], &url).fails(2, &["there is no Dockerfile in", &url, "-f FILE"]);
    build(&["-f", "../../etc/passwd"], &url).fails(2, &["cannot read Dockerfile"]);
    build(&[], &format!("{url}?tag=a&branch=b")).fails(2, &["branch conflicts with tag"]);
    let listed = place.ireko(&["context", "-f", "docker/Dockerfile", &url]).ok();
    assert!(listed.stdout.contains("a.txt"), "{}", listed.stdout);
    place.sound();
}

#[test]
fn a_context_inside_a_submodule() {
    let Some(place) = Place::with_base() else { return };
    let served = Served::new(&place);
    let lib = GitRepo::new(&place.path("repos/lib"));
    let commit = lib.file("docker/Dockerfile", "FROM base\nCOPY . /d\n").commit("lib");
    let url = served.server.url("/lib/.git");
    served.repo.file(".gitmodules", &format!("[submodule \"lib\"]\n\tpath = lib\n\turl = {url}\n"));
    served.repo.git(["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib")]);
    std::fs::create_dir(served.repo.dir().join("lib")).expect("a directory");
    served.repo.commit("with lib");
    let context = format!("{}#main:lib/docker", served.url());
    place.ireko(&["build", "-t", "app", &context]).ok();
    assert_eq!(place.inside("ls /d"), "Dockerfile\n");
    let without = format!("{}?submodules=0&subdir=lib/docker", served.url());
    place.ireko(&["build", &without]).fails(2, &["no directory `lib/docker`"]);
}

#[test]
fn a_full_disk_leaves_nothing_half_written() {
    let Some(place) = Place::new() else { return };
    let served = Served::new(&place);
    // What cannot be compressed, and does not fit.
    let random = Command::new("head").args(["-c", "20000000", "/dev/urandom"]).output().expect("head runs");
    std::fs::write(served.repo.dir().join("big"), random.stdout).expect("a file");
    served.repo.commit("big");
    place.dockerfile(&format!("FROM scratch\nADD {} /r\n", served.url()));
    let script = "$IREKO build context; code=$?; find small -name 'tmp_*' -o -size +1000k; exit $code";
    let Some(said) = in_small_world(&place, "-t tmpfs -o size=12m,mode=755", script) else { return };
    let said = said.fails(3, &["cannot write the files of", "storage space", "Dockerfile:2"]);
    assert_eq!(said.stdout, "");
}

#[test]
fn for_an_ordinary_user() {
    let Some(place) = Place::ordinary_with_base() else { return };
    let served = Served::new(&place);
    let url = served.url();
    place.dockerfile(&format!("FROM base\nADD --keep-git-dir {url}#v1 /r\nRUN cat /r/a.txt\n"));
    let said = place.build(&[]).ok();
    assert!(said.stderr.contains("one"), "{}", said.stderr);
    assert_eq!(
        place.inside("stat -c '%a %u:%g' /r /r/a.txt /r/.git /r/.git/config"),
        "755 0:0\n644 0:0\n755 0:0\n644 0:0\n"
    );
    place.ireko(&["build", "-t", "app", "-f", "docker/Dockerfile", &url]).ok();
    place.sound();
}

#[test]
fn ctrl_c_leaves_a_server_that_says_nothing() {
    let Some(place) = Place::with_base() else { return };
    let port = silent_port();
    place.dockerfile(&format!("FROM base\nADD git://127.0.0.1:{port}/x.git /f\n"));
    let mut child = place.command(&["build", "-q", "context"]).spawn().expect("it starts");
    let pid = rustix::process::Pid::from_child(&child);
    let group = pid.as_raw_nonzero().get();
    // Until git runs.
    let runs = || Command::new("pgrep").args(["-P", &group.to_string(), "git"]).output().expect("pgrep runs");
    while runs().stdout.is_empty() {
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    let git: i32 = String::from_utf8_lossy(&runs().stdout).trim().parse().expect("one process");
    let began = std::time::Instant::now();
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("it is there");
    assert_eq!(child.wait().expect("it ends").code(), Some(130));
    assert!(began.elapsed().as_secs() < 20);
    let git = rustix::process::Pid::from_raw(git).expect("a process");
    assert!(rustix::process::test_kill_process(git).is_err(), "git is still there");
    place.sound();
}
