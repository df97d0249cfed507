//! What every command needs: surroundings, sandbox level, store and screen, opened in the one order that works.

use crate::cli::{Global, Progress};
use crate::environment::{self, Environment};
use crate::failure::Failure;
use crate::ui::{Screen, Wishes};
use ireko_layer::{OverlayAttrs, Time};
use ireko_report::Sink;
use ireko_store::{OpenOptions, Store, WrittenAs};
use ireko_sys::userns::{self, IdMap, Level};
use std::path::PathBuf;
use std::sync::Arc;

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
}

impl Session {
    /// Enters the sandbox level. Must come before any thread is started: the kernel moves single threads only.
    pub(crate) fn enter(
        global: &Global,
        environment: Environment,
        progress: Progress,
        explain: bool,
    ) -> Result<Self, Failure> {
        let level = level(&global.level)?;
        let is_root = rustix::process::geteuid().is_root();
        let home = environment.store(global.home.as_deref(), is_root)?;
        let map = userns::enter(level).map_err(|error| enter_failure(&error))?;
        let wishes = Wishes { progress, colour: environment.colour(), explain, verbose: global.verbose };
        let screen = Screen::new(wishes);
        let session = Self { environment, screen, level, verbose: global.verbose, home, map };
        if session.verbose {
            session.screen.note(&format!("sandbox level: {level}"));
        }
        Ok(session)
    }

    /// Opens the store.
    pub(crate) fn store(&self) -> Result<Arc<Store>, Failure> {
        let now = environment::now();
        let attrs = if self.level == Level::Root { OverlayAttrs::Trusted } else { OverlayAttrs::User };
        let options = OpenOptions {
            written_as: WrittenAs { id_map: self.map.fingerprint(), attrs },
            boot_id: ireko_sys::fsx::boot_id().unwrap_or_default(),
            now: Time::new(now.seconds(), now.nanos()),
        };
        Store::open(&self.home, options).map_err(|error| Failure::of(error.blame(), &error))
    }

    /// The screen as a place for events.
    pub(crate) fn sink(&self) -> Arc<dyn Sink> {
        Arc::new(self.screen.clone())
    }
}

/// The level that was asked for, or the best one here.
fn level(name: &str) -> Result<Level, Failure> {
    if name == "auto" {
        return Ok(userns::best());
    }
    Level::parse(name).ok_or_else(|| {
        Failure::user(format!("`--level {name}` is unknown"))
            .hint("use auto, root, rootless, single-id or none")
    })
}

fn enter_failure(error: &ireko_sys::Error) -> Failure {
    let failure = Failure::of(ireko_report::Blame::Environment, error);
    match error.hint() {
        Some(fix) => failure.hint(fix),
        None => failure.hint("`ireko doctor` says what works on this machine"),
    }
}
