//! What a build made, brought to where it was asked for: the store, archives, directories, and the files for scripts.

use crate::arguments::{Form, Output, Squeeze, Tag};
use crate::clash;
use crate::cli::OutputArgs;
use crate::failure::Failure;
use crate::places;
use crate::settle::Base;
use ireko_exec::Cancel;
use ireko_image::{Assembled, Destination, Images, PushAs, To};
use ireko_oci::{Descriptor, Digest, Reference};
use ireko_report::{Diagnostic, Event, Sink};
use ireko_store::{Image, Store};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;

/// What is done with the images of one target.
pub(crate) struct Share {
    /// The target; none where none was named.
    target: Option<String>,
    /// Names in the store.
    tags: Vec<Reference>,
    /// Where else they go.
    outputs: Vec<Output>,
    /// Without names and destinations it stays in the store; of others such a one is only built.
    is_last: bool,
}

impl Share {
    /// The target; none where none was named.
    pub(crate) fn target(&self) -> Option<&str> {
        self.target.as_deref()
    }

    /// Names in the store.
    pub(crate) fn tags(&self) -> &[Reference] {
        &self.tags
    }

    /// Where else they go.
    pub(crate) fn outputs(&self) -> &[Output] {
        &self.outputs
    }

    /// The image stays in the store: under its names, or because it goes nowhere else.
    fn wants_store(&self) -> bool {
        if !self.outputs.is_empty() && self.outputs.iter().all(|output| output.form == Form::Nothing) {
            return false;
        }
        let nowhere_else = self.outputs.iter().all(|output| output.form == Form::Store);
        !self.tags.is_empty() || nowhere_else && (self.is_last || !self.outputs.is_empty())
    }
}

/// Which names and destinations are whose: those that name no target are the last one's, but a registry or an engine
/// gets every target that has names of its own.
pub(crate) fn shares(targets: &[String], tags: &[Tag], outputs: &[Output]) -> Result<Vec<Share>, Failure> {
    let known = |wanted: &str| targets.iter().any(|target| target.eq_ignore_ascii_case(wanted));
    let asked = tags.iter().map(|tag| ("-t", &tag.target)).chain(outputs.iter().map(|it| ("-o", &it.target)));
    for (flag, wanted) in asked {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| !known(wanted)) {
            let failure = Failure::user(format!(
                "`{flag}` names the stage `{wanted}`, which is no target of this build"
            ));
            return Err(failure.hint(format!("add it: --target {wanted}")));
        }
    }
    let share = |target: Option<&String>, is_last: bool| {
        let own = |wanted: &Option<String>| match (wanted, target) {
            (None, _) => is_last,
            (Some(wanted), Some(target)) => wanted.eq_ignore_ascii_case(target),
            (Some(_), None) => false,
        };
        let tags: Vec<_> = tags.iter().filter(|tag| own(&tag.target)).map(|tag| tag.name.clone()).collect();
        let goes = |output: &&Output| own(&output.target) || output.goes_by_name() && !tags.is_empty();
        let outputs = outputs.iter().filter(goes).cloned().collect();
        Share { target: target.cloned(), tags, outputs, is_last }
    };
    Ok(match targets {
        [] => vec![share(None, true)],
        [others @ .., last] => {
            others.iter().map(|it| share(Some(it), false)).chain([share(Some(last), true)]).collect()
        }
    })
}

/// What was made and where it is now.
pub(crate) struct Delivered {
    /// The image id: the config's digest. Of an image for several platforms the digest of the index, where one was
    /// written, else what the store knows it by; nothing where there are only files.
    pub(crate) id: Option<Digest>,
    /// The images, each with its platform.
    members: Vec<(String, Digest)>,
    written: Vec<Written>,
}

impl Delivered {
    /// The digest that others know the result by: a registry's, else that of an OCI image, else of a Docker archive.
    fn digest(&self) -> Option<Digest> {
        self.best().and_then(|written| written.manifest)
    }

    fn best(&self) -> Option<&Written> {
        let rank = |written: &&Written| match written.form {
            Form::Registry => 0,
            Form::OciTar | Form::OciDir => 1,
            _ => 2,
        };
        let written = self.written.iter().filter(|written| written.manifest.is_some());
        written.min_by_key(rank)
    }
}

/// What was written where.
struct Written {
    form: Form,
    destination: String,
    manifest: Option<Digest>,
    descriptor: Option<Descriptor>,
}

/// Brings the images of a build, one target's after the other, to where they are wanted.
pub(crate) fn deliver(
    with: &Images,
    images: &[Assembled],
    shares: &[Share],
    cancel: &Cancel,
    sink: &dyn Sink,
) -> Result<Vec<Delivered>, Failure> {
    let each = images.len() / shares.len();
    let of = |(share, images): (&Share, &[Assembled])| one(with, images, share, cancel, sink);
    shares.iter().zip(images.chunks(each)).map(of).collect()
}

/// Keeps the images of one target, one for each platform, and writes them to its destinations.
fn one(
    with: &Images,
    images: &[Assembled],
    share: &Share,
    cancel: &Cancel,
    sink: &dyn Sink,
) -> Result<Delivered, Failure> {
    let store = with.store();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let kept = if share.wants_store() { keep(store, images, &share.tags, sink)? } else { None };
    let mut id = match images {
        [image] => Some(image.id),
        _ => kept.as_ref().map(|(whole, _)| whole.id),
    };
    let (mut written, mut index) = (Vec::new(), None);
    for output in &share.outputs {
        if cancel.is_asked() {
            return Err(Failure::interrupted());
        }
        if output.form == Form::Registry {
            let (done, pushed_index) = push(with, images, (output, &share.tags), threads, sink)?;
            index = index.or(pushed_index);
            written.push(done);
            continue;
        }
        if output.form == Form::Engine {
            written.push(hand_over(with, images, (output, &share.tags), sink)?);
            continue;
        }
        let Some(destination) = destination_of(output) else { continue };
        let names = if output.names.is_empty() { &share.tags } else { &output.names };
        let done = ireko_image::export(store, images, names, &destination, threads, sink)
            .map_err(|error| not_exported(store, output, error))?;
        let place = output.dest.as_deref().map_or("-".to_owned(), |dest| dest.display().to_string());
        let written_index = done.index.as_ref().map(|index| Digest::of(index)).filter(|_| images.len() > 1);
        index = index.or(done.index);
        sink.emit(Event::Exported {
            destination: place.clone(),
            image: written_index.or(id).or(done.manifest).map(|id| id.to_string()),
            manifest: done.manifest.map(|digest| digest.to_string()),
            bytes: done.bytes,
        });
        written.push(Written {
            form: output.form,
            destination: place,
            manifest: done.manifest,
            descriptor: done.descriptor,
        });
    }
    if let Some(index) = index {
        id = Some(Digest::of(&index));
        if let Some((_, members)) = &kept {
            let names: Vec<String> = share.tags.iter().map(ToString::to_string).collect();
            store.put_index(&names, members, Some(&index))?;
        }
    }
    let members = images.iter().map(|image| (image.config.platform().to_string(), image.id)).collect();
    Ok(Delivered { id, members, written })
}

/// An export that failed. Where a destination has no room, what the store could drop would not help it, unless both are
/// on one disk; and what went into a stream cannot be sent once more.
fn not_exported(store: &Store, output: &Output, error: ireko_image::Error) -> Failure {
    use ireko_image::Error;
    let is_there = match &error {
        Error::Io { path, .. } => !path.starts_with(store.home()),
        Error::Layer { deed, .. } => *deed == "write",
        _ => false,
    };
    let failure = Failure::from(error);
    if !failure.disk_full || !is_there {
        return failure;
    }
    let device = |path: &Path| {
        let mut known = path.ancestors().filter_map(|path| std::fs::metadata(path).ok());
        known.find(|meta| meta.is_dir() || meta.is_file()).map(|meta| meta.dev())
    };
    let dest = output.dest.as_deref().filter(|_| !output.is_stdout());
    // A name alone lies in the current directory.
    let dest = dest.map(|dest| std::path::absolute(dest).unwrap_or_else(|_| dest.to_owned()));
    match dest.is_some_and(|dest| device(&dest) == device(store.home())) {
        true => failure,
        false => Failure { disk_full: false, ..failure.hint("free some space there, or write elsewhere") },
    }
}

/// Keeps the images under their names: one as it is, several as one with its members.
fn keep(
    store: &Arc<Store>,
    images: &[Assembled],
    tags: &[Reference],
    sink: &dyn Sink,
) -> Result<Option<(Image, Vec<Image>)>, Failure> {
    let destination = match tags {
        [] => "to the store".to_owned(),
        // A registry may be next, and fail: who reads this is to know which was done.
        tags => tags.iter().map(Reference::familiar).collect::<Vec<_>>().join(", ") + " to the store",
    };
    let (id, kept) = match images {
        [image] => (ireko_image::keep(store, image, tags)?.id, None),
        _ => {
            let keep = |image| ireko_image::keep(store, image, &[]).map_err(Failure::from);
            let members: Vec<Image> = images.iter().map(keep).collect::<Result<_, _>>()?;
            let names: Vec<String> = tags.iter().map(ToString::to_string).collect();
            let whole = store.put_index(&names, &members, None)?;
            (whole.id, Some((whole, members)))
        }
    };
    sink.emit(Event::Exported { destination, image: Some(id.to_string()), manifest: None, bytes: 0 });
    Ok(kept)
}

/// What an `-o` means to the writer of images; nothing where it means the store.
pub(crate) fn destination_of(output: &Output) -> Option<Destination> {
    let form = match output.form {
        Form::OciTar => ireko_image::Form::OciTar,
        Form::OciDir => ireko_image::Form::OciDir,
        Form::DockerTar => ireko_image::Form::DockerTar,
        Form::DockerDir => ireko_image::Form::DockerDir,
        Form::Tar => ireko_image::Form::Tar,
        Form::Local => ireko_image::Form::Local,
        Form::Store | Form::Registry | Form::Engine | Form::Nothing => return None,
    };
    let to = output.dest.clone().map_or(To::Stdout, To::Path);
    Some(Destination { form, to, compression: output.compression.map(compression_of), split: output.split })
}

/// A choice of compression as the writer of layers knows it.
pub(crate) fn compression_of(squeeze: Squeeze) -> ireko_layer::Compression {
    let level = |default: u8| squeeze.level.map_or(default, |level| u8::try_from(level).unwrap_or(u8::MAX));
    match squeeze.kind {
        ireko_oci::Compression::Gzip => ireko_layer::Compression::Gzip { level: level(6) },
        ireko_oci::Compression::Zstd => ireko_layer::Compression::Zstd { level: level(3) },
        ireko_oci::Compression::None => ireko_layer::Compression::None,
    }
}

/// How an `-o` pushes.
pub(crate) fn push_as(output: &Output) -> PushAs {
    PushAs { compression: output.compression.map(compression_of), docker_types: output.docker_types }
}

/// The names that an `-o` pushes to: its own, or the build's.
pub(crate) fn pushed_names(output: &Output, tags: &[Reference]) -> Result<Vec<Reference>, Failure> {
    let names = if output.names.is_empty() { tags } else { &output.names };
    if names.is_empty() {
        return Err(Failure::user("an image that is pushed needs a name, and there is none")
            .hint("give `-t host/repository:tag`"));
    }
    Ok(names.iter().map(|name| if output.by_digest { name.repository() } else { name.clone() }).collect())
}

/// Pushes the images of one target.
fn push(
    images: &Images,
    assembled: &[Assembled],
    (output, tags): (&Output, &[Reference]),
    threads: usize,
    sink: &dyn Sink,
) -> Result<(Written, Option<Vec<u8>>), Failure> {
    let names = pushed_names(output, tags)?;
    let pushed = images.push(assembled, &names, push_as(output), threads);
    images.tell_notes();
    let pushed = pushed?;
    let manifest = pushed.top.digest;
    for name in &names {
        let destination = match output.by_digest {
            true => name.with_digest(manifest).to_string(),
            false => name.to_string(),
        };
        sink.emit(Event::Exported {
            destination,
            image: assembled.first().map(|image| image.id.to_string()),
            manifest: Some(manifest.to_string()),
            bytes: pushed.sent,
        });
    }
    let destination = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let written =
        Written { form: output.form, destination, manifest: Some(manifest), descriptor: Some(pushed.top) };
    Ok((written, pushed.index))
}

/// The files that scripts read afterwards: of the last target, and of several the others in a list.
pub(crate) fn report(
    args: &OutputArgs,
    shares: &[Share],
    delivered: &[Delivered],
    bases: &[Base],
) -> Result<(), Failure> {
    let (Some(share), Some(last)) = (shares.last(), delivered.last()) else { return Ok(()) };
    if let Some(path) = &args.iidfile {
        let id = last.id.map_or(String::new(), |id| id.to_string());
        write_file("--iidfile", path, id.as_bytes())?;
    }
    for (flag, path, text) in digests(args, share, last)? {
        write_file(flag, path, text.as_bytes())?;
    }
    let Some(path) = &args.metadata_file else { return Ok(()) };
    let base = |base: &Base| {
        let mut row = json!({"name": base.name, "digest": base.digest.to_string()});
        if last.members.len() > 1 {
            row["platform"] = json!(base.platform.to_string());
        }
        row
    };
    let mut metadata = metadata(share, last);
    metadata["ireko.bases"] = bases.iter().map(base).collect();
    if shares.len() > 1 {
        let one = |(share, delivered): (&Share, &Delivered)| {
            let mut row = self::metadata(share, delivered);
            row["target"] = json!(share.target);
            row
        };
        metadata["ireko.targets"] = shares.iter().zip(delivered).map(one).collect();
    }
    let text = serde_json::to_vec_pretty(&metadata)
        .map_err(|error| Failure::environment("cannot write metadata").cause(error))?;
    write_file("--metadata-file", path, &text)
}

/// Tries every place that the result is to go to; no two results may have one.
pub(crate) fn writable(args: &OutputArgs, outputs: &[Output], shares: &[Share]) -> Result<(), Failure> {
    writable_with(args, outputs, (shares, &[]))
}

/// The same where further files are written beside them: the flag and the place.
pub(crate) fn writable_with(
    args: &OutputArgs,
    outputs: &[Output],
    (shares, more): (&[Share], &[(&'static str, &Path)]),
) -> Result<(), Failure> {
    let files = [("--iidfile", &args.iidfile), ("--metadata-file", &args.metadata_file)];
    let files = files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?)));
    let files: Vec<_> = files.chain(digest_files(args)).chain(more.iter().copied()).collect();
    clash::refuse(shares, &files)?;
    outputs.iter().try_for_each(Output::writable)?;
    files.iter().try_for_each(|(flag, path)| places::check(flag, path, places::Written::InPlace))
}

/// The files that are to have a digest.
fn digest_files(args: &OutputArgs) -> impl Iterator<Item = (&'static str, &Path)> {
    let files = [
        ("--digest-file", &args.digest_file),
        ("--image-name-with-digest-file", &args.image_name_with_digest_file),
        ("--image-name-tag-with-digest-file", &args.image_name_tag_with_digest_file),
    ];
    files.into_iter().filter_map(|(flag, path)| Some((flag, path.as_deref()?)))
}

/// The files that are to have the digest of what was pushed or written, and what they are to have.
fn digests<'a>(
    args: &'a OutputArgs,
    share: &Share,
    last: &Delivered,
) -> Result<Vec<(&'static str, &'a Path, String)>, Failure> {
    let mut all = Vec::new();
    for (flag, path) in digest_files(args) {
        let digest = last.digest();
        let digest = digest.ok_or_else(|| {
            Failure::user(format!("`{flag}`: what stays in the store has no manifest, so there is no digest"))
                .hint("push it, or write it as `-o type=oci,dest=FILE`")
        })?;
        // As kaniko writes them: one line for each name.
        let lines = |with_tag: bool| {
            let line = |name: &Reference| {
                let tag = name.tag().filter(|_| with_tag).map(|tag| format!(":{tag}"));
                format!("{}{}@{digest}\n", name.name(), tag.unwrap_or_default())
            };
            share.tags.iter().map(line).collect::<String>()
        };
        let text = match flag {
            "--digest-file" => digest.to_string(),
            "--image-name-with-digest-file" => lines(false),
            _ => lines(true),
        };
        all.push((flag, path, text));
    }
    Ok(all)
}

/// What is told of one target.
fn metadata(share: &Share, delivered: &Delivered) -> Value {
    let output = |written: &Written| {
        let manifest = written.manifest.map(|digest| digest.to_string());
        json!({"dest": written.destination, "manifest": manifest})
    };
    let mut metadata = json!({
        "ireko.outputs": delivered.written.iter().map(output).collect::<Vec<Value>>(),
    });
    match delivered.members.as_slice() {
        [(_, id)] => metadata["containerimage.config.digest"] = json!(id.to_string()),
        several => {
            let row =
                |(platform, id): &(String, Digest)| json!({"platform": platform, "config": id.to_string()});
            metadata["ireko.platforms"] = several.iter().map(row).collect();
        }
    }
    if let Some(manifest) = delivered.digest() {
        metadata["containerimage.digest"] = json!(manifest.to_string());
    }
    if let Some(Descriptor { media_type, digest, size, .. }) =
        delivered.best().and_then(|written| written.descriptor.as_ref())
    {
        let (kind, digest) = (media_type.to_string(), digest.to_string());
        metadata["containerimage.descriptor"] = json!({"mediaType": kind, "digest": digest, "size": size});
    }
    if !share.tags.is_empty() {
        let names: Vec<String> = share.tags.iter().map(ToString::to_string).collect();
        metadata["image.name"] = json!(names.join(","));
    }
    metadata
}

/// Gives the image of one target to a running engine.
fn hand_over(
    images: &Images,
    assembled: &[Assembled],
    (output, tags): (&Output, &[Reference]),
    sink: &dyn Sink,
) -> Result<Written, Failure> {
    let Some(image) = assembled.first() else {
        return Err(Failure::user("there is no image to load"));
    };
    let names = if output.names.is_empty() { tags } else { &output.names };
    let engine = images.engines().first()?;
    let done = images.hand_over(&engine, image, names)?;
    if let Some(note) = done.note {
        sink.emit(Event::Warning { diagnostic: Diagnostic::warning("engine", note) });
    }
    let destination = done.engine;
    let familiar: Vec<String> = names.iter().map(Reference::familiar).collect();
    sink.emit(Event::Exported {
        destination: format!("{} to {destination}", familiar.join(", ")).trim_start().to_owned(),
        image: Some(image.id.to_string()),
        manifest: None,
        bytes: done.bytes,
    });
    Ok(Written { form: output.form, destination, manifest: None, descriptor: None })
}

fn write_file(flag: &str, path: &Path, bytes: &[u8]) -> Result<(), Failure> {
    fs::write(path, bytes).map_err(|error| places::refused(flag, path, &error))
}
