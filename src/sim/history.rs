//! The exact causal history of one key: every write that was issued, what its writer had seen, and what
//! each machine holds.
//!
//! A write becomes an *event* when the store of its coordinator first takes it. Its *past* is the set of
//! events its writer had seen, transitively, known from the world and not from the system's clocks. Its
//! *claims* are the part of it that the write's own context promised to cover: less than the past only
//! for a write with a token of a view that hid siblings.

use std::collections::HashMap;

use super::hinted::machine_of;
use crate::proto::keys::Key;
use crate::proto::store::Sequence;
use crate::proto::version::{Actor, Dot, Epoch, Hlc, Sibling, Value, VectorClock};

/// A set of events of one key, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventSet(Vec<u64>);

impl EventSet {
    /// Adds an event.
    pub fn insert(&mut self, event: usize) {
        let word = event / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (event % 64);
    }

    /// Takes an event away.
    pub fn remove(&mut self, event: usize) {
        if let Some(word) = self.0.get_mut(event / 64) {
            *word &= !(1 << (event % 64));
        }
    }

    /// Whether it is in.
    pub fn contains(&self, event: usize) -> bool {
        self.0.get(event / 64).is_some_and(|word| word >> (event % 64) & 1 == 1)
    }

    /// Adds all of another set.
    pub fn add(&mut self, other: &EventSet) {
        if other.0.len() > self.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            *mine |= theirs;
        }
    }

    /// Leaves only what is in both.
    pub fn keep(&mut self, other: &EventSet) {
        for (at, mine) in self.0.iter_mut().enumerate() {
            *mine &= other.0.get(at).copied().unwrap_or(0);
        }
    }

    /// The first event that is in here and not in `other`.
    pub fn first_missing_in(&self, other: &EventSet) -> Option<usize> {
        self.0.iter().enumerate().find_map(|(at, mine)| {
            let missing = mine & !other.0.get(at).copied().unwrap_or(0);
            (missing != 0).then(|| at * 64 + missing.trailing_zeros() as usize)
        })
    }

    /// The events in it, in order.
    pub fn iter(&self) -> impl Iterator<Item = usize> + '_ {
        self.0.iter().enumerate().flat_map(|(at, &word)| {
            (0..64).filter(move |bit| word >> bit & 1 == 1).map(move |bit| at * 64 + bit)
        })
    }
}

/// How far a copy of an event came on a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(usize)]
pub enum Stage {
    /// Its store took it.
    Staged = 0,
    /// It was handed to the kernel.
    Written = 1,
    /// It is on disk.
    Durable = 2,
}

/// When and how a write was acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Acknowledged {
    /// Order among all replies of the run.
    pub at: u64,
    /// The replicas it had to reach.
    pub w: u8,
}

/// One issued write.
#[derive(Clone, Debug)]
pub struct Event {
    /// What was written.
    pub value: Vec<u8>,
    /// A delete.
    pub tombstone: bool,
    /// It left no item: it has taken elements out of a set.
    pub is_itemless: bool,
    /// Absolute expiry.
    pub expires_ms: Option<u64>,
    /// Its hybrid timestamp.
    pub hlc: Hlc,
    /// The client's operation it belongs to.
    pub operation: Option<u64>,
    /// What its writer had seen.
    pub past: EventSet,
    /// What its context promised to cover.
    pub claims: EventSet,
    /// Events of the same actor up to this one.
    prefix: EventSet,
    /// Whether and how it was acknowledged.
    pub acknowledged: Option<Acknowledged>,
    /// Its last copy went with a tail or a disk that a fault took.
    pub excused: bool,
    /// At least one copy went with a fault.
    pub damaged: bool,
    /// Some machine has dropped the bytes of its copy.
    pub was_shed: bool,
    /// Machines that ever held it, a bit each, by [`Stage`].
    reached: [u64; 3],
}

impl Event {
    /// Whether its value may be invisible to a reader.
    pub fn may_be_hidden(&self) -> bool {
        self.tombstone || self.expires_ms.is_some()
    }

    /// Whether a machine's store had it when that machine stopped or lost it.
    pub fn was_on(&self, machine: usize) -> bool {
        self.reached[Stage::Staged as usize] >> machine & 1 == 1
    }

    /// Whether it was on a machine's disk when that machine stopped or lost it.
    pub fn was_durable_on(&self, machine: usize) -> bool {
        self.reached[Stage::Durable as usize] >> machine & 1 == 1
    }

    fn is(&self, sibling: &Sibling<'_>, key: &Key) -> bool {
        let same_value = match &sibling.value {
            Value::Whole(bytes) => self.value == **bytes,
            Value::Shed(hash) => key.hash64(&[&self.value]) == *hash,
        };
        same_value
            && self.tombstone == sibling.tombstone
            && self.expires_ms == sibling.expires_ms
            && self.hlc == sibling.hlc
    }
}

/// One record a machine put.
#[derive(Clone, Debug)]
pub struct Held {
    /// Its sequence.
    pub sequence: Sequence,
    /// A hash of its object's bytes.
    pub check: u64,
    /// Its object's item hash.
    pub item_hash: u64,
    /// Its local part.
    pub epoch: Option<Epoch>,
    /// The events it shows, by number.
    pub siblings: Vec<usize>,
    /// Those of them of which it has only the hash.
    pub shed: Vec<usize>,
    /// These and everything in their past.
    pub past: EventSet,
    /// These and everything they claim to cover.
    pub claims: EventSet,
    /// It is no record: its partition was dropped here, or it was reaped.
    pub is_gone: bool,
}

impl Held {
    /// What a machine holds of a key whose partition it dropped, or that it reaped.
    pub fn gone(sequence: Sequence) -> Held {
        let (past, claims) = (EventSet::default(), EventSet::default());
        let (siblings, shed) = (Vec::new(), Vec::new());
        Held { sequence, check: 0, item_hash: 0, epoch: None, siblings, shed, past, claims, is_gone: true }
    }
}

/// Everything that happened to one key.
#[derive(Clone, Debug)]
pub struct KeyHistory {
    /// How many machines there are; the places behind them are those of hints.
    machines: usize,
    /// All writes, in the order they were issued.
    pub events: Vec<Event>,
    /// Hashes values, as shed siblings do.
    hash_key: Key,
    by_dot: HashMap<Dot, usize>,
    /// For each actor its events by counter.
    by_actor: HashMap<Actor, Vec<(u64, usize)>>,
    /// For each machine the records it put and may still be left with, oldest first.
    pub held: Vec<Vec<Held>>,
    /// For each machine the records that it could not read any more, oldest first: a restart may find an older
    /// one of them.
    pub lost: Vec<Vec<Held>>,
    /// For each machine the records that its store says may be newer than the one it holds.
    pub doubted: Vec<Vec<Held>>,
    /// Events of records that were reaped, and their past.
    pub reaped: EventSet,
    /// Those of them that others of them had superseded: none may be seen again.
    pub buried: EventSet,
    /// How many records of a machine are kept before those are forgotten that nothing can bring back.
    pub kept: usize,
    /// Two writes were taken for each other: causality is no longer known exactly.
    pub is_doubtful: bool,
}

/// A sibling that is no event: why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unknown {
    /// Nobody issued this dot.
    Dot(Dot),
    /// The dot was issued with another content.
    Content(Dot, usize),
}

impl KeyHistory {
    /// Nothing happened yet.
    pub fn new((machines, places): (usize, usize), hash_key: Key) -> KeyHistory {
        KeyHistory {
            machines,
            events: Vec::new(),
            hash_key,
            by_dot: HashMap::new(),
            by_actor: HashMap::new(),
            held: vec![Vec::new(); places],
            lost: vec![Vec::new(); places],
            doubted: vec![Vec::new(); places],
            reaped: EventSet::default(),
            buried: EventSet::default(),
            kept: 8,
            is_doubtful: false,
        }
    }

    /// The event that a sibling is.
    ///
    /// # Errors
    /// It is none.
    pub fn find(&self, sibling: &Sibling<'_>) -> Result<usize, Unknown> {
        let &event = self.by_dot.get(&sibling.dot).ok_or(Unknown::Dot(sibling.dot))?;
        if self.events[event].is(sibling, &self.hash_key) {
            Ok(event)
        } else {
            Err(Unknown::Content(sibling.dot, event))
        }
    }

    /// The event of a dot.
    pub fn by_dot(&self, dot: Dot) -> Option<usize> {
        self.by_dot.get(&dot).copied()
    }

    /// The last event of an actor before a dot that fits.
    pub fn last_before(&self, dot: Dot, fits: impl Fn(&Event) -> bool) -> Option<usize> {
        let list = self.by_actor.get(&dot.actor)?;
        let before = list.iter().rev().filter(|entry| entry.0 < dot.counter);
        before.map(|entry| entry.1).find(|&event| fits(&self.events[event]))
    }

    /// Adds an event, whose sibling is whole. Its past and claims must already be known.
    pub fn issue(
        &mut self,
        sibling: &Sibling<'_>,
        operation: Option<u64>,
        past: EventSet,
        claims: EventSet,
    ) -> usize {
        let number = self.events.len();
        let list = self.by_actor.entry(sibling.dot.actor).or_default();
        let at = list.partition_point(|entry| entry.0 < sibling.dot.counter);
        let mut prefix =
            if at == 0 { EventSet::default() } else { self.events[list[at - 1].1].prefix.clone() };
        prefix.insert(number);
        for &(_, later) in &list[at..] {
            self.events[later].prefix.insert(number);
        }
        list.insert(at, (sibling.dot.counter, number));
        self.by_dot.insert(sibling.dot, number);
        self.events.push(Event {
            value: sibling.bytes().to_vec(),
            tombstone: sibling.tombstone,
            is_itemless: false,
            expires_ms: sibling.expires_ms,
            hlc: sibling.hlc,
            operation,
            past,
            claims,
            prefix,
            acknowledged: None,
            excused: false,
            damaged: false,
            was_shed: false,
            reached: [0; 3],
        });
        number
    }

    /// Takes back the event that was issued last: it was of another operation.
    pub fn take_back(&mut self, dot: Dot) {
        let number = self.by_dot.remove(&dot).expect("it was issued");
        assert_eq!(number + 1, self.events.len(), "only the last event is taken back");
        self.events.pop();
        let list = self.by_actor.get_mut(&dot.actor).expect("its actor issued it");
        list.retain(|entry| entry.1 != number);
        for &(_, event) in list.iter() {
            self.events[event].prefix.remove(number);
        }
    }

    /// The events a clock covers.
    pub fn covered(&self, clock: &VectorClock) -> EventSet {
        let mut set = EventSet::default();
        for (actor, counter) in clock.entries() {
            if let Some(list) = self.by_actor.get(actor) {
                let at = list.partition_point(|entry| entry.0 <= *counter);
                if at > 0 {
                    set.add(&self.events[list[at - 1].1].prefix);
                }
            }
        }
        set
    }

    /// Events and their past.
    pub fn past_of(&self, events: impl IntoIterator<Item = usize>) -> EventSet {
        let mut set = EventSet::default();
        for event in events {
            set.add(&self.events[event].past);
            set.insert(event);
        }
        set
    }

    /// Events and what they claim to cover.
    pub fn claims_of(&self, events: impl IntoIterator<Item = usize>) -> EventSet {
        let mut set = EventSet::default();
        for event in events {
            set.add(&self.events[event].claims);
            set.insert(event);
        }
        set
    }

    /// What a machine holds now.
    pub fn top(&self, machine: usize) -> Option<&Held> {
        self.held[machine].last()
    }

    /// The newest record of a machine at or below a mark.
    pub fn top_below(&self, machine: usize, mark: Sequence) -> Option<&Held> {
        self.held[machine].iter().rev().find(|held| held.sequence <= mark)
    }

    /// Notes a put, and forgets records below the durable mark that it has outlived.
    pub fn hold(&mut self, machine: usize, held: Held, durable: Sequence) {
        let list = &mut self.held[machine];
        if list.len() >= self.kept {
            let kept = list.iter().rposition(|old| old.sequence <= durable).unwrap_or(0);
            if kept > 0 {
                list.drain(..kept);
            }
        }
        list.push(held);
    }

    /// How many machines ever had the event at a stage; `marks` are those of now.
    pub fn copies(&self, event: usize, stage: Stage, marks: &[(Sequence, Sequence)]) -> u32 {
        let mut machines = self.events[event].reached[stage as usize];
        for (machine, &(written, durable)) in marks.iter().enumerate() {
            let mark = [Sequence(u64::MAX), written, durable][stage as usize];
            if self.top_below(machine, mark).is_some_and(|held| held.past.contains(event)) {
                machines |= 1 << machine_of(self.machines, machine);
            }
        }
        machines.count_ones()
    }

    /// Remembers how far everything came on a machine whose records are about to go.
    pub fn remember(&mut self, machine: usize, marks: (Sequence, Sequence)) {
        for (stage, mark) in [Sequence(u64::MAX), marks.0, marks.1].into_iter().enumerate() {
            let Some(past) = self.top_below(machine, mark).map(|held| held.past.clone()) else { continue };
            for event in past.iter() {
                self.events[event].reached[stage] |= 1 << machine_of(self.machines, machine);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sibling(number: u64, counter: u64) -> Sibling<'static> {
        let actor = Actor { generation: 1, epoch: Epoch { nonce: 2, number } };
        Sibling {
            dot: Dot { actor, counter },
            hlc: Hlc(counter),
            tombstone: false,
            expires_ms: None,
            element: false,
            value: b"v".into(),
        }
    }

    #[test]
    fn a_clock_covers_the_events_up_to_its_counters() {
        let mut history = KeyHistory::new((1, 1), Key([0; 16]));
        for (number, counter) in [(1, 1), (1, 3), (2, 1), (1, 2)] {
            history.issue(&sibling(number, counter), None, EventSet::default(), EventSet::default());
        }
        let mut clock = VectorClock::new();
        clock.raise(sibling(1, 1).dot.actor, 2);
        assert_eq!(history.covered(&clock).iter().collect::<Vec<_>>(), [0, 3]);
        clock.raise(sibling(2, 1).dot.actor, 7);
        clock.raise(sibling(1, 1).dot.actor, 3);
        assert_eq!(history.covered(&clock).iter().collect::<Vec<_>>(), [0, 1, 2, 3]);
    }

    #[test]
    fn a_dot_with_another_content_is_no_event() {
        let mut history = KeyHistory::new((1, 1), Key([0; 16]));
        history.issue(&sibling(1, 1), None, EventSet::default(), EventSet::default());
        assert_eq!(history.find(&sibling(1, 1)), Ok(0));
        assert_eq!(history.find(&sibling(1, 2)), Err(Unknown::Dot(sibling(1, 2).dot)));
        let other = Sibling { value: b"w".into(), ..sibling(1, 1) };
        assert_eq!(history.find(&other), Err(Unknown::Content(other.dot, 0)));
        let shed = Sibling { value: Value::Shed(Key([0; 16]).hash64(&[b"v"])), ..sibling(1, 1) };
        assert_eq!(history.find(&shed), Ok(0));
        let other = Sibling { value: Value::Shed(7), ..shed };
        assert_eq!(history.find(&other), Err(Unknown::Content(other.dot, 0)));
    }
}
