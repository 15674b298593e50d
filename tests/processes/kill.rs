//! Whole clusters killed with -9 under load, again and again: nothing acknowledged is ever lost.

use crate::cluster::Cluster;
use crate::load::{Answer, Answers, Load, Plan, check_all};
use crate::overwrites::{self, Overwrites, Progress};

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
    let mut overwritten = vec![Progress::default(); 6];
    for round in 0..rounds {
        let plan = Plan { clients: 16, pipeline: [1, 16, 4][round % 3], options: &[] };
        let load = Load::start(&format!("round{round}"), &nodes, plan);
        let overwrites = Overwrites::start(&nodes, &overwritten);
        load.await_acknowledged(300);
        cluster.kill_all();
        let answers = load.stop();
        overwritten = overwrites.stop();
        cluster.start_all();
        overwrites::check(&mut cluster.connect((round + 1) % 3), &overwritten, "2");
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

/// A node that keeps records in memory loses the last of them when it is killed; the other two have them.
/// When it goes on writing the same keys it must not take up its old numbering, or what it writes next
/// would pass for what the others have already.
#[test]
fn a_node_that_lost_its_last_writes_does_not_bury_the_next() {
    let mut cluster = Cluster::start(3, &["--sync", "memory"]);
    let mut overwritten = vec![Progress::default(); 8];
    for _ in 0..rounds() {
        let overwrites = Overwrites::start(&[cluster.client(0)], &overwritten);
        overwrites.await_acknowledged(200);
        cluster.kill(0);
        overwritten = overwrites.stop();
        cluster.start_all();
        // Before anything is read, as reading repairs.
        overwrites::write_once(&mut cluster.connect(0), &mut overwritten);
        overwrites::check(&mut cluster.connect(1), &overwritten, "3");
    }
}
