//! Figures on their way from the process that measured them to the table: a name and a number a line.

use std::collections::BTreeMap;

/// The figures of one system, one value for each repetition.
#[derive(Default)]
pub struct Samples(BTreeMap<String, Vec<f64>>);

/// The middle of some values and how far they reach.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// Of an even number, the mean of the two in the middle.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The most.
    pub max: f64,
}

/// Says a figure to the process that asked for it.
pub fn say(name: &str, value: f64) {
    println!("{name}\t{value}");
}

impl Samples {
    /// Takes a line that was said; false if it is none.
    pub fn take(&mut self, line: &str) -> bool {
        let Some((name, value)) = line.split_once('\t') else { return false };
        let Ok(value) = value.parse() else { return false };
        self.0.entry(name.to_owned()).or_default().push(value);
        true
    }

    /// All values under a name.
    pub fn all(&self, name: &str) -> &[f64] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// The values under a name, summed up; `None` if there are none.
    pub fn spread(&self, name: &str) -> Option<Spread> {
        spread(self.all(name).to_vec())
    }

    /// What the figure is of the other one, repetition by repetition.
    pub fn ratio(&self, name: &str, of: &str) -> Option<Spread> {
        let pairs = self.all(name).iter().zip(self.all(of));
        spread(pairs.map(|(own, other)| own / other).collect())
    }
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_unstable_by(f64::total_cmp);
    let (min, max) = (*values.first()?, *values.last()?);
    let middle = values.len() / 2;
    let median = if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    };
    Some(Spread { median, min, max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        let mut samples = Samples::default();
        for line in ["own\t1", "limit\t2", "own\t30", "limit\t30", "own\t4", "limit\t2"] {
            assert!(samples.take(line));
        }
        assert!(!samples.take("ready"));
        assert_eq!(samples.ratio("own", "limit"), Some(Spread { median: 1.0, min: 0.5, max: 2.0 }));
        assert_eq!(samples.ratio("own", "nothing"), None);
    }
}
