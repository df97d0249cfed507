//! Going through the stages of a target and adding what they need to the graph.

use crate::epoch;
use crate::facts::{Facts, ImageFact};
use crate::fault::{Fault, fault};
use crate::input::{NoCache, PlanInput};
use crate::output::{ContextRead, Output, Plan, UsedImage};
use crate::scope::{Scope, given};
use crate::stages::{Source, Stages, Wanted};
use crate::state::State;
use crate::trigger::Step;
use ireko_dockerfile::InstructionKind;
use ireko_dockerfile::words::Lexer;
use ireko_graph::op::{Copy, CopyItem, FilesFrom, ImageSource, MakeDir, Unpack};
use ireko_graph::{About, Node, NodeId, Op, Reuse};
use ireko_oci::{GuestPath, History, ImageConfig, Platform, Timestamp};
use ireko_report::Span;

/// The main context's name in the graph: one that no `--build-context` can have.
pub const MAIN_CONTEXT: &str = "";

/// One target on its way to the graph.
pub(crate) struct Build<'a> {
    /// What was asked for.
    pub(crate) input: &'a PlanInput,
    /// What is known.
    pub(crate) facts: &'a Facts,
    /// The stages, with the triggers of their bases.
    pub(crate) stages: &'a Stages<'a>,
    /// Variables of FROM.
    pub(crate) global: &'a Scope,
    /// The graph, shared by all targets.
    pub(crate) plan: &'a mut Plan,
    /// States of the stages gone through.
    pub(crate) done: Vec<Option<State>>,
}

/// Where in its stage an instruction stands.
pub(crate) struct Position<'a> {
    /// The stage.
    pub(crate) stage: usize,
    /// The instruction.
    pub(crate) step: &'a Step,
    /// Its number among those that make nodes.
    pub(crate) number: u32,
    /// How many there are.
    pub(crate) total: u32,
}

impl Build<'_> {
    /// Plans the target.
    pub(crate) fn output(&mut self, target: usize, wanted: &[bool]) -> Result<Output, Fault> {
        let epoch = self.epoch()?;
        for (index, wanted) in wanted.iter().enumerate() {
            let state = if *wanted { Some(self.stage(index, epoch)?) } else { None };
            self.done.push(state);
        }
        let state = self.done[target].clone().expect("the target is wanted");
        let mut config = state.image;
        if config.config.working_dir.is_empty() {
            "/".clone_into(&mut config.config.working_dir);
        }
        config.config.labels.extend(self.input.labels.iter().cloned());
        if !self.input.target_platforms.is_empty() {
            becomes(&mut config, self.stages.target_platform);
        }
        let platform = config.platform();
        config.variant.clone_from(&platform.variant);
        Ok(Output {
            stage: self.stages.shapes[target].shown.clone(),
            node: state.node,
            after: state.after,
            config,
            base_history: state.base_history,
            platform,
            epoch,
        })
    }

    fn epoch(&self) -> Result<Option<Timestamp>, Fault> {
        let text = given(self.input, epoch::NAME).or(self.global.value(epoch::NAME)).unwrap_or_default();
        if text.is_empty() {
            return Ok(None);
        }
        match text.parse() {
            Ok(seconds) => Ok(Some(Timestamp::from_unix(seconds, 0))),
            // A name, whose date nobody has looked up.
            Err(_) => epoch::epoch_from(self.input).map(|_| None),
        }
    }

    fn stage(&mut self, index: usize, epoch: Option<Timestamp>) -> Result<State, Fault> {
        let stages = self.stages;
        let shape = &stages.shapes[index];
        let from_image = u32::from(matches!(shape.base, Source::Image(_)));
        let makes_node = |step: &&Step| {
            use InstructionKind::{Add, Copy, Run, Workdir};
            matches!(step.instruction.kind, Add(_) | Copy(_) | Run(_) | Workdir(_))
        };
        let steps = shape.steps.iter().filter(makes_node).count();
        let total = from_image + u32::try_from(steps).unwrap_or(u32::MAX - 1);
        let mut state = self.base(index, total, epoch)?;
        if shape.replaced {
            return Ok(state);
        }
        state.enter();
        for before in &shape.after {
            let node = self.done[*before].as_ref().and_then(|done| done.node);
            state.after.extend(node.filter(|node| !state.after.contains(node)));
        }
        let mut number = from_image;
        for step in &shape.steps {
            number += u32::from(makes_node(&step));
            let at = Position { stage: index, step, number, total };
            if self.meta(&mut state, step)? {
                continue;
            }
            match &step.instruction.kind {
                InstructionKind::Run(run) => self.run(&mut state, &at, run)?,
                InstructionKind::Copy(copy) => self.copy(&mut state, &at, copy)?,
                InstructionKind::Add(add) => self.add(&mut state, &at, add)?,
                InstructionKind::Workdir(word) => self.workdir(&mut state, &at, word)?,
                _ => {}
            }
        }
        Ok(state)
    }

    fn base(&mut self, index: usize, total: u32, epoch: Option<Timestamp>) -> Result<State, Fault> {
        let shape = &self.stages.shapes[index];
        let at = &self.input.ast.stages[index].at;
        let about = |text: String| About {
            stage: shape.shown.clone(),
            platform: self.shown_platform(&shape.platform, None),
            step: 1,
            steps: total,
            text,
            line: *at.lines.start(),
            end_line: *at.lines.end(),
            args: Vec::new(),
        };
        match &shape.base {
            Source::Scratch => Ok(State::scratch(&shape.platform, epoch)),
            Source::Stage(below) => {
                let state = self.done[*below].clone();
                Ok(state.expect("a stage stands on an earlier one, which is wanted with it"))
            }
            Source::Image(wanted) => {
                let about = about(format!("FROM {}", wanted.display));
                let (node, fact) = self.image(wanted, about);
                Ok(State::on(fact.config.clone(), node, epoch))
            }
            Source::Directory(name) => {
                let node = self.directory(name, about(format!("FROM {name}")));
                Ok(self.of_files(node, index, epoch))
            }
            Source::Fetched(op, name) => {
                let node = self.source(op.clone(), about(format!("FROM {name}")), index);
                Ok(self.of_files(node, index, epoch))
            }
        }
    }

    /// A stage on files that no image holds.
    fn of_files(&self, node: NodeId, stage: usize, epoch: Option<Timestamp>) -> State {
        let mut state = State::scratch(&self.stages.shapes[stage].platform, epoch);
        state.node = Some(node);
        // The layer has an entry of its own, so that entries and layers keep in step.
        state.image.history.push(History { created: epoch, ..History::default() });
        state.base_history = 1;
        state
    }

    /// What is fetched.
    pub(crate) fn source(&mut self, op: Op, about: About, stage: usize) -> NodeId {
        let reuse = self.reuse(stage);
        self.first(op, about, reuse)
    }

    /// A node that stands on nothing.
    fn first(&mut self, op: Op, about: About, reuse: Reuse) -> NodeId {
        self.plan.graph.add(Node { op, base: None, inputs: Vec::new(), after: Vec::new(), about, reuse })
    }

    /// A step on what the stage has so far, and its entry in the history.
    pub(crate) fn step(
        &mut self,
        state: &mut State,
        (op, inputs): (Op, Vec<NodeId>),
        (about, reuse): (About, Reuse),
        note: String,
    ) -> NodeId {
        let (base, after) = (state.node, state.after.clone());
        let node = self.plan.graph.add(Node { op, base, inputs, after, about, reuse });
        state.node = Some(node);
        state.note_layer(note);
        node
    }

    /// Where files come from that come from the main context.
    pub(crate) fn main_files(&mut self, inputs: &mut Vec<NodeId>, at: &Position<'_>) -> FilesFrom {
        let Some(op) = &self.input.main else { return FilesFrom::Context(MAIN_CONTEXT.to_owned()) };
        let about = self.about(at, "fetch context".to_owned());
        let node = self.source(op.clone(), about, at.stage);
        FilesFrom::Input(position_of(node, inputs))
    }

    /// The node of an image, and what is known of it.
    fn image(&mut self, wanted: &Wanted, about: About) -> (Option<NodeId>, ImageFact) {
        let fact = self.facts.image(&wanted.name, &wanted.platform).cloned();
        let fact = fact.expect("what the target reaches is known before anything is planned");
        let diff_ids = fact.config.rootfs.diff_ids.clone();
        let op = Op::Image(ImageSource {
            display: wanted.display.clone(),
            config: fact.config_digest,
            diff_ids: diff_ids.clone(),
        });
        let node = (!diff_ids.is_empty()).then(|| self.first(op, about, Reuse::Always));
        let used = UsedImage {
            name: wanted.name.clone(),
            platform: wanted.platform.clone(),
            display: wanted.display.clone(),
            resolved: fact.resolved,
            config: fact.config_digest,
            node,
        };
        if !self.plan.images.contains(&used) {
            self.plan.images.push(used);
        }
        (node, fact)
    }

    /// A whole directory as a tree.
    fn directory(&mut self, name: &str, about: About) -> NodeId {
        let from = FilesFrom::Context(name.to_owned());
        let copy = Copy {
            items: vec![CopyItem::Files { from, pattern: "/".to_owned() }],
            dest: GuestPath::root(),
            dest_is_dir: true,
            owner: None,
            mode: None,
            link: true,
            parents: false,
            excludes: Vec::new(),
            unpack: Unpack::Never,
        };
        let (line, text) = (about.line, about.text.clone());
        let node = self.first(Op::Copy(Box::new(copy)), about, Reuse::Always);
        self.read(ContextRead {
            context: name.to_owned(),
            node,
            line,
            text,
            patterns: vec!["/".to_owned()],
            excludes: Vec::new(),
        });
        node
    }

    /// Where files come from when they come from `source`; its node becomes one of `inputs`.
    pub(crate) fn files_from(
        &mut self,
        source: &Source,
        inputs: &mut Vec<NodeId>,
        at: &Position<'_>,
        span: Span,
    ) -> Result<FilesFrom, Fault> {
        let node = match source {
            Source::Scratch => None,
            Source::Directory(name) => return Ok(FilesFrom::Context(name.clone())),
            Source::Fetched(op, name) => {
                let about = self.about(at, format!("fetch {name}"));
                Some(self.source(op.clone(), about, at.stage))
            }
            Source::Image(wanted) => {
                let text = format!("FROM {}", wanted.display);
                let platform = self.shown_platform(&wanted.platform, None);
                let about = About { platform, ..self.about(at, text) };
                self.image(wanted, about).0
            }
            Source::Stage(stage) => match self.done.get(*stage) {
                Some(state) => state.as_ref().expect("a stage that is read is wanted").node,
                None => {
                    let (other, own) =
                        (&self.stages.shapes[*stage].shown, &self.stages.shapes[at.stage].shown);
                    let message =
                        format!("stage `{other}` must be defined above stage `{own}`, which reads it");
                    return Err(fault("stage-order", message, span));
                }
            },
        };
        let Some(node) = node else { return Ok(FilesFrom::Empty) };
        Ok(FilesFrom::Input(position_of(node, inputs)))
    }

    fn workdir(
        &mut self,
        state: &mut State,
        at: &Position<'_>,
        word: &ireko_dockerfile::Word,
    ) -> Result<(), Fault> {
        let span = at.step.at(word.span);
        let path = state.expand(self.lexer(at.step), word, span)?;
        let text = self.text(state, at);
        state.cwd = state.path(&path, span)?;
        let shown = state.shown_dir(&path, &state.cwd);
        state.image.config.working_dir.clone_from(&shown);
        let note = format!("WORKDIR {shown}");
        if state.cwd.is_root() {
            state.note(note);
            return Ok(());
        }
        let op = Op::MakeDir(MakeDir { path: state.cwd.clone(), user: state.image.config.user.clone() });
        let about = self.about_in(state, at, text);
        self.step(state, (op, Vec::new()), (about, Reuse::Always), note);
        Ok(())
    }

    /// The lexer for an instruction: a trigger is read with the usual escape character.
    pub(crate) fn lexer(&self, step: &Step) -> Lexer {
        Lexer::new(if step.onbuild { '\\' } else { self.input.ast.escape })
    }

    /// What people are told about the node of an instruction that sees this state.
    pub(crate) fn about_in(&self, state: &State, at: &Position<'_>, text: String) -> About {
        let platform = self.shown_platform(&self.stages.shapes[at.stage].platform, Some(state));
        About { platform, args: state.visible_args(), ..self.about(at, text) }
    }

    /// What people are told about an instruction's node.
    pub(crate) fn about(&self, at: &Position<'_>, text: String) -> About {
        let shape = &self.stages.shapes[at.stage];
        About {
            stage: shape.shown.clone(),
            platform: self.shown_platform(&shape.platform, None),
            step: at.number,
            steps: at.total,
            text,
            line: at.step.lines.0,
            end_line: at.step.lines.1,
            args: Vec::new(),
        }
    }

    /// The platform as it is shown with a step, where there are several. A step that has another one in its
    /// variables cross-compiles for that.
    fn shown_platform(&self, own: &Platform, state: Option<&State>) -> String {
        if self.input.target_platforms.len() < 2 {
            return String::new();
        }
        let variable = |name: &str| state.and_then(|state| state.env.value(name)).unwrap_or_default();
        let target = match (variable("TARGETPLATFORM"), variable("TARGETARCH")) {
            ("", "") => return own.to_string(),
            ("", architecture) => Platform::new(&own.os, architecture, variable("TARGETVARIANT")),
            (whole, _) => whole.parse().map(Platform::normalized).unwrap_or_else(|_| own.clone()),
        };
        match (target.os == own.os, target.architecture == own.architecture, target.variant.as_str()) {
            (true, true, _) => own.to_string(),
            (true, false, "") => format!("{own}->{}", target.architecture),
            (true, false, variant) => format!("{own}->{}/{variant}", target.architecture),
            (false, ..) => format!("{own}->{target}"),
        }
    }

    /// The instruction on one line with its variables resolved, as far as they are set.
    pub(crate) fn text(&self, state: &State, at: &Position<'_>) -> String {
        let original = at.step.instruction.at.original.trim();
        let lexer = self.lexer(at.step).raw_quotes().skip_unset();
        let text = lexer.word(original, &state.env).map_or(original.to_owned(), |expanded| expanded.text);
        let (keyword, rest) = text.split_once(char::is_whitespace).unwrap_or((&text, ""));
        let prefix = if at.step.onbuild { "ONBUILD " } else { "" };
        format!("{prefix}{} {rest}", keyword.to_ascii_uppercase()).trim_end().to_owned()
    }

    /// Whether earlier results may stand for steps of this stage.
    pub(crate) fn reuse(&self, stage: usize) -> Reuse {
        let never = match &self.input.no_cache {
            NoCache::None => false,
            NoCache::All => true,
            NoCache::Stages(stages) => stages.iter().any(|name| self.input.ast.stage(name) == Some(stage)),
        };
        if never { Reuse::Never } else { Reuse::Always }
    }

    /// The same for a command: what it finds outside may have become something else since. The comment above it wins
    /// over the build's own limit.
    pub(crate) fn reuse_of_command(&self, at: &Position<'_>) -> Result<Reuse, Fault> {
        if self.reuse(at.stage) == Reuse::Never {
            return Ok(Reuse::Never);
        }
        let lifetime = match own_lifetime(at)? {
            Some(own) => Some(own),
            None => self.input.cache_ttl,
        };
        Ok(lifetime.map_or(Reuse::Always, Reuse::Within))
    }

    /// Remembers what is read of a context.
    pub(crate) fn read(&mut self, read: ContextRead) {
        let known = self.plan.reads_of.entry(read.node).or_default();
        if known.iter().all(|at| self.plan.reads[*at] != read) {
            known.push(self.plan.reads.len());
            self.plan.reads.push(read);
        }
    }
}

/// Where a node stands among a node's inputs; it becomes one where it is none.
pub(crate) fn position_of(node: NodeId, inputs: &mut Vec<NodeId>) -> usize {
    inputs.iter().position(|input| *input == node).unwrap_or_else(|| {
        inputs.push(node);
        inputs.len() - 1
    })
}

/// Makes the config say that it is for a platform. What the platform leaves open stays as the base has it, where that
/// was for the same system and architecture.
fn becomes(config: &mut ImageConfig, platform: &Platform) {
    let alike = (&config.os, &config.architecture) == (&platform.os, &platform.architecture);
    config.os.clone_from(&platform.os);
    config.architecture.clone_from(&platform.architecture);
    if !platform.variant.is_empty() || !alike {
        config.variant.clone_from(&platform.variant);
    }
    if !platform.os_version.is_empty() || !alike {
        config.os_version.clone_from(&platform.os_version);
    }
    if !platform.os_features.is_empty() {
        config.os_features.clone_from(&platform.os_features);
    }
}

/// What stands in a comment for ireko alone.
const OWN_COMMENT: &str = "ireko:cache-ttl=";

/// The lifetime that the comment above an instruction gives its result, in seconds.
fn own_lifetime(at: &Position<'_>) -> Result<Option<u64>, Fault> {
    let instruction = &at.step.instruction;
    let Some(text) = instruction
        .at
        .comments
        .iter()
        .rev()
        .find_map(|comment| comment.trim().strip_prefix(OWN_COMMENT).map(str::trim))
    else {
        return Ok(None);
    };
    let wrong = |why: String| {
        let message = format!("`# {OWN_COMMENT}{text}` above this instruction: {why}");
        fault("bad-lifetime", message, at.step.at(instruction.at.span))
    };
    ireko_dockerfile::duration::lifetime(text).map(Some).map_err(wrong)
}
