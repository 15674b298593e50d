//! Mode packet is mode host with other carriers: the same requests in the same order come to the same answers over
//! sockets and over frames of streams. Datagrams are lost and changed here, so their answers are no fixed row.

use quorate::ffi::counters::quorate_add;

use super::packet::Net;
use super::*;

/// What a request came to: what was asked, of which key, the status, and the values it showed.
type Answer = (u64, u64, quorate_status, Vec<Vec<u8>>);

/// A seeded row of requests, each at one of three nodes and answered before the next.
fn history(seed: u64, nodes: [*mut quorate_node; 3], mut turn: impl FnMut()) -> Vec<Answer> {
    let mut rng = seed;
    let mut below = |limit: u64| {
        rng = rng.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (rng >> 33) % limit
    };
    let mut contexts = vec![Vec::new(); 5];
    let mut answers = Vec::new();
    for number in 0..200 {
        let (node, asked, at) = (nodes[below(3) as usize], below(5), below(5));
        let (key, value) = (format!("key {at}"), format!("value {number}"));
        let context = &contexts[at as usize];
        let seen = quorate_bytes { data: context.as_ptr(), len: context.len() };
        // SAFETY: a live node, bytes that stay during the call, and a completion that is cleared once.
        unsafe {
            let status = match asked {
                0 => quorate_put(node, bytes(&key), bytes(&value), NONE, null(), number),
                1 => quorate_put(node, bytes(&key), bytes(&value), seen, null(), number),
                2 => quorate_delete(node, bytes(&key), seen, null(), number),
                3 => quorate_add(node, bytes("number"), number as i64, 0, null(), number),
                _ => quorate_get(node, bytes(&key), null(), number),
            };
            assert_eq!(status, OK);
            let (mut end, mut n) = (empty(), 0);
            while quorate_reap(node, &mut end, SIZE, 1, &mut n) == AGAIN {
                turn();
            }
            let siblings: &[_] = if end.n_siblings == 0 {
                &[]
            } else {
                core::slice::from_raw_parts(end.siblings, end.n_siblings as usize)
            };
            let shown = |bytes: quorate_bytes| core::slice::from_raw_parts(bytes.data, bytes.len).to_vec();
            let mut values: Vec<_> = siblings.iter().map(|sibling| shown(sibling.value)).collect();
            values.sort_unstable();
            if asked == 4 && end.context.len > 0 {
                contexts[at as usize] = shown(end.context);
            }
            answers.push((asked, at, end.status, values));
            quorate_completions_clear(&mut end, SIZE, 1);
        }
    }
    answers
}

fn over_sockets(seed: u64) -> Vec<Answer> {
    let nodes = cluster_of(&["A", "B", "C"]);
    let turn = || nodes.iter().for_each(step);
    // Links come up one by one: a write that all three have is the sign of the last.
    for node in &nodes {
        let mut ends = Vec::new();
        while ends.last().is_none_or(|end: &(u64, quorate_status, u32)| end.1 != OK) {
            // SAFETY: numbers, for which zero is a value.
            let zero: quorate_call = unsafe { zeroed() };
            let call = quorate_call { struct_size: size_of_val(&zero) as u32, w: 3, ..zero };
            // SAFETY: a live node, bytes that stay during the call.
            assert_eq!(unsafe { quorate_put(node.0, bytes("link"), NONE, NONE, &call, 0) }, OK);
            while node.reap_into(&mut ends) == 0 {
                turn();
            }
        }
    }
    history(seed, [nodes[0].0, nodes[1].0, nodes[2].0], turn)
}

fn over_frames(seed: u64) -> Vec<Answer> {
    let mut net = Net::of(seed, 0);
    for _ in 0..1_500 {
        net.turn();
    }
    let nodes = [net.nodes[0].0, net.nodes[1].0, net.nodes[2].0];
    history(seed, nodes, || net.turn())
}

#[test]
fn one_history_whoever_carries_the_bytes() {
    for seed in 0..3 {
        let expected = over_sockets(seed);
        assert!(expected.iter().filter(|answer| answer.2 == OK).count() > 150);
        assert_eq!(over_frames(seed), expected, "frames of streams, seed {seed}");
    }
}
