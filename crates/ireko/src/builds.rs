//! What is kept of each build: what ran, what was remembered, how long it took, and where the logs are.

use crate::cli::BuildArgs;
use crate::environment;
use crate::failure::Failure;
use crate::session::Session;
use ireko_graph::op::shown;
use ireko_oci::{Platform, Timestamp};
use ireko_report::{Event, StepEnd};
use ireko_store::Store;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// The form of a record; another one is passed over.
const VERSION: u32 = 1;
/// The end of the names of records, which lie beside the logs they tell of.
const ENDING: &str = ".build";

/// A build that ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Build {
    version: u32,
    /// What it is called: short, and no other build of the store has it now.
    #[serde(default, skip_serializing)]
    pub(crate) id: String,
    /// The whole of that, which stays.
    #[serde(default, skip_serializing)]
    pub(crate) name: String,
    /// When it began, in milliseconds since 1970.
    pub(crate) began_ms: i64,
    pub(crate) elapsed_ms: u64,
    pub(crate) success: bool,
    /// Why not.
    pub(crate) error: Option<String>,
    /// Where the files came from.
    pub(crate) context: String,
    pub(crate) dockerfile: String,
    pub(crate) targets: Vec<String>,
    pub(crate) platforms: Vec<String>,
    /// Where the result went, each with the digest of the image.
    pub(crate) results: Vec<(String, Option<String>)>,
    pub(crate) steps: Vec<BuildStep>,
}

/// A step of a build.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct BuildStep {
    /// As shown: `[app 2/5] RUN make`.
    pub(crate) display: String,
    /// `hit`, `ran`, `cut-off`, `adopted`, `failed` or `cancelled`; nothing if it never started.
    pub(crate) end: Option<String>,
    /// From the build's begin.
    pub(crate) started_ms: u64,
    pub(crate) elapsed_ms: u64,
    /// Why it was no hit, in one line.
    pub(crate) miss: Option<String>,
    /// Every difference.
    pub(crate) why: Vec<String>,
    /// Its whole log, if it wrote any.
    pub(crate) log: Option<PathBuf>,
}

impl Build {
    /// It failed after all. What went somewhere before is no result of a build that has none.
    fn fail(&mut self, error: String) {
        (self.success, self.error) = (false, Some(error));
        self.results.clear();
    }

    /// Steps that did not have to run.
    pub(crate) fn hits(&self) -> usize {
        let is_hit = |step: &&BuildStep| matches!(step.end.as_deref(), Some("hit" | "cut-off"));
        self.steps.iter().filter(is_hit).count()
    }

    /// How it ended, in a word.
    pub(crate) fn outcome(&self) -> &'static str {
        match (self.success, self.error.as_deref()) {
            (true, _) => "done",
            (false, Some("interrupted")) => "interrupted",
            (false, _) => "failed",
        }
    }
}

/// Collects what a build's events say of it.
#[derive(Debug)]
pub(crate) struct Recorder {
    began: Instant,
    steps: BTreeMap<u32, BuildStep>,
    results: Vec<(String, Option<String>)>,
}

impl Recorder {
    pub(crate) fn new(began: Instant) -> Self {
        Self { began, steps: BTreeMap::new(), results: Vec::new() }
    }

    fn now(&self) -> u64 {
        millis(self.began.elapsed())
    }

    pub(crate) fn take(&mut self, event: &Event) {
        let now = self.now();
        match event {
            Event::StepQueued { node, display, .. } => {
                let step = BuildStep {
                    display: display.clone(),
                    end: None,
                    started_ms: 0,
                    elapsed_ms: 0,
                    miss: None,
                    why: Vec::new(),
                    log: None,
                };
                self.steps.insert(*node, step);
            }
            Event::StepStarted { node } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.started_ms = now;
                }
            }
            Event::StepLogFile { node, path } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.log = Some(PathBuf::from(path));
                }
            }
            Event::MissExplained { node, lines } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.why.clone_from(lines);
                }
            }
            Event::StepFinished { node, end, miss } => {
                if let Some(step) = self.steps.get_mut(node) {
                    step.elapsed_ms = match end {
                        StepEnd::Ran { elapsed_ms } | StepEnd::Adopted { elapsed_ms } => *elapsed_ms,
                        _ => now.saturating_sub(step.started_ms),
                    };
                    step.end = Some(word(end).to_owned());
                    step.miss = miss.as_ref().map(ToString::to_string);
                }
            }
            Event::Exported { destination, image, .. } => {
                self.results.push((destination.clone(), image.clone()));
            }
            _ => {}
        }
    }

    /// The record of the build that ended now.
    pub(crate) fn finish(&mut self, ended: Timestamp, context: String, dockerfile: String) -> Build {
        let elapsed_ms = self.now();
        Build {
            version: VERSION,
            id: String::new(),
            name: String::new(),
            began_ms: ended.seconds() * 1000 + i64::from(ended.nanos() / 1_000_000) - elapsed_ms as i64,
            elapsed_ms,
            success: true,
            error: None,
            context,
            dockerfile,
            targets: Vec::new(),
            platforms: Vec::new(),
            results: std::mem::take(&mut self.results),
            steps: std::mem::take(&mut self.steps).into_values().collect(),
        }
    }
}

fn word(end: &StepEnd) -> &'static str {
    match end {
        StepEnd::Hit => "hit",
        StepEnd::Ran { .. } => "ran",
        StepEnd::CutOff => "cut-off",
        StepEnd::Adopted { .. } => "adopted",
        StepEnd::Failed { .. } => "failed",
        StepEnd::Cancelled => "cancelled",
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Keeps the record of a build.
fn keep(store: &Store, build: &Build) -> Result<(), Failure> {
    let (mut file, path) = store.log_file("build")?;
    let failed =
        |error: std::io::Error| Failure::environment("cannot keep the record of the build").cause(error);
    let text = serde_json::to_vec(build).map_err(|error| failed(error.into()))?;
    file.write_all(&text).map_err(failed)?;
    // Only whole ones have the ending that is looked for.
    fs::rename(&path, path.with_extension(ENDING.trim_start_matches('.'))).map_err(failed)
}

/// Keeps what is told of the build later; a build does not fail for want of that.
pub(crate) fn remember(
    (session, store): (&Session, &Store),
    args: &BuildArgs,
    platforms: &[Platform],
    failure: Option<&Failure>,
) {
    let now = environment::now();
    let file = shown(args.source.file.as_deref().unwrap_or("Dockerfile"));
    // A directory is told apart from others by its whole path.
    let context = match std::path::absolute(&args.source.context) {
        Ok(path) if path.is_dir() => path.display().to_string(),
        _ => shown(&args.source.context),
    };
    let mut build = session.screen.record(|recorder| recorder.finish(now, context, file));
    build.targets.clone_from(&args.source.target);
    build.platforms = platforms.iter().map(ToString::to_string).collect();
    // What never got to a step is not worth remembering.
    if build.steps.is_empty() && build.results.is_empty() {
        return;
    }
    if let Some(failure) = failure {
        build.fail(failure.message.clone());
    }
    if let Err(failure) = keep(store, &build) {
        session.screen.note(&format!("warning: {}", failure.message));
    }
}

/// All records, the last first.
pub(crate) fn all(store: &Store) -> Result<Vec<Build>, Failure> {
    let mut builds = Vec::new();
    for entry in fs::read_dir(store.log_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let Some(name) = name.strip_suffix(ENDING) else { continue };
        let text = fs::read(entry.path()).unwrap_or_default();
        // One of another version, or that lost its end with the machine's power, is no record.
        let Ok(mut build) = serde_json::from_slice::<Build>(&text) else { continue };
        if build.version == VERSION {
            build.name = name.trim_start_matches("build-").to_owned();
            builds.push(build);
        }
    }
    name_shortly(&mut builds);
    builds.sort_by(|one, other| (other.began_ms, &other.name).cmp(&(one.began_ms, &one.name)));
    Ok(builds)
}

/// Fewest letters that stand for a build.
const LETTERS: usize = 4;

/// Calls each build by the shortest end of its name that no other has: the ends are what differs.
fn name_shortly(builds: &mut [Build]) {
    let backwards = |name: &str| name.chars().rev().collect::<String>();
    builds.sort_by_cached_key(|build| backwards(&build.name));
    let same = |one: &str, other: &str| {
        one.chars().rev().zip(other.chars().rev()).take_while(|(one, other)| one == other).count()
    };
    let between: Vec<usize> = builds.windows(2).map(|two| same(&two[0].name, &two[1].name)).collect();
    for (at, build) in builds.iter_mut().enumerate() {
        let before = at.checked_sub(1).and_then(|at| between.get(at)).copied().unwrap_or(0);
        let after = between.get(at).copied().unwrap_or(0);
        let letters = (before.max(after) + 1).max(LETTERS);
        let all = build.name.chars().count();
        build.id = build.name.chars().skip(all.saturating_sub(letters)).collect();
    }
}

/// The builds among all that this may be the id of.
fn called<'b>(builds: &'b [Build], id: &str) -> Vec<&'b Build> {
    let is_id = id.len() >= LETTERS && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    builds.iter().filter(|build| is_id && build.name.ends_with(id)).collect()
}

/// The one build of this id; nothing where there is none.
pub(crate) fn named<'b>(builds: &'b [Build], id: &str) -> Result<Option<&'b Build>, Failure> {
    match called(builds, id).as_slice() {
        [] => Ok(None),
        [build] => Ok(Some(build)),
        several => {
            let ids: Vec<String> = several.iter().map(|build| format!("`{}`", build.id)).collect();
            let message = format!("{} builds end in `{id}`", ids.len());
            Err(Failure::user(message).hint(format!("write more of it: {}", ids.join(", "))))
        }
    }
}

/// The last build.
pub(crate) fn last(builds: &[Build]) -> Result<&Build, Failure> {
    builds.first().ok_or_else(|| {
        Failure::user("no build is remembered").hint("records of builds are kept for as long as their logs")
    })
}

/// The build of this id, or the last one where none is asked for.
pub(crate) fn find<'b>(builds: &'b [Build], id: Option<&str>) -> Result<&'b Build, Failure> {
    let Some(id) = id else { return last(builds) };
    named(builds, id)?.ok_or_else(|| {
        Failure::user(format!("there is no build `{id}`"))
            .hint("`ireko history` lists those that are remembered")
    })
}

/// The build before this one in which the same step of the same context ran.
pub(crate) fn ran_before<'b>(builds: &'b [Build], build: &Build, step: &BuildStep) -> Option<&'b Build> {
    let ran = |other: &BuildStep| {
        other.display == step.display && matches!(other.end.as_deref(), Some("ran" | "adopted"))
    };
    let earlier = builds.iter().skip_while(|other| other.name != build.name).skip(1);
    earlier.filter(|other| other.context == build.context).find(|other| other.steps.iter().any(ran))
}

/// The steps that a text means: a number as in `2/5`, a stage with it, or a part of the instruction. All where nothing is
/// asked for.
pub(crate) fn steps<'a>(build: &'a Build, asked: &str) -> Vec<&'a BuildStep> {
    let asked = asked.trim();
    let is_number =
        asked.split('/').all(|part| !part.is_empty() && part.bytes().all(|it| it.is_ascii_digit()));
    let fits = |step: &&BuildStep| {
        let head = step.display.split(']').next().unwrap_or_default().trim_start_matches('[');
        match is_number {
            true if asked.contains('/') => head.split(' ').any(|word| word == asked),
            true => head.split(' ').any(|word| word.split('/').next() == Some(asked)),
            false => step.display.contains(asked),
        }
    };
    build.steps.iter().filter(fits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ireko_report::MissReason;

    fn build() -> Build {
        let mut recorder = Recorder::new(Instant::now());
        for (node, display) in [(1, "[app 2/5] RUN make"), (2, "[app 12/15] COPY a b"), (3, "[2/3] RUN true")]
        {
            let (stage, display) = ("app".to_owned(), display.to_owned());
            recorder.take(&Event::StepQueued { node, stage, display, platform: None });
            recorder.take(&Event::StepStarted { node });
        }
        let miss = Some(MissReason::FileChanged { path: "a".to_owned() });
        recorder.take(&Event::StepFinished { node: 1, end: StepEnd::Ran { elapsed_ms: 7 }, miss });
        recorder.take(&Event::StepFinished { node: 3, end: StepEnd::Hit, miss: None });
        recorder.finish(Timestamp::from_unix(5, 0), "c".to_owned(), "d".to_owned())
    }

    #[test]
    fn a_build_is_told_by_its_events() {
        let build = build();
        assert_eq!((build.hits(), build.outcome(), build.steps.len()), (1, "done", 3));
        assert_eq!(build.steps[0].miss.as_deref(), Some("`a` changed"));
        let text = serde_json::to_vec(&build).expect("JSON");
        assert_eq!(serde_json::from_slice::<Build>(&text).expect("a build"), build);
    }

    #[test]
    fn a_build_that_failed_has_no_result() {
        let mut recorder = Recorder::new(Instant::now());
        let destination = "app:1 to the store".to_owned();
        recorder.take(&Event::Exported { destination, image: None, manifest: None, bytes: 0 });
        let mut build = recorder.finish(Timestamp::from_unix(5, 0), String::new(), String::new());
        assert_eq!(build.results.len(), 1);
        build.fail("no registry".to_owned());
        assert_eq!((build.outcome(), build.results.len()), ("failed", 0));
    }

    #[test]
    fn steps_are_meant_by_number_stage_or_text() {
        let build = build();
        let shown =
            |asked: &str| steps(&build, asked).iter().map(|step| step.display.as_str()).collect::<Vec<_>>();
        assert_eq!(shown("2"), ["[app 2/5] RUN make", "[2/3] RUN true"]);
        assert_eq!(shown("2/5"), ["[app 2/5] RUN make"]);
        assert_eq!(shown("12"), ["[app 12/15] COPY a b"]);
        assert_eq!(shown("RUN"), ["[app 2/5] RUN make", "[2/3] RUN true"]);
        assert_eq!(shown("app 2/5"), ["[app 2/5] RUN make"]);
        assert_eq!(shown("").len(), 3);
        assert!(shown("9").is_empty());
    }

    fn named_builds(names: &[&str]) -> Vec<Build> {
        let mut builds: Vec<Build> =
            names.iter().map(|name| Build { name: (*name).to_owned(), ..build() }).collect();
        name_shortly(&mut builds);
        builds
    }

    #[test]
    fn names_are_as_short_as_can_be() {
        let builds = named_builds(&["aaaabbbb", "ccccbbbb", "01234567"]);
        let ids: Vec<&str> = builds.iter().map(|build| build.id.as_str()).collect();
        assert_eq!(ids, ["4567", "abbbb", "cbbbb"]);
        assert!(named_builds(&[]).is_empty());
    }

    #[test]
    fn a_build_is_named_by_the_end_of_its_name() {
        let builds = named_builds(&["aaaabbbb", "ccccbbbb", "01234567"]);
        let found =
            |id: &str| find(&builds, Some(id)).map(|build| build.name.as_str()).map_err(|it| it.render());
        assert_eq!(found("4567"), Ok("01234567"));
        assert_eq!(found("01234567"), Ok("01234567"));
        assert_eq!(found("abbbb"), Ok("aaaabbbb"));
        let error = found("bbbb").expect_err("two");
        assert!(error.contains("2 builds end in `bbbb`") && error.contains("`abbbb`, `cbbbb`"), "{error}");
        // Short, or no number: rather a step.
        for id in ["7", "567", "make", ""] {
            assert!(found(id).is_err_and(|error| error.contains("there is no build")), "{id}");
        }
    }
}
