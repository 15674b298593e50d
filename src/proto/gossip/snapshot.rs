//! The last known members, as bytes to keep on disk.
//!
//! ```text
//! "QMEM" | u8 version | varint count | rows: opens | bumps | description | u32 crc32c of everything before
//! ```

use crate::proto::limits;
use crate::proto::wire::{Reader, WireError, put_varint};

use super::member::{Description, Incarnation, Known};

const MAGIC: [u8; 4] = *b"QMEM";
const VERSION: u8 = 1;

/// The members as bytes.
pub fn encode<'a>(members: impl ExactSizeIterator<Item = (&'a Description, Incarnation)>) -> Vec<u8> {
    let mut out = Vec::with_capacity(9 + 64 * members.len());
    out.extend_from_slice(&MAGIC);
    out.push(VERSION);
    put_varint(&mut out, members.len() as u64);
    for (description, incarnation) in members {
        incarnation.put(&mut out);
        description.put(&mut out);
    }
    let checksum = crc32c::crc32c(&out);
    out.extend_from_slice(&checksum.to_le_bytes());
    out
}

/// The members of a snapshot.
///
/// # Errors
/// The bytes are damaged, or of another version; begin without them.
pub fn decode(bytes: &[u8]) -> Result<Vec<Known>, WireError> {
    let (bytes, checksum) = bytes.split_last_chunk::<4>().ok_or(WireError { what: "snapshot" })?;
    if crc32c::crc32c(bytes) != u32::from_le_bytes(*checksum) {
        return Err(WireError { what: "snapshot's checksum" });
    }
    let mut reader = Reader::new(bytes);
    if reader.take(MAGIC.len(), "snapshot")? != MAGIC || reader.u8("snapshot's version")? != VERSION {
        return Err(WireError { what: "snapshot's version" });
    }
    let count = reader.varint("count of members")?;
    if count > limits::MEMBERS_MAX as u64 {
        return Err(WireError { what: "count of members" });
    }
    let mut members = Vec::new();
    for _ in 0..count {
        let incarnation = Incarnation::read(&mut reader)?;
        members.push(Known { incarnation, description: Description::read(&mut reader)? });
    }
    reader.end("snapshot")?;
    Ok(members)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(at: u32) -> Known {
        let description = Description {
            name: format!("n{at}"),
            address: vec![7; 1 + at as usize],
            zone: at,
            generation: u64::MAX - u64::from(at),
            nonce: at << 7,
        };
        Known { description, incarnation: Incarnation { opens: 300 * at, bumps: at } }
    }

    #[test]
    fn a_snapshot_comes_back_and_no_damaged_one_does() {
        let members: Vec<Known> = (0..5).map(known).collect();
        let bytes = encode(members.iter().map(|known| (&known.description, known.incarnation)));
        assert_eq!(decode(&bytes), Ok(members));
        for cut in 0..bytes.len() {
            assert!(decode(&bytes[..cut]).is_err());
        }
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&bytes).is_err(), "bit {bit}");
        }
        assert_eq!(decode(&encode([].into_iter())), Ok(vec![]));
    }
}
