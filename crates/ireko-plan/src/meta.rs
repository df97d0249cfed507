//! Instructions that make no node: they change the image's config and the environment of later steps.

use crate::build::Build;
use crate::fault::{Fault, Of};
use crate::go;
use crate::scope::given;
use crate::state::State;
use crate::trigger::Step;
use crate::values::{self, Wrong};
use ireko_dockerfile::words::Lexer;
use ireko_dockerfile::{ArgItem, Command, Healthcheck, InstructionKind, Pair, Word};
use ireko_oci::Healthcheck as Check;
use ireko_report::Span;

impl Build<'_> {
    /// Does what the instruction says; `false` where it is one that makes a node.
    pub(crate) fn meta(&self, state: &mut State, step: &Step) -> Result<bool, Fault> {
        let cx = Words { lexer: self.lexer(step), step };
        match &step.instruction.kind {
            InstructionKind::Add(_)
            | InstructionKind::Copy(_)
            | InstructionKind::Run(_)
            | InstructionKind::Workdir(_) => return Ok(false),
            InstructionKind::Arg(args) => self.arg(state, &cx, args)?,
            InstructionKind::Env(pairs) => cx.env(state, pairs)?,
            InstructionKind::Label(pairs) => cx.label(state, pairs)?,
            InstructionKind::Cmd(command) => {
                state.image.config.cmd = command_line(state, command);
                state.image.config.args_escaped = true;
                state.cmd_said = true;
                state.note(format!("CMD {}", go::quoted(&state.image.config.cmd)));
            }
            InstructionKind::Entrypoint(command) => {
                state.image.config.entrypoint = command_line(state, command);
                if !state.cmd_said {
                    state.image.config.cmd = Vec::new();
                }
                state.note(format!("ENTRYPOINT {}", go::quoted(&state.image.config.entrypoint)));
            }
            InstructionKind::Expose(ports) => cx.expose(state, ports)?,
            InstructionKind::Healthcheck(check) => healthcheck(state, check),
            InstructionKind::Maintainer(name) => {
                state.image.author = name.value.clone();
                state.note(format!("MAINTAINER {}", name.value));
            }
            InstructionKind::Onbuild(onbuild) => state.image.config.on_build.push(onbuild.text.clone()),
            InstructionKind::Shell(words) => {
                state.image.config.shell = words.iter().map(|word| word.value.clone()).collect();
                state.note(format!("SHELL {}", go::list(&state.image.config.shell)));
            }
            InstructionKind::Stopsignal(word) => {
                let signal = cx.expand(state, word)?;
                values::stop_signal(&signal)
                    .map_err(|wrong| wrong.fault("bad-signal", step.at(word.span)))?;
                state.note(format!("STOPSIGNAL {signal}"));
                state.image.config.stop_signal = signal;
            }
            InstructionKind::User(word) => {
                let user = cx.expand(state, word)?;
                state.note(format!("USER {user}"));
                state.image.config.user = user;
            }
            InstructionKind::Volume(words) => cx.volume(state, words)?,
        }
        Ok(true)
    }

    fn arg(&self, state: &mut State, cx: &Words<'_>, args: &[ArgItem]) -> Result<(), Fault> {
        let mut note = String::from("ARG");
        for arg in args {
            let name = &arg.name.value;
            let value = match (given(self.input, name), &arg.value) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(word)) => Some(cx.expand(state, word)?),
                (None, None) => self.global.value(name).map(str::to_owned),
            };
            note.push(' ');
            note.push_str(name);
            if let Some(value) = &value {
                if !NOT_VARIABLES.contains(&name.as_str()) {
                    state.env.set(name, value);
                }
                note.push('=');
                note.push_str(value);
            }
            state.args.push((name.clone(), value));
        }
        state.note(note);
        Ok(())
    }
}

/// Arguments that steer the build and are no variables of its steps.
const NOT_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// How words of one instruction are expanded.
struct Words<'a> {
    lexer: Lexer,
    step: &'a Step,
}

impl Words<'_> {
    fn expand(&self, state: &State, word: &Word) -> Result<String, Fault> {
        state.expand(self.lexer, word, self.step.at(word.span))
    }

    /// Names and values, all expanded with the environment from before the instruction.
    fn pairs(&self, state: &State, pairs: &[Pair]) -> Result<Vec<(String, String)>, Fault> {
        let both = |pair: &Pair| Ok((self.expand(state, &pair.name)?, self.expand(state, &pair.value)?));
        pairs.iter().map(both).collect()
    }

    fn env(&self, state: &mut State, pairs: &[Pair]) -> Result<(), Fault> {
        let mut note = String::from("ENV");
        for (name, value) in self.pairs(state, pairs)? {
            // The config's variables are all in the environment: what is new there needs no search here.
            match state.env.set(&name, &value) {
                true => state.image.config.env.push(format!("{name}={value}")),
                false => state.image.config.env_set(&name, &value),
            }
            note.push_str(&format!(" {name}={value}"));
        }
        state.note(note);
        Ok(())
    }

    fn label(&self, state: &mut State, pairs: &[Pair]) -> Result<(), Fault> {
        let mut note = String::from("LABEL");
        for (name, value) in self.pairs(state, pairs)? {
            note.push_str(&format!(" {name}={value}"));
            state.image.config.labels.insert(name, value);
        }
        state.note(note);
        Ok(())
    }

    fn volume(&self, state: &mut State, words: &[Word]) -> Result<(), Fault> {
        let mut volumes = Vec::new();
        for word in words {
            let volume = self.expand(state, word)?;
            values::volume(&volume).map_err(|wrong| {
                let message = format!("{} after expansion", wrong.message);
                Wrong { message, ..wrong }.fault("empty-volume", self.step.at(word.span))
            })?;
            volumes.push(volume);
        }
        state.note(format!("VOLUME {}", go::list(&volumes)));
        state.image.config.volumes.extend(volumes);
        Ok(())
    }

    fn expose(&self, state: &mut State, specs: &[Word]) -> Result<(), Fault> {
        let mut ports = Vec::new();
        for word in specs {
            let span: Span = self.step.at(word.span);
            for spec in self.lexer.word(&word.value, &state.env).of(span)?.words {
                ports.extend(values::ports(&spec).map_err(|wrong| wrong.fault("bad-port", span))?);
            }
        }
        state.note(format!("EXPOSE {}", go::list(&ports)));
        state.image.config.exposed_ports.extend(ports);
        Ok(())
    }
}

fn command_line(state: &State, command: &Command) -> Vec<String> {
    match command {
        Command::Shell(line) => state.with_shell(&line.value),
        Command::Exec(_) => command.words(),
    }
}

fn healthcheck(state: &mut State, check: &Healthcheck) {
    let check = match check {
        Healthcheck::None => Check { test: vec!["NONE".to_owned()], ..Check::default() },
        Healthcheck::Check { command, interval, timeout, start_period, start_interval, retries } => {
            let kind = if matches!(command, Command::Shell(_)) { "CMD-SHELL" } else { "CMD" };
            Check {
                test: std::iter::once(kind.to_owned()).chain(command.words()).collect(),
                interval: *interval,
                timeout: *timeout,
                start_period: *start_period,
                start_interval: *start_interval,
                retries: i64::from(*retries),
                ..Check::default()
            }
        }
    };
    state.note(format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        go::list(&check.test),
        go::duration(check.interval),
        go::duration(check.timeout),
        go::duration(check.start_period),
        go::duration(check.start_interval),
        check.retries,
    ));
    state.image.config.healthcheck = Some(check);
}
