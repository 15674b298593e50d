//! What nodes say to each other about keys that may be reaped.
//!
//! ```text
//! tomb     keyspace u16 | item hash u64 | key, a counted byte string
//! ```

use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_bytes};

/// Keys of one partition that may be reaped, under one attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    /// The partition.
    pub partition: u16,
    /// The number of the attempt: the count of whoever proves from then on.
    pub count: u64,
    /// Which boot of the receiver is asked; another one may have forgotten what it had heard.
    pub boot: u64,
    /// Tombs, one after another.
    pub tombs: &'a [u8],
}

/// What a node knows of the keys of a [`Question`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proof<'a> {
    /// The partition.
    pub partition: u16,
    /// The number of the attempt.
    pub asked: u64,
    /// The count under which the answer is given; a higher one, or the same without evidence, is a refusal.
    pub count: u64,
    /// An [`Evidence`] for each key, in their order; none if the attempt is refused.
    pub evidence: &'a [u8],
}

/// What a node knows of a key that may be reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Evidence {
    /// Its copy is just this and on its disk, or it is to hold none and holds none; and it keeps no hint of the key.
    Fine = 0,
    /// Its copy is another, or cannot be told.
    Differs = 1,
    /// It keeps a hint of the key.
    Hinted = 2,
    /// The partition moves.
    Moves = 3,
}

impl Evidence {
    /// Of a byte.
    ///
    /// # Errors
    /// It is none.
    pub const fn of(byte: u8) -> Result<Evidence, WireError> {
        Ok(match byte {
            0 => Evidence::Fine,
            1 => Evidence::Differs,
            2 => Evidence::Hinted,
            3 => Evidence::Moves,
            _ => return Err(WireError { what: "evidence" }),
        })
    }
}

/// A key, and the item hash of the record that says that it is deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tomb<'a> {
    /// The keyspace.
    pub keyspace: u16,
    /// The hash.
    pub item_hash: u64,
    /// The key.
    pub key: &'a [u8],
}

/// Appends a tomb.
pub fn put_tomb(out: &mut Vec<u8>, tomb: &Tomb<'_>) {
    out.extend_from_slice(&tomb.keyspace.to_le_bytes());
    out.extend_from_slice(&tomb.item_hash.to_le_bytes());
    put_bytes(out, tomb.key);
}

/// Reads tombs, one after another.
///
/// # Errors
/// Names what is wrong: a field, or more of them than one attempt has.
pub fn decode_tombs(mut bytes: &[u8]) -> Result<Vec<Tomb<'_>>, WireError> {
    let mut tombs = Vec::new();
    while !bytes.is_empty() {
        let mut reader = Reader::new(bytes);
        let (keyspace, item_hash) = (reader.u16("keyspace")?, reader.u64("item hash")?);
        let key = reader.bytes(limits::KEY_MAX, "key")?;
        bytes = reader.rest();
        if tombs.len() == limits::REAP_KEYS || keyspace >= limits::KEYSPACES_MAX {
            return Err(WireError { what: "tomb" });
        }
        tombs.push(Tomb { keyspace, item_hash, key });
    }
    Ok(tombs)
}

impl<'a> Question<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(&self.boot.to_le_bytes());
        out.extend_from_slice(self.tombs);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Question<'a>, WireError> {
        let partition = reader.u16("partition")?;
        let (count, boot) = (reader.u64("reap count")?, reader.u64("boot")?);
        Ok(Question { partition, count, boot, tombs: reader.rest() })
    }
}

impl<'a> Proof<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.asked.to_le_bytes());
        out.extend_from_slice(&self.count.to_le_bytes());
        out.extend_from_slice(self.evidence);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Proof<'a>, WireError> {
        let partition = reader.u16("partition")?;
        let (asked, count) = (reader.u64("reap count")?, reader.u64("reap count")?);
        Ok(Proof { partition, asked, count, evidence: reader.rest() })
    }
}
