//! Results that are remembered and no longer there: each is made once more, with one line, before what stands on it.

use crate::prune::size;
use crate::support::{Place, Said, is_single_id};
use std::collections::BTreeSet;

/// A remembered step, whose closing line says that it had to run only since its result was gone.
const GONE: &str = "(its result is no longer stored)";

/// A plain log in which every step that ran began once and ended once, and hits are told once.
#[track_caller]
fn one_line_a_step(said: &Said) {
    let mut seen = BTreeSet::new();
    for line in said.stderr.lines().filter(|line| line.starts_with('[') && !line.contains(" | ")) {
        // Beginning and end differ by what follows the step's text.
        assert!(seen.insert(line), "`{line}` twice in:\n{}", said.stderr);
    }
    let ends = said.stderr.lines().filter(|line| line.starts_with('[') && line.contains(": "));
    let ended: Vec<&str> = ends.filter_map(|line| line.split(']').next()).collect();
    let steps: BTreeSet<&str> = ended.iter().copied().collect();
    assert_eq!(ended.len(), steps.len(), "{}", said.stderr);
}

/// How often the step with this text ran, from the closing lines.
fn runs(said: &Said, text: &str) -> usize {
    said.ran().iter().filter(|line| line.contains(text)).count()
}

/// A step that is long enough for others to ask for its layer meanwhile.
const SLOW: &str = "RUN sleep 0.5; echo x >>/x";

#[test]
fn layers_that_were_pruned_are_made_again_once() {
    for between in ["COPY f /f\n", "WORKDIR /w\nCOPY f /f\n", "COPY f /f\nWORKDIR /w\nCOPY f /g\nRUN true\n"]
    {
        let Some(place) = Place::with_base() else { return };
        place.file("f", "f");
        let dockerfile = |last: &str| format!("FROM base\n{SLOW}\n{between}RUN echo {last} >/last\n");
        place.built(&dockerfile("1"));
        place.ireko(&["rmi", "app"]).ok();
        place.ireko(&["cache", "prune", "--filter", "type=layer", "--keep", "0s", "-f"]).ok();
        let said = place.built(&dockerfile("2"));
        one_line_a_step(&said);
        assert_eq!(runs(&said, "echo x >>/x: "), 1, "{}", said.stderr);
        assert!(said.stderr.matches(GONE).count() >= 2, "{}", said.stderr);
        assert_eq!(place.inside("cat /x /f /last"), "x\nf2\n");
        place.sound();
    }
}

#[test]
fn a_store_that_came_down_to_a_size_makes_what_went_again() {
    let Some(place) = Place::with_base() else { return };
    place.file("f", &"f".repeat(500_000));
    let dockerfile = |last: &str| {
        format!(
            "FROM base AS one\nRUN sleep 0.5; seq 400000 >/one\nCOPY f /f\nRUN cat /f >>/one\n\
             FROM base\n{SLOW}\nCOPY --from=one /one /one\nWORKDIR /w\nCOPY f /f\nRUN echo {last} >/last\n"
        )
    };
    place.built(&dockerfile("0"));
    // Records are worth more than layers; what is left of these has no room.
    let limit = size(&place) - 5_000_000;
    for (last, by_build) in [("1", false), ("2", false), ("3", true), ("4", true)] {
        place.ireko(&["rmi", "app"]).ok();
        place.dockerfile(&dockerfile(last));
        let mut command = place.command(&["build", "--progress=plain", "-t", "app", "context"]);
        if by_build {
            command.env("IREKO_CACHE_MAX_SIZE", limit.to_string());
        } else {
            place.ireko(&["cache", "prune", "--max-size", &limit.to_string(), "-f"]).ok();
        }
        let said = Said::of(command.output().expect("a build")).ok();
        one_line_a_step(&said);
        assert!(by_build || said.stderr.contains(GONE), "{}", said.stderr);
        assert_eq!(place.inside("cat /x /last; tail -c 1 /f"), format!("x\n{last}\nf"));
    }
    place.sound();
}

/// What one level unpacked is not for another to read, so it is made again.
#[test]
fn a_store_at_another_level_makes_what_it_cannot_read_again() {
    if is_single_id("it is one of the two levels") {
        return;
    }
    let Some(place) = Place::ordinary_with_base() else { return };
    // A base that both can read: one that was not unpacked yet.
    place.ireko(&["save", "-o", "base.tar", "base"]).ok();
    place.ireko(&["rmi", "base"]).ok();
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.ireko(&["load", "-i", "base.tar"]).ok();
    place.file("f", "f");
    place.built(&format!("FROM base\n{SLOW}\nWORKDIR /w\nCOPY f /f\nRUN echo 1 >/last\n"));
    let said = place.build(&["--level", "single-id"]);
    if said.code != 0 && said.stderr.contains("level") {
        eprintln!("skipped because level single-id does not work here: {}", said.stderr);
        return;
    }
    let said = said.ok();
    one_line_a_step(&said);
    assert_eq!(runs(&said, "echo x >>/x: "), 1, "{}", said.stderr);
    assert!(said.stderr.lines().count() < 40, "{}", said.stderr);
}
