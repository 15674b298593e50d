//! What nodes say of hints: records that one of them keeps for a replica that cannot be reached.

use super::{Acks, Stored};
use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_bytes};

/// Keep this record for a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hint<'a> {
    /// The replica.
    pub target: MemberId,
    /// Whether an acknowledgement of it counts for the write: then it is never dropped (trap T2).
    pub is_counted: bool,
    /// The keyspace.
    pub keyspace: u16,
    /// The key.
    pub key: &'a [u8],
    /// Which answers are wanted.
    pub acks: Acks,
    /// The encoded object.
    pub object: &'a [u8],
}

/// How a node answers a [`Hint`]. It names the target, as one request may have sent two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hinted {
    /// The replica for which the record is kept.
    pub target: MemberId,
    /// How it is kept.
    pub stored: Stored,
}

/// Send what you keep of a key, unless its item hash is `known`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchHint<'a> {
    /// The keyspace.
    pub keyspace: u16,
    /// The key.
    pub key: &'a [u8],
    /// What the sender has; 0 for nothing.
    pub known: u64,
}

impl<'a> Hint<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.target.0.to_le_bytes());
        out.extend_from_slice(&self.keyspace.to_le_bytes());
        out.push(self.acks.bits() | u8::from(self.is_counted) << 2);
        put_bytes(out, self.key);
        out.extend_from_slice(self.object);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Hint<'a>, WireError> {
        let target = MemberId(reader.u64("target")?);
        let keyspace = reader.u16("keyspace")?;
        let flags = reader.u8("hint flags")?;
        if flags > 7 {
            return Err(WireError { what: "hint flags" });
        }
        let acks = Acks::of(flags & 3)?;
        let key = reader.bytes(limits::KEY_MAX, "key")?;
        Ok(Hint { target, is_counted: flags & 4 != 0, keyspace, key, acks, object: reader.rest() })
    }
}

impl Hinted {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.target.0.to_le_bytes());
        out.push(self.stored as u8);
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Hinted, WireError> {
        let target = MemberId(reader.u64("target")?);
        let stored = Stored::of(reader.u8("acknowledgement")?)?;
        reader.end("message end")?;
        Ok(Hinted { target, stored })
    }
}

impl<'a> FetchHint<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.keyspace.to_le_bytes());
        out.extend_from_slice(&self.known.to_le_bytes());
        out.extend_from_slice(self.key);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<FetchHint<'a>, WireError> {
        let keyspace = reader.u16("keyspace")?;
        let known = reader.u64("known hash")?;
        let key = reader.rest();
        if key.len() > limits::KEY_MAX {
            return Err(WireError { what: "key" });
        }
        Ok(FetchHint { keyspace, key, known })
    }
}
