//! Whatever the network and the disks do, no version is decided twice.

use std::collections::{BTreeMap, VecDeque};

use super::*;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;

fn seat(member: u64, generation: u64) -> Seat {
    Seat { member: MemberId(member), generation }
}

fn choice(version: u64, hash: u64, base: u64, keepers: &[Seat]) -> Choice {
    Choice { version, hash, base, keepers: keepers.to_vec(), layout: hash.to_le_bytes().to_vec() }
}

/// Answers of keepers that are asked directly, until the round asks nothing new.
fn carry_out(round: &mut Round, keepers: &mut BTreeMap<u64, Keeper>) {
    while {
        let asks = round.asks();
        let mut is_new = false;
        for (member, ask) in asks {
            if let Some(keeper) = keepers.get_mut(&member.0) {
                is_new |= round.answer(member, keeper.answer(&ask).0, Instant::ZERO);
            }
        }
        is_new && round.ended().is_none()
    } {}
}

fn keepers(seats: &[Seat]) -> BTreeMap<u64, Keeper> {
    seats.iter().map(|seat| (seat.member.0, Keeper::new(1, seat.generation))).collect()
}

fn three() -> [Seat; 3] {
    [seat(1, 10), seat(2, 20), seat(3, 30)]
}

fn begin(own: u64, highest: u64, voters: &[Seat], wanted: &Choice) -> Round {
    Round::begin(1, MemberId(own), highest, voters.to_vec(), wanted.clone(), Instant::ZERO)
}

#[test]
fn a_layout_is_committed_by_a_majority() {
    let mut votes = keepers(&three());
    votes.remove(&2);
    let mut round = begin(7, 0, &three(), &choice(2, 22, 11, &three()));
    carry_out(&mut round, &mut votes);
    assert_eq!(round.ended(), Some(&Ended::Committed));
    assert_eq!(round.deadline(), Instant::NEVER);
    assert!(round.asks().is_empty());
}

#[test]
fn one_keeper_decides_alone() {
    let seats = [seat(1, 10)];
    let mut round = begin(1, 0, &seats, &choice(2, 22, 11, &seats));
    carry_out(&mut round, &mut keepers(&seats));
    assert_eq!(round.ended(), Some(&Ended::Committed));
}

#[test]
fn without_a_majority_nothing_is_committed_and_it_is_said() {
    let mut votes = keepers(&three());
    votes.retain(|member, _| *member == 1);
    let mut round = begin(7, 0, &three(), &choice(2, 22, 11, &three()));
    let mut rng = Rng::new(1);
    while round.ended().is_none() {
        carry_out(&mut round, &mut votes);
        round.expire(round.deadline(), &mut rng);
    }
    assert_eq!(round.ended(), Some(&Ended::NoMajority(false)));
    assert_eq!(round.highest(), 8);
}

#[test]
fn what_was_begun_before_is_finished_first() {
    let mut votes = keepers(&three());
    let first = choice(2, 22, 11, &three());
    let mut round = begin(7, 0, &three(), &first);
    // Only one keeper accepts before its proposer is gone.
    for (member, ask) in round.asks() {
        let answer = votes.get_mut(&member.0).unwrap().answer(&ask).0;
        round.answer(member, answer, Instant::ZERO);
    }
    let (member, ask) = round.asks().remove(0);
    assert_eq!(votes.get_mut(&member.0).unwrap().answer(&ask).0.vote, Vote::Accepted);
    let mut second = begin(8, 0, &three(), &choice(2, 33, 11, &three()));
    second.expire(second.deadline(), &mut Rng::new(1));
    carry_out(&mut second, &mut votes);
    assert_eq!(second.ended(), Some(&Ended::Superseded(first)));
}

#[test]
fn who_is_late_hears_that_the_version_is_decided() {
    let mut votes = keepers(&three());
    for version in 2..4 {
        let mut round = begin(7, 0, &three(), &choice(version, version * 11, version * 11 - 11, &three()));
        carry_out(&mut round, &mut votes);
        assert_eq!(round.ended(), Some(&Ended::Committed));
    }
    let mut late = begin(8, 0, &three(), &choice(2, 99, 11, &three()));
    carry_out(&mut late, &mut votes);
    assert_eq!(late.ended(), Some(&Ended::Passed(3)));
}

#[test]
fn two_bases_of_one_version_are_a_fork() {
    let mut votes = keepers(&three());
    let mut round = begin(7, 0, &three(), &choice(5, 55, 44, &three()));
    carry_out(&mut round, &mut votes);
    let other = choice(5, 66, 45, &three());
    let mut forked = begin(8, 1, &three(), &other);
    carry_out(&mut forked, &mut votes);
    assert_eq!(forked.ended(), Some(&Ended::Forked(choice(5, 55, 44, &three()))));
}

#[test]
fn keepers_that_cannot_be_had_do_not_become_keepers() {
    let mut votes = keepers(&three());
    let five = [seat(1, 10), seat(2, 20), seat(3, 30), seat(4, 40), seat(5, 50)];
    let lost = [seat(1, 10), seat(8, 80), seat(9, 90)];
    let mut round = begin(7, 0, &three(), &choice(2, 22, 11, &lost));
    carry_out(&mut round, &mut votes);
    assert_eq!(round.ended(), None, "two of the three to come do not answer");
    votes.extend(keepers(&five[3..]));
    let mut round = begin(7, 5, &three(), &choice(2, 22, 11, &five));
    carry_out(&mut round, &mut votes);
    // What had been accepted has the same version and is finished, if its keepers can be had.
    assert_eq!(round.ended(), None);
    votes.extend(keepers(&lost[1..]));
    carry_out(&mut round, &mut votes);
    assert_eq!(round.ended(), Some(&Ended::Superseded(choice(2, 22, 11, &lost))));
}

#[test]
fn neither_another_generation_nor_another_era_has_a_vote() {
    let mut votes = keepers(&[seat(1, 11), seat(2, 20), seat(3, 30)]);
    let wanted = choice(2, 22, 11, &three());
    let ask = begin(7, 0, &three(), &wanted).asks().remove(0).1;
    assert_eq!(votes.get_mut(&1).unwrap().answer(&ask), (answer_of(&ask, Vote::NoSeat), false));
    votes.values_mut().for_each(|keeper| keeper.begin_era(4));
    votes.values_mut().for_each(|keeper| keeper.begin_era(3));
    let mut round = begin(7, 0, &three(), &wanted);
    carry_out(&mut round, &mut votes);
    assert_eq!(round.ended(), Some(&Ended::OtherEra(4)));
}

fn answer_of(ask: &Ask, vote: Vote) -> Answer {
    Answer { version: ask.version, ballot: ask.ballot, vote }
}

#[test]
fn a_choice_with_a_flaw_is_refused() {
    assert_eq!(choice(2, 1, 1, &three()).flaw(), None);
    assert!(choice(1, 1, 1, &three()).flaw().is_some());
    assert!(choice(2, 1, 1, &[]).flaw().is_some());
    assert!(choice(2, 1, 1, &[seat(2, 1), seat(1, 1)]).flaw().is_some());
    assert!(choice(2, 1, 1, &[seat(2, 1), seat(2, 2)]).flaw().is_some());
    let six: Vec<Seat> = (0..6).map(|member| seat(member, 1)).collect();
    assert!(choice(2, 1, 1, &six).flaw().is_some());
    let mut bytes = Vec::new();
    choice(2, 1, 1, &six).encode(&mut bytes);
    assert!(Choice::read(&mut Reader::new(&bytes)).is_err());
}

#[test]
fn messages_come_back_and_none_is_read_from_a_part_of_it() {
    let ballot = Ballot { number: 300, member: 7 };
    let wanted = choice(2, 22, 11, &three());
    for accept in [None, Some(wanted.clone())] {
        let ask = Ask { era: 1, generation: 9, version: 2, ballot, accept };
        let mut bytes = Vec::new();
        ask.encode(&mut bytes);
        assert_eq!(Ask::decode(&bytes), Ok(ask));
        (0..bytes.len()).for_each(|length| assert!(Ask::decode(&bytes[..length]).is_err(), "{length}"));
        bytes.push(0);
        assert!(Ask::decode(&bytes).is_err());
    }
    let votes = [
        Vote::Promised(None),
        Vote::Promised(Some((ballot, wanted))),
        Vote::Accepted,
        Vote::Outvoted(ballot),
        Vote::Passed(9),
        Vote::OtherEra(3),
        Vote::NoSeat,
    ];
    for vote in votes {
        let answer = Answer { version: 2, ballot, vote };
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        assert_eq!(Answer::decode(&bytes), Ok(answer));
        (0..bytes.len()).for_each(|length| assert!(Answer::decode(&bytes[..length]).is_err(), "{length}"));
    }
}

/// A keeper with its disk: what it answers leaves once it is durable.
struct Machine {
    keeper: Keeper,
    generation: u64,
    disk: Vec<u8>,
    unsynced: VecDeque<(Vec<u8>, usize, Answer)>,
}

/// Some members, each of whom keeps and wants layouts, and a network that loses, repeats and reorders.
struct World {
    rng: Rng,
    now: Instant,
    machines: Vec<Machine>,
    rounds: Vec<Option<Round>>,
    highest: Vec<u64>,
    /// What each member knows to be committed last.
    known: Vec<Choice>,
    asks: Vec<(usize, usize, Ask)>,
    answers: Vec<(usize, usize, Answer)>,
    /// What was ever said to be committed, by version.
    decided: BTreeMap<u64, Choice>,
    hashes: u64,
}

impl World {
    fn new(seed: u64) -> World {
        let mut rng = Rng::new(seed);
        let count = 3 + rng.below(4) as usize;
        let seats: Vec<Seat> = (0..3).map(|member| seat(member, member + 100)).collect();
        let founded = Choice { version: 1, hash: 1, base: 0, keepers: seats, layout: Vec::new() };
        let machine = |member: u64| Machine {
            keeper: Keeper::new(1, member + 100),
            generation: member + 100,
            disk: Keeper::new(1, member + 100).kept(),
            unsynced: VecDeque::new(),
        };
        World {
            rng,
            now: Instant::ZERO,
            machines: (0..count as u64).map(machine).collect(),
            rounds: (0..count).map(|_| None).collect(),
            highest: vec![0; count],
            known: vec![founded; count],
            asks: Vec::new(),
            answers: Vec::new(),
            decided: BTreeMap::new(),
            hashes: 1,
        }
    }

    fn any(&mut self, below: usize) -> usize {
        self.rng.below(below as u64) as usize
    }

    fn step(&mut self) {
        let count = self.machines.len();
        let at = self.any(count);
        // What is older than so many others is lost, mostly.
        while self.asks.len() > 20 || self.answers.len() > 20 {
            let is_ask = self.asks.len() > self.answers.len();
            let lost = self.any(if is_ask { self.asks.len() } else { self.answers.len() });
            if is_ask {
                self.asks.swap_remove(lost);
            } else {
                self.answers.swap_remove(lost);
            }
        }
        match self.rng.below(40) {
            0..12 if !self.asks.is_empty() => self.deliver_ask(),
            12..24 if !self.answers.is_empty() => self.deliver_answer(),
            24..31 => self.sync(at),
            31 => {
                // A power cut: what was not synced, and what would have been said then, is gone.
                let machine = &mut self.machines[at];
                machine.unsynced.clear();
                machine.keeper = Keeper::restore(&machine.disk, machine.generation).unwrap();
                self.rounds[at] = None;
            }
            32 if self.rng.one_in(40) => self.wipe(at),
            33..35 => {
                let from = self.any(count);
                if self.known[from].version > self.known[at].version {
                    self.known[at] = self.known[from].clone();
                }
            }
            35..37 if self.rounds[at].is_none() => self.begin(at),
            _ => self.ask_again(at),
        }
        self.now = self.now + core::time::Duration::from_millis(self.rng.below(20));
    }

    /// A directory is lost, and with it the votes; it has another generation then.
    fn wipe(&mut self, at: usize) {
        self.hashes += 1;
        let generation = 1_000 + self.hashes;
        let keeper = Keeper::new(1, generation);
        self.machines[at] = Machine { disk: keeper.kept(), keeper, generation, unsynced: VecDeque::new() };
        self.rounds[at] = None;
    }

    /// Somebody wants a layout, often with other keepers.
    fn begin(&mut self, at: usize) {
        self.hashes += 1;
        let base = self.known[at].clone();
        let mut keepers = base.keepers.clone();
        if self.rng.one_in(2) {
            let size = [1, 3, 3, 5][self.any(4)].min(self.machines.len());
            let mut members: Vec<usize> = (0..self.machines.len()).collect();
            while members.len() > size {
                let out = self.any(members.len());
                members.remove(out);
            }
            let seats =
                members.into_iter().map(|member| seat(member as u64, self.machines[member].generation));
            keepers = seats.collect();
        }
        let wanted = choice(base.version + 1, self.hashes, base.hash, &keepers);
        let own = MemberId(at as u64);
        self.rounds[at] = Some(Round::begin(1, own, self.highest[at], base.keepers, wanted, self.now));
    }

    fn ask_again(&mut self, at: usize) {
        let Some(round) = &mut self.rounds[at] else { return };
        round.expire(self.now, &mut self.rng);
        self.highest[at] = round.highest();
        for (member, ask) in round.asks() {
            if !self.rng.one_in(5) {
                self.asks.push((at, member.0 as usize, ask));
            }
        }
        self.settle(at);
    }

    fn deliver_ask(&mut self) {
        let number = self.any(self.asks.len());
        let (from, to, ask) = match self.rng.one_in(8) {
            true => self.asks[number].clone(),
            false => self.asks.swap_remove(number),
        };
        let machine = &mut self.machines[to];
        let (answer, is_changed) = machine.keeper.answer(&ask);
        if is_changed || !machine.unsynced.is_empty() {
            machine.unsynced.push_back((machine.keeper.kept(), from, answer));
        } else {
            self.answers.push((to, from, answer));
        }
    }

    fn sync(&mut self, at: usize) {
        while let Some((kept, to, answer)) = self.machines[at].unsynced.pop_front() {
            self.machines[at].disk = kept;
            self.answers.push((at, to, answer));
        }
    }

    fn deliver_answer(&mut self) {
        let number = self.any(self.answers.len());
        let (from, to, answer) = match self.rng.one_in(8) {
            true => self.answers[number].clone(),
            false => self.answers.swap_remove(number),
        };
        if let Some(round) = &mut self.rounds[to] {
            round.answer(MemberId(from as u64), answer, self.now);
            self.highest[to] = round.highest();
            self.settle(to);
        }
    }

    fn settle(&mut self, at: usize) {
        let Some(round) = &self.rounds[at] else { return };
        let Some(ended) = round.ended() else { return };
        let decided = match ended {
            Ended::Committed => Some(round.wanted().clone()),
            Ended::Superseded(choice) => Some(choice.clone()),
            Ended::Forked(other) => panic!("{other:?} replaces what was never committed"),
            Ended::OtherEra(_) => panic!("there is one era"),
            Ended::Passed(_) | Ended::NoMajority(_) => None,
        };
        if let Some(choice) = decided {
            let first = self.decided.entry(choice.version).or_insert_with(|| choice.clone());
            assert_eq!(*first, choice, "version {} was decided twice", choice.version);
            if choice.version > self.known[at].version {
                self.known[at] = choice;
            }
        }
        self.rounds[at] = None;
    }
}

#[test]
fn no_version_is_decided_twice() {
    const SEEDS: u64 = 300;
    let mut decided = 0;
    for seed in 0..SEEDS {
        let mut world = World::new(seed);
        for _ in 0..3_000 {
            world.step();
        }
        decided += world.decided.len();
        for (version, choice) in &world.decided {
            let base = version.checked_sub(1).and_then(|before| world.decided.get(&before));
            assert!(base.is_none_or(|base| base.hash == choice.base), "seed {seed}: {choice:?}");
        }
    }
    assert!(decided > 3 * SEEDS as usize, "{decided} layouts in {SEEDS} worlds");
}
