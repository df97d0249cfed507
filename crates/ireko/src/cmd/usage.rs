//! `ireko cache du` and `ireko system df`: what takes space, by thing, kind, project and stage.

use crate::cli::{By, DuArgs, Format};
use crate::environment;
use crate::failure::Failure;
use crate::text::{ago, bytes, table};
use crate::{print, print_json, template};
use ireko_store::{Origin, Store, Usage, UsageKind};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// What several rows come to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    /// How many of them are in use, or needed by tagged images.
    active: u64,
    bytes: u64,
    /// What a prune could free of that.
    reclaimable: u64,
    last_used: i64,
}

impl Sum {
    fn add(&mut self, row: &Usage) {
        let kept = row.tagged && !row.spare || row.in_use;
        self.count += row.count;
        self.bytes += row.bytes;
        self.last_used = self.last_used.max(row.last_used);
        if row.tagged || row.in_use {
            self.active += row.count;
        }
        if !kept {
            self.reclaimable += row.bytes;
        }
    }

    fn json(&self, mut head: Value) -> Value {
        let Self { count, active, bytes, reclaimable, last_used } = self;
        let rest = json!({"count": count, "active": active, "bytes": bytes, "reclaimable": reclaimable, "last_used": last_used});
        if let (Value::Object(head), Value::Object(rest)) = (&mut head, rest) {
            head.extend(rest);
        }
        head
    }
}

/// The rows summed by something, in its order.
fn sums<K: Ord>(rows: &[Usage], key: impl Fn(&Usage) -> Option<K>) -> Vec<(K, Sum)> {
    let mut sums: BTreeMap<K, Sum> = BTreeMap::new();
    for row in rows {
        if let Some(key) = key(row) {
            sums.entry(key).or_default().add(row);
        }
    }
    sums.into_iter().collect()
}

fn kinds(rows: &[Usage]) -> Vec<(UsageKind, Sum)> {
    sums(rows, |row| Some(row.kind))
}

/// What no record speaks of is nobody's: bases, cache mounts, hashes.
fn project(row: &Usage) -> String {
    row.origin.as_ref().map(|origin| origin.project.clone()).unwrap_or_default()
}

fn origin(row: &Usage) -> Origin {
    row.origin.clone().unwrap_or_default()
}

/// Runs `cache du`.
pub(crate) fn du(store: &Store, args: &DuArgs) -> Result<u8, Failure> {
    let rows = store.du()?;
    let total: u64 = rows.iter().map(|row| row.bytes).sum();
    if args.format == Format::Json {
        print_json(&du_json(&rows, total));
        return Ok(0);
    }
    let mut out = match args.by {
        By::Item => format!("{}\n{}", items(&rows), kinds_table(&rows)),
        By::Kind => kinds_table(&rows),
        By::Project => {
            let sums = sums(&rows, |row| Some(project(row)));
            summed("PROJECT", sums.into_iter().map(|(project, sum)| (named(&project), sum)).collect())
        }
        By::Stage => {
            let sums = sums(&rows, |row| Some(origin(row)));
            let name = |origin: &Origin| match origin.stage.as_str() {
                "" => named(&origin.project),
                stage => format!("{} [{stage}]", named(&origin.project)),
            };
            summed("STAGE", sums.iter().map(|(origin, sum)| (name(origin), *sum)).collect())
        }
    };
    out.push_str(&format!("total {}\n", bytes(total)));
    print(&out);
    Ok(0)
}

fn named(project: &str) -> String {
    if project.is_empty() { "(no project)".to_owned() } else { project.to_owned() }
}

fn du_json(rows: &[Usage], total: u64) -> Value {
    let item = |row: &Usage| {
        let (project, stage) = match &row.origin {
            Some(origin) => (Some(&origin.project), Some(&origin.stage)),
            None => (None, None),
        };
        json!({
            "kind": row.kind.to_string(), "name": row.name, "bytes": row.bytes, "last_used": row.last_used,
            "in_use": row.in_use, "tagged": row.tagged, "spare": row.spare, "count": row.count, "project": project, "stage": stage,
        })
    };
    let or_null = |text: &str| if text.is_empty() { Value::Null } else { json!(text) };
    let kinds: Vec<Value> =
        kinds(rows).iter().map(|(kind, sum)| sum.json(json!({"kind": kind.to_string()}))).collect();
    let projects: Vec<Value> = sums(rows, |row| Some(project(row)))
        .iter()
        .map(|(project, sum)| sum.json(json!({"project": or_null(project)})))
        .collect();
    let stages: Vec<Value> = sums(rows, |row| Some(origin(row)))
        .iter()
        .map(|(origin, sum)| {
            sum.json(json!({"project": or_null(&origin.project), "stage": or_null(&origin.stage)}))
        })
        .collect();
    let items: Vec<Value> = rows.iter().map(item).collect();
    json!({"total": total, "items": items, "kinds": kinds, "projects": projects, "stages": stages})
}

/// The biggest things.
fn items(rows: &[Usage]) -> String {
    const SHOWN: usize = 20;
    let mut big: Vec<&Usage> = rows.iter().filter(|row| row.bytes > 0).collect();
    big.sort_by_key(|row| std::cmp::Reverse(row.bytes));
    let mut lines = vec![["KIND", "NAME", "SIZE", "LAST USED", "PROJECT"].map(str::to_owned).to_vec()];
    for row in big.iter().take(SHOWN) {
        // A cache mount's name has its owner and mode in a second line.
        let name = row.name.replace('\n', " ");
        lines.push(vec![row.kind.to_string(), name, bytes(row.bytes), when(row.last_used), project(row)]);
    }
    let mut out = table(&lines);
    let (count, size) =
        big.iter().skip(SHOWN).fold((0, 0), |(count, size), row| (count + 1, size + row.bytes));
    if count > 0 {
        out.push_str(&format!("and {count} more, {}; `--format json` has them\n", bytes(size)));
    }
    out
}

fn when(used: i64) -> String {
    match used {
        0 => "never".to_owned(),
        used => ago(u64::try_from(environment::now().seconds() - used).unwrap_or(0)),
    }
}

fn kinds_table(rows: &[Usage]) -> String {
    summed("KIND", kinds(rows).into_iter().map(|(kind, sum)| (kind.to_string(), sum)).collect())
}

fn summed(head: &str, rows: Vec<(String, Sum)>) -> String {
    let mut lines = vec![[head, "COUNT", "SIZE", "RECLAIMABLE", "LAST USED"].map(str::to_owned).to_vec()];
    for (name, Sum { count, bytes: size, reclaimable, last_used, .. }) in rows {
        lines.push(vec![name, count.to_string(), bytes(size), bytes(reclaimable), when(last_used)]);
    }
    table(&lines)
}

/// Runs `system df`.
pub(crate) fn df(store: &Store, verbose: bool, format: &str) -> Result<u8, Failure> {
    let rows = store.du()?;
    let types = types(&rows);
    if format == "json" {
        let of = |(name, sum): &(&str, Sum)| json!({"type": name, "total": sum.count, "active": sum.active, "size": sum.bytes, "reclaimable": sum.reclaimable});
        let kinds: Vec<Value> =
            kinds(&rows).iter().map(|(kind, sum)| sum.json(json!({"kind": kind.to_string()}))).collect();
        let types: Vec<Value> = types.iter().map(of).collect();
        print_json(&json!({"types": types, "kinds": kinds}));
        return Ok(0);
    }
    let titles = json!({
        "Type": "TYPE", "TotalCount": "TOTAL", "Active": "ACTIVE", "Size": "SIZE", "Reclaimable": "RECLAIMABLE",
    });
    let row = |(name, sum): &(&str, Sum)| {
        let share = match sum.bytes {
            0 => String::new(),
            size => format!(" ({}%)", sum.reclaimable * 100 / size),
        };
        json!({
            "Type": name,
            "TotalCount": sum.count.to_string(),
            "Active": sum.active.to_string(),
            "Size": bytes(sum.bytes),
            "Reclaimable": format!("{}{share}", bytes(sum.reclaimable)),
        })
    };
    let lines: Vec<Value> = types.iter().map(row).collect();
    let all = "table {{.Type}}\t{{.TotalCount}}\t{{.Active}}\t{{.Size}}\t{{.Reclaimable}}";
    let mut out = template::rows(if format == "table" { all } else { format }, &titles, &lines)?;
    if verbose {
        out.push_str(&format!("\n{}", kinds_table(&rows)));
        let projects = sums(&rows, |row| Some(project(row)));
        let projects = projects.into_iter().map(|(project, sum)| (named(&project), sum)).collect();
        out.push_str(&format!("\n{}", summed("PROJECT", projects)));
    }
    print(&out);
    Ok(0)
}

/// Docker's four kinds of things. What tagged images need is the images', all else is cache; containers and their
/// volumes end with their command.
fn types(rows: &[Usage]) -> [(&'static str, Sum); 4] {
    let (mut images, mut cache) = (Sum::default(), Sum::default());
    for row in rows {
        match (row.kind, row.tagged) {
            (UsageKind::Image, _) => images.add(row),
            (_, true) => {
                images.bytes += row.bytes;
                images.reclaimable += if row.spare && !row.in_use { row.bytes } else { 0 };
            }
            (_, false) => cache.add(row),
        }
    }
    [
        ("Images", images),
        ("Containers", Sum::default()),
        ("Local Volumes", Sum::default()),
        ("Build Cache", cache),
    ]
}
