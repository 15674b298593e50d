//! What members say to each other, one of every kind, and how it is bent: below the checksums, so that
//! every decoder behind them is reached, and above them.

use core::time::Duration;
use std::collections::VecDeque;
use std::sync::Mutex;

use quorate::proto::io::{
    Add, Blind, Edit, ExpiryEdit, ExpiryWhen, Kind, MemberId, Operation, Options, Presence, Reply, Request,
    SiblingView, View,
};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::message::{
    Acks, Envelope, Extent, FetchHint, Fetched, Forward, HEADER, Hello, Hint, Hinted, Listed, Message, Row,
    Scan, Scanned, Seen, Stored, encode_reply, encode_request, put_row, seal,
};
use quorate::proto::rng::Rng;
use quorate::proto::version::{Actor, Context, Dot, Epoch, Hlc, Object, Sibling, Value, VectorClock};
use quorate::proto::wire::put_varint;
use quorate::proto::{error::Outcome, io::Achieved};

use super::cluster;
use super::commands::key;
use super::mutate::{bend, boundary, noise, one_of, pick};

/// Kinds of messages, as their header names them.
pub const KINDS: [&str; 31] = [
    "Replicate",
    "Acknowledge",
    "Fetch",
    "Fetched",
    "Forward",
    "Forwarded",
    "Hello",
    "Scan",
    "Scanned",
    "Ask",
    "Answer",
    "Topology",
    "Progress",
    "Compare",
    "Compared",
    "Join",
    "Refused",
    "Probe",
    "Probed",
    "Hint",
    "Hinted",
    "FetchHint",
    "Prove",
    "Proved",
    "Reap",
    "Stale",
    "Sums",
    "Summed",
    "Sync",
    "Offer",
    "Wanted",
];
/// Their numbers, in the same order.
const NUMBERS: [u8; KINDS.len()] = [
    1, 2, 3, 4, 5, 6, 7, 30, 31, 10, 11, 12, 13, 14, 15, 18, 19, 16, 17, 20, 21, 22, 26, 27, 28, 29, 24, 25,
    32, 33, 34,
];

/// The name of the kind that a header says, if there is one of that number.
pub fn kind_of(number: u8) -> Option<&'static str> {
    NUMBERS.iter().position(|&known| known == number).map(|at| KINDS[at])
}

/// What a member knows of the cluster and of the node it talks to.
#[derive(Clone, Debug)]
pub struct Facts {
    pub keys: ClusterKeys,
    pub layout_version: u32,
    pub layout_hash: u64,
    /// The node's generation, boot and open count, as it said last.
    pub generation: u64,
    pub boot: u64,
    pub opens: u64,
}

/// What the node asked on one stream and nobody has answered: an answer that names one of these is taken.
#[derive(Debug, Default)]
pub struct Questions {
    pub fetches: Vec<Question>,
    pub replicates: Vec<Question>,
    pub scans: Vec<Question>,
    pub forwards: Vec<Question>,
}

/// A request id, and what else an answer repeats: the number of a forward, where a scan begins.
pub type Question = (u64, u64);

impl Questions {
    fn of_kind(&mut self, kind: usize) -> Option<&mut Vec<Question>> {
        match KINDS[kind] {
            "Acknowledge" => Some(&mut self.replicates),
            "Fetched" => Some(&mut self.fetches),
            "Forwarded" => Some(&mut self.forwards),
            "Scanned" => Some(&mut self.scans),
            _ => None,
        }
    }

    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        [&self.fetches, &self.replicates, &self.scans, &self.forwards].iter().all(|list| list.is_empty())
    }

    /// The kind of an answer that is due, rarer ones first; any if none is.
    fn due(&self, rng: &mut Rng) -> usize {
        let open = [
            ("Scanned", &self.scans),
            ("Forwarded", &self.forwards),
            ("Fetched", &self.fetches),
            ("Acknowledge", &self.replicates),
        ];
        let due: Vec<&str> =
            open.iter().filter(|(_, list)| !list.is_empty()).map(|(kind, _)| *kind).collect();
        let kind = if due.is_empty() { one_of(rng, &open).0 } else { one_of(rng, &due) };
        KINDS.iter().position(|name| *name == kind).expect("answers are messages")
    }

    /// Notes a question; old ones are past their deadline.
    pub fn note(list: &mut Vec<Question>, question: Question) {
        if list.len() == 64 {
            list.remove(0);
        }
        list.push(question);
    }
}

/// Whether a key is one of the good client's: what is answered about it with a good frame would be merged.
pub fn must_be_found_again(key: &[u8]) -> bool {
    key.len() > 2
}

/// Records that the node sent last, with their keys: what is made of them names events of its own.
#[derive(Debug, Default)]
pub struct Recent(Mutex<VecDeque<(Vec<u8>, Vec<u8>)>>);

impl Recent {
    /// Notes a record, unless it is one of those that must be found again.
    pub fn note(&self, key: &[u8], object: &[u8]) {
        if must_be_found_again(key) {
            return;
        }
        let mut records = self.0.lock().expect("nobody panicked with it");
        if records.len() == 64 {
            records.pop_front();
        }
        records.push_back((key.to_vec(), object.to_vec()));
    }

    /// One of them.
    fn pick(&self, rng: &mut Rng) -> Option<(Vec<u8>, Object<'static>)> {
        let records = self.0.lock().expect("nobody panicked with it");
        let (key, object) = records.get(pick(rng, records.len()))?;
        Some((key.clone(), Object::decode(object).ok()?.into_owned()))
    }

    /// The key of one of them and what a client may claim to have seen of it: more than there is.
    pub fn claim(&self, rng: &mut Rng) -> Option<(Vec<u8>, VectorClock)> {
        let (key, object) = self.pick(rng)?;
        let mut clock = object.context().clone();
        let &(actor, counter) = clock.entries().get(pick(rng, clock.len()))?;
        clock.raise(actor, if rng.one_in(2) { u64::MAX } else { counter.saturating_add(rng.below(3)) });
        Some((key, clock))
    }

    /// One of them, one event further on: the next of its actor, or the last there can be.
    fn further(&self, rng: &mut Rng) -> Option<(Vec<u8>, Vec<u8>)> {
        let (key, mut object) = self.pick(rng)?;
        let &(actor, counter) = object.context().entries().get(pick(rng, object.context().len()))?;
        if counter < u64::MAX {
            let mut seen = Context::default();
            seen.clock.raise(actor, if rng.one_in(20) { u64::MAX - 1 } else { counter });
            let dot = Dot { actor, counter: seen.clock.counter(actor) + 1 };
            let sibling = Sibling {
                dot,
                hlc: Hlc(1),
                tombstone: false,
                expires_ms: None,
                element: false,
                value: b"v".into(),
            };
            object.write(&seen, sibling);
        }
        let mut bytes = Vec::new();
        object.encode(&mut bytes);
        Some((key, bytes))
    }
}

/// Makes the messages of one member.
pub struct Messages<'a> {
    pub facts: &'a Facts,
    pub recent: &'a Recent,
    /// The boot this member has introduced itself with.
    pub own_boot: u64,
    /// The number that names the input: its request id, and its number as a forward.
    pub number: u64,
}

impl Messages<'_> {
    fn envelope(&self, request_id: u64) -> Envelope {
        Envelope {
            layout_version: self.facts.layout_version,
            cluster_id: self.facts.keys.cluster_id,
            request_id,
            reaps: 0,
        }
    }

    /// A good frame of a kind. Answers go to a question of the node if one is open; says whether.
    pub fn good(&self, kind: usize, rng: &mut Rng, questions: &mut Questions) -> (Vec<u8>, bool) {
        let question = questions.of_kind(kind).and_then(Vec::pop);
        let (id, detail) = question.unwrap_or((self.number, self.number));
        let mut frame = Vec::new();
        let send = |message: Message<'_>, frame: &mut Vec<u8>| message.encode(&self.envelope(id), frame);
        let (key, keyspace) = (key(self.number, rng), if rng.one_in(10) { rng.below(18) as u16 } else { 0 });
        match KINDS[kind] {
            "Replicate" => {
                let further = if rng.one_in(3) { self.recent.further(rng) } else { None };
                let (key, object) = further.unwrap_or_else(|| (key, encoded_object(rng, self.facts)));
                let acks = Acks { stored: rng.one_in(2), durable: rng.one_in(3) };
                send(Message::Replicate { keyspace, key: &key, acks, object: &object }, &mut frame);
            }
            "Acknowledge" => {
                let all =
                    [Stored::Stored, Stored::Durable, Stored::Full, Stored::ReadOnly, Stored::Overloaded];
                send(Message::Acknowledge(*one_of(rng, &all)), &mut frame);
            }
            "Fetch" => {
                let known = if rng.one_in(3) { boundary(rng) } else { 0 };
                let deadline_ms = rng.below(500) as u32;
                send(Message::Fetch { keyspace, key: &key, known, deadline_ms }, &mut frame);
            }
            "Fetched" => {
                let further = if rng.one_in(3) { self.recent.further(rng) } else { None };
                let object = further.map_or_else(|| encoded_object(rng, self.facts), |(_, object)| object);
                let answers = [
                    Fetched::Same,
                    Fetched::Absent,
                    Fetched::Unknown,
                    Fetched::Record(&object),
                    Fetched::Record(&object),
                ];
                send(Message::Fetched(*one_of(rng, &answers)), &mut frame);
            }
            "Forward" => {
                let request = encoded_request(rng, &key);
                send(Message::Forward(self.forward(rng, &request)), &mut frame);
            }
            "Forwarded" => {
                let mut reply = Vec::new();
                encode_reply(&self.reply(rng), &mut reply);
                let reply = (!rng.one_in(6)).then_some(reply.as_slice());
                send(Message::Forwarded { number: detail, reply }, &mut frame);
            }
            "Hello" => send(Message::Hello(self.hello(rng)), &mut frame),
            "Scan" => send(scan(rng, keyspace), &mut frame),
            "Probe" => send(Message::Probe { number: boundary(rng) as u32 }, &mut frame),
            "Probed" => send(Message::Probed { number: boundary(rng) as u32 }, &mut frame),
            "Hint" | "Hinted" | "FetchHint" => {
                let object = encoded_object(rng, self.facts);
                send(hint(KINDS[kind], rng, (keyspace, detail), (&key, &object)), &mut frame);
            }
            "Scanned" => {
                let rows = self.rows(rng);
                let scanned = Scanned { from: detail, listed: listed(rng, detail, &rows) };
                send(Message::Scanned(scanned), &mut frame);
            }
            kind => {
                let record = encoded_object(rng, self.facts);
                cluster::good(kind, rng, self.facts, (&key, &record), |message| send(message, &mut frame));
            }
        }
        (frame, question.is_some())
    }

    /// Some keys that a replica may hold.
    fn rows(&self, rng: &mut Rng) -> Vec<u8> {
        let mut rows = Vec::new();
        for _ in 0..pick(rng, 6) {
            let (key, item_hash) = (self::key(self.number, rng), boundary(rng));
            put_row(&mut rows, &Row { key: &key, item_hash, is_live: rng.one_in(2) });
        }
        rows
    }

    fn forward<'r>(&self, rng: &mut Rng, request: &'r [u8]) -> Forward<'r> {
        let odd = rng.one_in(12);
        Forward {
            sender_boot: if odd { rng.next_u64() } else { self.own_boot },
            receiver_boot: if rng.one_in(12) { boundary(rng) } else { self.facts.boot },
            number: if rng.one_in(20) { boundary(rng) } else { self.number },
            settled: if rng.one_in(20) { boundary(rng) } else { self.number.saturating_sub(rng.below(40)) },
            deadline_ms: if rng.one_in(4) { boundary(rng) as u32 } else { 50 },
            request,
        }
    }

    fn hello(&self, rng: &mut Rng) -> Hello {
        let facts = self.facts;
        let odd = |rng: &mut Rng, good: u64| if rng.one_in(4) { boundary(rng) } else { good };
        let mut seen = None;
        if rng.one_in(4) {
            seen = Some(Seen {
                generation: odd(rng, facts.generation),
                opens: odd(rng, facts.opens),
                boot: odd(rng, facts.boot),
                sequence: odd(rng, 7),
            });
        }
        Hello {
            boot: odd(rng, self.own_boot),
            generation: odd(rng, self.own_boot),
            opens: odd(rng, 1),
            sequence: odd(rng, 1),
            layout_hash: odd(rng, facts.layout_hash),
            seen,
            answer: rng.one_in(2),
        }
    }

    /// The introduction that makes this member one that may be asked. It undoes what an odd one has done, if
    /// `again` differs from that of the one before.
    pub fn introduction(&self, again: u64) -> Vec<u8> {
        let hello = Hello {
            boot: self.own_boot,
            generation: self.own_boot.wrapping_add(again),
            opens: 1,
            sequence: 1,
            layout_hash: self.facts.layout_hash,
            seen: None,
            answer: false,
        };
        let mut frame = Vec::new();
        Message::Hello(hello).encode(&self.envelope(0), &mut frame);
        frame
    }

    /// A fetch whose answer tells that everything before it was taken.
    pub fn sentinel(&self, key: &[u8], request_id: u64) -> Vec<u8> {
        let mut frame = Vec::new();
        Message::Fetch { keyspace: 0, key, known: 0, deadline_ms: 50 }
            .encode(&self.envelope(request_id), &mut frame);
        frame
    }

    fn reply(&self, rng: &mut Rng) -> Reply {
        let texts = ["no", "a\r\nb", ""];
        let mut reply = Reply::bare(match rng.below(12) {
            0..=3 => Outcome::Ok,
            4 => Outcome::NotFound,
            5 => Outcome::BadArgument((*one_of(rng, &texts)).into()),
            6 => Outcome::NotEnoughReplicas { reachable: 1, needed: 2 },
            7 => Outcome::TooManySiblings(boundary(rng) as u32),
            8 => Outcome::BadContext((*one_of(rng, &texts)).into()),
            9 => Outcome::Partial,
            10 => Outcome::NoMajority,
            _ => Outcome::Maybe,
        });
        reply.achieved = Achieved { asked: 3, acked: rng.below(256) as u8, durable: 1, fallbacks: 0 };
        reply.applied = rng.one_in(2);
        reply.weak = rng.one_in(2);
        reply.length = boundary(rng);
        reply.dot = rng.one_in(2).then(|| sibling_dot(rng, self.facts));
        reply.context = rng.one_in(2).then(|| noise(rng, 30).into());
        for _ in 0..pick(rng, 3) {
            let (dot, hlc) = (sibling_dot(rng, self.facts), Hlc(boundary(rng)));
            let expires_ms = rng.one_in(2).then(|| boundary(rng));
            reply.siblings.push(SiblingView {
                value: noise(rng, 9).into(),
                kind: Kind::Bytes,
                dot,
                hlc,
                expires_ms,
            });
        }
        reply
    }

    /// A bent frame whose checksum is right: the body, the header, or the object or request inside.
    pub fn bent(&self, rng: &mut Rng, questions: &mut Questions) -> Bent {
        let kind = pick(rng, KINDS.len());
        let (mut frame, matched) = self.good(kind, rng, questions);
        let (other, _) = self.good(pick(rng, KINDS.len()), rng, &mut Questions::default());
        // What a body carries has been bent already.
        let carriers =
            ["Replicate", "Fetched", "Forward", "Forwarded", "Ask", "Answer", "Topology", "Compared", "Join"];
        let carries = carriers.contains(&KINDS[kind]);
        match if carries && rng.one_in(2) { 8 } else { rng.below(10) } {
            // The body.
            0..=5 => {
                let mut body = frame.split_off(HEADER);
                bend(rng, &mut body, &other[HEADER..]);
                frame.extend_from_slice(&body);
            }
            // A field of the header: version, kind, flags, layout, cluster.
            6 => {
                let at = 8 + pick(rng, 16);
                frame[at] = if rng.one_in(2) { frame[at] ^ 1 << rng.below(8) } else { boundary(rng) as u8 };
            }
            // Another kind's body.
            7 => frame[9] = if rng.one_in(20) { boundary(rng) as u8 } else { *one_of(rng, &NUMBERS) },
            // Good as it is: what it says is odd enough.
            8 => {}
            _ => {
                let mut two = other;
                two.extend_from_slice(&frame);
                return Bent { frames: two, matched };
            }
        }
        let length = frame.len() as u32;
        frame[..4].copy_from_slice(&length.to_le_bytes());
        if rng.one_in(30) {
            let wrong = boundary(rng) as u32;
            frame[..4].copy_from_slice(&wrong.to_le_bytes());
        }
        seal(&mut frame);
        Bent { frames: frame, matched }
    }

    /// A bent answer to what the node asked last, whose checksum is right.
    pub fn answer(&self, rng: &mut Rng, questions: &mut Questions) -> Bent {
        let (mut frame, matched) = self.good(questions.due(rng), rng, questions);
        if rng.one_in(2) {
            let mut body = frame.split_off(HEADER);
            bend(rng, &mut body, b"\x01\x00");
            frame.extend_from_slice(&body);
            let length = frame.len() as u32;
            frame[..4].copy_from_slice(&length.to_le_bytes());
            seal(&mut frame);
        }
        Bent { frames: frame, matched }
    }

    /// A good frame whose body is cut after `length` bytes, with the checksum of what is left.
    pub fn cut(&self, kind: usize, length: usize, rng: &mut Rng) -> Vec<u8> {
        let (mut frame, _) = self.good(kind, rng, &mut Questions::default());
        frame.truncate(HEADER + length);
        let whole = frame.len() as u32;
        frame[..4].copy_from_slice(&whole.to_le_bytes());
        seal(&mut frame);
        frame
    }
}

/// Bent frames with right checksums.
pub struct Bent {
    pub frames: Vec<u8>,
    /// It answers a question of the node.
    pub matched: bool,
}

/// One of few actors, those of the node itself among them.
fn actor(rng: &mut Rng, facts: &Facts) -> Actor {
    if rng.one_in(4) {
        let epoch = Epoch { nonce: facts.boot, number: rng.below(4) };
        return Actor { generation: facts.generation, epoch };
    }
    let generation = 1 + rng.below(5);
    Actor { generation, epoch: Epoch { nonce: generation * 7, number: rng.below(10) } }
}

fn counter(rng: &mut Rng) -> u64 {
    // Few of the largest: a key whose actors have come to their end takes nothing new.
    if rng.one_in(400) { boundary(rng).max(1) } else { 1 + (rng.next_u64() >> (20 + rng.below(44))) }
}

/// An event of one of few actors.
pub fn sibling_dot(rng: &mut Rng, facts: &Facts) -> Dot {
    Dot { actor: actor(rng, facts), counter: counter(rng) }
}

/// Some events of few actors.
pub fn clock(rng: &mut Rng, facts: &Facts) -> VectorClock {
    let mut clock = VectorClock::new();
    for _ in 0..pick(rng, 4) {
        let dot = sibling_dot(rng, facts);
        clock.raise(dot.actor, dot.counter);
    }
    clock
}

/// Counts far out as an actor's next event, if it can.
fn count(rng: &mut Rng, object: &mut Object<'_>, dot: Dot) -> bool {
    let by = boundary(rng).cast_signed();
    let next = object.context().counter(dot.actor) + 1 == dot.counter;
    let plan = object.plan_count(by, 0).ok().filter(|&plan| next && object.may_count(dot.actor, plan, 0));
    if let Some(plan) = plan {
        object.count(plan, dot, Hlc(1), 0);
    }
    plan.is_some()
}

fn encoded_object(rng: &mut Rng, facts: &Facts) -> Vec<u8> {
    let mut object = Object::default();
    for _ in 0..pick(rng, 4) {
        let dot = sibling_dot(rng, facts);
        if object.context().counter(dot.actor) >= dot.counter {
            continue;
        }
        if rng.one_in(3) && count(rng, &mut object, dot) {
            continue;
        }
        let mut seen = Context::default();
        seen.clock.raise(dot.actor, dot.counter - 1);
        let hlc = if rng.one_in(8) {
            Hlc(boundary(rng))
        } else {
            Hlc::from_millis(1_700_000_000_000 + rng.below(1 << 20))
        };
        let expires_ms = rng.one_in(4).then(|| if rng.one_in(2) { boundary(rng) } else { 1 << 41 });
        let tombstone = rng.one_in(4);
        let value = if expires_ms.is_some() && !tombstone && rng.one_in(3) {
            Value::Shed(rng.next_u64())
        } else {
            noise(rng, if tombstone { 0 } else { 8 }).into()
        };
        let element = !tombstone && rng.one_in(4);
        object.write(&seen, Sibling { dot, hlc, tombstone, expires_ms, element, value });
    }
    let mut bytes = Vec::new();
    object.encode(&mut bytes);
    if rng.one_in(10) {
        // Counts that the bytes behind them do not bear out.
        bytes.truncate(1);
        put_varint(&mut bytes, boundary(rng));
        bytes.extend(noise(rng, 20));
    } else if rng.one_in(6) {
        bend(rng, &mut bytes, b"\x01\x00\x00");
    }
    bytes
}

/// Mostly a small one, as values stay on the node; else one that is refused, being behind all values.
fn offset(rng: &mut Rng) -> u32 {
    if rng.one_in(4) { u32::MAX - rng.below(1 << 28) as u32 } else { rng.below(64) as u32 }
}

fn encoded_request(rng: &mut Rng, key: &[u8]) -> Vec<u8> {
    let count = |rng: &mut Rng| rng.one_in(4).then(|| rng.below(5) as u8);
    let options = Options {
        r: count(rng),
        w: count(rng),
        pr: count(rng),
        pw: count(rng),
        dw: count(rng),
        sloppy: rng.one_in(20),
        view: *one_of(rng, &[View::All, View::Latest, View::Majority]),
        want_context: rng.one_in(2),
        text_only: rng.one_in(4),
        timeout: rng.one_in(3).then(|| Duration::from_nanos(1 + rng.below(90_000_000))),
    };
    let value = noise(rng, 8);
    let context = rng.one_in(3).then_some(b"no context".as_slice());
    let blind = *one_of(rng, &[Blind::Siblings, Blind::Supersede]);
    let expiry =
        *one_of(rng, &[ExpiryEdit::Keep, ExpiryEdit::Clear, ExpiryEdit::At(u64::MAX), ExpiryEdit::At(0)]);
    let when = *one_of(rng, &[Presence::Any, Presence::Absent, Presence::Present]);
    let expires = [
        ExpiryWhen::Always,
        ExpiryWhen::None,
        ExpiryWhen::Some,
        ExpiryWhen::Later,
        ExpiryWhen::Sooner,
        ExpiryWhen::SoonerThanSome,
    ];
    let operation = match rng.below(15) {
        0 => Operation::Get,
        1 => Operation::Put { value: &value, context, blind, expires_ms: rng.one_in(2).then_some(u64::MAX) },
        2 => Operation::Delete { context, blind },
        3 => Operation::Edit(Edit::Set { value: &value, when, expiry }),
        4 => Operation::Edit(Edit::Append(&value)),
        5 => Operation::Edit(Edit::Delete),
        6 => Operation::Edit(Edit::Expire { expiry, when: *one_of(rng, &expires) }),
        7 => Operation::Add(Add::By { by: boundary(rng).cast_signed(), id: rng.one_in(2).then_some(7) }),
        8 => Operation::Add(Add::To { to: boundary(rng).cast_signed(), context: b"no context" }),
        9 => Operation::Edit(Edit::AddFloat(&value)),
        10 => Operation::Edit(Edit::SetRange { offset: offset(rng), part: &value }),
        11 => Operation::Edit(Edit::SetBit { offset: offset(rng), on: rng.one_in(2) }),
        12 => Operation::Edit(Edit::AddElements(value.chunks(3).collect())),
        13 => Operation::Edit(Edit::RemoveElements(value.chunks(3).collect())),
        _ => Operation::Scan { cursor: rng.next_u64(), limit: boundary(rng) as u32 },
    };
    let mut bytes = Vec::new();
    encode_request(&Request { keyspace: 0, key, operation, options }, &mut bytes);
    if rng.one_in(5) {
        bend(rng, &mut bytes, b"\x00\x00\x02k1");
    }
    bytes
}

fn scan(rng: &mut Rng, keyspace: u16) -> Message<'static> {
    let partition = rng.below(300) as u16;
    let from = u64::from(partition) << 56;
    let until = rng.one_in(2).then(|| from | rng.next_u64() >> 8);
    let known = rng.one_in(2).then(|| Extent { until, sum: boundary(rng) });
    let (limit, wall_ms) = (boundary(rng) as u32, boundary(rng));
    Message::Scan(Scan { keyspace, partition, from, limit, wall_ms, known })
}

/// An answer to a scan from there on.
fn listed<'a>(rng: &mut Rng, from: u64, rows: &'a [u8]) -> Listed<'a> {
    let next = match rng.below(5) {
        0 | 1 => None,
        2 => Some(rng.next_u64()),
        3 => Some(from.saturating_add(1 << rng.below(50))),
        _ => Some(from.saturating_sub(rng.below(2))),
    };
    match rng.below(8) {
        0 => Listed::Unknown,
        1 => Listed::Same(boundary(rng)),
        _ => Listed::Rows { next, rows },
    }
}

/// A message about hints.
fn hint<'a>(
    kind: &str,
    rng: &mut Rng,
    (keyspace, detail): (u16, u64),
    (key, object): (&'a [u8], &'a [u8]),
) -> Message<'a> {
    let target = MemberId(if rng.one_in(2) { detail } else { rng.next_u64() });
    match kind {
        "Hint" => {
            let acks = Acks { stored: rng.one_in(2), durable: rng.one_in(2) };
            Message::Hint(Hint { target, is_counted: rng.one_in(2), keyspace, key, acks, object })
        }
        "Hinted" => {
            let stored = [Stored::Stored, Stored::Durable, Stored::Full][rng.below(3) as usize];
            Message::Hinted(Hinted { target, stored })
        }
        _ => Message::FetchHint(FetchHint { keyspace, key, known: detail }),
    }
}
