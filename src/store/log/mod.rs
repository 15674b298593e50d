//! The store on a disk: the loop's side of the log.
//!
//! ```text
//!  put ─► index: where is the old one? ─► staging ─► index: it is here now
//!                                            │ flush
//!         nothing queued: one pwrite here    │ else: a chunk for the worker ─► pwrite ─► fdatasync
//!  get ─► index ─► staging, if not written yet ─► else the map of its segment (borrowed, checksummed)
//! ```
//!
//! No call waits for the disk. The loop writes by itself when the worker has no write to do, as that costs
//! less than waking it; everything that may block is the worker's. Segments are planned here and created
//! there: what is put into one that does not exist yet waits in the staging buffer.
//!
//! A `LogStore` that is dropped without [`LogStore::close`] stops as a killed process does.

mod append;
mod lookup;
mod numbers;

use core::ops::ControlFlow;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use self::numbers::{SEQUENCE_LEASE, identify};
use super::directory::{self, CLEAN, IDENTITY, IdentityRecord, OpenError};
use super::disk::{Disk, File};
use super::file::with_signals_blocked;
use super::index::Index;
use super::record::Mark;
use super::recovery::{self, RecoveredSegment};
use super::segment::{self, HEADER_LENGTH, Plan, Segment, SlotTable};
use super::staging::{self, Staging};
use super::worker::{Leases, Shared, Wake, Worker};
use crate::proto::keys::Key;
use crate::proto::limits::{EPOCH_LEASE, MEMBERS_MAX};
use crate::proto::rng::Rng;
use crate::proto::store::{
    Durability, Identity, KeyRef, Lookup, Marks, MemberMemory, NewRecord, Record, Sequence, Store, StoreError,
};

/// Who carries out what may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WorkerMode {
    /// A thread of ours, named `quorate-log`, with all signals blocked.
    #[default]
    Thread,
    /// Nobody, until [`LogStore::disk_step`] or [`DiskWorker::disk_step`] is called.
    Host,
}

/// How to open a [`LogStore`].
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Partitions of the cluster, as [`Config::check`](crate::proto::config::Config::check) allows them.
    /// A directory keeps what it was created with.
    pub partitions: u32,
    /// The cluster's hash key: positions are computed from it, they are not stored.
    pub hash_key: Key,
    /// Size of new segments in bytes: a multiple of [`SEGMENT_SIZE_STEP`](crate::store::SEGMENT_SIZE_STEP)
    /// from [`SEGMENT_SIZE_MIN`](crate::store::SEGMENT_SIZE_MIN) to
    /// [`SEGMENT_SIZE_MAX`](crate::store::SEGMENT_SIZE_MAX).
    pub segment_size: u64,
    /// Bytes that may wait in the staging buffer; half of it may be exceeded by one larger record.
    pub staging_limit: usize,
    /// Who waits for the disk.
    pub worker: WorkerMode,
    /// The hybrid timestamp of the moment, if the caller knows it: the first lease on timestamps is taken
    /// with the opening then. 0 if not.
    pub hlc_now: u64,
}

impl LogOptions {
    /// The defaults: segments of 64 MiB, 8 MiB of staging, a thread of ours.
    pub fn new(partitions: u32, hash_key: Key) -> LogOptions {
        LogOptions {
            partitions,
            hash_key,
            segment_size: segment::SIZE_DEFAULT,
            staging_limit: staging::LIMIT_DEFAULT,
            worker: WorkerMode::Thread,
            hlc_now: 0,
        }
    }
}

/// Why a clean close did not happen. The next opening counts as after an unclean stop.
#[derive(Debug)]
pub enum CloseError {
    /// A write or a sync has failed, now or before.
    Failed,
    /// Something could not be written for want of room.
    Full,
    /// The marker could not be written.
    Io(std::io::Error),
}

impl core::fmt::Display for CloseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CloseError::Failed => f.write_str("a write or a sync of the log failed"),
            CloseError::Full => f.write_str("the disk is full; the last records were not written"),
            CloseError::Io(error) => write!(f, "the clean marker could not be written: {error}"),
        }
    }
}

impl std::error::Error for CloseError {}

/// Figures for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Segments, unused ones included.
    pub segments: u64,
    /// Bytes of disk they take.
    pub disk_bytes: u64,
    /// Bytes of records that are the newest of their key.
    pub live_bytes: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Partitions that lost records.
    pub incomplete: u64,
}

/// An append log on a disk. One thread drives it.
pub struct LogStore<D: Disk> {
    disk: Arc<D>,
    shared: Arc<Shared<D::File>>,
    runner: Runner<D>,
    options: LogOptions,
    index: Index,
    slots: SlotTable,
    /// Owners in `slots` are indices into it. The last one is the spare, unless it is the active one.
    segments: Vec<Entry<D::File>>,
    /// The segment that is appended to, as an index.
    active: usize,
    /// Where the next record goes in it.
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
    /// Partitions that lost records.
    incomplete: Vec<bool>,
    /// Nothing may follow the clean marker.
    is_closed: bool,
    refused: u64,
    next_number: u64,
    /// Feeds the random ids of segments.
    ids: Rng,
}

struct Entry<F> {
    plan: Plan,
    /// None until the worker has created it.
    segment: Option<Arc<Segment<F>>>,
    /// Records from this offset on are in the staging buffer.
    staged_from: u64,
    live: u64,
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
        let sizes = segment::SIZE_MIN..=segment::SIZE_MAX;
        if !sizes.contains(&options.segment_size) || !options.segment_size.is_multiple_of(segment::SIZE_STEP)
        {
            let problem = format!("segments of {} bytes are not possible", options.segment_size);
            return Err(OpenError::Settings { path: disk.path().to_owned(), problem });
        }
        let contents = directory::open(&disk, options.partitions, &options.hash_key, random)?;
        let recovered = recovery::recover(&disk, &contents, &options.hash_key, options.segment_size)?;
        let (identity, record) = identify(&contents, &recovered, options.hlc_now, random);
        disk.remove(CLEAN).map_err(|error| OpenError::io(&disk, CLEAN, error))?;
        disk.replace(IDENTITY, &record.bytes()).map_err(|error| OpenError::io(&disk, IDENTITY, error))?;

        let last = Sequence(record.leases.sequence_end - SEQUENCE_LEASE - 1);
        let mut durable = Mark { sequence: last, ..Mark::default() };
        if let Some(newest) = recovered.segments.last() {
            durable.number = newest.segment.plan.number;
            durable.offset = newest.end;
        }
        let is_appendable = recovered.appendable.is_some();
        let writable =
            recovered.segments.last().filter(|_| is_appendable).map(|last| Arc::clone(&last.segment));
        let writable = writable.into_iter().chain(recovered.spare.clone()).collect();
        let shared = Arc::new(Shared::new(durable, record.leases));
        let disk = Arc::new(disk);
        let worker = Worker::new(Arc::clone(&disk), Arc::clone(&shared), writable, wake);
        let runner = Runner::start(worker, options.worker)
            .map_err(|error| OpenError::Io { path: disk.path().to_owned(), error })?;

        let partitions = options.partitions as usize;
        let mut store = LogStore {
            disk,
            shared,
            runner,
            index: recovered.index,
            slots: recovered.slots,
            segments: recovered.segments.into_iter().map(Entry::recovered).collect(),
            active: 0,
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
            incomplete: vec![recovered.is_damaged; partitions],
            is_closed: false,
            refused: 0,
            next_number: recovered.highest + 1,
            ids: Rng::new(random()),
            options,
        };
        let spare = recovered.spare.map(Entry::unused);
        store.begin(recovered.appendable, spare);
        Ok(store)
    }

    /// Chooses the segment to append to, and the spare behind it.
    fn begin(&mut self, appendable: Option<Vec<u64>>, spare: Option<Entry<D::File>>) {
        let has_spare = spare.is_some();
        self.segments.extend(spare);
        if let Some(counts) = appendable {
            self.active = self.segments.len() - 1 - usize::from(has_spare);
            self.touched =
                (0..=u16::MAX).zip(&counts).filter(|(_, bytes)| **bytes > 0).map(|(at, _)| at).collect();
            self.counts = counts;
            if !has_spare {
                self.plan_segment(self.options.segment_size);
            }
        } else {
            if !has_spare {
                self.plan_segment(self.options.segment_size);
            }
            self.active = self.segments.len() - 1;
            self.head = HEADER_LENGTH as u64;
            self.plan_segment(self.options.segment_size);
        }
        let plan = self.segments[self.active].plan;
        self.segments[self.active].staged_from = self.head;
        self.staging.begin(plan.number, self.head);
    }

    /// Plans a segment at the end of `segments` and asks for it.
    fn plan_segment(&mut self, size: u64) {
        let owner = u32::try_from(self.segments.len()).expect("slots run out long before");
        let mut plan = Plan {
            number: self.next_number,
            seed: self.ids.next_u64() as u32,
            first: Sequence(self.last.0 + 1),
            size,
            slot: 0,
            directory: self.directory,
        };
        plan.slot = self.slots.allocate(plan.slots(), owner).expect("8 TiB of log are not full");
        self.next_number += 1;
        self.shared.create(plan);
        self.segments.push(Entry { plan, segment: None, staged_from: HEADER_LENGTH as u64, live: 0 });
    }

    /// Carries out one disk operation of a store in [`WorkerMode::Host`]; false if there is none.
    pub fn disk_step(&self) -> bool {
        self.disk_worker().is_some_and(|worker| worker.disk_step())
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

    /// Figures for operators.
    pub fn stats(&self) -> LogStats {
        LogStats {
            segments: self.segments.len() as u64,
            disk_bytes: self.segments.iter().map(|entry| entry.plan.size).sum(),
            live_bytes: self.segments.iter().map(|entry| entry.live).sum(),
            index_bytes: self.index.heap_bytes() as u64,
            incomplete: self.incomplete.iter().filter(|is_incomplete| **is_incomplete).count() as u64,
        }
    }

    /// Whether everything that was put is on disk.
    pub fn is_synced(&self) -> bool {
        self.shared.marks().durable >= self.last
    }

    /// Writes and syncs everything, then leaves the marker of a clean stop. Waits for the disk. Afterwards
    /// the store can be read until it is dropped; puts are refused as [`StoreError::ReadOnly`].
    ///
    /// # Errors
    /// The store is closed, but not cleanly.
    pub fn close(&mut self) -> Result<(), CloseError> {
        if core::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        self.bring_forward(Durability::Always);
        self.shared.retry();
        self.shared.stop(true);
        match &mut self.runner {
            Runner::Thread(thread) => {
                if thread.take().is_some_and(|thread| thread.join().is_err()) {
                    return Err(CloseError::Failed);
                }
            }
            Runner::Host(worker) => {
                let mut worker = worker.lock().map_err(|_| CloseError::Failed)?;
                while worker.step() {}
            }
        }
        if self.shared.marks().failed {
            return Err(CloseError::Failed);
        }
        let durable = self.shared.durable_mark();
        if !self.shared.is_drained() || durable.sequence < self.last {
            return Err(CloseError::Full);
        }
        // Nothing beyond these was issued, so the next opening need not leave a gap.
        self.record.leases =
            Leases { epoch_end: self.next_epoch, sequence_end: self.last.0 + 1, hlc_bound: self.hlc_used };
        self.disk.replace(IDENTITY, &self.record.bytes()).map_err(CloseError::Io)?;
        self.disk.replace(CLEAN, &directory::clean_bytes(&durable)).map_err(CloseError::Io)
    }
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

impl<F: File> Entry<F> {
    fn recovered(found: RecoveredSegment<F>) -> Entry<F> {
        Entry {
            plan: found.segment.plan,
            segment: Some(found.segment),
            staged_from: u64::MAX,
            live: found.live,
        }
    }

    fn unused(segment: Arc<Segment<F>>) -> Entry<F> {
        Entry { plan: segment.plan, segment: Some(segment), staged_from: HEADER_LENGTH as u64, live: 0 }
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

    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        self.look_up(key)
    }

    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        self.append(key, record)
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
        self.shared.write_members(directory::members_bytes(&self.members));
    }

    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) {
        self.walk(partition, from, visit);
    }

    fn len(&self) -> u64 {
        self.index.len()
    }
}
