//! `ireko history` of builds, `ireko logs` and `ireko why`.

use crate::builds::{self, Build, BuildStep};
use crate::cli::builds::{LogsArgs, WhyArgs};
use crate::cli::{Format, Global, HistoryArgs, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{ago, table};
use crate::ui::seconds;
use crate::{print, print_json};
use ireko_store::Store;
use serde_json::{Value, json};
use std::fs::File;
use std::io;
use std::sync::Arc;
use std::time::Duration;

fn open(global: &Global, environment: Environment) -> Result<Arc<Store>, Failure> {
    Session::enter(global, environment, Progress::Quiet, false)?.store()
}

fn time(ms: u64) -> String {
    seconds(Duration::from_millis(ms))
}

/// `ireko history` without an image: the builds, or the steps of one.
pub(crate) fn history(args: &HistoryArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let store = open(global, environment)?;
    if let Some(id) = &args.build {
        return one(&builds::find(&store, Some(id))?, args);
    }
    let all = builds::all(&store)?;
    if args.format == Format::Json {
        print_json(&Value::Array(all.iter().map(document).collect()));
        return Ok(());
    }
    let now = environment::now().seconds();
    let head = ["BUILD", "WHEN", "RESULT", "TIME", "STEPS", "HITS", "CONTEXT", "IMAGE"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for build in &all {
        let image = build.results.first().map_or("-", |(destination, _)| destination.as_str());
        lines.push(vec![
            build.id.clone(),
            ago(u64::try_from(now - build.began_ms / 1000).unwrap_or(0)),
            build.outcome().to_owned(),
            time(build.elapsed_ms),
            build.steps.len().to_string(),
            build.hits().to_string(),
            build.context.clone(),
            image.to_owned(),
        ]);
    }
    print(&table(&lines));
    Ok(())
}

fn document(build: &Build) -> Value {
    let mut document = json!(build);
    document["id"] = json!(build.id);
    document
}

/// The steps of a build.
fn one(build: &Build, args: &HistoryArgs) -> Result<(), Failure> {
    if args.format == Format::Json {
        print_json(&document(build));
        return Ok(());
    }
    let mut lines = vec![["STEP", "RESULT", "TIME", "WHY"].map(str::to_owned).to_vec()];
    for step in &build.steps {
        let text = step.display.replace('\n', " ");
        let text = match args.no_trunc || text.chars().count() <= 60 {
            true => text,
            false => text.chars().take(59).chain(['…']).collect(),
        };
        let end = step.end.clone().unwrap_or_else(|| "-".to_owned());
        lines.push(vec![text, end, time(step.elapsed_ms), step.miss.clone().unwrap_or_default()]);
    }
    print(&table(&lines));
    for (destination, image) in &build.results {
        print(&format!("result: {destination} {}\n", image.as_deref().unwrap_or_default()));
    }
    if let Some(error) = &build.error {
        print(&format!("error: {error}\n"));
    }
    Ok(())
}

/// `ireko logs`.
pub(crate) fn logs(args: &LogsArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let store = open(global, environment)?;
    let build = builds::find(&store, args.build.as_deref())?;
    let chosen = chosen(&build, args.step.as_deref())?;
    let many = chosen.len() > 1;
    for step in chosen {
        let Some(path) = &step.log else {
            // A step that was named says that it was silent.
            if args.step.is_some() && !many {
                crate::eprint(&format!("note: {} wrote nothing\n", step.display));
            }
            continue;
        };
        if many {
            print(&format!("==> {} <==\n", step.display));
        }
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::eprint(&format!("note: the log of {} is gone: it was pruned\n", step.display));
                continue;
            }
            Err(error) => {
                return Err(Failure::environment(format!("cannot read `{}`", path.display())).cause(error));
            }
        };
        // A reader that went away ends the output, not the command.
        let _ = io::copy(&mut file, &mut io::stdout().lock());
    }
    Ok(())
}

/// `ireko why`: what made a step run.
pub(crate) fn why(args: &WhyArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let store = open(global, environment)?;
    let build = builds::find(&store, args.build.as_deref())?;
    let chosen = chosen(&build, args.step.as_deref())?;
    if args.format == Format::Json {
        print_json(&json!(chosen));
        return Ok(());
    }
    let mut told = false;
    for step in chosen {
        let is_hit = matches!(step.end.as_deref(), Some("hit" | "cut-off"));
        if is_hit && args.step.is_none() {
            continue;
        }
        told = true;
        print(&format!("{}\n", step.display));
        match (&step.end, &step.miss) {
            (None, _) => print("  it never started\n"),
            (Some(end), _) if end == "hit" => {
                print("  its result was remembered: nothing it declares as its input changed\n")
            }
            (Some(end), _) if end == "cut-off" => {
                print("  what lies below ran again and gave the same result, so it did not run\n")
            }
            (Some(end), Some(miss)) => print(&format!("  {end} in {}: {miss}\n", time(step.elapsed_ms))),
            (Some(end), None) => print(&format!("  {end} in {}\n", time(step.elapsed_ms))),
        }
        for line in step.why.iter().filter(|line| Some(line.as_str()) != step.miss.as_deref()) {
            print(&format!("  - {line}\n"));
        }
    }
    if !told {
        print("every step of this build was remembered\n");
    }
    Ok(())
}

fn chosen<'a>(build: &'a Build, asked: Option<&str>) -> Result<Vec<&'a BuildStep>, Failure> {
    let found = builds::steps(build, asked.unwrap_or_default());
    match (found.is_empty(), asked) {
        (true, Some(asked)) => Err(Failure::user(format!("build `{}` has no step `{asked}`", build.id))
            .hint(format!(
                "`ireko history --build {}` lists its steps: write a number, or a part of the text",
                build.id
            ))),
        _ => Ok(found),
    }
}
