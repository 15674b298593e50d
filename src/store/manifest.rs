//! The manifest: which segments make the log, and what of them is known to be lost.
//!
//! ```text
//!  magic 8 | through | flags | incomplete until | segments n | n numbers | partitions n | n numbers
//!          | ranges n | n × (number, from, to, flags) | crc32c, zeros          (all 8 bytes wide)
//! ```
//!
//! Segments are appended to the log without a word here. Compaction is what needs one: what it made
//! belongs to the log from the moment the manifest names it, and what it emptied from the moment the
//! manifest leaves it out, both in one atomic step. So a segment belongs to the log if it is named, or if its
//! number is above [`Manifest::through`] and it is no compacted one; the others are leftovers.
//!
//! Damage is remembered, as a restart from a checkpoint does not scan. What a scan met is *felt*: the index
//! lacks whatever was there, and so it will after the next scan. What was found later, by a scrub or by
//! compaction, took nothing from the index; but a scan will miss it, whatever becomes of the segment.
//!
//! Without a manifest, or with one that does not hold, everything in the directory belongs to the log: what
//! compaction had emptied holds nothing that is newer. What was known to be lost is not known any more, so
//! then all partitions are incomplete.

use core::ops::Range;

use super::record::u64_at;
use crate::proto::store::Sequence;

const MAGIC: &[u8; 8] = b"qrt.man\n";
const FLAG_INCOMPLETE: u64 = 1;
/// Flags of a bad range.
const FLAG_ACCEPTED: u64 = 1;
const FLAG_FELT: u64 = 2;

/// A part of a segment that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quarantine {
    /// The segment's number.
    pub number: u64,
    /// Its first byte.
    pub from: u64,
    /// The byte behind it; `u64::MAX` if the segment itself is lost.
    pub to: u64,
    /// Somebody, or an exchange with all other copies, has made good what was lost here.
    pub is_accepted: bool,
    /// A scan met it.
    pub is_felt: bool,
}

impl Quarantine {
    fn covers(&self, number: u64, range: &Range<u64>) -> bool {
        self.number == number && self.from <= range.start && range.end <= self.to
    }
}

/// Partitions that lost records nobody can name.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Incomplete {
    /// No later record is lost: what is newer is evidence (trap T4).
    pub until: Sequence,
    /// Which partitions, rising.
    pub partitions: Vec<u16>,
}

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Numbers up to here belong to the log only if they are named.
    pub through: u64,
    /// The named ones, rising.
    pub segments: Vec<u64>,
    /// What was lost, if something was.
    pub incomplete: Option<Incomplete>,
    /// Ranges known to be bad, rising.
    pub quarantined: Vec<Quarantine>,
}

impl Manifest {
    /// Whether a segment of this number belongs to the log, if it is not a compacted one.
    pub fn holds(&self, number: u64) -> bool {
        number > self.through || self.names(number)
    }

    /// Whether it is named.
    pub fn names(&self, number: u64) -> bool {
        self.segments.binary_search(&number).is_ok()
    }

    /// Whether a bad range of a segment was accepted.
    pub fn accepts(&self, number: u64, range: &Range<u64>) -> bool {
        self.quarantined.iter().any(|bad| bad.is_accepted && bad.covers(number, range))
    }

    /// Adds a bad range that was found beside the scans. Whether that is news.
    pub fn quarantine(&mut self, number: u64, range: &Range<u64>) -> bool {
        self.add(number, range, false)
    }

    /// Adds a bad range that a scan met. Whether that is news.
    pub fn feel(&mut self, number: u64, range: &Range<u64>) -> bool {
        self.add(number, range, true)
    }

    /// Adds a range, joined to those of its kind that it touches.
    fn add(&mut self, number: u64, range: &Range<u64>, is_felt: bool) -> bool {
        let is_known = |bad: &Quarantine| bad.covers(number, range) && (bad.is_felt || !is_felt);
        if self.quarantined.iter().any(is_known) {
            return false;
        }
        let mut new = Quarantine { number, from: range.start, to: range.end, is_accepted: false, is_felt };
        self.quarantined.retain(|bad| {
            let is_alike = bad.is_felt == is_felt && !bad.is_accepted;
            let touches = bad.number == number && bad.from <= new.to && new.from <= bad.to;
            if is_alike && touches {
                (new.from, new.to) = (new.from.min(bad.from), new.to.max(bad.to));
            }
            let is_replaced = is_felt && !bad.is_felt && new.covers(bad.number, &(bad.from..bad.to));
            !(is_alike && touches || is_replaced)
        });
        self.quarantined.push(new);
        self.quarantined.sort_unstable();
        true
    }

    /// Whether a segment has a bad range that no scan has met.
    pub fn is_unfelt(&self, number: u64) -> bool {
        self.quarantined.iter().any(|bad| bad.number == number && !bad.is_felt)
    }

    /// Every range was missed by a scan, those of segments that are gone among them. Whether that is news.
    pub fn feel_all(&mut self) -> bool {
        let unfelt = self.quarantined.iter_mut().filter(|bad| !bad.is_felt);
        unfelt.map(|bad| bad.is_felt = true).count() > 0
    }

    /// Forgets bad ranges of segments that are gone, except those that a scan will miss.
    pub fn retain_segments(&mut self, mut is_there: impl FnMut(u64) -> bool) {
        self.quarantined.retain(|bad| !bad.is_felt || is_there(bad.number));
    }

    /// Takes whatever is lost for absent from now on.
    pub fn accept(&mut self) {
        self.incomplete = None;
        for bad in &mut self.quarantined {
            bad.is_accepted = bad.is_felt;
        }
    }

    /// The content of the manifest file.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let mut put = |number: u64| bytes.extend_from_slice(&number.to_le_bytes());
        put(self.through);
        put(if self.incomplete.is_some() { FLAG_INCOMPLETE } else { 0 });
        let incomplete = self.incomplete.clone().unwrap_or_default();
        put(incomplete.until.0);
        put(self.segments.len() as u64);
        self.segments.iter().for_each(|&number| put(number));
        put(incomplete.partitions.len() as u64);
        incomplete.partitions.iter().for_each(|&number| put(u64::from(number)));
        put(self.quarantined.len() as u64);
        for bad in &self.quarantined {
            let accepted = if bad.is_accepted { FLAG_ACCEPTED } else { 0 };
            let felt = if bad.is_felt { FLAG_FELT } else { 0 };
            [bad.number, bad.from, bad.to, accepted | felt].into_iter().for_each(&mut put);
        }
        super::directory::with_checksum(bytes)
    }

    /// Reads a manifest; `None` if it does not hold.
    pub fn read(bytes: &[u8]) -> Option<Manifest> {
        let body = super::directory::checked(bytes, MAGIC, bytes.len().checked_sub(8)?)?;
        if !body.len().is_multiple_of(8) {
            return None;
        }
        let mut numbers = (8..body.len()).step_by(8).map(|at| u64_at(body, at));
        let mut manifest = Manifest { through: numbers.next()?, ..Manifest::default() };
        let is_incomplete = numbers.next()? & FLAG_INCOMPLETE != 0;
        let until = Sequence(numbers.next()?);
        let count = numbers.next()?;
        manifest.segments = take(&mut numbers, count)?;
        let count = numbers.next()?;
        let partitions = take(&mut numbers, count)?;
        let count = numbers.next()?;
        for range in take(&mut numbers, count.checked_mul(4)?)?.chunks_exact(4) {
            manifest.quarantined.push(Quarantine {
                number: range[0],
                from: range[1],
                to: range[2],
                is_accepted: range[3] & FLAG_ACCEPTED != 0,
                is_felt: range[3] & FLAG_FELT != 0,
            });
        }
        let partitions: Option<Vec<u16>> =
            partitions.iter().map(|&number| u16::try_from(number).ok()).collect();
        let incomplete = Incomplete { until, partitions: partitions? };
        manifest.incomplete = is_incomplete.then_some(incomplete);
        (numbers.next().is_none() && manifest.segments.is_sorted()).then_some(manifest)
    }
}

fn take(numbers: &mut impl Iterator<Item = u64>, count: u64) -> Option<Vec<u64>> {
    let taken: Vec<u64> = numbers.take(usize::try_from(count).ok()?).collect();
    (taken.len() as u64 == count).then_some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest() -> Manifest {
        let mut manifest = Manifest {
            through: 9,
            segments: vec![3, 7, 9],
            incomplete: Some(Incomplete { until: Sequence(55), partitions: vec![0, 65_535] }),
            ..Manifest::default()
        };
        assert!(manifest.quarantine(7, &(64..96)));
        manifest
    }

    #[test]
    fn it_comes_back_and_every_flipped_bit_and_cut_is_refused() {
        for manifest in [manifest(), Manifest::default()] {
            let bytes = manifest.bytes();
            assert_eq!(Manifest::read(&bytes), Some(manifest));
            for bit in 0..bytes.len() * 8 {
                let mut bytes = bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(Manifest::read(&bytes), None, "bit {bit}");
            }
            for length in 0..bytes.len() {
                assert_eq!(Manifest::read(&bytes[..length]), None);
            }
        }
    }

    #[test]
    fn members_are_what_is_named_or_newer() {
        let manifest = manifest();
        let held: Vec<u64> = (1..12).filter(|&number| manifest.holds(number)).collect();
        assert_eq!(held, [3, 7, 9, 10, 11]);
        assert!(manifest.names(9) && !manifest.names(10));
    }

    #[test]
    fn bad_ranges_are_joined_and_can_be_accepted() {
        let mut manifest = manifest();
        assert!(!manifest.quarantine(7, &(64..80)));
        assert!(manifest.quarantine(7, &(96..104)));
        assert!(manifest.feel(3, &(0..64)));
        let ranges: Vec<_> = manifest.quarantined.iter().map(|bad| (bad.number, bad.from, bad.to)).collect();
        assert_eq!(ranges, [(3, 0, 64), (7, 64, 104)]);
        assert!(manifest.feel(7, &(64..104)) && !manifest.feel(7, &(72..80)));
        assert_eq!(manifest.quarantined.len(), 2);
        assert!(!manifest.accepts(7, &(64..72)));
        manifest.accept();
        assert!(manifest.accepts(7, &(64..72)) && !manifest.accepts(7, &(64..112)));
        assert_eq!(manifest.incomplete, None);
        manifest.retain_segments(|number| number != 3);
        assert_eq!(manifest.quarantined.len(), 1);
    }

    #[test]
    fn what_no_scan_has_met_is_not_accepted_and_outlives_its_segment() {
        let mut manifest = manifest();
        manifest.accept();
        assert!(!manifest.accepts(7, &(64..96)));
        manifest.retain_segments(|_| false);
        assert_eq!(manifest.quarantined.len(), 1);
        assert!(manifest.feel_all() && !manifest.feel_all());
        manifest.retain_segments(|_| false);
        assert_eq!(manifest.quarantined.len(), 0);
    }
}
