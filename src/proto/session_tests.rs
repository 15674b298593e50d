//! Tests of the peer stream: both ends in one process, every cut, every flipped bit.

use super::*;
use crate::proto::message::LEVEL;

fn identity(name: &str) -> Arc<Identity> {
    Arc::new(Identity {
        keys: ClusterKeys::derive("test", &ClusterKeys::PUBLIC),
        name: name.to_owned(),
        level: LEVEL,
        members: Some(vec!["a".to_owned(), "b".to_owned(), "c".to_owned()]),
    })
}

/// Feeds all of `input`; returns the frames that came, or the error.
fn feed(session: &mut Session, input: &mut Vec<u8>, out: &mut Vec<u8>) -> Result<Vec<Vec<u8>>, SessionError> {
    let mut frames = Vec::new();
    loop {
        let (taken, event) = session.handle_bytes(input, out)?;
        match event {
            Event::Starved => return Ok(frames),
            Event::Frames(payload) => frames.push(payload.to_vec()),
            Event::Progress | Event::Established { .. } => {}
        }
        input.drain(..taken);
    }
}

/// Both ends, with all bytes of the handshake carried. The first error of either end ends it.
fn joined(left: &Arc<Identity>, right: &Arc<Identity>) -> Result<(Session, Session), SessionError> {
    let (mut to_right, mut to_left) = (Vec::new(), Vec::new());
    let mut initiator = Session::connect(left.clone(), &right.name, [1; 16], &mut to_right);
    let mut acceptor = Session::accept(right.clone(), [2; 16]);
    for _ in 0..2 {
        feed(&mut acceptor, &mut to_right, &mut to_left)?;
        feed(&mut initiator, &mut to_left, &mut to_right)?;
    }
    assert!(initiator.is_established() && acceptor.is_established());
    Ok((initiator, acceptor))
}

#[test]
fn records_flow_both_ways() {
    let (mut left, mut right) = joined(&identity("a"), &identity("b")).unwrap();
    let (mut wire, mut none) = (Vec::new(), Vec::new());
    left.seal(b"one", &mut wire);
    left.seal(b"two", &mut wire);
    assert_eq!(feed(&mut right, &mut wire, &mut none).unwrap(), [b"one", b"two"]);
    right.seal(b"three", &mut wire);
    assert_eq!(feed(&mut left, &mut wire, &mut none).unwrap(), [b"three"]);
    assert!(none.is_empty());
}

#[test]
fn bytes_may_come_one_at_a_time() {
    let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
    let mut initiator = Session::connect(identity("a"), "b", [1; 16], &mut to_b);
    let mut acceptor = Session::accept(identity("b"), [2; 16]);
    let mut frames = Vec::new();
    let (mut at_a, mut at_b) = (Vec::new(), Vec::new());
    let mut sealed = false;
    for _ in 0..1_000 {
        if !to_b.is_empty() {
            at_b.push(to_b.remove(0));
            frames.extend(feed(&mut acceptor, &mut at_b, &mut to_a).unwrap());
        }
        if !to_a.is_empty() {
            at_a.push(to_a.remove(0));
            feed(&mut initiator, &mut at_a, &mut to_b).unwrap();
        }
        if initiator.is_established() && !sealed {
            initiator.seal(b"frame", &mut to_b);
            sealed = true;
        }
    }
    assert_eq!(frames, [b"frame"]);
}

#[test]
fn each_wrong_end_is_named() {
    let refused = |left: &Arc<Identity>, right: &Arc<Identity>| joined(left, right).unwrap_err();
    let changed = |name: &str, change: fn(&mut Identity)| {
        let mut identity = (*identity(name)).clone();
        change(&mut identity);
        Arc::new(identity)
    };
    let (a, b) = (identity("a"), identity("b"));

    let other = changed("a", |i| i.keys = ClusterKeys::derive("other", &ClusterKeys::PUBLIC));
    let (theirs, ours) = (other.keys.cluster_id, b.keys.cluster_id);
    assert_eq!(refused(&other, &b), SessionError::Cluster { theirs, ours });

    let forged = changed("a", |i| i.keys.session = Key([9; 16]));
    // The connecting end checks first: to it, it is the other that holds another key.
    assert_eq!(refused(&forged, &b), SessionError::Key { peer: "b".into() });
    assert_eq!(
        refused(&a, &changed("b", |i| i.keys.session = Key([9; 16]))),
        SessionError::Key { peer: "b".into() }
    );

    assert_eq!(refused(&identity("d"), &b), SessionError::UnknownMember("d".into()));
    assert_eq!(refused(&identity("b"), &b), SessionError::OwnName("b".into()));
}

#[test]
fn an_acceptor_checks_the_proof_itself() {
    // An initiator that skips its own check still cannot prove itself.
    let mut wire = Vec::new();
    let forger = Session::connect(identity("a"), "b", [1; 16], &mut wire);
    let mut acceptor = Session::accept(identity("b"), [2; 16]);
    let mut out = Vec::new();
    feed(&mut acceptor, &mut wire, &mut out).unwrap();
    // The acceptor's own proof, reflected.
    let proof = out[out.len() - 16..].to_vec();
    put_message(&mut wire, KIND_PROOF, 0, &proof);
    assert_eq!(feed(&mut acceptor, &mut wire, &mut out), Err(SessionError::Key { peer: "a".into() }));
    assert!(!forger.is_established());
    assert_eq!(feed(&mut acceptor, &mut wire, &mut out), Err(SessionError::Failed));
}

#[test]
fn a_wrong_address_is_named_on_both_sides() {
    let (mut to_b, mut to_a) = (Vec::new(), Vec::new());
    let mut initiator = Session::connect(identity("a"), "c", [1; 16], &mut to_b);
    let mut acceptor = Session::accept(identity("b"), [2; 16]);
    let error = feed(&mut acceptor, &mut to_b, &mut to_a).unwrap_err();
    assert_eq!(error, SessionError::Misdirected { wanted: "c".into(), ours: "b".into() });
    let told = feed(&mut initiator, &mut to_a, &mut to_b).unwrap_err();
    assert_eq!(told, SessionError::Refused("the address given for `c` is that of `b`".into()));

    // An end that names nobody is still held to who was dialled.
    let mut initiator = Session::connect(identity("a"), "c", [1; 16], &mut Vec::new());
    let mut hello = Vec::new();
    put_hello(&mut hello, &identity("b"), "", &[2; 16]);
    let error = feed(&mut initiator, &mut hello, &mut to_b).unwrap_err();
    assert_eq!(error, SessionError::WrongMember { wanted: "c".into(), found: "b".into() });
}

#[test]
fn another_version_is_refused_and_understood() {
    let mut hello = Vec::new();
    Session::connect(identity("a"), "b", [1; 16], &mut hello);
    hello[4] = 9;
    let mut out = Vec::new();
    let mut acceptor = Session::accept(identity("b"), [2; 16]);
    assert_eq!(feed(&mut acceptor, &mut hello, &mut out), Err(SessionError::Version { theirs: 9 }));
    // The refusal is readable for an end of another version.
    out[4] = 7;
    let mut initiator = Session::connect(identity("a"), "b", [1; 16], &mut hello);
    let told = feed(&mut initiator, &mut out, &mut Vec::new()).unwrap_err();
    assert_eq!(told, SessionError::Refused("peer protocol version 9, version 1 is needed".into()));
}

#[test]
fn every_flipped_bit_of_a_record_is_caught() {
    let mut wire = Vec::new();
    for bit in 0..8 * (RECORD_HEADER + 5) {
        let (mut left, mut right) = joined(&identity("a"), &identity("b")).unwrap();
        wire.clear();
        left.seal(b"frame", &mut wire);
        // Behind it lies more, so that a longer length is not just waited for.
        wire.resize(wire.len() + 64, 0);
        wire[bit / 8] ^= 1 << (bit % 8);
        match feed(&mut right, &mut wire.clone(), &mut Vec::new()) {
            Err(SessionError::Tampered | SessionError::TooLong { .. }) => {}
            Ok(frames) => assert!(frames.is_empty() && bit / 8 < 4, "bit {bit} passed"),
            Err(error) => panic!("bit {bit}: {error}"),
        }
    }
}

#[test]
fn records_cannot_be_dropped_repeated_or_reflected() {
    let records = |left: &mut Session| {
        [b"one", b"two"].map(|frames| {
            let mut wire = Vec::new();
            left.seal(frames, &mut wire);
            wire
        })
    };
    let (mut left, mut right) = joined(&identity("a"), &identity("b")).unwrap();
    let [_, second] = records(&mut left);
    assert_eq!(feed(&mut right, &mut second.clone(), &mut Vec::new()), Err(SessionError::Tampered));

    let (mut left, mut right) = joined(&identity("a"), &identity("b")).unwrap();
    let [first, _] = records(&mut left);
    let mut twice = [first.clone(), first.clone()].concat();
    assert_eq!(feed(&mut right, &mut twice, &mut Vec::new()), Err(SessionError::Tampered));
    assert_eq!(feed(&mut left, &mut first.clone(), &mut Vec::new()), Err(SessionError::Tampered));

    // Another stream between the same two has other keys.
    let mut to_b = Vec::new();
    let mut to_a = Vec::new();
    let mut again = Session::connect(identity("a"), "b", [3; 16], &mut to_b);
    let mut other = Session::accept(identity("b"), [4; 16]);
    for _ in 0..2 {
        feed(&mut other, &mut to_b, &mut to_a).unwrap();
        feed(&mut again, &mut to_a, &mut to_b).unwrap();
    }
    assert_eq!(feed(&mut other, &mut first.clone(), &mut Vec::new()), Err(SessionError::Tampered));
}

#[test]
fn an_announced_length_is_judged_before_it_comes() {
    let (_, mut right) = joined(&identity("a"), &identity("b")).unwrap();
    let mut wire = u32::MAX.to_le_bytes().to_vec();
    wire.extend_from_slice(&[0; 16]);
    let error = feed(&mut right, &mut wire, &mut Vec::new()).unwrap_err();
    assert_eq!(error, SessionError::TooLong { length: u64::from(u32::MAX) });
}

#[test]
fn a_stranger_is_refused_at_its_first_byte() {
    for greeting in [&b"GET / HTTP/1.1\r\n"[..], b"*", b"QRTX"] {
        let mut acceptor = Session::accept(identity("b"), [2; 16]);
        let mut out = Vec::new();
        let error = feed(&mut acceptor, &mut greeting.to_vec(), &mut out).unwrap_err();
        assert_eq!(error, SessionError::Foreign);
    }
}

#[test]
fn no_cut_or_changed_handshake_panics_or_passes() {
    let mut hello = Vec::new();
    Session::connect(identity("a"), "b", [1; 16], &mut hello);
    for cut in 0..hello.len() {
        let mut acceptor = Session::accept(identity("b"), [2; 16]);
        let frames = feed(&mut acceptor, &mut hello[..cut].to_vec(), &mut Vec::new());
        assert_eq!(frames, Ok(vec![]), "cut at {cut}");
        assert!(matches!(acceptor.state, State::Hello));
    }
    for at in 0..hello.len() {
        for change in [1, 0x80, 0xFF] {
            let mut changed = hello.clone();
            changed[at] ^= change;
            let mut acceptor = Session::accept(identity("b"), [2; 16]);
            let _ = feed(&mut acceptor, &mut changed, &mut Vec::new());
            assert!(!acceptor.is_established());
        }
    }
}
