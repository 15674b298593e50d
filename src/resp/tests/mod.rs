//! Whole conversations with a session over a plain map.

mod cluster;
mod commands;
mod errors;
mod fake;
mod input;
mod order;
mod store;
