//! Causal contexts in a program's hands: which of two reads saw more, and one context for what both saw.

use super::boundary::{Site, entry_or, with_node};
use super::node::quorate_node;
use super::plain::{keyspace_of, quorate_bytes, write_if};
use super::status::{AGAIN, Constant, E_CONTEXT, E_LIMIT, E_NULL, E_PANIC, OK, quorate_status};
use crate::proto::limits;
use crate::proto::version::{Causality, Context};

/// How contexts lie to each other, by numbers that are never changed and never used again.
const ORDERS: [(Causality, i32, &str, &str); 4] = [
    (
        Causality::Before,
        -1,
        "QUORATE_CONTEXT_BEFORE",
        "the second one saw all that the first one did, and more",
    ),
    (Causality::Equal, 0, "QUORATE_CONTEXT_EQUAL", "both saw the same"),
    (Causality::After, 1, "QUORATE_CONTEXT_AFTER", "the first one saw all that the second one did, and more"),
    (Causality::Concurrent, 2, "QUORATE_CONTEXT_CONCURRENT", "each saw a write that the other one did not"),
];

/// The same, for the header.
pub fn constants() -> Vec<Constant> {
    let constant = |(_, order, name, text)| Constant { name, value: i32::into(order), unsigned: false, text };
    ORDERS.into_iter().map(constant).collect()
}

fn order_of(causality: Causality) -> i32 {
    ORDERS.iter().find(|row| row.0 == causality).expect("every causality has a number").1
}

/// Says which of two reads of a key saw more, by the contexts that they gave; of a value that is kept beside the
/// store, whether it is older than what is read now. No bytes are the context of who saw nothing.
///
/// Arguments: one, other: contexts of the same key. Neither is proven to be genuine, or of one key: without a node
/// nobody can tell, and a write with it can; order: receives QUORATE_CONTEXT_..., of a failed call
/// that of contexts that are concurrent.
/// Returns: OK; E_NULL; E_CONTEXT for bytes that are no context; E_ARG for a length that cannot be; E_PANIC.
/// Thread class: A. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_context_compare(
    one: quorate_bytes,
    other: quorate_bytes,
    order: *mut i32,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(order, order_of(Causality::Concurrent)) };
    let compare = || {
        if order.is_null() {
            return Err(E_NULL);
        }
        let read = |token: quorate_bytes| {
            // SAFETY: the caller's bytes, by the contract of the function.
            match unsafe { token.as_slice()? } {
                [] => Ok(Context::default()),
                token => Context::from_unproven(token).map_err(|_| E_CONTEXT),
            }
        };
        let found = order_of(read(one)?.compare(&read(other)?));
        // SAFETY: not NULL, the caller's place for a number.
        unsafe { order.write(found) };
        Ok(OK)
    };
    entry_or(Site::ContextCompare, E_PANIC, || compare().unwrap_or_else(|status| status))
}

/// Makes one context of several of a key: a write with it replaces what any of them saw. For a program that has read
/// from two members, or twice, and writes once what it made of both. A number that only some of them read is not in it.
///
/// Arguments: node: any of the cluster; keyspace: 0 is the default one; key: of which they are; contexts, n: elements may be
/// without bytes; buffer, capacity: receive the context, len: its bytes; with a
/// capacity of 0 the buffer may be NULL.
/// Returns: OK; AGAIN if the buffer is too small, with len set and nothing written; E_NULL; E_ARG for a keyspace that
/// there is not; E_CONTEXT for one that is none, or not of this key and cluster; E_LIMIT if it would be longer than
/// 64 KiB; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: B. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_context_merge(
    node: *const quorate_node,
    keyspace: u32,
    key: quorate_bytes,
    contexts: *const quorate_bytes,
    n: usize,
    buffer: *mut u8,
    capacity: usize,
    len: *mut usize,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(len, 0) };
    let merge = |node: &quorate_node| {
        if len.is_null() || (buffer.is_null() && capacity > 0) || (contexts.is_null() && n > 0) {
            return Err(E_NULL);
        }
        let keyspace = keyspace_of(keyspace)?;
        // SAFETY: the caller's bytes, by the contract of the function.
        let key = unsafe { key.as_slice()? };
        let (mut merged, mut hid_siblings): (Option<Context>, _) = (None, false);
        for at in 0..n {
            // SAFETY: inside of the caller's array, and the bytes that it tells of.
            let token = unsafe { (*contexts.add(at)).as_slice()? };
            if token.is_empty() {
                continue;
            }
            let context =
                Context::from_token(token, &node.token_key, keyspace, key).map_err(|_| E_CONTEXT)?;
            hid_siblings |= Context::hid_siblings(token);
            match &mut merged {
                None => merged = Some(context),
                Some(merged) => merged.merge(&context),
            }
        }
        let Some(merged) = merged else { return Ok(OK) };
        let token = merged.token(&node.token_key, keyspace, key, hid_siblings);
        if token.len() > limits::CONTEXT_MAX {
            return Err(E_LIMIT);
        }
        // SAFETY: not NULL, the caller's place for a number.
        unsafe { len.write(token.len()) };
        if capacity < token.len() {
            return Ok(AGAIN);
        }
        // SAFETY: so many bytes of the caller's are there, and are none of ours.
        unsafe { core::ptr::copy_nonoverlapping(token.as_ptr(), buffer, token.len()) };
        Ok(OK)
    };
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::ContextMerge, node, merge) }
}
