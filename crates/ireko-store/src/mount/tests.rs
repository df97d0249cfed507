//! Cache mounts are shared, copied or waited for, as they were asked to be.

use std::sync::mpsc;
use std::time::Duration;

use super::*;
use crate::prune::PrunePlan;
use crate::testing;

fn request(id: &str, sharing: Sharing) -> MountRequest<'_> {
    MountRequest { id, sharing, prepare: &|dir| fs::write(dir.join("prepared"), ""), give_up: &|| false }
}

fn nobody_waits(_: &str) {
    panic!("nobody should wait");
}

#[test]
fn shared_mounts_are_one_directory_and_private_ones_a_directory_each() {
    let home = testing::home();
    let store = testing::store(home.path());
    let take = |sharing| store.cache_mount(&request("go", sharing), &nobody_waits).unwrap();
    let [one, two] = [take(Sharing::Shared), take(Sharing::Shared)];
    assert_eq!(one.dir(), two.dir());
    assert!(one.dir().join("prepared").exists());
    let [third, fourth] = [take(Sharing::Private), take(Sharing::Private)];
    assert_ne!(third.dir(), one.dir());
    assert_ne!(third.dir(), fourth.dir());
    let free = fourth.dir().to_owned();
    drop(fourth);
    assert_eq!(take(Sharing::Private).dir(), free, "a free copy is taken before a new one is made");
    let other = store.cache_mount(&request("npm", Sharing::Shared), &nobody_waits).unwrap();
    assert_ne!(other.dir(), one.dir());
}

#[test]
fn a_locked_mount_is_waited_for() {
    let home = testing::home();
    let store = testing::store(home.path());
    let first = store.cache_mount(&request("apt", Sharing::Locked), &nobody_waits).unwrap();
    let (told, hear) = mpsc::channel();
    let (done, end) = mpsc::channel();
    let there = std::sync::Arc::clone(&store);
    let second = std::thread::spawn(move || {
        let waiting = |id: &str| told.send(id.to_owned()).unwrap();
        let mount = there.cache_mount(&request("apt", Sharing::Locked), &waiting).unwrap();
        done.send(mount.dir().to_owned()).unwrap();
    });
    assert_eq!(hear.recv_timeout(Duration::from_secs(10)).unwrap(), "apt");
    assert!(end.try_recv().is_err());
    let dir = first.dir().to_owned();
    drop(first);
    assert_eq!(end.recv_timeout(Duration::from_secs(10)).unwrap(), dir);
    second.join().unwrap();
}

#[test]
fn a_mount_in_use_is_not_pruned_and_a_free_one_is() {
    let home = testing::home();
    let store = testing::store(home.path());
    let used = store.cache_mount(&request("used", Sharing::Shared), &nobody_waits).unwrap();
    let free = store.cache_mount(&request("free", Sharing::Shared), &nobody_waits).unwrap();
    let gone = free.dir().to_owned();
    drop(free);
    store.prune(&PrunePlan { all: true, ..PrunePlan::default() }).unwrap();
    assert!(used.dir().join("prepared").exists());
    assert!(!gone.exists());
}

#[test]
fn waiting_ends_when_it_is_to_stop() {
    let home = testing::home();
    let store = testing::store(home.path());
    let _held = store.cache_mount(&request("apt", Sharing::Locked), &nobody_waits).unwrap();
    let impatient = MountRequest { give_up: &|| true, ..request("apt", Sharing::Locked) };
    let error = store.cache_mount(&impatient, &|_| {}).unwrap_err();
    assert!(matches!(error, crate::Error::GaveUp), "{error}");
}

#[test]
fn a_mount_whose_preparation_fails_is_not_there() {
    let home = testing::home();
    let store = testing::store(home.path());
    let fails = MountRequest {
        id: "x",
        sharing: Sharing::Shared,
        prepare: &|_| Err(io::Error::from(io::ErrorKind::StorageFull)),
        give_up: &|| false,
    };
    store.cache_mount(&fails, &nobody_waits).unwrap_err();
    let mount = store.cache_mount(&request("x", Sharing::Shared), &nobody_waits).unwrap();
    assert!(mount.dir().join("prepared").exists());
}

#[test]
fn a_directory_comes_home_but_never_through_a_link() {
    let home = testing::home();
    let store = testing::store(home.path());
    let take = || store.cache_mount(&request("go", Sharing::Locked), &nobody_waits).unwrap();
    let step = home.path().join("tmp/step/root");
    fs::create_dir_all(step.join("real")).unwrap();
    let outside = testing::home();
    fs::create_dir_all(outside.path().join("c")).unwrap();
    std::os::unix::fs::symlink(outside.path(), step.join("link")).unwrap();
    let alias = testing::home();
    std::os::unix::fs::symlink(home.path(), alias.path().join("store")).unwrap();
    // By another name of the store too.
    for place in [step.join("real/c"), alias.path().join("store/tmp/step/root/real/c")] {
        let mount = take();
        fs::write(mount.dir().join("kept"), "").unwrap();
        fs::rename(mount.dir(), step.join("real/c")).unwrap();
        fs::write(mount.note(), place.as_os_str().as_encoded_bytes()).unwrap();
        drop(mount);
        let mount = take();
        assert!(mount.dir().join("kept").exists() && !mount.note().exists(), "{}", place.display());
        fs::remove_file(mount.dir().join("kept")).unwrap();
    }
    // A step put a link in the place of the directory that it was in.
    let mount = take();
    fs::remove_dir_all(mount.dir()).unwrap();
    fs::write(mount.note(), step.join("link/c").as_os_str().as_encoded_bytes()).unwrap();
    drop(mount);
    let mount = take();
    assert!(mount.dir().join("prepared").exists() && !mount.note().exists());
    assert!(outside.path().join("c").exists(), "what lies elsewhere stays there");
}
