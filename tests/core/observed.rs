//! What a node tells of the reads that it coordinated.

use std::time::Duration;

use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options};

use super::{Cluster, put, set};

/// Every read is compared afterwards, and nothing else makes copies equal.
fn cluster() -> Cluster {
    let change = |config: &mut Config| {
        config.background_read_one_in = 1;
        config.hint_bytes_max = Some(0);
    };
    Cluster::new(3, change, 0)
}

/// Reads by one replica's answer, each node its own.
fn read(cluster: &mut Cluster, at: usize, key: &str) -> Outcome {
    cluster.ask(at, key, Operation::Get, Options { r: Some(1), ..Options::default() }).outcome
}

#[test]
fn a_stale_answer_is_counted_with_the_age_of_what_it_lacked() {
    let mut cluster = cluster();
    assert_eq!(read(&mut cluster, 0, "k"), Outcome::NotFound);
    assert_eq!((cluster.counter(0, "reads_compared"), cluster.counter(0, "reads_stale")), (1, 0));
    cluster.isolate(0);
    assert_eq!(cluster.ask(1, "k", set("v"), Options::default()).outcome, Outcome::Ok);
    cluster.advance(Duration::from_millis(700));
    // Nobody can be compared with: no statement.
    assert_eq!(read(&mut cluster, 0, "k"), Outcome::NotFound);
    cluster.advance(Duration::from_secs(2));
    assert_eq!(cluster.counter(0, "reads_compared"), 1);
    cluster.heal();
    assert_eq!(read(&mut cluster, 0, "k"), Outcome::NotFound);
    cluster.advance(Duration::from_millis(50));
    assert_eq!((cluster.counter(0, "reads_compared"), cluster.counter(0, "reads_stale")), (2, 1));
    let age = cluster.counter(0, "reads_stale_ms_max");
    assert!((2_700..3_000).contains(&age), "{age} ms");
    assert_eq!(read(&mut cluster, 0, "k"), Outcome::Ok, "it was repaired");
    assert_eq!(cluster.counter(0, "reads_stale"), 1);
}

#[test]
fn siblings_and_sizes_are_counted_and_the_worst_key_is_named() {
    let mut cluster = cluster();
    for value in ["a", "b", "c"] {
        assert_eq!(cluster.ask(0, "many", put(value, None), Options::default()).outcome, Outcome::Ok);
    }
    assert_eq!(cluster.ask(0, "one", put(&"x".repeat(500), None), Options::default()).outcome, Outcome::Ok);
    cluster.get(1, "many");
    cluster.get(1, "one");
    cluster.get(1, "none");
    let reads = cluster.nodes[1].status().reads;
    assert_eq!(reads.siblings, [(0, 1), (1, 1), (3, 1)]);
    assert_eq!(reads.object_bytes.iter().map(|step| step.1).sum::<u64>(), 2);
    assert!(cluster.counter(1, "reads_object_bytes_max") > 500);
    let worst = &reads.worst_keys[..];
    assert!(matches!(worst, [worst] if worst.key == b"many" && worst.siblings == 3), "{worst:?}");
    assert!(cluster.nodes[0].status().reads.worst_keys.is_empty(), "it has read nothing");
}

#[test]
fn staleness_is_forecast_once_round_trips_were_measured() {
    let mut cluster = cluster();
    let forecast = |cluster: &Cluster| {
        let counters = cluster.nodes[0].status().counters;
        counters
            .into_iter()
            .find(|(name, _)| *name == "forecast_r1_w1_stale_ppm_at_once")
            .map(|found| found.1)
    };
    assert_eq!(forecast(&cluster), None);
    assert_eq!(cluster.counter(0, "forecast_stale_ppm_at_once"), 0, "quorums that overlap are never stale");
    assert_eq!(cluster.ask(0, "k", set("v"), Options::default()).outcome, Outcome::Ok);
    assert_eq!(read(&mut cluster, 0, "k"), Outcome::Ok);
    assert_eq!(forecast(&cluster), Some(0), "frames take no time here");
}
