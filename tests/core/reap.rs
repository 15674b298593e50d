//! Deleted keys leave every copy, but only once nothing older of them is left anywhere.

use std::time::Duration;

use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Add, Blind, Operation, Options, Reply};
use quorate::proto::limits;
use quorate::proto::message::{Message, decode_frame};
use quorate::proto::store::Store;

use super::{Cluster, put, set, values, with_context};

const KEY: &str = "cart";
const AFTER: Duration = Duration::from_secs(10);
/// Long enough for a pass to have begun and ended after a tombstone has become old enough.
const LONG: Duration = Duration::from_secs(20);

fn reaping(config: &mut Config) {
    config.reap_after = Some(AFTER);
    config.partitions = 16;
}

fn all() -> Options {
    Options { w: Some(3), ..with_context() }
}

fn delete() -> Operation<'static> {
    Operation::Delete { context: None, blind: Blind::Supersede }
}

impl Cluster {
    fn deleted(&mut self, options: Options) -> usize {
        let (replicas, _) = self.placed();
        let at = replicas[0];
        assert_eq!(self.ask(at, KEY, set("milk"), options).outcome, Outcome::Ok);
        assert_eq!(self.ask(at, KEY, delete(), options).outcome, Outcome::Ok);
        at
    }

    /// The numbers of the key's replicas, in order, and of the others.
    fn placed(&self) -> (Vec<usize>, Vec<usize>) {
        let owners = self.nodes[0].owners(0, KEY.as_bytes()).members;
        let replicas: Vec<usize> = owners.iter().map(|name| name[1..].parse().unwrap()).collect();
        let others = (0..self.nodes.len()).filter(|at| !replicas.contains(at)).collect();
        (replicas, others)
    }

    fn records(&self) -> Vec<u64> {
        self.nodes.iter().map(|node| node.store().len()).collect()
    }

    fn read(&mut self, at: usize) -> Reply {
        self.ask(at, KEY, Operation::Get, Options { r: Some(3), ..with_context() })
    }

    /// Takes the frames off the wire that carry such a message, with both ends.
    fn hold(&mut self, is_meant: impl Fn(&Message<'_>) -> bool) -> Vec<(usize, usize, Vec<u8>)> {
        let mut held = Vec::new();
        loop {
            for at in 0..self.nodes.len() {
                self.drain(at);
            }
            let wire = std::mem::take(&mut self.wire);
            if wire.is_empty() {
                return held;
            }
            for (from, to, frames) in wire {
                let mut rest = frames.as_slice();
                while let Ok((frame, after)) = quorate::proto::message::split_frame(rest) {
                    rest = after;
                    let (_, message) = decode_frame(frame).unwrap();
                    if is_meant(&message) {
                        held.push((from, to, frame.to_vec()));
                    } else {
                        self.nodes[to].handle_frames(self.now, self.ids[from], frame).unwrap();
                    }
                }
            }
        }
    }

    fn give(&mut self, held: Vec<(usize, usize, Vec<u8>)>) {
        for (from, to, frame) in held {
            self.nodes[to].handle_frames(self.now, self.ids[from], &frame).unwrap();
        }
        self.run();
    }
}

#[test]
fn a_deleted_key_is_reaped_once_every_copy_is_equal() {
    let mut cluster = Cluster::new(5, reaping, 0);
    let at = cluster.deleted(all());
    assert_eq!(cluster.records().iter().sum::<u64>(), 3);
    cluster.pass(AFTER - Duration::from_secs(1));
    assert_eq!((cluster.records().iter().sum::<u64>(), cluster.sum("reap_nominated")), (3, 0));
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [0; 5]);
    assert_eq!((cluster.sum("reap_nominated"), cluster.sum("reaped")), (1, 3));
    assert!(cluster.are_equal());
    assert_eq!(cluster.read(at).outcome, Outcome::NotFound);
    // A key that is made again is another one to everybody.
    assert_eq!(cluster.ask(at, KEY, set("bread"), all()).outcome, Outcome::Ok);
    cluster.pass(LONG);
    assert_eq!(values(&cluster.read(at)), ["bread"]);
}

#[test]
fn a_live_key_is_never_nominated() {
    let mut cluster = Cluster::new(3, reaping, 0);
    cluster.ask(0, KEY, set("milk"), all());
    cluster.pass(LONG);
    assert_eq!((cluster.records(), cluster.sum("reap_nominated")), (vec![1; 3], 0));
}

#[test]
fn what_was_counted_beside_a_delete_is_no_deleted_key() {
    let mut cluster = Cluster::new(3, reaping, 0);
    cluster.ask(0, KEY, set("10"), all());
    cluster.part();
    let alone = Options { w: Some(1), ..Options::default() };
    let add = Operation::Add(Add::By { by: 3, id: None });
    assert_eq!(cluster.ask(0, KEY, delete(), alone).outcome, Outcome::Ok);
    assert_eq!(cluster.ask(1, KEY, add, alone).outcome, Outcome::Ok);
    cluster.meet();
    cluster.pass(LONG);
    cluster.pass(LONG);
    assert_eq!((cluster.records(), values(&cluster.read(2))), (vec![1; 3], vec!["3".to_owned()]));
}

#[test]
fn concurrent_deletes_are_reaped_together() {
    let mut cluster = Cluster::new(3, reaping, 0);
    cluster.ask(0, KEY, set("milk"), all());
    cluster.part();
    for at in 0..3 {
        cluster.ask(at, KEY, delete(), Options { w: Some(1), ..Options::default() });
    }
    cluster.meet();
    cluster.pass(LONG);
    cluster.read(0);
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [0; 3]);
}

#[test]
fn a_member_that_is_away_blocks_until_it_is_back() {
    let mut cluster = Cluster::new(5, reaping, 0);
    let at = cluster.deleted(all());
    let (replicas, others) = cluster.placed();
    for away in [replicas[2], others[0]] {
        cluster.isolate(away);
        cluster.pass(LONG);
        assert_eq!(cluster.records().iter().sum::<u64>(), 3);
        cluster.heal();
    }
    assert!(cluster.counter(at, "reap_blocked_by_peer") > 0);
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [0; 5]);
}

#[test]
fn a_release_that_counts_no_reaps_blocks() {
    let mut cluster = Cluster::new(4, reaping, 0);
    let at = cluster.deleted(all());
    let (_, others) = cluster.placed();
    let old = cluster.ids[others[0]];
    cluster.nodes[at].set_peer_level(old, 1);
    cluster.pass(LONG + AFTER);
    assert_eq!(cluster.records().iter().sum::<u64>(), 3);
}

#[test]
fn a_copy_that_differs_blocks_until_it_is_mended() {
    let mut cluster = Cluster::new(
        3,
        |config| {
            reaping(config);
            config.hint_bytes_max = Some(0);
        },
        0,
    );
    let (replicas, _) = cluster.placed();
    cluster.ask(replicas[0], KEY, set("milk"), all());
    cluster.isolate(replicas[2]);
    cluster.ask(replicas[0], KEY, delete(), Options::default());
    cluster.heal();
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [1; 3]);
    assert!(cluster.counter(replicas[0], "reap_blocked_by_difference") > 0);
    assert_eq!(cluster.read(replicas[1]).outcome, Outcome::NotFound);
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [0; 3]);
    assert_eq!(cluster.read(replicas[2]).outcome, Outcome::NotFound);
}

#[test]
fn a_hint_of_the_key_blocks_until_it_is_delivered() {
    let mut cluster = Cluster::new(5, reaping, 0);
    let (replicas, others) = cluster.placed();
    let away = replicas[2];
    cluster.isolate(away);
    cluster.ask(replicas[0], KEY, set("milk"), with_context());
    let keeps = |cluster: &Cluster, at: usize| cluster.nodes[at].hints().figures().records;
    let keeper = *others.iter().find(|&&at| keeps(&cluster, at) == 1).unwrap();
    // All meet again but for the keeper, which does not reach the replica.
    for (from, to) in std::mem::take(&mut cluster.cut) {
        let id = cluster.ids[to];
        if (from, to) != (keeper, away) {
            cluster.nodes[from].handle_peer_up(cluster.now, id);
        }
    }
    cluster.run();
    assert_eq!(cluster.ask(replicas[0], KEY, delete(), all()).outcome, Outcome::Ok);
    cluster.pass(LONG);
    assert_eq!((cluster.records().iter().sum::<u64>(), keeps(&cluster, keeper)), (3, 1));
    assert!(cluster.counter(replicas[0], "reap_blocked_by_hint") > 0);
    let id = cluster.ids[away];
    cluster.nodes[keeper].handle_peer_up(cluster.now, id);
    cluster.pass(LONG);
    assert_eq!((cluster.records(), keeps(&cluster, keeper)), (vec![0; 5], 0));
    assert_eq!(cluster.read(away).outcome, Outcome::NotFound);
}

#[test]
fn what_was_on_its_way_before_a_reap_is_refused_after_it() {
    let mut cluster = Cluster::new(4, reaping, 0);
    let (replicas, _) = cluster.placed();
    cluster.submit(replicas[0], KEY, set("old"), all());
    cluster.begin(replicas[0], KEY, put("milk", None), Options { w: Some(1), ..Options::default() });
    let late = cluster.hold(|message| matches!(message, Message::Replicate { .. }));
    assert_eq!(late.len(), 2, "to both other replicas");
    assert_eq!(cluster.ask(replicas[0], KEY, delete(), all()).outcome, Outcome::Ok);
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [0; 4]);
    cluster.give(late);
    assert_eq!(cluster.records(), [0; 4], "a late copy is what was deleted");
    assert_eq!(cluster.sum("stale_records_refused"), 2);
    // Who coordinated it knows by now, and what it writes from here on is taken.
    assert_eq!(cluster.ask(replicas[0], KEY, set("bread"), all()).outcome, Outcome::Ok);
    assert_eq!(values(&cluster.read(replicas[1])), ["bread"]);
}

#[test]
fn a_write_that_comes_between_is_not_reaped() {
    let mut cluster = Cluster::new(3, reaping, 0);
    let (replicas, _) = cluster.placed();
    cluster.deleted(all());
    let step = Duration::from_millis(20);
    let held = loop {
        cluster.now.mono = cluster.now.mono + step;
        cluster.now.wall.0 += step.as_millis() as u64;
        for at in 0..3 {
            if cluster.nodes[at].deadline() <= cluster.now.mono {
                cluster.nodes[at].handle_timeout(cluster.now);
            }
        }
        let held = cluster.hold(|message| matches!(message, Message::Reap(_)));
        if !held.is_empty() {
            break held;
        }
    };
    assert_eq!(held.len(), 2);
    assert_eq!(cluster.ask(replicas[1], KEY, set("bread"), all()).outcome, Outcome::Ok);
    cluster.give(held);
    assert_eq!(cluster.records(), [1; 3]);
    let values = values(&cluster.read(replicas[2]));
    assert_eq!(values, ["bread"]);
}

#[test]
fn an_expired_value_is_reaped_after_the_drift_of_clocks() {
    let mut cluster = Cluster::new(3, reaping, 0);
    let expires_ms = Some(cluster.now.wall.0 + 5_000);
    let value = Operation::Put { value: b"milk", context: None, blind: Blind::Siblings, expires_ms };
    assert_eq!(cluster.ask(0, KEY, value, all()).outcome, Outcome::Ok);
    cluster.pass(Duration::from_millis(5_000 + limits::CLOCK_DRIFT_MAX_MS) + AFTER - Duration::from_secs(1));
    assert_eq!((cluster.records(), cluster.sum("reap_nominated")), (vec![1; 3], 0));
    cluster.pass(LONG);
    assert_eq!(cluster.records(), [0; 3]);
}
