//! What must not be taken: wrong clusters and keys, forgeries, replays, impossible lives, twins.

use super::super::message::{Draft, Header, LayoutStamp, Message};
use super::super::rumor::Rumor;
use super::net::{Net, Setup, keys};
use super::{Alert, Boot, Duration, Incarnation, Keyring, Refusal, Verdict};
use crate::proto::io::MemberId;
use crate::proto::keys::{ClusterKeys, Key};
use crate::proto::limits;

const SECOND: Duration = Duration::from_secs(1);

/// Three nodes that know each other.
fn three() -> Net {
    let mut net = Net::new(Setup::new(3, 1));
    net.run(10 * SECOND);
    net
}

/// The header of a datagram that node 1 could send to node 0, later than all it sent.
pub fn header(net: &Net) -> Header {
    Header {
        layout: LayoutStamp::default(),
        from: net.nodes[1].own(),
        to: net.nodes[0].own(),
        boot: net.setup.config(1, 1).boot,
        counter: 1 << 40,
    }
}

pub fn sealed(header: &Header, message: &Message, rumors: &[Rumor]) -> Vec<u8> {
    let mut draft = Draft::new(keys().cluster_id, header, message);
    assert!(rumors.iter().all(|rumor| draft.add(rumor)));
    draft.seal(&Keyring::new(keys().gossip))
}

pub const PING: Message = Message::Ping { number: 1, digest: 0 };

pub fn word(id: MemberId, verdict: Verdict, opens: u32, bumps: u32) -> Rumor {
    let accuser = (verdict == Verdict::Suspect).then_some(MemberId(5));
    Rumor::Word { id, verdict, incarnation: Incarnation { opens, bumps }, accuser }
}

/// Hands node 0 a datagram and holds that it is refused so, is counted so, and changed and sent nothing.
#[track_caller]
fn refused(net: &mut Net, bytes: &[u8], expected: Refusal) {
    let before = (net.nodes[0].digest(), net.nodes[0].refusals().of(expected), net.bytes[0]);
    assert_eq!(net.inject(0, 1, bytes), Err(expected));
    let after = (net.nodes[0].digest(), net.nodes[0].refusals().of(expected) - 1, net.bytes[0]);
    assert_eq!(before, after);
}

#[test]
fn what_is_not_authentic_is_refused_by_its_reason() {
    let mut net = three();
    let good = sealed(&header(&net), &PING, &[]);
    for (bytes, expected) in [
        (&b""[..], Refusal::Foreign),
        (b"GET / HTTP/1.1\r\n\r\n", Refusal::Foreign),
        (&good[..79], Refusal::Foreign),
        (&good[..80], Refusal::Forged),
        (&vec![0x51; 1_401], Refusal::Foreign),
    ] {
        refused(&mut net, bytes, expected);
    }
    for bit in 0..8 * good.len() {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let expected = match bit / 8 {
            0 | 1 => Refusal::Foreign,
            2 => Refusal::Version,
            4..8 => Refusal::Key,
            8..16 => Refusal::Cluster,
            _ => Refusal::Forged,
        };
        refused(&mut net, &bytes, expected);
    }
    assert_eq!(net.inject(0, 1, &good), Ok(()), "the good one is taken in the end");
}

#[test]
fn another_cluster_and_another_key_are_refused() {
    let mut net = three();
    let other = ClusterKeys::derive("other", &ClusterKeys::PUBLIC);
    let ring = Keyring::new(other.gossip);
    let header = header(&net);
    refused(&mut net, &Draft::new(other.cluster_id, &header, &PING).seal(&ring), Refusal::Cluster);
    refused(&mut net, &Draft::new(keys().cluster_id, &header, &PING).seal(&ring), Refusal::Key);
}

#[test]
fn a_key_is_changed_without_a_gap() {
    let mut net = three();
    let new = Key([9; 16]);
    let since = net.now;
    let old = net.nodes[0].keyring_mut().in_use().0;
    for at in 0..3 {
        net.nodes[at].keyring_mut().add(new).unwrap();
        net.run(2 * SECOND);
    }
    let id = super::super::keyring::KeyId::of(&new);
    for at in 0..3 {
        net.nodes[at].keyring_mut().select(id).unwrap();
        net.run(2 * SECOND);
    }
    for at in 0..3 {
        net.nodes[at].keyring_mut().remove(old).unwrap();
    }
    net.run(20 * SECOND);
    assert!(net.agrees() && net.declared_down(since) == 0);
    assert_eq!(net.nodes.iter().map(|node| node.refusals().of(Refusal::Key)).sum::<u64>(), 0);
    let header = header(&net);
    refused(&mut net, &sealed(&header, &PING, &[]), Refusal::Key);
}

#[test]
fn a_datagram_is_taken_once_and_by_its_receiver_only() {
    let mut net = Net::new(Setup::new(3, 1));
    net.tap = true;
    net.run(10 * SECOND);
    let tapped = core::mem::take(&mut net.tapped);
    assert!(tapped.len() > 40);
    for (from, to, bytes) in &tapped {
        assert_eq!(net.inject(*to, *from, bytes), Err(Refusal::Replayed));
        let third = 3 - from - to;
        assert_eq!(net.inject(third, *from, bytes), Err(Refusal::Misdirected));
        assert_eq!(net.inject(*from, *to, bytes), Err(Refusal::Echo));
    }
    // A boot that is over says nothing any more.
    net.kill(1);
    net.run(SECOND);
    net.restart(1);
    net.run(5 * SECOND);
    let (bytes, late) = (sealed(&header(&net), &PING, &[]), net.nodes[0].digest());
    assert_eq!(net.inject(0, 1, &bytes), Err(Refusal::Replayed));
    assert_eq!(net.nodes[0].digest(), late);
}

#[test]
fn lives_that_cannot_be_are_refused() {
    let mut net = three();
    let (own, other) = (net.nodes[0].own(), net.nodes[2].own());
    let jump = limits::GOSSIP_BUMPS_JUMP_MAX;
    let rumors = [
        word(other, Verdict::Down, 1, jump + 1),
        word(other, Verdict::Alive, 1, u32::MAX),
        word(own, Verdict::Suspect, 1, u32::MAX),
        word(own, Verdict::Down, 1, jump + 1),
    ];
    let before = net.nodes[0].digest();
    let bytes = sealed(&header(&net), &PING, &rumors);
    assert_eq!(net.inject(0, 1, &bytes), Ok(()), "the ping itself is good");
    assert_eq!(net.nodes[0].refusals().of(Refusal::Incarnation), 4);
    assert_eq!(net.nodes[0].digest(), before);
    net.run(10 * SECOND);
    assert!(net.agrees());
}

#[test]
fn a_second_process_over_a_copied_directory_is_told() {
    // The copy counts as the original does, and drew other bits.
    let mut net = three();
    let twin = Header { boot: Boot { opens: 1, nonce: 77 }, ..header(&net) };
    let before = net.nodes[0].digest();
    assert_eq!(net.inject(0, 1, &sealed(&twin, &PING, &[])), Err(Refusal::Twin));
    assert_eq!(net.nodes[0].digest(), before);
    let id = net.nodes[1].own();
    assert_eq!(net.alerts, [(0, Alert::Twin(id))]);
    net.run(SECOND);
    assert!(net.alerts.contains(&(1, Alert::Twin(id))), "node 1 hears it: {:?}", net.alerts);
    // Of this node itself.
    let mut net = three();
    let own = net.nodes[0].own();
    let twin = Header { from: own, boot: Boot { opens: 1, nonce: 77 }, ..header(&net) };
    assert_eq!(net.inject(0, 1, &sealed(&twin, &PING, &[])), Err(Refusal::Twin));
    assert_eq!(net.alerts, [(0, Alert::Twin(own))]);
}

#[test]
fn a_copy_opened_later_is_told_from_a_restart() {
    let mut net = three();
    // A copy of node 1's directory is opened once more: it takes the place of the original.
    let mut copy = Net::new(Setup::new(3, 9));
    copy.tap = true;
    copy.kill(1);
    copy.restart(1);
    copy.run(5 * SECOND);
    let introduced = copy.tapped.iter().find(|(from, to, _)| *from == 1 && *to == 0);
    let (_, _, bytes) = introduced.expect("it pings node 0").clone();
    assert_eq!(net.inject(0, 1, &bytes), Ok(()));
    let id = net.nodes[1].own();
    assert!(!net.alerts.contains(&(0, Alert::Twin(id))), "so far it looks like a restart");
    net.run(60 * SECOND);
    assert!(net.alerts.contains(&(0, Alert::Twin(id))), "the original goes on: {:?}", net.alerts);
    assert!(net.alerts.contains(&(1, Alert::Twin(id))), "and hears of a life that it has not lived");
}

#[test]
fn one_generation_under_two_names_is_told() {
    let mut setup = Setup::new(3, 1);
    setup.acquainted = false;
    let mut net = Net::new(setup);
    net.run(10 * SECOND);
    let mut config = net.setup.config(2, 2);
    config.generation = 1_001;
    net.kill(2);
    net.restart(2);
    net.nodes[2] = super::Gossip::new(config, keys(), 5, net.time()).unwrap();
    net.drain(2);
    net.run(20 * SECOND);
    let (one, other) = (net.nodes[1].own(), net.nodes[2].own());
    let alert = Alert::SharedGeneration(one, other);
    assert!(net.alerts.contains(&(0, alert)), "{:?}", net.alerts);
}

#[test]
fn a_removed_generation_stays_away() {
    let mut net = three();
    net.nodes[0].remove_generation(1_001);
    net.nodes[2].remove_generation(1_001);
    net.run(30 * SECOND);
    let id = net.nodes[1].own();
    assert!([0, 2].iter().all(|&at| net.nodes[at].member(id).is_none()));
    assert!(net.nodes[0].refusals().of(Refusal::Removed) > 0);
    assert!(net.alerts.contains(&(1, Alert::Removed(id))), "it hears why: {:?}", net.alerts);
}

#[test]
fn an_older_era_is_refused_and_a_newer_one_told() {
    let mut net = three();
    let newer = LayoutStamp { era: 2, version: 1, hash: 5 };
    net.nodes[0].set_layout(newer);
    refused_era(&mut net);
    net.run(5 * SECOND);
    assert!(net.alerts.iter().any(|(at, alert)| *at == 1 && *alert == Alert::EraOver(newer)));
    for at in [1, 2] {
        net.nodes[at].set_layout(newer);
    }
    net.run(30 * SECOND);
    assert!(net.agrees());
}

fn refused_era(net: &mut Net) {
    let bytes = sealed(&header(net), &PING, &[]);
    assert_eq!(net.inject(0, 1, &bytes), Err(Refusal::Era));
}

#[test]
fn another_layout_is_told_once() {
    use super::Output;
    let mut net = three();
    let theirs = LayoutStamp { era: 0, version: 7, hash: 3 };
    let mut told = Vec::new();
    for counter in [1, 2, 3] {
        let header = Header { layout: theirs, counter: (1 << 40) + counter, ..header(&net) };
        let bytes = sealed(&header, &Message::Gossip, &[]);
        let now = net.time();
        net.nodes[0].handle_datagram(now, b"1", &bytes).unwrap();
        while let Some(output) = net.nodes[0].poll_output(now) {
            told.extend(Some(output).filter(|output| matches!(output, Output::LayoutDiffers { .. })));
        }
    }
    assert_eq!(told, [Output::LayoutDiffers { member: net.nodes[1].own(), theirs }]);
}

#[test]
fn a_stranger_is_asked_to_introduce_itself_and_no_more() {
    let mut net = three();
    let stranger = Header { from: MemberId(99), ..header(&net) };
    let before = net.bytes[0];
    for counter in 1..1_000 {
        let header = Header { counter, ..stranger };
        assert_eq!(net.inject(0, 1, &sealed(&header, &PING, &[])), Err(Refusal::Stranger));
    }
    let sent = net.bytes[0] - before;
    assert!((1..=20 * 250).contains(&sent), "{sent} bytes for a thousand datagrams");
}

#[test]
fn authentic_nonsense_does_no_harm() {
    let mut net = three();
    let mut random = super::Rng::new(8);
    for counter in 0..20_000_u64 {
        let header = Header { counter: (1 << 41) + counter, ..header(&net) };
        let draft = Draft::new(keys().cluster_id, &header, &Message::Gossip);
        let mut bytes = draft.seal(&Keyring::new(keys().gossip));
        bytes[3] = random.below(12) as u8;
        for _ in 0..random.below(100) {
            // Small numbers make more sense by chance than large ones do.
            let byte = random.next_u64() as u8;
            bytes.push(if random.one_in(2) { byte % 24 } else { byte });
        }
        let mac = keys().gossip.hash128(&[&bytes[..64], &bytes[80..]]);
        bytes[64..80].copy_from_slice(&mac.to_le_bytes());
        let _ = net.inject(0, 1, &bytes);
    }
    assert!(net.nodes[0].refusals().of(Refusal::Malformed) > 1_000);
    net.run(30 * SECOND);
    assert!(net.agrees());
}

#[test]
fn the_table_holds_so_many_members_and_no_more() {
    let mut net = three();
    let row = |at: u64, verdict| Rumor::Row {
        verdict,
        incarnation: Incarnation { opens: 1, bumps: 0 },
        description: super::Description {
            name: format!("m{at}"),
            address: b"nowhere".to_vec(),
            zone: 0,
            generation: 0,
            nonce: 1,
        },
    };
    let mut counter = 1 << 41;
    let mut tell = |net: &mut Net, rumor: Rumor| {
        counter += 1;
        let header = Header { counter, ..header(net) };
        let bytes = sealed(&header, &Message::Gossip, &[rumor]);
        let now = net.time();
        net.nodes[0].handle_datagram(now, b"1", &bytes).unwrap();
        while net.nodes[0].poll_output(now).is_some() {}
    };
    for at in 0..limits::MEMBERS_MAX as u64 + 10 {
        tell(&mut net, row(at, Verdict::Alive));
    }
    assert_eq!(net.nodes[0].members().count(), limits::MEMBERS_MAX);
    assert_eq!(net.nodes[0].refusals().of(Refusal::Full), 13);
    tell(&mut net, row(5, Verdict::Left));
    tell(&mut net, row(5_000, Verdict::Alive));
    assert_eq!(net.nodes[0].members().count(), limits::MEMBERS_MAX);
    assert_eq!(net.nodes[0].refusals().of(Refusal::Full), 13, "who left makes room");
}

#[test]
fn a_manual_member_does_not_jump_either() {
    let mut net = Net::new(Setup { mode: super::Mode::Manual, ..Setup::new(3, 1) });
    net.run(5 * SECOND);
    let opens = 2 + limits::GOSSIP_OPENS_JUMP_MAX;
    let later = Header { boot: Boot { opens, nonce: 9 }, ..header(&net) };
    refused(&mut net, &sealed(&later, &PING, &[]), Refusal::Incarnation);
    let later = Header { boot: Boot { opens: opens - 1, nonce: 9 }, ..later };
    assert_eq!(net.inject(0, 1, &sealed(&later, &PING, &[])), Ok(()));
}

#[test]
fn an_old_accusation_is_answered_again() {
    let mut net = three();
    let own = net.nodes[0].own();
    let alive = |net: &Net, at: usize| net.nodes[at].member(own).unwrap().incarnation().bumps;
    for (counter, heard) in [(1, 1), (2, 1)] {
        net.tap = true;
        let header = Header { counter: (1 << 40) + counter, ..header(&net) };
        let accusation = word(own, Verdict::Suspect, 1, 0);
        net.inject(0, 1, &sealed(&header, &Message::Gossip, &[accusation])).unwrap();
        net.run(20 * SECOND);
        assert_eq!((alive(&net, 0), alive(&net, 2)), (heard, heard), "one refutation answers both");
        let mut bytes = Vec::new();
        word(own, Verdict::Alive, 1, 1).put(&mut bytes);
        let says = |(from, _, datagram): &&(usize, usize, Vec<u8>)| {
            *from == 0 && datagram.windows(bytes.len()).any(|window| window == bytes)
        };
        assert!(net.tapped.iter().filter(says).count() >= 4, "told anew, time {counter}");
        net.tapped.clear();
    }
}

#[test]
fn our_own_words_come_back_without_harm() {
    let mut setup = Setup::new(2, 1);
    setup.acquainted = false;
    let mut net = Net::new(setup);
    net.kill(0);
    net.tap = true;
    net.run(5 * SECOND);
    // Somebody sends our pings back, as if the seed did.
    let (_, _, ping) = net.tapped.iter().find(|(from, to, _)| (*from, *to) == (1, 0)).unwrap().clone();
    assert_eq!(net.inject(1, 0, &ping), Err(Refusal::Echo));
    net.tapped.clear();
    net.run(5 * SECOND);
    assert!(net.tapped.iter().any(|(from, to, _)| (*from, *to) == (1, 0)), "the seed is tried all the same");
    // What we said before a restart is no sign of a second process.
    net.kill(1);
    net.restart(1);
    assert_eq!(net.inject(1, 0, &ping), Err(Refusal::Replayed));
    assert_eq!(net.alerts, []);
}

#[test]
fn a_list_without_openings_is_filled_in() {
    let net = Net::new(Setup::new(3, 1));
    let mut config = net.setup.config(0, 1);
    for known in &mut config.members {
        known.description.nonce = 0;
    }
    let mut node = super::Gossip::new(config, keys(), 1, net.time()).unwrap();
    let other = net.nodes[2].own();
    let row = Rumor::Row {
        verdict: Verdict::Alive,
        incarnation: Incarnation { opens: 1, bumps: 0 },
        description: net.nodes[2].member(other).unwrap().description.clone(),
    };
    let header = Header { counter: 1, ..header(&net) };
    assert_eq!(node.handle_datagram(net.time(), b"1", &sealed(&header, &PING, &[row])), Ok(()));
    assert_eq!(node.member(other).unwrap().description.nonce, net.setup.config(2, 1).boot.nonce);
    assert_eq!(node.refusals().of(Refusal::Twin), 0);
}
