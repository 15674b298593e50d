//! The log with everything on (compaction, checkpoints, scrub, removals, drops, expiries, objects in parts)
//! against a plain map, over clean stops, kills and power cuts.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use super::disk::TestDisk;
use super::*;
use crate::proto::store::{Change, ChangeCursor, Changes, Durability};
use crate::proto::time::Instant;

/// What a key holds: its sequence, value and expiry.
pub type Held = (Sequence, Vec<u8>, Option<u64>);

/// Where a follower of a partition's changes is, and what it holds.
type Follower = (ChangeCursor, BTreeMap<Vec<u8>, Vec<u8>>);

/// A store with a model beside it.
pub struct Pair {
    options: LogOptions,
    pub disk: TestDisk,
    pub store: LogStore<TestDisk>,
    pub(super) model: BTreeMap<Vec<u8>, Held>,
    /// Every value that a key had since it was last known to be durable, oldest first; `None` is absent.
    past: BTreeMap<Vec<u8>, Vec<(Sequence, Option<Held>)>>,
    /// The last sequence that was given out.
    last: Sequence,
    rng: Rng,
    now: u64,
    /// Followers of changes, by partition.
    followed: BTreeMap<u16, Follower>,
    pub counts: Counts,
}

#[derive(Default, Debug)]
pub struct Counts {
    pub stops: u64,
    full: u64,
    pub compactions: u64,
    pub checkpoints: u64,
    gaps: u64,
    changes: u64,
    bound_excess: u64,
}

pub fn everything() -> LogOptions {
    LogOptions {
        compaction: true,
        checkpoint_bytes: 96 << 10,
        scrub_interval: core::time::Duration::from_secs(1),
        retention_bytes: 128 << 10,
        ..options()
    }
}

impl Pair {
    pub fn new(disk: TestDisk, options: LogOptions, seed: u64) -> Pair {
        Pair {
            store: open_with(&disk, &options).unwrap(),
            options,
            disk,
            model: BTreeMap::new(),
            past: BTreeMap::new(),
            last: Sequence(0),
            rng: Rng::new(seed),
            now: 1,
            followed: BTreeMap::new(),
            counts: Counts::default(),
        }
    }

    fn key(&mut self) -> Vec<u8> {
        let number = self.rng.below(400);
        if number < 10 { format!("long {number} {}", "k".repeat(3_000)) } else { format!("key {number}") }
            .into_bytes()
    }

    fn value(&mut self) -> Vec<u8> {
        let length = match self.rng.below(200) {
            0 => 30_000 + self.rng.below(90_000),
            1..10 => self.rng.below(5_000),
            _ => self.rng.below(300),
        };
        vec![self.rng.below(255) as u8 + 1; length as usize]
    }

    /// What a stop at any moment since the last [`Pair::forget_past`] left, opened: it holds what it must.
    pub fn after_stop(&self, disk: TestDisk, seed: u64) -> Pair {
        let mut pair = Pair {
            store: open_with(&disk, &self.options).unwrap(),
            options: self.options.clone(),
            disk,
            model: self.model.clone(),
            past: self.past.clone(),
            last: self.last,
            rng: Rng::new(seed),
            now: 1,
            followed: BTreeMap::new(),
            counts: Counts::default(),
        };
        pair.check_recovered();
        pair
    }

    fn change(&mut self, key: Vec<u8>, sequence: Sequence, held: Option<Held>) {
        let before = self.model.get(&key).cloned();
        self.past
            .entry(key.clone())
            .or_insert_with(|| vec![(Sequence(0), before)])
            .push((sequence, held.clone()));
        match held {
            Some(held) => self.model.insert(key, held),
            None => self.model.remove(&key),
        };
    }

    /// Puts a value, unless the store asks for time; whether it did.
    pub fn put(&mut self, key: Vec<u8>, object: Vec<u8>, expires_ms: Option<u64>) -> bool {
        let number = object.len() as u64;
        let local = LocalPart { epoch: Some(Epoch { nonce: 1, number }) };
        let new = NewRecord { local, object: &object, item_hash: number * 3, expires_ms, is_delete: false };
        let done = self.store.put(&key_ref(&key), &new);
        self.note(done, |pair, sequence| pair.change(key, sequence, Some((sequence, object, expires_ms))))
    }

    /// As [`Pair::put`].
    pub fn remove(&mut self, key: Vec<u8>) -> bool {
        let done = self.store.remove(&key_ref(&key));
        self.note(done, |pair, sequence| {
            if pair.model.contains_key(&key) {
                pair.change(key, sequence, None);
            }
        })
    }

    /// As [`Pair::put`].
    pub fn drop_partition(&mut self, partition: u16) -> bool {
        let done = self.store.drop_partition(partition);
        self.note(done, |pair, sequence| {
            let is_in = |key: &&Vec<u8>| key_ref(key).partition == partition;
            for key in pair.model.keys().filter(is_in).cloned().collect::<Vec<_>>() {
                pair.change(key, sequence, None);
            }
        })
    }

    fn note(&mut self, done: Result<Sequence, StoreError>, take: impl FnOnce(&mut Pair, Sequence)) -> bool {
        match done {
            Ok(sequence) => {
                assert!(sequence >= self.last, "{sequence:?} came after {:?}", self.last);
                take(self, sequence);
                self.last = sequence;
                true
            }
            Err(StoreError::Overloaded) => false,
            Err(error) => panic!("{error}"),
        }
    }

    pub fn act(&mut self) {
        let is_taken = match self.rng.below(1_000) {
            0..600 => {
                let (key, object) = (self.key(), self.value());
                let expires_ms = self.rng.one_in(4).then_some(object.len() as u64);
                self.put(key, object, expires_ms)
            }
            600..650 => {
                let key = self.key();
                self.remove(key)
            }
            650..652 => {
                let partition = self.rng.below(u64::from(PARTITIONS)) as u16;
                self.drop_partition(partition)
            }
            action => {
                self.act_otherwise(action);
                true
            }
        };
        if !is_taken {
            self.catch_up();
        }
    }

    /// What changes nothing in the model.
    fn act_otherwise(&mut self, action: u64) {
        match action {
            652..800 => {
                let key = self.key();
                let expected = self.model.get(&key).map(|held| held.1.clone());
                assert!(get(&self.store, &key) == expected.map_or(Answer::Absent, Answer::Value));
            }
            800..850 => {
                let need = if self.rng.one_in(3) { Durability::Always } else { Durability::Interval };
                self.store.flush(need);
            }
            850..950 => self.turn(),
            950..960 => self.follow(),
            960..964 => self.check_sums(),
            964..998 => {
                for _ in 0..self.rng.below(8) {
                    self.store.disk_step();
                }
            }
            _ => self.restart(),
        }
    }

    pub fn turn(&mut self) {
        self.now += self.rng.below(50_000_000);
        self.store.maintain(Instant::from_nanos(self.now));
        self.forget_past();
        let stats = self.store.stats();
        let bound = 2 * stats.live_bytes + 3 * self.options.segment_size;
        // A removal or a drop may go over it: it makes less live.
        self.counts.bound_excess += u64::from(stats.disk_bytes > bound);
    }

    fn catch_up(&mut self) {
        self.counts.full += 1;
        self.store.flush(Durability::Interval);
        for _ in 0..50 {
            self.turn();
            work(&self.store);
        }
    }

    /// What is durable cannot be lost any more.
    pub fn forget_past(&mut self) {
        let durable = self.store.marks().durable;
        self.past.retain(|_, states| {
            let kept = states.iter().rposition(|(sequence, _)| *sequence <= durable).unwrap_or(0);
            states.drain(..kept);
            states.len() > 1
        });
    }

    pub fn restart(&mut self) {
        self.note_stop();
        let is_clean = self.rng.one_in(3);
        if is_clean {
            while self.rng.one_in(3) {
                self.store.disk_step();
            }
            self.store.close().unwrap();
        } else if self.rng.one_in(2) {
            self.disk = self.disk.kill();
        } else {
            self.disk = self.disk.crash(&mut self.rng);
        }
        if self.rng.one_in(8) {
            self.disk.state().small.remove("checkpoint");
        }
        self.store = open_with(&self.disk, &self.options).unwrap();
        let (identity, figures) = (self.store.identity(), self.store.status().figures);
        assert_eq!(identity.clean, is_clean, "{identity:?}, {figures:?}");
        self.check_recovered();
    }

    /// Closes the store and opens it again.
    pub fn close_and_open(&mut self) {
        self.note_stop();
        self.store.close().unwrap();
        self.store = open_with(&self.disk, &self.options).unwrap();
        assert!(self.store.identity().clean);
        self.check_recovered();
    }

    pub fn note_stop(&mut self) {
        self.counts.stops += 1;
        self.forget_past();
        self.counts.compactions += self.figure("store_compactions");
        self.counts.checkpoints += self.figure("store_checkpoints");
    }

    pub fn figure(&self, name: &str) -> u64 {
        let figures = self.store.status().figures;
        figures.iter().find(|figure| figure.0 == name).map(|figure| figure.1).expect("it is a figure")
    }

    /// After an opening: what was durable is there, and of the rest what came before some point in the
    /// order of sequences.
    fn check_recovered(&mut self) {
        if std::env::var_os("QUORATE_STORE_VERBOSE").is_some() {
            let (identity, status) = (self.store.identity(), self.store.status());
            println!(
                "opened: {identity:?} {:?}",
                status.figures.iter().filter(|f| f.1 > 0).collect::<Vec<_>>()
            );
        }
        assert_eq!(self.store.stats().incomplete, 0, "nothing durable was damaged");
        if self.store.identity().clean {
            self.past.clear();
        }
        let recovered = self.store.identity().recovered;
        for (key, states) in core::mem::take(&mut self.past) {
            let state = states.iter().rfind(|(sequence, _)| *sequence <= recovered);
            // The first of them was durable.
            match state.unwrap_or(&states[0]).1.clone() {
                Some(held) => self.model.insert(key, held),
                None => self.model.remove(&key),
            };
        }
        self.check_sums();
    }

    /// Keys, values, sums and the order of a scan.
    fn check_sums(&mut self) {
        for (key, held) in &self.model {
            let short = String::from_utf8_lossy(key).chars().take(9).collect::<String>();
            let is_right = get(&self.store, key) == Answer::Value(held.1.clone());
            assert!(is_right, "{short} of {} bytes, {:?}: {}", held.1.len(), held.0, self.answer(key));
        }
        let keys: Vec<KeyRef<'_>> = self.model.keys().map(|key| key_ref(key)).collect();
        let mut held = self.model.values();
        self.store.get_many(&keys, &mut |_, found| {
            let held = held.next().expect("as many as were asked for");
            let Ok(Lookup::Found(record)) = found else { panic!("{found:?}") };
            assert!(record.sequence == held.0 && *record.object == held.1);
        });
        assert!(held.next().is_none());
        assert_eq!(self.store.len(), self.model.len() as u64);
        for partition in 0..PARTITIONS as u16 {
            let mut seen = Vec::new();
            let is_whole = self.store.scan(partition, 0, &mut |key, record| {
                seen.push((key.position, key.key.to_vec(), record.sequence, record.object.to_vec()));
                ControlFlow::Continue(())
            });
            let ours = self.model.iter().filter(|(key, _)| key_ref(key).partition == partition);
            let mut expected: Vec<_> = ours
                .map(|(key, held)| (key_ref(key).position, key.clone(), held.0, held.1.clone()))
                .collect();
            expected.sort();
            assert_eq!(seen.len(), expected.len());
            assert!(seen == expected);
            assert!(is_whole, "nothing was passed over, parts of large objects least of all");
            let stats = self.store.partition_stats(partition);
            assert_eq!(stats.keys, expected.len() as u64);
            let expiring = self
                .model
                .iter()
                .filter(|(key, held)| key_ref(key).partition == partition && held.2.is_some());
            assert_eq!(stats.expiring, expiring.count() as u64);
        }
    }

    /// What the store says of a key, in short.
    fn answer(&self, key: &[u8]) -> String {
        match self.store.get(&key_ref(key)) {
            Ok(Lookup::Found(record)) => format!("{:?}, {} bytes", record.sequence, record.object.len()),
            other => format!("{other:?}"),
        }
    }

    /// A follower of a partition's changes holds what the partition holds.
    fn follow(&mut self) {
        let partition = self.rng.below(u64::from(PARTITIONS)) as u16;
        let (mut cursor, mut held) = self.followed.remove(&partition).unwrap_or_default();
        for _ in 0..1_000 {
            let limit = self.rng.below(20);
            let mut seen = 0;
            let effort = 1 + self.rng.below(20_000);
            let mut visit = |change: &Change<'_>| {
                match change {
                    Change::Put(key, record) => {
                        held.insert(key.key.to_vec(), record.object.to_vec());
                    }
                    Change::Removed(key, _) => {
                        held.remove(key.key);
                    }
                    Change::Dropped(_) => held.clear(),
                }
                seen += 1;
                if seen > limit { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let ended = match self.store.covers(partition, &cursor) {
                true => self.store.changes(&|other| other == partition, &cursor, effort, &mut visit),
                false => Changes::Gap(self.store.change_cursor()),
            };
            self.counts.changes += seen;
            match ended {
                Changes::More(next) => cursor = next,
                Changes::End(next) => {
                    cursor = next;
                    break;
                }
                Changes::Gap(next) => {
                    self.counts.gaps += 1;
                    held.clear();
                    self.store.scan(partition, 0, &mut |key, record| {
                        held.insert(key.key.to_vec(), record.object.to_vec());
                        ControlFlow::Continue(())
                    });
                    cursor = next;
                    break;
                }
            }
        }
        let ours = self.model.iter().filter(|(key, _)| key_ref(key).partition == partition);
        let expected: BTreeMap<_, _> = ours.map(|(key, held)| (key.clone(), held.1.clone())).collect();
        let name = |key: &Vec<u8>| String::from_utf8_lossy(key).chars().take(9).collect::<String>();
        let wrong =
            held.iter().filter(|(key, value)| expected.get(*key) != Some(value)).map(|pair| name(pair.0));
        let missing = expected.keys().filter(|key| !held.contains_key(*key)).map(name);
        let (wrong, missing): (Vec<_>, Vec<_>) = (wrong.collect(), missing.collect());
        assert!(wrong.is_empty() && missing.is_empty(), "wrong {wrong:?}, missing {missing:?}");
        self.followed.insert(partition, (cursor, held));
    }
}

#[test]
fn the_log_with_everything_on_is_a_map() {
    let operations = std::env::var("QUORATE_STORE_OPERATIONS").ok().and_then(|text| text.parse().ok());
    let (runs, each) = (4, operations.unwrap_or(20_000_u64) / 4);
    for seed in 0..runs {
        let mut pair = Pair::new(TestDisk::new(), everything(), seed);
        for _ in 0..each {
            pair.act();
        }
        pair.restart();
        println!("seed {seed}: {:?}", pair.counts);
        assert!(pair.counts.stops > 3 && pair.counts.compactions > 3 && pair.counts.checkpoints > 3);
        assert!(pair.counts.changes > 100);
        assert!(pair.counts.compactions < each / 20, "segments are copied that give nothing back");
    }
}
