//! The deterministic simulator: whole clusters of the real core and the real log code in a world of
//! simulated clocks, disks and networks, all drawn from one seed.
//!
//! ```text
//! run ── draws a Profile ──► World ── events in true time ──► Node (the real one) ── Output
//!                              │ Network, Clock, Platter        │ Store (the real log, watched)
//!                              ▼                                ▼
//!                          Workload ── requests, replies ──► Oracle: exact causal history, P1 … P12
//! ```
//!
//! A run has a safety phase, in which faults strike, and a liveness phase: everything is healed, every
//! key is read once at R = N, and the replicas of each key must be equal. The same seed gives the same
//! run, and a failure prints the command that replays it. Nothing here is part of a node; no planted bug
//! may live here.

mod clock;
mod disk;
mod faults;
mod history;
mod network;
mod oracle;
mod range;
mod replies;
mod report;
mod restarts;
mod run;
mod strikes;
mod trace;
mod watched;
mod workload;
mod world;

pub use faults::{Fault, PROFILES};
pub use oracle::{Property, Violation};
pub use range::{RangeOptions, RangeReport, run_range};
pub use report::{Counts, RunReport};
pub use run::{RunOptions, catch_panics, run};
