//! What was stored so recently that other copies of it may still be on their way, by the order of changes.

use std::collections::VecDeque;

use crate::proto::limits::EXCHANGE_SETTLE;
use crate::proto::store::ChangeCursor;
use crate::proto::time::Instant;

/// Moments that are kept: a few in each settle time.
const KEPT: usize = 16;

/// Where changes stood at some moments.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(Instant, ChangeCursor)>);

impl Recent {
    /// Notes where they stand now, unless that was noted just before.
    pub(super) fn note(&mut self, now: Instant, last: impl FnOnce() -> ChangeCursor) {
        if self.0.back().is_some_and(|&(at, _)| now.since(at) < EXCHANGE_SETTLE / (KEPT as u32 / 2)) {
            return;
        }
        if self.0.len() == KEPT {
            self.0.pop_front();
        }
        self.0.push_back((now, last()));
    }

    /// What changed behind this is young. All is, if nothing was noted so long ago.
    pub(super) fn settled(&self, now: Instant) -> ChangeCursor {
        let old = self.0.iter().rev().find(|&&(at, _)| now.since(at) >= EXCHANGE_SETTLE);
        old.map_or(ChangeCursor::default(), |&(_, last)| last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::store::Sequence;
    use core::time::Duration;

    #[test]
    fn what_is_older_than_the_settle_time_is_settled() {
        let mut recent = Recent::default();
        let at = |ms| Instant::ZERO + Duration::from_millis(ms);
        assert_eq!(recent.settled(at(0)), ChangeCursor::default());
        for step in 0..100 {
            let cursor = ChangeCursor { generation: 1, sequence: Sequence(step), hint: (0, 0) };
            recent.note(at(step * 100), || cursor);
        }
        let settled = recent.settled(at(9_900)).sequence.0;
        assert!((74..=79).contains(&settled), "{settled}: of about two seconds ago");
        assert_eq!(recent.settled(at(60_000)), recent.0.back().unwrap().1);
    }
}
