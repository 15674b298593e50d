//! A keeper's vote, and what of it must be on its disk.

use super::{Answer, Ask, Ballot, Choice, Vote, put_accepted, put_option, read_accepted, read_option};
use crate::proto::wire::{Reader, WireError, put_varint};

/// The state of a keeper (an *acceptor* of Paxos), for the version that it was last asked to vote on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeper {
    era: u64,
    /// Of the directory, and not kept with the rest: a copy elsewhere has no vote.
    generation: u64,
    version: u64,
    promised: Ballot,
    accepted: Option<(Ballot, Choice)>,
}

impl Keeper {
    /// One that never voted.
    pub fn new(era: u64, generation: u64) -> Keeper {
        Keeper { era, generation, version: 0, promised: Ballot::default(), accepted: None }
    }

    /// One that comes back with what it kept.
    ///
    /// # Errors
    /// The bytes are not what [`Keeper::kept`] gave.
    pub fn restore(kept: &[u8], generation: u64) -> Result<Keeper, WireError> {
        let mut reader = Reader::new(kept);
        let (era, version) = (reader.varint("era")?, reader.varint("layout version")?);
        let promised = Ballot::read(&mut reader)?;
        let accepted = read_option(&mut reader, read_accepted)?;
        reader.end("votes of a keeper")?;
        Ok(Keeper { era, generation, version, promised, accepted })
    }

    /// The directory turned out to be an old copy, which has no vote (trap T9): it may have forgotten some.
    pub fn disown_past(&mut self, generation: u64) {
        self.generation = generation;
    }

    /// What must be on the disk: era, version, the ballot promised, what was accepted.
    pub fn kept(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        put_varint(&mut bytes, self.era);
        put_varint(&mut bytes, self.version);
        self.promised.encode(&mut bytes);
        put_option(&mut bytes, self.accepted.as_ref(), put_accepted);
        bytes
    }

    /// The era whose votes count here.
    pub fn era(&self) -> u64 {
        self.era
    }

    /// The layout that it accepted last. It may not be committed.
    pub fn accepted(&self) -> Option<&Choice> {
        self.accepted.as_ref().map(|(_, choice)| choice)
    }

    /// Begins a later era: what was promised and accepted in this one counts no more. An earlier one, or this,
    /// changes nothing.
    pub fn begin_era(&mut self, era: u64) {
        if era > self.era {
            *self = Keeper::new(era, self.generation);
        }
    }

    /// Votes. If the second value is true the answer may leave only once [`Keeper::kept`] is durable: a vote
    /// that a power cut can take back is none.
    pub fn answer(&mut self, ask: &Ask) -> (Answer, bool) {
        let state = |keeper: &Keeper| {
            (keeper.version, keeper.promised, keeper.accepted.as_ref().map(|(ballot, _)| *ballot))
        };
        let before = state(self);
        let vote = self.vote(ask);
        (Answer { version: ask.version, ballot: ask.ballot, vote }, before != state(self))
    }

    fn vote(&mut self, ask: &Ask) -> Vote {
        if ask.era != self.era {
            return Vote::OtherEra(self.era);
        }
        if ask.generation != self.generation && !planted!("wiped_keeper") {
            return Vote::NoSeat;
        }
        if ask.version < self.version {
            return Vote::Passed(self.version);
        }
        if ask.version > self.version {
            (self.version, self.promised, self.accepted) = (ask.version, Ballot::default(), None);
        }
        // A round is one member's, so the same ballot again is a message that came twice.
        if ask.ballot < self.promised {
            return Vote::Outvoted(self.promised);
        }
        self.promised = ask.ballot;
        match &ask.accept {
            None => Vote::Promised(self.accepted.clone()),
            Some(choice) => {
                self.accepted = Some((ask.ballot, choice.clone()));
                Vote::Accepted
            }
        }
    }
}
