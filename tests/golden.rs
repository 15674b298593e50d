//! Data directories that earlier versions wrote, kept as they were: each opens, holds what its list says, and
//! can be written to. `scripts/golden.sh` writes the one of the current version, to be kept for the next.
//!
//! ```text
//!  tests/golden/v<version>/records.txt    what it holds, one line each
//!                          data/          the directory
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use quorate::proto::keys::Key;
use quorate::proto::ring;
use quorate::proto::rng::Rng;
use quorate::proto::store::{
    Durability, KeyRef, LocalPart, Lookup, MemberMemory, NewRecord, Sequence, Store, StoreError,
};
use quorate::proto::time::Instant;
use quorate::proto::version::Epoch;
use quorate::store::{FileDisk, LogOptions, LogStore, WorkerMode};

const PARTITIONS: u32 = 8;
const HASH_KEY: Key = Key([7; 16]);
/// Where to write the directory of the current version.
const WRITE: &str = "QUORATE_GOLDEN_WRITE";

fn options() -> LogOptions {
    LogOptions {
        segment_size: 64 << 10,
        worker: WorkerMode::Host,
        checkpoint_bytes: 64 << 10,
        retention_bytes: 0,
        ..LogOptions::new(PARTITIONS, HASH_KEY)
    }
}

fn open(path: &Path) -> LogStore<FileDisk> {
    let mut random = Rng::new(42);
    LogStore::open(FileDisk::new(path), options(), &mut || random.next_u64(), Box::new(|| {}))
        .unwrap_or_else(|error| panic!("{error}"))
}

fn key_ref(keyspace: u16, key: &[u8]) -> KeyRef<'_> {
    let position = ring::position(&HASH_KEY, keyspace, key);
    KeyRef { keyspace, key, position, partition: ring::partition(position, PARTITIONS) }
}

/// One line of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Listed {
    local: LocalPart,
    item_hash: u64,
    sequence: Sequence,
    length: u64,
    /// Tells the object.
    hash: u64,
}

/// What a directory holds, by keyspace and key; `None` is known to be absent.
#[derive(Debug, Default, PartialEq, Eq)]
struct List {
    records: BTreeMap<(u16, Vec<u8>), Option<Listed>>,
    members: Vec<MemberMemory>,
    /// The last epoch's number that was given out.
    epoch: u64,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let text = text.trim_start_matches('-');
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

impl List {
    fn text(&self) -> String {
        let mut text = format!("epoch {}\n", self.epoch);
        for MemberMemory { name, generation, opens, sequence, boot } in &self.members {
            text += &format!("member {name} {generation} {opens} {} {boot}\n", sequence.0);
        }
        for ((keyspace, key), listed) in &self.records {
            // A hyphen before the key, as it may be empty.
            text += &match listed {
                None => format!("absent {keyspace} -{}\n", hex(key)),
                Some(Listed { local, item_hash, sequence, length, hash }) => {
                    let Epoch { nonce, number } = local.epoch.unwrap_or(Epoch { nonce: 0, number: 0 });
                    let sequence = sequence.0;
                    format!(
                        "record {keyspace} -{} {nonce} {number} {item_hash} {sequence} {length} {hash}\n",
                        hex(key)
                    )
                }
            };
        }
        text
    }

    fn read(text: &str) -> List {
        let mut list = List::default();
        for line in text.lines() {
            let words: Vec<&str> = line.split(' ').collect();
            let number = |at: usize| words[at].parse::<u64>().expect("a number");
            let keyspace = || u16::try_from(number(1)).expect("a keyspace");
            match words[0] {
                "epoch" => list.epoch = number(1),
                "member" => list.members.push(MemberMemory {
                    name: words[1].to_owned(),
                    generation: number(2),
                    opens: number(3),
                    sequence: Sequence(number(4)),
                    boot: number(5),
                }),
                "absent" => drop(list.records.insert((keyspace(), unhex(words[2])), None)),
                "record" => {
                    let (nonce, epoch) = (number(3), number(4));
                    let epoch = (nonce != 0).then_some(Epoch { nonce, number: epoch });
                    let listed = Listed {
                        local: LocalPart { epoch },
                        item_hash: number(5),
                        sequence: Sequence(number(6)),
                        length: number(7),
                        hash: number(8),
                    };
                    list.records.insert((keyspace(), unhex(words[2])), Some(listed));
                }
                other => panic!("what is `{other}`?"),
            }
        }
        list
    }

    /// Compares every record.
    fn check<S: Store>(&self, store: &S) {
        for ((keyspace, key), listed) in &self.records {
            let found = match store.get(&key_ref(*keyspace, key)) {
                Ok(Lookup::Found(record)) => Some(Listed {
                    local: record.local,
                    item_hash: record.item_hash,
                    sequence: record.sequence,
                    length: record.object.len() as u64,
                    hash: HASH_KEY.hash64(&[&record.object]),
                }),
                Ok(Lookup::Absent) => None,
                other => panic!("{}: {other:?}", String::from_utf8_lossy(key)),
            };
            assert_eq!(found, *listed, "{}", String::from_utf8_lossy(key));
        }
        assert_eq!(store.len(), self.records.values().flatten().count() as u64);
        assert_eq!(store.members(), self.members);
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new directory");
    for entry in fs::read_dir(from).expect("it is there") {
        let path = entry.expect("it can be read").path();
        let target = to.join(path.file_name().expect("it has a name"));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, &target).expect("it can be copied");
        }
    }
}

/// A store that is written to, with the list of what it holds.
struct Writing {
    store: LogStore<FileDisk>,
    list: List,
    now: u64,
}

impl Writing {
    /// A turn of the loop, with everything done that the disk has to do.
    fn turn(&mut self) {
        self.now += 30_000_000;
        self.store.flush(Durability::Interval);
        self.store.maintain(Instant::from_nanos(self.now));
        while self.store.disk_step() {}
    }

    fn put(&mut self, keyspace: u16, key: &[u8], object: &[u8], expires_ms: Option<u64>) {
        let length = object.len() as u64;
        let epoch = (!length.is_multiple_of(3)).then_some(Epoch { nonce: 5, number: length });
        let local = LocalPart { epoch };
        let item_hash = HASH_KEY.hash64(&[b"item", object]);
        let new = NewRecord { local, object, item_hash, expires_ms, is_delete: false };
        let sequence = loop {
            match self.store.put(&key_ref(keyspace, key), &new) {
                Ok(sequence) => break sequence,
                Err(StoreError::Overloaded) => self.turn(),
                Err(error) => panic!("{error}"),
            }
        };
        let listed = Listed { local, item_hash, sequence, length, hash: HASH_KEY.hash64(&[object]) };
        self.list.records.insert((keyspace, key.to_vec()), Some(listed));
    }

    fn remove(&mut self, keyspace: u16, key: &[u8]) {
        while self.store.remove(&key_ref(keyspace, key)).is_err() {
            self.turn();
        }
        self.list.records.insert((keyspace, key.to_vec()), None);
    }

    fn drop_partition(&mut self, partition: u16) {
        while self.store.drop_partition(partition).is_err() {
            self.turn();
        }
        let in_it = |((keyspace, key), _): &(&(u16, Vec<u8>), &mut Option<Listed>)| {
            key_ref(*keyspace, key).partition == partition
        };
        self.list.records.iter_mut().filter(in_it).for_each(|(_, listed)| *listed = None);
    }

    fn figure(&self, name: &str) -> u64 {
        let figures = self.store.status().figures;
        figures.iter().find(|figure| figure.0 == name).map_or(0, |figure| figure.1)
    }

    /// Overwrites until compaction and checkpoints have gone round a few times.
    fn churn(&mut self, rounds: u64) {
        for number in 0..rounds {
            let key = format!("key {}", number * 7 % 30);
            self.put(1, key.as_bytes(), &vec![number as u8; 600 + (number * 97 % 1_900) as usize], None);
            if number.is_multiple_of(3) {
                self.turn();
            }
        }
    }
}

/// The directory of the current version, with one of everything in it.
fn write(path: &Path) {
    fs::create_dir(path).expect("a new directory");
    let mut writing = Writing { store: open(&path.join("data")), list: List::default(), now: 0 };
    writing.put(1, b"", b"an empty key", None);
    writing.put(2, &[b'k'; 2_000], b"a long key", None);
    writing.put(1, b"empty value", b"", None);
    writing.put(1, b"in parts", &(0..40_000_u32).map(|at| at as u8).collect::<Vec<u8>>(), None);
    writing.put(1, b"expiring", b"for ever", Some(4_000_000_000_000));
    for number in 0..60_u64 {
        writing.put(3, format!("cold {number}").as_bytes(), &number.to_le_bytes().repeat(5), None);
    }
    writing.churn(220);
    // Not the one with the object in parts.
    writing.drop_partition((key_ref(1, b"in parts").partition + 1) % PARTITIONS as u16);
    writing.churn(60);
    writing.put(1, b"in parts, later", &[9; 30_000], None);
    for number in 0..6_u64 {
        writing.remove(3, format!("cold {number}").as_bytes());
    }
    writing.put(1, b"expiring, too", b"for ever", Some(4_000_000_000_000));
    let member = MemberMemory {
        name: "beta".to_owned(),
        generation: 77,
        opens: 3,
        sequence: Sequence(1_000),
        boot: 99,
    };
    writing.store.remember(member.clone());
    writing.list.members.push(member);
    writing.turn();
    writing.list.epoch = writing.store.take_epoch().expect("a lease is there");
    assert!(writing.figure("store_compactions") > 3 && writing.figure("store_checkpoints") > 1);
    writing.store.close().expect("a clean stop");
    writing.list.check(&writing.store);
    fs::write(path.join("records.txt"), writing.list.text()).expect("it can be written");
}

fn golden(version: u32) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/v{version}"))
}

/// Opens a copy, compares, writes to it until everything was compacted, and opens it again.
fn holds(golden: &Path) {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("data");
    copy(&golden.join("data"), &path);
    let list = List::read(&fs::read_to_string(golden.join("records.txt")).expect("a list"));
    assert!(list.records.len() > 50 && list.records.values().any(Option::is_none));
    let mut store = open(&path);
    list.check(&store);
    // It lies elsewhere now, so it is another generation.
    assert_eq!((store.stats().incomplete, store.identity().clean), (0, true));
    assert!(fs::read_to_string(path.join("FORMAT")).expect("a format").contains("\nversion 2\n"));
    assert!(store.take_epoch().expect("a lease was taken") > list.epoch);
    let mut writing = Writing { store, list, now: 0 };
    writing.put(1, b"new", b"value", None);
    for _ in 0..2 {
        writing.list.check(&writing.store);
        writing.store.close().expect("a clean stop");
        drop(writing.store);
        writing.store = open(&path);
        assert!(writing.store.identity().clean);
        writing.list.check(&writing.store);
        writing.churn(200);
    }
    assert!(writing.figure("store_compactions") > 3);
    writing.list.check(&writing.store);
    // And after a stop that was not clean, without the checkpoint.
    writing.turn();
    drop(writing.store);
    fs::remove_file(path.join("checkpoint")).expect("there was one");
    let store = open(&path);
    assert_eq!((store.stats().incomplete, store.identity().clean), (0, false));
    writing.list.check(&store);
}

/// The kinds of records in the segments of a directory, those of segments of copies apart.
fn kinds(data: &Path) -> [BTreeSet<u8>; 2] {
    let mut kinds = [BTreeSet::new(), BTreeSet::new()];
    for entry in fs::read_dir(data.join("log")).expect("it is there") {
        let bytes = fs::read(entry.expect("it can be read").path()).expect("it can be read");
        let is_compacted = bytes[52] & 1 != 0;
        let mut at = 64;
        while at + 32 <= bytes.len() && bytes[at + 4] != 0 {
            let [kind, flags, low, high] = [4, 5, 6, 7].map(|field| bytes[at + field]);
            let value = u32::from_le_bytes(bytes[at + 8..at + 12].try_into().expect("four bytes"));
            let extra = usize::from(flags & 1) * 16 + usize::from(flags >> 1 & 1) * 8;
            let length = 32 + extra + usize::from(u16::from_le_bytes([low, high])) + value as usize;
            kinds[usize::from(is_compacted)].insert(kind);
            at += length.next_multiple_of(8);
        }
    }
    kinds
}

#[test]
fn a_directory_of_version_1_is_raised_and_holds_what_it_held() {
    let format = fs::read_to_string(golden(1).join("data/FORMAT")).expect("a format");
    assert!(format.contains("\nversion 1\n"));
    holds(&golden(1));
}

#[test]
fn a_directory_of_version_2_holds_what_it_held() {
    for name in ["checkpoint", "manifest", "members", "clean"] {
        assert!(golden(2).join("data").join(name).exists(), "{name}");
    }
    let [appended, copied] = kinds(&golden(2).join("data"));
    assert_eq!(appended, BTreeSet::from([1, 2, 3, 4, 5, 6]), "every kind");
    assert_eq!(copied, BTreeSet::from([1, 4, 5, 6]), "puts, a drop, chunks, seals");
    holds(&golden(2));
}

#[test]
fn the_directory_of_this_version_can_be_kept() {
    let home = tempfile::tempdir().expect("a temporary directory");
    let path = home.path().join("golden");
    write(&path);
    let log = fs::read_dir(path.join("data/log")).expect("it is there");
    let sizes = log.map(|entry| entry.expect("it can be read").metadata().expect("it is there").len());
    assert!(sizes.sum::<u64>() < 900 << 10, "it is small enough to be kept");
    holds(&path);
    if let Some(kept) = std::env::var_os(WRITE) {
        copy(&path, Path::new(&kept));
    }
}
