//! What changed since: the log, of some partitions, in the order of sequences.
//!
//! Only segments that are appended to are read, as what compaction copied did not change. Where it has
//! emptied one, the changes in it may be missing: each partition has a *floor*, below which no cursor is covered.
//! Nor is one of another generation, or one of before an unclean stop (trap T19).

use core::ops::ControlFlow;

use super::LogStore;
use super::segments::Entry;
use crate::proto::ring;
use crate::proto::store::{Change, ChangeCursor, Changes, KeyRef, Sequence};
use crate::store::disk::Disk;
use crate::store::ledger::Spot;
use crate::store::record::{self, Decoded, Kind};
use crate::store::segment::HEADER_LENGTH;

/// How a look at one segment ended.
enum Look {
    /// Through all of its records.
    Through,
    /// At this offset, as there was enough.
    Enough(u64),
    /// Here something cannot be read.
    Damaged,
}

impl<D: Disk> LogStore<D> {
    pub(super) fn covers_since(&self, partition: u16, since: &ChangeCursor) -> bool {
        since.generation == self.identity.generation
            && since.sequence.0 + 1 >= self.record.sequence_floor
            && since.sequence >= self.floors[usize::from(partition)]
            && !self.incomplete[usize::from(partition)]
    }

    pub(super) fn changes_since(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes {
        let now = self.cursor(self.last, (self.segments.at(self.segments.active).plan.number, self.head));
        let mut left = effort.max(1);
        let mut at = *since;
        let (number, offset) = self.beginning(since);
        for (_, entry) in self.segments.from(number) {
            if entry.plan.is_compacted {
                continue;
            }
            let from = if entry.plan.number == number { offset } else { HEADER_LENGTH as u64 };
            match self.look_through(entry, from, concerns, since.sequence, &mut left, &mut at, visit) {
                Look::Through => {}
                Look::Enough(offset) => {
                    at.hint = (entry.plan.number, offset);
                    return Changes::More(at);
                }
                Look::Damaged => return Changes::Gap(now),
            }
            if entry.plan.number == now.hint.0 {
                break;
            }
        }
        Changes::End(now)
    }

    fn cursor(&self, sequence: Sequence, hint: (u64, u64)) -> ChangeCursor {
        ChangeCursor { generation: self.identity.generation, sequence, hint }
    }

    /// Where to begin to look: at the hint if it is a place in the log still, else at the segment in which the next
    /// sequence can be.
    fn beginning(&self, since: &ChangeCursor) -> (u64, u64) {
        let (number, offset) = since.hint;
        let is_appended_to = |entry: &Entry<D::File>| !entry.plan.is_compacted;
        if let Some(owner) = self.segments.owner_of(number) {
            let entry = self.segments.at(owner);
            let end = if owner == self.segments.active { self.head } else { entry.end };
            let is_place = (HEADER_LENGTH as u64..=end).contains(&offset) && offset.is_multiple_of(8);
            if is_place && is_appended_to(entry) {
                return (number, offset);
            }
        }
        let is_before = |entry: &Entry<D::File>| is_appended_to(entry) && entry.plan.first <= since.sequence;
        let entries = self.segments.iter().map(|(_, entry)| entry);
        let number = entries.filter(|entry| is_before(entry)).map(|entry| entry.plan.number).last();
        (number.unwrap_or(0), HEADER_LENGTH as u64)
    }

    /// Visits the changes in a segment from an offset on.
    #[expect(clippy::too_many_arguments, reason = "it is the body of one loop, with its state")]
    fn look_through(
        &self,
        entry: &Entry<D::File>,
        from: u64,
        concerns: &dyn Fn(u16) -> bool,
        since: Sequence,
        left: &mut u64,
        at: &mut ChangeCursor,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Look {
        let is_active = entry.plan.number == self.segments.at(self.segments.active).plan.number;
        let end = if is_active { self.head } else { entry.end };
        if end == u64::MAX {
            return Look::Through;
        }
        let mut offset = from;
        while offset < end {
            let location = entry.plan.location(offset);
            // A header that is not what was written may hide a change, or lead past some.
            let Some((bytes, decoded)) = self.read(location) else { return Look::Damaged };
            let length = decoded.length as u64;
            // Marks are of no partition.
            let partition = u16::try_from(decoded.partition).unwrap_or(u16::MAX);
            let is_ours = decoded.sequence > since && concerns(partition);
            let is_change = match decoded.kind {
                Kind::Put => is_ours && self.is_current(partition, &bytes, &decoded, location),
                Kind::Removal | Kind::Drop => is_ours,
                Kind::SyncMark | Kind::Chunk | Kind::Seal => false,
            };
            if is_change {
                match self.show(partition, &bytes, &decoded, visit) {
                    Some(ControlFlow::Continue(())) => at.sequence = decoded.sequence,
                    Some(ControlFlow::Break(())) => {
                        at.sequence = decoded.sequence;
                        return Look::Enough(offset + length);
                    }
                    None => return Look::Damaged,
                }
            }
            if decoded.kind == Kind::Put {
                at.sequence = at.sequence.max(decoded.sequence);
            }
            offset += length;
            *left = left.saturating_sub(length);
            if *left == 0 && offset < end {
                return Look::Enough(offset);
            }
        }
        Look::Through
    }

    /// Whether a put is the one that its key has now. Compaction may have copied it.
    fn is_current(
        &self,
        partition: u16,
        bytes: &[u8],
        decoded: &Decoded,
        location: crate::store::segment::Location,
    ) -> bool {
        let Some((keyspace, key)) = record::stored_key(&bytes[decoded.key.clone()]) else { return false };
        let position = ring::position(&self.options.hash_key, keyspace, key);
        let spot = Spot { partition, fingerprint: self.index.fingerprint(position) };
        let key = KeyRef { keyspace, key, position, partition };
        self.find_key(spot, &key)
            .is_some_and(|(found, header)| found.location == location || header.sequence == decoded.sequence)
    }

    /// Shows one change; `None` if a part of it does not hold.
    fn show(
        &self,
        partition: u16,
        bytes: &[u8],
        decoded: &Decoded,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Option<ControlFlow<()>> {
        if decoded.kind == Kind::Drop {
            return Some(visit(&Change::Dropped(decoded.sequence)));
        }
        let (keyspace, key) = record::stored_key(&bytes[decoded.key.clone()])?;
        let position = ring::position(&self.options.hash_key, keyspace, key);
        let key = KeyRef { keyspace, key, position, partition };
        if decoded.kind == Kind::Removal {
            return Some(visit(&Change::Removed(key, decoded.sequence)));
        }
        let spot = Spot { partition, fingerprint: self.index.fingerprint(position) };
        let (found, _) = self.find_key(spot, &key)?;
        let (bytes, decoded) = self.read(found.location)?;
        Some(visit(&Change::Put(key, self.record_of(spot, &bytes, &decoded)?)))
    }
}
