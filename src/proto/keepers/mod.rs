//! Which layout comes next: the one decision of a cluster that must never be two.
//!
//! ```text
//!   operator ──commit──► Round ──version, ballot──► Keeper, Keeper, Keeper   promises, what each accepted before
//!                          │ ◄───────────────────────┘
//!                          └──accept(Choice)──► the voters, and the keepers to come     a majority of both: committed
//! ```
//!
//! Each version of the layout is decided once, by a vote of a few members that the layout before it names, its
//! *keepers*: single-decree Paxos (Lamport, Paxos Made Simple, 2001, §2), one decision a version. Where the
//! keepers change, a majority of the new ones must accept, too, so that nobody commits a layout whose keepers
//! cannot decide the next. [`Keeper`] is a keeper's vote, [`Round`] is who wants a layout committed. Neither
//! sends nor stores anything: messages and bytes are handed in and out.
//!
//! What it promises: of each version at most one layout is ever committed. A version is only voted on by who
//! knows that the one before is committed, so a keeper that is asked for a version needs its votes on earlier
//! ones no more. Without a majority of the keepers no layout changes, and data flows on.
//!
//! A keeper that lost its directory has forgotten its votes. It has a new generation then, and a vote is asked
//! of a *generation*, so it has none until a layout seats it anew (trap T9). If a majority is lost for good,
//! the survivors begin a new *era*, which every message names: votes of another era count for nothing.

mod keeper;
mod round;
#[cfg(test)]
mod tests;

pub use keeper::Keeper;
pub use round::{Ended, Round};

use super::io::MemberId;
use super::wire::{Reader, WireError, put_bytes, put_varint};

/// Keepers of a layout, at most.
pub const KEEPERS_MAX: usize = 5;
/// Bytes of an encoded layout, at most: 65,536 partitions and 1,000 members with room to spare.
pub const LAYOUT_MAX: usize = 4 << 20;

/// Orders the rounds of all who ever wanted something committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Ballot {
    /// Higher than any that its member saw before.
    pub number: u64,
    /// Whose it is: two members never have one ballot.
    pub member: u64,
}

/// A keeper's seat: a directory, not merely a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seat {
    /// The member.
    pub member: MemberId,
    /// The generation that the vote is asked of.
    pub generation: u64,
}

/// A layout that may be committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its version, from 2: the first layout of a cluster is founded.
    pub version: u64,
    /// Names the layout.
    pub hash: u64,
    /// The hash of the layout that it replaces.
    pub base: u64,
    /// Who decides the version after it, sorted.
    pub keepers: Vec<Seat>,
    /// The layout, not read here.
    pub layout: Vec<u8>,
}

/// What a keeper is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// The era of who asks.
    pub era: u64,
    /// The generation of the keeper that is asked, as its seat says.
    pub generation: u64,
    /// The version that is voted on. The one before is committed.
    pub version: u64,
    /// The round.
    pub ballot: Ballot,
    /// `None`: promise to take part in no earlier round, and tell what you have accepted. Else: accept this.
    pub accept: Option<Choice>,
}

/// What a keeper answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The version it answers for.
    pub version: u64,
    /// The round it answers.
    pub ballot: Ballot,
    /// Its vote.
    pub vote: Vote,
}

/// A keeper's vote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Vote {
    /// It takes part in no earlier round any more; what it accepted last for this version, and in which round.
    Promised(Option<(Ballot, Choice)>),
    /// It accepted what it was asked to.
    Accepted,
    /// It takes part in a later round.
    Outvoted(Ballot),
    /// It was asked to vote on this later version, so the one asked for is committed.
    Passed(u64),
    /// Its era is another one.
    OtherEra(u64),
    /// It is another generation: it has no vote.
    NoSeat,
}

impl Choice {
    /// What is wrong with it in itself; `None` if nothing is.
    pub fn flaw(&self) -> Option<&'static str> {
        if self.version < 2 {
            return Some("the first layout is founded, not committed");
        }
        if !(1..=KEEPERS_MAX).contains(&self.keepers.len()) {
            return Some("a layout has one to five keepers");
        }
        if !self.keepers.is_sorted_by(|one, other| one.member < other.member) {
            return Some("keepers are sorted, and each is one once");
        }
        (self.layout.len() > LAYOUT_MAX).then_some("the layout is too long")
    }

    /// Appends its bytes: version, hash 8, base 8, keepers (count 1, then member 8, generation 8 each), layout
    /// with its length.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.version);
        out.extend(self.hash.to_le_bytes());
        out.extend(self.base.to_le_bytes());
        out.push(self.keepers.len() as u8);
        for seat in &self.keepers {
            out.extend(seat.member.0.to_le_bytes());
            out.extend(seat.generation.to_le_bytes());
        }
        put_bytes(out, &self.layout);
    }

    /// Reads one.
    ///
    /// # Errors
    /// The bytes are no choice, or one with a [`Choice::flaw`].
    pub fn read(reader: &mut Reader<'_>) -> Result<Choice, WireError> {
        let version = reader.varint("layout version")?;
        let (hash, base) = (reader.u64("layout hash")?, reader.u64("base of a layout")?);
        let count = usize::from(reader.u8("number of keepers")?);
        let mut keepers = Vec::new();
        for _ in 0..count {
            let member = MemberId(reader.u64("keeper")?);
            keepers.push(Seat { member, generation: reader.u64("generation of a keeper")? });
        }
        let layout = reader.bytes(LAYOUT_MAX, "layout")?.to_vec();
        let choice = Choice { version, hash, base, keepers, layout };
        if choice.flaw().is_some() { Err(WireError { what: "choice of a layout" }) } else { Ok(choice) }
    }
}

impl Ballot {
    fn encode(self, out: &mut Vec<u8>) {
        put_varint(out, self.number);
        out.extend(self.member.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Result<Ballot, WireError> {
        Ok(Ballot { number: reader.varint("ballot")?, member: reader.u64("member of a ballot")? })
    }
}

impl Ask {
    /// Its bytes: era, generation 8, version, ballot, then 0, or 1 and a choice.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.era);
        out.extend(self.generation.to_le_bytes());
        put_varint(out, self.version);
        self.ballot.encode(out);
        put_option(out, self.accept.as_ref(), |choice, out| choice.encode(out));
    }

    /// Reads one; nothing may follow.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Ask, WireError> {
        let mut reader = Reader::new(bytes);
        let (era, generation) = (reader.varint("era")?, reader.u64("generation")?);
        let version = reader.varint("layout version")?;
        let ballot = Ballot::read(&mut reader)?;
        let accept = read_option(&mut reader, Choice::read)?;
        reader.end("question to a keeper")?;
        if accept.as_ref().is_some_and(|choice| choice.version != version) {
            return Err(WireError { what: "version of a choice" });
        }
        Ok(Ask { era, generation, version, ballot, accept })
    }
}

impl Answer {
    /// Its bytes: version, ballot, kind of the vote 1, and what that carries.
    pub fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.version);
        self.ballot.encode(out);
        match &self.vote {
            Vote::Promised(accepted) => {
                out.push(0);
                put_option(out, accepted.as_ref(), put_accepted);
            }
            Vote::Accepted => out.push(1),
            Vote::Outvoted(ballot) => {
                out.push(2);
                ballot.encode(out);
            }
            Vote::Passed(version) => {
                out.push(3);
                put_varint(out, *version);
            }
            Vote::OtherEra(era) => {
                out.push(4);
                put_varint(out, *era);
            }
            Vote::NoSeat => out.push(5),
        }
    }

    /// Reads one; nothing may follow.
    ///
    /// # Errors
    /// The bytes are none.
    pub fn decode(bytes: &[u8]) -> Result<Answer, WireError> {
        let mut reader = Reader::new(bytes);
        let version = reader.varint("layout version")?;
        let ballot = Ballot::read(&mut reader)?;
        let vote = match reader.u8("vote")? {
            0 => Vote::Promised(read_option(&mut reader, read_accepted)?),
            1 => Vote::Accepted,
            2 => Vote::Outvoted(Ballot::read(&mut reader)?),
            3 => Vote::Passed(reader.varint("layout version")?),
            4 => Vote::OtherEra(reader.varint("era")?),
            5 => Vote::NoSeat,
            _ => return Err(WireError { what: "kind of vote" }),
        };
        reader.end("answer of a keeper")?;
        Ok(Answer { version, ballot, vote })
    }
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&T, &mut Vec<u8>)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(value, out);
    }
}

fn read_option<T>(
    reader: &mut Reader<'_>,
    read: impl FnOnce(&mut Reader<'_>) -> Result<T, WireError>,
) -> Result<Option<T>, WireError> {
    match reader.u8("flag")? {
        0 => Ok(None),
        1 => read(reader).map(Some),
        _ => Err(WireError { what: "flag" }),
    }
}

fn put_accepted((ballot, choice): &(Ballot, Choice), out: &mut Vec<u8>) {
    ballot.encode(out);
    choice.encode(out);
}

fn read_accepted(reader: &mut Reader<'_>) -> Result<(Ballot, Choice), WireError> {
    Ok((Ballot::read(reader)?, Choice::read(reader)?))
}
