//! What the engine's BuildKit does differently from today's, each as a named rule that undoes exactly that.
//!
//! A rule changes both sides to what they have in common; `docs/compatibility.md` says of each by its name what old
//! BuildKit did, what today's does, and where that stands. No rule passes over a field or a path as a whole.

use crate::builders::Outcome;
use crate::case::{Case, Kind};
use crate::image::Tree;
use ireko_dockerfile::glob::Glob;
use ireko_dockerfile::ignore::{self, Patterns};
use serde_json::Value;

/// A line of the history as both have it; `None` where there is nothing to do.
type Rewrite = fn(&str) -> Option<String>;

/// Rules for one line of the history, for both sides.
const HISTORY: [(&str, Rewrite); 5] = [
    ("history-of-expose", expose_map),
    ("history-of-expose", expose_list),
    ("history-of-healthcheck", health),
    ("history-of-copy-flags", copy_flags),
    ("history-of-repeated-args", repeated),
];

/// What stands for the outcome of a pair that is not compared.
pub(crate) const NOT_COMPARED: &str = "not compared";

/// Makes the two comparable; the names of the rules that had something to do.
pub(crate) fn apply(theirs: &mut Outcome, ours: &mut Outcome, case: &Case) -> Vec<&'static str> {
    let mut used = Vec::new();
    times(theirs);
    times(ours);
    used.extend(refused(theirs, ours));
    if let Some(rule) = ignores_otherwise(case) {
        *theirs = Outcome::Failed(NOT_COMPARED.to_owned());
        *ours = Outcome::Failed(NOT_COMPARED.to_owned());
        used.push(rule);
    }
    let (Outcome::Built(theirs), Outcome::Built(ours)) = (theirs, ours) else {
        return used;
    };
    for (name, rule) in HISTORY {
        if history(&mut theirs.config, rule) | history(&mut ours.config, rule) {
            used.push(name);
        }
    }
    if arguments(&mut theirs.config, &ours.config, &case.flags) {
        used.push("history-of-arg-values");
    }
    if inherited(&mut theirs.config, &ours.config, case) {
        used.push("history-of-inherited-args");
    }
    if mount_points(&mut theirs.tree, &ours.tree, case) {
        used.push("mount-points-left");
    }
    if pipes(&theirs.tree, &mut ours.tree, case) {
        used.push("pipes-not-copied");
    }
    if archives(&mut theirs.tree, &ours.tree, case) {
        used.push("archive-in-set-group-id-directory");
    }
    if special_bits(&mut theirs.tree, &ours.tree, &case.text()) {
        used.push("chmod-and-special-bits");
    }
    used
}

/// What one of the two refuses by intent: the pair is not compared, for what it would have built is not known.
fn refused(theirs: &mut Outcome, ours: &mut Outcome) -> Option<&'static str> {
    let says = |outcome: &Outcome, words: &[&str]| match outcome {
        Outcome::Failed(said) => words.iter().all(|word| said.contains(word)),
        Outcome::Built(_) => false,
    };
    if says(theirs, &["error from sender", "not a directory"]) {
        *ours = Outcome::Failed(NOT_COMPARED.to_owned());
        return Some("client-that-enters-files");
    }
    if says(theirs, &["when using JSON array syntax, arrays must be comprised of strings only"])
        && matches!(ours, Outcome::Built(_))
    {
        *ours = Outcome::Failed(NOT_COMPARED.to_owned());
        return Some("array-and-more");
    }
    let missing = "no such file or directory";
    if matches!(ours, Outcome::Built(_))
        && (says(theirs, &["/etc/group", missing]) || says(theirs, &["/etc/passwd", missing]))
    {
        *ours = Outcome::Failed(NOT_COMPARED.to_owned());
        return Some("image-without-users");
    }
    if says(theirs, &["empty export"]) {
        *ours = Outcome::Failed(NOT_COMPARED.to_owned());
        return Some("image-without-layers");
    }
    let built = matches!(theirs, Outcome::Built(_));
    let rule = if says(ours, &["it leads out of the layer by `..`"]) {
        "archive-that-leads-out"
    } else {
        return None;
    };
    built.then(|| {
        *theirs = Outcome::Failed(NOT_COMPARED.to_owned());
        rule
    })
}

/// Whether the ignore file has meant another thing: every line was tried on the directory above a path that is as
/// deep as the line, where today's lines are tried only where they could change something, and what they did to a
/// directory goes down from there. And whether a directory was sent that is ignored, for an exception that lets
/// nothing in.
fn ignores_otherwise(case: &Case) -> Option<&'static str> {
    let lines = ignore::lines(case.ignore.join("\n").as_bytes());
    let patterns = Patterns::new(lines.iter().map(|(_, line)| line.as_str())).ok()?;
    let old: Vec<OldLine<'_>> = lines.iter().filter_map(|(_, line)| OldLine::read(line)).collect();
    let excluded =
        |path: &str| old.iter().rev().find(|line| line.matches(path)).is_some_and(|line| !line.exception);
    let entered = |dir: &str| {
        let inside = format!("{dir}/");
        !excluded(dir)
            || old.iter().any(|line| line.exception && format!("{}/", line.text).starts_with(&inside))
    };
    let reached = |path: &str| path.match_indices('/').all(|(at, _)| entered(&path[..at]));
    let file_differs = |path: &str| (reached(path) && !excluded(path)) == patterns.matches(path);
    let holds_something = |dir: &str| {
        let inside = format!("{dir}/");
        let mut below = case.context.iter().filter(|entry| entry.path.starts_with(&inside));
        below.any(|entry| !patterns.matches(&entry.path))
    };
    let dir_differs =
        |dir: &str| (reached(dir) && entered(dir)) != (!patterns.matches(dir) || holds_something(dir));
    let (dirs, files): (Vec<_>, Vec<_>) =
        case.context.iter().partition(|entry| entry.kind == Kind::Directory);
    if files.iter().any(|entry| file_differs(&entry.path)) {
        return Some("ignore-of-parents");
    }
    let differs = dirs.iter().any(|entry| dir_differs(&entry.path));
    differs.then_some("ignored-directory-with-exceptions")
}

/// A line of an ignore file as it was read.
struct OldLine<'a> {
    exception: bool,
    text: &'a str,
    glob: Glob,
}

impl<'a> OldLine<'a> {
    fn read(line: &'a str) -> Option<Self> {
        let (exception, text) = line.strip_prefix('!').map_or((false, line), |text| (true, text));
        // `**x` stood for `x` in any directory, where it is any name that ends in `x` today.
        let rest = text.strip_prefix("**").filter(|rest| !rest.is_empty() && !rest.starts_with('/'));
        let glob = rest.map_or_else(|| Glob::deep(text), |rest| Glob::deep(&format!("**/{rest}")));
        Some(Self { exception, text, glob: glob.ok()? })
    }

    fn matches(&self, path: &str) -> bool {
        let depth = self.text.split('/').count();
        let above = path.match_indices('/').nth(depth - 1).map(|(at, _)| &path[..at]);
        self.glob.matches(path) || above.is_some_and(|above| self.glob.matches(above))
    }
}

/// When something was made differs always, the comment is the builder's name, and diff IDs stand for bytes with
/// times in them; how many layers there are stays.
pub(crate) fn times(outcome: &mut Outcome) {
    let Outcome::Built(image) = outcome else { return };
    let config = &mut image.config;
    let strip = |value: &mut Value| {
        if let Some(object) = value.as_object_mut() {
            object.remove("created");
            object.remove("comment");
        }
    };
    strip(config);
    for step in config["history"].as_array_mut().into_iter().flatten() {
        strip(step);
    }
    let layers = config["rootfs"]["diff_ids"].as_array().map_or(0, Vec::len);
    config["rootfs"]["diff_ids"] = Value::from(layers);
}

/// Changes the texts of the history; true when one changed.
fn history(config: &mut Value, change: fn(&str) -> Option<String>) -> bool {
    let mut changed = false;
    for step in config["history"].as_array_mut().into_iter().flatten() {
        if let Some(text) = step["created_by"].as_str().and_then(change) {
            step["created_by"] = Value::from(text);
            changed = true;
        }
    }
    changed
}

/// `EXPOSE map[100/tcp:{} 80/tcp:{}]`, a map as Go prints it.
fn expose_map(text: &str) -> Option<String> {
    let inner = text.strip_prefix("EXPOSE map[")?.strip_suffix(']')?;
    Some(ports(inner.split(' ').map(|port| port.trim_end_matches(":{}"))))
}

/// `EXPOSE [80/tcp 100/tcp]`, a list.
fn expose_list(text: &str) -> Option<String> {
    Some(ports(text.strip_prefix("EXPOSE [")?.strip_suffix(']')?.split(' ')))
}

fn ports<'a>(ports: impl Iterator<Item = &'a str>) -> String {
    let mut ports: Vec<&str> = ports.filter(|port| !port.is_empty()).collect();
    ports.sort_unstable();
    ports.dedup();
    format!("EXPOSE {}", ports.join(" "))
}

/// `HEALTHCHECK &{["CMD-SHELL" "true"] "5s" "0s" "0s" '\x03'}` as today's
/// `HEALTHCHECK {Test:[CMD-SHELL true] Interval:5s Timeout:0s StartPeriod:0s StartInterval:0s Retries:3}`.
fn health(text: &str) -> Option<String> {
    let inner = text.strip_prefix("HEALTHCHECK &{[")?.strip_suffix('}')?;
    let (test, rest) = quoted(inner, ']')?;
    let (times, retries) = quoted(rest, '\'')?;
    let [interval, timeout, start] = times.as_slice() else { return None };
    let retries = rune(retries.strip_suffix('\'')?)?;
    Some(format!(
        "HEALTHCHECK {{Test:[{}] Interval:{interval} Timeout:{timeout} StartPeriod:{start} StartInterval:0s Retries:{retries}}}",
        test.join(" ")
    ))
}

/// Go's quoted strings up to `end`, and what follows it.
fn quoted(text: &str, end: char) -> Option<(Vec<String>, &str)> {
    let mut strings = Vec::new();
    let mut rest = text.trim_start();
    loop {
        if let Some(rest) = rest.strip_prefix(end) {
            return Some((strings, rest));
        }
        let mut stream = serde_json::Deserializer::from_str(rest).into_iter::<String>();
        strings.push(stream.next()?.ok()?);
        let taken = stream.byte_offset();
        rest = rest[taken..].trim_start();
    }
}

/// A number that Go printed as a quoted character.
fn rune(text: &str) -> Option<u32> {
    if let Some(hex) = text.strip_prefix("\\x") {
        return u32::from_str_radix(hex, 16).ok();
    }
    let named = [("\\a", 7), ("\\b", 8), ("\\t", 9), ("\\n", 10), ("\\v", 11), ("\\f", 12), ("\\r", 13)];
    let known = named.iter().find(|(name, _)| *name == text).map(|(_, number)| *number);
    known.or_else(|| text.chars().next().filter(|_| text.chars().count() == 1).map(u32::from))
}

/// `COPY --chown=1:2 --chmod=600 a /x # buildkit` without its flags, which the history had none of.
fn copy_flags(text: &str) -> Option<String> {
    let (word, mut rest) = text.split_once(' ').filter(|(word, _)| matches!(*word, "COPY" | "ADD"))?;
    let begin = rest;
    for flag in ["--chown=", "--chmod="] {
        if let Some(after) = rest.strip_prefix(flag) {
            rest = after.split_once(' ')?.1;
        }
    }
    (rest != begin).then(|| format!("{word} {rest}"))
}

/// `RUN |2 A=x A=x sh -c …`, an argument as often as it was declared, as `RUN |1 A=x sh -c …`.
fn repeated(text: &str) -> Option<String> {
    let (_, rest) = text.strip_prefix("RUN |")?.split_once(' ')?;
    let mut parts: Vec<String> = Vec::new();
    for word in rest.split(' ') {
        match parts.last_mut() {
            Some(part) if !is_argument(word) => {
                part.push(' ');
                part.push_str(word);
            }
            _ => parts.push(word.to_owned()),
        }
    }
    // The last one is followed by the command, so it is compared by its start.
    let mut kept: Vec<String> = Vec::new();
    let end = parts.len() - 1;
    for (at, part) in parts.into_iter().enumerate() {
        let before = kept.iter().position(|other| {
            if at == end { part.starts_with(&format!("{other} ")) } else { *other == part }
        });
        match before {
            Some(before) if at == end => {
                let command = part[kept[before].len() + 1..].to_owned();
                kept.push(command);
            }
            Some(_) => {}
            None => kept.push(part),
        }
    }
    Some(format!("RUN | {}", kept.join(" ")))
}

fn is_argument(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && name.chars().all(|one| one.is_ascii_uppercase() || one == '_' || one.is_ascii_digit())
    })
}

/// `ARG A` or `ARG A=default` where today's history has the value that it got: from a global ARG, a predefined one,
/// or a build argument.
fn arguments(theirs: &mut Value, ours: &Value, flags: &[String]) -> bool {
    let mut changed = false;
    let ours = ours["history"].as_array().into_iter().flatten();
    for (step, ours) in theirs["history"].as_array_mut().into_iter().flatten().zip(ours) {
        let old = step["created_by"].as_str().and_then(|text| text.strip_prefix("ARG "));
        let new = ours["created_by"].as_str().and_then(|text| text.strip_prefix("ARG "));
        let (Some(old), Some(new)) = (old, new) else { continue };
        let bare = !old.contains('=') && new.split('=').next() == Some(old);
        let given = flags.iter().any(|flag| flag == new) && old.split('=').next() == new.split('=').next();
        if old != new && (bare || given) {
            step["created_by"] = ours["created_by"].clone();
            changed = true;
        }
    }
    changed
}

/// A stage on another one forgot the arguments of that one: today's history names them first.
fn inherited(theirs: &mut Value, ours: &Value, case: &Case) -> bool {
    let is_from = |line: &&String| line.trim_start().to_uppercase().starts_with("FROM");
    if case.dockerfile.iter().filter(is_from).count() < 2 {
        return false;
    }
    let mut changed = false;
    let ours = ours["history"].as_array().into_iter().flatten();
    for (step, ours) in theirs["history"].as_array_mut().into_iter().flatten().zip(ours) {
        let old = step["created_by"].as_str().and_then(|text| text.strip_prefix("RUN "));
        let new = ours["created_by"].as_str().and_then(|text| text.strip_prefix("RUN | "));
        let (Some(old), Some(new)) = (old, new) else { continue };
        let old = old.strip_prefix("| ").unwrap_or(old);
        let first = new.split(' ').next().unwrap_or_default();
        if is_argument(first) && new.ends_with(&format!(" {old}")) {
            step["created_by"] = ours["created_by"].clone();
            changed = true;
        }
    }
    changed
}

/// A directory made for a mount stayed in the layer.
fn mount_points(theirs: &mut Tree, ours: &Tree, case: &Case) -> bool {
    // What the targets of generated mounts lead to.
    const PLACES: [&[u8]; 6] = [b"mnt", b"tmp", b"data/sub", b"data/empty", b"link/empty", b"link"];
    if !case.text().contains("--mount=") {
        return false;
    }
    let mut changed = false;
    for place in PLACES {
        let inside = [place, b"/"].concat();
        let empty = !theirs.range(inside.clone()..).next().is_some_and(|(next, _)| next.starts_with(&inside));
        // What is copied into it afterwards finds it there, and so makes none with its own owner.
        let gone = case.dockerfile.iter().any(|line| line.contains("rm -rf") || line.contains("mv "));
        if let (Some(node), Some(other)) = (theirs.get_mut(place), ours.get(place))
            && (gone && node.kind == b'5' && other.kind == b'5')
            && ((node.mode, node.owner) == (0o755, (0, 0)) && other.owner != (0, 0))
        {
            (node.mode, node.owner) = (other.mode, other.owner);
            changed = true;
        }
        let left = theirs.get(place).is_some_and(|node| node.kind == b'5') && !ours.contains_key(place);
        if left && empty {
            theirs.remove(place);
            changed = true;
        }
    }
    changed
}

/// A named pipe was passed over by COPY from a stage.
fn pipes(theirs: &Tree, ours: &mut Tree, case: &Case) -> bool {
    let is_pipe = |entry: &crate::case::Entry| match &entry.kind {
        Kind::Archive(_, members) => members.iter().any(|member| member.kind == "fifo"),
        _ => false,
    };
    if !case.context.iter().any(is_pipe) || !case.text().contains("--from=") {
        return false;
    }
    let before = ours.len();
    ours.retain(|path, node| node.kind != b'6' || theirs.contains_key(path));
    ours.len() != before
}

/// Directories that an archive made in a directory with the set-group-id bit got the bit from the kernel; today's
/// extraction sets their modes itself.
fn archives(theirs: &mut Tree, ours: &Tree, case: &Case) -> bool {
    if !case.context.iter().any(|entry| matches!(entry.kind, Kind::Archive(..))) {
        return false;
    }
    let mut changed = false;
    for (path, other) in ours {
        let parent = path.iter().rposition(|byte| *byte == b'/').map_or(&[][..], |at| &path[..at]);
        let in_one = ours.get(parent).is_some_and(|parent| parent.mode & 0o2000 != 0)
            || theirs.get(parent).is_some_and(|parent| parent.mode & 0o2000 != 0);
        if let Some(node) = theirs.get_mut(path)
            && in_one
            && node.kind == b'5'
            && other.kind == b'5'
            && node.mode == other.mode | 0o2000
            && node.mode != other.mode
        {
            node.mode = other.mode;
            changed = true;
        }
    }
    changed
}

/// `--chmod` set the permission bits alone and left set-uid, set-gid and sticky as the source has them.
fn special_bits(theirs: &mut Tree, ours: &Tree, text: &str) -> bool {
    let mut changed = false;
    if text.contains("--chmod=") {
        for (path, node) in theirs {
            let other = ours.get(path).filter(|other| other.kind == node.kind && other.mode != node.mode);
            if let Some(other) = other.filter(|other| other.mode & 0o777 == node.mode & 0o777) {
                node.mode = other.mode;
                changed = true;
            }
        }
    }
    changed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(rule: fn(&str) -> Option<String>, text: &str, expect: &str) {
        assert_eq!(rule(text).as_deref().unwrap_or("nothing to do"), expect);
    }

    #[test]
    fn ports_in_any_order_are_the_same() {
        check(expose_map, "EXPOSE map[100/tcp:{} 80/tcp:{}]", "EXPOSE 100/tcp 80/tcp");
        check(expose_list, "EXPOSE [80/tcp 100/tcp]", "EXPOSE 100/tcp 80/tcp");
        check(expose_list, "EXPOSE map[100/tcp:{}]", "nothing to do");
    }

    #[test]
    fn an_old_healthcheck_reads_as_a_new_one() {
        check(
            health,
            r#"HEALTHCHECK &{["CMD-SHELL" "a \"b\" [c]"] "5s" "1m0s" "0s" '\x03'}"#,
            r#"HEALTHCHECK {Test:[CMD-SHELL a "b" [c]] Interval:5s Timeout:1m0s StartPeriod:0s StartInterval:0s Retries:3}"#,
        );
        check(health, "HEALTHCHECK {Test:[]}", "nothing to do");
    }

    #[test]
    fn an_argument_counts_once() {
        check(repeated, "RUN |3 A=x y B=1 A=x y /bin/sh -c true", "RUN | A=x y B=1 /bin/sh -c true");
        check(repeated, "RUN |2 A=x A=x /bin/sh -c true", "RUN | A=x /bin/sh -c true");
        check(repeated, "RUN |1 A=x /bin/sh -c true", "RUN | A=x /bin/sh -c true");
        check(repeated, "RUN /bin/sh -c true", "nothing to do");
    }

    #[test]
    fn ignore_files_that_meant_another_thing() {
        let entry = |path: &str| crate::case::Entry {
            path: path.to_owned(),
            mode: "644".to_owned(),
            kind: Kind::File(String::new()),
        };
        let says = |lines: &[&str]| {
            let ignore = lines.iter().map(|line| (*line).to_owned()).collect();
            ignores_otherwise(&Case { ignore, context: vec![entry("d/a"), entry("b")], ..Case::default() })
        };
        for same in [&["*", "!d"][..], &["d"], &["d/*", "!d/a"], &["**/a"], &["*", "!d/*"]] {
            assert_eq!(says(same), None, "{same:?}");
        }
        for other in [&["d/a", "!d"][..], &["*", "!d/*", "*"], &["*", "!**/d"], &["**/d", "!d/b"]] {
            assert_eq!(says(other), Some("ignore-of-parents"), "{other:?}");
        }
    }

    #[test]
    fn flags_of_copies_go() {
        check(copy_flags, "COPY --chown=1:2 --chmod=600 a /x # buildkit", "COPY a /x # buildkit");
        check(copy_flags, "COPY a /x # buildkit", "nothing to do");
        check(copy_flags, "RUN --chown=1 x", "nothing to do");
    }
}
