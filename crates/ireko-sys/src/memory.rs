//! The end where there is no memory: a message and an exit code instead of an abort.

use std::alloc::{GlobalAlloc, Layout, System};

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
