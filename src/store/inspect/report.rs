//! What is said about a data directory, as values: text and JSON are made of them elsewhere.

use crate::proto::store::{PartitionStats, Sequence};
use crate::store::disk::File;
use crate::store::recovery::Recovered;

/// Everything that a check found.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Version of the directory's format.
    pub version: u32,
    /// Partitions it was made with.
    pub partitions: u32,
    /// Its random id.
    pub directory: u64,
    /// Whether the hash key was given, so that the index could be made.
    pub has_key: bool,
    /// Its generation and how often it was opened; `None` if the next opening gives it a new generation.
    pub identity: Option<(u64, u64)>,
    /// How it was left.
    pub stop: Stop,
    /// What makes the log, by rising number.
    pub segments: Vec<SegmentReport>,
    /// Bytes behind the log that the stop tore.
    pub torn: Option<Torn>,
    /// What does not hold and is not known to be made good; and what was accepted.
    pub damage: Vec<Damage>,
    /// See [`Checkpoint`].
    pub checkpoint: Checkpoint,
    /// See [`Manifest`].
    pub manifest: Manifest,
    /// Partitions that lost records, and the sequence above which none is lost.
    pub incomplete: Option<(Sequence, Vec<u16>)>,
    /// Files that the next opening removes.
    pub leftovers: Vec<String>,
    /// Files that are none of ours.
    pub strange: Vec<String>,
    /// Small files that do not hold.
    pub flawed: Vec<&'static str>,
    /// Keys, if the hash key was given.
    pub keys: Option<u64>,
}

impl Report {
    /// Whether nothing is lost and everything holds. What a killed process leaves is sound.
    pub fn is_sound(&self) -> bool {
        self.damage.iter().all(|damage| damage.is_accepted)
            && self.incomplete.is_none()
            && self.flawed.is_empty()
            && !matches!(self.checkpoint, Checkpoint::Void(_) | Checkpoint::Differs { .. })
    }
}

/// How a directory was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Stop {
    /// By a clean stop: everything was synced.
    Clean,
    /// By a killed process or machine; or it was restored.
    #[default]
    Unclean,
    /// There is a marker of a clean stop, and records behind it.
    Doubtful,
}

/// What a segment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SegmentKind {
    /// Appended to.
    Appended,
    /// Holds what compaction kept of others.
    Compacted,
    /// Made ahead of need, and empty.
    Spare,
    /// No part of the log any more: the next opening removes it.
    Leftover,
}

impl SegmentKind {
    /// One word.
    pub const fn name(self) -> &'static str {
        match self {
            SegmentKind::Appended => "appended",
            SegmentKind::Compacted => "compacted",
            SegmentKind::Spare => "spare",
            SegmentKind::Leftover => "leftover",
        }
    }
}

/// Records by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Records {
    /// Objects under their keys.
    pub puts: u64,
    /// Keys that left the store.
    pub removals: u64,
    /// Sync marks.
    pub marks: u64,
    /// Partitions that left the store.
    pub drops: u64,
    /// Parts of long objects.
    pub chunks: u64,
    /// Seals.
    pub seals: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

/// One segment.
#[derive(Clone, Debug)]
pub struct SegmentReport {
    /// Its number.
    pub number: u64,
    /// What it is.
    pub kind: SegmentKind,
    /// Bytes of its file.
    pub size: u64,
    /// Where its records end.
    pub end: u64,
    /// What is sound in it.
    pub records: Records,
    /// Bytes of records that are the newest of their key; `None` without the hash key.
    pub live: Option<u64>,
    /// Whether its seal is there.
    pub is_sealed: bool,
    /// Lowest and highest sequence of its records.
    pub sequences: Option<(u64, u64)>,
}

impl SegmentReport {
    /// Bytes of records that nothing needs any more.
    pub fn dead(&self) -> Option<u64> {
        self.live.map(|live| self.records.bytes.saturating_sub(live))
    }
}

/// The tail of the log that the stop tore: nobody was told that it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Torn {
    /// The segment's number.
    pub number: u64,
    /// Where the tail begins: the next opening cuts it there.
    pub from: u64,
    /// Bytes up to the last one that is not zero.
    pub bytes: u64,
    /// How far the segment had been promised to be durable, as far as marks in the log tell.
    pub promised: u64,
}

/// A range that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub number: u64,
    /// Its first byte.
    pub from: u64,
    /// The byte behind it; `None` if all that follows is lost.
    pub to: Option<u64>,
    /// What is wrong.
    pub why: String,
    /// Whether the manifest knew it.
    pub is_known: bool,
    /// Whether what was lost there is made good, or was accepted.
    pub is_accepted: bool,
}

/// The checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub enum Checkpoint {
    /// There is none: an opening reads the whole log.
    #[default]
    None,
    /// It cannot be used, and why: an opening reads the whole log.
    Void(&'static str),
    /// It holds, but cannot be compared with the log without the hash key.
    Unchecked,
    /// It holds, and knows so many records that the damaged log has lost: these keys alone are lost.
    Remembers(u64),
    /// It holds, and with what was appended since it gives the same index as the whole log.
    Agrees,
    /// It holds, and gives another index than the whole log.
    Differs {
        /// Records that only the checkpoint has.
        only_checkpoint: u64,
        /// Records that only the log has.
        only_log: u64,
        /// Whether a partition's sums differ.
        sums: bool,
    },
}

/// The manifest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Manifest {
    /// There is none, or it does not hold: everything in the directory belongs to the log.
    #[default]
    None,
    /// It holds.
    Holds {
        /// Numbers up to here belong to the log only if they are named.
        through: u64,
        /// How many it names.
        named: usize,
    },
}

/// What lies where.
#[derive(Clone, Debug, Default)]
pub struct Figures {
    /// Keys, tombstones included.
    pub keys: u64,
    /// Bytes of records that are the newest of their key.
    pub live_bytes: u64,
    /// Bytes of the segments' files.
    pub disk_bytes: u64,
    /// Number, kind, bytes of records' room, and live bytes of each segment.
    pub segments: Vec<(u64, SegmentKind, u64, u64)>,
    /// Those that hold something.
    pub partitions: Vec<PartitionFigures>,
}

/// What a partition holds.
#[derive(Clone, Copy, Debug)]
pub struct PartitionFigures {
    /// Its number.
    pub partition: u16,
    /// What it holds.
    pub stats: PartitionStats,
    /// Whether it lost records.
    pub is_incomplete: bool,
}

impl Figures {
    pub(super) fn of<F: File>(recovered: &Recovered<F>, partitions: u32) -> Figures {
        let lost = recovered.manifest.incomplete.as_ref().map_or(&[][..], |lost| &lost.partitions);
        let mut figures = Figures {
            keys: recovered.ledger.keys(),
            live_bytes: recovered.ledger.live_total(),
            ..Figures::default()
        };
        for (owner, found) in (0..).zip(&recovered.segments) {
            let Some(found) = found else { continue };
            let plan = found.segment.plan;
            let kind = if plan.is_compacted { SegmentKind::Compacted } else { SegmentKind::Appended };
            figures.disk_bytes += plan.size;
            figures.segments.push((plan.number, kind, found.end, recovered.ledger.live(owner)));
        }
        if let Some(spare) = &recovered.spare {
            figures.disk_bytes += spare.plan.size;
            figures.segments.push((spare.plan.number, SegmentKind::Spare, 0, 0));
        }
        for partition in (0..=u16::MAX).take(partitions as usize) {
            let stats = recovered.ledger.partition(partition);
            let is_incomplete = lost.contains(&partition);
            if stats != PartitionStats::default() || is_incomplete {
                figures.partitions.push(PartitionFigures { partition, stats, is_incomplete });
            }
        }
        figures
    }
}
