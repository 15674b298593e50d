//! Commits that are on disk when they return: one writer and sixteen, beside the raw loop.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quorate::proto::rng::Rng;

use crate::engine::Engine;
use crate::engines::quorate::{DEFAULTS, Durability, Log, Settings};
use crate::engines::shared::Shared;
use crate::latency::Latency;
use crate::options::Options;
use crate::part::Job;
use crate::reference::{Blocks, raw_syncs};
use crate::report::{self, Line};
use crate::samples::{Samples, say};
use crate::workload::{Values, key};

const TIME: Duration = Duration::from_secs(2);
const WRITERS: usize = 16;
/// Bytes of a record as the log has it: a header, the local part, the key, the value.
const RECORD: usize = 168;

const LINES: [Line; 12] = [
    line("one_p50", "1 writer, asleep meanwhile: p50 µs", "raw_p50", "≤ 1.5 of the limit"),
    line("one_p99", "the same: p99 µs", "raw_p99", ""),
    line("one_rate", "the same: commits/s", "raw_rate", ""),
    line("polled_p50", "1 writer, polling the marks: p50 µs", "raw_p50", "≤ 1.5 of the limit"),
    line("polled_p99", "the same: p99 µs", "raw_p99", ""),
    line("hosted_p50", "1 writer that syncs by itself: p50 µs", "raw_p50", "≤ 1.5 of the limit"),
    line("hosted_p99", "the same: p99 µs", "raw_p99", ""),
    line("many_p50", "16 writers: p50 µs", "group_p50", ""),
    line("many_p99", "the same: p99 µs", "group_p99", ""),
    line("many_rate", "the same: commits/s", "group_rate", "≥ 20,000/s"),
    line("raw_p50", "the raw loop itself, blocks reserved: p50 µs", "written_p50", ""),
    line("raw_p99", "the same: p99 µs", "written_p99", ""),
];

const fn line(name: &'static str, title: &'static str, limit: &'static str, hold: &'static str) -> Line {
    Line { name, title, limit, hold }
}

/// Threads that committed at the same time.
pub struct Commits {
    latency: Latency,
    took: Duration,
}

/// Measures and prints commits beside the raw loop.
pub fn print(options: &Options) {
    let mut samples = Samples::default();
    for _ in 0..options.reps {
        let home = options.fresh_directory();
        Job::new("sync", home.path(), options.keys(), options.seconds).run(&mut samples);
    }
    println!("\n## Sync always\n");
    println!(
        "The limit is a loop of pwrite and fdatasync in the same directory, {RECORD} bytes at a time, into reserved \
         blocks as a segment has them; for 16 writers, 16 records at a time. The last rows have that loop itself \
         beside one into blocks that were written before.\n"
    );
    print!("{}", report::beside_limits(&LINES, &samples));
}

/// Everything in one process.
pub fn measure(job: &Job) {
    let values = Values::new();
    let at = |name: &str| {
        let path = job.directory.join(name);
        std::fs::create_dir(&path).expect("a directory can be made");
        path
    };
    let raw = |name: &str, length, blocks| {
        let (latency, took) = raw_syncs(&job.directory, length, blocks, TIME);
        let records = latency.count() * (length / RECORD) as u64;
        say(&format!("{name}_rate"), records as f64 / took.as_secs_f64());
        say_percentiles(name, &latency);
    };
    raw("raw", RECORD, Blocks::Reserved);
    let engine = Shared::open(&at("shared"));
    say_commits("one", &commits(&engine, 1, job.keys, &values));
    raw("group", RECORD * WRITERS, Blocks::Reserved);
    say_commits("many", &commits(&engine, WRITERS, job.keys, &values));
    Box::new(engine).close();
    raw("written", RECORD, Blocks::Written);
    for (name, is_hosted) in [("polled", false), ("hosted", true)] {
        let mut log = Log::open(&at(name), Settings { is_hosted, ..DEFAULTS }, Box::new(|| {}));
        say_percentiles(name, &alone(&mut log, job.keys, &values));
        log.close();
    }
}

/// Lets `writers` threads commit random keys for a while.
pub fn commits(engine: &dyn Engine, writers: usize, keys: u64, values: &Values) -> Commits {
    let stop = AtomicBool::new(false);
    let begun = Instant::now();
    let write = |writer: usize| {
        let mut rng = Rng::new(writer as u64);
        let mut latency = Latency::new();
        while !stop.load(Ordering::Relaxed) {
            let at = rng.below(keys);
            let one = Instant::now();
            engine.commit(&key(at), values.at(at));
            latency.add(one.elapsed());
        }
        latency
    };
    let write = &write;
    thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || write(writer))).collect();
        thread::sleep(TIME);
        stop.store(true, Ordering::Relaxed);
        let mut latency = Latency::new();
        for thread in threads {
            latency.merge(&thread.join().expect("a writer does not panic"));
        }
        Commits { latency, took: begun.elapsed() }
    })
}

/// Says rate and percentiles under a name.
pub fn say_commits(name: &str, commits: &Commits) {
    say(&format!("{name}_rate"), commits.latency.count() as f64 / commits.took.as_secs_f64());
    say_percentiles(name, &commits.latency);
}

fn say_percentiles(name: &str, latency: &Latency) {
    say(&format!("{name}_p50"), latency.micros(0.5));
    say(&format!("{name}_p99"), latency.micros(0.99));
}

/// Commits by a loop that does nothing else.
fn alone(log: &mut Log, keys: u64, values: &Values) -> Latency {
    let mut rng = Rng::new(3);
    let mut latency = Latency::new();
    let begun = Instant::now();
    while begun.elapsed() < TIME {
        let at = rng.below(keys);
        let one = Instant::now();
        let sequence = log.put(&key(at), values.at(at));
        log.flush(Durability::Always);
        while log.durable() < sequence {
            log.step();
            std::hint::spin_loop();
        }
        latency.add(one.elapsed());
    }
    latency
}
