//! kaniko's executor: its flags turned into those of `ireko build`.

mod context;
mod flags;

use crate::cli::registry::Reach;
use crate::environment::Environment;
use crate::failure::Failure;
use flags::{Becomes, Given};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What kaniko's flags mean.
#[derive(Debug, Default)]
pub(crate) struct Translated {
    /// A command line of ireko, after the program's name.
    pub(crate) words: Vec<String>,
    /// What is said of registries one by one.
    pub(crate) reach: Reach,
    /// What is to be told.
    pub(crate) notes: Vec<String>,
    /// Files whose directories are made.
    pub(crate) files: Vec<PathBuf>,
}

/// What was typed to kaniko.
pub(crate) enum Asked {
    /// A build.
    Build(Box<Translated>),
    /// Another command of ireko's.
    Other(Vec<OsString>),
    /// The list of flags.
    Help(String),
}

/// Reads kaniko's command line.
///
/// # Errors
/// A flag is unknown, or asks for what would make another image and is not there.
pub(crate) fn read(words: &[OsString], environment: &Environment) -> Result<Asked, Failure> {
    match words.first().and_then(|word| word.to_str()) {
        Some("version") => return Ok(Asked::Other(vec!["version".into()])),
        Some("login") => return Ok(Asked::Other(words.to_vec())),
        Some("push") => {
            return Err(Failure::user("kaniko's `push` is not supported")
                .hint("`ireko load -i FILE`, then `ireko push NAME`"));
        }
        _ => {}
    }
    let mut given = flags::read(words)?;
    if given.help {
        return Ok(Asked::Help(flags::help()));
    }
    for (variable, flag) in [
        ("KANIKO_NO_PUSH", "no-push"),
        ("KANIKO_REGISTRY_MIRROR", "registry-mirror"),
        ("KANIKO_REGISTRY_MAP", "registry-map"),
    ] {
        if let Some(value) = environment.get(variable) {
            given.add(flag, value);
        }
    }
    translate(&given, environment).map(|translated| Asked::Build(Box::new(translated)))
}

/// What one command line means.
fn translate(given: &Given, environment: &Environment) -> Result<Translated, Failure> {
    refuse(given)?;
    let place = context::place(given, environment)?;
    let no_push = given.is_on("no-push");
    let destinations = given.all("destination");
    if destinations.is_empty() && !no_push {
        return Err(Failure::user("there is no `--destination`")
            .hint("name where the image is pushed to, or give --no-push"));
    }
    let mut words: Vec<String> = given.own.clone();
    if !words.iter().any(|word| word.starts_with("--isolation"))
        && environment.get("IREKO_ISOLATION").is_none()
    {
        // kaniko runs commands in its own container, without even that.
        words.push("--isolation=chroot".to_owned());
    }
    words.push("build".to_owned());
    for flag in given.flags() {
        let Becomes::Flag(name) = flag.becomes else { continue };
        for value in given.all(flag.name) {
            words.push(match name.starts_with("--") {
                true => format!("{name}={value}"),
                false => format!("{name}{value}"),
            });
        }
    }
    if let Some(file) = place.file {
        words.push(format!("--file={file}"));
    }
    words.extend(place.secret.map(|secret| format!("--secret={secret}")));
    words.extend(outputs(given, no_push)?);
    if given.switch("cache") == Some(false) {
        words.push("--no-cache".to_owned());
    }
    if given.is_on("skip-push-permission-check") {
        words.push("--skip-push-permission-check".to_owned());
    }
    if given.is_on("reproducible") {
        words.push("--build-arg=SOURCE_DATE_EPOCH=0".to_owned());
    }
    words.extend(said(given)?);
    words.push("--".to_owned());
    words.push(place.context);
    let files = ["digest-file", "image-name-with-digest-file", "image-name-tag-with-digest-file"];
    let files = files.iter().filter_map(|name| given.last(name)).map(PathBuf::from).collect();
    Ok(Translated { words, reach: reach(given)?, notes: notes(given), files })
}

/// Flags that would make another image, or files elsewhere than in one.
fn refuse(given: &Given) -> Result<(), Failure> {
    let no = |name: &str, hint: &str| Err(Failure::user(format!("`--{name}` is not supported")).hint(hint));
    for flag in given.flags() {
        if let Becomes::Refused(hint) = flag.becomes
            && !(flag.name == "dryrun" && given.switch("dryrun") == Some(false))
        {
            return no(flag.name, hint);
        }
    }
    if given.is_on("single-snapshot") {
        return no("single-snapshot", flags::SINGLE);
    }
    if given.is_on("materialize") {
        return no("materialize", "the image's files in a directory: `ireko build -o type=local,dest=DIR`");
    }
    if given.is_on("skip-default-registry-fallback") && !given.all("registry-mirror").is_empty() {
        return no(
            "skip-default-registry-fallback",
            "a `location` for `docker.io` in registries.conf is asked in its place, and nothing else",
        );
    }
    for name in ["digest-file", "image-name-with-digest-file", "image-name-tag-with-digest-file"] {
        if given.last(name).is_some_and(|path| path.starts_with("https://")) {
            return no(&format!("{name} https://…"), "write a file, and send that: `curl -T FILE URL`");
        }
        if name != "digest-file" && given.last(name).is_some() && given.all("destination").is_empty() {
            return Err(Failure::user(format!("`--{name}` needs a name to write"))
                .hint("give --destination too; --no-push keeps it from being pushed"));
        }
    }
    Ok(())
}

/// Where the image goes.
fn outputs(given: &Given, no_push: bool) -> Result<Vec<String>, Failure> {
    let mut common = String::new();
    for (flag, field) in [("compression", "compression"), ("compression-level", "compression-level")] {
        if let Some(value) = given.last(flag).filter(|value| *value != "-1") {
            common.push_str(&format!(",{field}={value}"));
        }
    }
    let docker = match given.last("image-format") {
        None | Some("" | "oci") => "",
        Some("docker") => ",oci-mediatypes=false",
        Some(other) => {
            return Err(
                Failure::user(format!("`--image-format {other}` is unknown")).hint("use docker or oci")
            );
        }
    };
    let mut outputs = Vec::new();
    let mut to = |kind: &str, path: &str, more: &str| {
        let dest = format!("dest={path}").replace('"', "\"\"");
        outputs.push(format!("--output=type={kind},\"{dest}\"{common}{more}"));
    };
    if let Some(path) = given.last("tar-path").filter(|path| !path.is_empty()) {
        to("docker", path, "");
    }
    let layout = given.last("oci-layout-path").filter(|path| !path.is_empty());
    if let Some(path) = layout {
        to("oci", path, ",tar=false");
    }
    let wants_digest = ["digest-file", "image-name-with-digest-file", "image-name-tag-with-digest-file"];
    if no_push && layout.is_none() && wants_digest.iter().any(|name| given.last(name).is_some()) {
        // An image that is only kept has no manifest, so it is written once to where nothing remains.
        to("oci", "/dev/null", "");
    }
    if !no_push {
        outputs.push(format!("--output=type=registry{common}{docker}"));
    } else if outputs.is_empty() && given.all("destination").is_empty() {
        outputs.push("--output=type=cacheonly".to_owned());
    }
    Ok(outputs)
}

/// How it is told what happens.
fn said(given: &Given) -> Result<Vec<String>, Failure> {
    let mut words = Vec::new();
    let level = given.last("verbosity").map(str::to_ascii_lowercase);
    match level.as_deref() {
        None | Some("info") => {}
        Some("debug" | "trace") => words.push("--verbose".to_owned()),
        Some("panic" | "fatal" | "error" | "warn" | "warning") => words.push("--progress=quiet".to_owned()),
        Some(other) => {
            return Err(Failure::user(format!("`--verbosity {other}` is no level"))
                .hint("use trace, debug, info, warn, error, fatal or panic"));
        }
    }
    match given.last("log-format") {
        None | Some("color") => {}
        Some(_) if words.iter().any(|word| word == "--progress=quiet") => {}
        Some("text") => words.push("--progress=plain".to_owned()),
        Some("json") => words.push("--progress=json".to_owned()),
        Some(other) => {
            return Err(
                Failure::user(format!("`--log-format {other}` is unknown")).hint("use text, color or json")
            );
        }
    }
    Ok(words)
}

/// What is said of registries.
fn reach(given: &Given) -> Result<Reach, Failure> {
    let mut reach = Reach::default();
    let host = |name: &String| {
        let name = name.split_once('=').map_or(name.as_str(), |(_, name)| name);
        name.parse::<ireko_oci::Reference>().ok().map(|name| name.domain().to_owned())
    };
    let pairs = |name: &str, text: &str| match text.split_once('=') {
        Some((host, value)) if !host.is_empty() && !value.is_empty() => {
            Ok((host.to_owned(), value.to_owned()))
        }
        _ => Err(Failure::user(format!("`--{name} {text}` is not of the form registry=value"))),
    };
    for flag in ["insecure-registry", "skip-tls-verify-registry"] {
        reach.insecure.extend(given.all(flag).iter().cloned());
    }
    for mirror in given.all("registry-mirror").iter().flat_map(|text| text.split([',', ';'])) {
        if !mirror.is_empty() {
            reach.mirrors.push(("docker.io".to_owned(), mirror.to_owned()));
        }
    }
    for map in given.all("registry-map").iter().flat_map(|text| text.split(';')).filter(|map| !map.is_empty())
    {
        let (of, place) = pairs("registry-map", map)?;
        let of = if of == "index.docker.io" { "docker.io".to_owned() } else { of };
        reach.mirrors.push((of, place));
    }
    if ["insecure", "skip-tls-verify", "insecure-pull", "skip-tls-verify-pull"]
        .iter()
        .any(|it| given.is_on(it))
    {
        reach.insecure.extend(given.all("destination").iter().filter_map(host));
    }
    if given.is_on("insecure-pull") || given.is_on("skip-tls-verify-pull") {
        let mirrors =
            reach.mirrors.iter().map(|(_, place)| place.split_once("://").map_or(place.as_str(), |it| it.1));
        let hosts: Vec<String> =
            mirrors.filter_map(|place| place.split('/').next()).map(str::to_owned).collect();
        reach.insecure.extend(hosts);
    }
    for text in given.all("registry-certificate") {
        let (host, path) = pairs("registry-certificate", text)?;
        reach.authorities.push((host, PathBuf::from(path)));
    }
    for text in given.all("registry-client-cert") {
        let (host, files) = pairs("registry-client-cert", text)?;
        let (certificate, key) = files.split_once(',').ok_or_else(|| {
            Failure::user(format!(
                "`--registry-client-cert {text}` is not of the form registry=certificate,key"
            ))
        })?;
        reach.identities.push((host, PathBuf::from(certificate), PathBuf::from(key)));
    }
    Ok(reach)
}

/// What is to be told.
fn notes(given: &Given) -> Vec<String> {
    let mut notes = Vec::new();
    let without: Vec<String> = given
        .flags()
        .filter(|flag| flag.becomes == Becomes::Nothing && flag.name != "force")
        .map(|flag| format!("`--{}`", flag.name))
        .collect();
    if !without.is_empty() {
        notes.push(format!("{}: without effect here, and nothing is lost", without.join(", ")));
    }
    let mut tell = |given: bool, text: &str| {
        if given {
            notes.push(text.to_owned());
        }
    };
    let caches = given.switch("cache") != Some(false);
    tell(
        caches && given.last("cache-repo").is_some(),
        "`--cache-repo`: there is no cache elsewhere yet; what ireko remembers lies in its store, which may be kept between builds",
    );
    tell(
        caches && given.last("cache-dir").is_some(),
        "`--cache-dir`: what kaniko's warmer fetched is not read; base images stay in ireko's store",
    );
    tell(
        given.is_on("reproducible"),
        "`--reproducible`: the image and its history are of 1970; files keep the times that steps gave them",
    );
    tell(
        given.is_on("ignore-var-run"),
        "`--ignore-var-run`: what steps write to /var/run is in the image, as for BuildKit",
    );
    tell(
        given.is_on("push-ignore-immutable-tag-errors"),
        "`--push-ignore-immutable-tag-errors`: a tag that may not be changed fails the push",
    );
    tell(
        given.is_on("insecure-pull") || given.is_on("skip-tls-verify-pull"),
        "`--insecure-pull`, `--skip-tls-verify-pull`: for the registries of --destination and --registry-mirror; name others with --insecure-registry",
    );
    let helpers = given.all("credential-helpers").iter().any(|helper| !helper.is_empty());
    tell(
        helpers,
        "`--credential-helpers`: logins come from Docker's files, with the helper programs that these name",
    );
    notes
}

/// Makes the directories of files that are to be written, as kaniko does.
pub(crate) fn make_places(files: &[PathBuf]) -> Result<(), Failure> {
    for dir in files.iter().filter_map(|file| file.parent()).filter(|dir| *dir != Path::new("")) {
        std::fs::create_dir_all(dir).map_err(|error| {
            let what = format!("cannot make directory `{}`, where a digest is to be written", dir.display());
            Failure::environment(what).cause(error).hint("see --digest-file and its kin: write elsewhere")
        })?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
