//! Where records are kept: an append log read through maps, and its twin in memory.

pub mod disk;
mod memory;

pub use memory::MemoryStore;
