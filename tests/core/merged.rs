//! Views that make one value of several.

use quorate::proto::error::Outcome;
use quorate::proto::io::{Add, Edit, Kind, Merge, MergeFunction, Operation, Options, Reply, View};

use super::{Cluster, put, values, with_context};

fn read(cluster: &mut Cluster, key: &str, merge: Merge) -> Reply {
    cluster.ask(0, key, Operation::Get, Options { view: View::Merged(merge), ..with_context() })
}

/// What a view shows, and whether it made it of several.
fn shown(cluster: &mut Cluster, key: &str, merge: Merge) -> (Vec<String>, bool) {
    let reply = read(cluster, key, merge);
    assert_eq!((&reply.outcome, reply.hid_siblings), (&Outcome::Ok, false));
    (values(&reply), reply.merged)
}

/// Writes that know nothing of each other.
fn write_all(cluster: &mut Cluster, key: &str, all: &[&str]) {
    for (at, value) in all.iter().enumerate() {
        assert_eq!(cluster.ask(at % 3, key, put(value, None), Options::default()).outcome, Outcome::Ok);
    }
}

fn one(value: &str) -> (Vec<String>, bool) {
    (vec![value.to_owned()], true)
}

#[test]
fn numbers_lines_and_bytes_become_one_value() {
    let mut cluster = Cluster::new(3, |_| {}, 2);
    write_all(&mut cluster, "n", &["7", "-12", "7"]);
    assert_eq!(shown(&mut cluster, "n", Merge::Max), one("7"));
    assert_eq!(shown(&mut cluster, "n", Merge::Min), one("-12"));
    assert_eq!(shown(&mut cluster, "n", Merge::Sum), one("2"));
    assert_eq!(shown(&mut cluster, "n", Merge::Concat), one("7-127"));
    write_all(&mut cluster, "cart", &["milk\neggs\n", "", "tea\nmilk"]);
    assert_eq!(shown(&mut cluster, "cart", Merge::SetUnion), one("eggs\nmilk\ntea"));
    // A counter is a number, and a set its elements.
    cluster.ask(1, "n", Operation::Add(Add::By { by: 5, id: None }), Options::default());
    assert!(shown(&mut cluster, "n", Merge::Max).1);
    let tea = Operation::Edit(Edit::AddElements(vec![b"rice", b"tea"]));
    assert_eq!(cluster.ask(2, "fresh", tea, Options::default()).outcome, Outcome::Ok);
    write_all(&mut cluster, "fresh", &["milk"]);
    assert_eq!(shown(&mut cluster, "fresh", Merge::SetUnion), one("milk\nrice\ntea"));
}

#[test]
fn what_cannot_be_made_one_value_is_shown_as_it_is() {
    let mut cluster = Cluster::new(3, |config| config.value_max = 20, 0);
    write_all(&mut cluster, "text", &["7", "x"]);
    write_all(&mut cluster, "large", &["9223372036854775807", "1"]);
    write_all(&mut cluster, "odd", &["07", "1"]);
    write_all(&mut cluster, "long", &["0123456789", "abcdefghijk"]);
    for (key, merge) in [
        ("text", Merge::Max),
        ("text", Merge::Sum),
        ("large", Merge::Sum),
        ("odd", Merge::Min),
        ("long", Merge::Concat),
        ("long", Merge::SetUnion),
    ] {
        let (values, is_merged) = shown(&mut cluster, key, merge);
        assert_eq!((values.len(), is_merged), (2, false), "{key} {merge:?}");
    }
    write_all(&mut cluster, "alone", &["x"]);
    assert_eq!(shown(&mut cluster, "alone", Merge::Max), (vec!["x".to_owned()], false));
    assert_eq!(read(&mut cluster, "none", Merge::Max).outcome, Outcome::NotFound);
}

#[test]
fn a_merged_view_is_stored_by_a_write_with_its_context_and_by_nothing_else() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    write_all(&mut cluster, "n", &["1", "2", "3"]);
    let reply = read(&mut cluster, "n", Merge::Max);
    assert_eq!(reply.siblings[0].kind, Kind::Bytes);
    assert_eq!(values(&cluster.get(1, "n")), ["1", "2", "3"], "nothing was stored");
    write_all(&mut cluster, "n", &["9"]);
    let written = cluster.ask(2, "n", put("3", reply.context.as_deref()), Options::default());
    assert_eq!(written.outcome, Outcome::Ok);
    assert_eq!(values(&cluster.get(0, "n")), ["3", "9"], "what it had not seen stays");
}

#[test]
fn a_function_of_the_host_sees_siblings_by_their_dots() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let host = Options { view: View::Merged(Merge::Host(3)), ..with_context() };
    let refused = cluster.ask(0, "k", Operation::Get, host);
    assert!(matches!(refused.outcome, Outcome::BadArgument(_)), "no function has that number");
    let joined: fn() -> MergeFunction = || {
        Box::new(|key: &[u8], values: &[&[u8]]| {
            let all = [&[key], values].concat().join(&b'+');
            (!values.contains(&&b"bad"[..])).then_some(all)
        })
    };
    (0..3).for_each(|at| cluster.nodes[at].register_merge(3, joined()));
    write_all(&mut cluster, "k", &["b", "a", "c"]);
    let merged: Vec<_> = (0..3)
        .map(|at| {
            let reply = cluster.ask(at, "k", Operation::Get, host);
            assert!(reply.merged);
            values(&reply)
        })
        .collect();
    assert!(merged.windows(2).all(|two| two[0] == two[1]), "each node comes to the same: {merged:?}");
    let mut dots = cluster.get(0, "k").siblings;
    dots.sort_by_key(|sibling| sibling.dot);
    let by_dot: Vec<String> =
        dots.iter().map(|sibling| String::from_utf8(sibling.value.to_vec()).unwrap()).collect();
    assert_eq!(merged[0], [format!("k+{}", by_dot.join("+"))]);
    write_all(&mut cluster, "k", &["bad"]);
    let reply = cluster.ask(1, "k", Operation::Get, host);
    assert_eq!((values(&reply).len(), reply.merged), (4, false));
    let write = cluster.ask(0, "k", put("x", None), host);
    assert!(matches!(write.outcome, Outcome::BadArgument(_)), "a view that merges is for reads");
}
