//! Requests in flight when the topology changes: those whose partition got other replicas go on with these.

use super::stand_in::StandIns;
use super::tally::WriteTally;
use super::{Phase, Turn};
use crate::proto::error::Outcome;
use crate::proto::io::Reply;
use crate::proto::message::decode_request;
use crate::proto::routes::{Replicas, Routes};
use crate::proto::store::Store;

impl<S: Store> Turn<'_, S> {
    /// The topology has changed, from `before`: looks through all requests in flight.
    pub fn follow(&mut self, before: &Routes) {
        for index in 0..self.coordinator.slots.len() {
            let slot = &self.coordinator.slots[index];
            match slot.phase {
                Phase::Free => {}
                Phase::Waiting => self.take_up(index),
                _ if self.routes.since(slot.partition) == self.routes.version() => {
                    self.redirect(index, before);
                }
                _ => {}
            }
        }
    }

    /// A machine that was behind this version has come to that one: sends it again at once what it could not
    /// answer before, rather than when it is late.
    pub fn caught_up(&mut self, replica: u16, behind: u64, version: u64) {
        for index in 0..self.coordinator.slots.len() {
            let slot = &self.coordinator.slots[index];
            let since = self.routes.since(slot.partition);
            if since <= behind || since > version {
                continue;
            }
            match slot.phase {
                Phase::Reading | Phase::Background => self.fetch_again(index, replica),
                Phase::Writing => self.write_again_to(index, |other| other == replica),
                Phase::Scanning => self.list_again(index, replica),
                _ => {}
            }
        }
    }

    fn redirect(&mut self, index: usize, before: &Routes) {
        // Nobody has been late under this topology yet.
        self.coordinator.slots[index].attempts = 0;
        let slot = &self.coordinator.slots[index];
        let phase = slot.phase;
        let write = phase == Phase::Writing || !slot.request.is_empty();
        let quorum = self.quorum(slot.keyspace, slot.partition, &slot.options, write);
        match (phase, quorum) {
            // Its answer comes from elsewhere.
            (Phase::Forwarded(..), _) => {}
            (Phase::Scanning, _) => self.scan_anew(index),
            // It was answered.
            (Phase::Background, _) => self.free(index),
            (Phase::Writing, Ok(quorum)) => {
                let old = before.replicas(slot.keyspace, slot.partition);
                let new = self.replicas(index);
                let slot = &mut self.coordinator.slots[index];
                slot.quorum = quorum;
                slot.tally = carried(&slot.tally, &old, &new, quorum.tally(&new));
                if slot.stands_for.is_some() {
                    // For whom this node stood in may hold nothing of the key any more.
                    return self.finish_write(index, Outcome::Partial);
                }
                slot.stand_ins = StandIns::default();
                self.hint_missing(index);
                self.write_again(index);
                self.judge_write(index);
            }
            (Phase::Writing, Err(_)) => self.finish_write(index, Outcome::Partial),
            // It goes on when its cold read is done.
            (Phase::Parked, _) => self.coordinator.slots[index].reading.reset(),
            _ => self.take_up(index),
        }
    }

    /// Begins a request anew that has written nothing yet, with what it needs by now.
    pub(super) fn take_up(&mut self, index: usize) {
        let slot = &self.coordinator.slots[index];
        let write = !slot.request.is_empty();
        let quorum = match self.quorum(slot.keyspace, slot.partition, &slot.options, write) {
            Ok(quorum) => quorum,
            Err(outcome) => return self.finish(index, Reply::bare(outcome)),
        };
        let slot = &mut self.coordinator.slots[index];
        slot.quorum = quorum;
        (slot.stand_ins, slot.stands_for) = (StandIns::default(), None);
        let bytes = core::mem::take(&mut slot.request);
        if bytes.is_empty() {
            return self.start_read(index);
        }
        let request = decode_request(&bytes).expect("we encoded it");
        self.carry_out(index, &request.operation);
        let slot = &mut self.coordinator.slots[index];
        if slot.phase != Phase::Free && slot.request.is_empty() {
            slot.request = bytes;
        }
    }
}

/// A tally over other replicas: who has stored the write still has it, unless its directory is another by now.
fn carried(tally: &WriteTally, old: &Replicas, new: &Replicas, mut fresh: WriteTally) -> WriteTally {
    for (rank, &slot) in old.as_slice().iter().enumerate() {
        let Some(now) = new.rank(slot) else { continue };
        let is_replaced = new.unread.contains(now) && !old.unread.contains(rank);
        if tally.acked.contains(rank) && !is_replaced {
            fresh.ack(now, tally.durable.contains(rank));
        }
    }
    fresh
}
