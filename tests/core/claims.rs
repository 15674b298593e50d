//! Peers that claim what cannot be: they are heard, and stop nothing.

use std::time::Duration;

use quorate::proto::cluster::Change;
use quorate::proto::error::Outcome;
use quorate::proto::io::{Operation, Options, Output, Request, RequestId};
use quorate::proto::message::{Acks, Hello, Listed, Message, Scanned, Seen, decode_frame};
use quorate::proto::store::Store;
use quorate::proto::version::{Context, Dot, Hlc, Object, Sibling};

use super::following::founded;
use super::{Cluster, set, values, with_context};

#[test]
fn a_peer_that_claims_the_last_event_there_is_stops_no_write() {
    let mut cluster = Cluster::new(2, |_| {}, 0);
    let dot = cluster.ask(0, "k", set("v"), with_context()).dot.unwrap();
    let mut seen = Context::default();
    seen.clock.raise(dot.actor, u64::MAX - 1);
    let dot = Dot { actor: dot.actor, counter: u64::MAX };
    let hlc = Hlc::from_millis(1);
    let sibling =
        Sibling { dot, hlc, tombstone: false, expires_ms: None, element: false, value: b"last".into() };
    let (mut object, mut bytes) = (Object::default(), Vec::new());
    object.write(&seen, sibling);
    object.encode(&mut bytes);
    let message = Message::Replicate { keyspace: 0, key: b"k", acks: Acks::default(), object: &bytes };
    cluster.say(1, 0, &message);
    let reply = cluster.ask(0, "k", set("w"), Options::default());
    assert_eq!(reply.outcome, Outcome::Ok);
    assert_ne!(reply.dot.unwrap().actor, dot.actor, "an epoch at its end is not continued");
    assert_eq!(values(&cluster.get(1, "k")), ["w"]);
}

#[test]
fn a_peer_that_remembers_more_openings_than_there_can_be_is_heard() {
    let mut cluster = Cluster::new(2, |_| {}, 0);
    let identity = cluster.nodes[0].store().identity();
    let seen = Seen { generation: identity.generation, opens: u64::MAX, boot: 1, sequence: 1 };
    let layout_hash = cluster.nodes[0].layout().hash();
    let hello =
        Hello { boot: 1, generation: 2, opens: 1, sequence: 1, layout_hash, seen: Some(seen), answer: false };
    cluster.say(1, 0, &Message::Hello(hello));
    let generation = cluster.nodes[0].store().identity().generation;
    assert_ne!(generation, identity.generation, "its directory went back in time");
}

#[test]
fn a_late_introduction_of_an_earlier_directory_is_asked_about() {
    let mut cluster = Cluster::new(2, |_| {}, 0);
    let layout_hash = cluster.nodes[0].layout().hash();
    let late =
        Hello { boot: 1, generation: 7, opens: 4, sequence: 1, layout_hash, seen: None, answer: false };
    cluster.say(1, 0, &Message::Hello(late));
    let remembered = cluster.nodes[0].store().members()[0].generation;
    assert_eq!(remembered, cluster.nodes[1].store().identity().generation);
}

#[test]
fn nothing_is_sent_to_a_directory_of_the_past() {
    let mut cluster = Cluster::new(2, |_| {}, 0);
    let theirs = cluster.nodes[1].store().identity();
    let layout_hash = cluster.nodes[0].layout().hash();
    // Another copy of it, which does not know yet that it is one; or a late frame.
    let old = Hello {
        boot: theirs.nonce ^ 1,
        generation: theirs.generation,
        opens: theirs.opens,
        sequence: 1,
        layout_hash,
        seen: None,
        answer: false,
    };
    cluster.say(1, 0, &Message::Hello(old));
    let id = cluster.begin(0, "k", set("v"), Options { w: Some(2), ..Options::default() });
    let sent = cluster.run_without(|_, to, message| to == 1 && matches!(message, Message::Replicate { .. }));
    assert!(sent.is_empty(), "it might acknowledge what it is about to disown");
    // It says anew who it is, and that is the one that is remembered.
    cluster.advance(Duration::from_millis(300));
    cluster.advance(Duration::from_millis(300));
    assert_eq!(
        cluster.ask(0, "k", set("w"), Options { w: Some(2), ..Options::default() }).outcome,
        Outcome::Ok
    );
    assert!(cluster.replies.contains_key(&id), "{:?}", cluster.replies);
}

/// Node 0 is told by node 1 that its directory went back in time, and asks to be let in with another name, which is returned.
pub fn gone_back(cluster: &mut Cluster) -> u64 {
    let identity = cluster.nodes[0].store().identity();
    let seen = Seen { generation: identity.generation, opens: 9, boot: 1, sequence: 1 };
    let layout_hash = cluster.nodes[0].topology().hash();
    let theirs = cluster.nodes[1].store().identity();
    let hello = Hello {
        boot: theirs.nonce,
        generation: theirs.generation,
        opens: theirs.opens,
        sequence: 1,
        layout_hash,
        seen: Some(seen),
        answer: false,
    };
    cluster.say(1, 0, &Message::Hello(hello));
    cluster.advance(Duration::from_secs(10));
    let generation = cluster.nodes[0].store().identity().generation;
    assert_ne!(generation, identity.generation, "it has another name");
    generation
}

#[test]
fn a_member_whose_directory_went_back_is_let_in_again() {
    let mut cluster = founded(3);
    let generation = gone_back(&mut cluster);
    let staged = cluster.nodes[1].topology().staged();
    let asks = |change: &Change| matches!(change, Change::Join(member) if member.generation == generation);
    assert!(staged.iter().any(asks), "it asks to be let in by this one: {staged:?}");
}

#[test]
fn what_an_old_copy_counted_before_it_knew_counts_no_more() {
    let mut cluster = founded(3);
    cluster.cut = vec![(0, 1), (0, 2)];
    let id = cluster.begin(0, "k", set("v"), Options { w: Some(2), ..Options::default() });
    gone_back(&mut cluster);
    let reply = &cluster.replies[&id];
    assert_eq!((&reply.outcome, reply.achieved.acked), (&Outcome::Maybe, 0));
    assert!(reply.dot.is_some());
}

#[test]
fn a_page_that_does_not_lead_on_is_not_asked_for_again_without_end() {
    let mut cluster = Cluster::new(2, |config| config.keyspaces[0].n = 1, 0);
    cluster.cut.push((0, 1));
    let request = Request {
        keyspace: 0,
        key: b"",
        operation: Operation::Scan { cursor: 0, limit: 10 },
        options: Options::default(),
    };
    cluster.nodes[0].handle_request(cluster.now, RequestId(1), &request);
    let mut asked = None;
    while let Some(output) = cluster.nodes[0].poll_output(cluster.now) {
        if let Output::Send { frames, .. } = output {
            let (envelope, message) = decode_frame(&frames).unwrap();
            let Message::Scan(scan) = message else { panic!("{message:?}") };
            asked = Some((envelope, scan.from));
        }
    }
    let (envelope, from) = asked.expect("node 1 holds partitions that node 0 does not");
    for next in [from, from.saturating_sub(1)] {
        let mut frame = Vec::new();
        let listed = Listed::Rows { next: Some(next), rows: b"" };
        Message::Scanned(Scanned { from, listed }).encode(&envelope, &mut frame);
        cluster.nodes[0].handle_frames(cluster.now, cluster.ids[1], &frame).unwrap();
        assert!(cluster.nodes[0].poll_output(cluster.now).is_none(), "asked again at {next} after {from}");
    }
    cluster.cut.clear();
    cluster.advance(Duration::from_millis(200));
    assert_eq!(cluster.replies.remove(&1).expect("asked again after a while").outcome, Outcome::Ok);
}
