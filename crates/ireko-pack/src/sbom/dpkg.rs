//! What dpkg knows of a root file system: its packages, and whose a file is.

use super::{Distribution, Package, licence};
use crate::error::Error;
use crate::with::OS_RELEASE;
use ireko_deb::installed::{STATUS, STATUS_DIR, is_list, there};
use ireko_deb::relation;
use ireko_slim::{Node, Root, follow};
use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

const DIR: &str = "/var/lib/dpkg";

/// The packages of a root.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Database {
    /// All of them, as [`Bill`](super::Bill) takes them, but for their licences.
    pub packages: Vec<Package>,
    /// The lists that each one's files may be in.
    lists: Vec<Vec<String>>,
}

impl Database {
    /// Reads the packages of a root; there are none where there is no dpkg.
    ///
    /// # Errors
    /// A file cannot be read, or is damaged.
    pub fn read(root: &dyn Root) -> Result<Self, Error> {
        let mut all = Self::default();
        let mut relations = Vec::new();
        let status = format!("/{STATUS}");
        if let Some(text) = text(root, &status)? {
            all.add(&status, &text, &mut relations)?;
        }
        for name in names(root, &format!("/{STATUS_DIR}"))? {
            let path = format!("/{STATUS_DIR}/{name}");
            if !is_list(&path[1..]) {
                continue;
            }
            if let Some(text) = text(root, &path)? {
                all.add(&path, &text, &mut relations)?;
            }
        }
        all.connect(&relations);
        Ok(all)
    }

    fn add(&mut self, path: &str, text: &str, relations: &mut Vec<Relations>) -> Result<(), Error> {
        let packages = there(text).map_err(|cause| Error::Database { path: path.to_owned(), cause })?;
        for paragraph in packages {
            let field = |name: &str| paragraph.get(name).unwrap_or_default().to_owned();
            let (name, version) = (field("Package"), field("Version"));
            self.lists.push(match path[1..].starts_with(STATUS_DIR) {
                true => vec![format!("{path}.md5sums")],
                false => vec![
                    format!("{DIR}/info/{name}:{}.list", field("Architecture")),
                    format!("{DIR}/info/{name}.list"),
                ],
            });
            relations.push(Relations {
                needs: [field("Pre-Depends"), field("Depends")],
                provides: field("Provides"),
            });
            self.packages.push(Package {
                source: source(&field("Source"), (&name, &version)),
                architecture: field("Architecture"),
                maintainer: field("Maintainer"),
                homepage: field("Homepage"),
                summary: field("Description").lines().next().unwrap_or_default().trim().to_owned(),
                name,
                version,
                ..Package::default()
            });
        }
        Ok(())
    }

    /// Follows relations to the packages that are there and satisfy them.
    fn connect(&mut self, relations: &[Relations]) {
        let mut providers: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, (package, relations)) in self.packages.iter().zip(relations).enumerate() {
            providers.entry(&package.name).or_default().push(at);
            for provided in relation::names(&relations.provides) {
                providers.entry(provided).or_default().push(at);
            }
        }
        let needs: Vec<Vec<usize>> = relations
            .iter()
            .map(|one| {
                let names = one.needs.iter().flat_map(|field| relation::names(field));
                names.filter_map(|name| providers.get(name)).flatten().copied().collect()
            })
            .collect();
        for (package, needs) in self.packages.iter_mut().zip(needs) {
            package.needs = needs;
        }
    }

    /// Whose these files are, by the places of the packages. Paths are without links; a package may name a file by
    /// another way, such as `/lib/x` for `/usr/lib/x`.
    ///
    /// # Errors
    /// A list cannot be read.
    pub fn owners(
        &self,
        root: &dyn Root,
        paths: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, usize>, Error> {
        let ways = ways(root, paths)?;
        let diverted = diversions(root)?;
        let mut owners = BTreeMap::new();
        for (at, lists) in self.lists.iter().enumerate() {
            let Some((list, text)) = first(root, lists)? else { continue };
            for line in text.lines() {
                let path = match list.ends_with(".md5sums") {
                    true => match line.split_once("  ") {
                        Some((_, path)) => format!("/{}", path.trim_start_matches("./")),
                        None => continue,
                    },
                    false => line.to_owned(),
                };
                let moved = diverted.get(path.as_str()).filter(|(_, by)| *by != self.packages[at].name);
                let path = moved.map_or(path.as_str(), |(to, _)| to);
                if let Some(real) = ways.get(path) {
                    owners.entry(real.clone()).or_insert(at);
                }
            }
        }
        Ok(owners)
    }
}

/// The relations of a package that lead to others.
struct Relations {
    needs: [String; 2],
    provides: String,
}

/// `NAME` or `NAME (VERSION)`; what is not said is the package's own.
fn source(field: &str, (name, version): (&str, &str)) -> (String, String) {
    match field.split_once('(') {
        Some((source, rest)) => (source.trim().to_owned(), rest.trim_end_matches(')').trim().to_owned()),
        None if field.is_empty() => (name.to_owned(), version.to_owned()),
        None => (field.to_owned(), version.to_owned()),
    }
}

/// Each path and its other names through the links of the root's top: to the path itself.
fn ways(root: &dyn Root, paths: &BTreeSet<String>) -> Result<BTreeMap<String, String>, Error> {
    let mut links = Vec::new();
    for name in names(root, "/")? {
        let from = format!("/{name}");
        if let Some(Node::Link(target)) = node(root, &from)? {
            links.push((from, format!("/{}/", target.trim_matches('/'))));
        }
    }
    let mut ways: BTreeMap<String, String> = paths.iter().map(|path| (path.clone(), path.clone())).collect();
    for path in paths {
        for (from, to) in &links {
            if let Some(rest) = path.strip_prefix(to.as_str()) {
                ways.insert(format!("{from}/{rest}"), path.clone());
            }
        }
    }
    Ok(ways)
}

/// Where files of others went, and on whose behalf (dpkg-divert(1)): the file keeps three lines for each.
fn diversions(root: &dyn Root) -> Result<BTreeMap<String, (String, String)>, Error> {
    let text = text(root, &format!("{DIR}/diversions"))?.unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let diverted = lines.chunks_exact(3);
    Ok(diverted.map(|one| (one[0].to_owned(), (one[1].to_owned(), one[2].to_owned()))).collect())
}

/// Says of packages what licences their copyright files tell of.
///
/// # Errors
/// One of these files cannot be read.
pub fn licences(root: &dyn Root, packages: &mut [Package]) -> Result<(), Error> {
    for package in packages {
        let path = format!("/usr/share/doc/{}/copyright", package.name);
        package.licence = text(root, &path)?.and_then(|text| licence::of(&text));
    }
    Ok(())
}

/// What a root says it is a system of.
///
/// # Errors
/// It cannot be read.
pub fn distribution(root: &dyn Root) -> Result<Option<Distribution>, Error> {
    for path in OS_RELEASE {
        if let Some(text) = text(root, path)? {
            return Ok(os_release(&text));
        }
    }
    Ok(None)
}

/// What an os-release(5) says; nothing where it names no system.
pub fn os_release(text: &str) -> Option<Distribution> {
    let field = |name: &str| {
        let mut values = text.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        values.next_back().unwrap_or_default().trim().trim_matches(['"', '\'']).to_owned()
    };
    let (id, version) = (field("ID"), field("VERSION_ID"));
    let (codename, title) = (field("VERSION_CODENAME"), field("NAME"));
    (!id.is_empty()).then_some(Distribution { id, version, codename, title })
}

/// The text of a file, wherever links lead to it; nothing where there is none.
fn text(root: &dyn Root, path: &str) -> Result<Option<String>, Error> {
    let reading = |cause| Error::Read { path: root.real(path), cause };
    let place = follow(root, path).map_err(reading)?;
    let Some(place) = place.filter(|place| matches!(place.node, Node::File { .. })) else { return Ok(None) };
    let mut bytes = Vec::new();
    let mut file = root.open(&place.path).map_err(reading)?;
    file.read_to_end(&mut bytes).map_err(reading)?;
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}

fn first<'a>(root: &dyn Root, paths: &'a [String]) -> Result<Option<(&'a str, String)>, Error> {
    for path in paths {
        if let Some(text) = text(root, path)? {
            return Ok(Some((path, text)));
        }
    }
    Ok(None)
}

fn names(root: &dyn Root, dir: &str) -> Result<Vec<String>, Error> {
    root.names(dir).map_err(|cause| Error::Read { path: root.real(dir), cause })
}

fn node(root: &dyn Root, path: &str) -> Result<Option<Node>, Error> {
    root.node(path).map_err(|cause| Error::Read { path: root.real(path), cause })
}
