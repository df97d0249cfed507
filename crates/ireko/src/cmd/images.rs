//! `ireko images`, `inspect`, `history`, `rmi` and `tag`: what the store holds, and under which names.

use crate::arguments;
use crate::cli::{Format, Global, HistoryArgs, InspectArgs, Progress, RmiArgs, TagArgs};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::room;
use crate::session::Session;
use crate::text::{ago, bytes, table};
use crate::{eprint, print, print_json, template};
use ireko_oci::{Digest, History, ImageConfig, Platform, Reference, Timestamp};
use ireko_store::{Image, ImageRow, Member, Removed, Store};
use serde_json::{Value, json};

pub(crate) mod list;

fn open(global: &Global, environment: Environment) -> Result<std::sync::Arc<Store>, Failure> {
    Session::enter(global, environment, Progress::Quiet, false)?.store()
}

/// The image of this name or id; a missing one is told with the nearest names.
pub(crate) fn find(store: &Store, name: &str) -> Result<Image, Failure> {
    // A name wins over an id that begins alike, as with Docker.
    if let Ok(reference) = name.parse::<Reference>()
        && let Some(image) = store.image(&reference.or_latest().to_string())?
    {
        return Ok(image);
    }
    if let Some(image) = store.find_image(name)? {
        return Ok(image);
    }
    let rows = store.images()?;
    // What a build prints of an image for several platforms is the digest of the index it wrote.
    let written = |row: &&ImageRow| row.image.manifest.is_some_and(|digest| digest.to_string() == name);
    if let Some(row) = rows.iter().find(written) {
        return Ok(row.image.clone());
    }
    let known = rows.iter().flat_map(|row| &row.names).filter_map(|name| name.parse::<Reference>().ok());
    let asked = name.to_ascii_lowercase().parse::<Reference>();
    let near = asked.map(|asked| ireko_image::near_images(&asked, known)).unwrap_or_default();
    let failure = Failure::user(format!("there is no image `{name}` in the store"));
    Err(match near.first() {
        Some(near) => failure.hint(format!("did you mean `{near}`?")),
        None => failure.hint("`ireko images` lists what is there; `ireko pull` fetches from a registry"),
    })
}

/// The image of this name or id for a platform: of one for several the one that was asked for. Where nobody asked it is
/// this machine's; an image for one platform is then taken as it is.
pub(crate) fn find_for(store: &Store, name: &str, platform: Option<&Platform>) -> Result<Image, Failure> {
    let image = find(store, name)?;
    let host = Platform::host();
    let member = store.member(&image, platform.unwrap_or(&host))?;
    let fits = |image: &Image| platform.is_none_or(|platform| image.platform.serves(platform));
    member.filter(fits).ok_or_else(|| {
        let has: Vec<String> = image.platforms().iter().map(ToString::to_string).collect();
        let wanted = platform.unwrap_or(&host);
        Failure::user(format!("image `{name}` is not for {wanted}, it is for {}", has.join(", ")))
            .hint("choose one of these with `--platform`, or build it for the other")
    })
}

/// The same for who only looks: where this machine's is not there, the first.
pub(crate) fn find_to_show(
    store: &Store,
    name: &str,
    platform: Option<&str>,
) -> Result<(Image, Image), Failure> {
    let whole = find(store, name)?;
    let asked = platform.map(crate::settle::named_platform).transpose()?;
    if asked.is_none() && store.member(&whole, &Platform::host())?.is_none() {
        let first = find_for(store, name, whole.platforms().first())?;
        return Ok((whole, first));
    }
    let image = find_for(store, name, asked.as_ref())?;
    Ok((whole, image))
}

/// A stored name as people write it.
pub(crate) fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |name| name.familiar())
}

/// The year 2000. Dates before it stand for none, in images that are the same whenever they are made: the first second of
/// 1970 or of 1980. No image is that old; `docker history` goes by the same year.
const OLDEST: i64 = 946_684_800;

/// How long ago something was made.
fn when(created: Option<Timestamp>) -> String {
    since(created, environment::now().seconds())
}

fn since(created: Option<Timestamp>, now: i64) -> String {
    let created = created.map(Timestamp::seconds).filter(|seconds| *seconds >= OLDEST);
    created.map_or("N/A".to_owned(), |created| ago(u64::try_from(now - created).unwrap_or(0)))
}

fn config(store: &Store, image: &Image) -> Result<ImageConfig, Failure> {
    store.image_config(image).map_err(Failure::from)
}

/// `ireko inspect`, in the shape of `docker image inspect`.
pub(crate) fn inspect(args: &InspectArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let store = session.store()?;
    let rows = store.images()?;
    let mut out = Vec::new();
    // Only the size of an image takes its layers to be read.
    let wants_size =
        args.format == "json" || ["Size", "{{.}}", "json .}"].iter().any(|it| args.format.contains(it));
    for name in &args.images {
        let (whole, image) = find_to_show(&store, name, args.platform.as_deref())?;
        if wants_size {
            super::transfer::read_layers(&session, &store, &image)?;
        }
        let config = config(&store, &image)?;
        let row = rows.iter().find(|row| row.image.id == whole.id);
        let names: Vec<String> =
            row.map(|row| row.names.iter().map(|name| familiar(name)).collect()).unwrap_or_default();
        let names_of = row.map_or(&[][..], |row| row.names.as_slice());
        let digests: Vec<String> =
            ireko_image::repo_digests(&store, &whole, names_of).iter().map(Reference::familiar).collect();
        let layers: Vec<String> = config.rootfs.diff_ids.iter().map(ToString::to_string).collect();
        let document = serde_json::from_slice::<Value>(&config.to_json()).unwrap_or(Value::Null);
        let mut shown = json!({
            "Id": image.id.to_string(),
            "RepoTags": names,
            "RepoDigests": digests,
            "Created": config.created.map(|created| created.to_string()),
            "Architecture": config.architecture,
            "Os": config.os,
            "OsVersion": config.os_version,
            "Variant": config.variant,
            "Author": config.author,
            "Size": store.size_of(&image)?,
            "Config": document.get("config").cloned().unwrap_or(Value::Null),
            "RootFS": {"Type": "layers", "Layers": layers},
            "Manifest": ireko_image::repo_digest(&store, &image, None).map(|digest| digest.to_string()),
        });
        if !whole.members.is_empty() {
            let member =
                |one: &Member| json!({"Id": one.id.to_string(), "Platform": one.platform.to_string()});
            shown["Index"] = json!({
                "Id": whole.id.to_string(),
                "Digest": whole.manifest.map(|digest| digest.to_string()),
                "Images": whole.members.iter().map(member).collect::<Vec<Value>>(),
            });
        }
        out.push(shown);
    }
    if args.format == "json" {
        print_json(&Value::Array(out));
        return Ok(());
    }
    let zeros = absent();
    for document in &out {
        print(&template::render_with(&args.format, document, &zeros)?);
    }
    Ok(())
}

/// What fields that Docker has say in a template where an image has nothing for them.
fn absent() -> Value {
    json!({
        "Id": "", "RepoTags": [], "RepoDigests": [], "Parent": "", "Comment": "", "Created": "", "DockerVersion": "",
        "Author": "", "Architecture": "", "Variant": "", "Os": "", "OsVersion": "",
        "Config": {
            "Hostname": "", "Domainname": "", "User": "", "AttachStdin": false, "AttachStdout": false,
            "AttachStderr": false, "Tty": false, "OpenStdin": false, "StdinOnce": false, "Env": [], "Cmd": [],
            "ArgsEscaped": false, "Image": "", "Volumes": {}, "WorkingDir": "", "Entrypoint": [], "OnBuild": [],
            "Labels": {}, "ExposedPorts": {}, "StopSignal": "", "Shell": [], "Healthcheck": null,
        },
    })
}

/// `ireko history`, newest first.
pub(crate) fn history(args: &HistoryArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let name = args.image.as_deref().unwrap_or_default();
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let store = session.store()?;
    let (_, image) = match find_to_show(&store, name, args.platform.as_deref()) {
        // What has no image may be a build.
        Err(_) if super::builds::history_of(name, &store, args)? => return Ok(()),
        found => found?,
    };
    super::transfer::read_layers(&session, &store, &image)?;
    let config = config(&store, &image)?;
    let mut layers = config.rootfs.diff_ids.iter();
    let mut rows = Vec::new();
    for entry in &config.history {
        let layer = if entry.empty_layer { None } else { layers.next() };
        let info = match layer {
            Some(diff) => store.layer(diff)?,
            None => None,
        };
        rows.push((entry, layer, info.map_or(0, |info| info.tar_size)));
    }
    rows.reverse();
    // Of the images between there is no id: the last step's is the image's.
    let id = |at: usize| match at {
        0 if args.no_trunc => image.id.to_string(),
        0 => image.id.short().to_owned(),
        _ => "<missing>".to_owned(),
    };
    if args.quiet {
        print(&(0..rows.len()).map(|at| format!("{}\n", id(at))).collect::<String>());
        return Ok(());
    }
    if !matches!(args.format.as_str(), "table" | "json") {
        let titles = json!({
            "ID": "IMAGE", "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "CreatedBy": "CREATED BY",
            "Size": "SIZE", "Comment": "COMMENT",
        });
        let row = |(at, (entry, _, size)): (usize, &(&History, Option<&Digest>, u64))| {
            json!({
                "ID": id(at),
                "CreatedSince": when(entry.created),
                "CreatedAt": entry.created.map_or("-".to_owned(), |created| created.to_string()),
                "CreatedBy": created_by(entry, args.no_trunc),
                "Size": bytes(*size),
                "Comment": entry.comment,
            })
        };
        let rows: Vec<Value> = rows.iter().enumerate().map(row).collect();
        print(&template::rows(&args.format, &titles, &rows)?);
        return Ok(());
    }
    if args.format == "json" {
        let rows: Vec<Value> = rows
            .iter()
            .map(|(entry, layer, size)| {
                json!({"created": entry.created.map(|created| created.to_string()), "created_by": entry.created_by, "comment": entry.comment, "size": size, "diff_id": layer.map(ToString::to_string)})
            })
            .collect();
        print_json(&Value::Array(rows));
        return Ok(());
    }
    let mut lines = vec![["CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned).to_vec()];
    for (entry, _, size) in rows {
        let by = created_by(entry, args.no_trunc);
        lines.push(vec![when(entry.created), by, bytes(size), entry.comment.clone()]);
    }
    print(&table(&lines));
    Ok(())
}

/// What made a layer, in one line.
fn created_by(entry: &History, whole: bool) -> String {
    match whole {
        true => entry.created_by.replace('\n', " "),
        false => brief(&entry.created_by),
    }
}

/// An instruction in 60 characters. The build arguments that a RUN had would fill them all, and hide what it ran.
fn brief(created_by: &str) -> String {
    let by = created_by.split_whitespace().collect::<Vec<_>>().join(" ");
    let by = match by.strip_prefix("RUN |").and_then(|rest| rest.split_once(" /bin/sh -c ")) {
        Some((_, command)) => format!("RUN /bin/sh -c {command}"),
        None => by,
    };
    match by.chars().count() <= 60 {
        true => by,
        false => by.chars().take(59).chain(['…']).collect(),
    }
}

/// `ireko rmi`: a name is untagged; the last name, or an id, removes the image.
pub(crate) fn remove(args: &RmiArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let store = open(global, environment)?;
    let (mut failures, mut all) = (Vec::new(), Removed::default());
    for name in &args.images {
        match remove_one(&store, name, args.force) {
            Err(failure) if args.force && failure.blame == ireko_report::Blame::User => {}
            Err(failure) => failures.push(failure),
            Ok(removed) if args.format == Format::Json => {
                all.untagged.extend(removed.untagged);
                all.deleted.extend(removed.deleted);
                all.freed += removed.freed;
            }
            Ok(removed) => {
                removed.untagged.iter().for_each(|name| print(&format!("untagged {}\n", familiar(name))));
                // The layers that went with it are no names that anybody knows.
                removed.deleted.iter().take(1).for_each(|id| print(&format!("deleted {id}\n")));
            }
        }
    }
    if args.format == Format::Json {
        let deleted: Vec<String> = all.deleted.iter().map(ToString::to_string).collect();
        print_json(&json!({"untagged": all.untagged, "deleted": deleted, "freed": all.freed}));
    }
    // What can be removed is, whatever else was asked for.
    let Some(last) = failures.pop() else { return Ok(()) };
    failures.iter().for_each(|failure| eprint(&failure.render()));
    Err(last)
}

fn remove_one(store: &Store, name: &str, force: bool) -> Result<Removed, Failure> {
    let image = find(store, name)?;
    let rows = store.images()?;
    let has = |row: &&ImageRow| row.image.members.iter().any(|member| member.id == image.id);
    let whole = rows.iter().find(has).map(|row| (row.image.id, row.names.clone()));
    let row = rows.iter().find(|row| row.image.id == image.id);
    let names = row.map(|row| row.names.clone()).unwrap_or_default();
    if let (Some((whole, tags)), []) = (whole, names.as_slice()) {
        let whole = tags.first().map_or_else(|| whole.short(), |tag| familiar(tag));
        let message = format!("image `{name}` is the {} image of `{whole}`", image.platform);
        return Err(Failure::user(message).hint(format!("`ireko rmi {whole}` removes the whole")));
    }
    let canonical =
        arguments::tag(name).ok().map(|name| name.to_string()).filter(|name| names.contains(name));
    match canonical {
        Some(canonical) if names.len() > 1 => {
            store.untag(&canonical)?;
            return Ok(Removed { untagged: vec![canonical], ..Removed::default() });
        }
        None if names.len() > 1 && !force => {
            let list: Vec<String> = names.iter().map(|name| familiar(name)).collect();
            return Err(Failure::user(format!("image `{name}` has more than one name: {}", list.join(", ")))
                .hint("remove a name, or give -f to remove all of them"));
        }
        _ => {}
    }
    store.remove_image(&image.id, true).map_err(Failure::from)
}

/// `ireko tag`.
pub(crate) fn tag(args: &TagArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let name = arguments::tag(&args.name)?;
    let session = Session::enter(global, environment, Progress::Auto, false)?;
    let store = session.store()?;
    let image = find(&store, &args.image)?;
    room::once_more((&session, &store), || Ok(store.tag(&image.id, &name.to_string())?))?;
    session.screen.close();
    if args.format == Format::Json {
        print_json(&json!({"id": image.id.to_string(), "name": name.to_string()}));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_that_stands_for_none_is_not_told_as_an_age() {
        let told = |seconds| since(Some(Timestamp::from_unix(seconds, 0)), 1_800_000_000);
        for (seconds, wanted) in [
            (0, "N/A"),
            (1, "N/A"),
            (315_532_801, "N/A"),
            (OLDEST - 1, "N/A"),
            (OLDEST, "27 years ago"),
            (1_799_999_999, "1 second ago"),
            (1_900_000_000, "0 seconds ago"),
        ] {
            assert_eq!(told(seconds), wanted, "{seconds}");
        }
        assert_eq!(since(None, 1_800_000_000), "N/A");
    }
}
