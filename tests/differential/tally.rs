//! How often each command was run with each option, and how often it was answered by an error.

use std::collections::BTreeMap;

use crate::forms::{labels, labels_of};

/// Counts of a label: how often it was run, and answered by an error.
#[derive(Clone, Copy, Debug, Default)]
struct Count {
    runs: u64,
    errors: u64,
}

/// All counts.
pub struct Tally {
    counts: BTreeMap<String, Count>,
    replies: u64,
    errors: u64,
}

impl Tally {
    /// Nothing yet, of everything.
    pub fn new() -> Tally {
        let counts = labels().map(|label| (label, Count::default())).collect();
        Tally { counts, replies: 0, errors: 0 }
    }

    /// Counts a command. One with a mistake in it has its reply counted alone.
    pub fn count(&mut self, words: &[Vec<u8>], is_mistaken: bool, reply: &[u8]) {
        let is_error = u64::from(reply[0] == b'-');
        self.replies += 1;
        self.errors += is_error;
        if is_mistaken {
            return;
        }
        for label in labels_of(words) {
            let count = self.counts.get_mut(&label).expect("all labels are there");
            count.runs += 1;
            count.errors += is_error;
        }
    }

    /// How often the label was run that was run least.
    pub fn least(&self) -> u64 {
        self.counts.values().map(|count| count.runs).min().unwrap_or(0)
    }

    /// Of all replies of Redis, how many were no errors, in percent.
    pub fn good_percent(&self) -> f64 {
        100.0 * (self.replies - self.errors) as f64 / self.replies.max(1) as f64
    }

    /// Commands that were answered by errors more often than this, in percent.
    pub fn bad(&self, errors_max: f64) -> Vec<String> {
        let commands = self.counts.iter().filter(|(label, _)| !label.contains(' '));
        let shares =
            commands.map(|(name, count)| (name, 100.0 * count.errors as f64 / count.runs.max(1) as f64));
        shares
            .filter(|(_, share)| *share > errors_max)
            .map(|(name, share)| format!("{name} {share:.1} %"))
            .collect()
    }

    /// Everything, a line for each label.
    pub fn print(&self) {
        for (label, Count { runs, errors }) in &self.counts {
            println!("{runs:>8}  {errors:>7} errors  {label}");
        }
        println!(
            "{} replies, {:.1} % of them no errors; each of {} commands and options at least {} times",
            self.replies,
            self.good_percent(),
            self.counts.len(),
            self.least()
        );
    }
}
