//! From a Dockerfile to a plan: plan, answer what it asks for, plan again.

use crate::debian_context;
use crate::dockerfile::Source;
use crate::environment::Environment;
use crate::failure::{Failure, in_source};
use ireko_dockerfile::Ast;
use ireko_image::{Images, Source as ImagePlace};
use ireko_oci::{Digest, ImageConfig, Platform};
use ireko_plan::{Facts, ImageFact, ImageName, Need, Plan, PlanInput, Planned};
use ireko_report::{Blame, Diagnostic, Event, Sink, SourceText, Span, is_misspelt, nearest_names};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// A plan and what was learnt on the way to it.
pub(crate) struct Settled {
    /// The plan.
    pub(crate) plan: Plan,
    /// The images it stands on.
    pub(crate) bases: Vec<Base>,
    /// Their configs, by name and platform.
    pub(crate) configs: Configs,
}

/// Configs of images, by the names that the Dockerfile has for them and the platform they were asked for.
pub(crate) type Configs = BTreeMap<(String, Platform), ImageConfig>;

/// An image that a build stands on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Base {
    /// As the Dockerfile names it.
    pub(crate) name: String,
    /// For which platform it was asked.
    pub(crate) platform: Platform,
    /// The digest its name led to.
    pub(crate) digest: Digest,
}

/// Parses the Dockerfile; a mistake in it is a failure that shows where. What else was found is said, but for what a
/// rule of the inspection says.
pub(crate) fn parse(
    source: &Source,
    build_args: &[(String, Option<String>)],
    sink: &dyn Sink,
) -> Result<(Ast, Vec<Diagnostic>), Failure> {
    let (ast, diagnostics) = ireko_dockerfile::parse(&source.name, &source.text);
    // What reads like a mistake may be none in another language.
    if let Some(other) = ireko_plan::other_language(&ast, build_args) {
        return Err(in_source(&[other], &ast.source));
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(in_source(&diagnostics, &ast.source));
    }
    not_of_a_rule(&diagnostics).for_each(|diagnostic| warn(sink, diagnostic.clone(), &ast.source));
    Ok((ast, diagnostics))
}

/// The parser's warnings that are no rule's.
pub(crate) fn not_of_a_rule(diagnostics: &[Diagnostic]) -> impl Iterator<Item = &Diagnostic> {
    diagnostics.iter().filter(|found| !found.is_error() && found.code != "no-empty-continuation")
}

/// Says a warning with its place; who reads the events has no text to look it up in.
pub(crate) fn warn(sink: &dyn Sink, mut diagnostic: Diagnostic, source: &SourceText) {
    if let Some(span) = diagnostic.span() {
        let at = source.position(span.start);
        diagnostic.notes.insert(0, format!("--> {}:{}:{}", source.name(), at.line, at.column));
    }
    sink.emit(Event::Warning { diagnostic });
}

/// Makes base images, or knows those that were made.
pub(crate) trait MakesBases {
    /// The base that these words of a named context ask for.
    fn base(&self, what: &str, platform: &Platform) -> Result<ireko_image::Resolved, Failure>;
}

/// Where the images of a Dockerfile come from.
#[derive(Clone, Copy)]
pub(crate) struct Places<'a> {
    pub(crate) images: &'a Images,
    pub(crate) bases: &'a dyn MakesBases,
}

/// Plans until nothing is missing.
pub(crate) fn settle(input: &PlanInput, places: Places<'_>, sink: &dyn Sink) -> Result<Settled, Failure> {
    let mut facts = Facts::default();
    let mut bases: BTreeSet<Base> = BTreeSet::new();
    let mut origins = BTreeMap::new();
    let mut configs = BTreeMap::new();
    let plan = loop {
        match ireko_plan::plan(input, &facts) {
            Planned::Ready(plan) => break *plan,
            Planned::Broken(diagnostics) => return Err(in_source(&diagnostics, &input.ast.source)),
            Planned::Needs(needs) => {
                for need in needs {
                    let resolved = resolve(&need, places, input)?;
                    bases.insert(Base {
                        name: need.display.clone(),
                        platform: need.platform.clone(),
                        digest: resolved.digest,
                    });
                    configs.insert(key_of(&need), resolved.config.clone());
                    facts.answer(&need, fact_of(&resolved));
                    origins.insert(resolved.config_digest, (resolved.from, resolved.digest));
                }
            }
        }
    };
    for image in &plan.images {
        if let Some((from, digest)) = origins.get(&image.config) {
            let node = image.node.map_or(0, |node| node.0);
            let reference = match input.target_platforms.len() {
                0 | 1 => image.display.clone(),
                _ => format!("{} for {}", image.display, image.platform),
            };
            sink.emit(Event::BaseResolved {
                node,
                reference,
                from: from.clone(),
                digest: digest.to_string(),
            });
        }
    }
    for diagnostic in &plan.warnings {
        warn(sink, diagnostic.clone(), &input.ast.source);
    }
    Ok(Settled { plan, bases: bases.into_iter().collect(), configs })
}

/// What can be known of the images of a Dockerfile that is only looked at.
#[derive(Default)]
pub(crate) struct Known {
    /// Configs, by name and platform.
    pub(crate) configs: Configs,
    /// What a build would fail with.
    pub(crate) failure: Option<Failure>,
    /// Where it stands in the text.
    pub(crate) places: Vec<Span>,
}

/// Plans the targets, or every stage where none is asked for, each by itself: an image that cannot be had, or a mistake,
/// leaves the others alone. What works somewhere but not here yet is no mistake.
pub(crate) fn look(mut input: PlanInput, places: Places<'_>) -> Known {
    let targets: Vec<String> = match std::mem::take(&mut input.targets) {
        // The last first: a plan that is whole answers for the stages below it too.
        none if none.is_empty() => (0..input.ast.stages.len()).rev().map(|index| index.to_string()).collect(),
        targets => targets,
    };
    let mut looker =
        Looker { input, places, facts: Facts::default(), lost: BTreeSet::new(), known: Known::default() };
    let mut faults: Vec<Diagnostic> = Vec::new();
    let mut covered: BTreeSet<String> = BTreeSet::new();
    for target in targets {
        if covered.contains(&target) {
            continue;
        }
        match looker.plan(target) {
            Looked::Whole(stages) => covered.extend(stages.iter().map(usize::to_string)),
            Looked::Broken(found) => faults.extend(found.into_iter().filter(|it| it.code != "not-supported")),
            Looked::Lost => {}
        }
    }
    faults.sort_by_key(|fault| fault.span().map(|span| span.start));
    let Looker { input, mut known, .. } = looker;
    // Several stages meet one mistake.
    let mut seen: Vec<Diagnostic> = Vec::new();
    for fault in faults.into_iter().filter(Diagnostic::is_error) {
        if !seen.contains(&fault) {
            seen.push(fault);
        }
    }
    if let Some(first) = seen.first() {
        known.failure = Some(in_source(&seen, &input.ast.source));
        known.places = first.labels.iter().map(|label| label.span).collect();
    }
    known
}

/// Plans stages without building them.
struct Looker<'a> {
    input: PlanInput,
    places: Places<'a>,
    facts: Facts,
    /// Images that cannot be had.
    lost: BTreeSet<(ImageName, Platform)>,
    known: Known,
}

/// What planning a stage came to.
enum Looked {
    /// They are sound, and so are the stages that they stand on and read.
    Whole(BTreeSet<usize>),
    /// An image cannot be had.
    Lost,
    Broken(Vec<Diagnostic>),
}

impl Looker<'_> {
    fn plan(&mut self, target: String) -> Looked {
        self.input.targets = vec![target];
        let asked = |need: &Need| (need.image.clone(), need.platform.clone());
        loop {
            let needs = match ireko_plan::plan(&self.input, &self.facts) {
                Planned::Ready(plan) => return Looked::Whole(plan.stages),
                Planned::Broken(found) => return Looked::Broken(found),
                Planned::Needs(needs) => needs,
            };
            for need in &needs {
                if self.lost.contains(&asked(need)) {
                    continue;
                }
                match resolve(need, self.places, &self.input) {
                    Ok(resolved) => {
                        self.known.configs.insert(key_of(need), resolved.config.clone());
                        self.facts.answer(need, fact_of(&resolved));
                    }
                    Err(failure) => {
                        self.lost.insert(asked(need));
                        if self.known.failure.is_none() {
                            self.known.failure = Some(failure);
                            self.known.places = need.span.into_iter().collect();
                        }
                    }
                }
            }
            if needs.iter().any(|need| self.lost.contains(&asked(need))) {
                return Looked::Lost;
            }
        }
    }
}

fn key_of(need: &Need) -> (String, Platform) {
    (need.display.clone(), need.platform.clone().normalized())
}

fn fact_of(resolved: &ireko_image::Resolved) -> ImageFact {
    ImageFact {
        config: resolved.config.clone(),
        config_digest: resolved.config_digest,
        resolved: Some(resolved.digest),
    }
}

fn resolve(need: &Need, places: Places<'_>, input: &PlanInput) -> Result<ireko_image::Resolved, Failure> {
    let place = match &need.image {
        ImageName::Reference(reference) => ImagePlace::Reference(reference.clone()),
        ImageName::Layout { dir, image } => {
            ImagePlace::Layout { dir: PathBuf::from(dir), image: image.clone() }
        }
        ImageName::Made(what) => {
            return places
                .bases
                .base(what, &need.platform)
                .map_err(|failure| unmade(need, what, failure, input));
        }
    };
    places.images.resolve(&place, &need.platform).map_err(|error| unresolved(need, &error, input))
}

/// A base that could not be made.
fn unmade(need: &Need, what: &str, mut failure: Failure, input: &PlanInput) -> Failure {
    failure.message = format!("`--build-context {}={what}`: {}", need.display, failure.message);
    failure.details.splice(0..0, place_of(need, &failure.message, input));
    failure
}

/// Where the Dockerfile asks for an image.
fn place_of(need: &Need, message: &str, input: &PlanInput) -> Vec<String> {
    let Some(span) = need.span else { return Vec::new() };
    let diagnostic = Diagnostic::error("base-image", message).label(span, "asked for here");
    crate::failure::frame(&diagnostic, &input.ast.source)
}

/// An image that could not be had. A bare name may have been meant for a stage or a context.
fn unresolved(need: &Need, error: &ireko_image::Error, input: &PlanInput) -> Failure {
    use ireko_image::Error::{NoImage, NotInStore, Offline, Registry};
    let mut failure = Failure::of(error.blame(), error);
    failure.hint = error.hint().map(|hint| hint.to_string());
    let name = need.display.as_str();
    let is_bare = !name.contains(['/', ':', '@']) && matches!(&need.image, ImageName::Reference(_));
    if is_bare && matches!(error, NoImage { .. } | NotInStore { .. } | Registry(_)) {
        let near = nearest_names(name, need.stages.iter().chain(&need.contexts).map(String::as_str));
        if near.iter().any(|near| is_misspelt(name, near)) {
            failure.causes.insert(0, failure.message);
            failure.message = format!("no stage, build context or image is called `{name}`");
            failure.blame = Blame::User;
        }
        let kind = |near: &&str| match need.stages.iter().any(|stage| stage == near) {
            true => format!("the stage `{near}`"),
            false => format!("the build context `{near}`"),
        };
        let meant = near.iter().map(kind).collect::<Vec<_>>().join(" or ");
        if let Some(line) = need.later {
            failure.hint = Some(format!(
                "the stage `{name}` begins in line {line}, and FROM can name only stages above it"
            ));
        } else if !near.is_empty() {
            failure.hint = Some(format!(
                "did you mean {meant}? files from elsewhere get a name by `--build-context {name}=DIR`"
            ));
        } else if !need.stages.is_empty() {
            let stages = need.stages.iter().map(|stage| format!("`{stage}`")).collect::<Vec<_>>().join(", ");
            let hint = failure.hint.map_or(String::new(), |hint| format!("; if it is an image: {hint}"));
            failure.hint = Some(format!("if a stage is meant, there is {stages}{hint}"));
        }
    }
    if let (
        ImageName::Reference(reference),
        NoImage { .. } | NotInStore { .. } | Offline { .. } | Registry(_),
    ) = (&need.image, error)
        && let Some(instead) = debian_context::instead_of(reference)
    {
        let hint = failure.hint.map_or(String::new(), |hint| format!("{hint}; "));
        failure.hint = Some(format!("{hint}{instead}"));
    }
    failure.details = place_of(need, &failure.message, input);
    failure
}

/// The variable that stands for `--platform` where that is not given, as for Docker.
const DEFAULT_PLATFORM: &str = "DOCKER_DEFAULT_PLATFORM";

/// One platform by its name, and where the name came from; the flag wins over the variable.
pub(crate) fn platform_named(
    flag: Option<&str>,
    environment: &Environment,
) -> Result<Option<(Platform, String)>, Failure> {
    let (text, from) = match (flag, environment.get(DEFAULT_PLATFORM)) {
        (Some(text), _) => (text, format!("--platform {text}")),
        (None, Some(text)) => (text, format!("{DEFAULT_PLATFORM}={text}")),
        (None, None) => return Ok(None),
    };
    if text == "local" {
        return Ok(None);
    }
    Ok(Some((parsed(text, &from)?, from)))
}

/// One platform by a flag that has no variable beside it.
pub(crate) fn named_platform(text: &str) -> Result<Platform, Failure> {
    if text == "local" { Ok(Platform::host()) } else { parsed(text, &format!("--platform {text}")) }
}

fn parsed(text: &str, from: &str) -> Result<Platform, Failure> {
    text.trim().parse().map(Platform::normalized).map_err(|error: ireko_oci::OciError| {
        Failure::user(format!("`{from}` is no platform"))
            .cause(error)
            .hint("platforms look like linux/amd64 or linux/arm/v7; several are separated by commas")
    })
}

/// The platforms that were asked for, each once; none where nobody asked, and then it is this machine's.
pub(crate) fn platforms(wanted: &[String], environment: &Environment) -> Result<Vec<Platform>, Failure> {
    let variable = environment.get(DEFAULT_PLATFORM).unwrap_or_default();
    let asked: Vec<(&str, String)> = match wanted {
        [] if variable.is_empty() => Vec::new(),
        [] => variable.split(',').map(|text| (text, format!("{DEFAULT_PLATFORM}={variable}"))).collect(),
        wanted => wanted.iter().map(|text| (text.as_str(), format!("--platform {text}"))).collect(),
    };
    let mut platforms = Vec::new();
    // A comma too many names nothing.
    for (text, from) in asked.into_iter().filter(|(text, _)| !text.is_empty()) {
        let platform = if text == "local" { Platform::host() } else { parsed(text, &from)? };
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    Ok(platforms)
}
