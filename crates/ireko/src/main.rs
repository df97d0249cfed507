//! The command line of ireko: the only place that prints, reads the environment and reads the clock.
#![forbid(unsafe_code)]

mod advice;
mod agents;
mod ahead;
mod arguments;
mod bases;
mod builds;
mod clash;
mod cli;
mod cmd;
mod deliver;
mod devices;
mod dockerfile;
mod emulation;
mod engines;
mod environment;
mod epoch;
mod failure;
mod input;
mod limits;
mod look;
mod places;
mod proxies;
mod registries;
mod repositories;
mod room;
mod session;
mod settle;
mod signals;
mod terminal;
mod text;
mod ui;

use cli::{BuildArgs, BuilderCommand, Cli, Command, Global, ImageCommand};
use environment::Environment;
use failure::Failure;
use ireko_sys::memory::OrExit;
use std::io::Write;
use std::process::ExitCode;

/// No step's program is under this: it has an allocator of its own.
#[global_allocator]
static MEMORY: OrExit = OrExit {
    message: "error: there is no memory left\nhint: a limit is low (`ulimit -v`), or others take too much; nothing of the store is lost\n",
    code: 3,
};

/// A thread that cannot be started is the machine's fault, wherever it was wanted. What was under way is as if the
/// process had been killed.
fn end_without_threads() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let said = panic.payload_as_str().unwrap_or_default();
        // In the words of the standard library and of rayon.
        if !["failed to spawn thread", "ThreadPoolBuildError"].iter().any(|words| said.contains(words)) {
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
    ireko_sys::signals::wait_for_children();
    let cli = match Cli::read(&environment::typed()) {
        Ok(cli) => cli,
        Err(error) => {
            // Clap prints help and version to standard output, mistakes to standard error.
            let code = if !error.use_stderr() { 0 } else { usage_code(std::env::args_os().skip(1)) };
            let _ = error.print();
            if let Some(advice) = advice::on(&error) {
                eprint(&format!("hint: {advice}\n"));
            }
            return ExitCode::from(code);
        }
    };
    match dispatch(&cli, Environment::read()) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            eprint(&failure.render());
            ExitCode::from(failure.exit_code())
        }
    }
}

/// The exit code of a mistake in the flags: `run` has Docker's, since its program may use 2 itself.
fn usage_code(arguments: impl Iterator<Item = std::ffi::OsString>) -> u8 {
    let mut skipped = false;
    let command = arguments.into_iter().find(|argument| {
        let takes_value = ["--home", "--level", "--snapshotter"].iter().any(|name| argument == name);
        let is_value = std::mem::replace(&mut skipped, takes_value);
        !is_value && !argument.as_encoded_bytes().starts_with(b"-")
    });
    if command.is_some_and(|command| command == "run") { cmd::run::RUNNER_FAILED } else { 2 }
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
        Command::Rmi(args) => cmd::images::remove(args, global, environment)?,
        Command::Tag(args) => cmd::images::tag(args, global, environment)?,
        Command::Load(args) => cmd::transfer::load(args, global, environment)?,
        Command::Save(args) => cmd::transfer::save(args, global, environment)?,
        Command::Pull(args) => cmd::transfer::pull(args, global, environment)?,
        Command::Push(args) => cmd::registry::push(args, global, environment)?,
        Command::Login(args) => cmd::registry::login(args, &environment)?,
        Command::Logout(args) => cmd::registry::logout(args, &environment)?,
        Command::Cache(command) => return cmd::cache::run(command, global, environment),
        Command::Builder(BuilderCommand::Build(args)) => return build(args, global, environment),
        Command::Builder(BuilderCommand::Du(args)) => return cmd::cache::du(args, global, environment),
        Command::Builder(BuilderCommand::Prune(args)) => return cmd::cache::prune(args, global, environment),
        Command::System(command) => return cmd::cache::system(command, global, environment),
        Command::Image(command) => return image(command, global, environment),
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

/// The commands for images under the names that Docker gave them later.
fn image(command: &ImageCommand, global: &Global, environment: Environment) -> Result<u8, Failure> {
    match command {
        ImageCommand::Ls(args) => cmd::images::list::run(args, global, environment)?,
        ImageCommand::Inspect(args) => cmd::images::inspect(args, global, environment)?,
        ImageCommand::History(args) => cmd::images::history(args, global, environment)?,
        ImageCommand::Rm(args) => cmd::images::remove(args, global, environment)?,
        ImageCommand::Tag(args) => cmd::images::tag(args, global, environment)?,
        ImageCommand::Load(args) => cmd::transfer::load(args, global, environment)?,
        ImageCommand::Save(args) => cmd::transfer::save(args, global, environment)?,
        ImageCommand::Pull(args) => cmd::transfer::pull(args, global, environment)?,
        ImageCommand::Build(args) => return build(args, global, environment),
        ImageCommand::Prune(args) => return cmd::cache::images(args, global, environment),
    }
    Ok(0)
}

/// Prints to standard output. A reader that went away ends the output, not the command.
pub(crate) fn print(text: &str) {
    let _ = std::io::stdout().lock().write_all(text.as_bytes());
}

/// Prints to standard error.
pub(crate) fn eprint(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Prints a value as JSON on standard output.
pub(crate) fn print_json(value: &serde_json::Value) {
    print(&format!("{value:#}\n"));
}
