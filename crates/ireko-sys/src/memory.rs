//! The end where there is no memory: a message and an exit code instead of an abort.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicPtr, Ordering};

/// Whose end an abort is, where there is no memory.
static AT_ABORT: AtomicPtr<OrExit> = AtomicPtr::new(std::ptr::null_mut());

/// Bytes; where the system has no such piece, its allocator has nothing left to give: it asks for no less.
const PIECE: usize = 1 << 20;

/// The system's allocator. Where it has nothing left, the process says so and ends with a code; what it was at is as
/// if it had been killed.
#[derive(Debug)]
pub struct OrExit {
    /// What it says, with its line end.
    pub message: &'static str,
    /// The code it ends with.
    pub code: i32,
}

impl OrExit {
    /// Ends so as well where the process is aborted and there is no memory: the standard library asks the system's
    /// allocator itself for some of its own (lists of what a thread drops at its end), and aborts where it gets none.
    /// Any other abort, and a signal that somebody sent, is as it was.
    pub fn also_at_abort(&'static self) {
        AT_ABORT.store(std::ptr::from_ref(self).cast_mut(), Ordering::SeqCst);
        // It cannot fail for a signal that is known.
        let _ = crate::signals::set_handler(libc::SIGABRT, at_abort as *const () as usize);
    }

    fn exit(&self) -> ! {
        // SAFETY: the bytes are a static string's, and `_exit` runs nothing of this process, which could want memory.
        unsafe {
            libc::write(2, self.message.as_ptr().cast(), self.message.len());
            libc::_exit(self.code)
        }
    }

    fn checked(&self, at: *mut u8) -> *mut u8 {
        if at.is_null() { self.exit() } else { at }
    }
}

extern "C" fn at_abort(_: libc::c_int) {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping that nothing uses, by a call that takes no lock of this process.
    let piece =
        unsafe { libc::mmap(std::ptr::null_mut(), PIECE, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
    // SAFETY: what is stored is null or was made of a `&'static OrExit`.
    if let (libc::MAP_FAILED, Some(end)) = (piece, unsafe { AT_ABORT.load(Ordering::SeqCst).as_ref() }) {
        end.exit();
    }
    // The signal as it is without this: sent again, it comes once this returns, also where no abort(3) waits for that.
    let _ = crate::signals::set_handler(libc::SIGABRT, libc::SIG_DFL);
    // SAFETY: raise is async-signal-safe.
    unsafe {
        libc::raise(libc::SIGABRT);
    }
}

// SAFETY: every call is the system allocator's, with the arguments as they came, and gives back what that gave.
unsafe impl GlobalAlloc for OrExit {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as our caller promised.
        self.checked(unsafe { System.alloc(layout) })
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: as our caller promised.
        self.checked(unsafe { System.alloc_zeroed(layout) })
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: as our caller promised.
        self.checked(unsafe { System.realloc(at, layout, size) })
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: as our caller promised.
        unsafe { System.dealloc(at, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::OrExit;
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;

    static END: OrExit = OrExit { message: "nothing left\n", code: 7 };

    /// What ends the process that this test starts, and where that is told.
    const PART: &str = "IREKO_TEST_ABORTS";

    #[test]
    #[expect(clippy::disallowed_methods, reason = "how a test tells its own copy how to end")]
    fn an_abort_is_told_where_there_is_no_memory() {
        if let Ok(part) = std::env::var(PART) {
            rustix::process::setrlimit(rustix::process::Resource::Core, limit(0)).expect("no core is dumped");
            END.also_at_abort();
            if part == "without" {
                rustix::process::setrlimit(rustix::process::Resource::As, limit(1)).expect("a lower limit");
            }
            if part == "sent" {
                // SAFETY: raise has no requirements; it comes to this thread before it returns.
                unsafe {
                    libc::raise(libc::SIGABRT);
                }
                std::process::exit(0);
            }
            std::process::abort();
        }
        let ended = |part: &str| {
            let this = std::env::current_exe().expect("a program has a path");
            let name = "memory::tests::an_abort_is_told_where_there_is_no_memory";
            let output =
                Command::new(this).args(["--exact", name]).env(PART, part).output().expect("a process");
            (output.status, String::from_utf8(output.stderr).expect("text"))
        };
        let (status, said) = ended("without");
        assert_eq!((status.code(), said.as_str()), (Some(7), "nothing left\n"));
        for part in ["with", "sent"] {
            let (status, said) = ended(part);
            assert_eq!((status.signal(), said.as_str()), (Some(libc::SIGABRT), ""), "{part}");
        }
    }

    fn limit(most: u64) -> rustix::process::Rlimit {
        rustix::process::Rlimit { current: Some(most), maximum: Some(most) }
    }
}
