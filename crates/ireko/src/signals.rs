//! Ctrl-C and SIGTERM as a wish to stop.

use crate::failure::Failure;
use ireko_exec::Cancel;

/// SIGHUP, SIGINT, SIGTERM.
const STOPPING: [i32; 3] = [1, 2, 15];

/// The first signal asks the build to stop; the second ends the process at once.
pub(crate) fn cancel_on_signals() -> Result<Cancel, Failure> {
    let cancel = Cancel::default();
    let mut signals = ireko_sys::signals::listen(&STOPPING)
        .map_err(|error| Failure::environment("cannot listen for signals").cause(error))?;
    let asked = cancel.clone();
    std::thread::spawn(move || {
        while signals.next(None).is_some() {
            if asked.is_wished() {
                std::process::exit(i32::from(ireko_report::Blame::Interrupted.exit_code()));
            }
            asked.ask();
        }
    });
    Ok(cancel)
}
