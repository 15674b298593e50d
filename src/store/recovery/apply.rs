//! From records to the index: each one's effect, and what has to wait until all of them were read.

use super::Item;
use super::Reader;
use crate::proto::merkle::{Digest, FANOUT, NodeName};
use crate::proto::store::Sequence;
use crate::store::disk::{Disk, File};
use crate::store::index::Found;
use crate::store::ledger::Spot;
use crate::store::ledger::Weight;
use crate::store::prefetch::prefetch;
use crate::store::record;
use crate::store::record::Decoded;
use crate::store::record::Header;
use crate::store::record::Kind;
use crate::store::record::Mark;
use crate::store::segment::Location;
use crate::store::segment::Plan;
use crate::store::segment::Segment;
use core::ops::Range;
use std::borrow::Cow;

impl<D: Disk> Reader<'_, D> {
    /// Lets records have their effect, after their slots and the records there were asked for together.
    pub(super) fn apply_batch(&mut self, bytes: &[u8], batch: &mut Vec<(Item, Range<usize>)>) {
        for (item, _) in &*batch {
            self.index.prefetch(item.spot.partition, item.spot.fingerprint);
        }
        for (item, _) in &*batch {
            if let Some(location) = self.index.first(item.spot.partition, item.spot.fingerprint)
                && let Some(Segment { plan, file }) = self.segment_of(location)
                && let Some(header) = file.view(location.offset(plan.slot), record::HEADER_LENGTH)
            {
                prefetch(&header);
            }
        }
        for (item, key) in batch.drain(..) {
            self.apply(&item, &bytes[key]);
        }
    }

    /// Takes a sound record, with what it does to the index; the outer `None` if its content does not fit.
    pub(super) fn take(
        &mut self,
        rest: &[u8],
        offset: u64,
        plan: &Plan,
        decoded: &Decoded,
    ) -> Option<Option<Item>> {
        let (partition, fingerprint) = self.fingerprints.of(rest, decoded)?;
        let value = &rest[decoded.value.clone()];
        match decoded.kind {
            Kind::SyncMark => self.promise(&record::decode_mark(value)?),
            Kind::Seal => self.scan().is_sealed = true,
            Kind::Put | Kind::Removal | Kind::Drop | Kind::Chunk => {
                let epoch = decoded.local.epoch.map_or(0, |epoch| epoch.number.saturating_add(1));
                self.epoch_end = self.epoch_end.max(epoch);
                let item = Item {
                    kind: decoded.kind,
                    spot: Spot { partition, fingerprint },
                    location: plan.location(offset),
                    offset,
                    weight: Weight::of_decoded(decoded),
                    sequence: decoded.sequence,
                    is_chunked: decoded.is_chunked,
                    item_hash: decoded.item_hash,
                };
                if !plan.is_compacted {
                    self.counts[usize::from(partition)] += item.weight.length;
                }
                return Some(Some(item));
            }
        }
        Some(None)
    }

    pub(super) fn promise(&mut self, mark: &Mark) {
        let promised = self.promised.entry(mark.number).or_default();
        *promised = mark.offset.max(*promised);
    }

    /// Lets a record have its effect on the index.
    pub(super) fn apply(&mut self, item: &Item, key: &[u8]) {
        self.last = self.last.max(item.sequence);
        let Spot { partition, fingerprint } = item.spot;
        match item.kind {
            Kind::Put | Kind::Removal | Kind::Chunk if self.fingerprints.hash_key.is_none() => {}
            Kind::Put | Kind::Removal => self.apply_keyed(item, key),
            Kind::Chunk => {
                self.chunks.entry((partition, fingerprint, item.sequence)).or_insert(item.location);
            }
            Kind::Drop => {
                let drop = self.drops.entry(partition).or_default();
                *drop = item.sequence.max(*drop);
            }
            Kind::SyncMark | Kind::Seal => {}
        }
    }

    /// Points the index at a put or a removal of this stored key, unless it has a newer one.
    pub(super) fn apply_keyed(&mut self, item: &Item, key: &[u8]) {
        let Spot { partition, fingerprint } = item.spot;
        let found = self.index.find(partition, fingerprint, |at| self.has_key(at, key));
        let mut old = None;
        match found {
            None => self.index.insert(partition, fingerprint, item.location),
            Some(found) => {
                let older = self.header_at(found.location).expect("its key was just read");
                if older.sequence >= item.sequence && !planted!("replay_order") {
                    return;
                }
                self.index.replace(&found, item.location);
                self.leave(item.spot, found.location, &older);
                old = (older.kind() == Some(Kind::Put)).then_some(older.item_hash);
            }
        }
        if let Some((keyspace, _)) = record::stored_key(key) {
            let new = (item.kind == Kind::Put).then_some(item.item_hash);
            self.change_tree(item.spot, keyspace, old.filter(|_| !planted!("leaf_replay")), new);
        }
        if item.kind == Kind::Removal {
            self.removals.insert((partition, fingerprint, item.location));
        } else {
            self.ledger.add(item.spot, self.owner(item.location), item.weight);
            if item.is_chunked {
                self.chunked.push(*item);
            }
        }
    }

    /// A slot has changed, and so does its leaf (trap T14): the hash of its key's record before, and now.
    fn change_tree(&mut self, spot: Spot, keyspace: u16, old: Option<u64>, new: Option<u64>) {
        let Spot { partition, fingerprint } = spot;
        let crowded = self.trees.change(partition, keyspace, |tree| match (old, new) {
            (None, Some(new)) => tree.put(fingerprint, new),
            (Some(old), Some(new)) => {
                tree.replace(fingerprint, old, new);
                None
            }
            (Some(old), None) => {
                tree.remove(fingerprint, old);
                None
            }
            (None, None) => None,
        });
        if let Some(leaf) = crowded {
            self.split(partition, keyspace, leaf);
        }
    }

    /// Splits a leaf at once: its records were just read, or will be.
    fn split(&mut self, partition: u16, keyspace: u16, leaf: NodeName) {
        let paths = leaf.paths();
        let mut children = [Digest::default(); FANOUT];
        let slots = self.index.iter(partition, paths.start);
        for (fingerprint, location) in slots.take_while(|slot| slot.0 < paths.end) {
            if let Some((_, item_hash)) = self.glance_at(location).filter(|seen| seen.0 == keyspace) {
                let child = NodeName::of(fingerprint, leaf.level + 1);
                let digest = &mut children[child.prefix as usize % FANOUT];
                *digest = digest.with(Digest::of(item_hash));
            }
        }
        self.trees.change(partition, keyspace, |tree| tree.split(leaf, &children));
    }

    /// A record is no longer pointed at: takes it out of the sums, and its chunks out of the index.
    pub(super) fn leave(&mut self, spot: Spot, location: Location, header: &Header) {
        if header.kind() == Some(Kind::Removal) {
            self.removals.remove(&(spot.partition, spot.fingerprint, location));
            return;
        }
        self.ledger.take(spot, self.owner(location), Weight::of(header));
        if header.is_chunked() {
            for sequence in self.chunks_of(location, header) {
                self.take_chunk(spot, sequence);
            }
        }
    }

    /// Sequences of the chunks of a put.
    pub(super) fn chunks_of(&self, location: Location, header: &Header) -> Range<u64> {
        let value = header.value();
        let table = self.segment_of(location).and_then(|Segment { plan, file }| {
            let bytes = file.view(location.offset(plan.slot) + value.start as u64, value.len())?;
            record::decode_chunk_table(&bytes)
        });
        let count = table.map_or(0, |table| u64::from(table.count));
        header.sequence.0.saturating_sub(count)..header.sequence.0
    }

    /// The slot of a chunk, if it has one.
    pub(super) fn find_chunk(&self, spot: Spot, sequence: u64) -> Option<Found> {
        self.index.find(spot.partition, spot.fingerprint, |at| {
            let header = self.header_at(at);
            header.is_some_and(|header| header.kind() == Some(Kind::Chunk) && header.sequence.0 == sequence)
        })
    }

    pub(super) fn take_chunk(&mut self, spot: Spot, sequence: u64) {
        if let Some(found) = self.find_chunk(spot, sequence)
            && let Some(header) = self.header_at(found.location)
        {
            self.index.remove(&found);
            self.ledger.take(spot, self.owner(found.location), Weight::of(&header));
        }
    }

    pub(super) fn owner(&self, location: Location) -> u32 {
        self.slots.owner(location.slot()).expect("an applied record lies in a segment")
    }

    pub(super) fn segment_of(&self, location: Location) -> Option<&Segment<D::File>> {
        let owner = self.slots.owner(location.slot())?;
        Some(&self.scans[owner as usize].segment)
    }

    /// The header of a record that was found sound.
    pub(super) fn header_at(&self, location: Location) -> Option<Header> {
        let Segment { plan, file } = self.segment_of(location)?;
        Header::read(&file.view(location.offset(plan.slot), record::HEADER_LENGTH)?).ok()
    }

    /// Keyspace and item hash of the key's own record at a location.
    fn glance_at(&self, location: Location) -> Option<(u16, u64)> {
        let Segment { plan, file } = self.segment_of(location)?;
        let length = self.header_at(location)?.length().min(record::BEGINNING_LENGTH);
        record::glance(&file.view(location.offset(plan.slot), length)?)
    }

    /// The stored key of a record that was found sound; none of a chunk.
    pub(super) fn key_at(&self, location: Location) -> Option<Cow<'_, [u8]>> {
        let key = self.header_at(location)?.key();
        let Segment { plan, file } = self.segment_of(location)?;
        file.view(location.offset(plan.slot) + key.start as u64, key.len())
    }

    pub(super) fn has_key(&self, location: Location, key: &[u8]) -> bool {
        self.key_at(location).is_some_and(|other| *other == *key)
    }

    /// Ends what had to wait until everything was read: drops, removals, chunks.
    pub(super) fn resolve(&mut self) {
        for (partition, dropped) in core::mem::take(&mut self.drops) {
            for (fingerprint, location) in self.index.take_partition(partition) {
                let spot = Spot { partition, fingerprint };
                match self.header_at(location) {
                    Some(header) if header.sequence < dropped => {
                        if header.kind() != Some(Kind::Removal) {
                            self.ledger.take(spot, self.owner(location), Weight::of(&header));
                        }
                        if let Some((keyspace, item_hash)) = self.glance_at(location) {
                            self.change_tree(spot, keyspace, Some(item_hash), None);
                        }
                    }
                    _ => self.index.insert(partition, fingerprint, location),
                }
            }
        }
        for (partition, fingerprint, location) in core::mem::take(&mut self.removals) {
            if let Some(found) = self.index.find(partition, fingerprint, |at| at == location) {
                self.index.remove(&found);
            }
        }
        for item in core::mem::take(&mut self.chunked) {
            let Spot { partition, fingerprint } = item.spot;
            let is_held = self.index.find(partition, fingerprint, |at| at == item.location).is_some();
            let Some(header) = self.header_at(item.location).filter(|_| is_held) else { continue };
            for sequence in self.chunks_of(item.location, &header) {
                let chunk = self.chunks.get(&(partition, fingerprint, Sequence(sequence))).copied();
                if let Some(location) = chunk
                    && self.find_chunk(item.spot, sequence).is_none()
                    && let Some(header) = self.header_at(location)
                {
                    self.index.insert(partition, fingerprint, location);
                    self.ledger.add(item.spot, self.owner(location), Weight::of(&header));
                }
            }
        }
    }
}
