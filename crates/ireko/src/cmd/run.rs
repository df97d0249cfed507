//! `ireko run`: a container from an image of the store, with no engine.

mod ports;
mod streams;
mod terminal;
mod tmpfs;

use crate::arguments;
use crate::cli::{Global, Progress, Pull, RunArgs};
use crate::cmd::images::find_for;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::proxies;
use crate::room;
use crate::session::Session;
use crate::settle;
use crate::text;
use ireko_exec::{Confinement, ContainerFiles, DEFAULT_PATH, Snapshotter};
use ireko_layer::{SnapshotStack, TreePath, View};
use ireko_oci::{ContainerConfig, GuestPath, Platform};
use ireko_report::Blame;
use ireko_store::{Image, Store};
use ireko_sys::mount::{Overlay, Upper};
use ireko_sys::sandbox::{self, Identity, Mount, MountSource, Network, RootFs, Running, Sandbox, Stdio};
use ports::Published;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Docker's exit code for a failure of the runner itself.
pub(crate) const RUNNER_FAILED: u8 = 125;

/// Runs the command; the program's exit code is the command's.
pub(crate) fn run(args: &RunArgs, global: &Global, environment: Environment) -> Result<u8, Failure> {
    start(args, global, environment).map_err(|failure| match failure.code {
        Some(_) => failure,
        None => failure.with_code(RUNNER_FAILED),
    })
}

fn start(args: &RunArgs, global: &Global, environment: Environment) -> Result<u8, Failure> {
    if args.detach {
        return Err(Failure::not_yet("`run -d`").hint(
            "let it run beside: `ireko run … &` in a shell, or a unit of the service manager; it ends with this command",
        ));
    }
    if args.tty && args.interactive && !std::io::stdin().is_terminal() {
        return Err(Failure::user("`-it` reads from a terminal, and the input is none")
            .hint("leave out `-t` to feed the program from a pipe or file"));
    }
    let published = args.publish.iter().map(|text| Published::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let network = network(args, &published)?;
    let shm_size = args.shm_size.as_deref().map(|text| text::memory("--shm-size ", text)).transpose()?;
    let limits = args.limits.read()?;
    let hosts = args.add_host.iter().map(|text| arguments::host(text)).collect::<Result<Vec<_>, _>>()?;
    let platform = settle::platform_named(args.platform.as_deref(), &environment)?;
    let progress = if global.verbose { Progress::Plain } else { Progress::Quiet };
    let session = Session::enter(global, environment, progress, false)?;
    let confinement = confinement(&session, args, network)?;
    let limits = crate::limits::prepare(&limits)?;
    let store = session.store()?;
    let image = wanted_image(&session, &store, args, platform)?;
    crate::cmd::transfer::complete(&session, &store, &image)?;
    let config = store.image_config(&image)?.config;
    let view = store.view(&image.diff_ids)?;
    let how = (session.snapshotter(&store)?, confinement);
    let (scratch, root) = room::once_more((&session, &store), || {
        let scratch = store.scratch_dir()?;
        let root = root_of(&store, &image, &view, scratch.path(), how)?;
        Ok((scratch, root))
    })?;
    let mut sandbox = Sandbox::new(root, argv(args, &config)?);
    sandbox.network = network;
    sandbox.limits = limits;
    sandbox.read_only_root = args.read_only;
    sandbox.shm_size = shm_size.unwrap_or(sandbox.shm_size);
    let user = args.user.as_deref().filter(|user| !user.is_empty()).unwrap_or(&config.user);
    let user = ireko_exec::user_in(user, &view).map_err(|error| Failure::user(error.to_string()))?;
    sandbox.hostname = hostname(args, &image)?;
    let own = Own { hostname: &sandbox.hostname, home: &user.home };
    sandbox.cwd = PathBuf::from(workdir(args, &config)?.as_str());
    let resolv_conf = crate::bases::resolv_conf();
    let files = ContainerFiles::write(scratch.path(), &resolv_conf, &sandbox.hostname, &hosts)
        .map_err(|error| Failure::environment("cannot write the container's files").cause(error))?;
    sandbox.mounts = mounts(files.mounts(), args, &config)?;
    let devices = args.devices.ready(&session.environment, &scratch.path().join("devices"))?;
    sandbox.mounts.extend(devices.mounts.iter().cloned());
    sandbox.env = env(args, &config, &own, &session.environment)?;
    sandbox.env.retain(|(name, _)| devices.variables.iter().all(|(own, _)| own != name));
    sandbox.env.extend(devices.variables.iter().cloned());
    let mut groups = user.groups;
    groups.extend(&devices.groups);
    sandbox.stdio = stdio(args, user.uid);
    sandbox.owners = ireko_exec::owners_in(store.written_as().attrs, &view, &scratch.path().join("upper"));
    sandbox.identity = Identity { uid: user.uid, gid: user.gid, groups };
    let listeners = published.iter().map(Published::listen).collect::<Result<Vec<_>, _>>()?;
    // A signal that comes as soon as the program speaks must find its way already.
    let signals = terminal::listen()?;
    let running = sandbox::spawn(&sandbox).map_err(|error| {
        // That a program cannot be started may be for its platform, which is the better word then.
        let foreign = error
            .exit_code()
            .and_then(|_| crate::emulation::check_image(&image.platform, scratch.path(), confinement).err());
        foreign.unwrap_or_else(|| spawn_failure(&error))
    })?;
    drop(sandbox);
    ports::forward(listeners, running.pid())?;
    terminal::attend(running, signals, args.interactive)
}

/// How the container is kept apart from this machine. Refuses what one without namespaces cannot have.
fn confinement(session: &Session, args: &RunArgs, network: Network) -> Result<Confinement, Failure> {
    let confinement = session.confinement()?;
    let asked = [
        ("-p", !args.publish.is_empty()),
        ("--network", network != Network::Host),
        ("-v", args.volume.iter().any(|volume| volume.contains(':'))),
        ("--read-only", args.read_only),
        ("--hostname", args.hostname.is_some()),
        ("--device", !args.devices.device.is_empty()),
    ];
    let lacks = |&&(_, asked): &&(&str, bool)| asked && confinement != Confinement::Namespaces;
    let Some((flag, _)) = asked.iter().find(lacks) else { return Ok(confinement) };
    Err(Failure::environment(format!("`{flag}` needs a namespace, and there are none at level `none`"))
        .hint("leave it out, or see what `ireko doctor` says of the better levels"))
}

/// The image to start, once the registry was asked for it where that is wanted.
fn wanted_image(
    session: &Session,
    store: &Arc<Store>,
    args: &RunArgs,
    platform: Option<(Platform, String)>,
) -> Result<Image, Failure> {
    let fetched = || {
        let platform = platform.as_ref().map_or_else(Platform::host, |(platform, _)| platform.clone());
        crate::cmd::transfer::fetch(session, args.image(), &platform)
    };
    if args.pull == Some(Pull::Always) {
        fetched()?;
    }
    match image_of(store, args, platform.clone()) {
        Err(_) if args.pull == Some(Pull::Missing) => {
            fetched()?;
            image_of(store, args, platform)
        }
        found => found,
    }
}

/// The image to start: of one for several platforms the one that was asked for, else this machine's. A variable that
/// names a platform only chooses; a flag must be met.
fn image_of(store: &Store, args: &RunArgs, platform: Option<(Platform, String)>) -> Result<Image, Failure> {
    match platform {
        Some((platform, _)) => match find_for(store, args.image(), Some(&platform)) {
            Err(_) if args.platform.is_none() => find_for(store, args.image(), None),
            found => found,
        },
        None => find_for(store, args.image(), args.platform.as_ref().map(|_| Platform::host()).as_ref()),
    }
}

fn network(args: &RunArgs, published: &[Published]) -> Result<Network, Failure> {
    match args.network.as_deref() {
        None if published.is_empty() => Ok(Network::Host),
        None | Some("private" | "bridge") => Ok(Network::Private),
        Some("none") if published.is_empty() => Ok(Network::None),
        Some("host") if published.is_empty() => Ok(Network::Host),
        Some("host") => Err(Failure::user(
            "`-p` with `--network=host` has no meaning: the container's ports are the host's",
        )
        .hint("leave out one of the two")),
        Some("none") => Err(Failure::user("`-p` and `--network=none` contradict each other")),
        Some(other) => {
            Err(Failure::user(format!("`--network {other}` is unknown")).hint("use host, none or private"))
        }
    }
}

/// The image's layers with a place for the container's own writes, or a copy of them; thrown away at its end.
fn root_of(
    store: &Arc<Store>,
    image: &Image,
    view: &View,
    scratch: &Path,
    (snapshotter, confinement): (Snapshotter, Confinement),
) -> Result<RootFs, Failure> {
    let mut lowers = Vec::new();
    for (at, diff) in image.diff_ids.iter().enumerate() {
        lowers.push(store.ensure_snapshot(diff, &image.diff_ids[..at])?);
    }
    let (dir, work) = (scratch.join("upper"), scratch.join("work"));
    let own =
        |error: std::io::Error| Failure::environment("cannot make the container's own layer").cause(error);
    std::fs::create_dir(&dir).map_err(own)?;
    let attrs = store.written_as().attrs;
    let root = match snapshotter {
        Snapshotter::Overlay => {
            std::fs::create_dir(&work).map_err(own)?;
            let upper = Upper { dir: dir.clone(), work };
            RootFs::Overlay(Overlay::of_stack(&lowers, Some(upper), attrs.is_user()))
        }
        Snapshotter::Copy => {
            let stack = SnapshotStack { view: view.clone(), dirs: lowers };
            stack.lay_out(&dir, attrs).map_err(|error| Failure::of(error.blame(), &error))?;
            confinement.root(dir.clone(), scratch).map_err(own)?
        }
    };
    let (mode, uid, gid) = view
        .entry(&TreePath::root())
        .map_or((0o755, 0, 0), |root| (root.meta.mode, root.meta.uid, root.meta.gid));
    attrs.give(&dir, uid, gid).map_err(own)?;
    std::fs::set_permissions(&dir, std::fs::Permissions::from_mode(mode)).map_err(own)?;
    Ok(root)
}

/// Entrypoint and arguments by Docker's rules: an entrypoint given by flag drops the image's CMD.
fn argv(args: &RunArgs, config: &ContainerConfig) -> Result<Vec<OsString>, Failure> {
    let mut argv: Vec<String> = match &args.entrypoint {
        Some(program) if program.is_empty() => Vec::new(),
        Some(program) => vec![program.clone()],
        // One empty word stands for none, as with Docker.
        None if config.entrypoint == [""] => Vec::new(),
        None => config.entrypoint.clone(),
    };
    match (args.arguments(), &args.entrypoint) {
        ([], None) => argv.extend(config.cmd.iter().cloned()),
        ([], Some(_)) => {}
        (given, _) => argv.extend(given.iter().cloned()),
    }
    if argv.first().is_some_and(String::is_empty) {
        return Err(Failure::user("the program to start has no name").with_code(127));
    }
    if argv.is_empty() {
        return Err(Failure::user(format!("image `{}` says no program to start", args.image()))
            .hint("give one after the image's name"));
    }
    Ok(argv.into_iter().map(OsString::from).collect())
}

/// What a container's variables say of itself.
struct Own<'a> {
    hostname: &'a str,
    home: &'a str,
}

/// The container's variables, in Docker's order: its own, those that were typed, the image's.
fn env(
    args: &RunArgs,
    config: &ContainerConfig,
    own: &Own<'_>,
    environment: &Environment,
) -> Result<Vec<(OsString, OsString)>, Failure> {
    let mut all: Vec<(String, String)> = Vec::new();
    set(&mut all, "PATH", DEFAULT_PATH);
    set(&mut all, "HOSTNAME", own.hostname);
    if args.tty {
        set(&mut all, "TERM", "xterm");
    }
    let typed = typed_env(args, environment)?;
    for (name, value) in &typed {
        match value {
            Some(value) => set(&mut all, name, value),
            None => all.retain(|(known, _)| known != name),
        }
    }
    for (name, value) in config.env.iter().filter_map(|line| line.split_once('=')) {
        if !typed.iter().any(|(known, _)| known == name) {
            set(&mut all, name, value);
        }
    }
    // As runc: an empty home is as good as none.
    if !all.iter().any(|(name, value)| name == "HOME" && !value.is_empty()) {
        set(&mut all, "HOME", own.home);
    }
    Ok(all.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
}

/// The variables of files and flags. One that has no value here either is to be none in the container, if a flag
/// names it; a file may name it for nothing.
fn typed_env(args: &RunArgs, environment: &Environment) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut typed = Vec::new();
    for path in &args.env_file {
        let text = std::fs::read_to_string(path)
            .map_err(|error| Failure::user(format!("cannot read `{}`", path.display())).cause(error))?;
        let lines = text.lines().map(str::trim_start);
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        typed.extend(lines.map(|line| variable(line, environment)).filter(|(_, value)| value.is_some()));
    }
    typed.extend(args.env.iter().map(|text| variable(text, environment)));
    for (name, value) in proxies::for_steps(environment, false)? {
        if !typed.iter().any(|(given, _)| *given == name) {
            typed.push((name, Some(value)));
        }
    }
    match typed.iter().any(|(name, _)| name.is_empty()) {
        true => Err(Failure::user("a variable has no name").hint("variables look like -e NAME=VALUE")),
        false => Ok(typed),
    }
}

/// `NAME=value`, or `NAME` with the value it has outside.
fn variable(text: &str, environment: &Environment) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), environment.raw(text).map(str::to_owned)),
    }
}

/// A later value takes the place of an earlier one.
fn set(all: &mut Vec<(String, String)>, name: &str, value: &str) {
    match all.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => all.push((name.to_owned(), value.to_owned())),
    }
}

fn workdir(args: &RunArgs, config: &ContainerConfig) -> Result<GuestPath, Failure> {
    let typed = args.workdir.as_ref().filter(|dir| !dir.is_empty());
    match (typed, config.working_dir.as_str()) {
        (Some(dir), _) => GuestPath::new(dir)
            .map_err(|error| Failure::user(format!("`-w {dir}` is no absolute path")).cause(error)),
        (None, "") => Ok(GuestPath::root()),
        (None, dir) => GuestPath::root().join(dir).map_err(|error| {
            Failure::user(format!("the image's working directory `{dir}` is no path")).cause(error)
        }),
    }
}

/// What was given as such, else the container's name where it can be one, else part of the image's id.
fn hostname(args: &RunArgs, image: &Image) -> Result<String, Failure> {
    let fits = |name: &&String| {
        name.len() <= 63 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
    };
    match args.hostname.as_ref().filter(|name| !name.is_empty()) {
        Some(name) if fits(&name) => Ok(name.clone()),
        Some(name) => Err(Failure::user(format!("`--hostname {name}` is no host name"))
            .hint("up to 63 letters, digits, `-`, `.` and `_`")),
        None => {
            let name = args.name.as_ref().filter(|name| !name.is_empty()).filter(fits);
            Ok(name.map_or_else(|| image.id.short().to_owned(), String::clone))
        }
    }
}

/// All that is mounted, parents before what is mounted inside them: the container's own files are seen in a volume that
/// holds their directory, and a volume in place of one of them hides it.
fn mounts(mut files: Vec<Mount>, args: &RunArgs, config: &ContainerConfig) -> Result<Vec<Mount>, Failure> {
    let volumes = volumes(args, config)?;
    files.retain(|file| volumes.iter().all(|volume| has_room(volume, &file.target)));
    // As Docker: these are as writable as what is around them.
    files.iter_mut().for_each(|mount| mount.read_only = args.read_only);
    files.extend(volumes);
    files.sort_by(|a, b| a.target.cmp(&b.target));
    Ok(files)
}

/// Whether a file can be mounted there, as far as this volume is concerned: nothing is made in one that is read-only.
fn has_room(volume: &Mount, file: &Path) -> bool {
    let Ok(inside) = file.strip_prefix(&volume.target) else { return true };
    match &volume.source {
        MountSource::Bind(host) if volume.read_only => host.join(inside).exists(),
        _ => !volume.read_only,
    }
}

/// The volumes: the host's paths, memory, and the image's, which are there and writable whatever the root is.
fn volumes(args: &RunArgs, config: &ContainerConfig) -> Result<Vec<Mount>, Failure> {
    let mut mounts = host_paths(args)?;
    for text in &args.tmpfs {
        mounts.push(tmpfs::parse(text)?);
    }
    for (at, mount) in mounts.iter().enumerate() {
        if mounts[..at].iter().any(|other| other.target == mount.target) {
            return Err(Failure::user(format!("two mounts at `{}`", mount.target.display()))
                .hint("only the last would be seen: leave one out"));
        }
    }
    for text in &config.volumes {
        let inside = GuestPath::root()
            .join(text)
            .map_err(|error| Failure::user(format!("the image's volume `{text}` is no path")).cause(error))?;
        if !mounts.iter().any(|mount| mount.target == Path::new(inside.as_str())) {
            mounts.push(Mount::new(MountSource::InPlace, inside.as_str()));
        }
    }
    Ok(mounts)
}

fn host_paths(args: &RunArgs) -> Result<Vec<Mount>, Failure> {
    let mut mounts = Vec::new();
    for text in &args.volume {
        let wrong = || Failure::user(format!("`-v {text}` is not of the form host:inside[:ro]"));
        let parts: Vec<&str> = text.split(':').collect();
        let (host, inside, options) = match parts.as_slice() {
            [inside] => ("", *inside, ""),
            [host, inside] => (*host, *inside, ""),
            [host, inside, options] => (*host, *inside, *options),
            _ => return Err(wrong()),
        };
        let inside = GuestPath::new(inside).map_err(|error| wrong().cause(error))?;
        if inside == GuestPath::root() {
            return Err(Failure::user(format!("`-v {text}` would hide the whole image"))
                .hint("mount it at another place than `/`"));
        }
        if parts.len() == 1 {
            mounts.push(Mount::new(MountSource::InPlace, inside.as_str()));
            continue;
        }
        let host = host_path(host, &inside, &wrong)?;
        let mount = Mount::bind(host, inside.as_str());
        let mut read_only = false;
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option {
                "ro" | "readonly" => read_only = true,
                "rw" | "z" | "Z" | "cached" | "delegated" | "consistent" => {}
                other => return Err(Failure::not_yet(format!("`{other}` in `-v {text}`"))),
            }
        }
        mounts.push(if read_only { mount.read_only() } else { mount });
    }
    Ok(mounts)
}

/// The host's side of a `-v`, made where it is missing.
fn host_path(text: &str, inside: &GuestPath, wrong: &dyn Fn() -> Failure) -> Result<PathBuf, Failure> {
    if !text.starts_with('/') && !text.starts_with('.') {
        return Err(Failure::not_yet(format!("the named volume `{text}`"))
            .hint(format!("keep the files in a directory: `-v ./{text}:{inside}`")));
    }
    let host = std::path::absolute(text).map_err(|error| wrong().cause(error))?;
    if !host.exists() {
        // Docker makes the directory; a typing mistake then hides behind an empty mount.
        std::fs::create_dir_all(&host)
            .map_err(|error| Failure::user(format!("cannot make `{}`", host.display())).cause(error))?;
    }
    Ok(host)
}

fn stdio(args: &RunArgs, user: u32) -> Stdio {
    if args.tty {
        let (rows, columns) = terminal::size();
        return Stdio::Terminal { rows, columns };
    }
    streams::of(args, user)
}

fn spawn_failure(error: &ireko_sys::Error) -> Failure {
    let failure = Failure::of(Blame::Environment, error).hinted(error.hint());
    match error.exit_code() {
        Some(code) => failure.with_code(code),
        None => failure,
    }
}

/// What became of a container, as an exit code.
pub(super) fn exit_code(running: &mut Running) -> Result<u8, Failure> {
    let exit = running.wait().map_err(|error| Failure::of(Blame::Environment, &error))?;
    if running.out_of_memory() {
        crate::eprint("ireko: the kernel killed a process of the container for using more than --memory\n");
    }
    Ok(u8::try_from(exit.code() & 0xff).unwrap_or(RUNNER_FAILED))
}
