//! What a coordinated write does to our own copy, and what comes of it.

use super::store::{Sequence, StoreError, Ticket};
use super::version::{Context, CountError, Dot, SetChange};
use super::wire::WireError;

/// What a write replaces.
#[derive(Clone, Copy, Debug)]
pub enum Cover<'a> {
    /// Everything held here.
    All,
    /// What this context covers.
    Context(&'a Context),
}

/// A new version, before it has a dot.
#[derive(Clone, Copy, Debug)]
pub struct NewVersion<'a> {
    /// A delete.
    pub tombstone: bool,
    /// The value; empty for a delete.
    pub value: &'a [u8],
    /// Absolute expiry.
    pub expires_ms: Option<u64>,
}

/// What a coordinated write does to our copy.
#[derive(Clone, Copy, Debug)]
pub enum Effect<'a> {
    /// Puts a version in the place of others.
    Version(Cover<'a>, NewVersion<'a>),
    /// Counts by this much.
    Count(i64),
    /// Changes a set.
    Set(SetChange<'a>),
}

impl Effect<'_> {
    /// How many bytes it adds to an object, but for its context.
    pub(super) fn size(&self) -> usize {
        match self {
            Effect::Version(_, new) => new.value.len(),
            Effect::Set(SetChange::Add { members, .. }) => members.iter().map(|member| member.len()).sum(),
            Effect::Count(_) | Effect::Set(_) => 0,
        }
    }
}

/// A coordinated write, appended here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its sequence in the store.
    pub sequence: Sequence,
    /// The event; of several, the last.
    pub dot: Dot,
    /// What its writer has now seen; nothing, if it has counted or changed a set.
    pub seen: Option<Context>,
    /// The value after it, if it has counted.
    pub value: Option<i64>,
}

/// Why a record was not read or written. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A cold read is under way; the same call succeeds after it.
    Pending(Ticket),
    /// The store's reason.
    Store(StoreError),
    /// The object from a peer is malformed.
    Malformed(WireError),
    /// The key has this many siblings, by number or by size too many for a put that adds one without covering
    /// them all.
    TooManySiblings(u32),
    /// No epoch is leased: the disk is behind.
    Overloaded,
    /// The wall clock lies too far behind what was issued before.
    ClockTooFar,
    /// Nothing can be counted on what is here.
    Count(CountError),
    /// It was read before its partition was last reaped (trap T6).
    Stale,
}
