//! The segments of an open log: which there are, where each lies in the location space, what state it is in.
//!
//! ```text
//!  planned ─► spare ─► active ─► left ─► emptied ─► (manifest without it) ─► leaving ─► gone
//!          └► output ──────────► left
//! ```
//!
//! An entry keeps its number in the table, its *owner* number in the slot table, as long as it lives; a
//! location leads to it in two steps.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::proto::store::Sequence;
use crate::store::disk::File;
use crate::store::recovery::RecoveredSegment;
use crate::store::segment::{HEADER_LENGTH, Location, Plan, Segment, SlotTable};

/// What becomes of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Appended to, or going to be.
    Open,
    /// Compaction copies to it.
    Output,
    /// Nothing is written to it any more.
    Left,
    /// No slot points at it: it goes once a checkpoint later than this one is durable (trap T14).
    Emptied(u64),
    /// Leaves the manifest, then the disk.
    Leaving,
}

/// One segment.
pub struct Entry<F> {
    /// What it is.
    pub plan: Plan,
    /// None until the worker has created it.
    pub segment: Option<Arc<Segment<F>>>,
    /// Records from this offset on are in the staging buffer.
    pub staged_from: u64,
    /// Where its records end, once it was left.
    pub end: u64,
    /// Bytes of its file.
    pub size: u64,
    /// The highest sequence in it.
    pub newest: Sequence,
    /// Bytes of removals and drops in it.
    pub controls: u64,
    /// When it was emptied, what had taken the place of its records had sequences up to here.
    pub emptied_at: Sequence,
    /// See [`State`].
    pub state: State,
    /// A part of it was shortened away behind our back, or cannot be read.
    pub is_lost: Cell<bool>,
    /// The turn in which its file was last seen to be whole.
    pub seen: Cell<u64>,
    /// Live bytes that compaction could not read: it is tried again when there are fewer.
    pub stuck: u64,
    /// Slots of the location space that it owns, whatever its size has become.
    slots: u32,
}

impl<F: File> Entry<F> {
    /// A segment that is asked for.
    pub fn planned(plan: Plan, state: State) -> Entry<F> {
        Entry {
            plan,
            segment: None,
            staged_from: HEADER_LENGTH as u64,
            end: u64::MAX,
            size: plan.size,
            newest: Sequence(0),
            controls: 0,
            emptied_at: Sequence(0),
            state,
            is_lost: Cell::new(false),
            seen: Cell::new(0),
            stuck: 0,
            slots: plan.slots(),
        }
    }

    /// A segment that is there.
    pub fn existing(segment: Arc<Segment<F>>, state: State) -> Entry<F> {
        let (plan, size) = (segment.plan, segment.plan.size);
        Entry { segment: Some(segment), size, ..Entry::planned(plan, state) }
    }

    /// Whether everything in it was written, its seal too, which no mark speaks of.
    pub fn is_written(&self) -> bool {
        self.staged_from >= self.end
    }

    /// A segment that was read back; appended to, if it is open.
    pub fn recovered(found: RecoveredSegment<F>, is_open: bool) -> Entry<F> {
        let mut entry = Entry::existing(found.segment, if is_open { State::Open } else { State::Left });
        if !is_open {
            entry.end = found.end;
            entry.staged_from = u64::MAX;
            entry.size = entry.size.min(found.end);
        }
        (entry.newest, entry.controls) = (found.newest, found.controls);
        entry
    }

    /// Whether records can be read from it: looks once a turn whether the file is as long as it was.
    pub fn is_readable(&self, turn: u64) -> bool {
        if self.seen.replace(turn) != turn
            && let Some(segment) = &self.segment
            && !self.is_lost.get()
        {
            // Of one that is written to, only what was written can be asked for.
            let end = if self.end == u64::MAX { self.staged_from } else { self.end };
            self.is_lost.set(!segment.file.is_whole(end));
        }
        !self.is_lost.get()
    }
}

/// All segments.
pub struct Segments<F> {
    slots: SlotTable,
    entries: Vec<Option<Entry<F>>>,
    by_number: BTreeMap<u64, u32>,
    /// The one that is appended to.
    pub active: u32,
    /// The one behind it.
    pub spare: u32,
    disk_bytes: u64,
    leaving_bytes: u64,
}

impl<F: File> Segments<F> {
    /// Of a log that was read back: entries by their owners in `slots`.
    pub fn new(slots: SlotTable, entries: Vec<Option<Entry<F>>>) -> Segments<F> {
        let mut segments = Segments {
            slots,
            entries: Vec::new(),
            by_number: BTreeMap::new(),
            active: 0,
            spare: 0,
            disk_bytes: 0,
            leaving_bytes: 0,
        };
        for (owner, entry) in (0..).zip(entries) {
            if let Some(entry) = &entry {
                segments.by_number.insert(entry.plan.number, owner);
                segments.disk_bytes += entry.size;
            }
            segments.entries.push(entry);
        }
        segments
    }

    /// The owner number that the next segment gets.
    pub fn next_owner(&self) -> u32 {
        let hole = self.entries.iter().position(Option::is_none);
        u32::try_from(hole.unwrap_or(self.entries.len())).expect("slots run out long before")
    }

    /// Gives a plan its place; `None` if the location space is full.
    pub fn place(&mut self, mut plan: Plan) -> Option<Plan> {
        plan.slot = self.slots.allocate(plan.slots(), self.next_owner())?;
        Some(plan)
    }

    /// Adds a segment whose place was given to [`Segments::next_owner`]; returns that.
    pub fn add(&mut self, entry: Entry<F>) -> u32 {
        let owner = self.next_owner();
        self.by_number.insert(entry.plan.number, owner);
        self.disk_bytes += entry.size;
        match self.entries.get_mut(owner as usize) {
            Some(hole) => *hole = Some(entry),
            None => self.entries.push(Some(entry)),
        }
        owner
    }

    /// As [`Segments::add`], behind all others: its place was given to that owner when the log was read back.
    pub fn add_at_end(&mut self, entry: Entry<F>) -> u32 {
        let owner = u32::try_from(self.entries.len()).expect("slots run out long before");
        self.by_number.insert(entry.plan.number, owner);
        self.disk_bytes += entry.size;
        self.entries.push(Some(entry));
        owner
    }

    /// Forgets a segment that is gone, or never came to be; returns its handle.
    pub fn remove(&mut self, owner: u32) -> Option<Arc<Segment<F>>> {
        let entry = self.entries[owner as usize].take()?;
        self.by_number.remove(&entry.plan.number);
        self.slots.release(entry.plan.slot, entry.slots);
        self.disk_bytes -= entry.size;
        if entry.state == State::Leaving {
            self.leaving_bytes -= entry.size;
        }
        entry.segment
    }

    /// A segment leaves the manifest, then the disk.
    pub fn begin_leaving(&mut self, owner: u32) {
        let entry = self.entries[owner as usize].as_mut().expect("it is there");
        entry.state = State::Leaving;
        self.leaving_bytes += entry.size;
    }

    /// Bytes of disk that are about to be given back.
    pub fn leaving_bytes(&self) -> u64 {
        self.leaving_bytes
    }

    /// A segment's file has another size now.
    pub fn resize(&mut self, owner: u32, size: u64) {
        let entry = self.entries[owner as usize].as_mut().expect("it is there");
        self.disk_bytes = self.disk_bytes - entry.size + size;
        entry.size = size;
    }

    /// A segment by its owner number.
    ///
    /// # Panics
    /// If there is none.
    #[inline]
    pub fn at(&self, owner: u32) -> &Entry<F> {
        self.entries[owner as usize].as_ref().expect("an owner is a segment")
    }

    /// As [`Segments::at`].
    #[inline]
    pub fn at_mut(&mut self, owner: u32) -> &mut Entry<F> {
        self.entries[owner as usize].as_mut().expect("an owner is a segment")
    }

    /// The owner of a location.
    #[inline]
    pub fn owner(&self, location: Location) -> Option<u32> {
        self.slots.owner(location.slot())
    }

    /// The segment at a location, and the offset in it.
    #[inline]
    pub fn locate(&self, location: Location) -> Option<(&Entry<F>, u64)> {
        let entry = self.entries[self.owner(location)? as usize].as_ref()?;
        Some((entry, location.offset(entry.plan.slot)))
    }

    /// The segment with a number.
    pub fn by_number(&mut self, number: u64) -> Option<&mut Entry<F>> {
        let owner = *self.by_number.get(&number)?;
        self.entries[owner as usize].as_mut()
    }

    /// The owner number of the segment with a number.
    pub fn owner_of(&self, number: u64) -> Option<u32> {
        self.by_number.get(&number).copied()
    }

    /// All segments with their owner numbers, by rising number.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &Entry<F>)> {
        self.by_number.values().map(|&owner| (owner, self.at(owner)))
    }

    /// The segments with this number and above, with their owner numbers.
    pub fn from(&self, number: u64) -> impl Iterator<Item = (u32, &Entry<F>)> {
        self.by_number.range(number..).map(|(_, &owner)| (owner, self.at(owner)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.by_number.len()
    }

    /// Bytes of disk that they take.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// Bytes of memory that the table takes.
    pub fn heap_bytes(&self) -> usize {
        self.entries.capacity() * size_of::<Option<Entry<F>>>() + self.slots.heap_bytes()
    }
}
