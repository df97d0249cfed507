//! Whose certificates are trusted, and which are shown.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::{HostList, HttpError, Options};

/// What connections are made with.
pub(super) struct Trust {
    provider: Arc<CryptoProvider>,
    roots: RootCertStore,
    dirs: Vec<PathBuf>,
    identity: Option<(PathBuf, PathBuf)>,
    unverified: HostList,
    authorities: Vec<(String, PathBuf)>,
    identities: Vec<(String, PathBuf, PathBuf)>,
}

impl Trust {
    pub(super) fn load(options: &Options) -> Result<Self, HttpError> {
        let mut roots = RootCertStore::empty();
        // A machine without certificates can still pull over plain HTTP, or with a file of its own; if neither is
        // the case, the handshake says that the issuer is unknown.
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        for path in &options.ca_files {
            add(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let (dirs, unverified) = (options.certificate_dirs.clone(), options.unverified.clone());
        let (authorities, identities) = (options.authorities.clone(), options.identities.clone());
        let identity = options.identity.clone();
        Ok(Self { provider, roots, dirs, identity, unverified, authorities, identities })
    }

    /// No host has anything of its own.
    pub(super) fn is_same_everywhere(&self) -> bool {
        let nothing_named = self.authorities.is_empty() && self.identities.is_empty();
        self.dirs.is_empty() && self.unverified.is_empty() && nothing_named
    }

    /// What is used where a host has nothing of its own.
    pub(super) fn everywhere(&self) -> Result<ClientConfig, HttpError> {
        let builder = self.builder().with_root_certificates(self.roots.clone());
        shown(builder, self.identity.as_ref())
    }

    /// What is used for a host, if that is something of its own: the layout of Docker's and Podman's `certs.d`,
    /// where a directory named after host and port has `*.crt` with authorities, and `NAME.cert` with `NAME.key`.
    pub(super) fn at(&self, host: &str) -> Result<Option<ClientConfig>, HttpError> {
        let mut own = own_files(&self.dirs, host)?;
        let named = self.authorities.iter().filter(|(named, _)| named == host);
        own.authorities.extend(named.map(|(_, path)| path.clone()));
        if let Some((_, certificate, key)) = self.identities.iter().find(|(named, ..)| named == host) {
            own.pair = Some((certificate.clone(), key.clone()));
        }
        let is_listed = self.unverified.contains(host);
        // Nobody else can pretend to be this machine; without authorities of its own any certificate does, as for Docker.
        let anyone = is_listed || own.authorities.is_empty() && super::is_this_machine(host);
        if own.authorities.is_empty() && own.pair.is_none() && !anyone {
            return Ok(None);
        }
        let builder = if anyone {
            let anyone = Arc::new(Anyone(Arc::clone(&self.provider)));
            self.builder().dangerous().with_custom_certificate_verifier(anyone)
        } else {
            let mut roots = self.roots.clone();
            for path in &own.authorities {
                add(&mut roots, path)?;
            }
            self.builder().with_root_certificates(roots)
        };
        shown(builder, own.pair.as_ref().or(self.identity.as_ref())).map(Some)
    }

    fn builder(&self) -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
        ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .expect("ring provides for every default protocol version")
    }
}

/// Adds what is shown of oneself.
fn shown(
    builder: rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>,
    pair: Option<&(PathBuf, PathBuf)>,
) -> Result<ClientConfig, HttpError> {
    let Some((certificate, key)) = pair else { return Ok(builder.with_no_client_auth()) };
    let chain = certificates(certificate)?;
    let read = PrivateKeyDer::from_pem_file(key);
    let private = read.map_err(|cause| unusable(key, format!("it holds no private key ({cause})")))?;
    builder.with_client_auth_cert(chain, private).map_err(|cause| unusable(certificate, cause.to_string()))
}

/// The files of a host.
#[derive(Default)]
struct OwnFiles {
    authorities: Vec<PathBuf>,
    /// A certificate and its key.
    pair: Option<(PathBuf, PathBuf)>,
}

fn own_files(dirs: &[PathBuf], host: &str) -> Result<OwnFiles, HttpError> {
    let mut own = OwnFiles::default();
    // Host names hold no slash, so this stays below the directory.
    for dir in dirs.iter().map(|dir| dir.join(host)) {
        let Ok(entries) = fs::read_dir(&dir) else { continue };
        let mut paths: Vec<PathBuf> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        paths.sort();
        let named = |path: &&PathBuf, kind: &str| path.extension().is_some_and(|end| end == kind);
        own.authorities.extend(paths.iter().filter(|path| named(path, "crt")).cloned());
        for certificate in paths.iter().filter(|path| named(path, "cert")) {
            let key = certificate.with_extension("key");
            if !key.is_file() {
                return Err(unusable(certificate, format!("its key `{}` is missing", key.display())));
            }
            own.pair.get_or_insert((certificate.clone(), key));
        }
    }
    Ok(own)
}

fn add(roots: &mut RootCertStore, path: &Path) -> Result<(), HttpError> {
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|problem| unusable(path, problem.to_string()))?;
    }
    Ok(())
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, HttpError> {
    let bytes = fs::read(path).map_err(|cause| unusable(path, cause.to_string()))?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|cause| unusable(path, cause.to_string()))?;
    if found.is_empty() {
        return Err(unusable(path, "it holds no certificate in PEM form".to_owned()));
    }
    Ok(found)
}

fn unusable(path: &Path, problem: String) -> HttpError {
    HttpError::Certificates { path: path.to_owned(), problem }
}

/// Takes any certificate, for hosts that are listed as such.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signed, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.0.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signed, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
