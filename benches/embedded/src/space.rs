//! A store that is overwritten for a while, in random order: how much disk it takes, how long its calls
//! keep the loop, and what winning space back costs gets.
//!
//! As fast as it goes, and at a fixed rate; each with compaction and without. Without it the disk fills
//! up, so those runs are short, and any run ends when the directory has grown beyond all bounds.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use quorate::proto::rng::Rng;

use crate::clock::Clock;
use crate::engines::quorate::{DEFAULTS, Durability, Log, Settings, segment_length};
use crate::latency::Latency;
use crate::meter;
use crate::options::Options;
use crate::part::Job;
use crate::report::{self, Better, Figure};
use crate::samples::{Samples, say};
use crate::workload::{BATCH, Values, key, shuffled};

const RATE: u64 = 100_000;
const SECONDS_WITHOUT: u64 = 20;
/// What a turn of the loop puts and gets at most.
const PUTS: u64 = 32;
const GETS: u64 = 8;
/// How far a directory may grow, and how much it must leave of its disk.
const GROWTH_MAX: u64 = 8 << 30;
const LEFT_MIN: u64 = 8 << 30;
const LOOK: Duration = Duration::from_millis(50);

/// Rate (0: as fast as it goes) and whether to compact, beside the column's head.
const RUNS: [(&str, u64, bool); 4] = [
    ("full speed", 0, true),
    ("full speed, no compaction", 0, false),
    ("100 k/s", RATE, true),
    ("100 k/s, no compaction", RATE, false),
];

const FIGURES: [Figure; 20] = [
    figure("seconds", "seconds until the end or beyond all bounds"),
    figure("puts", "puts, k/s"),
    figure("refused", "puts refused as overload, % of tries"),
    figure("peak", "disk at its most, x live"),
    figure("bound", "the same, of the bound"),
    figure("end", "disk at the end, x live"),
    figure("get_p50", "get: p50 µs"),
    figure("get_p999", "get: p99.9 µs"),
    figure("get_max", "get: longest, µs"),
    figure("put_p999", "put: p99.9 µs"),
    figure("put_p9999", "put: p99.99 µs"),
    figure("put_max", "put: longest, µs"),
    figure("flush_p9999", "flush: p99.99 µs"),
    figure("flush_max", "flush: longest, µs"),
    figure("maintain_p9999", "maintain: p99.99 µs"),
    figure("maintain_max", "maintain: longest, µs"),
    figure("call_p9999", "any call: p99.99 µs"),
    figure("call_max", "any call: longest, µs"),
    figure("call_own", "the same, less waiting for a processor"),
    figure("call_slow", "calls over 1 ms, a million"),
];

const fn figure(name: &'static str, title: &'static str) -> Figure {
    Figure { name, title, better: Better::Neither }
}

/// Measures and prints the four runs, and what the machine takes from a loop that calls no store.
pub fn print(options: &Options) {
    let mut samples: Vec<Samples> = RUNS.iter().map(|_| Samples::default()).collect();
    let mut idle = Samples::default();
    for _ in 0..options.reps {
        for ((_, rate, compaction), samples) in RUNS.iter().zip(&mut samples) {
            let home = options.fresh_directory();
            let seconds = if *compaction { options.seconds } else { options.seconds.min(SECONDS_WITHOUT) };
            let detail = format!("{rate},{compaction}");
            Job::new("space", home.path(), options.keys(), seconds).with(&detail).run(samples);
        }
        Job::new("idle", &options.directory, 0, options.seconds.min(5)).run(&mut idle);
    }
    println!("\n## Steady overwrite\n");
    println!(
        "{} keys overwritten in random order for {} s ({} s without compaction, and no run beyond {} GiB), {GETS} gets \
         beside {PUTS} puts. Live are the newest records as the log has them; the bound is 2 x live + 3 segments; the \
         disk is looked at every {} ms. \"No store\" times a checksum of 4 KiB instead: what the machine takes.\n",
        options.keys(),
        options.seconds,
        options.seconds.min(SECONDS_WITHOUT),
        GROWTH_MAX >> 30,
        LOOK.as_millis(),
    );
    let mut systems: Vec<(&str, &Samples)> = RUNS.iter().map(|run| run.0).zip(&samples).collect();
    systems.push(("no store", &idle));
    print!("{}", report::side_by_side(&FIGURES, &systems));
}

/// One run in a process of its own.
pub fn measure(job: &Job) {
    let (rate, compaction) = job.detail.split_once(',').expect("a rate and whether to compact");
    let rate: u64 = rate.parse().expect("a rate");
    let settings = Settings { compaction: compaction == "true", ..DEFAULTS };
    let data = job.directory.join("data");
    let values = Values::new();
    let mut log = Log::open(&data, settings, Box::new(|| {}));
    load(&mut log, job.keys, &values);
    let live = log.stats().live_bytes;

    let watch =
        Watch { peak: AtomicU64::new(0), is_over: AtomicBool::new(false), is_done: AtomicBool::new(false) };
    let mut turns = Turns::new(job.keys);
    let begun = Instant::now();
    thread::scope(|scope| {
        scope.spawn(|| watch.look(&data, live));
        while begun.elapsed() < Duration::from_secs(job.seconds) && !watch.is_over.load(Ordering::Relaxed) {
            let due = match rate {
                0 => PUTS,
                _ => (begun.elapsed().as_nanos() as u64 / (1_000_000_000 / rate))
                    .saturating_sub(turns.done)
                    .min(PUTS),
            };
            turns.take(&mut log, due, &values);
        }
        watch.is_done.store(true, Ordering::Relaxed);
    });
    let took = begun.elapsed().as_secs_f64();
    say("seconds", took);
    say("puts", turns.done as f64 / took / 1e3);
    turns.say();
    let ratio = |bytes: u64, of: u64| bytes as f64 / of as f64;
    let end = meter::disk_usage(&data);
    let peak = watch.peak.load(Ordering::Relaxed).max(end);
    say("peak", ratio(peak, live));
    say("bound", ratio(peak, bound(live)));
    say("end", ratio(end, live));
    log.settle();
    log.close();
}

/// The same clock on a loop that calls no store.
pub fn reference(job: &Job) {
    let page = vec![7; 4_096];
    let mut clock = Clock::new();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(job.seconds) {
        clock.begin_turn();
        for _ in 0..PUTS {
            clock.time(|| std::hint::black_box(crc32c::crc32c(&page)));
        }
    }
    say_calls(clock.latency(), clock.longest());
}

/// What the design allows a store to take.
fn bound(live: u64) -> u64 {
    2 * live + 3 * segment_length()
}

fn load(log: &mut Log, keys: u64, values: &Values) {
    for (done, at) in (1..).zip(shuffled(keys)) {
        log.put(&key(at), values.at(at));
        if done % BATCH == 0 {
            log.flush(Durability::Interval);
            log.maintain();
        }
    }
    log.settle();
}

/// Looks at the directory from aside.
struct Watch {
    peak: AtomicU64,
    is_over: AtomicBool,
    is_done: AtomicBool,
}

impl Watch {
    fn look(&self, data: &Path, live: u64) {
        while !self.is_done.load(Ordering::Relaxed) {
            let usage = meter::disk_usage(data);
            self.peak.fetch_max(usage, Ordering::Relaxed);
            if usage > GROWTH_MAX.max(4 * bound(live)) || meter::disk_left(data) < LEFT_MIN {
                self.is_over.store(true, Ordering::Relaxed);
            }
            thread::sleep(LOOK);
        }
    }
}

/// The loop, and a clock for each of the calls that it makes into the store.
struct Turns {
    keys: u64,
    rng: Rng,
    done: u64,
    refused: u64,
    put: Clock,
    get: Clock,
    flush: Clock,
    maintain: Clock,
}

impl Turns {
    fn new(keys: u64) -> Turns {
        let clocks = || Clock::new();
        let (put, get, flush, maintain) = (clocks(), clocks(), clocks(), clocks());
        Turns { keys, rng: Rng::new(41), done: 0, refused: 0, put, get, flush, maintain }
    }

    /// One turn: some puts, some gets, a flush, background work; with nothing to put, that alone when due.
    fn take(&mut self, log: &mut Log, due: u64, values: &Values) {
        let clocks = [&mut self.put, &mut self.get, &mut self.flush, &mut self.maintain];
        clocks.into_iter().for_each(Clock::begin_turn);
        let mut is_refused = false;
        for _ in 0..due {
            let (key, value) = (key(self.rng.below(self.keys)), values.at(self.rng.next_u64()));
            is_refused = self.put.time(|| log.try_put(&key, value)).is_none();
            if is_refused {
                self.refused += 1;
                break;
            }
            self.done += 1;
        }
        if due > 0 {
            for _ in 0..GETS {
                let key = key(self.rng.below(self.keys));
                self.get.time(|| log.get(&key, &mut |value| assert!(value.is_some(), "a key is lost")));
            }
            self.flush.time(|| log.flush(Durability::Interval));
        }
        if due > 0 || log.is_due() {
            self.maintain.time(|| log.maintain());
        }
        if is_refused {
            thread::yield_now();
        }
    }

    fn say(&self) {
        let tries = self.done + self.refused;
        say("refused", self.refused as f64 * 100.0 / tries as f64);
        let clocks = [&self.put, &self.get, &self.flush, &self.maintain];
        let mut calls = Latency::new();
        for (name, clock) in ["put", "get", "flush", "maintain"].into_iter().zip(clocks) {
            if clock.latency().count() > 0 {
                clock.say(name);
            }
            calls.merge(clock.latency());
        }
        say_calls(&calls, clocks.map(Clock::longest).into_iter().max().unwrap_or_default());
    }
}

fn say_calls(calls: &Latency, longest: Duration) {
    say("call_p9999", calls.micros(0.9999));
    say("call_max", calls.micros(1.0));
    say("call_own", longest.as_secs_f64() * 1e6);
    say("call_slow", calls.slower_than(Duration::from_millis(1)) as f64 * 1e6 / calls.count() as f64);
}
