//! Who is there: SWIM (Das, Gupta, Motivala 2002) with Lifeguard (Dadgar, Phillips, Currey 2018), as a machine
//! without I/O. Liveness never edits a layout: a verdict says whom to use first, not who owns what.
//!
//! ```text
//!   handle_datagram   handle_stream_probe   handle_timeout
//!          │                   │                  │
//!   open, admit ───► rumours ► judge ◄──── probes, suspicions
//!   (message,        (rumor)   (verdicts,  (probing, suspicion)
//!    admission)                 table)            │
//!          │                   │                  ▼
//!          └──► repair      Changed          Send, StreamProbe      deadline()
//! ```
//!
//! Once a period each node pings one member, in a shuffled round. If no answer comes in time three others are
//! asked to ping it, and the host to ask over the peer stream; if that fails as well it is *suspect*. Everybody
//! hears of it, the suspect first; it refutes with a new incarnation, or is *down* when the time is over. The
//! time is long as long as one member accuses alone. News ride on the datagrams that are sent anyway, and on a
//! few more while there are any; tables that differ for longer are compared part by part.
//!
//! The contract is that of [`Node`](crate::proto::node::Node): bring bytes and time, drain
//! [`Gossip::poll_output`], come back at [`Gossip::deadline`].
//!
//! What is not promised: a datagram that was sent before this node started, and that it has not taken, can be
//! replayed to it once if its sender has not sent anything since. All it can bring is old news, which
//! incarnations make harmless.

mod admission;
pub mod config;
mod given;
mod health;
pub mod keyring;
pub mod member;
mod message;
pub mod output;
mod probe;
mod probing;
pub mod refusal;
mod repair;
mod replay;
mod rumor;
mod sending;
pub mod snapshot;
mod steady;
mod suspicion;
mod table;
mod verdicts;

use std::collections::{BTreeSet, VecDeque};

use crate::proto::error::ConfigError;
use crate::proto::io::MemberId;
use crate::proto::keys::ClusterKeys;
use crate::proto::limits;
use crate::proto::rng::Rng;
use crate::proto::time::{Instant, Now};

use config::{Config, Mode};
use health::Health;
use keyring::Keyring;
use member::{Incarnation, Member, Verdict};
pub use message::LayoutStamp;
use message::Message;
use output::{Alert, Output};
use probe::{Probe, Relay, Roster};
use refusal::{Refusal, Refusals};
use rumor::{Queue, Rumor};
use sending::Budget;
use table::Table;

/// The membership of one node.
#[derive(Debug)]
pub struct Gossip {
    config: Config,
    keys: ClusterKeys,
    own: MemberId,
    layout: LayoutStamp,
    rng: Rng,
    table: Table,
    roster: Roster,
    rumors: Queue,
    health: Health,
    probe: Option<Probe>,
    /// When the next probe begins, if none is under way.
    probe_at: Instant,
    relays: Vec<Relay>,
    /// Number of the last ping.
    number: u32,
    /// When rumours that wait are told without a reason of their own.
    gossip_at: Instant,
    reconnect_at: Instant,
    /// The seed to try next, and when.
    seed: usize,
    seed_at: Instant,
    /// When the host is asked to keep a snapshot.
    remember_at: Instant,
    repairs: Budget,
    /// No summary is sent before.
    compare_at: Instant,
    notices: Budget,
    /// Who is unsteady, to be told when it ends.
    unsteady: BTreeSet<MemberId>,
    /// Rule L3: these never come back.
    removed: BTreeSet<u64>,
    outputs: VecDeque<Output>,
    /// Counter of the last datagram.
    counter: u64,
    has_left: bool,
    /// When the host was here last.
    entered_at: Instant,
    refusals: Refusals,
    counters: Counters,
}

/// What membership counts beside refusals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Datagrams sent.
    pub datagrams_sent: u64,
    /// Their bytes, without what IP and UDP add.
    pub bytes_sent: u64,
    /// Datagrams taken.
    pub datagrams_taken: u64,
    /// Probes begun.
    pub probes: u64,
    /// Probes that nobody answered.
    pub probes_failed: u64,
    /// Members that answered over the stream alone: datagrams do not reach them, or come back.
    pub stream_only: u64,
    /// Suspicions of this node that it refuted.
    pub refuted: u64,
    /// Times that this node did not run when it should have.
    pub stalls: u64,
    /// Tables found different, and compared.
    pub repairs: u64,
}

impl Gossip {
    /// Membership as this node begins with it. `seed` feeds shuffles and samples only.
    ///
    /// # Errors
    /// What [`Config::check`] refuses.
    pub fn new(mut config: Config, keys: ClusterKeys, seed: u64, now: Now) -> Result<Gossip, ConfigError> {
        config.check()?;
        let own = keys.member_id(&config.name);
        let mut rng = Rng::new(seed);
        let mut table = Table::new(keys.hash);
        let mut roster = Roster::default();
        let incarnation = Incarnation { opens: config.boot.opens, bumps: 0 };
        table.insert(Member::new(own, config.description(), incarnation, Verdict::Alive));
        for known in core::mem::take(&mut config.members) {
            let id = keys.member_id(&known.description.name);
            if id != own {
                table.insert(Member::new(id, known.description, known.incarnation, Verdict::Alive));
                roster.add(id, &mut rng);
            }
        }
        let begins_at = now.mono + sending::within(&mut rng, config.timing.probe_interval);
        let mut gossip = Gossip {
            // One that is alone is woken by nothing until somebody is there.
            probe_at: if roster.is_empty() { Instant::NEVER } else { begins_at },
            own,
            layout: LayoutStamp::default(),
            table,
            roster,
            rumors: Queue::default(),
            health: Health::default(),
            probe: None,
            relays: Vec::new(),
            number: rng.next_u64() as u32,
            gossip_at: Instant::NEVER,
            reconnect_at: now.mono + config.timing.reconnect_interval,
            seed: 0,
            seed_at: now.mono,
            remember_at: Instant::NEVER,
            compare_at: now.mono,
            repairs: Budget::new(limits::GOSSIP_REPAIR_BURST, limits::GOSSIP_REPAIR_RATE, now.mono),
            notices: Budget::new(
                u64::from(limits::GOSSIP_NOTICES_MAX),
                u64::from(limits::GOSSIP_NOTICES_MAX),
                now.mono,
            ),
            unsteady: BTreeSet::new(),
            removed: BTreeSet::new(),
            outputs: VecDeque::new(),
            counter: 0,
            has_left: false,
            entered_at: now.mono,
            refusals: Refusals::default(),
            counters: Counters::default(),
            config,
            keys,
            rng,
        };
        let row = gossip.own_row();
        gossip.pass_on(now.mono, own, &row);
        Ok(gossip)
    }

    /// Takes a datagram that came from this address. Bad ones are counted, each by its reason, and change
    /// nothing; the host need not do anything about them.
    ///
    /// # Errors
    /// Why it was refused.
    pub fn handle_datagram(&mut self, now: Now, from: &[u8], bytes: &[u8]) -> Result<(), Refusal> {
        self.enter(now.mono);
        let taken = self.take_datagram(now.mono, from, bytes);
        match taken {
            Ok(()) => self.counters.datagrams_taken += 1,
            Err(refusal) => self.refusals.count(refusal),
        }
        taken
    }

    fn take_datagram(&mut self, now: Instant, from: &[u8], bytes: &[u8]) -> Result<(), Refusal> {
        let opened = message::open(bytes, self.keys.cluster_id, &self.config.keyring)?;
        self.admit(now, from, &opened)?;
        for rumor in &opened.rumors {
            self.hear(now, rumor);
        }
        let (sender, is_manual) = (opened.header.from, self.is_manual());
        match opened.message {
            Message::Ping { number, digest } => {
                self.answer(sender, from, opened.header.to, number);
                if !is_manual && digest != self.table.digest() {
                    self.compare(now, sender, from);
                }
            }
            Message::Ack { number } => self.take_ack(now, sender, number),
            Message::PingRequest { number, target } => self.relay(now, sender, from, number, target),
            Message::Nack { number } => self.take_nack(sender, number),
            Message::Notice { code, number } => {
                self.take_notice(now, sender, from, code, number, opened.header.layout);
            }
            Message::Summary(sums) if !is_manual => self.take_summary(now, sender, from, &sums),
            Message::Stamps { whole, stamps } if !is_manual => {
                self.take_stamps(now, sender, from, whole, &stamps);
            }
            Message::Want(ids) if !is_manual => self.take_want(now, sender, from, &ids),
            Message::Gossip | Message::Summary(_) | Message::Stamps { .. } | Message::Want(_) => {}
        }
        Ok(())
    }

    /// A member answered over its peer stream. A number that is not awaited any more is ignored.
    pub fn handle_stream_probe(&mut self, now: Now, number: u32) {
        self.enter(now.mono);
        if let Some(probe) = self.probe.take_if(|probe| probe.number == number) {
            self.counters.stream_only += 1;
            self.probe_succeeded(now.mono, probe.target);
        }
    }

    /// `deadline()` has come.
    pub fn handle_timeout(&mut self, now: Now) {
        let now = now.mono;
        self.enter(now);
        self.advance_probe(now);
        self.end_relays(now);
        self.end_suspicions(now);
        self.end_unsteadiness(now);
        if self.gossip_at <= now {
            self.spread(now);
        }
        if self.reconnect_at <= now {
            self.reconnect(now);
        }
        if self.seed_at <= now {
            self.try_seed(now);
        }
        if self.remember_at <= now {
            self.remember_at = Instant::NEVER;
            self.outputs.push_back(Output::Remember);
        }
    }

    /// The next thing to do, until `None`.
    pub fn poll_output(&mut self, _now: Now) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// When to call `handle_timeout` if nothing else happens.
    pub fn deadline(&self) -> Instant {
        let probe = self.probe.as_ref().map_or(self.probe_at, |probe| probe.indirect_at.min(probe.ends_at));
        let relays = self.relays.iter().map(|relay| relay.nack_at);
        let suspicions = self.table.suspects().iter().map(|&id| self.suspicion_ends(id));
        let unsteady = self.unsteady.iter().map(|&id| self.steady_at(id));
        let reconnect =
            if self.table.down().is_empty() || self.is_manual() { Instant::NEVER } else { self.reconnect_at };
        let asks_seeds = !self.config.seeds.is_empty() && !self.is_manual();
        let seed = if asks_seeds { self.seed_at } else { Instant::NEVER };
        let single = [probe, self.gossip_at, reconnect, seed, self.remember_at];
        let times = relays.chain(suspicions).chain(unsteady).chain(single);
        times.min().expect("there are five at least")
    }

    /// Notes that the host is here, and how late. A node that did not run (stopped, swapped out, a long turn)
    /// heard nobody meanwhile, so it gives everybody that time again, and trusts itself less.
    fn enter(&mut self, now: Instant) {
        let due = self.deadline().max(self.entered_at);
        self.entered_at = self.entered_at.max(now);
        let late = now.since(due);
        if late <= self.config.timing.stall {
            return;
        }
        self.counters.stalls += 1;
        self.health.worsen(u32::try_from(1 + late.as_secs()).unwrap_or(u32::MAX));
        let (timeout, interval) = self.probe_times();
        if let Some(probe) = &mut self.probe {
            probe.restart(now, timeout, interval);
        }
        for id in self.table.suspects().clone() {
            let member = self.table.get_mut(id).expect("a suspect has its row");
            member.suspicion.as_mut().expect("a suspect has its suspicion").prolong(late);
        }
    }

    /// The layout in force here; every datagram names it from now on.
    pub fn set_layout(&mut self, layout: LayoutStamp) {
        self.layout = layout;
        for id in self.table.rows().map(|member| member.id).collect::<Vec<_>>() {
            self.table.get_mut(id).expect("it was listed").layout = 0;
        }
    }

    /// Rule L3: this generation was removed from the cluster and is refused from now on.
    pub fn remove_generation(&mut self, generation: u64) {
        if self.removed.len() < limits::GENERATIONS_REMOVED_MAX {
            self.removed.insert(generation);
        }
        let gone = |member: &&Member| member.description.generation == generation && member.id != self.own;
        for id in self.table.rows().filter(gone).map(|member| member.id).collect::<Vec<_>>() {
            self.forget(id);
        }
    }

    /// Drops a member that the layout does not have any more. If it lives on it will be heard of again.
    pub fn forget(&mut self, id: MemberId) {
        if id != self.own {
            self.table.remove(id);
            self.rumors.forget(id);
            self.unsteady.remove(&id);
        }
    }

    /// Says that this node goes. Drain and keep running until [`Gossip::is_told`], or for a second or two.
    pub fn leave(&mut self, now: Now) {
        self.has_left = true;
        let incarnation = self.row(self.own).incarnation;
        self.table.set(self.own, incarnation, Verdict::Left);
        let word = Rumor::Word { id: self.own, verdict: Verdict::Left, incarnation, accuser: None };
        self.pass_on(now.mono, self.own, &word);
        self.probe = None;
        self.probe_at = Instant::NEVER;
        self.spread(now.mono);
    }

    /// Whether everything that this node had to tell was told as often as it should.
    pub fn is_told(&self) -> bool {
        self.rumors.is_empty()
    }

    /// Asks for a member to be probed at once: a request to it went unanswered.
    pub fn probe_soon(&mut self, now: Now, id: MemberId) {
        let known = self.table.get(id).is_some_and(|member| member.verdict.is_here());
        if id != self.own && known && self.probe.is_none() && !self.has_left {
            self.begin_probe(now.mono, id);
        }
    }

    /// The keys for datagrams, to add, use and remove.
    pub fn keyring_mut(&mut self) -> &mut Keyring {
        &mut self.config.keyring
    }

    /// This node.
    pub const fn own(&self) -> MemberId {
        self.own
    }

    /// All members that are known, this node included, by id.
    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.table.rows()
    }

    /// What is known of a member.
    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.table.get(id)
    }

    /// Sum over the table: equal on nodes that know the same.
    pub fn digest(&self) -> u64 {
        self.table.digest()
    }

    /// The local health score: 0 is well; timeouts are `score + 1` times as long.
    pub const fn health(&self) -> u32 {
        self.health.score()
    }

    /// What was counted.
    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// What was refused.
    pub const fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// The members to begin with after a restart ([`snapshot::decode`]), this one and those that left excepted.
    pub fn snapshot(&self) -> Vec<u8> {
        let others: Vec<_> = self
            .table
            .rows()
            .filter(|member| member.id != self.own && member.verdict != Verdict::Left)
            .map(|member| (&member.description, member.incarnation))
            .collect();
        snapshot::encode(others.into_iter())
    }

    fn is_manual(&self) -> bool {
        self.config.mode == Mode::Manual
    }

    /// The row of a member that must be there.
    fn row(&self, id: MemberId) -> &Member {
        self.table.get(id).expect("the row is there")
    }

    /// Tells the host, unless it was told something about this member a short while ago.
    fn alert(&mut self, now: Instant, about: MemberId, alert: Alert) {
        const QUIET: core::time::Duration = core::time::Duration::from_secs(60);
        if let Some(member) = self.table.get_mut(about) {
            if member.quiet_until > now {
                return;
            }
            member.quiet_until = now + QUIET;
        }
        self.outputs.push_back(Output::Alert(alert));
    }
}

#[cfg(test)]
mod tests;
