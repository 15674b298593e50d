//! Mode packet is mode host with other carriers: the same requests in the same order come to the same answers over
//! sockets, over frames of streams, and over datagrams that are lost, doubled, overtaken and changed.

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
                4 if at == 4 => quorate_get(node, bytes("number"), null(), number),
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
            if asked == 3 {
                // What its coordinator knew: an increment waits for W and reads nothing. Reads show the sum.
                values.clear();
            }
            if asked == 4 && at < 4 && end.context.len > 0 {
                contexts[at as usize] = shown(end.context);
            }
            answers.push((asked, at, end.status, values));
            quorate_completions_clear(&mut end, SIZE, 1);
        }
    }
    answers
}

/// Turns until every node reaches every other one: a write that all three have is the sign.
fn link(nodes: [*mut quorate_node; 3], mut turn: impl FnMut()) {
    for node in nodes {
        let mut status = AGAIN;
        while status != OK {
            // SAFETY: numbers, for which zero is a value.
            let zero: quorate_call = unsafe { zeroed() };
            let call = quorate_call { struct_size: size_of_val(&zero) as u32, w: 3, ..zero };
            let (mut end, mut n) = (empty(), 0);
            // SAFETY: a live node, bytes that stay during the call, and a completion that is cleared once.
            unsafe {
                assert_eq!(quorate_put(node, bytes("link"), NONE, NONE, &call, 0), OK);
                while quorate_reap(node, &mut end, SIZE, 1, &mut n) == AGAIN {
                    turn();
                }
                status = end.status;
                quorate_completions_clear(&mut end, SIZE, 1);
            }
        }
    }
}

fn over_sockets(seed: u64) -> Vec<Answer> {
    let nodes = cluster_of(&["A", "B", "C"]);
    let turn = || nodes.iter().for_each(step);
    let all = [nodes[0].0, nodes[1].0, nodes[2].0];
    link(all, turn);
    history(seed, all, turn)
}

fn over_frames(seed: u64, carrier: u64) -> Vec<Answer> {
    let mut net = Net::of(seed, carrier);
    let all = [net.nodes[0].0, net.nodes[1].0, net.nodes[2].0];
    link(all, || net.turn());
    // Of datagrams one in five is lost from now on.
    net.accidents = 200 * carrier;
    history(seed, all, || net.turn())
}

#[test]
fn one_history_whoever_carries_the_bytes() {
    for seed in 0..3 {
        let expected = over_sockets(seed);
        assert!(expected.iter().filter(|answer| answer.2 == OK).count() > 150);
        for (carrier, what) in [(0, "frames of streams"), (1, "datagrams")] {
            let found = over_frames(seed, carrier);
            let differs = (0..expected.len()).find(|&at| found[at] != expected[at]);
            let differs = differs.map(|at| (at, &found[at], &expected[at]));
            assert_eq!(differs, None, "{what}, seed {seed}: where, what came, what came over sockets");
        }
    }
}
