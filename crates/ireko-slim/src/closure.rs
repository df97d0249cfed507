//! All files that programs need to start: what the loader would load, in its order, and the links on the way.

use std::collections::BTreeMap;
use std::io;

use crate::Error;
use crate::elf::{self, Elf, Machine, Unread};
use crate::files::{Node, Place, Root, follow, parent};
use crate::help::Help;
use crate::loader::{Loader, Rules};
use crate::script;

/// How programs are started.
#[derive(Clone, Debug)]
pub struct Options {
    /// `LD_LIBRARY_PATH`.
    pub library_path: Vec<String>,
    /// `PATH`, on which `#!/usr/bin/env` looks.
    pub path: Vec<String>,
    /// What all of it must be for; without it, what the first program is for.
    pub machine: Option<Machine>,
}

impl Default for Options {
    fn default() -> Self {
        let path = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
        Self { library_path: Vec::new(), path: path.map(str::to_owned).to_vec(), machine: None }
    }
}

/// A file that is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its bytes.
    pub size: u64,
    /// The file that names it; none where it was asked for.
    pub wanted_by: Option<String>,
}

/// What programs need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Closure {
    /// Files by their paths, which go through no link.
    pub files: BTreeMap<String, Found>,
    /// Links by their paths, and what they say.
    pub links: BTreeMap<String, String>,
    /// What else they are seen to ask for, and the first file that does.
    pub help: BTreeMap<Help, String>,
    /// Shared objects that the loader finds by its cache alone: without one it would not.
    pub cached: BTreeMap<String, String>,
    /// What all of it is for; none where there are scripts of static programs only.
    pub machine: Option<Machine>,
}

impl Closure {
    /// Bytes of all files.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|file| file.size).sum()
    }
}

/// What these programs need in this root.
///
/// # Errors
/// A file cannot be read, is no program, or is for another machine; a shared object or an interpreter is not there.
pub fn closure(root: &dyn Root, programs: &[&str], options: &Options) -> Result<Closure, Error> {
    let needs = Closure { machine: options.machine, ..Closure::default() };
    let mut walk = Walk { root, options, needs, loaders: BTreeMap::new() };
    for program in programs {
        walk.program(program, None)?;
    }
    Ok(walk.needs)
}

struct Walk<'a> {
    root: &'a dyn Root,
    options: &'a Options,
    needs: Closure,
    loaders: BTreeMap<Option<String>, Loader>,
}

/// What was loaded for a program.
struct Object {
    /// Where it was found, which is what `$ORIGIN` goes by.
    at: String,
    /// The same without links.
    path: String,
    elf: Elf,
    /// Who asked for it first.
    loader: Option<usize>,
}

/// All that was loaded for a program.
#[derive(Default)]
struct Loaded {
    objects: Vec<Object>,
    /// By the names that they were asked for, and their own.
    names: BTreeMap<String, usize>,
}

/// A search for one name.
#[derive(Default)]
struct Search {
    searched: Vec<String>,
    foreign: Option<String>,
}

fn reading(path: &str) -> impl FnOnce(io::Error) -> Error + '_ {
    |cause| Error::Read { path: path.to_owned(), cause }
}

impl Walk<'_> {
    fn follow(&self, path: &str) -> Result<Option<Place>, Error> {
        follow(self.root, path).map_err(reading(path))
    }

    fn add(&mut self, place: &Place, wanted_by: Option<&str>) {
        self.needs.links.extend(place.links.iter().cloned());
        if let Node::File { size, .. } = place.node {
            let wanted_by = wanted_by.map(str::to_owned);
            self.needs.files.entry(place.path.clone()).or_insert(Found { size, wanted_by });
        }
    }

    fn ask(&mut self, help: impl IntoIterator<Item = Help>, path: &str) {
        for help in help {
            self.needs.help.entry(help).or_insert_with(|| path.to_owned());
        }
    }

    /// A program or a script, and what runs it.
    fn program(&mut self, path: &str, wanted_by: Option<&str>) -> Result<(), Error> {
        let absent = || Error::Absent { path: path.to_owned(), wanted_by: wanted_by.map(str::to_owned) };
        let place = self.follow(path)?.ok_or_else(absent)?;
        let Node::File { .. } = place.node else { return Err(Error::NoProgram { path: place.path }) };
        let is_known = self.needs.files.contains_key(&place.path);
        self.add(&place, wanted_by);
        if is_known {
            return Ok(());
        }
        let file = self.root.open(&place.path).map_err(reading(&place.path))?;
        if elf::is_elf(&file).map_err(reading(&place.path))? {
            return self.binary(&place);
        }
        let Some(line) = script::read(&file).map_err(reading(&place.path))? else {
            return Err(Error::NoProgram { path: place.path });
        };
        self.program(&line.interpreter, Some(&place.path))?;
        let Some(named) = line.named else { return Ok(()) };
        for dir in &self.options.path {
            let candidate = format!("{dir}/{named}");
            if let Some(Place { node: Node::File { .. }, .. }) = self.follow(&candidate)? {
                return self.program(&candidate, Some(&place.path));
            }
        }
        Err(Error::Absent { path: named, wanted_by: Some(place.path) })
    }

    fn read(&self, path: &str) -> Result<Elf, Error> {
        let file = self.root.open(path).map_err(reading(path))?;
        Elf::read(&file).map_err(|unread| match unread {
            Unread::Foreign => Error::NoProgram { path: path.to_owned() },
            Unread::Damaged(problem) => Error::Damaged { path: path.to_owned(), problem },
        })
    }

    /// A program of machine code, or a shared object that a program will ask for by itself.
    fn binary(&mut self, place: &Place) -> Result<(), Error> {
        let path = place.path.as_str();
        let elf = self.read(path)?;
        let wanted = *self.needs.machine.get_or_insert(elf.machine);
        if elf.machine != wanted {
            return Err(Error::Machine { path: path.to_owned(), found: elf.machine, wanted });
        }
        self.ask(Help::by_imports(&elf.imports), path);
        if !elf.is_dynamic() {
            let file = self.root.open(path).map_err(reading(path))?;
            let help = Help::by_texts(&file).map_err(reading(path))?;
            self.ask(help, path);
            return Ok(());
        }
        let mut loaded = Loaded::default();
        let interpreter = elf.interpreter.clone();
        loaded.add(Object { at: path.to_owned(), path: path.to_owned(), elf, loader: None }, None);
        let own = match &interpreter {
            Some(interpreter) => Some(self.interpreter(interpreter, path)?),
            None => None,
        };
        if !self.loaders.contains_key(&interpreter) {
            let loader = match &interpreter {
                Some(interpreter) => Loader::of(self.root, interpreter, wanted),
                None => Loader::glibc(self.root, None, wanted),
            };
            self.loaders.insert(interpreter.clone(), loader.map_err(reading("/etc/ld.so.cache"))?);
        }
        let mut at = 0;
        while at < loaded.objects.len() {
            for name in loaded.objects[at].elf.needed.clone() {
                let is_own = own.as_ref().is_some_and(|(own, rules)| is_loader(own, *rules, &name));
                if is_own || loaded.names.contains_key(&name) {
                    continue;
                }
                self.load(&mut loaded, (at, &name), &interpreter)?;
            }
            at += 1;
        }
        Ok(())
    }

    /// The program's loader: what it is as an object, and whose rules it has.
    fn interpreter(&mut self, interpreter: &str, wanted_by: &str) -> Result<(Elf, Rules), Error> {
        let missing = || Error::Missing {
            name: interpreter.to_owned(),
            wanted_by: vec![wanted_by.to_owned()],
            searched: vec![parent(interpreter).to_owned()],
            foreign: None,
        };
        let place = self.follow(interpreter)?.ok_or_else(missing)?;
        self.add(&place, Some(wanted_by));
        let is_musl = interpreter.rsplit('/').next().is_some_and(|name| name.starts_with("ld-musl-"));
        Ok((self.read(&place.path)?, if is_musl { Rules::Musl } else { Rules::Glibc }))
    }

    /// Finds what an object asks for, and adds it.
    fn load(
        &mut self,
        loaded: &mut Loaded,
        (at, name): (usize, &str),
        interpreter: &Option<String>,
    ) -> Result<(), Error> {
        let mut search = Search::default();
        let Some((found_at, place, elf)) = self.find(loaded, (at, name), interpreter, &mut search)? else {
            let wanted_by = loaded.chain(at).map(|object| object.path.clone()).collect();
            let Search { searched, foreign } = search;
            return Err(Error::Missing { name: name.to_owned(), wanted_by, searched, foreign });
        };
        let wanted_by = loaded.objects[at].path.clone();
        self.add(&place, Some(&wanted_by));
        if let Some(known) = loaded.objects.iter().position(|object| object.path == place.path) {
            loaded.names.insert(name.to_owned(), known);
            return Ok(());
        }
        if !is_libc(&elf) {
            self.ask(Help::by_imports(&elf.imports), &place.path);
        }
        loaded.add(Object { at: found_at, path: place.path, elf, loader: Some(at) }, Some(name));
        Ok(())
    }

    /// ld.so(8): the search paths of who asks and of those who loaded it, the environment's, the cache, the usual
    /// directories.
    fn find(
        &mut self,
        loaded: &Loaded,
        (at, name): (usize, &str),
        interpreter: &Option<String>,
        search: &mut Search,
    ) -> Result<Option<(String, Place, Elf)>, Error> {
        let object = &loaded.objects[at];
        let (rules, cached, defaults) = match self.loaders.get(interpreter) {
            Some(loader) => (loader.rules, loader.cache.get(name).cloned(), loader.dirs.clone()),
            None => (Rules::Glibc, None, Vec::new()),
        };
        if name.contains('/') {
            return self.try_path(&self.expand(object, name, interpreter), search);
        }
        let mut dirs = Vec::new();
        let expanded = |object: &Object, path: &Option<String>| -> Vec<String> {
            let path = path.iter().flat_map(|path| path.split(':')).filter(|dir| !dir.is_empty());
            path.map(|dir| self.expand(object, dir, interpreter)).collect()
        };
        match rules {
            Rules::Musl => {
                dirs.extend(self.options.library_path.iter().cloned());
                for object in loaded.chain(at) {
                    dirs.extend(expanded(
                        object,
                        if object.elf.runpath.is_some() { &object.elf.runpath } else { &object.elf.rpath },
                    ));
                }
            }
            Rules::Glibc => {
                if object.elf.runpath.is_none() {
                    let old = |object: &&Object| object.elf.runpath.is_none();
                    for object in loaded.chain(at).chain(loaded.objects.first()).filter(old) {
                        dirs.extend(expanded(object, &object.elf.rpath));
                    }
                }
                dirs.extend(self.options.library_path.iter().cloned());
                dirs.extend(expanded(object, &object.elf.runpath));
            }
        }
        if let Some(found) = self.try_dirs(&dirs, name, search)? {
            return Ok(Some(found));
        }
        let defaults = if object.elf.no_defaults { Vec::new() } else { defaults };
        for path in cached.into_iter().flatten().filter(|_| !object.elf.no_defaults) {
            if let Some(found) = self.try_path(&path, search)? {
                if !defaults.iter().any(|dir| parent(&path) == dir)
                    && !self.is_in(&defaults, name, &found.1)?
                {
                    self.needs.cached.insert(name.to_owned(), path);
                }
                return Ok(Some(found));
            }
        }
        self.try_dirs(&defaults, name, search)
    }

    /// Whether one of these directories has the same file.
    fn is_in(&self, dirs: &[String], name: &str, found: &Place) -> Result<bool, Error> {
        for dir in dirs {
            if let Some(place) = self.follow(&format!("{dir}/{name}"))? {
                return Ok(place.path == found.path);
            }
        }
        Ok(false)
    }

    fn try_dirs(
        &self,
        dirs: &[String],
        name: &str,
        search: &mut Search,
    ) -> Result<Option<(String, Place, Elf)>, Error> {
        for dir in dirs {
            let dir = dir.trim_end_matches('/');
            if !search.searched.iter().any(|known| known == dir) {
                search.searched.push(dir.to_owned());
            }
            if let Some(found) = self.try_path(&format!("{dir}/{name}"), search)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }

    /// The loader passes over what is for another machine.
    fn try_path(&self, path: &str, search: &mut Search) -> Result<Option<(String, Place, Elf)>, Error> {
        let Some(place) = self.follow(path)? else { return Ok(None) };
        let Node::File { .. } = place.node else { return Ok(None) };
        match self.read(&place.path) {
            Ok(elf) if Some(elf.machine) == self.needs.machine => Ok(Some((path.to_owned(), place, elf))),
            Ok(_) => {
                search.foreign.get_or_insert(place.path);
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// `$ORIGIN`, `$LIB` and `$PLATFORM`, with braces or without.
    fn expand(&self, object: &Object, text: &str, interpreter: &Option<String>) -> String {
        if !text.contains('$') {
            return text.to_owned();
        }
        let machine = object.elf.machine;
        let lib =
            self.loaders.get(interpreter).map_or_else(|| "lib".to_owned(), |loader| loader.lib(machine));
        let mut text = text.to_owned();
        for (token, value) in [("ORIGIN", parent(&object.at)), ("LIB", &lib), ("PLATFORM", machine.name())] {
            text = text.replace(&format!("${{{token}}}"), value).replace(&format!("${token}"), value);
        }
        text
    }
}

impl Loaded {
    fn add(&mut self, object: Object, name: Option<&str>) {
        let names = [name, object.elf.soname.as_deref()].into_iter().flatten().map(str::to_owned);
        let at = self.objects.len();
        for name in names.collect::<Vec<_>>() {
            self.names.entry(name).or_insert(at);
        }
        self.objects.push(object);
    }

    /// An object, who loaded it, and so on to the program.
    fn chain(&self, at: usize) -> impl Iterator<Item = &Object> {
        let mut next = Some(at);
        std::iter::from_fn(move || {
            let object = self.objects.get(next?)?;
            next = object.loader;
            Some(object)
        })
    }
}

/// Whether a name is the loader itself, which is there already. musl's is all of its library.
fn is_loader(loader: &Elf, rules: Rules, name: &str) -> bool {
    const PARTS: [&str; 7] = ["c", "pthread", "rt", "m", "dl", "util", "xnet"];
    let is_part = |name: &str| PARTS.contains(&name) || name.starts_with("c.musl-");
    match rules {
        Rules::Glibc => loader.soname.as_deref() == Some(name),
        Rules::Musl => {
            name.strip_prefix("lib")
                .and_then(|name| name.split_once(".so").map(|(name, _)| name))
                .is_some_and(is_part)
                || loader.soname.as_deref() == Some(name)
        }
    }
}

/// The C library asks for everything; only who asks it counts.
fn is_libc(elf: &Elf) -> bool {
    elf.soname.as_deref().is_some_and(|name| name.starts_with("libc.so") || name.starts_with("ld-linux"))
}
