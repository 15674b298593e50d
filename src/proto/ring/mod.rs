//! The ring: where keys lie and who holds them.
//!
//! ```text
//! key ──position──► 128 bits ──top log2(Q) bits──► partition ──table──► preference list of n machines
//!                                                                ▲
//!          members, weights ──tokens──► walk from each partition's end
//!            zones, old table ──balanced──► whole-number shares, fewest moves
//! ```
//!
//! [`position()`] places keys; [`tokens`] fills the table the way the lecture on Dynamo does, [`balanced`]
//! evenly and by zones; [`Layout`] is the table with its members: immutable, versioned, named by its hash.
//! [`Plan`] says what a change of it moves, [`fallbacks`] who stands in for a replica. Liveness is not known
//! here: who is down changes who answers, never who owns.

pub mod balanced;
mod layout;
pub mod plan;
mod position;
mod rendezvous;
pub mod tokens;

pub use layout::{Layout, LayoutMember, Mode, check_zones, member_id};
pub use plan::Plan;
pub use position::{partition, position, tag};
pub use rendezvous::{Candidate, fallbacks};
pub use tokens::Token;
