//! Counting answers: pure values, no effects.
//!
//! Replicas are numbered by their rank in the preference list, so a set of them is a bit mask.

/// A set of replicas by rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranks(u32);

const _: () = assert!(crate::proto::routes::RANKS_MAX <= u32::BITS as usize);

impl Ranks {
    /// The first so many.
    pub const fn first(count: usize) -> Ranks {
        Ranks(((1_u64 << count) - 1) as u32)
    }

    /// Those that are in both.
    pub const fn and(self, other: Ranks) -> Ranks {
        Ranks(self.0 & other.0)
    }

    /// Those that are in either.
    pub const fn or(self, other: Ranks) -> Ranks {
        Ranks(self.0 | other.0)
    }

    /// Those that are not in the other.
    pub const fn without(self, other: Ranks) -> Ranks {
        Ranks(self.0 & !other.0)
    }

    /// Adds a rank.
    pub const fn insert(&mut self, rank: usize) {
        self.0 |= 1 << rank;
    }

    /// Takes a rank out.
    pub const fn remove(&mut self, rank: usize) {
        self.0 &= !(1 << rank);
    }

    /// Whether the rank is in it.
    pub const fn contains(self, rank: usize) -> bool {
        self.0 >> rank & 1 != 0
    }

    /// The ranks in it, rising.
    pub fn iter(self) -> impl Iterator<Item = usize> {
        let mut left = self.0;
        core::iter::from_fn(move || {
            let rank = (left != 0).then(|| left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some(rank)
        })
    }

    /// How many ranks are in it.
    pub const fn len(self) -> u8 {
        self.0.count_ones() as u8
    }

    /// Whether none is.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Where a count stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It can still go either way.
    Pending,
    /// Everything asked for is met.
    Won,
    /// It cannot be met any more.
    Lost,
}

/// What a write needs of one set of replicas.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// The set.
    pub of: Ranks,
    /// Acknowledgements needed: the larger of W and PW.
    pub w: u8,
    /// Durable ones needed.
    pub dw: u8,
    /// Those needed of replicas themselves, whoever stands in for others.
    pub pw: u8,
}

/// A write's acknowledgements. A fallback counts in the place of the replica that it stands in for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteTally {
    /// What is needed of the set that reads are on.
    pub need: Need,
    /// What is needed of the other one, while the partition moves (rule L1): nothing, if it does not.
    pub also: Need,
    /// Who acknowledged.
    pub acked: Ranks,
    /// Who has it on disk.
    pub durable: Ranks,
    /// Who cannot acknowledge any more.
    pub failed: Ranks,
    /// Who cannot bring it to disk any more.
    pub undurable: Ranks,
    /// In whose place a fallback was asked that has not refused.
    pub standing: Ranks,
    /// In whose place a fallback keeps it, and where that is on disk.
    pub stood: Ranks,
    /// See `stood`.
    pub stood_durable: Ranks,
}

impl WriteTally {
    /// One acknowledgement.
    pub fn ack(&mut self, rank: usize, durable: bool) {
        self.acked.insert(rank);
        if durable {
            self.durable.insert(rank);
        }
    }

    /// A fallback keeps it in the place of this replica.
    pub fn stand(&mut self, rank: usize, durable: bool) {
        self.stood.insert(rank);
        if durable {
            self.stood_durable.insert(rank);
        }
    }

    /// This replica will not acknowledge (again).
    pub fn fail(&mut self, rank: usize) {
        if planted!("count_failed") {
            self.acked.insert(rank);
        }
        self.failed.insert(rank);
        self.undurable.insert(rank);
    }

    /// Acknowledgements that count: of the set that has fewer, where there are two.
    pub fn achieved(&self) -> u8 {
        self.fewer(self.acked.or(self.stood))
    }

    /// Those of them that fallbacks gave: of the set that has more of them, where there are two, as reads will be on
    /// either.
    pub fn fallbacks(&self) -> u8 {
        let stood = self.stood.without(self.acked);
        let most = stood.and(self.need.of).len().max(stood.and(self.also.of).len());
        most.min(self.achieved())
    }

    /// Those of them that are on disk.
    pub fn achieved_durable(&self) -> u8 {
        self.fewer(self.durable.or(self.stood_durable))
    }

    fn fewer(&self, got: Ranks) -> u8 {
        let count = got.and(self.need.of).len();
        if self.also.of.is_empty() { count } else { count.min(got.and(self.also.of).len()) }
    }

    /// Where it stands.
    pub fn verdict(&self) -> Verdict {
        if planted!("union_quorum") {
            return self.verdict_of(&Need { of: Ranks(self.need.of.0 | self.also.of.0), ..self.need });
        }
        match (self.verdict_of(&self.need), self.verdict_of(&self.also)) {
            (Verdict::Won, Verdict::Won) => Verdict::Won,
            (Verdict::Lost, _) | (_, Verdict::Lost) => Verdict::Lost,
            _ => Verdict::Pending,
        }
    }

    fn verdict_of(&self, need: &Need) -> Verdict {
        if *need == Need::default() {
            return Verdict::Won;
        }
        let within = |got: Ranks, failed: Ranks, count: u8| {
            let (got, failed) = (got.and(need.of), failed.and(need.of));
            let lost = failed.without(got).len();
            (got.len() >= count, need.of.len() - lost >= count)
        };
        let hope = |failed: Ranks| failed.without(self.standing);
        let (acked, can_ack) = within(self.acked.or(self.stood), hope(self.failed), need.w);
        let durable = self.durable.or(self.stood_durable);
        let (durable, can_sync) = within(durable, hope(self.undurable), need.dw);
        let (of_primaries, can_be) = within(self.acked, self.failed, need.pw);
        match (acked && durable && of_primaries, can_ack && can_sync && can_be) {
            (true, _) => Verdict::Won,
            (false, true) => Verdict::Pending,
            (false, false) => Verdict::Lost,
        }
    }
}

/// How many replicas must be known to hold what a read returns, so that no later read of R replicas can
/// miss it: N−R+1 (trap T20). With R = 1 there is nothing to compare, and the answer is given at once.
pub const fn holders_needed(n: u8, r: u8) -> u8 {
    if r <= 1 { 0 } else { n - r + 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_is_won_lost_or_open() {
        // (w, dw, acked, durable, failed) -> verdict, for three replicas.
        type Case = (u8, u8, &'static [usize], &'static [usize], &'static [usize], Verdict);
        let table: [Case; 10] = [
            (2, 0, &[], &[], &[], Verdict::Pending),
            (2, 0, &[0], &[], &[], Verdict::Pending),
            (2, 0, &[0, 2], &[], &[], Verdict::Won),
            (2, 0, &[0], &[], &[1], Verdict::Pending),
            (2, 0, &[0], &[], &[1, 2], Verdict::Lost),
            (2, 0, &[0, 1], &[], &[1, 2], Verdict::Won),
            (2, 1, &[0, 1], &[], &[], Verdict::Pending),
            (2, 1, &[0, 1], &[1], &[], Verdict::Won),
            (1, 3, &[0, 1], &[0, 1], &[2], Verdict::Lost),
            (3, 0, &[0, 1], &[], &[2], Verdict::Lost),
        ];
        for (w, dw, acked, durable, failed, verdict) in table {
            let need = Need { of: Ranks::first(3), w, dw, pw: 0 };
            let mut tally = WriteTally { need, ..WriteTally::default() };
            acked.iter().for_each(|&rank| tally.ack(rank, false));
            durable.iter().for_each(|&rank| tally.ack(rank, true));
            failed.iter().for_each(|&rank| tally.fail(rank));
            assert_eq!(tally.verdict(), verdict, "{tally:?}");
        }
    }

    #[test]
    fn while_a_partition_moves_both_its_sets_are_needed() {
        // Ranks 0, 1, 2 are read; 1, 2, 3 are the set to come.
        let mut of = Ranks::default();
        (1..4).for_each(|rank| of.insert(rank));
        let need = Need { of: Ranks::first(3), w: 2, dw: 0, pw: 0 };
        let mut tally = WriteTally { need, also: Need { of, ..need }, ..WriteTally::default() };
        tally.ack(0, false);
        tally.ack(1, false);
        assert_eq!((tally.verdict(), tally.achieved()), (Verdict::Pending, 1));
        tally.fail(2);
        assert_eq!(tally.verdict(), Verdict::Pending);
        tally.ack(3, true);
        assert_eq!((tally.verdict(), tally.achieved(), tally.achieved_durable()), (Verdict::Won, 2, 0));
        tally.acked.remove(3);
        tally.fail(3);
        assert_eq!(tally.verdict(), Verdict::Lost);
    }

    #[test]
    fn a_fallback_counts_in_the_place_of_its_replica_and_never_for_a_primary() {
        // (w, dw, pw, acked, stood, durably, standing, failed) -> verdict, achieved, fallbacks, for three replicas.
        type Case = ([u8; 3], [&'static [usize]; 5], Verdict, u8, u8);
        let table: [Case; 8] = [
            ([3, 0, 0], [&[0, 1], &[], &[], &[], &[2]], Verdict::Lost, 2, 0),
            ([3, 0, 0], [&[0, 1], &[], &[], &[2], &[2]], Verdict::Pending, 2, 0),
            ([3, 0, 0], [&[0, 1], &[2], &[], &[2], &[2]], Verdict::Won, 3, 1),
            ([2, 0, 0], [&[0, 2], &[2], &[], &[2], &[1]], Verdict::Won, 2, 0),
            ([2, 0, 2], [&[0], &[2], &[], &[2], &[2]], Verdict::Pending, 2, 1),
            ([2, 0, 2], [&[0], &[1, 2], &[], &[1, 2], &[1, 2]], Verdict::Lost, 3, 2),
            ([1, 2, 0], [&[0], &[2], &[], &[2], &[1, 2]], Verdict::Pending, 2, 1),
            ([2, 1, 0], [&[0], &[2], &[2], &[2], &[1, 2]], Verdict::Won, 2, 1),
        ];
        for ([w, dw, pw], [acked, stood, durably, standing, failed], verdict, achieved, fallbacks) in table {
            let need = Need { of: Ranks::first(3), w, dw, pw };
            let mut tally = WriteTally { need, ..WriteTally::default() };
            acked.iter().for_each(|&rank| tally.ack(rank, false));
            standing.iter().for_each(|&rank| tally.standing.insert(rank));
            stood.iter().for_each(|&rank| tally.stand(rank, durably.contains(&rank)));
            failed.iter().for_each(|&rank| tally.fail(rank));
            let found = (tally.verdict(), tally.achieved(), tally.fallbacks());
            assert_eq!(found, (verdict, achieved, fallbacks), "{tally:?}");
        }
    }

    #[test]
    fn no_more_fallbacks_are_told_of_than_acknowledgements() {
        // (acked, stood) -> achieved, fallbacks, while a partition moves from the ranks 0 to 2 to the ranks 2 to 4.
        type Case = (&'static [usize], &'static [usize], u8, u8);
        let table: [Case; 4] = [
            (&[0, 2], &[1], 1, 1),
            (&[3, 4], &[0, 1, 2], 3, 3),
            (&[2], &[], 1, 0),
            (&[0, 1, 2], &[3, 4], 3, 2),
        ];
        for (acked, stood, achieved, fallbacks) in table {
            let set = |ranks: [usize; 3]| {
                let mut of = Ranks::default();
                ranks.into_iter().for_each(|rank| of.insert(rank));
                Need { of, w: 2, dw: 0, pw: 0 }
            };
            let (need, also) = (set([0, 1, 2]), set([2, 3, 4]));
            let mut tally = WriteTally { need, also, ..WriteTally::default() };
            acked.iter().for_each(|&rank| tally.ack(rank, false));
            stood.iter().for_each(|&rank| tally.stand(rank, false));
            assert_eq!((tally.achieved(), tally.fallbacks()), (achieved, fallbacks), "{tally:?}");
        }
    }

    #[test]
    fn holders_and_readers_always_overlap() {
        for n in 1..=7 {
            for r in 2..=n {
                assert!(holders_needed(n, r) + r > n);
            }
        }
    }
}
