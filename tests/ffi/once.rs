//! Exactly one completion for each accepted request, whatever happens in which order: requests of every kind, feeds that
//! are cancelled, requests that are, steps of any budget, links that break, reaping in any portion, and a stop.

use std::collections::BTreeMap;

use proptest::prelude::*;
use quorate::ffi::counters::*;
use quorate::ffi::feed::*;
use quorate::ffi::scan::*;

use super::*;

/// More of a feed follow.
const NEWS_MORE: u32 = 0x2000;

/// One thing that a program does.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Request(u8),
    Follow,
    Unwatch(usize),
    Cancel(u64),
    Step(u32),
    StepOther,
    Isolate(u32),
    Reap(usize),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        8 => (0..6_u8).prop_map(Deed::Request),
        1 => Just(Deed::Follow),
        1 => any::<usize>().prop_map(Deed::Unwatch),
        2 => (0..150_u64).prop_map(Deed::Cancel),
        8 => (0..4_u32).prop_map(Deed::Step),
        4 => Just(Deed::StepOther),
        1 => (0..2_u32).prop_map(Deed::Isolate),
        2 => (1..5_usize).prop_map(Deed::Reap),
    ]
}

/// What was accepted, and what has ended.
#[derive(Default)]
struct Books {
    /// By their tags: whether a feed, and how often the end came.
    open: BTreeMap<u64, (bool, u32)>,
    feeds: Vec<u64>,
}

impl Books {
    fn reap(&mut self, node: &Node, most: usize) -> usize {
        let (mut array, mut n) = ([empty(); 8], 0);
        // SAFETY: a live node and an array of 8.
        let status = unsafe { quorate_reap(node.0, array.as_mut_ptr(), SIZE, most, &mut n) };
        assert_eq!(status == OK, n > 0, "{status}");
        for end in &array[..n] {
            let (is_feed, ends) = self.open.get_mut(&end.tag).expect("the end of what was refused");
            let is_last = end.flags & NEWS_MORE == 0;
            assert!(*ends == 0 && (*is_feed || is_last), "request {} ends again: {}", end.tag, end.status);
            *ends += u32::from(is_last);
        }
        // SAFETY: the elements that were just written.
        unsafe { quorate_completions_clear(array.as_mut_ptr(), SIZE, n) };
        n
    }
}

fn request(node: &Node, kind: u8, tag: u64) -> quorate_status {
    let (n, k, call) = (node.0, bytes("key"), null());
    // SAFETY: a live node, and bytes that stay during the call.
    unsafe {
        match kind {
            0 => quorate_get(n, k, call, tag),
            1 => quorate_put(n, k, k, NONE, call, tag),
            2 => quorate_delete(n, k, NONE, call, tag),
            3 => quorate_add(n, bytes("number"), 1, 0, call, tag),
            4 => quorate_scan(n, NONE, NONE, NONE, 0, call, tag),
            _ => quorate_cluster_order(n, &cluster::order(1), tag),
        }
    }
}

fn done(node: &Node, other: &Node, books: &mut Books, tag: u64, deed: Deed) {
    let mut accepted = |status, is_feed| {
        assert!([OK, E_OVERLOADED].contains(&status), "{status}");
        if status == OK {
            books.open.insert(tag, (is_feed, 0));
        }
        status == OK
    };
    match deed {
        Deed::Request(kind) => drop(accepted(request(node, kind, tag), false)),
        Deed::Follow => {
            // SAFETY: a live node.
            let status = unsafe { quorate_watch(node.0, u32::MAX, NONE, 1, null(), tag) };
            if accepted(status, true) {
                books.feeds.push(tag);
            }
        }
        Deed::Unwatch(at) if books.feeds.is_empty() => {
            // SAFETY: a live node. Nothing has this tag.
            assert_eq!(unsafe { quorate_unwatch(node.0, at as u64 | 1 << 63) }, E_ARG);
        }
        Deed::Unwatch(at) => {
            // It may have ended, and its end been reaped.
            // SAFETY: a live node.
            let status = unsafe { quorate_unwatch(node.0, books.feeds[at % books.feeds.len()]) };
            assert!([OK, E_ARG].contains(&status));
        }
        Deed::Cancel(tag) => assert_eq!(super::cancel::cancel(node, tag), OK),
        Deed::Step(budget) => step_by(node, budget),
        Deed::StepOther => step(other),
        // SAFETY: a live node.
        Deed::Isolate(on) => assert_eq!(unsafe { quorate_node_isolate(node.0, on) }, OK),
        Deed::Reap(most) => drop(books.reap(node, most)),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn each_accepted_tag_ends_once(
        deeds in prop::collection::vec(deed(), 1..150),
        grace in prop_oneof![Just(0), Just(2_000_000_u64)],
    ) {
        let [node, other] = pair();
        let mut books = Books::default();
        for (tag, &deed) in (0..).zip(&deeds) {
            done(&node, &other, &mut books, tag, deed);
        }
        // SAFETY: a live node.
        prop_assert_eq!(unsafe { quorate_node_stop(node.0, grace) }, OK);
        prop_assert_eq!(request(&node, 1, u64::MAX), E_CLOSED);
        // The end of a feed follows when what it told before was reaped.
        while books.reap(&node, 8) > 0 {}
        for (tag, (_, ends)) in &books.open {
            prop_assert_eq!(*ends, 1, "the ends of request {}", tag);
        }
    }
}
