//! One member is caught up: batch by batch along the log. A batch is collected, offered, and what is wanted of it is
//! sent within the member's credit; when all of that is on its disk the claims move, and the next one begins.

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeMap;

use super::{CatchUps, HINTS_STILL, Support, id_of};
use crate::proto::cluster::Scene;
use crate::proto::compare::record_at;
use crate::proto::limits;
use crate::proto::message::{Acks, DIGEST_BYTES, Message, put_digest};
use crate::proto::pace::Credit;
use crate::proto::store::{Change, ChangeCursor, Changes, Sequence, Store};
use crate::proto::time::Instant;

/// How far a run has come in one go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It may go on at once.
    Again,
    /// It waits until it is due, or has ended.
    Waits,
}

/// A member that is being caught up.
#[derive(Debug)]
pub(super) struct Run {
    /// Whose records are given, in their order.
    partitions: Vec<u16>,
    /// Everything up to here was looked at; behind the last one it ends.
    at: ChangeCursor,
    last: Sequence,
    /// Hints that are kept here for the member, which come first: how many, and since when it is as many.
    hints: Option<(u64, Instant)>,
    /// Digests of the batch, under which number it was offered, and when an answer is given up.
    batch: Vec<u8>,
    pub(super) offered: Option<u64>,
    patience: Instant,
    /// Prefixes of what is wanted of it, and what of that is under way, by number: since when, and its bytes.
    wanted: Vec<u64>,
    sent: BTreeMap<u64, (Instant, usize)>,
    pub(super) credit: Credit,
    /// When to look again.
    pub(super) due: Instant,
}

impl Run {
    pub(super) fn new(partitions: Vec<u16>, at: ChangeCursor, last: ChangeCursor, now: Instant) -> Run {
        Run {
            partitions,
            at,
            last: last.sequence,
            hints: Some((u64::MAX, now)),
            batch: Vec::new(),
            offered: None,
            patience: Instant::NEVER,
            wanted: Vec::new(),
            sent: BTreeMap::new(),
            credit: Credit::default(),
            due: now,
        }
    }

    pub(super) fn take_wanted(&mut self, wanted: &[u8]) {
        let prefix = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
        self.wanted = wanted.chunks_exact(8).map(prefix).collect();
        (self.offered, self.patience) = (None, Instant::NEVER);
        self.batch.clear();
    }

    /// How long an acknowledged record was under way; `None` if it is none of these.
    pub(super) fn acknowledged(&mut self, now: Instant, number: u64) -> Option<Duration> {
        self.sent.remove(&number).map(|(at, _)| now.since(at))
    }

    fn is_walked(&self) -> bool {
        self.at.sequence >= self.last
    }

    fn given_up_at(&self) -> Instant {
        let oldest = self.sent.values().map(|(at, _)| *at).min();
        self.patience.min(oldest.map_or(Instant::NEVER, |at| at + limits::HINT_TIMEOUT))
    }

    /// Whether hints of our own still go there.
    fn waits_for_hints(&mut self, left: u64, now: Instant) -> bool {
        let Some((before, since)) = self.hints else { return false };
        if left != before {
            self.hints = Some((left, now));
        } else if now.since(since) > HINTS_STILL {
            self.hints = None;
        }
        if left == 0 {
            self.hints = None;
        }
        self.hints.is_some()
    }
}

impl CatchUps {
    /// The next thing of a run.
    pub(super) fn step<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        support: &mut Support<'_>,
        slot: u16,
    ) -> Step {
        let now = scene.now.mono;
        let Some(run) = self.runs.get_mut(&slot) else { return Step::Waits };
        let given_up_at = run.given_up_at();
        let wait = |run: &mut Run, until: Instant| {
            run.due = until.min(given_up_at);
            Step::Waits
        };
        if given_up_at <= now {
            self.give_up(scene.peers, slot);
            return Step::Waits;
        }
        if run.waits_for_hints((support.hints_for)(scene.peers.peer(slot).id), now) {
            return wait(run, now + limits::CATCH_UP_LOOK);
        }
        let is_busy = run.offered.is_some() || (run.wanted.is_empty() && !run.sent.is_empty());
        if is_busy {
            return wait(run, Instant::NEVER);
        }
        if run.wanted.is_empty() && run.batch.is_empty() {
            // Nothing of what was looked at is open.
            self.raise_claims(scene, slot);
            if self.runs[&slot].is_walked() {
                self.counters.done += 1;
                self.forget_run(scene.peers, slot);
                return Step::Waits;
            }
        }
        let run = self.runs.get_mut(&slot).expect("it runs");
        if !support.throttle.is_open(scene.now, scene.config.hint_rate) {
            return wait(run, support.throttle.next_at());
        }
        if run.wanted.is_empty() { self.walk(scene, support, slot) } else { self.send(scene, support, slot) }
    }

    fn raise_claims<S: Store>(&mut self, scene: &Scene<'_, S>, slot: u16) {
        let run = &self.runs[&slot];
        let Some(known) = self.known.get_mut(&scene.peers.peer(slot).id) else { return };
        self.changed += 1;
        known.changed = self.changed;
        run.partitions.iter().for_each(|&partition| known.raise(partition, run.at));
    }

    /// Looks at a part of the log, and offers what it has found once that is enough for a message.
    fn walk<S: Store>(&mut self, scene: &mut Scene<'_, S>, support: &mut Support<'_>, slot: u16) -> Step {
        let now = scene.now.mono;
        let own = scene.peers.own();
        let run = self.runs.get_mut(&slot).expect("it runs");
        let known = &self.known[&scene.peers.peer(slot).id];
        let store = scene.replica.store();
        let (partitions, batch) = (&run.partitions, &mut run.batch);
        let concerns = |partition| partitions.binary_search(&partition).is_ok();
        let is_told = |at: &u16| known.claims.get(at).is_some_and(|claim| store.covers(*at, claim));
        let walked = if partitions.iter().all(is_told) {
            store.changes(&concerns, &run.at, limits::CATCH_UP_EFFORT, &mut |change| {
                // What was reaped needs nothing; and no partition is dropped under a topology in which it is held.
                let Change::Put(key, record) = change else { return ControlFlow::Continue(()) };
                let replicas = support.routes.replicas(key.keyspace, key.partition);
                let is_both = replicas.rank(slot).is_some() && replicas.rank(own).is_some();
                if is_both && record.sequence > known.claims[&key.partition].sequence {
                    put_digest(batch, (key.position >> 64) as u64, record.item_hash);
                }
                match batch.len() < limits::TRANSFER_DIGESTS * DIGEST_BYTES {
                    true => ControlFlow::Continue(()),
                    false => ControlFlow::Break(()),
                }
            })
        } else {
            Changes::Gap(run.at)
        };
        let cost = batch.len() / DIGEST_BYTES * 16;
        match walked {
            Changes::More(at) => run.at = at,
            Changes::End(at) => (run.at, run.last) = (at, at.sequence),
            Changes::Gap(_) => {
                self.counters.gaps += 1;
                self.give_up(scene.peers, slot);
                return Step::Waits;
            }
        }
        let is_full = run.batch.len() >= limits::TRANSFER_DIGESTS * DIGEST_BYTES;
        if run.batch.is_empty() || !(is_full || run.is_walked()) {
            run.due = now + if run.is_walked() { Duration::ZERO } else { limits::HINT_PAUSE };
            return if run.is_walked() { Step::Again } else { Step::Waits };
        }
        support.throttle.sent(scene.now, scene.config.hint_rate, cost);
        self.offer(scene, slot)
    }

    fn offer<S: Store>(&mut self, scene: &mut Scene<'_, S>, slot: u16) -> Step {
        let number = self.next_number();
        let run = self.runs.get_mut(&slot).expect("it runs");
        (run.offered, run.patience) = (Some(number), scene.now.mono + limits::TRANSFER_TIMEOUT);
        self.counters.offered += (run.batch.len() / DIGEST_BYTES) as u64;
        self.counters.offered_bytes += run.batch.len() as u64;
        scene.peers.send(slot, id_of(number, scene.replica), &Message::Offer(&run.batch));
        Step::Again
    }

    /// Sends some of what is wanted, as it is now: one record a key, within the member's credit.
    fn send<S: Store>(&mut self, scene: &mut Scene<'_, S>, support: &mut Support<'_>, slot: u16) -> Step {
        let now = scene.now.mono;
        let own = scene.peers.own();
        let burst = support.throttle.burst(scene.config.hint_rate);
        let mut bytes = 0;
        let mut is_paced = false;
        loop {
            let run = self.runs.get_mut(&slot).expect("it runs");
            let under_way: usize = run.sent.values().map(|(_, bytes)| bytes).sum();
            if run.credit.room(run.sent.len()) == 0 || under_way >= limits::HINT_WINDOW_BYTES {
                run.due = run.given_up_at();
                break;
            }
            if bytes > 0 && bytes >= burst {
                is_paced = true;
                break;
            }
            let Some(prefix) = run.wanted.pop() else { break };
            let partition = support.routes.partition(u128::from(prefix) << 64);
            let is_both = |keyspace: u16, _| {
                let replicas = support.routes.replicas(keyspace, partition);
                replicas.rank(slot).is_some() && replicas.rank(own).is_some()
            };
            for (keyspace, key, object) in record_at(scene.replica.store(), partition, prefix, is_both) {
                let size = key.len() + object.len();
                let number = self.next_number();
                let run = self.runs.get_mut(&slot).expect("it runs");
                run.sent.insert(number, (now, size));
                let durable = !planted!("cursor_undurable");
                let acks = Acks { stored: !durable, durable };
                let id = id_of(number, scene.replica);
                let reaps = scene.replica.reaps().of(partition);
                let message = Message::Replicate { keyspace, key: &key, acks, object: &object };
                scene.peers.send_counted(slot, id, reaps, &message);
                bytes += size;
                self.counters.sent += 1;
                self.counters.sent_bytes += size as u64;
            }
        }
        support.throttle.sent(scene.now, scene.config.hint_rate, bytes);
        let run = self.runs.get_mut(&slot).expect("it runs");
        if is_paced {
            run.due = support.throttle.next_at().min(run.given_up_at());
        }
        let is_full = !run.wanted.is_empty();
        if is_full { Step::Waits } else { Step::Again }
    }
}
