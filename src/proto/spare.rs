//! What a thread has given up and may use again: for a `thread_local!`, whose `try_with` fails on a thread that is ending, which
//! has freed what it kept and keeps no more.

use core::cell::RefCell;

/// Things of a kind that are kept, the last one on top: it is the likeliest to be in a cache.
pub struct Spare<T>(RefCell<Vec<T>>);

impl<T> Default for Spare<T> {
    fn default() -> Spare<T> {
        Spare::new()
    }
}

impl<T> Spare<T> {
    /// None yet.
    pub const fn new() -> Spare<T> {
        Spare(RefCell::new(Vec::new()))
    }

    /// One that was kept.
    pub fn take(&self) -> Option<T> {
        self.0.borrow_mut().pop()
    }

    /// Keeps one, unless there are so many.
    pub fn keep(&self, most: usize, thing: T) {
        let mut kept = self.0.borrow_mut();
        if kept.len() < most {
            kept.push(thing);
        }
    }
}
