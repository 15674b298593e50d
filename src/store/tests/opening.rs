//! Opening what is not ours, not whole, or not writable: an error that names it, and nothing is touched.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::disk::TestDisk;
use super::*;
use crate::proto::store::OPENINGS_KEPT;
use crate::store::FileDisk;
use crate::store::directory::MANIFEST;
use crate::store::manifest::Manifest;
use crate::store::segment::SIZE_MIN;

const SEGMENT: &str = "log/0000000000000001.seg";

fn open_path(path: &Path) -> Result<LogStore<FileDisk>, OpenError> {
    open_seeded(path, 8)
}

fn open_seeded(path: &Path, seed: u64) -> Result<LogStore<FileDisk>, OpenError> {
    let mut random = Rng::new(seed);
    LogStore::open(FileDisk::new(path), options(), &mut || random.next_u64(), Box::new(|| {}))
}

fn files(path: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(path).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else if path.file_name().unwrap() != "LOCK" {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// A directory with one record in it, closed cleanly.
fn made(seed: u64) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("data");
    let mut store = open_seeded(&path, seed).unwrap();
    put(&mut store, b"key", b"value").unwrap();
    store.close().unwrap();
    (home, path)
}

/// Changes a good directory, expects an error that `is_right` accepts, and that nothing else changed.
fn refused(change: impl FnOnce(&Path), is_right: impl FnOnce(&OpenError) -> bool) {
    let (_home, path) = made(8);
    change(&path);
    let before = files(&path);
    let error = open_path(&path).err().expect("it must be refused");
    assert!(is_right(&error), "{error}");
    assert!(error.to_string().contains(path.to_str().unwrap()), "{error} names nothing");
    assert_eq!(files(&path), before);
}

#[test]
fn a_good_directory_opens_and_is_private() {
    let (_home, path) = made(8);
    let store = open_path(&path).unwrap();
    assert_eq!(get(&store, b"key"), Answer::Value(b"value".to_vec()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    for file in files(&path).keys() {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600, "{}", file.display());
    }
}

#[test]
fn an_old_copy_that_was_opened_more_often_than_it_is_remembered_is_known() {
    let (_home, path) = made(8);
    let before = files(&path);
    let met = open_seeded(&path, 9).unwrap().identity();
    let later = open_seeded(&path, 10).unwrap().identity();
    assert_eq!(later.had_opening(met.opens, met.nonce), Some(true));
    // A snapshot of the disk comes back, and nobody is met until it was opened twice.
    for file in files(&path).into_keys().filter(|file| !before.contains_key(file)) {
        fs::remove_file(file).unwrap();
    }
    before.iter().for_each(|(file, content)| fs::write(file, content).unwrap());
    open_seeded(&path, 11).unwrap();
    let old = open_seeded(&path, 12).unwrap().identity();
    assert_eq!((old.generation, old.opens), (later.generation, later.opens));
    assert_eq!(old.had_opening(met.opens, met.nonce), Some(false));
    assert_eq!(old.had_opening(old.opens, old.nonce), Some(true));
    // What is longer ago than is kept nobody can tell.
    let past = OPENINGS_KEPT as u64 + 2;
    let mut identity = old;
    for seed in 0..past {
        identity = open_seeded(&path, 20 + seed).unwrap().identity();
    }
    assert_eq!(identity.had_opening(met.opens, met.nonce), None);
}

/// How many segments of a directory this process has a descriptor of.
fn open_segments(path: &Path) -> usize {
    let descriptors = fs::read_dir("/proc/self/fd").unwrap();
    // Others come and go meanwhile; these do not.
    let targets = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
    targets
        .filter(|target| target.starts_with(path) && target.extension().is_some_and(|end| end == "seg"))
        .count()
}

#[test]
fn segments_that_were_left_hold_no_descriptor() {
    let (_home, path) = made(8);
    let mut store = open_path(&path).unwrap();
    for number in 0..600_u64 {
        put(&mut store, &number.to_le_bytes(), &[1; 1_000]).unwrap();
        store.flush(crate::proto::store::Durability::Interval);
        while store.disk_step() {}
    }
    assert!(store.stats().segments > 8);
    assert!((1..=2).contains(&open_segments(&path)), "the active one and the spare");
    drop(store);
    let store = open_path(&path).unwrap();
    assert!(open_segments(&path) <= 2);
    for number in 0..600_u64 {
        assert_eq!(get(&store, &number.to_le_bytes()), Answer::Value(vec![1; 1_000]));
    }
}

#[test]
fn a_second_opener_is_refused_until_the_first_is_gone() {
    let (_home, path) = made(8);
    let first = open_path(&path).unwrap();
    let error = open_path(&path).err().unwrap();
    assert!(matches!(&error, OpenError::Locked { holder, .. } if holder.contains("this process")), "{error}");
    // By another name, too.
    let alias = path.with_file_name("alias");
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    assert!(matches!(open_path(&alias), Err(OpenError::Locked { .. })));
    drop(first);
    open_path(&path).unwrap();
}

#[test]
fn foreign_files_are_refused() {
    let foreign = |error: &OpenError| matches!(error, OpenError::Foreign { .. });
    refused(|path| fs::write(path.join("FORMAT"), "something else\n").unwrap(), foreign);
    refused(|path| fs::remove_file(path.join("FORMAT")).unwrap(), foreign);
    refused(|path| fs::write(path.join("log/notes.txt"), "mine").unwrap(), foreign);
    // Alone: beside a sound one with a higher number it must be one of ours that was damaged.
    let alone = |path: &Path| {
        fs::remove_file(path.join("log/0000000000000002.seg")).unwrap();
        fs::write(path.join(SEGMENT), [b'x'; 5_000]).unwrap();
    };
    refused(alone, foreign);
    refused(
        |path| fs::copy(path.join(SEGMENT), path.join("log/0000000000000009.seg")).map(drop).unwrap(),
        foreign,
    );
    // A segment of another directory, sound in itself.
    let (_home, other) = made(9);
    refused(|path| fs::copy(other.join(SEGMENT), path.join(SEGMENT)).map(drop).unwrap(), foreign);
}

#[test]
fn a_directory_with_strangers_files_is_left_alone() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("thesis.tex"), "words").unwrap();
    let error = open_path(home.path()).err().unwrap();
    assert!(
        matches!(&error, OpenError::Foreign { problem, .. } if problem.contains("thesis.tex")),
        "{error}"
    );
    assert_eq!(fs::read_dir(home.path()).unwrap().count(), 1);
}

#[test]
fn newer_formats_are_refused() {
    let newer = |error: &OpenError| matches!(error, OpenError::Newer { found: 3, known: 2, .. });
    let replace_version = |path: &Path| {
        let text = fs::read_to_string(path.join("FORMAT")).unwrap();
        fs::write(path.join("FORMAT"), text.replace("version 2", "version 3")).unwrap();
    };
    refused(replace_version, newer);
    let newer_segment = |path: &Path| {
        let mut bytes = fs::read(path.join(SEGMENT)).unwrap();
        bytes[8] = 3;
        let checksum = crc32c::crc32c(&bytes[..60]);
        bytes[60..64].copy_from_slice(&checksum.to_le_bytes());
        fs::write(path.join(SEGMENT), bytes).unwrap();
    };
    refused(newer_segment, newer);
}

#[test]
fn damaged_or_unfitting_formats_are_refused() {
    let damage = |path: &Path| {
        let text = fs::read_to_string(path.join("FORMAT")).unwrap();
        fs::write(path.join("FORMAT"), text.replace("partitions 4", "partitions 8")).unwrap();
    };
    refused(damage, |error| matches!(error, OpenError::Corrupt { .. }));
    let (_home, path) = made(8);
    let open_with = |options: LogOptions| {
        let mut random = Rng::new(8);
        LogStore::open(FileDisk::new(&path), options, &mut || random.next_u64(), Box::new(|| {})).err()
    };
    let error = open_with(LogOptions { partitions: 8, ..options() }).unwrap();
    assert!(
        matches!(&error, OpenError::Settings { problem, .. } if problem.contains("4 partitions")),
        "{error}"
    );
    let error = open_with(LogOptions { hash_key: Key([8; 16]), ..options() }).unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "{error}");
    let error = open_with(LogOptions { segment_size: 1_000, ..options() }).unwrap();
    assert!(matches!(error, OpenError::Settings { .. }), "{error}");
}

#[test]
fn a_directory_that_cannot_be_made_is_not_writable() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.clone(), file.join("below")] {
        let error = open_path(&path).err().unwrap();
        assert!(matches!(error, OpenError::NotWritable { .. }), "{error}");
    }
    let closed = home.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o500)).unwrap();
    // The superuser may write anywhere.
    if fs::write(closed.join("probe"), "").is_err() {
        assert!(matches!(open_path(&closed), Err(OpenError::NotWritable { .. })));
    }
}

#[test]
fn what_a_stopped_creation_left_is_swept_away() {
    let header = super::super::segment::Plan {
        is_compacted: false,
        is_v1: false,
        number: 3,
        seed: 1,
        first: Sequence(1),
        size: 65_536,
        slot: 9,
        directory: 1,
    }
    .header();
    for kept in 0..header.len() {
        let disk = TestDisk::new();
        let mut store = open(&disk).unwrap();
        put(&mut store, b"key", b"value").unwrap();
        store.close().unwrap();
        let mut bytes = vec![0; if kept % 2 == 0 { 65_536 } else { kept }];
        bytes[..kept].copy_from_slice(&header[..kept]);
        let content = super::disk::Content { current: bytes.clone(), durable: bytes, ..Default::default() };
        disk.state().segments.insert("log/0000000000000003.seg".to_owned(), content);
        let store = open(&disk).unwrap();
        assert!(store.identity().clean, "{kept} bytes of header");
        assert_eq!(get(&store, b"key"), Answer::Value(b"value".to_vec()));
    }
}

#[test]
fn a_lost_identity_means_a_new_generation_and_no_trust() {
    for change in [0, 1] {
        let disk = TestDisk::new();
        let mut store = open(&disk).unwrap();
        let generation = store.identity().generation;
        let sequence = put(&mut store, b"key", b"value").unwrap();
        store.close().unwrap();
        match change {
            0 => drop(disk.state().small.remove("identity")),
            _ => disk.state().small.get_mut("identity").unwrap()[20] ^= 1,
        }
        let mut store = open(&disk).unwrap();
        assert_ne!(store.identity().generation, generation);
        assert!(!store.identity().clean);
        assert_eq!(get(&store, b"key"), Answer::Value(b"value".to_vec()));
        assert!(put(&mut store, b"key", b"value").unwrap() > sequence);
    }
}

/// A segment that was begun last may be gone with a stop, and the manifest of before have left its number behind.
#[test]
fn no_segment_gets_a_number_that_the_manifest_has_left_behind() {
    let (_home, path) = made(8);
    let manifest = Manifest { through: 3, segments: vec![1], ..Manifest::default() };
    fs::write(path.join(MANIFEST), manifest.bytes()).unwrap();
    let mut store = open_path(&path).unwrap();
    let value = vec![7; SIZE_MIN as usize / 8];
    for key in 0..16_u8 {
        put(&mut store, &[key], &value).unwrap();
        while store.disk_step() {}
    }
    store.close().unwrap();
    drop(store);
    let store = open_path(&path).unwrap();
    for key in 0..16_u8 {
        assert_eq!(get(&store, &[key]), Answer::Value(value.clone()), "key {key}");
    }
}
