//! The machine: bytes and time in, effects out.
//!
//! Nothing in here reads a clock, opens a socket or a file, starts a thread or draws randomness of its
//! own. A host calls `handle_*(now, …)`, then drains `poll_output()` until it is empty, and comes back
//! at `deadline()`. That contract is the same for the event loop, the C library and the simulator.

pub mod buffer;
pub mod catch_up;
pub mod cluster;
mod compare;
pub mod config;
mod coordinator;
mod effect;
pub mod error;
pub mod exchange;
pub mod few;
pub mod glob;
pub mod gossip;
pub mod hints;
pub mod io;
pub mod keepers;
pub mod keys;
mod latency;
pub mod limits;
pub mod merkle;
pub mod message;
pub mod node;
pub mod observed;
mod pace;
pub mod packet;
pub mod page_token;
mod peers;
pub mod reap;
mod replica;
pub mod ring;
pub mod rng;
mod routes;
pub mod session;
pub mod spare;
pub mod store;
mod sweep;
pub mod time;
mod transfer;
pub mod version;
pub mod wire;
