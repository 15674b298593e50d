//! The two queues between the host's threads and the loop, the one lock-free structure on the path.
//!
//! ```text
//!   host threads                                 loop
//!   Submitter::push ──► ring of slots ──► Intake::drain       many producers, one consumer
//!        └── wakes the loop only if Intake announced that it sleeps
//!   Reaper::reap   ◄──  ring of slots ◄── Completer::push     one producer, one consumer
//!        └── the completion descriptor is readable while something is left
//!   Window::enter  ──►  at most `limit` requests between acceptance and reaping
//! ```
//!
//! Rules it keeps: a value that was taken comes out exactly once, on the other side or in the error of
//! the push; a consumer that sleeps while something is queued is woken; a descriptor is readable while
//! completions are left, and the reap that empties the queue (or finds it empty) quiets it. The window
//! bounds what is in flight, so the completion queue can never be full.
//!
//! Each memory ordering stands as a named constant with its reason. `tests/loom.rs` explores the queues
//! and `scripts/loom.sh` shows that each ordering, taken away by `cfg(mutant = "…")`, makes a model fail.
//!
//! It does not know what it carries, and it makes no system call: the wake-up and the descriptor are
//! [`Wake`] and [`Signal`], which the driver implements and the models replace.

use core::mem::MaybeUninit;

use crossbeam_utils::CachePadded;

use super::sync::{Arc, AtomicBool, AtomicU64, Ordering, UnsafeCell, fence, spin_loop};

/// Wakes the loop out of its sleep. May be called from any thread; must not block.
pub trait Wake {
    /// Makes the loop's sleep, present or next, end.
    fn wake(&self);
}

/// The level that tells a host that completions wait: an eventfd outside the models. The queue never
/// calls both at one time.
pub trait Signal {
    /// Makes the descriptor readable.
    fn raise(&self);
    /// Makes it quiet again.
    fn clear(&self);
}

/// Why a push was refused; the value comes back.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused<T> {
    /// Every slot is taken.
    Full(T),
    /// The loop takes nothing more.
    Closed(T),
}

/// The orderings, each with what it buys. A mutant weakens exactly one.
mod order {
    use super::Ordering::{self, Acquire, Relaxed, Release};

    const fn unless(mutant: bool, ordering: Ordering) -> Ordering {
        if mutant { Relaxed } else { ordering }
    }

    /// A submitter's value is written before its slot says so.
    pub const SUBMIT_PUBLISH: Ordering = unless(cfg!(mutant = "queue_publish_relaxed"), Release);
    /// The loop reads a value only after the slot said that it is there.
    pub const INTAKE_CONSUME: Ordering = unless(cfg!(mutant = "queue_consume_relaxed"), Acquire);
    /// The loop has read a value before its slot is offered again.
    pub const INTAKE_FREE: Ordering = unless(cfg!(mutant = "queue_free_relaxed"), Release);
    /// A submitter overwrites a slot only after the loop has read it.
    pub const SUBMIT_CLAIM: Ordering = unless(cfg!(mutant = "queue_claim_relaxed"), Acquire);

    /// A completion is written before the tail covers it.
    pub const COMPLETE_PUBLISH: Ordering = unless(cfg!(mutant = "completion_publish_relaxed"), Release);
    /// A completion is read only after the tail covered it.
    pub const REAP_CONSUME: Ordering = unless(cfg!(mutant = "completion_consume_relaxed"), Acquire);
    /// A completion was read before the head gives its slot back.
    pub const REAP_FREE: Ordering = unless(cfg!(mutant = "completion_free_relaxed"), Release);
    /// A slot is overwritten only after the head passed it.
    pub const COMPLETE_REUSE: Ordering = unless(cfg!(mutant = "completion_reuse_relaxed"), Acquire);

    /// The signal was touched before its state says so.
    pub const SIGNAL_SETTLE: Ordering = unless(cfg!(mutant = "signal_settle_relaxed"), Release);
    /// The signal is touched only after whoever touched it before is done.
    pub const SIGNAL_TAKE: Ordering = unless(cfg!(mutant = "signal_take_relaxed"), Acquire);

    /// The reaper moved the head before it gives the window back …
    pub const WINDOW_LEAVE: Ordering = unless(cfg!(mutant = "window_leave_relaxed"), Release);
    /// … to a submitter, whose request's completion therefore finds a free slot.
    pub const WINDOW_ENTER: Ordering = unless(cfg!(mutant = "window_enter_relaxed"), Acquire);
}

/// Orders a publication before a look at the other side's flag (and the other way round on the other
/// side), so that at least one of the two sees the other. `skipped` is a mutant's.
fn full_fence(skipped: bool) {
    if !skipped {
        fence(Ordering::SeqCst);
    }
}

/// One place of the submission ring.
///
/// `sequence` is the position that may be written next while the slot is free, that position + 1 while
/// it holds a value, and the position + capacity once that was read.
struct Slot<T> {
    sequence: AtomicU64,
    value: UnsafeCell<MaybeUninit<T>>,
}

/// Lowest bit of `Submissions::tail`: set once, by [`Intake::close`]. The position is above it, so a
/// submitter's claim and the closing exclude each other in one atomic.
const CLOSED: u64 = 1;

struct Submissions<T, W> {
    /// Position of the next push, shifted left by one, and [`CLOSED`].
    tail: CachePadded<AtomicU64>,
    /// Whether the loop said that it is going to sleep and nobody has woken it since.
    sleeping: CachePadded<AtomicBool>,
    slots: Box<[Slot<T>]>,
    waker: W,
}

// SAFETY: a slot's value is touched by the submitter that claimed its position, until it publishes, and
// by the one Intake from then on until it frees the slot; `sequence` orders the two. So values only move
// between threads, for which T: Send is enough.
unsafe impl<T: Send, W: Send> Send for Submissions<T, W> {}
// SAFETY: as above; the waker is called through a shared reference from many threads, hence W: Sync.
unsafe impl<T: Send, W: Sync> Sync for Submissions<T, W> {}

impl<T, W> Submissions<T, W> {
    fn slot(&self, position: u64) -> &Slot<T> {
        // The capacity is a power of two, so the mask keeps the index inside the box.
        &self.slots[(position & (self.slots.len() as u64 - 1)) as usize]
    }
}

/// The side of the host's threads: as many clones as there are threads, or one shared by reference.
pub struct Submitter<T, W> {
    /// Std's Arc in the models too: nothing here hangs on the order of its count (the [`Intake`] empties
    /// the ring itself), and each modelled clone and drop would multiply the executions.
    shared: std::sync::Arc<Submissions<T, W>>,
}

/// The loop's side.
pub struct Intake<T, W> {
    shared: std::sync::Arc<Submissions<T, W>>,
    /// Position of the next pop.
    head: u64,
}

/// A queue from many threads to the loop, for up to `capacity` values at a time.
///
/// # Panics
/// If `capacity` is not a power of two.
pub fn submissions<T, W: Wake>(capacity: usize, waker: W) -> (Submitter<T, W>, Intake<T, W>) {
    assert!(capacity.is_power_of_two(), "a ring of {capacity} slots has no mask");
    let slots = (0..capacity as u64)
        .map(|at| Slot { sequence: AtomicU64::new(at), value: UnsafeCell::new(MaybeUninit::uninit()) })
        .collect();
    let shared = std::sync::Arc::new(Submissions {
        tail: CachePadded::new(AtomicU64::new(0)),
        sleeping: CachePadded::new(AtomicBool::new(false)),
        slots,
        waker,
    });
    (Submitter { shared: std::sync::Arc::clone(&shared) }, Intake { shared, head: 0 })
}

impl<T, W> Clone for Submitter<T, W> {
    fn clone(&self) -> Self {
        Submitter { shared: std::sync::Arc::clone(&self.shared) }
    }
}

impl<T, W: Wake> Submitter<T, W> {
    /// Queues a value and wakes the loop if it sleeps. Never blocks.
    ///
    /// # Errors
    /// The value comes back: [`Refused::Full`] may pass, [`Refused::Closed`] does not.
    pub fn push(&self, value: T) -> Result<(), Refused<T>> {
        self.push_quietly(value)?;
        self.wake_if_asleep();
        Ok(())
    }

    /// Queues a value without looking whether the loop sleeps. A batch ends with
    /// [`Submitter::wake_if_asleep`], or the loop may sleep on it.
    ///
    /// # Errors
    /// As [`Submitter::push`].
    pub fn push_quietly(&self, value: T) -> Result<(), Refused<T>> {
        let shared = &*self.shared;
        let mut tail = shared.tail.load(Ordering::Relaxed);
        loop {
            if tail & CLOSED != 0 {
                return Err(Refused::Closed(value));
            }
            let position = tail >> 1;
            let slot = shared.slot(position);
            let sequence = slot.sequence.load(order::SUBMIT_CLAIM);
            if sequence < position {
                return Err(Refused::Full(value));
            }
            if sequence > position {
                // Another submitter took this position since we read the tail.
                spin_loop();
                tail = shared.tail.load(Ordering::Relaxed);
                continue;
            }
            let next = (position + 1) << 1;
            match shared.tail.compare_exchange_weak(tail, next, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => {
                    // SAFETY: the exchange gave this position to us alone, and its slot was free.
                    slot.value.with_mut(|cell| unsafe { (*cell).write(value) });
                    slot.sequence.store(position + 1, order::SUBMIT_PUBLISH);
                    return Ok(());
                }
                Err(found) => tail = found,
            }
        }
    }

    /// Wakes the loop if it announced that it sleeps; otherwise a load and no system call.
    pub fn wake_if_asleep(&self) {
        full_fence(cfg!(mutant = "queue_submit_fence"));
        // The load first: it keeps the flag's line shared while the loop is awake, and only one of
        // several submitters gets to wake it.
        if self.shared.sleeping.load(Ordering::Relaxed) && self.shared.sleeping.swap(false, Ordering::Relaxed)
        {
            self.shared.waker.wake();
        }
    }

    /// Wakes the loop whether it sleeps or not. Takes no lock and allocates nothing, so a signal
    /// handler may call it if the waker allows that.
    pub fn wake(&self) {
        self.shared.waker.wake();
    }
}

impl<T, W> Intake<T, W> {
    /// Takes up to `limit` values in the order of their positions; returns how many.
    pub fn drain(&mut self, limit: usize, mut take: impl FnMut(T)) -> usize {
        let mut taken = 0;
        while taken < limit {
            let Some(value) = self.pop() else { break };
            taken += 1;
            take(value);
        }
        taken
    }

    /// Takes one value. `None` also while the submitter of the next position has not finished.
    pub fn pop(&mut self) -> Option<T> {
        let slot = self.shared.slot(self.head);
        if slot.sequence.load(order::INTAKE_CONSUME) != self.head + 1 {
            return None;
        }
        // SAFETY: the sequence says that this position was published, and only we read it, once.
        let value = slot.value.with(|cell| unsafe { (*cell).assume_init_read() });
        slot.sequence.store(self.head + self.shared.slots.len() as u64, order::INTAKE_FREE);
        self.head += 1;
        Some(value)
    }

    /// Whether [`Intake::pop`] would find nothing.
    pub fn is_empty(&self) -> bool {
        self.shared.slot(self.head).sequence.load(order::INTAKE_CONSUME) != self.head + 1
    }

    /// Announces that the loop is about to sleep. True: sleep, every later push wakes. False: something
    /// was queued meanwhile and nothing is announced.
    ///
    /// All changes of the flag are exchanges, so that they form one chain: a submitter's late exchange
    /// takes its place in it and cannot be read after an announcement that followed it.
    #[must_use]
    pub fn prepare_sleep(&mut self) -> bool {
        self.shared.sleeping.swap(true, Ordering::Relaxed);
        full_fence(cfg!(mutant = "queue_sleep_fence"));
        if self.is_empty() {
            return true;
        }
        self.end_sleep();
        false
    }

    /// Takes the announcement back after a sleep, whatever ended it.
    pub fn end_sleep(&mut self) {
        self.shared.sleeping.swap(false, Ordering::Relaxed);
    }

    /// Refuses every push from now on. What was accepted before still comes out of
    /// [`Intake::drain_closed`].
    pub fn close(&mut self) {
        self.shared.tail.fetch_or(CLOSED, Ordering::Relaxed);
    }

    /// Takes everything that was accepted before [`Intake::close`], waiting out submitters that are in
    /// the middle of a push.
    ///
    /// # Panics
    /// If the queue was not closed: then there is no last position to wait for.
    pub fn drain_closed(&mut self, mut take: impl FnMut(T)) {
        let tail = self.shared.tail.load(Ordering::Relaxed);
        assert!(tail & CLOSED != 0, "an open queue has no end");
        while self.head != tail >> 1 {
            match self.pop() {
                Some(value) => take(value),
                None => wait_for_a_submitter(),
            }
        }
    }
}

impl<T, W> Drop for Intake<T, W> {
    /// Values that nobody took are dropped here; after this no submitter can add one.
    fn drop(&mut self) {
        self.close();
        self.drain_closed(drop);
    }
}

/// Lets a submitter that claimed a position finish; it may have been preempted, so spinning alone could
/// burn its whole time slice.
fn wait_for_a_submitter() {
    #[cfg(loom)]
    loom::thread::yield_now();
    #[cfg(not(loom))]
    std::thread::yield_now();
}

/// State of a [`Signal`]. It moves quiet → raising (whoever wins the exchange) → raised (the same) →
/// quiet (the reaper), so the signal itself is never touched by two threads at one time, and the state
/// never claims a level that was not reached.
const QUIET: u64 = 0;
const RAISING: u64 = 1;
const RAISED: u64 = 2;

struct Completions<T, S> {
    /// Position of the next push; written by the completer alone.
    tail: CachePadded<AtomicU64>,
    /// Position of the next pop; written by the reaper alone.
    head: CachePadded<AtomicU64>,
    /// QUIET, RAISING or RAISED.
    level: CachePadded<AtomicU64>,
    slots: Box<[UnsafeCell<MaybeUninit<T>>]>,
    signal: S,
}

// SAFETY: a slot between head and tail belongs to the one Reaper, every other one to the one Completer,
// and the two positions order what they do. Values only move between threads: T: Send is enough.
unsafe impl<T: Send, S: Send> Send for Completions<T, S> {}
// SAFETY: as above; the signal is used through a shared reference from two threads, hence S: Sync.
unsafe impl<T: Send, S: Sync> Sync for Completions<T, S> {}

impl<T, S> Completions<T, S> {
    fn slot(&self, position: u64) -> &UnsafeCell<MaybeUninit<T>> {
        &self.slots[(position & (self.slots.len() as u64 - 1)) as usize]
    }
}

impl<T, S: Signal> Completions<T, S> {
    /// Raises the signal unless it is raised, or being raised by the other side.
    fn raise(&self) {
        if self.level.load(Ordering::Relaxed) == QUIET
            && self.level.compare_exchange(QUIET, RAISING, order::SIGNAL_TAKE, Ordering::Relaxed).is_ok()
        {
            self.signal.raise();
            self.level.store(RAISED, order::SIGNAL_SETTLE);
        }
    }
}

/// The loop's side of the completions.
pub struct Completer<T, S> {
    shared: Arc<Completions<T, S>>,
    tail: u64,
    /// The head when it was last looked at; only ever behind.
    head_seen: u64,
    unannounced: bool,
}

/// The host's side; the caller serialises its use.
pub struct Reaper<T, S> {
    shared: Arc<Completions<T, S>>,
    head: u64,
}

/// A queue from the loop to the host, for up to `capacity` values at a time.
///
/// # Panics
/// If `capacity` is not a power of two.
pub fn completions<T, S: Signal>(capacity: usize, signal: S) -> (Completer<T, S>, Reaper<T, S>) {
    assert!(capacity.is_power_of_two(), "a ring of {capacity} slots has no mask");
    let slots = (0..capacity).map(|_| UnsafeCell::new(MaybeUninit::uninit())).collect();
    let shared = Arc::new(Completions {
        tail: CachePadded::new(AtomicU64::new(0)),
        head: CachePadded::new(AtomicU64::new(0)),
        level: CachePadded::new(AtomicU64::new(QUIET)),
        slots,
        signal,
    });
    let completer = Completer { shared: Arc::clone(&shared), tail: 0, head_seen: 0, unannounced: false };
    (completer, Reaper { shared, head: 0 })
}

impl<T, S: Signal> Completer<T, S> {
    /// Queues a completion. A reaper may see it at once; the descriptor follows with
    /// [`Completer::announce`], once per step.
    ///
    /// # Panics
    /// If the queue is full. Submission is refused beyond the [`Window`], which is no larger than this
    /// queue, so that would be a completion nobody asked for.
    pub fn push(&mut self, value: T) {
        assert!(self.try_push(value).is_ok(), "more completions than the window admits");
    }

    /// Queues a completion where no window bounds them.
    ///
    /// # Errors
    /// The queue is full, as far as this thread has seen; the value comes back.
    pub fn try_push(&mut self, value: T) -> Result<(), T> {
        let capacity = self.shared.slots.len() as u64;
        if self.tail - self.head_seen == capacity {
            self.head_seen = self.shared.head.load(order::COMPLETE_REUSE);
            if self.tail - self.head_seen == capacity {
                return Err(value);
            }
        }
        // SAFETY: the slot lies outside head..tail, so it is ours and holds no value.
        self.shared.slot(self.tail).with_mut(|cell| unsafe { (*cell).write(value) });
        self.tail += 1;
        self.shared.tail.store(self.tail, order::COMPLETE_PUBLISH);
        self.unannounced = true;
        Ok(())
    }

    /// Makes the descriptor readable if completions were pushed since the last call.
    pub fn announce(&mut self) {
        if core::mem::take(&mut self.unannounced) {
            full_fence(cfg!(mutant = "completion_announce_fence"));
            self.shared.raise();
        }
    }
}

impl<T, S: Signal> Reaper<T, S> {
    /// Takes up to `limit` completions; returns how many. When it leaves the queue empty, the
    /// descriptor becomes quiet.
    ///
    /// A descriptor may be readable once with nothing to reap, if this ran in the middle of an
    /// announcement; the next call quiets it.
    pub fn reap(&mut self, limit: usize, mut take: impl FnMut(T)) -> usize {
        let mut tail = self.shared.tail.load(order::REAP_CONSUME);
        let mut taken = 0;
        while taken < limit && self.head != tail {
            // SAFETY: the slot lies inside head..tail, so it holds a value, which only we read, once.
            let value = self.shared.slot(self.head).with(|cell| unsafe { (*cell).assume_init_read() });
            self.head += 1;
            self.shared.head.store(self.head, order::REAP_FREE);
            taken += 1;
            take(value);
            if self.head == tail {
                tail = self.shared.tail.load(order::REAP_CONSUME);
            }
        }
        if self.head == tail {
            self.quiet();
        }
        taken
    }

    /// Whether [`Reaper::reap`] would find nothing.
    pub fn is_empty(&self) -> bool {
        self.head == self.shared.tail.load(order::REAP_CONSUME)
    }

    /// Takes the level down, and up again if a completion came meanwhile: whoever pushed it may have
    /// seen the level still raised.
    fn quiet(&mut self) {
        if self.shared.level.load(order::SIGNAL_TAKE) != RAISED {
            return;
        }
        self.shared.signal.clear();
        self.shared.level.store(QUIET, order::SIGNAL_SETTLE);
        full_fence(cfg!(mutant = "completion_pending_fence"));
        if !self.is_empty() {
            self.shared.raise();
        }
    }
}

impl<T, S> Drop for Completions<T, S> {
    /// Completions that nobody reaped. Both sides are gone, so the positions stand still.
    fn drop(&mut self) {
        let tail = self.tail.load(Ordering::Relaxed);
        let mut head = self.head.load(Ordering::Relaxed);
        while head != tail {
            // SAFETY: the slot lies inside head..tail, so it holds a value that nobody else will read.
            self.slot(head).with_mut(|cell| unsafe { (*cell).assume_init_drop() });
            head += 1;
        }
    }
}

/// How many requests may be between their acceptance and the reaping of their completion.
pub struct Window {
    inside: CachePadded<AtomicU64>,
    limit: u64,
}

impl Window {
    /// A window for `limit` requests.
    pub fn new(limit: u64) -> Window {
        Window { inside: CachePadded::new(AtomicU64::new(0)), limit }
    }

    /// Takes up to `wanted` places; returns how many it got.
    pub fn enter(&self, wanted: u64) -> u64 {
        let mut inside = self.inside.load(Ordering::Relaxed);
        loop {
            let granted = wanted.min(self.limit - inside);
            if granted == 0 {
                return 0;
            }
            let next = inside + granted;
            match self.inside.compare_exchange_weak(inside, next, order::WINDOW_ENTER, Ordering::Relaxed) {
                Ok(_) => return granted,
                Err(found) => inside = found,
            }
        }
    }

    /// Gives `places` back: of requests reaped, or taken by [`Window::enter`] and not used.
    ///
    /// # Panics
    /// If more are given back than were taken.
    pub fn leave(&self, places: u64) {
        let before = self.inside.fetch_sub(places, order::WINDOW_LEAVE);
        assert!(before >= places, "{places} places given back of {before} taken");
    }

    /// Places taken now.
    pub fn inside(&self) -> u64 {
        self.inside.load(Ordering::Relaxed)
    }

    /// Places in all.
    pub fn limit(&self) -> u64 {
        self.limit
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
