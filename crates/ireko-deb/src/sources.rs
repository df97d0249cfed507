//! Sources: where apt takes packages from, in lines of `sources.list` and in paragraphs of `*.sources`.

mod choose;

use std::path::PathBuf;

use crate::control;

pub use choose::{Distribution, defaults, mirror, serving};

/// One suite of one archive.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    /// The file and the line it stands in; nothing where no file has it.
    pub place: Option<(String, usize)>,
    /// Where the archive is: `http://deb.debian.org/debian`.
    pub uri: String,
    /// `bookworm`; where it ends with `/`, the archive is flat, and this is a directory.
    pub suite: String,
    /// `main` and others; none where the archive is flat.
    pub components: Vec<String>,
    /// Those it is meant for; all where there is none.
    pub architectures: Vec<String>,
    /// Who must have signed it; whoever is trusted where nothing is said.
    pub signed_by: SignedBy,
    /// Whether it is believed without a signature; `no` is as if nothing was said.
    pub trusted: Option<bool>,
    /// Whether `Valid-Until` counts.
    pub check_valid_until: Option<bool>,
    /// Whether lists are fetched by their hash.
    pub by_hash: Option<bool>,
}

/// Whose signature counts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignedBy {
    /// Files of keys.
    pub files: Vec<PathBuf>,
    /// Fingerprints of keys.
    pub fingerprints: Vec<String>,
    /// A key that stands in the source itself.
    pub key: Option<String>,
}

impl SignedBy {
    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    fn read(value: &str) -> Self {
        let mut signed_by = Self::default();
        if value.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
            signed_by.key = Some(unfolded(value));
            return signed_by;
        }
        for word in value.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()) {
            match word.starts_with('/') {
                true => signed_by.files.push(word.into()),
                false => signed_by.fingerprints.push(word.to_owned()),
            }
        }
        signed_by
    }
}

/// A key as it stands in a field: its lines begin with a space, and a dot stands for an empty one.
fn unfolded(value: &str) -> String {
    let lines = value.lines().map(|line| match line.trim() {
        "." => "",
        line => line,
    });
    lines.flat_map(|line| [line, "\n"]).collect()
}

/// Why a file of sources cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{file}`, line {line}: {problem}")]
pub struct SourcesError {
    /// The file.
    pub file: String,
    /// The line, counted from one.
    pub line: usize,
    /// What is wrong.
    pub problem: String,
}

impl Source {
    /// Whether it is a flat archive: without components, the suite is a directory.
    pub fn is_flat(&self) -> bool {
        self.suite.ends_with('/')
    }

    /// Whether it is meant for an architecture.
    pub fn has_architecture(&self, architecture: &str) -> bool {
        self.architectures.is_empty() || self.architectures.iter().any(|one| one == architecture)
    }

    /// The directory its Release file is in, with a slash at its end.
    pub fn directory(&self) -> String {
        let uri = self.uri.trim_end_matches('/');
        match self.suite.strip_suffix('/') {
            Some("" | ".") => format!("{uri}/"),
            Some(directory) => format!("{uri}/{}/", directory.trim_matches('/')),
            None => format!("{uri}/dists/{}/", self.suite),
        }
    }

    fn set(&mut self, option: &str, value: &str) {
        let words = || value.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty()).map(str::to_owned);
        match option {
            "arch" | "architectures" => self.architectures = words().collect(),
            "arch+" | "architectures-add" => self.architectures.extend(words()),
            "arch-" | "architectures-remove" => {
                let without: Vec<String> = words().collect();
                self.architectures.retain(|one| !without.contains(one));
            }
            "signed-by" => self.signed_by = SignedBy::read(value),
            "trusted" => self.trusted = switch(value),
            "check-valid-until" => self.check_valid_until = switch(value),
            "by-hash" => self.by_hash = if value == "force" { Some(true) } else { switch(value) },
            _ => {}
        }
    }

    /// Puts the names of variables in.
    fn resolved(mut self, architecture: &str) -> Self {
        for text in [&mut self.uri, &mut self.suite] {
            if text.contains("$(ARCH)") {
                *text = text.replace("$(ARCH)", architecture);
            }
        }
        self
    }
}

fn switch(value: &str) -> Option<bool> {
    let is = |words: [&str; 6]| words.iter().any(|word| word.eq_ignore_ascii_case(value.trim()));
    match (
        is(["yes", "true", "with", "on", "enable", "1"]),
        is(["no", "false", "without", "off", "disable", "0"]),
    ) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    }
}

/// Reads lines as in `sources.list`; those of source packages are passed over.
///
/// # Errors
/// A line that apt would not take.
pub fn from_list(file: &str, text: &str, architecture: &str) -> Result<Vec<Source>, SourcesError> {
    let mut found = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let wrong = |problem: String| SourcesError { file: file.to_owned(), line: at + 1, problem };
        let source = list_line(line).map_err(wrong)?;
        found.extend(source.map(|source| {
            Source { place: Some((file.to_owned(), at + 1)), ..source }.resolved(architecture)
        }));
    }
    Ok(found)
}

fn list_line(line: &str) -> Result<Option<Source>, String> {
    let words = list_words(line)?;
    let mut words = words.iter().map(String::as_str).peekable();
    match words.next() {
        None | Some("deb-src" | "rpm" | "rpm-src") => return Ok(None),
        Some("deb") => {}
        Some(other) => return Err(format!("a line begins with `deb` or `deb-src`, not with `{other}`")),
    }
    let mut source = Source::default();
    if let Some(options) = words.next_if(|word| word.starts_with('[')) {
        for option in options.trim_matches(['[', ']']).split_whitespace() {
            let (name, value) = option
                .split_once('=')
                .ok_or_else(|| format!("option `{option}` has no value; write `{option}=…`"))?;
            source.set(&name.to_ascii_lowercase(), value.trim_matches('"'));
        }
    }
    let (Some(uri), Some(suite)) = (words.next(), words.next()) else {
        return Err("a source is `deb URI SUITE COMPONENT…`; its URI or suite is missing".to_owned());
    };
    let components = words.map(str::to_owned).collect();
    if uri.starts_with("cdrom:") {
        return Ok(None);
    }
    sound(Source { uri: uri.to_owned(), suite: suite.to_owned(), components, ..source }).map(Some)
}

/// The words of a line, without its comment. What is in square brackets is one, with its spaces.
fn list_words(line: &str) -> Result<Vec<String>, String> {
    let (mut words, mut word, mut is_inside) = (Vec::new(), String::new(), false);
    for letter in line.chars() {
        match letter {
            '#' if !is_inside => break,
            '[' => is_inside = true,
            ']' => is_inside = false,
            _ => {}
        }
        if letter.is_whitespace() && !is_inside {
            words.extend(Some(std::mem::take(&mut word)).filter(|word| !word.is_empty()));
        } else {
            word.push(letter);
        }
    }
    if is_inside {
        return Err("a `[` is not closed".to_owned());
    }
    words.extend(Some(word).filter(|word| !word.is_empty()));
    Ok(words)
}

/// A source whose parts fit together.
fn sound(source: Source) -> Result<Source, String> {
    let Source { uri, suite, components, .. } = &source;
    if !uri.contains(':') {
        return Err(format!("`{uri}` is no URI; write for example `http://{uri}`"));
    }
    match (suite.ends_with('/'), components.is_empty()) {
        (true, false) => {
            Err(format!("`{suite}` ends with `/`, so the archive is flat and has no components"))
        }
        (false, true) => Err(format!("suite `{suite}` has no components; `main` is one of most archives")),
        _ => Ok(source),
    }
}

/// Reads paragraphs as in `*.sources`; those of source packages and those that are not enabled are passed over.
///
/// # Errors
/// A paragraph that apt would not take.
pub fn from_deb822(file: &str, text: &str, architecture: &str) -> Result<Vec<Source>, SourcesError> {
    let mut found = Vec::new();
    // Comments may stand inside of a field, where control files have none.
    let text: String =
        text.split_inclusive('\n').map(|line| if line.starts_with('#') { "#\n" } else { line }).collect();
    for paragraph in control::paragraphs(&text) {
        let paragraph = paragraph.map_err(|error| SourcesError {
            file: file.to_owned(),
            line: error.line,
            problem: format!("`{}` is neither a field nor the continuation of one", error.text),
        })?;
        let wrong = |problem: String| SourcesError { file: file.to_owned(), line: paragraph.line(), problem };
        let words = |name: &str| -> Vec<String> {
            let value = paragraph.get(name).unwrap_or_default();
            let lines = value.lines().filter(|line| !line.starts_with('#'));
            lines.flat_map(str::split_whitespace).map(str::to_owned).collect()
        };
        let [types, uris, suites] = ["Types", "URIs", "Suites"].map(words);
        for (name, value) in [("Types", &types), ("URIs", &uris), ("Suites", &suites)] {
            if value.is_empty() {
                return Err(wrong(format!("a source needs the field `{name}`")));
            }
        }
        let is_enabled = paragraph.get("Enabled").and_then(switch).unwrap_or(true);
        if !is_enabled || !types.iter().any(|kind| kind == "deb") {
            continue;
        }
        let mut source = Source {
            place: Some((file.to_owned(), paragraph.line())),
            components: words("Components"),
            ..Source::default()
        };
        for (name, value) in paragraph.fields() {
            source.set(&name.to_ascii_lowercase(), value);
        }
        for uri in uris.iter().filter(|uri| !uri.starts_with("cdrom:")) {
            for suite in &suites {
                let one = Source { uri: uri.clone(), suite: suite.clone(), ..source.clone() };
                found.push(sound(one).map_err(wrong)?.resolved(architecture));
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests;
