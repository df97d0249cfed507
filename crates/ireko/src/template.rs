//! The part of Go's templates that `--format` is used with: `{{.Name}}`, `{{json .Name}}`, `{{index .Name 0}}`,
//! `{{len .Name}}`, and text around them.

use crate::failure::Failure;
use crate::text::table;
use serde_json::Value;

/// What `--format` makes of a document: `json` is all of it.
///
/// # Errors
/// The template is wrong, asks for what this part of the language does not have, or for what the document has not.
pub(crate) fn render(format: &str, document: &Value) -> Result<String, Failure> {
    render_with(format, document, &Value::Null)
}

/// The same for a document that leaves out what is empty: what it lacks is, as in Go, what `zeros` has in that place.
/// `json` says `null` of it.
///
/// # Errors
/// As for [`render`].
pub(crate) fn render_with(format: &str, document: &Value, zeros: &Value) -> Result<String, Failure> {
    let from = Document { format, document, zeros };
    if format == "json" {
        return Ok(format!("{document}\n"));
    }
    let (mut out, mut rest) = (String::new(), format);
    while let Some((text, after)) = rest.split_once("{{") {
        let (action, after) = after.split_once("}}").ok_or_else(|| {
            Failure::user(format!("`--format {format}` is no template: a `{{{{` has no `}}}}`"))
        })?;
        out.push_str(&plain(text));
        out.push_str(&from.action(action.trim())?);
        rest = after;
    }
    out.push_str(&plain(rest));
    out.push('\n');
    Ok(out)
}

/// A line for each row; after `table ` they are a table, with a line of titles before.
///
/// # Errors
/// As for [`render`].
pub(crate) fn rows(format: &str, titles: &Value, rows: &[Value]) -> Result<String, Failure> {
    let Some(format) = format.strip_prefix("table ") else {
        return rows.iter().map(|row| render(format, row)).collect();
    };
    let lines = std::iter::once(titles).chain(rows).map(|row| {
        let line = render(format, row)?;
        Ok(line.trim_end_matches('\n').split('\t').map(str::to_owned).collect())
    });
    Ok(table(&lines.collect::<Result<Vec<Vec<String>>, Failure>>()?))
}

/// Text between actions, where `\t` and `\n` may be written so.
fn plain(text: &str) -> String {
    text.replace("\\t", "\t").replace("\\n", "\n")
}

/// What a template is about.
struct Document<'a> {
    format: &'a str,
    document: &'a Value,
    zeros: &'a Value,
}

impl<'a> Document<'a> {
    fn action(&self, action: &str) -> Result<String, Failure> {
        let words: Vec<&str> = action.split_whitespace().collect();
        Ok(match words.as_slice() {
            [path] if path.starts_with('.') => shown(self.value(path)?),
            ["json", path] => match at(path, self.document) {
                Ok(value) => value.to_string(),
                Err(_) => self.value(path).map(|_| "null".to_owned())?,
            },
            ["len", path] => match self.value(path)? {
                Value::Array(all) => all.len().to_string(),
                Value::Object(all) => all.len().to_string(),
                Value::String(text) => text.len().to_string(),
                _ => return Err(unknown(self.format, action)),
            },
            ["index", path, keys @ ..] if !keys.is_empty() => self.index(path, keys)?,
            _ => return Err(unknown(self.format, action)),
        })
    }

    /// What a list or a map has; a map has nothing, and not a fault, for a key that it lacks.
    fn index(&self, path: &str, keys: &[&str]) -> Result<String, Failure> {
        let mut found = self.value(path)?;
        for key in keys {
            let next = match (key.parse::<usize>(), found) {
                (Ok(number), _) => found.get(number),
                (Err(_), Value::Object(all)) => match all.get(key.trim_matches(['"', '`'])) {
                    None => return Ok(String::new()),
                    some => some,
                },
                (Err(_), _) => None,
            };
            found = next.ok_or_else(|| {
                Failure::user(format!("`--format {}`: `{path}` has no `{key}`", self.format))
            })?;
        }
        Ok(shown(found))
    }

    /// The value of a path: the document's, else its zero value.
    fn value(&self, path: &str) -> Result<&'a Value, Failure> {
        let own = at(path, self.document);
        match (own, at(path, self.zeros)) {
            (Ok(Value::Null) | Err(_), Ok(zero)) => Ok(zero),
            (Ok(value), _) => Ok(value),
            (Err((part, names)), _) => {
                let failure =
                    Failure::user(format!("`--format {}`: there is no `{part}` in `{path}`", self.format));
                Err(match names.is_empty() {
                    true => failure,
                    false => failure.hint(format!("there is {}", names.join(", "))),
                })
            }
        }
    }
}

fn unknown(format: &str, action: &str) -> Failure {
    Failure::user(format!("`--format {format}`: `{{{{{action}}}}}` is not supported"))
        .hint("use `{{.Name}}`, `{{json .Name}}`, `{{index .Name 0}}` or `{{len .Name}}`; `--format json` prints all of it")
}

/// The value of a path; its parts in capitals or not, as Go's names of fields and those of JSON differ. Else the part
/// that is not there, and what is.
fn at<'a, 'p>(path: &'p str, document: &'a Value) -> Result<&'a Value, (&'p str, Vec<&'a str>)> {
    let mut found = document;
    for part in path.split('.').filter(|part| !part.is_empty()) {
        let fields = found.as_object();
        let next = fields.and_then(|fields| {
            fields.get(part).or_else(|| {
                fields.iter().find(|(name, _)| name.eq_ignore_ascii_case(part)).map(|(_, value)| value)
            })
        });
        let names = || fields.map(|all| all.keys().map(String::as_str).collect()).unwrap_or_default();
        found = next.ok_or_else(|| (part, names()))?;
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
        let zeros = json!({"Config": {"User": "", "Cmd": [], "Labels": {}}, "RepoDigests": []});
        for (format, expect) in [
            ("{{.Config.User}}|{{.Config.Cmd}}|{{json .Config.User}}", "|[]|null\n"),
            ("{{index .Config.Labels \"nope\"}}|{{index .Config.Labels `x.y`}}", "|z\n"),
            ("{{.RepoDigests}} {{len .RepoDigests}} {{.Id}}", "[] 0 sha256:1\n"),
            ("{{index .RepoDigests 0}}", "`--format {{index .RepoDigests 0}}`: `.RepoDigests` has no `0`"),
            ("{{.Config.No}}", "`--format {{.Config.No}}`: there is no `No` in `.Config.No`"),
        ] {
            let said = render_with(format, &document, &zeros).unwrap_or_else(|failure| failure.message);
            assert_eq!(said, expect, "{format}");
        }
        assert_eq!(render("json", &json!([1])).expect("it is one"), "[1]\n");
    }
}
