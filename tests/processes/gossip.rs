//! Who is there, as processes see each other: one that is stopped for a while, and one that is killed.

use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, field, text};
use crate::cluster::{Cluster, name};
use crate::process::{PATIENCE, Process, free_address};

/// Bytes of membership that a node of three may send in a second: a probe and the answers to those of two
/// others, and as much again while one of them does not answer.
pub const BYTES_A_SECOND_MAX: u64 = 1_500;

/// What a node says of itself and its cluster.
pub struct Status(Value);

impl Status {
    pub fn of(client: &mut Client) -> Status {
        Status(client.call(&["Q.STATUS"]))
    }

    /// What it thinks of a member.
    pub fn verdict(&self, of: usize) -> String {
        let Value::Array(members) = field(&self.0, "members") else { panic!("no members: {:?}", self.0) };
        let is_meant = |member: &&Value| text(field(member, "name")) == name(of);
        text(field(members.iter().find(is_meant).expect("all members are listed"), "verdict"))
    }

    pub fn counter(&self, name: &str) -> u64 {
        match field(field(&self.0, "counters"), name) {
            Value::Integer(count) => u64::try_from(*count).expect("counters count up"),
            other => panic!("{name} is {other:?}"),
        }
    }

    /// How many records it holds.
    pub fn records(&self) -> Value {
        field(&self.0, "records").clone()
    }

    pub fn layout(&self) -> (Value, Value) {
        (field(&self.0, "layout_version").clone(), field(&self.0, "layout_hash").clone())
    }
}

/// Waits until each of these clients' nodes thinks of a member in one of these words.
fn await_verdict(clients: &mut [Client], of: usize, words: &[&str]) {
    let give_up = Instant::now() + PATIENCE;
    for client in clients {
        while !words.contains(&Status::of(client).verdict(of).as_str()) {
            assert!(Instant::now() < give_up, "{} is not {words:?} within {PATIENCE:?}", name(of));
            thread::sleep(Duration::from_millis(20));
        }
    }
}

#[test]
fn a_node_that_was_stopped_comes_back_and_no_layout_changes() {
    let mut cluster = Cluster::start(3, &[]);
    let mut clients: Vec<Client> = (0..3).map(|node| cluster.connect(node)).collect();
    for of in 0..3 {
        await_verdict(&mut clients, of, &["alive"]);
    }
    let before: Vec<Status> = clients.iter_mut().map(Status::of).collect();
    let begun = Instant::now();
    cluster.process(2).signal("STOP");
    let stopped = Instant::now();
    await_verdict(&mut clients[..2], 2, &["suspect", "down"]);
    thread::sleep(Duration::from_secs(3).saturating_sub(stopped.elapsed()));
    cluster.process(2).signal("CONT");
    for of in 0..3 {
        await_verdict(&mut clients, of, &["alive"]);
    }
    let after: Vec<Status> = clients.iter_mut().map(Status::of).collect();
    let seconds = begun.elapsed().as_secs() + 1;
    for (before, after) in before.iter().zip(&after) {
        assert_eq!(before.layout(), after.layout());
        let sent = |name| after.counter(name) - before.counter(name);
        let (bytes, datagrams) = (sent("gossip_bytes_sent"), sent("gossip_datagrams_sent"));
        assert!(bytes > 0 && datagrams > 0, "nothing was counted");
        assert!(bytes <= seconds * BYTES_A_SECOND_MAX, "{bytes} bytes in {seconds} s");
        assert_eq!(after.counter("gossip_refused_twin"), 0);
    }
    assert!(after[2].counter("gossip_stalls") > 0, "it does not know that it was stopped");
    for node in 0..2 {
        let log = cluster.process(node).stderr();
        assert!(log.contains("gossip: C does not answer") && log.contains("gossip: C is alive"), "{log}");
    }
}

#[test]
fn a_killed_node_is_down_for_the_others_and_alive_when_it_is_started_again() {
    let mut cluster = Cluster::start(3, &[]);
    let mut clients: Vec<Client> = (0..2).map(|node| cluster.connect(node)).collect();
    await_verdict(&mut clients, 2, &["alive"]);
    cluster.kill(2);
    await_verdict(&mut clients, 2, &["down"]);
    let info = clients[0].call(&["INFO", "replication"]);
    assert!(text(&info).contains("quorate_members_down:1\r\n"), "{info:?}");
    cluster.start_node(2);
    await_verdict(&mut clients, 2, &["alive"]);
    await_verdict(&mut [cluster.connect(2)], 0, &["alive"]);
}

#[test]
fn a_copied_directory_that_is_started_beside_its_original_is_told() {
    let mut cluster = Cluster::start(3, &[]);
    cluster.process(2).signal("TERM");
    cluster.process(2).wait();
    cluster.kill(2);
    let home = tempfile::tempdir().expect("a temporary directory");
    let copy = home.path().join("C");
    let copied = std::process::Command::new("cp").arg("-r").arg(cluster.data(2)).arg(&copy).status();
    assert!(copied.expect("cp starts").success());
    cluster.start_node(2);
    let mut arguments = cluster.arguments(2);
    let (client, peer) = (free_address().to_string(), free_address().to_string());
    for (flag, value) in [("--data", copy.to_str().expect("UTF-8")), ("--client", &client), ("--peer", &peer)]
    {
        let at = arguments.iter().position(|argument| argument == flag).expect("it was given");
        value.clone_into(&mut arguments[at + 1]);
    }
    let second = Process::start(&arguments, &home.path().join("stderr"));
    assert!(second.line().starts_with("ready name=C"));
    let give_up = Instant::now() + PATIENCE;
    while !cluster.process(0).stderr().contains("ERROR gossip: two live processes are C") {
        assert!(Instant::now() < give_up, "{}", cluster.process(0).stderr());
        thread::sleep(Duration::from_millis(20));
    }
    // What is told does not end the service.
    let answer = cluster.connect(0).call(&["SET", "key", "value"]);
    assert_eq!(answer, Value::Simple("OK".into()));
}
