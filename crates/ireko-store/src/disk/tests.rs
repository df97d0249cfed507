//! Removing what is unfriendly to remove.

use super::*;
use std::os::unix::fs::PermissionsExt;

#[test]
fn unwritable_directories_go() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().join("top");
    fs::create_dir_all(top.join("a/b")).unwrap();
    fs::write(top.join("a/b/file"), "x".repeat(10_000)).unwrap();
    std::os::unix::fs::symlink("/etc", top.join("a/link")).unwrap();
    for dir in ["a/b", "a"] {
        fs::set_permissions(top.join(dir), fs::Permissions::from_mode(0o000)).unwrap();
    }
    let removal = remove(&top);
    assert!(removal.problems.is_empty(), "{:?}", removal.problems);
    assert!(removal.freed >= 10_000);
    assert!(!top.exists() && Path::new("/etc").exists());
}

#[test]
fn any_depth_goes_with_few_descriptors() {
    let home = tempfile::tempdir().unwrap();
    let top = home.path().join("top");
    fs::create_dir(&top).unwrap();
    // Paths of this depth cannot be named whole: the tree is grown from its inside.
    let mut dir = open_dir(rustix::fs::CWD, top.as_os_str().as_encoded_bytes()).unwrap();
    for _ in 0..3000 {
        rustix::fs::mkdirat(&dir, "d", Mode::RWXU).unwrap();
        dir = open_dir(&dir, b"d").unwrap();
    }
    drop(dir);
    let removal = remove(&top);
    assert!(removal.problems.is_empty(), "{:?}", removal.problems);
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 0);
}

#[test]
fn what_is_not_there_is_no_problem() {
    let home = tempfile::tempdir().unwrap();
    let removal = remove(&home.path().join("nothing/below"));
    assert!(removal.problems.is_empty() && removal.freed == 0);
}
