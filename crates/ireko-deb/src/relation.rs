//! Relations between packages: `Depends`, `Conflicts`, `Provides` and their like (Debian Policy, chapter 7).

use crate::control;
use crate::version;
use std::cmp::Ordering;

/// How a version must compare with the one that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// `<<`
    Earlier,
    /// `<=`, and the old `<`
    EarlierOrEqual,
    /// `=`
    Equal,
    /// `>=`, and the old `>`
    LaterOrEqual,
    /// `>>`
    Later,
    /// What no field can say: the version of a sibling of another architecture that must not differ.
    Unequal,
}

impl Operator {
    /// Whether `version` is what was asked for.
    pub fn holds(self, version: &str, bound: &str) -> bool {
        let order = version::compare(version, bound);
        match self {
            Self::Earlier => order == Ordering::Less,
            Self::EarlierOrEqual => order != Ordering::Greater,
            Self::Equal => order == Ordering::Equal,
            Self::LaterOrEqual => order != Ordering::Less,
            Self::Later => order == Ordering::Greater,
            Self::Unequal => order != Ordering::Equal,
        }
    }

    /// As it is written.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Earlier => "<<",
            Self::EarlierOrEqual => "<=",
            Self::Equal => "=",
            Self::LaterOrEqual => ">=",
            Self::Later => ">>",
            Self::Unequal => "!=",
        }
    }
}

/// One package of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation<'a> {
    /// The package, or what packages provide.
    pub name: &'a str,
    /// What follows a colon: `any`, `native` or an architecture.
    pub qualifier: Option<&'a str>,
    /// Which versions.
    pub bound: Option<(Operator, &'a str)>,
    /// What is between `[` and `]`: it holds for these architectures only, or for all but these.
    pub architectures: Option<&'a str>,
    /// Whether another one follows that will do as well (`|`).
    pub or: bool,
}

impl<'a> Relation<'a> {
    /// The name with what follows its colon.
    pub fn full_name(&self, field: &'a str) -> &'a str {
        let Some(qualifier) = self.qualifier else { return self.name };
        let start = self.name.as_ptr() as usize - field.as_ptr() as usize;
        field.get(start..start + self.name.len() + 1 + qualifier.len()).unwrap_or(self.name)
    }

    /// Whether it holds on an architecture. Wildcards are `any`, `linux-any` and `any-amd64`.
    pub fn is_for(&self, architecture: &str) -> bool {
        let Some(list) = self.architectures else { return true };
        let fits = |pattern: &str| match pattern.split_once('-') {
            None => pattern == "any" || pattern == architecture,
            Some(("any", cpu)) => cpu == "any" || cpu == architecture,
            Some(("linux", cpu)) => !architecture.contains('-') && (cpu == "any" || cpu == architecture),
            Some(_) => pattern == architecture,
        };
        let mut negative = false;
        for word in list.split_ascii_whitespace() {
            match word.strip_prefix('!') {
                Some(word) if fits(word) => return false,
                Some(_) => negative = true,
                None if fits(word) => return true,
                None => {}
            }
        }
        negative
    }
}

/// Why a field is no list of relations.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} in `{text}`")]
pub struct Malformed {
    /// What is wrong.
    pub what: &'static str,
    /// The field from there on.
    pub text: String,
}

/// Reads a field: `a (>= 1) | b, c:any [amd64]`. After an error there is nothing more.
pub fn relations(field: &str) -> Relations<'_> {
    Relations { rest: field.trim_ascii_start() }
}

/// The names in a field of relations, of all alternatives; what cannot be read ends it.
pub fn names(field: &str) -> impl Iterator<Item = &str> {
    relations(field).map_while(Result::ok).map(|relation| relation.name)
}

/// The names in these fields of a package's paragraph.
pub fn names_of(paragraph: &str, fields: &[&str]) -> Vec<String> {
    let paragraph = control::paragraphs(paragraph).next().and_then(Result::ok).unwrap_or_default();
    fields.iter().filter_map(|field| paragraph.get(field)).flat_map(names).map(str::to_owned).collect()
}

/// The relations of a field, one after the other.
#[derive(Clone, Debug)]
pub struct Relations<'a> {
    rest: &'a str,
}

impl<'a> Relations<'a> {
    fn next_relation(&mut self) -> Result<Relation<'a>, Malformed> {
        let whole = self.rest;
        let malformed = |what| Malformed { what, text: whole.chars().take(60).collect() };
        let end = whole.find(|letter: char| letter.is_ascii_whitespace() || "(),|[]<>".contains(letter));
        let (full, mut rest) = whole.split_at(end.unwrap_or(whole.len()));
        if full.is_empty() {
            return Err(malformed("no name"));
        }
        // The last colon divides: a name may hold others only by mistake.
        let (name, qualifier) = match full.rsplit_once(':') {
            Some((name, qualifier)) if !name.is_empty() => (name, Some(qualifier)),
            _ => (full, None),
        };
        rest = rest.trim_ascii_start();
        let mut bound = None;
        if let Some(inner) = rest.strip_prefix('(') {
            let (inner, after) = inner.split_once(')').ok_or_else(|| malformed("no end of a version"))?;
            bound = Some(version_bound(inner).ok_or_else(|| malformed("no version"))?);
            rest = after.trim_ascii_start();
        }
        let mut architectures = None;
        if let Some(inner) = rest.strip_prefix('[') {
            let (inner, after) = inner.split_once(']').ok_or_else(|| malformed("no end of architectures"))?;
            architectures = Some(inner);
            rest = after.trim_ascii_start();
        }
        // Build profiles say nothing about a package that is built.
        while let Some(inner) = rest.strip_prefix('<') {
            let (_, after) = inner.split_once('>').ok_or_else(|| malformed("no end of build profiles"))?;
            rest = after.trim_ascii_start();
        }
        let or = rest.starts_with('|');
        match rest.chars().next() {
            None => {}
            Some(',' | '|') => rest = rest[1..].trim_ascii_start(),
            Some(_) => return Err(malformed("neither `,` nor `|` after a package")),
        }
        self.rest = rest;
        Ok(Relation { name, qualifier, bound, architectures, or })
    }
}

/// `>= 1.0`. One without an operator means this very version, as for apt.
fn version_bound(text: &str) -> Option<(Operator, &str)> {
    let text = text.trim_ascii();
    let (operator, length) = match text.as_bytes() {
        [b'<', b'<', ..] => (Operator::Earlier, 2),
        [b'<', b'=', ..] => (Operator::EarlierOrEqual, 2),
        [b'<', ..] => (Operator::EarlierOrEqual, 1),
        [b'>', b'>', ..] => (Operator::Later, 2),
        [b'>', b'=', ..] => (Operator::LaterOrEqual, 2),
        [b'>', ..] => (Operator::LaterOrEqual, 1),
        [b'=', ..] => (Operator::Equal, 1),
        _ => (Operator::Equal, 0),
    };
    let version = text[length..].trim_ascii_start();
    (!version.is_empty()).then_some((operator, version))
}

impl<'a> Iterator for Relations<'a> {
    type Item = Result<Relation<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let read = self.next_relation();
        if read.is_err() {
            self.rest = "";
        }
        Some(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn show(field: &str) -> String {
        let one = |relation: Result<Relation<'_>, Malformed>| match relation {
            Err(malformed) => format!("! {malformed}"),
            Ok(relation) => {
                let bound =
                    relation.bound.map(|(operator, version)| format!(" {} {version}", operator.as_str()));
                let or = if relation.or { " |" } else { "" };
                format!("{}{}{or}", relation.full_name(field), bound.unwrap_or_default())
            }
        };
        relations(field).map(one).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_a_field_may_say() {
        for (field, shown) in [
            ("a", "a"),
            (" a (>=1) | b( << 2~ ),\n c:any [amd64 !i386] <!nocheck> <x y>, ", "a >= 1 |, b << 2~, c:any"),
            ("a (> 1), b (< 1), c (1), d (= 1:2-3)", "a >= 1, b <= 1, c = 1, d = 1:2-3"),
            ("g++:native (>= 4:12)", "g++:native >= 4:12"),
            ("", ""),
            ("a b", "! neither `,` nor `|` after a package in `a b`"),
            ("a, , b", "a, ! no name in `, b`"),
            ("a (>= ), b", "! no version in `a (>= ), b`"),
            ("a (>= 1", "! no end of a version in `a (>= 1`"),
            ("a [amd64", "! no end of architectures in `a [amd64`"),
            (")", "! no name in `)`"),
        ] {
            assert_eq!(show(field), shown, "{field}");
        }
    }

    #[test]
    fn architectures_that_a_relation_is_for() {
        for (list, amd64, i386) in [
            ("amd64", true, false),
            ("!amd64", false, true),
            ("!i386 !armhf", true, false),
            ("linux-any", true, true),
            ("any-i386", false, true),
            ("hurd-any", false, false),
            ("any", true, true),
        ] {
            let field = format!("a [{list}]");
            let read = relations(&field).next().expect("one").expect("well formed");
            assert_eq!((read.is_for("amd64"), read.is_for("i386")), (amd64, i386), "{list}");
        }
    }

    proptest! {
        #[test]
        fn any_field_ends(field in "[ab:,|()<>=\\[\\]! 1.~\n]{0,60}") {
            prop_assert!(relations(&field).count() <= field.len());
        }
    }
}
