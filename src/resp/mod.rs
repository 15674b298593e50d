//! RESP: the bytes of a client's connection on one side, requests to the node on the other.
//!
//! ```text
//! bytes ─▶ parse ─▶ session ─▶ command ─▶ Backend::submit ─▶ (the node)
//! bytes ◀─ reply ◀─ answer  ◀─ order   ◀─ Session::handle_reply ◀─┘
//! ```
//!
//! Rule: replies leave in the order of their commands, whatever order the node answers in, and nothing
//! but [`Outcome::Ok`](crate::proto::error::Outcome::Ok) is ever answered as success.
//!
//! Opens no socket, reads no clock, starts no thread: the driver hands in bytes, time and replies.

mod about;
mod answer;
pub mod client;
mod cluster;
mod command;
mod connection;
mod counters;
mod expiry;
pub mod limits;
mod number;
mod object;
mod order;
mod overlap;
pub mod parse;
mod parts;
mod playground;
mod quorum;
mod refused;
pub mod reply;
mod session;
mod sets;
mod store;
mod strings;
pub mod text;
mod walk;
mod watch;

pub use session::{Backend, Next, Place, Progress, ServerInfo, Session, Settings};

#[cfg(test)]
mod tests;
