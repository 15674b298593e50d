//! Garbage in numbers: every selector at 0, at each value that the header names, one beside it and at its greatest; every
//! size from 0 to beyond ours; every reserve that is not zero. What is not known is refused, and nothing happens.

use std::collections::BTreeSet;

use quorate::ffi::feed::*;
use quorate::ffi::merge::quorate_merge_register;
use quorate::ffi::packet::*;

use super::*;

/// The values of the header's constants whose name begins so and does not end in one of `but`.
fn named(prefix: &str, but: &[&str]) -> BTreeSet<u64> {
    let lines = include_str!("../../include/quorate.h").lines();
    let words = lines.filter_map(|line| line.strip_prefix("#define ")?.strip_prefix(prefix)?.split_once(' '));
    let found: BTreeSet<u64> = words
        .filter(|(name, _)| !but.contains(name))
        .map(|(name, value)| {
            value.trim_end_matches('u').parse().unwrap_or_else(|_| panic!("{prefix}{name} is {value}"))
        })
        .collect();
    assert!(!found.is_empty(), "the header names no {prefix}");
    found
}

/// Calls `ask` with each legal number, which must not be refused as unknown, and with others, which must be refused with
/// `refusal`.
fn sweep(
    what: &str,
    legal: &BTreeSet<u64>,
    most: u64,
    refusal: quorate_status,
    mut ask: impl FnMut(u64) -> quorate_status,
) {
    let beside = legal.iter().map(|number| number + 1);
    let ends = [0, most / 2, most / 2 + 1, most - 1, most];
    let all: BTreeSet<u64> = legal.iter().copied().chain(beside).chain(ends).collect();
    for number in all.into_iter().filter(|&number| number <= most) {
        let status = ask(number);
        if legal.contains(&number) {
            assert_ne!(status, refusal, "{what} {number} is in the header");
        } else {
            assert_eq!(status, refusal, "{what} {number}");
        }
    }
}

const MAX: u64 = u32::MAX as u64;

fn range(numbers: core::ops::Range<u64>) -> BTreeSet<u64> {
    numbers.collect()
}

/// Selectors that are arguments.
#[test]
fn every_selector_is_known_or_refused() {
    let ([node, _other], packet) = (pair(), Node::open(&[(OPT_MODE, MODE_PACKET)]));
    let (n, o, mut text, mut figure) = (node.0, options(), [0; 64], 0);
    let mut peer = 0;
    // SAFETY: live nodes and options, valid places for results.
    unsafe {
        sweep("level", &range(1..API_LEVEL as u64 + 1), MAX, E_UNSUPPORTED, |number| {
            let mut made = null_mut();
            let status = quorate_options_new(number as u32, &mut made);
            quorate_options_free(made);
            status
        });
        let keys = named("QUORATE_OPT_", &[]);
        sweep("option", &keys, MAX, E_UNSUPPORTED, |number| quorate_options_set_u64(o, number as u32, 1));
        sweep("option", &keys, MAX, E_UNSUPPORTED, |number| {
            quorate_options_set_bytes(o, number as u32, bytes("1"))
        });
        sweep("option", &keys, MAX, E_UNSUPPORTED, |number| {
            quorate_options_add_bytes(o, number as u32, bytes("1"))
        });
        quorate_options_free(o);
        sweep("mode", &named("QUORATE_MODE_", &[]), u64::MAX, E_ARG, |number| {
            let o = options();
            let status = quorate_options_set_u64(o, OPT_MODE, number);
            quorate_options_free(o);
            status
        });
        sweep("address", &BTreeSet::from([0]), MAX, E_ARG, |number| {
            quorate_node_address(n, number as u32, text.as_mut_ptr(), 64, null_mut())
        });
        sweep("isolation", &range(0..2), MAX, E_ARG, |number| quorate_node_isolate(n, number as u32));
        let figures = named("QUORATE_FIGURE_", &[]);
        sweep("figure", &figures, MAX, E_UNSUPPORTED, |number| {
            quorate_node_figure(n, number as u32, &mut figure)
        });
        sweep("merge", &range(0..16), MAX, E_ARG, |number| {
            quorate_merge_register(n, number as u32, Some(refusing), null_mut(), None)
        });
        // Whether there is such a partition is for the completion to say.
        let partitions = range(0..1 << 16).into_iter().chain([MAX]).collect();
        sweep("partition", &partitions, MAX, E_ARG, |number| {
            quorate_watch(n, number as u32, NONE, 1, null(), number)
        });
        sweep("event", &named("QUORATE_NET_", &[]), MAX, E_UNSUPPORTED, |number| {
            assert_eq!(quorate_net_accept(packet.0, 1, 1, &mut peer), OK);
            quorate_net_event(packet.0, peer, number as u32, 0, 1, 1)
        });
    }
}

unsafe extern "C" fn refusing(
    _: *mut core::ffi::c_void,
    _: quorate_bytes,
    _: *const quorate_bytes,
    _: usize,
    _: *mut u8,
    _: usize,
    _: *mut usize,
) -> i32 {
    1
}

/// Selectors that are members of a struct.
#[test]
fn every_selector_of_a_struct_is_known_or_refused() {
    let node = Node::host_driven();
    let ask = |change: &dyn Fn(&mut quorate_call)| {
        // SAFETY: numbers, for which zero is a value.
        let mut call: quorate_call = unsafe { zeroed() };
        call.struct_size = size_of::<quorate_call>() as u32;
        change(&mut call);
        // SAFETY: a live node, a call that is as long as it says.
        unsafe { quorate_get(node.0, bytes("key"), &call, 1) }
    };
    let short = u64::from(u16::MAX);
    let views: BTreeSet<u64> = named("QUORATE_VIEW_", &["HOST"]).into_iter().chain(16..32).collect();
    sweep("view", &views, short, E_UNSUPPORTED, |number| ask(&|call| call.view = number as u16));
    let blind = named("QUORATE_BLIND_", &[]);
    sweep("blind", &blind, short, E_UNSUPPORTED, |number| ask(&|call| call.blind = number as u16));
    sweep("flags of a call", &range(0..4), MAX, E_UNSUPPORTED, |number| {
        ask(&|call| call.flags = number as u32)
    });
    let counts: BTreeSet<u64> = range(0..256).into_iter().chain([short]).collect();
    type Count = fn(&mut quorate_call) -> &mut u16;
    let members: [Count; 5] = [
        |call| &mut call.r,
        |call| &mut call.w,
        |call| &mut call.pr,
        |call| &mut call.pw,
        |call| &mut call.dw,
    ];
    for member in members {
        sweep("replicas", &counts, short, E_ARG, |number| ask(&|call| *member(call) = number as u16));
    }

    let submit = |change: &dyn Fn(&mut quorate_op)| {
        // SAFETY: numbers and pointers, for which zero is a value.
        let mut op: quorate_op = unsafe { zeroed() };
        (op.kind, op.tag) = (1, 1);
        change(&mut op);
        // SAFETY: a live node and one op.
        unsafe { quorate_submit(node.0, &op, size_of_val(&op), 1, &mut 0) }
    };
    let kinds = named("QUORATE_OP_", &["CLUSTER", "BORROW"]);
    sweep("kind", &kinds, MAX, E_UNSUPPORTED, |number| submit(&|op| op.kind = number as u32));
    sweep("flags of an op", &range(0..2), MAX, E_UNSUPPORTED, |number| {
        submit(&|op| op.flags = number as u32)
    });
    let none = BTreeSet::from([0]);
    sweep("number of a read", &none, u64::MAX, E_UNSUPPORTED, |number| submit(&|op| op.number = number));
    sweep("limit of a read", &none, u64::MAX, E_UNSUPPORTED, |number| submit(&|op| op.limit = number));

    sweep("order", &named("QUORATE_ORDER_", &[]), MAX, E_UNSUPPORTED, |number| {
        // SAFETY: a live node, an order that is as long as it says.
        unsafe {
            quorate_cluster_order(node.0, &quorate_order { kind: number as u32, ..cluster::order(1) }, 1)
        }
    });
}

/// What a result is asked for.
#[test]
fn every_selector_of_a_result_is_known_or_refused() {
    let (node, mut end, mut told) = (Node::started(), empty(), NONE);
    // SAFETY: a live node, valid places for results, and a completion that is cleared once.
    unsafe {
        assert_eq!(quorate_cluster_order_sync(node.0, &cluster::order(1), &mut end, SIZE), OK);
        sweep("text", &named("QUORATE_TEXT_", &[]), MAX, E_UNSUPPORTED, |number| {
            quorate_result_text(end.result, number as u32, &mut told)
        });
        let mut member: quorate_member = zeroed();
        sweep("member", &BTreeSet::from([0]), u64::MAX, E_ARG, |number| {
            quorate_result_member(end.result, number as usize, &mut member, size_of_val(&member))
        });
        let mut change: quorate_change = zeroed();
        sweep("change", &BTreeSet::new(), u64::MAX, E_ARG, |number| {
            quorate_result_change(end.result, number as usize, &mut change, size_of_val(&change))
        });
        quorate_completions_clear(&mut end, SIZE, 1);
    }
}

/// A struct that says each size in turn: what is known counts, what is not known must be zero.
fn sizes(what: &str, known: usize, ask: impl Fn(&[u8], usize) -> quorate_status) {
    for size in 0..known + 64 {
        let mut room = vec![0_u8; known + 64];
        let status = ask(&room, size);
        assert_eq!(status, if size < 4 { E_ARG } else { OK }, "{what} of {size} bytes");
        if size > known {
            room[size - 1] = 1;
            assert_eq!(ask(&room, size), E_UNSUPPORTED, "{what} of {size} bytes, the last of which is set");
        }
    }
    for size in [u32::MAX as usize, 1 << 31] {
        assert_eq!(ask(&vec![0; known + 64], size), E_ARG, "{what} of {size} bytes");
    }
}

#[test]
fn every_size_is_taken_or_refused() {
    let node = Node::open(&[(OPT_MODE, MODE_HOST), (OPT_WINDOW, 1 << 12)]);
    sizes("a call", size_of::<quorate_call>(), |room, size| {
        let mut call = Aligned::of(room);
        call.0[..4].copy_from_slice(&(size as u32).to_ne_bytes());
        // SAFETY: a live node; the call is as long as it says, or refused before it is read.
        unsafe { quorate_get(node.0, bytes("key"), call.0.as_ptr().cast(), 1) }
    });
    sizes("an order", size_of::<quorate_order>(), |room, size| {
        let mut order = Aligned::of(room);
        order.0[..4].copy_from_slice(&(size as u32).to_ne_bytes());
        order.0[4..8].copy_from_slice(&1_u32.to_ne_bytes());
        // SAFETY: as above; an order that ends before its kind is of none.
        match unsafe { quorate_cluster_order(node.0, order.0.as_ptr().cast(), 1) } {
            E_UNSUPPORTED if (4..8).contains(&size) => OK,
            status => status,
        }
    });
    // Elements of arrays: of any size that keeps them aligned and has room for what we write.
    let (mut n, mut room) = (0, Aligned([0; 1_024]));
    for size in 0..room.0.len() {
        let fits = size >= SIZE && size.is_multiple_of(8);
        // SAFETY: a live node, and room for one element of every size that is tried.
        let status = unsafe { quorate_reap(node.0, room.0.as_mut_ptr().cast(), size, 1, &mut n) };
        assert_eq!(status, if fits { AGAIN } else { E_ARG }, "a completion of {size} bytes");
    }
}

/// Bytes with the alignment of every struct.
#[repr(align(16))]
struct Aligned([u8; 1_024]);

impl Aligned {
    fn of(bytes: &[u8]) -> Aligned {
        let mut room = [0; 1_024];
        room[..bytes.len()].copy_from_slice(bytes);
        Aligned(room)
    }
}

/// Each byte of a reserve.
#[test]
fn a_reserve_that_is_not_zero_is_refused() {
    let node = Node::host_driven();
    for at in 0..128 {
        let (mut call, mut order): (quorate_call, quorate_order);
        // SAFETY: numbers, for which zero is a value.
        call = unsafe { zeroed() };
        order = cluster::order(1);
        call.struct_size = size_of_val(&call) as u32;
        call.reserved[at / 64] = 1 << (at % 64);
        order.reserved[at / 64] = 1 << (at % 64);
        // SAFETY: a live node, structs that are as long as they say.
        unsafe {
            assert_eq!(quorate_get(node.0, bytes("key"), &call, 1), E_UNSUPPORTED, "bit {at}");
            assert_eq!(quorate_cluster_order(node.0, &order, 1), E_UNSUPPORTED, "bit {at}");
        }
    }
}
