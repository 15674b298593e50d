//! The checkpoint: the index, the hash trees and the ledger as a file, so that a restart reads 11 bytes a key
//! in place of the log.
//!
//! ```text
//!  header   magic 8 | version 4 | partitions 4 | directory 8 | id 8 | segment 8 | offset 8 | sequence 8
//!           | crc32c 4 | zeros 4
//!  block    kind 4 | length 4 | body | crc32c 4 | zeros 4          body padded to 8
//!    1 shard      partition 4 | prefix 4 | depth 4 | homes 4 | taken 4 | slots n 4 | n × slot 8
//!    2 segments   n × (number, seed, slot, size, end, live, first, newest, controls, flags)  10 × 8
//!    3 partitions n × (partition, keys, bytes, expiring, floor)                         5 × 8
//!    4 active     n × (partition, bytes)                                                2 × 8
//!    5 end        blocks before it 8
//!    6 tree       partition 4 | keyspace 4 | n × (level and prefix of the leaf 4, keys 4, sum 8)
//! ```
//!
//! It is *fuzzy*: shards are copied one after the other while the log goes on. *Segment*, *offset* and
//! *sequence* say where the log was before the first of them was copied; replaying the log from there makes
//! the index whole, as a record that the copy has already changes nothing. Its sums are those of the copy
//! (see `ledger`). It is put in place only once everything that its slots point at is durable.
//!
//! The trees of a partition follow its last shard. They are those of its slots as they were copied: a shard
//! and its leaves are copied in one turn (trap T14). Of a partition with several shards that is the tree at
//! the first of them, with what changed until they were copied in those that followed. Leaves without a key
//! are left out. A tree that was copied half-way through is never put in place.
//!
//! Version 2 brought the trees. A checkpoint of another version is void: the log is scanned once.
//!
//! Every block has a checksum that is seeded with the checkpoint's id. Whatever does not hold, or does not
//! fit the segments that are there, makes the whole checkpoint void: the log is scanned.

use super::disk::File;
use super::index::{Index, ShardImage};
use super::ledger::Ledger;
use super::record::{Mark, u32_at, u64_at};
use crate::proto::merkle::{Digest, Forest, MerkleTree, NodeName};
use crate::proto::store::{PartitionStats, Sequence};

/// The name of its file.
pub const CHECKPOINT: &str = "checkpoint";
/// The version that this code writes and reads.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"qrt.ckp\n";
const HEADER_LENGTH: usize = 64;
const BLOCK_HEAD: usize = 8;
const BLOCK_TAIL: usize = 8;
const SHARD_HEAD: usize = 24;
const TREE_HEAD: usize = 8;
const LEAF_LENGTH: usize = 16;
/// A block is never longer: the largest shard, with much room.
const BLOCK_MAX: usize = 1 << 30;

const SHARD: u32 = 1;
const SEGMENTS: u32 = 2;
const PARTITIONS: u32 = 3;
const ACTIVE: u32 = 4;
const END: u32 = 5;
const TREE: u32 = 6;

/// Where the level of a leaf stands above its prefix.
const LEVEL_SHIFT: u32 = 28;

/// What the head of a checkpoint says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Partitions of the index.
    pub partitions: u32,
    /// The random id of the directory.
    pub directory: u64,
    /// Number of the checkpoint; rises.
    pub id: u64,
    /// Where the log was when the copy began.
    pub start: Mark,
}

/// What a checkpoint knows of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SegmentRow {
    /// Its number.
    pub number: u64,
    /// Its random id.
    pub seed: u32,
    /// Its first slot.
    pub slot: u32,
    /// Bytes of its file.
    pub size: u64,
    /// Where its records end.
    pub end: u64,
    /// Bytes of records that the copied index points at.
    pub live: u64,
    /// See [`Plan::first`](super::segment::Plan::first).
    pub first: Sequence,
    /// The highest sequence in it.
    pub newest: Sequence,
    /// Bytes of removals and drops in it.
    pub controls: u64,
    /// Whether it holds what compaction kept of others.
    pub is_compacted: bool,
    /// Whether it was left: nothing is appended to it any more.
    pub is_sealed: bool,
}

/// What a checkpoint knows of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PartitionRow {
    /// The partition.
    pub partition: u16,
    /// What the copied index holds of it.
    pub stats: PartitionStats,
    /// Changes up to here may be missing from the log: compaction took them.
    pub floor: Sequence,
}

/// Everything but the shards.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tables {
    /// All segments.
    pub segments: Vec<SegmentRow>,
    /// Partitions of which there is something to say.
    pub partitions: Vec<PartitionRow>,
    /// Bytes of each partition in the active segment up to the start.
    pub active: Vec<(u16, u64)>,
}

/// Writes a checkpoint, piece by piece, into buffers.
#[derive(Debug)]
pub struct Writer {
    id: u64,
    blocks: u64,
}

impl Writer {
    /// Begins one: appends its header.
    pub fn begin(into: &mut Vec<u8>, head: &Head) -> Writer {
        let start = into.len();
        into.extend_from_slice(MAGIC);
        into.extend_from_slice(&VERSION.to_le_bytes());
        into.extend_from_slice(&head.partitions.to_le_bytes());
        let Mark { sequence, number, offset } = head.start;
        for number in [head.directory, head.id, number, offset, sequence.0] {
            into.extend_from_slice(&number.to_le_bytes());
        }
        let checksum = crc32c::crc32c(&into[start..]);
        into.extend_from_slice(&checksum.to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        debug_assert_eq!(into.len() - start, HEADER_LENGTH);
        Writer { id: head.id, blocks: 0 }
    }

    fn block(&mut self, into: &mut Vec<u8>, kind: u32, body: impl FnOnce(&mut Vec<u8>)) {
        let start = into.len();
        into.extend_from_slice(&kind.to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        body(into);
        into.resize(into.len().next_multiple_of(8), 0);
        let length = (into.len() - start - BLOCK_HEAD) as u32;
        into[start + 4..start + 8].copy_from_slice(&length.to_le_bytes());
        let checksum = crc32c::crc32c_append(self.id as u32, &into[start..]);
        into.extend_from_slice(&checksum.to_le_bytes());
        into.extend_from_slice(&[0; 4]);
        self.blocks += 1;
    }

    /// Appends a shard.
    pub fn shard(&mut self, into: &mut Vec<u8>, partition: u16, image: &ShardImage<'_>) {
        into.reserve(BLOCK_HEAD + SHARD_HEAD + image.slots.len() * 8 + BLOCK_TAIL);
        self.block(into, SHARD, |into| {
            let slots = image.slots.len() as u32;
            for number in [u32::from(partition), image.prefix, image.depth, image.homes, image.len, slots] {
                into.extend_from_slice(&number.to_le_bytes());
            }
            image.slots.iter().for_each(|slot| into.extend_from_slice(&slot.to_le_bytes()));
        });
    }

    /// Appends a tree.
    pub fn tree(&mut self, into: &mut Vec<u8>, partition: u16, keyspace: u16, tree: &MerkleTree) {
        self.block(into, TREE, |into| {
            for number in [partition, keyspace] {
                into.extend_from_slice(&u32::from(number).to_le_bytes());
            }
            tree.visit(&mut |leaf, digest| {
                if digest != Digest::default() {
                    into.extend_from_slice(&(leaf.level << LEVEL_SHIFT | leaf.prefix).to_le_bytes());
                    into.extend_from_slice(&digest.keys.to_le_bytes());
                    into.extend_from_slice(&digest.sum.to_le_bytes());
                }
            });
        });
    }

    /// Appends the tables and the end.
    pub fn end(mut self, into: &mut Vec<u8>, tables: &Tables) {
        let put = |into: &mut Vec<u8>, numbers: &[u64]| {
            numbers.iter().for_each(|number| into.extend_from_slice(&number.to_le_bytes()));
        };
        self.block(into, SEGMENTS, |into| {
            for row in &tables.segments {
                let flags = u64::from(row.is_compacted) | u64::from(row.is_sealed) << 1;
                let (seed, slot) = (u64::from(row.seed), u64::from(row.slot));
                put(
                    into,
                    &[
                        row.number,
                        seed,
                        slot,
                        row.size,
                        row.end,
                        row.live,
                        row.first.0,
                        row.newest.0,
                        row.controls,
                        flags,
                    ],
                );
            }
        });
        self.block(into, PARTITIONS, |into| {
            for row in &tables.partitions {
                let PartitionStats { keys, bytes, expiring } = row.stats;
                put(into, &[u64::from(row.partition), keys, bytes, expiring, row.floor.0]);
            }
        });
        self.block(into, ACTIVE, |into| {
            tables.active.iter().for_each(|(partition, bytes)| put(into, &[u64::from(*partition), *bytes]));
        });
        let blocks = self.blocks;
        self.block(into, END, |into| put(into, &[blocks]));
    }
}

/// A checkpoint that was read back.
pub struct Loaded {
    /// Its head.
    pub head: Head,
    /// The index as it was copied.
    pub index: Index,
    /// The trees of what it points at.
    pub trees: Forest,
    /// Everything else.
    pub tables: Tables,
}

impl Loaded {
    /// A ledger with the sums of the partitions, and the floors.
    pub fn ledger(&self) -> (Ledger, Vec<Sequence>) {
        let partitions = self.head.partitions as usize;
        let mut stats = vec![PartitionStats::default(); partitions];
        let mut floors = vec![Sequence(0); partitions];
        for row in &self.tables.partitions {
            stats[usize::from(row.partition)] = row.stats;
            floors[usize::from(row.partition)] = row.floor;
        }
        (Ledger::with_partitions(stats), floors)
    }
}

/// Reads a checkpoint. `progress` is told how many bytes of how many were read.
///
/// # Errors
/// What does not hold.
pub fn load<F: File>(
    file: &F,
    partitions: u32,
    directory: u64,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Loaded, &'static str> {
    let mut source = Source { file, at: 0, size: file.size() };
    let mut header = [0; HEADER_LENGTH];
    source.read(&mut header)?;
    let head = Head {
        partitions: u32_at(&header, 12),
        directory: u64_at(&header, 16),
        id: u64_at(&header, 24),
        start: Mark {
            number: u64_at(&header, 32),
            offset: u64_at(&header, 40),
            sequence: Sequence(u64_at(&header, 48)),
        },
    };
    if header[..8] != MAGIC[..] || u64_at(&header, 56) != u64::from(crc32c::crc32c(&header[..56])) {
        return Err("its header does not hold");
    }
    if u32_at(&header, 8) != VERSION {
        return Err("it is of another version");
    }
    if head.partitions != partitions || head.directory != directory {
        return Err("it is of another directory");
    }
    let (index, trees) = (Index::new(partitions), Forest::default());
    let mut loaded = Loaded { head, index, trees, tables: Tables::default() };
    let mut blocks = 0;
    let mut block = Vec::new();
    loop {
        let (kind, body) = source.block(&mut block, head.id as u32)?;
        let rows = |width: usize| {
            let is_whole = body.len().is_multiple_of(width * 8);
            is_whole.then(|| body.chunks_exact(width * 8)).ok_or("a table of it does not fit together")
        };
        match kind {
            SHARD => take_shard(&mut loaded.index, body).ok_or("a shard of it does not fit together")?,
            TREE => {
                take_tree(&mut loaded.trees, partitions, body).ok_or("a tree of it does not fit together")?
            }
            SEGMENTS => loaded.tables.segments = rows(10)?.map(segment_row).collect(),
            PARTITIONS => {
                let rows = rows(5)?.map(|row| partition_row(row, partitions));
                loaded.tables.partitions =
                    rows.collect::<Option<_>>().ok_or("it has a partition too many")?;
            }
            ACTIVE => {
                let rows = rows(2)?.map(|row| Some((u16::try_from(u64_at(row, 0)).ok()?, u64_at(row, 8))));
                loaded.tables.active = rows.collect::<Option<_>>().ok_or("it has a partition too many")?;
            }
            END if body.len() == 8 && u64_at(body, 0) == blocks && source.at == source.size => break,
            _ => return Err("its end is not where it should be"),
        }
        blocks += 1;
        progress(source.at, source.size);
    }
    if !loaded.index.finish_loading() {
        return Err("a partition of it is not whole");
    }
    Ok(loaded)
}

/// The file, read from its start to its end.
struct Source<'a, F> {
    file: &'a F,
    at: u64,
    size: u64,
}

impl<F: File> Source<'_, F> {
    fn read(&mut self, into: &mut [u8]) -> Result<(), &'static str> {
        match self.file.read_at(self.at, into) {
            Ok(count) if count == into.len() => self.at += count as u64,
            Ok(_) => return Err("it ends too early"),
            Err(_) => return Err("it cannot be read"),
        }
        Ok(())
    }

    /// Reads the next block into `buffer`; returns its kind and body.
    fn block<'b>(&mut self, buffer: &'b mut Vec<u8>, seed: u32) -> Result<(u32, &'b [u8]), &'static str> {
        let mut head = [0; BLOCK_HEAD];
        self.read(&mut head)?;
        let length = u32_at(&head, 4) as usize;
        let left = (self.size - self.at) as usize;
        if length > BLOCK_MAX || length + BLOCK_TAIL > left || !length.is_multiple_of(8) {
            return Err("a block of it is too long");
        }
        buffer.clear();
        buffer.extend_from_slice(&head);
        buffer.resize(BLOCK_HEAD + length + BLOCK_TAIL, 0);
        self.read(&mut buffer[BLOCK_HEAD..])?;
        let (covered, tail) = buffer.split_at(BLOCK_HEAD + length);
        if u64_at(tail, 0) != u64::from(crc32c::crc32c_append(seed, covered)) {
            return Err("the checksum of a block of it does not hold");
        }
        Ok((u32_at(&head, 0), &covered[BLOCK_HEAD..]))
    }
}

fn take_shard(index: &mut Index, body: &[u8]) -> Option<()> {
    let (head, slots) = body.split_at_checked(SHARD_HEAD)?;
    let [partition, prefix, depth, homes, len, count] = [0, 4, 8, 12, 16, 20].map(|at| u32_at(head, at));
    if slots.len() != count as usize * 8 {
        return None;
    }
    let slots: Vec<u64> = slots.chunks_exact(8).map(|slot| u64_at(slot, 0)).collect();
    let image = ShardImage { prefix, depth, homes, len, slots: &[] };
    index.load(u16::try_from(partition).ok()?, &image, slots).then_some(())
}

fn take_tree(trees: &mut Forest, partitions: u32, body: &[u8]) -> Option<()> {
    let (head, leaves) = body.split_at_checked(TREE_HEAD)?;
    let partition = u16::try_from(u32_at(head, 0)).ok().filter(|&at| u32::from(at) < partitions)?;
    let keyspace = u16::try_from(u32_at(head, 4)).ok()?;
    let mut tree = MerkleTree::default();
    for leaf in leaves.chunks(LEAF_LENGTH) {
        let name = (leaf.len() == LEAF_LENGTH).then(|| u32_at(leaf, 0))?;
        let (level, prefix) = (name >> LEVEL_SHIFT, name & ((1 << LEVEL_SHIFT) - 1));
        let name = NodeName { level, prefix };
        let digest = Digest { keys: u32_at(leaf, 4), sum: u64_at(leaf, 8) };
        if !name.is_valid() || !tree.add_leaf(name, digest) {
            return None;
        }
    }
    let is_new = trees.tree(partition, keyspace).is_none();
    trees.change(partition, keyspace, |there| *there = tree);
    is_new.then_some(())
}

fn segment_row(row: &[u8]) -> SegmentRow {
    let flags = u64_at(row, 72);
    SegmentRow {
        number: u64_at(row, 0),
        seed: u64_at(row, 8) as u32,
        slot: u64_at(row, 16) as u32,
        size: u64_at(row, 24),
        end: u64_at(row, 32),
        live: u64_at(row, 40),
        first: Sequence(u64_at(row, 48)),
        newest: Sequence(u64_at(row, 56)),
        controls: u64_at(row, 64),
        is_compacted: flags & 1 != 0,
        is_sealed: flags & 2 != 0,
    }
}

fn partition_row(row: &[u8], partitions: u32) -> Option<PartitionRow> {
    let partition = u64_at(row, 0);
    (partition < u64::from(partitions)).then(|| PartitionRow {
        partition: partition as u16,
        stats: PartitionStats { keys: u64_at(row, 8), bytes: u64_at(row, 16), expiring: u64_at(row, 24) },
        floor: Sequence(u64_at(row, 32)),
    })
}
