//! The border to storage: what the core needs of a store. The append log and its twin in memory
//! implement it; the simulator runs the log over a simulated disk.

use core::fmt;
use core::ops::ControlFlow;
use std::borrow::Cow;

use super::version::Epoch;

/// When an acknowledgement may be given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(u8)]
pub enum Durability {
    /// Once the record is in the staging buffer: a killed process may lose it on this node.
    Memory = 0,
    /// Once it was handed to the kernel: survives a killed process; on disk within the sync interval.
    #[default]
    Interval = 1,
    /// Once a disk sync that began after its write returned.
    Always = 2,
}

/// Store-wide number of a record, strictly rising in the order of `put`. Never reused: after an unclean
/// stop numbering continues above everything that may have been handed out (trap T19).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Sequence(pub u64);

/// How far the store has come. A record is written (durable) when its sequence is at or below the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Marks {
    /// Handed to the kernel.
    pub written: Sequence,
    /// On disk.
    pub durable: Sequence,
    /// A sync failed (or the worker died): nothing newer will ever become durable and puts are refused.
    pub failed: bool,
}

/// A key with everything a store needs to find it. `position` orders keys inside a partition, and its
/// top `log2(Q)` bits are `partition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef<'a> {
    /// The keyspace's number.
    pub keyspace: u16,
    /// The key.
    pub key: &'a [u8],
    /// 128-bit keyed hash, see `ring::position`.
    pub position: u128,
    /// The partition.
    pub partition: u16,
}

/// The local part of a record: kept beside the object, never hashed and never sent (trap T10).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct LocalPart {
    /// The epoch under which this node last issued a dot for this key.
    pub epoch: Option<Epoch>,
}

/// What a put stores under a key. Replaces the record there.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// The local part.
    pub local: LocalPart,
    /// The encoded object (`wire`), opaque to the store.
    pub object: &'a [u8],
    /// The keyed hash of the object's canonical form (trap T10).
    pub item_hash: u64,
}

/// A record as found.
#[derive(Clone, Debug)]
pub struct Record<'a> {
    /// The local part.
    pub local: LocalPart,
    /// The encoded object.
    pub object: Cow<'a, [u8]>,
    /// The keyed hash of the object.
    pub item_hash: u64,
    /// When it was put.
    pub sequence: Sequence,
}

/// Names a cold read that the store has begun; comes back in `handle_read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What a lookup found.
#[derive(Clone, Debug)]
pub enum Lookup<'a> {
    /// The record.
    Found(Record<'a>),
    /// There is none, and the store knows it.
    Absent,
    /// Not in memory: the store reads it, and the same lookup is answered after `handle_read(ticket)`.
    Pending(Ticket),
    /// The partition lost records: what is not found may have been here (trap T4).
    Incomplete,
}

/// Why a store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The staging buffer is full; come back after the next marks.
    Overloaded,
    /// No room on the disk; deletes still go.
    Full,
    /// A sync failed; no write is taken until the store is opened again.
    ReadOnly,
    /// A record's checksum does not hold; treat the key as unknown, never as absent.
    Damaged,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            StoreError::Overloaded => "the staging buffer is full",
            StoreError::Full => "the disk is full",
            StoreError::ReadOnly => "the store is read-only since a sync failed",
            StoreError::Damaged => "a record's checksum does not hold",
        })
    }
}

impl std::error::Error for StoreError {}

/// What a store knows of its own past, fixed when it was opened (traps T3, T19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names the data directory: new for an empty, restored or rolled-back one.
    pub generation: u64,
    /// How often the directory was opened, this time included; from 1.
    pub opens: u64,
    /// Drawn at this opening; part of every epoch it issues.
    pub nonce: u64,
    /// Whether the last stop left the marker that is written after the last successful sync. True for a
    /// new directory.
    pub clean: bool,
    /// Epochs with a lower number were issued before the last unclean stop, however many clean ones came
    /// since: their newest events may have left this machine and been lost here.
    pub epoch_floor: u64,
    /// The highest sequence found at this opening; 0 for a new directory.
    pub recovered: Sequence,
    /// The highest hybrid timestamp that may have been issued before; after a clean stop, the highest that was.
    /// 0 for a new directory.
    pub hlc_bound: u64,
}

/// What is remembered of another member (traps T3, T17).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberMemory {
    /// Its name.
    pub name: String,
    /// The generation bound to the name at first contact.
    pub generation: u64,
    /// Its highest open count seen.
    pub opens: u64,
    /// The random bits of that opening.
    pub boot: u64,
    /// Its highest sequence seen under that open count.
    pub sequence: Sequence,
}

/// A key-value store of records. One thread drives it; none of its calls waits for the disk.
pub trait Store {
    /// What the store knows of its past.
    fn identity(&self) -> Identity;

    /// Starts a new generation (the directory turned out to be rolled back).
    fn renew_generation(&mut self, generation: u64);

    /// Finds the record under a key.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if the record there cannot be trusted.
    fn get(&self, key: &KeyRef<'_>) -> Result<Lookup<'_>, StoreError>;

    /// Puts a record under a key; returns its sequence. It can be read at once.
    ///
    /// # Errors
    /// Nothing was stored: [`StoreError::Overloaded`], [`StoreError::Full`] or [`StoreError::ReadOnly`].
    fn put(&mut self, key: &KeyRef<'_>, record: &NewRecord<'_>) -> Result<Sequence, StoreError>;

    /// How far the store has come.
    fn marks(&self) -> Marks;

    /// Asks for the marks to be brought forward for everything put so far: `Interval` moves `written`,
    /// `Always` moves both. May do the write at once; a sync completes later, and the host is woken.
    fn flush(&mut self, need: Durability);

    /// Takes the number of a fresh epoch out of the leased block; `None` while no lease is on disk.
    fn take_epoch(&mut self) -> Option<u64>;

    /// Notes that a hybrid timestamp is issued: a bound above it goes to disk in the background, so that a
    /// wall clock that went back over a restart is noticed. Nobody waits for it.
    fn note_hlc(&mut self, hlc: u64);

    /// What is remembered of other members.
    fn members(&self) -> &[MemberMemory];

    /// Remembers a member, replacing what stood under its name; on disk soon after.
    fn remember(&mut self, member: MemberMemory);

    /// Visits records of one partition in position order, from the first position at or above `from`,
    /// until told to break. Keys are visited with their keyspace.
    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    );

    /// Records held, tombstones included.
    fn len(&self) -> u64;

    /// Whether no record is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
