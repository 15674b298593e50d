//! The same work for every engine, in the same run: what an application would choose one by.
//!
//! Each engine works in processes of its own: one for most figures, one that opens what was closed, one
//! that is killed in the middle of overwriting, and one that opens what that left. Repetitions go round
//! the engines, so that all of them meet the same neighbours.

use std::time::{Duration, Instant};

use crate::engine::{self, Engine, NAMES};
use crate::meter::{self, Stopwatch};
use crate::options::Options;
use crate::part::{self, Job};
use crate::report::{self, Better, Figure};
use crate::samples::{Samples, say};
use crate::sync;
use crate::workload::{BATCH, GETS, Key, VALUE_LENGTH, Values, key, random, shuffled};

const GETS_MAX: u64 = 1_000_000;
const OVERWRITES: u64 = 3;
/// How long engines with background work may tidy up.
const REST: Duration = Duration::from_secs(3);

const FIGURES: [Figure; 24] = [
    figure("load", "load, batches of 100, k/s", Better::More),
    figure("load_cpu", "load, CPU µs a put", Better::Less),
    figure("over", "overwrite, batches of 100, k/s", Better::More),
    figure("over_cpu", "overwrite, CPU µs a put", Better::Less),
    figure("get", "get, random, k/s", Better::More),
    figure("batch", "get, random, batches of 32, k/s", Better::More),
    figure("absent", "get, absent, k/s", Better::More),
    figure("scan", "scan in the engine's order, k/s", Better::More),
    figure("one_rate", "sync commit, 1 writer, /s", Better::More),
    figure("one_p50", "sync commit, 1 writer, p50 µs", Better::Less),
    figure("one_p99", "sync commit, 1 writer, p99 µs", Better::Less),
    figure("many_rate", "sync commit, 16 writers, /s", Better::More),
    figure("many_p50", "sync commit, 16 writers, p50 µs", Better::Less),
    figure("many_p99", "sync commit, 16 writers, p99 µs", Better::Less),
    figure("close", "clean close, ms", Better::Less),
    figure("clean", "restart after a clean close, ms", Better::Less),
    figure("killed", "restart after kill -9, ms", Better::Less),
    figure("memory", "anonymous memory after load, B a key", Better::Less),
    figure("memory_end", "the same after all overwrites", Better::Less),
    figure("disk", "disk per live byte, loaded", Better::Less),
    figure("disk_over", "disk per live byte, overwritten 3 times", Better::Less),
    figure("disk_rest", "the same 3 s later", Better::Less),
    figure("worst", "longest batch of the load, ms", Better::Less),
    figure("over_worst", "longest batch of the overwrites, ms", Better::Less),
];

const fn figure(name: &'static str, title: &'static str, better: Better) -> Figure {
    Figure { name, title, better }
}

/// Measures all engines and prints them side by side.
pub fn print(options: &Options) {
    let mut samples: Vec<Samples> = NAMES.iter().map(|_| Samples::default()).collect();
    for _ in 0..options.reps {
        for (name, samples) in NAMES.iter().zip(&mut samples) {
            let home = options.fresh_directory();
            let job = |part: &str| Job::new(part, home.path(), options.keys(), options.seconds).with(name);
            job("peers").run(samples);
            samples_of_opening(&job("reopen"), "clean", samples);
            job("dirty").run_and_kill();
            samples_of_opening(&job("reopen"), "killed", samples);
        }
    }
    println!("\n## Peers\n");
    println!(
        "{} keys of 16 bytes, values of {VALUE_LENGTH} incompressible bytes, random order. Commits are handed to the \
         kernel unless they are called sync commits; caches of 1 GiB. Restart: from opening to the first get, \
         page cache warm.\n",
        options.keys()
    );
    let systems: Vec<(&str, &Samples)> = NAMES.into_iter().zip(&samples).collect();
    print!("{}", report::side_by_side(&FIGURES, &systems));
}

/// Times an opening under the name of what went before it.
fn samples_of_opening(job: &Job, name: &str, samples: &mut Samples) {
    let mut opened = Samples::default();
    job.run(&mut opened);
    for millis in opened.all("opened") {
        samples.take(&format!("{name}\t{millis}"));
    }
}

/// Everything that one process can tell of an engine.
pub fn measure(job: &Job) {
    let values = Values::new();
    let before = meter::anonymous_memory();
    let engine = engine::open(&job.detail, &job.directory);
    let live = (job.keys * (size_of::<Key>() + VALUE_LENGTH) as u64) as f64;
    let say_disk = |name| say(name, meter::disk_usage(&job.directory) as f64 / live);
    let say_memory = |name| say(name, (meter::anonymous_memory() - before) / job.keys as f64);

    let worst = write(&*engine, "load", shuffled(job.keys), &values);
    say("worst", worst.as_secs_f64() * 1e3);
    engine.settle();
    say_memory("memory");
    say_disk("disk");

    read(&*engine, job.keys);

    let mut worst = Duration::ZERO;
    for round in 0..OVERWRITES {
        worst = worst.max(write(&*engine, "over", random_once(job.keys, round), &values));
    }
    say("over_worst", worst.as_secs_f64() * 1e3);
    engine.settle();
    say_disk("disk_over");
    let begun = Instant::now();
    while begun.elapsed() < REST {
        engine.rest();
        std::thread::sleep(Duration::from_millis(1));
    }
    engine.settle();
    say_disk("disk_rest");
    say_memory("memory_end");

    for (name, writers) in [("one", 1), ("many", 16)] {
        sync::say_commits(name, &sync::commits(&*engine, writers, job.keys, &values));
    }
    let begun = Instant::now();
    engine.close();
    say("close", begun.elapsed().as_secs_f64() * 1e3);
}

/// Opens what an earlier process left.
pub fn reopen(job: &Job) {
    let begun = Instant::now();
    let engine = engine::open(&job.detail, &job.directory);
    let mut is_found = false;
    engine.get(&mut [key(job.keys / 2)].into_iter(), &mut |value| is_found = value.is_some());
    say("opened", begun.elapsed().as_secs_f64() * 1e3);
    assert!(is_found, "a key is lost");
    engine.close();
}

/// Overwrites a quarter of the keys and waits to be killed.
pub fn dirty(job: &Job) {
    let values = Values::new();
    let engine = engine::open(&job.detail, &job.directory);
    let numbers: Vec<u64> = random(job.keys, job.keys / 4, 6).collect();
    for batch in numbers.chunks(BATCH as usize) {
        let pairs: Vec<(Key, &[u8])> = batch.iter().map(|at| (key(*at), values.at(*at))).collect();
        engine.write(&pairs);
    }
    part::await_death();
}

/// Writes in batches and says under `name` what it cost; returns how long the longest batch took.
fn write(engine: &dyn Engine, name: &str, numbers: impl Iterator<Item = u64>, values: &Values) -> Duration {
    let watch = Stopwatch::start();
    let mut pairs: Vec<(Key, &[u8])> = Vec::with_capacity(BATCH as usize);
    let (mut count, mut worst) = (0, Duration::ZERO);
    let mut numbers = numbers.peekable();
    while numbers.peek().is_some() {
        pairs.clear();
        pairs.extend(numbers.by_ref().take(BATCH as usize).map(|at| (key(at), values.at(at ^ count))));
        let begun = Instant::now();
        engine.write(&pairs);
        worst = worst.max(begun.elapsed());
        count += pairs.len() as u64;
    }
    let took = watch.read();
    say(name, count as f64 / took.wall.as_secs_f64() / 1e3);
    say(&format!("{name}_cpu"), took.process.as_secs_f64() * 1e6 / count as f64);
    worst
}

/// Every key once, in another random order each round.
fn random_once(count: u64, round: u64) -> impl Iterator<Item = u64> {
    let shift = count / (round + 2);
    shuffled(count).map(move |at| (at + shift) % count)
}

fn read(engine: &dyn Engine, keys: u64) {
    let draws = keys.min(GETS_MAX);
    let rate = |begun: Instant| draws as f64 / begun.elapsed().as_secs_f64() / 1e3;
    let mut found = 0;
    // The first pass warms what there is to warm.
    for seed in [11, 12] {
        found = 0;
        let begun = Instant::now();
        engine.get(&mut random(keys, draws, seed).map(key), &mut |value| {
            found += u64::from(value.is_some_and(|value| value.len() == VALUE_LENGTH));
        });
        if seed == 12 {
            say("get", rate(begun));
        }
    }
    assert_eq!(found, draws, "keys are lost");

    let begun = Instant::now();
    let mut absent = random(keys, draws, 13).map(|at| key(keys + at));
    engine.get(&mut absent, &mut |value| assert!(value.is_none(), "nobody put this"));
    say("absent", rate(begun));

    let mut batch = Vec::with_capacity(GETS);
    let mut numbers = random(keys, draws / GETS as u64 * GETS as u64, 14).peekable();
    let (begun, mut found) = (Instant::now(), 0);
    while numbers.peek().is_some() {
        batch.clear();
        batch.extend(numbers.by_ref().take(GETS).map(key));
        if !engine.get_batch(&batch, &mut |value| found += u64::from(value.is_some())) {
            break;
        }
    }
    if found > 0 {
        say("batch", rate(begun));
    }

    let begun = Instant::now();
    assert_eq!(engine.scan(), keys, "a scan visits each key once");
    say("scan", keys as f64 / begun.elapsed().as_secs_f64() / 1e3);
}
