//! Answers a table of JSON lines: one request on each line of standard input, one answer on each line of output.

use std::io::{BufRead, Write};

use ireko_oci::Reference;
use serde_json::{Value, json};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let request: Value = serde_json::from_str(&line?)?;
        writeln!(out, "{}", answer(&request))?;
    }
    Ok(())
}

fn answer(request: &Value) -> Value {
    match request["table"].as_str() {
        Some("imageref") => imageref(request["ref"].as_str().unwrap_or_default()),
        other => json!({ "error": format!("no table {other:?}") }),
    }
}

fn imageref(text: &str) -> Value {
    let reference: Reference = match text.parse() {
        Ok(reference) => reference,
        Err(error) => return json!({ "error": error.to_string() }),
    };
    let mut answer = json!({
        "domain": reference.domain(),
        "path": reference.path(),
        "familiar": reference.familiar(),
        "string": reference.to_string(),
    });
    if let Some(tag) = reference.tag() {
        answer["tag"] = json!(tag);
    }
    if let Some(digest) = reference.digest() {
        answer["digest"] = json!(digest.to_string());
    }
    answer
}
