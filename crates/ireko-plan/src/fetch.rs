//! Sources of ADD that are not on this machine.

use crate::build::{Build, Position, position_of};
use crate::fault::{Fault, fault};
use ireko_dockerfile::gitref::{self, GitRef, Mtime};
use ireko_graph::op::{self, CopyItem, GitSource, HttpSource};
use ireko_graph::{NodeId, Op};
use ireko_report::Span;
use percent_encoding::percent_decode_str;

/// A source from elsewhere, and where it is named.
pub(crate) struct Elsewhere<'a> {
    /// As it is after expansion.
    pub(crate) source: &'a str,
    /// Where.
    pub(crate) span: Span,
    /// What it is.
    pub(crate) kind: Remote,
}

/// What ADD says of what it fetches.
#[derive(Default)]
pub(crate) struct Fetch {
    /// `--checksum`, where it is said.
    pub(crate) checksum: Option<(String, Span)>,
    /// `--unpack` was said: archives from elsewhere are unpacked too.
    pub(crate) unpack: bool,
    /// `--keep-git-dir`, where it is said.
    pub(crate) keep_git_dir: Option<bool>,
}

impl Build<'_> {
    /// A source from elsewhere: its node becomes an input.
    pub(crate) fn fetched(
        &mut self,
        from: &Elsewhere<'_>,
        fetch: &Fetch,
        at: &Position<'_>,
        inputs: &mut Vec<NodeId>,
    ) -> Result<CopyItem, Fault> {
        let Elsewhere { source, span, kind } = *from;
        if kind == Remote::Git {
            let (text, op) =
                (format!("fetch {}", op::shown(source)), Op::Git(Box::new(git(source, span, fetch)?)));
            let node = self.source(op, self.about(at, text), at.stage);
            let input = position_of(node, inputs);
            return Ok(CopyItem::Fetched { input, name: String::new(), unpack: false });
        }
        let http = http(source, fetch)?;
        let (name, text) = (http.name.clone(), format!("fetch {}", op::shown(source)));
        let node = self.source(Op::Http(http), self.about(at, text), at.stage);
        let input = position_of(node, inputs);
        Ok(CopyItem::Fetched { input, name, unpack: fetch.unpack })
    }
}

/// The file of a URL.
pub(crate) fn http(source: &str, fetch: &Fetch) -> Result<HttpSource, Fault> {
    let parse = |(text, span): &(String, Span)| {
        let wrong = |error: ireko_oci::OciError| {
            let message = format!("`--checksum={text}` is no digest: {error}");
            let mut fault = fault("bad-checksum", message, *span);
            fault.hint = Some("write `--checksum=sha256:` and 64 hexadecimal digits".to_owned());
            fault
        };
        text.parse().map_err(wrong)
    };
    let checksum = fetch.checksum.as_ref().map(parse).transpose()?;
    Ok(HttpSource { url: source.to_owned(), name: file_name(source), checksum })
}

/// What is fetched of a repository: what its reference says, and what the flags do.
pub(crate) fn git(source: &str, span: Span, fetch: &Fetch) -> Result<GitSource, Fault> {
    let wrong = |why: String| {
        let message = format!("cannot use git reference `{}`: {why}", op::shown(source));
        fault("bad-git-ref", message, span)
    };
    let found = match gitref::parse(source) {
        Ok(found) => found,
        Err(gitref::Refusal::Wrong(why)) => return Err(wrong(why)),
        Err(gitref::Refusal::NotGit) => return Err(wrong("it is none".to_owned())),
    };
    let keep_git_dir = match (fetch.keep_git_dir, found.keep_git_dir) {
        (Some(flag), Some(query)) if flag != query => {
            return Err(wrong(format!("it says `keep-git-dir={query}`, and the flag says `{flag}`")));
        }
        (flag, query) => query.or(flag).unwrap_or(false),
    };
    let mut checksum = found.checksum.clone();
    if let Some((flag, span)) = &fetch.checksum {
        if !flag.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            let message = format!("`--checksum={flag}` is no commit of a git repository");
            let mut fault = fault("bad-checksum", message, *span);
            fault.hint =
                Some("write the commit's hexadecimal digits, as `git rev-parse` shows them".to_owned());
            return Err(fault);
        }
        if !checksum.is_empty() && checksum != *flag {
            let message = format!("`--checksum={flag}` and `checksum={checksum}` of the reference differ");
            return Err(fault("bad-checksum", message, *span));
        }
        checksum.clone_from(flag);
    }
    Ok(source_of(&found, checksum, keep_git_dir))
}

/// A reference as the graph has it.
pub fn source_of(found: &GitRef, checksum: String, keep_git_dir: bool) -> GitSource {
    GitSource {
        remote: found.url(),
        reference: found.reference.clone(),
        checksum: Some(checksum).filter(|checksum| !checksum.is_empty()),
        subdir: found.subdir.clone(),
        keep_git_dir,
        submodules: found.submodules.unwrap_or(true),
        commit_times: found.mtime == Some(Mtime::Commit),
        by_commit: found.fetch_by_commit,
    }
}

/// The name that a file of a URL gets: the last of its path, escapes resolved.
fn file_name(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let path = path.split_once("://").map_or(path, |(_, rest)| rest);
    let path = path.split_once('/').map_or("", |(_, path)| path);
    // Where the escapes hide no text, the name stays as it is written.
    let path = percent_decode_str(path).decode_utf8().ok().filter(|path| !path.contains('\0'));
    match path.unwrap_or_default().trim_end_matches('/').rsplit('/').next() {
        None | Some("" | "." | "..") => "__unnamed__".to_owned(),
        Some(name) => name.to_owned(),
    }
}

/// A source that is not on this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Remote {
    /// A file behind a URL.
    Url,
    /// A repository.
    Git,
}

impl Remote {
    /// What it is, for messages.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Url => "a URL",
            Self::Git => "a git repository",
        }
    }
}

/// Whether a source is a URL or a git repository.
pub(crate) fn remote(source: &str) -> Option<Remote> {
    match gitref::parse(source) {
        // What may as well be a path is one.
        Ok(found) if found.like_local => None,
        Ok(_) | Err(gitref::Refusal::Wrong(_)) => Some(Remote::Git),
        Err(gitref::Refusal::NotGit) => {
            ["http://", "https://"].iter().any(|scheme| source.starts_with(scheme)).then_some(Remote::Url)
        }
    }
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
