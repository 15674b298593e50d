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

#![allow(dead_code, reason = "the commands that use the rest follow")]

mod answer;
pub mod client;
pub mod command;
mod connection;
mod order;
mod overlap;
pub mod parse;
pub mod reply;
pub mod session;
mod strings;
pub mod text;

pub use session::{Backend, Next, Place, Progress, ServerInfo, Session, Settings};

#[cfg(test)]
mod fake;
#[cfg(test)]
mod tests;
