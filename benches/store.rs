//! What the log itself costs, beside what the machine can do at all: each figure has its limit in the
//! same run.
//!
//! `cargo bench --bench store [-- KEYS]`. CPU nanoseconds of the calling thread per operation, so that a
//! busy machine distorts less; syncs are in wall time. Writes below a temporary directory that it removes.

use std::fs::{File, OpenOptions};
use std::hint::black_box;
use std::ops::ControlFlow;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Instant;

use quorate::proto::keys::Key;
use quorate::proto::ring;
use quorate::proto::rng::Rng;
use quorate::proto::store::{Durability, KeyRef, LocalPart, Lookup, NewRecord, Sequence, Store, StoreError};
use quorate::proto::version::Epoch;
use quorate::store::{FileDisk, LogOptions, LogStore};

const PARTITIONS: u32 = 256;
const HASH_KEY: Key = Key([7; 16]);
const VALUE: [u8; 100] = [5; 100];
const RECORD: usize = 168;
const BATCH: usize = 64;
const CHUNK: usize = 256 << 10;
const SYNCS: usize = 2_000;

struct Keys(Vec<([u8; 16], u128, u16)>);

impl Keys {
    fn new(count: usize) -> Keys {
        let mut rng = Rng::new(3);
        let key = |_| {
            let mut key = [0; 16];
            key[..8].copy_from_slice(&rng.next_u64().to_le_bytes());
            let position = ring::position(&HASH_KEY, 0, &key);
            (key, position, ring::partition(position, PARTITIONS))
        };
        Keys((0..count).map(key).collect())
    }

    fn at(&self, at: usize) -> KeyRef<'_> {
        let (key, position, partition) = &self.0[at];
        KeyRef { keyspace: 0, key, position: *position, partition: *partition }
    }
}

/// Nanoseconds that this thread has had a processor.
fn cpu_nanos() -> u64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").expect("Linux");
    text.split(' ').next().and_then(|number| number.parse().ok()).expect("a number comes first")
}

/// Prints what `work` costs for each of `count` operations.
fn report(what: &str, count: usize, work: impl FnOnce()) {
    let (cpu, wall) = (cpu_nanos(), Instant::now());
    work();
    let (cpu, wall) = (cpu_nanos() - cpu, wall.elapsed());
    let each = cpu as f64 / count as f64;
    println!("{what:<34} {each:>8.0} ns CPU   {:>6.2} M/s wall", count as f64 / wall.as_secs_f64() / 1e6);
}

fn open(path: &Path) -> LogStore<FileDisk> {
    let mut random = Rng::new(5);
    let options = LogOptions::new(PARTITIONS, HASH_KEY);
    LogStore::open(FileDisk::new(path), options, &mut || random.next_u64(), Box::new(|| {}))
        .expect("a fresh directory opens")
}

fn put(store: &mut LogStore<FileDisk>, key: &KeyRef<'_>) -> Sequence {
    let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: 2 }) };
    let record = NewRecord { local, object: &VALUE, item_hash: 9, expires_ms: None, is_delete: false };
    loop {
        match store.put(key, &record) {
            Ok(sequence) => return sequence,
            Err(StoreError::Overloaded) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn put_all(store: &mut LogStore<FileDisk>, keys: &Keys) {
    for at in 0..keys.0.len() {
        put(store, &keys.at(at));
        if at % BATCH == BATCH - 1 {
            store.flush(Durability::Interval);
        }
    }
}

/// The least that a put can cost: a copy, a checksum, and its share of a large write.
fn put_limit(path: &Path, count: usize) {
    let file = File::create(path.join("limit")).expect("a file can be made");
    let mut chunk = Vec::with_capacity(CHUNK + RECORD);
    let mut offset = 0;
    for at in 0..count {
        let start = chunk.len();
        chunk.extend_from_slice(&[at as u8; RECORD]);
        black_box(crc32c::crc32c(&chunk[start..]));
        if chunk.len() >= CHUNK {
            file.write_all_at(&chunk, offset).expect("there is room");
            offset += chunk.len() as u64;
            chunk.clear();
        }
    }
}

/// The least that a get can cost: two cache misses, the second at what the first says, and the next get
/// after both.
fn get_limit(count: usize) {
    let mut rng = Rng::new(8);
    let index: Vec<u64> = (0..count).map(|_| rng.below(count as u64)).collect();
    let mut records = vec![1_u64; count * RECORD / 8];
    records.fill(black_box(0));
    let mut last = 0;
    for _ in 0..count {
        let slot = index[rng.below(count as u64) as usize ^ last as usize];
        last = records[slot as usize * RECORD / 8];
    }
    black_box(last);
}

fn sync_latency(what: &str, mut sync: impl FnMut(usize)) {
    let mut nanos: Vec<u128> = (0..SYNCS)
        .map(|at| {
            let begun = Instant::now();
            sync(at);
            begun.elapsed().as_nanos()
        })
        .collect();
    nanos.sort_unstable();
    let micros = |percent: usize| nanos[SYNCS * percent / 100] / 1_000;
    println!("{what:<34} {:>8} us p50   {:>8} us p99", micros(50), micros(99));
}

fn syncs(path: &Path, store: &mut LogStore<FileDisk>, keys: &Keys) {
    let file = OpenOptions::new().write(true).create_new(true).open(path.join("raw")).expect("a file");
    // Written before, as a segment's blocks are reserved before.
    file.write_all_at(&vec![0; SYNCS * 224], 0).and_then(|()| file.sync_all()).expect("there is room");
    sync_latency("raw pwrite + fdatasync", |at| {
        file.write_all_at(&[7; 224], at as u64 * 224).expect("there is room");
        file.sync_data().expect("the disk works");
    });
    sync_latency("put synced, one writer", |at| {
        let sequence = put(store, &keys.at(at));
        store.flush(Durability::Always);
        while store.marks().durable < sequence {
            std::hint::spin_loop();
        }
    });
}

fn main() {
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("data");
    let keys = Keys::new(count);
    let mut rng = Rng::new(9);
    let mut store = open(&path);

    report("limit of a put", count, || put_limit(home.path(), count));
    report("put, new keys", count, || put_all(&mut store, &keys));
    report("put, the same keys again", count, || put_all(&mut store, &keys));
    report("limit of a get", count, || get_limit(count));
    report("get, random", count, || {
        for _ in 0..count {
            let key = keys.at(rng.below(count as u64) as usize);
            assert!(matches!(store.get(&key), Ok(Lookup::Found(_))));
        }
    });
    report("scan", count, || {
        for partition in 0..PARTITIONS as u16 {
            store.scan(partition, 0, &mut |_, record| {
                black_box(record.item_hash);
                ControlFlow::Continue(())
            });
        }
    });
    let stats = store.stats();
    println!("index                              {:>8.2} B a key", stats.index_bytes as f64 / count as f64);
    syncs(home.path(), &mut store, &keys);
    store.close().expect("the disk works");
    drop(store);
    report("open after a clean stop, a record", 2 * count, || drop(open(&path)));
}
