//! Laws of objects and contexts, over random histories of real writes and merges.

use proptest::prelude::*;

use super::*;
use crate::proto::keys::{ClusterKeys, Key};

fn hash_key() -> Key {
    ClusterKeys::derive("c", &ClusterKeys::PUBLIC).hash
}

pub(super) fn actor(number: u64) -> Actor {
    Actor { generation: 7, epoch: Epoch { nonce: 3, number } }
}

/// Writes as replica `number` does: covering what `context` has seen.
pub(super) fn write(object: &mut Object<'static>, number: u64, context: &Context, value: &str) {
    write_expiring(object, number, context, value, None);
}

pub(super) fn write_expiring(
    object: &mut Object<'static>,
    number: u64,
    context: &Context,
    value: &str,
    expires_ms: Option<u64>,
) {
    let actor = actor(number);
    let counter = object.context().counter(actor).max(context.clock.counter(actor)) + 1;
    let sibling = Sibling {
        dot: Dot { actor, counter },
        hlc: Hlc(counter),
        tombstone: value.is_empty(),
        expires_ms,
        element: false,
        value: value.as_bytes().to_vec().into(),
    };
    object.write(context, sibling);
}

pub(super) fn merged(a: &Object<'static>, b: &Object<'static>) -> Object<'static> {
    let mut all = a.clone();
    assert!(!all.merge(b.clone()), "one dot never has two contents here");
    all
}

fn shed(object: &Object<'static>, before_ms: u64) -> Object<'static> {
    let mut shed = object.clone();
    shed.shed(&hash_key(), before_ms);
    shed
}

fn item_hash(object: &Object<'_>) -> u64 {
    object.item_hash(&hash_key(), 0, b"k")
}

/// Counts as replica `number` does, if it may.
pub(super) fn count(object: &mut Object<'static>, number: u64, by: i64, wall_ms: u64) -> Option<i64> {
    let plan = object.plan_count(by, wall_ms).ok()?;
    let actor = actor(number);
    if !object.may_count(actor, plan, wall_ms) {
        return None;
    }
    let counter = object.context().counter(actor) + 1;
    object.count(plan, Dot { actor, counter }, Hlc(counter), wall_ms);
    Some(plan.value)
}

/// Changes a set as replica `number` does.
pub(super) fn change_set(
    object: &mut Object<'static>,
    number: u64,
    change: SetChange<'_>,
    wall_ms: u64,
) -> Option<Dot> {
    let actor = actor(number);
    let mut changed = object.clone();
    let dot = changed.change_set(change, actor, Hlc(object.context().counter(actor) + 1), wall_ms);
    *object = changed.into_owned();
    dot
}

/// Three replicas after a random history. A step is (kind, replica, other). Every other value expires, a while
/// after the step that writes it, and replicas with clocks of their own shed some of them; every third is a
/// number, to which replicas count. Sets come and go beside them.
fn replicas() -> impl Strategy<Value = Vec<Object<'static>>> {
    proptest::collection::vec((0..10_u8, 0..3_usize, 0..3_usize), 0..30).prop_map(|steps| {
        let mut replicas = vec![Object::default(); 3];
        let mut seen = vec![Context::default(); 3];
        for (at, (kind, one, other)) in steps.into_iter().enumerate() {
            match kind {
                0 => seen[other] = Context::of(&replicas[one]),
                1 => replicas[one] = merged(&replicas[one], &replicas[other]),
                2 => replicas[one] = shed(&replicas[one], (at + 5 * other) as u64),
                3 | 4 => {
                    count(&mut replicas[one], one as u64, at as i64 - 5, (at + 2 * other) as u64);
                }
                5 | 6 => {
                    let members: &[&[u8]] = [&[b"a" as &[u8], b"7"] as &[&[u8]], &[b"b"]][at % 2];
                    let change = match other {
                        0 => SetChange::Remove { members },
                        _ => SetChange::Add { members, expires_ms: (at % 3 == 0).then_some(at as u64 + 3) },
                    };
                    change_set(&mut replicas[one], one as u64, change, at as u64);
                }
                _ => {
                    // A client that is ahead of this replica's own actor would need a fresh epoch.
                    let ahead = seen[other].clock.counter(actor(one as u64));
                    if ahead <= replicas[one].context().counter(actor(one as u64)) {
                        let context = seen[other].clone();
                        let expires_ms = (at % 2 == 0).then_some(at as u64 + 3);
                        let value = if at % 3 == 0 { at.to_string() } else { format!("v{at}") };
                        write_expiring(&mut replicas[one], one as u64, &context, &value, expires_ms);
                    }
                }
            }
        }
        replicas
    })
}

proptest! {
    #[test]
    fn merge_is_commutative_associative_and_idempotent(replicas in replicas()) {
        let [a, b, c] = &replicas[..] else { unreachable!("three replicas") };
        prop_assert_eq!(merged(a, b), merged(b, a));
        prop_assert_eq!(merged(&merged(a, b), c), merged(a, &merged(b, c)));
        prop_assert_eq!(&merged(a, a), a);
    }

    #[test]
    fn an_object_supersedes_another_just_if_it_is_what_merging_gives(replicas in replicas()) {
        for incoming in &replicas {
            for held in &replicas {
                prop_assert_eq!(incoming.supersedes(held), merged(held, incoming) == *incoming);
            }
        }
    }

    #[test]
    fn what_was_shed_where_shows_in_no_hash_and_raises_no_alarm(replicas in replicas(), before in 0..40_u64) {
        let [a, b, _] = &replicas[..] else { unreachable!("three replicas") };
        let less = shed(a, before);
        prop_assert_eq!(item_hash(&less), item_hash(a));
        let (whole, part) = (merged(a, b), merged(&less, b));
        prop_assert_eq!(item_hash(&whole), item_hash(&part));
        prop_assert_eq!(shed(&whole, before), shed(&part, before));
        // What one of the two still has whole, the merge has.
        for sibling in part.siblings().iter().filter(|sibling| sibling.is_shed()) {
            let both = less.siblings().iter().chain(b.siblings());
            prop_assert!(both.filter(|other| other.dot == sibling.dot).all(Sibling::is_shed));
        }
        prop_assert_eq!(merged(a, &less), a.clone());
    }

    #[test]
    fn what_is_shed_is_expired_and_the_rest_stays(replicas in replicas(), before in 0..40_u64) {
        for object in &replicas {
            let (mut less, old) = (object.clone(), object.siblings());
            let due = old.iter().filter(|sib| sib.value_expires_ms().is_some_and(|at| at < before)).count();
            prop_assert_eq!(less.shed(&hash_key(), before), due as u64);
            prop_assert_eq!(less.siblings().len(), old.len());
            for (new, old) in less.siblings().iter().zip(old) {
                prop_assert!(new == old || (new.is_shed() && !old.is_live(before)));
                prop_assert!(!new.is_shed() || !new.is_live(0), "whatever the clock");
            }
            prop_assert!(less.first_expiry_ms().is_none_or(|at| at >= before));
            prop_assert_eq!(less.shed(&hash_key(), before), 0);
        }
    }

    #[test]
    fn the_encoding_comes_back_and_every_cut_is_refused(replicas in replicas()) {
        for object in &replicas {
            let mut bytes = Vec::new();
            object.encode(&mut bytes);
            prop_assert_eq!(&Object::decode(&bytes).unwrap(), object);
            for cut in 0..bytes.len() {
                prop_assert!(Object::decode(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn equal_objects_and_only_they_have_equal_hashes(replicas in replicas()) {
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let (a, b) = (&replicas[a], &replicas[b]);
            prop_assert_eq!(item_hash(a) == item_hash(b), shed(a, u64::MAX) == shed(b, u64::MAX));
        }
    }

    #[test]
    fn a_context_of_some_siblings_covers_these_and_what_is_superseded(replicas in replicas(), mask in 0..8_u32) {
        let all = merged(&merged(&replicas[0], &replicas[1]), &replicas[2]);
        let dots = all.siblings().iter().map(|sib| sib.dot).chain(all.counts().iter().map(|count| count.dot));
        let dots: Vec<Dot> = dots.collect();
        let shown: Vec<Dot> = dots.iter().enumerate()
            .filter(|(at, _)| mask >> (at % 3) & 1 == 1).map(|(_, dot)| *dot).collect();
        let context = Context::of_shown(&all, |dot| shown.contains(&dot));
        for &dot in &dots {
            prop_assert_eq!(context.covers(dot), shown.contains(&dot));
        }
        for hidden in all.counts().iter().filter(|count| !shown.contains(&count.dot)) {
            prop_assert_eq!(context.clock.counter(hidden.dot.actor), 0);
            prop_assert_eq!(context.totals.of(hidden.dot.actor), all.covered().of(hidden.dot.actor));
        }
        for replica in &replicas {
            for old in replica.siblings().iter().filter(|old| all.siblings().iter().all(|sib| sib.dot != old.dot)) {
                let hidden = all.siblings().iter().any(|sib| {
                    sib.dot.actor == old.dot.actor && sib.dot.counter < old.dot.counter && !shown.contains(&sib.dot)
                }) || all.counts().iter().any(|count| {
                    count.dot.actor == old.dot.actor && !shown.contains(&count.dot)
                });
                prop_assert!(hidden || context.covers(old.dot));
            }
        }
    }
}

#[test]
fn blind_writes_stay_side_by_side_and_a_context_replaces_what_it_saw() {
    let mut object = Object::default();
    for value in ["a", "b", "c"] {
        write(&mut object, 1, &Context::default(), value);
    }
    assert_eq!(object.siblings().len(), 3, "three blind writes, not an explosion");
    let seen = Context::of(&object);
    write(&mut object, 1, &Context::default(), "d");
    write(&mut object, 1, &seen, "e");
    let values: Vec<_> = object.siblings().iter().map(|sib| sib.bytes().to_vec()).collect();
    assert_eq!(values, [b"d", b"e"]);
}

#[test]
fn a_superseded_value_does_not_come_back_by_a_late_copy() {
    let mut here = Object::default();
    write(&mut here, 1, &Context::default(), "old");
    let late = here.clone();
    let seen = Context::of(&here);
    write(&mut here, 1, &seen, "new");
    assert_eq!(merged(&here, &late), here);
    assert_eq!(merged(&late, &here), here);
}

#[test]
fn one_dot_with_two_contents_keeps_both_and_raises_the_alarm() {
    let (mut one, mut other) = (Object::default(), Object::default());
    write(&mut one, 1, &Context::default(), "this");
    write(&mut other, 1, &Context::default(), "that");
    let mut both = one.clone();
    assert!(both.merge(other.clone()));
    assert_eq!(both.siblings().len(), 2);
    assert!(other.merge(one));
    assert_eq!(both, other);
}

#[test]
fn a_token_is_good_for_its_key_and_cluster_only() {
    let keys = ClusterKeys::derive("c", &ClusterKeys::PUBLIC);
    let other = ClusterKeys::derive("d", &ClusterKeys::PUBLIC);
    let mut object = Object::default();
    write(&mut object, 1, &Context::default(), "a");
    write(&mut object, 2, &Context::default(), "b");
    let shown = object.siblings()[0].dot;
    for context in [Context::default(), Context::of(&object), Context::of_shown(&object, |dot| dot == shown)]
    {
        let token = context.token(&keys.token, 3, b"key", false);
        assert_eq!(Context::from_token(&token, &keys.token, 3, b"key"), Ok(context));
        assert!(Context::from_token(&token, &keys.token, 4, b"key").is_err());
        assert!(Context::from_token(&token, &keys.token, 3, b"yek").is_err());
        assert!(Context::from_token(&token, &other.token, 3, b"key").is_err());
        for at in 0..token.len() {
            assert!(Context::from_token(&token[..at], &keys.token, 3, b"key").is_err());
            let mut bent = token.to_vec();
            bent[at] ^= 1;
            assert!(Context::from_token(&bent, &keys.token, 3, b"key").is_err());
        }
    }
}

#[test]
fn an_expired_sibling_is_a_tombstone_from_its_expiry_on() {
    let mut object = Object::default();
    write(&mut object, 1, &Context::default(), "a");
    let mut expiring = object.siblings()[0].clone();
    expiring.expires_ms = Some(100);
    assert!(expiring.is_live(99));
    assert!(!expiring.is_live(100));
    expiring.value = Value::Shed(7);
    assert!(!expiring.is_live(99), "whoever shed it knew a later time");
}

#[test]
fn only_an_expiring_value_may_come_shed_and_never_beside_itself() {
    let mut object = Object::default();
    write_expiring(&mut object, 1, &Context::default(), "value", Some(100));
    let bytes_of = |object: &Object<'_>| {
        let mut bytes = Vec::new();
        object.encode(&mut bytes);
        bytes
    };
    let whole = bytes_of(&object);
    let less = bytes_of(&shed(&object, 101));
    assert!(Object::decode(&less).unwrap().siblings()[0].is_shed());
    let (flags, head) = (less.len() - 17, less.len() - 27);
    assert_eq!((less[flags], whole[flags]), (6, 2));
    for (wrong, may) in [(4, false), (5, false), (7, false), (14, false), (6, true)] {
        let mut bent = less.clone();
        bent[flags] = wrong;
        assert_eq!(Object::decode(&bent).is_ok(), may, "flags {wrong}");
    }
    let mut both = whole.clone();
    both[head - 1] = 2;
    both.extend_from_slice(&less[head..]);
    assert!(Object::decode(&both).is_err(), "one version in both forms");
    both[head + 2] ^= 1;
    assert_eq!(Object::decode(&both).is_ok(), both[head + 2] < less[head + 2], "two versions of one dot");
}

#[test]
fn two_contents_of_one_dot_stay_two_when_they_are_shed() {
    let (mut one, mut other) = (Object::default(), Object::default());
    write_expiring(&mut one, 1, &Context::default(), "this", Some(5));
    write_expiring(&mut other, 1, &Context::default(), "that", Some(5));
    let mut both = one.clone();
    assert!(both.merge(other));
    let less = shed(&both, 9);
    assert_eq!(less.siblings().len(), 2);
    let mut again = shed(&one, 9);
    assert!(again.merge(less.clone()), "the alarm is raised whatever was shed");
    assert_eq!(again, less);
    let mut bytes = Vec::new();
    less.encode(&mut bytes);
    assert_eq!(Object::decode(&bytes), Ok(less));
}

/// Every event that may be covered in the test below.
fn events() -> impl Iterator<Item = Dot> {
    (1..4).flat_map(|number| (1..7).map(move |counter| Dot { actor: actor(number), counter }))
}

fn any_context() -> impl Strategy<Value = Context> {
    let clock = proptest::collection::vec(0..5_u64, 3);
    let dots = proptest::collection::vec((1..4_u64, 1..7_u64), 0..6);
    (clock, dots).prop_map(|(clock, dots)| {
        let mut context = Context::default();
        (1..4).zip(clock).for_each(|(number, counter)| context.clock.raise(actor(number), counter));
        dots.into_iter().for_each(|(number, counter)| context.see(Dot { actor: actor(number), counter }));
        context
    })
}

proptest! {
    #[test]
    fn contexts_are_the_sets_of_what_they_cover(one in any_context(), other in any_context()) {
        let covered = |context: &Context| events().filter(|&dot| context.covers(dot)).collect::<Vec<_>>();
        let (mine, theirs) = (covered(&one), covered(&other));
        let has_all = |all: &[Dot], of: &[Dot]| of.iter().all(|dot| all.contains(dot));
        prop_assert_eq!(one.descends(&other), has_all(&mine, &theirs));
        prop_assert_eq!(one.compare(&other) == Causality::Equal, mine == theirs);
        prop_assert_eq!(one.compare(&other) == Causality::Before, mine != theirs && has_all(&theirs, &mine));
        let mut both = one.clone();
        both.merge(&other);
        let mut union: Vec<Dot> = mine.into_iter().chain(theirs).collect();
        union.sort_unstable();
        union.dedup();
        prop_assert_eq!(covered(&both), union);
        // In the one form that each set has, whoever merged.
        let mut backwards = other.clone();
        backwards.merge(&one);
        prop_assert_eq!(&both, &backwards);
        prop_assert!(both.dots.iter().all(|dot| both.clock.counter(dot.actor) + 1 < dot.counter));
    }
}
