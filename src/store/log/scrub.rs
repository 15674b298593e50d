//! Scrub: every record of a segment that was left is re-read once in a while, so that damage is found while
//! other copies are still good.

use super::LogStore;
use super::maintain::Purpose;
use super::segments::{Entry, State};
use crate::proto::time::Instant;
use crate::store::disk::Disk;
use crate::store::segment::HEADER_LENGTH;
use crate::store::upkeep::{Block, Upkeep};

/// Bytes read at one time, about: see the worker's survey.
const STEP: u64 = 256 << 10;

/// How far it has come.
#[derive(Debug, Default)]
pub struct Scrub {
    /// The segment's number and where in it.
    at: (u64, u64),
    /// Whether a look is under way.
    is_reading: bool,
    /// When the next look is due.
    next: Option<Instant>,
    /// Passes that were completed.
    pub passes: u64,
}

impl<D: Disk> LogStore<D> {
    /// Asks for the next block when it is due.
    pub(super) fn scrub_step(&mut self, now: Instant) {
        if self.scrub.is_reading || self.is_closed || self.shared.marks().failed {
            return;
        }
        let bytes = self.segments.disk_bytes().max(1);
        let blocks = bytes.div_ceil(STEP).max(1);
        let pause = self.options.scrub_interval / u32::try_from(blocks).unwrap_or(u32::MAX);
        let due = *self.scrub.next.get_or_insert(now + pause);
        if now < due {
            self.wake_at(due);
            return;
        }
        let (number, offset) = self.scrub.at;
        // The end of one that was just left may not be in its file yet.
        let is_readable = |entry: &&Entry<D::File>| {
            entry.state == State::Left && entry.is_written() && !entry.is_lost.get()
        };
        let left = self.segments.from(number).map(|(_, entry)| entry);
        let next = left.filter(is_readable).find_map(|entry| {
            let from = if entry.plan.number == number { offset } else { 0 }.max(HEADER_LENGTH as u64);
            (from < entry.end).then_some((entry.plan, from..entry.end))
        });
        let Some((plan, range)) = next else {
            // All of it, or nothing was left yet: begin again when something can have changed.
            self.scrub.passes += u64::from(self.scrub.at.0 > 0);
            self.scrub.at = (0, 0);
            self.scrub.next = None;
            return;
        };
        self.scrub.is_reading = true;
        self.scrub.next = Some(now + pause);
        self.survey(Purpose::Scrub, Upkeep::Survey(plan, range));
    }

    pub(super) fn scrubbed(&mut self, block: &Block) {
        self.scrub.is_reading = false;
        if !block.is_read {
            return;
        }
        self.scrub.at = (block.plan.number, block.next);
        self.counters.scrubbed_bytes += block.next - block.start;
    }
}
