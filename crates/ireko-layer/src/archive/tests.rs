//! What counts as an archive, and what comes out of it.

use std::process::Command;

use expect_test::{Expect, expect};

use super::*;
use crate::testing::{path, raw, show, write};
use crate::{Compression, Compressor};

fn opened(bytes: &[u8]) -> Result<Option<Archive>, Error> {
    let scratch = tempfile::tempdir().unwrap();
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    let archive = Archive::open(file, scratch.path(), &|| false);
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    archive
}

fn packed(bytes: &[u8], how: Compression) -> Vec<u8> {
    let mut compressor = Compressor::new(how, 2, Vec::new()).unwrap();
    compressor.write_all(bytes).unwrap();
    compressor.finish().unwrap()
}

fn sample() -> Vec<u8> {
    let entries = [
        raw(b"./", b'5', b"", b""),
        raw(b"z/late", b'0', b"", b"late"),
        raw(b"a", b'0', b"", b"first"),
        raw(b"b", b'1', b"./a", b""),
        raw(b"z/", b'5', b"", b""),
        raw(b"a", b'0', b"", b"second"),
        raw(b"deep/er/l", b'2', b"../../a", b""),
    ];
    [entries.concat(), vec![0; 1024]].concat()
}

#[track_caller]
fn check(bytes: &[u8], expect: Expect) {
    let shown = match opened(bytes) {
        Ok(None) => "no archive".to_owned(),
        Ok(Some(archive)) => {
            let mut changes = archive.changes(&path("app")).unwrap();
            let named: Vec<TreePath> = changes.iter().map(|change| change.path.clone()).collect();
            for above in ["app", "app/deep", "app/deep/er"] {
                if !named.contains(&path(above)) {
                    changes.push(crate::testing::dir(above));
                }
            }
            show(&write(changes).0.index)
        }
        Err(error) => error.to_string(),
    };
    expect.assert_eq(&shown);
}

#[test]
fn told_by_content() {
    check(
        &sample(),
        expect![[r#"
        app dir 755 0:0 @1000000000
        app/a file 6 cd85 644 0:0 @10
        app/b file 5 2289 644 0:0 @10
        app/deep dir 755 0:0 @1000000000
        app/deep/er dir 755 0:0 @1000000000
        app/deep/er/l -> ../../a 777 0:0 @10
        app/z dir 644 0:0 @10
        app/z/late file 4 9c67 644 0:0 @10
    "#]],
    );
    let plain = opened(&sample()).unwrap().unwrap().changes(&TreePath::root()).unwrap();
    let how = [Compression::Gzip { level: 6 }, Compression::Zstd { level: 3 }];
    for how in how {
        let unpacked = opened(&packed(&sample(), how)).unwrap().unwrap().changes(&TreePath::root()).unwrap();
        assert_eq!(unpacked.len(), plain.len());
    }
    check(b"", expect!["no archive"]);
    check(b"text", expect!["no archive"]);
    check(&[0; 2048], expect!["no archive"]);
    check(&[b'x'; 2048], expect!["no archive"]);
    check(&[0x1f, 0x8b, 8, 0, 0], expect!["no archive"]);
    check(&packed(&[b'x'; 4096], Compression::Gzip { level: 6 }), expect!["no archive"]);
}

#[test]
fn damaged_after_a_good_start() {
    check(&sample()[..1536 + 300], expect!["the tar archive is damaged at entry 2 (``): cut short"]);
    check(
        &[raw(b"a", b'1', b"b", b""), vec![0; 1024]].concat(),
        expect![
            "the tar archive is damaged at entry 0 (`a`): a hard link to `b`, which is not in the archive"
        ],
    );
    check(
        &[raw(b"../a", b'0', b"", b""), vec![0; 1024]].concat(),
        expect!["the tar archive is damaged at entry 0 (`../a`): it leads out of the layer by `..`"],
    );
}

#[test]
fn other_programs_archives() {
    let here = tempfile::tempdir().unwrap();
    let holes = std::fs::File::create(here.path().join("holes")).unwrap();
    holes.set_len(1 << 20).unwrap();
    std::os::unix::fs::FileExt::write_at(&holes, b"in the middle", 500_000).unwrap();
    std::fs::write(here.path().join("plain"), "text").unwrap();
    for flags in ["-cSf", "-czf", "-cjf", "-cJf", "-cSzf"] {
        for format in ["gnu", "pax", "ustar"] {
            if flags.contains('S') && format == "ustar" {
                continue;
            }
            let tar = here.path().join("out.archive");
            let mut command = Command::new("tar");
            command.arg("-C").arg(here.path()).arg(format!("--format={format}"));
            command.arg(flags).arg(&tar).args(["holes", "plain"]);
            match command.status() {
                Ok(status) if status.success() => {}
                _ => {
                    eprintln!("skipped because there is no `tar` with {flags} here");
                    continue;
                }
            }
            let archive = opened(&std::fs::read(&tar).unwrap()).unwrap().unwrap();
            let (written, _) = write(archive.changes(&TreePath::root()).unwrap());
            let expected = blake3::hash(&std::fs::read(here.path().join("holes")).unwrap());
            let found = &written.index.get(&path("holes")).unwrap().kind;
            let hash = ireko_oci::FileHash(*expected.as_bytes());
            assert_eq!(*found, crate::Kind::File { size: 1 << 20, hash }, "{flags} {format}");
        }
    }
}

/// A member with a mode and an owner; the rest is as [`raw`] has it.
fn owned(entry: Vec<u8>, mode: &[u8; 4], owner: &[u8; 1]) -> Vec<u8> {
    let mut block: [u8; 512] = entry[..512].try_into().unwrap();
    block[103..107].copy_from_slice(mode);
    block[114] = owner[0];
    block[122] = owner[0];
    crate::testing::sealed(block, &entry[512..])
}

#[test]
fn what_a_link_says_of_itself_holds_for_the_file() {
    let entries = [
        owned(raw(b"a", b'0', b"", b"one"), b"0644", b"1"),
        owned(raw(b"b", b'1', b"a", b""), b"4755", b"2"),
        owned(raw(b"c", b'1', b"b", b""), b"0600", b"3"),
    ];
    check(
        &[entries.concat(), vec![0; 1024]].concat(),
        expect![[r#"
        app dir 755 0:0 @1000000000
        app/a file 3 d33f 600 3:3 @10
        app/b link to app/a 600 3:3 @10
        app/c link to app/a 600 3:3 @10
        app/deep dir 755 0:0 @1000000000
        app/deep/er dir 755 0:0 @1000000000
    "#]],
    );
}

#[test]
fn reading_stops_when_it_is_no_longer_wanted() {
    use std::sync::atomic::{AtomicU32, Ordering};
    let long = [raw(b"a", b'0', b"", &vec![7; 1 << 20]), vec![0; 1024]].concat();
    for bytes in [packed(&long, Compression::Gzip { level: 1 }), long] {
        let scratch = tempfile::tempdir().unwrap();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file.seek(SeekFrom::Start(0)).unwrap();
        let asked = AtomicU32::new(0);
        let stopped = || asked.fetch_add(1, Ordering::SeqCst) >= 2;
        let error = Archive::open(file, scratch.path(), &stopped).unwrap_err();
        assert!(matches!(error, Error::Stream { .. }), "{error}");
        assert!(asked.into_inner() < 5);
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}

/// Each entry has a copy of what a global header says of all: a tar of 100 kB would ask for gigabytes.
#[test]
fn global_attributes_are_not_copied_without_end() {
    let value = "v".repeat(1_000_000);
    let record = format!(" SCHILY.xattr.user.a={value}\n");
    let record = format!("{}{record}", record.len() + 7);
    let few = |count: usize| {
        let names = (0..count).map(|at| raw(format!("f{at}").as_bytes(), b'0', b"", b""));
        let entries: Vec<Vec<u8>> =
            std::iter::once(raw(b"g", b'g', b"", record.as_bytes())).chain(names).collect();
        opened(&[entries.concat(), vec![0; 1024]].concat()).map(|found| found.map(|_| ()))
    };
    assert!(matches!(few(20), Ok(Some(()))), "{:?}", few(20));
    let error = few(200).unwrap_err().to_string();
    assert!(error.contains("its global headers are too long for so many entries"), "{error}");
}
