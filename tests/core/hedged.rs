//! Hedged reads: one more replica is asked when one is later than it usually is, and not too often.

use std::time::Duration;

use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options};

use super::{Cluster, put};

/// Three nodes that have read from each other so often that they know how fast each is.
fn used_to_each_other() -> Cluster {
    let mut cluster = Cluster::new(3, |_| (), 0);
    assert_eq!(
        cluster.ask(0, "k", put("v", None), Options { w: Some(3), ..Options::default() }).outcome,
        Outcome::Ok
    );
    for _ in 0..3_000 {
        assert_eq!(cluster.get(0, "k").outcome, Outcome::Ok);
    }
    cluster
}

/// Reads at the first node while nothing reaches the second: how many of them were answered within two milliseconds,
/// and how many needed that.
fn read_beside_a_silent_one(cluster: &mut Cluster, count: u32) -> (u32, u32) {
    cluster.cut = vec![(0, 1)];
    let (mut soon, mut late) = (0, 0);
    for _ in 0..count {
        let id = cluster.submit(0, "k", Operation::Get, Options::default());
        if cluster.replies.contains_key(&id) {
            continue;
        }
        late += 1;
        cluster.advance(Duration::from_millis(2));
        soon += u32::from(cluster.replies.contains_key(&id));
        (0..4).for_each(|_| cluster.advance(Duration::from_millis(100)));
        assert!(cluster.replies.contains_key(&id), "another is asked in the end");
    }
    (soon, late)
}

fn hedges(cluster: &Cluster) -> u64 {
    cluster.counter(0, "hedges")
}

#[test]
fn a_late_replica_costs_little_more_than_it_usually_takes() {
    let mut cluster = used_to_each_other();
    assert_eq!(hedges(&cluster), 0, "nobody was late");
    let (soon, late) = read_beside_a_silent_one(&mut cluster, 4);
    assert!(late > 0, "nobody asked the silent one");
    assert_eq!(soon, late);
    assert_eq!(hedges(&cluster), u64::from(late));
}

#[test]
fn who_is_slow_for_long_is_asked_last() {
    let mut cluster = used_to_each_other();
    read_beside_a_silent_one(&mut cluster, 150);
    let before = cluster.counter(0, "retries");
    let (_, late) = read_beside_a_silent_one(&mut cluster, 40);
    assert_eq!((late, cluster.counter(0, "retries")), (0, before));
}

#[test]
fn at_most_one_read_in_twenty_is_hedged() {
    let mut cluster = Cluster::new(3, |_| (), 0);
    assert_eq!(
        cluster.ask(0, "k", put("v", None), Options { w: Some(3), ..Options::default() }).outcome,
        Outcome::Ok
    );
    let reads = 200;
    // Nobody else answers in time, so that each read is late.
    cluster.cut = vec![(0, 1), (0, 2)];
    for _ in 0..reads {
        cluster.submit(
            0,
            "k",
            Operation::Get,
            Options { timeout: Some(Duration::from_millis(40)), ..Options::default() },
        );
        for _ in 0..45 {
            cluster.advance(Duration::from_millis(1));
        }
    }
    assert!((1..=reads / 20).contains(&hedges(&cluster)), "{} of {reads}", hedges(&cluster));
}
