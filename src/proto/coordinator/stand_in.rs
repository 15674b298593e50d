//! Fallbacks: who stands in for a replica that cannot be reached, and what becomes of what they keep.
//!
//! Whoever is *down* is hinted: not connected, or gone before it acknowledged. Who is only late is not, since a hint
//! for everybody who is slow would add to what makes them slow. In strict mode the hint is uncounted and nobody waits
//! for it; in sloppy mode it counts, once a machine: a hint that the coordinator keeps for want of another machine is
//! no second copy, and never counts.

use super::write::acks;
use super::{Origin, Phase, Ranks, Turn};
use crate::proto::effect::{Effect, Written};
use crate::proto::few::Few;
use crate::proto::hints::Spot;
use crate::proto::io::{MemberId, Operation};
use crate::proto::message::{Acks, FetchHint, Fetched, Hint, Hinted, LEVEL_OF_HINTS, Message, Stored};
use crate::proto::replica::{Held, Refusal, Released, Waiter};
use crate::proto::routes::RANKS_MAX;
use crate::proto::store::{Durability, Sequence, Store};
use crate::proto::version::Object;

/// Which machine stands in for which rank of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct StandIns {
    slots: [u16; RANKS_MAX],
    ranks: Ranks,
}

impl StandIns {
    fn set(&mut self, rank: usize, slot: u16) {
        self.slots[rank] = slot;
        self.ranks.insert(rank);
    }

    fn remove(&mut self, rank: usize) {
        self.ranks.remove(rank);
    }

    fn get(&self, rank: usize) -> Option<u16> {
        self.ranks.contains(rank).then(|| self.slots[rank])
    }

    /// The rank that a machine stands in for: one at most, as it counts once.
    pub(super) fn rank_of(&self, slot: u16) -> Option<usize> {
        (0..RANKS_MAX).find(|&rank| self.get(rank) == Some(slot))
    }

    /// The ranks that somebody stands in for.
    pub(super) fn ranks(&self) -> Ranks {
        self.ranks
    }
}

impl<S: Store> Turn<'_, S> {
    /// Whether a machine that is no replica may be given a hint now.
    fn can_keep(&self, slot: u16) -> bool {
        if self.config.hint_bytes_max == Some(0) {
            return false;
        }
        if slot == self.peers.own() {
            return self.routes.may_acknowledge() && self.hints.takes_any();
        }
        self.peers.usable(slot) && self.peers.peer(slot).level >= LEVEL_OF_HINTS
    }

    /// The first live fallback for a rank that stands in for no other rank of the request.
    fn next_stand_in(&self, index: usize, rank: usize) -> Option<u16> {
        let (replicas, slot) = (self.replicas(index), &self.coordinator.slots[index]);
        let order = self.routes.fallbacks(slot.partition, &replicas, replicas.as_slice()[rank]);
        let is_free = |fallback: &u16| slot.stand_ins.rank_of(*fallback).is_none();
        order.into_iter().filter(is_free).find(|&fallback| self.can_keep(fallback))
    }

    /// How many machines could stand in for replicas of a request.
    pub(super) fn live_fallbacks(&self, index: usize) -> u8 {
        let (replicas, slot) = (self.replicas(index), &self.coordinator.slots[index]);
        let Some(&any) = replicas.as_slice().first() else { return 0 };
        let order = self.routes.fallbacks(slot.partition, &replicas, any);
        order.into_iter().filter(|&fallback| self.can_keep(fallback)).count().min(RANKS_MAX) as u8
    }

    fn targets(&self, index: usize) -> Few<MemberId> {
        self.replicas(index).as_slice().iter().map(|&slot| self.peers.peer(slot).id).collect()
    }

    /// Gives the record to a fallback of each replica that is down by now; it cannot acknowledge any more.
    pub(super) fn hint_missing(&mut self, index: usize) {
        let down = |slot: u16| !self.peers.usable(slot);
        let replicas = self.replicas(index);
        let tally = &self.coordinator.slots[index].tally;
        let missing = replicas.as_slice().iter().enumerate();
        let missing = missing.filter(|(rank, slot)| down(**slot) && !tally.failed.contains(*rank));
        let missing: Few<usize> = missing.map(|(rank, _)| rank).collect();
        if missing.is_empty() {
            return;
        }
        let object = self.own_object(index);
        for rank in missing {
            let slot = &mut self.coordinator.slots[index];
            slot.tally.fail(rank);
            if let Some(object) = &object
                && !slot.tally.acked.contains(rank)
                && slot.stand_ins.get(rank).is_none()
            {
                self.hint(index, rank, object);
            }
        }
    }

    /// Gives the record to the fallback of one replica.
    fn hint(&mut self, index: usize, rank: usize, object: &[u8]) {
        let own = self.peers.own();
        let target = self.targets(index)[rank];
        match self.next_stand_in(index, rank) {
            Some(fallback) if fallback != own => {
                self.coordinator.slots[index].stand_ins.set(rank, fallback);
                if self.coordinator.slots[index].options.sloppy {
                    self.coordinator.slots[index].tally.standing.insert(rank);
                }
                self.send_hint(index, rank, object);
            }
            _ if self.config.hint_bytes_max != Some(0)
                && self.routes.holds_data(own)
                && self.routes.may_acknowledge() =>
            {
                let slot = &self.coordinator.slots[index];
                let spot = Spot { target, keyspace: slot.keyspace, key: &slot.key };
                // What is refused is counted, and nobody waits for it.
                let _ = self.hints.keep(self.now, &spot, object, false);
            }
            _ => {}
        }
    }

    fn send_hint(&mut self, index: usize, rank: usize, object: &[u8]) {
        let (id, target) = (self.wire_id(index), self.targets(index)[rank]);
        let slot = &self.coordinator.slots[index];
        let Some(fallback) = slot.stand_ins.get(rank) else { return };
        let durability = self.config.keyspace(slot.keyspace).durability;
        let is_counted = slot.options.sloppy;
        let acks = if is_counted { acks(durability, slot.quorum.dw_of_any()) } else { Acks::default() };
        let hint = Hint { target, is_counted, keyspace: slot.keyspace, key: &slot.key, acks, object };
        let reaps = self.replica.reaps().of(slot.partition);
        self.peers.send_counted(fallback, id, reaps, &Message::Hint(hint));
    }

    /// Sends hints again whose acknowledgement is awaited.
    pub(super) fn hint_again(&mut self, index: usize, object: &[u8]) {
        for rank in 0..RANKS_MAX {
            let slot = &self.coordinator.slots[index];
            let (tally, fallback) = (&slot.tally, slot.stand_ins.get(rank));
            let is_done = tally.stood.contains(rank)
                && (slot.quorum.dw_of_any() == 0 || tally.stood_durable.contains(rank));
            let is_open = tally.standing.contains(rank) && !is_done;
            if is_open
                && fallback
                    .is_some_and(|fallback| fallback != self.peers.own() && self.peers.usable(fallback))
            {
                self.coordinator.counters.retries += 1;
                self.send_hint(index, rank, object);
            }
        }
    }

    /// A fallback keeps a record of ours, or does not.
    pub fn hinted(&mut self, from: u16, id: u64, hinted: Hinted) {
        let Some(index) = self.find_wire_id(id) else { return };
        let rank = self.peers.slot_of(hinted.target).and_then(|slot| self.replicas(index).rank(slot));
        let Some(rank) = rank else { return };
        if self.coordinator.slots[index].stand_ins.get(rank) != Some(from) {
            return;
        }
        let durable = match hinted.stored {
            Stored::Stored => Some(false),
            Stored::Durable => Some(true),
            Stored::Full | Stored::ReadOnly | Stored::Overloaded => None,
        };
        match self.coordinator.slots[index].phase {
            Phase::Writing => self.stood_in(index, rank, durable),
            Phase::Repairing => self.repair_stored(index, rank, durable.is_some()),
            _ => {}
        }
    }

    fn stood_in(&mut self, index: usize, rank: usize, durable: Option<bool>) {
        let tally = &mut self.coordinator.slots[index].tally;
        match durable {
            Some(durable) => tally.stand(rank, durable),
            None => tally.standing.remove(rank),
        }
        self.judge_write(index);
    }

    /// A hint of this node is as safe as somebody waits for, or never will be.
    pub fn released_hint(&mut self, released: Released) {
        let Released { waiter, durable, failed } = released;
        match waiter {
            Waiter::Hint(slot, id, target) => {
                let stored = match (failed, durable) {
                    (true, _) => Stored::ReadOnly,
                    (false, true) => Stored::Durable,
                    (false, false) => Stored::Stored,
                };
                self.peers.send(slot, id, &Message::Hinted(Hinted { target, stored }));
            }
            Waiter::Own(handle) => {
                let Some(index) = self.coordinator.find(handle) else { return };
                let slot = &self.coordinator.slots[index];
                let Some(rank) = slot.stands_for.filter(|_| slot.phase == Phase::Writing) else { return };
                self.stood_in(index, rank, if failed { None } else { Some(durable) });
            }
            Waiter::Peer(..) => unreachable!("peers wait for the data"),
        }
    }

    /// A machine is gone that may have stood in for a replica of a request: another takes its place.
    pub(super) fn stand_in_down(&mut self, index: usize, slot: u16) {
        let Some(rank) = self.coordinator.slots[index].stand_ins.rank_of(slot) else { return };
        let request = &mut self.coordinator.slots[index];
        match request.phase {
            // It stays who has answered.
            Phase::Reading | Phase::Background if request.reading.answered.contains(rank) => {}
            Phase::Reading | Phase::Background => {
                request.stand_ins.remove(rank);
                self.read_lost(index, rank);
            }
            Phase::Repairing => self.repair_stored(index, rank, false),
            Phase::Writing => {
                request.tally.standing.remove(rank);
                let has_stood = request.tally.stood.contains(rank);
                // Who has answered stays here too, lest it be asked again for another replica and count twice.
                if !has_stood || planted!("fallback_twice") {
                    request.stand_ins.remove(rank);
                }
                if !has_stood && let Some(object) = self.own_object(index) {
                    self.hint(index, rank, &object);
                }
                self.judge_write(index);
            }
            _ => {}
        }
    }

    /// The rank that this node, which is no replica, could stand in for.
    fn rank_to_stand_for(&self, index: usize) -> Option<usize> {
        let (own, replicas) = (self.peers.own(), self.replicas(index));
        let may = replicas.rank(own).is_none() && self.routes.holds_data(own) && self.can_keep(own);
        replicas.readable().find(|&(_, slot)| may && !self.peers.usable(slot)).map(|(rank, _)| rank)
    }

    /// Coordinates a sloppy write here, under our own actor, if nobody better is there; false if it cannot be. Who
    /// forwards has found no replica.
    pub(super) fn coordinate_for_others(&mut self, index: usize, operation: &Operation<'_>) -> bool {
        let slot = &self.coordinator.slots[index];
        if !slot.options.sloppy {
            return false;
        }
        let Some(rank) = self.rank_to_stand_for(index) else { return false };
        let is_forwarded = matches!(slot.origin, Origin::Forward { .. });
        let own = self.peers.own();
        if !is_forwarded && slot.stands_for.is_none() && self.first_live_fallback(index) != Some(own) {
            return false;
        }
        let slot = &mut self.coordinator.slots[index];
        slot.stands_for = Some(rank);
        slot.stand_ins = StandIns::default();
        slot.stand_ins.set(rank, own);
        self.coordinate(index, operation);
        true
    }

    /// Who coordinates a sloppy write of which no replica can be reached.
    pub(super) fn first_live_fallback(&self, index: usize) -> Option<u16> {
        let is_sloppy = self.coordinator.slots[index].options.sloppy;
        let (rank, _) = self.replicas(index).readable().next().filter(|_| is_sloppy)?;
        self.next_stand_in(index, rank)
    }

    /// Issues a dot and keeps the record: in our own copy, or among the hints of the replica we stand in for.
    pub(super) fn append(&mut self, index: usize, effect: Effect<'_>) -> Result<Written, Refusal> {
        let own = self.peers.own();
        let slot = &mut self.coordinator.slots[index];
        // Those that a read before it asked may stand in for others now.
        slot.stand_ins = StandIns::default();
        let Some(rank) = slot.stands_for else {
            return self.replica.write(self.now, &slot.key_ref(), effect);
        };
        let targets = self.targets(index);
        let slot = &mut self.coordinator.slots[index];
        let spot = Spot { target: targets[rank], keyspace: slot.keyspace, key: &slot.key };
        slot.stand_ins.set(rank, own);
        let mut generation = self.replica.identity().generation;
        if planted!("fallback_actor")
            && let Some(slot) = self.peers.slot_of(targets[rank])
        {
            generation = self.peers.peer(slot).generation.unwrap_or(generation ^ 1);
        }
        self.hints.follow_clock(self.now, self.replica.next_hlc(self.now));
        let written = self.hints.write(self.now, (generation, &targets), &spot, effect)?;
        self.replica.follow_clock(self.now, self.hints.waits().next_hlc(self.now));
        Ok(written)
    }

    /// Counts our own record as far as it is safe already; the rest is told when it is.
    pub(super) fn count_own(&mut self, index: usize, durability: Durability, sequence: Sequence) {
        let waiter = Waiter::Own(self.coordinator.handle(index));
        let is_durable = durability == Durability::Always;
        match self.coordinator.slots[index].stands_for {
            Some(rank) => {
                self.coordinator.slots[index].tally.standing.insert(rank);
                if self.hints.is_safe(durability, sequence, waiter) {
                    self.coordinator.slots[index].tally.stand(rank, is_durable);
                }
            }
            None => {
                let rank = self.own_rank(index).expect("a coordinator of a write is a replica");
                if self.replica.is_safe(durability, sequence, waiter) {
                    self.coordinator.slots[index].tally.ack(rank, is_durable);
                }
            }
        }
    }

    /// Our record, as long as it holds what was written. A disk may have lost that since, and the acknowledgement of
    /// another record would not be one of it.
    pub(super) fn own_object(&mut self, index: usize) -> Option<Vec<u8>> {
        let object = self.own_record(index).ok()?;
        let dot = self.coordinator.slots[index].dot?;
        Object::decode(&object).is_ok_and(|object| object.context().covers(dot)).then_some(object)
    }

    /// What we hold of the key of a request that we coordinate; empty for nothing.
    pub(super) fn own_record(&mut self, index: usize) -> Result<Vec<u8>, Refusal> {
        let slot = &self.coordinator.slots[index];
        if slot.stands_for.is_some() {
            let targets = self.targets(index);
            return Ok(self.hints.read(slot.keyspace, &slot.key, &targets));
        }
        match self.replica.read(&slot.key_ref()).map_err(Refusal::Pending)? {
            Held::Record(record) => Ok(record.object.into_owned()),
            Held::Absent | Held::Unknown => Ok(Vec::new()),
        }
    }

    /// Merges what was read into what we hold, before a write on top of it.
    pub(super) fn merge_into_own(&mut self, index: usize, merged: &[u8]) -> Result<(), Refusal> {
        let targets = self.targets(index);
        let slot = &self.coordinator.slots[index];
        if self.replica.is_stale(slot.partition, slot.reaps) {
            return Err(Refusal::Stale);
        }
        match slot.stands_for {
            None => self.replica.apply(self.now, &slot.key_ref(), merged).map(|_| ()),
            Some(rank) => {
                let spot = Spot { target: targets[rank], keyspace: slot.keyspace, key: &slot.key };
                self.hints.keep(self.now, &spot, merged, true).map(|_| ())
            }
        }
    }

    /// Asks up to `count` fallbacks of replicas that are down, in a sloppy read; says how many.
    pub(super) fn ask_stand_ins(&mut self, index: usize, count: u8) -> u8 {
        let slot = &self.coordinator.slots[index];
        if !slot.options.sloppy {
            return 0;
        }
        let of_primaries = slot.options.pr.unwrap_or(0);
        let most = slot.quorum.r.saturating_sub(of_primaries).saturating_sub(slot.stand_ins.ranks().len());
        let mut sent = 0;
        for (rank, replica) in self.replicas(index).readable() {
            let slot = &self.coordinator.slots[index];
            let is_open = !self.peers.usable(replica) && !slot.reading.answered.contains(rank);
            if !is_open || slot.stand_ins.get(rank).is_some() {
                continue;
            }
            if sent == count.min(most) {
                break;
            }
            let Some(fallback) = self.next_stand_in(index, rank) else { break };
            self.coordinator.slots[index].stand_ins.set(rank, fallback);
            self.fetch_hint(index, rank, fallback);
            sent += 1;
        }
        sent
    }

    /// Asks a fallback, or this node itself, what it keeps in the place of a rank.
    pub(super) fn fetch_hint(&mut self, index: usize, rank: usize, fallback: u16) {
        let (id, targets) = (self.wire_id(index), self.targets(index));
        let slot = &mut self.coordinator.slots[index];
        let known = slot.reading.begin_asking(rank);
        if fallback == self.peers.own() {
            let held = self.hints.read(slot.keyspace, &slot.key, &targets);
            let answer = if held.is_empty() { Fetched::Absent } else { Fetched::Record(&held) };
            return self.absorb(index, rank, answer);
        }
        let fetch = FetchHint { keyspace: slot.keyspace, key: &slot.key, known };
        self.peers.send_counted(fallback, id, slot.reaps, &Message::FetchHint(fetch));
    }

    /// Asks fallbacks again that are late.
    pub(super) fn ask_stand_ins_again(&mut self, index: usize) {
        for rank in 0..RANKS_MAX {
            let slot = &self.coordinator.slots[index];
            if let Some(fallback) = slot.stand_ins.get(rank)
                && !slot.reading.answered.contains(rank)
                && fallback != self.peers.own()
                && self.peers.usable(fallback)
            {
                self.fetch_hint(index, rank, fallback);
            }
        }
    }

    /// Brings what was read to whoever stands in for a rank; whether an acknowledgement is to come.
    pub(super) fn mend_stand_in(&mut self, index: usize, rank: usize) -> bool {
        let (id, targets) = (self.wire_id(index), self.targets(index));
        let slot = &self.coordinator.slots[index];
        let Some(fallback) = slot.stand_ins.get(rank) else { return false };
        if fallback == self.peers.own() || !self.peers.usable(fallback) {
            return false;
        }
        let acks = Acks { stored: true, durable: false };
        let (keyspace, object) = (slot.keyspace, slot.reading.merged.as_slice());
        let hint = Hint { target: targets[rank], is_counted: false, keyspace, key: &slot.key, acks, object };
        self.peers.send_counted(fallback, id, slot.reaps, &Message::Hint(hint));
        true
    }
}
