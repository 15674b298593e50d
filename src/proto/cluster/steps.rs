//! The steps of a transition, each a topology that follows on another (rules L1 to L3, traps T8 and T9).

use super::change::Change;
use super::topology::Topology;
use crate::proto::io::MemberId;
use crate::proto::keepers::Seat;
use crate::proto::keys::ClusterKeys;
use crate::proto::ring::{Layout, LayoutMember};
use crate::proto::wire::put_bytes;

/// Versions that a new era leaves out, which the keepers of the one before may have used unseen.
const ERA_GAP: u64 = 1 << 10;

impl Topology {
    /// The name of a plan: of the layout, and of what is staged, since a member that leaves and one that is dead
    /// come to one layout, and to different ends.
    pub fn plan_hash(&self, planned: &Layout, keys: &ClusterKeys) -> u64 {
        let mut staged = Vec::new();
        for change in &self.staged {
            put_bytes(&mut staged, &change.encode());
        }
        keys.placement.hash64(&[b"plan\0", &planned.hash().to_le_bytes(), &staged])
    }

    /// Begins to move to what is staged: the plan named by `hash`, which the operator has seen.
    ///
    /// # Errors
    /// Nothing is staged, it comes to another layout or to none, or the transition under way must end first.
    pub fn commit(&self, hash: u64, keys: &ClusterKeys) -> Result<Topology, String> {
        if self.staged.is_empty() {
            return Err("nothing is staged".into());
        }
        if self.is_flipped() {
            return Err("the transition before is about to end; try again in a moment".into());
        }
        let planned = self.planned(keys)?;
        let plan = self.plan_hash(&planned, keys);
        if plan != hash {
            return Err(format!(
                "the plan is {plan:016x} by now, not {hash:016x}: somebody staged or committed something; look \
                 at the plan again"
            ));
        }
        let mut next = self.successor();
        next.keepers = next.seats(&planned);
        let max_per_zone = self.staged.iter().rev().find_map(|change| match change {
            Change::MaxPerZone(max) => Some(*max),
            _ => None,
        });
        next.max_per_zone = max_per_zone.unwrap_or(next.max_per_zone);
        // Rule L3 for the dead begins at once: nothing of theirs is evidence any more.
        let dead = self.members().into_iter().filter(|member| self.is_dead(member));
        let dead: Vec<u64> = dead.map(|member| member.generation).collect();
        next.remove(dead);
        next.staged.clear();
        next.next = Some(planned);
        // Who leaves gives its hints away first.
        if !next.moves() && next.leaving().next().is_none() {
            next.settle();
        }
        Ok(next.name(keys))
    }

    /// Stages and commits one change by itself; what else is staged stays so. `None` if it is so already.
    ///
    /// # Errors
    /// It cannot be, and why.
    pub fn admit(&self, change: Change, keys: &ClusterKeys) -> Result<Option<Topology>, String> {
        let alone = Topology { staged: Vec::new(), ..self.clone() };
        let Some(staged) = alone.stage(change.clone(), keys)? else { return Ok(None) };
        let alone = Topology { staged: staged.staged, ..self.clone() };
        let mut next = alone.commit(alone.plan_hash(&alone.planned(keys)?, keys), keys)?;
        next.staged.clone_from(&self.staged);
        next.staged.retain(|other| *other != change);
        Ok(Some(next.name(keys)))
    }

    /// Back to the layout before, which everything was written to as well.
    ///
    /// # Errors
    /// There is no transition, or it has come too far.
    pub fn revert(&self, keys: &ClusterKeys) -> Result<Topology, String> {
        if self.next.is_none() {
            return Err("no transition is under way".into());
        }
        if self.is_flipped() {
            return Err("reads are on the new layout already; stage the way back and commit it".into());
        }
        // Rule L3: what the dead had was given up when they were removed, and nothing brings them back.
        if let Some(member) = self.current.members().iter().find(|member| self.has_removed(member.generation))
        {
            return Err(format!("`{}` was removed and does not return; commit another way on", member.name));
        }
        let mut next = self.successor();
        next.next = None;
        next.keepers = next.seats(&next.current);
        // So does the rule about zones: the new one may not be kept with the old layout's.
        let (config, max) = (self.current.settings(), self.current.max_per_zone());
        let is_default = config.check().is_ok() && self.current.next(&config, keys).max_per_zone() == max;
        next.max_per_zone = (!is_default).then_some(max as u8);
        Ok(next.name(keys))
    }

    /// Puts reads on the new layout. Only for who knows that every new replica has what the old ones have.
    pub(super) fn flip(&self, keys: &ClusterKeys) -> Topology {
        let next = self.successor();
        Topology { flipped_at: next.version, ..next }.name(keys)
    }

    /// Uses what all members know by now. Only for who has heard that of each of them.
    pub(super) fn raise(&self, level: u8, keys: &ClusterKeys) -> Topology {
        Topology { level: self.level.max(level), ..self.successor() }.name(keys)
    }

    /// Begins a new era, decided by nobody: its keepers are chosen of these members. What the lost keepers may have
    /// committed and told nobody of counts no more; the version leaves room for it (trap T9).
    ///
    /// # Errors
    /// No member that holds data is among them.
    pub fn force(&self, reachable: &[MemberId], keys: &ClusterKeys) -> Result<Topology, String> {
        let is_here = |seat: &Seat| reachable.contains(&seat.member);
        let mut next = self.successor();
        next.era += 1;
        next.version += ERA_GAP;
        let kept: Vec<Seat> = self.keepers.iter().copied().filter(is_here).collect();
        let others = self.latest().members().iter().filter(|member| member.weight > 0);
        let others = others.map(|member| Seat { member: member.id, generation: member.generation });
        let mut seats = kept.clone();
        seats.extend(
            others.filter(|seat| is_here(seat) && !kept.iter().any(|kept| kept.member == seat.member)),
        );
        seats.truncate(if seats.len() < 3 { 1 } else { 3 });
        seats.sort_unstable();
        if seats.is_empty() {
            return Err("no member that could keep the layout can be reached".into());
        }
        next.keepers = seats;
        Ok(next.name(keys))
    }

    /// Ends the transition. Only for who knows that nobody reads of the old layout any more.
    pub(super) fn finish(&self, keys: &ClusterKeys) -> Topology {
        let mut next = self.successor();
        next.settle();
        next.name(keys)
    }

    fn settle(&mut self) {
        let Some(next) = self.next.take() else { return };
        let before = std::mem::replace(&mut self.current, next);
        let gone = before.members().iter().filter(|member| {
            let slot = self.current.slot_of(member.id);
            slot.is_none_or(|slot| self.current.member(slot).generation != member.generation)
        });
        let gone: Vec<u64> = gone.map(|member| member.generation).collect();
        self.remove(gone);
        self.flipped_at = 0;
    }

    fn remove(&mut self, generations: Vec<u64>) {
        for generation in generations {
            if generation != 0 && !self.removed.contains(&generation) {
                self.removed.push(generation);
            }
        }
        // It may have asked to be let in while it was still a member, on its way out.
        let removed = &self.removed;
        self.staged.retain(|change| match change {
            Change::Join(member) => member.generation == 0 || !removed.contains(&member.generation),
            _ => true,
        });
    }

    /// Whether any partition has other replicas in the next layout, or one with another directory.
    fn moves(&self) -> bool {
        let Some(next) = &self.next else { return false };
        if next.width() != self.current.width() {
            return true;
        }
        let of = |member: &LayoutMember| (member.id, member.generation);
        (0..next.partitions()).any(|partition| {
            let list = |layout: &Layout| {
                let slots = layout.preference_list(partition as u16).iter();
                slots.map(|&slot| of(layout.member(slot))).collect::<Vec<_>>()
            };
            list(next) != list(&self.current)
        })
    }
}
