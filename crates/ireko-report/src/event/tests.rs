//! Sinks, and the JSON of events: a format others read (`docs/format/events.md`).

use super::*;
use crate::Span;
use expect_test::{Expect, expect};
use serde_json::Value;

#[test]
fn sinks_take_events() {
    let seen = Mutex::new(Vec::new());
    let forward = |event: Event| seen.emit(event);
    let sinks: [&dyn Sink; 2] = [&forward, &Null];
    for sink in sinks {
        sink.emit(Event::StepStarted { node: 1 });
    }
    assert_eq!(*seen.lock().unwrap(), [Event::StepStarted { node: 1 }]);
}

#[track_caller]
fn check(events: &[Event], expect: Expect) {
    let lines: Vec<String> = events.iter().map(|event| serde_json::to_string(event).unwrap()).collect();
    expect.assert_eq(&lines.join("\n"));
}

#[test]
fn the_json_of_a_build() {
    let name = str::to_owned;
    check(
        &[
            Event::BuildStarted { steps: 2 },
            Event::StepQueued {
                node: 0,
                stage: name("app"),
                display: name("[app 1/2] RUN make"),
                platform: None,
            },
            Event::StepStarted { node: 0 },
            Event::StepLog { node: 0, stream: Stream::Stderr, bytes: b"a\xff\n".to_vec() },
            Event::Progress { node: None, what: name("exporting"), done: 5, total: Some(10) },
            Event::BaseResolved {
                node: 1,
                reference: name("a"),
                from: name("store"),
                digest: name("sha256:0"),
            },
            Event::MissExplained { node: 0, lines: vec![name("`a` changed")] },
            Event::Exported {
                destination: name("a.tar"),
                image: Some(name("sha256:1")),
                manifest: None,
                bytes: 7,
            },
            Event::BuildFinished { success: true, elapsed_ms: 12 },
        ],
        expect![[r#"
            {"event":"build-started","steps":2}
            {"event":"step-queued","node":0,"stage":"app","display":"[app 1/2] RUN make","platform":null}
            {"event":"step-started","node":0}
            {"event":"step-log","node":0,"stream":"stderr","bytes":"a�\n"}
            {"event":"progress","node":null,"what":"exporting","done":5,"total":10}
            {"event":"base-resolved","node":1,"reference":"a","from":"store","digest":"sha256:0"}
            {"event":"miss-explained","node":0,"lines":["`a` changed"]}
            {"event":"exported","destination":"a.tar","image":"sha256:1","manifest":null,"bytes":7}
            {"event":"build-finished","success":true,"elapsed_ms":12}"#]],
    );
}

#[test]
fn the_json_of_ends_and_diagnostics() {
    let finished = |end, miss| Event::StepFinished { node: 3, end, miss };
    let failed = StepEnd::Failed { exit_code: Some(2), message: "exit code: 2".to_owned() };
    let diagnostic =
        Diagnostic::warning("a-code", "a message").label(Span { start: 1, end: 4 }, "here").with_hint("do");
    check(
        &[
            finished(StepEnd::Hit, None),
            finished(StepEnd::Ran { elapsed_ms: 4 }, Some(MissReason::FileChanged { path: "a".to_owned() })),
            finished(StepEnd::CutOff, Some(MissReason::NeverBuilt)),
            finished(failed, None),
            Event::Warning { diagnostic },
        ],
        expect![[r#"
            {"event":"step-finished","node":3,"end":{"kind":"hit"},"miss":null}
            {"event":"step-finished","node":3,"end":{"kind":"ran","elapsed_ms":4},"miss":{"kind":"file-changed","path":"a"}}
            {"event":"step-finished","node":3,"end":{"kind":"cut-off"},"miss":{"kind":"never-built"}}
            {"event":"step-finished","node":3,"end":{"kind":"failed","exit_code":2,"message":"exit code: 2"},"miss":null}
            {"event":"warning","diagnostic":{"severity":"warning","code":"a-code","message":"a message","labels":[{"span":{"start":1,"end":4},"text":"here"}],"notes":[],"hint":"do","blame":"user"}}"#]],
    );
}

/// One of each kind; whoever adds one is sent here, and to the document.
fn one_of_each() -> Vec<Event> {
    let name = String::new;
    let all = vec![
        Event::Stream { version: FORMAT, ireko: "" },
        Event::BuildStarted { steps: 0 },
        Event::StepQueued { node: 0, stage: name(), display: name(), platform: None },
        Event::StepStarted { node: 0 },
        Event::StepLog { node: 0, stream: Stream::Stdout, bytes: Vec::new() },
        Event::StepLogFile { node: 0, path: name() },
        Event::Progress { node: None, what: name(), done: 0, total: None },
        Event::StepFinished { node: 0, end: StepEnd::Hit, miss: None },
        Event::MissExplained { node: 0, lines: Vec::new() },
        Event::BaseResolved { node: 0, reference: name(), from: name(), digest: name() },
        Event::Warning { diagnostic: Diagnostic::warning("", "") },
        Event::Layers { stage: name(), platform: name(), base: None, layers: Vec::new() },
        Event::Exported { destination: name(), image: None, manifest: None, bytes: 0 },
        Event::Error {
            message: name(),
            causes: Vec::new(),
            details: Vec::new(),
            hint: None,
            blame: Blame::User,
            exit_code: 2,
        },
        Event::BuildFinished { success: true, elapsed_ms: 0 },
    ];
    for event in &all {
        match event {
            Event::Stream { .. }
            | Event::BuildStarted { .. }
            | Event::StepQueued { .. }
            | Event::StepStarted { .. }
            | Event::StepLog { .. }
            | Event::StepLogFile { .. }
            | Event::Progress { .. }
            | Event::StepFinished { .. }
            | Event::MissExplained { .. }
            | Event::BaseResolved { .. }
            | Event::Warning { .. }
            | Event::Layers { .. }
            | Event::Exported { .. }
            | Event::Error { .. }
            | Event::BuildFinished { .. } => {}
        }
    }
    all
}

fn every_reason() -> Vec<MissReason> {
    let text = String::new;
    let all = vec![
        MissReason::NeverBuilt,
        MissReason::NotAsked,
        MissReason::FileChanged { path: text() },
        MissReason::FileAdded { path: text() },
        MissReason::FileRemoved { path: text() },
        MissReason::FilesChanged { count: 0, path: text() },
        MissReason::ArgChanged { name: text() },
        MissReason::EnvChanged { name: text() },
        MissReason::InstructionChanged { old: text(), new: text() },
        MissReason::SettingChanged { what: text() },
        MissReason::BaseChanged { reference: text() },
        MissReason::ParentRebuilt { step: text() },
        MissReason::Expired { age_s: 0, allowed_s: 0 },
        MissReason::ResultGone,
    ];
    for reason in &all {
        match reason {
            MissReason::NeverBuilt
            | MissReason::NotAsked
            | MissReason::FileChanged { .. }
            | MissReason::FileAdded { .. }
            | MissReason::FileRemoved { .. }
            | MissReason::FilesChanged { .. }
            | MissReason::ArgChanged { .. }
            | MissReason::EnvChanged { .. }
            | MissReason::InstructionChanged { .. }
            | MissReason::SettingChanged { .. }
            | MissReason::BaseChanged { .. }
            | MissReason::ParentRebuilt { .. }
            | MissReason::Expired { .. }
            | MissReason::ResultGone => {}
        }
    }
    all
}

#[test]
fn the_document_has_every_kind_with_its_fields() {
    let page = include_str!("../../../../docs/format/events.md");
    assert!(page.contains(&format!("\nVersion {FORMAT}. ")), "another version");
    let has_row = |tag: &str, value: Value| {
        let fields = value.as_object().unwrap();
        let kind = fields[tag].as_str().unwrap();
        let row = format!("| `{kind}` |");
        let line = page.lines().find(|line| line.starts_with(&row));
        let line = line.unwrap_or_else(|| panic!("no `{kind}` in docs/format/events.md"));
        let cell = line.split('|').nth(2).unwrap();
        let mut told: Vec<&str> = cell.split_whitespace().map(|word| word.trim_matches('`')).collect();
        let mut there: Vec<&str> = fields.keys().map(String::as_str).filter(|name| *name != tag).collect();
        told.sort_unstable();
        there.sort_unstable();
        assert_eq!(told, there, "{line}");
    };
    one_of_each().iter().for_each(|event| has_row("event", serde_json::to_value(event).unwrap()));
    every_reason().iter().for_each(|reason| has_row("kind", serde_json::to_value(reason).unwrap()));
    let elapsed_ms = 0;
    let ends = [
        StepEnd::Hit,
        StepEnd::Ran { elapsed_ms },
        StepEnd::CutOff,
        StepEnd::Adopted { elapsed_ms },
        StepEnd::Failed { exit_code: None, message: String::new() },
        StepEnd::Cancelled,
    ];
    let diagnostic = serde_json::to_value(Diagnostic::warning("", "")).unwrap();
    let words =
        ends.iter().map(|end| serde_json::to_value(end).unwrap()["kind"].as_str().unwrap().to_owned());
    for word in words.chain(diagnostic.as_object().unwrap().keys().cloned()) {
        assert!(page.contains(&format!("`{word}`")), "`{word}` is not in docs/format/events.md");
    }
}
