//! Git references: a repository, what of it is wanted, and how, in one word.
//!
//! `https://host/repo.git#ref:subdir`, `https://host/repo.git?tag=v1&subdir=src`, `git@host:repo.git`,
//! `ssh://…`, `git://…`, and for contexts also `github.com/owner/repo`. What counts as one is BuildKit's rule: an
//! `http` URL only where its path ends with `.git`.

mod url;

#[cfg(test)]
mod tests;

/// A reference to a git repository.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GitRef {
    /// The repository as it was written, without query and fragment.
    pub remote: String,
    /// The name of the repository: the last part of its path without `.git`.
    pub short_name: String,
    /// A branch, a tag, a ref or a commit; empty for the default branch.
    pub reference: String,
    /// The first digits of the commit it must be; empty where anything is right.
    pub checksum: String,
    /// The directory that is wanted; empty for all.
    pub subdir: String,
    /// It may as well be a path: `github.com/owner/repo`. Such text is a git reference only as a context.
    pub like_local: bool,
    /// Whether it travels in the clear.
    pub unencrypted: bool,
    /// `?keep-git-dir=`.
    pub keep_git_dir: Option<bool>,
    /// `?submodules=`.
    pub submodules: Option<bool>,
    /// `?mtime=`.
    pub mtime: Option<Mtime>,
    /// `?fetch-by-commit=`: the checksum is what is fetched, the reference only names it.
    pub fetch_by_commit: bool,
}

/// Which time the files of a repository have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mtime {
    /// That of the checkout.
    Checkout,
    /// That of the commit.
    Commit,
}

/// Why a text is not used as a git reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// It is something else: a path, a URL, an image.
    NotGit,
    /// It is one, and something is wrong with it.
    Wrong(String),
}

impl GitRef {
    /// The address git is given.
    pub fn url(&self) -> String {
        if self.like_local { format!("https://{}", self.remote) } else { self.remote.clone() }
    }

    /// The host, with its port.
    pub fn host(&self) -> String {
        let url = self.url();
        let Some((_, rest)) = url.split_once("://") else {
            let host = url.split_once(':').map_or(url.as_str(), |(host, _)| host);
            return host.rsplit_once('@').map_or(host, |(_, host)| host).to_owned();
        };
        let authority = rest.split('/').next().unwrap_or_default();
        authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_owned()
    }
}

/// Reads a git reference.
pub fn parse(text: &str) -> Result<GitRef, Refusal> {
    if text.starts_with("./") || text.starts_with("../") {
        return Err(Refusal::NotGit);
    }
    let mut found = GitRef::default();
    let (fragment, query) = if text.starts_with("github.com/") {
        let url = url::parse(text).map_err(|_| Refusal::NotGit)?;
        found.like_local = true;
        found.remote = url.base;
        (url.fragment, url::pairs(&url.query).0)
    } else if let Some(scheme) = scheme_of(text) {
        let url = url::parse(text).map_err(|why| match scheme.as_str() {
            "git" | "ssh" => Refusal::Wrong(format!("`{}` is no URL: {why}", redact(text).escape_debug())),
            _ => Refusal::NotGit,
        })?;
        let is_http = matches!(url.scheme.as_str(), "http" | "https");
        if is_http && !url.path.ends_with(".git") {
            return Err(Refusal::NotGit);
        }
        found.unencrypted = matches!(url.scheme.as_str(), "http" | "git");
        found.remote = url.base;
        (url.fragment, url::pairs(&url.query).0)
    } else {
        let (remote, query, fragment) = scp_parts(text).ok_or(Refusal::NotGit)?;
        let (pairs, true) = url::pairs(query) else { return Err(Refusal::NotGit) };
        found.remote = remote.to_owned();
        (fragment.to_owned(), pairs)
    };
    found.short_name = found.remote.rsplit('/').next().unwrap_or_default().to_owned();
    if let Some(name) = found.short_name.strip_suffix(".git") {
        found.short_name = name.to_owned();
    }
    let (reference, subdir) = fragment.split_once(':').unwrap_or((&fragment, ""));
    found.reference = reference.to_owned();
    found.subdir = subdir.to_owned();
    found.take_options(&query).map_err(Refusal::Wrong)?;
    Ok(found)
}

/// The text with user names and passwords of URLs in it hidden, for people's eyes, logs and histories. The user of
/// `ssh://` is no secret and stays.
pub fn redact(text: &str) -> String {
    const MASK: &str = "xxxxx";
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (head, tail) = rest.split_at(at + 3);
        out.push_str(head);
        let end = tail.find(|c: char| matches!(c, '/' | '?' | '#' | '\'' | '"') || c.is_whitespace());
        let (authority, after) = tail.split_at(end.unwrap_or(tail.len()));
        let is_ssh = head.len() >= 6 && head.as_bytes()[head.len() - 6..].eq_ignore_ascii_case(b"ssh://");
        match authority.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((user, _)) if is_ssh => out.push_str(&format!("{user}:{MASK}@{host}")),
                None if is_ssh => out.push_str(authority),
                Some(_) => out.push_str(&format!("{MASK}:{MASK}@{host}")),
                None => out.push_str(&format!("{MASK}@{host}")),
            },
            None => out.push_str(authority),
        }
        rest = after;
    }
    out.push_str(rest);
    out
}

/// The scheme of a URL that git can be asked for; `None` where there is none, or another.
fn scheme_of(text: &str) -> Option<String> {
    let (scheme, _) = text.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    matches!(scheme.as_str(), "http" | "https" | "ssh" | "git").then_some(scheme)
}

/// `user@host:path?query#fragment`, the form of scp: address, query, fragment.
fn scp_parts(text: &str) -> Option<(&str, &str, &str)> {
    let (user, rest) = text.split_once('@')?;
    let (host, _) = rest.split_once(':')?;
    let word = |text: &str, more: &str| {
        !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || more.contains(c))
    };
    if !word(user, "-_") || !word(host, "-.") || text.chars().any(char::is_control) {
        return None;
    }
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    let (remote, query) = text.split_once('?').unwrap_or((text, ""));
    Some((remote, query, fragment))
}

type Pairs = std::collections::BTreeMap<String, Vec<String>>;

impl GitRef {
    fn take_options(&mut self, query: &Pairs) -> Result<(), String> {
        let mut named: Option<(&str, String)> = None;
        for (name, values) in query {
            let [value] = values.as_slice() else {
                return Err(format!("query {name:?} has multiple values"));
            };
            let is_flag = matches!(name.as_str(), "submodules" | "keep-git-dir" | "fetch-by-commit");
            if value.is_empty() && !is_flag {
                return Err(format!("query {name:?} has no value"));
            }
            match name.as_str() {
                "ref" => set("ref", &mut self.reference, value)?,
                "subdir" => set("subdir", &mut self.subdir, value)?,
                "checksum" | "commit" => set("checksum", &mut self.checksum, value)?,
                "tag" | "branch" if named.is_some() => return Err("branch conflicts with tag".to_owned()),
                "tag" => named = Some(("refs/tags/", value.clone())),
                "branch" => named = Some(("refs/heads/", value.clone())),
                "keep-git-dir" => self.keep_git_dir = Some(flag(name, value)?),
                "submodules" => self.submodules = Some(flag(name, value)?),
                "fetch-by-commit" => self.fetch_by_commit = flag(name, value)?,
                "mtime" => self.mtime = Some(mtime(value)?),
                _ => return Err(format!("unexpected query {name:?}{}", suggestion(name))),
            }
        }
        if let Some((place, name)) = named {
            let name = if name.starts_with(place) { name } else { format!("{place}{name}") };
            set("ref", &mut self.reference, &name)?;
        }
        if self.reference.is_empty() && !self.fetch_by_commit {
            self.reference.clone_from(&self.checksum);
        }
        if self.reference.starts_with('-') {
            return Err(format!("invalid git ref {:?}", self.reference));
        }
        Ok(())
    }
}

fn set(what: &str, place: &mut String, value: &str) -> Result<(), String> {
    if !place.is_empty() && place != value {
        return Err(format!("{what} conflicts: {place:?} vs {value:?}"));
    }
    value.clone_into(place);
    Ok(())
}

fn flag(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "" | "1" | "t" | "T" | "TRUE" | "true" | "True" => Ok(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Ok(false),
        _ => Err(format!("invalid {name} value: {value:?}")),
    }
}

fn mtime(value: &str) -> Result<Mtime, String> {
    match value {
        "checkout" => Ok(Mtime::Checkout),
        "commit" => Ok(Mtime::Commit),
        _ => Err(format!("invalid mtime value: {value:?} (must be \"checkout\" or \"commit\")")),
    }
}

/// What a name may have been meant to be.
fn suggestion(name: &str) -> String {
    const NAMES: [&str; 10] = [
        "ref",
        "tag",
        "branch",
        "commit",
        "checksum",
        "subdir",
        "keep-git-dir",
        "submodules",
        "mtime",
        "fetch-by-commit",
    ];
    let plain = |name: &str| name.to_lowercase().replace(['-', '_'], "");
    let near = |known: &&&str| {
        let (name, known) = (plain(name), plain(known));
        !name.is_empty() && (known.starts_with(&name) || name.starts_with(&known))
    };
    NAMES.iter().find(near).map_or_else(String::new, |known| format!(" (did you mean {known:?}?)"))
}
