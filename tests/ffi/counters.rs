//! Counters from C: what is added, and numbers that are put where others were read.

use quorate::ffi::counters::*;

use super::*;

/// Every pointer of these functions that may not be NULL.
pub fn nulls(
    check: &mut impl FnMut(&'static str, quorate_status),
    n: *mut quorate_node,
    torn: quorate_bytes,
) {
    let (k, mut end) = (bytes("k"), empty());
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check("quorate_add", quorate_add(null_mut(), k, 1, 0, null(), 0));
        check("quorate_add", quorate_add(n, torn, 1, 0, null(), 0));
        check("quorate_put_number", quorate_put_number(null_mut(), k, 1, k, null(), 0));
        check("quorate_put_number", quorate_put_number(n, torn, 1, k, null(), 0));
        check("quorate_put_number", quorate_put_number(n, k, 1, torn, null(), 0));
        check("quorate_add_sync", quorate_add_sync(null_mut(), k, 1, 0, null(), &mut end, SIZE));
        check("quorate_add_sync", quorate_add_sync(n, k, 1, 0, null(), null_mut(), SIZE));
        let sync = quorate_put_number_sync(null_mut(), k, 1, k, null(), &mut end, SIZE);
        check("quorate_put_number_sync", sync);
        check("quorate_put_number_sync", quorate_put_number_sync(n, k, 1, k, null(), null_mut(), SIZE));
    }
}

/// The text of the only sibling, and its kind.
fn value(end: &quorate_completion) -> (String, u32) {
    assert_eq!(end.n_siblings, 1);
    // SAFETY: a completion that was not cleared has its siblings.
    let sibling = unsafe { &*end.siblings };
    // SAFETY: as above; the value is as long as it says.
    let value = unsafe { std::slice::from_raw_parts(sibling.value.data, sibling.value.len) };
    (String::from_utf8_lossy(value).into_owned(), sibling.kind)
}

#[test]
fn what_is_added_counts_and_a_number_takes_the_place_of_another_once() {
    let node = Node::started();
    let (stock, n) = (bytes("stock"), node.0);
    let (mut end, mut read) = (empty(), empty());
    // SAFETY: a live node, valid places for the results, and completions that are cleared once.
    unsafe {
        for _ in 0..2 {
            assert_eq!(quorate_add_sync(n, stock, 10, 77, null(), &mut end, SIZE), OK);
            assert_eq!(value(&end), ("10".to_owned(), 1));
            assert!(end.dot.counter > 0 && end.acked == 1 && end.context.len == 0);
            quorate_completions_clear(&mut end, SIZE, 1);
        }
        assert_eq!(quorate_get_sync(n, stock, null(), &mut read, SIZE), OK);
        assert_eq!(value(&read), ("10".to_owned(), 1));
        assert_eq!(quorate_add_sync(n, stock, -3, 0, null(), &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
        for _ in 0..2 {
            let status = quorate_put_number_sync(n, stock, 8, read.context, null(), &mut end, SIZE);
            assert_eq!((status, value(&end)), (OK, ("5".to_owned(), 1)));
            quorate_completions_clear(&mut end, SIZE, 1);
        }
        // A context is good for one number, and an id for one increment: another one is answered as the first.
        let status = quorate_put_number_sync(n, stock, 100, read.context, null(), &mut end, SIZE);
        assert_eq!((status, value(&end)), (OK, ("5".to_owned(), 1)));
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_add_sync(n, stock, 100, 77, null(), &mut end, SIZE), OK);
        assert_eq!(value(&end), ("10".to_owned(), 1), "what it came to then");
        quorate_completions_clear(&mut end, SIZE, 1);
        quorate_completions_clear(&mut read, SIZE, 1);
        assert_eq!(quorate_get_sync(n, stock, null(), &mut read, SIZE), OK);
        assert_eq!(value(&read), ("5".to_owned(), 1), "neither was written");
        quorate_completions_clear(&mut read, SIZE, 1);
        assert_eq!(quorate_put_number_sync(n, stock, 8, bytes("no"), null(), &mut end, SIZE), E_CONTEXT);
        assert_eq!(quorate_add_sync(n, stock, i64::MAX, 0, null(), &mut end, SIZE), E_ARG);
        let call = quorate_call { struct_size: size_of::<quorate_call>() as u32, ttl_ms: 1, ..zeroed() };
        assert_eq!(quorate_add_sync(n, stock, 1, 0, &call, &mut end, SIZE), E_UNSUPPORTED);
        let long = vec![b'k'; 1 << 17];
        let key = quorate_bytes { data: long.as_ptr(), len: long.len() };
        assert_eq!(quorate_add_sync(n, key, 1, 0, null(), &mut end, SIZE), E_LIMIT);
        assert_eq!(quorate_put_number_sync(n, stock, 1, key, null(), &mut end, SIZE), E_LIMIT);
    }
}
