//! Scans from C: pages of keys.

use quorate::ffi::scan::*;

use super::*;

/// Every pointer of these functions that may not be NULL.
pub fn nulls(
    check: &mut impl FnMut(&'static str, quorate_status),
    n: *mut quorate_node,
    torn: quorate_bytes,
) {
    let (mut end, mut keys, mut count) = (empty(), core::ptr::dangling::<quorate_bytes>(), 7);
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check("quorate_scan", quorate_scan(null_mut(), NONE, NONE, NONE, 0, null(), 0));
        check("quorate_scan", quorate_scan(n, torn, NONE, NONE, 0, null(), 0));
        check("quorate_scan", quorate_scan(n, NONE, torn, NONE, 0, null(), 0));
        check("quorate_scan", quorate_scan(n, NONE, NONE, torn, 0, null(), 0));
        let sync = quorate_scan_sync(null_mut(), NONE, NONE, NONE, 0, null(), &mut end, SIZE);
        check("quorate_scan_sync", sync);
        let sync = quorate_scan_sync(n, NONE, NONE, NONE, 0, null(), null_mut(), SIZE);
        check("quorate_scan_sync", sync);
        check("quorate_result_keys", quorate_result_keys(null(), &mut keys, &mut count));
        assert!(keys.is_null() && count == 0);
        check("quorate_result_keys", quorate_result_keys(null(), null_mut(), &mut count));
        check("quorate_result_keys", quorate_result_keys(null(), &mut keys, null_mut()));
    }
}

fn text(bytes: quorate_bytes) -> String {
    if bytes.len == 0 {
        return String::new();
    }
    // SAFETY: bytes of a completion that was not cleared.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(bytes.data, bytes.len) }).into_owned()
}

/// The keys that a completion shows.
fn keys(end: &quorate_completion) -> Vec<String> {
    let (mut keys, mut n) = (null(), 0);
    // SAFETY: a completion that was not cleared, and places for the results.
    unsafe {
        assert_eq!(quorate_result_keys(end.result, &mut keys, &mut n), OK);
        (0..n).map(|at| text(*keys.add(at))).collect()
    }
}

/// All that a scan shows, and in how many pages.
fn scan(node: &Node, prefix: &str, pattern: &str, limit: u32) -> (Vec<String>, usize) {
    let (mut end, mut all, mut pages) = (empty(), Vec::new(), 0);
    loop {
        let mut next = empty();
        let (prefix, pattern) = (bytes(prefix), bytes(pattern));
        // SAFETY: a live node, and completions that are cleared once their token was used.
        unsafe {
            let status =
                quorate_scan_sync(node.0, end.context, prefix, pattern, limit, null(), &mut next, SIZE);
            assert_eq!((status, next.kind, next.flags, next.n_siblings), (OK, 5, 0, 0));
            assert_eq!((next.asked, next.acked), (1, 1));
            quorate_completions_clear(&mut end, SIZE, 1);
        }
        all.extend(keys(&next));
        (end, pages) = (next, pages + 1);
        if end.context.len == 0 {
            // SAFETY: it was not cleared.
            unsafe { quorate_completions_clear(&mut end, SIZE, 1) };
            all.sort();
            return (all, pages);
        }
    }
}

fn put(node: &Node, key: &str) {
    let mut end = empty();
    // SAFETY: a live node, a place for the completion.
    unsafe {
        assert_eq!(quorate_put_sync(node.0, bytes(key), bytes("v"), NONE, null(), &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
    }
}

#[test]
fn pages_show_every_key_once_and_only_those_that_are_asked_for() {
    let node = Node::started();
    assert_eq!(scan(&node, "", "", 0), (vec![], 1), "an empty keyspace is one empty page");
    let mut names: Vec<_> = (0..30).map(|at| format!("{}:{at:02}", ["cart", "stock"][at % 2])).collect();
    names.iter().for_each(|name| put(&node, name));
    names.sort();
    put(&node, "gone");
    // SAFETY: a live node, a place for the completion, which has nothing to clear.
    unsafe {
        let mut end = empty();
        assert_eq!(quorate_delete_sync(node.0, bytes("gone"), NONE, null(), &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
    }
    let (all, pages) = scan(&node, "", "", 4);
    assert_eq!(all, names);
    assert!(pages >= 30 / 6, "{pages} pages");
    assert_eq!(scan(&node, "", "", u32::MAX), (names.clone(), 1));
    let only = |is_wanted: fn(&str) -> bool| -> Vec<_> {
        names.iter().filter(|name| is_wanted(name)).cloned().collect()
    };
    assert_eq!(scan(&node, "cart:", "", 5).0, only(|name| name.starts_with("cart:")));
    assert_eq!(
        scan(&node, "", "*:[0-1]?", 5).0,
        only(|name| matches!(name.as_bytes(), [.., b'0' | b'1', _]))
    );
    assert_eq!(scan(&node, "stock:", "*1", 5).0, only(|name| name.starts_with("s") && name.ends_with('1')));
}

#[test]
fn a_token_is_given_back_as_it_came_and_a_page_comes_through_the_queue() {
    let node = Node::started();
    (0..20).for_each(|at| put(&node, &format!("key {at}")));
    let (mut end, mut n) = (empty(), 0);
    // SAFETY: a live node, valid places for the results, and completions that are cleared once.
    unsafe {
        let mut op: quorate_op = zeroed();
        (op.kind, op.key, op.value, op.limit, op.tag) = (5, bytes("key"), bytes("*"), 3, 9);
        assert_eq!(quorate_submit(node.0, &op, size_of_val(&op), 1, &mut n), OK);
        assert_eq!(quorate_wait(node.0, u64::MAX), OK);
        assert_eq!(quorate_reap(node.0, &mut end, SIZE, 1, &mut n), OK);
        assert_eq!((end.tag, end.status, end.kind), (9, OK, 5));
        let shown = keys(&end);
        assert!(shown.len() >= 3 && shown.len() < 20, "{shown:?}");
        let mut change = zeroed();
        let size = size_of::<quorate_change>();
        assert_eq!(quorate::ffi::feed::quorate_result_change(end.result, 0, &mut change, size), E_ARG);

        let mut bent = std::slice::from_raw_parts(end.context.data, end.context.len).to_vec();
        let call = quorate_call { struct_size: size_of::<quorate_call>() as u32, ..zeroed() };
        let ask =
            |token, pattern, call: &quorate_call| quorate_scan(node.0, token, NONE, pattern, 0, call, 1);
        let other = quorate_call { keyspace: 1, ..call };
        assert_eq!(ask(end.context, NONE, &other), E_CONTEXT, "a token of another keyspace");
        bent[4] ^= 1;
        let bent = quorate_bytes { data: bent.as_ptr(), len: bent.len() };
        assert_eq!(ask(bent, NONE, &call), E_CONTEXT);
        assert_eq!(ask(NONE, bytes(&"a".repeat(1_025)), &call), E_LIMIT);
        assert_eq!(ask(NONE, NONE, &quorate_call { ttl_ms: 1, ..call }), E_UNSUPPORTED);
        assert_eq!(ask(NONE, NONE, &quorate_call { flags: 1, ..call }), E_UNSUPPORTED);
        (op.number, op.limit) = (1, 0);
        assert_eq!(quorate_submit(node.0, &op, size_of_val(&op), 1, &mut n), E_UNSUPPORTED);
        (op.number, op.limit, op.kind, op.value) = (0, 1, 1, NONE);
        assert_eq!(quorate_submit(node.0, &op, size_of_val(&op), 1, &mut n), E_UNSUPPORTED);
        quorate_completions_clear(&mut end, SIZE, 1);

        // A read has no keys.
        assert_eq!(quorate_get_sync(node.0, bytes("key 1"), null(), &mut end, SIZE), OK);
        let (mut none, mut n) = (null(), 7);
        assert_eq!((quorate_result_keys(end.result, &mut none, &mut n), n), (E_ARG, 0));
        quorate_completions_clear(&mut end, SIZE, 1);
    }
    assert_eq!(node.reap(), [], "what was refused has no completion");
}

#[test]
fn a_pattern_that_takes_too_many_steps_ends_the_page() {
    let node = Node::started();
    let key = "a".repeat(4_000);
    (0..4).for_each(|at| put(&node, &format!("{key}{at}")));
    let pattern = format!("*{}b", "a".repeat(1_000));
    let mut end = empty();
    // SAFETY: a live node, a place for the completion.
    let status = unsafe { quorate_scan_sync(node.0, NONE, NONE, bytes(&pattern), 0, null(), &mut end, SIZE) };
    assert_eq!((status, end.kind, end.result), (E_ARG, 5, null_mut()));
}
