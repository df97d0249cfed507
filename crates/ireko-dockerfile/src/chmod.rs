//! `--chmod`: an octal mode, or a symbolic change such as `u=rwX,go-w`.

/// What to make of a mode.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Chmod {
    /// This mode, for files and directories alike.
    Mode(u32),
    /// These changes, one after the other.
    Changes(Vec<Change>),
}

/// One bit-level change of a mode. The rules are those of BSD's `setmode`, as BuildKit's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change(Step);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Set(u32),
    Clear(u32),
    /// `X`: set where the file was executable by anyone before all changes, or is a directory.
    SetIfExecutable(u32),
    /// `g=u` and the like: the three bits found at `shift`, added, removed or put in place of the
    /// bits of `who`.
    Copy {
        sign: char,
        shift: u32,
        who: u32,
    },
}

const RWX: u32 = 0o777;
const STICKY: u32 = 0o1000;
/// What nobody in particular, or `a`, stands for. The sticky bit is not part of it.
const EVERYBODY: u32 = 0o6777;

/// Reads a mode.
pub fn parse(text: &str) -> Result<Chmod, String> {
    let wrong = || {
        let octal = "it should be octal string and between 0 and 07777";
        format!("invalid chmod parameter: '{text}'. {octal}, or a change such as `u+x`")
    };
    if text.starts_with(|ch: char| ch.is_ascii_digit()) {
        return match u32::from_str_radix(text, 8) {
            Ok(mode) if mode <= 0o7777 => Ok(Chmod::Mode(mode)),
            _ => Err(wrong()),
        };
    }
    let mut changes = Vec::new();
    for clause in text.split(',') {
        self::clause(clause, &mut changes).ok_or_else(wrong)?;
    }
    Ok(Chmod::Changes(changes))
}

/// `[ugoa]*`, and then one or more of `+-=` with letters.
fn clause(text: &str, changes: &mut Vec<Change>) -> Option<()> {
    let letters = text.find(['+', '-', '='])?;
    let mut who = 0;
    for letter in text[..letters].chars() {
        who |= match letter {
            'u' => 0o4700,
            'g' => 0o2070,
            'o' => 0o0007,
            'a' => EVERYBODY,
            _ => return None,
        };
    }
    let who = if who == 0 { EVERYBODY } else { who };
    let mut rest = &text[letters..];
    while let Some(sign) = rest.chars().next() {
        let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
        action(sign, who, &rest[1..end], changes)?;
        rest = &rest[end..];
    }
    Some(())
}

/// One sign and its letters.
fn action(sign: char, who: u32, letters: &str, changes: &mut Vec<Change>) -> Option<()> {
    // Set-id and sticky bits are not the others' business.
    let special = who & !0o0007 != 0;
    let mut who = who;
    let (mut bits, mut executable, mut copied) = (0, false, false);
    for letter in letters.chars() {
        match letter {
            'r' => bits |= 0o444,
            'w' => bits |= 0o222,
            'x' => bits |= 0o111,
            's' if special => bits |= 0o6000,
            't' if special => {
                bits |= STICKY;
                who |= STICKY;
            }
            's' | 't' => {}
            'X' => executable = sign != '-',
            'u' | 'g' | 'o' => {
                let shift = match letter {
                    'u' => 6,
                    'g' => 3,
                    _ => 0,
                };
                changes.push(Change(Step::Copy { sign, shift, who: who & RWX }));
                copied = true;
            }
            _ => return None,
        }
    }
    match sign {
        '-' => changes.push(Change(Step::Clear(bits & who))),
        '=' if !copied => changes.extend([Change(Step::Clear(who)), Change(Step::Set(bits & who))]),
        _ => changes.push(Change(Step::Set(bits & who))),
    }
    if executable {
        changes.push(Change(Step::SetIfExecutable(0o111 & who)));
    }
    Some(())
}

impl Chmod {
    /// The mode (`07777`) that comes of `mode`.
    pub fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let before = mode & 0o7777;
        let executable = is_dir || before & 0o111 != 0;
        match self {
            Self::Mode(mode) => *mode,
            Self::Changes(changes) => {
                changes.iter().fold(before, |mode, change| change.apply(mode, executable))
            }
        }
    }
}

impl Change {
    fn apply(self, mode: u32, executable: bool) -> u32 {
        match self.0 {
            Step::Set(bits) => mode | bits,
            Step::Clear(bits) => mode & !bits,
            Step::SetIfExecutable(bits) if executable => mode | bits,
            Step::SetIfExecutable(_) => mode,
            Step::Copy { sign, shift, who } => {
                let bits = (((mode >> shift) & 0o7) * 0o111) & who;
                match sign {
                    '+' => mode | bits,
                    '-' => mode & !bits,
                    _ => (mode & !who) | bits,
                }
            }
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
        check("go=u-w", 0o700, false, 0o755);
        check("=rw,+X", 0o755, false, 0o777);
        check("=rw,+X", 0o644, false, 0o666);
        check("a=rwx", 0o1000, true, 0o1777);
        check("o+st", 0o644, false, 0o644);
        check("-X", 0o755, false, 0o755);
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
