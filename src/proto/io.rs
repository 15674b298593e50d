//! What crosses the core's border: requests and replies of clients, and the effects it wants done.

use core::time::Duration;

use super::buffer::Buffer;
use super::cluster::{Order, Overview};
use super::error::Outcome;
use super::few::Few;
use super::limits;
use super::store::Durability;
use super::version::{Dot, Hlc};

/// Chosen by whoever submits a request; comes back with its reply. The core only copies it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RequestId(pub u64);

/// A member of the cluster: the keyed hash of its name, so equal on every node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct MemberId(pub u64);

/// How a read shows concurrent versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum View {
    /// Every sibling.
    #[default]
    All,
    /// The newest by hybrid timestamp, then dot, among those no other supersedes.
    Latest,
    /// The version that at least ⌊N/2⌋+1 replicas returned, or `NoMajority` with the siblings.
    Majority,
    /// One value made of all siblings, with the context of them all; only for reads. Where none can be made of
    /// them, they are shown as they are.
    Merged(Merge),
}

/// How one value is made of several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// The greatest of whole numbers.
    Max,
    /// The least.
    Min,
    /// Their sum, within 64 bits.
    Sum,
    /// The lines of all, sorted, each once.
    SetUnion,
    /// One behind the other, the oldest first.
    Concat,
    /// By a function of the host, of this number.
    Host(u8),
}

/// A function of the host: makes one value of a key's siblings, which come in the order of their dots; `None` if it
/// cannot.
pub type MergeFunction = Box<dyn Fn(&[u8], &[&[u8]]) -> Option<Vec<u8>> + Send>;

impl View {
    /// Its number in messages and in C. Functions of the host begin at 16.
    pub fn code(self) -> u8 {
        match self {
            View::All => 0,
            View::Latest => 1,
            View::Majority => 2,
            View::Merged(Merge::Max) => 3,
            View::Merged(Merge::Min) => 4,
            View::Merged(Merge::Sum) => 5,
            View::Merged(Merge::SetUnion) => 6,
            View::Merged(Merge::Concat) => 7,
            View::Merged(Merge::Host(number)) => 16 + number,
        }
    }

    /// The view with this number.
    pub fn from_code(code: u8) -> Option<View> {
        Some(match code {
            0 => View::All,
            1 => View::Latest,
            2 => View::Majority,
            3 => View::Merged(Merge::Max),
            4 => View::Merged(Merge::Min),
            5 => View::Merged(Merge::Sum),
            6 => View::Merged(Merge::SetUnion),
            7 => View::Merged(Merge::Concat),
            16.. if code - 16 < limits::MERGE_FUNCTIONS_MAX => View::Merged(Merge::Host(code - 16)),
            _ => return None,
        })
    }
}

/// What becomes of versions that a write's context does not cover, or of all if it has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Blind {
    /// They stay, as siblings of what is written.
    #[default]
    Siblings = 0,
    /// Without a context, what the coordinator holds is replaced; with one, as `Siblings`.
    Supersede = 1,
    /// If the coordinator's copy has any, nothing is written: [`Outcome::Changed`].
    /// Two coordinators that do not know of each other's write may both accept; what they wrote are siblings then.
    Refuse = 2,
}

/// Per-request settings; `None` is the keyspace's default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Replicas that must answer a read.
    pub r: Option<u8>,
    /// Replicas that must acknowledge a write.
    pub w: Option<u8>,
    /// How many of the answers to a read must come from primaries.
    pub pr: Option<u8>,
    /// How many of a write's acknowledgements must come from primaries.
    pub pw: Option<u8>,
    /// How many replicas must have the write on disk.
    pub dw: Option<u8>,
    /// Whether fallbacks may stand in for primaries that are down.
    pub sloppy: bool,
    /// How a read shows siblings.
    pub view: View,
    /// Whether a set is refused as the wrong type by an edit of any value: its caller is to be shown a text.
    pub text_only: bool,
    /// Whether the reply carries a context token (it costs a MAC).
    pub want_context: bool,
    /// Time until the deadline, from submission.
    pub timeout: Option<Duration>,
}

/// A request of a client. Borrowed: the core copies what it keeps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// Number of the keyspace; 0 is `default`.
    pub keyspace: u16,
    /// The key. Empty for [`Operation::Scan`].
    pub key: &'a [u8],
    /// What to do.
    pub operation: Operation<'a>,
    /// Settings.
    pub options: Options,
}

/// What a request does to its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// Read.
    Get,
    /// Write a value. `context` is a token from a read, as bytes.
    Put {
        /// The value.
        value: &'a [u8],
        /// A context token; what it covers is replaced.
        context: Option<&'a [u8]>,
        /// What becomes of versions that the context does not cover.
        blind: Blind,
        /// Absolute expiry, in milliseconds of wall time.
        expires_ms: Option<u64>,
    },
    /// Write a tombstone.
    Delete {
        /// A context token; what it covers is deleted.
        context: Option<&'a [u8]>,
        /// What becomes of versions that the context does not cover.
        blind: Blind,
    },
    /// Read R replicas, then write what [`Edit`] makes of the newest sibling, superseding all that was
    /// read. Carried out by one coordinator; not atomic across coordinators.
    Edit(Edit<'a>),
    /// Count: see [`Add`]. The reply shows the value after it, as its coordinator's copy has it.
    Add(Add<'a>),
    /// One page of a partition-ordered scan over the whole keyspace (see [`ScanPage`]), as R replicas hold it.
    Scan {
        /// Where to continue: 0, or [`ScanPage::next`] of the page before.
        cursor: u64,
        /// At most about this many keys: a page ends between prefixes of positions. 0 is the default.
        limit: u32,
    },
    /// What changed in one partition, or in all that the node holds, since a place in that change feed, as the copy of
    /// the node that is asked has it: see [`ChangePage`]. Has no key.
    Changes {
        /// The partition; `None` is all that the node holds.
        partition: Option<u16>,
        /// The place; without one the feed begins now.
        since: Option<&'a [u8]>,
        /// At most so many keys; 0 is the default.
        limit: u32,
    },
    /// Looks at the cluster or changes it. Has no key, and is carried out by the node that is asked.
    Cluster(Order),
}

impl Operation<'_> {
    /// Bytes of the value that it writes.
    pub(super) fn value_bytes(&self) -> usize {
        match self {
            Operation::Put { value, .. } | Operation::Edit(Edit::Set { value, .. } | Edit::Append(value)) => {
                value.len()
            }
            Operation::Edit(Edit::SetRange { offset, part }) if !part.is_empty() => {
                *offset as usize + part.len()
            }
            Operation::Edit(Edit::SetBit { offset, .. }) => *offset as usize / 8 + 1,
            Operation::Edit(Edit::AddElements(members) | Edit::RemoveElements(members)) => {
                members.iter().map(|member| member.len()).sum()
            }
            _ => 0,
        }
    }
}

/// An increment of a number; an absent key is 0. Two that do not know of each other both count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Add<'a> {
    /// By this much.
    By {
        /// The difference.
        by: i64,
        /// Names it, so that it counts once at its coordinator, however often it is asked for there.
        id: Option<u64>,
    },
    /// By the difference from the number that was read to this one. Counts once.
    To {
        /// The number.
        to: i64,
        /// The token of the read.
        context: &'a [u8],
    },
}

/// A read-modify-write, decided by the coordinator on the value it read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit<'a> {
    /// Sets the value.
    Set {
        /// The new value.
        value: &'a [u8],
        /// When it applies; otherwise nothing is written.
        when: Presence,
        /// What becomes of the expiry.
        expiry: ExpiryEdit,
    },
    /// Appends to the value (an absent key is empty); keeps the expiry. [`Reply::length`] is the new length.
    Append(&'a [u8]),
    /// Puts elements into a set; an absent key is an empty one, and the set keeps its expiry. [`Reply::length`] is how
    /// many of them were not there. All are put in anew, so that none goes with what somebody else removes meanwhile.
    AddElements(Vec<&'a [u8]>),
    /// Takes elements out of a set, as far as they are there. [`Reply::length`] is how many were.
    RemoveElements(Vec<&'a [u8]>),
    /// Adds a decimal fraction to the value (an absent key is 0); keeps the expiry. The reply shows the sum.
    AddFloat(&'a [u8]),
    /// Writes over a part of the value, which is filled up with zeros to there; keeps the expiry. Without
    /// bytes to write it changes nothing. [`Reply::length`] is the new length.
    SetRange {
        /// Where the part begins, in bytes.
        offset: u32,
        /// What stands there then.
        part: &'a [u8],
    },
    /// Sets one bit of the value, which is filled up with zeros to there; keeps the expiry.
    SetBit {
        /// Which, counted from the highest of the first byte.
        offset: u32,
        /// To what.
        on: bool,
    },
    /// Deletes a live value. [`Reply::applied`] tells whether there was one.
    Delete,
    /// Changes only the expiry of a live value, under a condition.
    Expire {
        /// The new expiry.
        expiry: ExpiryEdit,
        /// When it applies.
        when: ExpiryWhen,
    },
}

/// When a `Set` applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Presence {
    /// Always.
    #[default]
    Any = 0,
    /// If the key has no live value.
    Absent = 1,
    /// If the key has a live value.
    Present = 2,
}

/// What an edit does to the expiry. Times are absolute wall-clock milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ExpiryEdit {
    /// As it was.
    Keep,
    /// None.
    #[default]
    Clear,
    /// This one.
    At(u64),
}

/// When an `Expire` applies; as Redis' NX, XX, GT, LT, and XX with LT (no expiry counts as infinite).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum ExpiryWhen {
    /// Always.
    #[default]
    Always = 0,
    /// If there is no expiry.
    None = 1,
    /// If there is one.
    Some = 2,
    /// If the new one is later.
    Later = 3,
    /// If the new one is sooner.
    Sooner = 4,
    /// If there is one, and the new one is sooner.
    SoonerThanSome = 5,
}

/// What was achieved, in every answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Achieved {
    /// Replicas that had to answer.
    pub asked: u8,
    /// Replicas that did (the coordinator's own copy counts).
    pub acked: u8,
    /// Of these, on disk.
    pub durable: u8,
    /// Of these, fallbacks.
    pub fallbacks: u8,
}

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[repr(u8)]
pub enum Kind {
    /// Bytes that somebody wrote.
    #[default]
    Bytes = 0,
    /// A number in decimal, to which something was counted.
    Counter = 1,
    /// An element of a set: all that a reply has are those of one.
    Element = 2,
}

/// One version as a caller sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SiblingView {
    /// The value.
    pub value: Buffer,
    /// What it is. Replies that were forwarded do not tell.
    pub kind: Kind,
    /// Its dot; of a counter, that of the latest event in it.
    pub dot: Dot,
    /// When it was written, by its coordinator's hybrid clock.
    pub hlc: Hlc,
    /// Absolute expiry in wall-clock milliseconds.
    pub expires_ms: Option<u64>,
}

/// Versions that no other supersedes: most keys have one.
pub type Siblings = Few<SiblingView>;

/// A part of a change feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangePage {
    /// Keys that changed, in the order of their last changes, some perhaps once more.
    pub changed: Vec<Changed>,
    /// The place behind them. It holds for this replica; at another one there is a gap.
    pub next: Vec<u8>,
    /// There is more behind that place already.
    pub has_more: bool,
    /// What changed before cannot be told: a scan shows what there is. So it is at the begin.
    pub has_gap: bool,
}

/// A key that changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// The key.
    pub key: Vec<u8>,
    /// Its live siblings as they are now; none, if it is deleted or has expired.
    pub siblings: Siblings,
}

/// A page of a scan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// Keys with a live value, in position order.
    pub keys: Vec<Vec<u8>>,
    /// Where the next page begins; 0 when this was the last.
    pub next: u64,
    /// The topology under which the page was made.
    pub layout_version: u64,
}

/// The answer to a request. Exactly one comes for each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// How it ended.
    pub outcome: Outcome,
    /// What was achieved.
    pub achieved: Achieved,
    /// Live siblings: of a read, or an edit that changed nothing, all that the view shows; of an edit that
    /// wrote, the newest value it met; of an increment, the value after it. A set is one for each element; an edit that
    /// changed its elements shows none.
    pub siblings: Siblings,
    /// A context token, if it was asked for and the key has (or had) a version.
    pub context: Option<Buffer>,
    /// The dot a write was given; set as soon as one was issued, even if the write was not acknowledged.
    pub dot: Option<Dot>,
    /// Of an edit: whether it wrote.
    pub applied: bool,
    /// Of an edit that wrote: the new length in bytes; of a change of a set, how many elements came or went.
    pub length: u64,
    /// The view left siblings out.
    pub hid_siblings: bool,
    /// The one sibling shown was made of several.
    pub merged: bool,
    /// Read repair could not finish before the deadline.
    pub unrepaired: bool,
    /// R + W ≤ N: the answer may be older than an acknowledged write.
    pub weak: bool,
    /// Of a scan.
    pub page: Option<Box<ScanPage>>,
    /// Of a change feed.
    pub changes: Option<Box<ChangePage>>,
    /// Of an order to the cluster.
    pub overview: Option<Box<Overview>>,
}

impl Reply {
    /// A reply that says only how the request ended.
    pub fn bare(outcome: Outcome) -> Reply {
        Reply {
            outcome,
            achieved: Achieved::default(),
            siblings: Siblings::None,
            context: None,
            dot: None,
            applied: false,
            length: 0,
            hid_siblings: false,
            merged: false,
            unrepaired: false,
            weak: false,
            page: None,
            changes: None,
            overview: None,
        }
    }
}

/// What the core wants done, drained by `poll_output`.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are replies, and a box of its own would be an allocation each"
)]
pub enum Output {
    /// Answer a client.
    Reply {
        /// Whose request.
        id: RequestId,
        /// The answer.
        reply: Reply,
    },
    /// Carry whole frames to a peer, in any order, at most once each. At most one `Send` per peer and drain.
    Send {
        /// To whom.
        to: MemberId,
        /// One or more frames, each with its own header and checksum.
        frames: Vec<u8>,
    },
    /// Bring the store's marks forward (`Store::flush`), then call `handle_synced`.
    Sync(Durability),
    /// The same for the store of hints.
    SyncHints(Durability),
    /// A peer answered a probe ([`Node::probe`](super::node::Node::probe)); for membership.
    Probed {
        /// Who.
        from: MemberId,
        /// The probe's number.
        number: u32,
    },
    /// A peer has introduced itself; for membership.
    Met(Met),
}

/// Which process a peer's stream leads to, by its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Met {
    /// Who.
    pub member: MemberId,
    /// The generation of its data directory.
    pub generation: u64,
    /// How often that was opened, this time included.
    pub opens: u64,
    /// Random bits of this opening.
    pub boot: u64,
}
