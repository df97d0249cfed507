//! Values of the image's config: refused is what the instructions of a Dockerfile refuse, and what no container starts
//! with.

use super::user;
use crate::cli::PackArgs;
use crate::failure::Failure;
use ireko_oci::GuestPath;
use ireko_plan::values;
pub(super) use ireko_plan::values::Wrong;

/// What a value is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Workdir,
    Port,
    Volume,
    StopSignal,
    /// Whether packages may bring the name.
    User {
        may_be_named: bool,
    },
    /// `NAME=VALUE`, or a name.
    Env,
    Label,
}

impl Value {
    /// Whether a text is one.
    pub(super) fn check(self, text: &str) -> Result<(), Wrong> {
        let wrong = |message: String, hint| Err(Wrong { message, hint: Some(hint) });
        if text.contains('\0') {
            return Err(Wrong { message: "it holds a zero byte".to_owned(), hint: None });
        }
        match self {
            Self::Workdir if !text.starts_with('/') => wrong(
                format!("the working directory `{text}` is no absolute path"),
                "there is no other directory that it could be below of: write `/app`",
            ),
            Self::Workdir => match GuestPath::root().join(text) {
                Ok(_) => Ok(()),
                Err(error) => Err(Wrong { message: error.to_string(), hint: None }),
            },
            Self::Port => values::ports(text).map(drop),
            Self::Volume => values::volume(text),
            Self::StopSignal => values::stop_signal(text),
            Self::User { may_be_named } => user(text, may_be_named).map(drop),
            Self::Env | Self::Label if text.is_empty() || text.starts_with('=') => {
                let (what, hint) = match self {
                    Self::Env => ("variable", "`NAME=VALUE`"),
                    _ => ("label", "`name=value`"),
                };
                wrong(format!("the {what} has no name"), hint)
            }
            Self::Env | Self::Label => Ok(()),
        }
    }
}

impl Value {
    /// Whether a text is the name of one of these.
    pub(super) fn check_name(self, name: &str) -> Result<(), Wrong> {
        if self == Self::Env && name.contains('=') && !name.starts_with('=') {
            let message = format!("the name `{name}` has a `=`");
            return Err(Wrong { message, hint: Some("write `NAME = \"value\"`") });
        }
        self.check(name)
    }
}

/// Refuses flags whose values are none.
pub(super) fn check(args: &PackArgs) -> Result<(), Failure> {
    fn each<'a>(
        flag: &'static str,
        value: Value,
        texts: impl IntoIterator<Item = &'a String>,
    ) -> Result<(), Failure> {
        for text in texts {
            value.check(text).map_err(|wrong| failure(&format!("`{flag} {text}`"), wrong))?;
        }
        Ok(())
    }
    each("--workdir", Value::Workdir, &args.workdir)?;
    each("--expose", Value::Port, &args.expose)?;
    each("--volume", Value::Volume, &args.volume)?;
    each("--stop-signal", Value::StopSignal, &args.stop_signal)?;
    each("--user", Value::User { may_be_named: !args.deb.is_empty() }, &args.user)?;
    each("--env", Value::Env, &args.env)?;
    each("--label", Value::Label, &args.out.label)
}

/// What is wrong at a place.
pub(super) fn failure(place: &str, wrong: Wrong) -> Failure {
    let failure = Failure::user(format!("{place}: {}", wrong.message));
    failure.hinted(wrong.hint)
}
