//! What the worker does to keep the log in order: reads segments, copies what is live of them, writes
//! checkpoints and manifests, copies the directory elsewhere.
//!
//! Each task is one slice of work, so that writes and syncs of the log never wait for long behind one. The
//! loop decides everything (what is live only the index knows); nothing here looks at it.

use core::ops::Range;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use super::checkpoint::CHECKPOINT;
use super::directory::MANIFEST;
use super::disk::{Disk, Draft, File};
use super::record::{self, Kind};
use super::segment::{HEADER_LENGTH, Location, Plan, SIZE_STEP, Segment, file_path};
use super::walk::{Step, Walk};
use crate::proto::keys::Key;
use crate::proto::ring;
use crate::proto::store::Sequence;

/// Bytes that one look at a segment reads, unless a record is longer.
const SURVEY_LENGTH: u64 = 256 << 10;
/// A draft is handed to the disk after so many bytes, so that its commit does not hold up the log.
const DRAFT_SYNC_LENGTH: usize = 4 << 20;

/// A task.
#[derive(Debug)]
pub enum Upkeep {
    /// Read the records of a segment from an offset on, up to where they end.
    Survey(Plan, Range<u64>),
    /// Copy these records of a block to the segment with this number.
    Copy(u64, Block, Vec<u32>),
    /// Seal, sync and leave the segment that was copied to.
    Close(u64),
    /// Replace the manifest.
    Manifest(Vec<u8>),
    /// A step of a checkpoint.
    Checkpoint(Piece),
    /// Remove the checkpoint.
    Forget,
    /// Give back the end of a segment that is appended to.
    Shorten(u64, u64),
    /// Read what the headers of these records say.
    Look(Vec<Place>),
    /// Copy files elsewhere.
    Backup(Backup),
}

impl Upkeep {
    /// Bytes of memory that it takes while it waits.
    pub fn heap_bytes(&self) -> usize {
        match self {
            Upkeep::Copy(_, block, live) => block.heap_bytes() + live.capacity() * 4,
            Upkeep::Look(places) => places.capacity() * size_of::<Place>(),
            Upkeep::Manifest(bytes) | Upkeep::Checkpoint(Piece::Append(bytes)) => bytes.capacity(),
            _ => 0,
        }
    }
}

/// A step of a checkpoint.
#[derive(Debug)]
pub enum Piece {
    /// Begin it.
    Begin,
    /// Add bytes.
    Append(Vec<u8>),
    /// Put it in place, under this number.
    Commit(u64),
    /// Give it up.
    Abandon,
}

/// Files to be copied to a directory, with the length of those that are still written to.
#[derive(Debug)]
pub struct Backup {
    /// Where to.
    pub directory: PathBuf,
    /// Names, each with a length if it must be copied and not linked.
    pub files: VecDeque<(String, Option<u64>)>,
}

/// What came of a task.
#[derive(Debug)]
pub enum Done {
    /// Records of a segment.
    Surveyed(Block),
    /// What was copied is durable.
    Closed(Closed),
    /// Whether the manifest was replaced; if not, the old or the new one stands.
    Manifest(bool),
    /// A checkpoint of this number is in place.
    Checkpoint(u64),
    /// A checkpoint could not be written; whether for want of room.
    NoCheckpoint(bool),
    /// Whether the checkpoint is gone.
    Forgotten(bool),
    /// Whether the end of a segment was given back.
    Shortened(bool),
    /// What headers say; `None` if a segment could not be opened, which says nothing.
    Looked(Option<Vec<Seen>>),
    /// A segment for copies could not be created.
    NotCreated(u64),
    /// A segment was removed, or stays as a leftover.
    Removed(u64),
    /// A backup ended.
    Backup(Result<(), String>),
}

/// A part of a segment.
#[derive(Debug)]
pub struct Block {
    /// The segment.
    pub plan: Plan,
    /// Where in it the bytes begin.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The records in them.
    pub records: Vec<Found>,
    /// Ranges of the segment that are no records.
    pub bad: Vec<Range<u64>>,
    /// Where to go on.
    pub next: u64,
    /// False if the segment could not be opened: nothing is known of it then.
    pub is_read: bool,
}

impl Block {
    fn begun(plan: Plan, start: u64) -> Block {
        let (bytes, records, bad) = (Vec::new(), Vec::new(), Vec::new());
        Block { plan, start, bytes, records, bad, next: start, is_read: true }
    }

    /// Bytes of memory that it takes.
    pub fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<Found>()
    }
}

/// A sound record in a block.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Where in the block it begins.
    pub at: u32,
    /// Its length in bytes.
    pub length: u32,
    /// What it is.
    pub kind: Kind,
    /// Its partition.
    pub partition: u16,
    /// Its fingerprint, if it has one.
    pub fingerprint: u32,
    /// Its sequence.
    pub sequence: Sequence,
    /// Whether it holds a sibling that expires.
    pub expires: bool,
}

/// Where a record lies whose header is wanted.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Who asks, in words of the one who does: several may ask for one record.
    pub asker: u32,
    /// The segment's number.
    pub number: u64,
    /// Where in it.
    pub offset: u64,
    /// As its slot has it.
    pub partition: u16,
    /// As its slot has it.
    pub fingerprint: u32,
}

/// A key's own record, by its header, which nobody has checked.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// See [`Place`].
    pub asker: u32,
    /// See [`Place`].
    pub partition: u16,
    /// See [`Place`].
    pub fingerprint: u32,
    /// Its keyspace.
    pub keyspace: u16,
    /// Its item hash.
    pub item_hash: u64,
}

/// A segment of copies that is durable.
#[derive(Debug)]
pub struct Closed {
    /// Its number.
    pub number: u64,
    /// Where its records end.
    pub end: u64,
    /// The highest sequence in it.
    pub newest: Sequence,
    /// What lies in it.
    pub moved: MovedList,
}

/// Records that were copied, in pieces: a list of all of them would be some megabytes to be given back at
/// once.
pub type MovedList = VecDeque<Vec<Moved>>;
/// Entries in a piece.
const MOVED_PIECE: usize = 2_048;

/// A record that was copied.
#[derive(Clone, Copy, Debug)]
pub struct Moved {
    /// Where it lay.
    pub from: Location,
    /// Where its copy lies.
    pub to: Location,
    /// Its fingerprint.
    pub fingerprint: u32,
    /// Its length in bytes.
    pub length: u32,
    /// Its partition.
    pub partition: u16,
    /// What it is.
    pub kind: Kind,
    /// Whether it holds a sibling that expires.
    pub expires: bool,
}

/// How a fingerprint follows from a key.
#[derive(Clone, Debug)]
pub struct Fingerprints {
    /// The cluster's hash key; without it, a record is taken to be where it says, and fingerprints mean
    /// nothing.
    pub hash_key: Option<Key>,
    /// Partitions.
    pub partitions: u32,
    /// As [`Index::shift`](super::index::Index::shift).
    pub shift: u32,
}

impl Fingerprints {
    /// Partition and fingerprint of a record; `None` if it is not where it says to be.
    pub fn of(&self, bytes: &[u8], decoded: &record::Decoded) -> Option<(u16, u32)> {
        let position = match (decoded.kind, &self.hash_key) {
            (Kind::Put | Kind::Removal, Some(hash_key)) => {
                let (keyspace, key) = record::stored_key(&bytes[decoded.key.clone()])?;
                ring::position(hash_key, keyspace, key)
            }
            (Kind::Chunk, Some(_)) => u128::from(decoded.item_hash) << 64,
            _ => {
                let partition = u16::try_from(decoded.partition).ok()?;
                return (u32::from(partition) < self.partitions).then_some((partition, 0));
            }
        };
        let partition = ring::partition(position, self.partitions);
        (u32::from(partition) == decoded.partition).then(|| (partition, self.fingerprint(position)))
    }

    /// The fingerprint of a position.
    pub fn fingerprint(&self, position: u128) -> u32 {
        super::index::fingerprint(position, self.shift)
    }
}

/// The worker's hands for this.
pub struct Crew<D: Disk> {
    disk: Arc<D>,
    fingerprints: Fingerprints,
    /// The segment that is read, opened anew: those that were left hold no descriptor.
    reading: Option<(u64, D::File)>,
    output: Option<Output<D::File>>,
    draft: Option<D::Draft>,
    /// Bytes of the draft that were not handed to the disk yet.
    draft_pending: usize,
    spare: Vec<u8>,
}

struct Output<F> {
    segment: Arc<Segment<F>>,
    at: u64,
    counts: BTreeMap<u16, u64>,
    newest: Sequence,
    moved: MovedList,
}

impl<D: Disk> Crew<D> {
    /// Nothing under way.
    pub fn new(disk: Arc<D>, fingerprints: Fingerprints) -> Crew<D> {
        Crew {
            disk,
            fingerprints,
            reading: None,
            output: None,
            draft: None,
            draft_pending: 0,
            spare: Vec::new(),
        }
    }

    /// Reads one block.
    pub fn survey(&mut self, plan: Plan, range: &Range<u64>) -> Block {
        let mut length = SURVEY_LENGTH.min(range.end - range.start);
        loop {
            let Some(bytes) = self.read(plan.number, range.start, length as usize) else {
                return Block { is_read: false, ..Block::begun(plan, range.start) };
            };
            let is_last = range.start + length == range.end;
            let mut block = self.look(plan, range.start, bytes, !is_last);
            // Behind its seal a segment may have room that was never given back.
            if block.records.last().is_some_and(|last| last.kind == Kind::Seal) {
                block.next = range.end;
            }
            // A segment of which nothing holds has no records to look at.
            if block.next > range.start || is_last {
                return block;
            }
            // One record is longer than that.
            length = (length * 4).min(range.end - range.start);
        }
    }

    /// Bytes of a segment. What cannot be read, or is not there, is filled with bytes that are no record;
    /// `None` if the file cannot be opened now, which says nothing about what is in it.
    fn read(&mut self, number: u64, from: u64, length: usize) -> Option<Vec<u8>> {
        let mut is_gone = false;
        if self.reading.as_ref().is_none_or(|(open, _)| *open != number) {
            self.reading = None;
            match self.disk.open(&file_path(number)) {
                Ok(file) => self.reading = Some((number, file)),
                Err(error) => is_gone = error.kind() == io::ErrorKind::NotFound,
            }
        }
        let mut bytes = core::mem::take(&mut self.spare);
        bytes.clear();
        bytes.resize(length, UNREADABLE);
        match &self.reading {
            Some((_, file)) => read_as_possible(file, from, &mut bytes),
            None if is_gone => {}
            None => return None,
        }
        Some(bytes)
    }

    /// Reads the headers of records. What is no key's record, or cannot be read, is not among what is
    /// returned.
    pub fn see(&mut self, mut places: Vec<Place>) -> Option<Vec<Seen>> {
        places.sort_unstable_by_key(|place| (place.number, place.offset));
        let mut seen = Vec::with_capacity(places.len());
        for Place { asker, number, offset, partition, fingerprint } in places {
            let is_open = self.reading.as_ref().is_some_and(|(open, _)| *open == number);
            if !is_open {
                self.reading = Some((number, self.disk.open(&file_path(number)).ok()?));
            }
            let (_, file) = self.reading.as_ref()?;
            let mut bytes = [UNREADABLE; record::BEGINNING_LENGTH];
            read_as_possible(file, offset, &mut bytes);
            if let Some((keyspace, item_hash)) = record::glance(&bytes) {
                seen.push(Seen { asker, partition, fingerprint, keyspace, item_hash });
            }
        }
        Some(seen)
    }

    fn look(&self, plan: Plan, start: u64, bytes: Vec<u8>, goes_on: bool) -> Block {
        let mut block = Block::begun(plan, start);
        let mut walk = Walk::new(&bytes, &plan, start, goes_on);
        let end = loop {
            let bad = match walk.step() {
                Step::Record(at, decoded) => match self.fingerprints.of(&bytes[at..], &decoded) {
                    Some((partition, fingerprint)) => {
                        block.records.push(Found {
                            at: at as u32,
                            length: decoded.length as u32,
                            kind: decoded.kind,
                            partition,
                            fingerprint,
                            sequence: decoded.sequence,
                            expires: decoded.expires_ms.is_some(),
                        });
                        if decoded.kind == Kind::Seal {
                            break at + decoded.length;
                        }
                        continue;
                    }
                    None => walk.refuse(at),
                },
                Step::Unknown(at, _) => walk.refuse(at),
                Step::Bad(range) => range,
                // The records of a segment do not end in zeros before its end.
                Step::Zeros(at) => at..bytes.len(),
                Step::End(at) => break at,
            };
            let is_zeros_at_end = bad.end == bytes.len() && !goes_on && bad.start < bytes.len();
            block.bad.push(start + bad.start as u64..start + bad.end as u64);
            if is_zeros_at_end {
                break bytes.len();
            }
        };
        block.next = start + end as u64;
        block.bytes = bytes;
        block
    }

    /// Copies records of a block behind those that were copied before.
    ///
    /// # Errors
    /// The write failed.
    pub fn copy(
        &mut self,
        segment: io::Result<Arc<Segment<D::File>>>,
        block: Block,
        keep: &[u32],
    ) -> io::Result<()> {
        let segment = segment?;
        let output = self.output.get_or_insert_with(|| Output {
            segment,
            at: HEADER_LENGTH as u64,
            counts: BTreeMap::new(),
            newest: Sequence(0),
            moved: VecDeque::new(),
        });
        let plan = output.segment.plan;
        let mut bytes = Vec::new();
        for &number in keep {
            let found = &block.records[number as usize];
            let (at, length) = (found.at as usize, found.length as usize);
            let offset = output.at + bytes.len() as u64;
            record::encode_moved(&mut bytes, plan.seed_at(offset), &block.bytes[at..at + length]);
            *output.counts.entry(found.partition).or_default() += length as u64;
            output.newest = output.newest.max(found.sequence);
            if output.moved.back().is_none_or(|piece| piece.len() == MOVED_PIECE) {
                output.moved.push_back(Vec::with_capacity(MOVED_PIECE));
            }
            let piece = output.moved.back_mut().expect("there is one now");
            piece.push(Moved {
                from: block.plan.location(block.start + at as u64),
                to: plan.location(offset),
                fingerprint: found.fingerprint,
                length: found.length,
                partition: found.partition,
                kind: found.kind,
                expires: found.expires,
            });
        }
        output.segment.file.write_at(output.at, &bytes)?;
        output.at += bytes.len() as u64;
        self.spare = block.bytes;
        Ok(())
    }

    /// Ends the segment that was copied to: its seal is written and everything in it synced.
    ///
    /// # Errors
    /// The write or the sync failed.
    pub fn close(&mut self) -> io::Result<Closed> {
        let Output { segment, at, counts, newest, moved } =
            self.output.take().ok_or_else(|| io::Error::other("nothing was copied"))?;
        let counts: Vec<(u16, u64)> = counts.into_iter().collect();
        let mut bytes = Vec::new();
        record::encode_seal(&mut bytes, segment.plan.seed_at(at), newest, &counts);
        segment.file.write_at(at, &bytes)?;
        let end = at + bytes.len() as u64;
        if !planted!("manifest_order") {
            segment.file.sync()?;
        }
        self.trim(&segment.plan, end);
        segment.file.settle();
        Ok(Closed { number: segment.plan.number, end, newest, moved })
    }

    /// Gives back the room behind the end of a segment that was left.
    pub fn trim(&self, plan: &Plan, end: u64) {
        if end.next_multiple_of(SIZE_STEP) < plan.size {
            // If that fails it is only larger.
            let _ = self.disk.shorten(&plan.name(), end);
        }
    }

    /// One step of a checkpoint; what came of it, if it ended.
    pub fn checkpoint(&mut self, piece: Piece) -> Option<Done> {
        let result = match piece {
            Piece::Begin => self.disk.draft(CHECKPOINT).map(|draft| {
                self.draft = Some(draft);
                self.draft_pending = 0;
                None
            }),
            Piece::Append(bytes) => self.append(&bytes).map(|()| None),
            Piece::Commit(id) => match self.draft.take() {
                Some(draft) => draft.commit().map(|()| Some(Done::Checkpoint(id))),
                None => Ok(None),
            },
            Piece::Abandon => {
                self.draft = None;
                Ok(None)
            }
        };
        result.unwrap_or_else(|error| {
            self.draft = None;
            Some(Done::NoCheckpoint(is_full(&error)))
        })
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        // Without a draft it has failed already, and that was told.
        let Some(draft) = &mut self.draft else { return Ok(()) };
        draft.append(bytes)?;
        self.draft_pending += bytes.len();
        if self.draft_pending >= DRAFT_SYNC_LENGTH {
            self.draft_pending = 0;
            draft.sync()?;
        }
        Ok(())
    }

    /// Copies the next file of a backup; what came of it, if it ended.
    pub fn back_up(&self, backup: &mut Backup) -> Option<Result<(), String>> {
        let Some((name, length)) = backup.files.pop_front() else {
            let synced = self.disk.sync_elsewhere(&backup.directory);
            return Some(synced.map_err(|error| format!("{}: {error}", backup.directory.display())));
        };
        let copied = self.disk.copy_elsewhere(&name, &backup.directory, length);
        copied.err().map(|error| Err(format!("{}: {error}", backup.directory.join(name).display())))
    }

    /// Replaces the manifest.
    pub fn write_manifest(&self, bytes: &[u8]) -> bool {
        self.disk.replace(MANIFEST, bytes).is_ok()
    }

    /// Removes the checkpoint.
    pub fn forget_checkpoint(&mut self) -> bool {
        self.draft = None;
        self.disk.remove(CHECKPOINT).is_ok()
    }

    /// Bytes of memory that the worker holds between tasks.
    pub fn heap_bytes(&self) -> usize {
        let moved = self.output.iter().flat_map(|output| &output.moved).map(Vec::capacity).sum::<usize>();
        self.spare.capacity() + moved * size_of::<Moved>()
    }

    /// Closes the segment that is read, as it is going to be removed.
    pub fn let_go(&mut self, number: u64) {
        self.reading.take_if(|(open, _)| *open == number);
    }
}

/// Whether an error says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes read by one system call.
const READ_LENGTH: usize = 1 << 20;
/// Granularity in which a block that cannot be read is given up.
const SECTOR_LENGTH: usize = 4 << 10;
/// What stands in for bytes that cannot be read: no record, and not the end of one.
const UNREADABLE: u8 = 0xFF;

/// Fills `into` from a file. What cannot be read, or is not there, becomes bytes that are no record.
pub fn read_as_possible<F: File>(file: &F, from: u64, into: &mut [u8]) {
    for (number, block) in into.chunks_mut(READ_LENGTH).enumerate() {
        let offset = from + (number * READ_LENGTH) as u64;
        if matches!(file.read_at(offset, block), Ok(count) if count == block.len()) {
            continue;
        }
        for (number, sector) in block.chunks_mut(SECTOR_LENGTH).enumerate() {
            let offset = offset + (number * SECTOR_LENGTH) as u64;
            match file.read_at(offset, sector) {
                Ok(count) => sector[count..].fill(UNREADABLE),
                Err(_) => sector.fill(UNREADABLE),
            }
        }
    }
}
