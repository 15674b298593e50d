//! What the log itself costs, beside what the machine can do at all: each figure has its limit in the
//! same run.
//!
//! `cargo bench --bench store [-- KEYS]`. CPU nanoseconds of the calling thread per operation, so that a
//! busy machine distorts less; syncs are in wall time. Writes below a temporary directory that it removes.
//!
//! `cargo bench --bench store -- trees [KEYS]`: only puts, with the turns of upkeep that split leaves of the
//! hash trees, and a restart. `QUORATE_MUTANT=no_trees` builds one without trees to compare it with.

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

fn options() -> LogOptions {
    LogOptions::new(PARTITIONS, HASH_KEY)
}

fn open(path: &Path) -> LogStore<FileDisk> {
    open_with(path, options())
}

fn open_with(path: &Path, options: LogOptions) -> LogStore<FileDisk> {
    let mut random = Rng::new(5);
    LogStore::open(FileDisk::new(path), options, &mut || random.next_u64(), Box::new(|| {}))
        .expect("a fresh directory opens")
}

fn put(store: &mut LogStore<FileDisk>, key: &KeyRef<'_>, item_hash: u64) -> Sequence {
    let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: 2 }) };
    let record = NewRecord { local, object: &VALUE, item_hash, expires_ms: None, is_delete: false };
    loop {
        match store.put(key, &record) {
            Ok(sequence) => return sequence,
            Err(StoreError::Overloaded) => std::thread::yield_now(),
            Err(error) => panic!("{error}"),
        }
    }
}

fn put_all(store: &mut LogStore<FileDisk>, keys: &Keys, round: u64, turn: impl Fn(&mut LogStore<FileDisk>)) {
    for at in 0..keys.0.len() {
        put(store, &keys.at(at), round << 32 | at as u64);
        if at % BATCH == BATCH - 1 {
            store.flush(Durability::Interval);
            turn(store);
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
        let sequence = put(store, &keys.at(at), 9);
        store.flush(Durability::Always);
        while store.marks().durable < sequence {
            std::hint::spin_loop();
        }
    });
}

/// What keeping the hash trees costs, leaves that are split in the background included.
fn trees(path: &Path, keys: &Keys) {
    let count = keys.0.len();
    let begun = Instant::now();
    let turn = |store: &mut LogStore<FileDisk>| {
        store.maintain(quorate::proto::time::Instant::from_nanos(begun.elapsed().as_nanos() as u64));
    };
    let options = LogOptions { compaction: false, checkpoint_bytes: u64::MAX, ..options() };
    let mut store = open_with(path, options.clone());
    report("put, new keys", count, || put_all(&mut store, keys, 1, turn));
    let catching_up = Instant::now();
    let crowded = |store: &LogStore<FileDisk>| !store.trees().crowded().is_empty();
    while crowded(&store) {
        (0..64).for_each(|_| turn(&mut store));
        std::thread::yield_now();
    }
    println!("leaves split after another         {:>8} ms", catching_up.elapsed().as_millis());
    report("put, the same keys again", count, || put_all(&mut store, keys, 2, turn));
    println!(
        "trees                              {:>8.2} B a key",
        store.stats().tree_bytes as f64 / count as f64
    );
    store.close().expect("the disk works");
    drop(store);
    report("open after a clean stop, a key", count, || drop(open_with(path, options)));
}

fn main() {
    let count = std::env::args().skip(1).find_map(|word| word.parse().ok()).unwrap_or(1_000_000);
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("data");
    let keys = Keys::new(count);
    if std::env::args().any(|word| word == "trees") {
        return trees(&path, &keys);
    }
    let mut rng = Rng::new(9);
    let mut store = open(&path);

    report("limit of a put", count, || put_limit(home.path(), count));
    report("put, new keys", count, || put_all(&mut store, &keys, 1, |_| ()));
    report("put, the same keys again", count, || put_all(&mut store, &keys, 2, |_| ()));
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
