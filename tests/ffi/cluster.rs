//! Orders to the cluster through the C interface: staged, planned, committed; what is a slip; what their results
//! tell.

use core::mem::zeroed;
use core::ptr::{null, null_mut};

use quorate::ffi::cluster::*;
use quorate::ffi::node::*;
use quorate::ffi::options::MODE_HOST;
use quorate::ffi::plain::*;
use quorate::ffi::requests::*;
use quorate::ffi::status::*;

use super::{NONE, Node, OPT_MODE, OPT_WINDOW, SIZE, bytes, empty, step};

/// An order of a kind, about nothing.
pub fn order(kind: u32) -> quorate_order {
    let struct_size = size_of::<quorate_order>() as u32;
    quorate_order { struct_size, kind, name: NONE, other: NONE, number: 0, reserved: [0; 2] }
}

/// The answer to an order: its status, how the cluster is, and a text. Every member must be whole.
fn give(node: &Node, order: &quorate_order, text: u32) -> (quorate_status, quorate_cluster, String) {
    let mut end = empty();
    // SAFETY: a live node, and valid places for the results.
    unsafe {
        let status = quorate_cluster_order_sync(node.0, order, &mut end, SIZE);
        assert_eq!((end.status, end.kind), (status, 4));
        let mut cluster: quorate_cluster = zeroed();
        assert_eq!(quorate_result_cluster(end.result, &mut cluster, size_of_val(&cluster)), OK);
        let mut told = NONE;
        assert_eq!(quorate_result_text(end.result, text, &mut told), OK);
        let bytes = if told.len == 0 { &[][..] } else { core::slice::from_raw_parts(told.data, told.len) };
        let text = String::from_utf8(bytes.to_vec()).expect("UTF-8");
        for index in 0..cluster.n_members as usize {
            let mut member: quorate_member = zeroed();
            assert_eq!(quorate_result_member(end.result, index, &mut member, size_of_val(&member)), OK);
            assert_eq!((member.name.len, member.flags, member.partitions), (1, 0x3, 16));
        }
        let beyond = quorate_result_member(end.result, cluster.n_members as usize, &mut zeroed(), 64);
        assert_eq!(beyond, E_ARG);
        quorate_completions_clear(&mut end, SIZE, 1);
        (status, cluster, text)
    }
}

const OPT_PARTITIONS: u32 = 6;
const OPT_FOUND: u32 = 26;

/// A node that founded its cluster is told what to change, shows the plan, and has it committed.
#[test]
fn a_cluster_is_changed_in_three_steps() {
    let node = Node::open(&[(OPT_PARTITIONS, 16), (OPT_FOUND, 1)]);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_start(node.0, null_mut()) }, OK);
    let (status, looked, keepers) = give(&node, &order(1), 3);
    assert_eq!((status, looked.phase, looked.n_members, looked.n_staged, looked.plan_hash), (OK, 2, 1, 0, 0));
    assert_eq!((keepers.as_str(), looked.layout, looked.layout_next), ("A\n", 1, 0));

    let weight = quorate_order { name: bytes("A"), number: 3, ..order(6) };
    let (status, staged, text) = give(&node, &weight, 2);
    assert_eq!((status, staged.n_staged, text.as_str()), (OK, 1, "weight A 3\n"));
    let zone = quorate_order { name: bytes("A"), other: bytes("attic"), ..order(7) };
    assert_eq!(give(&node, &zone, 2).2, "weight A 3\nzone A attic\n");
    let (status, planned, plan) = give(&node, &order(2), 1);
    assert!(status == OK && planned.plan_hash != 0 && plan.contains("weight 1 -> 3"), "{plan}");

    let stale = quorate_order { number: planned.plan_hash ^ 1, ..order(10) };
    let (status, _, reason) = give(&node, &stale, 0);
    assert!(status == E_ARG && reason.contains("look at the plan again"), "{reason}");
    let commit = quorate_order { number: planned.plan_hash, ..order(10) };
    let (status, committed, reason) = give(&node, &commit, 0);
    assert_eq!((status, committed.n_staged, committed.phase, reason.as_str()), (OK, 0, 2, ""));
    assert!(committed.layout > looked.layout && committed.version > looked.version);

    let leave = quorate_order { name: bytes("A"), ..order(3) };
    assert!(give(&node, &leave, 0).2.contains("the last member cannot go"));
    assert!(give(&node, &order(11), 0).2.contains("no transition is under way"));
    assert_eq!(give(&node, &order(9), 0).0, OK);
}

/// What an order says beside what it needs is a slip, and is told before anything is asked.
#[test]
fn orders_that_say_too_much_or_too_little_are_refused() {
    let name = bytes("A");
    let table = [
        (OK, order(1)),
        (OK, order(2)),
        (OK, quorate_order { name, ..order(3) }),
        (OK, quorate_order { name, other: bytes("B"), ..order(5) }),
        (OK, quorate_order { name, number: u64::from(u32::MAX), ..order(6) }),
        (OK, quorate_order { name, ..order(7) }),
        (OK, quorate_order { number: 255, ..order(8) }),
        (OK, order(9)),
        (OK, order(10)),
        (OK, order(11)),
        (E_UNSUPPORTED, order(0)),
        (E_UNSUPPORTED, order(13)),
        (E_UNSUPPORTED, order(u32::MAX)),
        (E_UNSUPPORTED, quorate_order { reserved: [0, 1], ..order(1) }),
        (E_ARG, quorate_order { struct_size: 3, ..order(1) }),
        (E_ARG, quorate_order { name, ..order(1) }),
        (E_ARG, quorate_order { number: 1, ..order(9) }),
        (E_ARG, order(3)),
        (E_ARG, quorate_order { name: bytes("a b"), ..order(4) }),
        (E_ARG, quorate_order { name, other: name, ..order(4) }),
        (E_ARG, quorate_order { name, ..order(5) }),
        (E_ARG, quorate_order { name, number: 1 << 32, ..order(6) }),
        (E_ARG, quorate_order { name, other: bytes("a/b"), ..order(7) }),
        (E_ARG, quorate_order { number: 256, ..order(8) }),
        (E_ARG, quorate_order { name, ..order(10) }),
    ];
    let node = Node::host_driven();
    let mut accepted = 0;
    for (row, (expected, order)) in table.into_iter().enumerate() {
        // SAFETY: a live node, an order that is as long as it says, or refused before it is read.
        let status = unsafe { quorate_cluster_order(node.0, &order, row as u64) };
        assert_eq!(status, expected, "row {row}");
        accepted += usize::from(status == OK);
    }
    let mut ends = Vec::new();
    while ends.len() < accepted {
        step(&node);
        node.reap_into(&mut ends);
    }
    // The node is of a list, so it is only looked at.
    let ok: Vec<u64> = ends.iter().filter(|end| end.1 == OK).map(|end| end.0).collect();
    assert!(ok.contains(&0) && ends.iter().all(|end| end.1 == OK || end.1 == E_ARG), "{ends:?}");
}

/// A result of another request tells nothing of the cluster.
#[test]
fn a_value_is_no_cluster() {
    let node = Node::started();
    let mut end = empty();
    // SAFETY: a live node and valid places for the results.
    unsafe {
        assert_eq!(quorate_put_sync(node.0, bytes("k"), bytes("v"), NONE, null(), &mut end, SIZE), OK);
        assert!(!end.result.is_null(), "its context");
        assert_eq!(quorate_result_cluster(end.result, &mut zeroed(), size_of::<quorate_cluster>()), E_ARG);
        assert_eq!(quorate_result_member(end.result, 0, &mut zeroed(), size_of::<quorate_member>()), E_ARG);
        assert_eq!(quorate_result_text(end.result, 0, &mut zeroed()), E_ARG);
        quorate_completions_clear(&mut end, SIZE, 1);
        let look = order(1);
        assert_eq!(quorate_cluster_order_sync(node.0, &look, &mut end, SIZE), OK);
        // Of a short place only its beginning is written, of a long one the rest becomes zero.
        let mut short = [7_u64; 3];
        assert_eq!(quorate_result_cluster(end.result, short.as_mut_ptr().cast(), 16), OK);
        assert!(short[0] != 7 && short[2] == 7);
        let mut long = [7_u64; 32];
        assert_eq!(quorate_result_cluster(end.result, long.as_mut_ptr().cast(), 256), OK);
        assert_eq!(long[31], 0);
        assert_eq!(quorate_result_cluster(end.result, long.as_mut_ptr().cast(), 3), E_ARG);
        assert_eq!(quorate_result_text(end.result, 5, &mut zeroed()), E_UNSUPPORTED);
        quorate_completions_clear(&mut end, SIZE, 1);
    }
}

/// An order that a stop ends before it was begun ends as one, and says whether it may be carried out.
#[test]
fn an_order_that_a_stop_ends_is_an_order() {
    let node = Node::open(&[(OPT_MODE, MODE_HOST), (OPT_WINDOW, 8192)]);
    // More than one turn begins.
    let before = 5000;
    (0..before).for_each(|tag| assert_eq!(node.put(tag), OK));
    let (look, revert) = (order(1), order(11));
    // SAFETY: a live node, and orders that stay during the calls.
    unsafe {
        assert_eq!(quorate_cluster_order(node.0, &look, before), OK);
        assert_eq!(quorate_cluster_order(node.0, &revert, before + 1), OK);
        assert_eq!(quorate_node_stop(node.0, 0), OK);
    }
    let mut found = Vec::new();
    let (mut end, mut n) = (empty(), 0);
    // SAFETY: a live node and places for the results.
    while unsafe { quorate_reap(node.0, &mut end, SIZE, 1, &mut n) } == OK {
        if end.tag >= before {
            found.push((end.tag - before, end.kind, end.status, end.flags & UNCERTAIN != 0));
        }
        // SAFETY: the element that was just written.
        unsafe { quorate_completions_clear(&mut end, SIZE, 1) };
    }
    assert_eq!(found, [(0, 4, E_CLOSED, false), (1, 4, E_CLOSED, true)]);
}
