//! What the tests of the rules share, and laws of the whole.

use crate::{Findings, Input, Scope, Warning, lint, outline, rules, targets};
use ireko_dockerfile::ignore::Patterns;
use ireko_dockerfile::{Ast, parse};
use ireko_oci::{ImageConfig, Platform};
use ireko_report::Diagnostic;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// What the rule finds in all stages of the text: `LINE:COLUMN: detail; advice`, with the instruction's lines before an
/// `@` where it has others.
#[track_caller]
pub(crate) fn check(rule: &str, text: &str, expected: &[&str]) {
    Case::new(rule, text).finds(expected);
}

/// A Dockerfile and what is known about its build, for one rule.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    rule: String,
    text: String,
    args: Vec<(String, Option<String>)>,
    bases: BTreeMap<(String, Platform), ImageConfig>,
    ignore: Option<Patterns>,
}

impl Case {
    pub(crate) fn new(rule: &str, text: &str) -> Self {
        assert!(rules::ALL.iter().any(|known| known.name == rule), "{rule}");
        let (rule, text) = (rule.to_owned(), text.to_owned());
        Self { rule, text, args: Vec::new(), bases: BTreeMap::new(), ignore: None }
    }

    pub(crate) fn arg(mut self, name: &str, value: &str) -> Self {
        self.args.push((name.to_owned(), Some(value.to_owned())));
        self
    }

    pub(crate) fn base(self, name: &str, change: impl Fn(&mut ImageConfig)) -> Self {
        self.base_for(name, platform(), change)
    }

    /// The config that an image has where it is asked for a platform.
    pub(crate) fn base_for(
        mut self,
        name: &str,
        platform: Platform,
        change: impl Fn(&mut ImageConfig),
    ) -> Self {
        let mut config = ImageConfig::for_platform(&platform);
        change(&mut config);
        self.bases.insert((name.to_owned(), platform), config);
        self
    }

    pub(crate) fn ignore(mut self, text: &str) -> Self {
        self.ignore = Some(Patterns::parse(text.as_bytes()).expect("an ignore file"));
        self
    }

    #[track_caller]
    pub(crate) fn finds(&self, expected: &[&str]) {
        let (ast, diagnostics) = parse("Dockerfile", self.text.as_bytes());
        let input = Input {
            build_args: self.args.clone(),
            bases: self.bases.clone(),
            ignore: self.ignore.clone(),
            ..input(&ast, &diagnostics)
        };
        let found = lint(&input).expect("the options are right");
        let own = found.warnings.iter().filter(|warning| warning.rule.name == self.rule);
        let shown: Vec<String> = own.map(|warning| shown(&ast, warning)).collect();
        assert_eq!(shown, expected, "{}", self.text);
    }
}

fn platform() -> Platform {
    Platform::new("linux", "amd64", "")
}

fn input<'a>(ast: &'a Ast, diagnostics: &'a [Diagnostic]) -> Input<'a> {
    Input { platform: platform(), target_platform: platform(), ..Input::new(ast, diagnostics) }
}

fn shown(ast: &Ast, warning: &Warning) -> String {
    let at = ast.source.position(warning.span.start);
    let (first, last) = (*warning.lines.start(), *warning.lines.end());
    let lines = match (first == last, first == at.line) {
        (true, true) => String::new(),
        (true, false) => format!("{first}@"),
        (false, _) => format!("{first}-{last}@"),
    };
    format!("{lines}{}:{}: {}; {}", at.line, at.column, warning.detail, warning.advice)
}

#[test]
fn names_and_pages_of_rules_agree() {
    let mut names: Vec<&str> = rules::ALL.iter().map(|rule| rule.name).collect();
    names.dedup();
    assert!(names.is_sorted() && names.len() == rules::ALL.len());
    for rule in rules::ALL.iter().filter(|rule| !rule.url.is_empty()) {
        let dashed = rule.name.char_indices().fold(String::new(), |text, (at, ch)| {
            let starts = ch.is_ascii_uppercase()
                && at > 0
                && (rule.name.as_bytes()[at - 1].is_ascii_lowercase()
                    || rule.name.as_bytes().get(at + 1).is_some_and(u8::is_ascii_lowercase));
            text + if starts { "-" } else { "" } + &ch.to_ascii_lowercase().to_string()
        });
        assert_eq!(rule.url, format!("https://docs.docker.com/go/dockerfile/rule/{dashed}/"));
    }
}

/// Names of the rules, the fault, and whether a build must fail.
#[track_caller]
fn whole(text: &str, change: impl Fn(&mut Input), expected: (&[&str], Option<&str>, Option<&str>)) {
    let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
    let mut input = input(&ast, &diagnostics);
    change(&mut input);
    let found = lint(&input).unwrap_or_else(|fault| Findings { fault: Some(fault), ..Findings::default() });
    let names: Vec<&str> = found.warnings.iter().map(|warning| warning.rule.name).collect();
    let fault = found.fault.as_ref().map(|fault| fault.message.as_str());
    assert_eq!((names.as_slice(), fault, found.violation().as_deref()), expected, "{text}");
}

fn check_arg(input: &mut Input, value: &str) {
    input.build_args.push(("BUILDKIT_DOCKERFILE_CHECK".to_owned(), Some(value.to_owned())));
}

#[test]
fn what_the_file_asks_for() {
    let text = "FROM scratch as base\ncopy a /\n";
    let both = ["FromAsCasing", "ConsistentInstructionCasing"];
    let violation = "lint violation found for rules: FromAsCasing";
    whole(text, |_| {}, (&both, None, None));
    whole(&format!("#check=skip=all;error=true\n{text}"), |_| {}, (&[], None, None));
    whole(
        &format!("# check=error=true;skip=ConsistentInstructionCasing\n{text}"),
        |_| {},
        (&both[..1], None, Some(violation)),
    );
    // The argument replaces what the file says.
    whole(
        &format!("#check=skip=all\n{text}"),
        |input| check_arg(input, "skip=ConsistentInstructionCasing;error=true"),
        (&both[..1], None, Some(violation)),
    );
    whole(&format!("#check=error=true\n{text}"), |input| check_arg(input, "skip=all"), (&[], None, None));
    let wrong = "failed to parse check options: invalid check option \"what\"";
    whole(&format!("#check=what\n{text}"), |_| {}, (&[], Some(wrong), None));
    let wrong = "failed to parse BUILDKIT_DOCKERFILE_CHECK: invalid check option \"what\"";
    whole(text, |input| check_arg(input, "what"), (&[], Some(wrong), None));
}

#[test]
fn what_stops_the_inspection() {
    let parse_error = "dockerfile parse error on line 3: unknown instruction: BADCMD";
    whole(
        "FROM scratch AS Bad\nMAINTAINER me\nBADCMD\nfrom scratch AS Bad\nCMD x\n",
        |_| {},
        (&["StageNameCasing", "MaintainerDeprecated"], Some(parse_error), None),
    );
    let empty = "empty platform value from expression $BULIDPLATFORM (did you mean BUILDPLATFORM?)";
    whole(
        "FROM --platform=$BULIDPLATFORM scratch\nCMD x\n",
        |_| {},
        (&["UndefinedArgInFrom"], Some(empty), None),
    );
    let part = "failed to parse platform linux/${MYARCH}: \"\" is an invalid component of \"linux/\": platform specifier component must match \"^[A-Za-z0-9_.-]+$\": invalid argument (did you mean MY_ARCH?)";
    whole(
        "ARG MY_ARCH=amd64\nFROM --platform=linux/${MYARCH} a\n",
        |_| {},
        (&["UndefinedArgInFrom"], Some(part), None),
    );
    whole(
        "ARG a\nFROM $a\n",
        |_| {},
        (&["InvalidDefaultArgInFrom"], Some("base name ($a) should not be blank"), None),
    );
}

/// What a mistake is told as, and its lines.
#[track_caller]
fn misread(text: &str, message: &str, lines: Option<(u32, u32)>) {
    let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
    let found = lint(&input(&ast, &diagnostics)).expect("the options are right");
    let fault = found.fault.expect("a fault");
    let seen = fault.lines.map(|lines| lines.into_inner());
    assert_eq!((fault.message.as_str(), seen), (message, lines), "{text}");
}

#[test]
fn mistakes_of_the_text() {
    // Within an instruction: its first line is told, whatever line the mistake is in.
    misread(
        "FROM scratch\nCOPY \\\n  --form=a \\\n  b /\n",
        "dockerfile parse error on line 2: unknown flag: --form",
        Some((2, 4)),
    );
    misread(
        "FROM scratch\nRUN --mount=type=x \\\n  y\n",
        "dockerfile parse error on line 2: unsupported mount type \"x\"",
        Some((2, 3)),
    );
    // Where the text cannot be split; that is found before what is wrong in any instruction.
    misread("FROM scratch AS Bad\nRNU x\nENV a\n", "ENV must have two arguments", Some((3, 3)));
    misread("FROM scratch\nCOPY <<A /\nb\nc\n", "unterminated heredoc", Some((2, 4)));
    misread("# escape=x\nFROM scratch\n", "invalid escape token 'x' does not match ` or \\", Some((1, 1)));
    // Of the whole.
    misread("RUN x\nFROM scratch\n", "no build stage in current context: RUN before FROM", Some((1, 1)));
    misread("ARG x\n", "dockerfile contains no stages to build", None);
    misread("", "the Dockerfile cannot be empty", None);
    whole(
        "FROM scratch AS Bad\nCMD x \\\n\n y\nENV a\n",
        |_| {},
        (&[], Some("ENV must have two arguments"), None),
    );
}

#[test]
fn comments_above_from_are_not_of_triggers() {
    let text = "FROM scratch AS a\nONBUILD USER $x\n# check=skip=all\nFROM a\n# check=skip=all\nUSER $y\n";
    whole(text, |_| {}, (&["UndefinedVar"], None, None));
}

#[test]
fn stages_that_are_not_reached() {
    let text = "FROM scratch AS a\nUSER $a\nFROM scratch AS b\nUSER $b\nFROM scratch AS c\nCOPY --from=a / /\nUSER $c\n";
    let at = |scope: Scope, expected: &[u32]| {
        let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
        let found = lint(&Input { scope, ..input(&ast, &diagnostics) }).expect("the options are right");
        let lines: Vec<u32> = found.warnings.iter().map(|warning| *warning.lines.start()).collect();
        assert_eq!(lines, expected);
    };
    at(Scope::Everything, &[2, 4, 7]);
    at(Scope::Last, &[2, 7]);
    at(Scope::Targets(vec!["b".to_owned()]), &[4]);
    at(Scope::Targets(vec!["0".to_owned()]), &[2]);
    // A trigger takes files too.
    let brought = "FROM scratch AS a\nUSER $a\nFROM scratch AS b\nONBUILD COPY --from=a / /\nFROM b\n";
    whole(brought, |input| input.scope = Scope::Last, (&["UndefinedVar"], None, None));
    // So do `--from` with a variable, and an order without files.
    let named = "ARG which=a\nFROM scratch AS a\nUSER $a\nFROM scratch AS b\nARG which\nENV w=$which\nCOPY --from=$w / /\n";
    whole(named, |input| input.scope = Scope::Last, (&["UndefinedVar"], None, None));
    let after = "FROM scratch AS a\nUSER $a\nFROM --after=a scratch\n";
    whole(after, |input| input.scope = Scope::Last, (&["UndefinedVar"], None, None));
    whole(
        text,
        |input| input.contexts.extend(["a".to_owned()]),
        (&["UndefinedVar", "UndefinedVar"], None, None),
    );
}

#[test]
fn outlines() {
    let text = "# tag which base\nARG tag=1\nARG name=app:$tag\nARG unused=2\nFROM $name AS base\nARG inherited\nRUN --mount=type=cache,target=/c --mount=type=ssh true\n\
        FROM scratch AS other\nARG elsewhere=3\n# final what runs\n# check=skip=all\nFROM base AS final\n# mode how it is built\nARG mode=fast tag\n\
        RUN --mount=type=secret,id=pass,required=true --mount=type=secret,target=/x/y true\n";
    let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
    let mut input = input(&ast, &diagnostics);
    input.build_args.push(("mode".to_owned(), Some("slow".to_owned())));
    let found = outline(&input).expect("an outline");
    let args: Vec<String> = found
        .args
        .iter()
        .map(|arg| format!("{}:{}={} {}", arg.lines.start(), arg.name, arg.value, arg.description))
        .collect();
    assert_eq!(
        args,
        ["2:tag=1 which base", "3:name=app:1 ", "6:inherited= ", "14:mode=slow how it is built"]
    );
    assert_eq!((found.name.as_str(), found.description.as_str()), ("final", "what runs"));
    let secrets: Vec<(&str, bool)> =
        found.secrets.iter().map(|one| (one.name.as_str(), one.required)).collect();
    assert_eq!(secrets, [("pass", true), ("y", false)]);
    assert_eq!((found.ssh[0].name.as_str(), found.caches[0].id.as_str()), ("default", "/c"));
    let other = Scope::Targets(vec!["other".to_owned()]);
    let found = outline(&Input { scope: other, ..input }).expect("an outline");
    assert_eq!(found.args.iter().map(|arg| arg.name.as_str()).collect::<Vec<_>>(), ["elsewhere"]);
}

#[test]
fn targets_are_listed() {
    let text = "# build makes it\nFROM --platform=$BUILDPLATFORM app AS Build\n# not of it\nFROM build\n";
    let shown: Vec<String> = targets(&parse("Dockerfile", text.as_bytes()).0)
        .iter()
        .map(|one| {
            format!("{}|{}|{}|{}|{}", one.name, one.description, one.base, one.platform, one.is_default)
        })
        .collect();
    assert_eq!(shown, ["build|makes it|app|$BUILDPLATFORM|false", "||build||true"]);
}

/// Pieces of Dockerfiles, so that most random texts get past the parser.
fn piece() -> impl Strategy<Value = String> {
    prop_oneof![
        Just("FROM ${a:-scratch} AS b\n".to_owned()),
        Just("FROM --platform=$x b\n".to_owned()),
        Just("from b as c\n".to_owned()),
        Just("ARG a=$b token\n".to_owned()),
        Just("ENV a=$a$a$b é ${é/e/$c}\n".to_owned()),
        Just("ENV a b\n".to_owned()),
        Just("# check=skip=all;experimental=all\n".to_owned()),
        Just("COPY --from=b --chown=$a <<E $a /$b\n$e\nE\n".to_owned()),
        Just("RUN --mount=type=cache,target=$a,id=$b x\n".to_owned()),
        Just("EXPOSE $a 1:2/TCP [::]:1:2/udp\n".to_owned()),
        Just("CMD x \\\n\n y\n".to_owned()),
        Just("WORKDIR $a\n".to_owned()),
        Just("ONBUILD ARG secret=$z\n".to_owned()),
        "\\PC{0,20}\n",
    ]
}

proptest! {
    #[test]
    fn any_text_is_inspected(pieces in proptest::collection::vec(piece(), 0..12), bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
        let mut text = pieces.concat().into_bytes();
        text.extend(bytes);
        let (ast, diagnostics) = parse("Dockerfile", &text);
        let mut input = input(&ast, &diagnostics);
        input.ignore = Patterns::new(["a", "*.md"]).ok();
        let Ok(found) = lint(&input) else { return Ok(()) };
        for warning in &found.warnings {
            prop_assert!(!warning.detail.is_empty() && !warning.advice.is_empty());
            prop_assert!(warning.span.range().end <= ast.source.text().len());
            prop_assert!(ast.source.text().get(warning.span.range()).is_some());
            prop_assert!(warning.lines.start() <= warning.lines.end() && *warning.lines.end() <= ast.source.line_count().max(1));
        }
        prop_assert!(found.fault.is_some() || !ast.stages.is_empty());
        let _ = (outline(&input), targets(&ast));
    }
}

/// Ten times the text takes ten times the time; forty times would be too much, and a hundred times is what a loop in a
/// loop takes.
#[test]
fn long_texts_take_their_length() {
    let stages = |count: usize| {
        let stage = |at: usize| {
            format!("FROM scratch AS s{at}\nENV v{at}=$v{at} w=$w$w$w\nCOPY $nope{at} a /\nCMD x\nCMD y\n")
        };
        (0..count).map(stage).collect::<String>()
    };
    let words = |count: usize| {
        format!("FROM scratch\nENV {} z=\nUSER {}\n", "a=$b \\\n".repeat(count), "$a\\\n".repeat(count))
    };
    let names = |count: usize| {
        let name = "xxxx\\\n".repeat(count / 4);
        format!("FROM scratch\nENV {name}=1\nUSER ${name}x\n")
    };
    let blanks = |count: usize| format!("FROM scratch\n{}", "USER \\\n\n a\n".repeat(count));
    let comments = |count: usize| {
        let variables: String = (0..count).map(|at| format!(" $v{at}")).collect();
        format!("FROM scratch\n{}COPY{variables} /\n", "# check=skip=None\n".repeat(count))
    };
    // Each takes one that is not set, with a near name and without.
    let variables = |count: usize| {
        let line =
            |at: usize| format!("ARG a_{at}=x\nENV v_{at}=$v_{at}$v_{at}x$nothing_{at} w_{at}=$a_{at}\n");
        format!("FROM scratch\n{}", (0..count).map(line).collect::<String>())
    };
    for (what, text, count) in [
        ("variables", &variables as &dyn Fn(usize) -> String, 100),
        ("stages", &stages, 400),
        ("words", &words, 4000),
        ("names", &names, 20_000),
        ("blanks", &blanks, 2000),
        ("comments", &comments, 500),
    ] {
        let time = |count: usize| {
            let text = text(count);
            let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
            let input = input(&ast, &diagnostics);
            let runs = (0..3).map(|_| {
                let begin = std::time::Instant::now();
                assert!(lint(&input).is_ok_and(|found| found.fault.is_none()));
                begin.elapsed().as_secs_f64()
            });
            runs.fold(f64::MAX, f64::min)
        };
        let (small, large) = (time(count), time(10 * count));
        assert!(large < 40.0 * small + 0.2, "{what}: {small} s, and {large} s for ten times as much");
    }
}

/// The guide has a section for each rule, with an example that breaks it and one that does not.
#[test]
fn the_guide_is_right() {
    let guide = include_str!("../../../docs/user/lint.md");
    let (_, sections) = guide.split_once("## The rules\n").expect("a chapter of the rules");
    let sections: BTreeMap<&str, &str> =
        sections.split("### ").skip(1).filter_map(|section| section.split_once('\n')).collect();
    assert_eq!(sections.keys().copied().collect::<Vec<_>>(), rules::ALL.map(|rule| rule.name));
    for (name, section) in sections {
        let blocks: Vec<&str> = section.split("```").collect();
        let [_, wrong, _, right, _] = blocks[..] else { panic!("{name} has not two examples") };
        for (block, breaks) in [(wrong, true), (right, false)] {
            let text = block.strip_prefix("dockerfile\n").expect("a Dockerfile");
            let (ast, diagnostics) = parse("Dockerfile", text.as_bytes());
            let mut input = input(&ast, &diagnostics);
            input.ignore = Patterns::new(["secrets"]).ok();
            let mut foreign = ImageConfig::for_platform(&Platform::new("linux", "arm64", ""));
            foreign.rootfs.diff_ids = vec![ireko_oci::Digest::of(b"a layer")];
            input.bases.insert(("example.com/arm".to_owned(), platform()), foreign);
            let found = lint(&input).expect("the options are right");
            assert_eq!(found.fault, None, "{name}: {text}");
            assert_eq!(found.warnings.iter().any(|one| one.rule.name == name), breaks, "{name}: {text}");
        }
    }
}
