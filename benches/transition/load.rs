//! A load at a fixed rate, SET and GET by turns. Latency counts from the moment a request was *meant* to leave:
//! a request that waits behind a slow one is slow, too, so a stall is not counted once where it hits hundreds.
//!
//! Each connection has keys of its own, so it knows what every GET must give: the last SET it had an answer to.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, words_of};

/// What is asked, and how often.
#[derive(Clone, Copy)]
pub struct Shape {
    pub connections: usize,
    pub keys: usize,
    pub value_bytes: usize,
    /// Operations a second of all connections; none is a closed loop.
    pub rate: Option<f64>,
}

/// One request: when it was meant to leave, and how long its answer took from there.
#[derive(Clone, Copy)]
pub struct Sample {
    pub meant: Instant,
    pub latency: Duration,
}

/// What a connection has seen.
pub struct Seen {
    pub samples: Vec<Sample>,
    pub failures: Vec<String>,
    at: usize,
    /// The number in the last acknowledged value of each of its keys; none if an answer was an error.
    values: Vec<Option<u64>>,
}

/// A load under way.
pub struct Load {
    is_over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Seen>>,
}

impl Load {
    /// Begins, with what an earlier load has left behind.
    pub fn start(shape: Shape, nodes: &[SocketAddr], before: Vec<Seen>) -> Load {
        let is_over = Arc::new(AtomicBool::new(false));
        let began = Instant::now();
        let threads = before.into_iter().map(|seen| {
            let (is_over, address) = (Arc::clone(&is_over), nodes[seen.at % nodes.len()]);
            thread::spawn(move || run(shape, address, seen, began, &is_over))
        });
        let threads = threads.collect();
        Load { is_over, threads }
    }

    /// Ends it.
    pub fn stop(self) -> Vec<Seen> {
        self.is_over.store(true, Ordering::Relaxed);
        self.threads.into_iter().map(|thread| thread.join().expect("a connection that ended")).collect()
    }
}

/// Writes all keys once.
pub fn fill(shape: Shape, nodes: &[SocketAddr]) -> Vec<Seen> {
    let connections = (0..shape.connections).map(|at| {
        let address = nodes[at % nodes.len()];
        thread::spawn(move || {
            let count = (shape.keys - at).div_ceil(shape.connections);
            let mut seen =
                Seen { samples: Vec::new(), failures: Vec::new(), at, values: vec![Some(0); count] };
            let mut client = Client::connect(address);
            for first in (0..count).step_by(BATCH) {
                let own = first..count.min(first + BATCH);
                let sets: Vec<_> = own.map(|own| set(shape, at, own, 0)).collect();
                let answers = client.pipeline(&sets).expect("the node answers");
                let wrong = answers.iter().filter(|answer| **answer != Value::Simple("OK".to_owned()));
                seen.failures.extend(wrong.map(|answer| format!("filling: {answer:?}")));
            }
            seen
        })
    });
    let connections: Vec<JoinHandle<Seen>> = connections.collect();
    connections.into_iter().map(|thread| thread.join().expect("a connection that ended")).collect()
}

/// Reads everything that was acknowledged; says what is lost.
fn lost(shape: Shape, address: SocketAddr, seen: &[Seen]) -> Vec<String> {
    let mut client = Client::connect(address);
    let mut lost = Vec::new();
    for Seen { at, values, .. } in seen {
        for first in (0..values.len()).step_by(BATCH) {
            let own = first..values.len().min(first + BATCH);
            let gets: Vec<_> = own.clone().map(|own| words_of(&["GET", &key(shape, *at, own)])).collect();
            let answers = client.pipeline(&gets).expect("the node answers");
            for (own, answer) in own.zip(answers) {
                if values[own].is_some_and(|number| !holds(&answer, number, shape.value_bytes)) {
                    lost.push(format!("{} is {}", key(shape, *at, own), brief(&answer)));
                }
            }
        }
    }
    lost
}

/// Keys that are filled or read at one time.
const BATCH: usize = 32;

fn run(shape: Shape, address: SocketAddr, mut seen: Seen, began: Instant, is_over: &AtomicBool) -> Seen {
    let mut client = Client::connect(address);
    let gap = shape.rate.map(|rate| Duration::from_secs_f64(shape.connections as f64 / rate));
    let mut random = 0x9E37_79B9_7F4A_7C15 ^ (seen.at as u64 + 1);
    // The connections take turns.
    let mut meant = began + gap.unwrap_or_default() * seen.at as u32 / shape.connections as u32;
    let mut number = seen.samples.len() as u64;
    while !is_over.load(Ordering::Relaxed) {
        match gap {
            Some(_) => thread::sleep(meant.saturating_duration_since(Instant::now())),
            None => meant = Instant::now(),
        }
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        number += 1;
        let own = (random % seen.values.len() as u64) as usize;
        let is_set = number.is_multiple_of(2);
        let command = match is_set {
            true => set(shape, seen.at, own, number),
            false => words_of(&["GET", &key(shape, seen.at, own)]),
        };
        let answer = client.pipeline(&[command]).expect("the node answers").remove(0);
        seen.samples.push(Sample { meant, latency: meant.elapsed() });
        meant += gap.unwrap_or_default();
        let is_right = match is_set {
            true => answer == Value::Simple("OK".to_owned()),
            false => seen.values[own].is_none_or(|number| holds(&answer, number, shape.value_bytes)),
        };
        if is_set {
            seen.values[own] = is_right.then_some(number);
        }
        if !is_right {
            let verb = if is_set { "SET" } else { "GET" };
            seen.failures.push(format!("{verb} {}: {}", key(shape, seen.at, own), brief(&answer)));
        }
    }
    seen
}

fn key(shape: Shape, at: usize, own: usize) -> String {
    format!("key:{:012}", own * shape.connections + at)
}

fn set(shape: Shape, at: usize, own: usize, number: u64) -> Vec<Vec<u8>> {
    words_of(&["SET", &key(shape, at, own), &value(number, shape.value_bytes)])
}

fn value(number: u64, bytes: usize) -> String {
    format!("{number:0bytes$}")
}

fn holds(answer: &Value, number: u64, bytes: usize) -> bool {
    matches!(answer, Value::Bulk(held) if *held == value(number, bytes).into_bytes())
}

fn brief(answer: &Value) -> String {
    match answer {
        // The number stands at the end.
        Value::Bulk(bytes) => String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(20)..]).into_owned(),
        other => format!("{other:?}"),
    }
}

/// Prints what failed and what was acknowledged and is lost; true if nothing.
pub fn print_problems(shape: Shape, node: SocketAddr, seen: &[Seen]) -> bool {
    let lost = lost(shape, node, seen);
    let failures: Vec<&String> = seen.iter().flat_map(|seen| &seen.failures).collect();
    println!("{} requests failed, {} acknowledged writes lost", failures.len(), lost.len());
    let is_good = failures.is_empty() && lost.is_empty();
    for problem in failures.into_iter().chain(&lost).take(10) {
        println!("  {problem}");
    }
    is_good
}
