//! Level none: no namespaces. On this machine as it is, and inside containers of the Docker engine that have no privileges.

use crate::daemons::Engine;
use crate::support::{Place, Said, have, is_root};
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const CHROOT: [&str; 4] = ["--level", "none", "--isolation", "chroot"];

/// A place with the image `base` for root, at level none.
fn place() -> Option<Place> {
    if !is_root() {
        eprintln!("not for ordinary users: chroot is for root");
        return None;
    }
    Place::with_base()
}

fn chroot(place: &Place, words: &[&str]) -> Said {
    place.ireko(&[&CHROOT[..], words].concat())
}

#[track_caller]
fn build(place: &Place, flags: &[&str]) -> Said {
    chroot(place, &[&["build", "--progress=plain", "-t", "app"][..], flags, &["context"]].concat())
}

/// The files of `out.tar` as `tar` lists them, without times.
#[track_caller]
fn listing(place: &Place) -> Vec<String> {
    let words =
        |line: &str| line.split_whitespace().filter(|word| !word.contains(':')).collect::<Vec<_>>().join(" ");
    listed(place).lines().map(words).collect()
}

#[track_caller]
fn listed(place: &Place) -> String {
    let listed = Command::new("tar").arg("tvf").arg(place.path("out.tar")).arg("--numeric-owner").output();
    Said::of(listed.expect("tar")).ok().stdout
}

#[test]
fn everything_but_run_works_without_namespaces() {
    let Some(place) = Place::ordinary() else { return };
    place.file("f", "content");
    place.dockerfile(
        "FROM scratch AS one\nCOPY --chown=7:8 --chmod=640 f /d/f\nFROM one\nWORKDIR /w\nUSER 9:9\n\
        COPY --from=one --chown=3:4 /d /e\nADD f .\nENV A=b\n",
    );
    let flags = ["--level", "none", "build", "-o", "type=tar,dest=out.tar", "-t", "app", "context"];
    place.ireko(&flags).ok();
    let text = listed(&place);
    for owned in ["-rw-r----- 7/8", "-rw-r----- 3/4", "drwxr-xr-x 3/4", "-rw-r--r-- 0/0"] {
        assert!(text.contains(owned), "{owned}:\n{text}");
    }
    assert_eq!(
        place.ireko(&["--level", "none", "build", "context", "-t", "app"]).ok().ran(),
        Vec::<String>::new()
    );
    place.ireko(&["--level", "none", "cache", "fsck"]).ok();

    place.dockerfile("FROM scratch\nCOPY f /f\n\nRUN true\n");
    let said = place.ireko(&["--level", "none", "build", "context"]);
    said.fails(3, &["commands cannot be started here", "Dockerfile:4", "by chroot: chroot is for root"]);
    place.ireko(&["--level", "none", "run", "app"]).fails(125, &["commands cannot be started here"]);
    place.sound();
}

/// Where a user namespace can be made and nothing be mounted in it, this process must not be caught in one: it would take
/// itself for root.
#[test]
fn a_level_that_cannot_be_had_leaves_nothing_behind() {
    let Some(place) = Place::ordinary().filter(|_| have(&["unshare", "setpriv"])) else { return };
    place.dockerfile("FROM scratch\nRUN true\n");
    let script =
        "echo 0 >/proc/sys/user/max_mnt_namespaces; exec setpriv --inh-caps=-all --ambient-caps=-all \"$@\"";
    let starter = ["unshare", "-U", "--map-user=5", "--map-group=5", "--keep-caps", "sh", "-c", script, "sh"];
    let mut command = place.command_by(&starter, &["--isolation=chroot", "build", "context"]);
    // The best level is chosen, whichever the other tests use.
    command.env_remove("IREKO_LEVEL");
    let said = Said::of(command.output().expect("a process"));
    said.fails(3, &["commands cannot be started here", "mounting inside is refused", "chroot is for root"]);
}

#[test]
fn a_caller_has_to_accept_chroot() {
    let Some(place) = place() else { return };
    place.dockerfile("FROM base\nRUN true\n");
    let said = place.ireko(&["--level", "none", "build", "context"]);
    said.fails(3, &["commands cannot be started here", "Dockerfile:2", "`--isolation chroot` lets them run"]);
    place
        .ireko(&["--isolation", "hyperv", "build", "context"])
        .fails(2, &["`--isolation hyperv` is not supported"]);
    // Without the right to end another user's processes, a step of one could not be stopped.
    if have(&["setpriv"]) {
        let starter = ["setpriv", "--bounding-set=-kill,-sys_admin", "--inh-caps=-all"];
        let mut command = place.command_by(&starter, &[&CHROOT[..], &["build", "context"]].concat());
        Said::of(command.output().expect("a process"))
            .fails(3, &["uid 0 lacks the capabilities KILL", "--cap-add KILL"]);
    }
    // Where there is better, it changes nothing.
    let said = place.ireko(&["--isolation", "chroot", "--verbose", "build", "context"]).ok();
    assert!(said.stderr.contains("sandbox level: root"), "{}", said.stderr);
    // kaniko's command line means its way of running commands.
    place.ireko(&["kaniko", "--level=none", "--context=context", "--no-push"]).ok();
}

#[test]
fn what_would_be_mounted_is_moved_in_and_out() {
    let Some(place) = place() else { return };
    place.file("f", "from the context");
    fs::write(place.path("secret"), "very secret").expect("a file");
    place.dockerfile(
        "FROM base\nRUN mkdir -p /cache/sub /bound && echo image >/cache/sub/f && chown 5:6 /cache && chmod 750 /cache && ln -s /cache /link\n\
        ARG N\n\
        RUN --mount=type=cache,target=/link --mount=type=cache,target=/link/inner,id=inner --mount=type=secret,id=s,mode=0440,gid=7 \
        --mount=type=bind,target=/bound,rw --mount=type=tmpfs,target=/new/tmp <<END\n\
        set -e\n[ ! -e /cache/sub ]\necho $N >>/cache/n\ncp /cache/n /seen\necho $N >>/cache/inner/n\nstat -c %a:%g /run/secrets/s >/mode\n\
        wc -c </run/secrets/s >>/mode\ncat /bound/f >/read\necho x >/bound/lost\ntouch /new/tmp/x\ngrep -q \"$(hostname)\" /etc/hosts\n\
        readlink /proc/self/exe >/exe\necho piped | cat /dev/stdin >/piped\necho gone >/dev/null\nEND\n\
        USER app\nRUN id -u >/tmp/uid; cat /proc/self/comm >>/tmp/uid; cat /proc/1/environ >/tmp/no 2>/dev/null || echo refused >>/tmp/uid\n",
    );
    let flags = |n: &'static str| ["--secret", "id=s,src=secret", "--build-arg", n];
    build(&place, &flags("N=1")).ok();
    build(&place, &flags("N=2")).ok();
    let files = "cat /seen /mode /read /exe /piped /tmp/uid; cat /cache/sub/f; stat -c %a:%u:%g /cache; ls /cache /bound /new /run /etc | tr '\\n' ' '";
    let said = chroot(&place, &["run", "--rm", "--user=0", "--entrypoint", "/bin/sh", "app", "-c", files])
        .ok()
        .stdout;
    let (sizes, lists) = said.split_at(said.find("/bound").expect("a listing"));
    assert_eq!(
        sizes,
        "1\n2\n440:7\n11\nfrom the context/usr/bin/busybox\npiped\n1000\ncat\nrefused\nimage\n750:5:6\n"
    );
    assert!(!lists.contains("lost") && !lists.contains("secrets"), "{lists}");
    // The same files with the same owners as where things are mounted.
    let out = |n| [&flags(n)[..], &["--no-cache", "-o", "type=tar,dest=out.tar"]].concat();
    build(&place, &out("N=3")).ok();
    let without = listing(&place);
    place.build(&out("N=4")).ok();
    let with = listing(&place);
    // The cache of one level is the other's too, since both have root's ids: what is seen of it is longer.
    assert_eq!(without.len(), with.len());
    let other: Vec<_> = without
        .iter()
        .filter(|line| !with.contains(line) && !line.ends_with("seen") && !line.contains(" tmp/"))
        .collect();
    assert!(other.is_empty(), "{other:?}");
    let found = Command::new("grep").args(["-rl", "very secret"]).arg(place.store()).output().expect("grep");
    assert_eq!(String::from_utf8_lossy(&found.stdout), "");
    place.sound();
}

#[test]
fn a_link_behind_a_file_of_proc_leads_nowhere_else() {
    let Some(place) = place() else { return };
    let outside = place.path("outside");
    fs::write(&outside, "as it was").expect("a file");
    let text = outside.display();
    place.dockerfile(&format!(
        "FROM base\nRUN ln -s {text} /link; exec 3</; for dir in /proc/self/root /proc/self/fd/3 /dev/fd/3 /proc/self/cwd /proc/$$/cwd; do\
         \x20 if cat $dir/link; then echo read $dir; fi; if echo written >$dir/link; then echo wrote $dir; fi; done; true\n"
    ));
    let said = build(&place, &[]).ok().stderr;
    assert!(!said.contains("| read") && !said.contains("| wrote"), "{said}");
    assert_eq!(fs::read_to_string(&outside).expect("a file"), "as it was");
    place.sound();
}

#[test]
fn a_pipe_that_waits_for_its_other_end_stops_nobody_else() {
    let Some(place) = place() else { return };
    place.dockerfile(
        "FROM base\nRUN mkfifo /f; exec 4<>/f; exec 3</f; exec 4<&-; (cat /proc/self/fd/3 >/read) & sleep 1; echo hello >/f; wait; \\\n\
         \x20 grep -q hello /read\n",
    );
    build(&place, &[]).ok();
}

#[test]
fn places_of_mounts_are_for_all_users_and_take_nothing_of_the_image_away() {
    let Some(place) = place() else { return };
    fs::write(place.path("secret"), "very secret").expect("a file");
    place.dockerfile(
        "FROM base\nRUN mkdir -p /a/b\n\
        RUN --mount=type=cache,target=/a --mount=type=bind,target=/a/b/c true\n\
        RUN [ -d /a/b ]\nUSER app\n\
        RUN --mount=type=secret,id=s,mode=0444,target=/new/dir/s cat /new/dir/s /etc/resolv.conf /etc/hosts >/dev/null\n",
    );
    let words =
        [&CHROOT[..], &["build", "-q", "-t", "app", "--secret", "id=s,src=secret", "context"]].concat();
    let umask = ["sh", "-c", "umask 077; exec \"$@\"", "sh"];
    Said::of(place.command_by(&umask, &words).output().expect("a process")).ok();
    place.sound();
}

#[test]
fn nothing_a_step_started_is_left() {
    let Some(place) = place() else { return };
    let marker = format!("{}", 3_000_000 + std::process::id());
    place.dockerfile(&format!(
        "FROM base\nRUN (setsid sh -c 'sleep {marker} & sleep {marker}' &) ; sleep {marker} & echo begun\n"
    ));
    let begin = Instant::now();
    build(&place, &[]).ok();
    assert!(begin.elapsed() < Duration::from_secs(60), "nobody waits for what is left");
    assert_eq!(running(&marker), 0);
    // Signals, exit codes and limits of the command itself.
    let run =
        |script: &str| chroot(&place, &["run", "--rm", "--entrypoint", "/bin/sh", "app", "-c", script]).code;
    assert_eq!((run("exit 7"), run("kill -TERM $$"), run("kill -SEGV $$")), (7, 143, 139));
    place.dockerfile("FROM base\nRUN sleep 1 & kill -KILL $$\n");
    build(&place, &[]).fails(1, &["Dockerfile:2"]);
    place.sound();
}

fn running(argument: &str) -> usize {
    let said = Command::new("pgrep").args(["-f", &format!("sleep {argument}")]).output().expect("pgrep");
    String::from_utf8_lossy(&said.stdout).lines().count()
}

#[test]
fn a_cache_comes_home_from_a_step_that_was_killed() {
    let Some(place) = place() else { return };
    let marker = format!("{}", 4_000_000 + std::process::id());
    place.file("fifo", "");
    let dockerfile = |wait: &str| {
        place.dockerfile(&format!(
            "FROM base\nRUN mkdir /c && echo covered >/c/covered\nRUN --mount=type=cache,target=/c echo kept >>/c/f; ls /c >/ls; wc -l </c/f >/n; {wait}\n"
        ));
    };
    dockerfile("true");
    build(&place, &[]).ok();
    dockerfile(&format!("sleep {marker}"));
    let words = [&CHROOT[..], &["build", "-q", "-t", "app", "context"]].concat();
    let mut killed =
        place.command(&words).stderr(Stdio::null()).stdout(Stdio::null()).spawn().expect("a process");
    wait_for(|| running(&marker) > 0);
    killed.kill().expect("killed");
    killed.wait().expect("an end");
    wait_for(|| running(&marker) == 0);
    // Its process is gone, and its directory is away: another command brings it home before it clears the rest.
    dockerfile("true # again");
    build(&place, &[]).ok();
    let said =
        chroot(&place, &["run", "--rm", "--entrypoint", "/bin/sh", "app", "-c", "cat /ls /n /c/covered"]);
    assert_eq!(said.ok().stdout, "f\n3\ncovered\n");
    place.sound();
    // Another level, and a prune, find it too.
    place.build(&[]).ok();
    let left: Vec<_> = fs::read_dir(place.store().join("tmp")).expect("a directory").flatten().collect();
    assert!(left.is_empty(), "{left:?}");
}

#[track_caller]
fn wait_for(what: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !what() {
        assert!(Instant::now() < deadline, "it never came to that");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn what_needs_a_namespace_is_refused() {
    let Some(place) = place() else { return };
    place.dockerfile("FROM base\nRUN --network=none true\n");
    build(&place, &[]).fails(3, &["`--network=none`, which needs a namespace", "Dockerfile:2"]);
    place.dockerfile("FROM base\nARG BUILDKIT_SANDBOX_HOSTNAME=h\nRUN true\n");
    build(&place, &["--build-arg", "BUILDKIT_SANDBOX_HOSTNAME=h"]).fails(3, &["a host name", "Dockerfile:3"]);
    place.dockerfile(
        "FROM base\nRUN --mount=type=cache,id=one,target=/a --mount=type=cache,id=one,target=/b true\n",
    );
    build(&place, &[]).fails(3, &["is at another place already"]);
    place.dockerfile("FROM base\nRUN true\n");
    build(&place, &[]).ok();
    for flags in
        [&["-p", "80:80"][..], &["-v", "/tmp:/x"], &["--read-only"], &["--network=none"], &["--hostname=h"]]
    {
        let words = [&["run", "--rm"][..], flags, &["app", "true"]].concat();
        chroot(&place, &words).fails(125, &["needs a namespace"]);
    }
    chroot(&place, &["--snapshotter=overlay", "build", "context"]).fails(2, &["`overlay` needs mounts"]);
    place.sound();
}

/// What works in which container, as `docs/user/containers.md` has it.
#[test]
fn inside_containers_of_the_engine() {
    let (Some(place), Some(engine)) = (Place::with_base(), Engine::start()) else { return };
    let binary = place.context().join("ireko");
    fs::copy(env!("CARGO_BIN_EXE_ireko"), binary).expect("a copy");
    fs::copy("/bin/busybox", place.context().join("busybox")).expect("a copy");
    place.file(
        "inner/copies",
        "FROM scratch AS one\nCOPY --chown=7:8 --chmod=755 busybox /bin/busybox\nFROM one\nCOPY --from=one --chown=9:9 /bin /b\n",
    );
    place.file(
        "inner/runs",
        "FROM scratch\nCOPY --chmod=755 busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\n\
        RUN --mount=type=cache,target=/c --mount=type=secret,id=s --mount=type=bind,target=/m touch /c/x && chown 7:8 /bin/cat && \
        chmod 4755 /bin/sh && [ $(wc -c </run/secrets/s) = 7 ] && [ -e /m/busybox ] && [ $(id -u) = 0 ] && mknod /pipe p\n\
        RUN [ ! -e /run/secrets ] && [ ! -e /c/x ] && [ $(readlink /proc/self/exe) = /bin/busybox ] && echo a | cat /dev/stdin | grep -q a\n\
        RUN if grep -q [d]o.sh /proc/1/cmdline; then echo sees others; fi\n\
        USER 1000\nRUN [ $(id -u) = 1000 ] && echo done\n",
    );
    place.file(
        "inner/do.sh",
        "export IREKO_HOME=/tmp/store; mkdir -p /tmp/w; cp /inner/* /bin/busybox /tmp/w; cd /tmp/w; echo secret >s\n\
        ireko build -q -f copies -o type=tar,dest=out.tar . >/dev/null && tar tvf out.tar | grep 'b/busybox' >&2\n\
        ireko --verbose build --progress=plain --secret id=s,src=s -f runs -t runs $FLAGS . 2>&1; echo ended with $?\n",
    );
    place.dockerfile(
        "FROM base\nCOPY --chmod=755 ireko /usr/bin/ireko\nCOPY --chmod=755 busybox /usr/bin/busybox\nCOPY inner /inner\nRUN mkdir -p /bin /tmp\n",
    );
    place.ireko(&["build", "-q", "-t", "outer", "context"]).ok();
    place.ireko(&["save", "-o", "outer.tar", "outer"]).ok();
    let archive = place.path("outer.tar");
    engine.docker(&["load", "-i", archive.to_str().expect("a path")]).ok();
    let within = |flags: &[&str], ireko: &str| {
        let env = format!("FLAGS={ireko}");
        let words =
            [&["run", "--rm", "--network=none", "-e", &env][..], flags, &["outer", "sh", "/inner/do.sh"]]
                .concat();
        let said = engine.docker(&words).ok();
        assert!(
            said.stderr.contains("9/9"),
            "COPY works everywhere: {flags:?}\n{}\n{}",
            said.stdout,
            said.stderr
        );
        said.stdout
    };
    let (user, unconfined, paths) = (
        ["-u", "1000"],
        ["--security-opt", "seccomp=unconfined"],
        ["--security-opt", "systempaths=unconfined"],
    );
    let works = |said: &str, level: &str| {
        assert!(said.contains(&format!("sandbox level: {level}\n")), "{said}");
        assert!(said.contains("| done") && said.contains("ended with 0"), "{said}");
    };
    // Docker's own confinement: no namespaces, for nobody.
    let said = within(&[], "");
    assert!(said.contains("ended with 3") && said.contains("`--isolation chroot` lets them run"), "{said}");
    let said = within(&[], "--isolation=chroot");
    works(&said, "none");
    // There are no other processes than the container's.
    assert!(said.contains("| sees others"), "{said}");
    let said = within(&user, "--isolation=chroot");
    assert!(said.contains("ended with 3") && said.contains("chroot is for root"), "{said}");
    assert!(said.contains("--security-opt seccomp=unconfined"), "it is said what would help: {said}");
    // User namespaces; the outer /proc, in which its processes are seen.
    for flags in [&unconfined[..], &[&user[..], &unconfined].concat()] {
        let said = within(flags, "");
        works(&said, "single-id");
        assert!(said.contains("| sees others"), "{flags:?}: {said}");
    }
    // A /proc of the step's own, in which it is the first process.
    for flags in [[&unconfined[..], &paths].concat(), [&user[..], &unconfined, &paths].concat()] {
        let said = within(&flags, "");
        works(&said, "single-id");
        assert!(!said.contains("| sees others"), "{flags:?}: {said}");
    }
    works(&within(&["--cap-add", "SYS_ADMIN"], ""), "root");
}
