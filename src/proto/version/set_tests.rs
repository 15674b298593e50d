//! Laws of sets: copies have what was added and not removed by anybody who had seen that, whatever met when.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::tests::{actor, change_set, count, merged, write, write_expiring};
use super::*;

const NAMES: [&[u8]; 3] = [b"a", b"b", b"c"];

/// An event as the model knows it: what it has put in, and the events that its writer had seen and replaced.
struct Event {
    dot: Dot,
    added: Option<usize>,
    covered: Vec<usize>,
}

/// The additions, by their place, that a context covers and that satisfy a test.
fn seen(events: &[Event], knows: impl Fn(Dot) -> bool, is_meant: impl Fn(usize) -> bool) -> Vec<usize> {
    let is_seen = |at: &usize| knows(events[*at].dot) && events[*at].added.is_some_and(&is_meant);
    (0..events.len()).filter(is_seen).collect()
}

/// What a copy must have: whatever its context covers that no event in it has covered.
fn expected(events: &[Event], object: &Object<'_>) -> BTreeSet<&'static [u8]> {
    let knows = |dot: Dot| object.context().covers(dot);
    let known = events.iter().filter(|event| knows(event.dot));
    let covered: BTreeSet<usize> = known.flat_map(|event| event.covered.iter().copied()).collect();
    let left = seen(events, knows, |_| true).into_iter().filter(|at| !covered.contains(at));
    left.filter_map(|at| events[at].added).map(|name| NAMES[name]).collect()
}

/// What a copy shows: the elements of its set, and nothing else that is live.
fn members(object: &Object<'_>, wall_ms: u64) -> Vec<Vec<u8>> {
    let mut rows = object.rows(wall_ms).into_iter().filter(|row| row.is_live);
    let row = rows.next();
    assert!(row.as_ref().is_none_or(Row::is_set) && rows.next().is_none(), "a set alone");
    assert_eq!(object.latest(wall_ms), row);
    row.iter().flat_map(Row::members).map(|element| element.value.to_vec()).collect()
}

fn encoded(object: &Object<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    bytes
}

proptest! {
    /// Three replicas change a set, delete what they or a client have seen, and merge; after every step every
    /// copy has just what its context says.
    #[test]
    fn a_copy_has_what_was_added_and_not_removed_by_who_had_seen_it(
        steps in proptest::collection::vec((0..7_u8, 0..3_usize, 0..3_usize, 1..8_usize), 0..40)
    ) {
        let mut replicas = vec![Object::default(); 3];
        let mut contexts = vec![Context::default(); 3];
        let mut events: Vec<Event> = Vec::new();
        for (kind, one, other, mask) in steps {
            let own = actor(one as u64);
            let before = replicas[one].context().counter(own);
            let named: Vec<usize> = (0..NAMES.len()).filter(|name| mask >> name & 1 == 1).collect();
            let names: Vec<&[u8]> = named.iter().map(|&name| NAMES[name]).collect();
            let held = replicas[one].context().clone();
            match kind {
                0 => contexts[other] = Context::of(&replicas[one]),
                1 | 2 => replicas[one] = merged(&replicas[one], &replicas[other]),
                3 => {
                    let context = if mask % 2 == 0 { Context::of(&replicas[one]) } else { contexts[other].clone() };
                    if context.clock.counter(own) <= before {
                        let covered = seen(&events, |dot| context.covers(dot), |_| true);
                        write(&mut replicas[one], one as u64, &context, "");
                        events.push(Event { dot: Dot { actor: own, counter: before + 1 }, added: None, covered });
                    }
                }
                4 => {
                    let covered = seen(&events, |dot| held.covers(dot), |name| named.contains(&name));
                    change_set(&mut replicas[one], one as u64, SetChange::Remove { members: &names }, 0);
                    events.push(Event { dot: Dot { actor: own, counter: before + 1 }, added: None, covered });
                }
                _ => {
                    let change = SetChange::Add { members: &names, expires_ms: None };
                    change_set(&mut replicas[one], one as u64, change, 0);
                    for (&name, counter) in named.iter().zip(before + 1..) {
                        let covered = seen(&events, |dot| held.covers(dot), |other| other == name);
                        events.push(Event { dot: Dot { actor: own, counter }, added: Some(name), covered });
                    }
                }
            }
            for replica in &replicas {
                let have = members(replica, 0);
                let have: BTreeSet<&[u8]> = have.iter().map(Vec::as_slice).collect();
                prop_assert_eq!(have, expected(&events, replica));
                let bytes = encoded(replica);
                prop_assert_eq!(&Object::decode(&bytes).expect("it was encoded"), replica);
            }
        }
    }
}

#[test]
fn a_removal_takes_what_it_saw_and_an_addition_meanwhile_stays() {
    let add = SetChange::Add { members: &[b"milk", b"bread"], expires_ms: None };
    let mut here = Object::default();
    assert_eq!(change_set(&mut here, 1, add, 0).map(|dot| dot.counter), Some(2));
    let mut there = here.clone();
    change_set(&mut here, 1, SetChange::Remove { members: &[b"milk", b"bread"] }, 0);
    assert!(here.is_delete() && here.is_dead());
    change_set(&mut there, 2, SetChange::Add { members: &[b"milk"], expires_ms: None }, 0);
    let both = merged(&here, &there);
    assert_eq!(both, merged(&there, &here));
    assert_eq!((members(&both, 0), both.is_dead()), (vec![b"milk".to_vec()], false));
}

#[test]
fn two_removals_that_together_leave_nothing_leave_a_deleted_key() {
    let mut here = Object::default();
    change_set(&mut here, 1, SetChange::Add { members: &[b"a", b"b"], expires_ms: None }, 0);
    let mut there = here.clone();
    change_set(&mut here, 1, SetChange::Remove { members: &[b"a"] }, 0);
    change_set(&mut there, 2, SetChange::Remove { members: &[b"b"] }, 0);
    let both = merged(&here, &there);
    assert_eq!((both.siblings().len(), both.latest(0)), (0, None), "neither was the last");
    assert!(both.is_delete() && both.is_dead() && both.context().covers(Dot { actor: actor(2), counter: 1 }));
    assert_eq!(Object::decode(&encoded(&both)).as_ref(), Ok(&both));
    assert_eq!(merged(&both, &here), both);
}

#[test]
fn a_change_takes_the_place_of_all_that_is_no_element() {
    let add = SetChange::Add { members: &[b"a"], expires_ms: Some(10) };
    let mut object = Object::default();
    write_expiring(&mut object, 1, &Context::default(), "5", Some(4));
    assert!(count(&mut object, 2, 7, 0).is_some());
    change_set(&mut object, 1, add, 0);
    assert_eq!((members(&object, 0), object.counts().len()), (vec![b"a".to_vec()], 0));
    assert_eq!(object.covered().of(actor(2)), Totals { added: 7, taken: 0 });
    assert_eq!(object.plan_count(1, 0), Err(CountError::IsSet));
    // Beside a text that came later it is not the newest any more; a number counts on without it.
    let mut beside = object.clone();
    beside.merge({
        let mut other = Object::default();
        write(&mut other, 3, &Context::default(), "9");
        other
    });
    let rows: Vec<bool> = beside.rows(0).iter().map(Row::is_set).collect();
    assert_eq!(rows, [false, true]);
    // An expired element is none.
    assert_eq!(members(&object, 10), [b""; 0]);
    change_set(&mut object, 1, SetChange::Add { members: &[b"b"], expires_ms: None }, 10);
    assert_eq!((members(&object, 10), object.siblings().len()), (vec![b"b".to_vec()], 1));
    change_set(&mut object, 1, SetChange::Expire { expires_ms: Some(30) }, 10);
    assert_eq!(object.latest(10).unwrap().expires_ms, Some(30));
    change_set(&mut object, 1, SetChange::Add { members: &[b"c"], expires_ms: None }, 10);
    assert_eq!(object.latest(10).unwrap().expires_ms, None, "as long as any of it");
}

#[test]
fn only_an_object_with_elements_is_of_version_3() {
    let mut plain = Object::default();
    write(&mut plain, 1, &Context::default(), "10");
    let mut set = Object::default();
    change_set(&mut set, 1, SetChange::Add { members: &[b"10"], expires_ms: None }, 0);
    let (text, element) = (encoded(&plain), encoded(&set));
    assert!(!is_set(&text) && is_set(&element) && !is_counted(&element));
    assert_eq!(Object::decode(&element).as_ref(), Ok(&set));
    let hash = |object: &Object<'_>| object.item_hash(&crate::proto::keys::Key([7; 16]), 0, b"k");
    assert_ne!(hash(&plain), hash(&set));
    // The flag, and the version that goes with it. Behind the flags are a length, two bytes and two empty lists.
    let flags = element.len() - 6;
    assert_eq!(element[flags], 8);
    for (version, wrong) in [(3, 0), (1, 8), (2, 8), (3, 9), (3, 16 + 8), (3, 8 + 4)] {
        let mut bent = element.clone();
        (bent[0], bent[flags]) = (version, wrong);
        assert!(Object::decode(&bent).is_err(), "version {version}, flags {wrong}");
    }
    let mut all = plain.clone();
    assert!(all.merge(set.clone()), "one dot, a text and an element");
    change_set(&mut set, 1, SetChange::Remove { members: &[b"10"] }, 0);
    assert_eq!(encoded(&set)[0], 1, "once it is empty");
}

#[test]
fn an_actor_whose_events_end_changes_nothing() {
    let mut object = Object::default();
    let seen = Context {
        clock: {
            let mut clock = VectorClock::new();
            clock.raise(actor(1), u64::MAX - 2);
            clock
        },
        ..Context::default()
    };
    write(&mut object, 2, &seen, "");
    let before = object.clone();
    let add = SetChange::Add { members: &[b"a", b"b", b"c"], expires_ms: None };
    assert_eq!(change_set(&mut object, 1, add, 0), None);
    assert_eq!(object, before);
}

#[test]
fn a_view_that_hides_a_text_beside_a_large_set_names_so_many_dots_and_no_more() {
    let names: Vec<String> = (0..5_000).map(|number| number.to_string()).collect();
    let members: Vec<&[u8]> = names.iter().map(String::as_bytes).collect();
    let mut object = Object::default();
    change_set(&mut object, 1, SetChange::Add { members: &members[..1], expires_ms: None }, 0);
    write(&mut object, 1, &Context::default(), "text");
    let mut other = object.clone();
    change_set(&mut other, 1, SetChange::Add { members: &members[..1], expires_ms: None }, 0);
    object = merged(&object, &other);
    change_set(&mut object, 1, SetChange::Add { members: &members, expires_ms: None }, 0);
    let first = object.siblings()[0].dot;
    let context = Context::of_shown(&object, |dot| dot != first);
    assert!(!context.covers(first) && context.dots.len() == crate::proto::limits::CONTEXT_DOTS_MAX);
    let keys = crate::proto::keys::ClusterKeys::derive("c", &crate::proto::keys::ClusterKeys::PUBLIC);
    let token = context.token(&keys.token, 0, b"key", true);
    assert_eq!(Context::from_token(&token, &keys.token, 0, b"key"), Ok(context));
}
