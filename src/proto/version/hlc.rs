//! The hybrid logical clock (Kulkarni, Demirbas, Madappa, Avva, Leone 2014): close to wall time, never
//! behind anything it has seen.

use crate::proto::limits::CLOCK_DRIFT_MAX_MS;
use crate::proto::time::WallTime;

/// A hybrid timestamp: 48 bits of milliseconds since the Unix epoch, then 16 bits of counter. A full
/// counter carries into the milliseconds. Ordered as a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Hlc(pub u64);

impl Hlc {
    /// The first timestamp of a millisecond.
    pub const fn from_millis(millis: u64) -> Hlc {
        Hlc(millis << 16)
    }

    /// The millisecond part.
    pub const fn millis(self) -> u64 {
        self.0 >> 16
    }

    /// The timestamp right after this one.
    pub const fn next(self) -> Hlc {
        Hlc(self.0 + 1)
    }
}

/// The clock that issues them. Reads no clock itself.
#[derive(Clone, Debug, Default)]
pub struct HybridClock {
    last: Hlc,
}

impl HybridClock {
    /// A clock that issues nothing at or below `bound`.
    pub const fn starting_above(bound: Hlc) -> HybridClock {
        HybridClock { last: bound }
    }

    /// What [`HybridClock::tick`] would issue.
    pub fn peek(&self, wall: WallTime) -> Hlc {
        Hlc::from_millis(wall.0).max(self.last.next())
    }

    /// Issues the next timestamp: above every one issued or followed before.
    pub fn tick(&mut self, wall: WallTime) -> Hlc {
        self.last = self.peek(wall);
        self.last
    }

    /// Follows a timestamp seen in a message. One that lies more than [`CLOCK_DRIFT_MAX_MS`] ahead of our
    /// wall clock is not followed, and `false` says so: the data is kept, but one bad clock must not
    /// drag everybody's into the future.
    pub fn follow(&mut self, seen: Hlc, wall: WallTime) -> bool {
        if seen.millis() > wall.0 + CLOCK_DRIFT_MAX_MS {
            return seen <= self.last;
        }
        self.last = self.last.max(seen);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_rise_whatever_the_wall_clock_does() {
        let mut clock = HybridClock::default();
        let mut last = Hlc::default();
        for wall in [5, 5, 5, 9, 2, 0, 9, 10] {
            let issued = clock.tick(WallTime(wall));
            assert!(issued > last);
            last = issued;
        }
        assert_eq!(last, Hlc::from_millis(10));
    }

    #[test]
    fn a_full_counter_carries_into_the_milliseconds() {
        let mut clock = HybridClock::starting_above(Hlc(Hlc::from_millis(8).0 - 1));
        assert_eq!(clock.tick(WallTime(7)), Hlc::from_millis(8));
    }

    #[test]
    fn a_timestamp_far_ahead_is_not_followed() {
        let mut clock = HybridClock::default();
        assert!(!clock.follow(Hlc::from_millis(10_000), WallTime(1_000)));
        assert_eq!(clock.peek(WallTime(1_000)), Hlc::from_millis(1_000));
        assert!(clock.follow(Hlc::from_millis(1_400), WallTime(1_000)));
        assert!(clock.tick(WallTime(1_000)) > Hlc::from_millis(1_400));
    }
}
