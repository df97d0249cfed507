//! Pairs of cases that must give the same tree, for what the 20.10 engine does not know.

use super::Generator;
use crate::case::{Case, Entry, Kind};

/// A law that two different Dockerfiles obey: its name and the pair of a seed.
pub(crate) struct Law {
    pub(crate) name: &'static str,
    make: fn(&mut Generator) -> (Case, Case),
}

/// All of them.
pub(crate) const LAWS: [Law; 5] = [
    Law { name: "a here-document is a file of the context", make: here_document },
    Law { name: "--link is a plain copy where no link is in the way", make: link },
    Law { name: "--exclude is an ignore file", make: exclude },
    Law { name: "--parents is copying one by one", make: parents },
    Law { name: "--chmod is a later chmod", make: chmod },
];

impl Law {
    /// The two cases of a seed.
    pub(crate) fn cases(&self, seed: u64) -> (Case, Case) {
        (self.make)(&mut Generator::new(seed))
    }
}

fn case(context: &[Entry], dockerfile: &[String]) -> Case {
    Case { dockerfile: dockerfile.to_vec(), context: context.to_vec(), ..Case::default() }
}

/// Paths that can be typed as they are.
fn plain(paths: &[String]) -> Vec<String> {
    let odd = |path: &&String| path.chars().all(|one| one.is_alphanumeric() || "./_-".contains(one));
    paths.iter().filter(odd).cloned().collect()
}

fn here_document(generator: &mut Generator) -> (Case, Case) {
    let text = generator.pick(&[
        "one\n",
        "",
        "  indented\n\n\ttab\n",
        "$A ${A} \\$A\n",
        "quo\"te 'x' `y`\n",
        "ünï\n# no comment\n",
    ]);
    let place = generator.pick(&["/x/", "/data/", "/new/deep/", "/link/"]);
    let flags = generator.copy_flags();
    let add = generator.pick(&["COPY", "ADD"]);
    let file =
        Entry { path: "here.txt".to_owned(), mode: "644".to_owned(), kind: Kind::File(text.to_owned()) };
    let from = "FROM plain".to_owned();
    let here = format!("{add}{flags} <<'here.txt' {place}\n{text}here.txt");
    let copied = format!("{add}{flags} here.txt {place}");
    (case(&[], &[from.clone(), here]), case(&[file], &[from, copied]))
}

fn link(generator: &mut Generator) -> (Case, Case) {
    let context = generator.context();
    let sources = plain(&[generator.files.clone(), generator.dirs.clone(), vec![".".to_owned()]].concat());
    let source = generator.of(&sources);
    let flags = if generator.chance(40) {
        generator.pick(&[" --chown=1:2", " --chmod=640", " --chown=7"])
    } else {
        ""
    };
    let place = generator.pick(&["/x", "/x/", "/new/deep/dir/", "/new/y", "/data/", "/data/sub/more/"]);
    let from = format!("FROM {}", generator.pick(&["scratch", "empty", "plain"]));
    // A copy of its own makes the directories above anew, root's and 0755, so they are to be so below as well.
    // With an owner they are that owner's, which no directory below is.
    let place = match (from.ends_with("plain"), flags.contains("--chown")) {
        (true, true) => place.replace("/data", "/new"),
        (true, false) => place.replace("/data/sub", "/data/empty"),
        (false, _) => place.to_owned(),
    };
    let copy = |flag: &str| format!("COPY{flag}{flags} {source} {place}");
    (case(&context, &[from.clone(), copy(" --link")]), case(&context, &[from, copy("")]))
}

fn exclude(generator: &mut Generator) -> (Case, Case) {
    let context = generator.context();
    let patterns: Vec<String> = (0..1 + generator.random.below(3)).map(|_| generator.ignored()).collect();
    let patterns: Vec<String> =
        patterns.into_iter().filter(|text| !text.contains([' ', '"', '\'', '\\', '$', '\n', '`'])).collect();
    let flags: Vec<String> = patterns.iter().map(|pattern| format!(" --exclude={pattern}")).collect();
    let from = "FROM plain".to_owned();
    let first = case(&context, &[from.clone(), format!("COPY{} . /x/", flags.concat())]);
    let mut second = case(&context, &[from, "COPY . /x/".to_owned()]);
    second.ignore = patterns;
    second.ignore.push(".dockerignore".to_owned());
    (first, second)
}

fn parents(generator: &mut Generator) -> (Case, Case) {
    let mut context = generator.context();
    for entry in context.iter_mut().filter(|entry| entry.kind == Kind::Directory) {
        entry.mode = "755".to_owned();
    }
    let mut sources = plain(&generator.files);
    sources.truncate(1 + generator.random.below(3));
    let flags = if generator.chance(30) { " --chown=3:4" } else { "" };
    let from = "FROM plain".to_owned();
    let whole = format!("COPY --parents{flags} {} /x/", sources.join(" "));
    let mut second = vec![from.clone()];
    second.extend(sources.iter().map(|source| format!("COPY{flags} {source} /x/{source}")));
    if sources.is_empty() {
        return (case(&context, &[from]), case(&context, &second));
    }
    (case(&context, &[from, whole]), case(&context, &second))
}

fn chmod(generator: &mut Generator) -> (Case, Case) {
    let mut context = generator.context();
    let mode = generator.pick(&[
        "u+x",
        "a+x",
        "go-rwx",
        "u=rw,g=r,o=",
        "a+X",
        "g+s",
        "u+s,a+r",
        "o+t",
        "g=u",
        "a=rx",
        "go+X",
        "u-w,o+w",
        "755",
        "0640",
        "4711",
    ]);
    let from = "FROM plain".to_owned();
    let files = plain(&generator.files);
    if files.is_empty() {
        return (case(&context, std::slice::from_ref(&from)), case(&context, std::slice::from_ref(&from)));
    }
    let source = generator.of(&files);
    // What `=` does to the set-id and sticky bits that are there is each program's own; here it is BSD's, as in BuildKit.
    if mode.contains('=') {
        for entry in context.iter_mut().filter(|entry| entry.path == source) {
            entry.mode = entry.mode[entry.mode.len().saturating_sub(3)..].to_owned();
        }
    }
    let first = format!("COPY --chmod={mode} {source} /x");
    let second = [from.clone(), format!("COPY {source} /x"), format!("RUN chmod {mode} /x")];
    (case(&context, &[from, first]), case(&context, &second))
}
