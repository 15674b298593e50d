//! Edits: read-modify-writes that the key's coordinator decides on what R replicas have.

use quorate::proto::error::Outcome;
use quorate::proto::io::{Edit, ExpiryEdit, ExpiryWhen, Operation, Options, Presence};

use super::{Cluster, set, values};

#[test]
fn edits_at_a_stale_coordinator_act_on_what_was_acknowledged() {
    let mut cluster = Cluster::new(3, |_| {}, 3);
    cluster.ask(0, "k", set("v1"), Options::default());
    cluster.isolate(2);
    cluster.ask(0, "k", set("v2"), Options::default());
    cluster.heal();
    let at = ExpiryEdit::At(9_000_000);
    let expire = Operation::Edit(Edit::Expire { expiry: at, when: ExpiryWhen::Always });
    assert!(cluster.ask(2, "k", expire, Options::default()).applied);
    let reply = cluster.get(0, "k");
    assert_eq!((values(&reply), reply.siblings[0].expires_ms), (vec!["v2".to_owned()], Some(9_000_000)));
    let append = cluster.ask(1, "k", Operation::Edit(Edit::Append(b"+")), Options::default());
    assert_eq!((append.applied, append.length, values(&append)), (true, 3, vec!["v2".to_owned()]));
    let absent = Edit::Set { value: b"no", when: Presence::Absent, expiry: ExpiryEdit::Clear };
    let reply = cluster.ask(1, "k", Operation::Edit(absent), Options::default());
    assert_eq!((reply.outcome, reply.applied), (Outcome::Ok, false));
    cluster.isolate(2);
    cluster.ask(0, "k", set("v3"), Options::default());
    cluster.heal();
    let delete = cluster.ask(2, "k", Operation::Edit(Edit::Delete), Options::default());
    assert_eq!((delete.applied, values(&delete)), (true, vec!["v3".to_owned()]));
    let gone = cluster.get(1, "k");
    assert_eq!(gone.outcome, Outcome::NotFound);
    assert!(gone.context.is_some(), "a deleted key still has a context");
}

#[test]
fn no_edit_makes_a_value_longer_than_it_may_be() {
    let mut cluster = Cluster::new(3, |config| config.value_max = 8, 0);
    cluster.ask(0, "k", set("1234567"), Options::default());
    let why = "string exceeds maximum allowed size (proto-max-bulk-len)";
    let append = cluster.ask(1, "k", Operation::Edit(Edit::Append(b"89")), Options::default());
    assert_eq!((append.outcome, append.applied), (Outcome::BadArgument(why.into()), false));
    let range = Edit::SetRange { offset: 7, part: b"8" };
    assert!(cluster.ask(2, "k", Operation::Edit(range), Options::default()).applied);
    for far in [Edit::SetRange { offset: 7, part: b"89" }, Edit::SetBit { offset: 64, on: true }] {
        let outcome = cluster.ask(2, "k", Operation::Edit(far), Options::default()).outcome;
        assert!(matches!(outcome, Outcome::BadArgument(_)), "{outcome:?}");
    }
    assert_eq!(values(&cluster.get(0, "k")), ["12345678"]);
}
