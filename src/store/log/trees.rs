//! The hash trees of the log: changed with every slot, split and audited in the background.
//!
//! A tree is the sum of what the headers say that slots point at. So a put takes out the hash in the header
//! that it read to compare keys, and a copy that compaction made changes nothing.
//!
//! The index has no hashes, so a leaf that is split must be added up from the headers of its records, and
//! these may be cold. The loop reads none of them: it lists where they are (*look*), the worker reads, and
//! the sums are put together when they come back. What changes meanwhile in the part that was listed is
//! noted in these sums as well; sums do not care for the order. An *audit* goes through a partition in the
//! same way and compares what it adds up with the trees: each partition once in the time of a scrub.
//!
//! One look is under way at a time. A leaf that waits for one is coarser than it should be, and right.

use core::ops::Range;
use core::time::Duration;
use std::collections::BTreeSet;

use super::LogStore;
use crate::proto::merkle::{Digest, FANOUT, MerkleTree, NodeName};
use crate::proto::time::Instant;
use crate::store::disk::Disk;
use crate::store::ledger::Spot;
use crate::store::upkeep::{Place, Seen, Upkeep};

/// Records of one look, about: 50 µs of the loop, and as many reads of the worker.
const LOOK_RECORDS: usize = 1_024;
/// Tasks of upkeep that may wait before looks wait, too.
const TASKS_MAX: usize = 8;
/// After a look that was given up, before the next.
const PAUSE: Duration = Duration::from_millis(100);

/// What is done about trees. See the head of this file.
#[derive(Debug, Default)]
pub struct Tending {
    /// Partition and keyspace of trees with a leaf that asks to be split.
    crowded: BTreeSet<(u16, u16)>,
    splits: Vec<Split>,
    /// The number of the last of them.
    last: u32,
    audit: Option<Audit>,
    /// Whose look is under way.
    looking: Option<Looking>,
    /// A look was given up; the next one waits a while.
    is_put_off: bool,
    not_before: Instant,
    /// The partition that is audited next, and when.
    next: u16,
    due: Option<Instant>,
    /// Partitions that were audited, and trees that were not what they should have been.
    pub audits: u64,
    pub mismatches: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Looking {
    Splits,
    Audit,
}

/// A leaf that is split.
#[derive(Debug)]
struct Split {
    /// Its number among all, as [`Place::asker`].
    number: u32,
    partition: u16,
    keyspace: u16,
    leaf: NodeName,
    /// What lies before this fingerprint is in `children`, or is being read for it.
    cursor: u32,
    children: [Digest; FANOUT],
}

impl Split {
    fn is_of(&self, partition: u16, keyspace: u16, leaf: NodeName) -> bool {
        (self.partition, self.keyspace, self.leaf) == (partition, keyspace, leaf)
    }

    fn count(&mut self, spot: Spot, keyspace: u16, old: Digest, new: Digest) {
        let is_ours = (self.partition, self.keyspace) == (spot.partition, keyspace);
        if is_ours && self.leaf.paths().contains(&spot.fingerprint) {
            let digit = NodeName::of(spot.fingerprint, self.leaf.level + 1).prefix as usize % FANOUT;
            self.children[digit] = self.children[digit].without(old).with(new);
        }
    }
}

/// Records that are asked for.
struct Asked {
    asker: u32,
    partition: u16,
    /// Their fingerprints.
    range: Range<u32>,
}

/// A partition whose trees are added up anew.
#[derive(Debug)]
struct Audit {
    partition: u16,
    /// As in [`Split`].
    cursor: u32,
    trees: Vec<(u16, MerkleTree)>,
}

impl Audit {
    fn count(&mut self, spot: Spot, keyspace: u16, old: Digest, new: Digest) {
        if self.partition == spot.partition {
            count_in(&mut self.trees, keyspace, spot.fingerprint, old, new);
        }
    }
}

/// Counts a change in one of these trees, which is begun if it is not there.
fn count_in(trees: &mut Vec<(u16, MerkleTree)>, keyspace: u16, path: u32, old: Digest, new: Digest) {
    let at = trees.binary_search_by_key(&keyspace, |(keyspace, _)| *keyspace).unwrap_or_else(|at| {
        trees.insert(at, (keyspace, MerkleTree::default()));
        at
    });
    trees[at].1.count(path, old, new);
}

/// The trees of a partition as a checkpoint has them, while its shards are copied: what changes in a shard
/// that is still to be copied changes them, and what changes in one that was does not (trap T14).
#[derive(Debug)]
pub struct CopiedTrees {
    pub partition: u16,
    /// The first fingerprint that was not copied.
    pub cursor: u32,
    pub trees: Vec<(u16, MerkleTree)>,
}

impl Tending {
    /// With the trees of a store that was opened.
    pub fn opened(crowded: BTreeSet<(u16, u16)>) -> Tending {
        Tending { crowded, ..Tending::default() }
    }

    /// Bytes of memory that it takes, about.
    pub fn heap_bytes(&self) -> usize {
        let trees = self.audit.iter().flat_map(|audit| &audit.trees);
        self.splits.capacity() * size_of::<Split>()
            + self.crowded.len() * 16
            + trees.map(|(_, tree)| size_of::<MerkleTree>() + tree.heap_bytes()).sum::<usize>()
    }

    fn note(&mut self, spot: Spot, keyspace: u16, old: Digest, new: Digest) {
        for split in self.splits.iter_mut().filter(|split| spot.fingerprint < split.cursor) {
            split.count(spot, keyspace, old, new);
        }
        if let Some(audit) = self.audit.as_mut().filter(|audit| spot.fingerprint < audit.cursor) {
            audit.count(spot, keyspace, old, new);
        }
    }
}

impl<D: Disk> LogStore<D> {
    /// The record of a key has changed: its hash before and now, if there was and is one.
    pub(super) fn change_tree(&mut self, spot: Spot, keyspace: u16, old: Option<u64>, new: Option<u64>) {
        // What trees cost is measured against a build without them.
        if planted!("no_trees") {
            return;
        }
        let path = spot.fingerprint;
        let is_crowded = self.trees.change(spot.partition, keyspace, |tree| {
            match (old, new) {
                (None, Some(new)) => return tree.put(path, new).is_some(),
                (Some(old), Some(new)) => tree.replace(path, old, new),
                (Some(old), None) => tree.remove(path, old),
                (None, None) => {}
            }
            false
        });
        if is_crowded {
            self.tending.crowded.insert((spot.partition, keyspace));
        }
        let digest = |hash: Option<u64>| hash.map_or(Digest::default(), Digest::of);
        let (old, new) = (digest(old), digest(new));
        self.tending.note(spot, keyspace, old, new);
        if let Some(copied) = self.checkpointing.copied_trees()
            && copied.partition == spot.partition
            && copied.cursor <= spot.fingerprint
        {
            count_in(&mut copied.trees, keyspace, path, old, new);
        }
    }

    /// All keys of a partition left.
    pub(super) fn drop_trees(&mut self, partition: u16) {
        self.trees.drop_partition(partition);
        self.tending.splits.retain(|split| split.partition != partition);
        self.tending.audit.take_if(|audit| audit.partition == partition);
    }

    /// A turn's share: asks for the next look, if there is something to look for.
    pub(super) fn tend_trees(&mut self, now: Instant) {
        if self.tending.looking.is_some() || self.shared.marks().failed || self.shared.tasks() > TASKS_MAX {
            return;
        }
        if core::mem::take(&mut self.tending.is_put_off) {
            self.tending.not_before = now + PAUSE;
        }
        if now < self.tending.not_before {
            self.wake_at(self.tending.not_before);
            return;
        }
        let mut places = Vec::new();
        if self.look_for_splits(&mut places) {
            self.look(Looking::Splits, places);
        } else if self.audit_is_due(now) && self.look_for_audit(&mut places) {
            self.look(Looking::Audit, places);
        }
    }

    fn look(&mut self, looking: Looking, places: Vec<Place>) {
        self.tending.looking = Some(looking);
        self.shared.keep_up(Upkeep::Look(places));
    }

    /// Lists the records of leaves that are split; whether there are any.
    fn look_for_splits(&mut self, places: &mut Vec<Place>) -> bool {
        let mut budget = LOOK_RECORDS;
        // One that was not listed whole goes on first.
        for at in 0..self.tending.splits.len() {
            self.list_split(at, &mut budget, places);
        }
        while budget > 0
            && let Some((partition, keyspace)) = self.tending.crowded.pop_first()
        {
            let Some(tree) = self.trees.tree(partition, keyspace) else { continue };
            // One whose listing goes on from before asks again with new keys.
            let mut leaves = tree.all_crowded();
            let begun = |leaf: &NodeName| {
                self.tending.splits.iter().any(|split| split.is_of(partition, keyspace, *leaf))
            };
            leaves.retain(|leaf| !begun(leaf));
            let mut leaves = leaves.into_iter();
            while budget > 0
                && let Some(leaf) = leaves.next()
            {
                let cursor = leaf.paths().start;
                let children = [Digest::default(); FANOUT];
                self.tending.last = self.tending.last.wrapping_add(1);
                let number = self.tending.last;
                self.tending.splits.push(Split { number, partition, keyspace, leaf, cursor, children });
                self.list_split(self.tending.splits.len() - 1, &mut budget, places);
            }
            if leaves.next().is_some() {
                self.tending.crowded.insert((partition, keyspace));
            }
        }
        !self.tending.splits.is_empty()
    }

    fn list_split(&mut self, at: usize, budget: &mut usize, places: &mut Vec<Place>) {
        let Split { number, partition, leaf, cursor, .. } = self.tending.splits[at];
        let mut seen = Vec::new();
        let end = leaf.paths().end;
        let asked = Asked { asker: number, partition, range: cursor..end };
        let cursor = self.list(&asked, budget, places, &mut seen);
        let split = &mut self.tending.splits[at];
        split.cursor = cursor;
        for seen in seen {
            let spot = Spot { partition, fingerprint: seen.fingerprint };
            split.count(spot, seen.keyspace, Digest::default(), Digest::of(seen.item_hash));
        }
    }

    /// Lists where the records of a range lie, or what they say if they are still in the staging buffer.
    /// Ends between two fingerprints; returns before which.
    fn list(
        &self,
        asked: &Asked,
        budget: &mut usize,
        places: &mut Vec<Place>,
        staged: &mut Vec<Seen>,
    ) -> u32 {
        let Asked { asker, partition, ref range } = *asked;
        let mut last = None;
        for (fingerprint, location) in self.index.iter(partition, range.start) {
            if fingerprint >= range.end {
                break;
            }
            if *budget == 0 && last != Some(fingerprint) {
                return fingerprint;
            }
            last = Some(fingerprint);
            *budget = budget.saturating_sub(1);
            let Some((entry, offset)) = self.segments.locate(location) else { continue };
            if offset < entry.staged_from {
                places.push(Place { asker, number: entry.plan.number, offset, partition, fingerprint });
            } else if let Some((keyspace, item_hash)) = self.glance_at(location) {
                staged.push(Seen { asker, partition, fingerprint, keyspace, item_hash });
            }
        }
        range.end
    }

    fn audit_is_due(&mut self, now: Instant) -> bool {
        if self.is_closed {
            return false;
        }
        let looks = u64::from(self.options.partitions) + self.ledger.keys() / LOOK_RECORDS as u64;
        let pause = self.options.scrub_interval / u32::try_from(looks).unwrap_or(u32::MAX);
        let due = *self.tending.due.get_or_insert(now + pause);
        if now < due {
            self.wake_at(due);
            return false;
        }
        self.tending.due = Some(now + pause);
        true
    }

    /// Lists the next records of the partition that is audited, or of the next one; whether there is one.
    fn look_for_audit(&mut self, places: &mut Vec<Place>) -> bool {
        if self.tending.audit.is_none() {
            let partition = self.tending.next;
            self.tending.next =
                (u32::from(partition) + 1).checked_rem(self.options.partitions).unwrap_or(0) as u16;
            if self.index.iter(partition, 0).next().is_none() && self.trees.of(partition).next().is_none() {
                return false;
            }
            let trees = self.trees.of(partition).map(|(keyspace, tree)| (keyspace, tree.emptied()));
            self.tending.audit = Some(Audit { partition, cursor: 0, trees: trees.collect() });
        }
        let Some(Audit { partition, cursor, .. }) = self.tending.audit else { return false };
        let mut seen = Vec::new();
        let asked = Asked { asker: 0, partition, range: cursor..NodeName::ROOT.paths().end };
        let cursor = self.list(&asked, &mut { LOOK_RECORDS }, places, &mut seen);
        if let Some(audit) = &mut self.tending.audit {
            audit.cursor = cursor;
            for seen in seen {
                let spot = Spot { partition, fingerprint: seen.fingerprint };
                audit.count(spot, seen.keyspace, Digest::default(), Digest::of(seen.item_hash));
            }
        }
        true
    }

    /// The worker has read the headers of a look; `None` if a segment could not be opened, as it has gone
    /// meanwhile, or for want of descriptors. That says nothing, and what was begun is given up.
    pub(super) fn looked(&mut self, seen: Option<Vec<Seen>>) {
        let looking = self.tending.looking.take();
        let Some(seen) = seen else {
            self.tending.is_put_off = true;
            match looking {
                Some(Looking::Audit) => self.tending.audit = None,
                _ => {
                    let given_up = self.tending.splits.drain(..);
                    let trees = given_up.map(|split| (split.partition, split.keyspace));
                    self.tending.crowded.extend(trees);
                }
            }
            return;
        };
        for Seen { asker, partition, fingerprint, keyspace, item_hash } in seen {
            let spot = Spot { partition, fingerprint };
            let (old, new) = (Digest::default(), Digest::of(item_hash));
            match looking {
                Some(Looking::Audit) => {
                    self.tending.audit.iter_mut().for_each(|audit| audit.count(spot, keyspace, old, new));
                }
                _ => {
                    let split = self.tending.splits.iter_mut().find(|split| split.number == asker);
                    split.into_iter().for_each(|split| split.count(spot, keyspace, old, new));
                }
            }
        }
        match looking {
            Some(Looking::Audit) => self.end_audit(),
            _ => self.end_splits(),
        }
    }

    /// Splits the leaves that were read whole. One that does not add up stays as it is until its next key,
    /// or an audit, tells more.
    fn end_splits(&mut self) {
        let (whole, rest) = core::mem::take(&mut self.tending.splits)
            .into_iter()
            .partition::<Vec<Split>, _>(|split| split.cursor == split.leaf.paths().end);
        self.tending.splits = rest;
        for Split { partition, keyspace, leaf, children, .. } in whole {
            let is_crowded = self.trees.change(partition, keyspace, |tree| {
                tree.split(leaf, &children) && !tree.all_crowded().is_empty()
            });
            if is_crowded {
                self.tending.crowded.insert((partition, keyspace));
            }
        }
    }

    /// Compares the trees of a partition with what was added up, once that is whole.
    fn end_audit(&mut self) {
        let is_whole = |audit: &mut Audit| audit.cursor == NodeName::ROOT.paths().end;
        let Some(Audit { partition, trees, .. }) = self.tending.audit.take_if(is_whole) else { return };
        self.tending.audits += 1;
        for (keyspace, counted) in trees {
            let is_right = self
                .trees
                .tree(partition, keyspace)
                .map_or_else(|| counted.root() == Digest::default(), |tree| counted.agrees(tree));
            if is_right {
                continue;
            }
            self.tending.mismatches += 1;
            self.trees.change(partition, keyspace, |tree| *tree = counted);
            self.tending.crowded.insert((partition, keyspace));
        }
    }
}
