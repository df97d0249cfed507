//! `ireko cache`: what takes space, what can go, what is damaged.

use crate::cli::{CacheCommand, Format, Global, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{ago, bytes, parse_bytes, table};
use crate::{eprint, print, print_json};
use ireko_store::{Fate, PrunePlan, Pruned, PrunedItem, Store, Usage};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

/// Runs one of the commands.
pub(crate) fn run(command: &CacheCommand, global: &Global, environment: Environment) -> Result<u8, Failure> {
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let store = session.store()?;
    match command {
        CacheCommand::Du { format } => du(&store, *format),
        CacheCommand::Prune { all, force, unused_for, max_size, format } => {
            let plan = PrunePlan {
                all: *all,
                unused_for: unused_for.as_deref().map(duration).transpose()?,
                max_size: max_size.as_deref().map(size).transpose()?,
                dry_run: false,
            };
            prune(&store, &plan, *force, *format)
        }
        CacheCommand::Fsck { repair, format } => fsck(&store, *repair, *format),
    }
}

fn failed(error: ireko_store::Error) -> Failure {
    Failure::of(error.blame(), &error)
}

fn du(store: &Store, format: Format) -> Result<u8, Failure> {
    let rows = store.du().map_err(failed)?;
    let total: u64 = rows.iter().map(|row| row.bytes).sum();
    if format == Format::Json {
        let rows: Vec<_> = rows
            .iter()
            .map(|row| json!({"kind": row.kind.to_string(), "name": row.name, "bytes": row.bytes, "last_used": row.last_used, "in_use": row.in_use}))
            .collect();
        print_json(&json!({"total": total, "items": rows}));
        return Ok(0);
    }
    let now = environment::now().seconds();
    let mut sums: BTreeMap<String, (u64, usize)> = BTreeMap::new();
    for row in &rows {
        let sum = sums.entry(row.kind.to_string()).or_default();
        sum.0 += row.bytes;
        sum.1 += 1;
    }
    let mut big: Vec<&Usage> = rows.iter().collect();
    big.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let mut lines =
        vec![vec!["KIND".to_owned(), "NAME".to_owned(), "SIZE".to_owned(), "LAST USED".to_owned()]];
    for row in big.iter().take(20) {
        let used = ago(u64::try_from(now - row.last_used).unwrap_or(0));
        lines.push(vec![row.kind.to_string(), row.name.clone(), bytes(row.bytes), used]);
    }
    let mut out = table(&lines);
    out.push('\n');
    let sums = sums.into_iter().map(|(kind, (size, count))| vec![kind, count.to_string(), bytes(size)]);
    let head = ["KIND", "COUNT", "SIZE"].map(str::to_owned).to_vec();
    out.push_str(&table(&std::iter::once(head).chain(sums).collect::<Vec<_>>()));
    out.push_str(&format!("total {}\n", bytes(total)));
    print(&out);
    Ok(0)
}

fn duration(text: &str) -> Result<Duration, Failure> {
    let nanos = ireko_dockerfile::duration::parse(text).map_err(|error| {
        Failure::user(format!("`--unused-for {text}` is no length of time"))
            .cause(error)
            .hint("lengths look like 24h or 90m")
    })?;
    Ok(Duration::from_nanos(u64::try_from(nanos).unwrap_or(0)))
}

fn size(text: &str) -> Result<u64, Failure> {
    let wrong =
        || Failure::user(format!("`--max-size {text}` is no size")).hint("sizes look like 500m or 10g");
    parse_bytes(text).filter(|size| i64::try_from(*size).is_ok()).ok_or_else(wrong)
}

fn prune(store: &Store, plan: &PrunePlan, force: bool, format: Format) -> Result<u8, Failure> {
    let agreed = force || agreed(plan.all, format)?;
    let pruned = if agreed { store.prune(plan).map_err(failed)? } else { Pruned::default() };
    for problem in &pruned.problems {
        let _ = writeln!(std::io::stderr(), "warning: {problem}");
    }
    if format == Format::Json {
        let item = |item: &PrunedItem| json!({"kind": item.kind.to_string(), "name": item.name, "bytes": item.bytes});
        let problems: Vec<String> = pruned.problems.iter().map(ToString::to_string).collect();
        let items: Vec<_> = pruned.items.iter().map(item).collect();
        print_json(&json!({"freed": pruned.freed, "items": items, "problems": problems}));
    } else if agreed {
        print(&format!("removed {} items, {} freed\n", pruned.items.len(), bytes(pruned.freed)));
    } else {
        print("nothing removed\n");
    }
    Ok(0)
}

fn agreed(all: bool, format: Format) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::user(
            "`cache prune` asks before it removes anything, and there is no terminal to ask on",
        )
        .hint("give -f to remove without a question"));
    }
    let what = if all {
        "every record, cache mount and unpacked tree"
    } else {
        "what no image needs and nobody used lately"
    };
    let question = format!("this removes {what}; go on? [y/N] ");
    // What a program reads is JSON alone.
    match format {
        Format::Json => eprint(&question),
        Format::Table => print(&question),
    }
    let _ = std::io::stdout().flush();
    let mut answer = String::new();
    std::io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(|error| Failure::environment("cannot read the answer").cause(error))?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}

fn fsck(store: &Store, repair: bool, format: Format) -> Result<u8, Failure> {
    let report = store.fsck(repair).map_err(failed)?;
    let left = report
        .problems
        .iter()
        .filter(|problem| !matches!(problem.fate, Fate::Dropped | Fate::Remade))
        .count();
    if format == Format::Json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| json!({"subject": problem.subject, "problem": problem.problem, "fate": fate(problem.fate)}))
            .collect();
        print_json(
            &json!({"checked": report.checked, "unreadable": report.unreadable, "problems": problems}),
        );
    } else {
        let mut out = String::new();
        for problem in &report.problems {
            out.push_str(&format!("{}: {} ({})\n", problem.subject, problem.problem, fate(problem.fate)));
        }
        out.push_str(&format!(
            "{} objects checked, {} damaged, {left} left\n",
            report.checked,
            report.problems.len()
        ));
        if report.unreadable > 0 {
            out.push_str(&format!(
                "{} unpacked layers of another user mapping were not looked into\n",
                report.unreadable
            ));
        }
        if left > 0 && !repair {
            out.push_str("`ireko cache fsck --repair` drops what can be made again\n");
        }
        print(&out);
    }
    Ok(if left == 0 { 0 } else { 3 })
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Left => "left",
        Fate::Dropped => "dropped",
        Fate::Remade => "made again",
        Fate::InUse => "in use",
    }
}
