//! Files that change under a running store: what cannot be read is said to be so, never absent and never
//! wrong; the scrub finds it, and what others make good is good.

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeSet;

use super::disk::TestDisk;
use super::upkeep::{Pair, everything};
use super::*;
use crate::proto::store::Durability;
use crate::proto::time::Instant;
use crate::store::FileDisk;
use crate::store::disk::{Disk, File};

#[test]
fn bits_that_rot_under_the_store_are_found_and_can_be_made_good() {
    for seed in 0..6 {
        let mut pair = Pair::new(TestDisk::new(), everything(), 40 + seed);
        let mut rng = Rng::new(seed);
        for _ in 0..800 {
            pair.act();
        }
        pair.close_and_open();
        let names: Vec<String> = pair.disk.state().segments.keys().cloned().collect();
        for name in &names {
            pair.disk.change(name, |bytes| {
                let used = bytes.iter().rposition(|&byte| byte != 0).unwrap_or(0);
                if used > 1_000 {
                    bytes[64 + rng.below(used as u64 - 64) as usize] ^= 1 << rng.below(8);
                }
            });
        }
        let damaged: BTreeSet<Vec<u8>> = pair
            .model
            .iter()
            .filter(|(key, held)| match get(&pair.store, key) {
                Answer::Value(value) => {
                    assert!(value == held.1);
                    false
                }
                other => {
                    assert_eq!(other, Answer::Damaged, "the index knows that it is there");
                    true
                }
            })
            .map(|(key, _)| key.clone())
            .collect();
        for partition in 0..PARTITIONS as u16 {
            let lacks = damaged.iter().any(|key| key_ref(key).partition == partition);
            let is_whole = pair.store.scan(partition, 0, &mut |_, _| ControlFlow::Continue(()));
            assert!(!lacks || !is_whole, "a scan says that it has passed a record over");
        }
        // Some bits lie in what is not live any more.
        for turn in 0..400 {
            pair.store.maintain(Instant::from_nanos(turn * 20_000_000));
            work(&pair.store);
        }
        assert!(damaged.is_empty() || pair.figure("store_quarantined_ranges") > 0);
        // Who has other copies puts them again.
        for key in damaged {
            let (_, value, expires_ms) = pair.model[&key].clone();
            while !pair.put(key.clone(), value.clone(), expires_ms) {
                pair.store.flush(Durability::Interval);
                pair.turn();
                work(&pair.store);
            }
        }
        for (key, held) in &pair.model {
            assert!(get(&pair.store, key) == Answer::Value(held.1.clone()));
        }
        // A slot whose record lost its very key stays until the log is scanned: it could be anybody's.
        assert!(pair.store.len() >= pair.model.len() as u64);
        pair.store.close().unwrap();
        // Only a scan shows again that something had been lost: nothing is taken for absent until all is
        // said to be complete.
        pair.disk.state().small.remove("checkpoint");
        let mut store = reopen(&pair.disk, seed);
        let lost = store.stats().incomplete;
        for key in [&b"never put"[..], b"nor this"] {
            assert_eq!(get(&store, key), if lost > 0 { Answer::Incomplete } else { Answer::Absent });
        }
        for (key, held) in &pair.model {
            assert!(get(&store, key) == Answer::Value(held.1.clone()));
        }
        (0..PARTITIONS as u16).for_each(|partition| store.complete(partition));
        work(&store);
        store.close().unwrap();
        let store = reopen(&pair.disk, seed);
        assert_eq!((store.stats().incomplete, store.len()), (0, pair.model.len() as u64));
        assert_eq!(get(&store, b"never put"), Answer::Absent);
    }
}

fn reopen(disk: &TestDisk, seed: u64) -> LogStore<TestDisk> {
    let mut random = Rng::new(90 + seed);
    LogStore::open(disk.clone(), everything(), &mut || random.next_u64(), Box::new(|| {})).unwrap()
}

#[test]
fn a_file_that_is_cut_under_the_store_is_damage_and_no_signal() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let mut random = Rng::new(8);
    let options = LogOptions { scrub_interval: Duration::from_secs(1), ..options() };
    let mut store =
        LogStore::open(FileDisk::new(&path), options, &mut || random.next_u64(), Box::new(|| {})).unwrap();
    let value = vec![7; 3_000];
    for number in 0..100_u64 {
        put(&mut store, &number.to_le_bytes(), &value).unwrap();
        store.flush(Durability::Always);
        while store.disk_step() {}
    }
    let first = std::fs::OpenOptions::new().write(true).open(path.join("log/0000000000000001.seg")).unwrap();
    first.set_len(10_000).unwrap();
    // Looked at once a turn.
    for turn in 0..100 {
        store.maintain(Instant::from_nanos(turn * 50_000_000));
        while store.disk_step() {}
    }
    let answers: Vec<Answer> = (0..100_u64).map(|number| get(&store, &number.to_le_bytes())).collect();
    let damaged = answers.iter().filter(|answer| **answer == Answer::Damaged).count();
    assert!((18..=22).contains(&damaged), "those of the first segment: {damaged}");
    assert!(
        answers.iter().all(|answer| *answer == Answer::Damaged || *answer == Answer::Value(value.clone()))
    );
    for number in 0..100_u64 {
        put(&mut store, &number.to_le_bytes(), &value).unwrap();
        store.flush(Durability::Interval);
        while store.disk_step() {}
    }
    assert!((0..100_u64).all(|number| get(&store, &number.to_le_bytes()) == Answer::Value(value.clone())));
    store.close().unwrap();
}

/// A whole record that a disk wrote to the place of another one holds, but not there.
#[test]
fn a_record_in_the_place_of_another_of_its_segment_is_damage() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let keys: Vec<[u8; 1]> = (0..20).map(|key| [key]).collect();
    for key in &keys {
        put(&mut store, key, &[key[0]; 100]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    let at = |bytes: &[u8], key: u8| bytes.windows(100).position(|window| window == [key; 100]).unwrap();
    disk.change("log/0000000000000001.seg", |bytes| {
        let distance = at(bytes, 8) - at(bytes, 7);
        // The first one lies right behind the header of the segment.
        let head = at(bytes, 1) - distance - 64;
        let (from, to) = (at(bytes, 12) - head, at(bytes, 5) - head);
        bytes.copy_within(from..from + distance, to);
    });
    disk.state().small.remove("checkpoint");
    let store = open(&disk).unwrap();
    assert!(store.status().incomplete > 0);
    assert_eq!(get(&store, &keys[5]), Answer::Incomplete);
    for key in keys.iter().filter(|key| key[0] != 5) {
        assert_eq!(get(&store, key), Answer::Value(vec![key[0]; 100]), "{key:?}");
    }
}

#[test]
fn a_file_says_no_less_than_where_its_last_bytes_end() {
    let place = tempfile::tempdir().unwrap();
    let disk = FileDisk::new(place.path());
    disk.prepare().unwrap();
    let file = disk.create("log/0000000000000001.seg", 1 << 20, &[7; 64]).unwrap();
    let room = file.zeros_from();
    assert!((64..1 << 20).contains(&room), "what was only reserved is known to be zeros: {room}");
    for at in [70_000, 4_096, 300_001] {
        file.write_at(at, &[9; 100]).unwrap();
    }
    file.sync().unwrap();
    let end = file.zeros_from();
    assert!((300_101..1 << 20).contains(&end), "{end}");
    let mut rest = vec![1; (1 << 20) - end as usize];
    file.read_at(end, &mut rest).unwrap();
    assert!(rest.iter().all(|&byte| byte == 0));
    disk.shorten("log/0000000000000001.seg", 4_096).unwrap();
    assert_eq!(file.zeros_from(), 1 << 20, "of a file that somebody cut nothing is known");
}

/// What is lost in a segment must be news even where all that was in it before was lost once (found by the
/// simulator: the first write of a segment had gone elsewhere, and the segment was used again).
#[test]
fn a_segment_that_lost_everything_is_not_used_again() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    put(&mut store, b"lost", &[1; 100]).unwrap();
    store.close().unwrap();
    drop(store);
    disk.state().small.remove("checkpoint");
    disk.change("log/0000000000000001.seg", |bytes| bytes[64..].fill(0));
    let mut store = open(&disk).unwrap();
    assert_eq!(get(&store, b"lost"), Answer::Incomplete);
    for (key, value) in [("key", 2), ("key", 3), ("other", 4)] {
        put(&mut store, key.as_bytes(), &[value; 100]).unwrap();
    }
    store.close().unwrap();
    drop(store);
    disk.state().small.remove("checkpoint");
    let mut is_struck = false;
    for content in disk.state().segments.values_mut() {
        let newest = content.current.windows(100).position(|window| window == [3; 100]);
        for bytes in [&mut content.current, &mut content.durable] {
            newest.iter().for_each(|&at| bytes[at..at + 100].fill(0));
        }
        is_struck |= newest.is_some();
    }
    assert!(is_struck);
    let store = open(&disk).unwrap();
    // The older record is there, and is no evidence.
    assert!(matches!(store.get(&key_ref(b"key")), Ok(Lookup::Suspect(_))));
}
