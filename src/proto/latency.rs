//! How long a peer takes to answer: a running estimate of a high percentile, in one number.
//!
//! Each answer moves the estimate: one that was slower by an eighth up, one that was faster by a 256th down. It rests
//! where one answer in 33 is slower (a stochastic approximation, Robbins and Monro 1951), follows a peer that turns slow
//! within a dozen answers, and needs neither a table nor a clock. An answer that was faster beyond comparison brings it down
//! sooner, so that a peer that stood still for a while is not taken for slow for long.

use core::time::Duration;

/// Where the estimate begins, before anything was heard.
const BEGIN: Duration = Duration::from_millis(20);
/// Nothing is told apart below this.
const LEAST: Duration = Duration::from_micros(50);
/// And nothing above.
const MOST: Duration = Duration::from_secs(10);

/// About the 97th percentile of a peer's answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency(Duration);

impl Default for Latency {
    fn default() -> Latency {
        Latency(BEGIN)
    }
}

impl Latency {
    /// An answer took so long.
    pub fn note(&mut self, took: Duration) {
        let estimate = self.0;
        self.0 = if took > estimate {
            estimate + estimate / 8
        } else if took < estimate / 64 {
            estimate - estimate / 32
        } else {
            estimate - estimate / 256
        };
        self.0 = self.0.clamp(LEAST, MOST);
    }

    /// An answer that takes longer is late.
    pub const fn late_after(self) -> Duration {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::rng::Rng;

    #[test]
    fn about_three_in_a_hundred_are_late() {
        let mut latency = Latency::default();
        let mut rng = Rng::new(1);
        let mut late = 0;
        for round in 0..20_000 {
            // Evenly between 0 and 1 ms.
            let took = Duration::from_nanos(rng.below(1_000_000));
            late += u32::from(round >= 10_000 && took > latency.late_after());
            latency.note(took);
        }
        assert!((200..=400).contains(&late), "{late} of 10,000");
        assert!((900..1_100).contains(&latency.late_after().as_micros()), "{latency:?}");
    }

    #[test]
    fn it_follows_a_peer_that_turns_slow_and_stays_within_bounds() {
        let mut latency = Latency::default();
        (0..10_000).for_each(|_| latency.note(Duration::ZERO));
        assert_eq!(latency.late_after(), LEAST);
        (0..50).for_each(|_| latency.note(Duration::from_millis(10)));
        assert!(latency.late_after() >= Duration::from_millis(10));
        (0..1_000).for_each(|_| latency.note(Duration::from_secs(100)));
        assert_eq!(latency.late_after(), MOST);
        (0..200).for_each(|_| latency.note(Duration::from_micros(500)));
        assert!(latency.late_after() < Duration::from_millis(50), "it stood still, and goes on");
    }
}
