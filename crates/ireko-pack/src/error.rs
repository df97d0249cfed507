//! Why nothing can be packed, and whose fault it is.

use std::io;
use std::path::PathBuf;

use ireko_report::Blame;

/// Why nothing was packed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file that was named cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// What was named cannot be part of an image.
    #[error("`{}` is {problem}", path.display())]
    Kind {
        /// Which one.
        path: PathBuf,
        /// What it is.
        problem: String,
    },
    /// Two things are to lie at one place.
    #[error("`{}` and `{}` are both to lie at `{place}`", one.display(), other.display())]
    Twice {
        /// The first.
        one: PathBuf,
        /// The second.
        other: PathBuf,
        /// Where.
        place: String,
    },
    /// A place is none.
    #[error("`{place}` is no place in an image: {problem}")]
    Place {
        /// What was said.
        place: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// What was asked for by `--with` is not in the base.
    #[error("`{with}` is not there: `{path}` is missing")]
    NoHelper {
        /// What was asked for.
        with: &'static str,
        /// What of it is missing.
        path: String,
        /// The package that has it.
        package: &'static str,
    },
    /// A program that has to start has no bit that allows it.
    #[error("`{path}` cannot be started: nobody may execute it (mode {mode:03o})")]
    Mode {
        /// Its place in the image.
        path: String,
        /// Its permissions.
        mode: u32,
        /// The file of this machine that it is, where it was named.
        host: Option<PathBuf>,
    },
    /// What a program needs is not known.
    #[error(transparent)]
    Needs(#[from] ireko_slim::Error),
    /// A layer could not be written.
    #[error(transparent)]
    Layer(#[from] ireko_layer::Error),
    /// The layers of an image could not be had.
    #[error(transparent)]
    Image(#[from] ireko_image::Error),
    /// A package file is none.
    #[error(transparent)]
    Package(#[from] ireko_deb::package::PackageError),
    /// A package's files are none that can be taken.
    #[error("cannot use the files of package `{package}`")]
    Files {
        /// Which one.
        package: String,
        /// What is wrong.
        #[source]
        cause: ireko_layer::Error,
    },
    /// Two packages cannot lie in one tree.
    #[error("package `{package}` has `/{path}`, and {problem}")]
    Clash {
        /// The later one.
        package: String,
        /// Where.
        path: String,
        /// What is there.
        problem: String,
    },
    /// What dpkg keeps of its packages is damaged.
    #[error("cannot read the packages of `{path}`")]
    Database {
        /// Which file, in the image or the base.
        path: String,
        /// What is wrong.
        #[source]
        cause: ireko_deb::control::Malformed,
    },
    /// A package is not the same without its scripts.
    #[error("package `{package}` needs its `{script}` to be run, which does {needs}")]
    Script {
        /// Which one.
        package: String,
        /// `preinst` or `postinst`.
        script: &'static str,
        /// What of it has an effect.
        needs: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] ireko_store::Error),
}

impl Error {
    /// Whose fault it is.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Read { cause, .. } if cause.kind() == io::ErrorKind::NotFound => Blame::User,
            Self::Read { .. } => Blame::Environment,
            Self::Kind { .. }
            | Self::Twice { .. }
            | Self::Place { .. }
            | Self::NoHelper { .. }
            | Self::Mode { .. }
            | Self::Script { .. } => Blame::User,
            Self::Needs(error) => error.blame(),
            Self::Layer(error) => error.blame(),
            Self::Store(error) => error.blame(),
            Self::Image(error) => error.blame(),
            Self::Package(_) | Self::Files { .. } | Self::Clash { .. } | Self::Database { .. } => {
                Blame::Environment
            }
        }
    }

    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Script { package, .. } => Some(format!(
                "scripts run in the other variants: `ireko base debian:SUITE-slim --include {package}`"
            )),
            Self::Twice { .. } => Some("give one of them another place: PATH:/PLACE".to_owned()),
            Self::NoHelper { package, .. } => Some(format!("install the package `{package}`, or pack it")),
            Self::Mode { host: Some(host), .. } => {
                Some(format!("`chmod +x {}`: downloads and artifacts of jobs lose it", host.display()))
            }
            Self::Needs(error) => error.hint(),
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Image(error) => error.hint().map(str::to_owned),
            _ => None,
        }
    }
}
