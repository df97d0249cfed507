//! What differs between what two builders made of one case.

use crate::builders::Outcome;
use crate::image::{self, Image, Tree};
use serde_json::Value;
use std::collections::BTreeSet;

/// One difference: a word for its kind, by which shrinking knows it again, and a line for a person.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Difference {
    pub(crate) kind: String,
    pub(crate) text: String,
}

/// Everything that differs. `theirs` is the authority.
pub(crate) fn compare(theirs: &Outcome, ours: &Outcome) -> Vec<Difference> {
    let one = |kind: &str, text: String| vec![Difference { kind: kind.to_owned(), text }];
    match (theirs, ours) {
        (Outcome::Failed(_), Outcome::Failed(_)) => Vec::new(),
        (Outcome::Failed(said), Outcome::Built(_)) => {
            one("only theirs fails", format!("they fail, ireko builds; they said:\n{said}"))
        }
        (Outcome::Built(_), Outcome::Failed(said)) => {
            one("only ireko fails", format!("they build, ireko fails and said:\n{said}"))
        }
        (Outcome::Built(theirs), Outcome::Built(ours)) => images(theirs, ours),
    }
}

fn images(theirs: &Image, ours: &Image) -> Vec<Difference> {
    let mut found = trees(&theirs.tree, &ours.tree);
    values("config", &theirs.config, &ours.config, &mut found);
    found
}

/// What differs between two trees.
pub(crate) fn trees(theirs: &Tree, ours: &Tree) -> Vec<Difference> {
    let mut found = Vec::new();
    let paths: BTreeSet<&Vec<u8>> = theirs.keys().chain(ours.keys()).collect();
    for path in paths {
        let name = String::from_utf8_lossy(path);
        let mut add = |kind: &str, text| {
            found.push(Difference { kind: kind.to_owned(), text: format!("/{name}: {text}") })
        };
        match (theirs.get(path), ours.get(path)) {
            (Some(theirs), Some(ours)) => {
                let same = theirs.kind == ours.kind
                    && theirs.mode == ours.mode
                    && theirs.owner == ours.owner
                    && theirs.target == ours.target
                    && theirs.content == ours.content
                    && theirs.xattrs == ours.xattrs;
                if !same {
                    add("entry", format!("{} / ireko: {}", theirs.describe(), ours.describe()));
                }
            }
            (Some(theirs), None) => add("missing entry", format!("{} / ireko: nothing", theirs.describe())),
            (None, Some(ours)) => add("extra entry", format!("nothing / ireko: {}", ours.describe())),
            (None, None) => {}
        }
    }
    let (theirs, ours) = (image::hard_links(theirs), image::hard_links(ours));
    if theirs != ours && found.is_empty() {
        let text = format!("hard links {theirs:?} / ireko: {ours:?}");
        found.push(Difference { kind: "hard links".to_owned(), text });
    }
    found
}

/// What differs between two JSON values, field by field.
fn values(place: &str, theirs: &Value, ours: &Value, found: &mut Vec<Difference>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                let (a, b) = (a.get(key).unwrap_or(&Value::Null), b.get(key).unwrap_or(&Value::Null));
                values(&format!("{place}.{key}"), a, b, found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (a, b) in a.iter().zip(b) {
                values(&format!("{place}[]"), a, b, found);
            }
        }
        _ if theirs != ours => found
            .push(Difference { kind: place.to_owned(), text: format!("{place}: {theirs} / ireko: {ours}") }),
        _ => {}
    }
}
