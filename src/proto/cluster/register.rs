//! The register of topologies as one node sees it: its vote as a keeper, its attempt to commit something, and
//! what it has learned to be committed. Nothing leaves, and nothing is followed, before it is on disk.

use std::collections::VecDeque;

use super::topology::Topology;
use crate::proto::io::MemberId;
use crate::proto::keepers::{Answer, Ask, Ended, Keeper, Round};
use crate::proto::keys::ClusterKeys;
use crate::proto::message::Message;
use crate::proto::peers::Peers;
use crate::proto::store::{Note, Store};
use crate::proto::time::Instant;
use crate::proto::wire::{Reader, WireError, put_varint};

/// Numbers of ballots taken on disk at one time.
const RESERVE: u64 = 1 << 16;

/// See the head of this file.
#[derive(Debug)]
pub(super) struct Register {
    keeper: Keeper,
    /// Numbers of ballots up to here may have been used.
    reserve: u64,
    /// Votes that leave when they are on disk: for whom, by slot, and what they answer.
    votes: VecDeque<(u16, u64, Answer)>,
    /// What is being committed.
    attempt: Option<Attempt>,
    /// The latest that is known to be committed, on its way to disk.
    learned: Option<Topology>,
}

#[derive(Debug)]
struct Attempt {
    round: Round,
    wanted: Topology,
    /// The questions of this step of the round have left.
    is_asked: bool,
    again_at: Instant,
}

/// How an attempt ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// What was wanted is committed.
    Committed,
    /// Something else is, and is followed soon.
    Overtaken,
    /// Too few keepers answer; with `true` it may still be committed.
    NoMajority(bool),
    /// Two topologies of one version were taken for committed, or eras differ.
    Forked,
}

/// How often questions without an answer are asked again.
const AGAIN: core::time::Duration = core::time::Duration::from_millis(200);

impl Register {
    /// As a node finds it in its store.
    pub(super) fn open<S: Store>(store: &S, era: u64) -> Result<Register, WireError> {
        let generation = store.identity().generation;
        let content = store.note(Note::Votes);
        let (reserve, keeper) = if content.is_empty() {
            (0, Keeper::new(era, generation))
        } else {
            let mut reader = Reader::new(content);
            let reserve = reader.varint("ballots")?;
            (reserve, Keeper::restore(reader.rest(), generation)?)
        };
        Ok(Register { keeper, reserve, votes: VecDeque::new(), attempt: None, learned: None })
    }

    fn keep_votes<S: Store>(&self, store: &mut S) {
        let mut content = Vec::new();
        put_varint(&mut content, self.reserve);
        content.extend(self.keeper.kept());
        store.keep(Note::Votes, content);
    }

    /// A question to this node as a keeper.
    pub(super) fn vote<S: Store>(&mut self, store: &mut S, from: u16, id: u64, ask: &Ask) {
        let (answer, is_new) = self.keeper.answer(ask);
        if is_new {
            self.keep_votes(store);
        }
        self.votes.push_back((from, id, answer));
    }

    /// Begins to commit a topology that follows on `from`.
    pub(super) fn begin<S: Store>(
        &mut self,
        store: &mut S,
        own: MemberId,
        from: &Topology,
        wanted: Topology,
        now: Instant,
    ) {
        // Ballots of before a restart may have been used up to here.
        let highest = self.reserve;
        let round = Round::begin(from.era(), own, highest, from.keepers().to_vec(), wanted.choice(), now);
        self.attempt = Some(Attempt { round, wanted, is_asked: false, again_at: now });
        self.take_ballots(store);
    }

    /// Makes sure that the numbers that the round uses are on disk before they are.
    fn take_ballots<S: Store>(&mut self, store: &mut S) {
        let Some(attempt) = &self.attempt else { return };
        if attempt.round.highest() >= self.reserve {
            self.reserve = attempt.round.highest() + RESERVE;
            self.keep_votes(store);
        }
    }

    /// The directory turned out to be an old copy.
    pub(super) fn disown_past(&mut self, generation: u64) {
        self.keeper.disown_past(generation);
        self.votes.clear();
    }

    /// Follows a topology of this era: votes of earlier ones count no more.
    pub(super) fn begin_era(&mut self, era: u64) {
        self.keeper.begin_era(era);
    }

    /// Whether nothing waits for the disk or for anybody.
    pub(super) fn is_idle(&self) -> bool {
        !self.is_busy() && self.votes.is_empty()
    }

    /// Whether something is being committed.
    pub(super) fn is_busy(&self) -> bool {
        self.attempt.is_some() || self.learned.is_some()
    }

    /// A keeper's answer.
    pub(super) fn answered<S: Store>(&mut self, store: &mut S, from: MemberId, answer: Answer, now: Instant) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.round.answer(from, answer, now) {
            attempt.is_asked = false;
            attempt.again_at = now;
        }
        self.take_ballots(store);
    }

    /// Gives up what is being committed: a new era begins.
    pub(super) fn give_up(&mut self) {
        self.attempt = None;
    }

    /// Notes a topology that is committed. Returns whether it is later than what was known.
    pub(super) fn learn<S: Store>(&mut self, store: &mut S, current: &Topology, topology: Topology) -> bool {
        let known = self.learned.as_ref().unwrap_or(current);
        if (topology.era(), topology.version()) <= (known.era(), known.version()) {
            return false;
        }
        store.keep(Note::Topology, topology.encode());
        self.learned = Some(topology);
        true
    }

    /// The latest topology that is committed and on disk, if it is another than the one followed.
    pub(super) fn take_learned<S: Store>(&mut self, store: &S) -> Option<Topology> {
        self.learned.take_if(|_| store.is_kept(Note::Topology))
    }

    /// Sends what may leave by now, and takes this node's own votes into account.
    pub(super) fn carry_on<S: Store>(
        &mut self,
        store: &mut S,
        peers: &mut Peers,
        own: MemberId,
        now: Instant,
    ) {
        loop {
            self.ask(store, peers, own, now);
            if self.votes.is_empty() || !store.is_kept(Note::Votes) {
                return;
            }
            let Some((to, id, answer)) = self.votes.pop_front() else { return };
            if to == peers.own() {
                self.answered(store, own, answer, now);
            } else {
                let mut bytes = Vec::new();
                answer.encode(&mut bytes);
                peers.send(to, id, &Message::Answer(&bytes));
            }
        }
    }

    fn ask<S: Store>(&mut self, store: &mut S, peers: &mut Peers, own: MemberId, now: Instant) {
        let Some(attempt) = &mut self.attempt else { return };
        let is_due = !attempt.is_asked || attempt.again_at <= now;
        if !is_due || !store.is_kept(Note::Votes) {
            return;
        }
        let is_first = !attempt.is_asked;
        attempt.is_asked = true;
        attempt.again_at = now + AGAIN;
        for (keeper, ask) in attempt.round.asks() {
            if keeper != own {
                let mut bytes = Vec::new();
                ask.encode(&mut bytes);
                let slot = peers.meet(keeper);
                peers.send(slot, 0, &Message::Ask(&bytes));
            } else if is_first {
                self.vote(store, peers.own(), 0, &ask);
                // The vote is new, and what else there is to ask comes once it is on disk.
                return self.ask_others(peers, own);
            }
        }
    }

    fn ask_others(&mut self, peers: &mut Peers, own: MemberId) {
        let Some(attempt) = &self.attempt else { return };
        for (keeper, ask) in attempt.round.asks().into_iter().filter(|(keeper, _)| *keeper != own) {
            let mut bytes = Vec::new();
            ask.encode(&mut bytes);
            let slot = peers.meet(keeper);
            peers.send(slot, 0, &Message::Ask(&bytes));
        }
    }

    /// The time of an attempt is over.
    pub(super) fn expire<S: Store>(&mut self, store: &mut S, rng: &mut crate::proto::rng::Rng, now: Instant) {
        if let Some(attempt) = &mut self.attempt
            && attempt.round.deadline() <= now
        {
            attempt.round.expire(now, rng);
            attempt.is_asked = false;
            attempt.again_at = now;
        }
        self.take_ballots(store);
    }

    /// How the attempt ended, and what it found to be committed.
    pub(super) fn take_end(&mut self, keys: &ClusterKeys) -> Option<(End, Option<Topology>)> {
        let attempt = self.attempt.take_if(|attempt| attempt.round.ended().is_some())?;
        let ended = attempt.round.ended().cloned().expect("it was just asked");
        let topology = |bytes: &[u8]| Topology::decode(bytes, keys).ok();
        Some(match ended {
            Ended::Committed => (End::Committed, Some(attempt.wanted)),
            Ended::Superseded(choice) => (End::Overtaken, topology(&choice.layout)),
            Ended::Passed(_) => (End::Overtaken, None),
            Ended::Forked(_) | Ended::OtherEra(_) => (End::Forked, None),
            Ended::NoMajority(maybe) => (End::NoMajority(maybe), None),
        })
    }

    /// When [`Register::expire`] or [`Register::carry_on`] is due.
    pub(super) fn deadline<S: Store>(&self, store: &S) -> Instant {
        let Some(attempt) = &self.attempt else { return Instant::NEVER };
        // What waits for the disk goes on when that wakes the host.
        let may_ask = attempt.is_asked && store.is_kept(Note::Votes);
        let again = if may_ask { attempt.again_at } else { Instant::NEVER };
        attempt.round.deadline().min(again)
    }
}
