//! Requests that nobody waits for any more.

use super::Node;
use crate::proto::io::RequestId;
use crate::proto::store::Store;
use crate::proto::time::Now;

impl<S: Store> Node<S> {
    /// Ends a client's request as its deadline would, now: its one reply follows, *maybe* of a write that was begun, as
    /// that is not taken back. False, and nothing is done, for what has been answered, and for orders to the cluster and
    /// change feeds.
    pub fn cancel(&mut self, now: Now, id: RequestId) -> bool {
        self.turn(now).cancel(id)
    }
}
