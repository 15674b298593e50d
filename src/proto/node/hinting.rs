//! Hints at a node: those that peers send it, those that it delivers, and what it tells of them.

use super::Node;
use crate::proto::hints::{Hints, Road, Spot};
use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::message::{Acks, Envelope, FetchHint, Fetched, Hint, Hinted, Message, Stored};
use crate::proto::replica::{Refusal, Waiter};
use crate::proto::ring::position;
use crate::proto::store::{Durability, Store, StoreError};
use crate::proto::time::{Instant, Now};
use crate::proto::version::Object;

/// The parts of a node that deliver hints.
macro_rules! road {
    ($node:ident, $now:expr) => {
        Road {
            now: $now,
            config: &$node.config,
            peers: &mut $node.peers,
            routes: &$node.routes,
            nonce: $node.replica.identity().nonce,
            throttle: &mut $node.throttle,
        }
    };
}

impl<S: Store> Node<S> {
    /// The hints that this node keeps for others.
    pub fn hints(&self) -> &Hints<S> {
        &self.hints
    }

    /// The same, to flush their store after [`Output::SyncHints`](crate::proto::io::Output::SyncHints).
    pub fn hints_mut(&mut self) -> &mut Hints<S> {
        &mut self.hints
    }

    /// The partition of a hint's key, if this node may keep it: it is no replica itself, and its sender speaks of the
    /// replicas there are.
    fn locate_hint(&mut self, envelope: &Envelope, keyspace: u16, key: &[u8]) -> Option<u16> {
        if keyspace >= limits::KEYSPACES_MAX {
            return None;
        }
        let partition = self.routes.partition(position(&self.keys.hash, keyspace, key));
        if !self.is_timely(envelope.layout_version, partition) {
            return None;
        }
        let is_ours = self.routes.replicas(keyspace, partition).rank(self.peers.own()).is_some();
        (!is_ours && self.routes.may_acknowledge()).then_some(partition)
    }

    pub(super) fn take_hint(
        &mut self,
        now: Now,
        from: u16,
        envelope: &Envelope,
        hint: &Hint<'_>,
    ) -> Result<(), Refusal> {
        let Hint { target, is_counted, keyspace, key, acks, object } = *hint;
        let Some(partition) = self.locate_hint(envelope, keyspace, key) else { return Ok(()) };
        let slot = self.peers.slot_of(target);
        if slot.is_none_or(|slot| self.routes.replicas(keyspace, partition).rank(slot).is_none()) {
            return Ok(());
        }
        let id = envelope.request_id;
        if self.refuse_stale(from, envelope, partition) {
            return Ok(());
        }
        let answer = |node: &mut Node<S>, stored| {
            node.peers.send(from, id, &Message::Hinted(Hinted { target, stored }));
        };
        let sequence = match self.hints.keep(now, &Spot { target, keyspace, key }, object, is_counted) {
            Ok(sequence) => sequence,
            Err(refusal @ Refusal::Malformed(_)) => return Err(refusal),
            Err(refusal) => {
                let stored = match refusal {
                    Refusal::Store(StoreError::Full) => Stored::Full,
                    Refusal::Store(StoreError::ReadOnly) => Stored::ReadOnly,
                    _ => Stored::Overloaded,
                };
                if acks != Acks::default() {
                    answer(self, stored);
                }
                return Ok(());
            }
        };
        let durability = self.config.keyspace(keyspace).durability;
        let wanted = [(acks.stored, durability), (acks.durable, Durability::Always)];
        for (_, level) in wanted.into_iter().filter(|&(asked, _)| asked) {
            if self.hints.is_safe(level, sequence, Waiter::Hint(from, id, target)) {
                let is_durable = level == Durability::Always;
                answer(self, if is_durable { Stored::Durable } else { Stored::Stored });
            }
        }
        Ok(())
    }

    pub(super) fn take_fetch_hint(&mut self, from: u16, envelope: &Envelope, fetch: &FetchHint<'_>) {
        let FetchHint { keyspace, key, known } = *fetch;
        let Some(partition) = self.locate_hint(envelope, keyspace, key) else { return };
        self.replica.hear_reaps(partition, envelope.reaps);
        let replicas = self.routes.replicas(keyspace, partition);
        let targets: Vec<MemberId> =
            replicas.as_slice().iter().map(|&slot| self.peers.peer(slot).id).collect();
        let held = self.hints.read(keyspace, key, &targets);
        let hash = match Object::decode(&held) {
            Ok(object) if !held.is_empty() => object.item_hash(&self.keys.hash, keyspace, key),
            _ => 0,
        };
        let answer = match held.is_empty() {
            _ if hash == known => Fetched::Same,
            true => Fetched::Absent,
            false => Fetched::Record(&held),
        };
        self.peers.send(from, envelope.request_id, &Message::Fetched(answer));
    }

    /// An acknowledgement of a hint that was delivered; false if it is of something else.
    pub(super) fn hint_acknowledged(&mut self, now: Now, from: u16, id: u64, stored: Stored) -> bool {
        let target = self.peers.peer(from).id;
        self.hint_settled(now, from, id, Hinted { target, stored })
    }

    /// The answer of a target, or of another keeper of its hints, to one of ours; false if it is to something else.
    fn hint_settled(&mut self, now: Now, from: u16, id: u64, Hinted { target, stored }: Hinted) -> bool {
        let number = id ^ self.replica.identity().nonce;
        let is_ours = self.hints.acknowledged((now, &self.routes), (target, from), number, stored);
        self.note_hints_left(now);
        is_ours
    }

    /// How a hint is kept that was sent to another.
    pub(super) fn take_hinted(&mut self, now: Now, from: u16, id: u64, hinted: Hinted) {
        if !self.hint_settled(now, from, id, hinted) {
            self.turn(now).hinted(from, id, hinted);
        }
    }

    /// A member that leaves is none until it has given away what it was counted for.
    fn note_hints_left(&mut self, now: Now) {
        if self.routes.is_going_for_good(self.peers.own()) {
            self.note_progress(now);
        }
    }

    /// When hints want something: to be delivered, to be looked through, or to be synced.
    pub(super) fn hints_deadline(&self) -> Instant {
        let delivery = self.hints.delivery_deadline(&self.peers, &self.routes);
        delivery.min(self.hints.patrol_deadline()).min(self.hints.sync_deadline())
    }

    /// Time has passed for hints.
    pub(super) fn handle_hints_timeout(&mut self, now: Now) {
        self.hints.patrol(&road!(self, now), &mut self.replica);
        self.hints.deliver(&mut road!(self, now), self.replica.reaps());
        self.note_hints_left(now);
    }

    /// What the store of hints must be asked for now.
    pub(super) fn take_hints_sync(&mut self, now: Now) -> Option<Durability> {
        let waits = self.hints.waits();
        if waits.sync_deadline() <= now.mono {
            return Some(waits.request_sync());
        }
        waits.take_sync()
    }

    /// Waits for hints whose end has come.
    pub(super) fn release_hints(&mut self, now: Now) {
        while let Some(released) = self.hints.next_released() {
            self.turn(now).released_hint(released);
        }
    }

    pub(super) fn hint_counters(&self) -> [(&'static str, u64); 10] {
        let (figures, counters) = (self.hints.figures(), self.hints.counters);
        [
            ("hints", figures.records),
            ("hints_counted", figures.counted),
            ("hint_bytes", figures.bytes),
            ("hints_oldest_ms", self.hints.oldest().unwrap_or(0)),
            ("hints_made", counters.made),
            ("hints_delivered", counters.delivered),
            ("hints_readdressed", counters.readdressed),
            ("hints_dropped", counters.dropped),
            ("hints_refused", counters.refused),
            ("hint_partitions_dirty", self.hints.dirty().len() as u64),
        ]
    }
}
