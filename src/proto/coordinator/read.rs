//! Reading: our own copy and as many others as R asks; merge, repair, answer.
//!
//! A fetch names the item hash of what we have, so replicas that agree answer with a word instead of a
//! value. What a read returns is first brought to N−R+1 replicas (trap T20), so that no later read of R
//! replicas can miss it. Replicas beyond R are compared after the reply, once in a while, and whenever
//! one that was asked answers late.

use core::time::Duration;

use super::tally::{Ranks, Verdict, holders_needed};
use super::{Phase, Turn};
use crate::proto::error::Outcome;
use crate::proto::io::{Achieved, Operation, Reply, View};
use crate::proto::limits;
use crate::proto::message::{Acks, Fetched, Message, decode_request};
use crate::proto::replica::{Held, Refusal, Waiter};
use crate::proto::routes::RANKS_MAX;
use crate::proto::store::Store;
use crate::proto::time::Instant;
use crate::proto::version::{Context, Object};

/// What the replicas of a key have said so far.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) asked: Ranks,
    /// Of these, who was asked at the begin and has not answered yet, and when that was.
    first: Ranks,
    begun: Instant,
    /// The same by the wall clock.
    begun_ms: u64,
    /// How many microseconds after that each rank was asked, and how many later it answered; 0 if it did not.
    asked_after: [u32; RANKS_MAX],
    took: [u32; RANKS_MAX],
    /// What was seen by who was answered, if the others are asked afterwards.
    shown: Option<Context>,
    /// It was late once, and looked at.
    pub(super) hedged: bool,
    pub(super) answered: Ranks,
    failed: Ranks,
    /// Of these, who holds a record that it cannot read, or lost some: it needs what the others have.
    unknown: Ranks,
    /// Who was told what we have.
    told: Ranks,
    /// Sent a repair that was not acknowledged yet.
    repairing: Ranks,
    /// R answers are in.
    pub(super) complete: bool,
    /// They were read for an edit, which found nothing to change.
    pub(super) unchanged: bool,
    /// What each rank holds, by item hash; 0 for no record.
    pub(super) hashes: [u64; RANKS_MAX],
    /// What each rank was told that we have.
    known: [u64; RANKS_MAX],
    /// The merge of all answers, encoded; empty if `merged_hash` is 0.
    pub(super) merged: Vec<u8>,
    pub(super) merged_hash: u64,
    /// For the majority view: the encoded object behind each hash.
    pub(super) versions: Vec<(u64, Vec<u8>)>,
}

impl Reading {
    /// As before anybody was asked. In place, and only what was used: every request comes by here.
    pub(super) fn reset(&mut self) {
        let used =
            [self.asked, self.answered, self.failed, self.told].into_iter().fold(self.unknown, Ranks::or);
        for rank in used.iter() {
            (self.hashes[rank], self.known[rank]) = (0, 0);
            (self.asked_after[rank], self.took[rank]) = (0, 0);
        }
        let Reading { hashes, known, asked_after, took, merged, versions, .. } = self;
        debug_assert!(hashes.iter().chain(&*known).all(|&hash| hash == 0), "of a rank that was not used");
        debug_assert!(asked_after.iter().chain(&*took).all(|&took| took == 0), "of a rank that was not used");
        merged.clear();
        versions.clear();
        (self.asked, self.first, self.answered) = (Ranks::default(), Ranks::default(), Ranks::default());
        (self.failed, self.unknown, self.told) = (Ranks::default(), Ranks::default(), Ranks::default());
        self.repairing = Ranks::default();
        (self.begun, self.begun_ms, self.merged_hash) = (Instant::ZERO, 0, 0);
        (self.hedged, self.complete, self.unchanged) = (false, false, false);
        self.shown = None;
    }

    /// The merge of all answers, if any has a record.
    pub(super) fn object(&self) -> Option<Object<'_>> {
        let merged = Some(&self.merged).filter(|_| self.merged_hash != 0);
        merged.map(|bytes| Object::decode(bytes).expect("it was decoded before"))
    }

    /// Gives back what a free slot need not keep: there may be many that were in use once.
    pub(super) fn release(&mut self) {
        self.versions = Vec::new();
        if self.merged.capacity() > limits::SLOT_BUFFER_KEPT {
            self.merged = Vec::new();
        }
    }

    /// Microseconds since it began.
    fn micros(&self, now: Instant) -> u32 {
        u32::try_from(now.since(self.begun).as_micros()).unwrap_or(u32::MAX)
    }

    /// Who was asked and may still answer.
    pub(super) fn awaited(&self) -> Ranks {
        self.asked.without(self.answered).without(self.failed)
    }

    /// Whether this replica was asked and may still answer.
    pub(super) fn waits_for(&self, rank: usize) -> bool {
        self.awaited().contains(rank)
    }

    /// Notes that somebody is asked for a rank; says what it is told that we have. Asked again it is told the same:
    /// its first answer may still come.
    pub(super) fn begin_asking(&mut self, rank: usize) -> u64 {
        self.asked.insert(rank);
        self.failed.remove(rank);
        if !self.told.contains(rank) {
            self.told.insert(rank);
            self.known[rank] = self.merged_hash;
        }
        self.known[rank]
    }

    fn holds(&self, rank: usize) -> bool {
        self.answered.contains(rank) && self.hashes[rank] == self.merged_hash
    }

    /// Who has answered with less than what was read.
    fn stale(&self) -> Ranks {
        let mut stale = self.answered;
        self.answered.iter().filter(|&rank| self.holds(rank)).for_each(|rank| stale.remove(rank));
        stale
    }

    /// How many of a set hold what was read, and how many may soon.
    fn holders(&self, of: Ranks) -> (u8, u8) {
        let hold = self.answered.without(self.stale()).and(of);
        (hold.len(), hold.or(self.repairing.and(of)).len())
    }
}

impl<S: Store> Turn<'_, S> {
    /// Reads our own copy and asks the others.
    pub(super) fn start_read(&mut self, index: usize) {
        let own = self.own_readable_rank(index);
        let slot = &mut self.coordinator.slots[index];
        slot.reading.reset();
        slot.reading.begun = self.now.mono;
        slot.reading.begun_ms = self.now.wall.0;
        slot.reaps = self.replica.reaps().of(slot.partition);
        slot.phase = Phase::Reading;
        if let Some(rank) = slot.stands_for {
            self.fetch_hint(index, rank, self.peers.own());
            return self.read_on(index);
        }
        if let Some(rank) = own {
            let key = slot.key_ref();
            match self.replica.read(&key) {
                Err(ticket) => return self.park(index, ticket),
                Ok(Held::Unknown) => {
                    slot.reading.failed.insert(rank);
                    slot.reading.unknown.insert(rank);
                }
                Ok(Held::Absent) => slot.reading.answered.insert(rank),
                Ok(Held::Record(record)) => {
                    slot.reading.answered.insert(rank);
                    slot.reading.hashes[rank] = record.item_hash;
                    slot.reading.merged_hash = record.item_hash;
                    slot.reading.merged.extend_from_slice(&record.object);
                    if slot.options.view == View::Majority {
                        slot.reading.versions.push((record.item_hash, record.object.to_vec()));
                    }
                }
            }
        }
        self.pay_in();
        self.read_on(index);
    }

    /// Completes the read, asks as many more replicas as are missing, or ends it where there are none.
    fn read_on(&mut self, index: usize) {
        let slot = &self.coordinator.slots[index];
        let (reading, r) = (&slot.reading, slot.quorum.r);
        if reading.answered.len() >= r {
            return self.complete_read(index);
        }
        let asked = reading.awaited().and(Ranks::first(slot.quorum.n.into())).len();
        let open = r - reading.answered.len();
        let missing = open.saturating_sub(asked);
        let mut sent = self.ask(index, missing);
        if sent < missing {
            sent += self.ask_stand_ins(index, missing - sent);
            // One of them may be this node.
            if self.coordinator.slots[index].reading.answered.len() >= r {
                return self.complete_read(index);
            }
        }
        if sent < missing {
            let slot = &self.coordinator.slots[index];
            let reachable = slot.reading.answered.len() + asked + sent;
            let unknown = self.own_rank(index).is_some_and(|rank| slot.reading.failed.contains(rank));
            if !unknown && self.routes.are_meeting(self.now.mono) {
                self.coordinator.slots[index].phase = Phase::Waiting;
                return;
            }
            let outcome = if unknown && reachable + 1 >= r {
                Outcome::Incomplete
            } else {
                Outcome::NotEnoughReplicas { reachable, needed: r }
            };
            let mut reply = Reply::bare(outcome);
            reply.achieved =
                Achieved { asked: r, acked: slot.reading.answered.len(), durable: 0, fallbacks: 0 };
            // Who was asked may still answer, and mend who lost its record: the next read finds it mended.
            let slot = &mut self.coordinator.slots[index];
            let origin = slot.origin;
            slot.phase = Phase::Background;
            slot.request.clear();
            self.background_on(index);
            self.answer(origin, reply);
        }
    }

    /// Sends a fetch to up to `count` replicas that were not asked yet; says to how many.
    pub(super) fn ask(&mut self, index: usize, count: u8) -> u8 {
        if count == 0 {
            return 0;
        }
        self.coordinator.rotor = self.coordinator.rotor.wrapping_add(1);
        let rotor = self.coordinator.rotor;
        let replicas = self.replicas(index);
        let mut readable = [(0, 0); limits::REPLICAS_MAX];
        let mut count_readable = 0;
        for (at, replica) in replicas.readable().enumerate() {
            readable[at] = replica;
            count_readable = at + 1;
        }
        let own = self.peers.own();
        let last = self.asked_last(&readable[..count_readable]);
        let mut sent = 0;
        for step in 0..2 * count_readable {
            let at = (rotor + step) % count_readable;
            let (rank, replica) = readable[at];
            if last[at] != (step >= count_readable) {
                continue;
            }
            let reading = &self.coordinator.slots[index].reading;
            let done = reading.asked.contains(rank) || reading.answered.contains(rank) || replica == own;
            if done || !self.peers.usable(replica) {
                continue;
            }
            self.fetch(index, rank, replica);
            sent += 1;
            if sent == count {
                break;
            }
        }
        sent
    }

    /// Sends a fetch to one replica.
    fn fetch(&mut self, index: usize, rank: usize, replica: u16) {
        let id = self.wire_id(index);
        let slot = &mut self.coordinator.slots[index];
        let left = slot.deadline.since(self.now.mono).as_millis();
        let is_first = !slot.reading.told.contains(rank) && slot.reading.begun == self.now.mono;
        if is_first {
            slot.reading.first.insert(rank);
        }
        slot.reading.asked_after[rank] = slot.reading.micros(self.now.mono);
        let known = slot.reading.begin_asking(rank);
        let message = Message::Fetch {
            keyspace: slot.keyspace,
            key: &slot.key,
            known,
            deadline_ms: u32::try_from(left).unwrap_or(u32::MAX),
        };
        self.peers.send_counted(replica, id, slot.reaps, &message);
    }

    /// Asks one replica again that was asked and has not answered.
    pub(super) fn fetch_again(&mut self, index: usize, replica: u16) {
        let reading = &self.coordinator.slots[index].reading;
        let open = |&(rank, slot): &(usize, u16)| {
            slot == replica && reading.asked.contains(rank) && !reading.answered.contains(rank)
        };
        if let Some((rank, _)) = self.replicas(index).readable().find(open) {
            self.coordinator.counters.retries += 1;
            self.fetch(index, rank, replica);
        }
    }

    /// A replica is late: asks one more, or the late ones again where there is no other.
    pub(super) fn read_more(&mut self, index: usize) {
        self.coordinator.counters.retries += 1;
        if self.ask(index, 1) > 0 {
            return;
        }
        let reading = &mut self.coordinator.slots[index].reading;
        reading.asked = reading.answered;
        self.ask(index, u8::MAX);
        self.ask_stand_ins_again(index);
    }

    /// A replica that was asked is gone.
    pub(super) fn read_lost(&mut self, index: usize, rank: usize) {
        let slot = &mut self.coordinator.slots[index];
        if !slot.reading.asked.contains(rank) || slot.reading.answered.contains(rank) {
            return;
        }
        slot.reading.failed.insert(rank);
        if slot.phase == Phase::Reading {
            self.read_on(index);
        } else {
            self.background_on(index);
        }
    }

    /// A peer's answer to a `Fetch`, given under this version: one of before the sets changed is none.
    pub fn fetched(&mut self, from: u16, id: u64, version: u64, answer: Fetched<'_>) {
        let Some(index) = self.find_wire_id(id) else { return };
        let slot = &self.coordinator.slots[index];
        let is_awaited = matches!(slot.phase, Phase::Reading | Phase::Background);
        if is_awaited && version >= self.routes.since(slot.partition) {
            let stands_for = || self.coordinator.slots[index].stand_ins.rank_of(from);
            let Some(rank) = self.replicas(index).rank(from).or_else(stands_for) else { return };
            let reading = &mut self.coordinator.slots[index].reading;
            reading.took[rank] =
                reading.micros(self.now.mono).saturating_sub(reading.asked_after[rank]).max(1);
            if reading.first.contains(rank) {
                reading.first.remove(rank);
                let took = self.now.mono.since(reading.begun);
                self.peers.peer_mut(from).latency.note(took);
            }
            self.take_answer(index, rank, answer);
        }
    }

    /// One replica's answer.
    fn take_answer(&mut self, index: usize, rank: usize, answer: Fetched<'_>) {
        if self.coordinator.slots[index].reading.answered.contains(rank) {
            return;
        }
        self.absorb(index, rank, answer);
        match self.coordinator.slots[index].phase {
            Phase::Reading => self.read_on(index),
            _ => self.background_on(index),
        }
    }

    /// Merges an answer.
    pub(super) fn absorb(&mut self, index: usize, rank: usize, answer: Fetched<'_>) {
        let hash_key = self.keys.hash;
        let slot = &mut self.coordinator.slots[index];
        let reading = &mut slot.reading;
        let hash = match answer {
            Fetched::Same => Some(reading.known[rank]),
            Fetched::Absent => Some(0),
            Fetched::Unknown => {
                reading.unknown.insert(rank);
                None
            }
            Fetched::Record(bytes) => Object::decode(bytes).ok().map(|object| {
                let hash = object.item_hash(&hash_key, slot.keyspace, &slot.key);
                if slot.options.view == View::Majority {
                    reading.versions.push((hash, bytes.to_vec()));
                }
                if reading.merged_hash == 0 {
                    reading.merged.clear();
                    reading.merged.extend_from_slice(bytes);
                    reading.merged_hash = hash;
                } else if hash != reading.merged_hash {
                    let held = core::mem::take(&mut reading.merged);
                    let mut merged = Object::decode(&held).expect("it was decoded before");
                    self.replica.counters.alarms += u64::from(merged.merge(object));
                    merged.encode(&mut reading.merged);
                    reading.merged_hash = merged.item_hash(&hash_key, slot.keyspace, &slot.key);
                    if slot.options.view == View::Majority {
                        // A replica asked from now on may answer that it holds just this.
                        reading.versions.push((reading.merged_hash, reading.merged.clone()));
                    }
                }
                hash
            }),
        };
        match hash {
            Some(hash) => {
                reading.hashes[rank] = hash;
                reading.answered.insert(rank);
            }
            None => reading.failed.insert(rank),
        }
    }

    /// R answers are in.
    pub(super) fn complete_read(&mut self, index: usize) {
        let slot = &mut self.coordinator.slots[index];
        slot.reading.complete = true;
        if slot.request.is_empty() { self.settle(index) } else { self.write_after_read(index) }
    }

    /// Makes sure that enough replicas hold what was read, then answers.
    pub(super) fn settle(&mut self, index: usize) {
        let slot = &mut self.coordinator.slots[index];
        if !slot.request.is_empty() {
            // The request is not taken up again: a repair's answer must not be taken for a write's.
            let request = decode_request(&slot.request).expect("we encoded it");
            slot.reading.unchanged = matches!(request.operation, Operation::Edit(_));
            slot.request.clear();
        }
        let slot = &self.coordinator.slots[index];
        let settled = slot.reading.merged_hash == 0
            || slot.options.view == View::Majority
            || self.repair_verdict(index) == Verdict::Won;
        if settled {
            return self.finish_read(index, false);
        }
        let slot = &mut self.coordinator.slots[index];
        if self.replica.is_stale(slot.partition, slot.reaps) {
            // Nobody takes any more what was read before a reap.
            return self.finish_read(index, true);
        }
        slot.phase = Phase::Repairing;
        self.send_repairs(index);
    }

    /// Sends what was read to the replicas that answered otherwise, and to more where these are too few.
    pub(super) fn send_repairs(&mut self, index: usize) {
        if !self.mend_own(index) {
            return;
        }
        let id = self.wire_id(index);
        let slot = &mut self.coordinator.slots[index];
        let quorum = slot.quorum;
        let own = self.peers.own();
        let replicas = self.routes.replicas(slot.keyspace, slot.partition);
        let sets = [(replicas.reads, quorum.n, quorum.r), (replicas.also, quorum.also.n, quorum.also.r)];
        let acks = Acks { stored: true, durable: false };
        for answered in [true, false] {
            for (rank, &replica) in replicas.as_slice().iter().enumerate() {
                let reading = &mut slot.reading;
                let lacks = |&(set, n, r): &(Ranks, u8, u8)| {
                    set.contains(rank) && reading.holders(set).1 < holders_needed(n, r)
                };
                let enough = !sets.iter().any(lacks);
                if reading.holds(rank)
                    || replica == own
                    || reading.answered.contains(rank) != answered
                    || (enough && !answered)
                {
                    continue;
                }
                if self.peers.usable(replica) {
                    reading.repairing.insert(rank);
                    self.coordinator.counters.repairs += 1;
                    let object = &reading.merged;
                    let message =
                        Message::Replicate { keyspace: slot.keyspace, key: &slot.key, acks, object };
                    self.peers.send_counted(replica, id, slot.reaps, &message);
                }
            }
        }
        let stale = self.coordinator.slots[index].reading.stale();
        for (rank, &replica) in replicas.as_slice().iter().enumerate() {
            if stale.contains(rank) && !self.peers.usable(replica) && self.mend_stand_in(index, rank) {
                self.coordinator.slots[index].reading.repairing.insert(rank);
            }
        }
        self.judge_repair(index);
    }

    /// Merges what was read into our own stale copy. False if the request was parked or has gone on.
    fn mend_own(&mut self, index: usize) -> bool {
        let Some(rank) = self.own_rank(index).filter(|_| self.routes.may_acknowledge()) else { return true };
        let handle = self.coordinator.handle(index);
        let slot = &mut self.coordinator.slots[index];
        let reading = &mut slot.reading;
        // Not read, its hash is not known: what it has is merged all the same.
        let stale = reading.merged_hash != 0 && reading.hashes[rank] != reading.merged_hash;
        let is_old = self.replica.is_stale(slot.partition, slot.reaps);
        if !stale || is_old || reading.repairing.contains(rank) {
            return true;
        }
        let merged = core::mem::take(&mut reading.merged);
        let applied = self.replica.apply(self.now, &slot.key_ref(), &merged);
        let reading = &mut slot.reading;
        reading.merged = merged;
        let durability = self.config.keyspace(slot.keyspace).durability;
        match applied {
            Ok(sequence) if self.replica.is_safe(durability, sequence, Waiter::Own(handle)) => {
                reading.answered.insert(rank);
                reading.hashes[rank] = reading.merged_hash;
            }
            Ok(_) => reading.repairing.insert(rank),
            Err(Refusal::Pending(ticket)) if slot.phase == Phase::Repairing => {
                self.park(index, ticket);
                return false;
            }
            // Our store does not take it: others must hold it.
            Err(_) => {}
        }
        true
    }

    /// A replica has stored a repair, or never will.
    pub(super) fn repair_stored(&mut self, index: usize, rank: usize, stored: bool) {
        let reading = &mut self.coordinator.slots[index].reading;
        if !reading.repairing.contains(rank) {
            return;
        }
        reading.repairing.remove(rank);
        if stored {
            reading.answered.insert(rank);
            reading.hashes[rank] = reading.merged_hash;
        }
        self.judge_repair(index);
    }

    fn judge_repair(&mut self, index: usize) {
        match self.repair_verdict(index) {
            Verdict::Won => self.finish_read(index, false),
            Verdict::Lost => self.finish_read(index, true),
            Verdict::Pending => {}
        }
    }

    /// Whether enough replicas hold what was read, in both sets where the partition moves.
    fn repair_verdict(&self, index: usize) -> Verdict {
        let slot = &self.coordinator.slots[index];
        let (replicas, quorum) = (self.replicas(index), &slot.quorum);
        let sets = [(replicas.reads, quorum.n, quorum.r), (replicas.also, quorum.also.n, quorum.also.r)];
        let mut verdict = Verdict::Won;
        for (set, n, r) in sets.into_iter().filter(|(set, ..)| !set.is_empty()) {
            let needed = holders_needed(n, r);
            let (hold, may) = slot.reading.holders(set);
            match (hold >= needed, may >= needed) {
                (true, _) => {}
                (false, true) => verdict = Verdict::Pending,
                (false, false) => return Verdict::Lost,
            }
        }
        verdict
    }

    /// Answers a read; then goes on in the background if there is something to compare or mend.
    pub(super) fn finish_read(&mut self, index: usize, unrepaired: bool) {
        let (reply, siblings) = self.read_reply(index, unrepaired);
        let busy = self.coordinator.in_flight() > self.config.in_flight_max / 2;
        let sampled = !busy && self.rng.one_in(self.config.background_read_one_in);
        let slot = &mut self.coordinator.slots[index];
        let origin = slot.origin;
        slot.phase = Phase::Background;
        slot.request.clear();
        let reading = &mut slot.reading;
        reading.shown = sampled.then(|| reading.object().as_ref().map(Context::of).unwrap_or_default());
        self.coordinator.observed.read(slot.keyspace, &slot.key, siblings, reading.merged.len());
        if sampled {
            self.ask(index, u8::MAX);
        }
        self.note_answered(index);
        self.background_on(index);
        self.answer(origin, reply);
    }

    /// Ends the background part when every replica that was asked has answered or is gone.
    fn background_on(&mut self, index: usize) {
        let reading = &self.coordinator.slots[index].reading;
        if reading.awaited().is_empty() {
            self.end_background(index);
        }
    }

    /// Mends whoever needs it and ends.
    pub(super) fn end_background(&mut self, index: usize) {
        self.note_silence(index);
        self.note_staleness(index);
        self.mend(index);
        self.free(index);
    }

    /// Compares what was answered with what all replicas have, if all were asked and have answered.
    fn note_staleness(&mut self, index: usize) {
        let reading = &self.coordinator.slots[index].reading;
        let Some(shown) = &reading.shown else { return };
        if !self.replicas(index).reads.without(reading.answered).is_empty() {
            return;
        }
        let observed = &mut self.coordinator.observed;
        let object = reading.object();
        let rows = object.as_ref().map(|object| object.rows(self.now.wall.0)).unwrap_or_default();
        let missed = rows.iter().filter(|row| row.dots().any(|dot| !shown.covers(dot)));
        let ages = missed.filter_map(|row| reading.begun_ms.checked_sub(row.hlc.millis()));
        observed.compare(ages.max().map(Duration::from_millis));
        for took in reading.took.into_iter().filter(|&took| took > 0) {
            observed.reads.note(Duration::from_micros(took.into()));
        }
    }

    /// Who was asked at the begin and has not answered is as slow as that, at least.
    fn note_silence(&mut self, index: usize) {
        let reading = &self.coordinator.slots[index].reading;
        let silent = reading.first.and(reading.awaited());
        if silent.is_empty() {
            return;
        }
        let took = self.now.mono.since(reading.begun);
        for (rank, replica) in self.replicas(index).readable() {
            if silent.contains(rank) {
                self.peers.peer_mut(replica).latency.note(took);
            }
        }
    }

    /// Gives the merge to whoever answered with less, or could not tell what it has; waits for nobody.
    fn mend(&mut self, index: usize) {
        self.mend_own(index);
        let slot = &self.coordinator.slots[index];
        let reading = &slot.reading;
        let needy = reading.stale().without(reading.repairing).or(reading.unknown);
        if reading.merged_hash == 0 || needy.is_empty() {
            return;
        }
        let own = self.peers.own();
        let replicas = self.routes.replicas(slot.keyspace, slot.partition);
        for (rank, &replica) in replicas.as_slice().iter().enumerate() {
            if needy.contains(rank) && replica != own && self.peers.usable(replica) {
                self.coordinator.counters.repairs += 1;
                let message = Message::Replicate {
                    keyspace: slot.keyspace,
                    key: &slot.key,
                    acks: Acks::default(),
                    object: &reading.merged,
                };
                self.peers.send_counted(replica, 0, slot.reaps, &message);
            }
        }
    }

    /// How many replicas of the set that reads are on have answered.
    pub(super) fn read_by(&self, index: usize) -> u8 {
        self.coordinator.slots[index].reading.answered.and(self.replicas(index).reads).len()
    }

    /// In how many places fallbacks have answered.
    pub(super) fn fallbacks(&self, index: usize) -> u8 {
        let slot = &self.coordinator.slots[index];
        slot.reading.answered.and(slot.stand_ins.ranks()).len()
    }
}
