//! `image.toml`: the flags of `pack`, declared in a file.

use crate::cli::{PackArgs, Scripts};
use crate::failure::Failure;
use clap::ValueEnum;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Every key is a flag of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Declared {
    paths: Vec<String>,
    #[serde(alias = "tag")]
    tags: Vec<String>,
    deb: Vec<String>,
    suite: Option<String>,
    minimal: bool,
    scripts: Option<String>,
    docs: bool,
    exclude: Vec<String>,
    recommends: bool,
    platform: Option<String>,
    mirror: Option<String>,
    signed_by: Vec<PathBuf>,
    components: Vec<String>,
    snapshot: Option<String>,
    ca: Vec<PathBuf>,
    include: Vec<String>,
    with: Vec<String>,
    from: Option<String>,
    root: Option<PathBuf>,
    library_path: Vec<String>,
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    env: BTreeMap<String, String>,
    user: Option<String>,
    workdir: Option<String>,
    expose: Vec<String>,
    #[serde(alias = "volume")]
    volumes: Vec<String>,
    #[serde(alias = "label")]
    labels: BTreeMap<String, String>,
    stop_signal: Option<String>,
    max_layers: Option<usize>,
}

/// Words, or a text of them.
#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "expected a text, or an array of words")]
enum Words {
    Text(String),
    Array(Vec<String>),
}

impl Words {
    /// As a flag would have them.
    fn flag(self) -> Result<String, Failure> {
        match self {
            Self::Text(text) => Ok(text),
            Self::Array(words) => serde_json::to_string(&words)
                .map_err(|error| Failure::user("an array of words cannot be written").cause(error)),
        }
    }
}

/// The flags with what the file says: lists are joined, the file's first; of what there is one of, the flag counts.
/// Paths of the file are counted from where it lies.
pub(super) fn joined(args: &PackArgs) -> Result<PackArgs, Failure> {
    let Some(path) = &args.file else { return Ok(args.clone()) };
    let cannot = || Failure::user(format!("cannot read `{}`", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| cannot().cause(error))?;
    let declared = read(&text, path)?;
    let dir = path.parent().unwrap_or(Path::new(""));
    join(args.clone(), declared, dir)
}

fn read(text: &str, path: &Path) -> Result<Declared, Failure> {
    toml::from_str(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start.min(text.len()));
        let before = text.get(..at).unwrap_or(text);
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        let message = error.message().replace('\n', ", ");
        Failure::user(format!("{}:{line}:{column}: {message}", path.display()))
    })
}

fn join(mut args: PackArgs, file: Declared, dir: &Path) -> Result<PackArgs, Failure> {
    let path = |text: &str| dir.join(text).to_string_lossy().into_owned();
    let before = |list: &mut Vec<String>, more: Vec<String>| drop(list.splice(0..0, more));
    let paths_before = |list: &mut Vec<PathBuf>, more: Vec<PathBuf>| {
        drop(list.splice(0..0, more.into_iter().map(|path| dir.join(path))));
    };
    before(&mut args.paths, file.paths.iter().map(|text| path(text)).collect());
    // A name that is typed stands for those of the file.
    if args.out.tag.is_empty() {
        args.out.tag = file.tags;
    }
    before(&mut args.deb, file.deb);
    before(&mut args.exclude, file.exclude);
    before(&mut args.include, file.include);
    before(&mut args.with, file.with);
    before(&mut args.library_path, file.library_path);
    before(&mut args.expose, file.expose);
    before(&mut args.volume, file.volumes);
    before(&mut args.archive.components, file.components);
    paths_before(&mut args.archive.signed_by, file.signed_by);
    paths_before(&mut args.archive.ca, file.ca);
    let pairs = |pairs: BTreeMap<String, String>| {
        pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>()
    };
    before(&mut args.env, pairs(file.env));
    before(&mut args.out.label, pairs(file.labels));
    args.minimal |= file.minimal;
    args.docs |= file.docs;
    args.recommends |= file.recommends;
    args.suite = args.suite.or(file.suite);
    args.platform = args.platform.or(file.platform);
    args.archive.mirror = args.archive.mirror.or(file.mirror);
    args.archive.snapshot = args.archive.snapshot.or(file.snapshot);
    if args.from.is_none() && args.root.is_none() {
        args.from = file.from;
        args.root = file.root.map(|root| dir.join(root));
    }
    args.entrypoint = args.entrypoint.or(file.entrypoint.map(Words::flag).transpose()?);
    args.cmd = args.cmd.or(file.cmd.map(Words::flag).transpose()?);
    args.user = args.user.or(file.user);
    args.workdir = args.workdir.or(file.workdir);
    args.stop_signal = args.stop_signal.or(file.stop_signal);
    args.max_layers = args.max_layers.or(file.max_layers);
    if let Some(when) = file.scripts.filter(|_| args.scripts.is_none()) {
        let known =
            || Failure::user(format!("`scripts = \"{when}\"` is unknown")).hint("auto, always or never");
        args.scripts = Some(Scripts::from_str(&when, false).map_err(|_| known())?);
    }
    Ok(args)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;

    fn args(words: &[&str]) -> PackArgs {
        match Cli::parse_from([&["ireko", "pack"], words].concat()).command {
            Command::Pack(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    fn joined(words: &[&str], text: &str) -> Result<PackArgs, Failure> {
        join(args(words), read(text, Path::new("sub/image.toml"))?, Path::new("sub"))
    }

    #[test]
    fn flags_come_after_the_file_and_before_its_single_values() {
        let file = "tags = [\"a\"]\npaths = [\"server:/server\", \"/dist\"]\ndeb = [\"hello\"]\ncmd = [\"a b\", \"c\"]\nuser = \"1\"\n[env]\nA = \"1\"\n";
        let args =
            joined(&["-t", "b", "own", "--deb", "curl", "--user", "2", "-e", "A=2"], file).expect("joined");
        assert_eq!(args.out.tag, ["b"]);
        assert_eq!(args.paths, ["sub/server:/server", "/dist", "own"]);
        assert_eq!(args.deb, ["hello", "curl"]);
        assert_eq!(args.cmd.as_deref(), Some("[\"a b\",\"c\"]"));
        assert_eq!(args.user.as_deref(), Some("2"));
        assert_eq!(args.env, ["A=1", "A=2"]);
        let args = joined(&[], "tags = [\"a\"]\ncmd = \"x y\"\nscripts = \"never\"\n").expect("joined");
        assert_eq!((args.out.tag, args.cmd.as_deref()), (vec!["a".to_owned()], Some("x y")));
        assert_eq!(args.scripts, Some(Scripts::Never));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, says) in [
            ("deb = [\"a\"]\ndebs = 1\n", "sub/image.toml:2:1: unknown field `debs`"),
            ("deb = \"a\"\n", "sub/image.toml:1:7: invalid type: string \"a\", expected a sequence"),
            ("cmd = 1\n", "expected a text, or an array of words"),
            ("deb = [\n", "sub/image.toml:"),
            ("scripts = \"some\"\n", "`scripts = \"some\"` is unknown"),
        ] {
            let failure = joined(&[], text).expect_err("refused");
            assert!(failure.message.contains(says), "{text}: {}", failure.message);
        }
    }
}
