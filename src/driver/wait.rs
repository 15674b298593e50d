//! How the loop waits: it may look again for a while before it sleeps, since a wake-up of a sleeping
//! thread costs more than the whole work of most turns.
//!
//! Looking pays only on a CPU that nobody else needs: where it is needed, the one who would make
//! something happen waits for us. Nor does it pay where things happen too seldom. So the loop counts how
//! often it was made to give its CPU away and how often it looked in vain, and sleeps at once for a while
//! if either was often.

use core::time::Duration;
use std::io;
use std::thread::available_parallelism;

use mio::{Events, Poll};

use super::clock::Clock;
use super::handle::Host;
use super::options::WaitPolicy;
use super::sys;
use crate::proto::time::Instant;

/// Waits after which it is judged whether looking pays.
const JUDGED_EVERY: u32 = 64;
/// Involuntary switches among so many waits from which it does not.
const SWITCHES_MAX: u64 = 2;
/// Looks in vain among so many waits from which it does not.
const FRUITLESS_MAX: u32 = JUDGED_EVERY / 2;
/// Waits for which the loop then sleeps at once.
const SLEPT_FOR: u32 = 4_096;

/// The waiting policy at work.
#[derive(Debug)]
pub(super) struct Waiter {
    policy: WaitPolicy,
    clock: Clock,
    worth: Worth,
}

/// Whether looking before a sleep pays.
#[derive(Debug, Default)]
struct Worth {
    /// Waits until the next judgement.
    left: u32,
    /// Involuntary switches at the last one, once there was one.
    switches: Option<u64>,
    /// Looks in vain since the last one.
    fruitless: u32,
    is_nothing: bool,
}

impl Worth {
    /// Counts a wait; true if looking pays. `switches` is asked at each judgement.
    fn count(&mut self, switches: impl FnOnce() -> u64) -> bool {
        if self.left > 0 {
            self.left -= 1;
            return !self.is_nothing;
        }
        let now = switches();
        let since = now - self.switches.replace(now).unwrap_or(now);
        let fruitless = core::mem::take(&mut self.fruitless);
        // After a time of sleeping the switches tell of work, not of looking, so it is tried again.
        self.is_nothing = !self.is_nothing && (since >= SWITCHES_MAX || fruitless >= FRUITLESS_MAX);
        self.left = if self.is_nothing { SLEPT_FOR } else { JUDGED_EVERY };
        !self.is_nothing
    }
}

impl Waiter {
    pub(super) fn new(policy: WaitPolicy, clock: Clock) -> Waiter {
        let alone = available_parallelism().is_ok_and(|cpus| cpus.get() == 1);
        let policy = match policy {
            // With one CPU nobody can make anything happen while we look.
            WaitPolicy::Hybrid(_) if alone => WaitPolicy::Sleep,
            policy => policy,
        };
        Waiter { policy, clock, worth: Worth::default() }
    }

    /// Waits by another clock from now on.
    pub(super) fn set_clock(&mut self, clock: Clock) {
        self.clock = clock;
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
            WaitPolicy::Hybrid(_) if !self.worth.count(sys::involuntary_switches) => Instant::ZERO,
            WaitPolicy::Hybrid(time) => (self.clock.mono() + time).min(until),
            WaitPolicy::Spin => until,
        };
        if look_until > Instant::ZERO {
            loop {
                look(poll, events)?;
                if !events.is_empty() || host.has_requests() {
                    return Ok(());
                }
                if self.clock.mono() >= look_until {
                    break;
                }
                core::hint::spin_loop();
            }
            self.worth.fruitless += 1;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wanted_cpu_is_left_alone_for_a_while() {
        let mut worth = Worth::default();
        // Nobody wants it: looking goes on.
        for _ in 0..1_000 {
            assert!(worth.count(|| 10));
        }
        let first = (0..1_000).find(|_| !worth.count(|| 10 + SWITCHES_MAX)).unwrap();
        assert!(first <= JUDGED_EVERY);
        // A time without looking, then it is tried again, whatever happened meanwhile.
        let slept = (0..10_000).find(|_| worth.count(|| 1_000)).unwrap();
        assert_eq!(slept, SLEPT_FOR);
        assert!((0..JUDGED_EVERY).all(|_| worth.count(|| 1_000)));
    }

    #[test]
    fn who_looks_in_vain_too_often_sleeps_at_once() {
        let mut worth = Worth::default();
        let mut looks_in_vain = |one_in: u32| {
            (0..1_000).any(|wait| {
                let looks = worth.count(|| 0);
                worth.fruitless += u32::from(looks && wait % one_in == 0);
                !looks
            })
        };
        assert!(!looks_in_vain(3));
        assert!(looks_in_vain(1));
    }
}
