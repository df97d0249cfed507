//! This process's terminal: other modes for a while, and a line typed by a person.

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::io;
use std::os::fd::AsFd;

/// The size of a terminal: rows and columns. What is none, or does not know, is a usual one.
pub(crate) fn size(terminal: impl AsFd) -> (u16, u16) {
    match tcgetwinsize(terminal) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => (size.ws_row, size.ws_col),
        _ => (24, 80),
    }
}

/// The terminal in other modes; as it was before once this is dropped. Where there is none, nothing is done.
pub(crate) struct Changed(Option<Termios>);

impl Changed {
    /// Changes its modes. `when` says what becomes of what was typed before.
    pub(crate) fn by(when: OptionalActions, change: impl FnOnce(&mut Termios)) -> Self {
        let Ok(before) = tcgetattr(io::stdin()) else { return Self(None) };
        let mut after = before.clone();
        change(&mut after);
        match tcsetattr(io::stdin(), when, &after) {
            Ok(()) => Self(Some(before)),
            Err(_) => Self(None),
        }
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        if let Some(before) = &self.0 {
            let _ = tcsetattr(io::stdin(), OptionalActions::Now, before);
        }
    }
}

/// Reads a line; what is typed is not shown unless it may be `seen`.
pub(crate) fn line(seen: bool) -> io::Result<String> {
    let unseen = |modes: &mut Termios| modes.local_modes.remove(LocalModes::ECHO);
    let _unseen = (!seen).then(|| Changed::by(OptionalActions::Flush, unseen));
    let mut text = String::new();
    io::stdin().read_line(&mut text)?;
    Ok(text.trim_end_matches(['\r', '\n']).to_owned())
}
