//! Laws of counters: what copies show is what was counted and not covered, whatever met when.

use proptest::prelude::*;

use super::tests::{actor, count, merged, write, write_expiring};
use super::*;

/// What the rows show at a time, newest first.
fn shown(object: &Object<'_>, wall_ms: u64) -> Vec<String> {
    let mut rows: Vec<Row<'_>> = object.rows(wall_ms).into_iter().filter(|row| row.is_live).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.age()));
    rows.iter().map(|row| String::from_utf8_lossy(&row.value).into_owned()).collect()
}

/// An event as the model knows it.
enum Event {
    /// An increment.
    Added(Dot, i64),
    /// A delete that had seen these increments, by their place.
    Covered(Dot, Vec<usize>),
}

fn seen(events: &[Event], knows: impl Fn(Dot) -> bool) -> Vec<usize> {
    let place = |(at, event): (usize, &Event)| match event {
        Event::Added(dot, _) if knows(*dot) => Some(at),
        _ => None,
    };
    events.iter().enumerate().filter_map(place).collect()
}

/// What a copy must come to: all that its context covers, without what any delete in it had seen.
fn expected(events: &[Event], object: &Object<'_>) -> i128 {
    let knows = |dot: Dot| object.context().covers(dot);
    let covered: Vec<usize> = events
        .iter()
        .filter_map(|event| match event {
            Event::Covered(dot, seen) if knows(*dot) => Some(seen),
            _ => None,
        })
        .flatten()
        .copied()
        .collect();
    let left = seen(events, knows).into_iter().filter(|at| !covered.contains(at));
    left.map(|at| if let Event::Added(_, by) = events[at] { i128::from(by) } else { 0 }).sum()
}

fn sum(object: &Object<'_>) -> i128 {
    object.counts().iter().map(|count| object.net(count)).sum()
}

proptest! {
    /// Three replicas count, delete what they or a client have seen, and merge; after every step every copy
    /// shows just what its context says.
    #[test]
    fn a_copy_shows_what_was_counted_and_not_covered(
        steps in proptest::collection::vec((0..6_u8, 0..3_usize, 0..3_usize, -9..100_i64), 0..40)
    ) {
        let mut replicas = vec![Object::default(); 3];
        let mut contexts = vec![Context::default(); 3];
        let mut events: Vec<Event> = Vec::new();
        for (kind, one, other, by) in steps {
            match kind {
                0 => contexts[other] = Context::of(&replicas[one]),
                1 | 2 => replicas[one] = merged(&replicas[one], &replicas[other]),
                3 => {
                    let context = if by % 2 == 0 { Context::of(&replicas[one]) } else { contexts[other].clone() };
                    let own = actor(one as u64);
                    if context.clock.counter(own) <= replicas[one].context().counter(own) {
                        let covered = seen(&events, |dot| context.covers(dot));
                        write(&mut replicas[one], one as u64, &context, "");
                        let dot = Dot { actor: own, counter: replicas[one].context().counter(own) };
                        events.push(Event::Covered(dot, covered));
                    }
                }
                _ => {
                    prop_assert!(count(&mut replicas[one], one as u64, by, 0).is_some());
                    let dot = Dot { actor: actor(one as u64), counter: replicas[one].context().counter(actor(one as u64)) };
                    events.push(Event::Added(dot, by));
                }
            }
            for replica in &replicas {
                prop_assert_eq!(sum(replica), expected(&events, replica));
            }
        }
    }
}

#[test]
fn a_delete_that_saw_99_of_100_leaves_1() {
    let mut here = Object::default();
    (0..99).for_each(|_| assert!(count(&mut here, 1, 1, 0).is_some()));
    let mut there = here.clone();
    let all = Context::of(&there);
    write(&mut there, 2, &all, "");
    assert_eq!(shown(&there, 0), Vec::<String>::new());
    assert!(there.is_delete() && there.is_dead() && there.has_counted());
    count(&mut here, 1, 1, 0);
    for both in [merged(&here, &there), merged(&there, &here)] {
        assert_eq!(shown(&both, 0), ["1"]);
        assert!(!both.is_delete() && !both.is_dead());
    }
    // The same with a context that a client carried.
    let mut late = here.clone();
    write(&mut late, 1, &all, "");
    assert_eq!(shown(&late, 0), ["1"]);
    assert_eq!(count(&mut late, 1, 5, 0), Some(6));
}

#[test]
fn increments_of_one_base_at_two_replicas_count_it_once() {
    let mut here = Object::default();
    write(&mut here, 1, &Context::default(), "10");
    let mut there = here.clone();
    assert_eq!(count(&mut here, 1, 1, 0), Some(11));
    assert_eq!(count(&mut there, 2, 1, 0), Some(11));
    let both = merged(&here, &there);
    assert_eq!(shown(&both, 0), ["12"]);
    assert_eq!(both.siblings().len(), 1);
    // A put that had not seen them replaces the base: they count for it.
    let mut put = Object::default();
    write(&mut put, 1, &Context::default(), "10");
    let base = Context::of(&put);
    write(&mut put, 3, &base, "50");
    assert_eq!(shown(&merged(&both, &put), 0), ["52"]);
    // One that had seen them does not.
    let mut later = both.clone();
    write(&mut later, 3, &Context::of(&both), "50");
    assert_eq!(shown(&merged(&later, &both), 0), ["50"]);
    assert_eq!(count(&mut later, 1, 2, 0), Some(52));
}

#[test]
fn what_was_counted_expires_with_its_base_and_does_not_come_back() {
    let mut object = Object::default();
    write_expiring(&mut object, 1, &Context::default(), "10", Some(100));
    assert_eq!(count(&mut object, 1, 5, 50), Some(15));
    assert_eq!(object.rows(50)[0].expires_ms, Some(100));
    assert_eq!(shown(&object, 100), Vec::<String>::new());
    assert_eq!(count(&mut object, 1, 2, 100), Some(2));
    assert_eq!((shown(&object, 100), object.siblings().len()), (vec!["2".to_owned()], 0));
}

#[test]
fn one_actor_keeps_what_it_counted_on_two_bases_apart() {
    let mut object = Object::default();
    write(&mut object, 1, &Context::default(), "10");
    assert_eq!(count(&mut object, 1, 5, 0), Some(15));
    write(&mut object, 2, &Context::default(), "20");
    // The base that was counted on last is the newest; then the other one is.
    assert_eq!(shown(&object, 0), ["15", "20"]);
    write(&mut object, 3, &Context::default(), "30");
    (0..3).for_each(|_| write(&mut object, 3, &Context::default(), "40"));
    let plan = object.plan_count(1, 0).unwrap();
    assert_eq!(plan.value, 41);
    assert!(!object.may_count(actor(1), plan, 0), "15 would fall back to 10");
    assert!(object.may_count(actor(4), plan, 0));
    assert_eq!(count(&mut object, 4, 1, 0), Some(41));
    assert!(shown(&object, 0).contains(&"15".to_owned()) && shown(&object, 0).contains(&"41".to_owned()));
}

#[test]
fn what_was_counted_on_nothing_counts_for_every_base_and_else_from_0() {
    let mut here = Object::default();
    assert_eq!(count(&mut here, 1, -3, 0), Some(-3));
    assert_eq!(shown(&here, 0), ["-3"]);
    let (mut there, mut third) = (Object::default(), Object::default());
    write(&mut there, 2, &Context::default(), "10");
    write(&mut third, 3, &Context::default(), "20");
    let all = merged(&merged(&here, &there), &third);
    let mut values = shown(&all, 0);
    values.sort();
    assert_eq!(values, ["17", "7"]);
    // Text is no base: the count stands beside it.
    let mut text = Object::default();
    write(&mut text, 4, &Context::default(), "text");
    let mut values = shown(&merged(&here, &text), 0);
    values.sort();
    assert_eq!(values, ["-3", "text"]);
    assert_eq!(text.plan_count(1, 0), Err(CountError::NotANumber));
}

#[test]
fn no_increment_leaves_64_bits_and_totals_do_not_overflow() {
    let mut object = Object::default();
    assert_eq!(count(&mut object, 1, i64::MAX, 0), Some(i64::MAX));
    assert_eq!(object.plan_count(1, 0), Err(CountError::Overflow));
    assert_eq!(count(&mut object, 1, -i64::MAX, 0), Some(0));
    assert_eq!(count(&mut object, 1, i64::MAX, 0), Some(i64::MAX));
    assert_eq!(count(&mut object, 1, -i64::MAX, 0), Some(0));
    let plan = object.plan_count(i64::MAX, 0).unwrap();
    assert!(!object.may_count(actor(1), plan, 0), "its totals are full");
    assert_eq!(count(&mut object, 2, i64::MAX, 0), Some(i64::MAX));
    // Two machines may leave the range together: it is shown as it is, and may be brought back.
    let mut there = Object::default();
    count(&mut there, 3, i64::MAX, 0);
    let mut both = merged(&object, &there);
    assert_eq!(shown(&both, 0), ["18446744073709551614"]);
    assert_eq!(both.plan_count(-1, 0), Err(CountError::Overflow));
    both = merged(&both, &there);
    assert_eq!(both.latest(0).unwrap().number(), Some(18_446_744_073_709_551_614));
}

#[test]
fn an_object_without_counts_keeps_its_bytes_and_a_dot_of_two_kinds_raises_the_alarm() {
    let mut plain = Object::default();
    write(&mut plain, 1, &Context::default(), "10");
    let mut bytes = Vec::new();
    plain.encode(&mut bytes);
    assert!(!is_counted(&bytes));
    let mut counted = Object::default();
    count(&mut counted, 1, 1, 0);
    let mut all = plain.clone();
    assert!(all.merge(counted.clone()));
    assert_eq!((all.siblings().len(), all.counts().len()), (1, 1));
    let mut other = Object::default();
    count(&mut other, 1, 2, 0);
    let (mut one, mut two) = (counted.clone(), other.clone());
    assert!(one.merge(other) && two.merge(counted));
    assert_eq!(one, two);
    bytes.clear();
    one.encode(&mut bytes);
    assert!(is_counted(&bytes));
    bytes[0] = 1;
    assert!(Object::decode(&bytes).is_err());
}

#[test]
fn a_token_carries_what_was_counted_and_the_number_that_was_read() {
    let keys = crate::proto::keys::ClusterKeys::derive("c", &crate::proto::keys::ClusterKeys::PUBLIC);
    let mut object = Object::default();
    count(&mut object, 1, 7, 0);
    let mut context = Context::of(&object);
    assert_eq!(context.totals.of(actor(1)), Totals { added: 7, taken: 0 });
    for number in [None, Some(NumberRead { value: -7, nonce: 1, read_ms: 2, member: 3, boot: 4 })] {
        context.number = number;
        let token = context.token(&keys.token, 0, b"key", false);
        assert_eq!(Context::from_token(&token, &keys.token, 0, b"key"), Ok(context.clone()));
        (0..token.len()).for_each(|cut| {
            assert!(Context::from_token(&token[..cut], &keys.token, 0, b"key").is_err());
        });
    }
    let plain = Context::default().token(&keys.token, 0, b"key", false);
    assert_eq!((plain[0], plain.len()), (1, 3 + 2 + 16));
}
