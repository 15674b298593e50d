//! What lies under a key: a context and its siblings, how two copies merge, and their encoding.
//!
//! ```text
//! object   version u8 = 1 | entries varint | entry… | siblings varint | sibling…
//!          version u8 = 2 | the same | counts varint | count… | covered varint | covered…
//!          version u8 = 3 | as version 2, with elements among the siblings
//! entry    generation u64 | nonce u64 | number varint | counter varint         (sorted by actor)
//! sibling  entry index varint | counter varint | hlc u64 | flags u8 | expiry u64 if flagged
//!          | length varint | value, or value hash u64 if shed                 (sorted by dot)
//! flags    1 tombstone | 2 expires | 4 shed: only with 2 and without 1 | 8 element: only without 1
//! count    entry index varint | counter varint | hlc u64 | flags u8: 1 based
//!          | entry index varint, counter varint of its base if based
//!          | added varint | taken varint                                       (sorted by actor)
//! covered  generation u64 | nonce u64 | number varint | added varint | taken varint   (sorted by actor)
//! ```
//!
//! Version 2 is that of an object on which something was counted ([`count`](super::count)), version 3 that of one
//! with elements ([`set`](super::set)); every other one keeps its bytes and its hash. Equal objects have equal bytes, and the same bytes travel between nodes and lie in the log. One thing only
//! may differ between equal replicas: a value that has expired may be *shed*, its bytes dropped and their
//! hash kept. Item hashes do not tell the two forms apart, no reader sees either, and where they meet the
//! whole one stays.

use std::borrow::Cow;

use super::actor::{Actor, Dot, Epoch};
use super::clock::VectorClock;
use super::context::Context;
use super::count::{ActorTotals, Count};
use super::hlc::Hlc;
use crate::proto::buffer::Buffer;
use crate::proto::few::Few;
use crate::proto::keys::Key;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

const VERSION: u8 = 1;
const VERSION_COUNTS: u8 = 2;
const VERSION_ELEMENTS: u8 = 3;
const FLAG_TOMBSTONE: u8 = 1;
const FLAG_EXPIRES: u8 = 2;
const FLAG_SHED: u8 = 4;
const FLAG_ELEMENT: u8 = 8;

/// What a sibling says. A whole value sorts before the same one shed, which merging relies on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value<'a> {
    /// The bytes; none for a tombstone.
    Whole(Cow<'a, [u8]>),
    /// The bytes were dropped after their expiry. This is the hash of them that the item hash covers.
    Shed(u64),
}

impl Value<'_> {
    /// Bytes that are held.
    pub fn held(&self) -> usize {
        match self {
            Value::Whole(bytes) => bytes.len(),
            Value::Shed(_) => 0,
        }
    }

    fn hash(&self, key: &Key) -> u64 {
        match self {
            Value::Whole(bytes) => key.hash64(&[bytes]),
            Value::Shed(hash) => *hash,
        }
    }

    fn into_owned(self) -> Value<'static> {
        match self {
            Value::Whole(bytes) => Value::Whole(Cow::Owned(bytes.into_owned())),
            Value::Shed(hash) => Value::Shed(hash),
        }
    }
}

impl<'a> From<&'a [u8]> for Value<'a> {
    fn from(bytes: &'a [u8]) -> Value<'a> {
        Value::Whole(Cow::Borrowed(bytes))
    }
}

impl<'a, const LENGTH: usize> From<&'a [u8; LENGTH]> for Value<'a> {
    fn from(bytes: &'a [u8; LENGTH]) -> Value<'a> {
        Value::Whole(Cow::Borrowed(bytes))
    }
}

impl From<Vec<u8>> for Value<'_> {
    fn from(bytes: Vec<u8>) -> Self {
        Value::Whole(Cow::Owned(bytes))
    }
}

/// One version that no other supersedes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sibling<'a> {
    /// The event that wrote it.
    pub dot: Dot,
    /// When, by its coordinator's hybrid clock.
    pub hlc: Hlc,
    /// A delete.
    pub tombstone: bool,
    /// Absolute expiry in wall-clock milliseconds; from then on it is a tombstone (trap T13).
    pub expires_ms: Option<u64>,
    /// An element of a set, and no value of its own. Never a tombstone.
    pub element: bool,
    /// The value. Shed only if it expires and is no tombstone.
    pub value: Value<'a>,
}

impl Sibling<'_> {
    /// Whether it has a value at this wall-clock time. A shed one has none, whatever the time: it was
    /// expired by the clock of whoever shed it, and ours may be behind.
    pub fn is_live(&self, wall_ms: u64) -> bool {
        !self.tombstone && !self.is_shed() && self.expires_ms.is_none_or(|expires| expires > wall_ms)
    }

    /// Whether its bytes were dropped.
    pub const fn is_shed(&self) -> bool {
        matches!(self.value, Value::Shed(_))
    }

    /// The bytes of a live sibling.
    ///
    /// # Panics
    /// If it is shed, and so not live.
    pub fn bytes(&self) -> &[u8] {
        match &self.value {
            Value::Whole(bytes) => bytes,
            Value::Shed(_) => panic!("a shed sibling is not live"),
        }
    }

    /// When its value expires, if there is one that is still whole.
    pub fn value_expires_ms(&self) -> Option<u64> {
        self.expires_ms.filter(|_| !self.tombstone && !self.is_shed())
    }

    /// Whether it is the same as `other`, or the same version that `other` has only shed: all that was
    /// known of `other` is known of it.
    fn stands_for(&self, other: &Sibling<'_>) -> bool {
        let same_head = self.dot == other.dot
            && self.hlc == other.hlc
            && self.tombstone == other.tombstone
            && self.expires_ms == other.expires_ms
            && self.element == other.element;
        same_head && (self.value == other.value || (!self.is_shed() && other.is_shed()))
    }

    fn into_owned(self) -> Sibling<'static> {
        Sibling { value: self.value.into_owned(), ..self }
    }
}

/// Everything a key holds. Invariant: the context covers the dot of every item; siblings are sorted, and
/// none of them stands for another; an actor has one count at most.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Object<'a> {
    pub(super) context: VectorClock,
    pub(super) siblings: Few<Sibling<'a>>,
    /// By actor.
    pub(super) counts: Vec<Count>,
    pub(super) covered: ActorTotals,
}

impl<'a> Object<'a> {
    /// Everything ever written under the key that this copy has seen.
    pub const fn context(&self) -> &VectorClock {
        &self.context
    }

    /// The versions that none of it supersedes, by dot.
    pub fn siblings(&self) -> &[Sibling<'a>] {
        &self.siblings
    }

    /// The siblings under one dot: one at most, but where two contents met.
    fn at(&self, dot: Dot) -> &[Sibling<'a>] {
        let from = self.siblings.partition_point(|sibling| sibling.dot < dot);
        let length = self.siblings[from..].iter().take_while(|sibling| sibling.dot == dot).count();
        &self.siblings[from..from + length]
    }

    /// Whether it holds an item under this dot.
    pub(super) fn holds(&self, dot: Dot) -> bool {
        !self.at(dot).is_empty() || self.counts.iter().any(|count| count.dot == dot)
    }

    /// Drops the items that `seen` covers, adds it to the context, and adds `sibling`, whose dot must be a new
    /// event: the effect of a coordinated write.
    ///
    /// # Panics
    /// If the dot is not the actor's next event here.
    pub fn write(&mut self, seen: &Context, sibling: Sibling<'a>) {
        self.siblings.retain(|old| !seen.covers(old.dot));
        self.cover_counts(seen);
        self.context.merge(&seen.clock);
        assert_eq!(self.context.counter(sibling.dot.actor) + 1, sibling.dot.counter, "a dot is issued once");
        self.context.raise(sibling.dot.actor, sibling.dot.counter);
        let at = self.siblings.partition_point(|old| *old < sibling);
        self.siblings.insert(at, sibling);
    }

    /// Merges another copy into this one (rule V3): an item stays if both have it, or the other side's
    /// context does not cover its dot; the context is the pointwise maximum. Commutative, associative and
    /// idempotent. A version that is whole on one side and shed on the other is one, and stays whole: no
    /// bytes are lost but by [`Object::shed`]. Returns whether one dot was met with two contents, which no
    /// correct history makes: both are kept, and the caller raises the alarm.
    pub fn merge(&mut self, other: Object<'a>) -> bool {
        let (counts, has_clash) = self.merged_counts(&other);
        let is_mixed = planted!("shared_vector")
            && !self.context.descends(&other.context)
            && !other.context.descends(&self.context);
        let stays =
            |sibling: &Sibling<'_>| is_mixed || self.holds(sibling.dot) || !self.context.covers(sibling.dot);
        let mut theirs = other.siblings.iter().map(stays).collect::<Vec<bool>>().into_iter();
        self.siblings.retain(|sibling| {
            let is_kept = is_mixed || (planted!("set_merge_keeps") && sibling.element);
            is_kept || other.holds(sibling.dot) || !other.context.covers(sibling.dot)
        });
        self.siblings.extend(other.siblings.into_iter().filter(|_| theirs.next() == Some(true)));
        put_in_order(&mut self.siblings);
        self.counts = counts;
        self.covered.merge(&other.covered);
        if planted!("merge_context_one_side") {
            for sibling in &self.siblings {
                self.context.raise(sibling.dot.actor, sibling.dot.counter);
            }
        } else {
            self.context.merge(&other.context);
        }
        let is_both = |sibling: &Sibling<'_>| self.counts.iter().any(|count| count.dot == sibling.dot);
        has_clash
            || self.siblings.iter().any(is_both)
            || self.siblings.windows(2).any(|pair| pair[0].dot == pair[1].dot)
    }

    /// Whether merging this into `held` gives just this, so that its bytes can be stored as they came.
    pub fn supersedes(&self, held: &Object<'_>) -> bool {
        self.context.descends(&held.context)
            && self.counts_supersede(held)
            && self.siblings.iter().all(|sibling| {
                !held.context.covers(sibling.dot)
                    || held.at(sibling.dot).iter().any(|ours| sibling.stands_for(ours))
            })
            && held
                .siblings
                .iter()
                .all(|ours| self.at(ours.dot).iter().all(|sibling| sibling.stands_for(ours)))
    }

    /// Drops the bytes of each value that expired before this wall-clock time and keeps their hash; says
    /// how many. The item hash stays, and so does everything that a reader with a good clock sees.
    pub fn shed(&mut self, key: &Key, before_ms: u64) -> u64 {
        let mut count = 0;
        for sibling in &mut self.siblings {
            if sibling.value_expires_ms().is_some_and(|expires_ms| expires_ms < before_ms) {
                sibling.value = Value::Shed(sibling.value.hash(key));
                count += 1;
            }
        }
        // Two contents of one dot may lie the other way round by their hashes.
        put_in_order(&mut self.siblings);
        count
    }

    /// The earliest expiry of a value that is still whole.
    pub fn first_expiry_ms(&self) -> Option<u64> {
        self.siblings.iter().filter_map(Sibling::value_expires_ms).min()
    }

    /// Whether it only says that the key is deleted.
    pub fn is_delete(&self) -> bool {
        self.counts.is_empty() && self.siblings.iter().all(|sibling| sibling.tombstone)
    }

    /// Whether nothing in it can be shown any more, by whatever clock.
    pub fn is_dead(&self) -> bool {
        !self.counts_alone() && self.siblings.iter().all(|sibling| sibling.tombstone || sibling.is_shed())
    }

    /// Whether something was counted on it that dies with no sibling.
    pub fn counts_alone(&self) -> bool {
        self.counts.iter().any(|count| self.base_of(count).is_none())
    }

    /// The timestamp of the newest item.
    pub fn newest(&self) -> Option<Hlc> {
        let siblings = self.siblings.iter().map(|sibling| sibling.hlc);
        siblings.chain(self.counts.iter().map(|count| count.hlc)).max()
    }

    /// Appends the encoding.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let version = match (self.has_elements(), self.has_counted()) {
            (true, _) => VERSION_ELEMENTS,
            (false, true) => VERSION_COUNTS,
            (false, false) => VERSION,
        };
        out.push(version);
        put_varint(out, self.context.len() as u64);
        for &(actor, counter) in self.context.entries() {
            put_actor(out, actor);
            put_varint(out, counter);
        }
        put_varint(out, self.siblings.len() as u64);
        for sibling in &self.siblings {
            self.put_event(out, sibling.dot);
            out.extend_from_slice(&sibling.hlc.0.to_le_bytes());
            let expires = if sibling.expires_ms.is_some() { FLAG_EXPIRES } else { 0 };
            let shed = if sibling.is_shed() { FLAG_SHED } else { 0 };
            let element = if sibling.element { FLAG_ELEMENT } else { 0 };
            out.push(if sibling.tombstone { FLAG_TOMBSTONE } else { 0 } | expires | shed | element);
            if let Some(expires_ms) = sibling.expires_ms {
                out.extend_from_slice(&expires_ms.to_le_bytes());
            }
            match &sibling.value {
                Value::Whole(bytes) => put_bytes(out, bytes),
                Value::Shed(hash) => out.extend_from_slice(&hash.to_le_bytes()),
            }
        }
        if version != VERSION {
            self.encode_counts(out);
        }
    }

    /// Appends an event that the context covers.
    pub(super) fn put_event(&self, out: &mut Vec<u8>, dot: Dot) {
        let entry = self.context.entries().binary_search_by_key(&dot.actor, |entry| entry.0);
        put_varint(out, entry.expect("the context covers every item") as u64);
        put_varint(out, dot.counter);
    }

    /// Reads an encoding; values stay borrowed.
    ///
    /// # Errors
    /// Names the first field that is wrong: cut off, out of order, not covered by the context, shed
    /// without an expiry or beside itself.
    pub fn decode(bytes: &'a [u8]) -> Result<Object<'a>, WireError> {
        let mut reader = Reader::new(bytes);
        let version = reader.u8("object version")?;
        if !matches!(version, VERSION | VERSION_COUNTS | VERSION_ELEMENTS) {
            return Err(WireError { what: "object version" });
        }
        let mut object = Object::default();
        for _ in 0..reader.varint("context length")? {
            let actor = read_actor(&mut reader)?;
            if !object.context.push(actor, reader.varint("context counter")?) {
                return Err(WireError { what: "context order" });
            }
        }
        for _ in 0..reader.varint("sibling count")? {
            let sibling = read_sibling(&mut reader, &object.context)?;
            if object.siblings.last().is_some_and(|last| *last >= sibling || last.stands_for(&sibling)) {
                return Err(WireError { what: "sibling order" });
            }
            object.siblings.push(sibling);
        }
        if version != VERSION {
            object.read_counts(&mut reader)?;
        }
        // One object has one encoding.
        match version {
            VERSION_COUNTS if !object.has_counted() => {
                return Err(WireError { what: "object without counts" });
            }
            _ if object.has_elements() != (version == VERSION_ELEMENTS) => {
                return Err(WireError { what: "elements" });
            }
            _ => {}
        }
        reader.end("object end")?;
        Ok(object)
    }

    /// The item hash: equal for equal objects whatever their encoding, what they have shed or anything local
    /// to a node (traps T10, T13). Keyed, so that nobody outside can make two objects collide.
    pub fn item_hash(&self, key: &Key, keyspace: u16, name: &[u8]) -> u64 {
        let mut canonical = Buffer::new();
        let canonical = canonical.vector();
        canonical.extend_from_slice(&keyspace.to_le_bytes());
        canonical.extend_from_slice(&(name.len() as u64).to_le_bytes());
        canonical.extend_from_slice(name);
        for &(actor, counter) in self.context.entries() {
            put_fields(canonical, [actor.generation, actor.epoch.nonce, actor.epoch.number, counter]);
        }
        for sibling in &self.siblings {
            let actor = sibling.dot.actor;
            let value = sibling.value.hash(key);
            let counter = sibling.dot.counter;
            put_fields(canonical, [actor.generation, actor.epoch.nonce, actor.epoch.number, counter]);
            put_fields(canonical, [sibling.hlc.0, sibling.expires_ms.unwrap_or(0), value]);
            let flags = [sibling.tombstone, sibling.expires_ms.is_some(), sibling.element];
            canonical.push(flags.into_iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(flag)));
        }
        self.hash_counts(canonical);
        // 0 stands for "no record" wherever item hashes are compared.
        key.hash64(&[canonical]).max(1)
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Object<'static> {
        let siblings = self.siblings.into_iter().map(Sibling::into_owned).collect();
        Object { context: self.context, siblings, counts: self.counts, covered: self.covered }
    }
}

/// Appends numbers in their order, at once.
fn put_fields<const COUNT: usize>(out: &mut Vec<u8>, fields: [u64; COUNT]) {
    out.extend_from_slice(fields.map(u64::to_le_bytes).as_flattened());
}

/// Sorts siblings and leaves out those that another stands for.
pub(super) fn put_in_order(siblings: &mut Few<Sibling<'_>>) {
    siblings.sort();
    siblings.dedup_by(|next, kept| kept.stands_for(next));
}

fn read_sibling<'a>(reader: &mut Reader<'a>, context: &VectorClock) -> Result<Sibling<'a>, WireError> {
    let dot = read_event(reader, context, "sibling actor", "sibling counter")?;
    let hlc = Hlc(reader.u64("sibling timestamp")?);
    let flags = reader.u8("sibling flags")?;
    let shed = flags & FLAG_SHED != 0;
    let element = flags & FLAG_ELEMENT != 0;
    let tombstone = flags & FLAG_TOMBSTONE != 0;
    let may_be_shed = flags & FLAG_EXPIRES != 0 && !tombstone;
    let is_known = flags & !(FLAG_TOMBSTONE | FLAG_EXPIRES | FLAG_SHED | FLAG_ELEMENT) == 0;
    if !is_known || (shed && !may_be_shed) || (element && tombstone) {
        return Err(WireError { what: "sibling flags" });
    }
    let expires_ms = if flags & FLAG_EXPIRES == 0 { None } else { Some(reader.u64("sibling expiry")?) };
    let value = if shed {
        Value::Shed(reader.u64("sibling value hash")?)
    } else {
        Value::from(reader.bytes(limits::VALUE_MAX, "sibling value")?)
    };
    Ok(Sibling { dot, hlc, tombstone, expires_ms, element, value })
}

/// Reads an event that the context covers, by the number of its actor's entry.
pub(super) fn read_event(
    reader: &mut Reader<'_>,
    context: &VectorClock,
    actor: &'static str,
    counter: &'static str,
) -> Result<Dot, WireError> {
    let entry = usize::try_from(reader.varint(actor)?).ok();
    let entry = entry.and_then(|entry| context.entries().get(entry)).ok_or(WireError { what: actor });
    let (&(actor, seen), number) = (entry?, reader.varint(counter)?);
    if number == 0 || number > seen {
        return Err(WireError { what: counter });
    }
    Ok(Dot { actor, counter: number })
}

/// Whether an encoded object is one that no release reads of before there were counters.
pub fn is_counted(object: &[u8]) -> bool {
    object.first() == Some(&VERSION_COUNTS)
}

/// Whether an encoded object is one that no release reads of before there were sets.
pub fn is_set(object: &[u8]) -> bool {
    object.first() == Some(&VERSION_ELEMENTS)
}

/// Appends an actor.
pub(super) fn put_actor(out: &mut Vec<u8>, actor: Actor) {
    out.extend_from_slice(&actor.generation.to_le_bytes());
    out.extend_from_slice(&actor.epoch.nonce.to_le_bytes());
    put_varint(out, actor.epoch.number);
}

/// Reads an actor.
pub(super) fn read_actor(reader: &mut Reader<'_>) -> Result<Actor, WireError> {
    let generation = reader.u64("actor generation")?;
    let nonce = reader.u64("actor nonce")?;
    let number = reader.varint("actor epoch")?;
    Ok(Actor { generation, epoch: Epoch { nonce, number } })
}
