//! The store under a simulated node: the real one, watched, and now and then slow, full or damaged.
//!
//! Every put is noted for the oracle, which the world hands on after each call into the node. A lookup
//! may be told to wait ([`Lookup::Pending`]), a put to come back later ([`StoreError::Overloaded`]), and a
//! record may be made unreadable ([`StoreError::Damaged`]) until it is put again.

use core::cell::RefCell;
use core::ops::ControlFlow;
use std::collections::BTreeSet;

use super::disk::SimDisk;
use super::oracle::check_of;
use super::restarts::FoundRecord;
use crate::proto::merkle::Forest;
use crate::proto::rng::Rng;
use crate::proto::store::{
    Change, ChangeCursor, Changes, Durability, Identity, KeyRef, LocalPart, Lookup, Marks, MemberMemory,
    NewRecord, Note, PartitionStats, Record, Sequence, Store, StoreError, StoreStatus, Ticket,
};
use crate::proto::time::Instant;
use crate::store::{LogOptions, LogStore, MemoryStore, WorkerMode};

/// A keyspace and a key.
pub type KeyName = (u16, Vec<u8>);

/// A put that went through.
#[derive(Clone, Debug)]
pub struct NotedPut {
    /// Under which key.
    pub key: KeyName,
    /// Its sequence.
    pub sequence: Sequence,
    /// The local part.
    pub local: LocalPart,
    /// The encoded object.
    pub object: Vec<u8>,
    /// The object's hash.
    pub item_hash: u64,
    /// The store could not tell, for sure, what the key held before.
    pub over_unknown: bool,
}

/// What was done to a store.
#[derive(Clone, Debug)]
pub enum Noted {
    /// A put.
    Put(NotedPut),
    /// A partition was dropped, at this sequence.
    Drop(u16, Sequence),
    /// A key was removed, at this sequence.
    Remove(KeyName, Sequence),
}

/// What a store says of a key, where its disk may be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glance {
    /// It holds the record of this sequence, object and epoch, or none.
    Known(FoundRecord),
    /// It holds this one, and may have held a newer one.
    Suspect(FoundRecord),
    /// It cannot tell.
    Unknown,
}

/// The real store.
pub enum RealStore {
    /// In memory.
    Memory(Box<MemoryStore>),
    /// The append log on a simulated disk.
    Log(Box<LogStore<SimDisk>>),
}

impl RealStore {
    /// An empty one in memory.
    pub fn memory(partitions: u32, random: &mut dyn FnMut() -> u64) -> RealStore {
        RealStore::Memory(Box::new(MemoryStore::new(partitions, random)))
    }

    /// The log on a simulated disk; the world carries out its disk work.
    ///
    /// # Errors
    /// Why it cannot be opened.
    pub fn log(
        disk: SimDisk,
        options: LogOptions,
        random: &mut dyn FnMut() -> u64,
    ) -> Result<RealStore, String> {
        let options = LogOptions { worker: WorkerMode::Host, ..options };
        // The world looks at the marks after each step; nobody needs to be woken.
        match LogStore::open(disk, options, random, Box::new(|| ())) {
            Ok(store) => Ok(RealStore::Log(Box::new(store))),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Whether the log worker may have something to do.
    fn has_disk_work(&self) -> bool {
        match self {
            RealStore::Memory(_) => false,
            RealStore::Log(store) => store.has_disk_work(),
        }
    }

    /// Lets the log worker do one thing; whether there was one.
    pub fn disk_step(&mut self) -> bool {
        match self {
            RealStore::Memory(_) => false,
            RealStore::Log(store) => store.disk_step(),
        }
    }

    /// Closes in good order; whether it could.
    pub fn close(&mut self) -> bool {
        match self {
            RealStore::Memory(_) => true,
            RealStore::Log(store) => store.close().is_ok(),
        }
    }

    fn get(&self) -> &dyn Store {
        match self {
            RealStore::Memory(store) => store.as_ref(),
            RealStore::Log(store) => store.as_ref(),
        }
    }

    fn get_mut(&mut self) -> &mut dyn Store {
        match self {
            RealStore::Memory(store) => store.as_mut(),
            RealStore::Log(store) => store.as_mut(),
        }
    }
}

/// What changes behind a lookup.
struct Behind {
    rng: Rng,
    /// One lookup in so many that is not warm waits; 0 for none.
    cold_one_in: u64,
    next_ticket: u64,
    /// Keys whose lookups are answered: the world is in the middle of a call, or their read is done.
    warm: BTreeSet<KeyName>,
    /// Cold reads that were begun and not yet handed to the world.
    begun: Vec<(Ticket, KeyName)>,
}

/// The store of a simulated node.
pub struct WatchedStore {
    real: RealStore,
    noted: Vec<Noted>,
    damaged: BTreeSet<KeyName>,
    /// Its disk may be damaged.
    pub is_rotten: bool,
    staging_full_one_in: u64,
    refused: u64,
    /// Something was asked of the store since the last look: its worker may have work.
    is_touched: bool,
    behind: RefCell<Behind>,
}

impl WatchedStore {
    /// Watches a store.
    pub fn new(real: RealStore, seed: u64, cold_one_in: u64, staging_full_one_in: u64) -> WatchedStore {
        let behind = Behind {
            rng: Rng::new(seed),
            cold_one_in,
            next_ticket: 0,
            warm: BTreeSet::new(),
            begun: Vec::new(),
        };
        WatchedStore {
            real,
            noted: Vec::new(),
            damaged: BTreeSet::new(),
            is_rotten: false,
            staging_full_one_in,
            refused: 0,
            is_touched: true,
            behind: RefCell::new(behind),
        }
    }

    /// The real store.
    pub fn real_mut(&mut self) -> &mut RealStore {
        &mut self.real
    }

    /// Puts and drops since the last call, in order.
    pub fn take_noted(&mut self) -> Vec<Noted> {
        std::mem::take(&mut self.noted)
    }

    /// Puts refused by a simulated full staging buffer since the last call.
    pub fn take_refused(&mut self) -> u64 {
        std::mem::take(&mut self.refused)
    }

    /// Whether something was asked of the store since the last call.
    pub fn take_touched(&mut self) -> bool {
        std::mem::take(&mut self.is_touched)
    }

    /// Cold reads begun since the last call.
    pub fn take_cold_reads(&mut self) -> Vec<(Ticket, KeyName)> {
        std::mem::take(&mut self.behind.get_mut().begun)
    }

    /// A cold read is done: the same lookup will be answered.
    pub fn finish_cold_read(&mut self, key: KeyName) {
        self.behind.get_mut().warm.insert(key);
    }

    /// Forgets what is warm: to be called between calls into the node, never before a read was used.
    pub fn cool_down(&mut self) {
        self.behind.get_mut().warm.clear();
    }

    /// Makes the record under a key unreadable until the next put.
    pub fn damage(&mut self, key: KeyName) {
        self.damaged.insert(key);
    }

    /// No more faults of its own.
    pub fn heal(&mut self) {
        self.behind.get_mut().cold_one_in = 0;
        self.staging_full_one_in = 0;
    }

    /// What the real store says of a key.
    ///
    /// # Errors
    /// Its answer was not an answer.
    pub fn glance(&self, key: &KeyRef<'_>) -> Result<Glance, String> {
        let found =
            |record: &Record<'_>| Some((record.sequence, check_of(&record.object), record.local.epoch));
        match self.real.get().get(key) {
            Ok(Lookup::Found(record)) => Ok(Glance::Known(found(&record))),
            Ok(Lookup::Absent) => Ok(Glance::Known(None)),
            Ok(Lookup::Suspect(record)) => Ok(Glance::Suspect(found(&record))),
            Ok(Lookup::Incomplete) | Err(StoreError::Damaged) => Ok(Glance::Unknown),
            other => Err(format!("{other:?}")),
        }
    }

    /// The record under a key as the real store has it; `None` if there is none or it is damaged.
    ///
    /// # Errors
    /// The real store's answer was not an answer.
    pub fn peek(&self, key: &KeyRef<'_>) -> Result<Option<Record<'_>>, String> {
        if self.damaged.contains(&(key.keyspace, key.key.to_vec())) {
            return Ok(None);
        }
        match self.real.get().get(key) {
            Ok(Lookup::Found(record) | Lookup::Suspect(record)) => Ok(Some(record)),
            Ok(Lookup::Absent) => Ok(None),
            other => Err(format!("{other:?}")),
        }
    }
}

impl Store for WatchedStore {
    fn identity(&self) -> Identity {
        self.real.get().identity()
    }

    fn renew_generation(&mut self, generation: u64) {
        self.is_touched = true;
        self.real.get_mut().renew_generation(generation);
    }

    fn has_kept_generation(&self) -> bool {
        self.real.get().has_kept_generation()
    }

    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        let mut behind = self.behind.borrow_mut();
        if behind.cold_one_in > 0 {
            let name = (key.keyspace, key.key.to_vec());
            let one_in = behind.cold_one_in;
            if !behind.warm.contains(&name) && behind.rng.one_in(one_in) {
                behind.next_ticket += 1;
                let ticket = Ticket(1 << 40 | behind.next_ticket);
                behind.begun.push((ticket, name));
                return Ok(Lookup::Pending(ticket));
            }
            behind.warm.insert(name);
        }
        if !self.damaged.is_empty() && self.damaged.contains(&(key.keyspace, key.key.to_vec())) {
            return Err(StoreError::Damaged);
        }
        self.real.get().get(key)
    }

    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        let behind = self.behind.get_mut();
        if self.staging_full_one_in > 0 && behind.rng.one_in(self.staging_full_one_in) {
            self.refused += 1;
            return Err(StoreError::Overloaded);
        }
        self.is_touched = true;
        let over_unknown = self.is_rotten && !matches!(self.glance(key), Ok(Glance::Known(_)));
        let sequence = self.real.get_mut().put(key, record)?;
        let name = (key.keyspace, key.key.to_vec());
        self.damaged.remove(&name);
        self.noted.push(Noted::Put(NotedPut {
            key: name,
            sequence,
            local: record.local,
            object: record.object.to_vec(),
            item_hash: record.item_hash,
            over_unknown,
        }));
        Ok(sequence)
    }

    fn remove(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError> {
        self.is_touched = true;
        let sequence = self.real.get_mut().remove(key)?;
        self.noted.push(Noted::Remove((key.keyspace, key.key.to_vec()), sequence));
        Ok(sequence)
    }

    fn drop_partition(&mut self, partition: u16) -> Result<Sequence, StoreError> {
        self.is_touched = true;
        let sequence = self.real.get_mut().drop_partition(partition)?;
        self.noted.push(Noted::Drop(partition, sequence));
        Ok(sequence)
    }

    fn trees(&self) -> &Forest {
        self.real.get().trees()
    }

    fn partition_stats(&self, partition: u16) -> PartitionStats {
        self.real.get().partition_stats(partition)
    }

    fn change_cursor(&self) -> ChangeCursor {
        self.real.get().change_cursor()
    }

    fn covers(&self, partition: u16, since: &ChangeCursor) -> bool {
        self.real.get().covers(partition, since)
    }

    fn changes(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes {
        self.real.get().changes(concerns, since, effort, visit)
    }

    fn maintain(&mut self, now: Instant) -> Instant {
        let due = self.real.get_mut().maintain(now);
        self.is_touched |= self.real.has_disk_work();
        due
    }

    fn deadline(&self) -> Instant {
        self.real.get().deadline()
    }

    fn status(&self) -> StoreStatus {
        self.real.get().status()
    }

    fn is_incomplete(&self, partition: u16) -> bool {
        self.real.get().is_incomplete(partition)
    }

    fn complete(&mut self, partition: u16) {
        self.real.get_mut().complete(partition);
    }

    fn marks(&self) -> Marks {
        self.real.get().marks()
    }

    fn flush(&mut self, need: Durability) {
        self.is_touched = true;
        self.real.get_mut().flush(need);
    }

    fn take_epoch(&mut self) -> Option<u64> {
        self.is_touched = true;
        self.real.get_mut().take_epoch()
    }

    fn note_hlc(&mut self, hlc: u64) {
        self.is_touched = true;
        self.real.get_mut().note_hlc(hlc);
    }

    fn members(&self) -> &[MemberMemory] {
        self.real.get().members()
    }

    fn remember(&mut self, member: MemberMemory) {
        self.is_touched = true;
        self.real.get_mut().remember(member);
    }

    fn note(&self, note: Note) -> &[u8] {
        self.real.get().note(note)
    }

    fn keep(&mut self, note: Note, content: Vec<u8>) {
        self.is_touched = true;
        self.real.get_mut().keep(note, content);
    }

    fn is_kept(&self, note: Note) -> bool {
        self.real.get().is_kept(note)
    }

    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool {
        let mut is_readable = true;
        let is_whole = self.real.get().scan(partition, from, &mut |key, record| {
            is_readable &= !self.damaged.contains(&(key.keyspace, key.key.to_vec()));
            visit(key, record)
        });
        is_whole && is_readable
    }

    fn len(&self) -> u64 {
        self.real.get().len()
    }
}
