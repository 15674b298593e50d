//! The patrol: goes through all hints again and again, a bounded number at a time.
//!
//! It drops uncounted ones that are too old, readdresses those whose target will be no replica of the key any more to
//! all who will, and learns how old the oldest of each partition is. A hint that has to be readdressed is written
//! again for each present owner, behind which it is removed: in one log, so a stop leaves the old one or the new
//! ones. It takes *all* owners, not so many that some W is met: nobody knows any more what W the write had, and two
//! hints of one write that went to one owner each might be one copy.

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeMap;

use super::delivery::Road;
use super::{Hints, PARTITIONS, Spot, Weight};
use crate::proto::limits;
use crate::proto::replica::{Refusal, Replica};
use crate::proto::ring;
use crate::proto::store::{KeyRef, Store};
use crate::proto::time::Instant;

/// Where the patrol is.
#[derive(Debug)]
pub(super) struct Patrol {
    due: Instant,
    begun: Instant,
    partition: u16,
    from: u128,
    /// The oldest version of each partition, of those that were passed or have come since the pass began.
    oldest: BTreeMap<u16, u64>,
}

impl Patrol {
    pub(super) fn new(now: Instant) -> Patrol {
        Patrol { due: now, begun: now, partition: 0, from: 0, oldest: BTreeMap::new() }
    }

    /// A hint was written.
    pub(super) fn note(&mut self, partition: u16, oldest_ms: u64) {
        let oldest = self.oldest.entry(partition).or_insert(oldest_ms);
        *oldest = (*oldest).min(oldest_ms);
    }
}

/// A hint that cannot stay as it is.
struct Found {
    is_counted: bool,
    name: Vec<u8>,
    item_hash: u64,
    /// Its object, if it is to be readdressed.
    object: Option<Vec<u8>>,
}

impl<S: Store> Hints<S> {
    /// When [`Hints::patrol`] is due.
    pub fn patrol_deadline(&self) -> Instant {
        if self.figures.records == 0 { Instant::NEVER } else { self.patrol.due }
    }

    /// Owners have changed: looks through all of them at once.
    pub fn patrol_now(&mut self, now: Instant) {
        self.patrol = Patrol::new(now);
    }

    /// One step, if it is due. `replica` is this node's own copy, of what turned out to be its own.
    pub fn patrol(&mut self, road: &Road<'_>, replica: &mut Replica<S>) {
        let now = road.now.mono;
        if self.patrol_deadline() > now {
            return;
        }
        if self.patrol.partition == 0 && self.patrol.from == 0 {
            self.begin_pass(now, replica);
        }
        let (found, next) = self.look(road);
        for hint in found {
            match &hint.object {
                Some(object) => self.readdress(road, replica, &hint, object),
                None => self.drop_old(road, &hint),
            }
        }
        self.patrol.due = now + limits::SWEEP_PAUSE;
        match next {
            Some(next) => self.patrol.from = next,
            None => {
                (self.patrol.partition, self.patrol.from) = (self.patrol.partition + 1, 0);
                if u32::from(self.patrol.partition) == PARTITIONS {
                    self.end_pass(now, road.config.hint_age_max);
                }
            }
        }
    }

    fn begin_pass(&mut self, now: Instant, replica: &Replica<S>) {
        self.patrol.begun = now;
        self.patrol.oldest.clear();
        let partitions = 0..self.partitions;
        let stats = partitions.map(|partition| replica.store().partition_stats(partition as u16));
        self.set_share(stats.map(|stats| stats.bytes).sum());
    }

    fn end_pass(&mut self, now: Instant, age_max: Duration) {
        (self.patrol.partition, self.patrol.from) = (0, 0);
        self.patrol.due = self.patrol.begun + limits::HINT_PATROL.min(age_max / 4);
        let oldest = core::mem::take(&mut self.patrol.oldest);
        for (partition, part) in &mut self.parts {
            part.oldest_ms = oldest.get(partition).copied().unwrap_or(part.oldest_ms);
        }
        // What was lost of this log nobody can name, and nobody has it elsewhere.
        let lost = (0..PARTITIONS as u16).filter(|&partition| self.copy.store().is_incomplete(partition));
        for partition in lost.collect::<Vec<_>>() {
            self.copy.store_mut().complete(partition);
            self.dirty.extend((0..self.partitions).map(|partition| (partition as u16, now)));
        }
    }

    /// Looks at the next hints; says which cannot stay, and where the partition goes on.
    fn look(&mut self, road: &Road<'_>) -> (Vec<Found>, Option<u128>) {
        let (mut found, mut next, mut effort) = (Vec::new(), None, 0);
        let mut oldest = Vec::new();
        let old = road.config.hint_age_max.as_millis() as u64;
        let wall_ms = road.now.wall.0;
        self.copy.store().scan(self.patrol.partition, self.patrol.from, &mut |key, record| {
            effort += 1;
            if effort > limits::SWEEP_RECORDS_MAX {
                next = Some(key.position);
                return ControlFlow::Break(());
            }
            let Some(spot) = Spot::of(key.key) else { return ControlFlow::Continue(()) };
            let weight = Weight::of(key.key.len(), &record.object, record.item_hash);
            let partition = self.partition(spot.keyspace, spot.key);
            oldest.push((partition, weight.oldest_ms));
            let is_counted = key.keyspace == 1;
            let is_old = wall_ms.saturating_sub(weight.newest_ms) > old;
            let heirs = road.routes.heirs(spot.keyspace, partition);
            let target = road.peers.slot_of(spot.target);
            let is_its = target.is_some_and(|slot| heirs.rank(slot).is_some());
            let is_known = road.routes.version() > 0;
            let hint =
                |object| Found { is_counted, name: key.key.to_vec(), item_hash: record.item_hash, object };
            if is_old && (!is_counted || planted!("hint_aged")) {
                found.push(hint(None));
            } else if !is_its && is_known {
                found.push(hint(Some(record.object.to_vec())));
            }
            ControlFlow::Continue(())
        });
        oldest.into_iter().for_each(|(partition, oldest_ms)| self.patrol.note(partition, oldest_ms));
        (found, next)
    }

    fn drop_old(&mut self, road: &Road<'_>, hint: &Found) {
        let Some(spot) = Spot::of(&hint.name) else { return };
        if self.remove(road.now, (hint.is_counted, &hint.name, hint.item_hash)) == Ok(true) {
            self.counters.dropped += 1;
            self.dirty.insert(self.partition(spot.keyspace, spot.key), road.now.mono);
        }
    }

    fn readdress(&mut self, road: &Road<'_>, replica: &mut Replica<S>, hint: &Found, object: &[u8]) {
        let now = road.now;
        let Some(spot) = Spot::of(&hint.name) else { return };
        let partition = self.partition(spot.keyspace, spot.key);
        for &slot in road.routes.heirs(spot.keyspace, partition).as_slice() {
            if slot != road.peers.own() {
                let to = Spot { target: road.peers.peer(slot).id, ..spot };
                if self.merge(now, &to, object, hint.is_counted).is_err() {
                    return;
                }
                continue;
            }
            let position = ring::position(&self.hash_key, spot.keyspace, spot.key);
            let key = KeyRef { keyspace: spot.keyspace, key: spot.key, position, partition };
            // Another log: not removed here before it is on disk there, at the latest in the next pass.
            let known = replica.sequence_with(&key, object);
            match known.map_or_else(|| replica.apply(now, &key, object), Ok) {
                Ok(sequence) if replica.store().marks().durable >= sequence => {}
                Ok(_) => return replica.want_sync(),
                Err(Refusal::Malformed(_)) => {}
                Err(_) => return,
            }
        }
        if self.remove(now, (hint.is_counted, &hint.name, hint.item_hash)) == Ok(true) {
            self.counters.readdressed += 1;
        }
    }
}
