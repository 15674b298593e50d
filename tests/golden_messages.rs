//! What members say to each other, as bytes that are kept: a release that writes or reads any of them otherwise
//! cannot be in one cluster with those before it.
//!
//! ```text
//!  tests/golden/messages.txt    a line for each message: its name, and its frame in hexadecimal
//! ```
//!
//! A new message is a new line, written by QUORATE_GOLDEN_WRITE=1; lines are never changed.

use std::fs;
use std::path::PathBuf;

use quorate::proto::cluster::{Change, Topology};
use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::io::{Add, Edit, ExpiryEdit, ExpiryWhen, MemberId, Operation, Options, Request};
use quorate::proto::keepers::{Answer, Ask, Ballot, Choice, Seat, Vote};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::{
    Acks, Compare, Compared, Envelope, Extent, FetchHint, Fetched, Forward, Hello, Hint, Hinted, Listed,
    Message, Progress, Proof, Question, Row, Scan, Scanned, Seen, Stored, Tomb, decode_frame, decode_records,
    decode_request, encode_request, put_digest, put_record, put_row, put_tomb,
};
use quorate::proto::ring::Mode;
use quorate::proto::version::{
    Actor, Context, Dot, Epoch, Hlc, Object, SetChange, Sibling, is_counted, is_set,
};
use quorate::proto::wire::WireError;

const WRITE: &str = "QUORATE_GOLDEN_WRITE";

fn envelope() -> Envelope {
    Envelope { layout_version: 3, cluster_id: 0x1122_3344_5566_7788, request_id: 1 << 40, reaps: 0 }
}

fn keys() -> ClusterKeys {
    ClusterKeys::derive("golden", &[7; 32])
}

/// A cluster of one, founded at level 1, that has staged one change of every kind that it can.
fn topology() -> Topology {
    let mut config = Config::new("A");
    (config.placement, config.partitions) = (Mode::Balanced, 1);
    config.members[0].generation = 0xa1;
    config.members[0].address = "127.0.0.1:7380".into();
    let mut founded = Topology::found(&config, &keys()).encode();
    founded[3] = 1;
    let mut topology = Topology::decode(&founded, &keys()).expect("it differs in its level");
    for change in [
        Change::Join(MemberSpec { generation: 0xb1, ..MemberSpec::new("B", "127.0.0.1:7381") }),
        Change::Weight("A".into(), 3),
        Change::Zone("B".into(), "attic".into()),
        Change::MaxPerZone(Some(2)),
    ] {
        topology = topology.stage(change, &keys()).expect("it can be").expect("it is new");
    }
    topology
}

fn choice() -> Choice {
    let seat = |member, generation| Seat { member: MemberId(member), generation };
    let keepers = vec![seat(1, 0xa1), seat(2, 0xb1), seat(3, 0xc1)];
    Choice { version: 5, hash: 0xfeed, base: 0xbeef, keepers, layout: b"layout".to_vec() }
}

/// The bodies of the messages that carry an encoding of their own, by name.
fn inner(name: &str) -> Vec<u8> {
    let ballot = Ballot { number: 300, member: 2 };
    let (era, generation, version) = (1, 0xa1, 5);
    let mut bytes = Vec::new();
    match name {
        "ask to promise" => Ask { era, generation, version, ballot, accept: None }.encode(&mut bytes),
        "ask to accept" => {
            Ask { era, generation, version, ballot, accept: Some(choice()) }.encode(&mut bytes);
        }
        "topology" => bytes = topology().encode(),
        "join" => {
            let member = MemberSpec {
                zone: "attic".into(),
                weight: 2,
                generation: 0xd1,
                ..MemberSpec::new("D", "d:1")
            };
            bytes = Change::Join(member).encode();
        }
        _ => {
            let vote = match name {
                "answer promised" => Vote::Promised(None),
                "answer promised before" => Vote::Promised(Some((ballot, choice()))),
                "answer accepted" => Vote::Accepted,
                "answer outvoted" => Vote::Outvoted(ballot),
                "answer passed" => Vote::Passed(9),
                "answer other era" => Vote::OtherEra(2),
                _ => Vote::NoSeat,
            };
            Answer { version, ballot, vote }.encode(&mut bytes);
        }
    }
    bytes
}

/// A number on which two actors have counted, and on another one before it.
fn counted() -> Vec<u8> {
    let actor = |number| Actor { generation: 0xa1, epoch: Epoch { nonce: 7, number } };
    let mut object = Object::default();
    let put = |object: &mut Object<'static>, value: &'static [u8; 2]| {
        let dot = Dot { actor: actor(1), counter: object.context().counter(actor(1)) + 1 };
        let seen = Context::of(object);
        let expires_ms = Some(1 << 41);
        object.write(
            &seen,
            Sibling { dot, hlc: Hlc(3), tombstone: false, expires_ms, element: false, value: value.into() },
        );
    };
    let count = |object: &mut Object<'static>, number, by| {
        let dot = Dot { actor: actor(number), counter: object.context().counter(actor(number)) + 1 };
        let plan = object.plan_count(by, 0).expect("a number");
        object.count(plan, dot, Hlc(4), 0);
    };
    put(&mut object, b"10");
    count(&mut object, 2, 300);
    put(&mut object, b"20");
    count(&mut object, 2, -5);
    count(&mut object, 3, 1);
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    bytes
}

/// A set that two actors have put elements into, one of them an expiring one, beside a text.
fn set() -> Vec<u8> {
    let actor = |number| Actor { generation: 0xa1, epoch: Epoch { nonce: 7, number } };
    let mut object = Object::default();
    let add = |members, expires_ms| SetChange::Add { members, expires_ms };
    object.change_set(add(&[b"milk", b"bread", b""], Some(1 << 41)), actor(1), Hlc(3), 0).expect("it is new");
    object.change_set(SetChange::Remove { members: &[b"bread"] }, actor(2), Hlc(4), 0).expect("it is new");
    object.change_set(add(&[b"eggs", b"milk"], None), actor(2), Hlc(5), 0).expect("it has events left");
    let dot = Dot { actor: actor(3), counter: 1 };
    let (tombstone, expires_ms, element, value) = (false, None, false, b"text".into());
    object.write(&Context::default(), Sibling { dot, hlc: Hlc(6), tombstone, expires_ms, element, value });
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    bytes
}

/// Every message, with a name for each. Long because it is a table.
fn samples(visit: &mut dyn FnMut(&str, Message<'_>)) {
    let hello = Hello {
        boot: 1,
        generation: 2,
        opens: 3,
        sequence: 4,
        layout_hash: 5,
        seen: Some(Seen { generation: 6, opens: 7, boot: 9, sequence: 8 }),
        answer: true,
    };
    let acks = Acks { stored: true, durable: false };
    let (mut digests, mut records) = (Vec::new(), Vec::new());
    put_digest(&mut digests, 1 << 60, 77);
    put_record(&mut records, 2, b"key", b"object");
    visit("replicate", Message::Replicate { keyspace: 1, key: b"k", acks, object: b"object" });
    visit("acknowledge", Message::Acknowledge(Stored::Durable));
    visit("fetch", Message::Fetch { keyspace: 1, key: b"k", known: 9, deadline_ms: 5 });
    visit("fetched", Message::Fetched(Fetched::Record(b"object")));
    let forward =
        Forward { sender_boot: 1, receiver_boot: 2, number: 3, settled: 2, deadline_ms: 9, request: b"r" };
    visit("forward", Message::Forward(forward));
    visit("forwarded", Message::Forwarded { number: 3, reply: Some(b"reply") });
    visit("hello", Message::Hello(hello));
    for name in ["ask to promise", "ask to accept"] {
        visit(name, Message::Ask(&inner(name)));
    }
    for name in ["promised", "promised before", "accepted", "outvoted", "passed", "other era", "no seat"] {
        let name = format!("answer {name}");
        visit(&name, Message::Answer(&inner(&name)));
    }
    visit("topology", Message::Topology(&inner("topology")));
    let progress = Progress { version: 9, generation: 8, total: 7, open: 6, bytes: 5 };
    visit("progress", Message::Progress(progress));
    let (partition, from) = (3, 1 << 40);
    let (until, digests) = (Some(1 << 50), digests.as_slice());
    visit(
        "compare",
        Message::Compare(Compare {
            partition,
            keyspace: None,
            from,
            until,
            sends: true,
            tells: false,
            whole: false,
            digests,
        }),
    );
    let (lacking, records) = (&[1; 8][..], records.as_slice());
    visit(
        "compared",
        Message::Compared(Compared { partition, from, next: None, is_unfit: true, lacking, records }),
    );
    visit("join", Message::Join { commit: true, change: &inner("join") });
    visit("refused", Message::Refused(b"why"));
    visit("probe", Message::Probe { number: 7 });
    visit("probed", Message::Probed { number: 7 });
    let (target, is_counted) = (MemberId(7), true);
    let hint = Hint { target, is_counted, keyspace: 1, key: b"k", acks, object: b"object" };
    visit("hint", Message::Hint(hint));
    visit("hinted", Message::Hinted(Hinted { target, stored: Stored::Durable }));
    visit("fetch hint", Message::FetchHint(FetchHint { keyspace: 1, key: b"k", known: 9 }));
    let object = counted();
    visit("replicate counted", Message::Replicate { keyspace: 1, key: b"k", acks, object: &object });
    for (name, operation) in [
        ("forward add", Operation::Add(Add::By { by: -7, id: Some(9) })),
        ("forward put of a number", Operation::Add(Add::To { to: 8, context: b"token" })),
        ("forward add of a fraction", Operation::Edit(Edit::AddFloat(b"0.5"))),
        ("forward set of a range", Operation::Edit(Edit::SetRange { offset: 300, part: b"part" })),
        ("forward set of a bit", Operation::Edit(Edit::SetBit { offset: 300, on: true })),
        (
            "forward sooner expiry of some",
            Operation::Edit(Edit::Expire { expiry: ExpiryEdit::At(9), when: ExpiryWhen::SoonerThanSome }),
        ),
    ] {
        let mut request = Vec::new();
        let options = Options { w: Some(1), ..Options::default() };
        encode_request(&Request { keyspace: 1, key: b"k", operation, options }, &mut request);
        visit(name, Message::Forward(Forward { request: &request, ..forward }));
    }
    let mut tombs = Vec::new();
    put_tomb(&mut tombs, &Tomb { keyspace: 1, item_hash: 9, key: b"k" });
    visit("prove", Message::Prove(Question { partition: 3, count: 1 << 20, boot: 7, tombs: &tombs }));
    let (asked, count) = (1 << 20, 1 << 20);
    visit("proved", Message::Proved(Proof { partition: 3, asked, count, evidence: &[0] }));
    visit("reap", Message::Reap(Question { partition: 3, count: 1 << 20, boot: 0, tombs: &tombs }));
    visit("stale", Message::Stale { partition: 3, count: 1 << 20 });
    let object = set();
    visit("replicate set", Message::Replicate { keyspace: 1, key: b"k", acks, object: &object });
    for (name, edit) in [
        ("forward add of elements", Edit::AddElements(vec![b"milk", b""])),
        ("forward removal of elements", Edit::RemoveElements(vec![b"milk"])),
        ("forward delete of a text", Edit::Delete),
    ] {
        let mut request = Vec::new();
        let options = Options { text_only: edit == Edit::Delete, ..Options::default() };
        let operation = Operation::Edit(edit);
        encode_request(&Request { keyspace: 1, key: b"k", operation, options }, &mut request);
        visit(name, Message::Forward(Forward { request: &request, ..forward }));
    }
    let known = Some(Extent { until: Some(1 << 61), sum: 9 });
    let scan = Scan { keyspace: 0, partition: 7, from: 1 << 60, limit: 100, wall_ms: 5, known };
    visit("scan", Message::Scan(scan));
    let mut rows = Vec::new();
    put_row(&mut rows, &Row { key: b"a", item_hash: 9, is_live: true });
    for (name, listed) in [
        ("scanned", Listed::Rows { next: Some(300), rows: &rows }),
        ("scanned the same", Listed::Same(9)),
        ("scanned unknown", Listed::Unknown),
    ] {
        visit(name, Message::Scanned(Scanned { from: 1 << 60, listed }));
    }
    visit("sync", Message::Sync { boot: 7 });
    visit("offer", Message::Offer(digests));
    visit("wanted", Message::Wanted(lacking));
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).expect("hex")).collect()
}

/// Whether what a message carries comes back as it went.
fn holds_inside(message: &Message<'_>) -> bool {
    match message {
        Message::Ask(bytes) => {
            let mut again = Vec::new();
            Ask::decode(bytes).expect("a question").encode(&mut again);
            again == *bytes
        }
        Message::Answer(bytes) => {
            let mut again = Vec::new();
            Answer::decode(bytes).expect("an answer").encode(&mut again);
            again == *bytes
        }
        Message::Replicate { object, .. } if is_counted(object) || is_set(object) => {
            let mut again = Vec::new();
            Object::decode(object).expect("an object").encode(&mut again);
            again == *object
        }
        Message::Forward(forward) if forward.request.len() > 1 => {
            let mut again = Vec::new();
            encode_request(&decode_request(forward.request).expect("a request"), &mut again);
            again == forward.request
        }
        Message::Topology(bytes) => Topology::decode(bytes, &keys()).expect("a topology").encode() == *bytes,
        Message::Join { change, .. } => Change::decode(change).expect("a change").encode() == *change,
        Message::Compared(compared) => {
            let mut again = Vec::new();
            let read = decode_records(compared.records, |keyspace, key, object| {
                put_record(&mut again, keyspace, key, object);
                Ok::<(), WireError>(())
            });
            read.is_ok() && again == compared.records
        }
        _ => true,
    }
}

#[test]
fn messages_are_written_and_read_as_they_were() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/messages.txt");
    let kept = fs::read_to_string(&path).unwrap_or_default();
    let mut made = String::new();
    samples(&mut |name, message| {
        let mut frame = Vec::new();
        message.encode(&envelope(), &mut frame);
        made += &format!("{name}: {}\n", hex(&frame));
    });
    if std::env::var_os(WRITE).is_some() {
        assert!(made.starts_with(&kept), "a line that is kept would change");
        fs::write(&path, &made).expect("it can be written");
    }
    let kept = fs::read_to_string(&path).expect("they are kept");
    assert_eq!(made.lines().count(), kept.lines().count());
    for (made, kept) in made.lines().zip(kept.lines()) {
        let (name, frame) = kept.split_once(": ").expect("a name and a frame");
        let frame = unhex(frame);
        let (envelope_read, message) = decode_frame(&frame).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(envelope_read, envelope(), "{name}");
        assert!(holds_inside(&message), "{name}");
        let mut again = Vec::new();
        message.encode(&envelope(), &mut again);
        assert_eq!(hex(&again), hex(&frame), "{name}");
        assert_eq!(made, kept);
    }
}
