//! What goes and what stays, by age, by size, and while others work.

use std::fs;
use std::path::Path;
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

/// Puts a layer of one file of this many bytes, last used this long ago, made by a step that took so long.
fn put(store: &Store, name: &str, bytes: usize, age: i64, took_ms: Option<u64>) -> Digest {
    let (_, info) = testing::put(store, &[(name, &"x".repeat(bytes))], Forms::Tar);
    if let Some(took_ms) = took_ms {
        let key = ireko_oci::Key(*blake3::hash(name.as_bytes()).as_bytes());
        let origin = crate::Origin { project: format!("/src/{name}"), stage: "one".to_owned() };
        let at = store.now();
        let record = crate::Record {
            content: info.content,
            diff: info.diff,
            at,
            took_ms,
            name: name.to_owned(),
            origin,
        };
        store.put_record(key, &record, &crate::Inputs::default(), name.as_bytes()).unwrap();
    }
    let time = std::time::UNIX_EPOCH + Duration::from_secs((testing::now().secs - age) as u64);
    let file = fs::File::open(store.layout.layer(&info.diff).join("info")).unwrap();
    file.set_modified(time).unwrap();
    info.diff
}

fn total(store: &Store) -> u64 {
    let rows = store.du().unwrap();
    rows.iter().filter(|row| row.kind != UsageKind::Temporary).map(|row| row.bytes).sum()
}

const HOUR: i64 = 3600;

/// Which of these are left once the store takes `max` bytes at most.
#[track_caller]
fn left(layers: &[(usize, i64, Option<u64>)], max: u64, expect: &[bool]) {
    let home = testing::home();
    let store = testing::store(home.path());
    let put = |(at, (bytes, age, took)): (usize, &(usize, i64, Option<u64>))| {
        put(&store, &format!("file-{at}"), *bytes, *age, *took)
    };
    let layers: Vec<Digest> = layers.iter().enumerate().map(put).collect();
    drop(store);
    let store = testing::store(home.path());
    let plan = PrunePlan { max_size: Some(max), ..PrunePlan::default() };
    let told = store.prune(&PrunePlan { dry_run: true, ..plan.clone() }).unwrap();
    let pruned = store.prune(&plan).unwrap();
    assert_eq!(told.items, pruned.items);
    assert_eq!(pruned.missed, None);
    assert!(total(&store) <= max, "{}", total(&store));
    let left: Vec<bool> = layers.iter().map(|diff| store.presence(diff).unwrap()).collect();
    assert_eq!(left, expect);
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn a_size_is_obeyed_and_what_is_worth_least_goes_first() {
    // The older of equals.
    let alike = |age| (100_000, age * HOUR, None);
    left(&[alike(40), alike(30), alike(20), alike(10)], 300_000, &[false, false, true, true]);
    // The cheaper of equals, and the bigger of what is as dear.
    let made = |bytes, seconds: u64| (bytes, 30 * HOUR, Some(seconds * 1000));
    left(&[made(100_000, 9), made(100_000, 1), made(100_000, 20)], 280_000, &[true, false, true]);
    left(&[made(20_000, 9), made(100_000, 9), made(20_000, 9)], 120_000, &[true, false, true]);
    // A dear step may be older than a cheap one and stay, but not for ever.
    left(&[(100_000, 30 * HOUR, Some(50_000)), (100_000, 10 * HOUR, Some(10_000))], 150_000, &[true, false]);
    left(&[(100_000, 90 * HOUR, Some(50_000)), (100_000, 10 * HOUR, Some(10_000))], 150_000, &[false, true]);
    left(&[(100_000, HOUR, Some(1))], 0, &[false]);
}

#[test]
fn unpacked_copies_go_before_what_only_they_are_copies_of() {
    let home = testing::home();
    let store = testing::store(home.path());
    let diff = testing::put(&store, &[("a", &"x".repeat(100_000))], Forms::Both).1.diff;
    drop(store);
    let store = testing::store(home.path());
    let max = total(&store) - 10_000;
    store.prune(&PrunePlan { max_size: Some(max), ..PrunePlan::default() }).unwrap();
    let info = store.layer(&diff).unwrap().unwrap();
    assert!(info.tar && !info.snapshot);
    assert!(total(&store) <= max);
}

/// Config of an image with these layers; `number` makes it another one.
fn image(store: &Store, names: &[&str], number: u32, layers: &[Digest]) -> Digest {
    let diffs: Vec<String> = layers.iter().map(ToString::to_string).collect();
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{"Cmd":["{number}"]}},"rootfs":{{"type":"layers","diff_ids":{}}}}}"#,
        serde_json::to_string(&diffs).unwrap()
    );
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let new = crate::NewImage { config: config.as_bytes(), manifest: None };
    store.put_image(&names, &new).unwrap().id
}

#[test]
fn a_size_takes_nameless_images_and_leaves_tagged_ones() {
    let home = testing::home();
    let store = testing::store(home.path());
    let layers: Vec<Digest> =
        (0..4).map(|at| put(&store, &format!("file-{at}"), 100_000, 2 * HOUR + at, None)).collect();
    let tagged = image(&store, &["a:1"], 1, &layers[..2]);
    let nameless = image(&store, &[], 2, &[layers[0], layers[2]]);
    drop(store);
    let store = testing::store(home.path());
    let pruned = store.prune(&PrunePlan { max_size: Some(1), ..PrunePlan::default() }).unwrap();
    let has = |id: &Digest| store.image_by_id(id).unwrap().is_some();
    assert!(has(&tagged) && !has(&nameless));
    let left: Vec<bool> = layers.iter().map(|diff| store.presence(diff).unwrap()).collect();
    assert_eq!(left, [true, true, false, false]);
    // What cannot be reached is told.
    let (limit, rest) = pruned.missed.unwrap();
    assert!(limit == 1 && rest > 200_000 && rest == total(&store), "{rest} {}", total(&store));
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn a_nameless_image_for_several_platforms_goes_whole() {
    let home = testing::home();
    let store = testing::store(home.path());
    let layers: Vec<Digest> =
        (0..3).map(|at| put(&store, &format!("file-{at}"), 100_000, (9 - at) * HOUR, None)).collect();
    let members: Vec<crate::Image> = (0..2)
        .map(|at| image(&store, &[], at as u32, &layers[at..=at]))
        .map(|id| store.image_by_id(&id).unwrap().unwrap())
        .collect();
    let index = store.put_index(&[], &members, None).unwrap().id;
    drop(store);
    let store = testing::store(home.path());
    store.prune(&PrunePlan { max_size: Some(total(&store) - 50_000), ..PrunePlan::default() }).unwrap();
    let has = |id: &Digest| store.image_by_id(id).unwrap().is_some();
    assert!(!has(&index) && !has(&members[0].id) && has(&members[1].id));
    assert!(!store.presence(&layers[0]).unwrap() && store.presence(&layers[1]).unwrap());
    assert!(store.fsck(false).unwrap().is_clean());
}

#[test]
fn a_nameless_image_stays_while_there_is_room() {
    let home = testing::home();
    let store = testing::store(home.path());
    let layers = [put(&store, "a", 100_000, 2 * HOUR, None), put(&store, "b", 100_000, 99 * HOUR, None)];
    let nameless = image(&store, &[], 1, &layers[..1]);
    drop(store);
    let store = testing::store(home.path());
    store.prune(&PrunePlan { max_size: Some(200_000), ..PrunePlan::default() }).unwrap();
    assert!(store.image_by_id(&nameless).unwrap().is_some());
    assert!(store.presence(&layers[0]).unwrap() && !store.presence(&layers[1]).unwrap());
}

#[test]
fn a_reserve_and_free_space_bound_what_a_size_takes() {
    let home = testing::home();
    let store = testing::store(home.path());
    put(&store, "a", 100_000, 9 * HOUR, None);
    put(&store, "b", 100_000, 2 * HOUR, None);
    drop(store);
    let store = testing::store(home.path());
    let before = total(&store);
    // There is a byte free, and not more than there are atoms.
    store.prune(&PrunePlan { min_free: Some(1), ..PrunePlan::default() }).unwrap();
    assert_eq!(total(&store), before);
    let reserved = before - 1;
    store.prune(&PrunePlan { min_free: Some(u64::MAX), reserved, ..PrunePlan::default() }).unwrap();
    let after = total(&store);
    assert!(after < before && after > 100_000, "{after}");
    store.prune(&PrunePlan { min_free: Some(u64::MAX), ..PrunePlan::default() }).unwrap();
    assert!(total(&store) < 100_000);
}

#[test]
fn conditions_choose_what_may_go() {
    let home = testing::home();
    let store = testing::store(home.path());
    let one = put(&store, "one", 50_000, 9 * HOUR, Some(5));
    let two = put(&store, "two", 50_000, 9 * HOUR, Some(5));
    let mount = crate::MountRequest {
        id: "npm",
        sharing: crate::Sharing::Shared,
        prepare: &|_| Ok(()),
        give_up: &|| false,
    };
    drop(store.cache_mount(&mount, &|_| {}).unwrap());
    drop(store);
    let store = testing::store(home.path());
    let goes = |conditions: &[Condition]| {
        let plan = PrunePlan { conditions: conditions.to_vec(), dry_run: true, ..PrunePlan::default() };
        let items = store.prune(&plan).unwrap().items;
        let mut kinds: Vec<String> = items.iter().map(|item| item.kind.to_string()).collect();
        kinds.dedup();
        kinds.join(", ")
    };
    let kind = |kind| Condition::Kind(vec![kind]);
    assert_eq!(goes(&[kind(UsageKind::CacheMount)]), "cache mount");
    assert_eq!(goes(&[kind(UsageKind::Log)]), "");
    assert_eq!(goes(&[Condition::Named(one.hex())]), "layer index, layer tar");
    let of_one = Condition::Project("/src/one".to_owned());
    assert_eq!(goes(std::slice::from_ref(&of_one)), "record, layer index, layer tar");
    assert_eq!(goes(&[of_one.clone(), kind(UsageKind::Record)]), "record");
    assert_eq!(goes(&[of_one.clone(), Condition::Not(Box::new(of_one.clone()))]), "");
    assert_eq!(
        goes(&[Condition::Stage("one".to_owned()), kind(UsageKind::Layer)]),
        "layer index, layer tar, layer index, layer tar"
    );
    assert_eq!(goes(&[Condition::UnusedFor(Duration::from_secs(10 * 3600))]), "");
    assert_eq!(
        goes(&[Condition::UnusedFor(Duration::from_secs(8 * 3600))]),
        "layer index, layer tar, layer index, layer tar"
    );
    // The same bounds a size.
    let plan = PrunePlan { max_size: Some(0), conditions: vec![of_one], ..PrunePlan::default() };
    assert!(store.prune(&plan).unwrap().missed.is_some());
    assert!(!store.presence(&one).unwrap() && store.presence(&two).unwrap());
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
fn the_log_of_a_running_step_stays() {
    let home = testing::home();
    let builder = testing::store(home.path());
    let (file, log) = builder.log_file("a step").unwrap();
    let other = testing::store(home.path());
    other.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(log.exists());
    drop(file);
    other.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(!log.exists());
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
