//! A list that is given: probes run, rumours say nothing.

use super::super::message::Header;
use super::super::rumor::Rumor;
use super::net::address;
use super::net::{Net, Setup};
use super::refusals::{PING, header, sealed, word};
use super::{Alert, Boot, Duration, Incarnation, Mode, Refusal, Verdict};

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

#[test]
fn a_member_is_probed_from_the_time_its_address_is_known() {
    let mut net = Net::new(Setup { acquainted: false, ..setup(3) });
    assert_eq!(net.nodes[0].deadline(), super::Instant::NEVER, "nothing wakes it");
    net.run(10 * SECOND);
    assert_eq!((net.nodes[0].members().count(), net.bytes[0]), (1, 0), "alone, and silent");
    for at in 0..3 {
        for of in 0..3 {
            let now = net.time();
            // Node 2 is first looked for where node 1 is.
            let place = address(if of == 2 { 1 } else { of });
            assert!(net.nodes[at].set_member(now, &format!("n{of}"), &place, 0));
        }
        net.drain(at);
    }
    net.run(30 * SECOND);
    assert_eq!(net.verdict(0, 1), Some(Verdict::Alive));
    assert!(net.nodes[1].refusals().of(Refusal::Misdirected) > 0, "what was meant for node 2");
    let found_by_stream = net.nodes[0].counters().stream_only;
    assert!(found_by_stream > 0 && net.verdict(0, 2) == Some(Verdict::Alive));
    for at in 0..2 {
        let now = net.time();
        assert!(net.nodes[at].set_member(now, "n2", &address(2), 0));
    }
    net.run(2 * SECOND);
    let before = net.nodes[0].counters().stream_only;
    net.run(30 * SECOND);
    assert_eq!(net.nodes[0].counters().stream_only, before, "it answers where it is");
    assert!(net.agrees());
}

/// A datagram of node 1 to node 0 from this opening.
fn from_boot(net: &Net, boot: Boot, counter: u64) -> Vec<u8> {
    sealed(&Header { boot, counter, ..header(net) }, &PING, &[])
}

#[test]
fn a_new_directory_under_an_old_name_begins_anew_once_its_stream_says_so() {
    let mut net = Net::new(setup(2));
    net.run(5 * SECOND);
    net.kill(1);
    let (id, old) = (net.nodes[1].own(), Boot { opens: 7, nonce: 70 });
    assert_eq!(net.inject(0, 1, &from_boot(&net, old, 1 << 41)), Ok(()));
    let now = net.time();
    net.nodes[0].handle_met(now, id, 1_001, old);
    let new = Boot { opens: 1, nonce: 99 };
    assert_eq!(net.inject(0, 1, &from_boot(&net, new, 1)), Err(Refusal::Replayed));
    net.nodes[0].handle_met(now, id, 5_000, new);
    assert_eq!(net.inject(0, 1, &from_boot(&net, new, 2)), Ok(()));
    // What the old directory sent is over, also those lives that come after the new one's by their number.
    for boot in [old, Boot { opens: 3, nonce: 30 }] {
        assert_eq!(net.inject(0, 1, &from_boot(&net, boot, 1 << 42)), Err(Refusal::Replayed));
    }
    assert_eq!(net.inject(0, 1, &from_boot(&net, new, 3)), Ok(()));
    // Its own next life is believed when its stream says so, and one beyond the old ones at once.
    let next = Boot { opens: 2, nonce: 100 };
    assert_eq!(net.inject(0, 1, &from_boot(&net, next, 1)), Err(Refusal::Replayed));
    net.nodes[0].handle_met(now, id, 5_000, next);
    assert_eq!(net.inject(0, 1, &from_boot(&net, next, 2)), Ok(()));
    assert_eq!(net.inject(0, 1, &from_boot(&net, Boot { opens: 8, nonce: 101 }, 1)), Ok(()));
    net.drain(0);
    assert_eq!(net.alerts, []);
    // The directory before, heard again on a stream, lives as well.
    net.nodes[0].handle_met(now, id, 6_000, Boot { opens: 1, nonce: 7 });
    net.nodes[0].handle_met(now, id, 5_000, Boot { opens: 8, nonce: 101 });
    net.drain(0);
    assert_eq!(net.alerts, [(0, Alert::Twin(id))]);
}

#[test]
fn a_second_process_of_one_opening_is_told_after_a_while_and_a_copied_directory_at_once() {
    let mut net = Net::new(setup(3));
    net.run(5 * SECOND);
    let (id, twin) = (net.nodes[1].own(), Boot { opens: 1, nonce: 99 });
    for sign in 1..8 {
        let _ = net.inject(0, 1, &from_boot(&net, twin, sign));
        net.run(SECOND);
    }
    assert_eq!(net.alerts, [(0, Alert::Twin(id)), (1, Alert::Twin(id))], "here and there, not repeated");
    assert!(net.nodes[0].refusals().of(Refusal::Twin) > 0);
    let (now, other) = (net.time(), net.nodes[2].own());
    net.nodes[0].handle_met(now, other, 1_000, net.setup.config(2, 1).boot);
    net.drain(0);
    assert_eq!(net.alerts[2..], [(0, Alert::SharedGeneration(net.nodes[0].own(), other))]);
}
