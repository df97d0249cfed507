//! The state of a stage while its instructions are gone through.

use crate::fault::{Fault, Of, fault};
use crate::scope::Scope;
use ireko_dockerfile::Word;
use ireko_dockerfile::words::Lexer;
use ireko_graph::NodeId;
use ireko_oci::{GuestPath, History, ImageConfig, Platform, Timestamp};
use ireko_report::Span;
use std::collections::BTreeMap;

/// Where programs are looked for, when an image does not say.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The system whose images are made without running anything of theirs.
const WINDOWS: &str = "windows";

/// What history entries are marked with, so that readers know their form.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// Everything that an instruction may read or change.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The tree; `None` is empty.
    pub(crate) node: Option<NodeId>,
    /// Nodes of stages that must be done before the next step begins.
    pub(crate) after: Vec<NodeId>,
    /// The image as it would be now.
    pub(crate) image: ImageConfig,
    /// Environment of the next step: the image's and the build arguments in scope.
    pub(crate) env: Scope,
    /// Build arguments declared so far.
    pub(crate) args: Vec<(String, Option<String>)>,
    /// Working directory of the next step.
    pub(crate) cwd: GuestPath,
    /// CMD was said in this very stage.
    pub(crate) cmd_said: bool,
    /// How many history entries are the base image's.
    pub(crate) base_history: usize,
    /// When everything is said to have happened.
    pub(crate) epoch: Option<Timestamp>,
}

impl State {
    /// A stage from nothing.
    pub(crate) fn scratch(platform: &Platform, epoch: Option<Timestamp>) -> Self {
        let mut image = ImageConfig::for_platform(&platform.clone().normalized());
        image.config.working_dir = "/".to_owned();
        Self::on(image, None, epoch)
    }

    /// A stage on an image.
    pub(crate) fn on(image: ImageConfig, node: Option<NodeId>, epoch: Option<Timestamp>) -> Self {
        Self {
            node,
            after: Vec::new(),
            base_history: image.history.len(),
            image: plain(image),
            env: Scope::default(),
            args: Vec::new(),
            cwd: GuestPath::root(),
            cmd_said: false,
            epoch,
        }
    }

    /// Makes this the state in which a stage's first instruction starts.
    pub(crate) fn enter(&mut self) {
        let config = &mut self.image.config;
        config.on_build = Vec::new();
        self.cmd_said = false;
        // Windows has a path of its own.
        let is_windows = self.image.os == WINDOWS;
        if config.env_get("PATH").is_none() && !is_windows {
            config.env.push(format!("PATH={DEFAULT_PATH}"));
        }
        for pair in &config.env {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            self.env.set(name, value);
        }
        // A relative directory in an image's config is relative to the root.
        let dir = if is_windows { of_windows(&config.working_dir) } else { Ok(config.working_dir.clone()) };
        let cwd = dir.ok().and_then(|dir| GuestPath::root().join(&dir).ok());
        self.cwd = cwd.unwrap_or_else(GuestPath::root);
        if is_windows && !config.working_dir.is_empty() {
            config.working_dir = self.cwd.as_str().replace('/', "\\");
        }
    }

    /// A word with its variables and quotes resolved.
    pub(crate) fn expand(&self, lexer: Lexer, word: &Word, span: Span) -> Result<String, Fault> {
        Ok(lexer.word(&word.value, &self.env).of(span)?.text)
    }

    /// A path in the image that stands at `span`, relative to the working directory.
    pub(crate) fn path(&self, text: &str, span: Span) -> Result<GuestPath, Fault> {
        let text = self.written(text, span)?;
        self.cwd.join(&text).map_err(|error| fault("bad-path", error.to_string(), span))
    }

    /// A path as it was written, with slashes only: one of Windows may have a drive and backslashes.
    pub(crate) fn written(&self, text: &str, span: Span) -> Result<String, Fault> {
        match self.image.os == WINDOWS {
            true => of_windows(text).map_err(|why| fault("bad-path", why, span)),
            false => Ok(text.to_owned()),
        }
    }

    /// A directory as the config of the image names it.
    pub(crate) fn shown_dir(&self, written: &str, dir: &GuestPath) -> String {
        match (self.image.os == WINDOWS, written.starts_with('/')) {
            (true, _) => dir.as_str().replace('/', "\\"),
            // An absolute path stays as it is written, as in Docker's images.
            (false, true) => written.to_owned(),
            (false, false) => dir.to_string(),
        }
    }

    /// Notes an instruction that made no layer.
    pub(crate) fn note(&mut self, text: impl Into<String>) {
        self.history(text.into(), true);
    }

    /// Notes an instruction that made a layer.
    pub(crate) fn note_layer(&mut self, text: impl Into<String>) {
        self.history(text.into(), false);
    }

    fn history(&mut self, created_by: String, empty_layer: bool) {
        self.image.history.push(History {
            created: self.epoch,
            created_by,
            comment: COMMENT.to_owned(),
            empty_layer,
            ..History::default()
        });
    }

    /// Words for the shell of the stage.
    pub(crate) fn with_shell(&self, line: &str) -> Vec<String> {
        let shell = &self.image.config.shell;
        let usual: &[&str] = if self.image.os == WINDOWS { &["cmd", "/S", "/C"] } else { &["/bin/sh", "-c"] };
        let mut words = match shell.is_empty() {
            true => usual.iter().map(|word| (*word).to_owned()).collect(),
            false => shell.clone(),
        };
        words.push(line.to_owned());
        words
    }

    /// Build arguments as the step sees them, each once.
    pub(crate) fn visible_args(&self) -> Vec<(String, String)> {
        let mut seen: Vec<(String, String)> = Vec::new();
        let mut places: BTreeMap<&str, usize> = BTreeMap::new();
        for (name, value) in &self.args {
            let value = self.env.value(name).or(value.as_deref()).unwrap_or_default().to_owned();
            match places.get(name.as_str()) {
                Some(at) => seen[*at].1 = value,
                None => {
                    places.insert(name, seen.len());
                    seen.push((name.clone(), value));
                }
            }
        }
        seen
    }
}

/// The image without what a built image does not take over from its base.
fn plain(mut image: ImageConfig) -> ImageConfig {
    image.created = None;
    image.extra.clear();
    image.config.extra.clear();
    image.config.stop_timeout = None;
    if let Some(check) = &mut image.config.healthcheck {
        check.extra.clear();
    }
    for entry in &mut image.history {
        entry.extra.clear();
    }
    image
}

/// A path of Windows without its drive, which can only be the system's, and with slashes.
fn of_windows(text: &str) -> Result<String, String> {
    let slashes = text.replace('\\', "/");
    if slashes.starts_with("//") {
        return Err(format!("`{text}` is a path of a network share, which an image does not hold"));
    }
    match slashes.split_once(':') {
        None => Ok(slashes),
        Some((_, "")) => Err(format!("`{text}` names a drive and no path on it")),
        Some(("c" | "C", path)) => Ok(path.to_owned()),
        Some(_) => Err(format!("`{text}` is not on the drive `C:`, which is all of an image")),
    }
}
