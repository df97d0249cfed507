//! Laws of selections, and mounts laid out.

use std::fs;
use std::os::unix::fs::MetadataExt;

use ireko_layer::OverlayAttrs;
use ireko_oci::GuestPath;
use proptest::prelude::*;

use super::*;
use crate::testing::{Bench, copy_of, lay, pick};

#[test]
fn the_same_files_of_context_and_tree_have_one_digest() {
    let bench = Bench::new();
    let files = "f 600 0:0 a/b one\nl a/l b\nd 711 0:0 a/d\nh a/h a/b\np a/p";
    lay(files, &bench.path());
    let context = bench.context("");
    let tree =
        FileSource::Tree(bench.tree("f 600 0:0 a/b one\nl a/l b\nd 711 0:0 a/d\nf 600 0:0 a/h one\np a/p"));
    for words in ["COPY a/b /x", "COPY a/l /x", "COPY a/d /x"] {
        let copy = copy_of(words);
        let left = pick(&copy, &FileSource::Context(&context)).unwrap().id();
        assert_eq!(left, pick(&copy, &tree).unwrap().id(), "{words}");
    }
    let copy = copy_of("COPY a /x");
    let (left, right) = (pick(&copy, &FileSource::Context(&context)).unwrap(), pick(&copy, &tree).unwrap());
    assert_ne!(left.id(), right.id(), "two names of one file are not two files");
}

#[test]
fn what_flags_overwrite_stays_out() {
    let bench = Bench::new();
    let one = FileSource::Tree(bench.tree("f 600 1:2 a one"));
    let two = FileSource::Tree(bench.tree("f 644 3:4 a one"));
    let same = |words: &str| {
        let copy = copy_of(words);
        pick(&copy, &one).unwrap().id() == pick(&copy, &two).unwrap().id()
    };
    assert!(!same("COPY a /"));
    assert!(!same("COPY --chmod=600 a /"));
    assert!(!same("COPY --chown=1 a /"));
    assert!(same("COPY --chown=1 --chmod=600 a /"));
    assert!(!same("COPY --chown=1 --chmod=u+x a /"));
}

#[test]
fn a_mount_is_laid_out_as_it_is_and_watched() {
    let bench = Bench::new();
    lay(
        "d 711 0:0 src/d\nf 640 0:0 src/d/a one\nh src/b src/d/a\nl src/l d/a\nf 644 0:0 src/ignored x",
        &bench.path(),
    );
    let context = bench.context("src/ignored");
    let source = FileSource::Context(&context);
    let picked = pick_mount(&source, &GuestPath::new("/src").unwrap()).unwrap();
    let dir = bench.scratch().join("mount");
    fs::create_dir(&dir).unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(picked.lay_out(&dir, OverlayAttrs::User).unwrap(), dir);
        let (there, here) =
            (fs::metadata(bench.path().join("src/d/a")).unwrap(), fs::metadata(dir.join("d/a")).unwrap());
        assert_eq!((here.mode(), here.mtime_nsec(), here.nlink()), (there.mode(), there.mtime_nsec(), 2));
        assert_eq!(
            fs::metadata(dir.join("d")).unwrap().mtime(),
            fs::metadata(bench.path().join("src/d")).unwrap().mtime()
        );
        assert_eq!(fs::read_link(dir.join("l")).unwrap().to_str(), Some("d/a"));
        assert!(!dir.join("ignored").exists());
        let one = pick_mount(&source, &GuestPath::new("/src/d/a").unwrap()).unwrap();
        let other = bench.scratch().join("one");
        fs::create_dir(&other).unwrap();
        assert_eq!(one.lay_out(&other, OverlayAttrs::User).unwrap(), other.join("a"));
    } else {
        println!("skipped because only root can give files to root");
    }
    fs::write(bench.path().join("src/ignored"), "y").unwrap();
    assert!(picked.unchanged().unwrap());
    fs::write(bench.path().join("src/d/a"), "two").unwrap();
    assert!(!picked.unchanged().unwrap());
}

#[test]
fn inputs_are_named() {
    let bench = Bench::new();
    lay("f 644 0:0 a/b one\nf 644 0:0 c two", &bench.path());
    let context = bench.context("");
    let picked = pick(&copy_of("COPY a c <<x=y /d/"), &FileSource::Context(&context)).unwrap();
    let names: Vec<String> =
        picked.input_files().iter().map(|file| String::from_utf8_lossy(&file.path).into_owned()).collect();
    assert_eq!(names, ["a", "a/b", "c"]);
}

fn pictures() -> impl Strategy<Value = String> {
    let name = prop::sample::select(vec!["a", "b", "c.md", "a/x", "a/y", "b/x/z", "d/e"]);
    let line = (name, 0..3u8).prop_map(|(name, kind)| match kind {
        0 => format!("f 644 0:0 {name} {name}"),
        1 => format!("d 755 0:0 {name}"),
        _ => format!("l {name} x"),
    });
    prop::collection::vec(line, 0..8).prop_map(|lines| {
        // Names that stand in each other's way are left out.
        let mut kept: Vec<String> = Vec::new();
        for line in lines {
            let name = |line: &str| {
                line.split(' ').nth(if line.starts_with('l') { 1 } else { 3 }).unwrap().to_owned()
            };
            let new = name(&line);
            let clash = kept.iter().any(|old| {
                let is_dir = |line: &str| line.starts_with('d');
                let old_name = name(old);
                old_name == new
                    || (new.starts_with(&format!("{old_name}/")) && !is_dir(old))
                    || (old_name.starts_with(&format!("{new}/")) && !is_dir(&line))
            });
            if !clash {
                kept.push(line);
            }
        }
        kept.join("\n")
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn selecting_twice_is_equal(picture in pictures(), pattern in "[abd*?/.]{1,4}", exclude in "[ab*!/x]{0,4}", parents: bool) {
        let bench = Bench::new();
        lay(&picture, &bench.path());
        let mut copy = copy_of(&format!("COPY {pattern} /x/"));
        copy.parents = parents;
        if !exclude.trim_start_matches('!').is_empty() {
            copy.excludes.push(exclude);
        }
        let one = |context: &crate::LocalContext| pick(&copy, &FileSource::Context(context)).map(|picked| picked.id()).map_err(|error| error.to_string());
        let (left, right) = (bench.context(""), bench.context(""));
        right.listing().unwrap();
        prop_assert_eq!(one(&left), one(&right));
        prop_assert_eq!(one(&left), one(&right));
    }

    #[test]
    fn any_pattern_is_read(pattern in "\\PC{0,12}", parents: bool) {
        if let Ok(wanted) = Wanted::parse(&pattern, parents) {
            let _ = wanted.matches(&Source::Empty);
        }
    }
}
