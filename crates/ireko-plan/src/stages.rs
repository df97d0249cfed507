//! Which stage stands on what, which names mean which source, and what the targets reach.

use crate::facts::{Facts, ImageName, Need};
use crate::fault::{Fault, Of, fault, suggest, suggest_argument, suggest_stage};
use crate::input::{ContextSpec, PlanInput};
use crate::scope::{Scope, given};
use crate::trigger::{Step, onbuild_steps, own_steps, parse_triggers};
use ireko_dockerfile::words::{Expanded, Lexer};
use ireko_dockerfile::{InstructionKind, Stage, Word};
use ireko_graph::Op;
use ireko_oci::{Platform, Reference};
use ireko_report::{Diagnostic, Span};
use std::collections::BTreeMap;

/// Where a tree comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A stage, by number.
    Stage(usize),
    /// The empty tree.
    Scratch,
    /// An image.
    Image(Box<Wanted>),
    /// A named context that is a directory.
    Directory(String),
    /// What a source node fetches, and what people call it.
    Fetched(Op, String),
}

/// An image, and where it is named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// How it is found.
    pub(crate) name: ImageName,
    /// For which platform.
    pub(crate) platform: Platform,
    /// As the person names it.
    pub(crate) display: String,
    /// Where.
    pub(crate) span: Span,
}

/// What is known of a stage before anything runs.
#[derive(Debug)]
pub(crate) struct StageShape {
    /// Its name, else its number.
    pub(crate) shown: String,
    /// What it starts from.
    pub(crate) base: Source,
    /// A named context stands in the stage's place: its instructions do not run.
    pub(crate) replaced: bool,
    /// Where FROM stands.
    pub(crate) span: Span,
    /// Its instructions, triggers of its base first.
    pub(crate) steps: Vec<Step>,
    /// What its programs run on. FROM decides it for an image; a stage has that of the stage it stands on, and one
    /// from nothing that of the build's target.
    pub(crate) platform: Platform,
    /// Stages that must be done before it begins.
    pub(crate) after: Vec<usize>,
    /// Variables of the Dockerfile at its end, as far as they are known without its base image.
    known: Scope,
    /// Stages it needs, each with the place that needs it first.
    needs: Vec<(usize, Span)>,
    /// Images it needs.
    images: Vec<Wanted>,
}

/// All stages.
pub(crate) struct Stages<'a> {
    input: &'a PlanInput,
    /// Variables of FROM.
    global: &'a Scope,
    /// What is built for.
    pub(crate) target_platform: &'a Platform,
    /// In order of the text.
    pub(crate) shapes: Vec<StageShape>,
}

impl<'a> Stages<'a> {
    /// Finds out what each stage stands on. All that is wrong is said at once.
    pub(crate) fn read(
        input: &'a PlanInput,
        global: &'a Scope,
        target_platform: &'a Platform,
    ) -> Result<Self, Vec<Fault>> {
        let mut stages = Self { input, global, target_platform, shapes: Vec::new() };
        let mut faults = Vec::new();
        for (index, stage) in input.ast.stages.iter().enumerate() {
            match stages.shape(index, stage) {
                Ok(shape) => stages.shapes.push(shape),
                Err(fault) => {
                    faults.push(fault);
                    stages.shapes.push(StageShape::broken(index, stage, target_platform));
                }
            }
        }
        for index in 0..stages.shapes.len() {
            let mut steps = std::mem::take(&mut stages.shapes[index].steps);
            if !stages.shapes[index].replaced {
                let linked =
                    stages.resolve_froms(index, &mut steps).and_then(|()| stages.link(index, &steps));
                faults.extend(linked.err());
            }
            stages.shapes[index].steps = steps;
        }
        if faults.is_empty() {
            faults.extend(stages.cycle());
        }
        if faults.is_empty() { Ok(stages) } else { Err(faults) }
    }

    fn shape(&self, index: usize, stage: &Stage) -> Result<StageShape, Fault> {
        let lexer = Lexer::new(self.input.ast.escape);
        let from = &stage.from;
        let expand = |word: &Word| lexer.word(&word.value, self.global).of(word.span);
        let base = expand(&from.base)?;
        if base.text.is_empty() {
            let message = format!("the base name `{}` is empty after expansion", from.base.value);
            let fault = fault("empty-base", message, from.base.span);
            return Err(match base.unset.iter().next() {
                Some(unset) => suggest_argument(fault, unset, self.meta_names()),
                None => fault,
            });
        }
        let asked = match from.platform.as_ref().filter(|word| !word.value.is_empty()) {
            Some(word) => self.platform(word, &expand(word)?)?,
            None => self.target_platform.clone(),
        };
        let name = from.name.as_ref().map(|name| name.value.as_str());
        let over = name.and_then(|name| self.context(name, from.base.span, &asked));
        let replaced = over.is_some();
        let base = match over {
            Some(source) => source,
            None => match self.named(&base.text, Some(index)) {
                Some(earlier) => Source::Stage(earlier),
                None => self.outside(&base.text, from.base.span, &asked).map_err(|fault| {
                    // A name that is none may be one that a variable should have made whole.
                    match base.unset.iter().next() {
                        Some(unset) => {
                            let message = format!("{}; `{unset}` is not set", fault.message);
                            let fault = Box::new(Diagnostic { message, hint: None, ..*fault });
                            suggest_argument(fault, unset, self.meta_names())
                        }
                        None => fault,
                    }
                })?,
            },
        };
        let platform = match &base {
            Source::Stage(below) => self.shapes[*below].platform.clone(),
            Source::Scratch => self.target_platform.clone(),
            Source::Image(_) | Source::Directory(_) | Source::Fetched(..) => asked,
        };
        let mut steps = Vec::new();
        if let (Source::Stage(below), false) = (&base, replaced) {
            steps = onbuild_steps(&self.input.ast.stages[*below], stage)?;
        }
        steps.extend(own_steps(stage));
        let shown = name.map_or(index.to_string(), str::to_owned);
        let mut shape =
            StageShape { shown, replaced, steps, base, ..StageShape::broken(index, stage, &platform) };
        let base = shape.base.clone();
        shape.need(&base, from.base.span);
        for word in &from.after {
            for name in expand(word)?.text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                let before = self.before(name, index, word.span)?;
                shape.need(&Source::Stage(before), word.span);
                shape.after.push(before);
            }
        }
        Ok(shape)
    }

    /// The stage that `--after` names: one above.
    fn before(&self, name: &str, index: usize, span: Span) -> Result<usize, Fault> {
        let by_number = || name.parse().ok().filter(|number| *number < index);
        self.named(name, Some(index)).or_else(by_number).ok_or_else(|| {
            let message = format!("`--after={name}` names no stage above this one");
            let above = self.input.ast.stages[..index].iter().filter_map(|stage| stage.from.name.as_ref());
            suggest_stage(fault("unknown-stage", message, span), name, above.map(|name| name.value.as_str()))
        })
    }

    fn platform(&self, word: &Word, expanded: &Expanded) -> Result<Platform, Fault> {
        let text = expanded.text.as_str();
        if text.is_empty() {
            let message = format!("the platform `{}` is empty after expansion", word.value);
            let fault = fault("bad-platform", message, word.span);
            let known = ["BUILDPLATFORM", "TARGETPLATFORM"].into_iter().chain(self.meta_names());
            return Err(match expanded.unset.iter().next() {
                Some(unset) => suggest_argument(fault, unset, known.collect()),
                None => fault,
            });
        }
        let wrong = |_| fault("bad-platform", format!("`{text}` is not a platform"), word.span);
        text.parse::<Platform>().map(Platform::normalized).map_err(wrong)
    }

    fn meta_names(&self) -> Vec<&'a str> {
        let args = self.input.ast.meta_args.iter().flat_map(|arg| &arg.args);
        args.map(|arg| arg.name.value.as_str()).collect()
    }

    /// The stage of this name; with `before`, only stages above that one.
    pub(crate) fn named(&self, name: &str, before: Option<usize>) -> Option<usize> {
        let stages = &self.input.ast.stages[..before.unwrap_or(self.input.ast.stages.len())];
        let is =
            |stage: &Stage| stage.from.name.as_ref().is_some_and(|own| own.value.eq_ignore_ascii_case(name));
        stages.iter().rposition(is)
    }

    /// Names of the stages.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.input
            .ast
            .stages
            .iter()
            .filter_map(|stage| stage.from.name.as_ref())
            .map(|name| name.value.as_str())
    }

    /// What a name means that is no stage: nothing, a context, an image.
    fn outside(&self, name: &str, span: Span, platform: &Platform) -> Result<Source, Fault> {
        if name == "scratch" {
            return Ok(Source::Scratch);
        }
        if let Some(source) = self.context(name, span, platform) {
            return Ok(source);
        }
        let wrong = |error: ireko_oci::OciError| {
            let message = format!("`{name}` is no stage, and no image can have this name: {error}");
            let known = self.names().chain(self.input.contexts.keys().map(String::as_str));
            let fault = suggest(fault("bad-reference", message, span), name, known);
            if fault.hint.is_some() { fault } else { suggest_stage(fault, name, self.names()) }
        };
        let reference: Reference = name.parse().map_err(wrong)?;
        let name = ImageName::Reference(reference.or_latest());
        Ok(Source::Image(Box::new(Wanted {
            name,
            platform: platform.clone(),
            display: reference.familiar(),
            span,
        })))
    }

    /// The named context of this name, or of the image that the name means.
    fn context(&self, name: &str, span: Span, platform: &Platform) -> Option<Source> {
        if ["scratch", "context"].iter().any(|own| own.eq_ignore_ascii_case(name)) {
            return None;
        }
        let wanted = context_name(name);
        let (own, spec) = self.input.contexts.iter().find(|(own, _)| context_name(own) == wanted)?;
        let image = match spec {
            ContextSpec::Dir => return Some(Source::Directory(own.clone())),
            ContextSpec::Fetched(op) => return Some(Source::Fetched(op.clone(), own.clone())),
            ContextSpec::Image(reference) if reference.familiar() == "scratch" => {
                return Some(Source::Scratch);
            }
            ContextSpec::Image(reference) => ImageName::Reference(reference.or_latest()),
            ContextSpec::Layout { dir, image } => {
                ImageName::Layout { dir: dir.clone(), image: image.clone() }
            }
            ContextSpec::Made(what) => ImageName::Made(what.clone()),
        };
        Some(Source::Image(Box::new(Wanted {
            name: image,
            platform: platform.clone(),
            display: own.clone(),
            span,
        })))
    }

    /// What `--from` of a COPY means, variables resolved: a number is a stage.
    pub(crate) fn copy_source(&self, name: &str, span: Span) -> Result<Source, Fault> {
        match name.parse::<usize>() {
            Ok(number) if number < self.input.ast.stages.len() => Ok(Source::Stage(number)),
            Ok(number) => Err(fault("unknown-stage", format!("there is no stage number {number}"), span)),
            Err(_) => self.mount_source(name, span),
        }
    }

    /// What `from=` of a mount means. An image is the one for the target, whatever the stage runs on.
    pub(crate) fn mount_source(&self, name: &str, span: Span) -> Result<Source, Fault> {
        match self.named(name, None) {
            Some(stage) => Ok(Source::Stage(stage)),
            None => self.outside(name, span, self.target_platform),
        }
    }

    /// The sources an instruction reads beside its base and the main context, and where it names them.
    fn sources(&self, step: &Step) -> Result<Vec<(Source, Span)>, Fault> {
        match &step.instruction.kind {
            InstructionKind::Copy(copy) => {
                let source = |from: &Word| {
                    let span = step.at(from.span);
                    Ok((self.copy_source(step.named_by(from), span)?, span))
                };
                copy.from.iter().map(source).collect()
            }
            InstructionKind::Run(run) => {
                let mut sources = Vec::new();
                for mount in &run.mounts {
                    if let Some(from) = from_of_mount(&mount.value) {
                        let span = step.at(mount.span);
                        sources.push((self.mount_source(from, span)?, span));
                    }
                }
                Ok(sources)
            }
            _ => Ok(Vec::new()),
        }
    }

    /// Resolves variables in `--from` of copies. What a file comes from must be known before any image is, so only ARG and
    /// ENV of the Dockerfile count.
    fn resolve_froms(&mut self, index: usize, steps: &mut [Step]) -> Result<(), Fault> {
        let mut known = match &self.shapes[index].base {
            Source::Stage(below) => self.shapes[*below].known.clone(),
            _ => Scope::default(),
        };
        for step in steps {
            let lexer = Lexer::new(if step.onbuild { '\\' } else { self.input.ast.escape });
            // What is wrong in these two is told when they are planned.
            let value = |known: &Scope, word: &Word| {
                lexer.word(&word.value, known).of(word.span).map(|found| found.text)
            };
            match &step.instruction.kind {
                InstructionKind::Arg(args) => {
                    for arg in args {
                        let own = arg.value.as_ref().and_then(|word| value(&known, word).ok());
                        let given = given(self.input, &arg.name.value).map(str::to_owned);
                        let outer = || self.global.value(&arg.name.value).map(str::to_owned);
                        if let Some(value) = given.or(own).or_else(outer) {
                            known.set(&arg.name.value, &value);
                        }
                    }
                }
                InstructionKind::Env(pairs) => {
                    // All with the variables from before the instruction.
                    let values: Vec<_> = pairs.iter().map(|pair| value(&known, &pair.value)).collect();
                    for (pair, value) in pairs.iter().zip(values) {
                        if let Ok(value) = value {
                            known.set(&pair.name.value, &value);
                        }
                    }
                }
                InstructionKind::Copy(copy) => {
                    if let Some(word) =
                        copy.from.as_ref().filter(|word| word.value.contains(['$', '"', '\'', '\\']))
                    {
                        step.from =
                            Some(from_of_copy(lexer, word, step.at(word.span), (&known, self.global))?);
                    }
                }
                _ => {}
            }
        }
        self.shapes[index].known = known;
        Ok(())
    }

    fn link(&mut self, index: usize, steps: &[Step]) -> Result<(), Fault> {
        for step in steps {
            for (source, span) in self.sources(step)? {
                self.shapes[index].need(&source, span);
            }
        }
        Ok(())
    }

    /// A stage that needs itself, through whatever others.
    fn cycle(&self) -> Option<Fault> {
        let mut open: Vec<usize> = (0..self.shapes.len()).collect();
        let mut closed = vec![false; self.shapes.len()];
        loop {
            let (ready, rest): (Vec<usize>, Vec<usize>) = open
                .iter()
                .partition(|index| self.shapes[**index].needs.iter().all(|(need, _)| closed[*need]));
            if ready.is_empty() {
                break;
            }
            ready.iter().for_each(|index| closed[*index] = true);
            open = rest;
        }
        // Whoever follows an unmet need often enough is on the circle.
        let unmet = |index: usize| self.shapes[index].needs.iter().find(|(need, _)| !closed[*need]).copied();
        let mut start = *open.first()?;
        for _ in &open {
            start = unmet(start)?.0;
        }
        let mut circle = vec![(start, unmet(start)?)];
        while let Some(&(_, (next, _))) = circle.last()
            && next != start
        {
            circle.push((next, unmet(next)?));
        }
        // It begins with a stage that needs itself or one below it: each circle has one, and no order of stages allows it.
        let first = circle.iter().position(|(index, (need, _))| need >= index)?;
        circle.rotate_left(first);
        let shown = |index: usize| self.shapes[index].shown.as_str();
        let names: Vec<&str> =
            circle.iter().map(|(index, _)| shown(*index)).chain([shown(circle[0].0)]).collect();
        let message = format!("circular dependency detected on stage: `{}`", names[0]);
        let mut fault = Diagnostic::error("stage-cycle", message);
        for (index, (need, span)) in &circle {
            let text = format!("`{}` needs `{}`", shown(*index), shown(*need));
            fault = fault.label(*span, if circle.len() > 1 { text } else { String::new() });
        }
        Some(Box::new(fault.with_note(format!("`{}`", names.join("` needs `")))))
    }

    /// The stage that a target names; none means the last one.
    pub(crate) fn target(&self, name: Option<&str>) -> Result<usize, Fault> {
        let stages = &self.input.ast.stages;
        let Some(last) = stages.len().checked_sub(1) else {
            return Err(Box::new(ireko_report::Diagnostic::error(
                "no-stages",
                "the Dockerfile has no stage to build: it needs a FROM",
            )));
        };
        let Some(name) = name else { return Ok(last) };
        let by_number = || name.parse().ok().filter(|number| *number <= last);
        self.named(name, None).or_else(by_number).ok_or_else(|| {
            let message = format!("target stage `{name}` could not be found");
            let fault = Box::new(ireko_report::Diagnostic::error("unknown-target", message));
            suggest_stage(fault, name, self.names())
        })
    }

    /// Which stages the target needs, itself included; or what must be known to say so.
    pub(crate) fn reach(&mut self, target: usize, facts: &Facts) -> Result<Reach, Fault> {
        let mut reach = Reach { wanted: vec![false; self.shapes.len()], needs: BTreeMap::new() };
        let mut todo = vec![target];
        while let Some(index) = todo.pop() {
            if std::mem::replace(&mut reach.wanted[index], true) {
                continue;
            }
            if let (Source::Image(wanted), false) =
                (self.shapes[index].base.clone(), self.shapes[index].replaced)
                && let Some(fact) = facts.image(&wanted.name, &wanted.platform)
            {
                self.take_triggers(index, &fact.config.config.on_build)?;
            }
            for wanted in &self.shapes[index].images {
                if facts.image(&wanted.name, &wanted.platform).is_none() {
                    let need = self.need(index, wanted);
                    let key = (wanted.name.clone(), wanted.platform.clone());
                    reach.needs.entry(key).or_insert(need);
                }
            }
            todo.extend(self.shapes[index].needs.iter().map(|(need, _)| *need));
        }
        if let Some(fault) = self.cycle() {
            return Err(fault);
        }
        Ok(reach)
    }

    fn take_triggers(&mut self, index: usize, triggers: &[String]) -> Result<(), Fault> {
        if triggers.is_empty() {
            return Ok(());
        }
        let mut steps = parse_triggers(triggers, &self.input.ast.stages[index])?;
        self.resolve_froms(index, &mut steps)?;
        self.link(index, &steps)?;
        steps.append(&mut self.shapes[index].steps);
        self.shapes[index].steps = steps;
        Ok(())
    }

    fn need(&self, index: usize, wanted: &Wanted) -> Need {
        let all = &self.input.ast.stages;
        // FROM sees the stages above it, everything else sees all of them.
        let seen = if wanted.span == self.shapes[index].span { index } else { all.len() };
        let name = |stage: &Stage| stage.from.name.as_ref().map(|name| name.value.clone());
        let later = all.iter().skip(seen + 1).find(|stage| name(stage).as_ref() == Some(&wanted.display));
        Need {
            image: wanted.name.clone(),
            platform: wanted.platform.clone(),
            display: wanted.display.clone(),
            span: Some(wanted.span),
            stages: all[..seen].iter().filter_map(name).collect(),
            contexts: self.input.contexts.keys().cloned().collect(),
            later: later.map(|stage| *stage.at.lines.start()),
        }
    }
}

/// What a target reaches.
pub(crate) struct Reach {
    /// By stage.
    pub(crate) wanted: Vec<bool>,
    /// What is not known yet.
    pub(crate) needs: BTreeMap<(ImageName, Platform), Need>,
}

impl StageShape {
    fn broken(index: usize, stage: &Stage, platform: &Platform) -> Self {
        Self {
            shown: index.to_string(),
            base: Source::Scratch,
            replaced: false,
            span: stage.from.base.span,
            steps: Vec::new(),
            platform: platform.clone(),
            after: Vec::new(),
            known: Scope::default(),
            needs: Vec::new(),
            images: Vec::new(),
        }
    }

    fn need(&mut self, source: &Source, span: Span) {
        match source {
            Source::Stage(index) if !self.needs.iter().any(|(need, _)| need == index) => {
                self.needs.push((*index, span));
            }
            Source::Image(wanted) if !self.images.contains(wanted) => self.images.push((**wanted).clone()),
            _ => {}
        }
    }
}

/// A context's name and an image's compare in the form people write them, without `:latest`.
fn context_name(name: &str) -> String {
    let familiar = name.parse::<Reference>().map_or(name.to_ascii_lowercase(), |name| name.familiar());
    familiar.strip_suffix(":latest").map_or(familiar.clone(), str::to_owned)
}

/// `--from` of a COPY with its variables resolved.
fn from_of_copy(
    lexer: Lexer,
    word: &Word,
    span: Span,
    (known, global): (&Scope, &Scope),
) -> Result<String, Fault> {
    let found = lexer.word(&word.value, known).of(span)?;
    let names = known.names();
    let unset = found.unset.iter().next();
    let message = match unset {
        Some(name) => format!("`--from={}` needs the variable `{name}`, which is not set here", word.value),
        None if found.text.is_empty() => format!("`--from={}` is empty after expansion", word.value),
        None => return Ok(found.text),
    };
    let mut fault = suggest(fault("copy-from", message, span), unset.map_or("", String::as_str), names);
    let hint = match unset.filter(|name| global.value(name).is_some()) {
        Some(name) => format!("an ARG above the first FROM is seen in a stage that says `ARG {name}` too"),
        None => "what it names must be known before any image is: ARG and ENV of the Dockerfile count, those of a base image do not".to_owned(),
    };
    if fault.hint.is_none() || unset.is_some_and(|name| global.value(name).is_some()) {
        fault.hint = Some(hint);
    }
    Err(fault)
}

/// The value of `from=` in a mount. The parser has seen that it holds no variable.
fn from_of_mount(mount: &str) -> Option<&str> {
    let fields = mount.split(',').map(|field| field.trim_matches('"'));
    let pairs = fields.filter_map(|field| field.split_once('='));
    let (_, from) = pairs.rev().find(|(name, _)| name.eq_ignore_ascii_case("from"))?;
    Some(from).filter(|from| !from.is_empty())
}
