//! Release files: what an archive says of itself, and the hashes of its lists.

use std::collections::BTreeMap;

use crate::control::{self, Malformed};

/// A file that an archive lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its size in bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: [u8; 32],
}

/// A Release file. Nothing in it is believed that was not signed: give it the signed text alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Release {
    /// Who makes the archive: `Debian`.
    pub origin: Option<String>,
    /// What it is called: `Debian-Security`.
    pub label: Option<String>,
    /// Its role: `stable`.
    pub suite: Option<String>,
    /// Its name: `bookworm`.
    pub codename: Option<String>,
    /// Its version: `12.11`.
    pub version: Option<String>,
    /// When it was made, in seconds since 1970.
    pub date: Option<u64>,
    /// Until when it may be believed, in seconds since 1970.
    pub valid_until: Option<u64>,
    /// Whether lists can be fetched by their hash.
    pub by_hash: bool,
    /// The parts it has, as they are named in its list of files.
    pub components: Vec<String>,
    /// The architectures it has.
    pub architectures: Vec<String>,
    /// Whether packages of architecture `all` are in lists of their own only.
    pub all_is_apart: bool,
    /// Whether its packages are to be chosen only when asked for.
    pub not_automatic: bool,
    /// Whether packages chosen from it are to be kept up to date all the same.
    pub but_automatic_upgrades: bool,
    /// Where older states are, with `@SNAPSHOTID@` for the date.
    pub snapshots: Option<String>,
    /// The files it lists, by their path.
    pub files: BTreeMap<String, Listed>,
}

/// Why a Release file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReleaseError {
    /// It is not text.
    #[error("it is not text in UTF-8")]
    NotText,
    /// It is no control file.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// It has no fields, or several paragraphs.
    #[error("it has {0} paragraphs instead of one")]
    Paragraphs(usize),
    /// A field's value makes no sense.
    #[error("field `{field}`: `{value}` is no {wanted}")]
    Field {
        /// The field.
        field: &'static str,
        /// Its value, or the line that is wrong.
        value: String,
        /// What would be right.
        wanted: &'static str,
    },
    /// Its hashes can be forged, or there is none.
    #[error("it names no SHA-256 of its files, and nothing weaker is believed")]
    WeakHashes,
    /// It was made for another place.
    #[error("it is of `{found}`, and `{asked}` was asked for")]
    OtherSuite {
        /// What was asked for.
        asked: String,
        /// What it says.
        found: String,
    },
    /// It was made in the future.
    #[error("it is valid from {from} on only; check the clock")]
    NotYetValid {
        /// When it was made.
        from: String,
    },
    /// It is too old.
    #[error("it is valid until {until} only: the mirror is out of date, or somebody holds back what is new")]
    Expired {
        /// Until when it was valid.
        until: String,
    },
    /// A newer one has come before.
    #[error("it is of {date}, older than the one of {known} that has come before from this place")]
    Downgraded {
        /// When it was made.
        date: String,
        /// When the known one was made.
        known: String,
    },
}

/// What a Release file must be.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The suite as it stands in the source; `/` at its end where the archive is flat.
    pub suite: &'a str,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// When the newest known one of this place was made.
    pub known: Option<u64>,
    /// Whether one that was valid once is good enough: a state of the past is wanted.
    pub past: bool,
}

/// A Release file may be from so many seconds in the future, as in apt (`Acquire::Max-FutureTime`).
const AHEAD_MAX: u64 = 10;

impl Release {
    /// Reads a text.
    ///
    /// # Errors
    /// It is no control file of one paragraph, a date or a hash makes no sense, or it names no SHA-256.
    pub fn parse(text: &[u8]) -> Result<Self, ReleaseError> {
        let text = std::str::from_utf8(text).map_err(|_| ReleaseError::NotText)?;
        let paragraphs: Vec<_> = control::paragraphs(text).take(2).collect::<Result<_, _>>()?;
        let [fields] = &paragraphs[..] else { return Err(ReleaseError::Paragraphs(paragraphs.len())) };
        let text = |name: &str| fields.get(name).filter(|value| !value.is_empty()).map(str::to_owned);
        let is_set = |name: &str| fields.get(name).is_some_and(is_yes);
        let words = |name: &str| -> Vec<String> {
            fields.get(name).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
        };
        let date = |field: &'static str| match fields.get(field) {
            None => Ok(None),
            Some(value) => parse_date(value).map(Some).ok_or_else(|| ReleaseError::Field {
                field,
                value: value.to_owned(),
                wanted: "date",
            }),
        };
        let files = files(fields.get("SHA256").ok_or(ReleaseError::WeakHashes)?)?;
        let apart = "No-Support-for-Architecture-all";
        let architectures = words("Architectures");
        let all_is_apart = architectures.iter().any(|one| one == "all")
            && fields.get(apart).is_none_or(|kinds| !kinds.split_whitespace().any(|one| one == "Packages"));
        Ok(Self {
            origin: text("Origin"),
            label: text("Label"),
            suite: text("Suite"),
            codename: text("Codename"),
            version: text("Version"),
            date: date("Date")?,
            valid_until: date("Valid-Until")?,
            by_hash: is_set("Acquire-By-Hash"),
            components: words("Components"),
            architectures,
            all_is_apart,
            not_automatic: is_set("NotAutomatic"),
            but_automatic_upgrades: is_set("ButAutomaticUpgrades"),
            snapshots: text("Snapshots").filter(|value| value.contains("@SNAPSHOTID@")),
            files,
        })
    }

    /// Holds it against what was asked for.
    ///
    /// # Errors
    /// It is of another suite, not valid yet or any more, or older than one that is known.
    pub fn check(&self, expected: &Expected<'_>) -> Result<(), ReleaseError> {
        self.check_suite(expected.suite)?;
        let date = self.date.unwrap_or(0);
        if date > expected.now.saturating_add(AHEAD_MAX) {
            return Err(ReleaseError::NotYetValid { from: show_date(date) });
        }
        if let Some(until) = self.valid_until.filter(|until| *until < expected.now && !expected.past) {
            return Err(ReleaseError::Expired { until: show_date(until) });
        }
        match expected.known {
            Some(known) if known > date => {
                Err(ReleaseError::Downgraded { date: show_date(date), known: show_date(known) })
            }
            _ => Ok(()),
        }
    }

    /// As apt has it: of `stretch/updates` the first part counts, an archive without a name passes, and a flat one whose
    /// place says nothing too.
    fn check_suite(&self, asked: &str) -> Result<(), ReleaseError> {
        let wanted = match asked {
            "../project/experimental" => "experimental",
            _ => asked.rsplit_once('/').map_or(asked, |(first, _)| first),
        };
        let names: Vec<&str> =
            [&self.suite, &self.codename].into_iter().flatten().map(String::as_str).collect();
        let first =
            |name: &&str| *name == wanted || name.rsplit_once('/').is_some_and(|(one, _)| one == wanted);
        let is_flat = asked.ends_with('/');
        if is_flat || names.is_empty() || names.iter().any(first) {
            return Ok(());
        }
        Err(ReleaseError::OtherSuite { asked: asked.to_owned(), found: names.join("`, `") })
    }

    /// The lists of packages of a component: their path without the ending of a compression.
    pub fn packages_of(&self, component: &str, architecture: &str) -> String {
        // `updates/main` of old security archives is the component's whole name in `Components` only.
        let component = component.strip_prefix("updates/").unwrap_or(component);
        format!("{component}/binary-{architecture}/Packages")
    }

    /// Whether the archive says that it has this component; one that says nothing has any.
    pub fn has_component(&self, component: &str) -> bool {
        let is_it =
            |one: &String| one == component || one.rsplit_once('/').is_some_and(|(_, it)| it == component);
        self.components.is_empty() || self.components.iter().any(is_it)
    }

    /// The place of its state at a date such as `20250520T000000Z`, if it says where such are.
    pub fn snapshot(&self, id: &str) -> Option<String> {
        Some(self.snapshots.as_deref()?.replace("@SNAPSHOTID@", id))
    }
}

fn is_yes(value: &str) -> bool {
    ["yes", "true", "with", "on", "enable", "1"].iter().any(|word| word.eq_ignore_ascii_case(value.trim()))
}

/// Lines of hash, size and path.
fn files(text: &str) -> Result<BTreeMap<String, Listed>, ReleaseError> {
    let wrong = |line: &str| ReleaseError::Field {
        field: "SHA256",
        value: line.trim().chars().take(80).collect(),
        wanted: "hash with size and path",
    };
    let mut files = BTreeMap::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(hash), Some(size), Some(path), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(wrong(line));
        };
        let (Some(sha256), Ok(size)) = (parse_hash(hash), size.parse()) else { return Err(wrong(line)) };
        files.insert(path.to_owned(), Listed { size, sha256 });
    }
    Ok(files)
}

/// A SHA-256 in hexadecimal.
pub fn parse_hash(text: &str) -> Option<[u8; 32]> {
    let mut hash = [0; 32];
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    for (at, byte) in hash.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(at * 2..at * 2 + 2)?, 16).ok()?;
    }
    Some(hash)
}

/// A SHA-256 in hexadecimal.
pub fn show_hash(hash: &[u8; 32]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Reads `Sat, 11 Jul 2026 10:16:37 UTC`, in seconds since 1970. Days of one digit occur, as do `GMT`, `Z` and `+0000`.
pub fn parse_date(text: &str) -> Option<u64> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let [_, day, month, year, time, zone] = words[..] else { return None };
    if !["UTC", "GMT", "Z", "+0000", "+00:00"].contains(&zone) {
        return None;
    }
    let number = |text: &str| -> Option<u64> {
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
    };
    let month = MONTHS.iter().position(|name| *name == month)? as u64 + 1;
    let (day, year) = (number(day)?, number(year)?);
    let parts: Vec<u64> = time.split(':').map(number).collect::<Option<_>>()?;
    let [hour, minute, second] = parts[..] else { return None };
    let is_sound = (1970..=9999).contains(&year) && (1..=31).contains(&day);
    if !is_sound || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    Some(days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second)
}

/// Days since 1970, in a year that begins with March, so that the day that leap years have comes last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1 - 719_468
}

/// A time in the form of Release files.
pub fn show_date(seconds: u64) -> String {
    const WEEK: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    let since = seconds / 86_400;
    // No Release file is younger than this, and one that says so is not looked into any more.
    let year = (1970..=10_000).rev().find(|year| days(*year, 1, 1) <= since).unwrap_or(1970);
    let month = (1..=12).rev().find(|month| days(year, *month, 1) <= since).unwrap_or(1);
    let day = since - days(year, month, 1) + 1;
    let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let (weekday, month) = (WEEK[(since % 7) as usize], MONTHS[(month - 1) as usize]);
    format!("{weekday}, {day:02} {month} {year} {hour:02}:{minute:02}:{second:02} UTC")
}

#[cfg(test)]
mod tests;
