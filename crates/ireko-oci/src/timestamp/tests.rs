//! Times as text.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::Timestamp;

#[track_caller]
fn check(text: &str, expect: Expect) {
    let shown = match text.parse::<Timestamp>() {
        Ok(time) => format!("{time} = {}", time.seconds()),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn times_are_read() {
    check("1970-01-01T00:00:00Z", expect!["1970-01-01T00:00:00Z = 0"]);
    check("2024-02-29T23:59:59.120000000Z", expect!["2024-02-29T23:59:59.12Z = 1709251199"]);
    check("2026-11-22t14:55:43.1153991319z", expect!["2026-11-22T14:55:43.115399131Z = 1795359343"]);
    check("2026-11-22T01:00:00+05:30", expect!["2026-11-21T19:30:00Z = 1795289400"]);
    check("0001-01-01T00:00:00Z", expect!["0001-01-01T00:00:00Z = -62135596800"]);
    check("9999-12-31T23:59:59.999999999Z", expect!["9999-12-31T23:59:59.999999999Z = 253402300799"]);
    check("1969-12-31T23:59:59.5Z", expect!["1969-12-31T23:59:59.5Z = -1"]);
    check("2016-12-31T23:59:60Z", expect!["2017-01-01T00:00:00Z = 1483228800"]);
}

#[test]
fn what_is_no_time_is_refused() {
    for text in [
        "",
        "2024",
        "2024-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "2024-13-01T00:00:00Z",
        "2024-01-01 00:00:00Z",
        "2024-01-01T24:00:00Z",
        "2024-01-01T00:00:00",
        "2024-01-01T00:00:00.Z",
        "2024-01-01T00:00:00+1:00",
        "9999-12-31T23:59:59-01:00",
        "0000-01-01T00:00:00+01:00",
        "+024-01-01T00:00:00Z",
        "2024-01-01T00:00:00Zx",
    ] {
        assert!(text.parse::<Timestamp>().is_err(), "{text}");
    }
}

#[test]
fn what_cannot_be_written_is_brought_into_range() {
    assert_eq!(Timestamp::from_unix(i64::MAX, u32::MAX), Timestamp::MAX);
    assert_eq!(Timestamp::from_unix(i64::MIN, 0), Timestamp::MIN);
    assert_eq!(Timestamp::MIN.to_string(), "0000-01-01T00:00:00Z");
    assert_eq!(Timestamp::MAX.to_string(), "9999-12-31T23:59:59.999999999Z");
}

proptest! {
    #[test]
    fn text_and_value_agree(seconds in Timestamp::MIN.seconds..=Timestamp::MAX.seconds, nanos in 0_u32..1_000_000_000) {
        let time = Timestamp::from_unix(seconds, nanos);
        prop_assert_eq!(time.to_string().parse::<Timestamp>().unwrap(), time);
    }

    #[test]
    fn later_times_read_later(one in 0_i64..100_000_000_000, two in 0_i64..100_000_000_000) {
        let text = |seconds| Timestamp::from_unix(seconds, 0).to_string();
        prop_assert_eq!(one.cmp(&two), text(one).cmp(&text(two)));
    }

    #[test]
    fn no_text_panics(text in "[0-9TZ:+.é-]{0,40}") {
        let _ = text.parse::<Timestamp>();
    }
}
