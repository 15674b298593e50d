//! Operators who put the disk of a machine back to what it was: from a backup that was made while it ran, as a directory
//! that was copied elsewhere and back, or as a snapshot of the very disk.
//!
//! ```text
//!            what comes back                          who notices
//!  backup    the log, without whose it was            the opening: a new generation
//!  copy      all files, in another directory          the opening: a new generation
//!  snapshot  all files and hints, in the same place   the first peer that remembers an opening it had not
//! ```
//!
//! Where members change such a machine counts for nothing until it has what the others have (traps T3 and T5, rule L4).
//! In a cluster of a list it is what a machine with a lost disk is, with old records on it.

use super::clock::MS;
use super::disk::Image;
use super::faults::Fault;
use super::hinted;
use super::history::Held;
use super::oracle::{Judged, MachineView, Oracle, Stop};
use super::strikes::Strike;
use super::watched::KeyName;
use super::world::{Event, World};
use crate::proto::store::{Sequence, Store};
use std::collections::BTreeMap;

/// How often it is looked whether a machine may be put back.
const TRIES: u32 = 40;

/// What a machine's disk was at some time.
#[derive(Clone)]
pub(super) struct Backup {
    data: Image,
    hints: Image,
    damaged: BTreeMap<KeyName, Sequence>,
    past: Past,
}

/// What the oracle knew of it then.
#[derive(Clone)]
pub(super) struct Past {
    generation: u64,
    opens: u64,
    durable: Sequence,
    /// Of each key, what lay in the store.
    held: Vec<Vec<Held>>,
    /// Of each place of hints, how far it was durable, and the same.
    nooks: Vec<(usize, Sequence, Vec<Vec<Held>>)>,
}

/// How an old state comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Backup,
    Copy,
    Snapshot,
}

impl World {
    /// A backup of a machine is made, if there is none; otherwise its operator puts it back.
    pub(super) fn restore(&mut self, machine: usize) -> Judged {
        let Some(backup) = self.machines[machine].backup.take() else {
            self.back_up(machine);
            return Ok(());
        };
        self.machines[machine].backup = Some(backup);
        self.try_restore(machine, TRIES)
    }

    /// The same, when that takes nothing along that is nowhere else: now, or somewhat later.
    pub(super) fn try_restore(&mut self, machine: usize, tries: u32) -> Judged {
        if !self.is_safety_phase || !self.is_serving(machine) {
            return Ok(());
        }
        let Some(backup) = self.machines[machine].backup.take() else { return Ok(()) };
        let mut ways = vec![Way::Backup, Way::Copy];
        if self.is_remembered(machine, &backup.past) {
            ways.extend([Way::Snapshot; 2]);
        }
        let way = ways[self.rng.below(ways.len() as u64) as usize];
        let is_kept = self.nemesis.is_some();
        let may_go = if is_kept { self.may_break(machine) } else { self.oracle.may_lose_all(machine) };
        if !may_go {
            self.machines[machine].backup = Some(backup);
            if tries > 0 {
                self.plan(self.now + 50 * MS, Event::Strike(Strike::Restore(machine, tries - 1)));
            }
            return Ok(());
        }
        self.say(Fault::Restore, machine);
        self.act(match way {
            Way::Backup => "backup restored",
            Way::Copy => "copy brought back",
            Way::Snapshot => "disk rolled back",
        });
        self.trace.say(self.now, None, || format!("*** n{machine} comes back as it was: {way:?}"));
        self.stop(machine, Stop::Crashed)?;
        self.put_back(machine, &backup, way);
        self.oracle.restored(machine, &backup.past, way == Way::Snapshot);
        if is_kept {
            self.unbind(machine);
        }
        self.machines[machine].backup = Some(backup).filter(|_| self.rng.one_in(2));
        let outage = MS + self.rng.below(self.profile.outage_max);
        self.plan(self.now + outage, Event::Strike(Strike::Start(machine)));
        Ok(())
    }

    fn back_up(&mut self, machine: usize) {
        let this = &self.machines[machine];
        // A member's directory that knows no topology yet is none that anybody would restore.
        if self.nemesis.is_some() && !this.platter.has("topology") {
            return;
        }
        let (data, hints) = (this.platter.image(), this.hint_platter.image());
        let (damaged, past) = (this.damaged.clone(), self.oracle.past_of(machine));
        self.machines[machine].backup = Some(Backup { data, hints, damaged, past });
        self.act("backup made");
    }

    fn put_back(&mut self, machine: usize, backup: &Backup, way: Way) {
        let this = &mut self.machines[machine];
        this.platter.put_back(&backup.data, way != Way::Snapshot);
        if way == Way::Backup {
            // As `quorate store restore` leaves them out.
            ["identity", "clean", "votes", "reaps"].into_iter().for_each(|name| {
                this.platter.lose(name);
            });
        }
        match way {
            // Another generation's log of hints is not opened.
            Way::Backup | Way::Copy => this.hint_platter.wipe(),
            Way::Snapshot => this.hint_platter.put_back(&backup.hints, false),
        }
        this.damaged.clone_from(&backup.damaged);
        this.stop = Some(Stop::Crashed);
    }

    /// Whether everybody runs, and remembers an opening of a machine's directory that its past does not know.
    fn is_remembered(&self, machine: usize, past: &Past) -> bool {
        let mut others = (0..self.machines.len()).filter(|&other| other != machine && self.is_seated(other));
        let is_same = self.oracle.machines[machine].generation == past.generation;
        is_same
            && others.all(|other| {
                let Some(node) = &self.machines[other].node else { return false };
                let members = node.store().members().iter();
                let mut known = members.filter(|known| known.name == self.names[machine]);
                known.any(|known| known.generation == past.generation && known.opens > past.opens + 1)
            })
    }
}

impl Oracle {
    /// What a machine's disk is sure to hold now.
    fn past_of(&self, machine: usize) -> Past {
        let view = &self.machines[machine];
        let held = |place: usize| self.histories.iter().map(|history| history.held[place].clone()).collect();
        let nooks = self.nooks_of(machine);
        let nooks = nooks.map(|place| (place, self.machines[place].marks.1, held(place))).collect();
        let (generation, opens, durable) = (view.generation, view.opens, view.marks.1);
        Past { generation, opens, durable, held: held(machine), nooks }
    }

    /// The places of what a machine keeps for others.
    pub(super) fn nooks_of(&self, machine: usize) -> impl Iterator<Item = usize> + use<> {
        let physical = self.physical;
        (physical..self.machines.len()).filter(move |&place| hinted::machine_of(physical, place) == machine)
    }

    /// The disk of a machine that stands still is what it was.
    fn restored(&mut self, machine: usize, past: &Past, with_hints: bool) {
        if self.is_kept {
            self.emptied(machine);
        } else {
            self.wiped(machine);
        }
        self.discarded(machine);
        if with_hints && self.is_kept {
            // Until it meets somebody who knows better, it is what it was to itself.
            (0..self.keys.len()).for_each(|key| self.doubt_all(key));
        }
        for (history, held) in self.histories.iter_mut().zip(&past.held) {
            history.held[machine].clone_from(held);
            // What was lost with all its copies is not promised again because one turns up.
            for event in held.iter().flat_map(|held| held.past.iter()) {
                let event = &mut history.events[event];
                event.acknowledged = event.acknowledged.filter(|_| !event.excused);
            }
        }
        // Another directory is nobody's until it is opened.
        let (generation, opens) = (if with_hints { past.generation } else { 0 }, past.opens);
        let down = Some(past.durable);
        self.machines[machine] = MachineView {
            generation,
            opens,
            down,
            is_restored: true,
            is_old: with_hints,
            is_put_back: self.is_kept,
            ..MachineView::default()
        };
        for (place, durable, held) in past.nooks.iter().filter(|_| with_hints) {
            for (history, held) in self.histories.iter_mut().zip(held) {
                history.held[*place].clone_from(held);
            }
            self.machines[*place] = MachineView { down: Some(*durable), ..MachineView::default() };
        }
    }

    fn doubt_all(&mut self, key: usize) {
        self.histories[key].events.iter_mut().for_each(|event| event.damaged = true);
    }

    /// What a machine kept for others is gone.
    pub(super) fn discarded(&mut self, machine: usize) {
        for place in self.nooks_of(machine).collect::<Vec<_>>() {
            for history in &mut self.histories {
                history.remember(place, (Sequence(u64::MAX), Sequence(u64::MAX)));
                history.held[place].clear();
            }
            self.machines[place] = MachineView { down: self.machines[place].down, ..MachineView::default() };
        }
    }

    /// Whether all that is on a machine's disk may go, hints too.
    pub(super) fn may_lose_all(&self, machine: usize) -> bool {
        let mut places = core::iter::once(machine).chain(self.nooks_of(machine));
        places.all(|place| (0..self.keys.len()).all(|key| self.may_lose(place, key)))
    }
}
