//! The log, read back: every record of every segment, applied by sequence.
//!
//! The order in which segments are read does not matter: of two records of one key the one with the
//! higher sequence stands. What does matter is how far the log had been *promised*, because it decides
//! what a record that does not hold means:
//!
//! * past the promise it is a **tail**: the stop tore it, nobody was told that it is durable. It is cut,
//!   with everything behind it, and appending goes on in a new segment.
//! * below the promise it is **damage**. Nothing is cut, what is sound behind it is used, and the caller
//!   must treat whatever is not found as unknown (trap T4).
//!
//! The promise is the furthest of: the sync marks in the log (each says how far it was durable when the
//! mark was written), the clean marker, and the fact that a segment was begun, since the one before it is
//! synced first (trap T19).
//!
//! Reading goes by system calls, so that a bad sector is an error and not a signal. All segments are read
//! before anything on the disk is changed.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use super::directory::{Contents, OpenError};
use super::disk::{Disk, File};
use super::index::Index;
use super::record::{self, ALIGNMENT, Decoded, Flaw, Header, Kind, Mark};
use super::segment::{
    HEADER_LENGTH, HeaderFlaw, Location, MAGIC, Plan, SIZE_MAX, Segment, SlotTable, VERSION, file_path,
};
use crate::proto::keys::Key;
use crate::proto::ring;
use crate::proto::store::Sequence;

/// Bytes read by one system call.
const READ_LENGTH: usize = 1 << 20;
/// Granularity in which a block that cannot be read is given up.
const SECTOR_LENGTH: usize = 4 << 10;
/// What stands in for bytes that cannot be read: no record, and not the end of one.
const UNREADABLE: u8 = 0xFF;
/// Behind a damaged range, sound records are looked for until so many times the segment's length has been
/// checksummed: values chosen to look like headers must not make that search quadratic.
const SEARCH_EFFORT_MAX: usize = 16;

/// A store's log as it was found and mended.
pub struct Recovered<F> {
    /// Segments that hold records, by rising number.
    pub segments: Vec<RecoveredSegment<F>>,
    /// An unused segment that the log can go on in.
    pub spare: Option<Arc<Segment<F>>>,
    /// Owners are indices into `segments`.
    pub slots: SlotTable,
    /// Where each key lies.
    pub index: Index,
    /// The highest sequence found.
    pub last: Sequence,
    /// The clean marker held: nothing was lost or torn.
    pub is_clean: bool,
    /// Something that was promised is lost or cannot be trusted.
    pub is_damaged: bool,
    /// Whether the last of `segments` can be appended to; how many bytes each partition has there.
    pub appendable: Option<Vec<u64>>,
    /// The highest number of any segment found, used or not.
    pub highest: u64,
}

/// A segment that holds records.
pub struct RecoveredSegment<F> {
    /// The segment.
    pub segment: Arc<Segment<F>>,
    /// Where its records end.
    pub end: u64,
    /// Bytes of records that the index points at.
    pub live: u64,
}

/// Reads the log back, and cuts the tail that a stop tore.
///
/// # Errors
/// Segments that are foreign or of a newer version, before anything is changed; or the disk fails.
pub fn recover<D: Disk>(
    disk: &D,
    contents: &Contents,
    hash_key: &Key,
    size: u64,
) -> Result<Recovered<D::File>, OpenError> {
    let mut reader = Reader {
        disk,
        contents,
        hash_key,
        index: Index::new(contents.format.partitions),
        slots: SlotTable::default(),
        scans: Vec::new(),
        unused: Vec::new(),
        leftovers: Vec::new(),
        promised: BTreeMap::new(),
        last: Sequence(0),
        counts: Vec::new(),
    };
    for &number in &contents.segments {
        reader.read_segment(number)?;
    }
    reader.finish(size)
}

struct Reader<'a, D: Disk> {
    disk: &'a D,
    contents: &'a Contents,
    hash_key: &'a Key,
    index: Index,
    slots: SlotTable,
    /// Segments with something behind their header, by rising number.
    scans: Vec<Scan<D::File>>,
    /// Segments with nothing behind a good header.
    unused: Vec<Arc<Segment<D::File>>>,
    /// Numbers of files that a creation left behind.
    leftovers: Vec<u64>,
    /// Per segment, how far it was promised by marks.
    promised: BTreeMap<u64, u64>,
    last: Sequence,
    /// Bytes per partition in the last of `scans`.
    counts: Vec<u64>,
}

/// What was found in one segment.
struct Scan<F> {
    segment: Arc<Segment<F>>,
    header_damaged: bool,
    /// Where the last sound record ends.
    reach: u64,
    is_sealed: bool,
    /// Whether the file goes on behind `reach`, with zeros.
    has_zeros_behind: bool,
    /// Ranges that are no records, in order.
    bad: Vec<core::ops::Range<u64>>,
    /// Sound puts behind the first bad range: whether they count is decided at the end.
    held: Vec<Put>,
    live: u64,
}

#[derive(Clone, Copy)]
struct Put {
    partition: u16,
    fingerprint: u32,
    location: Location,
    offset: u64,
    length: u64,
    sequence: Sequence,
}

impl<D: Disk> Reader<'_, D> {
    fn error(&self, number: u64, error: io::Error) -> OpenError {
        OpenError::io(self.disk, &file_path(number), error)
    }

    fn foreign(&self, number: u64, problem: &str) -> OpenError {
        OpenError::Foreign { path: self.disk.path().join(file_path(number)), problem: problem.to_owned() }
    }

    /// Reads one segment: its header, then its records.
    fn read_segment(&mut self, number: u64) -> Result<(), OpenError> {
        let file = self.disk.open(&file_path(number)).map_err(|error| self.error(number, error))?;
        if file.size() > SIZE_MAX {
            return Err(self.foreign(number, "it is larger than any segment"));
        }
        let bytes = read_whole(&file);
        let (head, rest) = bytes.split_at(bytes.len().min(HEADER_LENGTH));
        let is_empty = first_nonzero(rest).is_none();
        let Some(head) = head.first_chunk() else {
            self.leftovers.push(number);
            return Ok(());
        };
        let (mut plan, flaw) = Plan::read(head);
        match flaw {
            None if plan.directory != self.contents.format.directory => {
                return Err(self.foreign(number, "it belongs to another data directory"));
            }
            None if plan.number != number => return Err(self.foreign(number, "it was renamed")),
            None => {}
            Some(HeaderFlaw::Newer(found)) => {
                let path = self.disk.path().join(file_path(number));
                return Err(OpenError::Newer { path, found, known: VERSION });
            }
            // A creation that was stopped leaves any part of the header, and nothing behind it.
            Some(_) if is_empty && head.iter().zip(MAGIC).all(|(&byte, ours)| byte == 0 || byte == ours) => {
                self.leftovers.push(number);
                return Ok(());
            }
            Some(HeaderFlaw::Foreign) => return Err(self.foreign(number, "it is no segment of a log")),
            Some(HeaderFlaw::Damaged) => {
                // Its records tell whether the random id is still good.
                plan.number = number;
                plan.directory = self.contents.format.directory;
                plan.slot = u32::MAX;
            }
        }
        plan.size = file.size();
        let owner = u32::try_from(self.scans.len()).expect("a directory holds fewer segments");
        if is_empty && flaw.is_none() {
            self.unused.push(Arc::new(Segment { plan, file }));
            return Ok(());
        }
        if !self.slots.claim(plan.slot, plan.slots(), owner) {
            plan.slot = self.slots.allocate(plan.slots(), owner).ok_or_else(|| {
                let problem = "the log has more segments than it can address".to_owned();
                OpenError::Corrupt { path: self.disk.path().join(file_path(number)), problem }
            })?;
        }
        self.scans.push(Scan {
            segment: Arc::new(Segment { plan, file }),
            header_damaged: flaw.is_some(),
            reach: HEADER_LENGTH as u64,
            is_sealed: false,
            has_zeros_behind: false,
            bad: Vec::new(),
            held: Vec::new(),
            live: 0,
        });
        self.counts.clear();
        self.counts.resize(self.contents.format.partitions as usize, 0);
        self.read_records(&bytes)
    }

    /// Reads the records of the segment scanned last.
    fn read_records(&mut self, bytes: &[u8]) -> Result<(), OpenError> {
        let plan = self.scan().segment.plan;
        let mut effort = bytes.len().saturating_mul(SEARCH_EFFORT_MAX);
        let mut at = HEADER_LENGTH;
        while at < bytes.len() {
            let rest = &bytes[at..];
            let Some(content) = first_nonzero(rest) else {
                self.scan().has_zeros_behind = true;
                break;
            };
            // A record's checksum and kind are in its first bytes: zeros there are no record.
            let decoded =
                if content < ALIGNMENT { record::decode(rest, plan.seed) } else { Err(Flaw::Length) };
            match decoded.and_then(|decoded| self.take(rest, at as u64, &plan, decoded)) {
                Ok(length) => at += length,
                Err(Flaw::Unknown(kind)) => {
                    let path = self.disk.path().join(file_path(plan.number));
                    let problem =
                        format!("the record at {at} is sound, but {kind} is no kind or flag known here");
                    return Err(OpenError::Corrupt { path, problem });
                }
                Err(_) => {
                    let next =
                        search(bytes, at + ALIGNMENT.max(content & !(ALIGNMENT - 1)), plan.seed, &mut effort);
                    self.scan().bad.push(at as u64..next as u64);
                    at = next;
                    continue;
                }
            }
            let scan = self.scan();
            scan.reach = at as u64;
            if scan.is_sealed {
                break;
            }
        }
        Ok(())
    }

    fn scan(&mut self) -> &mut Scan<D::File> {
        self.scans.last_mut().expect("a scan was begun")
    }

    /// Takes a sound record; returns its length.
    fn take(&mut self, rest: &[u8], offset: u64, plan: &Plan, decoded: Decoded) -> Result<usize, Flaw> {
        let value = &rest[decoded.value.clone()];
        match decoded.kind {
            Kind::Put => {
                let stored = &rest[decoded.key.clone()];
                let (keyspace, key) = record::stored_key(stored).ok_or(Flaw::Content)?;
                let position = ring::position(self.hash_key, keyspace, key);
                let partition = ring::partition(position, self.contents.format.partitions);
                if u32::from(partition) != decoded.partition {
                    return Err(Flaw::Content);
                }
                let put = Put {
                    partition,
                    fingerprint: self.index.fingerprint(position),
                    location: plan.location(offset),
                    offset,
                    length: decoded.length as u64,
                    sequence: decoded.sequence,
                };
                self.counts[usize::from(partition)] += put.length;
                if self.scan().bad.is_empty() {
                    self.apply(&put, stored);
                } else {
                    self.scan().held.push(put);
                }
            }
            Kind::SyncMark => {
                let mark = record::decode_mark(value).ok_or(Flaw::Content)?;
                self.promise(&mark);
            }
            Kind::Seal => self.scan().is_sealed = true,
        }
        Ok(decoded.length)
    }

    fn promise(&mut self, mark: &Mark) {
        let promised = self.promised.entry(mark.number).or_default();
        *promised = mark.offset.max(*promised);
    }

    /// Points the index at a record with the stored key `key`, unless it has a newer one of that key.
    fn apply(&mut self, put: &Put, key: &[u8]) {
        self.last = self.last.max(put.sequence);
        let found = self.index.find(put.partition, put.fingerprint, |at| self.has_key(at, key));
        let Some(found) = found else {
            self.index.insert(put.partition, put.fingerprint, put.location);
            self.add_live(put.location, put.length, true);
            return;
        };
        let older = self.header_at(found.location).expect("its key was just read");
        if older.sequence < put.sequence {
            self.index.replace(&found, put.location);
            self.add_live(put.location, put.length, true);
            self.add_live(found.location, older.length() as u64, false);
        }
    }

    fn add_live(&mut self, location: Location, length: u64, is_live: bool) {
        let owner = self.slots.owner(location.slot()).expect("an applied record lies in a segment");
        let live = &mut self.scans[owner as usize].live;
        *live = if is_live { *live + length } else { live.saturating_sub(length) };
    }

    fn segment_of(&self, location: Location) -> Option<&Segment<D::File>> {
        let owner = self.slots.owner(location.slot())?;
        Some(&self.scans[owner as usize].segment)
    }

    /// The header of a record that was found sound.
    fn header_at(&self, location: Location) -> Option<Header> {
        let Segment { plan, file } = self.segment_of(location)?;
        Header::read(&file.view(location.offset(plan.slot), record::HEADER_LENGTH)?).ok()
    }

    /// The stored key of a record that was found sound.
    fn key_at(&self, location: Location) -> Option<Cow<'_, [u8]>> {
        let key = self.header_at(location)?.key();
        let Segment { plan, file } = self.segment_of(location)?;
        file.view(location.offset(plan.slot) + key.start as u64, key.len())
    }

    fn has_key(&self, location: Location, key: &[u8]) -> bool {
        self.key_at(location).is_some_and(|other| *other == *key)
    }

    /// Decides what is tail and what is damage, mends the disk, and hands everything over.
    fn finish(mut self, size: u64) -> Result<Recovered<D::File>, OpenError> {
        let clean = self.contents.clean.filter(|mark| self.is_the_end(mark));
        if let Some(mark) = &self.contents.clean {
            self.promise(&{ *mark });
        }
        let mut is_damaged = self.is_promise_broken();
        let mut cut = None;
        let count = self.scans.len();
        for at in 0..count {
            let scan = &self.scans[at];
            let promised = self.promised.get(&scan.segment.plan.number).copied().unwrap_or(0);
            let is_last = at + 1 == count;
            let tail =
                scan.bad.iter().find(|range| is_last && range.start >= promised).map(|range| range.start);
            let damage = scan.bad.first().is_some_and(|range| Some(range.start) != tail);
            // A segment that was left ends with its seal, or where a tail was cut: never in zeros.
            let was_left = !is_last && scan.has_zeros_behind && !scan.is_sealed;
            is_damaged |= damage || was_left || scan.header_damaged;
            cut = tail;
            let held = core::mem::take(&mut self.scans[at].held);
            for put in held.iter().filter(|put| tail.is_none_or(|tail| put.offset < tail)) {
                if let Some(key) = self.key_at(put.location).map(Cow::into_owned) {
                    self.apply(put, &key);
                }
            }
        }
        let is_known = clean.is_some() && self.contents.identity.is_some();
        let is_clean = !is_damaged && (is_known || self.is_new());
        let appendable = self.mend(cut, is_clean)?;
        let spare = self.choose_spare(size)?;
        let left = self.scans.len() - usize::from(appendable.is_some());
        self.scans[..left].iter().for_each(|scan| scan.segment.file.settle());
        let highest = self.contents.segments.last().copied().unwrap_or(0);
        let clean_sequence = clean.map_or(Sequence(0), |mark| mark.sequence);
        let mut slots = SlotTable::default();
        core::mem::swap(&mut slots, &mut self.slots);
        let hand_over = |scan: Scan<D::File>| RecoveredSegment {
            segment: scan.segment,
            end: scan.reach,
            live: scan.live,
        };
        Ok(Recovered {
            segments: self.scans.into_iter().map(hand_over).collect(),
            spare,
            slots,
            index: self.index,
            last: self.last.max(clean_sequence),
            is_clean,
            is_damaged,
            appendable,
            highest,
        })
    }

    fn is_new(&self) -> bool {
        self.contents.identity.is_none() && self.contents.segments.is_empty()
    }

    /// Whether the clean marker speaks of this log: nothing sound lies behind it.
    fn is_the_end(&self, mark: &Mark) -> bool {
        let behind = |scan: &Scan<D::File>| {
            scan.segment.plan.number > mark.number
                || (scan.segment.plan.number == mark.number && scan.reach > mark.offset)
        };
        !self.scans.iter().any(behind)
    }

    /// Whether a promised part of the log is not there at all.
    fn is_promise_broken(&self) -> bool {
        self.promised.iter().any(|(&number, &offset)| {
            let scan = self.scans.iter().find(|scan| scan.segment.plan.number == number);
            offset > HEADER_LENGTH as u64 && scan.is_none_or(|scan| scan.reach.max(scan.bad_end()) < offset)
        })
    }

    /// Cuts the tail of the last segment, or makes what was recovered from it durable. Returns the
    /// partition counts of the segment if it can be appended to.
    fn mend(&mut self, cut: Option<u64>, is_clean: bool) -> Result<Option<Vec<u64>>, OpenError> {
        let Some(scan) = self.scans.last() else { return Ok(None) };
        let plan = scan.segment.plan;
        if scan.is_sealed && cut.is_none() {
            self.sync_last()?;
            return Ok(None);
        }
        if is_clean && scan.bad.is_empty() && scan.has_zeros_behind {
            return Ok(Some(core::mem::take(&mut self.counts)));
        }
        let end = cut.unwrap_or(scan.reach.max(scan.bad_end()));
        self.sync_last()?;
        let Some(scan) = self.scans.pop() else { return Ok(None) };
        let Scan { segment, live, .. } = scan;
        drop(segment);
        let name = file_path(plan.number);
        if end <= HEADER_LENGTH as u64 {
            self.slots.release(plan.slot, plan.slots());
            self.disk.remove(&name).map_err(|error| self.error(plan.number, error))?;
            return Ok(None);
        }
        self.disk.shorten(&name, end).map_err(|error| self.error(plan.number, error))?;
        let file = self.disk.open(&name).map_err(|error| self.error(plan.number, error))?;
        self.scans.push(Scan {
            segment: Arc::new(Segment { plan, file }),
            header_damaged: false,
            reach: end,
            is_sealed: false,
            has_zeros_behind: false,
            bad: Vec::new(),
            held: Vec::new(),
            live,
        });
        Ok(None)
    }

    /// A killed process leaves records that only the page cache has: they count from now on, so they are
    /// made durable first.
    fn sync_last(&self) -> Result<(), OpenError> {
        let Some(scan) = self.scans.last() else { return Ok(()) };
        scan.segment.file.sync().map_err(|error| self.error(scan.segment.plan.number, error))
    }

    /// Keeps the unused segment that the log can go on in, and removes the others.
    fn choose_spare(&mut self, size: u64) -> Result<Option<Arc<Segment<D::File>>>, OpenError> {
        let last_used = self.scans.last().map_or(0, |scan| scan.segment.plan.number);
        let owner = u32::try_from(self.scans.len()).expect("a directory holds fewer segments");
        let mut spare = None;
        for segment in core::mem::take(&mut self.unused) {
            let plan = segment.plan;
            let fits = plan.number > last_used && plan.size == size;
            if spare.is_none() && fits && self.slots.claim(plan.slot, plan.slots(), owner) {
                spare = Some(segment);
            } else {
                self.leftovers.push(plan.number);
            }
        }
        for &number in &self.leftovers {
            self.disk.remove(&file_path(number)).map_err(|error| self.error(number, error))?;
        }
        Ok(spare)
    }
}

impl<F> Scan<F> {
    fn bad_end(&self) -> u64 {
        self.bad.last().map_or(0, |range| range.end)
    }
}

/// Where the zeros at the start of `bytes` end; `None` if there is nothing else. Most of a segment that
/// was just begun is zeros, so it is done in steps.
fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    const STEP: usize = 512;
    let blocks = bytes.chunks(STEP).position(|block| block != &[0; STEP][..block.len()])?;
    let within = bytes[blocks * STEP..].iter().position(|&byte| byte != 0)?;
    Some(blocks * STEP + within)
}

/// A whole file. What cannot be read is filled with bytes that are no record.
fn read_whole<F: File>(file: &F) -> Vec<u8> {
    let length = usize::try_from(file.size()).expect("a segment fits into memory");
    let mut bytes = vec![0; length];
    let mut at = 0;
    while at < length {
        let block = &mut bytes[at..length.min(at + READ_LENGTH)];
        match file.read_at(at as u64, block) {
            Ok(count) if count == block.len() => at += count,
            _ => {
                for (number, sector) in block.chunks_mut(SECTOR_LENGTH).enumerate() {
                    let offset = at + number * SECTOR_LENGTH;
                    if !matches!(file.read_at(offset as u64, sector), Ok(count) if count == sector.len()) {
                        sector.fill(UNREADABLE);
                    }
                }
                at += block.len();
            }
        }
    }
    bytes
}

/// Where the next sound record begins at or behind `from`, or the end of the bytes.
fn search(bytes: &[u8], from: usize, seed: u32, effort: &mut usize) -> usize {
    let mut at = from;
    while at + record::HEADER_LENGTH <= bytes.len() {
        let rest = &bytes[at..];
        if let Ok(header) = Header::read(rest)
            && header.is_plausible()
            && header.length() <= rest.len()
        {
            let Some(left) = effort.checked_sub(header.length()) else { break };
            *effort = left;
            if record::decode(rest, seed).is_ok() {
                return at;
            }
        }
        at += ALIGNMENT;
    }
    bytes.len()
}
