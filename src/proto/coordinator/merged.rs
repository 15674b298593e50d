//! Views that make one value of several: what concurrent writers left is shown united, with the context of all of it.
//!
//! Rule M1: it is a view. Nothing is stored until a client writes it back with the context of the read, and then it
//! is a write as any other. So a function must come to the same value whatever it is given first, and one that is
//! written back must not count twice what another reader has written back too: `sum` is for showing.
//!
//! Rule M3: what cannot be made one value is shown as it is, all siblings.

use core::fmt;
use std::collections::BTreeSet;

use crate::proto::io::{Merge, MergeFunction, SiblingView};
use crate::proto::version::Row;

/// The functions that the host has registered, by number.
#[derive(Default)]
pub struct MergeFunctions(Vec<(u8, MergeFunction)>);

impl fmt::Debug for MergeFunctions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(number, _)| number)).finish()
    }
}

impl MergeFunctions {
    /// Registers one, in the place of another of this number.
    pub fn register(&mut self, number: u8, function: MergeFunction) {
        self.0.retain(|(known, _)| *known != number);
        self.0.push((number, function));
    }

    /// Whether there is one of this number.
    pub fn has(&self, number: u8) -> bool {
        self.0.iter().any(|(known, _)| *known == number)
    }

    /// Makes one of two or more live siblings. `None` if that cannot be done, or comes to more than `bytes_max`.
    pub(super) fn merge(
        &self,
        merge: Merge,
        key: &[u8],
        rows: &[&Row<'_>],
        bytes_max: usize,
    ) -> Option<SiblingView> {
        let mut rows = rows.to_vec();
        rows.sort_by_key(|row| row.dot);
        let newest = *rows.iter().max_by_key(|row| row.age())?;
        let value = match merge {
            Merge::SetUnion => union(&rows)?,
            _ if rows.iter().any(|row| row.is_set()) => return None,
            Merge::Max => numbers(&rows)?.into_iter().max()?.to_string().into_bytes(),
            Merge::Min => numbers(&rows)?.into_iter().min()?.to_string().into_bytes(),
            Merge::Sum => {
                let sum: i128 = numbers(&rows)?.into_iter().sum();
                i64::try_from(sum).ok()?.to_string().into_bytes()
            }
            Merge::Concat => {
                rows.sort_by_key(|row| row.age());
                rows.iter().flat_map(|row| row.value.iter().copied()).collect()
            }
            Merge::Host(number) => {
                let (_, function) = self.0.iter().find(|(known, _)| *known == number)?;
                let values: Vec<&[u8]> = rows.iter().map(|row| &*row.value).collect();
                function(key, &values)?
            }
        };
        let expires_ms = rows.iter().filter_map(|row| row.expires_ms).min();
        let view = SiblingView {
            value: value.into(),
            dot: newest.dot,
            hlc: newest.hlc,
            expires_ms,
            ..SiblingView::default()
        };
        Some(view).filter(|view| view.value.len() <= bytes_max)
    }
}

/// The values as numbers, if all of them are.
fn numbers(rows: &[&Row<'_>]) -> Option<Vec<i128>> {
    rows.iter().map(|row| row.number()).collect()
}

/// The lines of all values, sorted, each once. An element of a set is a line, if it has none inside.
fn union(rows: &[&Row<'_>]) -> Option<Vec<u8>> {
    let mut lines: BTreeSet<&[u8]> = BTreeSet::new();
    for row in rows {
        if row.is_set() {
            let elements: Vec<&[u8]> = row.members().map(|element| &*element.value).collect();
            if elements.iter().any(|element| element.contains(&b'\n')) {
                return None;
            }
            lines.extend(elements);
        } else if !row.value.is_empty() {
            lines.extend(row.value.strip_suffix(b"\n").unwrap_or(&row.value).split(|&byte| byte == b'\n'));
        }
    }
    Some(lines.into_iter().collect::<Vec<_>>().join(&b'\n'))
}
