//! Catching up at a node: what exchanges, introductions and acknowledgements mean for it, and what is answered to who
//! gives us what we missed.

use super::Node;
use super::following::scene;
use crate::proto::catch_up::{Claim, Support};
use crate::proto::cluster::Scene;
use crate::proto::compare;
use crate::proto::message::{Envelope, Message, Stored};
use crate::proto::replica::Waiter;
use crate::proto::store::{Durability, Store};
use crate::proto::time::Now;

/// What runs need beside the scene.
macro_rules! support {
    ($node:ident) => {
        &mut Support {
            routes: &$node.routes,
            hints_for: &|member| $node.hints.records_for(member),
            throttle: &mut $node.throttle,
        }
    };
}

impl<S: Store> Node<S> {
    /// What other members are believed to have on their disks, for those who verify it.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        self.catch_ups.claims()
    }

    /// Counts the changes of these.
    pub fn claims_changed(&self) -> u64 {
        self.catch_ups.changed()
    }

    /// A peer has introduced itself anew, perhaps with a directory that went back in time.
    pub(super) fn meet_again(&mut self, now: Now, from: u16, goes_back: bool) {
        if goes_back {
            self.catch_ups.forget(self.peers.peer(from).id);
        }
        self.catch_ups.met(scene!(self, now), &self.routes, from);
        self.carry_on_catching_up(now);
    }

    /// Goes on giving peers what they missed.
    pub(super) fn carry_on_catching_up(&mut self, now: Now) {
        self.catch_ups.carry_on(scene!(self, now), support!(self));
        self.leave_to_exchange(now);
    }

    /// Whom the log does not help, the exchange does, and first.
    fn leave_to_exchange(&mut self, now: Now) {
        for member in self.catch_ups.take_left() {
            self.exchanges.go_first(member, now.mono);
        }
    }

    /// What has become known with the end of an exchange.
    pub(super) fn note_compared(&mut self, now: Now) {
        let Some(ended) = self.exchanges.take_ended() else { return };
        self.catch_ups.compared(scene!(self, now), ended);
        if !self.hints.dirty().is_empty() {
            for (partition, begun) in self.exchanges.verified(&self.routes, &self.peers) {
                self.hints.mended(partition, begun);
            }
        }
    }

    /// An acknowledgement of what a run sent, or of a sync; false if it is of something else.
    pub(super) fn catch_up_acknowledged(&mut self, now: Now, from: u16, id: u64, stored: Stored) -> bool {
        let is_ours = self.catch_ups.acknowledged(scene!(self, now), support!(self), (from, id), stored);
        self.leave_to_exchange(now);
        is_ours
    }

    /// A message about catching up, under the topology that we follow.
    pub(super) fn take_catching_up(
        &mut self,
        now: Now,
        from: u16,
        envelope: &Envelope,
        message: &Message<'_>,
    ) {
        let id = envelope.request_id;
        if u64::from(envelope.layout_version) != self.routes.version() {
            return;
        }
        match message {
            Message::Sync { boot } if *boot == self.replica.identity().nonce => {
                let last = self.replica.last_put();
                if self.replica.is_safe(Durability::Always, last, Waiter::Peer(from, id)) {
                    self.peers.send(from, id, &Message::Acknowledge(Stored::Durable));
                }
            }
            Message::Offer(digests) => {
                let wanted = compare::wanted(self.replica.store(), &self.routes, digests);
                self.peers.send(from, id, &Message::Wanted(&wanted));
            }
            Message::Wanted(wanted) => {
                self.catch_ups.wanted(scene!(self, now), support!(self), (from, id), wanted);
                self.leave_to_exchange(now);
            }
            _ => {}
        }
    }
}
