//! Tables that were apart and come together: partitions, newcomers, restarts from snapshots.

use super::net::{Net, Setup, keys};
use super::{Duration, Gossip, Instant, Output, Verdict};

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn tables_converge_after_a_partition() {
    for (nodes, other) in [(2, 1), (3, 1), (10, 5), (40, 15)] {
        for seed in 0..4 {
            let mut net = Net::new(Setup::new(nodes, seed));
            net.run(10 * SECOND);
            net.sides[..other].fill(1);
            net.run(120 * SECOND);
            assert!((0..other).all(|of| net.verdict(nodes - 1, of) == Some(Verdict::Down)), "{nodes}");
            assert!((other..nodes).all(|of| net.verdict(0, of) == Some(Verdict::Down)), "{nodes}");
            net.sides.fill(0);
            let healed = net.now;
            let agrees = net.run_until(net.now + 60 * SECOND, Net::agrees);
            assert!(agrees, "{nodes} nodes, {other} on one side, seed {seed}");
            let took = net.now.since(healed);
            assert!(took < 45 * SECOND, "{nodes} nodes, seed {seed}: {took:?}");
        }
    }
}

#[test]
fn nodes_that_know_one_seed_find_each_other() {
    for nodes in [2, 5, 40] {
        let mut setup = Setup::new(nodes, 7);
        setup.acquainted = false;
        let mut net = Net::new(setup);
        net.loss_per_mille = 50;
        let agrees = net.run_until(net.now + 60 * SECOND, Net::agrees);
        assert!(agrees, "{nodes} nodes");
    }
}

#[test]
fn a_seed_is_tried_for_ever() {
    let mut setup = Setup::new(3, 7);
    setup.acquainted = false;
    let mut net = Net::new(setup);
    net.kill(0);
    net.run(3_600 * SECOND);
    assert_eq!(net.nodes[1].members().count(), 1, "nobody to be met");
    net.restart(0);
    assert!(net.run_until(net.now + 30 * SECOND, Net::agrees));
}

#[test]
fn a_table_that_missed_everything_is_repaired() {
    let mut net = Net::new(Setup::new(20, 3));
    net.run(10 * SECOND);
    // It sleeps through a death and a refutation, and longer than rumours live.
    net.pause(5, 60 * SECOND);
    net.kill(9);
    net.run(50 * SECOND);
    net.restart(9);
    net.run(10 * SECOND);
    assert!(net.run_until(net.now + 30 * SECOND, Net::agrees));
    assert!(net.nodes.iter().any(|node| node.counters().repairs > 0));
    assert_eq!(net.verdict(5, 9), Some(Verdict::Alive));
}

#[test]
fn a_snapshot_finds_the_cluster_without_seeds() {
    let mut net = Net::new(Setup::new(8, 3));
    net.run(10 * SECOND);
    let known = super::super::snapshot::decode(&net.nodes[2].snapshot()).unwrap();
    assert_eq!(known.len(), 7);
    net.setup.acquainted = false;
    net.kill(2);
    net.run(30 * SECOND);
    let mut config = net.setup.config(2, 2);
    config.seeds.clear();
    config.members = known;
    net.restart(2);
    net.nodes[2] = Gossip::new(config, keys(), 9, net.time()).unwrap();
    net.drain(2);
    assert!(net.run_until(net.now + 20 * SECOND, Net::agrees));
}

#[test]
fn a_flapping_member_is_unsteady_and_steady_again() {
    let mut net = Net::new(Setup::new(5, 3));
    net.run(10 * SECOND);
    for _ in 0..3 {
        net.sides[4] = 1;
        net.run(30 * SECOND);
        net.sides[4] = 0;
        net.run(30 * SECOND);
    }
    let id = net.nodes[4].own();
    let member = net.nodes[0].member(id).unwrap();
    assert!(member.verdict() == Verdict::Alive && member.is_unsteady(net.now));
    let told = |net: &Net, wanted: bool| {
        let last = net.changes.iter().rev().find(|(_, at, change)| *at == 0 && change.member == id);
        last.is_some_and(|(_, _, change)| change.unsteady == wanted && change.to == Verdict::Alive)
    };
    assert!(told(&net, true));
    net.run(120 * SECOND);
    assert!(!net.nodes[0].member(id).unwrap().is_unsteady(net.now));
    assert!(told(&net, false), "the host hears when it is over");
}

#[test]
fn a_lonely_node_sleeps() {
    let mut setup = Setup::new(1, 3);
    setup.acquainted = false;
    let mut config = setup.config(0, 1);
    config.seeds.clear();
    let net = Net::new(setup);
    let mut node = Gossip::new(config, keys(), 1, net.time()).unwrap();
    let mut turns = 0;
    while node.deadline() != Instant::NEVER && turns < 100 {
        let now = super::Now { mono: node.deadline(), ..net.time() };
        node.handle_timeout(now);
        assert!(!matches!(node.poll_output(now), Some(Output::Send { .. })), "there is nobody");
        turns += 1;
    }
    assert!(turns < 5, "a cluster of one wakes for nothing");
}

#[test]
fn the_host_keeps_a_snapshot_when_members_come_and_go() {
    let mut setup = Setup::new(3, 3);
    setup.acquainted = false;
    let mut net = Net::new(setup);
    net.run(15 * SECOND);
    assert!((0..3).all(|at| net.remembered[at] > 0), "{:?}", net.remembered);
    net.remembered.fill(0);
    net.run(60 * SECOND);
    assert_eq!(net.remembered, [0; 3], "nothing changed");
    let now = net.time();
    net.nodes[2].leave(now);
    net.drain(2);
    net.run(10 * SECOND);
    assert!((0..2).all(|at| net.remembered[at] == 1), "{:?}", net.remembered);
}

#[test]
fn a_request_without_an_answer_brings_the_probe_forward() {
    let mut late = 0;
    for seed in 0..5 {
        let mut net = Net::new(Setup::new(10, seed));
        net.run(10 * SECOND);
        net.kill(3);
        // The host notices at once, between two probes.
        let end = net.now + SECOND;
        net.run_until(end, |net| net.nodes[0].probe.is_none());
        let (now, dead) = (net.time(), net.nodes[3].own());
        net.nodes[0].probe_soon(now, dead);
        net.drain(0);
        net.run(11 * SECOND / 10);
        late += usize::from(net.verdict(0, 3) != Some(Verdict::Suspect));
    }
    assert_eq!(late, 0);
}
