//! What leaves: datagrams with their rumours, and the budgets that bound them.

use core::time::Duration;

use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::rng::Rng;
use crate::proto::time::Instant;

use super::Gossip;
use super::member::Verdict;
use super::message::{Draft, Header, Message};
use super::output::Output;
use super::rumor::Rumor;

/// Members that are told in one round of rumours.
const FANOUT: usize = 3;

impl Gossip {
    /// Sends a message with the rumours that fit: first what the receiver must hear about itself, then
    /// `first`, then those told least often.
    pub(super) fn send(&mut self, to: MemberId, address: &[u8], message: &Message, first: &[Rumor]) {
        self.send_rows(to, address, message, first);
    }

    /// As [`Gossip::send`]; returns how many of `first` fitted and how many bytes it took.
    pub(super) fn send_rows(
        &mut self,
        to: MemberId,
        address: &[u8],
        message: &Message,
        first: &[Rumor],
    ) -> (usize, u64) {
        self.counter += 1;
        let (layout, from, boot, counter) = (self.layout, self.own, self.config.boot, self.counter);
        let header = Header { layout, from, to, boot, counter };
        let mut draft = Draft::new(self.keys.cluster_id, &header, message);
        let mut fitted = 0;
        if !self.is_manual() {
            if let Some(word) = self.word_to(to) {
                draft.add(&word);
            }
            fitted = first.iter().take_while(|rumor| draft.add(rumor)).count();
            if !matches!(message, Message::Notice { .. }) {
                self.rumors.fill(self.table.here(), limits::GOSSIP_DATAGRAM_MAX, draft.bytes_mut());
            }
        }
        let bytes = draft.seal(&self.config.keyring);
        self.counters.datagrams_sent += 1;
        self.counters.bytes_sent += bytes.len() as u64;
        let length = bytes.len() as u64;
        self.outputs.push_back(Output::Send { to: address.to_vec(), bytes });
        (fitted, length)
    }

    /// What a suspect, or a member that is down, is told with everything we send it.
    fn word_to(&self, id: MemberId) -> Option<Rumor> {
        let member = self.table.get(id)?;
        let (verdict, incarnation) = (member.verdict, member.incarnation);
        let accuser = member.suspicion.as_ref().map(|suspicion| suspicion.accusers()[0]);
        (verdict != Verdict::Alive).then_some(Rumor::Word { id, verdict, incarnation, accuser })
    }

    /// What this node says of itself.
    pub(super) fn own_row(&self) -> Rumor {
        let member = self.row(self.own);
        let (verdict, incarnation) = (member.verdict, member.incarnation);
        Rumor::Row { verdict, incarnation, description: member.description.clone() }
    }

    /// Tells others, with what is sent from now on.
    pub(super) fn pass_on(&mut self, now: Instant, id: MemberId, rumor: &Rumor) {
        if self.is_manual() {
            return;
        }
        self.rumors.push(id, rumor);
        if self.gossip_at == Instant::NEVER {
            self.gossip_at = now + within(&mut self.rng, self.config.timing.gossip_interval);
        }
    }

    /// A round of rumours: three members hear those that wait.
    pub(super) fn spread(&mut self, now: Instant) {
        let (table, own) = (&self.table, self.own);
        let wanted = |id: MemberId| id != own && table.get(id).is_some_and(|row| row.verdict.is_here());
        for id in self.roster.sample(FANOUT, &mut self.rng, wanted) {
            if self.rumors.is_empty() {
                break;
            }
            let address = self.row(id).description.address.clone();
            self.send(id, &address, &Message::Gossip, &[]);
        }
        // With nobody to tell, rumours wait for the one who comes.
        let idle = self.rumors.is_empty() || self.table.here() <= 1;
        self.gossip_at = if idle { Instant::NEVER } else { now + self.config.timing.gossip_interval };
    }
}

/// A random time shorter than `time`, so that nodes that begin together do not act together.
pub(super) fn within(rng: &mut Rng, time: Duration) -> Duration {
    Duration::from_nanos(rng.below(time.as_nanos() as u64))
}

/// So much at once, and so much a second in the long run. One overdraft is paid back before the next.
#[derive(Debug)]
pub(super) struct Budget {
    left: i64,
    burst: u64,
    rate: u64,
    at: Instant,
}

impl Budget {
    pub(super) fn new(burst: u64, rate: u64, now: Instant) -> Budget {
        Budget { left: burst as i64, burst, rate, at: now }
    }

    /// Whether something may be spent now.
    pub(super) fn allows(&mut self, now: Instant) -> bool {
        let earned = now.since(self.at).as_nanos() * u128::from(self.rate) / 1_000_000_000;
        if earned > 0 {
            // The fraction of a unit that is lost here makes it slower by less than one unit a call.
            self.left = self.left.saturating_add(earned.min(u128::from(self.burst) * 2) as i64);
            self.left = self.left.min(self.burst as i64);
            self.at = now;
        }
        self.left > 0
    }

    /// Takes so much, even if less is left.
    pub(super) fn spend(&mut self, amount: u64) {
        self.left = self.left.saturating_sub(amount as i64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_holds_in_the_long_run() {
        let at = |millis: u64| Instant::from_nanos(millis * 1_000_000);
        let mut budget = Budget::new(1_000, 50, at(0));
        let mut spent = 0;
        for millis in (0..100_000).step_by(10) {
            if budget.allows(at(millis)) {
                budget.spend(340);
                spent += 340;
            }
        }
        assert!((5_000..=1_000 + 5_000 + 340).contains(&spent), "{spent}");
    }
}
