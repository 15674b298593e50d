//! Six nodes as real processes on loopback, how they are ordered about, and what they cost.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, error_word, field, text};
use crate::process::Process;

/// Names of the members; the first founds the cluster, and the last is drained and filled again.
pub const NAMES: [&str; 6] = ["A", "B", "C", "D", "E", "F"];

/// How long the cluster may take for anything.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two questions about how far it is: as often in both halves.
const PAUSE: Duration = Duration::from_millis(50);
/// Clock ticks in which the kernel reports processor time: USER_HZ is 100 on every Linux.
const TICK: Duration = Duration::from_millis(10);

/// The processes and their clients.
pub struct Members {
    processes: Vec<Process>,
    clients: Vec<SocketAddr>,
    connections: Vec<Client>,
}

/// What the members have counted.
#[derive(Clone, Copy, Default)]
pub struct Counted {
    pub bytes_taken: u64,
    pub fetched: u64,
    pub dropped: u64,
}

impl Members {
    /// Founds a cluster of six.
    pub fn start(program: &Path, folder: &Path, flags: &[String]) -> Members {
        let mut members = Members { processes: Vec::new(), clients: Vec::new(), connections: Vec::new() };
        let mut seed: Option<String> = None;
        for name in NAMES {
            let peer = free_address().to_string();
            let mut command = Command::new(program);
            command.args(["node", "--name", name, "--client", "127.0.0.1:0", "--peer", &peer]);
            command.args(["--log", "error", "--data"]).arg(folder.join(name)).args(flags);
            if let Some(seed) = &seed {
                command.args(["--auto-commit", "--join", seed]);
            }
            members.spawn(&mut command);
            seed.get_or_insert(peer);
            members.await_settled(members.processes.len());
        }
        members
    }

    fn spawn(&mut self, command: &mut Command) {
        let (process, client) = Process::start(command);
        self.processes.push(process);
        self.clients.push(client);
        self.connections.push(Client::connect(client));
    }

    /// Where a member takes requests.
    pub fn client(&self, at: usize) -> SocketAddr {
        self.clients[at % self.clients.len()]
    }

    fn order(&mut self, words: &[&str]) -> Value {
        let answer = self.connections[0].call(&[&["Q.CLUSTER"], words].concat());
        assert_eq!(error_word(&answer), None, "{words:?}: {answer:?}");
        answer
    }

    fn is_settled(&mut self, count: usize) -> bool {
        let answer = self.order(&["STATUS"]);
        let length = |name| match field(&answer, name) {
            Value::Array(items) => items.len(),
            other => panic!("{name} is {other:?}"),
        };
        text(field(&answer, "phase")) == "settled" && length("members") == count && length("staged") == 0
    }

    fn await_settled(&mut self, count: usize) {
        let give_up = Instant::now() + PATIENCE;
        while !self.is_settled(count) {
            assert!(Instant::now() < give_up, "the cluster of {count} does not settle");
            thread::sleep(PAUSE);
        }
    }

    /// Gives the last member a weight; returns how many bytes that is to move.
    pub fn commit_weight(&mut self, weight: &str) -> u64 {
        self.order(&["WEIGHT", NAMES[NAMES.len() - 1], weight]);
        let plan = self.order(&["PLAN"]);
        let planned = number(field(&plan, "bytes_moved"));
        self.order(&["COMMIT", &text(field(&plan, "hash"))]);
        planned
    }

    /// Waits until nothing moves, or until a time: so both halves ask as often.
    pub fn watch(&mut self, until: Option<Instant>) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let is_settled = self.is_settled(NAMES.len());
            if until.map_or(is_settled, |until| Instant::now() >= until) {
                return;
            }
            assert!(Instant::now() < give_up, "the transition does not end");
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the copies that moved away are dropped; `before` was counted before they moved.
    pub fn await_dropped(&mut self, before: Counted) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let now = self.counted();
            if now.dropped - before.dropped >= now.fetched - before.fetched {
                return;
            }
            assert!(Instant::now() < give_up, "old copies are not dropped");
            thread::sleep(PAUSE);
        }
    }

    /// The counters of all members together.
    pub fn counted(&mut self) -> Counted {
        let mut sum = Counted::default();
        for connection in &mut self.connections {
            let answer = connection.call(&["Q.STATUS"]);
            let counter = |name| number(field(field(&answer, "counters"), name));
            sum.bytes_taken += counter("transfer_bytes_taken");
            sum.fetched += counter("partitions_fetched");
            sum.dropped += counter("partitions_dropped");
        }
        sum
    }

    /// Processor time of all members since they began.
    pub fn cpu(&self) -> Duration {
        let of = |process: &Process| {
            let stat = fs::read_to_string(format!("/proc/{}/stat", process.id())).unwrap_or_default();
            // utime and stime, counted from behind the name in brackets.
            let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
            let ticks = behind.split_whitespace().skip(11).take(2);
            TICK * ticks.map(|ticks| ticks.parse::<u32>().unwrap_or_default()).sum()
        };
        self.processes.iter().map(of).sum()
    }
}

fn number(answer: &Value) -> u64 {
    match answer {
        Value::Integer(number) => u64::try_from(*number).expect("no count is negative"),
        other => panic!("no number: {other:?}"),
    }
}

/// An address that nobody listened on a moment ago.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("a bound socket")
}
