//! Variables and a word, split at the first zero byte: every way of expanding it ends, and none panics.
#![no_main]

use ireko_dockerfile::words::Lexer;
use libfuzzer_sys::fuzz_target;
use std::collections::BTreeMap;

fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(2, |byte| *byte == 0);
    let (Some(variables), Some(word)) = (parts.next(), parts.next()) else { return };
    let (Ok(variables), Ok(word)) = (std::str::from_utf8(variables), std::str::from_utf8(word)) else { return };
    let pairs = variables.lines().filter_map(|line| line.split_once('='));
    let env: BTreeMap<String, String> =
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    for escape in ['\\', '`'] {
        let lexer = || Lexer::new(escape);
        for lexer in [lexer(), lexer().raw_quotes().skip_unset(), lexer().skip_quotes(), lexer().raw_escapes()] {
            let _ = lexer.word(word, &env);
        }
    }
});
