//! This node's own copy of the data: every record enters the store here, and nowhere else.
//!
//! [`Replica::apply`] merges a copy that came from elsewhere (a put's fan-out, a repair); all of them are
//! idempotent. [`Replica::write`] issues a dot, which only a coordinator may ask for. [`Replica::shed`] drops
//! the bytes of expired values, which changes nothing that others see. Whoever waits until a record is safe
//! is parked in the order of sequences and released when the store's marks pass.

mod issue;

use std::collections::VecDeque;

use super::config::Config;
use super::io::MemberId;
use super::keys::Key;
use super::limits;
use super::reap::Counts;
use super::store::{
    Durability, Identity, KeyRef, LocalPart, Lookup, NewRecord, Note, Record, Sequence, Store, StoreError,
    Ticket,
};
use super::time::{Instant, Now, WallTime};
use super::version::{CountError, Epoch, Hlc, HybridClock, Object};
use super::wire::WireError;

/// Why a record was not read or written. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// A cold read is under way; the same call succeeds after it.
    Pending(Ticket),
    /// The store's reason.
    Store(StoreError),
    /// The object from a peer is malformed.
    Malformed(WireError),
    /// The key has this many siblings, by number or by size too many for a put that adds one without covering
    /// them all.
    TooManySiblings(u32),
    /// There is a version that the write's context does not cover.
    Changed,
    /// No epoch is leased: the disk is behind.
    Overloaded,
    /// The wall clock lies too far behind what was issued before.
    ClockTooFar,
    /// Nothing can be counted on what is here.
    Count(CountError),
    /// It was read before its partition was last reaped (trap T6).
    Stale,
}

/// What a lookup of our own copy gave.
#[derive(Debug)]
pub enum Held<'a> {
    /// The record.
    Record(Record<'a>),
    /// There is none.
    Absent,
    /// It is damaged, or records of its partition were lost: no evidence of anything.
    Unknown,
}

/// What was shed of a record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shed {
    /// Values whose bytes were dropped.
    pub values: u64,
    /// The record was rewritten, and nothing in it can be shown any more.
    pub is_dead: bool,
}

/// Who waits for a record to become safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiter {
    /// A request coordinated here.
    Own(u64),
    /// A peer's request, by the peer's slot.
    Peer(u16, u64),
    /// A peer's hint, by the peer's slot, its request and the target.
    Hint(u16, u64, MemberId),
}

/// A waiter whose wait is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Released {
    /// Who.
    pub waiter: Waiter,
    /// On disk, not only written.
    pub durable: bool,
    /// The store failed: it never will be.
    pub failed: bool,
}

/// Counters of a replica, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReplicaCounters {
    /// Fresh epochs taken.
    pub epochs: u64,
    /// Copies merged that changed a record.
    pub applied: u64,
    /// Copies that changed nothing.
    pub unchanged: u64,
    /// One dot met with two contents.
    pub alarms: u64,
    /// Timestamps too far ahead to be followed.
    pub clock_ahead: u64,
    /// Records that were damaged when they were read.
    pub damaged: u64,
    /// Keys that reached the number of siblings at which a warning is due.
    pub sibling_warnings: u64,
}

/// This node's copy of the data, and the rules by which it changes.
pub struct Replica<S> {
    store: S,
    identity: Identity,
    hash_key: Key,
    clock: HybridClock,
    siblings_max: usize,
    sync_interval: core::time::Duration,
    /// Whether epochs of an earlier opening may be continued at all: a peer has confirmed that the
    /// directory is not an old copy (trap T3).
    trusts_past: bool,
    /// Taken ahead of need, so that it can be used while a record is borrowed from the store.
    spare_epoch: Option<u64>,
    waiting_written: VecDeque<(Sequence, Waiter)>,
    waiting_durable: VecDeque<(Sequence, Waiter)>,
    last_put: Sequence,
    partitions: u32,
    /// False only if no record in the store has an expiry.
    has_expiring: bool,
    /// A put came after the last `take_sync`.
    unflushed: bool,
    /// Everything up to here was asked to become durable.
    sync_requested: Sequence,
    /// A sync is wanted for what was put so far, though nobody waits for it here.
    wants_sync: bool,
    /// When the oldest put that no sync was asked for came.
    unsynced_since: Option<Instant>,
    /// The encoded object of the last write or merge.
    encoded: Vec<u8>,
    /// The counts of reaps under which records are read here.
    reaps: Counts,
    /// For operators.
    pub counters: ReplicaCounters,
}

impl<S: Store> Replica<S> {
    /// Over an opened store.
    pub fn new(store: S, config: &Config, hash_key: Key, wall: WallTime) -> Replica<S> {
        let identity = store.identity();
        // The bound of an unclean stop lies ahead of what was issued. To begin there would put this node
        // ahead of all others, whose later writes would then look older; so it counts only where the wall
        // clock has gone back.
        let bound = Hlc(identity.hlc_bound);
        let went_back = bound.millis() > wall.0 + limits::HLC_LEASE_MS;
        let begin = if identity.clean || went_back { bound } else { Hlc::default() };
        let mut replica = Replica {
            identity,
            hash_key,
            clock: HybridClock::starting_above(begin),
            siblings_max: config.siblings_max,
            sync_interval: config.sync_interval,
            trusts_past: false,
            spare_epoch: None,
            waiting_written: VecDeque::new(),
            waiting_durable: VecDeque::new(),
            last_put: Sequence::default(),
            partitions: config.partitions,
            has_expiring: false,
            unflushed: false,
            sync_requested: Sequence::default(),
            wants_sync: false,
            unsynced_since: None,
            encoded: Vec::new(),
            // A store refuses a note that is not as it was written.
            reaps: Counts::decode(store.note(Note::Reaps)).unwrap_or_default(),
            counters: ReplicaCounters::default(),
            store,
        };
        replica.recount_expiring();
        replica
    }

    /// The store.
    pub fn store(&self) -> &S {
        &self.store
    }

    /// The store, to flush it or to remember a member.
    pub fn store_mut(&mut self) -> &mut S {
        &mut self.store
    }

    /// What the store knows of its past, and this opening's random bits.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// The highest sequence handed out, this opening or before.
    pub fn sequence(&self) -> Sequence {
        self.last_put.max(self.identity.recovered)
    }

    /// The sequence of the last record put in this opening; 0 if none was.
    pub fn last_put(&self) -> Sequence {
        self.last_put
    }

    /// A peer confirms that the directory is not older than what it has seen.
    pub fn confirm_past(&mut self) {
        self.trusts_past = true;
    }

    /// Issues dots from here on under this generation: the log of hints issues under its node's.
    pub fn act_as(&mut self, generation: u64) {
        self.identity.generation = generation;
    }

    /// Whether an epoch of an earlier opening lost nothing: no stop since it was issued was unclean.
    fn trusts(&self, epoch: &Epoch) -> bool {
        let is_safe = epoch.number >= self.identity.epoch_floor || planted!("epoch_trust");
        self.trusts_past && is_safe
    }

    /// The directory turned out to be rolled back: nothing of its past may be continued.
    pub fn disown_past(&mut self, generation: u64) {
        self.store.renew_generation(generation);
        self.identity.generation = generation;
        self.trusts_past = false;
    }

    /// The encoded object of the last [`Replica::write`], or of the last call of another kind that encoded one.
    pub fn encoded(&self) -> &[u8] {
        &self.encoded
    }

    /// The counts of reaps under which records are read here.
    pub fn reaps(&self) -> &Counts {
        &self.reaps
    }

    /// Whether numbers for attempts to reap are leased; they are from soon on, if not.
    pub fn has_reap_numbers(&mut self) -> bool {
        if self.store.is_kept(Note::Reaps) {
            self.reaps.kept();
        }
        if self.reaps.lease() {
            self.store.keep(Note::Reaps, self.reaps.encode());
        }
        self.reaps.has_numbers()
    }

    /// A number for a new attempt to reap in a partition, above this one; `None` if one has to be leased first.
    pub fn take_reap_number(&mut self, partition: u16, above: u64) -> Option<u64> {
        self.reaps.take(partition, above, self.identity.generation as u16)
    }

    /// Somebody is as far as this with reaping a partition.
    pub fn hear_reaps(&mut self, partition: u16, count: u64) {
        self.reaps.hear(partition, count);
    }

    /// What is held of a partition is known as of this count; that is on disk once the note is.
    pub fn prove_reaps(&mut self, partition: u16, count: u64) {
        self.reaps.prove(partition, count);
        self.store.keep(Note::Reaps, self.reaps.encode());
    }

    /// Takes out all that is held of a partition, as it may be what was deleted and reaped: what is held from then on is
    /// known as of this count.
    ///
    /// # Errors
    /// The store's reason.
    pub fn empty_partition(&mut self, now: Now, partition: u16, count: u64) -> Result<(), StoreError> {
        self.drop_partition(now, partition)?;
        self.reaps.empty(partition, count, self.last_put);
        self.want_sync();
        Ok(())
    }

    /// Writes down as of which counts partitions were emptied, once that is on disk.
    pub fn settle_reaps(&mut self) {
        if self.reaps.settle(self.store.marks().durable) {
            self.store.keep(Note::Reaps, self.reaps.encode());
        }
    }

    /// Whether what was read under this count is from before a reap of the partition (trap T6): it may not be merged.
    pub fn is_stale(&self, partition: u16, count: u64) -> bool {
        count < self.reaps.of(partition) && !planted!("reap_uncounted")
    }

    /// Takes a key out of the store if the record there is this one, and on disk. Whether it was.
    ///
    /// # Errors
    /// The store's reason.
    pub fn reap(&mut self, now: Now, key: &KeyRef<'_>, item_hash: u64) -> Result<bool, StoreError> {
        let is_this = match self.store.get(key) {
            Ok(Lookup::Found(record)) => {
                let is_durable = record.sequence <= self.store.marks().durable;
                (record.item_hash == item_hash && is_durable) || planted!("reap_unconditional")
            }
            _ => false,
        };
        if is_this {
            self.remove(now, key)?;
        }
        Ok(is_this)
    }

    /// Whether any record in the store may have an expiry.
    pub fn has_expiring(&self) -> bool {
        self.has_expiring
    }

    /// Asks the store anew whether a record has an expiry.
    pub fn recount_expiring(&mut self) {
        self.has_expiring = (0..self.partitions).any(|partition| self.store.expiring(partition as u16) > 0);
    }

    /// Whether a sync failed: reads go on, writes do not.
    pub fn read_only(&self) -> bool {
        self.store.marks().failed
    }

    /// Our own record under a key.
    ///
    /// # Errors
    /// The ticket of a cold read.
    pub fn read(&mut self, key: &KeyRef<'_>) -> Result<Held<'_>, Ticket> {
        match self.store.get(key) {
            Ok(Lookup::Found(record)) => Ok(Held::Record(record)),
            Ok(Lookup::Absent) => Ok(Held::Absent),
            Ok(Lookup::Pending(ticket)) => Err(ticket),
            // Trap T4: what may have been superseded by a lost record is no evidence.
            Ok(Lookup::Incomplete | Lookup::Suspect(_)) => Ok(Held::Unknown),
            Err(_) => {
                self.counters.damaged += 1;
                Ok(Held::Unknown)
            }
        }
    }

    /// Merges a copy from elsewhere into our record; returns the sequence of the record that now holds it
    /// (trap T7: of the one found, if nothing changed).
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn apply(&mut self, now: Now, key: &KeyRef<'_>, bytes: &[u8]) -> Result<Sequence, Refusal> {
        let incoming = Object::decode(bytes).map_err(Refusal::Malformed)?;
        let newest = incoming.newest();
        let (record, is_suspect) = held(&self.store, key, &mut self.counters)?;
        let local = record.as_ref().and_then(|record| Object::decode(&record.object).ok());
        let put = match (&record, local) {
            (Some(record), Some(_)) if *record.object == *bytes && !is_suspect => Err(record.sequence),
            (Some(record), Some(held)) if incoming.supersedes(&held) => {
                Ok(new_record(&self.hash_key, key, record.local, &incoming, bytes))
            }
            (Some(record), Some(mut merged)) => {
                self.counters.alarms += u64::from(merged.merge(incoming));
                self.encoded.clear();
                merged.encode(&mut self.encoded);
                if *record.object == *self.encoded && !is_suspect {
                    Err(record.sequence)
                } else {
                    Ok(new_record(&self.hash_key, key, record.local, &merged, &self.encoded))
                }
            }
            _ => Ok(new_record(&self.hash_key, key, LocalPart::default(), &incoming, bytes)),
        };
        let sequence = match put {
            Err(unchanged) => {
                self.counters.unchanged += 1;
                unchanged
            }
            Ok(record) => {
                let expires_ms = record.expires_ms;
                let sequence = self.store.put(key, &record).map_err(Refusal::Store)?;
                self.note_put(now, sequence, expires_ms);
                self.counters.applied += 1;
                sequence
            }
        };
        if newest.is_some_and(|hlc| !self.clock.follow(hlc, now.wall)) {
            self.counters.clock_ahead += 1;
        }
        Ok(sequence)
    }

    /// The sequence of our record, if it has everything that a copy from elsewhere says. Other than
    /// [`Replica::apply`] this does not bring back the bytes of what was shed here.
    pub fn sequence_with(&mut self, key: &KeyRef<'_>, bytes: &[u8]) -> Option<Sequence> {
        let hash_key = self.hash_key;
        let Ok(Held::Record(record)) = self.read(key) else { return None };
        let mut merged = Object::decode(&record.object).ok()?;
        merged.merge(Object::decode(bytes).ok()?);
        let is_same = merged.item_hash(&hash_key, key.keyspace, key.key) == record.item_hash;
        is_same.then_some(record.sequence)
    }

    /// Drops the bytes of what expired before a wall-clock time, and rewrites the record with everything else as
    /// it is, the local part too (trap T10). Nothing is put if there is nothing to drop.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn shed(&mut self, now: Now, key: &KeyRef<'_>, before_ms: u64) -> Result<Shed, Refusal> {
        let Some(record) = trusted(&self.store, key, &mut self.counters)? else { return Ok(Shed::default()) };
        let Ok(mut object) = Object::decode(&record.object) else { return Ok(Shed::default()) };
        let values = object.shed(&self.hash_key, before_ms);
        if values == 0 {
            return Ok(Shed::default());
        }
        self.encoded.clear();
        object.encode(&mut self.encoded);
        let new = new_record(&self.hash_key, key, record.local, &object, &self.encoded);
        let (expires_ms, is_dead) = (new.expires_ms, object.is_dead());
        drop(object);
        drop(record);
        let sequence = self.store.put(key, &new).map_err(Refusal::Store)?;
        self.note_put(now, sequence, expires_ms);
        Ok(Shed { values, is_dead })
    }

    /// Takes a partition out of the store.
    ///
    /// # Errors
    /// The store's reason.
    pub fn drop_partition(&mut self, now: Now, partition: u16) -> Result<(), StoreError> {
        let sequence = self.store.drop_partition(partition)?;
        if sequence > self.last_put {
            self.note_put(now, sequence, None);
        }
        Ok(())
    }

    /// Takes a key out of the store.
    ///
    /// # Errors
    /// The store's reason.
    pub fn remove(&mut self, now: Now, key: &KeyRef<'_>) -> Result<(), StoreError> {
        let sequence = self.store.remove(key)?;
        if sequence > self.last_put {
            self.note_put(now, sequence, None);
        }
        Ok(())
    }

    /// The timestamp that the next event would get.
    pub fn next_hlc(&self, now: Now) -> Hlc {
        self.clock.peek(now.wall)
    }

    /// Issues no timestamp at or below one that this node has issued elsewhere.
    pub fn follow_clock(&mut self, now: Now, hlc: Hlc) {
        self.clock.follow(hlc, now.wall);
    }

    /// Asks for everything put so far to be brought to disk soon.
    pub fn want_sync(&mut self) {
        self.wants_sync |= self.store.marks().durable < self.last_put;
    }

    fn note_put(&mut self, now: Now, sequence: Sequence, expires_ms: Option<u64>) {
        assert!(sequence > self.last_put, "sequences rise");
        if self.sync_deadline() == Instant::NEVER {
            self.unsynced_since = Some(now.mono);
        }
        self.last_put = sequence;
        self.unflushed = true;
        self.has_expiring |= expires_ms.is_some();
    }

    /// Whether the record of `sequence` is as safe as `durability` asks; if not, `waiter` is released when
    /// it is.
    pub fn is_safe(&mut self, durability: Durability, sequence: Sequence, waiter: Waiter) -> bool {
        if planted!("ack_before_append") {
            return true;
        }
        let marks = self.store.marks();
        let (queue, mark) = match durability {
            Durability::Memory => return true,
            Durability::Interval => (&mut self.waiting_written, marks.written),
            Durability::Always => (&mut self.waiting_durable, marks.durable),
        };
        if sequence <= mark {
            return true;
        }
        // A record found again may be older than the last in the queue: waiting a little longer keeps the
        // queue in order.
        let last = queue.back().map_or(sequence, |last| last.0.max(sequence));
        queue.push_back((last, waiter));
        false
    }

    /// The next waiter whose record the marks have passed, or whose wait a failed sync has ended.
    pub fn next_released(&mut self) -> Option<Released> {
        let marks = self.store.marks();
        for (queue, mark, durable) in [
            (&mut self.waiting_durable, marks.durable, true),
            (&mut self.waiting_written, marks.written, false),
        ] {
            if let Some(&(sequence, waiter)) = queue.front()
                && (sequence <= mark || marks.failed)
            {
                queue.pop_front();
                return Some(Released { waiter, durable, failed: sequence > mark });
            }
        }
        None
    }

    /// Whether somebody waits for a store that has failed: its marks move no more, so no other event would
    /// end the wait.
    pub fn waits_in_vain(&self) -> bool {
        let waits = !self.waiting_written.is_empty() || !self.waiting_durable.is_empty();
        waits && self.read_only()
    }

    /// What the store must be asked for now, once a drain: nothing, the write, or a sync.
    pub fn take_sync(&mut self) -> Option<Durability> {
        let wanted = self.waiting_durable.back().is_some_and(|last| last.0 > self.sync_requested);
        if core::mem::take(&mut self.wants_sync) || wanted {
            return Some(self.request_sync());
        }
        core::mem::take(&mut self.unflushed).then_some(Durability::Interval)
    }

    /// When the sync interval is over; never, if nothing waits for it.
    pub fn sync_deadline(&self) -> Instant {
        let waits = self.store.marks().durable < self.last_put;
        self.unsynced_since.filter(|_| waits).map_or(Instant::NEVER, |since| since + self.sync_interval)
    }

    /// Asks for a sync of everything put so far.
    pub fn request_sync(&mut self) -> Durability {
        self.unflushed = false;
        self.unsynced_since = None;
        self.sync_requested = self.last_put;
        Durability::Always
    }
}

/// The record under a key, if there is one that can be trusted. A damaged or lost one is *no record*: what is
/// put in its place begins a fresh epoch (rule V2). So is a suspect one: it must not be offered to others
/// under a new dot (trap T4).
fn trusted<'s, S: Store>(
    store: &'s S,
    key: &KeyRef<'_>,
    counters: &mut ReplicaCounters,
) -> Result<Option<Record<'s>>, Refusal> {
    let (record, is_suspect) = held(store, key, counters)?;
    Ok(record.filter(|_| !is_suspect))
}

/// The record under a key, if it can be read, and whether it is suspect: it may be merged with a version
/// that a peer holds, and counts again once it was put anew (trap T4).
fn held<'s, S: Store>(
    store: &'s S,
    key: &KeyRef<'_>,
    counters: &mut ReplicaCounters,
) -> Result<(Option<Record<'s>>, bool), Refusal> {
    match store.get(key) {
        Ok(Lookup::Found(record)) => Ok((Some(record), false)),
        Ok(Lookup::Suspect(record)) => Ok((Some(record), true)),
        Ok(Lookup::Pending(ticket)) => Err(Refusal::Pending(ticket)),
        Ok(Lookup::Absent | Lookup::Incomplete) => Ok((None, false)),
        Err(_) => {
            counters.damaged += 1;
            Ok((None, false))
        }
    }
}

/// What the store is told of an object beside its bytes.
fn new_record<'b>(
    hash_key: &Key,
    key: &KeyRef<'_>,
    local: LocalPart,
    object: &Object<'_>,
    bytes: &'b [u8],
) -> NewRecord<'b> {
    NewRecord {
        local,
        object: bytes,
        item_hash: object.item_hash(hash_key, key.keyspace, key.key),
        expires_ms: object.first_expiry_ms(),
        is_delete: object.is_delete(),
    }
}
