//! How long pruning takes in a store of many records: fills a store, then counts, prunes and empties it.
//!
//! Each record has its inputs, its slot and its tree, as a build leaves them; the layers have a tar and half of them a
//! second form. Wall time is that of the call, the store's files being in the page cache; `strace -c -f` around one
//! deed (`--only`) counts the calls.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line tool speaks to its caller")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};
use clap::Parser;
use ireko_layer::{Change, ChangeKind, Data, LayerWriter, Meta, OverlayAttrs, Time, TreePath};
use ireko_oci::{ContentId, Digest, Key, TreeId};
use ireko_store::{InputFile, Inputs, NewForms, OpenOptions, Origin, PrunePlan, Record, Store, WrittenAs};

/// Times of counting and pruning a store of many records.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many records.
    #[arg(long, default_value_t = 100_000)]
    records: u64,
    /// How many layers they refer to.
    #[arg(long, default_value_t = 10_000)]
    layers: u64,
    /// The store, made where it is missing and left there; nothing is written to another one.
    #[arg(long, default_value = "/var/tmp/ireko-bench-store")]
    home: PathBuf,
    /// Only this deed: fill, count, nothing, half, all.
    #[arg(long)]
    only: Option<String>,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<()> {
    let wanted = |name: &str| arguments.only.as_deref().is_none_or(|only| only == name);
    if wanted("fill") && !arguments.home.exists() {
        timed("fill", || fill(arguments))?;
    }
    ensure!(arguments.home.exists(), "there is no store at `{}`", arguments.home.display());
    let mut total = 0;
    if wanted("count") || wanted("half") {
        let rows = timed("count", || Ok(open(&arguments.home)?.du()?))?;
        total = rows.iter().map(|row| row.bytes).sum();
        println!("  {} rows, {} MB", rows.len(), total / 1_000_000);
    }
    let plans = [
        ("nothing", PrunePlan::default()),
        ("half", PrunePlan { max_size: Some(total / 2), ..PrunePlan::default() }),
        ("all", PrunePlan { all: true, ..PrunePlan::default() }),
    ];
    for (name, plan) in plans.iter().filter(|(name, _)| wanted(name)) {
        let pruned = timed(name, || Ok(open(&arguments.home)?.prune(plan)?))?;
        println!("  {} items, {} MB", pruned.items.len(), pruned.freed / 1_000_000);
    }
    Ok(())
}

fn timed<T>(name: &str, deed: impl FnOnce() -> Result<T>) -> Result<T> {
    let begin = Instant::now();
    let done = deed().with_context(|| format!("cannot measure `{name}`"))?;
    println!("{name}: {} ms", begin.elapsed().as_millis());
    Ok(done)
}

fn open(home: &Path) -> Result<Arc<Store>> {
    #[expect(clippy::disallowed_methods, reason = "a store asks its caller for the time")]
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let written_as = WrittenAs { id_map: "bench".to_owned(), attrs: OverlayAttrs::User };
    let now = Time::new(i64::try_from(now.as_secs())?, 0);
    Ok(Store::open(home, OpenOptions { written_as, boot_id: "bench".to_owned(), now })?)
}

fn fill(arguments: &Arguments) -> Result<()> {
    let mut layers: Vec<Digest> = Vec::new();
    for batch in 0..arguments.layers.div_ceil(500) {
        // A store of its own for each, so that leases do not grow without end.
        let store = open(&arguments.home)?;
        for number in batch * 500..arguments.layers.min((batch + 1) * 500) {
            layers.push(layer(&store, number)?);
        }
    }
    for batch in 0..arguments.records.div_ceil(5000) {
        let store = open(&arguments.home)?;
        for number in batch * 5000..arguments.records.min((batch + 1) * 5000) {
            let at = usize::try_from(number)? % layers.len().max(1);
            record(&store, number, layers.get(at).copied().unwrap_or(Digest::of(b"")))?;
        }
    }
    Ok(())
}

fn layer(store: &Store, number: u64) -> Result<Digest> {
    let mut tar = store.tar_draft()?;
    let mut snapshot = number.is_multiple_of(2).then(|| store.snapshot_draft()).transpose()?;
    let mut writer = LayerWriter::new().sink(&mut tar);
    if let Some(snapshot) = &snapshot {
        writer = writer.snapshot(&snapshot.dir(), OverlayAttrs::User)?;
    }
    let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
    let meta = Meta { uid, gid, ..Meta::new(0o644, Time::new(1_000_000, 0)) };
    let path = TreePath::new(format!("file-{number}")).context("a path")?;
    let data = Data::memory(format!("{number}\n").repeat(100).into_bytes());
    writer.push_all(vec![Change::new(path, meta, ChangeKind::File(data))])?;
    let written = writer.finish()?;
    let forms = NewForms { tar: Some(tar), snapshot: snapshot.take(), blob: None };
    Ok(store.put_layer(&written, forms)?.diff)
}

fn record(store: &Store, number: u64, diff: Digest) -> Result<()> {
    let hash = Digest::of(&number.to_le_bytes()).hex();
    let key = Key::from_hex(&hash).context("a key")?;
    let content = ContentId(key.0);
    let record = Record {
        content,
        diff,
        at: store.now(),
        took_ms: number % 10_000,
        name: format!("RUN make target-{number}"),
        origin: Origin { project: format!("/src/project-{}", number % 10), stage: "build".to_owned() },
    };
    let file = |at: u64| InputFile { path: format!("src/file-{at}.c").into_bytes(), print: key.0 };
    let inputs = Inputs {
        fields: vec![("text".to_owned(), b"RUN make".to_vec())],
        files: (0..20).map(file).collect(),
    };
    store.put_record(key, &record, &inputs, hash.as_bytes())?;
    store.settle(TreeId::empty().with(content), &[], diff)?;
    Ok(())
}
