//! The ring: where keys lie and who holds them.
//!
//! ```text
//! key ──position──► 128 bits ──top log2(Q) bits──► partition ──table──► preference list of n machines
//!                                                                ▲
//!          members, weights ──tokens──► walk from each partition's end
//! ```
//!
//! [`position()`] places keys, [`tokens`] fills the table the way the lecture on Dynamo does, and
//! [`Layout`] is the table with its members: immutable, versioned, named by its hash. Liveness is not
//! known here: who is down changes who answers, never who owns.

mod layout;
mod position;
pub mod tokens;

pub use layout::{Layout, LayoutMember, member_id};
pub use position::{partition, position, tag};
pub use tokens::Token;
