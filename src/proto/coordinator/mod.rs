//! Requests from their first step to their reply: who is asked, who answered, when it is enough.
//!
//! Each request in flight has a slot and walks through [`Phase`]s; the steps of each phase live in the
//! file of its name. A slot ends with exactly one reply. Steps look up first and change afterwards, so a
//! step that meets a cold read is parked and simply taken again.

mod add;
mod cancel;
mod check;
mod edit;
mod float;
mod forward;
mod hedge;
mod merged;
mod moved;
mod once;
mod quorum;
mod read;
mod scan;
mod shown;
mod stand_in;
mod tally;
mod timer;
mod write;

use std::collections::{BTreeMap, VecDeque};

pub use self::scan::answer_scan;
pub use self::tally::Ranks;

use self::add::Once;
use self::forward::Forwards;
use self::hedge::Hedging;
pub use self::merged::MergeFunctions;
use self::once::Window;
use self::quorum::Quorum;
use self::read::Reading;
use self::scan::{Doubt, Scanning};
pub use self::shown::views_of;
use self::stand_in::StandIns;
use self::tally::WriteTally;
use self::timer::Timer;
use super::buffer::Buffer;
use super::config::Config;
use super::error::Outcome;
use super::hints::Hints;
use super::io::{Blind, Operation, Options, Reply, Request, RequestId};
use super::keys::ClusterKeys;
use super::limits;
use super::message::{LEVEL_OF_SETS, Stored, encode_request};
use super::observed::Observed;
use super::pace::Throttle;
use super::peers::Peers;
use super::replica::{Released, Replica, Waiter};
use super::ring::position;
use super::rng::Rng;
use super::routes::{Replicas, Routes};
use super::store::{KeyRef, Store, Ticket};
use super::time::{Instant, Now};
use super::version::{Context, Dot};

/// Who is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// A client of this node.
    Client(RequestId),
    /// A peer that forwarded the request.
    Forward {
        /// Its slot.
        from: u16,
        /// Its boot.
        boot: u64,
        /// The number that this boot gave the forward.
        number: u64,
    },
    /// A scan of this node.
    Scan(Doubt),
}

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Free,
    /// Waits for a cold read, then begins or goes on.
    Parked,
    /// Waits for R replicas.
    Reading,
    /// Waits until enough replicas hold what was read.
    Repairing,
    /// Answered; compares the replicas that were not needed.
    Background,
    /// Waits for W replicas.
    Writing,
    /// Nobody who could carry it out is known: waits for another topology.
    Waiting,
    /// Carried out by another node: its slot, and the forward's number.
    Forwarded(u16, u64),
    /// Waits for lists of a partition, or for reads of keys that differ in them.
    Scanning,
}

#[derive(Debug)]
struct Slot {
    generation: u32,
    phase: Phase,
    origin: Origin,
    keyspace: u16,
    partition: u16,
    position: u128,
    key: Vec<u8>,
    options: Options,
    quorum: Quorum,
    begun: Instant,
    deadline: Instant,
    tick: u64,
    attempts: u32,
    /// The request as it came, where it must be taken up again.
    request: Vec<u8>,
    /// The count of reaps of its partition when its read began (trap T6).
    reaps: u64,
    /// Bytes of its value, counted in [`Coordinator::bytes`].
    bytes: usize,
    reading: Reading,
    tally: WriteTally,
    /// Who stands in for replicas that cannot be reached.
    stand_ins: StandIns,
    /// The rank that this node stands in for, if it coordinates and is no replica.
    stands_for: Option<usize>,
    scanning: Scanning,
    /// What a write has found out for its reply.
    reply: Option<Box<Reply>>,
    dot: Option<Dot>,
    token: Option<Buffer>,
    /// What its answer is kept by.
    once: Option<Once>,
}

impl Slot {
    fn key_ref(&self) -> KeyRef<'_> {
        KeyRef { keyspace: self.keyspace, key: &self.key, position: self.position, partition: self.partition }
    }
}

/// Counters of a coordinator, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorCounters {
    /// Requests taken.
    pub requests: u64,
    /// Replies other than ok and not found.
    pub failures: u64,
    /// Copies sent to mend a stale replica.
    pub repairs: u64,
    /// Messages sent again, or to another replica, after a replica was late.
    pub retries: u64,
    /// Reads that asked one more replica, as one that was asked was later than it usually is.
    pub hedges: u64,
    /// Requests forwarded.
    pub forwards: u64,
}

/// All requests in flight on this node.
#[derive(Debug, Default)]
pub struct Coordinator {
    slots: Vec<Slot>,
    free: Vec<u32>,
    /// Bytes of the values that requests in flight write.
    bytes: usize,
    timer: Timer,
    due: Vec<u64>,
    forwards: Forwards,
    /// Requests that wait for a cold read.
    parked: BTreeMap<Ticket, Vec<u64>>,
    /// What reads have met.
    pub observed: Observed,
    /// What the host makes of siblings.
    pub merges: MergeFunctions,
    /// What was made of numbers that were read.
    numbers: Window,
    /// What was named by its caller.
    named: Window,
    /// Turns the choice of replicas to read from.
    rotor: usize,
    hedging: Hedging,
    /// For operators.
    pub counters: CoordinatorCounters,
}

impl Coordinator {
    /// Requests in flight.
    pub fn in_flight(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// When the first of them is due.
    pub fn deadline(&self) -> Instant {
        self.timer.deadline()
    }

    fn find(&self, handle: u64) -> Option<usize> {
        let index = (handle & u64::from(u32::MAX)) as usize;
        let slot = self.slots.get(index)?;
        (slot.phase != Phase::Free && slot.generation == (handle >> 32) as u32).then_some(index)
    }

    fn handle(&self, index: usize) -> u64 {
        u64::from(self.slots[index].generation) << 32 | index as u64
    }

    fn allocate(&mut self) -> usize {
        if let Some(index) = self.free.pop() {
            let slot = &mut self.slots[index as usize];
            slot.generation = slot.generation.checked_add(1).unwrap_or(1);
            return index as usize;
        }
        self.slots.push(Slot {
            generation: 1,
            phase: Phase::Free,
            origin: Origin::Client(RequestId(0)),
            keyspace: 0,
            partition: 0,
            position: 0,
            key: Vec::new(),
            options: Options::default(),
            quorum: Quorum::default(),
            begun: Instant::ZERO,
            deadline: Instant::ZERO,
            tick: 0,
            attempts: 0,
            request: Vec::new(),
            reaps: 0,
            bytes: 0,
            reading: Reading::default(),
            tally: WriteTally::default(),
            stand_ins: StandIns::default(),
            stands_for: None,
            scanning: Scanning::default(),
            reply: None,
            dot: None,
            token: None,
            once: None,
        });
        self.slots.len() - 1
    }
}

/// One turn of the coordinator: the node's parts, borrowed for the length of a call.
pub struct Turn<'a, S: Store> {
    /// What time it is.
    pub now: Now,
    /// The requests in flight.
    pub coordinator: &'a mut Coordinator,
    /// Our own copy.
    pub replica: &'a mut Replica<S>,
    /// What we keep for others.
    pub hints: &'a mut Hints<S>,
    /// Is told how long requests take.
    pub throttle: &'a mut Throttle,
    /// The others.
    pub peers: &'a mut Peers,
    /// Who holds what.
    pub routes: &'a Routes,
    /// The settings.
    pub config: &'a Config,
    /// The cluster's keys.
    pub keys: &'a ClusterKeys,
    /// Samples and tie-breaks.
    pub rng: &'a mut Rng,
    /// Replies to clients of this node.
    pub replies: &'a mut VecDeque<(RequestId, Reply)>,
}

impl<S: Store> Turn<'_, S> {
    /// Takes a request. `deadline` is the time left to it where it was forwarded.
    pub fn begin(&mut self, origin: Origin, request: &Request<'_>, deadline: Option<Instant>) {
        self.coordinator.counters.requests += 1;
        let position = position(&self.keys.hash, request.keyspace, request.key);
        let partition = self.routes.partition(position);
        let quorum = match self.check(request, partition) {
            Ok(quorum) => quorum,
            Err(outcome) => return self.answer(origin, Reply::bare(outcome)),
        };
        let timeout =
            request.options.timeout.unwrap_or(self.config.client_deadline).min(limits::DEADLINE_MAX);
        let deadline = deadline.unwrap_or(self.now.mono + timeout);
        let index = self.coordinator.allocate();
        let bytes = request.operation.value_bytes();
        // While there can be no set, nobody is bothered with what a release before them cannot read.
        let text_only = request.options.text_only && self.knows(LEVEL_OF_SETS);
        self.coordinator.bytes += bytes;
        let slot = &mut self.coordinator.slots[index];
        slot.phase = Phase::Parked;
        slot.origin = origin;
        slot.keyspace = request.keyspace;
        slot.position = position;
        slot.partition = partition;
        slot.key.clear();
        slot.key.extend_from_slice(request.key);
        slot.options = request.options;
        slot.options.text_only = text_only;
        slot.quorum = quorum;
        (slot.begun, slot.deadline) = (self.now.mono, deadline);
        slot.tick = timer::NONE;
        slot.attempts = 0;
        slot.request.clear();
        slot.bytes = bytes;
        slot.reading.reset();
        slot.stand_ins = StandIns::default();
        slot.stands_for = None;
        slot.reply = None;
        slot.dot = None;
        slot.token = None;
        let handle = self.coordinator.handle(index);
        self.carry_out(index, &request.operation);
        // Many have ended by now, and need no timer.
        if self.coordinator.find(handle).is_some() {
            self.schedule(index);
        }
    }

    /// The first step of a request that has a slot.
    fn carry_out(&mut self, index: usize, operation: &Operation<'_>) {
        if let Operation::Scan { cursor, limit } = *operation {
            return self.scan(index, cursor, limit);
        }
        if matches!(operation, Operation::Get) {
            return self.start_read(index);
        }
        if let Operation::Add(add) = operation {
            return self.begin_add(index, operation, add);
        }
        if self.own_readable_rank(index).is_none() || self.replica.read_only() {
            return self.forward(index, operation);
        }
        self.coordinate(index, operation);
    }

    /// The first step of a write that is coordinated here.
    fn coordinate(&mut self, index: usize, operation: &Operation<'_>) {
        if self.routes.are_meeting(self.now.mono) && self.lack_of_replicas(index).is_some() {
            return self.wait(index, operation);
        }
        if let Operation::Add(add) = operation {
            return self.coordinate_add(index, operation, add);
        }
        match self.reads_first(index, operation) {
            Ok(true) => {
                self.keep_request(index, operation);
                self.start_read(index);
            }
            Ok(false) => self.start_write(index, operation),
            Err(outcome) => self.finish(index, Reply::bare(outcome)),
        }
    }

    /// Too few replicas can be reached for now, and more may be soon: tried again until the deadline.
    fn wait(&mut self, index: usize, operation: &Operation<'_>) {
        self.keep_request(index, operation);
        self.coordinator.slots[index].phase = Phase::Waiting;
    }

    /// Whether a write must merge R replicas before it acts (trap T12): edits, deletes without a context,
    /// and puts whose context names dots beside its clock (trap T20).
    fn reads_first(&self, index: usize, operation: &Operation<'_>) -> Result<bool, Outcome> {
        match operation {
            Operation::Edit(_) | Operation::Delete { context: None, blind: Blind::Siblings } => Ok(true),
            Operation::Put { context: Some(token), .. } | Operation::Delete { context: Some(token), .. } => {
                Ok(!self.context(index, token)?.dots.is_empty())
            }
            _ => Ok(false),
        }
    }

    fn context(&self, index: usize, token: &[u8]) -> Result<Context, Outcome> {
        let slot = &self.coordinator.slots[index];
        Context::from_token(token, &self.keys.token, slot.keyspace, &slot.key)
            .map_err(|why| Outcome::BadContext(why.into()))
    }

    fn keep_request(&mut self, index: usize, operation: &Operation<'_>) {
        let slot = &mut self.coordinator.slots[index];
        slot.request.clear();
        let request = Request {
            keyspace: slot.keyspace,
            key: &slot.key,
            operation: operation.clone(),
            options: slot.options,
        };
        encode_request(&request, &mut slot.request);
    }

    /// The replicas of a request's key, by rank.
    fn replicas(&self, index: usize) -> Replicas {
        let slot = &self.coordinator.slots[index];
        self.routes.replicas(slot.keyspace, slot.partition)
    }

    fn own_rank(&self, index: usize) -> Option<usize> {
        self.replicas(index).rank(self.peers.own())
    }

    /// Our rank, if our copy is evidence: only then do we coordinate writes.
    fn own_readable_rank(&self, index: usize) -> Option<usize> {
        let own = self.peers.own();
        self.replicas(index).readable().find(|&(_, slot)| slot == own).map(|(rank, _)| rank)
    }

    /// Looks at the request again when a replica is late, or at its deadline.
    fn schedule(&mut self, index: usize) {
        let handle = self.coordinator.handle(index);
        let slot = &self.coordinator.slots[index];
        let late = (self.config.replica_deadline / 5) * (1 << slot.attempts.min(4));
        let late = self.now.mono + self.hedge_after(index).unwrap_or(late).min(late);
        let slot = &mut self.coordinator.slots[index];
        slot.tick = self.coordinator.timer.insert(late.min(slot.deadline), handle);
    }

    /// Takes up what is due.
    pub fn expire(&mut self) {
        let mut due = core::mem::take(&mut self.coordinator.due);
        self.coordinator.timer.expire(self.now.mono, &mut due);
        for handle in due.drain(..) {
            let Some(index) = self.coordinator.find(handle) else { continue };
            let slot = &mut self.coordinator.slots[index];
            // The timer has let go of it; a new entry under the same tick would be somebody else's.
            slot.tick = timer::NONE;
            if self.now.mono >= slot.deadline {
                self.end(index);
                continue;
            }
            if self.hedge_after(index).is_some() {
                self.hedge(index);
                self.schedule(index);
                continue;
            }
            self.coordinator.slots[index].attempts += 1;
            self.schedule(index);
            match self.coordinator.slots[index].phase {
                Phase::Reading => self.read_more(index),
                Phase::Repairing => self.send_repairs(index),
                Phase::Writing => self.write_again(index),
                Phase::Forwarded(to, number) => self.forward_again(index, to, number),
                Phase::Scanning => self.scan_again(index),
                Phase::Waiting => self.take_up(index),
                Phase::Free | Phase::Parked | Phase::Background => {}
            }
        }
        self.coordinator.due = due;
    }

    /// The deadline has passed, nobody waits any more, or the node closes: says what is known.
    fn end(&mut self, index: usize) {
        let slot = &self.coordinator.slots[index];
        match slot.phase {
            Phase::Background => self.end_background(index),
            Phase::Repairing => {
                self.finish_read(index, true);
                // Nobody looks at it again, so it does not wait for late answers.
                if self.coordinator.slots[index].phase == Phase::Background {
                    self.end_background(index);
                }
            }
            Phase::Writing => self.finish_write(index, Outcome::Maybe),
            Phase::Forwarded(to, number) => {
                let handle = self.coordinator.handle(index);
                self.coordinator.forwards.give_up(to, number, handle);
                self.finish(index, Reply::bare(Outcome::Maybe));
            }
            Phase::Waiting if !slot.request.is_empty() => {
                let outcome = self.lack_of_replicas(index).unwrap_or(Outcome::WrongLayout);
                self.finish(index, Reply::bare(outcome));
            }
            // A write that was still waiting for the disk has written nothing, and may be tried again.
            Phase::Parked if !slot.request.is_empty() => self.finish(index, Reply::bare(Outcome::Overloaded)),
            Phase::Scanning => self.end_scan(index, Outcome::Timeout),
            Phase::Reading | Phase::Parked | Phase::Waiting => {
                let mut reply = Reply::bare(Outcome::Timeout);
                reply.achieved.asked = slot.quorum.r;
                reply.achieved.acked = slot.reading.answered.len().min(slot.quorum.r);
                self.finish(index, reply);
            }
            Phase::Free => {}
        }
    }

    /// Ends everything in flight, for shutdown.
    pub fn close(&mut self) {
        for index in 0..self.coordinator.slots.len() {
            self.end(index);
        }
    }

    /// Gives the reply and frees the slot.
    fn finish(&mut self, index: usize, reply: Reply) {
        self.coordinator.end_once(index, &reply);
        self.note_answered(index);
        let origin = self.coordinator.slots[index].origin;
        self.free(index);
        self.answer(origin, reply);
    }

    /// A request is answered; what a client has waited is what work in the background gives way to. A scan takes as
    /// long as there are keys.
    fn note_answered(&mut self, index: usize) {
        let slot = &self.coordinator.slots[index];
        if matches!(slot.origin, Origin::Client(_)) && slot.phase != Phase::Scanning {
            self.throttle.answered(self.now.mono, self.now.mono.since(slot.begun));
        }
    }

    fn free(&mut self, index: usize) {
        let slot = &mut self.coordinator.slots[index];
        slot.phase = Phase::Free;
        self.coordinator.bytes -= core::mem::take(&mut slot.bytes);
        self.coordinator.timer.cancel(slot.tick);
        self.coordinator.free.push(index as u32);
        slot.reading.release();
        slot.scanning.release();
        slot.reply = None;
        slot.token = None;
        for buffer in [&mut slot.key, &mut slot.request] {
            if buffer.capacity() > limits::SLOT_BUFFER_KEPT {
                *buffer = Vec::new();
            }
        }
    }

    fn answer(&mut self, origin: Origin, reply: Reply) {
        if !matches!(reply.outcome, Outcome::Ok | Outcome::NotFound) {
            self.coordinator.counters.failures += 1;
        }
        match origin {
            Origin::Client(id) => self.replies.push_back((id, reply)),
            Origin::Forward { from, boot, number } => self.answer_forward(from, boot, number, &reply),
            Origin::Scan(doubt) => self.scan_decided(doubt, &reply),
        }
    }

    /// Parks a request until a cold read is done.
    fn park(&mut self, index: usize, ticket: Ticket) {
        let handle = self.coordinator.handle(index);
        self.coordinator.slots[index].phase = Phase::Parked;
        self.coordinator.parked.entry(ticket).or_default().push(handle);
    }

    /// A cold read is done: what waited for it goes on.
    pub fn resume(&mut self, ticket: Ticket) {
        for handle in self.coordinator.parked.remove(&ticket).unwrap_or_default() {
            let Some(index) = self.coordinator.find(handle) else { continue };
            let slot = &mut self.coordinator.slots[index];
            if slot.reading.answered.len() >= slot.quorum.r && slot.reading.complete {
                slot.phase = Phase::Reading;
                self.complete_read(index);
                continue;
            }
            self.take_up(index);
        }
    }

    /// A record of ours became safe, or never will. Of an old copy it counts for nobody.
    pub fn released(&mut self, released: Released) {
        let Released { waiter, durable, failed } = released;
        let counts = self.routes.may_acknowledge();
        match waiter {
            Waiter::Peer(slot, request_id) if counts => {
                let stored = match (failed, durable) {
                    (true, _) => Stored::ReadOnly,
                    (false, true) => Stored::Durable,
                    (false, false) => Stored::Stored,
                };
                self.peers.send(slot, request_id, &super::message::Message::Acknowledge(stored));
            }
            Waiter::Peer(..) => {}
            Waiter::Own(handle) => {
                let Some(index) = self.coordinator.find(handle) else { return };
                let Some(rank) = self.own_rank(index) else { return };
                self.stored(index, rank, (counts && !failed).then_some(durable));
            }
            Waiter::Hint(..) => unreachable!("hints wait for their own log"),
        }
    }

    /// What a peer echoes: the handle, veiled by this boot's random bits, so that a late answer to a request
    /// of an earlier boot is taken for nobody's.
    fn wire_id(&self, index: usize) -> u64 {
        self.coordinator.handle(index) ^ self.replica.identity().nonce
    }

    fn find_wire_id(&self, id: u64) -> Option<usize> {
        self.coordinator.find(id ^ self.replica.identity().nonce)
    }

    /// A peer's answer to a `Replicate`.
    pub fn acknowledged(&mut self, from: u16, id: u64, stored: Stored) {
        self.coordinator.observed.acknowledged(self.now.mono, id);
        let Some(index) = self.find_wire_id(id) else { return };
        let Some(rank) = self.replicas(index).rank(from) else { return };
        self.stored(
            index,
            rank,
            match stored {
                Stored::Stored => Some(false),
                Stored::Durable => Some(true),
                Stored::Full | Stored::ReadOnly | Stored::Overloaded => None,
            },
        );
    }

    /// A machine is further with reaping than what it was sent: a write goes again as it is read now, a repair is given
    /// up.
    pub fn refused_as_stale(&mut self, from: u16, id: u64) {
        let Some(index) = self.find_wire_id(id) else { return };
        let rank = self.replicas(index).rank(from);
        match (self.coordinator.slots[index].phase, rank) {
            (Phase::Writing, Some(_)) => self.write_again_to(index, |slot| slot == from),
            (Phase::Writing, None) => {
                if let Some(object) = self.own_object(index) {
                    self.hint_again(index, &object);
                }
            }
            (Phase::Repairing, _) => {
                let stand_in = self.coordinator.slots[index].stand_ins.rank_of(from);
                if let Some(rank) = rank.or(stand_in) {
                    self.repair_stored(index, rank, false);
                }
            }
            _ => {}
        }
    }

    /// A replica has stored what a write or a repair sent (durably or not), or refused it.
    fn stored(&mut self, index: usize, rank: usize, durable: Option<bool>) {
        match self.coordinator.slots[index].phase {
            Phase::Writing => self.write_stored(index, rank, durable),
            Phase::Repairing => self.repair_stored(index, rank, durable.is_some()),
            _ => {}
        }
    }

    /// A peer is gone: whoever waits for it looks elsewhere, or ends.
    pub fn peer_down(&mut self, slot: u16) {
        for index in 0..self.coordinator.slots.len() {
            let phase = self.coordinator.slots[index].phase;
            if matches!(phase, Phase::Free | Phase::Parked | Phase::Waiting | Phase::Forwarded(..)) {
                continue;
            }
            if phase == Phase::Scanning {
                self.list_again(index, slot);
                continue;
            }
            let Some(rank) = self.replicas(index).rank(slot) else {
                self.stand_in_down(index, slot);
                continue;
            };
            match phase {
                Phase::Reading | Phase::Background => self.read_lost(index, rank),
                Phase::Repairing => self.repair_stored(index, rank, false),
                Phase::Writing => self.write_lost(index),
                _ => {}
            }
        }
    }
}
