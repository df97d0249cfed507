//! What every command needs: surroundings, sandbox level, store and screen, opened in the one order that works.

use crate::cli::{Global, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::ui::{Screen, Wishes};
use ireko_exec::{Confinement, Snapshotter};
use ireko_layer::{OverlayAttrs, Time};
use ireko_report::{Diagnostic, Event, Sink};
use ireko_store::{OpenOptions, Store, WrittenAs};
use ireko_sys::userns::{self, Entered, IdMap, Level};
use ireko_sys::{Outside, cap};
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
    /// Why better levels cannot be had.
    pub(crate) passed: Vec<ireko_sys::Error>,
    /// What commands may be confined by where nothing is better.
    chroot: Option<Confinement>,
    /// Starts programs where this process was before it entered the level; only where one is needed.
    pub(crate) outside: Option<Arc<Outside>>,
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
        let asked = asked(environment.level(global.level.as_deref()))?;
        let chroot = isolation(environment.isolation(global.isolation.as_deref()))?;
        let is_root = rustix::process::geteuid().is_root();
        let snapshotter = snapshotter(environment.snapshotter(global.snapshotter.as_deref()))?;
        let home = environment.store(global.home.as_deref(), is_root)?;
        let outside = crate::engines::outside(&environment).map_err(|error| enter_failure(&error))?;
        let entered = match asked {
            Some(level) => userns::enter(level).map(|map| Entered { level, map, passed: Vec::new() }),
            None => userns::enter_best(),
        };
        let Entered { level, map, passed } = entered.map_err(|error| enter_failure(&error))?;
        ireko_sys::limits::open_many();
        let (colour, ci) = (environment.colour(), environment.ci());
        let progress = match progress {
            Progress::Auto if environment.is_dumb() => Progress::Plain,
            asked => asked,
        };
        let wishes = Wishes { progress, colour, explain, verbose: global.verbose, ci };
        let screen = Screen::new(wishes);
        let growth = Mutex::default();
        let verbose = global.verbose;
        let session = Self {
            environment,
            screen,
            level,
            passed,
            chroot,
            outside,
            verbose,
            home,
            map,
            snapshotter,
            growth,
        };
        if session.verbose {
            for why in &session.passed {
                session.screen.note(&why.to_string());
            }
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
            // Without namespaces the kernel keeps owners for who may give files to others.
            Level::None if cap::lacking_for_chroot().is_empty() => OverlayAttrs::User,
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
            Some(Snapshotter::Overlay) if self.level == Level::None => {
                return Err(Failure::user("`overlay` needs mounts, which level `none` has not")
                    .hint("leave out `--snapshotter`: trees are copied"));
            }
            Some(asked) => asked,
            None if self.level == Level::None => Snapshotter::Copy,
            None => Snapshotter::best(store).map_err(|error| Failure::of(error.blame(), &error))?,
        };
        if self.verbose {
            let why = match (self.snapshotter, chosen) {
                (Some(_), _) => " (as asked)",
                (None, Snapshotter::Copy) if self.level == Level::None => " (nothing can be mounted)",
                (None, Snapshotter::Copy) => {
                    " (overlayfs does not work in the store; `ireko doctor` says why)"
                }
                (None, Snapshotter::Overlay) => "",
            };
            self.screen.note(&format!("snapshotter: {chosen}{why}"));
        }
        Ok(chosen)
    }

    /// How commands are kept apart from this machine; none where they cannot be started at all.
    pub(crate) fn confinement(&self) -> Result<Confinement, Failure> {
        if self.level != Level::None {
            return Ok(Confinement::Namespaces);
        }
        let refused = userns::chroot_refused();
        if let (Some(chroot), None) = (self.chroot, &refused) {
            return Ok(chroot);
        }
        let mut failure = Failure::environment("commands cannot be started here: no sandbox level allows it");
        failure.details.extend(self.passed.iter().map(|why| format!("  {why}")));
        if self.passed.is_empty() {
            failure.details.push("  level `none` was asked for".to_owned());
        }
        failure.hint = Some(match refused {
            None => "`--isolation chroot` lets them run by chroot, as root of this container: they see its processes and \
                network, and nothing keeps them from its files. Start the container with \
                --security-opt seccomp=unconfined for a sandbox"
                .to_owned(),
            Some((why, fix)) => {
                failure.details.push(format!("  by chroot: {why}"));
                fix
            }
        });
        Err(failure)
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

/// What commands may be confined by where nothing better can be had. The other words are buildah's and Docker's.
fn isolation(name: &str) -> Result<Option<Confinement>, Failure> {
    match name {
        "chroot" => Ok(Some(Confinement::Chroot { with_proc: true })),
        "chroot-without-proc" => Ok(Some(Confinement::Chroot { with_proc: false })),
        "" | "auto" | "default" | "oci" | "rootless" => Ok(None),
        other => Err(Failure::user(format!("`--isolation {other}` is not supported")).hint(
            "use auto, chroot or chroot-without-proc; `--level` says how steps are confined: root, rootless, single-id or none",
        )),
    }
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
