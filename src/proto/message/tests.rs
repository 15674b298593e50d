//! Tests of messages and their frames.

use super::*;
use crate::proto::io::MemberId;
use crate::proto::rng::Rng;

fn samples() -> Vec<Message<'static>> {
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
    vec![
        Message::Replicate { keyspace: 1, key: b"k", acks, object: b"object" },
        Message::Acknowledge(Stored::Durable),
        Message::Fetch { keyspace: 1, key: b"", known: 9, deadline_ms: 5 },
        Message::Fetched(Fetched::Same),
        Message::Fetched(Fetched::Absent),
        Message::Fetched(Fetched::Unknown),
        Message::Fetched(Fetched::Record(b"object")),
        Message::Forward(Forward {
            sender_boot: 1,
            receiver_boot: 2,
            number: 3,
            settled: 2,
            deadline_ms: 9,
            request: b"r",
        }),
        Message::Forwarded { number: 3, reply: Some(b"reply") },
        Message::Forwarded { number: 3, reply: None },
        Message::Hello(hello.clone()),
        Message::Hello(Hello { seen: None, ..hello }),
        Message::Ask(b"ask"),
        Message::Answer(b"answer"),
        Message::Topology(b"topology"),
        Message::Progress(Progress { version: 9, generation: 8, total: 7, open: 6, bytes: 5 }),
        Message::Compare(Compare {
            partition: 3,
            from: 1 << 40,
            until: Some(1 << 50),
            keyspace: Some(2),
            sends: true,
            tells: true,
            whole: true,
            digests: &[7; 32],
        }),
        Message::Sums(b"questions"),
        Message::Summed(b"answers"),
        Message::Compared(Compared {
            partition: 3,
            from: 1 << 40,
            next: None,
            is_unfit: true,
            lacking: &[1; 8],
            records: b"records",
        }),
        Message::Join { commit: true, change: b"change" },
        Message::Refused(b"why"),
        Message::Probe { number: 7 },
        Message::Probed { number: u32::MAX },
        Message::Hint(Hint {
            target: MemberId(7),
            is_counted: true,
            keyspace: 1,
            key: b"k",
            acks,
            object: b"object",
        }),
        Message::Hinted(Hinted { target: MemberId(7), stored: Stored::Overloaded }),
        Message::FetchHint(FetchHint { keyspace: 1, key: b"k", known: 9 }),
        Message::Prove(Question { partition: 7, count: 3, boot: 9, tombs: b"tombs" }),
        Message::Proved(Proof { partition: 7, asked: 3, count: 4, evidence: &[0, 1, 2] }),
        Message::Reap(Question { partition: 7, count: 3, boot: 0, tombs: b"" }),
        Message::Stale { partition: 7, count: 3 },
    ]
}

fn scans() -> Vec<Message<'static>> {
    vec![
        Message::Scan(Scan { keyspace: 0, partition: 7, from: 1 << 60, limit: 100, wall_ms: 9, known: None }),
        Message::Scan(Scan {
            keyspace: 1,
            partition: 7,
            from: 1 << 60,
            limit: 1,
            wall_ms: u64::MAX,
            known: Some(Extent { until: Some(1 << 61), sum: u64::MAX }),
        }),
        Message::Scanned(Scanned { from: 1 << 60, listed: Listed::Unknown }),
        Message::Scanned(Scanned { from: 1 << 60, listed: Listed::Same(7) }),
        Message::Scanned(Scanned { from: 1, listed: Listed::Rows { next: Some(300), rows: b"rows" } }),
        Message::Scanned(Scanned { from: 0, listed: Listed::Rows { next: None, rows: b"" } }),
    ]
}

#[test]
fn every_message_comes_back() {
    for message in samples().into_iter().chain(scans()) {
        let reaps = if matches!(message, Message::Replicate { .. }) { 5 } else { 0 };
        let envelope = Envelope { layout_version: 1, cluster_id: 77, request_id: 1 << 40, reaps };
        let mut bytes = b"before".to_vec();
        message.encode(&envelope, &mut bytes);
        bytes.extend_from_slice(b"after");
        let (frame, rest) = split_frame(&bytes[6..]).unwrap();
        assert_eq!(rest, b"after");
        assert_eq!(decode_frame(frame), Ok((envelope, message)));
    }
}

#[test]
fn a_bent_frame_is_refused_and_a_bent_body_never_panics() {
    let mut rng = Rng::new(1);
    for message in samples().into_iter().chain(scans()) {
        let mut bytes = Vec::new();
        message.encode(&Envelope { layout_version: 1, cluster_id: 77, request_id: 1, reaps: 3 }, &mut bytes);
        for _ in 0..200 {
            let mut bent = bytes.clone();
            let at = rng.below(bent.len() as u64) as usize;
            bent[at] ^= 1 << rng.below(8);
            if let Ok((frame, _)) = split_frame(&bent) {
                assert!(decode_frame(frame).is_err(), "{message:?} bent at {at}");
            }
            seal(&mut bent);
            let _ = decode_frame(&bent);
            let _ = decode_frame(&bent[..at]);
        }
    }
}
