//! What two replicas both hold, and its sums: the tree above the trees.

use super::names::{Children, Name, Summed};
use crate::proto::merkle::{FANOUT, NodeName};
use crate::proto::routes::Routes;
use crate::proto::store::Store;

/// The partitions that two members hold, in their order, under one topology.
#[derive(Debug)]
pub(super) struct Shared {
    /// Each with the number of copies from which on a keyspace has one at both.
    partitions: Vec<(u16, u8)>,
    /// The level of the partitions below everything.
    depth: u32,
}

impl Shared {
    /// Of two members by their numbers. A partition that moves is the transfer's; and a copy that is no evidence is
    /// compared with nobody's.
    pub(super) fn new(routes: &Routes, own: u16, peer: u16) -> Shared {
        let both = |partition: u16| {
            let replicas = routes.replicas_of_all(partition);
            let rank = |slot| replicas.readable().find(|&(_, other)| other == slot).map(|(rank, _)| rank);
            let copies = rank(own)?.max(rank(peer)?) + 1;
            (!replicas.moves()).then_some((partition, copies as u8))
        };
        let partitions: Vec<(u16, u8)> = (0..routes.partitions()).filter_map(|at| both(at as u16)).collect();
        let mut depth = 1;
        while FANOUT.pow(depth) < partitions.len() {
            depth += 1;
        }
        Shared { partitions, depth }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = u16> + use<'_> {
        self.partitions.iter().map(|&(partition, _)| partition)
    }

    /// The keyspaces of a partition that both hold and that have keys here, with the roots of their trees.
    pub(super) fn roots<S: Store>(&self, store: &S, routes: &Routes, partition: u16) -> Vec<(u16, u64)> {
        let Ok(at) = self.partitions.binary_search_by_key(&partition, |&(partition, _)| partition) else {
            return Vec::new();
        };
        let copies = self.partitions[at].1;
        let trees = store.trees().of(partition);
        let both = trees.filter(|&(keyspace, _)| routes.counts(keyspace).0 >= copies);
        both.map(|(keyspace, tree)| (keyspace, tree.root().sum)).collect()
    }

    /// Whether both hold a keyspace's keys of a partition.
    pub(super) fn has(&self, routes: &Routes, partition: u16, keyspace: u16) -> bool {
        let at = self.partitions.binary_search_by_key(&partition, |&(partition, _)| partition);
        at.is_ok_and(|at| routes.counts(keyspace).0 >= self.partitions[at].1)
    }

    /// The sum of a run of the shared partitions, by their places.
    fn sum<S: Store>(&self, store: &S, routes: &Routes, places: core::ops::Range<usize>) -> u64 {
        let places = places.start.min(self.partitions.len())..places.end.min(self.partitions.len());
        let roots = self.partitions[places].iter().flat_map(|&(partition, copies)| {
            let trees = store.trees().of(partition);
            trees.filter(move |&(keyspace, _)| routes.counts(keyspace).0 >= copies)
        });
        roots.fold(0_u64, |sum, (_, tree)| sum.wrapping_add(tree.root().sum))
    }

    /// The sum of everything.
    pub(super) fn total<S: Store>(&self, store: &S, routes: &Routes) -> u64 {
        self.sum(store, routes, 0..self.partitions.len())
    }

    /// How many partitions lie in one group of this level.
    fn width(&self, level: u32) -> usize {
        FANOUT.pow(self.depth - level)
    }

    /// The level and number of a group, everything being the first of level 0; `None` if there is no such group.
    fn place(&self, of: &Name) -> Option<(u32, usize)> {
        match *of {
            Name::All(_) => Some((0, 0)),
            Name::Group { level, index } => {
                let (level, index) = (u32::from(level), index as usize);
                (level < self.depth && index < FANOUT.pow(level)).then_some((level, index))
            }
            Name::Partition(_) | Name::Node { .. } => None,
        }
    }

    /// The sums of a group's children.
    pub(super) fn children<S: Store>(&self, store: &S, routes: &Routes, of: &Name) -> Option<Children> {
        let (level, index) = self.place(of)?;
        let width = self.width(level + 1);
        Some(core::array::from_fn(|digit| {
            let from = (index * FANOUT + digit) * width;
            self.sum(store, routes, from..from + width)
        }))
    }

    /// The name of a group's child: another group, or a partition. `None` behind the last.
    pub(super) fn child(&self, of: &Name, digit: usize) -> Option<Name> {
        let (level, index) = self.place(of)?;
        let index = index * FANOUT + digit;
        if level + 1 < self.depth {
            return Some(Name::Group { level: level as u8 + 1, index: index as u32 });
        }
        self.partitions.get(index).map(|&(partition, _)| Name::Partition(partition))
    }

    /// What is answered about a name; `None` if there is no such node here, or both do not hold it.
    pub(super) fn summed<S: Store>(&self, store: &S, routes: &Routes, name: &Name) -> Option<Summed> {
        match *name {
            Name::All(sum) if sum == self.total(store, routes) => Some(Summed::Same),
            Name::All(_) | Name::Group { .. } => self.children(store, routes, name).map(Summed::Children),
            Name::Partition(partition) => Some(Summed::Roots(self.roots(store, routes, partition))),
            Name::Node { partition, keyspace, node } => self
                .has(routes, partition, keyspace)
                .then(|| children(store, partition, keyspace, node).map_or(Summed::Leaf, Summed::Children)),
        }
    }
}

/// The sums of a node's children here, if it has some.
pub(super) fn children<S: Store>(
    store: &S,
    partition: u16,
    keyspace: u16,
    node: NodeName,
) -> Option<Children> {
    let digests = store.tree(partition, keyspace)?.children(node)?;
    Some(digests.map(|digest| digest.sum))
}
