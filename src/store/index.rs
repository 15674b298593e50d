//! Where the newest record of each key lies: one 8-byte slot a key, in position order.
//!
//! ```text
//!  partition ─► directory (top bits of the fingerprint) ─► shard ─► slots, sorted by fingerprint
//!                                                                   │ fingerprint 24 │ location 40 │
//! ```
//!
//! The fingerprint is the 24 bits of the position below the partition, at an offset fixed when the
//! directory was created (trap T15). A shard is a table with linear probing whose home slot is a rising
//! function of the fingerprint, and it is kept sorted. So the slots of a partition in order are its
//! records in position order, down to equal fingerprints, which the reader tells apart by the records
//! themselves: no key is held in memory.
//!
//! A shard grows by a quarter when it is four fifths full. One that is too large, or whose probe runs get
//! long because the keys of one `{tag}` share the upper bits, is split in two by its next fingerprint bit.
//! Nothing ever rehashes more than one shard, and growth never reads the log. A checkpoint copies a shard
//! as it lies, and an index is put together again from such copies.
//!
//! A key whose object lies in chunks has a slot for each of them besides its own, with its fingerprint.

use super::prefetch::prefetch;
use super::segment::Location;

/// Bits of a fingerprint.
const FINGERPRINT_BITS: u32 = 24;
const LOCATION_BITS: u32 = 40;
const LOCATION_MASK: u64 = (1 << LOCATION_BITS) - 1;
/// Homes of a new shard.
const HOMES_MIN: usize = 8;
/// A shard with so many homes is split rather than grown: it bounds the copy, and so the stall, to 64 KiB.
const HOMES_MAX: usize = 8_192;
/// A key this far from its home makes its shard split.
const DISPLACEMENT_MAX: usize = 256;
/// A shard is never split beyond so many bits: the directory stays below 64 KiB a partition.
const DEPTH_MAX: u32 = 14;
/// Slots behind the last home for runs that begin near it, besides a share of the homes.
const SLACK_MIN: usize = 8;

/// The index of one store.
pub struct Index {
    /// How far a position is shifted right to leave the fingerprint at the bottom.
    shift: u32,
    partitions: Vec<Partition>,
    len: u64,
    /// Bytes of memory that slots and directories take.
    heap: usize,
}

/// The slots of one partition. `directory` has `2^depth` entries, each the number of a shard; it and
/// `shards` are empty until the first key.
#[derive(Default)]
struct Partition {
    depth: u32,
    directory: Vec<u32>,
    shards: Vec<Shard>,
    /// Bytes of memory that directory and shards take.
    heap_bytes: usize,
}

/// The slots whose fingerprints begin with the `depth` bits of `prefix`. Invariants: occupied slots are
/// sorted by fingerprint, and no free slot lies between a key's home and its slot. A free slot is 0.
struct Shard {
    slots: Vec<u64>,
    homes: usize,
    len: usize,
    depth: u32,
    prefix: u32,
}

/// A shard as it lies: what a checkpoint keeps of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ShardImage<'a> {
    /// Bits that its fingerprints begin with, and how many these are.
    pub prefix: u32,
    /// See `prefix`.
    pub depth: u32,
    /// Homes of the table.
    pub homes: u32,
    /// Slots that are taken.
    pub len: u32,
    /// All slots, free ones as 0.
    pub slots: &'a [u64],
}

impl ShardImage<'_> {
    /// The first fingerprint behind it; `None` if it is the last of its partition.
    pub const fn end(&self) -> Option<u32> {
        let end = (self.prefix + 1) << (FINGERPRINT_BITS - self.depth);
        if end == 1 << FINGERPRINT_BITS { None } else { Some(end) }
    }
}

/// A slot that a search has found; good until the index is changed.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    partition: usize,
    shard: usize,
    slot: usize,
    /// What the slot says.
    pub location: Location,
}

const fn entry(fingerprint: u32, location: Location) -> u64 {
    (fingerprint as u64) << LOCATION_BITS | location.0
}

const fn fingerprint_of(entry: u64) -> u32 {
    (entry >> LOCATION_BITS) as u32
}

const fn location_of(entry: u64) -> Location {
    Location(entry & LOCATION_MASK)
}

impl Index {
    /// An empty index for so many partitions, a power of two; fingerprints begin below `log2` of it.
    ///
    /// # Panics
    /// If `partitions` is no power of two up to 65,536; the opener has checked it.
    pub fn new(partitions: u32) -> Index {
        assert!(partitions.is_power_of_two() && partitions <= 1 << 16, "{partitions} partitions");
        Index {
            shift: 128 - partitions.trailing_zeros() - FINGERPRINT_BITS,
            partitions: (0..partitions).map(|_| Partition::default()).collect(),
            len: 0,
            heap: partitions as usize * size_of::<Partition>(),
        }
    }

    /// The fingerprint of a position.
    pub fn fingerprint(&self, position: u128) -> u32 {
        fingerprint(position, self.shift)
    }

    /// How far a position is shifted right to leave the fingerprint at the bottom.
    pub const fn shift(&self) -> u32 {
        self.shift
    }

    /// Slots taken: keys, and chunks of their objects.
    #[cfg(test)]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Bytes of memory that slots and directories take.
    pub const fn heap_bytes(&self) -> usize {
        self.heap
    }

    /// Asks for the memory that a search for this fingerprint begins with.
    #[inline]
    pub fn prefetch(&self, partition: u16, fingerprint: u32) {
        let partition = &self.partitions[usize::from(partition)];
        if let Some(number) = partition.shard_of(fingerprint) {
            let shard = &partition.shards[number];
            prefetch(&shard.slots[shard.home(fingerprint)..][..2]);
        }
    }

    /// The first location under a fingerprint, whether it is the one that is wanted or not.
    #[inline]
    pub fn first(&self, partition: u16, fingerprint: u32) -> Option<Location> {
        self.find(partition, fingerprint, |_| true).map(|found| found.location)
    }

    /// Finds the slot with this fingerprint that `is_it` recognises by its record.
    #[inline]
    pub fn find(
        &self,
        partition: u16,
        fingerprint: u32,
        mut is_it: impl FnMut(Location) -> bool,
    ) -> Option<Found> {
        let partition = usize::from(partition);
        let number = self.partitions[partition].shard_of(fingerprint)?;
        let shard = &self.partitions[partition].shards[number];
        let home = shard.home(fingerprint);
        for (past_home, &slot) in shard.slots[home..].iter().enumerate() {
            if slot == 0 || fingerprint_of(slot) > fingerprint {
                break;
            }
            if fingerprint_of(slot) == fingerprint && is_it(location_of(slot)) {
                let slot_at = home + past_home;
                let location = location_of(slot);
                return Some(Found { partition, shard: number, slot: slot_at, location });
            }
        }
        None
    }

    /// Adds a key that is not there.
    pub fn insert(&mut self, partition: u16, fingerprint: u32, location: Location) {
        debug_assert!(location.0 != 0 && location.0 <= LOCATION_MASK);
        let partition = &mut self.partitions[usize::from(partition)];
        let before = partition.heap_bytes;
        partition.insert(entry(fingerprint, location));
        self.heap = self.heap + partition.heap_bytes - before;
        self.len += 1;
    }

    /// Points a slot elsewhere.
    pub fn replace(&mut self, found: &Found, location: Location) {
        let slot = &mut self.partitions[found.partition].shards[found.shard].slots[found.slot];
        assert!(location_of(*slot) == found.location, "the index changed under a found slot");
        *slot = entry(fingerprint_of(*slot), location);
    }

    /// Takes a slot out.
    pub fn remove(&mut self, found: &Found) {
        let shard = &mut self.partitions[found.partition].shards[found.shard];
        assert!(
            location_of(shard.slots[found.slot]) == found.location,
            "the index changed under a found slot"
        );
        shard.remove(found.slot);
        self.len -= 1;
    }

    /// Takes all slots of a partition out; returns them.
    pub fn take_partition(&mut self, partition: u16) -> Vec<(u32, Location)> {
        let taken = core::mem::take(&mut self.partitions[usize::from(partition)]);
        self.heap -= taken.heap_bytes;
        let mut slots = Vec::new();
        let mut last = None;
        for &number in &taken.directory {
            // A shard stands in the directory as often as it is wide.
            if last.replace(number) != Some(number) {
                let used = taken.shards[number as usize].slots.iter().filter(|&&slot| slot != 0);
                slots.extend(used.map(|&slot| (fingerprint_of(slot), location_of(slot))));
            }
        }
        self.len -= slots.len() as u64;
        slots
    }

    /// The shard that holds this fingerprint; `None` if the partition is empty.
    pub fn shard(&self, partition: u16, fingerprint: u32) -> Option<ShardImage<'_>> {
        let partition = &self.partitions[usize::from(partition)];
        let shard = &partition.shards[partition.shard_of(fingerprint)?];
        Some(ShardImage {
            prefix: shard.prefix,
            depth: shard.depth,
            homes: shard.homes as u32,
            len: shard.len as u32,
            slots: &shard.slots,
        })
    }

    /// Adds a shard that was copied, the next one of its partition in order. False if it does not fit what
    /// is there, or is no shard.
    pub fn load(&mut self, partition: u16, image: &ShardImage<'_>, slots: Vec<u64>) -> bool {
        let Some(partition) = self.partitions.get_mut(usize::from(partition)) else { return false };
        let taken = slots.iter().filter(|&&slot| slot != 0).count();
        let homes = image.homes as usize;
        let is_shard = image.depth <= DEPTH_MAX
            && u64::from(image.prefix) < 1 << image.depth
            && homes >= 1
            && homes < slots.len()
            && taken == image.len as usize;
        let begins = (image.prefix << (FINGERPRINT_BITS - image.depth.min(DEPTH_MAX))) as u64;
        let follows = partition.shards.last().map_or(0, |last| u64::from(last.end())) == begins;
        if !is_shard || !follows {
            return false;
        }
        let shard = Shard { slots, homes, len: taken, depth: image.depth, prefix: image.prefix };
        partition.heap_bytes += shard.heap_bytes();
        self.heap += shard.heap_bytes();
        self.len += taken as u64;
        partition.shards.push(shard);
        true
    }

    /// Ends a series of [`Index::load`]: makes the directories. False if a partition is not whole.
    pub fn finish_loading(&mut self) -> bool {
        for partition in &mut self.partitions {
            let Some(last) = partition.shards.last() else { continue };
            if u64::from(last.end()) != 1 << FINGERPRINT_BITS {
                return false;
            }
            partition.depth = partition.shards.iter().map(|shard| shard.depth).max().unwrap_or(0);
            let width = |shard: &Shard| 1_usize << (partition.depth - shard.depth);
            partition.directory = partition
                .shards
                .iter()
                .zip(0..)
                .flat_map(|(shard, number)| vec![number; width(shard)])
                .collect();
            let before = partition.heap_bytes;
            partition.heap_bytes = partition.count_heap();
            self.heap = self.heap + partition.heap_bytes - before;
        }
        true
    }

    /// Fingerprints and locations of a partition in order, from the first fingerprint at or above `from`.
    pub fn iter(&self, partition: u16, from: u32) -> impl Iterator<Item = (u32, Location)> {
        let partition = &self.partitions[usize::from(partition)];
        let mut next = partition.shard_of(from);
        let shards = core::iter::from_fn(move || {
            let shard = &partition.shards[next?];
            next = partition.shard_after(shard);
            Some(shard)
        });
        shards
            .flat_map(|shard| shard.slots.iter().copied())
            .filter(move |&slot| slot != 0 && fingerprint_of(slot) >= from)
            .map(|slot| (fingerprint_of(slot), location_of(slot)))
    }
}

impl Partition {
    #[inline]
    fn shard_of(&self, fingerprint: u32) -> Option<usize> {
        let entry = self.directory.get((fingerprint >> (FINGERPRINT_BITS - self.depth)) as usize)?;
        Some(*entry as usize)
    }

    /// The shard that follows in fingerprint order.
    fn shard_after(&self, shard: &Shard) -> Option<usize> {
        let next = (shard.prefix + 1) << (self.depth - shard.depth);
        self.directory.get(next as usize).map(|number| *number as usize)
    }

    fn count_heap(&self) -> usize {
        self.directory.capacity() * 4 + self.shards.iter().map(Shard::heap_bytes).sum::<usize>()
    }

    fn insert(&mut self, new: u64) {
        if self.directory.is_empty() {
            self.shards.push(Shard::new(0, 0, &[]));
            self.directory.push(0);
            self.heap_bytes = self.count_heap();
        }
        loop {
            let number = self.shard_of(fingerprint_of(new)).expect("the directory covers all fingerprints");
            let shard = &mut self.shards[number];
            let can_split = shard.depth < DEPTH_MAX && shard.len >= HOMES_MIN;
            match shard.insert(new) {
                Inserted::Done { displacement } => {
                    if displacement > DISPLACEMENT_MAX && can_split {
                        self.split(number);
                    }
                    return;
                }
                Inserted::Full if shard.homes >= HOMES_MAX && can_split => self.split(number),
                Inserted::Full => {
                    let before = shard.heap_bytes();
                    shard.grow();
                    self.heap_bytes = self.heap_bytes + shard.heap_bytes() - before;
                }
            }
        }
    }

    /// Splits a shard in two by the next bit of its fingerprints.
    fn split(&mut self, number: usize) {
        let old = &self.shards[number];
        let (depth, prefix) = (old.depth + 1, old.prefix << 1);
        let entries: Vec<u64> = old.slots.iter().copied().filter(|&slot| slot != 0).collect();
        let upper_begins = u64::from(prefix | 1) << (FINGERPRINT_BITS - depth + LOCATION_BITS);
        let (lower, upper) = entries.split_at(entries.partition_point(|&slot| slot < upper_begins));
        if depth > self.depth {
            self.directory = self.directory.iter().flat_map(|&number| [number, number]).collect();
            self.depth = depth;
        }
        let upper_number = self.shards.len();
        self.shards[number] = Shard::new(depth, prefix, lower);
        self.shards.push(Shard::new(depth, prefix | 1, upper));
        let width = 1_usize << (self.depth - depth);
        let first = ((prefix | 1) as usize) * width;
        self.directory[first..first + width].fill(u32::try_from(upper_number).expect("2^14 shards at most"));
        self.heap_bytes = self.count_heap();
    }
}

/// The fingerprint of a position, see [`Index::shift`].
pub fn fingerprint(position: u128, shift: u32) -> u32 {
    (position >> shift) as u32 & ((1 << FINGERPRINT_BITS) - 1)
}

/// How an insertion ended.
enum Inserted {
    Done { displacement: usize },
    Full,
}

impl Shard {
    /// A shard with these entries, which are sorted, and room for a good half more.
    fn new(depth: u32, prefix: u32, entries: &[u64]) -> Shard {
        let homes = (entries.len() * 25 / 16).max(HOMES_MIN);
        let mut shard = Shard { slots: Vec::new(), homes, len: entries.len(), depth, prefix };
        shard.lay_out(entries);
        shard
    }

    fn heap_bytes(&self) -> usize {
        self.slots.capacity() * 8 + size_of::<Shard>()
    }

    /// The first fingerprint behind it.
    const fn end(&self) -> u32 {
        (self.prefix + 1) << (FINGERPRINT_BITS - self.depth)
    }

    #[inline]
    fn home(&self, fingerprint: u32) -> usize {
        let bits = FINGERPRINT_BITS - self.depth;
        let below_prefix = u64::from(fingerprint) & ((1 << bits) - 1);
        ((below_prefix * self.homes as u64) >> bits) as usize
    }

    fn insert(&mut self, new: u64) -> Inserted {
        if (self.len + 1) * 5 > self.homes * 4 {
            return Inserted::Full;
        }
        let home = self.home(fingerprint_of(new));
        let occupied_below = |slot: &&u64| **slot != 0 && fingerprint_of(**slot) <= fingerprint_of(new);
        let displacement = self.slots[home..].iter().take_while(occupied_below).count();
        let at = home + displacement;
        let Some(run) = self.slots[at..].iter().position(|&slot| slot == 0) else { return Inserted::Full };
        self.slots.copy_within(at..at + run, at + 1);
        self.slots[at] = new;
        self.len += 1;
        Inserted::Done { displacement }
    }

    fn remove(&mut self, slot: usize) {
        let mut at = slot + 1;
        while at < self.slots.len() && self.slots[at] != 0 && self.home(fingerprint_of(self.slots[at])) < at {
            self.slots[at - 1] = self.slots[at];
            at += 1;
        }
        self.slots[at - 1] = 0;
        self.len -= 1;
    }

    fn grow(&mut self) {
        let entries: Vec<u64> = self.slots.iter().copied().filter(|&slot| slot != 0).collect();
        self.homes += (self.homes / 4).max(HOMES_MIN);
        self.lay_out(&entries);
    }

    /// Lays sorted entries out over `homes` homes, with as much slack behind them as they need and some.
    fn lay_out(&mut self, entries: &[u64]) {
        let mut end = 0;
        for &entry in entries {
            end = self.home(fingerprint_of(entry)).max(end) + 1;
        }
        let slack = SLACK_MIN + self.homes / 64;
        let mut slots = vec![0; (self.homes + slack).max(end + slack)];
        let mut next = 0;
        for &entry in entries {
            let at = self.home(fingerprint_of(entry)).max(next);
            slots[at] = entry;
            next = at + 1;
        }
        self.slots = slots;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::proto::rng::Rng;

    /// Whatever happens to it, an index holds what a sorted map holds, in the same order.
    fn check(partitions: u32, operations: u64, mut draw_position: impl FnMut(&mut Rng) -> u128) {
        let mut rng = Rng::new(42);
        let mut index = Index::new(partitions);
        let mut model: BTreeMap<(u16, u32, u64), u128> = BTreeMap::new();
        let mut positions: Vec<u128> = Vec::new();
        for operation in 1..=operations {
            let fresh = positions.is_empty() || rng.one_in(2);
            let position = match fresh {
                true => draw_position(&mut rng),
                false => positions[rng.below(positions.len() as u64) as usize],
            };
            let partition = crate::proto::ring::partition(position, partitions);
            let fingerprint = index.fingerprint(position);
            let known = model
                .iter()
                .find(|(key, held)| key.0 == partition && **held == position)
                .map(|(key, _)| *key);
            let found = index.find(partition, fingerprint, |at| {
                model.get(&(partition, fingerprint, at.0)) == Some(&position)
            });
            assert_eq!(found.map(|found| found.location.0), known.map(|key| key.2));
            match found {
                Some(found) if rng.one_in(3) => {
                    index.remove(&found);
                    model.remove(&known.unwrap());
                }
                Some(found) => {
                    index.replace(&found, Location(operation));
                    model.remove(&known.unwrap());
                    model.insert((partition, fingerprint, operation), position);
                }
                None => {
                    index.insert(partition, fingerprint, Location(operation));
                    model.insert((partition, fingerprint, operation), position);
                    positions.push(position);
                }
            }
            assert_eq!(index.len(), model.len() as u64);
        }
        let mut copy = Index::new(partitions);
        for partition in 0..partitions as u16 {
            let mut next = Some(0);
            while let Some(from) = next {
                let Some(image) = index.shard(partition, from) else { break };
                assert!(copy.load(partition, &image, image.slots.to_vec()));
                next = image.end();
            }
        }
        assert!(copy.finish_loading());
        let counted: usize = index.partitions.iter().map(Partition::count_heap).sum();
        assert_eq!(index.heap_bytes(), counted + partitions as usize * size_of::<Partition>());
        for partition in 0..partitions as u16 {
            assert!(index.iter(partition, 0).eq(copy.iter(partition, 0)));
            assert!(copy.take_partition(partition).into_iter().eq(index.iter(partition, 0)));
            assert!(copy.shard(partition, 0).is_none());
            for from in [0, 1 << 12, 0x80_0000, 0xFF_FFFF] {
                let walked: Vec<u32> =
                    index.iter(partition, from).map(|(fingerprint, _)| fingerprint).collect();
                let range = (partition, from, 0)..=(partition, u32::MAX, u64::MAX);
                let expected: Vec<u32> = model.range(range).map(|(key, _)| key.1).collect();
                assert_eq!(walked, expected);
            }
        }
    }

    fn random_position(rng: &mut Rng) -> u128 {
        u128::from(rng.next_u64()) << 64 | u128::from(rng.next_u64())
    }

    #[test]
    fn it_holds_what_a_sorted_map_holds() {
        check(4, 3_000, random_position);
        check(1, 3_000, random_position);
    }

    #[test]
    fn it_holds_keys_that_share_their_upper_bits() {
        // One tag: sixteen bits alike. And few fingerprints, so that many keys share one.
        check(4, 2_000, |rng| (0x1234 << 112) | random_position(rng) >> 16);
        check(4, 1_000, |rng| (0x1234 << 112) | (random_position(rng) >> 16 & !(0x3FFF << 98)));
    }

    #[test]
    fn it_grows_by_splitting_and_stays_small() {
        let mut rng = Rng::new(7);
        let mut index = Index::new(1);
        for number in 1..=100_000 {
            let fingerprint = index.fingerprint(random_position(&mut rng));
            index.insert(0, fingerprint, Location(number));
        }
        assert!(index.partitions[0].shards.len() > 8);
        let bytes = index.heap_bytes();
        assert!(bytes <= 14 * 100_000, "{bytes} bytes for 100,000 keys");
        let mut walked = index.iter(0, 0).map(|(fingerprint, _)| fingerprint);
        let mut last = 0;
        assert!(walked.all(|fingerprint| core::mem::replace(&mut last, fingerprint) <= fingerprint));
    }

    #[test]
    fn keys_of_one_tag_do_not_make_long_runs() {
        let mut rng = Rng::new(7);
        let mut index = Index::new(256);
        for number in 1..=20_000 {
            let position = (0x1234 << 112) | random_position(&mut rng) >> 16;
            index.insert(0x12, index.fingerprint(position), Location(number));
        }
        for shard in &index.partitions[0x12].shards {
            let far = |(at, &slot): (usize, &u64)| slot != 0 && at - shard.home(fingerprint_of(slot)) > 1_000;
            assert!(!shard.slots.iter().enumerate().any(far));
        }
    }
}
