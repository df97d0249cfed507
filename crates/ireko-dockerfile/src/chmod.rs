//! `--chmod`: an octal mode, or a symbolic change such as `u=rwX,go-w`.

/// What to make of a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// This mode, for files and directories alike.
    Mode(u32),
    /// These changes, one after the other.
    Changes(Vec<Change>),
}

/// One symbolic change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// All bits of those it is about, `s` and `t` among them.
    who: u32,
    action: Action,
    what: What,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Add,
    Remove,
    Set,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// These bits, for all; `execute_if_any` is `X`.
    Bits { bits: u32, execute_if_any: bool },
    /// The bits that user, group or others have: how far right to shift for them.
    Copy { shift: u32 },
}

const ALL: u32 = 0o7777;

/// Reads a mode.
pub fn parse(text: &str) -> Result<Chmod, String> {
    let wrong = || {
        format!(
            "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or a change such as `u+x`"
        )
    };
    if text.starts_with(|ch: char| ch.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= ALL => Ok(Chmod::Mode(mode)),
            _ => Err(wrong()),
        };
    }
    let clauses = text.split(',').map(clause).collect::<Option<Vec<_>>>().ok_or_else(wrong)?;
    Ok(Chmod::Changes(clauses.concat()))
}

/// `[ugoa]*` and then one or more of `+-=` with letters.
fn clause(text: &str) -> Option<Vec<Change>> {
    let letters = text.find(['+', '-', '=']).filter(|at| *at < text.len())?;
    let mut who = 0;
    for letter in text[..letters].chars() {
        who |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o1007,
            'a' => ALL,
            _ => return None,
        };
    }
    let who = if who == 0 { ALL } else { who };
    let mut changes = Vec::new();
    let mut rest = &text[letters..];
    while let Some(sign) = rest.chars().next() {
        let action = match sign {
            '+' => Action::Add,
            '-' => Action::Remove,
            '=' => Action::Set,
            _ => return None,
        };
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        changes.push(Change { who, action, what: what(&rest[1..end])? });
        rest = &rest[end..];
    }
    Some(changes)
}

fn what(letters: &str) -> Option<What> {
    match letters {
        "u" => return Some(What::Copy { shift: 6 }),
        "g" => return Some(What::Copy { shift: 3 }),
        "o" => return Some(What::Copy { shift: 0 }),
        _ => {}
    }
    let (mut bits, mut execute_if_any) = (0, false);
    for letter in letters.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            's' => bits |= 0o6000,
            't' => bits |= 0o1000,
            'X' => execute_if_any = true,
            _ => return None,
        }
    }
    Some(What::Bits { bits, execute_if_any })
}

impl Chmod {
    /// The mode (`07777`) that comes of `mode`.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Mode(mode) => *mode,
            Self::Changes(changes) => {
                changes.iter().fold(mode & ALL, |mode, change| change.apply(mode, is_dir))
            }
        }
    }
}

impl Change {
    fn apply(self, mode: u32, is_dir: bool) -> u32 {
        let wanted = match self.what {
            What::Bits { bits, execute_if_any } => {
                let execute = execute_if_any && (is_dir || mode & 0o111 != 0);
                bits | if execute { 0o111 } else { 0 }
            }
            What::Copy { shift } => ((mode >> shift) & 0o7) * 0o111,
        } & self.who;
        match self.action {
            Action::Add => mode | wanted,
            Action::Remove => mode & !wanted,
            Action::Set => (mode & !self.who) | wanted,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(change: &str, before: u32, is_dir: bool, after: u32) {
        let found = parse(change).unwrap().apply(before, is_dir);
        assert_eq!(found, after, "{change} on {before:o} gave {found:o}, not {after:o}");
    }

    #[test]
    fn modes_and_changes_apply() {
        check("0755", 0o600, false, 0o755);
        check("u+x", 0o644, false, 0o744);
        check("+x", 0o644, false, 0o755);
        check("a=rX", 0o644, false, 0o444);
        check("a=rX", 0o744, false, 0o555);
        check("u=rwX,go=rX", 0o600, true, 0o755);
        check("go-w,u+s", 0o666, false, 0o4644);
        check("g=u,o=", 0o750, false, 0o770);
        check("+t", 0o777, true, 0o1777);
        check("u=rw+x-w", 0o000, false, 0o500);
    }

    #[test]
    fn other_texts_are_wrong() {
        for text in ["", "64a", "10000", "u", "u+q", "z+x", "u+x,", "-1", "8"] {
            let result = parse(text);
            assert!(result.is_err(), "{text} {result:?}");
        }
        assert!(
            parse("64a").unwrap_err().contains(
                "invalid chmod parameter: '64a'. it should be octal string and between 0 and 07777"
            )
        );
    }
}
