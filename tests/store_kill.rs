//! A process that writes to a log on real files, with its worker's thread, compaction and checkpoints, killed
//! at random instants again and again: what it had been told is written is there, and nothing is wrong.
//!
//! The child is this very program, told by the environment which round it is. What it does follows from
//! the round alone, so that both sides know it; after each flush it says how far the marks have come. A kill
//! may take anything behind that, from one point on in the order of the operations.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use quorate::proto::keys::Key;
use quorate::proto::ring;
use quorate::proto::rng::Rng;
use quorate::proto::store::{Durability, KeyRef, LocalPart, Lookup, NewRecord, Sequence, Store, StoreError};
use quorate::proto::time::Instant;
use quorate::proto::version::Epoch;
use quorate::store::{FileDisk, LogOptions, LogStore, WorkerMode};

const PARTITIONS: u32 = 8;
const HASH_KEY: Key = Key([7; 16]);
const KEYS: u64 = 150;
const DIRECTORY: &str = "QUORATE_STORE_KILL_DIRECTORY";
const ROUND: &str = "QUORATE_STORE_KILL_ROUND";

/// How often the process is killed; `QUORATE_STORE_KILL_ROUNDS` says so in long runs.
fn rounds() -> u64 {
    match std::env::var("QUORATE_STORE_KILL_ROUNDS") {
        Ok(text) => text.parse().expect("QUORATE_STORE_KILL_ROUNDS is a number"),
        Err(_) => 10,
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Put { key: u64, length: u64 },
    Remove(u64),
    Drop(u16),
}

/// What the child does in a round.
struct Script {
    rng: Rng,
    round: u64,
    number: u64,
}

impl Script {
    fn new(round: u64) -> Script {
        Script { rng: Rng::new(round * 1_000_003 + 17), round, number: 0 }
    }

    /// The next action, and what names the value that it puts.
    fn next(&mut self) -> (Action, u64) {
        self.number += 1;
        let key = self.rng.below(KEYS);
        let action = match self.rng.below(1_000) {
            0..40 => Action::Remove(key),
            40..42 => Action::Drop(self.rng.below(u64::from(PARTITIONS)) as u16),
            // In parts, as half a segment does not hold it.
            42..50 => Action::Put { key, length: 140_000 },
            _ => Action::Put { key, length: self.rng.below(4_000) },
        };
        (action, self.round << 40 | self.number)
    }
}

fn key_bytes(key: u64) -> Vec<u8> {
    format!("key {key}").into_bytes()
}

fn key_ref(key: &[u8]) -> KeyRef<'_> {
    let position = ring::position(&HASH_KEY, 1, key);
    KeyRef { keyspace: 1, key, position, partition: ring::partition(position, PARTITIONS) }
}

/// A value that names itself in every part.
fn value(name: u64, length: u64) -> Vec<u8> {
    (0..=length / 8).flat_map(|at| (name + (at << 32)).to_le_bytes()).collect()
}

fn open(directory: &Path, round: u64, worker: WorkerMode) -> LogStore<FileDisk> {
    let options = LogOptions {
        segment_size: (64 << 10) << (round % 3),
        checkpoint_bytes: 200 << 10,
        checkpoint_interval: Duration::from_millis(50),
        scrub_interval: Duration::from_secs(2),
        retention_bytes: 64 << 10,
        staging_limit: 256 << 10,
        worker,
        ..LogOptions::new(PARTITIONS, HASH_KEY)
    };
    let mut random = Rng::new(round * 2 + u64::from(worker == WorkerMode::Thread));
    LogStore::open(FileDisk::new(directory), options, &mut || random.next_u64(), Box::new(|| {}))
        .unwrap_or_else(|error| panic!("round {round}: {error}"))
}

/// The child. Without its environment it does nothing.
#[test]
fn child_that_is_killed() {
    let Some(directory) = std::env::var_os(DIRECTORY) else { return };
    let round: u64 = std::env::var(ROUND).expect("the round is told").parse().expect("a number");
    let mut store = open(&PathBuf::from(directory), round, WorkerMode::Thread);
    let mut script = Script::new(round);
    let begun = std::time::Instant::now();
    let mut done: Vec<(Sequence, Durability)> = Vec::new();
    let mut told = 0;
    let mut out = std::io::stdout();
    loop {
        let (action, name) = script.next();
        let need = if script.number.is_multiple_of(16) { Durability::Always } else { Durability::Interval };
        while let Err(error) = act(&mut store, action, name) {
            assert_eq!(error, StoreError::Overloaded);
            store.flush(Durability::Interval);
            store.maintain(Instant::from_nanos(begun.elapsed().as_nanos() as u64));
            std::thread::yield_now();
        }
        done.push((store.change_cursor().sequence, need));
        store.flush(need);
        store.maintain(Instant::from_nanos(begun.elapsed().as_nanos() as u64));
        let marks = store.marks();
        let holds = |(sequence, need): &(Sequence, Durability)| match need {
            Durability::Always => *sequence <= marks.durable,
            _ => *sequence <= marks.written,
        };
        let now = told + done[told..].iter().take_while(|done| holds(done)).count();
        if now > told {
            told = now;
            let figures = store.status().figures;
            let of = |name| figures.iter().find(|figure| figure.0 == name).map_or(0, |figure| figure.1);
            let epoch = store.take_epoch().unwrap_or(0);
            let counts = (of("store_compactions"), of("store_checkpoints"));
            // One write, so that a kill tears no line but the last.
            let line = format!("\n@ {told} {} {} {epoch}\n", counts.0, counts.1);
            out.write_all(line.as_bytes()).expect("the parent listens");
        }
    }
}

fn act(store: &mut LogStore<FileDisk>, action: Action, name: u64) -> Result<(), StoreError> {
    match action {
        Action::Put { key, length } => {
            let object = value(name, length);
            let local = LocalPart { epoch: Some(Epoch { nonce: 1, number: name }) };
            let record =
                NewRecord { local, object: &object, item_hash: !name, expires_ms: None, is_delete: false };
            store.put(&key_ref(&key_bytes(key)), &record).map(drop)
        }
        Action::Remove(key) => store.remove(&key_ref(&key_bytes(key))).map(drop),
        Action::Drop(partition) => store.drop_partition(partition).map(drop),
    }
}

/// What the child said last.
#[derive(Clone, Copy, Debug, Default)]
struct Told {
    operations: u64,
    compactions: u64,
    checkpoints: u64,
    epoch: u64,
}

/// Runs the child of a round and kills it after a while.
fn run_and_kill(directory: &Path, round: u64, wait: Duration) -> Told {
    let program = std::env::current_exe().expect("a test knows its program");
    let mut child = Command::new(program)
        .args(["child_that_is_killed", "--exact", "--nocapture", "--test-threads=1"])
        .env(DIRECTORY, directory)
        .env(ROUND, round.to_string())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test starts itself");
    let output = BufReader::new(child.stdout.take().expect("it was piped"));
    let reader = std::thread::spawn(move || {
        let mut told = Told::default();
        for line in output.lines().map_while(Result::ok) {
            let Some(numbers) = line.strip_prefix("@ ") else { continue };
            let numbers: Vec<u64> = numbers.split(' ').filter_map(|text| text.parse().ok()).collect();
            if let [operations, compactions, checkpoints, epoch] = numbers[..] {
                told = Told { operations, compactions, checkpoints, epoch: epoch.max(told.epoch) };
            }
        }
        told
    });
    std::thread::sleep(wait);
    assert!(child.try_wait().expect("it is ours").is_none(), "round {round}: the child ended by itself");
    child.kill().expect("it is ours");
    child.wait().expect("it is ours");
    reader.join().expect("the reader ends with the pipe")
}

/// The keys that are held, each with the name and length of its value.
type Model = BTreeMap<u64, (u64, u64)>;

fn apply(model: &mut Model, action: Action, name: u64) {
    match action {
        Action::Put { key, length } => drop(model.insert(key, (name, length))),
        Action::Remove(key) => drop(model.remove(&key)),
        Action::Drop(partition) => model.retain(|key, _| key_ref(&key_bytes(*key)).partition != partition),
    }
}

/// What a store holds; every value is whole.
fn held(store: &LogStore<FileDisk>, round: u64) -> Model {
    let mut held = Model::new();
    for key in 0..KEYS {
        match store.get(&key_ref(&key_bytes(key))) {
            Ok(Lookup::Found(record)) => {
                let name = record.local.epoch.expect("all have one").number;
                assert_eq!(record.item_hash, !name, "round {round}, key {key}");
                let length = record.object.len() as u64 - 8;
                let whole = value(name, length);
                assert!(record.object == whole, "round {round}, key {key}: another value than {name}");
                held.insert(key, (name, length));
            }
            Ok(Lookup::Absent) => {}
            other => panic!("round {round}, key {key}: {other:?}"),
        }
    }
    assert_eq!(store.len(), held.len() as u64, "round {round}");
    held
}

/// Lengths as the values have them: of whole words.
fn rounded(model: &Model) -> Model {
    model.iter().map(|(key, (name, length))| (*key, (*name, length / 8 * 8))).collect()
}

#[test]
fn killed_at_random_instants_a_store_is_what_its_process_was_told() {
    if std::env::var_os(DIRECTORY).is_some() {
        return;
    }
    let home = tempfile::tempdir().expect("a temporary directory");
    let directory = home.path().join("data");
    let mut rng = Rng::new(std::process::id().into());
    let mut model = Model::new();
    let mut all = Told::default();
    let mut generation = None;
    let (mut in_flight, mut unclean) = (0, 0);
    for round in 0..rounds() {
        let wait = Duration::from_millis(if rng.one_in(5) { rng.below(40) } else { 100 + rng.below(500) });
        let told = run_and_kill(&directory, round, wait);
        all.operations += told.operations;
        all.compactions += told.compactions;
        all.checkpoints += told.checkpoints;
        all.epoch = all.epoch.max(told.epoch);
        let mut store = open(&directory, round, WorkerMode::Host);
        assert_eq!(store.stats().incomplete, 0, "round {round}: nothing is damaged");
        unclean += u64::from(!store.identity().clean);
        let found = held(&store, round);
        // Everything that was told, and some more, in order.
        let mut script = Script::new(round);
        let mut seen = 0;
        while seen < told.operations || rounded(&model) != found {
            assert!(seen < told.operations + 20_000, "round {round}: what is there never was, {told:?}");
            let (action, name) = script.next();
            apply(&mut model, action, name);
            seen += 1;
        }
        in_flight += seen - told.operations;
        assert!(store.take_epoch().expect("a lease was just taken") > all.epoch || all.epoch == 0);
        assert_eq!(store.identity().generation, *generation.get_or_insert(store.identity().generation));
        if rng.one_in(2) {
            store.close().expect("a clean stop");
        }
    }
    println!("{} rounds, {unclean} unclean, {in_flight} in flight, {all:?}", rounds());
    assert!(all.operations > 30 * rounds() && unclean > rounds() / 2);
    assert!(all.compactions > rounds() / 2 && all.checkpoints > rounds() / 2, "there was something to break");
}
