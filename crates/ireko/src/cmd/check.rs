//! `ireko build --check` and `--call`: what a Dockerfile says, without building it; and the warnings of a build.

mod document;
mod picture;

use crate::cli::{BuildArgs, Global, Progress};
use crate::cmd::build::{plan_input_of, pull};
use crate::debian_context::Foretold;
use crate::dockerfile::Source;
use crate::environment::Environment;
use crate::failure::{Failure, frame, in_source};
use crate::look::look_at;
use crate::print;
use crate::session::Session;
use crate::settle::{self, Configs, Places};
use crate::wishes::secrets;
use ireko_dockerfile::Ast;
use ireko_dockerfile::ignore::Patterns;
use ireko_image::Images;
use ireko_lint::{Fault, Findings, Input, Outline, Scope, lint, outline, targets};
use ireko_oci::Platform;
use ireko_plan::PlanInput;
use ireko_report::{Diagnostic, SourceText};
use std::io::IsTerminal;

/// The exit code of a check that has warnings, as for `docker buildx build`.
const HAS_WARNINGS: u8 = 1;

/// What is asked of a Dockerfile in place of building it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Check,
    Outline,
    Targets,
    /// Which methods there are.
    Describe,
}

/// The version of all that can be asked for.
const VERSION: &str = "1.0.0";

/// What can be asked for, in BuildKit's words.
struct Described {
    name: &'static str,
    description: &'static str,
    /// What it takes beside the Dockerfile; `None` where BuildKit does not say.
    options: Option<&'static [(&'static str, &'static str)]>,
}

/// What BuildKit's frontend lists; `check` is none of it, though it answers that too.
const DESCRIBED: [Described; 3] = [
    Described {
        name: "outline",
        description: "List all parameters current build target supports",
        options: Some(&[("target", "Target build stage")]),
    },
    Described { name: "targets", description: "List all targets current build supports", options: Some(&[]) },
    Described { name: "subrequests.describe", description: "List available subrequest types", options: None },
];

/// `--call`, read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    method: Method,
    json: bool,
    /// Warnings leave the exit code alone.
    ignore_status: bool,
}

impl Call {
    /// What is asked for; `None` where it is to be built.
    pub(crate) fn of(args: &BuildArgs) -> Result<Option<Self>, Failure> {
        match (&args.call, args.check) {
            (None, false) => Ok(None),
            (None, true) => Self::parse("check"),
            (Some(text), false) => Self::parse(text),
            // `--check --call=format=json` says nothing twice.
            (Some(text), true) => match Self::parse(text) {
                Ok(None) => Self::parse("check"),
                Ok(Some(call)) if call.method == Method::Check => Ok(Some(call)),
                Ok(Some(_)) => {
                    Err(Failure::user(format!("`--check` and `--call={text}` ask for two things"))
                        .hint("leave one of them out"))
                }
                Err(failure) => Self::parse(&format!("check,{text}")).map_err(|_| failure),
            },
        }
    }

    fn parse(text: &str) -> Result<Option<Self>, Failure> {
        let wrong = |why: &str| {
            Failure::user(format!("`--call={text}`: {why}")).hint(
                "use check, outline, targets or subrequests.describe, with `,format=json` for programs and `,ignorestatus=true` for an exit code of 0",
            )
        };
        let mut name = None;
        let (mut json, mut ignore_status) = (false, false);
        for field in text.split(',').map(str::trim) {
            match field.split_once('=') {
                Some(("format", "json")) => json = true,
                Some(("format", "text" | "")) => json = false,
                Some(("format", _)) => return Err(wrong("the format is json or text")),
                Some(("ignorestatus", "true" | "1")) | None if field.starts_with("ignorestatus") => {
                    ignore_status = true;
                }
                Some(("ignorestatus", "false" | "0")) => ignore_status = false,
                Some((option, _)) => return Err(wrong(&format!("`{option}` is no option"))),
                None if name.is_some() => return Err(wrong("it names two methods")),
                None => name = Some(field),
            }
        }
        let method = match name {
            Some("check" | "lint") => Method::Check,
            Some("outline") => Method::Outline,
            Some("targets") => Method::Targets,
            Some("subrequests.describe") => Method::Describe,
            Some("build") => return Ok(None),
            None | Some("") => return Err(wrong("it names no method")),
            Some(_) => return Err(wrong("there is no such method")),
        };
        Ok(Some(Self { method, json, ignore_status }))
    }
}

/// Runs the command: nothing is built. Configs of base images are read where a rule needs them.
pub(crate) fn run(
    args: &BuildArgs,
    call: &Call,
    global: &Global,
    environment: Environment,
) -> Result<u8, Failure> {
    let secrets = secrets(args, &environment)?;
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let pull = pull(args);
    let looked = look_at(&args.source, &session, &secrets, (pull, false))?;
    let source = &looked.source;
    let (ast, diagnostics) = ireko_dockerfile::parse(&source.name, &source.text);
    let platforms = settle::platforms(&args.source.platform, &session.environment)?;
    let mut plan = plan_input_of(ast.clone(), &args.source, (platforms, looked.build_args), source, None)?;
    // What a step may do is asked when it is to run.
    plan.settings.allow_insecure = true;
    let subject = Subject { ast: &ast, diagnostics: &diagnostics, source };
    match call.method {
        Method::Describe => {
            print(&if call.json { document::described()? } else { picture::described() });
            Ok(0)
        }
        Method::Targets => {
            subject.readable()?;
            let targets = targets(&ast);
            print(&if call.json { document::targets(&targets, &ast)? } else { picture::targets(&targets) });
            Ok(0)
        }
        Method::Outline => {
            let outline = subject.outline(&plan)?;
            print(&if call.json { document::outline(&outline, &ast)? } else { picture::outline(&outline) });
            Ok(0)
        }
        Method::Check => {
            let colour = session.environment.colour() && std::io::stdout().is_terminal();
            let warned = subject.check(plan, &looked.images, (call.json, colour))?;
            Ok(if warned && !call.ignore_status { HAS_WARNINGS } else { 0 })
        }
    }
}

/// Which stages are gone through where no target is given.
fn scope_of(plan: &PlanInput, all: Scope) -> Scope {
    match plan.targets.as_slice() {
        [] => all,
        targets => Scope::Targets(targets.to_vec()),
    }
}

/// A Dockerfile that is looked at.
struct Subject<'a> {
    ast: &'a Ast,
    diagnostics: &'a [Diagnostic],
    source: &'a Source,
}

impl<'a> Subject<'a> {
    /// What the target takes.
    fn outline(&self, plan: &PlanInput) -> Result<Outline, Failure> {
        self.readable()?;
        self.has_targets(plan)?;
        let platform = plan.platforms().swap_remove(0);
        let input = self.input(plan, platform, &Configs::new(), &scope_of(plan, Scope::Last));
        outline(&input).map_err(|fault| failure_of(&fault, &self.ast.source))
    }

    /// Says what the rules find; whether that is anything.
    fn check(&self, plan: PlanInput, images: &Images, (json, colour): (bool, bool)) -> Result<bool, Failure> {
        let known = match self.readable() {
            Ok(()) => settle::look(plan.clone(), Places { images, bases: &Foretold(images.store()) }),
            Err(failure) => settle::Known { failure: Some(failure), ..settle::Known::default() },
        };
        let found = match self.findings(&plan, &known.configs, &scope_of(&plan, Scope::Everything)) {
            Ok(found) => found,
            Err(fault) => {
                let failure = failure_of(&fault, &self.ast.source);
                // What the text asks for is a mistake of the text; a build argument is one of the command line.
                if json && fault.span.is_some() {
                    let found = Findings { fault: Some(fault), ..Findings::default() };
                    print(&document::findings(&found, None, self.ast)?);
                }
                return Err(failure);
            }
        };
        let failure = self.failure(&found, known.failure);
        if json {
            let failed = failure.as_ref().map(|failure| (failure, known.places.as_slice()));
            print(&document::findings(&found, failed, self.ast)?);
        } else {
            print(&picture::findings(&found, (self.ast, failure.is_some()), colour));
            self.other_warnings();
        }
        failure.map_or(Ok(!found.warnings.is_empty()), Err)
    }

    /// A mistake in the text is a failure, as for a build.
    fn readable(&self) -> Result<(), Failure> {
        match self.diagnostics.iter().any(Diagnostic::is_error) {
            true => Err(in_source(self.diagnostics, &self.ast.source)),
            false => Ok(()),
        }
    }

    /// The target must be one; the planner says so where it is not.
    fn has_targets(&self, plan: &PlanInput) -> Result<(), Failure> {
        match plan.targets.iter().find(|target| self.ast.stage(target).is_none()) {
            None => Ok(()),
            Some(_) => match ireko_plan::plan(plan, &ireko_plan::Facts::default()) {
                ireko_plan::Planned::Broken(faults) => Err(in_source(&faults, &self.ast.source)),
                _ => Ok(()),
            },
        }
    }

    /// What the rules say, for each platform that is built.
    fn findings(&self, plan: &PlanInput, bases: &Configs, scope: &Scope) -> Result<Findings, Fault> {
        let mut all = Findings::default();
        for platform in plan.platforms() {
            all.join(lint(&self.input(plan, platform, bases, scope))?);
        }
        Ok(all)
    }

    fn input(&self, plan: &PlanInput, platform: Platform, bases: &Configs, scope: &Scope) -> Input<'a> {
        Input {
            ast: self.ast,
            diagnostics: self.diagnostics,
            build_args: plan.build_args.clone(),
            scope: scope.clone(),
            platform: plan.platform.clone(),
            target_platform: platform,
            bases: bases.clone(),
            contexts: self.source.named.keys().map(|name| name.to_ascii_lowercase()).collect(),
            ignore: self.source.ignore.as_ref().and_then(|(_, text)| Patterns::parse(text).ok()),
        }
    }

    /// What the command fails with: what a build would, else what stopped the inspection, else `error=true`.
    fn failure(&self, found: &Findings, known: Option<Failure>) -> Option<Failure> {
        let fault = || found.fault.as_ref().map(|fault| failure_of(fault, &self.ast.source));
        known.or_else(fault).or_else(|| violation(found))
    }

    /// What else the parser warns of.
    fn other_warnings(&self) {
        for warning in settle::not_of_a_rule(self.diagnostics) {
            let lines =
                [vec![format!("warning: {}", warning.message)], frame(warning, &self.ast.source)].concat();
            let hint = warning.hint.iter().map(|hint| format!("hint: {hint}"));
            crate::eprint(&format!("{}\n", lines.into_iter().chain(hint).collect::<Vec<_>>().join("\n")));
        }
    }
}

/// A build's failure where warnings are errors.
fn violation(found: &Findings) -> Option<Failure> {
    let message = found.violation()?;
    Some(Failure::user(message).hint(
        "`# check=error=true`, or BUILDKIT_DOCKERFILE_CHECK, makes warnings errors; `# check=skip=RULE` above an instruction leaves a rule out there",
    ))
}

fn failure_of(fault: &Fault, source: &SourceText) -> Failure {
    let mut failure = Failure::user(&fault.message);
    if let Some(span) = fault.span {
        failure.details = frame(&Diagnostic::error("check", fault.message.clone()).at(span), source);
    }
    failure
}

/// The warnings of a build: told once, at its end.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    lines: Vec<String>,
}

impl Warned {
    /// Inspects what is to be built, before anything runs. Programs that read the events get the warnings at once.
    pub(crate) fn inspect(
        &mut self,
        plan: &PlanInput,
        (diagnostics, source): (&[Diagnostic], &Source),
        bases: &Configs,
        session: &Session,
    ) -> Result<(), Failure> {
        let subject = Subject { ast: &plan.ast, diagnostics, source };
        let scope = scope_of(plan, Scope::Last);
        let text = &plan.ast.source;
        let found = subject.findings(plan, bases, &scope).map_err(|fault| failure_of(&fault, text))?;
        if session.screen.is_json() {
            let sink = session.sink();
            found.warnings.iter().for_each(|warning| settle::warn(&*sink, warning.diagnostic(), text));
        }
        self.lines = picture::brief(&found, text, session.verbose);
        // Whatever else would stop the inspection has stopped the planner before.
        violation(&found).map_or(Ok(()), Err)
    }

    /// Says them.
    pub(crate) fn say(&self, session: &Session) {
        self.lines.iter().for_each(|line| session.screen.note(line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_read() {
        for (text, expected) in [
            ("build", Ok(None)),
            ("check", Ok(Some((Method::Check, false, false)))),
            ("lint,format=json", Ok(Some((Method::Check, true, false)))),
            ("format=json,check,ignorestatus=true", Ok(Some((Method::Check, true, true)))),
            ("check,ignorestatus", Ok(Some((Method::Check, false, true)))),
            ("outline,format=text", Ok(Some((Method::Outline, false, false)))),
            ("targets", Ok(Some((Method::Targets, false, false)))),
            ("subrequests.describe,format=json", Ok(Some((Method::Describe, true, false)))),
            ("", Err("`--call=`: it names no method")),
            ("format=json", Err("`--call=format=json`: it names no method")),
            ("chekc", Err("`--call=chekc`: there is no such method")),
            ("check,outline", Err("`--call=check,outline`: it names two methods")),
            ("check,format=xml", Err("`--call=check,format=xml`: the format is json or text")),
            ("check,fromat=json", Err("`--call=check,fromat=json`: `fromat` is no option")),
        ] {
            let seen = Call::parse(text)
                .map(|call| call.map(|call| (call.method, call.json, call.ignore_status)))
                .map_err(|failure| failure.message);
            assert_eq!(seen, expected.map_err(str::to_owned), "{text}");
        }
    }
}
