//! From a key, or a partition, to records: through the index, then the staging buffer or a map.

use core::ops::ControlFlow;
use std::borrow::Cow;

use super::LogStore;
use crate::proto::ring;
use crate::proto::store::{KeyRef, Lookup, Record, Sequence, StoreError};
use crate::store::disk::{Disk, File};
use crate::store::index::Found;
use crate::store::ledger::Spot;
use crate::store::prefetch::prefetch;
use crate::store::record::{self, Decoded, HEADER_LENGTH, Header, Kind};
use crate::store::segment::Location;
use crate::store::upkeep::Fingerprints;

/// Keys of a batch whose memory accesses are made to overlap at one time.
const BATCH: usize = 32;
/// Bytes of a record that are asked for ahead: all of a small one.
const BEGINNING: usize = 192;

impl<D: Disk> LogStore<D> {
    pub(super) fn look_up(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        let fingerprint = self.index.fingerprint(key.position);
        let mut record = None;
        let mut is_damaged = false;
        self.index.find(key.partition, fingerprint, |location| match self.read(location) {
            Some((bytes, decoded)) if is_of(&bytes, &decoded, key) => {
                record = Some((bytes, decoded));
                true
            }
            // Another key's with the same fingerprint; or a sound record that does not belong there.
            Some((bytes, decoded)) => {
                is_damaged |= !self.is_at_home(key.partition, fingerprint, &bytes, &decoded);
                false
            }
            // It may have been this key's, or another's with the same fingerprint: look on.
            None => {
                is_damaged = true;
                false
            }
        });
        let is_incomplete = self.incomplete[usize::from(key.partition)];
        let Some((bytes, decoded)) = record else {
            return match (is_damaged, is_incomplete) {
                (true, _) => Err(StoreError::Damaged),
                (false, true) => Ok(Lookup::Incomplete),
                (false, false) => Ok(Lookup::Absent),
            };
        };
        let spot = Spot { partition: key.partition, fingerprint };
        let record = match decoded.is_chunked {
            false => into_record(bytes, decoded),
            true => self.put_together(spot, &bytes, &decoded).ok_or(StoreError::Damaged)?,
        };
        let until = self.manifest.incomplete.as_ref().map(|lost| lost.until);
        if is_incomplete && until.is_some_and(|until| record.sequence <= until) {
            return Ok(Lookup::Suspect(record));
        }
        Ok(Lookup::Found(record))
    }

    /// Whether a sound record belongs to a slot of this fingerprint: a write that landed elsewhere in its
    /// segment leaves sound records where slots of others point.
    fn is_at_home(&self, partition: u16, fingerprint: u32, bytes: &[u8], decoded: &Decoded) -> bool {
        let fingerprints = Fingerprints {
            hash_key: Some(self.options.hash_key),
            partitions: self.options.partitions,
            shift: self.index.shift(),
        };
        fingerprints.of(bytes, decoded) == Some((partition, fingerprint))
    }

    pub(super) fn look_many_up(
        &self,
        keys: &[KeyRef<'_>],
        each: &mut dyn FnMut(usize, Result<Lookup<'_>, StoreError>),
    ) {
        for (batch, keys) in keys.chunks(BATCH).enumerate() {
            self.ask_for(keys);
            for (at, key) in keys.iter().enumerate() {
                each(batch * BATCH + at, self.look_up(key));
            }
        }
    }

    /// Asks for the memory that lookups and puts of these keys will read: first their slots, then their
    /// records. Twice as many keys as one pass asks for would push each other out.
    pub(super) fn ask_for(&self, keys: &[KeyRef<'_>]) {
        for keys in keys.chunks(BATCH) {
            for key in keys {
                self.index.prefetch(key.partition, self.index.fingerprint(key.position));
            }
            for key in keys {
                let location = self.index.first(key.partition, self.index.fingerprint(key.position));
                if let Some(bytes) = location.and_then(|location| self.beginning_at(location)) {
                    prefetch(&bytes);
                }
            }
        }
    }

    /// The first bytes of the record at a location, if they lie in a map.
    fn beginning_at(&self, location: Location) -> Option<Cow<'_, [u8]>> {
        let (entry, offset) = self.segments.locate(location)?;
        if offset >= entry.staged_from || !entry.is_readable(self.turn.get()) {
            return None;
        }
        let length = BEGINNING.min(entry.plan.size.checked_sub(offset)? as usize);
        entry.segment.as_ref()?.file.view(offset, length)
    }

    /// The staged bytes, or a view of so many bytes of the file, at a location.
    fn bytes_at(&self, location: Location, at: usize, length: usize) -> Option<Cow<'_, [u8]>> {
        let (entry, offset) = self.segments.locate(location)?;
        if offset >= entry.staged_from {
            let rest = self.staging.find(entry.plan.number, offset)?;
            return rest.get(at..at.checked_add(length)?).map(Cow::Borrowed);
        }
        if !entry.is_readable(self.turn.get()) {
            return None;
        }
        entry.segment.as_ref()?.file.view(offset + at as u64, length)
    }

    /// The header of the record at a location, unchecked.
    pub(super) fn header_at(&self, location: Location) -> Option<Header> {
        Header::read(&self.bytes_at(location, 0, HEADER_LENGTH)?).ok()
    }

    /// Keyspace and item hash of the key's own record at a location, unchecked.
    pub(super) fn glance_at(&self, location: Location) -> Option<(u16, u64)> {
        let length = self.header_at(location)?.length().min(record::BEGINNING_LENGTH);
        record::glance(&self.bytes_at(location, 0, length)?)
    }

    /// Reads the record at a location; `None` if it does not hold.
    pub(super) fn read(&self, location: Location) -> Option<(Cow<'_, [u8]>, Decoded)> {
        let (entry, offset) = self.segments.locate(location)?;
        let bytes = self.bytes_at(location, 0, self.header_at(location)?.length())?;
        let decoded = record::decode(&bytes, entry.plan.seed_at(offset)).ok()?;
        Some((bytes, decoded))
    }

    /// A whole record whose object lies in parts; `None` if one of them does not hold.
    fn put_together(&self, spot: Spot, bytes: &[u8], decoded: &Decoded) -> Option<Record<'_>> {
        let table = record::decode_chunk_table(&bytes[decoded.value.clone()])?;
        let mut object = Vec::new();
        let first = decoded.sequence.0.checked_sub(u64::from(table.count))?;
        for sequence in first..decoded.sequence.0 {
            let (found, _) = self.find_part(spot, Sequence(sequence))?;
            let (bytes, part) = self.read(found.location)?;
            object.reserve_exact(if object.is_empty() { table.length.min(PLAUSIBLE) as usize } else { 0 });
            object.extend_from_slice(&bytes[part.value]);
        }
        (object.len() as u64 == table.length)
            .then(|| Record { object: Cow::Owned(object), ..record_over(&[], &without_value(decoded)) })
    }

    /// The slot of a key and the header of its record, without a look at its checksum: enough to replace
    /// it.
    pub(super) fn find_key(&self, spot: Spot, key: &KeyRef<'_>) -> Option<(Found, Header)> {
        let mut header = None;
        let found = self.index.find(spot.partition, spot.fingerprint, |location| {
            header = self.header_if_of(location, key);
            header.is_some()
        })?;
        Some((found, header?))
    }

    fn header_if_of(&self, location: Location, key: &KeyRef<'_>) -> Option<Header> {
        let header = self.header_at(location)?;
        let stored = header.key();
        let is_put = header.kind() == Some(Kind::Put);
        let is_key = |stored: &[u8]| record::stored_key(stored) == Some((key.keyspace, key.key));
        (is_put && is_key(&self.bytes_at(location, stored.start, stored.len())?)).then_some(header)
    }

    /// The slot of a part, and its header.
    pub(super) fn find_part(&self, spot: Spot, sequence: Sequence) -> Option<(Found, Header)> {
        let mut header = None;
        let found = self.index.find(spot.partition, spot.fingerprint, |location| {
            let is_it = |header: &Header| header.kind() == Some(Kind::Chunk) && header.sequence == sequence;
            header = self.header_at(location).filter(is_it);
            header.is_some()
        })?;
        Some((found, header?))
    }

    /// Sequences of the parts of the object at a location.
    pub(super) fn parts_at(
        &self,
        location: Location,
        header: &Header,
    ) -> impl Iterator<Item = Sequence> + use<D> {
        let value = header.value();
        let bytes = self.bytes_at(location, value.start, value.len());
        let table = bytes.and_then(|bytes| record::decode_chunk_table(&bytes));
        let count = table.map_or(0, |table| u64::from(table.count));
        (header.sequence.0.saturating_sub(count)..header.sequence.0).map(Sequence)
    }

    /// Visits a partition in position order. False if a record does not hold and was passed over.
    pub(super) fn walk(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool {
        let mut slots = self.index.iter(partition, self.index.fingerprint(from)).peekable();
        // Records of one fingerprint come in any order: they are sorted by their whole position.
        let mut alike: Vec<Placed<'_>> = Vec::new();
        let mut is_whole = true;
        while let Some((fingerprint, location)) = slots.next() {
            let placed = self.placed(partition, fingerprint, location);
            // Parts of large objects have slots of their own.
            let is_part = || self.read(location).is_some_and(|(_, decoded)| decoded.kind == Kind::Chunk);
            is_whole &= placed.is_some() || is_part();
            alike.extend(placed);
            if slots.peek().is_some_and(|(next, _)| *next == fingerprint) {
                continue;
            }
            alike.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
            for placed in alike.drain(..).filter(|placed| placed.position >= from) {
                let (keyspace, key) = (placed.keyspace, placed.key());
                let key = KeyRef { keyspace, key, position: placed.position, partition };
                let spot = Spot { partition, fingerprint };
                let Some(record) = self.record_of(spot, &placed.bytes, &placed.decoded) else {
                    is_whole = false;
                    continue;
                };
                if visit(&key, &record).is_break() {
                    return is_whole;
                }
            }
        }
        is_whole
    }

    /// A sound record as the core sees it; `None` if a part of it does not hold.
    pub(super) fn record_of<'a>(
        &'a self,
        spot: Spot,
        bytes: &'a [u8],
        decoded: &Decoded,
    ) -> Option<Record<'a>> {
        match decoded.is_chunked {
            false => Some(record_over(bytes, decoded)),
            true => self.put_together(spot, bytes, decoded),
        }
    }

    fn placed(&self, partition: u16, fingerprint: u32, location: Location) -> Option<Placed<'_>> {
        let (bytes, decoded) = self.read(location)?;
        let (keyspace, key) = record::stored_key(&bytes[decoded.key.clone()])?;
        let position = ring::position(&self.options.hash_key, keyspace, key);
        let is_at_home =
            (ring::partition(position, self.options.partitions), self.index.fingerprint(position))
                == (partition, fingerprint);
        is_at_home.then_some(Placed { position, keyspace, bytes, decoded })
    }
}

/// An object's length is believed up to here before its parts were read, in bytes.
const PLAUSIBLE: u64 = 64 << 20;

/// A sound record with what decides its place in a scan.
struct Placed<'a> {
    position: u128,
    keyspace: u16,
    bytes: Cow<'a, [u8]>,
    decoded: Decoded,
}

impl Placed<'_> {
    fn key(&self) -> &[u8] {
        record::stored_key(&self.bytes[self.decoded.key.clone()]).map_or(&[], |(_, key)| key)
    }

    fn order(&self) -> (u128, u16, &[u8]) {
        (self.position, self.keyspace, self.key())
    }
}

fn is_of(bytes: &[u8], decoded: &Decoded, key: &KeyRef<'_>) -> bool {
    record::stored_key(&bytes[decoded.key.clone()]) == Some((key.keyspace, key.key))
}

fn without_value(decoded: &Decoded) -> Decoded {
    Decoded { value: 0..0, ..decoded.clone() }
}

fn record_over<'a>(bytes: &'a [u8], decoded: &Decoded) -> Record<'a> {
    Record {
        local: decoded.local,
        object: Cow::Borrowed(&bytes[decoded.value.clone()]),
        item_hash: decoded.item_hash,
        sequence: decoded.sequence,
    }
}

/// A record over its own bytes: borrowed from the map or the staging buffer where it can be.
fn into_record(bytes: Cow<'_, [u8]>, decoded: Decoded) -> Record<'_> {
    match bytes {
        Cow::Borrowed(bytes) => record_over(bytes, &decoded),
        Cow::Owned(mut bytes) => {
            let record = record_over(&[], &without_value(&decoded));
            bytes.truncate(decoded.value.end);
            bytes.drain(..decoded.value.start);
            Record { object: Cow::Owned(bytes), ..record }
        }
    }
}
