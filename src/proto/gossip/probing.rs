//! Probes: our own, one a period, and those we make for others (SWIM §3.1, Lifeguard §IV.A).

use core::time::Duration;

use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::time::Instant;

use super::Gossip;
use super::member::Verdict;
use super::message::{ANYONE, Message};
use super::output::Output;
use super::probe::{Probe, Relay};

/// Members that are asked to ping one that does not answer.
const RELAYS: usize = 3;
/// A relay has no answer after this share of the timeout, so that its nack comes before the period ends.
const NACK_SHARE: (u32, u32) = (7, 10);

impl Gossip {
    /// Timeout and interval of a probe, as long as this node's health needs them.
    pub(super) fn probe_times(&self) -> (Duration, Duration) {
        let timing = &self.config.timing;
        (self.health.scale(timing.probe_timeout), self.health.scale(timing.probe_interval))
    }

    /// Takes the probe a step further, and begins the next one in time.
    pub(super) fn advance_probe(&mut self, now: Instant) {
        if let Some(probe) = self.probe.take_if(|probe| probe.ends_at <= now) {
            self.probe_failed(now, &probe);
        }
        if self.probe.as_ref().is_some_and(|probe| probe.indirect_at <= now) {
            self.ask_others();
        }
        if self.probe.is_none() && self.probe_at <= now {
            let (table, own, is_manual) = (&self.table, self.own, self.is_manual());
            let wanted = |id: MemberId| {
                // In a manual cluster nobody else tells that a member is back.
                let is_wanted =
                    |verdict: Verdict| verdict.is_here() || (is_manual && verdict == Verdict::Down);
                id != own && table.get(id).is_some_and(|member| is_wanted(member.verdict))
            };
            match self.roster.next(&mut self.rng, wanted) {
                Some(target) => self.begin_probe(now, target),
                None => self.probe_at = Instant::NEVER,
            }
        }
    }

    /// Pings a member and waits for its answer.
    pub(super) fn begin_probe(&mut self, now: Instant, target: MemberId) {
        let number = self.next_number();
        let (timeout, interval) = self.probe_times();
        self.counters.probes += 1;
        self.probe_at = now + interval;
        self.probe = Some(Probe {
            target,
            number,
            indirect_at: now + timeout,
            ends_at: now + interval,
            relays: Vec::new(),
            nacks: Vec::new(),
        });
        self.ping(target, number);
    }

    fn next_number(&mut self) -> u32 {
        self.number = self.number.wrapping_add(1);
        self.number
    }

    fn ping(&mut self, target: MemberId, number: u32) {
        let address = self.row(target).description.address.clone();
        let digest = self.table.digest();
        self.send(target, &address, &Message::Ping { number, digest }, &[]);
    }

    /// The direct ping was not answered in time: three others try, and the host by the peer stream.
    fn ask_others(&mut self) {
        let Some(probe) = &mut self.probe else { return };
        probe.indirect_at = Instant::NEVER;
        let (target, number) = (probe.target, probe.number);
        let (table, own) = (&self.table, self.own);
        let wanted = |id: MemberId| {
            id != own && id != target && table.get(id).is_some_and(|row| row.verdict == Verdict::Alive)
        };
        let relays = self.roster.sample(RELAYS, &mut self.rng, wanted);
        probe.relays.clone_from(&relays);
        self.outputs.push_back(Output::StreamProbe { member: target, number });
        for relay in relays {
            let address = self.row(relay).description.address.clone();
            self.send(relay, &address, &Message::PingRequest { number, target }, &[]);
        }
    }

    fn probe_failed(&mut self, now: Instant, probe: &Probe) {
        self.counters.probes_failed += 1;
        self.health.worsen(probe.blame());
        let Some(member) = self.table.get(probe.target).filter(|member| member.verdict.is_here()) else {
            return;
        };
        let incarnation = member.incarnation;
        let is_new = member.verdict == Verdict::Alive;
        self.judge(now, probe.target, incarnation, Verdict::Suspect, Some(self.own));
        if is_new && !self.is_manual() {
            // The suspect hears it first: it has the most to say about it (Lifeguard's buddy system, §IV.C).
            let address = self.row(probe.target).description.address.clone();
            self.send(probe.target, &address, &Message::Gossip, &[]);
        }
    }

    /// The member of our probe is there.
    pub(super) fn probe_succeeded(&mut self, now: Instant, target: MemberId) {
        self.health.improve();
        if self.is_manual() && self.table.get(target).is_some() {
            self.revive(now, target);
        }
    }

    /// Somebody asks whether we are there.
    pub(super) fn answer(&mut self, from: MemberId, address: &[u8], to: MemberId, number: u32) {
        // Who asks whoever is there does not know who answers.
        let row = (to == ANYONE).then(|| self.own_row());
        self.send(from, address, &Message::Ack { number }, row.as_slice());
    }

    /// An answer, to our probe or to one that we make for another.
    pub(super) fn take_ack(&mut self, now: Instant, from: MemberId, number: u32) {
        if let Some(probe) = self.probe.take_if(|probe| probe.is_answered_by(from, number)) {
            return self.probe_succeeded(now, probe.target);
        }
        let answers = |relay: &Relay| relay.number == number && relay.target == from;
        if let Some(at) = self.relays.iter().position(answers) {
            let relay = self.relays.swap_remove(at);
            let number = relay.origin_number;
            self.send(relay.origin, &relay.origin_address, &Message::Ack { number }, &[]);
        }
    }

    /// Whom we asked to ping for us is there, and had no answer.
    pub(super) fn take_nack(&mut self, from: MemberId, number: u32) {
        if let Some(probe) = &mut self.probe
            && probe.number == number
            && probe.relays.contains(&from)
            && !probe.nacks.contains(&from)
        {
            probe.nacks.push(from);
        }
    }

    /// Pings a member for another one.
    pub(super) fn relay(
        &mut self,
        now: Instant,
        origin: MemberId,
        origin_address: &[u8],
        origin_number: u32,
        target: MemberId,
    ) {
        if target == self.own {
            return self.send(origin, origin_address, &Message::Ack { number: origin_number }, &[]);
        }
        if self.table.get(target).is_none() || self.relays.len() >= limits::GOSSIP_RELAYS_MAX {
            return self.send(origin, origin_address, &Message::Nack { number: origin_number }, &[]);
        }
        let number = self.next_number();
        let nack_at = now + self.config.timing.probe_timeout * NACK_SHARE.0 / NACK_SHARE.1;
        let origin_address = origin_address.to_vec();
        self.relays.push(Relay { number, target, origin, origin_address, origin_number, nack_at });
        self.ping(target, number);
    }

    /// Says that there was no answer.
    pub(super) fn end_relays(&mut self, now: Instant) {
        while let Some(at) = self.relays.iter().position(|relay| relay.nack_at <= now) {
            let relay = self.relays.swap_remove(at);
            let number = relay.origin_number;
            self.send(relay.origin, &relay.origin_address, &Message::Nack { number }, &[]);
        }
    }

    /// Tries a member that is down, now and then: after a partition both sides think so of each other, and
    /// nobody else would begin. It hears what is thought of it, and refutes.
    pub(super) fn reconnect(&mut self, now: Instant) {
        self.reconnect_at = now + self.config.timing.reconnect_interval;
        let down = self.table.down();
        if down.is_empty() || self.is_manual() || self.has_left {
            return;
        }
        let at = self.rng.below(down.len() as u64) as usize;
        let target = *down.iter().nth(at).expect("it is below the length");
        let number = self.next_number();
        self.ping(target, number);
    }

    /// Asks the next seed of which nobody is known to be there.
    pub(super) fn try_seed(&mut self, now: Instant) {
        let is_alone = self.table.here() <= 1;
        let timing = &self.config.timing;
        self.seed_at = now + if is_alone { timing.probe_interval } else { timing.seed_interval };
        let seeds = &self.config.seeds;
        if seeds.is_empty() || self.is_manual() || self.has_left {
            return;
        }
        let is_met = |seed: &Vec<u8>| {
            self.table.rows().any(|row| row.verdict.is_here() && row.description.address == *seed)
        };
        let unmet = (0..seeds.len()).map(|by| (self.seed + by) % seeds.len()).find(|&at| !is_met(&seeds[at]));
        let Some(at) = unmet else { return };
        let address = seeds[at].clone();
        self.seed = at + 1;
        let (number, digest) = (self.next_number(), self.table.digest());
        let row = self.own_row();
        self.send(ANYONE, &address, &Message::Ping { number, digest }, core::slice::from_ref(&row));
    }
}
