//! `ireko build`: read, parse, settle, solve, assemble, export.

use crate::agents;
use crate::ahead::{Ahead, Pushes};
use crate::arguments::{self, Allow, Form, Output, SecretSource, Tag};
use crate::authorities;
use crate::builds;
use crate::clash;
use crate::cli::{BuildArgs, Global, Progress, Pull};
use crate::cmd::check::Warned;
use crate::deliver::{self, Share};
use crate::devices;
use crate::dockerfile::{self, Source};
use crate::emulation;
use crate::engines;
use crate::environment::Environment;
use crate::epoch;
use crate::failure::{Failure, step_frame};
use crate::input::unless_stopped;
use crate::others;
use crate::places;
use crate::proxies;
use crate::registries;
use crate::repositories::{self, Elsewhere};
use crate::room::{self, Room};
use crate::session::Session;
use crate::settle::{self, Settled};
use crate::text;
use clap::ValueEnum;
use ireko_dockerfile::ignore::Patterns;
use ireko_exec::cdi::Allowed;
use ireko_exec::{
    Authorities, BuildError, Built, BuiltTree, Cancel, LocalContext, Repositories, Request, SandboxSettings,
    Secrets, StepError, Surroundings,
};
use ireko_graph::{Graph, NodeId, Op, Policy};
use ireko_image::{Assembled, Destination, Images, PullPolicy};
use ireko_layer::Time;
use ireko_oci::{Digest, Platform, Reference, Timestamp};
use ireko_plan::{MAIN_CONTEXT, NoCache, Plan, PlanInput, StepSettings};
use ireko_registry::Registry;
use ireko_report::{Diagnostic, Event, Sink};
use ireko_store::Store;
use ireko_sys::cgroup::Limits;
use ireko_sys::userns::Level;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

/// Runs the command.
pub(crate) fn run(args: &BuildArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let began = Instant::now();
    let wishes = Wishes::read(args, &environment)?;
    let limit = room::limit(args.cache_max_size.as_deref(), &environment)?;
    let progress = progress(args, &environment)?;
    let global = Global { verbose: global.verbose || args.v, ..global.clone() };
    let session = Session::enter(&global, environment, progress, args.explain)?;
    let cancel = crate::signals::cancel_on_signals()?;
    for text in &wishes.warnings {
        session.screen.emit(Event::Warning { diagnostic: Diagnostic::warning("flag", text.clone()) });
    }
    let mut warned = Warned::default();
    let outcome = build(args, &wishes, (&session, &mut warned), &cancel);
    let success = outcome.is_ok();
    session.screen.emit(Event::BuildFinished { success, elapsed_ms: began.elapsed().as_millis() as u64 });
    warned.say(&session);
    let built = outcome.as_ref().ok().and_then(Option::as_ref);
    let tidied = session.store().and_then(|store| {
        builds::remember((&session, &store), args, &wishes.platforms, outcome.as_ref().err());
        room::tidy((&session, &store), limit, built)
    });
    if let Err(failure) = tidied {
        session.screen.note(&format!("warning: the cache could not be pruned: {}", failure.message));
    }
    session.screen.close();
    // What already carries an archive is not to carry the id as well.
    if let Some(id) = outcome?.filter(|_| args.quiet && !wishes.outputs.iter().any(Output::is_stdout)) {
        crate::print(&format!("{id}\n"));
    }
    Ok(())
}

/// How progress is shown: by the flag, else nothing under `-q`, else by the variable that BuildKit has for it.
fn progress(args: &BuildArgs, environment: &Environment) -> Result<Progress, Failure> {
    const VARIABLE: &str = "BUILDKIT_PROGRESS";
    match (args.progress, args.quiet, environment.get(VARIABLE)) {
        (Some(Progress::Auto) | None, true, _) => Ok(Progress::Quiet),
        (Some(asked), ..) => Ok(asked),
        (None, false, None) => Ok(Progress::Auto),
        (None, false, Some(name)) => Progress::from_str(name, false).map_err(|_| {
            Failure::user(format!("`{VARIABLE}` is `{name}`, which is no way to show progress"))
                .hint("use auto, plain, tty, rawjson, quiet or none, or give --progress")
        }),
    }
}

/// The whole command on one screen.
fn build(
    args: &BuildArgs,
    wishes: &Wishes,
    (session, warned): (&Session, &mut Warned),
    cancel: &Cancel,
) -> Result<Option<Digest>, Failure> {
    let shares = deliver::shares(&targets(&args.source)?, &wishes.tags, &wishes.outputs)?;
    writable(args, wishes, &shares)?;
    let limits = crate::limits::prepare(&wishes.limits)?;
    let store = session.store()?;
    let scratch = store.scratch_dir()?;
    let sink = session.sink();
    let agents = agents::start(&wishes.agents, scratch.path())?;
    let git = repositories::settings(&session.environment);
    let images = images(args, wishes, session, &store)?;
    let http = images.registry().client().clone();
    let aborted = Arc::clone(&images);
    let _stopping = cancel.on_ask(move || aborted.abort());
    if wishes.outputs.iter().any(|output| output.form == Form::Engine) {
        unless_stopped(images.engines().first().map_err(Failure::from), cancel)?;
    }
    let elsewhere = Elsewhere {
        repositories: Repositories {
            settings: &git,
            store: &store,
            secrets: &wishes.secrets,
            agents: &agents.agents,
            cancel,
        },
        scratch: scratch.path(),
        build_args: &wishes.build_args,
        http: &http,
        with_files: false,
        sink: &*sink,
    };
    let source = unless_stopped(dockerfile::read(&args.source, &elsewhere), cancel)?;

    let (ast, diagnostics) = settle::parse(&source, &wishes.build_args, &*sink)?;
    let input = unless_stopped(plan_input(ast, args, wishes, &source, &elsewhere), cancel)?;
    let parsed = (&*diagnostics, &source);
    let Settled { plan, bases, .. } = settled(&input, &images, parsed, (session, warned), cancel)?;
    emulation::check_steps(&plan, &input.ast.source, scratch.path())?;
    let devices = devices::of_steps((&args.devices, &wishes.devices), &plan, &input.ast.source, session)?;
    let graph = Arc::new(plan.graph.clone());
    let mut surroundings = Surroundings {
        store: Arc::clone(&store),
        contexts: contexts(&source, &store, cancel)?,
        bases: Arc::new(crate::bases::Bases(Arc::clone(&images))),
        http,
        git,
        secrets: wishes.secrets.clone(),
        agents: agents.agents.clone(),
        devices,
        sandbox: SandboxSettings {
            resolv_conf: crate::bases::resolv_conf(),
            authorities: wishes.authorities.clone(),
            limits,
        },
        snapshotter: session.snapshotter(&store)?,
        sink: Arc::clone(&sink),
        cancel: cancel.clone(),
        project: format!("{}\0{}", source.context.place(), source.name),
        packing: None,
    };
    let destinations: Vec<Destination> = wishes.outputs.iter().filter_map(deliver::destination_of).collect();
    let (ahead, packing) = Ahead::start(&images, &destinations, pushes(&shares)?, shares.len());
    surroundings.packing = packing;
    let room = Room { store: &store, session, cancel, images: &images };
    let solved = room.for_deed(|| solve(&graph, wanted(&plan), args, (session.level, &surroundings)));
    let trees = solved.map_err(|error| build_failure(error, &graph, &input, session))?;
    drop(surroundings);
    ahead.into_iter().for_each(Ahead::finish);
    let made = made((&plan, wishes), &trees, &images, !destinations.is_empty())?;
    let delivered = room.for_deed(|| deliver::deliver(&images, &made, &shares, cancel, &*sink))?;
    session.tell_warnings(&store);
    deliver::report(args, &shares, &delivered, &bases)?;
    Ok(delivered.last().and_then(|last| last.id))
}

/// When the registry is asked for a base image.
pub(crate) fn pull(args: &BuildArgs) -> PullPolicy {
    match args.pull {
        _ if args.offline => PullPolicy::Never,
        Some(Pull::Always) => PullPolicy::Always,
        Some(Pull::Never) => PullPolicy::Never,
        Some(Pull::Missing) | None => PullPolicy::IfMissing,
    }
}

/// The images that the build can reach: in the store, in engines, in registries.
fn images(
    args: &BuildArgs,
    wishes: &Wishes,
    session: &Session,
    store: &Arc<Store>,
) -> Result<Arc<Images>, Failure> {
    let tags = wishes.tags.iter().map(|tag| &tag.name);
    let named: Vec<Reference> =
        tags.chain(wishes.outputs.iter().flat_map(|output| &output.names)).cloned().collect();
    let mut options = registries::options(&session.environment, &args.registry, &named)?;
    options.http.ca_files.extend(args.ca.iter().cloned());
    let registry = Arc::new(Registry::new(options));
    let images = Images::new(Arc::clone(store), registry, session.sink(), pull(args));
    Ok(Arc::new(images.with_engines(engines::engines(&session.environment))))
}

/// What of the build is pushed: names, and in which form.
fn pushes(shares: &[Share]) -> Result<Pushes, Failure> {
    let mut all = Vec::new();
    for share in shares {
        for output in share.outputs().iter().filter(|output| output.form == Form::Registry) {
            all.push((deliver::pushed_names(output, share.tags())?, deliver::push_as(output)));
        }
    }
    Ok(all)
}

/// The nodes whose trees are wanted, and those that only have to be done.
fn wanted(plan: &Plan) -> Vec<NodeId> {
    plan.outputs.iter().flat_map(|output| output.node.iter().chain(&output.after)).copied().collect()
}

/// The plan of what is to be built, once the rules have been asked.
fn settled(
    input: &PlanInput,
    images: &Images,
    parsed: (&[Diagnostic], &Source),
    (session, warned): (&Session, &mut Warned),
    cancel: &Cancel,
) -> Result<Settled, Failure> {
    let settled = unless_stopped(settle::settle(input, images, &*session.sink()), cancel)?;
    warned.inspect(input, parsed, &settled.configs, session)?;
    Ok(settled)
}

/// The images of all outputs; with the layers of their bases where they leave the store.
fn made(
    (plan, wishes): (&Plan, &Wishes),
    trees: &Built,
    images: &Images,
    leaving: bool,
) -> Result<Vec<Assembled>, Failure> {
    let annotated = |image| Assembled { annotations: wishes.annotations.clone(), ..image };
    let made: Vec<Assembled> = plan.outputs.iter().map(|output| annotated(assemble(output, trees))).collect();
    if leaving {
        made.iter().try_for_each(|image| fetch_shipped(plan, image, images))?;
    }
    Ok(made)
}

/// The image of an output whose tree is built.
fn assemble(output: &ireko_plan::Output, trees: &Built) -> Assembled {
    let layers = output.node.and_then(|node| trees.get(&node)).map(layers_of).unwrap_or_default();
    ireko_image::assemble(output.config.clone(), &layers, output.epoch)
}

/// Brings the layers of base images that the image carries and no step needed: its destinations want them whole.
fn fetch_shipped(plan: &Plan, image: &Assembled, images: &Images) -> Result<(), Failure> {
    for used in &plan.images {
        let Some(Op::Image(base)) = used.node.map(|node| &plan.graph.node(node).op) else { continue };
        if !base.diff_ids.is_empty() && image.config.rootfs.diff_ids.starts_with(&base.diff_ids) {
            images
                .bring_all(&base.config, &base.diff_ids)
                .map_err(|error| Failure::of(error.blame(), &error))?;
        }
    }
    Ok(())
}

/// The layers of a tree, each with the time of its making.
fn layers_of(built: &BuiltTree) -> Vec<(Digest, Option<Timestamp>)> {
    let time = |time: &Option<Time>| time.map(|time| Timestamp::from_unix(time.secs, time.nanos));
    built.tree.layers.iter().copied().zip(built.made.iter().map(time)).collect()
}

/// What was typed, read before anything is touched.
struct Wishes {
    tags: Vec<Tag>,
    outputs: Vec<Output>,
    labels: Vec<(String, String)>,
    build_args: Vec<(String, Option<String>)>,
    platforms: Vec<Platform>,
    secrets: Secrets,
    agents: Vec<agents::Wish>,
    cache_ttl: Option<u64>,
    limits: Limits,
    settings: StepSettings,
    devices: Allowed,
    annotations: BTreeMap<String, String>,
    authorities: Option<Authorities>,
    /// What is told of flags of others.
    warnings: Vec<String>,
}

impl Wishes {
    fn read(args: &BuildArgs, environment: &Environment) -> Result<Self, Failure> {
        let mut meant = others::read(args)?;
        let mut tags = args.tag.iter().map(|text| Tag::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let mut outputs =
            args.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>, _>>()?;
        if args.load && !outputs.iter().any(|output| output.form == Form::Engine) {
            outputs.push(Output::plain(Form::Engine, None));
        }
        if args.push && !outputs.iter().any(|output| output.form == Form::Registry) {
            // What is to be an image in the store is pushed, as with buildx.
            match outputs.iter_mut().find(|output| output.form == Form::Store) {
                Some(output) => output.form = Form::Registry,
                None => outputs.push(Output::plain(Form::Registry, None)),
            }
        }
        for output in outputs.iter().filter(|output| output.form == Form::Store) {
            let named = |name: &Reference| Tag { target: output.target.clone(), name: name.clone() };
            tags.extend(output.names.iter().map(named));
        }
        for output in outputs.iter_mut().filter(|output| output.form == Form::Registry) {
            output.docker_types |= meant.docker_types;
        }
        meant.warnings.extend(others::lost_annotations(&meant, &outputs));
        let to_stdout = outputs.iter().filter(|output| output.is_stdout()).count();
        if to_stdout > 1 {
            return Err(Failure::user("two outputs are to go to standard output").hint("give them dest=PATH"));
        }
        let platforms = match &meant.platform {
            Some(platform) => settle::platforms(std::slice::from_ref(platform), environment)?,
            None => settle::platforms(&args.source.platform, environment)?,
        };
        let allow = arguments::allow(&args.allow)?;
        refuse_docker_archives(&outputs, &platforms)?;
        let mut build_args: Vec<(String, Option<String>)> =
            args.source.build_arg.iter().map(|text| arguments::build_arg(text, environment)).collect();
        for (name, value) in meant.build_args {
            if !build_args.iter().any(|(known, _)| *known == name) {
                build_args.push((name, value));
            }
        }
        // What is given wins; by itself no proxy of this process reaches a step.
        for (name, value) in proxies::for_steps(environment, args.http_proxy)? {
            if !build_args.iter().any(|(given, _)| *given == name) {
                build_args.push((name, Some(value)));
            }
        }
        if let Some(epoch) = environment
            .get("SOURCE_DATE_EPOCH")
            .filter(|_| !build_args.iter().any(|(name, _)| name == "SOURCE_DATE_EPOCH"))
        {
            build_args.push(("SOURCE_DATE_EPOCH".to_owned(), Some(epoch.to_owned())));
        }
        Ok(Self {
            tags,
            outputs,
            labels: args.label.iter().map(|text| arguments::label(text)).collect(),
            build_args,
            platforms,
            secrets: secrets(args, environment)?,
            agents: args
                .ssh
                .iter()
                .map(|text| agents::Wish::parse(text, environment))
                .collect::<Result<_, _>>()?,
            cache_ttl: args.cache_ttl.as_deref().map(arguments::lifetime).transpose()?,
            limits: args.limits.read()?,
            settings: settings(args, &allow)?,
            devices: devices::allowed(&args.devices, allow.devices),
            annotations: meant.annotations,
            authorities: authorities::read(&args.ca, environment)?,
            warnings: meant.warnings,
        })
    }
}

/// Docker's archive names one image where an index would be needed.
fn refuse_docker_archives(outputs: &[Output], platforms: &[Platform]) -> Result<(), Failure> {
    let is_docker = |output: &Output| matches!(output.form, Form::DockerTar | Form::DockerDir | Form::Engine);
    if platforms.len() < 2 || !outputs.iter().any(is_docker) {
        return Ok(());
    }
    let list: Vec<String> = platforms.iter().map(ToString::to_string).collect();
    let message = format!(
        "`type=docker` in `-o` holds an image for one platform, and this build is for {}: {}",
        list.len(),
        list.join(", ")
    );
    Err(Failure::user(message).hint("use type=oci, which holds an index, or build one platform at a time"))
}

pub(crate) fn secrets(args: &BuildArgs, environment: &Environment) -> Result<Secrets, Failure> {
    let mut secrets = BTreeMap::new();
    for text in &args.secret {
        let (id, source) = arguments::secret(text, environment)?;
        let source = match source {
            SecretSource::File(path) => {
                let path = std::path::absolute(&path)
                    .map_err(|error| Failure::user(format!("cannot use secret `{id}`")).cause(error))?;
                fs::File::open(&path).map_err(|error| {
                    Failure::user(format!("cannot read secret `{id}` from `{}`", path.display())).cause(error)
                })?;
                ireko_exec::SecretSource::File(path)
            }
            SecretSource::Variable(name) => match environment.raw(&name) {
                Some(value) => ireko_exec::SecretSource::Value(value.as_bytes().to_vec()),
                None => {
                    return Err(Failure::user(format!(
                        "secret `{id}` is to come from variable `{name}`, which is not set"
                    )));
                }
            },
        };
        secrets.insert(id, source);
    }
    Ok(Secrets(secrets))
}

fn settings(args: &BuildArgs, allow: &Allow) -> Result<StepSettings, Failure> {
    let network = match args.network.as_str() {
        "default" => ireko_graph::op::Network::Default,
        "host" => ireko_graph::op::Network::Host,
        "none" => ireko_graph::op::Network::None,
        other => {
            return Err(
                Failure::user(format!("`--network {other}` is unknown")).hint("use default, host or none")
            );
        }
    };
    let size = |text: &String| text::memory("--shm-size ", text);
    Ok(StepSettings {
        network,
        hostname: None,
        extra_hosts: args.add_host.iter().map(|text| arguments::host(text)).collect::<Result<_, _>>()?,
        shm_size: args.shm_size.as_ref().map(size).transpose()?,
        ulimits: args.ulimit.iter().map(|text| arguments::ulimit(text)).collect::<Result<_, _>>()?,
        devices: args.devices.wanted(),
        allow_insecure: allow.insecure,
    })
}

/// What the planner is asked; also what `ireko context` asks.
pub(crate) fn plan_input_of(
    ast: ireko_dockerfile::Ast,
    args: &crate::cli::SourceArgs,
    (platforms, build_args): (Vec<Platform>, Vec<(String, Option<String>)>),
    source: &Source,
    elsewhere: Option<&Elsewhere<'_>>,
) -> Result<PlanInput, Failure> {
    let mut input = PlanInput::new(ast);
    input.target_platforms = platforms;
    input.build_args = build_args;
    input.targets = targets(args)?;
    input.contexts.clone_from(&source.named);
    input.main = source.context.source();
    epoch::settle(&mut input, source, elsewhere)?;
    Ok(input)
}

/// The stages to build, each once. An empty flag alone is none, as for Docker; between others it is a mistake.
fn targets(args: &crate::cli::SourceArgs) -> Result<Vec<String>, Failure> {
    let mut targets: Vec<String> = Vec::new();
    if args.target.len() > 1 && args.target.iter().any(String::is_empty) {
        let failure =
            Failure::user(format!("`--target {}` names a stage with no name", args.target.join(",")));
        return Err(failure.hint("take out the comma or the flag that is too much"));
    }
    for target in args.target.iter().filter(|target| !target.is_empty()) {
        if !targets.iter().any(|known| known.eq_ignore_ascii_case(target)) {
            targets.push(target.clone());
        }
    }
    Ok(targets)
}

fn plan_input(
    ast: ireko_dockerfile::Ast,
    args: &BuildArgs,
    wishes: &Wishes,
    source: &Source,
    elsewhere: &Elsewhere<'_>,
) -> Result<PlanInput, Failure> {
    let given = (wishes.platforms.clone(), wishes.build_args.clone());
    let mut input = plan_input_of(ast, &args.source, given, source, Some(elsewhere))?;
    input.labels.clone_from(&wishes.labels);
    input.settings = wishes.settings.clone();
    input.cache_ttl = wishes.cache_ttl;
    input.no_cache = match (args.no_cache, args.no_cache_filter.as_slice()) {
        (true, _) => NoCache::All,
        (false, []) => NoCache::None,
        (false, stages) => NoCache::Stages(stages.to_vec()),
    };
    Ok(input)
}

/// The local contexts of a build, the main one under the name that the planner gives it.
pub(crate) fn contexts(
    source: &Source,
    store: &Arc<Store>,
    cancel: &Cancel,
) -> Result<BTreeMap<String, LocalContext>, Failure> {
    let mut contexts = BTreeMap::new();
    let mut all = vec![(MAIN_CONTEXT.to_owned(), source.context.dir().to_owned(), source.ignore.clone())];
    for (name, dir) in &source.dirs {
        // A named context has an ignore file of its own, as the main one.
        let ignore = fs::read(dir.join(".dockerignore"))
            .ok()
            .map(|text| (format!("{}/.dockerignore", dir.display()), text));
        all.push((name.clone(), dir.clone(), ignore));
    }
    for (name, dir, ignore) in all {
        let patterns =
            match ignore {
                None => None,
                Some((file, text)) => Some(Patterns::parse(&text).map_err(|error| {
                    Failure::user(format!("cannot use ignore file `{file}`")).cause(error)
                })?),
            };
        let context = LocalContext::open(&dir, patterns.unwrap_or_default(), store, cancel)
            .map_err(|error| Failure::of(error.blame(), &error))?;
        contexts.insert(name, context);
    }
    Ok(contexts)
}

fn solve(
    graph: &Arc<Graph>,
    outputs: Vec<NodeId>,
    args: &BuildArgs,
    (level, surroundings): (Level, &Surroundings),
) -> Result<Built, BuildError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let policy = Policy {
        jobs: args.jobs.filter(|jobs| *jobs > 0).unwrap_or_else(|| (cores * 4).max(16)),
        cutoff: args.cache_cutoff != "off",
        class: level.class().to_owned(),
    };
    let request = Request { graph: Arc::clone(graph), outputs, policy, export: true };
    ireko_exec::build(&request, surroundings)
}

/// The frame of an error: the instruction, the end of its log, and where the whole log is.
fn build_failure(error: BuildError, graph: &Graph, input: &PlanInput, session: &Session) -> Failure {
    session.screen.close();
    let blame = error.blame();
    match error {
        BuildError::Interrupted => Failure::interrupted(),
        BuildError::Step(step) => step_failure(step, graph, input, session),
        other => Failure::of(blame, &other),
    }
}

fn step_failure(step: StepError, graph: &Graph, input: &PlanInput, session: &Session) -> Failure {
    const LOG_LINES: usize = 20;
    let about = &graph.node(step.node).about;
    let shown = session.screen.step(step.node.0);
    let display = shown.as_ref().map_or_else(|| about.display(false), |step| step.display.clone());
    let mut failure = Failure::user(format!("{display}: {}", step.message));
    failure.blame = step.blame;
    failure.disk_full = step.disk_full;
    // What a program said of itself names nothing of the instruction.
    let said = std::iter::once(&step.message).chain(&step.causes).filter(|_| step.exit_code.is_none());
    failure.details = step_frame(&input.ast.source, about.lines(), said);
    failure.causes = step.causes;
    failure.hint = step.hint.or_else(|| step.disk_full.then(|| room::FULL.to_owned()));
    let tail = shown.map(|step| step.last_lines(LOG_LINES)).unwrap_or_default();
    if !tail.is_empty() {
        failure.details.push("the last lines it wrote:".to_owned());
        failure.details.extend(tail.into_iter().map(|line| format!("  | {line}")));
    }
    if let Some(log) = step.log {
        failure.details.push(format!("the whole log: {}", log.display()));
    }
    failure
}

/// Tries every place that the result is to go to; no two results may have one.
fn writable(args: &BuildArgs, wishes: &Wishes, shares: &[Share]) -> Result<(), Failure> {
    let files = [
        ("--iidfile", &args.iidfile),
        ("--metadata-file", &args.metadata_file),
        ("--digest-file", &args.others.digest_file),
        ("--image-name-with-digest-file", &args.others.image_name_with_digest_file),
        ("--image-name-tag-with-digest-file", &args.others.image_name_tag_with_digest_file),
    ];
    let files: Vec<_> = files.iter().filter_map(|(flag, path)| Some((*flag, path.as_deref()?))).collect();
    clash::refuse(shares, &files)?;
    wishes.outputs.iter().try_for_each(Output::writable)?;
    files.iter().try_for_each(|(flag, path)| places::check(flag, path, places::Written::InPlace))
}
