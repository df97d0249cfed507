//! Room on the disk: a limit for the store that builds keep, and a second try where the disk is full.

use crate::cmd::prune;
use crate::environment::Environment;
use crate::failure::Failure;
use crate::session::Session;
use crate::text::bytes;
use ireko_exec::{BuildError, Cancel};
use ireko_image::Images;
use ireko_oci::Digest;
use ireko_report::{Diagnostic, Event, Sink};
use ireko_store::{Condition, Image, PrunePlan, Store, UsageKind};
use std::time::Duration;

/// What the store may take at the end of a build: the flag, `IREKO_CACHE_MAX_SIZE`, or no limit.
pub(crate) fn limit(flag: Option<&str>, environment: &Environment) -> Result<Option<u64>, Failure> {
    const VARIABLE: &str = "IREKO_CACHE_MAX_SIZE";
    match (flag, environment.get(VARIABLE)) {
        (Some(text), _) => prune::size("--cache-max-size ", text).map(Some),
        (None, Some(text)) => prune::size(&format!("{VARIABLE}="), text).map(Some),
        (None, None) => Ok(None),
    }
}

/// What to do where nothing that is not in use is left to go.
pub(crate) const FULL: &str = "free space on that disk, or give the store another with IREKO_HOME; `ireko cache du` shows what takes it";

/// Something that can fail for want of room.
pub(crate) trait NeedsRoom {
    /// Whether it did.
    fn is_disk_full(&self) -> bool;
}

impl NeedsRoom for BuildError {
    fn is_disk_full(&self) -> bool {
        Self::is_disk_full(self)
    }
}

impl NeedsRoom for Failure {
    fn is_disk_full(&self) -> bool {
        self.disk_full
    }
}

/// What a second try needs.
pub(crate) struct Room<'a> {
    pub(crate) store: &'a Store,
    pub(crate) session: &'a Session,
    pub(crate) cancel: &'a Cancel,
    /// Their transfers end with a failure.
    pub(crate) images: &'a Images,
}

impl Room<'_> {
    /// Does something; where the disk is full, drops what neither this build, nor another, nor a tagged image needs,
    /// and does it once more.
    pub(crate) fn for_deed<T, E: NeedsRoom>(&self, mut deed: impl FnMut() -> Result<T, E>) -> Result<T, E> {
        match deed() {
            Err(error) if error.is_disk_full() && self.again() => deed(),
            other => other,
        }
    }

    fn again(&self) -> bool {
        let goes_on = made_room(self.store, self.session, TRIES) && self.cancel.take_back();
        if goes_on {
            self.images.resume();
        }
        goes_on
    }
}

/// Does something that uses the store; where the disk is full, drops what neither another process nor a tagged image
/// needs, and does it once more.
pub(crate) fn once_more<T>(
    (session, store): (&Session, &Store),
    mut deed: impl FnMut() -> Result<T, Failure>,
) -> Result<T, Failure> {
    let done = match deed() {
        Err(failure) if failure.disk_full && made_room(store, session, TRIES) => deed(),
        other => other,
    };
    done.map_err(hinted)
}

/// Keeps an image from being collected, and tells which of its layers are not there. On a full disk already the note of
/// that has no room.
pub(crate) fn held((session, store): (&Session, &Store), image: &Image) -> Result<Vec<Digest>, Failure> {
    once_more((session, store), || Ok(store.hold_image(image)?))
}

/// The same failure; of a full disk, with what to do.
pub(crate) fn hinted(failure: Failure) -> Failure {
    match failure.disk_full {
        true => failure.hint(FULL),
        false => failure,
    }
}

/// The same for something that can be done only once: whoever reads the failure is told to try once more.
pub(crate) fn for_the_next_try(session: &Session, store: &Store, failure: Failure) -> Failure {
    match failure.disk_full {
        true if made_room(store, session, "") => {
            failure.hint("there is more room now: do the same once more")
        }
        _ => hinted(failure),
    }
}

/// What is said to follow.
const TRIES: &str = "; trying once more";

fn made_room(store: &Store, session: &Session, then: &str) -> bool {
    // Notes are small, and among them is what this build has done already.
    let notes = Condition::Kind(vec![UsageKind::Record, UsageKind::StatCache]);
    let conditions = vec![Condition::Not(Box::new(notes))];
    let plan = PrunePlan { max_size: Some(0), conditions, ..PrunePlan::default() };
    match store.prune(&plan) {
        Ok(pruned) if pruned.freed > 0 => {
            let (count, freed) = (pruned.items.len(), bytes(pruned.freed));
            let said = format!(
                "the disk is full: removed {count} items of the store that are not in use, {freed}{then}"
            );
            let diagnostic = Diagnostic::warning("disk-full", said);
            session.screen.emit(Event::Warning { diagnostic });
            true
        }
        _ => false,
    }
}

/// The end of a build: what a killed prune left goes, and the store comes down to its limit where this process made it
/// bigger. What was just built is kept, as if it had a name, and so is what this build, which took so long, noted.
pub(crate) fn tidy(
    (session, store): (&Session, &Store),
    limit: Option<u64>,
    (built, took): (Option<&Digest>, Duration),
) -> Result<(), Failure> {
    let grown = session.has_grown();
    store.clear_trash()?;
    let Some(limit) = limit.filter(|_| grown) else { return Ok(()) };
    if let Some(image) = built.map(|id| store.image_by_id(id)).transpose()?.flatten() {
        store.hold_image(&image)?;
    }
    let conditions = not_of_this_build(took);
    let pruned = store.prune(&PrunePlan { max_size: Some(limit), conditions, ..PrunePlan::default() })?;
    if !pruned.items.is_empty() {
        let (count, freed) = (pruned.items.len(), bytes(pruned.freed));
        session.screen.note(&format!(
            "cache: {count} items removed, {freed}: no more than {} may be kept",
            bytes(limit)
        ));
    }
    if let Some((_, left)) = pruned.missed {
        let left = bytes(left);
        session.screen.note(&format!(
            "cache: {left} are in use, needed by tagged images or notes of this build: more than the limit of {}",
            bytes(limit)
        ));
    }
    Ok(())
}

/// What may go at the end of a build that took so long: no log of it, and no record that it made or used. They are
/// small, and without them nothing would be known of it, and its steps would all run again.
fn not_of_this_build(took: Duration) -> Vec<Condition> {
    /// Times of files may be whole seconds.
    const SECOND: Duration = Duration::from_secs(1);
    /// That a record was used is noted once an hour.
    const HOUR: Duration = Duration::from_secs(3600);
    let older = |kinds: Vec<UsageKind>, age: Duration| {
        let others = Condition::Not(Box::new(Condition::Kind(kinds)));
        Condition::Any(vec![others, Condition::UnusedFor(age)])
    };
    let records = vec![UsageKind::Record, UsageKind::StatCache];
    vec![older(vec![UsageKind::Log], took + SECOND), older(records, took + HOUR)]
}
