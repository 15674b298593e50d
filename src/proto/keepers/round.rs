//! Committing a layout: ask for promises, finish what another began, propose, count.

use core::time::Duration;

use super::{Answer, Ask, Ballot, Choice, Seat, Vote};
use crate::proto::io::MemberId;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;

/// How long the keepers have for one attempt, before the next begins with a later ballot.
pub const ATTEMPT: Duration = Duration::from_secs(1);
/// Attempts before the operator is told that there is no majority.
pub const ATTEMPTS_MAX: u32 = 8;

/// How a round ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The layout is committed.
    Committed,
    /// Another layout of this version is: it came first.
    Superseded(Choice),
    /// Some layout of this version is: the keepers vote on this later one.
    Passed(u64),
    /// A keeper accepted a layout that replaces another than ours does: two layouts of one version were taken
    /// for committed.
    Forked(Choice),
    /// Too few keepers answered. With `true` the layout may still be committed, by whoever asks next.
    NoMajority(bool),
    /// The keepers are in a later era.
    OtherEra(u64),
}

/// An attempt to commit a layout (a *proposer* of Paxos).
#[derive(Debug)]
pub struct Round {
    era: u64,
    ballot: Ballot,
    /// The highest number of a ballot that was seen.
    highest: u64,
    /// The keepers of the committed layout before.
    voters: Vec<Seat>,
    wanted: Choice,
    /// What is being accepted, once enough have promised: ours, or another's that was begun before.
    proposed: Option<Choice>,
    /// Who has promised, then who has accepted.
    answered: Vec<MemberId>,
    /// The latest that any of them accepted before.
    found: Option<(Ballot, Choice)>,
    attempts: u32,
    /// Ours was sent to be accepted.
    is_out: bool,
    until: Instant,
    ended: Option<Ended>,
}

impl Round {
    /// Begins one. `highest` is the highest number of a ballot that this member has used or seen, also before
    /// its last restart; `voters` are the keepers of the committed layout that `wanted` replaces.
    ///
    /// # Panics
    /// If the choice has a [`Choice::flaw`]: it is checked where it is made.
    pub fn begin(
        era: u64,
        own: MemberId,
        highest: u64,
        voters: Vec<Seat>,
        wanted: Choice,
        now: Instant,
    ) -> Round {
        assert_eq!(wanted.flaw(), None);
        Round {
            era,
            ballot: Ballot { number: highest + 1, member: own.0 },
            highest: highest + 1,
            voters,
            wanted,
            proposed: None,
            answered: Vec::new(),
            found: None,
            attempts: 1,
            is_out: false,
            until: now + ATTEMPT,
            ended: None,
        }
    }

    /// The highest number of a ballot that was used or seen: the next round of this member begins above it.
    pub fn highest(&self) -> u64 {
        self.highest
    }

    /// What shall be committed.
    pub fn wanted(&self) -> &Choice {
        &self.wanted
    }

    /// How it ended; `None` while it goes on.
    pub fn ended(&self) -> Option<&Ended> {
        self.ended.as_ref()
    }

    /// When [`Round::expire`] is due.
    pub fn deadline(&self) -> Instant {
        if self.ended.is_some() { Instant::NEVER } else { self.until }
    }

    /// What must be asked now, and whom, without those that have answered. Sent again, it does no harm.
    pub fn asks(&self) -> Vec<(MemberId, Ask)> {
        if self.ended.is_some() {
            return Vec::new();
        }
        let coming = self.proposed.iter().flat_map(|choice| &choice.keepers);
        let coming = coming.filter(|seat| !self.voters.contains(seat));
        let seats = self.voters.iter().chain(coming);
        let open = seats.filter(|seat| !self.answered.contains(&seat.member));
        let ask = |seat: &Seat| {
            let accept = self.proposed.clone();
            let (era, ballot, version) = (self.era, self.ballot, self.wanted.version);
            (seat.member, Ask { era, generation: seat.generation, version, ballot, accept })
        };
        open.map(ask).collect()
    }

    /// Takes an answer. Returns whether there is something else to ask now, or the round has ended.
    pub fn answer(&mut self, from: MemberId, answer: Answer, now: Instant) -> bool {
        if self.ended.is_some() || answer.ballot != self.ballot || answer.version != self.wanted.version {
            return false;
        }
        match (answer.vote, &self.proposed) {
            (Vote::Promised(accepted), None) => {
                self.note(from);
                if let Some(accepted) = accepted
                    && self.found.as_ref().is_none_or(|found| accepted.0 > found.0)
                {
                    self.found = Some(accepted);
                }
                if self.is_majority(&self.voters) {
                    self.propose(now);
                    return true;
                }
            }
            (Vote::Accepted, Some(proposed)) => {
                let keepers = proposed.keepers.clone();
                self.note(from);
                if self.is_majority(&self.voters) && self.is_majority(&keepers) {
                    let decided = self.proposed.take().expect("it was proposed");
                    let is_ours = decided == self.wanted;
                    self.ended = Some(if is_ours { Ended::Committed } else { Ended::Superseded(decided) });
                }
            }
            (Vote::Outvoted(ballot), _) => self.highest = self.highest.max(ballot.number),
            (Vote::Passed(version), _) => self.ended = Some(Ended::Passed(version)),
            (Vote::OtherEra(era), _) if era > self.era => self.ended = Some(Ended::OtherEra(era)),
            _ => {}
        }
        self.ended.is_some()
    }

    /// The attempt took too long: the next begins, or the round ends. Does nothing before the deadline.
    pub fn expire(&mut self, now: Instant, rng: &mut Rng) {
        if self.ended.is_some() || now < self.until {
            return;
        }
        if self.attempts == ATTEMPTS_MAX {
            self.ended = Some(Ended::NoMajority(self.is_out));
            return;
        }
        self.attempts += 1;
        self.highest += 1;
        self.ballot.number = self.highest;
        (self.proposed, self.found) = (None, None);
        self.answered.clear();
        // Two that outvote each other must not go on in step.
        self.until = now + ATTEMPT + Duration::from_micros(rng.below(ATTEMPT.as_micros() as u64));
    }

    /// A majority has promised, and told what it accepted: the latest of that may be committed already.
    fn propose(&mut self, now: Instant) {
        let found = self.found.take().map(|(_, choice)| choice);
        let found = found.filter(|choice| !planted!("fork_accepted") || *choice == self.wanted);
        if let Some(other) = found.as_ref().filter(|found| found.base != self.wanted.base) {
            self.ended = Some(Ended::Forked(other.clone()));
            return;
        }
        self.is_out |= found.as_ref().is_none_or(|found| *found == self.wanted);
        self.proposed = Some(found.unwrap_or_else(|| self.wanted.clone()));
        self.answered.clear();
        self.until = now + ATTEMPT;
    }

    fn note(&mut self, from: MemberId) {
        if !self.answered.contains(&from) {
            self.answered.push(from);
        }
    }

    fn is_majority(&self, seats: &[Seat]) -> bool {
        seats.iter().filter(|seat| self.answered.contains(&seat.member)).count() * 2 > seats.len()
    }
}
