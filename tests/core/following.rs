//! Replicas that hear late of another topology, and those whose directory is another: when their answers count.

use std::time::Duration;

use quorate::proto::cluster::{Change, Order};
use quorate::proto::config::{Config, KeyspaceConfig, MemberSpec, Membership};
use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options};
use quorate::proto::limits::{DROP_AFTER, TRANSFER_PAGE};
use quorate::proto::message::{Message, Progress, decode_frame, split_frame};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::MemoryStore;

use super::{Cluster, put};

/// Members that have founded a cluster that can grow, all connected.
pub fn founded(count: usize) -> Cluster {
    founded_with(count, |_| ())
}

fn founded_with(count: usize, change: impl Fn(&mut Config)) -> Cluster {
    let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
    let mut random = Rng::new(count as u64);
    let mut member = |at: usize| {
        let store = MemoryStore::new(Config::new("").partitions, &mut || random.next_u64());
        let generation = store.identity().generation;
        (MemberSpec { generation, ..MemberSpec::new(&format!("n{at}"), &format!("host:{at}")) }, store)
    };
    let (members, stores): (Vec<_>, Vec<_>) = (0..count).map(&mut member).unzip();
    let start = |(at, store)| {
        let mut config = Config::new(&format!("n{at}"));
        config.members.clone_from(&members);
        config.membership = Membership::Founded;
        config.background_read_one_in = 0;
        config.exchange_interval = None;
        config.reap_after = None;
        change(&mut config);
        Node::new(config, store, super::no_hints(at as u64 + 1), at as u64, now).unwrap()
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
        self.run_without(|_, to, message| matches!(message, Message::Topology(_)) && late.contains(&to))
    }

    /// Carries everything but what is kept back, from, to and what.
    pub fn run_without(
        &mut self,
        is_kept_back: impl Fn(usize, usize, &Message<'_>) -> bool,
    ) -> Vec<(usize, usize, Vec<u8>)> {
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
                    let (_, message) = decode_frame(frame).unwrap();
                    if is_kept_back(from, to, &message) {
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
fn who_is_behind_is_told_again_where_a_datagram_was_lost() {
    let mut cluster = founded(4);
    cluster.order(0, Order::Stage(Change::Leave("n3".into())));
    let commit = Operation::Cluster(Order::Commit(None));
    cluster.begin(0, "", commit, Options::default());
    let lost = cluster.run_without_topologies(&[1, 2]);
    assert!(!lost.is_empty() && cluster.version(1) < cluster.version(0), "what was to be told is lost");
    for _ in 0..4 {
        cluster.advance(Duration::from_secs(1));
    }
    assert_eq!(cluster.version(1), cluster.version(0));
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

#[test]
fn who_lost_its_directory_is_told_although_a_late_copy_says_that_it_knows() {
    let mut cluster = founded(3);
    cluster.replace(2, |config| config.membership = Membership::Joined);
    let (now, lost) = (cluster.now, cluster.ids[2]);
    cluster.nodes[0].handle_peer_up(now, lost);
    let late = Progress { version: cluster.version(0), generation: 7, total: 0, open: 0, bytes: 0 };
    cluster.cut.push((0, 2));
    cluster.say(2, 0, &Message::Progress(late));
    cluster.cut.clear();
    let other = cluster.ids[0];
    cluster.nodes[2].handle_peer_up(now, other);
    for _ in 0..3 {
        cluster.advance(Duration::from_secs(1));
    }
    assert_eq!(cluster.version(2), cluster.version(0));
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

/// A replica that comes to hold one more keyspace of a partition has missed attempts to reap in it. None of these can have
/// taken a key out without its word, and reads count on what it holds: it stays there while the rest is fetched.
#[test]
fn who_fetches_one_more_keyspace_keeps_what_it_holds() {
    let mut cluster = founded_with(4, |config| {
        let few = KeyspaceConfig { n: 1, ..KeyspaceConfig::default() };
        config.keyspaces = vec![KeyspaceConfig::default(), few];
    });
    let keys: Vec<String> = (0..100).map(|number| format!("k{number}")).collect();
    let all = Options { w: Some(3), ..Options::default() };
    for key in &keys {
        assert_eq!(cluster.ask(0, key, put("v", None), all).outcome, Outcome::Ok);
    }
    for partition in 0..cluster.nodes[0].topology().current().partitions() as u16 {
        // By another path each of them has heard of the same attempt.
        for at in 0..4 {
            cluster.say((at + 1) % 4, at, &Message::Stale { partition, count: 9 });
        }
    }
    cluster.order(0, Order::Stage(Change::Leave("n3".to_owned())));
    cluster.begin(0, "", Operation::Cluster(Order::Commit(None)), Options::default());
    let mut most = [0; 3];
    for _ in 0..2_000 {
        while cluster.carry_once() {
            for (at, most) in most.iter_mut().enumerate() {
                let holds = cluster.nodes[at].store().len();
                assert!(holds >= *most, "n{at} had {most} keys and has {holds}");
                *most = holds;
            }
        }
        cluster.now.mono = cluster.now.mono + Duration::from_millis(10);
        let now = cluster.now;
        let due = cluster.nodes.iter_mut().filter(|node| node.deadline() <= now.mono);
        due.for_each(|node| node.handle_timeout(now));
    }
    assert!(cluster.nodes[0].topology().next().is_none(), "the transition does not end");
    assert!(cluster.counter(0, "partitions_fetched") > 0);
    assert_eq!(most, [100; 3]);
}

impl Cluster {
    /// Of a cluster of four, with these keys, the last has left and is about to hand over what it has.
    fn about_to_hand_over(keys: &[String], value: &str) -> Cluster {
        let mut cluster = founded(4);
        for key in keys {
            assert_eq!(cluster.ask(0, key, put(value, None), Options::default()).outcome, Outcome::Ok);
        }
        cluster.order(0, Order::Stage(Change::Leave("n3".to_owned())));
        cluster.order(0, Order::Commit(None));
        let mut steps = 0;
        while cluster.nodes[0].topology().next().is_some() {
            steps += 1;
            assert!(steps < 200, "the transition does not end");
            cluster.advance(Duration::from_millis(100));
        }
        // It has older versions than the others, by now.
        for key in keys {
            assert_eq!(cluster.ask(0, key, put(value, None), Options::default()).outcome, Outcome::Ok);
        }
        cluster
    }
}

/// Who hands over offers what it has; what the others have of later looks like something they lack. Page after page
/// goes as soon as the one before it is acknowledged.
#[test]
fn pages_of_a_hand_over_follow_each_other() {
    let keys: Vec<String> = (0..400).map(|number| format!("k{number}")).collect();
    let mut cluster = Cluster::about_to_hand_over(&keys, &"v".repeat(TRANSFER_PAGE));
    let before = cluster.nodes[3].store().len();
    assert!(before > 200, "{before} records are still there");
    cluster.advance(DROP_AFTER);
    // Each of its partitions takes a few steps, four of them at a time.
    for _ in 0..1_000 {
        cluster.advance(Duration::from_millis(10));
    }
    assert_eq!(cluster.nodes[3].store().len(), 0, "dropped within ten seconds");
}

/// An acknowledgement may come over another connection than the record went. By then the comparison has begun anew, and
/// ends only by its own answers: with one replica alone it does not (rule L2).
#[test]
fn a_late_acknowledgement_ends_no_comparison() {
    // So few that all their partitions are under way at one time.
    let keys: Vec<String> = (0..5).map(|number| format!("k{number}")).collect();
    let mut cluster = Cluster::about_to_hand_over(&keys, "v");
    let before = cluster.nodes[3].store().len();
    assert!((1..=4).contains(&before), "{before} records are still there");
    let step = |cluster: &mut Cluster, by: Duration| {
        cluster.now.mono = cluster.now.mono + by;
        let now = cluster.now;
        cluster
            .nodes
            .iter_mut()
            .filter(|node| node.deadline() <= now.mono)
            .for_each(|node| node.handle_timeout(now));
    };
    step(&mut cluster, DROP_AFTER);
    let mut late = Vec::new();
    for _ in 0..20 {
        late.extend(
            cluster.run_without(|_, to, message| to == 3 && matches!(message, Message::Acknowledge(_))),
        );
        step(&mut cluster, Duration::from_millis(10));
    }
    assert!(late.iter().any(|&(from, ..)| from > 0), "nothing was acknowledged by the others");
    for other in 0..3 {
        let (one, two) = (cluster.ids[3], cluster.ids[other]);
        cluster.nodes[3].handle_peer_down(cluster.now, two);
        cluster.nodes[other].handle_peer_down(cluster.now, one);
        cluster.nodes[3].handle_peer_up(cluster.now, two);
        cluster.nodes[other].handle_peer_up(cluster.now, one);
    }
    // From here on only one of them answers.
    let is_silent = |from: usize, to: usize, message: &Message<'_>| {
        from > 0 && to == 3 && matches!(message, Message::Compared(_) | Message::Acknowledge(_))
    };
    for _ in 0..10 {
        step(&mut cluster, Duration::from_millis(10));
        cluster.run_without(is_silent);
    }
    for (from, to, frame) in late {
        cluster.nodes[to].handle_frames(cluster.now, cluster.ids[from], &frame).unwrap();
    }
    for _ in 0..3_000 {
        step(&mut cluster, Duration::from_millis(10));
        cluster.run_without(is_silent);
    }
    assert_eq!(cluster.nodes[3].store().len(), before, "dropped after one replica was compared");
}
