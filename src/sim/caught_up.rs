//! Judges what nodes believe of each other's disks: whoever is believed to have something has it, and on its disk.

use super::oracle::{Judged, Oracle, Property, violation};
use super::world::World;
use crate::proto::catch_up::Claim;
use crate::proto::store::{Sequence, Store};

/// What catching up does, as a run counts it.
const ACTS: [(&str, &str); 4] = [
    ("catch_ups", "member caught up"),
    ("catch_up_records_sent", "missed record sent"),
    ("catch_up_gaps", "gap left to the exchange"),
    ("catch_ups_broken", "catching up broken off"),
];

impl World {
    /// Looks at the claims that a machine has made or relied on since it was last asked.
    pub(super) fn judge_claims(&mut self, machine: usize) -> Judged {
        let Some(node) = &self.machines[machine].node else { return Ok(()) };
        let seen = self.machines[machine].claims_seen;
        let changed = node.claims_changed();
        if changed <= seen {
            return Ok(());
        }
        let news: Vec<Claim> = node.claims().filter(|claim| claim.changed > seen).collect();
        self.machines[machine].claims_seen = changed;
        for claim in news {
            let target = self.ids.iter().position(|&id| id == claim.member).expect("it is a machine");
            for key in 0..self.oracle.keys().len() {
                if self.is_claimed(machine, target, key, &claim) {
                    self.oracle.judge_claim(machine, target, key, claim.up_to)?;
                }
            }
        }
        Ok(())
    }

    /// Whether a claim is about a key, and about the directory that its target has now, as far as that was not damaged. One that
    /// has no seat may drop what it holds at any time; what was claimed of it is forgotten when it is given one.
    fn is_claimed(&self, machine: usize, target: usize, key: usize, claim: &Claim) -> bool {
        let info = &self.oracle.keys()[key];
        let (Some(node), Some(other)) = (&self.machines[machine].node, &self.machines[target].node) else {
            return false;
        };
        let layout = node.topology().reading();
        let holds = |machine: usize| {
            let slot = layout.slot_of(self.ids[machine]);
            slot.is_some_and(|slot| layout.replicas(info.name.0, info.partition).contains(&slot))
        };
        info.partition == claim.partition
            && other.store().identity().generation == claim.generation
            && node.topology().version() == other.topology().version()
            && node.topology().is_seated(self.ids[target], claim.generation)
            && !self.oracle.is_rotten(target)
            && !self.machines[target].damaged.contains_key(&info.name)
            && holds(machine)
            && holds(target)
    }

    /// Adds what a node did for others, before it goes.
    pub(super) fn count_catch_ups(&mut self, machine: usize) {
        let Some(node) = self.machines[machine].node.as_ref().filter(|_| self.profile.away) else { return };
        for (name, count) in node.status().counters {
            let act = ACTS.iter().find(|(counter, _)| *counter == name).filter(|_| count > 0);
            if let Some((_, act)) = act {
                *self.counts.acts.entry((*act).to_owned()).or_default() += count;
            }
        }
    }
}

/// What a range of seeds must show of it.
pub(super) fn acts() -> impl Iterator<Item = &'static str> {
    ACTS.iter().map(|(_, act)| *act)
}

impl Oracle {
    /// A machine believes that another one has all that lies here up to a sequence.
    fn judge_claim(&mut self, machine: usize, target: usize, key: usize, up_to: Sequence) -> Judged {
        let history = &self.histories[key];
        let held = history.top(machine).filter(|held| !held.is_gone && held.sequence <= up_to);
        let Some(held) = held.filter(|_| !history.is_doubtful) else { return Ok(()) };
        let mark = self.machines[target].down.unwrap_or(self.machines[target].marks.1);
        let mut known = history.reaped.clone();
        history.top_below(target, mark).into_iter().for_each(|held| known.add(&held.past));
        let missing = held.past.first_missing_in(&known);
        self.checked(Property::ClaimsHold);
        if let Some(event) = missing {
            let text = format!(
                "machine {machine} believes that machine {target} has event {event} on its disk: {}",
                self.stages(key, event)
            );
            return violation(Property::ClaimsHold, key, text);
        }
        Ok(())
    }
}
