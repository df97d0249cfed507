//! Calls that change or tell who owns a file.

use super::acl::Acl;
use super::book::path_of;
use super::calls::{At, Shape, Width};
use super::creds::NONE;
use super::kernel::{self, Answer, Asked};
use super::serve::Step;
use crate::owner::{Owner, RECORD};
use crate::raw::{Errno, Result};

/// Longer access lists are left to the kernel.
const LIST_MAX: usize = 4096;

/// What a look at a file may be told of how to look.
const LOOK_FLAGS: i32 = libc::AT_SYMLINK_NOFOLLOW | libc::AT_NO_AUTOMOUNT | libc::AT_STATX_SYNC_TYPE;

impl Step {
    pub(super) fn chown(&mut self, asked: &Asked, at: At, width: Width) -> Result<Answer> {
        let (first, flags) = match at {
            At::Dir => (2, asked.int(4)),
            _ => (1, 0),
        };
        if flags & !(libc::AT_SYMLINK_NOFOLLOW | libc::AT_EMPTY_PATH) != 0 {
            return Err(Errno(libc::EINVAL));
        }
        let (uid, gid) = (width.id(asked.argument(first)), width.id(asked.argument(first + 1)));
        let place = self.place(asked, at, flags)?;
        let file = self.open(&place)?;
        self.listener.waits(asked.id)?;
        let old = self.book.owner_of(&file);
        let new = self.people.who(asked.pid).chown(old, uid, gid)?;
        // What a change of owner does beside: it takes set-id bits and capabilities, and fails where nothing may be
        // written.
        let real = |id: u32| if id == NONE { NONE } else { 0 };
        kernel::chown(&file, real(uid), real(gid))?;
        if new != old || self.book.lists_paths() {
            self.book.give(&file, new)?;
        }
        Ok(Answer::Value(0))
    }

    pub(super) fn stat(&mut self, asked: &Asked, at: At, shape: Shape) -> Result<Answer> {
        let (buffer, flags) = match (at, shape) {
            (At::Dir, Shape::Extended) => (4, asked.int(2)),
            (At::Dir, _) => (2, asked.int(3)),
            _ => (1, 0),
        };
        let Ok(place) = self.place(asked, at, flags) else { return Ok(Answer::Native) };
        let owner = self.book.owner(&place);
        if owner == Owner::ROOT {
            return Ok(Answer::Native);
        }
        let mut look = flags & LOOK_FLAGS & !libc::AT_SYMLINK_NOFOLLOW;
        if !place.follow {
            look |= libc::AT_SYMLINK_NOFOLLOW;
        }
        match shape {
            Shape::Extended => {
                let mask = asked.argument(3) as u32;
                let mut found = kernel::statx(crate::raw::AT_CWD, &place.path, look, mask)?;
                (found.stx_uid, found.stx_gid) = (owner.uid, owner.gid);
                self.tell(asked, buffer, kernel::bytes_of(&found))?;
            }
            Shape::Own | Shape::Old => {
                let mut found = kernel::stat(&place.path, look)?;
                (found.st_uid, found.st_gid) = (owner.uid, owner.gid);
                match shape {
                    Shape::Old => self.tell(asked, buffer, &old_stat(&found))?,
                    _ => self.tell(asked, buffer, kernel::bytes_of(&found))?,
                }
            }
        }
        Ok(Answer::Value(0))
    }

    /// A file from below whose owner is known by its path is about to have another: from now on by its number.
    pub(super) fn before_move(&mut self, asked: &Asked, at: At) -> Result<Answer> {
        if self.book.lists_paths()
            && let Ok(place) = self.place(asked, at, libc::AT_SYMLINK_NOFOLLOW)
            && let Ok(file) = self.open(&place)
            && let Some(owner) = self.book.by_path(&file)
        {
            self.listener.waits(asked.id)?;
            // Changes nothing but where it lies. If that is refused, so is what was asked.
            kernel::chown(&file, NONE, NONE)?;
            self.book.list(&file, owner);
        }
        Ok(Answer::Native)
    }

    /// An access list that names others than root gives the file its mode, and is forgotten.
    pub(super) fn set_attribute(&mut self, asked: &Asked, at: At) -> Result<Answer> {
        const LISTS: &[u8] = b"system.posix_acl_";
        let length = asked.argument(3) as usize;
        let name = self.path(asked, 1)?;
        let Some(kind) = name.strip_prefix(LISTS).filter(|_| length <= LIST_MAX) else {
            return Ok(Answer::Native);
        };
        let mut value = vec![0_u8; length];
        let read = kernel::peek(asked.pid, asked.argument(2), &mut value);
        let acl = read.ok().filter(|count| *count == length).and_then(|_| Acl::parse(&value));
        let Some(acl) = acl.filter(|acl| acl.foreign) else { return Ok(Answer::Native) };
        let file = self.open(&self.place(asked, at, 0)?)?;
        self.listener.waits(asked.id)?;
        let path = path_of(&file);
        if kind == b"access" {
            let kept = kernel::stat(&path, 0)?.st_mode & 0o7000;
            kernel::change_mode(&path, kept | acl.mode)?;
        }
        Ok(Answer::Value(0))
    }

    /// The names of attributes, without the note.
    pub(super) fn list(&mut self, asked: &Asked, at: At) -> Result<Answer> {
        let Ok(place) = self.place(asked, at, 0) else { return Ok(Answer::Native) };
        let Ok(all) = kernel::attributes(&place.path, place.follow) else { return Ok(Answer::Native) };
        let names = all.split_inclusive(|byte| *byte == 0);
        let shown: Vec<&[u8]> =
            names.filter(|name| name.strip_suffix(b"\0") != Some(RECORD.as_bytes())).collect();
        let shown = shown.concat();
        let room = asked.argument(2) as usize;
        match room {
            _ if shown.len() == all.len() => return Ok(Answer::Native),
            0 => {}
            room if room < shown.len() => return Err(Errno(libc::ERANGE)),
            _ => self.tell(asked, 1, &shown)?,
        }
        Ok(Answer::Value(shown.len() as i64))
    }
}

/// The structure that `stat64` fills for i386.
pub(super) fn old_stat(stat: &libc::stat) -> [u8; 96] {
    let mut bytes = [0_u8; 96];
    let mut put = |at: usize, value: &[u8]| {
        if let Some(place) = bytes.get_mut(at..at + value.len()) {
            place.copy_from_slice(value);
        }
    };
    let half = |value: i64| (value as u32).to_le_bytes();
    put(0, &stat.st_dev.to_le_bytes());
    put(12, &(stat.st_ino as u32).to_le_bytes());
    put(16, &stat.st_mode.to_le_bytes());
    put(20, &(stat.st_nlink as u32).to_le_bytes());
    put(24, &stat.st_uid.to_le_bytes());
    put(28, &stat.st_gid.to_le_bytes());
    put(32, &stat.st_rdev.to_le_bytes());
    put(44, &stat.st_size.to_le_bytes());
    put(52, &(stat.st_blksize as u32).to_le_bytes());
    put(56, &stat.st_blocks.to_le_bytes());
    for (at, (seconds, nanos)) in [
        (64, (stat.st_atime, stat.st_atime_nsec)),
        (72, (stat.st_mtime, stat.st_mtime_nsec)),
        (80, (stat.st_ctime, stat.st_ctime_nsec)),
    ] {
        put(at, &half(seconds));
        put(at + 4, &half(nanos));
    }
    put(88, &stat.st_ino.to_le_bytes());
    bytes
}
