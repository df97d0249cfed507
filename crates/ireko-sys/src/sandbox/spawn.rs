//! Starts the child of a sandbox and turns what it noted into a result.

use std::ffi::{CString, OsStr, c_void};
use std::fs::{self, File};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::ptr;
use std::sync::OnceLock;

use libc::{c_char, c_int};
use rustix::pipe::{PipeFlags, pipe_with};

use super::child::{self, Kept, Work};
use super::keeper;
use super::moved::Moved;
use super::plan::{Descriptors, Facts, Plan, plan};
use super::running::{Proc, Running, mount_points};
use super::step::{Deed, Step};
use super::walk::Log;
use super::{MountSource, Network, RootFs, Sandbox, Security, Stdio, Stream};
use crate::cgroup::{self, Group, Groups};
use crate::error::{Error, Result};
use crate::notify::{Answering, Reported, procfs};
use crate::{mount, raw, seccomp, userns};

/// Starts the command. Returns when it has been executed, or says why it could not be.
///
/// The process must have entered a [`userns::Level`] before. The command is killed when the **thread** that
/// called this ends, so call it from the thread that waits for it.
pub fn spawn(sandbox: &Sandbox) -> Result<Running> {
    static FACTS: OnceLock<Facts> = OnceLock::new();
    let facts = FACTS.get_or_init(|| {
        let facts = Facts::of_this_machine();
        cgroup::sweep(facts.groups.as_ref());
        facts
    });
    spawn_with(sandbox, facts)
}

/// As [`spawn()`], taking `facts` for what this machine is like: to try what is done on older kernels.
pub fn spawn_with(sandbox: &Sandbox, facts: &Facts) -> Result<Running> {
    for overlay in overlays(sandbox) {
        mount::forget_volatile(overlay);
    }
    let mut ends = Ends::open(sandbox)?;
    let moved = match &sandbox.root {
        RootFs::Chroot { dir, aside, .. } => Some(Moved::put_in(dir, aside, &sandbox.mounts)?),
        RootFs::Dir(_) | RootFs::Overlay(_) => None,
    };
    let plan = plan(sandbox, facts, &ends.descriptors)?;
    let strings = Strings::new(sandbox)?;
    let filter: &[libc::sock_filter] = match sandbox.security {
        Security::Default => seccomp::docker_default(),
        Security::Insecure => &[],
    };
    let mut slots = vec![Kept { fd: -1, later: 0 }; plan.slots];
    let me = rustix::process::pidfd_open(rustix::process::getpid(), rustix::process::PidfdFlags::empty())
        .map_err(|errno| Error::deed("open a handle of this process", errno))?;
    let groups = groups(sandbox, facts)?;
    let lists =
        groups.lists().map_err(|cause| Error::deed("open the control groups of the command", cause))?;
    let joined: Vec<c_int> = lists.iter().map(AsRawFd::as_raw_fd).collect();
    let mut work = Work {
        steps: &plan.steps,
        joined: &joined,
        argv: &strings.argv,
        env: &strings.env,
        filter,
        no_syncs: if sandbox.volatile { seccomp::without_syncs() } else { &[] },
        report: match &sandbox.owners {
            Some(owners) => Reported::here().program(owners),
            None if ends.descriptors.listener >= 0 => procfs::program(),
            None => &[],
        },
        slots: &mut slots,
        parent: me.as_raw_fd(),
        old_root: -1,
        covered_root: false,
        null: -1,
        log: Log::new(),
        outer_proc: false,
        lacks_interpreter: false,
        stage: 0,
        errno: 0,
    };
    let mut running = match moved {
        Some(moved) => start_kept(&mut work, groups, moved)?,
        None => start(&mut work, sandbox.network, groups)?,
    };
    // The child's change of user hid /proc/self from this process too, whose memory it shared.
    if sandbox.identity.uid != 0 || sandbox.identity.gid != 0 {
        userns::be_dumpable();
    }
    let (stage, errno, lacks_interpreter) = (work.stage, work.errno, work.lacks_interpreter);
    if running.mount_points.is_empty() {
        running.mount_points = mount_points(work.log.bytes());
    }
    running.proc = if work.outer_proc { Proc::Outer } else { Proc::Own };
    if errno != 0 {
        drop(running);
        return Err(match lacks_interpreter {
            true => Error::InterpreterNotFound { program: program_name(sandbox) },
            false => failure(&plan, stage, errno, sandbox),
        });
    }
    ends.hand_over(&mut running)?;
    Ok(running)
}

fn overlays(sandbox: &Sandbox) -> impl Iterator<Item = &mount::Overlay> {
    let root = match &sandbox.root {
        RootFs::Overlay(overlay) => Some(overlay),
        RootFs::Dir(_) | RootFs::Chroot { .. } => None,
    };
    root.into_iter().chain(sandbox.mounts.iter().filter_map(|mount| match &mount.source {
        MountSource::Overlay(overlay) => Some(overlay),
        _ => None,
    }))
}

/// The pipes and files that connect a command with us.
struct Ends {
    descriptors: Descriptors,
    /// Ours: input, output, error.
    kept: [Option<OwnedFd>; 3],
    /// Theirs, and whatever else must be open until the command runs.
    lent: Vec<OwnedFd>,
    terminal: Option<OwnedFd>,
    answering: Option<Answering>,
}

impl Ends {
    fn open(sandbox: &Sandbox) -> Result<Self> {
        let mut ends = Self {
            descriptors: Descriptors {
                streams: [-1; 3],
                terminal: -1,
                listener: -1,
                ..Descriptors::default()
            },
            kept: [None, None, None],
            lent: Vec::new(),
            terminal: None,
            answering: None,
        };
        match &sandbox.stdio {
            Stdio::Streams { stdin, stdout, stderr } => {
                for (index, stream) in [stdin, stdout, stderr].into_iter().enumerate() {
                    ends.descriptors.streams[index] = ends.stream(index, stream)?;
                }
            }
            Stdio::Terminal { .. } => {
                let (ours, theirs) = std::os::unix::net::UnixStream::pair()
                    .map_err(|cause| Error::deed("make a pair of sockets", cause))?;
                ends.descriptors.terminal = theirs.as_raw_fd();
                ends.lent.push(theirs.into());
                ends.terminal = Some(ours.into());
            }
        }
        if let Some(owners) = &sandbox.owners {
            let (answering, theirs) = Answering::start(sandbox, owners)?;
            ends.descriptors.listener = ends.lend(theirs);
            ends.answering = Some(answering);
        }
        if let RootFs::Chroot { dir, with_proc: true, .. } = &sandbox.root
            && procfs::can_show()
        {
            ends.descriptors.listener = ends.lend(procfs::show(dir)?);
        }
        for mount in &sandbox.mounts {
            ends.mount(&mount.source)?;
        }
        Ok(ends)
    }

    fn lend(&mut self, file: OwnedFd) -> c_int {
        let number = file.as_raw_fd();
        self.lent.push(file);
        number
    }

    fn stream(&mut self, index: usize, stream: &Stream) -> Result<c_int> {
        match stream {
            Stream::Inherit => Ok(-1),
            Stream::File(file) => Ok(file.as_raw_fd()),
            Stream::Null => {
                let null = File::options().read(true).write(true).open("/dev/null");
                Ok(self.lend(null.map_err(|cause| Error::path("open", "/dev/null", cause))?.into()))
            }
            Stream::Pipe => {
                let (read, write) =
                    pipe_with(PipeFlags::CLOEXEC).map_err(|errno| Error::deed("make a pipe", errno))?;
                let (ours, theirs) = if index == 0 { (write, read) } else { (read, write) };
                self.kept[index] = Some(ours);
                Ok(self.lend(theirs))
            }
        }
    }

    fn mount(&mut self, source: &MountSource) -> Result<()> {
        let (mut userns, mut directory) = (-1, true);
        if let MountSource::Bind(path) | MountSource::Idmapped { path, .. } | MountSource::Lent { path, .. } =
            source
        {
            let metadata =
                fs::metadata(path).map_err(|cause| Error::path("find mount source", path, cause))?;
            directory = metadata.is_dir();
        }
        if let MountSource::Idmapped { owner, shown, .. } = source {
            let namespace = mount::idmap(*owner, *shown)
                .map_err(|cause| Error::deed("make a user namespace to map owners by", cause))?;
            userns = self.lend(namespace.into());
        }
        self.descriptors.idmaps.push(userns);
        self.descriptors.directories.push(directory);
        Ok(())
    }

    fn hand_over(&mut self, running: &mut Running) -> Result<()> {
        let [stdin, stdout, stderr] = self.kept.each_mut().map(|end| end.take().map(File::from));
        (running.stdin, running.stdout, running.stderr) = (stdin, stdout, stderr);
        running.answering = self.answering.take();
        if let Some(socket) = self.terminal.take() {
            running.terminal = Some(receive_descriptor(&socket, "receive the terminal")?.into());
        }
        Ok(())
    }
}

pub(crate) fn receive_descriptor(socket: &OwnedFd, deed: &'static str) -> Result<OwnedFd> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
    let failed = |errno: rustix::io::Errno| Error::deed(deed, errno);
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0_u8; 1];
    recvmsg(socket, &mut [std::io::IoSliceMut::new(&mut byte)], &mut control, RecvFlags::CMSG_CLOEXEC)
        .map_err(failed)?;
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(mut files) = message
            && let Some(file) = files.next()
        {
            return Ok(file);
        }
    }
    Err(failed(rustix::io::Errno::BADF))
}

/// Argument and environment lists as the kernel takes them; the pointers are into the strings beside them.
struct Strings {
    _owned: Vec<CString>,
    argv: Vec<*const c_char>,
    env: Vec<*const c_char>,
}

impl Strings {
    fn new(sandbox: &Sandbox) -> Result<Self> {
        let zero = |what: &OsStr| Error::Invalid(format!("`{}` holds a zero byte", what.to_string_lossy()));
        let mut owned = Vec::with_capacity(sandbox.argv.len() + sandbox.env.len());
        for argument in &sandbox.argv {
            owned.push(CString::new(argument.as_bytes()).map_err(|_| zero(argument))?);
        }
        for (name, value) in &sandbox.env {
            let pair = [name.as_bytes(), b"=", value.as_bytes()].concat();
            owned.push(CString::new(pair).map_err(|_| zero(name))?);
        }
        let list =
            |strings: &[CString]| strings.iter().map(|text| text.as_ptr()).chain([ptr::null()]).collect();
        let (argv, env) = owned.split_at(sandbox.argv.len());
        let (argv, env) = (list(argv), list(env));
        Ok(Self { _owned: owned, argv, env })
    }
}

pub(super) extern "C" fn entry(work: *mut c_void) -> c_int {
    // SAFETY: `start` passes a pointer to a live `Work` that nobody else uses while this runs.
    let work = unsafe { &mut *work.cast::<Work<'_>>() };
    child::run(work);
    raw::exit(127)
}

/// The command's groups: with limits those that hold them, else one where it can be had.
fn groups(sandbox: &Sandbox, facts: &Facts) -> Result<Groups> {
    let mut groups = match &sandbox.limits {
        Some(limiter) => limiter.make().map_err(Error::Limits)?,
        None => Groups::default(),
    };
    if groups.unified.is_none() {
        groups.unified = facts.groups.as_ref().and_then(|home| home.make().ok());
    }
    Ok(groups)
}

/// Starts the child, in its group of version 2 if it can be started there; a group that it is not in is removed. Where
/// limits are in that group, it is there or nowhere.
fn start(work: &mut Work<'_>, network: Network, mut groups: Groups) -> Result<Running> {
    let mut flags = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWUTS | libc::CLONE_NEWIPC;
    if network != Network::Host {
        flags |= libc::CLONE_NEWNET;
    }
    let work: *mut Work<'_> = work;
    let start = |group: Option<&Group>| {
        // SAFETY: `work` is what `entry` takes, and nobody else uses it while this thread is suspended; the child
        // keeps to the rules of `child`: no allocation, no panic, no lock, and it ends by an exit.
        unsafe { raw::clone::start(flags, group.map(Group::descriptor), entry, work.cast::<c_void>()) }
    };
    let failed = |errno: raw::Errno| Error::SetUp {
        deed: "start a process in new namespaces".to_owned(),
        cause: errno.into(),
    };
    // Older kernels and outer containers know no start inside a group; joining it later would take milliseconds.
    if let Some(group) = &groups.unified {
        match start(Some(group)) {
            Ok((pid, pidfd)) => return Ok(Running::new(pid, pidfd, groups)),
            Err(errno) if groups.unified_limits => return Err(failed(errno)),
            Err(_) => groups.unified = None,
        }
    }
    let (pid, pidfd) = start(None).map_err(failed)?;
    Ok(Running::new(pid, pidfd, groups))
}

/// Starts the child below a keeper, in no namespace of its own. Only a limit needs a group there.
fn start_kept(work: &mut Work<'_>, mut groups: Groups, moved: Moved) -> Result<Running> {
    if !groups.unified_limits {
        groups.unified = None;
    }
    let kept = keeper::start(work, groups.unified.as_ref().map(Group::descriptor))?;
    Ok(Running::kept(kept, groups, moved))
}

fn failure(plan: &Plan, stage: usize, errno: c_int, sandbox: &Sandbox) -> Error {
    let cause = std::io::Error::from_raw_os_error(errno);
    let Some(step) = plan.steps.get(stage) else { return Error::deed("set the sandbox up", cause) };
    if !matches!(step, Step(Deed::Exec { .. })) {
        return Error::SetUp { deed: step.to_string(), cause };
    }
    let program = program_name(sandbox);
    match errno {
        libc::ENOENT | libc::ENOTDIR => Error::ProgramNotFound { searched: !program.contains('/'), program },
        _ => Error::ProgramNotRunnable { program, cause },
    }
}

fn program_name(sandbox: &Sandbox) -> String {
    sandbox.argv.first().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
