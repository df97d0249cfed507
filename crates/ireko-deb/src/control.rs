//! Control files: paragraphs of fields, as in `Packages`, `Release`, `status` and `*.sources` (Debian Policy, chapter 5).

/// Why a text is no control file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is neither a field nor the continuation of one: `{text}`")]
pub struct Malformed {
    /// The line, counted from one.
    pub line: usize,
    /// Its beginning.
    pub text: String,
}

/// Fields that belong together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paragraph<'a> {
    fields: Vec<(&'a str, &'a str)>,
    line: usize,
}

impl<'a> Paragraph<'a> {
    /// The value of a field, whatever the case of its name; lines after the first keep the space that they begin with.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        self.fields.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
    }

    /// All fields in their order.
    pub fn fields(&self) -> &[(&'a str, &'a str)] {
        &self.fields
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The line it begins at, counted from one.
    pub fn line(&self) -> usize {
        self.line
    }
}

/// The paragraphs of a text, one after the other. After an error there is none.
#[derive(Clone, Debug)]
pub struct Paragraphs<'a> {
    rest: &'a str,
    /// The number of the next line.
    line: usize,
}

/// Reads a text. Lines that begin with `#` are comments.
pub fn paragraphs(text: &str) -> Paragraphs<'_> {
    Paragraphs { rest: text, line: 1 }
}

impl<'a> Paragraphs<'a> {
    /// The next line with its end, which stays where it is.
    fn peek(&self) -> Option<&'a str> {
        match memchr::memchr(b'\n', self.rest.as_bytes()) {
            Some(end) => Some(&self.rest[..=end]),
            None => (!self.rest.is_empty()).then_some(self.rest),
        }
    }

    fn pass(&mut self, line: &str) {
        self.rest = &self.rest[line.len()..];
        self.line += 1;
    }

    /// A field that begins with this line, and the lines that go on with it.
    fn field(&mut self, line: &'a str) -> Result<(&'a str, &'a str), Malformed> {
        let malformed = || Malformed { line: self.line, text: line.trim_end().chars().take(60).collect() };
        let (name, _) = line.split_once(':').ok_or_else(malformed)?;
        if name.is_empty() || name.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
            return Err(malformed());
        }
        let whole = self.rest;
        let mut length = line.len();
        self.pass(line);
        while let Some(next) = self.peek().filter(|next| next.starts_with([' ', '\t', '#'])) {
            // A line of spaces ends a paragraph, as in apt.
            if next.trim().is_empty() {
                break;
            }
            length += next.len();
            self.pass(next);
        }
        Ok((name, whole[name.len() + 1..length].trim()))
    }
}

impl<'a> Iterator for Paragraphs<'a> {
    type Item = Result<Paragraph<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut paragraph = Paragraph::default();
        while let Some(line) = self.peek() {
            if line.trim().is_empty() {
                self.pass(line);
                match paragraph.is_empty() {
                    true => continue,
                    false => break,
                }
            }
            if line.starts_with('#') {
                self.pass(line);
                continue;
            }
            if paragraph.is_empty() {
                paragraph.line = self.line;
            }
            match self.field(line) {
                Ok(field) => paragraph.fields.push(field),
                Err(malformed) => {
                    self.rest = "";
                    return Some(Err(malformed));
                }
            }
        }
        (!paragraph.is_empty()).then_some(Ok(paragraph))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn fields_and_paragraphs() {
        let text = "\n# a comment\nPackage: a\nDescription: one\n two\n .\n three\n \t \nPackage:b\nEmpty:\n\n\nPackage: c";
        let all: Vec<_> = paragraphs(text).map(|one| one.expect("well formed")).collect();
        assert_eq!(all.len(), 3);
        assert_eq!(all[0].get("package"), Some("a"));
        assert_eq!(all[0].get("Description"), Some("one\n two\n .\n three"));
        assert_eq!((all[0].line(), all[1].line()), (3, 9));
        assert_eq!((all[1].get("Package"), all[1].get("Empty")), (Some("b"), Some("")));
        assert_eq!((all[2].get("Package"), all[2].get("none")), (Some("c"), None));
        assert_eq!(paragraphs(" \n\n").count(), 0);
    }

    #[test]
    fn what_is_no_field_is_told_by_its_line() {
        for (text, line) in
            [("Package: a\nhello\n", 2), ("<html>\n", 1), (" x\n", 1), ("a b: c", 1), (": x", 1)]
        {
            let found = paragraphs(text).find_map(Result::err).map(|error| error.line);
            assert_eq!(found, Some(line), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_ends(text in "[ab:# \n\t]{0,60}") {
            let read: Vec<_> = paragraphs(&text).collect();
            prop_assert!(read.len() <= text.len());
        }
    }
}
