//! Which commands of one connection may be in flight together.
//!
//! Rule: commands on one key take effect in the order in which the connection sent them. A pipeline is
//! submitted to the node at once and the node may finish its requests in any order, so a command waits
//! while an earlier one on the same key could be told apart from it: reads overlap reads, plain writes
//! overlap plain writes, and nothing else overlaps.
//!
//! Plain writes rest on the node taking requests in the order of submission, and on streams keeping it
//! on the way to another coordinator. Only if such a stream breaks between two of them, and the first is
//! sent again after the second, can the first come last; a client to whom that matters waits for the
//! answer of the first.
//!
//! Keys are remembered as buckets of a hash, so two keys may be taken for one: that costs a wait, never
//! an order. The table is forgotten as a whole once nothing is in flight.

/// How a command touches its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It has no key.
    None,
    /// Reads.
    Read,
    /// Writes without looking.
    Write,
    /// Reads, then writes.
    Edit,
}

impl Access {
    /// Whether it may write.
    pub const fn writes(self) -> bool {
        matches!(self, Access::Write | Access::Edit)
    }

    const fn bit(self) -> u16 {
        match self {
            Access::None => 0,
            Access::Read => 1,
            Access::Write => 2,
            Access::Edit => 4,
        }
    }

    /// The accesses that must not be in flight beside this one.
    const fn conflicts(self) -> u16 {
        match self {
            Access::None => 0,
            Access::Read => 2 | 4,
            Access::Write => 1 | 4,
            Access::Edit => 1 | 2 | 4,
        }
    }
}

const BUCKETS: usize = 4_096;
const ACCESS_BITS: u32 = 3;

/// The keys in flight. Made at the first overlap: a connection that waits for each reply never has one.
#[derive(Debug, Default)]
pub struct Overlap {
    /// A round in the upper bits, the accesses of that round in the lower three.
    buckets: Option<Box<[u16; BUCKETS]>>,
    /// Entries of other rounds are empty.
    round: u16,
}

impl Overlap {
    /// Forgets all keys.
    pub fn begin(&mut self) {
        let buckets = self.buckets.get_or_insert_with(|| Box::new([0; BUCKETS]));
        self.round += 1;
        if self.round >> (16 - ACCESS_BITS) != 0 {
            buckets.fill(0);
            self.round = 1;
        }
    }

    /// Whether the access may go beside those noted since [`Overlap::begin`]; if so, notes it.
    pub fn admit(&mut self, key_hash: u32, access: Access) -> bool {
        let Some(buckets) = &mut self.buckets else { return true };
        let bucket = &mut buckets[key_hash as usize % BUCKETS];
        let held = if *bucket >> ACCESS_BITS == self.round { *bucket & ((1 << ACCESS_BITS) - 1) } else { 0 };
        if held & access.conflicts() != 0 {
            return false;
        }
        *bucket = self.round << ACCESS_BITS | held | access.bit();
        true
    }

    /// Gives the memory back.
    pub fn release(&mut self) {
        self.buckets = None;
        self.round = 0;
    }
}

/// A quick hash of a key. It need not resist anybody: who aims for collisions delays only his own
/// connection.
pub fn key_hash(keyspace: u16, key: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = u64::from(keyspace) ^ (key.len() as u64) << 32;
    let mut words = key.chunks_exact(8);
    for word in &mut words {
        let word = u64::from_le_bytes(word.try_into().expect("a chunk of 8 bytes"));
        hash = (hash ^ word).wrapping_mul(FACTOR).rotate_left(29);
    }
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    hash = (hash ^ u64::from_le_bytes(last)).wrapping_mul(FACTOR);
    (hash >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reads_beside_reads_and_writes_beside_writes_are_admitted() {
        use Access::{Edit, None, Read, Write};
        for (first, second, admitted) in [
            (Read, Read, true),
            (Write, Write, true),
            (Read, Write, false),
            (Write, Read, false),
            (Edit, Edit, false),
            (Edit, Read, false),
            (Read, Edit, false),
            (Edit, Write, false),
            (Write, Edit, false),
            (None, Edit, true),
            (Edit, None, true),
        ] {
            let mut overlap = Overlap::default();
            overlap.begin();
            assert!(overlap.admit(7, first));
            assert_eq!(overlap.admit(7, second), admitted, "{first:?} then {second:?}");
            assert!(overlap.admit(8, second), "another key");
        }
    }

    #[test]
    fn every_round_begins_empty() {
        let mut overlap = Overlap::default();
        for _ in 0..20_000 {
            overlap.begin();
            assert!(overlap.admit(3, Access::Edit));
            assert!(!overlap.admit(3, Access::Edit));
        }
    }

    #[test]
    fn the_hash_sees_every_byte_and_the_keyspace() {
        let key = *b"0123456789abcdefghi";
        for at in 0..key.len() {
            let mut other = key;
            other[at] ^= 1;
            assert_ne!(key_hash(0, &key), key_hash(0, &other), "byte {at}");
        }
        assert_ne!(key_hash(0, &key), key_hash(1, &key));
        assert_ne!(key_hash(0, b""), key_hash(0, b"\0"));
    }
}
