//! What a context shows, reads and keeps.

use expect_test::{Expect, expect};

use super::*;
use crate::FileSource;
use crate::testing::{Bench, copy_of, lay, path, pick};

#[track_caller]
fn check(files: &str, ignore: &str, expect: Expect) {
    let bench = Bench::new();
    lay(files, &bench.path());
    let context = bench.context(ignore);
    let shown: Vec<String> =
        context.below(&TreePath::root()).unwrap().iter().map(|item| item.path.to_string()).collect();
    expect.assert_eq(&shown.join(" "));
    // One directory after the other gives the same.
    let mut again = Vec::new();
    let slow = bench.context(ignore);
    let mut left = vec![TreePath::root()];
    while let Some(dir) = left.pop() {
        for item in slow.children(&dir).unwrap() {
            again.push(item.path.to_string());
            if item.is_dir() {
                left.push(item.path.clone());
            }
        }
    }
    let mut shown = shown;
    shown.sort();
    again.sort();
    assert_eq!(again, shown);
}

#[test]
fn ignored_paths_are_absent() {
    let files =
        "f 644 0:0 a/b/c 1\nf 644 0:0 a/d 2\nf 644 0:0 n/m/x 3\nd 755 0:0 empty\nf 644 0:0 Dockerfile 4";
    check(files, "", expect!["Dockerfile a a/b a/b/c a/d empty n n/m n/m/x"]);
    check(files, "n\nDockerfile*", expect!["a a/b a/b/c a/d empty"]);
    check(files, "*\n!a/b", expect!["a a/b a/b/c"]);
    check(files, "**\n!n/m/x", expect!["n n/m n/m/x"]);
    check(files, "a/b/c", expect!["Dockerfile a a/b a/d empty n n/m n/m/x"]);
}

#[test]
fn nothing_is_read_that_is_not_asked_for() {
    let bench = Bench::new();
    lay("f 644 0:0 src/a 1\nf 644 0:0 node_modules/x/y 2\nf 644 0:0 ignored/z 3", &bench.path());
    let context = bench.context("ignored");
    pick(&copy_of("COPY src /"), &FileSource::Context(&context)).unwrap();
    let read: Vec<String> = context.seen().dirs.keys().map(|dir| dir.to_string()).collect();
    assert_eq!(read, ["/", "src"]);
}

#[test]
fn a_missing_file_names_the_line_that_keeps_it_out() {
    let bench = Bench::new();
    lay("f 644 0:0 secrets/key 1", &bench.path());
    let context = bench.context("# private\nsecrets");
    let error = pick(&copy_of("COPY secrets/key /"), &FileSource::Context(&context)).err().unwrap();
    expect!["`secrets/key` is not in the context; line 2 of the ignore file (`secrets`) keeps it out"]
        .assert_eq(&error.to_string());
}

#[test]
fn a_change_is_seen_whatever_the_times_say() {
    let bench = Bench::new();
    lay("f 644 0:0 src/a one\nl src/l a", &bench.path());
    let file = bench.path().join("src/a");
    let copy = copy_of("COPY src /");
    let id = || {
        let context = bench.context("");
        let id = pick(&copy, &FileSource::Context(&context)).unwrap().id();
        context.save(&bench.store).unwrap();
        id
    };
    let first = id();
    assert_eq!(id(), first);
    let times = std::fs::metadata(&file).unwrap().modified().unwrap();
    let set_back = || std::fs::File::options().write(true).open(&file).unwrap().set_modified(times).unwrap();
    std::fs::write(&file, "two").unwrap();
    set_back();
    let second = id();
    assert_ne!(second, first);
    std::fs::write(&file, "one").unwrap();
    assert_eq!(id(), first, "times are no part of it");
    std::fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    assert_ne!(id(), first, "a mode is");
    std::fs::remove_file(bench.path().join("src/l")).unwrap();
    std::os::unix::fs::symlink("b", bench.path().join("src/l")).unwrap();
    let third = id();
    std::fs::remove_file(bench.path().join("src/l")).unwrap();
    std::os::unix::fs::symlink("c", bench.path().join("src/l")).unwrap();
    assert_ne!(id(), third, "where a link points is");
}

#[test]
fn attributes_go_along() {
    let bench = Bench::new();
    lay("f 644 0:0 a one", &bench.path());
    let file = bench.path().join("a");
    if rustix::fs::setxattr(&file, "user.note", b"x", rustix::fs::XattrFlags::empty()).is_err() {
        println!("skipped because the file system has no attributes");
        return;
    }
    for _ in 0..2 {
        let context = bench.context("");
        let picked = pick(&copy_of("COPY a /"), &FileSource::Context(&context)).unwrap();
        assert_eq!(picked.picks[0].entries[0].xattrs[b"user.note".as_slice()], b"x");
        context.save(&bench.store).unwrap();
    }
}

#[test]
fn listing_counts() {
    let bench = Bench::new();
    lay(
        "f 644 0:0 a/big 12345\nf 644 0:0 b 1\nf 644 0:0 .git/x 1\nf 644 0:0 t.md 1\nf 644 0:0 u.md 1",
        &bench.path(),
    );
    let context = bench.context(".git\n*.md");
    let listing = context.listing().unwrap();
    assert_eq!((listing.files, listing.bytes), (2, 6));
    assert_eq!(listing.biggest[0], ("a/big".to_owned(), 5));
    let ignored: Vec<(u32, &str, u64)> =
        listing.ignored.iter().map(|row| (row.line, row.pattern.as_str(), row.entries)).collect();
    assert_eq!(ignored, [(1, ".git", 1), (2, "*.md", 2)]);
    assert_eq!(context.count(&["a".to_owned(), "a/big".to_owned()], &[]).unwrap(), (1, 5));
    assert_eq!(context.count(&["*".to_owned()], &["big".to_owned()]).unwrap(), (1, 1));
}

#[test]
fn a_file_is_no_context() {
    let bench = Bench::new();
    std::fs::write(bench.scratch().join("f"), "").unwrap();
    let (file, store) = (bench.scratch().join("f"), &bench.store);
    let error = LocalContext::open(&file, Patterns::default(), store, &Cancel::default()).err().unwrap();
    assert_eq!(error.blame(), ireko_report::Blame::User);
    assert!(bench.context("").item(&path("nothing/here")).unwrap().is_none());
}
