//! Why a step was not taken from the cache, in the user's words.

use serde::Serialize;
use std::fmt;

/// The first difference found between a step and its nearest earlier record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum MissReason {
    /// Nothing like this step was ever built here.
    NeverBuilt,
    /// The cache was not asked (`--no-cache`, `--no-cache-filter`).
    NotAsked,
    /// A file the step reads changed.
    FileChanged {
        /// Its path in the context.
        path: String,
    },
    /// A file the step reads is new.
    FileAdded {
        /// Its path in the context.
        path: String,
    },
    /// A file the step read is gone.
    FileRemoved {
        /// Its path in the context.
        path: String,
    },
    /// More than one file differs.
    FilesChanged {
        /// How many.
        count: u64,
        /// The first of them, by path.
        path: String,
    },
    /// A build argument has another value.
    ArgChanged {
        /// Its name.
        name: String,
    },
    /// An environment variable has another value.
    EnvChanged {
        /// Its name.
        name: String,
    },
    /// The instruction reads otherwise.
    InstructionChanged {
        /// As it read when the record was made.
        old: String,
        /// As it reads now.
        new: String,
    },
    /// A setting of the step differs: user, working directory, network, platform, a mount.
    SettingChanged {
        /// Which setting, in words.
        what: String,
    },
    /// The image below is another.
    BaseChanged {
        /// As FROM names it.
        reference: String,
    },
    /// A step below gave another result.
    ParentRebuilt {
        /// That step, as displayed.
        step: String,
    },
    /// The result was remembered for longer than it may be (`--cache-ttl`).
    Expired {
        /// How old it is, in seconds.
        age_s: u64,
        /// How old it may be.
        allowed_s: u64,
    },
    /// The result was remembered, but its files are gone or damaged.
    ResultGone,
}

impl fmt::Display for MissReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverBuilt => write!(f, "never built before"),
            Self::NotAsked => write!(f, "cache not asked"),
            Self::FileChanged { path } => write!(f, "`{path}` changed"),
            Self::FileAdded { path } => write!(f, "`{path}` is new"),
            Self::FileRemoved { path } => write!(f, "`{path}` is gone"),
            Self::FilesChanged { count, path } => write!(f, "{count} files changed, `{path}` first"),
            Self::ArgChanged { name } => write!(f, "build argument `{name}` changed"),
            Self::EnvChanged { name } => write!(f, "environment variable `{name}` changed"),
            Self::InstructionChanged { old, .. } => write!(f, "instruction changed, it was `{}`", short(old)),
            Self::SettingChanged { what } => write!(f, "{what} changed"),
            Self::BaseChanged { reference } => write!(f, "base image `{reference}` changed"),
            Self::ParentRebuilt { step } => write!(f, "`{}` gave another result", short(step)),
            Self::Expired { age_s, allowed_s } => {
                write!(f, "its result is {} old, and counts for {}", span(*age_s), span(*allowed_s))
            }
            Self::ResultGone => write!(f, "its result is no longer stored"),
        }
    }
}

/// A span of time by its largest unit that is whole, or nearly so: `36 h`, `2 d`.
fn span(seconds: u64) -> String {
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{} min", seconds / 60),
        7_200..172_800 => format!("{} h", seconds / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// The first line of `text`, at most 60 characters: a reason is one line.
fn short(text: &str) -> String {
    let line = text.lines().next().unwrap_or("");
    match line.char_indices().nth(60) {
        Some((cut, _)) => format!("{}…", &line[..cut]),
        None => line.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_in_the_users_words() {
        let owned = str::to_owned;
        let reasons = [
            (MissReason::FileChanged { path: owned("src/main.c") }, "`src/main.c` changed"),
            (MissReason::ArgChanged { name: owned("VERSION") }, "build argument `VERSION` changed"),
            (
                MissReason::InstructionChanged { old: owned("RUN a\nb"), new: owned("RUN c") },
                "instruction changed, it was `RUN a`",
            ),
            (MissReason::FilesChanged { count: 3, path: owned("a") }, "3 files changed, `a` first"),
            (MissReason::ResultGone, "its result is no longer stored"),
        ];
        for (reason, text) in reasons {
            assert_eq!(reason.to_string(), text);
        }
        let long = MissReason::ParentRebuilt { step: "é".repeat(100) }.to_string();
        assert_eq!(long.chars().filter(|ch| *ch == 'é').count(), 60);
    }
}
