//! Packages made by hand, whole and damaged.

use std::io::{Read, Write};

use proptest::prelude::*;

use super::*;

fn tar(files: &[(&str, &str, u32)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, text, mode) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(*mode);
        builder.append_data(&mut header, name, text.as_bytes()).expect("a tar");
    }
    builder.into_inner().expect("a tar")
}

fn ar(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in members {
        writeln!(out, "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`", 0, 0, 0, 100_644, bytes.len())
            .expect("memory");
        out.extend(*bytes);
        out.extend(vec![b'\n'; bytes.len() % 2]);
    }
    out
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let how = ireko_layer::Compression::GzipSingle { level: 1 };
    let mut compressor = ireko_layer::Compressor::new(how, 1, Vec::new()).expect("memory");
    compressor.write_all(bytes).expect("memory");
    compressor.finish().expect("memory")
}

fn hello() -> Vec<u8> {
    let control =
        tar(&[("./control", "Package: hello\nVersion: 1\n", 0o644), ("./postinst", "#!/bin/sh\n", 0o755)]);
    ar(&[
        ("debian-binary", b"2.0\n"),
        ("control.tar.gz", &packed(&control)),
        ("_x", b"odd"),
        ("data.tar", b"files"),
    ])
}

fn opened(bytes: &[u8]) -> Result<Package, PackageError> {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("hello.deb");
    std::fs::write(&path, bytes).expect("a file");
    Package::open(&path)
}

#[test]
fn a_package_has_control_and_data() {
    let package = opened(&hello()).expect("a package");
    assert_eq!(package.control(), "Package: hello\nVersion: 1\n");
    let names: Vec<_> = package.control_files().map(|(name, file)| (name, file.mode)).collect();
    assert_eq!(names, [("control", 0o644), ("postinst", 0o755)]);
    for _ in 0..2 {
        let mut data = String::new();
        package.data().read_to_string(&mut data).expect("the member");
        assert_eq!(data, "files");
    }
}

#[test]
fn what_is_none_is_told() {
    let control = packed(&tar(&[("./control", "Package: a\n", 0o644)]));
    let escaping = packed(&tar(&[("usr/control", "x", 0o644)]));
    let without = packed(&tar(&[("./md5sums", "x", 0o644)]));
    let whole = hello();
    let cases: [(&[u8], &str); 10] = [
        (b"", "it is too short"),
        (b"<html>not here</html>", "it is no `ar` archive"),
        (&whole[..90], "it ends at byte 90, inside a header"),
        (&whole[..whole.len() - 3], "inside `data.tar`"),
        (&ar(&[("debian-binary", b"3.0\n")]), "its format is `3.0`"),
        (&ar(&[("control.tar", b"")]), "its first member is not `debian-binary`"),
        (
            &ar(&[("debian-binary", b"2.0\n"), ("data.tar", b"")]),
            "`data.tar` stands where `control.tar` has to be",
        ),
        (&ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &control)]), "it has no `data.tar`"),
        (
            &ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &escaping), ("data.tar", b"")]),
            "`usr/control` is no name",
        ),
        (
            &ar(&[("debian-binary", b"2.0\n"), ("control.tar.gz", &without), ("data.tar", b"")]),
            "has no `control`",
        ),
    ];
    for (bytes, said) in cases {
        let error = opened(bytes).expect_err(said).to_string();
        assert!(error.contains(said), "{error} instead of {said}");
    }
    assert!(matches!(Package::open(Path::new("/nowhere.deb")), Err(PackageError::Read { .. })));
}

#[test]
fn when_it_was_built_is_its_archives_date() {
    for (date, built) in [("1700000000  ", 1_700_000_000), ("soon        ", 0), ("            ", 0)] {
        let mut bytes = hello();
        bytes[24..36].copy_from_slice(date.as_bytes());
        assert_eq!(opened(&bytes).expect("a package").built(), built, "{date}");
    }
}

#[test]
fn what_reading_it_may_take_goes_by_what_is_packed_and_what_it_says() {
    let package = opened(&hello()).expect("a package");
    assert_eq!((package.name().as_str(), package.bounds().plain), ("hello", PLAIN_MIN + 5 * PLAIN_EACH));
    let said = |size: &str| {
        let text = format!("Package: big\nInstalled-Size: {size}\n");
        let control = tar(&[("./control", &text, 0o644)]);
        let bytes = ar(&[("debian-binary", b"2.0\n"), ("control.tar", &control), ("data.tar", &[0; 1000])]);
        opened(&bytes).expect("a package").bounds().plain
    };
    let packed = PLAIN_MIN + 1000 * PLAIN_EACH;
    assert_eq!((said("1000"), said("many")), (packed + 2_048_000, packed));
    assert_eq!(said("18446744073709551615"), packed + 1000 * ESTIMATE_EACH, "it is not believed without end");
}

proptest! {
    #[test]
    fn damage_is_no_panic(at in 0usize..600, byte in any::<u8>(), end in 0usize..600) {
        let mut bytes = hello();
        let at = at % bytes.len();
        bytes[at] = byte;
        bytes.truncate(bytes.len().max(end));
        let _ = opened(&bytes);
        bytes.truncate(end);
        let _ = opened(&bytes);
    }
}
