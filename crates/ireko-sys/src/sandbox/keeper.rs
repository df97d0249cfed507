//! The process that looks after a command which has no process namespace of its own.
//!
//! A command started by chroot could leave processes behind, which nothing would end. So it is the child of a keeper:
//! a copy of this process that adopts whatever the command orphans, forwards signals to it, and, once the command has
//! ended, or this process has, or the wish to kill has come, kills all that are left and ends as the command did.
//!
//! The keeper is a fork of a process with threads: raw calls only.

use std::ffi::CStr;
use std::io::Read;
use std::os::fd::{AsRawFd, OwnedFd};

use libc::{c_int, c_ulong};
use rustix::pipe::{PipeFlags, pipe_with};

use super::child::Work;
use super::spawn::entry;
use crate::error::{Error, Result};
use crate::raw::family::{self, Patience};
use crate::raw::{self, Errno};

/// A keeper and the line to it.
pub(super) struct Kept {
    pub(super) pid: c_int,
    pub(super) pidfd: OwnedFd,
    /// What is written here, or its end, makes the keeper kill all.
    pub(super) line: OwnedFd,
}

/// How far the command came, as the keeper tells it: stage, error number, whether an interpreter is missing.
const REPORT: usize = 12;

/// Starts the command below a keeper, in the control group `group` where one is given. What the command's start left in
/// `work` is brought back.
pub(super) fn start(work: &mut Work<'_>, group: Option<c_int>) -> Result<Kept> {
    let failed = |errno: rustix::io::Errno| Error::deed("make a pipe to the command's keeper", errno);
    let (wait, line) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    let (report, tell) = pipe_with(PipeFlags::CLOEXEC).map_err(failed)?;
    // A handler of ours must not run in the copy.
    let mask = raw::set_signal_mask(u64::MAX);
    // SAFETY: `keep` makes raw system calls only and does not return.
    let pid = match unsafe { family::fork() } {
        Ok(0) => keep(work, group, wait.as_raw_fd(), tell.as_raw_fd()),
        other => other,
    };
    raw::set_signal_mask(mask);
    let failed =
        |cause: std::io::Error| Error::SetUp { deed: "start a keeper of the command".to_owned(), cause };
    let pid = pid.map_err(|errno| failed(errno.into()))?;
    drop((wait, tell));
    let handle = rustix::process::Pid::from_raw(pid).ok_or(rustix::io::Errno::SRCH);
    let pidfd = handle.and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()));
    let pidfd = pidfd.map_err(|errno| failed(errno.into()))?;
    let mut bytes = [0_u8; REPORT];
    let kept = Kept { pid, pidfd, line };
    std::fs::File::from(report).read_exact(&mut bytes).map_err(failed)?;
    let [stage, errno, lacks] = numbers(bytes);
    work.stage = usize::try_from(stage).unwrap_or(usize::MAX);
    (work.errno, work.lacks_interpreter) = (errno, lacks != 0);
    Ok(kept)
}

fn numbers(bytes: [u8; REPORT]) -> [c_int; 3] {
    let [a, b, c, d, e, f, g, h, i, j, k, l] = bytes;
    [[a, b, c, d], [e, f, g, h], [i, j, k, l]].map(c_int::from_ne_bytes)
}

/// The keeper's life.
fn keep(work: &mut Work<'_>, group: Option<c_int>, wait: c_int, tell: c_int) -> ! {
    // Signals of the caller's terminal are not for the command.
    let _ = raw::setsid();
    let _ = raw::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0);
    // Until the command runs this process hears of nothing: it ends with its parent, and the child with it.
    let _ = raw::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL as c_ulong, 0);
    if raw::has_ended(work.parent) {
        raw::exit(127);
    }
    let argument = std::ptr::from_mut(work).cast::<std::ffi::c_void>();
    // SAFETY: `entry` takes such a pointer, which nobody else uses while this process is suspended; it keeps to the
    // rules of `child`.
    let started = unsafe { raw::clone::start(0, group, entry, argument) };
    let child = match started {
        // Dropped, it would be closed by a call that is as raw.
        Ok((pid, pidfd)) => {
            std::mem::forget(pidfd);
            pid
        }
        Err(Errno(errno)) => {
            (work.stage, work.errno) = (usize::MAX, errno);
            0
        }
    };
    let stage = c_int::try_from(work.stage).unwrap_or(c_int::MAX);
    for number in [stage, work.errno, c_int::from(work.lacks_interpreter)] {
        if raw::write(tell, &number.to_ne_bytes()).is_err() {
            break;
        }
    }
    if child == 0 || work.errno != 0 {
        raw::exit(127);
    }
    let _ = raw::prctl(libc::PR_SET_PDEATHSIG, 0, 0);
    let (line, news) = match settle(wait) {
        Ok(descriptors) => descriptors,
        Err(_) => raw::exit(127),
    };
    let status = attend(child, line, news);
    end_all();
    leave_as(status)
}

/// Keeps the line and the signals, and lets go of everything else this process's copy holds open: other commands' pipes,
/// locks, the streams.
fn settle(wait: c_int) -> raw::Result<(c_int, c_int)> {
    raw::dup3(wait, 0)?;
    raw::close_from(1);
    Ok((0, family::signals(u64::MAX)?))
}

/// Until the command has ended, or is to end. How it ended; none where all are to be killed.
fn attend(child: c_int, line: c_int, news: c_int) -> Option<c_int> {
    loop {
        let (asked, signalled) = match family::either(line, news) {
            Ok(ready) => ready,
            Err(Errno(libc::EINTR)) => continue,
            Err(_) => return None,
        };
        if asked {
            family::kill(child, libc::SIGKILL);
            return None;
        }
        if !signalled {
            continue;
        }
        let mut news_of_one = [0_u8; 128];
        let number = match family::read(news, &mut news_of_one) {
            Ok([a, b, c, d, ..]) => c_int::from_ne_bytes([*a, *b, *c, *d]),
            _ => continue,
        };
        if number != libc::SIGCHLD {
            family::kill(child, number);
            continue;
        }
        while let Ok(Some((pid, status))) = family::reap(Patience::Look) {
            if pid == child {
                return Some(status);
            }
        }
    }
}

/// Kills what is left, until nothing is.
fn end_all() {
    loop {
        match family::reap(Patience::Look) {
            Ok(Some(_)) => {}
            Ok(None) => {
                // What they leave behind comes here, and is found the next time.
                kill_children();
                if family::reap(Patience::Wait).is_err() {
                    return;
                }
            }
            Err(_) => return,
        }
    }
}

/// Kills each process whose parent this one is.
fn kill_children() {
    let Ok(proc) = raw::openat(raw::AT_CWD, c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0) else { return };
    let own = family::own_pid();
    let mut buffer = [0_u8; 8192];
    while let Ok(records) = family::entries(proc, &mut buffer) {
        if records.is_empty() {
            break;
        }
        let mut rest = records;
        while let Some((name, after)) = first_name(rest) {
            if let Some(pid) = number(name)
                && parent_of(proc, name) == Some(own)
            {
                family::kill(pid, libc::SIGKILL);
            }
            rest = after;
        }
    }
    raw::close(proc);
}

/// The name in the first directory record, and the records after it.
fn first_name(records: &[u8]) -> Option<(&[u8], &[u8])> {
    const NAME: usize = 19;
    let length = records.get(16..18)?;
    let length = usize::from(u16::from_ne_bytes([*length.first()?, *length.get(1)?]));
    let (record, after) = records.split_at_checked(length)?;
    let name = record.get(NAME..)?;
    let end = name.iter().position(|byte| *byte == 0)?;
    Some((name.get(..end)?, after))
}

fn number(digits: &[u8]) -> Option<c_int> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0, |number: c_int, digit| {
        let digit = digit.is_ascii_digit().then(|| c_int::from(digit.wrapping_sub(b'0')))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}

/// The parent of the process of that name in /proc, by its `stat`.
fn parent_of(proc: c_int, pid: &[u8]) -> Option<c_int> {
    let mut path = [0_u8; 32];
    let (digits, rest) = path.split_at_mut_checked(pid.len())?;
    digits.copy_from_slice(pid);
    rest.get_mut(..5)?.copy_from_slice(b"/stat");
    let path = CStr::from_bytes_until_nul(&path).ok()?;
    let file = raw::openat(proc, path, libc::O_RDONLY, 0).ok()?;
    let mut text = [0_u8; 512];
    let parent = family::read(file, &mut text).ok().and_then(parent_in);
    raw::close(file);
    parent
}

/// The fourth field. The second is a name in parentheses that may hold anything.
fn parent_in(stat: &[u8]) -> Option<c_int> {
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = stat.get(end..)?.split(|byte| *byte == b' ').skip(2);
    number(fields.next()?)
}

/// Ends as the command did; killed where it was to be.
fn leave_as(status: Option<c_int>) -> ! {
    let signal = match status {
        Some(status) if libc::WIFEXITED(status) => raw::exit(libc::WEXITSTATUS(status)),
        Some(status) => libc::WTERMSIG(status),
        None => libc::SIGKILL,
    };
    // No second core file.
    let _ = raw::set_rlimit(libc::RLIMIT_CORE, 0, 0);
    raw::reset_signal_handlers();
    raw::set_signal_mask(0);
    family::kill(family::own_pid(), signal);
    raw::exit(128_i32.saturating_add(signal))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parent_is_found_whatever_the_name() {
        assert_eq!(parent_in(b"12 (sh) S 7 12 12 0"), Some(7));
        assert_eq!(parent_in(b"12 (a) S 3 (b)) R 8 1"), Some(8));
        assert_eq!(parent_in(b"12 (sh"), None);
        assert_eq!(parent_in(b""), None);
        assert_eq!(number(b"1234567890"), None);
        assert_eq!(number(b"self"), None);
    }

    #[test]
    fn this_process_finds_its_own_parent() {
        let proc = raw::openat(raw::AT_CWD, c"/proc", libc::O_RDONLY | libc::O_DIRECTORY, 0).unwrap();
        let own = std::process::id().to_string();
        let parent = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
        assert_eq!(parent_of(proc, own.as_bytes()), parent);
        let (mut buffer, mut found) = ([0_u8; 8192], false);
        while let Ok(mut records) = family::entries(proc, &mut buffer) {
            if records.is_empty() {
                break;
            }
            while let Some((name, after)) = first_name(records) {
                found |= name == own.as_bytes();
                records = after;
            }
        }
        raw::close(proc);
        assert!(found);
    }
}
