//! CycloneDX 1.6 as JSON.

use super::{Bill, File, Format, Package, TOOL, purl, uuid};
use serde_json::{Value, json};

const IMAGE: &str = "image";
const SYSTEM: &str = "operating-system";

/// The document of a settled bill.
pub(super) fn document(bill: &Bill) -> Value {
    let refs: Vec<String> =
        bill.packages.iter().map(|package| purl::of(package, bill.distribution.as_ref())).collect();
    let mut components: Vec<Value> = system(bill).into_iter().collect();
    for (at, package) in bill.packages.iter().enumerate() {
        let mut value = self::package(package, &refs[at], bill);
        let files: Vec<Value> = bill.files.iter().filter(|file| file.owner == Some(at)).map(file).collect();
        if !files.is_empty() {
            value["components"] = json!(files);
        }
        components.push(value);
    }
    components.extend(bill.files.iter().filter(|file| file.owner.is_none()).map(file));
    let mut document = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "timestamp": bill.time.to_string(),
            "tools": {"components": [{"type": "application", "name": TOOL, "version": bill.version}]},
            "component": {
                "bom-ref": IMAGE,
                "type": "container",
                "name": bill.title(),
                "version": bill.image.id.to_string(),
                "properties": [{"name": "ireko:image:platform", "value": bill.image.platform}],
            },
        },
        "components": components,
        "dependencies": dependencies(bill, &refs),
    });
    let uuid = uuid(Format::CycloneDx, &document.to_string());
    document["serialNumber"] = json!(format!("urn:uuid:{uuid}"));
    document
}

fn system(bill: &Bill) -> Option<Value> {
    let distribution = bill.distribution.as_ref().filter(|_| bill.is_system)?;
    let mut system = json!({"bom-ref": SYSTEM, "type": "operating-system", "name": distribution.id});
    let version = [&distribution.version, &distribution.codename].into_iter().find(|text| !text.is_empty());
    if let Some(version) = version {
        system["version"] = json!(version);
    }
    if !distribution.title.is_empty() {
        system["description"] = json!(distribution.title);
    }
    Some(system)
}

fn package(package: &Package, purl: &str, bill: &Bill) -> Value {
    let (source, version) = &package.source;
    let mut value = json!({
        "bom-ref": purl,
        "type": "library",
        "name": package.name,
        "version": package.version,
        "purl": purl,
        "properties": [
            {"name": "ireko:deb:architecture", "value": package.architecture},
            {"name": "ireko:deb:source", "value": source},
            {"name": "ireko:deb:source-version", "value": version},
        ],
    });
    if !package.summary.is_empty() {
        value["description"] = json!(package.summary);
    }
    if !package.maintainer.is_empty() {
        value["publisher"] = json!(package.maintainer);
    }
    if let Some(vendor) = bill.vendor(package) {
        value["supplier"] = json!({"name": vendor});
    }
    if let Some(licence) = &package.licence {
        let is_one = !licence.contains(' ');
        value["licenses"] = match is_one {
            true => json!([{"license": {"id": licence}}]),
            false => json!([{"expression": licence}]),
        };
    }
    let mut links = Vec::new();
    if super::is_web(&package.homepage) {
        links.push(json!({"type": "website", "url": package.homepage}));
    }
    if let Some(address) = &package.address {
        let mut link = json!({"type": "distribution", "url": address});
        if let Some(sha256) = &package.sha256 {
            link["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
        }
        links.push(link);
    }
    if let Some(sha256) = &package.sha256 {
        value["hashes"] = json!([{"alg": "SHA-256", "content": sha256}]);
    }
    if !links.is_empty() {
        value["externalReferences"] = json!(links);
    }
    value
}

fn file_ref(file: &File) -> String {
    format!("file:{}", file.path)
}

fn file(file: &File) -> Value {
    json!({
        "bom-ref": file_ref(file),
        "type": "file",
        "name": file.path,
        "hashes": [{"alg": "SHA-256", "content": file.sha256}],
        "properties": [{"name": "ireko:file:size", "value": file.size.to_string()}],
    })
}

/// What the image consists of, and what packages need.
fn dependencies(bill: &Bill, refs: &[String]) -> Vec<Value> {
    let own = bill.files.iter().filter(|file| file.owner.is_none()).map(file_ref);
    let mut whole: Vec<String> = refs.iter().cloned().chain(own).collect();
    whole.extend(system(bill).map(|_| SYSTEM.to_owned()));
    whole.sort();
    let mut all = vec![json!({"ref": IMAGE, "dependsOn": whole})];
    for (package, name) in bill.packages.iter().zip(refs) {
        let mut needs: Vec<&String> = package.needs.iter().filter_map(|need| refs.get(*need)).collect();
        needs.sort();
        all.push(json!({"ref": name, "dependsOn": needs}));
    }
    all
}
