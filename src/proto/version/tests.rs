//! Laws of objects and contexts, over random histories of real writes and merges.

use std::borrow::Cow;

use proptest::prelude::*;

use super::*;
use crate::proto::keys::ClusterKeys;

fn actor(number: u64) -> Actor {
    Actor { generation: 7, epoch: Epoch { nonce: 3, number } }
}

/// Writes as replica `number` does: covering what `context` has seen.
fn write(object: &mut Object<'static>, number: u64, context: &Context, value: &str) {
    let actor = actor(number);
    let counter = object.context().counter(actor).max(context.clock.counter(actor)) + 1;
    let sibling = Sibling {
        dot: Dot { actor, counter },
        hlc: Hlc(counter),
        tombstone: value.is_empty(),
        expires_ms: None,
        value: Cow::Owned(value.as_bytes().to_vec()),
    };
    object.write(&context.clock.clone(), |dot| context.covers(dot), sibling);
}

fn merged(a: &Object<'static>, b: &Object<'static>) -> Object<'static> {
    let mut all = a.clone();
    assert!(!all.merge(b.clone()), "one dot never has two contents here");
    all
}

/// Three replicas after a random history. A step is (kind, replica, other).
fn replicas() -> impl Strategy<Value = Vec<Object<'static>>> {
    proptest::collection::vec((0..4_u8, 0..3_usize, 0..3_usize), 0..24).prop_map(|steps| {
        let mut replicas = vec![Object::default(); 3];
        let mut seen = vec![Context::default(); 3];
        for (at, (kind, one, other)) in steps.into_iter().enumerate() {
            match kind {
                0 => seen[other] = Context::of(&replicas[one]),
                1 => replicas[one] = merged(&replicas[one], &replicas[other]),
                _ => {
                    // A client that is ahead of this replica's own actor would need a fresh epoch.
                    let ahead = seen[other].clock.counter(actor(one as u64));
                    if ahead <= replicas[one].context().counter(actor(one as u64)) {
                        let context = seen[other].clone();
                        write(&mut replicas[one], one as u64, &context, &format!("v{at}"));
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
        let key = ClusterKeys::derive("c", &ClusterKeys::PUBLIC).hash;
        for (a, b) in [(0, 1), (1, 2), (0, 2)] {
            let (a, b) = (&replicas[a], &replicas[b]);
            prop_assert_eq!(a.item_hash(&key, 0, b"k") == b.item_hash(&key, 0, b"k"), a == b);
        }
    }

    #[test]
    fn a_context_of_some_siblings_covers_these_and_what_is_superseded(replicas in replicas(), mask in 0..8_u32) {
        let all = merged(&merged(&replicas[0], &replicas[1]), &replicas[2]);
        let shown: Vec<Dot> = all.siblings().iter().enumerate()
            .filter(|(at, _)| mask >> (at % 3) & 1 == 1).map(|(_, sib)| sib.dot).collect();
        let context = Context::of_shown(&all, |dot| shown.contains(&dot));
        for sibling in all.siblings() {
            prop_assert_eq!(context.covers(sibling.dot), shown.contains(&sibling.dot));
        }
        for replica in &replicas {
            for old in replica.siblings().iter().filter(|old| !all.siblings().contains(old)) {
                let hidden = all.siblings().iter().any(|sib| {
                    sib.dot.actor == old.dot.actor && sib.dot.counter < old.dot.counter && !shown.contains(&sib.dot)
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
    let values: Vec<_> = object.siblings().iter().map(|sib| sib.value.to_vec()).collect();
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
            let mut bent = token.clone();
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
}
