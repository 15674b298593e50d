//! Ending a request whose client waits no more, before its deadline.
//!
//! It ends as if the deadline had come: what is known is told, and a write that was begun is *maybe*, as nothing that
//! others were sent can be taken back.

use super::{Origin, Phase, Turn};
use crate::proto::error::Outcome;
use crate::proto::io::{Reply, RequestId};
use crate::proto::store::Store;

impl<S: Store> Turn<'_, S> {
    /// Ends a request of a client of this node; false if it has been answered, or is not one of the coordinator's.
    pub fn cancel(&mut self, id: RequestId) -> bool {
        // What was answered goes on in the background under a number that may be another request's by now.
        let is_meant = |phase| !matches!(phase, Phase::Free | Phase::Background);
        let mut slots = self.coordinator.slots.iter();
        let found = slots.position(|slot| slot.origin == Origin::Client(id) && is_meant(slot.phase));
        found.into_iter().for_each(|index| match planted!("cancel_denies") {
            true => self.finish(index, Reply::bare(Outcome::Overloaded)),
            false => self.end(index),
        });
        found.is_some()
    }
}
