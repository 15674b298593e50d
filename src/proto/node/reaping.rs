//! Reaping at a node: what it refuses since, and the messages about it.

use super::Node;
use crate::proto::message::{Envelope, Message, Stored};
use crate::proto::reap::Field;
use crate::proto::replica::Refusal;
use crate::proto::store::Store;
use crate::proto::time::Now;

/// The parts of a node that reaping works on.
macro_rules! field {
    ($node:ident, $now:expr) => {
        &mut Field {
            now: $now,
            config: &$node.config,
            hash_key: &$node.keys.hash,
            routes: &$node.routes,
            peers: &mut $node.peers,
            replica: &mut $node.replica,
            hints: &mut $node.hints,
        }
    };
}

impl<S: Store> Node<S> {
    /// Whether a record is from before its partition was last reaped: its sender is told so (trap T6).
    pub(super) fn refuse_stale(&mut self, from: u16, envelope: &Envelope, partition: u16) -> bool {
        if !self.replica.is_stale(partition, envelope.reaps) {
            return false;
        }
        let count = self.replica.reaps().of(partition);
        self.counters.stale += 1;
        self.peers.send(from, envelope.request_id, &Message::Stale { partition, count });
        true
    }

    /// A message about reaping.
    pub(super) fn take_reaping(
        &mut self,
        now: Now,
        from: u16,
        envelope: &Envelope,
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        let id = envelope.request_id;
        let partitions = self.routes.partitions();
        let is_known = |partition: u16| u32::from(partition) < partitions;
        let is_present = u64::from(envelope.layout_version) == self.routes.version();
        match message {
            Message::Prove(question)
                if is_known(question.partition)
                    && is_present
                    && self.routes.may_acknowledge()
                    && question.boot == self.replica.identity().nonce =>
            {
                self.reaping.prove(field!(self, now), from, question);
                self.carry_on_reaping(now);
            }
            // It knows us by an earlier boot, of which an introduction came late. It may not have told us yet what it
            // remembers, so this is no answer.
            Message::Prove(question) if question.boot != self.replica.identity().nonce => {
                self.send_hello(from, true);
            }
            Message::Proved(proof) if is_present => self.reaping.proved(field!(self, now), from, proof),
            Message::Reap(question)
                if is_known(question.partition)
                    && self.is_timely(envelope.layout_version, question.partition) =>
            {
                self.reaping.reap(field!(self, now), question);
            }
            &Message::Stale { partition, count } if is_known(partition) => {
                self.replica.hear_reaps(partition, count);
                let is_taken = self.transfer_acknowledged(now, from, id, false)
                    || self.exchange_acknowledged(now, from, id, false)
                    || self.catch_up_acknowledged(now, from, id, Stored::Overloaded)
                    || self.hint_acknowledged(now, from, id, Stored::Overloaded);
                if !is_taken {
                    self.turn(now).refused_as_stale(from, id);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Gives what waits for the disk.
    pub(super) fn carry_on_reaping(&mut self, now: Now) {
        self.reaping.carry_on(field!(self, now));
    }

    /// Time has passed for reaping.
    pub(super) fn handle_reaping_timeout(&mut self, now: Now) {
        self.reaping.handle_timeout(field!(self, now));
    }

    pub(super) fn reap_counters(&self) -> [(&'static str, u64); 7] {
        let counters = self.reaping.counters;
        [
            ("reap_nominated", counters.nominated),
            ("reaped", counters.reaped),
            ("reap_blocked_by_peer", counters.blocked_by_peer),
            ("reap_blocked_by_difference", counters.blocked_by_difference),
            ("reap_blocked_by_hint", counters.blocked_by_hint),
            ("reap_blocked_by_move", counters.blocked_by_move),
            ("stale_records_refused", self.counters.stale),
        ]
    }
}
