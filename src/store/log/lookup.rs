//! From a key, or a partition, to records: through the index, then the staging buffer or a map.

use core::ops::ControlFlow;
use std::borrow::Cow;

use crate::proto::ring;
use crate::proto::store::{KeyRef, Lookup, Record, StoreError};
use crate::store::disk::{Disk, File};
use crate::store::record::{self, Decoded, HEADER_LENGTH, Header};
use crate::store::segment::Location;

use super::LogStore;

impl<D: Disk> LogStore<D> {
    pub(super) fn look_up(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError> {
        let fingerprint = self.index.fingerprint(key.position);
        let mut record = None;
        let mut is_damaged = false;
        self.index.find(key.partition, fingerprint, |location| match self.read(location) {
            Some((bytes, decoded)) if is_of(&bytes, &decoded, key) => {
                record = Some(into_record(bytes, decoded));
                true
            }
            Some(_) => false,
            // It may have been this key's, or another's with the same fingerprint: look on.
            None => {
                is_damaged = true;
                false
            }
        });
        match record {
            Some(record) => Ok(Lookup::Found(record)),
            None if is_damaged => Err(StoreError::Damaged),
            None if self.incomplete[usize::from(key.partition)] => Ok(Lookup::Incomplete),
            None => Ok(Lookup::Absent),
        }
    }

    /// Bytes of the record at a location, its length taken from its header; `None` if there is no such
    /// range. Nothing is checked yet.
    fn bytes_at(&self, location: Location) -> Option<Cow<'_, [u8]>> {
        let entry = &self.segments[self.slots.owner(location.slot())? as usize];
        let offset = location.offset(entry.plan.slot);
        if offset >= entry.staged_from {
            let rest = self.staging.find(entry.plan.number, offset)?;
            return rest.get(..Header::read(rest).ok()?.length()).map(Cow::Borrowed);
        }
        let file = &entry.segment.as_ref()?.file;
        let header = Header::read(&file.view(offset, HEADER_LENGTH)?).ok()?;
        file.view(offset, header.length())
    }

    /// Reads the record at a location; `None` if it does not hold.
    fn read(&self, location: Location) -> Option<(Cow<'_, [u8]>, Decoded)> {
        let entry = &self.segments[self.slots.owner(location.slot())? as usize];
        let bytes = self.bytes_at(location)?;
        let decoded = record::decode(&bytes, entry.plan.seed).ok()?;
        Some((bytes, decoded))
    }

    /// Length of the record at a location if it is of this key, without a look at its checksum: enough to
    /// replace it.
    pub(super) fn length_if_of(&self, location: Location, key: &KeyRef<'_>) -> Option<u64> {
        let entry = &self.segments[self.slots.owner(location.slot())? as usize];
        let offset = location.offset(entry.plan.slot);
        let is_key = |stored: &[u8]| record::stored_key(stored) == Some((key.keyspace, key.key));
        if offset >= entry.staged_from {
            let rest = self.staging.find(entry.plan.number, offset)?;
            let header = Header::read(rest).ok()?;
            return is_key(rest.get(header.key())?).then_some(header.length() as u64);
        }
        let file = &entry.segment.as_ref()?.file;
        let header = Header::read(&file.view(offset, HEADER_LENGTH)?).ok()?;
        let stored = header.key();
        is_key(&file.view(offset + stored.start as u64, stored.len())?).then_some(header.length() as u64)
    }

    /// Visits a partition in position order. A record that does not hold is passed over: who needs to
    /// know asks for its key.
    pub(super) fn walk(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) {
        let mut slots = self.index.iter(partition, self.index.fingerprint(from)).peekable();
        // Records of one fingerprint come in any order: they are sorted by their whole position.
        let mut alike: Vec<Placed<'_>> = Vec::new();
        while let Some((fingerprint, location)) = slots.next() {
            alike.extend(self.placed(location));
            if slots.peek().is_some_and(|(next, _)| *next == fingerprint) {
                continue;
            }
            alike.sort_unstable_by(|one, other| one.order().cmp(&other.order()));
            for placed in alike.drain(..).filter(|placed| placed.position >= from) {
                let (keyspace, key) = (placed.keyspace, placed.key());
                let key = KeyRef { keyspace, key, position: placed.position, partition };
                if visit(&key, &record_over(&placed.bytes, &placed.decoded)).is_break() {
                    return;
                }
            }
        }
    }

    fn placed(&self, location: Location) -> Option<Placed<'_>> {
        let (bytes, decoded) = self.read(location)?;
        let (keyspace, key) = record::stored_key(&bytes[decoded.key.clone()])?;
        let position = ring::position(&self.options.hash_key, keyspace, key);
        Some(Placed { position, keyspace, bytes, decoded })
    }
}

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
            let record = record_over(&[], &Decoded { value: 0..0, ..decoded.clone() });
            bytes.truncate(decoded.value.end);
            bytes.drain(..decoded.value.start);
            Record { object: Cow::Owned(bytes), ..record }
        }
    }
}
