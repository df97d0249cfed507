//! Keys, signatures and clear-signed texts of strangers: nothing panics, and nothing is believed that a known key did not
//! sign. The first byte says what the rest is.
#![no_main]

use ireko_deb::openpgp::{Keyring, Trust, is_clear_signed, signed_part};
use libfuzzer_sys::fuzz_target;

const KEYS: &[u8] = include_bytes!("../../crates/ireko-deb/testdata/openpgp/trusted.gpg");
const SIGNED: &[u8] = include_bytes!("../../crates/ireko-deb/testdata/openpgp/by-subkey.asc");
const TEXT: &[u8] = include_bytes!("../../crates/ireko-deb/testdata/openpgp/text");

fuzz_target!(|bytes: &[u8]| {
    let Some((how, rest)) = bytes.split_first() else { return };
    let mut keys = Keyring::default();
    keys.add(KEYS).expect("keys of the tests");
    let at = 1_735_689_600;
    match how % 4 {
        0 => {
            let trust = Trust { keys: &keys, only: &[], at };
            if let Ok(signed) = trust.clear_signed(rest) {
                assert!(is_clear_signed(rest));
                assert_eq!(signed_part(rest).as_deref(), Ok(&signed.text[..]));
            }
        }
        1 => {
            let trust = Trust { keys: &keys, only: &[], at };
            if trust.detached(rest, SIGNED).is_ok() {
                assert_eq!(rest, TEXT);
            }
            let _ = trust.detached(TEXT, rest);
        }
        2 => {
            // A stranger's ring: what it says of itself is looked into where one of its keys may have signed.
            let mut strange = Keyring::default();
            if strange.add(rest).is_ok() {
                let trust = Trust { keys: &strange, only: &[], at };
                let _ = trust.clear_signed(SIGNED);
                assert!(!strange.fingerprints().is_empty());
            }
        }
        _ => {
            // The true ring with damage in it.
            let mut damaged = KEYS.to_vec();
            let place = rest.first().map_or(0, |first| usize::from(*first) * damaged.len() / 256);
            for (known, new) in damaged[place..].iter_mut().zip(rest) {
                *known = *new;
            }
            let mut ring = Keyring::default();
            if ring.add(&damaged).is_ok() {
                let _ = Trust { keys: &ring, only: &[], at }.clear_signed(SIGNED);
            }
        }
    }
});
