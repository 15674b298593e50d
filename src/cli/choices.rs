//! Settings that are one of a few words.

use clap::ValueEnum;
use serde::Deserialize;

use quorate::driver::Level;
use quorate::proto::ring::Mode;
use quorate::proto::store::Durability;

/// Whether something is done.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// It is.
    On,
    /// It is not.
    Off,
}

/// How partitions are placed.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Placement {
    /// Members draw random tokens, as in the first Dynamo.
    Tokens,
    /// Even shares, zones kept apart, fewest moves.
    Balanced,
}

impl From<Placement> for Mode {
    fn from(placement: Placement) -> Mode {
        match placement {
            Placement::Tokens => Mode::Tokens,
            Placement::Balanced => Mode::Balanced,
        }
    }
}

/// When a replica acknowledges a write.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Sync {
    /// In memory: a killed process may lose it on this node.
    Memory,
    /// Handed to the kernel, on disk within 100 ms: survives a killed process.
    Interval,
    /// On disk: survives a power cut.
    Always,
}

impl From<Sync> for Durability {
    fn from(sync: Sync) -> Durability {
        match sync {
            Sync::Memory => Durability::Memory,
            Sync::Interval => Durability::Interval,
            Sync::Always => Durability::Always,
        }
    }
}

/// The least important lines to log.
#[derive(ValueEnum, Deserialize, Clone, Copy, Debug, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// What failed and needs a person.
    Error,
    /// Also what is wrong and was coped with.
    Warn,
    /// Also what an operator wants to know once.
    Info,
    /// Also what helps to find faults.
    Debug,
    /// Everything.
    Trace,
}

impl From<LogLevel> for Level {
    fn from(level: LogLevel) -> Level {
        match level {
            LogLevel::Error => Level::Error,
            LogLevel::Warn => Level::Warn,
            LogLevel::Info => Level::Info,
            LogLevel::Debug => Level::Debug,
            LogLevel::Trace => Level::Trace,
        }
    }
}
