//! A store that fails, for tests of what the core makes of that.

use core::ops::ControlFlow;

use quorate::proto::merkle::Forest;
use quorate::proto::store::{
    Change, ChangeCursor, Changes, Durability, Identity, KeyRef, Lookup, Marks, MemberMemory, NewRecord,
    Note, PartitionStats, Record, Sequence, Store, StoreError, StoreStatus,
};
use quorate::store::MemoryStore;

/// A store in memory that refuses puts for a reason, or becomes read-only at its first sync.
pub struct Faulty {
    pub memory: MemoryStore,
    pub reason: Option<StoreError>,
    pub puts: u64,
    /// No sync succeeds, and nothing is ever written.
    pub fails_syncs: bool,
}

impl Store for Faulty {
    fn identity(&self) -> Identity {
        self.memory.identity()
    }
    fn renew_generation(&mut self, generation: u64) {
        self.memory.renew_generation(generation);
    }
    fn has_kept_generation(&self) -> bool {
        self.memory.has_kept_generation()
    }
    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        self.memory.get(key)
    }
    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        self.puts += 1;
        match &self.reason {
            Some(reason) => Err(reason.clone()),
            None => self.memory.put(key, record),
        }
    }
    fn marks(&self) -> Marks {
        let failed = self.reason == Some(StoreError::ReadOnly);
        match self.fails_syncs {
            true => Marks { written: Sequence(0), durable: Sequence(0), failed },
            false => Marks { failed, ..self.memory.marks() },
        }
    }
    fn flush(&mut self, need: Durability) {
        match self.fails_syncs {
            true => self.reason = Some(StoreError::ReadOnly),
            false => self.memory.flush(need),
        }
    }
    fn take_epoch(&mut self) -> Option<u64> {
        self.memory.take_epoch()
    }
    fn note_hlc(&mut self, hlc: u64) {
        self.memory.note_hlc(hlc);
    }
    fn members(&self) -> &[MemberMemory] {
        self.memory.members()
    }
    fn remember(&mut self, member: MemberMemory) {
        self.memory.remember(member);
    }
    fn note(&self, note: Note) -> &[u8] {
        self.memory.note(note)
    }
    fn keep(&mut self, note: Note, content: Vec<u8>) {
        self.memory.keep(note, content);
    }
    fn is_kept(&self, note: Note) -> bool {
        self.memory.is_kept(note)
    }
    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool {
        self.memory.scan(partition, from, visit)
    }
    fn len(&self) -> u64 {
        self.memory.len()
    }
    fn remove(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError> {
        self.memory.remove(key)
    }

    fn drop_partition(&mut self, partition: u16) -> Result<Sequence, StoreError> {
        self.memory.drop_partition(partition)
    }

    fn trees(&self) -> &Forest {
        self.memory.trees()
    }

    fn partition_stats(&self, partition: u16) -> PartitionStats {
        self.memory.partition_stats(partition)
    }

    fn change_cursor(&self) -> ChangeCursor {
        self.memory.change_cursor()
    }

    fn covers(&self, partition: u16, since: &ChangeCursor) -> bool {
        self.memory.covers(partition, since)
    }

    fn changes(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes {
        self.memory.changes(concerns, since, effort, visit)
    }

    fn status(&self) -> StoreStatus {
        self.memory.status()
    }

    fn is_incomplete(&self, partition: u16) -> bool {
        self.memory.is_incomplete(partition)
    }

    fn complete(&mut self, partition: u16) {
        self.memory.complete(partition);
    }
}
