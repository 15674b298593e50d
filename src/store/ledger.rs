//! What lies where, in bytes: live bytes of each segment, keys and bytes of each partition.
//!
//! Every change of the index passes through here, in the same call, so the sums are exact. A checkpoint
//! copies the index over many turns while it changes. What changes in a part that was copied already is
//! not in the copy, and is replayed from the log after a restart; so it must not be in the sums of that
//! checkpoint either. Therefore, while a copy is made, changes before its cursor are also noted apart, and
//! taken out of the sums at its end (trap T14).

use std::collections::BTreeMap;

use super::record::{Decoded, Header, Kind};
use crate::proto::store::PartitionStats;

/// Where in the index a change lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spot {
    /// The partition.
    pub partition: u16,
    /// The fingerprint.
    pub fingerprint: u32,
}

/// What the ledger counts of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Weight {
    /// Bytes, padding included.
    pub length: u64,
    /// Whether it is a key's own record, and not a chunk.
    pub is_key: bool,
    /// Whether it holds a sibling that expires.
    pub expires: bool,
}

/// See the head of this file. Segments are named by the numbers of their owners in the slot table.
#[derive(Debug, Default)]
pub struct Ledger {
    /// By owner.
    live: Vec<u64>,
    partitions: Vec<PartitionStats>,
    keys: u64,
    live_total: u64,
    copy: Option<Copy>,
}

#[derive(Debug)]
struct Copy {
    /// What lies before it was copied.
    cursor: Spot,
    /// What changed there since.
    live: BTreeMap<u32, i64>,
    partitions: BTreeMap<u16, [i64; 3]>,
}

impl Weight {
    /// Of a record that its header describes.
    pub fn of(header: &Header) -> Weight {
        let is_key = header.kind() == Some(Kind::Put);
        Weight { length: header.length() as u64, is_key, expires: header.expires() }
    }

    /// Of a record that was decoded.
    pub fn of_decoded(decoded: &Decoded) -> Weight {
        let is_key = decoded.kind == Kind::Put;
        Weight { length: decoded.length as u64, is_key, expires: decoded.expires_ms.is_some() }
    }

    fn counts(&self) -> [i64; 3] {
        [i64::from(self.is_key), self.length as i64, i64::from(self.expires)]
    }
}

fn stats_of(counts: [u64; 3]) -> PartitionStats {
    PartitionStats { keys: counts[0], bytes: counts[1], expiring: counts[2] }
}

fn counts_of(stats: &PartitionStats) -> [u64; 3] {
    [stats.keys, stats.bytes, stats.expiring]
}

impl Ledger {
    /// An empty one for so many partitions.
    pub fn new(partitions: u32) -> Ledger {
        Ledger { partitions: vec![PartitionStats::default(); partitions as usize], ..Ledger::default() }
    }

    /// With sums that a checkpoint kept of the partitions; segments follow by [`Ledger::set_live`].
    pub fn with_partitions(partitions: Vec<PartitionStats>) -> Ledger {
        let keys = partitions.iter().map(|stats| stats.keys).sum();
        Ledger { partitions, keys, ..Ledger::default() }
    }

    /// Sets a segment's live bytes.
    pub fn set_live(&mut self, owner: u32, bytes: u64) {
        let live = self.slot(owner);
        let before = core::mem::replace(live, bytes);
        self.live_total = (self.live_total + bytes).saturating_sub(before);
    }

    fn slot(&mut self, owner: u32) -> &mut u64 {
        let at = owner as usize;
        if self.live.len() <= at {
            self.live.resize(at + 1, 0);
        }
        &mut self.live[at]
    }

    /// Live bytes of a segment.
    pub fn live(&self, owner: u32) -> u64 {
        self.live.get(owner as usize).copied().unwrap_or(0)
    }

    /// Live bytes of all segments.
    pub fn live_total(&self) -> u64 {
        self.live_total
    }

    /// Keys held.
    pub fn keys(&self) -> u64 {
        self.keys
    }

    /// What a partition holds.
    pub fn partition(&self, partition: u16) -> PartitionStats {
        self.partitions[usize::from(partition)]
    }

    /// A slot of the index points at a record in this segment now.
    pub fn add(&mut self, spot: Spot, owner: u32, weight: Weight) {
        self.change(spot, owner, weight, 1);
    }

    /// No slot points at that record any more.
    pub fn take(&mut self, spot: Spot, owner: u32, weight: Weight) {
        self.change(spot, owner, weight, -1);
    }

    /// A slot points at the same record elsewhere now.
    pub fn shift(&mut self, spot: Spot, from: u32, to: u32, weight: Weight) {
        self.change(spot, from, weight, -1);
        self.change(spot, to, weight, 1);
    }

    fn change(&mut self, spot: Spot, owner: u32, weight: Weight, sign: i64) {
        let length = weight.length as i64 * sign;
        let live = self.slot(owner);
        *live = sum(*live, length);
        self.live_total = sum(self.live_total, length);
        let counts = weight.counts().map(|count| count * sign);
        let stats = &mut self.partitions[usize::from(spot.partition)];
        let mut held = counts_of(stats);
        held.iter_mut().zip(counts).for_each(|(held, count)| *held = sum(*held, count));
        *stats = stats_of(held);
        self.keys = sum(self.keys, counts[0]);
        if let Some(copy) = &mut self.copy
            && spot < copy.cursor
        {
            *copy.live.entry(owner).or_default() += length;
            let held = copy.partitions.entry(spot.partition).or_default();
            held.iter_mut().zip(counts).for_each(|(held, count)| *held += count);
        }
    }

    /// Forgets a partition's sums; the bytes of its records are taken from their segments one by one.
    pub fn forget_partition(&mut self, partition: u16) {
        assert!(self.copy.is_none(), "a drop ends a copy first");
        let stats = core::mem::take(&mut self.partitions[usize::from(partition)]);
        self.keys = self.keys.saturating_sub(stats.keys);
    }

    /// Takes bytes of a forgotten partition from a segment.
    pub fn forget_bytes(&mut self, owner: u32, bytes: u64) {
        let live = self.slot(owner);
        *live = live.saturating_sub(bytes);
        self.live_total = self.live_total.saturating_sub(bytes);
    }

    /// A copy of the index begins.
    pub fn begin_copy(&mut self) {
        let cursor = Spot { partition: 0, fingerprint: 0 };
        self.copy = Some(Copy { cursor, live: BTreeMap::new(), partitions: BTreeMap::new() });
    }

    /// Everything before this spot was copied.
    pub fn advance_copy(&mut self, cursor: Spot) {
        if let Some(copy) = &mut self.copy {
            copy.cursor = cursor;
        }
    }

    /// The copy is given up, or was kept.
    pub fn end_copy(&mut self) {
        self.copy = None;
    }

    /// A segment's live bytes as the copy has them.
    pub fn copied_live(&self, owner: u32) -> u64 {
        let since = self.copy.as_ref().and_then(|copy| copy.live.get(&owner)).copied().unwrap_or(0);
        sum(self.live(owner), -since)
    }

    /// A partition's sums as the copy has them.
    pub fn copied_partition(&self, partition: u16) -> PartitionStats {
        let since = self.copy.as_ref().and_then(|copy| copy.partitions.get(&partition));
        let since = since.copied().unwrap_or_default();
        let mut counts = counts_of(&self.partition(partition));
        counts.iter_mut().zip(since).for_each(|(count, since)| *count = sum(*count, -since));
        stats_of(counts)
    }

    /// Bytes of memory that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.live.capacity() * 8 + self.partitions.capacity() * size_of::<PartitionStats>()
    }
}

/// Sums are exact as long as the disk is: the header of a record that is replaced is not checked against
/// its sum, so a damaged one may say anything.
fn sum(held: u64, change: i64) -> u64 {
    held.saturating_add_signed(change)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Weight = Weight { length: 80, is_key: true, expires: false };
    const CHUNK: Weight = Weight { length: 4_096, is_key: false, expires: false };
    const MORTAL: Weight = Weight { length: 96, is_key: true, expires: true };

    fn spot(partition: u16, fingerprint: u32) -> Spot {
        Spot { partition, fingerprint }
    }

    #[test]
    fn sums_are_exact() {
        let mut ledger = Ledger::new(4);
        ledger.add(spot(1, 5), 0, SMALL);
        ledger.add(spot(1, 5), 2, CHUNK);
        ledger.add(spot(3, 9), 2, MORTAL);
        assert_eq!((ledger.live(0), ledger.live(1), ledger.live(2)), (80, 0, 4_192));
        assert_eq!(ledger.partition(1), PartitionStats { keys: 1, bytes: 4_176, expiring: 0 });
        assert_eq!(ledger.partition(3), PartitionStats { keys: 1, bytes: 96, expiring: 1 });
        ledger.shift(spot(3, 9), 2, 1, MORTAL);
        ledger.take(spot(1, 5), 0, SMALL);
        assert_eq!((ledger.live(0), ledger.live(1), ledger.live(2)), (0, 96, 4_096));
        assert_eq!((ledger.keys(), ledger.live_total()), (1, 4_192));
        ledger.forget_partition(3);
        ledger.forget_bytes(1, 96);
        assert_eq!((ledger.keys(), ledger.live(1)), (0, 0));
    }

    #[test]
    fn a_copy_leaves_out_what_changed_behind_its_cursor() {
        let mut ledger = Ledger::new(4);
        ledger.add(spot(0, 5), 0, SMALL);
        ledger.add(spot(2, 5), 0, SMALL);
        ledger.begin_copy();
        ledger.advance_copy(spot(1, 100));
        // Before the cursor: replayed later, so not in the copy.
        ledger.take(spot(0, 5), 0, SMALL);
        ledger.add(spot(0, 5), 1, MORTAL);
        // Behind it: will be copied.
        ledger.take(spot(2, 5), 0, SMALL);
        ledger.add(spot(1, 100), 1, CHUNK);
        ledger.advance_copy(spot(3, 0));
        assert_eq!((ledger.copied_live(0), ledger.copied_live(1)), (80, 4_096));
        assert_eq!(ledger.copied_partition(0), PartitionStats { keys: 1, bytes: 80, expiring: 0 });
        assert_eq!(ledger.copied_partition(1).bytes, 4_096);
        assert_eq!(ledger.copied_partition(2), PartitionStats::default());
        assert_eq!((ledger.live(0), ledger.live(1)), (0, 4_192));
        ledger.end_copy();
        assert_eq!(ledger.copied_live(0), 0);
    }
}
