//! Counters: increments, and numbers that are put where others were read.

use super::boundary::{Site, with_node};
use super::node::quorate_node;
use super::plain::{quorate_bytes, quorate_call, quorate_completion};
use super::requests::{call_sync, read_call, submit};
use super::status::{E_LIMIT, E_UNSUPPORTED, quorate_status};
use crate::driver::{OwnedOperation, OwnedRequest};
use crate::proto::limits;

/// A request out of its parts, each copied. It takes no expiry: what is changed keeps the one it has.
///
/// # Safety
/// Every pointer is NULL or points to as many bytes as its length or size says.
pub(super) unsafe fn request(
    key: quorate_bytes,
    call: *const quorate_call,
    operation: impl FnOnce() -> Result<OwnedOperation, quorate_status>,
) -> Result<OwnedRequest, quorate_status> {
    // SAFETY: the caller's promise, for each.
    let (key, call) = unsafe { (key.as_slice()?, read_call(call)?) };
    if key.len() > limits::KEY_MAX {
        return Err(E_LIMIT);
    }
    if call.ttl_ms.is_some() {
        return Err(E_UNSUPPORTED);
    }
    Ok(OwnedRequest {
        keyspace: call.keyspace,
        key: key.into(),
        operation: operation()?,
        options: call.options,
    })
}

fn add(by: i64, id: u64) -> Result<OwnedOperation, quorate_status> {
    Ok(OwnedOperation::Add { by, id: (id > 0).then_some(id) })
}

/// The number with the token of the read that it takes the place of.
///
/// # Safety
/// The context is NULL or points to as many bytes as its length says.
unsafe fn number(number: i64, context: quorate_bytes) -> Result<OwnedOperation, quorate_status> {
    // SAFETY: the caller's promise.
    let context = unsafe { context.as_slice()? };
    if context.len() > limits::CONTEXT_MAX {
        return Err(E_LIMIT);
    }
    Ok(OwnedOperation::PutNumber { number, context: context.to_vec() })
}

/// Submits an increment of a number; an absent key is 0. Increments that know nothing of each other all count, and
/// one replica is enough for it (w = 1).
///
/// Arguments: node; key; by: what is added; id: 0, or a number that names the increment: asked for again with it, the
/// same replica answers as before and counts once, whatever by is then, as long as it runs and remembers (4,096 of
/// them); call: settings, or NULL, without a ttl; tag: comes back in the completion.
/// Returns: as quorate_put. So does the completion, with E_ARG if the value is no number or the sum would leave 64
/// bits, and E_TYPE if it is a set. Its one sibling is the value after it as the replica that counted has it, in decimal.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_add(
    node: *mut quorate_node,
    key: quorate_bytes,
    by: i64,
    id: u64,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::Add, node, |node| submit(node, request(key, call, || add(by, id))?, tag)) }
}

/// Submits a number that takes the place of the one that was read: what is added is the difference, so two who read
/// 10 and put 8 and 7 leave 5. Only the replica that the context names carries it out, once; where that is gone
/// or remembers no more, the completion says E_MAYBE and nothing is written. A context is good for one number: given again,
/// also with another number, the completion is that of the first, and its sibling the number that it made. Who wants
/// another number reads again.
///
/// Arguments: node; key; number; context: from a read of this key that showed one number; call: settings, or
/// NULL, without a ttl; tag: comes back in the completion.
/// Returns: as quorate_add, and so does the completion, with E_CONTEXT if the context names no number.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_put_number(
    node: *mut quorate_node,
    key: quorate_bytes,
    number: i64,
    context: quorate_bytes,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::PutNumber, node, |node| {
            submit(node, request(key, call, || self::number(number, context))?, tag)
        })
    }
}

/// Adds and waits for the answer. As quorate_add.
///
/// Arguments: node; key; by; id: or 0; call: settings, or NULL; out: receives the completion, empty if the call is
/// refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_add; what quorate_add returns if it is refused; E_STATE
/// unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_add_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    by: i64,
    id: u64,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { call_sync(Site::AddSync, node, out, size, || request(key, call, || add(by, id))) }
}

/// Puts a number where another was read and waits for the answer. As quorate_put_number.
///
/// Arguments: node; key; number; context; call: settings, or NULL; out: receives the completion, empty if the call
/// is refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_put_number; what that returns if it is refused; E_STATE
/// unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_put_number_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    number: i64,
    context: quorate_bytes,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        call_sync(Site::PutNumberSync, node, out, size, || {
            request(key, call, || self::number(number, context))
        })
    }
}
