//! What runs of the store world exercised, counted, and the text about it.

use std::collections::BTreeMap;
use std::fmt;

use crate::planted;

use super::super::rot::Rot;
use super::judge::{Property, Violation};

/// Counts of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct StoreCounts {
    /// How often each property was checked.
    checks: BTreeMap<Property, u64>,
    /// Writes that came too early, and that found a full disk.
    pub(super) overloaded: u64,
    pub(super) full: u64,
    /// Writes that the bound of space refused.
    pub(super) refused_space: u64,
    pub(super) drops: u64,
    /// Partitions that were made complete after damage.
    pub(super) repairs: u64,
    pub(super) closes: u64,
    pub(super) kills: u64,
    pub(super) power_cuts: u64,
    pub(super) crashes_in_disk: u64,
    pub(super) failed_syncs: u64,
    /// Openings without a checkpoint, and with one.
    pub(super) openings: [u64; 2],
    pub(super) compactions: u64,
    pub(super) checkpoints: u64,
    pub(super) scrubs: u64,
    pub(super) quarantined: u64,
    pub(super) changes: u64,
    pub(super) gaps: u64,
    rots: [u64; 4],
}

/// Kinds of damage, in the order of the report.
const ROTS: [Rot; 4] = [Rot::Bits, Rot::Sectors, Rot::SmallFile, Rot::Misdirected];

impl StoreCounts {
    /// A property was checked.
    pub(super) fn checked(&mut self, property: Property) {
        *self.checks.entry(property).or_default() += 1;
    }

    /// Damage was done.
    pub(super) fn rot(&mut self, rot: Rot) {
        self.rots[ROTS.iter().position(|&other| other == rot).expect("all are listed")] += 1;
    }

    fn lines(&self) -> Vec<(&'static str, u64)> {
        vec![
            ("closed", self.closes),
            ("killed", self.kills),
            ("power cuts", self.power_cuts),
            ("power cuts in an operation", self.crashes_in_disk),
            ("failed writes and syncs", self.failed_syncs),
            ("writes on a full disk", self.full),
            ("writes that came too early", self.overloaded),
            ("writes over the bound of space", self.refused_space),
            ("flipped bits", self.rots[0]),
            ("lost sectors", self.rots[1]),
            ("rotten small files", self.rots[2]),
            ("misdirected writes", self.rots[3]),
            ("openings by scan", self.openings[0]),
            ("openings from a checkpoint", self.openings[1]),
            ("compactions", self.compactions),
            ("checkpoints", self.checkpoints),
            ("scrubs", self.scrubs),
            ("quarantined ranges", self.quarantined),
            ("repaired partitions", self.repairs),
            ("dropped partitions", self.drops),
            ("changes followed", self.changes),
            ("gaps told", self.gaps),
        ]
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &StoreCounts) {
        other.checks.iter().for_each(|(&property, count)| *self.checks.entry(property).or_default() += count);
        self.overloaded += other.overloaded;
        self.full += other.full;
        self.refused_space += other.refused_space;
        self.drops += other.drops;
        self.repairs += other.repairs;
        self.closes += other.closes;
        self.kills += other.kills;
        self.power_cuts += other.power_cuts;
        self.crashes_in_disk += other.crashes_in_disk;
        self.failed_syncs += other.failed_syncs;
        self.compactions += other.compactions;
        self.checkpoints += other.checkpoints;
        self.scrubs += other.scrubs;
        self.quarantined += other.quarantined;
        self.changes += other.changes;
        self.gaps += other.gaps;
        self.openings.iter_mut().zip(other.openings).for_each(|(mine, theirs)| *mine += theirs);
        self.rots.iter_mut().zip(other.rots).for_each(|(mine, theirs)| *mine += theirs);
    }

    /// What a range of seeds should have exercised and did not.
    pub fn missing(&self) -> Vec<String> {
        let lines = self.lines();
        let mut missing: Vec<String> =
            lines.iter().filter(|line| line.1 == 0).map(|line| line.0.to_owned()).collect();
        let is_checked =
            |property: &&Property| !self.checks.contains_key(property) && **property != Property::Assertion;
        missing.extend(Property::ALL.iter().filter(is_checked).map(|property| property.name().to_owned()));
        missing
    }
}

impl fmt::Display for StoreCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, count) in self.lines() {
            writeln!(f, "  {name:<32} {count:>10}")?;
        }
        writeln!(f, "checks:")?;
        for (property, count) in &self.checks {
            writeln!(f, "  {:<32} {count:>10}", property.name())?;
        }
        Ok(())
    }
}

/// One run, finished.
#[derive(Clone, Debug)]
pub struct StoreReport {
    /// Its seed.
    pub seed: u64,
    /// What it exercised.
    pub counts: StoreCounts,
    /// Tells two runs apart.
    pub trace_hash: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// The trace, if it was asked for: all of it, or the end of it for the key of the violation.
    pub trace: String,
}

impl StoreReport {
    /// The text about a failure: what led to it, what did not hold, and the command that replays it.
    pub fn failure(&self) -> Option<String> {
        let Violation { property, text, .. } = self.violation.as_ref()?;
        let Self { seed, trace, .. } = self;
        let (variables, name) = (planted::variables(), property.name());
        Some(format!(
            "\n{trace}FAILED seed {seed} property {name}\n  {text}\n  \
             replay: {variables}cargo run --release --features sim -- sim --store --seed {seed} --trace\n"
        ))
    }
}
