//! How other threads speak to a loop: requests go in through a bounded queue, completions come back
//! through a second one with a file descriptor that is readable while there are any.
//!
//! A request holds its place in the window from [`Handle::submit`] until its completion is reaped, so
//! neither queue can overflow and a completion is never dropped.

use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use core::time::Duration;
use std::collections::BTreeMap;
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};

use super::cancel::cancel;
use super::insight::{Asking, Insight};
use super::limits::WINDOW_MAX;
use super::parcel::{Caller, Destination, Parcel};
use super::queue::{self, Completer, Intake, Reaper, Signal, Submitter, Wake, Window};
use super::subscriptions::{Following, Last, PLACES, Subscription, Subscriptions};
use super::sys::{self, EventFd};
use super::waiting::{Waiting, WaitingRoom, id_of};
use super::watch::{Figure, Figures};
use crate::proto::buffer::Buffer;
use crate::proto::cluster::Order;
use crate::proto::glob::Selection;
use crate::proto::io::{Add, Blind, Edit, Operation, Options, Reply, Request, RequestId};
use crate::proto::node::Node;
use crate::proto::page_token::PageToken;
use crate::proto::store::Store;
use crate::proto::time::Now;

/// A request that owns its bytes, to cross threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRequest {
    /// Number of the keyspace; 0 is `default`.
    pub keyspace: u16,
    /// The key.
    pub key: Buffer,
    /// What to do.
    pub operation: OwnedOperation,
    /// Settings.
    pub options: Options,
}

/// What an [`OwnedRequest`] does; see [`Operation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedOperation {
    /// Read.
    Get,
    /// Write a value.
    Put {
        /// The value.
        value: Buffer,
        /// A context token; what it covers is replaced.
        context: Option<Buffer>,
        /// What a missing context means.
        blind: Blind,
        /// Absolute expiry, in milliseconds of wall time.
        expires_ms: Option<u64>,
    },
    /// Write a tombstone.
    Delete {
        /// A context token; what it covers is deleted.
        context: Option<Buffer>,
        /// What a missing context means.
        blind: Blind,
    },
    /// Count.
    Add {
        /// By how much.
        by: i64,
        /// Names it.
        id: Option<u64>,
    },
    /// Count by the difference from a number that was read.
    PutNumber {
        /// The number in its place.
        number: i64,
        /// The token of the read.
        context: Vec<u8>,
    },
    /// Put elements into a set.
    AddElements(Vec<Vec<u8>>),
    /// Take elements out of a set.
    RemoveElements(Vec<Vec<u8>>),
    /// Show a page of keys.
    Scan {
        /// At most about how many keys; 0 is the default.
        limit: u32,
        /// Which.
        page: Box<PageAsked>,
    },
    /// Look at the cluster, or change it.
    Cluster(Order),
}

/// Which page of a scan is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageAsked {
    /// Of which keyspace.
    pub keyspace: u16,
    /// Where it begins: `None` is the beginning.
    pub token: Option<PageToken>,
    /// Which of its keys are shown; the reply has them all.
    pub selection: Selection,
}

/// A change feed, from a place on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feed {
    /// Of which keyspace.
    pub keyspace: u16,
    /// Of which partition; `None` is all that the node holds.
    pub partition: Option<u16>,
    /// Behind which place; without one it begins now.
    pub since: Option<Vec<u8>>,
    /// Keys of a page; 0 is the default.
    pub limit: u32,
}

impl OwnedRequest {
    /// What its completion is the end of.
    pub fn asked(&self) -> Asked {
        match &self.operation {
            OwnedOperation::Get => Asked::Read,
            OwnedOperation::Cluster(order) => {
                Asked::Order { is_change: !matches!(order, Order::Look | Order::Plan) }
            }
            OwnedOperation::Scan { page, .. } => Asked::Scan(page.clone()),
            _ => Asked::Write,
        }
    }

    /// The same request, borrowed.
    pub fn as_request(&self) -> Request<'_> {
        let operation = match &self.operation {
            OwnedOperation::Get => Operation::Get,
            OwnedOperation::Put { value, context, blind, expires_ms } => {
                Operation::Put { value, context: context.as_deref(), blind: *blind, expires_ms: *expires_ms }
            }
            OwnedOperation::Delete { context, blind } => {
                Operation::Delete { context: context.as_deref(), blind: *blind }
            }
            OwnedOperation::Add { by, id } => Operation::Add(Add::By { by: *by, id: *id }),
            OwnedOperation::PutNumber { number, context } => Operation::Add(Add::To { to: *number, context }),
            OwnedOperation::AddElements(members) => Operation::Edit(Edit::AddElements(slices(members))),
            OwnedOperation::RemoveElements(members) => Operation::Edit(Edit::RemoveElements(slices(members))),
            OwnedOperation::Scan { limit, page } => {
                Operation::Scan { cursor: page.token.map_or(0, |token| token.next), limit: *limit }
            }
            OwnedOperation::Cluster(order) => Operation::Cluster(order.clone()),
        };
        Request { keyspace: self.keyspace, key: &self.key, operation, options: self.options }
    }
}

fn slices(members: &[Vec<u8>]) -> Vec<&[u8]> {
    members.iter().map(Vec::as_slice).collect()
}

/// What was submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// A read.
    Read,
    /// What may have happened where its outcome leaves it open.
    Write,
    /// A page of keys.
    Scan(Box<PageAsked>),
    /// An order to the cluster.
    Order {
        /// It may have been carried out where its outcome leaves that open.
        is_change: bool,
    },
    /// This, and then to end it: the reply is what was known by then.
    Cancelled(Box<Asked>),
    /// A change feed.
    Feed {
        /// No further page comes.
        is_last: bool,
        /// As it was cancelled.
        is_cancelled: bool,
    },
}

/// The end of a request that was submitted. Exactly one comes for each; of a change feed, one for each page, and a last
/// one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// As given to [`Handle::submit`].
    pub tag: u64,
    /// What the request was.
    pub asked: Asked,
    /// The answer; `None` if the node was stopped before the request began (nothing was done).
    pub reply: Option<Reply>,
}

/// Why a request was not taken; no completion will come for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The window is full: reap completions first.
    Full,
    /// The node is stopping or stopped.
    Closed,
    /// A change feed has this tag already.
    Taken,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Refusal::Full => "the window is full",
            Refusal::Closed => "the node is stopped",
            Refusal::Taken => "another change feed has the tag",
        })
    }
}

impl std::error::Error for Refusal {}

/// Another thread is reaping at this moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("another thread is reaping")
    }
}

impl std::error::Error for Busy {}

/// Ends the loop's sleep.
#[derive(Clone)]
pub(super) struct LoopWaker(pub(super) Arc<mio::Waker>);

impl Wake for LoopWaker {
    fn wake(&self) {
        // It fails only if the poll is gone, and then nobody sleeps.
        let _ = self.0.wake();
    }
}

/// The completion descriptor, if there is one. Shared, so that its number lives as long as any handle.
#[derive(Clone)]
struct Level(Option<Arc<EventFd>>);

impl Signal for Level {
    fn raise(&self) {
        self.0.iter().for_each(|level| level.raise());
    }

    fn clear(&self) {
        self.0.iter().for_each(|level| level.clear());
    }
}

/// What a loop and its handles share.
struct Shared {
    submitter: Submitter<Box<Parcel>, LoopWaker>,
    reaper: Mutex<Reaper<Box<Parcel>, Level>>,
    window: Window,
    level: Level,
    /// 0, or the grace of a requested stop in milliseconds and 1.
    stop: AtomicU64,
    reload: AtomicBool,
    isolated: Arc<AtomicBool>,
    figures: Arc<Figures>,
    asking: Asking,
    /// Change feeds by their tags, until their end is reaped.
    followed: Mutex<BTreeMap<u64, Arc<Following>>>,
}

impl Shared {
    fn followed(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Following>>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A thread-safe reference to a loop; outlives it harmlessly. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    shared: Arc<Shared>,
}

impl Handle {
    /// Hands a request to the loop, and wakes it if it sleeps. `tag` comes back in the completion.
    ///
    /// # Errors
    /// The request was not taken.
    pub fn submit(&self, request: OwnedRequest, tag: u64) -> Result<(), Refusal> {
        let asked = request.asked();
        self.send(Parcel::Request { request, to: Destination::Queue { tag, asked } }, 1)
    }

    /// Follows a change feed: a completion for each page, the next when the one before was reaped, and a last one at
    /// its end. Two places of the window are taken until that is reaped. `tag` is that of no other feed.
    ///
    /// # Errors
    /// It is not followed.
    pub fn follow(&self, feed: Feed, tag: u64) -> Result<(), Refusal> {
        let mut followed = self.shared.followed();
        if followed.contains_key(&tag) {
            return Err(Refusal::Taken);
        }
        let following = Arc::<Following>::default();
        let subscription = Subscription::new(tag, feed, Arc::clone(&following));
        self.send(Parcel::Subscription(Box::new(subscription)), PLACES)?;
        followed.insert(tag, following);
        Ok(())
    }

    /// Ends a change feed; its last completion follows, once those before are reaped. False if none has this tag.
    pub fn unfollow(&self, tag: u64) -> bool {
        let following = self.shared.followed().get(&tag).cloned();
        let is_followed = following.is_some();
        following.into_iter().for_each(|following| following.cancel());
        self.wake();
        is_followed
    }

    /// Ends the requests with this tag that were submitted before and have no reply yet, each with its completion. What
    /// was sent for them is not taken back. Nothing comes of it for others, and for change feeds.
    ///
    /// # Errors
    /// It was not taken: as much as the window holds waits for the loop, or that is closed.
    pub fn cancel(&self, tag: u64) -> Result<(), Refusal> {
        self.send(Parcel::Cancel(tag), 0)
    }

    /// Hands a request to the loop and waits for its reply, which comes at its deadline at the latest.
    /// `None` if the node was stopped before the request began (nothing was done). What other threads
    /// submitted stays in the completion queue. Another thread must drive the loop.
    ///
    /// # Errors
    /// The request was not taken.
    pub fn call(&self, request: OwnedRequest) -> Result<Option<Reply>, Refusal> {
        let caller = Arc::new(Caller::default());
        self.send(Parcel::Request { request, to: Destination::Caller(Arc::clone(&caller)) }, 1)?;
        let reply = caller.wait();
        self.shared.window.leave(1);
        Ok(reply)
    }

    fn send(&self, parcel: Parcel, places: u64) -> Result<(), Refusal> {
        let shared = &*self.shared;
        let granted = shared.window.enter(places);
        if granted < places {
            shared.window.leave(granted);
            return Err(Refusal::Full);
        }
        shared.submitter.push(parcel.packed()).map_err(|refused| {
            shared.window.leave(places);
            match refused {
                queue::Refused::Full(_) => Refusal::Full,
                queue::Refused::Closed(_) => Refusal::Closed,
            }
        })
    }

    /// Hands up to `max` completions to `take`; returns how many. Never waits.
    ///
    /// # Errors
    /// Another thread is reaping.
    pub fn reap(&self, max: usize, mut take: impl FnMut(Completion)) -> Result<usize, Busy> {
        let mut reaper = match self.shared.reaper.try_lock() {
            Ok(reaper) => reaper,
            // Reaping moves values only; a panic in between leaves nothing half done.
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(Busy),
        };
        let (mut places, mut is_page_read) = (0, false);
        let count = reaper.reap(max, |parcel| {
            let Parcel::Completion(completion) = parcel.unpacked() else {
                unreachable!("the loop sends nothing else")
            };
            places += match completion.asked {
                Asked::Feed { is_last: true, .. } => {
                    self.shared.followed().remove(&completion.tag);
                    PLACES
                }
                Asked::Feed { .. } => {
                    self.shared.followed().get(&completion.tag).into_iter().for_each(|feed| feed.go_on());
                    is_page_read = true;
                    0
                }
                _ => 1,
            };
            take(completion);
        });
        self.shared.window.leave(places);
        if is_page_read {
            self.wake();
        }
        Ok(count)
    }

    /// Waits until there is a completion to reap, at most for `timeout` (`None` is for ever). Returns
    /// whether there may be one; without a descriptor false, at once.
    pub fn wait(&self, timeout: Option<Duration>) -> bool {
        self.completion_fd().is_some_and(|fd| sys::wait_readable(fd, timeout).unwrap_or(false))
    }

    /// Requests that were taken and whose completion was not reaped yet.
    pub fn in_flight(&self) -> u64 {
        self.shared.window.inside()
    }

    /// An eventfd that is readable exactly while [`Handle::reap`] would return something. Poll it, level
    /// triggered; never read it. Valid as long as any clone of the handle. `None` where the host moves all bytes: it
    /// does not sleep in the kernel for us, and reaping makes no system call.
    pub fn completion_fd(&self) -> Option<RawFd> {
        self.shared.level.0.as_ref().map(|level| level.fd())
    }

    /// A figure of the node's store, as of a second ago or, while nothing happens, of the last turn.
    pub fn figure(&self, figure: Figure) -> u64 {
        self.shared.figures.get(figure)
    }

    /// What the node knows, at the end of the loop's next turn, which another thread must drive. `None` if the loop has
    /// ended.
    pub fn insight(&self) -> Option<Arc<Insight>> {
        self.shared.asking.ask(|| self.wake())
    }

    /// Makes the loop turn once. May be called from a signal handler.
    pub fn wake(&self) {
        self.shared.submitter.wake();
    }

    /// Asks the loop to stop: it accepts nothing more, ends what is in flight within `grace`, syncs and
    /// marks the store clean. May be called from a signal handler; a second call may shorten the grace.
    pub fn stop(&self, grace: Duration) {
        let wanted = u64::try_from(grace.as_millis()).unwrap_or(u64::MAX - 1).saturating_add(1);
        let stop = &self.shared.stop;
        let _ = stop.fetch_update(Ordering::AcqRel, Ordering::Acquire, |now| {
            (now == 0 || wanted < now).then_some(wanted)
        });
        self.wake();
    }

    /// Plays a network that breaks: while it is on, the node hears nothing of other members and says nothing to
    /// them, as if every link to them were cut. Clients are served. For tests of what an application does then.
    pub fn isolate(&self, on: bool) {
        self.shared.isolated.store(on, Ordering::Release);
        self.wake();
    }

    /// Asks the loop to call its reload hook (a program's SIGHUP). May be called from a signal handler.
    pub fn reload(&self) {
        self.shared.reload.store(true, Ordering::Release);
        self.wake();
    }
}

/// The loop's side of its handles.
pub(super) struct Host {
    shared: Arc<Shared>,
    intake: Intake<Box<Parcel>, LoopWaker>,
    completer: Completer<Box<Parcel>, Level>,
    waiting: WaitingRoom,
    subscriptions: Subscriptions,
}

impl Host {
    /// The loop's side, for `window` requests at one time, with a descriptor to tell of completions or without.
    pub(super) fn new(window: usize, waker: LoopWaker, level: Option<EventFd>) -> Host {
        let capacity = window.clamp(1, WINDOW_MAX).next_power_of_two();
        let level = Level(level.map(Arc::new));
        let (submitter, intake) = queue::submissions(capacity, waker);
        let (completer, reaper) = queue::completions(capacity, level.clone());
        let shared = Arc::new(Shared {
            submitter,
            reaper: Mutex::new(reaper),
            window: Window::new(capacity as u64),
            level,
            stop: AtomicU64::new(0),
            reload: AtomicBool::new(false),
            isolated: Arc::default(),
            figures: Arc::default(),
            asking: Asking::default(),
            followed: Mutex::default(),
        });
        let (waiting, subscriptions) = (WaitingRoom::default(), Subscriptions::default());
        Host { shared, intake, completer, waiting, subscriptions }
    }

    pub(super) fn handle(&self) -> Handle {
        Handle { shared: Arc::clone(&self.shared) }
    }

    /// What the loop publishes to all handles.
    pub(super) fn figures(&self) -> Arc<Figures> {
        Arc::clone(&self.shared.figures)
    }

    /// Hands up to `budget` requests to the core; returns how many.
    pub(super) fn submit<S: Store>(&mut self, node: &mut Node<S>, now: Now, budget: usize) -> usize {
        let (waiting, subscriptions) = (&mut self.waiting, &mut self.subscriptions);
        let taken = self.intake.drain(budget, |parcel| {
            if let Parcel::Request { request, .. } = &*parcel {
                let at = waiting.next();
                node.handle_request(now, id_of(at), &request.as_request());
                waiting.put(at, Waiting::Sender(parcel));
                return;
            }
            match parcel.unpacked() {
                Parcel::Subscription(subscription) => subscriptions.add(*subscription),
                Parcel::Cancel(tag) => cancel(node, now, tag, waiting.senders()),
                _ => unreachable!("handles send nothing else"),
            }
        });
        while let Some(cancelled) = subscriptions.take_cancelled() {
            self.completer.push(Parcel::Completion(cancelled.end(true, None)).packed());
        }
        let last = Last::of(node);
        subscriptions.ask(last, budget, |at, subscription| {
            let number = waiting.next();
            node.handle_request(now, id_of(number), &subscription.request());
            waiting.put(number, Waiting::Feed(at));
        });
        taken
    }

    /// Whether requests wait.
    pub(super) fn has_requests(&self) -> bool {
        !self.intake.is_empty()
    }

    /// Whether requests wait, or somebody who follows a change feed.
    pub(super) fn has_work<S: Store>(&self, node: &Node<S>) -> bool {
        self.has_requests() || self.subscriptions.are_due(|| Last::of(node))
    }

    /// Queues the core's reply for the threads that reap.
    pub(super) fn complete(&mut self, id: RequestId, reply: Reply) {
        match self.waiting.take(id.0 as u32) {
            Waiting::Feed(at) => {
                let told = self.subscriptions.take(at, reply);
                told.into_iter().for_each(|page| self.completer.push(Parcel::Completion(page).packed()));
            }
            Waiting::Sender(parcel) => deliver(&mut self.completer, parcel, Some(reply)),
        }
    }

    /// Makes the completion descriptor readable, if there is something new.
    pub(super) fn announce(&mut self) {
        self.completer.announce();
    }

    /// Requests in the core.
    pub(super) fn in_flight(&self) -> usize {
        self.waiting.len()
    }

    /// Announces a sleep; false if requests wait.
    pub(super) fn prepare_sleep(&mut self) -> bool {
        self.intake.prepare_sleep()
    }

    pub(super) fn end_sleep(&mut self) {
        self.intake.end_sleep();
    }

    /// The grace of a requested stop.
    pub(super) fn stop_requested(&self) -> Option<Duration> {
        match self.shared.stop.load(Ordering::Acquire) {
            0 => None,
            wanted => Some(Duration::from_millis(wanted - 1)),
        }
    }

    /// Whether a reload was requested since the last call.
    pub(super) fn take_reload(&self) -> bool {
        // The load first: a turn must not write to a line that other threads read.
        self.shared.reload.load(Ordering::Relaxed) && self.shared.reload.swap(false, Ordering::AcqRel)
    }

    /// Up to which question an [`Insight`] is asked for, if one is.
    pub(super) fn take_asked(&self) -> Option<u64> {
        self.shared.asking.take_asked()
    }

    /// Gives it to those who asked.
    pub(super) fn tell(&self, up_to: u64, insight: Insight) {
        self.shared.asking.tell(up_to, insight);
    }

    /// Whether this node is to be cut off from all others.
    pub(super) fn is_isolated(&self) -> bool {
        self.shared.isolated.load(Ordering::Acquire)
    }

    /// What [`Handle::isolate`] sets.
    pub(super) fn isolation(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.shared.isolated)
    }

    /// Takes nothing more, and completes what was taken and not begun.
    pub(super) fn close(&mut self) {
        self.intake.close();
        let completer = &mut self.completer;
        self.subscriptions.end_all().for_each(|end| completer.push(Parcel::Completion(end).packed()));
        self.intake.drain_closed(|parcel| match &*parcel {
            Parcel::Request { .. } => deliver(completer, parcel, None),
            _ => {
                let Parcel::Subscription(subscription) = parcel.unpacked() else { return };
                completer.push(Parcel::Completion(subscription.end(false, None)).packed());
            }
        });
        self.completer.announce();
    }
}

impl Drop for Host {
    /// A loop that is dropped in the middle still completes what was accepted.
    fn drop(&mut self) {
        // In a forked child the descriptor is its parent's, and nobody there waits for us.
        if sys::was_forked() {
            return;
        }
        self.close();
        self.shared.asking.end();
        // Whoever follows a change feed has had its end.
        for parcel in self.waiting.drain() {
            let reply = Reply::bare(crate::proto::error::Outcome::Maybe);
            deliver(&mut self.completer, parcel, Some(reply));
        }
        self.completer.announce();
    }
}

/// Brings the end of a request to where it is waited for, on the parcel that it came in.
fn deliver(completer: &mut Completer<Box<Parcel>, Level>, mut parcel: Box<Parcel>, reply: Option<Reply>) {
    let Parcel::Request { to, .. } = &mut *parcel else { unreachable!("only requests end") };
    match core::mem::take(to) {
        Destination::Queue { tag, asked } => {
            *parcel = Parcel::Completion(Completion { tag, asked, reply });
            completer.push(parcel);
        }
        Destination::Caller(caller) => {
            parcel.unpacked();
            caller.answer(reply);
        }
        Destination::Nowhere => unreachable!("a request ends once"),
    }
}
