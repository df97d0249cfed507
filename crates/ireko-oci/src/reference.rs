//! Image references: Docker's grammar and its normalisation of familiar names.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::{Digest, OciError};

const DEFAULT_DOMAIN: &str = "docker.io";
const LEGACY_DOMAIN: &str = "index.docker.io";
const OFFICIAL: &str = "library/";
const DEFAULT_TAG: &str = "latest";
/// Longest repository path, as in Docker's grammar.
const PATH_MAX: usize = 255;
/// Longest tag, as in Docker's grammar.
const TAG_MAX: usize = 128;

/// The name of an image: registry, repository, and perhaps a tag, a digest, or both.
///
/// Always normalised: `app` has the domain `docker.io` and the path `library/app`. A missing tag stays missing
/// until [`Reference::or_latest`] is asked for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// The registry, with its port: `docker.io`, `localhost:5000`, `[::1]:5000`.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry: `library/app`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if one was given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one was given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// Registry and repository, without tag and digest: `docker.io/library/app`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// Registry and repository as people write it: `app`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.name();
        }
        match self.path.strip_prefix(OFFICIAL) {
            // Docker keeps `library/a/b` as it is, since `a/b` would mean another repository.
            Some(rest) if !rest.contains('/') => rest.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The whole reference as people write it: `app:1`.
    pub fn familiar(&self) -> String {
        self.familiar_name() + &self.suffix()
    }

    /// The same reference with the tag `latest` if it has neither tag nor digest.
    #[must_use]
    pub fn or_latest(&self) -> Self {
        let mut result = self.clone();
        if result.tag.is_none() && result.digest.is_none() {
            result.tag = Some(DEFAULT_TAG.to_owned());
        }
        result
    }

    /// The same repository under another tag, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, OciError> {
        if !is_tag(tag) {
            return Err(wrong(tag, "not a tag (letters, digits, `_`, `.`, `-`; at most 128)"));
        }
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same repository and tag, pinned to this digest.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// The same repository without tag and digest.
    #[must_use]
    pub fn repository(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    fn suffix(&self) -> String {
        let mut text = String::new();
        if let Some(tag) = &self.tag {
            text = format!(":{tag}");
        }
        if let Some(digest) = &self.digest {
            text += &format!("@{digest}");
        }
        text
    }
}

/// Writes the canonical form, such as `docker.io/library/app:1`.
impl fmt::Display for Reference {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl FromStr for Reference {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        if text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(wrong(text, "64 hexadecimal digits are an image ID, not a name"));
        }
        let (domain, rest) = split_domain(text);
        let (named, digest) = match rest.split_once('@') {
            Some((named, digest)) => (named, Some(digest)),
            None => (rest.as_str(), None),
        };
        let (path, tag) = match named.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (named, None),
        };
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            let problem = format!("repository name (`{path}`) must be lowercase");
            return Err(wrong(text, problem));
        }
        if !is_domain(&domain) {
            return Err(wrong(text, format!("`{domain}` is not a registry host")));
        }
        if !path.split('/').all(is_path_component) {
            return Err(wrong(text, explain_path(path)));
        }
        if path.len() > PATH_MAX {
            return Err(wrong(text, format!("repository name must not be more than {PATH_MAX} characters")));
        }
        if let Some(tag) = tag.filter(|tag| !is_tag(tag)) {
            let problem = format!("`{tag}` is not a tag (letters, digits, `_`, `.`, `-`; at most {TAG_MAX})");
            return Err(wrong(text, problem));
        }
        let digest = match digest.map(Digest::from_str) {
            None => None,
            Some(Ok(digest)) => Some(digest),
            Some(Err(OciError::Digest { text: digest, problem })) => {
                return Err(wrong(text, format!("bad digest `{digest}`: {problem}")));
            }
            Some(Err(other)) => return Err(other),
        };
        Ok(Self { domain, path: path.to_owned(), tag: tag.map(str::to_owned), digest })
    }
}

fn wrong(text: &str, problem: impl Into<String>) -> OciError {
    OciError::Reference { text: text.to_owned(), problem: problem.into() }
}

fn explain_path(path: &str) -> String {
    if path.is_empty() || path == OFFICIAL {
        "it has no repository name".to_owned()
    } else {
        format!(
            "`{path}` is not a repository name (lowercase letters and digits, separated by `.`, `_`, `-`, `/`)"
        )
    }
}

/// Decides whether the first component is a registry, as Docker does.
fn split_domain(text: &str) -> (String, String) {
    let Some((first, rest)) = text.split_once('/') else {
        return (DEFAULT_DOMAIN.to_owned(), format!("{OFFICIAL}{text}"));
    };
    let is_host = first == "localhost"
        || first.contains(['.', ':'])
        || first.bytes().any(|byte| byte.is_ascii_uppercase());
    let (domain, rest) = if first == LEGACY_DOMAIN {
        (DEFAULT_DOMAIN, rest)
    } else if is_host {
        (first, rest)
    } else {
        (DEFAULT_DOMAIN, text)
    };
    if domain == DEFAULT_DOMAIN && !rest.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL}{rest}"));
    }
    (domain.to_owned(), rest.to_owned())
}

fn is_domain(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, rest)) => {
            let digits = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
            if address.is_empty() || !address.bytes().all(digits) {
                return false;
            }
            match rest.strip_prefix(':') {
                Some(port) => (None, Some(port)),
                None if rest.is_empty() => (None, None),
                None => return false,
            }
        }
        None => match text.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(text), None),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    host.is_none_or(|host| host.split('.').all(label))
        && port.is_none_or(|port| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Runs of lowercase letters and digits, joined by one `.`, one `_`, two `_`, or any number of `-`.
fn is_path_component(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    if !bytes.first().copied().is_some_and(word) || !bytes.last().copied().is_some_and(word) {
        return false;
    }
    bytes
        .split(|byte| word(*byte))
        .all(|gap| matches!(gap, b"" | b"." | b"_" | b"__") || gap.iter().all(|byte| *byte == b'-'))
}

fn is_tag(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    text.len() <= TAG_MAX
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, sink: S) -> Result<S::Ok, S::Error> {
        sink.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
