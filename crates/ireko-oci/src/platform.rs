//! Platforms: operating system, architecture and variant, in the spelling containerd settled on.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::OciError;
use crate::json::{is_default, or_default};

const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
    "zos",
];

const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

/// What an image runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The processor architecture, in Go's spelling: `amd64`, `arm64`.
    #[serde(default, deserialize_with = "or_default")]
    pub architecture: String,
    /// The operating system, in Go's spelling: `linux`.
    #[serde(default, deserialize_with = "or_default")]
    pub os: String,
    /// The version of the operating system (Windows).
    #[serde(
        default,
        rename = "os.version",
        deserialize_with = "or_default",
        skip_serializing_if = "is_default"
    )]
    pub os_version: String,
    /// Features of the operating system that are needed (Windows).
    #[serde(
        default,
        rename = "os.features",
        deserialize_with = "or_default",
        skip_serializing_if = "Vec::is_empty"
    )]
    pub os_features: Vec<String>,
    /// The variant of the architecture: `v7`. Empty for an architecture's default, save for `arm`.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "is_default")]
    pub variant: String,
}

impl Platform {
    /// A normalised platform.
    pub fn new(os: &str, architecture: &str, variant: &str) -> Self {
        let plain = Self { os: os.to_owned(), architecture: architecture.to_owned(), ..Self::default() };
        Self { variant: variant.to_owned(), ..plain }.normalized()
    }

    /// The platform this program was built for.
    pub fn host() -> Self {
        Self::new(Self::HOST_OS, Self::HOST_ARCHITECTURE, "")
    }

    /// The operating system this program was built for.
    pub const HOST_OS: &str = std::env::consts::OS;

    /// The architecture this program was built for, in Go's spelling.
    pub const HOST_ARCHITECTURE: &str = if cfg!(target_arch = "x86_64") {
        "amd64"
    } else if cfg!(target_arch = "aarch64") {
        "arm64"
    } else if cfg!(target_arch = "x86") {
        "386"
    } else if cfg!(all(target_arch = "powerpc64", target_endian = "little")) {
        "ppc64le"
    } else if cfg!(target_arch = "powerpc64") {
        "ppc64"
    } else if cfg!(target_arch = "loongarch64") {
        "loong64"
    } else {
        // `arm`, `riscv64`, `s390x` are spelt alike.
        std::env::consts::ARCH
    };

    /// The build arguments that tell a Dockerfile of the platform; `prefix` is `BUILD` or `TARGET` (Dockerfile reference,
    /// "Automatic platform ARGs in the global scope"; `OSVERSION` is BuildKit's).
    pub fn arguments(&self, prefix: &str) -> [(String, String); 5] {
        [
            (format!("{prefix}PLATFORM"), self.to_string()),
            (format!("{prefix}OS"), self.os.clone()),
            (format!("{prefix}OSVERSION"), self.os_version.clone()),
            (format!("{prefix}ARCH"), self.architecture.clone()),
            (format!("{prefix}VARIANT"), self.variant.clone()),
        ]
    }

    /// The same platform in containerd's spelling: `x86_64` is `amd64`, `arm` without a variant is `v7`.
    #[must_use]
    pub fn normalized(self) -> Self {
        let os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            other => other.to_owned(),
        };
        let (architecture, variant) = normalize(&self.architecture, &self.variant);
        let mut os_features = self.os_features;
        os_features.sort_unstable();
        os_features.dedup();
        Self { architecture, os, os_version: self.os_version, os_features, variant }
    }

    /// Whether both mean the same system, architecture and variant, however they are spelt.
    pub fn same(&self, other: &Self) -> bool {
        let (one, two) = (self.clone().normalized(), other.clone().normalized());
        let version =
            one.os_version.is_empty() || two.os_version.is_empty() || one.os_version == two.os_version;
        version && (one.os, one.architecture, one.variant) == (two.os, two.architecture, two.variant)
    }

    /// Whether programs of both are of one instruction set, of which variants are levels: those of `amd64` and `arm64`.
    /// What is for a higher level may still need a newer machine.
    pub fn is_level_of(&self, other: &Self) -> bool {
        let (one, two) = (self.clone().normalized(), other.clone().normalized());
        (&one.os, &one.architecture) == (&two.os, &two.architecture)
            && matches!(one.architecture.as_str(), "amd64" | "arm64")
    }

    /// Whether an image for this platform can stand where one for another is wanted.
    pub fn serves(&self, wanted: &Self) -> bool {
        self.is_level_of(wanted) || wanted.runnable().iter().any(|it| it.same(self))
    }

    /// This platform, then those whose images it also runs, best first.
    pub fn runnable(&self) -> Vec<Self> {
        let own = self.clone().normalized();
        let with = |architecture: &str, variant: String| Self {
            architecture: architecture.to_owned(),
            variant,
            ..own.clone()
        };
        let arms = |newest: u32| (5..=newest).rev().map(move |number| format!("v{number}"));
        let number: Option<u32> = own.variant.strip_prefix('v').and_then(|number| number.parse().ok());
        let mut all = vec![own.clone()];
        match (own.architecture.as_str(), number) {
            ("amd64", number) => {
                let older = (2..number.unwrap_or(1).min(4)).rev().map(|number| format!("v{number}"));
                all.extend(older.map(|variant| with("amd64", variant)));
                all.push(with("amd64", String::new()));
                all.push(with("386", String::new()));
            }
            ("arm64", number) => {
                let older = (9..number.unwrap_or(8).min(10)).rev().map(|number| format!("v{number}"));
                all.extend(older.map(|variant| with("arm64", variant)));
                all.push(with("arm64", String::new()));
                all.extend(arms(8).map(|variant| with("arm", variant)));
            }
            ("arm", Some(number)) if number > 5 => {
                all.extend(arms(number.min(9) - 1).map(|variant| with("arm", variant)));
            }
            _ => {}
        }
        all.dedup();
        all
    }
}

fn normalize(architecture: &str, variant: &str) -> (String, String) {
    let (architecture, variant) = (architecture.to_ascii_lowercase(), variant.to_ascii_lowercase());
    let (architecture, variant) = match (architecture.as_str(), variant.as_str()) {
        ("i386" | "i486" | "i586" | "i686", _) => ("386", ""),
        ("x86_64" | "x86-64" | "amd64", "v1" | "") => ("amd64", ""),
        ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
        ("aarch64" | "arm64", "8" | "v8" | "v8.0" | "8.0") => ("arm64", ""),
        ("aarch64" | "arm64", "9" | "v9" | "v9.0" | "9.0") => ("arm64", "v9"),
        ("aarch64" | "arm64", other) => ("arm64", other),
        ("armhf", _) => ("arm", "v7"),
        ("armel", _) => ("arm", "v6"),
        ("armv5" | "armv5l" | "armv5tel", "") => ("arm", "v5"),
        ("armv6" | "armv6l", "") => ("arm", "v6"),
        ("armv7" | "armv7l", "") => ("arm", "v7"),
        ("armv8" | "armv8l", "") => ("arm", "v8"),
        ("arm", "" | "7") => ("arm", "v7"),
        ("arm", "5") => ("arm", "v5"),
        ("arm", "6") => ("arm", "v6"),
        ("arm", "8") => ("arm", "v8"),
        (architecture, variant) => (architecture, variant),
    };
    (architecture.to_owned(), variant.to_owned())
}

/// Writes `os/architecture` or `os/architecture/variant`.
impl fmt::Display for Platform {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.os)?;
        if !self.os_version.is_empty() {
            write!(out, "({})", self.os_version)?;
        }
        write!(out, "/{}", self.architecture)?;
        if !self.variant.is_empty() {
            write!(out, "/{}", self.variant)?;
        }
        Ok(())
    }
}

impl FromStr for Platform {
    type Err = OciError;

    /// Reads `os`, `architecture`, `os/architecture` or `os/architecture/variant`; what is missing is this
    /// host's. The system may carry its version: `windows(10.0.17763)`.
    fn from_str(text: &str) -> Result<Self, OciError> {
        let wrong = |problem| OciError::Platform { text: text.to_owned(), problem };
        let mut parts = text.split('/');
        let first = parts.next().unwrap_or_default();
        let (os, version) = match first.split_once('(') {
            Some((os, version)) => (os, version.strip_suffix(')').ok_or(wrong("the `(` is not closed"))?),
            None => (first, ""),
        };
        let rest: Vec<&str> = parts.collect();
        let word = |part: &&str| {
            !part.is_empty()
                && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
        };
        if !word(&os) || !rest.iter().all(word) {
            return Err(wrong("expected `os/architecture` or `os/architecture/variant`"));
        }
        let mut platform = match rest[..] {
            [] => from_one_word(os).ok_or(wrong("neither an operating system nor an architecture"))?,
            [architecture] => Self::new(os, architecture, ""),
            [architecture, variant] => Self::new(os, architecture, variant),
            _ => return Err(wrong("expected at most `os/architecture/variant`")),
        };
        platform.os_version = version.to_owned();
        Ok(platform)
    }
}

fn from_one_word(word: &str) -> Option<Platform> {
    let as_system = Platform::new(word, Platform::HOST_ARCHITECTURE, "");
    if SYSTEMS.contains(&as_system.os.as_str()) {
        return Some(as_system);
    }
    let as_architecture = Platform::new(Platform::HOST_OS, word, "");
    ARCHITECTURES.contains(&as_architecture.architecture.as_str()).then_some(as_architecture)
}

#[cfg(test)]
mod tests;
