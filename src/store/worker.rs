//! The log worker: everything that may wait for the disk, one operation at a time.
//!
//! The loop puts work into [`Shared`]; the worker takes one operation, carries it out without the lock,
//! and publishes what came of it. It runs in a thread of ours or, with nobody's thread, each time a host
//! or the simulator calls `DiskWorker::disk_step`; the code is the same.
//!
//! Order is the whole promise. Chunks are written in the order they were staged; a segment that was left
//! is synced before the first byte of the next one is written (trap T19); a sync covers what was written
//! before it began and is begun only once it covers the first request that waits, so that all requests of
//! one sync's duration share the next one. A write or a sync that fails ends it: nothing is tried again,
//! nothing is written any more, and the failure is in the marks for good.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::directory::{IDENTITY, IdentityRecord, Leases};
use super::disk::{Disk, File};
use super::record::Mark;
use super::segment::{Plan, Segment, file_path};
use super::staging::Chunk;
use super::upkeep::{Crew, Done, Fingerprints, Piece, Upkeep};
use crate::proto::store::{Marks, Sequence};

/// Called by the worker when the host should look at the store again.
pub type Wake = Box<dyn Fn() + Send>;

/// Writes and syncs after which waiting work of other kinds goes first once.
const FOREGROUND_RUN_MAX: u32 = 4;

/// With room for fewer segments than this it is scarce: somebody else may take it.
const SEGMENTS_SCARCE: u64 = 8;

/// What loop and worker share.
pub struct Shared<F> {
    state: Mutex<State<F>>,
    work: Condvar,
    /// Copies of fields of the state, for the loop to read without the lock.
    written: AtomicU64,
    durable: AtomicU64,
    failed: AtomicBool,
    full: AtomicBool,
    scarce: AtomicBool,
    news: AtomicBool,
    /// Bytes of memory of waiting upkeep, and of what the worker holds between tasks.
    waiting_bytes: AtomicUsize,
    held_bytes: AtomicUsize,
    on_disk: OnDisk,
}

/// What the identity file on disk says: the generation, and how far the leases reach.
#[derive(Default)]
struct OnDisk {
    generation: AtomicU64,
    epoch: AtomicU64,
    sequence: AtomicU64,
    hlc: AtomicU64,
}

enum Job {
    Write(Arc<Chunk>),
    /// Sync a segment that was left.
    Leave(u64),
}

struct State<F> {
    jobs: VecDeque<Job>,
    /// The first sequence of a sync request that no sync has covered, and the last of all requests.
    sync_first: Option<Sequence>,
    sync_last: Sequence,
    /// What is being carried out now, if it is a job or a sync.
    under_way: Option<UnderWay>,
    foreground_run: u32,
    creates: VecDeque<Plan>,
    removes: Vec<u64>,
    /// Segments that nobody uses any more. To close the last handle of a removed file takes as long as
    /// giving back all that it had.
    released: Vec<Arc<Segment<F>>>,
    identity: Option<IdentityRecord>,
    /// Small files to be replaced, by name, with a number each.
    notes: BTreeMap<&'static str, (u64, Vec<u8>)>,
    /// The number up to which each of them is on disk.
    noted: BTreeMap<&'static str, u64>,
    /// Tasks of upkeep, in order, and what came of them.
    upkeep: VecDeque<Upkeep>,
    done: Vec<Done>,
    /// Creations and small files failed for want of room, and are not tried again until asked.
    is_stalled: bool,
    created: Vec<Arc<Segment<F>>>,
    written: Mark,
    durable: Mark,
    stop: Option<Stop>,
    /// A write or a sync failed.
    is_failed: bool,
    /// The worker's thread sleeps until it is notified.
    is_waiting: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum UnderWay {
    /// A job: what comes after it in the log must wait.
    Job,
    Sync,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stop {
    /// After everything that can be done is done.
    Drained,
    /// At once.
    Now,
}

enum Task<F> {
    Write(Arc<Chunk>),
    Release(Arc<Segment<F>>),
    Leave(u64, Mark),
    Sync(Mark),
    Create(Plan),
    Remove(u64),
    Identity(IdentityRecord),
    Note(&'static str, u64, Vec<u8>),
    Upkeep(Upkeep),
}

impl<F> Shared<F> {
    /// Nothing to do, everything up to `durable` on disk.
    pub fn new(durable: Mark, identity: &IdentityRecord) -> Shared<F> {
        let shared = Shared {
            state: Mutex::new(State {
                jobs: VecDeque::new(),
                sync_first: None,
                sync_last: durable.sequence,
                under_way: None,
                foreground_run: 0,
                creates: VecDeque::new(),
                removes: Vec::new(),
                released: Vec::new(),
                identity: None,
                notes: BTreeMap::new(),
                noted: BTreeMap::new(),
                upkeep: VecDeque::new(),
                done: Vec::new(),
                is_stalled: false,
                created: Vec::new(),
                written: durable,
                durable,
                stop: None,
                is_failed: false,
                is_waiting: false,
            }),
            work: Condvar::new(),
            written: AtomicU64::new(durable.sequence.0),
            durable: AtomicU64::new(durable.sequence.0),
            failed: AtomicBool::new(false),
            full: AtomicBool::new(false),
            scarce: AtomicBool::new(false),
            news: AtomicBool::new(false),
            waiting_bytes: AtomicUsize::new(0),
            held_bytes: AtomicUsize::new(0),
            on_disk: OnDisk::default(),
        };
        shared.publish(identity);
        shared
    }

    /// A panic elsewhere while the lock was held cannot leave the state half changed in a way that
    /// matters: the worker's death is a failure of its own.
    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How far the log has come.
    pub fn marks(&self) -> Marks {
        // Durable first: read the other way round it could overtake the written mark read before it.
        let durable = Sequence(self.durable.load(Ordering::Acquire));
        Marks {
            written: Sequence(self.written.load(Ordering::Acquire)),
            durable,
            failed: self.failed.load(Ordering::Acquire),
        }
    }

    /// Whether a creation failed for want of room and none has succeeded since.
    pub fn is_full(&self) -> bool {
        self.full.load(Ordering::Acquire)
    }

    /// Whether there may be no room for the next segments.
    pub fn is_scarce(&self) -> bool {
        self.scarce.load(Ordering::Acquire)
    }

    /// Notes how much room there is, where segments of this size are created.
    pub fn note_room(&self, room: u64, size: u64) {
        self.scarce.store(room < size.saturating_mul(SEGMENTS_SCARCE), Ordering::Release);
    }

    /// How far the leases on disk reach.
    pub fn leases(&self) -> Leases {
        Leases {
            epoch_end: self.on_disk.epoch.load(Ordering::Acquire),
            sequence_end: self.on_disk.sequence.load(Ordering::Acquire),
            hlc_bound: self.on_disk.hlc.load(Ordering::Acquire),
        }
    }

    /// The generation that is on disk.
    pub fn generation(&self) -> u64 {
        self.on_disk.generation.load(Ordering::Acquire)
    }

    fn publish(&self, identity: &IdentityRecord) {
        self.on_disk.generation.store(identity.generation, Ordering::Release);
        self.on_disk.epoch.store(identity.leases.epoch_end, Ordering::Release);
        self.on_disk.sequence.store(identity.leases.sequence_end, Ordering::Release);
        self.on_disk.hlc.store(identity.leases.hlc_bound, Ordering::Release);
    }

    /// The durable mark with its place in the log.
    pub fn durable_mark(&self) -> Mark {
        self.lock().durable
    }

    /// Whether [`Shared::take_news`] would return something. Cheap.
    pub fn has_news(&self) -> bool {
        self.news.load(Ordering::Acquire)
    }

    /// Segments that were created since the last call, and what came of upkeep. Cheap when there is none.
    pub fn take_news(&self) -> (Vec<Arc<Segment<F>>>, Vec<Done>) {
        if !self.has_news() {
            return (Vec::new(), Vec::new());
        }
        let mut state = self.lock();
        self.news.store(false, Ordering::Release);
        (core::mem::take(&mut state.created), core::mem::take(&mut state.done))
    }

    fn tell(&self, state: &mut State<F>, done: Done) {
        state.done.push(done);
        self.news.store(true, Ordering::Release);
    }

    /// Asks for a task of upkeep, after those that were asked for before.
    pub fn keep_up(&self, task: Upkeep) {
        self.waiting_bytes.fetch_add(task.heap_bytes(), Ordering::Relaxed);
        self.add(|state| state.upkeep.push_back(task));
    }

    /// Whether the loop may write by itself without overtaking anything: no job waits or is under way.
    /// Only the loop adds jobs, so this stays true until it does. A sync may be under way; it covers only
    /// what was written before it began.
    pub fn may_write(&self) -> bool {
        let state = self.lock();
        state.jobs.is_empty() && state.under_way != Some(UnderWay::Job)
    }

    /// Whether no sync waits or is under way either.
    pub fn is_idle(&self) -> bool {
        let state = self.lock();
        state.jobs.is_empty() && state.under_way.is_none() && state.sync_first.is_none()
    }

    /// The loop has written up to `mark` by itself.
    pub fn note_written(&self, mark: Mark) {
        let mut state = self.lock();
        self.set_written(&mut state, mark);
    }

    fn set_written(&self, state: &mut State<F>, mark: Mark) {
        state.written = mark;
        self.written.store(mark.sequence.0, Ordering::Release);
    }

    /// Takes back the chunk queued last, if the worker has not begun it.
    pub fn take_back(&self) -> Option<Arc<Chunk>> {
        let mut state = self.lock();
        match state.jobs.pop_back()? {
            Job::Write(chunk) => Some(chunk),
            job => {
                state.jobs.push_back(job);
                None
            }
        }
    }

    /// Queues a chunk.
    pub fn write(&self, chunk: Arc<Chunk>) {
        self.add(|state| state.jobs.push_back(Job::Write(chunk)));
    }

    /// Queues the sync of a segment that is left, before anything that is queued later.
    pub fn leave(&self, number: u64) {
        self.add(|state| state.jobs.push_back(Job::Leave(number)));
    }

    /// Asks for a sync that covers everything up to `sequence`.
    pub fn sync(&self, sequence: Sequence) {
        self.add(|state| {
            if sequence > state.durable.sequence {
                state.sync_first.get_or_insert(sequence);
                state.sync_last = state.sync_last.max(sequence);
            }
        });
    }

    /// Asks for a segment to be created.
    pub fn create(&self, plan: Plan) {
        self.add(|state| state.creates.push_back(plan));
    }

    /// Bytes of memory that upkeep takes.
    pub fn heap_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed) + self.held_bytes.load(Ordering::Relaxed)
    }

    /// Whether something waits for the worker that it can begin now, as far as can be told without it.
    pub fn has_work(&self) -> bool {
        let state = self.lock();
        let may_write = !state.is_failed && (!state.jobs.is_empty() || state.sync_first.is_some());
        let may_create = !state.is_stalled
            && (!state.creates.is_empty() || state.identity.is_some() || !state.notes.is_empty());
        let may_keep_up = !state.is_failed && !state.upkeep.is_empty();
        may_write || may_create || may_keep_up || !state.removes.is_empty() || !state.released.is_empty()
    }

    /// How many tasks of upkeep wait.
    pub fn tasks(&self) -> usize {
        self.lock().upkeep.len()
    }

    /// Asks for a segment without records to be removed; its creation is forgotten if it waits.
    pub fn remove(&self, number: u64) {
        self.add(|state| {
            state.creates.retain(|plan| plan.number != number);
            state.removes.push(number);
        });
    }

    /// Lets go of a segment, elsewhere than in the loop.
    pub fn release(&self, segment: Arc<Segment<F>>) {
        self.add(|state| state.released.push(segment));
    }

    /// Asks for the identity file to be replaced, whatever failed before; its leases count once it is.
    pub fn write_identity(&self, record: IdentityRecord) {
        self.add(|state| (state.identity, state.is_stalled) = (Some(record), false));
    }

    /// Asks for a small file to be replaced. A later number replaces one that still waits.
    pub fn write_note(&self, name: &'static str, number: u64, content: Vec<u8>) {
        self.add(|state| {
            state.notes.insert(name, (number, content));
        });
    }

    /// The number up to which a small file is on disk; 0 if it was not written since the opening.
    pub fn noted(&self, name: &'static str) -> u64 {
        self.lock().noted.get(name).copied().unwrap_or(0)
    }

    /// Asks for what failed for want of room to be tried again.
    pub fn retry(&self) {
        self.add(|state| state.is_stalled = false);
    }

    fn add(&self, change: impl FnOnce(&mut State<F>)) {
        let mut state = self.lock();
        change(&mut state);
        if core::mem::take(&mut state.is_waiting) {
            self.work.notify_one();
        }
    }

    /// Ends the worker's thread: with everything done that can be, or at once.
    pub fn stop(&self, drained: bool) {
        self.add(|state| state.stop = Some(if drained { Stop::Drained } else { Stop::Now }));
    }

    /// Whether everything that was asked of the log is on disk.
    pub fn is_drained(&self) -> bool {
        let state = self.lock();
        state.jobs.is_empty() && state.sync_first.is_none() && !state.is_failed
    }

    /// Nothing newer will ever be durable.
    pub fn fail(&self) {
        let mut state = self.lock();
        state.is_failed = true;
        state.under_way = None;
        state.jobs.clear();
        state.sync_first = None;
        self.failed.store(true, Ordering::Release);
    }
}

impl<F> State<F> {
    /// The next operation. `is_open` tells whether a segment can be written to.
    fn next_task(&mut self, is_open: &dyn Fn(u64) -> bool) -> Option<Task<F>> {
        let background_first = self.foreground_run >= FOREGROUND_RUN_MAX;
        let task = match background_first {
            true => self.next_background().or_else(|| self.next_foreground(is_open)),
            false => self.next_foreground(is_open).or_else(|| self.next_background()),
        }?;
        self.under_way = match task {
            Task::Write(_) | Task::Leave(..) => Some(UnderWay::Job),
            Task::Sync(_) => Some(UnderWay::Sync),
            _ => None,
        };
        self.foreground_run = if self.under_way.is_some() { self.foreground_run + 1 } else { 0 };
        Some(task)
    }

    fn next_foreground(&mut self, is_open: &dyn Fn(u64) -> bool) -> Option<Task<F>> {
        if self.is_failed {
            return None;
        }
        if self.sync_first.is_some_and(|first| first <= self.written.sequence) {
            return Some(Task::Sync(self.written));
        }
        match self.jobs.front()? {
            Job::Write(chunk) if !is_open(chunk.number) => None,
            _ => match self.jobs.pop_front()? {
                Job::Write(chunk) => Some(Task::Write(chunk)),
                Job::Leave(number) => Some(Task::Leave(number, self.written)),
            },
        }
    }

    fn next_background(&mut self) -> Option<Task<F>> {
        if let Some(segment) = self.released.pop() {
            return Some(Task::Release(segment));
        }
        // What a backup copies stays until it has.
        let is_copied = matches!(self.upkeep.front(), Some(Upkeep::Backup(_)));
        if !is_copied && let Some(number) = self.removes.pop() {
            return Some(Task::Remove(number));
        }
        // A segment for copies is what makes room: it never waits behind one for which there is none.
        let is_stalled = self.is_stalled;
        if let Some(plan) = self.creates.iter().find(|plan| plan.is_compacted || !is_stalled) {
            return Some(Task::Create(*plan));
        }
        if !is_stalled {
            let identity = self.identity.take().map(Task::Identity);
            let note = |(name, (number, content))| Task::Note(name, number, content);
            let small = identity.or_else(|| self.notes.pop_first().map(note));
            if small.is_some() {
                return small;
            }
        }
        if self.is_failed {
            return None;
        }
        self.upkeep.pop_front().map(Task::Upkeep)
    }
}

/// Carries out what [`Shared`] asks for.
pub struct Worker<D: Disk> {
    disk: Arc<D>,
    crew: Crew<D>,
    shared: Arc<Shared<D::File>>,
    /// Segments that may still be written to: few.
    open: Vec<Arc<Segment<D::File>>>,
    wake: Wake,
}

impl<D: Disk> Worker<D> {
    /// A worker over these segments, which may be written to.
    pub fn new(
        disk: Arc<D>,
        shared: Arc<Shared<D::File>>,
        open: Vec<Arc<Segment<D::File>>>,
        fingerprints: Fingerprints,
        wake: Wake,
    ) -> Worker<D> {
        Worker { crew: Crew::new(Arc::clone(&disk), fingerprints), disk, shared, open, wake }
    }

    /// Carries out one operation; false if there is none.
    pub fn step(&mut self) -> bool {
        let task = self.next_task(false);
        task.map(|task| self.carry_out(task)).is_some()
    }

    /// The body of the worker's thread. Ends when it is told to.
    pub fn run(mut self) {
        /// A worker that dies is a failed sync: nobody would ever move the marks again.
        struct Alarm<F>(Arc<Shared<F>>);
        impl<F> Drop for Alarm<F> {
            fn drop(&mut self) {
                if std::thread::panicking() {
                    self.0.fail();
                }
            }
        }
        let _alarm = Alarm(Arc::clone(&self.shared));
        while let Some(task) = self.next_task(true) {
            self.carry_out(task);
        }
    }

    /// Takes the next operation. Waits for one if `wait` says so, until it is told to stop.
    fn next_task(&self, wait: bool) -> Option<Task<D::File>> {
        let is_open = |number| self.open.iter().any(|segment| segment.plan.number == number);
        let mut state = self.shared.lock();
        loop {
            if state.stop == Some(Stop::Now) {
                return None;
            }
            let task = state.next_task(&is_open);
            if task.is_some() || !wait || state.stop.is_some() {
                return task;
            }
            state.is_waiting = true;
            state = self.shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn carry_out(&mut self, task: Task<D::File>) {
        match task {
            Task::Release(segment) => drop(segment),
            Task::Write(chunk) => self.write(chunk),
            Task::Leave(number, mark) => {
                let synced = self.sync(number, mark);
                if synced.is_ok()
                    && let Ok(segment) = self.segment(number)
                {
                    self.crew.trim(&segment.plan, mark.offset);
                    segment.file.settle();
                }
                self.open.retain(|segment| segment.plan.number != number);
                self.finish(synced);
            }
            Task::Sync(mark) => {
                let synced = self.sync(mark.number, mark);
                self.finish(synced);
            }
            Task::Create(plan) => self.create(&plan),
            Task::Remove(number) => self.remove(number),
            Task::Identity(record) => self.replace_identity(record),
            Task::Note(name, number, content) => self.replace_note(name, number, content),
            Task::Upkeep(task) => self.keep_up(task),
        }
        (self.wake)();
    }

    fn segment(&self, number: u64) -> io::Result<&Arc<Segment<D::File>>> {
        let found = self.open.iter().find(|segment| segment.plan.number == number);
        found.ok_or_else(|| io::Error::other(format!("segment {number} is not open")))
    }

    fn keep_up(&mut self, task: Upkeep) {
        self.shared.waiting_bytes.fetch_sub(task.heap_bytes(), Ordering::Relaxed);
        let done = match task {
            Upkeep::Survey(plan, range) => Some(Done::Surveyed(self.crew.survey(plan, &range))),
            Upkeep::Copy(number, block, keep) => {
                let segment = self.segment(number).cloned();
                if self.crew.copy(segment, block, &keep).is_err() {
                    self.shared.fail();
                }
                None
            }
            Upkeep::Close(number) => {
                self.open.retain(|segment| segment.plan.number != number);
                match self.crew.close() {
                    Ok(closed) => Some(Done::Closed(closed)),
                    // A copy that may not be on disk is no copy; and a disk that fails a sync is not tried
                    // again.
                    Err(_) => {
                        self.shared.fail();
                        None
                    }
                }
            }
            Upkeep::Manifest(bytes) => Some(Done::Manifest(self.crew.write_manifest(&bytes))),
            Upkeep::Checkpoint(piece) => {
                let is_given_up = matches!(piece, Piece::Abandon);
                self.crew.checkpoint(piece).filter(|_| !is_given_up)
            }
            Upkeep::Forget => Some(Done::Forgotten(self.crew.forget_checkpoint())),
            Upkeep::Shorten(number, size) => {
                Some(Done::Shortened(self.disk.shorten(&file_path(number), size).is_ok()))
            }
            Upkeep::Look(places) => Some(Done::Looked(self.crew.see(places))),
            Upkeep::Backup(mut backup) => match self.crew.back_up(&mut backup) {
                Some(result) => Some(Done::Backup(result)),
                None => {
                    self.shared.lock().upkeep.push_front(Upkeep::Backup(backup));
                    None
                }
            },
        };
        self.shared.held_bytes.store(self.crew.heap_bytes(), Ordering::Relaxed);
        if let Some(done) = done {
            self.shared.tell(&mut self.shared.lock(), done);
        }
    }

    fn write(&self, chunk: Arc<Chunk>) {
        let written =
            self.segment(chunk.number).and_then(|segment| segment.file.write_at(chunk.start, &chunk.bytes));
        let mark = Mark { sequence: chunk.last, number: chunk.number, offset: chunk.end() };
        // Let go before the mark moves, so that the loop finds the buffer unshared and can use it again.
        drop(chunk);
        if written.is_ok() {
            let mut state = self.shared.lock();
            self.shared.set_written(&mut state, mark);
        }
        self.finish(written);
    }

    /// Syncs a segment; everything up to `mark`, which was written before, is durable then.
    fn sync(&self, number: u64, mark: Mark) -> io::Result<()> {
        self.segment(number)?.file.sync()?;
        let mut state = self.shared.lock();
        state.durable = mark;
        self.shared.durable.store(mark.sequence.0, Ordering::Release);
        let covered = |wanted: &Sequence| *wanted <= mark.sequence;
        if state.sync_first.as_ref().is_some_and(covered) {
            state.sync_first = if covered(&state.sync_last) { None } else { Some(state.sync_last) };
        }
        Ok(())
    }

    /// Ends a write or a sync. One that failed is final.
    fn finish(&self, done: io::Result<()>) {
        match done {
            Ok(()) => self.shared.lock().under_way = None,
            Err(_) => self.shared.fail(),
        }
    }

    fn create(&mut self, plan: &Plan) {
        let created = self.disk.create(&plan.name(), plan.size, &plan.header());
        let mut state = self.shared.lock();
        let place = state.creates.iter().position(|wanted| wanted.number == plan.number);
        match created {
            Ok(file) => {
                let segment = Arc::new(Segment { plan: *plan, file });
                self.open.push(Arc::clone(&segment));
                if let Some(place) = place {
                    state.creates.remove(place);
                }
                state.created.push(segment);
                if !plan.is_compacted {
                    self.shared.full.store(false, Ordering::Release);
                    self.shared.note_room(self.disk.room(), plan.size);
                }
                self.shared.news.store(true, Ordering::Release);
            }
            // A segment for copies is asked for again, or done without.
            Err(_) if plan.is_compacted => {
                if let Some(place) = place {
                    state.creates.remove(place);
                }
                self.shared.tell(&mut state, Done::NotCreated(plan.number));
            }
            // Whatever the reason, the log so far is whole: no new segment is a full disk to the loop.
            Err(_) => {
                state.is_stalled = true;
                self.shared.full.store(true, Ordering::Release);
            }
        }
    }

    fn remove(&mut self, number: u64) {
        self.open.retain(|segment| segment.plan.number != number);
        self.crew.let_go(number);
        // One that stays is no part of the log any more, and is removed at the next opening.
        let _ = self.disk.remove(&file_path(number));
        self.shared.tell(&mut self.shared.lock(), Done::Removed(number));
    }

    fn replace_identity(&mut self, record: IdentityRecord) {
        let replaced = self.disk.replace(IDENTITY, &record.bytes());
        let mut state = self.shared.lock();
        match replaced {
            Ok(()) => self.shared.publish(&record),
            Err(_) => {
                state.is_stalled = true;
                state.identity.get_or_insert(record);
            }
        }
    }

    fn replace_note(&mut self, name: &'static str, number: u64, content: Vec<u8>) {
        let replaced = self.disk.replace(name, &content);
        let mut state = self.shared.lock();
        if replaced.is_ok() {
            state.noted.insert(name, number);
        } else {
            state.is_stalled = true;
            state.notes.entry(name).or_insert((number, content));
        }
    }
}
