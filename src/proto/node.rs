//! The switchboard: one node of the cluster. Routes what comes in to the machines that own it, and keeps
//! what they want done until the host drains it.

use std::collections::{BTreeMap, VecDeque};

use super::catch_up::CatchUps;
use super::cluster::{Cluster, Topology};
use super::config::Config;
use super::coordinator::{Coordinator, Origin, Turn, answer_scan};
use super::error::ConfigError;
use super::exchange::Exchanges;
use super::hints::Hints;
use super::io::{MemberId, Operation, Output, Reply, Request, RequestId};
use super::keys::ClusterKeys;
use super::limits;
use super::message::{
    Acks, Envelope, Fetched, Listed, Message, Scan, Scanned, Stored, decode_frame, is_retired, split_frame,
};
use super::pace::Throttle;
use super::peers::Peers;
use super::reap::Reaping;
use super::replica::{Held, Refusal, Replica, Waiter};
use super::ring::{Layout, member_id, position};
use super::rng::Rng;
use super::routes::Routes;
use super::store::{Durability, KeyRef, Store, StoreError, Ticket};
use super::sweep::Sweep;
use super::time::{Instant, Now};
use super::transfer::Transfers;

mod catching_up;
mod feed;
mod following;
mod hinting;
mod introductions;
mod reads;
mod reaping;
mod status;

pub use reads::Reads;
pub use status::{MemberStatus, Owners, Status};

/// How long to wait for an introduction before asking again.
const HELLO_AGAIN: core::time::Duration = core::time::Duration::from_millis(250);

/// One node: everything between its sockets and its disk.
pub struct Node<S: Store> {
    config: Config,
    keys: ClusterKeys,
    cluster: Cluster,
    /// The topology in force, made ready to be asked.
    routes: Routes,
    transfers: Transfers,
    exchanges: Exchanges,
    catch_ups: CatchUps,
    throttle: Throttle,
    replica: Replica<S>,
    hints: Hints<S>,
    peers: Peers,
    coordinator: Coordinator,
    sweep: Sweep,
    reaping: Reaping,
    rng: Rng,
    replies: VecDeque<(RequestId, Reply)>,
    /// What membership is to hear.
    news: VecDeque<Output>,
    /// Frames that wait for a cold read, with their sender's slot.
    parked: BTreeMap<Ticket, Vec<(u16, Vec<u8>)>>,
    parked_bytes: usize,
    /// When to ask again for introductions that did not come.
    hello_at: Instant,
    /// This directory has a new generation, and nobody hears of it before it is on disk.
    is_renewed: bool,
    counters: Counters,
}

/// What the switchboard itself counts.
#[derive(Clone, Copy, Debug, Default)]
struct Counters {
    frames_taken: u64,
    frames_refused: u64,
    other_layout: u64,
    rollbacks: u64,
    /// Records refused that were read before a reap.
    stale: u64,
}

/// Bytes from a peer that are no message of ours. The connection they came on is not to be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FrameError(pub String);

impl core::fmt::Display for FrameError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for FrameError {}

impl<S: Store> Node<S> {
    /// A node over opened stores, of its data and of its hints: the latter has [`hints::PARTITIONS`] partitions and
    /// goes with the generation of the former (trap T5). `seed` feeds sampling and tie-breaks only.
    ///
    /// [`hints::PARTITIONS`]: super::hints::PARTITIONS
    ///
    /// # Errors
    /// What [`Config::check`] refuses.
    pub fn new(config: Config, store: S, hints: S, seed: u64, now: Now) -> Result<Node<S>, ConfigError> {
        config.check()?;
        let mut store = store;
        let keys = ClusterKeys::derive(&config.cluster, &config.secret);
        let cluster = Cluster::open(&config, &keys, &mut store, now)?;
        let topology = cluster.topology();
        let own = member_id(&keys, &config.name);
        let members = topology.members();
        let mut peers = Peers::new(own, keys.cluster_id, members.iter().map(|member| member.id));
        peers.set_version(topology.version() as u32);
        let is_alone = members.iter().all(|member| member.id == own);
        let generation = store.identity().generation;
        let routes = Routes::new(topology, |id| peers.meet(id), (own, generation), None);
        let mut replica = Replica::new(store, &config, keys.hash, now.wall);
        if is_alone {
            // Nobody can know more of our past than we do.
            replica.confirm_past();
        }
        let mut node = Node {
            hints: Hints::open(hints, &config, keys.hash, routes.partitions(), now),
            sweep: Sweep::new(routes.partitions(), config.sweep_interval, now.mono),
            reaping: Reaping::new(&config, now.mono),
            keys,
            cluster,
            routes,
            transfers: Transfers::default(),
            exchanges: Exchanges::default(),
            catch_ups: CatchUps::default(),
            throttle: Throttle::default(),
            replica,
            peers,
            coordinator: Coordinator::default(),
            rng: Rng::new(seed),
            replies: VecDeque::new(),
            news: VecDeque::new(),
            parked: BTreeMap::new(),
            parked_bytes: 0,
            hello_at: Instant::NEVER,
            is_renewed: false,
            counters: Counters::default(),
            config,
        };
        node.plan_transfers(now);
        Ok(node)
    }

    /// This node's settings.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The cluster's keys.
    pub fn keys(&self) -> &ClusterKeys {
        &self.keys
    }

    /// The layout that reads are on.
    pub fn layout(&self) -> &Layout {
        self.cluster.topology().reading()
    }

    /// The topology in force.
    pub fn topology(&self) -> &Topology {
        self.cluster.topology()
    }

    /// The store under it.
    pub fn store(&self) -> &S {
        self.replica.store()
    }

    /// The store under it, to flush after [`Output::Sync`].
    pub fn store_mut(&mut self) -> &mut S {
        self.replica.store_mut()
    }

    /// This node.
    pub fn id(&self) -> MemberId {
        self.peers.peer(self.peers.own()).id
    }

    /// Requests in flight, the background part of reads among them.
    pub fn in_flight(&self) -> usize {
        self.coordinator.in_flight()
    }

    fn turn(&mut self, now: Now) -> Turn<'_, S> {
        Turn {
            now,
            coordinator: &mut self.coordinator,
            replica: &mut self.replica,
            hints: &mut self.hints,
            throttle: &mut self.throttle,
            peers: &mut self.peers,
            routes: &self.routes,
            config: &self.config,
            keys: &self.keys,
            rng: &mut self.rng,
            replies: &mut self.replies,
        }
    }

    /// Takes a client's request. Exactly one [`Output::Reply`] with `id` follows, now or later.
    pub fn handle_request(&mut self, now: Now, id: RequestId, request: &Request<'_>) {
        match &request.operation {
            Operation::Cluster(order) => self.take_order(now, id, order),
            &Operation::Changes { partition, since, limit } => {
                let reply = self.changes(now, request.keyspace, partition, since, limit);
                self.replies.push_back((id, reply));
            }
            _ => self.turn(now).begin(Origin::Client(id), request, None),
        }
    }

    /// Ends a client's request as its deadline would, now: its one reply follows, *maybe* of a write that was begun, as
    /// that is not taken back. False, and nothing is done, for what has been answered, and for orders to the cluster and
    /// change feeds.
    pub fn cancel(&mut self, now: Now, id: RequestId) -> bool {
        self.turn(now).cancel(id)
    }

    /// Takes whole frames from a peer, as one `Send` of it carried them (or any part, reordered).
    ///
    /// # Errors
    /// The bytes are not ours, or come from no member; frames before the bad one were handled.
    pub fn handle_frames(&mut self, now: Now, from: MemberId, mut frames: &[u8]) -> Result<(), FrameError> {
        let slot = self.peer_slot(from).ok_or_else(|| FrameError("frames of no member".into()))?;
        while !frames.is_empty() {
            let result = split_frame(frames).and_then(|(frame, rest)| {
                frames = rest;
                match decode_frame(frame) {
                    Err(error) if is_retired(frame, &error) => Ok(None),
                    decoded => decoded.map(|(envelope, message)| Some((frame, envelope, message))),
                }
            });
            let (frame, envelope, message) = match result {
                Ok(Some(decoded)) => decoded,
                Ok(None) => {
                    self.counters.frames_refused += 1;
                    continue;
                }
                Err(error) => {
                    self.counters.frames_refused += 1;
                    return Err(FrameError(error.to_string()));
                }
            };
            if envelope.cluster_id != self.keys.cluster_id {
                self.counters.frames_refused += 1;
                return Err(FrameError("a frame of another cluster".into()));
            }
            self.counters.frames_taken += 1;
            let is_of_ours = self.note_version(now, slot, u64::from(envelope.layout_version));
            if !is_of_ours && !message.is_of_any_layout() {
                self.counters.other_layout += 1;
                continue;
            }
            match self.route(now, slot, &envelope, message) {
                Ok(()) => {}
                Err(Refusal::Pending(ticket)) => self.park_frame(ticket, slot, frame),
                Err(Refusal::Malformed(error)) => {
                    self.counters.frames_refused += 1;
                    return Err(FrameError(error.to_string()));
                }
                Err(_) => unreachable!("other refusals are answered"),
            }
        }
        Ok(())
    }

    fn peer_slot(&self, id: MemberId) -> Option<u16> {
        self.peers.slot_of(id)
    }

    fn park_frame(&mut self, ticket: Ticket, slot: u16, frame: &[u8]) {
        // Over the bound it is dropped, as a network would: whoever waits sends it again.
        if self.parked_bytes + frame.len() <= limits::PEER_QUEUE_MAX {
            self.parked_bytes += frame.len();
            self.parked.entry(ticket).or_default().push((slot, frame.to_vec()));
        }
    }

    /// One message to the machine that owns it. Errors: a cold read (take the frame again after it), or a
    /// malformed body.
    fn route(
        &mut self,
        now: Now,
        from: u16,
        envelope: &Envelope,
        message: Message<'_>,
    ) -> Result<(), Refusal> {
        let id = envelope.request_id;
        let is_taken = message.is_of_any_layout() || matches!(message, Message::Hello(_));
        if self.peers.peer(from).other_layout && !is_taken {
            self.counters.other_layout += 1;
            return Ok(());
        }
        match message {
            Message::Replicate { keyspace, key, acks, object } => {
                let Some(key) = self.locate(envelope, keyspace, key) else { return Ok(()) };
                let (partition, reaps) = (key.partition, envelope.reaps);
                if self.refuse_stale(from, envelope, partition) || !self.make_way(now, partition, reaps) {
                    return Ok(());
                }
                return self.take_replicate(now, from, id, &key, acks, object);
            }
            Message::Fetch { keyspace, key, known, .. } => {
                let Some(key) = self.locate(envelope, keyspace, key) else { return Ok(()) };
                self.replica.hear_reaps(key.partition, envelope.reaps);
                return self.take_fetch(from, id, &key, known);
            }
            Message::Acknowledge(stored) => {
                let is_stored = matches!(stored, Stored::Stored | Stored::Durable);
                let is_taken = self.transfer_acknowledged(now, from, id, is_stored)
                    || self.exchange_acknowledged(now, from, id, is_stored)
                    || self.catch_up_acknowledged(now, from, id, stored)
                    || self.hint_acknowledged(now, from, id, stored);
                if !is_taken {
                    self.turn(now).acknowledged(from, id, stored);
                }
            }
            Message::Fetched(answer) => {
                self.turn(now).fetched(from, id, u64::from(envelope.layout_version), answer);
            }
            Message::Forward(forward) => self.turn(now).take_forward(from, id, &forward),
            Message::Forwarded { number, reply } => self.turn(now).take_forwarded(from, id, number, reply),
            Message::Hello(hello) => self.take_hello(now, from, u64::from(envelope.layout_version), &hello),
            Message::Scan(scan) => self.take_scan(from, envelope, &scan),
            Message::Scanned(scanned) => {
                self.turn(now).scanned(from, id, u64::from(envelope.layout_version), &scanned);
            }
            Message::Hint(hint) => return self.take_hint(now, from, envelope, &hint),
            Message::Hinted(hinted) => self.take_hinted(now, from, id, hinted),
            Message::FetchHint(fetch) => self.take_fetch_hint(from, envelope, &fetch),
            Message::Probe { number } => self.peers.send(from, 0, &Message::Probed { number }),
            Message::Probed { number } => {
                self.news.push_back(Output::Probed { from: self.peers.peer(from).id, number });
            }
            Message::Prove(_) | Message::Proved(_) | Message::Reap(_) | Message::Stale { .. } => {
                return self.take_reaping(now, from, envelope, &message);
            }
            Message::Sync { .. } | Message::Offer(_) | Message::Wanted(_) => {
                self.take_catching_up(now, from, envelope, &message);
            }
            message => return self.take_cluster(now, from, envelope, &message),
        }
        Ok(())
    }

    /// Asks a peer over its stream whether it is there; [`Output::Probed`] follows if it answers. A peer that
    /// is not connected is not asked. One of a release that knows no such question is believed its stream.
    pub fn probe(&mut self, member: MemberId, number: u32) {
        let Some(slot) = self.peer_slot(member) else { return };
        if self.peers.peer(slot).level == 0 && self.peers.usable(slot) {
            self.news.push_back(Output::Probed { from: member, number });
        }
        self.peers.send(slot, 0, &Message::Probe { number });
    }

    /// Where the key of a message lies; `None` if this node is no replica of it, or its sender speaks of others.
    fn locate<'k>(&mut self, envelope: &Envelope, keyspace: u16, key: &'k [u8]) -> Option<KeyRef<'k>> {
        if keyspace >= limits::KEYSPACES_MAX {
            return None;
        }
        let position = position(&self.keys.hash, keyspace, key);
        let partition = self.routes.partition(position);
        if !self.is_timely(envelope.layout_version, partition) {
            return None;
        }
        let is_ours = self.routes.replicas(keyspace, partition).rank(self.peers.own()).is_some();
        self.counters.other_layout += u64::from(!is_ours);
        is_ours.then_some(KeyRef { keyspace, key, position, partition })
    }

    fn take_replicate(
        &mut self,
        now: Now,
        from: u16,
        id: u64,
        key: &KeyRef<'_>,
        acks: Acks,
        object: &[u8],
    ) -> Result<(), Refusal> {
        let sequence = match self.replica.apply(now, key, object) {
            Ok(sequence) => sequence,
            Err(refusal @ (Refusal::Pending(_) | Refusal::Malformed(_))) => return Err(refusal),
            Err(refusal) => {
                let stored = match refusal {
                    Refusal::Store(StoreError::Full) => Stored::Full,
                    Refusal::Store(StoreError::ReadOnly) => Stored::ReadOnly,
                    _ => Stored::Overloaded,
                };
                if acks != Acks::default() {
                    self.peers.send(from, id, &Message::Acknowledge(stored));
                }
                return Ok(());
            }
        };
        if !self.routes.may_acknowledge() {
            return Ok(());
        }
        let durability = self.config.keyspace(key.keyspace).durability;
        let wanted = [(acks.stored, durability), (acks.durable, Durability::Always)];
        for (_, level) in wanted.into_iter().filter(|&(asked, _)| asked) {
            if self.replica.is_safe(level, sequence, Waiter::Peer(from, id)) {
                let stored = if level == Durability::Always { Stored::Durable } else { Stored::Stored };
                self.peers.send(from, id, &Message::Acknowledge(stored));
            }
        }
        Ok(())
    }

    fn take_fetch(&mut self, from: u16, id: u64, key: &KeyRef<'_>, known: u64) -> Result<(), Refusal> {
        let own = self.peers.own();
        let replicas = self.routes.replicas(key.keyspace, key.partition);
        let is_evidence = replicas.rank(own).is_none_or(|rank| !replicas.unread.contains(rank));
        let held = self.replica.read(key).map_err(Refusal::Pending)?;
        let answer = match &held {
            // Rule L4.
            _ if !is_evidence && !planted!("gapped_copy") => Fetched::Unknown,
            Held::Record(record) if record.item_hash == known => Fetched::Same,
            Held::Record(record) => Fetched::Record(&record.object),
            Held::Absent if known == 0 => Fetched::Same,
            Held::Absent => Fetched::Absent,
            Held::Unknown => Fetched::Unknown,
        };
        self.peers.send(from, id, &Message::Fetched(answer));
        Ok(())
    }

    fn take_scan(&mut self, from: u16, envelope: &Envelope, scan: &Scan) {
        let is_known =
            u32::from(scan.partition) < self.routes.partitions() && scan.keyspace < limits::KEYSPACES_MAX;
        if !is_known || !self.is_timely(envelope.layout_version, scan.partition) {
            return;
        }
        let id = envelope.request_id;
        let mut replicas = self.routes.replicas(scan.keyspace, scan.partition).readable();
        if !replicas.any(|(_, slot)| slot == self.peers.own()) {
            // Rule L4, or its sender has not heard yet who holds the partition.
            let scanned = Scanned { from: scan.from, listed: Listed::Unknown };
            return self.peers.send(from, id, &Message::Scanned(scanned));
        }
        let peers = &mut self.peers;
        answer_scan(self.replica.store(), scan, |message| peers.send(from, id, message));
    }

    /// A peer can be reached: messages to it will be carried. It counts once it has introduced itself.
    pub fn handle_peer_up(&mut self, now: Now, peer: MemberId) {
        let is_open = self.topology().is_kept() || self.topology().version() == 0;
        if is_open && peer != self.id() && self.peers.has_room() {
            self.peers.meet(peer);
        }
        let Some(slot) = self.peer_slot(peer) else { return };
        self.peers.peer_mut(slot).connected = true;
        self.hello_at = self.hello_at.min(now.mono + HELLO_AGAIN);
        self.send_hello(slot, true);
    }

    /// Whether others are to be asked before this member: what whoever looks after members thinks of it. It owns what
    /// it owns all the same, and is written to.
    pub fn avoid(&mut self, member: MemberId, avoided: bool) {
        if let Some(slot) = self.peer_slot(member) {
            self.peers.peer_mut(slot).avoided = avoided;
        }
    }

    /// What a peer that can be reached knows of messages, if it is not all that this release does.
    pub fn set_peer_level(&mut self, peer: MemberId, level: u8) {
        if let Some(slot) = self.peer_slot(peer) {
            let peer = self.peers.peer_mut(slot);
            (peer.level, peer.said) = (level, level);
        }
    }

    /// A peer can no longer be reached; what was on its way may be lost.
    pub fn handle_peer_down(&mut self, now: Now, peer: MemberId) {
        let Some(slot) = self.peer_slot(peer) else { return };
        self.peers.disconnect(slot);
        self.turn(now).peer_down(slot);
        self.transfers.peer_down(slot, self.routes.partitions());
        self.exchanges.peer_down(slot);
        self.catch_ups.peer_down(&mut self.peers, slot, now.mono);
        self.reaping.peer_down(slot);
        self.hints.peer_down(peer);
    }

    /// The store's marks may have moved.
    pub fn handle_synced(&mut self, now: Now) {
        while let Some(released) = self.replica.next_released() {
            self.turn(now).released(released);
        }
        self.release_hints(now);
    }

    /// A cold read is done.
    pub fn handle_read(&mut self, now: Now, ticket: Ticket) {
        for (slot, frame) in self.parked.remove(&ticket).unwrap_or_default() {
            self.parked_bytes -= frame.len();
            let id = self.peers.peer(slot).id;
            // It was read before, so it is well-formed; it may be parked again.
            let _ = self.handle_frames(now, id, &frame);
        }
        self.turn(now).resume(ticket);
    }

    /// `deadline()` has come.
    pub fn handle_timeout(&mut self, now: Now) {
        if self.hello_at <= now.mono {
            self.hello_at = Instant::NEVER;
            if self.is_renewed {
                self.keep_generation(now);
            }
            for slot in self.peers.slots() {
                let peer = self.peers.peer(slot);
                if peer.connected && !peer.greeted && !peer.other_layout {
                    self.send_hello(slot, true);
                    self.hello_at = now.mono + HELLO_AGAIN;
                }
            }
        }
        self.turn(now).expire();
        if self.cluster_deadline() <= now.mono {
            self.handle_cluster_timeout(now);
        }
        if self.exchanges.deadline(&self.config, &self.peers) <= now.mono {
            self.carry_on_exchange(now);
        }
        if self.catch_ups.deadline() <= now.mono {
            self.carry_on_catching_up(now);
        }
        self.handle_hints_timeout(now);
        self.handle_reaping_timeout(now);
        self.sweep.handle_timeout(now, &mut self.replica);
    }

    /// Gives the store its share of the turn, to keep itself in order: to be called once a turn, whatever
    /// else happens in it.
    pub fn maintain(&mut self, now: Now) {
        self.replica.store_mut().maintain(now.mono);
        self.hints.store_mut().maintain(now.mono);
        self.introduce_anew();
    }

    /// The next thing to do, until `None`. Frames come last, so that a drain packs all messages to one
    /// peer into one `Send`.
    pub fn poll_output(&mut self, now: Now) -> Option<Output> {
        if !self.is_settled() {
            self.follow(now);
        }
        self.exchanges.note(now.mono, self.replica.store());
        self.note_compared(now);
        if !self.reaping.is_idle() {
            self.carry_on_reaping(now);
        }
        if self.replica.waits_in_vain() || self.hints.waits().waits_in_vain() {
            self.handle_synced(now);
        }
        if let Some((id, reply)) = self.replies.pop_front() {
            return Some(Output::Reply { id, reply });
        }
        if let Some(news) = self.news.pop_front() {
            return Some(news);
        }
        if self.replica.sync_deadline() <= now.mono {
            return Some(Output::Sync(self.replica.request_sync()));
        }
        if let Some(need) = self.replica.take_sync() {
            return Some(Output::Sync(need));
        }
        if let Some(need) = self.take_hints_sync(now) {
            return Some(Output::SyncHints(need));
        }
        self.peers.take_frames().map(|(to, frames)| Output::Send { to, frames })
    }

    /// When to call `handle_timeout` if nothing else happens; [`Instant::NEVER`] if it need not.
    pub fn deadline(&self) -> Instant {
        let requests = self.coordinator.deadline().min(self.hello_at);
        let store = self.replica.sync_deadline().min(self.replica.store().deadline());
        let exchange = self.exchanges.deadline(&self.config, &self.peers);
        let store = store.min(self.hints_deadline()).min(exchange).min(self.reaping.deadline(&self.replica));
        let store = store.min(self.catch_ups.deadline());
        requests.min(store).min(self.sweep.deadline(&self.replica)).min(self.cluster_deadline())
    }

    /// Gives back the buffer of a `Send` that was carried, to be filled again.
    pub fn recycle(&mut self, frames: Vec<u8>) {
        self.peers.recycle(frames);
    }

    /// Ends every request in flight (writes as *maybe*), for shutdown.
    pub fn close(&mut self, now: Now) {
        self.turn(now).close();
    }
}
