//! Whose fault a failure is, and the exit code that says so.

use serde::Serialize;

/// Whose fault a failure is. Every error of the project can answer this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// What the person gave is wrong: a Dockerfile, a flag, a name.
    User,
    /// A step of the build failed: its program returned non-zero.
    Step,
    /// The machine or the network is wrong: no space, no permission, no answer.
    Environment,
    /// ireko itself is wrong.
    Bug,
    /// Somebody asked it to stop.
    Interrupted,
}

impl Blame {
    /// The exit code of the process: part of the documented interface, never renumbered.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Step => 1,
            Self::User => 2,
            Self::Environment => 3,
            Self::Bug => 70,
            Self::Interrupted => 130,
        }
    }
}
