//! `--ca`: further certificate authorities for a build and its steps.

use crate::environment::Environment;
use crate::failure::Failure;
use ireko_exec::Authorities;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where this machine may keep what it trusts.
const MACHINE: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Reads the files; nothing where none is given.
pub(crate) fn read(files: &[PathBuf], environment: &Environment) -> Result<Option<Authorities>, Failure> {
    if files.is_empty() {
        return Ok(None);
    }
    let mut text = Vec::new();
    for path in files {
        let failed = |what: &str| Failure::user(format!("`--ca {}` {what}", path.display()));
        let bytes = fs::read(path).map_err(|error| failed("cannot be read").cause(error))?;
        let has = |part: &[u8]| bytes.windows(part.len()).any(|window| window == part);
        if has(b"PRIVATE KEY-----") {
            return Err(
                failed("holds a private key").hint("give a file with certificates alone: steps can read it")
            );
        }
        if !has(b"-----BEGIN CERTIFICATE-----") && !has(b"-----BEGIN TRUSTED CERTIFICATE-----") {
            return Err(failed("holds no certificate in PEM form")
                .hint("`openssl x509 -inform der -in FILE -out ca.pem` makes PEM of DER"));
        }
        text.extend_from_slice(bytes.trim_ascii());
        text.push(b'\n');
    }
    let named = environment.get("SSL_CERT_FILE").map(Path::new);
    let machine = named.into_iter().chain(MACHINE.iter().map(Path::new)).find_map(|path| fs::read(path).ok());
    Ok(Some(Authorities { text: Arc::new(text), machine: Arc::new(machine.unwrap_or_default()) }))
}
