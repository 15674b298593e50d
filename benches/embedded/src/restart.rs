//! How long an opening takes: after a clean close and after `kill -9`, with a checkpoint and without.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::engines::quorate::{CHECKPOINT, DEFAULTS, Durability, Log};
use crate::options::Options;
use crate::part::{self, Job};
use crate::reference::read_and_checksum;
use crate::report::{self, Line};
use crate::samples::{Samples, say};
use crate::workload::{BATCH, Values, key, random, shuffled};

const LINES: [Line; 5] = [
    line("clean_checkpoint", "closed cleanly, with a checkpoint: ms", "clean_checkpoint_limit", "≤ 300"),
    line("clean_scan", "closed cleanly, without one: ms", "clean_scan_limit", "≤ 3,000"),
    line("killed_checkpoint", "killed, with a checkpoint: ms", "killed_checkpoint_limit", "≤ 300"),
    line("killed_scan", "killed, without one: ms", "killed_scan_limit", "≤ 3,000"),
    line("close", "clean close: ms", "", ""),
];

const fn line(name: &'static str, title: &'static str, limit: &'static str, hold: &'static str) -> Line {
    Line { name, title, limit, hold }
}

/// Measures and prints openings beside reading what they read.
pub fn print(options: &Options) {
    let keys = options.keys_of_restart();
    let mut samples = Samples::default();
    for _ in 0..options.reps {
        let home = options.fresh_directory();
        repeat(&home.path().join("data"), keys, &mut samples);
    }
    println!("\n## Restart\n");
    println!(
        "{keys} keys; from opening to the first get, page cache warm. Killed: while a quarter of the keys was \
         overwritten after the last clean close. Limit: reading and checksumming the checkpoint, or the whole log.\n"
    );
    print!("{}", report::beside_limits(&LINES, &samples));
}

fn repeat(data: &Path, keys: u64, samples: &mut Samples) {
    let job = |part| Job::new(part, data, keys, 0);
    job("load").run(samples);
    if has_checkpoint(data) {
        job("open").with("clean_checkpoint").run(samples);
    }
    forget_checkpoint(data);
    job("open").with("clean_scan").run(samples);
    job("overwrite").run_and_kill();
    if has_checkpoint(data) {
        job("open").with("killed_checkpoint").run(samples);
    }
    forget_checkpoint(data);
    job("open").with("killed_scan").run(samples);
}

fn has_checkpoint(data: &Path) -> bool {
    data.join(CHECKPOINT).exists()
}

fn forget_checkpoint(data: &Path) {
    if has_checkpoint(data) {
        fs::remove_file(data.join(CHECKPOINT)).expect("the file is ours");
    }
}

/// Puts every key and closes cleanly.
pub fn load(job: &Job) {
    let mut log = Log::open(&job.directory, DEFAULTS, Box::new(|| {}));
    put(&mut log, shuffled(job.keys));
    log.settle();
    let begun = Instant::now();
    log.close();
    say("close", begun.elapsed().as_secs_f64() * 1e3);
}

/// Overwrites a quarter of the keys and waits to be killed.
pub fn overwrite(job: &Job) {
    let mut log = Log::open(&job.directory, DEFAULTS, Box::new(|| {}));
    put(&mut log, random(job.keys, job.keys / 4, 31));
    part::await_death();
}

fn put(log: &mut Log, numbers: impl Iterator<Item = u64>) {
    let values = Values::new();
    for (done, at) in (1..).zip(numbers) {
        log.put(&key(at), values.at(at ^ done));
        if done % BATCH == 0 {
            log.flush(Durability::Interval);
            log.maintain();
        }
    }
    log.flush(Durability::Interval);
}

/// Times an opening under the name in the job's detail. What was killed is left as it was, for the next.
pub fn open(job: &Job) {
    let name = &job.detail;
    let read = if name.ends_with("_checkpoint") { CHECKPOINT } else { "log" };
    // What the process before wrote is still on its way to the disk, in everybody's way.
    assert!(Command::new("sync").status().is_ok_and(|status| status.success()), "sync fails");
    // Twice, as the first time may meet a cold page cache.
    read_and_checksum(&job.directory.join(read));
    let limit = read_and_checksum(&job.directory.join(read));
    let begun = Instant::now();
    let log = Log::open(&job.directory, DEFAULTS, Box::new(|| {}));
    let mut is_found = false;
    log.get(&key(job.keys / 2), &mut |value| is_found = value.is_some());
    say(name, begun.elapsed().as_secs_f64() * 1e3);
    say(&format!("{name}_limit"), limit);
    assert!(is_found, "a key is lost");
    if name.starts_with("clean_") {
        log.close();
    }
}
