//! Answers rows of conformance tables: JSON lines in, JSON lines out.

use ireko_dockerfile::ignore::{self, Patterns};
use ireko_dockerfile::words::Lexer;
use ireko_dockerfile::{Dump, InstructionKind as Kind, dump, expose, gitref, parse, string_array};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::{BufRead, Write};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        let answer = answer(&row).unwrap_or_else(|error| json!({ "error": error }));
        writeln!(out, "{answer}")?;
    }
    Ok(())
}

fn answer(row: &Value) -> Result<Value, String> {
    let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
    match text("table").as_str() {
        "lex" | "words" => expanded(row, &text("word"), text("table") == "words"),
        "match" => matched(row, &text("path")),
        "ignorefile" => {
            let patterns: Vec<String> =
                ignore::lines(text("content").as_bytes()).into_iter().map(|(_, pattern)| pattern).collect();
            Ok(json!({ "patterns": patterns }))
        }
        "expose" => {
            let ports: Vec<String> = expose::parse(&text("port"))?.iter().map(ToString::to_string).collect();
            Ok(json!({ "ports": ports }))
        }
        "json_exec" => {
            let items = string_array(&text("json")).map_err(|error| format!("{error:?}"))?;
            Ok(json!({ "items": items.into_iter().map(|item| item.value).collect::<Vec<_>>() }))
        }
        "instruction" => instruction(row, &text("line")),
        "gitref" => git_reference(&text("ref")),
        "parse" => dump(text("dockerfile").as_bytes()).map(shown).map_err(|error| error.message),
        other => Err(format!("no table `{other}`")),
    }
}

fn expanded(row: &Value, word: &str, split: bool) -> Result<Value, String> {
    let env: BTreeMap<String, String> = serde_json::from_value(row["env"].clone()).unwrap_or_default();
    let on = |name: &str| row[name].as_bool().unwrap_or(false);
    let mut lexer = Lexer::new(row["escape"].as_str().and_then(|text| text.chars().next()).unwrap_or('\\'));
    if on("raw_quotes") {
        lexer = lexer.raw_quotes();
    }
    if on("raw_escapes") {
        lexer = lexer.raw_escapes();
    }
    if on("skip_process_quotes") {
        lexer = lexer.skip_quotes();
    }
    if on("skip_unset_env") {
        lexer = lexer.skip_unset();
    }
    let found = lexer.word(word, &env).map_err(|error| error.to_string())?;
    Ok(match split {
        true => json!({ "words": found.words }),
        false => json!({ "result": found.text, "matched": found.used, "unmatched": found.unset }),
    })
}

fn matched(row: &Value, path: &str) -> Result<Value, String> {
    let list = row["patterns"].as_array().cloned().unwrap_or_default();
    let patterns = Patterns::new(list.iter().filter_map(Value::as_str)).map_err(|error| error.to_string())?;
    let path = path.strip_suffix('/').filter(|path| !path.is_empty()).unwrap_or(path);
    Ok(json!({ "match": path != "." && patterns.matches(path) }))
}

fn git_reference(text: &str) -> Result<Value, String> {
    let found = gitref::parse(text).map_err(|refusal| format!("{refusal:?}"))?;
    Ok(json!({
        "is_git": true,
        "remote": found.remote,
        "short_name": found.short_name,
        "ref": found.reference,
        "checksum": found.checksum,
        "subdir": found.subdir,
        "keep_git_dir": found.keep_git_dir,
        "submodules": found.submodules,
    }))
}

fn instruction(row: &Value, line: &str) -> Result<Value, String> {
    let from = line.trim_start().get(..4).is_some_and(|word| word.eq_ignore_ascii_case("from"));
    let mut text = if from { String::new() } else { "FROM scratch\n".to_owned() };
    text.push_str(line);
    for doc in row["heredocs"].as_array().into_iter().flatten() {
        let part = |name: &str| doc[name].as_str().unwrap_or_default();
        text.push_str(&format!("\n{}{}", part("content"), part("name")));
    }
    let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
    if let Some(error) = diagnostics.iter().find(|found| found.is_error()) {
        return Err(error.message.clone());
    }
    let last = ast.stages.last().and_then(|stage| stage.instructions.last());
    Ok(json!({ "type": last.map_or("Stage", |instruction| type_name(&instruction.kind)) }))
}

fn type_name(kind: &Kind) -> &'static str {
    match kind {
        Kind::Add(_) => "AddCommand",
        Kind::Arg(_) => "ArgCommand",
        Kind::Cmd(_) => "CmdCommand",
        Kind::Copy(_) => "CopyCommand",
        Kind::Entrypoint(_) => "EntrypointCommand",
        Kind::Env(_) => "EnvCommand",
        Kind::Expose(_) => "ExposeCommand",
        Kind::Healthcheck(_) => "HealthCheckCommand",
        Kind::Label(_) => "LabelCommand",
        Kind::Maintainer(_) => "MaintainerCommand",
        Kind::Onbuild(_) => "OnbuildCommand",
        Kind::Run(_) => "RunCommand",
        Kind::Shell(_) => "ShellCommand",
        Kind::Stopsignal(_) => "StopSignalCommand",
        Kind::User(_) => "UserCommand",
        Kind::Volume(_) => "VolumeCommand",
        Kind::Workdir(_) => "WorkdirCommand",
    }
}

fn shown(dump: Dump) -> Value {
    let heredocs: Vec<Vec<Value>> = dump
        .heredocs
        .iter()
        .map(|docs| {
            let one = |doc: &ireko_dockerfile::Heredoc| json!({ "Chomp": doc.chomp, "Content": doc.content.value, "Expand": doc.expand, "Fd": doc.descriptor, "Name": doc.name });
            docs.iter().map(one).collect()
        })
        .collect();
    let escape = dump.escape.to_string();
    json!({ "ast": dump.text, "escape": escape, "heredocs": heredocs, "lines": dump.lines, "warnings": dump.warnings })
}
