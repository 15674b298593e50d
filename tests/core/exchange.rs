//! Copies that are compared and made equal without anybody reading them.

use std::time::Duration;

use quorate::proto::config::{Config, KeyspaceConfig};
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, Operation, Options, Request, RequestId};
use quorate::proto::store::Store;

use super::{Cluster, put};

fn always(config: &mut Config) {
    config.exchange_interval = Some(Duration::from_secs(1));
    config.partitions = 16;
    config.hint_bytes_max = Some(0);
}

fn alone() -> Options {
    Options { w: Some(1), ..Options::default() }
}

impl Cluster {
    /// Lets time pass in small steps.
    pub(super) fn pass(&mut self, time: Duration) {
        let step = Duration::from_millis(20);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.advance(step);
        }
    }

    /// The roots of all trees of a node.
    fn roots(&self, at: usize) -> Vec<((u16, u16), u64)> {
        let roots = self.nodes[at].store().trees().roots();
        roots.into_iter().map(|(place, digest)| (place, digest.sum)).collect()
    }

    pub(super) fn are_equal(&self) -> bool {
        (1..self.nodes.len()).all(|at| self.roots(at) == self.roots(0))
    }

    pub(super) fn sum(&self, name: &str) -> u64 {
        (0..self.nodes.len()).map(|at| self.counter(at, name)).sum()
    }

    pub(super) fn part(&mut self) {
        for one in 0..self.nodes.len() {
            self.isolate(one);
        }
    }

    pub(super) fn meet(&mut self) {
        self.cut.clear();
        for one in 0..self.nodes.len() {
            for other in (0..self.nodes.len()).filter(|&other| other != one) {
                let id = self.ids[other];
                self.nodes[one].handle_peer_up(self.now, id);
            }
        }
        self.run();
    }
}

#[test]
fn what_was_written_apart_meets() {
    let mut cluster = Cluster::new(3, always, 0);
    for number in 0..300 {
        assert_eq!(
            cluster.ask(0, &format!("k{number}"), put("v", None), Options::default()).outcome,
            Outcome::Ok
        );
    }
    cluster.part();
    for at in 0..3 {
        let delete = Operation::Delete { context: None, blind: Blind::Supersede };
        cluster.ask(at, "k7", put(&format!("by {at}"), None), alone());
        cluster.ask(at, &format!("new{at}"), put("v", None), alone());
        cluster.ask(at, &format!("k{at}"), delete, alone());
    }
    assert!(!cluster.are_equal());
    cluster.meet();
    cluster.pass(Duration::from_secs(8));
    assert!(cluster.are_equal());
    let mut seen: Vec<_> = cluster.get(1, "k7").siblings.into_iter().map(|sibling| sibling.value).collect();
    seen.sort();
    assert_eq!(seen, [&b"by 0"[..], b"by 1", b"by 2", b"v"]);
    let moved = cluster.sum("exchange_records_taken") + cluster.sum("exchange_records_sent");
    assert!((14..60).contains(&moved), "{moved} records for 7 keys at 3 nodes");
    // Equal, they say so in one message each.
    let before = (cluster.sum("exchange_compared_bytes"), cluster.sum("exchanges"));
    cluster.pass(Duration::from_secs(4));
    let (bytes, exchanges) =
        (cluster.sum("exchange_compared_bytes") - before.0, cluster.sum("exchanges") - before.1);
    assert!(exchanges >= 9 && bytes <= exchanges * 20, "{bytes} bytes in {exchanges} exchanges");
}

#[test]
fn one_differing_key_of_many_costs_little() {
    let mut cluster = Cluster::new(3, always, 0);
    for number in 0..4_000 {
        cluster.submit(0, &format!("k{number}"), put("value", None), Options::default());
    }
    cluster.pass(Duration::from_secs(4));
    assert!(cluster.are_equal());
    cluster.part();
    cluster.ask(1, "k77", put("another", None), alone());
    let before = cluster.sum("exchange_compared_bytes");
    cluster.meet();
    cluster.pass(Duration::from_secs(5));
    assert!(cluster.are_equal());
    let bytes = cluster.sum("exchange_compared_bytes") - before;
    assert!(bytes < 12_000, "{bytes}");
}

#[test]
fn an_emptied_copy_is_filled_again_and_the_bytes_are_those_of_its_records() {
    let mut cluster = Cluster::new(3, always, 0);
    let value = "v".repeat(100);
    for number in 0..2_000 {
        cluster.submit(0, &format!("k{number}"), put(&value, None), Options::default());
    }
    cluster.pass(Duration::from_secs(4));
    cluster.restart_with(2, |_| ());
    assert_eq!(cluster.nodes[2].store().len(), 0);
    let before = cluster.sum("exchange_compared_bytes");
    cluster.pass(Duration::from_secs(10));
    assert!(cluster.are_equal());
    let taken = cluster.counter(2, "exchange_bytes_taken");
    let sent = cluster.counter(0, "exchange_bytes_sent") + cluster.counter(1, "exchange_bytes_sent");
    let compared = cluster.sum("exchange_compared_bytes") - before;
    let data: u64 = (0..16).map(|partition| cluster.nodes[0].store().partition_stats(partition).bytes).sum();
    assert!(taken + sent + compared <= data * 11 / 10, "{taken} + {sent} + {compared} for {data}");
}

#[test]
fn what_is_young_may_be_on_its_way() {
    let mut cluster = Cluster::new(3, always, 0);
    cluster.pass(Duration::from_secs(4));
    cluster.cut = vec![(0, 2), (1, 2)];
    let id = cluster.submit(0, "k", put("v", None), Options::default());
    assert_eq!(cluster.replies[&id].outcome, Outcome::Ok);
    cluster.cut.clear();
    cluster.pass(Duration::from_millis(1_000));
    let moved =
        |cluster: &Cluster| cluster.sum("exchange_records_taken") + cluster.sum("exchange_records_sent");
    assert_eq!(moved(&cluster), 0);
    cluster.pass(Duration::from_secs(6));
    assert!(cluster.are_equal());
    assert!(moved(&cluster) > 0);
}

#[test]
fn a_keyspace_of_two_copies_lies_beside_one_of_three() {
    let mut cluster = Cluster::new(
        3,
        |config| {
            always(config);
            config.keyspaces =
                vec![KeyspaceConfig::default(), KeyspaceConfig { n: 2, ..KeyspaceConfig::default() }];
        },
        0,
    );
    cluster.part();
    for number in 0..60 {
        let key = format!("k{number}");
        for keyspace in 0..2 {
            cluster.next += 1;
            let options = alone();
            let request = Request { keyspace, key: key.as_bytes(), operation: put("v", None), options };
            let (at, id) = (number % 3, RequestId(cluster.next));
            let now = cluster.now;
            cluster.nodes[at].handle_request(now, id, &request);
        }
    }
    cluster.run();
    cluster.meet();
    cluster.pass(Duration::from_secs(8));
    let keys = |at: usize, keyspace: u16| -> u32 {
        let roots = cluster.nodes[at].store().trees().roots();
        roots.iter().filter(|((_, of), _)| *of == keyspace).map(|(_, digest)| digest.keys).sum()
    };
    assert_eq!((keys(0, 0), keys(1, 0), keys(2, 0)), (60, 60, 60));
    let two: Vec<u32> = (0..3).map(|at| keys(at, 1)).collect();
    assert!(two.iter().sum::<u32>() >= 60 && two.iter().all(|&keys| keys < 60), "{two:?}");
    let before = cluster.sum("exchange_records_taken") + cluster.sum("exchange_records_sent");
    cluster.pass(Duration::from_secs(4));
    assert_eq!(cluster.sum("exchange_records_taken") + cluster.sum("exchange_records_sent"), before);
}

#[test]
fn an_operator_has_all_copies_compared_at_once_and_sees_when_they_were() {
    let mut cluster = Cluster::new(3, always, 0);
    let ages = |cluster: &Cluster| cluster.nodes[0].verified(cluster.now.mono);
    let oldest =
        |cluster: &Cluster| ages(cluster).into_iter().map(|(_, age)| age).max().expect("all are shared");
    assert_eq!(ages(&cluster).len(), 16);
    cluster.pass(Duration::from_secs(5));
    assert!(oldest(&cluster) <= Duration::from_secs(2), "each of two others in turn: {:?}", oldest(&cluster));
    cluster.isolate(2);
    cluster.ask(0, "k", put("v", None), Options::default());
    cluster.pass(Duration::from_secs(5));
    assert!(oldest(&cluster) >= Duration::from_secs(5), "one was not there: {:?}", oldest(&cluster));
    cluster.meet();
    assert!(!cluster.are_equal());
    let now = cluster.now;
    assert!(cluster.nodes[0].compare_all(now));
    cluster.pass(Duration::from_millis(200));
    assert!(oldest(&cluster) <= Duration::from_millis(200), "{:?}", oldest(&cluster));
    assert!(cluster.are_equal());
    let done = cluster.sum("exchanges");
    cluster.pass(Duration::from_secs(10));
    assert!(cluster.sum("exchanges") <= done + 3 * 11, "once, and then as often as ever");
}
