//! One CMD, ENTRYPOINT and HEALTHCHECK in a stage: of several, the last alone counts.

use crate::dispatch::Step;
use crate::report::{Found, Report, Rule};
use ireko_dockerfile::Place;
use ireko_report::Span;

pub(crate) static RULE: Rule = Rule {
    name: "MultipleInstructionsDisallowed",
    description: "Multiple instructions of the same type should not be used in the same stage",
    url: "https://docs.docker.com/go/dockerfile/rule/multiple-instructions-disallowed/",
    experimental: false,
};

/// The last of each kind in this stage.
#[derive(Debug, Default)]
pub(crate) struct Last {
    cmd: Option<(Place, Span)>,
    entrypoint: Option<(Place, Span)>,
    healthcheck: Option<(Place, Span)>,
}

impl Last {
    pub(crate) fn cmd(&mut self, step: &Step, report: &mut Report) {
        said(&mut self.cmd, step, report);
    }

    pub(crate) fn entrypoint(&mut self, step: &Step, report: &mut Report) {
        said(&mut self.entrypoint, step, report);
    }

    pub(crate) fn healthcheck(&mut self, step: &Step, report: &mut Report) {
        said(&mut self.healthcheck, step, report);
    }
}

/// The earlier one is told of: it is the one that does nothing. It is the later one that breaks the rule, so a comment
/// above that one leaves it out.
fn said(last: &mut Option<(Place, Span)>, step: &Step, report: &mut Report) {
    let span = step.span(step.place.keyword.span);
    if let Some((earlier, span)) = last.replace((step.place.clone(), span)) {
        let word = step.keyword;
        let detail = format!(
            "Multiple {word} instructions should not be used in the same stage because only the last one will be used"
        );
        let advice = format!("remove it: line {} replaces it", step.place.lines.start());
        report.add_under(&RULE, (&earlier, step.place), Found { span, detail, advice });
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::check;

    #[test]
    fn said_again() {
        let rule = "MultipleInstructionsDisallowed";
        let of = |line: u32, word: &str, by: u32| {
            format!(
                "{line}:1: Multiple {word} instructions should not be used in the same stage because only the last one will be used; remove it: line {by} replaces it"
            )
        };
        let text = "FROM scratch\nCMD [\"a\"]\nENTRYPOINT [\"a\"]\nHEALTHCHECK NONE\nCMD [\"b\"]\nENTRYPOINT [\"b\"]\nHEALTHCHECK CMD b\nCMD [\"c\"]\n";
        let expected = [of(2, "CMD", 5), of(3, "ENTRYPOINT", 6), of(4, "HEALTHCHECK", 7), of(5, "CMD", 8)];
        check(rule, text, &expected.each_ref().map(String::as_str));
        // The comment above the later one counts.
        let skip = "# check=skip=MultipleInstructionsDisallowed\n";
        let [one, two] = ["CMD [\"a\"]\n", "CMD [\"b\"]\n"];
        check(rule, &format!("FROM scratch\n{one}{skip}{two}"), &[]);
        check(rule, &format!("FROM scratch\n{skip}{one}{two}"), &[&of(3, "CMD", 4)]);
        check(rule, "FROM scratch AS a\nCMD [\"a\"]\nFROM a\nCMD [\"b\"]\n", &[]);
    }
}
