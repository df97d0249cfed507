//! Text to Ast.

use crate::ast::Ast;
use ireko_report::{Diagnostic, SourceText};

/// Reads a Dockerfile. `name` is what people call it; the text may be any bytes.
///
/// Never fails: what is wrong is in the diagnostics, and what could be read is in the Ast.
pub fn parse(name: &str, text: &[u8]) -> (Ast, Vec<Diagnostic>) {
    let source = SourceText::new(name, String::from_utf8_lossy(text));
    let ast =
        Ast { source, escape: '\\', directives: vec![], comments: vec![], meta_args: vec![], stages: vec![] };
    (ast, vec![])
}

/// Whether a word is a heredoc operator.
pub(crate) fn heredoc_of_word(word: &str) -> Option<()> {
    word.starts_with("<<").then_some(())
}
