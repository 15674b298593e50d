//! Tests of real processes: the program as an operator starts it, killed as machines kill it, asked by
//! clients over real sockets.
//!
//! Every process is ended by the guard that started it, every directory is temporary, every wait has an
//! end. How fast things happen is never asserted; that they happen, and what is answered, is.

mod admin;
mod apart;
mod bad_input;
mod client;
mod cluster;
mod commands;
mod flapping;
mod gossip;
mod hints;
mod jepsen;
mod keyring;
mod kill;
mod load;
mod members;
mod network;
mod operator;
mod overwrites;
mod process;
mod quorum;
mod readme;
mod sets;
mod store;
mod upgrade;
mod walks;
