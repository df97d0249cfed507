//! What was in the store and is not any more: made again, or told, and never a wrong result.

use crate::support::Place;
use std::fs;
use std::path::{Path, PathBuf};

const DOCKERFILE: &str = "FROM base AS one\nCOPY a /a\nRUN cp /a /b\nFROM base\nCOPY --from=one /b /b\nRUN cat /b >/c\nWORKDIR /w\n";

fn place() -> Option<Place> {
    let place = Place::with_base()?;
    place.file("a", "1");
    place.built(DOCKERFILE);
    Some(place)
}

/// Every entry of a directory of the store, but those of the base, which nothing here could make again.
fn entries(place: &Place, dir: &str) -> Vec<PathBuf> {
    let base = place.layers("base");
    let entries = fs::read_dir(place.store().join(dir)).expect("a directory").flatten();
    let of_base = |path: &Path| base.iter().any(|diff| mentions(path, diff));
    entries.map(|entry| entry.path()).filter(|path| !of_base(path)).collect()
}

/// Whether a tar, a layer or an unpacked layer is of this diff id.
fn mentions(path: &Path, diff: &str) -> bool {
    let name = path.file_name().expect("a name").to_string_lossy();
    let record = fs::read(path.join("record")).unwrap_or_default();
    name.contains(diff) || String::from_utf8_lossy(&record).contains(diff)
}

/// Sound, once the nameless image whose layers were taken away is gone.
fn sound(place: &Place) {
    place.ireko(&["cache", "prune", "--all", "-f"]).ok();
    place.sound();
}

fn remove(path: &Path) {
    let gone = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
    gone.expect("removed");
}

/// Every file below a directory.
fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            path if path.is_dir() => found.extend(files(&path)),
            path => found.push(path),
        }
    }
    found
}

#[test]
fn lost_forms_of_layers_are_made_again() {
    for lost in
        [&["tars"][..], &["snapshots"], &["tars", "snapshots"], &["layers"], &["tars", "snapshots", "layers"]]
    {
        let Some(place) = place() else { return };
        let before = place.contents("app");
        for dir in lost {
            entries(&place, dir).iter().for_each(|path| remove(path));
        }
        // An unchanged build, then one that must run on what is lost, then an export of it.
        place.build(&[]).ok();
        place.built(&format!("{DOCKERFILE}RUN cat /b /c >/d\n"));
        assert_eq!(place.inside("cat /b /c /d"), "1111", "without {lost:?}");
        place.ireko(&["build", "-q", "-t", "app", "-o", "type=oci,dest=out.tar", "context"]).ok();
        place.ireko(&["build", "-q", "-t", "app", "-o", "type=local,dest=out", "context"]).ok();
        assert_eq!(fs::read_to_string(place.path("out/d")).expect("a file"), "11");
        assert_eq!(place.contents("app")[..before.len()], before[..], "without {lost:?}");
        sound(&place);
    }
}

#[test]
fn an_unchanged_build_gives_a_whole_image_though_all_forms_were_lost() {
    let Some(place) = place() else { return };
    for dir in ["tars", "snapshots"] {
        entries(&place, dir).iter().for_each(|path| remove(path));
    }
    place.build(&[]).ok();
    assert_eq!(place.inside("cat /b /c"), "11");
    sound(&place);
}

#[test]
fn a_run_of_an_image_that_lost_a_layer_says_so() {
    let Some(place) = place() else { return };
    for dir in ["tars", "snapshots"] {
        entries(&place, dir).iter().for_each(|path| remove(path));
    }
    let said = place.ireko(&["run", "--rm", "app", "true"]);
    assert_eq!(said.code, 125, "{}", said.stderr);
    assert!(said.stderr.contains("layer") && said.stderr.contains("sha256:"), "{}", said.stderr);
    place.ireko(&["save", "-o", "app.tar", "app"]).fails(3, &["sha256:"]);
    assert!(!place.path("app.tar").exists());
}

#[test]
fn lost_blobs_are_compressed_again() {
    let Some(place) = place() else { return };
    let export = || {
        place.ireko(&["build", "-q", "-t", "app", "-o", "type=oci,dest=out.tar", "context"]).ok();
        fs::read(place.path("out.tar")).expect("an archive")
    };
    let before = export();
    for path in files(&place.store().join("blobs")) {
        remove(&path);
    }
    // Base and image went with their configs; both builds find their steps again.
    place.ireko(&["build", "-q", "-t", "base", "base"]).ok();
    let after = export();
    assert_eq!(place.inside("cat /b /c"), "11");
    assert_eq!(before, after);
    place.sound();
}

/// What is left of a file.
type Damage = fn(&[u8]) -> Vec<u8>;

/// Damages every file of one kind, in one way after the other, and builds.
#[test]
fn damaged_files_are_misses() {
    let damages: &[Damage] = &[
        |_| Vec::new(),
        |bytes| bytes[..bytes.len() / 2].to_vec(),
        |bytes| [bytes, b"x"].concat(),
        |bytes| {
            bytes
                .iter()
                .enumerate()
                .map(|(at, byte)| if at == bytes.len() - 1 { byte ^ 1 } else { *byte })
                .collect()
        },
        |bytes| vec![0; bytes.len()],
    ];
    let Some(place) = place() else { return };
    let contents = place.contents("app");
    for kind in ["records", "trees", "inputs", "steps", "memo", "stat"] {
        for (at, damage) in damages.iter().enumerate() {
            place.build(&[]).ok();
            for path in files(&place.store().join(kind)) {
                let bytes = fs::read(&path).expect("a file");
                fs::write(&path, damage(&bytes)).expect("a file");
            }
            let said = place.build(&[]).ok();
            assert_eq!(place.contents("app"), contents, "{kind}, damage {at}: {}", said.stderr);
            if kind == "records" {
                assert!(said.stderr.contains("warning"), "damage {at}: {}", said.stderr);
            }
            // A change on top of it is right, too.
            place.file("a", &format!("{kind}{at}"));
            place.build(&[]).ok();
            assert_eq!(place.inside("cat /c"), format!("{kind}{at}"));
            place.file("a", "1");
            place.build(&[]).ok();
            place.ireko(&["cache", "fsck", "--repair"]);
            place.sound();
        }
    }
}

#[test]
fn damaged_layers_are_found() {
    let Some(place) = place() else { return };
    for diff in place.layers("app") {
        if place.layers("base").contains(&diff) {
            continue;
        }
        fs::write(place.store().join("layers").join(&diff).join("index"), "ireko index 1 x\n")
            .expect("a file");
    }
    let said = place.build(&[]).ok();
    assert!(said.stderr.contains("warning"), "{}", said.stderr);
    assert_eq!(place.inside("cat /b /c"), "11");
    place.built(&format!("{DOCKERFILE}COPY --from=one /b /d\nRUN cat /b /c /d >/e\n"));
    assert_eq!(place.inside("cat /e"), "111");

    // A tar with other bytes is never exported.
    for tar in entries(&place, "tars") {
        let mut bytes = fs::read(&tar).expect("a tar");
        bytes[0] ^= 1;
        fs::write(&tar, bytes).expect("a tar");
    }
    let said = place.ireko(&["cache", "fsck"]);
    assert_eq!(said.code, 3, "{}", said.stdout);
    assert!(
        said.stdout.contains("damaged: layer sha256:") && said.stdout.contains("\nmended: nothing"),
        "{}",
        said.stdout
    );
    let said = place.ireko(&["cache", "fsck", "--repair"]);
    assert!(
        said.stdout.contains("\nmended: ") && !said.stdout.contains("mended: nothing"),
        "{}",
        said.stdout
    );
    place.build(&[]).ok();
    assert_eq!(place.inside("cat /e"), "111");
    sound(&place);
}
