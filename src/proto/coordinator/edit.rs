//! What a read-modify-write makes of the value it read. Pure.

use super::float;
use crate::proto::io::{Edit, ExpiryEdit, ExpiryWhen, Presence};
use crate::proto::version::Row;

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: a condition did not hold.
    None,
    /// This value, superseding everything read.
    Value {
        /// The value.
        value: Vec<u8>,
        /// Its expiry.
        expires_ms: Option<u64>,
    },
    /// A tombstone, superseding everything read.
    Tombstone,
    /// Nothing: it makes no sense on this value.
    Refused(&'static str),
}

/// Decides an edit on the newest live row, if there is one.
pub fn decide(edit: &Edit<'_>, live: Option<&Row<'_>>) -> Change {
    let expiry_now = live.and_then(|row| row.expires_ms);
    match *edit {
        Edit::Set { value, when, expiry } => {
            let applies = match when {
                Presence::Any => true,
                Presence::Absent => live.is_none(),
                Presence::Present => live.is_some(),
            };
            if !applies {
                return Change::None;
            }
            Change::Value { value: value.to_vec(), expires_ms: edited(expiry, expiry_now) }
        }
        Edit::Append(tail) => {
            let head = live.map_or(&[][..], |row| &row.value);
            Change::Value { value: [head, tail].concat(), expires_ms: expiry_now }
        }
        Edit::AddFloat(by) => match float::sum(live.map(|row| &*row.value), by) {
            Ok(value) => Change::Value { value, expires_ms: expiry_now },
            Err(why) => Change::Refused(why),
        },
        Edit::SetRange { part: b"", .. } => Change::None,
        Edit::SetRange { offset, part } => {
            let offset = offset as usize;
            let mut value = filled_up(live, offset + part.len());
            value[offset..][..part.len()].copy_from_slice(part);
            Change::Value { value, expires_ms: expiry_now }
        }
        Edit::SetBit { offset, on } => {
            let (byte, bit) = (offset as usize / 8, 0x80 >> (offset % 8));
            let mut value = filled_up(live, byte + 1);
            if on {
                value[byte] |= bit;
            } else {
                value[byte] &= !bit;
            }
            Change::Value { value, expires_ms: expiry_now }
        }
        Edit::Delete if live.is_some() => Change::Tombstone,
        Edit::Expire { expiry, when } => match live {
            Some(row) if expiry_applies(when, expiry_now, expiry) => {
                Change::Value { value: row.value.to_vec(), expires_ms: edited(expiry, expiry_now) }
            }
            _ => Change::None,
        },
        Edit::Delete => Change::None,
    }
}

/// The value with zeros behind it, so that it has so many bytes at least. The limit of a value was checked
/// before, so a short request cannot ask for much.
fn filled_up(live: Option<&Row<'_>>, length: usize) -> Vec<u8> {
    let old = live.map_or(&[][..], |row| &row.value);
    let mut value = Vec::with_capacity(old.len().max(length));
    value.extend_from_slice(old);
    value.resize(old.len().max(length), 0);
    value
}

fn edited(expiry: ExpiryEdit, now: Option<u64>) -> Option<u64> {
    match expiry {
        ExpiryEdit::Keep => now,
        ExpiryEdit::Clear => None,
        ExpiryEdit::At(expires_ms) => Some(expires_ms),
    }
}

/// No expiry counts as an infinite one, as Redis has it.
fn expiry_applies(when: ExpiryWhen, now: Option<u64>, edit: ExpiryEdit) -> bool {
    let new = edited(edit, now).unwrap_or(u64::MAX);
    let old = now.unwrap_or(u64::MAX);
    match when {
        // Clearing what is not there changes nothing.
        ExpiryWhen::Always => edit != ExpiryEdit::Clear || now.is_some(),
        ExpiryWhen::None => now.is_none(),
        ExpiryWhen::Some => now.is_some(),
        ExpiryWhen::Later => new > old,
        ExpiryWhen::Sooner => new < old,
        ExpiryWhen::SoonerThanSome => now.is_some() && new < old,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::version::{Actor, Dot, Epoch, Hlc};

    fn live(value: &str, expires_ms: Option<u64>) -> Row<'_> {
        let actor = Actor { generation: 1, epoch: Epoch { nonce: 1, number: 1 } };
        let dot = Dot { actor, counter: 1 };
        Row {
            value: value.as_bytes().into(),
            dot,
            hlc: Hlc(1),
            expires_ms,
            tombstone: false,
            is_live: true,
            base: Some(dot),
            counts: Vec::new(),
        }
    }

    fn value(value: &str, expires_ms: Option<u64>) -> Change {
        Change::Value { value: value.as_bytes().to_vec(), expires_ms }
    }

    #[test]
    fn edits_follow_their_conditions() {
        let old = live("old", Some(50));
        let eternal = live("old", None);
        let set = |when, expiry| Edit::Set { value: b"new", when, expiry };
        let expire = |at, when| Edit::Expire { expiry: ExpiryEdit::At(at), when };
        let range = |offset, part| Edit::SetRange { offset, part };
        let bit = |offset, on| Edit::SetBit { offset, on };
        let persist = Edit::Expire { expiry: ExpiryEdit::Clear, when: ExpiryWhen::Always };
        let table = [
            (set(Presence::Any, ExpiryEdit::Clear), Some(&old), value("new", None)),
            (set(Presence::Any, ExpiryEdit::Keep), Some(&old), value("new", Some(50))),
            (set(Presence::Absent, ExpiryEdit::Clear), Some(&old), Change::None),
            (set(Presence::Absent, ExpiryEdit::At(9)), None, value("new", Some(9))),
            (set(Presence::Present, ExpiryEdit::Clear), None, Change::None),
            (Edit::Append(b"+"), None, value("+", None)),
            (Edit::Append(b"+"), Some(&old), value("old+", Some(50))),
            (Edit::Delete, None, Change::None),
            (Edit::Delete, Some(&old), Change::Tombstone),
            (expire(60, ExpiryWhen::Always), None, Change::None),
            (expire(60, ExpiryWhen::Always), Some(&old), value("old", Some(60))),
            (expire(60, ExpiryWhen::None), Some(&old), Change::None),
            (expire(60, ExpiryWhen::None), Some(&eternal), value("old", Some(60))),
            (expire(60, ExpiryWhen::Some), Some(&eternal), Change::None),
            (expire(60, ExpiryWhen::Later), Some(&old), value("old", Some(60))),
            (expire(40, ExpiryWhen::Later), Some(&old), Change::None),
            (expire(60, ExpiryWhen::Later), Some(&eternal), Change::None),
            (expire(60, ExpiryWhen::Sooner), Some(&eternal), value("old", Some(60))),
            (expire(60, ExpiryWhen::SoonerThanSome), Some(&eternal), Change::None),
            (expire(60, ExpiryWhen::SoonerThanSome), Some(&old), Change::None),
            (expire(40, ExpiryWhen::SoonerThanSome), Some(&old), value("old", Some(40))),
            (range(0, b"x"), None, value("x", None)),
            (range(2, b"x"), None, value("\0\0x", None)),
            (range(1, b"xy"), Some(&old), value("oxy", Some(50))),
            (range(0, b"x"), Some(&old), value("xld", Some(50))),
            (range(4, b"x"), Some(&old), value("old\0x", Some(50))),
            (range(9, b""), Some(&old), Change::None),
            (range(9, b""), None, Change::None),
            (bit(10, true), None, value("\0 ", None)),
            (bit(9, false), None, value("\0\0", None)),
            (bit(1, false), Some(&old), value("/ld", Some(50))),
            (bit(1, true), Some(&old), value("old", Some(50))),
            (bit(31, true), Some(&eternal), value("old\x01", None)),
            (persist.clone(), Some(&old), value("old", None)),
            (persist, Some(&eternal), Change::None),
        ];
        for (edit, row, change) in table {
            assert_eq!(decide(&edit, row), change, "{edit:?}");
        }
    }
}
