//! What is asked for, and what it comes to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ireko_layer::Time;
use ireko_slim::{Closure, Found, Help, Node, Options, Root, closure, follow};

use crate::error::Error;
use crate::ldcache;
use crate::own::{Form, Target, form, is_program, normal};
use crate::packages::Packages;
use crate::pieces::{self, Content, Item, Piece};
use crate::root::Base;
use crate::sbom::Distribution;
use crate::with::{self, With};

/// A file or a directory of this machine, and its place in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Where it is.
    pub host: PathBuf,
    /// Where it is to be: an absolute path.
    pub place: String,
}

/// What is to be packed.
pub struct Request<'a> {
    /// Files of this machine.
    pub sources: Vec<Source>,
    /// Programs that have to start: paths in the image, in the sources or in the base.
    pub programs: Vec<String>,
    /// Where everything else comes from.
    pub base: &'a dyn Base,
    /// All of the base comes along, where it consists of packages.
    pub whole: bool,
    /// Files and directories of the base that come along, programs among them with what they need.
    pub includes: Vec<String>,
    /// What comes along beside what is found.
    pub with: BTreeSet<With>,
    /// What the files of the base are of, where no file of it says it.
    pub system: Option<Distribution>,
    /// How programs are started.
    pub options: Options,
    /// A user of the image who is to have a name.
    pub user: Option<(u32, u32)>,
    /// Layers at most.
    pub max_layers: usize,
    /// The time of all files.
    pub time: Time,
}

impl<'a> Request<'a> {
    /// Layers of an image at most, where nothing else is said: Docker's limit is 127, and a build above needs some.
    pub const MAX_LAYERS: usize = 100;

    /// The sources with what they need from a base.
    pub fn new(base: &'a dyn Base, sources: Vec<Source>) -> Self {
        Self {
            sources,
            programs: Vec::new(),
            base,
            whole: false,
            includes: Vec::new(),
            with: BTreeSet::new(),
            system: None,
            options: Options::default(),
            user: None,
            max_layers: Self::MAX_LAYERS,
            time: Time::default(),
        }
    }
}

/// What an image is to consist of.
#[derive(Debug)]
pub struct Packed {
    /// Its layers, bottom first: what many need, then what was named.
    pub pieces: Vec<Piece>,
    /// What the programs need, with who wants it.
    pub closure: Closure,
    /// What was taken from files of the base: paths in the image, and where they lie.
    pub taken: BTreeMap<String, PathBuf>,
    /// The programs that were named themselves and can be started, at their places.
    pub programs: Vec<String>,
    /// Why others that were named themselves cannot be started, where they look as if they were to be.
    pub idle: Vec<Error>,
    /// What they were seen to ask for and nobody gave, with the file that does.
    pub lacking: BTreeMap<Help, String>,
    /// What could not be followed: programs in directories that would not start.
    pub problems: Vec<ireko_slim::Error>,
}

/// Decides what an image consists of.
///
/// # Errors
/// A source cannot be read or lies where another does; a program or what it needs is not there, or is for another
/// machine. A program that a directory brings along and that would not start is told in [`Packed::problems`].
pub fn pack(request: &Request<'_>) -> Result<Packed, Error> {
    let target = Target::new(&request.sources, request.base)?;
    let (named, brought) = target.programs().map_err(|cause| Error::Read { path: "/".into(), cause })?;
    let wanted: Vec<String> = request
        .programs
        .iter()
        .map(|name| program(&target, name, &request.options))
        .collect::<Result<_, _>>()?;
    for path in &wanted {
        may_start(&target, path)?;
    }
    let (mut programs, mut idle) = (Vec::new(), Vec::new());
    for path in target.named() {
        match may_start(&target, path) {
            Ok(()) => programs.push(path.to_owned()),
            // What is neither a program nor has a bit of one is what others read.
            Err(Error::Needs(_)) if !target.is_executable(path) => {}
            Err(error) => idle.push(error),
        }
    }
    let strict: Vec<&str> = named.iter().copied().chain(wanted.iter().map(String::as_str)).collect();
    let mut found = closure(&target, &strict, &request.options)?;
    let options = Options { machine: found.machine, ..request.options.clone() };
    let mut problems = Vec::new();
    let mut brought: Vec<String> = brought.into_iter().map(str::to_owned).collect();
    for path in &request.includes {
        include(request.base, &normal(path)?, (&mut found, &mut brought))?;
    }
    for program in &brought {
        match closure(&target, &[program], &options) {
            Ok(more) => join(&mut found, more),
            Err(error) => problems.push(error),
        }
    }
    found.links.extend(target.links.clone());
    let mut helpers = with::items(request, &found)?;
    if !found.cached.is_empty()
        && let Some(bytes) = found.machine.and_then(|machine| ldcache::write(machine, &found.cached))
    {
        helpers.push(Item::new("/etc/ld.so.cache", Content::Bytes { bytes, mode: 0o644 }));
    }
    if let Some(configured) = request.base.packages().and_then(Packages::configured) {
        // Users whom scripts made are not replaced by a list without them.
        helpers.retain(|helper| !configured.files().any(|(path, _)| helper.is_at(&path)));
    }
    let has = |path: &str| match request.base.packages() {
        Some(packages) if request.whole => packages.holds(path),
        _ => false,
    };
    let lacking = found.help.iter().filter(|(help, _)| !with::gives(&request.with, **help, &has));
    let pieces = all_pieces(request, (&target, &found), helpers)?;
    let own: BTreeSet<&Path> = target.own.values().map(|own| own.host.as_path()).collect();
    let hosts = pieces.iter().flat_map(Piece::hosts).filter(|(_, host)| !own.contains(host));
    Ok(Packed {
        taken: hosts.map(|(path, host)| (path, host.to_owned())).collect(),
        lacking: lacking.map(|(help, path)| (*help, path.clone())).collect(),
        programs,
        idle,
        pieces: pieces::no_more_than(pieces, request.max_layers),
        closure: found,
        problems,
    })
}

/// Everything in the order in which it lies.
fn all_pieces(
    request: &Request<'_>,
    (target, found): (&Target<'_>, &Closure),
    helpers: Vec<Item>,
) -> Result<Vec<Piece>, Error> {
    let Some(packages) = request.base.packages() else {
        return pieces::of(target, found, helpers, request.time);
    };
    let mut pieces = Vec::new();
    let mut rest = found.clone();
    if request.whole {
        pieces.extend(packages.pieces());
        pieces.extend(packages.configured().cloned());
        rest.files.retain(|path, _| !packages.holds(path));
        rest.links.retain(|path, _| !packages.holds(path));
    } else {
        pieces.extend(packages.records(found.files.keys().map(String::as_str))?);
    }
    pieces.extend(pieces::of(target, &rest, helpers, request.time)?);
    Ok(pieces)
}

/// Where a program lies that is started by this name.
fn program(target: &Target<'_>, name: &str, options: &Options) -> Result<String, Error> {
    if name.contains('/') {
        return normal(name);
    }
    for dir in &options.path {
        let path = format!("{dir}/{name}");
        let reading = |cause| Error::Read { path: target.real(&path), cause };
        if let Some(ireko_slim::Place { node: Node::File { .. }, .. }) =
            follow(target, &path).map_err(reading)?
        {
            return Ok(path);
        }
    }
    Err(ireko_slim::Error::Absent { path: name.to_owned(), wanted_by: None }.into())
}

/// Refuses what no kernel starts, where it is there: a file that nobody may execute, or one that is neither machine
/// code nor names an interpreter.
fn may_start(target: &Target<'_>, path: &str) -> Result<(), Error> {
    let reading = |cause| Error::Read { path: target.real(path), cause };
    let Some(place) = follow(target, path).map_err(reading)? else { return Ok(()) };
    let Node::File { mode, .. } = place.node else { return Ok(()) };
    match form(target, &place.path).map_err(reading)? {
        Form::Other => Err(ireko_slim::Error::NoProgram { path: place.path }.into()),
        _ if mode & 0o111 == 0 => {
            let host = target.is_own(&place.path).then(|| target.real(&place.path));
            Err(Error::Mode { path: place.path, mode, host })
        }
        _ => Ok(()),
    }
}

/// Adds what lies at a path of the base, and names the programs in it.
fn include(
    base: &dyn Base,
    path: &str,
    (found, programs): (&mut Closure, &mut Vec<String>),
) -> Result<(), Error> {
    let reading = |cause| Error::Read { path: base.real(path), cause };
    let absent = || Error::Read { path: path.into(), cause: std::io::ErrorKind::NotFound.into() };
    let place = follow(base, path).map_err(reading)?.ok_or_else(absent)?;
    found.links.extend(place.links);
    match place.node {
        Node::File { size, .. } => {
            if is_program(base, &place.path).map_err(reading)? {
                programs.push(place.path.clone());
            }
            found.files.entry(place.path).or_insert(Found { size, wanted_by: None });
        }
        Node::Dir => {
            for name in base.names(&place.path).map_err(reading)? {
                let below = format!("{}/{name}", place.path.trim_end_matches('/'));
                // A link of a directory may lead nowhere, and stays what it is.
                match base.node(&below).map_err(reading)? {
                    Some(Node::Link(target)) => {
                        found.links.insert(below, target);
                    }
                    Some(Node::File { .. } | Node::Dir) => {
                        include(base, &below, (&mut *found, &mut *programs))?
                    }
                    _ => {}
                }
            }
        }
        Node::Link(_) | Node::Other => {}
    }
    Ok(())
}

fn join(found: &mut Closure, more: Closure) {
    for (path, file) in more.files {
        found.files.entry(path).or_insert(file);
    }
    for (help, path) in more.help {
        found.help.entry(help).or_insert(path);
    }
    found.links.extend(more.links);
    found.cached.extend(more.cached);
    found.machine = found.machine.or(more.machine);
}

/// A file of the base and the links that lead to it, as items; nothing where there is none.
pub(crate) fn base_items(base: &dyn Base, path: &str) -> Result<Option<Vec<Item>>, Error> {
    let reading = |cause| Error::Read { path: base.real(path), cause };
    let Some(place) = follow(base, path).map_err(reading)? else { return Ok(None) };
    let mut items: Vec<Item> =
        place.links.iter().map(|(link, target)| Item::new(link, Content::Link(target.clone()))).collect();
    if let Node::File { size, mode } = place.node {
        items.push(Item::new(&place.path, Content::File { data: base.data(&place.path, size), mode }));
    }
    Ok(Some(items))
}
