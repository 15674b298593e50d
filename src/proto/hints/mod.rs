//! Hints: records that this node keeps for replicas that could not be reached, in a log of their own.
//!
//! ```text
//!  key of a record    { target, 16 hexadecimal digits } keyspace u16 key        in keyspace 1 if counted, 0 if not
//! ```
//!
//! The target stands in braces, which makes it the tag of the key: so all hints of one target lie together. A hint
//! that was *counted* towards W or DW leaves only on its target's word that the record is on its disk, or once it
//! was readdressed to those who own the key now; age and size drop or refuse the others, and mark their partition
//! dirty (trap T2). Hints of one key and target are merged (rule V3), never replaced; a counted and an uncounted
//! one become one counted one.
//!
//! The log is a `Replica` of its own, whose keys are these. A fallback that coordinates a put issues the dot
//! from there, under this node's generation and epochs of this log's opening. Every change goes through
//! `Hints::change`, so the figures are exact.
//!
//! `delivery` brings hints to their targets; `patrol` looks through all of them, for those that are too old or
//! whose target owns the key no more. Who is sent a hint, and when, the coordinator decides.

mod delivery;
mod patrol;

pub use self::delivery::Road;

use std::collections::BTreeMap;

use self::delivery::Delivery;
use self::patrol::Patrol;
use super::config::Config;
use super::effect::{Effect, Written};
use super::io::MemberId;
use super::keys::Key;
use super::limits;
use super::replica::{Held, Refusal, Released, Replica, Waiter};
use super::ring;
use super::store::{Durability, KeyRef, Sequence, Store, StoreError};
use super::time::{Instant, Now};
use super::version::{Hlc, Object};

/// Partitions of the log of hints. They only spread its index.
pub const PARTITIONS: u32 = 16;

/// Bytes of a hint's key before the key of its record.
const PREFIX: usize = 20;

/// Names a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot<'a> {
    /// For whom.
    pub target: MemberId,
    /// The keyspace.
    pub keyspace: u16,
    /// The key.
    pub key: &'a [u8],
}

impl<'a> Spot<'a> {
    fn name(&self) -> Vec<u8> {
        let mut name = format!("{{{:016x}}}", self.target.0).into_bytes();
        name.extend_from_slice(&self.keyspace.to_le_bytes());
        name.extend_from_slice(self.key);
        name
    }

    /// What the key of a record in the log of hints names; `None` if it is none.
    pub fn of(name: &'a [u8]) -> Option<Spot<'a>> {
        let (prefix, key) = name.split_at_checked(PREFIX)?;
        let digits = prefix[..18].strip_prefix(b"{")?.strip_suffix(b"}")?;
        let target = u64::from_str_radix(core::str::from_utf8(digits).ok()?, 16).ok()?;
        let keyspace = u16::from_le_bytes([prefix[18], prefix[19]]);
        Some(Spot { target: MemberId(target), keyspace, key })
    }
}

/// What a hint weighs in the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Weight {
    bytes: u64,
    /// When the oldest and the newest of its versions were written, in milliseconds of wall time.
    oldest_ms: u64,
    newest_ms: u64,
    item_hash: u64,
}

impl Weight {
    fn of(name: usize, object: &[u8], item_hash: u64) -> Weight {
        let bytes = (name + object.len()) as u64;
        let object = Object::decode(object).unwrap_or_default();
        let counted = object.counts().iter().map(|count| count.hlc.millis());
        let written = object.siblings().iter().map(|sibling| sibling.hlc.millis()).chain(counted);
        let (oldest_ms, newest_ms) = (written.clone().min().unwrap_or(0), written.max().unwrap_or(0));
        Weight { bytes, oldest_ms, newest_ms, item_hash }
    }
}

/// What is held of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    records: u64,
    /// No version in them was written before this: raised by the patrol.
    oldest_ms: u64,
}

/// What is held.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Hints.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Of the hints, those that were counted.
    pub counted: u64,
}

/// Counters of hints, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HintCounters {
    /// Hints taken.
    pub made: u64,
    /// Hints that their targets have on disk.
    pub delivered: u64,
    /// Hints that were too old.
    pub dropped: u64,
    /// Hints that were not taken: too many bytes, or a store that took nothing.
    pub refused: u64,
    /// Hints given to new owners, as their targets own the keys no more.
    pub readdressed: u64,
}

/// All hints of a node.
pub struct Hints<S> {
    copy: Replica<S>,
    hash_key: Key,
    /// Partitions of the cluster.
    partitions: u32,
    /// Bytes over which no hint is taken; `None` for a share of the data.
    bytes_asked: Option<u64>,
    bytes_max: u64,
    figures: Figures,
    parts: BTreeMap<u16, Part>,
    targets: BTreeMap<MemberId, Delivery>,
    /// Partitions of which a hint was dropped or refused, so that a replica lacks something, each since when.
    dirty: BTreeMap<u16, Instant>,
    patrol: Patrol,
    /// Number of the last record sent.
    number: u64,
    /// Hints of another directory than this node's: none is kept, and none is taken.
    is_discarded: bool,
    /// For operators.
    pub counters: HintCounters,
}

impl<S: Store> Hints<S> {
    /// Over an opened store of [`PARTITIONS`] partitions; counts what it holds.
    pub fn open(store: S, config: &Config, hash_key: Key, partitions: u32, now: Now) -> Hints<S> {
        let of_hints = Config { partitions: PARTITIONS, ..config.clone() };
        let mut hints = Hints {
            copy: Replica::new(store, &of_hints, hash_key, now.wall),
            hash_key,
            partitions,
            bytes_asked: config.hint_bytes_max,
            bytes_max: config.hint_bytes_max.unwrap_or(limits::HINT_BYTES_LEAST),
            figures: Figures::default(),
            parts: BTreeMap::new(),
            targets: BTreeMap::new(),
            dirty: BTreeMap::new(),
            patrol: Patrol::new(now.mono),
            number: 0,
            is_discarded: false,
            counters: HintCounters::default(),
        };
        hints.count_all();
        hints
    }

    fn count_all(&mut self) {
        (self.figures, self.parts) = (Figures::default(), BTreeMap::new());
        self.targets.clear();
        let mut found = Vec::new();
        for partition in 0..PARTITIONS as u16 {
            self.copy.store().scan(partition, 0, &mut |key, record| {
                if let Some(Spot { target, keyspace, key: name }) = Spot::of(key.key) {
                    let weight = Weight::of(key.key.len(), &record.object, record.item_hash);
                    found.push((target, self.partition(keyspace, name), key.keyspace == 1, weight));
                }
                core::ops::ControlFlow::Continue(())
            });
        }
        for (target, partition, is_counted, weight) in found {
            self.account((target, partition, is_counted), None, Some(weight));
        }
    }

    /// The store under it.
    pub fn store(&self) -> &S {
        self.copy.store()
    }

    /// The store under it, to flush it.
    pub fn store_mut(&mut self) -> &mut S {
        self.copy.store_mut()
    }

    /// The waits for this store, as the data's `Replica` has its own.
    pub fn waits(&mut self) -> &mut Replica<S> {
        &mut self.copy
    }

    /// When it wants a sync, or has something to do for the store.
    pub fn sync_deadline(&self) -> Instant {
        self.copy.sync_deadline().min(self.copy.store().deadline())
    }

    /// What is held.
    pub fn figures(&self) -> Figures {
        self.figures
    }

    /// Since when the oldest version that is held of a partition exists, at most: in milliseconds of wall time, by
    /// its coordinator's hybrid clock. `None` if none is held.
    pub fn oldest_of(&self, partition: u16) -> Option<u64> {
        self.parts.get(&partition).map(|part| part.oldest_ms)
    }

    /// The same of all partitions.
    pub fn oldest(&self) -> Option<u64> {
        self.parts.values().map(|part| part.oldest_ms).min()
    }

    /// Partitions of which a hint was dropped or refused, since when: a replica lacks something, and nobody else may
    /// know.
    pub fn dirty(&self) -> &BTreeMap<u16, Instant> {
        &self.dirty
    }

    /// A partition was compared with all of its other replicas, since this moment at the earliest.
    pub fn mended(&mut self, partition: u16, begun: Instant) {
        self.dirty.retain(|&other, since| other != partition || *since >= begun);
    }

    /// Hints for a target.
    pub fn records_for(&self, target: MemberId) -> u64 {
        self.targets.get(&target).map_or(0, |delivery| delivery.records)
    }

    fn partition(&self, keyspace: u16, key: &[u8]) -> u16 {
        ring::partition(ring::position(&self.hash_key, keyspace, key), self.partitions)
    }

    fn key_ref<'a>(&self, is_counted: bool, name: &'a [u8]) -> KeyRef<'a> {
        let keyspace = u16::from(is_counted);
        let position = ring::position(&self.hash_key, keyspace, name);
        KeyRef { keyspace, key: name, position, partition: ring::partition(position, PARTITIONS) }
    }

    fn weigh(&mut self, key: &KeyRef<'_>) -> Option<Weight> {
        match self.copy.read(key) {
            Ok(Held::Record(record)) => Some(Weight::of(key.key.len(), &record.object, record.item_hash)),
            _ => None,
        }
    }

    /// The one way in which hints change.
    fn change<T>(
        &mut self,
        key: &KeyRef<'_>,
        change: impl FnOnce(&mut Replica<S>) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let Spot { target, keyspace, key: name } = Spot::of(key.key).expect("it is a hint's");
        let before = self.weigh(key);
        let changed = change(&mut self.copy)?;
        let after = self.weigh(key);
        let place = (target, self.partition(keyspace, name), key.keyspace == 1);
        self.account(place, before, after);
        Ok(changed)
    }

    fn account(
        &mut self,
        (target, partition, is_counted): (MemberId, u16, bool),
        before: Option<Weight>,
        after: Option<Weight>,
    ) {
        self.figures.bytes += after.map_or(0, |weight| weight.bytes);
        self.figures.bytes -= before.map_or(0, |weight| weight.bytes);
        if let Some(weight) = after {
            let oldest_ms = weight.oldest_ms;
            let part = self.parts.entry(partition).or_insert(Part { records: 0, oldest_ms });
            part.oldest_ms = part.oldest_ms.min(oldest_ms);
            self.patrol.note(partition, oldest_ms);
        }
        let records = match (before.is_some(), after.is_some()) {
            (false, true) => 1,
            (true, false) => -1,
            _ => return,
        };
        self.figures.records = self.figures.records.saturating_add_signed(records);
        if is_counted {
            self.figures.counted = self.figures.counted.saturating_add_signed(records);
        }
        let part = self.parts.entry(partition).or_insert(Part { records: 0, oldest_ms: 0 });
        part.records = part.records.saturating_add_signed(records);
        if part.records == 0 {
            self.parts.remove(&partition);
        }
        let delivery = self.targets.entry(target).or_default();
        delivery.records = delivery.records.saturating_add_signed(records);
        if delivery.is_done() {
            self.targets.remove(&target);
        }
    }

    /// Takes a hint; it is as safe as `Replica::is_safe` of [`Hints::waits`] says of the sequence.
    ///
    /// # Errors
    /// Nothing was taken: too many bytes are held, or the store's reason.
    pub fn keep(
        &mut self,
        now: Now,
        spot: &Spot<'_>,
        object: &[u8],
        is_counted: bool,
    ) -> Result<Sequence, Refusal> {
        let asked = (PREFIX + spot.key.len() + object.len()) as u64;
        let fits = self.figures.bytes + asked <= self.bytes_max && PREFIX + spot.key.len() <= limits::KEY_MAX;
        let kept = if !fits || self.is_discarded {
            Err(Refusal::Overloaded)
        } else {
            self.merge(now, spot, object, is_counted)
        };
        match &kept {
            Ok(_) => self.counters.made += 1,
            Err(Refusal::Malformed(_)) => {}
            Err(_) => {
                self.counters.refused += 1;
                self.dirty.insert(self.partition(spot.keyspace, spot.key), now.mono);
            }
        }
        kept
    }

    /// The hint of a key and target that is there becomes the merge with this object.
    fn merge(
        &mut self,
        now: Now,
        spot: &Spot<'_>,
        object: &[u8],
        is_counted: bool,
    ) -> Result<Sequence, Refusal> {
        let name = spot.name();
        let (counted, uncounted) = (self.key_ref(true, &name), self.key_ref(false, &name));
        if !is_counted && self.weigh(&counted).is_none() {
            return self.change(&uncounted, |copy| copy.apply(now, &uncounted, object));
        }
        let beside = match self.copy.read(&uncounted) {
            Ok(Held::Record(record)) => Some(record.object.into_owned()),
            _ => None,
        };
        let mut sequence = self.change(&counted, |copy| {
            if planted!("hint_replaced") {
                let _ = copy.remove(now, &counted);
            }
            copy.apply(now, &counted, object)
        })?;
        if let Some(beside) = beside {
            sequence = self.change(&counted, |copy| copy.apply(now, &counted, &beside))?;
            self.change(&uncounted, |copy| copy.remove(now, &uncounted).map_err(Refusal::Store))?;
        }
        Ok(sequence)
    }

    /// Whether a hint of a key is kept, for whomever.
    pub fn keeps(&mut self, keyspace: u16, key: &[u8]) -> bool {
        let targets: Vec<MemberId> = self.targets.keys().copied().collect();
        !self.read(keyspace, key, &targets).is_empty()
    }

    /// Everything that is kept of a key for these targets, merged and encoded; empty if that is nothing.
    pub fn read(&mut self, keyspace: u16, key: &[u8], targets: &[MemberId]) -> Vec<u8> {
        let mut merged = Vec::new();
        for &target in targets {
            let name = Spot { target, keyspace, key }.name();
            for is_counted in [true, false] {
                let key = self.key_ref(is_counted, &name);
                let Ok(Held::Record(record)) = self.copy.read(&key) else { continue };
                let Ok(object) = Object::decode(&record.object) else { continue };
                let held = core::mem::take(&mut merged);
                let mut both = Object::decode(&held).unwrap_or_default();
                both.merge(object);
                both.encode(&mut merged);
            }
        }
        merged
    }

    /// Coordinates a write in place of all its replicas: issues a dot under this node's `generation`, on everything
    /// that is kept of the key, and keeps the record as a counted hint for `spot`. [`Hints::encoded`] is the object.
    ///
    /// # Errors
    /// As [`Hints::keep`], and what `Replica::write` refuses.
    pub fn write(
        &mut self,
        now: Now,
        (generation, targets): (u64, &[MemberId]),
        spot: &Spot<'_>,
        effect: Effect<'_>,
    ) -> Result<Written, Refusal> {
        let asked = (PREFIX + spot.key.len() + effect.size()) as u64;
        let fits = self.figures.bytes + asked <= self.bytes_max && PREFIX + spot.key.len() <= limits::KEY_MAX;
        if !fits || self.is_discarded {
            self.counters.refused += 1;
            return Err(Refusal::Overloaded);
        }
        let known = self.read(spot.keyspace, spot.key, targets);
        if !known.is_empty() {
            self.merge(now, spot, &known, true)?;
        }
        self.copy.act_as(generation);
        let name = spot.name();
        let key = self.key_ref(true, &name);
        let written = self.change(&key, |copy| copy.write(now, &key, effect))?;
        self.counters.made += 1;
        Ok(written)
    }

    /// The encoded object of the last [`Hints::write`].
    pub fn encoded(&self) -> &[u8] {
        self.copy.encoded()
    }

    /// Whether a hint is as safe as asked; if not, `waiter` is released when it is.
    pub fn is_safe(&mut self, durability: Durability, sequence: Sequence, waiter: Waiter) -> bool {
        self.copy.is_safe(durability, sequence, waiter)
    }

    /// The next whose wait is over. What was discarded is safe nowhere.
    pub fn next_released(&mut self) -> Option<Released> {
        let released = self.copy.next_released()?;
        Some(Released { failed: released.failed || self.is_discarded, ..released })
    }

    /// Keeps the clock that this log's dots are issued by beside the node's own.
    pub fn follow_clock(&mut self, now: Now, hlc: Hlc) {
        self.copy.follow_clock(now, hlc);
    }

    /// Whether hints are taken at all.
    pub fn takes_any(&self) -> bool {
        !self.is_discarded && !self.copy.read_only()
    }

    /// This node's directory turned out to be an old copy, and so is this log (trap T5): all of it goes, and none is
    /// taken until the node is opened again, with a log of the new generation.
    pub fn discard(&mut self, now: Now) {
        self.is_discarded = true;
        for partition in 0..PARTITIONS as u16 {
            // What the store refuses to drop now is gone with its next opening.
            let _ = self.copy.drop_partition(now, partition);
        }
        self.count_all();
    }

    /// The share of the data that hints may take, where no bound was asked for.
    pub fn set_share(&mut self, data_bytes: u64) {
        let share = (data_bytes / limits::HINT_SHARE).max(limits::HINT_BYTES_LEAST);
        self.bytes_max = self.bytes_asked.unwrap_or(share);
    }

    /// The cluster has another number of partitions than was known.
    pub fn set_partitions(&mut self, partitions: u32) {
        if self.partitions != partitions {
            self.partitions = partitions;
            self.dirty.clear();
            self.count_all();
        }
    }

    /// Removes a hint if it is still this one.
    fn remove(
        &mut self,
        now: Now,
        (is_counted, name, item_hash): (bool, &[u8], u64),
    ) -> Result<bool, StoreError> {
        let key = self.key_ref(is_counted, name);
        if self.weigh(&key).is_none_or(|weight| weight.item_hash != item_hash) {
            return Ok(false);
        }
        let removed = self.change(&key, |copy| copy.remove(now, &key).map_err(Refusal::Store));
        match removed {
            Ok(()) => Ok(true),
            Err(Refusal::Store(error)) => Err(error),
            Err(_) => Ok(false),
        }
    }
}
