//! How much this node trusts itself: Lifeguard's local health multiplier (Dadgar, Phillips, Currey 2018,
//! §IV.A). A node that misses answers, wakes late or is suspected by others is itself the likely culprit,
//! so it waits longer before it accuses anybody.

use core::time::Duration;

/// The worst score; timeouts are then eight times as long.
const SCORE_MAX: u32 = 7;

/// The local health score: 0 is well, [`SCORE_MAX`] is sick.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    score: u32,
}

impl Health {
    /// The score, 0 to 7.
    pub const fn score(self) -> u32 {
        self.score
    }

    /// Something went wrong that may be our own fault.
    pub fn worsen(&mut self, by: u32) {
        self.score = self.score.saturating_add(by).min(SCORE_MAX);
    }

    /// A probe was answered.
    pub fn improve(&mut self) {
        self.score = self.score.saturating_sub(1);
    }

    /// A time for a healthy node, as long as this one needs it.
    pub fn scale(self, time: Duration) -> Duration {
        time * (self.score + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplier_is_one_to_eight() {
        let mut health = Health::default();
        let second = Duration::from_secs(1);
        assert_eq!(health.scale(second), second);
        health.worsen(3);
        assert_eq!(health.scale(second), 4 * second);
        health.worsen(u32::MAX);
        assert_eq!(health.scale(second), 8 * second);
        for _ in 0..9 {
            health.improve();
        }
        assert_eq!((health.score(), health.scale(second)), (0, second));
    }
}
