//! Who issues events: actors, their epochs, and the dots they issue.

/// A run of events that one data directory issues for one key without a doubt about what it issued
/// before (rule V2). `number` comes from a block leased to disk; `nonce` is drawn at each opening of the
/// directory, so that a copy of it that is opened elsewhere can never issue the same epoch (trap T3).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch {
    /// Random bits of the opening that issued it.
    pub nonce: u64,
    /// Its number within the data directory.
    pub number: u64,
}

/// Who issued an event: a data directory's generation and an epoch of it. An (actor, counter) pair is
/// issued once, ever (rule V1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actor {
    /// Names the data directory.
    pub generation: u64,
    /// The epoch in use.
    pub epoch: Epoch,
}

/// One event: the `counter`-th of `actor` on this key, counted from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Dot {
    /// Who issued it.
    pub actor: Actor,
    /// Which of the actor's events on this key.
    pub counter: u64,
}
