//! The clocks of one simulated machine: a monotonic one that drifts, and a wall clock that is wrong.
//!
//! The world has one true time in nanoseconds. A machine's monotonic clock runs a few hundred parts per
//! million fast or slow and starts anywhere at each boot; it never goes back. Its wall clock has an error
//! of its own that may jump either way.

use crate::proto::rng::Rng;
use crate::proto::time::{Instant, Now, WallTime};

/// Wall time at the world's time 0, in milliseconds since the Unix epoch.
pub const WALL_BASE_MS: u64 = 1_700_000_000_000;

/// True time, in nanoseconds since the start of the run.
pub type Time = u64;

/// One millisecond of [`Time`].
pub const MS: Time = 1_000_000;

/// The clocks of a machine.
#[derive(Clone, Debug)]
pub struct Clock {
    /// Error of the rate, in parts per million.
    drift_ppm: i64,
    /// Reading of the monotonic clock at `boot`.
    origin: u64,
    /// True time of the boot.
    boot: Time,
    /// Error of the wall clock, in milliseconds.
    wall_error_ms: i64,
}

impl Clock {
    /// A clock with an error drawn from `rng`: up to `skew_ms` of the wall clock and `drift_ppm` of the rate.
    pub fn new(rng: &mut Rng, skew_ms: u64, drift_ppm: u64) -> Clock {
        let mut signed = |bound: u64| rng.below(2 * bound + 1) as i64 - bound as i64;
        let (wall_error_ms, drift_ppm) = (signed(skew_ms), signed(drift_ppm));
        Clock { drift_ppm, origin: 0, boot: 0, wall_error_ms }
    }

    /// Starts the monotonic clock anew, as a reboot does.
    pub fn reboot(&mut self, now: Time, origin: u64) {
        (self.boot, self.origin) = (now, origin);
    }

    /// Moves the wall clock.
    pub fn jump(&mut self, by_ms: i64) {
        self.wall_error_ms += by_ms;
    }

    /// Sets the wall clock right, as a time service would.
    pub fn correct(&mut self) {
        self.wall_error_ms = 0;
    }

    /// What both clocks say at a true time.
    pub fn read(&self, now: Time) -> Now {
        let run = i128::from(now - self.boot);
        let mono = i128::from(self.origin) + run + run * i128::from(self.drift_ppm) / 1_000_000;
        let wall = (WALL_BASE_MS + now / MS).saturating_add_signed(self.wall_error_ms);
        Now { mono: Instant::from_nanos(mono as u64), wall: WallTime(wall) }
    }

    /// The first true time at which the monotonic clock reads at least `mono`; `None` for never.
    pub fn when(&self, mono: Instant) -> Option<Time> {
        if mono == Instant::NEVER {
            return None;
        }
        let run = i128::from(mono.as_nanos()) - i128::from(self.origin);
        let rate = 1_000_000 + i128::from(self.drift_ppm);
        let elapsed = (run * 1_000_000).div_euclid(rate).max(0) as u64;
        let mut at = self.boot.saturating_add(elapsed);
        while self.read(at).mono < mono {
            at += 1;
        }
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_comes_back_as_the_first_true_time_at_which_it_has_passed() {
        for seed in 0..200 {
            let mut rng = Rng::new(seed);
            let mut clock = Clock::new(&mut rng, 1_000, 500);
            clock.reboot(rng.below(1 << 40), rng.below(1 << 50));
            let wanted = clock.read(clock.boot + rng.below(1 << 36)).mono;
            let at = clock.when(wanted).unwrap();
            assert!(clock.read(at).mono >= wanted);
            assert!(at == clock.boot || clock.read(at - 1).mono < wanted);
        }
        assert_eq!(Clock::new(&mut Rng::new(1), 0, 0).when(Instant::NEVER), None);
    }
}
