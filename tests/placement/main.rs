//! Placement from outside: the laws of the balanced table over random clusters, and how evenly every way of
//! placing partitions loads its machines.

mod efficiency;
mod exact;
mod laws;
#[path = "../../benches/placement/schemes.rs"]
mod schemes;
