//! Whole clusters killed with -9 under load, again and again: nothing acknowledged is ever lost.

use crate::cluster::Cluster;
use crate::load::{Answer, Answers, Load, Plan, check_all};

/// How often all three are killed; `QUORATE_KILL_ROUNDS` says so in long runs.
fn rounds() -> usize {
    match std::env::var("QUORATE_KILL_ROUNDS") {
        Ok(text) => text.parse().expect("QUORATE_KILL_ROUNDS is a number"),
        Err(_) => 10,
    }
}

/// Kills a cluster under load `rounds` times; after each time everything acknowledged in that round must
/// be there, and in the end everything of all rounds.
fn kill_again_and_again(flags: &[&str], rounds: usize) {
    let mut cluster = Cluster::start(3, flags);
    let nodes: Vec<_> = (0..3).map(|node| cluster.client(node)).collect();
    let mut all = Answers::new();
    for round in 0..rounds {
        let plan = Plan { clients: 16, pipeline: [1, 16, 4][round % 3], options: &[] };
        let load = Load::start(&format!("round{round}"), &nodes, plan);
        load.await_acknowledged(300);
        cluster.kill_all();
        let answers = load.stop();
        cluster.start_all();
        check_all(&mut cluster.connect(round % 3), &answers, &["GET"]);
        all.extend(answers);
    }
    check_all(&mut cluster.connect(0), &all, &["GET"]);
    let acknowledged = all.values().filter(|answer| **answer == Answer::Ok).count();
    println!("{flags:?}: {rounds} rounds, {acknowledged} acknowledged of {} writes, 0 lost", all.len());
    assert!(acknowledged >= rounds * 300);
}

#[test]
fn killed_under_load_nothing_synced_is_lost() {
    kill_again_and_again(&["--sync", "always"], rounds());
}

#[test]
fn killed_processes_lose_nothing_that_was_handed_to_the_kernel() {
    kill_again_and_again(&["--sync", "interval"], rounds().div_ceil(2));
}
