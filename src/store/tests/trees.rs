//! Hash trees: whatever happens to a store, they are what its records add up to.

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeMap;

use super::disk::TestDisk;
use super::upkeep::everything;
use super::*;
use crate::proto::merkle::{self, Digest, NodeName};
use crate::proto::store::Durability;
use crate::proto::time::Instant;
use crate::store::MemoryStore;

/// What is held under each path, by partition and keyspace.
type Content = BTreeMap<(u16, u16), BTreeMap<u32, Digest>>;

fn content<S: Store>(store: &S) -> Content {
    let mut content = Content::new();
    for partition in 0..PARTITIONS as u16 {
        store.scan(partition, 0, &mut |key, record| {
            let tree = content.entry((partition, key.keyspace)).or_default();
            let digest = tree.entry(merkle::path(key.position, PARTITIONS)).or_default();
            *digest = digest.with(Digest::of(record.item_hash));
            ControlFlow::Continue(())
        });
    }
    content
}

/// Asserts that every leaf, and every root, is what the records there add up to.
pub fn check_trees<S: Store>(store: &S) {
    let content = content(store);
    let sum = |tree: &BTreeMap<u32, Digest>, name: NodeName| {
        tree.range(name.paths()).fold(Digest::default(), |sum, (_, digest)| sum.with(*digest))
    };
    let roots = content.iter().map(|(&name, tree)| (name, sum(tree, NodeName::ROOT)));
    assert_eq!(store.trees().roots(), roots.collect::<BTreeMap<_, _>>());
    for (&(partition, keyspace), tree) in &content {
        let kept = store.tree(partition, keyspace).expect("its root was just compared");
        kept.visit(&mut |name, digest| assert_eq!(digest, sum(tree, name), "{name:?} of {partition}"));
    }
}

/// A key of one of three keyspaces; the first has most of them.
fn key_of(number: u64) -> (u16, Vec<u8>) {
    let keyspace = if number.is_multiple_of(5) { 1 + (number % 2) as u16 } else { 0 };
    (keyspace, format!("key {number}").into_bytes())
}

/// Applies a random change.
pub fn change<S: Store>(store: &mut S, rng: &mut Rng, keys: u64) -> Result<Sequence, StoreError> {
    let (keyspace, name) = key_of(rng.below(keys));
    let position = ring::position(&HASH_KEY, keyspace, &name);
    let key = KeyRef { keyspace, key: &name, position, partition: ring::partition(position, PARTITIONS) };
    if rng.one_in(8) {
        return store.remove(&key);
    }
    let object = vec![7; rng.below(60) as usize];
    let (local, item_hash) = (LocalPart::default(), rng.next_u64());
    store.put(&key, &NewRecord { local, object: &object, item_hash, expires_ms: None, is_delete: false })
}

#[test]
fn the_memory_store_keeps_its_trees() {
    let mut rng = Rng::new(3);
    let mut store = MemoryStore::new(PARTITIONS, &mut || 5);
    for step in 0..12_000 {
        change(&mut store, &mut rng, 4_000).unwrap();
        if step % 3_000 == 2_999 {
            check_trees(&store);
        }
    }
    assert_eq!(store.tree(1, 0).unwrap().depth(), 1, "about 700 keys");
    store.drop_partition(1).unwrap();
    check_trees(&store);
    assert!(store.tree(1, 0).is_none());
}

/// A log under random changes, with its upkeep between them.
struct Log {
    options: LogOptions,
    disk: TestDisk,
    store: LogStore<TestDisk>,
    rng: Rng,
    now: u64,
}

impl Log {
    fn new(seed: u64, options: LogOptions) -> Log {
        let disk = TestDisk::new();
        let store = open_with(&disk, &options).unwrap();
        Log { options, disk, store, rng: Rng::new(seed), now: 1 }
    }

    fn figure(&self, name: &str) -> u64 {
        let figures = self.store.status().figures;
        figures.iter().find(|figure| figure.0 == name).map(|figure| figure.1).expect("it is a figure")
    }

    /// Changes a key among so many.
    fn change(&mut self, keys: u64) {
        if change(&mut self.store, &mut self.rng, keys) == Err(StoreError::Overloaded) {
            self.store.flush(Durability::Interval);
            self.turn();
            work(&self.store);
        }
    }

    fn turn(&mut self) {
        self.now += self.rng.below(20_000_000);
        self.store.maintain(Instant::from_nanos(self.now));
    }

    fn restart(&mut self) {
        match self.rng.below(3) {
            0 => self.store.close().unwrap(),
            1 => self.disk = self.disk.kill(),
            _ => self.disk = self.disk.crash(&mut self.rng),
        }
        if self.rng.one_in(4) {
            self.disk.state().small.remove("checkpoint");
        }
        self.store = open_with(&self.disk, &self.options).unwrap();
    }
}

#[test]
fn the_log_keeps_its_trees_over_any_stop() {
    let (mut void, mut looks, mut checkpoints, mut compactions) = (0, 0, 0, 0);
    for seed in 0..4 {
        let mut log = Log::new(seed, LogOptions { checkpoint_share: 1, ..everything() });
        for step in 0..12_000 {
            log.change(1_500);
            match log.rng.below(60) {
                0..10 => log.turn(),
                10..25 => drop(log.store.disk_step()),
                25..30 => log.store.flush(Durability::Interval),
                _ => {}
            }
            if log.rng.one_in(4_000) {
                let partition = log.rng.below(u64::from(PARTITIONS)) as u16;
                let _ = log.store.drop_partition(partition);
            }
            if step % 600 == 599 {
                check_trees(&log.store);
                looks += log.figure("store_tree_audits");
                checkpoints += log.figure("store_checkpoints");
                compactions += log.figure("store_compactions");
                assert_eq!(log.figure("store_tree_mismatches"), 0);
                log.restart();
                void += log.figure("store_checkpoints_void");
                check_trees(&log.store);
            }
        }
    }
    assert_eq!(void, 0);
    assert!(looks > 100 && checkpoints > 20 && compactions > 20, "{looks} {checkpoints} {compactions}");
}

#[test]
fn a_leaf_is_split_when_the_worker_has_read_its_records() {
    let mut log = Log::new(5, options());
    for _ in 0..4_000 {
        log.change(2_000);
    }
    log.store.flush(Durability::Interval);
    assert_eq!(log.store.tree(0, 0).unwrap().depth(), 0, "nobody has read anything");
    // What changes while the headers are read counts, too.
    log.turn();
    for _ in 0..500 {
        log.change(2_000);
    }
    for _ in 0..20 {
        work(&log.store);
        log.turn();
    }
    check_trees(&log.store);
    for partition in 0..PARTITIONS as u16 {
        let tree = log.store.tree(partition, 0).unwrap();
        assert_eq!((tree.depth(), tree.all_crowded().len()), (1, 0), "about 300 keys");
    }
}

/// A listing that takes several looks, while keys are added that have the leaf ask again.
#[test]
fn a_large_leaf_is_split_although_it_asks_again_meanwhile() {
    let mut log = Log::new(8, LogOptions { segment_size: 4 << 20, staging_limit: 64 << 20, ..options() });
    for _ in 0..20_000 {
        log.change(40_000);
    }
    log.store.flush(Durability::Interval);
    work(&log.store);
    for _ in 0..40 {
        for _ in 0..400 {
            log.change(40_000);
        }
        work(&log.store);
        log.turn();
    }
    for _ in 0..200 {
        work(&log.store);
        log.turn();
    }
    check_trees(&log.store);
    assert!(log.store.trees().crowded().is_empty());
}

#[test]
fn a_checkpoint_has_the_trees_of_shards_that_it_copied_at_different_times() {
    let options = LogOptions {
        checkpoint_share: 1,
        checkpoint_bytes: 1 << 20,
        segment_size: 4 << 20,
        staging_limit: 64 << 20,
        ..options()
    };
    let mut log = Log::new(6, options);
    for _ in 0..60_000 {
        log.change(50_000);
    }
    for _ in 0..300 {
        log.store.flush(Durability::Always);
        work(&log.store);
        log.turn();
    }
    let before = log.figure("store_checkpoints");
    // Every turn copies a shard, and between any two of them keys change before and behind it.
    while log.figure("store_checkpoints") < before + 2 {
        for _ in 0..300 {
            log.change(50_000);
        }
        log.store.flush(Durability::Always);
        work(&log.store);
        log.turn();
    }
    assert!(log.store.tree(0, 0).unwrap().root().keys > 7_000, "more than one shard");
    check_trees(&log.store);
    log.disk = log.disk.kill();
    log.store = open_with(&log.disk, &log.options).unwrap();
    assert_eq!(log.figure("store_checkpoints_void"), 0);
    assert!(log.store.tree(0, 0).unwrap().depth() >= 2, "as it was, not scanned");
    check_trees(&log.store);
}

#[test]
fn a_tree_that_is_not_what_headers_say_is_corrected_by_the_scrub() {
    let mut log = Log::new(7, LogOptions { scrub_interval: Duration::from_secs(1), ..options() });
    for number in 0..300_u64 {
        put(&mut log.store, format!("key {number}").as_bytes(), &vec![3; number as usize]).unwrap();
    }
    log.store.flush(Durability::Always);
    work(&log.store);
    // The record of key 77, with another item hash. Nobody reads it.
    let (length, hash) = (77_u64.to_le_bytes(), (77_u64 * 3).to_le_bytes());
    let needle: Vec<u8> = [&hash[..], &1_u64.to_le_bytes(), &length, &[1, 0], b"key 77\x03"].concat();
    for content in log.disk.state().segments.values_mut() {
        if let Some(at) = content.current.windows(needle.len()).position(|bytes| bytes == needle) {
            content.current[at] ^= 0x40;
        }
    }
    let key = b"key 77";
    let partition = key_ref(key).partition;
    let before = log.store.tree(partition, 1).unwrap().root();
    while log.figure("store_tree_audits") < 3 * u64::from(PARTITIONS) {
        work(&log.store);
        log.turn();
    }
    assert_eq!(log.figure("store_tree_mismatches"), 1, "it is found once, and then it is right");
    assert_eq!(log.store.tree(partition, 1).unwrap().root().sum, before.sum ^ 0x40);
    // What takes its place takes out what the header says.
    put(&mut log.store, key, b"new").unwrap();
    check_trees(&log.store);
}
