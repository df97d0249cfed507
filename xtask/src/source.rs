//! Reads Rust text just far enough to measure it: comments and literals blanked, braces matched.

/// Where a file belongs in the count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Code that ships.
    Code,
    /// Code that only tests.
    Test,
}

/// Whether the file at `path` (relative, `/`-separated) holds tests only.
pub(crate) fn role(path: &str) -> Role {
    let test = path.ends_with("/tests.rs")
        || path.contains("/tests/")
        || path.contains("/tests_")
        || path.ends_with("_tests.rs");
    if test { Role::Test } else { Role::Code }
}

/// One function: its name, the line it begins on, and how many lines it spans.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    pub(crate) lines: usize,
}

/// What a literal is replaced by: neither a brace nor a blank.
const LITERAL: u8 = b'"';

/// `text` with comments replaced by blanks and literals by quotes; lines stay where they are.
pub(crate) fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => line_end(bytes, at),
            b'/' if bytes.get(at + 1) == Some(&b'*') => block_end(bytes, at),
            b'"' => string_end(bytes, at + 1),
            b'r' | b'b' | b'c' if !is_word(bytes, at) => match raw_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            b'\'' => match char_end(bytes, at) {
                Some(end) => end,
                None => {
                    at += 1;
                    continue;
                }
            },
            _ => {
                at += 1;
                continue;
            }
        };
        let end = end.min(bytes.len());
        let filler = if bytes[at] == b'/' { b' ' } else { LITERAL };
        for byte in out[at..end].iter_mut().filter(|byte| **byte != b'\n') {
            *byte = filler;
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Whether the byte at `at` continues a word begun before it.
fn is_word(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn line_end(bytes: &[u8], at: usize) -> usize {
    bytes[at..].iter().position(|byte| *byte == b'\n').map_or(bytes.len(), |length| at + length)
}

/// Block comments nest.
fn block_end(bytes: &[u8], at: usize) -> usize {
    let mut depth = 0;
    let mut here = at;
    while here + 1 < bytes.len() {
        match &bytes[here..here + 2] {
            b"/*" => {
                depth += 1;
                here += 2;
            }
            b"*/" => {
                depth -= 1;
                here += 2;
                if depth == 0 {
                    return here;
                }
            }
            _ => here += 1,
        }
    }
    bytes.len()
}

/// The end of a string whose opening quote lies just before `at`.
fn string_end(bytes: &[u8], at: usize) -> usize {
    let mut here = at;
    while here < bytes.len() {
        match bytes[here] {
            b'\\' => here += 2,
            b'"' => return here + 1,
            _ => here += 1,
        }
    }
    bytes.len()
}

/// The end of a prefixed string (`r"…"`, `r#"…"#`, `b"…"`, `br#"…"#`) that begins at `at`, if one does.
fn raw_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut here = at;
    let mut raw = false;
    while matches!(bytes.get(here), Some(b'r' | b'b' | b'c')) && here - at < 2 {
        raw |= bytes[here] == b'r';
        here += 1;
    }
    let hashes = bytes[here..].iter().take_while(|byte| **byte == b'#').count();
    if bytes.get(here + hashes) != Some(&b'"') || (hashes > 0 && !raw) {
        return None;
    }
    let start = here + hashes + 1;
    if !raw {
        return Some(string_end(bytes, start));
    }
    let mut closing = vec![b'"'];
    closing.resize(hashes + 1, b'#');
    let length = bytes[start..].windows(closing.len()).position(|window| window == closing);
    Some(length.map_or(bytes.len(), |length| start + length + closing.len()))
}

/// The end of a character literal at `at`; `None` for a lifetime.
fn char_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at + 1) == Some(&b'\\') {
        let close = bytes[at + 3..].iter().position(|byte| *byte == b'\'')?;
        return Some(at + 3 + close + 1);
    }
    // One character of up to four bytes, then the quote.
    (2..=5).find(|length| bytes.get(at + length) == Some(&b'\'')).and_then(|length| {
        let inside = std::str::from_utf8(&bytes[at + 1..at + length]).ok()?;
        (inside.chars().count() == 1).then_some(at + length + 1)
    })
}

/// Blanked text without its `#[cfg(test)]` modules.
pub(crate) fn without_tests(blanked: &str) -> String {
    let mut out = blanked.as_bytes().to_vec();
    let mut from = 0;
    while let Some(found) = blanked[from..].find("#[cfg(test)]") {
        let start = from + found;
        let Some(open) = blanked[start..].find(['{', ';']).map(|length| start + length) else { break };
        let end =
            if blanked.as_bytes()[open] == b'{' { brace_end(blanked.as_bytes(), open) } else { open + 1 };
        for byte in &mut out[start..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        from = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The place after the brace that closes the one at `open`.
fn brace_end(bytes: &[u8], open: usize) -> usize {
    let mut depth = 0usize;
    for (at, byte) in bytes.iter().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => {
                depth -= 1;
                if depth == 0 {
                    return at + 1;
                }
            }
            _ => {}
        }
    }
    bytes.len()
}

/// Lines that hold anything but blanks.
pub(crate) fn code_lines(blanked: &str) -> usize {
    blanked.lines().filter(|line| !line.trim().is_empty()).count()
}

/// The functions with a body, outermost and nested, in order of appearance.
pub(crate) fn functions(blanked: &str) -> Vec<Function> {
    let bytes = blanked.as_bytes();
    let mut found = Vec::new();
    for (at, _) in blanked.match_indices("fn ") {
        if is_word(bytes, at) {
            continue;
        }
        let name: String =
            blanked[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let Some(open) = body(bytes, at).filter(|_| !name.is_empty()) else { continue };
        let line = blanked[..at].matches('\n').count() + 1;
        let lines = blanked[at..brace_end(bytes, open)].matches('\n').count() + 1;
        found.push(Function { name, line, lines });
    }
    found
}

/// The opening brace of the body of the function that begins at `at`; `None` for a declaration.
fn body(bytes: &[u8], at: usize) -> Option<usize> {
    let mut depth = 0i32;
    for (here, byte) in bytes.iter().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => depth += 1,
            b')' | b']' => depth -= 1,
            b'{' if depth == 0 => return Some(here),
            b';' if depth == 0 => return None,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, blanked: &str) {
        let shown = blank(text).replace('"', "");
        assert_eq!(shown.split_whitespace().collect::<Vec<_>>().join(" "), blanked);
    }

    #[test]
    fn comments_and_literals_are_blanked() {
        check("a /* { /* } */ */ b // {\nc", "a b c");
        check(r##"let a = r#"{"}"#; let b = b"\"{"; let c = "\\";"##, "let a = ; let b = ; let c = ;");
        check(
            r"let q = '{'; let e = '\''; fn f<'a>(x: &'a str) {}",
            "let q = ; let e = ; fn f<'a>(x: &'a str) {}",
        );
        check("let bar = 1; for r in b {}", "let bar = 1; for r in b {}");
    }

    #[test]
    fn functions_are_measured_to_their_closing_brace() {
        let text =
            "trait T { fn decl(&self); }\nfn long(x: [u8; 2]) -> usize {\n    let s = \"}\";\n    2\n}\n";
        let expected = vec![Function { name: "long".to_owned(), line: 2, lines: 4 }];
        assert_eq!(functions(&blank(text)), expected);
    }

    #[test]
    fn test_modules_are_left_out() {
        let text =
            "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() {}\n}\nfn c() {}\n#[cfg(test)]\nmod tests;\n";
        let kept = without_tests(&blank(text));
        assert_eq!(functions(&kept).iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(code_lines(&kept), 2);
    }

    #[test]
    fn roles() {
        assert_eq!(role("crates/x/src/parse/tests.rs"), Role::Test);
        assert_eq!(role("crates/x/tests/it/main.rs"), Role::Test);
        assert_eq!(role("crates/x/src/parse.rs"), Role::Code);
    }
}
