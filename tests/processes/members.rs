//! Clusters that change while they are used: nodes join, leave, die and are replaced, by the commands that an
//! operator is told of.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;
use serde_json::Value as Json;
use tempfile::TempDir;

use crate::client::{Client, error_word, field, words_of};
use crate::load::{Answer, Answers, Load, Plan, check_all, counts};
use crate::process::{Ended, PATIENCE, Process, free_address, run};

/// How long a transition may take on a busy machine.
const TRANSITION_MAX: Duration = Duration::from_secs(90);

/// Nodes that found and join a cluster.
pub struct Members {
    directory: TempDir,
    flags: Vec<String>,
    nodes: Vec<Node>,
}

struct Node {
    name: String,
    client: SocketAddr,
    peer: SocketAddr,
    process: Option<Process>,
}

impl Members {
    /// `A` founds a cluster, and so many others join it at once.
    pub fn start(count: usize, flags: &[&str]) -> Members {
        let mut members = Members {
            directory: tempfile::tempdir().expect("a temporary directory"),
            flags: flags.iter().map(|&flag| flag.to_owned()).collect(),
            nodes: Vec::new(),
        };
        members.add("A", &[]);
        for name in ["B", "C", "D", "E", "F"].iter().take(count - 1) {
            members.join(name, &["--auto-commit"]);
        }
        members.await_settled(0, count);
        members
    }

    /// Starts a node that joins through the first one.
    pub fn join(&mut self, name: &str, flags: &[&str]) {
        let seed = self.nodes[0].peer.to_string();
        self.add(name, &[&["--join", &seed], flags].concat());
    }

    fn add(&mut self, name: &str, flags: &[&str]) {
        let node =
            Node { name: name.to_owned(), client: free_address(), peer: free_address(), process: None };
        self.nodes.push(node);
        self.start_node(self.nodes.len() - 1, flags);
    }

    /// Starts a node that is down, and waits until it serves.
    pub fn start_node(&mut self, at: usize, flags: &[&str]) {
        let node = &self.nodes[at];
        let mut arguments: Vec<String> = vec!["node".into(), "--name".into(), node.name.clone()];
        arguments.extend(["--segment-mib", "4", "--log", "info", "--data"].map(str::to_owned));
        arguments.push(self.data(at).to_str().expect("UTF-8").to_owned());
        arguments.extend(["--client".to_owned(), node.client.to_string()]);
        arguments.extend(["--peer".to_owned(), node.peer.to_string()]);
        arguments.extend(self.flags.iter().cloned());
        arguments.extend(flags.iter().map(|&flag| flag.to_owned()));
        let stderr = self.directory.path().join(format!("{}.stderr", node.name));
        let process = Process::start(&arguments, &stderr);
        assert!(process.line().starts_with(&format!("ready name={} ", node.name)));
        self.nodes[at].process = Some(process);
    }

    fn data(&self, at: usize) -> PathBuf {
        self.directory.path().join(&self.nodes[at].name)
    }

    pub fn client(&self, at: usize) -> SocketAddr {
        self.nodes[at].client
    }

    pub fn connect(&self, at: usize) -> Client {
        Client::connect(self.nodes[at].client)
    }

    pub fn kill(&mut self, at: usize) {
        self.nodes[at].process.take().expect("the node is up").kill();
    }

    /// Stops a node as a service manager does, and waits until it has.
    pub fn stop(&mut self, at: usize) {
        let mut process = self.nodes[at].process.take().expect("the node is up");
        process.signal("TERM");
        assert!(process.wait().success(), "{}", process.stderr());
    }

    /// What a node has logged.
    fn log(&self, at: usize) -> String {
        self.nodes[at].process.as_ref().expect("the node is up").stderr()
    }

    /// Runs `quorate cluster …` against a node.
    pub fn cluster(&self, at: usize, words: &[&str]) -> Ended {
        let address = self.nodes[at].client.to_string();
        run(&[&["cluster"], words, &["--node", &address]].concat())
    }

    /// Runs it, and expects it to succeed.
    pub fn order(&self, at: usize, words: &[&str]) -> String {
        let ended = self.cluster(at, words);
        assert_eq!(ended.code, Some(0), "{words:?}: {}{}", ended.stdout, ended.stderr);
        ended.stdout
    }

    /// How the cluster is, as a node sees it.
    fn overview(&self, at: usize) -> Json {
        let text = self.order(at, &["status", "--json"]);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    /// Waits until a node sees so many members, and nothing moves.
    pub fn await_settled(&self, at: usize, members: usize) {
        let give_up = Instant::now() + TRANSITION_MAX;
        loop {
            let overview = self.overview(at);
            let count = overview["members"].as_array().map_or(0, Vec::len);
            let staged = overview["staged"].as_array().map_or(0, Vec::len);
            if count == members && staged == 0 && overview["phase"] == "settled" {
                return;
            }
            assert!(Instant::now() < give_up, "no settled cluster of {members}: {overview}");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Waits until so many changes are staged.
    fn await_staged(&self, at: usize, changes: usize) {
        let give_up = Instant::now() + PATIENCE;
        while self.overview(at)["staged"].as_array().map(Vec::len) != Some(changes) {
            assert!(Instant::now() < give_up, "not {changes} changes staged: {}", self.overview(at));
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// A counter of a node.
    fn counter(&self, at: usize, name: &str) -> u64 {
        let status = self.connect(at).call(&["Q.STATUS"]);
        match field(field(&status, "counters"), name) {
            Value::Integer(count) => u64::try_from(*count).expect("counters count up"),
            other => panic!("{name} is {other:?}"),
        }
    }
}

/// Writes so many keys of so many bytes.
fn fill(client: &mut Client, keys: usize, bytes: usize) {
    let value = "v".repeat(bytes);
    for first in (0..keys).step_by(64) {
        let puts: Vec<_> = (first..keys.min(first + 64))
            .map(|number| words_of(&["SET", &format!("filler:{number}"), &value]))
            .collect();
        for reply in client.pipeline(&puts).expect("the node answers") {
            assert_eq!(error_word(&reply), None, "{reply:?}");
        }
    }
}

/// All of these were answered *ok*.
fn assert_no_failures(answers: &Answers) {
    let counts = counts(answers);
    assert!(counts.keys().all(|answer| *answer == Answer::Ok), "{counts:?}");
}

#[test]
fn a_cluster_grows_to_six_and_shrinks_to_three_under_load() {
    let mut members = Members::start(3, &["--transfer-mib", "2"]);
    fill(&mut members.connect(0), 6_000, 1_000);
    let nodes = [members.client(0), members.client(1)];
    let load = Load::start("grow", &nodes, Plan { clients: 6, pipeline: 4, options: &[] });
    load.await_acknowledged(500);
    for name in ["D", "E", "F"] {
        members.join(name, &[]);
    }
    members.await_staged(1, 3);
    let plan: Json = serde_json::from_str(&members.order(1, &["plan", "--json"])).expect("JSON");
    let planned = plan["bytes_moved"].as_u64().expect("the plan says how much moves");
    members.order(1, &["commit"]);
    // In the middle of it one of the old three dies.
    let give_up = Instant::now() + TRANSITION_MAX;
    while members.counter(3, "partitions_fetched") < 8 {
        assert!(Instant::now() < give_up, "nothing is fetched");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(members.overview(0)["phase"], "copying", "it was over before a node could be killed");
    members.kill(2);
    load.await_acknowledged(500);
    members.await_settled(0, 6);
    let moved: u64 = (3..6).map(|at| members.counter(at, "transfer_bytes_taken")).sum();
    assert!(moved * 10 <= planned * 11, "{moved} bytes moved where {planned} were planned");
    load.await_acknowledged(500);
    // Back to three: the dead one is removed, two that live leave.
    members.order(0, &["remove", "C"]);
    members.order(1, &["leave", "E"]);
    members.order(0, &["leave", "F"]);
    members.order(1, &["commit", "--wait"]);
    members.await_settled(0, 3);
    load.await_acknowledged(500);
    let answers = load.stop();
    assert_no_failures(&answers);
    members.stop(4);
    members.stop(5);
    check_all(&mut members.connect(3), &answers, &["GET"]);
    let mut client = members.connect(3);
    for number in 0..6_000 {
        let reply = client.call(&["STRLEN", &format!("filler:{number}")]);
        assert_eq!(reply, Value::Integer(1_000), "filler:{number}");
    }
    println!(
        "{} writes acknowledged, 0 failed, 0 lost; {moved} bytes moved of {planned} planned",
        answers.len()
    );
}
