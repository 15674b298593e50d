//! Whom to probe next, and the probes that are under way: our own, and those we make for others.

use core::time::Duration;

use crate::proto::io::MemberId;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;

/// Members in a random order, each once a round (SWIM §4.3): so a dead member is found within two rounds,
/// whatever the dice.
#[derive(Debug, Default)]
pub struct Roster {
    order: Vec<MemberId>,
    next: usize,
}

impl Roster {
    /// Adds a member at a random place, unless it is there.
    pub fn add(&mut self, id: MemberId, rng: &mut Rng) {
        if self.order.contains(&id) {
            return;
        }
        self.order.push(id);
        let last = self.order.len() - 1;
        self.order.swap(rng.below(last as u64 + 1) as usize, last);
    }

    /// Whether nobody stands in it.
    pub fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// The next member that is `wanted`; those that are not are left out of the next round.
    pub fn next(&mut self, rng: &mut Rng, wanted: impl Fn(MemberId) -> bool) -> Option<MemberId> {
        for _ in 0..=self.order.len() {
            if self.next >= self.order.len() {
                self.order.retain(|&id| wanted(id));
                for at in (1..self.order.len()).rev() {
                    self.order.swap(at, rng.below(at as u64 + 1) as usize);
                }
                self.next = 0;
            }
            let id = *self.order.get(self.next)?;
            self.next += 1;
            if wanted(id) {
                return Some(id);
            }
        }
        None
    }

    /// Up to `count` distinct members that are `wanted`, at random.
    pub fn sample(&self, count: usize, rng: &mut Rng, wanted: impl Fn(MemberId) -> bool) -> Vec<MemberId> {
        let mut picked = Vec::with_capacity(count);
        if self.order.is_empty() {
            return picked;
        }
        // In a large table almost every draw is good; in a small one all are looked at.
        let start = rng.below(self.order.len() as u64) as usize;
        if self.order.len() > 8 * count {
            for _ in 0..4 * count {
                let id = self.order[rng.below(self.order.len() as u64) as usize];
                if picked.len() < count && !picked.contains(&id) && wanted(id) {
                    picked.push(id);
                }
            }
        } else {
            let mut all: Vec<MemberId> = self.order.iter().copied().filter(|&id| wanted(id)).collect();
            while picked.len() < count && !all.is_empty() {
                picked.push(all.swap_remove((start + rng.below(all.len() as u64) as usize) % all.len()));
            }
        }
        picked
    }
}

/// Our probe of this period.
#[derive(Debug)]
pub struct Probe {
    /// Whom.
    pub target: MemberId,
    /// Of its ping and its requests.
    pub number: u32,
    /// When others are asked; `NEVER` once they were.
    pub indirect_at: Instant,
    /// When it has failed.
    pub ends_at: Instant,
    /// Who was asked to ping for us.
    pub relays: Vec<MemberId>,
    /// Which of them said that they had no answer either.
    pub nacks: Vec<MemberId>,
}

impl Probe {
    /// Whether an answer from this member counts.
    pub fn is_answered_by(&self, from: MemberId, number: u32) -> bool {
        self.number == number && (self.target == from || self.relays.contains(&from))
    }

    /// How much worse it says our own health is (Lifeguard §IV.A): those we asked who are not heard of either
    /// point at us; that they answered points at the target.
    pub fn blame(&self) -> u32 {
        if self.relays.is_empty() { 1 } else { (self.relays.len() - self.nacks.len()) as u32 }
    }

    /// Begins the waiting anew.
    pub fn restart(&mut self, now: Instant, timeout: Duration, interval: Duration) {
        if self.indirect_at != Instant::NEVER {
            self.indirect_at = now + timeout;
        }
        self.ends_at = now + interval;
    }
}

/// A ping that we make for another member.
#[derive(Debug)]
pub struct Relay {
    /// Of our ping.
    pub number: u32,
    /// Whom we pinged.
    pub target: MemberId,
    /// Who asked.
    pub origin: MemberId,
    /// Where it is.
    pub origin_address: Vec<u8>,
    /// Of its request.
    pub origin_number: u32,
    /// When to say that there was no answer.
    pub nack_at: Instant,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_visits_everybody_once_in_changing_order() {
        let (mut roster, mut rng) = (Roster::default(), Rng::new(1));
        for id in (1..=20).chain(1..=20) {
            roster.add(MemberId(id), &mut rng);
        }
        let mut round =
            || -> Vec<u64> { (0..20).map(|_| roster.next(&mut rng, |_| true).unwrap().0).collect() };
        let (first, second) = (round(), round());
        assert_ne!(first, second);
        for mut order in [first, second] {
            order.sort_unstable();
            assert_eq!(order, (1..=20).collect::<Vec<u64>>());
        }
        let odd = |id: MemberId| id.0 % 2 == 1;
        assert!((0..40).all(|_| roster.next(&mut rng, odd).is_some_and(odd)));
        assert_eq!(roster.next(&mut rng, |_| false), None);
    }

    #[test]
    fn a_sample_is_distinct_wanted_and_even() {
        for size in [3_u64, 10, 100] {
            let (mut roster, mut rng) = (Roster::default(), Rng::new(1));
            for id in 1..=size {
                roster.add(MemberId(id), &mut rng);
            }
            let mut hits = vec![0_u32; size as usize + 1];
            for _ in 0..1_000 {
                let sample = roster.sample(3, &mut rng, |id| id.0 != 2);
                assert_eq!(sample.len() as u64, 3.min(size - 1));
                for (at, id) in sample.iter().enumerate() {
                    assert!(id.0 != 2 && !sample[..at].contains(id));
                    hits[id.0 as usize] += 1;
                }
            }
            let fair = 1_000 * 3.min(size as u32 - 1) / (size as u32 - 1);
            let even =
                (1..=size).filter(|&id| id != 2).all(|id| (fair / 3..=2 * fair).contains(&hits[id as usize]));
            assert!(even, "{size}: {hits:?}");
        }
    }
}
