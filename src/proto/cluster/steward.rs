//! The steward: whichever keeper sees that a transition may take its next step, and proposes it. The first
//! keeper that can be reached does so at once, the others later, in case it does not.

use core::time::Duration;

use super::orders::{Asker, Pending, Step};
use super::{Cluster, Scene};
use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::message::{LEVEL, Progress};
use crate::proto::ring::LayoutMember;
use crate::proto::store::Store;
use crate::proto::time::Instant;

/// How long each keeper gives the one before it.
const TURN: Duration = Duration::from_secs(2);

impl Cluster {
    /// Proposes the next step of the transition, if this keeper may and it is safe.
    pub(super) fn consider<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let Some(step) = self.next_step(scene) else {
            self.steward_at = Instant::NEVER;
            return;
        };
        let now = scene.now.mono;
        if self.steward_at == Instant::NEVER {
            let Some(turn) = self.turn(scene) else { return };
            self.steward_at = now + TURN * turn;
        }
        if self.steward_at <= now {
            self.steward_at = Instant::NEVER;
            self.counters.steps += 1;
            let until = now + limits::ORDER_DEADLINE;
            self.orders.add(Pending { asker: Asker::Own, step, until });
        }
    }

    /// How many keepers that can be reached come before this one.
    fn turn<S: Store>(&self, scene: &mut Scene<'_, S>) -> Option<u32> {
        let seats = self.topology.keepers();
        let own = seats.iter().position(|seat| seat.member == scene.own)?;
        let before = seats[..own].iter().filter(|seat| {
            let slot = scene.peers.slot_of(seat.member);
            slot.is_some_and(|slot| scene.peers.usable(slot))
        });
        Some(before.count() as u32)
    }

    /// What every member knows, if it is more than the cluster uses: all must be here to say so.
    fn next_level<S: Store>(&self, scene: &Scene<'_, S>) -> Option<Step> {
        let topology = &self.topology;
        if !topology.is_kept() || topology.level() >= LEVEL {
            return None;
        }
        let level_of = |member: &LayoutMember| match scene.peers.slot_of(member.id) {
            None => Some(LEVEL),
            Some(slot) => scene.peers.usable(slot).then(|| scene.peers.peer(slot).level),
        };
        let levels: Option<Vec<u8>> = topology.members().into_iter().map(level_of).collect();
        let level = levels?.into_iter().min()?;
        (level > topology.level()).then_some(Step::Raise(topology.version(), level))
    }

    fn next_step<S: Store>(&self, scene: &Scene<'_, S>) -> Option<Step> {
        let (topology, config) = (&self.topology, scene.config);
        let Some(next) = topology.next() else { return self.next_level(scene) };
        let report = |member: &LayoutMember| -> Option<Progress> {
            self.reports.get(&member.id).copied().filter(|report| report.generation == member.generation)
        };
        let has_done = |member: &LayoutMember, version: u64| {
            report(member).is_some_and(|report| report.version >= version && report.open == 0)
        };
        if topology.is_flipped() {
            let follows = |member: &LayoutMember| {
                report(member).is_some_and(|report| report.version >= topology.flipped_at())
            };
            // Who leaves is asked by nobody afterwards, and may still keep the only copy of a write for another.
            let may_leave = topology.has_lost_one()
                || topology.leaving().all(|member| has_done(member, topology.flipped_at()));
            let may_finish =
                topology.may_finish(config, follows) && (may_leave || planted!("leaves_with_hints"));
            return may_finish.then(|| Step::Finish(topology.version()));
        }
        // One that has lost its directory since it said so has nothing.
        let is_here = |member: &LayoutMember| match scene.peers.slot_of(member.id) {
            None => true,
            Some(slot) => {
                scene.peers.usable(slot)
                    && (member.generation == 0
                        || scene.peers.peer(slot).generation == Some(member.generation))
            }
        };
        let is_ready = |id: &MemberId| {
            let slot = next.slot_of(*id).expect("it is of the layout to come");
            let member = next.member(slot);
            has_done(member, next.version()) && is_here(member)
        };
        let may_flip = self.receivers.iter().all(is_ready) || planted!("flip_early");
        may_flip.then(|| Step::Flip(topology.version()))
    }
}
