//! `ireko images`: the list, and what keeps a row out of it.

use super::{familiar, find, open, when};
use crate::cli::{Global, ImagesArgs};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::text::{bytes, table};
use crate::{print, print_json, template};
use ireko_dockerfile::glob::Glob;
use ireko_oci::Timestamp;
use ireko_store::{Image, ImageRow, Store};
use serde_json::{Value, json};

/// Runs the command.
pub(crate) fn run(args: &ImagesArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let wanted = Wanted::read(args)?;
    let store = open(global, environment)?;
    let mut rows = wanted.of(&store)?;
    rows.sort_by(|a, b| b.image.created.cmp(&a.image.created).then_with(|| a.names.cmp(&b.names)));
    match args.format.as_str() {
        "json" => print_json(&Value::Array(rows.iter().map(|row| image_json(&store, row)).collect())),
        "table" if args.quiet => {
            print(&rows.iter().map(|row| format!("{}\n", id(&row.image, args.no_trunc))).collect::<String>());
        }
        "table" => print(&images_table(&store, &rows, args)),
        format => print(&by_template(&store, format, (&rows, args))?),
    }
    Ok(())
}

/// What an image must be to be listed. One of several references is enough; all else must hold.
#[derive(Debug, Default)]
struct Wanted {
    references: Vec<(String, Glob)>,
    labels: Vec<(String, Option<String>)>,
    dangling: Option<bool>,
    before: Vec<String>,
    since: Vec<String>,
}

impl Wanted {
    fn read(args: &ImagesArgs) -> Result<Self, Failure> {
        let mut wanted = Self::default();
        if let Some(pattern) = &args.pattern {
            wanted.references.push((pattern.clone(), glob(pattern)?));
        }
        for filter in &args.filter {
            let (name, value) = filter.split_once('=').unwrap_or((filter, ""));
            match (name, value) {
                ("reference" | "label" | "before" | "since" | "dangling", "") => {
                    return Err(Failure::user(format!("`--filter {filter}` is not of the form {name}=…")));
                }
                ("reference", pattern) => wanted.references.push((pattern.to_owned(), glob(pattern)?)),
                ("label", label) => wanted.labels.push(match label.split_once('=') {
                    Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                    None => (label.to_owned(), None),
                }),
                ("dangling", "true" | "1") => wanted.dangling = Some(true),
                ("dangling", "false" | "0") => wanted.dangling = Some(false),
                ("dangling", other) => {
                    return Err(Failure::user(format!(
                        "`{other}` in `--filter {filter}` is neither true nor false"
                    )));
                }
                ("before", image) => wanted.before.push(image.to_owned()),
                ("since", image) => wanted.since.push(image.to_owned()),
                _ => {
                    return Err(Failure::user(format!("`--filter {filter}` is unknown"))
                        .hint("filter by reference, label, dangling, before or since"));
                }
            }
        }
        Ok(wanted)
    }

    /// The images of the store that are wanted, each with those of its names that are.
    fn of(&self, store: &Store) -> Result<Vec<ImageRow>, Failure> {
        let created = |names: &[String]| -> Result<Vec<Option<Timestamp>>, Failure> {
            names.iter().map(|name| Ok(find(store, name)?.created)).collect()
        };
        let (before, since) = (created(&self.before)?, created(&self.since)?);
        let mut rows = store.images()?;
        // Of an image for several platforms the whole is listed.
        rows.retain(|row| !row.is_member || !row.names.is_empty());
        rows.retain(|row| {
            let Image { created, labels, .. } = &row.image;
            let labelled = |(name, value): &(String, Option<String>)| {
                labels.get(name).is_some_and(|own| value.as_ref().is_none_or(|value| own == value))
            };
            self.labels.iter().all(labelled)
                && self.dangling.is_none_or(|dangling| row.names.is_empty() == dangling)
                && before.iter().all(|time| created < time)
                && since.iter().all(|time| created > time)
        });
        if !self.references.is_empty() {
            rows.iter_mut().for_each(|row| row.names.retain(|name| self.names(name)));
            rows.retain(|row| !row.names.is_empty());
        }
        // Layers may have been read since the image was written.
        for row in &mut rows {
            row.image.size = store.size_of(&row.image)?;
        }
        Ok(rows)
    }

    fn names(&self, name: &str) -> bool {
        let familiar = familiar(name);
        let (repository, tag) = split(&familiar);
        let whole = format!("{repository}:{tag}");
        let fits = |(pattern, glob): &(String, Glob)| {
            name == pattern || glob.matches(&whole) || glob.matches(&repository)
        };
        self.references.iter().any(fits)
    }
}

fn glob(pattern: &str) -> Result<Glob, Failure> {
    Glob::new(pattern)
        .map_err(|error| Failure::user(format!("`{pattern}` is no pattern of names")).cause(error))
}

fn id(image: &Image, whole: bool) -> String {
    if whole { image.id.to_string() } else { image.id.short().to_owned() }
}

/// The names of a row, as repository, tag and digest.
fn names(store: &Store, row: &ImageRow) -> Vec<[String; 3]> {
    let none = || "<none>".to_owned();
    let digest = |name: Option<&str>| {
        ireko_image::repo_digest(store, &row.image, name).map_or_else(none, |digest| digest.to_string())
    };
    let named = |name: &String| {
        let (repository, tag) = split(&familiar(name));
        [repository, tag, digest(Some(name))]
    };
    match row.names.as_slice() {
        [] => vec![[none(), none(), digest(None)]],
        names => names.iter().map(named).collect(),
    }
}

fn images_table(store: &Store, rows: &[ImageRow], args: &ImagesArgs) -> String {
    let line = |cells: [String; 6]| {
        let [repository, tag, digest, rest @ ..] = cells;
        let digest = args.digests.then_some(digest);
        [repository, tag].into_iter().chain(digest).chain(rest).collect::<Vec<String>>()
    };
    let mut lines =
        vec![line(["REPOSITORY", "TAG", "DIGEST", "IMAGE ID", "CREATED", "SIZE"].map(str::to_owned))];
    for row in rows {
        let image = &row.image;
        for [repository, tag, digest] in names(store, row) {
            let id = id(image, args.no_trunc);
            lines.push(line([repository, tag, digest, id, when(image.created), bytes(image.size)]));
        }
    }
    table(&lines)
}

/// A line for each name, in the fields that Docker has for them; after `table ` with a line of their names.
fn by_template(
    store: &Store,
    format: &str,
    (rows, args): (&[ImageRow], &ImagesArgs),
) -> Result<String, Failure> {
    let titles = json!({
        "ID": "IMAGE ID", "Repository": "REPOSITORY", "Tag": "TAG", "Digest": "DIGEST",
        "CreatedSince": "CREATED", "CreatedAt": "CREATED AT", "Size": "SIZE",
    });
    let none = || "<none>".to_owned();
    let mut lines = Vec::new();
    for row in rows {
        for [repository, tag, digest] in names(store, row) {
            lines.push(json!({
                "ID": id(&row.image, args.no_trunc),
                "Repository": repository,
                "Tag": tag,
                "Digest": digest,
                "CreatedSince": when(row.image.created),
                "CreatedAt": row.image.created.map_or_else(none, |created| created.to_string()),
                "Size": bytes(row.image.size),
            }));
        }
    }
    template::rows(format, &titles, &lines)
}

/// Repository and tag of a name as people write it; `latest` is left out there, and a name by digest has no tag.
fn split(familiar: &str) -> (String, String) {
    if let Some((repository, _)) = familiar.split_once('@') {
        return (repository.to_owned(), "<none>".to_owned());
    }
    match familiar.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') => (repository.to_owned(), tag.to_owned()),
        _ => (familiar.to_owned(), "latest".to_owned()),
    }
}

fn image_json(store: &Store, row: &ImageRow) -> Value {
    json!({
        "id": row.image.id.to_string(),
        "names": row.names,
        "digest": ireko_image::repo_digest(store, &row.image, None).map(|digest| digest.to_string()),
        "created": row.image.created.map(|created| created.to_string()),
        "size": row.image.size,
        "platforms": row.image.platforms().iter().map(ToString::to_string).collect::<Vec<_>>(),
        "labels": row.image.labels,
    })
}
