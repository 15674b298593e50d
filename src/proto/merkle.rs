//! Trees of hashes over the records of a partition, kept current by every change, so that two copies are
//! compared without being read.
//!
//! ```text
//!  path   24 bits of the position below the partition: six digits of 4 bits
//!
//!  level 0                    root                      a node is named by its level and the digits that
//!  level 1      0 … 7            8          9 … F       its paths begin with (the prefix)
//!  level 2             80 … 87  88  89 … 8F
//! ```
//!
//! A node is the sum, modulo 2^64, of the keyed 8-byte item hashes of the records in its range, and their
//! number. So a change is "old out, new in" on the way down, the order of changes does not matter, and a
//! node is the sum of its children: two trees of equal content agree in every node that both have, whatever
//! they grew from.
//!
//! A leaf above [`SPLIT_ABOVE`] keys asks to be split, as its hashes alone do not say which digit they belong
//! under: whoever keeps the records adds them up anew and calls [`MerkleTree::split`], when it has the
//! time. Until then the leaf is only coarse, never wrong. A branch below [`JOIN_BELOW`] keys becomes a leaf
//! at once. Leaves split one by one: keys of one `{tag}`, which share the upper digits, make the tree deep where
//! they are and nowhere else.
//!
//! There is one tree a partition and keyspace: keyspaces with different N have different sets of replicas,
//! and must not share a root (trap T16). A tree without keys does not exist.

use core::ops::{Range, RangeInclusive};
use std::collections::{BTreeMap, BTreeSet};

/// Children of a branch.
pub const FANOUT: usize = 16;
/// The deepest level: a node there is one path.
pub const LEVEL_MAX: u32 = 6;
/// A leaf with more keys asks to be split.
pub const SPLIT_ABOVE: u32 = 128;
/// A branch with fewer keys becomes a leaf.
pub const JOIN_BELOW: u32 = 16;

/// Bits of a digit, and of a path.
const DIGIT_BITS: u32 = 4;
const PATH_BITS: u32 = LEVEL_MAX * DIGIT_BITS;

/// The path of a position: the 24 bits below the partition, of which there are `partitions`.
pub const fn path(position: u128, partitions: u32) -> u32 {
    (position >> (128 - partitions.trailing_zeros() - PATH_BITS)) as u32 & ((1 << PATH_BITS) - 1)
}

/// The name of a node: the first `level` digits of the paths in it. The root is level 0, prefix 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeName {
    /// How many digits, up to [`LEVEL_MAX`].
    pub level: u32,
    /// The digits, the last one in the lowest bits.
    pub prefix: u32,
}

impl NodeName {
    /// The whole tree.
    pub const ROOT: NodeName = NodeName { level: 0, prefix: 0 };

    /// The node of this level that a path lies in.
    pub const fn of(path: u32, level: u32) -> NodeName {
        NodeName { level, prefix: path >> (PATH_BITS - level * DIGIT_BITS) }
    }

    /// The child with this digit, one level down.
    pub const fn child(self, digit: usize) -> NodeName {
        NodeName { level: self.level + 1, prefix: self.prefix << DIGIT_BITS | digit as u32 }
    }

    /// The paths in it.
    pub const fn paths(self) -> Range<u32> {
        let bits = PATH_BITS - self.level * DIGIT_BITS;
        self.prefix << bits..(self.prefix + 1) << bits
    }

    /// The positions in it, in a partition of so many: what a scan of its records goes through.
    pub const fn positions(self, partition: u16, partitions: u32) -> RangeInclusive<u128> {
        let below = 128 - partitions.trailing_zeros() - PATH_BITS;
        let Range { start, end } = self.paths();
        let upper = (partition as u128) << PATH_BITS;
        let (first, last) = (upper | start as u128, upper | (end - 1) as u128);
        first << below..=(last << below) + ((1 << below) - 1)
    }

    /// Whether the name can be one.
    pub const fn is_valid(self) -> bool {
        self.level <= LEVEL_MAX && self.prefix >> (self.level * DIGIT_BITS) == 0
    }

    /// The digit of this level, counted from 0, that the node lies under.
    const fn digit(self, level: u32) -> usize {
        digit(self.paths().start, level)
    }
}

/// The digit of a path that chooses the child of a node at this level.
const fn digit(path: u32, level: u32) -> usize {
    (path >> (PATH_BITS - (level + 1) * DIGIT_BITS)) as usize % FANOUT
}

/// What lies in a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Digest {
    /// The sum of the item hashes, modulo 2^64.
    pub sum: u64,
    /// Records.
    pub keys: u32,
}

impl Digest {
    /// Of one record.
    pub const fn of(item_hash: u64) -> Digest {
        Digest { sum: item_hash, keys: 1 }
    }

    /// Of both together.
    pub const fn with(self, other: Digest) -> Digest {
        Digest { sum: self.sum.wrapping_add(other.sum), keys: self.keys.wrapping_add(other.keys) }
    }

    /// What is left without the other.
    pub const fn without(self, other: Digest) -> Digest {
        Digest { sum: self.sum.wrapping_sub(other.sum), keys: self.keys.wrapping_sub(other.keys) }
    }
}

/// What a change of one record does to each node that it lies in.
#[derive(Clone, Copy, Debug)]
struct Change {
    old: Digest,
    new: Digest,
}

impl Change {
    const fn on(self, digest: Digest) -> Digest {
        digest.without(self.old).with(self.new)
    }
}

/// The tree of one partition and keyspace. See the head of this file.
#[derive(Clone, Debug, Default)]
pub struct MerkleTree {
    root: Digest,
    top: Option<Box<Branch>>,
    /// Bytes of memory that the branches take.
    heap: usize,
}

/// A node that has children. Sums and counts lie apart, as together they would be padded.
#[derive(Clone, Debug, Default)]
struct Branch {
    sums: [u64; FANOUT],
    keys: [u32; FANOUT],
    /// Children that are branches; `None` while all are leaves.
    below: Option<Box<Below>>,
}

type Below = [Option<Box<Branch>>; FANOUT];

impl Branch {
    fn child(&self, digit: usize) -> Digest {
        Digest { sum: self.sums[digit], keys: self.keys[digit] }
    }

    fn set(&mut self, digit: usize, digest: Digest) {
        (self.sums[digit], self.keys[digit]) = (digest.sum, digest.keys);
    }

    fn below(&self, digit: usize) -> Option<&Branch> {
        self.below.as_ref()?[digit].as_deref()
    }

    /// The place of the branch under a digit, which is made if there is none.
    fn place_below(&mut self, digit: usize) -> &mut Option<Box<Branch>> {
        &mut self.below.get_or_insert_default()[digit]
    }

    fn heap_bytes(&self) -> usize {
        let Some(below) = &self.below else { return size_of::<Branch>() };
        let branches = below.iter().flatten().map(|branch| branch.heap_bytes());
        size_of::<Branch>() + size_of::<Below>() + branches.sum::<usize>()
    }
}

impl MerkleTree {
    /// A record came under this path. Returns its leaf, if that asks to be split: as often as it has so many
    /// keys more, so that one which cannot be split does not ask for each of them.
    pub fn put(&mut self, path: u32, item_hash: u64) -> Option<NodeName> {
        let (level, keys) = self.change(path, Change { old: Digest::default(), new: Digest::of(item_hash) });
        let asks = level < LEVEL_MAX && keys > SPLIT_ABOVE && keys % SPLIT_ABOVE == 1;
        asks.then(|| NodeName::of(path, level))
    }

    /// A record took the place of another.
    pub fn replace(&mut self, path: u32, old_hash: u64, item_hash: u64) {
        if old_hash != item_hash {
            self.change(path, Change { old: Digest::of(old_hash), new: Digest::of(item_hash) });
        }
    }

    /// A record left.
    pub fn remove(&mut self, path: u32, item_hash: u64) {
        self.change(path, Change { old: Digest::of(item_hash), new: Digest::default() });
    }

    /// Returns the level of the leaf, and its keys.
    fn change(&mut self, path: u32, change: Change) -> (u32, u32) {
        self.root = change.on(self.root);
        let mut keys = self.root.keys;
        let mut place = &mut self.top;
        for level in 0..LEVEL_MAX {
            if keys < JOIN_BELOW {
                self.heap -= place.take().map_or(0, |branch| branch.heap_bytes());
                return (level, keys);
            }
            let Some(branch) = place else { return (level, keys) };
            let digit = digit(path, level);
            let child = change.on(branch.child(digit));
            branch.set(digit, child);
            keys = child.keys;
            let Some(below) = &mut branch.below else { return (level + 1, keys) };
            place = &mut below[digit];
        }
        (LEVEL_MAX, keys)
    }

    /// All of it.
    pub const fn root(&self) -> Digest {
        self.root
    }

    /// What lies in a node; `None` if it lies below a leaf, which does not tell. A node below an empty
    /// leaf is known to be empty.
    pub fn node(&self, name: NodeName) -> Option<Digest> {
        let mut digest = self.root;
        let mut place = self.top.as_deref();
        for level in 0..name.level {
            let Some(branch) = place else { return (digest.keys == 0).then_some(digest) };
            let digit = name.digit(level);
            digest = branch.child(digit);
            place = branch.below(digit);
        }
        Some(digest)
    }

    /// The children of a node, if it has some.
    pub fn children(&self, name: NodeName) -> Option<[Digest; FANOUT]> {
        let branch = self.branch(name)?;
        Some(core::array::from_fn(|digit| branch.child(digit)))
    }

    fn branch(&self, name: NodeName) -> Option<&Branch> {
        (0..name.level).try_fold(self.top.as_deref()?, |branch, level| branch.below(name.digit(level)))
    }

    /// The leaf that a path lies in.
    pub fn leaf(&self, path: u32) -> (NodeName, Digest) {
        let mut digest = self.root;
        let mut place = self.top.as_deref();
        for level in 0..LEVEL_MAX {
            let Some(branch) = place else { return (NodeName::of(path, level), digest) };
            let digit = digit(path, level);
            digest = branch.child(digit);
            place = branch.below(digit);
        }
        (NodeName::of(path, LEVEL_MAX), digest)
    }

    /// All leaves that have too many keys.
    pub fn all_crowded(&self) -> Vec<NodeName> {
        let mut crowded = Vec::new();
        self.visit(&mut |leaf, digest| {
            crowded.extend((digest.keys > SPLIT_ABOVE && leaf.level < LEVEL_MAX).then_some(leaf));
        });
        crowded
    }

    /// The levels below the root, where the tree is deepest.
    pub fn depth(&self) -> u32 {
        let mut depth = 0;
        self.visit(&mut |name, _| depth = depth.max(name.level));
        depth
    }

    /// Visits the leaves in order of their paths.
    pub fn visit(&self, each: &mut dyn FnMut(NodeName, Digest)) {
        fn walk(
            branch: Option<&Branch>,
            name: NodeName,
            digest: Digest,
            each: &mut dyn FnMut(NodeName, Digest),
        ) {
            let Some(branch) = branch else { return each(name, digest) };
            for digit in 0..FANOUT {
                walk(branch.below(digit), name.child(digit), branch.child(digit), each);
            }
        }
        walk(self.top.as_deref(), NodeName::ROOT, self.root, each);
    }

    /// Gives a leaf children. False, and nothing changes, if there is no such leaf, or they do not add up
    /// to it.
    pub fn split(&mut self, leaf: NodeName, children: &[Digest; FANOUT]) -> bool {
        let whole = children.iter().fold(Digest::default(), |sum, child| sum.with(*child));
        let is_leaf = leaf.level < LEVEL_MAX && self.leaf(leaf.paths().start).0 == leaf;
        if !is_leaf || self.node(leaf) != Some(whole) {
            return false;
        }
        let mut place = &mut self.top;
        for level in 0..leaf.level {
            let branch = place.as_mut().expect("what is above a leaf is a branch");
            self.heap += if branch.below.is_none() { size_of::<Below>() } else { 0 };
            place = branch.place_below(leaf.digit(level));
        }
        let mut branch = Box::<Branch>::default();
        (0..FANOUT).for_each(|digit| branch.set(digit, children[digit]));
        *place = Some(branch);
        self.heap += size_of::<Branch>();
        true
    }

    /// Adds what lies in a leaf to a tree that is put together again from its leaves, in order. False, and
    /// the tree is worth nothing, if there is no such leaf, or it does not lie behind those before it.
    pub fn add_leaf(&mut self, leaf: NodeName, digest: Digest) -> bool {
        let path = leaf.paths().start;
        let change = Change { old: Digest::default(), new: digest };
        if leaf.level > 0 && self.top.is_none() && self.root != Digest::default() {
            return false;
        }
        self.root = change.on(self.root);
        let mut place = &mut self.top;
        for level in 0..leaf.level {
            let is_new = place.is_none();
            let branch = place.get_or_insert_default();
            self.heap += if is_new { size_of::<Branch>() } else { 0 };
            let digit = digit(path, level);
            let held = branch.child(digit);
            branch.set(digit, change.on(held));
            if level + 1 == leaf.level {
                return held == Digest::default() && branch.below(digit).is_none();
            }
            // What is no branch yet, and has something in it, is a leaf.
            if branch.below(digit).is_none() && held != Digest::default() {
                return false;
            }
            self.heap += if branch.below.is_none() { size_of::<Below>() } else { 0 };
            place = branch.place_below(digit);
        }
        place.is_none() && self.root == digest
    }

    /// A tree with the same leaves, and nothing in them: to count again by [`MerkleTree::count`].
    pub fn emptied(&self) -> MerkleTree {
        let mut tree = self.clone();
        let mut branches: Vec<&mut Box<Branch>> = tree.top.iter_mut().collect();
        while let Some(branch) = branches.pop() {
            (branch.sums, branch.keys) = ([0; FANOUT], [0; FANOUT]);
            branches.extend(branch.below.iter_mut().flat_map(|below| below.iter_mut().flatten()));
        }
        tree.root = Digest::default();
        tree
    }

    /// Counts what came and what went under a path. No leaf is joined by it.
    pub fn count(&mut self, path: u32, old: Digest, new: Digest) {
        let change = Change { old, new };
        self.root = change.on(self.root);
        let mut place = self.top.as_mut();
        for level in 0..LEVEL_MAX {
            let Some(branch) = place else { return };
            let digit = digit(path, level);
            branch.set(digit, change.on(branch.child(digit)));
            place = branch.below.as_mut().and_then(|below| below[digit].as_mut());
        }
    }

    /// Whether both have the same in every node that both have.
    pub fn agrees(&self, other: &MerkleTree) -> bool {
        let mut agrees = self.root == other.root;
        self.visit(&mut |name, digest| {
            agrees &= other.node(name).is_none_or(|theirs| theirs == digest);
        });
        agrees
    }

    /// Bytes of memory that it takes besides itself.
    pub const fn heap_bytes(&self) -> usize {
        self.heap
    }
}

/// The trees of a store.
#[derive(Clone, Debug, Default)]
pub struct Forest {
    /// By partition; those of a partition by keyspace.
    partitions: Vec<Vec<(u16, MerkleTree)>>,
    /// Bytes of memory that the lists and their trees take.
    heap: usize,
}

impl Forest {
    /// The tree of a partition and keyspace; `None` if it has no key.
    pub fn tree(&self, partition: u16, keyspace: u16) -> Option<&MerkleTree> {
        let trees = self.partitions.get(usize::from(partition))?;
        let at = trees.binary_search_by_key(&keyspace, |(keyspace, _)| *keyspace).ok()?;
        Some(&trees[at].1)
    }

    /// The trees of a partition, by rising keyspace.
    pub fn of(&self, partition: u16) -> impl Iterator<Item = (u16, &MerkleTree)> {
        let trees = self.partitions.get(usize::from(partition)).into_iter().flatten();
        trees.map(|(keyspace, tree)| (*keyspace, tree))
    }

    /// Roots of all trees, by partition and keyspace.
    pub fn roots(&self) -> BTreeMap<(u16, u16), Digest> {
        let partitions = (0..=u16::MAX).take(self.partitions.len());
        let trees = partitions.flat_map(|partition| {
            self.of(partition).map(move |(keyspace, tree)| ((partition, keyspace), tree.root()))
        });
        trees.collect()
    }

    /// Partition and keyspace of trees with a leaf that has too many keys.
    pub fn crowded(&self) -> BTreeSet<(u16, u16)> {
        let partitions = (0..=u16::MAX).take(self.partitions.len());
        let trees = partitions.flat_map(|partition| self.of(partition).map(move |tree| (partition, tree)));
        let crowded = trees.filter(|(_, (_, tree))| !tree.all_crowded().is_empty());
        crowded.map(|(partition, (keyspace, _))| (partition, keyspace)).collect()
    }

    /// Changes a tree; it is made before, and goes if it has no key afterwards.
    pub fn change<R>(
        &mut self,
        partition: u16,
        keyspace: u16,
        change: impl FnOnce(&mut MerkleTree) -> R,
    ) -> R {
        let partition = usize::from(partition);
        if self.partitions.len() <= partition {
            self.partitions.resize_with(partition + 1, Vec::new);
        }
        let trees = &mut self.partitions[partition];
        let before = list_bytes(trees);
        let at = match trees.binary_search_by_key(&keyspace, |(keyspace, _)| *keyspace) {
            Ok(at) => at,
            Err(at) => {
                trees.insert(at, (keyspace, MerkleTree::default()));
                at
            }
        };
        let tree = &mut trees[at].1;
        let tree_before = tree.heap;
        let result = change(tree);
        self.heap = self.heap + tree.heap - tree_before;
        if tree.root == Digest::default() {
            self.heap -= tree.heap;
            trees.remove(at);
            if trees.is_empty() {
                *trees = Vec::new();
            }
        }
        self.heap = self.heap + list_bytes(trees) - before;
        result
    }

    /// All keys of a partition left.
    pub fn drop_partition(&mut self, partition: u16) {
        if let Some(trees) = self.partitions.get_mut(usize::from(partition)) {
            let trees = core::mem::take(trees);
            self.heap -= list_bytes(&trees) + trees.iter().map(|(_, tree)| tree.heap).sum::<usize>();
        }
    }

    /// Bytes of memory that it takes.
    pub const fn heap_bytes(&self) -> usize {
        self.partitions.capacity() * size_of::<Vec<(u16, MerkleTree)>>() + self.heap
    }
}

const fn list_bytes(trees: &Vec<(u16, MerkleTree)>) -> usize {
    trees.capacity() * size_of::<(u16, MerkleTree)>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::rng::Rng;
    use proptest::prelude::*;

    /// A tree with what it stands for, and splits that come when the test wants them.
    #[derive(Default)]
    struct Grown {
        tree: MerkleTree,
        held: BTreeMap<u32, Vec<u64>>,
    }

    impl Grown {
        fn put(&mut self, path: u32, hash: u64) {
            self.held.entry(path).or_default().push(hash);
            self.tree.put(path, hash);
        }

        fn replace(&mut self, path: u32, hash: u64) {
            let Some(last) = self.held.get_mut(&path).and_then(|list| list.last_mut()) else { return };
            let old = core::mem::replace(last, hash);
            self.tree.replace(path, old, hash);
        }

        fn remove(&mut self, path: u32) {
            let Some(old) = self.held.get_mut(&path).and_then(Vec::pop) else { return };
            self.tree.remove(path, old);
        }

        fn digest(&self, name: NodeName) -> Digest {
            let held = self.held.range(name.paths()).flat_map(|(_, list)| list);
            held.fold(Digest::default(), |sum, hash| sum.with(Digest::of(*hash)))
        }

        fn split(&mut self, path: u32) -> bool {
            let (leaf, digest) = self.tree.leaf(path);
            if digest.keys <= SPLIT_ABOVE || leaf.level == LEVEL_MAX {
                return false;
            }
            let children = core::array::from_fn(|digit| self.digest(leaf.child(digit)));
            assert!(self.tree.split(leaf, &children));
            true
        }

        /// Every node that the tree has, and those that no tree has, are what their records add up to.
        fn check(&self) {
            let mut next = 0;
            self.tree.visit(&mut |name, digest| {
                assert_eq!(digest, self.digest(name), "{name:?}");
                assert_eq!(name.paths().start, next, "leaves follow each other");
                next = name.paths().end;
                for level in 0..=name.level {
                    let above = NodeName::of(name.paths().start, level);
                    // Each once, at its first leaf.
                    if above.paths().start == name.paths().start {
                        assert_eq!(self.tree.node(above), Some(self.digest(above)));
                    }
                }
                if name.level < LEVEL_MAX {
                    let expected = (digest.keys == 0).then_some(Digest::default());
                    assert_eq!(self.tree.node(name.child(3)), expected);
                    assert_eq!(self.tree.children(name), None);
                }
            });
            assert_eq!(next, 1 << PATH_BITS);
        }
    }

    /// A history: what is drawn from `seed`, in trees whose keys share `shared` upper bits.
    fn grow(seed: u64, steps: u64, shared: u32, split_one_in: u64) -> Grown {
        let mut rng = Rng::new(seed);
        let mut grown = Grown::default();
        let draw = |rng: &mut Rng| (rng.next_u64() as u32) >> 8 >> shared;
        for _ in 0..steps {
            let paths = grown.held.len() as u64;
            let known = grown.held.keys().nth(rng.below(paths.max(1)) as usize).copied().unwrap_or(0);
            match rng.below(8) {
                0..5 => {
                    let path = if rng.one_in(20) { known } else { draw(&mut rng) };
                    grown.put(path, rng.next_u64());
                    if rng.one_in(split_one_in) {
                        grown.split(path);
                    }
                }
                5 => grown.replace(known, rng.next_u64()),
                _ => grown.remove(known),
            }
        }
        grown
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_tree_is_what_its_records_add_up_to(seed: u64, steps in 0_u64..4_000, shared in 0_u32..24) {
            grow(seed, steps, shared, 2).check();
        }

        /// The same records, put in another order, without the history, and split at other times.
        #[test]
        fn trees_of_equal_content_agree_where_both_have_a_node(seed: u64, steps in 500_u64..4_000, late: bool) {
            let old = grow(seed, steps, 0, 1);
            let mut new = Grown::default();
            let mut rng = Rng::new(!seed);
            for (&path, list) in old.held.iter().rev() {
                list.iter().rev().for_each(|&hash| new.put(path, hash));
                if !late || rng.one_in(30) {
                    new.split(path);
                }
            }
            prop_assert_eq!(old.tree.root(), new.tree.root());
            let mut compared = 0;
            old.tree.visit(&mut |name, _| for level in 0..=name.level {
                let name = NodeName::of(name.paths().start, level);
                if let (Some(one), Some(other)) = (old.tree.node(name), new.tree.node(name)) {
                    assert_eq!(one, other);
                    compared += 1;
                }
            });
            prop_assert!(compared > old.tree.depth());
            // One record more, and every node above it differs.
            new.put(5, 7);
            for level in 0..=new.tree.leaf(5).0.level {
                let name = NodeName::of(5, level);
                prop_assert_ne!(old.tree.node(name).unwrap_or_default(), new.tree.node(name).unwrap());
            }
        }
    }

    #[test]
    fn it_grows_where_its_keys_are_and_shrinks_again() {
        let mut rng = Rng::new(5);
        let mut grown = Grown::default();
        let paths: Vec<u32> = (0..40_000).map(|_| (rng.next_u64() as u32) >> 8).collect();
        for &path in &paths {
            grown.put(path, rng.next_u64());
            grown.split(path);
        }
        // Three levels, as 256 leaves would have 156 keys each. 4,096 have ten: the most memory a key takes.
        assert_eq!(grown.tree.depth(), 3);
        let bytes = grown.tree.heap_bytes();
        assert!(bytes < 40_000 * 3 / 2, "{bytes} bytes");
        // A tag: 2,000 keys below one node of level 4.
        (0..2_000).for_each(|at| {
            grown.put(0x12_3400 | (at % 256), u64::from(at));
            while grown.split(0x12_3400 | (at % 256)) {}
        });
        assert_eq!(grown.tree.depth(), 5);
        grown.check();
        for path in grown.held.keys().copied().collect::<Vec<u32>>() {
            while grown.held[&path].len() > usize::from(path == paths[7]) {
                grown.remove(path);
            }
        }
        assert_eq!((grown.tree.root().keys, grown.tree.depth(), grown.tree.heap_bytes()), (1, 0, 0));
        grown.check();
    }

    #[test]
    fn a_split_that_does_not_add_up_is_refused() {
        let mut grown = Grown::default();
        (0..SPLIT_ABOVE).for_each(|at| grown.put(at << 15, u64::from(at) + 1));
        assert!(grown.tree.all_crowded().is_empty());
        grown.put(5, 7);
        let leaf = grown.tree.all_crowded()[0];
        assert_eq!(leaf, NodeName::ROOT);
        let mut children: [Digest; FANOUT] = core::array::from_fn(|digit| grown.digest(leaf.child(digit)));
        children[3].sum ^= 1;
        assert!(!grown.tree.split(leaf, &children));
        children[3].sum ^= 1;
        assert!(!grown.tree.split(NodeName { level: 1, prefix: 0 }, &children));
        assert!(grown.tree.split(leaf, &children));
        assert!(!grown.tree.split(leaf, &children), "it is no leaf any more");
        grown.check();
    }

    #[test]
    fn names_cover_the_positions_of_their_partition() {
        for partitions in [1_u32, 4, 65_536] {
            let partition = (partitions - 1) as u16;
            let whole = NodeName::ROOT.positions(partition, partitions);
            assert_eq!(*whole.end(), u128::MAX);
            assert_eq!(whole.end().wrapping_sub(*whole.start()), u128::MAX >> partitions.trailing_zeros());
            let node = NodeName { level: 2, prefix: 0xA7 };
            for position in
                [*node.positions(partition, partitions).start(), *node.positions(partition, partitions).end()]
            {
                assert_eq!(NodeName::of(path(position, partitions), 2), node);
            }
            let (before, behind) = (
                node.positions(partition, partitions).start() - 1,
                node.positions(partition, partitions).end() + 1,
            );
            assert_eq!(NodeName::of(path(before, partitions), 2).prefix, 0xA6);
            assert_eq!(NodeName::of(path(behind, partitions), 2).prefix, 0xA8);
        }
    }

    #[test]
    fn a_forest_has_no_tree_without_a_key() {
        let mut forest = Forest::default();
        assert!(forest.tree(3, 0).is_none());
        forest.change(3, 9, |tree| tree.put(1, 10));
        forest.change(3, 2, |tree| tree.put(1, 20));
        forest.change(1, 2, |tree| tree.put(1, 30));
        assert!(forest.of(3).map(|(keyspace, tree)| (keyspace, tree.root().sum)).eq([(2, 20), (9, 10)]));
        assert_eq!(forest.roots().keys().copied().collect::<Vec<_>>(), [(1, 2), (3, 2), (3, 9)]);
        forest.change(3, 9, |tree| tree.remove(1, 10));
        assert!(forest.tree(3, 9).is_none());
        forest.drop_partition(3);
        assert_eq!(forest.roots().len(), 1);
    }
}
