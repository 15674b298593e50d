//! Figures of a log, for operators and benches.

use core::ops::Range;

use super::LogStore;
use crate::proto::store::StoreStatus;
use crate::store::disk::{Disk, File};
use crate::store::manifest::Manifest;
use crate::store::recovery::Recovered;

/// Figures for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LogStats {
    /// Segments, unused ones included.
    pub segments: u64,
    /// Bytes of disk they take.
    pub disk_bytes: u64,
    /// Bytes of records that are the newest of their key.
    pub live_bytes: u64,
    /// Bytes of memory that the index takes.
    pub index_bytes: u64,
    /// Bytes of memory that the hash trees take.
    pub tree_bytes: u64,
    /// Bytes of memory that the store takes in all, maps aside.
    pub memory_bytes: u64,
    /// Partitions that lost records.
    pub incomplete: u64,
}

/// Something about the log that an operator should hear of once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// The last stop tore the tail of this segment: it was cut there.
    TornTail {
        /// The segment's number.
        number: u64,
        /// Where its records end now.
        end: u64,
    },
    /// The checkpoint could not be used, and why: the whole log was read.
    VoidCheckpoint(&'static str),
    /// A part of a segment does not hold.
    Damage {
        /// The segment's number.
        number: u64,
        /// Its first byte.
        from: u64,
        /// The byte behind it; `None` if all that follows is lost.
        to: Option<u64>,
    },
    /// Partitions lost records nobody can name.
    Incomplete(u64),
}

/// Findings that wait to be taken; more are counted and not kept.
const FINDINGS_MAX: usize = 64;

/// What happened since the opening.
#[derive(Debug, Default)]
pub struct Counters {
    pub(super) compactions: u64,
    pub(super) compacted_bytes: u64,
    pub(super) copied_records: u64,
    pub(super) checkpoints: u64,
    pub(super) scrubbed_bytes: u64,
    pub(super) damaged_ranges: u64,
    pub(super) refused_full: u64,
    pub(super) refused_space: u64,
    pub(super) refused_segment: u64,
    pub(super) refused_memory: u64,
    void_checkpoints: u64,
    torn_tails: u64,
    failed_checkpoints: u64,
    findings: Vec<Finding>,
}

impl Counters {
    /// With what was found at the opening.
    pub(super) fn opened<F: File>(recovered: &Recovered<F>) -> Counters {
        let mut counters = Counters {
            void_checkpoints: u64::from(recovered.void.is_some()),
            torn_tails: u64::from(recovered.is_torn),
            damaged_ranges: recovered.damage.len() as u64,
            ..Counters::default()
        };
        if let Some(why) = recovered.void {
            counters.note(Finding::VoidCheckpoint(why));
        }
        if let Some((number, end)) = recovered.torn {
            counters.note(Finding::TornTail { number, end });
        }
        for (number, range) in &recovered.damage {
            counters.note_damage(*number, range);
        }
        if let Some(lost) = &recovered.manifest.incomplete {
            counters.note(Finding::Incomplete(lost.partitions.len() as u64));
        }
        counters
    }

    fn note(&mut self, finding: Finding) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    /// A range was found not to hold.
    pub(super) fn note_damage(&mut self, number: u64, range: &Range<u64>) {
        let to = (range.end != u64::MAX).then_some(range.end);
        self.note(Finding::Damage { number, from: range.start, to });
    }

    pub(super) fn note_checkpoint(&mut self, _: &std::io::Error) {
        self.failed_checkpoints += 1;
    }
}

impl<D: Disk> LogStore<D> {
    /// What was found since the last call, at the opening too.
    pub fn take_findings(&mut self) -> Vec<Finding> {
        core::mem::take(&mut self.counters.findings)
    }

    /// Whether there is no room on the disk: deletes only. Cheap.
    pub fn is_full(&self) -> bool {
        self.shared.is_full()
    }

    /// Figures for operators.
    pub fn stats(&self) -> LogStats {
        LogStats {
            segments: self.segments.len() as u64,
            disk_bytes: self.segments.disk_bytes(),
            live_bytes: self.ledger.live_total(),
            index_bytes: self.index.heap_bytes() as u64,
            tree_bytes: self.trees.heap_bytes() as u64,
            memory_bytes: self.memory_bytes(),
            incomplete: self.incomplete.iter().filter(|is_incomplete| **is_incomplete).count() as u64,
        }
    }

    /// Bytes of memory that index, buffers and tables take. Maps are the kernel's to give and take.
    pub(super) fn memory_bytes(&self) -> u64 {
        let bytes = self.index.heap_bytes()
            + self.ledger.heap_bytes()
            + self.trees.heap_bytes()
            + self.tending.heap_bytes()
            + self.staging.heap_bytes()
            + self.segments.heap_bytes()
            + self.compaction.heap_bytes()
            + self.checkpointing.heap_bytes()
            + self.shared.heap_bytes()
            + self.counts.capacity() * 8
            + self.floors.capacity() * 8;
        bytes as u64
    }

    pub(super) fn describe(&self) -> StoreStatus {
        let stats = self.stats();
        let LogStats { segments, disk_bytes, live_bytes, index_bytes, tree_bytes, memory_bytes, incomplete } =
            stats;
        let counters = &self.counters;
        StoreStatus {
            read_only: self.shared.marks().failed,
            is_full: self.shared.is_full(),
            incomplete,
            figures: vec![
                ("store_segments", segments),
                ("store_disk_bytes", disk_bytes),
                ("store_live_bytes", live_bytes),
                ("store_index_bytes", index_bytes),
                ("store_tree_bytes", tree_bytes),
                ("store_memory_bytes", memory_bytes),
                ("store_emptied_bytes", self.emptied_bytes()),
                ("store_quarantined_ranges", quarantined(&self.manifest)),
                ("store_compactions", counters.compactions),
                ("store_compacted_bytes", counters.compacted_bytes),
                ("store_copied_records", counters.copied_records),
                ("store_checkpoints", counters.checkpoints),
                ("store_checkpoints_void", counters.void_checkpoints),
                ("store_scrubbed_bytes", counters.scrubbed_bytes),
                ("store_scrub_passes", self.scrub.passes),
                ("store_tree_audits", self.tending.audits),
                ("store_tree_mismatches", self.tending.mismatches),
                ("store_damaged_ranges", counters.damaged_ranges),
                ("store_torn_tails", counters.torn_tails),
                ("store_refused_full", counters.refused_full),
                ("store_refused_space", counters.refused_space),
                ("store_refused_segment", counters.refused_segment),
                ("store_refused_memory", counters.refused_memory),
            ],
        }
    }
}

/// Ranges that are known to be bad, and for which nothing made up yet.
fn quarantined(manifest: &Manifest) -> u64 {
    manifest.quarantined.iter().filter(|bad| !bad.is_accepted).count() as u64
}
