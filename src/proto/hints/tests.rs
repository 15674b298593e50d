use core::ops::ControlFlow;

use super::*;
use crate::proto::config::Config;
use crate::proto::time::WallTime;
use crate::proto::version::{Actor, Dot, Epoch, Sibling, VectorClock};
use crate::store::MemoryStore;

const KEY: Key = Key([7; 16]);

fn now() -> Now {
    Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) }
}

fn hints(bytes_max: u64) -> Hints<MemoryStore> {
    let config = Config { hint_bytes_max: Some(bytes_max), ..Config::new("a") };
    Hints::open(MemoryStore::new(PARTITIONS, &mut || 9), &config, KEY, 8, now())
}

/// An object of one event of an actor, written at a millisecond.
fn object(actor: u64, counter: u64, at_ms: u64) -> Vec<u8> {
    let dot = Dot { actor: Actor { generation: actor, epoch: Epoch { nonce: 1, number: 1 } }, counter };
    let hlc = Hlc::from_millis(at_ms);
    let sibling = Sibling { dot, hlc, tombstone: false, expires_ms: None, value: b"v"[..].into() };
    let mut object = Object::default();
    object.write(&VectorClock::new(), |_| false, sibling);
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    bytes
}

fn spot(target: u64) -> Spot<'static> {
    Spot { target: MemberId(target), keyspace: 3, key: b"cart" }
}

#[test]
fn a_hint_names_its_target_and_key() {
    for target in [0, 7, u64::MAX] {
        let spot = spot(target);
        assert_eq!(Spot::of(&spot.name()), Some(spot));
    }
    let empty = Spot { key: b"", ..spot(1) };
    assert_eq!(Spot::of(&empty.name()), Some(empty));
    for bad in [&b""[..], b"cart", b"{000000000000000g}\0\0cart", b"0000000000000007}}\0\0cart"] {
        assert_eq!(Spot::of(bad), None, "{bad:?}");
    }
}

#[test]
fn what_is_counted_takes_in_what_is_not_and_figures_are_exact() {
    let mut hints = hints(10_000);
    hints.keep(now(), &spot(7), &object(1, 1, 500), false).unwrap();
    assert_eq!((hints.figures().records, hints.figures().counted), (1, 0));
    hints.keep(now(), &spot(7), &object(2, 1, 400), true).unwrap();
    hints.keep(now(), &spot(7), &object(3, 1, 300), false).unwrap();
    assert_eq!((hints.figures().records, hints.figures().counted), (1, 1));
    hints.keep(now(), &spot(8), &object(1, 1, 500), false).unwrap();
    let merged = hints.read(3, b"cart", &[MemberId(7)]);
    assert_eq!(Object::decode(&merged).unwrap().siblings().len(), 3);
    assert_eq!(hints.oldest(), Some(300));
    let partition = hints.partition(3, b"cart");
    assert_eq!(hints.oldest_of(partition), Some(300));
    let before = (hints.figures(), hints.oldest());
    hints.count_all();
    assert_eq!((hints.figures(), hints.oldest()), before, "counted anew it is the same");
    hints.discard(now());
    assert_eq!((hints.figures(), hints.oldest()), (Figures::default(), None));
    assert_eq!(hints.keep(now(), &spot(7), &object(1, 1, 500), true), Err(Refusal::Overloaded));
}

#[test]
fn only_the_hint_that_was_sent_is_removed() {
    let mut hints = hints(10_000);
    hints.keep(now(), &spot(7), &object(1, 1, 500), true).unwrap();
    let name = spot(7).name();
    let sent = hints.weigh(&hints.key_ref(true, &name)).unwrap().item_hash;
    hints.keep(now(), &spot(7), &object(2, 1, 500), true).unwrap();
    assert_eq!(hints.remove(now(), (true, &name, sent)), Ok(false), "it holds more by now");
    let sent = hints.weigh(&hints.key_ref(true, &name)).unwrap().item_hash;
    assert_eq!(hints.remove(now(), (true, &name, sent)), Ok(true));
    assert_eq!(hints.figures(), Figures::default());
}

#[test]
fn a_share_of_the_data_is_the_bound_unless_one_was_asked_for() {
    let mut asked = hints(5_000);
    asked.set_share(1 << 40);
    assert_eq!(asked.bytes_max, 5_000);
    let mut open = Hints::open(MemoryStore::new(PARTITIONS, &mut || 9), &Config::new("a"), KEY, 8, now());
    open.set_share(1 << 40);
    assert_eq!(open.bytes_max, (1 << 40) / limits::HINT_SHARE);
    open.set_share(0);
    assert_eq!(open.bytes_max, limits::HINT_BYTES_LEAST);
}

#[test]
fn a_fallback_goes_on_with_its_epoch_and_issues_under_its_node() {
    let mut hints = hints(10_000);
    let new = NewVersion { tombstone: false, value: b"v", expires_ms: None };
    let targets = [MemberId(7), MemberId(8)];
    let write = |hints: &mut Hints<MemoryStore>, target| {
        hints.write(now(), (77, &targets), &spot(target), (Cover::All, new)).unwrap().dot
    };
    hints.keep(now(), &spot(8), &object(1, 1, 500), false).unwrap();
    let (first, second) = (write(&mut hints, 7), write(&mut hints, 7));
    assert_eq!((first.actor, first.counter + 1), (second.actor, second.counter));
    assert_eq!(first.actor.generation, 77);
    let held = hints.read(3, b"cart", &[MemberId(7)]);
    let covers = Object::decode(&held)
        .unwrap()
        .context()
        .counter(Actor { generation: 1, epoch: Epoch { nonce: 1, number: 1 } });
    assert_eq!(covers, 1, "what is kept for another replica was read first");
    let mut found = 0;
    hints.store().scan(hints.key_ref(true, &spot(7).name()).partition, 0, &mut |key, _| {
        found += usize::from(key.keyspace == 1);
        ControlFlow::Continue(())
    });
    assert_eq!(found, 1, "one record a target");
}
