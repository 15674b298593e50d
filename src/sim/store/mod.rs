//! The store world: one log over a simulated disk against a plain map, from one seed.
//!
//! The cluster's world asks whether replicas keep their promises together; here everything that one store
//! promises by itself is asked for, and much more often: each run has thousands of puts, removals, drops,
//! scans and looks at the changes, tens of compactions and checkpoints, and a stop every few hundred steps.
//!
//! | file | what it owns |
//! |---|---|
//! | `settings` | what a run is drawn with: sizes, mixture, faults |
//! | `model` | what every key held after which sequence |
//! | `steps` | one step of a run: something asked of the store, or done to its disk |
//! | `stops` | stops, starts, and what must be there afterwards |
//! | `judge` | the properties S1 to S8 |
//! | `report` | what was exercised |

mod judge;
mod model;
mod report;
mod settings;
mod steps;
mod stops;

use std::collections::{BTreeMap, BTreeSet};

use self::judge::{Judged, Violation};
use self::model::Model;
use self::settings::Settings;
use super::disk::{Platter, SimDisk};
use super::run::catch;
use super::trace::Trace;
use crate::proto::rng::Rng;
use crate::proto::store::{ChangeCursor, Sequence};
use crate::store::LogStore;

pub use self::judge::{Property as StoreProperty, Violation as StoreViolation};
pub use self::report::{StoreCounts, StoreReport};

/// A follower of a partition's changes: where it is, the value it holds of each key, and what it could not read.
type Follower = (ChangeCursor, BTreeMap<usize, u64>, BTreeSet<usize>);

/// A store and everything around it.
struct Bench {
    settings: Settings,
    platter: Platter,
    /// `None` only while it stands still.
    store: Option<LogStore<SimDisk>>,
    model: Model,
    followers: BTreeMap<u16, Follower>,
    rng: Rng,
    /// Time as the store is told, in nanoseconds.
    now: u64,
    /// What was written when the last step began, and when that was for each write that strayed.
    written: Sequence,
    strays: Vec<Sequence>,
    /// Something rotted or strayed: some records may be unknown from now on.
    is_struck: bool,
    counts: StoreCounts,
    trace: Trace,
}

impl Bench {
    fn new(seed: u64, text: bool) -> Bench {
        let mut rng = Rng::new(seed ^ 0x0005_7043);
        let settings = Settings::draw(&mut rng);
        Bench {
            platter: Platter::new(1, rng.next_u64()),
            store: None,
            model: Model::new(settings.keys, settings.partitions),
            followers: BTreeMap::new(),
            settings,
            rng,
            now: 1,
            written: Sequence(0),
            strays: Vec::new(),
            is_struck: false,
            counts: StoreCounts::default(),
            trace: Trace::new(text),
        }
    }

    fn store(&self) -> &LogStore<SimDisk> {
        self.store.as_ref().expect("it is open")
    }

    fn store_mut(&mut self) -> &mut LogStore<SimDisk> {
        self.store.as_mut().expect("it is open")
    }

    fn live(&mut self) -> Judged {
        self.start(model::Sure::nothing())?;
        for _ in 0..self.settings.steps {
            self.step()?;
        }
        self.stop_and_start()?;
        self.check_everything()?;
        self.catch_up()
    }
}

/// Lines of a trace that a failure shows.
const EXCERPT: usize = 60;

/// Runs a seed. A run that fails is run again for its trace.
pub fn run_store(seed: u64, trace: bool) -> StoreReport {
    let report = run_once(seed, trace, usize::MAX);
    if report.violation.is_none() || trace {
        return report;
    }
    StoreReport { trace: run_once(seed, true, EXCERPT).trace, ..report }
}

fn run_once(seed: u64, text: bool, lines: usize) -> StoreReport {
    let mut bench = Bench::new(seed, text);
    let judged = catch(|| bench.live())
        .unwrap_or_else(|text| Err(Violation { property: StoreProperty::Assertion, key: None, text }));
    let violation = judged.err();
    bench.count_store();
    let key = violation.as_ref().and_then(|violation| violation.key).filter(|_| lines < usize::MAX);
    StoreReport {
        seed,
        trace: bench.trace.excerpt(key, lines),
        trace_hash: bench.trace.hash(),
        counts: bench.counts,
        violation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_keeps_its_promises_over_stops_and_rot() {
        for seed in 0..6 {
            let report = run_store(seed, false);
            assert!(report.violation.is_none(), "{}", report.failure().unwrap_or_default());
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_run() {
        assert_eq!(run_store(3, false).trace_hash, run_store(3, false).trace_hash);
        assert_ne!(run_store(3, false).trace_hash, run_store(4, false).trace_hash);
    }
}
