//! The boundary that every exported function passes: no panic leaves it, a forked child is told so, a
//! poisoned node refuses.
//!
//! A panic of ours is a bug of ours. The host goes on, the node does not: it is poisoned, its loop ends,
//! and what was in flight completes as `E_POISONED`. The message goes to nobody's stderr.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Once;

use super::node::quorate_node;
use super::plain::quorate_error;
use super::status::{E_FORKED, E_NULL, E_PANIC, E_POISONED, E_REENTRANT, flags_of, quorate_status};
use crate::driver::EventLoop;

/// The body of a function: a status either way, `Err` for what ends it early.
pub(super) type Answer = Result<quorate_status, quorate_status>;

/// Every exported function that runs code of ours, in the order of `abi/symbols.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Site {
    /// `quorate_status_table`
    StatusTable = 1,
    /// `quorate_options_new`
    OptionsNew,
    /// `quorate_options_set_u64`
    OptionsSetU64,
    /// `quorate_options_set_bytes`
    OptionsSetBytes,
    /// `quorate_options_add_bytes`
    OptionsAddBytes,
    /// `quorate_options_parse`
    OptionsParse,
    /// `quorate_options_clone`
    OptionsClone,
    /// `quorate_options_free`
    OptionsFree,
    /// `quorate_node_open`
    NodeOpen,
    /// `quorate_node_address`
    NodeAddress,
    /// `quorate_node_meet`
    NodeMeet,
    /// `quorate_node_start`
    NodeStart,
    /// `quorate_node_stop`
    NodeStop,
    /// `quorate_node_state`
    NodeState,
    /// `quorate_node_free`
    NodeFree,
    /// `quorate_get`
    Get,
    /// `quorate_put`
    Put,
    /// `quorate_delete`
    Delete,
    /// `quorate_submit`
    Submit,
    /// `quorate_reap`
    Reap,
    /// `quorate_completions_clear`
    CompletionsClear,
    /// `quorate_completion_fd`
    CompletionFd,
    /// `quorate_wait`
    Wait,
    /// `quorate_get_sync`
    GetSync,
    /// `quorate_put_sync`
    PutSync,
    /// `quorate_delete_sync`
    DeleteSync,
    /// `quorate_node_fd`
    NodeFd,
    /// `quorate_node_deadline`
    NodeDeadline,
    /// `quorate_node_step`
    NodeStep,
    /// `quorate_node_wake`
    NodeWake,
    /// `quorate_node_figure`
    NodeFigure,
    /// `quorate_options_set_progress`
    OptionsSetProgress,
    /// `quorate_cluster_order`
    ClusterOrder,
    /// `quorate_cluster_order_sync`
    ClusterOrderSync,
    /// `quorate_result_cluster`
    ResultCluster,
    /// `quorate_result_member`
    ResultMember,
    /// `quorate_result_text`
    ResultText,
    /// `quorate_add`
    Add,
    /// `quorate_put_number`
    PutNumber,
    /// `quorate_add_sync`
    AddSync,
    /// `quorate_put_number_sync`
    PutNumberSync,
    /// `quorate_node_isolate`
    NodeIsolate,
    /// `quorate_set_add`
    SetAdd,
    /// `quorate_set_remove`
    SetRemove,
    /// `quorate_set_add_sync`
    SetAddSync,
    /// `quorate_set_remove_sync`
    SetRemoveSync,
    /// `quorate_merge_register`
    MergeRegister,
    /// `quorate_scan`
    Scan,
    /// `quorate_scan_sync`
    ScanSync,
    /// `quorate_result_keys`
    ResultKeys,
    /// `quorate_watch`
    Watch,
    /// `quorate_unwatch`
    Unwatch,
    /// `quorate_result_change`
    ResultChange,
    /// `quorate_net_accept`
    NetAccept,
    /// `quorate_net_rx`
    NetRx,
    /// `quorate_net_event`
    NetEvent,
    /// `quorate_net_tx`
    NetTx,
    /// `quorate_cancel`
    Cancel,
    /// `quorate_members_snapshot`
    MembersSnapshot,
    /// `quorate_members_list`
    MembersList,
    /// `quorate_members_free`
    MembersFree,
    /// `quorate_key_owners`
    KeyOwners,
    /// `quorate_stats`
    Stats,
    /// `quorate_options_set_log`
    OptionsSetLog,
    /// `quorate_options_set_clock`
    OptionsSetClock,
    /// `quorate_disk_step`
    DiskStep,
    /// `quorate_context_compare`
    ContextCompare,
    /// `quorate_context_merge`
    ContextMerge,
    /// The thread that the library runs in mode thread.
    LoopThread,
}

thread_local! {
    /// How many bodies this thread is inside of; a panic in there is ours and stays quiet.
    static INSIDE: Cell<u32> = const { Cell::new(0) };
    /// Whether a hook of the host runs on this thread, called by a loop.
    static IN_HOOK: Cell<bool> = const { Cell::new(false) };
}

/// Keeps the messages of caught panics from stderr. Panics of anybody else are printed as before.
fn quiet_our_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let others = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if INSIDE.try_with(Cell::get).unwrap_or(0) == 0 {
                others(info);
            }
        }));
    });
}

/// Runs a hook of the host, from which no function of a node or of options may be called: it would wait for the loop
/// that waits for the hook, or change what its caller is working on.
pub(super) fn in_hook<T>(hook: impl FnOnce() -> T) -> T {
    let was_in_hook = IN_HOOK.replace(true);
    let result = hook();
    IN_HOOK.set(was_in_hook);
    result
}

/// Whether a hook of the host is calling.
pub(super) fn is_in_hook() -> bool {
    IN_HOOK.get()
}

/// Runs `body`; `None` if it panicked.
pub(super) fn caught<T>(site: Site, body: impl FnOnce() -> T) -> Option<T> {
    /// Leaves even when unwinding.
    struct Leave;
    impl Drop for Leave {
        fn drop(&mut self) {
            INSIDE.with(|inside| inside.set(inside.get() - 1));
        }
    }
    quiet_our_panics();
    INSIDE.with(|inside| inside.set(inside.get() + 1));
    let _leave = Leave;
    // Whatever the body left half done belongs to a node, which is poisoned, or to options, of which
    // every change is one assignment.
    catch_unwind(AssertUnwindSafe(|| {
        panic_point(site);
        body()
    }))
    .ok()
}

/// Where a test may arm a panic.
#[cfg(feature = "test-hooks")]
pub(super) fn panic_point(site: Site) {
    super::hooks::panic_if_armed(site);
}

/// Where a test may arm a panic.
#[cfg(not(feature = "test-hooks"))]
pub(super) fn panic_point(_site: Site) {}

/// A function without a node that returns a status.
pub(super) fn entry(site: Site, body: impl FnOnce() -> Answer) -> quorate_status {
    if EventLoop::was_forked() {
        return E_FORKED;
    }
    caught(site, body).map_or(E_PANIC, flat)
}

/// A function without a node that returns something else, and is allowed in a forked child.
pub(super) fn entry_or<T>(site: Site, otherwise: T, body: impl FnOnce() -> T) -> T {
    caught(site, body).unwrap_or(otherwise)
}

/// A function of a node. Refused on a poisoned one.
///
/// # Safety
/// `node` is NULL or was made by `quorate_node_open` and not freed.
pub(super) unsafe fn with_node(
    site: Site,
    node: *const quorate_node,
    body: impl FnOnce(&quorate_node) -> Answer,
) -> quorate_status {
    // SAFETY: the caller's promise.
    unsafe {
        with_any_node(site, node, |node| {
            if node.is_poisoned() {
                return Err(E_POISONED);
            }
            body(node)
        })
    }
}

/// A function of a node that a poisoned one still offers.
///
/// # Safety
/// As [`with_node`].
pub(super) unsafe fn with_any_node(
    site: Site,
    node: *const quorate_node,
    body: impl FnOnce(&quorate_node) -> Answer,
) -> quorate_status {
    if EventLoop::was_forked() {
        return E_FORKED;
    }
    if is_in_hook() {
        return E_REENTRANT;
    }
    // SAFETY: NULL or, by the caller's promise, a live node.
    let Some(node) = (unsafe { node.as_ref() }) else { return E_NULL };
    caught(site, || body(node)).map_or_else(
        || {
            node.poison();
            E_PANIC
        },
        flat,
    )
}

fn flat(answer: Answer) -> quorate_status {
    answer.unwrap_or_else(|status| status)
}

/// Bytes of a [`quorate_error`] before its text.
const ERROR_HEAD: usize = 16;

/// Says what went wrong, in as much as the caller has room for.
///
/// # Safety
/// `error` is NULL or points to as many writable bytes as its `struct_size` says.
pub(super) unsafe fn explain(
    error: *mut quorate_error,
    status: quorate_status,
    os_errno: i32,
    text: &str,
) -> quorate_status {
    if error.is_null() {
        return status;
    }
    // SAFETY: not NULL; the caller set the first member.
    let size = unsafe { (*error).struct_size } as usize;
    if size <= ERROR_HEAD {
        return status;
    }
    let room = (size - ERROR_HEAD).min(240);
    // Cut at a character, one byte before the end, which is the NUL's.
    let mut length = text.len().min(room - 1);
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    // SAFETY: all writes lie within `struct_size`, by the caller's promise.
    unsafe {
        (&raw mut (*error).status).write(status);
        (&raw mut (*error).os_errno).write(os_errno);
        (&raw mut (*error).flags).write(flags_of(status));
        let to = (&raw mut (*error).text).cast::<u8>();
        core::ptr::copy_nonoverlapping(text.as_ptr(), to, length);
        to.add(length).write_bytes(0, room - length);
    }
    status
}
