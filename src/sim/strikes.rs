//! What breaks at a time of its own, and how it is mended: cuts, pauses, crashes, restarts, lost disks.
//!
//! A fault strikes only where it leaves the promises of the system meant to hold: a record or a disk is
//! taken only if every acknowledged write in it is durable on another machine that runs.

use super::clock::{MS, Time};
use super::faults::{Fault, StoreKind};
use super::oracle::{Judged, Property, Stop, Violation, check_of};
use super::watched::{Glance, KeyName, RealStore, WatchedStore};
use super::world::{Event, World};
use crate::proto::node::Node;
use crate::proto::ring;
use crate::proto::store::{KeyRef, Sequence, Store};
use crate::proto::version::Hlc;
use crate::store::LogOptions;

/// Something that breaks or is mended.
#[derive(Clone, Debug)]
pub(super) enum Strike {
    /// A kind of the profile's timed faults, by number; plans its next time itself.
    Timed(usize),
    /// Cuts are taken away.
    Uncut(Vec<(usize, usize)>),
    /// A machine is started.
    Start(usize),
    /// An operator looks whether a machine may be put back to what it was, so many times more.
    Restore(usize, u32),
    /// There is room on a disk again.
    Room(usize),
    /// A machine is given the layout of the others.
    Correct(usize),
    /// An operator acts, or something befalls the members.
    Nemesis,
    /// Two keepers decide something of which nobody else hears.
    PartKeepers,
    /// The second of them forgets it, and the third decides.
    Forget([usize; 3]),
    /// An operator commits what is staged, or a plan.
    Commit(Option<u64>),
    /// One who walks through all keys goes on.
    Walk(usize),
    /// One who follows a change feed asks for more.
    Follow(usize),
}

impl World {
    /// Plans the first time of every timed fault.
    pub(super) fn plan_strikes(&mut self) {
        for number in 0..self.profile.timed.len() {
            self.plan_strike(number);
        }
        self.plan_nemesis();
        if self.profile.membership.as_ref().is_some_and(|drawn| drawn.forgets) {
            self.plan(self.now + 700 * MS, Event::Strike(Strike::PartKeepers));
        }
    }

    /// Lets one member run with another layout for a while: the others must have nothing to do with it.
    pub(super) fn start_with_foreign_layout(&mut self) {
        let machine = self.machines.len() - 1;
        self.machines[machine].is_foreign = true;
        self.say(Fault::ForeignLayout, machine);
        let at = self.now + self.profile.outage_max;
        self.plan(at, Event::Strike(Strike::Correct(machine)));
    }

    /// Starts a machine anew with the layout of the others.
    pub(super) fn correct_layout(&mut self, machine: usize) -> Judged {
        if !std::mem::take(&mut self.machines[machine].is_foreign) {
            return Ok(());
        }
        if self.machines[machine].node.is_some() {
            self.stop(machine, Stop::Clean)?;
        }
        self.start(machine)
    }

    fn plan_strike(&mut self, number: usize) {
        let mean = self.profile.timed[number].1;
        let at = self.now + mean / 4 + self.rng.below(mean * 3 / 2);
        self.plan(at, Event::Strike(Strike::Timed(number)));
    }

    /// Breaks or mends something.
    pub(super) fn strike(&mut self, strike: Strike) -> Judged {
        match strike {
            Strike::Timed(number) => {
                if !self.is_safety_phase {
                    return Ok(());
                }
                self.plan_strike(number);
                self.trace.note(self.now, 10, &[number as u8]);
                self.strike_timed(self.profile.timed[number].0)
            }
            Strike::Uncut(lanes) => {
                self.uncut(&lanes);
                Ok(())
            }
            Strike::Start(machine) if !self.is_wanted(machine) => Ok(()),
            Strike::Start(machine) => self.start(machine),
            Strike::Restore(machine, tries) => self.try_restore(machine, tries),
            Strike::Nemesis => self.strike_members(),
            Strike::PartKeepers => self.part_keepers(),
            Strike::Forget(keepers) => self.forget(keepers),
            Strike::Commit(plan) => self.commit_staged(plan),
            Strike::Walk(walker) => self.walk(walker),
            Strike::Follow(follower) => self.follow(follower),
            Strike::Correct(machine) => self.correct_layout(machine),
            Strike::Room(machine) => {
                self.machines[machine].platter.set_full(false);
                Ok(())
            }
        }
    }

    fn strike_timed(&mut self, fault: Fault) -> Judged {
        let machine = self.rng.below(self.machines.len() as u64) as usize;
        let outage = MS + self.rng.below(self.profile.outage_max);
        match fault {
            Fault::CutOneWay | Fault::CutTwoWay | Fault::Isolate | Fault::Split => {
                self.cut(fault, machine, outage);
                Ok(())
            }
            Fault::WallJump => {
                let by_ms = [-3_600_000, -700, -20, 20, 700, 3_600_000][self.rng.below(6) as usize];
                self.say(fault, machine);
                self.machines[machine].clock.jump(by_ms);
                Ok(())
            }
            _ if !self.is_serving(machine) => Ok(()),
            Fault::CrashInDisk | Fault::SyncFailure | Fault::DiskFull
                if self.profile.store == StoreKind::Memory =>
            {
                Ok(())
            }
            Fault::Pause => {
                self.say(fault, machine);
                self.machines[machine].paused_until = self.now + outage;
                Ok(())
            }
            Fault::ProcessKill => self.stop_for(fault, machine, Stop::Killed),
            Fault::MachineCrash => self.stop_for(fault, machine, Stop::Crashed),
            Fault::CleanRestart => self.stop_for(fault, machine, Stop::Clean),
            Fault::CrashInDisk => {
                let operations = self.rng.below(6);
                self.machines[machine].platter.crash_after(operations);
                Ok(())
            }
            Fault::CrashAll => {
                for machine in 0..self.machines.len() {
                    if self.is_serving(machine) {
                        self.stop_for(fault, machine, Stop::Crashed)?;
                    }
                }
                Ok(())
            }
            Fault::Wipe => self.wipe(machine),
            Fault::Restore => self.restore(machine),
            Fault::LostRecord => self.lose_record(machine),
            Fault::SyncFailure => {
                self.say(fault, machine);
                self.machines[machine].platter.fail_next_sync();
                self.machines[machine].hint_platter.fail_next_sync();
                // An operator will see it and start the node again.
                let at = self.now + 4 * outage;
                self.plan(at, Event::Strike(Strike::Start(machine)));
                Ok(())
            }
            Fault::BitRot | Fault::SectorRot | Fault::FileRot | Fault::MisdirectedWrite => {
                self.let_rot(fault);
                Ok(())
            }
            Fault::DiskFull => {
                self.say(fault, machine);
                self.machines[machine].platter.set_full(true);
                self.machines[machine].was_full = true;
                self.plan(self.now + outage, Event::Strike(Strike::Room(machine)));
                Ok(())
            }
            other => unreachable!("{other:?} does not strike by itself"),
        }
    }

    pub(super) fn say(&mut self, fault: Fault, machine: usize) {
        self.struck(fault);
        self.trace.say(self.now, None, || format!("*** {fault:?} at {}", self.names[machine]));
    }

    fn cut(&mut self, fault: Fault, machine: usize, outage: Time) {
        let all = self.machines.len();
        if all < 2 {
            return;
        }
        let other = (machine + 1 + self.rng.below(all as u64 - 1) as usize) % all;
        let both = |a: usize, b: usize| [(a, b), (b, a)];
        let lanes: Vec<(usize, usize)> = match fault {
            Fault::CutOneWay => vec![(machine, other)],
            Fault::CutTwoWay => both(machine, other).to_vec(),
            Fault::Isolate => (0..all).filter(|&b| b != machine).flat_map(|b| both(machine, b)).collect(),
            _ => {
                let side: Vec<bool> = (0..all).map(|_| self.rng.one_in(2)).collect();
                let pairs = (0..all).flat_map(|a| (0..all).map(move |b| (a, b)));
                pairs.filter(|&(a, b)| side[a] != side[b]).collect()
            }
        };
        if lanes.is_empty() {
            return;
        }
        self.say(fault, machine);
        self.cut_lanes(lanes, outage);
    }

    /// Cuts lanes for a while.
    pub(super) fn cut_lanes(&mut self, lanes: Vec<(usize, usize)>, outage: Time) {
        let most = self.profile.detection_max;
        for &(from, to) in &lanes {
            self.network.cut(from, to, true);
            self.plan_notices(from, to, most);
        }
        self.plan(self.now + outage, Event::Strike(Strike::Uncut(lanes)));
    }

    fn uncut(&mut self, lanes: &[(usize, usize)]) {
        self.trace.say(self.now, None, || format!("*** lanes are open again: {lanes:?}"));
        for &(from, to) in lanes {
            self.network.cut(from, to, false);
            self.plan_notices(from, to, 50 * MS);
        }
    }

    fn stop_for(&mut self, fault: Fault, machine: usize, how: Stop) -> Judged {
        if how != Stop::Clean && self.profile.store == StoreKind::Memory {
            return self.wipe(machine);
        }
        if self.profile.store == StoreKind::Memory {
            return Ok(());
        }
        self.say(fault, machine);
        self.stop_and_plan_restart(machine, how)
    }

    /// The power went while the loop wrote: what the node wanted done after that never happened.
    pub(super) fn lose_power(&mut self, machine: usize) -> Judged {
        self.judge_puts(machine)?;
        self.judge_hints(machine)?;
        self.struck(Fault::CrashInDisk);
        self.stop_and_plan_restart(machine, Stop::Crashed)
    }

    /// Stops a machine and plans its next start.
    pub(super) fn stop_and_plan_restart(&mut self, machine: usize, how: Stop) -> Judged {
        self.stop(machine, how)?;
        let outage = if self.rng.one_in(3) { MS } else { MS + self.rng.below(self.profile.outage_max) };
        self.plan(self.now + outage, Event::Strike(Strike::Start(machine)));
        Ok(())
    }

    /// Stops the node of a machine.
    pub(super) fn stop(&mut self, machine: usize, how: Stop) -> Judged {
        if how == Stop::Clean {
            return self.stop_cleanly(machine);
        }
        self.note_struck(machine);
        let stray = self.machines[machine].platter.stray();
        // The handles die first: what is dropped next can reach the disk no more.
        match how {
            Stop::Crashed | Stop::CrashedAtRest => {
                self.machines[machine].platter.crash();
                self.machines[machine].hint_platter.crash();
            }
            _ => {
                self.machines[machine].platter.kill_process();
                self.machines[machine].hint_platter.kill_process();
            }
        }
        self.gone(machine, [how, how], stray);
        Ok(())
    }

    fn stop_cleanly(&mut self, machine: usize) -> Judged {
        let now = self.clock_of(machine);
        self.machines[machine].node.as_mut().expect("it runs").close(now);
        self.settle(machine)?;
        let Some(node) = self.machines[machine].node.as_mut() else { return Ok(()) };
        let closed = [node.store_mut().real_mut().close(), node.hints_mut().store_mut().real_mut().close()];
        self.judge_hints(machine)?;
        if self.machines[machine].platter.is_crashed() {
            self.struck(Fault::CrashInDisk);
            self.note_struck(machine);
            let stray = self.machines[machine].platter.stray();
            self.machines[machine].platter.crash();
            self.machines[machine].hint_platter.crash();
            self.gone(machine, [Stop::CrashedAtRest; 2], stray);
            return Ok(());
        }
        let marks = self.machines[machine].node.as_ref().expect("it runs").store().marks();
        self.oracle.marks(machine, marks)?;
        self.note_struck(machine);
        let stray = self.machines[machine].platter.stray();
        self.machines[machine].platter.kill_process();
        self.machines[machine].hint_platter.kill_process();
        let stops = closed.map(|is_clean| if is_clean { Stop::Clean } else { Stop::Killed });
        self.gone(machine, stops, stray);
        Ok(())
    }

    /// The node of a machine is gone, with how the stores of its data and of its hints were stopped.
    fn gone(&mut self, machine: usize, [how, of_hints]: [Stop; 2], stray: Option<u64>) {
        self.trace.say(self.now, None, || format!("*** {} stops: {how:?}", self.names[machine]));
        self.count_upkeep(machine);
        self.count_hints(machine);
        self.count_reaps(machine);
        self.count_catch_ups(machine);
        self.oracle.stopped(machine, how, stray);
        self.oracle.hints_stopped(machine, of_hints);
        let this = &mut self.machines[machine];
        this.node = None;
        this.stop = Some(how);
        this.boot += 1;
        this.paused_until = 0;
        self.network.forget(machine);
        let lost: Vec<u64> =
            self.open.iter().filter(|(_, open)| open.machine == machine).map(|(&id, _)| id).collect();
        for id in lost {
            self.open.remove(&id);
            self.oracle.abandoned(id);
        }
        for peer in (0..self.machines.len()).filter(|&peer| peer != machine) {
            self.network.break_connection(machine, peer);
            let most = self.profile.detection_max;
            self.plan_notices(machine, peer, most);
        }
    }

    fn wipe(&mut self, machine: usize) -> Judged {
        if self.machines.len() < 2 || !self.oracle.may_lose_all(machine) {
            return Ok(());
        }
        self.say(Fault::Wipe, machine);
        self.stop(machine, Stop::Crashed)?;
        self.oracle.wiped(machine);
        self.take_disk(machine);
        let outage = MS + self.rng.below(self.profile.outage_max);
        self.plan(self.now + outage, Event::Strike(Strike::Start(machine)));
        Ok(())
    }

    /// Leaves a machine that was stopped an empty disk.
    pub(super) fn take_disk(&mut self, machine: usize) {
        self.oracle.discarded(machine);
        self.machines[machine].platter.wipe();
        self.machines[machine].hint_platter.wipe();
        self.machines[machine].stop = None;
        self.machines[machine].damaged.clear();
    }

    fn lose_record(&mut self, machine: usize) -> Judged {
        let keys = self.oracle.keys().len() as u64;
        let Some(key) = (0..8).map(|_| self.rng.below(keys) as usize).find(|&key| {
            self.oracle.histories[key].top(machine).is_some() && self.oracle.may_lose(machine, key)
        }) else {
            return Ok(());
        };
        self.struck(Fault::LostRecord);
        self.trace.say(self.now, Some(key), || {
            format!("*** {} can no longer read its record", self.names[machine])
        });
        let name = self.oracle.keys()[key].name.clone();
        let lost = self.oracle.histories[key].top(machine).map(|held| held.sequence).unwrap_or_default();
        self.oracle.lost_record(machine, key);
        self.machines[machine].damaged.insert(name.clone(), lost);
        self.machines[machine].node.as_mut().expect("it serves").store_mut().damage(name);
        Ok(())
    }

    /// Starts the node of a machine; one that runs on a store that failed is stopped first.
    pub(super) fn start(&mut self, machine: usize) -> Judged {
        if let Some(node) = &self.machines[machine].node {
            if !node.store().marks().failed && !node.hints().store().marks().failed {
                return Ok(());
            }
            // What a failed sync left in memory may be lost with the power, or not.
            let how = if self.rng.one_in(2) { Stop::Crashed } else { Stop::Killed };
            self.stop(machine, how)?;
        }
        match self.open(machine)? {
            Some((store, seed)) => self.launch(machine, store, seed),
            None => Ok(()),
        }
    }

    /// Opens the store of a machine, and draws a seed for its node; `None` if it is tried again later.
    pub(super) fn open(&mut self, machine: usize) -> Judged<Option<(WatchedStore, u64)>> {
        let (origin, seed) = (self.rng.below(1 << 50), self.rng.next_u64());
        let (cold, full) = (self.profile.cold_one_in, self.profile.staging_full_one_in);
        let real = match self.open_store(machine) {
            Ok(real) => real,
            Err(why) => {
                if self.machines[machine].platter.is_crashed() {
                    // The power went again while the log was being opened.
                    self.struck(Fault::CrashInDisk);
                    self.machines[machine].platter.crash();
                    let stop = self.machines[machine].stop;
                    self.machines[machine].stop = stop.map(|_| Stop::CrashedAtRest);
                    self.oracle.power_lost_again(machine);
                    self.plan(self.now + 5 * MS, Event::Strike(Strike::Start(machine)));
                    return Ok(None);
                }
                if self.machines[machine].platter.is_full() {
                    self.plan(self.now + 50 * MS, Event::Strike(Strike::Start(machine)));
                    return Ok(None);
                }
                let text = format!("{} cannot open its store: {why}", self.names[machine]);
                return Err(Violation { property: Property::Restart, key: None, text });
            }
        };
        let mut store = WatchedStore::new(real, seed, cold, full);
        store.is_rotten = self.machines[machine].is_rotten;
        let now = self.now;
        self.machines[machine].clock.reboot(now, origin);
        self.judge_opened(machine, &mut store)?;
        self.trace.note(now, 11, &[machine as u8]);
        self.trace.say(now, None, || format!("*** {} starts: {:?}", self.names[machine], store.identity()));
        Ok(Some((store, seed)))
    }

    /// Lets the node of a machine run over its store.
    pub(super) fn launch(&mut self, machine: usize, store: WatchedStore, seed: u64) -> Judged {
        let mut config = self.config.clone();
        config.name.clone_from(&self.names[machine]);
        config.tokens += u32::from(self.machines[machine].is_foreign);
        if let Some(nemesis) = &self.nemesis {
            nemesis.settle_config(machine, &mut config);
        }
        let generation = store.identity().generation;
        let hints = self.open_hints(machine, generation, seed)?;
        let clock = self.clock_of(machine);
        let node = Node::new(config, store, hints, seed, clock).expect("the settings are right");
        let this = &mut self.machines[machine];
        this.node = Some(node);
        this.boot += 1;
        this.reset_plans();
        self.settle(machine)?;
        for peer in (0..self.machines.len()).filter(|&peer| peer != machine) {
            self.plan_notices(machine, peer, 20 * MS);
        }
        self.replay_late_copies(machine);
        Ok(())
    }

    /// Whether a machine removed what it had under a key after this record.
    fn was_removed(&self, machine: usize, name: &KeyName, after: Sequence) -> bool {
        let key = self.oracle.key_number(name).expect("a fault struck it");
        self.oracle.histories[key].held[machine].iter().any(|held| held.is_gone && held.sequence > after)
    }

    /// Shows the oracle what a store came back with.
    fn judge_opened(&mut self, machine: usize, store: &mut WatchedStore) -> Judged {
        // A record that could not be read, or an older one, may be all that a crash left of a key.
        for (name, &lost) in &self.machines[machine].damaged {
            let found = store.peek(&self.key_ref(name)).ok().flatten().map(|record| record.sequence);
            let is_unread = match found {
                Some(found) => found <= lost,
                None => !self.was_removed(machine, name, lost),
            };
            if is_unread {
                store.damage(name.clone());
            }
        }
        if store.is_rotten {
            return self.judge_rotten(machine, store);
        }
        let mut found = Vec::with_capacity(self.oracle.keys().len());
        for (number, key) in self.oracle.keys().iter().enumerate() {
            match store.peek(&self.key_ref(&key.name)) {
                Ok(record) => found.push(Glance::Known(
                    record.map(|record| (record.sequence, check_of(&record.object), record.local.epoch)),
                )),
                Err(why) => {
                    let text = format!("{} was opened and answers {why}", self.names[machine]);
                    return Err(Violation { property: Property::Restart, key: Some(number), text });
                }
            }
        }
        let stop = self.machines[machine].stop;
        self.oracle.opened(machine, &store.identity(), &found, stop)
    }

    fn open_store(&mut self, machine: usize) -> Result<RealStore, String> {
        let hlc_now = Hlc::from_millis(self.clock_of(machine).wall.0).0;
        let mut random = || self.rng.next_u64();
        match self.profile.store {
            StoreKind::Memory => Ok(RealStore::memory(self.config.partitions, &mut random)),
            StoreKind::Log => {
                let has_checkpoint = self.machines[machine].platter.has("checkpoint");
                let disk = self.machines[machine].platter.attach();
                let mut options = LogOptions::new(self.config.partitions, self.oracle.cluster.hash);
                options.segment_size = self.profile.segment_bytes;
                options.hlc_now = hlc_now;
                options.checkpoint_bytes = self.profile.checkpoint_bytes;
                options.checkpoint_interval = self.profile.checkpoint_interval;
                options.scrub_interval = self.profile.scrub_interval;
                options.retention_bytes = self.profile.segment_bytes;
                let opened = RealStore::log(disk, options, &mut random);
                self.count_restart(machine, has_checkpoint, opened.as_ref().ok());
                opened
            }
        }
    }

    fn replay_late_copies(&mut self, machine: usize) {
        for (from, to, bytes) in self.network.late_copies(machine, &self.profile) {
            self.struck(Fault::LateReplay);
            let at = self.now + self.rng.below(400 * MS);
            let connection = self.network.connection(from, to);
            let flight = super::network::Flight { at, bytes, connection, corrupt: false };
            self.plan(at, Event::Frame { from, to, flight });
        }
    }

    /// A key as stores want it.
    pub(super) fn key_ref<'a>(&self, name: &'a KeyName) -> KeyRef<'a> {
        let position = ring::position(&self.oracle.cluster.hash, name.0, &name.1);
        let partition = ring::partition(position, self.config.partitions);
        KeyRef { keyspace: name.0, key: &name.1, position, partition }
    }
}
