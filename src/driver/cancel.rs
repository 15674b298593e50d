//! Ending requests that other threads have submitted, by their tags.
//!
//! A cancellation waits behind what was submitted before it, and takes no place in the window: the request that it ends
//! has its completion, and nothing else comes of it.

use super::handle::Asked;
use super::parcel::Destination;
use crate::proto::io::RequestId;
use crate::proto::node::Node;
use crate::proto::store::Store;
use crate::proto::time::Now;

/// Ends every request with this tag that has no reply yet, of those in flight; what it asked remembers that it was
/// cancelled.
pub(super) fn cancel<'d, S: Store>(
    node: &mut Node<S>,
    now: Now,
    tag: u64,
    in_flight: impl Iterator<Item = (RequestId, &'d mut Destination)>,
) {
    for (id, to) in in_flight {
        let Destination::Queue { tag: found, asked } = to else { continue };
        if *found == tag && node.cancel(now, id) {
            let was_asked = core::mem::replace(asked, Asked::Read);
            *asked = Asked::Cancelled(Box::new(was_asked));
        }
    }
}
