//! The causal context a client carries from a read to its next write, and its token.
//!
//! ```text
//! token    version u8 = 1 | MAC key id u8 | flags u8 | entries varint | (actor, counter)…
//!          | dots varint | (actor, counter)… | MAC 16 B
//! ```
//!
//! The MAC is SipHash-2-4-128 under the cluster's token key over keyspace, whole key and token, so a
//! token is good for one key of one cluster: a forged or foreign one would swallow later writes.

use super::actor::Dot;
use super::clock::VectorClock;
use super::object::{Object, put_actor, read_actor};
use crate::proto::keys::Key;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_varint};

const VERSION: u8 = 1;
const KEY_ID: u8 = 1;
const FLAG_HID_SIBLINGS: u8 = 1;
const MAC: usize = 16;

/// What a client has seen of a key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// Everything up to these counters.
    pub clock: VectorClock,
    /// Events beyond the clock, sorted: shown siblings whose actor also wrote one that was not shown.
    pub dots: Vec<Dot>,
}

impl Context {
    /// What a reader has seen to whom everything was shown.
    pub fn of(object: &Object<'_>) -> Context {
        Context { clock: object.context().clone(), dots: Vec::new() }
    }

    /// What a reader has seen to whom only the siblings for which `shown` holds were shown (trap T20): all
    /// that is superseded, and these.
    pub fn of_shown(object: &Object<'_>, shown: impl Fn(Dot) -> bool) -> Context {
        let mut context = Context::of(object);
        for hidden in object.siblings().iter().filter(|sibling| !shown(sibling.dot)) {
            context.clock.lower(hidden.dot.actor, hidden.dot.counter - 1);
        }
        let dots = object.siblings().iter().map(|sibling| sibling.dot);
        context.dots = dots.filter(|&dot| shown(dot) && !context.clock.covers(dot)).collect();
        context
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

    /// The opaque token for a client.
    pub fn token(&self, mac_key: &Key, keyspace: u16, key: &[u8], hid_siblings: bool) -> Vec<u8> {
        let mut token = Vec::with_capacity(64);
        token.extend_from_slice(&[VERSION, KEY_ID, if hid_siblings { FLAG_HID_SIBLINGS } else { 0 }]);
        put_varint(&mut token, self.clock.len() as u64);
        for &(actor, counter) in self.clock.entries() {
            put_actor(&mut token, actor);
            put_varint(&mut token, counter);
        }
        put_varint(&mut token, self.dots.len() as u64);
        for dot in &self.dots {
            put_actor(&mut token, dot.actor);
            put_varint(&mut token, dot.counter);
        }
        let mac = mac(mac_key, keyspace, key, &token);
        token.extend_from_slice(&mac);
        token
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
        if token.len() > limits::CONTEXT_MAX {
            return Err("longer than 64 KiB");
        }
        let (body, theirs) = token.split_last_chunk::<MAC>().ok_or("cut off")?;
        match *body {
            [VERSION, KEY_ID, ..] => {}
            [VERSION, _, ..] => return Err("made under another key"),
            _ => return Err("not a context of this version"),
        }
        let differing =
            mac(mac_key, keyspace, key, body).iter().zip(theirs).fold(0, |sum, (a, b)| sum | (a ^ b));
        if differing != 0 {
            return Err("not made for this key by this cluster");
        }
        read_body(&body[3..]).map_err(|error| error.what)
    }
}

fn mac(mac_key: &Key, keyspace: u16, key: &[u8], body: &[u8]) -> [u8; MAC] {
    let length = (key.len() as u64).to_le_bytes();
    mac_key.hash128(&[&keyspace.to_le_bytes(), &length, key, body]).to_le_bytes()
}

fn read_body(body: &[u8]) -> Result<Context, WireError> {
    let mut reader = Reader::new(body);
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
    reader.end("context end")?;
    Ok(context)
}
