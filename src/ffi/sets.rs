//! Sets: elements that come and go.

use super::boundary::{Site, with_node};
use super::counters::request;
use super::node::quorate_node;
use super::plain::{quorate_bytes, quorate_call, quorate_completion};
use super::requests::{call_sync, submit};
use super::status::{E_ARG, E_LIMIT, E_NULL, quorate_status};
use crate::driver::OwnedOperation;
use crate::proto::limits;

/// The elements of a request, each copied.
///
/// # Safety
/// `members` is NULL or has `count` elements, each of which is NULL or points to as many bytes as it says.
unsafe fn members(members: *const quorate_bytes, count: usize) -> Result<Vec<Vec<u8>>, quorate_status> {
    if members.is_null() {
        return Err(E_NULL);
    }
    if count == 0 {
        return Err(E_ARG);
    }
    // More of them fit no request, whatever they are.
    if count > limits::VALUE_MAX {
        return Err(E_LIMIT);
    }
    let (mut copies, mut bytes) = (Vec::new(), 0_usize);
    for at in 0..count {
        // SAFETY: the caller's promise, for the array and for each of its elements.
        let member = unsafe { (*members.add(at)).as_slice()? };
        bytes = bytes.saturating_add(member.len());
        if bytes > limits::VALUE_MAX {
            return Err(E_LIMIT);
        }
        copies.push(member.to_vec());
    }
    Ok(copies)
}

/// Submits elements to be put into a set; an absent key is an empty one. What was put in stays until somebody who has
/// seen it removes it. A set has at most 10,000 elements; quorate_get shows each as a sibling of its own, of the
/// type QUORATE_TYPE_ELEMENT, in the order of their bytes.
///
/// Arguments: node; key; members: the elements; count: how many, at least 1; call: settings, or NULL, without a
/// ttl: the set keeps the one that it has; tag: comes back in the completion.
/// Returns: as quorate_put. So does the completion, with E_ARG if the set would grow too large and E_TYPE if the newest
/// value of the key is no set. Its count says how many were not there, as far as r replicas knew.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_set_add(
    node: *mut quorate_node,
    key: quorate_bytes,
    members: *const quorate_bytes,
    count: usize,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::SetAdd, node, |node| {
            let operation = || self::members(members, count).map(OwnedOperation::AddElements);
            submit(node, request(key, call, operation)?, tag)
        })
    }
}

/// Submits elements to be taken out of a set, as far as r replicas have them. What somebody else puts in meanwhile
/// stays. Without its last element the key is deleted.
///
/// Arguments: as quorate_set_add.
/// Returns: as quorate_set_add, and so does the completion. Its count says how many were there; if none was, nothing
/// is written, and dot stays zero.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_set_remove(
    node: *mut quorate_node,
    key: quorate_bytes,
    members: *const quorate_bytes,
    count: usize,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::SetRemove, node, |node| {
            let operation = || self::members(members, count).map(OwnedOperation::RemoveElements);
            submit(node, request(key, call, operation)?, tag)
        })
    }
}

/// Puts elements into a set and waits for the answer. As quorate_set_add.
///
/// Arguments: node; key; members; count; call: settings, or NULL; out: receives the completion, empty if the call is
/// refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_set_add; what quorate_set_add returns if it is refused; E_STATE
/// unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_set_add_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    members: *const quorate_bytes,
    count: usize,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        call_sync(Site::SetAddSync, node, out, size, || {
            request(key, call, || self::members(members, count).map(OwnedOperation::AddElements))
        })
    }
}

/// Takes elements out of a set and waits for the answer. As quorate_set_remove.
///
/// Arguments: as quorate_set_add_sync.
/// Returns: the status of the completion, as quorate_set_remove; what quorate_set_remove returns if it is refused;
/// E_STATE unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_set_remove_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    members: *const quorate_bytes,
    count: usize,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        call_sync(Site::SetRemoveSync, node, out, size, || {
            request(key, call, || self::members(members, count).map(OwnedOperation::RemoveElements))
        })
    }
}
