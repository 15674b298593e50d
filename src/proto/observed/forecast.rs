//! How stale reads are to be expected, from how long replicas take: probabilistically bounded staleness (Bailis,
//! Venkataraman, Franklin, Hellerstein and Stoica, VLDB 2012, §5.1: the WARS model).
//!
//! A write reaches replica i after W_i and its acknowledgement comes back after A_i; it is committed at the w-th
//! smallest W + A. A read that begins t later reaches replica i after R_i and is answered after S_i; it takes the r
//! answers that come first, and is stale if each of them left before the write had come. Here the four are half the
//! round trips that were measured of late, drawn anew for each trial.
//!
//! Where R + W is over N no read is stale. The forecast knows nothing of failures, hints or repairs.

use crate::proto::limits::REPLICAS_MAX;
use crate::proto::rng::Rng;

/// Round trips that are remembered.
const SAMPLES: usize = 256;
const TRIALS: u32 = 2_000;

/// The last round trips of one kind of message, in nanoseconds.
#[derive(Clone, Debug, Default)]
pub struct Delays {
    samples: Vec<u64>,
    next: usize,
}

impl Delays {
    /// A replica has answered after so long.
    pub fn note(&mut self, took: core::time::Duration) {
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        match self.samples.get_mut(self.next) {
            Some(sample) => *sample = took,
            None => self.samples.push(took),
        }
        self.next = (self.next + 1) % SAMPLES;
    }

    fn draw_one_way(&self, rng: &mut Rng) -> u64 {
        self.samples[rng.below(self.samples.len() as u64) as usize] / 2
    }
}

/// How many of a million reads are stale that begin so many nanoseconds after a write was acknowledged, for each of two
/// such times; `None` while nothing was measured. The same numbers give the same forecast.
pub fn stale_ppm(
    writes: &Delays,
    reads: &Delays,
    (n, r, w): (u8, u8, u8),
    after: [u64; 2],
) -> Option<[u64; 2]> {
    let (n, r, w) = (usize::from(n), usize::from(r), usize::from(w));
    if r + w > n {
        return Some([0; 2]);
    }
    if writes.samples.is_empty() || reads.samples.is_empty() || n > REPLICAS_MAX || r == 0 || w == 0 {
        return None;
    }
    let mut rng = Rng::new(0x9b5);
    let mut stale = [0; 2];
    for _ in 0..TRIALS {
        let (mut arrivals, mut acknowledged) = ([0; REPLICAS_MAX], [0; REPLICAS_MAX]);
        for at in 0..n {
            arrivals[at] = writes.draw_one_way(&mut rng);
            acknowledged[at] = arrivals[at] + writes.draw_one_way(&mut rng);
        }
        acknowledged[..n].sort_unstable();
        let committed = acknowledged[w - 1];
        let mut ways = [(0, 0); REPLICAS_MAX];
        ways[..n].fill_with(|| (reads.draw_one_way(&mut rng), reads.draw_one_way(&mut rng)));
        for (stale, after) in stale.iter_mut().zip(after) {
            let mut answers = [(0, false); REPLICAS_MAX];
            for at in 0..n {
                let (there, back) = ways[at];
                let asked = committed + after + there;
                answers[at] = (asked + back, arrivals[at] > asked);
            }
            answers[..n].sort_unstable();
            *stale += u64::from(answers[..r].iter().all(|(_, lacks)| *lacks));
        }
    }
    Some(stale.map(|count| count * 1_000_000 / u64::from(TRIALS)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    fn delays(of: impl Iterator<Item = u64>) -> Delays {
        let mut delays = Delays::default();
        of.for_each(|micros| delays.note(Duration::from_micros(micros)));
        delays
    }

    #[test]
    fn quorums_that_overlap_are_never_stale_and_nothing_is_known_at_first() {
        let none = Delays::default();
        assert_eq!(stale_ppm(&none, &none, (3, 2, 2), [0; 2]), Some([0; 2]));
        assert_eq!(stale_ppm(&none, &none, (3, 1, 1), [0; 2]), None);
    }

    #[test]
    fn equal_delays_are_never_stale_and_a_slow_replica_is_while_it_is_waited_for() {
        let equal = delays(std::iter::repeat_n(100, 10));
        assert_eq!(stale_ppm(&equal, &equal, (3, 1, 1), [0; 2]), Some([0; 2]));
        // One message in ten takes 20 ms: a write is acknowledged by one replica and late at another.
        let slow = delays((0..100).map(|at| if at % 10 == 0 { 20_000 } else { 200 }));
        // No two answers come at once.
        let reads = delays(50..150);
        let stale =
            |after_ms: u64| stale_ppm(&slow, &reads, (3, 1, 1), [0, after_ms * 1_000_000]).unwrap()[1];
        // Of a replica drawn at random: a tenth.
        assert!((80_000..120_000).contains(&stale(0)), "{}", stale(0));
        assert!((80_000..120_000).contains(&stale(5)), "{}", stale(5));
        assert_eq!(stale(10), 0, "it has come by then");
        // One of three is late, and the others acknowledge at once, in 20 of 100 writes; it answers first in a third.
        let [two, _] = stale_ppm(&slow, &reads, (3, 1, 2), [0; 2]).unwrap();
        assert!((52_000..80_000).contains(&two), "two have it: {two}");
    }

    #[test]
    fn the_last_round_trips_are_what_counts() {
        let mut delays = delays(std::iter::repeat_n(1, SAMPLES));
        (0..SAMPLES).for_each(|_| delays.note(Duration::from_micros(7)));
        assert!(delays.samples.iter().all(|&sample| sample == 7_000));
    }
}
