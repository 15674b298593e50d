//! Many seeds, over threads: each run is alone in its world, so they share nothing but a counter.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::report::{Counts, RunReport};
use super::run::{RunOptions, catch_panics, run};
use super::store::{StoreCounts, StoreReport, run_store};

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

/// What a range of seeds showed in the store world.
#[derive(Clone, Debug, Default)]
pub struct StoreRangeReport {
    /// Runs that were finished.
    pub runs: u64,
    /// Everything they exercised.
    pub counts: StoreCounts,
    /// Runs in which something did not hold, by seed.
    pub failed: Vec<StoreReport>,
    /// Seeds whose second run differed.
    pub not_repeated: Vec<u64>,
    /// All trace hashes, folded in the order of the seeds.
    pub hash: u64,
}

/// Runs all seeds of a range. After a failure no new run is begun, unless told to keep going.
pub fn run_range(options: &RangeOptions) -> RangeReport {
    let reports = over_threads(options, &|seed| {
        let one = RunOptions { seed, profile: options.profile.clone(), trace: false };
        let report = run(&one);
        let repeated = !options.twice || run(&one).trace_hash == report.trace_hash;
        let is_good = report.violation.is_none() && repeated;
        ((report, repeated), is_good)
    });
    let mut range = RangeReport::default();
    for (report, repeated) in reports {
        range.take(report, repeated);
    }
    range
}

/// As [`run_range`], in the store world; nothing is said of profiles there.
pub fn run_store_range(options: &RangeOptions) -> StoreRangeReport {
    let reports = over_threads(options, &|seed| {
        let report = run_store(seed, false);
        let repeated = !options.twice || run_store(seed, false).trace_hash == report.trace_hash;
        let is_good = report.violation.is_none() && repeated;
        ((report, repeated), is_good)
    });
    let mut range = StoreRangeReport::default();
    for (report, repeated) in reports {
        range.runs += 1;
        range.counts.add(&report.counts);
        range.hash = fold(range.hash, report.trace_hash);
        range.not_repeated.extend((!repeated).then_some(report.seed));
        range.failed.extend(report.violation.is_some().then_some(report));
    }
    range
}

/// Runs seeds over threads; what came of them, in the order of the seeds.
fn over_threads<T: Send>(options: &RangeOptions, run: &(dyn Fn(u64) -> (T, bool) + Sync)) -> Vec<T> {
    catch_panics();
    let next = AtomicU64::new(options.seeds.start);
    let stop = AtomicBool::new(false);
    let done = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..options.jobs.max(1) {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= options.seeds.end {
                        return;
                    }
                    let (report, is_good) = run(seed);
                    if !is_good && !options.keep_going {
                        stop.store(true, Ordering::Relaxed);
                    }
                    done.lock().unwrap_or_else(PoisonError::into_inner).insert(seed, report);
                }
            });
        }
    });
    done.into_inner().unwrap_or_else(PoisonError::into_inner).into_values().collect()
}

fn fold(hash: u64, next: u64) -> u64 {
    (hash ^ next).wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(23)
}

impl RangeReport {
    fn take(&mut self, report: RunReport, repeated: bool) {
        self.runs += 1;
        self.counts.add(&report.counts);
        self.acknowledged += report.acknowledged;
        self.simulated_ms += report.simulated_ms;
        self.hash = fold(self.hash, report.trace_hash);
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
