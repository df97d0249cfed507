//! `--sbom`: what an image consists of, gathered and written to where it was asked for.

use crate::arguments::Output;
use crate::cli::OutputArgs;
use crate::debian::Deb;
use crate::deliver::{self, Share};
use crate::failure::Failure;
use crate::places;
use ireko_deb::index::Stanza;
use ireko_image::Assembled;
use ireko_oci::{Digest, Timestamp};
use ireko_pack::sbom::{Bill, Database, Format, Origin, Origins, Subject, distribution, files, licences};
use ireko_pack::{ImageRoot, Packed};
use ireko_slim::Root;
use ireko_store::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// One document that was asked for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wish {
    format: Format,
    /// Nothing is standard output.
    to: Option<PathBuf>,
}

/// Reads `[FORMAT=]FILE`s.
pub(crate) fn read(flag: &str, texts: &[String]) -> Result<Vec<Wish>, Failure> {
    let wishes = texts.iter().map(|text| wish(flag, text)).collect::<Result<Vec<_>, _>>()?;
    if wishes.iter().filter(|wish| wish.to.is_none()).count() > 1 {
        let failure = Failure::user(format!("two documents of `{flag}` are to go to standard output"));
        return Err(failure.hint("give one of them a file"));
    }
    Ok(wishes)
}

fn wish(flag: &str, text: &str) -> Result<Wish, Failure> {
    let (format, file) = match text.split_once('=') {
        // What looks like a path has no form before it.
        Some((name, file)) if !name.contains(['/', '.']) => {
            let format = Format::ALL.into_iter().find(|format| format.name() == name).ok_or_else(|| {
                Failure::user(format!("`{flag} {text}`: there is no form `{name}`"))
                    .hint(format!("there are spdx and cyclonedx; a file of that name is `./{text}`"))
            })?;
            (format, file)
        }
        _ if text.ends_with(".cdx.json") => (Format::CycloneDx, text),
        _ => (Format::Spdx, text),
    };
    match file {
        "" => Err(Failure::user(format!("`{flag} {text}` names no file")).hint("`-` is standard output")),
        "-" => Ok(Wish { format, to: None }),
        file => Ok(Wish { format, to: Some(file.into()) }),
    }
}

/// Tries every place that is to be written to, before anything is done.
pub(crate) fn writable(
    wishes: &[Wish],
    (args, outputs, shares): (&OutputArgs, &[Output], &[Share]),
) -> Result<(), Failure> {
    let files: Vec<(&str, &Path)> = places(wishes).map(|path| ("--sbom", path)).collect();
    let taken = args.quiet || outputs.iter().any(Output::is_stdout);
    if taken && wishes.iter().any(|wish| wish.to.is_none()) {
        let what = if args.quiet { "the id of the image" } else { "the image" };
        let failure = Failure::user(format!("`--sbom` and {what} are both to go to standard output"));
        return Err(failure.hint("give `--sbom` a file"));
    }
    deliver::writable_with(args, outputs, (shares, &files))
}

/// The same where nothing else is written.
pub(crate) fn writable_alone(flag: &str, wishes: &[Wish]) -> Result<(), Failure> {
    places(wishes).try_for_each(|path| places::check(flag, path, places::Written::InPlace))
}

fn places(wishes: &[Wish]) -> impl Iterator<Item = &Path> {
    wishes.iter().filter_map(|wish| wish.to.as_deref())
}

/// Writes the documents.
pub(crate) fn write(flag: &str, wishes: &[Wish], bill: &Bill) -> Result<(), Failure> {
    for wish in wishes {
        let text = bill.render(wish.format);
        match &wish.to {
            Some(path) => fs::write(path, &text).map_err(|error| places::refused(flag, path, &error))?,
            None => crate::print(&text),
        }
    }
    Ok(())
}

/// An image that a document is to be of.
pub(crate) struct Made {
    pub(crate) subject: Subject,
    pub(crate) layers: Vec<Digest>,
    pub(crate) time: Option<Timestamp>,
}

impl Made {
    /// One that was made just now, under its first name.
    pub(crate) fn new(image: &Assembled, shares: &[Share]) -> Self {
        let tags = shares.iter().flat_map(Share::tags);
        let others = shares.iter().flat_map(Share::outputs).flat_map(|output| &output.names);
        let name = tags.chain(others).next().map(|name| name.or_latest().to_string());
        let (id, platform) = (image.id, image.config.platform().to_string());
        Self {
            subject: Subject { name, id, platform },
            layers: image.config.rootfs.diff_ids.clone(),
            time: image.config.created,
        }
    }

    fn bill(&self) -> Bill {
        Bill {
            image: self.subject.clone(),
            distribution: None,
            is_system: false,
            packages: Vec::new(),
            files: Vec::new(),
            time: self.time.map_or(Timestamp::EPOCH, |time| Timestamp::from_unix(time.seconds(), 0)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }
}

/// Whether files are told of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Files {
    /// All of them.
    Told,
    /// Only where there are no packages.
    Left,
}

/// What an image consists of by its own list of packages.
pub(crate) fn of_system(store: &Arc<Store>, made: &Made, files: Files) -> Result<Bill, Failure> {
    let layers = &made.layers;
    let mut bill = made.bill();
    let root = ImageRoot::new(store, layers)?;
    let database = Database::read(&root)?;
    bill.packages.clone_from(&database.packages);
    licences(&root, &mut bill.packages)?;
    bill.distribution = distribution(&root)?;
    bill.is_system = true;
    if files == Files::Told || bill.packages.is_empty() {
        bill.files = self::files(store, layers)?;
        let paths: BTreeSet<String> = bill.files.iter().map(|file| file.path.clone()).collect();
        let owners = database.owners(&root, &paths)?;
        for file in &mut bill.files {
            file.owner = owners.get(&file.path).copied();
        }
    }
    Ok(bill)
}

/// Where the files of a packed image come from.
pub(crate) struct Base<'a> {
    pub(crate) root: &'a dyn Root,
    /// The directory of this machine that it is.
    pub(crate) dir: Option<&'a Path>,
}

/// What a packed image consists of: its files, and the packages of its base that these are of.
pub(crate) fn of_packed(
    store: &Arc<Store>,
    made: &Made,
    (packed, base): (&Packed, &Base<'_>),
) -> Result<Bill, Failure> {
    let mut bill = made.bill();
    bill.files = files(store, &made.layers)?;
    let database = Database::read(base.root)?;
    bill.packages.clone_from(&database.packages);
    // Where each one was in the base: at its own place, or where it was named on this machine.
    let dir = base.dir.and_then(|dir| fs::canonicalize(dir).ok());
    let hosts: BTreeMap<String, &Path> = packed.pieces.iter().flat_map(|piece| piece.hosts()).collect();
    let place = |path: &str| -> Option<String> {
        let Some(host) = hosts.get(path) else {
            // Of a package that lies nowhere on this machine.
            let is_there = base.dir.is_none() && base.root.node(path).ok().flatten().is_some();
            return is_there.then(|| path.to_owned());
        };
        if base.root.real(path) == **host {
            return Some(path.to_owned());
        }
        let below = fs::canonicalize(host).ok()?.strip_prefix(dir.as_ref()?).ok()?.to_str()?.to_owned();
        Some(format!("/{below}"))
    };
    let places: Vec<Option<String>> = bill.files.iter().map(|file| place(&file.path)).collect();
    let owners = database.owners(base.root, &places.iter().flatten().cloned().collect())?;
    for (file, place) in bill.files.iter_mut().zip(places) {
        file.owner = place.and_then(|place| owners.get(&place).copied());
    }
    bill.keep_owners();
    licences(base.root, &mut bill.packages)?;
    bill.distribution = distribution(base.root)?;
    Ok(bill)
}

/// Where packages of an archive came from.
pub(crate) fn origins(debs: &[Deb]) -> Origins {
    let origin = |deb: &Deb| {
        let sha256 = Stanza::new(&deb.stanza).sha256().map(str::to_owned);
        let identity = (deb.name.clone(), deb.version.clone(), deb.architecture.clone());
        (identity, Origin { sha256, address: Some(deb.address.clone()) })
    };
    debs.iter().map(origin).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_and_files() {
        let check = |text: &str, format: Format, to: Option<&str>| {
            let wish = wish("--sbom", text).expect("well formed");
            assert_eq!(wish, Wish { format, to: to.map(PathBuf::from) }, "{text}");
        };
        check("a.json", Format::Spdx, Some("a.json"));
        check("a.spdx.json", Format::Spdx, Some("a.spdx.json"));
        check("a.cdx.json", Format::CycloneDx, Some("a.cdx.json"));
        check("spdx=a.cdx.json", Format::Spdx, Some("a.cdx.json"));
        check("cyclonedx=a", Format::CycloneDx, Some("a"));
        check("cyclonedx=-", Format::CycloneDx, None);
        check("-", Format::Spdx, None);
        check("./x=y", Format::Spdx, Some("./x=y"));
        for (text, says) in
            [("xml=a", "there is no form `xml`"), ("spdx=", "names no file"), ("", "names no file")]
        {
            let failure = wish("--sbom", text).expect_err("refused");
            assert!(failure.message.contains(says), "{}", failure.message);
        }
        let twice = ["-".to_owned(), "cyclonedx=-".to_owned()];
        assert!(read("--sbom", &twice).is_err());
    }
}
