//! How long a suspected member has to refute, and who accuses it: Lifeguard's suspicion (§IV.B). One accuser
//! may be wrong about itself, so it waits long; with each one more the time decays to its minimum.

use core::time::Duration;

use crate::proto::io::MemberId;
use crate::proto::time::Instant;

/// The shortest suspicion in probe intervals, times max(1, log10 n).
const MULTIPLIER: f64 = 4.0;
/// The longest suspicion, in shortest ones.
const LONGEST: f64 = 6.0;
/// Accusers beside the first after which a suspicion is as short as it gets.
const CONFIRMATIONS: usize = 2;
/// Members above which one accuser is not enough to declare a member down.
const FEW: usize = 10;
/// So many accusers are enough in a large cluster.
const ACCUSERS: usize = 3;
/// So many zones with an accuser are enough as well.
const ZONES: usize = 2;

/// An open suspicion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspicion {
    started: Instant,
    /// Distinct, the first one first; at most [`ACCUSERS`].
    accusers: Vec<MemberId>,
    /// Not to be looked at before: the time had come, but there were not enough accusers.
    again_at: Instant,
}

impl Suspicion {
    /// Begun at `now` by this member.
    pub fn new(now: Instant, by: MemberId) -> Suspicion {
        Suspicion { started: now, accusers: vec![by], again_at: Instant::ZERO }
    }

    /// One accuser more; false if it told nothing new.
    pub fn accuse(&mut self, by: MemberId) -> bool {
        let fresh = self.accusers.len() < ACCUSERS && !self.accusers.contains(&by);
        if fresh {
            self.accusers.push(by);
            self.again_at = Instant::ZERO;
        }
        fresh
    }

    /// Who accuses.
    pub fn accusers(&self) -> &[MemberId] {
        &self.accusers
    }

    /// This node did not run for so long: the accused could not have been heard.
    pub fn prolong(&mut self, by: Duration) {
        self.started = self.started + by;
    }

    /// Looked at in vain; look again then.
    pub fn postpone(&mut self, until: Instant) {
        self.again_at = until;
    }

    /// When to judge, among so many members. An accuser that is `alone` in what it does has no confirmation
    /// to wait for.
    pub fn deadline(&self, members: usize, alone: bool, interval: Duration) -> Instant {
        let confirmations = if alone { CONFIRMATIONS } else { self.accusers.len() - 1 };
        let time = timeout(members, confirmations, interval);
        (self.started + time).max(self.again_at)
    }
}

/// How long a suspicion lasts among `members`, confirmed by so many accusers beside the first.
pub fn timeout(members: usize, confirmations: usize, interval: Duration) -> Duration {
    let shortest = MULTIPLIER * (members.max(1) as f64).log10().max(1.0);
    // Too few others to confirm anything: nobody is waited for.
    let needed = if members < CONFIRMATIONS + 2 { 0 } else { CONFIRMATIONS };
    let intervals = if confirmations >= needed {
        shortest
    } else {
        let decay = ((confirmations + 1) as f64).ln() / ((needed + 1) as f64).ln();
        shortest * (LONGEST - (LONGEST - 1.0) * decay)
    };
    // Whole milliseconds, so that no machine's logarithm shows.
    Duration::from_millis((intervals * interval.as_millis() as f64).round() as u64)
}

/// Whether these accusers suffice to declare a member down: in a cluster of more than 10, three of them or
/// two zones (after Rapid, Suresh et al. 2018: one observer's trouble is not the observed one's). `alive` is
/// how many members, this one included, are not accused themselves: nobody else is there to be waited for.
pub fn suffices(members: usize, alive: usize, zones: impl ExactSizeIterator<Item = u32>) -> bool {
    let accusers = zones.len();
    if members <= FEW || accusers >= ACCUSERS.min(alive) {
        return true;
    }
    let mut known: Vec<u32> = zones.filter(|&zone| zone != 0).collect();
    known.sort_unstable();
    known.dedup();
    known.len() >= ZONES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_decays_from_six_times_the_shortest() {
        let table = [
            (2, 0, 4_000),
            (3, 0, 4_000),
            (4, 0, 24_000),
            (10, 0, 24_000),
            (10, 1, 11_381),
            (10, 2, 4_000),
            (10, 9, 4_000),
            (100, 0, 48_000),
            (100, 2, 8_000),
            (1_000, 2, 12_000),
        ];
        for (members, confirmations, millis) in table {
            let time = timeout(members, confirmations, Duration::from_secs(1));
            assert_eq!(time.as_millis(), millis, "{members} members, {confirmations}");
        }
    }

    #[test]
    fn a_large_cluster_wants_three_accusers_or_two_zones() {
        let table: [(usize, usize, &[u32], bool); 8] = [
            (10, 9, &[0], true),
            (11, 10, &[0], false),
            (11, 10, &[1, 1], false),
            (11, 10, &[0, 1], false),
            (11, 10, &[1, 2], true),
            (11, 10, &[0, 0, 0], true),
            (11, 1, &[1], true),
            (11, 2, &[1], false),
        ];
        for (members, alive, zones, enough) in table {
            let zones = zones.iter().copied();
            assert_eq!(suffices(members, alive, zones.clone()), enough, "{members} {alive} {zones:?}");
        }
    }

    #[test]
    fn an_accuser_counts_once() {
        let mut suspicion = Suspicion::new(Instant::ZERO, MemberId(1));
        let taken: Vec<bool> = [1, 2, 2, 3, 4].map(|id| suspicion.accuse(MemberId(id))).into_iter().collect();
        assert_eq!(taken, [false, true, false, true, false]);
        assert_eq!(suspicion.accusers().len(), ACCUSERS);
    }
}
