//! Mode host: the program's own loop drives the node. Mode packet steps it in the same way, and has no descriptor.
//!
//! `poll(fd)` alone is sufficient: the descriptor is an epoll that holds the node's sockets, a timer for
//! the earliest deadline, and an eventfd that stays up while work is left. `more`, a deadline of 0 and a
//! readable descriptor always agree.

use core::ffi::c_int;

use super::boundary::{Site, entry_or, with_node};
use super::node::{Driver, quorate_node, refuses};
use super::plain::write_if;
use super::status::{E_CLOSED, E_IO, E_PANIC, E_STATE, OK, quorate_status};
use crate::driver::EventLoop;
use crate::proto::time::{Instant, Now, WallTime};

/// The descriptor to poll for POLLIN, level triggered, in mode host. Do not add it with EPOLLET.
///
/// Arguments: node.
/// Returns: the descriptor, the same for the node's life; E_NULL, E_FORKED, or E_STATE in another mode,
/// which are below 0.
/// Thread class: B. Blocks: no. Owner: the library. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_fd(node: *const quorate_node) -> c_int {
    // SAFETY: NULL or a live node, by the contract of the function.
    let node = unsafe { node.as_ref() };
    if let Some(status) = refuses(node) {
        return status;
    }
    entry_or(Site::NodeFd, E_PANIC, || match node {
        Some(node) => node.host_fd,
        None => E_STATE,
    })
}

/// When to call quorate_node_step at the latest, for hosts that have timers of their own.
///
/// Arguments: node.
/// Returns: nanoseconds of CLOCK_MONOTONIC, or of the clock of quorate_options_set_clock; 0 for now, also while another thread steps; UINT64_MAX for
/// when the descriptor is readable, and for a node that cannot be stepped. In mode packet there is no
/// descriptor: it is 0 after each submission, quorate_net_rx and quorate_net_event that give work.
/// Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_deadline(node: *const quorate_node) -> u64 {
    // SAFETY: NULL or a live node, by the contract of the function.
    let node = unsafe { node.as_ref() };
    let Some(node) = node.filter(|node| refuses(Some(node)).is_none() && !node.is_poisoned()) else {
        return u64::MAX;
    };
    if !node.is_host_driven() {
        return u64::MAX;
    }
    entry_or(Site::NodeDeadline, u64::MAX, || match node.driver() {
        Ok(driver) => match &*driver {
            Driver::Here(event_loop) => event_loop.deadline().as_nanos(),
            _ => u64::MAX,
        },
        Err(_) => 0,
    })
}

/// One turn of a node in mode host or packet: reads and writes sockets, takes submitted requests, completes
/// what has ended. Never waits; in mode packet, with records in memory, it makes no system call.
///
/// Arguments: node; now_ns: CLOCK_MONOTONIC; wall_ms: milliseconds since the Unix epoch; or what the clocks of
/// quorate_options_set_clock say; budget: sockets
/// and requests to handle at most, 0 for no bound; more: may be NULL, receives 1 if work is left, else 0.
/// Returns: OK; E_NULL; E_STATE in mode thread; E_BUSY if another thread steps, or is in quorate_stats or
/// quorate_members_snapshot: nothing happened, call it again; E_CLOSED once it is stopped; E_IO if the loop cannot go on; E_FORKED; E_POISONED; E_PANIC.
/// Thread class: C. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_node_step(
    node: *mut quorate_node,
    now_ns: u64,
    wall_ms: u64,
    budget: u32,
    more: *mut u32,
) -> quorate_status {
    // SAFETY: NULL or the caller's place for a number.
    unsafe { write_if(more, 0) };
    // SAFETY: the contract of the function.
    unsafe {
        with_node(Site::NodeStep, node, |node| {
            if !node.is_host_driven() {
                return Err(E_STATE);
            }
            let mut driver = node.driver()?;
            let Driver::Here(event_loop) = &mut *driver else { return Err(E_CLOSED) };
            node.note_running();
            let now = Now { mono: Instant::from_nanos(now_ns), wall: WallTime(wall_ms) };
            match event_loop.step(now, budget) {
                Ok(outcome) => {
                    write_if(more, u32::from(outcome.more));
                    Ok(OK)
                }
                Err(_) => {
                    drop(driver);
                    node.poison();
                    Err(E_IO)
                }
            }
        })
    }
}

/// Makes the descriptor of a node readable, or the library's thread turn once. In mode packet nobody waits.
///
/// Arguments: node; NULL and a forked child's are ignored.
/// Returns: nothing.
/// Thread class: B, and async-signal-safe. Blocks: no. Owner: nothing changes hands. Since: 0.1.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn quorate_node_wake(node: *const quorate_node) {
    if EventLoop::was_forked() {
        return;
    }
    // No guard around it: a signal handler may neither count nor catch, and one write to an eventfd
    // has nothing to panic about.
    // SAFETY: NULL or a live node, by the contract of the function.
    if let Some(node) = unsafe { node.as_ref() } {
        node.handle.wake();
    }
}
