//! Readers of the one stream of events: the live view, the plain log, JSON lines, and the memory for error frames.

mod ending;
mod groups;
mod live;
mod plain;
mod steps;

use crate::builds::Recorder;
use crate::cli::Progress;
use crate::text::visible;
use ireko_report::{Event, FORMAT, Sink};
use live::Live;
use plain::Plain;
use std::io::{IsTerminal, Write};
use std::sync::{Arc, Mutex};
use std::time::Instant;

pub(crate) use groups::Ci;
pub(crate) use steps::{Step, Steps, seconds};

/// What a person asked to see.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wishes {
    /// How.
    pub(crate) progress: Progress,
    /// Whether colours may be used on a terminal.
    pub(crate) colour: bool,
    /// Whether every difference of a missed step is shown.
    pub(crate) explain: bool,
    /// Whether details are shown.
    pub(crate) verbose: bool,
    /// The service that draws the log, where it folds parts of it.
    pub(crate) ci: Option<Ci>,
}

enum View {
    Quiet,
    Json,
    Plain(Plain),
    Live(Live),
}

struct Inner {
    steps: Steps,
    recorder: Recorder,
    view: View,
    /// What is shown once somebody else is done with the terminal.
    held: Option<Vec<Said>>,
}

/// What comes to be shown.
enum Said {
    Event(Event),
    Note(String),
}

/// The terminal is somebody else's until this is dropped.
pub(crate) struct Held(Screen);

impl Drop for Held {
    fn drop(&mut self) {
        let mut inner = lock(&self.0.inner);
        let held = inner.held.take().unwrap_or_default();
        held.into_iter().for_each(|said| inner.show(said));
    }
}

/// The screen of one command: it takes events from many threads and draws them.
#[derive(Clone)]
pub(crate) struct Screen {
    inner: Arc<Mutex<Inner>>,
}

impl Screen {
    /// A screen on standard error, in the way that was asked for.
    pub(crate) fn new(wishes: Wishes) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let colour = wishes.colour && terminal;
        let began = Instant::now();
        let view = match wishes.progress {
            Progress::Quiet => View::Quiet,
            Progress::Json => View::Json,
            Progress::Tty => View::Live(Live::new(colour, wishes, began)),
            Progress::Auto if terminal => View::Live(Live::new(colour, wishes, began)),
            Progress::Auto | Progress::Plain => View::Plain(Plain::new(colour, wishes)),
        };
        let ticks = matches!(view, View::Live(_));
        let (steps, recorder) = (Steps::new(began), Recorder::new(began));
        let inner = Arc::new(Mutex::new(Inner { steps, recorder, view, held: None }));
        if ticks {
            let weak = Arc::downgrade(&inner);
            std::thread::spawn(move || {
                while let Some(inner) = weak.upgrade() {
                    lock(&inner).tick();
                    drop(inner);
                    std::thread::sleep(live::FRAME);
                }
            });
        }
        let screen = Self { inner };
        if screen.is_json() {
            screen.emit(Event::Stream { version: FORMAT, ireko: env!("CARGO_PKG_VERSION") });
        }
        screen
    }

    /// What is known of a step, for the frame of an error.
    pub(crate) fn step(&self, node: u32) -> Option<Step> {
        lock(&self.inner).steps.get(node).cloned()
    }

    /// What was recorded of the build, which is over.
    pub(crate) fn record<T>(&self, finish: impl FnOnce(&mut Recorder) -> T) -> T {
        finish(&mut lock(&self.inner).recorder)
    }

    /// Takes the live part off the screen, so that other text can follow.
    pub(crate) fn close(&self) {
        let mut inner = lock(&self.inner);
        if let View::Live(live) = &mut inner.view {
            live.close();
        }
    }

    /// Steps aside: nothing is shown until what is given back is dropped.
    pub(crate) fn hold(&self) -> Held {
        let mut inner = lock(&self.inner);
        if let View::Live(live) = &mut inner.view {
            live.pause();
        }
        inner.held.get_or_insert_default();
        Held(self.clone())
    }

    /// Whether a program reads the events.
    pub(crate) fn is_json(&self) -> bool {
        matches!(lock(&self.inner).view, View::Json)
    }

    /// Says one line that is no event.
    pub(crate) fn note(&self, text: &str) {
        lock(&self.inner).say(Said::Note(visible(text)));
    }
}

impl Inner {
    fn tick(&mut self) {
        if let (View::Live(live), None) = (&mut self.view, &self.held) {
            live.draw(&self.steps);
        }
    }

    fn say(&mut self, said: Said) {
        match &mut self.held {
            Some(held) => held.push(said),
            None => self.show(said),
        }
    }

    fn show(&mut self, said: Said) {
        let Self { steps, view, .. } = self;
        match (view, said) {
            (View::Quiet, _) | (View::Json, Said::Note(_)) => {}
            (View::Json, Said::Event(event)) => {
                if let Ok(mut line) = serde_json::to_vec(&event) {
                    line.push(b'\n');
                    write_all(&line);
                }
            }
            (View::Plain(plain), Said::Event(event)) => plain.show(&event, steps),
            (View::Plain(_), Said::Note(text)) => write_all(format!("{text}\n").as_bytes()),
            (View::Live(live), Said::Event(event)) => live.show(&event, steps),
            (View::Live(live), Said::Note(text)) => live.line(&text),
        }
    }
}

impl Sink for Screen {
    fn emit(&self, event: Event) {
        let mut inner = lock(&self.inner);
        inner.steps.take(&event);
        inner.recorder.take(&event);
        inner.say(Said::Event(event));
    }
}

fn lock(inner: &Mutex<Inner>) -> std::sync::MutexGuard<'_, Inner> {
    inner.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// Writes to standard error; a reader that went away is no reason to stop a build.
fn write_all(bytes: &[u8]) {
    let _ = std::io::stderr().lock().write_all(bytes);
}
