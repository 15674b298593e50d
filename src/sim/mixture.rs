//! Profiles that mix much: machines that are away, clients who walk through all keys, follow them or wait no more, and the one with everything on. In
//! that one each part is switched on or off by itself: members that change, faults of networks, disks and clocks, hints
//! that overflow, exchange, reaping, many deletes, counters and sets beside texts, absences longer than any hint is
//! kept, and disks that are put back to what they were.

use core::time::Duration;

use super::clock::MS;
use super::faults::{Fault, Hinting, Kind, Profile, StoreKind};
use crate::proto::config::KeyspaceConfig;
use crate::proto::limits;
use crate::proto::rng::Rng;
use crate::proto::store::Durability;

impl Profile {
    /// Traps T5 and T6: keys are deleted and reaped while machines are away for longer than any hint is kept, and come
    /// back as they were.
    fn bring_the_past_back(&mut self, rng: &mut Rng) {
        self.let_members_change(rng);
        self.compare_copies(rng);
        self.kinds = vec![Kind::Bytes, Kind::Bytes, Kind::Counter, Kind::Set];
        self.deletes_often = true;
        self.reap_after = Some(Duration::from_millis(100 << rng.below(3)));
        let (bytes_max, age_max) = (1 << (9 + rng.below(12)), Duration::from_millis(200 << rng.below(2)));
        self.hints = Some(Hinting { bytes_max, age_max, rate: limits::HINT_RATE });
        self.timed = vec![(Fault::Restore, MS * (200 << rng.below(2)))];
        self.draw_timed(rng, &[Fault::MachineCrash, Fault::ProcessKill, Fault::CleanRestart], 2);
        self.draw_timed(rng, &[Fault::Isolate, Fault::Split, Fault::Pause], 3);
        self.late_ppm = 20_000 << rng.below(3);
        self.outage_max = MS * (800 << rng.below(2));
        self.membership.iter_mut().for_each(|drawn| drawn.act_every = MS * (400 << rng.below(4)));
    }

    /// Everything at once, or any part of it: each is switched on or off by itself, and in one run of eight all are on.
    pub(super) fn mix_everything(&mut self, seed: u64, rng: &mut Rng) {
        if seed % 4 == 2 {
            return self.bring_the_past_back(rng);
        }
        let is_all = seed.is_multiple_of(8);
        let is_on = |rng: &mut Rng, of: u64| rng.below(of) > 0 || is_all;
        if is_on(rng, 3) {
            self.let_members_change(rng);
        } else {
            self.let_fallbacks_stand_in(rng);
        }
        self.store = StoreKind::Log;
        self.timed.clear();
        if is_on(rng, 2) {
            self.draw_network_faults(rng);
        }
        if is_on(rng, 2) {
            self.draw_disk_faults(rng);
        }
        if is_on(rng, 2) {
            self.draw_clock_faults(rng);
        }
        if is_on(rng, 3) {
            self.timed.push((Fault::Restore, MS * (200 << rng.below(4))));
        }
        self.kinds = match rng.below(if is_all { 1 } else { 4 }) {
            0 | 1 => vec![Kind::Bytes, Kind::Counter, Kind::Set],
            2 => vec![Kind::Bytes],
            _ => vec![Kind::Set, Kind::Counter],
        };
        self.hints = is_on(rng, 3).then(|| Hinting {
            bytes_max: if rng.one_in(2) { 1 << (8 + rng.below(4)) } else { 1 << 20 },
            age_max: Duration::from_millis(200 << rng.below(4)),
            rate: 4_000 << rng.below(8),
        });
        if is_on(rng, 3) {
            self.compare_copies(rng);
        }
        self.deletes_often = is_on(rng, 2);
        self.reap_after = is_on(rng, 3).then(|| Duration::from_millis(200 << rng.below(4)));
        // Longer than any hint of half of the runs may become old.
        self.outage_max = if is_on(rng, 2) { MS * (500 << rng.below(4)) } else { self.outage_max };
        self.foreign_layout = false;
        let moves = self.membership.is_some();
        let (reaps, compares) = (self.reap_after.is_some(), self.exchange_interval.is_some());
        self.timed.retain(|(fault, _)| match fault {
            // Where members change, disks are lost by the nemesis.
            Fault::Wipe => !moves && !reaps,
            // In a cluster of a list nobody knows whose directory was emptied or restored, so none reaps by itself.
            Fault::Restore => moves || !reaps,
            // What cannot be read counts in the trees until a scrub has found it; and where members change it is
            // another matter.
            Fault::LostRecord => !moves && !compares,
            _ => true,
        });
    }

    /// Traps T2, T5 and T19: machines are away for long, lose what they had, and are given what they missed.
    pub(super) fn leave_for_long(&mut self, rng: &mut Rng) {
        self.away = true;
        self.machines = 3 + rng.below(2) as usize;
        self.store = StoreKind::Log;
        let levels = [Durability::Memory, Durability::Interval, Durability::Always];
        let durability = levels[rng.below(3) as usize];
        let n = 2 + rng.below(2) as u8;
        self.keyspaces = vec![KeyspaceConfig { n, durability, ..KeyspaceConfig::default() }];
        if rng.one_in(2) {
            self.draw_network_faults(rng);
            self.foreign_layout = false;
        }
        self.timed = vec![(Fault::Isolate, 1_600 * MS), (Fault::CleanRestart, 3_200 * MS)];
        self.draw_timed(rng, &[Fault::ProcessKill, Fault::MachineCrash, Fault::CutTwoWay], 2);
        if rng.one_in(2) {
            let (bytes_max, age_max) = (1 << (8 + rng.below(12)), Duration::from_millis(400 << rng.below(5)));
            self.hints = Some(Hinting { bytes_max, age_max, rate: limits::HINT_RATE });
        } else {
            self.draw_timed(rng, &[Fault::Wipe], 2);
        }
        self.compare_copies(rng);
        self.acknowledged_target += 500;
        self.outage_max = MS * (500 << rng.below(3));
        self.detection_max = MS * (5 << rng.below(5));
    }

    fn draw_faults_of_all_kinds(&mut self, rng: &mut Rng) {
        self.draw_network_faults(rng);
        self.draw_disk_faults(rng);
        self.draw_clock_faults(rng);
        self.foreign_layout = false;
    }

    /// Clients follow what changes, over restarts and for longer than the log keeps it, while keys are reaped or members
    /// change.
    pub(super) fn let_clients_follow(&mut self, seed: u64, rng: &mut Rng) {
        self.feeds = true;
        match seed % 3 {
            0 => self.reap_deletes(2, rng),
            1 => self.let_members_change(rng),
            _ => self.draw_faults_of_all_kinds(rng),
        }
        self.draw_timed(rng, &[Fault::CleanRestart], 2);
        // Small segments are emptied soon, and what changed in them is forgotten.
        self.segment_bytes = 64 << 10;
        self.ballast_max = 5_000 << rng.below(3);
        self.acknowledged_target += 500;
    }

    /// Clients wait no more for what they asked, under any of the other mixtures.
    pub(super) fn let_clients_leave(&mut self, seed: u64, rng: &mut Rng) {
        match seed % 4 {
            0 => self.let_fallbacks_stand_in(rng),
            1 => self.let_members_change(rng),
            _ => self.draw_faults_of_all_kinds(rng),
        }
        self.kinds = vec![Kind::Bytes, Kind::Counter, Kind::Set];
        self.cancel_one_in = 1 + rng.below(6);
    }

    /// Trap T15: clients walk through all keys, while members change in three of four seeds.
    pub(super) fn let_clients_walk(&mut self, seed: u64, rng: &mut Rng) {
        self.walks = true;
        if seed % 4 == 3 {
            self.draw_network_faults(rng);
            self.draw_disk_faults(rng);
            self.draw_clock_faults(rng);
        } else {
            self.let_members_change(rng);
        }
        // What is incomplete tells nothing of its keys until it was compared.
        self.compare_copies(rng);
        self.foreign_layout = false;
        self.acknowledged_target += 500;
    }
}
