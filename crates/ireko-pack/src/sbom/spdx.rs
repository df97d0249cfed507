//! SPDX 2.3 as JSON.

use super::{Bill, File, Format, Package, TOOL, hex, purl, uuid};
use ireko_oci::Digest;
use serde_json::{Map, Value, json};
use sha1::{Digest as _, Sha1};

const DOCUMENT: &str = "SPDXRef-DOCUMENT";
const IMAGE: &str = "SPDXRef-Image";
const SYSTEM: &str = "SPDXRef-OperatingSystem";
const NONE: &str = "NOASSERTION";

/// The document of a settled bill.
pub(super) fn document(bill: &Bill) -> Value {
    let mut packages = vec![image(bill)];
    packages.extend(system(bill));
    packages.extend(bill.packages.iter().map(|package| self::package(package, bill)));
    let mut document = json!({
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": DOCUMENT,
        "name": bill.title(),
        "creationInfo": {
            "created": bill.time.to_string(),
            "creators": [format!("Tool: {TOOL}-{}", bill.version)],
        },
        "packages": packages,
        "relationships": relationships(bill),
    });
    if !bill.files.is_empty() {
        document["files"] = bill.files.iter().map(file).collect();
    }
    let uuid = uuid(Format::Spdx, &document.to_string());
    document["documentNamespace"] = json!(format!("https://spdx.org/spdxdocs/{TOOL}-{uuid}"));
    document
}

fn image(bill: &Bill) -> Value {
    let mut image = json!({
        "SPDXID": IMAGE,
        "name": bill.title(),
        "versionInfo": bill.image.id.to_string(),
        "primaryPackagePurpose": "CONTAINER",
        "downloadLocation": NONE,
        "supplier": NONE,
        "filesAnalyzed": !bill.files.is_empty(),
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "comment": format!("container image for {}; its version is the digest of its config", bill.image.platform),
    });
    if !bill.files.is_empty() {
        image["packageVerificationCode"] = json!({"packageVerificationCodeValue": verification(&bill.files)});
        image["licenseInfoFromFiles"] = json!([NONE]);
    }
    image
}

/// SHA-1 of the sorted SHA-1s of all files (SPDX 2.3, 7.9).
fn verification(files: &[File]) -> String {
    let mut sums: Vec<&str> = files.iter().map(|file| file.sha1.as_str()).collect();
    sums.sort_unstable();
    hex(&Sha1::digest(sums.concat()))
}

fn system(bill: &Bill) -> Option<Value> {
    let distribution = bill.distribution.as_ref().filter(|_| bill.is_system)?;
    let version = [&distribution.version, &distribution.codename].into_iter().find(|text| !text.is_empty());
    let mut system = json!({
        "SPDXID": SYSTEM,
        "name": distribution.id,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "downloadLocation": NONE,
        "supplier": NONE,
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
    });
    put(&mut system, "versionInfo", version.map_or("", String::as_str));
    put(&mut system, "summary", &distribution.title);
    Some(system)
}

fn package(package: &Package, bill: &Bill) -> Value {
    let (source, version) = &package.source;
    let mut value = json!({
        "SPDXID": package_id(package),
        "name": package.name,
        "versionInfo": package.version,
        "downloadLocation": package.address.as_deref().unwrap_or(NONE),
        "supplier": supplier(package, bill),
        "filesAnalyzed": false,
        "licenseConcluded": NONE,
        "licenseDeclared": package.licence.as_deref().unwrap_or(NONE),
        "copyrightText": NONE,
        // In the words that scanners read a source package from.
        "sourceInfo": format!("built package from: {source} {version}"),
        "externalRefs": [{
            "referenceCategory": "PACKAGE-MANAGER",
            "referenceType": "purl",
            "referenceLocator": purl::of(package, bill.distribution.as_ref()),
        }],
    });
    if let Some(sha256) = &package.sha256 {
        value["checksums"] = json!([{"algorithm": "SHA256", "checksumValue": sha256}]);
    }
    let file = package.address.as_deref().and_then(|address| address.rsplit('/').next());
    put(&mut value, "packageFileName", file.unwrap_or_default());
    if super::is_web(&package.homepage) {
        put(&mut value, "homepage", &package.homepage);
    }
    put(&mut value, "summary", &package.summary);
    if !package.maintainer.is_empty() {
        value["comment"] = json!(format!("maintainer: {}", package.maintainer));
    }
    value
}

/// Who ships a package: known where it was fetched from the archive of the distribution.
fn supplier(package: &Package, bill: &Bill) -> String {
    match bill.vendor(package) {
        Some(vendor) => format!("Organization: {vendor}"),
        None => NONE.to_owned(),
    }
}

fn file(file: &File) -> Value {
    json!({
        "SPDXID": file_id(file),
        "fileName": format!(".{}", file.path),
        "checksums": [
            {"algorithm": "SHA1", "checksumValue": file.sha1},
            {"algorithm": "SHA256", "checksumValue": file.sha256},
        ],
        "licenseConcluded": NONE,
        "licenseInfoInFiles": [NONE],
        "copyrightText": NONE,
        "comment": format!("{} bytes", file.size),
    })
}

fn relationships(bill: &Bill) -> Vec<Value> {
    let mut all = Vec::new();
    let mut relate = |one: &str, kind: &str, other: &str| {
        all.push(json!({"spdxElementId": one, "relationshipType": kind, "relatedSpdxElement": other}));
    };
    relate(DOCUMENT, "DESCRIBES", IMAGE);
    if bill.distribution.is_some() && bill.is_system {
        relate(IMAGE, "CONTAINS", SYSTEM);
    }
    let ids: Vec<String> = bill.packages.iter().map(package_id).collect();
    for (package, id) in bill.packages.iter().zip(&ids) {
        relate(IMAGE, "CONTAINS", id);
        for need in package.needs.iter().filter_map(|need| ids.get(*need)) {
            relate(id, "DEPENDS_ON", need);
        }
    }
    for file in &bill.files {
        let id = file_id(file);
        relate(IMAGE, "CONTAINS", &id);
        // A package that is here in part cannot be said to contain it: its other files are not known.
        if let Some(owner) = file.owner.and_then(|owner| ids.get(owner)) {
            relate(&id, "EXPANDED_FROM_ARCHIVE", owner);
        }
    }
    all
}

fn package_id(package: &Package) -> String {
    let Package { name, version, architecture, .. } = package;
    let whole = format!("{name}\n{version}\n{architecture}");
    format!("SPDXRef-Package-{}-{}", plain(name), short(&whole))
}

fn file_id(file: &File) -> String {
    let name = file.path.rsplit('/').next().unwrap_or_default();
    format!("SPDXRef-File-{}-{}", plain(name), short(&file.path))
}

/// What an identifier may hold.
fn plain(text: &str) -> String {
    text.chars()
        .map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' })
        .collect()
}

/// Enough of a digest to tell one from all others.
fn short(text: &str) -> String {
    Digest::of(text.as_bytes()).hex().chars().take(16).collect()
}

/// Sets a field that has something to say.
fn put(value: &mut Value, name: &str, text: &str) {
    if !text.is_empty() {
        value.as_object_mut().unwrap_or(&mut Map::new()).insert(name.to_owned(), json!(text));
    }
}
