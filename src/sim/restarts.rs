//! Judges what stops and starts do to stores: what must come back, what a fault took, and which lost
//! writes are excused.

use super::hinted;
use super::history::Held;
use super::oracle::{Judged, MachineView, Oracle, Property, Stop, Violation, violation};
use super::watched::Glance;
use crate::proto::store::{Durability, Identity, Sequence};
use crate::proto::version::Epoch;

/// What a store found under a key when it was opened: sequence, hash of the object, epoch.
pub type FoundRecord = Option<(Sequence, u64, Option<Epoch>)>;

impl Oracle {
    /// What is sure to be on a machine: all it holds, or what comes back after its stop.
    pub(super) fn sure(&self, key: usize, machine: usize) -> Option<&Held> {
        match self.machines[machine].down {
            None => self.histories[key].top(machine),
            Some(mark) => self.histories[key].top_below(machine, mark),
        }
    }

    /// A machine stands still. `stray` is the number of the first of its writes that strayed and that the stop
    /// takes along, with everything behind it.
    pub fn stopped(&mut self, machine: usize, how: Stop, stray: Option<u64>) {
        let marks = self.machines[machine].marks;
        for history in &mut self.histories {
            history.remember(machine, marks);
        }
        let sure = match how {
            Stop::Clean => Sequence(u64::MAX),
            Stop::Killed => marks.0,
            Stop::Crashed | Stop::CrashedAtRest => marks.1,
        };
        let before = stray.and_then(|stray| self.machines[machine].strays.get(stray as usize - 1));
        let most = before.copied().unwrap_or(Sequence(u64::MAX));
        self.machines[machine].down = Some(if how == Stop::Clean { sure } else { sure.min(most) });
    }

    /// What a machine kept for others is sure to come back as far as it was safe in its own log.
    pub fn hints_stopped(&mut self, machine: usize, how: Stop) {
        for place in self.nooks_of(machine) {
            let marks = self.machines[place].marks;
            self.histories.iter_mut().for_each(|history| history.remember(place, marks));
            self.machines[place].down = Some(match how {
                Stop::Clean => Sequence(u64::MAX),
                Stop::Killed => marks.0,
                Stop::Crashed | Stop::CrashedAtRest => marks.1,
            });
        }
    }

    /// The power went while a machine's store was being opened: what only a killed process would have left
    /// may be gone now.
    pub fn power_lost_again(&mut self, machine: usize) {
        let durable = self.machines[machine].marks.1;
        if let Some(sure) = &mut self.machines[machine].down
            && *sure != Sequence(u64::MAX)
        {
            *sure = durable.min(*sure);
        }
    }

    /// Whether every write in the record that a machine holds is also durable on another machine that
    /// runs, and stays there: only then may a fault take the record.
    pub fn may_lose(&self, machine: usize, key: usize) -> bool {
        let history = &self.histories[key];
        let Some(held) = history.top(machine) else { return true };
        let owners = &self.keys[key].owners;
        let own = hinted::machine_of(self.physical, machine);
        held.past.iter().all(|event| {
            (0..self.machines.len()).any(|other| {
                hinted::machine_of(self.physical, other) != own
                    && hinted::is_lasting(self.physical, other)
                    && (!self.is_kept || owners.contains(&other))
                    && self.machines[other].down.is_none()
                    // On disk, and not about to go from there.
                    && [history.top_below(other, self.machines[other].marks.1), history.top(other)]
                        .into_iter()
                        .all(|held| held.is_some_and(|held| held.past.contains(event)))
            })
        })
    }

    /// A fault took the record of a key.
    pub fn lost_record(&mut self, machine: usize, key: usize) {
        let history = &mut self.histories[key];
        // It was stored as well as anybody could; that it cannot be read is not the store's doing.
        history.remember(machine, (Sequence(u64::MAX), Sequence(u64::MAX)));
        let past = history.top(machine).map(|held| held.past.clone()).unwrap_or_default();
        past.iter().for_each(|event| history.events[event].damaged = true);
        history.held[machine].clear();
    }

    /// A fault took the whole disk of a machine that is bound to its directory: its empty one counts for nothing
    /// until it has what the others have (rule L4), so quorums must meet all the same.
    pub fn emptied(&mut self, machine: usize) {
        for (history, key) in self.histories.iter_mut().zip(&mut self.keys) {
            history.remember(machine, (Sequence(u64::MAX), Sequence(u64::MAX)));
            history.held[machine].clear();
            key.obliged &= !(1 << machine);
        }
        self.machines[machine] = MachineView { down: self.machines[machine].down, ..MachineView::default() };
    }

    /// A fault took the whole disk.
    pub fn wiped(&mut self, machine: usize) {
        (0..self.keys.len()).for_each(|key| self.lost_record(machine, key));
        self.machines[machine] = MachineView { down: self.machines[machine].down, ..MachineView::default() };
    }

    /// A machine's store was opened. `found` is what it says of each key. `stop` is how it had stopped; `None`
    /// for a new directory.
    ///
    /// # Errors
    /// Something durable is gone and the store does not say so, or something is there that was never put.
    pub fn opened(
        &mut self,
        machine: usize,
        identity: &Identity,
        found: &[Glance],
        stop: Option<Stop>,
    ) -> Judged {
        self.judge_identity(machine, identity, stop)?;
        let sure = self.machines[machine].down.take().unwrap_or_default();
        self.machines[machine].marks = Default::default();
        self.machines[machine].last_sequence = self.machines[machine].last_sequence.max(identity.recovered);
        for (key, glance) in found.iter().enumerate() {
            self.checked(Property::Restart);
            match glance {
                Glance::Known(found) => self.came_back(machine, key, *found, sure, stop, false)?,
                Glance::Suspect(found) => self.came_back(machine, key, *found, sure, stop, true)?,
                Glance::Unknown => self.rotted(machine, key)?,
            }
        }
        Ok(())
    }

    /// A machine came back with this under a key; everything up to `sure` must be there, unless it tells that
    /// it may have lost something.
    pub(super) fn came_back(
        &mut self,
        machine: usize,
        key: usize,
        found: FoundRecord,
        sure: Sequence,
        stop: Option<Stop>,
        is_told: bool,
    ) -> Judged {
        let history = &mut self.histories[key];
        let later =
            core::mem::replace(&mut history.held[machine], core::mem::take(&mut history.lost[machine]));
        history.held[machine].extend(later);
        let before = history.top(machine).cloned();
        let list = &mut history.held[machine];
        let must = list.iter().rposition(|held| held.sequence <= sure);
        let at = match found {
            None => list.iter().rposition(|held| held.is_gone),
            Some((sequence, check, epoch)) => {
                list.iter().position(|h| h.sequence == sequence && h.check == check && h.epoch == epoch)
            }
        };
        if found.is_some() && at.is_none() {
            let text = format!("machine {machine} came back with a record it never put: {found:?}");
            return violation(Property::Restart, key, text);
        }
        if must > at && !is_told {
            let sequence = list[must.unwrap_or(0)].sequence;
            let text = format!(
                "machine {machine} stopped ({stop:?}) with {sequence:?} safe below {sure:?} and came back with {found:?}"
            );
            return violation(Property::Restart, key, text);
        }
        let gone = list.split_off(at.map_or(0, |at| at + 1));
        match is_told {
            true => history.doubted[machine].extend(gone),
            false => history.doubted[machine].clear(),
        }
        self.account_for_tail(machine, key, before, is_told)
    }

    pub(super) fn judge_identity(
        &mut self,
        machine: usize,
        identity: &Identity,
        stop: Option<Stop>,
    ) -> Judged {
        let wrong = |text: String| {
            let text = format!("machine {machine}: {text}: {identity:?}");
            Err(Violation { property: Property::Restart, key: None, text })
        };
        if !self.nonces.insert(identity.nonce) {
            return wrong("an opening drew a nonce that was drawn before".into());
        }
        let view = &mut self.machines[machine];
        let is_restored = core::mem::take(&mut view.is_restored);
        if is_restored || view.disowned == Some(identity.generation) {
            view.is_old |= !is_restored;
            view.last_sequence = identity.recovered;
            (view.generation, view.opens) = (identity.generation, identity.opens);
            return Ok(());
        }
        if view.is_rotten && identity.generation != view.generation {
            // The file that said who it is has rotted: it is somebody else now, and counts anew.
            view.last_sequence = identity.recovered;
        }
        match stop {
            Some(_) if view.is_rotten => {}
            Some(_) if identity.generation != view.generation => {
                return wrong(format!("the generation was {}", view.generation));
            }
            Some(_) if identity.opens <= view.opens => return wrong("the open count did not rise".into()),
            Some(Stop::Crashed | Stop::Killed) if identity.clean => {
                return wrong("an unclean stop left the clean marker".into());
            }
            Some(Stop::Clean) if !identity.clean => {
                return wrong("a clean stop left no clean marker".into());
            }
            _ => {}
        }
        (view.generation, view.opens) = (identity.generation, identity.opens);
        Ok(())
    }

    /// The directory that a machine runs on turned out to be an old copy, if it is called otherwise now.
    pub(super) fn goes_on_as(&mut self, machine: usize, generation: u64) -> bool {
        let view = &mut self.machines[machine];
        let before = core::mem::replace(&mut view.generation, generation);
        if before == generation {
            return false;
        }
        (view.disowned, view.is_old) = (Some(before), false);
        if before != 0 {
            self.forget_promises(machine);
        }
        true
    }

    /// What an old copy acknowledged before it met anybody who knew better was one copy of one machine, and is as good
    /// as all that the machine holds: nothing.
    fn forget_promises(&mut self, machine: usize) {
        for key in 0..self.keys.len() {
            self.forget_promise(machine, machine, key);
        }
    }

    /// The same of a partition that one who is let in again gives up: nothing that it acknowledged since counts.
    pub(super) fn forget_promises_of(&mut self, machine: usize, partition: u16, is_durable_too: bool) {
        for key in 0..self.keys.len() {
            let counts = is_durable_too || self.keys[key].durability != Durability::Always;
            if self.keys[key].partition == partition && counts {
                self.forget_promise(machine, machine, key);
            }
        }
    }

    /// The same of what it holds of one key in one of its places.
    pub(super) fn forget_promise(&mut self, machine: usize, place: usize, key: usize) {
        let Some(held) = self.histories[key].top(place) else { return };
        let past: Vec<usize> = held.past.iter().collect();
        let own: Vec<usize> = core::iter::once(machine).chain(self.nooks_of(machine)).collect();
        for event in past {
            let others = (0..self.machines.len()).filter(|other| !own.contains(other));
            let mut others = others.filter_map(|other| self.sure(key, other));
            let is_elsewhere = others.any(|held| held.past.contains(event));
            let event = &mut self.histories[key].events[event];
            event.damaged = true;
            event.acknowledged = event.acknowledged.filter(|_| is_elsewhere);
        }
    }

    /// What a machine knew before its stop and does not know now went with its tail, or with what its store
    /// says that it lost.
    fn account_for_tail(
        &mut self,
        machine: usize,
        key: usize,
        before: Option<Held>,
        is_told: bool,
    ) -> Judged {
        let Some(before) = before else { return Ok(()) };
        let after = self.histories[key].top(machine).map(|held| held.past.clone()).unwrap_or_default();
        // What a directory holds that was put back is promised by nobody.
        let is_guest = self.is_kept && machine < self.physical && !self.keys[key].owners.contains(&machine);
        let counts = !is_guest && !self.machines[machine].is_old;
        for event in after.iter().filter(|_| counts) {
            self.histories[key].events[event].excused = false;
        }
        for event in before.past.iter().filter(|&event| !after.contains(event)) {
            // What is told is no evidence, so quorums must meet without it.
            self.histories[key].events[event].damaged |= !is_told;
            self.excuse_if_gone(machine, key, event)?;
        }
        Ok(())
    }

    /// An acknowledged write of which no copy is left anywhere is excused: its copies were not durable, and
    /// said so.
    pub(super) fn excuse_if_gone(&mut self, machine: usize, key: usize, event: usize) -> Judged {
        // Where members change, whoever owned it has it or hands it over: no other copy counts.
        let counts = |&other: &usize| {
            // A hint is delivered, or goes to those who have its key now.
            let is_obliged = other >= self.physical || self.keys[key].obliged >> other & 1 == 1;
            !self.is_kept || (is_obliged && !self.machines[other].is_put_back)
        };
        let elsewhere = (0..self.machines.len())
            .filter(counts)
            .any(|other| self.sure(key, other).is_some_and(|held| held.past.contains(event)));
        if elsewhere {
            return Ok(());
        }
        if self.histories[key].reaped.contains(event) {
            return Ok(());
        }
        // The acknowledgement may still be on its way: it is excused before it was given.
        let is_acknowledged = self.histories[key].events[event].acknowledged.is_some();
        let is_known = !self.histories[key].is_doubtful;
        if is_acknowledged && is_known && self.keys[key].durability == Durability::Always {
            let info = &self.keys[key];
            let (owners, obliged, stages) = (&info.owners, info.obliged, self.stages(key, event));
            let text = format!(
                "event {event}, acknowledged as durable, was lost by machine {machine}; owners {owners:?} \
                 ({obliged:b}), {stages}"
            );
            return violation(Property::NoLostWrite, key, text);
        }
        self.histories[key].events[event].excused = true;
        Ok(())
    }
}
