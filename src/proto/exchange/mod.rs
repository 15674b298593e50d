//! Copies that are compared and made equal, always: once a second a node takes the peer whose copies it has not compared
//! for the longest time, and walks down the trees of what both hold to where they differ (Merkle 1987; Dynamo, §4.7).
//!
//! ```text
//!  everything ─► groups of partitions ─► partition ─► nodes of its tree ─► leaf ─► digests of its keys
//!  one sum       where sums differ       by keyspace                               ─► records of both, merged
//! ```
//!
//! Only the one that began keeps state, and only it decides: the other answers questions. What the other has of later is
//! sent with the digests' answer and goes through `Replica::apply`; what it lacks is sent to it as a repair would be. A
//! question and its answer name the topology; of another one they are nothing. What is not answered in time ends the
//! exchange, and the next one begins from the top: there is nothing to resume, as what was made equal stays so.

mod names;
mod recent;
mod shared;
mod turn;

pub use names::{Children, Name, Summed};
pub use turn::Ended;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use recent::Recent;
use shared::{Shared, children};

use super::cluster::Scene;
use super::compare::{Run, own_run, record_at, take_records};
use super::config::Config;
use super::io::MemberId;
use super::limits;
use super::merkle::NodeName;
use super::message::{Acks, Compare, Compared, DIGEST_BYTES, Message, decode_digests};
use super::pace::Pace;
use super::peers::Peers;
use super::replica::{Refusal, Replica};
use super::routes::Routes;
use super::store::{ChangeCursor, Sequence, Store};
use super::time::{Instant, Now};
use super::wire::{Reader, WireError};

/// The level of messages from which on a peer can be compared with.
const LEVEL: u8 = 2;

/// Marks the numbers of records that are sent here, among all others.
const NUMBERS: u64 = 1 << 31;

/// Counters of the exchange, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExchangeCounters {
    /// Comparisons that came to their end.
    pub done: u64,
    /// Comparisons that did not: the peer was gone, slow, or of another topology.
    pub broken: u64,
    /// Bytes of questions and answers, without records.
    pub compared_bytes: u64,
    /// Records taken that were not the same here, and their bytes.
    pub taken: u64,
    /// See `taken`.
    pub taken_bytes: u64,
    /// Records sent that were not the same there, and their bytes.
    pub sent: u64,
    /// See `sent`.
    pub sent_bytes: u64,
}

/// A run of positions whose keys are compared one by one.
#[derive(Debug)]
struct Span {
    partition: u16,
    keyspace: u16,
    /// Where it has come to, and the first prefix behind it.
    from: u64,
    end: Option<u64>,
    /// The end of the part that was asked about.
    until: Option<u64>,
    /// Nothing is there at the peer: there is nothing to ask.
    is_lacking: bool,
}

/// One exchange under way.
#[derive(Debug)]
struct Exchange {
    peer: u16,
    /// The peer's boot when it began.
    boot: u64,
    begun: Instant,
    /// What had changed here behind this was young then.
    settled: ChangeCursor,
    version: u64,
    shared: Arc<Shared>,
    /// Nodes to ask about, the next one last, and spans to compare.
    todo: Vec<Name>,
    spans: VecDeque<Span>,
    /// What was asked and is not answered.
    asked: Vec<Name>,
    span: Option<Span>,
    is_asked: bool,
    /// The count of reaps of its partition when it was asked about.
    reaps: u64,
    number: u64,
    /// When an answer is given up.
    due: Instant,
    /// Prefixes of records that the peer lacks, and numbers of those that are on their way to it.
    lacking: Vec<u64>,
    sent: BTreeSet<u64>,
    /// The partition and keyspace of these.
    sends_of: (u16, u16),
    /// Partitions that were not compared to their end.
    doubtful: BTreeSet<u16>,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct Exchanges {
    running: Option<Exchange>,
    next_at: Instant,
    pace: Pace,
    number: u64,
    /// What is shared with each peer, by its number, under this topology.
    shared: (u64, BTreeMap<u16, Arc<Shared>>),
    /// When a comparison with each member last began.
    begun: BTreeMap<MemberId, Instant>,
    /// Everything is compared anew since then, one peer after another without a pause.
    hurried_since: Option<Instant>,
    /// By partition, when the comparison began that last found it equal to a member's, or made it so.
    verified: Vec<Vec<(MemberId, Instant)>>,
    /// Members with whom a partition was compared that has lost records.
    mended: BTreeMap<u16, BTreeSet<MemberId>>,
    recent: Recent,
    /// Members with whom it is known that copies differ: compared first.
    urgent: BTreeSet<MemberId>,
    /// The last comparison was due for a dirty partition: the next one is for whose turn it is.
    was_dirty: bool,
    /// What came to its end and was not asked for yet.
    ended: Option<Ended>,
    /// For operators.
    pub counters: ExchangeCounters,
}

impl Exchanges {
    /// Begins where it is time to, and goes on. `dirty` are partitions of which a replica is known to lack something,
    /// each since when.
    pub fn handle_timeout<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        routes: &Routes,
        dirty: &BTreeMap<u16, Instant>,
    ) {
        let Some(interval) = scene.config.exchange_interval else { return };
        let now = scene.now.mono;
        if self.running.is_none() && self.next_at <= now {
            self.next_at = now + interval;
            self.begin(scene, routes, dirty);
            self.go_on_hurrying(scene, routes);
        }
        self.carry_on(scene, routes);
    }

    /// Goes on with what can go on.
    fn carry_on<S: Store>(&mut self, scene: &mut Scene<'_, S>, routes: &Routes) {
        let now = scene.now.mono;
        while let Some(exchange) = &self.running {
            if exchange.version != routes.version() || (exchange.waits() && exchange.due <= now) {
                self.give_up();
            } else if exchange.waits() || self.pace.next_at() > now {
                return;
            } else {
                self.step(scene, routes);
            }
        }
    }

    /// When there is something to do although nothing else happens: never, as long as nobody is there.
    pub fn deadline(&self, config: &Config, peers: &Peers) -> Instant {
        match &self.running {
            _ if config.exchange_interval.is_none() => Instant::NEVER,
            None if peers.slots().any(|slot| peers.usable(slot)) => self.next_at,
            None => Instant::NEVER,
            Some(exchange) if exchange.waits() => exchange.due,
            Some(_) => self.pace.next_at(),
        }
    }

    /// Compares everything anew, with each peer that can be reached, without a pause.
    pub fn hurry(&mut self, now: Instant) {
        self.hurried_since = Some(now);
        self.next_at = now;
    }

    /// Leaves the pause out until a comparison with everybody has begun since it was asked for.
    fn go_on_hurrying<S: Store>(&mut self, scene: &Scene<'_, S>, routes: &Routes) {
        let Some(since) = self.hurried_since else { return };
        let (peers, own) = (&*scene.peers, scene.peers.own());
        let waits = |slot: &u16| {
            let begun = self.begun.get(&peers.peer(*slot).id);
            peers.usable(*slot)
                && peers.peer(*slot).level >= LEVEL
                && begun.is_none_or(|begun| *begun < since)
        };
        let waiting: Vec<u16> = peers.slots().filter(waits).collect();
        match waiting.into_iter().any(|slot| !self.shared_with(routes, own, slot).is_empty()) {
            true => self.next_at = scene.now.mono,
            false => self.hurried_since = None,
        }
    }

    /// With the peer whose turn it is.
    fn begin<S: Store>(&mut self, scene: &mut Scene<'_, S>, routes: &Routes, dirty: &BTreeMap<u16, Instant>) {
        let next = self.in_turn(scene.peers, routes, dirty).into_iter().next();
        let Some((peer, shared)) = next else { return };
        let id = scene.peers.peer(peer).id;
        let mut todo = vec![Name::All(shared.total(scene.replica.store(), routes))];
        self.urgent.remove(&id);
        self.was_dirty = !self.was_dirty && self.is_due_for(id, &shared, dirty);
        // What is asked about last in the list is asked about first.
        todo.extend(shared.partitions().filter(|at| dirty.contains_key(at)).map(Name::Partition));
        self.begun.insert(id, scene.now.mono);
        self.number += 1;
        self.running = Some(Exchange {
            peer,
            boot: scene.peers.peer(peer).boot,
            begun: scene.now.mono,
            settled: self.recent.settled(scene.now.mono),
            version: routes.version(),
            shared,
            todo,
            spans: VecDeque::new(),
            asked: Vec::new(),
            span: None,
            is_asked: false,
            reaps: 0,
            number: self.number,
            due: Instant::NEVER,
            lacking: Vec::new(),
            sent: BTreeSet::new(),
            sends_of: (0, 0),
            doubtful: BTreeSet::new(),
        });
    }

    fn shared_with(&mut self, routes: &Routes, own: u16, peer: u16) -> Arc<Shared> {
        if self.shared.0 != routes.version() {
            self.shared = (routes.version(), BTreeMap::new());
        }
        let shared = self.shared.1.entry(peer).or_insert_with(|| Arc::new(Shared::new(routes, own, peer)));
        Arc::clone(shared)
    }

    fn give_up(&mut self) {
        self.running = None;
        self.counters.broken += 1;
    }

    /// The next message, or the end.
    fn step<S: Store>(&mut self, scene: &mut Scene<'_, S>, routes: &Routes) {
        let exchange = self.running.as_mut().expect("it runs");
        if !exchange.lacking.is_empty() {
            return self.send_lacking(scene);
        }
        if exchange.span.is_none() {
            exchange.span = exchange.spans.pop_front();
        }
        if exchange.span.is_some() {
            return self.compare(scene);
        }
        if exchange.todo.is_empty() {
            return self.end(scene, routes);
        }
        let from = exchange.todo.len().saturating_sub(limits::EXCHANGE_NODES);
        exchange.asked = exchange.todo.split_off(from);
        let mut questions = Vec::new();
        exchange.asked.iter().for_each(|name| name.encode(&mut questions));
        exchange.due = scene.now.mono + limits::TRANSFER_TIMEOUT;
        let id = exchange.id(scene.replica);
        scene.peers.send(exchange.peer, id, &Message::Sums(&questions));
        self.count(scene.config, scene.now, questions.len());
    }

    fn count(&mut self, config: &Config, now: Now, bytes: usize) {
        self.counters.compared_bytes += bytes as u64;
        self.slow_down(config, now, bytes as u64);
    }

    /// Holds the pace, which is that of transfers.
    fn slow_down(&mut self, config: &Config, now: Now, bytes: u64) {
        self.pace.slow_down(now, config.transfer_rate, bytes);
    }

    /// Everything was compared.
    fn end<S: Store>(&mut self, scene: &mut Scene<'_, S>, routes: &Routes) {
        let exchange = self.running.take().expect("it runs");
        self.counters.done += 1;
        let peer = scene.peers.peer(exchange.peer).id;
        // A partition that lost records here, or was not compared, says nothing of what the peer holds.
        let is_sure = |partition: &u16| {
            !exchange.doubtful.contains(partition) && !scene.replica.store().is_incomplete(*partition)
        };
        self.ended = Some(Ended {
            peer: exchange.peer,
            boot: exchange.boot,
            settled: exchange.settled,
            equal: exchange.shared.partitions().filter(is_sure).collect(),
        });
        for partition in exchange.shared.partitions() {
            if exchange.doubtful.contains(&partition) {
                continue;
            }
            note_verified(&mut self.verified, partition, peer, exchange.begun);
            if !scene.replica.store().is_incomplete(partition) {
                continue;
            }
            // What it has lost is back when every other copy was looked at (trap T19).
            let met = self.mended.entry(partition).or_default();
            met.insert(peer);
            let own = scene.peers.own();
            let mut others = routes.replicas_of_all(partition).readable().filter(|&(_, slot)| slot != own);
            if planted!("complete_early") || others.all(|(_, slot)| met.contains(&scene.peers.peer(slot).id))
            {
                self.mended.remove(&partition);
                scene.replica.store_mut().complete(partition);
            }
        }
    }

    /// Answers questions of a peer, which names the topology that we follow.
    ///
    /// # Errors
    /// The questions are malformed.
    pub fn answer<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        routes: &Routes,
        (from, id): (u16, u64),
        questions: &[u8],
    ) -> Result<(), WireError> {
        // What it missed is on its way to it: whatever it asked for now would be sent twice.
        if scene.peers.peer(from).catching_up {
            return Ok(());
        }
        let shared = self.shared_with(routes, scene.peers.own(), from);
        let mut reader = Reader::new(questions);
        let mut answers = Vec::new();
        let mut count = 0;
        while let Some(name) = Name::decode(&mut reader)? {
            count += 1;
            if count > limits::EXCHANGE_NODES {
                return Err(WireError { what: "count of nodes" });
            }
            let Some(summed) = shared.summed(scene.replica.store(), routes, &name) else { return Ok(()) };
            summed.encode(&name, &mut answers);
        }
        scene.peers.send(from, id, &Message::Summed(&answers));
        Ok(())
    }

    /// Sums of a peer, given under this version.
    ///
    /// # Errors
    /// They are malformed.
    pub fn summed<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        routes: &Routes,
        (from, id, version): (u16, u64, u64),
        answers: &[u8],
    ) -> Result<(), WireError> {
        let Some(exchange) = &mut self.running else { return Ok(()) };
        let is_ours = exchange.is_with(from, id, version, scene.replica);
        if !is_ours || exchange.asked.is_empty() {
            return Ok(());
        }
        let asked = core::mem::take(&mut exchange.asked);
        exchange.number += 1;
        self.number = exchange.number;
        let mut reader = Reader::new(answers);
        for name in asked {
            let summed = Summed::decode(&name, &mut reader)?;
            exchange.descend(scene.replica.store(), routes, &name, summed);
        }
        reader.end("end of sums")?;
        self.count(scene.config, scene.now, answers.len());
        self.carry_on(scene, routes);
        Ok(())
    }

    /// Asks about the keys of a span, or goes through them where the peer has none.
    fn compare<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let exchange = self.running.as_mut().expect("it runs");
        let span = exchange.span.as_mut().expect("there is one");
        let (partition, keyspace) = (span.partition, span.keyspace);
        let store = scene.replica.store();
        let Run { digests, until } =
            own_run(store, partition, (span.from, span.end), |other| other == keyspace);
        span.until = until;
        if span.is_lacking {
            // What is left of a partition that lost records may be old: it is not offered (trap T4).
            let digests = if store.is_incomplete(partition) { Vec::new() } else { digests };
            exchange.lacking = decode_digests(&digests).map(|(prefix, _)| prefix).collect();
            exchange.lacking.dedup();
            exchange.go_behind(until);
            let bytes = (digests.len() / DIGEST_BYTES) as u64 * limits::TRANSFER_DIGEST_COST;
            return self.slow_down(scene.config, scene.now, bytes);
        }
        let compare = Compare {
            partition,
            keyspace: Some(keyspace),
            from: span.from,
            until,
            sends: true,
            tells: true,
            whole: store.is_incomplete(partition),
            digests: &digests,
        };
        exchange.is_asked = true;
        exchange.due = scene.now.mono + limits::TRANSFER_TIMEOUT;
        let id = exchange.id(scene.replica);
        exchange.reaps = scene.replica.reaps().of(partition);
        scene.peers.send_counted(exchange.peer, id, exchange.reaps, &Message::Compare(compare));
        self.count(scene.config, scene.now, digests.len());
        let looked_at = (digests.len() / DIGEST_BYTES) as u64;
        self.slow_down(scene.config, scene.now, looked_at * limits::TRANSFER_DIGEST_COST);
    }

    /// What a peer has that we have not, and what it lacks, as it said under this version.
    ///
    /// # Errors
    /// A cold read is under way: the frame is taken again after it.
    pub fn compared<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        routes: &Routes,
        (from, id, version): (u16, u64, u64),
        compared: &Compared<'_>,
    ) -> Result<(), Refusal> {
        let Some(exchange) = &self.running else { return Ok(()) };
        if !exchange.is_asked || !exchange.is_with(from, id, version, scene.replica) {
            return Ok(());
        }
        let partition = exchange.span.as_ref().expect("it was asked about").partition;
        if scene.replica.is_stale(partition, exchange.reaps) {
            // Records of before a reap may be among them: asked again.
            self.number += 1;
            let exchange = self.running.as_mut().expect("it runs");
            (exchange.is_asked, exchange.number) = (false, self.number);
            self.carry_on(scene, routes);
            return Ok(());
        }
        // Where the peer has a version, and whether it is by now just ours, which need not go back to it.
        let mut met = BTreeMap::new();
        let taken = take_records(scene, routes, compared.records, |replica, key, object| {
            met.insert((key.position >> 64) as u64, holds(replica, key, object));
        });
        let exchange = self.running.as_mut().expect("it runs");
        match taken {
            Ok((records, bytes)) => {
                self.counters.taken += records;
                self.counters.taken_bytes += bytes;
                exchange.is_asked = false;
                exchange.number += 1;
                self.number = exchange.number;
                let prefix = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
                let lacking = compared.lacking.chunks_exact(8).map(prefix);
                // What is left of a partition that lost records may be old, and goes only where another version is
                // (trap T4).
                let is_incomplete = scene.replica.store().is_incomplete(partition);
                let goes = |prefix: &u64| met.get(prefix).map_or(!is_incomplete, |same| !same);
                exchange.lacking = lacking.filter(|prefix| goes(prefix)).collect();
                exchange.lacking.dedup();
                if compared.is_unfit {
                    exchange.doubtful.insert(partition);
                }
                let until = exchange.span.as_ref().and_then(|span| span.until);
                exchange.go_behind(compared.next.or(until));
                self.count(scene.config, scene.now, compared.lacking.len());
                self.slow_down(scene.config, scene.now, bytes);
            }
            Err(pending @ Refusal::Pending(_)) => return Err(pending),
            // No room now, or nonsense: another time.
            Err(_) => self.give_up(),
        }
        self.carry_on(scene, routes);
        Ok(())
    }

    /// Sends a share of the records that the peer lacks.
    fn send_lacking<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        let settled = self.recent.settled(scene.now.mono).sequence;
        let exchange = self.running.as_mut().expect("it runs");
        let (partition, keyspace) = exchange.sends_of;
        let mut bytes = 0;
        while bytes < limits::TRANSFER_PAGE
            && let Some(prefix) = exchange.lacking.pop()
        {
            let is_meant = |other: u16, sequence: Sequence| other == keyspace && sequence <= settled;
            for (keyspace, key, object) in record_at(scene.replica.store(), partition, prefix, is_meant) {
                bytes += key.len() + object.len();
                self.number += 1;
                let number = NUMBERS | (self.number & (NUMBERS - 1));
                exchange.sent.insert(number);
                self.counters.sent += 1;
                let id = number ^ scene.replica.identity().nonce;
                let acks = Acks { stored: true, durable: false };
                scene.peers.send_counted(
                    exchange.peer,
                    id,
                    scene.replica.reaps().of(partition),
                    &Message::Replicate { keyspace, key: &key, acks, object: &object },
                );
            }
        }
        exchange.number = self.number;
        exchange.due = scene.now.mono + limits::TRANSFER_TIMEOUT;
        self.counters.sent_bytes += bytes as u64;
        self.slow_down(scene.config, scene.now, bytes as u64);
    }

    /// A peer has stored a record of ours, or refuses to. False if it is no answer to an exchange.
    pub fn acknowledged<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        routes: &Routes,
        (from, id): (u16, u64),
        is_stored: bool,
    ) -> bool {
        let number = id ^ scene.replica.identity().nonce;
        let Some(exchange) = self.running.as_mut().filter(|exchange| exchange.peer == from) else {
            return false;
        };
        if !exchange.sent.remove(&number) {
            return false;
        }
        if !is_stored {
            let (partition, _) = exchange.sends_of;
            exchange.doubtful.insert(partition);
        }
        self.carry_on(scene, routes);
        true
    }

    /// A peer is gone.
    pub fn peer_down(&mut self, slot: u16) {
        if self.running.as_ref().is_some_and(|exchange| exchange.peer == slot) {
            self.give_up();
        }
    }

    /// Whether a record was stored so recently that its copies may be on their way.
    pub fn is_young(&self, now: Instant, sequence: Sequence) -> bool {
        sequence > self.recent.settled(now).sequence
    }

    /// Of each partition held here together with others, when its copies were last all found equal, or made so; if one
    /// of them never was, `Instant::ZERO`.
    pub fn verified(&self, routes: &Routes, peers: &Peers) -> Vec<(u16, Instant)> {
        let own = peers.own();
        let mut verified = Vec::new();
        for partition in 0..routes.partitions() as u16 {
            let replicas = routes.replicas_of_all(partition);
            if !replicas.readable().any(|(_, slot)| slot == own) {
                continue;
            }
            let others = replicas.readable().filter(|&(_, slot)| slot != own);
            let known = self.verified.get(usize::from(partition)).map_or(&[][..], Vec::as_slice);
            let at =
                |slot| known.iter().find(|(member, _)| *member == peers.peer(slot).id).map(|known| known.1);
            let oldest = others.map(|(_, slot)| at(slot).unwrap_or(Instant::ZERO)).min();
            verified.extend(oldest.map(|oldest| (partition, oldest)));
        }
        verified
    }
}

impl Exchange {
    /// Whether an answer is awaited.
    fn waits(&self) -> bool {
        !self.asked.is_empty() || self.is_asked || !self.sent.is_empty()
    }

    /// What the peer gives back with its answer.
    fn id<S: Store>(&self, replica: &Replica<S>) -> u64 {
        (NUMBERS | (self.number & (NUMBERS - 1))) ^ replica.identity().nonce
    }

    fn is_with<S: Store>(&self, from: u16, id: u64, version: u64, replica: &Replica<S>) -> bool {
        self.peer == from && self.version == version && self.id(replica) == id
    }

    /// A part of the span is compared: on behind it.
    fn go_behind(&mut self, next: Option<u64>) {
        let span = self.span.as_mut().expect("there is one");
        self.sends_of = (span.partition, span.keyspace);
        match next {
            Some(next) if next > span.from && span.end.is_none_or(|end| next < end) => span.from = next,
            _ => self.span = None,
        }
    }

    /// Notes what must be looked at below a node whose sums a peer has told.
    fn descend<S: Store>(&mut self, store: &S, routes: &Routes, name: &Name, summed: Summed) {
        match (name, summed) {
            (Name::All(_) | Name::Group { .. }, Summed::Children(theirs)) => {
                let Some(ours) = self.shared.children(store, routes, name) else { return };
                for digit in (0..theirs.len()).filter(|&digit| ours[digit] != theirs[digit]) {
                    self.todo.extend(self.shared.child(name, digit));
                }
            }
            (&Name::Partition(partition), Summed::Roots(theirs)) => {
                let ours = self.shared.roots(store, routes, partition);
                let sum = |roots: &[(u16, u64)], keyspace| {
                    roots.iter().find(|root| root.0 == keyspace).map_or(0, |root| root.1)
                };
                for keyspace in 0..limits::KEYSPACES_MAX {
                    let (ours, theirs) = (sum(&ours, keyspace), sum(&theirs, keyspace));
                    if ours != theirs && self.shared.has(routes, partition, keyspace) {
                        self.look_below(store, routes, (partition, keyspace, NodeName::ROOT), (ours, theirs));
                    }
                }
            }
            (&Name::Node { partition, keyspace, node }, Summed::Children(theirs)) => {
                match children(store, partition, keyspace, node) {
                    Some(ours) => {
                        for digit in (0..theirs.len()).filter(|&digit| ours[digit] != theirs[digit]) {
                            let below = (partition, keyspace, node.child(digit));
                            self.look_below(store, routes, below, (ours[digit], theirs[digit]));
                        }
                    }
                    None => self.look_at(routes, partition, keyspace, node, false),
                }
            }
            (&Name::Node { partition, keyspace, node }, Summed::Leaf) => {
                self.look_at(routes, partition, keyspace, node, false);
            }
            _ => {}
        }
    }

    /// A node differs: its keys are compared where one side has none, or we have nothing below it; otherwise the
    /// peer is asked for its children.
    fn look_below<S: Store>(
        &mut self,
        store: &S,
        routes: &Routes,
        (partition, keyspace, node): (u16, u16, NodeName),
        (ours, theirs): (u64, u64),
    ) {
        if ours == 0 || theirs == 0 || children(store, partition, keyspace, node).is_none() {
            self.look_at(routes, partition, keyspace, node, theirs == 0);
        } else {
            self.todo.push(Name::Node { partition, keyspace, node });
        }
    }

    fn look_at(&mut self, routes: &Routes, partition: u16, keyspace: u16, node: NodeName, is_lacking: bool) {
        let positions = node.positions(partition, routes.partitions());
        let (from, end) = ((positions.start() >> 64) as u64, ((positions.end() >> 64) as u64).checked_add(1));
        self.spans.push_back(Span { partition, keyspace, from, end, until: None, is_lacking });
    }
}

/// Every exchange notes this of each partition that two nodes share, so it is a place in a list and no search.
fn note_verified(verified: &mut Vec<Vec<(MemberId, Instant)>>, partition: u16, peer: MemberId, at: Instant) {
    let partition = usize::from(partition);
    if verified.len() <= partition {
        verified.resize(partition + 1, Vec::new());
    }
    match verified[partition].iter_mut().find(|(member, _)| *member == peer) {
        Some(known) => known.1 = at,
        None => verified[partition].push((peer, at)),
    }
}

/// Whether the record under a key is just this object.
fn holds<S: Store>(replica: &mut Replica<S>, key: &super::store::KeyRef<'_>, object: &[u8]) -> bool {
    matches!(replica.read(key), Ok(super::replica::Held::Record(record)) if *record.object == *object)
}
