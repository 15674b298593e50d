//! Partitions on their way: what is new to this node is fetched from old replicas until it is evidence (rule
//! L1), and what is not its any more is offered to the new replicas once more before it is dropped (rule L2).
//!
//! ```text
//!  fetch      compare a run with an old replica ──► take what differs ──► next run, next replica ──► on disk: done
//!  hand over  compare a run with a new replica ──► send what it lacks ──► next run, next replica ──► drop
//! ```
//!
//! Both go through a partition in position order, a run of records at a time, and both ask for one message at a
//! time and partition: the receiver sets the pace. A run names what its sender has by digests, so nothing
//! travels that is there already, and a transfer that was cut short goes on where it was.

use core::ops::ControlFlow;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::cluster::{Scene, Topology};
use super::compare::{Run, own_run, record_at, take_records};
use super::config::Config;
use super::io::MemberId;
use super::limits;
use super::message::{Acks, Compare, Compared, DIGEST_BYTES, Message};
use super::pace::Pace;
use super::replica::{Refusal, Replica};
use super::routes::Routes;
use super::store::{KeyRef, Note, Sequence, Store};
use super::time::{Instant, Now};
use super::wire::WireError;

/// How soon something is tried again that could not be done.
const RETRY: core::time::Duration = core::time::Duration::from_millis(50);

/// Jobs that wait and are tried at one time.
const TRIES_MAX: usize = 64;

/// How far a job has come in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A message has left, or may.
    Sent,
    /// Nobody is there for it.
    Blocked,
    /// Nothing is left to do but to wait for the disk, or nothing at all.
    Ended,
}

/// What is done with a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It is new here, or some of its keyspaces are. What lies here of earlier times is superseded by what is fetched, or
    /// was never elsewhere: if no key was reaped meanwhile, no old record returns a delete. Otherwise it is dropped
    /// first (trap T5), unless it is evidence.
    Fetch,
    /// It is not ours any more, or not of every keyspace: offered, then dropped, unless some of it is.
    HandOver,
}

/// One partition on its way.
#[derive(Debug)]
struct Job {
    kind: Kind,
    /// Whom it was compared with from end to end.
    met: Vec<MemberId>,
    /// Whom it is being compared with.
    peer: Option<u16>,
    /// Where the comparison has come to, and the end of the run under way.
    from: u64,
    until: Option<u64>,
    /// When an answer is given up, or the next step is due.
    due: Instant,
    is_asked: bool,
    /// The count of reaps when it was asked.
    reaps: u64,
    /// Prefixes of records that the peer lacks and that were not sent yet; how many that were are not acknowledged.
    lacking: Vec<u64>,
    unacknowledged: u32,
    /// Where to go on when they are.
    next: Option<u64>,
    /// Whose answer was unfit, or did not come: others first.
    avoided: Vec<u16>,
}

/// Counters of transfers, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransferCounters {
    /// Records taken from old replicas.
    pub records_taken: u64,
    /// Bytes of records taken from old replicas.
    pub bytes_taken: u64,
    /// Bytes of records sent to new replicas.
    pub bytes_sent: u64,
    /// Partitions fetched.
    pub fetched: u64,
    /// Partitions dropped.
    pub dropped: u64,
}

/// All partitions on their way.
#[derive(Debug, Default)]
pub struct Transfers {
    jobs: BTreeMap<u16, Job>,
    /// Partitions that are new here in the transition under way, and those of them that are fetched.
    total: u32,
    done: BTreeSet<u16>,
    /// What the jobs were planned for: both layouts' versions, and whether reads are on the second.
    stage: Option<(u64, u64, bool)>,
    /// Jobs under way; those that wait for a place among them, or for a peer; and those that are on their way to
    /// disk, with what must be there.
    running: Vec<u16>,
    waiting: VecDeque<u16>,
    syncing: Vec<(Sequence, u16)>,
    /// No job that waits is begun before this.
    wait_until: Instant,
    /// Bytes taken in this transition.
    bytes: u64,
    /// No more is asked for before this: the pace.
    pace: Pace,
    /// Numbers of records that were sent and are to be acknowledged, with their partitions.
    sent: BTreeMap<u64, u16>,
    number: u64,
    /// For operators.
    pub counters: TransferCounters,
}

impl Job {
    fn new(kind: Kind, partitions: u32, partition: u16) -> Job {
        Job {
            kind,
            met: Vec::new(),
            peer: None,
            from: start_of(partitions, partition),
            until: None,
            due: Instant::ZERO,
            is_asked: false,
            reaps: 0,
            lacking: Vec::new(),
            unacknowledged: 0,
            next: None,
            avoided: Vec::new(),
        }
    }

    /// Begins with another peer, or again.
    fn restart(&mut self, partitions: u32, partition: u16) {
        let (kind, met, avoided) =
            (self.kind, std::mem::take(&mut self.met), std::mem::take(&mut self.avoided));
        *self = Job { met, avoided, ..Job::new(kind, partitions, partition) };
    }
}

/// The first position prefix of a partition.
fn start_of(partitions: u32, partition: u16) -> u64 {
    ((u128::from(partition) << 64) / u128::from(partitions)) as u64
}

impl Transfers {
    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.jobs.is_empty()
    }

    /// Partitions that are new here, how many of them are not fetched yet, and bytes taken for them.
    pub fn progress(&self) -> (u32, u32, u64) {
        (self.total, self.total - self.done.len() as u32, self.bytes)
    }

    /// The topology has changed, or is found at the start: plans what is new here, and forgets what is not any
    /// more.
    pub fn follow<S: Store>(&mut self, scene: &mut Scene<'_, S>, topology: &Topology) {
        let partitions = topology.current().partitions();
        let next = topology.next().map_or(0, super::ring::Layout::version);
        let stage = Some((topology.current().version(), next, topology.is_flipped()));
        // What operators stage moves nothing.
        if self.stage == stage {
            return;
        }
        self.stage = stage;
        let arrivals = topology.arrivals(scene.own, scene.config);
        (self.total, self.bytes) = (arrivals.len() as u32, 0);
        self.done.clear();
        self.sent.clear();
        self.running.clear();
        self.syncing.clear();
        self.wait_until = Instant::ZERO;
        let job = |kind, partition| (partition, Job::new(kind, partitions, partition));
        self.jobs = arrivals.into_iter().map(|partition| job(Kind::Fetch, partition)).collect();
        let generation = scene.replica.identity().generation;
        // A directory that the cluster does not know offers nothing before it is let in.
        let is_known = topology.member(scene.own).is_none() || topology.is_seated(scene.own, generation);
        if topology.next().is_none() && topology.is_kept() && is_known {
            // What lies here and belongs to others.
            let own = topology.current().slot_of(scene.own);
            let is_ours = |partition| {
                own.is_some_and(|own| {
                    let lists = 0..limits::KEYSPACES_MAX;
                    lists
                        .into_iter()
                        .all(|keyspace| topology.current().replicas(keyspace, partition).contains(&own))
                })
            };
            let lies = |partition| scene.replica.store().partition_stats(partition).keys > 0;
            let all = (0..partitions).map(|partition| partition as u16);
            let others = all.filter(|&partition| !is_ours(partition) && lies(partition));
            self.jobs.extend(others.map(|partition| job(Kind::HandOver, partition)));
            self.wait_until = scene.now.mono + scene.config.drop_after;
        }
        self.waiting = self.jobs.keys().copied().collect();
    }

    /// The directory is not the one that all of this was planned for.
    pub fn start_over(&mut self) {
        self.stage = None;
    }

    /// Goes on with what can go on. Returns whether the progress has changed.
    pub fn carry_on<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        topology: &Topology,
        routes: &Routes,
    ) -> bool {
        let before = self.progress();
        self.end_syncing(scene);
        for partition in std::mem::take(&mut self.running) {
            self.go_on(scene, topology, routes, partition);
        }
        let now = scene.now.mono;
        // Each that waits is tried once.
        let mut tries = self.waiting.len().min(TRIES_MAX);
        while self.running.len() < limits::TRANSFER_WIDTH
            && now >= self.wait_until
            && now >= self.pace.next_at()
        {
            let Some(partition) = self.waiting.pop_front() else { break };
            self.go_on(scene, topology, routes, partition);
            tries -= 1;
            if tries == 0 {
                self.wait_until = now + RETRY;
            }
        }
        before != self.progress()
    }

    /// What was fetched counts once it is on disk, with the count of reaps that it is known as of.
    fn end_syncing<S: Store>(&mut self, scene: &mut Scene<'_, S>) {
        scene.replica.settle_reaps();
        let store = scene.replica.store();
        let (durable, is_vouched) = (store.marks().durable, store.is_kept(Note::Reaps));
        let (jobs, done, counters) = (&mut self.jobs, &mut self.done, &mut self.counters);
        self.syncing.retain(|&(safe_at, partition)| {
            let is_safe = durable >= safe_at && is_vouched;
            if is_safe {
                jobs.remove(&partition);
                done.insert(partition);
                counters.fetched += 1;
            }
            !is_safe
        });
    }

    /// One job, as far as it can go: it runs on, waits, is on its way to disk, or has ended.
    fn go_on<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        topology: &Topology,
        routes: &Routes,
        partition: u16,
    ) {
        let now = scene.now.mono;
        let Some(job) = self.jobs.get_mut(&partition) else { return };
        if job.is_asked || job.unacknowledged > 0 {
            if now < job.due {
                self.running.push(partition);
                return;
            }
            // No answer: somebody else may have one.
            let peer = job.peer.take();
            job.avoided.extend(peer);
            job.restart(routes.partitions(), partition);
            self.sent.retain(|_, sent| *sent != partition);
        } else if now < job.due || now < self.pace.next_at() {
            self.running.push(partition);
            return;
        }
        match self.step(scene, (topology, routes), partition) {
            Step::Sent => self.running.push(partition),
            Step::Blocked => self.waiting.push_back(partition),
            Step::Ended => {}
        }
    }

    /// The next message of a job.
    fn step<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        (topology, routes): (&Topology, &Routes),
        partition: u16,
    ) -> Step {
        match self.choose_peer(scene, (topology, routes), partition) {
            Step::Sent => {}
            other => return other,
        }
        let job = self.jobs.get_mut(&partition).expect("it runs");
        if !job.lacking.is_empty() {
            self.send_lacking(scene, routes, partition);
            return Step::Sent;
        }
        let sends = job.kind == Kind::Fetch;
        let peer = job.peer.expect("it was chosen");
        let own = scene.peers.own();
        let concerns = |keyspace| sends || is_handed_over(routes, partition, keyspace, own, peer);
        let Run { digests, until } = own_run(scene.replica.store(), partition, (job.from, None), concerns);
        job.until = until;
        job.is_asked = true;
        job.due = scene.now.mono + limits::TRANSFER_TIMEOUT;
        let compare = Compare {
            partition,
            keyspace: None,
            from: job.from,
            until,
            sends,
            tells: !sends,
            whole: false,
            digests: &digests,
        };
        job.reaps = scene.replica.reaps().of(partition);
        scene.peers.send_counted(peer, 0, job.reaps, &Message::Compare(compare));
        let looked_at = (digests.len() / DIGEST_BYTES) as u64;
        self.slow_down(scene.config, scene.now, looked_at * limits::TRANSFER_DIGEST_COST);
        Step::Sent
    }

    /// Finds whom to compare with, if nobody is; ends the job where nobody is needed any more. *Sent* if there is
    /// somebody.
    fn choose_peer<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        (topology, routes): (&Topology, &Routes),
        partition: u16,
    ) -> Step {
        let job = self.jobs.get_mut(&partition).expect("it runs");
        if job.peer.is_some() {
            return Step::Sent;
        }
        let (whom, is_over) = match job.kind {
            Kind::Fetch => (
                topology.sources(partition, scene.own),
                topology.is_reconciled(partition, scene.own, &job.met, scene.config),
            ),
            Kind::HandOver => {
                let layout = topology.reading();
                let list = layout.preference_list(partition).iter();
                let owners: Vec<MemberId> = list.map(|&slot| layout.member(slot).id).collect();
                // Of every keyspace's replicas all but one, and more than half.
                let is_over = (0..limits::KEYSPACES_MAX).all(|keyspace| {
                    let owners = &owners[..layout.replica_count(keyspace)];
                    let met = owners.iter().filter(|id| job.met.contains(id)).count();
                    owners.contains(&scene.own) || (met * 2 > owners.len() && met + 1 >= owners.len())
                }) || planted!("drop_unverified");
                (owners, is_over)
            }
        };
        if is_over {
            return self.end(scene, (topology, routes), partition);
        }
        let whom = whom.into_iter().filter(|id| *id != scene.own && !job.met.contains(id));
        let slots: Vec<u16> = whom.map(|id| scene.peers.meet(id)).collect();
        let usable: Vec<u16> = slots.into_iter().filter(|&slot| scene.peers.usable(slot)).collect();
        // Each in its turn: which of them follows the transition by now shows in its answer.
        if usable.iter().all(|slot| job.avoided.contains(slot)) {
            job.avoided.clear();
        }
        job.peer = usable.into_iter().find(|slot| !job.avoided.contains(slot));
        if job.peer.is_none() {
            return Step::Blocked;
        }
        Step::Sent
    }

    /// A job has met everybody that it must.
    fn end<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        (topology, routes): (&Topology, &Routes),
        partition: u16,
    ) -> Step {
        let job = self.jobs.get_mut(&partition).expect("it runs");
        if job.kind == Kind::Fetch {
            self.syncing.push((scene.replica.last_put(), partition));
            scene.replica.want_sync();
            return Step::Ended;
        }
        // Some keyspaces' keys of it stay.
        if is_held(topology.current(), scene.own, partition) {
            if scene.config.reap_after.is_some() && !remove_others(scene, routes, partition) {
                return Step::Blocked;
            }
            self.jobs.remove(&partition);
            return Step::Ended;
        }
        if scene.replica.drop_partition(scene.now, partition).is_err() {
            return Step::Blocked;
        }
        self.counters.dropped += 1;
        self.jobs.remove(&partition);
        Step::Ended
    }

    /// Sends a share of the records that the peer lacks.
    fn send_lacking<S: Store>(&mut self, scene: &mut Scene<'_, S>, routes: &Routes, partition: u16) {
        let job = self.jobs.get_mut(&partition).expect("it runs");
        let peer = job.peer.expect("it was chosen");
        let mut bytes = 0;
        while bytes < limits::TRANSFER_PAGE
            && let Some(prefix) = job.lacking.pop()
        {
            let peers = &mut *scene.peers;
            let concerns = |keyspace, _| is_handed_over(routes, partition, keyspace, peers.own(), peer);
            for (keyspace, key, object) in record_at(scene.replica.store(), partition, prefix, concerns) {
                bytes += key.len() + object.len();
                self.number += 1;
                // Coordinators' numbers have a generation above 0 in their upper half, delivered hints bit 31.
                let number = self.number & u64::from(u32::MAX >> 1);
                self.sent.insert(number, partition);
                job.unacknowledged += 1;
                // What is dropped here was on disk.
                let acks = Acks { stored: false, durable: true };
                let id = number ^ scene.replica.identity().nonce;
                let is_member = routes.is_member(peers.own());
                let reaps = scene.replica.reaps().of_leftovers(partition, is_member);
                let message = Message::Replicate { keyspace, key: &key, acks, object: &object };
                peers.send_counted(peer, id, reaps, &message);
            }
        }
        self.counters.bytes_sent += bytes as u64;
        job.due = scene.now.mono + limits::TRANSFER_TIMEOUT;
        if job.unacknowledged == 0 {
            // They have gone meanwhile.
            self.advance(scene, partition);
        }
        self.slow_down(scene.config, scene.now, bytes as u64);
    }

    /// A peer has stored a record of ours, or refuses to. False if it is no answer to us.
    pub fn acknowledged<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        from: u16,
        id: u64,
        is_stored: bool,
    ) -> bool {
        let number = id ^ scene.replica.identity().nonce;
        let Some(partition) = self.sent.remove(&number) else { return false };
        let Some(job) = self.jobs.get_mut(&partition).filter(|job| job.peer == Some(from)) else {
            return true;
        };
        if !is_stored {
            return true;
        }
        job.unacknowledged = job.unacknowledged.saturating_sub(1);
        if job.unacknowledged == 0 {
            job.due = Instant::ZERO;
            if job.lacking.is_empty() {
                self.advance(scene, partition);
            }
        }
        true
    }

    /// A run is done: on to the next, or this peer was met from end to end.
    fn advance<S: Store>(&mut self, scene: &mut Scene<'_, S>, partition: u16) {
        let job = self.jobs.get_mut(&partition).expect("it runs");
        job.due = Instant::ZERO;
        match job.next.take() {
            Some(next) => job.from = next,
            None => {
                let peer = job.peer.take().expect("it was chosen");
                job.met.push(scene.peers.peer(peer).id);
                job.restart(scene.config.partitions, partition);
            }
        }
    }

    /// Whether keys of a partition that is fetched were reaped since what lies here of it was last vouched for, as somebody
    /// says by this count.
    fn is_behind<S: Store>(
        &self,
        scene: &Scene<'_, S>,
        topology: &Topology,
        partition: u16,
        reaps: u64,
    ) -> bool {
        let own = (scene.own, scene.replica.identity().generation);
        self.jobs.get(&partition).is_some_and(|job| job.kind == Kind::Fetch)
            && reaps > scene.replica.reaps().proven(partition)
            && !is_evidence(topology, own, partition)
    }

    /// Takes out what may be what was deleted by what was reaped, and so offers nothing (trap T5). It is fetched as if
    /// there were nothing.
    fn empty<S: Store>(&mut self, scene: &mut Scene<'_, S>, topology: &Topology, partition: u16, reaps: u64) {
        let job = self.jobs.get_mut(&partition).expect("it runs");
        if scene.replica.empty_partition(scene.now, partition, reaps).is_err() {
            (job.is_asked, job.due) = (false, scene.now.mono + RETRY);
            return;
        }
        job.met.clear();
        job.restart(topology.current().partitions(), partition);
    }

    /// A record comes that was read under this count of reaps. If what lies here must go it goes now, and not when this
    /// record is promised and would go with it. False: it cannot be taken now, and comes again.
    pub fn make_way<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        topology: &Topology,
        partition: u16,
        reaps: u64,
    ) -> bool {
        if !self.is_behind(scene, topology, partition, reaps) || planted!("promised_and_emptied") {
            return true;
        }
        // Or the answer to what was asked does it, which speaks of what lies here now.
        let is_empty = scene.replica.store().partition_stats(partition).keys == 0;
        if is_empty || !self.jobs[&partition].is_asked {
            self.empty(scene, topology, partition, reaps);
        }
        !self.is_behind(scene, topology, partition, reaps)
    }

    /// What a peer has that we have not, or lacks that we have; it said so under this version of the topology.
    ///
    /// # Errors
    /// A cold read is under way: the frame is taken again after it.
    pub fn compared<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        (topology, routes): (&Topology, &Routes),
        (from, version, reaps): (u16, u32, u64),
        compared: &Compared<'_>,
    ) -> Result<(), Refusal> {
        let partition = compared.partition;
        let now = scene.now;
        let Some(job) = self.jobs.get_mut(&partition) else { return Ok(()) };
        if !job.is_asked || job.peer != Some(from) || job.from != compared.from {
            return Ok(());
        }
        let leads_back = compared.next.is_some_and(|next| next <= compared.from);
        // Only who follows the transition has ended with what came before it (trap T8).
        let follows = topology.next().map_or(topology.current().version(), super::ring::Layout::version);
        if compared.is_unfit || leads_back || u64::from(version) < follows {
            job.avoided.push(from);
            job.restart(routes.partitions(), partition);
            job.due = now.mono + RETRY;
            return Ok(());
        }
        if scene.replica.is_stale(partition, job.reaps) {
            // Records of before a reap may be among them: the same run again.
            (job.is_asked, job.due) = (false, Instant::ZERO);
            return Ok(());
        }
        if self.is_behind(scene, topology, partition, reaps) {
            self.empty(scene, topology, partition, reaps);
            return Ok(());
        }
        let job = self.jobs.get_mut(&partition).expect("it runs");
        if job.kind == Kind::Fetch {
            let taken = take_records(scene, routes, compared.records, |_, _, _| ());
            let job = self.jobs.get_mut(&partition).expect("it runs");
            match taken {
                Ok((records, bytes)) => {
                    self.counters.records_taken += records;
                    self.counters.bytes_taken += bytes;
                    self.bytes += bytes;
                    self.slow_down(scene.config, now, bytes);
                }
                Err(Refusal::Pending(ticket)) => return Err(Refusal::Pending(ticket)),
                Err(_) => {
                    // No room now: the same run again.
                    job.is_asked = false;
                    job.due = now.mono + RETRY;
                    return Ok(());
                }
            }
        }
        let job = self.jobs.get_mut(&partition).expect("it runs");
        job.is_asked = false;
        job.next = compared.next.or(job.until);
        if job.kind != Kind::Fetch {
            let prefix = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
            // Who left is not asked before keys are reaped: what it alone has may be what was deleted (trap T5). The
            // transition has taken from it what was acknowledged.
            let proven = scene.replica.reaps().proven(partition);
            let offers = routes.is_member(scene.peers.own()) || reaps <= proven;
            let lacking = compared.lacking.chunks_exact(8).filter(|_| offers);
            job.lacking = lacking.map(prefix).collect();
            job.lacking.dedup();
        }
        if job.lacking.is_empty() {
            self.advance(scene, partition);
        } else {
            job.due = Instant::ZERO;
        }
        Ok(())
    }

    /// Holds the pace: so many bytes a second.
    fn slow_down(&mut self, config: &Config, now: Now, bytes: u64) {
        self.pace.slow_down(now, config.transfer_rate, bytes);
    }

    /// A peer is gone: whoever was compared with it begins with another.
    pub fn peer_down(&mut self, slot: u16, partitions: u32) {
        let (jobs, sent) = (&mut self.jobs, &mut self.sent);
        for (&partition, job) in jobs.iter_mut().filter(|(_, job)| job.peer == Some(slot)) {
            job.restart(partitions, partition);
            // It may acknowledge them yet, over another connection: that says nothing of the comparison that begins anew.
            sent.retain(|_, of| *of != partition);
        }
    }

    /// When [`Transfers::carry_on`] is due although nothing else happens.
    pub fn deadline<S: Store>(&self, replica: &Replica<S>) -> Instant {
        let store = replica.store();
        let durable = store.marks().durable;
        if store.is_kept(Note::Reaps) && self.syncing.iter().any(|&(safe_at, _)| durable >= safe_at) {
            return Instant::ZERO;
        }
        let running = self.running.iter().filter_map(|partition| self.jobs.get(partition));
        let due =
            running.map(|job| if job.is_asked { job.due } else { job.due.max(self.pace.next_at()) }).min();
        let has_room = self.running.len() < limits::TRANSFER_WIDTH && !self.waiting.is_empty();
        let next = if has_room { self.wait_until.max(self.pace.next_at()) } else { Instant::NEVER };
        due.unwrap_or(Instant::NEVER).min(next)
    }
}

/// Whether a member is a replica of a partition, of any keyspace.
fn is_held(layout: &super::ring::Layout, member: MemberId, partition: u16) -> bool {
    layout.slot_of(member).is_some_and(|slot| layout.preference_list(partition).contains(&slot))
}

/// Whether a directory's copy of a partition is evidence, of any keyspace, as the transition begins. However many attempts to
/// reap it has not heard of, none of them took a key out: each needs its word. Reads count on what it holds, and what it
/// holds of keyspaces that are new to it was asked about as well.
fn is_evidence(topology: &Topology, (member, generation): (MemberId, u64), partition: u16) -> bool {
    let layout = topology.current();
    let bound = layout.slot_of(member).map(|slot| layout.member(slot).generation);
    bound == Some(generation) && is_held(layout, member, partition)
}

/// Takes keys out of a partition that are of keyspaces of which we hold no copy: as long as they lie here they keep their
/// like from being reaped. False if there may be more.
fn remove_others<S: Store>(scene: &mut Scene<'_, S>, routes: &Routes, partition: u16) -> bool {
    let own = scene.peers.own();
    let mut others = Vec::new();
    scene.replica.store().scan(partition, 0, &mut |key, _| {
        let replicas = routes.replicas(key.keyspace.min(limits::KEYSPACES_MAX - 1), partition);
        if replicas.rank(own).is_none() {
            others.push((key.keyspace, key.key.to_vec(), key.position));
        }
        match others.len() < limits::SWEEP_RECORDS_MAX {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    });
    let is_all = others.len() < limits::SWEEP_RECORDS_MAX;
    let mut remove = |(keyspace, key, position): &(u16, Vec<u8>, u128)| {
        let key = KeyRef { keyspace: *keyspace, key, position: *position, partition };
        scene.replica.remove(scene.now, &key).is_ok()
    };
    others.iter().all(&mut remove) && is_all
}

/// Whether a keyspace's keys of a partition belong to a peer, and not to us.
fn is_handed_over(routes: &Routes, partition: u16, keyspace: u16, own: u16, peer: u16) -> bool {
    let replicas = routes.replicas(keyspace.min(limits::KEYSPACES_MAX - 1), partition);
    replicas.rank(peer).is_some() && replicas.rank(own).is_none()
}

impl From<WireError> for Refusal {
    fn from(error: WireError) -> Refusal {
        Refusal::Malformed(error)
    }
}
