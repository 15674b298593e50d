//! Sets from C: elements that come and go.

use quorate::ffi::sets::*;

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
        for (name, call) in [
            ("quorate_set_add", quorate_set_add as unsafe extern "C" fn(_, _, _, _, _, _) -> _),
            ("quorate_set_remove", quorate_set_remove),
        ] {
            check(name, call(null_mut(), k, &k, 1, null(), 0));
            check(name, call(n, torn, &k, 1, null(), 0));
            check(name, call(n, k, null(), 1, null(), 0));
            check(name, call(n, k, &torn, 1, null(), 0));
        }
        for (name, call) in [
            ("quorate_set_add_sync", quorate_set_add_sync as unsafe extern "C" fn(_, _, _, _, _, _, _) -> _),
            ("quorate_set_remove_sync", quorate_set_remove_sync),
        ] {
            check(name, call(null_mut(), k, &k, 1, null(), &mut end, SIZE));
            check(name, call(n, k, &k, 1, null(), null_mut(), SIZE));
        }
    }
}

/// The elements that a completion shows; each is of that type.
fn elements(end: &quorate_completion) -> Vec<String> {
    if end.n_siblings == 0 {
        return Vec::new();
    }
    // SAFETY: a completion that was not cleared has its siblings.
    let siblings = unsafe { std::slice::from_raw_parts(end.siblings, end.n_siblings as usize) };
    assert!(siblings.iter().all(|sibling| sibling.kind == 2));
    // SAFETY: as above; each value is as long as it says.
    let text = |value: quorate_bytes| unsafe { std::slice::from_raw_parts(value.data, value.len) };
    siblings.iter().map(|sibling| String::from_utf8_lossy(text(sibling.value)).into_owned()).collect()
}

#[test]
fn elements_come_and_go_and_are_shown_one_by_one() {
    let node = Node::started();
    let (cart, n) = (bytes("cart"), node.0);
    let (milk, bread, eggs) = (bytes("milk"), bytes("bread"), bytes("eggs"));
    let mut end = empty();
    // SAFETY: a live node, valid places for the results, and completions that are cleared once.
    unsafe {
        let three = [milk, bread, milk];
        assert_eq!(quorate_set_add_sync(n, cart, three.as_ptr(), 3, null(), &mut end, SIZE), OK);
        assert_eq!((end.count, end.n_siblings, end.acked), (2, 0, 1));
        assert!(end.dot.counter > 0);
        quorate_completions_clear(&mut end, SIZE, 1);
        let two = [eggs, bread];
        assert_eq!(quorate_set_add_sync(n, cart, two.as_ptr(), 2, null(), &mut end, SIZE), OK);
        assert_eq!(end.count, 1);
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_get_sync(n, cart, null(), &mut end, SIZE), OK);
        assert_eq!((elements(&end), end.count), (vec!["bread".into(), "eggs".into(), "milk".into()], 0));
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_set_remove_sync(n, cart, three.as_ptr(), 3, null(), &mut end, SIZE), OK);
        assert_eq!(end.count, 2);
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_set_remove_sync(n, cart, &milk, 1, null(), &mut end, SIZE), OK);
        assert_eq!((end.count, end.dot.counter, end.n_siblings), (0, 0, 0), "nothing was there");
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_put_sync(n, bytes("text"), milk, NONE, null(), &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_set_add_sync(n, bytes("text"), &milk, 1, null(), &mut end, SIZE), E_TYPE);
        assert_eq!(quorate_set_add_sync(n, cart, &milk, 0, null(), &mut end, SIZE), E_ARG);
        assert_eq!(quorate_set_add_sync(n, cart, &milk, usize::MAX, null(), &mut end, SIZE), E_LIMIT);
        let call = quorate_call { struct_size: size_of::<quorate_call>() as u32, ttl_ms: 1, ..zeroed() };
        assert_eq!(quorate_set_remove_sync(n, cart, &milk, 1, &call, &mut end, SIZE), E_UNSUPPORTED);
    }
}
