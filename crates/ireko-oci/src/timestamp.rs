//! Points in time as RFC 3339 text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::OciError;

const DAY: i64 = 86_400;

/// A point in time, to the nanosecond, in UTC. It knows no clock: somebody must say what time it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp {
    seconds: i64,
    nanos: u32,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self { seconds: 0, nanos: 0 };

    /// The earliest time RFC 3339 can write, 0000-01-01T00:00:00Z.
    pub const MIN: Self = Self { seconds: -62_167_219_200, nanos: 0 };

    /// The latest time RFC 3339 can write, 9999-12-31T23:59:59.999999999Z.
    pub const MAX: Self = Self { seconds: 253_402_300_799, nanos: 999_999_999 };

    /// A time from seconds since 1970 and nanoseconds; what cannot be written is brought into range.
    pub fn from_unix(seconds: i64, nanos: u32) -> Self {
        Self { seconds, nanos: nanos.min(999_999_999) }.clamp(Self::MIN, Self::MAX)
    }

    /// Seconds since 1970, rounded down.
    pub fn seconds(self) -> i64 {
        self.seconds
    }

    /// Nanoseconds within the second.
    pub fn nanos(self) -> u32 {
        self.nanos
    }
}

impl fmt::Display for Timestamp {
    /// As Go does: no fraction where it is zero, no trailing zeros in it.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = date_of(self.seconds.div_euclid(DAY));
        let time = self.seconds.rem_euclid(DAY);
        let (hour, minute, second) = (time / 3600, time / 60 % 60, time % 60);
        write!(out, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
        if self.nanos != 0 {
            write!(out, ".{}", format!("{:09}", self.nanos).trim_end_matches('0'))?;
        }
        out.write_str("Z")
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, out)
    }
}

impl FromStr for Timestamp {
    type Err = OciError;

    fn from_str(text: &str) -> Result<Self, OciError> {
        read(text.as_bytes()).ok_or_else(|| OciError::Timestamp { text: text.to_owned() })
    }
}

fn read(text: &[u8]) -> Option<Timestamp> {
    let year = number(text.get(0..4)?)?;
    let month = number(text.get(5..7)?).filter(|month| (1..=12).contains(month))?;
    let day = number(text.get(8..10)?).filter(|day| (1..=days_in(year, month)).contains(day))?;
    let hour = number(text.get(11..13)?).filter(|hour| *hour < 24)?;
    let minute = number(text.get(14..16)?).filter(|minute| *minute < 60)?;
    // A leap second is written as 60; it becomes the next minute's first.
    let second = number(text.get(17..19)?).filter(|second| *second <= 60)?;
    let marks = [text[4], text[7], text[10].to_ascii_uppercase(), text[13], text[16]];
    if marks != *b"--T::" {
        return None;
    }
    let (nanos, zone) = fraction(text.get(19..)?)?;
    let seconds = day_of(year, month, day) * DAY + hour * 3600 + minute * 60 + second - offset(zone)?;
    let time = Timestamp { seconds, nanos };
    (Timestamp::MIN..=Timestamp::MAX).contains(&time).then_some(time)
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |sum, digit| digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0')))
}

/// Nanoseconds, and what follows them. Digits after the ninth are dropped.
fn fraction(text: &[u8]) -> Option<(u32, &[u8])> {
    let Some(digits) = text.strip_prefix(b".") else { return Some((0, text)) };
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let place = |index: usize| digits[..count].get(index).map_or(0, |digit| u32::from(digit - b'0'));
    let nanos = (0..9).fold(0, |sum, index| sum * 10 + place(index));
    Some((nanos, &digits[count..]))
}

/// Seconds east of Greenwich.
fn offset(zone: &[u8]) -> Option<i64> {
    match zone {
        b"Z" | b"z" => Some(0),
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let hours = number(&[*h1, *h2]).filter(|hours| *hours < 24)?;
            let minutes = number(&[*m1, *m2]).filter(|minutes| *minutes < 60)?;
            let seconds = hours * 3600 + minutes * 60;
            Some(if *sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

fn is_leap(year: i64) -> bool {
    year % 4 == 0 && (year % 100 != 0 || year % 400 == 0)
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if is_leap(year) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

// Both directions count years from 1 March, so that the leap day comes last, and in eras of 400 years, which
// all have 146,097 days. Day 0 is 1970-01-01, 719,468 days after 0000-03-01.
const ERA: i64 = 146_097;
const SHIFT: i64 = 719_468;

fn day_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * ERA + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - SHIFT
}

fn date_of(day: i64) -> (i64, i64, i64) {
    let day = day + SHIFT;
    let (era, day_of_era) = (day.div_euclid(ERA), day.rem_euclid(ERA));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    (year, month, day_of_year - (153 * shifted + 2) / 5 + 1)
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, sink: S) -> Result<S::Ok, S::Error> {
        sink.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(source: D) -> Result<Self, D::Error> {
        String::deserialize(source)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
