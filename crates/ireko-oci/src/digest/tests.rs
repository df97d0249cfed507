//! Digests as text, and digests of what passes by.

use std::io::Read;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::{Digest, DigestReader, Hasher};

#[track_caller]
fn check(text: &str, expect: Expect) {
    let shown = match text.parse::<Digest>() {
        Ok(digest) => format!("{digest} ({:?}, {})", digest.algorithm(), digest.short()),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn digests_are_read() {
    let empty = Digest::of(b"").to_string();
    check(
        &empty,
        expect![
            "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 (Sha256, e3b0c44298fc)"
        ],
    );
    check(
        &format!("sha512:{}", "ab".repeat(64)),
        expect![
            "sha512:abababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababababab (Sha512, abababababab)"
        ],
    );
    check("", expect!["invalid digest ``: expected `algorithm:hex`"]);
    check("sha256:", expect!["invalid digest `sha256:`: wrong number of digits"]);
    check("sha256:abc", expect!["invalid digest `sha256:abc`: wrong number of digits"]);
    check(
        &format!("sha256:{}", "AB".repeat(32)),
        expect![
            "invalid digest `sha256:ABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABABAB`: expected digits 0-9 and a-f after the colon"
        ],
    );
    check(
        &format!("sha256:{}", "é".repeat(32)),
        expect![
            "invalid digest `sha256:éééééééééééééééééééééééééééééééé`: expected digits 0-9 and a-f after the colon"
        ],
    );
    check(
        &format!("md5:{}", "ab".repeat(16)),
        expect!["invalid digest `md5:abababababababababababababababab`: unsupported digest algorithm"],
    );
}

proptest! {
    #[test]
    fn text_and_value_agree(sum: [u8; 32]) {
        let digest = Digest::from_sha256(sum);
        prop_assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
        let json = serde_json::to_string(&digest).unwrap();
        prop_assert_eq!(serde_json::from_str::<Digest>(&json).unwrap(), digest);
    }

    #[test]
    fn pieces_make_the_same_digest(bytes: Vec<u8>, at: usize) {
        let at = at % (bytes.len() + 1);
        let mut hasher = Hasher::new();
        hasher.update(&bytes[..at]);
        hasher.update(&bytes[at..]);
        prop_assert_eq!(hasher.finish(), Digest::of(&bytes));

        let mut reader = DigestReader::new(bytes.as_slice());
        reader.read_to_end(&mut Vec::new()).unwrap();
        let (_, digest, size) = reader.finish();
        prop_assert_eq!((digest, size), (Digest::of(&bytes), bytes.len() as u64));
    }

    #[test]
    fn no_text_panics(text: String) {
        let _ = text.parse::<Digest>();
        let _ = format!("sha256:{text}").parse::<Digest>();
    }
}
