//! Maintainer scripts: whether one does anything when its package is installed for the first time.

use super::Package;
use std::collections::BTreeSet;

/// What a script does that is not done where it does not run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// `preinst` or `postinst`.
    pub script: &'static str,
    /// The first command of it that does something, or what the script is written in.
    pub needs: String,
}

/// What the scripts of a package do when it is installed for the first time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deeds {
    /// The first thing that has an effect of each; none where the package is the same without its scripts.
    pub needed: Vec<Deed>,
    /// What else they would do, that no image of single programs misses: services and their like.
    pub passed_over: BTreeSet<&'static str>,
}

/// What the scripts of a package do when it is installed for the first time.
///
/// It is decided by the commands that are known to have no effect: tests and branches, what only upgrades need, and the
/// cache of the loader, without which it finds all that lies in its directories; and by the names of debhelper's tools
/// whose sections have none on an image. Anything else counts as an effect.
pub fn deeds(package: &Package) -> Deeds {
    let mut deeds = Deeds::default();
    for script in ["preinst", "postinst"] {
        let Some(file) = package.control_file(script) else { continue };
        if let Some(needs) = first_deed(&file.bytes, &mut deeds.passed_over) {
            deeds.needed.push(Deed { script, needs });
        }
    }
    deeds
}

/// Debhelper's tools whose sections have no effect on an image, and what they would do.
const SECTIONS: [(&str, &str); 22] = [
    ("dh_elpa", "Emacs"),
    ("dh_emacspeak", "Emacs"),
    ("dh_icons", "caches of icons"),
    ("dh_installdeb", "upgrades"),
    ("dh_installdebconf", "questions"),
    ("dh_installemacsen", "Emacs"),
    ("dh_installinit", "services"),
    ("dh_installinitramfs", "the kernel"),
    ("dh_installmenu", "menus"),
    ("dh_installmodules", "the kernel"),
    ("dh_installsystemd", "services"),
    ("dh_installsystemduser", "services"),
    ("dh_installudev", "devices"),
    ("dh_makeshlibs", "the loader's cache"),
    ("dh_movetousr", "upgrades"),
    ("dh_numpy3", "byte code"),
    ("dh_pypy", "byte code"),
    ("dh_python2", "byte code"),
    ("dh_python3", "byte code"),
    ("dh_systemd_enable", "services"),
    ("dh_systemd_start", "services"),
    ("dh_usrlocal", "directories of /usr/local"),
];

/// Commands that change nothing, and those that only serve upgrades (`dpkg-maintscript-helper`).
const WITHOUT_EFFECT: [&str; 17] = [
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
    // Debconf answers questions, and is not asked one here.
    "db_stop",
    "db_version",
    "export",
    "local",
];

/// Words after which a command begins.
const BEFORE_COMMAND: [&str; 7] = ["if", "then", "else", "elif", "!", "do", "{"];

/// Words that end what began with others.
const ENDS: [&str; 5] = ["fi", "esac", "done", "}", ""];

/// The first thing that has an effect. What sections of known tools would do is noted.
fn first_deed(bytes: &[u8], passed_over: &mut BTreeSet<&'static str>) -> Option<String> {
    let Ok(text) = std::str::from_utf8(bytes) else { return Some("a program".to_owned()) };
    let first = text.lines().next().unwrap_or_default();
    let interpreter = first.strip_prefix("#!").map(str::trim).unwrap_or_default();
    let name = interpreter.split_whitespace().next().unwrap_or_default();
    if !["/bin/sh", "/bin/bash", "/bin/dash", "/usr/bin/sh"].contains(&name) {
        return Some(if name.is_empty() { "a program".to_owned() } else { format!("`{name}`") });
    }
    // Lines that go on, and marks that stand for themselves.
    let text = text.replace("\\\n", " ").replace("\\`", "'");
    let mut section: Option<&str> = None;
    for line in text.lines() {
        if let Some(tool) = line.trim().strip_prefix("# Automatically added by ") {
            section = Some(tool.split('/').next().unwrap_or(tool).trim());
        } else if line.trim().starts_with("# End automatically added section") {
            section = None;
        }
        if let Some((_, what)) = SECTIONS.iter().find(|(tool, _)| section == Some(tool)) {
            passed_over.insert(what);
            continue;
        }
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
    let is_known = rest.starts_with("dpkg --compare-versions ")
        || rest == ". /usr/share/debconf/confmodule"
        || WITHOUT_EFFECT.contains(&word)
        || is_assignment(rest);
    if hides_command(rest) || !is_known {
        return Some(rest);
    }
    // What stays of redirections writes a file.
    if rest.contains(['>', '<']) { Some(rest) } else { None }
}

/// `NAME=value`, and no command behind it that would be given the variable.
fn is_assignment(command: &str) -> bool {
    let Some((name, value)) = command.split_once('=') else { return false };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let quoted = |quote: char| {
        let inside = value.strip_prefix(quote).and_then(|value| value.strip_suffix(quote));
        inside.is_some_and(|inside| !inside.contains(quote))
    };
    is_name && (!value.contains(char::is_whitespace) || quoted('"') || quoted('\''))
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
        first_deed(script.as_bytes(), &mut BTreeSet::new()).unwrap_or_default()
    }

    #[test]
    fn scripts_without_effect() {
        for script in [
            "#!/bin/sh\nset -e\n# Automatically added by dh_makeshlibs\nif [ \"$1\" = \"configure\" ]; then\n\tldconfig\nfi\n",
            "#!/bin/sh -e\ncase \"$1\" in\n  configure|reconfigure)\n    ;;\n  abort-upgrade|abort-remove)\n  ;;\n *)\n   echo \"called with \\`$1'\" >&2\n exit 1\n;;\nesac\nexit 0",
            "#!/bin/sh\nset -e\ndpkg-maintscript-helper rm_conffile /etc/x 1.0~ \\\n  -- \"$@\"\n",
            "#!/bin/sh\nLC_ALL=C\nX=\"a b\"\nexport LC_ALL\n. /usr/share/debconf/confmodule\ndb_version 2.0\ndb_stop\n",
            "#!/bin/sh\n# Automatically added by dh_installsystemd/13.11.4\nif [ \"$1\" = \"configure\" ]; then\n\tdeb-systemd-helper enable 'x.service' >/dev/null || true\nfi\n# End automatically added section\nexit 0\n",
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
            ("#!/bin/sh\n. /usr/share/x/functions", "`. /usr/share/x/functions`"),
            ("#!/bin/sh\nX=1 rm x", "`X=1 rm x`"),
            ("#!/bin/sh\nX=\"a\" rm \"x\"", "`X=\"a\" rm \"x\"`"),
            ("#!/bin/sh\nX=$(rm x)", "`X=$(rm x)`"),
            ("#!/bin/sh\ntest -e /x && rm /x", "`rm /x`"),
            ("#!/bin/sh\ncat > /etc/x <<EOF", "`cat > /etc/x <<EOF`"),
            (
                "#!/bin/sh\nupdate-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5",
                "`update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5`",
            ),
            (
                "#!/bin/sh\n# Automatically added by dh_mystery/1\ntouch /x\n# End automatically added section\n",
                "`touch /x`",
            ),
            (
                "#!/bin/sh\n# Automatically added by dh_installinit/1\ntouch /x\n# End automatically added section\ntouch /y\n",
                "`touch /y`",
            ),
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
