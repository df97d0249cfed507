//! What the maintainer scripts of a package would do to a new image, as far as their text tells.
//!
//! A script is left out where nothing is lost by that: it has no line with an effect, or what it does is known (services
//! that no image has, byte code that Python makes when it needs it), or the same is made here. Every other script has to
//! run. Only what runs when a package is installed for the first time counts (deb-preinst(5), deb-postinst(5)).

use ireko_deb::package::Package;

/// Whether a package's scripts have to run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scripts {
    /// There are none, or they do nothing.
    Idle,
    /// What they do is not missed.
    LeftOut(&'static str),
    /// They have to.
    Needed {
        /// Which one.
        script: &'static str,
        /// The first line whose effect is not known.
        line: String,
    },
}

/// Packages whose scripts were read: what would be lost. A star stands for a version.
const READ: [(&str, &str); 14] = [
    ("ca-certificates", "the bundle of certificates, which is made here"),
    ("libc-bin", "/etc/nsswitch.conf, which is made here"),
    ("libc6", "checks of an older system"),
    ("libgcrypt20", "steps of an upgrade"),
    ("libgssapi-krb5-2", "steps of an upgrade"),
    ("libpam0g", "restarts of services"),
    ("libpython3.*-minimal", "byte code"),
    ("openssl", "a link to /etc/ssl, which it has"),
    ("python3", "byte code"),
    ("python3-minimal", "byte code"),
    ("python3.*", "byte code"),
    ("python3.*-minimal", "byte code"),
    ("readline-common", "/etc/inputrc, which is made here"),
    ("tzdata", "a question for the time zone: it is UTC"),
];

/// Debhelper's tools whose sections have no effect on a new image, and what they would do.
const SECTIONS: [(&str, &str); 22] = [
    ("dh_elpa", "Emacs"),
    ("dh_emacspeak", "Emacs"),
    ("dh_icons", "caches of icons"),
    ("dh_installdeb", "steps of an upgrade"),
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
    ("dh_movetousr", "steps of an upgrade"),
    ("dh_numpy3", "byte code"),
    ("dh_pypy", "byte code"),
    ("dh_python2", "byte code"),
    ("dh_python3", "byte code"),
    ("dh_systemd_enable", "services"),
    ("dh_systemd_start", "services"),
    ("dh_usrlocal", "directories of /usr/local"),
];

/// Looks at the scripts of a package.
pub fn scripts(name: &str, package: &Package) -> Scripts {
    let mut lost = READ.iter().find(|(pattern, _)| is_named(name, pattern)).map(|(_, lost)| *lost);
    if let Some(lost) = lost {
        return Scripts::LeftOut(lost);
    }
    for script in ["preinst", "postinst"] {
        let Some(file) = package.control_file(script) else { continue };
        match read(&String::from_utf8_lossy(&file.bytes)) {
            Ok(part) => lost = lost.or(part),
            Err(line) => return Scripts::Needed { script, line },
        }
    }
    lost.map_or(Scripts::Idle, Scripts::LeftOut)
}

/// Whether a name fits a pattern, whose star stands for digits.
fn is_named(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((before, after)) => name
            .strip_prefix(before)
            .and_then(|rest| rest.strip_suffix(after))
            .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())),
    }
}

/// What a script would do that is not missed, or its first line that has an effect.
fn read(text: &str) -> Result<Option<&'static str>, String> {
    let mut lines = text.lines();
    let first = lines.next().unwrap_or_default();
    let interpreter = first.trim_start_matches("#!").split_whitespace().next().unwrap_or_default();
    if !first.starts_with("#!") || !["/bin/sh", "/bin/bash", "/bin/dash"].contains(&interpreter) {
        return Err(first.to_owned());
    }
    let mut lost = None;
    let mut section: Option<&str> = None;
    let mut heredoc: Option<String> = None;
    for line in lines {
        let line = line.trim();
        if let Some(end) = &heredoc {
            if line == end {
                heredoc = None;
            }
        } else if let Some(tool) = line.strip_prefix("# Automatically added by ") {
            section = Some(tool.split('/').next().unwrap_or(tool));
        } else if line.starts_with("# End automatically added section") {
            section = None;
        } else if line.is_empty() || line.starts_with('#') {
        } else if let Some(tool) = section {
            let known = SECTIONS.iter().find(|(name, _)| *name == tool.trim());
            lost = Some(known.ok_or_else(|| line.to_owned())?.1);
        } else if let Some(end) = spoken(line) {
            heredoc = Some(end);
        } else if !is_idle(line) {
            return Err(line.to_owned());
        }
    }
    Ok(lost)
}

/// The end of the text that a line says to whoever reads: `cat <<EOF`, to no file.
fn spoken(line: &str) -> Option<String> {
    let rest = line.strip_prefix("cat")?.trim_start_matches([' ', '>', '&', '2']).strip_prefix("<<")?;
    let end = rest.trim_start_matches('-').trim_matches(['\'', '"', ' ']);
    let is_word = !end.is_empty() && end.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    is_word.then(|| end.to_owned())
}

/// Whether a line of a shell script leaves everything as it is.
fn is_idle(line: &str) -> bool {
    const WORDS: [&str; 10] = [
        "then",
        "else",
        "fi",
        "esac",
        ";;",
        "{",
        "}",
        "ldconfig",
        "db_stop",
        ". /usr/share/debconf/confmodule",
    ];
    let line = line.trim_end_matches(';').trim();
    if WORDS.contains(&line) || line.is_empty() {
        return true;
    }
    let runs = line.replace("\\`", "").contains(['`']) || line.contains("$(");
    let quiet = line.replace(">&2", "").replace("1>&2", "").replace(">/dev/null", "").replace("2>&1", "");
    let writes = quiet.contains('>');
    if runs || writes {
        return false;
    }
    // Several commands in a line are each looked at.
    for separator in [";;", "&&", "||", ";"] {
        if let Some((one, rest)) = unquoted(line, separator) {
            return is_idle_part(one.trim()) && is_idle_part(rest.trim());
        }
    }
    is_idle_part(line)
}

fn is_idle_part(part: &str) -> bool {
    if part.is_empty() || part == ";;" {
        return true;
    }
    for separator in [";;", "&&", "||", ";"] {
        if let Some((one, rest)) = unquoted(part, separator) {
            return is_idle_part(one.trim()) && is_idle_part(rest.trim());
        }
    }
    for keyword in ["if ", "elif ", "then ", "else ", "! ", "while "] {
        if let Some(rest) = part.strip_prefix(keyword) {
            return is_idle_part(rest.trim());
        }
    }
    let word = part.split_whitespace().next().unwrap_or_default();
    let is_test = word == "test" || word == "[" && part.ends_with(']');
    let is_said =
        ["echo", "exit", "return", ":", "true", "false", "set", "shift", "local", "export", "fi", "then"]
            .contains(&word);
    let is_case = word == "case" && part.ends_with(" in");
    // Each of its commands is about what an older version left.
    let is_upgrade = word == "dpkg-maintscript-helper";
    let is_debconf =
        part == ". /usr/share/debconf/confmodule" || part.starts_with("db_version ") || part == "db_stop";
    is_test || is_said || is_case || is_upgrade || is_debconf || is_pattern(part) || is_assignment(part)
}

/// `configure|abort-upgrade)`.
fn is_pattern(part: &str) -> bool {
    let Some(names) = part.strip_suffix(')') else { return false };
    names
        .trim_start_matches('(')
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"|*-_ \"'?.".contains(&byte))
}

fn is_assignment(part: &str) -> bool {
    let Some((name, value)) = part.split_once('=') else { return false };
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    // `A=b command` runs one.
    is_name && (!value.contains(' ') || value.starts_with(['"', '\'']) && value.ends_with(['"', '\'']))
}

/// The two sides of a separator outside of quotes.
fn unquoted<'a>(line: &'a str, separator: &str) -> Option<(&'a str, &'a str)> {
    let mut quote = None;
    for (at, letter) in line.char_indices() {
        match (quote, letter) {
            (Some(open), letter) if open == letter => quote = None,
            (None, '"' | '\'') => quote = Some(letter),
            (None, _) if line[at..].starts_with(separator) => {
                return Some((&line[..at], &line[at + separator.len()..]));
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_without_effect_are_seen() {
        let idle = "#!/bin/sh\nset -e\ncase \"$1\" in\n  configure|reconfigure) ;;\n  *)\n    echo \"called with unknown argument \\`$1'\" >&2\n    exit 1\n  ;;\nesac\n\nif [ \"$1\" = configure ] && [ -n \"$2\" ]; then\n  :\nfi\nexit 0\n";
        assert_eq!(read(idle), Ok(None));
        let section = "#!/bin/sh\nset -e\n# Automatically added by dh_installsystemd/13.11.4\nif [ \"$1\" = \"configure\" ]; then\n\tdeb-systemd-helper enable 'x.service' >/dev/null || true\nfi\n# End automatically added section\nexit 0\n";
        assert_eq!(read(section), Ok(Some("services")));
    }

    #[test]
    fn what_may_have_an_effect_has_one() {
        for line in [
            "adduser --system x",
            "echo x > /etc/x",
            "echo $(touch /etc/x)",
            "echo `touch /etc/x`",
            "true; touch /x",
            "[ -e /x ] || touch /x",
            "if touch /x; then",
            "A=b touch /x",
            "configure) touch /x ;;",
            "test -e /x && rm /x",
            "cat > /etc/x <<EOF",
            ". /usr/share/x/functions",
            "update-alternatives --install /usr/bin/awk awk /usr/bin/mawk 5",
            "set -e; mkdir /x",
            "a() {",
            "cat /etc/x",
        ] {
            assert_eq!(read(&format!("#!/bin/sh\n{line}\n")), Err(line.to_owned()));
        }
        assert_eq!(read("#!/usr/bin/perl\n1;\n"), Err("#!/usr/bin/perl".to_owned()));
        assert_eq!(read("touch /x\n"), Err("touch /x".to_owned()));
        let unknown =
            "#!/bin/sh\n# Automatically added by dh_mystery/1\ntouch /x\n# End automatically added section\n";
        assert_eq!(read(unknown), Err("touch /x".to_owned()));
    }

    #[test]
    fn a_star_is_a_version() {
        assert!(is_named("python3.11-minimal", "python3.*-minimal") && is_named("python3.11", "python3.*"));
        assert!(!is_named("python3-apt", "python3.*") && !is_named("python3.11-venv", "python3.*"));
    }
}
