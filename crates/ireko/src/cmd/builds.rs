//! `ireko history` of builds, `ireko logs` and `ireko why`.

use crate::builds::{self, Build, BuildStep};
use crate::cli::builds::{LogsArgs, WhyArgs};
use crate::cli::{Format, Global, HistoryArgs, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{ago, columns_of, fit, table};
use crate::ui::seconds;
use crate::{print, print_json, template};
use ireko_store::Store;
use serde_json::{Value, json};
use std::fs::File;
use std::io::{self, IsTerminal};
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
    let all = builds::all(&*open(global, environment)?)?;
    if let Some(id) = &args.build {
        one(builds::find(&all, Some(id))?, args);
        return Ok(());
    }
    match args.format.as_str() {
        "table" => {}
        "json" => {
            print_json(&Value::Array(all.iter().map(document).collect()));
            return Ok(());
        }
        format => {
            let documents: Vec<Value> = all.iter().map(document).collect();
            let format = format.strip_prefix("table ").unwrap_or(format);
            print(&template::rows(format, &Value::Null, &documents)?);
            return Ok(());
        }
    }
    if all.is_empty() {
        crate::eprint("note: no build is remembered\n");
        return Ok(());
    }
    let head = ["BUILD", "WHEN", "RESULT", "TIME", "STEPS", "HITS", "CONTEXT", "IMAGE"];
    let mut lines = vec![head.map(str::to_owned).to_vec()];
    for build in &all {
        lines.push(vec![
            build.id.clone(),
            when(build),
            build.outcome().to_owned(),
            time(build.elapsed_ms),
            build.steps.len().to_string(),
            build.hits().to_string(),
            if args.no_trunc { build.context.clone() } else { end_of(&build.context, CONTEXT) },
            image(build),
        ]);
    }
    print_table(&lines, args);
    Ok(())
}

/// The steps of the build that `ireko history NAME` may mean, since there is no such image; false where there is no such
/// build either.
pub(crate) fn history_of(name: &str, store: &Store, args: &HistoryArgs) -> Result<bool, Failure> {
    let all = builds::all(store)?;
    let found = builds::named(&all, name)?;
    if let Some(build) = found {
        one(build, args);
    }
    Ok(found.is_some())
}

/// Columns for where a build's files came from.
const CONTEXT: usize = 30;

/// The end of a text, which tells paths apart, in so many columns.
fn end_of(text: &str, room: usize) -> String {
    if columns_of(text) <= room {
        return text.to_owned();
    }
    let mut end = text;
    while columns_of(end) >= room {
        let mut chars = end.chars();
        chars.next();
        end = chars.as_str();
    }
    format!("…{end}")
}

/// Prints a table; on a terminal its lines end where that does, unless whole texts are wanted.
fn print_table(lines: &[Vec<String>], args: &HistoryArgs) {
    let text = table(lines);
    if args.no_trunc || !io::stdout().is_terminal() {
        return print(&text);
    }
    let (_, columns) = crate::terminal::size(io::stdout());
    text.lines().for_each(|line| print(&format!("{}\n", fit(line, usize::from(columns)))));
}

/// How long ago a build began.
fn when(build: &Build) -> String {
    ago(u64::try_from(environment::now().seconds() - build.began_ms / 1000).unwrap_or(0))
}

/// What came of it, in a word or two: the names of the image, else its id, else where it went.
fn image(build: &Build) -> String {
    let Some((destination, id)) = build.results.first() else { return "-".to_owned() };
    let id = id.as_deref().map(|id| id.trim_start_matches("sha256:").chars().take(12).collect::<String>());
    match (destination.strip_suffix("to the store").map(str::trim_end), id) {
        (Some(""), Some(id)) => id,
        (Some(names), _) => names.to_owned(),
        (None, _) => destination.clone(),
    }
}

fn document(build: &Build) -> Value {
    let mut document = json!(build);
    document["id"] = json!(build.id);
    document["name"] = json!(build.name);
    document
}

/// Which build is told of.
fn heading(build: &Build) -> String {
    let dockerfile =
        if build.dockerfile == "Dockerfile" { String::new() } else { format!(" ({})", build.dockerfile) };
    format!("build {} of {}{dockerfile}, {}", build.id, build.context, when(build))
}

/// A step's display on one line.
fn line(step: &BuildStep) -> String {
    step.display.replace('\n', " ")
}

/// The steps of a build.
fn one(build: &Build, args: &HistoryArgs) {
    if args.format == "json" {
        print_json(&document(build));
        return;
    }
    let (hits, all, took) = (build.hits(), build.steps.len(), time(build.elapsed_ms));
    print(&format!("{}: {} in {took}, {hits} of {all} steps remembered\n", heading(build), build.outcome()));
    let mut lines = vec![["STEP", "RESULT", "TIME", "WHY"].map(str::to_owned).to_vec()];
    for step in &build.steps {
        let text = if args.no_trunc { line(step) } else { fit(&line(step), 60) };
        let miss = step.miss.clone().unwrap_or_default();
        let (end, why) = match step.end.as_deref() {
            None => ("-", miss),
            Some("cut-off") => ("hit", "the steps below gave the same result".to_owned()),
            Some("adopted") => ("ran", format!("{miss}, same result as before")),
            Some(end) => (end, miss),
        };
        // What was remembered took no time worth telling.
        let took = if end == "hit" || end == "-" { "-".to_owned() } else { time(step.elapsed_ms) };
        lines.push(vec![text, end.to_owned(), took, why]);
    }
    print_table(&lines, args);
    for (destination, image) in &build.results {
        print(&format!("result: {destination} {}\n", image.as_deref().unwrap_or_default()));
    }
    if let Some(error) = &build.error {
        print(&format!("error: {error}\n"));
    }
}

/// `ireko logs`.
pub(crate) fn logs(args: &LogsArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let all = builds::all(&*open(global, environment)?)?;
    let (build, asked) = match (args.build.as_deref(), args.step.as_deref()) {
        (Some(text), None) => build_or_step(&all, text)?,
        (id, step) => (builds::find(&all, id)?, step),
    };
    let is_named = args.build.is_some() && args.build.as_deref() != asked;
    if !is_named {
        crate::eprint(&format!("note: {}\n", heading(build)));
    }
    let chosen = chosen(build, asked)?;
    let many = chosen.len() > 1;
    let mut told = false;
    for step in chosen {
        let Some(path) = &step.log else {
            // A step that was named says that it was silent.
            if asked.is_some() && !many {
                silent(&all, build, step);
                told = true;
            }
            continue;
        };
        told = true;
        if many {
            print(&format!("==> {} <==\n", step.display));
        }
        let mut file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                crate::eprint(&format!("note: the log of {} is gone: it was pruned\n", line(step)));
                continue;
            }
            Err(error) => {
                return Err(Failure::environment(format!("cannot read `{}`", path.display())).cause(error));
            }
        };
        // A reader that went away ends the output, not the command.
        let _ = io::copy(&mut file, &mut io::stdout().lock());
    }
    if !told {
        let (hits, all) = (build.hits(), build.steps.len());
        crate::eprint(&format!("note: nothing was written; {hits} of {all} steps were remembered\n"));
    }
    Ok(())
}

/// Says why a step has no log.
fn silent(all: &[Build], build: &Build, step: &BuildStep) {
    let text = line(step);
    let is_hit = matches!(step.end.as_deref(), Some("hit" | "cut-off"));
    let note = match (is_hit, builds::ran_before(all, build, step)) {
        (true, Some(before)) => {
            format!(
                "{text} was remembered, so it wrote nothing; it ran in build `{}`, {}",
                before.id,
                when(before)
            )
        }
        (true, None) => format!("{text} was remembered, so it wrote nothing"),
        (false, _) if step.end.is_none() => format!("{text} never started"),
        (false, _) => format!("{text} wrote nothing"),
    };
    crate::eprint(&format!("note: {note}\n"));
}

/// One text may name a build, or a step of the last one.
fn build_or_step<'a>(all: &'a [Build], text: &'a str) -> Result<(&'a Build, Option<&'a str>), Failure> {
    if let Some(build) = builds::named(all, text)? {
        return Ok((build, None));
    }
    let last = builds::last(all)?;
    if builds::steps(last, text).is_empty() {
        let message =
            format!("there is no build `{text}`, and the last one, `{}`, has no such step", last.id);
        return Err(Failure::user(message).hint(format!(
            "`ireko history` lists the builds, `ireko history --build {}` its steps; of containers nothing is kept",
            last.id
        )));
    }
    Ok((last, Some(text)))
}

/// `ireko why`: what made a step run.
pub(crate) fn why(args: &WhyArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let all = builds::all(&*open(global, environment)?)?;
    let (build, asked) = match (args.build.as_deref(), args.step.as_deref()) {
        (None, Some(text)) => build_or_step(&all, text)?,
        (id, step) => (builds::find(&all, id)?, step),
    };
    let chosen = chosen(build, asked)?;
    if args.format == Format::Json {
        print_json(&json!(chosen));
        return Ok(());
    }
    print(&format!("{}\n", heading(build)));
    let mut told = false;
    for step in chosen {
        let is_hit = matches!(step.end.as_deref(), Some("hit" | "cut-off"));
        if is_hit && asked.is_none() {
            continue;
        }
        told = true;
        print(&format!("{}\n  {}\n", step.display, reason(step)));
        for line in step.why.iter().filter(|line| Some(line.as_str()) != step.miss.as_deref()) {
            print(&format!("  - {line}\n"));
        }
    }
    if !told {
        print("every step of this build was remembered\n");
    }
    Ok(())
}

/// How a step ended and what made it run, for people.
fn reason(step: &BuildStep) -> String {
    let took = time(step.elapsed_ms);
    let because = step.miss.as_ref().map(|miss| format!(": {miss}")).unwrap_or_default();
    match step.end.as_deref() {
        None => "it never started".to_owned(),
        Some("hit") => "its result was remembered: nothing it declares as its input changed".to_owned(),
        Some("cut-off") => "what lies below ran again and gave the same result, so it did not run".to_owned(),
        Some("adopted") => format!("ran in {took}, and gave the same result as before{because}"),
        Some("cancelled") => format!("was cancelled after {took}{because}"),
        Some(end) => format!("{end} in {took}{because}"),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_long_path_the_end_is_shown() {
        assert_eq!(end_of("/home/me/app", 30), "/home/me/app");
        assert_eq!(end_of("/home/me/work/app", 9), "…work/app");
        assert_eq!(end_of("/日本/app", 7), "…本/app");
    }
}
