//! Disk work on a thread of the program's choice.

use super::boundary::{Site, with_node};
use super::node::quorate_node;
use super::status::{AGAIN, OK, quorate_status};

/// Carries out what waits for the disk, of a node with QUORATE_OPT_DISK_THREAD 0: one write, sync, or bit of upkeep of each
/// of its logs. The library then starts no thread at all.
///
/// After each quorate_node_step there may be something to do: either call it there until it says AGAIN, and the loop waits for
/// the disk; or call it on another thread of yours, beside the steps, which yours wakes. What a replica acknowledges once
/// it is on disk is acknowledged by the step after it. A node whose disk work nobody does takes writes until its buffers
/// are full (E_OVERLOADED). quorate_node_stop and quorate_node_free do what is left themselves.
///
/// Arguments: node.
/// Returns: OK: something was done; step the node, and call it again; AGAIN if there is nothing to do now; E_NULL;
/// E_STATE of a node whose disk work is not the program's; E_BUSY if another thread is inside of it; E_CLOSED once the node
/// is stopped; E_FORKED; E_POISONED; E_PANIC. What becomes of the disk the log and quorate_node_figure tell.
/// Thread class: C, and beside all others but quorate_node_free. Blocks: yes, for the disk. Owner: nothing changes hands.
/// Since: 0.1.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn quorate_disk_step(node: *mut quorate_node) -> quorate_status {
    // SAFETY: the contract of the function.
    unsafe { with_node(Site::DiskStep, node, |node| Ok(if node.step_disk()? { OK } else { AGAIN })) }
}
