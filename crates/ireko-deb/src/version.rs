//! Versions and their order (Debian Policy 5.6.12).

use std::cmp::Ordering;
use std::fmt;

/// A version as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Version(String);

impl Version {
    /// Takes any text: archives hold versions that the policy does not allow, and they have an order all the same.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// As it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Which of two versions is the later one. `1.0` and `0:1.0-0` are equal here, although they are written otherwise.
pub fn compare(one: &str, other: &str) -> Ordering {
    let ((epoch, upstream, revision), (other_epoch, other_upstream, other_revision)) =
        (parts(one), parts(other));
    fragment(epoch, other_epoch)
        .then_with(|| fragment(upstream, other_upstream))
        .then_with(|| fragment(revision, other_revision))
}

/// Epoch, upstream version and revision. One that is missing is empty, which is as good as zero.
fn parts(version: &str) -> (&str, &str, &str) {
    let (epoch, rest) = version.split_once(':').unwrap_or(("", version));
    let (upstream, revision) = rest.rsplit_once('-').unwrap_or((rest, ""));
    (epoch, upstream, revision)
}

/// Letters and numbers in turn.
fn fragment(one: &str, other: &str) -> Ordering {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while !one.is_empty() || !other.is_empty() {
        let is_text = |rest: &[u8]| rest.first().is_some_and(|byte| !byte.is_ascii_digit());
        while is_text(one) || is_text(other) {
            match weight(one.first()).cmp(&weight(other.first())) {
                Ordering::Equal => (one, other) = (&one[1..], &other[1..]),
                unequal => return unequal,
            }
        }
        let (number, other_number);
        (number, one) = digits(one);
        (other_number, other) = digits(other);
        match number.len().cmp(&other_number.len()).then_with(|| number.cmp(other_number)) {
            Ordering::Equal => {}
            unequal => return unequal,
        }
    }
    Ordering::Equal
}

/// A tilde is before the end, the end before letters, and letters before all else.
fn weight(byte: Option<&u8>) -> i32 {
    match byte {
        None => 0,
        Some(byte) if byte.is_ascii_digit() => 0,
        Some(b'~') => -1,
        Some(byte) if byte.is_ascii_alphabetic() => i32::from(*byte),
        Some(byte) => i32::from(*byte) + 256,
    }
}

/// The number at the beginning, without leading zeros, and what follows it.
fn digits(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let zeros = number.iter().position(|byte| *byte != b'0').unwrap_or(number.len());
    (&number[zeros..], rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_order_of_the_policy() {
        let ordered = [
            "~~",
            "~~a",
            "~",
            "0~rc1",
            "",
            "0.9",
            "1.0~beta1~svn1245",
            "1.0~beta1",
            "1.0",
            "1.0-0.1",
            "1.0-1",
            "1.0-1+b1",
            "1.0-1+deb12u1",
            "1.0-2",
            "1.0a",
            "1.0+dfsg",
            "1.0.1",
            "1.2-3-4",
            "1.10",
            "2",
            "1:0.1",
            "10:0",
        ];
        for (at, one) in ordered.iter().enumerate() {
            for (other_at, other) in ordered.iter().enumerate() {
                assert_eq!(compare(one, other), at.cmp(&other_at), "{one} {other}");
            }
        }
        for (one, other) in [("1.0", "0:1.0-0"), ("1.007", "1.7"), ("0", ""), ("1.0-", "1.0")] {
            assert_eq!(compare(one, other), Ordering::Equal, "{one} {other}");
        }
    }

    proptest! {
        #[test]
        fn it_is_an_order(texts in proptest::collection::vec("[0-9a-z~+:.-]{0,12}", 3)) {
            let (a, b, c) = (&texts[0], &texts[1], &texts[2]);
            prop_assert_eq!(compare(a, b), compare(b, a).reverse());
            if compare(a, b).is_le() && compare(b, c).is_le() {
                prop_assert!(compare(a, c).is_le());
            }
        }
    }
}
