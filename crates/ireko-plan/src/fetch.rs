//! Sources of ADD that are not on this machine.

use crate::build::{Build, Position, position_of};
use crate::fault::{Fault, fault, unsupported};
use ireko_dockerfile::gitref;
use ireko_graph::op::{self, CopyItem, HttpSource};
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
        let Remote::Url = kind else {
            return Err(unsupported(&format!("ADD of a git repository (`{}`)", op::shown(source)), span));
        };
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
        let (name, text) = (file_name(source), format!("fetch {}", op::shown(source)));
        let op = Op::Http(HttpSource { url: source.to_owned(), name: name.clone(), checksum });
        let node = self.source(op, self.about(at, text), at.stage);
        let input = position_of(node, inputs);
        Ok(CopyItem::Fetched { input, name, unpack: fetch.unpack })
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
