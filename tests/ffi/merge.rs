//! Functions of the host that make one value of siblings.

use core::ffi::c_void;
use std::sync::atomic::{AtomicU32, Ordering};

use quorate::ffi::merge::*;

use super::*;

/// Every pointer of the function that may not be NULL.
pub fn nulls(check: &mut impl FnMut(&'static str, quorate_status), n: *mut quorate_node) {
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check(
            "quorate_merge_register",
            quorate_merge_register(null_mut(), 0, Some(joined), null_mut(), None),
        );
        check("quorate_merge_register", quorate_merge_register(n, 0, None, null_mut(), None));
    }
}

/// What a function was told.
#[derive(Default)]
struct Told {
    calls: AtomicU32,
    drops: AtomicU32,
    /// The node that it calls, which it must not.
    node: std::sync::atomic::AtomicPtr<quorate_node>,
    /// What that came to.
    status: std::sync::atomic::AtomicI32,
}

/// Joins the values, each with so many bytes behind it that the first buffer is too small.
unsafe extern "C" fn joined(
    user: *mut c_void,
    key: quorate_bytes,
    values: *const quorate_bytes,
    count: usize,
    buffer: *mut u8,
    cap: usize,
    len: *mut usize,
) -> i32 {
    // SAFETY: the library's promise, and the test keeps what `user` points to until the drop.
    unsafe {
        let told = &*user.cast::<Told>();
        told.calls.fetch_add(1, Ordering::SeqCst);
        let node = told.node.load(Ordering::SeqCst);
        let mut end = empty();
        told.status.store(quorate_get_sync(node, key, null(), &mut end, SIZE), Ordering::SeqCst);
        let mut all = Vec::new();
        for at in 0..count {
            let value = *values.add(at);
            all.extend_from_slice(std::slice::from_raw_parts(value.data, value.len));
            all.resize(all.len() + 3_000, b'.');
        }
        if all.starts_with(b"bad") {
            return 1;
        }
        *len = all.len();
        if all.len() <= cap {
            buffer.copy_from_nonoverlapping(all.as_ptr(), all.len());
        }
        0
    }
}

unsafe extern "C" fn let_go(user: *mut c_void) {
    // SAFETY: as above.
    unsafe { &*user.cast::<Told>() }.drops.fetch_add(1, Ordering::SeqCst);
}

#[test]
fn a_function_of_the_host_makes_one_value_and_may_not_call_back() {
    let (told, replaced) = (Told::default(), Told::default());
    let user = |told: &Told| (&raw const *told).cast_mut().cast::<c_void>();
    let node = Node::open(&[]);
    let (n, mut end) = (node.0, empty());
    told.node.store(n, Ordering::SeqCst);
    let view = |view| {
        // SAFETY: a call is numbers, for which all bits zero is a value.
        let zero = unsafe { zeroed() };
        quorate_call { struct_size: size_of::<quorate_call>() as u32, view, ..zero }
    };
    // SAFETY: a live node, valid places for the results, and completions that are cleared once.
    unsafe {
        assert_eq!(quorate_merge_register(n, 16, Some(joined), user(&replaced), Some(let_go)), E_ARG);
        assert_eq!(replaced.drops.load(Ordering::SeqCst), 1, "a failed call lets go");
        assert_eq!(quorate_merge_register(n, 2, Some(joined), user(&replaced), Some(let_go)), OK);
        assert_eq!(quorate_merge_register(n, 2, Some(joined), user(&told), Some(let_go)), OK);
        assert_eq!(replaced.drops.load(Ordering::SeqCst), 2, "the second replaces the first");
        assert_eq!(quorate_node_start(n, null_mut()), OK);
        assert_eq!(quorate_merge_register(n, 2, Some(joined), user(&replaced), Some(let_go)), E_STATE);
        for value in ["one", "two"] {
            assert_eq!(quorate_put_sync(n, bytes("k"), bytes(value), NONE, null(), &mut end, SIZE), OK);
            quorate_completions_clear(&mut end, SIZE, 1);
        }
        assert_eq!(quorate_get_sync(n, bytes("k"), &view(18), &mut end, SIZE), OK);
        assert_eq!((end.n_siblings, end.flags & 0x800), (1, 0x800));
        assert_eq!((*end.siblings).value.len, 6_006);
        assert_eq!(told.calls.load(Ordering::SeqCst), 2, "once more with as much room");
        assert_eq!(told.status.load(Ordering::SeqCst), E_REENTRANT);
        let mut other = empty();
        assert_eq!(quorate_put_sync(n, bytes("k"), bytes("bad"), end.context, null(), &mut other, SIZE), OK);
        quorate_completions_clear(&mut other, SIZE, 1);
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_put_sync(n, bytes("k"), bytes("worse"), NONE, null(), &mut end, SIZE), OK);
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_get_sync(n, bytes("k"), &view(18), &mut end, SIZE), OK);
        assert_eq!((end.n_siblings, end.flags & 0x800), (2, 0), "what it refuses is shown as it is");
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_get_sync(n, bytes("k"), &view(17), &mut end, SIZE), E_ARG);
        assert_eq!(quorate_get_sync(n, bytes("k"), &view(8), &mut end, SIZE), E_UNSUPPORTED);
        assert_eq!(quorate_get_sync(n, bytes("k"), &view(32), &mut end, SIZE), E_UNSUPPORTED);
    }
    drop(node);
    assert_eq!(told.drops.load(Ordering::SeqCst), 1);
}
