//! Where records are kept: an append log read through maps, and its twin in memory.
//!
//! ```text
//!  log        the store: put, get, flush, maintain             ── the loop
//!  staging    records on their way to the kernel
//!  worker     everything that may wait for the disk            ── a thread of its own, or the host's
//!  upkeep     what of it keeps the log in order
//!  index      where each key lies         ledger               how many bytes lie where
//!  prefetch   misses waited for together
//!  record, segment, manifest, checkpoint  how bytes lie on the disk
//!  notes      small files of the core's
//!  directory  what a data directory is    recovery, walk       the log, read back
//!  inspect    a directory looked at without opening it
//!  disk       the border to the outside   file, map            the real one
//! ```
//!
//! The simulator runs all of it over a disk of its own, by the traits in [`disk`].

mod checkpoint;
mod directory;
pub mod disk;
mod file;
mod index;
pub mod inspect;
mod ledger;
mod log;
mod manifest;
mod map;
mod memory;
mod notes;
mod prefetch;
mod record;
mod recovery;
mod segment;
mod staging;
#[cfg(test)]
mod tests;
mod upkeep;
mod walk;
mod worker;

pub use directory::OpenError;
pub use file::FileDisk;
pub use log::{CloseError, DiskWorker, Finding, LogOptions, LogStats, LogStore, Progress, WorkerMode};
pub use memory::MemoryStore;
pub use segment::{
    SIZE_MAX as SEGMENT_SIZE_MAX, SIZE_MIN as SEGMENT_SIZE_MIN, SIZE_STEP as SEGMENT_SIZE_STEP,
};
pub use worker::Wake;
