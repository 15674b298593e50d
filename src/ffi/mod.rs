//! The C interface: what `include/quorate.h` declares, one file for each of its sections.
//!
//! Rules it keeps, for every exported function: no panic leaves it (`boundary`), every pointer is
//! checked, a forked child is told so, outputs are empty before anything can fail, and a request that
//! was accepted has exactly one completion. There is no state of the process but the page that tells a
//! forked child, the registry of open directories, the panic hook, and memory that each thread uses again.
//!
//! The header is generated from these files and committed; `tests/header.rs` compares. A function stands
//! in `abi/symbols.txt`, from which its tests are made. Nothing in here knows the protocol: it translates
//! to [`crate::driver`] and back.

#![expect(non_camel_case_types, reason = "types have the names that C programs use")]
#![expect(clippy::missing_safety_doc, reason = "the contract of each function is the header's comment")]

pub mod boundary;
pub mod cancel;
pub mod clock;
pub mod cluster;
mod completion;
pub mod context;
pub mod counters;
pub mod disk;
pub mod feed;
#[cfg(feature = "header")]
pub mod header;
#[cfg(feature = "test-hooks")]
pub mod hooks;
pub mod host_loop;
pub mod log;
mod members;
pub mod merge;
pub mod node;
pub mod options;
pub mod packet;
pub mod plain;
pub mod requests;
pub mod scan;
pub mod sets;
pub mod snapshot;
pub mod stats;
pub mod status;
mod user;

// A caught panic is what keeps the host alive; with `panic = "abort"` there is nothing to catch.
#[cfg(not(panic = "unwind"))]
compile_error!("the C interface needs panic = \"unwind\"");
