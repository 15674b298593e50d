//! Jepsen's question to Riak of 2013: five nodes, a client at each, all of them add numbers to one set under one key,
//! and in the middle the network breaks in two. Which of the numbers that were acknowledged are there at the end?
//!
//! With the last write that wins many are lost, as they were then; that is printed, and must be so, or the test
//! tests nothing. With siblings that the next writer unites none may be lost, none of a set's elements, and none of a
//! counter.

use std::collections::BTreeSet;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use quorate::resp::client::Value;

use crate::apart::Nodes;
use crate::client::{Client, error_word, field, text, values};
use crate::process::PATIENCE;

/// How long clients add before the network breaks, while it is broken, and after.
const PHASES: [Duration; 3] =
    [Duration::from_millis(700), Duration::from_millis(2_500), Duration::from_millis(700)];
/// Who is cut off from the rest.
const APART: [usize; 2] = [3, 4];

/// How numbers are added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Read the newest version, write it with one number more over whatever is there.
    Latest,
    /// Read all versions, write their union with one number more and the context of what was read.
    Union,
    /// Add the number to a set.
    Set,
    /// Count.
    Count,
}

/// What a client did.
#[derive(Default)]
struct Added {
    acknowledged: BTreeSet<u64>,
    /// They may be there or not.
    unknown: BTreeSet<u64>,
}

/// Numbers as they lie under the key.
fn numbers(value: &str) -> BTreeSet<u64> {
    value.split_whitespace().map(|number| number.parse().expect("only numbers are added")).collect()
}

fn joined(numbers: &BTreeSet<u64>) -> String {
    numbers.iter().map(u64::to_string).collect::<Vec<_>>().join(" ")
}

/// Adds one number. What was refused for certain is neither of the two.
fn add(client: &mut Client, way: Way, number: u64, added: &mut Added) {
    let key = format!("{way:?}");
    let reply = match way {
        Way::Count => client.call(&["Q.COUNTER", &key, "BY", "1", "W", "1", "SLOPPY"]),
        Way::Set => {
            client.call(&["Q.SET", &key, "ADD", "1", &number.to_string(), "R", "1", "W", "1", "SLOPPY"])
        }
        Way::Latest | Way::Union => {
            let view = if way == Way::Latest { "latest" } else { "all" };
            let read = client.call(&["Q.GET", &key, "R", "1", "SLOPPY", "VIEW", view]);
            if error_word(&read).is_some() {
                return;
            }
            let mut all: BTreeSet<u64> = values(&read).iter().flat_map(|value| numbers(value)).collect();
            all.insert(number);
            let put = ["Q.PUT", &key, &joined(&all), "W", "1", "SLOPPY"].map(str::to_owned);
            let mut words = Vec::from(put);
            match way {
                Way::Latest => words.push("SUPERSEDE".into()),
                _ => words.extend(["CONTEXT".into(), text(field(&read, "context"))]),
            }
            client.call(&words.iter().map(String::as_str).collect::<Vec<_>>())
        }
    };
    match error_word(&reply) {
        None => added.acknowledged.insert(number),
        Some("PARTIAL" | "MAYBE") => added.unknown.insert(number),
        Some(_) => false,
    };
}

/// A client of one node, which adds until told to stop. The numbers of no two clients are the same.
fn work(mut client: Client, at: usize, way: Way, stop: Arc<AtomicBool>) -> JoinHandle<Added> {
    thread::spawn(move || {
        let mut added = Added::default();
        for number in (at as u64..).step_by(5) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            add(&mut client, way, number, &mut added);
            thread::sleep(Duration::from_millis(4));
        }
        added
    })
}

/// What all replicas hold once they agree, seen from a node.
fn settled(nodes: &Nodes, way: Way) -> Value {
    let give_up = Instant::now() + PATIENCE;
    let mut last = Vec::new();
    loop {
        let read = |at| nodes.connect(at).call(&["Q.GET", &format!("{way:?}"), "R", "3"]);
        let replies: Vec<Value> = (0..5).map(read).collect();
        let has_failed = replies.iter().any(|reply| error_word(reply).is_some());
        let seen: Vec<Vec<String>> =
            if has_failed { Vec::new() } else { replies.iter().map(values).collect() };
        if !has_failed && seen.windows(2).all(|two| two[0] == two[1]) && seen == last {
            return replies.into_iter().next().expect("there are five");
        }
        last = seen;
        assert!(Instant::now() < give_up, "{way:?} does not settle: {replies:?}");
        thread::sleep(Duration::from_millis(400));
    }
}

/// Lets five clients add while the network breaks and heals.
fn run(nodes: &Nodes, way: Way) -> Added {
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..5).map(|at| work(nodes.connect(at), at, way, Arc::clone(&stop))).collect();
    thread::sleep(PHASES[0]);
    nodes.network.split(&APART);
    thread::sleep(PHASES[1]);
    nodes.network.split(&[]);
    thread::sleep(PHASES[2]);
    stop.store(true, Ordering::Relaxed);
    let mut all = Added::default();
    for client in clients {
        let added = client.join().expect("every request is answered");
        all.acknowledged.extend(added.acknowledged);
        all.unknown.extend(added.unknown);
    }
    all
}

fn tell(line: &str) {
    // Not by a macro: of a test that passes, its output is not shown.
    let _ = writeln!(std::io::stderr(), "\n{line}");
}

#[test]
fn of_a_set_that_five_clients_add_to_over_a_cut_no_sibling_is_lost() {
    let Some(nodes) = Nodes::start(5) else { return };
    for way in [Way::Latest, Way::Union, Way::Set] {
        let added = run(&nodes, way);
        let held: BTreeSet<u64> =
            values(&settled(&nodes, way)).iter().flat_map(|value| numbers(value)).collect();
        let lost = added.acknowledged.difference(&held).count();
        let (acknowledged, unknown) = (added.acknowledged.len(), added.unknown.len());
        tell(&format!(
            "{way:?}: {acknowledged} acknowledged, {unknown} unknown, {lost} of the acknowledged lost"
        ));
        assert!(acknowledged > 100, "{way:?}: too few of {acknowledged} were acknowledged to say anything");
        let known: BTreeSet<u64> = added.acknowledged.union(&added.unknown).copied().collect();
        let strange: Vec<_> = held.difference(&known).collect();
        assert!(strange.is_empty(), "{way:?}: {strange:?} were refused and are there");
        match way {
            Way::Latest => assert!(lost > 0, "the last write wins, and nothing was lost: nothing was tested"),
            _ => assert_eq!(lost, 0, "{way:?}"),
        }
    }
}

#[test]
fn a_counter_that_five_clients_raise_over_a_cut_has_all_that_was_acknowledged() {
    let Some(nodes) = Nodes::start(5) else { return };
    let added = run(&nodes, Way::Count);
    let value = values(&settled(&nodes, Way::Count));
    let count: u64 = value.first().expect("it was counted").parse().expect("a number");
    let (acknowledged, unknown) = (added.acknowledged.len() as u64, added.unknown.len() as u64);
    tell(&format!("Count: {acknowledged} acknowledged, {unknown} unknown, {count} counted"));
    assert!(acknowledged > 100, "too few of {acknowledged} were acknowledged to say anything");
    assert!(
        (acknowledged..=acknowledged + unknown).contains(&count),
        "{count} of {acknowledged} and {unknown}"
    );
}
