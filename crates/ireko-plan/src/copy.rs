//! COPY and ADD.

use crate::build::{Build, Position};
use crate::fault::{Fault, Of, fault};
use crate::fetch::{Elsewhere, Fetch, remote};
use crate::output::ContextRead;
use crate::state::State;
use ireko_dockerfile::words::Lexer;
use ireko_dockerfile::{Add, Copy, Heredoc, Source as Written, Word, chmod};
use ireko_graph::Op;
use ireko_graph::op::{self, CopyItem, FilesFrom, Unpack};
use ireko_report::Span;

/// The flags and paths of one instruction, expanded.
struct Expanded {
    chown: Option<String>,
    chmod: Option<String>,
    excludes: Vec<String>,
    sources: Vec<(String, Span)>,
    heredocs: Vec<(String, Vec<u8>)>,
    dest: String,
}

impl Build<'_> {
    /// COPY.
    pub(crate) fn copy(&mut self, state: &mut State, at: &Position<'_>, copy: &Copy) -> Result<(), Fault> {
        let words = expand(state, self.lexer(at.step), at, copy)?;
        for (source, span) in &words.sources {
            if let Some(remote) = remote(source) {
                let message =
                    format!("COPY cannot fetch `{}`, which is {}", op::shown(source), remote.name());
                let mut fault = fault("remote-copy", message, *span);
                fault.hint = Some("ADD can".to_owned());
                return Err(fault);
            }
        }
        let fetch = Fetch::default();
        self.transfer(state, at, copy, Request { keyword: "COPY", words, unpack: Unpack::Never, fetch })
    }

    /// ADD.
    pub(crate) fn add(&mut self, state: &mut State, at: &Position<'_>, add: &Add) -> Result<(), Fault> {
        let lexer = self.lexer(at.step);
        let words = expand(state, lexer, at, &add.copy)?;
        let checksum = match &add.checksum {
            Some(word) => Some((state.expand(lexer, word, at.step.at(word.span))?, at.step.at(word.span))),
            None => None,
        };
        let checksum = checksum.filter(|(checksum, _)| !checksum.is_empty());
        if let Some((_, span)) = &checksum {
            let remote = words.sources.iter().filter(|(source, _)| remote(source).is_some()).count();
            let all = words.sources.len() + words.heredocs.len();
            let wrong = |message| Err(fault("bad-checksum", message, *span));
            match (remote, all) {
                (1, 1) => {}
                (0, _) => {
                    return wrong("`--checksum` is only for a source that is a URL or a git repository");
                }
                _ => return wrong("`--checksum` is for one source, and there are several"),
            }
        }
        let fetch = Fetch { checksum, unpack: add.unpack.unwrap_or(false), keep_git_dir: add.keep_git_dir };
        let unpack = if add.unpack.unwrap_or(true) { Unpack::Local } else { Unpack::Never };
        self.transfer(state, at, &add.copy, Request { keyword: "ADD", words, unpack, fetch })
    }

    fn transfer(
        &mut self,
        state: &mut State,
        at: &Position<'_>,
        copy: &Copy,
        request: Request,
    ) -> Result<(), Fault> {
        let Request { keyword, words, unpack, fetch } = request;
        let mut text = self.text(state, at);
        for (source, _) in words.sources.iter().filter(|(source, _)| remote(source).is_some()) {
            text = text.replace(source, &op::shown(source));
        }
        let mut inputs = Vec::new();
        let from = match &copy.from {
            None => self.main_files(&mut inputs, at),
            Some(word) => {
                let span = at.step.at(word.span);
                let source = self.stages.copy_source(at.step.named_by(word), span)?;
                self.files_from(&source, &mut inputs, at, span)?
            }
        };
        let note = note(keyword, copy, &words);
        let (mut files, mut patterns) = (Vec::new(), Vec::new());
        for (source, span) in &words.sources {
            files.push(match remote(source) {
                Some(kind) => {
                    let from = Elsewhere { source, span: *span, kind };
                    self.fetched(&from, &fetch, at, &mut inputs)?
                }
                None => {
                    patterns.push(source.clone());
                    CopyItem::Files { from: from.clone(), pattern: source.clone() }
                }
            });
        }
        let inline = words.heredocs.iter();
        let inline =
            inline.map(|(name, bytes)| CopyItem::Inline { name: name.clone(), bytes: bytes.clone() });
        let is_dir =
            |dest: &str| dest.is_empty() || dest == "." || dest.ends_with('/') || dest.ends_with("/.");
        let op = op::Copy {
            items: files.into_iter().chain(inline).collect(),
            dest_is_dir: is_dir(&state.written(&words.dest, at.step.at(copy.dest.span))?),
            dest: state.path(&words.dest, at.step.at(copy.dest.span))?,
            // With `--chmod` the result is the same as without `--link`, but for symlinks on the way.
            link: copy.link && words.chmod.is_none(),
            owner: words.chown,
            mode: words.chmod,
            parents: copy.parents,
            excludes: words.excludes.clone(),
            unpack,
        };
        let about = self.about_in(state, at, text.clone());
        let line = about.line;
        let reuse = self.reuse(at.stage);
        let node = self.step(state, (Op::Copy(Box::new(op)), inputs), (about, reuse), note);
        if let (FilesFrom::Context(context), false) = (from, patterns.is_empty()) {
            self.read(ContextRead { context, node, line, text, patterns, excludes: words.excludes });
        }
        Ok(())
    }
}

/// What the two instructions ask of the part they share.
struct Request {
    keyword: &'static str,
    words: Expanded,
    unpack: Unpack,
    fetch: Fetch,
}

fn expand(state: &State, lexer: Lexer, at: &Position<'_>, copy: &Copy) -> Result<Expanded, Fault> {
    let one = |word: &Word| state.expand(lexer, word, at.step.at(word.span));
    let flag = |word: &Option<Word>| -> Result<Option<String>, Fault> {
        let text = word.as_ref().map(one).transpose()?;
        Ok(text.filter(|text| !text.is_empty()))
    };
    let mut words = Expanded {
        chown: flag(&copy.chown)?,
        chmod: flag(&copy.chmod)?,
        excludes: copy.excludes.iter().map(one).collect::<Result<_, _>>()?,
        sources: Vec::new(),
        heredocs: Vec::new(),
        dest: one(&copy.dest)?,
    };
    for source in &copy.sources {
        match source {
            Written::Path(word) => words.sources.push((one(word)?, at.step.at(word.span))),
            Written::Heredoc(heredoc) => {
                words.heredocs.push((heredoc.name.clone(), heredoc_bytes(state, at, heredoc)?));
            }
        }
    }
    if let (Some(mode), Some(word)) = (&words.chmod, &copy.chmod) {
        let wrong =
            |why| fault("bad-chmod", format!("cannot use `--chmod={mode}`: {why}"), at.step.at(word.span));
        chmod::parse(mode).map_err(wrong)?;
    }
    Ok(words)
}

/// What a heredoc makes a file of: its variables resolved; quotes in it are text.
fn heredoc_bytes(state: &State, at: &Position<'_>, heredoc: &Heredoc) -> Result<Vec<u8>, Fault> {
    if !heredoc.expand {
        return Ok(heredoc.bytes());
    }
    // The escape character of a heredoc is always the backslash.
    let lexer = Lexer::new('\\').skip_quotes();
    Ok(lexer.word(&heredoc.text(), &state.env).of(at.step.at(heredoc.span))?.text.into_bytes())
}

fn note(keyword: &str, copy: &Copy, words: &Expanded) -> String {
    let mut note = keyword.to_owned();
    if copy.parents {
        note.push_str(" --parents");
    }
    if let Some(chown) = &words.chown {
        note.push_str(&format!(" --chown={chown}"));
    }
    if let Some(chmod) = &words.chmod {
        note.push_str(&format!(" --chmod={chmod}"));
    }
    for (source, _) in &words.sources {
        note.push_str(&format!(" {}", op::shown(source)));
    }
    for (name, _) in &words.heredocs {
        note.push_str(&format!(" <<{name}"));
    }
    format!("{note} {} # buildkit", words.dest)
}
