//! Who comes and goes: a member that was down and up again three times in ten minutes is *unsteady*. Reads
//! avoid it for a while, which doubles each time it goes on; writes are still sent there.

use core::time::Duration;

use crate::proto::time::Instant;

/// So many returns within [`SPAN`] make a member unsteady.
const RETURNS: usize = 3;
/// The span in which they are counted.
const SPAN: Duration = Duration::from_secs(600);
/// How long a member is unsteady at first.
const FIRST: Duration = Duration::from_secs(60);
/// How long it is at most.
const LONGEST: Duration = Duration::from_secs(600);

/// The returns of one member.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Returns {
    /// The last ones, oldest first; at most [`RETURNS`].
    at: Vec<Instant>,
    /// How long it was unsteady the last time; zero for never.
    time: Duration,
    until: Instant,
}

impl Returns {
    /// The member was down and is alive again. True if it is unsteady.
    pub fn note(&mut self, now: Instant) -> bool {
        if self.at.len() == RETURNS {
            self.at.remove(0);
        }
        self.at.push(now);
        if self.at.len() < RETURNS || now.since(self.at[0]) > SPAN {
            return self.until > now;
        }
        let quiet = self.time.is_zero() || now.since(self.until) > SPAN;
        self.time = if quiet { FIRST } else { (2 * self.time).min(LONGEST) };
        self.until = now + self.time;
        true
    }

    /// Until when it is unsteady; in the past if it is not.
    pub const fn until(&self) -> Instant {
        self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_third_return_in_ten_minutes_makes_unsteady_for_a_doubling_time() {
        let at = |secs: u64| Instant::from_nanos(secs * 1_000_000_000);
        let table = [
            (0, None),
            (400, None),
            (601, None),
            (602, Some(60)),
            (700, Some(120)),
            (800, Some(240)),
            (900, Some(480)),
            (1_000, Some(600)),
            (1_100, Some(600)),
            // Long quiet: it begins anew.
            (5_000, None),
            (5_001, None),
            (5_002, Some(60)),
        ];
        let mut returns = Returns::default();
        for (secs, time) in table {
            assert_eq!(returns.note(at(secs)), time.is_some(), "at {secs}");
            if let Some(time) = time {
                assert_eq!(returns.until(), at(secs + time));
            }
        }
    }
}
