//! What runs exercised, counted, and the text about it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::planted;

use super::faults::Fault;
use super::feeds::FEED_ACTS;
use super::oracle::{Property, Violation};
use super::walks::WALK_ACTS;

/// Counts of one run or of many.
#[derive(Clone, Debug, Default)]
pub struct Counts {
    /// How often each kind of fault struck.
    pub faults: BTreeMap<Fault, u64>,
    /// How often it struck while a write was under way.
    pub with_write: BTreeMap<Fault, u64>,
    /// How requests ended.
    pub outcomes: BTreeMap<&'static str, u64>,
    /// How often each property was checked.
    pub checks: BTreeMap<Property, u64>,
    /// Requests submitted.
    pub requests: u64,
    /// Acknowledged writes that went with the unsynced tails of all their copies.
    pub excused: u64,
    /// The same where every write is durable before it is acknowledged: must be 0.
    pub excused_always: u64,
    /// Keys whose exact history was lost, because two deletes could not be told apart: judged no more.
    pub doubtful: u64,
    /// Values whose bytes a sweep dropped.
    pub shed: u64,
    /// What operators did and what befell members, and how orders ended.
    pub acts: BTreeMap<String, u64>,
    /// What the stores did, in the order of `UPKEEP`.
    pub upkeep: [u64; UPKEEP.len()],
}

/// What becomes of hints, and what fallbacks do.
const HINT_ACTS: [&str; 7] = [
    "hint made",
    "hint delivered",
    "hint dropped",
    "hint refused",
    "read with a fallback",
    "write with a fallback",
    "write without a replica",
];

/// What operators do with backups, and what nodes notice of it.
const RESTORE_ACTS: [&str; 5] =
    ["backup made", "backup restored", "copy brought back", "disk rolled back", "rollback found"];

/// Acts of runs in which a keeper forgets what it voted.
const FORGETTING_ACTS: [&str; 2] = ["keepers parted", "keeper forgets"];

/// What clients do who wait no more.
const CANCEL_ACTS: [&str; 2] = ["read cancelled", "write cancelled"];

/// What reaping does, as a run counts it.
pub const REAP_ACTS: [&str; 3] = ["key reaped", "stale record refused", "reap blocked"];

/// What stores do beside requests, and how often they were started again from what.
pub const UPKEEP: [&str; 6] = [
    "compactions",
    "checkpoints",
    "scrubs",
    "restarts by a scan",
    "restarts from a checkpoint",
    "quarantined ranges",
];

/// Outcomes that a range of seeds must show: all but *wrong layout*, since members with another layout are
/// not even greeted.
pub const OUTCOMES: [&str; 15] = [
    "Ok",
    "NotFound",
    "BadArgument",
    "NotEnoughReplicas",
    "Partial",
    "Maybe",
    "Overloaded",
    "TooManySiblings",
    "BadContext",
    "NoMajority",
    "ReadOnly",
    "Timeout",
    "ClockTooFar",
    "DiskFull",
    "Incomplete",
];

/// What operators do and what befalls members, and ends of orders that a range of seeds must show.
pub const ACTS: [&str; 22] = [
    "join",
    "leave",
    "left machine emptied",
    "member dies",
    "member emptied",
    "removed returns",
    "keepers cut off",
    "keepers stopped",
    "keepers parted",
    "keeper forgets",
    "stop at a step",
    "two operators",
    "weight",
    "zone",
    "partition dropped",
    "order commit Ok",
    "order commit BadArgument",
    "order plan Ok",
    "order revert Ok",
    "order revert BadArgument",
    "order stage Ok",
    "order unstage Ok",
];

impl Counts {
    /// A fault struck.
    pub fn fault(&mut self, fault: Fault, with_write: bool) {
        *self.faults.entry(fault).or_default() += 1;
        if with_write {
            *self.with_write.entry(fault).or_default() += 1;
        }
    }

    /// A request ended.
    pub fn outcome(&mut self, name: &'static str) {
        *self.outcomes.entry(name).or_default() += 1;
    }

    /// Adds the counts of another run.
    pub fn add(&mut self, other: &Counts) {
        let Counts {
            faults,
            with_write,
            outcomes,
            checks,
            requests,
            excused,
            excused_always,
            doubtful,
            shed,
            acts,
            upkeep,
        } = other;
        acts.iter().for_each(|(name, count)| *self.acts.entry(name.clone()).or_default() += count);
        self.upkeep.iter_mut().zip(upkeep).for_each(|(mine, theirs)| *mine += theirs);
        faults.iter().for_each(|(&fault, count)| *self.faults.entry(fault).or_default() += count);
        with_write.iter().for_each(|(&fault, count)| *self.with_write.entry(fault).or_default() += count);
        outcomes.iter().for_each(|(&name, count)| *self.outcomes.entry(name).or_default() += count);
        checks.iter().for_each(|(&property, count)| *self.checks.entry(property).or_default() += count);
        self.requests += requests;
        self.excused += excused;
        self.doubtful += doubtful;
        self.shed += shed;
        self.excused_always += excused_always;
    }

    /// Which of these acts there never were.
    fn never<'a>(&self, acts: impl IntoIterator<Item = &'a str>) -> impl Iterator<Item = String> {
        acts.into_iter().filter(|act| !self.acts.contains_key(*act)).map(str::to_owned)
    }

    /// What a range of seeds of the profile in which a disk rots should have exercised and did not.
    pub fn missing_of_rot(&self) -> Vec<String> {
        let faults = Fault::ROT.iter().filter(|fault| !self.faults.contains_key(fault));
        let mut missing: Vec<String> = faults.map(|fault| format!("fault {}", fault.name())).collect();
        missing.extend(
            UPKEEP
                .iter()
                .zip(self.upkeep)
                .filter(|(_, count)| *count == 0)
                .map(|(name, _)| (*name).to_owned()),
        );
        missing
    }

    /// What a range of seeds of the profile in which keys are counted on should have exercised and did not.
    pub fn missing_of_counters(&self) -> Vec<String> {
        let checked = self.checks.contains_key(&Property::Counted);
        if checked { Vec::new() } else { vec![format!("property {}", Property::Counted.name())] }
    }

    /// What a range of seeds of the profile in which members change should have exercised and did not.
    pub fn missing_of_membership(&self) -> Vec<String> {
        let mut missing: Vec<String> = self.never(ACTS).collect();
        let others = [
            Property::Counted,
            Property::Reaped,
            Property::Elements,
            Property::Scanned,
            Property::Fed,
            Property::IfSeen,
            Property::ClaimsHold,
        ];
        let checks = Property::ALL.iter().filter(|property| !others.contains(property));
        let checks = checks.filter(|property| !self.checks.contains_key(property));
        missing.extend(checks.map(|property| format!("property {}", property.name())));
        missing
    }

    /// What a range of seeds of the profile in which fallbacks stand in should have exercised and did not.
    pub fn missing_of_sloppy(&self) -> Vec<String> {
        self.never(HINT_ACTS).collect()
    }

    /// What a range of seeds of the profile in which machines are away should have exercised and did not.
    pub fn missing_of_away(&self) -> Vec<String> {
        let mut missing: Vec<String> = self.never(super::caught_up::acts()).collect();
        let checked = self.checks.contains_key(&Property::ClaimsHold);
        missing.extend((!checked).then(|| format!("property {}", Property::ClaimsHold.name())));
        missing
    }

    /// What a range of seeds of the profile in which clients wait no more should have exercised and did not.
    pub fn missing_of_cancels(&self) -> Vec<String> {
        self.never(CANCEL_ACTS).collect()
    }

    /// What a range of seeds of the profile in which keys are reaped should have exercised and did not.
    pub fn missing_of_reap(&self) -> Vec<String> {
        self.never(REAP_ACTS).collect()
    }

    /// What a range of seeds of the profile in which clients walk through all keys should have exercised and did not.
    pub fn missing_of_scans(&self) -> Vec<String> {
        self.never(WALK_ACTS).collect()
    }

    /// What a range of seeds of the profile in which clients follow change feeds should have exercised and did not.
    pub fn missing_of_feeds(&self) -> Vec<String> {
        let checks = [Property::Fed, Property::IfSeen].into_iter();
        let checks = checks.filter(|property| !self.checks.contains_key(property));
        let checks = checks.map(|property| format!("property {}", property.name()));
        let refused = (!self.outcomes.contains_key("Changed")).then(|| "outcome Changed".to_owned());
        self.never(FEED_ACTS).chain(checks).chain(refused).collect()
    }

    /// What a range of seeds of the profile with everything on should have exercised and did not.
    pub fn missing_of_everything(&self) -> Vec<String> {
        let never = |fault: &&Fault| Fault::ROT.contains(fault) || **fault == Fault::ForeignLayout;
        let faults = Fault::ALL.iter().filter(|fault| !never(fault) && !self.faults.contains_key(fault));
        let mut missing: Vec<String> = faults.map(|fault| format!("fault {}", fault.name())).collect();
        let acts = RESTORE_ACTS.into_iter().chain(HINT_ACTS).chain(REAP_ACTS);
        missing.extend(self.never(acts.chain(ACTS.into_iter().filter(|act| !FORGETTING_ACTS.contains(act)))));
        let others = [Property::Scanned, Property::Fed, Property::IfSeen];
        let checks = Property::ALL.iter().filter(|property| !others.contains(property));
        let checks = checks.filter(|property| !self.checks.contains_key(property));
        missing.extend(checks.map(|property| format!("property {}", property.name())));
        missing
    }

    /// What a range of seeds should have exercised and did not.
    pub fn missing(&self) -> Vec<String> {
        let is_apart = |fault: &&Fault| Fault::ROT.contains(fault) || **fault == Fault::Restore;
        let faults = Fault::ALL.iter().filter(|fault| !is_apart(fault) && !self.faults.contains_key(fault));
        let outcomes = OUTCOMES.iter().filter(|name| !self.outcomes.contains_key(*name));
        let checks = Property::ALL.iter().filter(|property| !Property::APART.contains(property));
        let checks = checks.filter(|property| !self.checks.contains_key(property));
        let mut missing: Vec<String> = faults.map(|fault| format!("fault {}", fault.name())).collect();
        missing.extend(outcomes.map(|name| format!("outcome {name}")));
        missing.extend(checks.map(|property| format!("property {}", property.name())));
        // Nothing is damaged but in the profile in which a disk rots.
        let upkeep = UPKEEP.iter().zip(self.upkeep).take(UPKEEP.len() - 1).filter(|(_, count)| *count == 0);
        missing.extend(upkeep.map(|(name, _)| (*name).to_owned()));
        missing.extend((self.shed == 0).then(|| "a value shed".to_owned()));
        missing
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        writeln!(text, "faults (of them with a write under way):")?;
        for fault in Fault::ALL {
            let count = |map: &BTreeMap<Fault, u64>| map.get(&fault).copied().unwrap_or(0);
            writeln!(
                text,
                "  {:<18} {:>10} {:>10}",
                fault.name(),
                count(&self.faults),
                count(&self.with_write)
            )?;
        }
        writeln!(text, "outcomes of {} requests:", self.requests)?;
        for (name, count) in &self.outcomes {
            writeln!(text, "  {name:<18} {count:>10}")?;
        }
        writeln!(text, "stores:")?;
        for (name, count) in UPKEEP.iter().zip(self.upkeep) {
            writeln!(text, "  {name:<26} {count:>10}")?;
        }
        if !self.acts.is_empty() {
            writeln!(text, "members:")?;
        }
        for (name, count) in &self.acts {
            writeln!(text, "  {name:<34} {count:>10}")?;
        }
        writeln!(text, "checks:")?;
        for property in Property::ALL {
            let count = self.checks.get(&property).copied().unwrap_or(0);
            writeln!(text, "  {:<26} {count:>10}", property.name())?;
        }
        writeln!(
            text,
            "excused writes: {} (of them under always: {}); doubtful keys: {}; values shed: {}",
            self.excused, self.excused_always, self.doubtful, self.shed
        )?;
        f.write_str(&text)
    }
}

/// One run, finished.
#[derive(Clone, Debug)]
pub struct RunReport {
    /// Its seed.
    pub seed: u64,
    /// Its profile.
    pub profile: String,
    /// What it exercised.
    pub counts: Counts,
    /// Operations that were acknowledged.
    pub acknowledged: u64,
    /// Tells two runs apart.
    pub trace_hash: u64,
    /// Events that happened.
    pub events: u64,
    /// True time that passed, in milliseconds.
    pub simulated_ms: u64,
    /// What did not hold.
    pub violation: Option<Violation>,
    /// The trace, if it was asked for: all of it, or the end of it for the key of the violation.
    pub trace: String,
}

/// Fewest acknowledged operations of a run that counts.
pub const ACKNOWLEDGED_MIN: u64 = 500;

impl RunReport {
    /// Why a run does not count, if it does not.
    pub fn does_not_count(&self) -> Option<String> {
        let kinds = self.counts.faults.len();
        if self.acknowledged < ACKNOWLEDGED_MIN {
            return Some(format!("{} operations acknowledged", self.acknowledged));
        }
        if kinds < 3 {
            return Some(format!("{kinds} kinds of fault"));
        }
        self.counts.with_write.is_empty().then(|| "no fault with a write under way".to_owned())
    }

    /// The command that replays it.
    pub fn command(&self) -> String {
        let profile =
            if self.profile == "swarm" { String::new() } else { format!(" --profile {}", self.profile) };
        let variables = planted::variables();
        format!("{variables}cargo run --release --features sim -- sim --seed {}{profile} --trace", self.seed)
    }
}
