//! Requests that nobody waits for any more.

use super::boundary::{Site, with_node};
use super::node::quorate_node;
use super::requests::of_refusal;
use super::status::{OK, quorate_status};

/// Ends requests in flight before their deadline: each that was submitted with this tag before, and has no answer yet.
/// Its one completion comes all the same, as soon as the loop has turned. A write that was begun is not taken back:
/// it may have happened, and may still happen.
///
/// Arguments: node; tag: as it was submitted. Of a change feed, an order or a _sync call nothing comes of it: quorate_unwatch ends the
/// one, the other goes on.
/// Returns: OK, also if no request has the tag or it was answered before; E_NULL; E_OVERLOADED if as much waits for the
/// loop as the window holds: try again when it has turned; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
/// The completion says E_CANCELLED: with QUORATE_F_UNCERTAIN the write may have happened, and acked and dot say what is
/// known of it; without, nothing was written. Or it says how the request ended, if that was known before; of a read
/// that was only waiting for repairs the answer, with QUORATE_N_UNREPAIRED.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_cancel(node: *mut quorate_node, tag: u64) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::Cancel, node, |node| node.handle.cancel(tag).map(|()| OK).map_err(of_refusal)) }
}
