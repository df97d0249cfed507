//! Base images for the engine, and the machine's name servers.

use ireko_exec::{BaseError, BaseLayers};
use ireko_image::Images;
use ireko_oci::Digest;
use std::sync::Arc;

/// The images of a build as a source of layers.
pub(crate) struct Bases(pub(crate) Arc<Images>);

impl BaseLayers for Bases {
    fn bring(&self, config: &Digest, diff: &Digest) -> Result<(), BaseError> {
        self.0.bring(config, diff).map_err(|error| {
            let mut message = error.to_string();
            let mut source = std::error::Error::source(&error);
            while let Some(cause) = source {
                message.push_str(&format!(": {cause}"));
                source = cause.source();
            }
            BaseError { message, hint: error.hint().map(|hint| hint.to_string()), blame: error.blame() }
        })
    }
}

/// The text that steps find in /etc/resolv.conf: the machine's own, and the resolver's real servers where the file
/// names only a stub on this machine that another network namespace could not reach.
pub(crate) fn resolv_conf() -> Vec<u8> {
    let text = std::fs::read("/etc/resolv.conf").unwrap_or_default();
    let servers = |text: &[u8]| -> Vec<String> {
        let text = String::from_utf8_lossy(text);
        text.lines()
            .filter_map(|line| line.trim().strip_prefix("nameserver"))
            .map(|server| server.trim().to_owned())
            .collect()
    };
    if servers(&text) == ["127.0.0.53"]
        && let Ok(real) = std::fs::read("/run/systemd/resolve/resolv.conf")
    {
        return real;
    }
    text
}
