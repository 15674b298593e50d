//! Three nodes of one list as real processes on loopback, the last of which comes and goes.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, field};
use crate::process::Process;

const NAMES: [&str; 3] = ["A", "B", "C"];
/// How long the node may take to get what it missed.
const PATIENCE: Duration = Duration::from_secs(300);
/// Between two questions about how far it is: as often in each part.
pub const PAUSE: Duration = Duration::from_millis(50);

/// What the two that stay have given.
#[derive(Clone, Copy, Default)]
pub struct Moved {
    pub hints: u64,
    pub caught_up: u64,
    pub exchanged: u64,
    hints_left: u64,
    /// Runs of each that came to an end, whichever.
    runs: [u64; 2],
}

impl Moved {
    pub fn since(self, before: Moved) -> Moved {
        Moved {
            hints: self.hints - before.hints,
            caught_up: self.caught_up - before.caught_up,
            exchanged: self.exchanged - before.exchanged,
            runs: core::array::from_fn(|at| self.runs[at] - before.runs[at]),
            hints_left: self.hints_left,
        }
    }
}

/// The processes and their clients.
pub struct Members {
    program: PathBuf,
    folder: PathBuf,
    flags: Vec<String>,
    list: String,
    peers: Vec<SocketAddr>,
    /// The last one is away now and then.
    processes: Vec<Option<Process>>,
    clients: Vec<SocketAddr>,
    connections: Vec<Client>,
}

impl Members {
    /// Starts all of them.
    pub fn start(program: &Path, folder: &Path, flags: &[&str]) -> Members {
        let listeners = NAMES.map(|_| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let peers: Vec<SocketAddr> =
            listeners.iter().map(|listener| listener.local_addr().expect("a bound socket")).collect();
        drop(listeners);
        let list: Vec<String> =
            NAMES.iter().zip(&peers).map(|(name, peer)| format!("{name}@{peer}")).collect();
        let mut members = Members {
            program: program.to_owned(),
            folder: folder.to_owned(),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            list: list.join(","),
            peers,
            processes: Vec::new(),
            clients: Vec::new(),
            connections: Vec::new(),
        };
        for at in 0..NAMES.len() {
            let (process, client) = members.spawn(at);
            members.processes.push(Some(process));
            members.clients.push(client);
            members.connections.push(Client::connect(client));
        }
        // A node serves before its peers are connected; a write shows that a quorum is there.
        let give_up = Instant::now() + PATIENCE;
        while members.connections[0].call(&["SET", "warm", "up"]) != Value::Simple("OK".to_owned()) {
            assert!(Instant::now() < give_up, "no quorum");
            thread::sleep(PAUSE);
        }
        members
    }

    fn spawn(&self, at: usize) -> (Process, SocketAddr) {
        let mut command = Command::new(&self.program);
        command.args(["node", "--name", NAMES[at], "--client", "127.0.0.1:0"]);
        command.args(["--peer", &self.peers[at].to_string(), "--members", &self.list, "--log", "error"]);
        command.arg("--data").arg(self.folder.join(NAMES[at])).args(&self.flags);
        Process::start(&mut command)
    }

    /// Where those take requests that are always there.
    pub fn that_stay(&self) -> Vec<SocketAddr> {
        self.clients[..2].to_vec()
    }

    /// Kills the last one, as if its machine had lost power.
    pub fn kill_last(&mut self) {
        self.processes[2] = None;
    }

    /// Starts it again.
    pub fn start_last(&mut self) {
        let (process, client) = self.spawn(2);
        (self.processes[2], self.clients[2]) = (Some(process), client);
    }

    /// What those that stay have given until now.
    pub fn moved(&mut self) -> Moved {
        let mut sum = Moved::default();
        for (at, connection) in self.connections[..2].iter_mut().enumerate() {
            let answer = connection.call(&["Q.STATUS"]);
            let counter = |name| match field(field(&answer, "counters"), name) {
                Value::Integer(number) => u64::try_from(*number).expect("no count is negative"),
                other => panic!("no number: {other:?}"),
            };
            sum.hints += counter("hints_delivered");
            sum.caught_up += counter("catch_up_records_sent");
            sum.exchanged += counter("exchange_records_sent");
            sum.hints_left += counter("hints");
            sum.runs[at] = counter("catch_ups") + counter("catch_ups_broken") + counter("catch_up_gaps");
        }
        sum
    }

    /// Waits until no hint is left and both that stay have given what they have.
    pub fn await_returned(&mut self, before: Moved) {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let moved = self.moved().since(before);
            if moved.hints_left == 0 && moved.runs.iter().all(|&runs| runs > 0) {
                return;
            }
            assert!(Instant::now() < give_up, "the node does not get what it missed");
            thread::sleep(PAUSE);
        }
    }
}
