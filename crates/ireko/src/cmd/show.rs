//! `ireko version`, `info` and `manifest`: what is here, and what a registry has.

use crate::cli::show::{ManifestArgs, ShowArgs};
use crate::cli::{Global, Progress};
use crate::environment::Environment;
use crate::failure::Failure;
use crate::session::Session;
use crate::{print, print_json, registries, template};
use ireko_oci::{Document, Platform, Reference};
use ireko_registry::Registry;
use serde_json::{Value, json};

const VERSION: &str = env!("CARGO_PKG_VERSION");

fn tell(format: Option<&str>, document: &Value, text: impl FnOnce() -> String) -> Result<(), Failure> {
    match format {
        Some(format) => print(&template::render(format, document)?),
        None => print(&text()),
    }
    Ok(())
}

/// `ireko version`. One program is both what Docker calls its client and its server.
pub(crate) fn version(args: &ShowArgs) -> Result<(), Failure> {
    let host = Platform::host();
    let one = json!({"Version": VERSION, "Os": host.os, "Arch": host.architecture});
    let document = json!({"Client": one, "Server": one});
    tell(args.format.as_deref(), &document, || {
        format!("Client: ireko\n Version: {VERSION}\n OS/Arch: {host}\n\nServer: none is needed\n")
    })
}

/// `ireko info`.
pub(crate) fn info(args: &ShowArgs, global: &Global, environment: Environment) -> Result<(), Failure> {
    let is_root = rustix::process::geteuid().is_root();
    let home = environment.store(global.home.as_deref(), is_root)?;
    let session = Session::enter(global, environment, Progress::Quiet, false)?;
    let store = session.store()?;
    let (images, snapshotter) = (store.images()?.len(), session.snapshotter(&store)?.to_string());
    let level = session.level.to_string();
    let host = Platform::host();
    let document = json!({
        "ServerVersion": VERSION,
        "Driver": snapshotter,
        "DockerRootDir": home,
        "Images": images,
        "OSType": host.os,
        "Architecture": host.architecture,
        "SecurityOptions": [format!("name={level}")],
    });
    tell(args.format.as_deref(), &document, || {
        format!(
            "Version: {VERSION}\nStore: {}\nImages: {images}\nSnapshotter: {snapshotter}\nSandbox level: {level}\nPlatform: {host}\n",
            home.display()
        )
    })
}

/// `ireko manifest`, as `docker buildx imagetools inspect`.
pub(crate) fn manifest(args: &ManifestArgs, environment: &Environment) -> Result<(), Failure> {
    let name: Reference = args.image.parse().map_err(|error: ireko_oci::OciError| {
        Failure::user(format!("`{}` is no name of an image", args.image)).cause(error)
    })?;
    let name = name.or_latest();
    let options = registries::options(environment, &args.registry, std::slice::from_ref(&name))?;
    let cancel = crate::signals::cancel_on_signals()?;
    let registry = Registry::new(options);
    let aborted = registry.client().clone();
    let _stopping = cancel.on_ask(move || aborted.abort());
    let found = registry.resolve(&name)?;
    if args.raw {
        print(&String::from_utf8_lossy(&found.bytes));
        return Ok(());
    }
    let document = serde_json::from_slice::<Value>(&found.bytes).unwrap_or(Value::Null);
    if args.document {
        // Most are written with indents, in an order that people know.
        match found.bytes.contains(&b'\n') {
            true => print(&format!("{}\n", String::from_utf8_lossy(&found.bytes).trim_end())),
            false => print_json(&document),
        }
        return Ok(());
    }
    let (digest, kind) = (found.digest.to_string(), found.media_type.to_string());
    let mut about = document;
    about["mediaType"] = json!(kind);
    about["digest"] = json!(digest);
    about["size"] = json!(found.bytes.len());
    let whole = json!({"name": name.to_string(), "manifest": about});
    // As buildx prints it.
    if matches!(args.format.as_deref(), Some("json" | "{{json .}}")) {
        print_json(&whole);
        return Ok(());
    }
    tell(args.format.as_deref(), &whole, || {
        let mut text = format!("Name:      {name}\nMediaType: {kind}\nDigest:    {digest}\n");
        if let Ok(Document::Index(index)) = Document::parse(&found.bytes) {
            text.push_str("\nManifests:\n");
            for entry in &index.manifests {
                let one = name.repository().with_digest(entry.digest);
                text.push_str(&format!("  Name:      {one}\n  MediaType: {}\n", entry.media_type));
                if let Some(platform) = &entry.platform {
                    text.push_str(&format!("  Platform:  {platform}\n"));
                }
                text.push('\n');
            }
        }
        text
    })
}
