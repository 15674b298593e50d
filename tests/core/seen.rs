//! Writes on the condition that their writer has seen all that their coordinator holds.

use quorate::proto::error::Outcome;
use quorate::proto::io::{Add, Blind, Operation, Options};

use super::{Cluster, put, set, values, with_context};

fn put_if_seen<'a>(value: &'a str, context: Option<&'a [u8]>) -> Operation<'a> {
    Operation::Put { value: value.as_bytes(), context, blind: Blind::Refuse, expires_ms: None }
}

fn delete_if_seen(context: Option<&[u8]>) -> Operation<'_> {
    Operation::Delete { context, blind: Blind::Refuse }
}

fn ask(cluster: &mut Cluster, at: usize, operation: Operation<'_>) -> Outcome {
    cluster.ask(at, "k", operation, with_context()).outcome
}

#[test]
fn what_the_writer_has_not_seen_refuses_it_and_nothing_is_written() {
    for cold in [0, 2] {
        let mut cluster = Cluster::new(3, |_| {}, cold);
        assert_eq!(ask(&mut cluster, 0, put_if_seen("a", None)), Outcome::Ok, "there was nothing");
        assert_eq!(ask(&mut cluster, 1, put_if_seen("b", None)), Outcome::Changed);
        let seen = cluster.get(2, "k").context;
        assert_eq!(ask(&mut cluster, 1, set("c")), Outcome::Ok);
        assert_eq!(ask(&mut cluster, 0, put_if_seen("d", seen.as_deref())), Outcome::Changed);
        assert_eq!(ask(&mut cluster, 0, delete_if_seen(seen.as_deref())), Outcome::Changed);
        assert_eq!(values(&cluster.get(0, "k")), ["c"]);
        let seen = cluster.get(2, "k").context;
        assert_eq!(ask(&mut cluster, 2, put_if_seen("e", seen.as_deref())), Outcome::Ok);
        assert_eq!(ask(&mut cluster, 2, put_if_seen("f", seen.as_deref())), Outcome::Changed, "it is used");
        assert_eq!(values(&cluster.get(1, "k")), ["e"]);
    }
}

#[test]
fn one_of_two_siblings_is_not_enough_and_a_count_is_a_change() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    assert_eq!(ask(&mut cluster, 0, put("1", None)), Outcome::Ok);
    let one = cluster.get(0, "k").context;
    assert_eq!(ask(&mut cluster, 1, put("2", None)), Outcome::Ok);
    assert_eq!(ask(&mut cluster, 2, put_if_seen("3", one.as_deref())), Outcome::Changed);
    let both = cluster.get(0, "k").context;
    assert_eq!(ask(&mut cluster, 2, put_if_seen("3", both.as_deref())), Outcome::Ok);
    let three = cluster.get(0, "k").context;
    assert_eq!(ask(&mut cluster, 1, Operation::Add(Add::By { by: 4, id: None })), Outcome::Ok);
    assert_eq!(ask(&mut cluster, 0, put_if_seen("5", three.as_deref())), Outcome::Changed);
    assert_eq!(values(&cluster.get(0, "k")), ["7"]);
}

#[test]
fn a_delete_is_a_change_for_one_who_had_seen_a_value_and_none_for_one_who_had_not() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    assert_eq!(ask(&mut cluster, 0, set("a")), Outcome::Ok);
    let seen = cluster.get(0, "k").context;
    let delete = Operation::Delete { context: None, blind: Blind::Supersede };
    assert_eq!(ask(&mut cluster, 1, delete), Outcome::Ok);
    assert_eq!(ask(&mut cluster, 2, put_if_seen("b", seen.as_deref())), Outcome::Changed);
    assert_eq!(ask(&mut cluster, 2, delete_if_seen(seen.as_deref())), Outcome::Changed);
    assert_eq!(ask(&mut cluster, 2, put_if_seen("c", None)), Outcome::Ok, "there is no value");
}

#[test]
fn two_coordinators_may_both_accept_and_then_both_are_there() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    assert_eq!(ask(&mut cluster, 0, set("a")), Outcome::Ok);
    let seen = cluster.get(0, "k").context;
    (0..3).for_each(|at| cluster.isolate(at));
    let alone = Options { w: Some(1), ..with_context() };
    for (at, value) in [(0, "b"), (1, "c")] {
        let reply = cluster.ask(at, "k", put_if_seen(value, seen.as_deref()), alone);
        assert_eq!(reply.outcome, Outcome::Ok);
    }
    cluster.heal();
    let all = Options { r: Some(3), ..with_context() };
    assert_eq!(values(&cluster.ask(2, "k", Operation::Get, all)), ["b", "c"]);
}

#[test]
fn what_cannot_be_compared_is_refused() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    assert!(matches!(ask(&mut cluster, 0, delete_if_seen(None)), Outcome::BadArgument(_)));
    let sloppy = Options { sloppy: true, ..Options::default() };
    let reply = cluster.ask(0, "k", put_if_seen("a", None), sloppy);
    assert!(matches!(reply.outcome, Outcome::BadArgument(_)));
}
