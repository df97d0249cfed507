//! A git reference that is read is read the same from the address alone, and no password is left when it is redacted.
#![no_main]

use ireko_dockerfile::gitref::{parse, redact};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let hidden = redact(text);
    assert_eq!(redact(&hidden), hidden, "hiding twice hides no more");
    if let Ok(found) = parse(text) {
        let again = parse(&found.remote).expect("the address alone is a reference");
        assert_eq!((&again.remote, &again.short_name), (&found.remote, &found.short_name));
        assert!(!found.reference.starts_with('-'), "git must not take it for a flag");
        assert!(!found.host().contains('/'));
    }
});
