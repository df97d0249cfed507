//! What was typed, turned into types that cannot be wrong.

use crate::devices;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::places::{self, Written};
use ireko_exec::cdi::Allowed;
use ireko_oci::Reference;
use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::path::PathBuf;

/// Where a build's result goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    /// In what form.
    pub(crate) form: Form,
    /// Where; `None` is standard output.
    pub(crate) dest: Option<PathBuf>,
    /// How layers are compressed, where it was said.
    pub(crate) compression: Option<Squeeze>,
    /// The stage whose result it is, where that was said.
    pub(crate) target: Option<String>,
    /// Names in the archive; the build's own tags when empty.
    pub(crate) names: Vec<Reference>,
    /// Whether each platform's files have a directory of their own; where it was not said, when there are several.
    pub(crate) split: Option<bool>,
    /// Docker's media types in a registry.
    pub(crate) docker_types: bool,
    /// In a registry the image has no tag, only its digest.
    pub(crate) by_digest: bool,
    /// The Docker context whose engine takes it.
    pub(crate) context: Option<String>,
}

/// The form of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// An OCI layout in a tar.
    OciTar,
    /// An OCI layout directory.
    OciDir,
    /// Docker's archive.
    DockerTar,
    /// Docker's archive, unpacked.
    DockerDir,
    /// The root file system in a tar.
    Tar,
    /// The root file system in a directory.
    Local,
    /// ireko's own store, where every build goes anyway.
    Store,
    /// The registries of its names.
    Registry,
    /// A running engine.
    Engine,
    /// Nowhere: only the cache remembers it.
    Nothing,
}

/// A choice of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Squeeze {
    pub(crate) kind: ireko_oci::Compression,
    pub(crate) level: Option<u32>,
}

/// Splits `a=b,c=d`, where a field may be quoted as in CSV.
pub(crate) fn csv(text: &str) -> Result<Vec<(String, Option<String>)>, Failure> {
    let mut fields = Vec::new();
    let mut field = String::new();
    let mut quoted = false;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        match char {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field)),
            char => field.push(char),
        }
    }
    if quoted {
        return Err(Failure::user(format!("`{text}` has a quote that does not end")));
    }
    fields.push(field);
    let split = |field: String| match field.split_once('=') {
        Some((name, value)) => (name.trim().to_ascii_lowercase(), Some(value.to_owned())),
        None => (field.trim().to_owned(), None),
    };
    Ok(fields.into_iter().map(split).collect())
}

impl Output {
    /// It says neither whose result it is nor what that is called: where images go by their names, it takes any.
    pub(crate) fn goes_by_name(&self) -> bool {
        self.target.is_none() && self.names.is_empty() && matches!(self.form, Form::Registry | Form::Engine)
    }

    /// Reads one `-o`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        if text.is_empty() {
            return Err(Failure::user("an `-o` is empty").hint("give a directory, or type=… and dest=…"));
        }
        if !text.contains('=') {
            return Ok(match text {
                "-" => Self::plain(Form::Tar, None),
                dir => Self::plain(Form::Local, Some(PathBuf::from(dir))),
            });
        }
        let mut values = BTreeMap::new();
        for (name, value) in csv(text)? {
            let value =
                value.ok_or_else(|| Failure::user(format!("`{name}` in `-o {text}` has no value")))?;
            values.insert(name, value);
        }
        let kind = values.remove("type").ok_or_else(|| {
            Failure::user(format!("`-o {text}` names no type"))
                .hint("use type=local, tar, oci, docker, image, registry or cacheonly")
        })?;
        let dest = values.remove("dest");
        let nowhere = dest.is_none();
        let dest = dest.filter(|dest| !dest.is_empty() && dest != "-").map(PathBuf::from);
        let tar = flag(&values.remove("tar").unwrap_or_else(|| "true".to_owned()))?;
        let form = match (kind.as_str(), tar) {
            ("oci", true) => Form::OciTar,
            ("oci", false) => Form::OciDir,
            ("docker", true) if nowhere => Form::Engine,
            ("docker", true) => Form::DockerTar,
            ("docker", false) => Form::DockerDir,
            ("tar", _) => Form::Tar,
            ("local", _) => Form::Local,
            ("image" | "store", _) => Form::Store,
            ("registry", _) => Form::Registry,
            ("cacheonly", _) => Form::Nothing,
            _ => {
                return Err(Failure::user(format!("`type={kind}` in `-o` is unknown"))
                    .hint("use type=local, tar, oci, docker, image, registry or cacheonly"));
            }
        };
        let needs_dest = matches!(form, Form::Local | Form::OciDir | Form::DockerDir);
        if needs_dest && dest.is_none() {
            return Err(Failure::user(format!("`-o {text}` needs dest=DIR")));
        }
        let split = match form {
            Form::Tar | Form::Local => values.remove("platform-split"),
            _ => None,
        };
        let (form, docker_types, by_digest) = pushed(form, &mut values)?;
        let output = Self {
            docker_types,
            by_digest,
            split: split.map(|split| flag(&split)).transpose()?,
            context: match form {
                Form::Engine => values.remove("context").filter(|context| !context.is_empty()),
                _ => None,
            },
            target: values.remove("target").filter(|target| !target.is_empty()),
            compression: squeeze(&mut values)?,
            names: names(&mut values)?,
            ..Self::plain(form, dest)
        };
        match values.keys().next() {
            Some(name) => {
                let annotates = name.starts_with("annotation").then_some("use `--annotation NAME=VALUE`");
                Err(Failure::not_yet(format!("`{name}` in `-o`")).hinted(annotates))
            }
            None => Ok(output),
        }
    }

    /// Refuses, before the build and not after it, what cannot be written: an archive to a terminal, a file in a
    /// directory that does not exist, a place that may not be written to.
    pub(crate) fn writable(&self) -> Result<(), Failure> {
        let how = match self.form {
            Form::Store | Form::Registry | Form::Engine | Form::Nothing => return Ok(()),
            Form::Local | Form::OciDir | Form::DockerDir => Written::Dir,
            Form::OciTar | Form::DockerTar | Form::Tar => Written::Whole,
        };
        match &self.dest {
            Some(dest) => places::check("-o", dest, how),
            None if std::io::stdout().is_terminal() => {
                Err(Failure::user("an archive is not written to a terminal").hint(match self.form {
                    Form::DockerTar => {
                        "name a file with `dest=PATH`, or hand it to an engine: leave `dest=-` out"
                    }
                    _ => "name a file with `dest=PATH`, or send the output on",
                }))
            }
            None => Ok(()),
        }
    }

    /// Whether it goes to standard output.
    pub(crate) fn is_stdout(&self) -> bool {
        self.dest.is_none()
            && !matches!(self.form, Form::Store | Form::Registry | Form::Engine | Form::Nothing)
    }

    /// One with nothing said of it.
    pub(crate) fn plain(form: Form, dest: Option<PathBuf>) -> Self {
        let (target, compression, split, context, names) = (None, None, None, None, Vec::new());
        let (docker_types, by_digest) = (false, false);
        Self { form, dest, target, compression, names, split, docker_types, by_digest, context }
    }
}

/// What is said of an image in a registry: whether it goes there, in Docker's media types, and by its digest alone.
fn pushed(form: Form, values: &mut BTreeMap<String, String>) -> Result<(Form, bool, bool), Failure> {
    if !matches!(form, Form::Store | Form::Registry) {
        return Ok((form, false, false));
    }
    // The store always holds the image, and unpacks it where a step needs that.
    values.retain(|name, _| !matches!(name.as_str(), "store" | "unpack" | "name-canonical"));
    let mut take = |name: &str| values.remove(name).map(|text| flag(&text)).transpose();
    let (push, by_digest) = (take("push")?, take("push-by-digest")?.unwrap_or_default());
    let docker_types = take("oci-mediatypes")?.is_some_and(|oci| !oci);
    let form = match push {
        Some(true) => Form::Registry,
        None if by_digest => Form::Registry,
        Some(false) => Form::Store,
        None => form,
    };
    Ok((form, docker_types, by_digest))
}

fn squeeze(values: &mut BTreeMap<String, String>) -> Result<Option<Squeeze>, Failure> {
    let level = values.remove("compression-level");
    let level = level.map(|level| {
        level.parse().map_err(|_| Failure::user(format!("`compression-level={level}` is no number")))
    });
    let level = level.transpose()?;
    // Layers that are compressed already stay as they are unless they must not.
    values.remove("force-compression");
    compression(values.remove("compression").as_deref(), level)
}

/// A compression by its name; gzip where only a level is said.
pub(crate) fn compression(name: Option<&str>, level: Option<u32>) -> Result<Option<Squeeze>, Failure> {
    let Some(name) = name else {
        return Ok(level.map(|level| Squeeze { kind: ireko_oci::Compression::Gzip, level: Some(level) }));
    };
    let kind = match name {
        "gzip" => ireko_oci::Compression::Gzip,
        "zstd" => ireko_oci::Compression::Zstd,
        "uncompressed" => ireko_oci::Compression::None,
        _ => {
            return Err(Failure::user(format!("`compression={name}` is unknown"))
                .hint("use gzip, zstd or uncompressed"));
        }
    };
    Ok(Some(Squeeze { kind, level }))
}

fn names(values: &mut BTreeMap<String, String>) -> Result<Vec<Reference>, Failure> {
    let Some(names) = values.remove("name") else { return Ok(Vec::new()) };
    names.split(',').map(tag).collect()
}

fn flag(text: &str) -> Result<bool, Failure> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        other => Err(Failure::user(format!("`{other}` is neither true nor false"))),
    }
}

/// A name for the image of one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tag {
    /// The stage, where it was said.
    pub(crate) target: Option<String>,
    /// The name.
    pub(crate) name: Reference,
}

impl Tag {
    /// Reads one `-t`: `name`, or `stage=name`.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        match text.split_once('=') {
            Some((target, name)) => Ok(Self { target: Some(target.to_owned()), name: tag(name)? }),
            None => Ok(Self { target: None, name: tag(text)? }),
        }
    }
}

/// Reads a name for an image: no digest, `latest` when no tag is given.
pub(crate) fn tag(text: &str) -> Result<Reference, Failure> {
    let name: Reference = text.parse().map_err(|error: ireko_oci::OciError| {
        Failure::user(format!("`{text}` is no name for an image"))
            .cause(error)
            .hint("names look like `app`, `team/app:1.2` or `host:5000/app`, in lower case")
    })?;
    if name.digest().is_some() {
        return Err(Failure::user(format!("`{text}` cannot be a name for an image: it holds a digest")));
    }
    Ok(name.or_latest())
}

/// Where a secret's value is read from. The value itself is read by the engine, when a step asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SecretSource {
    File(PathBuf),
    Variable(String),
}

/// Reads one `--secret`.
pub(crate) fn secret(text: &str, environment: &Environment) -> Result<(String, SecretSource), Failure> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for (name, value) in csv(text)? {
        let value = value
            .ok_or_else(|| Failure::user(format!("`--secret {text}` is not of the form id=NAME,src=FILE")))?;
        match name.as_str() {
            "id" => id = Some(value),
            "src" | "source" => file = Some(value),
            "env" => variable = Some(value),
            "type" => kind = Some(value),
            _ => {
                return Err(Failure::user(format!("`{name}` in `--secret` is unknown"))
                    .hint("use id, src, env or type"));
            }
        }
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or_else(|| Failure::user("a `--secret` has no id").hint("write --secret id=NAME,src=FILE"))?;
    let source = match (file, variable, kind.as_deref()) {
        (Some(name), None, Some("env")) | (None, Some(name), _) => SecretSource::Variable(name),
        (Some(path), None, None | Some("file")) => SecretSource::File(PathBuf::from(path)),
        (None, None, Some("env")) => SecretSource::Variable(id.clone()),
        (None, None, _) if environment.raw(&id).is_some() => SecretSource::Variable(id.clone()),
        (None, None, _) => SecretSource::File(PathBuf::from(&id)),
        _ => return Err(Failure::user(format!("secret `{id}` has more than one source"))),
    };
    Ok((id, source))
}

/// Reads one `--build-arg`; a name alone takes its value from the environment, or stays undefined.
pub(crate) fn build_arg(text: &str, environment: &Environment) -> (String, Option<String>) {
    match text.split_once('=') {
        Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
        None => (text.to_owned(), environment.raw(text).map(str::to_owned)),
    }
}

/// Reads one `--label`.
pub(crate) fn label(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (name.to_owned(), value.to_owned())
}

/// Reads one `--add-host`: `name:address` or `name=address`; `host-gateway` is this machine.
pub(crate) fn host(text: &str) -> Result<(String, String), Failure> {
    let parts = text.split_once('=').or_else(|| text.split_once(':'));
    let (name, address) =
        parts.ok_or_else(|| Failure::user(format!("`--add-host {text}` is not of the form name:address")))?;
    let address = address.trim_start_matches('[').trim_end_matches(']');
    let address = if address == "host-gateway" { "127.0.0.1" } else { address };
    if name.is_empty() || address.parse::<std::net::IpAddr>().is_err() {
        return Err(Failure::user(format!("`{address}` in `--add-host {text}` is no IP address")));
    }
    Ok((name.to_owned(), address.to_owned()))
}

/// Reads `--cache-ttl`, in seconds.
pub(crate) fn lifetime(text: &str) -> Result<u64, Failure> {
    ireko_dockerfile::duration::lifetime(text).map_err(|why| {
        Failure::user(format!("`--cache-ttl {text}` is no age: {why}")).hint("write 90m, 24h or 7d")
    })
}

/// Limits that `--ulimit` can name.
const LIMITS: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// Reads one `--ulimit`: `name=soft[:hard]`; -1 is no limit.
pub(crate) fn ulimit(text: &str) -> Result<(String, i64, i64), Failure> {
    let wrong = || Failure::user(format!("`--ulimit {text}` is not of the form name=soft[:hard]"));
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| text.parse::<i64>().map_err(|_| wrong());
    let (soft, hard) = (number(soft)?, number(hard)?);
    if !LIMITS.contains(&name) {
        return Err(Failure::user(format!("`{name}` in `--ulimit {text}` is no limit"))
            .hint(format!("use one of {}", LIMITS.join(", "))));
    }
    if hard != -1 && (soft == -1 || soft > hard) {
        return Err(Failure::user(format!("in `--ulimit {text}` the soft limit is above the hard one")));
    }
    Ok((name.to_owned(), soft, hard))
}

/// What the Dockerfile may ask for.
#[derive(Debug, Default)]
pub(crate) struct Allow {
    /// Steps without confinement.
    pub(crate) insecure: bool,
    /// Devices of this machine.
    pub(crate) devices: Allowed,
}

/// Reads `--allow`, of which one flag may hold several.
pub(crate) fn allow(flags: &[String]) -> Result<Allow, Failure> {
    let mut allow = Allow::default();
    // What is said of a device goes on after a comma.
    let mut whats: Vec<String> = Vec::new();
    for what in flags.iter().flat_map(|flag| flag.split(',')) {
        match whats.last_mut() {
            Some(device) if device.starts_with("device=") && what.starts_with("alias=") => {
                device.push(',');
                device.push_str(what);
            }
            _ => whats.push(what.to_owned()),
        }
    }
    for what in &whats {
        let (name, rest) =
            what.split_once('=').map_or((what.as_str(), None), |(name, rest)| (name, Some(rest)));
        match name {
            "security.insecure" => allow.insecure = true,
            "device" => devices::allow(&mut allow.devices, what, rest)?,
            // Steps have the host's network unless they ask for none; files outside the contexts are never read.
            "network.host" | "ssh" | "fs" | "fs.read" | "fs.write" => {}
            _ => {
                return Err(Failure::user(format!("`--allow {what}` is unknown"))
                    .hint("use security.insecure, network.host or device"));
            }
        }
    }
    Ok(allow)
}

#[cfg(test)]
mod tests;
