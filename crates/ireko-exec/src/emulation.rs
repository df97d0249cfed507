//! Whether programs of another platform run here, and why not.
//!
//! It is tried, not guessed: the smallest program of the platform is started in a sandbox that holds nothing else, as a
//! step would be. So it does not matter who runs it (the processor, or an emulator that the kernel starts through
//! `binfmt_misc`), nor whether this process can see what is registered. An emulator that the kernel would look for in
//! the image is not found there, and does not count.

mod program;

use crate::run::Confinement;
use ireko_oci::Platform;
use ireko_sys::Error;
use ireko_sys::sandbox::{self, RootFs, Sandbox};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// Where the kernel shows the emulators that are registered.
const REGISTERED: &str = "/proc/sys/fs/binfmt_misc";

/// The architectures whose programs can be tried, in Go's spelling.
pub const EMULATED: [&str; 10] =
    ["amd64", "386", "arm64", "arm", "riscv64", "ppc64le", "s390x", "mips64le", "mips64", "loong64"];

/// Why programs of a platform do not run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotRun {
    /// They are for another operating system.
    System,
    /// The processor does not know them, and no emulator is registered.
    NoEmulator,
    /// The emulator of this name is registered, but switched off.
    Off(String),
    /// The emulator of this name is registered, but would have to be in every image: it has not the flag `F`.
    NotFixed(String),
    /// The emulator was started and failed.
    Fails(String),
    /// Not even a sandbox could be set up, or a program in it started, so nothing is known.
    Untried(String),
}

impl NotRun {
    /// In words, as they follow "programs of … do not run here: ".
    pub fn reason(&self) -> String {
        match self {
            Self::System => "only those of Linux do".to_owned(),
            Self::NoEmulator => "no emulator is registered for them".to_owned(),
            Self::Off(name) => format!("their emulator `{name}` is switched off"),
            Self::NotFixed(name) => {
                format!(
                    "their emulator `{name}` is registered without the flag F, so it is looked for in the image"
                )
            }
            Self::Fails(how) => format!("their emulator fails ({how})"),
            Self::Untried(how) => format!("none could be tried ({how})"),
        }
    }
}

/// Whether this machine's processor runs programs of that platform as its own, without asking anybody.
pub fn is_native(platform: &Platform, host: &Platform) -> bool {
    let is_own = |own: &Platform| own.architecture == host.architecture && own.same(platform);
    platform.is_level_of(host) || host.runnable().iter().any(is_own)
}

/// Tries a program of the platform in a sandbox whose root is made in `scratch`.
///
/// # Errors
/// The scratch directory cannot be written to.
pub fn try_platform(
    platform: &Platform,
    scratch: &Path,
    confinement: Confinement,
) -> io::Result<Result<(), NotRun>> {
    if platform.os != Platform::HOST_OS {
        return Ok(Err(NotRun::System));
    }
    // Of an architecture without such a program nothing is known, until a step is started.
    let Some(program) = program::program(&platform.architecture) else { return Ok(Ok(())) };
    let place = scratch.join(format!(".ireko-{}-{}", platform.architecture, std::process::id()));
    let root = place.join("root");
    std::fs::create_dir_all(&root)?;
    std::fs::set_permissions(&root, std::fs::Permissions::from_mode(0o755))?;
    std::fs::write(root.join("program"), &program)?;
    std::fs::set_permissions(root.join("program"), std::fs::Permissions::from_mode(0o755))?;
    let outcome = confinement.root(root, &place).map(started);
    std::fs::remove_dir_all(&place)?;
    let outcome = outcome?;
    Ok(outcome.map_err(|not| if not == NotRun::NoEmulator { why(&program) } else { not }))
}

fn started(root: RootFs) -> Result<(), NotRun> {
    let sandbox = Sandbox::new(root, vec![OsString::from("/program")]);
    let untried = |error: &Error| Err(NotRun::Untried(error.to_string()));
    match sandbox::spawn(&sandbox) {
        Ok(mut running) => match running.wait() {
            Ok(exit) if !exit.success() => Err(NotRun::Fails(format!("exit code {}", exit.code()))),
            Ok(_) => Ok(()),
            Err(error) => untried(&error),
        },
        Err(Error::InterpreterNotFound { .. } | Error::ProgramNotFound { .. }) => Err(NotRun::NoEmulator),
        Err(Error::ProgramNotRunnable { cause, .. }) if is_foreign(&cause) => Err(NotRun::NoEmulator),
        Err(error) => untried(&error),
    }
}

/// The kernel knows no way to run such a program.
pub(crate) fn is_foreign(cause: &io::Error) -> bool {
    cause.raw_os_error() == Some(rustix::io::Errno::NOEXEC.raw_os_error())
}

/// Why the kernel did not start it.
fn why(program: &[u8]) -> NotRun {
    match handlers().into_iter().find(|handler| handler.takes(program)) {
        None => NotRun::NoEmulator,
        Some(handler) if !handler.enabled => NotRun::Off(handler.name),
        Some(handler) if !handler.flags.contains('F') => NotRun::NotFixed(handler.name),
        Some(_) => NotRun::NoEmulator,
    }
}

/// An emulator as the kernel tells of it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Handler {
    name: String,
    enabled: bool,
    flags: String,
    offset: usize,
    magic: Vec<u8>,
    mask: Vec<u8>,
}

impl Handler {
    fn parse(name: &str, text: &str) -> Self {
        let mut handler = Self { name: name.to_owned(), ..Self::default() };
        for line in text.lines() {
            match line.split_once(' ').unwrap_or((line, "")) {
                ("enabled", _) => handler.enabled = true,
                ("flags:", flags) => flags.clone_into(&mut handler.flags),
                ("offset", offset) => handler.offset = offset.parse().unwrap_or_default(),
                ("magic", magic) => handler.magic = bytes(magic),
                ("mask", mask) => handler.mask = bytes(mask),
                _ => {}
            }
        }
        handler
    }

    fn takes(&self, program: &[u8]) -> bool {
        let mask = |at: usize| self.mask.get(at).copied().unwrap_or(0xff);
        let part = program.get(self.offset..).unwrap_or_default();
        !self.magic.is_empty()
            && part.len() >= self.magic.len()
            && self.magic.iter().zip(part).enumerate().all(|(at, (own, byte))| (own ^ byte) & mask(at) == 0)
    }
}

fn bytes(text: &str) -> Vec<u8> {
    let digits = text.trim().as_bytes().chunks(2);
    digits.filter_map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// What is registered, as far as it can be seen: only for a better word on what does not work.
fn handlers() -> Vec<Handler> {
    let Ok(entries) = std::fs::read_dir(REGISTERED) else { return Vec::new() };
    let mut handlers: Vec<Handler> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str()?.to_owned();
            let text = std::fs::read_to_string(entry.path()).ok()?;
            Some(Handler::parse(&name, &text))
        })
        .collect();
    handlers.sort_by(|a, b| a.name.cmp(&b.name));
    handlers
}

#[cfg(test)]
mod tests;
