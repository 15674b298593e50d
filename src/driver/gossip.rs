//! Detector over its socket: datagrams in and out, its timers, what it wants known.
//!
//! The machine of [`proto::gossip`](crate::proto::gossip) decides everything. Here its addresses are the text
//! `ip:port`, and it may be as wrong about them as it likes: a datagram that cannot be sent is a datagram that
//! was lost. What it wants asked over a peer stream goes through the node, whose streams those are.
//!
//! In a cluster whose list is given each node probes that list for itself. With seeds, members find each other
//! and are remembered for the next start. Nothing here changes a layout or whom requests are sent to.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;

use mio::{Registry, Token};

use super::datagrams::Datagrams;
use super::handle::LoopWaker;
use super::host_disk::Errands;
use super::known_members::{self, Keeper};
use super::limits::DATAGRAMS_PER_TURN;
use super::log::{Level, Logger};
use super::options::OpenError;
use crate::proto::cluster::Topology;
use crate::proto::config::MemberSpec;
use crate::proto::gossip::config::{Config, Mode, Timing};
use crate::proto::gossip::keyring::Keyring;
use crate::proto::gossip::member::{Boot, Verdict};
use crate::proto::gossip::output::{Alert, Change, Output};
use crate::proto::gossip::{Gossip, LayoutStamp};
use crate::proto::io::{MemberId, Met};
use crate::proto::keys::ClusterKeys;
use crate::proto::limits::GOSSIP_DATAGRAM_MAX;
use crate::proto::node::{Node, Status};
use crate::proto::store::{Identity, Store};
use crate::proto::time::{Instant, Now};

/// What membership begins with.
pub(super) struct Start<'a> {
    pub(super) keys: &'a ClusterKeys,
    /// This member's name.
    pub(super) name: &'a str,
    /// Where others reach it.
    pub(super) address: SocketAddr,
    /// Its zone, by name.
    pub(super) zone: &'a str,
    /// Its data directory, in this opening.
    pub(super) identity: &'a Identity,
    /// The list of members is given, and each looks after it for itself.
    pub(super) is_listed: bool,
    /// The keys of datagrams, where they are not left to the cluster's secret.
    pub(super) keyring: Option<&'a Keyring>,
    /// Addresses to ask for the cluster.
    pub(super) seeds: &'a [SocketAddr],
    /// Where known members are kept; `None` if nothing is.
    pub(super) directory: Option<&'a Path>,
    /// Where a host carries out what waits for the disk, if it does.
    pub(super) errands: Option<&'a Errands>,
    /// Feeds shuffles and samples.
    pub(super) seed: u64,
}

/// The membership of a node, with its socket.
pub(super) struct Detector {
    gossip: Gossip,
    keys: ClusterKeys,
    datagrams: Datagrams,
    keeper: Option<Keeper>,
    is_manual: bool,
    /// This node knows no topology yet.
    is_guest: bool,
    /// The probe that was last asked for over a peer stream; nobody else can answer it.
    asked: Option<(MemberId, u32)>,
    /// It was told something, and may want something done.
    pending: bool,
    /// When it must be called; looked up again after each drain.
    deadline: Instant,
    counters: Counters,
    /// Generations that membership was told never to take back.
    removed: BTreeSet<u64>,
    /// No datagram comes or goes, for a test.
    pub(super) is_isolated: bool,
    /// Why datagrams cannot be sent, so that each reason is logged once.
    trouble: Option<std::io::ErrorKind>,
}

/// What datagrams say of a topology.
pub(super) fn stamp(topology: &Topology) -> LayoutStamp {
    let (era, version) = (topology.era() as u32, topology.version() as u32);
    LayoutStamp { era, version, hash: topology.hash() }
}

/// What the socket counts; the rest the machine does.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    received: u64,
    bytes_received: u64,
    unsent: u64,
}

impl Detector {
    /// Detector over a bound socket.
    ///
    /// # Errors
    /// A setting is wrong.
    pub(super) fn new(
        datagrams: Datagrams,
        start: &Start<'_>,
        waker: LoopWaker,
        log: &Logger,
        now: Now,
    ) -> Result<Detector, OpenError> {
        let is_manual = start.is_listed;
        let kept = start.directory.filter(|_| !is_manual);
        let config = Config {
            name: start.name.to_owned(),
            address: text(start.address),
            zone: zone_number(start.keys, start.zone),
            generation: start.identity.generation,
            boot: boot(start.identity.opens, start.identity.nonce),
            keyring: start.keyring.cloned().unwrap_or_else(|| Keyring::new(start.keys.gossip)),
            mode: if is_manual { Mode::Manual } else { Mode::Gossip },
            members: kept.map(|directory| known_members::read(directory, log)).unwrap_or_default(),
            seeds: start.seeds.iter().copied().map(text).collect(),
            timing: Timing::default(),
        };
        let gossip = Gossip::new(config, start.keys.clone(), start.seed, now)?;
        Ok(Detector {
            deadline: gossip.deadline(),
            gossip,
            keys: start.keys.clone(),
            datagrams,
            keeper: kept.map(|directory| Keeper::new(directory.to_owned(), waker, start.errands.cloned())),
            is_manual,
            is_guest: false,
            asked: None,
            pending: false,
            counters: Counters::default(),
            removed: BTreeSet::new(),
            is_isolated: false,
            trouble: None,
        })
    }

    /// Puts the socket under the poll's eyes.
    pub(super) fn register(&mut self, registry: &Registry, token: usize) -> std::io::Result<()> {
        self.datagrams.register(registry, Token(token))
    }

    /// The members of the layout in force, with the address of each that has one. Where the list decides who
    /// is a member, all others are forgotten.
    pub(super) fn set_members<'m>(
        &mut self,
        now: Now,
        members: impl Iterator<Item = (&'m MemberSpec, Option<SocketAddr>)>,
    ) {
        let mut listed = Vec::new();
        for (member, address) in members {
            listed.push(self.keys.member_id(&member.name));
            if let Some(address) = address {
                self.set_member(now, &member.name, address, &member.zone);
            }
        }
        if self.is_manual {
            let gone = |id: &MemberId| !listed.contains(id);
            for id in self.gossip.members().map(|member| member.id).filter(gone).collect::<Vec<_>>() {
                self.forget(id);
            }
        }
    }

    /// The topology in force: who are members, with which directories, and which of these never come back.
    pub(super) fn follow(&mut self, now: Now, topology: &Topology) {
        self.is_guest = topology.version() == 0;
        self.gossip.set_layout(stamp(topology));
        for member in topology.members() {
            let known = self.gossip.member(member.id).map(|row| row.description.generation);
            if known.is_some_and(|known| ![0, member.generation].contains(&known)) {
                // What was known is of the directory before.
                self.forget(member.id);
            }
            if let Ok(address) = member.address.parse() {
                self.set_member(now, &member.name, address, &member.zone);
            }
        }
        for &generation in topology.removed() {
            if self.removed.insert(generation) {
                self.gossip.remove_generation(generation);
            }
        }
    }

    /// Says where a member is.
    pub(super) fn set_member(&mut self, now: Now, name: &str, address: SocketAddr, zone: &str) {
        let zone = zone_number(&self.keys, zone);
        self.gossip.set_member(now, name, &text(address), zone);
        self.pending = true;
    }

    /// Drops a member that the layout does not have any more.
    pub(super) fn forget(&mut self, id: MemberId) {
        self.gossip.forget(id);
        self.pending = true;
    }

    /// Datagrams may wait at the socket.
    pub(super) fn handle_event(&mut self) {
        self.datagrams.readable = true;
    }

    /// Takes up to so many datagrams, and no more than a turn's share.
    pub(super) fn read_ready(&mut self, now: Now, buffer: &mut [u8], budget: usize) {
        for _ in 0..DATAGRAMS_PER_TURN.min(budget) {
            if !self.datagrams.readable {
                return;
            }
            // What does not fit into one byte more is cut, and refused as too long.
            let room = &mut buffer[..=GOSSIP_DATAGRAM_MAX];
            let Some((length, from)) = self.datagrams.receive(room) else { return };
            if self.is_isolated {
                continue;
            }
            self.counters.received += 1;
            self.counters.bytes_received += length as u64;
            // The machine counts what it refuses; whoever sent it hears nothing.
            let _ = self.gossip.handle_datagram(now, &text(from), &buffer[..length]);
            self.pending = true;
        }
    }

    /// Does what time has come for.
    pub(super) fn handle_timers(&mut self, now: Now, log: &Logger) {
        if now.mono >= self.deadline {
            self.gossip.handle_timeout(now);
            self.pending = true;
        }
        if let Some(keeper) = &mut self.keeper {
            keeper.look(log);
        }
    }

    /// A member answered a probe over its peer stream.
    pub(super) fn handle_probed(&mut self, now: Now, from: MemberId, number: u32) {
        if self.asked.take_if(|asked| *asked == (from, number)).is_some() {
            self.gossip.handle_stream_probe(now, number);
            self.pending = true;
        }
    }

    /// A member has introduced itself on its peer stream.
    pub(super) fn handle_met(&mut self, now: Now, met: &Met) {
        self.gossip.handle_met(now, met.member, met.generation, boot(met.opens, met.boot));
        self.pending = true;
    }

    /// A member's stream broke: it is worth to look at once whether it is there.
    pub(super) fn probe_soon(&mut self, now: Now, id: MemberId) {
        self.gossip.probe_soon(now, id);
        self.pending = true;
    }

    /// Whether something can be done without waiting for an event or a timer.
    pub(super) fn has_work(&self) -> bool {
        self.pending || self.datagrams.readable
    }

    /// When [`Detector::handle_timers`] has something to do.
    pub(super) fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Carries out what the machine wants done. True if it was told something since the last time, so that
    /// the node may have frames to send.
    pub(super) fn drain<S: Store>(&mut self, now: Now, node: &mut Node<S>, log: &Logger) -> bool {
        if !core::mem::take(&mut self.pending) {
            return false;
        }
        while let Some(output) = self.gossip.poll_output(now) {
            match output {
                Output::Send { to, bytes } => self.send(&to, &bytes, log),
                Output::StreamProbe { member, number } => {
                    self.asked = Some((member, number));
                    node.probe(member, number);
                }
                Output::Changed(change) => {
                    node.avoid(change.member, change.to != Verdict::Alive || change.unsteady);
                    self.tell_change(&change, log);
                }
                Output::LayoutDiffers { member, theirs } => {
                    let (name, LayoutStamp { version, hash, .. }) = (self.name(member), theirs);
                    let what = format_args!("{name} has another layout: version {version}, hash {hash:016x}");
                    // Where layouts change, somebody is always a moment ahead.
                    log.log(if self.is_manual { Level::Warn } else { Level::Debug }, "gossip", what);
                }
                // Who has no topology yet is in no era.
                Output::Alert(Alert::EraOver(_)) if self.is_guest => {}
                // That is what its operator asked for, and the loop tells it once it is so.
                Output::Alert(Alert::Removed(id)) if id == self.gossip.own() && is_going(node) => {}
                Output::Alert(alert) => {
                    log.log(Level::Error, "gossip", format_args!("{}", self.tell(&alert)))
                }
                Output::Remember => {
                    if let Some(keeper) = &mut self.keeper {
                        keeper.keep(self.gossip.snapshot(), log);
                    }
                }
            }
        }
        self.deadline = self.gossip.deadline();
        true
    }

    fn send(&mut self, to: &[u8], bytes: &[u8], log: &Logger) {
        if self.is_isolated {
            return;
        }
        let address = core::str::from_utf8(to).ok().and_then(|text| text.parse().ok());
        let sent = match address {
            Some(address) => self.datagrams.send(address, bytes).map_err(|error| error.kind()),
            None => Err(std::io::ErrorKind::InvalidInput),
        };
        match sent {
            Ok(()) => self.trouble = None,
            Err(kind) => {
                self.counters.unsent += 1;
                if self.trouble.replace(kind) != Some(kind) {
                    let to = String::from_utf8_lossy(to);
                    log.log(Level::Debug, "gossip", format_args!("no datagram reaches {to}: {kind}"));
                }
            }
        }
    }

    /// The name of a member.
    fn name(&self, id: MemberId) -> String {
        self.gossip.member(id).map_or_else(|| format!("{:016x}", id.0), |row| row.description.name.clone())
    }

    fn tell_change(&self, change: &Change, log: &Logger) {
        let (level, what) = match (change.from, change.to) {
            (_, Verdict::Alive) if change.unsteady => {
                (Level::Warn, "is back, and unsteady: it comes and goes")
            }
            (Some(before), now) if before == now => (Level::Info, "is steady again"),
            (None, Verdict::Alive) if self.is_manual => (Level::Debug, "is in the list"),
            (None, Verdict::Alive) => (Level::Info, "is a member"),
            (Some(_), Verdict::Alive) => (Level::Info, "is alive"),
            (_, Verdict::Suspect) => (Level::Info, "does not answer: it is suspected"),
            (_, Verdict::Down) => (Level::Warn, "is down"),
            (_, Verdict::Left) => (Level::Info, "has left"),
        };
        log.log(level, "gossip", format_args!("{} {what}", self.name(change.member)));
    }

    fn tell(&self, alert: &Alert) -> String {
        let own = self.gossip.own();
        match *alert {
            Alert::Twin(id) if id == own => {
                "another live process has this node's name and a copy of its data directory".to_owned()
            }
            Alert::Twin(id) => {
                let name = self.name(id);
                format!("two live processes are {name}: one runs over a copy of the data directory")
            }
            Alert::SharedGeneration(one, other) => {
                let (one, other) = (self.name(one), self.name(other));
                format!("{one} and {other} have copies of one data directory")
            }
            Alert::Removed(id) if id == own => {
                "this node's directory was removed from the cluster: it must not serve".to_owned()
            }
            Alert::Removed(id) => format!("the directory of {} was removed from the cluster", self.name(id)),
            Alert::EraOver(stamp) => format!("this node's era is over: a member is in era {}", stamp.era),
        }
    }

    /// Adds verdicts and counters to what the node knows of itself.
    pub(super) fn add_to(&self, status: &mut Status, now: Now) {
        for member in &mut status.members {
            if let Some(row) = self.gossip.member(self.keys.member_id(&member.name)) {
                member.verdict = Some(row.verdict());
                member.unsteady = row.is_unsteady(now.mono);
            }
        }
        let (own, counters) = (self.counters, self.gossip.counters());
        status.counters.extend([
            ("gossip_datagrams_sent", counters.datagrams_sent),
            ("gossip_bytes_sent", counters.bytes_sent),
            ("gossip_datagrams_unsent", own.unsent),
            ("gossip_datagrams_received", own.received),
            ("gossip_bytes_received", own.bytes_received),
            ("gossip_datagrams_taken", counters.datagrams_taken),
            ("gossip_probes", counters.probes),
            ("gossip_probes_failed", counters.probes_failed),
            ("gossip_stream_only", counters.stream_only),
            ("gossip_refuted", counters.refuted),
            ("gossip_stalls", counters.stalls),
            ("gossip_repairs", counters.repairs),
            ("gossip_health", u64::from(self.gossip.health())),
        ]);
        status.counters.extend(self.gossip.refusals().named());
    }
}

/// An address as membership knows it.
fn text(address: SocketAddr) -> Vec<u8> {
    address.to_string().into_bytes()
}

/// An opening of a data directory as membership knows it; random bits of 0 would say that they are not known.
fn boot(opens: u64, nonce: u64) -> Boot {
    Boot { opens: u32::try_from(opens).unwrap_or(u32::MAX), nonce: (nonce as u32).max(1) }
}

/// Whether a node has left as its operator asked, or is about to: others may know sooner than it that it has.
fn is_going<S: Store>(node: &Node<S>) -> bool {
    node.has_left() || node.topology().leaves(node.id(), node.store().identity().generation)
}

/// A zone as membership knows it: the same on every node, and 0 for none.
fn zone_number(keys: &ClusterKeys, zone: &str) -> u32 {
    if zone.is_empty() { 0 } else { (keys.placement.hash64(&[b"zone\0", zone.as_bytes()]) as u32).max(1) }
}
