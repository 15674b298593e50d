//! Change feeds: what changes in the copies that a node holds, told as it happens.

use super::boundary::{Answer, Site, entry, with_any_node, with_node};
use super::node::quorate_node;
use super::plain::{keyspace_of, quorate_bytes, quorate_call, quorate_change, quorate_result, write_sized};
use super::requests::{of_refusal, read_call};
use super::status::{Constant, E_ARG, E_LIMIT, E_NULL, E_UNSUPPORTED, OK, quorate_status};
use crate::driver::Feed;
use crate::proto::limits;

/// Stands for all partitions that a node holds.
const PARTITION_ALL: u32 = u32::MAX;

/// What feeds are asked for with, for the header.
pub fn constants() -> Vec<Constant> {
    let text = "to quorate_watch: every partition of which the node holds a copy";
    vec![Constant::unsigned("QUORATE_PARTITION_ALL", PARTITION_ALL, text)]
}

/// Follows a feed out of its parts, each copied.
///
/// # Safety
/// Every pointer is NULL or points to as many bytes as its length or size says.
pub(super) unsafe fn follow(
    node: &quorate_node,
    partition: u64,
    place: quorate_bytes,
    limit: u64,
    call: *const quorate_call,
    tag: u64,
) -> Answer {
    // SAFETY: the caller's promise, for each.
    let (place, call) = unsafe { (place.as_slice()?, read_call(call)?) };
    if place.len() > limits::CONTEXT_MAX {
        return Err(E_LIMIT);
    }
    if call.ttl_ms.is_some() {
        return Err(E_UNSUPPORTED);
    }
    let keyspace = keyspace_of(call.keyspace.into())?;
    let partition = match u16::try_from(partition) {
        _ if partition == u64::from(PARTITION_ALL) => None,
        Ok(partition) => Some(partition),
        Err(_) => return Err(E_ARG),
    };
    let since = (!place.is_empty()).then(|| place.to_vec());
    let limit = limit.min(limits::CHANGES_PAGE_MAX.into()) as u32;
    let feed = Feed { keyspace, partition, since, limit };
    node.handle.follow(feed, tag).map(|()| OK).map_err(of_refusal)
}

/// Follows what changes in this node's copy of a partition, or in all that it holds. Every write that reaches the copy
/// is told at least once, as its key is when it is told, in the order of the last changes; what is told may be on this
/// replica alone so far. A value that expires is not told.
///
/// Completions with the tag come until the feed ends, each with QUORATE_N_MORE but the last one, which shows no change.
/// The context of each is the place behind what it shows: given to another quorate_watch on this node, also after a
/// restart, the feed goes on from there. QUORATE_N_GAP says that what changed before it cannot be told: the feed begins
/// now, the place was of another node, the copy was not held throughout, or the follower was away or slow for longer
/// than the log keeps what changed. What it missed a scan begun after it shows. Nothing is gathered for a follower that
/// does not reap: one completion waits for it, the next is read from the log when that was reaped.
///
/// Arguments: node; partition: a number, or QUORATE_PARTITION_ALL; place: empty to begin now, else the context of a
/// completion before; limit: keys of one completion, at most 1,000, 0 for 100; call: settings, of which the
/// keyspace counts, or NULL, without a ttl; tag: comes back in every completion, and is that of no other feed until the
/// last one was reaped.
/// Returns: OK, and completions follow; E_NULL; E_LIMIT; E_ARG for a number that is no partition's or keyspace's, or a
/// tag that a feed has; E_UNSUPPORTED; E_OVERLOADED if the window has not two places, which a feed takes until its last
/// completion was reaped; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
/// A completion says OK; quorate_result_change of its result shows each change. The last one says E_CANCELLED after
/// quorate_unwatch; E_ARG if there is no such partition, the node holds no copy of it (any more), or the place was not
/// given by this cluster for it; E_CLOSED or E_POISONED.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_watch(
    node: *mut quorate_node,
    partition: u32,
    place: quorate_bytes,
    limit: u32,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::Watch, node, |node| follow(node, partition.into(), place, limit.into(), call, tag))
    }
}

/// Ends a feed. What was told and not reaped stays, and one last completion follows once that is reaped.
///
/// Arguments: node; tag: of the feed.
/// Returns: OK; E_ARG if no feed has the tag, or its last completion was reaped; E_NULL; E_FORKED; E_PANIC.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_unwatch(node: *mut quorate_node, tag: u64) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_any_node(Site::Unwatch, node, |node| if node.handle.unfollow(tag) { Ok(OK) } else { Err(E_ARG) })
    }
}

/// One change that a completion of a feed shows, in their order.
///
/// Arguments: result: of the completion; index: from 0 on; out: receives the change, or zeroes; size:
/// sizeof(quorate_change).
/// Returns: OK; E_NULL; E_ARG if there is no such change, for the result of another request, or a size that cannot be;
/// E_FORKED; E_PANIC.
/// Thread class: E, on the result. Blocks: no. Owner: the result; key and siblings live until
/// quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_result_change(
    result: *const quorate_result,
    index: usize,
    out: *mut quorate_change,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function; a change is numbers and pointers, for which zero is a value.
    let cleared = unsafe { write_sized(out, size, &core::mem::zeroed()) };
    entry(Site::ResultChange, || {
        cleared?;
        // SAFETY: the contract of the function.
        let result = unsafe { result.as_ref() }.ok_or(E_NULL)?;
        let change = result.changes.get(index).ok_or(E_ARG)?;
        let siblings = &result.views[change.siblings.clone()];
        let shown = quorate_change {
            key: quorate_bytes::of(&change.key),
            siblings: if siblings.is_empty() { core::ptr::null() } else { siblings.as_ptr() },
            n_siblings: siblings.len() as u32,
            flags: 0,
            reserved: [0; 2],
        };
        // SAFETY: the contract of the function.
        unsafe { write_sized(out, size, &shown)? };
        Ok(OK)
    })
}
