//! Counts of values by their size: one for 0, and one for each power of two. It takes no memory beside itself and a few
//! instructions a value, which a library with finer steps does not; what it tells is right within a factor of two.

/// How many values had which size.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Histogram {
    /// Of 0, of 1, of 2 to 3, of 4 to 7 and so on.
    counts: [u64; 65],
    max: u64,
}

impl Default for Histogram {
    fn default() -> Histogram {
        Histogram { counts: [0; 65], max: 0 }
    }
}

impl Histogram {
    /// Counts a value.
    pub fn note(&mut self, value: u64) {
        self.counts[(64 - value.leading_zeros()) as usize] += 1;
        self.max = self.max.max(value);
    }

    /// The largest value so far.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The largest value of each size that occurred, and how many values had it.
    pub fn steps(&self) -> impl Iterator<Item = (u64, u64)> {
        let bound = |at: usize| if at == 64 { u64::MAX } else { (1 << at) - 1 };
        let steps = self.counts.iter().enumerate().filter(|(_, count)| **count > 0);
        steps.map(move |(at, count)| (bound(at).min(self.max), *count))
    }

    /// What so many of a thousand values do not exceed; 0 without a value.
    pub fn quantile(&self, permille: u64) -> u64 {
        let total: u64 = self.counts.iter().sum();
        let wanted = (u128::from(total) * u128::from(permille)).div_ceil(1_000);
        let mut sum = 0;
        let at = self.steps().find(|(_, count)| {
            sum += u128::from(*count);
            sum >= wanted
        });
        at.map_or(0, |(bound, _)| bound)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_counted_by_powers_of_two() {
        let mut histogram = Histogram::default();
        assert_eq!((histogram.quantile(500), histogram.max()), (0, 0));
        [0, 1, 2, 3, 4, 7, 9, u64::MAX].into_iter().for_each(|value| histogram.note(value));
        let steps: Vec<_> = histogram.steps().collect();
        assert_eq!(steps, [(0, 1), (1, 1), (3, 2), (7, 2), (15, 1), (u64::MAX, 1)]);
        assert_eq!(
            (histogram.quantile(0), histogram.quantile(500), histogram.quantile(1_000)),
            (0, 3, u64::MAX)
        );
        let mut ones = Histogram::default();
        (0..999).for_each(|_| ones.note(1));
        ones.note(5);
        assert_eq!((ones.quantile(990), ones.quantile(999), ones.quantile(1_000)), (1, 1, 5));
    }
}
