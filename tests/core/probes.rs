//! Probes over the peer stream: whether somebody is there does not depend on layouts.

use quorate::proto::io::{Met, Output};
use quorate::proto::message::{Envelope, Hello, Listed, Message, Scanned, decode_frame};

use super::Cluster;

#[test]
fn a_probe_is_answered_by_whom_it_reaches_and_by_nobody_else() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let (one, two) = (cluster.ids[1], cluster.ids[2]);
    cluster.cut.push((0, 2));
    cluster.nodes[0].probe(one, 7);
    cluster.nodes[0].probe(two, 8);
    let own = cluster.ids[0];
    cluster.nodes[0].probe(own, 9);
    cluster.run();
    assert_eq!(cluster.probed, [(0, one, 7)]);
    let now = cluster.now;
    cluster.nodes[0].handle_peer_down(now, one);
    cluster.nodes[0].probe(one, 10);
    assert!(cluster.nodes[0].poll_output(now).is_none(), "a probe waits for no connection");
}

#[test]
fn a_probe_is_taken_from_a_member_with_any_layout() {
    let mut cluster = Cluster::new(2, |_| {}, 0);
    let (now, from) = (cluster.now, cluster.ids[1]);
    let node = &mut cluster.nodes[0];
    let envelope =
        Envelope { layout_version: 99, cluster_id: node.keys().cluster_id, request_id: 0, reaps: 0 };
    let hello =
        Hello { boot: 5, generation: 7, opens: 3, sequence: 1, layout_hash: 1, seen: None, answer: false };
    let mut frame = Vec::new();
    Message::Hello(hello).encode(&Envelope { layout_version: 1, ..envelope }, &mut frame);
    Message::Probe { number: 11 }.encode(&envelope, &mut frame);
    Message::Probed { number: 12 }.encode(&envelope, &mut frame);
    // Of another layout, so nothing else that it says is taken.
    Message::Scanned(Scanned { from: 0, listed: Listed::Unknown }).encode(&envelope, &mut frame);
    node.handle_frames(now, from, &frame).unwrap();
    let (mut answered, mut met, mut probed) = (None, None, None);
    while let Some(output) = node.poll_output(now) {
        match output {
            Output::Send { frames, .. } => answered = Some(frames),
            Output::Met(news) => met = Some(news),
            Output::Probed { from, number } => probed = Some((from, number)),
            other => panic!("{other:?}"),
        }
    }
    let answered = answered.expect("an answer");
    assert_eq!(decode_frame(&answered).unwrap().1, Message::Probed { number: 11 });
    assert_eq!(probed, Some((from, 12)));
    assert_eq!(met, Some(Met { member: from, generation: 7, opens: 3, boot: 5 }));
}
