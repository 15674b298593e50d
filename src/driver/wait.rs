//! How the loop waits: it may look again for a while before it sleeps, since a wake-up of a sleeping
//! thread costs more than the whole work of most turns.

use core::time::Duration;
use std::io;
use std::thread::available_parallelism;

use mio::{Events, Poll};

use super::clock::Clock;
use super::handle::Host;
use super::options::WaitPolicy;
use crate::proto::time::Instant;

/// The waiting policy at work.
#[derive(Debug)]
pub(super) struct Waiter {
    policy: WaitPolicy,
    clock: Clock,
}

impl Waiter {
    pub(super) fn new(policy: WaitPolicy, clock: Clock) -> Waiter {
        let alone = available_parallelism().is_ok_and(|cpus| cpus.get() == 1);
        let policy = match policy {
            // With one CPU nobody can make anything happen while we look.
            WaitPolicy::Hybrid(_) if alone => WaitPolicy::Sleep,
            policy => policy,
        };
        Waiter { policy, clock }
    }

    /// Waits for events, a request of another thread, or `until`.
    pub(super) fn wait(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        host: &mut Host,
        until: Instant,
    ) -> io::Result<()> {
        let look_until = match self.policy {
            WaitPolicy::Sleep => Instant::ZERO,
            WaitPolicy::Hybrid(time) => (self.clock.mono() + time).min(until),
            WaitPolicy::Spin => until,
        };
        if look_until > Instant::ZERO {
            loop {
                look(poll, events)?;
                if !events.is_empty() || host.has_work() {
                    return Ok(());
                }
                if self.clock.mono() >= look_until {
                    break;
                }
                core::hint::spin_loop();
            }
        }
        self.sleep(poll, events, host, until)
    }

    fn sleep(
        &mut self,
        poll: &mut Poll,
        events: &mut Events,
        host: &mut Host,
        until: Instant,
    ) -> io::Result<()> {
        let timeout = match until {
            Instant::NEVER => None,
            until => Some(until.since(self.clock.mono())),
        };
        if timeout == Some(Duration::ZERO) || !host.prepare_sleep() {
            return look(poll, events);
        }
        let result = tolerate_interruption(poll.poll(events, timeout), events);
        host.end_sleep();
        result
    }
}

/// Takes the events that are there, without waiting.
pub(super) fn look(poll: &mut Poll, events: &mut Events) -> io::Result<()> {
    tolerate_interruption(poll.poll(events, Some(Duration::ZERO)), events)
}

/// A signal that came meanwhile is as good as no event.
fn tolerate_interruption(result: io::Result<()>, events: &mut Events) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => {
            events.clear();
            Ok(())
        }
        result => result,
    }
}
