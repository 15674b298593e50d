//! Hints in a run: their stores, and what must hold of them.
//!
//! To the oracle what a machine keeps for another is one more place where a key may be, a *nook*: there is one for
//! each keeper, target, and whether it was counted, numbered behind the machines. A nook is judged as a machine is:
//! what is put there, what comes back, what is forgotten. Copies are counted by machines all the same.

use super::clock::{MS, Time};
use super::disk::Platter;
use super::history::Held;
use super::oracle::{Judged, Oracle, Property, Stop, Violation, check_of, violation};
use super::restarts::FoundRecord;
use super::watched::{KeyName, Noted, NotedPut, RealStore, WatchedStore};
use super::world::World;
use crate::proto::error::Outcome;
use crate::proto::hints::{PARTITIONS, Spot};
use crate::proto::io::Reply;
use crate::proto::node::Node;
use crate::proto::ring::{self, Layout};
use crate::proto::store::{KeyRef, Sequence, Store};
use crate::store::{LogOptions, MemoryStore};

/// How long hints may be under way once everything is healed.
const DELIVERED_MAX: Time = 240_000 * MS;

/// Places where a key may be, of so many machines with hints.
pub(super) const fn places(machines: usize) -> usize {
    machines + 2 * machines * machines
}

/// The machine of a place.
pub(super) const fn machine_of(machines: usize, place: usize) -> usize {
    if place < machines { place } else { (place - machines) / (2 * machines) }
}

/// Whether what is at a place stays there until its key's owners have it: an uncounted hint goes by its age (trap T2).
pub(super) const fn is_lasting(machines: usize, place: usize) -> bool {
    place < machines || (place - machines) % 2 == 1
}

/// The place of a hint.
const fn nook(machines: usize, keeper: usize, target: usize, is_counted: bool) -> usize {
    machines + (keeper * machines + target) * 2 + is_counted as usize
}

/// Lets the log workers of a node do one thing each; whether there was one.
pub(super) fn disk_step(node: &mut Node<WatchedStore>) -> bool {
    let did = node.store_mut().real_mut().disk_step();
    node.hints_mut().store_mut().real_mut().disk_step() || did
}

impl World {
    /// Opens the store of hints of a machine.
    pub(super) fn open_hints(&mut self, machine: usize, generation: u64, seed: u64) -> Judged<WatchedStore> {
        let mut draw = crate::proto::rng::Rng::new(seed ^ 0x4117);
        let mut random = || draw.next_u64();
        if self.profile.hints.is_none() {
            return Ok(WatchedStore::new(
                RealStore::Memory(Box::new(MemoryStore::new(crate::proto::hints::PARTITIONS, &mut random))),
                seed,
                0,
                0,
            ));
        }
        let mut options = LogOptions::new(PARTITIONS, self.oracle.cluster.hash);
        options.segment_size = 64 << 10;
        options.checkpoint_bytes = self.profile.checkpoint_bytes;
        options.checkpoint_interval = self.profile.checkpoint_interval;
        options.scrub_interval = self.profile.scrub_interval;
        options.retention_bytes = 0;
        let this = &mut self.machines[machine];
        if core::mem::replace(&mut this.hints_of, generation) != generation {
            // As `driver/hint_log.rs` does: what another generation kept is removed.
            this.hint_platter.wipe();
        }
        let disk = this.hint_platter.attach();
        let real = RealStore::log(disk, options, &mut random).map_err(|why| {
            let text = format!("{} cannot open its hints: {why}", self.names[machine]);
            Violation { property: Property::Restart, key: None, text }
        })?;
        let store = WatchedStore::new(real, seed, 0, 0);
        self.judge_hints_opened(machine, &store)?;
        Ok(store)
    }

    fn judge_hints_opened(&mut self, machine: usize, store: &WatchedStore) -> Judged {
        let all = self.machines.len();
        let stop = self.machines[machine].stop;
        let recovered = store.identity().recovered;
        for target in 0..all {
            for is_counted in [false, true] {
                let place = nook(all, machine, target, is_counted);
                let names = self.oracle.keys().iter().map(|key| self.hint_name(target, &key.name));
                let names: Vec<Vec<u8>> = names.collect();
                let mut found = Vec::with_capacity(names.len());
                for (number, name) in names.iter().enumerate() {
                    match store.peek(&self.hint_ref(is_counted, name)) {
                        Ok(record) => {
                            found.push(record.map(|record| {
                                (record.sequence, check_of(&record.object), record.local.epoch)
                            }))
                        }
                        Err(why) => {
                            let text =
                                format!("{} opened its hints, which answer {why}", self.names[machine]);
                            return violation(Property::Restart, number, text);
                        }
                    }
                }
                self.oracle.nook_opened(place, recovered, &found, stop)?;
            }
        }
        Ok(())
    }

    fn hint_name(&self, target: usize, key: &KeyName) -> Vec<u8> {
        let mut name = format!("{{{:016x}}}", self.ids[target].0).into_bytes();
        name.extend_from_slice(&key.0.to_le_bytes());
        name.extend_from_slice(&key.1);
        name
    }

    fn hint_ref<'a>(&self, is_counted: bool, name: &'a [u8]) -> KeyRef<'a> {
        let keyspace = u16::from(is_counted);
        let position = ring::position(&self.oracle.cluster.hash, keyspace, name);
        KeyRef { keyspace, key: name, position, partition: ring::partition(position, PARTITIONS) }
    }

    /// Shows the oracle what a machine did with its hints, and how far their store has come.
    pub(super) fn judge_hints(&mut self, machine: usize) -> Judged {
        if self.profile.hints.is_none() {
            return Ok(());
        }
        let Some(node) = self.machines[machine].node.as_mut() else { return Ok(()) };
        let generation = node.store().identity().generation;
        let (noted, marks) = (node.hints_mut().store_mut().take_noted(), node.hints().store().marks());
        let all = self.machines.len();
        let wall_ms = self.clock_of(machine).wall.0;
        for noted in &noted {
            let (name, sequence) = match noted {
                Noted::Put(put) => (&put.key, put.sequence),
                Noted::Remove(name, sequence) => (name, *sequence),
                // All of them: the directory has turned out to be an old copy.
                Noted::Drop(_, sequence) => {
                    self.oracle.hints_dropped(machine, *sequence);
                    continue;
                }
            };
            let found = Spot::of(&name.1).and_then(|spot| {
                let target = self.ids.iter().position(|&id| id == spot.target)?;
                Some((target, (spot.keyspace, spot.key.to_vec())))
            });
            let Some((target, key)) = found else {
                let text = format!("{} keeps a hint for nobody: {name:?}", self.names[machine]);
                return Err(Violation { property: Property::NoValueFromNowhere, key: None, text });
            };
            let is_counted = name.0 == 1;
            let place = nook(all, machine, target, is_counted);
            let number = self.oracle.key_number(&key);
            self.trace.note(self.now, 17, &sequence.0.to_le_bytes());
            self.trace.say(self.now, number, || {
                let what = if matches!(noted, Noted::Put(_)) { "keeps" } else { "removes" };
                let (name, target) = (&self.names[machine], &self.names[target]);
                format!("{name} {what} a hint for {target} (counted: {is_counted})")
            });
            match noted {
                Noted::Put(put) => {
                    let put = NotedPut { key, ..put.clone() };
                    self.oracle.put(place, generation, wall_ms, &put)?;
                }
                _ => {
                    if let Some(key) = number {
                        let goes_to = self.readdressed(machine, target, key);
                        self.oracle.hint_removed(place, key, (target, is_counted), &goes_to, sequence)?;
                    }
                }
            }
        }
        for place in nook(all, machine, 0, false)..nook(all, machine + 1, 0, false) {
            self.oracle.marks(place, marks)?;
        }
        Ok(())
    }

    /// Who must have what a removed hint held: its target, or whoever has the key now if the target has not.
    fn readdressed(&self, keeper: usize, target: usize, key: usize) -> Vec<usize> {
        let node = self.machines[keeper].node.as_ref().expect("it runs");
        let (topology, info) = (node.topology(), &self.oracle.keys()[key]);
        if self.nemesis.is_none() || topology.version() == 0 {
            return vec![target];
        }
        let machine_of = |layout: &Layout, slot: u16| {
            self.ids.iter().position(|&id| id == layout.member(slot).id).expect("members are machines")
        };
        // Once reads are on the new layout, who has the key by the old one only gives it away.
        let earlier = Some(topology.current()).filter(|_| !topology.is_flipped());
        let owners = earlier.into_iter().chain([topology.latest()]).flat_map(|layout| {
            let slots = layout.replicas(info.name.0, info.partition).iter();
            slots.map(move |&slot| machine_of(layout, slot))
        });
        let owners: Vec<usize> = owners.collect();
        if owners.contains(&target) { vec![target] } else { owners }
    }

    /// Once everything is healed, every hint comes to where it belongs.
    pub(super) fn deliver_hints(&mut self) -> Judged {
        if self.profile.hints.is_none() {
            return Ok(());
        }
        self.oracle.count_liveness();
        let end = self.now + DELIVERED_MAX;
        // Nobody takes anything of who is no member any more.
        let kept = |world: &World| {
            let mut seated = (0..world.machines.len()).filter(|&machine| world.is_seated(machine));
            seated.find_map(|machine| {
                let figures = world.machines[machine].node.as_ref()?.hints().figures();
                (figures.records > 0).then_some((world.names[machine].clone(), figures))
            })
        };
        while let Some((name, figures)) = kept(self) {
            if self.now > end {
                let text = format!("everything is healed, and {name} keeps {figures:?}");
                return Err(Violation { property: Property::Liveness, key: None, text });
            }
            self.run_until(self.now + 200 * MS, &|_| false)?;
        }
        Ok(())
    }

    /// Adds what a node did with hints, before it goes.
    pub(super) fn count_hints(&mut self, machine: usize) {
        let Some(node) = self.machines[machine].node.as_ref().filter(|_| self.profile.hints.is_some()) else {
            return;
        };
        let counters = node.hints().counters;
        let did = [
            ("hint made", counters.made),
            ("hint delivered", counters.delivered),
            ("hint dropped", counters.dropped),
            ("hint refused", counters.refused),
        ];
        for (what, count) in did.into_iter().filter(|(_, count)| *count > 0) {
            *self.counts.acts.entry(what.to_owned()).or_default() += count;
        }
    }

    /// Counts what fallbacks did for a request.
    pub(super) fn count_fallbacks(&mut self, reply: &Reply) {
        let achieved = reply.achieved;
        if reply.outcome != Outcome::Ok || achieved.fallbacks == 0 {
            return;
        }
        match reply.dot {
            None => self.act("read with a fallback"),
            Some(_) if achieved.fallbacks == achieved.acked => self.act("write without a replica"),
            Some(_) => self.act("write with a fallback"),
        }
    }

    /// An empty disk for hints.
    pub(super) fn hint_platter(machine: usize, seed: u64) -> Platter {
        Platter::new(machine as u64 + 1, seed ^ (0x4117_0000 + machine as u64))
    }
}

impl Oracle {
    /// A store of hints was opened and has this of each key at a place.
    fn nook_opened(
        &mut self,
        place: usize,
        recovered: Sequence,
        found: &[FoundRecord],
        stop: Option<Stop>,
    ) -> Judged {
        let sure = self.machines[place].down.take().unwrap_or_default();
        self.machines[place].marks = Default::default();
        self.machines[place].last_sequence = self.machines[place].last_sequence.max(recovered);
        for (key, &found) in found.iter().enumerate() {
            self.came_back(place, key, found, sure, stop, false)?;
        }
        Ok(())
    }

    /// Everything that a machine kept for others was dropped, as its directory is an old copy.
    fn hints_dropped(&mut self, machine: usize, sequence: Sequence) {
        for place in self.nooks_of(machine) {
            let marks = self.machines[place].marks;
            self.machines[place].last_sequence = self.machines[place].last_sequence.max(sequence);
            for key in 0..self.keys.len() {
                self.forget_promise(machine, place, key);
            }
            for history in &mut self.histories {
                if history.top(place).is_some_and(|held| !held.is_gone) {
                    history.remember(place, marks);
                    history.hold(place, Held::gone(sequence), marks.1);
                }
            }
        }
    }

    /// A hint is gone: a counted one only once its target has on its disk what it held, or it goes on to those who have
    /// the key now (trap T2).
    fn hint_removed(
        &mut self,
        place: usize,
        key: usize,
        (target, is_counted): (usize, bool),
        goes_to: &[usize],
        sequence: Sequence,
    ) -> Judged {
        let view = &mut self.machines[place];
        view.last_sequence = view.last_sequence.max(sequence);
        let marks = view.marks;
        let Some(before) = self.histories[key].top(place).filter(|held| !held.is_gone).cloned() else {
            return Ok(());
        };
        self.checked(Property::NoLostWrite);
        let keeper = machine_of(self.physical, place);
        let missing_at = |owner: usize| {
            let mark = self.machines[owner].down.unwrap_or(self.machines[owner].marks.1);
            let at_owner = self.histories[key].top_below(owner, mark);
            let anew = self.histories[key].top(nook(self.physical, keeper, owner, is_counted));
            let mut known = self.histories[key].reaped.clone();
            at_owner.into_iter().for_each(|held| known.add(&held.past));
            anew.filter(|_| owner != target).into_iter().for_each(|held| known.add(&held.past));
            // Who leaves hands it over to another keeper.
            for other in (0..self.physical).filter(|&other| other != keeper) {
                let place = nook(self.physical, other, owner, is_counted);
                let on_disk = self.histories[key].top_below(place, self.machines[place].marks.1);
                on_disk.into_iter().for_each(|held| known.add(&held.past));
            }
            // What it has said stands, even if its disk was put back since.
            let was_safe = |event: usize| self.histories[key].events[event].was_durable_on(owner);
            let mut missing = before.past.iter().filter(|&event| !known.contains(event) && !was_safe(event));
            missing.next().map(|event| (owner, event))
        };
        // Who took it as the replica that it was then hands it over.
        let missing = missing_at(target).and_then(|_| goes_to.iter().find_map(|&owner| missing_at(owner)));
        if let Some((owner, event)) = missing.filter(|_| is_counted && !self.histories[key].is_doubtful) {
            let text = format!(
                "machine {keeper} removed a counted hint, and machine {owner} has not event {event} on its disk: {}",
                self.stages(key, event)
            );
            return violation(Property::NoLostWrite, key, text);
        }
        let history = &mut self.histories[key];
        history.remember(place, marks);
        history.hold(place, Held::gone(sequence), marks.1);
        for event in before.past.iter().collect::<Vec<_>>() {
            self.excuse_if_gone(keeper, key, event)?;
        }
        Ok(())
    }
}
