//! The log, read back: the checkpoint and what was appended since, or every record of every segment.
//!
//! The order in which segments are read does not matter: of two records of one key the one with the
//! higher sequence stands, and a removal stands for its key like a record until everything was read. What
//! does matter is how far the log had been *promised*, because it decides what a record that does not hold
//! means:
//!
//! * past the promise it is a **tail**: the stop tore it, nobody was told that it is durable. It is cut,
//!   with everything behind it, and appending goes on in a new segment.
//! * below the promise it is **damage**. Nothing is cut, what is sound behind it is used, the range is
//!   noted in the manifest, and whatever is not found from now on is unknown (trap T4).
//!
//! The promise is the furthest of: the sync marks in the log (each says how far it was durable when the
//! mark was written), the clean marker, the start of a checkpoint, and the fact that a segment was begun,
//! since the one before it is synced first (trap T19). A compacted segment is promised as a whole by the manifest that names it; one
//! that no manifest names was not finished, and everything in it lies elsewhere too.
//!
//! With a checkpoint, segments that were left before it are not read, only that they are there. Reading goes
//! by system calls, so that a bad sector is an error and not a signal. All segments are read before
//! anything on the disk is changed.

mod apply;
mod read;
mod verdict;

use crate::proto::keys::Key;
use crate::proto::merkle::Forest;
use crate::proto::store::Sequence;
use crate::store::checkpoint::Loaded;
use crate::store::checkpoint::SegmentRow;
use crate::store::checkpoint::{self, CHECKPOINT};
use crate::store::directory::Contents;
use crate::store::directory::OpenError;
use crate::store::disk::Disk;
use crate::store::disk::File;
use crate::store::index::Index;
use crate::store::ledger::Ledger;
use crate::store::ledger::Spot;
use crate::store::ledger::Weight;
use crate::store::manifest::Manifest;
use crate::store::record;
use crate::store::record::Header;
use crate::store::record::Kind;
use crate::store::record::Mark;
use crate::store::segment::HeaderFlaw;
use crate::store::segment::Location;
use crate::store::segment::Segment;
use crate::store::segment::SlotTable;
use crate::store::segment::file_path;
use crate::store::upkeep::Fingerprints;
use core::ops::Range;
use std::collections::BTreeMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Records whose memory accesses are made to overlap.
const BATCH: usize = 64;

/// How far reading a log back has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Bytes read.
    pub done: u64,
    /// Bytes to be read.
    pub total: u64,
}

/// A store's log as it was found and mended.
pub struct Recovered<F> {
    /// Segments, by rising number; `None` for one that went. Their places are the owners in `slots`.
    pub segments: Vec<Option<RecoveredSegment<F>>>,
    /// An unused segment that the log can go on in. Its owner is the one behind `segments`.
    pub spare: Option<Arc<Segment<F>>>,
    /// Owners of slots.
    pub slots: SlotTable,
    /// Where each key lies.
    pub index: Index,
    /// What lies where.
    pub ledger: Ledger,
    /// Hashes of what the index points at.
    pub trees: Forest,
    /// For each partition, the sequence up to which changes may be missing from the log.
    pub floors: Vec<Sequence>,
    /// The highest sequence found.
    pub last: Sequence,
    /// Every epoch met in a record has a lower number: all of them, if the identity file is lost.
    pub epoch_end: u64,
    /// The clean marker held: nothing was lost or torn.
    pub is_clean: bool,
    /// Which segments make the log, and what of it is lost.
    pub manifest: Manifest,
    /// Whether that is not what the manifest file says.
    pub is_manifest_news: bool,
    /// The number of the checkpoint that stands, if one does.
    pub checkpoint: Option<u64>,
    /// Why a checkpoint that was there was not used.
    pub void: Option<&'static str>,
    /// The segment that can be appended to, by its place; how many bytes each partition has there.
    pub appendable: Option<(u32, Vec<u64>)>,
    /// The newest segment that was appended to, by its place.
    pub newest: Option<u32>,
    /// The highest number that a segment has or had, as far as can be told: a new one gets a higher one.
    pub highest: u64,
    /// Files that belong to the log no more.
    pub leftovers: Vec<u64>,
    /// Bad ranges that were found now, in segments by their place.
    pub damage: Vec<(u64, Range<u64>)>,
    /// Whether the tail of the log was cut.
    pub is_torn: bool,
    /// The segment whose tail was torn, and where it was cut.
    pub torn: Option<(u64, u64)>,
    /// How far the newest segment had been promised to be durable, as far as marks tell.
    pub promised: u64,
    /// Up to where the checkpoint that stands promises the log.
    pub start: Option<Mark>,
}

impl<F: File> Recovered<F> {
    /// The header of the record at a location that the index has.
    pub fn header_at(&self, location: Location) -> Option<Header> {
        let owner = self.slots.owner(location.slot())? as usize;
        let Segment { plan, file } = &*self.segments.get(owner)?.as_ref()?.segment;
        Header::read(&file.view(location.offset(plan.slot), record::HEADER_LENGTH)?).ok()
    }
}

/// A segment that holds records.
pub struct RecoveredSegment<F> {
    /// The segment.
    pub segment: Arc<Segment<F>>,
    /// Where its records end.
    pub end: u64,
    /// The highest sequence in it.
    pub newest: Sequence,
    /// Bytes of its removals and drops; 0 if they were not counted.
    pub controls: u64,
}

/// Reads the log back. Nothing on the disk is changed: [`Recovered::mend`] does that. `size` is that of
/// segments to come, if one is wanted that can be used for them.
///
/// # Errors
/// Segments that are foreign or of a newer version; or the disk fails.
pub fn recover<D: Disk>(
    disk: &D,
    contents: &Contents,
    hash_key: &Key,
    size: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered<D::File>, OpenError> {
    let mut void = None;
    let mut promise = None;
    if contents.has_checkpoint {
        match from_checkpoint(disk, contents, Some(hash_key), size, progress)? {
            Ok(recovered) if contents.identity.is_some() => return Ok(recovered),
            // Without it the epochs of all records must be known: a scan tells.
            Ok(recovered) => (void, promise) = (Some("the identity file is lost"), recovered.start),
            Err(Void { why, start }) => (void, promise) = (Some(why), start),
        }
    }
    let mut recovered = from_log(disk, contents, Some(hash_key), promise, size, progress)?;
    recovered.void = void;
    Ok(recovered)
}

/// Why a checkpoint cannot be used; and if it holds in itself, up to where it had promised the log.
pub struct Void {
    /// Why, in words.
    pub why: &'static str,
    /// The promise.
    pub start: Option<Mark>,
}

/// As [`recover`], without the checkpoint, which may have promised the log up to a mark. Without the hash
/// key, too, everything is found but the index and what it tells: which records are live.
///
/// # Errors
/// As [`recover`].
pub fn from_log<D: Disk>(
    disk: &D,
    contents: &Contents,
    hash_key: Option<&Key>,
    promise: Option<Mark>,
    size: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Recovered<D::File>, OpenError> {
    let mut reader = Reader::new(disk, contents, hash_key, None);
    if let Some(start) = promise {
        reader.promise(&start);
    }
    let read = reader.read(progress)?;
    debug_assert!(read.is_ok(), "without a checkpoint nothing contradicts one");
    reader.finish(size)
}

/// As [`recover`], with the checkpoint; or why it cannot be used. Without the hash key the index is that of
/// the checkpoint.
///
/// # Errors
/// As [`recover`].
pub fn from_checkpoint<D: Disk>(
    disk: &D,
    contents: &Contents,
    hash_key: Option<&Key>,
    size: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Result<Recovered<D::File>, Void>, OpenError> {
    let void = |why, start| Ok(Err(Void { why, start }));
    let Ok(file) = disk.open(CHECKPOINT) else { return void("it cannot be opened", None) };
    let format = &contents.format;
    let mut tell = |done, total| progress(Progress { done, total });
    let loaded = match checkpoint::load(&file, format.partitions, format.directory, &mut tell) {
        Ok(loaded) => loaded,
        Err(why) => return void(why, None),
    };
    let start = Some(loaded.head.start);
    let mut reader = Reader::new(disk, contents, hash_key, Some(loaded));
    if let Err(why) = reader.read(progress)? {
        return void(why, start);
    }
    if reader.rows.values().any(|row| !row.is_met) {
        return void("a segment that it names is not there", start);
    }
    reader.finish(size).map(Ok)
}

struct Reader<'a, D: Disk> {
    disk: &'a D,
    contents: &'a Contents,
    fingerprints: Fingerprints,
    manifest: Manifest,
    /// The id and start of the checkpoint, and what it says of each segment.
    checkpoint: Option<(u64, Mark)>,
    rows: BTreeMap<u64, Row>,
    index: Index,
    ledger: Ledger,
    trees: Forest,
    floors: Vec<Sequence>,
    slots: SlotTable,
    /// The segments of the log, by rising number, and the one that is read.
    scans: Vec<Scan<D::File>>,
    at: usize,
    /// Segments with nothing behind a good header.
    unused: Vec<Arc<Segment<D::File>>>,
    /// Numbers of files that are no part of the log.
    leftovers: Vec<u64>,
    /// Per segment, how far it was promised by marks.
    promised: BTreeMap<u64, u64>,
    last: Sequence,
    epoch_end: u64,
    /// Bytes per partition in the last segment that was appended to.
    counts: Vec<u64>,
    /// Slots that stand for a removal.
    removals: BTreeSet<(u16, u32, Location)>,
    /// Per partition, the last drop.
    drops: BTreeMap<u16, Sequence>,
    /// Chunks and puts that have some.
    chunks: BTreeMap<(u16, u32, Sequence), Location>,
    chunked: Vec<Item>,
}

struct Row {
    row: SegmentRow,
    is_met: bool,
}

/// What was found in one segment.
struct Scan<F> {
    segment: Arc<Segment<F>>,
    /// What is wrong with its header.
    flaw: Option<HeaderFlaw>,
    /// From where on it is still to be read.
    unread: Option<u64>,
    /// Where the last sound record ends.
    reach: u64,
    is_sealed: bool,
    /// Whether the file goes on behind `reach`, with zeros.
    has_zeros_behind: bool,
    /// Ranges that are no records, in order.
    bad: Vec<Range<u64>>,
    /// What is sound behind the first bad range: whether it counts is decided at the end.
    held: Vec<Item>,
    newest: Sequence,
    controls: u64,
    /// No part of the log any more.
    is_gone: bool,
}

/// A sound record.
#[derive(Clone, Copy, Debug)]
struct Item {
    kind: Kind,
    spot: Spot,
    location: Location,
    offset: u64,
    weight: Weight,
    sequence: Sequence,
    is_chunked: bool,
    item_hash: u64,
}

impl<'a, D: Disk> Reader<'a, D> {
    fn new(disk: &'a D, contents: &'a Contents, hash_key: Option<&Key>, loaded: Option<Loaded>) -> Self {
        let partitions = contents.format.partitions;
        let mut rows = BTreeMap::new();
        let mut counts = vec![0; partitions as usize];
        let mut checkpoint = None;
        let (mut ledger, mut floors) = (Ledger::new(partitions), vec![Sequence(0); partitions as usize]);
        let (mut index, mut trees) = (Index::new(partitions), Forest::default());
        if let Some(loaded) = loaded {
            (ledger, floors) = loaded.ledger();
            let Loaded { head, index: copied, trees: leaves, tables } = loaded;
            rows.extend(tables.segments.into_iter().map(|row| (row.number, Row { row, is_met: false })));
            for (partition, bytes) in tables.active {
                if let Some(count) = counts.get_mut(usize::from(partition)) {
                    *count = bytes;
                }
            }
            checkpoint = Some((head.id, head.start));
            (index, trees) = (copied, leaves);
        }
        Reader {
            disk,
            contents,
            fingerprints: Fingerprints { hash_key: hash_key.copied(), partitions, shift: index.shift() },
            manifest: contents.manifest.clone().unwrap_or_default(),
            last: checkpoint.map_or(Sequence(0), |(_, start)| start.sequence),
            epoch_end: 0,
            checkpoint,
            rows,
            index,
            ledger,
            trees,
            floors,
            slots: SlotTable::default(),
            scans: Vec::new(),
            at: 0,
            unused: Vec::new(),
            leftovers: Vec::new(),
            promised: BTreeMap::new(),
            counts,
            removals: BTreeSet::new(),
            drops: BTreeMap::new(),
            chunks: BTreeMap::new(),
            chunked: Vec::new(),
        }
    }
}

impl<F: File> Recovered<F> {
    /// Makes the disk what was found: removes what is no part of the log, makes what was recovered from
    /// the page cache durable, cuts the tail, keeps what is known to be lost.
    ///
    /// # Errors
    /// The disk fails; opening again is safe.
    pub fn mend<D: Disk<File = F>>(&mut self, disk: &D) -> Result<(), OpenError> {
        let error = |number: u64| move |error| OpenError::io(disk, &file_path(number), error);
        if self.void.is_some() {
            disk.remove(CHECKPOINT).map_err(|error| OpenError::io(disk, CHECKPOINT, error))?;
        }
        if let Some(newest) = self.newest.filter(|_| self.appendable.is_none()) {
            let newest = self.segments[newest as usize].as_mut().expect("the newest is there");
            let number = newest.segment.plan.number;
            // A killed process leaves records that only the page cache has: they count from now on.
            newest.segment.file.sync().map_err(error(number))?;
            if newest.end < newest.segment.plan.size {
                disk.shorten(&file_path(number), newest.end).map_err(error(number))?;
            }
        }
        if self.is_manifest_news {
            let name = crate::store::directory::MANIFEST;
            let replaced = disk.replace(name, &self.manifest.bytes());
            replaced.map_err(|error| OpenError::io(disk, name, error))?;
        }
        for &number in &self.leftovers {
            disk.remove(&file_path(number)).map_err(error(number))?;
        }
        let appendable = self.appendable.as_ref().map(|(at, _)| *at);
        for (at, segment) in (0..).zip(&self.segments) {
            if let Some(segment) = segment.as_ref().filter(|_| Some(at) != appendable) {
                segment.segment.file.settle();
            }
        }
        Ok(())
    }
}

impl<F> Scan<F> {
    /// Counts a record that belongs to the log: behind a tail that is cut, none does.
    fn count(&mut self, item: &Item) {
        self.newest = self.newest.max(item.sequence);
        if matches!(item.kind, Kind::Removal | Kind::Drop) {
            self.controls += item.weight.length;
        }
    }

    fn bad_end(&self) -> u64 {
        self.bad.last().map_or(0, |range| range.end)
    }
}
