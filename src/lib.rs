//! quorate: an always-writable, replicated key-value store that a program links.
//!
//! [`proto`] is the whole protocol without I/O: bytes, requests and time go in; bytes, replies, disk
//! syncs and a deadline come out. [`store`] keeps records in an append log. [`resp`] speaks the Redis
//! protocol without sockets. [`driver`] joins them on one event loop, and `ffi` is the C interface.

#[macro_use]
mod planted;

pub mod driver;
pub mod ffi;
pub mod proto;
pub mod resp;
#[cfg(feature = "sim")]
pub mod sim;
pub mod store;
