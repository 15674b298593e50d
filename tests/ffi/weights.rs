//! Weights of members, told in the member list or beside it.

use core::mem::zeroed;
use core::ptr::null_mut;

use quorate::ffi::node::*;
use quorate::ffi::options::*;
use quorate::ffi::plain::*;
use quorate::ffi::status::*;

use super::{Node, OPT_MODE, bytes, options, step};

/// What opening member A with these options says, if it is refused.
fn refusal(settings: &[(u32, &str)]) -> Option<String> {
    let (o, mut node) = (options(), null_mut());
    // SAFETY: numbers, for which zero is a value.
    let mut error: quorate_error = unsafe { zeroed() };
    error.struct_size = size_of::<quorate_error>() as u32;
    // SAFETY: valid places for the results; a node that was opened is freed once.
    unsafe {
        for &(option, text) in settings {
            assert_eq!(quorate_options_set_bytes(o, option, bytes(text)), OK);
        }
        let status = quorate_node_open(o, &mut node, &mut error);
        quorate_options_free(o);
        if status == OK {
            quorate_node_free(node);
            return None;
        }
        assert_eq!(status, E_ARG);
    }
    let text = error.text.iter().map(|byte| *byte as u8 as char).take_while(|letter| *letter != '\0');
    Some(text.collect())
}

#[test]
fn weights_are_told_in_the_member_list_or_beside_it() {
    let members = |list| refusal(&[(96, list)]);
    let weights = |list| refusal(&[(96, "A,B=2"), (98, list)]);
    for accepted in ["A@127.0.0.1:0=2,B=3", "A@127.0.0.1:0=1,B@[::1]:1=0", "A=0,B"] {
        assert_eq!(members(accepted), None, "{accepted}");
    }
    assert_eq!(weights("A=0"), None);
    for (refused, named) in [
        (members("A=,B"), "members: `A=`: `` is no weight"),
        (members("A,B@127.0.0.1:1=x"), "members: `B@127.0.0.1:1=x`: `x` is no weight, a whole number"),
        (members("A=4294967296"), "`4294967296` is no weight"),
        (members("A=0,B=0"), "members: no member has a weight above 0"),
        (weights("A"), "weights: `A` is not NAME=WEIGHT"),
        (weights("A=-1"), "weights: `A=-1`: `-1` is no weight"),
        (weights("C=1"), "weights: `C` is not in the member list"),
        (weights("B=1"), "weights: `B` has two weights"),
        (weights("A=1,A=1"), "weights: `A` has two weights"),
    ] {
        let refused = refused.expect("it is refused");
        assert!(refused.contains(named), "{refused}");
    }
}

/// Of two members that have not met, one can write alone if all data is its own.
#[test]
fn a_member_of_weight_0_holds_nothing() {
    for (weights, expected) in [("B=0", OK), ("B=1", E_QUORUM)] {
        let (o, mut node) = (options(), null_mut());
        // SAFETY: valid options and a place for the result.
        unsafe {
            assert_eq!(quorate_options_set_u64(o, OPT_MODE, MODE_HOST), OK);
            assert_eq!(quorate_options_set_bytes(o, 96, bytes("A,B")), OK);
            assert_eq!(quorate_options_add_bytes(o, 98, bytes(weights)), OK);
            assert_eq!(quorate_node_open(o, &mut node, null_mut()), OK);
            quorate_options_free(o);
        }
        let node = Node(node);
        assert_eq!(node.put(7), OK);
        let mut found = Vec::new();
        while found.is_empty() {
            step(&node);
            node.reap_into(&mut found);
        }
        assert_eq!((found[0].0, found[0].1), (7, expected), "{weights}");
    }
}
