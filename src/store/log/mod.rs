//! The store on a disk: the loop's side of the log.
//!
//! ```text
//!  put ─► index: where is the old one? ─► staging ─► index: it is here now
//!                                            │ flush
//!         nothing queued: one pwrite here    │ else: a chunk for the worker ─► pwrite ─► fdatasync
//!  get ─► index ─► staging, if not written yet ─► else the map of its segment (borrowed, checksummed)
//!
//!  maintain ─► compaction, checkpoint, scrub, sweep of drops: a bounded share each turn
//! ```
//!
//! No call waits for the disk. The loop writes by itself when the worker has no write to do, as that costs
//! less than waking it; everything that may block is the worker's. Segments are planned here and created
//! there: what is put into one that does not exist yet waits in the staging buffer.
//!
//! A `LogStore` that is dropped without [`LogStore::close`] stops as a killed process does.

mod append;
mod backup;
mod changes;
mod checkpointing;
mod close;
mod compaction;
mod figures;
mod lookup;
mod maintain;
mod numbers;
mod options;
mod removal;
mod scrub;
mod segments;
mod space;
mod trees;

use core::ops::ControlFlow;
use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

pub use self::close::CloseError;
pub use self::figures::{Finding, LogStats};
pub use self::options::{LogOptions, WorkerMode};
pub use super::recovery::Progress;

use self::checkpointing::Checkpointing;
use self::compaction::Compaction;
use self::numbers::{SEQUENCE_LEASE, identify};
use self::scrub::Scrub;
use self::segments::{Entry, Segments, State};
use self::trees::Tending;
use super::directory::{self, CLEAN, IDENTITY, IdentityRecord, OpenError};
use super::disk::Disk;
use super::file::with_signals_blocked;
use super::index::Index;
use super::ledger::Ledger;
use super::manifest::Manifest;
use super::notes::{self, Notes};
use super::record::Mark;
use super::recovery::{self, Recovered};
use super::segment::{self, HEADER_LENGTH, Plan};
use super::staging::Staging;
use super::upkeep::Fingerprints;
use super::worker::{Shared, Wake, Worker};
use crate::proto::limits::{EPOCH_LEASE, MEMBERS_MAX};
use crate::proto::merkle::Forest;
use crate::proto::rng::Rng;
use crate::proto::store::{
    Change, ChangeCursor, Changes, Durability, Identity, KeyRef, Lookup, Marks, MemberMemory, NewRecord,
    Note, PartitionStats, Record, Sequence, Store, StoreError, StoreStatus,
};
use crate::proto::time::Instant;

/// An append log on a disk. One thread drives it.
pub struct LogStore<D: Disk> {
    disk: Arc<D>,
    shared: Arc<Shared<D::File>>,
    runner: Runner<D>,
    options: LogOptions,
    index: Index,
    segments: Segments<D::File>,
    ledger: Ledger,
    /// Hashes of what the slots point at.
    trees: Forest,
    tending: Tending,
    /// Where the next record goes in the active segment.
    head: u64,
    /// Bytes of each partition in the active segment, and which partitions have any.
    counts: Vec<u64>,
    touched: Vec<u16>,
    staging: Staging,
    /// The random id of the directory.
    directory: u64,
    /// The last sequence given out.
    last: Sequence,
    /// The sequence of the last sync mark, and a mark that the next chunk must begin with.
    marked: Sequence,
    mark_due: Option<Mark>,
    identity: Identity,
    /// What the identity file says, or will say when the worker has written it.
    record: IdentityRecord,
    next_epoch: u64,
    hlc_used: u64,
    members: Vec<MemberMemory>,
    notes: Notes,
    manifest: Manifest,
    /// Partitions that lost records, as the manifest has them.
    incomplete: Vec<bool>,
    /// For each partition, the sequence up to which changes may be missing from the log.
    floors: Vec<Sequence>,
    compaction: Compaction,
    checkpointing: Checkpointing,
    copied: Option<checkpointing::Copied>,
    scrub: Scrub,
    /// Slots of dropped partitions whose bytes are still counted as live.
    dropped: Vec<Vec<(u32, segment::Location)>>,
    /// What a backup under way is called back with.
    backup: backup::State,
    /// Bytes appended since the opening.
    appended: u64,
    /// Counts calls of `maintain`.
    turn: Cell<u64>,
    /// When `maintain` is due.
    due: Instant,
    /// When creations that failed for want of room are tried again.
    retry_at: Instant,
    /// When the active segment is looked at again.
    look_at: Instant,
    /// Nothing may follow the clean marker.
    is_closed: bool,
    next_number: u64,
    /// Feeds the random ids of segments.
    ids: Rng,
    counters: figures::Counters,
}

enum Runner<D: Disk> {
    Thread(Option<JoinHandle<()>>),
    Host(Arc<Mutex<Worker<D>>>),
}

/// Carries out the disk work of a store whose host wants no thread of ours. May be used from another
/// thread than the store.
pub struct DiskWorker<D: Disk> {
    worker: Arc<Mutex<Worker<D>>>,
    shared: Arc<Shared<D::File>>,
}

impl<D: Disk> DiskWorker<D> {
    /// Carries out one disk operation, however long it takes; false if there is none to do.
    pub fn disk_step(&self) -> bool {
        match self.worker.lock() {
            Ok(mut worker) => worker.step(),
            Err(_) => {
                self.shared.fail();
                false
            }
        }
    }
}

impl<D: Disk> LogStore<D> {
    /// Opens a directory, which is created if it is missing, and reads the log back. `random` is drawn
    /// from for the directory's id, its generation, the nonce of this opening and segment ids. `wake` is
    /// called by the worker whenever the marks, a lease or the room may have changed.
    ///
    /// # Errors
    /// See [`OpenError`]; each names the file and what is wrong with it.
    pub fn open(
        disk: D,
        options: LogOptions,
        random: &mut dyn FnMut() -> u64,
        wake: Wake,
    ) -> Result<LogStore<D>, OpenError> {
        LogStore::open_with_progress(disk, options, random, wake, &mut |_| {})
    }

    /// As [`LogStore::open`]; `progress` is called now and then while the log is read.
    ///
    /// # Errors
    /// As [`LogStore::open`].
    pub fn open_with_progress(
        disk: D,
        options: LogOptions,
        random: &mut dyn FnMut() -> u64,
        wake: Wake,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<LogStore<D>, OpenError> {
        options.check(&disk)?;
        let contents = directory::open(&disk, options.partitions, &options.hash_key, random)?;
        let mut recovered =
            recovery::recover(&disk, &contents, &options.hash_key, Some(options.segment_size), progress)?;
        recovered.mend(&disk)?;
        contents.format.raise(&disk)?;
        let (identity, record) = identify(&contents, &recovered, options.hlc_now, random);
        disk.retire(CLEAN).map_err(|error| OpenError::io(&disk, CLEAN, error))?;
        disk.replace(IDENTITY, &record.bytes()).map_err(|error| OpenError::io(&disk, IDENTITY, error))?;
        LogStore::start(disk, options, contents, recovered, (identity, record), random, wake)
    }

    fn start(
        disk: D,
        options: LogOptions,
        contents: directory::Contents,
        recovered: Recovered<D::File>,
        (identity, record): (Identity, IdentityRecord),
        random: &mut dyn FnMut() -> u64,
        wake: Wake,
    ) -> Result<LogStore<D>, OpenError> {
        let counters = figures::Counters::opened(&recovered);
        let last = Sequence(record.leases.sequence_end - SEQUENCE_LEASE - 1);
        let mut durable = Mark { sequence: last, ..Mark::default() };
        let newest = recovered.newest.and_then(|at| recovered.segments[at as usize].as_ref());
        if let Some(newest) = newest {
            (durable.number, durable.offset) = (newest.segment.plan.number, newest.end);
        }
        let writable =
            newest.filter(|_| recovered.appendable.is_some()).map(|last| Arc::clone(&last.segment));
        let writable = writable.into_iter().chain(recovered.spare.clone()).collect();
        let shared = Arc::new(Shared::new(durable, &record));
        let disk = Arc::new(disk);
        let fingerprints = Fingerprints {
            hash_key: Some(options.hash_key),
            partitions: options.partitions,
            shift: recovered.index.shift(),
        };
        let worker = Worker::new(Arc::clone(&disk), Arc::clone(&shared), writable, fingerprints, wake);
        let runner = Runner::start(worker, options.worker)
            .map_err(|error| OpenError::Io { path: disk.path().to_owned(), error })?;
        let partitions = options.partitions as usize;
        let appendable = recovered.appendable.as_ref().map(|(at, _)| *at);
        let segments = (0..).zip(recovered.segments);
        let entries = segments.map(|(at, found)| Some(Entry::recovered(found?, Some(at) == appendable)));
        let mut store = LogStore {
            shared,
            runner,
            index: recovered.index,
            segments: Segments::new(recovered.slots, entries.collect()),
            ledger: recovered.ledger,
            tending: Tending::opened(recovered.trees.crowded()),
            trees: recovered.trees,
            head: durable.offset,
            counts: vec![0; partitions],
            touched: Vec::new(),
            staging: Staging::new(options.staging_limit),
            directory: contents.format.directory,
            last,
            marked: last,
            mark_due: (durable.number != 0).then_some(durable),
            next_epoch: record.leases.epoch_end - EPOCH_LEASE,
            hlc_used: identity.hlc_bound,
            identity,
            record,
            members: contents.members,
            notes: contents.notes,
            incomplete: incomplete_of(&recovered.manifest, partitions),
            manifest: recovered.manifest,
            floors: recovered.floors,
            compaction: Compaction::default(),
            checkpointing: Checkpointing::standing(recovered.checkpoint),
            copied: None,
            scrub: Scrub::default(),
            dropped: Vec::new(),
            backup: backup::State::default(),
            appended: 0,
            turn: Cell::new(1),
            due: Instant::ZERO,
            retry_at: Instant::NEVER,
            look_at: Instant::ZERO,
            is_closed: false,
            next_number: recovered.highest + 1,
            ids: Rng::new(random()),
            counters,
            disk,
            options,
        };
        store.begin(recovered.appendable, recovered.spare);
        Ok(store)
    }

    /// Chooses the segment to append to, and the spare behind it.
    fn begin(&mut self, appendable: Option<(u32, Vec<u64>)>, spare: Option<Arc<segment::Segment<D::File>>>) {
        self.shared.note_room(self.disk.room(), self.options.segment_size);
        // The place of the spare was given to the next owner when the log was read back.
        let spare = spare.map(|segment| self.segments.add_at_end(Entry::existing(segment, State::Open)));
        match appendable {
            Some((active, counts)) => {
                self.segments.active = active;
                self.touched =
                    (0..=u16::MAX).zip(&counts).filter(|(_, bytes)| **bytes > 0).map(|(at, _)| at).collect();
                self.counts = counts;
                self.segments.spare = spare.unwrap_or_else(|| self.plan_segment());
            }
            None => {
                self.segments.active = spare.unwrap_or_else(|| self.plan_segment());
                self.head = HEADER_LENGTH as u64;
                self.segments.spare = self.plan_segment();
            }
        }
        let head = self.head;
        let active = self.segments.at_mut(self.segments.active);
        active.staged_from = head;
        let number = active.plan.number;
        self.staging.begin(number, head);
    }

    /// Plans the next segment to append to, and asks for it; returns its owner number.
    fn plan_segment(&mut self) -> u32 {
        let size = self.options.segment_size;
        let plan = self.plan(size, Sequence(self.last.0 + 1), false).expect("8 TiB of log are not full");
        self.shared.create(plan);
        self.segments.add(Entry::planned(plan, State::Open))
    }

    /// Plans a segment; `None` if the location space is full.
    fn plan(&mut self, size: u64, first: Sequence, is_compacted: bool) -> Option<Plan> {
        let plan = self.segments.place(Plan {
            number: self.next_number,
            seed: self.ids.next_u64() as u32,
            first,
            size,
            slot: 0,
            directory: self.directory,
            is_compacted,
            is_v1: false,
        })?;
        self.next_number += 1;
        Some(plan)
    }

    /// Carries out one disk operation of a store in [`WorkerMode::Host`]; false if there is none.
    pub fn disk_step(&self) -> bool {
        self.disk_worker().is_some_and(|worker| worker.disk_step())
    }

    /// Whether there may be disk work to do.
    pub fn has_disk_work(&self) -> bool {
        self.shared.has_work()
    }

    /// The disk work of a store in [`WorkerMode::Host`], to be done elsewhere.
    pub fn disk_worker(&self) -> Option<DiskWorker<D>> {
        match &self.runner {
            Runner::Thread(_) => None,
            Runner::Host(worker) => {
                Some(DiskWorker { worker: Arc::clone(worker), shared: Arc::clone(&self.shared) })
            }
        }
    }

    /// Whether everything that was put is on disk.
    pub fn is_synced(&self) -> bool {
        self.shared.marks().durable >= self.last
    }

    /// Looks many keys up. Their memory accesses overlap, so that a batch costs a fraction of as many
    /// [`Store::get`] calls; `each` is called in the order of `keys`, with the number of the key.
    pub fn get_many(&self, keys: &[KeyRef<'_>], each: &mut dyn FnMut(usize, Result<Lookup<'_>, StoreError>)) {
        self.look_many_up(keys, each);
    }

    /// Asks for the memory that gets and puts of these keys will read, so that the misses of a batch are
    /// waited for together.
    pub fn prefetch(&self, keys: &[KeyRef<'_>]) {
        self.ask_for(keys);
    }
}

/// Which partitions lost records.
fn incomplete_of(manifest: &Manifest, partitions: usize) -> Vec<bool> {
    let lost = manifest.incomplete.as_ref().map_or(&[][..], |lost| &lost.partitions);
    let is_lost = |partition| lost.binary_search(&partition).is_ok();
    (0..=u16::MAX).take(partitions).map(is_lost).collect()
}

impl<D: Disk> Drop for LogStore<D> {
    fn drop(&mut self) {
        self.shared.stop(false);
        if let Runner::Thread(thread) = &mut self.runner
            && let Some(thread) = thread.take()
        {
            // What the thread died of is in the marks; here it only has to be gone.
            let _ = thread.join();
        }
    }
}

impl<D: Disk> Runner<D> {
    fn start(worker: Worker<D>, mode: WorkerMode) -> std::io::Result<Runner<D>> {
        if mode == WorkerMode::Host {
            return Ok(Runner::Host(Arc::new(Mutex::new(worker))));
        }
        let builder = std::thread::Builder::new().name("quorate-log".to_owned());
        let thread = with_signals_blocked(|| builder.spawn(move || worker.run()))?;
        Ok(Runner::Thread(Some(thread)))
    }
}

impl<D: Disk> Store for LogStore<D> {
    fn identity(&self) -> Identity {
        self.identity
    }

    fn renew_generation(&mut self, generation: u64) {
        self.identity.generation = generation;
        self.record.generation = generation;
        self.shared.write_identity(self.record);
    }

    fn has_kept_generation(&self) -> bool {
        self.shared.generation() == self.identity.generation
    }

    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        self.look_up(key)
    }

    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        self.append(key, record)
    }

    fn remove(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError> {
        self.append_removal(key)
    }

    fn drop_partition(&mut self, partition: u16) -> Result<Sequence, StoreError> {
        self.append_drop(partition)
    }

    fn trees(&self) -> &Forest {
        &self.trees
    }

    fn partition_stats(&self, partition: u16) -> PartitionStats {
        self.ledger.partition(partition)
    }

    fn change_cursor(&self) -> ChangeCursor {
        ChangeCursor {
            generation: self.identity.generation,
            sequence: self.last,
            hint: (self.segments.at(self.segments.active).plan.number, self.head),
        }
    }

    fn covers(&self, partition: u16, since: &ChangeCursor) -> bool {
        self.covers_since(partition, since)
    }

    fn changes(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes {
        self.changes_since(concerns, since, effort, visit)
    }

    fn maintain(&mut self, now: Instant) -> Instant {
        self.keep_in_order(now);
        self.due
    }

    fn deadline(&self) -> Instant {
        self.due
    }

    fn status(&self) -> StoreStatus {
        self.describe()
    }

    fn is_incomplete(&self, partition: u16) -> bool {
        self.incomplete[usize::from(partition)]
    }

    fn complete(&mut self, partition: u16) {
        self.make_complete(partition);
    }

    fn marks(&self) -> Marks {
        self.shared.marks()
    }

    fn flush(&mut self, need: Durability) {
        if !self.is_closed {
            self.bring_forward(need);
        }
    }

    fn take_epoch(&mut self) -> Option<u64> {
        self.next_epoch_number()
    }

    fn note_hlc(&mut self, hlc: u64) {
        self.lease_hlc(hlc);
    }

    fn members(&self) -> &[MemberMemory] {
        &self.members
    }

    fn remember(&mut self, member: MemberMemory) {
        match self.members.iter().position(|known| known.name == member.name) {
            Some(at) if self.members[at] == member => return,
            Some(at) => self.members[at] = member,
            // A cluster has no more members than this; whoever is beyond it is met anew each time.
            None if self.members.len() >= MEMBERS_MAX => return,
            None => self.members.push(member),
        }
        self.shared.write_note(directory::MEMBERS, 0, directory::members_bytes(&self.members));
    }

    fn note(&self, note: Note) -> &[u8] {
        self.notes.content(note)
    }

    fn keep(&mut self, note: Note, content: Vec<u8>) {
        let sealed = notes::sealed(&content);
        let number = self.notes.give(note, content);
        self.shared.write_note(notes::file_name(note), number, sealed);
    }

    fn is_kept(&self, note: Note) -> bool {
        let number = self.notes.number(note);
        number == 0 || self.shared.noted(notes::file_name(note)) == number
    }

    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool {
        self.walk(partition, from, visit)
    }

    fn len(&self) -> u64 {
        self.ledger.keys()
    }
}
