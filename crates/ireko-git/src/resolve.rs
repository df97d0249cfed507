//! What a reference means now: which commit.

use std::collections::{BTreeMap, BTreeSet};

use ireko_report::nearest_names;

use crate::Repository;
use crate::command::{KnownHosts, Run};
use crate::error::GitError;
use crate::said;

/// What is asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Want {
    /// A branch, a tag, a ref, a commit or its first digits; empty for the default branch.
    pub reference: String,
    /// The first digits of the commit, or of the tag's object, that it must be; empty where anything is right.
    pub checksum: String,
    /// The checksum is the whole commit, and is fetched without asking what the reference means.
    pub by_commit: bool,
}

/// What it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The object the reference names: a commit, or an annotated tag. 40 or 64 hexadecimal digits.
    pub object: String,
    /// The commit, where it is known before anything is fetched.
    pub commit: Option<String>,
    /// The whole name of the ref; `None` where a commit was named.
    pub name: Option<String>,
}

impl Resolved {
    /// The commit if it is known, and else the object: what a key should hold.
    pub fn id(&self) -> &str {
        self.commit.as_deref().unwrap_or(&self.object)
    }
}

/// Whether a text is a whole commit id.
pub(crate) fn is_whole(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_short(text: &str) -> bool {
    (4..64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

impl Repository<'_> {
    /// Finds out what the reference means. A whole commit id means itself, and nobody is asked.
    pub fn resolve(&self, want: &Want) -> Result<Resolved, GitError> {
        let checksum = want.checksum.to_ascii_lowercase();
        if !checksum.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(request(format!(
                "`{}` is no commit: a checksum has hexadecimal digits",
                want.checksum
            )));
        }
        if want.reference.starts_with('-') || want.reference.chars().any(char::is_control) {
            return Err(request(format!("`{}` is no git ref", want.reference.escape_debug())));
        }
        if is_whole(&want.reference) {
            let object = want.reference.clone();
            self.compare(&want.reference, &checksum, &[&object])?;
            return Ok(Resolved { commit: None, object, name: None });
        }
        if want.by_commit {
            return by_commit(&want.reference, checksum);
        }
        let refs = self.list(&want.reference)?;
        let Some(found) = find(&refs, &want.reference) else { return self.missing(want, &checksum) };
        let peeled = found.commit.iter().map(String::as_str).filter(|commit| *commit != found.object);
        let ids: Vec<&str> = std::iter::once(found.object.as_str()).chain(peeled).collect();
        self.compare(&want.reference, &checksum, &ids)?;
        Ok(found)
    }

    /// The refs that end like this name; without a name, what HEAD is.
    fn list(&self, reference: &str) -> Result<Refs, GitError> {
        let names = match reference {
            "" => vec!["--symref".to_owned(), "--".to_owned(), self.address.to_string(), "HEAD".to_owned()],
            name => vec!["--".to_owned(), self.address.to_string(), name.to_owned(), format!("{name}^{{}}")],
        };
        self.ask(names)
    }

    fn ask(&self, args: Vec<String>) -> Result<Refs, GitError> {
        self.git.check()?;
        let hosts = KnownHosts::write(&self.session, &self.store()?)?;
        let run = Run::new(self.git, "list the refs of").network(&self.session, hosts.path());
        let deed = run.deed();
        let out = run.args(["ls-remote".to_owned()]).args(args).run(&self.session, self.watch);
        let out = out.map_err(|trouble| said::error(trouble, deed, &self.address, &self.session))?;
        Ok(Refs::parse(&String::from_utf8_lossy(&out)))
    }

    /// No ref has the name: the first digits of a commit, or a mistake.
    fn missing(&self, want: &Want, checksum: &str) -> Result<Resolved, GitError> {
        let reference = &want.reference;
        if is_short(reference) {
            let digits = reference.to_ascii_lowercase();
            let found = self.find_short(&digits)?;
            if let Some(object) = found {
                self.compare(reference, checksum, &[&object])?;
                return Ok(Resolved { commit: None, object, name: None });
            }
        }
        let address = self.address.to_string();
        if reference.is_empty() {
            return Err(GitError::NoRef {
                address,
                wanted: "default branch".to_owned(),
                similar: Vec::new(),
            });
        }
        let all =
            self.ask(vec!["--heads".to_owned(), "--tags".to_owned(), "--".to_owned(), address.clone()])?;
        Err(GitError::NoRef {
            address,
            wanted: format!("ref `{reference}`"),
            similar: all.similar(reference),
        })
    }

    fn compare(&self, reference: &str, checksum: &str, ids: &[&str]) -> Result<(), GitError> {
        if ids.iter().any(|id| id.starts_with(checksum)) {
            return Ok(());
        }
        Err(GitError::Checksum {
            address: self.address.to_string(),
            reference: if reference.is_empty() { "HEAD".to_owned() } else { reference.to_owned() },
            expected: checksum.to_owned(),
            found: ids.join(" or "),
        })
    }
}

fn request(problem: String) -> GitError {
    GitError::Request { problem }
}

/// The reference names a commit that the person knows already.
fn by_commit(reference: &str, checksum: String) -> Result<Resolved, GitError> {
    if checksum.is_empty() {
        return Err(request("`fetch-by-commit` needs a checksum, or a commit as the ref".to_owned()));
    }
    if !is_whole(&checksum) {
        return Err(request(format!("`fetch-by-commit` needs a whole commit id, and `{checksum}` is none")));
    }
    let name = match reference {
        "" => None,
        whole if whole.starts_with("refs/") => Some(whole.to_owned()),
        branch => Some(format!("refs/heads/{branch}")),
    };
    Ok(Resolved { commit: None, object: checksum, name })
}

/// What `ls-remote` answered.
#[derive(Debug, Default)]
struct Refs {
    ids: BTreeMap<String, String>,
    head: Option<String>,
}

impl Refs {
    fn parse(text: &str) -> Self {
        let mut refs = Self::default();
        for (id, name) in text.lines().filter_map(|line| line.split_once('\t')) {
            match id.strip_prefix("ref: ") {
                Some(target) => refs.head = Some(target.to_owned()),
                None if is_whole(id) => drop(refs.ids.insert(name.to_owned(), id.to_owned())),
                None => {}
            }
        }
        refs
    }

    fn named(&self, name: String) -> Option<Resolved> {
        let object = self.ids.get(&name)?.clone();
        // What a tag with a message stands for follows it in the list.
        let commit = self.ids.get(&format!("{name}^{{}}")).unwrap_or(&object).clone();
        Some(Resolved { commit: Some(commit), object, name: Some(name) })
    }

    /// Names that may have been meant, else the first ones.
    fn similar(&self, wanted: &str) -> Vec<String> {
        const MOST: usize = 4;
        let short = |name: &'_ str| -> String {
            let place = ["refs/heads/", "refs/tags/"].into_iter().find_map(|place| name.strip_prefix(place));
            place.unwrap_or(name).to_owned()
        };
        let names = self.ids.keys().filter(|name| !name.ends_with("^{}") && *name != "HEAD");
        let names: BTreeSet<String> = names.map(|name| short(name)).collect();
        let wanted = short(wanted);
        let mut near = nearest_names(&wanted, names.iter().map(String::as_str));
        // A version with a digit more or less.
        let begins = |name: &&str| name.starts_with(&wanted) || wanted.starts_with(name);
        let versions: Vec<&str> = names.iter().map(String::as_str).filter(begins).collect();
        near.extend(versions.into_iter().filter(|name| !near.contains(name)).collect::<Vec<_>>());
        let near: Vec<String> = near.into_iter().take(MOST).map(str::to_owned).collect();
        if near.is_empty() { names.into_iter().take(MOST).collect() } else { near }
    }
}

/// The ref that is meant: as written below `refs/`, else a branch, else a tag.
fn find(refs: &Refs, reference: &str) -> Option<Resolved> {
    if reference.is_empty() {
        let object = refs.ids.get("HEAD")?.clone();
        let name = refs.head.clone();
        return Some(Resolved { commit: Some(object.clone()), object, name });
    }
    let below = |place: &str| format!("{place}{}", reference.strip_prefix(place).unwrap_or(reference));
    ["refs/", "refs/heads/", "refs/tags/"].into_iter().find_map(|place| refs.named(below(place)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIST: &str = "\
ref: refs/heads/main\tHEAD
1111111111111111111111111111111111111111\tHEAD
1111111111111111111111111111111111111111\trefs/heads/main
2222222222222222222222222222222222222222\trefs/heads/v1
3333333333333333333333333333333333333333\trefs/tags/v1
4444444444444444444444444444444444444444\trefs/tags/v1^{}
5555555555555555555555555555555555555555\trefs/pull/1/head
6666666666666666666666666666666666666666\trefs/tags/light
";

    #[test]
    fn names_in_their_order() {
        let refs = Refs::parse(LIST);
        let cases = [
            ("", Some("refs/heads/main 1 1")),
            ("main", Some("refs/heads/main 1 1")),
            ("heads/main", Some("refs/heads/main 1 1")),
            ("v1", Some("refs/heads/v1 2 2")),
            ("tags/v1", Some("refs/tags/v1 3 4")),
            ("refs/tags/v1", Some("refs/tags/v1 3 4")),
            ("light", Some("refs/tags/light 6 6")),
            ("pull/1/head", Some("refs/pull/1/head 5 5")),
            ("refs/heads/light", None),
            ("ain", None),
        ];
        for (reference, means) in cases {
            let found = find(&refs, reference).map(|found| {
                let name = found.name.clone().unwrap_or_default();
                format!("{name} {} {}", &found.object[..1], &found.id()[..1])
            });
            assert_eq!(found.as_deref(), means, "{reference}");
        }
    }

    #[test]
    fn what_may_have_been_meant() {
        let refs = Refs::parse(LIST);
        assert_eq!(refs.similar("mian"), ["main"]);
        assert_eq!(refs.similar("v1.0"), ["v1"]);
        assert_eq!(refs.similar("refs/heads/Light"), ["light"]);
        assert_eq!(refs.similar("something-else"), ["light", "main", "refs/pull/1/head", "v1"]);
    }
}
