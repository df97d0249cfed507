//! `ireko pack`: an image of files that are there already, without a Dockerfile.

mod debs;
mod declared;
mod lock;
mod values;

use crate::arguments::{self, Output};
use crate::cli::{Global, OutputArgs, PackArgs, Scripts};
use crate::cmd::build;
use crate::cmd::images::find;
use crate::debian_base;
use crate::deliver;
use crate::engines;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::places;
use crate::registries;
use crate::room;
use crate::sbom;
use crate::session::Session;
use crate::settle;
use crate::text::{self, bytes};
use crate::wishes;
use ireko_exec::Cancel;
use ireko_image::{Assembled, Images, PullPolicy};
use ireko_layer::Time;
use ireko_oci::{ContainerConfig, History, ImageConfig, Platform, Timestamp};
use ireko_pack::{Base, ImageRoot, Packed, Request, Source, With};
use ireko_plan::values::Wrong;
use ireko_registry::Registry;
use ireko_report::{Diagnostic, Event, Sink};
use ireko_slim::{Dir, Help, Machine};
use ireko_store::Store;
use lock::Lock;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many of the largest files are told.
const LARGEST: usize = 5;

/// Runs the command.
pub(crate) fn run(args: &PackArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let args = &declared::joined(args)?;
    values::check(args)?;
    let (tags, outputs) = wishes::goals(&args.out.streamed(), false)?;
    let shares = deliver::shares(&[], &tags, &outputs)?;
    let bills = sbom::read("--sbom", &args.sbom.sbom)?;
    sbom::writable(&bills, (&args.out, &outputs, &shares))?;
    if let Some(said) = &args.lock {
        places::check("--lock", &lock::place(args, said.as_ref()), places::Written::Whole)?;
    }
    let sources = args.paths.iter().map(|text| source(text)).collect::<Result<Vec<_>, _>>()?;
    sensible(args)?;
    let start = Start::read(args)?;
    let time = epoch(&environment)?;
    let progress = build::progress(&args.out, &environment)?;
    let environment = engines::chosen(environment, &outputs)?;
    let session = Session::enter(global, environment, progress, false)?;
    let cancel = crate::signals::cancel_on_signals()?;
    let store = session.store()?;
    let images = images(&args.out, &session, &store, &outputs)?;
    let aborted = Arc::clone(&images);
    let _stopping = cancel.on_ask(move || aborted.abort());
    let asked = lock::Asked::new(args, &platform_of(args, &session)?.to_string());
    let locked = args.locked.as_ref().map(|said| Lock::read(&lock::place(args, said.as_ref()), &asked));
    let locked = locked.transpose()?;
    let from = locked.as_ref().map_or_else(|| debs::From::Archive(asked.clone()), debs::From::Lock);
    let with =
        debian_base::With { session: &session, store: &store, images: &images, cancel: &cancel, steps: 0 };
    let (ground, packed, image, delivered) = room::once_more((&session, &store), || {
        let ground = ground(args, (&from, time), &with)?;
        let start = start.settled(&sources, ground.gathered());
        let packed = packed(args, &ground, (&sources, &start, time))?;
        locked.as_ref().map_or(Ok(()), |lock| lock.check_files(&packed))?;
        named_user(args, ground.gathered())?;
        // What was included by hand may be just that.
        let is_whole = !args.include.is_empty() || !args.deb.is_empty() && !args.minimal;
        tell(&packed, is_whole, &session);
        starts(&start, &sources, (&packed, &session))?;
        let suite = ground.gathered().and_then(|gathered| gathered.lock.suite.as_ref());
        let config = config(args, &start, (&packed, suite), &session)?;
        let image = [written(&store, &packed, &config, time, &cancel)?];
        let delivered = deliver::deliver(&images, &image, &shares, &cancel, &*session.sink())?;
        Ok((ground, packed, image, delivered))
    })?;
    if let Some(said) = &args.lock {
        let none = || Lock::new(asked.clone(), None, Vec::new());
        let mut written = ground.gathered().map_or_else(none, |gathered| gathered.lock.clone());
        written.take_files(&packed)?;
        written.write(&lock::place(args, said.as_ref()))?;
    }
    session.screen.close();
    if !bills.is_empty() {
        let base = sbom::Base { root: ground.root(), dir: args.root_dir() };
        let mut bill = sbom::of_packed(&store, &sbom::Made::new(&image[0], &shares), (&packed, &base))?;
        if let Some(gathered) = ground.gathered() {
            bill.fetched(&gathered.origins);
            bill.distribution =
                bill.distribution.or_else(|| gathered.lock.suite.as_ref().map(lock::Suite::distribution));
        }
        sbom::write("--sbom", &bills, &bill)?;
    }
    deliver::report(&args.out, &shares, &delivered, &[])?;
    print_id(&args.out, &outputs, &delivered);
    Ok(())
}

/// Refuses what has no meaning together.
fn sensible(args: &PackArgs) -> Result<(), Failure> {
    if args.deb.is_empty() {
        let of_packages = [
            ("--minimal", args.minimal),
            ("--docs", args.docs),
            ("--recommends", args.recommends),
            ("--suite", args.suite.is_some()),
            ("--scripts", args.scripts.is_some()),
            ("--exclude", !args.exclude.is_empty()),
            ("--platform", args.platform.is_some()),
            ("--mirror", args.archive.mirror.is_some()),
            ("--snapshot", args.archive.snapshot.is_some()),
            ("--components", !args.archive.components.is_empty()),
            ("--signed-by", !args.archive.signed_by.is_empty()),
            ("--ca", !args.archive.ca.is_empty()),
        ];
        if let Some((flag, _)) = of_packages.iter().find(|(_, is_given)| *is_given) {
            return Err(Failure::user(format!("`{flag}` says how packages are packed, and none is named"))
                .hint("name them: `--deb hello`"));
        }
        if args.paths.is_empty() && args.include.is_empty() {
            return Err(Failure::user("nothing is named that could be packed")
                .hint("give files or directories, or packages: `ireko pack ./server -t server`, `ireko pack --deb hello -t hello`"));
        }
    }
    let bases =
        [("--deb", !args.deb.is_empty()), ("--from", args.from.is_some()), ("--root", args.root.is_some())];
    let bases: Vec<&str> = bases.iter().filter(|(_, is_given)| *is_given).map(|(flag, _)| *flag).collect();
    if let [one, other, ..] = bases[..] {
        return Err(Failure::user(format!("`{one}` and `{other}` both say what the image is made of"))
            .hint("leave out one of the two, also in the file of -f"));
    }
    if args.minimal && args.scripts == Some(Scripts::Always) {
        return Err(Failure::user(
            "`--minimal` takes single files of packages, and `--scripts always` needs all",
        )
        .hint("leave out one of the two"));
    }
    Ok(())
}

/// The platform of packages.
fn platform_of(args: &PackArgs, session: &Session) -> Result<Platform, Failure> {
    let named = settle::platform_named(args.platform.as_deref(), &session.environment)?;
    Ok(named.map_or_else(Platform::host, |(platform, _)| platform))
}

/// The image's id alone, where nothing else was asked for and standard output is free.
pub(crate) fn print_id(args: &OutputArgs, outputs: &[Output], delivered: &[deliver::Delivered]) {
    let to_stdout = outputs.iter().any(Output::is_stdout);
    if let Some(id) = delivered.last().and_then(|last| last.id).filter(|_| args.quiet && !to_stdout) {
        crate::print(&format!("{id}\n"));
    }
}

impl OutputArgs {
    /// The same where `-o -` means an archive for `docker load`: there is no build whose files it could mean.
    pub(crate) fn streamed(&self) -> Self {
        let mut args = self.clone();
        for output in args.output.iter_mut().filter(|output| *output == "-") {
            "type=docker,dest=-".clone_into(output);
        }
        args
    }
}

/// `PATH` or `PATH:/PLACE`; a file lies in a place that ends with a slash, as COPY has it.
fn source(text: &str) -> Result<Source, Failure> {
    let name = |host: &Path| {
        let path = std::path::absolute(host).ok();
        path.as_deref().and_then(Path::file_name).and_then(|name| name.to_str()).map(str::to_owned)
    };
    if let Some((host, place)) = text.rsplit_once(':').filter(|(_, place)| place.starts_with('/')) {
        let host = PathBuf::from(host);
        let place = match name(&host).filter(|_| place.ends_with('/') && !host.is_dir()) {
            Some(name) => format!("{place}{name}"),
            None => place.to_owned(),
        };
        return Ok(Source { host, place });
    }
    let host = PathBuf::from(text);
    match name(&host) {
        Some(name) => Ok(Source { place: format!("/{name}"), host }),
        None => Err(Failure::user(format!("`{text}` has no name to lie under"))
            .hint(format!("say where it is to lie: `{text}:/PLACE`"))),
    }
}

/// How the image starts, as it was typed.
#[derive(Clone, Debug)]
struct Start {
    entrypoint: Option<Vec<String>>,
    cmd: Vec<String>,
    user: Option<(u32, u32)>,
}

impl Start {
    fn read(args: &PackArgs) -> Result<Self, Failure> {
        Ok(Self {
            entrypoint: args.entrypoint.as_deref().map(|text| words("--entrypoint", text)).transpose()?,
            cmd: args.cmd.as_deref().map(|text| words("--cmd", text)).transpose()?.unwrap_or_default(),
            user: numbers_of(args)?,
        })
    }

    /// The program that is started, where it was said. Of one file that is packed, `--cmd` is the arguments.
    fn program(&self, sources: &[Source]) -> Option<&str> {
        match &self.entrypoint {
            Some(words) if !words.is_empty() => words.first().map(String::as_str),
            None if self.has_arguments(sources) => None,
            _ => self.cmd.first().map(String::as_str),
        }
    }

    /// Without a word on it, the one program that the named packages bring is what starts.
    fn settled(&self, sources: &[Source], gathered: Option<&debs::Gathered>) -> Self {
        let mut start = self.clone();
        if let Some(gathered) = gathered
            && self.entrypoint.is_none()
            && self.cmd.is_empty()
            && sources.is_empty()
        {
            let programs = gathered.asked.iter().flat_map(|name| gathered.packages.programs(name));
            if let [one] = &programs.collect::<Vec<_>>()[..] {
                start.cmd.push(one.clone());
            }
        }
        start
    }

    fn has_arguments(&self, sources: &[Source]) -> bool {
        let is_path = self.cmd.first().is_some_and(|word| word.starts_with('/'));
        !is_path && matches!(sources, [one] if ireko_pack::is_program_here(&one.host))
    }
}

/// A JSON array of words, or words with quotes as in a shell; there is no shell that would read more into them.
fn words(flag: &str, text: &str) -> Result<Vec<String>, Failure> {
    if text.trim_start().starts_with('[') {
        return serde_json::from_str(text).map_err(|error| {
            Failure::user(format!("`{flag} {text}` is no JSON array of words")).cause(error)
        });
    }
    text::words(text).ok_or_else(|| {
        Failure::user(format!("a quote of `{flag} {text}` is not closed"))
            .hint("close it, or give a JSON array")
    })
}

/// The numbers of a user and a group; none where scripts of packages may make the names.
fn user(text: &str, may_be_named: bool) -> Result<Option<(u32, u32)>, Wrong> {
    let (user, group) = text.split_once(':').unwrap_or((text, text));
    let wrong = |message: String, hint| Err(Wrong { message, hint: Some(hint) });
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    for part in [user, group] {
        if part.is_empty() || part.contains(':') {
            return wrong(format!("`{text}` is no user"), "`65532`, or `65532:65532` with a group");
        }
        // Docker and runc take no larger ones.
        if is_number(part) && part.parse::<i32>().is_err() {
            return wrong(format!("`{part}` is larger than a user can be"), "numbers go to 2147483647");
        }
    }
    match (user.parse(), group.parse()) {
        (Ok(user), Ok(group)) => Ok(Some((user, group))),
        _ if may_be_named => Ok(None),
        _ => wrong(
            format!("the user `{text}` is no number"),
            "an image without a list of users knows numbers only: `65532`",
        ),
    }
}

fn numbers_of(args: &PackArgs) -> Result<Option<(u32, u32)>, Failure> {
    let Some(text) = &args.user else { return Ok(None) };
    user(text, !args.deb.is_empty()).map_err(|wrong| values::failure(&format!("`--user {text}`"), wrong))
}

/// Refuses a user by a name that nobody in the image has.
fn named_user(args: &PackArgs, gathered: Option<&debs::Gathered>) -> Result<(), Failure> {
    let (Some(text), Some(gathered)) = (&args.user, gathered) else { return Ok(()) };
    for (name, (list, what)) in text.split(':').zip([("/etc/passwd", "user"), ("/etc/group", "group")]) {
        let is_known = name.parse::<u32>().is_ok() || gathered.lists(list, name, args.minimal)?;
        if !is_known {
            return Err(Failure::user(format!("`--user {text}`: the image has no {what} `{name}`")).hint(
                "a package's scripts may make it: `--scripts always`; or say it by number: `--user 65532`",
            ));
        }
    }
    Ok(())
}

/// The time of all files: that of `SOURCE_DATE_EPOCH`, or the first second there is.
fn epoch(environment: &Environment) -> Result<Time, Failure> {
    let Some(text) = environment.get("SOURCE_DATE_EPOCH") else { return Ok(Time::default()) };
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0);
    let wrong = || Failure::user(format!("`SOURCE_DATE_EPOCH={text}` is no number of seconds since 1970"));
    Ok(Time::new(seconds.ok_or_else(wrong)?, 0))
}

/// What brings the image to its destinations.
pub(crate) fn images(
    args: &OutputArgs,
    session: &Session,
    store: &Arc<Store>,
    outputs: &[Output],
) -> Result<Arc<Images>, Failure> {
    let named: Vec<_> = outputs.iter().flat_map(|output| &output.names).cloned().collect();
    let options = registries::options(&session.environment, &args.registry, &named)?;
    let registry = Arc::new(Registry::new(options));
    let images = Images::new(Arc::clone(store), registry, session.sink(), PullPolicy::IfMissing);
    Ok(Arc::new(images.with_engines(engines::engines(session))))
}

impl PackArgs {
    /// The directory of this machine that everything else comes from; none where that is an image.
    fn root_dir(&self) -> Option<&Path> {
        let is_here = self.from.is_none() && self.deb.is_empty();
        is_here.then(|| self.root.as_deref().unwrap_or(Path::new("/")))
    }
}

/// Where everything comes from that is not named itself.
enum Ground {
    Root(Box<dyn Base>),
    Packages(Box<debs::Gathered>),
}

impl Ground {
    fn root(&self) -> &dyn Base {
        match self {
            Self::Root(root) => &**root,
            Self::Packages(gathered) => &gathered.packages,
        }
    }

    fn gathered(&self) -> Option<&debs::Gathered> {
        match self {
            Self::Root(_) => None,
            Self::Packages(gathered) => Some(gathered),
        }
    }
}

fn ground(
    args: &PackArgs,
    (from, time): (&debs::From<'_>, Time),
    with: &debian_base::With<'_>,
) -> Result<Ground, Failure> {
    if !args.deb.is_empty() {
        return Ok(Ground::Packages(Box::new(debs::gather(args, (from, time), with)?)));
    }
    let Some(name) = &args.from else {
        return Ok(Ground::Root(Box::new(Dir::new(args.root_dir().unwrap_or(Path::new("/"))))));
    };
    let image = find(with.store, name)?;
    crate::cmd::transfer::complete(with.session, with.store, &image)?;
    Ok(Ground::Root(Box::new(ImageRoot::new(with.store, &image.diff_ids)?)))
}

/// What the image consists of.
fn packed(
    args: &PackArgs,
    ground: &Ground,
    (sources, start, time): (&[Source], &Start, Time),
) -> Result<Packed, Failure> {
    let program = start.program(sources).map(str::to_owned);
    if args.minimal && program.is_none() && sources.is_empty() && args.include.is_empty() {
        return Err(Failure::user("`--minimal` takes what a program needs, and it is not known which")
            .hint("say how the image starts: `--cmd /usr/bin/hello`, or name programs with `--include`"));
    }
    let mut request = Request::new(ground.root(), sources.to_vec());
    request.whole = !args.minimal;
    request.with = args.with.iter().map(|text| with(text)).collect::<Result<_, _>>()?;
    request.includes.clone_from(&args.include);
    request.system =
        ground.gathered().and_then(|gathered| Some(gathered.lock.suite.as_ref()?.distribution()));
    request.options.library_path.clone_from(&args.library_path);
    request.user = start.user;
    request.max_layers = args.max_layers.unwrap_or(request.max_layers);
    request.time = time;
    request.programs.extend(program);
    Ok(ireko_pack::pack(&request)?)
}

fn with(text: &str) -> Result<With, Failure> {
    text.parse().map_err(|()| {
        let known: Vec<&str> = With::ALL.into_iter().map(With::name).collect();
        Failure::user(format!("`--with {text}` is unknown")).hint(format!("there are {}", known.join(", ")))
    })
}

/// Says what is largest and who wants it, and what may be missing.
fn tell(packed: &Packed, is_whole: bool, session: &Session) {
    let files = packed.pieces.iter().flat_map(|piece| piece.files());
    let mut files: Vec<_> = files.filter(|(_, size)| *size > 0).collect();
    files.sort_by(|one, other| other.1.cmp(&one.1).then_with(|| one.0.cmp(&other.0)));
    let all: u64 = files.iter().map(|(_, size)| size).sum();
    let rows = files.iter().take(LARGEST).map(|(path, size)| {
        let wanted = packed.closure.files.get(path.as_str()).and_then(|file| file.wanted_by.as_deref());
        let wanted = wanted.map(|by| format!(", wanted by {by}")).unwrap_or_default();
        format!("\n  {:>8} {}", bytes(*size), format!("{path}{wanted}").replace('\n', "?"))
    });
    let count = files.len();
    let head =
        format!("packed {count} files, {}, in {} layers; the largest:", bytes(all), packed.pieces.len());
    session.screen.note(&rows.fold(head, |text, row| text + &row));
    for problem in &packed.problems {
        warn(session, format!("a program of a directory would not start: {problem}"));
    }
    for (path, _) in packed.closure.files.iter().filter(|_| !is_whole) {
        if let Some(modules) = modules(path) {
            warn(
                session,
                format!(
                    "`{path}` reads modules that are not seen here: `--include` their directory ({modules}), or pack its package whole"
                ),
            );
        }
    }
    for (help, path) in &packed.lacking {
        let what = match (help, With::for_help(*help)) {
            (_, Some(with)) => format!("`--with {}` brings what it reads for that", with.name()),
            (Help::CharacterSets, None) => {
                "UTF-8 and ASCII are built in; others are files of gconv".to_owned()
            }
            (_, None) => "what they are is not seen here: name them with `--include`".to_owned(),
        };
        warn(session, format!("`{path}` {}: {what}", help.deed()));
    }
}

/// Tells of an image that does not say how it starts, and refuses one whose only file gets arguments and is no program.
fn starts(start: &Start, sources: &[Source], (packed, session): (&Packed, &Session)) -> Result<(), Failure> {
    let says = start.program(sources).is_some() || !packed.programs.is_empty();
    // Nobody starts a shared object, and its usual mode says so.
    let is_meant = |error: &&ireko_pack::Error| !matches!(error, ireko_pack::Error::Mode { path, .. } if path.contains(".so"));
    let Some(error) = packed.idle.iter().find(is_meant).filter(|_| !says) else { return Ok(()) };
    if start.has_arguments(sources) && !start.cmd.is_empty() {
        return Err(Failure::of(error.blame(), error).hinted(error.hint()));
    }
    let how = "the image does not say how it starts (`--entrypoint`, `--cmd`)";
    warn(session, format!("{error}: {how}"));
    Ok(())
}

/// Where an interpreter has the modules that its programs cannot do without.
fn modules(path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let version = |begin: &str| {
        let rest = name.strip_prefix(begin)?;
        rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.').then_some(())
    };
    match name {
        _ if version("python").is_some() => Some("/usr/lib/python3.…"),
        _ if version("perl").is_some() => Some("/usr/share/perl and its like"),
        _ if version("ruby").is_some() => Some("/usr/lib/ruby"),
        _ => None,
    }
}

fn warn(session: &Session, text: String) {
    session.screen.emit(Event::Warning { diagnostic: Diagnostic::warning("pack", text) });
}

/// The image's config: what was typed, and the file that was named as its program.
fn config(
    args: &PackArgs,
    start: &Start,
    (packed, suite): (&Packed, Option<&lock::Suite>),
    session: &Session,
) -> Result<ImageConfig, Failure> {
    let entrypoint = match (&start.entrypoint, packed.programs.as_slice()) {
        (Some(words), _) => words.clone(),
        (None, [program]) if start.cmd.is_empty() || !start.cmd[0].starts_with('/') => vec![program.clone()],
        _ => Vec::new(),
    };
    let mut container = ContainerConfig {
        entrypoint,
        cmd: start.cmd.clone(),
        user: args.user.clone().unwrap_or_default(),
        working_dir: args.workdir.clone().unwrap_or_default(),
        stop_signal: args.stop_signal.clone().unwrap_or_default(),
        volumes: args.volume.iter().cloned().collect::<BTreeSet<_>>(),
        labels: suite.map(|suite| (debian_base::SUITE.to_owned(), suite.name())).into_iter().collect(),
        ..ContainerConfig::default()
    };
    container.labels.extend(args.out.label.iter().map(|text| arguments::label(text)));
    container.env.push(format!("PATH={}", ireko_exec::DEFAULT_PATH));
    if !args.library_path.is_empty() {
        container.env.push(format!("LD_LIBRARY_PATH={}", args.library_path.join(":")));
    }
    for (name, value) in args.env.iter().map(|text| arguments::build_arg(text, &session.environment)) {
        container.env.retain(|line| line.split('=').next() != Some(&name));
        container.env.extend(value.map(|value| format!("{name}={value}")));
    }
    for port in &args.expose {
        let ports = ireko_plan::values::ports(port).map_err(|wrong| Failure::user(wrong.message))?;
        container.exposed_ports.extend(ports);
    }
    let machine = match packed.closure.machine {
        _ if !args.deb.is_empty() => platform_of(args, session)?,
        Some(machine) => platform(machine),
        None => Platform::host(),
    };
    let Platform { os, architecture, variant, .. } = machine;
    Ok(ImageConfig { config: container, os, architecture, variant, ..ImageConfig::default() })
}

/// What a machine is called in an image.
fn platform(machine: Machine) -> Platform {
    let name = match machine.name() {
        "x86_64" => "linux/amd64",
        "i386" => "linux/386",
        "aarch64" => "linux/arm64",
        "arm" => "linux/arm/v7",
        "powerpc64le" => "linux/ppc64le",
        "s390x" => "linux/s390x",
        "riscv64" => "linux/riscv64",
        "loongarch64" => "linux/loong64",
        _ => return Platform::host(),
    };
    name.parse().unwrap_or_else(|_| Platform::host())
}

/// Makes the layers and the image.
fn written(
    store: &Store,
    packed: &Packed,
    config: &ImageConfig,
    time: Time,
    cancel: &Cancel,
) -> Result<Assembled, Failure> {
    let mut config = config.clone();
    let mut layers = Vec::new();
    for piece in &packed.pieces {
        if cancel.is_asked() {
            return Err(Failure::interrupted());
        }
        layers.push((ireko_pack::write(store, piece)?, None));
        let created_by = format!("ireko pack: {}", piece.title);
        config.history.push(History { created_by, ..History::default() });
    }
    Ok(ireko_image::assemble(config, &layers, Some(Timestamp::from_unix(time.secs, 0))))
}
