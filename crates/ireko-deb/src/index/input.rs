//! What an index is built of, and why it cannot be.

use crate::relation;

/// What an archive's `Release` says about a list, and how much its versions are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin<'a> {
    /// `Suite`, such as `stable`.
    pub suite: &'a str,
    /// `Codename`, such as `bookworm`.
    pub codename: &'a str,
    /// `Version`, such as `12.5`.
    pub version: &'a str,
    /// `NotAutomatic: yes`: nothing is taken from it unless asked for.
    pub not_automatic: bool,
    /// `ButAutomaticUpgrades: yes`: what is installed from it is kept up to date.
    pub but_automatic_upgrades: bool,
    /// A priority instead of the one that follows from these.
    pub pin: Option<i16>,
}

impl Origin<'_> {
    /// 500, or less if the archive says that it is not for everybody (`pkgPolicy::InitDefaults`).
    pub fn priority(&self) -> i16 {
        match self.pin {
            Some(pin) => pin,
            None if self.but_automatic_upgrades => 100,
            None if self.not_automatic => 1,
            None => 500,
        }
    }

    /// Whether it is what `package/suite` names: a suite, a code name, or the version if it begins with a digit.
    pub fn is_named(&self, name: &str) -> bool {
        match name.starts_with(|letter: char| letter.is_ascii_digit()) {
            true => self.version == name,
            false => self.suite.eq_ignore_ascii_case(name) || self.codename.eq_ignore_ascii_case(name),
        }
    }
}

/// A list: the text of a `Packages` file and where it is from.
#[derive(Clone, Debug, Default)]
pub struct List<'a> {
    /// The text.
    pub text: &'a str,
    /// Where it is from.
    pub origin: Origin<'a>,
}

/// What there is to choose from.
#[derive(Clone, Debug, Default)]
pub struct Input<'a> {
    /// The architecture of the system that is made.
    pub native: &'a str,
    /// Other architectures whose packages may be installed, too.
    pub foreign: &'a [&'a str],
    /// The lists, in the order of the sources: of each source first the native architecture's.
    pub lists: Vec<List<'a>>,
    /// dpkg's status file, or nothing.
    pub status: &'a str,
}

/// Why lists cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IndexError {
    /// A paragraph is none.
    #[error("line {line} of list {list} is neither a field nor the continuation of one: `{text}`")]
    Paragraph {
        /// Which list, counted from one; the status file is the last.
        list: usize,
        /// Which line.
        line: usize,
        /// Its beginning.
        text: String,
    },
    /// A field holds no list of relations.
    #[error("field `{field}` of package `{package}` {version}: {cause}")]
    Relation {
        /// The field.
        field: &'static str,
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// What is wrong.
        #[source]
        cause: relation::Malformed,
    },
    /// A `Status` is not made of three words.
    #[error("status of package `{package}` is not three known words: `{text}`")]
    Status {
        /// The package.
        package: String,
        /// What it says.
        text: String,
    },
    /// There are more than four thousand million things to number, or more than 65535 lists.
    #[error("the lists are too large")]
    TooLarge,
}
