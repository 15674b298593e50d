//! Pages of a partition: what a replica holds of a keyspace from a prefix on, in the order of positions.
//!
//! ```text
//! Scan     keyspace u16 | partition u16 | from u64 | limit u32 | wall ms u64 | known u8
//!          | if known: bounded u8 | until varint | sum u64
//! Scanned  from u64 | 0 unknown, 1 same | sum u64, 2 rows | bounded u8 | next varint | rows
//! row      item hash u64 | live u8 | key, counted
//! ```
//!
//! A scan that names what its sender holds up to some prefix is answered with a word by whoever holds the same, as a
//! fetch is. Deleted keys are rows as well: another replica may not know yet that they are.

use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

/// What the sender of a scan holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Up to this prefix; `None` for the end of the partition.
    pub until: Option<u64>,
    /// The sum of the item hashes there, those of live records turned by one bit.
    pub sum: u64,
}

/// Tell what you hold of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// The keyspace.
    pub keyspace: u16,
    /// The partition.
    pub partition: u16,
    /// The first position prefix wanted.
    pub from: u64,
    /// At most about this many live keys: a page ends only between prefixes.
    pub limit: u32,
    /// The wall time by which values have expired.
    pub wall_ms: u64,
    /// What the sender holds itself.
    pub known: Option<Extent>,
}

/// Answers a `Scan`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scanned<'a> {
    /// The prefix from which it was asked.
    pub from: u64,
    /// What is held.
    pub listed: Listed<'a>,
}

/// What a replica holds of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed<'a> {
    /// It cannot tell: records were lost there, or its copy is no evidence.
    Unknown,
    /// Just what the scan named, by its sum.
    Same(u64),
    /// These keys.
    Rows {
        /// They are all before this prefix; `None` if they are all there are.
        next: Option<u64>,
        /// One after the other.
        rows: &'a [u8],
    },
}

/// A key that a replica holds a record of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row<'a> {
    /// The key.
    pub key: &'a [u8],
    /// The item hash of the record.
    pub item_hash: u64,
    /// Whether the record has a value.
    pub is_live: bool,
}

fn put_bound(out: &mut Vec<u8>, bound: Option<u64>) {
    out.push(u8::from(bound.is_some()));
    put_varint(out, bound.unwrap_or(0));
}

fn read_bound(reader: &mut Reader<'_>) -> Result<Option<u64>, WireError> {
    match (reader.u8("bound")?, reader.varint("bound")?) {
        (0, 0) => Ok(None),
        (1, bound) => Ok(Some(bound)),
        _ => Err(WireError { what: "bound" }),
    }
}

impl Scan {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.keyspace.to_le_bytes());
        out.extend_from_slice(&self.partition.to_le_bytes());
        out.extend_from_slice(&self.from.to_le_bytes());
        out.extend_from_slice(&self.limit.to_le_bytes());
        out.extend_from_slice(&self.wall_ms.to_le_bytes());
        out.push(u8::from(self.known.is_some()));
        if let Some(known) = self.known {
            put_bound(out, known.until);
            out.extend_from_slice(&known.sum.to_le_bytes());
        }
    }

    pub(super) fn decode(reader: &mut Reader<'_>) -> Result<Scan, WireError> {
        let scan = Scan {
            keyspace: reader.u16("keyspace")?,
            partition: reader.u16("partition")?,
            from: reader.u64("position")?,
            limit: reader.u32("limit")?,
            wall_ms: reader.u64("wall time")?,
            known: match reader.u8("known")? {
                0 => None,
                1 => Some(Extent { until: read_bound(reader)?, sum: reader.u64("sum")? }),
                _ => return Err(WireError { what: "known" }),
            },
        };
        reader.end("message end")?;
        Ok(scan)
    }
}

impl<'a> Scanned<'a> {
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.from.to_le_bytes());
        match self.listed {
            Listed::Unknown => out.push(0),
            Listed::Same(sum) => {
                out.push(1);
                out.extend_from_slice(&sum.to_le_bytes());
            }
            Listed::Rows { next, rows } => {
                out.push(2);
                put_bound(out, next);
                out.extend_from_slice(rows);
            }
        }
    }

    pub(super) fn decode(reader: &mut Reader<'a>) -> Result<Scanned<'a>, WireError> {
        let from = reader.u64("position")?;
        let listed = match reader.u8("scanned")? {
            0 => Listed::Unknown,
            1 => Listed::Same(reader.u64("sum")?),
            2 => Listed::Rows { next: read_bound(reader)?, rows: reader.rest() },
            _ => return Err(WireError { what: "scanned" }),
        };
        if !matches!(listed, Listed::Rows { .. }) {
            reader.end("message end")?;
        }
        Ok(Scanned { from, listed })
    }
}

/// Appends a row of a `Scanned`.
pub fn put_row(out: &mut Vec<u8>, row: &Row<'_>) {
    out.extend_from_slice(&row.item_hash.to_le_bytes());
    out.push(u8::from(row.is_live));
    put_bytes(out, row.key);
}

/// Reads the rows of a `Scanned`, one after another.
///
/// # Errors
/// Names what is wrong at the first bad one.
pub fn decode_rows<'a>(mut rows: &'a [u8], mut visit: impl FnMut(Row<'a>)) -> Result<(), WireError> {
    while !rows.is_empty() {
        let mut reader = Reader::new(rows);
        let item_hash = reader.u64("item hash")?;
        let is_live = match reader.u8("live")? {
            live @ 0..=1 => live == 1,
            _ => return Err(WireError { what: "live" }),
        };
        visit(Row { key: reader.bytes(limits::KEY_MAX, "scanned key")?, item_hash, is_live });
        rows = reader.rest();
    }
    Ok(())
}
