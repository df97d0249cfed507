//! The flags of kaniko's executor: what each takes, and what becomes of it.

use crate::failure::Failure;
use ireko_report::nearest_names;
use std::collections::BTreeMap;
use std::ffi::OsString;

/// What becomes of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Becomes {
    /// This flag of `build`, with the same value.
    Flag(&'static str),
    /// Something that [`super::translate`] knows.
    Own,
    /// Nothing: the image is the same with and without.
    Nothing,
    /// A refusal, with what to do.
    Refused(&'static str),
}

/// A flag.
pub(super) struct Flag {
    pub(super) name: &'static str,
    short: Option<char>,
    /// Whether it is a switch, for which no value need be given.
    is_switch: bool,
    pub(super) becomes: Becomes,
}

const fn text(name: &'static str, becomes: Becomes) -> Flag {
    Flag { name, short: None, is_switch: false, becomes }
}

const fn short(name: &'static str, short: char, becomes: Becomes) -> Flag {
    Flag { name, short: Some(short), is_switch: false, becomes }
}

const fn switch(name: &'static str, becomes: Becomes) -> Flag {
    Flag { name, short: None, is_switch: true, becomes }
}

use Becomes::{Flag as As, Nothing, Own, Refused};

const ONE_LAYER: &str = "files of one instruction that a later one removes would stay in a layer; a last stage `FROM scratch` with `COPY --from=0 / /` has one layer";
const LEAVE_OUT: &str = "leave it out: only what steps change gets into the image, nothing of this machine; what a step writes and the image must not have goes to `RUN --mount=type=tmpfs,target=PATH`";
const BUCKET: &str = "fetch the archive first, and give `--context tar://FILE`";

/// All of them, as kaniko 1.27 and the forks have them.
pub(super) const FLAGS: &[Flag] = &[
    text("annotation", As("--annotation")),
    short("bucket", 'b', Refused(BUCKET)),
    text("build-arg", As("--build-arg")),
    switch("cache", Own),
    switch("cache-copy-layers", Nothing),
    text("cache-dir", Own),
    text("cache-repo", Own),
    switch("cache-run-layers", Nothing),
    text("cache-ttl", As("--cache-ttl")),
    switch("cleanup", Nothing),
    switch("compressed-caching", Nothing),
    text("compression", Own),
    text("compression-level", Own),
    short("context", 'c', Own),
    text("context-sub-path", Own),
    text("credential-helpers", Own),
    text("custom-platform", As("--platform")),
    short("destination", 'd', As("-t")),
    text("digest-file", As("--digest-file")),
    short("dockerfile", 'f', Own),
    switch("dryrun", Refused("`ireko build --check` and `--call=outline` say what a build would do")),
    switch("force", Nothing),
    switch("force-build-metadata", Nothing),
    text("git", Own),
    switch("ignore-var-run", Own),
    text("ignore-path", Refused(LEAVE_OUT)),
    text("image-download-retry", Nothing),
    text("image-format", Own),
    text("image-fs-extract-retry", Nothing),
    text("image-name-tag-with-digest-file", As("--image-name-tag-with-digest-file")),
    text("image-name-with-digest-file", As("--image-name-with-digest-file")),
    switch("insecure", Own),
    switch("insecure-pull", Own),
    text("insecure-registry", Own),
    text("kaniko-dir", Nothing),
    text("label", As("--label")),
    text("log-format", Own),
    switch("log-timestamp", Nothing),
    switch("materialize", Own),
    switch("no-push", Own),
    switch("no-push-cache", Nothing),
    text("oci-layout-path", Own),
    text("platform", As("--platform")),
    switch("pre-cleanup", Nothing),
    switch("preserve-context", Nothing),
    switch("push-ignore-immutable-tag-errors", Own),
    text("push-retry", Nothing),
    text("registry-certificate", Own),
    text("registry-client-cert", Own),
    text("registry-map", Own),
    text("registry-mirror", Own),
    switch("reproducible", Own),
    text("secret", As("--secret")),
    switch("single-snapshot", Own),
    switch("skip-default-registry-fallback", Own),
    switch("skip-push-permission-check", Own),
    switch("skip-tls-verify", Own),
    switch("skip-tls-verify-pull", Own),
    text("skip-tls-verify-registry", Own),
    switch("skip-unused-stages", As("--skip-unused-stages")),
    text("snapshot-mode", Nothing),
    text("tar-path", Own),
    text("target", As("--target")),
    switch("use-new-run", Nothing),
    short("verbosity", 'v', Own),
];

/// What those do that are no flag of `build`.
pub(super) const OWN: &[(&str, &str)] = &[
    ("cache", "`false`: `build --no-cache`"),
    ("cache-dir", "without effect: what the warmer fetched is not read"),
    ("cache-repo", "without effect: there is no cache elsewhere yet"),
    ("compression", "of layers: gzip or zstd"),
    ("compression-level", "how hard"),
    ("context", "a directory, dir://DIR, tar://FILE, git://… or https://…"),
    ("context-sub-path", "the directory of the context that is meant"),
    ("credential-helpers", "without effect: those of Docker's files are used"),
    ("dockerfile", "the Dockerfile, in the context or a path"),
    ("git", "how the repository of the context is read"),
    ("ignore-var-run", "without effect: what steps write there is in the image"),
    ("image-format", "what is pushed: oci or docker"),
    ("insecure", "plain HTTP for the registries of --destination"),
    ("insecure-pull", "plain HTTP for those of --destination and --registry-mirror"),
    ("insecure-registry", "plain HTTP for this one"),
    ("log-format", "text, color or json"),
    ("materialize", "refused where it is on"),
    ("no-push", "keep the image in the store alone"),
    ("oci-layout-path", "write an OCI layout there too"),
    ("push-ignore-immutable-tag-errors", "without effect: such a tag fails the push"),
    ("registry-certificate", "REGISTRY=FILE: an authority of this one"),
    ("registry-client-cert", "REGISTRY=CERTIFICATE,KEY: shown to this one"),
    ("registry-map", "REGISTRY=PLACE: asked before it"),
    ("registry-mirror", "asked before Docker's registry"),
    ("reproducible", "the image and its history are of 1970"),
    ("single-snapshot", "refused where it is on"),
    ("skip-default-registry-fallback", "refused with --registry-mirror"),
    ("skip-push-permission-check", "registries are not asked before the first step"),
    ("skip-tls-verify", "any certificate for the registries of --destination"),
    ("skip-tls-verify-pull", "any certificate for those of --destination and --registry-mirror"),
    ("skip-tls-verify-registry", "any certificate for this one"),
    ("tar-path", "write a docker archive there too"),
    ("verbosity", "trace, debug, info, warn, error, fatal or panic"),
];

/// Older names.
const OLDER: [(&str, &str); 4] = [
    ("customPlatform", "custom-platform"),
    ("snapshotMode", "snapshot-mode"),
    ("tarPath", "tar-path"),
    ("whitelist-var-run", "ignore-var-run"),
];

/// Flags of ireko's own that are taken beside kaniko's, and whether they take a value.
const IREKO: [(&str, bool); 5] =
    [("home", true), ("level", true), ("snapshotter", true), ("isolation", true), ("verbose", false)];

/// The single-snapshot refusal, which is for the switch that is on.
pub(super) const SINGLE: &str = ONE_LAYER;

/// What was typed: values by the names of flags, in the order they came.
#[derive(Debug, Default)]
pub(super) struct Given {
    values: BTreeMap<&'static str, Vec<String>>,
    /// Flags of ireko's own, with their values.
    pub(super) own: Vec<String>,
    /// Help is wanted.
    pub(super) help: bool,
}

impl Given {
    /// All values of a flag.
    pub(super) fn all(&self, name: &str) -> &[String] {
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The last value of a flag.
    pub(super) fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// Whether a switch is on; nothing where it was not given.
    pub(super) fn switch(&self, name: &str) -> Option<bool> {
        self.last(name).map(|value| matches!(value, "true" | "1" | "t" | "T" | "TRUE" | "True"))
    }

    /// Whether a switch was given and is on.
    pub(super) fn is_on(&self, name: &str) -> bool {
        self.switch(name) == Some(true)
    }

    /// A value that was not typed, but says the same.
    pub(super) fn add(&mut self, name: &'static str, value: &str) {
        self.values.entry(name).or_default().push(value.to_owned());
    }

    /// The flags that were given, in the order of their names.
    pub(super) fn flags(&self) -> impl Iterator<Item = &'static Flag> {
        FLAGS.iter().filter(|flag| self.values.contains_key(flag.name))
    }
}

/// Reads flags as Go's pflag does: `--flag=value`, `--flag value`, `-f value`, `-fvalue`, `-f=value`, and switches
/// with or without `=value`.
pub(super) fn read(words: &[OsString]) -> Result<Given, Failure> {
    let mut given = Given::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let word = word
            .to_str()
            .ok_or_else(|| Failure::user(format!("`{}` is no text in UTF-8", word.to_string_lossy())))?;
        if matches!(word, "--help" | "-h") {
            given.help = true;
            continue;
        }
        let (name, inline) = match word.strip_prefix("--") {
            Some(long) => match long.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (long.to_owned(), None),
            },
            None => short_name(word)?,
        };
        let name = OLDER.iter().find(|(older, _)| *older == name).map_or(name.as_str(), |(_, now)| now);
        let mut value = |inline: Option<String>| {
            inline
                .or_else(|| words.next().map(|word| word.to_string_lossy().into_owned()))
                .ok_or_else(|| Failure::user(format!("`--{name}` has no value")))
        };
        if let Some((_, takes)) = IREKO.iter().find(|(own, _)| *own == name) {
            given.own.push(format!("--{name}"));
            if *takes {
                given.own.push(value(inline)?);
            }
            continue;
        }
        let flag = FLAGS.iter().find(|flag| flag.name == name).ok_or_else(|| unknown(name))?;
        let value = match (flag.is_switch, inline) {
            (true, None) => "true".to_owned(),
            (true, Some(text)) => crate::cli::truth(&text)
                .map(|on| on.to_string())
                .map_err(|why| Failure::user(format!("`--{name}={text}`: {why}")))?,
            (false, inline) => value(inline)?,
        };
        given.add(flag.name, &value);
    }
    Ok(given)
}

fn short_name(word: &str) -> Result<(String, Option<String>), Failure> {
    let mut chars = word.strip_prefix('-').unwrap_or_default().chars();
    let short = chars.next();
    let Some(flag) = short.and_then(|short| FLAGS.iter().find(|flag| flag.short == Some(short))) else {
        return Err(Failure::user(format!("`{word}` is no flag of kaniko's executor"))
            .hint("`ireko kaniko --help` lists them; the context is given by `--context DIR`"));
    };
    let rest = chars.as_str();
    let inline = (!rest.is_empty()).then(|| rest.strip_prefix('=').unwrap_or(rest).to_owned());
    Ok((flag.name.to_owned(), inline))
}

fn unknown(name: &str) -> Failure {
    let failure = Failure::user(format!("`--{name}` is no flag of kaniko's executor"));
    match nearest_names(name, FLAGS.iter().map(|flag| flag.name)).first() {
        Some(near) => failure.hint(format!("did you mean `--{near}`?")),
        None => failure.hint("`ireko kaniko --help` lists them"),
    }
}

/// The list of all flags.
pub(super) fn help() -> String {
    let mut out = String::from(
        "Build an image as kaniko's executor does, by its flags\n\nUsage: ireko kaniko --context DIR --destination NAME [FLAGS]\n\nFlags:\n",
    );
    let left = |flag: &Flag| {
        let short = flag.short.map_or("    ".to_owned(), |short| format!("-{short}, "));
        let value = if flag.is_switch { "" } else { " VALUE" };
        format!("{short}--{}{value}", flag.name)
    };
    let width = FLAGS.iter().map(|flag| left(flag).len()).max().unwrap_or(0);
    for flag in FLAGS {
        let becomes = match flag.becomes {
            As(own) => format!("`build {own}`"),
            Own => OWN.iter().find(|(name, _)| *name == flag.name).map_or("", |(_, text)| *text).to_owned(),
            Nothing => "without effect: nothing is lost".to_owned(),
            Refused(_) => "refused".to_owned(),
        };
        out.push_str(&format!("  {:<width$}  {becomes}\n", left(flag)));
    }
    out.push_str("\nWhat each of them does: docs/user/from-kaniko.md\n");
    out
}
