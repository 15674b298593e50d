//! What nodes say to each other while the cluster changes: how far they have come, and how two copies of a
//! partition differ.

use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

/// How far a member has followed the topology.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The topology that it follows, and has on disk.
    pub version: u64,
    /// The generation of its data directory.
    pub generation: u64,
    /// Partitions that are new to it, and of these, how many it does not have yet.
    pub total: u32,
    /// See `total`.
    pub open: u32,
    /// Bytes of records that it took for them.
    pub bytes: u64,
}

/// Asks how a peer's records in a run of positions differ from the sender's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compare<'a> {
    /// The partition.
    pub partition: u16,
    /// Only this keyspace; `None` for all.
    pub keyspace: Option<u16>,
    /// The first position prefix of the run.
    pub from: u64,
    /// The first one behind it; `None` for the end of the partition.
    pub until: Option<u64>,
    /// Send the records that are not among the digests.
    pub sends: bool,
    /// Say which of the digests are not among the records.
    pub tells: bool,
    /// Leave nothing out for being young: the sender lost records.
    pub whole: bool,
    /// What the sender has in the run, as [`put_digest`] writes it.
    pub digests: &'a [u8],
}

/// Answers [`Compare`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compared<'a> {
    /// The partition.
    pub partition: u16,
    /// Where the run began.
    pub from: u64,
    /// Where it must be asked on; `None` if all of the run was compared.
    pub next: Option<u64>,
    /// The copy is not complete, so the answer is no evidence of anything.
    pub is_unfit: bool,
    /// Prefixes of the digests that the peer has no record for, 8 bytes each.
    pub lacking: &'a [u8],
    /// Records, as [`put_record`] writes them.
    pub records: &'a [u8],
}

impl Progress {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        for field in [self.version, self.generation, self.bytes] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        out.extend_from_slice(&self.total.to_le_bytes());
        out.extend_from_slice(&self.open.to_le_bytes());
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Progress, WireError> {
        let (version, generation) = (reader.u64("topology version")?, reader.u64("generation")?);
        let bytes = reader.u64("bytes")?;
        let (total, open) = (reader.u32("partitions")?, reader.u32("partitions")?);
        Ok(Progress { version, generation, total, open, bytes })
    }
}

impl<'a> Compare<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.from.to_le_bytes());
        // What a transfer asks stands as the first release wrote it: not to send was to tell.
        let is_told = self.tells && self.sends;
        let flags = [self.until.is_some(), self.sends, is_told, self.keyspace.is_some(), self.whole];
        out.push(flags.iter().enumerate().map(|(at, &flag)| u8::from(flag) << at).sum());
        put_varint(out, self.until.unwrap_or(0));
        if let Some(keyspace) = self.keyspace {
            out.extend_from_slice(&keyspace.to_le_bytes());
        }
        out.extend_from_slice(self.digests);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Compare<'a>, WireError> {
        let (partition, from) = (reader.u16("partition")?, reader.u64("position")?);
        let flags = reader.u8("comparison")?;
        let until = reader.varint("position")?;
        let keyspace = if flags & 8 == 0 { None } else { Some(reader.u16("keyspace")?) };
        let digests = reader.rest();
        let sends = flags & 2 != 0;
        if flags > 31 || (flags & 1 == 0 && until != 0) || !digests.len().is_multiple_of(DIGEST_BYTES) {
            return Err(WireError { what: "comparison" });
        }
        let until = (flags & 1 != 0).then_some(until);
        let (tells, whole) = (!sends || flags & 4 != 0, flags & 16 != 0);
        Ok(Compare { partition, keyspace, from, until, sends, tells, whole, digests })
    }
}

impl<'a> Compared<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.from.to_le_bytes());
        out.push(u8::from(self.next.is_some()) | u8::from(self.is_unfit) << 1);
        put_varint(out, self.next.unwrap_or(0));
        put_bytes(out, self.lacking);
        out.extend_from_slice(self.records);
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Compared<'a>, WireError> {
        let (partition, from) = (reader.u16("partition")?, reader.u64("position")?);
        let flags = reader.u8("comparison")?;
        let next = reader.varint("position")?;
        let lacking = reader.bytes(limits::FRAME_MAX, "lacking records")?;
        if flags > 3 || (flags & 1 == 0 && next != 0) || !lacking.len().is_multiple_of(8) {
            return Err(WireError { what: "comparison" });
        }
        let next = (flags & 1 != 0).then_some(next);
        let is_unfit = flags & 2 != 0;
        Ok(Compared { partition, from, next, is_unfit, lacking, records: reader.rest() })
    }
}

/// Bytes of a digest.
pub const DIGEST_BYTES: usize = 16;

/// Appends a digest: the prefix of a key's position and the item hash of its record.
pub fn put_digest(out: &mut Vec<u8>, prefix: u64, item_hash: u64) {
    out.extend_from_slice(&prefix.to_le_bytes());
    out.extend_from_slice(&item_hash.to_le_bytes());
}

/// The digests of a comparison.
pub fn decode_digests(bytes: &[u8]) -> impl Iterator<Item = (u64, u64)> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("8 bytes"));
    bytes.chunks_exact(DIGEST_BYTES).map(move |digest| (number(&digest[..8]), number(&digest[8..])))
}

/// Appends a record: keyspace 2, key and object, each with its length.
pub fn put_record(out: &mut Vec<u8>, keyspace: u16, key: &[u8], object: &[u8]) {
    out.extend_from_slice(&keyspace.to_le_bytes());
    put_bytes(out, key);
    put_bytes(out, object);
}

/// Reads the records of a comparison, until one cannot be read or `visit` breaks off.
///
/// # Errors
/// Names what is wrong with the first bad one; or what `visit` says.
pub fn decode_records<E: From<WireError>>(
    records: &[u8],
    mut visit: impl FnMut(u16, &[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(records);
    while !reader.rest().is_empty() {
        let keyspace = reader.u16("keyspace")?;
        let key = reader.bytes(limits::KEY_MAX, "key")?;
        let object = reader.bytes(limits::FRAME_MAX, "object")?;
        visit(keyspace, key, object)?;
    }
    Ok(())
}
