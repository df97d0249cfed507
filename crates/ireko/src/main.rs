//! The command line of ireko: the only place that prints, reads the environment and reads the clock.
#![forbid(unsafe_code)]

mod advice;
mod agents;
mod ahead;
mod arguments;
mod authorities;
mod bases;
mod builds;
mod clash;
mod cli;
mod cmd;
mod confinement;
mod debian;
mod debian_base;
mod debian_context;
mod deliver;
mod devices;
mod dockerfile;
mod emulation;
mod engines;
mod environment;
mod epoch;
mod failure;
mod input;
mod kaniko;
mod limits;
mod look;
mod on_failure;
mod others;
mod permission;
mod places;
mod proxies;
mod registries;
mod repositories;
mod room;
mod sbom;
mod session;
mod settle;
mod signals;
mod sizes;
mod template;
mod terminal;
mod text;
mod ui;
mod wishes;

use advice::Advice;
use cli::words::{self, Typed, Words};
use cli::{BuildArgs, BuilderCommand, Cli, Command, Global, ImageCommand};
use environment::Environment;
use failure::Failure;
use ireko_sys::memory::OrExit;
use kaniko::{Asked, Translated};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use std::sync::OnceLock;

/// No step's program is under this: it has an allocator of its own.
#[global_allocator]
static MEMORY: OrExit = OrExit {
    message: "error: there is no memory left\nhint: a limit is low (`ulimit -v`), or others take too much; nothing of the store is lost\n",
    code: 3,
};

/// What the standard library and rayon panic with where a thread cannot be started, or has no room for its signal stack
/// once it runs.
const NO_THREAD: [&str; 3] = ["failed to spawn thread", "ThreadPoolBuildError", "alternative stack"];

/// A thread that cannot be started is the machine's fault, wherever it was wanted. What was under way is as if the
/// process had been killed.
fn end_without_threads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        if !NO_THREAD.iter().any(|words| said.contains(words)) {
            return usual(panic);
        }
        let failure = Failure::environment("no thread could be started").hint(
            "the machine has too many, or a limit is low (`ulimit -u`, `ulimit -v`); nothing of the store is lost",
        );
        eprint(&failure.render());
        std::process::exit(i32::from(failure.exit_code()));
    }));
}

fn main() -> ExitCode {
    end_without_threads();
    MEMORY.also_at_abort();
    ireko_sys::signals::wait_for_children();
    let started = match start(&environment::typed(), Environment::read()) {
        Ok(Some(started)) => started,
        Ok(None) => return ended(0),
        Err(failure) => return failed(&failure),
    };
    let mut cli = match Cli::read(&started.words) {
        Ok(cli) => cli,
        Err(error) => return misread(&error, &started.words),
    };
    if let (Some(kaniko), Command::Build(args)) = (started.kaniko, &mut cli.command) {
        if let Err(failure) = kaniko::make_places(&kaniko.files) {
            return failed(&failure);
        }
        args.out.registry.reach = kaniko.reach;
        args.others.notes = kaniko.notes;
    }
    match dispatch(&cli, started.environment) {
        Ok(code) => ended(code),
        Err(failure) => failed(&failure),
    }
}

/// What is to be done: a command line of ireko's own, and what else was said.
struct Started {
    words: Vec<OsString>,
    environment: Environment,
    kaniko: Option<Box<Translated>>,
}

/// Turns what was typed, in whose words it may be, into ireko's own; nothing where that was all.
fn start(typed: &[OsString], environment: Environment) -> Result<Option<Started>, Failure> {
    let with = |environment: Environment, variables: Vec<(&str, String)>| {
        variables.iter().fold(environment, |environment, (name, value)| environment.with(name, value))
    };
    let (words, environment) = match words::read(typed)? {
        Typed::Needless { out, note } => {
            print(&out);
            note.iter().for_each(|note| eprint(&format!("note: {note}\n")));
            return Ok(None);
        }
        Typed::Command(Words { words, variables }) => {
            let environment = with(environment, variables);
            return Ok(Some(Started { words, environment, kaniko: None }));
        }
        Typed::Kaniko(Words { words, variables }) => (words, with(environment, variables)),
    };
    let line = |words: &mut dyn Iterator<Item = OsString>| {
        std::iter::once(OsString::from("ireko")).chain(words).collect()
    };
    Ok(match kaniko::read(&words, &environment)? {
        Asked::Help(text) => {
            print(&text);
            None
        }
        Asked::Other(words) => {
            Some(Started { words: line(&mut words.into_iter()), environment, kaniko: None })
        }
        Asked::Build(translated) => {
            let words = line(&mut translated.words.iter().map(OsString::from));
            Some(Started { words, environment, kaniko: Some(translated) })
        }
    })
}

fn failed(failure: &Failure) -> ExitCode {
    if !failure.is_told {
        eprint(&failure.render());
    }
    ExitCode::from(failure.exit_code())
}

/// A command line that cannot be read, or one that asks for help.
fn misread(error: &clap::Error, words: &[OsString]) -> ExitCode {
    // Clap prints help and version to standard output, mistakes to standard error.
    if !error.use_stderr() {
        let _ = error.print();
        return ExitCode::SUCCESS;
    }
    let command = command_of(words);
    match advice::on(error, command, words) {
        Some(Advice::Flag { name, hint }) => {
            eprint(
                &Failure::user(format!("`{name}` is not supported by `ireko {command}`")).hint(hint).render(),
            );
        }
        Some(Advice::Command { name, hint }) => {
            eprint(&Failure::user(format!("ireko has no command `{name}`")).hint(hint).render());
        }
        None => drop(error.print()),
    }
    // `run` has Docker's, since its program may use 2 itself.
    ExitCode::from(if command == "run" { cmd::run::RUNNER_FAILED } else { 2 })
}

/// The command among the words; empty where there is none.
fn command_of(words: &[OsString]) -> &str {
    let mut skipped = false;
    let command = words.iter().skip(1).find(|word| {
        let takes_value =
            ["--home", "--level", "--snapshotter", "--isolation"].iter().any(|name| *word == name);
        let is_value = std::mem::replace(&mut skipped, takes_value);
        !is_value && !word.as_encoded_bytes().starts_with(b"-")
    });
    command.and_then(|word| word.to_str()).unwrap_or_default()
}

fn dispatch(cli: &Cli, environment: Environment) -> Result<u8, Failure> {
    let global = &cli.global;
    match &cli.command {
        Command::Build(args) => return build(args, global, environment),
        Command::Run(args) => return cmd::run::run(args, global, environment),
        Command::Images(args) => cmd::images::list::run(args, global, environment)?,
        Command::Inspect(args) => cmd::images::inspect(args, global, environment)?,
        Command::History(args) if args.image.is_none() => cmd::builds::history(args, global, environment)?,
        Command::History(args) => cmd::images::history(args, global, environment)?,
        Command::Logs(args) => cmd::builds::logs(args, global, environment)?,
        Command::Why(args) => cmd::builds::why(args, global, environment)?,
        Command::Base(args) => cmd::base::run(args, global, environment)?,
        Command::Pack(args) => cmd::pack::run(args, global, environment)?,
        Command::Sbom(args) => cmd::sbom::run(args, global, environment)?,
        Command::Rmi(args) => cmd::images::remove(args, global, environment)?,
        Command::Tag(args) => cmd::images::tag(args, global, environment)?,
        Command::Load(args) => cmd::transfer::load(args, global, environment)?,
        Command::Save(args) => cmd::transfer::save(args, global, environment)?,
        Command::Pull(args) => cmd::transfer::pull(args, global, environment)?,
        Command::Push(args) => cmd::registry::push(args, global, environment)?,
        Command::Login(args) => cmd::registry::login(args, &environment)?,
        Command::Logout(args) => cmd::registry::logout(args, &environment)?,
        Command::Manifest(args) => cmd::show::manifest(args, &environment)?,
        Command::Version(args) => cmd::show::version(args)?,
        Command::Info(args) => cmd::show::info(args, global, environment)?,
        Command::Cache(command) => return cmd::cache::run(command, global, environment),
        Command::Builder(BuilderCommand::Du(args)) => return cmd::cache::du(args, global, environment),
        Command::Builder(BuilderCommand::Prune(args)) => return cmd::cache::prune(args, global, environment),
        Command::System(command) => return cmd::cache::system(command, global, environment),
        Command::Image(ImageCommand::Prune(args)) => return cmd::cache::images(args, global, environment),
        Command::Context(args) => cmd::context::run(args, global, environment)?,
        Command::Doctor(args) => return cmd::doctor::run(args, global, &environment),
    }
    Ok(0)
}

fn build(args: &BuildArgs, global: &Global, environment: Environment) -> Result<u8, Failure> {
    match cmd::check::Call::of(args)? {
        Some(call) => cmd::check::run(args, &call, global, environment),
        None => cmd::build::run(args, global, environment).map(|()| 0),
    }
}

/// Why standard output did not take what was printed.
static UNWRITTEN: OnceLock<std::io::Error> = OnceLock::new();

/// Prints to standard output. A reader that went away ends the output, not the command; any other failure is told at its
/// end.
pub(crate) fn print(text: &str) {
    let mut out = std::io::stdout().lock();
    let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    if let Err(error) = written
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        let _ = UNWRITTEN.set(error);
    }
}

/// The end of a command that went well, where all that it printed was taken.
fn ended(code: u8) -> ExitCode {
    match UNWRITTEN.get() {
        Some(error) => failed(
            &Failure::environment("cannot write to standard output")
                .cause(error)
                .hint("free some space there, or write elsewhere"),
        ),
        None => ExitCode::from(code),
    }
}

/// Prints to standard error.
pub(crate) fn eprint(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}
