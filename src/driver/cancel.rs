//! Ending requests that other threads have submitted, by their tags.
//!
//! A cancellation waits behind what was submitted before it, and takes no place in the window: the request that it ends
//! has its completion, and nothing else comes of it.

use super::handle::{Asked, Destination};
use crate::proto::io::RequestId;
use crate::proto::node::Node;
use crate::proto::store::Store;
use crate::proto::time::Now;

/// Ends every request with this tag that has no reply yet; what it asked remembers that it was cancelled. `id` is that of
/// the request whose end goes to a place.
pub(super) fn cancel<S: Store>(
    node: &mut Node<S>,
    now: Now,
    tag: u64,
    destinations: &mut [Option<Destination>],
    id: impl Fn(usize) -> RequestId,
) {
    for (at, to) in destinations.iter_mut().enumerate() {
        let Some(Destination::Queue { tag: found, asked }) = to else { continue };
        if *found == tag && node.cancel(now, id(at)) {
            let was_asked = core::mem::replace(asked, Asked::Read);
            *asked = Asked::Cancelled(Box::new(was_asked));
        }
    }
}
