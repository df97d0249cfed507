//! Variables: which are set where, and in what order.

use crate::fault::{Fault, Of};
use crate::input::PlanInput;
use ireko_dockerfile::Ast;
use ireko_dockerfile::words::{Env, Lexer};
use ireko_oci::Platform;
use std::collections::BTreeMap;
use std::rc::Rc;

/// Variables in the order of their last setting. Stages on one base share them until one of them sets another; each is
/// found without going through the others, since hundreds of stages may inherit thousands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    variables: Rc<BTreeMap<Rc<str>, Variable>>,
    /// How many settings there were.
    settings: u64,
}

#[derive(Clone, Debug)]
struct Variable {
    value: Rc<str>,
    /// The number of its last setting.
    setting: u64,
}

impl Scope {
    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|variable| &*variable.value)
    }

    /// Sets a variable; it is then the last one. Tells whether it is new.
    pub(crate) fn set(&mut self, name: &str, value: &str) -> bool {
        self.settings += 1;
        let variable = Variable { value: value.into(), setting: self.settings };
        Rc::make_mut(&mut self.variables).insert(name.into(), variable).is_none()
    }

    /// Forgets a variable.
    pub(crate) fn unset(&mut self, name: &str) {
        Rc::make_mut(&mut self.variables).remove(name);
    }

    /// The names, in no order that means something.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.variables.keys().map(|name| &**name)
    }

    /// All of them.
    pub(crate) fn pairs(&self) -> Vec<(String, String)> {
        let mut all: Vec<_> = self.variables.iter().collect();
        all.sort_by_key(|(_, variable)| variable.setting);
        all.iter().map(|(name, variable)| (name.to_string(), variable.value.to_string())).collect()
    }
}

impl Env for Scope {
    fn get(&self, name: &str) -> Option<String> {
        self.value(name).map(str::to_owned)
    }
}

/// The value given to a build argument on the command line.
pub(crate) fn given<'a>(input: &'a PlanInput, name: &str) -> Option<&'a str> {
    input.build_args.iter().rev().find_map(|(own, value)| (own == name).then_some(value.as_deref()?))
}

/// What every Dockerfile may use in FROM, and by ARG in a stage: platforms, and the target's name.
fn predefined(input: &PlanInput, target: &str, platform: &Platform) -> Vec<(String, String)> {
    let mut pairs = input.build_platform().arguments("BUILD").to_vec();
    pairs.extend(platform.arguments("TARGET"));
    let target = if target.is_empty() { "default" } else { target };
    pairs.push(("TARGETSTAGE".to_owned(), target.to_owned()));
    pairs
}

/// The variables of FROM: the predefined ones, and the ARGs before the first FROM.
pub(crate) fn global(input: &PlanInput, target: &str, platform: &Platform) -> Result<Scope, Fault> {
    let mut scope = Scope::default();
    for (name, value) in predefined(input, target, platform) {
        scope.set(&name, given(input, &name).unwrap_or(&value));
    }
    let lexer = Lexer::new(input.ast.escape);
    for arg in input.ast.meta_args.iter().flat_map(|arg| &arg.args) {
        let value = match (given(input, &arg.name.value), &arg.value) {
            (Some(given), _) => Some(given.to_owned()),
            (None, Some(word)) => Some(lexer.word(&word.value, &scope).of(word.span)?.text),
            (None, None) => None,
        };
        if let Some(value) = value {
            scope.set(&arg.name.value, &value);
        }
    }
    Ok(scope)
}

/// Names that mean a proxy, in any case; their values reach a step but neither its key nor the image.
const PROXIES: [&str; 5] = ["HTTP_PROXY", "HTTPS_PROXY", "FTP_PROXY", "NO_PROXY", "ALL_PROXY"];

/// The proxy variables a step gets from build arguments, each in capitals and in small letters.
pub(crate) fn proxies(input: &PlanInput) -> Vec<(String, String)> {
    let mut pairs = Vec::new();
    for proxy in PROXIES {
        let value = input
            .build_args
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case(proxy))
            .filter_map(|(_, value)| value.as_ref())
            .next_back();
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.push((proxy.to_owned(), value.clone()));
            pairs.push((proxy.to_ascii_lowercase(), value.clone()));
        }
    }
    pairs
}

/// Build arguments that no ARG asks for, and that mean nothing by themselves.
pub(crate) fn unused<'a>(input: &'a PlanInput, ast: &Ast) -> Vec<&'a str> {
    use ireko_dockerfile::InstructionKind::{Arg, Onbuild};
    let known = |name: &str| {
        PROXIES.iter().any(|proxy| name.eq_ignore_ascii_case(proxy))
            || name.starts_with("BUILDKIT_")
            || name == "SOURCE_DATE_EPOCH"
            || predefined(input, "", &input.platform).iter().any(|(own, _)| own == name)
    };
    let declared = |name: &str| {
        let meta = ast.meta_args.iter().flat_map(|arg| &arg.args);
        let inner =
            ast.stages.iter().flat_map(|stage| &stage.instructions).flat_map(|step| match &step.kind {
                Arg(args) => args.as_slice(),
                _ => &[],
            });
        meta.chain(inner).any(|arg| arg.name.value == name)
    };
    // A trigger may declare arguments too; with one there, nothing is known.
    let steps = ast.stages.iter().flat_map(|stage| &stage.instructions);
    if steps.clone().any(|step| matches!(step.kind, Onbuild(_))) {
        return Vec::new();
    }
    let names = input.build_args.iter().filter(|(_, value)| value.is_some()).map(|(name, _)| name.as_str());
    names.filter(|name| !known(name) && !declared(name)).collect()
}
