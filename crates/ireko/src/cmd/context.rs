//! `ireko context`: what a build would read, which instruction reads it, and what the ignore file keeps out.

use crate::cli::{ContextArgs, Format, Global, Progress};
use crate::cmd::build::{contexts, plan_input_of};
use crate::debian_context::Foretold;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::look::{Looked, look_at};
use crate::session::Session;
use crate::settle::{self, Places};
use crate::text::{bytes, table};
use crate::{print, print_json};
use ireko_exec::{Cancel, Listing, Secrets};
use ireko_image::PullPolicy;
use ireko_plan::MAIN_CONTEXT;
use serde_json::json;

/// How many of the biggest files are shown.
const SHOWN: usize = 10;

/// What one instruction reads.
struct Reader {
    line: u32,
    text: String,
    context: String,
    files: u64,
    bytes: u64,
}

/// Runs the command. Nothing is built, nothing of the context but names and sizes is read.
pub(crate) fn run(args: &ContextArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let sink = session.sink();
    let Looked { store, source, build_args, images, _scratch } =
        look_at(&args.source, &session, &Secrets::default(), (PullPolicy::IfMissing, true))?;
    let (ast, _) = settle::parse(&source, &build_args, &*sink)?;
    let platforms = settle::platforms(&args.source.platform, &session.environment)?;
    let input = plan_input_of(ast, &args.source, (platforms, build_args), &source, None)?;
    let plan = settle::settle(&input, Places { images: &images, bases: &Foretold(&store) }, &*sink)?.plan;
    let contexts = contexts(&source, &store, &Cancel::default())?;

    let mut readers = Vec::new();
    for read in &plan.reads {
        let Some(context) = contexts.get(&read.context) else { continue };
        let (files, bytes) = context
            .count(&read.patterns, &read.excludes)
            .map_err(|error| Failure::of(error.blame(), &error))?;
        readers.push(Reader {
            line: read.line,
            text: read.text.clone(),
            context: read.context.clone(),
            files,
            bytes,
        });
    }
    let mut listings = Vec::new();
    for (name, context) in &contexts {
        listings.push((name.clone(), context.listing().map_err(|error| Failure::of(error.blame(), &error))?));
    }
    match args.format {
        Format::Table => print(&picture(&readers, &listings)),
        Format::Json => print_json(&document(&readers, &listings)),
    }
    Ok(())
}

fn picture(readers: &[Reader], listings: &[(String, Listing)]) -> String {
    let mut out = String::new();
    for (name, listing) in listings {
        let title = if name == MAIN_CONTEXT { "context".to_owned() } else { format!("context `{name}`") };
        out.push_str(&format!("{title}: {} files, {}\n", listing.files, bytes(listing.bytes)));
        let kept_out: u64 = listing.ignored.iter().map(|row| row.entries).sum();
        if kept_out > 0 {
            out.push_str(&format!("kept out by the ignore file: {kept_out} paths\n"));
            let rows = listing.ignored.iter().map(|row| {
                vec![format!("  line {}", row.line), row.pattern.clone(), format!("{} paths", row.entries)]
            });
            out.push_str(&table(&rows.collect::<Vec<_>>()));
        }
        if !listing.biggest.is_empty() {
            out.push_str("the biggest:\n");
            let rows = listing
                .biggest
                .iter()
                .take(SHOWN)
                .map(|(path, size)| vec![format!("  {}", bytes(*size)), path.clone()]);
            out.push_str(&table(&rows.collect::<Vec<_>>()));
        }
    }
    if readers.is_empty() {
        out.push_str("no instruction reads the context\n");
        return out;
    }
    out.push_str("read by:\n");
    let rows = readers.iter().map(|one| {
        let from =
            if one.context == MAIN_CONTEXT { String::new() } else { format!("(from `{}`)", one.context) };
        vec![
            format!("  line {}", one.line),
            format!("{} files", one.files),
            bytes(one.bytes),
            format!("{} {from}", one.text).trim_end().to_owned(),
        ]
    });
    out.push_str(&table(&rows.collect::<Vec<_>>()));
    out
}

/// The main context is called so in documents too.
fn shown(name: &str) -> &str {
    if name == MAIN_CONTEXT { "context" } else { name }
}

fn document(readers: &[Reader], listings: &[(String, Listing)]) -> serde_json::Value {
    let contexts: Vec<_> = listings
        .iter()
        .map(|(name, listing)| {
            json!({
                "name": shown(name),
                "files": listing.files,
                "bytes": listing.bytes,
                "biggest": listing.biggest.iter().take(SHOWN).map(|(path, size)| json!({"path": path, "bytes": size})).collect::<Vec<_>>(),
                "ignored": listing.ignored.iter().map(|row| json!({"line": row.line, "pattern": row.pattern, "paths": row.entries})).collect::<Vec<_>>(),
            })
        })
        .collect();
    let readers: Vec<_> = readers.iter().map(|one| json!({"line": one.line, "instruction": one.text, "context": shown(&one.context), "files": one.files, "bytes": one.bytes})).collect();
    json!({"contexts": contexts, "read_by": readers})
}
