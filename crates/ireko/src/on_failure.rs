//! `--on-failure=shell`: a person looks around in a step that failed.

use crate::cli::OnFailure;
use crate::failure::{Failure, step_frame};
use crate::session::Session;
use crate::terminal::{Changed, size};
use crate::ui::Screen;
use ireko_exec::FailedStep;
use ireko_graph::{Graph, NodeId};
use ireko_report::SourceText;
use ireko_sys::sandbox::Running;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{OptionalActions, Termios};
use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::{Arc, Mutex, PoisonError};

/// Why no shell could be used here.
fn lacking() -> Option<&'static str> {
    match (io::stdin().is_terminal(), io::stderr().is_terminal() || io::stdout().is_terminal()) {
        (true, true) => None,
        (false, _) => Some("standard input is none"),
        (true, false) => Some("neither standard output nor standard error is one"),
    }
}

/// What a person who was told of a failed step could do.
pub(crate) fn hint() -> Option<String> {
    lacking().is_none().then(|| "`--on-failure=shell` opens a shell in the failed step".to_owned())
}

/// Refuses a shell where nobody could use it.
pub(crate) fn check(wish: OnFailure) -> Result<(), Failure> {
    let Some(lacking) = lacking().filter(|_| wish == OnFailure::Shell) else { return Ok(()) };
    Err(Failure::user(format!("`--on-failure=shell` needs a terminal, and {lacking}"))
        .hint("leave it out where no person watches; `ireko logs` has what a failed step wrote"))
}

/// What became of the wish for a shell.
enum State {
    Wanted,
    Taken,
    /// There was none; why.
    Without(String),
}

/// Takes the shell of the first step that fails, on this process's terminal.
pub(crate) struct FailureShell {
    screen: Screen,
    graph: Arc<Graph>,
    source: SourceText,
    state: Mutex<State>,
}

impl FailureShell {
    pub(crate) fn wanted(
        wish: OnFailure,
        session: &Session,
        (graph, source): (&Arc<Graph>, &SourceText),
    ) -> Option<Arc<Self>> {
        let shell = || Self {
            screen: session.screen.clone(),
            graph: Arc::clone(graph),
            source: source.clone(),
            state: Mutex::new(State::Wanted),
        };
        (wish == OnFailure::Shell).then(|| Arc::new(shell()))
    }

    /// Why a step that failed had no shell.
    pub(crate) fn lacks(&self) -> Option<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let why = match &*state {
            State::Taken => return None,
            State::Wanted => "only a RUN step whose command ran has one",
            State::Without(why) => why,
        };
        Some(format!("no shell in the failed step: {why}"))
    }

    fn set(&self, state: State) -> State {
        std::mem::replace(&mut *self.state.lock().unwrap_or_else(PoisonError::into_inner), state)
    }

    /// Where the step stands, how it failed, what it said last, and how to get out again.
    fn banner(&self, failed: &FailedStep<'_>) -> String {
        const LOG_LINES: usize = 10;
        let about = &self.graph.node(NodeId(failed.node)).about;
        let shown = self.screen.step(failed.node);
        let display = shown.as_ref().map_or_else(|| about.display(false), |step| step.display.clone());
        let mut lines = vec![format!("{display}: {}", failed.message)];
        lines.extend(step_frame(&self.source, about.lines(), []));
        let tail = shown.map(|step| step.last_lines(LOG_LINES)).unwrap_or_default();
        lines.extend(tail.into_iter().map(|line| format!("  | {line}")));
        let user = if failed.user.is_empty() { "root" } else { failed.user };
        let (shell, cwd) = (failed.shell, failed.cwd);
        lines.push(format!("A shell in the failed step: `{shell}` as {user} in {cwd}."));
        lines.push("`exit` ends the build; nothing of this step is kept.".to_owned());
        lines.join("\n") + "\n"
    }
}

/// What the build is told of it.
pub(crate) fn taker(shell: &Option<Arc<FailureShell>>) -> Option<Arc<dyn ireko_exec::OnFailure>> {
    shell.clone().map(|shell| shell as Arc<dyn ireko_exec::OnFailure>)
}

impl ireko_exec::OnFailure for FailureShell {
    fn wanted(&self) -> bool {
        !matches!(self.set(State::Taken), State::Taken)
    }

    fn size(&self) -> (u16, u16) {
        with_output(|output| size(output))
    }

    fn attend(&self, failed: &FailedStep<'_>, mut shell: Running) {
        let _held = self.screen.hold();
        let banner = self.banner(failed);
        let attended = with_output(|output| {
            let mut output = File::from(output.try_clone_to_owned()?);
            output.write_all(banner.as_bytes())?;
            carry(&mut shell, &mut output)
        });
        if let Err(error) = attended {
            crate::eprint(&format!("warning: the terminal cannot be used: {error}\n"));
            let _ = shell.kill();
        }
        // Whatever it ended with: the build fails as the step did.
        let _ = shell.wait();
    }

    fn no_shell(&self, why: String) {
        self.set(State::Without(why));
    }
}

/// Standard error, where the build is watched, unless only standard output is a terminal.
fn with_output<T>(deed: impl FnOnce(BorrowedFd<'_>) -> T) -> T {
    match io::stderr().is_terminal() {
        true => deed(io::stderr().as_fd()),
        false => deed(io::stdout().as_fd()),
    }
}

/// How often the size of the terminal is looked at.
const GLANCE: Timespec = Timespec { tv_sec: 0, tv_nsec: 200_000_000 };

/// Carries what is typed and what the shell says until it ends. One thread does both, since nothing may be read from
/// this process's input once the shell is gone.
fn carry(shell: &mut Running, output: &mut File) -> io::Result<()> {
    let Some(mut terminal) = shell.terminal.as_ref().map(File::try_clone).transpose()? else { return Ok(()) };
    fcntl_setfl(&terminal, fcntl_getfl(&terminal)? | OFlags::NONBLOCK)?;
    let mut input = File::from(io::stdin().as_fd().try_clone_to_owned()?);
    let _raw = Changed::by(OptionalActions::Now, Termios::make_raw);
    let mut known = size(&*output);
    let mut typed: Vec<u8> = Vec::new();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let now = size(&*output);
        if now != known {
            known = now;
            // A shell that does not know the size works all the same.
            let _ = shell.resize(now.0, now.1);
        }
        let ended = shell.try_wait().map_err(io::Error::other)?.is_some();
        let ready = wait(&terminal, &input, shell, !typed.is_empty())?;
        match terminal.read(&mut buffer) {
            // Its last writer is gone.
            Ok(0) => return Ok(()),
            Ok(count) => output.write_all(&buffer[..count])?,
            Err(error) if error.kind() == ErrorKind::WouldBlock && !ended => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Ok(()),
        }
        if ready {
            match input.read(&mut buffer) {
                Ok(0) | Err(_) => {
                    // Nobody is there any more.
                    let _ = shell.kill();
                    return Ok(());
                }
                Ok(count) => typed.extend_from_slice(&buffer[..count]),
            }
        }
        if !typed.is_empty() {
            match terminal.write(&typed) {
                Ok(count) => drop(typed.drain(..count)),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
                Err(_) => typed.clear(),
            }
        }
    }
}

/// Waits until something can be carried or the shell has ended; whether something was typed. While the shell has not
/// taken what was typed before, no more is asked for.
fn wait(terminal: &File, input: &File, shell: &Running, pending: bool) -> io::Result<bool> {
    let process = shell.as_fd();
    let wanted = if pending { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
    let typing = if pending { PollFlags::empty() } else { PollFlags::IN };
    let mut fds =
        [PollFd::new(terminal, wanted), PollFd::new(&process, PollFlags::IN), PollFd::new(input, typing)];
    match poll(&mut fds, Some(&GLANCE)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(error.into()),
    }
    Ok(!pending && !fds[2].revents().is_empty())
}
