//! Tests of whole stores. `disk` is a disk that forgets what was not synced; here is what they share.

mod crash;
mod crash_points;
mod damage;
mod disk;
mod faults;
mod images;
mod model;
mod opening;
mod trees;
mod upkeep;

use std::sync::atomic::{AtomicU64, Ordering};

use self::disk::TestDisk;
use super::{LogOptions, LogStore, OpenError, WorkerMode};
use crate::proto::keys::Key;
use crate::proto::ring;
use crate::proto::rng::Rng;
use crate::proto::store::{KeyRef, LocalPart, Lookup, NewRecord, Sequence, Store, StoreError};
use crate::proto::version::Epoch;

const PARTITIONS: u32 = 4;
const HASH_KEY: Key = Key([7; 16]);

fn key_ref(key: &[u8]) -> KeyRef<'_> {
    let position = ring::position(&HASH_KEY, 1, key);
    KeyRef { keyspace: 1, key, position, partition: ring::partition(position, PARTITIONS) }
}

fn options() -> LogOptions {
    LogOptions {
        segment_size: super::segment::SIZE_MIN,
        worker: WorkerMode::Host,
        compaction: false,
        ..LogOptions::new(PARTITIONS, HASH_KEY)
    }
}

fn open(disk: &TestDisk) -> Result<LogStore<TestDisk>, OpenError> {
    open_with(disk, &options())
}

fn open_with(disk: &TestDisk, options: &LogOptions) -> Result<LogStore<TestDisk>, OpenError> {
    // Each opening draws other numbers, in a fixed order.
    static OPENINGS: AtomicU64 = AtomicU64::new(0);
    let mut random = Rng::new(OPENINGS.fetch_add(1, Ordering::Relaxed));
    LogStore::open(disk.clone(), options.clone(), &mut || random.next_u64(), Box::new(|| {}))
}

fn put<S: Store>(store: &mut S, key: &[u8], object: &[u8]) -> Result<Sequence, StoreError> {
    let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: object.len() as u64 }) };
    let item_hash = object.len() as u64 * 3;
    store.put(&key_ref(key), &NewRecord { local, object, item_hash, expires_ms: None, is_delete: false })
}

/// What a store answers about a key, with the value checked against its companions.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Value(Vec<u8>),
    Absent,
    Incomplete,
    Damaged,
}

fn get<S: Store>(store: &S, key: &[u8]) -> Answer {
    match store.get(&key_ref(key)) {
        Ok(Lookup::Found(record) | Lookup::Suspect(record)) => {
            let length = record.object.len() as u64;
            assert_eq!(record.item_hash, length * 3);
            assert_eq!(record.local.epoch, Some(Epoch { nonce: 1, number: length }));
            Answer::Value(record.object.into_owned())
        }
        Ok(Lookup::Absent) => Answer::Absent,
        Ok(Lookup::Incomplete) => Answer::Incomplete,
        Ok(Lookup::Pending(_)) => panic!("nothing is cold here"),
        Err(StoreError::Damaged) => Answer::Damaged,
        Err(error) => panic!("a read failed: {error}"),
    }
}

fn work(store: &LogStore<TestDisk>) {
    while store.disk_step() {}
}
