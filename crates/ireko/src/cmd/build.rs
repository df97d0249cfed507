//! `ireko build`: read, parse, settle, solve, assemble, export.

use crate::agents;
use crate::ahead::{Ahead, Pushes};
use crate::arguments::{Form, Output};
use crate::builds;
use crate::cli::{BuildArgs, Global, OutputArgs, Progress, Pull};
use crate::cmd::check::Warned;
use crate::confinement;
use crate::debian_context::Maker;
use crate::deliver::{self, Share};
use crate::devices;
use crate::dockerfile::{self, Source};
use crate::engines;
use crate::environment::Environment;
use crate::epoch;
use crate::failure::{Failure, step_frame};
use crate::input::unless_stopped;
use crate::on_failure::{self, FailureShell};
use crate::permission::Permission;
use crate::registries;
use crate::repositories::{self, Elsewhere};
use crate::room::{self, Room};
use crate::session::Session;
use crate::settle::{self, Places, Settled};
use crate::sizes;
use crate::wishes::Wishes;
use clap::ValueEnum;
use ireko_dockerfile::ignore::Patterns;
use ireko_exec::{
    BuildError, Built, BuiltTree, Cancel, Confinement, LocalContext, Repositories, Request, SandboxSettings,
    StepError, Surroundings,
};
use ireko_graph::{Graph, NodeId, Op, Policy};
use ireko_image::{Assembled, Images, PullPolicy};
use ireko_layer::Time;
use ireko_oci::{Digest, Platform, Reference, Timestamp};
use ireko_plan::{MAIN_CONTEXT, NoCache, Plan, PlanInput};
use ireko_registry::Registry;
use ireko_report::{Diagnostic, Event, Sink};
use ireko_store::Store;
use ireko_sys::cgroup::Limiter;
use ireko_sys::userns::Level;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Instant;

/// Runs the command.
pub(crate) fn run(args: &BuildArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let began = Instant::now();
    on_failure::check(args.on_failure)?;
    let wishes = Wishes::read(args, &environment)?;
    let limit = room::limit(args.cache_max_size.as_deref(), &environment)?;
    let progress = progress(&args.out, &environment)?;
    let global = Global { verbose: global.verbose || args.v, ..global.clone() };
    let environment = engines::chosen(environment, &wishes.outputs)?;
    let session = Session::enter(&global, environment, progress, args.explain)?;
    let cancel = crate::signals::cancel_on_signals()?;
    for text in &wishes.warnings {
        session.screen.emit(Event::Warning { diagnostic: Diagnostic::warning("flag", text.clone()) });
    }
    let mut warned = Warned::default();
    let outcome = build(args, &wishes, (&session, &mut warned), &cancel);
    if let Err(failure) = &outcome {
        session.screen.emit(failure.event());
    }
    let success = outcome.is_ok();
    session.screen.emit(Event::BuildFinished { success, elapsed_ms: began.elapsed().as_millis() as u64 });
    warned.say(&session);
    let built = outcome.as_ref().ok().and_then(Option::as_ref);
    let tidied = session.store().and_then(|store| {
        builds::remember((&session, &store), args, &wishes.platforms, outcome.as_ref().err());
        room::tidy((&session, &store), limit, (built, began.elapsed()))
    });
    if let Err(failure) = tidied {
        session.screen.note(&format!("warning: the cache could not be pruned: {}", failure.message));
    }
    session.screen.close();
    // What already carries an archive is not to carry the id as well.
    let told = session.screen.is_json();
    if let Some(id) = outcome
        .map_err(|failure| failure.told(told))?
        .filter(|_| args.out.quiet && !wishes.outputs.iter().any(Output::is_stdout))
    {
        crate::print(&format!("{id}\n"));
    }
    Ok(())
}

/// How progress is shown: by the flag, else nothing under `-q`, else by the variable that BuildKit has for it.
pub(crate) fn progress(args: &OutputArgs, environment: &Environment) -> Result<Progress, Failure> {
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
    deliver::writable(&args.out, &wishes.outputs, &shares)?;
    let limits = crate::limits::prepare(&wishes.limits)?;
    let store = session.store()?;
    let scratch = room::once_more((session, &store), || Ok(store.scratch_dir()?))?;
    let sink = session.sink();
    let agents = agents::start(&wishes.agents, scratch.path())?;
    let git = repositories::settings(&session.environment);
    let images = images(args, wishes, session, &store)?;
    let http = images.registry().client().clone();
    let aborted = Arc::clone(&images);
    let _stopping = cancel.on_ask(move || aborted.abort());
    let pushes = pushes(&shares)?;
    let permission = Permission::ask(&images, &pushes, args.others.skip_push_permission_check);
    engine_is_there(wishes, &images, cancel)?;
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
    let Settled { plan, bases, .. } = settled(&input, (args, &images), parsed, (session, warned), cancel)?;
    let confinement = confinement::of_steps(&plan, &input.ast.source, (session, scratch.path()))?;
    let devices = devices::of_steps((&args.devices, &wishes.devices), &plan, &input.ast.source, session)?;
    unless_stopped(permission.wait(), cancel)?;
    let graph = Arc::new(plan.graph.clone());
    let shell = FailureShell::wanted(args.on_failure, session, (&graph, &input.ast.source));
    let mut surroundings = Surroundings {
        store: Arc::clone(&store),
        contexts: contexts(&source, &store, cancel)?,
        bases: Arc::new(crate::bases::Bases(Arc::clone(&images))),
        http,
        git,
        secrets: wishes.secrets.clone(),
        agents: agents.agents.clone(),
        devices,
        sandbox: sandbox(wishes, limits, confinement),
        snapshotter: session.snapshotter(&store)?,
        sink: Arc::clone(&sink),
        cancel: cancel.clone(),
        project: format!("{}\0{}", source.context.place(), source.name),
        packing: None,
        on_failure: on_failure::taker(&shell),
    };
    let destinations: Vec<_> = wishes.outputs.iter().filter_map(deliver::destination_of).collect();
    let (ahead, packing) = Ahead::start(&images, &destinations, pushes, shares.len());
    surroundings.packing = packing;
    let room = Room { store: &store, session, cancel, images: &images };
    let solved = room.for_deed(|| solve(&graph, wanted(&plan), args, (session.level, &surroundings)));
    let trees = solved.map_err(|error| build_failure(error, (&graph, &input), session, shell))?;
    drop(surroundings);
    ahead.into_iter().for_each(Ahead::finish);
    let made = made((&plan, wishes), &trees, &images, !destinations.is_empty())?;
    let delivered =
        room.for_deed(|| deliver::deliver(&images, &made, &shares, cancel, &*sink)).map_err(room::hinted)?;
    session.tell_warnings(&store);
    deliver::report(&args.out, &shares, &delivered, &bases)?;
    Ok(delivered.last().and_then(|last| last.id))
}

/// Looks for the engine that an output names, before anything is built.
fn engine_is_there(wishes: &Wishes, images: &Images, cancel: &Cancel) -> Result<(), Failure> {
    if wishes.outputs.iter().any(|output| output.form == Form::Engine) {
        unless_stopped(images.engines().first().map_err(Failure::from), cancel)?;
    }
    Ok(())
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
    let mut options = registries::options(&session.environment, &args.out.registry, &named)?;
    options.http.ca_files.extend(args.ca.iter().cloned());
    let registry = Arc::new(Registry::new(options));
    let images = Images::new(Arc::clone(store), registry, session.sink(), pull(args));
    Ok(Arc::new(images.with_engines(engines::engines(session))))
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
    (args, images): (&BuildArgs, &Arc<Images>),
    parsed: (&[Diagnostic], &Source),
    (session, warned): (&Session, &mut Warned),
    cancel: &Cancel,
) -> Result<Settled, Failure> {
    let maker = Maker::new((session, images, cancel), pull(args), &args.ca);
    let places = Places { images, bases: &maker };
    let room = Room { store: images.store(), session, cancel, images };
    let settled = room.for_deed(|| settle::settle(input, places, &*session.sink())).map_err(room::hinted);
    let settled = unless_stopped(settled, cancel)?;
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
    plan.outputs.iter().for_each(|output| sizes::tell(output, &plan.graph, trees, images));
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

/// How steps are confined.
fn sandbox(wishes: &Wishes, limits: Option<Arc<Limiter>>, confinement: Confinement) -> SandboxSettings {
    let authorities = wishes.authorities.clone();
    SandboxSettings { resolv_conf: crate::bases::resolv_conf(), authorities, limits, confinement }
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
fn build_failure(
    error: BuildError,
    (graph, input): (&Graph, &PlanInput),
    session: &Session,
    shell: Option<Arc<FailureShell>>,
) -> Failure {
    session.screen.close();
    let blame = error.blame();
    match error {
        BuildError::Interrupted => Failure::interrupted(),
        BuildError::Step(step) => {
            let ran = step.exit_code.is_some();
            let mut failure = step_failure(step, graph, input, session);
            match shell {
                Some(shell) => failure.details.extend(shell.lacks()),
                None if ran && failure.hint.is_none() => failure.hint = on_failure::hint(),
                None => {}
            }
            failure
        }
        other => Failure::of(blame, &other),
    }
}

fn step_failure(step: StepError, graph: &Graph, input: &PlanInput, session: &Session) -> Failure {
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
    with_log(failure, (step.node, step.log.as_deref()), session)
}

/// A failure with the end of the log of the step that it came from, and where all of it is.
pub(crate) fn with_log(
    mut failure: Failure,
    (node, log): (NodeId, Option<&std::path::Path>),
    session: &Session,
) -> Failure {
    const LOG_LINES: usize = 20;
    let shown = session.screen.step(node.0);
    let tail = shown.map(|step| step.last_lines(LOG_LINES)).unwrap_or_default();
    if !tail.is_empty() {
        failure.details.push("the last lines it wrote:".to_owned());
        failure.details.extend(tail.into_iter().map(|line| format!("  | {line}")));
    }
    if let Some(log) = log {
        failure.details.push(format!("the whole log: {}", log.display()));
    }
    failure
}
