//! Sets: their elements, as items beside the siblings.
//!
//! An observed-remove set without tombstones (Bieniusa, Zawirski, Preguiça, Shapiro, Baquero, Balegas, Duarte 2012).
//! An element is a sibling that is flagged, under a dot of its own; rule V3 decides which of them stay, as for any
//! other. Adding puts an element in under a fresh dot, in the place of the dots under which this copy has it; so
//! whoever removes it without having seen that leaves it. Removing takes out what this copy has, under a dot that
//! stands for nothing but having seen it: a copy without the element that covers its dot.
//!
//! Like every edit, a change of a set takes the place of all that its copy holds beside it: what is dead, and what
//! was written or counted by those who had not seen the set.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::actor::{Actor, Dot};
use super::hlc::Hlc;
use super::object::{Object, Sibling, Value, put_in_order};
use crate::proto::few::Few;

/// What becomes of a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetChange<'a> {
    /// These are in it.
    Add {
        /// The elements; of equal ones, one counts.
        members: &'a [&'a [u8]],
        /// When they expire.
        expires_ms: Option<u64>,
    },
    /// These are not in it.
    Remove {
        /// The elements.
        members: &'a [&'a [u8]],
    },
    /// All that are in it expire then.
    Expire {
        /// In milliseconds of wall time; never, if there is none.
        expires_ms: Option<u64>,
    },
}

impl<'a> Object<'a> {
    /// The elements of a set, dead ones included, by dot.
    pub fn elements(&self) -> impl Iterator<Item = &Sibling<'a>> {
        self.siblings.iter().filter(|sibling| sibling.element)
    }

    /// Whether it holds any.
    pub fn has_elements(&self) -> bool {
        self.siblings.iter().any(|sibling| sibling.element)
    }

    /// Carries a change out as the actor's next events, and covers everything but the live elements that it leaves
    /// alone. Gives the last of the events, or none, and nothing was changed: the actor has too few left.
    pub fn change_set(&mut self, change: SetChange<'a>, actor: Actor, hlc: Hlc, wall_ms: u64) -> Option<Dot> {
        let live = self.siblings.iter().filter(|sibling| sibling.element && sibling.is_live(wall_ms));
        let named = |members: &[&'a [u8]]| members.iter().copied().collect::<BTreeSet<&'a [u8]>>();
        let but = |named: &BTreeSet<&[u8]>| {
            live.clone().filter(|element| !named.contains(element.bytes())).cloned().collect()
        };
        let (left, added, expires_ms): (Few<Sibling<'a>>, BTreeSet<Cow<'a, [u8]>>, _) = match change {
            SetChange::Add { members, expires_ms } => {
                let named = named(members);
                (but(&named), named.into_iter().map(Cow::Borrowed).collect(), expires_ms)
            }
            SetChange::Remove { .. } if planted!("set_remove_all") => (Few::None, BTreeSet::new(), None),
            SetChange::Remove { members } => (but(&named(members)), BTreeSet::new(), None),
            SetChange::Expire { expires_ms } => {
                let values = live.map(|element| Cow::Owned(element.bytes().to_vec()));
                (Few::None, values.collect(), expires_ms)
            }
        };
        let before = self.context.counter(actor);
        let last = before.checked_add(added.len().max(1) as u64)?;
        self.retire(|_| false);
        self.siblings = left;
        self.context.raise(actor, last);
        for (counter, value) in (before + 1..).zip(added) {
            let dot = Dot { actor, counter };
            let (value, element) = (Value::Whole(value), true);
            self.siblings.push(Sibling { dot, hlc, tombstone: false, expires_ms, element, value });
        }
        let last = Dot { actor, counter: last };
        if self.siblings.is_empty() {
            // A key with nothing left in it is a deleted one. Removals that did not see each other may together leave
            // nothing at all: a context without items says the same.
            let (dot, expires_ms, element, value) = (last, None, false, Vec::new().into());
            self.siblings.push(Sibling { dot, hlc, tombstone: true, expires_ms, element, value });
        }
        put_in_order(&mut self.siblings);
        Some(last)
    }
}
