//! The stat cache believes only what cannot have changed, and reads any bytes.

use super::*;
use crate::testing;
use proptest::prelude::*;

fn stat(ino: u64, size: u64, mtime: i64, ctime: i64) -> FileStat {
    FileStat { dev: 1, ino, size, mtime: Time::new(mtime, 5), ctime: Time::new(ctime, 7) }
}

const STARTED: Time = Time { secs: 1000, nanos: 0 };

#[test]
fn a_file_that_did_not_change_is_known_and_every_change_is_seen() {
    let home = testing::home();
    let store = testing::store(home.path());
    let cache = StatCache::load(&store, b"ctx", STARTED);
    let known = stat(10, 20, 30, 40);
    cache.put(b"src/main.rs", &known, FileHash([7; 32]));
    assert!(cache.save(&store).unwrap());
    let cache = StatCache::load(&store, b"ctx", STARTED);
    assert_eq!(cache.get(b"src/main.rs", &known), Some(FileHash([7; 32])));
    assert_eq!(cache.get(b"src/main.r", &known), None);
    let changes: [fn(&mut FileStat); 7] = [
        |stat| stat.dev += 1,
        |stat| stat.ino += 1,
        |stat| stat.size += 1,
        |stat| stat.mtime.secs += 1,
        |stat| stat.mtime.nanos += 1,
        |stat| stat.ctime.secs += 1,
        |stat| stat.ctime.nanos += 1,
    ];
    for change in changes {
        let mut other = known;
        change(&mut other);
        assert_eq!(cache.get(b"src/main.rs", &other), None);
    }
    assert!(!cache.save(&store).unwrap(), "nothing new is nothing to write");
    assert_eq!(StatCache::load(&store, b"other", STARTED).get(b"src/main.rs", &known), None);
}

#[test]
fn what_may_change_within_the_clocks_tick_is_not_remembered() {
    let home = testing::home();
    let store = testing::store(home.path());
    let cache = StatCache::load(&store, b"ctx", STARTED);
    for (name, mtime, ctime) in [("late", 10, 998), ("later", 10, 2000), ("future", 5000, 10)] {
        cache.put(name.as_bytes(), &stat(1, 2, mtime, ctime), FileHash([1; 32]));
    }
    assert!(!cache.save(&store).unwrap());
    cache.put(b"old", &stat(1, 2, 997, 997), FileHash([1; 32]));
    assert!(cache.save(&store).unwrap());
}

#[test]
fn two_that_save_at_one_time_keep_each_others_news() {
    let home = testing::home();
    let store = testing::store(home.path());
    let [left, right] = [(); 2].map(|()| StatCache::load(&store, b"ctx", STARTED));
    left.put(b"left", &stat(1, 2, 3, 4), FileHash([1; 32]));
    right.put(b"right", &stat(2, 2, 3, 4), FileHash([2; 32]));
    left.save(&store).unwrap();
    right.save(&store).unwrap();
    let cache = StatCache::load(&store, b"ctx", STARTED);
    assert_eq!(cache.get(b"left", &stat(1, 2, 3, 4)), Some(FileHash([1; 32])));
    assert_eq!(cache.get(b"right", &stat(2, 2, 3, 4)), Some(FileHash([2; 32])));
}

#[test]
fn a_damaged_file_is_forgotten_with_a_warning() {
    let home = testing::home();
    let store = testing::store(home.path());
    let cache = StatCache::load(&store, b"ctx", STARTED);
    cache.put(b"a", &stat(1, 2, 3, 4), FileHash([1; 32]));
    cache.save(&store).unwrap();
    std::fs::write(&cache.path, b"ireko stat 1 garbage").unwrap();
    let again = StatCache::load(&store, b"ctx", STARTED);
    assert_eq!(again.get(b"a", &stat(1, 2, 3, 4)), None);
    assert_eq!(store.warnings().len(), 1);
}

#[test]
fn twenty_thousand_files_are_found() {
    let home = testing::home();
    let store = testing::store(home.path());
    let cache = StatCache::load(&store, b"ctx", STARTED);
    let path = |at: u64| format!("some/directory/of/files/{}/file-{at}.txt", at % 97).into_bytes();
    for at in 0..20_000 {
        cache.put(&path(at), &stat(at, at * 3, 5, 6), FileHash([(at % 251) as u8; 32]));
    }
    cache.save(&store).unwrap();
    let cache = StatCache::load(&store, b"ctx", STARTED);
    for at in 0..20_000 {
        assert_eq!(cache.get(&path(at), &stat(at, at * 3, 5, 6)), Some(FileHash([(at % 251) as u8; 32])));
    }
}

proptest! {
    #[test]
    fn any_body_reads_without_panic(mut bytes in proptest::collection::vec(any::<u8>(), 0..400), whole in any::<bool>()) {
        if whole {
            bytes.truncate(bytes.len() / ENTRY * ENTRY);
        }
        if let Ok(table) = Table::new(bytes, 0) {
            for print in [0, 1, u64::MAX, u64::MAX / 3] {
                let _ = table.find(print);
            }
        }
    }
}
