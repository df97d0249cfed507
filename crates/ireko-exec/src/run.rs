//! One RUN step: what it sees, what it says, what it leaves.

use crate::authorities::{Authorities, PLACE, Shown, VARIABLES};
use crate::emulation::is_foreign;
use crate::error::{Failed, Fault};
use crate::freshness;
use crate::job::Job;
use crate::mounts::{self, Mounted};
use crate::passwd;
use crate::perform::Performer;
use crate::secrets::Mask;
use crate::shell;
use ireko_graph::op::{Network, Run, Security};
use ireko_layer::{Entry, Kind, OverlayAttrs, TreePath, View};
use ireko_report::{Blame, Event, Stream};
use ireko_sys::cgroup::{Limiter, Limits};
use ireko_sys::owner::{Owner, OwnerTable};
use ireko_sys::sandbox::{self, Exit, MountPoint, Running, Sandbox};
use ireko_sys::userns::IdMap;
use rustix::event::{PollFd, PollFlags, poll};
use std::ffi::OsString;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Docker's and BuildKit's default search path for programs.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The host name that a step sees unless it is given another; fixed, so that no machine's name reaches a layer.
pub(crate) const HOST_NAME: &str = "buildkitsandbox";

/// How commands are kept apart from this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// By namespaces of their own.
    Namespaces,
    /// By another root directory, and nothing else: what would be mounted is moved in and out.
    Chroot {
        /// They are shown this machine's /proc, and set-id programs gain nothing where root may not administer.
        with_proc: bool,
    },
}

impl Confinement {
    /// The root of a command in the plain directory `dir`; `scratch` is a directory of the command's own on the same file
    /// system.
    ///
    /// # Errors
    /// The scratch directory cannot be written to.
    pub fn root(self, dir: PathBuf, scratch: &Path) -> std::io::Result<sandbox::RootFs> {
        let Self::Chroot { with_proc } = self else { return Ok(sandbox::RootFs::Dir(dir)) };
        let aside = scratch.join("aside");
        std::fs::create_dir(&aside)?;
        std::fs::set_permissions(&aside, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
        Ok(sandbox::RootFs::Chroot { dir, aside, with_proc })
    }
}

/// What is the same for every step on this machine.
#[derive(Clone, Debug)]
pub struct SandboxSettings {
    /// The machine's name servers: the text of its resolv.conf.
    pub resolv_conf: Vec<u8>,
    /// Certificate authorities that steps trust beside their images' own.
    pub authorities: Option<Authorities>,
    /// What each step may use of the machine.
    pub limits: Option<Arc<Limiter>>,
    /// How steps are kept apart from it.
    pub confinement: Confinement,
}

/// The files that stand in for the image's own while a step runs.
pub struct ContainerFiles {
    resolv_conf: PathBuf,
    hosts: PathBuf,
    hostname: PathBuf,
}

impl ContainerFiles {
    /// Writes them into `dir`, with this text of /etc/resolv.conf, for a container of this host name and with these further lines of /etc/hosts.
    ///
    /// # Errors
    /// The directory cannot be written to.
    pub fn write(
        dir: &Path,
        resolv_conf: &[u8],
        name: &str,
        extra: &[(String, String)],
    ) -> std::io::Result<Self> {
        let files = Self {
            resolv_conf: dir.join("resolv.conf"),
            hosts: dir.join("hosts"),
            hostname: dir.join("hostname"),
        };
        std::fs::write(&files.resolv_conf, resolv_conf)?;
        let mut hosts = format!("127.0.0.1\tlocalhost {name}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
        for (name, address) in extra {
            hosts.push_str(&format!("{address}\t{name}\n"));
        }
        std::fs::write(&files.hosts, hosts)?;
        std::fs::write(&files.hostname, format!("{name}\n"))?;
        // Every user reads them, whatever the umask is here.
        for file in [&files.resolv_conf, &files.hosts, &files.hostname] {
            std::fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        }
        Ok(files)
    }

    /// The mounts that show them to a container, which may write to them.
    pub fn mounts(&self) -> Vec<sandbox::Mount> {
        let bind = |source: &Path, target: &str| sandbox::Mount::bind(source, target);
        vec![
            bind(&self.resolv_conf, "/etc/resolv.conf"),
            bind(&self.hosts, "/etc/hosts"),
            bind(&self.hostname, "/etc/hostname"),
        ]
    }

    /// Those of a step: what it wrote there would be lost, so it cannot, and its host's name is the image's business
    /// (`generateMountOpts` in BuildKit's `executor/oci`).
    fn mounts_of_step(&self) -> Vec<sandbox::Mount> {
        let fixed = |source: &Path, target: &str| sandbox::Mount {
            read_only: true,
            no_set_id: true,
            no_execution: true,
            ..sandbox::Mount::bind(source, target)
        };
        vec![fixed(&self.resolv_conf, "/etc/resolv.conf"), fixed(&self.hosts, "/etc/hosts")]
    }
}

/// A RUN step and what it stands on.
pub(crate) struct Step<'s> {
    pub job: &'s Job,
    pub run: &'s Run,
    /// The tree below the step.
    pub below: &'s View,
    /// Where the root's changes go.
    pub upper: &'s Path,
    /// Further authorities that it is shown.
    pub authorities: Option<&'s Shown>,
}

/// What is known of a step that ran, beside its changes.
pub(crate) struct Ran {
    /// False: files of a local context changed while the step could see them, and its result must not be recorded.
    pub unchanged: bool,
    /// Owners of files that take no note.
    pub owners: OwnerTable,
}

/// Runs the step on top of `root`. What it changed is in the upper directory of `root` afterwards.
///
pub(crate) fn run_step(
    performer: &Performer<'_>,
    step: &Step<'_>,
    root: sandbox::RootFs,
) -> Result<Ran, Fault> {
    let Step { job, run, upper, .. } = *step;
    let scratch = performer.scratch()?;
    let mounted = mounts::prepare(performer, step, scratch.path())?;
    let sandbox = sandbox_of(performer, step, root, &mounted, scratch.path())?;
    if performer.cancel().is_asked() {
        return Err(Fault::Cancelled);
    }
    let mut left = Left::default();
    let ran = command(performer, step, &sandbox, &Mask::new(mounted.secrets()), &mut left);
    if let Err(Fault::Failed(failed)) = &ran {
        shell::offer(performer, step, (sandbox, left.owners.clone()), failed);
    }
    ran?;
    sandbox::remove_mount_points(upper, &left.made).map_err(|error| Fault::of(Blame::Environment, &error))?;
    if freshness::matters(run) {
        freshness::settle(performer, job)?;
    }
    Ok(Ran { unchanged: mounted.unchanged()?, owners: left.owners })
}

/// What a command left beside its files.
#[derive(Default)]
struct Left {
    /// Places made for mounts.
    made: Vec<MountPoint>,
    owners: OwnerTable,
}

/// Runs the step's command to its end, which is a fault unless its exit code is 0.
fn command(
    performer: &Performer<'_>,
    step: &Step<'_>,
    sandbox: &Sandbox,
    mask: &Mask,
    left: &mut Left,
) -> Result<(), Fault> {
    let Step { job, run, upper, .. } = *step;
    let program = run.argv.first().map_or("", String::as_str);
    let mut running = sandbox::spawn(sandbox).map_err(|error| spawn_fault(&error, program, &run.platform))?;
    left.made.clone_from(&running.mount_points);
    let mut log = Log::default();
    let (exit, out_of_memory) = watch(performer, job, &mut running, &mut log, mask)?;
    left.owners = running.owners();
    drop(running);
    match exit {
        Exit::Code(0) => Ok(()),
        _ if performer.cancel().is_asked() => Err(Fault::Cancelled),
        _ => {
            let memory = limits_of(performer).and_then(|limits| limits.memory).filter(|_| out_of_memory);
            let mut fault = exit_fault(exit, memory, run, log.path());
            if let Fault::Failed(failed) = &mut fault
                && is_full(upper)
            {
                failed.disk_full = true;
                failed.blame = Blame::Environment;
                failed.causes.push("no space is left where the store lies".to_owned());
            }
            Err(fault)
        }
    }
}

fn sandbox_of(
    performer: &Performer<'_>,
    step: &Step<'_>,
    root: sandbox::RootFs,
    mounted: &Mounted,
    scratch: &Path,
) -> Result<Sandbox, Fault> {
    let Step { run, below, .. } = *step;
    let name = run.hostname.clone().unwrap_or_else(|| match performer.settings().confinement {
        Confinement::Namespaces => HOST_NAME.to_owned(),
        // It has this machine's, which is to be found in its /etc/hosts.
        Confinement::Chroot { .. } => rustix::system::uname().nodename().to_string_lossy().into_owned(),
    });
    let io = |error: std::io::Error| Fault::of(Blame::Environment, &error);
    let files = ContainerFiles::write(scratch, &performer.settings().resolv_conf, &name, &run.extra_hosts)
        .map_err(io)?;
    let user = passwd::user(&run.user, below.passwd(), below.group())
        .map_err(|error| Fault::of(Blame::User, &error))?;
    can_become(&user)?;
    if run.argv.first().is_none_or(String::is_empty) {
        return Err(Fault::failed(Blame::User, "RUN names no program: the first word of its array is empty"));
    }

    let mut sandbox = Sandbox::new(root, run.argv.iter().map(OsString::from).collect());
    sandbox.env = environment(run, mounted, &user.home, step.authorities.is_some());
    sandbox.cwd = PathBuf::from(run.cwd.as_str());
    sandbox.hostname = name;
    sandbox.limits.clone_from(&performer.settings().limits);
    sandbox.network = match run.network {
        Network::Default | Network::Host => sandbox::Network::Host,
        Network::None => sandbox::Network::None,
    };
    sandbox.security = match run.security {
        Security::Sandbox => sandbox::Security::Default,
        Security::Insecure => sandbox::Security::Insecure,
    };
    let groups = user.groups.into_iter().chain(mounted.groups().iter().copied()).collect();
    sandbox.identity = sandbox::Identity { uid: user.uid, gid: user.gid, groups };
    // An overlay's own are; the same where the tree is copied.
    sandbox.volatile = !matches!(sandbox.root, sandbox::RootFs::Overlay(_));
    sandbox.owners = owners_in(performer.attrs(), below, step.upper);
    if let Some(owners) = &mut sandbox.owners {
        owners.mounted.clone_from(mounted.owners());
    }
    if let Some(size) = run.shm_size {
        sandbox.shm_size = size;
    }
    for (name, soft, hard) in &run.ulimits {
        let number = |limit: i64| u64::try_from(limit).unwrap_or(u64::MAX);
        match sandbox::Rlimit::named(name, number(*soft), number(*hard)) {
            Some(limit) => sandbox.rlimits.push(limit),
            None => return Err(Fault::failed(Blame::User, format!("unknown limit `{name}` in --ulimit"))),
        }
    }
    sandbox.mounts = files.mounts_of_step();
    if run.security == Security::Insecure {
        sandbox.mounts.extend(own_devices());
    }
    // Parents before what is mounted inside them, whatever the order of the flags.
    let mut mounts = mounted.mounts().to_vec();
    mounts.sort_by(|a, b| a.target.cmp(&b.target));
    sandbox.mounts.extend(mounts);
    Ok(sandbox)
}

/// The owners of a container's files, where they are noted on them. `changes` is where its changes go.
#[must_use]
pub fn owners_in(attrs: OverlayAttrs, below: &View, changes: &Path) -> Option<sandbox::Owners> {
    if attrs != OverlayAttrs::Noted {
        return None;
    }
    let owners = without_notes(below);
    let owners = owners.map(|(path, owner)| (path.as_path().to_owned(), owner));
    let below = owners.collect();
    Some(sandbox::Owners { changes: changes.to_owned(), below, ..sandbox::Owners::default() })
}

/// The links, pipes and devices of a tree that are not root's.
pub(crate) fn without_notes(tree: &View) -> impl Iterator<Item = (&TreePath, Owner)> {
    let takes_none = |entry: &&Entry| {
        let noted = matches!(entry.kind, Kind::File { .. } | Kind::HardLink { .. } | Kind::Dir { .. });
        !noted && entry.kind != Kind::Whiteout && (entry.meta.uid, entry.meta.gid) != (0, 0)
    };
    let all = tree.layers().iter().flat_map(|layer| layer.entries()).filter(takes_none);
    let seen = all.filter(|entry| tree.entry(&entry.path) == Some(*entry));
    seen.map(|entry| (&entry.path, Owner::new(entry.meta.uid, entry.meta.gid)))
}

/// Devices of this machine that a step without confinement finds, as BuildKit gives them.
fn own_devices() -> impl Iterator<Item = sandbox::Mount> {
    let loops = (0..8).map(|number| format!("/dev/loop{number}"));
    let all = ["/dev/fuse".to_owned(), "/dev/loop-control".to_owned()].into_iter().chain(loops);
    all.filter(|device| Path::new(device).exists()).map(|device| sandbox::Mount::bind(&device, &device))
}

/// The step's variables: the Dockerfile's, then what only this run knows.
fn environment(run: &Run, mounted: &Mounted, home: &str, authorities: bool) -> Vec<(OsString, OsString)> {
    let mut env: Vec<(OsString, OsString)> = Vec::new();
    let has = |env: &[(OsString, OsString)], name: &str| env.iter().any(|(known, _)| known == name);
    for (name, value) in run.env.iter().chain(&run.hidden_env) {
        if !has(&env, name) {
            env.push((name.into(), value.into()));
        }
    }
    for (name, value) in mounted.variables() {
        env.retain(|(known, _)| known != name);
        env.push((name.clone(), value.clone()));
    }
    if authorities {
        for name in VARIABLES {
            // What the image or the Dockerfile says of them holds.
            if !has(&env, name) {
                env.push((name.into(), PLACE.into()));
            }
        }
    }
    if !has(&env, "PATH") {
        env.push(("PATH".into(), DEFAULT_PATH.into()));
    }
    if !has(&env, "HOME") {
        env.push(("HOME".into(), home.into()));
    }
    env
}

/// A new file that takes a step's whole log.
fn log_file(performer: &Performer<'_>, job: &Job) -> Result<(File, PathBuf), Fault> {
    let about = &performer.graph().node(job.node).about;
    let (file, path) = performer.store().log_file(&format!("{}-{}", about.stage, about.step))?;
    performer.emit(Event::StepLogFile { node: job.node.0, path: path.display().to_string() });
    Ok((file, path))
}

/// The file with all that a step wrote; made once it writes something, since most steps are silent.
#[derive(Default)]
struct Log {
    open: Option<(File, PathBuf)>,
    /// It ends early, since the disk is full. What the step itself makes of that counts, and names the disk.
    is_cut: bool,
}

impl Log {
    fn write(&mut self, performer: &Performer<'_>, job: &Job, bytes: &[u8]) -> Result<(), Fault> {
        match self.append(performer, job, bytes) {
            Err(Fault::Failed(failed)) if failed.disk_full => {
                let about = &performer.graph().node(job.node).about;
                performer.warn(format!("line {}: the disk is full: the step's log ends early", about.line));
                self.is_cut = true;
                Ok(())
            }
            other => other,
        }
    }

    fn append(&mut self, performer: &Performer<'_>, job: &Job, bytes: &[u8]) -> Result<(), Fault> {
        let (file, _) = match &mut self.open {
            _ if self.is_cut => return Ok(()),
            Some(open) => open,
            none => none.insert(log_file(performer, job)?),
        };
        file.write_all(bytes).map_err(|error| Fault::of(Blame::Environment, &error))
    }

    fn path(self) -> Option<PathBuf> {
        self.open.map(|(_, path)| path)
    }
}

/// Reads what the step writes until it ends; the wish to stop kills it. Says how it ended, and whether the kernel killed
/// something in it for want of memory.
fn watch(
    performer: &Performer<'_>,
    job: &Job,
    running: &mut Running,
    log: &mut Log,
    mask: &Mask,
) -> Result<(Exit, bool), Fault> {
    let io = |error: std::io::Error| Fault::of(Blame::Environment, &error);
    let killer = running.killer().map_err(|error| Fault::of(Blame::Environment, &error))?;
    let _registered = performer.cancel().on_ask(move || {
        // A process that cannot be killed is waited for.
        let _ = killer.kill();
    });
    let streams = [(running.stdout.take(), Stream::Stdout), (running.stderr.take(), Stream::Stderr)];
    let streams = streams.into_iter().filter_map(|(file, stream)| Some((file?, stream, mask.clone())));
    let mut open: Vec<(File, Stream, Mask)> = streams.collect();
    let mut buffer = vec![0; 64 * 1024];
    while !open.is_empty() {
        let (ready, ended) = readable(&open, running).map_err(io)?;
        // What it left behind may hold its streams, where nothing could end that: its keeper was killed.
        if ended && !ready.contains(&true) {
            break;
        }
        let mut at = 0;
        let mut failure = None;
        open.retain_mut(|(file, stream, mask)| {
            at += 1;
            if !ready[at - 1] || failure.is_some() {
                return true;
            }
            // A terminal or pipe whose writers are gone may also answer with an error: that is its end.
            let count = file.read(&mut buffer).unwrap_or(0);
            let bytes = if count == 0 { mask.finish() } else { mask.pass(&buffer[..count]) };
            if !bytes.is_empty() {
                failure = log.write(performer, job, &bytes).err();
                performer.emit(Event::StepLog { node: job.node.0, stream: *stream, bytes });
            }
            count > 0
        });
        if let Some(error) = failure {
            return Err(error.named("cannot write the step's log".to_owned()));
        }
    }
    let exit = running.wait().map_err(|error| Fault::of(Blame::Environment, &error))?;
    Ok((exit, running.out_of_memory()))
}

/// Which of these can be read, or have ended; and whether the command has.
fn readable(open: &[(File, Stream, Mask)], running: &Running) -> std::io::Result<(Vec<bool>, bool)> {
    let mut fds: Vec<PollFd<'_>> = open.iter().map(|(file, ..)| PollFd::new(file, PollFlags::IN)).collect();
    fds.push(PollFd::new(running, PollFlags::IN));
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    let mut ready: Vec<bool> = fds.iter().map(|fd| !fd.revents().is_empty()).collect();
    let ended = ready.pop().unwrap_or_default();
    Ok((ready, ended))
}

/// Refuses a user whose ids an ordinary user has not been given.
fn can_become(user: &passwd::User) -> Result<(), Fault> {
    let map = IdMap::current().map_err(|error| Fault::of(Blame::Environment, &error))?;
    if map.is_single() {
        // Others are emulated, whatever their number.
        return Ok(());
    }
    let lacks = |kind: &str, id: u32| {
        let message =
            format!("this build cannot run a step as {kind} {id}: no id of this machine stands for it");
        let hint = "a build without root has the ids of /etc/subuid and /etc/subgid, mostly 65536: \
                    give it more there, build as root, or set a smaller USER; `--chown` takes any number";
        Err(Fault::failed(Blame::Environment, message).hint(hint))
    };
    match () {
        () if map.uid_outside(user.uid).is_none() => lacks("user", user.uid),
        () if map.gid_outside(user.gid).is_none() => lacks("group", user.gid),
        () => Ok(()),
    }
}

fn spawn_fault(error: &ireko_sys::Error, program: &str, platform: &str) -> Fault {
    match error.exit_code() {
        Some(code) => {
            let mut fault = Fault::of(Blame::Step, error);
            if let Fault::Failed(failed) = &mut fault {
                failed.exit_code = Some(i32::from(code));
                failed.hint = match error {
                    ireko_sys::Error::ProgramNotFound { .. }
                        if program.ends_with("/sh") || program.ends_with("bash") =>
                    {
                        Some("the image has no such shell: use the exec form, or SHELL".to_owned())
                    }
                    ireko_sys::Error::InterpreterNotFound { .. } => Some(
                        "a directory copied over a symbolic link like /lib (`COPY --link` does that) hides the loader, \
                         or the program is for another C library"
                            .to_owned(),
                    ),
                    _ => None,
                };
                if let ireko_sys::Error::ProgramNotRunnable { cause, .. } = error
                    && is_foreign(cause)
                {
                    failed.hint = Some(format!(
                        "it is no program of {platform}, or a script without `#!` in its first line; \
                         `FROM --platform=…` chooses among the images of a base"
                    ));
                }
            }
            fault
        }
        None if error.is_of_the_image() => Fault::of(Blame::Step, error)
            .hint("something else stands where WORKDIR leads, or a read-only mount covers it"),
        None => Fault::of(Blame::Environment, error).hint("`ireko doctor` says what works on this machine"),
    }
}

fn limits_of<'p>(performer: &'p Performer<'_>) -> Option<&'p Limits> {
    performer.settings().limits.as_ref().map(|limiter| limiter.limits())
}

/// A size as it is typed.
fn size(bytes: u64) -> String {
    let whole = |unit: u64| bytes.is_multiple_of(unit);
    match bytes {
        _ if whole(1 << 30) => format!("{}g", bytes >> 30),
        _ if whole(1 << 20) => format!("{}m", bytes >> 20),
        _ if whole(1 << 10) => format!("{}k", bytes >> 10),
        _ => format!("{bytes}"),
    }
}

/// Whether a program that failed just now can have failed for want of room: what it wrote is still there.
fn is_full(dir: &Path) -> bool {
    // Programs stop writing before the very last block.
    const LITTLE: u64 = 64 << 10;
    rustix::fs::statvfs(dir).is_ok_and(|stat| {
        let inodes = stat.f_files > 0 && stat.f_favail == 0;
        inodes || stat.f_bavail.saturating_mul(stat.f_frsize) < LITTLE
    })
}

/// `memory` is the limit that something in the step was killed for.
fn exit_fault(exit: Exit, memory: Option<u64>, run: &Run, log: Option<PathBuf>) -> Fault {
    let (mut message, code) = match exit {
        Exit::Code(code) => (format!("the step failed with exit code {code}"), code),
        Exit::Signal(signal) => (format!("the step was killed by signal {signal}"), 128 + signal),
    };
    if let Some(memory) = memory {
        let memory = size(memory);
        message = match exit {
            Exit::Signal(9) => format!("the step was killed for using more than --memory {memory}"),
            _ => format!("{message}: a process in it was killed for using more than --memory {memory}"),
        };
    }
    let hint = match (code, run.network) {
        _ if memory.is_some() => {
            Some("give it more, or let it use less: fewer compilers at one time, for instance".to_owned())
        }
        (127, _) => Some(
            "exit code 127: a program was not found; is it installed in this stage, and in PATH?".to_owned(),
        ),
        (126, _) => Some("exit code 126: a program is there but cannot be executed".to_owned()),
        (137, _) => Some("signal 9: the step may have run out of memory".to_owned()),
        (_, Network::None) => Some("the step ran without network (--network=none)".to_owned()),
        _ => None,
    };
    Fault::Failed(Box::new(Failed {
        message,
        causes: Vec::new(),
        hint,
        blame: Blame::Step,
        disk_full: false,
        exit_code: Some(code),
        log,
    }))
}
