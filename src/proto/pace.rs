//! How fast work in the background may go: a pace in bytes, and the credit of one receiver.
//!
//! The credit is the count of records that may be on their way. It grows with each acknowledgement that comes soon,
//! halves with one that comes late, and is one record where nothing was acknowledged yet. So nothing that comes back
//! is met by a storm.

use core::time::Duration;

use super::limits;
use super::time::{Instant, Now};

/// So many bytes a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    next_at: Instant,
}

impl Pace {
    /// No more may be done before this.
    pub const fn next_at(self) -> Instant {
        self.next_at
    }

    /// So much was done; with a rate of 0 that costs nothing.
    pub fn slow_down(&mut self, now: Now, rate: u64, bytes: u64) {
        if let Some(cost) = bytes.saturating_mul(1_000_000_000).checked_div(rate) {
            self.next_at = self.next_at.max(now.mono) + Duration::from_nanos(cost);
        }
    }
}

/// Records that may be on their way to one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    window: usize,
}

impl Default for Credit {
    fn default() -> Credit {
        Credit { window: 1 }
    }
}

impl Credit {
    /// How many more may leave, with so many under way.
    pub const fn room(self, under_way: usize) -> usize {
        self.window.saturating_sub(under_way)
    }

    /// A record was acknowledged, so long after it left.
    pub fn acknowledged(&mut self, after: Duration) {
        self.window = match after > limits::HINT_SLOW {
            true => (self.window / 2).max(1),
            false => (self.window + 1).min(limits::HINT_WINDOW),
        };
    }
}

/// What records cost that are given back to a replica, in bytes of [`Config::hint_rate`](super::config::Config): four
/// times as much while clients' requests are many.
pub const fn cost_beside(in_flight: usize, bytes: usize) -> u64 {
    let share = if in_flight >= limits::HINT_FOREGROUND { 4 } else { 1 };
    bytes as u64 * share
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::time::WallTime;

    #[test]
    fn a_pace_spreads_bytes_over_time() {
        let now = Now { mono: Instant::ZERO, wall: WallTime(0) };
        let mut pace = Pace::default();
        pace.slow_down(now, 0, 1 << 20);
        assert_eq!(pace.next_at(), Instant::ZERO);
        pace.slow_down(now, 1_000, 500);
        pace.slow_down(now, 1_000, 500);
        assert_eq!(pace.next_at(), Instant::ZERO + Duration::from_secs(1));
    }

    #[test]
    fn credit_grows_record_by_record_and_halves_with_one_that_is_late() {
        let mut credit = Credit::default();
        assert_eq!((credit.room(0), credit.room(1)), (1, 0));
        (0..1_000).for_each(|_| credit.acknowledged(Duration::ZERO));
        assert_eq!(credit.room(0), limits::HINT_WINDOW);
        credit.acknowledged(limits::HINT_SLOW * 2);
        assert_eq!(credit.room(4), limits::HINT_WINDOW / 2 - 4);
        (0..20).for_each(|_| credit.acknowledged(limits::HINT_SLOW * 2));
        assert_eq!(credit.room(0), 1);
    }
}
