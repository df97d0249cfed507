//! `ireko cache prune`, and the same as `builder prune`, `system prune` and `image prune`: what goes, asked and told.

use crate::cli::{Format, ImagePruneArgs, PruneArgs, SystemPruneArgs};
use crate::failure::Failure;
use crate::text::{bytes, parse_bytes, table};
use crate::{eprint, print, print_json};
use ireko_oci::Timestamp;
use ireko_store::{Condition, Image, PrunePlan, Pruned, PrunedItem, Store, UsageKind};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal, Write};
use std::time::Duration;

/// What stays unless it is said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unsaid {
    /// What was used within a week.
    Recent,
    /// What is in use, as Docker has it.
    InUse,
}

/// Runs `cache prune` or `builder prune`.
pub(crate) fn cache(store: &Store, args: &PruneArgs, unsaid: Unsaid) -> Result<u8, Failure> {
    let plan = plan(args, unsaid)?;
    let what = match (plan.all, unsaid) {
        (true, _) => "every record, cache mount and unpacked tree",
        (false, Unsaid::InUse) => "all that no tagged image needs and nobody uses",
        (false, Unsaid::Recent) => "what no image needs and nobody used lately",
    };
    prune(store, &plan, what, (args.force, args.format))
}

/// Runs `system prune`.
pub(crate) fn system(store: &Store, args: &SystemPruneArgs) -> Result<u8, Failure> {
    let conditions = conditions(&args.filter)?;
    let unused_for = conditions.is_empty().then_some(Duration::ZERO);
    let plan = PrunePlan { all: args.all, unused_for, conditions, ..PrunePlan::default() };
    let what = "images without a name, and all that no tagged image needs and nobody uses";
    prune(store, &plan, what, (args.force, args.format))
}

fn prune(
    store: &Store,
    plan: &PrunePlan,
    what: &str,
    (force, format): (bool, Format),
) -> Result<u8, Failure> {
    let agreed = plan.dry_run || force || agreed(what, format)?;
    let pruned = if agreed { store.prune(plan)? } else { Pruned::default() };
    for problem in &pruned.problems {
        eprint(&format!("warning: {problem}\n"));
    }
    if let Some((limit, left)) = pruned.missed {
        eprint(&format!(
            "warning: {} are left, where {} were asked for: the rest is in use, or tagged images need it, or a filter keeps it\n",
            bytes(left),
            bytes(limit)
        ));
    }
    if format == Format::Json {
        let item = |item: &PrunedItem| json!({"kind": item.kind.to_string(), "name": item.name, "bytes": item.bytes});
        let problems: Vec<String> = pruned.problems.iter().map(ToString::to_string).collect();
        let items: Vec<_> = pruned.items.iter().map(item).collect();
        let left = pruned.missed.map(|(_, left)| left);
        print_json(
            &json!({"freed": pruned.freed, "items": items, "problems": problems, "left_over_limit": left}),
        );
    } else if plan.dry_run {
        print(&format!("would remove {} items, {}\n", pruned.items.len(), bytes(pruned.freed)));
        print(&by_kind(&pruned.items));
    } else if agreed {
        print(&format!("removed {} items, {} freed\n", pruned.items.len(), bytes(pruned.freed)));
        if pruned.items.is_empty() && *plan == PrunePlan::default() {
            eprint(
                "note: what was used within a week stays: `--keep 1d` says another time, `--all` drops whatever no tagged image needs\n",
            );
        }
    } else {
        print("nothing removed\n");
    }
    Ok(0)
}

/// What goes, summed by kind.
fn by_kind(items: &[PrunedItem]) -> String {
    let mut kinds: BTreeMap<UsageKind, (usize, u64)> = BTreeMap::new();
    for item in items {
        let sum = kinds.entry(item.kind).or_default();
        *sum = (sum.0 + 1, sum.1 + item.bytes);
    }
    if kinds.is_empty() {
        return String::new();
    }
    let mut lines = vec![["KIND", "COUNT", "SIZE"].map(str::to_owned).to_vec()];
    lines.extend(
        kinds.iter().map(|(kind, (count, size))| vec![kind.to_string(), count.to_string(), bytes(*size)]),
    );
    table(&lines)
}

/// Runs `image prune`.
pub(crate) fn images(store: &Store, args: &ImagePruneArgs) -> Result<u8, Failure> {
    let wanted = args.filter.iter().map(|text| ImageFilter::read(text)).collect::<Result<Vec<_>, _>>()?;
    let agreed = args.force || agreed("images without a name", args.format)?;
    let now = Timestamp::from_unix(store.now().secs, 0);
    let removed = match agreed {
        true => store.remove_nameless(&|image| wanted.iter().all(|filter| filter.fits(image, &now)))?,
        false => ireko_store::Removed::default(),
    };
    if args.format == Format::Json {
        let deleted: Vec<String> = removed.deleted.iter().map(ToString::to_string).collect();
        print_json(&json!({"deleted": deleted, "freed": removed.freed}));
        return Ok(0);
    }
    let lines: String = removed.deleted.iter().map(|digest| format!("Deleted: {digest}\n")).collect();
    print(&format!(
        "{lines}{}\n",
        match agreed {
            true => format!("{} freed", bytes(removed.freed)),
            false => "nothing removed".to_owned(),
        }
    ));
    let tagged = store.images()?.iter().filter(|row| !row.names.is_empty()).count();
    if args.all && agreed && tagged > 0 {
        eprint(&format!("note: {tagged} tagged images stay; `ireko rmi` removes them\n"));
    }
    Ok(0)
}

/// What `--filter` of `image prune` asks of an image.
enum ImageFilter {
    Until(Duration),
    Label { name: String, value: Option<String>, not: bool },
}

impl ImageFilter {
    fn read(text: &str) -> Result<Self, Failure> {
        let label = |rest: &str, not| {
            let (name, value) = match rest.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (rest, None),
            };
            Self::Label { name: name.to_owned(), value, not }
        };
        match text.split_once('=') {
            Some(("until", age)) => Ok(Self::Until(duration("--filter until=", age)?)),
            Some(("label", rest)) => Ok(label(rest, false)),
            Some(("label!", rest)) => Ok(label(rest, true)),
            Some(("dangling", "true" | "1")) => Ok(Self::Until(Duration::ZERO)),
            _ => Err(Failure::user(format!("`--filter {text}` is unknown"))
                .hint("filter images by until=24h, label=NAME[=VALUE] or label!=NAME[=VALUE]; tagged ones always stay")),
        }
    }

    fn fits(&self, image: &Image, now: &Timestamp) -> bool {
        match self {
            Self::Until(age) => {
                let since = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
                let made = image.created.as_ref().map_or(0, |made| made.seconds());
                age.is_zero() || made <= now.seconds().saturating_sub(since)
            }
            Self::Label { name, value, not } => {
                let has =
                    image.labels.get(name).is_some_and(|own| value.as_ref().is_none_or(|value| own == value));
                has != *not
            }
        }
    }
}

fn plan(args: &PruneArgs, unsaid: Unsaid) -> Result<PrunePlan, Failure> {
    let size = |flag: &str, text: &Option<String>| text.as_deref().map(|text| size(flag, text)).transpose();
    let mut plan = PrunePlan {
        all: args.all,
        unused_for: args.keep.as_deref().map(|text| duration("--keep ", text)).transpose()?,
        max_size: size("--max-size ", &args.max_size)?,
        min_free: size("--min-free-space ", &args.min_free_space)?,
        // Nothing is Docker's word for no limit.
        reserved: size("--reserved-space ", &args.reserved_space)?.unwrap_or(0),
        conditions: conditions(&args.filter)?,
        dry_run: args.dry_run,
    };
    if plan.reserved > 0 && plan.max_size.is_none() && plan.min_free.is_none() {
        plan.max_size = Some(plan.reserved);
    }
    let has_size = plan.max_size.is_some() || plan.min_free.is_some();
    // As Docker has it: all may go, and as much of it does as the size asks for.
    plan.all &= !has_size;
    let is_open = plan.unused_for.is_none() && !has_size;
    if unsaid == Unsaid::InUse && is_open && plan.conditions.is_empty() {
        plan.unused_for = Some(Duration::ZERO);
    }
    Ok(plan)
}

/// A length of time as a flag gives it.
fn duration(flag: &str, text: &str) -> Result<Duration, Failure> {
    let seconds = ireko_dockerfile::duration::lifetime(text).map_err(|error| {
        Failure::user(format!("`{flag}{text}` is no length of time"))
            .cause(error)
            .hint("lengths look like 7d, 24h or 90m")
    })?;
    Ok(Duration::from_secs(seconds))
}

/// A size as a flag or a variable gives it.
pub(crate) fn size(flag: &str, text: &str) -> Result<u64, Failure> {
    let wrong = || Failure::user(format!("`{flag}{text}` is no size")).hint("sizes look like 500m or 10g");
    parse_bytes(text).filter(|size| i64::try_from(*size).is_ok()).ok_or_else(wrong)
}

/// Reads `--filter`s as `docker buildx prune` has them: all must hold.
fn conditions(filters: &[String]) -> Result<Vec<Condition>, Failure> {
    let mut conditions = Vec::new();
    let mut keys = BTreeSet::new();
    for filter in filters {
        let (key, value) = match filter.split_once('=') {
            Some((key, value)) => (key, Some(value.trim_start_matches('='))),
            None => (filter.as_str(), None),
        };
        let (key, not) = match key.strip_suffix('!') {
            Some(key) => (key, true),
            None => (key.strip_suffix('~').unwrap_or(key), false),
        };
        let key = if key == "unused-for" { "until" } else { key };
        if !keys.insert((key.to_owned(), not)) {
            return Err(Failure::user(format!("`--filter {filter}` gives `{key}` a second time"))
                .hint("a filter has one value"));
        }
        let condition = condition(filter, key, value)?;
        conditions.push(if not { Condition::Not(Box::new(condition)) } else { condition });
    }
    Ok(conditions)
}

fn condition(filter: &str, key: &str, value: Option<&str>) -> Result<Condition, Failure> {
    // What is in use, and what tagged images need, never goes.
    let switch = |kinds: Vec<UsageKind>| {
        let condition = Condition::Kind(kinds);
        match value {
            None | Some("true" | "1") => Ok(condition),
            Some("false" | "0") => Ok(Condition::Not(Box::new(condition))),
            Some(other) => {
                Err(Failure::user(format!("`{other}` in `--filter {filter}` is neither true nor false")))
            }
        }
    };
    let mounts = vec![UsageKind::CacheMount, UsageKind::Repository];
    match (key, value) {
        ("inuse" | "shared", _) => switch(Vec::new()),
        ("private", _) => switch(UsageKind::ALL.to_vec()),
        ("mutable", _) => switch(mounts),
        ("immutable", _) => {
            switch(UsageKind::ALL.into_iter().filter(|kind| !mounts.contains(kind)).collect())
        }
        ("until" | "type" | "id" | "description" | "project" | "stage", None | Some("")) => {
            Err(Failure::user(format!("`--filter {filter}` is not of the form {key}=…")))
        }
        ("until", Some(age)) => Ok(Condition::UnusedFor(duration("--filter until=", age)?)),
        ("type", Some(name)) => kinds(name).map(Condition::Kind).ok_or_else(|| {
            let names: Vec<&str> = KINDS.iter().map(|(name, _)| *name).collect();
            Failure::user(format!("`{name}` in `--filter {filter}` is no type of what the cache holds"))
                .hint(format!("types are {}", names.join(", ")))
        }),
        ("id" | "description", Some(text)) => Ok(Condition::Named(text.to_owned())),
        ("project", Some(text)) => Ok(Condition::Project(text.to_owned())),
        ("stage", Some(text)) => Ok(Condition::Stage(text.to_owned())),
        _ => Err(Failure::user(format!("`--filter {filter}` is unknown")).hint(
            "filter by until, type, id, description, project, stage, inuse, mutable, immutable, shared or private",
        )),
    }
}

/// BuildKit's names for what is kept, then our own.
const KINDS: [(&str, &[UsageKind]); 14] = [
    ("regular", &[UsageKind::Record, UsageKind::Layer, UsageKind::Tar, UsageKind::Snapshot, UsageKind::Blob]),
    ("exec.cachemount", &[UsageKind::CacheMount]),
    ("source.local", &[UsageKind::StatCache]),
    ("source.git.checkout", &[UsageKind::Repository]),
    ("frontend", &[]),
    ("internal", &[]),
    ("image", &[UsageKind::Image]),
    ("blob", &[UsageKind::Blob]),
    ("layer", &[UsageKind::Layer, UsageKind::Tar, UsageKind::Snapshot]),
    ("record", &[UsageKind::Record]),
    ("cache-mount", &[UsageKind::CacheMount]),
    ("repository", &[UsageKind::Repository]),
    ("file-hashes", &[UsageKind::StatCache]),
    ("log", &[UsageKind::Log]),
];

fn kinds(name: &str) -> Option<Vec<UsageKind>> {
    KINDS.iter().find(|(known, _)| *known == name).map(|(_, kinds)| kinds.to_vec())
}

fn agreed(what: &str, format: Format) -> Result<bool, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::user(
            "`prune` asks before it removes anything, and there is no terminal to ask on",
        )
        .hint("give -f to remove without a question"));
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{BuilderCommand, Cli, Command};
    use std::ffi::OsString;

    fn read(typed: &str) -> Result<PrunePlan, String> {
        let words: Vec<OsString> = format!("ireko {typed}").split(' ').map(OsString::from).collect();
        let command = Cli::read(&words).map_err(|error| error.to_string())?.command;
        let made = match &command {
            Command::Builder(BuilderCommand::Prune(args)) => plan(args, Unsaid::InUse),
            Command::Cache(crate::cli::CacheCommand::Prune(args)) => plan(args, Unsaid::Recent),
            other => panic!("`{other:?}` does not prune"),
        };
        made.map_err(|failure| failure.message)
    }

    #[track_caller]
    fn check(typed: &[&str], expect: &PrunePlan) {
        for typed in typed {
            assert_eq!(read(typed).as_ref(), Ok(expect), "{typed}");
        }
    }

    #[test]
    fn docker_s_flags_mean_what_they_mean_there() {
        let none = PrunePlan::default;
        let week = Some(Duration::from_secs(7 * 24 * 3600));
        check(&["cache prune -f"], &none());
        check(
            &["builder prune", "builder prune -f --builder default"],
            &PrunePlan { unused_for: Some(Duration::ZERO), ..none() },
        );
        assert!(
            read("builder prune -af").expect("it is read").all
                && read("cache prune --all").expect("it is read").all
        );
        check(
            &["cache prune --keep 7d", "cache prune --unused-for 168h", "builder prune --keep=1w"],
            &PrunePlan { unused_for: week, ..none() },
        );
        let ten = Some(10 << 30);
        check(
            &["cache prune --max-size 10g", "builder prune --max-used-space 10GB"],
            &PrunePlan { max_size: ten, ..none() },
        );
        check(
            &[
                "builder prune --keep-storage 10g",
                "builder prune --reserved-space 10g",
                "builder prune -a -f --keep-storage 10GB",
                "cache prune --all --reserved-space 10g",
            ],
            &PrunePlan { max_size: ten, reserved: 10 << 30, ..none() },
        );
        check(&["builder prune --keep-storage 0"], &PrunePlan { unused_for: Some(Duration::ZERO), ..none() });
        check(
            &["builder prune --reserved-space 1g --min-free-space 10g"],
            &PrunePlan { min_free: ten, reserved: 1 << 30, ..none() },
        );
    }

    #[test]
    fn filters_are_read() {
        let of = |filters: &str| {
            let filters: Vec<String> = filters.split(' ').map(str::to_owned).collect();
            conditions(&filters).map_err(|failure| failure.message)
        };
        let not = |condition| Condition::Not(Box::new(condition));
        let day = Condition::UnusedFor(Duration::from_secs(24 * 3600));
        assert_eq!(of("until=24h"), Ok(vec![day.clone()]));
        assert_eq!(of("unused-for=1d"), Ok(vec![day]));
        let mounts = Condition::Kind(vec![UsageKind::CacheMount]);
        assert_eq!(of("type=exec.cachemount"), Ok(vec![mounts.clone()]));
        assert_eq!(of("type==exec.cachemount type!=exec.cachemount"), Ok(vec![mounts.clone(), not(mounts)]));
        assert_eq!(of("id~=abc"), Ok(vec![Condition::Named("abc".to_owned())]));
        assert_eq!(of("inuse"), Ok(vec![Condition::Kind(Vec::new())]));
        assert_eq!(of("inuse=false"), Ok(vec![not(Condition::Kind(Vec::new()))]));
        for (wrong, message) in [
            ("until=soon", "`--filter until=soon` is no length of time"),
            ("until=1h until=2h", "`--filter until=2h` gives `until` a second time"),
            ("type=x", "`x` in `--filter type=x` is no type of what the cache holds"),
            ("type", "`--filter type` is not of the form type=…"),
            ("inuse=maybe", "`maybe` in `--filter inuse=maybe` is neither true nor false"),
            ("colour=red", "`--filter colour=red` is unknown"),
        ] {
            assert_eq!(of(wrong), Err(message.to_owned()));
        }
    }
}
