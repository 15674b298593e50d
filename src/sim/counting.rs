//! Judges what is counted: that every copy, and every answer, comes to just what its context says.
//!
//! An increment is an event like a put. It counts by a number that only its operation has, so a new count in a
//! store names the operation that it came from, as a value does. A count stands for all events of its actor, so
//! these are its past.

use super::faults::Kind;
use super::history::{Event, EventSet};
use super::oracle::{End, Judged, Oracle, Property, violation};
use super::workload::{Action, SeenToken};
use crate::proto::error::Outcome;
use crate::proto::io::Reply;
use crate::proto::version::{Count, Object, Sibling, Totals};

/// The items of an object, a count as the sibling that it would be.
pub fn items_of<'a>(object: &Object<'a>) -> Vec<Sibling<'a>> {
    let as_sibling = |count: &Count| Sibling {
        dot: count.dot,
        hlc: count.hlc,
        tombstone: false,
        expires_ms: None,
        element: false,
        value: text_of(count.totals).into_bytes().into(),
    };
    object.siblings().iter().cloned().chain(object.counts().iter().map(as_sibling)).collect()
}

fn text_of(totals: Totals) -> String {
    format!("+{}-{}", totals.added, totals.taken)
}

/// What an increment has left its actor's totals at.
fn totals_of(value: &[u8]) -> Option<i128> {
    let text = std::str::from_utf8(value).ok()?.strip_prefix('+')?;
    let (added, taken) = text.split_once('-')?;
    Some(added.parse::<i128>().ok()? - taken.parse::<i128>().ok()?)
}

impl Oracle {
    /// The operation that a new count belongs to, by how much it has counted since the actor's last event.
    pub(super) fn candidate_of_count(&self, key: usize, item: &Sibling<'_>) -> Judged<Vec<u64>> {
        let history = &self.histories[key];
        let last = history.last_before(item.dot, |event: &Event| totals_of(&event.value).is_some());
        let before = last.and_then(|event| totals_of(&history.events[event].value)).unwrap_or(0);
        let by = totals_of(item.bytes()).unwrap_or(0) - before;
        let id = u64::try_from(by.abs()).unwrap_or(0);
        let fits = self.operations.get(&id).is_some_and(|tracked| {
            let issued = &tracked.issued;
            issued.key == key
                && matches!(issued.action, Action::Add | Action::AddTo)
                && i128::from(issued.by()) == by
                && tracked.event.is_none()
                && tracked.end != End::Refused
        });
        if fits {
            return Ok(vec![id]);
        }
        let text = format!("{:?} counts by {by}, which nobody asked for any more", item.dot);
        violation(Property::NoValueFromNowhere, key, text)
    }

    /// What the events of a set come to: each increment that no delete among them covers.
    fn sum_of(&self, key: usize, set: &EventSet) -> i128 {
        let events = &self.histories[key].events;
        let mut covered = EventSet::default();
        for event in set.iter().filter(|&event| events[event].tombstone) {
            covered.add(&events[event].claims);
        }
        let counted = set.iter().filter(|&event| !events[event].tombstone && !covered.contains(event));
        let by = |event: usize| events[event].operation.map_or(0, |id| self.operations[&id].issued.by());
        counted.map(|event| i128::from(by(event))).sum()
    }

    /// A copy comes to what its context says.
    pub(super) fn judge_sum(
        &mut self,
        machine: usize,
        key: usize,
        object: &Object<'_>,
        past: &EventSet,
    ) -> Judged {
        if self.keys[key].kind != Kind::Counter || self.histories[key].is_doubtful {
            return Ok(());
        }
        self.checked(Property::Counted);
        let shown = object.latest(0).and_then(|row| row.number()).unwrap_or(0);
        let expected = self.sum_of(key, past);
        if shown == expected {
            return Ok(());
        }
        let text = format!("machine {machine} holds {shown}, and its context covers {expected}");
        violation(Property::Counted, key, text)
    }

    /// An answer comes to what its context says, and that is all that was acknowledged before.
    pub(super) fn judge_count_read(
        &mut self,
        id: u64,
        key: usize,
        reply: &Reply,
    ) -> Judged<Option<SeenToken>> {
        if self.histories[key].is_doubtful || !matches!(reply.outcome, Outcome::Ok | Outcome::NotFound) {
            return Ok(None);
        }
        let Some(token) = &reply.context else { return Ok(None) };
        self.checked(Property::Counted);
        let (covered, _) = self.covered_by(key, token)?;
        let numbers: Option<Vec<i64>> = reply
            .siblings
            .iter()
            .map(|sibling| std::str::from_utf8(&sibling.value).ok()?.parse().ok())
            .collect();
        let Some(numbers) = numbers.filter(|numbers| numbers.len() <= 1) else {
            let text = format!("operation {id} is shown {:?}", reply.siblings);
            return violation(Property::Counted, key, text);
        };
        let (shown, expected) = (numbers.first().copied(), self.sum_of(key, &covered));
        if i128::from(shown.unwrap_or(0)) != expected {
            let text = format!("operation {id} is shown {shown:?}, and its context covers {expected}");
            return violation(Property::Counted, key, text);
        }
        self.judge_shown_whole((id, key), reply, token, covered)
            .map(|token| Some(SeenToken { number: shown, ..token }))
    }

    /// What an answer covers that shows a key whole is all that was acknowledged before; its token for the client.
    pub(super) fn judge_shown_whole(
        &mut self,
        (id, key): (u64, usize),
        reply: &Reply,
        token: &[u8],
        covered: EventSet,
    ) -> Judged<SeenToken> {
        let (r, _) = self.needs(id, key);
        // What fallbacks said meets no write.
        let r = r.saturating_sub(reply.achieved.fallbacks);
        let started = self.operations[&id].started;
        self.judge_quorums(id, key, started, r, &covered)?;
        // A delete by a part of what was there knew of more than it covers.
        let mut past = self.histories[key].past_of(covered.iter());
        past.add(&covered);
        let claims = covered;
        Ok(SeenToken { token: token.to_vec(), past, claims, partial: false, number: None })
    }
}
