//! Which stages there are.

use ireko_dockerfile::{Ast, Stage};
use std::ops::RangeInclusive;

/// A stage that can be built.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name; empty where it has none.
    pub name: String,
    /// It is built where no other is asked for.
    pub is_default: bool,
    /// What the comment above its FROM says of it: `# name words`.
    pub description: String,
    /// What it stands on, as written.
    pub base: String,
    /// Its platform, as written.
    pub platform: String,
    /// Lines of its FROM.
    pub lines: RangeInclusive<u32>,
}

/// All stages, in the order of the text.
pub fn targets(ast: &Ast) -> Vec<Target> {
    let last = ast.stages.len().saturating_sub(1);
    let target = |(index, stage): (usize, &Stage)| Target {
        name: stage.from.name.as_ref().map(|name| name.value.clone()).unwrap_or_default(),
        is_default: index == last,
        description: description(stage).unwrap_or_default(),
        base: stage.from.base.value.clone(),
        platform: stage.from.platform.as_ref().map(|word| word.value.clone()).unwrap_or_default(),
        lines: stage.at.lines.clone(),
    };
    ast.stages.iter().enumerate().map(target).collect()
}

/// What the comments above FROM say of the stage.
pub(crate) fn description(stage: &Stage) -> Option<String> {
    let name = &stage.from.name.as_ref()?.value;
    let words = |comment: &String| Some(comment.strip_prefix(name.as_str())?.strip_prefix(' ')?.to_owned());
    stage.at.comments.iter().find_map(words)
}
