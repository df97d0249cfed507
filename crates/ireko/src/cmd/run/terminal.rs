//! Waits for a container: passes signals on, and carries a terminal's bytes both ways.

use super::exit_code;
use super::streams::{Carried, pass};
use crate::failure::Failure;
use crate::terminal::Changed;
use ireko_report::Blame;
use ireko_sys::sandbox::Running;
use ireko_sys::signals::{self, Signals};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::termios::{OptionalActions, Termios};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;

/// What ends, stops or tells a program something: SIGHUP, SIGINT, SIGQUIT, SIGUSR1, SIGUSR2, SIGALRM, SIGTERM, SIGCONT,
/// SIGTSTP, SIGWINCH, SIGPWR.
const PASSED_ON: [i32; 11] = [1, 2, 3, 10, 12, 14, 15, 18, 20, 28, 30];
/// SIGINT and SIGTERM: the wish that the program ends.
pub(super) const INTERRUPTS: [i32; 2] = [2, 15];
const WINDOW_CHANGED: i32 = 28;

/// After this many interrupts of a program that ignores them, it is killed.
const PATIENCE: u32 = 3;

/// The size of this terminal: rows and columns.
pub(super) fn size() -> (u16, u16) {
    crate::terminal::size(io::stdout())
}

/// Catches the signals that are passed on.
pub(super) fn listen() -> Result<Signals, Failure> {
    signals::listen(&PASSED_ON).map_err(|error| Failure::of(Blame::Environment, &error))
}

/// Waits until the container ends; its exit code.
pub(super) fn attend(mut running: Running, mut signals: Signals, interactive: bool) -> Result<u8, Failure> {
    // The container keeps its own handle, by which it hears of another size.
    let terminal = || running.terminal.as_ref().map(File::try_clone).transpose();
    let terminal =
        || terminal().map_err(|error| Failure::environment("cannot use the terminal").cause(error));
    let (input, output) = (terminal()?.filter(|_| interactive), terminal()?);
    let _raw = input.as_ref().map(|_| Changed::by(OptionalActions::Now, Termios::make_raw));
    if let Some(input) = input {
        std::thread::spawn(move || carry_input(input));
    }
    let streams = |error| Failure::environment("cannot use the standard streams").cause(error);
    let mut carried = Carried::of(&mut running).map_err(streams)?;
    if let Some(output) = output {
        carried.add(move || carry_output(output)).map_err(streams)?;
    }
    let mut interrupts = 0;
    loop {
        let ended = wait(&running, &signals)?;
        while let Some(number) = signals.try_next() {
            if number == WINDOW_CHANGED {
                let (rows, columns) = size();
                let _ = running.resize(rows, columns);
                continue;
            }
            interrupts += u32::from(INTERRUPTS.contains(&number));
            // A program that is pid 1 and has no handler hears nothing but a kill.
            let impatient = interrupts > PATIENCE && INTERRUPTS.contains(&number);
            let _ = if impatient { running.kill() } else { running.signal(number) };
        }
        if ended {
            break;
        }
    }
    let code = exit_code(&mut running)?;
    let written = carried.finish(&mut signals);
    written.map_err(|error| {
        Failure::environment("what the container said cannot all be written").cause(error)
    })?;
    Ok(code)
}

/// Waits for the end of the container or for a signal; true for the former.
fn wait(running: &Running, signals: &Signals) -> Result<bool, Failure> {
    let process = running.as_fd();
    let heard = signals.as_fd();
    let mut fds = [PollFd::new(&process, PollFlags::IN), PollFd::new(&heard, PollFlags::IN)];
    match poll(&mut fds, None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => {}
        Err(error) => return Err(Failure::environment("cannot wait for the container").cause(error)),
    }
    Ok(!fds[0].revents().is_empty())
}

fn carry_input(mut terminal: File) {
    let _ = pass(&mut std::io::stdin().lock(), &mut terminal);
}

/// A terminal whose last writer is gone answers with an error: the end of what it had to say.
fn carry_output(mut terminal: File) -> io::Result<()> {
    let mut buffer = [0; 16 * 1024];
    while let Ok(count) = terminal.read(&mut buffer) {
        if count == 0 {
            break;
        }
        let mut output = io::stdout().lock();
        output.write_all(&buffer[..count])?;
        output.flush()?;
    }
    Ok(())
}
