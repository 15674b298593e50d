//! Counters: increments that know nothing of each other, and numbers put where others were read.

use quorate::proto::error::Outcome;
use quorate::proto::io::{Add, Blind, Edit, ExpiryEdit, ExpiryWhen, Kind, Operation, Options, Reply, View};

use super::{Cluster, put, set, values, with_context};

fn by(by: i64) -> Operation<'static> {
    Operation::Add(Add::By { by, id: None })
}

fn named(by: i64, id: u64) -> Operation<'static> {
    Operation::Add(Add::By { by, id: Some(id) })
}

fn to<'a>(to: i64, read: &'a Reply) -> Operation<'a> {
    Operation::Add(Add::To { to, context: read.context.as_deref().expect("it was asked for") })
}

fn add(cluster: &mut Cluster, at: usize, operation: Operation<'_>) -> (Outcome, Vec<String>) {
    let reply = cluster.ask(at, "stock", operation, Options::default());
    (reply.outcome.clone(), values(&reply))
}

fn ok(value: &str) -> (Outcome, Vec<String>) {
    (Outcome::Ok, vec![value.to_owned()])
}

/// The first node that holds no copy of `stock`, of four.
fn outsider(cluster: &Cluster) -> usize {
    let owners = cluster.nodes[0].owners(0, b"stock").members;
    (0..4).find(|at| !owners.contains(&format!("n{at}"))).expect("there are three copies")
}

#[test]
fn increments_that_know_nothing_of_each_other_all_count() {
    let mut cluster = Cluster::new(3, |_| {}, 2);
    assert_eq!(add(&mut cluster, 0, by(4)), ok("4"));
    assert_eq!(cluster.ask(1, "stock", set("10"), Options::default()).outcome, Outcome::Ok);
    (0..3).for_each(|at| cluster.isolate(at));
    let alone = Options { w: Some(1), ..Options::default() };
    for at in 0..3 {
        for step in 1..=2 {
            let reply = cluster.ask(at, "stock", by(at as i64 + 1), alone);
            assert_eq!(
                (&reply.outcome, values(&reply)),
                (&Outcome::Ok, vec![(10 + step * (at + 1)).to_string()])
            );
        }
    }
    assert!(matches!(add(&mut cluster, 0, by(1)).0, Outcome::NotEnoughReplicas { reachable: 1, needed: 2 }));
    cluster.heal();
    let all = Options { r: Some(3), ..with_context() };
    let read = cluster.ask(1, "stock", Operation::Get, all);
    assert_eq!((values(&read), read.siblings[0].kind), (vec!["22".to_owned()], Kind::Counter));
    // What a reader has seen is covered by its put, and no more than that.
    cluster.isolate(2);
    assert_eq!(cluster.ask(2, "stock", by(100), alone).outcome, Outcome::Ok);
    let done = cluster.ask(0, "stock", put("text", read.context.as_deref()), Options::default());
    assert_eq!(done.outcome, Outcome::Ok);
    cluster.heal();
    let read = cluster.ask(0, "stock", Operation::Get, all);
    assert_eq!(values(&read), ["100", "text"]);
    let gone = Operation::Delete { context: read.context.as_deref(), blind: Blind::Siblings };
    assert_eq!(cluster.ask(1, "stock", gone, Options::default()).outcome, Outcome::Ok);
    assert_eq!(cluster.ask(2, "stock", Operation::Get, all).outcome, Outcome::NotFound);
}

#[test]
fn two_who_read_10_and_put_8_and_7_leave_5() {
    let mut cluster = Cluster::new(3, |_| {}, 3);
    cluster.ask(0, "stock", set("10"), Options::default());
    let (one, two) = (cluster.get(1, "stock"), cluster.get(2, "stock"));
    assert_eq!(add(&mut cluster, 1, to(8, &one)), ok("8"));
    assert_eq!(add(&mut cluster, 2, to(7, &two)), ok("5"));
    // Once more, wherever it is asked for: it is answered as before and counts once.
    assert_eq!(add(&mut cluster, 0, to(8, &one)), ok("8"));
    assert_eq!(add(&mut cluster, 2, to(7, &two)), ok("5"));
    assert_eq!(values(&cluster.get(0, "stock")), ["5"]);
    // A reading of no single number names none.
    cluster.ask(0, "other", set("text"), Options::default());
    let text = cluster.get(0, "other");
    let reply = cluster.ask(0, "other", to(8, &text), Options::default());
    assert!(matches!(reply.outcome, Outcome::BadContext(_)));
    // Nor does a put made of one: its number is not what is there any more.
    let read = cluster.get(0, "stock");
    let made = cluster.ask(0, "stock", put("5", read.context.as_deref()), with_context());
    let reply = cluster.ask(0, "stock", to(8, &made), Options::default());
    assert!(matches!(reply.outcome, Outcome::BadContext(_)));
    // Who may carry it out cannot be reached, or is another boot: nobody knows whether it has.
    let read = cluster.get(1, "stock");
    cluster.isolate(1);
    assert_eq!(add(&mut cluster, 0, to(4, &read)).0, Outcome::Maybe);
    cluster.heal();
    assert_eq!(add(&mut cluster, 0, to(4, &read)), ok("4"));
    let read = cluster.get(1, "stock");
    cluster.restart(1);
    assert_eq!(add(&mut cluster, 0, to(3, &read)).0, Outcome::Maybe);
    assert_eq!(add(&mut cluster, 1, to(3, &read)).0, Outcome::Maybe);
    assert_eq!(values(&cluster.get(2, "stock")), ["4"]);
}

#[test]
fn who_holds_no_copy_has_others_count() {
    let mut cluster = Cluster::new(4, |_| {}, 0);
    let outsider = outsider(&cluster);
    assert_eq!(add(&mut cluster, outsider, by(10)), ok("10"));
    let read = cluster.get(outsider, "stock");
    for _ in 0..2 {
        assert_eq!(add(&mut cluster, outsider, to(8, &read)), ok("8"));
        assert_eq!(add(&mut cluster, outsider, named(5, 77)), ok("13"));
    }
    assert_eq!(values(&cluster.get(0, "stock")), ["13"]);
}

#[test]
fn a_named_increment_counts_once_and_one_that_was_not_begun_may_be_tried_again() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    for _ in 0..3 {
        assert_eq!(add(&mut cluster, 0, named(5, 1)), ok("5"));
    }
    assert_eq!(add(&mut cluster, 0, named(5, 2)), ok("10"));
    assert_eq!(cluster.ask(0, "other", named(5, 2), Options::default()).outcome, Outcome::Ok);
    cluster.isolate(0);
    assert!(matches!(add(&mut cluster, 0, named(5, 3)).0, Outcome::NotEnoughReplicas { .. }));
    cluster.heal();
    assert_eq!(add(&mut cluster, 0, named(5, 3)), ok("15"));
    // While the first one is under way, nothing is done for the second.
    cluster.cut.extend([(1, 0), (2, 0)]);
    let first = cluster.submit(0, "stock", named(5, 4), Options::default());
    assert_eq!(add(&mut cluster, 0, named(5, 4)).0, Outcome::Overloaded);
    let partial = loop {
        match cluster.replies.remove(&first) {
            Some(reply) => break reply,
            None => cluster.advance(std::time::Duration::from_millis(50)),
        }
    };
    assert_eq!((partial.outcome.clone(), partial.dot.is_some()), (Outcome::Maybe, true));
    cluster.heal();
    let again = cluster.ask(0, "stock", named(5, 4), Options::default());
    assert_eq!((again.outcome, again.dot), (Outcome::Maybe, partial.dot), "as the first time");
    assert_eq!(values(&cluster.get(0, "stock")), ["20"]);
}

#[test]
fn a_copy_that_is_behind_does_not_refuse_for_all() {
    let mut cluster = Cluster::new(3, |_| {}, 2);
    cluster.ask(0, "stock", set("text"), Options { w: Some(3), ..Options::default() });
    let refusal = Outcome::BadArgument("value is not an integer or out of range".into());
    assert_eq!(add(&mut cluster, 2, by(1)).0, refusal);
    cluster.isolate(2);
    cluster.ask(0, "stock", set("9223372036854775806"), Options::default());
    cluster.heal();
    assert_eq!(add(&mut cluster, 2, by(1)), ok("9223372036854775807"));
    let refusal = Outcome::BadArgument("increment or decrement would overflow".into());
    assert_eq!(add(&mut cluster, 1, by(1)).0, refusal);
    assert_eq!(add(&mut cluster, 1, by(-1)), ok("9223372036854775806"));
}

#[test]
fn edits_see_the_sum_and_put_it_in_the_place_of_what_they_saw() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    cluster.ask(0, "stock", set("1"), Options::default());
    assert_eq!(add(&mut cluster, 1, by(1)), ok("2"));
    let append = cluster.ask(2, "stock", Operation::Edit(Edit::Append(b"0")), Options::default());
    assert_eq!((append.length, values(&append)), (2, vec!["2".to_owned()]));
    assert_eq!(add(&mut cluster, 1, by(1)), ok("21"));
    let range = Edit::SetRange { offset: 1, part: b"4" };
    let range = cluster.ask(2, "stock", Operation::Edit(range), Options::default());
    assert_eq!((range.length, values(&range)), (2, vec!["21".to_owned()]));
    assert_eq!(add(&mut cluster, 1, by(-1)), ok("23"));
    let bit = Edit::SetBit { offset: 15, on: false };
    let bit = cluster.ask(0, "stock", Operation::Edit(bit), Options::default());
    assert_eq!(values(&bit), ["23"], "the value that it met");
    assert_eq!(add(&mut cluster, 1, by(-1)), ok("21"));
    let half = cluster.ask(0, "stock", Operation::Edit(Edit::AddFloat(b"0.5")), Options::default());
    assert_eq!(values(&half), ["21.5"]);
    let wrong = cluster.ask(0, "stock", Operation::Edit(Edit::AddFloat(b"x")), Options::default());
    assert_eq!(wrong.outcome, Outcome::BadArgument("value is not a valid float".into()));
    for edit in [Edit::SetRange { offset: u32::MAX, part: b"x" }, Edit::SetBit { offset: u32::MAX, on: true }]
    {
        let far = cluster.ask(0, "stock", Operation::Edit(edit), Options::default());
        assert!(matches!(far.outcome, Outcome::BadArgument(_)), "{far:?}");
    }
    assert!(cluster.ask(0, "stock", Operation::Edit(Edit::Delete), Options::default()).applied);
    assert_eq!(add(&mut cluster, 2, by(7)), ok("7"));
}

#[test]
fn a_view_of_one_of_two_counters_covers_no_more_than_that() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    for value in ["10", "20"] {
        cluster.ask(0, "stock", put(value, None), Options::default());
    }
    assert_eq!(add(&mut cluster, 0, by(1)), ok("21"));
    assert_eq!(values(&cluster.get(1, "stock")), ["10", "21"]);
    let latest = cluster.ask(1, "stock", Operation::Get, Options { view: View::Latest, ..with_context() });
    assert_eq!((values(&latest), latest.hid_siblings), (vec!["21".to_owned()], true));
    assert_eq!(add(&mut cluster, 2, to(22, &latest)), ok("22"));
    cluster.ask(0, "stock", put("30", latest.context.as_deref()), Options::default());
    assert_eq!(values(&cluster.get(2, "stock")), ["11", "31"], "the second step had not been seen");
    let majority = Options { view: View::Majority, r: Some(3), ..with_context() };
    let reply = cluster.ask(1, "stock", Operation::Get, majority);
    assert_eq!((reply.outcome.clone(), values(&reply)), ok("31"));
    // One more that only one replica has: the majority's version is the one before.
    cluster.isolate(0);
    cluster.ask(0, "stock", by(5), Options { w: Some(1), ..Options::default() });
    cluster.heal();
    let reply = cluster.ask(1, "stock", Operation::Get, majority);
    assert_eq!(
        (reply.outcome.clone(), values(&reply), reply.hid_siblings),
        (Outcome::Ok, vec!["31".into()], true)
    );
    let gone = Operation::Delete { context: reply.context.as_deref(), blind: Blind::Siblings };
    assert_eq!(cluster.ask(0, "stock", gone, Options::default()).outcome, Outcome::Ok);
    assert_eq!(values(&cluster.get(0, "stock")), ["15"], "10 stays, and the 5");
}

#[test]
fn nothing_is_counted_while_a_member_cannot_read_it() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let two = cluster.ids[2];
    cluster.nodes[0].set_peer_level(two, 1);
    cluster.isolate(2);
    let why = "a member of the cluster is of a release that cannot carry this out";
    let refusal = Outcome::BadArgument(why.into());
    assert_eq!(add(&mut cluster, 0, by(1)).0, refusal, "it will come back");
    for edit in [
        Edit::AddFloat(b"1"),
        Edit::SetRange { offset: 0, part: b"1" },
        Edit::SetBit { offset: 0, on: true },
        Edit::Expire { expiry: ExpiryEdit::At(9), when: ExpiryWhen::SoonerThanSome },
    ] {
        assert_eq!(add(&mut cluster, 0, Operation::Edit(edit.clone())).0, refusal, "{edit:?}");
    }
    let append = Operation::Edit(Edit::Append(b""));
    assert_eq!(cluster.ask(0, "other", append, Options::default()).outcome, Outcome::Ok);
    assert_eq!(add(&mut cluster, 1, by(1)), ok("1"), "this one has heard nothing of it");
    cluster.heal();
    cluster.nodes[0].set_peer_level(two, 2);
    assert_eq!(add(&mut cluster, 0, by(1)), ok("2"));
}
