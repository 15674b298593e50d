//! A list that is given: probes run, rumours say nothing.

use super::super::rumor::Rumor;
use super::net::{Net, Setup};
use super::refusals::{PING, header, sealed, word};
use super::{Duration, Incarnation, Mode, Refusal, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn setup(nodes: usize) -> Setup {
    Setup { mode: Mode::Manual, ..Setup::new(nodes, 4) }
}

#[test]
fn each_node_finds_the_dead_and_the_returned_for_itself() {
    for nodes in [2, 3, 12] {
        let mut net = Net::new(setup(nodes));
        net.run(10 * SECOND);
        net.kill(1);
        // A round of probes, a period until it fails, and a suspicion that nobody can confirm.
        let bound = (2 * nodes as u32 + 8) * SECOND;
        net.run(bound);
        assert!(net.all_think(1, Verdict::Down), "{nodes} nodes");
        net.restart(1);
        net.run(bound);
        assert!(net.agrees(), "{nodes} nodes");
    }
}

#[test]
fn nothing_is_told_or_learned() {
    let mut net = Net::new(setup(6));
    net.tap = true;
    // Node 0 alone cannot reach node 1: nobody else may come to think so.
    net.streams = false;
    net.cuts =
        (0..6).filter(|&from| from != 1).map(|from| (from, 1)).filter(|&(from, _)| from == 0).collect();
    net.cuts.extend((2..6).map(|relay| (0, relay)));
    net.run(60 * SECOND);
    assert_eq!(net.verdict(0, 1), Some(Verdict::Down));
    assert!((2..6).all(|at| net.verdict(at, 1) == Some(Verdict::Alive)));
    let longest = net.tapped.iter().map(|(_, _, bytes)| bytes.len()).max();
    assert_eq!(longest, Some(92), "pings and requests, without a rumour");
}

#[test]
fn who_is_not_in_the_list_is_a_stranger() {
    let mut net = Net::new(setup(3));
    let mut other = Net::new(Setup::new(4, 5));
    other.tap = true;
    other.run(5 * SECOND);
    let introduced = other.tapped.iter().filter(|(from, to, _)| *from == 3 && *to == 0);
    for (_, _, bytes) in introduced {
        assert_eq!(net.inject(0, 3, bytes), Err(Refusal::Stranger));
    }
    assert_eq!(net.nodes[0].members().count(), 3);
    assert!(net.nodes[0].refusals().of(Refusal::Stranger) > 0);
}

#[test]
fn what_a_member_says_of_others_changes_nothing() {
    let mut net = Net::new(setup(3));
    net.run(5 * SECOND);
    let (digest, other) = (net.nodes[0].digest(), net.nodes[2].own());
    let newcomer = Rumor::Row {
        verdict: Verdict::Alive,
        incarnation: Incarnation { opens: 1, bumps: 0 },
        description: net.nodes[1].member(other).map(|row| row.description.clone()).unwrap(),
    };
    let rumors = [word(other, Verdict::Down, 1, 0), word(other, Verdict::Left, 1, 0), newcomer];
    let bytes = sealed(&header(&net), &PING, &rumors);
    assert_eq!(net.inject(0, 1, &bytes), Ok(()));
    assert_eq!((net.nodes[0].digest(), net.verdict(0, 2)), (digest, Some(Verdict::Alive)));
}
