//! Certificate authorities that steps trust beside the image's own: shown to them, and never in a layer.
//!
//! What an image trusts lies in one file, at a place that depends on its distribution. A step is shown that file with
//! the further authorities behind its text: as a part of the tree, not as a mount, since programs that write the file
//! anew (`update-ca-certificates`) rename another into its place. Afterwards the further text is taken out of what the
//! step left.

use crate::error::Fault;
use ireko_layer::{Follow, Kind, OverlayAttrs, TreePath, View};
use ireko_report::Blame;
use ireko_sys::fsx;
use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::freshness;

/// Where distributions keep what they trust: Debian and Alpine, Fedora, SUSE, FreeBSD's way.
const BUNDLES: [&str; 6] = [
    "etc/ssl/certs/ca-certificates.crt",
    "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "etc/pki/tls/certs/ca-bundle.crt",
    "etc/ssl/ca-bundle.pem",
    "etc/ssl/cert.pem",
    "var/lib/ca-certificates/ca-bundle.pem",
];

/// The variables by which programs take a file of authorities. Most then read no other, so that the file has all.
pub(crate) const VARIABLES: [&str; 8] = [
    "SSL_CERT_FILE",
    "CURL_CA_BUNDLE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "NODE_EXTRA_CA_CERTS",
    "GIT_SSL_CAINFO",
    "AWS_CA_BUNDLE",
    "CARGO_HTTP_CAINFO",
];

/// Where that file is in a step.
pub(crate) const PLACE: &str = "/run/ireko/ca.pem";

/// Authorities for all steps of a build.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// Their certificates, as PEM.
    pub text: Arc<Vec<u8>>,
    /// What this machine trusts: for variables, in images that trust nobody yet.
    pub machine: Arc<Vec<u8>>,
}

impl Authorities {
    /// The text as it stands behind another.
    fn block(&self) -> Vec<u8> {
        [b"\n", self.text.trim_ascii(), b"\n"].concat()
    }
}

/// What a step is shown.
pub(crate) struct Shown {
    /// A layer for the top of an overlay; none where the image has no bundle.
    pub(crate) layer: Option<PathBuf>,
    /// The file that variables name.
    pub(crate) file: PathBuf,
}

/// The files of a tree that hold what it trusts.
fn bundles(below: &View) -> Result<Vec<TreePath>, Fault> {
    let mut found = Vec::new();
    for place in BUNDLES {
        let real = below.resolve(&TreePath::new(place)?, Follow::All)?;
        let is_file = below.entry(&real).is_some_and(|entry| matches!(entry.kind, Kind::File { .. }));
        if is_file && !found.contains(&real) {
            found.push(real);
        }
    }
    Ok(found)
}

/// Makes a layer with the bundles of a tree and the further authorities, below `dir`. `lowers` are the tree's unpacked
/// layers, bottom first.
pub(crate) fn lay(
    authorities: &Authorities,
    below: &View,
    lowers: &[PathBuf],
    (dir, attrs): (&Path, OverlayAttrs),
) -> Result<Shown, Fault> {
    let disk = |error: io::Error| fault(&error);
    let (root, block) = (dir.join("authorities"), authorities.block());
    let (mut layer, mut first) = (None, None);
    for path in bundles(below)? {
        let Some(found) = below.find(&path) else { continue };
        let Some(lower) = lowers.get(found.layer) else { continue };
        if layer.is_none() {
            fs::create_dir(&root).map_err(disk)?;
            freshness::meta(below, &TreePath::root(), &root, attrs).map_err(disk)?;
            layer = Some(root.clone());
        }
        let at = freshness::lay_file(below, &path, lower, (&root, attrs)).map_err(disk)?;
        append(&at, &block).map_err(disk)?;
        first.get_or_insert(at);
    }
    Ok(Shown { layer, file: variables_file(authorities, first, dir)? })
}

/// Puts the further authorities into the bundles of a copied tree.
pub(crate) fn put(authorities: &Authorities, below: &View, root: &Path, dir: &Path) -> Result<Shown, Fault> {
    let (disk, block) = (|error: io::Error| fault(&error), authorities.block());
    let mut first = None;
    for path in bundles(below)? {
        let at = root.join(path.as_path());
        append(&at, &block).map_err(disk)?;
        first.get_or_insert(at);
    }
    Ok(Shown { layer: None, file: variables_file(authorities, first, dir)? })
}

/// Writes the file that variables name, below `dir`: a bundle with the further authorities in it, or what this machine
/// trusts and they.
fn variables_file(authorities: &Authorities, bundle: Option<PathBuf>, dir: &Path) -> Result<PathBuf, Fault> {
    let file = dir.join("ca.pem");
    let text = match bundle {
        Some(at) => fs::read(at).map_err(|error| fault(&error))?,
        None => [authorities.machine.as_slice(), &authorities.block()].concat(),
    };
    fs::write(&file, text).map_err(|error| fault(&error))?;
    Ok(file)
}

/// Appends to a file that keeps its time.
fn append(at: &Path, block: &[u8]) -> io::Result<()> {
    let mut file = File::options().append(true).open(at)?;
    let before = file.metadata()?;
    file.write_all(block)?;
    keep_time(&file, &before)
}

fn keep_time(file: &File, before: &fs::Metadata) -> io::Result<()> {
    let time = rustix::fs::Timespec { tv_sec: before.mtime(), tv_nsec: before.mtime_nsec() };
    let times = rustix::fs::Timestamps { last_access: time, last_modification: time };
    Ok(rustix::fs::futimens(file, &times)?)
}

/// Takes the further authorities out of what a step left, wherever it left one of the known bundles.
pub(crate) fn take_out(authorities: &Authorities, below: &View, root: &Path) -> Result<(), Fault> {
    let mut places: Vec<TreePath> = bundles(below)?;
    for place in BUNDLES {
        places.push(TreePath::new(place)?);
    }
    places.sort();
    places.dedup();
    for place in places {
        clean(authorities, root, &place).map_err(|error| fault(&error))?;
    }
    Ok(())
}

fn clean(authorities: &Authorities, root: &Path, place: &TreePath) -> io::Result<()> {
    // A step can put links wherever it likes: none is followed.
    let open =
        fsx::open_beneath(File::open(root)?, place.as_path(), OFlags::RDWR | OFlags::NONBLOCK, Mode::empty());
    let mut file = match open {
        Ok(file) => File::from(file),
        // Not there, or no such file any more.
        Err(_) => return Ok(()),
    };
    let before = file.metadata()?;
    if !before.is_file() {
        return Ok(());
    }
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    let without = cut(&cut(&text, &authorities.block()), authorities.text.trim_ascii());
    if without.len() == text.len() {
        return Ok(());
    }
    file.seek(SeekFrom::Start(0))?;
    file.write_all(&without)?;
    file.set_len(without.len() as u64)?;
    keep_time(&file, &before)
}

/// A text without each place where another stands in it.
fn cut(text: &[u8], part: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = memchr::memmem::find(rest, part).filter(|_| !part.is_empty()) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + part.len()..];
    }
    out.extend_from_slice(rest);
    out
}

fn fault(error: &io::Error) -> Fault {
    Fault::of(Blame::Environment, error).named("cannot show the step the authorities of `--ca`".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_out_wherever_it_stands() {
        assert_eq!(cut(b"a--b--", b"--"), b"ab");
        assert_eq!(cut(b"ab", b"--"), b"ab");
        assert_eq!(cut(b"ab", b""), b"ab");
        let authorities = Authorities { text: Arc::new(b"  CERT\n\n".to_vec()), machine: Arc::default() };
        assert_eq!(authorities.block(), b"\nCERT\n");
    }

    #[test]
    fn no_link_leads_out() {
        let dir = tempfile::tempdir().expect("a directory");
        let (root, outside) = (dir.path().join("root"), dir.path().join("outside"));
        fs::create_dir_all(root.join("etc/ssl")).expect("a directory");
        fs::create_dir(&outside).expect("a directory");
        fs::write(outside.join("cert.pem"), "x CERT y").expect("a file");
        let authorities = Authorities { text: Arc::new(b"CERT".to_vec()), machine: Arc::default() };
        let place = TreePath::new("etc/ssl/cert.pem").expect("a path");
        std::os::unix::fs::symlink(outside.join("cert.pem"), root.join("etc/ssl/cert.pem")).expect("a link");
        clean(&authorities, &root, &place).expect("a link is left alone");
        assert_eq!(fs::read_to_string(outside.join("cert.pem")).expect("a file"), "x CERT y");
        fs::remove_file(root.join("etc/ssl/cert.pem")).expect("removed");
        fs::write(root.join("etc/ssl/cert.pem"), "x CERT y\nCERT\n").expect("a file");
        clean(&authorities, &root, &place).expect("a file is cleaned");
        assert_eq!(fs::read_to_string(root.join("etc/ssl/cert.pem")).expect("a file"), "x  y");
    }
}
