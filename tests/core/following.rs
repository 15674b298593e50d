//! Replicas that hear late of another topology, and those whose directory is another: when their answers count.

use std::time::Duration;

use quorate::proto::cluster::{Change, Order};
use quorate::proto::config::{Config, MemberSpec, Membership};
use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options};
use quorate::proto::limits::{DROP_AFTER, TRANSFER_PAGE};
use quorate::proto::message::{Message, decode_frame, split_frame};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::MemoryStore;

use super::{Cluster, put};

/// Members that have founded a cluster that can grow, all connected.
fn founded(count: usize) -> Cluster {
    let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
    let mut random = Rng::new(count as u64);
    let mut member = |at: usize| {
        let store = MemoryStore::new(&mut || random.next_u64());
        let generation = store.identity().generation;
        (MemberSpec { generation, ..MemberSpec::new(&format!("n{at}"), &format!("host:{at}")) }, store)
    };
    let (members, stores): (Vec<_>, Vec<_>) = (0..count).map(&mut member).unzip();
    let start = |(at, store)| {
        let mut config = Config::new(&format!("n{at}"));
        config.members.clone_from(&members);
        config.membership = Membership::Founded;
        config.background_read_one_in = 0;
        Node::new(config, store, at as u64, now).unwrap()
    };
    Cluster::of(stores.into_iter().enumerate().map(start).collect(), now)
}

impl Cluster {
    fn order(&mut self, at: usize, order: Order) {
        let reply = self.ask(at, "", Operation::Cluster(order), Options::default());
        assert_eq!(reply.outcome, Outcome::Ok);
    }

    fn version(&self, at: usize) -> u64 {
        self.nodes[at].topology().version()
    }

    /// Carries everything but topologies to some: these are kept back, as a slow disk does that has to keep them.
    fn run_without_topologies(&mut self, late: &[usize]) -> Vec<(usize, usize, Vec<u8>)> {
        let mut kept_back = Vec::new();
        loop {
            (0..self.nodes.len()).for_each(|at| self.drain(at));
            let wire = std::mem::take(&mut self.wire);
            if wire.is_empty() {
                return kept_back;
            }
            for (from, to, frames) in wire {
                let mut rest = &frames[..];
                while let Ok((frame, after)) = split_frame(rest) {
                    let is_topology = matches!(decode_frame(frame), Ok((_, Message::Topology(_))));
                    if is_topology && late.contains(&to) {
                        kept_back.push((from, to, frame.to_vec()));
                    } else {
                        self.nodes[to].handle_frames(self.now, self.ids[from], frame).unwrap();
                    }
                    rest = after;
                }
            }
        }
    }
}

#[test]
fn who_follows_late_is_asked_again_at_once() {
    let mut cluster = founded(5);
    let keys: Vec<String> = (0..40).map(|number| format!("k{number}")).collect();
    for key in &keys {
        assert_eq!(cluster.ask(0, key, put("v", None), Options::default()).outcome, Outcome::Ok);
    }
    let keepers: Vec<_> = cluster.nodes[0].topology().keepers().iter().map(|seat| seat.member).collect();
    let (late, decide): (Vec<usize>, Vec<usize>) =
        (0..5).partition(|&at| !keepers.contains(&cluster.ids[at]));
    let (teller, leaver) = (decide[0], decide[1]);
    cluster.order(teller, Order::Stage(Change::Leave(format!("n{leaver}"))));
    let commit = Operation::Cluster(Order::Commit(None));
    cluster.begin(teller, "", commit, Options::default());
    let mut kept_back = cluster.run_without_topologies(&late);
    assert!(late.iter().all(|&late| cluster.version(late) < cluster.version(teller)), "they are late");
    let all = Options { r: Some(3), w: Some(3), ..Options::default() };
    let mut asked = Vec::new();
    for key in &keys {
        asked.push(cluster.begin(teller, key, Operation::Get, all));
        asked.push(cluster.begin(teller, key, put("w", None), all));
    }
    kept_back.extend(cluster.run_without_topologies(&late));
    let open = asked.iter().filter(|id| !cluster.replies.contains_key(id)).count();
    assert!(open > 0, "none of these keys moves");
    for (from, to, frame) in kept_back {
        cluster.nodes[to].handle_frames(cluster.now, cluster.ids[from], &frame).unwrap();
    }
    // No time passes.
    cluster.run();
    assert!(late.iter().all(|&late| cluster.version(late) == cluster.version(teller)), "they have followed");
    for id in asked {
        assert_eq!(cluster.replies.get(&id).map(|reply| &reply.outcome), Some(&Outcome::Ok));
    }
}

/// A replica that has lost its directory has forgotten which topologies it had followed, too: it keeps what it is
/// sent, and no write is complete by it, until it is let in again.
#[test]
fn who_lost_its_directory_completes_no_write_until_it_is_let_in() {
    let mut cluster = founded(3);
    cluster.restart_with(2, |config| {
        config.membership = Membership::Joined;
        config.auto_commit = false;
    });
    cluster.advance(Duration::from_secs(1));
    assert_eq!(cluster.version(2), cluster.version(0), "it follows");
    let all = Options { w: Some(3), ..Options::default() };
    let reply = cluster.ask(0, "k", put("v", None), all);
    assert_eq!((reply.outcome, reply.achieved.acked), (Outcome::Maybe, 2));
    assert_eq!(cluster.nodes[2].store().len(), 1, "it has stored it all the same");
    cluster.order(0, Order::Commit(None));
    for _ in 0..20 {
        cluster.advance(Duration::from_millis(500));
    }
    let reply = cluster.ask(0, "k", put("w", None), all);
    assert_eq!((reply.outcome, reply.achieved.acked), (Outcome::Ok, 3));
}

/// Who hands over offers what it has; what the others have of later looks like something they lack. Page after page
/// goes as soon as the one before it is acknowledged.
#[test]
fn pages_of_a_hand_over_follow_each_other() {
    let mut cluster = founded(4);
    let keys: Vec<String> = (0..400).map(|number| format!("k{number}")).collect();
    let value = "v".repeat(TRANSFER_PAGE);
    for key in &keys {
        assert_eq!(cluster.ask(0, key, put(&value, None), Options::default()).outcome, Outcome::Ok);
    }
    cluster.order(0, Order::Stage(Change::Leave("n3".to_owned())));
    cluster.order(0, Order::Commit(None));
    let mut steps = 0;
    while cluster.nodes[0].topology().next().is_some() {
        steps += 1;
        assert!(steps < 200, "the transition does not end");
        cluster.advance(Duration::from_millis(100));
    }
    for key in &keys {
        assert_eq!(cluster.ask(0, key, put(&value, None), Options::default()).outcome, Outcome::Ok);
    }
    let before = cluster.nodes[3].store().len();
    assert!(before > 200, "{before} records are still there");
    cluster.advance(DROP_AFTER);
    // Each of its partitions takes a few steps, four of them at a time.
    for _ in 0..1_000 {
        cluster.advance(Duration::from_millis(10));
    }
    assert_eq!(cluster.nodes[3].store().len(), 0, "dropped within ten seconds");
}
