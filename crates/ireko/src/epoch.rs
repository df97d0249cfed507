//! The date of what SOURCE_DATE_EPOCH names.

use crate::dockerfile::{Packed, Source, fetch_file};
use crate::failure::{Failure, in_source};
use crate::repositories::{self, Elsewhere};
use ireko_exec::Workplace;
use ireko_graph::Op;
use ireko_plan::{EpochFrom, PlanInput, epoch_from};
use ireko_report::Blame;
use std::fs::File;

/// Puts the date in the place of the name, as the build argument that every stage sees; nothing where there is no date.
/// Without `elsewhere` nothing is fetched for it, and mistakes are left to the planner.
pub(crate) fn settle(
    input: &mut PlanInput,
    source: &Source,
    elsewhere: Option<&Elsewhere<'_>>,
) -> Result<(), Failure> {
    let from = match (epoch_from(input), elsewhere) {
        (Ok(None), _) | (Err(_), None) => return Ok(()),
        (Ok(Some(from)), _) => from,
        (Err(diagnostic), Some(_)) => return Err(in_source(&[*diagnostic], &input.ast.source)),
    };
    let date = match (from, elsewhere) {
        (EpochFrom::Context, elsewhere) => match (source.context.time(), &source.packed, elsewhere) {
            (None, Some(packed), Some(elsewhere)) => of_file(packed, elsewhere)?,
            (time, ..) => time,
        },
        (EpochFrom::Fetched(op), Some(elsewhere)) => of_source(op, elsewhere)?,
        (EpochFrom::Fetched(_), None) | (EpochFrom::Undated, _) => None,
    };
    let date = date.map(|date| date.to_string()).unwrap_or_default();
    input.build_args.push(("SOURCE_DATE_EPOCH".to_owned(), Some(date)));
    Ok(())
}

fn of_source(op: Op, elsewhere: &Elsewhere<'_>) -> Result<Option<i64>, Failure> {
    match op {
        Op::Git(source) => repositories::commit_time(&source, elsewhere).map(Some),
        // What is no whole archive has no date.
        Op::Http(source) => match of_file(&fetch_file(&source, "dated", elsewhere)?, elsewhere) {
            Err(failure) if failure.blame == Blame::User => Ok(None),
            date => date,
        },
        _ => Ok(None),
    }
}

/// What the server says, else the newest file of an archive.
fn of_file(packed: &Packed, elsewhere: &Elsewhere<'_>) -> Result<Option<i64>, Failure> {
    if packed.modified.is_some() {
        return Ok(packed.modified);
    }
    let failed = |error: std::io::Error| {
        Failure::environment(format!("cannot read `{}`", packed.path.display())).cause(error)
    };
    let file = File::open(&packed.path).map_err(failed)?;
    let workplace = Workplace { scratch: elsewhere.scratch, cancel: elsewhere.repositories.cancel };
    ireko_exec::newest_file(file, workplace).map_err(|error| Failure::of(error.blame(), &error))
}
