//! What leaves the store: a key by a removal, a partition by a drop.
//!
//! Both are records of their own, since an older record may lie in any segment: the log must say that it
//! is gone. A drop takes all slots of its partition out at once; the bytes that these counted as live are
//! taken from their segments in small steps, by `maintain`, as that reads each header.

use super::LogStore;
use super::segments::State;
use crate::proto::store::{KeyRef, Sequence, StoreError};
use crate::store::disk::Disk;
use crate::store::ledger::Spot;
use crate::store::record;

impl<D: Disk> LogStore<D> {
    pub(super) fn append_removal(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError> {
        let length = record::removal_length(key);
        self.begin_append(1, length, true)?;
        let spot = Spot { partition: key.partition, fingerprint: self.index.fingerprint(key.position) };
        let Some((found, header)) = self.find_key(spot, key) else {
            self.give_up_unreadable(spot);
            return Ok(self.last);
        };
        let sequence = self.next();
        self.stage(length, |into, seed| record::encode_removal(into, seed, sequence, key));
        self.count_control(key.partition, length);
        self.index.remove(&found);
        self.change_tree(spot, key.keyspace, Some(header.item_hash), None);
        self.leave_behind(spot, found.location, &header);
        Ok(sequence)
    }

    pub(super) fn append_drop(&mut self, partition: u16) -> Result<Sequence, StoreError> {
        self.begin_append(1, record::DROP_LENGTH, true)?;
        let sequence = self.next();
        self.stage(record::DROP_LENGTH, |into, seed| record::encode_drop(into, seed, sequence, partition));
        self.count_control(partition, record::DROP_LENGTH);
        // A copy of the index that was begun has slots of the partition, whose bytes go one by one.
        self.give_up_checkpoint();
        self.ledger.forget_partition(partition);
        self.drop_trees(partition);
        let slots = self.index.take_partition(partition);
        if !slots.is_empty() {
            self.dropped.push(slots);
        }
        Ok(sequence)
    }

    fn count_control(&mut self, partition: u16, length: usize) {
        self.count_staged(partition, length);
        let active = self.segments.active;
        self.segments.at_mut(active).controls += length as u64;
    }

    /// Takes bytes of dropped records from their segments; returns how many records were looked at.
    pub(super) fn settle_drops(&mut self, budget: usize) -> usize {
        let mut left = budget;
        while left > 0
            && let Some(mut slots) = self.dropped.pop()
        {
            while left > 0
                && let Some((_, location)) = slots.pop()
            {
                left -= 1;
                let header = self.header_at(location);
                if let (Some(header), Some(owner)) = (header, self.segments.owner(location)) {
                    self.ledger.forget_bytes(owner, header.length() as u64);
                }
            }
            if !slots.is_empty() {
                self.dropped.push(slots);
            }
        }
        budget - left
    }

    /// Whether a removal or a drop may be forgotten with its segment: no other segment can hold anything
    /// older that it took out of the store. That is so when each of the others was begun later, or was
    /// compacted from what was live later.
    pub(super) fn is_forgettable(&self, sequence: Sequence, in_segment: u64) -> bool {
        if planted!("tombstone_rule") {
            return true;
        }
        self.segments.iter().all(|(_, entry)| {
            entry.plan.number == in_segment
                || entry.plan.first >= sequence
                || (entry.state == State::Open && entry.segment.is_none())
        })
    }
}
