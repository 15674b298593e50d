//! What membership wants done, and what it found out.

use crate::proto::io::MemberId;

use super::member::Verdict;
use super::message::LayoutStamp;

/// What the host is to do or to know, drained by `poll_output`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Carry a datagram to an address, once or not at all.
    Send {
        /// The address, as a member or a seed gave it, or as the host named a sender.
        to: Vec<u8>,
        /// At most [`GOSSIP_DATAGRAM_MAX`](crate::proto::limits::GOSSIP_DATAGRAM_MAX) bytes.
        bytes: Vec<u8>,
    },
    /// Ask a member over its peer stream whether it is there, and call `handle_stream_probe` with the number
    /// when it answered. To answer late, or not at all, is the same.
    StreamProbe {
        /// Whom.
        member: MemberId,
        /// To be given back.
        number: u32,
    },
    /// The verdict on a member changed, or whether it is unsteady.
    Changed(Change),
    /// A member has another layout than this node; fetch it, or tell it, over the peer stream. Said once for
    /// each layout of each member.
    LayoutDiffers {
        /// Who has it.
        member: MemberId,
        /// What it has.
        theirs: LayoutStamp,
    },
    /// Something that an operator should know.
    Alert(Alert),
    /// Keep a new `snapshot()` on disk, when convenient.
    Remember,
}

/// A change of one row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Change {
    /// Whose.
    pub member: MemberId,
    /// The verdict before; `None` for a new member.
    pub from: Option<Verdict>,
    /// The verdict now.
    pub to: Verdict,
    /// Whether reads should avoid it: it was down and up again too often.
    pub unsteady: bool,
}

/// What an operator should know. One about the same member is not repeated within a minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Alert {
    /// Two live processes have this member's name and copies of its data directory. If it is this node, one
    /// of the two is.
    Twin(MemberId),
    /// Two live members have data directories of one generation: one is a copy.
    SharedGeneration(MemberId, MemberId),
    /// A member's generation was removed from the cluster. If it is this node, it must not serve.
    Removed(MemberId),
    /// A member said that this node's era is over.
    EraOver(LayoutStamp),
}
