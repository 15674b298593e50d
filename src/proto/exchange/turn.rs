//! Whose turn it is to be compared with, and what is known when that has ended.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::shared::Shared;
use super::{Exchanges, LEVEL};
use crate::proto::io::MemberId;
use crate::proto::peers::Peers;
use crate::proto::routes::Routes;
use crate::proto::store::{ChangeCursor, Store};
use crate::proto::time::Instant;

/// A comparison that came to its end.
#[derive(Debug)]
pub struct Ended {
    /// With whom, and its boot when the comparison began.
    pub peer: u16,
    /// See `peer`.
    pub boot: u64,
    /// Of what lay here up to this cursor and was not changed since, the peer has everything, in these partitions.
    pub settled: ChangeCursor,
    /// See `settled`.
    pub equal: Vec<u16>,
}

impl Exchanges {
    /// Notes how far changes have come by now: to be called once a turn.
    pub fn note<S: Store>(&mut self, now: Instant, store: &S) {
        self.recent.note(now, || store.change_cursor());
    }

    /// The copies here and a member's are known to differ: compared next, without a pause.
    pub fn go_first(&mut self, member: MemberId, now: Instant) {
        self.urgent.insert(member);
        self.next_at = self.next_at.min(now);
    }

    /// The last comparison that has ended, once.
    pub fn take_ended(&mut self) -> Option<Ended> {
        self.ended.take()
    }

    /// Whether a partition that a member shares became dirty after a comparison with it last began.
    pub(super) fn is_due_for(
        &self,
        member: MemberId,
        shared: &Shared,
        dirty: &BTreeMap<u16, Instant>,
    ) -> bool {
        let begun = self.begun.get(&member);
        shared
            .partitions()
            .filter_map(|at| dirty.get(&at))
            .any(|since| begun.is_none_or(|begun| begun <= since))
    }

    /// The peers that can be compared with, next ones first: whose copies are known to differ, who shares a partition
    /// of which somebody lacks something, and then who was not compared for the longest time. Who is given what it
    /// missed comes after that.
    pub(super) fn in_turn(
        &mut self,
        peers: &Peers,
        routes: &Routes,
        dirty: &BTreeMap<u16, Instant>,
    ) -> Vec<(u16, Arc<Shared>)> {
        let can = |slot: &u16| {
            let peer = peers.peer(*slot);
            peers.usable(*slot) && peer.level >= LEVEL && !peer.catching_up
        };
        let with = |slot| (slot, self.shared_with(routes, peers.own(), slot));
        let mut slots: Vec<_> = peers.slots().filter(can).map(with).collect();
        slots.retain(|(_, shared)| !shared.is_empty());
        slots.sort_by_cached_key(|(slot, shared)| {
            let id = peers.peer(*slot).id;
            let is_due = !self.was_dirty && self.is_due_for(id, shared, dirty);
            (!self.urgent.contains(&id), !is_due, self.begun.get(&id).copied())
        });
        slots
    }
}
