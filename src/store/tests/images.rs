//! Logs of every kind of record, cut at every byte, zeroed from every byte, with every bit flipped; and
//! every bit of the small files beside them. With a checkpoint and without, closed and not.
//!
//! The rule: what is answered is a state that the store has been in, up to one point in the order of
//! sequences for all keys; and where that leaves out anything that was promised, the store says so.
//!
//! One image in some is looked at; all of them, if `QUORATE_ALL_BITS` is set.

use std::collections::BTreeMap;

use super::disk::TestDisk;
use super::upkeep::{Pair, everything};
use super::*;
use crate::proto::store::{Durability, MemberMemory};
use crate::proto::time::Instant;

const SEGMENT: &str = "log/0000000000000001.seg";

/// The states of a key, each with the sequence that brought it, rising.
type States = Vec<(Sequence, Option<Vec<u8>>)>;

/// A log in one segment, with everything that was ever in it.
struct Log {
    disk: TestDisk,
    states: BTreeMap<Vec<u8>, States>,
    /// Everything up to here had been promised, and the directory says so.
    promised: Sequence,
    last: Sequence,
    /// Where its records end.
    end: usize,
}

/// What lies beside the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    /// Nothing: the process was killed.
    Nothing,
    /// A checkpoint from half-way.
    Checkpoint,
    /// The marker of a clean stop.
    Marker,
    /// The marker and the checkpoint of a clean stop.
    Both,
}

const BESIDE: [Beside; 4] = [Beside::Nothing, Beside::Checkpoint, Beside::Marker, Beside::Both];

fn is_all() -> bool {
    std::env::var_os("QUORATE_ALL_BITS").is_some()
}

impl Log {
    /// Fills one segment up to `length` bytes; with an object in parts, if `parts` says so.
    fn new(length: usize, parts: bool, beside: Beside) -> Log {
        let disk = TestDisk::new();
        let mut random = Rng::new(3);
        let options = LogOptions { checkpoint_bytes: 0, ..options() };
        let mut store =
            LogStore::open(disk.clone(), options, &mut || random.next_u64(), Box::new(|| {})).unwrap();
        let mut log = Log { disk, states: BTreeMap::new(), promised: Sequence(0), last: Sequence(0), end: 0 };
        work(&store);
        let mut number = 0;
        while log.used() + 200 < length {
            log.act(&mut store, number, parts && log.used() > length / 3);
            store.flush(if number % 6 == 0 { Durability::Always } else { Durability::Interval });
            work(&store);
            if beside == Beside::Checkpoint && log.used() > length / 2 && log.promised == Sequence(0) {
                log.promised = log.last;
                for turn in 0..6 {
                    store.maintain(Instant::from_nanos(turn));
                    work(&store);
                }
                assert!(log.disk.state().small.contains_key("checkpoint"));
            }
            number += 1;
        }
        if matches!(beside, Beside::Marker | Beside::Both) {
            log.promised = log.last;
            store.close().unwrap();
        }
        if beside == Beside::Marker {
            log.disk.state().small.remove("checkpoint");
        }
        log.end = log.used();
        log.disk.state().segments.retain(|name, _| name == SEGMENT);
        // All of it is on the disk: what is changed from here on is damage.
        log.disk.change(SEGMENT, |_| {});
        log
    }

    fn used(&self) -> usize {
        let state = self.disk.state();
        let bytes = &state.segments.get(SEGMENT).expect("it is the first one").current;
        bytes.iter().rposition(|&byte| byte != 0).map_or(0, |at| at + 1)
    }

    fn act(&mut self, store: &mut LogStore<TestDisk>, number: u64, wants_parts: bool) {
        let key = format!("key {}", number * 7 % 20).into_bytes();
        let in_parts = b"in parts".to_vec();
        if wants_parts && !self.states.contains_key(&in_parts) {
            return self.put(store, in_parts, vec![77; 30_000]);
        }
        match number % 16 {
            9 => {
                let sequence = store.remove(&key_ref(&key)).unwrap();
                if sequence > self.last {
                    self.note(key, sequence, None);
                }
            }
            14 if number.is_multiple_of(5) => {
                let partition = key_ref(&key).partition;
                let sequence = store.drop_partition(partition).unwrap();
                let is_in = |key: &&Vec<u8>| key_ref(key).partition == partition;
                for key in self.states.keys().filter(is_in).cloned().collect::<Vec<_>>() {
                    self.note(key, sequence, None);
                }
                self.last = sequence;
            }
            _ => self.put(store, key, vec![number as u8 | 1; 1 + (number as usize * 37) % 120]),
        }
    }

    fn put(&mut self, store: &mut LogStore<TestDisk>, key: Vec<u8>, object: Vec<u8>) {
        let sequence = put(store, &key, &object).unwrap();
        self.note(key, sequence, Some(object));
    }

    fn note(&mut self, key: Vec<u8>, sequence: Sequence, state: Option<Vec<u8>>) {
        self.states.entry(key).or_default().push((sequence, state));
        self.last = sequence;
    }

    /// What a store over an image of the log may answer; returns whether it says that something is lost.
    fn judge(&self, store: &LogStore<TestDisk>, what: &str) -> bool {
        let recovered = store.identity().recovered;
        let is_reported = store.stats().incomplete > 0;
        let mut is_damaged = false;
        for (key, states) in &self.states {
            let up_to = |last: Sequence| states.iter().rfind(|(sequence, _)| *sequence <= last);
            let expected = up_to(recovered).and_then(|(_, state)| state.as_deref());
            let name = String::from_utf8_lossy(key);
            match store.get(&key_ref(key)) {
                Ok(Lookup::Found(record)) => {
                    assert!(!is_reported || record.sequence > self.last, "{what}: {name} is no evidence");
                    assert!(expected == Some(&record.object), "{what}: {name} is wrong, {recovered:?}");
                }
                Ok(Lookup::Suspect(record)) => {
                    let was = up_to(record.sequence).and_then(|(_, state)| state.as_deref());
                    assert!(is_reported && was == Some(&record.object), "{what}: {name} never was that");
                }
                Ok(Lookup::Absent) => {
                    assert!(!is_reported && expected.is_none(), "{what}: {name} is absent, {recovered:?}");
                }
                Ok(Lookup::Incomplete) => assert!(is_reported),
                Ok(Lookup::Pending(_)) => panic!("nothing is cold here"),
                Err(StoreError::Damaged) => is_damaged = true,
                Err(error) => panic!("{what}: {error}"),
            }
        }
        let is_told = is_reported || is_damaged;
        assert!(is_told || recovered >= self.promised, "{what}: {recovered:?} of {:?}", self.promised);
        assert!(!is_reported || !store.identity().clean, "{what}");
        is_told
    }

    /// Opens an image, judges it, goes on with it, and judges what that left.
    fn check(&self, image: &TestDisk, goes_on: bool, what: &str) -> (bool, Sequence) {
        let mut store = open(image).unwrap_or_else(|error| panic!("{what}: {error}"));
        let is_told = self.judge(&store, what);
        let recovered = store.identity().recovered;
        if goes_on {
            put(&mut store, b"after", b"value").unwrap();
            store.close().unwrap();
            let store = open(image).unwrap();
            assert_eq!(get(&store, b"after"), Answer::Value(b"value".to_vec()), "{what}");
            let is_told_again = store.stats().incomplete > 0;
            assert!(!is_told || is_told_again || self.is_damaged(&store), "{what}: forgotten");
        }
        (is_told, recovered)
    }

    fn is_damaged(&self, store: &LogStore<TestDisk>) -> bool {
        self.states.keys().any(|key| matches!(store.get(&key_ref(key)), Err(StoreError::Damaged)))
    }
}

/// Cuts a log at each byte: the file ends there, or reads as zeros from there on.
fn cut_everywhere(beside: Beside) {
    let log = Log::new(64 << 10, true, beside);
    assert!(log.end > 62 << 10 && log.states.contains_key(&b"in parts"[..]));
    let thin = if is_all() { 1 } else { 307 };
    let (mut last, mut told) = ([Sequence(0); 2], 0);
    let mut images = 0;
    for cut in (0..=log.end).filter(|cut| cut % thin == 0 || *cut == log.end || cut % 4_096 < 3) {
        for ends in [true, false].into_iter().filter(|ends| is_all() || *ends == (cut % 2 == 0)) {
            let image = log.disk.kill();
            image.change(SEGMENT, |bytes| {
                let size = if ends { cut } else { bytes.len() };
                bytes.truncate(cut);
                bytes.resize(size, 0);
            });
            let what = format!("{beside:?}, cut at {cut}, the file ends there: {ends}");
            let (is_told, recovered) = log.check(&image, images % 8 == 0, &what);
            told += u64::from(is_told);
            images += 1;
            if beside == Beside::Nothing && cut >= 64 {
                let last = &mut last[usize::from(ends)];
                assert!(recovered >= *last && !is_told, "{what}: no more than cut off");
                *last = recovered;
            }
        }
    }
    println!("{beside:?}: {images} images, {told} of them with something that is known to be lost");
    assert!(beside != Beside::Nothing || last.contains(&log.last));
    assert!((told > 0) == (beside != Beside::Nothing));
}

#[test]
fn a_log_cut_at_any_byte_is_a_prefix_or_says_what_it_is() {
    for beside in BESIDE {
        cut_everywhere(beside);
    }
}

#[test]
fn a_flipped_bit_in_a_log_never_makes_a_promised_key_absent_or_wrong() {
    for beside in BESIDE {
        let mut log = Log::new(4_096, false, beside);
        assert!((3_800..=4_096).contains(&log.end));
        log.disk.change(SEGMENT, |bytes| bytes.truncate(4_096));
        if log.promised == Sequence(0) {
            // Every sixth was synced, and the mark that says so is written with the next one.
            log.promised = Sequence(log.last.0 - 12);
        }
        let (mut images, mut told) = (0, 0);
        let chosen = |bit: &usize| is_all() || bit % 16 == (bit / 8 * 5 + bit / 64) % 16;
        for bit in (0..4_096 * 8).filter(chosen) {
            let image = log.disk.kill();
            image.change(SEGMENT, |bytes| bytes[bit / 8] ^= 1 << (bit % 8));
            let (is_told, _) = log.check(&image, images % 8 == 0, &format!("{beside:?}, bit {bit}"));
            told += u64::from(is_told);
            images += 1;
        }
        println!("{beside:?}: {images} images, {told} of them with something that is known to be lost");
        assert!(told > 0);
    }
}

/// Flips bits of a small file of a directory and opens what comes of it.
fn flip(disk: &TestDisk, name: &str, thin: usize, mut check: impl FnMut(&TestDisk, &str)) {
    let length = disk.state().small[name].len();
    let thin = if is_all() { 1 } else { thin };
    for bit in (0..length * 8).step_by(thin) {
        let image = disk.kill();
        image.state().small.get_mut(name).unwrap()[bit / 8] ^= 1 << (bit % 8);
        check(&image, &format!("{name}, bit {bit}"));
    }
}

#[test]
fn a_flipped_bit_beside_a_log_is_refused_or_done_without() {
    let log = Log::new(4_096, false, Beside::Both);
    let mut store = open(&log.disk).unwrap();
    let member =
        MemberMemory { name: "b".to_owned(), generation: 7, opens: 1, sequence: Sequence(10), boot: 100 };
    store.remember(member.clone());
    store.close().unwrap();
    let generation = store.identity().generation;
    drop(store);
    flip(&log.disk, "FORMAT", 1, |image, what| {
        let before = image.state().small.clone();
        assert!(open(image).is_err(), "{what}");
        assert!(image.state().small == before, "{what}");
    });
    flip(&log.disk, "clean", 1, |image, what| {
        let store = open(image).unwrap();
        assert!(!store.identity().clean && !log.judge(&store, what), "{what}");
    });
    flip(&log.disk, "identity", 1, |image, what| {
        let store = open(image).unwrap();
        assert_ne!(store.identity().generation, generation, "{what}");
        assert!(!store.identity().clean && !log.judge(&store, what), "{what}");
    });
    flip(&log.disk, "members", 1, |image, what| {
        let store = open(image).unwrap();
        assert!(store.members().is_empty() && !log.judge(&store, what), "{what}");
    });
    // With it goes what was known to be lost: all partitions are incomplete.
    flip(&log.disk, "manifest", 1, |image, what| {
        let store = open(image).unwrap();
        assert!(!store.identity().clean && log.judge(&store, what), "{what}");
    });
    flip(&log.disk, "checkpoint", 3, |image, what| {
        let store = open(image).unwrap();
        let void = store.status().figures.contains(&("store_checkpoints_void", 1));
        assert!(void && store.identity().clean && !log.judge(&store, what), "{what}");
    });
    assert_eq!(open(&log.disk.kill()).unwrap().members(), [member]);
}

#[test]
fn a_flipped_bit_beside_a_compacted_log_is_done_without() {
    let options = LogOptions { retention_bytes: 0, ..everything() };
    let mut pair = Pair::new(TestDisk::new(), options, 77);
    while pair.counts.compactions < 6 {
        for _ in 0..500 {
            pair.act();
        }
        pair.close_and_open();
    }
    pair.store.close().unwrap();
    flip(&pair.disk, "checkpoint", 1_201, |image, what| {
        let after = pair.after_stop(image.clone(), 1);
        assert_eq!(after.figure("store_checkpoints_void"), 1, "{what}");
    });
    flip(&pair.disk, "manifest", 41, |image, what| {
        let mut options = everything();
        options.compaction = false;
        let mut random = Rng::new(5);
        let store =
            LogStore::open(image.clone(), options, &mut || random.next_u64(), Box::new(|| {})).unwrap();
        assert_eq!(store.stats().incomplete, u64::from(PARTITIONS), "{what}");
        assert_eq!(store.len(), pair.model.len() as u64, "{what}");
    });
}
