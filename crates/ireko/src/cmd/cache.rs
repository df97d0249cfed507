//! `ireko cache`: what takes space, what can go, what is damaged.

use crate::cli::{CacheCommand, Format, Global, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::session::Session;
use crate::text::{ago, bytes, parse_bytes, table};
use crate::{eprint, print, print_json};
use ireko_store::{Fate, FsckReport, Problem, PrunePlan, Pruned, PrunedItem, Store, Usage};
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

fn du(store: &Store, format: Format) -> Result<u8, Failure> {
    let rows = store.du()?;
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
        // A cache mount's name has its owner and mode in a second line.
        let name = row.name.replace('\n', " ");
        lines.push(vec![row.kind.to_string(), name, bytes(row.bytes), used]);
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
    let pruned = if agreed { store.prune(plan)? } else { Pruned::default() };
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
    let report = store.fsck(repair)?;
    if format == Format::Json {
        let problems: Vec<_> = report
            .problems
            .iter()
            .map(|problem| json!({"subject": problem.subject, "problem": problem.problem, "fate": fate(problem.fate)}))
            .collect();
        let checked: u64 = report.checked.values().sum();
        print_json(
            &json!({"checked": checked, "kinds": report.checked, "unreadable": report.unreadable, "problems": problems}),
        );
    } else {
        for problem in &report.problems {
            print(&format!("damaged: {}: {} ({})\n", problem.subject, problem.problem, fate(problem.fate)));
        }
        print(&summary(&report, repair));
    }
    let mended = |problem: &Problem| matches!(problem.fate, Fate::Dropped | Fate::Remade);
    Ok(if report.problems.iter().all(mended) { 0 } else { 3 })
}

/// What was checked, what was found, what was mended, and what is to be done about the rest.
fn summary(report: &FsckReport, repair: bool) -> String {
    let kinds: Vec<String> = report.checked.iter().map(|(kind, count)| counted(*count, kind)).collect();
    let mut out = match kinds.is_empty() {
        true => "checked: the store is empty\n".to_owned(),
        false => format!("checked: {}\n", kinds.join(", ")),
    };
    if report.unreadable > 0 {
        let layers = counted(report.unreadable, "unpacked layers");
        out.push_str(&format!("not checked: {layers} of another user's ids\n"));
    }
    let of = |fate| report.problems.iter().filter(|problem| problem.fate == fate).count();
    let (left, dropped, remade, in_use) =
        (of(Fate::Left), of(Fate::Dropped), of(Fate::Remade), of(Fate::InUse));
    if report.problems.is_empty() {
        out.push_str("found: no damage\n");
        return out;
    }
    out.push_str(&format!("found: {} damaged\n", report.problems.len()));
    if !repair {
        out.push_str("mended: nothing, since nothing was asked; `ireko cache fsck --repair` drops or makes again what it can\n");
        return out;
    }
    out.push_str(&format!(
        "mended: {remade} made again, {dropped} dropped (to be made again by a build that needs it)\n"
    ));
    if in_use > 0 {
        out.push_str(&format!("left: {in_use} that a running ireko uses; try again when it has ended\n"));
    }
    if left > 0 {
        out.push_str(&format!("left: {left} that cannot be made again here; build, pull or load those images again, or remove them with `ireko rmi`\n"));
    }
    out
}

/// A number of things, named by their plural.
fn counted(count: u64, plural: &str) -> String {
    match count {
        1 => format!("1 {}", plural.trim_end_matches('s')),
        _ => format!("{count} {plural}"),
    }
}

fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Left => "left",
        Fate::Dropped => "dropped",
        Fate::Remade => "made again",
        Fate::InUse => "in use",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(fates: &[Fate], repair: bool, expect: &[&str]) {
        let problem = |fate: &Fate| Problem { subject: String::new(), problem: String::new(), fate: *fate };
        let report = FsckReport {
            problems: fates.iter().map(problem).collect(),
            checked: BTreeMap::from([("blobs", 12), ("layers", 1)]),
            unreadable: u64::from(fates.len() > 3),
        };
        assert_eq!(summary(&report, repair).lines().collect::<Vec<_>>(), expect);
    }

    #[test]
    fn a_check_says_what_it_did_and_what_is_left_to_do() {
        let checked = "checked: 12 blobs, 1 layer";
        check(&[], false, &[checked, "found: no damage"]);
        check(
            &[Fate::Left, Fate::Left],
            false,
            &[
                checked,
                "found: 2 damaged",
                "mended: nothing, since nothing was asked; `ireko cache fsck --repair` drops or makes again what it can",
            ],
        );
        check(
            &[Fate::Dropped, Fate::Remade],
            true,
            &[
                checked,
                "found: 2 damaged",
                "mended: 1 made again, 1 dropped (to be made again by a build that needs it)",
            ],
        );
        check(
            &[Fate::Dropped, Fate::Left, Fate::InUse, Fate::Left],
            true,
            &[
                checked,
                "not checked: 1 unpacked layer of another user's ids",
                "found: 4 damaged",
                "mended: 0 made again, 1 dropped (to be made again by a build that needs it)",
                "left: 1 that a running ireko uses; try again when it has ended",
                "left: 2 that cannot be made again here; build, pull or load those images again, or remove them with `ireko rmi`",
            ],
        );
    }
}
