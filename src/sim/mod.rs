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
//! | file | what it owns |
//! |---|---|
//! | `run`, `range` | the life of one run; many seeds over threads |
//! | `faults`, `mixture` | the profile of a run: what may go wrong, and how often; everything at once |
//! | `world` | true time, the events, one call into one node at a time |
//! | `strikes`, `decay` | cuts, pauses, stops, starts, lost disks; a disk that rots |
//! | `network`, `clock`, `disk`, `rot`, `watched` | what stands in for the outside; the watched store |
//! | `store` | another world: one store alone, against a map |
//! | `asking` | turns of clients, and what becomes of replies |
//! | `workload` | clients, and values that name the operation they came from |
//! | `history` | every write of a key, with what its writer had seen |
//! | `oracle`, `replies`, `restarts`, `expiry` | the properties: of puts, of answers, of stops, of sweeps |
//! | `counting`, `elements` | the same for what is counted, and for what is in sets |
//! | `nemesis`, `kept` | operators who change the members, and what befalls them; what must hold of that |
//! | `restored` | disks that are put back to what they were, by operators |
//! | `hinted`, `caught_up` | hints, and what nodes believe of each other's disks; what must hold of that |
//! | `walks` | clients who walk through all keys, and what they must have met |
//! | `feeds` | clients who follow change feeds, and writers with a condition; what must hold of them |
//! | `property`, `report`, `trace` | what must hold, what was exercised, and what happened |
//!
//! A run has a safety phase, in which faults strike, and a liveness phase: everything is healed, every
//! key is read once at R = N, and the replicas of each key must be equal. The same seed gives the same
//! run, and a failure prints the command that replays it. Nothing here is part of a node; no planted bug
//! may live here.

mod asking;
mod caught_up;
mod clock;
mod counting;
mod decay;
mod disk;
mod elements;
mod expiry;
mod faults;
mod feeds;
mod hinted;
mod history;
mod kept;
mod mixture;
mod nemesis;
mod network;
mod oracle;
mod property;
mod range;
mod reaped;
mod replies;
mod report;
mod restarts;
mod restored;
mod rot;
mod run;
mod store;
mod strikes;
mod trace;
mod walks;
mod watched;
mod workload;
mod world;

pub use faults::{Fault, PROFILES};
pub use oracle::{Property, Violation};
pub use range::{RangeOptions, RangeReport, StoreRangeReport, run_range, run_store_range};
pub use report::{Counts, RunReport};
pub use run::{RunOptions, catch_panics, run};
pub use store::{StoreCounts, StoreProperty, StoreReport, StoreViolation, run_store};
