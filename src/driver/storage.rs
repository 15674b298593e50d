//! The store of a node, in memory or in a log, behind one type: a switch per call is cheaper than a
//! second copy of the core.

use core::ops::ControlFlow;
use std::path::Path;

use super::{layout_file, sys};
use crate::proto::merkle::Forest;
use crate::proto::store::{
    Change, ChangeCursor, Changes, Durability, Identity, KeyRef, Lookup, Marks, MemberMemory, NewRecord,
    Note, PartitionStats, Record, Sequence, Store, StoreError, StoreStatus, Ticket,
};
use crate::proto::time::Instant;
use crate::store::{DiskWorker, FileDisk, Finding, LogStore, MemoryStore};

/// A node's store.
pub(super) enum Storage {
    /// Gone when the node closes.
    Memory(Box<MemoryStore>),
    /// In an append log. Both are boxed: they differ much in size.
    Log(Box<LogStore<FileDisk>>),
}

impl Storage {
    /// The next cold read that is done; hand it to the core.
    pub(super) fn take_read(&mut self) -> Option<Ticket> {
        match self {
            Storage::Memory(store) => store.take_read(),
            // It reads through maps and never answers `Pending`.
            Storage::Log(_) => None,
        }
    }

    /// Whether everything that was put is on disk.
    pub(super) fn is_synced(&self) -> bool {
        match self {
            Storage::Memory(_) => true,
            Storage::Log(store) => store.is_synced(),
        }
    }

    /// What an operator should hear of once.
    pub(super) fn take_findings(&mut self) -> Vec<Finding> {
        match self {
            Storage::Memory(_) => Vec::new(),
            Storage::Log(store) => store.take_findings(),
        }
    }

    /// Whether writes will be refused soon, until compaction has made room.
    pub(super) fn is_short_of_room(&mut self) -> bool {
        match self {
            Storage::Memory(_) => false,
            Storage::Log(store) => store.is_short_of_room(),
        }
    }

    /// Whether there is no room for more.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Storage::Memory(_) => false,
            Storage::Log(store) => store.is_full(),
        }
    }

    /// Begins a backup, with the file of the cluster's layout.
    pub(super) fn begin_backup(&mut self, directory: &Path) -> Result<(), String> {
        match self {
            Storage::Memory(_) => Err("this node keeps its records in memory only".to_owned()),
            Storage::Log(store) => store.begin_backup(directory, &[layout_file::FILE_NAME]),
        }
    }

    /// How the last backup ended, once.
    pub(super) fn backup_result(&mut self) -> Option<Result<(), String>> {
        match self {
            Storage::Memory(_) => None,
            Storage::Log(store) => store.backup_result(),
        }
    }

    /// The disk work of a log whose host carries it out.
    pub(super) fn disk_worker(&self) -> Option<DiskWorker<FileDisk>> {
        match self {
            Storage::Memory(_) => None,
            Storage::Log(store) => store.disk_worker(),
        }
    }

    /// Carries out what waits for the disk, if nobody else does.
    pub(super) fn work_at_disk(&self) {
        if let Storage::Log(store) = self {
            while store.disk_step() {}
        }
    }

    /// Syncs what is left and marks the store clean. Nothing may be put any more.
    pub(super) fn close(&mut self) -> Result<(), String> {
        match self {
            Storage::Memory(_) => Ok(()),
            Storage::Log(store) => store.close().map_err(|error| error.to_string()),
        }
    }
}

impl Drop for Storage {
    /// In a forked child the log's worker does not exist and its files are the parent's: there the store
    /// is given up as it is.
    fn drop(&mut self) {
        if sys::was_forked() {
            let nothing = Storage::Memory(Box::new(MemoryStore::new(1, &mut || 0)));
            core::mem::forget(core::mem::replace(self, nothing));
        }
    }
}

impl Store for Storage {
    fn identity(&self) -> Identity {
        match self {
            Storage::Memory(store) => store.identity(),
            Storage::Log(store) => store.identity(),
        }
    }

    fn renew_generation(&mut self, generation: u64) {
        match self {
            Storage::Memory(store) => store.renew_generation(generation),
            Storage::Log(store) => store.renew_generation(generation),
        }
    }

    fn has_kept_generation(&self) -> bool {
        match self {
            Storage::Memory(store) => store.has_kept_generation(),
            Storage::Log(store) => store.has_kept_generation(),
        }
    }

    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        match self {
            Storage::Memory(store) => store.get(key),
            Storage::Log(store) => store.get(key),
        }
    }

    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        match self {
            Storage::Memory(store) => store.put(key, record),
            Storage::Log(store) => store.put(key, record),
        }
    }

    fn remove(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError> {
        match self {
            Storage::Memory(store) => store.remove(key),
            Storage::Log(store) => store.remove(key),
        }
    }

    fn drop_partition(&mut self, partition: u16) -> Result<Sequence, StoreError> {
        match self {
            Storage::Memory(store) => store.drop_partition(partition),
            Storage::Log(store) => store.drop_partition(partition),
        }
    }

    fn trees(&self) -> &Forest {
        match self {
            Storage::Memory(store) => store.trees(),
            Storage::Log(store) => store.trees(),
        }
    }

    fn partition_stats(&self, partition: u16) -> PartitionStats {
        match self {
            Storage::Memory(store) => store.partition_stats(partition),
            Storage::Log(store) => store.partition_stats(partition),
        }
    }

    fn change_cursor(&self) -> ChangeCursor {
        match self {
            Storage::Memory(store) => store.change_cursor(),
            Storage::Log(store) => store.change_cursor(),
        }
    }

    fn covers(&self, partition: u16, since: &ChangeCursor) -> bool {
        match self {
            Storage::Memory(store) => store.covers(partition, since),
            Storage::Log(store) => store.covers(partition, since),
        }
    }

    fn changes(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes {
        match self {
            Storage::Memory(store) => store.changes(concerns, since, effort, visit),
            Storage::Log(store) => store.changes(concerns, since, effort, visit),
        }
    }

    fn maintain(&mut self, now: Instant) -> Instant {
        match self {
            Storage::Memory(store) => store.maintain(now),
            Storage::Log(store) => store.maintain(now),
        }
    }

    fn deadline(&self) -> Instant {
        match self {
            Storage::Memory(store) => store.deadline(),
            Storage::Log(store) => store.deadline(),
        }
    }

    fn status(&self) -> StoreStatus {
        match self {
            Storage::Memory(store) => store.status(),
            Storage::Log(store) => store.status(),
        }
    }

    fn is_incomplete(&self, partition: u16) -> bool {
        match self {
            Storage::Memory(store) => store.is_incomplete(partition),
            Storage::Log(store) => store.is_incomplete(partition),
        }
    }

    fn complete(&mut self, partition: u16) {
        match self {
            Storage::Memory(store) => store.complete(partition),
            Storage::Log(store) => store.complete(partition),
        }
    }

    fn marks(&self) -> Marks {
        match self {
            Storage::Memory(store) => store.marks(),
            Storage::Log(store) => store.marks(),
        }
    }

    fn flush(&mut self, need: Durability) {
        match self {
            Storage::Memory(store) => store.flush(need),
            Storage::Log(store) => store.flush(need),
        }
    }

    fn take_epoch(&mut self) -> Option<u64> {
        match self {
            Storage::Memory(store) => store.take_epoch(),
            Storage::Log(store) => store.take_epoch(),
        }
    }

    fn note_hlc(&mut self, hlc: u64) {
        match self {
            Storage::Memory(store) => store.note_hlc(hlc),
            Storage::Log(store) => store.note_hlc(hlc),
        }
    }

    fn members(&self) -> &[MemberMemory] {
        match self {
            Storage::Memory(store) => store.members(),
            Storage::Log(store) => store.members(),
        }
    }

    fn remember(&mut self, member: MemberMemory) {
        match self {
            Storage::Memory(store) => store.remember(member),
            Storage::Log(store) => store.remember(member),
        }
    }

    fn note(&self, note: Note) -> &[u8] {
        match self {
            Storage::Memory(store) => store.note(note),
            Storage::Log(store) => store.note(note),
        }
    }

    fn keep(&mut self, note: Note, content: Vec<u8>) {
        match self {
            Storage::Memory(store) => store.keep(note, content),
            Storage::Log(store) => store.keep(note, content),
        }
    }

    fn is_kept(&self, note: Note) -> bool {
        match self {
            Storage::Memory(store) => store.is_kept(note),
            Storage::Log(store) => store.is_kept(note),
        }
    }

    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool {
        match self {
            Storage::Memory(store) => store.scan(partition, from, visit),
            Storage::Log(store) => store.scan(partition, from, visit),
        }
    }

    fn len(&self) -> u64 {
        match self {
            Storage::Memory(store) => store.len(),
            Storage::Log(store) => store.len(),
        }
    }
}
