//! What is below a source, with `--exclude` and `--parents` in mind.

use std::sync::Arc;

use ireko_dockerfile::glob::Glob;
use ireko_dockerfile::ignore::{Patterns, State};
use ireko_layer::{Follow, TreePath, Xattrs};
use ireko_report::nearest_names;
use rayon::prelude::*;

use super::Selected;
use crate::files_error::FilesError;
use crate::source::{Item, Source};

/// Which paths below a source are taken.
#[derive(Default)]
pub(super) struct Filter {
    include: Option<Include>,
    exclude: Patterns,
}

struct Include {
    patterns: Patterns,
    glob: Glob,
}

impl Filter {
    pub(super) fn new(include: Option<&str>, excludes: &[String]) -> Result<Self, FilesError> {
        let wrong =
            |text: &str, problem: String| FilesError::Unusable { text: text.to_owned(), problem, hint: None };
        let include = match include.filter(|include| !include.is_empty()) {
            None => None,
            Some(text) => Some(Include {
                patterns: Patterns::new([text]).map_err(|error| wrong(text, error.to_string()))?,
                glob: Glob::deep(text).map_err(|error| wrong(text, error.to_string()))?,
            }),
        };
        let exclude = Patterns::new(excludes.iter().map(String::as_str))
            .map_err(|error| wrong(&excludes.join(" "), error.to_string()))?;
        Ok(Self { include, exclude })
    }

    fn root(&self) -> Marks {
        Marks {
            include: self.include.as_ref().map(|include| include.patterns.root()),
            exclude: self.exclude.root(),
        }
    }
}

/// What is known of a directory.
struct Marks {
    include: Option<State>,
    exclude: State,
}

/// The entries of a pick: the item itself, and what is taken below it.
pub(super) fn entries(
    source: &Source,
    item: &Arc<Item>,
    filter: &Filter,
) -> Result<Vec<Selected>, FilesError> {
    if !item.is_dir() {
        return Ok(vec![selected(TreePath::root(), Arc::clone(item), true)]);
    }
    if filter.include.is_none() && filter.exclude.is_empty() {
        return whole(source, &item.path);
    }
    if filter.include.is_none() {
        // Read by several threads, and known to the walk below.
        source.below(&item.path)?;
    }
    let mut entries = Vec::new();
    let root = source.dir_item(&item.path)?.unwrap_or_else(|| Arc::clone(item));
    entries.push(selected(TreePath::root(), root, true));
    let mut walk = Walk { source, filter, root: &item.path, entries };
    walk.inside(&item.path, &filter.root())?;
    Ok(walk.entries)
}

/// A directory with everything below it.
fn whole(source: &Source, path: &TreePath) -> Result<Vec<Selected>, FilesError> {
    let below = source.below(path)?;
    let mut entries = Vec::with_capacity(below.len() + 1);
    entries.extend(source.dir_item(path)?.map(|item| selected(TreePath::root(), item, true)));
    entries.par_extend(below.into_par_iter().with_min_len(1024).map(|item| {
        let below = item.path.below(path).unwrap_or_default();
        selected(below, item, true)
    }));
    Ok(entries)
}

fn selected(below: TreePath, item: Arc<Item>, asked: bool) -> Selected {
    Selected { below, item, hash: None, xattrs: Xattrs::new(), asked }
}

struct Walk<'a> {
    source: &'a Source,
    filter: &'a Filter,
    root: &'a TreePath,
    entries: Vec<Selected>,
}

impl Walk<'_> {
    /// Takes what is in a directory; tells whether anything was taken.
    fn inside(&mut self, dir: &TreePath, marks: &Marks) -> Result<bool, FilesError> {
        let begun = self.entries.len();
        for item in self.source.children(dir)? {
            let below = item.path.below(self.root).unwrap_or_default();
            if item.is_dir() {
                self.directory(&item, below, marks)?;
            } else if self.takes_file(&below, marks) {
                self.entries.push(selected(below, item, true));
            }
        }
        Ok(self.entries.len() > begun)
    }

    fn takes_file(&self, below: &TreePath, marks: &Marks) -> bool {
        let included = match (&self.filter.include, &marks.include) {
            (Some(include), Some(state)) => {
                include.patterns.decide_in(state, below).is_some_and(|decision| decision.excluded)
            }
            _ => true,
        };
        let excluded = self.filter.exclude.decide_in(&marks.exclude, below);
        included && !excluded.is_some_and(|decision| decision.excluded)
    }

    fn directory(&mut self, item: &Arc<Item>, below: TreePath, marks: &Marks) -> Result<(), FilesError> {
        let exclude = self.filter.exclude.enter(&marks.exclude, &below);
        if self.filter.exclude.prunable(&exclude, &below) {
            return Ok(());
        }
        let include = match (&self.filter.include, &marks.include) {
            (Some(include), Some(state)) => Some(include.patterns.enter(state, &below)),
            _ => None,
        };
        // The list is one of what to take: what it "takes out" is taken.
        let included = include.as_ref().is_none_or(State::excluded);
        let hopeless = |include: &Include| !include.glob.may_match_below(below.as_bytes());
        if !included && self.filter.include.as_ref().is_some_and(hopeless) {
            return Ok(());
        }
        let asked = included && !exclude.excluded();
        let at = self.entries.len();
        self.entries.push(selected(below, Arc::clone(item), asked));
        let any = self.inside(&item.path, &Marks { include, exclude })?;
        if !asked && !any {
            self.entries.truncate(at);
        } else if let Some(whole) = self.source.dir_item(&item.path)? {
            self.entries[at].item = whole;
        }
        Ok(())
    }
}

/// A hint for a path that a tree does not have.
pub(super) fn nearest_in(source: &Source, path: &TreePath) -> (String, Option<String>) {
    let mut dir = TreePath::root();
    for name in path.names() {
        let next = dir.join(name).map(|next| source.resolve(&next, Follow::All).unwrap_or(next));
        if let Ok(next) = next
            && let Ok(Some(item)) = source.item(&next)
            && item.is_dir()
        {
            dir = next;
            continue;
        }
        let Ok(children) = source.children(&dir) else { break };
        let names: Vec<String> = children
            .iter()
            .filter_map(|item| Some(String::from_utf8_lossy(item.path.file_name()?).into_owned()))
            .collect();
        let wrong = String::from_utf8_lossy(name);
        let near = nearest_names(&wrong, names.iter().map(String::as_str));
        if near.is_empty() {
            break;
        }
        let full = near.iter().map(|name| match dir.is_root() {
            true => format!("`/{name}`"),
            false => format!("`/{dir}/{name}`"),
        });
        return (String::new(), Some(format!("there is {}", full.collect::<Vec<_>>().join(", "))));
    }
    (String::new(), None)
}
