//! What a host and an operator are told of the store: a line in the log when its state changes, and figures
//! that any thread may read.

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;
use std::sync::Arc;

use super::log::{Level, Logger};
use super::storage::Storage;
use crate::proto::node::Node;
use crate::proto::store::{Store, StoreStatus};
use crate::proto::time::Instant;
use crate::store::Finding;

/// Figures are published so often, on turns that happen anyway.
const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// A figure of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Figure {
    /// 1 once a write or a sync has failed: the store takes no more writes.
    ReadOnly,
    /// 1 while there is no room on the disk: deletes only.
    DiskFull,
    /// Partitions that lost records nobody can name.
    IncompletePartitions,
    /// Keys held, tombstones included.
    Records,
    /// Bytes of disk that the log takes.
    DiskBytes,
    /// Bytes of records that are the newest of their key.
    LiveBytes,
    /// Bytes of memory that the store takes.
    MemoryBytes,
    /// Ranges of the log that do not hold, and for which nothing made up yet.
    QuarantinedRanges,
}

impl Figure {
    /// All of them, in the order of their numbers.
    pub const ALL: [Figure; 8] = [
        Figure::ReadOnly,
        Figure::DiskFull,
        Figure::IncompletePartitions,
        Figure::Records,
        Figure::DiskBytes,
        Figure::LiveBytes,
        Figure::MemoryBytes,
        Figure::QuarantinedRanges,
    ];

    fn of(self, status: &StoreStatus, records: u64) -> u64 {
        let counter = |name| {
            let found = status.figures.iter().find(|(found, _)| *found == name);
            found.map_or(0, |(_, value)| *value)
        };
        match self {
            Figure::ReadOnly => u64::from(status.read_only),
            Figure::DiskFull => u64::from(status.is_full),
            Figure::IncompletePartitions => status.incomplete,
            Figure::Records => records,
            Figure::DiskBytes => counter("store_disk_bytes"),
            Figure::LiveBytes => counter("store_live_bytes"),
            Figure::MemoryBytes => counter("store_memory_bytes"),
            Figure::QuarantinedRanges => counter("store_quarantined_ranges"),
        }
    }
}

/// The figures as they were last published.
#[derive(Debug, Default)]
pub(super) struct Figures([AtomicU64; Figure::ALL.len()]);

impl Figures {
    /// One of them.
    pub(super) fn get(&self, figure: Figure) -> u64 {
        self.0[figure as usize].load(Ordering::Relaxed)
    }
}

/// What was told already.
pub(super) struct Watch {
    figures: Arc<Figures>,
    is_read_only: bool,
    is_full: bool,
    keeps_no_hints: bool,
    publish_at: Instant,
}

impl Watch {
    pub(super) fn new(figures: Arc<Figures>) -> Watch {
        Watch {
            figures,
            is_read_only: false,
            is_full: false,
            keeps_no_hints: false,
            publish_at: Instant::ZERO,
        }
    }

    fn look_at_hints(&mut self, node: &mut Node<Storage>, log: &Logger) {
        for finding in node.hints_mut().store_mut().take_findings() {
            let (level, text) = describe(&finding);
            log.log(level, "hints", format_args!("{text}"));
        }
        let keeps_none = !node.hints().takes_any();
        if keeps_none && !self.keeps_no_hints {
            let what = "their log failed or is of another time: none are kept until the node is started anew";
            log.log(Level::Error, "hints", format_args!("{what}"));
        }
        self.keeps_no_hints = keeps_none;
    }

    /// Looks at the store, once a turn.
    pub(super) fn look(&mut self, now: Instant, node: &mut Node<Storage>, log: &Logger) {
        for finding in node.store_mut().take_findings() {
            let (level, text) = describe(&finding);
            log.log(level, "store", format_args!("{text}"));
        }
        let (is_read_only, is_full) = (node.store().marks().failed, node.store().is_full());
        let is_news = is_read_only != self.is_read_only || is_full != self.is_full;
        if is_read_only && !self.is_read_only {
            let what = "a write or a sync failed: the store is read-only until the node is started anew";
            log.log(Level::Error, "store", format_args!("{what}"));
        }
        if is_full != self.is_full {
            match is_full {
                true => {
                    log.log(Level::Warn, "store", format_args!("the disk is full: only deletes are taken"))
                }
                false => log.log(Level::Info, "store", format_args!("there is room on the disk again")),
            }
        }
        (self.is_read_only, self.is_full) = (is_read_only, is_full);
        self.look_at_hints(node, log);
        if is_news || now >= self.publish_at {
            self.publish_at = now + PUBLISH_INTERVAL;
            let (status, records) = (node.store().status(), node.store().len());
            for figure in Figure::ALL {
                self.figures.0[figure as usize].store(figure.of(&status, records), Ordering::Relaxed);
            }
        }
    }
}

fn describe(finding: &Finding) -> (Level, String) {
    match finding {
        Finding::TornTail { number, end } => {
            (Level::Warn, format!("the last stop tore the log: segment {number:016x} was cut at byte {end}"))
        }
        Finding::VoidCheckpoint(why) => {
            (Level::Warn, format!("the checkpoint cannot be used, {why}: the whole log was read"))
        }
        Finding::Damage { number, from, to } => {
            let to = to.map_or("its end".to_owned(), |to| to.to_string());
            (Level::Error, format!("segment {number:016x} is damaged from byte {from} to {to}"))
        }
        Finding::Incomplete(count) => {
            let what = "partitions lost records: a key that is not found there is unknown, not absent";
            (Level::Error, format!("{count} {what}"))
        }
    }
}
