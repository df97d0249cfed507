//! A view of layers answers as if they had been applied one by one.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::{changes, dir, entry, file, index, link, path};
use crate::{Change, ChangeKind};

type Tree = BTreeMap<TreePath, Entry>;

/// Applies a layer as a program would that unpacks it.
fn apply(tree: &mut Tree, layer: &Index) {
    for entry in layer.entries() {
        let old_dir = tree.get(&entry.path).is_some_and(|old| old.kind.is_dir());
        if entry.kind != (Kind::Dir { opaque: false }) || !old_dir {
            tree.retain(|at, _| !at.is_within(&entry.path));
        }
        if entry.kind != Kind::Whiteout {
            tree.insert(entry.path.clone(), entry.clone());
        }
    }
}

proptest! {
    #[test]
    fn same_as_applying_one_by_one(stack in prop::collection::vec(changes(true), 0..5)) {
        let layers: Vec<Arc<Index>> = stack.into_iter().map(index).collect();
        let mut tree = Tree::new();
        layers.iter().for_each(|layer| apply(&mut tree, layer));
        let view = View::new(layers.clone());
        let root = TreePath::root();
        let walked: Vec<&Entry> = view.walk(&root).into_iter().map(|found| found.entry).collect();
        prop_assert_eq!(&walked, &tree.values().collect::<Vec<_>>());
        let mut all: Vec<TreePath> = layers.iter().flat_map(|l| l.entries()).map(|e| e.path.clone()).collect();
        all.extend([root, path("nowhere"), path("a/nowhere/b")]);
        for at in all {
            prop_assert_eq!(view.entry(&at), tree.get(&at));
            let children: Vec<&Entry> = view.children(&at).into_iter().map(|found| found.entry).collect();
            let expected: Vec<&Entry> = tree.values().filter(|e| e.path.parent().as_ref() == Some(&at)).collect();
            prop_assert_eq!(children, expected);
            let below: Vec<&Entry> = view.walk(&at).into_iter().map(|found| found.entry).collect();
            let expected: Vec<&Entry> = tree.values().filter(|e| e.path != at && e.path.is_within(&at)).collect();
            prop_assert_eq!(below, expected);
        }
    }
}

#[track_caller]
fn resolves(view: &View, from: &str, to: &str) {
    assert_eq!(view.resolve(&path(from), Follow::All).unwrap(), path(to));
}

#[test]
fn links_are_followed_inside_the_root() {
    let base = vec![
        link("bin", "usr/bin"),
        dir("usr"),
        dir("usr/bin"),
        link("usr/bin/up", "../../../../etc/./up2"),
        link("etc", "/private//etc"),
        dir("private"),
        dir("private/etc"),
        link("loop", "loop"),
        link("file", "/usr/bin/sh"),
    ];
    let view = View::new(vec![index(base)]);
    resolves(&view, "bin/x", "usr/bin/x");
    resolves(&view, "bin/up", "private/etc/up2");
    resolves(&view, "etc", "private/etc");
    resolves(&view, "none/such", "none/such");
    resolves(&view, "file", "usr/bin/sh");
    assert_eq!(view.resolve(&path("file"), Follow::Parents).unwrap(), path("file"));
    assert_eq!(view.resolve(&path("bin/up"), Follow::Parents).unwrap(), path("usr/bin/up"));
    let error = view.resolve(&path("loop/x"), Follow::All).unwrap_err();
    assert_eq!(error.to_string(), "`loop/x` goes through too many symbolic links");
}

#[test]
fn content_is_found_through_links_and_layers() {
    let hard = |at: &str, to: &str| entry(at, ChangeKind::HardLink { target: path(to) });
    let base = vec![dir("etc"), file("etc/passwd", b"one"), file("a", b"a"), hard("b", "a")];
    let above: Vec<Change> = vec![file("a", b"other")];
    let view = View::new(vec![index(base), index(above)]);
    assert_eq!(view.passwd(), Some(&b"one"[..]));
    assert_eq!(view.group(), None);
    let found = view.owner_of_content(&path("b")).unwrap();
    assert_eq!((found.layer, found.entry.path.to_string().as_str()), (0, "a"));
    assert_eq!(view.owner_of_content(&path("a")).unwrap().layer, 1);
    assert_eq!(view.owner_of_content(&path("etc")), None);
}
