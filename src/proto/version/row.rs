//! What a reader is shown of an object: a row for each sibling, one for what was counted without any, and one for
//! all the elements of a set.
//!
//! A live sibling that is a number is the base of a counter: its row shows the sum of it, of what was counted on
//! it, and of what was counted on nothing that is here. The latter counts for each such base, as nobody has
//! said which of them stays; where there is none it has a row of its own, and counts from 0.

use std::borrow::Cow;

use super::actor::Dot;
use super::count::{Count, integer};
use super::hlc::Hlc;
use super::object::{Object, Sibling, Value};
use crate::proto::few::Few;

/// The rows of an object: most have one.
pub type Rows<'o> = Few<Row<'o>>;

/// One value as a reader sees it, dead ones included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<'o> {
    /// The bytes, or the sum in decimal; empty if it is dead or a set.
    pub value: Cow<'o, [u8]>,
    /// The latest event in it.
    pub dot: Dot,
    /// When that was, by its coordinator's hybrid clock.
    pub hlc: Hlc,
    /// Absolute expiry in wall-clock milliseconds.
    pub expires_ms: Option<u64>,
    /// It is the row of a delete.
    pub tombstone: bool,
    /// It has a value now.
    pub is_live: bool,
    /// The sibling that it is of; none for a set, and for what was counted without one.
    pub base: Option<Dot>,
    /// The counts in it.
    pub counts: Vec<Count>,
    /// The live elements of a set, sorted. One may come more than once, from writers that did not know of each other.
    pub elements: Vec<Element<'o>>,
}

/// An element of a set.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Element<'o> {
    /// The element.
    pub value: Cow<'o, [u8]>,
    /// The event that put it in.
    pub dot: Dot,
    /// When that was, by its coordinator's hybrid clock.
    pub hlc: Hlc,
}

impl<'o> Row<'o> {
    fn of<'a: 'o>(sibling: &'o Sibling<'a>, wall_ms: u64) -> Row<'o> {
        let is_live = sibling.is_live(wall_ms);
        let value = match &sibling.value {
            Value::Whole(bytes) if is_live => Cow::Borrowed(&**bytes),
            _ => Cow::Borrowed(&[][..]),
        };
        Row {
            value,
            dot: sibling.dot,
            hlc: sibling.hlc,
            expires_ms: sibling.expires_ms,
            tombstone: sibling.tombstone,
            is_live,
            base: Some(sibling.dot),
            counts: Vec::new(),
            elements: Vec::new(),
        }
    }

    /// Of the live elements of an object; none if there are none.
    fn of_set(object: &'o Object<'_>, wall_ms: u64) -> Option<Row<'o>> {
        let live = || object.elements().filter(|element| element.is_live(wall_ms));
        let newest = live().max_by_key(|element| (element.hlc, element.dot))?;
        // The set is there as long as any element of it.
        let expires_ms = live().map(|element| element.expires_ms.unwrap_or(u64::MAX)).max();
        let element_of = |sibling: &'o Sibling<'_>| Element {
            value: Cow::Borrowed(sibling.bytes()),
            dot: sibling.dot,
            hlc: sibling.hlc,
        };
        let mut elements: Vec<Element<'o>> = live().map(element_of).collect();
        elements.sort_unstable();
        Some(Row {
            value: Cow::Borrowed(&[]),
            dot: newest.dot,
            hlc: newest.hlc,
            expires_ms: expires_ms.filter(|&expires_ms| expires_ms < u64::MAX),
            tombstone: false,
            is_live: true,
            base: None,
            counts: Vec::new(),
            elements,
        })
    }

    /// Whether it is of a set.
    pub fn is_set(&self) -> bool {
        !self.elements.is_empty()
    }

    /// The elements of a set, each once, as it was put in last by its dot.
    pub fn members(&self) -> impl Iterator<Item = &Element<'o>> {
        let next = self.elements.iter().skip(1).map(Some).chain([None]);
        let is_last = |element: &Element<'_>, next: Option<&Element<'_>>| {
            next.is_none_or(|next| next.value != element.value)
        };
        self.elements
            .iter()
            .zip(next)
            .filter(move |&(element, next)| is_last(element, next))
            .map(|pair| pair.0)
    }

    /// The dots of its items.
    pub fn dots(&self) -> impl Iterator<Item = Dot> {
        let items = self.counts.iter().map(|count| count.dot);
        self.base.into_iter().chain(items).chain(self.elements.iter().map(|element| element.dot))
    }

    /// The number that it shows, if it shows one. A sum of what was counted on several machines may have left the
    /// range of 64 bits.
    pub fn number(&self) -> Option<i128> {
        if self.counts.is_empty() {
            return integer(&self.value).map(i128::from);
        }
        core::str::from_utf8(&self.value).ok()?.parse().ok()
    }

    /// Whether it is the same version as another one, of whatever copy.
    pub fn is_same(&self, other: &Row<'_>) -> bool {
        let is_plain = self.counts.is_empty() && other.counts.is_empty();
        self.dots().eq(other.dots()) && (is_plain || self.value == other.value)
    }

    /// A copy that borrows nothing.
    pub fn into_owned(self) -> Row<'static> {
        let owned = |element: Element<'_>| Element {
            value: Cow::Owned(element.value.into_owned()),
            dot: element.dot,
            hlc: element.hlc,
        };
        Row {
            value: Cow::Owned(self.value.into_owned()),
            elements: self.elements.into_iter().map(owned).collect(),
            ..self
        }
    }

    /// What orders rows of which one is to be shown.
    pub fn age(&self) -> (Hlc, bool, Dot) {
        (self.hlc, !self.tombstone, self.dot)
    }

    fn take(&mut self, sum: i128, counts: Vec<Count>) {
        self.value = Cow::Owned(sum.to_string().into_bytes());
        if let Some(last) = counts.iter().max_by_key(|count| (count.hlc, count.dot))
            && (last.hlc, last.dot) > (self.hlc, self.dot)
        {
            (self.hlc, self.dot) = (last.hlc, last.dot);
        }
        self.counts = counts;
    }
}

impl Object<'_> {
    /// All rows, dead ones included, as of a wall-clock time.
    pub fn rows(&self, wall_ms: u64) -> Rows<'_> {
        let alone = self.siblings.iter().filter(|sibling| !(sibling.element && sibling.is_live(wall_ms)));
        let mut rows: Rows<'_> = alone.map(|sibling| Row::of(sibling, wall_ms)).collect();
        if !self.counts.is_empty() {
            self.count_rows(&mut rows);
        }
        rows.extend(Row::of_set(self, wall_ms));
        rows
    }

    /// Adds to the rows of siblings what was counted.
    fn count_rows<'o>(&'o self, rows: &mut Rows<'o>) {
        let (named, loose): (Vec<Count>, Vec<Count>) =
            self.counts.iter().partition(|count| self.base_of(count).is_some());
        let mut has_base = false;
        for row in &mut *rows {
            let mut counts: Vec<Count> =
                named.iter().filter(|count| count.base == row.base).copied().collect();
            match integer(&row.value) {
                Some(number) if row.is_live => {
                    has_base = true;
                    counts.extend(&loose);
                    let sum = i128::from(number) + counts.iter().map(|count| self.net(count)).sum::<i128>();
                    if !counts.is_empty() {
                        row.take(sum, counts);
                    }
                }
                _ => row.counts = counts,
            }
        }
        if let Some(first) = loose.first().filter(|_| !has_base) {
            let mut row = Row {
                value: Cow::Borrowed(&[]),
                dot: first.dot,
                hlc: first.hlc,
                expires_ms: None,
                tombstone: false,
                is_live: true,
                base: None,
                counts: Vec::new(),
                elements: Vec::new(),
            };
            row.take(loose.iter().map(|count| self.net(count)).sum(), loose);
            rows.push(row);
        }
    }

    /// The newest live row by hybrid timestamp, then dot.
    pub fn latest(&self, wall_ms: u64) -> Option<Row<'_>> {
        if self.counts.is_empty() && !self.has_elements() {
            let live = self.siblings.iter().filter(|sibling| sibling.is_live(wall_ms));
            return live.max_by_key(|sib| (sib.hlc, sib.dot)).map(|sibling| Row::of(sibling, wall_ms));
        }
        let rows = self.rows(wall_ms).into_iter().filter(|row| row.is_live);
        rows.max_by_key(|row| (row.hlc, row.dot))
    }
}
