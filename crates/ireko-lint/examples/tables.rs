//! Answers rows of the conformance table `lint`: JSON lines in, JSON lines out.

use ireko_dockerfile::ignore::Patterns;
use ireko_lint::{Input, Warning, lint};
use ireko_oci::{ImageConfig, Platform};
use serde_json::{Map, Value, json};
use std::io::{BufRead, Write};

fn main() -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let row: Value = serde_json::from_str(&line?)?;
        writeln!(out, "{}", answer(&row))?;
    }
    Ok(())
}

/// The table knows no registry: images have the config of one that sets nothing but PATH.
fn answer(row: &Value) -> Value {
    let text = row["dockerfile"].as_str().unwrap_or_default();
    let (ast, diagnostics) = ireko_dockerfile::parse("Dockerfile", text.as_bytes());
    let mut input = Input::new(&ast, &diagnostics);
    let empty = Map::new();
    for (name, value) in row["attrs"].as_object().unwrap_or(&empty) {
        let value = value.as_str().map(str::to_owned);
        if let Some(name) = name.strip_prefix("build-arg:") {
            input.build_args.push((name.to_owned(), value));
        }
    }
    for name in ["alpine", "busybox"] {
        let mut config = ImageConfig::for_platform(&Platform::host());
        config.config.env = vec!["PATH=/bin".to_owned()];
        input.bases.insert((name.to_owned(), Platform::host().normalized()), config);
    }
    input.ignore = row["dockerignore"].as_str().and_then(|text| Patterns::parse(text.as_bytes()).ok());
    let found = match lint(&input) {
        Ok(found) => found,
        Err(fault) => return json!({ "warnings": [], "build_error": fault.message }),
    };
    let mut answer = json!({ "warnings": found.warnings.iter().map(shown).collect::<Vec<_>>() });
    if let Some(error) = found.fault.as_ref().map(|fault| fault.message.clone()).or(found.violation()) {
        answer["build_error"] = json!(error);
    }
    answer
}

fn shown(warning: &Warning) -> Value {
    json!({
        "RuleName": warning.rule.name, "Description": warning.rule.description, "Detail": warning.detail, "URL": warning.rule.url,
        "Line": warning.lines.start(), "Level": 1,
    })
}
