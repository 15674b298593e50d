//! Where records are kept: an append log read through maps, and its twin in memory.
//!
//! ```text
//!  log        the store: put, get, flush                       ── the loop
//!  staging    records on their way to the kernel
//!  worker     everything that may wait for the disk            ── a thread of its own, or the host's
//!  index      where each key lies         record, segment      how bytes lie on the disk
//!  directory  what a data directory is    recovery             the log, read back
//!  disk       the border to the outside   file, map            the real one
//! ```
//!
//! The simulator runs all of it over a disk of its own, by the traits in [`disk`].

mod directory;
pub mod disk;
mod file;
mod index;
mod log;
mod map;
mod memory;
mod record;
mod recovery;
mod segment;
mod staging;
#[cfg(test)]
mod tests;
mod worker;

pub use directory::OpenError;
pub use file::FileDisk;
pub use log::{CloseError, DiskWorker, LogOptions, LogStats, LogStore, WorkerMode};
pub use memory::MemoryStore;
pub use segment::{
    SIZE_MAX as SEGMENT_SIZE_MAX, SIZE_MIN as SEGMENT_SIZE_MIN, SIZE_STEP as SEGMENT_SIZE_STEP,
};
pub use worker::Wake;
