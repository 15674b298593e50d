//! What a read-modify-write makes of the value it read. Pure.

use super::float;
use crate::proto::error::Outcome;
use crate::proto::io::{Edit, ExpiryEdit, ExpiryWhen, Presence};
use crate::proto::limits;
use crate::proto::version::{Row, SetChange};
use std::collections::BTreeSet;

/// What is to be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change<'e> {
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
    /// This becomes of the set, and of this many elements.
    Set(SetChange<'e>, u64),
    /// Nothing: it makes no sense on this value.
    Refused(Outcome),
}

/// Decides an edit on the newest live row, if there is one.
pub fn decide<'e>(edit: &'e Edit<'e>, live: Option<&Row<'_>>) -> Change<'e> {
    let expiry_now = live.and_then(|row| row.expires_ms);
    let is_of_sets = matches!(edit, Edit::AddElements(_) | Edit::RemoveElements(_));
    let is_of_texts =
        matches!(edit, Edit::Append(_) | Edit::AddFloat(_) | Edit::SetRange { .. } | Edit::SetBit { .. });
    if live.is_some_and(|row| if row.is_set() { is_of_texts } else { is_of_sets }) {
        return Change::Refused(Outcome::WrongType);
    }
    match *edit {
        Edit::AddElements(ref members) => add_elements(members, live),
        Edit::RemoveElements(ref members) => match in_common(members, live) {
            0 => Change::None,
            count => Change::Set(SetChange::Remove { members }, count),
        },
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
            Err(why) => Change::Refused(Outcome::BadArgument(why.into())),
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
                let expires_ms = edited(expiry, expiry_now);
                if row.is_set() {
                    return Change::Set(SetChange::Expire { expires_ms }, 0);
                }
                Change::Value { value: row.value.to_vec(), expires_ms }
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

/// How many of these elements are in a set.
fn in_common(members: &[&[u8]], live: Option<&Row<'_>>) -> u64 {
    let named: BTreeSet<&[u8]> = members.iter().copied().collect();
    let held = live.into_iter().flat_map(Row::members);
    held.filter(|element| named.contains(&*element.value)).count() as u64
}

/// The bound is on what a set grows to; one that others have made larger may still be changed.
fn add_elements<'e>(members: &'e [&'e [u8]], live: Option<&Row<'_>>) -> Change<'e> {
    let named: BTreeSet<&[u8]> = members.iter().copied().collect();
    let added = named.len() as u64 - in_common(members, live);
    let count = live.map_or(0, |row| row.members().count()) as u64 + added;
    if added > 0 && count > limits::ELEMENTS_MAX as u64 {
        let why = format!("the set would have {count} elements, the limit is {}", limits::ELEMENTS_MAX);
        return Change::Refused(Outcome::BadArgument(why.into()));
    }
    let expires_ms = live.and_then(|row| row.expires_ms);
    Change::Set(SetChange::Add { members, expires_ms }, added)
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
    use crate::proto::version::{Actor, Dot, Element, Epoch, Hlc};

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
            elements: Vec::new(),
        }
    }

    fn value(value: &str, expires_ms: Option<u64>) -> Change<'static> {
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

    #[test]
    fn a_set_is_changed_by_what_is_of_sets() {
        let element = |value: &'static str, counter| Element {
            value: value.as_bytes().into(),
            dot: Dot { counter, ..Dot::default() },
            hlc: Hlc(counter),
        };
        let elements = vec![element("a", 1), element("b", 2), element("b", 3)];
        let set = Row { elements, base: None, ..live("", Some(50)) };
        let text = live("old", None);
        let members: Vec<&[u8]> = vec![b"b", b"c", b"c"];
        let add = |expires_ms| SetChange::Add { members: &members, expires_ms };
        let wrong = || Change::Refused(Outcome::WrongType);
        let (adds, removes) = (Edit::AddElements(members.clone()), Edit::RemoveElements(members.clone()));
        let expire = Edit::Expire { expiry: ExpiryEdit::Clear, when: ExpiryWhen::Some };
        for (edit, row, change) in [
            (&adds, None, Change::Set(add(None), 2)),
            (&adds, Some(&set), Change::Set(add(Some(50)), 1)),
            (&adds, Some(&text), wrong()),
            (&removes, None, Change::None),
            (&removes, Some(&set), Change::Set(SetChange::Remove { members: &members }, 1)),
            (&removes, Some(&text), wrong()),
            (&Edit::RemoveElements(vec![b"x"]), Some(&set), Change::None),
            (&Edit::Append(b"x"), Some(&set), wrong()),
            (&Edit::AddFloat(b"1"), Some(&set), wrong()),
            (&Edit::Delete, Some(&set), Change::Tombstone),
            (&expire, Some(&set), Change::Set(SetChange::Expire { expires_ms: None }, 0)),
        ] {
            assert_eq!(decide(edit, row), change, "{edit:?}");
        }
    }
}
