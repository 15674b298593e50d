//! How a record lies in a segment. Everything is little endian; a record begins on a multiple of 8 bytes.
//!
//! ```text
//!  0       4      5       6            8              12          16         24          32
//!  ┌───────┬──────┬───────┬────────────┬──────────────┬───────────┬──────────┬───────────┐
//!  │ crc32c│ kind │ flags │ key length │ value length │ partition │ sequence │ item hash │
//!  └───────┴──────┴───────┴────────────┴──────────────┴───────────┴──────────┴───────────┘
//!  then: local part (16, if flagged: nonce, number) · stored key (keyspace 2, key) · value · zeros to 8
//! ```
//!
//! The checksum is seeded with the segment's random id and the record's place in it, and covers everything
//! behind it to the last zero, so neither stale bytes of another segment nor a misplaced block can pass for
//! a record. The local part is neither hashed nor sent (trap T10). Lengths are bounded before anything is
//! read by them, and no field is believed before the checksum holds.
//!
//! An object that is too long for one record lies in *chunks*, records of their own with the sequences just
//! below that of its put, whose value is then only the length of the whole and the number of chunks. A
//! chunk has no key: its field for the item hash holds the upper half of the key's position.
//!
//! Kinds 2, 4 and 5, the expiry, the chunks and the place in the seed came with version 2 of segments.

use core::ops::Range;

use crate::proto::limits::{FRAME_MAX, KEY_MAX};
use crate::proto::store::{KeyRef, LocalPart, NewRecord, Sequence};
use crate::proto::version::Epoch;

/// Length of a record's header, in bytes.
pub const HEADER_LENGTH: usize = 32;
/// Records begin on a multiple of this many bytes.
pub const ALIGNMENT: usize = 8;

const LOCAL_LENGTH: usize = 16;
const KEYSPACE_LENGTH: usize = 2;
const EXPIRY_LENGTH: usize = 8;
const CHUNK_TABLE_LENGTH: usize = 12;
const FLAG_LOCAL: u8 = 1;
const FLAG_EXPIRES: u8 = 2;
const FLAG_CHUNKED: u8 = 4;
const FLAGS: u8 = FLAG_LOCAL | FLAG_EXPIRES | FLAG_CHUNKED;

/// What a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Kind {
    /// An object under a key.
    Put = 1,
    /// The key left the store with everything older (a store tombstone).
    Removal = 2,
    /// States how far the log was durable when it was written; see [`Mark`]. Carries the sequence of
    /// the last put before it.
    SyncMark = 3,
    /// Everything older of a partition left the store.
    Drop = 4,
    /// A part of the object of the put that follows.
    Chunk = 5,
    /// The last record of a segment that was left: bytes per partition; see [`encode_seal`].
    Seal = 6,
}

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// A length is beyond its limit, or beyond the bytes at hand.
    Length,
    /// The checksum does not hold.
    Checksum,
    /// The checksum holds, but the kind or a flag is none this version knows.
    Unknown(u8),
    /// The checksum holds, but the parts do not fit together.
    Content,
}

/// A record's header, decoded but not yet believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    checksum: u32,
    kind: u8,
    flags: u8,
    key_length: usize,
    value_length: usize,
    /// The partition.
    pub partition: u32,
    /// The sequence.
    pub sequence: Sequence,
    /// The item hash.
    pub item_hash: u64,
}

/// A record whose checksum holds. Ranges are relative to its first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded {
    /// What it is.
    pub kind: Kind,
    /// The partition.
    pub partition: u32,
    /// The sequence.
    pub sequence: Sequence,
    /// The item hash.
    pub item_hash: u64,
    /// The local part.
    pub local: LocalPart,
    /// The earliest expiry in it, in wall-clock milliseconds.
    pub expires_ms: Option<u64>,
    /// Whether the value is a [`ChunkTable`].
    pub is_chunked: bool,
    /// Where keyspace and key lie, as [`stored_key`] reads them.
    pub key: Range<usize>,
    /// Where the value lies: the encoded object.
    pub value: Range<usize>,
    /// Length with padding.
    pub length: usize,
}

/// What stands in a put whose object lies in chunks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkTable {
    /// Bytes of the object.
    pub length: u64,
    /// How many chunks it has. Their sequences are the last ones below that of the put.
    pub count: u32,
}

/// How far the log was durable: everything before `offset` in segment `number`, and all segments before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Mark {
    /// The last sequence among it.
    pub sequence: Sequence,
    /// Number of the segment.
    pub number: u64,
    /// Bytes of the segment, its header included.
    pub offset: u64,
}

const MARK_LENGTH: usize = 24;
const SEAL_ENTRY_LENGTH: usize = 12;

/// Length of a sync mark's record, in bytes.
pub const SYNC_MARK_LENGTH: usize = HEADER_LENGTH + MARK_LENGTH;

/// Reads a little-endian number at `at`; the caller has checked that it is there.
pub(super) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes were sliced"))
}

/// As [`u64_at`], for 32 bits.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("4 bytes were sliced"))
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("2 bytes were sliced"))
}

const fn padded(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

/// Length of the record that [`encode_put`] would write with a value of so many bytes.
fn put_length_with(key: &KeyRef<'_>, record: &NewRecord<'_>, value: usize) -> usize {
    let local = if record.local.epoch.is_some() { LOCAL_LENGTH } else { 0 };
    let expiry = if record.expires_ms.is_some() { EXPIRY_LENGTH } else { 0 };
    padded(HEADER_LENGTH + local + expiry + KEYSPACE_LENGTH + key.key.len() + value)
}

/// Length of the record that [`encode_put`] would write, in bytes.
pub fn put_length(key: &KeyRef<'_>, record: &NewRecord<'_>) -> usize {
    put_length_with(key, record, record.object.len())
}

/// Length of the put whose object lies in chunks, in bytes.
pub fn chunked_put_length(key: &KeyRef<'_>, record: &NewRecord<'_>) -> usize {
    put_length_with(key, record, CHUNK_TABLE_LENGTH)
}

/// Length of a chunk of so many bytes, in bytes.
pub const fn chunk_length(bytes: usize) -> usize {
    padded(HEADER_LENGTH + bytes)
}

/// Length of a removal, in bytes.
pub const fn removal_length(key: &KeyRef<'_>) -> usize {
    padded(HEADER_LENGTH + KEYSPACE_LENGTH + key.key.len())
}

/// Length of a partition drop, in bytes.
pub const DROP_LENGTH: usize = HEADER_LENGTH;

/// Length of a seal with so many partitions, in bytes.
pub const fn seal_length(partitions: usize) -> usize {
    padded(HEADER_LENGTH + partitions * SEAL_ENTRY_LENGTH)
}

/// Appends a put to `into`.
///
/// # Panics
/// If the key or the object is over its limit; the core has refused both long before.
pub fn encode_put(
    into: &mut Vec<u8>,
    seed: u32,
    sequence: Sequence,
    key: &KeyRef<'_>,
    record: &NewRecord<'_>,
) {
    encode_value(into, seed, sequence, key, record, None);
}

/// Appends a put whose object lies in the chunks before it.
///
/// # Panics
/// As [`encode_put`].
pub fn encode_chunked_put(
    into: &mut Vec<u8>,
    seed: u32,
    sequence: Sequence,
    key: &KeyRef<'_>,
    record: &NewRecord<'_>,
    count: u32,
) {
    encode_value(into, seed, sequence, key, record, Some(count));
}

fn encode_value(
    into: &mut Vec<u8>,
    seed: u32,
    sequence: Sequence,
    key: &KeyRef<'_>,
    record: &NewRecord<'_>,
    chunks: Option<u32>,
) {
    assert!(key.key.len() <= KEY_MAX, "a key over the limit reached the store");
    assert!(record.object.len() <= FRAME_MAX, "an object over the limit reached the store");
    let flag = |is_set: bool, flag: u8| if is_set { flag } else { 0 };
    let value_length = if chunks.is_some() { CHUNK_TABLE_LENGTH } else { record.object.len() };
    into.reserve(put_length_with(key, record, value_length));
    let header = Header {
        checksum: 0,
        kind: Kind::Put as u8,
        flags: flag(record.local.epoch.is_some(), FLAG_LOCAL)
            | flag(record.expires_ms.is_some(), FLAG_EXPIRES)
            | flag(chunks.is_some(), FLAG_CHUNKED),
        key_length: KEYSPACE_LENGTH + key.key.len(),
        value_length,
        partition: u32::from(key.partition),
        sequence,
        item_hash: record.item_hash,
    };
    let start = begin(into, &header);
    if let Some(epoch) = record.local.epoch {
        into.extend_from_slice(&epoch.nonce.to_le_bytes());
        into.extend_from_slice(&epoch.number.to_le_bytes());
    }
    if let Some(expires_ms) = record.expires_ms {
        into.extend_from_slice(&expires_ms.to_le_bytes());
    }
    into.extend_from_slice(&key.keyspace.to_le_bytes());
    into.extend_from_slice(key.key);
    match chunks {
        None => into.extend_from_slice(record.object),
        Some(count) => {
            into.extend_from_slice(&(record.object.len() as u64).to_le_bytes());
            into.extend_from_slice(&count.to_le_bytes());
        }
    }
    finish(into, start, seed);
}

/// Appends a chunk to `into`.
pub fn encode_chunk(into: &mut Vec<u8>, seed: u32, sequence: Sequence, key: &KeyRef<'_>, bytes: &[u8]) {
    let start = begin(
        into,
        &Header {
            item_hash: (key.position >> 64) as u64,
            ..control(Kind::Chunk, bytes.len(), key.partition, sequence)
        },
    );
    into.extend_from_slice(bytes);
    finish(into, start, seed);
}

/// Appends a removal to `into`.
pub fn encode_removal(into: &mut Vec<u8>, seed: u32, sequence: Sequence, key: &KeyRef<'_>) {
    let key_length = KEYSPACE_LENGTH + key.key.len();
    let start = begin(into, &Header { key_length, ..control(Kind::Removal, 0, key.partition, sequence) });
    into.extend_from_slice(&key.keyspace.to_le_bytes());
    into.extend_from_slice(key.key);
    finish(into, start, seed);
}

/// Appends a partition drop to `into`.
pub fn encode_drop(into: &mut Vec<u8>, seed: u32, sequence: Sequence, partition: u16) {
    let start = begin(into, &control(Kind::Drop, 0, partition, sequence));
    finish(into, start, seed);
}

/// Appends a sound record of another segment, under this one's seed.
pub fn encode_moved(into: &mut Vec<u8>, seed: u32, record: &[u8]) {
    let start = into.len();
    into.extend_from_slice(record);
    finish(into, start, seed);
}

/// Appends a sync mark to `into`. `sequence` is that of the last put before it.
pub fn encode_mark(into: &mut Vec<u8>, seed: u32, sequence: Sequence, mark: &Mark) {
    let start = begin(into, &control(Kind::SyncMark, MARK_LENGTH, 0, sequence));
    into.extend_from_slice(&mark.sequence.0.to_le_bytes());
    into.extend_from_slice(&mark.number.to_le_bytes());
    into.extend_from_slice(&mark.offset.to_le_bytes());
    finish(into, start, seed);
}

/// Appends a seal to `into`: for each partition with records in the segment, 4 bytes of partition and 8
/// bytes of how many bytes it has there.
pub fn encode_seal(into: &mut Vec<u8>, seed: u32, sequence: Sequence, counts: &[(u16, u64)]) {
    let start = begin(into, &control(Kind::Seal, counts.len() * SEAL_ENTRY_LENGTH, 0, sequence));
    for (partition, bytes) in counts {
        into.extend_from_slice(&u32::from(*partition).to_le_bytes());
        into.extend_from_slice(&bytes.to_le_bytes());
    }
    finish(into, start, seed);
}

/// A header without a key, an item hash or flags.
const fn control(kind: Kind, value_length: usize, partition: u16, sequence: Sequence) -> Header {
    Header {
        checksum: 0,
        kind: kind as u8,
        flags: 0,
        key_length: 0,
        value_length,
        partition: partition as u32,
        sequence,
        item_hash: 0,
    }
}

/// Appends a header; returns where it begins.
fn begin(into: &mut Vec<u8>, header: &Header) -> usize {
    let start = into.len();
    into.extend_from_slice(&header.bytes());
    start
}

/// Pads the record that begins at `start` and writes its checksum.
fn finish(into: &mut Vec<u8>, start: usize, seed: u32) {
    let length = padded(into.len() - start);
    into.resize(start + length, 0);
    let checksum = checksum(seed, &into[start + 4..]);
    into[start..start + 4].copy_from_slice(&checksum.to_le_bytes());
}

/// Seeded with the segment's random id and the record's place, so that bytes of elsewhere do not hold (rule R5).
fn checksum(seed: u32, bytes: &[u8]) -> u32 {
    let seed = if planted!("checksum_seed") { 0 } else { seed };
    crc32c::crc32c_append(seed, bytes)
}

impl Header {
    fn bytes(&self) -> [u8; HEADER_LENGTH] {
        let mut bytes = [0; HEADER_LENGTH];
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&(self.key_length as u16).to_le_bytes());
        bytes[8..12].copy_from_slice(&(self.value_length as u32).to_le_bytes());
        bytes[12..16].copy_from_slice(&self.partition.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.sequence.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.item_hash.to_le_bytes());
        bytes
    }

    /// Reads a header and checks only what needs no checksum: that the lengths are within their limits.
    ///
    /// # Errors
    /// [`Flaw::Length`].
    pub fn read(bytes: &[u8]) -> Result<Header, Flaw> {
        let bytes: &[u8; HEADER_LENGTH] = bytes.first_chunk().ok_or(Flaw::Length)?;
        let header = Header {
            checksum: u32_at(bytes, 0),
            kind: bytes[4],
            flags: bytes[5],
            key_length: usize::from(u16_at(bytes, 6)),
            value_length: u32_at(bytes, 8) as usize,
            partition: u32_at(bytes, 12),
            sequence: Sequence(u64_at(bytes, 16)),
            item_hash: u64_at(bytes, 24),
        };
        if header.key_length > KEYSPACE_LENGTH + KEY_MAX || header.value_length > FRAME_MAX {
            return Err(Flaw::Length);
        }
        Ok(header)
    }

    /// Length of the whole record with padding, in bytes, if the header is to be believed.
    pub fn length(&self) -> usize {
        padded(self.value_start() + self.value_length)
    }

    /// Whether it could be a record of this version: a cheap sieve for the search behind a damaged range.
    pub fn is_plausible(&self) -> bool {
        (Kind::Put as u8..=Kind::Seal as u8).contains(&self.kind)
            && self.flags & !FLAGS == 0
            && self.partition <= 0xFFFF
    }

    /// What it says to be; `None` if it is no kind of this version.
    pub const fn kind(&self) -> Option<Kind> {
        Some(match self.kind {
            1 => Kind::Put,
            2 => Kind::Removal,
            3 => Kind::SyncMark,
            4 => Kind::Drop,
            5 => Kind::Chunk,
            6 => Kind::Seal,
            _ => return None,
        })
    }

    /// Whether it says to hold a sibling that expires.
    pub const fn expires(&self) -> bool {
        self.flags & FLAG_EXPIRES != 0
    }

    /// Whether its value says to be a [`ChunkTable`].
    pub const fn is_chunked(&self) -> bool {
        self.flags & FLAG_CHUNKED != 0
    }

    /// Where the value lies, if the header is to be believed.
    pub const fn value(&self) -> Range<usize> {
        self.value_start()..self.value_start() + self.value_length
    }

    /// Where the stored key lies, if the header is to be believed.
    pub fn key(&self) -> Range<usize> {
        self.key_start()..self.value_start()
    }

    const fn expiry_start(&self) -> usize {
        HEADER_LENGTH + if self.flags & FLAG_LOCAL == 0 { 0 } else { LOCAL_LENGTH }
    }

    const fn key_start(&self) -> usize {
        self.expiry_start() + if self.flags & FLAG_EXPIRES == 0 { 0 } else { EXPIRY_LENGTH }
    }

    const fn value_start(&self) -> usize {
        self.key_start() + self.key_length
    }
}

/// Bytes of a record that are enough for [`glance`].
pub const BEGINNING_LENGTH: usize = HEADER_LENGTH + LOCAL_LENGTH + EXPIRY_LENGTH + KEYSPACE_LENGTH;

/// Keyspace and item hash of a key's own record, as its first bytes say that nobody has checked; `None` if
/// they are not those of one.
pub fn glance(bytes: &[u8]) -> Option<(u16, u64)> {
    let header = Header::read(bytes).ok().filter(|header| header.kind() == Some(Kind::Put))?;
    let keyspace = bytes.get(header.key_start()..header.key_start() + KEYSPACE_LENGTH)?;
    Some((u16_at(keyspace, 0), header.item_hash))
}

/// Decodes the record at the start of `bytes`.
///
/// # Errors
/// What is wrong with the bytes.
pub fn decode(bytes: &[u8], seed: u32) -> Result<Decoded, Flaw> {
    let header = Header::read(bytes)?;
    let length = header.length();
    let whole = bytes.get(..length).ok_or(Flaw::Length)?;
    let holds = header.checksum == checksum(seed, &whole[4..]);
    // This one line tells a whole record from a torn tail, here and in every lookup.
    if !holds && !planted!("torn_tail") {
        return Err(Flaw::Checksum);
    }
    let kind = header.kind().ok_or(Flaw::Unknown(header.kind))?;
    if header.flags & !FLAGS != 0 {
        return Err(Flaw::Unknown(header.flags));
    }
    let (is_put, is_removal) = (kind == Kind::Put, kind == Kind::Removal);
    let has_key = header.key_length >= KEYSPACE_LENGTH;
    let fits = match kind {
        Kind::Put => !header.is_chunked() || header.value_length == CHUNK_TABLE_LENGTH,
        Kind::Removal | Kind::Drop => header.value_length == 0,
        Kind::SyncMark | Kind::Chunk | Kind::Seal => true,
    };
    if has_key != (is_put || is_removal) || (!is_put && header.flags != 0) || !fits {
        return Err(Flaw::Content);
    }
    let local = LocalPart {
        epoch: (header.flags & FLAG_LOCAL != 0)
            .then(|| Epoch { nonce: u64_at(whole, HEADER_LENGTH), number: u64_at(whole, HEADER_LENGTH + 8) }),
    };
    Ok(Decoded {
        kind,
        partition: header.partition,
        sequence: header.sequence,
        item_hash: header.item_hash,
        local,
        expires_ms: header.expires().then(|| u64_at(whole, header.expiry_start())),
        is_chunked: header.is_chunked(),
        key: header.key(),
        value: header.value(),
        length,
    })
}

/// Reads the value of a chunked put; `None` if it is none.
pub fn decode_chunk_table(value: &[u8]) -> Option<ChunkTable> {
    (value.len() == CHUNK_TABLE_LENGTH)
        .then(|| ChunkTable { length: u64_at(value, 0), count: u32_at(value, 8) })
}

/// Splits a stored key into keyspace and key; `None` if it is too short for one.
pub fn stored_key(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (keyspace, key) = bytes.split_first_chunk()?;
    Some((u16::from_le_bytes(*keyspace), key))
}

/// Reads the value of a sync mark; `None` if it is none.
pub fn decode_mark(value: &[u8]) -> Option<Mark> {
    (value.len() == MARK_LENGTH).then(|| Mark {
        sequence: Sequence(u64_at(value, 0)),
        number: u64_at(value, 8),
        offset: u64_at(value, 16),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEED: u32 = 0x5EED_5EED;

    fn key(bytes: &[u8]) -> KeyRef<'_> {
        KeyRef { keyspace: 3, key: bytes, position: 7, partition: 9 }
    }

    fn put(epoch: Option<Epoch>, key_bytes: &[u8], object: &[u8]) -> Vec<u8> {
        let expires_ms = epoch.map(|epoch| epoch.number + 1);
        let record =
            NewRecord { local: LocalPart { epoch }, object, item_hash: 77, expires_ms, is_delete: false };
        let mut bytes = Vec::new();
        encode_put(&mut bytes, SEED, Sequence(5), &key(key_bytes), &record);
        assert_eq!(bytes.len(), put_length(&key(key_bytes), &record));
        bytes
    }

    #[test]
    fn a_put_comes_back_as_it_went() {
        let epoch = Some(Epoch { nonce: 11, number: 12 });
        let long = vec![0xAB; KEY_MAX];
        for epoch in [None, epoch] {
            for key in [&b""[..], b"k", b"seven77", &long] {
                for object in [&b""[..], b"v", &[9; 1000]] {
                    let bytes = put(epoch, key, object);
                    assert_eq!(bytes.len() % ALIGNMENT, 0);
                    let decoded = decode(&bytes, SEED).unwrap();
                    assert_eq!(decoded.kind, Kind::Put);
                    assert_eq!((decoded.sequence, decoded.item_hash), (Sequence(5), 77));
                    assert_eq!((decoded.partition, decoded.local.epoch), (9, epoch));
                    assert_eq!(decoded.expires_ms, epoch.map(|epoch| epoch.number + 1));
                    assert_eq!(stored_key(&bytes[decoded.key]), Some((3, key)));
                    assert_eq!(&bytes[decoded.value], object);
                    assert_eq!(decoded.length, bytes.len());
                }
            }
        }
    }

    #[test]
    fn marks_and_seals_come_back() {
        let mark = Mark { sequence: Sequence(4), number: 2, offset: 640 };
        let mut bytes = Vec::new();
        encode_mark(&mut bytes, SEED, Sequence(9), &mark);
        assert_eq!(bytes.len(), SYNC_MARK_LENGTH);
        let decoded = decode(&bytes, SEED).unwrap();
        assert_eq!((decoded.kind, decoded.sequence), (Kind::SyncMark, Sequence(9)));
        assert_eq!(decode_mark(&bytes[decoded.value]), Some(mark));

        let mut bytes = Vec::new();
        encode_seal(&mut bytes, SEED, Sequence(9), &[(1, 100), (65_535, u64::MAX)]);
        assert_eq!(bytes.len(), seal_length(2));
        assert_eq!(decode(&bytes, SEED).unwrap().kind, Kind::Seal);
    }

    #[test]
    fn removals_drops_and_chunks_come_back() {
        let mut bytes = Vec::new();
        let wide = KeyRef { position: 0xABCD << 112 | 5, ..key(b"key") };
        encode_removal(&mut bytes, SEED, Sequence(9), &wide);
        assert_eq!(bytes.len(), removal_length(&wide));
        let decoded = decode(&bytes, SEED).unwrap();
        assert_eq!((decoded.kind, decoded.partition), (Kind::Removal, 9));
        assert_eq!(stored_key(&bytes[decoded.key]), Some((3, &b"key"[..])));

        let mut bytes = Vec::new();
        encode_drop(&mut bytes, SEED, Sequence(9), 65_535);
        assert_eq!(bytes.len(), DROP_LENGTH);
        let decoded = decode(&bytes, SEED).unwrap();
        assert_eq!((decoded.kind, decoded.partition), (Kind::Drop, 65_535));

        let mut bytes = Vec::new();
        encode_chunk(&mut bytes, SEED, Sequence(9), &wide, &[1; 100]);
        assert_eq!(bytes.len(), chunk_length(100));
        let decoded = decode(&bytes, SEED).unwrap();
        assert_eq!((decoded.kind, decoded.item_hash), (Kind::Chunk, 0xABCD << 48));
        assert_eq!(bytes[decoded.value], [1; 100]);

        let mut bytes = Vec::new();
        let object = [7; 1_000];
        let record = NewRecord {
            local: LocalPart::default(),
            object: &object,
            item_hash: 5,
            expires_ms: None,
            is_delete: false,
        };
        encode_chunked_put(&mut bytes, SEED, Sequence(9), &wide, &record, 3);
        assert_eq!(bytes.len(), chunked_put_length(&wide, &record));
        let decoded = decode(&bytes, SEED).unwrap();
        assert!(decoded.is_chunked);
        let table = decode_chunk_table(&bytes[decoded.value]).unwrap();
        assert_eq!(table, ChunkTable { length: 1_000, count: 3 });

        let mut moved = Vec::new();
        encode_moved(&mut moved, SEED + 1, &bytes);
        assert_eq!(decode(&moved, SEED + 1).unwrap().sequence, Sequence(9));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_refused() {
        let whole = put(Some(Epoch { nonce: 1, number: 2 }), b"key", b"value");
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes, SEED).is_err(), "bit {bit}");
        }
        for length in 0..whole.len() {
            assert!(decode(&whole[..length], SEED).is_err(), "cut at {length}");
        }
        assert_eq!(decode(&whole, SEED + 1), Err(Flaw::Checksum), "of another segment");
    }

    #[test]
    fn lengths_beyond_the_limits_are_refused_before_anything_is_read() {
        let mut bytes = put(None, b"key", b"value");
        bytes[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        assert_eq!(Header::read(&bytes), Err(Flaw::Length));
        let mut bytes = put(None, b"key", b"value");
        bytes[6..8].copy_from_slice(&u16::MAX.to_le_bytes());
        assert_eq!(Header::read(&bytes), Err(Flaw::Length));
    }

    #[test]
    fn a_sound_record_of_an_unknown_kind_says_so() {
        let mut bytes = put(None, b"key", b"value");
        bytes[4] = 9;
        let checksum = crc32c::crc32c_append(SEED, &bytes[4..]);
        bytes[..4].copy_from_slice(&checksum.to_le_bytes());
        assert_eq!(decode(&bytes, SEED), Err(Flaw::Unknown(9)));
    }
}
