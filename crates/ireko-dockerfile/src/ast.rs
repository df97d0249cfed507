//! The syntax tree: what stands in a Dockerfile, unexpanded, each piece with its span.

use ireko_report::{SourceText, Span};
use std::ops::RangeInclusive;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spanned<T> {
    /// What stands there.
    pub value: T,
    /// Where; a word broken over lines covers the break.
    pub span: Span,
}

/// A piece of text as the instruction sees it: line breaks joined, variables unexpanded, quotes kept.
pub type Word = Spanned<String>;

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ast {
    /// The text. Printing the Ast gives it back.
    pub source: SourceText,
    /// Escape character: `\` or a backtick.
    pub escape: char,
    /// `# syntax=`, `# escape=`, `# check=` at the top.
    pub directives: Vec<Directive>,
    /// All comment lines, inside continued lines too, but not the directives.
    pub comments: Vec<Comment>,
    /// ARG lines before the first FROM.
    pub meta_args: Vec<MetaArg>,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Lines of the instructions that are wrong, in order of the text. Some of these are no part of the stages.
    pub wrong: Vec<RangeInclusive<u32>>,
}

impl Ast {
    /// All instructions in order of the text, as pairs of stage number and place.
    /// Instructions before the first FROM have no stage.
    pub fn places(&self) -> impl Iterator<Item = (Option<usize>, &Place)> {
        let meta = self.meta_args.iter().map(|arg| (None, &arg.at));
        let stages = self.stages.iter().enumerate().flat_map(|(index, stage)| {
            let inner = stage.instructions.iter().map(|instruction| &instruction.at);
            std::iter::once(&stage.at).chain(inner).map(move |place| (Some(index), place))
        });
        meta.chain(stages)
    }

    /// The stage of that name (any case), or of that number.
    pub fn stage(&self, name: &str) -> Option<usize> {
        let by_name = self.stages.iter().rposition(|stage| {
            stage.from.name.as_ref().is_some_and(|own| own.value.eq_ignore_ascii_case(name))
        });
        by_name.or_else(|| name.parse().ok().filter(|index| *index < self.stages.len()))
    }
}

/// The source again.
impl std::fmt::Display for Ast {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.source.text())
    }
}

/// Which directive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DirectiveKind {
    /// `# syntax=`: the front end to parse with.
    Syntax,
    /// `# escape=`.
    Escape,
    /// `# check=`: which lints.
    Check,
}

/// A parser directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// The whole line without its ending.
    pub span: Span,
    /// Which.
    pub kind: DirectiveKind,
    /// Its value.
    pub value: Word,
}

/// A comment line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Comment {
    /// From `#` to the end of the line, without the line ending.
    pub span: Span,
    /// Text after `#`, trimmed.
    pub text: String,
}

/// Where an instruction stands and how it reads: what all of them have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The whole instruction with its heredocs, without the last line ending.
    pub span: Span,
    /// The keyword as written.
    pub keyword: Word,
    /// First and last line, from 1.
    pub lines: RangeInclusive<u32>,
    /// The instruction as one line, as written but for joined lines: BuildKit's "original".
    /// History and progress show it.
    pub original: String,
    /// The comment lines right above, texts only.
    pub comments: Vec<String>,
}

/// An ARG line before the first FROM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetaArg {
    /// Where.
    pub at: Place,
    /// What it declares.
    pub args: Vec<ArgItem>,
}

/// A stage: FROM and what follows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Where FROM stands.
    pub at: Place,
    /// What FROM says.
    pub from: From,
    /// What follows, without wrong instructions (each has a diagnostic).
    pub instructions: Vec<Instruction>,
}

/// `FROM [--platform=…] base [AS name]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct From {
    /// Base: an image, an earlier stage, or `scratch`; may hold variables.
    pub base: Word,
    /// Name of the stage, in lower case.
    pub name: Option<Word>,
    /// Platform; may hold variables.
    pub platform: Option<Word>,
    /// Stages that must be done before this one begins, names with commas between; may hold variables. Not in BuildKit's
    /// language.
    pub after: Vec<Word>,
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// Where.
    pub at: Place,
    /// What.
    pub kind: InstructionKind,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// `ADD`
    Add(Add),
    /// `ARG name[=value] …`
    Arg(Vec<ArgItem>),
    /// `CMD`
    Cmd(Command),
    /// `COPY`
    Copy(Copy),
    /// `ENTRYPOINT`
    Entrypoint(Command),
    /// `ENV name=value …`
    Env(Vec<Pair>),
    /// `EXPOSE port …`: words that may hold variables; see [`crate::expose`].
    Expose(Vec<Word>),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `LABEL name=value …`
    Label(Vec<Pair>),
    /// `MAINTAINER name`
    Maintainer(Word),
    /// `ONBUILD instruction`
    Onbuild(Onbuild),
    /// `RUN`
    Run(Run),
    /// `SHELL ["…"]`
    Shell(Vec<Word>),
    /// `STOPSIGNAL signal`
    Stopsignal(Word),
    /// `USER user[:group]`
    User(Word),
    /// `VOLUME path …`
    Volume(Vec<Word>),
    /// `WORKDIR path`
    Workdir(Word),
}

/// An argument that ARG declares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArgItem {
    /// Its name, with quotes and variables as written.
    pub name: Word,
    /// Its default.
    pub value: Option<Word>,
    /// What the comment above says of it (`# name words`).
    pub comment: Option<String>,
}

/// A name and its value in ENV or LABEL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its name, as written.
    pub name: Word,
    /// Its value, as written.
    pub value: Word,
    /// Written in the old form `ENV name value`: the value is the rest of the line.
    pub spaced: bool,
}

/// What CMD, ENTRYPOINT, RUN and HEALTHCHECK run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// A line for the shell of the stage. Its variables are the shell's.
    Shell(Word),
    /// A JSON array: run without a shell.
    Exec(Vec<Word>),
}

impl Command {
    /// The words of it: one line, or the array.
    pub fn words(&self) -> Vec<String> {
        match self {
            Self::Shell(line) => vec![line.value.clone()],
            Self::Exec(words) => words.iter().map(|word| word.value.clone()).collect(),
        }
    }
}

/// `RUN [flags] command`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// Values of `--mount`, unexpanded: [`crate::mount::parse`] expands and reads them.
    pub mounts: Vec<Word>,
    /// Value of `--network`: default, none or host.
    pub network: Option<Word>,
    /// Value of `--security`: sandbox or insecure.
    pub security: Option<Word>,
    /// Values of `--device`, unexpanded.
    pub devices: Vec<Word>,
    /// What to run, as on the line; heredocs stand apart.
    pub command: Command,
    /// Its heredocs, in order.
    pub heredocs: Vec<Heredoc>,
}

/// What a RUN really runs, heredocs folded in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunForm {
    /// These words, without a shell.
    Exec(Vec<String>),
    /// This text, by the stage's shell.
    Shell(String),
    /// A file with this text (it begins with `#!`), laid read-only and executable at
    /// `/dev/pipes/NAME`; the stage's shell is given that path.
    Script {
        /// Its name: the heredoc's.
        name: String,
        /// What is in it.
        content: Vec<u8>,
    },
}

impl Run {
    /// What is really run: a line that is one heredoc runs the heredoc's text, as a script where it
    /// begins with `#!`; any other line keeps its heredocs for the shell to read.
    pub fn form(&self) -> RunForm {
        let line = match &self.command {
            Command::Exec(_) => return RunForm::Exec(self.command.words()),
            Command::Shell(line) => &line.value,
        };
        let Some(first) = self.heredocs.first() else { return RunForm::Shell(line.clone()) };
        if !matches!(crate::parse::heredoc::operator(line), Ok(Some(_))) {
            let bodies = self.heredocs.iter().map(|doc| format!("\n{}{}", doc.content.value, doc.name));
            return RunForm::Shell(std::iter::once(line.clone()).chain(bodies).collect());
        }
        if first.content.value.starts_with("#!") {
            return RunForm::Script { name: first.name.clone(), content: first.bytes() };
        }
        RunForm::Shell(first.text())
    }
}

/// A heredoc: `<<NAME` on the line, its text below.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// The word `<<NAME` on the line.
    pub span: Span,
    /// Its name: the line that ends it, and the file name where COPY makes a file.
    pub name: String,
    /// The text as written, last newline included.
    pub content: Word,
    /// The same as bytes, where they are not UTF-8.
    pub original: Option<Vec<u8>>,
    /// Whether COPY and ADD expand variables in it: not where the name is quoted.
    pub expand: bool,
    /// `<<-`: leading tabs are not part of it.
    pub chomp: bool,
    /// The number before `<<`; 0 where none is written.
    pub descriptor: u32,
}

impl Heredoc {
    /// Its text, leading tabs taken off where `<<-` asks for it.
    pub fn text(&self) -> String {
        match self.chomp {
            false => self.content.value.clone(),
            true => {
                self.content.value.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
            }
        }
    }

    /// Its bytes, likewise: those of its text, but for what is not UTF-8 there.
    pub fn bytes(&self) -> Vec<u8> {
        let Some(original) = &self.original else { return self.text().into_bytes() };
        let lines = original.split_inclusive(|byte| *byte == b'\n');
        let tabs = |line: &[u8]| line.iter().take_while(|byte| self.chomp && **byte == b'\t').count();
        lines.flat_map(|line| line[tabs(line)..].iter().copied()).collect()
    }
}

/// What COPY and ADD take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// A path, pattern, URL or git reference; may hold variables.
    Path(Word),
    /// A heredoc: its text becomes a file of its name.
    Heredoc(Heredoc),
}

/// `COPY [flags] source … dest`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Copy {
    /// Sources, as written.
    pub sources: Vec<Source>,
    /// Destination, as written; may hold variables.
    pub dest: Word,
    /// `--from`: a stage, an image or a named context. Never expanded.
    pub from: Option<Word>,
    /// `--chown`; may hold variables; see [`crate::owner`].
    pub chown: Option<Word>,
    /// `--chmod`; may hold variables; see [`crate::chmod`].
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude` patterns; may hold variables.
    pub excludes: Vec<Word>,
}

/// `ADD [flags] source … dest`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Add {
    /// What it shares with COPY; `from` and `parents` are never set.
    pub copy: Copy,
    /// `--keep-git-dir`, where given.
    pub keep_git_dir: Option<bool>,
    /// `--checksum`; may hold variables.
    pub checksum: Option<Word>,
    /// `--unpack`, where given.
    pub unpack: Option<bool>,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`.
    None,
    /// `HEALTHCHECK [flags] CMD command`. Times in nanoseconds, zero where not given.
    Check {
        /// What to run.
        command: Command,
        /// `--interval`
        interval: i64,
        /// `--timeout`
        timeout: i64,
        /// `--start-period`
        start_period: i64,
        /// `--start-interval`
        start_interval: i64,
        /// `--retries`
        retries: u32,
    },
}

/// `ONBUILD instruction`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Onbuild {
    /// The instruction's text with its heredocs, as the image config keeps it.
    pub text: String,
    /// The instruction, where it could be read.
    pub instruction: Option<Box<Instruction>>,
}

impl<T: Default> Default for Spanned<T> {
    fn default() -> Self {
        Self { value: T::default(), span: Span::default() }
    }
}
