//! `#!` lines: which program runs a script (execve(2), and `env -S` of coreutils).

use std::io;

use std::fs::File;
use std::os::unix::fs::FileExt;

/// The kernel reads so much of the line.
const LINE_MAX: usize = 255;

/// What a `#!` line names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The program that the kernel starts.
    pub(crate) interpreter: String,
    /// What `env` looks for on the path.
    pub(crate) named: Option<String>,
}

/// The line of a script; `None` where a file has none.
pub(crate) fn read(file: &File) -> io::Result<Option<Line>> {
    let mut head = [0; LINE_MAX];
    let mut filled = 0;
    while filled < head.len() {
        match file.read_at(&mut head[filled..], filled as u64)? {
            0 => break,
            count => filled += count,
        }
    }
    Ok(parse(&head[..filled]))
}

fn parse(head: &[u8]) -> Option<Line> {
    let line = head.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let line = std::str::from_utf8(line).ok()?.trim_matches([' ', '\t', '\r']);
    let (interpreter, argument) = line.split_once([' ', '\t']).unwrap_or((line, ""));
    if interpreter.is_empty() {
        return None;
    }
    let named = interpreter.ends_with("/env").then(|| env(argument)).flatten();
    Some(Line { interpreter: interpreter.to_owned(), named })
}

/// The program that `env` starts.
fn env(argument: &str) -> Option<String> {
    let argument = argument.trim();
    // Without -S all of it is one word.
    let Some(words) = argument.strip_prefix("-S").or_else(|| argument.strip_prefix("--split-string=")) else {
        return (!argument.is_empty() && !argument.starts_with('-')).then(|| argument.to_owned());
    };
    words.split_whitespace().find(|word| !word.contains('=') && !word.starts_with('-')).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_name_programs() {
        let said = |text: &str| parse(text.as_bytes()).map(|line| (line.interpreter, line.named));
        let is =
            |interpreter: &str, named: Option<&str>| Some((interpreter.to_owned(), named.map(str::to_owned)));
        assert_eq!(said("#!/bin/sh\necho"), is("/bin/sh", None));
        assert_eq!(said("#! /bin/sh -e"), is("/bin/sh", None));
        assert_eq!(said("#!/usr/bin/env python3\n"), is("/usr/bin/env", Some("python3")));
        assert_eq!(said("#!/usr/bin/env -S A=b node --x\n"), is("/usr/bin/env", Some("node")));
        assert_eq!(said("#!/usr/bin/env\n"), is("/usr/bin/env", None));
        for none in ["", "#", "#!", "#! \n", "echo", " #!/bin/sh"] {
            assert_eq!(said(none), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_head_is_read(head in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = parse(&head);
        }
    }
}
