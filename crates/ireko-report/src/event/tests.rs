//! Sinks, and the JSON of events: a format others read (`docs/format/events.md`).

use super::*;
use crate::Span;
use expect_test::{Expect, expect};

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
