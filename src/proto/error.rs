//! How requests end, and how opening fails. One enum per boundary, data in the fields.

use core::fmt;
use std::borrow::Cow;

/// How a request ended. Nothing that was not met is ever [`Outcome::Ok`]; a write that failed is never
/// rolled back, and the outcome says whether it may have happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Everything asked for was met.
    Ok,
    /// No live version; the reply may carry a context.
    NotFound,
    /// The request itself is wrong; nothing was done.
    BadArgument(Cow<'static, str>),
    /// The newest value is of another type than the request is for; nothing was done.
    WrongType,
    /// Fewer replicas can be reached than asked for; nothing was written.
    NotEnoughReplicas {
        /// Reachable now.
        reachable: u8,
        /// Needed.
        needed: u8,
    },
    /// A write reached fewer replicas than asked for; it will spread.
    Partial,
    /// The deadline passed; the write may have happened.
    Maybe,
    /// Refused before any work; safe to retry.
    Overloaded,
    /// A new key was refused: the store is at its memory ceiling.
    MemoryCeiling,
    /// Nodes disagree on the layout.
    WrongLayout,
    /// The key has too many siblings for a put without full context.
    TooManySiblings(u32),
    /// The key holds a version that the context does not cover, and the write was not to stand beside one; nothing
    /// was written.
    Changed,
    /// The context token is unreadable, foreign or too long.
    BadContext(Cow<'static, str>),
    /// A timestamp lies too far ahead.
    ClockTooFar,
    /// No version is held by a majority; the reply carries the siblings.
    NoMajority,
    /// The disk is full; nothing was written.
    DiskFull,
    /// The store takes no more writes.
    ReadOnly,
    /// The store lost records of this partition and cannot answer alone.
    Incomplete,
    /// A read found too few replicas before its deadline.
    Timeout,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Ok => f.write_str("ok"),
            Outcome::NotFound => f.write_str("not found"),
            Outcome::BadArgument(why) => write!(f, "bad argument: {why}"),
            Outcome::WrongType => {
                f.write_str("wrong type: Operation against a key holding the wrong kind of value")
            }
            Outcome::NotEnoughReplicas { reachable, needed } => {
                write!(f, "not enough replicas: {reachable} reachable, {needed} needed; nothing was written")
            }
            Outcome::Partial => f.write_str("partial: fewer replicas than asked have it; it will spread"),
            Outcome::Maybe => f.write_str("maybe: the deadline passed, it may be written"),
            Outcome::Overloaded => f.write_str("overloaded: nothing was done, try again"),
            Outcome::MemoryCeiling => {
                f.write_str("memory: the store is at its ceiling and takes no new keys; nothing was written")
            }
            Outcome::WrongLayout => f.write_str("wrong layout"),
            Outcome::TooManySiblings(n) => {
                write!(f, "too many siblings: the key has {n}; read them and put with the context")
            }
            Outcome::Changed => {
                f.write_str("changed: the key holds what the context does not cover; nothing was written")
            }
            Outcome::BadContext(why) => write!(f, "bad context: {why}"),
            Outcome::ClockTooFar => f.write_str("clock too far ahead"),
            Outcome::NoMajority => f.write_str("no majority: the siblings are in the reply"),
            Outcome::DiskFull => f.write_str("disk full: nothing was written"),
            Outcome::ReadOnly => f.write_str("read-only: the store failed a sync and takes no more writes"),
            Outcome::Incomplete => f.write_str("incomplete: this store lost records of the partition"),
            Outcome::Timeout => f.write_str("timeout: too few replicas answered before the deadline"),
        }
    }
}

/// Why a configuration was refused. Names the setting and what was wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The setting, by its long flag.
    pub setting: &'static str,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.setting, self.problem)
    }
}

impl std::error::Error for ConfigError {}
