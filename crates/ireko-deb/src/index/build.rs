//! Builds an [`Index`] of lists, in the order in which apt would (`pkgCacheGenerator`, `debListParser`).
//!
//! What the architectures mean is written out here, as apt does it, so that choosing need not know of it: a package
//! that serves all architectures provides itself on each, siblings conflict with one another, `:any` is a package of its
//! own that those which allow it provide.

use super::stanza::{Fields, next_stanza};
use super::{
    CHAINS, Dependency, Found, Group, Index, IndexError, Input, Kind, MultiArch, NONE, Package, Place,
    Provide, Stanza, Version, hash,
};
use crate::relation::{Operator, Relation, relations};
use crate::version;
use std::borrow::Cow;
use std::cmp::Ordering;

/// Which name and architecture a relation is about.
struct Target<'a> {
    name: Cow<'a, str>,
    architecture: u16,
    /// An architecture was named.
    specific: bool,
}

/// A field of relations.
#[derive(Clone, Copy)]
struct Field<'a> {
    name: &'static str,
    text: &'a str,
    /// None if the field only makes names known.
    kind: Option<Kind>,
    /// The architecture of the package.
    own: &'a str,
}

/// A paragraph that is being taken in.
struct Entry<'a> {
    fields: Fields<'a>,
    place: Place,
    is_status: bool,
}

/// What a provision says.
#[derive(Clone, Copy)]
pub(super) struct Provision<'a> {
    pub(super) bound: &'a str,
    pub(super) implicit: bool,
    pub(super) specific: bool,
}

impl<'a> Index<'a> {
    /// Reads all lists.
    pub fn build(input: &Input<'a>) -> Result<Self, IndexError> {
        let mut architectures = vec![input.native];
        architectures.extend(input.foreign.iter().filter(|foreign| **foreign != input.native));
        let configured = architectures.len();
        let texts: Vec<&str> = input.lists.iter().map(|list| list.text).chain([input.status]).collect();
        if texts.len() > usize::from(u16::MAX) || texts.iter().any(|text| text.len() > NONE as usize - 1) {
            return Err(IndexError::TooLarge);
        }
        let mut index = Self {
            architectures,
            configured,
            texts,
            origins: input.lists.iter().map(|list| list.origin.clone()).collect(),
            chains: vec![NONE; CHAINS as usize],
            groups: Vec::new(),
            packages: Vec::new(),
            versions: Vec::new(),
            places: Vec::new(),
            dependencies: Vec::new(),
            provides: Vec::new(),
        };
        for list in 0..index.texts.len() {
            index.read_list(list)?;
        }
        for package in 0..index.packages.len() as u32 {
            index.packages[package as usize].candidate = index.choose_candidate(package);
        }
        Ok(index)
    }

    fn read_list(&mut self, list: usize) -> Result<(), IndexError> {
        let text = self.texts[list];
        let mut from = 0;
        loop {
            let (start, end, fields) = match next_stanza(text, from) {
                Ok(None) => return Ok(()),
                Ok(Some(read)) => read,
                Err(stray) => {
                    let line = 1 + text.as_bytes()[..stray.at].iter().filter(|byte| **byte == b'\n').count();
                    let text = stray.line.trim_end().chars().take(60).collect();
                    return Err(IndexError::Paragraph { list: list + 1, line, text });
                }
            };
            from = end;
            let place =
                Place { list: list as u16, start: start as u32, length: (end - start) as u32, next: NONE };
            // What has no version is known to dpkg, but not there.
            if !fields.package.is_empty() && !fields.version.is_empty() {
                self.read_entry(Entry { fields, place, is_status: list + 1 == self.texts.len() })?;
            }
            if self.dependencies.len().max(self.provides.len()) >= NONE as usize / 2 {
                return Err(IndexError::TooLarge);
            }
        }
    }

    /// Takes a paragraph in (`pkgCacheGenerator::MergeListVersion`).
    fn read_entry(&mut self, entry: Entry<'a>) -> Result<(), IndexError> {
        let architecture = self.architecture_number(match entry.fields.architecture {
            "" => "none",
            architecture => architecture,
        });
        let name = match entry.fields.package.bytes().any(|byte| byte.is_ascii_uppercase()) {
            true => Cow::Owned(entry.fields.package.to_ascii_lowercase()),
            false => Cow::Borrowed(entry.fields.package),
        };
        let package = self.package(name, architecture);
        let (before, known) = self.place_in_order(package, &entry);
        let version = match known {
            Some(version) => version,
            None => {
                let version = self.new_version(package, before, &entry);
                self.read_relations(version, &entry.fields)?;
                version
            }
        };
        self.use_package(package, version, &entry)?;
        self.add_place(version, entry.place);
        if known.is_none() {
            self.relate_siblings(package, version);
        }
        Ok(())
    }

    /// The number of an architecture; `all` is the native one's.
    fn architecture_number(&mut self, name: &'a str) -> u16 {
        if name == "all" || name == "native" {
            return 0;
        }
        if let Some(known) = self.architectures.iter().position(|known| *known == name) {
            return known as u16;
        }
        self.architectures.push(name);
        (self.architectures.len() - 1) as u16
    }

    /// Versions are kept in order. Returns after which one a new one belongs, and the one that it is if it is known: the
    /// same version with other dependencies, another size or multi-arch is another one.
    fn place_in_order(&self, package: u32, entry: &Entry<'a>) -> (u32, Option<u32>) {
        let mut before = NONE;
        for at in self.versions_of(package) {
            let known = &self.versions[at as usize];
            match version::compare(entry.fields.version, known.version) {
                Ordering::Greater => break,
                Ordering::Less => {}
                Ordering::Equal if self.is_same(at, entry) => return (before, Some(at)),
                // What can be fetched stands before what is only installed.
                Ordering::Equal if !entry.is_status && !self.downloadable(at) => break,
                Ordering::Equal => {}
            }
            before = at;
        }
        (before, None)
    }

    /// As `debListParser::SameVersion`, with the texts instead of a hash of them.
    fn is_same(&self, version: u32, entry: &Entry<'a>) -> bool {
        let known = &self.versions[version as usize];
        let fields = &entry.fields;
        if fields.multi() != known.multi || (fields.architecture == "all") != known.all {
            return false;
        }
        if fields.size() != 0 && known.size != 0 && fields.size() != known.size {
            return false;
        }
        let Some(place) = self.places_of(version).next() else { return false };
        let (known, entry) = (self.stanza(place), self.stanza(&entry.place));
        let names = ["Installed-Size", "Depends", "Pre-Depends", "Conflicts", "Breaks", "Replaces"];
        let same = |name| {
            let (known, entry) = (known.get(name).unwrap_or_default(), entry.get(name).unwrap_or_default());
            known == entry || significant(known).eq(significant(entry))
        };
        names.into_iter().all(same)
    }

    fn new_version(&mut self, package: u32, before: u32, entry: &Entry<'a>) -> u32 {
        let number = self.versions.len() as u32;
        let next = match before {
            NONE => std::mem::replace(&mut self.packages[package as usize].versions, number),
            before => std::mem::replace(&mut self.versions[before as usize].next, number),
        };
        self.versions.push(Version {
            version: entry.fields.version,
            package,
            next,
            depends: NONE,
            last_depends: NONE,
            provides: NONE,
            places: NONE,
            priority: entry.fields.priority(),
            multi: entry.fields.multi(),
            all: entry.fields.architecture == "all",
            size: entry.fields.size(),
        });
        number
    }

    fn add_place(&mut self, version: u32, place: Place) {
        let number = self.places.len() as u32;
        let last =
            super::chain(self.versions[version as usize].places, |at| self.places[at as usize].next).last();
        match last {
            None => self.versions[version as usize].places = number,
            Some(last) => self.places[last as usize].next = number,
        }
        self.places.push(place);
    }

    /// What a paragraph says about the package itself (`debListParser::UsePackage`, `ParseStatus`).
    fn use_package(&mut self, number: u32, version: u32, entry: &Entry<'a>) -> Result<(), IndexError> {
        let is_apt = self.package_name(number) == "apt";
        let package = &mut self.packages[number as usize];
        let flag = |flag: &mut bool, text: &str| match text {
            "yes" | "true" => *flag = true,
            "no" | "false" => *flag = false,
            _ => {}
        };
        flag(&mut package.essential, entry.fields.essential);
        flag(&mut package.important, entry.fields.important);
        // apt does not remove itself.
        package.essential |= is_apt;
        package.important |= is_apt;
        if !entry.is_status || entry.fields.status.is_empty() {
            return Ok(());
        }
        let words: Vec<&str> = entry.fields.status.split_ascii_whitespace().collect();
        let malformed = || IndexError::Status {
            package: entry.fields.package.to_owned(),
            text: entry.fields.status.to_owned(),
        };
        let [want, _, state] = words[..] else { return Err(malformed()) };
        package.hold = want == "hold";
        match state {
            "not-installed" | "config-files" => {}
            "half-installed" | "unpacked" | "half-configured" | "triggers-awaited" | "triggers-pending"
            | "installed" => {
                package.current = version;
            }
            _ => return Err(malformed()),
        }
        Ok(())
    }

    fn read_relations(&mut self, version: u32, fields: &Fields<'a>) -> Result<(), IndexError> {
        let malformed = |field, cause| IndexError::Relation {
            field,
            package: fields.package.to_owned(),
            version: fields.version.to_owned(),
            cause,
        };
        let own = match fields.architecture {
            "" => "none",
            architecture => architecture,
        };
        let all = [
            ("Pre-Depends", fields.pre_depends, Some(Kind::PreDepends)),
            ("Depends", fields.depends, Some(Kind::Depends)),
            ("Conflicts", fields.conflicts, Some(Kind::Conflicts)),
            ("Breaks", fields.breaks, Some(Kind::Breaks)),
            ("Recommends", fields.recommends, Some(Kind::Recommends)),
            ("Suggests", fields.suggests, Some(Kind::Suggests)),
            // These two only make names known.
            ("Replaces", fields.replaces, None),
            ("Enhances", fields.enhances, None),
        ];
        for (name, text, kind) in all {
            for relation in relations(text) {
                let relation = relation.map_err(|cause| malformed(name, cause))?;
                if relation.is_for(self.architectures[0]) {
                    self.depend(version, Field { name, text, kind, own }, &relation);
                } else if let Some(kind) = kind.filter(|_| !relation.or) {
                    self.end_alternatives(version, kind);
                }
            }
        }
        self.provide(version, own, fields).map_err(|cause| malformed("Provides", cause))
    }

    /// Takes a relation in (`debListParser::ParseDepends`).
    fn depend(&mut self, version: u32, field: Field<'a>, relation: &Relation<'a>) {
        let own_number = self.architecture_number(field.own);
        let any = |index: &mut Self, name: Cow<'a, str>, specific| Target {
            name,
            architecture: index.architecture_number("any"),
            specific,
        };
        let targets = match relation.qualifier {
            None => {
                let name = Cow::Borrowed(relation.name);
                [Some(Target { name, architecture: own_number, specific: false }), None]
            }
            Some("any") => {
                let target = any(self, Cow::Borrowed(relation.full_name(field.text)), false);
                let name = Cow::Borrowed(relation.name);
                let own = Target { name, architecture: own_number, specific: false };
                [Some(target), (!self.is_configured(own_number)).then_some(own)]
            }
            Some("native") => {
                let name = format!("{}:{}", relation.name, self.architectures[0]);
                [Some(any(self, Cow::Owned(name), true)), None]
            }
            Some(_) => [Some(any(self, Cow::Borrowed(relation.full_name(field.text)), true)), None],
        };
        let both = targets[1].is_some();
        for (at, target) in targets.into_iter().flatten().enumerate() {
            let or = relation.or || (both && at == 0);
            let negative = matches!(field.name, "Conflicts" | "Breaks" | "Replaces");
            let group = self.group(target.name.clone());
            let everywhere = negative && !target.specific && self.groups[group as usize].first != NONE;
            let packages: Vec<u32> = match everywhere {
                true => self.siblings(group).collect(),
                false => vec![self.package(target.name, target.architecture)],
            };
            let Some(kind) = field.kind else { continue };
            let (operator, bound) =
                relation.bound.map_or((None, ""), |(operator, bound)| (Some(operator), bound));
            for package in packages {
                self.new_dependency(Dependency {
                    bound,
                    parent: version,
                    target: package,
                    next: NONE,
                    next_reverse: NONE,
                    operator,
                    kind,
                    or,
                    implicit: false,
                    specific: target.specific,
                });
            }
        }
    }

    /// The last alternative is left out: the one before it is the last now.
    fn end_alternatives(&mut self, version: u32, kind: Kind) {
        let last = self.versions[version as usize].last_depends;
        if let Some(last) = self.dependencies.get_mut(last as usize).filter(|last| last.kind == kind) {
            last.or = false;
        }
    }

    pub(super) fn new_dependency(&mut self, mut dependency: Dependency<'a>) {
        let number = self.dependencies.len() as u32;
        let target = &mut self.packages[dependency.target as usize];
        dependency.next_reverse = std::mem::replace(&mut target.reverse, number);
        let parent = &mut self.versions[dependency.parent as usize];
        match std::mem::replace(&mut parent.last_depends, number) {
            NONE => parent.depends = number,
            last => self.dependencies[last as usize].next = number,
        }
        self.dependencies.push(dependency);
    }

    /// Takes in what a version provides, itself on other architectures included (`debListParser::ParseProvides`).
    fn provide(
        &mut self,
        version: u32,
        own: &'a str,
        fields: &Fields<'a>,
    ) -> Result<(), crate::relation::Malformed> {
        let of_version = self.provides_of(version).map(|at| &self.provides[at as usize]);
        let already = of_version.into_iter().any(|provide| provide.implicit && provide.specific);
        let own_number = self.architecture_number(own);
        let configured = self.is_configured(own_number);
        let any = self.architecture_number("any");
        let multi = self.versions[version as usize].multi;
        let package = self.versions[version as usize].package;
        let architecture = self.architectures[usize::from(self.packages[package as usize].architecture)];
        for relation in relations(fields.provides) {
            let relation = relation?;
            let bound = match relation.bound {
                None => "",
                Some((Operator::Equal, bound)) => bound,
                // A bound that is no version is no provision, and neither is one with an alternative.
                Some(_) => continue,
            };
            if relation.or {
                continue;
            }
            let plain = Provision { bound, implicit: false, specific: false };
            let name = Cow::Borrowed(relation.name);
            if let Some(qualifier) = relation.qualifier {
                if qualifier != "any" {
                    let number = self.architecture_number(qualifier);
                    let provision = Provision { bound, implicit: true, specific: true };
                    self.provide_named(version, name, number, provision);
                }
                let full = Cow::Borrowed(relation.full_name(fields.provides));
                self.provide_named(version, full, any, Provision { bound, implicit: false, specific: true });
                continue;
            }
            if multi == MultiArch::Foreign && configured {
                self.provide_everywhere(version, name, plain);
            } else {
                if multi == MultiArch::Allowed && configured {
                    let full = Cow::Owned(format!("{}:any", relation.name));
                    self.provide_named(version, full, any, Provision { implicit: true, ..plain });
                }
                self.provide_named(version, name, own_number, plain);
            }
            let full = format!("{}:{architecture}", relation.name);
            if self.is_known(&full) {
                let provision = Provision { bound, implicit: true, specific: true };
                self.provide_named(version, Cow::Owned(full), any, provision);
            }
        }
        let bound = self.versions[version as usize].version;
        let itself = Provision { bound, implicit: true, specific: false };
        let name = self.groups[self.packages[package as usize].group as usize].name.clone();
        match multi {
            MultiArch::Allowed if configured => {
                self.provide_named(version, Cow::Owned(format!("{name}:any")), any, itself);
            }
            MultiArch::Foreign if configured => self.provide_everywhere(version, name.clone(), itself),
            _ => {}
        }
        let full = format!("{name}:{architecture}");
        if !already && self.is_known(&full) {
            self.provide_named(version, Cow::Owned(full), any, Provision { specific: true, ..itself });
        }
        Ok(())
    }

    /// Whether a name has packages.
    fn is_known(&self, name: &str) -> bool {
        self.find_group(name).is_some_and(|group| self.groups[group as usize].first != NONE)
    }

    /// Nothing provides itself in its own version.
    fn provide_named(&mut self, version: u32, name: Cow<'a, str>, architecture: u16, what: Provision<'a>) {
        let own = &self.versions[version as usize];
        let same = what.bound.is_empty() || what.bound == own.version;
        if same
            && self.packages[own.package as usize].architecture == architecture
            && self.package_name(own.package) == name
        {
            return;
        }
        let package = self.package(name, architecture);
        self.new_provide(version, package, what);
    }

    fn provide_everywhere(&mut self, version: u32, name: Cow<'a, str>, what: Provision<'a>) {
        let group = self.find_group(&name).filter(|group| self.groups[*group as usize].first != NONE);
        let Some(group) = group else { return self.provide_named(version, name, 0, what) };
        let own = self.versions[version as usize].package;
        let all: Vec<u32> = self.siblings(group).collect();
        for package in all.into_iter().filter(|package| !what.implicit || *package != own) {
            self.new_provide(version, package, what);
        }
    }

    pub(super) fn new_provide(&mut self, version: u32, package: u32, what: Provision<'a>) {
        let number = self.provides.len() as u32;
        let next = std::mem::replace(&mut self.packages[package as usize].provides, number);
        let next_of_version = std::mem::replace(&mut self.versions[version as usize].provides, number);
        let Provision { bound, implicit, specific } = what;
        self.provides.push(Provide { bound, version, package, next, next_of_version, implicit, specific });
    }

    fn group(&mut self, name: Cow<'a, str>) -> u32 {
        if let Some(known) = self.find_group(&name) {
            return known;
        }
        let number = self.groups.len() as u32;
        let chain = std::mem::replace(&mut self.chains[hash(&name) as usize], number);
        self.groups.push(Group { name, first: NONE, last: NONE, chain });
        number
    }

    /// A package, which is made known if it is not (`pkgCacheGenerator::NewPackage`).
    pub(super) fn package(&mut self, name: Cow<'a, str>, architecture: u16) -> u32 {
        let group = self.group(name);
        if let Some(known) = self.find_package(group, architecture) {
            return known;
        }
        let number = self.packages.len() as u32;
        self.packages.push(Package {
            group,
            architecture,
            essential: false,
            important: false,
            hold: false,
            versions: NONE,
            provides: NONE,
            reverse: NONE,
            next: NONE,
            current: NONE,
            candidate: NONE,
        });
        if self.groups[group as usize].first == NONE {
            self.groups[group as usize].first = number;
        } else {
            self.join_siblings(group, number);
            let last = self.groups[group as usize].last;
            self.packages[last as usize].next = number;
        }
        self.groups[group as usize].last = number;
        if self.architectures[usize::from(architecture)] == "any" {
            self.provide_of_architecture(group, number);
        }
        number
    }

    /// Where a version is in the status file.
    pub fn installed(&self) -> Vec<Found<'a>> {
        let status = self.texts.len() - 1;
        let current = self.packages.iter().filter(|package| package.current != NONE);
        let stanza = |package: &Package| {
            let place = self.places_of(package.current).find(|place| usize::from(place.list) == status);
            place.map(|place| Found { list: status, stanza: Stanza::new(self.stanza(place).text()) })
        };
        current.filter_map(stanza).collect()
    }
}

/// The letters of a field that make a difference: dpkg writes `<` for `<=` and leaves out an epoch of zero.
fn significant(text: &str) -> impl Iterator<Item = u8> + '_ {
    let bytes = text.as_bytes();
    let mut at = 0;
    std::iter::from_fn(move || {
        loop {
            let byte = *bytes.get(at)?;
            at += 1;
            match byte {
                b'0' if bytes.get(at) == Some(&b':') => at += 1,
                b'=' => {}
                byte if byte.is_ascii_whitespace() => {}
                byte => return Some(byte | 0x20),
            }
        }
    })
}
