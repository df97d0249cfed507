//! `--sbom` of `pack` and `base`, and `ireko sbom`: what they write, where to, and what they refuse. Documents of a
//! whole base: `tests/examples.sh deb-base`; what a document has to have: the unit tests of `ireko-pack`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::Place;

fn read(place: &Place, name: &str) -> Value {
    serde_json::from_slice(&fs::read(place.path(name)).expect("a file")).expect("JSON")
}

/// The rows of an array by one of their texts.
fn rows<'a>(value: &'a Value, key: &str) -> BTreeMap<&'a str, &'a Value> {
    value.as_array().expect("an array").iter().map(|row| (row[key].as_str().expect("a text"), row)).collect()
}

fn sha256(path: &Path) -> String {
    let said = Command::new("sha256sum").arg(path).output().expect("sha256sum");
    String::from_utf8_lossy(&said.stdout).split(' ').next().unwrap_or_default().to_owned()
}

#[test]
fn a_packed_program_and_whose_its_shared_objects_are() {
    let Some(place) = Place::new() else { return };
    fs::write(place.path("source.c"), "int main(){return 0;}").expect("a file");
    let cc = Command::new("cc").args(["-o", "hello", "source.c"]).current_dir(place.path("")).status();
    assert!(cc.expect("a compiler").success());
    let id = place
        .ireko(&["pack", "hello", "-t", "app", "-q", "--sbom", "a.spdx.json", "--sbom", "cyclonedx=b"])
        .ok()
        .stdout;
    let spdx = read(&place, "a.spdx.json");
    assert_eq!(
        (&spdx["spdxVersion"], &spdx["name"]),
        (&"SPDX-2.3".into(), &"docker.io/library/app:latest".into())
    );
    assert_eq!(spdx["creationInfo"]["created"], "1970-01-01T00:00:00Z");
    let packages = rows(&spdx["packages"], "name");
    assert_eq!(packages["docker.io/library/app:latest"]["versionInfo"], id.trim());
    let files = rows(&spdx["files"], "fileName");
    assert_eq!(files["./hello"]["checksums"][1]["checksumValue"], sha256(&place.path("hello")).as_str());
    let libc = files.keys().find(|name| name.ends_with("/libc.so.6")).expect("the C library");
    let cyclonedx = read(&place, "b");
    assert_eq!(cyclonedx["metadata"]["component"]["name"], "docker.io/library/app:latest");
    let components = rows(&cyclonedx["components"], "name");
    assert_eq!(components["/hello"]["type"], "file");
    if Path::new("/var/lib/dpkg/status").exists() {
        let owner = |file: &str| {
            let relations = spdx["relationships"].as_array().expect("an array");
            let of = |row: &&Value| {
                row["spdxElementId"] == files[file]["SPDXID"]
                    && row["relationshipType"] == "EXPANDED_FROM_ARCHIVE"
            };
            relations.iter().find(of).map(|row| row["relatedSpdxElement"].clone())
        };
        assert_eq!((owner("./hello"), owner(libc)), (None, Some(packages["libc6"]["SPDXID"].clone())));
        assert_eq!(packages["libc6"]["sourceInfo"].as_str().map(|text| text.contains(" glibc ")), Some(true));
        let below = rows(&components["libc6"]["components"], "name");
        assert!(below.contains_key(&libc[1..]), "{below:?}");
        // What is packed at another place is still the package's.
        place.ireko(&["pack", "/bin/cat:/tool", "-t", "cat", "--sbom", "c.json"]).ok();
        assert!(rows(&read(&place, "c.json")["packages"], "name").contains_key("coreutils"));
    }
    // Equal files make equal documents, also on standard output, and the image itself knows as much.
    let again = place.ireko(&["pack", "hello", "-t", "app", "--sbom", "-"]).ok();
    assert_eq!(again.stdout, fs::read_to_string(place.path("a.spdx.json")).expect("a file"));
    let told: Value = serde_json::from_str(&place.ireko(&["sbom", "app"]).ok().stdout).expect("JSON");
    assert_eq!(told["files"], spdx["files"]);
    place.sound();
}

#[test]
fn an_image_by_its_own_list_of_packages() {
    let Some(place) = Place::new() else { return };
    let status = "Package: hello\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.10-3\n";
    place.file("root/var/lib/dpkg/status", &format!("{status}Depends: libc6\n"));
    place.file("root/var/lib/dpkg/info/hello.list", "/usr\n/usr/bin/hello\n");
    place.file("root/usr/bin/hello", "a program\n");
    place.file("root/etc/os-release", "ID=debian\nVERSION_ID=\"12\"\n");
    place.file("own", "something\n");
    place.file("../own.c", "int x;\n");
    // The upper layer has another version.
    place.file("later", &status.replace("2.10", "2.12"));
    place.dockerfile("FROM scratch\nCOPY root /\nCOPY later /var/lib/dpkg/status\nCOPY own /own\n");
    place.ireko(&["build", "-t", "app", "context"]).ok();
    let purl = "pkg:deb/debian/hello@2.12-3?arch=amd64&distro=debian-12";
    let told: Value = serde_json::from_str(&place.ireko(&["sbom", "app"]).ok().stdout).expect("JSON");
    assert_eq!(rows(&told["packages"], "name")["hello"]["externalRefs"][0]["referenceLocator"], purl);
    assert_eq!(told.get("files"), None);
    place.ireko(&["sbom", "app", "--files", "-o", "a.cdx.json", "-o", "b.json"]).ok();
    let cyclonedx = read(&place, "a.cdx.json");
    let components = rows(&cyclonedx["components"], "name");
    assert_eq!(
        (&components["hello"]["purl"], &components["debian"]["version"]),
        (&purl.into(), &"12".into())
    );
    assert_eq!(components["hello"]["components"][0]["name"], "/usr/bin/hello");
    assert!(components.contains_key("/own") && read(&place, "b.json")["files"].is_array());
    // Files that are packed out of it, out of a directory, and of a directory at another place, are the package's.
    for base in [
        &["--from", "app", "--include", "/usr/bin/hello"][..],
        &["--root", "context/root", "--include", "/usr/bin/hello"],
        &["--root", "context/root", "context/root/usr/bin/hello:/x"],
    ] {
        place.ireko(&[&["pack", "-t", "packed", "--sbom", "c.json"], base].concat()).ok();
        let names: Vec<String> =
            rows(&read(&place, "c.json")["packages"], "name").into_keys().map(str::to_owned).collect();
        assert_eq!(names, ["docker.io/library/packed:latest", "hello"], "{base:?}");
    }
    // A file of this machine is not what an image has under that path.
    place.ireko(&["pack", "own.c:/usr/bin/hello", "--from", "app", "-t", "packed", "--sbom", "c.json"]).ok();
    assert_eq!(rows(&read(&place, "c.json")["packages"], "name").len(), 1);
    place.ireko(&["sbom", "none"]).fails(2, &["there is no image `none` in the store"]);
    place.ireko(&["sbom", "app", "-o", "none/a"]).fails(2, &["cannot write `none/a` for `-o`"]);
    place.sound();
}

#[test]
fn what_cannot_be_written_is_told_before_anything_is_made() {
    let Some(place) = Place::new() else { return };
    place.file("../data/text", "text\n");
    let said = |args: &[&str], says: &[&str]| {
        place.ireko(&[&["pack", "data", "-t", "app"], args].concat()).fails(2, says);
        place.ireko(&[&["base", "debian:none", "-t", "app"], args].concat()).fails(2, says);
    };
    said(&["--sbom", "xml=a"], &["`--sbom xml=a`: there is no form `xml`", "`./xml=a`"]);
    said(&["--sbom", "spdx="], &["names no file", "`-` is standard output"]);
    said(&["--sbom", "-", "--sbom", "cyclonedx=-"], &["two documents of `--sbom`"]);
    said(&["--sbom", "-", "-q"], &["`--sbom` and the id of the image are both to go to standard output"]);
    said(&["--sbom", "-", "-o", "-"], &["`--sbom` and the image are both to go to standard output"]);
    said(&["--sbom", "none/a"], &["cannot write `none/a` for `--sbom`"]);
    said(&["--sbom", "a", "--iidfile", "./a"], &["are the same place"]);
    said(&["--sbom", "a", "--sbom", "cyclonedx=a"], &["`--sbom a` is given for two results"]);
    assert_eq!(place.ireko(&["images", "-q"]).ok().stdout, "");
    place.sound();
}
