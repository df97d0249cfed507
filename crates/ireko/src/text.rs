//! Small texts for people: sizes, tables, questions.

use crate::failure::Failure;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// A size for people, in powers of 1000 as Docker prints it: `12.3MB`.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["B", "kB", "MB", "GB", "TB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 999.5 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    match (unit, value) {
        (0, _) => format!("{count}B"),
        (_, value) if value < 9.995 => format!("{value:.2}{}", UNITS[unit]),
        (_, value) if value < 99.95 => format!("{value:.1}{}", UNITS[unit]),
        (_, value) => format!("{value:.0}{}", UNITS[unit]),
    }
}

/// A text without what a terminal would obey: names of files and of packages may hold anything. Lines stay lines.
pub(crate) fn visible(text: &str) -> String {
    let is_odd = |char: char| char.is_control() && !['\n', '\t'].contains(&char);
    text.chars().map(|char| if is_odd(char) { '?' } else { char }).collect()
}

/// Reads a size as people type it: `64m`, `1g`, `100`, `2GiB`; powers of 1024, as in Docker's flags. What is beyond
/// all numbers is the biggest of them.
pub(crate) fn parse_bytes(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let factor = match lower[digits.len()..].trim_end_matches("ib").trim_end_matches('b') {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => return None,
    };
    let value: f64 = digits.trim().parse().ok()?;
    (value >= 0.0 && value.is_finite()).then_some((value * factor as f64) as u64)
}

/// More bytes than any machine can address: 52 bits is what processors have.
const ANY_MEMORY: u64 = 1 << 52;

/// The size that a flag gives for something that lies in memory.
pub(crate) fn memory(flag: &str, text: &str) -> Result<u64, Failure> {
    let size = parse_bytes(text).ok_or_else(|| {
        Failure::user(format!("`{flag}{text}` is no size")).hint("sizes look like 64m or 1g")
    })?;
    if size > ANY_MEMORY {
        return Err(Failure::user(format!("`{flag}{text}` is more than any machine can hold"))
            .hint("sizes look like 64m or 1g"));
    }
    Ok(size)
}

/// Columns aligned by spaces; the first row is the head.
pub(crate) fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(|cell| columns_of(cell)).max();
    let widths: Vec<usize> = (0..columns).map(|at| width(at).unwrap_or(0)).collect();
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width - columns_of(cell) + 3));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// How many columns of a terminal a text takes.
pub(crate) fn columns_of(text: &str) -> usize {
    text.width()
}

/// The words of a text as a shell takes them apart, with quotes and backslashes and nothing else; nothing where a quote
/// is not closed.
pub(crate) fn words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (Some('\''), '\'') | (Some('"'), '"') => quote = None,
            (None, '\'' | '"') => {
                quote = Some(letter);
                word.get_or_insert_default();
            }
            (None, '\\') => word.get_or_insert_default().push(letters.next()?),
            (Some('"'), '\\') => {
                let next = letters.next()?;
                if !['"', '\\', '$', '`'].contains(&next) {
                    word.get_or_insert_default().push('\\');
                }
                word.get_or_insert_default().push(next);
            }
            (None, letter) if letter.is_whitespace() => words.extend(word.take()),
            (_, letter) => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    quote.is_none().then_some(words)
}

/// A text as one line of at most `room` columns.
pub(crate) fn fit(text: &str, room: usize) -> String {
    let text: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    if text.width() <= room {
        return text;
    }
    let (mut short, mut taken) = (String::new(), 1);
    for char in text.chars() {
        taken += char.width().unwrap_or(0);
        if taken > room {
            break;
        }
        short.push(char);
    }
    short.push('…');
    short
}

/// How long ago, for people.
pub(crate) fn ago(seconds: u64) -> String {
    const UNITS: [(u64, &str); 5] =
        [(31_536_000, "year"), (2_592_000, "month"), (86_400, "day"), (3600, "hour"), (60, "minute")];
    for (size, name) in UNITS {
        let count = seconds / size;
        if count > 0 {
            return format!("{count} {name}{} ago", if count == 1 { "" } else { "s" });
        }
    }
    format!("{seconds} second{} ago", if seconds == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_written_and_read() {
        for (count, text) in
            [(0, "0B"), (999, "999B"), (1500, "1.50kB"), (12_345_678, "12.3MB"), (123_456_789_012, "123GB")]
        {
            assert_eq!(bytes(count), text);
        }
        for (text, count) in [
            ("64m", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("100", Some(100)),
            ("2kb", Some(2048)),
            ("x", None),
            ("", None),
            ("-1", None),
            ("nan", None),
            ("999999999t", Some(u64::MAX)),
        ] {
            assert_eq!(parse_bytes(text), count, "{text}");
        }
        assert_eq!(memory("--shm-size ", "4096t").expect("all there can be"), ANY_MEMORY);
        let wrong = |text| memory("--shm-size ", text).expect_err("it is refused").message;
        assert_eq!(wrong("4097t"), "`--shm-size 4097t` is more than any machine can hold");
        assert_eq!(wrong("999999999t"), "`--shm-size 999999999t` is more than any machine can hold");
        assert_eq!(wrong("x"), "`--shm-size x` is no size");
    }

    #[test]
    fn words_are_those_of_a_shell() {
        let said = |text: &str| words(text).map(|words| words.join("|"));
        for (text, expect) in [
            ("", Some("")),
            (" a  b\tc ", Some("a|b|c")),
            ("a 'b  c' \"d e\"f", Some("a|b  c|d ef")),
            (r#"a\ b "\"c\" \d" '\e'"#, Some(r#"a b|"c" \d|\e"#)),
            ("a '' b", Some("a||b")),
            ("a 'b", None),
            ("a\\", None),
        ] {
            assert_eq!(said(text).as_deref(), expect, "{text}");
        }
    }

    #[test]
    fn texts_are_measured_in_columns() {
        for (text, room, short) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("日本語", 6, "日本語"),
            ("日本語", 5, "日本…"),
            ("日本語", 4, "日…"),
            ("e\u{301}e\u{301}", 2, "e\u{301}e\u{301}"),
            ("a\nb\u{1b}c", 9, "a b c"),
        ] {
            assert_eq!(fit(text, room), short, "{text} in {room}");
            assert!(columns_of(&fit(text, room)) <= room);
        }
        let cells = |row: [&str; 2]| row.map(str::to_owned).to_vec();
        assert_eq!(table(&[cells(["a", "b"]), cells(["日本", "c"])]), "a      b\n日本   c\n");
    }

    #[test]
    fn times_past_are_rounded_down() {
        for (seconds, text) in
            [(1, "1 second ago"), (59, "59 seconds ago"), (7300, "2 hours ago"), (86_400, "1 day ago")]
        {
            assert_eq!(ago(seconds), text);
        }
    }
}
