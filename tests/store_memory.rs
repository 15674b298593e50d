//! What the log says it takes of memory is what it takes: compared with an allocator that counts.

use std::alloc::System;

use cap::Cap;
use quorate::proto::keys::Key;
use quorate::proto::ring;
use quorate::proto::rng::Rng;
use quorate::proto::store::{Durability, KeyRef, LocalPart, NewRecord, Store, StoreError};
use quorate::proto::time::Instant;
use quorate::store::{FileDisk, LogOptions, LogStore, WorkerMode};

#[global_allocator]
static ALLOCATOR: Cap<System> = Cap::new(System, usize::MAX);

const HASH_KEY: Key = Key([7; 16]);
const PARTITIONS: u32 = 64;

fn key_ref(key: &[u8]) -> KeyRef<'_> {
    let position = ring::position(&HASH_KEY, 0, key);
    KeyRef { keyspace: 0, key, position, partition: ring::partition(position, PARTITIONS) }
}

fn put(store: &mut LogStore<FileDisk>, number: u64, is_delete: bool) -> Result<(), StoreError> {
    let key = number.to_le_bytes();
    let local = LocalPart::default();
    let record = NewRecord { local, object: &[1; 60], item_hash: 3, expires_ms: None, is_delete };
    store.put(&key_ref(&key), &record).map(drop)
}

fn turn(store: &mut LogStore<FileDisk>, now: &mut u64) {
    *now += 1_000_000;
    store.flush(Durability::Interval);
    store.maintain(Instant::from_nanos(*now));
    while store.disk_step() {}
}

fn open(path: &std::path::Path, memory_max: u64) -> LogStore<FileDisk> {
    let mut random = Rng::new(7);
    let options = LogOptions {
        segment_size: 1 << 20,
        staging_limit: 1 << 20,
        worker: WorkerMode::Host,
        checkpoint_bytes: 4 << 20,
        memory_max,
        ..LogOptions::new(PARTITIONS, HASH_KEY)
    };
    LogStore::open(FileDisk::new(path), options, &mut || random.next_u64(), Box::new(|| {})).unwrap()
}

/// Both in one test: another one's allocations would be counted, too.
#[test]
fn memory_is_accounted_and_has_a_ceiling() {
    let home = tempfile::tempdir().unwrap();
    let before = ALLOCATOR.allocated() as u64;
    let mut store = open(&home.path().join("data"), u64::MAX);
    let (mut now, mut rng, mut worst) = (0, Rng::new(3), 0.0_f64);
    for number in 0..300_000_u64 {
        // Two thirds new keys, one third known ones, so that compaction and checkpoints run.
        let key = if rng.one_in(3) { rng.below(number + 1) } else { number };
        while put(&mut store, key, false) == Err(StoreError::Overloaded) {
            turn(&mut store, &mut now);
        }
        if number % 64 == 0 {
            turn(&mut store, &mut now);
        }
        if number > 20_000 && number % 1_000 == 0 {
            let (said, taken) = (store.stats().memory_bytes, ALLOCATOR.allocated() as u64 - before);
            worst = worst.max((taken as f64 - said as f64).abs() / taken as f64);
        }
    }
    assert!(worst < 0.15, "what was said was wrong by {worst:.2} of what was taken");
    let status = store.status();
    let figure = |name| status.figures.iter().find(|figure| figure.0 == name).map_or(0, |figure| figure.1);
    assert!(figure("store_compactions") > 0 && figure("store_checkpoints") > 0, "{status:?}");
    drop(store);

    let mut store = open(&home.path().join("small"), 4 << 20);
    let mut held = 0;
    let refused = loop {
        match put(&mut store, held, false) {
            Ok(()) => held += 1,
            Err(StoreError::Overloaded) => turn(&mut store, &mut now),
            Err(error) => break error,
        }
        if held.is_multiple_of(64) {
            turn(&mut store, &mut now);
        }
    };
    assert_eq!(refused, StoreError::Memory);
    let taken = store.stats().memory_bytes;
    assert!(held > 10_000 && taken <= (4 << 20) + (512 << 10), "{held} keys, {taken} bytes");
    // Known keys, and deletes, are still taken.
    put(&mut store, 0, false).unwrap();
    put(&mut store, held, true).unwrap();
}
