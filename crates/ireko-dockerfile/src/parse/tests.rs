//! Dockerfiles and what is read from them.

use super::parse;
use crate::ast::{InstructionKind, RunForm, Source};
use expect_test::{Expect, expect};
use proptest::prelude::*;
use std::fmt::Write;

#[track_caller]
fn check(text: &str, expect: Expect) {
    let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
    let mut shown = String::new();
    for (stage, place) in ast.places() {
        let stage = stage.map_or("-".to_owned(), |stage| stage.to_string());
        writeln!(shown, "{stage} {:?} {}", place.lines, place.original).unwrap();
    }
    for found in &diagnostics {
        let span = found.span().unwrap();
        let at = ast.source.position(span.start);
        let hint = found.hint.as_ref().map(|hint| format!(" ({hint})")).unwrap_or_default();
        writeln!(
            shown,
            "{}:{} {:?} {}{hint} <{}>",
            at.line,
            at.column,
            found.severity,
            found.message,
            ast.source.slice(span)
        )
        .unwrap();
    }
    expect.assert_eq(&shown);
}

#[test]
fn stages_and_lines() {
    check(
        "# syntax=docker/dockerfile:1\nARG V=1\nFROM a:$V AS One\n# about\nRUN x \\\n  # inside\n\n  y\n\nfrom one\r\nCOPY <<A <<-B /d\r\na\r\nA\r\n\tB\r\n",
        expect![[r#"
            - 2..=2 ARG V=1
            0 3..=3 FROM a:$V AS One
            0 5..=8 RUN x   y
            1 10..=10 from one
            1 11..=14 COPY <<A <<-B /d
            5:1 Warning Empty continuation line found in: RUN x   y (take the empty line out, or make it a comment) <RUN x \
              # inside

              y>
        "#]],
    );
}

#[test]
fn several_errors_at_once() {
    check(
        "FORM a\nRUN x\nFROM a AS 1b\nCOPY --form=x a\nRUN --mount=type=cach,target=/a --network=off x\nHEALTHCHECK --interval=5 CMD x\nSHELL x\nONBUILD FROM x\nONBUILD CPOY a b\nCMD [1]\nRUN <<EOF\n",
        expect![[r#"
            0 3..=3 FROM a AS 1b
            0 9..=9 ONBUILD CPOY a b
            1:1 Error unknown instruction: FORM (did you mean FROM?) <FORM>
            2:1 Error no build stage in current context: RUN before FROM (begin the stage with FROM; only ARG may stand before it) <RUN x>
            3:11 Error invalid name for build stage: "1b", name can't start with a number or contain symbols (write FROM image AS name) <1b>
            4:1 Error COPY requires at least two arguments, but only one was provided. Destination could not be determined <COPY --form=x a>
            4:6 Error unknown flag: --form (did you mean --from?) <--form=x>
            5:13 Error unsupported mount type "cach" (did you mean cache?) <type=cach,target=/a>
            5:43 Error invalid network mode "off" (it is one of default, none, host) <off>
            6:24 Error invalid duration `5`: a unit is missing (ns, us, ms, s, m, h) <5>
            7:1 Error SHELL requires the arguments to be in JSON form (write SHELL ["program", "argument"]) <SHELL x>
            8:9 Error FROM isn't allowed as an ONBUILD trigger <FROM>
            9:9 Warning unknown instruction: CPOY (did you mean COPY?) <CPOY>
            10:5 Error when using JSON array syntax, arrays must be comprised of strings only <[1]>
            11:5 Error unterminated heredoc (end the text by a line that reads `EOF` and nothing else) <<<EOF>
        "#]],
    );
}

#[test]
fn arrays_that_are_not_json() {
    check(
        "FROM a\nCMD ['a','b']\nRUN [\"a\", b]\nRUN [ \"$x\" = b ] && c\nCOPY ['a b', c] /d/\nCOPY [ab].txt d\nHEALTHCHECK CMD [a, b]\nONBUILD ENTRYPOINT ['a']\nVOLUME [\"/a\" \\\n  \"/b\"]\n",
        expect![[r#"
            0 1..=1 FROM a
            0 2..=2 CMD ['a','b']
            0 3..=3 RUN ["a", b]
            0 4..=4 RUN [ "$x" = b ] && c
            0 5..=5 COPY ['a b', c] /d/
            0 6..=6 COPY [ab].txt d
            0 7..=7 HEALTHCHECK CMD [a, b]
            0 8..=8 ONBUILD ENTRYPOINT ['a']
            0 9..=10 VOLUME ["/a"   "/b"]
            2:5 Warning what looks like an array is not JSON, so CMD takes it as shell text (JSON strings stand in double quotes: ["one", "two"]) <['a','b']>
            3:5 Warning what looks like an array is not JSON, so RUN takes it as shell text (write every word in double quotes, with commas between: ["one", "two"]) <["a", b]>
            5:6 Warning what looks like an array is not JSON, so COPY takes it as plain words (JSON strings stand in double quotes: ["one", "two"]) <['a b', c] /d/>
            7:17 Warning what looks like an array is not JSON, so HEALTHCHECK takes it as shell text (write every word in double quotes, with commas between: ["one", "two"]) <[a, b]>
            8:20 Warning what looks like an array is not JSON, so ENTRYPOINT takes it as shell text (JSON strings stand in double quotes: ["one", "two"]) <['a']>
            9:8 Warning what looks like an array is not JSON, so VOLUME takes it as plain words (write every word in double quotes, with commas between: ["one", "two"]) <["/a" \
              "/b"]>
        "#]],
    );
}

#[test]
fn whole_files_that_are_wrong() {
    check(
        "",
        expect![[r#"
        1:1 Error the Dockerfile cannot be empty <>
    "#]],
    );
    check(
        "ARG a\n",
        expect![[r#"
            - 1..=1 ARG a
            1:6 Error dockerfile contains no stages to build <>
        "#]],
    );
    check(
        "# escape=x\n# syntax=a\n# syntax=b\nFROM a\n",
        expect![[r#"
        0 4..=4 FROM a
        1:10 Error invalid escape token 'x' does not match ` or \ <x>
        3:1 Error only one syntax parser directive can be used <# syntax=b>
    "#]],
    );
}

fn kinds(text: &str) -> Vec<InstructionKind> {
    let (ast, diagnostics) = parse("Dockerfile", format!("FROM a\n{text}").as_bytes());
    assert_eq!(diagnostics, []);
    ast.stages.into_iter().flat_map(|stage| stage.instructions).map(|instruction| instruction.kind).collect()
}

#[test]
fn heredocs_say_what_is_run() {
    let form = |text: &str| match &kinds(text)[0] {
        InstructionKind::Run(run) => run.form(),
        other => panic!("{other:?}"),
    };
    assert_eq!(form("RUN a b\n"), RunForm::Shell("a b".to_owned()));
    assert_eq!(form("RUN [\"a\", \"b\"]\n"), RunForm::Exec(vec!["a".to_owned(), "b".to_owned()]));
    assert_eq!(form("RUN <<-E\n\ta\n\tE\n"), RunForm::Shell("a\n".to_owned()));
    assert_eq!(form("RUN python <<E > x\na\nE\n"), RunForm::Shell("python <<E > x\na\nE".to_owned()));
    let script = RunForm::Script { name: "E".to_owned(), content: b"#!/bin/x\n".to_vec() };
    assert_eq!(form("RUN <<'E'\n#!/bin/x\nE\n"), script);
}

#[test]
fn copies_and_pairs_keep_what_is_written() {
    let copy = "COPY --from=b --chown=1:2 --link=false --exclude=*.md --exclude=x a <<E /d/\nt\nE\n";
    let kinds = kinds(&format!("{copy}ENV a=\"b c\" d=$e\\\n f=1\nLABEL x y  z\nARG q w='1 2'\n"));
    let InstructionKind::Copy(copy) = &kinds[0] else { panic!() };
    assert_eq!((copy.from.as_ref().unwrap().value.as_str(), copy.link, copy.excludes.len()), ("b", false, 2));
    assert!(
        matches!(&copy.sources[..], [Source::Path(path), Source::Heredoc(doc)] if path.value == "a" && doc.content.value == "t\n" && doc.expand)
    );
    let InstructionKind::Env(pairs) = &kinds[1] else { panic!() };
    let pairs: Vec<_> =
        pairs.iter().map(|pair| (pair.name.value.as_str(), pair.value.value.as_str())).collect();
    assert_eq!(pairs, [("a", "\"b c\""), ("d", "$e"), ("f", "1")]);
    let InstructionKind::Label(pairs) = &kinds[2] else { panic!() };
    assert_eq!(
        (pairs[0].name.value.as_str(), pairs[0].value.value.as_str(), pairs[0].spaced),
        ("x", "y  z", true)
    );
    let InstructionKind::Arg(args) = &kinds[3] else { panic!() };
    assert_eq!((args[0].value.is_none(), args[1].value.as_ref().unwrap().value.as_str()), (true, "'1 2'"));
}

#[test]
fn what_onbuild_keeps_can_be_read_again() {
    let kinds = kinds("ONBUILD COPY <<EOT /x\nhi\nEOT\n");
    let InstructionKind::Onbuild(onbuild) = &kinds[0] else { panic!() };
    assert_eq!(onbuild.text, "COPY <<EOT /x\nhi\nEOT");
    let (instruction, diagnostics) = super::parse_trigger(&onbuild.text);
    assert_eq!(diagnostics, []);
    assert!(matches!(instruction.unwrap().kind, InstructionKind::Copy(_)));
    let wrong = |text: &str| super::parse_trigger(text).1[0].message.clone();
    assert_eq!(wrong("CPOY a b"), "unknown instruction: CPOY");
    assert_eq!(wrong("FROM a"), "FROM isn't allowed as an ONBUILD trigger");
    assert_eq!(wrong(""), "an ONBUILD trigger is empty");
    assert_eq!(wrong("USER a\nUSER b"), "an ONBUILD trigger is one instruction");
}

proptest! {
    #[test]
    fn any_bytes_never_panic(text in prop::collection::vec(any::<u8>(), 0..200)) {
        parse("Dockerfile", &text);
    }

    #[test]
    fn instruction_soup_gives_the_source_back_and_spans_fit(text in "(FROM|RUN|COPY|ENV|ONBUILD|HEALTHCHECK|#|# escape=`)?[ \\\\`\"'<\\[\\]=a$é\r-]{0,12}(EOF)?(\n(RUN <<EOF|COPY --from=a|ARG|FROM a|EOF|\\[\"a\",|x)[ \\\\`\"'<=a,\\]é-]{0,12}){0,6}\n?") {
        super::parse_trigger(&text);
        let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
        prop_assert_eq!(ast.to_string(), text.clone());
        let mut last = 0;
        for (_, place) in ast.places() {
            prop_assert!(text.get(place.span.range()).is_some(), "{:?}", place.span);
            prop_assert!(place.span.start >= last, "instructions overlap");
            last = place.span.end;
            prop_assert_eq!(ast.source.line_of(place.span.start), *place.lines.start());
            prop_assert_eq!(text.get(place.keyword.span.range()), Some(place.keyword.value.as_str()));
        }
        for label in diagnostics.iter().flat_map(|found| &found.labels) {
            prop_assert!(text.get(label.span.range()).is_some(), "{:?}", label);
        }
    }
}

#[test]
fn flags_that_nobody_reads() {
    check(
        "FROM scratch\nARG --x a=1\nSTOPSIGNAL --y TERM\nUSER --z a\n",
        expect![[r#"
            0 1..=1 FROM scratch
            0 2..=2 ARG --x a=1
            0 3..=3 STOPSIGNAL --y TERM
            2:5 Warning ARG has no flags: --x means nothing (take it out) <--x>
            3:12 Warning STOPSIGNAL has no flags: --y means nothing (take it out) <--y>
            4:6 Error unknown flag: --z (USER has no flags) <--z>
        "#]],
    );
}
