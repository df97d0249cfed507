//! What must hold in every sandbox.

use std::fs;
use std::io::{BufRead, Read, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio as Process};
use std::time::{Duration, Instant};

use ireko_sys::Error;
use ireko_sys::mount::{Overlay, OverlayApi, Upper};
use ireko_sys::net::NetNs;
use ireko_sys::sandbox::{
    Exit, Facts, Identity, Mount, MountSource, Network, Proc, RootFs, Security, Stdio, Stream, spawn,
    spawn_with,
};
use ireko_sys::userns::Level;

use crate::Case;
use crate::world::{World, drain, finish, tree, user_with_subordinate_ids};

pub(crate) const CASES: &[Case] = &[
    ("exit_codes", exit_codes),
    ("programs_that_cannot_be_run", programs_that_cannot_be_run),
    ("change_set_is_the_upper_directory", change_set_is_the_upper_directory),
    ("plain_directory_as_root", plain_directory_as_root),
    ("program_that_is_still_written", program_that_is_still_written),
    ("background_children_die", background_children_die),
    ("nothing_stays_mounted", nothing_stays_mounted),
    ("dev_is_dockers", dev_is_dockers),
    ("devices_of_the_host_are_out_of_reach", devices_of_the_host_are_out_of_reach),
    ("proc_is_masked", proc_is_masked),
    ("outer_proc", outer_proc),
    ("sys_is_read_only", sys_is_read_only),
    ("capabilities_and_filter", capabilities_and_filter),
    ("other_users", other_users),
    ("devices_stay_the_hosts", devices_stay_the_hosts),
    ("insecure", insecure),
    ("names_and_network", names_and_network),
    ("mount_points_vanish", mount_points_vanish),
    ("links_do_not_lead_out", links_do_not_lead_out),
    ("mounts_of_all_kinds", mounts_of_all_kinds),
    ("many_layers", many_layers),
    ("own_mounts", own_mounts),
    ("owners_are_mapped", owners_are_mapped),
    ("killed_with_parent", killed_with_parent),
    ("read_only_root", read_only_root),
    ("terminal", terminal),
    ("streams", streams),
    ("mount_points_made_at_once", mount_points_made_at_once),
    ("killed_when_dropped", killed_when_dropped),
    ("connect_into_network", connect_into_network),
    ("cost_of_a_step", cost_of_a_step),
];

/// Parts of other cases, run in processes of their own.
pub(crate) const PARTS: &[Case] = &[
    ("waits_for_ever", waits_for_ever),
    ("waits_for_ever_as_another", waits_for_ever_as_another),
    ("sees_outer_proc", sees_outer_proc),
];

fn exit_codes(world: &World) {
    for (script, expected) in
        [("exit 0", Exit::Code(0)), ("exit 7", Exit::Code(7)), ("kill -9 $$; sleep 9", Exit::Code(0))]
    {
        if script.starts_with("kill") {
            // The first process of its namespace does not die by its own hand.
            let mut running = spawn(&world.script("kill", "sleep 9")).expect("a start");
            running.kill().expect("a kill");
            assert_eq!(running.wait().expect("an end"), Exit::Signal(9));
            continue;
        }
        assert_eq!(finish(&world.script("exit", script)).exit, expected, "{script}");
    }
}

fn programs_that_cannot_be_run(world: &World) {
    fs::write(world.path("base/etc/data"), b"text").expect("a file");
    let code = |program: &str| {
        let mut sandbox = world.script("none", "");
        sandbox.argv = vec![program.into()];
        spawn(&sandbox).expect_err("it cannot be run").exit_code()
    };
    assert_eq!(code("no-such-program"), Some(127));
    assert_eq!(code("/no/such/program"), Some(127));
    assert_eq!(code("/etc/data"), Some(126));
    assert_eq!(code("/etc"), Some(126));
    fs::write(world.path("base/bin/script"), b"#!/bin/no-such-shell\n").expect("a file");
    fs::set_permissions(world.path("base/bin/script"), fs::Permissions::from_mode(0o755)).expect("a mode");
    let mut sandbox = world.script("none", "");
    sandbox.argv = vec!["script".into()];
    assert!(matches!(spawn(&sandbox), Err(Error::InterpreterNotFound { .. })));
    let mut sandbox = world.script("none", "");
    sandbox.argv.clear();
    assert!(matches!(spawn(&sandbox), Err(Error::Invalid(_))));
}

fn change_set_is_the_upper_directory(world: &World) {
    let sandbox = world.script("change", "touch /new; rm /etc/passwd; mkdir /d; umask");
    let outcome = finish(&sandbox);
    assert_eq!((outcome.exit, outcome.output.as_str()), (Exit::Code(0), "0022\n"));
    assert_eq!(tree(&world.path("change/upper")), ["d", "etc", "etc/passwd", "new"]);
}

fn plain_directory_as_root(world: &World) {
    let mut sandbox = world.script("unused", "touch /here; ls /");
    sandbox.root = RootFs::Dir(world.path("base"));
    let outcome = finish(&sandbox);
    assert_eq!(outcome.output, "bin\ndev\netc\nhere\nproc\nroot\nsys\ntmp\n");
    assert!(world.path("base/here").exists());
    assert!(!world.path("base/dev").exists() && !world.path("base/proc").exists(), "no mount point stays");
}

fn program_that_is_still_written(world: &World) {
    let mut sandbox = world.script("written", "exit 7");
    sandbox.root = RootFs::Dir(world.path("base"));
    let program = world.path("base/bin/busybox");
    let file = fs::OpenOptions::new().append(true).open(program).expect("a program");
    let mut writer = Command::new("sleep").arg("0.3").stdout(file).spawn().expect("it starts");
    assert_eq!(finish(&sandbox).exit, Exit::Code(7));
    writer.wait().expect("it ends");
}

fn background_children_die(world: &World) {
    let started = Instant::now();
    let sandbox = world.script("background", "(sleep 60; touch /late) >/dev/null 2>&1 & exit 3");
    assert_eq!(finish(&sandbox).exit, Exit::Code(3));
    assert!(started.elapsed() < Duration::from_secs(20));
    assert!(tree(&world.path("background/upper")).is_empty());
}

fn nothing_stays_mounted(world: &World) {
    let mounts = || fs::read_to_string("/proc/self/mountinfo").expect("a list of mounts");
    let before = mounts();
    world.output("true");
    let mut sandbox = world.script("broken", "true");
    sandbox.mounts.push(Mount::bind(world.path("base/etc/passwd"), "/etc"));
    spawn(&sandbox).expect_err("a file over a directory");
    assert_eq!(before, mounts());
}

fn dev_is_dockers(world: &World) {
    let names = world.output("ls /dev");
    // As in Docker's, a way to the kernel's memory only where the kernel shows it.
    let core = if Path::new("/proc/kcore").exists() { "core\n" } else { "" };
    assert_eq!(
        names,
        format!(
            "{core}fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero\n"
        )
    );
    assert_eq!(
        world.output("stat -c '%a %F %t:%T %n' /dev/null /dev/tty /dev/zero"),
        "666 character special file 1:3 /dev/null\n666 character special file 5:0 /dev/tty\n666 character special file 1:5 /dev/zero\n"
    );
    world.output(
        "echo x >/dev/null && head -c 4 /dev/urandom >/dev/null && touch /dev/shm/a && test -d /dev/mqueue",
    );
    assert_eq!(world.output("stat -c %a /dev/shm /dev/pts /dev"), "1777\n755\n755\n");
    assert_eq!(world.output("echo out >/dev/stdout"), "out\n");
}

fn proc_is_masked(world: &World) {
    assert_eq!(world.output("echo $$; echo /proc/[0-9]*"), "1\n/proc/1\n", "only its own processes");
    assert_eq!(
        world.output("cat /proc/timer_list /proc/kcore /proc/keys /proc/interrupts 2>/dev/null | wc -c"),
        "0\n"
    );
    assert_eq!(
        world.output("ls -A /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | wc -w"),
        "0\n"
    );
    for path in ["/proc/sys/kernel/hostname", "/proc/sys/vm/swappiness"] {
        let outcome = finish(&world.script("masked", &format!("echo x > {path}")));
        assert!(outcome.errors.contains("Read-only"), "{path}: {outcome:?}");
    }
}

/// A device file can be made (and becomes part of the layer), but not be used to reach the host's devices.
fn devices_of_the_host_are_out_of_reach(world: &World) {
    for place in ["/tmp", "/dev", "/dev/shm", "/mem", "/bound"] {
        let script = format!("mknod {place}/made c 1 5 || exit 9; head -c 1 {place}/made");
        let mut sandbox = world.script("devices", &script);
        sandbox.mounts = vec![
            Mount::new(MountSource::Tmpfs { size: None, mode: 0o755 }, "/mem"),
            Mount::bind(world.make("bound"), "/bound"),
        ];
        let outcome = finish(&sandbox);
        assert!(!outcome.exit.success(), "{place}: {outcome:?}");
        assert!(
            world.level == Level::Rootless || outcome.errors.contains("ermission denied"),
            "{place}: {outcome:?}"
        );
    }
}

/// In a container that hides parts of /proc, a fresh one is refused: the outer one is shown.
fn outer_proc(world: &World) {
    if world.level != Level::Root {
        return; // the case at level root plays both parts
    }
    let Some((uid, gid)) = user_with_subordinate_ids() else {
        println!("skipped because no user has subordinate ids");
        return;
    };
    let _hidden =
        ireko_sys::mount::bind(Path::new("/dev/null"), Path::new("/proc/timer_list"), true).expect("a mask");
    let program = std::env::current_exe().expect("a program has a path");
    let inner =
        Command::new(program).args(["--inside", "rootless", "sees_outer_proc"]).uid(uid).gid(gid).status();
    assert!(inner.expect("a process").success());
}

fn sees_outer_proc(world: &World) {
    let mut running =
        spawn(&world.script("outer", "cat /proc/timer_list; echo $$; cat /proc/self/comm")).expect("a start");
    assert_eq!(running.proc, Proc::Outer);
    assert_eq!(drain(&mut running).output, "1\ncat\n");
}

fn sys_is_read_only(world: &World) {
    assert!(world.output("ls /sys").contains("kernel"));
    let outcome = finish(&world.script("sys", "grep ' /sys' /proc/mounts; mkdir /sys/fs/cgroup/x"));
    assert!(outcome.output.lines().next().is_some_and(|line| line.contains(" /sys sysfs ")), "{outcome:?}");
    for line in outcome.output.lines() {
        // In the host's network the rootless level shows the host's own, and is to be no less careful with it.
        assert!(line.contains(" ro,nosuid,nodev,noexec,") || line.contains(" /sys/firmware "), "{line}");
    }
    assert!(!outcome.exit.success());
}

fn capabilities_and_filter(world: &World) {
    let status = world.output("grep -E '^(Cap|Seccomp:|NoNewPrivs)' /proc/self/status");
    expect_test::expect![[r"
        CapInh:	0000000000000000
        CapPrm:	00000000a80425fb
        CapEff:	00000000a80425fb
        CapBnd:	00000000a80425fb
        CapAmb:	0000000000000000
        NoNewPrivs:	0
        Seccomp:	2
    "]]
    .assert_eq(&status);
    let outcome = finish(&world.script("refused", "mount -t tmpfs x /tmp; unshare -U true; unshare -m true"));
    assert!(!outcome.exit.success(), "{outcome:?}");
    let refusals = outcome.errors.lines().filter(|line| line.contains("ermi")).count();
    assert_eq!(refusals, 3, "{outcome:?}");
}

fn other_users(world: &World) {
    let mut sandbox = world.script("user", "id; grep -E '^Cap(Prm|Bnd)' /proc/self/status; echo again >/dev/stdout; touch /tmp/mine; stat -c %u:%g /tmp/mine");
    sandbox.identity = Identity { uid: 1234, gid: 55, groups: vec![77, 55] };
    let outcome = finish(&sandbox);
    assert_eq!(
        outcome.output,
        "uid=1234 gid=55 groups=55,77\nCapPrm:\t0000000000000000\nCapBnd:\t00000000a80425fb\nagain\n1234:55\n",
        "{outcome:?}"
    );
    // The parent shared its memory with a process that changed its user, and must not be the worse for it.
    fs::read_link("/proc/self/exe").expect("/proc/self is still ours");
    fs::read_dir("/proc/self/fd").expect("/proc/self is still ours");
}

/// A stream is made the other user's, so that they can open it again, but never a device: it is the host's.
fn devices_stay_the_hosts(world: &World) {
    let owner = || fs::metadata("/dev/null").expect("a device").uid();
    let before = owner();
    let mut sandbox = world.script("owners", "stat -L -c %u /dev/stdin /dev/stdout >&2");
    sandbox.identity.uid = 4321;
    sandbox.stdio = Stdio::Streams { stdin: Stream::Null, stdout: Stream::Pipe, stderr: Stream::Pipe };
    let outcome = finish(&sandbox);
    assert!(outcome.errors.ends_with("\n4321\n"), "{outcome:?}");
    assert!(!outcome.errors.starts_with("4321\n"), "{outcome:?}");
    assert_eq!(owner(), before);
}

fn insecure(world: &World) {
    let mut sandbox = world.script("insecure", "mount -t tmpfs x /tmp && grep Seccomp: /proc/self/status");
    sandbox.security = Security::Insecure;
    let outcome = finish(&sandbox);
    assert_eq!(outcome.output, "Seccomp:\t0\n", "{outcome:?}");
}

fn names_and_network(world: &World) {
    let mut sandbox = world.script("net", "hostname; ls /sys/class/net 2>/dev/null | wc -l; ip link show lo");
    sandbox.hostname = "buildkitsandbox".to_owned();
    sandbox.network = Network::None;
    let outcome = finish(&sandbox);
    assert!(outcome.output.starts_with("buildkitsandbox\n"), "{outcome:?}");
    assert!(outcome.output.contains("LOOPBACK,UP"), "{outcome:?}");
    sandbox.argv[2] = "nc -l -p 80 -w 1 </dev/null".into();
    sandbox.identity.uid = 5;
    let outcome = finish(&sandbox);
    assert!(!outcome.errors.contains("bind"), "{outcome:?}");
    let links = |network| {
        let mut sandbox = world.script("links", "cat /proc/net/dev | wc -l");
        sandbox.network = network;
        finish(&sandbox).output
    };
    assert_eq!(links(Network::None), "3\n", "two lines of heading and lo");
    let own = fs::read_to_string("/proc/net/dev").expect("a list of interfaces").lines().count();
    assert_eq!(links(Network::Host), format!("{own}\n"));
}

fn mount_points_vanish(world: &World) {
    fs::write(world.path("resolv.conf"), "nameserver 192.0.2.1\n").expect("a file");
    let cache = world.make("cache");
    fs::remove_file(world.path("base/etc/resolv.conf")).ok();
    // As images of machines have it: a link to a file that is not there.
    std::os::unix::fs::symlink("../run/resolve/stub.conf", world.path("base/etc/resolv.conf"))
        .expect("a link");
    let mut sandbox =
        world.script("points", "cat /etc/resolv.conf; touch /var/cache/deep/er/x; echo kept >/var/kept");
    sandbox.mounts = vec![
        Mount::bind(world.path("resolv.conf"), "/etc/resolv.conf").read_only().hardened(),
        Mount::bind(&cache, "/var/cache/deep/er"),
    ];
    let mut running = spawn(&sandbox).expect("a start");
    assert_eq!(drain(&mut running).output, "nameserver 192.0.2.1\n");
    let made: Vec<_> =
        running.mount_points.iter().map(|made| (made.path.to_str().expect("text"), made.is_dir)).collect();
    assert_eq!(
        made,
        [
            ("proc", true),
            ("dev", true),
            ("sys", true),
            ("run", true),
            ("run/resolve", true),
            ("run/resolve/stub.conf", false),
            ("var", true),
            ("var/cache", true),
            ("var/cache/deep", true),
            ("var/cache/deep/er", true),
        ]
    );
    let upper = world.path("points/upper");
    ireko_sys::sandbox::remove_mount_points(&upper, &running.mount_points).expect("removal");
    assert_eq!(tree(&upper), ["var", "var/kept"]);
    assert_eq!(tree(&cache), ["x"]);
}

fn links_do_not_lead_out(world: &World) {
    let outside = world.make("outside");
    let base = world.path("base");
    std::os::unix::fs::symlink(&outside, base.join("absolute")).expect("a link");
    std::os::unix::fs::symlink("../../../../../../../../tmp", base.join("up")).expect("a link");
    std::os::unix::fs::symlink("/proc/self/cwd/magic", base.join("magic")).expect("a link");
    for target in ["/absolute/x", "/up/x", "/dev/fd/../../x"] {
        let mut sandbox = world.script("out", "true");
        sandbox.mounts = vec![Mount::bind(world.path("base/etc"), target)];
        spawn(&sandbox).map(|mut running| running.wait()).ok();
    }
    assert!(tree(&outside).is_empty());
    // What a command makes of the directories in between must not mislead the removal either.
    fs::write(outside.join("victim"), b"").expect("a file");
    let mut sandbox = world.script("swap", "true");
    sandbox.mounts = vec![Mount::bind(world.path("base/etc/passwd"), "/a/victim")];
    let mut running = spawn(&sandbox).expect("a start");
    running.wait().expect("an end");
    let upper = world.path("swap/upper");
    fs::remove_dir_all(upper.join("a")).expect("removal");
    std::os::unix::fs::symlink(&outside, upper.join("a")).expect("a link");
    ireko_sys::sandbox::remove_mount_points(&upper, &running.mount_points).expect("removal");
    assert!(outside.join("victim").exists());
}

fn mounts_of_all_kinds(world: &World) {
    let source = world.make("source");
    fs::write(source.join("file"), b"data\n").expect("a file");
    let discard = Overlay {
        lowers: vec![source.clone()],
        upper: Some(Upper { dir: world.make("discard/upper"), work: world.make("discard/work") }),
        userxattr: world.map.needs_userxattr(),
    };
    let mut sandbox = world.script(
        "kinds",
        "cat /ro/file; touch /ro/x || echo refused; echo more >>/over/file; cat /over/file; \
         touch /mem/x; stat -c %a /mem; cat /one; echo $(ls /dev/extra)",
    );
    sandbox.mounts = vec![
        Mount::bind(&source, "/ro").read_only(),
        Mount::new(MountSource::Overlay(discard), "/over"),
        Mount::new(MountSource::Tmpfs { size: Some(1 << 20), mode: 0o1777 }, "/mem"),
        Mount::bind(source.join("file"), "/one"),
        Mount::bind(&source, "/dev/extra"),
    ];
    let outcome = finish(&sandbox);
    assert_eq!(outcome.output, "data\nrefused\ndata\nmore\n1777\ndata\nfile\n", "{outcome:?}");
    assert_eq!(fs::read(source.join("file")).expect("the source"), b"data\n");
    assert!(tree(&world.path("kinds/upper")).is_empty());
}

fn many_layers(world: &World) {
    let mut overlay = world.overlay("many");
    for index in 0..200 {
        let layer = world.make(&format!("layers/with-a-name-as-long-as-a-digest-would-have/{index:064}"));
        fs::write(layer.join("top"), format!("{index}\n")).expect("a file");
        fs::write(layer.join(format!("file{index}")), b"").expect("a file");
        overlay.lowers.insert(0, layer);
    }
    let mut sandbox = world.script("unused", "cat /top; ls / | grep -c file");
    sandbox.root = RootFs::Overlay(overlay);
    assert_eq!(finish(&sandbox).output, "199\n200\n");
    // As kernels before 6.7 do it.
    let old = Facts { overlay: OverlayApi::OneText, ..Facts::of_this_machine() };
    assert_eq!(drain(&mut spawn_with(&sandbox, &old).expect("a start")).output, "199\n200\n");
}

/// Mounts of this process itself, which are made by other code than those of a sandbox.
fn own_mounts(world: &World) {
    let at = world.make("at");
    let layers = world.overlay("own");
    let mounted = ireko_sys::mount::overlay(&layers, &at).expect("an overlay");
    fs::write(at.join("new"), b"").expect("a file");
    drop(mounted);
    assert_eq!((tree(&at), tree(&world.path("own/upper"))), (vec![], vec!["new".to_owned()]));
    let view = Overlay { upper: None, ..layers };
    let mounted = ireko_sys::mount::overlay(&view, &at).expect("a view");
    assert!(at.join("bin/busybox").exists() && fs::write(at.join("x"), b"").is_err());
    mounted.unmount().expect("removal");
    ireko_sys::mount::tmpfs(&at, Some(4096)).expect("a tmpfs").unmount().expect("removal");
    ireko_sys::mount::probe_overlay(world.dir.path(), world.map.needs_userxattr())
        .expect("overlays work here");
    assert_eq!(tree(&at), Vec::<String>::new());
}

fn owners_are_mapped(world: &World) {
    let source = world.make("owned");
    fs::write(source.join("file"), b"").expect("a file");
    std::os::unix::fs::lchown(source.join("file"), Some(77), Some(78)).expect("an owner");
    if !ireko_sys::mount::can_idmap(&source) {
        if world.level == Level::Rootless {
            return; // the kernel maps only file systems that were mounted in the same user namespace
        }
        println!("skipped because files of another's file system cannot be mapped at level {}", world.level);
        return;
    }
    let mut sandbox = world.script("mapped", "stat -c %u:%g /m/file");
    let idmapped = MountSource::Idmapped { path: source.clone(), owner: (77, 78), shown: (0, 0) };
    sandbox.mounts = vec![Mount::new(idmapped, "/m").read_only()];
    let outcome = finish(&sandbox);
    assert_eq!(outcome.output, "0:0\n", "{outcome:?}");
}

/// Whatever happens to us, nothing of a command goes on.
fn killed_with_parent(world: &World) {
    for case in ["waits_for_ever", "waits_for_ever_as_another"] {
        let program = std::env::current_exe().expect("a program has a path");
        // At level rootless this process is root of its namespace by now.
        let mut child = Command::new(program)
            .args(["--inside", "root", case])
            .stdout(Process::piped())
            .spawn()
            .expect("a process");
        let mut pid = String::new();
        std::io::BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut pid).expect("a line");
        let process = Path::new("/proc").join(pid.trim());
        assert!(process.exists(), "{pid}");
        child.kill().expect("a kill");
        child.wait().expect("an end");
        let deadline = Instant::now() + Duration::from_secs(10);
        while fs::read_to_string(process.join("cmdline")).is_ok_and(|line| !line.is_empty()) {
            assert!(Instant::now() < deadline, "{} at {} goes on", case, world.level);
            std::thread::yield_now();
        }
    }
}

fn waits_for_ever(world: &World) {
    wait_as(world, Identity::default());
}

fn waits_for_ever_as_another(world: &World) {
    wait_as(world, Identity { uid: 7, gid: 7, groups: vec![] });
}

fn wait_as(world: &World, identity: Identity) {
    let mut sandbox = world.script("wait", "sleep 600");
    sandbox.identity = identity;
    let mut running = spawn(&sandbox).expect("a start");
    println!("{}", running.pid());
    running.wait().expect("an end");
}

fn read_only_root(world: &World) {
    let mut sandbox = world.script("ro", "touch /x; echo y >/tmp/y && cat /tmp/y");
    sandbox.read_only_root = true;
    sandbox.mounts = vec![Mount::new(MountSource::Tmpfs { size: None, mode: 0o1777 }, "/tmp")];
    let outcome = finish(&sandbox);
    assert_eq!(outcome.output, "y\n");
    assert!(outcome.errors.contains("Read-only"), "{outcome:?}");
}

fn terminal(world: &World) {
    let mut sandbox = world.script("tty", "tty; stty size; read line; echo \"got $line\"");
    sandbox.stdio = Stdio::Terminal { rows: 33, columns: 99 };
    sandbox.identity = Identity { uid: 5, gid: 5, groups: vec![] };
    let mut running = spawn(&sandbox).expect("a start");
    let mut terminal = running.terminal.take().expect("a terminal");
    terminal.write_all(b"hello\n").expect("typing");
    let mut output = Vec::new();
    // Ends with EIO when the other side is closed.
    terminal.read_to_end(&mut output).ok();
    let text = String::from_utf8_lossy(&output).replace('\r', "");
    assert!(running.wait().expect("an end").success(), "{text}");
    for expected in ["/dev/pts/0\n", "33 99\n", "got hello\n"] {
        assert!(text.contains(expected), "{text}");
    }
}

fn streams(world: &World) {
    let mut sandbox = world.script("streams", "cat; echo err >&2");
    sandbox.stdio = Stdio::Streams { stdin: Stream::Pipe, stdout: Stream::Pipe, stderr: Stream::Null };
    let mut running = spawn(&sandbox).expect("a start");
    running.stdin.take().expect("a pipe").write_all(b"input").expect("writing");
    assert_eq!(drain(&mut running).output, "input");
    let file = fs::File::create(world.path("log")).expect("a file");
    sandbox.stdio =
        Stdio::Streams { stdin: Stream::Null, stdout: Stream::File(file.into()), stderr: Stream::Inherit };
    sandbox.argv[2] = "echo to file".into();
    finish(&sandbox);
    assert_eq!(fs::read_to_string(world.path("log")).expect("a log"), "to file\n");
    // The host's /dev/null is nothing for root in there to change.
    let null = fs::File::options().write(true).open("/dev/null").expect("a device");
    sandbox.stdio =
        Stdio::Streams { stdin: Stream::Null, stdout: Stream::Pipe, stderr: Stream::File(null.into()) };
    sandbox.argv[2] = "stat -L -c %d:%i /dev/null /proc/self/fd/0 /proc/self/fd/2".into();
    let files = drain(&mut spawn(&sandbox).expect("a start")).output;
    let files: Vec<&str> = files.lines().collect();
    assert!(files.len() == 3 && files.iter().all(|file| *file == files[0]), "{files:?}");
    // Nothing of ours is open in the command.
    assert_eq!(world.output("ls /proc/self/fd | wc -l"), "4\n");
}

fn mount_points_made_at_once(world: &World) {
    const MANY: usize = 6;
    let [outer, inner] = ["outer", "inner"].map(|name| world.make(name));
    for round in 0..15 {
        let start = std::sync::Barrier::new(MANY);
        std::thread::scope(|scope| {
            for number in 0..MANY {
                let (start, outer, inner) = (&start, &outer, &inner);
                scope.spawn(move || {
                    let mut sandbox = world.script(&format!("at-once-{round}-{number}"), "ls /c");
                    let place = format!("/c/{round}");
                    sandbox.mounts = vec![Mount::bind(outer, "/c"), Mount::bind(inner, place)];
                    start.wait();
                    assert!(finish(&sandbox).exit.success());
                });
            }
        });
    }
}

fn killed_when_dropped(world: &World) {
    let running = spawn(&world.script("drop", "sleep 60")).expect("a start");
    let process = Path::new("/proc").join(running.pid().to_string());
    assert!(process.exists());
    drop(running);
    assert!(!process.exists());
}

fn connect_into_network(world: &World) {
    let mut sandbox = world.script("listen", "echo ready; echo hello | nc -l -p 8000");
    sandbox.network = Network::Private;
    let mut running = spawn(&sandbox).expect("a start");
    let mut word = [0; 6];
    running.stdout.as_mut().expect("a pipe").read_exact(&mut word).expect("output");
    let namespace = NetNs::of(running.pid()).expect("a network");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut stream = loop {
        match namespace.connect(8000).expect("a thread") {
            Ok(stream) => break stream,
            Err(error) if Instant::now() > deadline => panic!("{error}"),
            Err(_) => std::thread::yield_now(),
        }
    };
    let mut answer = [0; 6];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(&answer, b"hello\n");
}

/// Prints what a step costs; asserts only against gross mistakes, since other work may share the machine.
fn cost_of_a_step(world: &World) {
    const STEPS: u32 = 100;
    let mut sandbox = world.script("cost", "");
    sandbox.argv = vec!["/bin/true".into()];
    finish(&sandbox);
    let before = processor_time();
    let (mut starts, mut wholes) = (Vec::new(), Vec::new());
    for number in 0..STEPS {
        sandbox.root = RootFs::Overlay(world.overlay(&format!("cost{number}")));
        let started = Instant::now();
        let mut running = spawn(&sandbox).expect("a start");
        starts.push(started.elapsed());
        assert!(running.wait().expect("an end").success());
        wholes.push(started.elapsed());
    }
    let used = (processor_time() - before) / STEPS;
    starts.sort_unstable();
    wholes.sort_unstable();
    let middle = starts.len() / 2;
    println!(
        "a step at level {}: {used:?} of processor time; started after {:?} (least {:?}), ended after {:?} (least {:?})",
        world.level, starts[middle], starts[0], wholes[middle], wholes[0]
    );
    assert!(used < Duration::from_millis(50));
}

/// What this process and its children that ended have used.
fn processor_time() -> Duration {
    let stat = fs::read_to_string("/proc/self/stat").expect("a state");
    let (_, fields) = stat.rsplit_once(')').expect("a name in parentheses");
    // utime, stime, cutime, cstime, in hundredths of a second.
    let ticks: u64 =
        fields.split_whitespace().skip(11).take(4).map(|field| field.parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}
