//! Any bytes are inspected: all rules, the outline and the targets.
#![no_main]

use ireko_lint::{Input, lint, outline, targets};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (ast, diagnostics) = ireko_dockerfile::parse("Dockerfile", bytes);
    let mut input = Input::new(&ast, &diagnostics);
    input.ignore = ireko_dockerfile::ignore::Patterns::new(["a*", "b/"]).ok();
    input.build_args = vec![("a".to_owned(), Some("b".to_owned())), ("BUILDKIT_DOCKERFILE_CHECK".to_owned(), None)];
    for warning in lint(&input).map(|found| found.warnings).unwrap_or_default() {
        assert!(ast.source.text().get(warning.span.range()).is_some());
        assert!(warning.lines.start() <= warning.lines.end());
    }
    let _ = (outline(&input), targets(&ast));
});
