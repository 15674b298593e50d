//! Counting answers: pure values, no effects.
//!
//! Replicas are numbered by their rank in the preference list, so a set of them is a bit mask.

/// A set of replicas by rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ranks(u16);

impl Ranks {
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

/// A write's acknowledgements. All replicas are primaries until sloppy quorums exist, so PW counts as W.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WriteTally {
    /// Replicas of the key.
    pub n: u8,
    /// Acknowledgements needed: the larger of W and PW.
    pub w: u8,
    /// Durable ones needed.
    pub dw: u8,
    /// Who acknowledged.
    pub acked: Ranks,
    /// Who has it on disk.
    pub durable: Ranks,
    /// Who cannot acknowledge any more.
    pub failed: Ranks,
    /// Who cannot bring it to disk any more.
    pub undurable: Ranks,
}

impl WriteTally {
    /// One acknowledgement.
    pub fn ack(&mut self, rank: usize, durable: bool) {
        self.acked.insert(rank);
        if durable {
            self.durable.insert(rank);
        }
    }

    /// This replica will not acknowledge (again).
    pub fn fail(&mut self, rank: usize) {
        #[cfg(mutant = "count_failed")]
        self.acked.insert(rank);
        self.failed.insert(rank);
        self.undurable.insert(rank);
    }

    /// Where it stands.
    pub fn verdict(&self) -> Verdict {
        let within = |got: Ranks, failed: Ranks, need: u8| {
            let lost = Ranks(failed.0 & !got.0).len();
            (got.len() >= need, self.n - lost >= need)
        };
        let (acked, can_ack) = within(self.acked, self.failed, self.w);
        let (durable, can_sync) = within(self.durable, self.undurable, self.dw);
        match (acked && durable, can_ack && can_sync) {
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
            let mut tally = WriteTally { n: 3, w, dw, ..WriteTally::default() };
            acked.iter().for_each(|&rank| tally.ack(rank, false));
            durable.iter().for_each(|&rank| tally.ack(rank, true));
            failed.iter().for_each(|&rank| tally.fail(rank));
            assert_eq!(tally.verdict(), verdict, "{tally:?}");
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
