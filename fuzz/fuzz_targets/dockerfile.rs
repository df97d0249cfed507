//! Any bytes parse to something; so does every value inside that has a small language of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let (ast, diagnostics) = ireko_dockerfile::parse("Dockerfile", bytes);
    let _ = (format!("{ast:?}"), format!("{diagnostics:?}"));
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = ireko_dockerfile::mount::parse(text, &mut |word| Ok(word.to_owned()));
        let _ = ireko_dockerfile::expose::parse(text);
        let _ = ireko_dockerfile::chmod::parse(text);
        let _ = (ireko_dockerfile::duration::parse(text), ireko_dockerfile::duration::lifetime(text));
        let _ = ireko_dockerfile::device::parse(text);
        let _ = ireko_dockerfile::owner::parse(text);
    }
});
