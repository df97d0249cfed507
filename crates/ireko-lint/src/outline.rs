//! What a target takes from outside: arguments, secrets, agents, caches.

use crate::checks::Checks;
use crate::input::{Input, Scope};
use crate::report::{Fault, Report};
use crate::targets::description;
use crate::walk::{Walked, walk};
use ireko_dockerfile::mount::{Mount, MountKind};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// What a target takes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outline {
    /// The target's name; empty where it has none.
    pub name: String,
    /// What the comment above its FROM says of it.
    pub description: String,
    /// Arguments that can be given, in the order of the text.
    pub args: Vec<OutlineArg>,
    /// Secrets.
    pub secrets: Vec<Required>,
    /// Agents.
    pub ssh: Vec<Required>,
    /// Cache mounts.
    pub caches: Vec<CacheMount>,
}

/// An argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutlineArg {
    /// Its name.
    pub name: String,
    /// What the comment above its ARG says of it.
    pub description: String,
    /// The value it would have; empty where it has none.
    pub value: String,
    /// Lines of its ARG.
    pub lines: RangeInclusive<u32>,
}

/// A secret or an agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Required {
    /// Its id.
    pub name: String,
    /// The build fails without it.
    pub required: bool,
    /// Lines of the instruction.
    pub lines: RangeInclusive<u32>,
}

/// A cache mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheMount {
    /// Its id: the target where none is given.
    pub id: String,
    /// Lines of the instruction.
    pub lines: RangeInclusive<u32>,
}

/// What the target takes: the last stage, or the one that is asked for. Rules are not asked.
pub fn outline(input: &Input) -> Result<Outline, Fault> {
    let skip_all = Checks::parse("skip=all").unwrap_or_default();
    let scope = if input.scope == Scope::Everything { Scope::Last } else { input.scope.clone() };
    let input = Input { scope, ..input.clone() };
    let walked = walk(&input, &mut Report::new(skip_all))?;
    let target = match &input.scope {
        Scope::Targets(names) => names.last().and_then(|name| input.ast.stage(name)),
        Scope::Last | Scope::Everything => input.ast.stages.len().checked_sub(1),
    };
    let Some(target) = target else { return Ok(Outline::default()) };
    let stage = &input.ast.stages[target];
    let mut outline = Outline {
        name: stage.from.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        description: description(stage).unwrap_or_default(),
        ..Outline::default()
    };
    let mut seen = Seen::default();
    gather(&walked, target, &mut seen, &mut outline);
    outline.args.sort_by_key(|arg| *arg.lines.start());
    outline.secrets.sort_by_key(|secret| *secret.lines.start());
    outline.ssh.sort_by_key(|agent| *agent.lines.start());
    outline.caches.sort_by_key(|cache| *cache.lines.start());
    Ok(outline)
}

/// An ARG of a stage.
#[derive(Clone, Debug)]
pub(crate) struct ArgNote {
    pub(crate) value: Option<String>,
    pub(crate) comment: Option<String>,
    pub(crate) lines: RangeInclusive<u32>,
}

/// What one stage takes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Notes {
    /// Names of its ARGs; `None` for one that is only handed on from before the first FROM.
    args: BTreeMap<String, Option<ArgNote>>,
    secrets: BTreeMap<String, (bool, RangeInclusive<u32>)>,
    ssh: BTreeMap<String, (bool, RangeInclusive<u32>)>,
    caches: BTreeMap<String, RangeInclusive<u32>>,
}

impl Notes {
    pub(crate) fn arg(&mut self, name: &str, note: Option<ArgNote>) {
        let entry = self.args.entry(name.to_owned()).or_default();
        if note.is_some() {
            *entry = note;
        }
    }

    pub(crate) fn mount(&mut self, mount: &Mount, lines: &RangeInclusive<u32>) {
        let note = |map: &mut BTreeMap<String, (bool, RangeInclusive<u32>)>, id: &str| {
            let entry = map.entry(id.to_owned()).or_insert((false, lines.clone()));
            entry.0 |= mount.required;
        };
        match mount.kind {
            MountKind::Secret => note(&mut self.secrets, mount.secret_id()),
            MountKind::Ssh => note(&mut self.ssh, mount.id.as_deref().unwrap_or("default")),
            MountKind::Cache => {
                let id = mount.id.as_deref().unwrap_or(&mount.target);
                self.caches.entry(id.to_owned()).or_insert(lines.clone());
            }
            MountKind::Bind | MountKind::Tmpfs => {}
        }
    }
}

#[derive(Default)]
struct Seen {
    stages: BTreeSet<usize>,
    args: BTreeSet<String>,
    secrets: BTreeSet<String>,
    ssh: BTreeSet<String>,
    caches: BTreeSet<String>,
}

/// What the stage takes, then what those below it and those it takes files from do; the first who says a name counts.
fn gather(walked: &Walked, target: usize, seen: &mut Seen, outline: &mut Outline) {
    let mut todo = vec![target];
    while let Some(index) = todo.pop() {
        if !seen.stages.insert(index) {
            continue;
        }
        let head = &walked.heads[index];
        let Some(notes) = &walked.notes[index] else { continue };
        todo.extend(head.takes.iter().rev());
        todo.extend(head.below);
        for (name, note) in &notes.args {
            match note {
                Some(note) => own_arg(name, note, seen, outline),
                None => global_arg(walked, name, seen, outline),
            }
        }
        head.used.iter().for_each(|name| global_arg(walked, name, seen, outline));
        for (name, (required, lines)) in &notes.secrets {
            if seen.secrets.insert(name.clone()) {
                let (name, lines) = (name.clone(), lines.clone());
                outline.secrets.push(Required { name, required: *required, lines });
            }
        }
        for (name, (required, lines)) in &notes.ssh {
            if seen.ssh.insert(name.clone()) {
                let (name, lines) = (name.clone(), lines.clone());
                outline.ssh.push(Required { name, required: *required, lines });
            }
        }
        for (id, lines) in &notes.caches {
            if seen.caches.insert(id.clone()) {
                outline.caches.push(CacheMount { id: id.clone(), lines: lines.clone() });
            }
        }
    }
}

fn own_arg(name: &str, note: &ArgNote, seen: &mut Seen, outline: &mut Outline) {
    if seen.args.insert(name.to_owned()) {
        outline.args.push(OutlineArg {
            name: name.to_owned(),
            description: note.comment.clone().unwrap_or_default(),
            value: note.value.clone().unwrap_or_default(),
            lines: note.lines.clone(),
        });
    }
}

/// An ARG from before the first FROM, and those its default takes. Predefined ones are not in the text.
fn global_arg(walked: &Walked, name: &str, seen: &mut Seen, outline: &mut Outline) {
    let mut todo = vec![name.to_owned()];
    while let Some(name) = todo.pop() {
        let Some(global) = walked.globals.args.get(&name) else { continue };
        if seen.args.insert(name.clone()) {
            todo.extend(global.takes.iter().cloned());
            outline.args.push(OutlineArg {
                name,
                description: global.item.comment.clone().unwrap_or_default(),
                value: global.value.clone().unwrap_or_default(),
                lines: global.at.lines.clone(),
            });
        }
    }
}
