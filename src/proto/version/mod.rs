//! Versions: who wrote what, and which writes had seen which.
//!
//! A dotted version vector set (Preguiça, Baquero, Almeida, Fonte, Gonçalves 2010, 2012, 2014): an object
//! is one [`VectorClock`] for everything ever written under a key, and one [`Dot`] for each value that no
//! other write has superseded. Lamport's scalar clock and the plain vector clock are public types of
//! their own. What was counted on a key, and the elements of a set, are items of the same kind, each
//! with its dot.

mod actor;
mod clock;
mod context;
mod count;
#[cfg(test)]
mod count_tests;
mod hlc;
mod object;
mod row;
mod set;
#[cfg(test)]
mod set_tests;
#[cfg(test)]
mod tests;

pub use actor::{Actor, Dot, Epoch};
pub use clock::{Causality, LamportClock, VectorClock};
pub use context::{Context, NumberRead};
pub use count::{ActorTotals, Count, CountError, CountPlan, Totals, integer};
pub use hlc::{Hlc, HybridClock};
pub use object::{Object, Sibling, Value, is_counted, is_set};
pub use row::{Element, Row};
pub use set::SetChange;
