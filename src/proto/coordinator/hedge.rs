//! Hedged reads: where a replica is later than it usually is, one more is asked (Dean and Barroso 2013).
//!
//! What is usual is kept for each peer ([`Latency`](crate::proto::latency::Latency)). A hedge is paid for by twenty reads, so
//! that at most one read in twenty has one: where everything is slow, asking more would only make it slower.

use core::time::Duration;

use super::{Phase, Turn};
use crate::proto::limits;
use crate::proto::store::Store;

/// Reads that pay for one hedge.
const PRICE: u32 = 20;
/// What may be saved up: ten hedges.
const SAVED_MAX: u32 = 10 * PRICE;
/// A peer this many times slower than the fastest is asked last.
const SLOW: u32 = 4;
/// But not for less than this.
const SLOW_LEAST: Duration = Duration::from_millis(2);

/// What reads have paid in and hedges have not used yet.
#[derive(Debug, Default)]
pub(super) struct Hedging(u32);

impl<S: Store> Turn<'_, S> {
    /// A read begins to ask others.
    pub(super) fn pay_in(&mut self) {
        let saved = &mut self.coordinator.hedging.0;
        *saved = (*saved + 1).min(SAVED_MAX);
    }

    /// How long after its begin a read is late enough to be hedged: when every replica that it waits for usually has
    /// answered. `None` if it waits for none, or was looked at.
    pub(super) fn hedge_after(&self, index: usize) -> Option<Duration> {
        let slot = &self.coordinator.slots[index];
        if slot.phase != Phase::Reading || slot.reading.hedged {
            return None;
        }
        let replicas = self.replicas(index);
        let open = replicas.readable().filter(|&(rank, _)| slot.reading.waits_for(rank));
        open.map(|(_, replica)| self.peers.peer(replica).latency.late_after()).max()
    }

    /// A read is late: asks one more replica, if it is paid for and there is one.
    pub(super) fn hedge(&mut self, index: usize) {
        self.coordinator.slots[index].reading.hedged = true;
        if self.coordinator.hedging.0 >= PRICE && self.ask(index, 1) > 0 {
            self.coordinator.hedging.0 -= PRICE;
            self.coordinator.counters.hedges += 1;
        }
    }

    /// Which of these machines are asked last: those of whom nothing good is heard, and those that take much longer to
    /// answer than another of them.
    pub(super) fn asked_last(&self, replicas: &[(usize, u16)]) -> [bool; limits::REPLICAS_MAX] {
        let own = self.peers.own();
        let late_after = |replica: u16| self.peers.peer(replica).latency.late_after();
        let others = replicas.iter().filter(|&&(_, replica)| replica != own && self.peers.usable(replica));
        let fastest = others.map(|&(_, replica)| late_after(replica)).min().unwrap_or_default();
        let slow = (fastest * SLOW).max(SLOW_LEAST);
        let mut last = [false; limits::REPLICAS_MAX];
        for (last, &(_, replica)) in last.iter_mut().zip(replicas) {
            *last = self.peers.peer(replica).avoided || late_after(replica) > slow;
        }
        last
    }
}
