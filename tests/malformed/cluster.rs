//! What members say of the cluster itself: votes, topologies, progress, comparisons of copies, wishes to join.
//! The node under test is of a list that never changes, so it reads all of it and follows none.

use quorate::proto::cluster::{Change, Topology};
use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::exchange::Name;
use quorate::proto::io::MemberId;
use quorate::proto::keepers::{Answer, Ask, Ballot, Choice, Seat, Vote};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::merkle::NodeName;
use quorate::proto::message::{
    Compare, Compared, Message, Progress, Proof, Question, Tomb, decode_records, put_digest, put_record,
    put_tomb,
};
use quorate::proto::ring::Mode;
use quorate::proto::rng::Rng;
use quorate::proto::wire::{Reader, WireError};

use super::messages::Facts;
use super::mutate::{bend, boundary, noise, one_of, pick};
use super::node::{ANSWERING_MEMBER, HANDSHAKE_MEMBER, NODE, RECORD_MEMBERS};

/// Kinds whose bodies are another encoding and nothing else, or a text: no body of them is refused.
pub const OPEN_KINDS: [&str; 6] = ["Ask", "Answer", "Topology", "Refused", "Sums", "Summed"];
/// The encodings inside of messages about the cluster.
pub const INSIDES: [&str; 6] = ["ask", "answer", "topology", "change", "compared records", "sums"];

/// What decodes the inside of a message about the cluster, and whether it will.
pub fn inside(message: &Message<'_>, keys: &ClusterKeys) -> Option<(&'static str, bool)> {
    let no_records = |_: u16, _: &[u8], _: &[u8]| Ok::<(), WireError>(());
    Some(match message {
        Message::Ask(bytes) => ("ask", Ask::decode(bytes).is_ok()),
        Message::Answer(bytes) => ("answer", Answer::decode(bytes).is_ok()),
        Message::Topology(bytes) => ("topology", Topology::decode(bytes, keys).is_ok()),
        Message::Join { change, .. } => ("change", Change::decode(change).is_ok()),
        Message::Sums(questions) => ("sums", are_names(questions)),
        Message::Compared(compared) => {
            ("compared records", decode_records(compared.records, no_records).is_ok())
        }
        _ => return None,
    })
}

/// Gives a good message of a kind to `send`; what it carries is bent now and then. `record` is a key with an
/// encoded object.
pub fn good(
    kind: &str,
    rng: &mut Rng,
    facts: &Facts,
    record: (&[u8], &[u8]),
    mut send: impl FnMut(Message<'_>),
) {
    match kind {
        "Ask" => {
            let mut bytes = Vec::new();
            ask(rng, facts).encode(&mut bytes);
            send(Message::Ask(&carried(bytes, rng)));
        }
        "Answer" => {
            let mut bytes = Vec::new();
            answer(rng, facts).encode(&mut bytes);
            send(Message::Answer(&carried(bytes, rng)));
        }
        "Topology" => send(Message::Topology(&carried(topology(rng, facts).encode(), rng))),
        "Progress" => send(Message::Progress(Progress {
            version: odd(rng, 1),
            generation: odd(rng, facts.generation),
            total: boundary(rng) as u32,
            open: boundary(rng) as u32,
            bytes: boundary(rng),
        })),
        "Compare" => {
            let (partition, from) = place(rng);
            let mut digests = Vec::new();
            for _ in 0..pick(rng, 5) {
                put_digest(&mut digests, from.wrapping_add(rng.below(1 << 50)), rng.next_u64());
            }
            let until = rng.one_in(2).then(|| if rng.one_in(3) { boundary(rng) } else { from | 1 << 55 });
            send(Message::Compare(Compare {
                partition,
                keyspace: rng.one_in(2).then(|| rng.below(18) as u16),
                from,
                until,
                sends: rng.one_in(2),
                tells: rng.one_in(2),
                whole: rng.one_in(2),
                digests: &digests,
            }));
        }
        "Compared" => {
            let (partition, from) = place(rng);
            let mut records = Vec::new();
            for _ in 0..pick(rng, 3) {
                put_record(&mut records, rng.below(18) as u16, record.0, record.1);
            }
            let (lacking, records) = (noise(rng, 8).repeat(pick(rng, 4)), carried(records, rng));
            let next = rng.one_in(2).then(|| boundary(rng));
            let is_unfit = rng.one_in(4);
            let (lacking, records) = (&lacking, &records);
            send(Message::Compared(Compared { partition, from, next, is_unfit, lacking, records }));
        }
        "Join" => {
            let change = carried(change(rng, facts).encode(), rng);
            send(Message::Join { commit: rng.one_in(2), change: &change });
        }
        "Sums" => {
            let mut bytes = Vec::new();
            (0..pick(rng, 4)).for_each(|_| node_name(rng).encode(&mut bytes));
            send(Message::Sums(&carried(bytes, rng)));
        }
        "Summed" => send(Message::Summed(&noise(rng, 300))),
        "Sync" => send(Message::Sync { boot: if rng.one_in(2) { facts.boot } else { boundary(rng) } }),
        "Offer" => {
            let mut digests = Vec::new();
            (0..pick(rng, 200)).for_each(|_| put_digest(&mut digests, boundary(rng), rng.next_u64()));
            send(Message::Offer(&digests));
        }
        "Wanted" => send(Message::Wanted(&noise(rng, 8).repeat(pick(rng, 200)))),
        "Prove" | "Proved" | "Reap" | "Stale" => reaping(kind, rng, facts, record.0, send),
        _ => send(Message::Refused(one_of(rng, &["no room", "a\r\nb\0", "", "\u{1f980}"]).as_bytes())),
    }
}

/// Whether these are names of nodes of hash trees, one behind the other.
fn are_names(bytes: &[u8]) -> bool {
    let mut reader = Reader::new(bytes);
    loop {
        match Name::decode(&mut reader) {
            Ok(Some(_)) => {}
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
}

fn node_name(rng: &mut Rng) -> Name {
    let (partition, _) = place(rng);
    match rng.below(4) {
        0 => Name::All(rng.next_u64()),
        1 => Name::Group { level: 1 + rng.below(3) as u8, index: rng.below(40) as u32 },
        2 => Name::Partition(partition),
        _ => Name::Node {
            partition,
            keyspace: rng.below(3) as u16,
            node: NodeName::ROOT.child(rng.below(16) as usize),
        },
    }
}

/// A message about keys that may be reaped.
fn reaping(kind: &str, rng: &mut Rng, facts: &Facts, key: &[u8], send: impl FnOnce(Message<'_>)) {
    let mut tombs = Vec::new();
    for _ in 0..pick(rng, 3) {
        put_tomb(&mut tombs, &Tomb { keyspace: rng.below(18) as u16, item_hash: rng.next_u64(), key });
    }
    let (partition, _) = place(rng);
    // Small, so that what others send is not refused ever after.
    let count = rng.below(3);
    let question = Question { partition, count, boot: odd(rng, facts.boot), tombs: &tombs };
    let evidence = noise(rng, 4);
    match kind {
        "Prove" => send(Message::Prove(question)),
        "Reap" => send(Message::Reap(question)),
        "Proved" => send(Message::Proved(Proof { partition, asked: count, count, evidence: &evidence })),
        _ => send(Message::Stale { partition, count }),
    }
}

/// An encoding as it is, or bent.
fn carried(mut bytes: Vec<u8>, rng: &mut Rng) -> Vec<u8> {
    if rng.one_in(3) {
        bend(rng, &mut bytes, b"\x01\x00\x02");
    }
    bytes
}

fn odd(rng: &mut Rng, good: u64) -> u64 {
    if rng.one_in(4) { boundary(rng) } else { good }
}

/// A partition and a prefix that lies in it.
fn place(rng: &mut Rng) -> (u16, u64) {
    let partition = if rng.one_in(10) { boundary(rng) as u16 } else { rng.below(256) as u16 };
    (partition, u64::from(partition) << 56 | rng.next_u64() >> 9)
}

fn name(rng: &mut Rng) -> String {
    let names = [NODE, ANSWERING_MEMBER, HANDSHAKE_MEMBER, RECORD_MEMBERS[0], RECORD_MEMBERS[1], "zulu", ""];
    (*one_of(rng, &names)).to_owned()
}

fn change(rng: &mut Rng, facts: &Facts) -> Change {
    match rng.below(9) {
        0..=2 => {
            let (name, generation) = (name(rng), odd(rng, facts.boot | 1));
            Change::Join(MemberSpec { generation, ..MemberSpec::new(&name, "127.0.0.1:1") })
        }
        3 => Change::Leave(name(rng)),
        4 => Change::Remove(name(rng)),
        5 => Change::Replace(name(rng), name(rng)),
        6 => Change::Weight(name(rng), boundary(rng) as u32),
        7 => Change::Zone(name(rng), name(rng)),
        _ => Change::MaxPerZone(Some(boundary(rng) as u8).filter(|&most| most > 0)),
    }
}

/// A topology that some of the members could have founded, with changes staged or committed.
fn topology(rng: &mut Rng, facts: &Facts) -> Topology {
    let mut config = Config::new(NODE);
    config.placement = Mode::Balanced;
    config.partitions = *one_of(rng, &[1, 4, 16]);
    config.members[0].generation = facts.generation;
    for (at, name) in RECORD_MEMBERS.iter().enumerate().take(pick(rng, 3)) {
        config.members.push(MemberSpec { generation: at as u64 + 1, ..MemberSpec::new(name, "") });
    }
    let mut topology = Topology::found(&config, &facts.keys);
    for _ in 0..pick(rng, 4) {
        if let Ok(Some(staged)) = topology.stage(change(rng, facts), &facts.keys) {
            topology = staged;
        }
    }
    if rng.one_in(2)
        && let Ok(planned) = topology.planned(&facts.keys)
        && let Ok(moving) = topology.commit(topology.plan_hash(&planned, &facts.keys), &facts.keys)
    {
        topology = moving;
    }
    topology
}

fn seat(rng: &mut Rng, facts: &Facts) -> Seat {
    Seat { member: MemberId(boundary(rng)), generation: odd(rng, facts.generation) }
}

fn ballot(rng: &mut Rng) -> Ballot {
    let number = 1 + rng.below(9);
    Ballot { number: odd(rng, number), member: rng.next_u64() }
}

fn choice(rng: &mut Rng, facts: &Facts, version: u64) -> Choice {
    let mut keepers: Vec<Seat> = (0..1 + pick(rng, 5)).map(|_| seat(rng, facts)).collect();
    keepers.sort_unstable();
    keepers.dedup_by_key(|seat| seat.member);
    let layout = topology(rng, facts).encode();
    Choice { version, hash: rng.next_u64(), base: rng.next_u64(), keepers, layout }
}

fn ask(rng: &mut Rng, facts: &Facts) -> Ask {
    let version = 2 + rng.below(3);
    let version = odd(rng, version);
    let accept = rng.one_in(2).then(|| choice(rng, facts, version));
    let (era, generation) = (odd(rng, 0), odd(rng, facts.generation));
    Ask { era, generation, version, ballot: ballot(rng), accept }
}

fn answer(rng: &mut Rng, facts: &Facts) -> Answer {
    let version = odd(rng, 2);
    let vote = match rng.below(7) {
        0 => Vote::Promised(None),
        1 => Vote::Promised(Some((ballot(rng), choice(rng, facts, version.max(2))))),
        2 => Vote::Accepted,
        3 => Vote::Outvoted(ballot(rng)),
        4 => Vote::Passed(boundary(rng)),
        5 => Vote::OtherEra(boundary(rng)),
        _ => Vote::NoSeat,
    };
    Answer { version, ballot: ballot(rng), vote }
}
