//! Disks that fail while the store runs, and the order in which it uses them.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use super::disk::TestDisk;
use super::*;
use crate::proto::limits::EPOCH_LEASE;
use crate::proto::store::Durability;
use crate::proto::time::Instant;

#[test]
fn a_failed_sync_is_final() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let first = put(&mut store, b"first", b"1").unwrap();
    store.flush(Durability::Always);
    work(&store);
    assert_eq!(store.marks().durable, first);
    disk.state().syncs_left = Some(0);
    put(&mut store, b"second", b"2").unwrap();
    store.flush(Durability::Always);
    work(&store);
    let syncs = disk.state().syncs;
    // The disk is well again; nothing is tried.
    disk.state().syncs_left = None;
    store.flush(Durability::Always);
    work(&store);
    assert!(store.marks().failed);
    assert_eq!(store.marks().durable, first);
    assert_eq!(put(&mut store, b"third", b"3"), Err(StoreError::ReadOnly));
    assert_eq!(get(&store, b"first"), Answer::Value(b"1".to_vec()));
    assert_eq!(get(&store, b"second"), Answer::Value(b"2".to_vec()));
    assert!(store.close().is_err());
    assert_eq!(disk.state().syncs, syncs);
    drop(store);
    assert!(!open(&disk).unwrap().identity().clean);
}

#[test]
fn a_worker_that_dies_is_a_failed_sync() {
    let disk = TestDisk::new();
    let mut random = Rng::new(1);
    let options = LogOptions { worker: WorkerMode::Thread, ..options() };
    let wakes = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&wakes);
    let wake = Box::new(move || assert!(seen.fetch_add(1, Ordering::SeqCst) < 2, "the host's wake failed"));
    let mut store = LogStore::open(disk, options, &mut || random.next_u64(), wake).unwrap();
    while !store.marks().failed {
        let _ = put(&mut store, b"key", b"value");
        store.flush(Durability::Always);
        std::thread::yield_now();
    }
    assert_eq!(put(&mut store, b"key", b"value"), Err(StoreError::ReadOnly));
    assert!(matches!(store.close(), Err(crate::store::CloseError::Failed)));
}

#[test]
fn a_full_disk_refuses_puts_until_there_is_room() {
    let disk = TestDisk::new();
    disk.state().creations_left = Some(2);
    let mut store = open(&disk).unwrap();
    let mut kept = 0_u64;
    let refused = loop {
        match put(&mut store, &kept.to_le_bytes(), &[1; 1_000]) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
        store.flush(Durability::Interval);
        work(&store);
    };
    assert_eq!(refused, StoreError::Full);
    assert!((55..65).contains(&kept), "one segment, and one that is kept for what makes room: {kept}");
    for number in 0..kept {
        assert_eq!(get(&store, &number.to_le_bytes()), Answer::Value(vec![1; 1_000]));
    }
    // Deletes are still taken, and synced.
    let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: 9 }) };
    let tombstone =
        NewRecord { local, object: b"tombstone", item_hash: 27, expires_ms: None, is_delete: true };
    store.put(&key_ref(&0_u64.to_le_bytes()), &tombstone).unwrap();
    store.flush(Durability::Always);
    work(&store);
    assert!(store.is_synced());
    assert_eq!(get(&store, &0_u64.to_le_bytes()), Answer::Value(b"tombstone".to_vec()));
    // When there is room again it is found without anybody's asking.
    disk.state().creations_left = None;
    let due = store.maintain(Instant::from_nanos(1));
    assert_eq!(due, Instant::from_nanos(1_000_000_001));
    work(&store);
    assert_eq!(put(&mut store, b"again", b"1"), Err(StoreError::Full));
    store.maintain(due);
    work(&store);
    put(&mut store, b"again", b"1").unwrap();
    assert_eq!(get(&store, b"again"), Answer::Value(b"1".to_vec()));
    store.close().unwrap();
    drop(store);
    assert_eq!(open(&disk).unwrap().len(), kept + 1);
}

/// With a full disk whatever needs no room for copies goes first, though some may follow the changes in it.
#[test]
fn a_full_disk_retains_no_changes() {
    let disk = TestDisk::new();
    let keys = |range: core::ops::Range<u64>| range.map(u64::to_le_bytes);
    let mut options = LogOptions { compaction: true, ..options() };
    let mut nanos = 0;
    let mut run = |store: &mut LogStore<TestDisk>| {
        nanos += 50_000_000;
        store.maintain(Instant::from_nanos(nanos));
        work(store);
    };
    let mut store = open_with(&disk, &options).unwrap();
    for (round, step) in [1, 2, 2, 2, 2].into_iter().enumerate() {
        for key in keys(0..400).step_by(step) {
            while put(&mut store, &key, &vec![1; 1_000 - round]).is_err() {
                run(&mut store);
            }
            run(&mut store);
        }
    }
    (0..100).for_each(|_| run(&mut store));
    store.close().unwrap();
    drop(store);

    options.retention_bytes = 1 << 30;
    let mut store = open_with(&disk, &options).unwrap();
    for key in keys(1_000..1_060) {
        while put(&mut store, &key, &[1; 9_000]).is_err() {
            run(&mut store);
        }
        work(&store);
    }
    // A part of each copied segment dies, and all of those that are retained.
    for key in keys(0..400).step_by(8).chain(keys(1_000..1_060)) {
        store.remove(&key_ref(&key)).unwrap();
        work(&store);
    }
    disk.state().creations_left = Some(0);
    let refused = keys(2_000..2_400).find_map(|key| {
        store.flush(Durability::Interval);
        work(&store);
        put(&mut store, &key, &[1; 1_000]).err()
    });
    assert!(matches!(refused, Some(StoreError::Full | StoreError::Overloaded)), "{refused:?}");
    let taken = store.stats().disk_bytes;
    (0..200).for_each(|_| run(&mut store));
    let gone = taken.saturating_sub(store.stats().disk_bytes);
    assert!(gone >= 2 * options.segment_size, "{gone} bytes went of {taken}");
}

#[test]
fn a_disk_that_is_full_at_the_opening_can_be_read() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    put(&mut store, b"key", b"value").unwrap();
    store.close().unwrap();
    drop(store);
    disk.state().segments.remove("log/0000000000000002.seg");
    disk.change("log/0000000000000001.seg", |bytes| {
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).unwrap() / 8 * 8 + 8)
    });
    disk.state().creations_left = Some(0);
    let mut store = open(&disk).unwrap();
    work(&store);
    assert_eq!(get(&store, b"key"), Answer::Value(b"value".to_vec()));
    assert_eq!(put(&mut store, b"key", b"other"), Err(StoreError::Full));
}

/// A torn segment is left behind at the opening. Where there is no room for the next one, no checkpoint can be
/// begun, and what is emptied must not wait for one.
#[test]
fn room_comes_back_without_a_segment_to_append_to() {
    let (disk, options, active) = killed_with_nothing_live();
    disk.state().segments.pop_last();
    disk.change(&active, |bytes| {
        bytes.truncate(bytes.iter().rposition(|&byte| byte != 0).unwrap() / 8 * 8 + 8)
    });
    disk.state().creations_left = Some(0);
    let mut store = open_with(&disk, &options).unwrap();
    work(&store);
    assert_eq!(store.remove(&key_ref(b"last")).err(), Some(StoreError::Full));
    assert_room_comes_back(&mut store, &options);
}

/// The standing checkpoint takes the room that the next one needs.
#[test]
fn room_comes_back_without_room_for_a_checkpoint() {
    let (disk, options, _) = killed_with_nothing_live();
    disk.state().are_drafts_full = true;
    let mut store = open_with(&disk, &options).unwrap();
    work(&store);
    assert_room_comes_back(&mut store, &options);
}

/// A disk that a killed process left, with a checkpoint that knows all segments but the last, and nothing live
/// in those; and the segment that was appended to.
fn killed_with_nothing_live() -> (TestDisk, LogOptions, String) {
    let disk = TestDisk::new();
    let options = LogOptions { compaction: true, ..options() };
    let mut store = open_with(&disk, &options).unwrap();
    for key in 0..300_u64 {
        put(&mut store, &key.to_le_bytes(), &[1; 1_000]).unwrap();
        work(&store);
    }
    store.close().unwrap();
    drop(store);
    let mut store = open_with(&disk, &options).unwrap();
    for key in 0..300_u64 {
        store.remove(&key_ref(&key.to_le_bytes())).unwrap();
    }
    let last = put(&mut store, b"last", b"1").unwrap();
    store.flush(Durability::Always);
    work(&store);
    assert_eq!(store.marks().durable, last);
    let active = disk.state().segments.keys().nth_back(1).unwrap().clone();
    drop(store);
    (disk.kill(), options, active)
}

fn assert_room_comes_back(store: &mut LogStore<TestDisk>, options: &LogOptions) {
    let taken = store.stats().disk_bytes;
    for turn in 1..200 {
        store.maintain(Instant::from_nanos(turn * 50_000_000));
        work(store);
    }
    let gone = taken.saturating_sub(store.stats().disk_bytes);
    assert!(gone >= 3 * options.segment_size, "{gone} bytes went of {taken}");
    assert_eq!(get(store, b"last"), Answer::Value(b"1".to_vec()));
}

/// It could be that there is no room for it. Then what makes room would wait behind what waits for it.
#[test]
fn nothing_is_put_into_a_spare_that_is_not_there() {
    let disk = TestDisk::new();
    disk.state().creations_left = Some(2);
    let mut store = open(&disk).unwrap();
    work(&store);
    let mut kept = 0_u64;
    let refused = loop {
        match put(&mut store, &kept.to_le_bytes(), &[1; 1_000]) {
            Ok(_) => kept += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(refused, StoreError::Overloaded);
    assert!((85..97).contains(&kept), "the active segment and half of the spare: {kept}");
    work(&store);
    assert_eq!(put(&mut store, b"more", b"1"), Err(StoreError::Full));
    let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: 9 }) };
    let tombstone =
        NewRecord { local, object: b"tombstone", item_hash: 27, expires_ms: None, is_delete: true };
    for number in 0..50_u64 {
        store.put(&key_ref(&number.to_le_bytes()), &tombstone).unwrap();
    }
    store.flush(Durability::Always);
    work(&store);
    assert!(store.is_synced());
    disk.state().creations_left = None;
    let due = store.maintain(Instant::from_nanos(1));
    store.maintain(due);
    work(&store);
    put(&mut store, b"more", b"1").unwrap();
}

#[test]
fn the_staging_buffer_is_bounded() {
    let disk = TestDisk::new();
    let mut random = Rng::new(1);
    let options = LogOptions { staging_limit: 10_000, ..options() };
    let mut store = LogStore::open(disk, options, &mut || random.next_u64(), Box::new(|| {})).unwrap();
    let mut taken = 0_u64;
    while put(&mut store, &taken.to_le_bytes(), &[1; 1_000]).is_ok() {
        taken += 1;
    }
    assert!((8..10).contains(&taken));
    assert_eq!(put(&mut store, b"more", &[1; 1_000]), Err(StoreError::Overloaded));
    // A refused put has handed on what is in the way.
    work(&store);
    put(&mut store, b"more", &[1; 1_000]).unwrap();
}

#[test]
fn one_sync_covers_all_that_was_asked_for_before_it() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    work(&store);
    let counts = || {
        let state = disk.state();
        (state.syncs, state.writes)
    };
    let (syncs, writes) = counts();
    let mut last = Sequence(0);
    for number in 0..100_u64 {
        last = put(&mut store, &number.to_le_bytes(), b"value").unwrap();
        store.flush(Durability::Always);
    }
    work(&store);
    assert_eq!(store.marks().durable, last);
    // The first write is the loop's own, its sync waits; the others are joined.
    assert_eq!(counts(), (syncs + 2, writes + 2));
}

#[test]
fn who_wants_no_sync_does_not_wait_for_one() {
    let disk = TestDisk::new();
    let mut random = Rng::new(1);
    let options = LogOptions { worker: WorkerMode::Thread, ..options() };
    let mut store =
        LogStore::open(disk.clone(), options, &mut || random.next_u64(), Box::new(|| {})).unwrap();
    let wait_for = |is_done: &dyn Fn() -> bool| {
        while !is_done() {
            std::thread::yield_now();
        }
    };
    let zeroth = put(&mut store, b"zeroth", b"0").unwrap();
    store.flush(Durability::Always);
    wait_for(&|| store.marks().durable == zeroth);

    let (open_gate, gate) = std::sync::mpsc::channel();
    disk.state().gate = Some(gate);
    let first = put(&mut store, b"first", b"1").unwrap();
    store.flush(Durability::Always);
    wait_for(&|| disk.state().syncs == 2);
    // The sync is under way and will be for as long as we like.
    let second = put(&mut store, b"second", b"2").unwrap();
    store.flush(Durability::Interval);
    assert_eq!((store.marks().written, store.marks().durable), (second, zeroth));
    let third = put(&mut store, b"third", b"3").unwrap();
    store.flush(Durability::Always);
    assert_eq!(store.marks().written, second, "it goes with the next sync");
    assert_eq!(get(&store, b"third"), Answer::Value(b"3".to_vec()));
    open_gate.send(()).unwrap();
    wait_for(&|| store.marks().durable == third);
    assert_eq!(disk.state().syncs, 3);
    assert!(first < second);
}

#[test]
fn a_segment_is_synced_before_the_next_is_written() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let mut written = std::collections::BTreeSet::new();
    for number in 0..300_u64 {
        put(&mut store, &number.to_le_bytes(), &[1; 900]).unwrap();
        store.flush(Durability::Interval);
        loop {
            let state = disk.state();
            let used = |content: &super::disk::Content| content.current[64..].iter().any(|&byte| byte != 0);
            let begun: Vec<_> = state.segments.iter().filter(|(_, content)| used(content)).collect();
            for (name, content) in begun.iter().rev().skip(1) {
                assert_eq!(content.current, content.durable, "{name} was left unsynced");
            }
            written.extend(begun.iter().map(|(name, _)| (*name).clone()));
            drop(state);
            if number % 3 != 0 || !store.disk_step() {
                break;
            }
        }
    }
    assert!(written.len() > 3);
}

#[test]
fn numbers_are_leased_and_never_given_out_twice() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    store.note_hlc(1_000 << 16);
    work(&store);
    let epoch = store.take_epoch().unwrap();
    let sequence = put(&mut store, b"key", b"value").unwrap();
    drop(store);

    let mut store = open(&disk).unwrap();
    let identity = store.identity();
    assert!(!identity.clean && identity.opens == 2);
    assert!(identity.hlc_bound >= 1_000 << 16);
    assert!(store.take_epoch().unwrap() > epoch);
    let after_crash = put(&mut store, b"key", b"value").unwrap();
    assert!(after_crash > sequence, "the lost put's sequence came again");
    store.close().unwrap();
    drop(store);

    let mut store = open(&disk).unwrap();
    assert!(store.identity().clean);
    assert_eq!(store.identity().hlc_bound, identity.hlc_bound);
    assert_eq!(put(&mut store, b"key", b"value").unwrap(), Sequence(after_crash.0 + 1));
}

#[test]
fn an_epoch_lease_is_renewed_in_time_and_waited_for() {
    let disk = TestDisk::new();
    let mut store = open(&disk).unwrap();
    let mut taken = 0;
    while store.take_epoch().is_some() {
        taken += 1;
    }
    assert_eq!(taken, EPOCH_LEASE);
    work(&store);
    for _ in 0..EPOCH_LEASE * 2 {
        let epoch = store.take_epoch().unwrap();
        if epoch.is_multiple_of(1_000) {
            work(&store);
        }
    }
}

#[test]
fn a_moved_directory_gets_a_new_generation() {
    let disk = TestDisk::new();
    let generation = open(&disk).unwrap().identity().generation;
    assert_eq!(open(&disk).unwrap().identity().generation, generation);
    disk.state().place.inode = 7;
    assert_eq!(open(&disk).unwrap().identity().generation, generation, "it had no inode before");
    disk.state().place.inode = 8;
    let moved = open(&disk).unwrap().identity();
    assert_ne!(moved.generation, generation);
    let mut store = open(&disk).unwrap();
    store.renew_generation(99);
    work(&store);
    drop(store);
    assert_eq!(open(&disk).unwrap().identity().generation, 99);
}
