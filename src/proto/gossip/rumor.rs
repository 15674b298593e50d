//! News of members, as bytes and in the order in which they are passed on.
//!
//! ```text
//! word     u8 verdict        | u64 id | opens | bumps | of a suspicion: u64 accuser
//! row      u8 0x10 + verdict | opens | bumps | description
//! ```
//!
//! A word is about a member that the other side knows, a row introduces one. The id of a row is not carried:
//! it is the keyed hash of the name.
//!
//! Each rumour rides on λ·log n datagrams of this node (SWIM §4.1), the ones told least often first. A newer
//! one about the same member takes the place of the older.

use std::collections::BTreeMap;

use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError};

use super::member::{Description, Incarnation, Verdict};

/// λ: how often a rumour is told, times log10 of the members, rounded up (memberlist's `RetransmitMult`).
const LAMBDA: u32 = 4;
const ROW: u8 = 0x10;

/// News of one member.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rumor {
    /// A verdict on a life that is known.
    Word {
        /// On whom.
        id: MemberId,
        /// What is said.
        verdict: Verdict,
        /// Of which life.
        incarnation: Incarnation,
        /// Who says so, of a suspicion.
        accuser: Option<MemberId>,
    },
    /// Everything that is known of a member.
    Row {
        /// What is said; never `Suspect`, which is nothing to begin with.
        verdict: Verdict,
        /// Of which life.
        incarnation: Incarnation,
        /// Who it is.
        description: Description,
    },
}

impl Rumor {
    /// Appends the bytes.
    pub fn put(&self, out: &mut Vec<u8>) {
        match self {
            Rumor::Word { id, verdict, incarnation, accuser } => {
                out.push(*verdict as u8);
                out.extend_from_slice(&id.0.to_le_bytes());
                incarnation.put(out);
                assert_eq!(*verdict == Verdict::Suspect, accuser.is_some(), "a suspicion has its accuser");
                if let Some(accuser) = accuser {
                    out.extend_from_slice(&accuser.0.to_le_bytes());
                }
            }
            Rumor::Row { verdict, incarnation, description } => {
                assert_ne!(*verdict, Verdict::Suspect, "a row is settled");
                out.push(ROW + *verdict as u8);
                incarnation.put(out);
                description.put(out);
            }
        }
    }

    /// The rumour at the reader's place.
    ///
    /// # Errors
    /// Names the field that cannot be read.
    pub fn read(reader: &mut Reader<'_>) -> Result<Rumor, WireError> {
        let tag = reader.u8("rumour")?;
        if let Some(verdict) = tag.checked_sub(ROW) {
            let verdict = Verdict::read(verdict)?;
            if verdict == Verdict::Suspect {
                return Err(WireError { what: "a row's verdict" });
            }
            let incarnation = Incarnation::read(reader)?;
            return Ok(Rumor::Row { verdict, incarnation, description: Description::read(reader)? });
        }
        let verdict = Verdict::read(tag)?;
        let id = MemberId(reader.u64("member id")?);
        let incarnation = Incarnation::read(reader)?;
        let accuser = match verdict {
            Verdict::Suspect => Some(MemberId(reader.u64("accuser")?)),
            _ => None,
        };
        Ok(Rumor::Word { id, verdict, incarnation, accuser })
    }
}

/// What a rumour is about: the member, and the accuser if it is a suspicion, as each accuser counts.
type Subject = (MemberId, Option<MemberId>);

/// Rumours on their way.
#[derive(Debug, Default)]
pub struct Queue {
    /// By how often each was told, then by age.
    waiting: BTreeMap<(u32, u64), (Subject, Vec<u8>)>,
    places: BTreeMap<Subject, (u32, u64)>,
    next: u64,
}

impl Queue {
    /// Passes a rumour on, instead of what was said about the same before. A verdict ends all suspicions.
    pub fn push(&mut self, id: MemberId, rumor: &Rumor) {
        let accuser = match rumor {
            Rumor::Word { accuser, .. } => *accuser,
            Rumor::Row { .. } => None,
        };
        if accuser.is_none() {
            self.forget(id);
        }
        let subject = (id, accuser);
        if let Some(place) = self.places.remove(&subject) {
            self.waiting.remove(&place);
        }
        if self.waiting.len() >= limits::GOSSIP_RUMORS_MAX {
            // The one told most often goes: most others have heard it.
            let (_, (subject, _)) = self.waiting.pop_last().expect("it is full");
            self.places.remove(&subject);
        }
        let mut bytes = Vec::with_capacity(24);
        rumor.put(&mut bytes);
        let place = (0, self.next);
        self.next += 1;
        self.waiting.insert(place, (subject, bytes));
        self.places.insert(subject, place);
    }

    /// Says nothing of a member any more.
    pub fn forget(&mut self, id: MemberId) {
        let first = (id, None);
        let last = (id, Some(MemberId(u64::MAX)));
        while let Some((&subject, &place)) = self.places.range(first..=last).next() {
            self.places.remove(&subject);
            self.waiting.remove(&place);
        }
    }

    /// Whether a verdict on this member is still being told.
    pub fn tells_of(&self, id: MemberId) -> bool {
        self.places.contains_key(&(id, None))
    }

    /// Whether nothing is left to tell.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Appends the rumours told least often until `out` has `max` bytes, and counts them as told once more
    /// among so many members.
    pub fn fill(&mut self, members: usize, max: usize, out: &mut Vec<u8>) {
        let mut told = Vec::new();
        for (&place, (_, bytes)) in &self.waiting {
            if out.len() + bytes.len() <= max {
                out.extend_from_slice(bytes);
                told.push(place);
            } else if max - out.len() < 11 {
                break;
            }
        }
        let times = times_told(members);
        for place in told {
            let (subject, bytes) = self.waiting.remove(&place).expect("it was just there");
            let (told, age) = (place.0 + 1, place.1);
            if told >= times {
                self.places.remove(&subject);
            } else {
                self.waiting.insert((told, age), (subject, bytes));
                self.places.insert(subject, (told, age));
            }
        }
    }
}

/// How often a member tells a rumour among so many.
pub fn times_told(members: usize) -> u32 {
    // The digits of n are ⌈log10(n + 1)⌉.
    LAMBDA * (members.max(1).ilog10() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(id: u64, verdict: Verdict, accuser: Option<u64>) -> Rumor {
        let incarnation = Incarnation { opens: 300, bumps: 2 };
        Rumor::Word { id: MemberId(id), verdict, incarnation, accuser: accuser.map(MemberId) }
    }

    fn told(queue: &mut Queue, members: usize, max: usize) -> Vec<Rumor> {
        let mut bytes = Vec::new();
        queue.fill(members, max, &mut bytes);
        let mut reader = Reader::new(&bytes);
        let mut rumors = Vec::new();
        while !reader.rest().is_empty() {
            rumors.push(Rumor::read(&mut reader).unwrap());
        }
        rumors
    }

    #[test]
    fn a_rumour_is_told_lambda_log_n_times() {
        for (members, times) in [(1, 4), (9, 4), (10, 8), (99, 8), (100, 12), (1_000, 16)] {
            let mut queue = Queue::default();
            queue.push(MemberId(1), &word(1, Verdict::Down, None));
            let count = (0..).take_while(|_| !told(&mut queue, members, 1_000).is_empty()).count();
            assert_eq!(count, times, "{members} members");
            assert!(queue.is_empty());
        }
    }

    #[test]
    fn a_verdict_ends_suspicions_and_accusers_stand_side_by_side() {
        let mut queue = Queue::default();
        queue.push(MemberId(1), &word(1, Verdict::Suspect, Some(5)));
        queue.push(MemberId(1), &word(1, Verdict::Suspect, Some(6)));
        queue.push(MemberId(2), &word(2, Verdict::Suspect, Some(6)));
        assert_eq!(told(&mut queue, 10, 1_000).len(), 3);
        queue.push(MemberId(1), &word(1, Verdict::Alive, None));
        let expected = [word(1, Verdict::Alive, None), word(2, Verdict::Suspect, Some(6))];
        assert_eq!(told(&mut queue, 10, 1_000), expected, "least told first");
    }

    #[test]
    fn no_more_is_told_than_fits_nor_kept_than_allowed() {
        let mut queue = Queue::default();
        for id in 0..limits::GOSSIP_RUMORS_MAX as u64 + 10 {
            queue.push(MemberId(id), &word(id, Verdict::Alive, None));
        }
        assert_eq!(queue.waiting.len(), limits::GOSSIP_RUMORS_MAX);
        assert_eq!(queue.places.len(), queue.waiting.len());
        let first = told(&mut queue, 10, 100);
        assert_eq!(first.len(), 100 / 12);
        assert!(told(&mut queue, 10, 100).iter().all(|rumor| !first.contains(rumor)));
        assert!(told(&mut queue, 10, 5).is_empty());
    }
}
