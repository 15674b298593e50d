//! What goes between the host's threads and the loop, in boxes that go round: a request's box waits in the loop until it
//! takes the completion back.
//!
//! The rings have thousands of places and are gone through from end to end. If they held requests and replies themselves,
//! each would lie where nothing has been touched for long, and push out of the caches what is needed next.

use std::sync::{Arc, Condvar, Mutex, PoisonError};

use super::handle::{Asked, Completion, OwnedRequest};
use super::subscriptions::Subscription;
use crate::proto::io::Reply;
use crate::proto::spare::Spare;

/// Boxes that a thread keeps.
const KEPT: usize = 512;

thread_local! {
    static BOXES: Spare<Box<Parcel>> = const { Spare::new() };
}

/// See the head of this file.
pub(super) enum Parcel {
    Empty,
    Request {
        request: OwnedRequest,
        to: Destination,
    },
    Subscription(Box<Subscription>),
    /// The tag of requests to be ended.
    Cancel(u64),
    Completion(Completion),
}

impl Parcel {
    /// In a box.
    pub(super) fn packed(self) -> Box<Parcel> {
        match BOXES.try_with(Spare::take).ok().flatten() {
            Some(mut parcel) => {
                *parcel = self;
                parcel
            }
            None => Box::new(self),
        }
    }

    /// Out of its box.
    pub(super) fn unpacked(mut self: Box<Parcel>) -> Parcel {
        let content = core::mem::replace(&mut *self, Parcel::Empty);
        let _ = BOXES.try_with(|spare| spare.keep(KEPT, self));
        content
    }
}

/// Where the end of a request goes.
#[derive(Default)]
pub(super) enum Destination {
    /// It has gone.
    #[default]
    Nowhere,
    /// Into the completion queue.
    Queue { tag: u64, asked: Asked },
    /// To the thread that waits in [`Handle::call`](super::handle::Handle::call).
    Caller(Arc<Caller>),
}

/// A thread that waits for one reply.
#[derive(Default)]
pub(super) struct Caller {
    answer: Mutex<Option<Option<Reply>>>,
    arrived: Condvar,
}

impl Caller {
    pub(super) fn answer(&self, reply: Option<Reply>) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = Some(reply);
        self.arrived.notify_one();
    }

    pub(super) fn wait(&self) -> Option<Reply> {
        let mut answer = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(reply) = answer.take() {
                return reply;
            }
            answer = self.arrived.wait(answer).unwrap_or_else(PoisonError::into_inner);
        }
    }
}
