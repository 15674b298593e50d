//! What is left after a stop that was not clean, at random, and of damage. The rule: a prefix of what was
//! put that includes everything durable, and never a wrong value. `images` cuts logs at every byte and flips
//! every bit, `crash_points` stops between any two system calls.

use super::disk::TestDisk;
use super::*;
use crate::proto::store::Durability;

const FIRST_SEGMENT: &str = "log/0000000000000001.seg";

/// A log of small puts, with the key and value of each by sequence. One record a key.
fn small_log(puts: u64, sync_each: u64) -> (TestDisk, Vec<Sequence>, Sequence) {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let mut sequences = Vec::new();
    for number in 0..puts {
        sequences.push(put(&mut store, &number.to_le_bytes(), &value_of(number)).unwrap());
        store.flush(if number % sync_each == 0 { Durability::Always } else { Durability::Interval });
        work(&store);
    }
    let durable = store.marks().durable;
    drop(store);
    (disk, sequences, durable)
}

fn value_of(number: u64) -> Vec<u8> {
    vec![number as u8 + 1; 1 + (number as usize * 7) % 50]
}

#[test]
fn power_lost_at_any_moment_keeps_what_was_durable() {
    let mut rng = Rng::new(11);
    let mut torn = 0;
    for _ in 0..12 {
        let mut disk = TestDisk::new();
        let mut expected: Vec<(u64, Sequence, Vec<u8>)> = Vec::new();
        let mut next = 0;
        for _ in 0..5 {
            let mut store = open(&disk).unwrap();
            check_prefix(&store, &mut expected);
            torn += u64::from(!store.identity().clean);
            for _ in 0..rng.below(300) {
                let value = vec![rng.below(255) as u8 + 1; rng.below(2_000) as usize];
                if let Ok(sequence) = put(&mut store, &u64::to_le_bytes(next), &value) {
                    assert!(
                        expected.last().is_none_or(|(_, last, _)| *last < sequence),
                        "a sequence came again"
                    );
                    expected.push((next, sequence, value));
                    next += 1;
                }
                match rng.below(8) {
                    0 => store.flush(Durability::Always),
                    1..4 => store.flush(Durability::Interval),
                    _ => {}
                }
                for _ in 0..rng.below(3) {
                    store.disk_step();
                }
            }
            let durable = store.marks().durable;
            match rng.below(4) {
                0 => store.close().unwrap(),
                1 => disk = disk.kill(),
                _ => disk = disk.crash(&mut rng),
            }
            drop(store);
            let store = open(&disk.kill()).unwrap();
            assert!(
                store.identity().recovered
                    >= expected.iter().map(|put| put.1).filter(|at| *at <= durable).max().unwrap_or_default()
            );
        }
    }
    assert!(torn > 20);
}

/// Forgets what a crash took: it must be everything behind some point.
fn check_prefix(store: &LogStore<TestDisk>, expected: &mut Vec<(u64, Sequence, Vec<u8>)>) {
    let recovered = store.identity().recovered;
    for (key, sequence, value) in expected.iter() {
        let answer = get(store, &key.to_le_bytes());
        let wanted = if *sequence <= recovered { Answer::Value(value.clone()) } else { Answer::Absent };
        assert_eq!(answer, wanted, "{sequence:?} after {recovered:?} was recovered");
    }
    expected.retain(|(_, sequence, _)| *sequence <= recovered);
    assert_eq!(store.len(), expected.len() as u64);
}

#[test]
fn damage_stays_known_and_sound_records_behind_it_are_used() {
    let (disk, _, _) = small_log(20, 4);
    open(&disk).unwrap().close().unwrap();
    // Inside of a record in the middle.
    disk.change(FIRST_SEGMENT, |bytes| bytes[700] ^= 1);
    // Only a log that is scanned shows it; from then on it is remembered.
    disk.state().small.remove("checkpoint");
    for round in 0..3 {
        let mut store = open(&disk).unwrap();
        assert_eq!(store.identity().clean, round > 0);
        let answers: Vec<Answer> = (0..20_u64).map(|number| get(&store, &number.to_le_bytes())).collect();
        assert_eq!(answers.iter().filter(|answer| **answer == Answer::Incomplete).count(), 1);
        assert!(matches!(answers[19], Answer::Value(_)));
        assert_eq!(get(&store, b"never put"), Answer::Incomplete);
        assert_eq!(store.stats().incomplete, u64::from(PARTITIONS));
        store.close().unwrap();
    }
}

#[test]
fn a_segment_of_nothing_but_a_torn_tail_does_not_spoil_the_next_clean_stop() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let mut kept = 0_u64;
    while !is_used(&disk, "log/0000000000000002.seg") {
        put(&mut store, &kept.to_le_bytes(), &[1; 5_000]).unwrap();
        store.flush(Durability::Interval);
        work(&store);
        kept += 1;
    }
    drop(store);
    disk.change("log/0000000000000002.seg", |bytes| bytes[64..4_000].fill(0));
    let mut store = open(&disk).unwrap();
    assert_eq!(store.len(), kept - 1);
    assert!(!store.identity().clean && !is_used(&disk, "log/0000000000000002.seg"));
    store.close().unwrap();
    assert!(open(&disk).unwrap().identity().clean);
}

fn is_used(disk: &TestDisk, name: &str) -> bool {
    disk.state().segments.get(name).is_some_and(|content| content.current[64..].iter().any(|&byte| byte != 0))
}

#[test]
fn a_lost_segment_is_damage() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    for number in 0..400_u64 {
        put(&mut store, &number.to_le_bytes(), &[1; 500]).unwrap();
        store.flush(Durability::Interval);
        work(&store);
    }
    store.close().unwrap();
    let names: Vec<String> = disk.state().segments.keys().cloned().collect();
    assert!(names.len() > 4);
    // The last one is the unused spare.
    for name in &names[..names.len() - 1] {
        let image = disk.kill();
        image.state().segments.remove(name);
        let store = open(&image).unwrap();
        assert!(!store.identity().clean, "{name}");
        let answers = (0..400_u64).map(|number| get(&store, &number.to_le_bytes()));
        assert!(answers.filter(|answer| *answer == Answer::Incomplete).count() > 50);
    }
}

#[test]
fn records_that_only_look_lost_come_back_by_sequence() {
    // The same keys again and again over several segments: the newest stands, however they are read.
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    for round in 0..300_u64 {
        for key in 0..4_u64 {
            put(&mut store, &key.to_le_bytes(), &round.to_le_bytes().repeat(10)).unwrap();
        }
        store.flush(Durability::Interval);
        work(&store);
    }
    drop(store);
    let store = open(&disk).unwrap();
    assert_eq!(store.len(), 4);
    for key in 0..4_u64 {
        assert_eq!(get(&store, &key.to_le_bytes()), Answer::Value(299_u64.to_le_bytes().repeat(10)));
    }
    let live = store.stats().live_bytes;
    assert_eq!(live, 4 * 144, "a header, a local part, ten bytes of key and eighty of value, padded");
}
