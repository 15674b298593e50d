//! The border to storage: what the core needs of a store. The append log and its twin in memory
//! implement it; the simulator runs the log over a simulated disk.

use core::fmt;
use core::ops::ControlFlow;
use std::borrow::Cow;

use super::merkle::{Forest, MerkleTree};
use super::time::Instant;
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
    /// The earliest expiry of a value in it that still has its bytes, in wall-clock milliseconds: there is
    /// something in it to be shed (trap T13).
    pub expires_ms: Option<u64>,
    /// It only says that the key is deleted: all its siblings are tombstones. Taken even when the disk is full.
    pub is_delete: bool,
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
    /// A record from before its partition lost others: a newer version of this key may be among them. It
    /// is good to be merged with what peers hold, and no evidence by itself (trap T4).
    Suspect(Record<'a>),
}

/// Why a store refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The staging buffer is full; come back after the next marks.
    Overloaded,
    /// No room on the disk; deletes still go.
    Full,
    /// A new key would take the store over its memory ceiling; known keys can still be written.
    Memory,
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
            StoreError::Memory => "the store is at its memory ceiling",
            StoreError::ReadOnly => "the store is read-only since a sync failed",
            StoreError::Damaged => "a record's checksum does not hold",
        })
    }
}

impl std::error::Error for StoreError {}

/// How many openings before the present one a store remembers.
pub const OPENINGS_KEPT: usize = 32;

/// What a store knows of its own past, fixed when it was opened (traps T3, T19).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Names the data directory: new for an empty, restored or rolled-back one.
    pub generation: u64,
    /// How often the directory was opened, this time included; from 1.
    pub opens: u64,
    /// Drawn at this opening; part of every epoch it issues.
    pub nonce: u64,
    /// What was drawn at the openings before it, the last one first; 0 where that is not known.
    pub earlier: [u64; OPENINGS_KEPT],
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

impl Identity {
    /// Whether an opening that somebody remembers is one of this directory, which else went back in time; `None` if it is
    /// too long ago. The number alone does not tell: an old copy that is opened a few times before it meets anybody
    /// overtakes what was remembered of it.
    pub fn had_opening(&self, opens: u64, nonce: u64) -> Option<bool> {
        let Some(back) = self.opens.checked_sub(opens) else { return Some(false) };
        let mut nonces = core::iter::once(self.nonce).chain(self.earlier);
        let ours = nonces.nth(usize::try_from(back).ok()?)?;
        (ours != 0).then_some(ours == nonce)
    }
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

/// A small file that the core keeps beside the records, each replaced as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// The latest topology that is known to be committed.
    Topology,
    /// What this node voted as a keeper.
    Votes,
    /// The counts of reaps under which it said what it holds.
    Reaps,
}

impl Note {
    /// All of them.
    pub const ALL: [Note; 3] = [Note::Topology, Note::Votes, Note::Reaps];
}

/// What a partition holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct PartitionStats {
    /// Records, tombstones included.
    pub keys: u64,
    /// Bytes that they take in the store.
    pub bytes: u64,
    /// Records with a sibling that will expire and has its value.
    pub expiring: u64,
}

/// A place in the order of a store's changes; good for the generation that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct ChangeCursor {
    /// The generation of the store.
    pub generation: u64,
    /// Everything up to here was seen.
    pub sequence: Sequence,
    /// Where the store may begin to look, if that place still exists: its own matter.
    pub hint: (u64, u64),
}

/// One change of a partition.
#[derive(Clone, Debug)]
pub enum Change<'a> {
    /// This is the record now under the key.
    Put(KeyRef<'a>, Record<'a>),
    /// The key left the store, unless it is put again later.
    Removed(KeyRef<'a>, Sequence),
    /// All keys of the partition left the store, unless they are put again later.
    Dropped(Sequence),
}

/// How a look at the changes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changes {
    /// There is more behind this place.
    More(ChangeCursor),
    /// This was the last change so far.
    End(ChangeCursor),
    /// What changed since the cursor cannot be told: something on the way cannot be read. Begin with a scan and
    /// then with this cursor.
    Gap(ChangeCursor),
}

/// The state of a store, for operators.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct StoreStatus {
    /// A write or a sync failed: no writes any more.
    pub read_only: bool,
    /// No room on the disk: deletes only.
    pub is_full: bool,
    /// Partitions that lost records.
    pub incomplete: u64,
    /// Figures with their names, in a fixed order.
    pub figures: Vec<(&'static str, u64)>,
}

/// A key-value store of records. One thread drives it; none of its calls waits for the disk.
pub trait Store {
    /// What the store knows of its past.
    fn identity(&self) -> Identity;

    /// Starts a new generation (the directory turned out to be rolled back). Asked for again, it is put on disk again.
    fn renew_generation(&mut self, generation: u64);

    /// Whether the generation is on disk: until then a stop brings back the one before. The host is woken then.
    fn has_kept_generation(&self) -> bool;

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

    /// The content of a note as it was last given; empty if it never was.
    fn note(&self, note: Note) -> &[u8];

    /// Replaces a note; it is on disk soon after, and the host is woken then.
    fn keep(&mut self, note: Note, content: Vec<u8>);

    /// Whether the note is on disk as it was last given. Never, once a store has failed.
    fn is_kept(&self, note: Note) -> bool;

    /// Visits records of one partition in position order, from the first position at or above `from`,
    /// until told to break. Keys are visited with their keyspace. False if a record on the way could not be
    /// read and was passed over: who needs to know it asks for its key.
    fn scan(
        &self,
        partition: u16,
        from: u128,
        visit: &mut dyn FnMut(&KeyRef<'_>, &Record<'_>) -> ControlFlow<()>,
    ) -> bool;

    /// Takes a key out with everything it holds: what proof has shown to be deleted everywhere. Nothing is
    /// stored where nothing is held.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn remove(&mut self, key: &KeyRef<'_>) -> Result<Sequence, StoreError>;

    /// Takes all keys of a partition out.
    ///
    /// # Errors
    /// As [`Store::put`].
    fn drop_partition(&mut self, partition: u16) -> Result<Sequence, StoreError>;

    /// What a partition holds.
    fn partition_stats(&self, partition: u16) -> PartitionStats;

    /// Records with a sibling that will expire and has its value.
    fn expiring(&self, partition: u16) -> u64 {
        self.partition_stats(partition).expiring
    }

    /// Where changes are now: a cursor behind the last one.
    fn change_cursor(&self) -> ChangeCursor;

    /// Whether what changed in a partition since a cursor can be told: not if it is of another generation, of
    /// before an unclean stop, or older than what the store kept, nor if the partition lost records.
    fn covers(&self, partition: u16, since: &ChangeCursor) -> bool;

    /// Visits what changed since a cursor in the partitions that `concerns`, each of which it must cover, in the
    /// order of sequences, until told to break or after about `effort` bytes of the store were read. A key that
    /// changed again is visited once, for its last change, though perhaps again in a later call.
    fn changes(
        &self,
        concerns: &dyn Fn(u16) -> bool,
        since: &ChangeCursor,
        effort: u64,
        visit: &mut dyn FnMut(&Change<'_>) -> ControlFlow<()>,
    ) -> Changes;

    /// A bounded share of background work; to be called each turn. Returns [`Store::deadline`].
    fn maintain(&mut self, now: Instant) -> Instant {
        let _ = now;
        Instant::NEVER
    }

    /// The hash trees over the item hashes of what is held, one a partition and keyspace: always current,
    /// though a leaf may be coarser for a while than its keys would have it. A record that the disk has
    /// damaged counts as it was put.
    fn trees(&self) -> &Forest;

    /// The tree of a partition and keyspace; `None` if it has no key.
    fn tree(&self, partition: u16, keyspace: u16) -> Option<&MerkleTree> {
        self.trees().tree(partition, keyspace)
    }

    /// When [`Store::maintain`] is due although nothing else happens.
    fn deadline(&self) -> Instant {
        Instant::NEVER
    }

    /// How the store is.
    fn status(&self) -> StoreStatus;

    /// Whether the partition lost records, so that its copy is no evidence.
    fn is_incomplete(&self, partition: u16) -> bool;

    /// Says that a partition which lost records has been compared with every other copy: what is not in it
    /// is absent now, and what is in it is evidence.
    fn complete(&mut self, partition: u16);

    /// Records held, tombstones included.
    fn len(&self) -> u64;

    /// Whether no record is held.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
