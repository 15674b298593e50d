//! From a put to the disk: staging, handing on, leaving one segment for the next.

use std::sync::Arc;

use super::LogStore;
use super::segments::State;
use crate::proto::store::{Durability, KeyRef, NewRecord, Sequence, StoreError};
use crate::store::disk::{Disk, File};
use crate::store::ledger::{Spot, Weight};
use crate::store::record::{self, Header, Mark, SYNC_MARK_LENGTH};
use crate::store::segment::{HEADER_LENGTH, Location};
use crate::store::staging::CHUNK_LENGTH;

/// The loop writes at most so many bytes by itself: about 50 µs.
const OWN_WRITE_MAX: usize = 128 << 10;
/// One part in so many of a segment is kept for what makes room, until the next one is there.
const RESERVE: u64 = 2;
/// Longest part of an object that is a record; longer objects lie in several.
const PART_MAX: u64 = 4 << 20;

impl<D: Disk> LogStore<D> {
    pub(super) fn append(&mut self, key: &KeyRef<'_>, new: &NewRecord<'_>) -> Result<Sequence, StoreError> {
        let parts = self.parts_of(key, new);
        let length = match parts {
            0 => record::put_length(key, new),
            _ => record::chunked_put_length(key, new),
        };
        let bytes = length + record::chunk_length(new.object.len()) * usize::from(parts > 0);
        self.begin_append(parts as u64 + 1, bytes, new.is_delete)?;
        let spot = Spot { partition: key.partition, fingerprint: self.index.fingerprint(key.position) };
        let found = self.find_key(spot, key);
        let is_new = found.is_none();
        if is_new && !new.is_delete && self.memory_bytes() > self.options.memory_max {
            self.counters.refused_memory += 1;
            return Err(StoreError::Memory);
        }
        if is_new {
            self.give_up_unreadable(spot);
        }
        if parts > 0 {
            self.stage_parts(spot, key, new.object);
        }
        let sequence = self.next();
        let location = self.stage(length, |into, seed| match parts {
            0 => record::encode_put(into, seed, sequence, key, new),
            _ => record::encode_chunked_put(into, seed, sequence, key, new, parts),
        });
        self.count_staged(key.partition, length);
        match &found {
            Some((found, _)) if parts == 0 => self.index.replace(found, location),
            Some((found, _)) => {
                // Its parts went to slots of their own, and may have moved this one.
                let again = self.index.find(spot.partition, spot.fingerprint, |at| at == found.location);
                self.index.replace(&again.expect("slots were only added"), location);
            }
            None => self.index.insert(spot.partition, spot.fingerprint, location),
        }
        let weight = Weight { length: length as u64, is_key: true, expires: new.expires_ms.is_some() };
        self.ledger.add(spot, self.segments.active, weight);
        let old_hash = found.as_ref().map(|(_, header)| header.item_hash);
        self.change_tree(spot, key.keyspace, old_hash, Some(new.item_hash));
        if let Some((found, header)) = found {
            self.leave_behind(spot, found.location, &header);
        }
        if self.staging.open().bytes.len() >= CHUNK_LENGTH {
            self.hand_on();
        }
        Ok(sequence)
    }

    /// Whatever refuses an append, before anything is changed. Afterwards `count` sequences and `bytes` of
    /// staging are free.
    pub(super) fn begin_append(
        &mut self,
        count: u64,
        bytes: usize,
        goes_when_full: bool,
    ) -> Result<(), StoreError> {
        if self.is_closed || self.shared.marks().failed {
            return Err(StoreError::ReadOnly);
        }
        self.absorb();
        self.next_sequences(count).ok_or(StoreError::Overloaded)?;
        if !self.staging.has_room(bytes + SYNC_MARK_LENGTH) {
            self.hand_on();
            return Err(StoreError::Overloaded);
        }
        let active = self.segments.at(self.segments.active);
        let is_there = |owner: u32| self.segments.at(owner).segment.is_some();
        let end = self.head + (bytes + self.overhead()) as u64;
        if !self.shared.is_full() {
            // With little room left, that for the next segment may be missing. Then what makes room needs a part
            // of this one, and must not wait behind what waits for that.
            let kept = if goes_when_full { 0 } else { active.plan.size / RESERVE };
            let is_there = is_there(self.segments.spare);
            if !is_there && self.shared.is_scarce() && end + kept > active.plan.size {
                self.hand_on();
                self.counters.refused_segment += 1;
                return Err(StoreError::Overloaded);
            }
            return self.admit(bytes as u64);
        }
        // What is left of the active segment, and a spare if there is one, is kept for what makes room: a part
        // of it for copies, as long as it may be enough for them.
        if goes_when_full && is_there(self.segments.active) {
            let fits = |kept: u64| end + kept <= active.plan.size;
            let helps = || self.options.compaction && self.compaction.room == u64::MAX && self.can_shrink();
            if is_there(self.segments.spare) || fits(active.plan.size * 3 / 8) || (fits(0) && !helps()) {
                return Ok(());
            }
            if fits(0) {
                self.counters.refused_segment += 1;
                return Err(StoreError::Overloaded);
            }
        }
        self.counters.refused_full += 1;
        Err(StoreError::Full)
    }

    /// In how many parts an object must lie; 0 if it fits into its key's record.
    fn parts_of(&self, key: &KeyRef<'_>, new: &NewRecord<'_>) -> u32 {
        let alone = HEADER_LENGTH + SYNC_MARK_LENGTH + record::put_length(key, new) + record::seal_length(1);
        let part = self.part_length();
        if new.object.len() <= part && alone as u64 <= self.options.segment_size {
            return 0;
        }
        new.object.len().div_ceil(part).max(1) as u32
    }

    /// Bytes of a part: at least two fit into a segment.
    fn part_length(&self) -> usize {
        let half = self.options.segment_size / 2 - 4_096;
        PART_MAX.min(half) as usize
    }

    /// Stages an object in parts, which get slots of their own.
    fn stage_parts(&mut self, spot: Spot, key: &KeyRef<'_>, object: &[u8]) {
        let part = self.part_length();
        // An object without a byte has a part, too: its key alone filled the record.
        let empty = object.is_empty().then_some(&object[..0]);
        for bytes in object.chunks(part).chain(empty) {
            let length = record::chunk_length(bytes.len());
            let sequence = self.next();
            let location =
                self.stage(length, |into, seed| record::encode_chunk(into, seed, sequence, key, bytes));
            self.count_staged(key.partition, length);
            self.index.insert(spot.partition, spot.fingerprint, location);
            let weight = Weight { length: length as u64, is_key: false, expires: false };
            self.ledger.add(spot, self.segments.active, weight);
            if self.staging.open().bytes.len() >= CHUNK_LENGTH {
                self.hand_on();
            }
        }
    }

    /// A record is no longer pointed at: takes it out of the sums, and its chunks out of the index.
    pub(super) fn leave_behind(&mut self, spot: Spot, location: Location, header: &Header) {
        let owner = self.segments.owner(location).expect("what the index names is ours");
        self.ledger.take(spot, owner, Weight::of(header));
        if header.is_chunked() {
            for sequence in self.parts_at(location, header) {
                self.leave_part(spot, sequence);
            }
        }
    }

    fn leave_part(&mut self, spot: Spot, sequence: Sequence) {
        if let Some((found, header)) = self.find_part(spot, sequence) {
            self.index.remove(&found);
            let owner = self.segments.owner(found.location).expect("what the index names is ours");
            self.ledger.take(spot, owner, Weight::of(&header));
        }
    }

    /// The next sequence.
    pub(super) fn next(&mut self) -> Sequence {
        self.last = Sequence(self.last.0 + 1);
        self.last
    }

    /// Encodes a record of this length at the head of the active segment, or of the next one if it does
    /// not fit. It carries the last sequence.
    pub(super) fn stage(&mut self, length: usize, encode: impl FnOnce(&mut Vec<u8>, u32)) -> Location {
        let active = self.segments.at(self.segments.active);
        // What somebody cut is not trusted with more: what is put there could not be read.
        if active.is_lost.get() || self.head + (length + self.overhead()) as u64 > active.plan.size {
            self.rotate();
        }
        let plan = self.segments.at(self.segments.active).plan;
        if let Some(mark) = self.next_mark() {
            let last = Sequence(self.last.0 - 1);
            let seed = plan.seed_at(self.head);
            self.staging.append(last, |into| record::encode_mark(into, seed, last, &mark));
            self.head += SYNC_MARK_LENGTH as u64;
        }
        let location = plan.location(self.head);
        self.staging.append(self.last, |into| encode(into, plan.seed_at(location.offset(plan.slot))));
        let end = self.staging.open().end();
        debug_assert_eq!(end - self.head, length as u64);
        self.appended += end - self.head;
        self.head = end;
        location
    }

    /// What a record may bring with it in its segment: a mark before it, and a seal behind.
    fn overhead(&self) -> usize {
        SYNC_MARK_LENGTH + record::seal_length(self.touched.len() + 1)
    }

    /// Counts what was staged last for the seal of its segment.
    pub(super) fn count_staged(&mut self, partition: u16, length: usize) {
        let counted = &mut self.counts[usize::from(partition)];
        if *counted == 0 {
            self.touched.push(partition);
        }
        *counted += length as u64;
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

    /// Leaves the active segment for the spare one. Waits for nothing: the worker writes and syncs the old
    /// one before it touches the new.
    fn rotate(&mut self) {
        self.seal();
        self.segments.active = self.segments.spare;
        self.head = HEADER_LENGTH as u64;
        self.staging.begin(self.segments.at(self.segments.active).plan.number, self.head);
        self.segments.spare = self.plan_segment();
    }

    /// Ends the active segment and hands it on. The last sequence given out is not in it yet.
    fn seal(&mut self) {
        let active = self.segments.active;
        let plan = self.segments.at(active).plan;
        self.touched.sort_unstable();
        let counts: Vec<(u16, u64)> = self
            .touched
            .drain(..)
            .map(|at| (at, core::mem::take(&mut self.counts[usize::from(at)])))
            .collect();
        let last = Sequence(self.last.0 - 1);
        let seed = plan.seed_at(self.head);
        self.staging.append(last, |into| record::encode_seal(into, seed, last, &counts));
        let end = self.staging.open().end();
        self.hand_on();
        self.shared.leave(plan.number);
        let entry = self.segments.at_mut(active);
        (entry.state, entry.end, entry.newest) = (State::Left, end, last);
        self.segments.resize(active, end.min(plan.size));
        // True by the time it is written: the old segment is synced before.
        self.mark_due = Some(Mark { sequence: last, number: plan.number, offset: end });
    }

    pub(super) fn bring_forward(&mut self, need: Durability) {
        if need == Durability::Memory || self.shared.marks().failed {
            return;
        }
        self.absorb();
        if !self.staging.open().bytes.is_empty() {
            match self.segments.at(self.segments.active).segment.clone() {
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
        self.segments.at_mut(self.segments.active).staged_from = mark.offset;
        self.staging.clear_open();
        self.shared.note_written(mark);
    }

    /// Gives the open chunk to the worker, joined to the one before if that has not been begun.
    pub(super) fn hand_on(&mut self) {
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

    /// Takes over what the worker has done: segments created, chunks written, upkeep.
    pub(super) fn absorb(&mut self) {
        // The mark first: a segment that was written to was created before, so it is taken over below.
        let written = self.shared.marks().written;
        let (created, done) = self.shared.take_news();
        for created in created {
            if let Some(entry) = self.segments.by_number(created.plan.number) {
                entry.segment = Some(Arc::clone(&created));
            }
        }
        let segments = &mut self.segments;
        self.staging.reclaim(written, |number, end| {
            if let Some(entry) = segments.by_number(number) {
                entry.staged_from = entry.staged_from.max(end);
            }
        });
        for done in done {
            self.take_done(done);
        }
    }
}
