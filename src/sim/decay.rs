//! A disk that rots in a cluster: what strikes it, what its store must say then, and what that takes from
//! what the oracle believes the machine to hold.
//!
//! A damaged store answers *incomplete*, *suspect* or *damaged*, which count for nothing; never *absent*,
//! nor an older record as if it were the newest. So quorums still meet, and nothing is excused but what a
//! stop took along without a trace (see `rot`).

use super::faults::Fault;
use super::history::Held;
use super::oracle::{Judged, Oracle, Property, Violation, violation};
use super::report::UPKEEP;
use super::rot::Rot;
use super::watched::{Glance, RealStore, WatchedStore};
use super::world::World;
use crate::proto::store::{Sequence, Store, StoreStatus};

/// Figures of a store, in the order of [`UPKEEP`]; restarts are counted by the world.
const FIGURES: [&str; UPKEEP.len()] =
    ["store_compactions", "store_checkpoints", "store_scrub_passes", "", "", "store_damaged_ranges"];
const RESTARTS_BY_SCAN: usize = 3;
const RESTARTS_FROM_CHECKPOINT: usize = 4;

fn figure(status: &StoreStatus, name: &str) -> u64 {
    status.figures.iter().find(|figure| figure.0 == name).map_or(0, |figure| figure.1)
}

impl World {
    /// Lets something of the disk that rots be damaged.
    pub(super) fn let_rot(&mut self, fault: Fault) {
        let Some(machine) = self.profile.rotten else { return };
        self.machines[machine].platter.rot(match fault {
            Fault::BitRot => Rot::Bits,
            Fault::SectorRot => Rot::Sectors,
            Fault::FileRot => Rot::SmallFile,
            _ => Rot::Misdirected,
        });
        self.note_struck(machine);
    }

    /// Takes note of damage that was done.
    pub(super) fn note_struck(&mut self, machine: usize) {
        for struck in self.machines[machine].platter.take_struck() {
            let fault = match struck.rot {
                Rot::Bits => Fault::BitRot,
                Rot::Sectors => Fault::SectorRot,
                Rot::SmallFile => Fault::FileRot,
                Rot::Misdirected => Fault::MisdirectedWrite,
            };
            if fault == Fault::MisdirectedWrite {
                self.oracle.strayed(machine);
            }
            self.struck(fault);
            self.trace.note(self.now, 12, struck.text.as_bytes());
            self.trace.say(self.now, None, || format!("*** {}: {}", self.names[machine], struck.text));
        }
    }

    /// Looks what a machine whose disk rots can tell of each key now, after a call into its node.
    pub(super) fn look_for_rot(&mut self, machine: usize) -> Judged {
        if !self.machines[machine].is_rotten {
            return Ok(());
        }
        self.note_struck(machine);
        for key in 0..self.oracle.keys().len() {
            let Some(node) = self.machines[machine].node.as_ref() else { return Ok(()) };
            match node.store().glance(&self.key_ref(&self.oracle.keys()[key].name)) {
                Ok(Glance::Known(found)) => self.oracle.judge_known(machine, key, found)?,
                Ok(Glance::Suspect(_)) => {}
                Ok(Glance::Unknown) => {
                    if self.oracle.histories[key].top(machine).is_some() {
                        self.trace.say(self.now, Some(key), || {
                            format!("*** {} lost its record", self.names[machine])
                        });
                    }
                    self.oracle.rotted(machine, key)?;
                }
                Err(text) => return violation(Property::Restart, key, text),
            }
        }
        Ok(())
    }

    /// Shows the oracle what the store on the disk that rots came back with.
    pub(super) fn judge_rotten(&mut self, machine: usize, store: &WatchedStore) -> Judged {
        self.note_struck(machine);
        let mut found = Vec::with_capacity(self.oracle.keys().len());
        for (number, key) in self.oracle.keys().iter().enumerate() {
            match store.glance(&self.key_ref(&key.name)) {
                Ok(glance) => found.push(glance),
                Err(text) => return violation(Property::Restart, number, text),
            }
        }
        for (key, glance) in found.iter().enumerate() {
            self.trace.say(self.now, Some(key), || {
                format!("*** {} comes back with {glance:?}", self.names[machine])
            });
        }
        let stop = self.machines[machine].stop;
        self.oracle.opened(machine, &store.identity(), &found, stop)
    }

    /// Adds what a store did that is about to go.
    pub(super) fn count_upkeep(&mut self, machine: usize) {
        let Some(node) = self.machines[machine].node.as_ref() else { return };
        let status = node.store().status();
        self.trace.say(self.now, None, || {
            let figures: Vec<_> = status.figures.iter().filter(|figure| figure.1 > 0).collect();
            format!("{} ends with a store that did {figures:?}", self.names[machine])
        });
        for (count, name) in self.counts.upkeep.iter_mut().zip(FIGURES) {
            *count += figure(&status, name);
        }
    }

    /// Notes from what a store was started again.
    pub(super) fn count_restart(&mut self, machine: usize, has_checkpoint: bool, store: Option<&RealStore>) {
        let (Some(RealStore::Log(store)), Some(_)) = (store, self.machines[machine].stop) else { return };
        let is_void = figure(&store.status(), "store_checkpoints_void") > 0;
        let kind = if has_checkpoint && !is_void { RESTARTS_FROM_CHECKPOINT } else { RESTARTS_BY_SCAN };
        self.counts.upkeep[kind] += 1;
    }
}

impl Oracle {
    /// A write of a machine strayed: until it is promised, a stop may take it along, and all behind it.
    pub fn strayed(&mut self, machine: usize) {
        let written = self.machines[machine].marks.0;
        self.machines[machine].strays.push(written);
    }

    /// A store says that it holds this: it must be the newest that it was given.
    pub fn judge_known(&mut self, machine: usize, key: usize, found: super::restarts::FoundRecord) -> Judged {
        self.checked(Property::Restart);
        let of = |held: &Held| (held.sequence, held.check, held.epoch);
        let history = &mut self.histories[key];
        if history.top(machine).is_none() && found.is_some() && history.lost[machine].last().map(of) == found
        {
            // Compaction had read it before it was damaged, and now its copy counts.
            history.held[machine] = core::mem::take(&mut history.lost[machine]);
        }
        let held = history.top(machine).map(of);
        if held == found {
            return Ok(());
        }
        let text = format!("machine {machine} holds {held:?} and says that it holds {found:?}");
        violation(Property::Restart, key, text)
    }

    /// A store cannot tell any more what it holds of a key.
    pub fn rotted(&mut self, machine: usize, key: usize) -> Judged {
        let Some(before) = self.histories[key].top(machine).cloned() else { return Ok(()) };
        let history = &mut self.histories[key];
        // It was stored as well as anybody could; that it cannot be read is not the store's doing.
        history.remember(machine, (Sequence(u64::MAX), Sequence(u64::MAX)));
        let unread = core::mem::take(&mut history.held[machine]);
        history.lost[machine].extend(unread);
        for event in before.past.iter() {
            self.excuse_if_gone(machine, key, event)?;
        }
        Ok(())
    }

    /// A machine puts a record where it could not tell what it held: from now on it answers for the key again,
    /// and misses what it lost, until replicas meet. So does one that lost a single record.
    pub(super) fn forget_lost(&mut self, machine: usize, key: usize, put: &Held) {
        let history = &mut self.histories[key];
        let doubted = core::mem::take(&mut history.doubted[machine]);
        for lost in history.lost[machine].iter().chain(&doubted) {
            for event in lost.past.iter().filter(|&event| !put.past.contains(event)) {
                history.events[event].damaged = true;
            }
        }
    }

    /// Whether a node must answer for a machine's copy at the end.
    pub fn is_rotten(&self, machine: usize) -> bool {
        self.machines[machine].is_rotten
    }

    /// A machine's disk rots.
    pub fn expect_rot(&mut self, machine: usize) {
        self.machines[machine].is_rotten = true;
        // Older records may take the place of lost ones.
        self.histories.iter_mut().for_each(|history| history.kept = usize::MAX);
    }
}

impl World {
    /// Whether one of the owners of a key cannot tell what it holds.
    pub(super) fn is_lost(&self, key: usize) -> bool {
        let info = &self.oracle.keys()[key];
        let tells = |machine: usize| {
            let node = self.machines[machine].node.as_ref();
            node.is_some_and(|node| {
                matches!(node.store().glance(&self.key_ref(&info.name)), Ok(Glance::Known(_)))
            })
        };
        info.owners.iter().any(|&machine| self.oracle.is_rotten(machine) && !tells(machine))
    }

    /// A key whose copy on some owner's disk is known to have lost records, with the owner.
    pub(super) fn incomplete_copy(&self) -> Option<(usize, usize)> {
        let keys = self.oracle.keys().iter().enumerate();
        let owners = keys
            .flat_map(|(key, info)| info.owners.iter().map(move |&machine| (key, machine, info.partition)));
        let lost = |&(_, machine, partition): &(usize, usize, u16)| {
            self.machines[machine].node.as_ref().is_some_and(|node| node.store().is_incomplete(partition))
        };
        owners.into_iter().find(lost).map(|(key, machine, _)| (key, machine))
    }

    /// Whether every key's copies are the same, and none lacks what a disk has lost.
    pub(super) fn are_copies_equal(&self) -> bool {
        self.incomplete_copy().is_none()
            && (0..self.oracle.keys().len()).all(|key| {
                let hashes = |copies: Vec<(usize, super::oracle::LastCopy)>| {
                    copies.into_iter().map(|(_, copy)| copy.map(|(_, hash)| hash)).collect::<Vec<_>>()
                };
                self.last_copies(key)
                    .map(hashes)
                    .is_ok_and(|hashes| hashes.iter().all(|hash| *hash == hashes[0]))
            })
    }

    /// What the owners of a key hold at the end, without those that cannot tell.
    pub(super) fn last_copies(&self, key: usize) -> Judged<Vec<(usize, super::oracle::LastCopy)>> {
        let info = &self.oracle.keys()[key];
        let mut copies = Vec::new();
        for &machine in &info.owners {
            let store = self.machines[machine].node.as_ref().expect("everything runs").store();
            let name = self.key_ref(&info.name);
            if self.oracle.is_rotten(machine) && !matches!(store.glance(&name), Ok(Glance::Known(_))) {
                continue;
            }
            match store.peek(&name) {
                Ok(record) => {
                    copies.push((machine, record.map(|record| (record.object.to_vec(), record.item_hash))))
                }
                Err(why) => {
                    let text = format!("{} answers {why}", self.names[machine]);
                    return Err(Violation { property: Property::Restart, key: Some(key), text });
                }
            }
        }
        Ok(copies)
    }
}
