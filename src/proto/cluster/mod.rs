//! The cluster: who is a member, who holds what, and how that changes without losing anything.
//!
//! ```text
//!  operator ──order──► orders ──step──► register ──questions──► keepers        topology, change, steps: what is
//!  guest ─────join──┘     ▲                │ committed, on disk                decided, and what may follow on it
//!                      steward             ▼
//!  members ──progress──┘               topology in force ──► routes, requests in flight, transfers
//! ```
//!
//! A [`Topology`] is followed only when it is committed and on this node's disk. Who learns of a later one, by a
//! push or by the version that every frame carries, follows that. The steward is whichever keeper sees first
//! that the next step of a transition is safe: if two do, the register takes one.

mod change;
mod joining;
mod moves;
mod orders;
mod overview;
mod register;
mod steps;
mod steward;
#[cfg(test)]
mod tests;
mod topology;

use std::collections::{BTreeMap, VecDeque};

pub use change::Change;
pub use orders::Order;
pub use overview::{Headway, Phase, why_not};
pub use topology::{STAGED_MAX, Topology};

use orders::{Asker, Orders, Pending, Step};
use register::{End, Register};

use super::config::{Config, Membership};
use super::error::{ConfigError, Outcome};
use super::io::{MemberId, Reply, RequestId};
use super::keepers::{Answer, Ask, Seat};
use super::keys::ClusterKeys;
use super::limits;
use super::message::{LEVEL, Message, Progress};
use super::peers::Peers;
use super::replica::Replica;
use super::ring::Layout;
use super::rng::Rng;
use super::store::{Note, Store};
use super::time::{Instant, Now};

/// How often a guest asks to join, and members say how far they have come.
const REPEAT: core::time::Duration = core::time::Duration::from_secs(1);

/// The cluster as one node follows it.
#[derive(Debug)]
pub struct Cluster {
    topology: Topology,
    register: Register,
    orders: Orders,
    /// What members last said of their progress, where this node is a keeper.
    reports: BTreeMap<MemberId, Progress>,
    /// This node's own.
    own: Progress,
    /// Members that something is new to, in the layout to come.
    receivers: Vec<MemberId>,
    /// When progress is told again, or this node asks again for what it lacks.
    repeat_at: Instant,
    /// This node is no member, or another than the topology says, and wants that to change.
    wants_in: bool,
    /// A peer follows a later topology than this node.
    is_behind: bool,
    /// When this keeper may take the next step, if none before it does.
    steward_at: Instant,
    /// The topology that lets this directory in, until it can be followed.
    letting_in: Option<joining::LettingIn>,
    /// Why this node cannot be what it wants to be, for the operator.
    refusal: Option<String>,
    /// This node was a member and has left, as it was asked to.
    has_left: bool,
    /// For operators.
    pub counters: ClusterCounters,
}

/// Counters of the cluster, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClusterCounters {
    /// Topologies followed since the start.
    pub followed: u64,
    /// Topologies of a version that was known otherwise: two clusters, or a fork.
    pub forks: u64,
    /// Steps of transitions that this node proposed as a keeper.
    pub steps: u64,
}

/// How the cluster is, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overview {
    /// Whether keepers decide its topology; else its members are a given list.
    pub is_kept: bool,
    /// The era.
    pub era: u64,
    /// The topology's version, and its hash.
    pub version: u64,
    /// See `version`.
    pub hash: u64,
    /// Partitions of the cluster.
    pub partitions: u32,
    /// The rule about zones, where an operator has made one.
    pub max_per_zone: Option<u8>,
    /// The version of the layout that reads are on, and its hash.
    pub layout: u64,
    /// See `layout`.
    pub layout_hash: u64,
    /// The version of the layout to come, while the cluster moves.
    pub next: Option<u64>,
    /// Reads are on the layout to come.
    pub is_flipped: bool,
    /// Names of the keepers.
    pub keepers: Vec<String>,
    /// What is staged.
    pub staged: Vec<Change>,
    /// Why this node is not what it wants to be.
    pub refusal: Option<String>,
    /// All members, by name.
    pub members: Vec<MemberView>,
    /// The layouts that a plan compares: what is in force, and what is staged.
    pub plan: Option<Box<(Layout, Layout)>>,
    /// The name of the plan, to commit it by.
    pub plan_hash: u64,
    /// With a plan: bytes of each partition that this node holds whole, by partition; `None` for the others.
    pub partition_bytes: Vec<Option<u64>>,
    /// Bytes a second that a member takes of what moves to it, as this node is set; 0 for no limit.
    pub transfer_rate: u64,
}

/// One member in an [`Overview`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// Its peer address.
    pub address: String,
    /// Its zone.
    pub zone: String,
    /// Its weight.
    pub weight: u32,
    /// The generation it is bound to; 0 if it is not.
    pub generation: u64,
    /// Whether it is a member before and after the transition: joining has only the second, leaving the first.
    pub before: bool,
    /// See `before`.
    pub after: bool,
    /// Whether this node reaches it.
    pub is_up: bool,
    /// Partitions it holds in the layout that reads are on, and in the latest.
    pub partitions: (u32, u32),
    /// Partitions that are new to it, while the cluster copies.
    pub receives: u32,
    /// What it last said of its progress; known to keepers only.
    pub progress: Option<Progress>,
}

/// The parts of a node that the cluster works on, borrowed for the length of a call.
pub struct Scene<'a, S: Store> {
    /// What time it is.
    pub now: Now,
    /// The settings.
    pub config: &'a Config,
    /// The cluster's keys.
    pub keys: &'a ClusterKeys,
    /// This node.
    pub own: MemberId,
    /// The others.
    pub peers: &'a mut Peers,
    /// Our own copy, with its store.
    pub replica: &'a mut Replica<S>,
    /// Draws.
    pub rng: &'a mut Rng,
    /// Replies to clients of this node.
    pub replies: &'a mut VecDeque<(RequestId, Reply)>,
}

impl Cluster {
    /// As a node finds it: in its store, or by its settings.
    ///
    /// # Errors
    /// What is in the store cannot be read.
    pub fn open<S: Store>(
        config: &Config,
        keys: &ClusterKeys,
        store: &mut S,
        now: Now,
    ) -> Result<Cluster, ConfigError> {
        let fail = |problem: String| ConfigError { setting: "data", problem };
        let kept = store.note(Note::Topology);
        let topology = if !kept.is_empty() {
            Topology::decode(kept, keys).map_err(|error| fail(format!("the topology kept there: {error}")))?
        } else {
            match config.membership {
                Membership::Listed => Topology::manual(Layout::first(config, keys)),
                Membership::Founded => {
                    let mut config = config.clone();
                    let own = config.members.iter_mut().find(|member| member.name == config.name);
                    own.expect("it is in the list").generation = store.identity().generation;
                    let topology = Topology::found(&config, keys);
                    store.keep(Note::Topology, topology.encode());
                    topology
                }
                Membership::Joined | Membership::Client => Topology::none(config, keys),
            }
        };
        let register = Register::open(store, topology.era())
            .map_err(|error| fail(format!("the votes kept there: {error}")))?;
        Ok(Cluster {
            register,
            orders: Orders::default(),
            reports: BTreeMap::new(),
            own: Progress::default(),
            receivers: topology.receivers(config),
            topology,
            repeat_at: now.mono,
            is_behind: false,
            wants_in: config.membership != Membership::Listed,
            steward_at: Instant::NEVER,
            letting_in: None,
            refusal: None,
            has_left: false,
            counters: ClusterCounters::default(),
        })
    }

    /// Whether nothing waits for anything.
    pub fn is_idle(&self) -> bool {
        !self.is_moving() && self.register.is_idle() && self.orders.len() == 0 && self.letting_in.is_none()
    }

    /// Why this node is not what it wants to be.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Whether this node was a member and has left, as it was asked to. Known only to the process that saw it: the
    /// next one finds a directory that does not return.
    pub fn has_left(&self) -> bool {
        self.has_left
    }

    /// Whether the topology has a step before it that the cluster takes by itself.
    fn is_moving(&self) -> bool {
        self.topology.next().is_some() || (self.topology.is_kept() && self.topology.level() < LEVEL)
    }

    /// What this node last said of its progress.
    pub fn progress(&self) -> Progress {
        self.own
    }

    /// The topology in force.
    pub fn topology(&self) -> &Topology {
        &self.topology
    }

    /// An order of a client; its reply follows, now or later.
    pub fn order<S: Store>(&mut self, scene: &mut Scene<'_, S>, id: RequestId, order: &Order) {
        let step = match order {
            Order::Look | Order::Plan => {
                let mut reply = Reply::bare(Outcome::Ok);
                let mut overview = self.overview(scene);
                if *order == Order::Plan {
                    match self.topology.plan(scene.keys) {
                        Ok(planned) => {
                            overview.plan_hash = self.topology.plan_hash(&planned, scene.keys);
                            overview.plan = Some(Box::new((self.topology.latest().clone(), planned)));
                            overview.partition_bytes = self.partition_bytes(scene);
                        }
                        Err(why) => reply.outcome = Outcome::BadArgument(why.into()),
                    }
                }
                reply.overview = Some(Box::new(overview));
                scene.replies.push_back((id, reply));
                return;
            }
            Order::Stage(change) => Step::Stage(change.clone()),
            Order::Unstage => Step::Unstage,
            Order::Commit(plan) => Step::Commit(*plan),
            Order::Revert => Step::Revert,
            Order::ForceKeepers => return self.force_keepers(scene, id),
        };
        let until = scene.now.mono + limits::ORDER_DEADLINE;
        self.orders.add(Pending { asker: Asker::Client(id), step, until });
        self.carry_on(scene);
    }

    /// A question to this node as a keeper.
    pub fn take_ask<S: Store>(&mut self, scene: &mut Scene<'_, S>, from: u16, id: u64, bytes: &[u8]) {
        let Ok(ask) = Ask::decode(bytes) else { return };
        self.register.vote(scene.replica.store_mut(), from, id, &ask);
        self.carry_on(scene);
    }

    /// A keeper's answer.
    pub fn take_answer<S: Store>(&mut self, scene: &mut Scene<'_, S>, from: u16, bytes: &[u8]) {
        let Ok(answer) = Answer::decode(bytes) else { return };
        let keeper = scene.peers.peer(from).id;
        self.register.answered(scene.replica.store_mut(), keeper, answer, scene.now.mono);
        self.carry_on(scene);
    }

    /// A topology that a peer knows to be committed.
    pub fn take_topology<S: Store>(&mut self, scene: &mut Scene<'_, S>, from: u16, bytes: &[u8]) {
        let topology = match Topology::decode(bytes, scene.keys) {
            Ok(topology) => topology,
            Err(error) => {
                self.refusal = Some(format!("what a peer follows cannot be: {error}"));
                return;
            }
        };
        let peer = scene.peers.peer_mut(from);
        peer.version = peer.version.max(topology.version());
        if let Err(why) = self.is_ours(scene.config, &topology) {
            self.counters.forks += 1;
            self.refusal = Some(why);
            return;
        }
        self.learn(scene, topology);
    }

    /// Whether a topology may follow on the one in force, as far as can be told.
    fn is_ours(&self, config: &Config, topology: &Topology) -> Result<(), String> {
        let ours = &self.topology;
        if ours.version() > 0 && !ours.is_kept() {
            return Err("a peer's cluster can grow, and this one's members are a list".into());
        }
        let (theirs, partitions) = (topology.current().partitions(), ours.current().partitions());
        // Who holds nothing takes what it finds.
        if theirs != partitions && config.membership != Membership::Client {
            return Err(format!(
                "the cluster has {theirs} partitions, and this node was started with {partitions}; start it with \
                 --partitions {theirs} over an empty directory"
            ));
        }
        if topology.era() < ours.era() {
            return Err(format!(
                "a peer follows era {} of the cluster, which is over: this is era {}",
                topology.era(),
                ours.era()
            ));
        }
        if topology.version() == ours.version() && topology.hash() != ours.hash() {
            return Err(format!(
                "a fork: a peer follows another topology of version {}; this node stays on its own",
                ours.version()
            ));
        }
        // One history leads from ours to any later one: who was a member is still, or was removed, and not all who
        // were let in and never held anything are forgotten at once.
        let members = topology.members();
        let is_known = |generation: u64| {
            topology.has_removed(generation) || members.iter().any(|member| member.generation == generation)
        };
        if ours.version() > 0 && !ours.members().iter().any(|member| is_known(member.generation)) {
            return Err(
                "this node belongs to another cluster than a peer of the same name: to join that one, start it \
                 with --join over an empty directory"
                    .into(),
            );
        }
        Ok(())
    }

    /// What a member says of its progress.
    pub fn take_progress<S: Store>(&mut self, scene: &mut Scene<'_, S>, from: u16, progress: Progress) {
        let id = scene.peers.peer(from).id;
        if self.topology.member(id).is_some() {
            self.reports.insert(id, progress);
            self.carry_on(scene);
        }
    }

    /// How far this node has come with the partitions that are new to it.
    pub fn set_progress<S: Store>(&mut self, scene: &mut Scene<'_, S>, total: u32, open: u32, bytes: u64) {
        let before = self.own;
        let generation = scene.replica.identity().generation;
        self.own = Progress { version: self.topology.version(), generation, total, open, bytes };
        if self.own != before && self.topology.is_kept() {
            // Bytes alone are told with the next repetition.
            if (before.version, before.open) != (self.own.version, self.own.open) {
                self.tell_progress(scene);
            }
            self.reports.insert(scene.own, self.own);
            self.carry_on(scene);
        }
    }

    fn tell_progress<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        for seat in self.topology.keepers() {
            if seat.member != scene.own {
                let slot = scene.peers.meet(seat.member);
                scene.peers.send(slot, 0, &Message::Progress(self.own));
            }
        }
    }

    /// Does what can be done now: votes that are on disk leave, orders begin, and the steward takes its step.
    pub fn carry_on<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        self.be_let_in(scene);
        for _ in 0..limits::MEMBERS_MAX {
            let (store, now) = (scene.replica.store_mut(), scene.now.mono);
            self.register.carry_on(store, scene.peers, scene.own, now);
            if let Some((end, topology)) = self.register.take_end(scene.keys) {
                self.end_attempt(scene, end, topology);
                continue;
            }
            if self.register.is_busy() {
                return;
            }
            self.consider(scene);
            let Some(pending) = self.orders.first() else { return };
            match pending.step.apply(&self.topology, scene.keys) {
                Ok(Some(wanted)) if !self.may_seat(scene, &wanted) => {
                    let needed = wanted.keepers().len() as u8 / 2 + 1;
                    let pending = self.orders.take_first().expect("it was just there");
                    self.tell(scene, pending.asker, Outcome::NotEnoughReplicas { reachable: 0, needed });
                }
                Ok(Some(wanted)) => {
                    self.orders.note_begun(&wanted);
                    let store = scene.replica.store_mut();
                    self.register.begin(store, scene.own, &self.topology, wanted, now);
                }
                Ok(None) => {
                    let pending = self.orders.take_first().expect("it was just there");
                    self.tell(scene, pending.asker, Outcome::Ok);
                }
                Err(why) => {
                    let was_finished = self.orders.was_finished(&self.topology);
                    let outcome = if was_finished { Outcome::Ok } else { Outcome::BadArgument(why.into()) };
                    let pending = self.orders.take_first().expect("it was just there");
                    self.tell(scene, pending.asker, outcome);
                }
            }
        }
    }

    /// Whether a majority of other keepers than today's can be reached, with their directories. One that is accepted
    /// somewhere and whose own keepers cannot accept it would stand in the way of every other for good.
    fn may_seat<S: Store>(&self, scene: &Scene<'_, S>, wanted: &Topology) -> bool {
        let own = (scene.own, scene.replica.identity().generation);
        let is_there = |seat: &&Seat| {
            let slot = scene.peers.slot_of(seat.member).filter(|&slot| scene.peers.usable(slot));
            let peer = slot.map(|slot| scene.peers.peer(slot).generation);
            (seat.member, seat.generation) == own || peer == Some(Some(seat.generation))
        };
        let seats = wanted.keepers();
        seats == self.topology.keepers() || seats.iter().filter(is_there).count() * 2 > seats.len()
    }

    fn end_attempt<S: Store>(&mut self, scene: &mut Scene<'_, S>, end: End, topology: Option<Topology>) {
        if let Some(topology) = topology {
            self.learn(scene, topology);
        }
        let outcome = match end {
            // Told when it is in force here: see `follow`.
            End::Committed | End::Overtaken => return,
            End::NoMajority(true) => Outcome::Maybe,
            End::NoMajority(false) => {
                let count = self.topology.keepers().len();
                let usable = self.topology.keepers().iter().filter(|seat| {
                    let slot = scene.peers.meet(seat.member);
                    scene.peers.usable(slot)
                });
                let reachable = usable.count() as u8;
                Outcome::NotEnoughReplicas { reachable, needed: count as u8 / 2 + 1 }
            }
            End::Forked => {
                self.counters.forks += 1;
                Outcome::WrongLayout
            }
        };
        if let Some(pending) = self.orders.take_first() {
            self.tell(scene, pending.asker, outcome);
        }
    }

    fn tell<S: Store>(&mut self, scene: &mut Scene<'_, S>, asker: Asker, outcome: Outcome) {
        match asker {
            Asker::Client(id) => {
                let overview = Some(Box::new(self.overview(scene)));
                scene.replies.push_back((id, Reply { overview, ..Reply::bare(outcome) }));
            }
            Asker::Guest(slot) => {
                if let Outcome::BadArgument(why) = outcome {
                    scene.peers.send(slot, 0, &Message::Refused(why.as_bytes()));
                }
            }
            Asker::Own => {}
        }
    }

    /// A topology that is committed and by now on disk: it is in force from here on. The first order, if it is
    /// what that did, comes to nothing more when it is worked out again, and is answered.
    pub fn follow<S: Store>(&mut self, scene: &mut Scene<'_, S>) -> bool {
        let Some(topology) = self.register.take_learned(scene.replica.store()) else { return false };
        self.counters.followed += 1;
        self.register.begin_era(topology.era());
        let done = self.orders.first().is_some_and(|pending| {
            let made = pending.step.apply(&self.topology, scene.keys);
            made.is_ok_and(|made| made.as_ref().map(Topology::hash) == Some(topology.hash()))
        });
        self.receivers = topology.receivers(scene.config);
        let generation = scene.replica.identity().generation;
        self.has_left |= self.topology.has_left_by(&topology, scene.own, generation);
        self.topology = topology;
        self.reports.retain(|&id, _| self.topology.member(id).is_some());
        self.steward_at = Instant::NEVER;
        self.wants_in = true;
        self.repeat_at = scene.now.mono;
        if self.is_seated(scene) {
            self.refusal = None;
            self.has_left = false;
        }
        scene.peers.set_version(self.topology.version() as u32);
        if done {
            let pending = self.orders.take_first().expect("it was just there");
            self.tell(scene, pending.asker, Outcome::Ok);
        }
        self.push(scene);
        true
    }

    /// Tells everybody who is behind, as far as that is known.
    fn push<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let (bytes, version) = (self.topology.encode(), self.topology.version());
        let behind = |&slot: &u16| scene.peers.peer(slot).version < version;
        for slot in scene.peers.slots().filter(behind).collect::<Vec<_>>() {
            self.push_to(scene, slot, Some(&bytes));
        }
    }

    /// Tells a peer that is behind of the topology in force, if it was not told of it lately.
    pub fn push_to<S: Store>(&self, scene: &mut Scene<'_, S>, slot: u16, bytes: Option<&[u8]>) {
        let (version, now) = (self.topology.version(), scene.now.mono);
        let peer = scene.peers.peer_mut(slot);
        let is_told = peer.told >= version && now < peer.told_again_at;
        if !peer.connected || is_told || !self.topology.is_kept() {
            return;
        }
        (peer.told, peer.told_again_at) = (version, now + REPEAT);
        match bytes {
            Some(bytes) => scene.peers.send(slot, 0, &Message::Topology(bytes)),
            None => scene.peers.send(slot, 0, &Message::Topology(&self.topology.encode())),
        }
    }

    /// Whether this node is a member with the directory it has.
    fn is_seated<S: Store>(&self, scene: &Scene<'_, S>) -> bool {
        self.topology.is_seated(scene.own, scene.replica.identity().generation)
    }

    /// Time has passed.
    pub fn handle_timeout<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let now = scene.now.mono;
        self.register.expire(scene.replica.store_mut(), scene.rng, now);
        while let Some(pending) = self.orders.take_expired(now) {
            self.tell(scene, pending.asker, Outcome::Maybe);
        }
        if self.repeat_at <= now {
            self.repeat_at = now + REPEAT;
            if self.topology.next().is_some() {
                self.tell_progress(scene);
            }
            self.ask_who_is_ahead(scene);
            self.ask_to_join(scene);
        }
        self.carry_on(scene);
    }

    /// When [`Cluster::handle_timeout`] is due.
    pub fn deadline<S: Store>(&self, store: &S) -> Instant {
        let waits = self.is_behind || self.wants_in || self.is_moving();
        let repeats = if waits { self.repeat_at } else { Instant::NEVER };
        // One step at a time: the next is considered when this one has ended.
        let steward_at = if self.register.is_busy() { Instant::NEVER } else { self.steward_at };
        let steps = self.register.deadline(store).min(self.orders.deadline()).min(steward_at);
        repeats.min(steps).min(self.room_deadline())
    }

    /// How the cluster is.
    pub fn overview<S: Store>(&self, scene: &Scene<'_, S>) -> Overview {
        let topology = &self.topology;
        let name = |id: MemberId| topology.member(id).map(|member| member.name.clone()).unwrap_or_default();
        let count = |layout: &Layout, id| layout.slot_of(id).map_or(0, |slot| layout.partitions_of(slot));
        let received = topology.arrivals_by_slot(scene.config);
        let receives = |id| {
            let slot = topology.next().and_then(|next| next.slot_of(id));
            slot.and_then(|slot| received.get(usize::from(slot))).copied().unwrap_or(0)
        };
        let members = topology.members().into_iter().map(|member| MemberView {
            name: member.name.clone(),
            address: member.address.clone(),
            zone: member.zone.clone(),
            weight: member.weight,
            generation: member.generation,
            before: topology.current().slot_of(member.id).is_some(),
            after: topology.latest().slot_of(member.id).is_some(),
            is_up: member.id == scene.own
                || scene.peers.slot_of(member.id).is_some_and(|slot| scene.peers.usable(slot)),
            partitions: (count(topology.reading(), member.id), count(topology.latest(), member.id)),
            receives: receives(member.id),
            progress: self.reports.get(&member.id).copied(),
        });
        let mut keepers: Vec<String> = topology.keepers().iter().map(|seat| name(seat.member)).collect();
        keepers.sort_unstable();
        Overview {
            is_kept: topology.is_kept(),
            era: topology.era(),
            version: topology.version(),
            hash: topology.hash(),
            partitions: topology.current().partitions(),
            max_per_zone: topology.max_per_zone,
            layout: topology.reading().version(),
            layout_hash: topology.reading().hash(),
            next: topology.next().map(Layout::version),
            is_flipped: topology.is_flipped(),
            keepers,
            staged: topology.staged().to_vec(),
            refusal: self.refusal.clone(),
            members: members.collect(),
            plan: None,
            plan_hash: 0,
            partition_bytes: Vec::new(),
            transfer_rate: scene.config.transfer_rate,
        }
    }
}
