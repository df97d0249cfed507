//! Text to Ast: lines, then words, then instructions.

mod bytes;
pub(crate) mod dump;
mod flags;
pub(crate) mod heredoc;
mod instruction;
mod lines;
mod raw;
#[cfg(test)]
mod tests;

use crate::ast::{
    Add, Ast, Comment, From, Instruction, InstructionKind, MetaArg, Onbuild, Place, RunForm, Source, Spanned,
    Stage,
};
use bytes::Text;
use instruction::Built;
use ireko_report::{Diagnostic, SourceText, Span};
use lines::Lines;
use raw::Raw;
use std::ops::RangeInclusive;

/// Reads a Dockerfile. `name` is what people call it; the text may be any bytes.
///
/// Never fails: what is wrong is in the diagnostics, in the order of the text, and what could be
/// read is in the Ast. Bytes that are not UTF-8 stand as U+FFFD in the Ast, but for files made of heredocs.
pub fn parse(name: &str, text: &[u8]) -> (Ast, Vec<Diagnostic>) {
    let mut tree = Tree::default();
    let text = match Text::new(name, text) {
        Ok(text) => text,
        Err(wrong) => {
            let source = SourceText::new(name, String::from_utf8_lossy(text));
            let (escape, directives, comments) = ('\\', Vec::new(), Vec::new());
            let (meta_args, stages) = (Vec::new(), Vec::new());
            let ast = Ast { source, escape, directives, comments, meta_args, stages, wrong: Vec::new() };
            return (ast, vec![*wrong]);
        }
    };
    tree.diagnostics.extend(text.long_line());
    let mut lines = Lines::new(&text);
    while let Some(logical) = lines.logical() {
        tree.any = true;
        if logical.blank_continuation {
            let message = format!("Empty continuation line found in: {}", logical.text);
            let warning = Diagnostic::warning("no-empty-continuation", message).at(logical.span);
            tree.diagnostics.push(warning.with_hint("take the empty line out, or make it a comment"));
        }
        let (first, before) = (logical.first_line, tree.diagnostics.len());
        match raw::read(logical, &mut lines) {
            Ok(raw) => tree.add(&raw),
            Err(diagnostic) => tree.diagnostics.push(*diagnostic),
        }
        if tree.diagnostics[before..].iter().any(Diagnostic::is_error) {
            tree.wrong.push(first..=lines.last());
        }
    }
    let Lines { escape, directives, comments, diagnostics, .. } = lines;
    tree.diagnostics.extend(diagnostics);
    tree.replaced(&text, &comments);
    tree.finish(&text.source);
    let Tree { meta_args, stages, diagnostics, wrong, .. } = tree;
    let source = text.source;
    (Ast { source, escape, directives, comments, meta_args, stages, wrong }, diagnostics)
}

/// Reads one instruction that stands alone: what ONBUILD left in an image's config. Spans are
/// offsets into `text`; `None` where it is wrong, and then the diagnostics say why.
pub fn parse_trigger(text: &str) -> (Option<Instruction>, Vec<Diagnostic>) {
    let source = match Text::new("ONBUILD", text.as_bytes()) {
        Ok(source) => source,
        Err(wrong) => return (None, vec![*wrong]),
    };
    let mut lines = Lines::new(&source);
    let mut diagnostics = Vec::new();
    let Some(logical) = lines.logical() else {
        let empty = Diagnostic::error("empty", "an ONBUILD trigger is empty").at(Span::new(0..text.len()));
        return (None, vec![empty]);
    };
    let raw = match raw::read(logical, &mut lines) {
        Ok(raw) => raw,
        Err(diagnostic) => return (None, vec![*diagnostic]),
    };
    if matches!(raw.name().as_str(), "FROM" | "MAINTAINER" | "ONBUILD") {
        let message = format!("{} isn't allowed as an ONBUILD trigger", raw.name());
        return (None, vec![Diagnostic::error("instruction", message).at(raw.keyword.span)]);
    }
    let built = instruction::build(&raw, &mut diagnostics);
    if let Some(more) = lines.logical() {
        diagnostics
            .push(Diagnostic::error("instruction", "an ONBUILD trigger is one instruction").at(more.span));
    }
    let instruction = match built {
        Some(Built::Kind(kind)) => Some(Instruction { at: place(&raw), kind }),
        _ => None,
    };
    (instruction, diagnostics)
}

#[derive(Default)]
struct Tree {
    meta_args: Vec<MetaArg>,
    stages: Vec<Stage>,
    diagnostics: Vec<Diagnostic>,
    wrong: Vec<RangeInclusive<u32>>,
    any: bool,
}

impl Tree {
    fn add(&mut self, raw: &Raw) {
        let at = place(raw);
        match instruction::build(raw, &mut self.diagnostics) {
            Some(Built::From(from)) => self.stages.push(Stage { at, from, instructions: Vec::new() }),
            Some(Built::Kind(kind)) => self.add_kind(at, kind),
            // What follows a wrong FROM belongs to its stage all the same.
            None if raw.name() == "FROM" => {
                let base = raw.args.first().cloned().unwrap_or_default();
                let from = From { base, name: None, platform: None, after: Vec::new() };
                self.stages.push(Stage { at, from, instructions: Vec::new() });
            }
            None => {}
        }
    }

    fn add_kind(&mut self, at: Place, kind: InstructionKind) {
        match (self.stages.last_mut(), kind) {
            (Some(stage), kind) => stage.instructions.push(Instruction { at, kind }),
            (None, InstructionKind::Arg(args)) => self.meta_args.push(MetaArg { at, args }),
            (None, _) => {
                let message = format!("no build stage in current context: {} before FROM", at.keyword.value);
                let hint = "begin the stage with FROM; only ARG may stand before it";
                self.diagnostics.push(Diagnostic::error("no-stage", message).at(at.span).with_hint(hint));
            }
        }
    }

    /// Warns of the first byte that is not UTF-8 and does not stay what it is.
    fn replaced(&mut self, text: &Text, comments: &[Comment]) {
        let instructions = self.stages.iter().flat_map(|stage| &stage.instructions);
        let kept = instructions.flat_map(|instruction| files(&instruction.kind));
        let mut kept: Vec<Span> = kept.chain(comments.iter().map(|comment| comment.span)).collect();
        kept.sort();
        let spared = |at| {
            let after = kept.partition_point(|span| span.start <= at);
            after.checked_sub(1).is_some_and(|last| at < kept[last].end)
        };
        let all = Span::new(0..text.source.text().len());
        if let Some(at) = text.first_invalid(all, |at| !spared(at)) {
            let message = "a byte that is not UTF-8 is read as U+FFFD";
            let hint = "save the Dockerfile as UTF-8";
            self.diagnostics.push(Diagnostic::warning("not-utf8", message).at(at).with_hint(hint));
        }
    }

    /// What is wrong with the whole, and everything in the order of the text.
    fn finish(&mut self, source: &SourceText) {
        // The last line there is, not the one after it.
        let end = source.text().strip_suffix('\n').unwrap_or(source.text()).len();
        let end = Span::new(end..end);
        if !self.any {
            let what = if source.text().is_empty() {
                "the Dockerfile cannot be empty"
            } else {
                "file with no instructions"
            };
            self.diagnostics.push(Diagnostic::error("empty", what).at(end));
        } else if self.stages.is_empty() && !self.diagnostics.iter().any(Diagnostic::is_error) {
            self.diagnostics
                .push(Diagnostic::error("no-stage", "dockerfile contains no stages to build").at(end));
        }
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.span().map(|span| span.start));
    }
}

/// Where the heredocs stand that become files byte by byte.
fn files(kind: &InstructionKind) -> Vec<Span> {
    match kind {
        InstructionKind::Run(run) if matches!(run.form(), RunForm::Script { .. }) => {
            run.heredocs.first().map(|doc| doc.content.span).into_iter().collect()
        }
        InstructionKind::Add(Add { copy, .. }) | InstructionKind::Copy(copy) => {
            let docs = copy.sources.iter().filter_map(|source| match source {
                Source::Heredoc(doc) if !doc.expand => Some(doc.content.span),
                _ => None,
            });
            docs.collect()
        }
        _ => Vec::new(),
    }
}

fn place(raw: &Raw) -> Place {
    Place {
        span: raw.span,
        keyword: raw.keyword.clone(),
        lines: raw.first_line..=raw.last_line,
        original: raw.original.clone(),
        comments: raw.comments.clone(),
    }
}

/// `ONBUILD`: its instruction is read, but what is wrong with it is wrong only once it runs.
fn onbuild(raw: &Raw, diagnostics: &mut Vec<Diagnostic>) -> Onbuild {
    let keyword = raw.keyword.value.len();
    let mut text = raw.original[keyword.min(raw.original.len())..].trim_start().to_owned();
    for doc in &raw.heredocs {
        text.push('\n');
        text.push_str(&doc.content.value);
        text.push_str(&doc.name);
    }
    let instruction = raw.inner.as_deref().and_then(|inner| {
        let mut found = Vec::new();
        let built = instruction::build(inner, &mut found);
        diagnostics.extend(found.into_iter().map(|diagnostic| match diagnostic.is_error() {
            true => Diagnostic {
                severity: ireko_report::Severity::Warning,
                ..diagnostic.with_note("an image built on this one will fail here")
            },
            false => diagnostic,
        }));
        match built {
            Some(Built::Kind(kind)) => Some(Box::new(Instruction { at: place(inner), kind })),
            _ => None,
        }
    });
    Onbuild { text, instruction }
}

/// A word that is not there.
fn absent(span: Span) -> Spanned<String> {
    Spanned { value: String::new(), span: Span { start: span.end, end: span.end } }
}
