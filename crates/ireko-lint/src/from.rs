//! FROM: the variables it sees, what it names, and which stages need which.

use crate::input::{Input, Scope};
use crate::report::{Fault, Report};
use crate::rules;
use crate::vars::Vars;
use ireko_dockerfile::words::{Expanded, Lexer};
use ireko_dockerfile::{
    ArgItem, Instruction, InstructionKind, MetaArg, Pair, Place, Stage, Word, mount, parse_trigger,
};
use ireko_oci::Platform;
use std::collections::{BTreeMap, BTreeSet};

/// What is known of a stage before its instructions are gone through.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The base after expansion.
    pub(crate) base: String,
    /// The stage it stands on.
    pub(crate) below: Option<usize>,
    /// The platform it asks for.
    pub(crate) platform: Option<Platform>,
    /// A named context stands in its place.
    pub(crate) replaced: bool,
    /// Arguments that its FROM takes.
    pub(crate) used: BTreeSet<String>,
    /// Stages whose files it takes.
    pub(crate) takes: Vec<usize>,
}

/// An ARG before the first FROM, expanded.
#[derive(Clone, Debug)]
pub(crate) struct Global<'a> {
    /// The line.
    pub(crate) at: &'a Place,
    /// What it says.
    pub(crate) item: &'a ArgItem,
    /// Its value.
    pub(crate) value: Option<String>,
    /// The arguments its default takes.
    pub(crate) takes: BTreeSet<String>,
}

/// The variables of FROM, and the ARGs that made them by name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Globals<'a> {
    pub(crate) vars: Vars,
    pub(crate) args: BTreeMap<String, Global<'a>>,
}

/// What every Dockerfile may use in FROM, and by ARG in a stage.
pub(crate) fn predefined(input: &Input) -> Vars {
    let mut vars = Vars::default();
    let mut set = |name: &str, value: &str| vars.set(name, input.given(name).unwrap_or(value));
    for (prefix, platform) in [("BUILD", &input.platform), ("TARGET", &input.target_platform)] {
        for (name, value) in platform.clone().normalized().arguments(prefix) {
            set(&name, &value);
        }
    }
    let last = || input.ast.stages.last().and_then(|stage| stage.from.name.as_ref());
    let target = match &input.scope {
        Scope::Targets(targets) => targets.last().map(String::as_str),
        Scope::Last | Scope::Everything => last().map(|name| name.value.as_str()),
    };
    set("TARGETSTAGE", target.filter(|name| !name.is_empty()).unwrap_or("default"));
    vars
}

/// The ARGs before the first FROM, with the values that `given` has for them, else their defaults.
pub(crate) fn globals<'a>(
    input: &Input<'a>,
    known: &Vars,
    given: impl Fn(&str) -> Option<String>,
) -> Result<Globals<'a>, Fault> {
    let lexer = Lexer::new(input.ast.escape);
    let mut globals = Globals { vars: known.clone(), args: BTreeMap::new() };
    for MetaArg { at, args } in &input.ast.meta_args {
        for item in args {
            let name = item.name.value.as_str();
            let mut takes = BTreeSet::new();
            let value = match (given(name), &item.value) {
                (Some(given), _) => Some(given),
                (None, Some(word)) => {
                    let expanded =
                        lexer.word(&word.value, &globals.vars).map_err(|error| fault(error, at, word))?;
                    takes = expanded.used;
                    Some(expanded.text)
                }
                (None, None) => None,
            };
            if takes.remove(name)
                && let Some(older) = globals.args.get(name)
            {
                takes.extend(older.takes.iter().cloned());
            }
            if let Some(value) = &value {
                globals.vars.set(name, value);
            }
            globals.args.insert(name.to_owned(), Global { at, item, value, takes });
        }
    }
    Ok(globals)
}

/// Reads the FROM of every stage; the first that cannot be read ends the inspection.
pub(crate) fn heads(input: &Input, globals: &Globals, report: &mut Report) -> Result<Vec<Head>, Fault> {
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut heads = Vec::new();
    let keys: BTreeSet<&str> = globals.vars.names().chain(globals.args.keys().map(String::as_str)).collect();
    let reader = Reader { lexer: Lexer::new(input.ast.escape), globals, keys };
    for (index, stage) in input.ast.stages.iter().enumerate() {
        let mut head = reader.head(stage, report)?;
        let name = stage.from.name.as_ref().map(|name| name.value.to_ascii_lowercase());
        head.replaced = name.as_ref().is_some_and(|name| input.contexts.contains(name));
        head.below = names.get(&head.base.to_ascii_lowercase()).copied().filter(|_| !head.replaced);
        head.takes.extend(reader.after(stage).iter().filter_map(|name| names.get(name)));
        names.extend(name.map(|name| (name, index)));
        heads.push(head);
    }
    let count = input.ast.stages.len();
    let mut scopes = Scopes { input, globals, by_stage: Vec::new() };
    for (head, stage) in heads.iter_mut().zip(&input.ast.stages) {
        let own = scopes.sources(head, stage).into_iter();
        let brought = triggers(input, head);
        let brought = brought.iter().map(|instruction| &instruction.kind).flat_map(sources);
        head.takes.extend(own.chain(brought).filter_map(|name| numbered(&name, &names, count)));
        head.takes.dedup();
    }
    Ok(heads)
}

/// The triggers that the base of a stage brings.
pub(crate) fn triggers(input: &Input, head: &Head) -> Vec<Instruction> {
    let read = |text: &String| parse_trigger(text).0;
    if let Some(below) = head.below {
        let instructions = &input.ast.stages[below].instructions;
        return instructions
            .iter()
            .filter_map(|instruction| match &instruction.kind {
                InstructionKind::Onbuild(onbuild) => read(&onbuild.text),
                _ => None,
            })
            .collect();
    }
    let config = input.base(&head.base, head.platform.as_ref()).filter(|_| !head.replaced);
    config.iter().flat_map(|config| &config.config.on_build).filter_map(read).collect()
}

/// The stage of this name, or of this number.
fn numbered(name: &str, names: &BTreeMap<String, usize>, count: usize) -> Option<usize> {
    let by_number = || name.parse().ok().filter(|index| *index < count);
    names.get(&name.to_ascii_lowercase()).copied().or_else(by_number)
}

/// What an instruction takes files from.
pub(crate) fn sources(kind: &InstructionKind) -> Vec<String> {
    match kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|from| from.value.clone()).collect(),
        InstructionKind::Run(run) => {
            let read = |word: &Word| mount::parse(&word.value, &mut |value| Ok(value.to_owned())).ok();
            let froms = run.mounts.iter().filter_map(read).map(|mount| mount.from);
            froms.filter(|from| !from.is_empty()).collect()
        }
        _ => Vec::new(),
    }
}

/// Variables that ARG and ENV of the Dockerfile set, by stage: `COPY --from=$NAME` is resolved by them alone.
struct Scopes<'a> {
    input: &'a Input<'a>,
    globals: &'a Globals<'a>,
    by_stage: Vec<Vars>,
}

impl Scopes<'_> {
    /// What the instructions of the next stage take files from.
    fn sources(&mut self, head: &Head, stage: &Stage) -> Vec<String> {
        let lexer = Lexer::new(self.input.ast.escape);
        let mut vars = head.below.and_then(|below| self.by_stage.get(below).cloned()).unwrap_or_default();
        let mut names = Vec::new();
        for instruction in &stage.instructions {
            let text = |word: &Word, vars: &Vars| lexer.word(&word.value, vars).map(|found| found.text);
            match &instruction.kind {
                InstructionKind::Arg(args) => {
                    for item in args {
                        let name = item.name.value.as_str();
                        let own = item.value.as_ref().and_then(|word| text(word, &vars).ok());
                        let given = self.input.given(name).map(str::to_owned).or(own);
                        let value = given.or_else(|| self.globals.vars.value(name).map(str::to_owned));
                        value.iter().for_each(|value| vars.set(name, value));
                    }
                }
                InstructionKind::Env(pairs) => {
                    // All with the variables from before the instruction.
                    let both =
                        |pair: &Pair| Some((text(&pair.name, &vars).ok()?, text(&pair.value, &vars).ok()?));
                    let read: Vec<_> = pairs.iter().filter_map(both).collect();
                    read.iter().for_each(|(name, value)| vars.set(name, value));
                }
                InstructionKind::Copy(copy) => {
                    names.extend(copy.from.iter().filter_map(|word| text(word, &vars).ok()));
                }
                kind => names.extend(sources(kind)),
            }
        }
        self.by_stage.push(vars);
        names
    }
}

/// Which stages are gone through: those that the targets reach.
pub(crate) fn wanted(input: &Input, heads: &[Head]) -> Vec<bool> {
    let mut wanted = vec![false; heads.len()];
    let mut todo: Vec<usize> = match &input.scope {
        Scope::Everything => (0..heads.len()).collect(),
        Scope::Last => heads.len().checked_sub(1).into_iter().collect(),
        Scope::Targets(names) => names.iter().filter_map(|name| input.ast.stage(name)).collect(),
    };
    while let Some(index) = todo.pop() {
        if !std::mem::replace(&mut wanted[index], true) && !heads[index].replaced {
            todo.extend(heads[index].below);
            todo.extend(&heads[index].takes);
        }
    }
    wanted
}

struct Reader<'a> {
    lexer: Lexer,
    globals: &'a Globals<'a>,
    /// All names that may stand in FROM.
    keys: BTreeSet<&'a str>,
}

impl Reader<'_> {
    fn head(&self, stage: &Stage, report: &mut Report) -> Result<Head, Fault> {
        let from = &stage.from;
        let base = self.expand(&from.base, &stage.at)?;
        rules::undefined_arg_in_from::check(&stage.at, &from.base, &base.unset, &self.keys, report);
        if base.text.is_empty() {
            let message = format!("base name ({}) should not be blank", from.base.value);
            return Err(at(message, &stage.at, &from.base));
        }
        let mut used = base.used;
        let platform = match from.platform.as_ref().filter(|word| !word.value.is_empty()) {
            None => None,
            Some(word) => {
                let expanded = self.expand(word, &stage.at)?;
                rules::undefined_arg_in_from::check(&stage.at, word, &expanded.unset, &self.keys, report);
                rules::redundant_target_platform::check(stage, word, &expanded, &self.globals.vars, report);
                rules::from_platform_flag_const_disallowed::check(stage, word, &expanded, report);
                let platform = self.platform(word, &expanded, &stage.at)?;
                used.extend(expanded.used);
                Some(platform)
            }
        };
        Ok(Head { base: base.text, below: None, platform, replaced: false, used, takes: Vec::new() })
    }

    /// Stages that come before this one without being below it.
    fn after(&self, stage: &Stage) -> Vec<String> {
        let texts =
            stage.from.after.iter().filter_map(|word| self.lexer.word(&word.value, &self.globals.vars).ok());
        let names = texts.flat_map(|found| {
            found.text.split(',').map(|name| name.trim().to_ascii_lowercase()).collect::<Vec<_>>()
        });
        names.collect()
    }

    fn expand(&self, word: &Word, place: &Place) -> Result<Expanded, Fault> {
        self.lexer.word(&word.value, &self.globals.vars).map_err(|error| fault(error, place, word))
    }

    fn platform(&self, word: &Word, expanded: &Expanded, place: &Place) -> Result<Platform, Fault> {
        let text = expanded.text.as_str();
        let near = || expanded.unset.iter().find_map(|name| self.globals.vars.nearest(name));
        let meant = || near().map_or(String::new(), |name| format!(" (did you mean {name}?)"));
        if text.is_empty() {
            let message = format!("empty platform value from expression {}{}", word.value, meant());
            return Err(at(message, place, word));
        }
        let is_part = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-'))
        };
        let why = match text.split('/').find(|part| !is_part(part)) {
            Some(part) => format!(
                "{part:?} is an invalid component of {text:?}: platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument"
            ),
            None => match text.parse::<Platform>() {
                Ok(platform) => return Ok(platform.normalized()),
                Err(error) => error.to_string(),
            },
        };
        Err(at(format!("failed to parse platform {}: {why}{}", word.value, meant()), place, word))
    }
}

fn at(message: String, place: &Place, word: &Word) -> Fault {
    Fault { message, lines: Some(place.lines.clone()), span: Some(word.span) }
}

fn fault(error: ireko_dockerfile::words::Error, place: &Place, word: &Word) -> Fault {
    at(error.to_string(), place, word)
}
