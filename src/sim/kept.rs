//! Judges a cluster whose members change: what each node follows, what it drops, where copies are evidence,
//! and whether everything comes to rest once everything is healed.

use super::clock::{MS, Time};
use super::history::Held;
use super::nemesis::State;
use super::oracle::{Judged, Oracle, Property, Stop, Violation, violation};
use super::world::World;
use crate::proto::cluster::Topology;
use crate::proto::io::MemberId;
use crate::proto::store::{Sequence, Store};

/// How long a healed cluster may take to come to rest.
const REST_MAX: Time = 120_000 * MS;

fn broken<T>(property: Property, text: String) -> Judged<T> {
    Err(Violation { property, key: None, text })
}

impl World {
    /// Looks what a node follows, after a call into it.
    pub(super) fn look_at_topology(&mut self, machine: usize) -> Judged {
        let (Some(nemesis), Some(node)) = (&mut self.nemesis, &self.machines[machine].node) else {
            return Ok(());
        };
        let (topology, generation) = (node.topology(), node.store().identity().generation);
        let now = (generation, topology.version(), topology.hash());
        let before = std::mem::replace(&mut nemesis.lives[machine].follows, now);
        if before == now {
            let strikes = topology.next().is_some() && self.is_safety_phase && nemesis.strikes_between();
            return if strikes { self.stop_at_step(machine) } else { Ok(()) };
        }
        self.oracle.checked(Property::OneTopology);
        if before.0 == generation && now.1 < before.1 {
            let text = format!("{} followed version {} and now {}", self.names[machine], before.1, now.1);
            return broken(Property::OneTopology, text);
        }
        if now.1 == 0 {
            return Ok(());
        }
        self.trace.note(self.now, 13, &now.2.to_le_bytes());
        let (name, names) = (&self.names[machine], &self.names);
        self.trace.say(self.now, None, || format!("*** {name} follows {}", describe(topology, names.len())));
        let known = nemesis.hashes.entry(now.1).or_insert(now.2);
        if *known != now.2 {
            let text = format!("two topologies of version {}: {known:016x} and {:016x}", now.1, now.2);
            return broken(Property::OneTopology, text);
        }
        nemesis.layouts.extend([topology.current().hash(), topology.latest().hash()]);
        if nemesis.latest.as_ref().is_none_or(|latest| latest.version() < now.1) {
            let topology = topology.clone();
            self.oracle.checked(Property::RemovedStays);
            nemesis.judge_removed(&topology)?;
            nemesis.latest = Some(topology);
            self.name_owners();
        }
        let strikes = self.nemesis.as_mut().is_some_and(|nemesis| nemesis.strikes());
        if strikes && self.is_safety_phase { self.stop_at_step(machine) } else { Ok(()) }
    }

    fn stop_at_step(&mut self, machine: usize) -> Judged {
        let how = if self.rng.one_in(3) { Stop::Killed } else { Stop::Crashed };
        self.act("stop at a step");
        self.stop_and_plan_restart(machine, how)
    }

    /// Tells the oracle on which machines copies are evidence now.
    pub(super) fn name_owners(&mut self) {
        let Some(topology) = self.nemesis.as_ref().and_then(|nemesis| nemesis.latest.as_ref()) else {
            return;
        };
        let layout = topology.reading();
        let lives = self.nemesis.iter().flat_map(|nemesis| &nemesis.lives);
        let is_dead: Vec<bool> = lives.map(|life| life.state == State::Dead).collect();
        for (view, &id) in self.oracle.machines.iter_mut().zip(&self.ids) {
            let is_in = topology.member(id).is_some_and(|member| member.generation == view.generation);
            view.is_put_back &= !is_in || view.is_old;
        }
        for key in 0..self.oracle.keys.len() {
            let info = &self.oracle.keys[key];
            let replicas = layout.replicas(info.name.0, info.partition).iter();
            let replicas = replicas.map(|&slot| layout.member(slot)).filter_map(|member| {
                let machine = self.ids.iter().position(|&id| id == member.id)?;
                let now = topology.member(member.id).map(|now| now.generation);
                let bound = Some(self.oracle.machines[machine].generation);
                Some((machine, now == Some(member.generation) && bound == now))
            });
            let replicas: Vec<(usize, bool)> = replicas.collect();
            let info = &mut self.oracle.keys[key];
            // One that came back empty keeps what it is given, though it is no evidence yet.
            info.obliged |= replicas.iter().fold(0, |bits, (machine, _)| bits | 1 << machine);
            let (owners, lost): (Vec<_>, Vec<_>) =
                replicas.into_iter().partition(|(_, is_evidence)| *is_evidence);
            let numbers =
                |list: Vec<(usize, bool)>| list.into_iter().map(|(machine, _)| machine).collect::<Vec<_>>();
            let before = core::mem::replace(&mut info.owners, numbers(owners));
            if before != self.oracle.keys[key].owners {
                let mut lost = numbers(lost);
                // One that was of the set when it died left what it had to others of the set.
                let owners = self.oracle.keys[key].owners.iter();
                lost.extend(owners.filter(|owner| !before.contains(owner) && is_dead[**owner]));
                self.oracle.flipped_to_lost(key, &lost);
            }
        }
    }

    /// A machine dropped a partition.
    pub(super) fn judge_drop(&mut self, machine: usize, partition: u16, sequence: Sequence) -> Judged {
        self.trace.note(self.now, 14, &partition.to_le_bytes());
        self.trace.say(self.now, None, || format!("*** {} drops partition {partition}", self.names[machine]));
        self.act("partition dropped");
        // One that is about to be let in again was asked by nobody when keys were reaped.
        let topology = self.machines[machine].node.as_ref().map(|node| node.topology());
        let generation = self.oracle.machines[machine].generation;
        let id = self.ids[machine];
        let is_guest = topology.is_some_and(|topology| !topology.is_seated(id, generation));
        // One that has just been let in begins anew as well. What it held as a guest may be all that crashes have left of a
        // write, but then that was not durable.
        let is_new = topology.is_some_and(|topology| {
            let seat = topology.current().slot_of(id).map(|slot| topology.current().member(slot));
            !topology.is_flipped() && seat.is_none_or(|seat| seat.generation != generation)
        });
        if (is_guest || is_new) && self.profile.reap_after.is_some() {
            self.oracle.forget_promises_of(machine, partition, is_guest);
        }
        self.oracle.dropped(machine, partition, sequence)?;
        // Who dropped what was left of an earlier directory, to be given all of it anew, is a replica as before.
        self.name_owners();
        Ok(())
    }

    /// Whether a machine's directory was removed: it may not know, and its operator has said that it is dead, so
    /// nobody asks it.
    pub(super) fn is_removed(&self, machine: usize) -> bool {
        let latest = self.nemesis.as_ref().and_then(|nemesis| nemesis.latest.as_ref());
        latest.is_some_and(|latest| latest.has_removed(self.oracle.machines[machine].generation))
    }

    /// Whether a frame came from a machine that a node has not met.
    pub(super) fn is_stranger(&self, machine: usize, from: usize) -> bool {
        let node = self.machines[machine].node.as_ref();
        self.nemesis.is_some()
            && self.network.sees(machine, from).is_none()
            && node.is_none_or(|node| node.topology().member(self.ids[from]).is_none())
    }

    /// A machine to ask when everything is healed.
    pub(super) fn pick_member(&mut self) -> usize {
        let machines: Vec<usize> =
            (0..self.machines.len()).filter(|&machine| self.is_seated(machine)).collect();
        machines[self.rng.below(machines.len() as u64) as usize]
    }

    /// Whether a machine runs and is a member with the directory it has; always, where members do not change.
    pub(super) fn is_seated(&self, machine: usize) -> bool {
        let Some(nemesis) = &self.nemesis else { return true };
        let member = nemesis.latest.as_ref().and_then(|topology| topology.member(self.ids[machine]));
        let generation = self.oracle.machines[machine].generation;
        self.machines[machine].node.is_some() && member.is_some_and(|member| member.generation == generation)
    }

    /// Waits until a healed cluster has come to rest: no transition, and everybody follows one topology.
    pub(super) fn settle_cluster(&mut self) -> Judged {
        if self.nemesis.is_none() {
            return Ok(());
        }
        self.oracle.count_liveness();
        let end = self.now + REST_MAX;
        while let Some(why) = self.is_restless() {
            if self.now > end {
                return broken(Property::Liveness, format!("everything is healed, and {why}"));
            }
            self.bring_to_rest()?;
            self.run_until(self.now + 1_000 * MS, &|_| false)?;
        }
        self.order_until_done()
    }

    /// What is not at rest.
    fn is_restless(&self) -> Option<String> {
        let nemesis = self.nemesis.as_ref()?;
        let Some(latest) = &nemesis.latest else { return Some("nobody follows a topology".into()) };
        if latest.next().is_some() {
            return Some(format!("a transition goes on: {}", describe(latest, self.names.len())));
        }
        for machine in 0..self.machines.len() {
            let Some(node) = &self.machines[machine].node else { continue };
            let (name, generation) = (&self.names[machine], node.store().identity().generation);
            if node.topology().version() != latest.version() && !latest.has_removed(generation) {
                let version = node.topology().version();
                return Some(format!("{name} follows {version} and not {}", latest.version()));
            }
            let wants = latest.member(self.ids[machine]).is_some() || !nemesis.lives[machine].founds;
            if wants && !self.is_seated(machine) && !latest.has_removed(generation) {
                return Some(format!("{name} is not let in: {}", describe(latest, self.names.len())));
            }
        }
        let is_dead = |id: MemberId| {
            let machine = self.ids.iter().position(|&other| other == id);
            machine.is_none_or(|machine| self.machines[machine].node.is_none())
        };
        let dead = latest.members().into_iter().find(|member| is_dead(member.id));
        dead.map(|member| format!("{} is a member and does not run", member.name))
    }

    /// At the end whoever holds no key of a partition any more has dropped it.
    pub(super) fn judge_old_copies(&mut self) -> Judged {
        let Some(drop_after) = self.profile.membership.as_ref().map(|drawn| drawn.drop_after) else {
            return Ok(());
        };
        let end = self.now + drop_after.as_nanos() as Time + 30_000 * MS;
        while let Some((machine, key)) = self.old_copy() {
            if self.now > end {
                let text = format!("{} holds an old copy and does not drop it", self.names[machine]);
                return violation(Property::Liveness, key, text);
            }
            self.run_until(self.now + 500 * MS, &|_| false)?;
        }
        Ok(())
    }

    fn old_copy(&self) -> Option<(usize, usize)> {
        let keys = self.oracle.keys().iter().enumerate();
        keys.flat_map(|(number, key)| (0..self.machines.len()).map(move |machine| (machine, number, key)))
            .find(|&(machine, _, key)| {
                let Some(node) = &self.machines[machine].node else { return false };
                let list = node.topology().reading().preference_list(key.partition);
                let is_held =
                    list.iter().any(|&slot| node.topology().reading().member(slot).id == self.ids[machine]);
                !is_held && node.store().partition_stats(key.partition).keys > 0
            })
            .map(|(machine, number, _)| (machine, number))
    }
}

impl Oracle {
    /// Reads of a key moved to a set of which these machines have lost their disks, or died for good, since they had
    /// fetched it, before whoever flipped could know. What they alone of the set had is left with the set before: it is
    /// handed over when the cluster is at rest, and no read is promised it until then. A disk that is lost behind the
    /// flip is another thing: it goes only if another of the set has what it had.
    fn flipped_to_lost(&mut self, key: usize, lost: &[usize]) {
        let stays = |owner: &usize| !lost.contains(owner);
        let owners: Vec<usize> = self.keys[key].owners.iter().copied().filter(stays).collect();
        for event in 0..self.histories[key].events.len() {
            let known = &self.histories[key].events[event];
            let was_lost = lost.iter().any(|&machine| known.was_on(machine));
            let has = |&owner: &usize| self.sure(key, owner).is_some_and(|held| held.past.contains(event));
            if was_lost && !owners.iter().any(has) {
                self.histories[key].events[event].damaged = true;
            }
        }
    }

    /// A machine dropped a partition: whatever it held of it that counts is elsewhere.
    fn dropped(&mut self, machine: usize, partition: u16, sequence: Sequence) -> Judged {
        let view = &mut self.machines[machine];
        view.last_sequence = view.last_sequence.max(sequence);
        for key in 0..self.keys.len() {
            if self.keys[key].partition == partition {
                self.dropped_key(machine, key, sequence)?;
            }
        }
        Ok(())
    }

    /// The same of one key.
    pub(super) fn dropped_key(&mut self, machine: usize, key: usize, sequence: Sequence) -> Judged {
        let view = &mut self.machines[machine];
        view.last_sequence = view.last_sequence.max(sequence);
        let marks = view.marks;
        let history = &mut self.histories[key];
        let Some(before) = history.top(machine).filter(|held| !held.is_gone).cloned() else { return Ok(()) };
        self.checked(Property::NoLostWrite);
        self.keys[key].obliged &= !(1 << machine);
        let history = &mut self.histories[key];
        history.remember(machine, marks);
        history.hold(machine, Held::gone(sequence), marks.1);
        for event in before.past.iter() {
            self.judge_last_copy(machine, key, event)?;
        }
        Ok(())
    }

    fn judge_last_copy(&self, machine: usize, key: usize, event: usize) -> Judged {
        let history = &self.histories[key];
        let known = &history.events[event];
        let is_over = known.excused || history.reaped.contains(event);
        if known.acknowledged.is_none() || is_over || history.is_doubtful {
            return Ok(());
        }
        let has = |other: usize| self.sure(key, other).is_some_and(|held| held.past.contains(event));
        if (0..self.machines.len()).any(has) {
            return Ok(());
        }
        let text =
            format!("machine {machine} dropped the last copy of event {event}, which was acknowledged");
        violation(Property::NoLostWrite, key, text)
    }
}

/// A topology in one line.
pub(super) fn describe(topology: &Topology, machines: usize) -> String {
    let names = |layout: &crate::proto::ring::Layout| {
        let members = layout.members().iter();
        let each = members
            .map(|member| format!("{}:{:04x}*{}", member.name, member.generation >> 48, member.weight));
        each.collect::<Vec<_>>().join(" ")
    };
    let keepers: Vec<String> =
        topology.keepers().iter().map(|seat| format!("{:04x}", seat.generation >> 48)).collect();
    format!(
        "{} {:016x} of {machines}: [{}] next {:?} flipped at {} keepers {keepers:?} staged {:?}",
        topology.version(),
        topology.hash(),
        names(topology.current()),
        topology.next().map(names),
        topology.flipped_at(),
        topology.staged()
    )
}
