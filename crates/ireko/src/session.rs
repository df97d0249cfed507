//! What every command needs: surroundings, sandbox level, store and screen, opened in the one order that works.

use crate::cli::{Global, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::ui::{Screen, Wishes};
use ireko_exec::Snapshotter;
use ireko_layer::{OverlayAttrs, Time};
use ireko_report::{Diagnostic, Event, Sink};
use ireko_store::{OpenOptions, Store, WrittenAs};
use ireko_sys::userns::{self, IdMap, Level};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// A command's surroundings.
pub(crate) struct Session {
    /// Variables of the process.
    pub(crate) environment: Environment,
    /// Where events are drawn.
    pub(crate) screen: Screen,
    /// How steps are confined.
    pub(crate) level: Level,
    /// Details are wanted.
    pub(crate) verbose: bool,
    home: PathBuf,
    map: IdMap,
    /// How steps are shown their files; `None`: as works best.
    snapshotter: Option<Snapshotter>,
    /// Of each store that was opened: whether it grew by this process.
    growth: Mutex<Vec<Arc<AtomicBool>>>,
}

impl Session {
    /// Enters the sandbox level. Must come before any thread is started: the kernel moves single threads only.
    pub(crate) fn enter(
        global: &Global,
        environment: Environment,
        progress: Progress,
        explain: bool,
    ) -> Result<Self, Failure> {
        let level = level(environment.level(global.level.as_deref()))?;
        let is_root = rustix::process::geteuid().is_root();
        let snapshotter = snapshotter(environment.snapshotter(global.snapshotter.as_deref()))?;
        let home = environment.store(global.home.as_deref(), is_root)?;
        let map = userns::enter(level).map_err(|error| enter_failure(&error))?;
        ireko_sys::limits::open_many();
        let (colour, ci) = (environment.colour(), environment.ci());
        let progress = match progress {
            Progress::Auto if environment.is_dumb() => Progress::Plain,
            asked => asked,
        };
        let wishes = Wishes { progress, colour, explain, verbose: global.verbose, ci };
        let screen = Screen::new(wishes);
        let growth = Mutex::default();
        let session =
            Self { environment, screen, level, verbose: global.verbose, home, map, snapshotter, growth };
        if session.verbose {
            session.screen.note(&format!("sandbox level: {level}"));
            let why = ireko_sys::cgroup::detect().problem.map(|problem| format!("shared ({problem})"));
            session
                .screen
                .note(&format!("control groups: {}", why.as_deref().unwrap_or("one for each step")));
        }
        Ok(session)
    }

    /// Opens the store.
    pub(crate) fn store(&self) -> Result<Arc<Store>, Failure> {
        let now = environment::now();
        let attrs = match self.level {
            Level::Root => OverlayAttrs::Trusted,
            Level::Rootless => OverlayAttrs::User,
            Level::SingleId | Level::None => OverlayAttrs::Noted,
        };
        let options = OpenOptions {
            written_as: WrittenAs { id_map: self.map.fingerprint(), attrs },
            boot_id: ireko_sys::fsx::boot_id().unwrap_or_default(),
            now: Time::new(now.seconds(), now.nanos()),
        };
        let store = Store::open(&self.home, options).map_err(|error| Failure::of(error.blame(), &error))?;
        self.growth.lock().unwrap_or_else(PoisonError::into_inner).push(store.growth());
        Ok(store)
    }

    /// Whether this process put anything into the store.
    pub(crate) fn has_grown(&self) -> bool {
        let growth = self.growth.lock().unwrap_or_else(PoisonError::into_inner);
        growth.iter().any(|grew| grew.load(Ordering::Relaxed))
    }

    /// Tells what the store took as absent.
    pub(crate) fn tell_warnings(&self, store: &Store) {
        for warning in store.warnings() {
            self.screen.emit(Event::Warning { diagnostic: Diagnostic::warning("store", warning) });
        }
    }

    /// How steps are shown their files in this store.
    pub(crate) fn snapshotter(&self, store: &Store) -> Result<Snapshotter, Failure> {
        let chosen = match self.snapshotter {
            Some(asked) => asked,
            None => Snapshotter::best(store).map_err(|error| Failure::of(error.blame(), &error))?,
        };
        if self.verbose {
            let why = match (self.snapshotter, chosen) {
                (Some(_), _) => " (as asked)",
                (None, Snapshotter::Copy) => {
                    " (overlayfs does not work in the store; `ireko doctor` says why)"
                }
                (None, Snapshotter::Overlay) => "",
            };
            self.screen.note(&format!("snapshotter: {chosen}{why}"));
        }
        Ok(chosen)
    }

    /// The screen as a place for events.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.screen.clone())
    }
}

/// The snapshotter that was asked for; `None` for the best one.
fn snapshotter(name: &str) -> Result<Option<Snapshotter>, Failure> {
    match name {
        "auto" => Ok(None),
        "overlay" => Ok(Some(Snapshotter::Overlay)),
        "copy" => Ok(Some(Snapshotter::Copy)),
        other => Err(Failure::user(format!("`--snapshotter {other}` is unknown"))
            .hint("use auto, overlay or copy, here or in IREKO_SNAPSHOTTER")),
    }
}

/// The level that was asked for, or the best one here.
fn level(name: &str) -> Result<Level, Failure> {
    Ok(asked(name)?.unwrap_or_else(userns::best))
}

/// The level that was asked for; `None` for the best one.
pub(crate) fn asked(name: &str) -> Result<Option<Level>, Failure> {
    if name == "auto" {
        return Ok(None);
    }
    Level::parse(name).map(Some).ok_or_else(|| {
        Failure::user(format!("`--level {name}` is unknown"))
            .hint("use auto, root, rootless, single-id or none, here or in IREKO_LEVEL")
    })
}

fn enter_failure(error: &ireko_sys::Error) -> Failure {
    let failure = Failure::of(ireko_report::Blame::Environment, error);
    match error.hint() {
        Some(fix) => failure.hint(fix),
        None => failure.hint("`ireko doctor` says what works on this machine"),
    }
}
