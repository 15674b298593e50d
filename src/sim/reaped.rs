//! Judges reaping: a key leaves a copy only where nothing older of it is left, nothing that it had deleted is ever seen
//! again, and what is deleted goes once everything is healed.

use super::clock::{MS, Time};
use super::history::{EventSet, Held};
use super::oracle::{Judged, Oracle, Property, Violation, violation};
use super::watched::KeyName;
use super::world::World;
use crate::proto::store::{Sequence, Store};
use crate::proto::version::Object;

/// How long reaping may take once everything is healed.
const REAPED_MAX: Time = 120_000 * MS;
/// How old a tombstone is that counts: more than any run asks for, in milliseconds.
const SETTLED_MS: u64 = 6_000;

impl World {
    /// A machine took a key out of its copy.
    pub(super) fn judge_reap(&mut self, machine: usize, name: &KeyName, sequence: Sequence) -> Judged {
        self.trace.note(self.now, 18, &sequence.0.to_le_bytes());
        let Some(key) = self.oracle.key_number(name) else {
            let text = format!("{} reaps {name:?}, which nobody wrote", self.names[machine]);
            return Err(Violation { property: Property::Reaped, key: None, text });
        };
        let (keyspace, partition) = (name.0, self.oracle.keys()[key].partition);
        let node = self.machines[machine].node.as_ref().expect("it runs");
        let layout = node.topology().reading();
        let is_owner = |&slot: &u16| layout.member(slot).id == self.ids[machine];
        if !layout.replicas(keyspace, partition).iter().any(is_owner) {
            self.trace.say(self.now, Some(key), || format!("*** {} drops the key", self.names[machine]));
            return self.oracle.dropped_key(machine, key, sequence);
        }
        self.trace.say(self.now, Some(key), || format!("*** {} reaps the key", self.names[machine]));
        self.act("key reaped");
        let wall_ms = self.clock_of(machine).wall.0;
        self.oracle.reaped(machine, key, wall_ms, sequence)
    }

    /// Adds what a node did not reap, and did not take, before it goes.
    pub(super) fn count_reaps(&mut self, machine: usize) {
        if self.profile.reap_after.is_none() {
            return;
        }
        let Some(node) = self.machines[machine].node.as_ref() else { return };
        for (name, count) in node.status().counters {
            let act = match name {
                "stale_records_refused" => "stale record refused",
                "reap_blocked_by_peer"
                | "reap_blocked_by_difference"
                | "reap_blocked_by_hint"
                | "reap_blocked_by_move" => "reap blocked",
                _ => continue,
            };
            if count > 0 {
                *self.counts.acts.entry(act.to_owned()).or_default() += count;
            }
        }
    }

    /// Whether a node that reaps has a store that failed.
    pub(super) fn is_read_only(&self, machine: usize) -> bool {
        let node = self.machines[machine].node.as_ref().filter(|_| self.profile.reap_after.is_some());
        node.is_some_and(|node| node.store().marks().failed || node.hints().store().marks().failed)
    }

    /// Once everything is healed, every key goes that was deleted before that.
    pub(super) fn await_reaps(&mut self) -> Judged {
        if self.profile.reap_after.is_none() {
            return Ok(());
        }
        self.oracle.count_liveness();
        let end = self.now + REAPED_MAX;
        while let Some((machine, key)) = self.unreaped()? {
            if self.now > end {
                // The first replica begins.
                let first = self.oracle.keys()[key].owners[0];
                let counters = self.machines[first].node.as_ref().map(|node| node.status().counters);
                let counters: Vec<_> =
                    counters.iter().flatten().filter(|(name, _)| name.starts_with("reap")).collect();
                let text = format!(
                    "everything is healed, and {} keeps key {key}, which is deleted; {}: {counters:?}",
                    self.names[machine], self.names[first]
                );
                return violation(Property::Liveness, key, text);
            }
            self.run_until(self.now + 500 * MS, &|_| false)?;
        }
        Ok(())
    }

    fn unreaped(&self) -> Judged<Option<(usize, usize)>> {
        for key in 0..self.oracle.keys().len() {
            for (machine, copy) in self.last_copies(key)? {
                // A clock may have been driven ahead by stops: it is not long ago yet, then.
                let young_ms = self.clock_of(machine).wall.0.saturating_sub(SETTLED_MS);
                let is_old = |bytes: &[u8]| {
                    let object = Object::decode(bytes).expect("judged when it was put");
                    object.is_delete() && object.newest().is_some_and(|newest| newest.millis() < young_ms)
                };
                if copy.is_some_and(|(bytes, _)| is_old(&bytes)) {
                    return Ok(Some((machine, key)));
                }
            }
        }
        Ok(None)
    }
}

impl Oracle {
    /// A machine took a key out of its copy.
    fn reaped(&mut self, machine: usize, key: usize, wall_ms: u64, sequence: Sequence) -> Judged {
        self.checked(Property::Reaped);
        let view = &mut self.machines[machine];
        view.last_sequence = view.last_sequence.max(sequence);
        let marks = view.marks;
        let history = &mut self.histories[key];
        let Some(before) = history.top(machine).filter(|held| !held.is_gone).cloned() else { return Ok(()) };
        let is_dead = |&event: &usize| {
            let event = &history.events[event];
            event.tombstone || event.expires_ms.is_some_and(|expires_ms| expires_ms < wall_ms)
        };
        if let Some(event) = before.siblings.iter().find(|event| !is_dead(event)) {
            let text = format!("machine {machine} reaps event {event}, which is alive");
            return violation(Property::Reaped, key, text);
        }
        history.remember(machine, marks);
        history.hold(machine, Held::gone(sequence), marks.1);
        // Who reaps it late says nothing of those who did before, and may hold what was put since.
        let is_first = before.past.first_missing_in(&history.reaped).is_some();
        history.reaped.add(&before.past);
        let superseded = before.past.iter().filter(|event| !before.siblings.contains(event));
        superseded.for_each(|event| history.buried.insert(event));
        if is_first { self.judge_proof(machine, key, &before.past) } else { Ok(()) }
    }

    /// Nothing that is superseded by what was reaped is left anywhere, and every replica has on its disk what was.
    fn judge_proof(&self, machine: usize, key: usize, past: &EventSet) -> Judged {
        let history = &self.histories[key];
        // Where members change, old copies that nobody asks lie in directories that were removed.
        if self.is_kept || history.is_doubtful {
            return Ok(());
        }
        for place in 0..self.machines.len() {
            let Some(held) = self.sure(key, place).filter(|held| !held.is_gone) else { continue };
            if let Some(event) = held.siblings.iter().find(|&&event| history.buried.contains(event)) {
                let text = format!(
                    "machine {machine} reaps the key, and place {place} holds event {event}, which it had deleted"
                );
                return violation(Property::Reaped, key, text);
            }
        }
        for &owner in &self.keys[key].owners {
            let mark = self.machines[owner].down.unwrap_or(self.machines[owner].marks.1);
            let Some(held) = history.top_below(owner, mark).filter(|held| !held.is_gone) else { continue };
            if let Some(event) = past.first_missing_in(&held.past) {
                let text = format!(
                    "machine {machine} reaps the key, and machine {owner} has not event {event} on its disk"
                );
                return violation(Property::Reaped, key, text);
            }
        }
        Ok(())
    }

    /// Whether an event was reaped with what superseded it.
    pub(super) fn is_buried(&self, key: usize, event: usize) -> bool {
        let history = &self.histories[key];
        !history.is_doubtful && history.buried.contains(event)
    }

    /// What was reaped with what superseded it is stored nowhere again.
    pub(super) fn judge_buried(&mut self, machine: usize, key: usize, held: &Held) -> Judged {
        let history = &self.histories[key];
        // A directory that was put back may hold it until it is let in, and shows it to nobody but those who ask it
        // alone before it has met anybody.
        let counts = !self.is_kept || machine >= self.physical || self.keys[key].owners.contains(&machine);
        let is_old = machine < self.physical && self.machines[machine].is_old;
        if history.is_doubtful || !counts || is_old {
            return Ok(());
        }
        if let Some(event) = held.siblings.iter().find(|&&event| history.buried.contains(event)) {
            let text = format!("machine {machine} stores event {event}, which was deleted and reaped");
            return violation(Property::Reaped, key, text);
        }
        Ok(())
    }
}
