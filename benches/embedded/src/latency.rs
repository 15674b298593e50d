//! Many durations in little memory: buckets less than one percent wide, and the longest one exactly.

use std::time::Duration;

/// Buckets of each power of two.
const FINE: u64 = 128;
const FINE_BITS: u32 = FINE.trailing_zeros();

/// How often something took how long.
#[derive(Clone)]
pub struct Latency {
    buckets: Vec<u64>,
    count: u64,
    max: u64,
}

impl Latency {
    /// Nothing yet.
    pub fn new() -> Latency {
        Latency { buckets: vec![0; bucket(u64::MAX) + 1], count: 0, max: 0 }
    }

    /// One more.
    pub fn add(&mut self, took: Duration) {
        let nanos = took.as_nanos() as u64;
        self.buckets[bucket(nanos)] += 1;
        self.count += 1;
        self.max = self.max.max(nanos);
    }

    /// All that another one has.
    pub fn merge(&mut self, other: &Latency) {
        for (into, from) in self.buckets.iter_mut().zip(&other.buckets) {
            *into += from;
        }
        self.count += other.count;
        self.max = self.max.max(other.max);
    }

    /// How many there were.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// How many took longer, to the width of a bucket.
    pub fn slower_than(&self, limit: Duration) -> u64 {
        self.buckets[bucket(limit.as_nanos() as u64) + 1..].iter().sum()
    }

    /// Microseconds that this share of them did not exceed; the longest one for 1.
    pub fn micros(&self, share: f64) -> f64 {
        let wanted = (self.count as f64 * share).ceil() as u64;
        let mut passed = 0;
        for (at, count) in self.buckets.iter().enumerate() {
            passed += count;
            if passed >= wanted {
                return top(at).min(self.max) as f64 / 1e3;
            }
        }
        self.max as f64 / 1e3
    }
}

fn bucket(nanos: u64) -> usize {
    if nanos < FINE {
        return nanos as usize;
    }
    let shift = nanos.ilog2() - FINE_BITS;
    ((u64::from(shift) + 1) * FINE + (nanos >> shift) - FINE) as usize
}

/// The most that a bucket holds.
fn top(bucket: usize) -> u64 {
    let (power, fine) = (bucket as u64 / FINE, bucket as u64 % FINE);
    match power {
        0 => fine,
        _ => u64::try_from(((u128::from(FINE + fine) + 1) << (power - 1)) - 1).unwrap_or(u64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_ends_within_a_percent_of_what_it_holds() {
        for nanos in [0, 1, 127, 128, 129, 255, 256, 1_000, 999_999, u64::MAX / 3, u64::MAX] {
            let top = top(bucket(nanos));
            assert!(top >= nanos && (top - nanos) as f64 <= nanos as f64 / 100.0, "{nanos}: {top}");
        }
    }

    #[test]
    fn shares_are_found_and_the_longest_is_exact() {
        let mut latency = Latency::new();
        (1..=1_000).for_each(|micros| latency.add(Duration::from_micros(micros)));
        assert!((latency.micros(0.5) - 500.0).abs() < 5.0);
        assert!((latency.micros(0.99) - 990.0).abs() < 10.0);
        assert_eq!(latency.micros(1.0), 1_000.0);
    }
}
