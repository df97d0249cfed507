//! Calls that change or tell who a process is.

use super::calls::{At, Call, Shape, Which, Width};
use super::creds::{Creds, EINVAL, EPERM, Ids, Program};
use super::kernel::{self, Answer, Asked};
use super::serve::{Step, file_caps};
use crate::raw::{self, Errno, Result};

const DONE: Result<Answer> = Ok(Answer::Value(0));

/// Versions of the structure of capget and capset, and how many words each set of it has.
const CAP_VERSIONS: [(u32, usize); 3] = [(0x1998_0330, 1), (0x2007_1026, 2), (0x2008_0522, 2)];

impl Step {
    pub(super) fn identity(&mut self, asked: &Asked, call: Call) -> Result<Answer> {
        let pid = asked.pid;
        let who = self.people.who(pid);
        let id = |width: Width, at: usize| width.id(asked.argument(at));
        let new = match call {
            Call::Set(kind, width) => who.set(kind, id(width, 0))?,
            Call::SetTwo(kind, width) => who.set_two(kind, id(width, 0), id(width, 1))?,
            Call::SetThree(kind, width) => who.set_three(kind, [id(width, 0), id(width, 1), id(width, 2)])?,
            Call::SetFs(kind, width) => {
                let (old, new) = (who.ids(kind).fs, who.set_fs(kind, id(width, 0)));
                self.become_one(pid, new)?;
                return Ok(Answer::Value(old.into()));
            }
            Call::SetGroups(width) => self.groups_set(asked, width)?,
            Call::SetCaps => self.caps_set(asked)?,
            Call::KeepCaps => match (asked.int(0), asked.argument(1)) {
                (libc::PR_GET_KEEPCAPS, _) => return Ok(Answer::Value(who.keep_caps.into())),
                (_, 0 | 1) => Creds { keep_caps: asked.argument(1) == 1, ..who.clone() },
                _ => return Err(EINVAL),
            },
            other => return self.told(asked, other),
        };
        self.become_one(pid, new)?;
        DONE
    }

    fn become_one(&mut self, pid: u32, new: Creds) -> Result<()> {
        if *self.people.who(pid) == new { Ok(()) } else { self.people.become_one(pid, new) }
    }

    fn told(&mut self, asked: &Asked, call: Call) -> Result<Answer> {
        let who = self.people.who(asked.pid);
        match call {
            Call::Get(kind, Which::Real) => Ok(Answer::Value(who.ids(kind).real.into())),
            Call::Get(kind, Which::Effective) => Ok(Answer::Value(who.ids(kind).effective.into())),
            Call::GetThree(kind, width) => {
                let Ids { real, effective, saved, .. } = who.ids(kind);
                for (at, id) in [real, effective, saved].into_iter().enumerate() {
                    self.tell(asked, at, &bytes(&[id], width))?;
                }
                DONE
            }
            Call::GetGroups(width) => {
                let groups = who.groups.clone();
                let count = i64::try_from(groups.len()).unwrap_or(0);
                match asked.int(0) {
                    0 => {}
                    room if i64::from(room) < count => return Err(EINVAL),
                    _ if groups.is_empty() => {}
                    _ => self.tell(asked, 1, &bytes(&groups, width))?,
                }
                Ok(Answer::Value(count))
            }
            Call::GetCaps => self.caps_told(asked),
            Call::Peer => self.peer(asked),
            Call::LimitBoth => {
                if asked.argument(3) != 0 {
                    self.tell(asked, 3, &[0xff; 16])?;
                }
                DONE
            }
            Call::GetLimit(shape) => {
                let all = [0xff; 16];
                self.tell(asked, 1, if shape == Shape::Old { &all[..8] } else { &all })?;
                DONE
            }
            Call::SetLimit => DONE,
            _ => Ok(Answer::Native),
        }
    }

    fn groups_set(&self, asked: &Asked, width: Width) -> Result<Creds> {
        let who = self.people.who(asked.pid);
        let count = asked.int(0);
        // Who may not, is told so first.
        who.set_groups(Vec::new())?;
        let count = usize::try_from(count).ok().filter(|count| *count <= 65_536).ok_or(EINVAL)?;
        let groups = match width {
            Width::Wide => self.words(asked, 1, count)?,
            Width::Narrow => {
                let words = self.words(asked, 1, count.div_ceil(2))?;
                words.iter().flat_map(|word| [word & 0xffff, word >> 16]).take(count).collect()
            }
        };
        who.set_groups(groups)
    }

    /// The version of a capability structure, and whether it is about the caller.
    fn cap_header(&self, asked: &Asked) -> Result<(usize, u32)> {
        let words = self.words(asked, 0, 2)?;
        let [version, pid] = words[..] else { return Err(Errno(libc::EFAULT)) };
        let known = CAP_VERSIONS.iter().find(|(known, _)| *known == version);
        known.map(|(_, count)| (*count, pid)).ok_or(EINVAL)
    }

    fn caps_told(&self, asked: &Asked) -> Result<Answer> {
        // A question about the version alone is the kernel's to answer, and so is one about somebody else.
        let Ok((count, pid)) = self.cap_header(asked) else { return Ok(Answer::Native) };
        if asked.argument(1) == 0 || (pid != 0 && !is_own(asked.pid, pid)) {
            return Ok(Answer::Native);
        }
        let who = self.people.who(asked.pid);
        let sets = [who.effective, who.permitted, who.inheritable];
        let words: Vec<u32> =
            (0..count).flat_map(|half| sets.map(|set| (set >> (32 * half)) as u32)).collect();
        self.tell(asked, 1, &bytes(&words, Width::Wide))?;
        DONE
    }

    fn caps_set(&self, asked: &Asked) -> Result<Creds> {
        let (count, pid) = self.cap_header(asked)?;
        if pid != 0 && !is_own(asked.pid, pid) {
            return Err(EPERM);
        }
        let words = self.words(asked, 1, count * 3)?;
        let set = |at: usize| {
            let word = |at: usize| u64::from(words.get(at).copied().unwrap_or(0));
            word(at) | word(at + 3) << 32
        };
        self.people.who(asked.pid).set_caps(set(0), set(1), set(2))
    }

    /// Who is at the other end of a socket.
    fn peer(&mut self, asked: &Asked) -> Result<Answer> {
        let Ok(peer) = kernel::peer(asked.pid, asked.int(0)) else { return Ok(Answer::Native) };
        let Some(pid) = u32::try_from(peer.pid).ok().filter(|pid| *pid != 0) else {
            return Ok(Answer::Native);
        };
        let who = self.people.who(pid);
        let (user, group) = (who.user.effective, who.group.effective);
        let told = bytes(&[inner_pid(pid).unwrap_or(0), user, group], Width::Wide);
        let room = self.words(asked, 4, 1)?.first().copied().unwrap_or(0) as usize;
        let told = told.get(..room.min(told.len())).unwrap_or(&[]);
        self.tell(asked, 3, told)?;
        self.tell(asked, 4, &bytes(&[told.len() as u32], Width::Wide))?;
        DONE
    }

    /// A program is started: its set-id bits count by the owner that it is said to have.
    pub(super) fn exec(&mut self, asked: &Asked, at: At) -> Result<Answer> {
        let flags = if at == At::Dir { asked.int(4) } else { 0 };
        let Ok(place) = self.place(asked, at, flags) else { return Ok(Answer::Native) };
        let mask = libc::STATX_MODE | libc::STATX_TYPE;
        let nofollow = if place.follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
        // What cannot be run changes nobody.
        let Ok(found) = kernel::statx(raw::AT_CWD, &place.path, nofollow, mask) else {
            return Ok(Answer::Native);
        };
        let mode = u32::from(found.stx_mode);
        if mode & libc::S_IFMT != libc::S_IFREG || mode & 0o111 == 0 {
            return Ok(Answer::Native);
        }
        let who = self.people.who(asked.pid);
        let mut program = Program::default();
        if mode & (libc::S_ISUID | libc::S_ISGID) != 0 && !is_script(&place.path) {
            let owner = self.book.owner(&place);
            program.user = (mode & libc::S_ISUID != 0).then_some(owner.uid);
            let group_bits = libc::S_ISGID | libc::S_IXGRP;
            program.group = (mode & group_bits == group_bits).then_some(owner.gid);
        }
        if who.user.effective != 0 {
            program.caps = file_caps(&place.path);
        }
        let new = who.after_exec(&program);
        self.listener.waits(asked.id)?;
        self.become_one(asked.pid, new)?;
        Ok(Answer::Native)
    }
}

fn bytes(ids: &[u32], width: Width) -> Vec<u8> {
    match width {
        Width::Wide => ids.iter().flat_map(|id| id.to_ne_bytes()).collect(),
        Width::Narrow => {
            // As the kernel tells ids that do not fit.
            let narrow = |id: u32| u16::try_from(id).unwrap_or(65_534);
            ids.iter().flat_map(|id| narrow(*id).to_ne_bytes()).collect()
        }
    }
}

/// The number that a process has in the step.
fn inner_pid(pid: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    numbers.split_whitespace().next_back()?.parse().ok()
}

/// Whether a process means itself by a number.
fn is_own(pid: u32, number: u32) -> bool {
    inner_pid(pid) == Some(number)
}

/// Whether a file names an interpreter, for which its set-id bits do not count.
fn is_script(path: &std::ffi::CStr) -> bool {
    use std::io::Read;
    let Ok(file) = kernel::open(path, libc::O_RDONLY | libc::O_NONBLOCK, 0) else { return false };
    let mut begin = [0_u8; 2];
    std::fs::File::from(file).read_exact(&mut begin).is_ok() && begin == *b"#!"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_told_in_the_width_of_the_call() {
        assert_eq!(bytes(&[1, 70_000], Width::Narrow), [1, 0, 0xfe, 0xff]);
        assert_eq!(bytes(&[1], Width::Wide), [1, 0, 0, 0]);
    }
}
