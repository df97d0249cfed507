//! `ireko load`, `save` and `pull`: images in and out of the store.

use crate::arguments;
use crate::cli::registry::RegistryArgs;
use crate::cli::{Format, Global, LoadArgs, Progress, PullArgs, SaveArgs};
use crate::cmd::images::{find, find_for};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::places::{self, Written};
use crate::room;
use crate::session::Session;
use crate::{print, print_json, registries, settle};
use ireko_image::{Form, Images, LoadFrom, Loaded, PullPolicy, To};
use ireko_oci::{Platform, Reference};
use ireko_store::{Image, Store};
use serde_json::{Value, json};
use std::io::IsTerminal;
use std::sync::Arc;

fn images(
    session: &Session,
    pull: PullPolicy,
    (args, named): (&RegistryArgs, &[Reference]),
) -> Result<Images, Failure> {
    let options = registries::options(&session.environment, args, named)?;
    let registry = Arc::new(ireko_registry::Registry::new(options));
    Ok(Images::new(session.store()?, registry, session.sink(), pull))
}

/// Fetches the layers of an image that no build needed yet, and reads those that came and were not needed yet; of an
/// image for several platforms those of all.
pub(crate) fn complete(session: &Session, store: &Arc<Store>, image: &Image) -> Result<(), Failure> {
    for image in members(store, image)? {
        if room::held((session, store), &image)?.is_empty() && store.unread_of(&image)?.is_empty() {
            continue;
        }
        room::once_more((session, store), || {
            let images = images(session, PullPolicy::IfMissing, (&RegistryArgs::default(), &[]))?;
            Ok(images.complete(&image)?)
        })?;
    }
    Ok(())
}

/// Reads the layers of an image that are in the store and that nobody needed yet: only then their sizes are known.
pub(crate) fn read_layers(session: &Session, store: &Arc<Store>, image: &Image) -> Result<(), Failure> {
    for image in members(store, image)? {
        if !store.unread_of(&image)?.is_empty() {
            room::held((session, store), &image)?;
            room::once_more((session, store), || {
                let images = images(session, PullPolicy::Never, (&RegistryArgs::default(), &[]))?;
                Ok(images.read_layers(&image)?)
            })?;
        }
    }
    Ok(())
}

/// The images that an image consists of: for several platforms, or just itself.
fn members(store: &Store, image: &Image) -> Result<Vec<Image>, Failure> {
    let mut members = Vec::new();
    for member in &image.members {
        members.extend(store.image_by_id(&member.id)?);
    }
    if members.is_empty() {
        members.push(image.clone());
    }
    Ok(members)
}

/// Fetches an image by its name.
pub(crate) fn fetch(session: &Session, name: &str, platform: &Platform) -> Result<(), Failure> {
    let reference: Reference = name.parse().map_err(|error: ireko_oci::OciError| {
        Failure::user(format!("`{name}` is no name of an image")).cause(error)
    })?;
    pulled(session, &RegistryArgs::default(), (&reference, platform))?;
    Ok(())
}

fn pulled(
    session: &Session,
    args: &RegistryArgs,
    (reference, platform): (&Reference, &Platform),
) -> Result<Image, Failure> {
    room::once_more((session, &*session.store()?), || {
        let images = images(session, PullPolicy::Always, (args, std::slice::from_ref(reference)))?;
        Ok(images.pull(&reference.clone().or_latest(), platform)?)
    })
}

/// `ireko load`.
pub(crate) fn load(args: &LoadArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let progress = if args.quiet { Progress::Quiet } else { Progress::Auto };
    let session = Session::enter(global, environment, progress, false)?;
    let store = session.store()?;
    let images = || images(&session, PullPolicy::IfMissing, (&RegistryArgs::default(), &[]));
    let platform = args.platform.as_deref().map(settle::named_platform).transpose()?;
    let platform = platform.unwrap_or_else(Platform::host);
    let loaded = match &args.input {
        Some(path) => {
            room::once_more((&session, &store), || Ok(images()?.load_for(LoadFrom::Path(path), &platform)?))?
        }
        None if std::io::stdin().is_terminal() => {
            return Err(Failure::user("there is no archive on standard input")
                .hint("give -i FILE, or pipe an archive in"));
        }
        None => images()?
            .load_for(LoadFrom::Stream(&mut std::io::stdin().lock()), &platform)
            .map_err(|error| room::for_the_next_try(&session, &store, error.into()))?,
    };
    session.screen.close();
    if args.format == Format::Json {
        let row = |loaded: &Loaded| json!({"id": loaded.image.id.to_string(), "names": loaded.names});
        print_json(&Value::Array(loaded.iter().map(row).collect()));
        return Ok(());
    }
    for image in &loaded {
        if args.quiet || image.names.is_empty() {
            print(&format!("{}\n", image.image.id));
        }
        for name in image.names.iter().filter(|_| !args.quiet) {
            let familiar = name.parse::<Reference>().map_or_else(|_| name.clone(), |name| name.familiar());
            print(&format!("loaded {familiar}\n"));
        }
    }
    Ok(())
}

/// `ireko save`.
pub(crate) fn save(args: &SaveArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let form = match args.r#type.as_str() {
        "docker" => Form::DockerTar,
        "oci" => Form::OciTar,
        other => return Err(Failure::user(format!("`--type {other}` is unknown")).hint("use docker or oci")),
    };
    let to = match &args.output {
        Some(path) => To::Path(path.clone()),
        None if args.format == Format::Json => {
            return Err(Failure::user("`--format json` and an archive cannot both go to standard output")
                .hint("give -o FILE"));
        }
        None if std::io::stdout().is_terminal() => {
            return Err(
                Failure::user("an archive is not written to a terminal").hint("give -o FILE, or pipe it on")
            );
        }
        None => To::Stdout,
    };
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    if let Some(path) = &args.output {
        places::check("-o", path, Written::Whole)?;
    }
    let store = session.store()?;
    let platform = args.platform.as_deref().map(settle::named_platform).transpose()?;
    let destination = ireko_image::Destination { form, to, compression: None, split: None };
    let mut chosen: Vec<(Image, Vec<Reference>)> = Vec::new();
    for name in &args.images {
        let image = match &platform {
            Some(platform) => find_for(&store, name, Some(platform))?,
            None => find(&store, name)?,
        };
        if form == Form::DockerTar && !image.members.is_empty() {
            let platforms: Vec<String> = image.platforms().iter().map(ToString::to_string).collect();
            let message =
                format!("a docker archive holds one platform, and `{name}` is for {}", platforms.join(", "));
            return Err(Failure::user(message).hint("use `--type oci`, or choose one with `--platform`"));
        }
        let names = saved_name(&store, name, &image)?;
        // An image with several names is one entry of the archive, as in Docker's.
        match chosen.iter_mut().find(|(other, _)| other.id == image.id) {
            Some((_, all)) => all.extend(names),
            None => {
                room::held((&session, &store), &image)?;
                if !ireko_image::goes_as_it_came(&store, &image, &destination)? {
                    complete(&session, &store, &image)?;
                }
                chosen.push((image, Vec::from_iter(names)));
            }
        }
    }
    for (_, names) in &mut chosen {
        names.sort();
        names.dedup();
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let written = ireko_image::save(&store, &chosen, &destination, threads, &*session.sink())?;
    if args.format == Format::Json {
        let row = |(image, names): &(Image, Vec<Reference>)| json!({"id": image.id.to_string(), "names": names.iter().map(ToString::to_string).collect::<Vec<_>>()});
        let images: Vec<Value> = chosen.iter().map(row).collect();
        print_json(&json!({"dest": args.output, "bytes": written.bytes, "images": images}));
    }
    Ok(())
}

/// The name an image carries along: none where it was asked for by id or digest.
fn saved_name(store: &Store, asked: &str, image: &Image) -> Result<Option<Reference>, Failure> {
    let Ok(name) = arguments::tag(asked) else { return Ok(None) };
    let named = store.image(&name.to_string())?;
    let is = |named: &Image| named.id == image.id || named.members.iter().any(|member| member.id == image.id);
    Ok(named.filter(is).map(|_| name))
}

/// `ireko pull`.
pub(crate) fn pull(args: &PullArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let read = |text: &String| {
        text.parse::<Reference>()
            .map_err(|error| Failure::user(format!("`{text}` is no name of an image")).cause(error))
    };
    let names = args.images.iter().map(read).collect::<Result<Vec<_>, _>>()?;
    let platform = settle::platform_named(args.platform.as_deref(), &environment)?;
    let platform = platform.map_or_else(Platform::host, |(platform, _)| platform);
    let progress = if args.quiet { Progress::Quiet } else { Progress::Auto };
    let session = Session::enter(global, environment, progress, false)?;
    let pulled = names.iter().map(|name| pulled(&session, &args.registry, (name, &platform)));
    let images = pulled.collect::<Result<Vec<_>, _>>()?;
    session.screen.close();
    for image in images {
        print(&format!("{}\n", image.id));
    }
    Ok(())
}
