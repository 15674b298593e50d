//! How a node follows the cluster: which frames it still takes from who is behind, what it tells them, and what
//! becomes of its routes, requests and transfers when the topology changes.

use super::Node;
use crate::proto::cluster::{Order, Scene};
use crate::proto::compare;
use crate::proto::io::RequestId;
use crate::proto::limits;
use crate::proto::message::{Compare, Envelope, Message};
use crate::proto::replica::Refusal;
use crate::proto::routes::Routes;
use crate::proto::store::Store;
use crate::proto::time::{Instant, Now};

/// The parts of a node that its cluster and its transfers work on, without these.
macro_rules! scene {
    ($node:ident, $now:expr) => {
        &mut Scene {
            now: $now,
            config: &$node.config,
            keys: &$node.keys,
            own: $node.peers.peer($node.peers.own()).id,
            peers: &mut $node.peers,
            replica: &mut $node.replica,
            rng: &mut $node.rng,
            replies: &mut $node.replies,
        }
    };
}
pub(super) use scene;

impl<S: Store> Node<S> {
    pub(super) fn take_order(&mut self, now: Now, id: RequestId, order: &Order) {
        self.cluster.order(scene!(self, now), id, order);
        self.follow(now);
    }

    /// Why this node is not the member that it wants to be, for its operator.
    pub fn refusal(&self) -> Option<&str> {
        self.cluster.refusal()
    }

    /// Whether this node was a member and has left, as its operator asked.
    pub fn has_left(&self) -> bool {
        self.cluster.has_left()
    }

    /// Plans what the topology found at the start asks for.
    pub(super) fn plan_transfers(&mut self, now: Now) {
        self.transfers.follow(scene!(self, now), self.cluster.topology());
        self.note_progress(now);
    }

    /// Notes which topology a frame was sent under. False if it is nothing to us: of a cluster that does not
    /// change, another than ours.
    pub(super) fn note_version(&mut self, now: Now, from: u16, theirs: u64) -> bool {
        let ours = self.cluster.topology().version();
        if ours > 0 && !self.cluster.topology().is_kept() {
            return theirs == ours;
        }
        let peer = self.peers.peer_mut(from);
        if theirs > peer.version {
            let behind = core::mem::replace(&mut peer.version, theirs);
            self.turn(now).caught_up(from, behind, theirs);
            self.cluster.note_version(now, theirs);
            if theirs > ours {
                // Whatever it hears from us tells it that we are behind.
                let progress = self.cluster.progress();
                self.peers.send(from, 0, &Message::Progress(progress));
            }
        }
        // What it says now, not the most that it ever said: that may have been a late copy of what it said before it was lost.
        if theirs < ours {
            self.cluster.push_to(scene!(self, now), from, None);
        }
        true
    }

    /// Whether a message of a topology may still touch a partition here: its replicas are those it had then. Who
    /// was refused hears of the present ones (trap T8).
    pub(super) fn is_timely(&mut self, version: u32, partition: u16) -> bool {
        let timely = u64::from(version) >= self.routes.since(partition)
            || !self.cluster.topology().is_kept()
            || planted!("stale_frames");
        self.counters.other_layout += u64::from(!timely);
        timely
    }

    /// A message about the cluster itself.
    pub(super) fn take_cluster(
        &mut self,
        now: Now,
        from: u16,
        envelope: &Envelope,
        message: &Message<'_>,
    ) -> Result<(), Refusal> {
        let (id, version, reaps) = (envelope.request_id, envelope.layout_version, envelope.reaps);
        match message {
            Message::Ask(bytes) => self.cluster.take_ask(scene!(self, now), from, id, bytes),
            Message::Answer(bytes) => self.cluster.take_answer(scene!(self, now), from, bytes),
            Message::Topology(bytes) => self.cluster.take_topology(scene!(self, now), from, bytes),
            Message::Progress(progress) => self.cluster.take_progress(scene!(self, now), from, *progress),
            Message::Join { commit, change } => {
                self.cluster.take_join(scene!(self, now), from, *commit, change);
            }
            Message::Refused(why) => self.cluster.take_refusal(why),
            Message::Compare(compare) => self.take_compare(now, from, envelope, compare),
            // Transfers do not number their questions.
            Message::Compared(compared) if id == 0 => {
                let followed = (self.cluster.topology(), &self.routes);
                self.transfers.compared(scene!(self, now), followed, (from, version, reaps), compared)?;
            }
            Message::Compared(compared) => {
                let answer = (from, id, u64::from(version));
                self.exchanges.compared(scene!(self, now), &self.routes, answer, compared)?;
            }
            Message::Sums(questions) => {
                if u64::from(version) == self.routes.version() {
                    let asker = (from, id);
                    self.exchanges
                        .answer(scene!(self, now), &self.routes, asker, questions)
                        .map_err(Refusal::Malformed)?;
                }
            }
            Message::Summed(answers) => {
                let answer = (from, id, u64::from(version));
                self.exchanges
                    .summed(scene!(self, now), &self.routes, answer, answers)
                    .map_err(Refusal::Malformed)?;
            }
            _ => unreachable!("others are not about the cluster"),
        }
        self.follow(now);
        Ok(())
    }

    /// A record comes that was read under this count of reaps; false if it has to come again.
    pub(super) fn make_way(&mut self, now: Now, partition: u16, reaps: u64) -> bool {
        self.transfers.make_way(scene!(self, now), self.cluster.topology(), partition, reaps)
    }

    fn take_compare(&mut self, now: Now, from: u16, envelope: &Envelope, compare: &Compare<'_>) {
        let partition = compare.partition;
        let is_known = u32::from(partition) < self.routes.partitions();
        if !is_known || !self.is_timely(envelope.layout_version, partition) {
            return;
        }
        self.replica.hear_reaps(partition, envelope.reaps);
        let (id, reaps) = (envelope.request_id, self.replica.reaps().of(partition));
        let replicas = self.routes.replicas_of_all(partition);
        // What is no evidence here is none there; and who gives a partition up asks those who have it.
        let is_unfit = !replicas.readable().any(|(_, slot)| slot == self.peers.own());
        let (peers, exchanges) = (&mut self.peers, &self.exchanges);
        let is_young = |sequence| exchanges.is_young(now.mono, sequence);
        let send = |message: &Message<'_>| peers.send_counted(from, id, reaps, message);
        compare::answer(self.replica.store(), compare, is_unfit, is_young, send);
    }

    /// Goes on with what the cluster wants of this node, as far as that can be now.
    pub(super) fn follow(&mut self, now: Now) {
        loop {
            self.cluster.carry_on(scene!(self, now));
            if self.cluster.follow(scene!(self, now)) {
                self.adopt(now);
                continue;
            }
            let changed = self.transfers.carry_on(scene!(self, now), self.cluster.topology(), &self.routes);
            if !changed {
                return;
            }
            self.note_progress(now);
        }
    }

    pub(super) fn note_progress(&mut self, now: Now) {
        let (total, open, bytes) = self.transfers.progress();
        let has_hints = self.routes.is_going_for_good(self.peers.own()) && self.hints.figures().counted > 0;
        let open = open + u32::from(has_hints);
        self.cluster.set_progress(scene!(self, now), total, open, bytes);
    }

    /// Another topology is in force: requests in flight go on under it.
    pub(super) fn adopt(&mut self, now: Now) {
        let own = (self.id(), self.replica.identity().generation);
        let peers = &mut self.peers;
        let mut routes = Routes::new(self.cluster.topology(), |id| peers.meet(id), own, Some(&self.routes));
        routes.expect_meetings(now.mono + limits::MEETING_TIME);
        let before = core::mem::replace(&mut self.routes, routes);
        self.hints.set_partitions(self.routes.partitions());
        self.hints.patrol_now(now.mono);
        self.catch_ups.forget_all(&mut self.peers);
        self.reaping.follow();
        self.turn(now).follow(&before);
        // Who was ahead may wait for answers that counted for nothing while this node was behind.
        let progress = self.cluster.progress();
        for slot in self.peers.slots() {
            if self.peers.peer(slot).version > before.version() {
                self.peers.send(slot, 0, &Message::Progress(progress));
            }
        }
        self.transfers.follow(scene!(self, now), self.cluster.topology());
        self.note_progress(now);
    }

    /// Time has passed for the exchange.
    pub(super) fn carry_on_exchange(&mut self, now: Now) {
        self.exchanges.handle_timeout(scene!(self, now), &self.routes, self.hints.dirty());
    }

    /// An acknowledgement of a record that an exchange sent; false if it is of a request.
    pub(super) fn exchange_acknowledged(&mut self, now: Now, from: u16, id: u64, is_stored: bool) -> bool {
        self.exchanges.acknowledged(scene!(self, now), &self.routes, (from, id), is_stored)
    }

    /// Time has passed for the cluster or a transfer.
    pub(super) fn handle_cluster_timeout(&mut self, now: Now) {
        if self.cluster.deadline(self.replica.store()) <= now.mono {
            self.cluster.handle_timeout(scene!(self, now));
        }
        self.follow(now);
    }

    pub(super) fn cluster_deadline(&self) -> Instant {
        self.cluster.deadline(self.replica.store()).min(self.transfers.deadline(&self.replica))
    }

    /// Whether nothing of the cluster waits for the store, so that requests need not look.
    pub(super) fn is_settled(&self) -> bool {
        self.cluster.is_idle() && self.transfers.is_idle()
    }

    /// An acknowledgement of a record that a transfer sent; false if it is of a request.
    pub(super) fn transfer_acknowledged(&mut self, now: Now, from: u16, id: u64, is_stored: bool) -> bool {
        !self.transfers.is_idle() && self.transfers.acknowledged(scene!(self, now), from, id, is_stored)
    }
}
