//! Guest paths never leave the root.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::GuestPath;

#[track_caller]
fn check(base: &str, text: &str, expect: Expect) {
    let shown = match GuestPath::new(base).and_then(|base| base.join(text)) {
        Ok(path) => format!("{path} in {:?} as {:?}", path.parent(), path.file_name()),
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn paths_are_normalised() {
    check("/", "", expect!["/ in None as None"]);
    check("/", "a", expect![[r#"/a in Some("/") as Some("a")"#]]);
    check("//a/./b//", "c/", expect![[r#"/a/b/c in Some("/a/b") as Some("c")"#]]);
    check("/a/b", "../../../../c", expect![[r#"/c in Some("/") as Some("c")"#]]);
    check("/a", "/b/..", expect!["/ in None as None"]);
    check("/a", "...", expect![[r#"/a/... in Some("/a") as Some("...")"#]]);
}

#[test]
fn what_is_no_path_is_refused() {
    check("", "a", expect!["invalid path ``: not absolute"]);
    check("a", "b", expect!["invalid path `a`: not absolute"]);
    check("/", "a\0b", expect![[r#"invalid path `a\0b`: holds a zero byte"#]]);
}

#[test]
fn being_within_ends_at_a_name() {
    let path = |text| GuestPath::new(text).unwrap();
    assert!(path("/a/b").is_within(&path("/a")));
    assert!(path("/a").is_within(&path("/a")));
    assert!(path("/a").is_within(&GuestPath::root()));
    assert!(!path("/ab").is_within(&path("/a")));
    assert!(!path("/a").is_within(&path("/a/b")));
}

proptest! {
    #[test]
    fn every_path_is_normal(base in "/[a./]{0,12}", text in "[a./]{0,12}") {
        let path = GuestPath::new(&base).unwrap().join(&text).unwrap();
        prop_assert_eq!(GuestPath::new(path.as_str()).unwrap(), path.clone());
        prop_assert!(path.names().all(|name| !matches!(name, "." | "..")));
        let built = path.names().fold(GuestPath::root(), |folder, name| folder.join(name).unwrap());
        prop_assert_eq!(&built, &path);
        prop_assert_eq!(format!("/{}", path.relative()), path.as_str());
        if let (Some(parent), Some(name)) = (path.parent(), path.file_name()) {
            prop_assert_eq!(parent.join(name).unwrap(), path);
        }
    }
}
