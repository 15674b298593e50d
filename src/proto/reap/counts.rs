//! How often keys of each partition were asked to be reaped, as far as this node knows: by this number a record that was
//! read before a reap is told from one that was read after it (trap T6).
//!
//! A count rises for each attempt, and no two attempts share one. It is *proven* here if this node said, under that very
//! number, what it holds: that is on disk before it is said. It is *heard* if somebody who was further refused a message
//! or asked a question; what is heard lasts as long as the process, and makes an attempt of that number fail here.

use std::collections::BTreeMap;

use crate::proto::store::Sequence;
use crate::proto::wire::{Reader, WireError};

/// Serial numbers leased at one time.
const LEASE: u64 = 1 << 16;

/// See the head of this file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    proven: BTreeMap<u16, u64>,
    heard: BTreeMap<u16, u64>,
    /// What is proven because the partition was emptied, up to the sequence at which that is on disk. The note says
    /// so afterwards: otherwise a crash between the two brings the old records back, under a count that vouches for them.
    emptied: BTreeMap<u16, (Sequence, u64)>,
    /// Serial numbers of attempts of this node: the next one, and the first that is not leased.
    next: u64,
    leased: u64,
    /// The same, as it is known to be on disk.
    leased_safely: u64,
}

impl Counts {
    /// As a note holds them; empty for none.
    ///
    /// # Errors
    /// They are malformed.
    pub fn decode(bytes: &[u8]) -> Result<Counts, WireError> {
        let mut reader = Reader::new(bytes);
        let mut counts = Counts::default();
        if !reader.is_empty() {
            counts.leased = reader.u64("lease")?;
            (counts.next, counts.leased_safely) = (counts.leased, counts.leased);
        }
        while !reader.is_empty() {
            let (partition, count) = (reader.u16("partition")?, reader.u64("reap count")?);
            counts.proven.insert(partition, count);
        }
        Ok(counts)
    }

    /// What is proven and leased, for the note.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(8 + self.proven.len() * 10);
        bytes.extend_from_slice(&self.leased.to_le_bytes());
        for (partition, count) in &self.proven {
            bytes.extend_from_slice(&partition.to_le_bytes());
            bytes.extend_from_slice(&count.to_le_bytes());
        }
        bytes
    }

    /// The count under which this node reads a partition.
    pub fn of(&self, partition: u16) -> u64 {
        let heard = self.heard.get(&partition).copied().unwrap_or(0);
        self.proven(partition).max(heard)
    }

    /// The count under which a node reads what it only keeps for others, or has no place for any more. Nobody asks who is
    /// no member: it vouches for nothing since it was one.
    pub fn of_leftovers(&self, partition: u16, is_member: bool) -> u64 {
        if is_member { self.of(partition) } else { self.proven(partition) }
    }

    /// The last that was proven here.
    pub fn proven(&self, partition: u16) -> u64 {
        let emptied = self.emptied.get(&partition).map_or(0, |&(_, count)| count);
        self.proven.get(&partition).copied().unwrap_or(0).max(emptied)
    }

    /// The number of a new attempt at a partition, above this one and all that was heard; `None` if its serial number is
    /// not leased. `tag` keeps the numbers of two nodes apart.
    pub fn take(&mut self, partition: u16, above: u64, tag: u16) -> Option<u64> {
        let serial = self.next.max((self.of(partition).max(above) >> 16) + 1);
        self.next = serial;
        if serial >= self.leased_safely || serial >> 48 > 0 {
            return None;
        }
        self.next += 1;
        Some(serial << 16 | u64::from(tag))
    }

    /// Leases serial numbers, if that was not done yet: they may be used once the note is on disk. Whether it was.
    pub fn lease(&mut self) -> bool {
        let is_new = self.leased <= self.next;
        if is_new {
            self.leased = self.next + LEASE;
        }
        is_new
    }

    /// Whether one is leased.
    pub const fn has_numbers(&self) -> bool {
        self.next < self.leased_safely
    }

    /// The note is on disk.
    pub fn kept(&mut self) {
        self.leased_safely = self.leased;
    }

    /// Somebody is as far as this.
    pub fn hear(&mut self, partition: u16, count: u64) {
        if count > self.of(partition) {
            self.heard.insert(partition, count);
        }
    }

    /// What this node holds of a partition is known as of this count.
    pub fn prove(&mut self, partition: u16, count: u64) {
        let proven = self.proven.entry(partition).or_default();
        *proven = (*proven).max(count);
    }

    /// Nothing older than this count is held of a partition, as it was emptied; that is on disk up to here.
    pub fn empty(&mut self, partition: u16, count: u64, at: Sequence) {
        self.emptied.insert(partition, (at, count));
    }

    /// So much is on disk. Whether the note says more by that.
    pub fn settle(&mut self, durable: Sequence) -> bool {
        let before = self.emptied.len();
        let proven = &mut self.proven;
        self.emptied.retain(|&partition, &mut (at, count)| {
            if at <= durable {
                let known = proven.entry(partition).or_default();
                *known = (*known).max(count);
            }
            at > durable
        });
        self.emptied.len() < before
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_heard_counts_and_is_forgotten() {
        let mut counts = Counts::default();
        counts.prove(3, 7);
        counts.hear(3, 5);
        assert_eq!((counts.of(3), counts.proven(3), counts.of(4)), (7, 7, 0));
        counts.hear(3, 9);
        counts.hear(4, 1);
        assert_eq!((counts.of(3), counts.proven(3), counts.of(4)), (9, 7, 1));
        let bytes = counts.encode();
        let again = Counts::decode(&bytes).unwrap();
        assert_eq!((again.of(3), again.of(4)), (7, 0));
        assert!(Counts::decode(&bytes[1..]).is_err());
    }

    #[test]
    fn what_was_emptied_is_proven_on_disk_only_once_that_is() {
        let mut counts = Counts::default();
        counts.empty(3, 7, Sequence(5));
        assert_eq!(counts.proven(3), 7);
        // Another note that is written meanwhile does not say it, nor is it said too early.
        counts.prove(4, 1);
        assert!(!counts.settle(Sequence(4)));
        let after_a_crash = Counts::decode(&counts.encode()).unwrap();
        assert_eq!((after_a_crash.proven(3), after_a_crash.proven(4)), (0, 1));
        assert!(counts.settle(Sequence(5)) && !counts.settle(Sequence(5)));
        assert_eq!(Counts::decode(&counts.encode()).unwrap().proven(3), 7);
    }

    #[test]
    fn no_number_is_taken_twice() {
        let mut counts = Counts::default();
        assert_eq!(counts.take(1, 0, 7), None);
        assert!(counts.lease() && !counts.lease());
        assert_eq!(counts.take(1, 0, 7), None);
        counts.kept();
        let first = counts.take(1, 0, 7).unwrap();
        let second = counts.take(2, 0, 7).unwrap();
        counts.hear(1, 9 << 16);
        let third = counts.take(1, first, 7).unwrap();
        assert!(first < second && second < third && third > 9 << 16);
        let mut again = Counts::decode(&counts.encode()).unwrap();
        assert_eq!(again.take(1, 0, 7), None);
        again.lease();
        again.kept();
        assert!(again.take(1, 0, 7).unwrap() > third);
    }
}
