//! What is left after a stop that was not clean: images cut at every byte, every bit flipped, power lost
//! at random. The rule: a prefix of what was put that includes everything durable, and never a wrong value.

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
fn a_log_cut_at_any_byte_is_a_prefix() {
    let (disk, sequences, _) = small_log(20, u64::MAX);
    let end = disk.state().segments[FIRST_SEGMENT].current.iter().rposition(|&byte| byte != 0).unwrap() + 1;
    let mut longest = 0;
    for cut in super::super::segment::HEADER_LENGTH..=end {
        let image = disk.kill();
        image.change(FIRST_SEGMENT, |bytes| bytes[cut..].fill(0));
        let store = open(&image).unwrap();
        assert!(!store.identity().clean);
        let held =
            (0..20).take_while(|number| get(&store, &u64::to_le_bytes(*number)) != Answer::Absent).count();
        for number in 0..20_u64 {
            let expected =
                if (number as usize) < held { Answer::Value(value_of(number)) } else { Answer::Absent };
            assert_eq!(get(&store, &number.to_le_bytes()), expected, "cut at {cut}");
        }
        assert!(held >= longest, "a longer log holds no less");
        longest = held;
        assert_eq!(store.len(), held as u64);
        assert_eq!(store.identity().recovered, held.checked_sub(1).map_or(Sequence(0), |at| sequences[at]));
    }
    assert_eq!(longest, 20);
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
            drop(store);
            disk = disk.crash(&mut rng);
            let store = open(&disk.kill()).unwrap();
            assert!(
                store.identity().recovered
                    >= expected.iter().map(|put| put.1).filter(|at| *at <= durable).max().unwrap_or_default()
            );
        }
    }
    assert!(torn > 30);
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
