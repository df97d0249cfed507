//! What an inspection finds, and where it is gathered.

use crate::checks::{self, Checks};
use ireko_dockerfile::Place;
use ireko_report::{Diagnostic, Span};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// What a rule is called and stands for.
#[derive(Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its name, as in `# check=skip=`.
    pub name: &'static str,
    /// What it demands, in BuildKit's words.
    pub description: &'static str,
    /// Where BuildKit explains it; empty for a rule without a page.
    pub url: &'static str,
    /// Only looked at where `experimental=` asks for it.
    pub experimental: bool,
}

/// A place where a rule is broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Warning {
    /// The rule.
    pub rule: &'static Rule,
    /// What is wrong here, in BuildKit's words.
    pub detail: String,
    /// The lines of the instruction.
    pub lines: RangeInclusive<u32>,
    /// The very place.
    pub span: Span,
    /// What would be right: one sentence.
    pub advice: String,
}

impl Warning {
    /// What makes it another one.
    fn key(&self) -> (u32, u32, &str, &str) {
        (self.span.start, self.span.end, self.rule.name, &self.detail)
    }

    /// The warning as it is drawn: the rule's name is the code and begins the message.
    pub fn diagnostic(&self) -> Diagnostic {
        let message = format!("{}: {}", self.rule.name, self.detail);
        Diagnostic::warning(self.rule.name, message).at(self.span).with_hint(self.advice.clone())
    }
}

/// What stops the inspection, as it would stop BuildKit's build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, in BuildKit's words where they are known.
    pub message: String,
    /// Lines of the instruction; none for a fault of the whole.
    pub lines: Option<RangeInclusive<u32>>,
    /// The very place.
    pub span: Option<Span>,
}

/// All that was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Warnings in the order of the text.
    pub warnings: Vec<Warning>,
    /// What stopped the inspection. Some of what follows it was not looked at.
    pub fault: Option<Fault>,
    /// A warning is an error here (`error=true`).
    pub strict: bool,
}

impl Findings {
    /// Adds what was found for another platform, without what is known already.
    pub fn join(&mut self, other: Self) {
        let known: BTreeSet<_> = self.warnings.iter().map(Warning::key).collect();
        let is_new = |warning: &Warning| !known.contains(&warning.key());
        let new: Vec<Warning> = other.warnings.into_iter().filter(is_new).collect();
        self.warnings.extend(new);
        self.warnings.sort_by_key(|warning| *warning.lines.start());
        self.fault = self.fault.take().or(other.fault);
        self.strict |= other.strict;
    }

    /// What a build must fail with where warnings are errors.
    pub fn violation(&self) -> Option<String> {
        let names: BTreeSet<&str> = self.warnings.iter().map(|warning| warning.rule.name).collect();
        (self.strict && !names.is_empty()).then(|| {
            format!("lint violation found for rules: {}", names.into_iter().collect::<Vec<_>>().join(", "))
        })
    }
}

/// Gathers what the rules say, but for what is skipped.
#[derive(Debug, Default)]
pub(crate) struct Report {
    checks: Checks,
    /// What the comments of the instruction ask for that was told of last; many things may be told of one.
    local: Option<(Span, Checks)>,
    warnings: Vec<Warning>,
}

impl Report {
    pub(crate) fn new(checks: Checks) -> Self {
        Self { checks, ..Self::default() }
    }

    /// Whether the rule is looked at at all; spares the work where it is not.
    pub(crate) fn asks(&self, rule: &Rule) -> bool {
        rule.experimental || self.checks.asks(rule)
    }

    /// A rule is broken in the instruction at `at`; what its comments ask for counts.
    pub(crate) fn add(&mut self, rule: &'static Rule, at: &Place, found: Found) {
        self.add_under(rule, (at, at), found);
    }

    /// A rule is broken in the instruction at `at`; what the comments of another one ask for counts.
    pub(crate) fn add_under(&mut self, rule: &'static Rule, (at, by): (&Place, &Place), found: Found) {
        let local = match self.local.take() {
            Some((span, local)) if span == by.span && !by.comments.is_empty() => local,
            _ => checks::of_comments(&by.comments),
        };
        let asked = self.checks.asks(rule) || local.asks_experimental(rule);
        if asked && !local.skips(rule) {
            self.push(rule, at, found);
        }
        self.local = (!by.comments.is_empty()).then_some((by.span, local));
    }

    /// A rule of the whole file is broken at `at`: no comment counts.
    pub(crate) fn add_for_file(&mut self, rule: &'static Rule, at: &Place, found: Found) {
        if self.checks.asks(rule) {
            self.push(rule, at, found);
        }
    }

    fn push(&mut self, rule: &'static Rule, at: &Place, Found { span, detail, advice }: Found) {
        self.warnings.push(Warning { rule, detail, lines: at.lines.clone(), span, advice });
    }

    /// Everything, in the order of the text.
    pub(crate) fn finish(self, fault: Option<Fault>) -> Findings {
        let Self { checks, mut warnings, .. } = self;
        warnings.sort_by_key(|warning| *warning.lines.start());
        Findings { warnings, fault, strict: checks.strict }
    }
}

/// What a rule says of one place.
#[derive(Debug)]
pub(crate) struct Found {
    /// Where.
    pub(crate) span: Span,
    /// What is wrong.
    pub(crate) detail: String,
    /// What would be right.
    pub(crate) advice: String,
}
