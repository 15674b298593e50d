//! A member that is let in again with what it held before, of which others have reaped since: that goes, and no write that
//! it has promised goes with it.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate::proto::cluster::Order;
use quorate::proto::io::{Operation, Options};
use quorate::proto::message::{Envelope, Message, Stored, decode_frame};
use quorate::proto::store::Store;

use super::claims::gone_back;
use super::following::founded;
use super::{Cluster, put, values};

/// As of when others have reaped: more than the member knows.
const REAPS: u64 = 9;

/// Carries everything but what transfers ask and are answered.
fn run_without_transfers(cluster: &mut Cluster) {
    cluster.run_without(|_, _, message| matches!(message, Message::Compare(_) | Message::Compared(_)));
}

/// A write at node 1 as node 0 is sent it, from somebody who knows of the reaps.
fn replicate(cluster: &mut Cluster, key: &str) -> Vec<u8> {
    cluster.begin(1, key, put("new", None), Options::default());
    let sent = cluster.run_without(|_, to, message| to == 0 && matches!(message, Message::Replicate { .. }));
    let (envelope, message) = decode_frame(&sent[0].2).unwrap();
    let mut frame = Vec::new();
    message.encode(&Envelope { reaps: REAPS, ..envelope }, &mut frame);
    frame
}

#[test]
fn what_may_be_what_was_reaped_goes_before_a_write_is_promised() {
    let mut cluster = founded(3);
    let keys: Vec<String> = (0..600).map(|number| format!("k{number}")).collect();
    for key in &keys {
        cluster.ask(1, key, put("old", None), Options { w: Some(3), ..Options::default() });
    }
    let generation = gone_back(&mut cluster);
    cluster.begin(1, "", Operation::Cluster(Order::Commit(None)), Options::default());
    for _ in 0..20 {
        run_without_transfers(&mut cluster);
        cluster.now.mono = cluster.now.mono + Duration::from_millis(20);
        (0..3).for_each(|at| cluster.nodes[at].handle_timeout(cluster.now));
    }
    assert!(cluster.nodes[0].topology().is_seated(cluster.ids[0], generation), "it is let in");

    let (mut promised, mut put_off) = (BTreeMap::new(), 0);
    for key in &keys[..200] {
        let partition = cluster.nodes[0].owners(0, key.as_bytes()).partition;
        let held = |cluster: &Cluster| cluster.nodes[0].store().partition_stats(partition).keys;
        let before = held(&cluster);
        let frame = replicate(&mut cluster, key);
        cluster.nodes[0].handle_frames(cluster.now, cluster.ids[1], &frame).unwrap();
        let answers = cluster.run_without(|from, _, message| {
            from == 0 && matches!(message, Message::Acknowledge(Stored::Stored | Stored::Durable))
        });
        if answers.is_empty() {
            // Somebody was asked what this copy lacks, and the answer speaks of it as it is.
            assert_eq!(held(&cluster), before);
            put_off += 1;
        } else {
            *promised.entry(partition).or_insert(0) += 1;
            assert_eq!(held(&cluster), promised[&partition], "all else went before {key}");
        }
    }
    assert!(promised.len() > 50 && put_off > 0, "{promised:?} promised, {put_off} not now");
    cluster.advance(Duration::from_secs(10));
    for key in &keys[..200] {
        assert!(values(&cluster.get(0, key)).contains(&"new".to_owned()), "{key}");
    }
}
