//! How other threads speak to a loop: requests go in through a bounded queue, completions come back
//! through a second one with a file descriptor that is readable while there are any.
//!
//! A request holds its place in the window from [`Handle::submit`] until its completion is reaped, so
//! neither queue can overflow and a completion is never dropped.

use core::fmt;
use core::time::Duration;
use std::os::fd::RawFd;

use crate::proto::io::{Blind, Options, Reply, Request};

/// A request that owns its bytes, to cross threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRequest {
    /// Number of the keyspace; 0 is `default`.
    pub keyspace: u16,
    /// The key.
    pub key: Vec<u8>,
    /// What to do.
    pub operation: OwnedOperation,
    /// Settings.
    pub options: Options,
}

/// What an [`OwnedRequest`] does; see [`crate::proto::io::Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedOperation {
    /// Read.
    Get,
    /// Write a value.
    Put {
        /// The value.
        value: Vec<u8>,
        /// A context token; what it covers is replaced.
        context: Option<Vec<u8>>,
        /// What a missing context means.
        blind: Blind,
        /// Absolute expiry, in milliseconds of wall time.
        expires_ms: Option<u64>,
    },
    /// Write a tombstone.
    Delete {
        /// A context token; what it covers is deleted.
        context: Option<Vec<u8>>,
        /// What a missing context means.
        blind: Blind,
    },
}

impl OwnedRequest {
    /// The same request, borrowed.
    pub fn as_request(&self) -> Request<'_> {
        todo!()
    }
}

/// The end of a request that was submitted. Exactly one comes for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As given to [`Handle::submit`].
    pub tag: u64,
    /// The answer; `None` if the node was stopped before the request began (nothing was done).
    pub reply: Option<Reply>,
}

/// Why a request was not taken; no completion will come for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The window is full: reap completions first.
    Full,
    /// The node is stopping or stopped.
    Closed,
}

/// Another thread is reaping at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another thread is reaping")
    }
}

impl std::error::Error for Busy {}

/// A thread-safe reference to a loop; outlives it harmlessly. Cheap to clone.
#[derive(Clone)]
pub struct Handle {}

impl Handle {
    /// Hands a request to the loop, and wakes it if it sleeps. `tag` comes back in the completion.
    ///
    /// # Errors
    /// The request was not taken.
    pub fn submit(&self, _request: OwnedRequest, _tag: u64) -> Result<(), Refusal> {
        todo!()
    }

    /// Moves up to `max` completions to the end of `into`; returns how many. Never waits.
    ///
    /// # Errors
    /// Another thread is reaping.
    pub fn reap(&self, _into: &mut Vec<Completion>, _max: usize) -> Result<usize, Busy> {
        todo!()
    }

    /// Waits until there is a completion to reap, at most for `timeout` (`None` is for ever). Returns
    /// whether there is one.
    pub fn wait(&self, _timeout: Option<Duration>) -> bool {
        todo!()
    }

    /// An eventfd that is readable exactly while [`Handle::reap`] would return something. Poll it, level
    /// triggered; never read it. Valid as long as any clone of the handle.
    pub fn completion_fd(&self) -> RawFd {
        todo!()
    }

    /// Makes the loop turn once. May be called from a signal handler.
    pub fn wake(&self) {
        todo!()
    }

    /// Asks the loop to stop: it accepts nothing more, ends what is in flight within `grace`, syncs and
    /// marks the store clean. May be called from a signal handler; a second call may shorten the grace.
    pub fn stop(&self, _grace: Duration) {
        todo!()
    }

    /// Asks the loop to call its reload hook (a program's SIGHUP). May be called from a signal handler.
    pub fn reload(&self) {
        todo!()
    }
}
