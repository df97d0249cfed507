//! `image.toml`: the flags of `pack`, declared in a file.

use super::values::{self, Value};
use crate::cli::{PackArgs, Scripts};
use crate::debian::Suite;
use crate::failure::Failure;
use crate::settle;
use clap::ValueEnum;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use toml::Spanned;

/// Every key is a flag of that name.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
struct Declared {
    paths: Vec<String>,
    #[serde(alias = "tag")]
    tags: Vec<String>,
    deb: Vec<String>,
    suite: Option<Spanned<String>>,
    minimal: bool,
    scripts: Option<Spanned<String>>,
    docs: bool,
    exclude: Vec<String>,
    recommends: bool,
    platform: Option<Spanned<String>>,
    mirror: Option<String>,
    signed_by: Vec<PathBuf>,
    components: Vec<String>,
    snapshot: Option<String>,
    ca: Vec<PathBuf>,
    include: Vec<String>,
    with: Vec<Spanned<String>>,
    from: Option<String>,
    root: Option<PathBuf>,
    library_path: Vec<String>,
    entrypoint: Option<Words>,
    cmd: Option<Words>,
    env: BTreeMap<Spanned<String>, Spanned<String>>,
    user: Option<Spanned<String>>,
    workdir: Option<Spanned<String>>,
    expose: Vec<Spanned<String>>,
    #[serde(alias = "volume")]
    volumes: Vec<Spanned<String>>,
    #[serde(alias = "label")]
    labels: BTreeMap<Spanned<String>, Spanned<String>>,
    stop_signal: Option<Spanned<String>>,
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
    declared.check(args, (&text, path))?;
    let dir = path.parent().unwrap_or(Path::new(""));
    join(args.clone(), declared, dir)
}

fn read(text: &str, path: &Path) -> Result<Declared, Failure> {
    toml::from_str(text).map_err(|error| {
        let place = place((text, path), error.span().map_or(0, |span| span.start));
        Failure::user(format!("{place}: {}", error.message().replace('\n', ", ")))
    })
}

/// The file with the line and the column of a byte of it.
fn place((text, path): (&str, &Path), at: usize) -> String {
    let before = text.get(..at.min(text.len())).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{}:{line}:{column}", path.display())
}

impl Declared {
    /// Refuses values that are none, with their place in the file.
    fn check(&self, args: &PackArgs, file: (&str, &Path)) -> Result<(), Failure> {
        let may_be_named = !args.deb.is_empty() || !self.deb.is_empty();
        let ones = [
            (Value::Workdir, &self.workdir),
            (Value::StopSignal, &self.stop_signal),
            (Value::User { may_be_named }, &self.user),
        ];
        let ones = ones.into_iter().flat_map(|(value, one)| one.iter().map(move |text| (value, text)));
        let lists = [(Value::Port, &self.expose), (Value::Volume, &self.volumes)];
        let lists = lists.into_iter().flat_map(|(value, list)| list.iter().map(move |text| (value, text)));
        let maps = [(Value::Env, &self.env), (Value::Label, &self.labels)];
        let maps = maps.into_iter().flat_map(|(value, map)| map.iter().map(move |pair| (value, pair)));
        let wrong = |at: &Spanned<String>, wrong| values::failure(&place(file, at.span().start), wrong);
        for (value, text) in ones.chain(lists) {
            value.check(text.get_ref()).map_err(|problem| wrong(text, problem))?;
        }
        for (value, (name, text)) in maps {
            value.check_name(name.get_ref()).map_err(|problem| wrong(name, problem))?;
            value.check(&format!("x={}", text.get_ref())).map_err(|problem| wrong(text, problem))?;
        }
        if let Some(when) = &self.scripts
            && Scripts::from_str(when.get_ref(), false).is_err()
        {
            let message = format!("`scripts = \"{}\"` is unknown", when.get_ref());
            return Err(wrong(when, values::Wrong { message, hint: Some("auto, always or never") }));
        }
        let placed = |at: &Spanned<String>, mut failure: Failure| {
            failure.message = format!("{}: {}", place(file, at.span().start), failure.message);
            failure
        };
        if let Some(text) = self.suite.as_ref().filter(|_| args.suite.is_none()) {
            Suite::parse(text.get_ref()).map_err(|failure| placed(text, failure))?;
        }
        if let Some(text) = self.platform.as_ref().filter(|_| args.platform.is_none()) {
            settle::named_platform(text.get_ref()).map_err(|failure| placed(text, failure))?;
        }
        for text in &self.with {
            super::with(text.get_ref()).map_err(|failure| placed(text, failure))?;
        }
        Ok(())
    }
}

fn join(mut args: PackArgs, file: Declared, dir: &Path) -> Result<PackArgs, Failure> {
    let path = |text: &str| dir.join(text).to_string_lossy().into_owned();
    let plain = |list: Vec<Spanned<String>>| list.into_iter().map(Spanned::into_inner).collect::<Vec<_>>();
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
    before(&mut args.with, plain(file.with));
    before(&mut args.library_path, file.library_path);
    before(&mut args.expose, plain(file.expose));
    before(&mut args.volume, plain(file.volumes));
    before(&mut args.archive.components, file.components);
    paths_before(&mut args.archive.signed_by, file.signed_by);
    paths_before(&mut args.archive.ca, file.ca);
    let pairs = |pairs: BTreeMap<Spanned<String>, Spanned<String>>| {
        pairs
            .iter()
            .map(|(name, value)| format!("{}={}", name.get_ref(), value.get_ref()))
            .collect::<Vec<_>>()
    };
    before(&mut args.env, pairs(file.env));
    before(&mut args.out.label, pairs(file.labels));
    args.minimal |= file.minimal;
    args.docs |= file.docs;
    args.recommends |= file.recommends;
    args.suite = args.suite.or(file.suite.map(Spanned::into_inner));
    args.platform = args.platform.or(file.platform.map(Spanned::into_inner));
    args.archive.mirror = args.archive.mirror.or(file.mirror);
    args.archive.snapshot = args.archive.snapshot.or(file.snapshot);
    if args.from.is_none() && args.root.is_none() {
        args.from = file.from;
        args.root = file.root.map(|root| dir.join(root));
    }
    args.entrypoint = args.entrypoint.or(file.entrypoint.map(Words::flag).transpose()?);
    args.cmd = args.cmd.or(file.cmd.map(Words::flag).transpose()?);
    args.user = args.user.or(file.user.map(Spanned::into_inner));
    args.workdir = args.workdir.or(file.workdir.map(Spanned::into_inner));
    args.stop_signal = args.stop_signal.or(file.stop_signal.map(Spanned::into_inner));
    args.max_layers = args.max_layers.or(file.max_layers);
    if let Some(when) = file.scripts.filter(|_| args.scripts.is_none()) {
        args.scripts = Scripts::from_str(when.get_ref(), false).ok();
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
        let path = Path::new("sub/image.toml");
        let (args, declared) = (args(words), read(text, path)?);
        declared.check(&args, (text, path))?;
        join(args, declared, Path::new("sub"))
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
        // What a flag stands for is not looked at.
        let file = "suite = \"ubuntu:latest\"\nplatform = \"a/b/c/d/e\"\n";
        let args = joined(&["--suite", "ubuntu:24.04", "--platform", "linux/arm64"], file).expect("joined");
        assert_eq!(args.suite.as_deref(), Some("ubuntu:24.04"));
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
            ("scripts = \"some\"\n", "sub/image.toml:1:11: `scripts = \"some\"` is unknown"),
            ("workdir = \"app\"\n", "sub/image.toml:1:11: the working directory `app` is no absolute path"),
            ("\nworkdir = \"/a\\u0000\"\n", "sub/image.toml:2:11: it holds a zero byte"),
            ("expose = [\"80\",\n \"80/icmp\"]\n", "sub/image.toml:2:2: cannot expose `80/icmp`"),
            ("expose = [\"9-8\"]\n", "sub/image.toml:1:11: cannot expose `9-8`"),
            ("volumes = [\"\"]\n", "sub/image.toml:1:12: the path of a VOLUME is empty"),
            ("stop-signal = \"SIGBANANA\"\n", "sub/image.toml:1:15: `SIGBANANA` is not a signal"),
            ("suite = \"debian:bok worm\"\n", "sub/image.toml:1:9: `debian:bok worm` names no suite"),
            ("platform = \"a/b/c/d/e\"\n", "sub/image.toml:1:12: `--platform a/b/c/d/e` is no platform"),
            ("with = [\"nss\",\n\"tzdat\"]\n", "sub/image.toml:2:1: `--with tzdat` is unknown"),
            ("user = \"\"\n", "sub/image.toml:1:8: `` is no user"),
            ("deb = [\"a\"]\nuser = \"a:b:c\"\n", "sub/image.toml:2:8: `a:b:c` is no user"),
            ("user = \"name\"\n", "sub/image.toml:1:8: the user `name` is no number"),
            ("user = \"4294967295\"\n", "sub/image.toml:1:8: `4294967295` is larger than a user can be"),
            ("[env]\nA = \"1\"\n\"\" = \"2\"\n", "sub/image.toml:3:1: the variable has no name"),
            ("[env]\n\"A=B\" = \"2\"\n", "sub/image.toml:2:1: the name `A=B` has a `=`"),
            ("[labels]\n\"\" = \"2\"\n", "sub/image.toml:2:1: the label has no name"),
        ] {
            let failure = joined(&[], text).expect_err("refused");
            assert!(failure.message.contains(says), "{text}: {}", failure.message);
        }
    }
}
