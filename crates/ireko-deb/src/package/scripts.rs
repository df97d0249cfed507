//! Maintainer scripts: whether one does anything when its package is installed for the first time.

use super::Package;

/// What a script does that is not done where it does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// `preinst` or `postinst`.
    pub script: &'static str,
    /// The first command of it that does something, or what the script is written in.
    pub needs: String,
}

/// What the scripts of a package do when it is installed for the first time: the first thing that has an effect of each.
/// Nothing where none has, so that the package is the same without them.
///
/// It is decided by the commands that are known to have none: tests and branches, what only upgrades need, and the
/// cache of the loader, without which it finds all that lies in its directories. Anything else counts as an effect.
pub fn deeds(package: &Package) -> Vec<Deed> {
    let of = |script: &'static str| {
        let file = package.control_file(script)?;
        first_deed(&file.bytes).map(|needs| Deed { script, needs })
    };
    ["preinst", "postinst"].into_iter().filter_map(of).collect()
}

/// Commands that change nothing, and those that only serve upgrades (`dpkg-maintscript-helper`).
const WITHOUT_EFFECT: [&str; 13] = [
    "set",
    "[",
    "test",
    "exit",
    "return",
    ":",
    "true",
    "false",
    "echo",
    "shift",
    "ldconfig",
    "/sbin/ldconfig",
    "dpkg-maintscript-helper",
];

/// Words after which a command begins.
const BEFORE_COMMAND: [&str; 7] = ["if", "then", "else", "elif", "!", "do", "{"];

/// Words that end what began with others.
const ENDS: [&str; 5] = ["fi", "esac", "done", "}", ""];

fn first_deed(bytes: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("a program".to_owned()) };
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").map(str::trim).unwrap_or_default();
    let name = interpreter.split_whitespace().next().unwrap_or_default();
    if !["/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh"].contains(&name) {
        return Some(if name.is_empty() { "a program".to_owned() } else { format!("`{name}`") });
    }
    // Lines that go on, and marks that stand for themselves.
    let text = text.replace("\\\n", " ").replace("\\`", "'");
    for line in text.lines() {
        for command in commands(line) {
            if let Some(deed) = deed(&command) {
                return Some(format!("`{deed}`"));
            }
        }
    }
    None
}

/// What a command does; nothing where it is known to do nothing.
fn deed(command: &str) -> Option<&str> {
    let mut rest = command.trim();
    loop {
        let (word, after) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        if ENDS.contains(&word) {
            return if after.trim().is_empty() { None } else { Some(rest) };
        }
        if word == "case" {
            return if rest.ends_with(" in") && !hides_command(rest) { None } else { Some(rest) };
        }
        if !BEFORE_COMMAND.contains(&word) {
            break;
        }
        rest = after.trim();
    }
    let word = rest.split_whitespace().next().unwrap_or_default();
    let is_compare = rest.starts_with("dpkg --compare-versions ");
    if hides_command(rest) || !(is_compare || WITHOUT_EFFECT.contains(&word)) {
        return Some(rest);
    }
    // What stays of redirections writes a file.
    if rest.contains(['>', '<']) { Some(rest) } else { None }
}

/// Whether a text runs a command inside of it.
fn hides_command(text: &str) -> bool {
    text.contains('`') || text.contains("$(")
}

/// The commands of a line; patterns of `case` are none, and neither are comments and redirections to nowhere.
fn commands(line: &str) -> Vec<String> {
    let mut plain = line.trim().to_owned();
    for nowhere in [">/dev/null", "> /dev/null", "2>/dev/null", "2> /dev/null", "2>&1", ">&2", "1>&2"] {
        // The longer forms of one stand in the others: what is left of them has no effect either.
        plain = plain.replace(&format!("2{nowhere}"), " ").replace(nowhere, " ");
    }
    let mut commands = Vec::new();
    let (mut command, mut quote) = (String::new(), None);
    let mut letters = plain.chars().peekable();
    while let Some(letter) = letters.next() {
        match (quote, letter) {
            (None, '"' | '\'') => {
                quote = Some(letter);
                command.push(letter);
            }
            (Some(open), letter) if open == letter => {
                quote = None;
                command.push(letter);
            }
            (None, '#') if command.is_empty() || command.ends_with(char::is_whitespace) => break,
            (None | Some('"'), '\\') => command.extend([letter].into_iter().chain(letters.next())),
            (None, ';' | '&' | '|') => commands.push(std::mem::take(&mut command)),
            // `configure)`, or `a|b)`, of which the first part went as a command of its own.
            (None, ')') if !command.contains('(') => {
                commands.retain(|one| !is_pattern(one));
                command.clear();
            }
            _ => command.push(letter),
        }
    }
    // A text of several lines goes on, and what it says is not looked into.
    commands.push(if quote.is_some() { format!("a text of several lines: {command}") } else { command });
    commands
}

/// Whether a command is the first part of `a|b)`.
fn is_pattern(command: &str) -> bool {
    let word = command.trim();
    !word.is_empty() && word.chars().all(|letter| letter.is_ascii_alphanumeric() || "-*?_.".contains(letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(script: &str) -> String {
        first_deed(script.as_bytes()).unwrap_or_default()
    }

    #[test]
    fn scripts_without_effect() {
        for script in [
            "#!/bin/sh\nset -e\n# Automatically added by dh_makeshlibs\nif [ \"$1\" = \"configure\" ]; then\n\tldconfig\nfi\n",
            "#!/bin/sh -e\ncase \"$1\" in\n  configure|reconfigure)\n    ;;\n  abort-upgrade|abort-remove)\n  ;;\n *)\n   echo \"called with \\`$1'\" >&2\n exit 1\n;;\nesac\nexit 0",
            "#!/bin/sh\nset -e\ndpkg-maintscript-helper rm_conffile /etc/x 1.0~ \\\n  -- \"$@\"\n",
            "#!/bin/sh\nif dpkg --compare-versions \"$2\" lt 1.0 2>/dev/null; then :; fi # nothing\n",
        ] {
            assert_eq!(told(script), "", "{script}");
        }
    }

    #[test]
    fn scripts_that_do_something() {
        for (script, wanted) in [
            (
                "#!/bin/sh\nset -e\nif [ \"$1\" = configure ] && which py3compile >/dev/null; then\n py3compile -p x\nfi",
                "`which py3compile`",
            ),
            ("#!/bin/sh\nadduser --system x", "`adduser --system x`"),
            ("#!/bin/sh\nif [ -x \"`command -v x`\" ]; then x; fi", "`[ -x \"`command -v x`\" ]`"),
            ("#!/bin/sh\n[ \"$(uname -s)\" = Linux ] || exit 0", "`[ \"$(uname -s)\" = Linux ]`"),
            ("#!/bin/sh\necho x > /etc/file", "`echo x > /etc/file`"),
            ("#!/bin/sh\n. /usr/share/debconf/confmodule", "`. /usr/share/debconf/confmodule`"),
            ("#!/bin/sh\nX=1", "`X=1`"),
            ("#!/bin/sh\necho \" #\"; rm y # z", "`rm y`"),
            ("#!/bin/sh\necho 'a\n'; rm x", "`a text of several lines: echo 'a`"),
            ("#!/bin/sh\nfoo() {\n true\n}", "`foo() {`"),
            ("#!/bin/sh\ncase \"$1\" in configure) update-rc.d x;; esac", "`update-rc.d x`"),
            ("#!/bin/sh\nfi; rm x", "`rm x`"),
            ("#!/usr/bin/perl\nprint 1;", "`/usr/bin/perl`"),
            ("\u{7f}ELF", "a program"),
        ] {
            assert_eq!(told(script), wanted, "{script}");
        }
    }
}
