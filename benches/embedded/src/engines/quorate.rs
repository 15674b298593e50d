//! Our store as a loop uses it, and all that this package knows of its interface.
//!
//! Everything a host does is in here: positions are computed from keys, a full staging buffer is waited
//! for, background work gets its turns.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use quorate::proto::keys;
use quorate::proto::ring;
use quorate::proto::rng::Rng;
use quorate::proto::store::{KeyRef, LocalPart, Lookup, NewRecord, Store, StoreError};
use quorate::proto::time;
use quorate::proto::version::Epoch;
use quorate::store::{FileDisk, LogOptions, LogStats, LogStore, Wake, WorkerMode};

pub use quorate::proto::store::{Durability, Sequence};

use crate::workload::Key;

const PARTITIONS: u32 = 256;
const HASH_KEY: keys::Key = keys::Key([7; 16]);
const EPOCH: Epoch = Epoch { nonce: 1, number: 2 };

/// The file in a data directory that spares the next opening the log.
pub const CHECKPOINT: &str = "checkpoint";

/// How to open a log.
#[derive(Clone, Copy)]
pub struct Settings {
    /// Whether space is won back.
    pub compaction: bool,
    /// Whether the disk is waited for by who calls [`Log::step`] rather than by a thread of the store.
    pub is_hosted: bool,
}

/// As it comes.
pub const DEFAULTS: Settings = Settings { compaction: true, is_hosted: false };

/// A store and the clock of its loop.
pub struct Log {
    store: LogStore<FileDisk>,
    origin: Instant,
    due: time::Instant,
    is_hosted: bool,
}

impl Log {
    /// Opens a directory; `wake` is called whenever the marks may have moved.
    pub fn open(directory: &Path, settings: Settings, wake: Wake) -> Log {
        let mut random = Rng::new(5);
        let mut options = options();
        if settings.is_hosted {
            options.worker = WorkerMode::Host;
        }
        options.compaction = settings.compaction;
        let store = LogStore::open(FileDisk::new(directory), options, &mut || random.next_u64(), wake)
            .unwrap_or_else(|error| panic!("{error}"));
        Log { store, origin: Instant::now(), due: time::Instant::ZERO, is_hosted: settings.is_hosted }
    }

    /// Puts once; `None` if the staging buffer is full.
    pub fn try_put(&mut self, key: &Key, value: &[u8]) -> Option<Sequence> {
        let local = LocalPart { epoch: Some(EPOCH) };
        match self.store.put(
            &reference(key),
            &NewRecord { local, object: value, item_hash: 9, expires_ms: None, is_delete: false },
        ) {
            Ok(sequence) => Some(sequence),
            Err(StoreError::Overloaded) => None,
            Err(error) => panic!("{error}"),
        }
    }

    /// Puts, however long the staging buffer stays full.
    pub fn put(&mut self, key: &Key, value: &[u8]) -> Sequence {
        loop {
            if let Some(sequence) = self.try_put(key, value) {
                return sequence;
            }
            self.flush(Durability::Interval);
            self.maintain();
            self.step();
            std::thread::yield_now();
        }
    }

    /// Gets one key.
    pub fn get(&self, key: &Key, found: &mut dyn FnMut(Option<&[u8]>)) {
        tell(self.store.get(&reference(key)), found);
    }

    /// Gets keys that are known at once; false while the store has nothing for that.
    pub fn get_batch(&self, keys: &[Key], found: &mut dyn FnMut(Option<&[u8]>)) -> bool {
        let keys: Vec<KeyRef<'_>> = keys.iter().map(reference).collect();
        self.store.get_many(&keys, &mut |_, lookup| tell(lookup, found));
        true
    }

    /// Tells the store which keys will be put or got.
    pub fn prefetch(&self, keys: &[Key]) {
        let keys: Vec<KeyRef<'_>> = keys.iter().map(reference).collect();
        self.store.prefetch(&keys);
    }

    /// Visits every record, partition by partition, in position order; returns how many there were.
    pub fn scan(&self) -> u64 {
        let mut count = 0;
        for partition in 0..PARTITIONS as u16 {
            self.store.scan(partition, 0, &mut |key, record| {
                black_box((key.key[0], record.object[0]));
                count += 1;
                ControlFlow::Continue(())
            });
        }
        count
    }

    /// Asks for the marks to be brought forward.
    pub fn flush(&mut self, need: Durability) {
        self.store.flush(need);
    }

    /// Whether background work wants a turn although nothing else does.
    pub fn is_due(&self) -> bool {
        self.now() >= self.due
    }

    /// Gives background work its share of a turn.
    pub fn maintain(&mut self) {
        self.due = self.store.maintain(self.now());
    }

    fn now(&self) -> time::Instant {
        time::Instant::from_nanos(self.origin.elapsed().as_nanos() as u64)
    }

    /// Does what waits for the disk, if nobody else does.
    pub fn step(&self) {
        if self.is_hosted {
            self.store.disk_step();
        }
    }

    /// Up to where everything is on disk.
    pub fn durable(&self) -> Sequence {
        let marks = self.store.marks();
        assert!(!marks.failed, "a sync failed");
        marks.durable
    }

    /// Waits until everything that was put is on disk.
    pub fn settle(&mut self) {
        self.flush(Durability::Always);
        while !self.store.is_synced() {
            self.step();
            std::thread::yield_now();
        }
    }

    /// The store's own figures.
    pub fn stats(&self) -> LogStats {
        self.store.stats()
    }

    /// Stops cleanly.
    pub fn close(mut self) {
        self.store.close().expect("the disk works");
    }
}

/// Bytes of a segment.
pub fn segment_length() -> u64 {
    options().segment_size
}

fn options() -> LogOptions {
    LogOptions::new(PARTITIONS, HASH_KEY)
}

fn reference(key: &Key) -> KeyRef<'_> {
    let position = ring::position(&HASH_KEY, 0, key);
    KeyRef { keyspace: 0, key, position, partition: ring::partition(position, PARTITIONS) }
}

fn tell(lookup: Result<Lookup<'_>, StoreError>, found: &mut dyn FnMut(Option<&[u8]>)) {
    match lookup {
        Ok(Lookup::Found(record)) => found(Some(&record.object)),
        Ok(Lookup::Absent) => found(None),
        Ok(other) => panic!("a sound log answers at once, not {other:?}"),
        Err(error) => panic!("{error}"),
    }
}
