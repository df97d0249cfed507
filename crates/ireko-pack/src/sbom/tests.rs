//! Documents of bills, made up and of what dpkg knows.

use super::*;
use crate::error::Error;
use ireko_slim::Dir;
use proptest::prelude::*;
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn package(name: &str, needs: &[usize]) -> Package {
    Package {
        name: name.to_owned(),
        version: "1:2.0+b~1".to_owned(),
        architecture: "amd64".to_owned(),
        source: (format!("{name}-src"), "1:2.0".to_owned()),
        maintainer: "Some One <one@example.org>".to_owned(),
        homepage: "https://example.org/".to_owned(),
        summary: "a package".to_owned(),
        licence: Some("(GPL-2.0-only OR MIT) AND ISC".to_owned()),
        needs: needs.to_vec(),
        ..Package::default()
    }
}

fn file(path: &str, owner: Option<usize>) -> File {
    let sha256 = Digest::of(path.as_bytes()).hex();
    File { path: path.to_owned(), size: 3, sha1: sha256[..40].to_owned(), sha256, owner }
}

fn bill(packages: Vec<Package>, files: Vec<File>) -> Bill {
    let id = Digest::of(b"config");
    let distribution = Distribution {
        id: "debian".to_owned(),
        version: "12".to_owned(),
        codename: "bookworm".to_owned(),
        title: "Debian GNU/Linux".to_owned(),
    };
    Bill {
        image: Subject {
            name: Some("docker.io/library/app:latest".to_owned()),
            id,
            platform: "linux/amd64".to_owned(),
        },
        distribution: Some(distribution),
        is_system: true,
        packages,
        files,
        time: Timestamp::EPOCH,
        version: "0.1.0".to_owned(),
    }
}

fn rendered(bill: &Bill, format: Format) -> Value {
    serde_json::from_str(&bill.render(format)).expect("JSON")
}

fn texts<'a>(value: &'a Value, name: &str) -> Vec<&'a str> {
    let rows = value.as_array().map(Vec::as_slice).unwrap_or_default();
    rows.iter().map(|row| row[name].as_str().unwrap_or_default()).collect()
}

fn has_keys(value: &Value, required: &[&str], known: &[&str]) {
    let object = value.as_object().expect("an object");
    for key in required {
        assert!(object.contains_key(*key), "`{key}` is missing in {value}");
    }
    for (key, value) in object {
        assert!(required.contains(&key.as_str()) || known.contains(&key.as_str()), "`{key}` is unknown");
        assert!(!value.is_null() && value != "", "`{key}` says nothing");
    }
}

/// What the JSON schema of SPDX 2.3 and its clauses 6 to 11 demand of what is used here.
fn check_spdx(document: &Value) {
    let head = ["spdxVersion", "dataLicense", "SPDXID", "name", "documentNamespace", "creationInfo"];
    has_keys(document, &head, &["packages", "files", "relationships"]);
    has_keys(&document["creationInfo"], &["created", "creators"], &[]);
    assert!(!document["documentNamespace"].as_str().expect("a text").contains('#'));
    let mut ids = BTreeSet::from(["SPDXRef-DOCUMENT"]);
    for package in document["packages"].as_array().expect("packages") {
        has_keys(
            package,
            &["SPDXID", "name", "downloadLocation", "filesAnalyzed", "copyrightText", "supplier"],
            &[
                "versionInfo",
                "primaryPackagePurpose",
                "licenseConcluded",
                "licenseDeclared",
                "comment",
                "sourceInfo",
                "externalRefs",
                "checksums",
                "packageFileName",
                "homepage",
                "summary",
                "packageVerificationCode",
                "licenseInfoFromFiles",
            ],
        );
        let analyzed = package["filesAnalyzed"] == true;
        assert_eq!(package.get("packageVerificationCode").is_some(), analyzed, "{package}");
        assert!(ids.insert(package["SPDXID"].as_str().expect("an id")), "twice: {package}");
    }
    for file in document["files"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let known = ["licenseConcluded", "licenseInfoInFiles", "copyrightText", "comment"];
        has_keys(file, &["SPDXID", "fileName", "checksums"], &known);
        assert!(file["fileName"].as_str().expect("a name").starts_with("./"));
        assert_eq!(texts(&file["checksums"], "algorithm"), ["SHA1", "SHA256"]);
        assert!(ids.insert(file["SPDXID"].as_str().expect("an id")), "twice: {file}");
    }
    for id in &ids {
        let rest = id.strip_prefix("SPDXRef-").expect("a prefix");
        assert!(rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte)), "{id}");
    }
    let mut contained = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for relation in document["relationships"].as_array().expect("relations") {
        has_keys(relation, &["spdxElementId", "relationshipType", "relatedSpdxElement"], &[]);
        let side = |name: &str| relation[name].as_str().expect("a text");
        let (one, kind, other) =
            (side("spdxElementId"), side("relationshipType"), side("relatedSpdxElement"));
        assert!(ids.contains(one) && ids.contains(other) && one != other, "{relation}");
        assert!(seen.insert((one, kind, other)), "twice: {relation}");
        match kind {
            "DESCRIBES" => assert_eq!((one, other), ("SPDXRef-DOCUMENT", "SPDXRef-Image")),
            "CONTAINS" => assert!(one == "SPDXRef-Image" && contained.insert(other), "{relation}"),
            "DEPENDS_ON" | "EXPANDED_FROM_ARCHIVE" => {
                assert!(other.starts_with("SPDXRef-Package-"), "{relation}")
            }
            other => panic!("{other}"),
        }
    }
    assert_eq!(contained.len() + 2, ids.len(), "everything but the document and the image is in the image");
}

/// What the JSON schema of CycloneDX 1.6 demands of what is used here.
fn check_cyclonedx(document: &Value) {
    let head = ["$schema", "bomFormat", "specVersion", "serialNumber", "version", "metadata"];
    has_keys(document, &head, &["components", "dependencies"]);
    let uuid =
        document["serialNumber"].as_str().and_then(|text| text.strip_prefix("urn:uuid:")).expect("a UUID");
    let parts: Vec<usize> = uuid.split('-').map(str::len).collect();
    assert_eq!(parts, [8, 4, 4, 4, 12]);
    assert_eq!((&uuid[14..15], "89ab".contains(&uuid[19..20])), ("5", true));
    let mut refs = BTreeSet::from([document["metadata"]["component"]["bom-ref"].as_str().expect("a ref")]);
    let mut left: Vec<&Value> = document["components"].as_array().expect("components").iter().collect();
    while let Some(component) = left.pop() {
        let known = [
            "version",
            "purl",
            "properties",
            "description",
            "publisher",
            "supplier",
            "licenses",
            "hashes",
            "externalReferences",
            "components",
        ];
        has_keys(component, &["bom-ref", "type", "name"], &known);
        assert!(
            ["library", "file", "operating-system"].contains(&component["type"].as_str().expect("a type"))
        );
        assert!(refs.insert(component["bom-ref"].as_str().expect("a ref")), "twice: {component}");
        left.extend(component["components"].as_array().into_iter().flatten());
    }
    let mut from = BTreeSet::new();
    for dependency in document["dependencies"].as_array().expect("dependencies") {
        has_keys(dependency, &["ref", "dependsOn"], &[]);
        assert!(from.insert(dependency["ref"].as_str().expect("a ref")), "twice: {dependency}");
        let on = dependency["dependsOn"].as_array().expect("refs").iter();
        let on: Vec<&str> = on.map(|one| one.as_str().expect("a ref")).collect();
        assert_eq!(on.iter().collect::<BTreeSet<_>>().len(), on.len(), "twice: {dependency}");
        assert!(on.iter().all(|one| refs.contains(one)), "{dependency}");
    }
    assert!(from.iter().all(|one| refs.contains(one)));
}

#[test]
fn a_document_says_what_is_known_and_no_more() {
    let mut libc = package("libc6", &[]);
    libc.sha256 = Some("ab".repeat(32));
    let mut bare = package("bare", &[1, 1, 0]);
    (bare.licence, bare.homepage, bare.maintainer) = (None, "not an address".to_owned(), String::new());
    let files = vec![file("/server", None), file("/lib/libc.so.6", Some(1))];
    let mut bill = bill(vec![bare, libc], files);
    let origin = |address: &str| Origin { sha256: Some("ab".repeat(32)), address: Some(address.to_owned()) };
    let identity = bill.packages[1].identity();
    bill.fetched(&Origins::from([(identity.clone(), origin("http://me:secret@mirror.example/p/libc6.deb"))]));
    let spdx = rendered(&bill, Format::Spdx);
    check_spdx(&spdx);
    assert_eq!(spdx["creationInfo"]["created"], "1970-01-01T00:00:00Z");
    let [image, system, bare, libc] = &spdx["packages"].as_array().expect("packages")[..] else {
        panic!("{spdx}")
    };
    assert_eq!(
        (&image["primaryPackagePurpose"], &system["versionInfo"]),
        (&"CONTAINER".into(), &"12".into())
    );
    assert_eq!((&bare["licenseDeclared"], bare.get("homepage")), (&"NOASSERTION".into(), None));
    assert_eq!(bare["supplier"], "NOASSERTION");
    assert_eq!(libc["licenseDeclared"], "(GPL-2.0-only OR MIT) AND ISC");
    assert_eq!(libc["downloadLocation"], "http://mirror.example/p/libc6.deb");
    assert_eq!(
        (&libc["packageFileName"], &libc["supplier"]),
        (&"libc6.deb".into(), &"Organization: Debian".into())
    );
    assert_eq!(libc["sourceInfo"], "built package from: libc6-src 1:2.0");
    let purl = "pkg:deb/debian/libc6@1:2.0%2Bb~1?arch=amd64&distro=debian-12&upstream=libc6-src%401:2.0";
    assert_eq!(libc["externalRefs"][0]["referenceLocator"], purl);
    let cyclonedx = rendered(&bill, Format::CycloneDx);
    check_cyclonedx(&cyclonedx);
    let components = cyclonedx["components"].as_array().expect("components");
    assert_eq!(texts(&cyclonedx["components"], "name"), ["debian", "bare", "libc6", "/server"]);
    assert_eq!(components[2]["components"][0]["name"], "/lib/libc.so.6");
    assert_eq!(
        (&components[2]["purl"], &components[2]["supplier"]["name"]),
        (&purl.into(), &"Debian".into())
    );
    assert_eq!(cyclonedx["dependencies"][1]["dependsOn"], serde_json::json!([purl]));
    // An address of this machine is nobody's business.
    bill.fetched(&Origins::from([(identity, origin("file:///home/me/libc6.deb"))]));
    assert!(!bill.render(Format::Spdx).contains("/home/me"));
    // Without a distribution and without packages.
    let empty = Bill { distribution: None, packages: Vec::new(), files: Vec::new(), ..bill };
    check_spdx(&rendered(&empty, Format::Spdx));
    check_cyclonedx(&rendered(&empty, Format::CycloneDx));
}

#[test]
fn equal_content_has_one_number_and_other_content_another() {
    let one = bill(vec![package("a", &[1]), package("b", &[])], vec![file("/b", Some(1)), file("/a", None)]);
    let turned =
        bill(vec![package("b", &[]), package("a", &[0])], vec![file("/a", None), file("/b", Some(0))]);
    for format in Format::ALL {
        assert_eq!(one.render(format), turned.render(format));
        let other = Bill { time: Timestamp::from_unix(1, 0), ..one.clone() };
        let number = |bill: &Bill| {
            let document = rendered(bill, format);
            document.get("serialNumber").or(document.get("documentNamespace")).cloned()
        };
        assert_ne!(number(&one), number(&other));
    }
}

#[test]
fn packages_that_no_file_is_of_are_left_out() {
    let packages = vec![package("a", &[1, 2]), package("b", &[2]), package("c", &[0])];
    let mut bill = bill(packages, vec![file("/a", Some(0)), file("/c", Some(2))]);
    bill.keep_owners();
    let names: Vec<&str> = bill.packages.iter().map(|package| package.name.as_str()).collect();
    assert_eq!(names, ["a", "c"]);
    assert_eq!((&bill.packages[0].needs[..], &bill.packages[1].needs[..]), (&[1][..], &[0][..]));
    assert_eq!(bill.files[1].owner, Some(1));
}

proptest! {
    #[test]
    fn every_reference_leads_somewhere(
        names in proptest::collection::vec("[a-c]([+.-][ab])?", 0..6),
        needs in proptest::collection::vec((0usize..8, 0usize..8), 0..12),
        paths in proptest::collection::vec(("/[a-c+_é -]{1,3}", proptest::option::of(0usize..8)), 0..8),
        is_system: bool,
    ) {
        let mut packages: Vec<Package> = names.iter().map(|name| package(name, &[])).collect();
        for (from, to) in needs {
            if let Some(package) = packages.get_mut(from) {
                package.needs.push(to);
            }
        }
        let files = paths.iter().map(|(path, owner)| file(path, *owner)).collect();
        let mut bill = Bill { is_system, ..bill(packages, files) };
        check_spdx(&rendered(&bill, Format::Spdx));
        check_cyclonedx(&rendered(&bill, Format::CycloneDx));
        bill.keep_owners();
        check_spdx(&rendered(&bill, Format::Spdx));
        check_cyclonedx(&rendered(&bill, Format::CycloneDx));
    }
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
    fs::write(path, text).expect("a file");
}

const STATUS: &str = "Package: libc6\nStatus: install ok installed\nArchitecture: amd64\nVersion: 2.36-9\nSource: glibc\n\
    Depends: libgcc-s1\nMaintainer: GNU Libc Maintainers <x@example.org>\nDescription: the C library\n long\n\n\
    Package: libgcc-s1\nStatus: install ok installed\nArchitecture: amd64\nVersion: 12.2.0-14\n\
    Source: gcc-12 (12.2.0-14+x)\nDepends: gcc-12-base (= 12), libc6 (>= 2.35) | other\n\n\
    Package: gone\nStatus: deinstall ok config-files\nArchitecture: amd64\nVersion: 1\n\n\
    Package: tool\nStatus: install ok installed\nArchitecture: all\nVersion: 1\nPre-Depends: virtual (>= 1), libc6\n\n\
    Package: real\nStatus: install ok triggers-pending\nArchitecture: all\nVersion: 1\nProvides: x, virtual (= 1)\n";

#[test]
fn packages_and_owners_by_what_dpkg_knows() {
    let dir = tempfile::tempdir().expect("a directory");
    let root = dir.path();
    write(root, "var/lib/dpkg/status", STATUS);
    write(root, "var/lib/dpkg/info/libc6:amd64.list", "/.\n/lib/x86/libc.so.6\n/usr/bin/ldd\n");
    write(root, "var/lib/dpkg/info/tool.list", "/usr/bin/tool\n/usr/bin/ldd\n/usr/bin/other\n");
    write(root, "var/lib/dpkg/info/real.list", "/usr/bin/tool\n");
    write(root, "var/lib/dpkg/diversions", "/usr/bin/tool\n/usr/bin/tool.old\ntool\n");
    write(root, "usr/lib/x86/libc.so.6", "elf");
    write(root, "usr/lib/os-release", "NAME=\"Debian GNU/Linux\"\nID=debian\nVERSION_ID=\"12\"\n");
    write(
        root,
        "usr/share/doc/real/copyright",
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n\nFiles: *\nLicense: Expat\n",
    );
    std::os::unix::fs::symlink("usr/lib", root.join("lib")).expect("a link");
    std::os::unix::fs::symlink("real", root.join("usr/share/doc/tool")).expect("a link");
    let root = Dir::new(root);
    let database = Database::read(&root).expect("readable");
    let rows: Vec<_> = database
        .packages
        .iter()
        .map(|package| {
            (package.name.as_str(), package.source.0.as_str(), package.source.1.as_str(), &package.needs[..])
        })
        .collect();
    assert_eq!(
        rows,
        [
            ("libc6", "glibc", "2.36-9", &[1][..]),
            ("libgcc-s1", "gcc-12", "12.2.0-14+x", &[0]),
            ("tool", "tool", "1", &[3, 0]),
            ("real", "real", "1", &[]),
        ]
    );
    assert_eq!(database.packages[0].summary, "the C library");
    let paths =
        ["/usr/lib/x86/libc.so.6", "/usr/bin/ldd", "/usr/bin/tool", "/usr/bin/tool.old", "/usr/bin/none"];
    let owners = database.owners(&root, &paths.map(str::to_owned).into()).expect("readable");
    let of = |path: &str| owners.get(path).map(|at| database.packages[*at].name.as_str());
    assert_eq!(paths.map(of), [Some("libc6"), Some("libc6"), Some("tool"), Some("real"), None]);
    let mut packages = database.packages.clone();
    licences(&root, &mut packages).expect("readable");
    let found: Vec<_> = packages.iter().map(|package| package.licence.as_deref()).collect();
    assert_eq!(found, [None, None, Some("MIT"), Some("MIT")]);
    let distribution = distribution(&root).expect("readable").expect("there");
    assert_eq!((distribution.id.as_str(), distribution.version.as_str()), ("debian", "12"));
}

#[test]
fn packages_of_an_image_without_dpkg() {
    let dir = tempfile::tempdir().expect("a directory");
    write(
        dir.path(),
        "var/lib/dpkg/status.d/base",
        "Package: base-files\nVersion: 12.4\nArchitecture: amd64\n",
    );
    write(
        dir.path(),
        "var/lib/dpkg/status.d/base.md5sums",
        "d41d8cd98f00b204e9800998ecf8427e  etc/debian_version\n",
    );
    let root = Dir::new(dir.path());
    let database = Database::read(&root).expect("readable");
    assert_eq!(
        database.packages[0].identity(),
        ("base-files".to_owned(), "12.4".to_owned(), "amd64".to_owned())
    );
    let owners = database.owners(&root, &["/etc/debian_version".to_owned()].into()).expect("readable");
    assert_eq!(owners.get("/etc/debian_version"), Some(&0));
    write(dir.path(), "var/lib/dpkg/status.d/base", "<html>\n");
    assert!(matches!(Database::read(&root), Err(Error::Database { .. })));
    let nothing = tempfile::tempdir().expect("a directory");
    assert_eq!(Database::read(&Dir::new(nothing.path())).expect("readable"), Database::default());
}
