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

use crate::proto::store::{
    Durability, Identity, KeyRef, LocalPart, Lookup, Marks, MemberMemory, NewRecord, Record, Sequence, Store,
    StoreError, Ticket,
};

/// Order of keys. Two keys in one place are as good as impossible, but not quite: see [`Held`].
type Place = (u16, u128);

/// One record with the rest of its key.
struct Held {
    keyspace: u16,
    key: Vec<u8>,
    local: LocalPart,
    object: Vec<u8>,
    item_hash: u64,
    sequence: Sequence,
}

/// Records in memory. Everything put is durable at once, as far as memory can be.
pub struct MemoryStore {
    identity: Identity,
    /// Each list is sorted by keyspace and key, and hardly ever longer than one.
    records: BTreeMap<Place, Vec<Held>>,
    len: u64,
    last: Sequence,
    next_epoch: u64,
    members: Vec<MemberMemory>,
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
    /// An empty store. `random` is drawn from twice: for its generation and its nonce.
    pub fn new(random: &mut dyn FnMut() -> u64) -> MemoryStore {
        MemoryStore {
            identity: Identity {
                generation: random(),
                opens: 1,
                nonce: random(),
                clean: true,
                epoch_floor: 0,
                recovered: Sequence(0),
                hlc_bound: 0,
            },
            records: BTreeMap::new(),
            len: 0,
            last: Sequence(0),
            next_epoch: 0,
            members: Vec::new(),
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

fn place_of(key: &KeyRef<'_>) -> Place {
    (key.partition, key.position)
}

/// Where a key is in the list of its place, or where it belongs.
fn search(list: &[Held], key: &KeyRef<'_>) -> Result<usize, usize> {
    list.binary_search_by(|held| (held.keyspace, held.key.as_slice()).cmp(&(key.keyspace, key.key)))
}

impl Held {
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

    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        let place = place_of(key);
        if let Some(ticket) = self.begin_cold_read(&place) {
            return Ok(Lookup::Pending(ticket));
        }
        let list = self.records.get(&place).map_or(&[][..], Vec::as_slice);
        Ok(match search(list, key) {
            Ok(at) => Lookup::Found(list[at].record()),
            Err(_) => Lookup::Absent,
        })
    }

    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        self.last = Sequence(self.last.0 + 1);
        let list = self.records.entry(place_of(key)).or_default();
        let found = search(list, key);
        if let Ok(at) = found {
            // Its buffer is used again.
            let held = &mut list[at];
            held.object.clear();
            held.object.extend_from_slice(record.object);
            (held.local, held.item_hash, held.sequence) = (record.local, record.item_hash, self.last);
            return Ok(self.last);
        }
        let held = Held {
            keyspace: key.keyspace,
            key: key.key.to_vec(),
            local: record.local,
            object: record.object.to_vec(),
            item_hash: record.item_hash,
            sequence: self.last,
        };
        let at = found.unwrap_or_else(|at| at);
        list.insert(at, held);
        self.len += 1;
        Ok(self.last)
    }

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

    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) {
        for ((_, position), list) in self.records.range((partition, from)..=(partition, u128::MAX)) {
            for held in list {
                let key = KeyRef { keyspace: held.keyspace, key: &held.key, position: *position, partition };
                if visit(&key, &held.record()).is_break() {
                    return;
                }
            }
        }
    }

    fn len(&self) -> u64 {
        self.len
    }
}
