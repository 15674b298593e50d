//! What holds in any network: the dead are found, the living are not buried, nothing grows.

use super::super::message;
use super::super::rumor::Rumor;
use super::net::{Net, Setup, keys};
use super::refusals::{PING, header, sealed, word};
use super::{Duration, Keyring, Now, Verdict};

const SECOND: Duration = Duration::from_secs(1);

/// A network that has settled.
fn settled(setup: Setup) -> Net {
    let mut net = Net::new(setup);
    net.run(10 * SECOND);
    assert!(net.agrees(), "nodes that know each other agree");
    net.bytes.fill(0);
    net
}

#[test]
fn a_dead_node_is_declared_by_all() {
    for (nodes, bound) in [(2, 8), (3, 8), (10, 12), (30, 14)] {
        for seed in 0..10 {
            let mut net = settled(Setup::new(nodes, seed));
            let times = net.time_to_declare(nodes / 2, bound * SECOND);
            assert_eq!(times.len(), nodes - 1, "{nodes} nodes, seed {seed}: {times:?}");
            assert!(times.iter().all(|&time| time >= 4 * SECOND), "no earlier than a suspicion takes");
            net.restart(nodes / 2);
            net.run(15 * SECOND);
            assert!(net.agrees(), "{nodes} nodes, seed {seed}: who restarts is alive again");
        }
    }
}

#[test]
fn the_living_are_not_declared_down_at_ten_percent_loss() {
    for seed in 0..5 {
        let mut net = settled(Setup::new(20, seed));
        net.streams = false;
        net.loss_per_mille = 100;
        let since = net.now;
        net.run(600 * SECOND);
        assert!(net.probes_failed() > 10, "seed {seed}: loss was met");
        assert_eq!(net.declared_down(since), 0, "seed {seed}: every suspicion was refuted");
        net.loss_per_mille = 0;
        net.run(30 * SECOND);
        assert!(net.agrees(), "seed {seed}");
    }
}

#[test]
fn a_stream_that_answers_spares_a_suspicion() {
    let mut net = settled(Setup::new(10, 1));
    // No datagram reaches node 4, as behind a wrong firewall.
    net.cuts = (0..10).map(|from| (from, 4)).collect();
    net.run(60 * SECOND);
    assert!(net.all_think(4, Verdict::Alive));
    assert!(net.nodes.iter().map(|node| node.counters().stream_only).sum::<u64>() > 20);
    net.streams = false;
    net.run(40 * SECOND);
    assert!(net.all_think(4, Verdict::Down));
}

#[test]
fn a_one_way_cut_between_two_is_no_death() {
    let mut net = settled(Setup::new(5, 1));
    net.streams = false;
    net.cuts = vec![(0, 1)];
    net.run(120 * SECOND);
    assert!(net.agrees());
    assert_eq!(net.probes_failed(), 0, "three others ping for the one that is not heard");
    assert_eq!(net.declared_down(super::Instant::ZERO), 0);
}

#[test]
fn a_stopped_node_blames_itself() {
    for seconds in [1, 3, 10, 60] {
        for seed in 0..4 {
            let mut net = settled(Setup::new(10, seed));
            let since = net.now;
            net.pause(3, seconds * SECOND);
            net.run(seconds * SECOND);
            let before = net.changes.len();
            // Its own timers come with a delay of all that time, while its inbox is full of news.
            net.run(3 * SECOND / 10);
            let health = net.nodes[3].health();
            // Nothing need be due within a single second.
            assert!(health >= 1 || seconds == 1, "after {seconds} s, seed {seed}: score {health}");
            net.run(20 * SECOND);
            let blamed = net.changes[before..].iter().filter(|(_, at, change)| {
                *at == 3 && change.member != net.nodes[3].own() && change.to != Verdict::Alive
            });
            assert_eq!(blamed.count(), 0, "it accuses nobody for its own sleep");
            assert!(net.agrees(), "after {seconds} s, seed {seed}");
            let down = net.declared_down(since);
            assert!(seconds > 3 || down == 0, "a short stop is refuted: {down}, seed {seed}");
            net.run(20 * SECOND);
            assert_eq!(net.nodes[3].health(), 0, "it trusts itself again");
        }
    }
}

#[test]
fn a_large_cluster_does_not_believe_one_accuser() {
    let mut setup = Setup::new(30, 1);
    setup.zones = 1;
    let mut net = settled(setup);
    net.streams = false;
    // Node 7 hears nobody, but is heard: it accuses, and everybody refutes what it cannot hear.
    net.cuts = (0..30).map(|from| (from, 7)).collect();
    let since = net.now;
    net.run(60 * SECOND);
    let deaf = net.nodes[7].own();
    let wrong = net
        .changes
        .iter()
        .filter(|(at, _, change)| *at > since && change.member != deaf && change.to == Verdict::Down);
    assert_eq!(wrong.count(), 0, "nobody follows one accuser, and it alone is not enough");
}

#[test]
fn bytes_are_bounded_whatever_happens() {
    let time = 60 * SECOND;
    let mut net = settled(Setup::new(30, 1));
    net.run(time);
    let quiet = net.bytes_per_second(time);
    assert!((100.0..300.0).contains(&quiet), "{quiet} B/s when nothing happens");
    // A network that goes and comes once a second, for a minute.
    net.bytes.fill(0);
    for turn in 0..30 {
        net.sides[5] = 1;
        net.sides[6] = 1 + turn % 2;
        net.run(SECOND);
        net.sides.fill(0);
        net.run(SECOND);
    }
    let flapping = net.bytes_per_second(time);
    assert!(flapping < 3_000.0, "{flapping} B/s while two nodes flap");
    net.run(30 * SECOND);
    assert!(net.agrees());
    net.bytes.fill(0);
    net.run(time);
    let after = net.bytes_per_second(time);
    assert!(after < 1.1 * quiet, "{after} B/s afterwards, {quiet} before");
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let trace = |seed| {
        let mut net = Net::new(Setup::new(12, seed));
        net.loss_per_mille = 100;
        net.pause(3, 8 * SECOND);
        net.run(60 * SECOND);
        (net.changes, net.bytes)
    };
    assert_eq!(trace(5), trace(5));
    assert_ne!(trace(5), trace(6));
}

#[test]
fn who_leaves_has_left_and_is_not_suspected() {
    let mut net = settled(Setup::new(12, 1));
    let now = net.time();
    net.nodes[4].leave(now);
    net.drain(4);
    net.run(3 * SECOND);
    assert!(net.nodes[4].is_told());
    net.kill(4);
    net.run(60 * SECOND);
    assert!(net.all_think(4, Verdict::Left));
    let id = net.nodes[4].own();
    assert!(net.changes.iter().all(|(_, _, change)| change.member != id || change.to == Verdict::Left));
    net.restart(4);
    net.run(15 * SECOND);
    assert!(net.agrees(), "it may come back");
}

#[test]
fn a_node_that_slept_gives_suspects_their_time_again() {
    let mut net = settled(Setup::new(3, 1));
    let suspect = net.nodes[2].own();
    let bytes = sealed(&header(&net), &PING, &[word(suspect, Verdict::Suspect, 1, 0)]);
    net.inject(0, 1, &bytes).unwrap();
    assert_eq!(net.verdict(0, 2), Some(Verdict::Suspect));
    // Its host runs the timers before it reads what came meanwhile.
    let mut now = Now { mono: net.now + 30 * SECOND, ..net.time() };
    net.nodes[0].handle_timeout(now);
    assert_eq!(net.verdict(0, 2), Some(Verdict::Suspect), "the refutation may lie in the socket");
    let due = now.mono + 5 * SECOND;
    while net.verdict(0, 2) == Some(Verdict::Suspect) {
        assert!(now.mono < due, "a suspicion of three members takes four seconds");
        now.mono = net.nodes[0].deadline();
        net.nodes[0].handle_timeout(now);
    }
    assert_eq!(net.verdict(0, 2), Some(Verdict::Down));
}

#[test]
fn a_suspect_is_told_with_everything() {
    let mut net = settled(Setup::new(5, 1));
    net.tap = true;
    net.streams = false;
    net.sides[2] = 1;
    net.run(60 * SECOND);
    let suspect = net.nodes[2].own();
    let ring = Keyring::new(keys().gossip);
    let to_suspect = |(_, to, _): &&(usize, usize, Vec<u8>)| *to == 2;
    let mut told = 0;
    for (from, _, bytes) in net.tapped.iter().filter(to_suspect) {
        let opened = message::open(bytes, keys().cluster_id, &ring).unwrap();
        let first = opened.rumors.first();
        let on_it = |rumor: &&Rumor| matches!(rumor, Rumor::Word { id, .. } if *id == suspect);
        let heard = net.changes.iter().find(|(_, at, change)| at == from && change.member == suspect);
        if first.filter(on_it).is_some() {
            told += 1;
            assert!(heard.is_some(), "node {from} has a reason");
        }
    }
    assert!(told > 20, "told {told} times, long after the rumour was over");
}
