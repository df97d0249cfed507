//! A source as written: a path, or a path with wildcards, and with `--parents` what is wanted below it.

use ireko_dockerfile::glob::{self, Glob};
use ireko_layer::{Follow, TreePath};

use crate::files_error::FilesError;
use crate::source::Source;

/// A source as it is looked up.
#[derive(Debug)]
pub(super) struct Wanted {
    /// The names before the first one with a wildcard. A backslash there is part of the name: it escapes nothing.
    fixed: TreePath,
    /// The rest.
    wild: Option<Wild>,
    /// With `--parents`: what is wanted below each match.
    pub(super) include: Option<String>,
}

#[derive(Debug)]
struct Wild {
    whole: Glob,
    /// The pattern's leading names, one more each, to leave directories that cannot lead to a match. Empty where
    /// a set of characters spans names.
    leading: Vec<Glob>,
    depth: usize,
}

impl Wanted {
    /// Reads a source. With `parents`, what stands before `/./` is where to look, the rest is kept as names.
    pub(super) fn parse(pattern: &str, parents: bool) -> Result<Self, FilesError> {
        let (place, include) = match (parents, pattern.split_once("/./")) {
            (false, _) => (pattern, None),
            (true, Some((place, include))) => (place, Some(include)),
            (true, None) => ("", Some(pattern)),
        };
        let include = include.map(|include| names(include).join("/"));
        let names = names(place);
        let split = names.iter().position(|name| glob::has_wildcard(name)).unwrap_or(names.len());
        let fixed = TreePath::new(names[..split].join("/"))?;
        let wild = match &names[split..] {
            [] => None,
            rest => Some(Wild::new(rest)?),
        };
        Ok(Self { fixed, wild, include })
    }

    /// With `--parents` and without wildcards: what must be there.
    pub(super) fn required(&self) -> Option<String> {
        let include = self.include.as_deref().filter(|include| !include.is_empty())?;
        let plain = self.wild.is_none() && !glob::has_wildcard(include);
        let below = literal(include);
        plain.then(|| match self.fixed.is_root() {
            true => below.clone(),
            false => format!("{}/{below}", self.fixed),
        })
    }

    /// The paths that match, in order. A path without wildcards is its own only match, there or not; so are the
    /// names before the first wildcard where they lead nowhere.
    pub(super) fn matches(&self, source: &Source) -> Result<Vec<TreePath>, FilesError> {
        let Some(wild) = &self.wild else { return Ok(vec![self.fixed.clone()]) };
        let place = source.resolve(&self.fixed, Follow::All)?;
        if !place.is_root() && source.item(&place)?.is_none() {
            return Ok(vec![self.fixed.clone()]);
        }
        let mut found = Vec::new();
        wild.search(source, &place, &place, &mut found)?;
        Ok(found)
    }
}

impl Wild {
    fn new(names: &[&str]) -> Result<Self, FilesError> {
        let text = names.join("/");
        let whole = Glob::new(&text).map_err(|error| FilesError::Unusable {
            text: text.clone(),
            problem: error.to_string(),
            hint: None,
        })?;
        let leading = (1..names.len()).map(|count| Glob::new(&names[..count].join("/")));
        let leading = leading.collect::<Result<_, _>>().unwrap_or_default();
        Ok(Self { whole, leading, depth: names.len() })
    }

    fn search(
        &self,
        source: &Source,
        place: &TreePath,
        dir: &TreePath,
        found: &mut Vec<TreePath>,
    ) -> Result<(), FilesError> {
        let depth = dir.below(place).map_or(0, |below| below.names().count());
        for item in source.children(dir)? {
            let Some(below) = item.path.below(place) else { continue };
            if self.whole.matches(&below) {
                found.push(item.path.clone());
            } else if item.is_dir()
                && depth + 1 < self.depth
                && self.leading.get(depth).is_none_or(|glob| glob.matches(&below))
            {
                self.search(source, place, &item.path, found)?;
            }
        }
        Ok(())
    }
}

/// The names of a path as written, `.` and empty ones left out; `..` goes up and stops at the root.
fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

/// A name without the backslashes that keep its next character from being a wildcard.
fn literal(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(char) = chars.next() {
        match char {
            '\\' => out.extend(chars.next()),
            char => out.push(char),
        }
    }
    out
}
