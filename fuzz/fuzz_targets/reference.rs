//! An image name that parses means the same when it is written out and parsed again.
#![no_main]

use ireko_oci::Reference;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(reference) = text.parse::<Reference>() {
        let again: Reference = reference.to_string().parse().expect("what was written parses");
        assert_eq!(again, reference);
        let familiar: Reference = reference.familiar().parse().expect("the short form parses");
        assert_eq!(familiar, reference);
    }
});
