//! Requests that are cancelled: each has its one completion, which says what may be concluded.

use quorate::ffi::cancel::*;
use quorate::ffi::scan::*;

use super::*;

/// Every pointer of the function.
pub fn nulls(check: &mut impl FnMut(&'static str, quorate_status)) {
    // SAFETY: NULL.
    check("quorate_cancel", unsafe { quorate_cancel(null_mut(), 1) });
}

pub fn cancel(node: &Node, tag: u64) -> quorate_status {
    // SAFETY: a live node.
    unsafe { quorate_cancel(node.0, tag) }
}

/// Two members of which one is stepped no more: a quorum of two waits for it.
fn alone() -> [Node; 2] {
    let [node, other] = pair();
    meet(&node, &other);
    [node, other]
}

#[test]
fn a_cancelled_request_ends_before_its_deadline() {
    let [node, _silent] = alone();
    // SAFETY: a live node, and bytes that stay during the call.
    unsafe {
        assert_eq!(quorate_get(node.0, bytes("key"), null(), 10), OK);
        assert_eq!(quorate_delete(node.0, bytes("key"), NONE, null(), 12), OK);
        assert_eq!(quorate_scan(node.0, NONE, NONE, NONE, 0, null(), 13), OK);
    }
    assert_eq!(node.put(11), OK);
    assert_eq!(node.put(14), OK);
    step(&node);
    assert_eq!(node.reap(), [], "each needs both");
    for tag in 10..14 {
        assert_eq!(cancel(&node, tag), OK);
    }
    assert_eq!(node.reap(), [], "the loop has not turned");
    step(&node);
    // Of writes that one was begun, and the delete was still reading.
    let mut ends = node.reap();
    ends.sort_unstable();
    let expected =
        [(10, E_CANCELLED, 0), (11, E_CANCELLED, UNCERTAIN), (12, E_CANCELLED, 0), (13, E_CANCELLED, 0)];
    assert_eq!(ends, expected);
    // What is over or was never there is nobody's.
    assert_eq!((cancel(&node, 11), cancel(&node, 99)), (OK, OK));
    step(&node);
    assert_eq!(node.reap(), []);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_stop(node.0, 0) }, OK);
    assert_eq!(node.reap().len(), 1, "the one that was left alone");
    assert_eq!(cancel(&node, 14), E_CLOSED);
}

/// A cancellation that comes behind the answer, or before a request of the same tag, ends nothing.
#[test]
fn a_cancellation_is_for_what_was_submitted_before_it() {
    let node = Node::host_driven();
    assert_eq!((node.put(1), cancel(&node, 1)), (OK, OK));
    step(&node);
    assert_eq!(node.reap(), [(1, OK, 0)], "it was done when it was cancelled");
    let [node, other] = alone();
    assert_eq!((cancel(&node, 2), node.put(2)), (OK, OK));
    step(&node);
    assert_eq!(node.reap(), []);
    let mut ends = Vec::new();
    while node.reap_into(&mut ends) == 0 {
        step(&node);
        step(&other);
    }
    assert_eq!(ends, [(2, OK, 0)]);
}

#[test]
fn as_much_may_wait_for_the_loop_as_the_window_holds() {
    let node = Node::open(&[(OPT_MODE, MODE_HOST), (OPT_WINDOW, 4)]);
    for tag in 0..4 {
        assert_eq!(cancel(&node, tag), OK);
    }
    assert_eq!((cancel(&node, 4), node.put(5)), (E_OVERLOADED, E_OVERLOADED));
    step(&node);
    assert_eq!((cancel(&node, 4), node.put(5)), (OK, OK));
    step(&node);
    assert_eq!(node.reap(), [(5, OK, 0)]);
}
