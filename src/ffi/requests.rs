//! Requests: the same in every mode. A request that was accepted has exactly one completion; one that
//! was refused has none.

use core::ffi::c_int;
use core::time::Duration;

use super::boundary::{Answer, Site, entry_or, with_any_node, with_node};
use super::completion::{EMPTY, check_completion_size, completion, give_up, write_completion};
use super::node::{quorate_node, refuses};
use super::plain::{quorate_bytes, quorate_call, quorate_completion, quorate_op, read_sized, write_if};
use super::status::{
    AGAIN, Constant, E_ARG, E_BUSY, E_CLOSED, E_LIMIT, E_NULL, E_OVERLOADED, E_POISONED, E_STATE,
    E_UNSUPPORTED, OK, quorate_status,
};
use super::{feed, scan};
use crate::driver::{Completion, OwnedOperation, OwnedRequest, Refusal};
use crate::proto::io::{Blind, Options, View};
use crate::proto::limits;

pub(super) const OP_GET: u32 = 1;
pub(super) const OP_PUT: u32 = 2;
const OP_DELETE: u32 = 3;
pub(super) const OP_CLUSTER: u32 = 4;
pub(super) const OP_SCAN: u32 = 5;
pub(super) const OP_WATCH: u32 = 6;
const OP_BORROW: u32 = 0x1;
const NONE: u16 = 0xffff;
const CALL_SLOPPY: u32 = 0x1;
const CALL_NO_CONTEXT: u32 = 0x2;
pub(super) const NEWS_HIDDEN: u32 = 0x100;
pub(super) const NEWS_UNREPAIRED: u32 = 0x200;
pub(super) const NEWS_WEAK: u32 = 0x400;
pub(super) const NEWS_MERGED: u32 = 0x800;
pub(super) const NEWS_GAP: u32 = 0x1000;
pub(super) const NEWS_MORE: u32 = 0x2000;
pub(super) const NEWS_LAYOUT: u32 = 0x4000;

/// What requests and completions are made of, for the header.
pub fn constants() -> Vec<Constant> {
    let constant = Constant::unsigned::<u32>;
    vec![
        constant("QUORATE_OP_GET", OP_GET, "read"),
        constant("QUORATE_OP_PUT", OP_PUT, "write a value"),
        constant("QUORATE_OP_DELETE", OP_DELETE, "write a tombstone"),
        constant("QUORATE_OP_CLUSTER", OP_CLUSTER, "in a completion: an order to the cluster, answered"),
        constant("QUORATE_OP_SCAN", OP_SCAN, "show a page of keys"),
        constant("QUORATE_OP_WATCH", OP_WATCH, "follow what changes"),
        constant("QUORATE_OP_BORROW", OP_BORROW, "key, value and context stay until the completion"),
        constant("QUORATE_NONE", NONE.into(), "in pr, pw, dw: explicitly none"),
        constant("QUORATE_VIEW_ALL", 0, "every sibling"),
        constant("QUORATE_VIEW_LATEST", 1, "the newest of those that no other supersedes"),
        constant("QUORATE_VIEW_MAJORITY", 2, "the version that a majority of the replicas holds"),
        constant("QUORATE_VIEW_MAX", 3, "the greatest of whole numbers"),
        constant("QUORATE_VIEW_MIN", 4, "the least of whole numbers"),
        constant("QUORATE_VIEW_SUM", 5, "the sum of whole numbers; to be shown, not to be written back"),
        constant("QUORATE_VIEW_SET_UNION", 6, "the lines of all, sorted, each once"),
        constant("QUORATE_VIEW_CONCAT", 7, "one behind the other, the oldest first"),
        constant(
            "QUORATE_VIEW_HOST",
            16,
            "and the number of a function of quorate_merge_register: what it makes of them",
        ),
        constant("QUORATE_BLIND_SIBLINGS", 0, "without a context nothing is superseded"),
        constant("QUORATE_BLIND_SUPERSEDE", 1, "without a context it replaces what its coordinator holds"),
        constant(
            "QUORATE_BLIND_REFUSE",
            2,
            "E_CHANGED if its coordinator holds what the context does not cover",
        ),
        constant("QUORATE_CALL_SLOPPY", CALL_SLOPPY, "fallbacks may stand in for replicas that are down"),
        constant("QUORATE_CALL_NO_CONTEXT", CALL_NO_CONTEXT, "the completion needs no context"),
        constant("QUORATE_TYPE_BYTES", 0, "a plain value"),
        constant("QUORATE_TYPE_COUNTER", 1, "a number in decimal, to which something was counted"),
        constant("QUORATE_TYPE_ELEMENT", 2, "an element of a set; each is a sibling of its own"),
        constant("QUORATE_N_HIDDEN", NEWS_HIDDEN, "the view left siblings out"),
        constant("QUORATE_N_UNREPAIRED", NEWS_UNREPAIRED, "read repair could not finish in time"),
        constant("QUORATE_N_WEAK", NEWS_WEAK, "R + W <= N: it may be older than an acknowledged write"),
        constant("QUORATE_N_MERGED", NEWS_MERGED, "the one sibling was made of several by the view"),
        constant("QUORATE_N_GAP", NEWS_GAP, "of a feed: what changed before it cannot be told; scan"),
        constant("QUORATE_N_MORE", NEWS_MORE, "of a feed: further completions of this tag follow"),
        constant("QUORATE_N_LAYOUT", NEWS_LAYOUT, "of a scan: partitions moved since the page before"),
    ]
}

/// Settings as read from a `quorate_call`.
pub(super) struct Call {
    pub(super) keyspace: u16,
    pub(super) options: Options,
    blind: Blind,
    pub(super) ttl_ms: Option<u64>,
}

/// A count of replicas: 0 is the default, [`NONE`] is none.
fn count(value: u16) -> Result<Option<u8>, quorate_status> {
    match value {
        0 => Ok(None),
        NONE => Ok(Some(0)),
        value => u8::try_from(value).map(Some).map_err(|_| E_ARG),
    }
}

/// Reads the settings of a request.
///
/// # Safety
/// `call` is NULL or points to as many bytes as its `struct_size` says.
pub(super) unsafe fn read_call(call: *const quorate_call) -> Result<Call, quorate_status> {
    let mut options = Options { want_context: true, ..Options::default() };
    if call.is_null() {
        return Ok(Call { keyspace: 0, options, blind: Blind::Siblings, ttl_ms: None });
    }
    // SAFETY: not NULL; the first member is the size, and the caller's promise covers that many bytes.
    let call = unsafe { read_sized(call, (*call).struct_size as usize) }?;
    if call.reserved != [0; 2] || call.flags & !(CALL_SLOPPY | CALL_NO_CONTEXT) != 0 {
        return Err(E_UNSUPPORTED);
    }
    options.r = count(call.r)?;
    options.w = count(call.w)?;
    options.pr = count(call.pr)?;
    options.pw = count(call.pw)?;
    options.dw = count(call.dw)?;
    options.sloppy = call.flags & CALL_SLOPPY != 0;
    options.want_context = call.flags & CALL_NO_CONTEXT == 0;
    options.view = u8::try_from(call.view).ok().and_then(View::from_code).ok_or(E_UNSUPPORTED)?;
    let blind = match call.blind {
        0 => Blind::Siblings,
        1 => Blind::Supersede,
        2 => Blind::Refuse,
        _ => return Err(E_UNSUPPORTED),
    };
    options.timeout = (call.timeout_ns > 0).then(|| Duration::from_nanos(call.timeout_ns));
    let ttl_ms = (call.ttl_ms > 0).then_some(call.ttl_ms);
    Ok(Call { keyspace: call.keyspace, options, blind, ttl_ms })
}

/// Makes of the time that is left to a value the point at which it ends, by the node's wall clock.
fn end_ttl(node: &quorate_node, request: &mut OwnedRequest) {
    if let OwnedOperation::Put { expires_ms: Some(left), .. } = &mut request.operation {
        *left = left.saturating_add(node.wall_ms());
    }
}

/// A request out of its parts, each copied; the expiry of a put is the time that is left until then, for [`end_ttl`].
///
/// # Safety
/// Every pointer is NULL or points to as many bytes as its length or size says.
unsafe fn request(
    kind: u32,
    key: quorate_bytes,
    value: quorate_bytes,
    context: quorate_bytes,
    call: *const quorate_call,
) -> Result<OwnedRequest, quorate_status> {
    // SAFETY: the caller's promise, for each.
    let (key, value, context, call) =
        unsafe { (key.as_slice()?, value.as_slice()?, context.as_slice()?, read_call(call)?) };
    if key.len() > limits::KEY_MAX || value.len() > limits::VALUE_MAX || context.len() > limits::CONTEXT_MAX {
        return Err(E_LIMIT);
    }
    let context = (!context.is_empty()).then(|| context.into());
    let operation = match kind {
        OP_GET if value.is_empty() && context.is_none() => OwnedOperation::Get,
        OP_PUT => {
            OwnedOperation::Put { value: value.into(), context, blind: call.blind, expires_ms: call.ttl_ms }
        }
        OP_DELETE if value.is_empty() => OwnedOperation::Delete { context, blind: call.blind },
        OP_GET | OP_DELETE => return Err(E_ARG),
        _ => return Err(E_UNSUPPORTED),
    };
    Ok(OwnedRequest { keyspace: call.keyspace, key: key.into(), operation, options: call.options })
}

pub(super) fn of_refusal(refusal: Refusal) -> quorate_status {
    match refusal {
        Refusal::Full => E_OVERLOADED,
        Refusal::Closed => E_CLOSED,
        Refusal::Taken => E_ARG,
    }
}

pub(super) fn submit(node: &quorate_node, mut request: OwnedRequest, tag: u64) -> Answer {
    end_ttl(node, &mut request);
    node.handle.submit(request, tag).map(|()| OK).map_err(of_refusal)
}

/// Submits a read.
///
/// Arguments: node; key; call: settings, or NULL; tag: comes back in the completion.
/// Returns: OK, and one completion follows; E_NULL; E_ARG; E_LIMIT; E_UNSUPPORTED for settings this
/// library does not know; E_OVERLOADED if the window is full; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
/// The completion says OK, E_NOTFOUND, E_ARG, E_QUORUM, E_TIMEOUT, E_OVERLOADED, E_LAYOUT, E_MAJORITY,
/// E_INCOMPLETE, E_CANCELLED after quorate_cancel, E_CLOSED or E_POISONED.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_get(
    node: *mut quorate_node,
    key: quorate_bytes,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    let none = quorate_bytes::EMPTY;
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::Get, node, |node| submit(node, request(OP_GET, key, none, none, call)?, tag)) }
}

/// Submits a write. With a context it replaces what that covers; without one the value becomes a sibling
/// (QUORATE_BLIND_SIBLINGS) unless the settings say otherwise.
///
/// Arguments: node; key; value; context: from a read of this key, or empty; call: settings, or NULL; tag:
/// comes back in the completion.
/// Returns: OK, and one completion follows; E_NULL; E_ARG; E_LIMIT; E_UNSUPPORTED; E_OVERLOADED if the
/// window is full; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
/// The completion says OK, E_ARG, E_QUORUM, E_PARTIAL, E_MAYBE, E_OVERLOADED, E_LAYOUT, E_SIBLINGS, E_CHANGED,
/// E_CONTEXT, E_CLOCK, E_FULL, E_READONLY, E_INCOMPLETE, E_TIMEOUT (of one that has to read first: nothing was
/// written), E_CANCELLED after quorate_cancel, E_CLOSED or E_POISONED.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_put(
    node: *mut quorate_node,
    key: quorate_bytes,
    value: quorate_bytes,
    context: quorate_bytes,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::Put, node, |node| submit(node, request(OP_PUT, key, value, context, call)?, tag))
    }
}

/// Submits a delete: a tombstone that covers what the context does.
///
/// Arguments: node; key; context: from a read of this key, or empty; call: settings, or NULL; tag: comes
/// back in the completion.
/// Returns: as quorate_put, and so does the completion.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_delete(
    node: *mut quorate_node,
    key: quorate_bytes,
    context: quorate_bytes,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    let none = quorate_bytes::EMPTY;
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::Delete, node, |node| submit(node, request(OP_DELETE, key, none, context, call)?, tag))
    }
}

/// Submits one request of a batch.
///
/// # Safety
/// Every pointer is NULL or points to as many bytes as its length or size says.
unsafe fn submit_op(node: &quorate_node, op: &quorate_op) -> Answer {
    if op.flags & !OP_BORROW != 0 || op.kind != OP_WATCH && op.number != 0 {
        return Err(E_UNSUPPORTED);
    }
    // SAFETY: the caller's promise.
    unsafe {
        match op.kind {
            OP_SCAN => submit(node, scan::request(op.context, op.key, op.value, op.limit, op.call)?, op.tag),
            OP_WATCH if op.key.len > 0 || op.value.len > 0 => Err(E_ARG),
            OP_WATCH => feed::follow(node, op.number, op.context, op.limit, op.call, op.tag),
            _ if op.limit != 0 => Err(E_UNSUPPORTED),
            _ => submit(node, request(op.kind, op.key, op.value, op.context, op.call)?, op.tag),
        }
    }
}

/// Submits a batch, in order, up to the first that is refused.
///
/// Arguments: node; ops; op_size: sizeof(quorate_op); n: how many; accepted: receives how many were
/// accepted, each of which has one completion, a feed as quorate_watch says.
/// Returns: OK if all were accepted; else the status of the first that was not, as the function for its kind says; E_ARG
/// also for a size of ops that cannot be.
/// Thread class: B. Blocks: no. Owner: everything is copied, with or without QUORATE_OP_BORROW. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_submit(
    node: *mut quorate_node,
    ops: *const quorate_op,
    op_size: usize,
    n: usize,
    accepted: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(accepted, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::Submit, node, |node| {
            if accepted.is_null() || (ops.is_null() && n > 0) {
                return Err(E_NULL);
            }
            if n > 0 && !op_size.is_multiple_of(align_of::<quorate_op>()) {
                return Err(E_ARG);
            }
            for index in 0..n {
                let op: quorate_op = read_sized(ops.byte_add(index * op_size), op_size)?;
                submit_op(node, &op)?;
                accepted.write(index + 1);
            }
            Ok(OK)
        })
    }
}

/// Takes completions.
///
/// Arguments: node; array; size: sizeof(quorate_completion); capacity: elements of the array; n: receives
/// how many were written.
/// Returns: OK if n > 0; AGAIN if there is none now; E_NULL; E_ARG for a size that cannot be and a capacity of 0; E_BUSY if another
/// thread reaps;
/// E_POISONED if there is none and there will be none; E_FORKED; E_PANIC.
/// Thread class: C. Blocks: no. Owner: the caller, who gives the array to quorate_completions_clear.
/// Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_reap(
    node: *mut quorate_node,
    array: *mut quorate_completion,
    size: usize,
    capacity: usize,
    n: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(n, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_any_node(Site::Reap, node, |node| {
            if array.is_null() || n.is_null() {
                return Err(E_NULL);
            }
            check_completion_size(size)?;
            if capacity == 0 {
                return Err(E_ARG);
            }
            if node.is_poisoned() {
                node.give_up_loop();
            }
            let mut taken = 0;
            let write = |end: Completion| {
                let value = completion(node, end.tag, &end.asked, end.reply);
                write_completion(array, size, taken, value);
                taken += 1;
                n.write(taken);
            };
            if node.handle.reap(capacity, write).map_err(|_| E_BUSY)? > 0 {
                return Ok(OK);
            }
            let is_over = node.is_poisoned() && node.handle.in_flight() == 0;
            if is_over { Err(E_POISONED) } else { Ok(AGAIN) }
        })
    }
}

/// Frees what completions own and empties them, so that a second call does nothing.
///
/// Arguments: array: may be NULL; size: sizeof(quorate_completion); n: elements.
/// Returns: nothing. A size that cannot be is ignored, as is everything then.
/// Thread class: E, on the array. Blocks: no. Owner: the array stays the caller's. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_completions_clear(array: *mut quorate_completion, size: usize, n: usize) {
    if array.is_null() || check_completion_size(size).is_err() {
        return;
    }
    entry_or(Site::CompletionsClear, (), || {
        for index in 0..n {
            // SAFETY: an element of the caller's array.
            let element = unsafe { &mut *array.byte_add(index * size) };
            let result = core::mem::replace(element, EMPTY).result;
            if !result.is_null() {
                // SAFETY: made by Box::into_raw in `completion`, and not freed: clearing empties it.
                give_up(unsafe { Box::from_raw(result) });
            }
        }
    });
}

/// A descriptor that is readable while quorate_reap would return something. Poll it level triggered;
/// never read it; the library does.
///
/// Arguments: node.
/// Returns: the descriptor, the same for the node's life; E_NULL, E_FORKED, or E_STATE in mode packet, which
/// has none, all below 0.
/// Thread class: B. Blocks: no. Owner: the library. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_completion_fd(node: *const quorate_node) -> c_int {
    // SAFETY: NULL or a live node, by the contract of the function.
    let node = unsafe { node.as_ref() };
    if let Some(status) = refuses(node) {
        return status;
    }
    entry_or(Site::CompletionFd, super::status::E_PANIC, || {
        node.map_or(E_NULL, |node| node.handle.completion_fd().unwrap_or(E_STATE))
    })
}

/// Waits until there is a completion.
///
/// Arguments: node; timeout_ns: UINT64_MAX for ever. Nothing but a completion and the time ends it, also not
/// quorate_node_wake or quorate_node_stop: a thread that is to end waits for a time.
/// Returns: OK if there may be one; AGAIN if the time is over; E_NULL; E_STATE in modes host and packet;
/// E_FORKED; E_PANIC.
/// Thread class: B. Blocks: yes. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_wait(node: *mut quorate_node, timeout_ns: u64) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_any_node(Site::Wait, node, |node| {
            if node.is_host_driven() {
                return Err(E_STATE);
            }
            let timeout = (timeout_ns < u64::MAX).then(|| Duration::from_nanos(timeout_ns));
            Ok(if node.handle.wait(timeout) { OK } else { AGAIN })
        })
    }
}

/// The sync calls: submit, wait, one completion.
///
/// # Safety
/// The contract of the exported functions.
pub(super) unsafe fn call_sync(
    site: Site,
    node: *mut quorate_node,
    out: *mut quorate_completion,
    size: usize,
    request: impl FnOnce() -> Result<OwnedRequest, quorate_status>,
) -> quorate_status {
    let writable = !out.is_null() && check_completion_size(size).is_ok();
    if writable {
        // SAFETY: not NULL and of a size that was checked.
        unsafe { write_completion(out, size, 0, EMPTY) };
    }
    // SAFETY: the caller's promise.
    unsafe {
        with_node(site, node, |node| {
            if out.is_null() {
                return Err(E_NULL);
            }
            check_completion_size(size)?;
            if node.is_host_driven() || !node.is_running() {
                return Err(E_STATE);
            }
            let mut request = request()?;
            end_ttl(node, &mut request);
            let asked = request.asked();
            let reply = node.handle.call(request).map_err(of_refusal)?;
            let value = completion(node, 0, &asked, reply);
            write_completion(out, size, 0, value);
            Ok(value.status)
        })
    }
}

/// Reads and waits for the answer.
///
/// Arguments: node; key; call: settings, or NULL; out: receives the completion, empty if the call is
/// refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_get; what quorate_get returns if it is refused;
/// E_STATE unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_get_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    let none = quorate_bytes::EMPTY;
    // SAFETY: the contract of the function.
    unsafe { call_sync(Site::GetSync, node, out, size, || request(OP_GET, key, none, none, call)) }
}

/// Writes and waits for the answer. As quorate_put.
///
/// Arguments: node; key; value; context: or empty; call: settings, or NULL; out: receives the completion,
/// empty if the call is refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_put; what quorate_put returns if it is refused;
/// E_STATE unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_put_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    value: quorate_bytes,
    context: quorate_bytes,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { call_sync(Site::PutSync, node, out, size, || request(OP_PUT, key, value, context, call)) }
}

/// Deletes and waits for the answer. As quorate_delete.
///
/// Arguments: node; key; context: or empty; call: settings, or NULL; out: receives the completion, empty
/// if the call is refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_put; what quorate_put returns if it is refused;
/// E_STATE unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_delete_sync(
    node: *mut quorate_node,
    key: quorate_bytes,
    context: quorate_bytes,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    let none = quorate_bytes::EMPTY;
    // SAFETY: the contract of the function.
    unsafe { call_sync(Site::DeleteSync, node, out, size, || request(OP_DELETE, key, none, context, call)) }
}
