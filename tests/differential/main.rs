//! Differential test: random programs of every supported command of Redis, run at a real `redis-server` and at a
//! real node; each reply must be the same byte for byte, in RESP2 and in RESP3, errors too.
//!
//! ```text
//! QUORATE_DIFFERENTIAL_ROUNDS=60     how often each command is run with each option, at least
//! QUORATE_DIFFERENTIAL_SEED=…        run this one program instead
//! ```
//!
//! `forms.rs` has the commands, `program.rs` draws programs from a seed, `run.rs` compares, `tally.rs` counts.
//! What may differ is in `allowed.txt`, a closed list. On a difference the seed and a program that was made as
//! short as it can be are printed.

mod allowed;
#[path = "../processes/client.rs"]
#[expect(dead_code, reason = "the tests of processes use more of it")]
mod client;
#[path = "../processes/cluster.rs"]
#[expect(dead_code, reason = "the tests of processes use more of it")]
mod cluster;
mod connection;
mod forms;
#[path = "../processes/process.rs"]
#[expect(dead_code, reason = "the tests of processes use more of it")]
mod process;
mod program;
mod run;
mod tally;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use allowed::Allowed;
use cluster::Cluster;
use connection::{Connection, Words, bulk, elements};
use process::{PATIENCE, Process, free_address};
use program::Program;
use run::{Difference, Pair};
use tally::Tally;

const ROUNDS: u64 = 60;
/// Programs at a cluster, for each round.
const CLUSTER_PROGRAMS: u64 = 6;
/// Programs after which every command must have come up often enough, for each round.
const PROGRAMS_MAX: u64 = 300;
/// Differences after which it is no use to go on.
const FINDINGS_MAX: usize = 20;
/// Of all replies, and of those to each command, so many are no errors, in percent.
const GOOD_MIN: f64 = 90.0;

/// A `redis-server` that keeps nothing.
struct Redis {
    _process: Process,
    _directory: TempDir,
    address: SocketAddr,
}

impl Redis {
    /// Starts one whose values may be as long as a node's.
    fn start() -> Redis {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let address = free_address();
        let mut command = Command::new("redis-server");
        command.current_dir(directory.path());
        command.args(["--port", &address.port().to_string(), "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--proto-max-bulk-len", "16777216", "--databases", "16"]);
        let process = Process::spawn(command, &directory.path().join("stderr"));
        let give_up = Instant::now() + PATIENCE;
        while !Connection::open(address).is_ok_and(|mut redis| redis.ask(&[b"ping"]) == b"+PONG\r\n") {
            assert!(Instant::now() < give_up, "redis-server does not serve");
            thread::sleep(Duration::from_millis(5));
        }
        Redis { _process: process, _directory: directory, address }
    }
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text} is no number")))
}

fn pair(redis: &Redis, ours: SocketAddr) -> Pair {
    Pair { redis: redis.address, ours, allowed: Allowed::new(), tally: Tally::new() }
}

fn shown(words: &Words) -> String {
    let word = |word: &Vec<u8>| format!("\"{}\"", word.escape_ascii());
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What was found, by command and the first word that Redis answered: one example of each is enough.
type Findings = BTreeMap<(String, String), String>;

/// Runs a program and keeps all that is to be said of a difference.
fn check(pair: &mut Pair, program: &Program, findings: &mut Findings) {
    let Some(difference) = pair.run(program, true) else { return };
    let (program, Difference { step, redis, ours }) = pair.shrink(program, difference);
    let of = &program.steps[step].commands[0];
    let name = String::from_utf8_lossy(&of[0]).to_lowercase();
    let word = redis.split(|byte| b" \r".contains(byte)).next().unwrap_or_default();
    let mut text = format!("QUORATE_DIFFERENTIAL_SEED={} ", program.seed);
    text += if program.is_pipelined { "in one pipeline:\n" } else { "one by one:\n" };
    for words in program.steps.iter().flat_map(|step| &step.commands) {
        text += &format!("    {}\n", shown(words));
    }
    text += &format!("  redis    {}\n", redis.escape_ascii());
    text += &format!("  quorate  {}\n", ours.escape_ascii());
    findings.insert((name, word.escape_ascii().to_string()), text);
    assert!(findings.len() < FINDINGS_MAX, "{}", told(findings));
}

fn told(findings: &Findings) -> String {
    let texts: Vec<&str> = findings.values().map(String::as_str).collect();
    format!("{} differences\n{}", texts.len(), texts.join("\n"))
}

/// Nothing is left out: every command that the node names is in the forms, but for its own.
fn check_forms(ours: SocketAddr) {
    let reply = Connection::open(ours).expect("the node is there").ask(&[b"command", b"list"]);
    let names = elements(&reply).into_iter().filter_map(bulk).map(String::from_utf8_lossy);
    let known: Vec<String> = forms::labels().collect();
    let missing: Vec<_> =
        names.filter(|name| !name.starts_with("q.") && !known.contains(&name.to_string())).collect();
    assert!(missing.is_empty(), "no form of {missing:?}");
}

#[test]
fn every_command_is_answered_as_redis_answers_it() {
    let (redis, cluster) = (Redis::start(), Cluster::start(1, &[]));
    let (mut pair, mut findings) = (pair(&redis, cluster.client(0)), Findings::new());
    if let Some(seed) = setting("QUORATE_DIFFERENTIAL_SEED") {
        check(&mut pair, &Program::new(seed, "", true), &mut findings);
        return assert!(findings.is_empty(), "{}", told(&findings));
    }
    check_forms(cluster.client(0));
    let rounds = setting("QUORATE_DIFFERENTIAL_ROUNDS").unwrap_or(ROUNDS);
    for seed in 1.. {
        check(&mut pair, &Program::new(seed, "", true), &mut findings);
        if pair.tally.least() >= rounds && pair.allowed.unused().is_empty() {
            break;
        }
        if seed > PROGRAMS_MAX * rounds {
            pair.tally.print();
            panic!("seldom run or unused in {seed} programs: {:?}", pair.allowed.unused());
        }
    }
    pair.tally.print();
    assert!(findings.is_empty(), "{}", told(&findings));
    let good = pair.tally.good_percent();
    assert!(good >= GOOD_MIN, "{good:.1} % of the replies are no errors");
    let bad = pair.tally.bad(100.0 - GOOD_MIN);
    assert!(bad.is_empty(), "errors, of replies to commands without a mistake: {bad:?}");
}

#[test]
fn a_cluster_of_three_answers_as_redis_does() {
    let (redis, cluster) = (Redis::start(), Cluster::start(3, &[]));
    let rounds = setting("QUORATE_DIFFERENTIAL_ROUNDS").unwrap_or(ROUNDS);
    let mut findings = Findings::new();
    for seed in 1..=rounds * CLUSTER_PROGRAMS {
        let mut pair = pair(&redis, cluster.client(seed as usize % 3));
        check(&mut pair, &Program::new(seed, &format!("{seed}:"), false), &mut findings);
    }
    assert!(findings.is_empty(), "{}", told(&findings));
}
