//! What goes and what stays, by age, by size, and while others work.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::open::OpenOptions;
use crate::testing::{self, Forms};

fn later(home: &Path, seconds: i64) -> std::sync::Arc<Store> {
    let now = testing::now();
    let options = testing::options();
    let now = ireko_layer::Time::new(now.secs + seconds, 0);
    Store::open(home, OpenOptions { now, ..options }).unwrap()
}

#[test]
fn what_was_used_lately_stays_and_the_rest_goes_after_a_week() {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("a", "1")], Forms::Both).1.diff;
    let blob = store.put_blob(b"loose").unwrap();
    drop(store);
    let store = later(home.path(), 6 * 24 * 3600);
    store.prune(&PrunePlan::default()).unwrap();
    assert!(store.has_blob(&blob) && store.layer(&diff).unwrap().unwrap().snapshot);
    drop(store);
    let store = later(home.path(), 8 * 24 * 3600);
    let told = store.prune(&PrunePlan { dry_run: true, ..PrunePlan::default() }).unwrap();
    assert!(told.freed > 0 && store.has_blob(&blob));
    let pruned = store.prune(&PrunePlan::default()).unwrap();
    assert!(pruned.freed > 0);
    assert!(!store.has_blob(&blob));
    assert_eq!(store.layer(&diff).unwrap(), None);
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn a_size_is_obeyed_and_the_oldest_goes_first() {
    let home = testing::home();
    let store = testing::store(home.path());
    let text = "x".repeat(100_000);
    let layers: Vec<Digest> = (0..4)
        .map(|at| testing::put(&store, &[(&format!("file-{at}"), &text)], Forms::Both).1.diff)
        .collect();
    for (age, diff) in layers.iter().enumerate() {
        let info = store.layout.layer(diff).join("info");
        let time = std::time::UNIX_EPOCH + Duration::from_secs(1_000_000 * (1 + age as u64));
        fs::File::open(&info).unwrap().set_modified(time).unwrap();
    }
    drop(store);
    let store = testing::store(home.path());
    let max = 600_000;
    store.prune(&PrunePlan { max_size: Some(max), ..PrunePlan::default() }).unwrap();
    let total: u64 = store.du().unwrap().iter().map(|row| row.bytes).sum();
    assert!(total <= max, "{total}");
    let left: Vec<bool> = layers.iter().map(|diff| store.presence(diff).unwrap()).collect();
    assert_eq!(left, [false, false, true, true]);
}

#[test]
fn what_a_live_process_holds_is_not_taken() {
    let home = testing::home();
    let holder = testing::store(home.path());
    let diff = testing::put(&holder, &[("a", "1")], Forms::Both).1.diff;
    let blob = holder.put_blob(b"held").unwrap();
    let other = testing::store(home.path());
    other.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(holder.has_blob(&blob));
    assert!(holder.snapshot(&diff, &[]).unwrap().is_some());
    drop(holder);
    other.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(!other.has_blob(&blob) && other.layer(&diff).unwrap().is_none());
}

/// Threads publish, hold and read what they hold while others prune everything that is not held.
#[test]
fn what_is_held_can_be_read_whatever_the_collector_does() {
    let home = testing::home();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Relaxed) || rounds == 0 {
                let store = testing::store(home.path());
                store.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
                rounds += 1;
            }
        });
        let builders: Vec<_> = (0..3)
            .map(|worker| {
                let home = &home;
                scope.spawn(move || {
                    for round in 0..40 {
                        let store = testing::store(home.path());
                        let bytes = format!("blob {}", (worker + round) % 7);
                        let blob = store.put_blob(bytes.as_bytes()).unwrap();
                        assert_eq!(store.read_blob(&blob).unwrap().as_deref(), Some(bytes.as_bytes()));
                        let known = Digest::of(format!("blob {}", (worker + round + 3) % 7).as_bytes());
                        if store.hold(&Object::Blob(known)).unwrap() {
                            assert!(store.read_blob(&known).unwrap().is_some());
                        }
                        let text = format!("{}", round % 5);
                        let diff = testing::put(&store, &[("file", &text)], Forms::Both).1.diff;
                        assert!(store.presence(&diff).unwrap());
                        let dir = store.ensure_snapshot(&diff, &[]).unwrap();
                        assert_eq!(fs::read_to_string(dir.join("file")).unwrap(), text);
                    }
                })
            })
            .collect();
        let failed = builders.into_iter().map(|builder| builder.join()).find(|joined| joined.is_err());
        stop.store(true, Ordering::Relaxed);
        collector.join().unwrap();
        assert!(failed.is_none());
    });
    let store = testing::store(home.path());
    assert_eq!(store.fsck(false).unwrap().problems, []);
}

#[test]
fn drafts_of_the_dead_go_and_those_of_the_living_stay() {
    let home = testing::home();
    let living = testing::store(home.path());
    let draft = living.snapshot_draft().unwrap();
    let dead = home.path().join("tmp/99-dead");
    fs::create_dir_all(dead.join("0/fs")).unwrap();
    fs::write(home.path().join("leases/99-dead"), "blob sha256:00\n").unwrap();
    let other = testing::store(home.path());
    other.put_blob(b"anything").unwrap();
    assert!(!dead.exists() && !home.path().join("leases/99-dead").exists());
    other.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(draft.dir().exists());
}
