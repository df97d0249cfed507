//! The instructions of one stage, one after the other.

use crate::from::Globals;
use crate::input::Input;
use crate::outline::{ArgNote, Notes};
use crate::report::Report;
use crate::rules::{self, multiple_instructions_disallowed::Last};
use crate::walk::State;
use ireko_dockerfile::words::Lexer;
use ireko_dockerfile::{
    Add, ArgItem, Command, Copy, Healthcheck, Instruction, InstructionKind, Pair, Place, Run, Source, Word,
    mount,
};
use ireko_report::Span;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Arguments that steer the build and are no variables of its steps.
pub(crate) const NOT_VARIABLES: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// An instruction and where it counts as standing: a trigger stands at the FROM that brings it.
pub(crate) struct Step<'a> {
    pub(crate) kind: &'a InstructionKind,
    pub(crate) place: &'a Place,
    pub(crate) keyword: &'a str,
    lexer: Lexer,
    at_from: Option<Span>,
}

impl<'a> Step<'a> {
    pub(crate) fn own(instruction: &'a Instruction, escape: char) -> Self {
        let Instruction { at, kind } = instruction;
        Self { kind, place: at, keyword: crate::walk::keyword(at), lexer: Lexer::new(escape), at_from: None }
    }

    /// A trigger, which stands at `from`.
    pub(crate) fn trigger(instruction: &'a Instruction, (from, base): (&'a Place, Span)) -> Self {
        Self {
            kind: &instruction.kind,
            place: from,
            keyword: crate::walk::keyword(&instruction.at),
            lexer: Lexer::new('\\'),
            at_from: Some(base),
        }
    }

    /// Where a part of the instruction stands, or FROM for a trigger, whose text is elsewhere.
    pub(crate) fn span(&self, part: Span) -> Span {
        self.at_from.unwrap_or(part)
    }
}

/// A stage that is gone through.
pub(crate) struct Dispatch<'a, 'r> {
    input: &'a Input<'a>,
    globals: &'a Globals<'a>,
    state: State,
    notes: Notes,
    last: Last,
    report: &'r mut Report,
}

impl<'a, 'r> Dispatch<'a, 'r> {
    pub(crate) fn new(
        input: &'a Input<'a>,
        globals: &'a Globals<'a>,
        state: State,
        report: &'r mut Report,
    ) -> Self {
        Self { input, globals, state, notes: Notes::default(), last: Last::default(), report }
    }

    pub(crate) fn finish(self) -> (State, Notes) {
        (self.state, self.notes)
    }

    pub(crate) fn step(&mut self, step: &Step) {
        match step.kind {
            InstructionKind::Add(add) => self.add(step, add),
            InstructionKind::Arg(args) => self.arg(step, args),
            InstructionKind::Cmd(command) => {
                self.last.cmd(step, self.report);
                self.command(step, command);
            }
            InstructionKind::Copy(copy) => self.copy(step, copy, None),
            InstructionKind::Entrypoint(command) => {
                self.last.entrypoint(step, self.report);
                self.command(step, command);
            }
            InstructionKind::Env(pairs) => self.env(step, pairs),
            InstructionKind::Expose(ports) => self.expose(step, ports),
            InstructionKind::Healthcheck(Healthcheck::None | Healthcheck::Check { .. }) => {
                self.last.healthcheck(step, self.report);
            }
            InstructionKind::Label(pairs) => {
                self.pairs(step, pairs);
                rules::legacy_key_value_format::check(step, pairs, self.report);
            }
            InstructionKind::Run(run) => self.run(step, run),
            InstructionKind::Shell(_) => self.state.shell = true,
            InstructionKind::Stopsignal(word) | InstructionKind::User(word) => {
                self.expand(step, word);
            }
            InstructionKind::Volume(words) => words.iter().for_each(|word| drop(self.expand(step, word))),
            InstructionKind::Workdir(word) => self.workdir(step, word),
            InstructionKind::Maintainer(_) | InstructionKind::Onbuild(_) => {}
        }
    }

    /// A word with its variables; what is not set is said. A word that cannot be expanded is the planner's to refuse.
    fn expand(&mut self, step: &Step, word: &Word) -> String {
        self.expand_with(step, word, step.lexer)
    }

    fn expand_with(&mut self, step: &Step, word: &Word, lexer: Lexer) -> String {
        let Ok(expanded) = lexer.word(&word.value, &self.state.vars) else { return String::new() };
        self.undefined(step, word, &expanded.unset);
        expanded.text
    }

    fn undefined(&mut self, step: &Step, word: &Word, unset: &BTreeSet<String>) {
        if self.state.known && !unset.is_empty() {
            rules::undefined_var::check(self.input.ast, step, (word, unset), &self.state, self.report);
        }
    }

    fn command(&mut self, step: &Step, command: &Command) {
        rules::json_args_recommended::check(step, command, self.state.shell, self.report);
    }

    fn pairs(&mut self, step: &Step, pairs: &[Pair]) -> Vec<(String, String)> {
        pairs.iter().map(|pair| (self.expand(step, &pair.name), self.expand(step, &pair.value))).collect()
    }

    fn env(&mut self, step: &Step, pairs: &[Pair]) {
        let expanded = self.pairs(step, pairs);
        rules::legacy_key_value_format::check(step, pairs, self.report);
        let names = pairs.iter().zip(&expanded).map(|(pair, (name, _))| (name.as_str(), pair.name.span));
        rules::secrets_used_in_arg_or_env::check(step, "ENV", names.collect(), self.report);
        expanded.iter().for_each(|(name, value)| self.state.vars.set(name, value));
    }

    fn arg(&mut self, step: &Step, args: &[ArgItem]) {
        let names = args.iter().map(|item| (item.name.value.as_str(), item.name.span));
        rules::secrets_used_in_arg_or_env::check(step, "ARG", names.collect(), self.report);
        for item in args {
            let name = item.name.value.as_str();
            let mut own = true;
            let value = match (self.input.given(name), &item.value) {
                (Some(given), _) => Some(given.to_owned()),
                (None, Some(word)) => Some(self.expand(step, word)),
                (None, None) => {
                    let global = self.globals.vars.value(name).map(str::to_owned);
                    own = global.is_none();
                    global
                }
            };
            if let Some(value) = value.as_ref().filter(|_| !NOT_VARIABLES.contains(&name)) {
                self.state.vars.set(name, value);
            }
            Rc::make_mut(&mut self.state.declared).insert(name.to_owned());
            let note = ArgNote { value, comment: item.comment.clone(), lines: step.place.lines.clone() };
            self.notes.arg(name, own.then_some(note));
        }
    }

    fn workdir(&mut self, step: &Step, word: &Word) {
        let path = self.expand(step, word);
        if !std::mem::replace(&mut self.state.workdir, true) {
            rules::workdir_relative_path::check(step, word, &path, self.report);
        }
    }

    fn expose(&mut self, step: &Step, ports: &[Word]) {
        for word in ports {
            let Ok(expanded) = step.lexer.word(&word.value, &self.state.vars) else { continue };
            for port in &expanded.words {
                rules::expose_proto_casing::check(step, word, port, self.report);
                rules::expose_invalid_format::check(step, word, port, self.report);
            }
        }
    }

    fn add(&mut self, step: &Step, add: &Add) {
        self.copy(step, &add.copy, add.checksum.as_ref());
    }

    fn copy(&mut self, step: &Step, copy: &Copy, checksum: Option<&Word>) {
        let flags = copy.chown.iter().chain(&copy.chmod).chain(checksum).chain(&copy.excludes);
        flags.for_each(|word| drop(self.expand(step, word)));
        for source in &copy.sources {
            match source {
                Source::Path(word) => {
                    let path = self.expand(step, word);
                    if copy.from.is_none() {
                        rules::copy_ignored_file::check(
                            step,
                            (word, &path),
                            self.input.ignore.as_ref(),
                            self.report,
                        );
                    }
                }
                Source::Heredoc(doc) if doc.expand => {
                    self.expand_with(step, &doc.content, Lexer::new('\\').skip_quotes());
                }
                Source::Heredoc(_) => {}
            }
        }
        self.expand(step, &copy.dest);
    }

    fn run(&mut self, step: &Step, run: &Run) {
        for word in &run.mounts {
            let mut unset = BTreeSet::new();
            let vars = &self.state.vars;
            let read = mount::parse(&word.value, &mut |value| {
                let expanded = step.lexer.word(value, vars).map_err(|error| error.to_string())?;
                unset.extend(expanded.unset);
                Ok(expanded.text)
            });
            self.undefined(step, word, &unset);
            if let Ok(mount) = read {
                self.notes.mount(&mount, &step.place.lines);
            }
        }
        run.devices.iter().for_each(|word| drop(self.expand(step, word)));
    }
}
