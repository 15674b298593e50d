//! From a put to the disk: staging, handing on, leaving one segment for the next.

use std::sync::Arc;

use crate::proto::store::{Durability, KeyRef, NewRecord, Sequence, StoreError};
use crate::store::disk::{Disk, File};
use crate::store::record::{self, Mark, SYNC_MARK_LENGTH};
use crate::store::segment::{HEADER_LENGTH, Location, SIZE_STEP};
use crate::store::staging::CHUNK_LENGTH;

use super::LogStore;

/// The loop writes at most so many bytes by itself: about 50 µs.
const OWN_WRITE_MAX: usize = 128 << 10;
/// A refused put in so many has the disk tried again.
const RETRY_ONE_IN: u64 = 64;

impl<D: Disk> LogStore<D> {
    pub(super) fn append(&mut self, key: &KeyRef<'_>, new: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        if self.is_closed || self.shared.marks().failed {
            return Err(StoreError::ReadOnly);
        }
        self.absorb();
        let sequence = self.next_sequence().ok_or(StoreError::Overloaded)?;
        let length = record::put_length(key, new);
        self.make_room(length)?;
        let fingerprint = self.index.fingerprint(key.position);
        let mut older_length = 0;
        let found = self.index.find(key.partition, fingerprint, |location| {
            let older = self.length_if_of(location, key);
            older_length = older.unwrap_or(older_length);
            older.is_some()
        });
        let location = self.stage(sequence, key, new);
        match found {
            Some(found) => {
                self.index.replace(&found, location);
                let owner = self.slots.owner(found.location.slot()).expect("what the index names is ours");
                // Its header was not checked against its sum, so it may say anything.
                let live = &mut self.segments[owner as usize].live;
                *live = live.saturating_sub(older_length);
            }
            None => self.index.insert(key.partition, fingerprint, location),
        }
        self.segments[self.active].live += length as u64;
        let counted = &mut self.counts[usize::from(key.partition)];
        if *counted == 0 {
            self.touched.push(key.partition);
        }
        *counted += length as u64;
        if self.staging.open().bytes.len() >= CHUNK_LENGTH {
            self.hand_on();
        }
        Ok(sequence)
    }

    /// Encodes a put at the head of the active segment, which has room for it.
    fn stage(&mut self, sequence: Sequence, key: &KeyRef<'_>, new: &NewRecord<'_>) -> Location {
        let plan = self.segments[self.active].plan;
        if let Some(mark) = self.next_mark() {
            let last = self.last;
            self.staging.append(last, |into| record::encode_mark(into, plan.seed, last, &mark));
            self.head += SYNC_MARK_LENGTH as u64;
        }
        let location = plan.location(self.head);
        self.staging.append(sequence, |into| record::encode_put(into, plan.seed, sequence, key, new));
        self.head = self.staging.open().end();
        self.last = sequence;
        location
    }

    /// The sync mark that the open chunk must begin with: it tells recovery what had been promised.
    fn next_mark(&mut self) -> Option<Mark> {
        if !self.staging.open().bytes.is_empty() {
            return None;
        }
        let due = self.mark_due.take();
        let mark = due.or_else(|| {
            let moved = self.shared.marks().durable > self.marked;
            moved.then(|| self.shared.durable_mark())
        })?;
        self.marked = mark.sequence;
        Some(mark)
    }

    /// Makes sure that a put of this length can be staged, in the active segment or a fresh one.
    fn make_room(&mut self, length: usize) -> Result<(), StoreError> {
        if !self.staging.has_room(length + SYNC_MARK_LENGTH) {
            self.hand_on();
            return Err(StoreError::Overloaded);
        }
        let active = &self.segments[self.active];
        if active.segment.is_none() && self.shared.is_full() {
            return Err(self.refuse_full());
        }
        let needed = (SYNC_MARK_LENGTH + length + record::seal_length(self.touched.len() + 1)) as u64;
        if self.head + needed <= active.plan.size {
            return Ok(());
        }
        let alone = HEADER_LENGTH + SYNC_MARK_LENGTH + length + record::seal_length(1);
        self.rotate(alone as u64)
    }

    fn refuse_full(&mut self) -> StoreError {
        if self.refused.is_multiple_of(RETRY_ONE_IN) {
            self.shared.retry();
        }
        self.refused += 1;
        StoreError::Full
    }

    /// Leaves the active segment for the spare one, or for one made to fit a record that needs `alone`
    /// bytes. Waits for nothing: the worker writes and syncs the old one before it touches the new.
    fn rotate(&mut self, alone: u64) -> Result<(), StoreError> {
        let spare = self.segments.last().expect("a spare is always planned");
        if spare.segment.is_none() && self.shared.is_full() {
            return Err(self.refuse_full());
        }
        self.seal();
        if alone > self.options.segment_size {
            // Numbers must rise in the order of use, so the spare makes way.
            let spare = self.segments.pop().expect("a spare is always planned");
            self.slots.release(spare.plan.slot, spare.plan.slots());
            self.shared.remove(spare.plan.number);
            self.plan_segment(alone.next_multiple_of(SIZE_STEP));
        }
        self.active = self.segments.len() - 1;
        self.head = HEADER_LENGTH as u64;
        self.staging.begin(self.segments[self.active].plan.number, self.head);
        self.plan_segment(self.options.segment_size);
        Ok(())
    }

    /// Ends the active segment and hands it on.
    fn seal(&mut self) {
        let plan = self.segments[self.active].plan;
        self.touched.sort_unstable();
        let counts: Vec<(u16, u64)> = self
            .touched
            .drain(..)
            .map(|at| (at, core::mem::take(&mut self.counts[usize::from(at)])))
            .collect();
        let last = self.last;
        self.staging.append(last, |into| record::encode_seal(into, plan.seed, last, &counts));
        let end = self.staging.open().end();
        self.hand_on();
        self.shared.leave(plan.number);
        // True by the time it is written: the old segment is synced before.
        self.mark_due = Some(Mark { sequence: last, number: plan.number, offset: end });
    }

    pub(super) fn bring_forward(&mut self, need: Durability) {
        if need == Durability::Memory || self.shared.marks().failed {
            return;
        }
        self.absorb();
        if !self.staging.open().bytes.is_empty() {
            match self.segments[self.active].segment.clone() {
                Some(segment) if self.is_small() && self.may_write(need) => self.write_here(&segment.file),
                _ => self.hand_on(),
            }
        }
        if need == Durability::Always {
            self.shared.sync(self.last);
        }
    }

    /// Whether to write here rather than in the worker. Beside a sync that is under way a write takes as
    /// long as at any time (7 µs, p99 32 µs, measured with one sync in 100 ms), and waiting for it takes as
    /// long as the sync. Who wants to be synced waits for the next one anyway, and leaves it to the worker.
    fn may_write(&self, need: Durability) -> bool {
        match need {
            Durability::Always => self.shared.is_idle(),
            _ => self.shared.may_write(),
        }
    }

    /// Whether the open chunk is small enough for the loop to write it without being late for others.
    fn is_small(&self) -> bool {
        self.staging.open().bytes.len() <= OWN_WRITE_MAX
    }

    /// Writes the open chunk from the loop: the worker has no job that it could overtake.
    fn write_here(&mut self, file: &D::File) {
        let chunk = self.staging.open();
        if file.write_at(chunk.start, &chunk.bytes).is_err() {
            self.shared.fail();
            return;
        }
        let mark = Mark { sequence: chunk.last, number: chunk.number, offset: chunk.end() };
        self.segments[self.active].staged_from = mark.offset;
        self.staging.clear_open();
        self.shared.note_written(mark);
    }

    /// Gives the open chunk to the worker, joined to the one before if that has not been begun.
    fn hand_on(&mut self) {
        if self.staging.open().bytes.is_empty() {
            return;
        }
        if let Some(chunk) = self.shared.take_back() {
            let chunk = self.staging.extend(chunk);
            self.shared.write(chunk);
        }
        if let Some(chunk) = self.staging.freeze() {
            self.shared.write(chunk);
        }
    }

    /// Takes over what the worker has done: segments created, chunks written.
    fn absorb(&mut self) {
        // The mark first: a segment that was written to was created before, so it is taken over below.
        let written = self.shared.marks().written;
        for created in self.shared.take_created() {
            let is_it = |entry: &&mut super::Entry<D::File>| entry.plan.number == created.plan.number;
            // One that was planned and made way meanwhile is nobody's.
            if let Some(entry) = self.segments.iter_mut().rev().find(is_it) {
                entry.segment = Some(Arc::clone(&created));
            }
        }
        let segments = &mut self.segments;
        self.staging.reclaim(written, |number, end| {
            if let Some(entry) = segments.iter_mut().rev().find(|entry| entry.plan.number == number) {
                entry.staged_from = entry.staged_from.max(end);
            }
        });
    }
}
