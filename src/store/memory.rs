//! The store without a disk: for tests, caches, and hosts that want none.
//!
//! It keeps the same promises as the log except the obvious one: nothing outlives it. Everything counts
//! as written and durable once it was put, epochs and hybrid timestamps are never held back. A store made
//! [`MemoryStore::with_cold_reads`] answers some lookups late, as the log may, so that both ways through
//! the core are walked.

use core::cell::RefCell;
use core::ops::ControlFlow;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::notes::Notes;
use crate::proto::few::Few;
use crate::proto::merkle::{self, Digest, FANOUT, Forest, NodeName};
use crate::proto::store::{
    Change, ChangeCursor, Changes, Durability, Identity, KeyRef, LocalPart, Lookup, Marks, MemberMemory,
    NewRecord, Note, OPENINGS_KEPT, PartitionStats, Record, Sequence, Store, StoreError, StoreStatus, Ticket,
};

/// Where a key is: its partition and its position. Two keys in one place are as good as impossible, but not quite: see
/// [`Held`].
type Place = (u16, u128);

/// One record with the rest of its key.
struct Held {
    keyspace: u16,
    key: Vec<u8>,
    local: LocalPart,
    object: Vec<u8>,
    item_hash: u64,
    expires_ms: Option<u64>,
    sequence: Sequence,
}

/// What is held of a partition.
#[derive(Default)]
struct Partition {
    /// By position. Each list is sorted by keyspace and key, and hardly ever longer than one.
    records: BTreeMap<u128, Few<Held>>,
    stats: PartitionStats,
}

impl Partition {
    fn count(&mut self, counted: PartitionStats, sign: i64) {
        let sum = |held: u64, change: u64| held.saturating_add_signed(change as i64 * sign);
        self.stats.keys = sum(self.stats.keys, counted.keys);
        self.stats.bytes = sum(self.stats.bytes, counted.bytes);
        self.stats.expiring = sum(self.stats.expiring, counted.expiring);
    }
}

/// What changed in a partition, for those who follow the changes.
enum Changed {
    /// A key at this position was put; perhaps again since.
    Put(u128),
    /// A key left the store.
    Key(u16, Vec<u8>, u128),
    /// All keys did.
    Partition,
}

/// Changes that are remembered at least; there may be as many as records. Older ones are a gap.
const CHANGES_LEAST: usize = 4_096;

/// What a look at one change counts for, in bytes.
const CHANGE_EFFORT: u64 = 64;

/// Records in memory. Everything put is durable at once, as far as memory can be.
pub struct MemoryStore {
    identity: Identity,
    /// As many as have ever held something.
    held: Vec<Partition>,
    len: u64,
    /// How many partitions there are, a power of two.
    partitions: u32,
    trees: Forest,
    /// In the order of sequences: partitions and what changed in them.
    changed: VecDeque<(Sequence, u16, Changed)>,
    /// Changes up to here may have been forgotten.
    floor: Sequence,
    last: Sequence,
    next_epoch: u64,
    members: Vec<MemberMemory>,
    notes: Notes,
    /// Boxed: few stores use it.
    cold: Box<RefCell<Cold>>,
}

/// Lookups that are answered late. Behind a `RefCell` because a lookup changes only this.
#[derive(Default)]
struct Cold {
    /// One lookup in so many of a key that is not warm is pending at first; 0 for none.
    one_in: u64,
    lookups: u64,
    tickets: u64,
    /// Places whose read was begun: their next lookup is answered.
    warm: BTreeSet<Place>,
    done: VecDeque<Ticket>,
}

impl MemoryStore {
    /// An empty store for so many partitions, a power of two up to 65,536. `random` is drawn from twice:
    /// for its generation and its nonce.
    pub fn new(partitions: u32, random: &mut dyn FnMut() -> u64) -> MemoryStore {
        MemoryStore {
            identity: Identity {
                generation: random(),
                opens: 1,
                nonce: random(),
                earlier: [0; OPENINGS_KEPT],
                clean: true,
                epoch_floor: 0,
                recovered: Sequence(0),
                hlc_bound: 0,
            },
            held: Vec::new(),
            len: 0,
            partitions,
            trees: Forest::default(),
            changed: VecDeque::new(),
            floor: Sequence(0),
            last: Sequence(0),
            next_epoch: 0,
            members: Vec::new(),
            notes: Notes::default(),
            cold: Box::default(),
        }
    }

    /// Makes one lookup in `one_in` answer [`Lookup::Pending`] first (by count, so that a run repeats
    /// itself); 0 for none. The host must hand what [`MemoryStore::take_read`] returns to the core.
    pub fn with_cold_reads(mut self, one_in: u64) -> MemoryStore {
        self.cold.get_mut().one_in = one_in;
        self
    }

    /// The next cold read that is done, in the order they were begun.
    pub fn take_read(&mut self) -> Option<Ticket> {
        self.cold.get_mut().done.pop_front()
    }

    /// Whether this lookup is to be answered late, and under which ticket.
    fn begin_cold_read(&self, place: &Place) -> Option<Ticket> {
        let mut cold = self.cold.borrow_mut();
        if cold.one_in == 0 || cold.warm.remove(place) {
            return None;
        }
        cold.lookups += 1;
        if !cold.lookups.is_multiple_of(cold.one_in) {
            return None;
        }
        cold.tickets += 1;
        let ticket = Ticket(cold.tickets);
        cold.warm.insert(*place);
        cold.done.push_back(ticket);
        Some(ticket)
    }
}

impl MemoryStore {
    fn path(&self, key: &KeyRef<'_>) -> u32 {
        merkle::path(key.position, self.partitions)
    }

    /// A key is new: notes it in its tree, whose leaf is split if it has become crowded.
    fn plant(&mut self, key: &KeyRef<'_>, item_hash: u64) {
        let path = self.path(key);
        let crowded = self.trees.change(key.partition, key.keyspace, |tree| tree.put(path, item_hash));
        if let Some(leaf) = crowded {
            let children = self.children(key.partition, key.keyspace, leaf);
            self.trees.change(key.partition, key.keyspace, |tree| tree.split(leaf, &children));
        }
    }

    /// The children of a node, from the records in it.
    fn children(&self, partition: u16, keyspace: u16, node: NodeName) -> [Digest; FANOUT] {
        let positions = node.positions(partition, self.partitions);
        let mut children = [Digest::default(); FANOUT];
        for (position, list) in self.records(partition).range(positions) {
            let child = NodeName::of(merkle::path(*position, self.partitions), node.level + 1);
            let digest = &mut children[child.prefix as usize % FANOUT];
            let ours = list.iter().filter(|held| held.keyspace == keyspace);
            *digest = ours.fold(*digest, |sum, held| sum.with(Digest::of(held.item_hash)));
        }
        children
    }

    /// The records of a partition by position.
    fn records(&self, partition: u16) -> &BTreeMap<u128, Few<Held>> {
        static NONE: BTreeMap<u128, Few<Held>> = BTreeMap::new();
        self.held.get(usize::from(partition)).map_or(&NONE, |held| &held.records)
    }

    /// Gives a change its sequence.
    fn note_change(&mut self, partition: u16, changed: Changed) -> Sequence {
        self.last = Sequence(self.last.0 + 1);
        self.changed.push_back((self.last, partition, changed));
        if self.changed.len() > CHANGES_LEAST.max(self.len as usize)
            && let Some((sequence, ..)) = self.changed.pop_front()
        {
            self.floor = sequence;
        }
        self.last
    }

    /// A change that still stands: a put only if its key was not put again.
    fn shown<'s>(&'s self, change: &'s (Sequence, u16, Changed)) -> Option<Change<'s>> {
        let (sequence, partition, changed) = change;
        let partition = *partition;
        Some(match changed {
            Changed::Put(position) => {
                let list = self.records(partition).get(position)?;
                let held = list.iter().find(|held| held.sequence == *sequence)?;
                let (keyspace, key, position) = (held.keyspace, &held.key[..], *position);
                Change::Put(KeyRef { keyspace, key, position, partition }, held.record())
            }
            Changed::Key(keyspace, key, position) => {
                let (keyspace, position) = (*keyspace, *position);
                Change::Removed(KeyRef { keyspace, key, position, partition }, *sequence)
            }
            Changed::Partition => Change::Dropped(*sequence),
        })
    }
}

fn place_of(key: &KeyRef<'_>) -> Place {
    (key.partition, key.position)
}

/// Where a key is in the list of its place, or where it belongs.
fn search(list: &[Held], key: &KeyRef<'_>) -> Result<usize, usize> {
    list.binary_search_by(|held| (held.keyspace, held.key.as_slice()).cmp(&(key.keyspace, key.key)))
}

impl Held {
    fn weight(&self) -> PartitionStats {
        let bytes = (self.key.len() + self.object.len()) as u64;
        PartitionStats { keys: 1, bytes, expiring: u64::from(self.expires_ms.is_some()) }
    }

    fn record(&self) -> Record<'_> {
        Record {
            local: self.local,
            object: Cow::Borrowed(&self.object),
            item_hash: self.item_hash,
            sequence: self.sequence,
        }
    }
}

impl Store for MemoryStore {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn renew_generation(&mut self, generation: u64) {
        self.identity.generation = generation;
    }

    fn has_kept_generation(&self) -> bool {
        true
    }

    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        let place = place_of(key);
        if let Some(ticket) = self.begin_cold_read(&place) {
            return Ok(Lookup::Pending(ticket));
        }
        let list = self.records(key.partition).get(&key.position).map_or(&[][..], |list| list);
        Ok(match search(list, key) {
            Ok(at) => Lookup::Found(list[at].record()),
            Err(_) => Lookup::Absent,
        })
    }

    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        let sequence = self.note_change(key.partition, Changed::Put(key.position));
        let partition = usize::from(key.partition);
        if partition >= self.held.len() {
            self.held.resize_with(partition + 1, Partition::default);
        }
        let of_partition = &mut self.held[partition];
        let list = of_partition.records.entry(key.position).or_default();
        let found = search(list, key);
        if let Ok(at) = found {
            // Its buffer is used again.
            let held = &mut list[at];
            let before = held.weight();
            let old_hash = held.item_hash;
            held.object.clear();
            held.object.extend_from_slice(record.object);
            (held.local, held.item_hash, held.sequence) = (record.local, record.item_hash, sequence);
            held.expires_ms = record.expires_ms;
            let after = held.weight();
            of_partition.count(before, -1);
            of_partition.count(after, 1);
            let path = self.path(key);
            self.trees.change(key.partition, key.keyspace, |tree| {
                tree.replace(path, old_hash, record.item_hash);
            });
            return Ok(sequence);
        }
        let held = Held {
            expires_ms: record.expires_ms,
            keyspace: key.keyspace,
            key: key.key.to_vec(),
            local: record.local,
            object: record.object.to_vec(),
            item_hash: record.item_hash,
            sequence,
        };
        let at = found.unwrap_or_else(|at| at);
        let weight = held.weight();
        list.insert(at, held);
        of_partition.count(weight, 1);
        self.len += 1;
        self.plant(key, record.item_hash);
        Ok(sequence)
    }

    fn remove(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError> {
        let Some(of_partition) = self.held.get_mut(usize::from(key.partition)) else { return Ok(self.last) };
        let Some(list) = of_partition.records.get_mut(&key.position) else { return Ok(self.last) };
        let Ok(at) = search(list, key) else { return Ok(self.last) };
        let gone = list.remove(at);
        if list.is_empty() {
            of_partition.records.remove(&key.position);
        }
        let (weight, item_hash) = (gone.weight(), gone.item_hash);
        of_partition.count(weight, -1);
        self.len -= 1;
        let path = self.path(key);
        self.trees.change(key.partition, key.keyspace, |tree| tree.remove(path, item_hash));
        Ok(self.note_change(key.partition, Changed::Key(key.keyspace, key.key.to_vec(), key.position)))
    }

    fn drop_partition(&mut self, partition: u16) -> Result<Sequence, StoreError> {
        let gone = self.held.get_mut(usize::from(partition)).map(core::mem::take).unwrap_or_default();
        self.len -= gone.stats.keys;
        self.trees.drop_partition(partition);
        Ok(self.note_change(partition, Changed::Partition))
    }

    fn trees(&self) -> &Forest {
        &self.trees
    }

    fn partition_stats(&self, partition: u16) -> PartitionStats {
        self.held.get(usize::from(partition)).map(|held| held.stats).unwrap_or_default()
    }

    fn change_cursor(&self) -> ChangeCursor {
        ChangeCursor { generation: self.identity.generation, sequence: self.last, hint: (0, 0) }
    }

    fn covers(&self, _partition: u16, since: &ChangeCursor) -> bool {
        since.generation == self.identity.generation && since.sequence >= self.floor
    }

    fn changes(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes {
        let from = self.changed.partition_point(|(sequence, ..)| *sequence <= since.sequence);
        let mut left = effort.max(1);
        for changed in self.changed.range(from..) {
            let (sequence, partition, _) = changed;
            let more = Changes::More(ChangeCursor { sequence: *sequence, ..*since });
            let shown = if concerns(*partition) { self.shown(changed) } else { None };
            if shown.is_some_and(|change| visit(&change).is_break()) {
                return more;
            }
            left = left.saturating_sub(CHANGE_EFFORT);
            if left == 0 {
                return more;
            }
        }
        Changes::End(self.change_cursor())
    }

    fn status(&self) -> StoreStatus {
        StoreStatus::default()
    }

    fn is_incomplete(&self, partition: u16) -> bool {
        let _ = partition;
        false
    }

    fn complete(&mut self, _partition: u16) {}

    fn marks(&self) -> Marks {
        Marks { written: self.last, durable: self.last, failed: false }
    }

    fn flush(&mut self, _need: Durability) {}

    fn take_epoch(&mut self) -> Option<u64> {
        self.next_epoch += 1;
        Some(self.next_epoch)
    }

    fn note_hlc(&mut self, _hlc: u64) {}

    fn members(&self) -> &[MemberMemory] {
        &self.members
    }

    fn remember(&mut self, member: MemberMemory) {
        match self.members.iter_mut().find(|known| known.name == member.name) {
            Some(known) => *known = member,
            None => self.members.push(member),
        }
    }

    fn note(&self, note: Note) -> &[u8] {
        self.notes.content(note)
    }

    fn keep(&mut self, note: Note, content: Vec<u8>) {
        self.notes.give(note, content);
    }

    fn is_kept(&self, _: Note) -> bool {
        true
    }

    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool {
        for (position, list) in self.records(partition).range(from..) {
            for held in list {
                let key = KeyRef { keyspace: held.keyspace, key: &held.key, position: *position, partition };
                if visit(&key, &held.record()).is_break() {
                    return true;
                }
            }
        }
        true
    }

    fn len(&self) -> u64 {
        self.len
    }
}
