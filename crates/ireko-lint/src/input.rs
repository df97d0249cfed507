//! What an inspection is given.

use ireko_dockerfile::Ast;
use ireko_dockerfile::ignore::Patterns;
use ireko_oci::{ImageConfig, Platform};
use ireko_report::Diagnostic;
use std::collections::{BTreeMap, BTreeSet};

/// Which stages are gone through. What stands on a line alone is looked at in all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Scope {
    /// Every stage.
    #[default]
    Everything,
    /// The last stage and what it needs.
    Last,
    /// These stages, by name or number, and what they need.
    Targets(Vec<String>),
}

/// A Dockerfile, and what is known when it is built.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// The Dockerfile.
    pub ast: &'a Ast,
    /// What its parser found.
    pub diagnostics: &'a [Diagnostic],
    /// Build arguments in order; one without a value is not set.
    pub build_args: Vec<(String, Option<String>)>,
    /// Which stages.
    pub scope: Scope,
    /// The platform of the machine that builds.
    pub platform: Platform,
    /// The platform that is built for.
    pub target_platform: Platform,
    /// Configs of base images, by the name that FROM gives them and the platform (normalized) they were asked for. Where
    /// one is missing, rules that need it are silent.
    pub bases: BTreeMap<(String, Platform), ImageConfig>,
    /// Named contexts: each hides the stage and the image of its name.
    pub contexts: BTreeSet<String>,
    /// The ignore file of the context.
    pub ignore: Option<Patterns>,
}

impl<'a> Input<'a> {
    /// A build of this machine's platform with nothing else known.
    pub fn new(ast: &'a Ast, diagnostics: &'a [Diagnostic]) -> Self {
        Self {
            ast,
            diagnostics,
            build_args: Vec::new(),
            scope: Scope::default(),
            platform: Platform::host(),
            target_platform: Platform::host(),
            bases: BTreeMap::new(),
            contexts: BTreeSet::new(),
            ignore: None,
        }
    }

    /// The config of a base image.
    pub(crate) fn base(&self, name: &str, platform: Option<&Platform>) -> Option<&ImageConfig> {
        let platform = platform.unwrap_or(&self.target_platform).clone().normalized();
        self.bases.get(&(name.to_owned(), platform))
    }

    /// The value given to a build argument.
    pub(crate) fn given(&self, name: &str) -> Option<&str> {
        self.build_args.iter().rev().find_map(|(own, value)| (own == name).then_some(value.as_deref()?))
    }
}
