//! When to look at which request again. One insertion a request, exact deadlines dropped when it ends.

use core::time::Duration;
use std::collections::BTreeMap;

use crate::proto::time::Instant;

/// Points in time are rounded up to this, so that requests begun together share an entry.
const TICK: Duration = Duration::from_millis(1);

/// The tick of no entry: cancelling it changes nothing.
pub const NONE: u64 = u64::MAX;

#[derive(Debug, Default)]
struct Bucket {
    /// Handles that were not cancelled.
    live: u32,
    handles: Vec<u64>,
}

/// Handles sorted by when they are due.
#[derive(Debug, Default)]
pub struct Timer {
    buckets: BTreeMap<u64, Bucket>,
    spare: Vec<Vec<u64>>,
}

impl Timer {
    /// Adds a handle; returns the tick by which it can be cancelled.
    pub fn insert(&mut self, at: Instant, handle: u64) -> u64 {
        let tick = at.as_nanos().div_ceil(TICK.as_nanos() as u64);
        let spare = &mut self.spare;
        let bucket = self
            .buckets
            .entry(tick)
            .or_insert_with(|| Bucket { live: 0, handles: spare.pop().unwrap_or_default() });
        bucket.live += 1;
        bucket.handles.push(handle);
        tick
    }

    /// Forgets one handle of a tick. Which one does not matter: the caller ignores handles that are stale.
    pub fn cancel(&mut self, tick: u64) {
        if let Some(bucket) = self.buckets.get_mut(&tick) {
            bucket.live -= 1;
            if bucket.live == 0 {
                let bucket = self.buckets.remove(&tick).expect("it was there");
                self.keep(bucket.handles);
            }
        }
    }

    /// When the first handle is due.
    pub fn deadline(&self) -> Instant {
        let first = self.buckets.keys().next();
        first.map_or(Instant::NEVER, |tick| Instant::from_nanos(tick * TICK.as_nanos() as u64))
    }

    /// Moves the handles that are due into `due`, stale ones among them.
    pub fn expire(&mut self, now: Instant, due: &mut Vec<u64>) {
        while self.deadline() <= now {
            let (_, bucket) = self.buckets.pop_first().expect("it has a deadline");
            due.extend_from_slice(&bucket.handles);
            self.keep(bucket.handles);
        }
    }

    fn keep(&mut self, mut handles: Vec<u64>) {
        if self.spare.len() < 64 {
            handles.clear();
            self.spare.push(handles);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handles_come_when_they_are_due_and_not_before() {
        let mut timer = Timer::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        timer.insert(at(9), 1);
        let cancelled = timer.insert(at(20), 2);
        timer.insert(at(30), 3);
        let mut due = Vec::new();
        timer.expire(at(8), &mut due);
        assert!(due.is_empty());
        assert!(timer.deadline() >= at(9) && timer.deadline() <= at(10));
        timer.cancel(cancelled);
        timer.expire(at(12), &mut due);
        assert_eq!(due, [1]);
        assert!(timer.deadline() >= at(30), "the cancelled one wakes nobody");
        timer.expire(at(100), &mut due);
        assert_eq!(due, [1, 3]);
        assert_eq!(timer.deadline(), Instant::NEVER);
    }
}
