//! A stop before every single system call: while segments are created, written, left and emptied,
//! checkpoints and manifests swapped, the store opened and closed.
//!
//! A script takes a store through all of it. The disk records what each step would have left; every one of
//! these images is opened, as after a kill and as after several power cuts, compared with the model as it
//! was at that moment, worked on, closed and opened once more.

use std::collections::BTreeMap;

use super::disk::{Image, TestDisk};
use super::upkeep::{Pair, everything};
use super::*;
use crate::proto::store::Durability;

struct Script {
    pair: Pair,
    rng: Rng,
    effort: Effort,
    /// Images by what they come before.
    seen: BTreeMap<&'static str, u64>,
}

struct Effort {
    /// Power cuts at each image, each with another outcome.
    cuts: u64,
    /// Of writes and syncs, one in so many is looked at: there are many, and one is like another.
    common: u64,
    /// What is done with each that was opened.
    actions: u64,
}

fn options_of_script() -> LogOptions {
    LogOptions { segment_size: 128 << 10, checkpoint_bytes: 160 << 10, retention_bytes: 0, ..everything() }
}

impl Script {
    fn new(effort: Effort) -> Script {
        let disk = TestDisk::new();
        disk.record();
        let pair = Pair::new(disk, options_of_script(), 1);
        let mut script = Script { pair, rng: Rng::new(5), effort, seen: BTreeMap::new() };
        script.look();
        script
    }

    /// Looks at the images of the last call.
    fn look(&mut self) {
        for image in self.pair.disk.take_images() {
            self.look_at(&image);
        }
    }

    fn look_at(&mut self, image: &Image) {
        let count = self.seen.entry(image.before).or_default();
        *count += 1;
        if matches!(image.before, "a write" | "a sync") && !count.is_multiple_of(self.effort.common) {
            return;
        }
        for cut in 0..=self.effort.cuts {
            let disk = if cut == 0 { image.kill() } else { image.crash(&mut self.rng) };
            let mut after = self.pair.after_stop(disk, self.rng.next_u64());
            assert_eq!(
                after.figure("store_checkpoints_void"),
                0,
                "nothing that a checkpoint needs was gone, cut {cut} before {}",
                image.before
            );
            for _ in 0..self.effort.actions {
                after.act();
            }
            after.close_and_open();
        }
        // The log says the same by itself.
        let disk = image.kill();
        disk.state().small.remove("checkpoint");
        self.pair.after_stop(disk, 1);
        // What a kill left unsynced must not be lost by a power cut later on.
        let mut after = self.pair.after_stop(image.kill(), self.rng.next_u64());
        after.put(b"after".to_vec(), vec![1; 100], None);
        after.store.flush(Durability::Always);
        // Not one step more than it takes.
        while !after.store.is_synced() {
            after.store.disk_step();
        }
        after.forget_past();
        after.after_stop(after.disk.crash(&mut self.rng), self.rng.next_u64());
        if image.before == "the sync of a directory" {
            self.stop_while_opening(image.kill());
        }
    }

    /// What a kill left unsynced must not be lost by a power cut in the middle of the next opening either.
    fn stop_while_opening(&mut self, disk: TestDisk) {
        disk.record();
        drop(self.pair.after_stop(disk.clone(), 1));
        for image in disk.take_images() {
            if self.rng.one_in(self.effort.common) {
                self.pair.after_stop(image.crash(&mut self.rng), 1);
            }
        }
    }

    /// Goes on with what a stop left, and looks at every step of the opening.
    fn open(&mut self, disk: TestDisk) {
        disk.record();
        let mut next = self.pair.after_stop(disk, self.rng.next_u64());
        next.counts = core::mem::take(&mut self.pair.counts);
        for image in next.disk.take_images() {
            self.look_at(&image);
        }
        self.pair = next;
    }

    fn close_and_open(&mut self) {
        self.pair.store.close().unwrap();
        self.look();
        self.pair.note_stop();
        self.open(self.pair.disk.clone());
    }

    fn crash_and_open(&mut self) {
        self.pair.note_stop();
        let disk = self.pair.disk.crash(&mut self.rng);
        self.open(disk);
    }

    fn kill_and_open(&mut self) {
        self.pair.note_stop();
        self.open(self.pair.disk.kill());
    }

    fn put(&mut self, number: u64, length: u64) -> bool {
        let expires = number.is_multiple_of(5).then_some(length);
        self.pair.put(format!("key {number}").into_bytes(), vec![number as u8 + 1; length as usize], expires)
    }

    fn step(&mut self) -> bool {
        let is_done = self.pair.store.disk_step();
        self.look();
        is_done
    }

    fn turn(&mut self) {
        self.pair.turn();
        self.look();
    }

    /// Fills most of a segment with what stays.
    fn fill(&mut self) {
        for number in 0..27 {
            assert!(self.pair.put(format!("cold {number}").into_bytes(), vec![9; 4_500], None));
            self.pair.store.flush(Durability::Interval);
            while self.step() {}
        }
    }

    /// What the model notes of an action comes before the look at its images.
    fn go_on(&mut self, turns: u64) {
        for turn in 0..turns {
            let is_taken = match turn % 50 {
                3 | 17 | 29 => self.pair.remove(format!("key {}", turn * 11 % 30).into_bytes()),
                // Out of a segment that compaction leaves alone, as nearly all of it is live.
                21 => self.pair.remove(format!("cold {}", self.pair.counts.stops + turn / 50).into_bytes()),
                33 if self.pair.counts.stops > 1 => self.pair.drop_partition(((turn / 50) % 4) as u16),
                41 => self.put(31, 70_000 + turn),
                _ => self.put(turn * 7 % 30, 2_000 + turn * 13 % 3_000),
            };
            self.look();
            self.pair.store.flush(if turn % 4 == 3 { Durability::Always } else { Durability::Interval });
            self.look();
            for _ in 0..if is_taken { self.rng.below(6) } else { 100 } {
                if !self.step() {
                    self.turn();
                }
            }
            self.turn();
        }
    }
}

#[test]
fn a_stop_between_any_two_system_calls_loses_nothing_durable() {
    let all = std::env::var_os("QUORATE_ALL_BITS").is_some();
    let few = Effort { cuts: 1, common: 12, actions: 5 };
    let many = Effort { cuts: 8, common: 1, actions: 30 };
    let mut script = Script::new(if all { many } else { few });
    script.fill();
    script.go_on(150);
    script.close_and_open();
    script.go_on(110);
    script.crash_and_open();
    script.go_on(110);
    script.kill_and_open();
    script.go_on(110);
    script.close_and_open();
    println!("{:?}", script.seen);
    println!("{:?}", script.pair.counts);
    assert!(script.pair.counts.compactions >= 8 && script.pair.counts.checkpoints >= 8);
    assert_eq!(script.seen.len(), 16, "every kind of step was met");
    assert!(script.seen.values().all(|count| *count >= 15));
}
