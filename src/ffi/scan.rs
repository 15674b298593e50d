//! Scans: all keys of a keyspace, page by page.

use super::boundary::{Site, entry, with_node};
use super::node::quorate_node;
use super::plain::{quorate_bytes, quorate_call, quorate_completion, quorate_result, write_if};
use super::requests::{call_sync, read_call, submit};
use super::status::{E_ARG, E_CONTEXT, E_LIMIT, E_NULL, E_UNSUPPORTED, OK, quorate_status};
use crate::driver::{OwnedOperation, OwnedRequest, PageAsked};
use crate::proto::buffer::Buffer;
use crate::proto::glob::Selection;
use crate::proto::limits;
use crate::proto::page_token::PageToken;

/// A request out of its parts, each copied.
///
/// # Safety
/// Every pointer is NULL or points to as many bytes as its length or size says.
pub(super) unsafe fn request(
    token: quorate_bytes,
    prefix: quorate_bytes,
    pattern: quorate_bytes,
    limit: u64,
    call: *const quorate_call,
) -> Result<OwnedRequest, quorate_status> {
    // SAFETY: the caller's promise, for each.
    let (token, prefix, pattern, call) =
        unsafe { (token.as_slice()?, prefix.as_slice()?, pattern.as_slice()?, read_call(call)?) };
    if prefix.len() > limits::KEY_MAX || pattern.len() > limits::PATTERN_MAX {
        return Err(E_LIMIT);
    }
    if call.options.sloppy || call.ttl_ms.is_some() {
        return Err(E_UNSUPPORTED);
    }
    let token = match token {
        [] => None,
        bytes => {
            let token = PageToken::read(bytes).filter(|token| token.keyspace == call.keyspace);
            Some(token.ok_or(E_CONTEXT)?)
        }
    };
    let pattern = (!pattern.is_empty()).then(|| pattern.to_vec());
    let selection = Selection { prefix: prefix.to_vec(), pattern };
    let page = Box::new(PageAsked { keyspace: call.keyspace, token, selection });
    let limit = limit.min(limits::SCAN_PAGE_MAX.into()) as u32;
    let operation = OwnedOperation::Scan { limit, page };
    Ok(OwnedRequest { keyspace: call.keyspace, key: Buffer::default(), operation, options: call.options })
}

/// Submits a page of a scan through all keys of a keyspace that have a value, as r replicas hold them. A key that is
/// there throughout is shown once; what comes or goes meanwhile may be shown or not. Nothing is kept between pages, and
/// any node gives the next one.
///
/// Arguments: node; token: empty to begin, else the context of the page before; prefix: how keys begin, or empty;
/// pattern: which of these are shown, as Redis has patterns (* ? [a-z] [^a] and a backslash), at most 1,024 bytes, or
/// empty for all; limit: about how many keys are looked at for the page, at most 1,024, 0 for 10; call: settings, or
/// NULL, without a ttl, not sloppy; tag: comes back in the completion.
/// Returns: OK, and one completion follows; E_NULL; E_ARG; E_LIMIT; E_CONTEXT for a token that is none, or of another
/// keyspace; E_UNSUPPORTED; E_OVERLOADED if the window is full; E_CLOSED; E_FORKED; E_POISONED; E_PANIC.
/// The completion says OK: quorate_result_keys of its result shows the keys, which may be none before the end, and its
/// context is the token of the next page, empty if this was the last. QUORATE_N_LAYOUT says that partitions moved
/// since the page before. Else E_ARG, also for a pattern that takes too many steps; E_QUORUM, E_TIMEOUT, E_OVERLOADED,
/// E_LAYOUT, E_INCOMPLETE, E_CANCELLED, E_CLOSED or E_POISONED: the same token may be used again.
/// Thread class: B. Blocks: no. Owner: everything is copied. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_scan(
    node: *mut quorate_node,
    token: quorate_bytes,
    prefix: quorate_bytes,
    pattern: quorate_bytes,
    limit: u32,
    call: *const quorate_call,
    tag: u64,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::Scan, node, |node| {
            submit(node, request(token, prefix, pattern, limit.into(), call)?, tag)
        })
    }
}

/// Asks for a page and waits for the answer. As quorate_scan.
///
/// Arguments: node; token; prefix; pattern; limit; call: settings, or NULL; out: receives the completion, empty if the
/// call is refused; size: sizeof(quorate_completion).
/// Returns: the status of the completion, as quorate_scan; what quorate_scan returns if it is refused; E_STATE
/// unless the node runs in mode thread.
/// Thread class: B. Blocks: until the answer, at most to the deadline. Owner: the caller, who gives out
/// to quorate_completions_clear. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_scan_sync(
    node: *mut quorate_node,
    token: quorate_bytes,
    prefix: quorate_bytes,
    pattern: quorate_bytes,
    limit: u32,
    call: *const quorate_call,
    out: *mut quorate_completion,
    size: usize,
) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe {
        call_sync(Site::ScanSync, node, out, size, || request(token, prefix, pattern, limit.into(), call))
    }
}

/// The keys of a page.
///
/// Arguments: result: of the completion of a scan; keys: receives the first of them, or NULL; n: receives how many.
/// Returns: OK; E_NULL; E_ARG for the result of another request; E_FORKED; E_PANIC.
/// Thread class: E, on the result. Blocks: no. Owner: the result; the keys live until quorate_completions_clear.
/// Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_result_keys(
    result: *const quorate_result,
    keys: *mut *const quorate_bytes,
    n: *mut usize,
) -> quorate_status {
    // SAFETY: each NULL or the caller's place.
    unsafe {
        write_if(keys, core::ptr::null());
        write_if(n, 0);
    }
    entry(Site::ResultKeys, || {
        if keys.is_null() || n.is_null() {
            return Err(E_NULL);
        }
        // SAFETY: the contract of the function.
        let result = unsafe { result.as_ref() }.ok_or(E_NULL)?;
        let page = result.page.as_ref().ok_or(E_ARG)?;
        if !page.views.is_empty() {
            // SAFETY: not NULL, and the caller's places.
            unsafe {
                keys.write(page.views.as_ptr());
                n.write(page.views.len());
            }
        }
        Ok(OK)
    })
}
