//! A context with two stores: one that remembers, one that builds everything anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ireko_testkit::FlatImage;
use tempfile::TempDir;

use crate::context::Context;
use crate::random::Random;

const NAMES: [&str; 4] = ["x", "y", "longer", "with space"];
const VALUES: [&str; 3] = ["1", "2", "three"];
const COMMENTS: [&str; 3] = ["nothing", "something", "another thing"];

/// What a build came to.
pub(crate) enum Outcome {
    Built(FlatImage),
    /// The exit code, and what was said.
    Failed(Option<i32>, String),
}

impl Outcome {
    /// Empty where both came to the same.
    pub(crate) fn differences(&self, clean: &Self) -> String {
        match (self, clean) {
            (Self::Built(cached), Self::Built(clean)) => cached.differences(clean),
            (Self::Failed(cached, _), Self::Failed(clean, _)) if cached == clean => String::new(),
            _ => format!("{} | {}", self.shown(), clean.shown()),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Built(_) => "built".to_owned(),
            Self::Failed(code, said) => format!("failed with {code:?}: {said}"),
        }
    }
}

/// All that one test changes and builds.
pub(crate) struct World {
    scratch: TempDir,
    binary: PathBuf,
    template: &'static str,
    context: Context,
    random: Random,
    name: &'static str,
    value: &'static str,
    comment: &'static str,
    builds: u32,
}

impl World {
    pub(crate) fn new(binary: &Path, template: &'static str, random: Random) -> Self {
        let scratch = TempDir::new().unwrap();
        let context = Context::fill(scratch.path().join("context"));
        let binary = binary.to_owned();
        Self {
            scratch,
            binary,
            template,
            context,
            random,
            name: "x",
            value: "1",
            comment: "nothing",
            builds: 0,
        }
    }

    /// Makes the image `base` in both stores; `Err` says why steps cannot run here.
    pub(crate) fn make_base(&self) -> Result<(), String> {
        let busybox = ["/bin/busybox", "/usr/bin/busybox"].into_iter().find(|path| Path::new(path).exists());
        let busybox = busybox.ok_or("there is no busybox (package busybox-static) to make a base of")?;
        let folder = self.scratch.path().join("base");
        fs::create_dir(&folder).unwrap();
        fs::copy(busybox, folder.join("busybox")).unwrap();
        let dockerfile = "FROM scratch\nCOPY busybox /bin/busybox\nENV PATH=/bin\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nRUN sh -c 'echo it runs'\n";
        fs::write(folder.join("Dockerfile"), dockerfile).unwrap();
        for store in ["cached", "clean"] {
            let output = self.ireko(store).args(["build", "-t", "base"]).arg(&folder).output().unwrap();
            if output.status.code() == Some(3) {
                return Err(format!("steps cannot run here: {}", said(&output)));
            }
            assert!(output.status.success(), "cannot build the base: {}", said(&output));
        }
        Ok(())
    }

    /// One to three changes of the context, the arguments or the Dockerfile; what they were.
    pub(crate) fn edit(&mut self) -> Vec<String> {
        let count = 1 + self.random.below(3);
        (0..count).map(|_| self.edit_once()).collect()
    }

    fn edit_once(&mut self) -> String {
        match self.random.below(10) {
            0 => {
                self.name = *self.random.pick(&NAMES);
                format!("--build-arg NAME={}", self.name)
            }
            1 => {
                self.value = *self.random.pick(&VALUES);
                format!("the Dockerfile's value is {}", self.value)
            }
            2 => {
                self.comment = *self.random.pick(&COMMENTS);
                format!("a comment says {}", self.comment)
            }
            _ => self.context.edit(&mut self.random),
        }
    }

    pub(crate) fn dockerfile(&self) -> String {
        self.template.trim_start().replace("@ENV@", self.value).replace("@COMMENT@", self.comment)
    }

    pub(crate) fn build_cached(&mut self) -> Outcome {
        self.build("cached", &[])
    }

    pub(crate) fn build_clean(&mut self) -> Outcome {
        self.build("clean", &["--no-cache"])
    }

    fn build(&mut self, store: &str, flags: &[&str]) -> Outcome {
        self.builds += 1;
        let file = self.scratch.path().join("Dockerfile");
        fs::write(&file, self.dockerfile()).unwrap();
        let layout = self.scratch.path().join(format!("out-{}", self.builds));
        let mut command = self.ireko(store);
        command.arg("build").args(flags).arg("-f").arg(&file);
        command.arg("--build-arg").arg(format!("NAME={}", self.name));
        command.arg("-o").arg(format!("type=oci,tar=false,dest={}", layout.display()));
        let output = command.arg(self.context.dir()).output().unwrap();
        if !output.status.success() {
            return Outcome::Failed(output.status.code(), said(&output));
        }
        let image = FlatImage::read(&layout);
        fs::remove_dir_all(&layout).unwrap();
        Outcome::Built(image)
    }

    fn ireko(&self, store: &str) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("IREKO_HOME", self.scratch.path().join(store));
        command
    }
}

impl Drop for World {
    /// Files of subordinate ids go through ireko itself.
    fn drop(&mut self) {
        for store in ["cached", "clean"] {
            let _ = self.ireko(store).args(["cache", "prune", "--all", "-f"]).output();
        }
    }
}

fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}
