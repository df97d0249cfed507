//! SOURCE_DATE_EPOCH as the name of something that has a date: the context, a named context, a stage that fetches one
//! thing and does nothing else.

use crate::fault::{Fault, Of, fault, suggest};
use crate::fetch::{self, Fetch, Remote};
use crate::input::{ContextSpec, PlanInput};
use crate::scope::{self, Scope, given};
use ireko_dockerfile::words::Lexer;
use ireko_dockerfile::{Add, InstructionKind, Source, Stage};
use ireko_graph::Op;
use ireko_report::Diagnostic;

/// The build argument.
pub(crate) const NAME: &str = "SOURCE_DATE_EPOCH";

/// What a build's date is taken from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EpochFrom {
    /// The main context.
    Context,
    /// What a source node fetches: a commit's time, a file's `Last-Modified`, or its newest entry if it is an archive.
    Fetched(Op),
    /// A context that has no date: a directory, an image.
    Undated,
}

/// What SOURCE_DATE_EPOCH names; `None` where it is a number, or not given. Whoever knows the date gives it as the build
/// argument then, or nothing where there is none.
///
/// # Errors
/// It names nothing, or a stage that is more than one source.
pub fn epoch_from(input: &PlanInput) -> Result<Option<EpochFrom>, Box<Diagnostic>> {
    let platforms = input.platforms();
    let platform = platforms.first().unwrap_or(&input.platform);
    let global = scope::global(input, "", platform)?;
    let text = given(input, NAME).or(global.value(NAME)).unwrap_or_default();
    if text.is_empty() || text.parse::<i64>().is_ok() {
        return Ok(None);
    }
    if text == "context" {
        return Ok(Some(EpochFrom::Context));
    }
    match input.contexts.get(text) {
        Some(ContextSpec::Fetched(op)) => return Ok(Some(EpochFrom::Fetched(op.clone()))),
        Some(_) => return Ok(Some(EpochFrom::Undated)),
        None => {}
    }
    let name =
        |stage: &&Stage| stage.from.name.as_ref().is_some_and(|name| name.value.eq_ignore_ascii_case(text));
    match input.ast.stages.iter().find(name) {
        Some(stage) => {
            let mut scope = global.clone();
            // It is what is looked for (`resolveSourceDateEpoch`, `dockerfile2llb/epoch.go`).
            scope.unset(NAME);
            stage_source(input, stage, scope).map(|op| Some(EpochFrom::Fetched(op)))
        }
        None => Err(unknown(input, text)),
    }
}

/// What is said of a value that is neither a number nor a name.
fn unknown(input: &PlanInput, text: &str) -> Fault {
    let message =
        format!("`{NAME}` is `{text}`, which is no number of seconds, and no stage or context is called so");
    let stages = input.ast.stages.iter().filter_map(|stage| stage.from.name.as_ref());
    let names = stages.map(|name| name.value.as_str()).chain(input.contexts.keys().map(String::as_str));
    let mut diagnostic = Diagnostic::error("bad-epoch", message);
    let args = input.ast.meta_args.iter().flat_map(|arg| &arg.args);
    let written = args.filter(|arg| arg.name.value == NAME).filter_map(|arg| arg.value.as_ref()).next_back();
    if let (None, Some(word)) = (given(input, NAME), written) {
        diagnostic = diagnostic.at(word.span);
    }
    suggest(Box::new(diagnostic), text, names.chain(["context"]))
}

/// The one thing that a stage fetches.
fn stage_source(input: &PlanInput, stage: &Stage, mut scope: Scope) -> Result<Op, Fault> {
    let lexer = Lexer::new(input.ast.escape);
    let wrong = |why: &str, span| {
        let name = stage.from.name.as_ref().map(|name| name.value.as_str()).unwrap_or_default();
        let mut fault =
            fault("bad-epoch", format!("stage `{name}` cannot give the date of the build: {why}"), span);
        fault.hint = Some(format!(
            "a stage that `{NAME}` names is `FROM scratch` and one `ADD` of a URL or a git repository"
        ));
        fault
    };
    let base = &stage.from.base;
    if lexer.word(&base.value, &scope).of(base.span)?.text != "scratch" {
        return Err(wrong("it does not begin from scratch", base.span));
    }
    let mut found = None;
    for step in &stage.instructions {
        match &step.kind {
            InstructionKind::Arg(args) => {
                for arg in args.iter().filter(|arg| arg.name.value != NAME) {
                    let value = match (given(input, &arg.name.value), &arg.value) {
                        (Some(given), _) => given.to_owned(),
                        (None, Some(word)) => lexer.word(&word.value, &scope).of(word.span)?.text,
                        (None, None) => continue,
                    };
                    scope.set(&arg.name.value, &value);
                }
            }
            InstructionKind::Add(add) if found.is_none() => match add_source(add, lexer, &scope)? {
                Some(op) => found = Some(op),
                None => {
                    return Err(wrong("its ADD is not of one URL or git repository", step.at.keyword.span));
                }
            },
            InstructionKind::Add(_) => return Err(wrong("it has more than one ADD", step.at.keyword.span)),
            _ => {
                let keyword = step.at.keyword.value.to_ascii_uppercase();
                return Err(wrong(
                    &format!("it has an instruction beside it, {keyword}"),
                    step.at.keyword.span,
                ));
            }
        }
    }
    found.ok_or_else(|| wrong("it has no ADD", base.span))
}

fn add_source(add: &Add, lexer: Lexer, scope: &Scope) -> Result<Option<Op>, Fault> {
    let [Source::Path(word)] = add.copy.sources.as_slice() else { return Ok(None) };
    let source = lexer.word(&word.value, scope).of(word.span)?.text;
    let checksum = match &add.checksum {
        Some(word) => Some((lexer.word(&word.value, scope).of(word.span)?.text, word.span)),
        None => None,
    };
    let fetch = Fetch { checksum, keep_git_dir: add.keep_git_dir, ..Fetch::default() };
    match fetch::remote(&source) {
        Some(Remote::Git) => Ok(Some(Op::Git(Box::new(fetch::git(&source, word.span, &fetch)?)))),
        Some(Remote::Url) => Ok(Some(Op::Http(fetch::http(&source, &fetch)?))),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the date of this Dockerfile is taken from, with a named context `lib`.
    fn from(text: &str) -> String {
        let (ast, _) = ireko_dockerfile::parse("Dockerfile", text.as_bytes());
        let mut input = PlanInput::new(ast);
        input.contexts.insert("lib".to_owned(), ContextSpec::Dir);
        input.build_args = vec![("V".to_owned(), Some("2".to_owned()))];
        match epoch_from(&input) {
            Ok(None) => "a number or nothing".to_owned(),
            Ok(Some(EpochFrom::Fetched(Op::Http(source)))) => format!("file {}", source.url),
            Ok(Some(EpochFrom::Fetched(Op::Git(source)))) => {
                format!("git {} {}", source.remote, source.reference)
            }
            Ok(Some(other)) => format!("{other:?}"),
            Err(fault) => format!("{} ({})", fault.message, fault.hint.unwrap_or_default()),
        }
    }

    #[test]
    fn a_date_is_a_number_or_a_name() {
        let cases = [
            ("FROM scratch\n", "a number or nothing"),
            ("ARG SOURCE_DATE_EPOCH=12\nFROM scratch\n", "a number or nothing"),
            ("ARG SOURCE_DATE_EPOCH=context\nFROM scratch\n", "Context"),
            ("ARG SOURCE_DATE_EPOCH=lib\nFROM scratch\n", "Undated"),
            (
                "ARG V=1\nARG SOURCE_DATE_EPOCH=SRC\nFROM scratch AS src\nARG N=a$V\nADD https://h/$N.tar /\nFROM scratch\n",
                "file https://h/a2.tar",
            ),
            (
                "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\nARG SOURCE_DATE_EPOCH\nADD https://h/${SOURCE_DATE_EPOCH:-none} /\n",
                "file https://h/none",
            ),
            (
                "ARG SOURCE_DATE_EPOCH=src\nFROM scratch AS src\nADD https://h/a.git#v1 /\nFROM scratch\n",
                "git https://h/a.git v1",
            ),
            (
                "ARG SOURCE_DATE_EPOCH=srk\nFROM scratch AS src\n",
                "`SOURCE_DATE_EPOCH` is `srk`, which is no number of seconds, and no stage or context is called so (did you mean `src`?)",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(from(text), wanted, "{text}");
        }
    }

    #[test]
    fn a_stage_that_gives_a_date_fetches_one_thing() {
        let cases = [
            ("FROM busybox AS src\nADD https://h/a /\n", "it does not begin from scratch"),
            ("FROM scratch AS src\n", "it has no ADD"),
            ("FROM scratch AS src\nADD a /\n", "its ADD is not of one URL or git repository"),
            ("FROM scratch AS src\nADD https://h/a https://h/b /\n", "its ADD is not of one URL"),
            ("FROM scratch AS src\nADD https://h/a /\nADD https://h/b /\n", "more than one ADD"),
            ("FROM scratch AS src\nADD https://h/a /\nENV A=b\n", "an instruction beside it, ENV"),
        ];
        for (text, says) in cases {
            let said = from(&format!("ARG SOURCE_DATE_EPOCH=src\n{text}"));
            assert!(said.contains(says) && said.contains("stage `src`"), "{text}: {said}");
        }
    }
}
