//! The loop's share of keeping the log in order: a little of everything each turn, bounded by counts, so
//! that no turn is late for the requests in it.

use core::ops::Range;
use core::time::Duration;

use super::LogStore;
use crate::proto::time::Instant;
use crate::store::disk::Disk;
use crate::store::upkeep::{Done, Upkeep};

/// Slots of the index that one turn looks at, about 50 µs; and when room gets tight.
const SLOTS_PER_TURN: usize = 256;
const SLOTS_PER_TURN_MAX: usize = 512;
/// How often it is seen to that the active segment is whole. That costs a system call.
const LOOK: Duration = Duration::from_millis(100);
/// When what failed for want of room is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Whose survey it is. Surveys come back in the order in which they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To copy what is live.
    Compaction,
    /// To see whether it holds.
    Scrub,
}

/// Why a manifest was written. They come back in the order in which they were asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A segment of copies belongs to the log now.
    Named,
    /// These segments do not belong to it any more.
    Dropped(Vec<u32>),
    /// Something is known to be lost, or no more.
    Loss,
}

impl<D: Disk> LogStore<D> {
    pub(super) fn keep_in_order(&mut self, now: Instant) {
        self.turn.set(self.turn.get() + 1);
        self.due = Instant::NEVER;
        self.absorb();
        if self.is_closed {
            return;
        }
        self.retry_when_due(now);
        if now >= self.look_at {
            self.look_at = now + LOOK;
            self.segments.at(self.segments.active).is_readable(self.turn.get());
        }
        let slots = if self.is_tight() { SLOTS_PER_TURN_MAX } else { SLOTS_PER_TURN };
        let left = slots - self.settle_drops(slots);
        if !self.dropped.is_empty() {
            self.wake_at(now);
        }
        if self.options.compaction {
            self.compact(now, left);
        }
        self.write_checkpoint(now);
        self.scrub_step(now);
        self.tend_trees(now);
    }

    /// Asks for another turn at this time.
    pub(super) fn wake_at(&mut self, at: Instant) {
        self.due = self.due.min(at);
    }

    /// Tries what failed for want of room again, each second.
    fn retry_when_due(&mut self, now: Instant) {
        if !self.shared.is_full() {
            self.retry_at = Instant::NEVER;
            return;
        }
        if self.retry_at == Instant::NEVER {
            self.retry_at = now + RETRY;
        }
        if now >= self.retry_at {
            self.shared.retry();
            self.retry_at = now + RETRY;
        }
        self.wake_at(self.retry_at);
    }

    /// Asks for a survey.
    pub(super) fn survey(&mut self, purpose: Purpose, task: Upkeep) {
        self.compaction.surveys.push_back(purpose);
        self.shared.keep_up(task);
    }

    /// Asks for the manifest to be replaced by what is true now.
    pub(super) fn write_manifest(&mut self, reason: Reason) {
        self.compaction.manifests.push_back(reason);
        self.shared.keep_up(Upkeep::Manifest(self.manifest.bytes()));
    }

    /// Takes what came of a task of upkeep.
    pub(super) fn take_done(&mut self, done: Done) {
        match done {
            Done::Surveyed(block) => {
                for bad in &block.bad {
                    self.quarantine(block.plan.number, bad);
                }
                match self.compaction.surveys.pop_front() {
                    Some(Purpose::Compaction) => self.surveyed(block),
                    Some(Purpose::Scrub) => self.scrubbed(&block),
                    None => unreachable!("every survey was asked for"),
                }
            }
            Done::Closed(closed) => self.output_closed(closed),
            Done::Manifest(is_written) => {
                let reason = self.compaction.manifests.pop_front().expect("every manifest was asked for");
                self.manifest_written(reason, is_written);
            }
            Done::Checkpoint(id) => self.checkpoint_stands(id),
            Done::NoCheckpoint(for_want_of_room) => self.checkpoint_failed(for_want_of_room),
            Done::Forgotten(is_gone) => self.checkpoint_forgotten(is_gone),
            Done::Shortened(is_shorter) => self.tail_given_back(is_shorter),
            Done::NotCreated(number) => self.output_not_created(number),
            Done::Removed(number) => {
                if let Some(owner) = self.segments.owner_of(number) {
                    if let Some(segment) = self.segments.remove(owner) {
                        self.shared.release(segment);
                    }
                    self.ledger.set_live(owner, 0);
                }
            }
            Done::Looked(seen) => self.looked(seen),
            Done::Backup(result) => self.backup.ended(result),
        }
    }

    /// Notes a range that does not hold.
    pub(super) fn quarantine(&mut self, number: u64, range: &Range<u64>) {
        if self.manifest.quarantine(number, range) {
            self.counters.damaged_ranges += 1;
            self.counters.note_damage(number, range);
            self.write_manifest(Reason::Loss);
        }
    }

    pub(super) fn make_complete(&mut self, partition: u16) {
        if !core::mem::take(&mut self.incomplete[usize::from(partition)]) {
            return;
        }
        if let Some(lost) = &mut self.manifest.incomplete {
            lost.partitions.retain(|&other| other != partition);
            if lost.partitions.is_empty() {
                self.manifest.accept();
            }
        }
        self.write_manifest(Reason::Loss);
    }
}
