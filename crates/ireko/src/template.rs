//! The part of Go's templates that `--format` is used with: `{{.Name}}`, `{{json .Name}}`, `{{index .Name 0}}`,
//! `{{len .Name}}`, and text around them.

use crate::failure::Failure;
use serde_json::Value;

/// What `--format` makes of a document: `json` is all of it.
///
/// # Errors
/// The template is wrong, asks for what this part of the language does not have, or for what the document has not.
pub(crate) fn render(format: &str, document: &Value) -> Result<String, Failure> {
    if format == "json" {
        return Ok(format!("{document}\n"));
    }
    let (mut out, mut rest) = (String::new(), format);
    while let Some((text, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or_else(|| {
            Failure::user(format!("`--format {format}` is no template: a `{{{{` has no `}}}}`"))
        })?;
        out.push_str(&plain(text));
        out.push_str(&action_of(format, action.trim(), document)?);
        rest = after;
    }
    out.push_str(&plain(rest));
    out.push('\n');
    Ok(out)
}

/// Text between actions, where `\t` and `\n` may be written so.
fn plain(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

fn action_of(format: &str, action: &str, document: &Value) -> Result<String, Failure> {
    let words: Vec<&str> = action.split_whitespace().collect();
    let value = |path: &str| at(format, path, document);
    Ok(match words.as_slice() {
        [path] if path.starts_with('.') => shown(value(path)?),
        ["json", path] => value(path)?.to_string(),
        ["len", path] => match value(path)? {
            Value::Array(all) => all.len().to_string(),
            Value::Object(all) => all.len().to_string(),
            Value::String(text) => text.len().to_string(),
            _ => return Err(unknown(format, action)),
        },
        ["index", path, keys @ ..] if !keys.is_empty() => {
            let mut found = value(path)?;
            for key in keys {
                let next = match key.parse::<usize>() {
                    Ok(number) => found.get(number),
                    Err(_) => found.get(key.trim_matches(['"', '`'])),
                };
                found = next
                    .ok_or_else(|| Failure::user(format!("`--format {format}`: `{path}` has no `{key}`")))?;
            }
            shown(found)
        }
        _ => return Err(unknown(format, action)),
    })
}

fn unknown(format: &str, action: &str) -> Failure {
    Failure::user(format!("`--format {format}`: `{{{{{action}}}}}` is not supported"))
        .hint("use `{{.Name}}`, `{{json .Name}}`, `{{index .Name 0}}` or `{{len .Name}}`; `--format json` prints all of it")
}

/// The value of a path; its parts in capitals or not, as Go's names of fields and those of JSON differ.
fn at<'a>(format: &str, path: &str, document: &'a Value) -> Result<&'a Value, Failure> {
    let mut found = document;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let fields = found.as_object();
        let next = fields.and_then(|fields| {
            fields.get(part).or_else(|| {
                fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(part)).map(|(_, value)| value)
            })
        });
        found = next.ok_or_else(|| {
            let names: Vec<&str> =
                fields.map(|all| all.keys().map(String::as_str).collect()).unwrap_or_default();
            let failure = Failure::user(format!("`--format {format}`: there is no `{part}` in `{path}`"));
            match names.is_empty() {
                true => failure,
                false => failure.hint(format!("there is {}", names.join(", "))),
            }
        })?;
    }
    Ok(found)
}

/// A value as Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "<no value>".to_owned(),
        Value::Array(all) => format!("[{}]", all.iter().map(shown).collect::<Vec<_>>().join(" ")),
        Value::Object(all) => {
            let pairs: Vec<String> =
                all.iter().map(|(name, value)| format!("{name}:{}", shown(value))).collect();
            format!("map[{}]", pairs.join(" "))
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates() {
        let document = json!({
            "Id": "sha256:1",
            "RepoTags": ["a:1", "b:2"],
            "Config": {"Env": ["A=b"], "Labels": {"x.y": "z"}, "Cmd": null},
            "manifest": {"digest": "sha256:2", "size": 7},
        });
        for (format, expect) in [
            ("{{.Id}}", "sha256:1\n"),
            ("{{ .Id }}\\t{{.Manifest.Digest}}", "sha256:1\tsha256:2\n"),
            ("{{json .RepoTags}}", "[\"a:1\",\"b:2\"]\n"),
            ("{{index .RepoTags 1}} {{len .RepoTags}}", "b:2 2\n"),
            ("{{index .Config.Labels \"x.y\"}}", "z\n"),
            ("{{.Config.Env}} {{.Config.Cmd}} {{.Config.Labels}}", "[A=b] <no value> map[x.y:z]\n"),
            ("{{.manifest.size}}", "7\n"),
            ("plain", "plain\n"),
            ("{{.No}}", "`--format {{.No}}`: there is no `No` in `.No`"),
            ("{{index .RepoTags 2}}", "`--format {{index .RepoTags 2}}`: `.RepoTags` has no `2`"),
            (
                "{{range .RepoTags}}x{{end}}",
                "`--format {{range .RepoTags}}x{{end}}`: `{{range .RepoTags}}` is not supported",
            ),
            ("{{.Id", "`--format {{.Id` is no template: a `{{` has no `}}`"),
        ] {
            let said = render(format, &document).unwrap_or_else(|failure| failure.message);
            assert_eq!(said, expect, "{format}");
        }
        assert_eq!(render("json", &json!([1])).expect("it is one"), "[1]\n");
    }
}
