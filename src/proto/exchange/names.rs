//! What an exchange asks about, and how it is written.
//!
//! ```text
//! question  0 all: sum of all that both hold u64 | 1 group: level u8, index varint | 2 partition u16
//!           | 3 node: partition u16, keyspace u16, level u8, prefix varint
//! answer    all: 0 the same, or 1 and sums | group: sums | partition: count varint, (keyspace u16, sum u64)…
//!           | node: 0 a leaf, or 1 and sums
//! sums      16 times u64
//! ```

use crate::proto::limits::KEYSPACES_MAX;
use crate::proto::merkle::{FANOUT, NodeName};
use crate::proto::wire::{Reader, WireError, put_varint};

/// The sums of a node's children.
pub type Children = [u64; FANOUT];

/// A node of the trees that two replicas share: above the partitions both hold stands one more tree, so that one
/// number opens an exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    /// Everything; with the asker's sum of it.
    All(u64),
    /// Partitions that follow each other in the order of those that both hold: at level l, so many sixteenths of them.
    Group {
        /// From 1, below everything.
        level: u8,
        /// Which, from 0.
        index: u32,
    },
    /// A partition: the roots of its keyspaces' trees.
    Partition(u16),
    /// A node of one tree.
    Node {
        /// The partition.
        partition: u16,
        /// The keyspace.
        keyspace: u16,
        /// Which node.
        node: NodeName,
    },
}

/// What is answered about a [`Name`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summed {
    /// Of everything: the sum is the same.
    Same,
    /// Of everything, a group, or a node that has children.
    Children(Children),
    /// Of a partition: the roots of the keyspaces that both replicate and that have keys.
    Roots(Vec<(u16, u64)>),
    /// Of a node: there is nothing below it.
    Leaf,
}

impl Name {
    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        match *self {
            Name::All(sum) => {
                out.push(0);
                out.extend_from_slice(&sum.to_le_bytes());
            }
            Name::Group { level, index } => {
                out.extend_from_slice(&[1, level]);
                put_varint(out, u64::from(index));
            }
            Name::Partition(partition) => {
                out.push(2);
                out.extend_from_slice(&partition.to_le_bytes());
            }
            Name::Node { partition, keyspace, node } => {
                out.push(3);
                out.extend_from_slice(&partition.to_le_bytes());
                out.extend_from_slice(&keyspace.to_le_bytes());
                out.push(node.level as u8);
                put_varint(out, u64::from(node.prefix));
            }
        }
    }

    /// Reads the next one; `None` at the end.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn decode(reader: &mut Reader<'_>) -> Result<Option<Name>, WireError> {
        if reader.rest().is_empty() {
            return Ok(None);
        }
        Ok(Some(match reader.u8("node kind")? {
            0 => Name::All(reader.u64("sum")?),
            1 => {
                let level = reader.u8("group level")?;
                let index = u32::try_from(reader.varint("group")?);
                let index = index.ok().filter(|_| (1..=4).contains(&level));
                Name::Group { level, index: index.ok_or(WireError { what: "group" })? }
            }
            2 => Name::Partition(reader.u16("partition")?),
            3 => {
                let (partition, keyspace) = (reader.u16("partition")?, reader.u16("keyspace")?);
                let level = u32::from(reader.u8("node level")?);
                let prefix = u32::try_from(reader.varint("node prefix")?);
                let node = prefix.ok().map(|prefix| NodeName { level, prefix });
                let node = node.filter(|node| node.is_valid() && keyspace < KEYSPACES_MAX);
                Name::Node { partition, keyspace, node: node.ok_or(WireError { what: "node" })? }
            }
            _ => return Err(WireError { what: "node kind" }),
        }))
    }
}

impl Summed {
    /// Appends the encoding.
    pub fn encode(&self, name: &Name, out: &mut Vec<u8>) {
        match self {
            Summed::Same | Summed::Leaf => out.push(0),
            Summed::Children(sums) => {
                if !matches!(name, Name::Group { .. }) {
                    out.push(1);
                }
                out.extend(sums.iter().flat_map(|sum| sum.to_le_bytes()));
            }
            Summed::Roots(roots) => {
                put_varint(out, roots.len() as u64);
                for (keyspace, sum) in roots {
                    out.extend_from_slice(&keyspace.to_le_bytes());
                    out.extend_from_slice(&sum.to_le_bytes());
                }
            }
        }
    }

    /// Reads what answers this name.
    ///
    /// # Errors
    /// Names what is wrong.
    pub fn decode(name: &Name, reader: &mut Reader<'_>) -> Result<Summed, WireError> {
        if let Name::Partition(_) = name {
            let count = reader.varint("keyspaces")?;
            if count > u64::from(KEYSPACES_MAX) {
                return Err(WireError { what: "keyspaces" });
            }
            let mut roots = Vec::new();
            for _ in 0..count {
                roots.push((reader.u16("keyspace")?, reader.u64("sum")?));
            }
            return Ok(Summed::Roots(roots));
        }
        let has_children = matches!(name, Name::Group { .. }) || reader.u8("node")? == 1;
        if !has_children {
            return Ok(if matches!(name, Name::All(_)) { Summed::Same } else { Summed::Leaf });
        }
        let mut sums = [0; FANOUT];
        for sum in &mut sums {
            *sum = reader.u64("sum")?;
        }
        Ok(Summed::Children(sums))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_answers_come_back_and_nonsense_is_refused() {
        let node = NodeName { level: 2, prefix: 0xA7 };
        let sums = core::array::from_fn(|at| at as u64 * 1_000);
        let pairs = [
            (Name::All(7), Summed::Same),
            (Name::All(u64::MAX), Summed::Children(sums)),
            (Name::Group { level: 1, index: 300 }, Summed::Children(sums)),
            (Name::Partition(9), Summed::Roots(vec![(0, 1), (15, 2)])),
            (Name::Partition(9), Summed::Roots(Vec::new())),
            (Name::Node { partition: 9, keyspace: 3, node }, Summed::Leaf),
            (Name::Node { partition: 9, keyspace: 3, node }, Summed::Children(sums)),
        ];
        let (mut questions, mut answers) = (Vec::new(), Vec::new());
        for (name, summed) in &pairs {
            name.encode(&mut questions);
            summed.encode(name, &mut answers);
        }
        let (mut asked, mut answered) = (Reader::new(&questions), Reader::new(&answers));
        for (name, summed) in &pairs {
            assert_eq!(Name::decode(&mut asked), Ok(Some(*name)));
            assert_eq!(Summed::decode(name, &mut answered).as_ref(), Ok(summed));
        }
        assert_eq!(Name::decode(&mut asked), Ok(None));
        assert!(answered.rest().is_empty());
        for bad in [
            &[9][..],
            &[1, 0, 0],
            &[1, 9, 0],
            &[2, 0],
            &[3, 0, 0, 16, 0, 0, 0],
            &[3, 0, 0, 0, 0, 7, 0],
            &[3, 0, 0, 0, 0, 1, 16],
        ] {
            assert!(Name::decode(&mut Reader::new(bad)).is_err(), "{bad:?}");
        }
    }
}
