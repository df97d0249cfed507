//! The command lines of Docker, buildx and kaniko, turned into ireko's own before they are read.

use crate::failure::Failure;
use std::ffi::{OsStr, OsString};
use std::path::Path;

/// What of it is not seen in the list of commands.
pub(crate) const HELP: &str = "Also taken: Docker's longer forms (`image ls`, `container run`, `builder build`, `buildx build`, `buildx imagetools inspect`),
its flags before the command (-H, --context, --config, -D, -l), and `kaniko`, with the flags of kaniko's executor:
`ireko kaniko --help`. A link called `executor` to this program is kaniko too.";

/// What was typed.
#[derive(Debug)]
pub(crate) enum Typed {
    /// A command of ireko.
    Command(Words),
    /// The flags of kaniko's executor.
    Kaniko(Words),
    /// What needs nothing done: what is printed, and what is said of it.
    Needless { out: String, note: Option<String> },
}

/// A command line and what else it says.
#[derive(Debug, Default)]
pub(crate) struct Words {
    /// The program's name and its arguments.
    pub(crate) words: Vec<OsString>,
    /// Variables that flags stand for.
    pub(crate) variables: Vec<(&'static str, String)>,
}

/// Docker's longer forms of ireko's commands.
const LONG: &[(&str, &str, &[&str])] = &[
    ("builder", "build", &["build"]),
    ("builder", "du", &["builder", "du"]),
    ("builder", "prune", &["builder", "prune"]),
    ("buildx", "b", &["build"]),
    ("buildx", "build", &["build"]),
    ("buildx", "du", &["builder", "du"]),
    ("buildx", "prune", &["builder", "prune"]),
    ("buildx", "version", &["version", "--format", "ireko {{.Client.Version}}"]),
    ("container", "run", &["run"]),
    ("image", "build", &["build"]),
    ("image", "history", &["history"]),
    ("image", "inspect", &["inspect"]),
    ("image", "list", &["images"]),
    ("image", "load", &["load"]),
    ("image", "ls", &["images"]),
    ("image", "prune", &["image", "prune"]),
    ("image", "pull", &["pull"]),
    ("image", "push", &["push"]),
    ("image", "remove", &["rmi"]),
    ("image", "rm", &["rmi"]),
    ("image", "save", &["save"]),
    ("image", "tag", &["tag"]),
    ("manifest", "inspect", &["manifest", "--document"]),
    ("system", "info", &["info"]),
    // One word, of Podman and Buildah.
    ("bud", "", &["build"]),
    ("build-using-dockerfile", "", &["build"]),
];

/// Reads what was typed, the program's own name first.
///
/// # Errors
/// A form that Docker has and ireko cannot have, or a flag before the command that is wrong.
pub(crate) fn read(typed: &[OsString]) -> Result<Typed, Failure> {
    let Some((program, rest)) = typed.split_first() else { return Ok(Typed::Command(Words::default())) };
    let name = Path::new(program).file_name().and_then(OsStr::to_str).unwrap_or_default();
    if matches!(name, "executor" | "kaniko") {
        return Ok(Typed::Kaniko(Words { words: rest.to_vec(), variables: Vec::new() }));
    }
    if name == "warmer" {
        return Err(Failure::user("kaniko's `warmer` is not supported")
            .hint("`ireko pull IMAGE` keeps a base image in the store, where builds find it"));
    }
    let (own, variables, rest) = before_the_command(rest)?;
    let line = |command: &[&str], rest: &[OsString]| Words {
        words: [program.clone()]
            .into_iter()
            .chain(own.iter().cloned())
            .chain(command.iter().map(OsString::from))
            .chain(rest.iter().cloned())
            .collect(),
        variables: variables.clone(),
    };
    let word = |at: usize| rest.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    let first = word(0);
    if first == "kaniko" {
        return Ok(Typed::Kaniko(Words { words: [own, rest[1..].to_vec()].concat(), variables }));
    }
    if first == "help" {
        // Docker's word for it; what is asked about may be one of its longer forms.
        let asked: Vec<OsString> =
            [std::slice::from_ref(program), &own[..], &rest[1..], &[OsString::from("--help")]].concat();
        return self::read(&asked);
    }
    if let Some(answer) = not_kept(first, rest.get(1..).unwrap_or_default())? {
        return Ok(answer);
    }
    let asks = |word: &str| matches!(word, "" | "--help" | "-h" | "help");
    if matches!(first, "image" | "container" | "builder" | "buildx") && asks(word(1)) {
        return Ok(Typed::Needless { out: forms(first), note: None });
    }
    if first == "buildx" {
        let (rest, skipped) = buildx_flags(&rest[1..]);
        return match buildx(rest)? {
            Some(answer) => Ok(answer),
            None => {
                let word = rest.first().and_then(|word| word.to_str()).unwrap_or_default();
                Ok(Typed::Command(match long("buildx", word) {
                    Some(command) => line(command, &rest[1..]),
                    None if word == "imagetools" => line(&["manifest"], rest.get(2..).unwrap_or_default()),
                    None if skipped => line(&["buildx"], rest),
                    None => line(&[], &[&[OsString::from("buildx")], rest].concat()),
                }))
            }
        };
    }
    Ok(Typed::Command(match (long(first, word(1)), long(first, "")) {
        (Some(command), _) if !word(1).is_empty() => line(command, &rest[2..]),
        (_, Some(command)) => line(command, &rest[1..]),
        _ => line(&[], rest),
    }))
}

/// The forms that begin with a word.
fn forms(first: &str) -> String {
    let mut out = format!("Forms of `{first}`, and what they are here:\n");
    for (_, second, command) in LONG.iter().filter(|(one, ..)| *one == first) {
        let own: Vec<&str> = command.iter().copied().take_while(|word| !word.starts_with('-')).collect();
        out.push_str(&format!("  {first} {second:<10} ireko {}\n", own.join(" ")));
    }
    if first == "buildx" {
        out.push_str("  buildx imagetools inspect  ireko manifest\n");
        out.push_str("  buildx create, use, rm, stop, ls, inspect  nothing is done: there are no builders to look after\n");
    }
    out.push_str("What else there is: `ireko --help`\n");
    out
}

fn long(first: &str, second: &str) -> Option<&'static [&'static str]> {
    LONG.iter().find(|(one, other, _)| *one == first && *other == second).map(|(_, _, command)| *command)
}

type Before<'a> = (Vec<OsString>, Vec<(&'static str, String)>, &'a [OsString]);

/// Docker's flags before the command: those that stand for a variable or a flag of ireko's. Its own stay.
fn before_the_command(words: &[OsString]) -> Result<Before<'_>, Failure> {
    let (mut own, mut variables, mut at) = (Vec::new(), Vec::new(), 0);
    while let Some(word) = words.get(at).and_then(|word| word.to_str()).filter(|word| word.starts_with('-')) {
        let (name, inline) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            // `-Htcp://…` and `-lerror`, as Go takes them.
            None if word.len() > 2 && !word.starts_with("--") => match word.get(..2) {
                Some(name @ ("-H" | "-l" | "-c")) => (name, word.get(2..)),
                _ => (word, None),
            },
            None => (word, None),
        };
        let next = words.get(at + 1).and_then(|word| word.to_str());
        let takes = matches!(
            name,
            "-H" | "--host"
                | "-c"
                | "--context"
                | "--config"
                | "-l"
                | "--log-level"
                | "--home"
                | "--level"
                | "--snapshotter"
                | "--isolation"
        );
        let value = if takes { inline.or(next) } else { inline };
        let missing = || Failure::user(format!("`{name}` has no value"));
        let is_on = || !matches!(value, Some("false" | "0"));
        match name {
            "-H" | "--host" => variables.push(("DOCKER_HOST", value.ok_or_else(missing)?.to_owned())),
            // As a flag it wins over the variable.
            "-c" | "--context" => variables.extend([
                ("DOCKER_HOST", String::new()),
                ("DOCKER_CONTEXT", value.ok_or_else(missing)?.to_owned()),
            ]),
            "--config" => variables.push(("DOCKER_CONFIG", value.ok_or_else(missing)?.to_owned())),
            "-D" | "--debug" if is_on() => own.push(OsString::from("--verbose")),
            "-D" | "--debug" => {}
            "-l" | "--log-level" => match value.ok_or_else(missing)? {
                "debug" => own.push(OsString::from("--verbose")),
                "info" | "warn" | "warning" | "error" | "fatal" | "panic" => {}
                other => {
                    return Err(Failure::user(format!("`{name} {other}` is no level"))
                        .hint("use debug, info, warn, error or fatal"));
                }
            },
            "--tls" | "--tlsverify" if is_on() => variables.push(("DOCKER_TLS_VERIFY", "1".to_owned())),
            "--tls" | "--tlsverify" => {}
            "--tlscacert" | "--tlscert" | "--tlskey" => {
                return Err(Failure::user(format!("`{name}` is not supported")).hint(
                    "set DOCKER_CERT_PATH to the directory that has ca.pem, cert.pem and key.pem: they are for the engine that --load hands images to",
                ));
            }
            "-v" => own.push(OsString::from("--version")),
            _ => {
                own.push(words[at].clone());
                if takes && inline.is_none() {
                    own.extend(words.get(at + 1).cloned());
                }
            }
        }
        at += if takes && inline.is_none() { 2 } else { 1 };
    }
    Ok((own, variables, words.get(at..).unwrap_or_default()))
}

/// What stands between `buildx` and its command, and whether anything did.
fn buildx_flags(words: &[OsString]) -> (&[OsString], bool) {
    let mut at = 0;
    while let Some(word) = words.get(at).and_then(|word| word.to_str()) {
        match word {
            "--builder" => at += 2,
            "-D" | "--debug" => at += 1,
            _ if word.starts_with("--builder=") => at += 1,
            _ => break,
        }
    }
    (words.get(at..).unwrap_or_default(), at > 0)
}

/// What Docker keeps and ireko does not, which scripts list and clean up: there is none, so nothing is to be done.
fn not_kept(first: &str, rest: &[OsString]) -> Result<Option<Typed>, Failure> {
    let second = rest.first().and_then(|word| word.to_str()).unwrap_or_default();
    let asks = rest.iter().any(|word| word == "--help" || word == "-h");
    let said = rest.iter().filter_map(|word| word.to_str());
    // Only names, or fields that are asked for: no line is right.
    let is_bare = said.clone().any(|word| {
        word == "--quiet"
            || word.starts_with("--format")
            || word.starts_with('-') && !word.starts_with("--") && word.contains('q')
    });
    let list = |what: &str, head: &str| {
        let out = if is_bare { String::new() } else { format!("{head}\n") };
        Ok(Some(Typed::Needless { out, note: Some(format!("ireko keeps no {what}")) }))
    };
    let prune = |what: &str| {
        let out = "Total reclaimed space: 0B\n".to_owned();
        let note = format!("ireko keeps no {what}, so nothing is done");
        Ok(Some(Typed::Needless { out, note: Some(note) }))
    };
    let containers = "CONTAINER ID   IMAGE     COMMAND   CREATED   STATUS    PORTS     NAMES";
    match (first, second) {
        _ if asks => Ok(None),
        ("ps", _) | ("container", "ls" | "list" | "ps") => list("containers", containers),
        ("volume", "ls" | "list") => list("volumes", "DRIVER    VOLUME NAME"),
        ("network", "ls" | "list") => list("networks", "NETWORK ID   NAME      DRIVER    SCOPE"),
        ("container", "prune") => prune("containers"),
        ("volume", "prune") => prune("volumes"),
        ("network", "prune") => prune("networks"),
        ("context", "ls" | "list" | "use" | "create" | "inspect" | "show" | "rm" | "update" | "export" | "import")
            if !Path::new(second).exists() =>
        {
            Err(Failure::user(format!("ireko keeps no contexts of Docker: there is no `context {second}`")).hint(
                "DOCKER_HOST, DOCKER_CONTEXT or -H name the engine that `--load` hands images to; `ireko context DIR` shows what a build would read",
            ))
        }
        _ => Ok(None),
    }
}

/// The commands of buildx that look after builders: there are none here, and scripts call them.
fn buildx(words: &[OsString]) -> Result<Option<Typed>, Failure> {
    let word = |at: usize| words.get(at).and_then(|word| word.to_str()).unwrap_or_default();
    let flag = |name: &str| {
        let long = format!("{name}=");
        let at = words.iter().position(|word| word == name);
        let inline = words.iter().find_map(|word| word.to_str()?.strip_prefix(&long));
        inline.or_else(|| words.get(at? + 1)?.to_str())
    };
    let note = |what: &str| Some(format!("`buildx {what}`: ireko needs no builder, so nothing is done"));
    let platform = ireko_oci::Platform::host();
    if words.iter().any(|word| word == "--help" || word == "-h") {
        return Ok(None);
    }
    let needless = |out: String, note: Option<String>| Ok(Some(Typed::Needless { out, note }));
    match word(0) {
        // The name is what scripts keep.
        "create" => needless(format!("{}\n", flag("--name").unwrap_or("default")), note("create")),
        what @ ("use" | "rm" | "stop" | "install" | "uninstall") => needless(String::new(), note(what)),
        "ls" if words.len() > 1 => needless(String::new(), note("ls")),
        "ls" => needless(
            format!(
                "NAME/NODE   DRIVER/ENDPOINT   STATUS    PLATFORMS\ndefault*    ireko             running   {platform}\n"
            ),
            None,
        ),
        "inspect" => {
            let named = words[1..].iter().filter_map(|word| word.to_str()).find(|word| !word.starts_with('-'));
            let name = flag("--builder").or(named).unwrap_or("default");
            let text = format!(
                "Name:   {name}\nDriver: ireko\n\nNodes:\nName:      {name}\nEndpoint:  none\nStatus:    running\nPlatforms: {platform}\n"
            );
            needless(text, Some("`ireko doctor` says which other platforms run here".to_owned()))
        }
        "bake" => Err(Failure::user("`buildx bake` is not supported")
            .hint("build each target with `ireko build`; of one Dockerfile several at once: `--target a,b`")),
        "imagetools" => match word(1) {
            "inspect" => Ok(None),
            other => Err(Failure::user(format!("`buildx imagetools {other}` is not supported")).hint(
                "`inspect` there is; an image for several platforms is made by one build: `ireko build --platform linux/amd64,linux/arm64 --push`",
            )),
        },
        what @ ("dial-stdio" | "history" | "debug" | "dap") => {
            Err(Failure::user(format!("`buildx {what}` is not supported"))
                .hint("there is no builder to talk to: a build is this one process"))
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests;
