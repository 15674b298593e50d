//! The sweep: finds values that have expired and lets their bytes go.
//!
//! ```text
//! partition 0 ─► 1 ─► … ─► Q−1      a pass, in turns: a bounded number of records, then a pause
//!    └ in position order            the next one an interval after this one was begun
//! ```
//!
//! An expired sibling is a tombstone from its expiry on, and as such it leaves the store only by the proof
//! that takes tombstones (trap T13). The sweep never removes one: it sheds the bytes, which no item hash
//! covers, and counts the keys of which nothing can be shown any more as nominated.
//!
//! It looks only at partitions in which the store counts a record with an expiry. Where there is none at all
//! it has no deadline, so that an idle node sleeps. It comes last: an overloaded store makes it wait, and a full
//! or read-only one is left alone until the next pass.

use core::ops::ControlFlow;
use core::time::Duration;

use super::limits;
use super::replica::{Refusal, Replica};
use super::store::{KeyRef, Store, StoreError};
use super::time::{Instant, Now};
use super::version::Object;

/// Counters of the sweep, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SweepCounters {
    /// Values whose bytes were dropped.
    pub shed: u64,
    /// Keys that came to hold nothing but tombstones and shed values when they were swept.
    pub nominated: u64,
}

/// Walks the store and sheds.
#[derive(Debug)]
pub struct Sweep {
    interval: Duration,
    partitions: u32,
    /// When the present or the last pass was begun.
    begun: Instant,
    /// When the next turn is due, if there is anything to look for.
    due: Instant,
    /// Where the present pass goes on; `None` between passes.
    place: Option<Place>,
    /// For operators.
    pub counters: SweepCounters,
}

/// A point of a pass.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    partition: u32,
    position: u128,
}

impl Place {
    fn next_partition(self) -> Place {
        Place { partition: self.partition + 1, position: 0 }
    }
}

/// How a turn ended.
enum Turned {
    /// There is more to look at from here on.
    Paused(Place),
    /// The record there could not be rewritten yet.
    Waits(Place),
    /// The end of the store was reached.
    Done,
    /// The store takes nothing.
    Refused,
}

/// What a look at a part of a partition found.
struct Found {
    /// Keys with something to shed: keyspace, key, position.
    keys: Vec<(u16, Vec<u8>, u128)>,
    /// Where the partition goes on, if it was not looked at to its end.
    next: Option<u128>,
    records: usize,
}

impl Sweep {
    /// A sweep over so many partitions, at most once an interval.
    pub fn new(partitions: u32, interval: Duration, now: Instant) -> Sweep {
        Sweep {
            interval,
            partitions,
            begun: now,
            due: now + interval,
            place: None,
            counters: SweepCounters::default(),
        }
    }

    /// When the next turn is due; never, if nothing in the store expires.
    pub fn deadline<S: Store>(&self, replica: &Replica<S>) -> Instant {
        if self.place.is_some() || replica.has_expiring() { self.due } else { Instant::NEVER }
    }

    /// Takes a turn if it is due.
    pub fn handle_timeout<S: Store>(&mut self, now: Now, replica: &mut Replica<S>) {
        if self.deadline(replica) > now.mono {
            return;
        }
        let place = self.place.take().unwrap_or_else(|| {
            self.begun = now.mono;
            Place::default()
        });
        let pause = now.mono + limits::SWEEP_PAUSE;
        match self.turn(now, place, replica) {
            Turned::Paused(place) => (self.place, self.due) = (Some(place), pause),
            Turned::Waits(place) => (self.place, self.due) = (Some(place), now.mono + limits::SWEEP_WAIT),
            Turned::Done => {
                replica.recount_expiring();
                self.due = (self.begun + self.interval).max(pause);
            }
            Turned::Refused => self.due = now.mono + self.interval,
        }
    }

    fn turn<S: Store>(&mut self, now: Now, mut place: Place, replica: &mut Replica<S>) -> Turned {
        if replica.read_only() {
            return Turned::Refused;
        }
        // By then it is expired by every clock that is as good as it must be.
        let before_ms = now.wall.0.saturating_sub(limits::CLOCK_DRIFT_MAX_MS);
        let before_ms = if planted!("shed_early") { now.wall.0 } else { before_ms };
        let mut left = limits::SWEEP_RECORDS_MAX;
        while place.partition < self.partitions {
            let partition = place.partition as u16;
            if replica.store().expiring(partition) == 0 {
                place = place.next_partition();
                continue;
            }
            if left == 0 {
                return Turned::Paused(place);
            }
            let found = look(replica.store(), partition, place.position, before_ms, left);
            for (keyspace, key, position) in found.keys {
                let key = KeyRef { keyspace, key: &key, position, partition };
                match replica.shed(now, &key, before_ms) {
                    Ok(shed) => {
                        self.counters.shed += shed.values;
                        self.counters.nominated += u64::from(shed.is_dead);
                    }
                    Err(Refusal::Store(StoreError::Full | StoreError::Memory | StoreError::ReadOnly)) => {
                        return Turned::Refused;
                    }
                    Err(_) => return Turned::Waits(Place { position, ..place }),
                }
            }
            if let Some(position) = found.next {
                return Turned::Paused(Place { position, ..place });
            }
            // A partition without a record costs a look too.
            left = left.saturating_sub(found.records.max(1));
            place = place.next_partition();
        }
        Turned::Done
    }
}

/// Looks at up to `left` records of a partition, fewer if they are large. Ends between positions only, so that
/// each turn gets further.
fn look<S: Store>(store: &S, partition: u16, from: u128, before_ms: u64, left: usize) -> Found {
    let mut found = Found { keys: Vec::new(), next: None, records: 0 };
    let (mut bytes, mut last) = (0, None);
    store.scan(partition, from, &mut |key, record| {
        let spent = found.records >= left || bytes >= limits::SWEEP_BYTES_MAX;
        if spent && last != Some(key.position) {
            found.next = Some(key.position);
            return ControlFlow::Break(());
        }
        last = Some(key.position);
        found.records += 1;
        bytes += record.object.len();
        let first = Object::decode(&record.object).ok().and_then(|object| object.first_expiry_ms());
        if first.is_some_and(|expires_ms| expires_ms < before_ms) {
            found.keys.push((key.keyspace, key.key.to_vec(), key.position));
        }
        ControlFlow::Continue(())
    });
    found
}
