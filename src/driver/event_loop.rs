//! The loop: polls, feeds what came in to the sessions and the core, carries out what they want done.

use core::fmt;
use std::net::SocketAddr;
use std::os::fd::RawFd;

use super::handle::Handle;
use super::options::{NodeOptions, OpenError};
use crate::proto::node::{Owners, Status};
use crate::proto::time::{Instant, Now};

/// How long one turn may wait for something to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Not at all.
    None,
    /// Until this point of the monotonic clock, or the loop's own deadline if that is earlier.
    Until(Instant),
    /// As the node's waiting policy says, until its own deadline.
    Policy,
}

/// What a turn found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct StepOutcome {
    /// Work is left: call again without waiting.
    pub more: bool,
    /// The loop has stopped; it may be dropped.
    pub stopped: bool,
}

/// Why a loop cannot go on. The node is no longer served.
#[derive(Debug)]
pub struct LoopError(pub String);

impl fmt::Display for LoopError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for LoopError {}

/// One node with its sockets and its store. `Send`, not `Sync`: one thread drives it.
pub struct EventLoop {}

impl EventLoop {
    /// Checks the settings, binds every address, opens the directory and builds the node.
    ///
    /// # Errors
    /// What is wrong; nothing is left behind.
    pub fn open(_options: NodeOptions) -> Result<EventLoop, OpenError> {
        todo!()
    }

    /// Says where a member's peer listener is, in place of the address in the member list. Needed only
    /// where ports are chosen by the system; call it before the first turn. False if there is no such
    /// member.
    pub fn set_member_address(&mut self, _member: &str, _address: SocketAddr) -> bool {
        todo!()
    }

    /// For other threads.
    pub fn handle(&self) -> Handle {
        todo!()
    }

    /// The addresses bound for clients, in the order of the options, with real ports.
    pub fn client_addresses(&self) -> &[SocketAddr] {
        todo!()
    }

    /// The address bound for peers, with its real port.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        todo!()
    }

    /// Turns until [`Handle::stop`], then shuts down cleanly. Blocks; waits by the node's policy.
    ///
    /// # Errors
    /// Polling failed, or the store could not be closed cleanly (a failed sync): exit code 74.
    pub fn run(&mut self) -> Result<(), LoopError> {
        todo!()
    }

    /// One turn on the loop's own clock.
    ///
    /// # Errors
    /// As [`EventLoop::run`].
    pub fn turn(&mut self, _wait: Wait) -> Result<StepOutcome, LoopError> {
        todo!()
    }

    /// One turn for a host's loop: never waits, takes the host's time (CLOCK_MONOTONIC nanoseconds), and
    /// handles at most `budget` sockets and requests (0 is no bound).
    ///
    /// # Errors
    /// As [`EventLoop::run`].
    pub fn step(&mut self, _now: Now, _budget: u32) -> Result<StepOutcome, LoopError> {
        todo!()
    }

    /// What the clocks say now.
    pub fn now(&self) -> Now {
        todo!()
    }

    /// When [`EventLoop::step`] must be called even if [`EventLoop::fd`] is quiet: [`Instant::ZERO`] is
    /// at once, [`Instant::NEVER`] is never.
    pub fn deadline(&self) -> Instant {
        todo!()
    }

    /// One epoll file descriptor for a host: readable (level triggered) whenever `step` has work,
    /// deadlines included. The number stays the same. Made at the first call.
    ///
    /// # Errors
    /// The system has no descriptor left.
    pub fn fd(&mut self) -> std::io::Result<RawFd> {
        todo!()
    }

    /// What the node knows of itself.
    pub fn status(&self) -> Status {
        todo!()
    }

    /// Where a key lives.
    pub fn owners(&self, _keyspace: u16, _key: &[u8]) -> Owners {
        todo!()
    }
}
