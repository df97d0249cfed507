//! Why a step missed the cache: its declared inputs beside those of the nearest earlier record, in the user's words.

use ireko_graph::{Declared, Graph, Node, Op, Reuse};
use ireko_oci::{Fields, Hash};
use ireko_report::MissReason;
use ireko_store::{InputFile, Inputs, Origin};
use std::collections::BTreeMap;

/// At most this many differences are listed.
const LISTED: usize = 50;

/// Name of the field that holds the instruction's text; it is no part of the key.
const TEXT: &str = "text";

/// The name under which a step finds its earlier self: the project, the stage and the position in it.
pub(crate) fn slot(project: &str, node: &Node) -> Vec<u8> {
    let mut fields = Fields::new("ireko slot/1");
    fields.add("project", project.as_bytes());
    fields.add("stage", node.about.stage.as_bytes());
    fields.number("step", u64::from(node.about.step));
    // What a step fetches stands at the step's own place.
    if matches!(node.op, Op::Http(_) | Op::Git(_)) {
        fields.add("fetches", node.about.text.as_bytes());
    }
    // Of several platforms in one build each has a step of its own there.
    if !node.about.platform.is_empty() {
        fields.add("platform", node.about.platform.as_bytes());
    }
    fields.hash().to_vec()
}

/// Whose a step is, for people: the project's place, its Dockerfile where that has another name, and the stage.
pub(crate) fn origin(project: &str, node: &Node) -> Origin {
    let (place, file) = project.split_once('\0').unwrap_or((project, ""));
    let usual = file.rsplit('/').next().is_some_and(|name| matches!(name, "Dockerfile" | "Containerfile"));
    let project = match (place, usual || file.is_empty()) {
        ("", _) => file.to_owned(),
        (place, true) => place.to_owned(),
        (place, false) => format!("{place} ({file})"),
    };
    Origin { project, stage: node.about.stage.clone() }
}

/// What a record keeps of a step's inputs. Values are hashed: a build argument may be private.
pub(crate) fn inputs(node: &Node, declared: &Declared, files: &[InputFile]) -> Inputs {
    let mut fields = vec![(TEXT.to_owned(), node.about.text.as_bytes().to_vec())];
    fields.extend(numbered(declared).into_iter().map(|(name, hash)| (name, hash.to_vec())));
    for (name, value) in &node.about.args {
        fields.push((format!("arg {name}"), digest(value.as_bytes()).to_vec()));
    }
    Inputs { fields, files: files.to_vec() }
}

fn digest(value: &[u8]) -> Hash {
    Fields::new("ireko value/1").bytes("value", value).hash()
}

/// Fields of one name become `name`, `name 2`, and so on, so that lists can be compared.
fn numbered(declared: &Declared) -> Vec<(String, Hash)> {
    let mut seen: BTreeMap<&str, u32> = BTreeMap::new();
    let mut out = Vec::with_capacity(declared.fields.len());
    for (name, value) in &declared.fields {
        let count = seen.entry(name).or_default();
        *count += 1;
        let name = if *count == 1 { name.clone() } else { format!("{name} {count}") };
        out.push((name, digest(value)));
    }
    out
}

/// The first reason for a miss of `node`, and one line for each difference to the inputs of its nearest earlier record.
pub(crate) fn miss(
    graph: &Graph,
    node: &Node,
    before: Option<&Inputs>,
    now: &Inputs,
) -> (MissReason, Vec<String>) {
    if node.reuse == Reuse::Never {
        return (MissReason::NotAsked, Vec::new());
    }
    let Some(before) = before else { return (MissReason::NeverBuilt, Vec::new()) };
    let reasons = differences(node, node.base.map(|base| graph.node(base)), before, now);
    let lines = reasons.iter().take(LISTED).map(ToString::to_string).collect();
    let files: Vec<&MissReason> = reasons.iter().filter(|reason| is_file(reason)).collect();
    let first = match (reasons.iter().find(|reason| !is_file(reason)), files.as_slice()) {
        (Some(other), _) => other.clone(),
        (None, []) => MissReason::ResultGone,
        (None, [only]) => (*only).clone(),
        (None, many) => MissReason::FilesChanged { count: many.len() as u64, path: path_of(many[0]) },
    };
    (first, lines)
}

fn is_file(reason: &MissReason) -> bool {
    !path_of(reason).is_empty()
}

fn path_of(reason: &MissReason) -> String {
    match reason {
        MissReason::FileChanged { path }
        | MissReason::FileAdded { path }
        | MissReason::FileRemoved { path } => path.clone(),
        _ => String::new(),
    }
}

/// Everything that differs, the most telling first.
fn differences(node: &Node, below: Option<&Node>, before: &Inputs, now: &Inputs) -> Vec<MissReason> {
    let mut reasons = Vec::new();
    let old: BTreeMap<&str, &[u8]> =
        before.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let new: BTreeMap<&str, &[u8]> =
        now.fields.iter().map(|(name, value)| (name.as_str(), value.as_slice())).collect();
    let mut names: Vec<&str> = old.keys().chain(new.keys()).copied().collect();
    names.sort_unstable();
    names.dedup();
    let changed: Vec<&str> = names.into_iter().filter(|name| old.get(name) != new.get(name)).collect();

    let text_changed = changed.contains(&TEXT);
    // An argument that one of them does not have belongs to another text.
    let told = |name: &&&str| !text_changed || old.contains_key(**name) && new.contains_key(**name);
    let args = changed.iter().filter(told).filter_map(|name| name.strip_prefix("arg "));
    reasons.extend(args.clone().map(|name| MissReason::ArgChanged { name: name.to_owned() }));
    let arg_names: Vec<&str> = args.collect();
    if text_changed && arg_names.is_empty() {
        let text = |fields: &BTreeMap<&str, &[u8]>| {
            fields.get(TEXT).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
        };
        reasons.push(MissReason::InstructionChanged { old: text(&old), new: text(&new) });
    }
    for name in &changed {
        match name.strip_prefix("env ") {
            Some(variable) if !arg_names.contains(&variable) => {
                reasons.push(MissReason::EnvChanged { name: variable.to_owned() })
            }
            _ => {}
        }
    }
    // The names of files are not always at hand, their digest is: without a difference there, nothing is told of them.
    if changed.iter().any(|name| name.starts_with("files ")) {
        reasons.extend(file_differences(&before.files, &now.files));
    }
    if changed.contains(&"base") {
        reasons.push(match below.map(|below| (&below.op, &below.about)) {
            Some((Op::Image(image), _)) => MissReason::BaseChanged { reference: image.display.clone() },
            Some((_, about)) => MissReason::ParentRebuilt { step: about.text.clone() },
            None => MissReason::ParentRebuilt { step: "FROM scratch".to_owned() },
        });
    }
    let has_files = reasons.iter().any(is_file);
    for name in changed {
        let told = name == TEXT || name == "base" || name.starts_with("arg ") || name.starts_with("env ");
        let of_text = text_changed && (name.starts_with("argument") || matches!(node.op, Op::Copy(_)));
        let of_files = name.starts_with("files ") && has_files;
        if !told && !of_text && !of_files {
            let what = if name.starts_with("files ") { "what it copies" } else { name };
            reasons.push(MissReason::SettingChanged { what: what.to_owned() });
        }
    }
    reasons
}

fn file_differences(before: &[InputFile], now: &[InputFile]) -> Vec<MissReason> {
    let by_path = |files: &[InputFile]| -> BTreeMap<Vec<u8>, [u8; 32]> {
        files.iter().map(|file| (file.path.clone(), file.print)).collect()
    };
    let (before, now) = (by_path(before), by_path(now));
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let mut reasons = Vec::new();
    for (path, print) in &now {
        match before.get(path) {
            None => reasons.push(MissReason::FileAdded { path: text(path) }),
            Some(old) if old != print => reasons.push(MissReason::FileChanged { path: text(path) }),
            Some(_) => {}
        }
    }
    reasons.extend(
        before
            .keys()
            .filter(|path| !now.contains_key(*path))
            .map(|path| MissReason::FileRemoved { path: text(path) }),
    );
    reasons
}

#[cfg(test)]
mod tests {
    use super::*;
    use ireko_graph::{About, op::MakeDir};
    use ireko_oci::GuestPath;

    fn node(text: &str, args: &[(&str, &str)]) -> Node {
        let args = args.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let about =
            About { stage: "app".into(), step: 2, steps: 3, text: text.into(), args, ..About::default() };
        let op = Op::MakeDir(MakeDir { path: GuestPath::root(), user: String::new() });
        Node { op, base: None, inputs: Vec::new(), after: Vec::new(), about, reuse: Reuse::Always }
    }

    fn file(path: &str, print: u8) -> InputFile {
        InputFile { path: path.into(), print: [print; 32] }
    }

    type Side<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a [(&'a str, &'a str)], &'a [InputFile]);

    fn check(before: Side<'_>, now: Side<'_>, expect: &[&str]) {
        let side = |(text, args, fields, files): Side<'_>| {
            let fields =
                fields.iter().map(|(name, value)| ((*name).to_owned(), value.as_bytes().to_vec())).collect();
            inputs(&node(text, args), &Declared { fields }, files)
        };
        let reasons: Vec<String> =
            differences(&node(now.0, now.1), Some(&node("RUN below", &[])), &side(before), &side(now))
                .iter()
                .map(ToString::to_string)
                .collect();
        assert_eq!(reasons, expect);
    }

    #[test]
    fn differences_are_told_in_the_users_words() {
        let none: &[InputFile] = &[];
        check(("RUN make", &[], &[], none), ("RUN make", &[], &[], none), &[]);
        check(
            ("RUN make", &[], &[("argument", "make")], none),
            ("RUN make all", &[], &[("argument", "make all")], none),
            &["instruction changed, it was `RUN make`"],
        );
        check(
            ("RUN x", &[("V", "1")], &[("env V", "1")], none),
            ("RUN x", &[("V", "2")], &[("env V", "2")], none),
            &["build argument `V` changed"],
        );
        check(
            ("RUN x", &[], &[("env V", "1")], none),
            ("RUN x", &[], &[("env V", "2")], none),
            &["environment variable `V` changed"],
        );
        check(
            ("RUN x", &[], &[("user", "a")], none),
            ("RUN x", &[], &[("user", "b")], none),
            &["user changed"],
        );
        check(
            ("COPY . .", &[], &[("files 0", "a")], &[file("a", 1), file("b", 1), file("c", 1)]),
            ("COPY . .", &[], &[("files 0", "b")], &[file("a", 1), file("b", 2), file("d", 1)]),
            &["`b` changed", "`d` is new", "`c` is gone"],
        );
        check(
            ("RUN x", &[], &[("base", "1")], none),
            ("RUN x", &[], &[("base", "2")], none),
            &["`RUN below` gave another result"],
        );
    }
}
