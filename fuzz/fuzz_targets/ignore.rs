//! An ignore file and a path, split at the first zero byte: no pattern may hang or panic.
#![no_main]

use ireko_dockerfile::ignore::Patterns;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (Some(text), Some(path)) = (parts.next(), parts.next()) else { return };
    let (Ok(patterns), Ok(path)) = (Patterns::parse(text), std::str::from_utf8(path)) else { return };
    let _ = patterns.matches(path);
});
