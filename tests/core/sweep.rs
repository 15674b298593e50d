//! The sweep: expired values lose their bytes, and nobody can tell who has dropped them yet.

use core::ops::ControlFlow;
use std::time::Duration;

use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, Operation, Options, Output, RequestId};
use quorate::proto::limits;
use quorate::proto::message::{Acks, Message};
use quorate::proto::node::Node;
use quorate::proto::ring;
use quorate::proto::store::{Store, StoreError};
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::proto::version::Object;
use quorate::store::MemoryStore;

use super::faulty::Faulty;
use super::{Cluster, put, set, values, with_context};

const SECOND: Duration = Duration::from_secs(1);

fn every_second(config: &mut Config) {
    config.sweep_interval = SECOND;
}

fn expiring(value: &str, expires_ms: u64) -> Operation<'_> {
    let expires_ms = Some(expires_ms);
    Operation::Put { value: value.as_bytes(), context: None, blind: Blind::Siblings, expires_ms }
}

fn all() -> Options {
    Options { w: Some(3), ..Options::default() }
}

fn counter<S: Store>(node: &Node<S>, name: &str) -> u64 {
    node.status().counters.into_iter().find(|&(known, _)| known == name).expect("it is counted").1
}

/// What a node's store holds of a key: the object and its item hash.
fn held<S: Store>(node: &Node<S>, key: &str) -> (Vec<u8>, u64) {
    let position = ring::position(&node.keys().hash, 0, key.as_bytes());
    let partition = node.layout().partition(position);
    let mut found = None;
    node.store().scan(partition, position, &mut |other, record| {
        if other.key == key.as_bytes() {
            found = Some((record.object.to_vec(), record.item_hash));
        }
        ControlFlow::Break(())
    });
    found.expect("it has a record")
}

fn is_shed<S: Store>(node: &Node<S>, key: &str) -> bool {
    let (object, _) = held(node, key);
    Object::decode(&object).unwrap().siblings().iter().any(|sibling| sibling.is_shed())
}

fn holds<S: Store>(node: &Node<S>, key: &str, value: &str) -> bool {
    held(node, key).0.windows(value.len()).any(|bytes| bytes == value.as_bytes())
}

fn total(cluster: &Cluster, name: &str) -> u64 {
    cluster.nodes.iter().map(|node| counter(node, name)).sum()
}

#[test]
fn the_bytes_of_an_expired_value_go_and_everything_else_stays() {
    for cold in [0, 1, 3] {
        let mut cluster = Cluster::new(3, every_second, cold);
        let expires_ms = cluster.now.wall.0 + 100;
        let dot = cluster.ask(0, "k", expiring("secret", expires_ms), all()).dot.unwrap();
        let before = held(&cluster.nodes[0], "k");
        cluster.advance(Duration::from_millis(600));
        cluster.advance(Duration::from_millis(399));
        assert_eq!(total(&cluster, "expired_shed"), 0, "no pass was due");
        for _ in 0..20 {
            cluster.advance(limits::SWEEP_WAIT);
        }
        for node in &cluster.nodes {
            assert!(is_shed(node, "k") && !holds(node, "k", "secret"));
            assert_eq!(held(node, "k").1, before.1, "the item hash stays");
            assert_eq!((counter(node, "expired_shed"), counter(node, "expired_nominated")), (1, 1));
        }
        let gone = cluster.get(1, "k");
        assert_eq!((&gone.outcome, gone.siblings.len()), (&Outcome::NotFound, 0));
        let seen = gone.context.expect("an expired key has a context");
        let reply = cluster.ask(0, "k", put("new", Some(&seen)), with_context());
        assert_eq!(reply.outcome, Outcome::Ok);
        assert_eq!(reply.dot.unwrap().actor, dot.actor, "the local part was kept");
        assert_eq!(values(&cluster.get(2, "k")), ["new"]);
        let (object, _) = held(&cluster.nodes[0], "k");
        assert_eq!(Object::decode(&object).unwrap().siblings().len(), 1, "what was shed is replaced");
    }
}

#[test]
fn a_value_goes_only_when_it_is_expired_by_every_good_clock() {
    let mut cluster = Cluster::new(3, every_second, 0);
    let now = cluster.now.wall.0;
    let late = now + 1_000 - limits::CLOCK_DRIFT_MAX_MS;
    cluster.ask(0, "k", expiring("early", late - 1), all());
    cluster.ask(0, "k", expiring("late", late), all());
    cluster.ask(0, "k", put("for good", None), all());
    cluster.advance(SECOND);
    assert!(!holds(&cluster.nodes[1], "k", "early") && holds(&cluster.nodes[1], "k", "late"));
    cluster.advance(SECOND);
    assert!(!holds(&cluster.nodes[1], "k", "late") && holds(&cluster.nodes[1], "k", "for good"));
    assert_eq!((total(&cluster, "expired_shed"), total(&cluster, "expired_nominated")), (6, 0));
    assert_eq!(values(&cluster.get(1, "k")), ["for good"]);
}

#[test]
fn whole_and_shed_copies_agree_and_nothing_is_repaired_to_and_fro() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let expires_ms = cluster.now.wall.0 + 100;
    cluster.ask(0, "k", expiring("secret", expires_ms), all());
    // Only the first sweeps; the clock of the others is as it was.
    let now = cluster.now;
    cluster.now.mono = now.mono + limits::SWEEP_INTERVAL;
    cluster.now.wall.0 += limits::SWEEP_INTERVAL.as_millis() as u64;
    cluster.nodes[0].handle_timeout(cluster.now);
    cluster.run();
    cluster.now.wall = now.wall;
    assert!(is_shed(&cluster.nodes[0], "k") && holds(&cluster.nodes[1], "k", "secret"));
    assert_eq!(held(&cluster.nodes[0], "k").1, held(&cluster.nodes[1], "k").1);
    let (applied, unchanged) = (total(&cluster, "applied"), total(&cluster, "unchanged"));
    let options = Options { r: Some(3), ..with_context() };
    for _ in 0..3 {
        let dead = cluster.ask(0, "k", Operation::Get, options);
        assert_eq!(dead.outcome, Outcome::NotFound, "a clock that is behind brings no empty value");
        assert!(dead.context.is_some());
        for at in [1, 2] {
            assert_eq!(values(&cluster.ask(at, "k", Operation::Get, options)), ["secret"]);
        }
    }
    assert_eq!(total(&cluster, "repairs"), 0);
    assert_eq!((total(&cluster, "applied"), total(&cluster, "unchanged")), (applied, unchanged));
    // A shed copy changes nothing at who has the bytes, and raises no alarm.
    let (object, _) = held(&cluster.nodes[0], "k");
    let (whole, _) = held(&cluster.nodes[1], "k");
    let message = Message::Replicate { keyspace: 0, key: b"k", acks: Acks::default(), object: &object };
    cluster.say(0, 1, &message);
    assert_eq!(held(&cluster.nodes[1], "k").0, whole);
    // A whole copy brings them back, until the next pass.
    let message = Message::Replicate { keyspace: 0, key: b"k", acks: Acks::default(), object: &whole };
    cluster.say(1, 0, &message);
    assert_eq!(held(&cluster.nodes[0], "k").0, whole);
    cluster.advance(2 * limits::SWEEP_INTERVAL);
    for node in &cluster.nodes {
        assert!(is_shed(node, "k"));
    }
    assert_eq!(total(&cluster, "dot_alarms"), 0);
    // A write that covers it, at a node that holds it shed, is the same everywhere.
    cluster.ask(0, "k", set("new"), all());
    for at in 0..3 {
        assert_eq!(values(&cluster.ask(at, "k", Operation::Get, options)), ["new"]);
        assert_eq!(held(&cluster.nodes[at], "k"), held(&cluster.nodes[0], "k"));
    }
    assert_eq!(total(&cluster, "repairs"), 0);
}

#[test]
fn a_peer_that_missed_a_value_gets_it_shed_and_agrees() {
    let mut cluster = Cluster::new(3, every_second, 0);
    cluster.isolate(2);
    let expires_ms = cluster.now.wall.0 + 100;
    cluster.ask(0, "k", expiring("secret", expires_ms), Options::default());
    cluster.advance(SECOND);
    cluster.heal();
    let options = Options { r: Some(3), ..with_context() };
    assert_eq!(cluster.ask(0, "k", Operation::Get, options).outcome, Outcome::NotFound);
    assert_eq!(held(&cluster.nodes[2], "k"), held(&cluster.nodes[0], "k"));
    let repairs = total(&cluster, "repairs");
    assert_eq!(cluster.ask(2, "k", Operation::Get, options).outcome, Outcome::NotFound);
    assert_eq!(total(&cluster, "repairs"), repairs);
}

#[test]
fn a_node_in_which_nothing_expires_sleeps() {
    let mut cluster = Cluster::new(1, |_| {}, 0);
    let deadline = |cluster: &Cluster| cluster.nodes[0].deadline();
    cluster.ask(0, "a", set("v"), Options::default());
    cluster.advance(SECOND);
    assert_eq!(deadline(&cluster), Instant::NEVER);
    // One that expires in an hour: a pass each interval, one turn each.
    let begun = cluster.now.mono;
    let hour = 3_600;
    let expires_ms = cluster.now.wall.0 + 1_000 * hour;
    cluster.ask(0, "b", expiring("w", expires_ms), Options::default());
    let mut wakes = 0;
    while counter(&cluster.nodes[0], "expired_shed") == 0 {
        let next = deadline(&cluster).since(cluster.now.mono);
        assert!(next <= limits::SWEEP_INTERVAL && (wakes == 0 || next == limits::SWEEP_INTERVAL));
        cluster.advance(next);
        wakes += 1;
    }
    let passed = cluster.now.mono.since(begun).as_secs();
    assert!(passed >= hour && passed <= hour + limits::SWEEP_INTERVAL.as_secs(), "after {passed} s");
    assert_eq!(wakes, 7);
    assert_eq!(deadline(&cluster), Instant::NEVER, "nothing is left to expire");
}

/// A node alone, with so many values of so many bytes that expire at once, ten seconds later.
struct Alone {
    node: Node<Faulty>,
    now: Now,
}

impl Alone {
    fn new(count: u64, length: usize) -> Alone {
        let mut now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
        let mut config = Config::new("a");
        config.partitions = 4;
        config.sweep_interval = SECOND;
        config.reap_after = None;
        let store = Faulty {
            memory: MemoryStore::new(config.partitions, &mut || 9),
            reason: None,
            puts: 0,
            fails_syncs: false,
        };
        let hints = Faulty { memory: super::no_hints(1), reason: None, puts: 0, fails_syncs: false };
        let mut node = Node::new(config, store, hints, 1, now).unwrap();
        let value = "v".repeat(length);
        for at in 0..count {
            let operation = expiring(&value, now.wall.0 + 1);
            let key = at.to_string();
            let options = Options::default();
            let request =
                quorate::proto::io::Request { keyspace: 0, key: key.as_bytes(), operation, options };
            node.handle_request(now, RequestId(at), &request);
        }
        now.mono = now.mono + 10 * SECOND;
        now.wall.0 += 10_000;
        let mut alone = Alone { node, now };
        alone.drain();
        alone
    }

    fn drain(&mut self) {
        while let Some(output) = self.node.poll_output(self.now) {
            match output {
                Output::Reply { reply, .. } => assert_eq!(reply.outcome, Outcome::Ok),
                Output::Sync(need) => {
                    self.node.store_mut().flush(need);
                    self.node.handle_synced(self.now);
                }
                Output::SyncHints(_) | Output::Send { .. } | Output::Probed { .. } | Output::Met(_) => {
                    unreachable!("it is alone")
                }
            }
        }
    }

    /// One turn; says how many values it shed and how long the next one is away.
    fn turn(&mut self) -> (u64, Duration) {
        let before = counter(&self.node, "expired_shed");
        self.node.handle_timeout(self.now);
        self.drain();
        let next = self.node.deadline();
        let away = if next == Instant::NEVER { Duration::MAX } else { next.since(self.now.mono) };
        (counter(&self.node, "expired_shed") - before, away)
    }
}

#[test]
fn a_turn_is_bounded_and_a_pass_misses_nothing() {
    let most = limits::SWEEP_RECORDS_MAX as u64;
    let mut alone = Alone::new(3 * most, 1);
    let mut turns = 0;
    loop {
        let (shed, away) = alone.turn();
        assert!(shed <= most);
        turns += 1;
        if away == Duration::MAX {
            break;
        }
        assert_eq!(away, limits::SWEEP_PAUSE);
        alone.now.mono = alone.now.mono + away;
    }
    assert_eq!(counter(&alone.node, "expired_shed"), 3 * most);
    assert_eq!(counter(&alone.node, "expired_nominated"), 3 * most);
    assert!((3..=4).contains(&turns), "{turns} turns");
}

#[test]
fn a_turn_is_bounded_in_bytes_too() {
    let mut alone = Alone::new(8, limits::SWEEP_BYTES_MAX / 2);
    let (first, away) = alone.turn();
    assert!((1..8).contains(&first) && away == limits::SWEEP_PAUSE);
    while alone.node.deadline() != Instant::NEVER {
        alone.now.mono = alone.now.mono + limits::SWEEP_PAUSE;
        alone.turn();
    }
    assert_eq!(counter(&alone.node, "expired_shed"), 8);
}

#[test]
fn an_overloaded_store_makes_the_sweep_wait_and_a_full_or_failed_one_ends_it() {
    for (reason, away, puts) in [
        (StoreError::Overloaded, limits::SWEEP_WAIT, 1),
        (StoreError::Full, SECOND, 1),
        (StoreError::ReadOnly, SECOND, 0),
    ] {
        let mut alone = Alone::new(20, 1);
        alone.node.store_mut().reason = Some(reason.clone());
        for _ in 0..3 {
            let before = alone.node.store().puts;
            assert_eq!(alone.turn(), (0, away), "{reason}");
            assert_eq!(alone.node.store().puts - before, puts, "{reason}");
            alone.now.mono = alone.now.mono + away;
        }
        alone.node.store_mut().reason = None;
        assert_eq!(alone.turn(), (20, Duration::MAX), "{reason}");
    }
}
