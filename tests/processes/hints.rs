//! Sloppy quorums over five real nodes: fallbacks stand in for a killed one, and give back what they keep.

use std::thread;
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::client::{Client, error_word, field, text, values};
use crate::cluster::Cluster;
use crate::process::PATIENCE;

const KEYS: usize = 40;

fn key(number: usize) -> String {
    format!("key:{number}")
}

/// A figure of INFO.
fn figure(client: &mut Client, name: &str) -> u64 {
    let info = text(&client.call(&["INFO", "stats"]));
    let line = info.lines().find_map(|line| line.strip_prefix(&format!("quorate_{name}:")));
    line.and_then(|value| value.trim().parse().ok()).unwrap_or_else(|| panic!("no {name} in {info}"))
}

fn held(cluster: &Cluster, nodes: &[usize]) -> u64 {
    nodes.iter().map(|&node| figure(&mut cluster.connect(node), "hints")).sum()
}

/// Whether an answer names a member.
fn names(answer: &Value, member: &str) -> bool {
    match answer {
        Value::Array(items) => items.iter().any(|item| names(item, member)),
        Value::Bulk(bytes) => bytes.as_slice() == member.as_bytes(),
        _ => false,
    }
}

/// Waits until as many are held as `enough` says.
fn await_held(cluster: &Cluster, nodes: &[usize], enough: impl Fn(u64) -> bool) {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let held = held(cluster, nodes);
        if enough(held) {
            return;
        }
        assert!(Instant::now() < give_up, "{held} hints are held");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Asks until nothing is in the way any more: a connection that has just gone may not be known to have.
fn put(client: &mut Client, words: &[&str]) -> Value {
    let give_up = Instant::now() + PATIENCE;
    loop {
        let answer = client.call(words);
        match error_word(&answer) {
            None => return answer,
            Some(_) => assert!(Instant::now() < give_up, "{words:?}: {answer:?}"),
        }
    }
}

#[test]
fn fallbacks_stand_in_for_a_killed_node_and_give_back_what_they_keep() {
    let mut cluster = Cluster::start(5, &[]);
    cluster.kill(4);
    let mut client = cluster.connect(0);
    let owned = |client: &mut Client, number: usize| names(&client.call(&["Q.OWNERS", &key(number)]), "E");
    let mut of_killed = 0;
    for number in 0..KEYS {
        let is_its = owned(&mut client, number);
        let name = key(number);
        let fallbacks = i64::from(is_its);
        let give_up = Instant::now() + PATIENCE;
        loop {
            let answer = put(&mut client, &["Q.PUT", &name, "value", "SUPERSEDE", "W", "3", "SLOPPY"]);
            assert_eq!(field(&answer, "acked"), &Value::Integer(3), "{answer:?}");
            if field(&answer, "fallbacks") == &Value::Integer(fallbacks) {
                break;
            }
            assert!(Instant::now() < give_up, "{answer:?}");
        }
        of_killed += u64::from(is_its);
    }
    assert!(of_killed > 5 && of_killed < KEYS as u64, "{of_killed} of {KEYS}");
    let held_counted: u64 = (0..4).map(|node| figure(&mut cluster.connect(node), "hints_counted")).sum();
    assert_eq!(held_counted, of_killed);
    // What is kept outlives those who keep it.
    cluster.kill(3);
    cluster.start_node(3);
    await_held(&cluster, &[0, 1, 2, 3], |held| held >= of_killed);
    cluster.start_node(4);
    await_held(&cluster, &[0, 1, 2, 3, 4], |held| held == 0);
    cluster.await_met(&[0, 1, 2]);
    let mut returned = cluster.connect(4);
    for number in 0..KEYS {
        let answer = put(&mut returned, &["Q.GET", &key(number), "R", "3"]);
        assert_eq!(values(&answer), ["value"]);
    }
    // Without any other copy: it has them itself.
    let records = figure_of_status(&mut returned);
    assert!(records >= of_killed, "{records} of {of_killed}");
}

fn figure_of_status(client: &mut Client) -> u64 {
    let info = text(&client.call(&["INFO", "keyspace"]));
    let count = info.split("keys=").nth(1).and_then(|rest| rest.split(',').next());
    count.and_then(|count| count.parse().ok()).unwrap_or(0)
}
