//! How much room the log may take, and which segments are emptied to keep it so.
//!
//! Victims are chosen by cost and benefit, (1 − u) · age / (1 + u), where u is the share that is live and
//! age how long the newest record in it has not been touched (Rosenblum, Ousterhout: The Design and
//! Implementation of a Log-Structured File System, §3.5-3.6). Segments with removals are taken in the order
//! of age now and then, so that removals go as well.
//!
//! It runs while the segments that were left take more than half as much again as what is live, at a pace
//! that follows the writes. Appending is refused where the log would take more than twice what is live and
//! three segments, until there is room.

use super::LogStore;
use super::segments::{Entry, State};
use crate::proto::store::StoreError;
use crate::proto::time::Instant;
use crate::store::disk::Disk;
use crate::store::record::{self, SYNC_MARK_LENGTH};
use crate::store::segment::{HEADER_LENGTH, SIZE_STEP};

/// Bytes that a key takes in a checkpoint, about.
const CHECKPOINT_KEY_LENGTH: u64 = 12;
/// Segments that one run empties at most.
const VICTIMS_MAX: usize = 8;
/// A segment of which more than so many hundredths are live is not worth it.
const LIVE_PERCENT_MAX: u64 = 90;
/// A segment is nearly full when less than this share of its size is left.
const SHORT_SHARE: u64 = 16;
/// One run in so many begins with the oldest segment, if there are many removals.
const REMOVALS_ONE_IN: u64 = 4;

impl<D: Disk> LogStore<D> {
    /// Bytes of disk that the log may take: twice what is live and three segments. Less than a segment of live
    /// records may take a fourth one, as a segment that was left goes only with a checkpoint, and a small
    /// store must not be busy with that whenever it begins the next.
    fn allowed(&self) -> u64 {
        let (live, size) = (self.ledger.live_total(), self.options.segment_size);
        2 * live + 3 * size + size.saturating_sub(live)
    }

    /// Bytes of disk that the log takes, with a checkpoint and the draft of the next one; without what is
    /// about to be removed, and without what damage keeps from going, as no compaction can make up for that.
    fn taken(&self) -> u64 {
        let bytes = self.segments.disk_bytes() - self.segments.leaving_bytes()
            + 2 * CHECKPOINT_KEY_LENGTH * self.ledger.keys();
        bytes.saturating_sub(self.kept_by_damage())
    }

    fn kept_by_damage(&self) -> u64 {
        if self.manifest.quarantined.is_empty() {
            return 0;
        }
        let is_kept = |entry: &Entry<D::File>| {
            entry.state == State::Left && (!self.is_counted(entry) || entry.is_lost.get() || entry.stuck > 0)
        };
        self.segments.iter().filter(|(_, entry)| is_kept(entry)).map(|(_, entry)| entry.size).sum()
    }

    /// Whether the disk is full, or an append waits for room.
    pub(super) fn is_urgent(&self) -> bool {
        self.shared.is_full() || self.compaction.is_awaited
    }

    /// Whether the log is near its bound, or it is urgent: compaction goes before pace.
    pub(super) fn is_tight(&self) -> bool {
        let is_near = self.taken() + self.options.segment_size / 2 > self.allowed();
        self.options.compaction && (is_near || self.is_urgent())
    }

    /// Whether segments that were left take more than three quarters of what they may. When it is
    /// urgent, whatever can be gained is wanted.
    pub(super) fn is_wanted(&self) -> bool {
        if self.is_urgent() {
            return true;
        }
        let left = self.taken().saturating_sub(2 * self.options.segment_size);
        left > (2 * self.ledger.live_total() - self.reserve()) * 3 / 4
    }

    /// What compaction needs for copies, to give any room back.
    fn reserve(&self) -> u64 {
        (self.options.segment_size / 4).min(self.ledger.live_total())
    }

    /// Refuses an append of so many bytes where the log would outgrow its bound, and compaction can help.
    pub(super) fn admit(&mut self, bytes: u64) -> Result<(), StoreError> {
        let active = self.segments.at(self.segments.active);
        let overhead = (SYNC_MARK_LENGTH + record::seal_length(self.touched.len() + 1)) as u64;
        if self.head + bytes + overhead <= active.plan.size || !self.options.compaction {
            return Ok(());
        }
        if !self.waits_for_room((bytes / self.options.segment_size + 1) * self.options.segment_size) {
            self.compaction.is_awaited = false;
            return Ok(());
        }
        self.counters.refused_space += 1;
        self.await_room();
        Err(StoreError::Overloaded)
    }

    /// Whether another segment, or several, have to wait until compaction has made room for them.
    fn waits_for_room(&self, needed: u64) -> bool {
        // Where there is no room for copies nothing shrinks by waiting: then the reserve has to be reached.
        let is_stuck = self.compaction.room < u64::MAX;
        self.taken() + needed + self.reserve() > self.allowed() && !is_stuck && self.can_shrink()
    }

    fn await_room(&mut self) {
        self.compaction.is_awaited = true;
        self.wake_at(Instant::ZERO);
    }

    /// Whether appends will be refused soon: the active segment is nearly full, and the next one has to wait. Compaction is
    /// urgent from now on; who can hold writers back should.
    pub fn is_short_of_room(&mut self) -> bool {
        let (active, size) = (self.segments.at(self.segments.active), self.options.segment_size);
        let is_short = self.options.compaction
            && self.head + size / SHORT_SHARE > active.plan.size
            && self.waits_for_room(size);
        // Once: who asks again and again shall not keep the loop awake.
        if is_short && !self.compaction.is_awaited {
            self.await_room();
        }
        is_short
    }

    /// Whether something can go.
    pub(super) fn can_shrink(&self) -> bool {
        let is_emptied = |entry: &Entry<D::File>| matches!(entry.state, State::Emptied(_) | State::Leaving);
        self.segments.iter().any(|(owner, entry)| is_emptied(entry) || self.is_victim(owner, entry))
    }

    /// Whether a segment can be emptied.
    pub(super) fn can_go(&self, owner: u32, entry: &Entry<D::File>) -> bool {
        entry.state == State::Left
            && !entry.is_lost.get()
            && entry.segment.is_some()
            && (entry.stuck == 0 || self.ledger.live(owner) < entry.stuck)
            && entry.is_written()
            && self.is_counted(entry)
            && self.shared.marks().durable >= entry.newest
    }

    /// Whether what is live of a segment can be believed. Where a record does not hold, its header may have
    /// said anything when it was replaced; and a slot must not outlive the segment that it points into, as
    /// another takes its place. The next scan knows better.
    pub(super) fn is_counted(&self, entry: &Entry<D::File>) -> bool {
        !self.manifest.is_unfelt(entry.plan.number)
    }

    /// Whether to empty it gives back so much that it is worth it: a segment of copies has a header and a
    /// seal again.
    pub(super) fn is_victim(&self, owner: u32, entry: &Entry<D::File>) -> bool {
        let live = self.ledger.live(owner);
        let kept = live + entry.controls + if live + entry.controls > 0 { self.seal_and_header() } else { 0 };
        kept * 100 <= entry.size * LIVE_PERCENT_MAX && self.can_go(owner, entry)
    }

    pub(super) fn seal_and_header(&self) -> u64 {
        (HEADER_LENGTH + record::seal_length(self.options.partitions as usize)) as u64
    }

    /// The segments that the next run empties, and how many bytes of them are kept.
    pub(super) fn choose_victims(&self) -> (Vec<u32>, u64) {
        let is_full = self.shared.is_full() || self.compaction.room < u64::MAX;
        let mut candidates: Vec<(u64, u32)> = Vec::new();
        let last = self.last.0;
        let newest = self.segments.at(self.segments.active).plan.number;
        for (owner, entry) in self.segments.iter().filter(|(owner, entry)| self.can_go(*owner, entry)) {
            let live = self.ledger.live(owner);
            if !self.is_victim(owner, entry) {
                // Small ones go along, so that their number stays small.
                if entry.plan.is_compacted && entry.size < self.options.segment_size / 4 {
                    candidates.push((0, owner));
                }
                continue;
            }
            // With a full disk whatever needs least room comes first, whoever follows the changes in it.
            let score = match is_full {
                true => u64::MAX - live - entry.controls,
                false if self.is_retained(entry, newest) => score(live, entry, last) / 1_024,
                false => score(live, entry, last),
            };
            candidates.push((score.max(1), owner));
        }
        // Only now and then, and never alone where room is short: it may give none back.
        let is_removals_turn =
            self.counters.compactions.is_multiple_of(REMOVALS_ONE_IN) && !candidates.is_empty();
        if is_removals_turn && let Some(oldest) = self.oldest_with_removals() {
            candidates.push((u64::MAX, oldest));
        }
        candidates.sort_unstable_by(|one, other| other.cmp(one));
        if candidates.first().is_none_or(|(score, _)| *score == 0) {
            candidates.clear();
        }
        candidates.dedup_by_key(|(_, owner)| *owner);
        // As large as the bound, and the disk, leave room for; the first victim is taken in any case.
        let room = self.allowed().saturating_sub(self.taken());
        let room = room.min(self.options.segment_size).min(self.compaction.room);
        let mut victims: Vec<u32> = Vec::new();
        let mut bytes = 0;
        for (_, owner) in candidates {
            let needed = self.ledger.live(owner) + self.segments.at(owner).controls;
            let is_known = victims.contains(&owner);
            if !is_known && (bytes + needed + self.output_overhead() <= room || victims.is_empty()) {
                bytes += needed;
                victims.push(owner);
            }
            if victims.len() == VICTIMS_MAX {
                break;
            }
        }
        (victims, bytes)
    }

    /// What an output takes besides records.
    pub(super) fn output_overhead(&self) -> u64 {
        self.seal_and_header() + SIZE_STEP
    }

    /// Whether compaction leaves a segment to those who follow the changes, as long as it can.
    fn is_retained(&self, entry: &Entry<D::File>, newest: u64) -> bool {
        let distance = newest.saturating_sub(entry.plan.number) * self.options.segment_size;
        !entry.plan.is_compacted && distance <= self.options.retention_bytes
    }

    /// The oldest segment, if removals and drops take a tenth of those that were left.
    fn oldest_with_removals(&self) -> Option<u32> {
        let controls: u64 = self.segments.iter().map(|(_, entry)| entry.controls).sum();
        if controls * 10 < self.segments.disk_bytes().saturating_sub(2 * self.options.segment_size).max(1) {
            return None;
        }
        let left = self.segments.iter().filter(|(owner, entry)| self.can_go(*owner, entry));
        left.min_by_key(|(_, entry)| (entry.plan.first, entry.plan.number)).map(|(owner, _)| owner)
    }
}

/// The benefit of emptying a segment over its cost.
fn score<F>(live: u64, entry: &Entry<F>, last: u64) -> u64 {
    let size = entry.size.max(1);
    let live = live.min(size);
    let age = last.saturating_sub(entry.newest.0) + 1;
    let score = u128::from(size - live) * u128::from(age) * 1_024 / u128::from(size + live);
    u64::try_from(score).unwrap_or(u64::MAX / 2)
}
