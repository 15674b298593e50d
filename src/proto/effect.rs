//! What a coordinated write does to our own copy, and what comes of it.

use super::store::Sequence;
use super::version::{Context, Dot, SetChange};

/// What a write replaces.
#[derive(Clone, Copy, Debug)]
pub enum Cover<'a> {
    /// Everything held here.
    All,
    /// What this context covers.
    Context(&'a Context),
    /// The same; refused if there is anything else.
    Only(&'a Context),
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
