//! Sets: elements that come and go on both sides of a cut, beside values of other types.

use std::time::Duration;

use quorate::proto::error::Outcome;
use quorate::proto::io::{
    Add, Blind, Edit, ExpiryEdit, ExpiryWhen, Kind, Operation, Options, Presence, Reply, View,
};
use quorate::proto::limits::ELEMENTS_MAX;

use super::{Cluster, put, set, values, with_context};

/// Puts elements in, named in one line.
fn add(names: &str) -> Operation<'_> {
    Operation::Edit(Edit::AddElements(names.split(' ').map(str::as_bytes).collect()))
}

/// Takes elements out.
fn remove(names: &str) -> Operation<'_> {
    Operation::Edit(Edit::RemoveElements(names.split(' ').map(str::as_bytes).collect()))
}

/// How a change of the cart ended, and how many elements came or went.
fn change(cluster: &mut Cluster, at: usize, operation: Operation<'_>) -> (Outcome, u64) {
    let reply = cluster.ask(at, "cart", operation, Options::default());
    (reply.outcome, reply.length)
}

/// The same on one side of a cut.
fn change_alone(cluster: &mut Cluster, at: usize, operation: Operation<'_>) -> (Outcome, u64) {
    let alone = Options { r: Some(1), w: Some(1), ..Options::default() };
    let reply = cluster.ask(at, "cart", operation, alone);
    (reply.outcome, reply.length)
}

/// What is in the cart, as a read of all copies shows it; each copy is then asked alone.
fn cart(cluster: &mut Cluster) -> Vec<String> {
    let count = cluster.nodes.len().min(3) as u8;
    let all = Options { r: Some(count), ..with_context() };
    let shown = cluster.ask(0, "cart", Operation::Get, all);
    assert!(shown.siblings.iter().all(|sibling| sibling.kind == Kind::Element), "{shown:?}");
    for at in 0..3 {
        let alone = Options { r: Some(1), ..Options::default() };
        assert_eq!(values(&cluster.ask(at, "cart", Operation::Get, alone)), values(&shown), "at {at}");
    }
    values(&shown)
}

fn ok(count: u64) -> (Outcome, u64) {
    (Outcome::Ok, count)
}

#[test]
fn elements_are_added_and_removed_and_counted_once() {
    for cold in [0, 3] {
        let mut cluster = Cluster::new(3, |_| {}, cold);
        assert_eq!(change(&mut cluster, 0, remove("milk")), ok(0));
        assert_eq!(cluster.get(0, "cart").outcome, Outcome::NotFound);
        let none = Operation::Edit(Edit::AddElements(vec![]));
        assert_eq!(change(&mut cluster, 0, none).0, Outcome::BadArgument("no element is named".into()));
        assert_eq!(change(&mut cluster, 0, add("milk bread milk")), ok(2));
        assert_eq!(change(&mut cluster, 1, add("bread eggs")), ok(1));
        assert_eq!(cart(&mut cluster), ["bread", "eggs", "milk"]);
        assert_eq!(change(&mut cluster, 2, remove("bread soap bread")), ok(1));
        assert_eq!(cart(&mut cluster), ["eggs", "milk"]);
        assert_eq!(change(&mut cluster, 0, remove("eggs milk")), ok(2));
        let gone = cluster.get(1, "cart");
        assert_eq!((gone.outcome, gone.context.is_some()), (Outcome::NotFound, true));
        assert_eq!(change(&mut cluster, 1, add("milk")), ok(1));
        assert_eq!(cart(&mut cluster), ["milk"]);
    }
}

#[test]
fn on_both_sides_of_a_cut_what_was_added_stays_and_what_was_seen_goes() {
    let mut cluster = Cluster::new(3, |_| {}, 3);
    assert_eq!(change(&mut cluster, 0, add("milk bread eggs")), ok(3));
    cart(&mut cluster);
    (0..3).for_each(|at| cluster.isolate(at));
    // Added on two sides; removed on one and added again on another; removed on two.
    assert_eq!(change_alone(&mut cluster, 0, add("soap milk")), ok(1));
    assert_eq!(change_alone(&mut cluster, 1, add("soap")), ok(1));
    assert_eq!(change_alone(&mut cluster, 1, remove("milk bread eggs")), ok(3));
    assert_eq!(change_alone(&mut cluster, 2, remove("bread")), ok(1));
    assert_eq!(change_alone(&mut cluster, 2, add("salt")), ok(1));
    cluster.heal();
    assert_eq!(cart(&mut cluster), ["milk", "salt", "soap"], "milk was added where nobody saw it go");
    // What both have added goes at once, with all its dots.
    assert_eq!(change(&mut cluster, 2, remove("soap milk")), ok(2));
    assert_eq!(cart(&mut cluster), ["salt"]);
}

#[test]
fn a_machine_that_lost_its_copy_adds_under_an_epoch_of_its_own() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let all = Options { w: Some(3), ..Options::default() };
    for name in ["a", "b", "c"] {
        assert_eq!(cluster.ask(0, "cart", add(name), all).outcome, Outcome::Ok);
    }
    cluster.restart(0);
    cluster.isolate(0);
    for name in ["d", "e"] {
        assert_eq!(change_alone(&mut cluster, 0, add(name)), ok(1));
    }
    assert_eq!(change(&mut cluster, 1, remove("a")), ok(1));
    cluster.heal();
    assert_eq!(cart(&mut cluster), ["b", "c", "d", "e"]);
}

#[test]
fn who_holds_no_copy_has_others_change_a_set() {
    let mut cluster = Cluster::new(4, |_| {}, 0);
    let owners = cluster.nodes[0].owners(0, b"cart").members;
    let outsider = (0..4).find(|at| !owners.contains(&format!("n{at}"))).expect("there are three copies");
    assert_eq!(change(&mut cluster, outsider, add("milk bread")), ok(2));
    assert_eq!(change(&mut cluster, outsider, add("milk eggs")), ok(1));
    assert_eq!(change(&mut cluster, outsider, remove("milk salt")), ok(1));
    let read = cluster.get(outsider, "cart");
    assert_eq!((values(&read), read.siblings[0].kind), (vec!["bread".into(), "eggs".into()], Kind::Element));
    assert_eq!(cluster.ask(outsider, "cart", set("text"), Options::default()).outcome, Outcome::Ok);
    assert_eq!(change(&mut cluster, outsider, add("milk")).0, Outcome::WrongType);
}

#[test]
fn who_stands_in_for_all_replicas_changes_what_it_keeps() {
    let mut cluster = Cluster::new(6, |_| {}, 0);
    let owners = cluster.nodes[0].owners(0, b"cart").members;
    let owner = |at: usize| owners.contains(&format!("n{at}"));
    let (inside, outside): (Vec<usize>, Vec<usize>) = (0..6).partition(|&at| owner(at));
    assert_eq!(change(&mut cluster, inside[0], add("milk bread")), ok(2));
    inside.iter().for_each(|&at| cluster.isolate(at));
    let sloppy = Options { sloppy: true, ..with_context() };
    for (operation, count) in [(add("eggs milk"), 2), (add("salt"), 1), (remove("salt bread"), 1)] {
        let reply = cluster.ask(outside[0], "cart", operation, sloppy);
        assert_eq!((reply.outcome, reply.length, reply.achieved.fallbacks), (Outcome::Ok, count, 2));
    }
    let kept = cluster.ask(outside[1], "cart", Operation::Get, sloppy);
    assert_eq!(values(&kept), ["eggs", "milk"]);
    cluster.heal();
    for _ in 0..40 {
        cluster.advance(Duration::from_millis(100));
    }
    let all = Options { r: Some(3), ..Options::default() };
    let shown = cluster.ask(inside[0], "cart", Operation::Get, all);
    assert_eq!(values(&shown), ["bread", "eggs", "milk"], "nobody there has seen the bread");
}

#[test]
fn a_set_has_so_many_elements_and_bytes_and_no_more_but_always_lets_go() {
    let mut cluster = Cluster::new(3, |config| config.value_max = 100_000, 0);
    let names: Vec<String> = (0..=ELEMENTS_MAX).map(|number| number.to_string()).collect();
    let full = names[..ELEMENTS_MAX].join(" ");
    let refused = |count: usize| {
        Outcome::BadArgument(format!("the set would have {count} elements, the limit is 10000").into())
    };
    assert_eq!(change(&mut cluster, 0, add(&names.join(" "))).0, refused(ELEMENTS_MAX + 1));
    assert_eq!(change(&mut cluster, 0, add(&full)), ok(ELEMENTS_MAX as u64));
    assert_eq!(change(&mut cluster, 1, add("more 7")).0, refused(ELEMENTS_MAX + 1));
    assert_eq!(change(&mut cluster, 1, add("7 8")), ok(0));
    assert_eq!(change(&mut cluster, 1, remove("7 8 9")), ok(3));
    // No sibling is refused for its elements, nor is a read, whatever it shows.
    let text = cluster.ask(2, "cart", put("text", None), with_context());
    assert_eq!(text.outcome, Outcome::Ok);
    let both = cluster.get(0, "cart");
    assert_eq!(both.siblings.len(), ELEMENTS_MAX - 3 + 1);
    let covered = cluster.ask(0, "cart", put("x", both.context.as_deref()), Options::default());
    assert_eq!((covered.outcome, values(&cluster.get(1, "cart"))), (Outcome::Ok, vec!["x".into()]));
    cluster.ask(0, "cart", Operation::Edit(Edit::Delete), Options::default());
    let long = "l".repeat(99_999);
    assert_eq!(change(&mut cluster, 0, add(&long)), ok(1));
    let why = Outcome::BadArgument("the set would have more than 100000 bytes, which is the limit".into());
    assert_eq!(change(&mut cluster, 0, add("ll")).0, why);
    assert_eq!(change(&mut cluster, 0, add("s")), ok(1));
}

#[test]
fn other_commands_replace_a_set_or_refuse_it() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    change(&mut cluster, 0, add("milk bread"));
    let by_one = Operation::Add(Add::By { by: 1, id: None });
    for operation in
        [Operation::Edit(Edit::Append(b"x")), Operation::Edit(Edit::AddFloat(b"1")), by_one.clone()]
    {
        assert_eq!(change(&mut cluster, 1, operation).0, Outcome::WrongType);
    }
    let text_only = Options { text_only: true, ..Options::default() };
    let taken = cluster.ask(1, "cart", Operation::Edit(Edit::Delete), text_only);
    assert_eq!(
        (taken.outcome, cart(&mut cluster)),
        (Outcome::WrongType, vec!["bread".into(), "milk".into()])
    );
    // It expires as a whole, with what was added meanwhile.
    let expires_ms = cluster.now.wall.0 + 5_000;
    let expire = Edit::Expire { expiry: ExpiryEdit::At(expires_ms), when: ExpiryWhen::Always };
    assert!(cluster.ask(0, "cart", Operation::Edit(expire), Options::default()).applied);
    assert_eq!(change(&mut cluster, 2, add("eggs")), ok(1));
    let read = cluster.get(0, "cart");
    assert!(read.siblings.iter().all(|element| element.expires_ms == Some(expires_ms)));
    assert_eq!(values(&read), ["bread", "eggs", "milk"]);
    cluster.advance(Duration::from_secs(6));
    assert_eq!(cluster.get(0, "cart").outcome, Outcome::NotFound);
    assert_eq!(change(&mut cluster, 2, add("salt")), ok(1));
    let read = cluster.get(0, "cart");
    assert_eq!((values(&read), read.siblings[0].expires_ms), (vec!["salt".into()], None));
    // A value takes its place, and a set that of nothing but a set.
    let edit = Edit::Set { value: b"1", when: Presence::Present, expiry: ExpiryEdit::Clear };
    assert!(cluster.ask(0, "cart", Operation::Edit(edit), Options::default()).applied);
    assert_eq!(change(&mut cluster, 1, add("milk")).0, Outcome::WrongType);
    assert_eq!(change(&mut cluster, 1, remove("milk")).0, Outcome::WrongType);
    assert_eq!(change(&mut cluster, 2, by_one).0, Outcome::Ok);
    assert_eq!(change(&mut cluster, 1, add("milk")).0, Outcome::WrongType);
    assert!(cluster.ask(0, "cart", Operation::Edit(Edit::Delete), Options::default()).applied);
    assert_eq!(change(&mut cluster, 1, add("milk")), ok(1));
    assert!(cluster.ask(0, "cart", Operation::Edit(Edit::Delete), Options::default()).applied);
    assert_eq!(cluster.get(0, "cart").outcome, Outcome::NotFound);
}

#[test]
fn a_value_beside_a_set_is_shown_and_the_newest_decides() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    change(&mut cluster, 0, add("milk"));
    cluster.advance(Duration::from_millis(10));
    cluster.ask(1, "cart", put("text", None), Options::default());
    let both: Reply = cluster.get(2, "cart");
    let kinds: Vec<Kind> = both.siblings.iter().map(|sibling| sibling.kind).collect();
    assert_eq!(
        (values(&both), kinds),
        (vec!["milk".into(), "text".into()], vec![Kind::Bytes, Kind::Element])
    );
    assert_eq!(change(&mut cluster, 0, add("bread")).0, Outcome::WrongType, "the text is the newest");
    let latest = Options { view: View::Latest, ..with_context() };
    let text = cluster.ask(0, "cart", Operation::Get, latest);
    assert_eq!((values(&text), text.hid_siblings), (vec!["text".into()], true));
    // A delete of what was shown leaves the set.
    let gone = Operation::Delete { context: text.context.as_deref(), blind: Blind::Siblings };
    assert_eq!(cluster.ask(1, "cart", gone, Options::default()).outcome, Outcome::Ok);
    assert_eq!(cart(&mut cluster), ["milk"]);
    // The other way round, a change of the set takes the place of the text that it has read.
    cluster.ask(1, "cart", put("text", None), Options::default());
    (0..3).for_each(|at| cluster.isolate(at));
    cluster.advance(Duration::from_millis(10));
    cluster.heal();
    cluster.ask(2, "cart", Operation::Delete { context: None, blind: Blind::Siblings }, Options::default());
    change(&mut cluster, 0, add("milk"));
    cluster.isolate(2);
    cluster.ask(2, "cart", put("old", None), Options { w: Some(1), ..Options::default() });
    cluster.advance(Duration::from_millis(10));
    assert_eq!(change(&mut cluster, 0, add("bread")), ok(1));
    cluster.heal();
    let majority = Options { view: View::Majority, r: Some(3), ..with_context() };
    let most = cluster.ask(1, "cart", Operation::Get, majority);
    assert_eq!((values(&most), most.hid_siblings), (vec!["bread".into(), "milk".into()], true));
    assert_eq!(change(&mut cluster, 1, remove("milk")), ok(1));
    assert_eq!(cart(&mut cluster), ["bread"]);
}

#[test]
fn no_set_is_made_while_a_member_cannot_read_it() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let two = cluster.ids[2];
    cluster.nodes[0].set_peer_level(two, 1);
    cluster.isolate(2);
    let refusal =
        Outcome::BadArgument("a member of the cluster is of a release that cannot carry this out".into());
    assert_eq!(change(&mut cluster, 0, add("milk")).0, refusal, "it will come back");
    assert_eq!(change(&mut cluster, 1, add("milk")), ok(1), "this one has heard nothing of it");
    cluster.heal();
    cluster.nodes[0].set_peer_level(two, 2);
    assert_eq!(change(&mut cluster, 0, add("milk bread")), ok(1));
}
