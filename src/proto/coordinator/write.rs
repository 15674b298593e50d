//! Writing: issue the dot here, append, send the same bytes to the other replicas, count.

use super::add::Once;
use super::edit::{Change, decide};
use super::shown::views_of;
use super::tally::Verdict;
use super::{Phase, Turn, add};
use crate::proto::effect::{Cover, Effect, NewVersion};
use crate::proto::error::Outcome;
use crate::proto::io::{Achieved, Blind, Edit, Kind, Operation, Reply, SiblingView};
use crate::proto::message::{Acks, Message, decode_request};
use crate::proto::replica::Refusal;
use crate::proto::store::{Durability, Store, StoreError};
use crate::proto::version::{Context, Object, Row, SetChange};

/// What an edit is refused with that would make its value too long, in Redis' words: clients look for them.
const TOO_LONG: &str = "string exceeds maximum allowed size (proto-max-bulk-len)";

impl<S: Store> Turn<'_, S> {
    /// Begins a put or a delete that needs no read of other replicas first.
    pub(super) fn start_write(&mut self, index: usize, operation: &Operation<'_>) {
        let empty = Context::default();
        let token = match operation {
            Operation::Put { context, .. } | Operation::Delete { context, .. } => *context,
            _ => None,
        };
        let context = match token.map(|token| self.context(index, token)).transpose() {
            Ok(context) => context,
            Err(outcome) => return self.finish(index, Reply::bare(outcome)),
        };
        let (new, blind) = match *operation {
            Operation::Put { value, blind, expires_ms, .. } => {
                (NewVersion { tombstone: false, value, expires_ms }, blind)
            }
            Operation::Delete { blind, .. } => {
                (NewVersion { tombstone: true, value: b"", expires_ms: None }, blind)
            }
            _ => unreachable!("only puts and deletes write without reading"),
        };
        let cover = match (&context, blind) {
            (context, Blind::Refuse) => Cover::Only(context.as_ref().unwrap_or(&empty)),
            (Some(context), _) => Cover::Context(context),
            (None, Blind::Supersede) => Cover::All,
            (None, Blind::Siblings) => Cover::Context(&empty),
        };
        if let Err(Refusal::Pending(ticket)) = self.write(index, Effect::Version(cover, new), None) {
            self.keep_request(index, operation);
            self.park(index, ticket);
        }
    }

    /// Goes on with a write that has merged R replicas: brings our record up to what was read, decides,
    /// and writes. Nothing can come between, so the decision holds on this coordinator.
    pub(super) fn write_after_read(&mut self, index: usize) {
        let slot = &mut self.coordinator.slots[index];
        let merged = core::mem::take(&mut slot.reading.merged);
        let request = core::mem::take(&mut slot.request);
        let done = self.write_merged(index, &merged, &request);
        let slot = &mut self.coordinator.slots[index];
        // A slot that was given up meanwhile keeps neither.
        if slot.phase != Phase::Free {
            slot.reading.merged = merged;
            slot.request = request;
        }
        match done {
            Ok(true) => {}
            Ok(false) => self.settle(index),
            // What was read may have been reaped since.
            Err(Refusal::Stale) => self.take_up(index),
            Err(Refusal::Pending(ticket)) => self.park(index, ticket),
            Err(refusal) => self.finish(index, Reply::bare(outcome_of(&refusal))),
        }
    }

    /// Whether something was written (or the request has ended); false: there is nothing to change.
    fn write_merged(&mut self, index: usize, merged: &[u8], request: &[u8]) -> Result<bool, Refusal> {
        if self.coordinator.slots[index].reading.merged_hash != 0 {
            self.merge_into_own(index, merged)?;
        }
        let wall_ms = self.now.wall.0;
        let request = decode_request(request).expect("we encoded it");
        if let Operation::Add(add) = &request.operation {
            // What was read is all that can be known: a refusal of it stands.
            return self.start_add(index, add).map(|()| true);
        }
        let held = self.own_record(index)?;
        let object = Object::decode(&held).unwrap_or_default();
        let live = object.latest(wall_ms);
        let edit = match &request.operation {
            Operation::Edit(edit) => edit,
            Operation::Delete { context: None, .. } => &Edit::Delete,
            operation => {
                self.start_write(index, operation);
                return Ok(true);
            }
        };
        if self.coordinator.slots[index].options.text_only && live.as_ref().is_some_and(Row::is_set) {
            self.finish(index, Reply::bare(Outcome::WrongType));
            return Ok(true);
        }
        let mut reply = Reply::bare(Outcome::Ok);
        let (value, expires_ms, tombstone) = match decide(edit, live.as_ref()) {
            Change::None => return Ok(false),
            Change::Refused(outcome) => {
                self.finish(index, Reply::bare(outcome));
                return Ok(true);
            }
            Change::Set(change, count) => return self.write_set(index, change, count, live.as_ref()),
            Change::Tombstone => (Vec::new(), None, true),
            Change::Value { value, expires_ms } => (value, expires_ms, false),
        };
        if value.len() > self.config.value_max {
            self.finish(index, Reply::bare(Outcome::BadArgument(TOO_LONG.into())));
            return Ok(true);
        }
        reply.applied = true;
        reply.length = value.len() as u64;
        if matches!(edit, Edit::AddFloat(_)) {
            reply.siblings.push(SiblingView { value: value[..].into(), ..SiblingView::default() });
        } else {
            reply.siblings.extend(live.iter().flat_map(views_of));
        }
        self.coordinator.slots[index].reply = Some(Box::new(reply));
        let new = NewVersion { tombstone, value: &value, expires_ms };
        self.write(index, Effect::Version(Cover::All, new), None)?;
        Ok(true)
    }

    /// Changes a set that was read; always `true`, as it has written or ended the request.
    fn write_set(
        &mut self,
        index: usize,
        change: SetChange<'_>,
        count: u64,
        live: Option<&Row<'_>>,
    ) -> Result<bool, Refusal> {
        let added = Effect::Set(change).size();
        let held: usize = live.into_iter().flat_map(Row::members).map(|element| element.value.len()).sum();
        if added > 0 && count > 0 && held + added > self.config.value_max {
            let limit = self.config.value_max;
            let why = format!("the set would have more than {limit} bytes, which is the limit");
            self.finish(index, Reply::bare(Outcome::BadArgument(why.into())));
            return Ok(true);
        }
        let mut reply = Reply::bare(Outcome::Ok);
        (reply.applied, reply.length) = (true, count);
        if matches!(change, SetChange::Expire { .. }) {
            reply.siblings.extend(live.into_iter().flat_map(views_of));
        }
        self.coordinator.slots[index].reply = Some(Box::new(reply));
        self.write(index, Effect::Set(change), None)?;
        Ok(true)
    }

    /// Appends here, then sends to the others; `once` is what an increment is known by. Ends the request if that cannot even begin; the only errors
    /// returned are a cold read, and that our copy has no number though others may; then nothing was done.
    pub(super) fn write(
        &mut self,
        index: usize,
        effect: Effect<'_>,
        once: Option<Once>,
    ) -> Result<(), Refusal> {
        let quorum = self.coordinator.slots[index].quorum;
        let replicas = self.replicas(index);
        if let Some(outcome) = self.lack_of_replicas(index) {
            self.finish(index, Reply::bare(outcome));
            return Ok(());
        }
        let is_alone = !self.coordinator.slots[index].reading.complete;
        let written = match self.append(index, effect) {
            Ok(written) => written,
            Err(refusal @ Refusal::Pending(_)) => return Err(refusal),
            Err(refusal @ Refusal::Count(_)) if is_alone => return Err(refusal),
            Err(refusal) => {
                self.finish(index, Reply::bare(outcome_of(&refusal)));
                return Ok(());
            }
        };
        let key = self.coordinator.slots[index].key_ref();
        // An increment has seen nothing: its dot stands for all that its actor has counted.
        let token = written.seen.filter(|_| self.coordinator.slots[index].options.want_context);
        let token = token.map(|seen| seen.token(&self.keys.token, key.keyspace, key.key, false));
        if once.is_some() {
            self.coordinator.open_once(index, once);
        }
        let id = self.wire_id(index);
        let durability = self.config.keyspace(self.coordinator.slots[index].keyspace).durability;
        let slot = &mut self.coordinator.slots[index];
        slot.phase = Phase::Writing;
        slot.dot = Some(written.dot);
        if let Some(value) = written.value {
            let (value, dot) = (value.to_string().into_bytes().into(), written.dot);
            let mut reply = Reply::bare(Outcome::Ok);
            reply.applied = true;
            reply.siblings.push(SiblingView { value, kind: Kind::Counter, dot, ..SiblingView::default() });
            slot.reply = Some(Box::new(reply));
        }
        slot.token = token;
        slot.tally = quorum.tally(&replicas);
        let reaps = self.replica.reaps().of(slot.partition);
        let message = Message::Replicate {
            keyspace: slot.keyspace,
            key: &slot.key,
            acks: acks(durability, quorum.dw_of_any()),
            object: if slot.stands_for.is_some() { self.hints.encoded() } else { self.replica.encoded() },
        };
        let own = self.peers.own();
        let mut others = 0;
        for &replica in replicas.as_slice() {
            if replica != own && self.peers.usable(replica) {
                self.peers.send_counted(replica, id, reaps, &message);
                others += 1;
            }
        }
        self.coordinator.observed.written(self.now.mono, id, others);
        self.hint_missing(index);
        self.count_own(index, durability, written.sequence);
        if quorum.dw_of_any() > 0 && durability != Durability::Always {
            self.count_own(index, Durability::Always, written.sequence);
        }
        self.judge_write(index);
        Ok(())
    }

    /// A replica has stored it (durably or not), or it never will.
    pub(super) fn write_stored(&mut self, index: usize, rank: usize, durable: Option<bool>) {
        let tally = &mut self.coordinator.slots[index].tally;
        match durable {
            Some(durable) => tally.ack(rank, durable),
            None => tally.fail(rank),
        }
        self.judge_write(index);
    }

    /// A replica is gone that has not acknowledged: who stands in for it is given the record.
    pub(super) fn write_lost(&mut self, index: usize) {
        self.hint_missing(index);
        self.judge_write(index);
    }

    pub(super) fn judge_write(&mut self, index: usize) {
        match self.coordinator.slots[index].tally.verdict() {
            Verdict::Pending => {}
            Verdict::Won => self.finish_write(index, Outcome::Ok),
            Verdict::Lost => self.finish_write(index, Outcome::Partial),
        }
    }

    /// Sends again to whoever has not answered: our record as it is now, as long as it holds what was written.
    pub(super) fn write_again(&mut self, index: usize) {
        self.write_again_to(index, |_| true);
    }

    /// The same, to some machines only.
    pub(super) fn write_again_to(&mut self, index: usize, is_meant: impl Fn(u16) -> bool) {
        let id = self.wire_id(index);
        let replicas = self.replicas(index);
        let Some(object) = self.own_object(index) else { return };
        let slot = &self.coordinator.slots[index];
        let durability = self.config.keyspace(slot.keyspace).durability;
        let reaps = self.replica.reaps().of(slot.partition);
        let message = Message::Replicate {
            keyspace: slot.keyspace,
            key: &slot.key,
            acks: acks(durability, slot.quorum.dw_of_any()),
            object: &object,
        };
        let own = self.peers.own();
        for (rank, &replica) in replicas.as_slice().iter().enumerate() {
            let done = slot.tally.acked.contains(rank)
                && (slot.quorum.dw_of_any() == 0 || slot.tally.durable.contains(rank))
                || slot.tally.failed.contains(rank);
            if replica != own && !done && is_meant(replica) && self.peers.usable(replica) {
                self.coordinator.counters.retries += 1;
                self.peers.send_counted(replica, id, reaps, &message);
            }
        }
        self.hint_again(index, &object);
    }

    /// Answers a write that has a dot. What it reached is told, whatever the outcome; with no
    /// acknowledgement at all nobody knows.
    pub(super) fn finish_write(&mut self, index: usize, outcome: Outcome) {
        let slot = &mut self.coordinator.slots[index];
        let mut reply = slot.reply.take().map_or_else(|| Reply::bare(Outcome::Ok), |reply| *reply);
        reply.achieved = Achieved {
            asked: slot.quorum.w,
            acked: slot.tally.achieved(),
            durable: slot.tally.achieved_durable(),
            fallbacks: slot.tally.fallbacks(),
        };
        let nobody = slot.tally.acked.is_empty() && slot.tally.stood.is_empty();
        reply.outcome = if outcome == Outcome::Partial && nobody { Outcome::Maybe } else { outcome };
        reply.dot = slot.dot;
        reply.context = slot.token.take();
        reply.weak = slot.quorum.weak || reply.achieved.fallbacks > 0;
        self.finish(index, reply);
    }
}

/// Which acknowledgements a write asks for: under `always` the durable one says both.
pub(super) fn acks(durability: Durability, dw: u8) -> Acks {
    let always = durability == Durability::Always;
    Acks { stored: !always, durable: always || dw > 0 }
}

/// What a client is told when our own copy could not be written.
fn outcome_of(refusal: &Refusal) -> Outcome {
    match refusal {
        Refusal::Store(StoreError::Full) => Outcome::DiskFull,
        Refusal::Store(StoreError::Memory) => Outcome::MemoryCeiling,
        Refusal::Store(StoreError::ReadOnly) => Outcome::ReadOnly,
        Refusal::Store(StoreError::Damaged) => Outcome::Incomplete,
        Refusal::TooManySiblings(count) => Outcome::TooManySiblings(*count),
        Refusal::Changed => Outcome::Changed,
        Refusal::ClockTooFar => Outcome::ClockTooFar,
        Refusal::Overloaded
        | Refusal::Stale
        | Refusal::Store(StoreError::Overloaded)
        | Refusal::Pending(_) => Outcome::Overloaded,
        Refusal::Malformed(_) => Outcome::Incomplete,
        Refusal::Count(error) => add::outcome_of_count(*error),
    }
}
