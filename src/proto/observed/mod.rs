//! What reads have met, for operators: how many siblings, how large, which keys have most, how stale; and how stale
//! they would have been expected to be ([`forecast`]).

pub mod forecast;
mod histogram;

use core::time::Duration;

use super::time::Instant;

pub use self::forecast::Delays;
pub use self::histogram::Histogram;

/// How many keys are remembered as the worst.
const WORST: usize = 8;
/// A key is remembered by so many of its first bytes.
const KEY_SHOWN: usize = 128;

/// A key with many siblings, as it was read last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstKey {
    /// Its keyspace.
    pub keyspace: u16,
    /// Its first bytes.
    pub key: Vec<u8>,
    /// Siblings, live or not.
    pub siblings: u64,
    /// Bytes of the object.
    pub bytes: u64,
}

/// What was observed since this node began.
#[derive(Debug, Default)]
pub struct Observed {
    /// Siblings of the objects that were read, live or not; 0 where nothing was found.
    pub siblings: Histogram,
    /// Bytes of those objects: their context and their values.
    pub bytes: Histogram,
    /// Reads whose answer was compared afterwards with what all other replicas have.
    pub compared: u64,
    /// Those that lacked a version which was written before they began.
    pub stale: u64,
    /// How long before, in milliseconds, by the clocks of the two coordinators.
    pub stale_ms: Histogram,
    /// How long replicas take to acknowledge a write.
    pub writes: Delays,
    /// How long they take to answer a read.
    pub reads: Delays,
    worst: Vec<WorstKey>,
    watched: Option<Watched>,
}

/// A write whose acknowledgements are timed, the late ones too.
#[derive(Debug)]
struct Watched {
    id: u64,
    begun: Instant,
    missing: u8,
}

/// A write is not watched for longer.
const WATCHED_MAX: Duration = Duration::from_secs(5);

impl Observed {
    /// A write was sent to so many others. One at a time is watched, so that those are timed as well that nobody waits
    /// for any more.
    pub fn written(&mut self, now: Instant, id: u64, others: u8) {
        let is_free = self.watched.as_ref().is_none_or(|watched| now.since(watched.begun) > WATCHED_MAX);
        if is_free && others > 0 {
            self.watched = Some(Watched { id, begun: now, missing: others });
        }
    }

    /// One of them has it.
    pub fn acknowledged(&mut self, now: Instant, id: u64) {
        let Some(watched) = self.watched.as_mut().filter(|watched| watched.id == id) else { return };
        self.writes.note(now.since(watched.begun));
        watched.missing -= 1;
        if watched.missing == 0 {
            self.watched = None;
        }
    }

    /// An object was read.
    pub fn read(&mut self, keyspace: u16, key: &[u8], siblings: usize, bytes: usize) {
        let (siblings, bytes) = (siblings as u64, bytes as u64);
        self.siblings.note(siblings);
        if siblings > 0 {
            self.bytes.note(bytes);
        }
        let key = &key[..key.len().min(KEY_SHOWN)];
        let least =
            if self.worst.len() < WORST { 1 } else { self.worst.last().map_or(1, |key| key.siblings) };
        let is_known = || self.worst.iter().any(|worst| worst.keyspace == keyspace && worst.key == key);
        if siblings <= least && !is_known() {
            return;
        }
        self.worst.retain(|worst| worst.keyspace != keyspace || worst.key != key);
        if siblings > 1 {
            let at = self.worst.partition_point(|worst| worst.siblings >= siblings);
            self.worst.insert(at, WorstKey { keyspace, key: key.to_vec(), siblings, bytes });
            self.worst.truncate(WORST);
        }
    }

    /// An answer was compared with what all replicas have. `missed`: how old the oldest version was that it lacked
    /// when the read began.
    pub fn compare(&mut self, missed: Option<Duration>) {
        self.compared += 1;
        if let Some(age) = missed {
            self.stale += 1;
            self.stale_ms.note(u64::try_from(age.as_millis()).unwrap_or(u64::MAX));
        }
    }

    /// The keys with the most siblings, as they were read last; the worst comes first.
    pub fn worst(&self) -> &[WorstKey] {
        &self.worst
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_keys_are_those_with_most_siblings_as_they_were_read_last() {
        let mut observed = Observed::default();
        let names = |observed: &Observed| {
            let worst = observed.worst().iter();
            worst.map(|key| (key.key[0], key.siblings)).collect::<Vec<_>>()
        };
        observed.read(0, b"a", 1, 10);
        observed.read(0, b"b", 0, 0);
        assert_eq!(names(&observed), [], "one version is none too many");
        observed.read(0, b"a", 3, 30);
        observed.read(0, b"c", 5, 50);
        observed.read(1, b"a", 2, 20);
        assert_eq!(names(&observed), [(b'c', 5), (b'a', 3), (b'a', 2)]);
        observed.read(0, b"c", 1, 10);
        assert_eq!(names(&observed), [(b'a', 3), (b'a', 2)], "it was resolved");
        for key in b'd'..b'z' {
            observed.read(0, &[key], usize::from(key), 1);
        }
        assert_eq!(names(&observed).len(), WORST);
        assert_eq!(names(&observed)[0], (b'y', u64::from(b'y')));
        observed.read(0, b"y", 2, 1);
        assert_eq!(names(&observed)[0], (b'x', u64::from(b'x')));
        observed.read(0, &[7; 4_000], 1_000, 1);
        assert_eq!(observed.worst()[0].key.len(), KEY_SHOWN);
    }
}
