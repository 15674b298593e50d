//! The causal context a client carries from a read to its next write, and its token.
//!
//! ```text
//! token    version u8 = 1 | MAC key id u8 | flags u8 | entries varint | (actor, counter)…
//!          | dots varint | (actor, counter)… | MAC 16 B
//!          version u8 = 2 | the same, with totals varint | (actor, added, taken)… and the number in front
//!          of the MAC
//! flags    1 the view hid siblings | 2 there is a number
//! number   value i64 | nonce u64 | read at u64 | member u64 | boot u64
//! ```
//!
//! Version 2 is only made where something was counted, or a number was read.
//!
//! The MAC is SipHash-2-4-128 under the cluster's token key over keyspace, whole key and token, so a
//! token is good for one key of one cluster: a forged or foreign one would swallow later writes.

use super::actor::Dot;
use super::clock::{Causality, VectorClock};
use super::count::ActorTotals;
use super::object::{Object, put_actor, read_actor};
use crate::proto::buffer::Buffer;
use crate::proto::keys::Key;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_varint};

const VERSION: u8 = 1;
const VERSION_COUNTS: u8 = 2;
const KEY_ID: u8 = 1;
const FLAG_HID_SIBLINGS: u8 = 1;
const FLAG_NUMBER: u8 = 2;
const MAC: usize = 16;

/// What a client has seen of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Everything up to these counters.
    pub clock: VectorClock,
    /// Events beyond the clock, sorted: shown items whose actor also wrote one that was not shown.
    pub dots: Vec<Dot>,
    /// What was counted by the events that it covers.
    pub totals: ActorTotals,
    /// The one number that was shown, if there was just one.
    pub number: Option<NumberRead>,
}

/// A number that was read, to be replaced by what is then a difference from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberRead {
    /// The number.
    pub value: i64,
    /// Random: names this reading, so that what is made of it counts once.
    pub nonce: u64,
    /// When it was read, by the wall clock of whoever read it.
    pub read_ms: u64,
    /// The member that may carry it out.
    pub member: u64,
    /// Its boot: another one does not know what this one has carried out.
    pub boot: u64,
}

impl Context {
    /// What a reader has seen to whom everything was shown.
    pub fn of(object: &Object<'_>) -> Context {
        let mut totals = object.covered().clone();
        for count in object.counts() {
            totals.raise(count.dot.actor, count.totals);
        }
        Context { clock: object.context().clone(), totals, ..Context::default() }
    }

    /// What a reader has seen to whom only the items for which `shown` holds were shown (trap T20): all that is
    /// superseded, and these.
    ///
    /// A hidden sibling hides its own event. A hidden count hides all events of its actor, as it says by which of
    /// them it came to be what it is no more.
    pub fn of_shown(object: &Object<'_>, shown: impl Fn(Dot) -> bool) -> Context {
        let mut context = Context { totals: object.covered().clone(), ..Context::default() };
        context.clock = object.context().clone();
        for hidden in object.siblings().iter().filter(|sibling| !shown(sibling.dot)) {
            context.clock.lower(hidden.dot.actor, hidden.dot.counter - 1);
        }
        for count in object.counts() {
            if shown(count.dot) {
                context.totals.raise(count.dot.actor, count.totals);
            } else {
                context.clock.lower(count.dot.actor, 0);
            }
        }
        let siblings = object.siblings().iter().map(|sibling| sibling.dot);
        let dots = siblings.chain(object.counts().iter().map(|count| count.dot));
        context.dots = dots.filter(|&dot| shown(dot) && !context.clock.covers(dot)).collect();
        context.dots.sort_unstable();
        context.bound();
        context
    }

    /// Leaves out dots that would make its token too long, which only says of less that it was seen. There are so
    /// many only where a view shows a set and hides what was written beside it.
    pub fn bound(&mut self) {
        self.dots.truncate(limits::CONTEXT_DOTS_MAX);
    }

    /// Whether the event was seen.
    pub fn covers(&self, dot: Dot) -> bool {
        self.clock.covers(dot) || self.dots.contains(&dot)
    }

    /// Adds one event: to the clock where it is the next one, else beside it.
    pub fn see(&mut self, dot: Dot) {
        if self.clock.counter(dot.actor) + 1 == dot.counter {
            self.clock.raise(dot.actor, dot.counter);
        } else if !self.covers(dot) {
            self.dots.push(dot);
            self.dots.sort();
        }
    }

    /// Whether every event that `other` covers is covered here.
    pub fn descends(&self, other: &Context) -> bool {
        let is_seen_to = |&(actor, counter): &(_, u64)| {
            let seen = self.clock.counter(actor);
            let beyond = seen + 1..=counter;
            let dots = self.dots.iter().filter(|dot| dot.actor == actor && beyond.contains(&dot.counter));
            dots.count() as u64 >= counter.saturating_sub(seen)
        };
        other.clock.entries().iter().all(is_seen_to) && other.dots.iter().all(|&dot| self.covers(dot))
    }

    /// How what this one covers lies to what `other` does.
    pub fn compare(&self, other: &Context) -> Causality {
        Causality::of(self.descends(other), other.descends(self))
    }

    /// Covers whatever `other` covers as well: what somebody has seen who has read twice. A number is kept if both read
    /// it in one reading.
    pub fn merge(&mut self, other: &Context) {
        self.clock.merge(&other.clock);
        self.dots.extend_from_slice(&other.dots);
        self.dots.sort_unstable();
        self.dots.dedup();
        let clock = &mut self.clock;
        self.dots.retain(|dot| {
            if clock.counter(dot.actor) + 1 == dot.counter {
                clock.raise(dot.actor, dot.counter);
            }
            !clock.covers(*dot)
        });
        self.totals.merge(&other.totals);
        self.number = self.number.filter(|number| other.number.as_ref() == Some(number));
        self.bound();
    }

    /// The opaque token for a client.
    pub fn token(&self, mac_key: &Key, keyspace: u16, key: &[u8], hid_siblings: bool) -> Buffer {
        let mut buffer = Buffer::new();
        let token = buffer.vector();
        let is_plain = self.totals.is_empty() && self.number.is_none();
        let hid_siblings = if hid_siblings { FLAG_HID_SIBLINGS } else { 0 };
        let has_number = if self.number.is_some() { FLAG_NUMBER } else { 0 };
        token.push(if is_plain { VERSION } else { VERSION_COUNTS });
        token.extend_from_slice(&[KEY_ID, hid_siblings | has_number]);
        put_varint(token, self.clock.len() as u64);
        for &(actor, counter) in self.clock.entries() {
            put_actor(token, actor);
            put_varint(token, counter);
        }
        put_varint(token, self.dots.len() as u64);
        for dot in &self.dots {
            put_actor(token, dot.actor);
            put_varint(token, dot.counter);
        }
        if !is_plain {
            self.totals.encode(token);
        }
        if let Some(number) = self.number {
            token.extend_from_slice(&number.value.to_le_bytes());
            for field in [number.nonce, number.read_ms, number.member, number.boot] {
                token.extend_from_slice(&field.to_le_bytes());
            }
        }
        let mac = mac(mac_key, keyspace, key, token);
        token.extend_from_slice(&mac);
        buffer
    }

    /// Reads a token back.
    ///
    /// # Errors
    /// What is wrong with it: too long, cut off, a newer version, or not made for this key by this cluster.
    pub fn from_token(
        token: &[u8],
        mac_key: &Key,
        keyspace: u16,
        key: &[u8],
    ) -> Result<Context, &'static str> {
        let (body, theirs) = split(token)?;
        let differing =
            mac(mac_key, keyspace, key, body).iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differing != 0 {
            return Err("not made for this key by this cluster");
        }
        read_body(body).map_err(|error| error.what)
    }

    /// Reads a token of which nothing says that it was made for some key, or by some cluster. Good to compare it.
    ///
    /// # Errors
    /// What is wrong with it: too long, cut off, a newer version.
    pub fn from_unproven(token: &[u8]) -> Result<Context, &'static str> {
        read_body(split(token)?.0).map_err(|error| error.what)
    }

    /// Whether the view hid siblings from whoever was given this token, which can be read.
    pub fn hid_siblings(token: &[u8]) -> bool {
        token.get(2).is_some_and(|flags| flags & FLAG_HID_SIBLINGS != 0)
    }
}

/// The body of a token of a version that is known, and its MAC.
fn split(token: &[u8]) -> Result<(&[u8], &[u8; MAC]), &'static str> {
    if token.len() > limits::CONTEXT_MAX {
        return Err("longer than 64 KiB");
    }
    let (body, mac) = token.split_last_chunk::<MAC>().ok_or("cut off")?;
    match *body {
        [VERSION | VERSION_COUNTS, KEY_ID, _, ..] => Ok((body, mac)),
        [VERSION | VERSION_COUNTS, _, ..] => Err("made under another key"),
        _ => Err("not a context of this version"),
    }
}

fn mac(mac_key: &Key, keyspace: u16, key: &[u8], body: &[u8]) -> [u8; MAC] {
    let length = (key.len() as u64).to_le_bytes();
    mac_key.hash128(&[&keyspace.to_le_bytes(), &length, key, body]).to_le_bytes()
}

fn read_body(body: &[u8]) -> Result<Context, WireError> {
    let mut reader = Reader::new(body);
    let (version, _, flags) =
        (reader.u8("context version")?, reader.u8("context key")?, reader.u8("context flags")?);
    let mut context = Context::default();
    for _ in 0..reader.varint("context length")? {
        let actor = read_actor(&mut reader)?;
        if !context.clock.push(actor, reader.varint("context counter")?) {
            return Err(WireError { what: "context order" });
        }
    }
    for _ in 0..reader.varint("dot count")? {
        let actor = read_actor(&mut reader)?;
        context.dots.push(Dot { actor, counter: reader.varint("dot counter")? });
    }
    if version == VERSION_COUNTS {
        context.totals = ActorTotals::read(&mut reader)?;
    }
    if version == VERSION_COUNTS && flags & FLAG_NUMBER != 0 {
        let mut field = || reader.u64("number");
        let value = field()?.cast_signed();
        let (nonce, read_ms, member, boot) = (field()?, field()?, field()?, field()?);
        context.number = Some(NumberRead { value, nonce, read_ms, member, boot });
    }
    reader.end("context end")?;
    Ok(context)
}
