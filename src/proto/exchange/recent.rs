//! What was stored so recently that other copies of it may still be on their way, by the numbers of records.

use std::collections::VecDeque;

use crate::proto::limits::EXCHANGE_SETTLE;
use crate::proto::store::Sequence;
use crate::proto::time::Instant;

/// Moments that are kept: a few in each settle time.
const KEPT: usize = 16;

/// Where the numbers of records stood at some moments.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(Instant, Sequence)>);

impl Recent {
    /// Notes where they stand now.
    pub(super) fn note(&mut self, now: Instant, last: Sequence) {
        if self.0.back().is_some_and(|&(at, _)| now.since(at) < EXCHANGE_SETTLE / (KEPT as u32 / 2)) {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, last));
    }

    /// Records above this are young. All are, if nothing was noted so long ago.
    pub(super) fn settled(&self, now: Instant) -> Sequence {
        let old = self.0.iter().rev().find(|&&(at, _)| now.since(at) >= EXCHANGE_SETTLE);
        old.map_or(Sequence::default(), |&(_, last)| last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn what_is_older_than_the_settle_time_is_settled() {
        let mut recent = Recent::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert_eq!(recent.settled(at(0)), Sequence(0));
        for step in 0..100 {
            recent.note(at(step * 100), Sequence(step));
        }
        let settled = recent.settled(at(9_900)).0;
        assert!((74..=79).contains(&settled), "{settled}: of about two seconds ago");
        assert_eq!(recent.settled(at(60_000)), recent.0.back().unwrap().1);
    }
}
