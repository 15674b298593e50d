//! Scans by R replicas: what some of them have missed, and what becomes of a page that cannot be finished.

use std::time::Duration;

use quorate::proto::config::Config;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, Operation, Options, Reply};
use quorate::proto::limits::SCAN_READS_MAX;
use quorate::proto::message::{Envelope, Listed, Message, Scanned, decode_frame, split_frame};

use super::{Cluster, put, set};

fn scan(cluster: &mut Cluster, at: usize, cursor: u64, limit: u32, options: Options) -> Reply {
    cluster.ask(at, "", Operation::Scan { cursor, limit }, options)
}

fn keys_of(reply: &Reply) -> Vec<String> {
    let page = reply.page.as_ref().unwrap_or_else(|| panic!("{:?}", reply.outcome));
    let mut keys: Vec<_> = page.keys.iter().map(|key| String::from_utf8(key.clone()).unwrap()).collect();
    keys.sort();
    keys
}

fn one_partition(config: &mut Config) {
    config.partitions = 1;
    config.exchange_interval = None;
    config.hint_bytes_max = Some(0);
}

fn delete() -> Operation<'static> {
    Operation::Delete { context: None, blind: Blind::Supersede }
}

/// What node 0 has missed it shows, and what it has not heard to be deleted it does not show.
#[test]
fn what_one_replica_has_missed_is_met_by_r_of_them() {
    let mut cluster = Cluster::new(3, one_partition, 0);
    for key in ["kept", "deleted", "changed"] {
        cluster.ask(0, key, set("v"), Options::default());
    }
    cluster.isolate(0);
    cluster.ask(1, "new", set("v"), Options::default());
    cluster.ask(1, "changed", set("w"), Options::default());
    cluster.ask(1, "deleted", delete(), Options::default());
    cluster.heal();
    cluster.advance(Duration::from_millis(300));
    let one = Options { r: Some(1), ..Options::default() };
    assert_eq!(keys_of(&scan(&mut cluster, 0, 0, 100, one)), ["changed", "deleted", "kept"]);
    let reply = scan(&mut cluster, 0, 0, 100, Options::default());
    assert_eq!(keys_of(&reply), ["changed", "kept", "new"]);
    assert_eq!((reply.achieved.asked, reply.achieved.acked, reply.weak), (2, 2, false));
    // The reads that decided have mended node 0.
    assert_eq!(keys_of(&scan(&mut cluster, 0, 0, 100, one)), ["changed", "kept"]);
}

/// Copies that differ in every key are walked through in bounded steps, and each key is shown once.
#[test]
fn copies_that_differ_in_everything_are_read_a_bounded_number_of_keys_a_page() {
    let mut cluster = Cluster::new(3, one_partition, 0);
    let keys: Vec<String> = (0..200).map(|at| format!("key{at:03}")).collect();
    keys.iter().for_each(|key| drop(cluster.ask(0, key, set("v"), Options::default())));
    cluster.isolate(0);
    keys.iter().for_each(|key| drop(cluster.ask(1, key, put("w", None), Options::default())));
    cluster.heal();
    cluster.advance(Duration::from_millis(300));
    let (mut found, mut cursor, mut pages) = (Vec::new(), 0, 0);
    loop {
        let requests = cluster.counter(0, "requests");
        let reply = scan(&mut cluster, 0, cursor, 1_000, Options::default());
        found.extend(keys_of(&reply));
        (cursor, pages) = (reply.page.unwrap().next, pages + 1);
        let reads = cluster.counter(0, "requests") - requests - 1;
        assert!(reads <= SCAN_READS_MAX as u64, "{reads} reads for a page");
        if cursor == 0 {
            break;
        }
    }
    found.sort();
    assert_eq!((found, pages), (keys, 4), "each once");
}

/// The lists that went over the wire while a scan was answered: how many were just the same, and how many had rows.
fn lists_of(cluster: &mut Cluster, at: usize) -> (usize, usize) {
    let id = cluster.begin(at, "", Operation::Scan { cursor: 0, limit: 1_000 }, Options::default());
    let (mut same, mut rows) = (0, 0);
    loop {
        for at in 0..cluster.nodes.len() {
            cluster.drain(at);
        }
        for (.., frames) in &cluster.wire {
            let mut rest = frames.as_slice();
            while let Ok((frame, after)) = split_frame(rest) {
                rest = after;
                match decode_frame(frame).unwrap().1 {
                    Message::Scanned(Scanned { listed: Listed::Same(_), .. }) => same += 1,
                    Message::Scanned(Scanned { listed: Listed::Rows { .. }, .. }) => rows += 1,
                    _ => {}
                }
            }
        }
        if !cluster.carry_once() {
            assert_eq!(cluster.replies.remove(&id).unwrap().outcome, Outcome::Ok);
            return (same, rows);
        }
    }
}

#[test]
fn replicas_that_hold_the_same_say_so_in_a_word() {
    let mut cluster = Cluster::new(4, one_partition, 0);
    for at in 0..50 {
        let all = Options { w: Some(3), ..Options::default() };
        assert_eq!(cluster.ask(0, &format!("key{at}"), set("v"), all).outcome, Outcome::Ok);
    }
    let owners = cluster.nodes[0].owners(0, b"k").members;
    for at in 0..4 {
        let is_owner = owners.contains(&format!("n{at}"));
        assert_eq!(lists_of(&mut cluster, at), if is_owner { (1, 0) } else { (0, 2) }, "at n{at}");
    }
}

#[test]
fn a_page_ends_with_what_was_decided_before_replicas_were_gone() {
    let change = |config: &mut Config| {
        config.partitions = 16;
        config.keyspaces[0].n = 1;
        config.exchange_interval = None;
    };
    let mut cluster = Cluster::new(2, change, 0);
    for at in 0..100 {
        cluster.ask(0, &format!("key{at}"), set("v"), Options::default());
    }
    let whole = keys_of(&scan(&mut cluster, 0, 0, 1_000, Options::default()));
    assert_eq!(whole.len(), 100);
    cluster.isolate(0);
    let mut ends = Vec::new();
    for at in 0..2 {
        let (mut cursor, mut found) = (0, 0);
        let outcome = loop {
            let reply = scan(&mut cluster, at, cursor, 1_000, Options::default());
            let Some(page) = reply.page else { break reply.outcome };
            assert_ne!(page.next, 0, "the other holds what this one does not");
            (cursor, found) = (page.next, found + page.keys.len());
        };
        assert_eq!(outcome, Outcome::NotEnoughReplicas { reachable: 0, needed: 1 });
        ends.push((cursor, found));
    }
    assert!(ends.iter().any(|&(cursor, _)| cursor > 0), "one of them holds the first partition");
    // Where it stopped it goes on.
    cluster.heal();
    cluster.advance(Duration::from_millis(300));
    for (at, (cursor, found)) in ends.into_iter().enumerate() {
        let rest = scan(&mut cluster, at, cursor, 1_000, Options::default());
        assert_eq!(found + keys_of(&rest).len(), 100);
    }
}

#[test]
fn more_replicas_than_there_are_is_refused() {
    let mut cluster = Cluster::new(3, one_partition, 0);
    let four = Options { r: Some(4), ..Options::default() };
    assert!(matches!(scan(&mut cluster, 0, 0, 10, four).outcome, Outcome::BadArgument(_)));
    cluster.isolate(2);
    let three = Options { r: Some(3), ..Options::default() };
    let outcome = scan(&mut cluster, 0, 0, 10, three).outcome;
    assert_eq!(outcome, Outcome::NotEnoughReplicas { reachable: 2, needed: 3 });
}

/// A member of an earlier release asks in its own way, and must not lose its connection for it.
#[test]
fn a_scan_of_an_earlier_release_is_passed_over() {
    let mut cluster = Cluster::new(2, one_partition, 0);
    let envelope = Envelope {
        layout_version: cluster.nodes[0].layout().version() as u32,
        cluster_id: cluster.nodes[0].keys().cluster_id,
        request_id: 0,
        reaps: 0,
    };
    let mut frames = Vec::new();
    Message::Stale { partition: 0, count: 1 }.encode(&envelope, &mut frames);
    frames[9] = 8;
    let checksum = crc32c::crc32c(&frames[8..]).to_le_bytes();
    frames[4..8].copy_from_slice(&checksum);
    let from = cluster.ids[1];
    cluster.nodes[0].handle_frames(cluster.now, from, &frames).unwrap();
    assert_eq!(cluster.counter(0, "frames_refused"), 1);
    frames[9] = 200;
    let checksum = crc32c::crc32c(&frames[8..]).to_le_bytes();
    frames[4..8].copy_from_slice(&checksum);
    assert!(cluster.nodes[0].handle_frames(cluster.now, from, &frames).is_err(), "nobody knows that kind");
}
