//! `--progress=json`: what builds write is what `docs/format/events.md` says.
#![expect(clippy::unwrap_used, reason = "a line that is no such object should fail the test at once")]

use crate::daemons::Registry;
use crate::support::{Place, Said};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const PAGE: &str = include_str!("../../../../docs/format/events.md");

/// The kinds of a table of the page, each with its fields.
fn table(head: &str) -> BTreeMap<String, BTreeSet<String>> {
    let lines = PAGE.lines().skip_while(|line| !line.starts_with(&format!("| `{head}`")));
    let rows = lines.skip(2).take_while(|line| line.starts_with('|'));
    let words = |cell: &str| cell.split_whitespace().map(|word| word.trim_matches('`').to_owned()).collect();
    let row = |line: &str| {
        let mut cells = line.split('|').skip(1);
        (cells.next().unwrap().trim().trim_matches('`').to_owned(), words(cells.next().unwrap()))
    };
    rows.map(row).collect()
}

#[track_caller]
fn fits(value: &Value, tag: &str, table: &BTreeMap<String, BTreeSet<String>>) {
    let kind = value[tag].as_str().unwrap();
    let mut fields: BTreeSet<String> = value.as_object().unwrap().keys().cloned().collect();
    fields.remove(tag);
    assert_eq!(table.get(kind), Some(&fields), "{value}");
}

/// Builds with these flags; every line must be an event of the page.
fn events(place: &Place, args: &[&str]) -> (i32, Vec<Value>) {
    let Said { code, stderr, .. } =
        place.ireko(&[&["build", "--progress=json"][..], args, &["context"]].concat());
    let (kinds, misses) = (table("event"), table("miss.kind"));
    let parse =
        |line: &str| serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    let events: Vec<Value> = stderr.lines().map(parse).collect();
    let mut steps = BTreeSet::new();
    for event in &events {
        fits(event, "event", &kinds);
        if event["miss"].is_object() {
            fits(&event["miss"], "kind", &misses);
        }
        if event["event"] == "step-queued" {
            steps.insert(event["node"].as_u64());
        } else if let Some(node) = event["node"].as_u64().filter(|_| event["event"] != "base-resolved") {
            assert!(steps.contains(&Some(node)), "{event}");
        }
    }
    let named = |at: Option<&Value>| at.unwrap()["event"].as_str().unwrap().to_owned();
    assert_eq!((named(events.first()), events[0]["version"].as_u64()), ("stream".to_owned(), Some(1)));
    assert_eq!(named(events.last()), "build-finished");
    assert_eq!(events.last().unwrap()["success"].as_bool(), Some(code == 0));
    (code, events)
}

fn of<'e>(events: &'e [Value], kind: &str) -> Vec<&'e Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

#[test]
fn a_build_that_works() {
    let Some(place) = Place::with_base() else { return };
    place.file("f", "one");
    place.dockerfile("from base\nCOPY f /f\nRUN echo said; echo 'with \"quotes\"' >&2\n");
    let (code, all) = events(&place, &["-t", "app"]);
    assert_eq!(code, 0);
    let log: String = of(&all, "step-log").iter().map(|event| event["bytes"].as_str().unwrap()).collect();
    assert!(log.contains("said\n") && log.contains("with \"quotes\"\n"), "{log}");
    assert!(!of(&all, "warning").is_empty(), "the keyword in small letters is told of");
    let layers = of(&all, "layers")[0];
    assert!(layers["base"].as_u64().unwrap() > 100_000, "{layers}");
    assert_eq!(layers["layers"].as_array().unwrap().len(), 2);
    assert_eq!(of(&all, "exported")[0]["destination"], "app:latest to the store");

    place.file("f", "two");
    let (_, all) = events(&place, &["-t", "app", "--explain"]);
    let misses: Vec<&Value> = of(&all, "step-finished").iter().map(|event| &event["miss"]["kind"]).collect();
    assert!(misses.iter().any(|miss| **miss == "file-changed"), "{misses:?}");
    assert!(!of(&all, "miss-explained").is_empty());
    assert!(of(&all, "error").is_empty());
}

#[test]
fn a_build_that_fails() {
    let Some(place) = Place::with_base() else { return };
    place.dockerfile("FROM base\nRUN echo broken; exit 7\n");
    let (code, all) = events(&place, &[]);
    assert_eq!(code, 1);
    let ends = of(&all, "step-finished");
    let failed = ends.iter().find(|event| event["end"]["kind"] == "failed").unwrap();
    assert_eq!(failed["end"]["exit_code"], 7);
    let error = of(&all, "error")[0];
    assert!(error["message"].as_str().unwrap().contains("exit code 7"), "{error}");
    assert_eq!((error["blame"].as_str(), error["exit_code"].as_i64()), (Some("step"), Some(1)));
    assert!(error["details"].to_string().contains("| broken"), "{error}");

    // Before any step, too.
    let (code, all) = events(&place, &["-f", "nosuch"]);
    assert_eq!((code, of(&all, "error").len(), all.len()), (2, 1, 3));
    // What is no build has no stream.
    let said = place.ireko(&["build", "--progress=json", "--network=nosuch", "context"]);
    said.fails(2, &["error: `--network nosuch` is unknown"]);
}

#[test]
fn a_build_that_transfers() {
    let (Some(place), Some(registry)) = (Place::with_base(), Registry::start()) else { return };
    place.dockerfile("FROM base\nRUN head -c 3000000 /dev/urandom > /f\n");
    let name = format!("{}/app:1", registry.address());
    let (code, all) = events(&place, &["-t", &name, "--push"]);
    assert_eq!(code, 0);
    let transfers = of(&all, "progress");
    assert!(transfers.iter().any(|event| event["total"].as_u64() > Some(1_000_000)), "{transfers:?}");
    assert!(of(&all, "exported").iter().any(|event| event["manifest"].is_string()));
    let Some(other) = Place::new() else { return };
    other.dockerfile(&format!("FROM {name}\nRUN true\n"));
    let (code, all) = events(&other, &["-t", "app"]);
    assert_eq!((code, of(&all, "base-resolved").len()), (0, 1));
}
