//! Hash trees: whatever happens to a store, they are what its records add up to.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use super::*;
use crate::proto::merkle::{self, Digest, NodeName};
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
