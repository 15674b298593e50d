//! Change feeds that other threads follow: the loop asks the core for the next page when something was stored, and
//! hands it over when the page before was reaped.
//!
//! At most one page of a subscription waits to be reaped, and nothing is gathered meanwhile: what changes stays in the
//! store's log, where the next page is read from. A follower that is too slow for what the store keeps has a gap and is
//! told of it. A subscription holds [`PLACES`] places in the window, for its page and for its end, so that both always
//! have room.

use core::sync::atomic::{AtomicBool, Ordering};
use std::sync::Arc;

use super::handle::{Asked, Completion, Feed};
use super::limits::SUBSCRIPTIONS_PER_TURN;
use crate::proto::error::Outcome;
use crate::proto::io::{Operation, Options, Reply, Request};
use crate::proto::node::Node;
use crate::proto::store::{Sequence, Store};

/// Places of a subscription in the window.
pub(super) const PLACES: u64 = 2;

/// What a subscription shares with the threads that reap and cancel.
#[derive(Debug, Default)]
pub(super) struct Following {
    /// A page waits to be reaped.
    is_queued: AtomicBool,
    is_cancelled: AtomicBool,
}

impl Following {
    /// Its page was reaped. The loop is to be woken then.
    pub(super) fn go_on(&self) {
        self.is_queued.store(false, Ordering::Release);
    }

    /// It is to end. The loop is to be woken then.
    pub(super) fn cancel(&self) {
        self.is_cancelled.store(true, Ordering::Release);
    }
}

/// How far a node has come: what may have to be told is new when this has changed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Last {
    change: Sequence,
    topology: u64,
}

impl Last {
    pub(super) fn of<S: Store>(node: &Node<S>) -> Last {
        Last { change: node.store().change_cursor().sequence, topology: node.topology().version() }
    }
}

/// A feed that is followed.
pub(super) struct Subscription {
    pub(super) tag: u64,
    pub(super) feed: Feed,
    /// How far the node had come when it was last asked; `None` asks at once.
    asked_to: Option<Last>,
    following: Arc<Following>,
}

impl Subscription {
    pub(super) fn new(tag: u64, feed: Feed, following: Arc<Following>) -> Subscription {
        Subscription { tag, feed, asked_to: None, following }
    }

    /// Whether there is something to do, now that the node has come so far.
    fn is_due(&self, last: Last) -> bool {
        let is_news = self.asked_to != Some(last) || self.following.is_cancelled.load(Ordering::Acquire);
        is_news && !self.following.is_queued.load(Ordering::Acquire)
    }

    /// What is asked of the core next.
    pub(super) fn request(&self) -> Request<'_> {
        let Feed { keyspace, partition, ref since, limit } = self.feed;
        let operation = Operation::Changes { partition, since: since.as_deref(), limit };
        Request { keyspace, key: b"", operation, options: Options::default() }
    }

    /// The last completion of it.
    pub(super) fn end(self, is_cancelled: bool, reply: Option<Reply>) -> Completion {
        Completion { tag: self.tag, asked: Asked::Feed { is_last: true, is_cancelled }, reply }
    }
}

/// All that are followed.
#[derive(Default)]
pub(super) struct Subscriptions {
    places: Vec<Option<Subscription>>,
    /// Where the next turn begins, so that all come to be asked.
    next: usize,
}

impl Subscriptions {
    pub(super) fn add(&mut self, subscription: Subscription) {
        match self.places.iter_mut().find(|place| place.is_none()) {
            Some(place) => *place = Some(subscription),
            None => self.places.push(Some(subscription)),
        }
    }

    /// Whether a turn would find something to do.
    pub(super) fn are_due(&self, last: impl FnOnce() -> Last) -> bool {
        if self.places.is_empty() {
            return false;
        }
        let last = last();
        self.places.iter().flatten().any(|subscription| subscription.is_due(last))
    }

    /// Takes out one that was cancelled, and whose page was reaped.
    pub(super) fn take_cancelled(&mut self) -> Option<Subscription> {
        let is_over = |subscription: &Subscription| {
            let Following { is_queued, is_cancelled } = &*subscription.following;
            is_cancelled.load(Ordering::Acquire) && !is_queued.load(Ordering::Acquire)
        };
        let place = self.places.iter_mut().find(|place| place.as_ref().is_some_and(is_over));
        place.and_then(Option::take)
    }

    /// Calls `ask` with some of those that are due, at most `budget`, and where they are.
    pub(super) fn ask(&mut self, last: Last, budget: usize, mut ask: impl FnMut(usize, &Subscription)) {
        let mut left = SUBSCRIPTIONS_PER_TURN.min(budget);
        for _ in 0..self.places.len() {
            let at = self.next % self.places.len();
            self.next = at + 1;
            let Some(subscription) = self.places[at].as_mut().filter(|place| place.is_due(last)) else {
                continue;
            };
            subscription.asked_to = Some(last);
            ask(at, subscription);
            left -= 1;
            if left == 0 {
                return;
            }
        }
    }

    /// Takes the core's answer to one; returns what is to be reaped, if there is anything to be told.
    pub(super) fn take(&mut self, at: usize, reply: Reply) -> Option<Completion> {
        let place = &mut self.places[at];
        let subscription = place.as_mut().expect("it is asked in its turn, and answered in that");
        let page = reply.changes.as_ref().filter(|_| reply.outcome == Outcome::Ok);
        let Some(page) = page else { return place.take().map(|place| place.end(false, Some(reply))) };
        subscription.feed.since = Some(page.next.clone());
        if page.has_more {
            subscription.asked_to = None;
        }
        if page.changed.is_empty() && !page.has_gap {
            return None;
        }
        subscription.following.is_queued.store(true, Ordering::Release);
        let asked = Asked::Feed { is_last: false, is_cancelled: false };
        Some(Completion { tag: subscription.tag, asked, reply: Some(reply) })
    }

    /// Ends all.
    pub(super) fn end_all(&mut self) -> impl Iterator<Item = Completion> + use<'_> {
        self.places.drain(..).flatten().map(|subscription| subscription.end(false, None))
    }
}
