//! Many seeds, over threads: each run is alone in its world, so they share nothing but a counter.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::report::{Counts, RunReport};
use super::run::{RunOptions, catch_panics, run};

/// Which seeds, and how.
#[derive(Clone, Debug)]
pub struct RangeOptions {
    /// The seeds.
    pub seeds: Range<u64>,
    /// Name of the profile.
    pub profile: String,
    /// Run each seed twice and compare the traces.
    pub twice: bool,
    /// Threads.
    pub jobs: usize,
    /// Go on after a failure.
    pub keep_going: bool,
}

/// What a range of seeds showed.
#[derive(Clone, Debug, Default)]
pub struct RangeReport {
    /// Runs that were finished.
    pub runs: u64,
    /// Everything they exercised.
    pub counts: Counts,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// True time that passed in them, in milliseconds.
    pub simulated_ms: u64,
    /// Runs that do not count, and why, by seed.
    pub not_counted: Vec<(u64, String)>,
    /// Runs in which something did not hold, by seed.
    pub failed: Vec<RunReport>,
    /// Seeds whose second run differed.
    pub not_repeated: Vec<u64>,
    /// All trace hashes, folded in the order of the seeds.
    pub hash: u64,
}

/// Runs all seeds of a range. After a failure no new run is begun, unless told to keep going.
pub fn run_range(options: &RangeOptions) -> RangeReport {
    catch_panics();
    let next = AtomicU64::new(options.seeds.start);
    let stop = AtomicBool::new(false);
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seeds.end {
                        return;
                    }
                    let one = RunOptions { seed, profile: options.profile.clone(), trace: false };
                    let report = run(&one);
                    let repeated = !options.twice || run(&one).trace_hash == report.trace_hash;
                    if (report.violation.is_some() || !repeated) && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((report, repeated));
                }
            });
        }
    });
    let mut reports = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    reports.sort_by_key(|(report, _)| report.seed);
    let mut range = RangeReport::default();
    for (report, repeated) in reports {
        range.take(report, repeated);
    }
    range
}

impl RangeReport {
    fn take(&mut self, report: RunReport, repeated: bool) {
        self.runs += 1;
        self.counts.add(&report.counts);
        self.acknowledged += report.acknowledged;
        self.simulated_ms += report.simulated_ms;
        self.hash = (self.hash ^ report.trace_hash).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23);
        if !repeated {
            self.not_repeated.push(report.seed);
        }
        if report.violation.is_some() {
            self.failed.push(report);
        } else if let Some(why) = report.does_not_count() {
            self.not_counted.push((report.seed, why));
        }
    }
}
