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
use crate::load::{Load, Plan, Rolling, assert_no_failures, check_all};
use crate::process::{Ended, PATIENCE, Process, free_address, run};

/// From one probe to the next.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
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
    members.await_staged(1, 3);
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

#[test]
fn a_rolling_restart_fails_no_request() {
    let mut members = Members::start(3, &[]);
    let load = Rolling::start(&[members.client(0), members.client(1), members.client(2)]);
    for at in 0..3 {
        thread::sleep(Duration::from_millis(300));
        members.stop(at);
        members.start_node(at, &[]);
        // Until all see it again: nobody takes two away at one time.
        for other in 0..3 {
            let mut client = members.connect(other);
            let give_up = Instant::now() + PATIENCE;
            while error_word(&client.call(&["Q.GET", "met", "R", "3"])).is_some() {
                assert!(Instant::now() < give_up, "not all nodes see each other");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
    thread::sleep(Duration::from_millis(300));
    let answers = load.stop();
    assert_no_failures(&answers);
    check_all(&mut members.connect(0), &answers, &["GET"]);
    println!("{} writes, none failed", answers.len());
}

#[test]
fn a_wiped_node_is_not_read_until_it_has_everything_again() {
    let mut members = Members::start(3, &[]);
    fill(&mut members.connect(0), 500, 100);
    members.kill(2);
    std::fs::remove_dir_all(members.data(2)).expect("its directory");
    // Written while it is away: with it back, two of three must have it.
    assert_eq!(error_word(&members.connect(0).call(&["SET", "while", "away"])), None);
    let seed = members.nodes[0].peer.to_string();
    members.start_node(2, &["--join", &seed]);
    members.await_staged(0, 1);
    // It serves, by the others.
    assert_eq!(members.connect(2).call(&["GET", "while"]), Value::Bulk(b"away".to_vec()));
    assert_eq!(members.connect(2).call(&["STRLEN", "filler:7"]), Value::Integer(100));
    let plan = members.order(1, &["plan"]);
    assert!(plan.contains('C'), "{plan}");
    members.order(1, &["commit", "--wait"]);
    members.await_settled(0, 3);
    let status = members.connect(2).call(&["Q.STATUS"]);
    assert_eq!(field(&status, "records"), &Value::Integer(501));
    // Alone with one other it has what was written before it came back.
    members.kill(1);
    for number in 0..500 {
        let reply = members.connect(2).call(&["STRLEN", &format!("filler:{number}")]);
        assert_eq!(reply, Value::Integer(100), "filler:{number}");
    }
}

#[test]
fn who_is_none_of_them_is_not_let_in_and_is_told_why() {
    let mut members = Members::start(3, &[]);
    // Another directory under a name whose member is there.
    members.join("Z", &["--auto-commit"]);
    members.await_settled(0, 4);
    members.order(0, &["leave", "Z"]);
    members.order(0, &["commit", "--wait"]);
    members.await_settled(0, 3);
    // It is told so, as nothing is wrong.
    await_line(&members, 3, "INFO cluster: this node has left the cluster and may be stopped");
    thread::sleep(2 * PROBE_INTERVAL);
    let log = members.log(3);
    assert!(!log.contains(" ERROR ") && !log.contains("was removed"), "{log}");
    // Who left does not come back with what it has.
    let seed = members.nodes[0].peer.to_string();
    members.stop(3);
    members.start_node(3, &["--join", &seed, "--auto-commit"]);
    await_line(&members, 3, "was removed from the cluster and does not return");
    // Over an empty directory it does.
    members.stop(3);
    std::fs::remove_dir_all(members.data(3)).expect("its directory");
    members.start_node(3, &["--join", &seed, "--auto-commit"]);
    members.await_settled(0, 4);
    // One that is removed while it lives is wrong there, and is told that.
    members.join("R", &["--auto-commit"]);
    members.await_settled(0, 5);
    members.order(0, &["remove", "R"]);
    members.order(0, &["commit", "--wait"]);
    await_line(&members, 4, "ERROR cluster: this node's directory was removed");
    assert!(!members.log(4).contains("this node has left"), "{}", members.log(4));
    members.stop(4);
    // Another number of partitions, and a cluster of its own.
    members.join("P", &["--partitions", "64"]);
    await_line(&members, 5, "the cluster has 256 partitions, and this node was started with 64");
    assert_eq!(members.overview(0)["members"].as_array().map(Vec::len), Some(4));
    for (words, named) in [
        (&["leave", "nobody"][..], "there is no member `nobody`"),
        (&["zone", "A", "a b"], "is no name"),
        (&["weight", "A", "x"], "x"),
        (&["commit", "0123456789abcdef"], "nothing is staged"),
        (&["revert"], "no transition is under way"),
    ] {
        let ended = members.cluster(1, words);
        assert_eq!(
            ended.code,
            Some(if words[0] == "weight" { 64 } else { 2 }),
            "{words:?}: {}",
            ended.stderr
        );
        assert!(ended.stderr.contains(named), "{words:?}: {}", ended.stderr);
    }
    // What the operator saw is not what is staged by now.
    members.order(0, &["weight", "A", "2"]);
    let plan: Json = serde_json::from_str(&members.order(0, &["plan", "--json"])).expect("JSON");
    members.order(1, &["weight", "B", "3"]);
    let ended = members.cluster(0, &["commit", plan["hash"].as_str().expect("a hash")]);
    assert!(ended.stderr.contains("look at the plan again"), "{}", ended.stderr);
    members.order(0, &["unstage"]);
    // Nobody would have a copy.
    for name in ["A", "B", "C"] {
        members.order(0, &["remove", name]);
    }
    let ended = members.cluster(0, &["commit"]);
    assert!(ended.stderr.contains("would have no copy left"), "{}", ended.stderr);
    assert_eq!(members.overview(0)["phase"], "settled");
}

/// Waits until a node has logged a line with this text.
fn await_line(members: &Members, at: usize, text: &str) {
    let give_up = Instant::now() + PATIENCE;
    while !members.log(at).contains(text) {
        assert!(Instant::now() < give_up, "`{text}` was not logged: {}", members.log(at));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_proxy_holds_nothing_and_serves_everything() {
    let mut members = Members::start(3, &[]);
    let client = free_address();
    let seeds = format!("127.0.0.1:9,{}", members.nodes[1].peer);
    let arguments = ["proxy", "--join", &seeds, "--client", &client.to_string()].map(str::to_owned);
    let stderr = members.directory.path().join("proxy.stderr");
    let proxy = Process::start(&arguments, &stderr);
    assert!(proxy.line().starts_with("ready name=proxy-"));
    let mut connection = Client::connect(client);
    for number in 0..100 {
        assert_eq!(error_word(&connection.call(&["SET", &format!("by:{number}"), "proxy"])), None);
    }
    members.join("D", &["--auto-commit"]);
    members.await_settled(0, 4);
    for number in 0..100 {
        let reply = connection.call(&["GET", &format!("by:{number}")]);
        assert_eq!(reply, Value::Bulk(b"proxy".to_vec()));
    }
    let status = connection.call(&["Q.STATUS"]);
    assert_eq!(field(&status, "records"), &Value::Integer(0));
}

#[test]
fn lost_keepers_are_replaced_by_force_and_by_nothing_else() {
    let mut members = Members::start(3, &[]);
    members.join("D", &["--auto-commit"]);
    members.await_settled(0, 4);
    let refused = members.cluster(0, &["keepers", "--force"]);
    assert!(refused.stderr.contains("nothing needs to be forced"), "{}", refused.stderr);
    let overview = members.overview(0);
    let keepers: Vec<&str> =
        overview["keepers"].as_array().expect("a list").iter().filter_map(Json::as_str).collect();
    let at = |members: &Members, name: &str| {
        members.nodes.iter().position(|node| node.name == name).expect("there is one")
    };
    assert_eq!(error_word(&members.connect(0).call(&["SET", "kept", "value"])), None);
    let lost = [at(&members, keepers[0]), at(&members, keepers[1])];
    let left = (0..4).find(|at| !lost.contains(at)).expect("two of four are left");
    let other = (left + 1..4).find(|at| !lost.contains(at)).expect("two of four are left");
    for at in lost {
        members.kill(at);
    }
    thread::sleep(Duration::from_millis(300));
    let waited = members.cluster(left, &["weight", &members.nodes[left].name.clone(), "2"]);
    assert_ne!(waited.code, Some(0), "without keepers nothing changes: {}", waited.stdout);
    members.order(left, &["keepers", "--force"]);
    let give_up = Instant::now() + PATIENCE;
    while members.overview(other)["era"] != 2 {
        assert!(Instant::now() < give_up, "the era does not spread: {}", members.overview(other));
        thread::sleep(Duration::from_millis(20));
    }
    // Those who are lost are removed, and the data is where it was.
    for at in lost {
        let name = members.nodes[at].name.clone();
        members.order(left, &["remove", &name]);
    }
    members.order(left, &["commit", "--wait"]);
    members.await_settled(other, 2);
    assert_eq!(members.connect(other).call(&["GET", "kept"]), Value::Bulk(b"value".to_vec()));
    // One that was only away follows the new era, and is no member any more.
    members.start_node(lost[0], &[]);
    let give_up = Instant::now() + PATIENCE;
    while members.overview(lost[0])["era"] != 2 {
        assert!(Instant::now() < give_up, "{}", members.overview(lost[0]));
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_copy_of_a_founder_that_is_alone_says_why_it_serves_nothing() {
    let mut members = Members::start(1, &[]);
    assert_eq!(error_word(&members.connect(0).call(&["SET", "key", "value"])), None);
    members.stop(0);
    let data = members.data(0);
    let (copy, restored) = (data.with_extension("copy"), data.with_extension("restored"));
    let copied = std::process::Command::new("cp").arg("-r").arg(&data).arg(&copy).status();
    assert!(copied.expect("cp starts").success());
    let original = data.with_extension("original");
    let rename = |from: &PathBuf, to: &PathBuf| std::fs::rename(from, to).expect("it is ours");
    rename(&data, &original);
    rename(&copy, &data);
    members.start_node(0, &[]);
    await_line(&members, 0, "ERROR cluster: this directory was copied");
    assert!(members.order(0, &["status"]).contains("refused   this directory was copied"));
    assert_eq!(error_word(&members.connect(0).call(&["GET", "key"])), Some("NOREPLICAS"));
    members.stop(0);
    // What it says to do helps.
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let made = run(&["store", "restore", &path(&data), &path(&restored)]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    for good in [&restored, &original] {
        std::fs::remove_dir_all(&data).expect("its directory");
        rename(good, &data);
        members.start_node(0, &[]);
        assert_eq!(members.connect(0).call(&["GET", "key"]), Value::Bulk(b"value".to_vec()));
        assert_eq!(members.log(0).matches("directory was copied").count(), 1, "{}", members.log(0));
        members.stop(0);
    }
}

#[test]
fn a_founder_that_was_alone_is_restored_from_a_backup() {
    let mut members = Members::start(1, &[]);
    assert_eq!(error_word(&members.connect(0).call(&["SET", "key", "value"])), None);
    members.stop(0);
    let data = members.data(0);
    let (backup, restored) = (data.with_extension("backup"), data.with_extension("restored"));
    let path = |path: &PathBuf| path.to_str().expect("UTF-8").to_owned();
    let made = run(&["store", "backup", &path(&backup), "--data", &path(&data)]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let made = run(&["store", "restore", &path(&backup), &path(&restored)]);
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    assert!(made.stdout.contains("founds the cluster anew"), "{}", made.stdout);
    std::fs::remove_dir_all(&data).expect("its directory");
    std::fs::rename(&restored, &data).expect("it is ours");
    members.start_node(0, &[]);
    assert_eq!(members.connect(0).call(&["GET", "key"]), Value::Bulk(b"value".to_vec()));
    // And it grows again.
    members.join("B", &["--auto-commit"]);
    members.await_settled(0, 2);
    assert_eq!(members.connect(1).call(&["GET", "key"]), Value::Bulk(b"value".to_vec()));
}
