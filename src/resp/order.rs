//! Replies leave in the order of their commands.
//!
//! ```text
//!   first ─▶ [ waiting | ready | waiting | part | part | end ] ◀─ newest command
//!                 ▲
//!      a Place is a number that rises by one per slot, so a reply finds its slot by subtraction
//! ```
//!
//! Every request in flight has a slot; a command that was answered at once takes one only if others are
//! before it. A reply to the first slot is written straight to the connection's buffer; any other is
//! kept until its turn. A command on several keys has one *part* per key and an *end*: parts reach the
//! front in order and are gathered there, the end writes what was gathered. So a gather needs no table
//! of its own.
//!
//! Does not know commands or keys; the session decides what a slot stands for.

use std::collections::VecDeque;

use crate::proto::error::Outcome;
use crate::proto::io::{Kind, Reply};
use crate::proto::time::Now;

use super::answer::{self, Shape};
use super::limits::{GATHERED_MAX, REPLIES_MAX, SLOTS_MAX};
use super::overlap::Access;
use super::reply::{Protocol, Writer};

/// Names the slot that awaits a reply; comes back with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(pub u32);

/// What becomes of a slot's reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slot {
    /// It is written in this shape.
    Answer(Shape),
    /// It is gathered.
    Part(Part),
    /// Writes what the parts before it gathered; awaits no reply.
    End(Gather),
    /// The session fills it itself, with [`Order::fill`].
    Filled,
}

/// How one key's reply is gathered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Its value, or none.
    Value,
    /// Counts if there is a value.
    Found,
    /// Counts if it was written.
    Applied,
    /// Must be ok.
    Written,
}

/// What the end of a command on several keys answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gather {
    /// The values, in order, an error in the place of each that could not be read; one error if none could.
    Values,
    /// The count.
    Count,
    /// `+OK`.
    Ok,
}

/// How far a slot's reply has come.
#[derive(Debug)]
enum State {
    Waiting,
    /// Written already, in the protocol of its command.
    Ready(Vec<u8>),
    /// A part's reply, ahead of its turn.
    Early(Box<Reply>),
}

#[derive(Debug)]
struct Entry {
    slot: Slot,
    state: State,
    protocol: Protocol,
    /// `CLIENT REPLY OFF` or `SKIP`: nothing is written.
    muted: bool,
    access: Access,
    key_hash: u32,
    /// The elements that it asks about, for its answer.
    asked: Vec<Vec<u8>>,
}

/// What the parts at the front have brought so far.
#[derive(Debug, Default)]
struct Gathered {
    parts: u32,
    failed: u32,
    count: u64,
    /// The first failure's error line.
    failure: Option<String>,
    /// The values, written one after the other.
    values: Vec<u8>,
    /// They are too much together: no part of them is an answer.
    is_too_large: bool,
}

/// Replies are taken to be this large until some have come; then, as large as recent ones.
const REPLY_TYPICAL: usize = 32 << 10;

/// The slots of one connection.
#[derive(Debug)]
pub struct Order {
    entries: VecDeque<Entry>,
    /// The place of the first entry.
    first: u32,
    /// Replies that are still to come.
    in_flight: u32,
    /// Bytes kept in entries and in `gathered`.
    kept: usize,
    /// A decaying maximum of the replies' sizes, from which [`Order::has_room`] tells how many more may
    /// be asked for before their replies could be too much.
    typical: usize,
    gathered: Gathered,
}

impl Default for Order {
    fn default() -> Self {
        Order {
            entries: VecDeque::new(),
            first: 0,
            in_flight: 0,
            kept: 0,
            typical: REPLY_TYPICAL,
            gathered: Gathered::default(),
        }
    }
}

impl Order {
    /// Whether no command is before a new one.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Replies that are still to come.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Whether one more request may be submitted while `unsent` bytes of replies wait to be sent.
    pub fn has_room(&self, unsent: usize) -> bool {
        let waiting = self.entries.len();
        waiting < SLOTS_MAX
            && (waiting == 0 || unsent + self.kept + (waiting + 1) * self.typical <= REPLIES_MAX)
    }

    /// The accesses in flight, oldest first.
    pub fn accesses(&self) -> impl Iterator<Item = (u32, Access)> {
        self.entries.iter().map(|entry| (entry.key_hash, entry.access))
    }

    /// Takes a slot for a request that is about to be submitted.
    pub fn push(&mut self, slot: Slot, protocol: Protocol, muted: bool, key: (u32, Access)) -> Place {
        let place = Place(self.first.wrapping_add(self.entries.len() as u32));
        let (key_hash, access) = key;
        self.entries.push_back(Entry {
            slot,
            state: State::Waiting,
            protocol,
            muted,
            access,
            key_hash,
            asked: Vec::new(),
        });
        self.in_flight += u32::from(!matches!(slot, Slot::End(_)));
        place
    }

    /// What the request in the slot at `place` asks about.
    pub fn ask(&mut self, place: Place, asked: Vec<Vec<u8>>) {
        self.kept += asked_size(&asked);
        let at = self.index(place);
        self.entries[at].asked = asked;
    }

    /// Gives back the slot that was pushed last: nothing was submitted for it.
    pub fn take_back(&mut self, place: Place) {
        assert_eq!(self.index(place) + 1, self.entries.len(), "only the last slot is given back");
        self.entries.pop_back();
        self.in_flight -= 1;
    }

    /// Takes a slot for the end of a command on several keys, whose parts were all submitted.
    pub fn push_end(&mut self, gather: Gather, protocol: Protocol, muted: bool, out: &mut Vec<u8>) {
        self.push(Slot::End(gather), protocol, muted, (0, Access::None));
        if self.entries.len() == 1 {
            self.advance(out);
        }
    }

    /// Answers a command at once, after those before it.
    pub fn answer(&mut self, protocol: Protocol, out: &mut Vec<u8>, write: impl FnOnce(&mut Writer<'_>)) {
        if self.entries.is_empty() {
            return write(&mut Writer::new(out, protocol));
        }
        let mut bytes = Vec::new();
        write(&mut Writer::new(&mut bytes, protocol));
        self.kept += bytes.len();
        self.entries.push_back(Entry {
            slot: Slot::Filled,
            state: State::Ready(bytes),
            protocol,
            muted: false,
            access: Access::None,
            key_hash: 0,
            asked: Vec::new(),
        });
    }

    /// Requests for a slot that the session fills were submitted or answered, besides the one that
    /// [`Order::push`] counted.
    pub fn count_in_flight(&mut self, change: i64) {
        let in_flight = i64::from(self.in_flight) + change;
        self.in_flight = u32::try_from(in_flight).expect("a request is answered once");
    }

    /// The answer of a slot that the session fills; its requests have all been answered.
    pub fn fill(&mut self, place: Place, bytes: Vec<u8>, out: &mut Vec<u8>) {
        let at = self.index(place);
        let entry = &mut self.entries[at];
        assert!(matches!(entry.state, State::Waiting), "a slot is filled once");
        self.kept += bytes.len();
        entry.state = State::Ready(bytes);
        if at == 0 {
            self.advance(out);
        }
    }

    /// Takes the reply to the request in the slot at `place`.
    pub fn complete(&mut self, now: Now, place: Place, reply: Reply, out: &mut Vec<u8>) {
        let at = self.index(place);
        self.in_flight -= 1;
        let entry = &mut self.entries[at];
        assert!(matches!(entry.state, State::Waiting), "a request is answered once");
        let asked = core::mem::take(&mut entry.asked);
        self.kept -= asked_size(&asked);
        match entry.slot {
            Slot::Answer(shape) if at == 0 => {
                let before = out.len();
                if !entry.muted {
                    answer::write(shape, &reply, &asked, entry.protocol, now.wall, out);
                }
                let written = out.len() - before;
                self.observe(written);
                self.pop();
            }
            Slot::Answer(shape) => {
                let mut bytes = Vec::new();
                if !entry.muted {
                    answer::write(shape, &reply, &asked, entry.protocol, now.wall, &mut bytes);
                }
                let written = bytes.len();
                entry.state = State::Ready(bytes);
                self.kept += written;
                self.observe(written);
                return;
            }
            Slot::Part(part) if at == 0 => {
                let protocol = entry.protocol;
                self.gather(part, &reply, protocol);
                self.pop();
            }
            Slot::Part(_) => {
                let bytes = reply_size(&reply);
                entry.state = State::Early(Box::new(reply));
                self.kept += bytes;
                self.observe(bytes);
                return;
            }
            Slot::End(_) | Slot::Filled => unreachable!("such a slot has no request of its own"),
        }
        self.advance(out);
    }

    /// Gives memory back while nothing is in flight.
    pub fn release(&mut self) {
        if self.entries.is_empty() {
            self.entries = VecDeque::new();
        }
    }

    fn index(&self, place: Place) -> usize {
        let at = place.0.wrapping_sub(self.first) as usize;
        assert!(at < self.entries.len(), "a reply came for no request");
        at
    }

    fn observe(&mut self, bytes: usize) {
        self.typical = (self.typical - self.typical / 16).max(bytes);
    }

    fn pop(&mut self) -> Option<Entry> {
        self.first = self.first.wrapping_add(1);
        self.entries.pop_front()
    }

    /// Writes what is ready at the front.
    fn advance(&mut self, out: &mut Vec<u8>) {
        while let Some(front) = self.entries.front() {
            if matches!(front.state, State::Waiting) && !matches!(front.slot, Slot::End(_)) {
                return;
            }
            let Some(entry) = self.pop() else { return };
            match (entry.slot, entry.state) {
                (Slot::End(gather), _) => self.end(gather, entry.protocol, entry.muted, out),
                (Slot::Part(part), State::Early(reply)) => {
                    self.kept -= reply_size(&reply);
                    self.gather(part, &reply, entry.protocol);
                }
                (_, State::Ready(bytes)) => {
                    self.kept -= bytes.len();
                    if !entry.muted {
                        out.extend_from_slice(&bytes);
                    }
                }
                (_, State::Waiting | State::Early(_)) => unreachable!("it was ready"),
            }
        }
    }

    fn gather(&mut self, part: Part, reply: &Reply, protocol: Protocol) {
        let gathered = &mut self.gathered;
        gathered.parts += 1;
        let is_met = match part {
            Part::Written => reply.outcome == Outcome::Ok,
            _ => matches!(reply.outcome, Outcome::Ok | Outcome::NotFound),
        };
        if !is_met {
            gathered.failed += 1;
            let at = gathered.parts;
            gathered.failure.get_or_insert_with(|| format!("{} (key {at}", answer::failure(reply)));
        }
        match part {
            Part::Value if !gathered.is_too_large => {
                let before = gathered.values.len();
                let values = &mut gathered.values;
                // As Redis has it: what is no string is not there.
                match reply.siblings.first() {
                    _ if !is_met => Writer::new(values, protocol).error(&answer::failure(reply)),
                    Some(sibling) if sibling.kind == Kind::Element => Writer::new(values, protocol).null(),
                    _ => answer::write(Shape::Value, reply, &[], protocol, Default::default(), values),
                }
                self.kept += gathered.values.len() - before;
                if gathered.values.len() > GATHERED_MAX {
                    self.kept -= core::mem::take(&mut gathered.values).len();
                    gathered.failed += u32::from(is_met);
                    let limit = GATHERED_MAX >> 20;
                    let text =
                        format!("ERR the values are more than {limit} MiB together (key {}", gathered.parts);
                    (gathered.failure, gathered.is_too_large) = (Some(text), true);
                }
            }
            _ if !is_met => {}
            Part::Value | Part::Written => {}
            Part::Found => gathered.count += u64::from(!reply.siblings.is_empty()),
            Part::Applied => gathered.count += u64::from(reply.applied),
        }
    }

    /// A failure of any part is the answer of the whole, and tells how many keys it did not concern; but values that
    /// could be read are answered, with the failures in their places.
    fn end(&mut self, gather: Gather, protocol: Protocol, muted: bool, out: &mut Vec<u8>) {
        let gathered = core::mem::take(&mut self.gathered);
        self.kept -= gathered.values.len();
        if muted {
            return;
        }
        let mut writer = Writer::new(out, protocol);
        let parts = gathered.parts;
        let has_values = gather == Gather::Values && gathered.failed < parts && !gathered.is_too_large;
        if let Some(failure) = gathered.failure.filter(|_| !has_values) {
            let done = parts - gathered.failed;
            return writer.error(&format!("{failure} of {parts}; {done} of {parts} succeeded)"));
        }
        match gather {
            Gather::Values => {
                writer.array(parts as usize);
                out.extend_from_slice(&gathered.values);
            }
            Gather::Count => writer.count(gathered.count),
            Gather::Ok => writer.ok(),
        }
    }
}

fn asked_size(asked: &[Vec<u8>]) -> usize {
    asked.iter().map(|element| size_of::<Vec<u8>>() + element.len()).sum()
}

fn reply_size(reply: &Reply) -> usize {
    size_of::<Reply>() + reply.siblings.iter().map(|sibling| sibling.value.len()).sum::<usize>()
}
