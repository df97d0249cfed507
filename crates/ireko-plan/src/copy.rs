//! COPY and ADD.

use crate::build::{Build, MAIN_CONTEXT, Position};
use crate::fault::{Fault, Of, fault, unsupported};
use crate::output::ContextRead;
use crate::state::State;
use ireko_dockerfile::words::Lexer;
use ireko_dockerfile::{Add, Copy, Heredoc, Source as Written, Word, chmod};
use ireko_graph::op::{self, CopyItem, FilesFrom, Unpack};
use ireko_graph::{About, Node, Op};
use ireko_report::Span;

/// The flags and paths of one instruction, expanded.
struct Expanded {
    chown: Option<String>,
    chmod: Option<String>,
    excludes: Vec<String>,
    sources: Vec<(String, Span)>,
    heredocs: Vec<(String, String)>,
    dest: String,
}

impl Build<'_> {
    /// COPY.
    pub(crate) fn copy(&mut self, state: &mut State, at: &Position<'_>, copy: &Copy) -> Result<(), Fault> {
        let words = expand(state, self.lexer(at.step), at, copy)?;
        for (source, span) in &words.sources {
            if let Some(remote) = remote(source) {
                let message = format!("COPY cannot fetch `{source}`, which is {}", remote.name());
                let mut fault = fault("remote-copy", message, *span);
                fault.hint = Some("ADD can".to_owned());
                return Err(fault);
            }
        }
        self.transfer(state, at, copy, Request { keyword: "COPY", words, unpack: Unpack::Never })
    }

    /// ADD.
    pub(crate) fn add(&mut self, state: &mut State, at: &Position<'_>, add: &Add) -> Result<(), Fault> {
        let lexer = self.lexer(at.step);
        let words = expand(state, lexer, at, &add.copy)?;
        let checksum = match &add.checksum {
            Some(word) => Some((state.expand(lexer, word, at.step.at(word.span))?, at.step.at(word.span))),
            None => None,
        };
        for (source, span) in &words.sources {
            if let Some(remote) = remote(source) {
                return Err(unsupported(&format!("ADD of {} (`{source}`)", remote.name()), *span));
            }
        }
        if let Some((_, span)) = checksum.filter(|(checksum, _)| !checksum.is_empty()) {
            let message = "`--checksum` is only for a source that is a URL or a git repository";
            return Err(fault("bad-checksum", message, span));
        }
        let unpack = if add.unpack.unwrap_or(true) { Unpack::Local } else { Unpack::Never };
        self.transfer(state, at, &add.copy, Request { keyword: "ADD", words, unpack })
    }

    fn transfer(
        &mut self,
        state: &mut State,
        at: &Position<'_>,
        copy: &Copy,
        request: Request,
    ) -> Result<(), Fault> {
        let Request { keyword, words, unpack } = request;
        let text = self.text(state, at);
        let mut inputs = Vec::new();
        let from = match &copy.from {
            None => FilesFrom::Context(MAIN_CONTEXT.to_owned()),
            Some(word) => {
                let span = at.step.at(word.span);
                let source = self.stages.copy_source(&word.value, span)?;
                self.files_from(&source, &mut inputs, at, span)?
            }
        };
        let note = note(keyword, copy, &words);
        let patterns: Vec<String> = words.sources.iter().map(|(source, _)| source.clone()).collect();
        let files =
            patterns.iter().map(|pattern| CopyItem::Files { from: from.clone(), pattern: pattern.clone() });
        let inline = words.heredocs.iter();
        let inline =
            inline.map(|(name, text)| CopyItem::Inline { name: name.clone(), bytes: text.clone().into() });
        let is_dir =
            |dest: &str| dest.is_empty() || dest == "." || dest.ends_with('/') || dest.ends_with("/.");
        let op = op::Copy {
            items: files.chain(inline).collect(),
            dest: state.path(&words.dest, at.step.at(copy.dest.span))?,
            dest_is_dir: is_dir(&words.dest),
            // With `--chmod` the result is the same as without `--link`, but for symlinks on the way.
            link: copy.link && words.chmod.is_none(),
            owner: words.chown,
            mode: words.chmod,
            parents: copy.parents,
            excludes: words.excludes.clone(),
            unpack,
        };
        let about = About { args: state.visible_args(), ..self.about(at, text.clone()) };
        let line = about.line;
        let no_cache = self.no_cache(at.stage);
        let op = Op::Copy(Box::new(op));
        let node = self.plan.graph.add(Node { op, base: state.node, inputs, about, no_cache });
        if let (FilesFrom::Context(context), false) = (from, patterns.is_empty()) {
            self.read(ContextRead { context, node, line, text, patterns, excludes: words.excludes });
        }
        state.node = Some(node);
        state.note_layer(note);
        Ok(())
    }
}

/// What the two instructions ask of the part they share.
struct Request {
    keyword: &'static str,
    words: Expanded,
    unpack: Unpack,
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
                words.heredocs.push((heredoc.name.clone(), heredoc_text(state, at, heredoc)?));
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

/// The text of a heredoc with its variables resolved; quotes in it are text.
fn heredoc_text(state: &State, at: &Position<'_>, heredoc: &Heredoc) -> Result<String, Fault> {
    let text = heredoc.text();
    if !heredoc.expand {
        return Ok(text);
    }
    // The escape character of a heredoc is always the backslash.
    let lexer = Lexer::new('\\').skip_quotes();
    Ok(lexer.word(&text, &state.env).of(at.step.at(heredoc.span))?.text)
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
        note.push_str(&format!(" {source}"));
    }
    for (name, _) in &words.heredocs {
        note.push_str(&format!(" <<{name}"));
    }
    format!("{note} {} # buildkit", words.dest)
}

/// A source that is not on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Remote {
    Url,
    Git,
}

impl Remote {
    fn name(self) -> &'static str {
        match self {
            Self::Url => "a URL",
            Self::Git => "a git repository",
        }
    }
}

/// Whether a source is a URL or a git repository.
fn remote(source: &str) -> Option<Remote> {
    if ["git://", "ssh://"].iter().any(|scheme| source.starts_with(scheme)) {
        return Some(Remote::Git);
    }
    if ["http://", "https://"].iter().any(|scheme| source.starts_with(scheme)) {
        let path = source.split(['#', '?']).next().unwrap_or(source);
        return Some(if path.ends_with(".git") { Remote::Git } else { Remote::Url });
    }
    // `user@host:path`, the form of scp.
    let (user, rest) = source.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    let word = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    (word(user, "-_") && word(host, "-.")).then_some(Remote::Git)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remote_sources_are_told_apart() {
        let cases = [
            ("https://example.com/a.tar", Some(Remote::Url)),
            ("https://example.com/a.git#main:dir", Some(Remote::Git)),
            ("git@example.com:a/b", Some(Remote::Git)),
            ("ssh://git@example.com/a", Some(Remote::Git)),
            ("github.com/a/b", None),
            ("a@b", None),
            ("dir/a@b:c", None),
            ("a.git", None),
        ];
        for (source, is) in cases {
            assert_eq!(remote(source), is, "{source}");
        }
    }
}
