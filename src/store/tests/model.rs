//! Both stores against a sorted map, by one generic test.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::disk::TestDisk;
use super::*;
use crate::proto::store::{Durability, MemberMemory};
use crate::store::{FileDisk, MemoryStore};

/// Random puts, gets and scans; `reopen` is called now and then and gives the store back with all records.
fn check<S: Store>(mut store: S, seed: u64, operations: u32, mut reopen: impl FnMut(S) -> S) {
    let mut rng = Rng::new(seed);
    let mut model: BTreeMap<(u16, u128), (Vec<u8>, Vec<u8>)> = BTreeMap::new();
    let mut last = Sequence(0);
    for _ in 0..operations {
        let key = format!("key {}{{t}}", rng.below(300)).into_bytes();
        let key = if rng.one_in(2) { key[..key.len() - 3].to_vec() } else { key };
        let place = (key_ref(&key).partition, key_ref(&key).position);
        match rng.below(100) {
            0..50 => {
                let value = vec![rng.below(256) as u8; rng.below(600) as usize];
                match put(&mut store, &key, &value) {
                    Ok(sequence) => {
                        assert!(sequence > last);
                        last = sequence;
                        model.insert(place, (key, value));
                    }
                    Err(StoreError::Overloaded) => store.flush(Durability::Interval),
                    Err(error) => panic!("{error}"),
                }
            }
            50..90 => {
                let expected = model.get(&place).map(|(_, value)| value.clone());
                assert_eq!(get(&store, &key), expected.map_or(Answer::Absent, Answer::Value));
            }
            90..96 => store.flush(if rng.one_in(2) { Durability::Interval } else { Durability::Always }),
            96..99 => {
                let from = (place.0, if rng.one_in(2) { 0 } else { place.1 });
                let limit = rng.below(200) as usize;
                let mut seen = Vec::new();
                store.scan(place.0, from.1, &mut |key, record| {
                    seen.push((key.position, key.key.to_vec(), record.object.to_vec()));
                    if seen.len() > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
                });
                let expected = model.range(from..=(place.0, u128::MAX)).take(limit + 1);
                let expected: Vec<_> = expected
                    .map(|((_, position), (key, value))| (*position, key.clone(), value.clone()))
                    .collect();
                assert_eq!(seen, expected);
            }
            _ => {
                store = reopen(store);
                assert!(store.identity().clean);
            }
        }
        assert_eq!(store.len(), model.len() as u64);
    }
    for (key, value) in model.values() {
        assert_eq!(get(&store, key), Answer::Value(value.clone()));
    }
}

#[test]
fn the_memory_store_is_a_map() {
    check(MemoryStore::new(options().partitions, &mut || 5), 1, 6_000, |store| store);
}

#[test]
fn the_log_over_a_test_disk_is_a_map_across_clean_stops() {
    for seed in 0..3 {
        let disk = TestDisk::new();
        let mut steps = Rng::new(seed);
        let store = open(&disk).unwrap();
        check(store, seed, 2_500, |mut store| {
            // The worker gets anywhere before the close.
            while !steps.one_in(4) {
                store.disk_step();
            }
            store.close().unwrap();
            open(&disk).unwrap()
        });
    }
}

#[test]
fn the_log_over_real_files_with_its_thread_is_a_map_across_clean_stops() {
    let home = tempfile::tempdir().unwrap();
    let open = || {
        let options = LogOptions { worker: WorkerMode::Thread, ..options() };
        let mut random = Rng::new(3);
        let disk = FileDisk::new(home.path().join("data"));
        LogStore::open(disk, options, &mut || random.next_u64(), Box::new(|| {})).unwrap()
    };
    check(open(), 9, 2_000, |mut store| {
        store.close().unwrap();
        drop(store);
        open()
    });
}

#[test]
fn keys_and_values_of_every_size_are_kept() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let long = vec![b'k'; crate::proto::limits::KEY_MAX];
    let sizes = [0, 1, 7, 8, 4_096, 65_000, 65_536, 70_000, 1 << 20, 9 << 20];
    for size in sizes {
        // A record over the staging limit is taken once the buffer is empty.
        store.flush(Durability::Interval);
        work(&store);
        put(&mut store, &size.to_string().into_bytes(), &vec![1; size]).unwrap();
    }
    store.flush(Durability::Interval);
    work(&store);
    put(&mut store, b"", b"empty key").unwrap();
    put(&mut store, &long, b"long key").unwrap();
    for _ in 0..2 {
        for size in sizes {
            assert_eq!(get(&store, &size.to_string().into_bytes()), Answer::Value(vec![1; size]));
        }
        assert_eq!(get(&store, b""), Answer::Value(b"empty key".to_vec()));
        assert_eq!(get(&store, &long), Answer::Value(b"long key".to_vec()));
        store.close().unwrap();
        store = open(&disk).unwrap();
    }
}

#[test]
fn members_are_remembered() {
    let disk = TestDisk::new();
    let member = |name: &str, opens| MemberMemory {
        name: name.to_owned(),
        generation: 7,
        opens,
        sequence: Sequence(opens * 10),
        boot: opens * 100,
    };
    let mut store = open(&disk).unwrap();
    store.remember(member("b", 1));
    store.remember(member("c", 2));
    store.remember(member("b", 3));
    work(&store);
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(store.members(), [member("b", 3), member("c", 2)]);
}
