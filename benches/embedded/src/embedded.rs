//! What a put and a get cost the loop, and what the index takes, beside what the machine can do at all.
//!
//! In processor time, so that a busy machine distorts less: of the calling thread where nobody else works
//! for it, and of all threads where the worker writes. Keys come as bytes; their positions are computed.

use std::path::Path;

use crate::engines::quorate::{DEFAULTS, Durability, Log};
use crate::meter::{self, Stopwatch, Took};
use crate::options::Options;
use crate::part::Job;
use crate::reference::{Chase, copy_and_checksum, copy_and_write};
use crate::report::{self, Line};
use crate::samples::{Samples, say};
use crate::workload::{GETS, Key, Values, key, random, shuffled};

/// Records that a turn of the loop puts before it flushes.
const TURN: usize = 64;

const LINES: [Line; 19] = [
    line("put_ns", "put, new keys: CPU ns of the loop", "copy_ns", ""),
    line("put_all_ns", "the same with the worker's", "write_ns", ""),
    line("put_core", "the same: M/s a core", "write_core", "≥ 2.5"),
    line("put_wall", "put, new keys: M/s on the wall", "", ""),
    line("over_ns", "put, known keys: CPU ns of the loop", "copy_ns", ""),
    line("over_all_ns", "the same with the worker's", "write_ns", ""),
    line("over_core", "the same: M/s a core", "write_core", "≥ 2.5"),
    line("over_wall", "put, known keys: M/s on the wall", "", ""),
    line("one_ns", "put, known keys, one by one: CPU ns of the loop", "chase_ns", ""),
    line("one_all_ns", "the same with the worker's", "chase_ns", ""),
    line("get_ns", "get, one by one: CPU ns", "chase_ns", ""),
    line("get_core", "the same: M/s a core", "chase_core", "≥ 3"),
    line("batch_ns", "get, batches of 32: CPU ns", "chase_batch_ns", ""),
    line("batch_core", "the same: M/s a core", "chase_batch_core", "≥ 8"),
    line("absent_ns", "get, absent: CPU ns", "chase_ns", ""),
    line("scan_ns", "scan, a record: CPU ns", "", ""),
    line("index", "index: B a key", "slot", "≤ 14"),
    line("memory", "anonymous memory: B a key", "slot", ""),
    line("record", "record of 116 B of key and value: B", "", ""),
];

const fn line(name: &'static str, title: &'static str, limit: &'static str, hold: &'static str) -> Line {
    Line { name, title, limit, hold }
}

/// Measures and prints puts and gets beside their limits.
pub fn print(options: &Options) {
    let mut samples = Samples::default();
    for _ in 0..options.reps {
        let home = options.fresh_directory();
        Job::new("embedded", home.path(), options.keys(), options.seconds).run(&mut samples);
    }
    println!("\n## Embedded\n");
    println!(
        "{} keys. Limits: of a put for the loop, a copy and a checksum of as many bytes; with the worker, their share \
         of a large write as well; of a get, two cache misses, the second at what the first says, waiting for the get \
         before or, in a batch, not; of the index, the slot itself.\n",
        options.keys()
    );
    print!("{}", report::beside_limits(&LINES, &samples));
}

/// Everything in one process. The limits come last, as they take memory.
pub fn measure(job: &Job) {
    let values = Values::new();
    let before = meter::anonymous_memory();
    let mut log = Log::open(&job.directory.join("data"), DEFAULTS, Box::new(|| {}));
    put(&mut log, "put", shuffled(job.keys), job.keys, &values, true);
    let stats = log.stats();
    say("memory", (meter::anonymous_memory() - before) / job.keys as f64);
    say("index", stats.index_bytes as f64 / job.keys as f64);
    say("slot", 8.0);
    let length = stats.live_bytes / job.keys;
    say("record", length as f64);
    put(&mut log, "over", random(job.keys, job.keys, 21), job.keys, &values, true);
    put(&mut log, "one", random(job.keys, job.keys, 27), job.keys, &values, false);
    get(&log, job.keys);
    log.close();
    limits(&job.directory, job.keys, length as usize);
}

/// Puts in turns, whose keys the store is told ahead or not.
fn put(
    log: &mut Log,
    name: &str,
    numbers: impl Iterator<Item = u64>,
    count: u64,
    values: &Values,
    is_known_ahead: bool,
) {
    let watch = Stopwatch::start();
    let mut numbers = numbers;
    let mut turn: Vec<Key> = Vec::new();
    let mut done = 0;
    loop {
        turn.clear();
        turn.extend(numbers.by_ref().take(TURN).map(key));
        if turn.is_empty() {
            break;
        }
        if is_known_ahead {
            log.prefetch(&turn);
        }
        for key in &turn {
            done += 1;
            log.put(key, values.at(done));
        }
        log.flush(Durability::Interval);
        log.maintain();
    }
    let loop_time = watch.read();
    log.flush(Durability::Interval);
    log.settle();
    let all = watch.read();
    say(&format!("{name}_ns"), loop_time.thread.as_nanos() as f64 / count as f64);
    say(&format!("{name}_wall"), count as f64 / loop_time.wall.as_secs_f64() / 1e6);
    let all = all.process.as_nanos() as f64 / count as f64;
    say(&format!("{name}_all_ns"), all);
    say(&format!("{name}_core"), 1e3 / all);
}

fn get(log: &Log, keys: u64) {
    let mut found = 0;
    // The first pass warms what there is to warm.
    for seed in [22, 23] {
        found = 0;
        let watch = Stopwatch::start();
        random(keys, keys, seed)
            .for_each(|at| log.get(&key(at), &mut |value| found += u64::from(value.is_some())));
        if seed == 23 {
            say_reads("get", &watch.read(), keys);
        }
    }
    assert_eq!(found, keys, "keys are lost");

    let watch = Stopwatch::start();
    for at in random(keys, keys, 24) {
        log.get(&key(keys + at), &mut |value| assert!(value.is_none(), "nobody put this"));
    }
    say_reads("absent", &watch.read(), keys);

    let watch = Stopwatch::start();
    let mut numbers = random(keys, keys, 25);
    let mut batch: Vec<Key> = Vec::with_capacity(GETS);
    let mut found = 0;
    for _ in 0..keys / GETS as u64 {
        batch.clear();
        batch.extend(numbers.by_ref().take(GETS).map(key));
        if !log.get_batch(&batch, &mut |value| found += u64::from(value.is_some())) {
            break;
        }
    }
    if found > 0 {
        say_reads("batch", &watch.read(), found);
    }

    let watch = Stopwatch::start();
    assert_eq!(log.scan(), keys, "a scan visits each key once");
    say_reads("scan", &watch.read(), keys);
}

fn say_reads(name: &str, took: &Took, count: u64) {
    say_cost(name, took.thread.as_nanos() as f64 / count as f64);
}

fn say_cost(name: &str, nanos: f64) {
    say(&format!("{name}_ns"), nanos);
    say(&format!("{name}_core"), 1e3 / nanos);
}

fn limits(directory: &Path, keys: u64, length: usize) {
    say_cost("copy", copy_and_checksum(keys, length));
    say_cost("write", copy_and_write(keys, length, directory));
    let chase = Chase::new(keys, length);
    say_cost("chase", chase.one_by_one(keys));
    say_cost("chase_batch", chase.side_by_side(keys));
}
