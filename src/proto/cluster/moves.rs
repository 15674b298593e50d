//! What a transition moves: which partitions are new to whom, who has copies of them, and how many copies must
//! be looked at before the new one is evidence (rule L1).

use std::collections::BTreeSet;

use super::change::Change;
use super::topology::Topology;
use crate::proto::config::Config;
use crate::proto::io::MemberId;
use crate::proto::limits::KEYSPACES_MAX;
use crate::proto::ring::{Layout, LayoutMember};

/// Quorums by keyspace of one layout: N', R and W as they are by default.
fn quorum(config: &Config, layout: &Layout, keyspace: u16) -> (usize, usize, usize) {
    let n = layout.replica_count(keyspace);
    let defaults = config.keyspace(keyspace);
    let whole = n == layout.replicas_asked(keyspace);
    let majority = n / 2 + 1;
    let of = |count: Option<u8>| if whole { count.map_or(majority, usize::from) } else { majority };
    (n, of(defaults.r), of(defaults.w))
}

/// The keyspaces that differ in what they need.
fn keyspaces(config: &Config) -> impl Iterator<Item = u16> + use<> {
    let count = config.keyspaces.len().max(1).min(usize::from(KEYSPACES_MAX));
    // Those beyond the configured ones are as the first.
    (0..count as u16).chain((count < usize::from(KEYSPACES_MAX)).then_some(count as u16))
}

/// The directories that hold a keyspace's keys of a partition.
fn set(layout: &Layout, partition: u16, keyspace: u16) -> impl Iterator<Item = (MemberId, u64)> + '_ {
    let slots = layout.replicas(keyspace, partition).iter();
    slots.map(|&slot| layout.member(slot)).map(|member| (member.id, member.generation))
}

impl Topology {
    /// The partitions that are new to a member in the layout to come: of some keyspace it was no replica of them,
    /// or by another directory. Where a quorum of the new set could be had of old replicas that missed a write,
    /// these count as new, too. Empty once reads are on that layout.
    pub fn arrivals(&self, member: MemberId, config: &Config) -> Vec<u16> {
        let Some(next) = self.next.as_ref().filter(|_| !self.is_flipped()) else { return Vec::new() };
        let (all, keyspaces) = (self.must_all_reconcile(config), self.keyspaces_by_sets(config));
        let arrives = |&partition: &u16| self.receivers_of(partition, &keyspaces, all).any(|id| id == member);
        (0..next.partitions()).map(|partition| partition as u16).filter(arrives).collect()
    }

    /// The members of the layout to come that something is new to.
    pub fn receivers(&self, config: &Config) -> Vec<MemberId> {
        let Some(next) = &self.next else { return Vec::new() };
        let arrivals = self.arrivals_by_slot(config);
        next.members()
            .iter()
            .zip(arrivals)
            .filter(|(_, count)| *count > 0)
            .map(|(member, _)| member.id)
            .collect()
    }

    /// How many [`Topology::arrivals`] each member of the layout to come has, by its slots. Empty once reads are
    /// on that layout.
    pub fn arrivals_by_slot(&self, config: &Config) -> Vec<u32> {
        let Some(next) = self.next.as_ref().filter(|_| !self.is_flipped()) else { return Vec::new() };
        let (all, keyspaces) = (self.must_all_reconcile(config), self.keyspaces_by_sets(config));
        let mut arrivals = vec![0; next.members().len()];
        for partition in (0..next.partitions()).map(|partition| partition as u16) {
            let receivers: BTreeSet<MemberId> = self.receivers_of(partition, &keyspaces, all).collect();
            for slot in receivers.into_iter().filter_map(|id| next.slot_of(id)) {
                arrivals[usize::from(slot)] += 1;
            }
        }
        arrivals
    }

    /// One keyspace for each number of replicas: only the first so many of a partition's list hold its keys.
    fn keyspaces_by_sets(&self, config: &Config) -> Vec<u16> {
        let counts = |keyspace| (self.current.replica_count(keyspace), self.latest().replica_count(keyspace));
        let mut kept: Vec<u16> = Vec::new();
        for keyspace in keyspaces(config) {
            if kept.iter().all(|&other| counts(other) != counts(keyspace)) {
                kept.push(keyspace);
            }
        }
        kept
    }

    /// Whom a partition is new to, some more than once.
    fn receivers_of<'a>(
        &'a self,
        partition: u16,
        keyspaces: &'a [u16],
        all: bool,
    ) -> impl Iterator<Item = MemberId> + 'a {
        let next = self.next.iter();
        next.flat_map(move |next| keyspaces.iter().map(move |&keyspace| (next, keyspace))).flat_map(
            move |(next, keyspace)| {
                let every = all && self.has_other_set(partition, keyspace);
                let was = move |replica| set(&self.current, partition, keyspace).any(|old| old == replica);
                set(next, partition, keyspace)
                    .filter(move |&replica| every || !was(replica))
                    .map(|(id, _)| id)
            },
        )
    }

    fn has_other_set(&self, partition: u16, keyspace: u16) -> bool {
        self.next.as_ref().is_some_and(|next| {
            let old: BTreeSet<_> = set(&self.current, partition, keyspace).collect();
            old != set(next, partition, keyspace).collect()
        })
    }

    /// An acknowledged write may be missing on N−W replicas that stay; if that is a read quorum of the new set,
    /// they must fetch what they miss.
    fn must_all_reconcile(&self, config: &Config) -> bool {
        let Some(next) = &self.next else { return false };
        keyspaces(config).any(|keyspace| {
            let (n, _, w) = quorum(config, &self.current, keyspace);
            let (_, r, _) = quorum(config, next, keyspace);
            n.saturating_sub(w) >= r
        })
    }

    /// Who may have a copy of a partition that is evidence, beside `member`: the old replicas, with their
    /// directories, that are not dead.
    pub fn sources(&self, partition: u16, member: MemberId) -> Vec<MemberId> {
        let slots = self.current.preference_list(partition).iter();
        let members = slots.map(|&slot| self.current.member(slot));
        members
            .filter(|source| source.id != member && self.has_copy(source))
            .map(|source| source.id)
            .collect()
    }

    fn has_copy(&self, member: &LayoutMember) -> bool {
        let latest = self.member(member.id).map(|latest| latest.generation);
        !self.has_removed(member.generation) && latest == Some(member.generation)
    }

    /// Whether nothing is expected of a directory any more, by what is staged, too: once reads are on the layout to
    /// come no further one can be committed that says so.
    fn is_given_up(&self, member: &LayoutMember) -> bool {
        self.is_lost(member) || !self.has_copy(member)
    }

    /// Whether a member of the layout to come has lost its directory meanwhile: nothing can be brought to it before a
    /// further change lets another one in.
    pub(super) fn has_lost_one(&self) -> bool {
        self.latest().members().iter().any(|member| self.is_lost(member))
    }

    /// Whether a directory is gone or dead, by what is staged too.
    fn is_lost(&self, member: &LayoutMember) -> bool {
        let is_replaced = self.staged.iter().any(|change| match change {
            Change::Join(new) => new.name == member.name && new.generation != member.generation,
            _ => false,
        });
        is_replaced || self.is_dead(member)
    }

    /// The members that go in good order with the change that is under way.
    pub(super) fn leaving(&self) -> impl Iterator<Item = &LayoutMember> {
        let members = self.current.members().iter();
        members.filter(|member| self.latest().slot_of(member.id).is_none() && !self.is_lost(member))
    }

    /// Whether a copy is evidence that was reconciled with these: of every keyspace with N−W+1 old replicas, or
    /// with all that are left (trap T8). A replica that stays counts for itself.
    pub fn is_reconciled(
        &self,
        partition: u16,
        member: MemberId,
        with: &[MemberId],
        config: &Config,
    ) -> bool {
        let sources = self.sources(partition, member);
        let list = self.current.preference_list(partition);
        let latest = self.member(member).map(|latest| latest.generation);
        keyspaces(config).all(|keyspace| {
            let (n, _, w) = quorum(config, &self.current, keyspace);
            let ids = list[..n].iter().map(|&slot| self.current.member(slot));
            let ids: Vec<&LayoutMember> = ids.collect();
            let own = ids.iter().any(|old| old.id == member && Some(old.generation) == latest);
            let left = ids.iter().filter(|old| sources.contains(&old.id)).count();
            let met = ids.iter().filter(|old| with.contains(&old.id)).count();
            let w = if planted!("one_source") { n } else { w };
            met >= (n - w.min(n) + 1).saturating_sub(usize::from(own)).min(left)
        })
    }

    /// Whether the old sets may stop being written to: of each one that differs, N−R+1 replicas follow the flip
    /// and refuse reads of before it (trap T9), or all that are left.
    pub fn may_finish(&self, config: &Config, follows: impl Fn(&LayoutMember) -> bool) -> bool {
        (0..self.current.partitions()).map(|partition| partition as u16).all(|partition| {
            let list = self.current.preference_list(partition);
            keyspaces(config).filter(|&keyspace| self.has_other_set(partition, keyspace)).all(|keyspace| {
                let (n, r, _) = quorum(config, &self.current, keyspace);
                let old = list[..n].iter().map(|&slot| self.current.member(slot));
                let left: Vec<&LayoutMember> = old.filter(|member| !self.is_given_up(member)).collect();
                let met = left.iter().filter(|member| follows(member)).count();
                met >= (n - r.min(n) + 1).min(left.len())
            })
        })
    }
}
