//! JSON arrays of strings, as the exec form wants them: what is one, what is wrong, what is none.

use crate::ast::Spanned;
use ireko_report::Span;

/// Why a text is no JSON array of strings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotStrings {
    /// It is no JSON array at all: the shell form.
    NotJson,
    /// It is a JSON array that holds something else than strings: an error.
    OtherValues,
}

/// Deeper nesting is no JSON for us; it would be an error anyway.
const MAX_DEPTH: u32 = 64;

/// Reads a JSON array of strings. Spans are offsets into `text`, quotes included.
pub fn string_array(text: &str) -> Result<Vec<Spanned<String>>, NotStrings> {
    let mut reader = Reader { text: text.as_bytes(), at: text.len() - text.trim_start().len() };
    if reader.peek() != Some(b'[') {
        return Err(NotStrings::NotJson);
    }
    let mut items = Vec::new();
    let mut others = false;
    reader
        .array(|reader| {
            reader.space();
            let start = reader.at;
            if reader.peek() == Some(b'"') {
                let value = reader.string()?;
                items.push(Spanned { value, span: Span::new(start..reader.at) });
            } else {
                others = true;
                reader.value(0)?;
            }
            Some(())
        })
        .ok_or(NotStrings::NotJson)?;
    reader.space();
    match (reader.peek(), others) {
        (Some(_), _) => Err(NotStrings::NotJson),
        (None, true) => Err(NotStrings::OtherValues),
        (None, false) => Ok(items),
    }
}

/// Whether a text that is no JSON was meant for an array of strings: what follows the bracket is neither a test of
/// the shell (`[ -f x ]`, `[[ a ]]`) nor a pattern of file names (`[ab].txt`).
fn is_meant(text: &str) -> bool {
    const QUOTES: [char; 6] = ['"', '\'', '“', '”', '‘', '’'];
    let Some(inner) = text.trim_start().strip_prefix('[') else { return false };
    if inner.starts_with(QUOTES) {
        return true;
    }
    let mut chars = inner.trim_start().chars();
    match chars.next().filter(|first| QUOTES.contains(first)) {
        // A test of the shell may begin so; a comma after the word may not.
        Some(_) => {
            chars.as_str().split_once(QUOTES).is_some_and(|(_, rest)| rest.trim_start().starts_with(','))
        }
        None => {
            !inner.starts_with([' ', '\t', '[']) && inner.trim_end().ends_with(']') && inner.contains(',')
        }
    }
}

/// What to do about a text that is no JSON, where an array of strings was meant by it.
pub fn array_advice(text: &str) -> Option<&'static str> {
    if !is_meant(text) {
        return None;
    }
    let mut escapes = text.split('\\').skip(1);
    // Of two backslashes the second begins an empty piece.
    let is_escape =
        |after: &str| after.is_empty() || after.starts_with(['"', '/', 'b', 'f', 'n', 'r', 't', 'u']);
    let advice = if text.contains('\'') {
        "JSON strings stand in double quotes: [\"one\", \"two\"]"
    } else if !escapes.all(is_escape) {
        "in a JSON string a backslash is written twice: [\"C:\\\\one\"]"
    } else {
        "write every word in double quotes, with commas between: [\"one\", \"two\"]"
    };
    Some(advice)
}

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        self.space();
        (self.peek() == Some(wanted)).then(|| self.at += 1)
    }

    fn array(&mut self, mut item: impl FnMut(&mut Self) -> Option<()>) -> Option<()> {
        self.eat(b'[')?;
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            item(self)?;
            if self.eat(b']').is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        self.space();
        match self.peek()? {
            _ if depth > MAX_DEPTH => None,
            b'"' => self.string().map(|_| ()),
            b'[' => self.array(|reader| reader.value(depth + 1)),
            b'{' => self.object(depth),
            b't' => self.literal("true"),
            b'f' => self.literal("false"),
            b'n' => self.literal("null"),
            _ => self.number(),
        }
    }

    fn object(&mut self, depth: u32) -> Option<()> {
        self.eat(b'{')?;
        if self.eat(b'}').is_some() {
            return Some(());
        }
        loop {
            self.space();
            self.string()?;
            self.eat(b':')?;
            self.value(depth + 1)?;
            if self.eat(b'}').is_some() {
                return Some(());
            }
            self.eat(b',')?;
        }
    }

    fn literal(&mut self, word: &str) -> Option<()> {
        self.text[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn number(&mut self) -> Option<()> {
        let start = self.at;
        while matches!(self.peek(), Some(b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')) {
            self.at += 1;
        }
        let text = std::str::from_utf8(&self.text[start..self.at]).ok()?;
        let digits = text.strip_prefix('-').unwrap_or(text);
        let starts_well = digits.starts_with(|ch: char| ch.is_ascii_digit());
        let leading_zero =
            digits.len() > 1 && digits.starts_with('0') && digits.as_bytes()[1].is_ascii_digit();
        let bare_dot = digits.split(['e', 'E']).next().is_some_and(|mantissa| mantissa.ends_with('.'));
        (starts_well && !leading_zero && !bare_dot && text.parse::<f64>().is_ok()).then_some(())
    }

    fn string(&mut self) -> Option<String> {
        if self.peek() != Some(b'"') {
            return None;
        }
        self.at += 1;
        let mut value = Vec::new();
        loop {
            let byte = self.peek()?;
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(value).ok(),
                b'\\' => {
                    let ch = self.escape()?;
                    value.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
                }
                0..=0x1f => return None,
                other => value.push(other),
            }
        }
    }

    fn escape(&mut self) -> Option<char> {
        let byte = self.peek()?;
        self.at += 1;
        Some(match byte {
            b'"' | b'\\' | b'/' => char::from(byte),
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'u' => {
                let first = self.hex()?;
                let pair = (0xd800..0xdc00).contains(&first).then(|| self.low_surrogate()).flatten();
                let code =
                    pair.map_or(first, |second| 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00));
                char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)
            }
            _ => return None,
        })
    }

    fn low_surrogate(&mut self) -> Option<u32> {
        let before = self.at;
        let found =
            self.literal("\\u").and_then(|()| self.hex()).filter(|code| (0xdc00..0xe000).contains(code));
        if found.is_none() {
            self.at = before;
        }
        found
    }

    fn hex(&mut self) -> Option<u32> {
        let digits = self.text.get(self.at..self.at + 4)?;
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|b| b.is_ascii_hexdigit()))?;
        self.at += 4;
        u32::from_str_radix(digits, 16).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expected: Result<&[&str], NotStrings>) {
        let found =
            string_array(text).map(|items| items.into_iter().map(|item| item.value).collect::<Vec<_>>());
        assert_eq!(
            found,
            expected.map(|items| items.iter().map(|item| (*item).to_owned()).collect()),
            "{text}"
        );
    }

    #[test]
    fn arrays_of_strings() {
        check(r#" [ "a" , "b\n\u00e9\ud83d\ude00\ud800x" ] "#, Ok(&["a", "b\né😀\u{fffd}x"]));
        check("[]", Ok(&[]));
    }

    #[test]
    fn what_was_meant_for_an_array_is_told_from_tests_and_patterns() {
        for text in ["['a','b']", r#"["a", b]"#, r#"["a" "b"]"#, r#" [ "a", b ]"#, "[“a”]", "[a, b]", "['a'"]
        {
            assert!(is_meant(text), "{text}");
        }
        for text in [
            "a",
            "[ -f x ] && y",
            r#"[ "$x" = a ]"#,
            r#"[ "$x" ]"#,
            "[[ -f x ]]",
            "[ab].txt",
            "[a-z]*, x",
            "[",
            "",
        ] {
            assert!(!is_meant(text), "{text}");
        }
    }

    #[test]
    fn other_arrays_are_errors_and_other_texts_are_not_json() {
        for text in [r#"["a", 1]"#, r#"[null]"#, r#"["a", ["b"]]"#, r#"[{"a": [true, -1.5e3]}]"#] {
            check(text, Err(NotStrings::OtherValues));
        }
        for text in [
            "",
            "a",
            r#"["a" "b"]"#,
            r#"["a",]"#,
            "['a']",
            r#"["a"] x"#,
            r#"["a"#,
            "[01]",
            "[-]",
            "[\"\t\"]",
            "[\"\\x\"]",
        ] {
            check(text, Err(NotStrings::NotJson));
        }
        check(&"[".repeat(100_000), Err(NotStrings::NotJson));
    }
}
