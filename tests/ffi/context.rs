//! Contexts: which saw more, and one of several.

use quorate::ffi::context::*;

use super::*;

const BEFORE: i32 = -1;
const EQUAL: i32 = 0;
const AFTER: i32 = 1;
const CONCURRENT: i32 = 2;

/// Every pointer of these functions that may not be NULL.
pub fn nulls(
    check: &mut impl FnMut(&'static str, quorate_status),
    n: *mut quorate_node,
    torn: quorate_bytes,
) {
    let (k, mut order, mut len, mut buffer) = (bytes("k"), 7, 7, [0_u8; 8]);
    let to = buffer.as_mut_ptr();
    // SAFETY: what is no valid pointer is NULL.
    unsafe {
        check("quorate_context_compare", quorate_context_compare(NONE, NONE, null_mut()));
        check("quorate_context_compare", quorate_context_compare(torn, NONE, &mut order));
        check("quorate_context_compare", quorate_context_compare(NONE, torn, &mut order));
        check("quorate_context_merge", quorate_context_merge(null(), 0, k, &NONE, 1, to, 8, &mut len));
        assert_eq!(len, 0);
        check("quorate_context_merge", quorate_context_merge(n, 0, torn, &NONE, 1, to, 8, &mut len));
        check("quorate_context_merge", quorate_context_merge(n, 0, k, null(), 1, to, 8, &mut len));
        check("quorate_context_merge", quorate_context_merge(n, 0, k, &torn, 1, to, 8, &mut len));
        check("quorate_context_merge", quorate_context_merge(n, 0, k, &NONE, 1, null_mut(), 8, &mut len));
        check("quorate_context_merge", quorate_context_merge(n, 0, k, &NONE, 1, to, 8, null_mut()));
    }
}

fn order_of(one: &[u8], other: &[u8]) -> Result<i32, quorate_status> {
    let mut order = 7;
    // SAFETY: live bytes, and a place for the result.
    match unsafe { quorate_context_compare(view(one), view(other), &mut order) } {
        OK => Ok(order),
        status => {
            assert_eq!(order, CONCURRENT, "it is set before anything can fail");
            Err(status)
        }
    }
}

fn view(bytes: &[u8]) -> quorate_bytes {
    quorate_bytes { data: bytes.as_ptr(), len: bytes.len() }
}

fn merged(node: &Node, keyspace: u32, key: &str, contexts: &[&[u8]]) -> Result<Vec<u8>, quorate_status> {
    let given: Vec<_> = contexts.iter().map(|context| view(context)).collect();
    let merge = |to: &mut [u8]| {
        let mut len = 7;
        // SAFETY: a live node, live bytes, and places for the results.
        let status = unsafe {
            let (given, n) = (given.as_ptr(), given.len());
            quorate_context_merge(node.0, keyspace, bytes(key), given, n, to.as_mut_ptr(), to.len(), &mut len)
        };
        (status, len)
    };
    let mut buffer = vec![0xEE; 1_000];
    let len = match merge(&mut buffer) {
        (OK, len) => len,
        (status, len) => {
            assert_eq!(len, 0);
            return Err(status);
        }
    };
    assert!(buffer[len..].iter().all(|&byte| byte == 0xEE));
    buffer.truncate(len);
    for short in (0..len).rev().take(2) {
        assert_eq!(merge(&mut vec![0; short]), (AGAIN, len));
    }
    Ok(buffer)
}

/// Writes, and what a read says then: how many versions, and the context.
fn written(node: &Node, key: &str, value: &str, context: &[u8]) -> (u32, Vec<u8>) {
    let mut end = empty();
    // SAFETY: a live node, live bytes, a valid place for a completion, and its own memory until it is cleared.
    unsafe {
        assert_eq!(
            quorate_put_sync(node.0, bytes(key), bytes(value), view(context), null(), &mut end, SIZE),
            OK
        );
        assert_eq!(end.status, OK);
        quorate_completions_clear(&mut end, SIZE, 1);
        assert_eq!(quorate_get_sync(node.0, bytes(key), null(), &mut end, SIZE), OK);
        assert_eq!(end.status, OK);
        let read = std::slice::from_raw_parts(end.context.data, end.context.len).to_vec();
        let versions = end.n_siblings;
        quorate_completions_clear(&mut end, SIZE, 1);
        (versions, read)
    }
}

#[test]
fn contexts_are_compared_and_one_is_made_of_several() {
    let node = Node::open(&[(2, 1), (3, 1), (4, 1)]);
    // SAFETY: a live node.
    assert_eq!(unsafe { quorate_node_start(node.0, null_mut()) }, OK);
    let (_, first) = written(&node, "k", "1", &[]);
    let (versions, both) = written(&node, "k", "2", &[]);
    assert_eq!(versions, 2);
    assert_eq!(order_of(&[], &[]), Ok(EQUAL));
    assert_eq!(order_of(&[], &first), Ok(BEFORE));
    assert_eq!(order_of(&first, &[]), Ok(AFTER));
    assert_eq!(order_of(&first, &first), Ok(EQUAL));
    assert_eq!(order_of(&first, &both), Ok(BEFORE));
    assert_eq!(order_of(&both, &first), Ok(AFTER));
    // What is written over the first alone is concurrent to the second; whoever reads sees both.
    let (versions, last) = written(&node, "k", "3", &first);
    assert_eq!(versions, 2);
    assert_eq!(order_of(&both, &last), Ok(BEFORE));

    assert_eq!(merged(&node, 0, "k", &[]), Ok(vec![]));
    assert_eq!(merged(&node, 0, "k", &[&[], &[]]), Ok(vec![]));
    assert_eq!(merged(&node, 0, "k", &[&first]), Ok(first.clone()));
    assert_eq!(merged(&node, 0, "k", &[&last, &[], &first, &both]), Ok(last.clone()));
    let (versions, _) = written(&node, "k", "4", &merged(&node, 0, "k", &[&both, &last]).unwrap());
    assert_eq!(versions, 1, "it replaces what either saw");

    // Bytes that are none; another key, another keyspace, one that there is not.
    let (cut, mut bent) = (&last[..last.len() - 1], last.clone());
    bent[4] ^= 1;
    assert_eq!(order_of(b"context", &last), Err(E_CONTEXT));
    assert_eq!(order_of(&last, &vec![1; 100_000]), Err(E_CONTEXT));
    for wrong in [cut, &bent, b"context"] {
        assert_eq!(merged(&node, 0, "k", &[&first, wrong]), Err(E_CONTEXT));
    }
    assert_eq!(merged(&node, 0, "l", &[&first]), Err(E_CONTEXT));
    assert_eq!(merged(&node, 1, "k", &[&first]), Err(E_CONTEXT));
    assert_eq!(merged(&node, 1 << 20, "k", &[&first]), Err(E_ARG));
}
