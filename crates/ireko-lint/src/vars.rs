//! Variables while the instructions are gone through.

use crate::suggest::{bounds, nearest};
use ireko_dockerfile::words::Env;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Most bytes of a value that are kept. Rules ask whether a variable is set and how a path or port begins; a Dockerfile
/// that doubles a variable in every line must not fill the memory.
const KEPT: usize = 4096;

/// Variables; stages on one base share them until one of them sets another.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vars(Rc<BTreeMap<String, Rc<str>>>);

impl Vars {
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let end = (0..=value.len().min(KEPT)).rev().find(|at| value.is_char_boundary(*at)).unwrap_or(0);
        Rc::make_mut(&mut self.0).insert(name.to_owned(), Rc::from(&value[..end]));
    }

    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|value| &**value)
    }

    /// The nearest name to one that is not set.
    pub(crate) fn nearest(&self, wrong: &str) -> Option<&str> {
        nearest(wrong, |text| self.0.range::<str, _>(bounds(text)).next().map(|(name, _)| name.as_str()))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }
}

impl Env for Vars {
    fn get(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }
}
