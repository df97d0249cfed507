//! Packages: many files from a few hosts, several at once.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use super::fetch::{Asked, Target};
use super::intake::Form;
use super::{Archive, ArchiveError, Meter};
use crate::release::Listed;

/// A package's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Where it is, the best place first; see [`List::address`](super::List::address).
    pub addresses: Vec<String>,
    /// Its size and hash.
    pub listed: Listed,
}

type Taken = Result<PathBuf, ArchiveError>;

/// What is to be done for one host.
struct Queue<'a> {
    waiting: VecDeque<(usize, &'a Package)>,
}

impl Archive<'_> {
    /// Fetches packages into the cache, unless they are there, and says where each one is, in the same order.
    ///
    /// # Errors
    /// The first one that could not be had; what came before it stays in the cache.
    pub fn fetch(&self, packages: &[Package]) -> Result<Vec<PathBuf>, ArchiveError> {
        let meter = Meter::new(self.watch);
        let mut found: Vec<Option<Taken>> = Vec::new();
        let mut queues: BTreeMap<&str, Queue<'_>> = BTreeMap::new();
        for (at, package) in packages.iter().enumerate() {
            let Listed { size, sha256 } = package.listed;
            let path = self.cache.find(&sha256, size);
            if path.is_none() {
                meter.expect(size);
                let host = package.addresses.first().map_or("", |address| host(address));
                queues
                    .entry(host)
                    .or_insert_with(|| Queue { waiting: VecDeque::new() })
                    .waiting
                    .push_back((at, package));
            }
            found.push(path.map(Ok));
        }
        let (found, stop) = (Mutex::new(found), AtomicBool::new(false));
        let queues: Vec<Mutex<Queue<'_>>> = queues.into_values().map(Mutex::new).collect();
        thread::scope(|scope| {
            for queue in &queues {
                let work = || self.work(queue, &found, &stop, &meter);
                let waiting = queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.len();
                let mut started = 0;
                for _ in 0..self.connections.clamp(1, waiting.max(1)) {
                    started += usize::from(thread::Builder::new().spawn_scoped(scope, work).is_ok());
                }
                if started == 0 {
                    work();
                }
            }
        });
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
        let mut paths = Vec::new();
        let mut failed = None;
        for one in found {
            match one {
                Some(Ok(path)) => paths.push(path),
                Some(Err(error)) => failed = failed.or(Some(error)),
                // It was not begun, because another one failed.
                None => {}
            }
        }
        failed.map_or(Ok(paths), Err)
    }

    /// Takes one after the other, until there is none or one failed.
    fn work(
        &self,
        queue: &Mutex<Queue<'_>>,
        found: &Mutex<Vec<Option<Taken>>>,
        stop: &AtomicBool,
        meter: &Meter<'_>,
    ) {
        while !stop.load(Ordering::Relaxed) {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).waiting.pop_front();
            let Some((at, package)) = next else { return };
            let taken = self.package(package, meter);
            if taken.is_err() {
                stop.store(true, Ordering::Relaxed);
            }
            found.lock().unwrap_or_else(PoisonError::into_inner)[at] = Some(taken);
        }
    }

    /// One package: from each place in turn, and from one that sent another file once more, past proxies.
    fn package(&self, package: &Package, meter: &Meter<'_>) -> Taken {
        // Of several places the first is the one that was meant to have it.
        let mut first = None;
        for url in &package.addresses {
            for asked in [Asked::Usual, Asked::Anew] {
                let target = Target { url, form: Form::Plain, wanted: package.listed, plain_max: None };
                match self.take_in(target, asked, meter) {
                    Ok((draft, found)) => return self.cache.keep(draft, &found.sha256),
                    Err(error @ (ArchiveError::Mismatch { .. } | ArchiveError::Damaged { .. })) => {
                        first = first.or(Some(error));
                    }
                    Err(error @ (ArchiveError::Missing { .. } | ArchiveError::Fetch { .. })) => {
                        first = first.or(Some(error));
                        break;
                    }
                    Err(error) => return Err(error),
                }
            }
        }
        let problem = "a package without an address cannot be fetched";
        Err(first.unwrap_or_else(|| ArchiveError::Address { address: String::new(), problem }))
    }
}

/// Whom an address leads to.
fn host(address: &str) -> &str {
    let rest = address.split_once("://").map_or("", |(_, rest)| rest);
    rest.split('/').next().unwrap_or_default()
}
