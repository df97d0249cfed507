//! Measures how fast layers are written: `cargo run --release -p ireko-layer --example throughput -- DIR`, where DIR
//! is a directory for some gigabytes. Prints wall time, CPU time and peak memory of each deed.
#![expect(clippy::print_stdout, reason = "a program for people")]

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::Instant;

use ireko_layer::{
    Change, ChangeKind, Compression, Compressor, Data, Index, LayerWriter, Meta, OverlayAttrs, ScanOptions,
    Time, TreePath, View, index_of, scan_upper,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let here = std::env::args().nth(1).ok_or("give a directory to work in")?;
    let here = Path::new(&here).join("throughput");
    fs::create_dir_all(&here)?;
    let small = make_small(&here.join("small"))?;
    let big = make_big(&here.join("big"))?;
    let out = here.join("out.tar");
    timed("20,000 small files: read once, bare", || small.iter().try_for_each(read))?;
    timed("20,000 small files: index and diff ID", || write(&small, &mut io::sink()))?;
    timed("20,000 small files: to a tar file", || write(&small, &mut BufWriter::new(File::create(&out)?)))?;
    timed("20,000 small files: into a snapshot", || snapshot(&small, &here.join("snapshot")))?;
    timed("20,000 small files: scan of that", || scan(&here.join("snapshot")))?;
    timed("1 GiB: read once, bare", || big.iter().try_for_each(read))?;
    timed("1 GiB: index and diff ID", || write(&big, &mut io::sink()))?;
    timed("1 GiB: to a tar file", || write(&big, &mut File::create(&out)?))?;
    timed("1 GiB: to a tar file, again", || write(&big, &mut File::create(&out)?))?;
    timed("1 GiB: index of that tar", || {
        index_of(File::open(&out)?)?;
        Ok(())
    })?;
    timed("1 GiB: to a gzip file", || {
        let mut gzip = Compressor::new(Compression::Gzip { level: 6 }, 2, File::create(&out)?)?;
        write(&big, &mut gzip)?;
        gzip.finish()?;
        Ok(())
    })?;
    index_codec()?;
    fs::remove_dir_all(&here)?;
    Ok(())
}

type Done = Result<(), Box<dyn std::error::Error>>;

fn timed(what: &str, deed: impl FnOnce() -> Done) -> Done {
    let (start, used) = (Instant::now(), cpu());
    deed()?;
    let (took, used) = (start.elapsed().as_millis(), cpu() - used);
    let status = fs::read_to_string("/proc/self/status")?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or_default().trim();
    println!("{what:45} {took:6} ms   {used:6} ms of CPU   peak {peak}");
    Ok(())
}

/// Milliseconds of CPU that this process has used.
fn cpu() -> i64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec * 1000 + time.tv_nsec / 1_000_000
}

fn change(path: &str, host: &Path, size: u64) -> Result<Change, ireko_layer::Error> {
    let kind = ChangeKind::File(Data::host(host, size));
    Ok(Change::new(TreePath::new(path)?, Meta::new(0o644, Time::new(1_700_000_000, 0)), kind))
}

fn make_small(dir: &Path) -> Result<Vec<Change>, Box<dyn std::error::Error>> {
    let mut changes = Vec::new();
    for d in 0..200 {
        let name = format!("dir-{d:03}");
        fs::create_dir_all(dir.join(&name))?;
        let meta = Meta::new(0o755, Time::new(1_700_000_000, 0));
        changes.push(Change::new(TreePath::new(&name)?, meta, ChangeKind::Dir { opaque: false }));
        for f in 0..100 {
            let path = format!("{name}/file-{f:03}");
            let bytes: Vec<u8> = (0..100 + f * 40).map(|at| (at * (d + 1)) as u8).collect();
            fs::write(dir.join(&path), &bytes)?;
            changes.push(change(&path, &dir.join(&path), bytes.len() as u64)?);
        }
    }
    Ok(changes)
}

fn make_big(dir: &Path) -> Result<Vec<Change>, Box<dyn std::error::Error>> {
    fs::create_dir_all(dir)?;
    let mut changes = Vec::new();
    let mut block: Vec<u8> =
        (0..1u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 & 0x3f).collect();
    for f in 0..8 {
        let name = format!("part-{f}");
        let mut file = File::create(dir.join(&name))?;
        for at in 0..128 {
            block[at * 7] = f;
            file.write_all(&block)?;
        }
        changes.push(change(&name, &dir.join(&name), 128 << 20)?);
    }
    Ok(changes)
}

fn read(change: &Change) -> Done {
    // Only the names are needed: the files were made by this program.
    if let ChangeKind::File(_) = change.kind {
        let name = format!("{}", change.path);
        let base = std::env::args().nth(1).unwrap_or_default();
        let set = if name.starts_with("part") { "big" } else { "small" };
        let path = Path::new(&base).join("throughput").join(set).join(name);
        io::copy(&mut File::open(path)?, &mut io::sink())?;
    }
    Ok(())
}

fn write(changes: &[Change], out: &mut (dyn Write + Send)) -> Done {
    let mut writer = LayerWriter::new().sink(out);
    writer.push_all(changes.to_vec())?;
    writer.finish()?;
    Ok(())
}

fn snapshot(changes: &[Change], dir: &Path) -> Done {
    fs::create_dir(dir)?;
    let mut writer = LayerWriter::new().snapshot(dir, OverlayAttrs::User)?;
    writer.push_all(changes.to_vec())?;
    writer.finish()?;
    Ok(())
}

fn scan(dir: &Path) -> Done {
    let options = ScanOptions {
        started: Time::default(),
        attrs: OverlayAttrs::User,
        skip: Vec::new(),
        owners: Default::default(),
    };
    scan_upper(dir, &View::default(), &options)?;
    Ok(())
}

fn index_codec() -> Done {
    let meta = Meta::new(0o644, Time::new(1_700_000_000, 5));
    let mut changes = Vec::new();
    for at in 0..100_000 {
        let kind = ChangeKind::File(Data::memory(*b"x"));
        changes.push(Change::new(TreePath::new(format!("file-{at:06}"))?, meta.clone(), kind));
    }
    let mut writer = LayerWriter::new();
    writer.push_all(changes)?;
    let index = writer.finish()?.index;
    let mut bytes = Vec::new();
    timed("100,000 entries: encode", || {
        bytes = index.encode();
        Ok(())
    })?;
    println!("{} bytes", bytes.len());
    timed("100,000 entries: decode", || {
        Index::decode(&bytes)?;
        Ok(())
    })?;
    timed("100,000 entries: content id", || {
        index.content_id();
        Ok(())
    })
}
