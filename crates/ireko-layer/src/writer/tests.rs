//! The tar that is written: its bytes, what other programs make of it, what is refused.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::testing::{changes, dir, entry, file, link, path, show, write};
use crate::{Time, UnpackOptions, index_of, unpack};

/// Every kind and every odd value.
fn odd_layer() -> Vec<Change> {
    let long = "d".repeat(120);
    let mut all = vec![
        dir("bin"),
        file("bin/tool", b"#!/bin/sh\n"),
        entry("bin/tool2", ChangeKind::HardLink { target: path("bin/tool") }),
        link("bin/sh", "tool"),
        entry("dev-null", ChangeKind::Char { major: 1, minor: 3 }),
        entry("disk", ChangeKind::Block { major: 8, minor: 0 }),
        entry("pipe", ChangeKind::Fifo),
        entry("gone", ChangeKind::Whiteout),
        entry("etc", ChangeKind::Dir { opaque: true }),
        file("etc/passwd", b"root:x:0:0::/:\n"),
        dir(&long),
        dir(&format!("{long}/{long}")),
        file(&format!("{long}/{long}/deep"), b"deep"),
        file(&format!("{long}/{}", "n".repeat(200)), b"long name"),
        link("far", &"t".repeat(150)),
        file("empty", b""),
        file("block", &[7; 512]),
    ];
    all.push(Change { path: TreePath::new(b"\xff\xfe-raw").unwrap(), ..file("x", b"raw") });
    let mut big_ids = file("big-ids", b"i");
    (big_ids.meta.uid, big_ids.meta.gid) = (3_000_000_000, 2_097_152);
    big_ids.meta.mode = 0o6755;
    all.push(big_ids);
    let mut old = file("old", b"o");
    old.meta.mtime = Time::new(-5, 500_000_000);
    old.dated = true;
    all.push(old);
    let mut far = file("future", b"f");
    far.meta.mtime = Time::new(1 << 34, 0);
    all.push(far);
    let mut capable = file("capable", b"c");
    let version3 = [&[1, 0, 0, 3][..], &[0; 16], &[0xe8, 3, 0, 0]].concat();
    capable.meta.xattrs.insert(b"security.capability".to_vec(), version3);
    capable.meta.xattrs.insert(b"security.selinux".to_vec(), b"label".to_vec());
    capable.meta.xattrs.insert(b"user.overlay.origin".to_vec(), b"x".to_vec());
    capable.meta.xattrs.insert(b"user.note".to_vec(), b"a=b\n\0".to_vec());
    all.push(capable);
    all
}

fn whole(mut index: Index) -> Index {
    let entries = index.entries().iter().cloned().map(|mut entry| {
        entry.meta.mtime = entry.meta.mtime.whole();
        entry.dated = false;
        entry
    });
    let inlined = index
        .entries()
        .iter()
        .filter_map(|entry| Some((entry.path.clone(), index.inlined(&entry.path)?.to_vec())));
    index = Index::new(entries.collect(), inlined.collect()).unwrap();
    index
}

/// These digests may only change with an entry in the change log: images would get other digests.
#[test]
fn digests_are_stable() {
    #[track_caller]
    fn check(changes: Vec<Change>, expect: Expect) {
        let (written, tar) = write(changes);
        assert_eq!(written.tar_size, tar.len() as u64);
        assert_eq!(written.diff_id, Digest::of(&tar));
        expect.assert_eq(&format!("{}\n{}\n{}", written.diff_id, written.content_id, written.tar_size));
    }
    check(
        vec![],
        expect![[r#"
        sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef
        34d2b720a19439864756a5b38cf509d0818cc6df8ffb708c710586655da20888
        1024"#]],
    );
    check(
        vec![dir("app"), file("app/main", b"hello\n")],
        expect![[r#"
        sha256:6e8125c206ee33f969e3197949f9bef10ee0bf6884ff3f953fc8e4d7bc4f0920
        a3c6793302664458db607007796d441de091390793a0250734a8857bcb1f1eb3
        2560"#]],
    );
    check(
        odd_layer(),
        expect![[r#"
        sha256:62e62fd61ef411ee98d9f020ab0f9ae40a43df56724ad8d48235e16977ab1298
        4c3832992eb435556fca4564f4788a7d82e39cadbd6868d8d98b191a6d2b870d
        27136"#]],
    );
}

#[test]
fn reading_gives_what_was_written() {
    let (written, tar) = write(odd_layer());
    let read = index_of(tar.as_slice()).unwrap();
    assert_eq!(show(&read.index), show(&whole(written.index.clone())));
    assert_eq!(read.index, whole(written.index.clone()));
    assert_eq!((read.diff_id, read.tar_size), (written.diff_id, written.tar_size));
    assert_eq!(written.index.inlined(&path("etc/passwd")), Some(&b"root:x:0:0::/:\n"[..]));
}

fn tool(command: &mut Command, tar: &[u8]) -> Option<String> {
    let mut child = command
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .ok()?;
    let mut input = child.stdin.take().unwrap();
    let sending = std::thread::spawn({
        let tar = tar.to_vec();
        move || input.write_all(&tar)
    });
    let output = child.wait_with_output().unwrap();
    let _ = sending.join();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn gnu_tar_reads_it() {
    let (written, tar) = write(odd_layer());
    let Some(list) = tool(Command::new("tar").args(["-tf", "-"]), &tar) else {
        eprintln!("skipped because there is no `tar` here");
        return;
    };
    // One more line: the mark of the opaque directory.
    assert_eq!(list.lines().count(), written.index.entries().len() + 1);
    assert!(list.contains(&format!("{}/{}\n", "d".repeat(120), "n".repeat(200))));
    assert!(list.contains(".wh.gone\n") && list.contains("etc/.wh..wh..opq\n"));
}

#[test]
fn python_reads_it() {
    let script = "import sys,tarfile
for m in tarfile.open(fileobj=sys.stdin.buffer,mode='r|'):
    print(ascii(m.name[-20:]),m.type,oct(m.mode),m.uid,m.gid,m.size,m.mtime,ascii(m.linkname[-20:]),m.devmajor,m.devminor)";
    let (_, tar) = write(odd_layer());
    let Some(list) = tool(Command::new("python3").args(["-c", script]), &tar) else {
        eprintln!("skipped because there is no `python3` here");
        return;
    };
    expect![[r#"
        'big-ids' b'0' 0o6755 3000000000 2097152 1 1000000000 '' 0 0
        'bin' b'5' 0o755 0 0 0 1000000000 '' 0 0
        'bin/sh' b'2' 0o777 0 0 0 1000000000 'tool' 0 0
        'bin/tool' b'0' 0o644 0 0 10 1000000000 '' 0 0
        'bin/tool2' b'1' 0o644 0 0 0 1000000000 'bin/tool' 0 0
        'block' b'0' 0o644 0 0 512 1000000000 '' 0 0
        'capable' b'0' 0o644 0 0 1 1000000000 '' 0 0
        'dddddddddddddddddddd' b'5' 0o755 0 0 0 1000000000 '' 0 0
        'dddddddddddddddddddd' b'5' 0o755 0 0 0 1000000000 '' 0 0
        'ddddddddddddddd/deep' b'0' 0o644 0 0 4 1000000000 '' 0 0
        'nnnnnnnnnnnnnnnnnnnn' b'0' 0o644 0 0 9 1000000000 '' 0 0
        'dev-null' b'3' 0o644 0 0 0 1000000000 '' 1 3
        'disk' b'4' 0o644 0 0 0 1000000000 '' 8 0
        'empty' b'0' 0o644 0 0 0 1000000000 '' 0 0
        'etc' b'5' 0o755 0 0 0 1000000000 '' 0 0
        'etc/.wh..wh..opq' b'0' 0o0 0 0 0 0 '' 0 0
        'etc/passwd' b'0' 0o644 0 0 15 1000000000 '' 0 0
        'far' b'2' 0o777 0 0 0 1000000000 'tttttttttttttttttttt' 0 0
        'future' b'0' 0o644 0 0 1 17179869184.0 '' 0 0
        '.wh.gone' b'0' 0o0 0 0 0 0 '' 0 0
        'old' b'0' 0o644 0 0 1 -5.0 '' 0 0
        'pipe' b'6' 0o644 0 0 0 1000000000 '' 0 0
        '\udcff\udcfe-raw' b'0' 0o644 0 0 3 1000000000 '' 0 0
    "#]]
    .assert_eq(&list);
}

#[test]
fn the_same_for_any_way_of_pushing() {
    let (together, tar) = write(odd_layer());
    let mut sorted = odd_layer();
    sorted.sort_by(|left, right| left.path.cmp(&right.path));
    let (mut first, mut second) = (Vec::new(), Vec::new());
    let mut writer = LayerWriter::new().sink(&mut first).sink(&mut second);
    for change in sorted {
        writer.push(change).unwrap();
    }
    assert_eq!(writer.finish().unwrap(), together);
    assert!(first == tar && second == tar);
}

#[test]
fn refused() {
    #[track_caller]
    fn check(changes: Vec<Change>, expect: Expect) {
        let mut writer = LayerWriter::new();
        let error = changes.into_iter().try_for_each(|change| writer.push(change)).err();
        let error = error.or_else(|| writer.finish().err());
        expect.assert_eq(&error.unwrap().to_string());
    }
    check(
        vec![file("b", b""), file("a", b"")],
        expect!["`a` cannot be in a layer: it comes out of order, or twice"],
    );
    check(
        vec![file("a", b""), file("a", b"")],
        expect!["`a` cannot be in a layer: it comes out of order, or twice"],
    );
    check(
        vec![file(".wh.a", b"")],
        expect!["`.wh.a` cannot be in a layer: names that begin with `.wh.` mean deletions there"],
    );
    check(vec![file("a/b", b"")], expect!["`a/b` cannot be in a layer: its directory is not in the layer"]);
    check(
        vec![entry("b", ChangeKind::HardLink { target: path("a") })],
        expect!["`b` cannot be in a layer: a hard link to no earlier file of the layer"],
    );
    check(vec![link("a", "")], expect!["`a` cannot be in a layer: a symbolic link to nothing"]);
    let wrong = Data::memory(*b"a").expecting(FileHash([0; 32]));
    check(vec![entry("a", ChangeKind::File(wrong))], expect!["`a` changed while being read"]);
}

#[test]
fn a_file_of_another_length_has_changed() {
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().join("f");
    for (length, announced) in [(3u64, 4u64), (5, 4), (1, 0), (300_000, 299_999), (300_000, 300_001)] {
        std::fs::write(&host, vec![1; length as usize]).unwrap();
        for many in [1, 40] {
            let mut all: Vec<Change> = (0..many).map(|at| file(&format!("a{at}"), b"")).collect();
            all.push(entry("f", ChangeKind::File(Data::host(&host, announced))));
            let result = LayerWriter::new().push_all(all);
            if announced == 0 && many == 40 {
                continue;
            }
            assert!(matches!(result, Err(Error::ChangedWhileRead { .. })), "{length} {announced} {many}");
        }
    }
    std::fs::remove_file(&host).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", &host).unwrap();
    let mut writer = LayerWriter::new();
    let result = writer.push(entry("f", ChangeKind::File(Data::host(&host, 4))));
    assert!(matches!(result, Err(Error::ChangedWhileRead { .. })));
}

fn as_root() -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        eprintln!("skipped because only root may set owners and make devices");
    }
    root
}

#[test]
fn snapshot_and_tar_are_made_from_each_other() {
    if !as_root() {
        return;
    }
    let here = tempfile::tempdir().unwrap();
    let [first, second] = ["first", "second"].map(|name| here.path().join(name));
    std::fs::create_dir(&first).unwrap();
    std::fs::create_dir(&second).unwrap();
    let mut all = odd_layer();
    all.retain(|change| change.meta.uid < 1 << 31);
    let mut holes = vec![0u8; 3 << 20];
    holes[1 << 20] = 1;
    all.push(file("holes", &holes));
    let mut tar = Vec::new();
    let mut writer = LayerWriter::new().sink(&mut tar).snapshot(&first, OverlayAttrs::User).unwrap();
    writer.push_all(all).unwrap();
    let written = writer.finish().unwrap();
    let mut again = Vec::new();
    let from_snapshot = tar_of_snapshot(&written.index, &first, &mut again).unwrap();
    assert_eq!(from_snapshot.index, written.index);
    assert!(again == tar);
    let options = UnpackOptions { attrs: OverlayAttrs::User, below: None, lower: None };
    let unpacked = unpack(tar.as_slice(), &second, &options).unwrap();
    assert_eq!(unpacked.index, whole(written.index.clone()));
    assert_eq!(unpacked.diff_id, written.diff_id);
    let mut third = Vec::new();
    tar_of_snapshot(&unpacked.index, &second, &mut third).unwrap();
    assert!(third == tar);
    let blocks = |dir: &Path| std::os::unix::fs::MetadataExt::blocks(&dir.join("holes").metadata().unwrap());
    assert!(blocks(&first) < 64 && blocks(&second) < 64);
}

proptest! {
    #[test]
    fn written_then_read_is_the_same(all in changes(true)) {
        let (written, tar) = write(all);
        let read = index_of(tar.as_slice()).unwrap();
        prop_assert_eq!(show(&read.index), show(&whole(written.index.clone())));
        prop_assert_eq!(read.diff_id, written.diff_id);
    }
}
