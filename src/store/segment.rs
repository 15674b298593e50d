//! Segments: the files that the log is made of, `log/<number>.seg`.
//!
//! ```text
//!  0       8         12          16       24               32     40     44          52      56      60
//!  ┌───────┬─────────┬───────────┬────────┬────────────────┬──────┬──────┬───────────┬───────┬───────┬───────┐
//!  │ magic │ version │ random id │ number │ first sequence │ size │ slot │ directory │ flags │ zeros │ crc32c│
//!  └───────┴─────────┴───────────┴────────┴────────────────┴──────┴──────┴───────────┴───────┴───────┴───────┘
//!  then records, then either a seal (the segment was left) or zeros (or the end, where a tail was cut)
//! ```
//!
//! Numbers rise in the order of creation and are never used twice by segments that hold records. Two
//! kinds of segments make the log. Those that are *appended to*, one after the other: no record of theirs
//! has a sequence below the *first sequence*. And those that are *compacted* (flag 1): they hold what was
//! still live of others, with the sequences that it had; whatever had left the store when its compaction
//! began, which was after *first sequence*, is not in it. A segment that was left is cut to its length.
//!
//! Version 1 had no flags and no compacted segments, and gave a record that was larger than a segment one
//! of its own, sized to fit. It is still read.
//!
//! A *location* is 40 bits in units of 8 bytes: 8 TiB for one log. Each segment owns a run of *slots* of
//! [`SLOT_LENGTH`] bytes in that space, recorded in its header, so that a location stays good over a
//! restart. The meaning of magic, version and checksum never changes; everything else may with the version.

use core::fmt;

use super::disk::LOG_DIRECTORY;
use super::record::{ALIGNMENT, u32_at, u64_at};
use crate::proto::store::Sequence;

/// Length of a segment's header, in bytes.
pub const HEADER_LENGTH: usize = 64;
/// Size of a segment unless the options say otherwise, in bytes.
pub const SIZE_DEFAULT: u64 = 64 << 20;
/// Smallest size of a segment, in bytes.
pub const SIZE_MIN: u64 = 64 << 10;
/// Largest size of a segment, in bytes.
pub const SIZE_MAX: u64 = 1 << 30;
/// Sizes are multiples of this, in bytes.
pub const SIZE_STEP: u64 = 4 << 10;
/// Bytes of the location space that one slot covers.
pub const SLOT_LENGTH: u64 = 4 << 20;
/// The version of segments that this code writes, and the newest that it reads.
pub const VERSION: u32 = 2;

/// The first bytes of every segment.
pub const MAGIC: [u8; 8] = *b"qrt.seg\n";
const FLAG_COMPACTED: u32 = 1;
const SLOT_BITS: u32 = (SLOT_LENGTH / ALIGNMENT as u64).trailing_zeros();
const LOCATION_BITS: u32 = 40;
/// Slots in the location space.
pub const SLOTS_MAX: u32 = 1 << (LOCATION_BITS - SLOT_BITS);

/// Where a record lies: its offset in the location space, in units of 8 bytes. Never 0, as a segment
/// begins with its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location(pub u64);

impl Location {
    /// The slot it lies in.
    pub const fn slot(self) -> u32 {
        (self.0 >> SLOT_BITS) as u32
    }

    /// Its offset in bytes in a segment whose first slot is `slot`.
    pub const fn offset(self, slot: u32) -> u64 {
        (self.0 - ((slot as u64) << SLOT_BITS)) * ALIGNMENT as u64
    }
}

/// What a segment is, or will be once the worker has created it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Plan {
    /// Its number.
    pub number: u64,
    /// Its random id: with a record's place it seeds that one's checksum.
    pub seed: u32,
    /// No record in it has a lower sequence; or, of a compacted one, nothing in it had been removed by then.
    pub first: Sequence,
    /// Its size in bytes, this header included.
    pub size: u64,
    /// Its first slot.
    pub slot: u32,
    /// The random id of the directory it belongs to.
    pub directory: u64,
    /// Whether it holds what compaction kept of others.
    pub is_compacted: bool,
    /// Whether it is of version 1, whose checksums do not tell where a record lies.
    pub is_v1: bool,
}

/// Why bytes are no header of a segment of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeaderFlaw {
    /// Not one of ours at all.
    Foreign,
    /// Of a newer version.
    Newer(u32),
    /// Ours, but its checksum does not hold.
    Damaged,
}

impl Plan {
    /// The header of such a segment.
    pub fn header(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[..8].copy_from_slice(&MAGIC);
        let version = if self.is_v1 { 1 } else { VERSION };
        bytes[8..12].copy_from_slice(&version.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.seed.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.size.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.slot.to_le_bytes());
        bytes[44..52].copy_from_slice(&self.directory.to_le_bytes());
        let flags = if self.is_compacted { FLAG_COMPACTED } else { 0 };
        bytes[52..56].copy_from_slice(&flags.to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        bytes
    }

    /// Reads a header. A damaged one is read as well as it can be: its random id may still be good, and
    /// the records themselves tell.
    pub fn read(bytes: &[u8; HEADER_LENGTH]) -> (Plan, Option<HeaderFlaw>) {
        let plan = Plan {
            seed: u32_at(bytes, 12),
            number: u64_at(bytes, 16),
            first: Sequence(u64_at(bytes, 24)),
            size: u64_at(bytes, 32),
            slot: u32_at(bytes, 40),
            directory: u64_at(bytes, 44),
            is_compacted: u32_at(bytes, 52) & FLAG_COMPACTED != 0,
            is_v1: u32_at(bytes, 8) == 1,
        };
        let sound = u32_at(bytes, 60) == crc32c::crc32c(&bytes[..60]);
        let version = u32_at(bytes, 8);
        let flaw = match (bytes[..8] == MAGIC, sound) {
            (true, true) if version <= VERSION => None,
            (true, true) => Some(HeaderFlaw::Newer(version)),
            (true, false) => Some(HeaderFlaw::Damaged),
            (false, _) => {
                // One of ours whose magic itself was hit has a checksum that holds for the right magic.
                let mut mended = *bytes;
                mended[..8].copy_from_slice(&MAGIC);
                let ours = u32_at(bytes, 60) == crc32c::crc32c(&mended[..60]);
                Some(if ours { HeaderFlaw::Damaged } else { HeaderFlaw::Foreign })
            }
        };
        (plan, flaw)
    }

    /// The name of its file.
    pub fn name(&self) -> String {
        file_path(self.number)
    }

    /// The seed of the checksum of the record at `offset`: bytes that a disk put elsewhere do not hold there.
    pub fn seed_at(&self, offset: u64) -> u32 {
        let place = if self.is_v1 { 0 } else { (offset / ALIGNMENT as u64) as u32 };
        self.seed ^ place
    }

    /// How many slots it owns.
    pub fn slots(&self) -> u32 {
        u32::try_from(self.size.div_ceil(SLOT_LENGTH)).unwrap_or(u32::MAX)
    }

    /// The location of the record at `offset`.
    pub fn location(&self, offset: u64) -> Location {
        debug_assert!(offset < self.size && offset.is_multiple_of(ALIGNMENT as u64));
        Location((u64::from(self.slot) << SLOT_BITS) + offset / ALIGNMENT as u64)
    }
}

/// The name of a segment's file, relative to the data directory.
pub fn file_path(number: u64) -> String {
    format!("{LOG_DIRECTORY}/{}", file_name(number))
}

/// The name of a segment's file inside the log directory.
pub fn file_name(number: u64) -> String {
    format!("{number:016x}.seg")
}

/// The number in a file's name; `None` if it is no name of a segment.
pub fn number_in(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg")?;
    let number = u64::from_str_radix(digits, 16).ok()?;
    (file_name(number) == name).then_some(number)
}

/// Which segment owns which slots. Owners are numbers that the user of the table gives.
#[derive(Debug, Default)]
pub struct SlotTable {
    owners: Vec<Option<u32>>,
}

impl SlotTable {
    /// The owner of a slot.
    #[inline]
    pub fn owner(&self, slot: u32) -> Option<u32> {
        self.owners.get(slot as usize).copied().flatten()
    }

    /// Gives `count` slots from `first` on to `owner`; false if one of them is taken, or outside.
    pub fn claim(&mut self, first: u32, count: u32, owner: u32) -> bool {
        let Some(end) = first.checked_add(count).filter(|end| *end <= SLOTS_MAX) else { return false };
        if (first..end).any(|slot| self.owner(slot).is_some()) {
            return false;
        }
        if self.owners.len() < end as usize {
            self.owners.resize(end as usize, None);
        }
        self.owners[first as usize..end as usize].fill(Some(owner));
        true
    }

    /// Gives the first `count` free slots in a row to `owner`; `None` if the location space is full.
    pub fn allocate(&mut self, count: u32, owner: u32) -> Option<u32> {
        let mut first = 0;
        let mut at = 0;
        while at < self.owners.len() as u32 && at - first < count {
            at += 1;
            if self.owner(at - 1).is_some() {
                first = at;
            }
        }
        self.claim(first, count, owner).then_some(first)
    }

    /// Bytes of memory that the table takes.
    pub fn heap_bytes(&self) -> usize {
        self.owners.capacity() * size_of::<Option<u32>>()
    }

    /// Frees slots.
    pub fn release(&mut self, first: u32, count: u32) {
        let range = first as usize..(first as usize + count as usize).min(self.owners.len());
        self.owners[range].fill(None);
    }
}

/// An open segment.
pub struct Segment<F> {
    /// What it is.
    pub plan: Plan,
    /// Its file.
    pub file: F,
}

impl<F> fmt::Debug for Segment<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Segment").field("plan", &self.plan).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan() -> Plan {
        Plan {
            number: 7,
            seed: 0xABCD,
            first: Sequence(99),
            size: SIZE_DEFAULT,
            slot: 3,
            directory: 42,
            is_compacted: true,
            is_v1: false,
        }
    }

    #[test]
    fn a_header_comes_back_and_every_flipped_bit_is_seen() {
        let header = plan().header();
        assert_eq!(Plan::read(&header), (plan(), None));
        for bit in 0..HEADER_LENGTH * 8 {
            let mut bytes = header;
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Plan::read(&bytes).1, Some(HeaderFlaw::Damaged), "bit {bit}");
        }
    }

    #[test]
    fn foreign_and_newer_files_are_told_apart() {
        assert_eq!(Plan::read(&[b'x'; HEADER_LENGTH]).1, Some(HeaderFlaw::Foreign));
        let mut bytes = plan().header();
        bytes[8..12].copy_from_slice(&(VERSION + 1).to_le_bytes());
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(Plan::read(&bytes).1, Some(HeaderFlaw::Newer(VERSION + 1)));
    }

    #[test]
    fn slots_are_given_out_once() {
        let mut table = SlotTable::default();
        assert!(table.claim(2, 2, 7));
        assert!(!table.claim(3, 1, 8));
        assert_eq!(table.allocate(2, 9), Some(0));
        assert_eq!(table.allocate(3, 10), Some(4));
        assert_eq!(
            [0, 1, 2, 3, 4, 7].map(|slot| table.owner(slot)),
            [9, 9, 7, 7, 10].map(Some).into_iter().chain([None]).collect::<Vec<_>>()[..]
        );
        table.release(2, 2);
        assert_eq!(table.allocate(1, 11), Some(2));
        assert!(!table.claim(SLOTS_MAX, 1, 1));
    }

    #[test]
    fn locations_and_names_come_back() {
        let location = plan().location(SLOT_LENGTH * 2 + 64);
        assert_eq!((location.slot(), location.offset(3)), (5, SLOT_LENGTH * 2 + 64));
        assert_eq!(plan().slots(), 16);
        assert_eq!(number_in(&file_name(255)), Some(255));
        for wrong in ["", "x.seg", "ff.seg", "00000000000000FF.seg", "00000000000000ff.tmp"] {
            assert_eq!(number_in(wrong), None, "{wrong}");
        }
    }
}
