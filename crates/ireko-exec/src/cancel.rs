//! Stopping a build from outside: Ctrl-C, SIGTERM, or the first failure.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A wish to stop that can be made once, from any thread, and the means by which running steps hear of it.
#[derive(Clone, Default)]
pub struct Cancel {
    inner: Arc<Mutex<Inner>>,
}

type Way = Box<dyn Fn() + Send>;

#[derive(Default)]
struct Inner {
    asked: bool,
    /// A person asked, or a signal; otherwise only a failure did.
    for_good: bool,
    next: u64,
    stops: BTreeMap<u64, Stopping>,
}

struct Stopping {
    way: Way,
    /// It stops for whoever asks, and not for a failure.
    by_wish: bool,
}

/// Keeps a way of stopping registered; dropped, it is forgotten.
pub struct Registered {
    cancel: Cancel,
    id: u64,
}

impl Cancel {
    /// Whether somebody asked to stop.
    pub fn is_asked(&self) -> bool {
        self.lock().asked
    }

    /// Asks everything registered to stop, now and later.
    pub fn ask(&self) {
        self.stop(true);
    }

    /// The same because something failed, which may be taken back.
    pub(crate) fn fail(&self) {
        self.stop(false);
    }

    /// Whether all may go on: nobody asked to stop, or only a failure did, which is forgotten.
    pub fn take_back(&self) -> bool {
        let mut inner = self.lock();
        inner.asked &= inner.for_good;
        !inner.asked
    }

    fn stop(&self, for_good: bool) {
        let mut inner = self.lock();
        inner.asked = true;
        inner.for_good |= for_good;
        for stop in inner.stops.values().filter(|stop| for_good || !stop.by_wish) {
            (stop.way)();
        }
    }

    /// Whether a person or a signal asked, and not only a failure.
    pub fn is_wished(&self) -> bool {
        self.lock().for_good
    }

    /// Registers a way of stopping something that has begun. Called at once if the wish was made before.
    pub fn on_ask(&self, stop: impl Fn() + Send + 'static) -> Registered {
        self.register(Stopping { way: Box::new(stop), by_wish: false })
    }

    /// The same for what goes on when something failed, and stops for a person or a signal.
    pub fn on_wish(&self, stop: impl Fn() + Send + 'static) -> Registered {
        self.register(Stopping { way: Box::new(stop), by_wish: true })
    }

    fn register(&self, stop: Stopping) -> Registered {
        let mut inner = self.lock();
        if if stop.by_wish { inner.for_good } else { inner.asked } {
            (stop.way)();
        }
        let id = inner.next;
        inner.next += 1;
        inner.stops.insert(id, stop);
        Registered { cancel: self.clone(), id }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A sink that takes nothing more once the build is to stop.
pub(crate) struct Stop<'a>(pub(crate) &'a Cancel);

impl Write for Stop<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.0.is_asked() { Err(io::ErrorKind::BrokenPipe.into()) } else { Ok(bytes.len()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.cancel.lock().stops.remove(&self.id);
    }
}

impl std::fmt::Debug for Cancel {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "Cancel(asked: {})", self.is_asked())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn what_is_registered_hears_of_it_before_and_after() {
        let heard = Arc::new(AtomicU32::new(0));
        let cancel = Cancel::default();
        let hear = |heard: &Arc<AtomicU32>| {
            let heard = Arc::clone(heard);
            move || {
                heard.fetch_add(1, Ordering::SeqCst);
            }
        };
        let early = cancel.on_ask(hear(&heard));
        drop(cancel.on_ask(hear(&heard)));
        cancel.ask();
        let _late = cancel.on_ask(hear(&heard));
        assert_eq!(heard.load(Ordering::SeqCst), 2);
        drop(early);
        assert!(cancel.is_asked());
    }

    #[test]
    fn a_failure_is_taken_back_and_a_wish_is_not() {
        let cancel = Cancel::default();
        assert!(cancel.take_back());
        cancel.fail();
        assert!(cancel.is_asked() && cancel.take_back() && !cancel.is_asked());
        cancel.fail();
        assert!(!cancel.is_wished());
        cancel.ask();
        cancel.fail();
        assert!(!cancel.take_back() && cancel.is_asked() && cancel.is_wished());
    }

    #[test]
    fn what_stops_by_wish_goes_on_after_a_failure() {
        let heard = Arc::new(AtomicU32::new(0));
        let cancel = Cancel::default();
        let hear = {
            let heard = Arc::clone(&heard);
            move || {
                heard.fetch_add(1, Ordering::SeqCst);
            }
        };
        cancel.fail();
        let _shell = cancel.on_wish(hear);
        assert_eq!(heard.load(Ordering::SeqCst), 0);
        cancel.ask();
        assert_eq!(heard.load(Ordering::SeqCst), 1);
    }
}
