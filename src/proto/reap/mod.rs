//! Reaping: a key whose record only says that it is deleted leaves every copy, once it is proven that nothing older of
//! it is left anywhere (trap T6; expired values too, trap T13).
//!
//! ```text
//!  first replica                   every member
//!  look for tombstones that are old enough
//!  Prove 0 ──────────────────────► look, and say what you know; then, of those that all are sure of:
//!  Prove n ──────────────────────► from now on: refuse what was read under a count below n; then look
//!                                  a replica: is it this record?   anybody else: nothing of the key?
//!                                  and no hint of the key?         all of it, and n, on disk ──► Proved n
//!  everybody: fine
//!  Reap n ────► the replicas       take it out, if it still is this record
//! ```
//!
//! What is still on its way from before (a repair, a hint, a record of an exchange or a transfer, or what a request has
//! read) names a lower count than n and is refused, wherever it arrives; its sender reads again, and holds nothing older
//! than the tombstone. So the count must rise in the very moment in which a member looks: one that has heard of n before
//! refuses the attempt, and the next one takes a higher number. No number is used twice: a node leases its own on disk.
//!
//! A member that cannot be asked blocks every reap, as does one that is of an earlier release. Nothing is lost by a reap
//! that stops half-way: who has not reaped gives its tombstone back, and it is reaped again.

mod counts;
mod proving;

pub use counts::Counts;
pub use proving::{examine, is_over};

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

use super::config::Config;
use super::hints::Hints;
use super::limits;
use super::message::{Evidence, LEVEL_OF_REAPS, Message, Proof, Question, Tomb, put_tomb};
use super::peers::Peers;
use super::replica::Replica;
use super::routes::Routes;
use super::store::{KeyRef, Note, Sequence, Store};
use super::time::{Instant, Now};
use super::version::Object;

/// Counters of reaping, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReapCounters {
    /// Keys that this node proposed.
    pub nominated: u64,
    /// Keys taken out of this node's copy.
    pub reaped: u64,
    /// Keys that stay for now, as a member could not be asked or did not answer.
    pub blocked_by_peer: u64,
    /// As a copy is another one.
    pub blocked_by_difference: u64,
    /// As somebody keeps a hint of them.
    pub blocked_by_hint: u64,
    /// As their partition moves.
    pub blocked_by_move: u64,
}

/// What reaping works with.
pub struct Field<'a, S: Store> {
    /// What time it is.
    pub now: Now,
    /// The settings.
    pub config: &'a Config,
    /// The key that positions are hashed with.
    pub hash_key: &'a super::keys::Key,
    /// Who holds what.
    pub routes: &'a Routes,
    /// The others.
    pub peers: &'a mut Peers,
    /// Our own copy.
    pub replica: &'a mut Replica<S>,
    /// What we keep for others.
    pub hints: &'a mut Hints<S>,
}

/// A key that is to be reaped.
#[derive(Clone, Debug)]
struct Candidate {
    keyspace: u16,
    key: Vec<u8>,
    item_hash: u64,
    /// What is known of it so far: the worst that anybody said.
    evidence: Evidence,
}

/// Keys of one partition, and who has said what of them.
#[derive(Debug)]
struct Attempt {
    partition: u16,
    version: u64,
    keys: Vec<Candidate>,
    /// 0 as long as everybody only looks.
    count: u64,
    tries: u32,
    /// Members that have not answered, by their slots.
    waits: Vec<u16>,
    due: Instant,
}

/// An answer that waits until it is true whatever stops.
#[derive(Debug)]
struct Pending {
    to: u16,
    partition: u16,
    count: u64,
    evidence: Vec<u8>,
    /// What of our copy and of our hints must be on disk.
    copy_at: Sequence,
    hints_at: Sequence,
}

/// See the head of this file.
#[derive(Debug)]
pub struct Reaping {
    /// Where the walk is; `None` between two passes.
    place: Option<(u16, u128)>,
    begun: Instant,
    due: Instant,
    /// Where numbers of records stood when the pass began, and whether it met one that is or will be dead.
    begun_at: Sequence,
    is_mortal: bool,
    /// If a whole pass met none: nothing was put since.
    immortal_at: Option<Sequence>,
    attempt: Option<Attempt>,
    pending: VecDeque<Pending>,
    /// For operators.
    pub counters: ReapCounters,
}

impl Reaping {
    /// Nothing is under way.
    pub fn new(config: &Config, now: Instant) -> Reaping {
        let due = config.reap_after.map_or(Instant::NEVER, |after| now + pause_of(after));
        Reaping {
            place: None,
            begun: now,
            due,
            begun_at: Sequence::default(),
            is_mortal: false,
            immortal_at: None,
            attempt: None,
            pending: VecDeque::new(),
            counters: ReapCounters::default(),
        }
    }

    /// Whether nothing waits for the store, so that requests need not look.
    pub fn is_idle(&self) -> bool {
        self.pending.is_empty()
    }

    /// When [`Reaping::handle_timeout`] is due; never, as long as there is nothing to reap.
    pub fn deadline<S: Store>(&self, replica: &Replica<S>) -> Instant {
        match &self.attempt {
            Some(attempt) => attempt.due,
            None if replica.store().is_empty() => Instant::NEVER,
            None if self.immortal_at == Some(replica.sequence()) => Instant::NEVER,
            None => self.due,
        }
    }

    /// Another topology is in force: partitions may be ours to walk that were not when nothing was found.
    pub fn follow(&mut self) {
        if !planted!("reap_rests") {
            // Nor does a pass that is under way say anything of those that it has behind it.
            (self.immortal_at, self.is_mortal) = (None, true);
        }
    }

    /// Goes on with the walk, or gives up an attempt that somebody does not answer.
    pub fn handle_timeout<S: Store>(&mut self, field: &mut Field<'_, S>) {
        let now = field.now.mono;
        if self.deadline(field.replica) > now {
            return;
        }
        let Some(after) = field.config.reap_after else { return };
        if let Some(attempt) = self.attempt.take() {
            self.counters.blocked_by_peer += attempt.keys.len() as u64;
            self.due = now + limits::SWEEP_PAUSE;
            return;
        }
        if !field.replica.has_reap_numbers() {
            self.due = now + limits::SWEEP_WAIT;
            return;
        }
        let (partition, position) = *self.place.get_or_insert_with(|| {
            (self.begun, self.begun_at, self.is_mortal) = (now, field.replica.sequence(), false);
            (0, 0)
        });
        let Found { keys, next, is_mortal } = look(field, (partition, position), after);
        self.is_mortal |= is_mortal;
        self.place = match next {
            Some(position) => Some((partition, position)),
            None => Some((partition + 1, 0)).filter(|next| u32::from(next.0) < field.routes.partitions()),
        };
        self.due = now + limits::SWEEP_PAUSE;
        if self.place.is_none() {
            self.due = self.due.max(self.begun + pause_of(after));
            self.immortal_at = Some(self.begun_at).filter(|_| !self.is_mortal);
        }
        if !keys.is_empty() {
            self.begin(field, partition, keys);
        }
    }

    /// Asks everybody, if everybody can be asked.
    fn begin<S: Store>(&mut self, field: &mut Field<'_, S>, partition: u16, keys: Vec<Candidate>) {
        let (peers, routes) = (&*field.peers, field.routes);
        let count = keys.len() as u64;
        self.counters.nominated += count;
        if routes.is_in_transition() {
            self.counters.blocked_by_move += count;
            return;
        }
        let can_say = |slot: u16| {
            let is_own = slot == peers.own();
            peers.usable(slot)
                && (is_own || peers.peer(slot).level >= LEVEL_OF_REAPS)
                && !routes.is_unread(slot)
        };
        if !routes.members().all(can_say) || !routes.may_acknowledge() {
            self.counters.blocked_by_peer += count;
            return;
        }
        let attempt = Attempt {
            partition,
            version: routes.version(),
            keys,
            count: 0,
            tries: 0,
            waits: Vec::new(),
            due: Instant::ZERO,
        };
        self.ask(field, attempt);
    }

    /// A round of questions under a number that nobody has heard of.
    fn ask_to_prove<S: Store>(&mut self, field: &mut Field<'_, S>, mut attempt: Attempt) {
        let Some(count) = field.replica.take_reap_number(attempt.partition, attempt.count) else {
            // It is leased before the next turn: another pass finds the keys again.
            self.counters.blocked_by_peer += attempt.keys.len() as u64;
            return;
        };
        (attempt.count, attempt.tries) = (count, attempt.tries + 1);
        self.ask(field, attempt);
    }

    fn ask<S: Store>(&mut self, field: &mut Field<'_, S>, mut attempt: Attempt) {
        let count = attempt.count;
        attempt.due = field.now.mono + limits::TRANSFER_TIMEOUT;
        attempt.waits = field.routes.members().collect();
        attempt.keys.iter_mut().for_each(|key| key.evidence = Evidence::Fine);
        let mut tombs = Vec::new();
        for Candidate { keyspace, item_hash, key, .. } in &attempt.keys {
            put_tomb(&mut tombs, &Tomb { keyspace: *keyspace, item_hash: *item_hash, key });
        }
        let own = field.peers.own();
        for &slot in attempt.waits.iter().filter(|&&slot| slot != own) {
            let boot = field.peers.peer(slot).boot;
            let question = Question { partition: attempt.partition, count, boot, tombs: &tombs };
            field.peers.send(slot, 0, &Message::Prove(question));
        }
        let question = Question { partition: attempt.partition, count, boot: 0, tombs: &tombs };
        self.attempt = Some(attempt);
        self.prove(field, own, &question);
        self.carry_on(field);
    }

    /// Says what this node knows of keys, once all of that is on disk.
    pub fn prove<S: Store>(&mut self, field: &mut Field<'_, S>, to: u16, question: &Question<'_>) {
        let Question { partition, count, .. } = *question;
        if count == 0 {
            let Some(evidence) = examine(field, question) else { return };
            return self.tell(field, to, &Proof { partition, asked: 0, count: 0, evidence: &evidence });
        }
        let known = field.replica.reaps().of(partition);
        if known >= count {
            let proof = Proof { partition, asked: count, count: known, evidence: &[] };
            return self.tell(field, to, &proof);
        }
        let Some(evidence) = examine(field, question) else { return };
        field.replica.prove_reaps(partition, count);
        field.replica.want_sync();
        field.hints.waits().want_sync();
        let (copy_at, hints_at) = (field.replica.last_put(), field.hints.waits().last_put());
        self.pending.push_back(Pending { to, partition, count, evidence, copy_at, hints_at });
    }

    fn tell<S: Store>(&mut self, field: &mut Field<'_, S>, to: u16, proof: &Proof<'_>) {
        if to == field.peers.own() {
            return self.proved(field, to, proof);
        }
        field.peers.send(to, 0, &Message::Proved(*proof));
    }

    /// Gives the answers that have become true.
    pub fn carry_on<S: Store>(&mut self, field: &mut Field<'_, S>) {
        let is_undurable = planted!("reap_undurable");
        while let Some(first) = self.pending.front() {
            let (copy, hints) = (field.replica.store(), field.hints.store());
            let is_true = copy.is_kept(Note::Reaps)
                && copy.marks().durable >= first.copy_at
                && hints.marks().durable >= first.hints_at;
            if !is_true && !is_undurable {
                return;
            }
            let Pending { to, partition, count, evidence, .. } =
                self.pending.pop_front().expect("it was looked at");
            self.tell(field, to, &Proof { partition, asked: count, count, evidence: &evidence });
        }
    }

    /// What a member knows of the keys.
    pub fn proved<S: Store>(&mut self, field: &mut Field<'_, S>, from: u16, proof: &Proof<'_>) {
        let Some(attempt) = &mut self.attempt else { return };
        if attempt.partition != proof.partition || attempt.count != proof.asked {
            return;
        }
        if attempt.version != field.routes.version() {
            self.attempt = None;
            return;
        }
        if proof.count > attempt.count || proof.evidence.len() != attempt.keys.len() {
            let mut attempt = self.attempt.take().expect("it was looked at");
            attempt.count = attempt.count.max(proof.count);
            if attempt.tries < limits::REAP_TRIES {
                return self.ask_to_prove(field, attempt);
            }
            self.counters.blocked_by_peer += attempt.keys.len() as u64;
            return;
        }
        for (key, &byte) in attempt.keys.iter_mut().zip(proof.evidence) {
            key.evidence = key.evidence.max(Evidence::of(byte).unwrap_or(Evidence::Differs));
        }
        attempt.waits.retain(|&slot| slot != from);
        let is_enough =
            attempt.waits.is_empty() || (planted!("reap_any_replica") && from != field.peers.own());
        if is_enough {
            self.judge(field);
        }
    }

    /// Everybody has answered: of what all are sure of a proof is asked, or it goes.
    fn judge<S: Store>(&mut self, field: &mut Field<'_, S>) {
        let mut attempt = self.attempt.take().expect("it has ended");
        for key in &attempt.keys {
            match key.evidence {
                Evidence::Fine => {}
                Evidence::Differs => self.counters.blocked_by_difference += 1,
                Evidence::Hinted => self.counters.blocked_by_hint += 1,
                Evidence::Moves => self.counters.blocked_by_move += 1,
            }
        }
        attempt.keys.retain(|key| key.evidence == Evidence::Fine);
        match attempt.count {
            _ if attempt.keys.is_empty() => {}
            0 => self.ask_to_prove(field, attempt),
            _ => self.reap_all(field, &attempt),
        }
    }

    /// Whoever holds the keys takes them out.
    fn reap_all<S: Store>(&mut self, field: &mut Field<'_, S>, attempt: &Attempt) {
        let (own, partition) = (field.peers.own(), attempt.partition);
        let mut holders: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
        for key in &attempt.keys {
            let tomb = Tomb { keyspace: key.keyspace, item_hash: key.item_hash, key: &key.key };
            for &slot in field.routes.replicas(key.keyspace, partition).as_slice() {
                put_tomb(holders.entry(slot).or_default(), &tomb);
            }
        }
        for (slot, tombs) in holders {
            let question = Question { partition, count: attempt.count, boot: 0, tombs: &tombs };
            match slot == own {
                true => self.reap(field, &question),
                false => field.peers.send(slot, 0, &Message::Reap(question)),
            }
        }
    }

    /// Takes keys out of our copy that everybody has vouched for, where it still holds just that.
    pub fn reap<S: Store>(&mut self, field: &mut Field<'_, S>, question: &Question<'_>) {
        // A directory that said nothing under this number is another one.
        if field.replica.reaps().proven(question.partition) < question.count {
            return;
        }
        let Ok(tombs) = super::message::decode_tombs(question.tombs) else { return };
        for tomb in tombs {
            let position = super::ring::position(field.hash_key, tomb.keyspace, tomb.key);
            let partition = field.routes.partition(position);
            let key = KeyRef { keyspace: tomb.keyspace, key: tomb.key, position, partition };
            if partition == question.partition
                && field.replica.reap(field.now, &key, tomb.item_hash) == Ok(true)
            {
                self.counters.reaped += 1;
            }
        }
    }

    /// A peer is gone, and with it what it would have said.
    pub fn peer_down(&mut self, slot: u16) {
        self.pending.retain(|pending| pending.to != slot);
        if let Some(attempt) = self.attempt.take_if(|attempt| attempt.waits.contains(&slot)) {
            self.counters.blocked_by_peer += attempt.keys.len() as u64;
        }
    }
}

/// How long after the begin of a pass the next one begins.
fn pause_of(after: Duration) -> Duration {
    (after / 2).min(limits::REAP_PASS)
}

/// What a turn of the walk has found.
#[derive(Default)]
struct Found {
    keys: Vec<Candidate>,
    /// Where the partition goes on.
    next: Option<u128>,
    /// There is a record that is or will be dead.
    is_mortal: bool,
}

/// The next keys of a partition that this node is the first replica of and that are dead for long enough.
fn look<S: Store>(field: &Field<'_, S>, (partition, from): (u16, u128), after: Duration) -> Found {
    let (mut found, mut records, mut bytes) = (Found::default(), 0, 0);
    let replicas = field.routes.replicas_of_all(partition);
    let is_first = replicas.readable().next() == Some((0, field.peers.own()));
    let store = field.replica.store();
    if !is_first || store.is_incomplete(partition) {
        found.is_mortal = is_first;
        return found;
    }
    let before_ms = field.now.wall.0.saturating_sub(after.as_millis() as u64);
    let mut last = None;
    store.scan(partition, from, &mut |key, record| {
        let is_full = found.keys.len() >= limits::REAP_KEYS
            || records >= limits::SWEEP_RECORDS_MAX
            || bytes >= limits::SWEEP_BYTES_MAX;
        if is_full && last != Some(key.position) {
            found.next = Some(key.position);
            return ControlFlow::Break(());
        }
        last = Some(key.position);
        (records, bytes) = (records + 1, bytes + record.object.len());
        let object = Object::decode(&record.object).unwrap_or_default();
        found.is_mortal |=
            object.siblings().iter().all(|sibling| sibling.tombstone || sibling.expires_ms.is_some());
        // More under one position than an attempt has room for are taken in another pass.
        if is_over(&object, before_ms) && found.keys.len() < limits::REAP_KEYS {
            found.keys.push(Candidate {
                keyspace: key.keyspace,
                key: key.key.to_vec(),
                item_hash: record.item_hash,
                evidence: Evidence::Fine,
            });
        }
        ControlFlow::Continue(())
    });
    found
}
