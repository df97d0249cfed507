//! Any bytes are planned, as far as they are a Dockerfile: with a build argument, for two targets and two platforms.
#![no_main]

use ireko_oci::Platform;
use ireko_plan::{Facts, PlanInput, plan};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (ast, diagnostics) = ireko_dockerfile::parse("Dockerfile", bytes);
    if diagnostics.iter().any(|found| found.is_error()) {
        return;
    }
    let mut input = PlanInput::new(ast);
    input.build_args = vec![("a".to_owned(), Some("b".to_owned()))];
    let _ = plan(&input, &Facts::default());
    input.targets = vec!["a".to_owned(), "0".to_owned()];
    input.target_platforms = vec![Platform::new("linux", "amd64", ""), Platform::new("linux", "arm64", "")];
    let _ = plan(&input, &Facts::default());
});
