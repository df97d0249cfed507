//! Opening, reading what is damaged, and being killed at any moment.

use std::process::{Child, Command};
use std::time::Duration;

use super::*;
use crate::testing::{self, Forms};
use ireko_oci::ContentId;

#[test]
fn a_store_of_another_format_is_refused() {
    let home = testing::home();
    testing::store(home.path());
    fs::write(home.path().join("version"), "ireko store 99\n").unwrap();
    let error = Store::open(home.path(), testing::options()).unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
}

#[test]
fn a_home_that_cannot_be_made_is_named() {
    let home = testing::home();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Store::open(&file.join("store"), testing::options()).unwrap_err();
    assert!(error.to_string().contains("file"), "{error}");
    assert_eq!(error.blame(), ireko_report::Blame::Environment);
}

#[test]
fn opening_leaves_no_trace_once_it_is_there() {
    let home = testing::home();
    drop(testing::store(home.path()));
    let store = testing::store(home.path());
    assert!(store.record(Key([1; 32])).is_none());
    assert_eq!(disk::names(&home.path().join("leases")).unwrap(), Vec::<String>::new());
    assert_eq!(disk::names(&home.path().join("tmp")).unwrap(), Vec::<String>::new());
}

fn record(number: u64) -> crate::Record {
    let diff = ireko_oci::Digest::of(&number.to_le_bytes());
    crate::Record {
        content: ContentId([3; 32]),
        diff,
        at: Time::new(5, 6),
        took_ms: number,
        name: "RUN".into(),
        origin: crate::Origin::default(),
    }
}

#[test]
fn records_are_kept_and_garbled_ones_are_misses_with_a_warning() {
    let home = testing::home();
    let store = testing::store(home.path());
    let key = Key([7; 32]);
    let inputs = inputs(1);
    store.put_record(key, &record(1), &inputs, b"Dockerfile:3").unwrap();
    assert_eq!(store.record(key), Some(record(1)));
    assert_eq!(store.inputs(key), Some(inputs));
    assert_eq!(store.nearest(b"Dockerfile:3"), Some(key));
    assert_eq!(store.nearest(b"Dockerfile:4"), None);
    store.remember(b"Dockerfile:4", key).unwrap();
    assert_eq!(store.nearest(b"Dockerfile:4"), Some(key));
    for damage in [&b""[..], b"\0\0\0\0", b"ireko record 1 0\n{}"] {
        fs::write(store.layout.record(key), damage).unwrap();
        assert_eq!(store.record(key), None);
        assert_eq!(store.warnings().len(), 1);
    }
    assert_eq!(store.fsck(true).unwrap().problems.len(), 1);
    assert!(store.fsck(false).unwrap().is_clean());
    store.forget(key).unwrap();
    assert_eq!(store.inputs(key), None);
    store.put_memo(&[1; 32], b"memo").unwrap();
    assert_eq!(store.memo(&[1; 32]).as_deref(), Some(&b"memo"[..]));
}

fn inputs(files: usize) -> crate::Inputs {
    let file = crate::InputFile { path: b"a\xff".to_vec(), print: [1; 32] };
    crate::Inputs { fields: vec![("op".into(), b"run/1".to_vec())], files: vec![file; files] }
}

#[test]
fn few_inputs_lie_in_the_record_and_many_beside_it() {
    let home = testing::home();
    let store = testing::store(home.path());
    let (few, many) = (Key([7; 32]), Key([8; 32]));
    store.put_record(few, &record(1), &inputs(1), b"few").unwrap();
    store.put_record(many, &record(1), &inputs(1000), b"many").unwrap();
    assert!(!store.layout.inputs(few).exists() && store.layout.inputs(many).exists());
    assert_eq!(store.inputs(few), Some(inputs(1)));
    assert_eq!(store.inputs(many), Some(inputs(1000)));
    // As earlier versions left them.
    let earlier = crate::seal::seal(crate::seal::INPUTS, &inputs(2).encode());
    fs::create_dir_all(store.layout.inputs(few).parent().unwrap()).unwrap();
    fs::write(store.layout.inputs(few), earlier).unwrap();
    assert_eq!(store.inputs(few), Some(inputs(1)), "the record's own count");

    let bytes = |key| {
        let items = store.record_items().unwrap();
        items.iter().find(|item| item.key == key).map(|item| (item.bytes, item.has_inputs))
    };
    let (Some((first, true)), Some((second, true))) = (bytes(few), bytes(many)) else {
        panic!("both have inputs beside them")
    };
    let plan = crate::PrunePlan {
        conditions: vec![crate::Condition::Kind(vec![crate::UsageKind::Record])],
        ..crate::PrunePlan::default()
    };
    let slots: u64 = store.small_items("steps").unwrap().iter().map(|item| item.bytes).sum();
    assert_eq!(store.prune(&plan).unwrap().freed, first + second + slots);
    assert!(!store.layout.inputs(few).exists() && !store.layout.inputs(many).exists());
    assert_eq!((store.record(few), store.inputs(many)), (None, None));
}

#[test]
fn a_blob_with_another_digest_is_never_published() {
    use std::io::Write;
    let home = testing::home();
    let store = testing::store(home.path());
    let mut draft = store.blob_draft().unwrap();
    draft.write_all(b"one").unwrap();
    let expected = ireko_oci::Digest::of(b"two");
    assert!(matches!(draft.publish(Some(&expected)), Err(Error::WrongDigest { .. })));
    assert!(!store.has_blob(&expected) && !store.has_blob(&ireko_oci::Digest::of(b"one")));
    let lease = store.lease().unwrap();
    assert_eq!(disk::names(lease.dir()).unwrap(), Vec::<String>::new(), "the draft is gone");
}

/// Where a child of the torture test works; absent in an ordinary run.
const TORTURE: &str = "IREKO_TEST_TORTURE_HOME";

/// Publishes without end; killed from outside.
#[test]
fn torture_child() {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its own copy where to work")]
    let Some(home) = std::env::var_os(TORTURE) else { return };
    for round in 0u64.. {
        let store = testing::store(Path::new(&home));
        let text = "x".repeat(1000 + (round % 50) as usize * 1000);
        let layer = testing::put(&store, &[("dir/file", &text), ("dir/other", "y")], Forms::Both).1;
        let tree = ireko_oci::TreeId([(round % 250) as u8; 32]);
        let winner = store.settle(tree, &[], layer.diff).unwrap();
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{winner}"]}}}}"#
        );
        let new = crate::NewImage { config: config.as_bytes(), manifest: None };
        store.put_image(&[format!("torture:{}", round % 5)], &new).unwrap();
        store
            .put_record(Key([(round % 250) as u8; 32]), &record(round), &crate::Inputs::default(), b"slot")
            .unwrap();
        if round % 7 == 6 {
            store.prune(&crate::PrunePlan { all: round % 2 == 0, ..crate::PrunePlan::default() }).unwrap();
        }
    }
}

fn spawn(home: &Path) -> Child {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new(this);
    command.args(["open::tests::torture_child", "--exact"]).env(TORTURE, home);
    command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap()
}

#[test]
fn a_process_may_be_killed_at_any_moment() {
    let home = testing::home();
    testing::store(home.path());
    let mut children: Vec<Child> = (0..3).map(|_| spawn(home.path())).collect();
    for round in 0..24u64 {
        // Any moment will do: uneven steps, so that each round cuts elsewhere.
        std::thread::sleep(Duration::from_millis(30 + round * 17 % 50));
        let child = &mut children[(round % 3) as usize];
        assert!(child.try_wait().unwrap().is_none(), "the child failed by itself");
        child.kill().unwrap();
        child.wait().unwrap();
        *child = spawn(home.path());
    }
    for child in &mut children {
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let store = testing::store(home.path());
    assert_eq!(store.fsck(false).unwrap().problems, []);
    store.prune(&crate::PrunePlan { all: true, ..crate::PrunePlan::default() }).unwrap();
    assert_eq!(store.fsck(false).unwrap().problems, []);
    let images = store.images().unwrap();
    assert!(!images.is_empty());
    for row in images {
        assert_eq!(store.hold_image(&row.image).unwrap(), []);
    }
    assert_eq!(disk::names(&home.path().join("trash")).unwrap(), Vec::<String>::new());
    assert_eq!(disk::names(&home.path().join("tmp")).unwrap().len(), 1, "our own");
}

/// Where a child of the test of a full disk works; absent in an ordinary run.
const FULL: &str = "IREKO_TEST_FULL_HOME";

/// Fills a small disk; what was there before is still whole, and pruning makes room again.
#[test]
fn full_disk_child() {
    #[expect(clippy::disallowed_methods, reason = "how a test tells its own copy where to work")]
    let Some(home) = std::env::var_os(FULL) else { return };
    let home = Path::new(&home);
    let store = testing::store(home);
    let (written, info) = testing::put(&store, &[("a", "1")], Forms::Both);
    let config = format!(
        r#"{{"architecture":"amd64","os":"linux","config":{{}},"rootfs":{{"type":"layers","diff_ids":["{}"]}}}}"#,
        info.diff
    );
    let new = crate::NewImage { config: config.as_bytes(), manifest: None };
    let image = store.put_image(&["a:1".into()], &new).unwrap();
    let errors = (0u64..100_000).filter_map(|number| {
        let key = Key(*blake3::hash(&number.to_le_bytes()).as_bytes());
        let bytes = vec![number as u8; 50_000 + number as usize];
        let blob = store.put_blob(&bytes).err();
        blob.or_else(|| store.put_record(key, &record(number), &crate::Inputs::default(), b"slot").err())
    });
    for error in errors.take(20) {
        assert_eq!(error.blame(), ireko_report::Blame::Environment, "{error}");
        assert!(error.to_string().contains("full-disk"), "{error}");
    }
    assert!(store.put_layer(&written, crate::NewForms::default()).is_ok());
    drop(store);
    let store = testing::store(home);
    assert_eq!(store.fsck(false).unwrap().problems, []);
    let pruned = store.prune(&crate::PrunePlan { all: true, ..crate::PrunePlan::default() }).unwrap();
    assert!(pruned.freed > 1_000_000);
    store.put_blob(&[7; 100_000]).unwrap();
    assert_eq!(store.hold_image(&image).unwrap(), []);
}

#[test]
fn a_full_disk_is_an_error_and_no_damage() {
    let home = testing::home();
    let dir = home.path().join("full-disk");
    fs::create_dir(&dir).unwrap();
    let small = r#"mount -t tmpfs -o size=3m none "$1" && setfattr -n user.t -v t "$1" && exec "$2" open::tests::full_disk_child --exact"#;
    let run = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]);
        command.arg(&dir).arg(std::env::current_exe().unwrap()).env(FULL, &dir).output()
    };
    let possible = run(small.split(" && exec").next().unwrap());
    if !possible.is_ok_and(|output| output.status.success()) {
        eprintln!(
            "skipped because no small tmpfs with user attributes can be mounted in a user namespace here"
        );
        return;
    }
    let output = run(small).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
}
