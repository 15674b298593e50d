//! Every message comes back from its bytes, and nothing else does.

use super::super::member::Description;
use super::super::refusal::Refusal;
use super::*;
use crate::proto::keys::Key;

const CLUSTER: u64 = 0x1122_3344_5566_7788;

fn header() -> Header {
    Header {
        layout: LayoutStamp { era: 1, version: 2, hash: 3 },
        from: MemberId(4),
        to: MemberId(5),
        boot: Boot { opens: 6, nonce: 7 },
        counter: 8,
    }
}

fn messages() -> Vec<Message> {
    let stamp = |id| Stamp {
        id: MemberId(id),
        verdict: Verdict::Down,
        incarnation: Incarnation { opens: 200, bumps: u32::MAX },
    };
    vec![
        Message::Ping { number: 9, digest: u64::MAX },
        Message::Ack { number: u32::MAX },
        Message::PingRequest { number: 1, target: MemberId(2) },
        Message::Nack { number: 0 },
        Message::Gossip,
        Message::Summary(Box::new(core::array::from_fn(|at| at as u32))),
        Message::Stamps { whole: 1 << 63, stamps: (0..60).map(stamp).collect() },
        Message::Stamps { whole: 0, stamps: vec![] },
        Message::Want((0..128).map(MemberId).collect()),
        Message::Notice { code: NoticeCode::Era, number: 3 },
    ]
}

fn rumors() -> Vec<Rumor> {
    let incarnation = Incarnation { opens: 3, bumps: 4 };
    let description = Description {
        name: "node-1".into(),
        address: b"10.0.0.1:7380".to_vec(),
        zone: 2,
        generation: 11,
        nonce: 12,
    };
    let (id, accuser) = (MemberId(1), None);
    vec![
        Rumor::Word { id, verdict: Verdict::Suspect, incarnation, accuser: Some(MemberId(9)) },
        Rumor::Word { id, verdict: Verdict::Left, incarnation, accuser },
        Rumor::Row { verdict: Verdict::Down, incarnation, description },
    ]
}

fn ring() -> Keyring {
    Keyring::new(Key([3; 16]))
}

fn datagram(message: &Message, rumors: &[Rumor]) -> Vec<u8> {
    let mut draft = Draft::new(CLUSTER, &header(), message);
    let added = rumors.iter().filter(|rumor| draft.add(rumor)).count();
    assert_eq!(added, rumors.len());
    draft.seal(&ring())
}

/// The datagram with another body, authentic all the same.
fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mac = Key([3; 16]).hash128(&[&bytes[..MAC_AT], &bytes[HEADER..]]);
    bytes[MAC_AT..HEADER].copy_from_slice(&mac.to_le_bytes());
    bytes
}

#[test]
fn every_message_comes_back() {
    for message in messages() {
        let bytes = datagram(&message, &rumors());
        assert!(bytes.len() <= limits::GOSSIP_DATAGRAM_MAX, "{message:?}: {}", bytes.len());
        let opened = Opened { header: header(), message, rumors: rumors() };
        assert_eq!(open(&bytes, CLUSTER, &ring()), Ok(opened));
    }
}

#[test]
fn the_bytes_are_those_of_the_drawing() {
    let bytes = datagram(&Message::PingRequest { number: 0x0a0b, target: MemberId(0xcd) }, &rumors()[..1]);
    let mut expected = b"QG\x01\x03".to_vec();
    expected.extend_from_slice(&ring().in_use().0.0.to_le_bytes());
    expected.extend_from_slice(&CLUSTER.to_le_bytes());
    for (number, length) in [(1, 4), (2, 4), (3, 8), (4, 8), (5, 8), (6, 4), (7, 4), (8_u64, 8)] {
        expected.extend_from_slice(&number.to_le_bytes()[..length]);
    }
    assert_eq!(bytes[..MAC_AT], expected);
    let body = b"\x0b\x0a\0\0\xcd\0\0\0\0\0\0\0\x02\x01\0\0\0\0\0\0\0\x03\x04\x09\0\0\0\0\0\0\0";
    assert_eq!(bytes[HEADER..], body[..]);
}

#[test]
fn no_cut_and_no_byte_more_is_read() {
    for message in messages() {
        let bytes = datagram(&message, &[]);
        for length in HEADER..bytes.len() {
            let cut = resealed(bytes[..length].to_vec());
            assert_eq!(open(&cut, CLUSTER, &ring()), Err(Refusal::Malformed), "{message:?} cut at {length}");
        }
        for more in [0, 5, 0x12, 0xff] {
            let longer = resealed([&bytes[..], &[more]].concat());
            assert_eq!(open(&longer, CLUSTER, &ring()), Err(Refusal::Malformed), "{message:?}");
        }
    }
    for rumor in rumors() {
        let bytes = datagram(&Message::Gossip, core::slice::from_ref(&rumor));
        for length in HEADER + 1..bytes.len() {
            let cut = resealed(bytes[..length].to_vec());
            assert_eq!(open(&cut, CLUSTER, &ring()), Err(Refusal::Malformed), "{rumor:?} cut at {length}");
        }
    }
}

#[test]
fn what_no_field_may_say_is_refused() {
    let table: [(&str, u8, &[u8]); 10] = [
        ("a kind that is none", 10, &[]),
        ("a count beyond the bytes", 8, &[0xff, 0xff, 0xff, 0xff, 0x0f]),
        ("a count in a longer form", 8, &[0x80, 0x00]),
        ("a notice that is none", 9, &[9, 0, 0, 0, 0]),
        ("a suspicion as a stamp", 7, &[0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 1, 1]),
        ("a row of a suspect", 5, &[0x12, 1, 1]),
        ("a verdict that is none", 5, &[5, 1, 0, 0, 0, 0, 0, 0, 0, 1, 1]),
        ("an open count over 32 bits", 5, &[1, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0x7f, 1]),
        ("a name with a blank", 5, b"\x11\x01\x01nonc\0\0\0\0\0\0\0\0zone\x03a b\x01x"),
        ("no address", 5, b"\x11\x01\x01nonc\0\0\0\0\0\0\0\0zone\x03abc\x00"),
    ];
    for (what, kind, body) in table {
        let mut bytes = datagram(&Message::Gossip, &[]);
        bytes[3] = kind;
        bytes.extend_from_slice(body);
        assert_eq!(open(&resealed(bytes), CLUSTER, &ring()), Err(Refusal::Malformed), "{what}");
    }
    for (at, what) in [(32, "sender"), (56, "counter")] {
        let mut bytes = datagram(&Message::Gossip, &[]);
        bytes[at..at + 8].fill(0);
        assert_eq!(open(&resealed(bytes), CLUSTER, &ring()), Err(Refusal::Malformed), "no {what}");
    }
}

#[test]
fn a_draft_takes_what_fits() {
    let mut draft = Draft::new(CLUSTER, &header(), &Message::Gossip);
    let row = &rumors()[2];
    let count = (0..1_000).take_while(|_| draft.add(row)).count();
    let bytes = draft.seal(&ring());
    assert!(bytes.len() <= limits::GOSSIP_DATAGRAM_MAX && count > 20, "{count} rows");
    assert_eq!(open(&bytes, CLUSTER, &ring()).unwrap().rumors.len(), count);
}
