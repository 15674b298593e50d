//! One file an engine. Ours has two: `quorate` is all that is known here of its interface, `shared` makes
//! a store for many threads of it.

pub mod fjall;
pub mod lmdb;
pub mod quorate;
pub mod redb;
pub mod shared;
