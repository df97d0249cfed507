//! Calls that make files: what somebody makes who is not root belongs to them, and what is made in a directory that
//! hands its group on has that group.

use std::ffi::CStr;
use std::os::fd::OwnedFd;

use super::book::path_of;
use super::calls::{At, Call};
use super::kernel::{self, Answer, Asked};
use super::place::{place, split};
use super::serve::{Step, c_bytes, umask_of};
use crate::owner::Owner;
use crate::raw::{self, Errno, Result};

/// A call that makes a file, wherever its arguments are.
struct Making {
    dir: i32,
    path: Vec<u8>,
    mode: u32,
    what: What,
}

enum What {
    File { flags: i32 },
    Dir,
    Node,
    Link { text: Vec<u8> },
}

const TMPFILE: i32 = libc::O_TMPFILE & !libc::O_DIRECTORY;

impl Step {
    pub(super) fn create(&mut self, asked: &Asked, call: Call) -> Result<Answer> {
        let Some(making) = self.making(asked, call)? else { return Ok(Answer::Native) };
        let unnamed = matches!(making.what, What::File { flags } if flags & TMPFILE != 0);
        let (above, name) = if unnamed { (making.path.as_slice(), &b""[..]) } else { split(&making.path) };
        let above = place(asked.pid, making.dir, above, true)?;
        // Without a directory there is nothing to be made, which the kernel says better.
        let Ok(found) = kernel::statx(raw::AT_CWD, &above.path, 0, libc::STATX_MODE) else {
            return Ok(Answer::Native);
        };
        let hands_on = u32::from(found.stx_mode) & libc::S_ISGID != 0;
        let handed_on = hands_on.then(|| self.book.owner(&above).gid);
        let owner = self.people.who(asked.pid).makes(handed_on);
        if owner == Owner::ROOT && !(self.book.lists_paths() && is_special(&making)) {
            return Ok(Answer::Native);
        }
        let dir = kernel::open(&above.path, libc::O_PATH | libc::O_DIRECTORY, 0)?;
        let umask = umask_of(asked.pid)?;
        self.listener.waits(asked.id)?;
        raw::umask(umask);
        let path = match unnamed {
            true => path_of(&dir),
            false => c_bytes([path_of(&dir).as_bytes(), b"/", name].concat())?,
        };
        match &making.what {
            What::File { flags } => return self.create_file(asked, (&path, making.mode, *flags), owner),
            What::Dir => kernel::make_dir(&path, making.mode)?,
            What::Node => kernel::make_node(&path, making.mode)?,
            What::Link { text } => kernel::make_link(&c_bytes(text.clone())?, &path)?,
        }
        let made = kernel::open(&path, libc::O_PATH | libc::O_NOFOLLOW, 0)?;
        self.book.give(&made, owner)?;
        Ok(Answer::Value(0))
    }

    fn create_file(&mut self, asked: &Asked, new: (&CStr, u32, i32), owner: Owner) -> Result<Answer> {
        let (.., flags) = new;
        let file = match new_file(new) {
            Ok(file) => file,
            // It is there already, or cannot be: either way the kernel's own business.
            Err(_) if flags & libc::O_EXCL == 0 => return Ok(Answer::Native),
            Err(errno) => return Err(errno),
        };
        self.book.give(&file, owner)?;
        self.listener.answer_with(asked.id, &file, flags & libc::O_CLOEXEC != 0)?;
        Ok(Answer::Given)
    }

    /// What a call makes; nothing where that is none of ours.
    fn making(&self, asked: &Asked, call: Call) -> Result<Option<Making>> {
        let at = |at: At, first: usize| -> Result<(i32, Vec<u8>, usize)> {
            match at {
                At::Dir => Ok((asked.int(first), self.path(asked, first + 1)?, first + 2)),
                _ => Ok((raw::AT_CWD, self.path(asked, first)?, first + 1)),
            }
        };
        let mode = |argument: usize| asked.argument(argument) as u32 & 0o7777;
        let making = match call {
            Call::Open(kind) => {
                let (dir, path, next) = at(kind, 0)?;
                let flags = asked.int(next);
                Making { dir, path, mode: mode(next + 1), what: What::File { flags } }
            }
            Call::OpenHow => {
                let (dir, path, next) = at(At::Dir, 0)?;
                let words = self.words(asked, next, 6)?;
                let [flags, _, its_mode, _, resolve, more] = words[..] else { return Ok(None) };
                let flags = flags.cast_signed();
                if flags & (libc::O_CREAT | TMPFILE) == 0 || (resolve, more) != (0, 0) {
                    return Ok(None);
                }
                Making { dir, path, mode: its_mode & 0o7777, what: What::File { flags } }
            }
            Call::Create => {
                let (dir, path, next) = at(At::Path, 0)?;
                let flags = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
                Making { dir, path, mode: mode(next), what: What::File { flags } }
            }
            Call::MakeDir(kind) => {
                let (dir, path, next) = at(kind, 0)?;
                Making { dir, path, mode: mode(next), what: What::Dir }
            }
            Call::MakeNode(kind) => {
                let (dir, path, next) = at(kind, 0)?;
                let mode = asked.argument(next) as u32 & (0o7777 | libc::S_IFMT);
                // The kernel refuses devices, and may do so.
                if !matches!(mode & libc::S_IFMT, 0 | libc::S_IFREG | libc::S_IFIFO | libc::S_IFSOCK) {
                    return Ok(None);
                }
                Making { dir, path, mode, what: What::Node }
            }
            Call::Link(kind) => {
                let text = self.path(asked, 0)?;
                let (dir, path, _) = at(kind, 1)?;
                Making { dir, path, mode: 0, what: What::Link { text } }
            }
            _ => return Ok(None),
        };
        let ours = !matches!(making.what, What::File { flags } if flags & libc::O_PATH != 0);
        Ok((ours && !making.path.is_empty()).then_some(making))
    }
}

/// Whether no note can say whose it is.
fn is_special(making: &Making) -> bool {
    match making.what {
        What::Link { .. } => true,
        What::Node => making.mode & libc::S_IFMT != libc::S_IFREG,
        What::File { .. } | What::Dir => false,
    }
}

/// Opens a file that was not there.
fn new_file((path, mode, flags): (&CStr, u32, i32)) -> Result<OwnedFd> {
    let only_new = if flags & TMPFILE != 0 { 0 } else { libc::O_EXCL };
    match kernel::open(path, flags | only_new, mode) {
        // A link that leads nowhere yet: the file is made where it leads to.
        Err(Errno(libc::EEXIST))
            if flags & (libc::O_EXCL | libc::O_NOFOLLOW) == 0
                && kernel::statx(raw::AT_CWD, path, 0, 0).err() == Some(Errno(libc::ENOENT)) =>
        {
            kernel::open(path, flags, mode)
        }
        opened => opened,
    }
}
