//! What the loop feels of the disk: it appends at a fixed rate while syncs run back to back.
//!
//! Beside ours runs the least that does the same: a buffer behind a lock, and a thread that takes it,
//! writes it and syncs. Both run a second time on a device of their own, where what reaches the disk can
//! be counted.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::FallocateFlags;

use crate::clock::Clock;
use crate::device::{self, Device};
use crate::engines::quorate::{DEFAULTS, Durability, Log, Sequence};
use crate::options::Options;
use crate::part::Job;
use crate::report::{self, Line};
use crate::samples::{Samples, say};
use crate::workload::{Key, Values, key};

const RATE: u64 = 100_000;
/// With it a record is about as long as in the other measurements of this kind, 150 bytes.
const VALUE: usize = 80;
const RECORD: usize = 32 + 16 + VALUE + 24;

const LINES: [Line; 10] = [
    line("append_p50", "append: p50 µs", "staged_p50", ""),
    line("append_p999", "append: p99.9 µs", "staged_p999", ""),
    line("append_p9999", "append: p99.99 µs", "staged_p9999", "≤ 100"),
    line("append_max", "append: longest, µs", "staged_max", "≤ 1,000"),
    line("append_own", "the same, less waiting for a processor", "staged_own", "≤ 1,000"),
    line("turn_p9999", "flush and maintain: p99.99 µs", "", ""),
    line("turn_max", "flush and maintain: longest, µs", "", "≤ 1,000"),
    line("sync_rate", "syncs/s", "staged_sync_rate", ""),
    line("refused", "appends refused", "", ""),
    line("device", "device bytes per log byte", "staged_device", "≤ 5"),
];

const fn line(name: &'static str, title: &'static str, limit: &'static str, hold: &'static str) -> Line {
    Line { name, title, limit, hold }
}

/// Measures and prints appends under syncs.
pub fn print(options: &Options) {
    let mut samples = Samples::default();
    let seconds = (options.seconds / 4).clamp(2, 10);
    for _ in 0..options.reps {
        for part in ["stall", "staged"] {
            let home = options.fresh_directory();
            Job::new(part, home.path(), 0, seconds).run(&mut samples);
        }
    }
    let problem = count_device(options, seconds, &mut samples).err();
    println!("\n## Stall\n");
    println!(
        "{RATE} appends/s of about {RECORD} bytes for {seconds} s, the next sync as soon as the last has returned. Limit: \
         a buffer behind a lock and a thread that writes and syncs it, in the same directory.\n"
    );
    print!("{}", report::beside_limits(&LINES, &samples));
    if let Some(problem) = problem {
        println!("\nNo device bytes, as no loop device could be made: {problem}");
    }
}

/// Only the bytes are taken from the runs on a loop device: its syncs cost more than those of a disk.
fn count_device(options: &Options, seconds: u64, samples: &mut Samples) -> Result<(), String> {
    for (part, name) in [("stall", "device"), ("staged", "staged_device")] {
        for _ in 0..options.reps {
            let device = Device::make(options)?;
            let mut counted = Samples::default();
            Job::new(part, &device.directory(), 0, seconds).with(&device.name).run(&mut counted);
            for ratio in counted.all(name) {
                samples.take(&format!("{name}\t{ratio}"));
            }
        }
    }
    Ok(())
}

/// Our store under the load.
pub fn measure(job: &Job) {
    let values = Values::new();
    let mut log = Log::open(&job.directory.join("data"), DEFAULTS, Box::new(|| {}));
    log.settle();
    let before = counter(job);
    let (mut appends, mut turns) = (Clock::new(), Clock::new());
    let (mut last, mut asked, mut syncs, mut refused) = (Sequence(0), Sequence(0), 0, 0);
    let took = at_rate(job.seconds, |due| {
        let has_work = !due.is_empty();
        if has_work {
            appends.begin_turn();
            turns.begin_turn();
        }
        for number in due {
            let (key, value): (Key, _) = (key(number), values.cut(number, VALUE));
            match appends.time(|| log.try_put(&key, value)) {
                Some(sequence) => last = sequence,
                None => refused += 1,
            }
        }
        let is_synced = last > asked && log.durable() >= asked;
        if !has_work && !is_synced {
            return;
        }
        turns.time(|| {
            if is_synced {
                log.flush(Durability::Always);
            }
            log.maintain();
        });
        if is_synced {
            asked = last;
            syncs += 1;
        }
    });
    log.settle();
    say_device("device", job, before, log.stats().live_bytes);
    appends.say("append");
    turns.say("turn");
    say("refused", f64::from(refused));
    say("sync_rate", f64::from(syncs) / took.as_secs_f64());
    log.close();
}

/// The least that does the same.
pub fn reference(job: &Job) {
    let path = job.directory.join("staged");
    let file = OpenOptions::new().write(true).create_new(true).open(path).expect("a file can be made");
    let size = (RATE * (job.seconds + 1)) * RECORD as u64;
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, size).expect("there is room");
    file.sync_all().expect("the disk works");
    let before = counter(job);
    let (buffer, stop) = (Mutex::new(Vec::new()), AtomicBool::new(false));
    let write = || {
        let (mut taken, mut offset, mut syncs) = (Vec::new(), 0, 0_u32);
        while !stop.load(Ordering::Relaxed) {
            taken.clear();
            std::mem::swap(&mut taken, &mut *buffer.lock().expect("nobody panics"));
            file.write_all_at(&taken, offset).expect("there is room");
            file.sync_data().expect("the disk works");
            offset += taken.len() as u64;
            syncs += 1;
        }
        (offset, syncs)
    };
    let mut appends = Clock::new();
    let record = [7; RECORD];
    let (took, (bytes, syncs)) = thread::scope(|scope| {
        let writer = scope.spawn(write);
        let took = at_rate(job.seconds, |due| {
            if !due.is_empty() {
                appends.begin_turn();
            }
            for _ in due {
                appends.time(|| {
                    let checksum = crc32c::crc32c(&record[4..]).to_le_bytes();
                    let mut buffer = buffer.lock().expect("nobody panics");
                    buffer.extend_from_slice(&checksum);
                    buffer.extend_from_slice(&record[4..]);
                });
            }
        });
        stop.store(true, Ordering::Relaxed);
        (took, writer.join().expect("it does not panic"))
    });
    say_device("staged_device", job, before, bytes);
    appends.say("staged");
    say("staged_sync_rate", f64::from(syncs) / took.as_secs_f64());
}

/// Calls `turn` with the numbers that are due, again and again, at the rate; returns how long it took.
fn at_rate(seconds: u64, mut turn: impl FnMut(std::ops::Range<u64>)) -> Duration {
    let (begun, mut done) = (Instant::now(), 0);
    while done < seconds * RATE {
        let due = (begun.elapsed().as_nanos() * u128::from(RATE) / 1_000_000_000) as u64;
        turn(done..due.min(seconds * RATE));
        done = due;
        std::hint::spin_loop();
    }
    begun.elapsed()
}

/// What the device of the job has written so far.
fn counter(job: &Job) -> Option<u64> {
    (job.detail != "-").then(|| device::written(&job.detail))
}

fn say_device(name: &str, job: &Job, before: Option<u64>, log_bytes: u64) {
    if let (Some(before), Some(after)) = (before, counter(job)) {
        say(name, (after - before) as f64 / log_bytes as f64);
    }
}
