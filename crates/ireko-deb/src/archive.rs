//! Archives: their lists and packages, fetched from any mirror, and verified before anybody sees them.
//!
//! [`Archive::update`] takes the `InRelease` of a source, believes it only with a signature that counts, and fetches the
//! lists of packages that it names by their hashes; [`Archive::fetch`] takes packages. Bytes are hashed as they
//! arrive. What is whole goes to a cache directory under its SHA-256, which several processes may use at once.

mod cache;
mod error;
mod fetch;
mod intake;
mod packages;
mod update;

use std::sync::atomic::{AtomicU64, Ordering};

use ireko_http::Client;

use crate::logins::Logins;
use crate::openpgp::Keyring;

pub use cache::Cache;
pub use error::ArchiveError;
pub use packages::Package;
pub use update::{List, Place, Updated};

/// Whose signature counts for a source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keys {
    /// Who is trusted.
    pub keyring: Keyring,
    /// Fingerprints of those that must have signed; all of them may where there is none.
    pub only: Vec<String>,
}

/// Hears how many bytes have come, and how many there will be, as far as is known by then.
pub type Watch<'a> = dyn Fn(u64, u64) + Sync + 'a;

/// Fetches from archives.
pub struct Archive<'a> {
    /// Sends the requests; proxies, certificates and patience are its.
    pub client: &'a Client,
    /// Where files are kept.
    pub cache: &'a Cache,
    /// Who one is at which archive.
    pub logins: &'a Logins,
    /// The time, in seconds since 1970.
    pub now: u64,
    /// Whether a Release file that was valid once is good enough, as for a snapshot of the past.
    pub past: bool,
    /// Connections to one host at the same time.
    pub connections: usize,
    /// Hears of the progress.
    pub watch: &'a Watch<'a>,
}

/// The usual number of connections to one host.
pub const CONNECTIONS: usize = 4;

/// Counts bytes for who watches.
struct Meter<'a> {
    done: AtomicU64,
    total: AtomicU64,
    watch: &'a Watch<'a>,
}

impl<'a> Meter<'a> {
    fn new(watch: &'a Watch<'a>) -> Self {
        Self { done: AtomicU64::new(0), total: AtomicU64::new(0), watch }
    }

    fn expect(&self, bytes: u64) {
        self.total.fetch_add(bytes, Ordering::Relaxed);
        self.say();
    }

    /// What was expected will not come.
    fn give_up(&self, bytes: u64) {
        self.total.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn add(&self, bytes: u64) {
        self.done.fetch_add(bytes, Ordering::Relaxed);
        self.say();
    }

    /// What came counts no more: it comes again.
    fn take_back(&self, bytes: u64) {
        self.done.fetch_sub(bytes, Ordering::Relaxed);
    }

    fn say(&self) {
        (self.watch)(self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
    }
}

#[cfg(test)]
mod tests;
