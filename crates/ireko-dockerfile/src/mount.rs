//! `RUN --mount=…`: a line of comma-separated `key=value` fields, as a type.
//!
//! Variables are expanded value by value, after the line is split: a value that holds a comma after
//! expansion stays one value, and keys are never expanded. [`check`] is what can be said before
//! variables are known; [`parse`] is the whole.

#[cfg(test)]
mod tests;

use ireko_report::nearest_names;

/// What is mounted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum MountKind {
    /// Files of the context, a stage or an image.
    Bind,
    /// A directory that stays between builds.
    Cache,
    /// An empty directory in memory.
    Tmpfs,
    /// A secret, as a file or a variable.
    Secret,
    /// A socket of an SSH agent.
    Ssh,
}

/// How steps share a cache mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each writer has its own.
    Private,
    /// One waits for the other.
    Locked,
}

/// A mount, as given; what is not given is empty or `None`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// Stage, image or named context that the files come from; empty where not given.
    pub from: String,
    /// Path in there; for a secret its id.
    pub source: String,
    /// Where it appears; empty where not given.
    pub target: String,
    /// Whether writing is refused. Bind mounts are read-only unless they say `rw`.
    pub read_only: bool,
    /// A missing secret or agent is an error.
    pub required: bool,
    /// Name of the cache, secret or agent.
    pub id: Option<String>,
    /// How a cache is shared, where given.
    pub sharing: Option<Sharing>,
    /// Most bytes a tmpfs may hold, where given.
    pub size: Option<u64>,
    /// Mode of the file or of a new cache directory, where given.
    pub mode: Option<u32>,
    /// Its owner, where given.
    pub uid: Option<u32>,
    /// Its group, where given.
    pub gid: Option<u32>,
    /// The variable that a secret is given in, where asked for.
    pub env: Option<String>,
}

impl Mount {
    /// The id of a secret: as given, or the last part of its target.
    pub fn secret_id(&self) -> &str {
        let given = if self.source.is_empty() { self.id.as_deref().unwrap_or("") } else { &self.source };
        if given.is_empty() { base_name(&self.target) } else { given }
    }

    /// The file of a secret: as given, else `/run/secrets/ID`, else none where it is a variable.
    pub fn secret_target(&self) -> Option<String> {
        match (self.target.is_empty(), &self.env) {
            (false, _) => Some(self.target.clone()),
            (true, None) => Some(format!("/run/secrets/{}", base_name(self.secret_id()))),
            (true, Some(_)) => None,
        }
    }
}

fn base_name(path: &str) -> &str {
    path.trim_end_matches('/').rsplit('/').next().unwrap_or(path)
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "target",
    "readonly",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "src",
    "dst",
    "destination",
    "ro",
    "rw",
    "readwrite",
    "env",
];

/// What can be said of a mount before variables are known.
pub fn check(value: &str) -> Result<(), String> {
    for field in fields(value)? {
        if let Some((key, value)) = field.split_once('=') {
            let variable = value.find('$').is_some_and(|at| at + 1 < value.len());
            if key.eq_ignore_ascii_case("from") && variable {
                return Err(
                    "'from' doesn't support variable expansion, define alias stage instead".to_owned()
                );
            }
        }
    }
    if value.contains('$') {
        return Ok(());
    }
    parse(value, &mut |value| Ok(value.to_owned())).map(|_| ())
}

/// Reads a mount, expanding each value.
pub fn parse(value: &str, expand: &mut dyn FnMut(&str) -> Result<String, String>) -> Result<Mount, String> {
    let mut mount = Mount {
        kind: MountKind::Bind,
        from: String::new(),
        source: String::new(),
        target: String::new(),
        read_only: false,
        required: false,
        id: None,
        sharing: None,
        size: None,
        mode: None,
        uid: None,
        gid: None,
        env: None,
    };
    let mut access = None;
    for field in fields(value)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(expand(value)?)),
            None => (field.to_lowercase(), None),
        };
        let Some(value) = value else {
            bare(&mut mount, &mut access, &key, &field)?;
            continue;
        };
        match key.as_str() {
            "readonly" | "ro" => access = Some(boolean(&key, &value)?),
            "readwrite" | "rw" => access = Some(!boolean(&key, &value)?),
            _ => set(&mut mount, &key, &value, &field)?,
        }
    }
    validate(&mount)?;
    mount.read_only = access.unwrap_or(!matches!(mount.kind, MountKind::Cache | MountKind::Tmpfs));
    Ok(mount)
}

/// A field without a value.
fn bare(mount: &mut Mount, access: &mut Option<bool>, key: &str, field: &str) -> Result<(), String> {
    match key {
        "readonly" | "ro" => *access = Some(true),
        "readwrite" | "rw" => *access = Some(false),
        "required" => {
            may_be_required(mount, key)?;
            mount.required = true;
        }
        _ if field.is_empty() => {
            return Err(format!(
                "invalid field '{field}' must be a key=value pair; no blank may stand in the list"
            ));
        }
        _ => return Err(format!("invalid field '{field}' must be a key=value pair")),
    }
    Ok(())
}

fn set(mount: &mut Mount, key: &str, value: &str, field: &str) -> Result<(), String> {
    match key {
        "type" => mount.kind = kind(value)?,
        "from" => mount.from = value.to_owned(),
        "source" | "src" => mount.source = value.to_owned(),
        "target" | "dst" | "destination" => mount.target = value.to_owned(),
        "required" => {
            may_be_required(mount, key)?;
            mount.required = boolean(key, value)?;
        }
        "size" if mount.kind == MountKind::Tmpfs => {
            mount.size = Some(bytes(key, value)?);
        }
        "size" => return Err(unexpected(mount, key)),
        "id" => mount.id = Some(value.to_owned()),
        "sharing" => mount.sharing = Some(sharing(value)?),
        "mode" => mount.mode = Some(number(key, value, 8)?),
        "uid" => mount.uid = Some(owner(key, value)?),
        "gid" => mount.gid = Some(owner(key, value)?),
        "env" => mount.env = Some(value.to_owned()),
        _ => {
            let near = did_you_mean(key, &KEYS);
            return Err(format!("unexpected key '{key}' in '{field}'{near}"));
        }
    }
    Ok(())
}

fn may_be_required(mount: &Mount, key: &str) -> Result<(), String> {
    match mount.kind {
        MountKind::Secret | MountKind::Ssh => Ok(()),
        _ => Err(unexpected(mount, key)),
    }
}

fn unexpected(mount: &Mount, key: &str) -> String {
    format!("unexpected key '{key}' for mount type '{}'", name(mount.kind))
}

pub(crate) fn did_you_mean(wrong: &str, known: &[&str]) -> String {
    nearest_names(wrong, known.iter().copied())
        .first()
        .map(|near| format!(" (did you mean {near}?)"))
        .unwrap_or_default()
}

fn name(kind: MountKind) -> &'static str {
    match kind {
        MountKind::Bind => "bind",
        MountKind::Cache => "cache",
        MountKind::Tmpfs => "tmpfs",
        MountKind::Secret => "secret",
        MountKind::Ssh => "ssh",
    }
}

fn kind(value: &str) -> Result<MountKind, String> {
    let kinds = [MountKind::Bind, MountKind::Cache, MountKind::Tmpfs, MountKind::Secret, MountKind::Ssh];
    kinds
        .into_iter()
        .find(|kind| value.eq_ignore_ascii_case(name(*kind)))
        .ok_or_else(|| format!("unsupported mount type {value:?}{}", did_you_mean(value, &kinds.map(name))))
}

fn sharing(value: &str) -> Result<Sharing, String> {
    Ok(match value.to_lowercase().as_str() {
        "shared" => Sharing::Shared,
        "private" => Sharing::Private,
        "locked" => Sharing::Locked,
        _ => {
            let near = did_you_mean(value, &["shared", "private", "locked"]);
            return Err(format!("unsupported sharing value {value:?}{near}"));
        }
    })
}

pub(crate) fn boolean(key: &str, value: &str) -> Result<bool, String> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("invalid value for {key}: {value}")),
    }
}

/// A user's or group's number. The last one means "no change" to the kernel.
fn owner(key: &str, value: &str) -> Result<u32, String> {
    match number(key, value, 10)? {
        u32::MAX => Err(format!("invalid value {value} for {key}")),
        number => Ok(number),
    }
}

fn number(key: &str, value: &str, radix: u32) -> Result<u32, String> {
    let plain = !value.starts_with('+');
    u32::from_str_radix(value, radix)
        .ok()
        .filter(|_| plain)
        .ok_or_else(|| format!("invalid value {value} for {key}"))
}

/// More bytes than any machine can address: 52 bits is what processors have.
const ANY_MEMORY: f64 = (1_u64 << 52) as f64;

/// A size as `64m` or `1.5GiB`: units are powers of 1024.
fn bytes(key: &str, text: &str) -> Result<u64, String> {
    let wrong = || format!("invalid value for {key}: {text}");
    let digits = text.find(|ch: char| !(ch.is_ascii_digit() || ch == '.')).unwrap_or(text.len());
    let number: f64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = text[digits..].trim_start_matches(' ').to_lowercase();
    let power = match unit.trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        "p" => 5,
        _ => return Err(wrong()),
    };
    let size = number * 1024_f64.powi(power);
    if size > ANY_MEMORY {
        return Err(format!("{}, which is more than any machine can hold", wrong()));
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "cut at the fraction; checked to fit"
    )]
    Ok(size as u64)
}

fn validate(mount: &Mount) -> Result<(), String> {
    let kind = name(mount.kind);
    if matches!(mount.kind, MountKind::Bind | MountKind::Tmpfs) {
        let given = [("mode", mount.mode), ("uid", mount.uid), ("gid", mount.gid)];
        if let Some((key, _)) = given.into_iter().find(|(_, value)| value.is_some()) {
            return Err(format!("{key} not allowed for {kind:?} type mounts"));
        }
    }
    if mount.kind == MountKind::Secret {
        if !mount.from.is_empty() {
            return Err("secret mount should not have a from".to_owned());
        }
        if mount.sharing.is_some() {
            return Err("secret mount should not define sharing".to_owned());
        }
        let id = mount.id.as_deref().unwrap_or("");
        if mount.source.is_empty() && mount.target.is_empty() && id.is_empty() {
            return Err("invalid secret mount. one of source, target required".to_owned());
        }
        if !mount.source.is_empty() && !id.is_empty() {
            return Err("both source and id can't be set".to_owned());
        }
    } else if mount.env.is_some() {
        return Err(unexpected(mount, "env"));
    }
    if mount.sharing.is_some() && mount.kind != MountKind::Cache {
        return Err(format!("invalid cache sharing set for {kind} mount"));
    }
    Ok(())
}

/// Splits a line of comma-separated values; a value in double quotes may hold commas.
pub(crate) fn fields(line: &str) -> Result<Vec<String>, String> {
    let failed = |why: &str| Err(format!("failed to parse csv: {why}"));
    let mut fields = Vec::new();
    let mut rest = line;
    if line.is_empty() {
        return failed("it is empty");
    }
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) =
                rest.split_once(',').map_or((rest, None), |(field, after)| (field, Some(after)));
            if field.contains('"') {
                return failed("bare \" in non-quoted field");
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let (field, after) = match unquote(quoted) {
            Some(found) => found,
            None => return failed("extraneous or missing \" in quoted-field"),
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(after) => rest = after,
            None if after.is_empty() => return Ok(fields),
            None => return failed("extraneous or missing \" in quoted-field"),
        }
    }
}

/// A quoted value after its opening quote, and what follows the closing one. `""` is a quote.
fn unquote(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('"')?;
        value.push_str(before);
        match after.strip_prefix('"') {
            Some(after) => {
                value.push('"');
                rest = after;
            }
            None => return Some((value, after)),
        }
    }
}
