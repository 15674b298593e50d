//! What a host gives its hooks, and takes back.

use core::ffi::c_void;

use super::boundary::in_hook;

/// What belongs to a hook of the host.
pub(super) struct User {
    user: *mut c_void,
    drop: Option<unsafe extern "C" fn(user: *mut c_void)>,
}

// SAFETY: the pointer is only handed back to the host, which promises that its hooks take it on any thread
// that opens or frees.
unsafe impl Send for User {}
// SAFETY: as above; hooks are called by one opening at a time for each options object and its copies, or
// the host says otherwise.
unsafe impl Sync for User {}

impl User {
    /// What the host calls a hook with, and what it wants called at the end.
    pub(super) fn new(user: *mut c_void, drop: Option<unsafe extern "C" fn(user: *mut c_void)>) -> User {
        User { user, drop }
    }

    /// What the hook is called with.
    pub(super) fn pointer(&self) -> *mut c_void {
        self.user
    }
}

impl Drop for User {
    fn drop(&mut self) {
        if let Some(drop) = self.drop {
            // SAFETY: the host's function with the host's pointer, once.
            in_hook(|| unsafe { drop(self.user) });
        }
    }
}
