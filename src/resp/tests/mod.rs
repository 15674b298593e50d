//! Whole conversations with a session over a plain map.

mod commands;
mod errors;
mod fake;
mod input;
mod order;
mod store;
