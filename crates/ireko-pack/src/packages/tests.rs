//! Packages as a tree and as layers.

use super::*;
use ireko_layer::LayerWriter;

/// A package file of these control fields, scripts and files.
fn deb(dir: &std::path::Path, name: &str, control: &str, files: &[(&str, &str)]) -> Named {
    let tar = |files: &[(&str, &str)]| {
        let mut bytes = Vec::new();
        let mut writer = LayerWriter::new().sink(&mut bytes);
        let mut changes: BTreeMap<TreePath, Change> = BTreeMap::new();
        for (path, text) in files {
            let path = TreePath::new(path).expect("a path");
            for parent in path.ancestors().filter(|parent| !parent.is_root() && *parent != path) {
                let dir = ChangeKind::Dir { opaque: false };
                let meta = Meta::new(0o755, Time::new(7, 0));
                changes.entry(parent.clone()).or_insert_with(|| Change::new(parent, meta, dir));
            }
            let kind = match text.strip_prefix("-> ") {
                Some(target) => ChangeKind::Symlink { target: target.as_bytes().to_vec() },
                None => ChangeKind::File(Data::memory(text.as_bytes().to_vec())),
            };
            changes.insert(path.clone(), Change::new(path, Meta::new(0o644, Time::new(9, 0)), kind));
        }
        writer.push_all(changes.into_values().collect()).expect("written");
        writer.finish().expect("written");
        bytes
    };
    let control = format!("Package: {name}\nVersion: 1\nArchitecture: all\n{control}");
    let sums: String = files.iter().map(|(path, _)| format!("{:032}  {path}\n", 0)).collect();
    let mut out = b"!<arch>\n".to_vec();
    for (member, bytes) in [
        ("debian-binary", b"2.0\n".to_vec()),
        ("control.tar", tar(&[("control", &control), ("md5sums", &sums)])),
        ("data.tar", tar(files)),
    ] {
        out.extend(
            format!("{member:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100644, bytes.len()).into_bytes(),
        );
        out.extend(&bytes);
        out.extend(vec![b'\n'; bytes.len() % 2]);
    }
    let path = dir.join(format!("{name}.deb"));
    std::fs::write(&path, out).expect("written");
    Named { name: name.to_owned(), package: Package::open(&path).expect("a package") }
}

fn read(dir: &std::path::Path, packages: Vec<Named>, filter: PathFilter) -> Packages {
    let written_as =
        ireko_store::WrittenAs { id_map: "test".to_owned(), attrs: ireko_layer::OverlayAttrs::User };
    let options = ireko_store::OpenOptions { written_as, boot_id: "boot".to_owned(), now: Time::default() };
    let store = Store::open(&dir.join("store"), options).expect("a store");
    Packages::read(&store, packages, filter, Time::new(3, 0)).expect("read")
}

#[test]
fn each_package_is_a_layer_and_the_most_wanted_is_first() {
    let dir = tempfile::tempdir().expect("a directory");
    let app = deb(
        dir.path(),
        "app",
        "Depends: lib (>= 1), data | other\nPre-Depends: base:any\n",
        &[("usr/bin/app", "-> ../share/app/run"), ("usr/share/app/run", "run"), ("usr/share/doc/app/x", "x")],
    );
    let lib = deb(dir.path(), "lib", "Depends: base\n", &[("lib/lib.so", "lib")]);
    let base = deb(dir.path(), "libbase", "Provides: base (= 2)\n", &[("usr/lib/base.so", "base")]);
    let packages = read(dir.path(), vec![app, lib, base], PathFilter::slim());
    let pieces = packages.pieces();
    let said: Vec<(String, Vec<String>)> = pieces
        .iter()
        .map(|piece| (piece.title.clone(), piece.files().map(|(path, _)| path).collect()))
        .collect();
    let record = |name: &str| {
        [format!("/var/lib/dpkg/status.d/{name}"), format!("/var/lib/dpkg/status.d/{name}.md5sums")]
    };
    let with = |first: &str, name: &str| [vec![first.to_owned()], record(name).to_vec()].concat();
    assert_eq!(said[0], ("directories and links".to_owned(), vec![]));
    assert_eq!(said[1], ("libbase".to_owned(), with("/usr/lib/base.so", "libbase")));
    assert_eq!(said[2], ("lib".to_owned(), with("/usr/lib/lib.so", "lib")));
    assert_eq!(said[3], ("app".to_owned(), with("/usr/share/app/run", "app")));
    let dir_of = |piece: &Piece| {
        let found = piece.changes.iter().find(|change| change.path.as_bytes() == b"usr/lib");
        found.map(|change| change.meta.mtime)
    };
    assert_eq!(dir_of(&pieces[1]), Some(Time::new(3, 0)), "a directory has the time of the image");
    assert_eq!(packages.programs("app"), ["/usr/bin/app"]);
    assert_eq!(packages.owner("/usr/lib/lib.so"), Some("lib"));
    let end = ireko_slim::follow(&packages, "/bin/app").expect("readable").expect("there");
    assert_eq!(end.path, "/usr/share/app/run");
    let records = packages.records(["/usr/lib/base.so"].into_iter()).expect("read").expect("one");
    assert_eq!(records.files().map(|(path, _)| path).collect::<Vec<_>>(), record("libbase")[..1]);
}

#[test]
fn what_scripts_would_make_of_certificates_is_made() {
    let dir = tempfile::tempdir().expect("a directory");
    let files = [
        ("usr/share/ca-certificates/mozilla/b.crt", "B"),
        ("usr/share/ca-certificates/mozilla/a.crt", "A\n"),
        ("usr/share/ca-certificates/mozilla/a.txt", "no certificate\n"),
    ];
    let packages =
        read(dir.path(), vec![deb(dir.path(), "ca-certificates", "", &files)], PathFilter::default());
    let mut bundle = String::new();
    use std::io::Read as _;
    packages
        .open("/etc/ssl/certs/ca-certificates.crt")
        .expect("there")
        .read_to_string(&mut bundle)
        .expect("text");
    assert_eq!(bundle, "A\nB\n");
}

/// What names and targets of hostile packages are made of: enough to meet, to climb and to link in circles.
const PLACES: [&str; 18] = [
    "./",
    "a",
    "b",
    "a/b",
    "a/b/c",
    "a/a",
    "b/a",
    "usr/a",
    "usr/bin",
    "bin/x",
    "lib64",
    "bin",
    "../a",
    "/a/b",
    "usr/../../b",
    "var/lib/dpkg/status.d",
    "etc/x",
    "etc",
];
const KINDS: [u8; 8] = *b"00551236";

/// A header of a tar for a name of any form, and the bytes of a file.
fn entry((kind, name, link): (usize, usize, usize)) -> Vec<u8> {
    let (kind, name, link) = (KINDS[kind], PLACES[name], PLACES[link]);
    let body: &[u8] = if kind == b'0' { b"text" } else { b"" };
    let mut block = [0_u8; 512];
    block[..name.len()].copy_from_slice(name.as_bytes());
    block[100..108].copy_from_slice(b"0000755\0");
    block[108..116].copy_from_slice(b"0000000\0");
    block[116..124].copy_from_slice(b"0000000\0");
    block[124..136].copy_from_slice(format!("{:011o}\0", body.len()).as_bytes());
    block[136..148].copy_from_slice(b"00000000012\0");
    block[148..156].copy_from_slice(b"        ");
    block[156] = kind;
    block[157..157 + link.len()].copy_from_slice(link.as_bytes());
    block[257..265].copy_from_slice(b"ustar\x0000");
    block[329..345].copy_from_slice(b"0000001\x000000003\x00");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    let mut out = block.to_vec();
    out.extend(body);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(48))]

    /// Whatever two packages hold: they are refused by name, or make layers that can be written.
    #[test]
    fn any_two_packages_are_refused_or_make_layers(
        one in proptest::collection::vec((0..8_usize, 0..18_usize, 0..18_usize), 0..7),
        other in proptest::collection::vec((0..8_usize, 0..18_usize, 0..18_usize), 0..7),
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let named = |name: &str, entries: Vec<(usize, usize, usize)>| {
            let data = [entries.into_iter().flat_map(entry).collect(), vec![0; 1024]].concat();
            let whole = deb(dir.path(), name, "", &[]).package;
            let control = whole.control().into_owned();
            let mut tar = Vec::new();
            let mut writer = LayerWriter::new().sink(&mut tar);
            let kind = ChangeKind::File(Data::memory(control.into_bytes()));
            let path = TreePath::new("control").expect("a path");
            writer.push(Change::new(path, Meta::new(0o644, Time::default()), kind)).expect("written");
            writer.finish().expect("written");
            let mut out = b"!<arch>\n".to_vec();
            for (member, bytes) in [("debian-binary", b"2.0\n".to_vec()), ("control.tar", tar), ("data.tar", data)] {
                let size = bytes.len();
                out.extend(format!("{member:<16}{:<12}{:<6}{:<6}{:<8}{size:<10}`\n", 0, 0, 0, 100644).into_bytes());
                out.extend(bytes);
            }
            std::fs::write(dir.path().join(name), out).expect("written");
            Named { name: name.to_owned(), package: Package::open(&dir.path().join(name)).expect("a package") }
        };
        let packages = vec![named("one", one), named("other", other)];
        let written_as =
            ireko_store::WrittenAs { id_map: "test".to_owned(), attrs: ireko_layer::OverlayAttrs::User };
        let options = ireko_store::OpenOptions { written_as, boot_id: "boot".to_owned(), now: Time::default() };
        let store = Store::open(&dir.path().join("store"), options).expect("a store");
        let time = Time::new(3, 0);
        match Packages::read(&store, packages.clone(), PathFilter::default(), time) {
            Ok(packages) => {
                for piece in packages.pieces() {
                    crate::write(&store, &piece).expect("a layer");
                }
            }
            Err(Error::Files { package, .. } | Error::Clash { package, .. }) => {
                proptest::prop_assert!(["one", "other"].contains(&package.as_str()));
            }
            Err(error) => panic!("{error}"),
        }
        match crate::distroless::layer(&store, &packages, time) {
            Ok(_) | Err(Error::Files { .. } | Error::Clash { .. }) => {}
            Err(error) => panic!("{error}"),
        }
    }
}
