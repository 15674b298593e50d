//! Judges sets: that every copy, and every answer, has just the elements that its context says.
//!
//! An element that was put in is an event like a put. Taking one out is an event that leaves no item, so it is found in
//! the context of the record that its coordinator put; every copy whose context covers it is taken to show it.

use std::collections::BTreeSet;

use super::counting::items_of;
use super::faults::Kind;
use super::history::EventSet;
use super::oracle::{Judged, Oracle, Property, violation};
use super::workload::{Action, Issued, SeenToken};
use crate::proto::error::Outcome;
use crate::proto::io::Reply;
use crate::proto::version::{Dot, Hlc, Object, Sibling};

impl Oracle {
    /// The removal that a record is the first to know of, as the sibling that it would be.
    pub(super) fn removal_of(
        &self,
        key: usize,
        object: &Object<'_>,
        generations: [u64; 2],
    ) -> Option<Sibling<'static>> {
        let own = |actor: u64| generations.contains(&actor);
        let entries = object.context().entries().iter().filter(|(actor, _)| own(actor.generation));
        let mut dots = entries.map(|&(actor, counter)| Dot { actor, counter });
        let dot = dots
            .find(|&dot| self.histories[key].by_dot(dot).is_none())
            .filter(|_| self.keys[key].kind == Kind::Set)?;
        let value = Vec::new().into();
        Some(Sibling { dot, hlc: Hlc(0), tombstone: true, expires_ms: None, element: false, value })
    }

    /// The removals that a record knows of.
    pub(super) fn removals_in(&self, key: usize, object: &Object<'_>) -> Vec<usize> {
        let history = &self.histories[key];
        let covered = history.covered(object.context());
        covered.iter().filter(|&event| history.events[event].is_itemless).collect()
    }

    /// What a machine held and does not any more.
    pub(super) fn gone(&self, machine: usize, key: usize, left: &[usize]) -> Vec<usize> {
        let before = self.histories[key].top(machine).map(|held| held.siblings.clone()).unwrap_or_default();
        before.into_iter().filter(|event| !left.contains(event)).collect()
    }

    /// The operations that a change of a set may belong to: those that are about all that has gone.
    pub(super) fn candidates_of_element(
        &self,
        machine: usize,
        key: usize,
        object: &Object<'_>,
        (sibling, left): (&Sibling<'_>, &[usize]),
    ) -> Judged<Vec<u64>> {
        let events = &self.histories[key].events;
        let gone: Vec<&[u8]> = self
            .gone(machine, key, left)
            .into_iter()
            .filter(|&event| !events[event].tombstone)
            .map(|event| events[event].value.as_slice())
            .collect();
        let is_item = object.siblings().iter().any(|item| item.dot == sibling.dot);
        let fits = |issued: &Issued| {
            let is_about = gone.iter().all(|value| *value == issued.piece);
            match issued.action {
                Action::AddElement => !sibling.tombstone && sibling.bytes() == issued.piece && is_about,
                Action::RemoveElement => sibling.tombstone && !gone.is_empty() && is_about,
                action => sibling.tombstone && is_item && action.deletes(),
            }
        };
        let ids = self.waiting_for(machine, key, &fits);
        if ids.is_empty() {
            let dot = sibling.dot;
            let text =
                format!("machine {machine}: {dot:?} takes {} elements away, as nobody asked", gone.len());
            return violation(Property::NoValueFromNowhere, key, text);
        }
        Ok(ids)
    }

    /// The elements that must be there of what a set of events has put in: those that none of it has covered.
    fn elements_of(&self, key: usize, set: &EventSet) -> Vec<usize> {
        let events = &self.histories[key].events;
        let mut covered = EventSet::default();
        for event in set.iter() {
            let mut claims = events[event].claims.clone();
            claims.remove(event);
            covered.add(&claims);
        }
        set.iter().filter(|&event| !events[event].tombstone && !covered.contains(event)).collect()
    }

    /// A copy has the elements that its context says.
    pub(super) fn judge_elements(
        &mut self,
        machine: usize,
        key: usize,
        object: &Object<'_>,
        past: &EventSet,
    ) -> Judged {
        if self.keys[key].kind != Kind::Set || self.histories[key].is_doubtful {
            return Ok(());
        }
        self.checked(Property::Elements);
        let history = &self.histories[key];
        let items = items_of(object);
        let live = items.iter().filter(|item| !item.tombstone);
        let mut held: Vec<usize> = live.filter_map(|item| history.find(item).ok()).collect();
        held.sort_unstable();
        let expected = self.elements_of(key, past);
        if held == expected {
            return Ok(());
        }
        let text = format!("machine {machine} has the elements {held:?}, and its context says {expected:?}");
        violation(Property::Elements, key, text)
    }

    /// An answer shows the elements that its context says, and these are all that was acknowledged before.
    pub(super) fn judge_set_read(&mut self, id: u64, key: usize, reply: &Reply) -> Judged<Option<SeenToken>> {
        if self.histories[key].is_doubtful || !matches!(reply.outcome, Outcome::Ok | Outcome::NotFound) {
            return Ok(None);
        }
        let Some(token) = &reply.context else { return Ok(None) };
        self.checked(Property::Elements);
        let (covered, _) = self.covered_by(key, token)?;
        let events = &self.histories[key].events;
        let expected: BTreeSet<&[u8]> =
            self.elements_of(key, &covered).into_iter().map(|event| events[event].value.as_slice()).collect();
        let shown: Vec<&[u8]> = reply.siblings.iter().map(|element| &*element.value).collect();
        if !shown.iter().copied().eq(expected.iter().copied()) {
            let (shown, expected) = (shown.len(), expected.len());
            let text =
                format!("operation {id} is shown {shown} elements, and its context says {expected} others");
            return violation(Property::Elements, key, text);
        }
        self.judge_shown_whole((id, key), reply, token, covered).map(Some)
    }
}
