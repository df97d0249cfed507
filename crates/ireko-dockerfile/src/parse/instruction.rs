//! What an instruction says, and what is wrong with it.

use super::flags::{Flags, Takes};
use super::raw::{Form, Raw, halves};
use super::{absent, heredoc, onbuild};
use crate::ast::{
    Add, ArgItem, Command, Copy, From, Healthcheck, Heredoc, InstructionKind, Pair, Run, Source, Spanned,
    Word,
};
use crate::{device, duration, json, mount};
use ireko_report::{Diagnostic, nearest_names};

/// All keywords.
pub(super) const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// An instruction that could be read.
pub(super) enum Built {
    From(From),
    Kind(InstructionKind),
}

/// Reads an instruction; `None` where it is wrong, and then there is an error.
pub(super) fn build(raw: &Raw, diagnostics: &mut Vec<Diagnostic>) -> Option<Built> {
    let before = diagnostics.len();
    let mut cx = Cx { raw, name: raw.name(), diagnostics };
    let built = match cx.name.as_str() {
        "FROM" => cx.from().map(Built::From),
        _ => cx.kind().map(Built::Kind),
    };
    cx.array_that_is_none();
    let advice = cx.advice();
    for error in diagnostics[before..].iter_mut().filter(|found| found.is_error() && found.hint.is_none()) {
        error.hint = advice.clone();
    }
    let wrong = diagnostics[before..].iter().any(Diagnostic::is_error);
    built.filter(|_| !wrong)
}

struct Cx<'a> {
    raw: &'a Raw,
    name: String,
    diagnostics: &'a mut Vec<Diagnostic>,
}

impl Cx<'_> {
    fn kind(&mut self) -> Option<InstructionKind> {
        use InstructionKind as Kind;
        Some(match self.name.as_str() {
            "ADD" => Kind::Add(self.add()?),
            "ARG" => Kind::Arg(self.arg()?),
            "CMD" => Kind::Cmd(self.command_alone()),
            "COPY" => Kind::Copy(self.copy_instruction()?),
            "ENTRYPOINT" => Kind::Entrypoint(self.command_alone()),
            "ENV" => Kind::Env(self.pairs()?),
            "EXPOSE" => Kind::Expose(self.at_least_one()?),
            "HEALTHCHECK" => Kind::Healthcheck(self.healthcheck()?),
            "LABEL" => Kind::Label(self.pairs()?),
            "MAINTAINER" => Kind::Maintainer(self.exactly_one()?),
            "ONBUILD" => self.onbuild()?,
            "RUN" => Kind::Run(self.run()?),
            "SHELL" => Kind::Shell(self.shell()?),
            "STOPSIGNAL" => Kind::Stopsignal(self.exactly_one()?),
            "USER" => Kind::User(self.exactly_one()?),
            "VOLUME" => Kind::Volume(self.volume()?),
            "WORKDIR" => Kind::Workdir(self.exactly_one()?),
            _ => return self.unknown(),
        })
    }

    /// What is often the reason, where words are wrong or too many.
    fn advice(&self) -> Option<String> {
        let words: Vec<&str> = self.raw.args.iter().map(|word| word.value.as_str()).collect();
        let advice = match (self.name.as_str(), words.as_slice()) {
            (_, words) if words.iter().skip(1).any(|word| word.starts_with('#')) => {
                "a comment cannot end a line: it takes a line of its own, which begins with `#`"
            }
            ("FROM", [_, _, _]) => "write FROM image AS name",
            ("ARG", words) if words.contains(&"=") => "write ARG name=value, without blanks around the `=`",
            _ => return None,
        };
        Some(advice.to_owned())
    }

    fn error<T>(&mut self, code: &'static str, message: impl Into<String>) -> Option<T> {
        self.diagnostics.push(Diagnostic::error(code, message).at(self.raw.span));
        None
    }

    fn error_at<T>(&mut self, word: &Word, message: impl Into<String>) -> Option<T> {
        self.diagnostics.push(Diagnostic::error("instruction", message).at(word.span));
        None
    }

    /// Warns where an array was meant and something else is read.
    fn array_that_is_none(&mut self) {
        let read = match self.name.as_str() {
            "CMD" | "ENTRYPOINT" | "HEALTHCHECK" | "RUN" => "shell text",
            "ADD" | "COPY" | "VOLUME" => "plain words",
            _ => return,
        };
        let skipped = usize::from(self.name == "HEALTHCHECK");
        let Some([first, rest @ ..]) = self.raw.args.get(skipped..) else { return };
        let text = std::iter::once(first).chain(rest).map(|word| word.value.as_str()).collect::<Vec<_>>();
        let Some(hint) = json::array_advice(&text.join(" ")).filter(|_| self.raw.form == Form::Plain) else {
            return;
        };
        let span = rest.last().map_or(first.span, |last| first.span.to(last.span));
        let message = format!("what looks like an array is not JSON, so {} takes it as {read}", self.name);
        self.diagnostics.push(Diagnostic::warning("array-not-json", message).at(span).with_hint(hint));
    }

    fn unknown<T>(&mut self) -> Option<T> {
        let keyword = &self.raw.keyword;
        let near = nearest_names(&keyword.value, KEYWORDS);
        let message = format!("unknown instruction: {}", keyword.value);
        let mut diagnostic = Diagnostic::error("unknown-instruction", message).at(keyword.span);
        if keyword.value.starts_with("//") {
            diagnostic = diagnostic.with_hint("a comment begins with `#`");
        } else if !keyword.value.starts_with(|ch: char| ch.is_ascii_alphabetic()) {
            let hint = "if the line belongs to the instruction above, end the one before it with `\\`";
            diagnostic = diagnostic.with_hint(hint);
        } else if !near.is_empty() {
            diagnostic = diagnostic.with_hint(format!("did you mean {}?", near.join(" or ")));
        }
        self.diagnostics.push(diagnostic);
        None
    }

    fn flags(&mut self, known: &[(&'static str, Takes)]) -> Flags {
        Flags::read(&self.raw.flags, known, &self.name, self.diagnostics)
    }

    /// No flags are known. BuildKit does not look at those of two instructions.
    fn no_flags(&mut self) {
        match self.name.as_str() {
            "ARG" | "STOPSIGNAL" => Flags::unread(&self.raw.flags, &self.name, self.diagnostics),
            _ => drop(self.flags(&[])),
        }
    }

    fn at_least_one(&mut self) -> Option<Vec<Word>> {
        self.no_flags();
        match self.raw.args.is_empty() {
            false => Some(self.raw.args.clone()),
            true => self.error("arguments", format!("{} requires at least one argument", self.name)),
        }
    }

    fn exactly_one(&mut self) -> Option<Word> {
        self.no_flags();
        match self.raw.args.as_slice() {
            [word] => Some(word.clone()),
            _ => self.error("arguments", format!("{} requires exactly one argument", self.name)),
        }
    }

    fn from(&mut self) -> Option<From> {
        let flags = self.flags(&[("platform", Takes::One), ("after", Takes::Many)]);
        let (base, name) = match self.raw.args.as_slice() {
            [base] => (base, None),
            [base, word, name] if word.value.eq_ignore_ascii_case("as") => (base, Some(name)),
            _ => return self.error("arguments", "FROM requires either one or three arguments"),
        };
        let name = match name {
            None => None,
            Some(name) => Some(self.stage_name(name)?),
        };
        let (platform, after) = (flags.one("platform"), flags.many("after"));
        Some(From { base: base.clone(), name, platform, after })
    }

    fn stage_name(&mut self, name: &Word) -> Option<Word> {
        let lower = name.value.to_lowercase();
        let fits = lower.starts_with(|ch: char| ch.is_ascii_lowercase())
            && lower
                .chars()
                .all(|ch| ch.is_ascii_lowercase() || ch.is_ascii_digit() || matches!(ch, '-' | '_' | '.'));
        if !fits {
            let why = "name can't start with a number or contain symbols";
            return self.error_at(name, format!("invalid name for build stage: {:?}, {why}", name.value));
        }
        Some(Spanned { value: lower, span: name.span })
    }

    fn arg(&mut self) -> Option<Vec<ArgItem>> {
        let words = self.at_least_one()?;
        words.iter().map(|word| self.arg_item(word)).collect()
    }

    fn arg_item(&mut self, word: &Word) -> Option<ArgItem> {
        let (name, value) = halves(word);
        if name.value.is_empty() {
            return self.error_at(word, "ARG names can not be blank");
        }
        let about = |comment: &String| {
            let words = comment.strip_prefix(name.value.as_str())?.strip_prefix(' ')?;
            Some(words.to_owned())
        };
        let comment = self.raw.comments.iter().find_map(about);
        Some(ArgItem { name, value, comment })
    }

    fn pairs(&mut self) -> Option<Vec<Pair>> {
        let words = self.at_least_one()?;
        let spaced = matches!(self.raw.form, Form::Pairs { spaced: true });
        let pairs: Vec<Pair> = words
            .chunks_exact(2)
            .map(|pair| Pair { name: pair[0].clone(), value: pair[1].clone(), spaced })
            .collect();
        match pairs.iter().find(|pair| pair.name.value.is_empty()) {
            Some(blank) => self.error_at(&blank.value, format!("{} names can not be blank", self.name)),
            None => Some(pairs),
        }
    }

    fn command_alone(&mut self) -> Command {
        self.no_flags();
        self.command(&self.raw.args)
    }

    fn command(&self, args: &[Word]) -> Command {
        match (self.raw.form, args) {
            (Form::Json, words) => Command::Exec(words.to_vec()),
            (_, [line, ..]) => Command::Shell(line.clone()),
            (_, []) => Command::Shell(absent(self.raw.span)),
        }
    }

    fn shell(&mut self) -> Option<Vec<Word>> {
        let words = self.at_least_one()?;
        match self.raw.form {
            Form::Json => Some(words),
            _ => {
                let message = "SHELL requires the arguments to be in JSON form";
                let hint = r#"write SHELL ["program", "argument"]"#;
                self.diagnostics
                    .push(Diagnostic::error("shell-form", message).at(self.raw.span).with_hint(hint));
                None
            }
        }
    }

    fn volume(&mut self) -> Option<Vec<Word>> {
        let mut words = self.at_least_one()?;
        for word in &mut words {
            word.value = word.value.trim().to_owned();
            if word.value.is_empty() {
                return self.error_at(word, "VOLUME specified can not be an empty string");
            }
        }
        Some(words)
    }

    fn onbuild(&mut self) -> Option<InstructionKind> {
        self.no_flags();
        let Some(inner) = &self.raw.inner else {
            return self.error("arguments", "ONBUILD requires at least one argument");
        };
        match inner.name().as_str() {
            "ONBUILD" => {
                self.error_at(&inner.keyword, "Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")
            }
            name @ ("MAINTAINER" | "FROM") => {
                let message = format!("{name} isn't allowed as an ONBUILD trigger");
                self.error_at(&inner.keyword, message)
            }
            _ => Some(InstructionKind::Onbuild(onbuild(self.raw, self.diagnostics))),
        }
    }

    fn run(&mut self) -> Option<Run> {
        let known = [
            ("mount", Takes::Many),
            ("network", Takes::One),
            ("security", Takes::One),
            ("device", Takes::Many),
        ];
        let flags = self.flags(&known);
        for value in flags.many("mount") {
            if let Err(message) = mount::check(&value.value) {
                self.diagnostics.push(Diagnostic::error("mount", message).at(value.span));
            }
        }
        for value in flags.many("device") {
            if let Err(message) = device::parse(&value.value) {
                self.diagnostics.push(Diagnostic::error("device", message).at(value.span));
            }
        }
        let network = self.choice(flags.one("network"), "invalid network mode", &["default", "none", "host"]);
        let security = self.choice(flags.one("security"), "invalid security", &["sandbox", "insecure"]);
        Some(Run {
            mounts: flags.many("mount"),
            network,
            security,
            devices: flags.many("device"),
            command: self.command(&self.raw.args),
            heredocs: self.raw.heredocs.clone(),
        })
    }

    /// A value that must be one of a few.
    fn choice(&mut self, value: Option<Word>, what: &str, allowed: &[&str]) -> Option<Word> {
        let value = value?;
        if allowed.contains(&value.value.as_str()) {
            return Some(value);
        }
        let message = format!("{what} {:?}", value.value);
        let hint = format!("it is one of {}", allowed.join(", "));
        self.diagnostics.push(Diagnostic::error("flag", message).at(value.span).with_hint(hint));
        None
    }

    fn copy_instruction(&mut self) -> Option<Copy> {
        let known = [
            ("from", Takes::One),
            ("chown", Takes::One),
            ("chmod", Takes::One),
            ("link", Takes::Bool),
            ("parents", Takes::Bool),
            ("exclude", Takes::Many),
        ];
        let flags = self.flags(&known);
        self.copy(&flags)
    }

    fn add(&mut self) -> Option<Add> {
        let known = [
            ("chown", Takes::One),
            ("chmod", Takes::One),
            ("link", Takes::Bool),
            ("keep-git-dir", Takes::Bool),
            ("checksum", Takes::One),
            ("unpack", Takes::Bool),
            ("exclude", Takes::Many),
        ];
        let flags = self.flags(&known);
        Some(Add {
            copy: self.copy(&flags)?,
            keep_git_dir: flags.bool("keep-git-dir"),
            checksum: flags.one("checksum"),
            unpack: flags.bool("unpack"),
        })
    }

    fn copy(&mut self, flags: &Flags) -> Option<Copy> {
        let (dest, sources) = match self.raw.args.split_last() {
            Some((dest, sources)) if !sources.is_empty() => (dest, sources),
            _ => {
                let why = "requires at least two arguments, but only one was provided. Destination could not be determined";
                return self.error("arguments", format!("{} {why}", self.name));
            }
        };
        if self.raw.form != Form::Json && matches!(heredoc::operator(&dest.value), Ok(Some(_))) {
            return self.error_at(dest, format!("{} cannot accept a heredoc as a destination", self.name));
        }
        Some(Copy {
            sources: sources.iter().map(|word| self.source(word)).collect(),
            dest: dest.clone(),
            // An empty value is none, as in BuildKit.
            from: flags.one("from").filter(|from| !from.value.is_empty()),
            chown: flags.one("chown"),
            chmod: flags.one("chmod"),
            link: flags.bool("link").unwrap_or(false),
            parents: flags.bool("parents").unwrap_or(false),
            excludes: flags.many("exclude"),
        })
    }

    fn source(&self, word: &Word) -> Source {
        let name = match heredoc::operator(&word.value) {
            Ok(Some(operator)) => operator.name,
            _ => return Source::Path(word.clone()),
        };
        let found: Option<&Heredoc> = self.raw.heredocs.iter().rfind(|doc| doc.name == name);
        found.map_or_else(|| Source::Path(word.clone()), |doc| Source::Heredoc(doc.clone()))
    }

    fn healthcheck(&mut self) -> Option<Healthcheck> {
        let Some((kind, args)) = self.raw.args.split_first() else {
            return self.error("arguments", "HEALTHCHECK requires at least one argument");
        };
        match kind.value.to_uppercase().as_str() {
            "NONE" if args.is_empty() => return Some(Healthcheck::None),
            "NONE" => return self.error("arguments", "HEALTHCHECK NONE takes no arguments"),
            "CMD" => {}
            other => return self.error_at(kind, format!("Unknown type {other:?} in HEALTHCHECK (try CMD)")),
        }
        let names = ["interval", "timeout", "start-period", "start-interval", "retries"];
        let flags = self.flags(&names.map(|name| (name, Takes::One)));
        if args.is_empty() {
            return self.error("arguments", "Missing command after HEALTHCHECK CMD");
        }
        let mut time = |name: &str| flags.one(name).map_or(Some(0), |word| self.interval(name, &word));
        let [interval, timeout, start_period, start_interval] =
            ["interval", "timeout", "start-period", "start-interval"].map(&mut time);
        let retries = flags.one("retries").map_or(Some(0), |word| self.retries(&word));
        Some(Healthcheck::Check {
            command: self.command(args),
            interval: interval?,
            timeout: timeout?,
            start_period: start_period?,
            start_interval: start_interval?,
            retries: retries?,
        })
    }

    fn interval(&mut self, name: &str, word: &Word) -> Option<i64> {
        match duration::parse(&word.value) {
            _ if word.value.is_empty() => Some(0),
            Err(reason) => self.error_at(word, reason),
            Ok(nanoseconds) if nanoseconds != 0 && nanoseconds < 1_000_000 => {
                self.error_at(word, format!("Interval {name:?} cannot be less than 1ms"))
            }
            Ok(nanoseconds) => Some(nanoseconds),
        }
    }

    fn retries(&mut self, word: &Word) -> Option<u32> {
        match word.value.parse::<i32>() {
            _ if word.value.is_empty() => Some(0),
            Err(_) => self.error_at(word, format!("--retries is not a number: {:?}", word.value)),
            Ok(negative) if negative < 0 => {
                self.error_at(word, format!("--retries cannot be negative ({negative})"))
            }
            Ok(retries) => u32::try_from(retries).ok(),
        }
    }
}
