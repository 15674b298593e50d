//! Events of our own: a coordinated write becomes one, with a dot that is issued once and never again.

use super::{Refusal, Replica, new_record, trusted};
use crate::proto::effect::{Cover, Effect, NewVersion, Written};
use crate::proto::limits;
use crate::proto::store::{KeyRef, LocalPart, Store, StoreError};
use crate::proto::time::Now;
use crate::proto::version::{Actor, Context, Dot, Epoch, Hlc, Object, SetChange, Sibling};

/// An event on an object whose record is not put yet.
struct Issued {
    dot: Dot,
    /// It is the first of its epoch.
    fresh: bool,
    /// What its writer has now seen; nothing, if it has counted.
    seen: Option<Context>,
    /// The value after it, if it has counted.
    value: Option<i64>,
    /// The key has many siblings now.
    warned: bool,
}

impl<S: Store> Replica<S> {
    /// Issues a dot for a new version or an increment and appends the record. [`Replica::encoded`] is then the object to
    /// send to the other replicas.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub fn write(&mut self, now: Now, key: &KeyRef<'_>, effect: Effect<'_>) -> Result<Written, Refusal> {
        if self.read_only() {
            return Err(Refusal::Store(StoreError::ReadOnly));
        }
        let hlc = self.prepare_dot(now)?;
        let record = trusted(&self.store, key, &mut self.counters)?;
        let held = record.as_ref().and_then(|record| Object::decode(&record.object).ok());
        let epoch = record.as_ref().and_then(|record| record.local.epoch).filter(|_| held.is_some());
        let mut object = held.unwrap_or_default();
        let issued = match effect {
            Effect::Version(cover, new) => {
                if let Cover::Only(context) = cover
                    && has_unseen(&object, context, now.wall.0)
                {
                    return Err(Refusal::Changed);
                }
                self.issue_version(&mut object, epoch, hlc, cover, new)?
            }
            Effect::Count(by) => self.issue_count(&mut object, epoch, (hlc, now.wall.0), by)?,
            Effect::Set(change) => self.issue_change(&mut object, epoch, (hlc, now.wall.0), change),
        };
        let Some(Issued { dot, fresh, seen, value, warned }) = issued else {
            self.spare_epoch = None;
            return Err(Refusal::Overloaded);
        };
        self.encoded.clear();
        object.encode(&mut self.encoded);
        let local = LocalPart { epoch: Some(dot.actor.epoch) };
        let new = new_record(&self.hash_key, key, local, &object, &self.encoded);
        drop(object);
        drop(record);
        let expires_ms = new.expires_ms;
        let sequence = self.store.put(key, &new).map_err(Refusal::Store)?;
        self.counters.sibling_warnings += u64::from(warned);
        if fresh {
            self.spare_epoch = None;
            self.counters.epochs += 1;
        }
        let ticked = self.clock.tick(now.wall);
        self.store.note_hlc(ticked.0);
        self.note_put(now, sequence, expires_ms);
        Ok(Written { sequence, dot, seen, value })
    }

    /// Writes a version on an object. `None`: a peer has claimed the last event of an epoch that we had not begun, so
    /// the next one must be taken.
    fn issue_version<'o>(
        &self,
        object: &mut Object<'o>,
        epoch: Option<Epoch>,
        hlc: Hlc,
        cover: Cover<'_>,
        new: NewVersion<'o>,
    ) -> Result<Option<Issued>, Refusal> {
        let mut seen = match cover {
            Cover::All => Context::of(object),
            Cover::Context(context) | Cover::Only(context) => context.clone(),
        };
        let warned = self.check_siblings(object, &seen, new.value.len())?;
        let (actor, fresh) = self.actor(epoch, object, &seen, |_| true);
        let last = object.context().counter(actor).max(seen.clock.counter(actor));
        let Some(counter) = last.checked_add(1) else { return Ok(None) };
        let dot = Dot { actor, counter };
        let NewVersion { tombstone, value, expires_ms } = new;
        object.write(&seen, Sibling { dot, hlc, tombstone, expires_ms, element: false, value: value.into() });
        // What was read is not what is there now.
        seen.number = None;
        seen.see(dot);
        Ok(Some(Issued { dot, fresh, seen: Some(seen), value: None, warned }))
    }

    /// Counts on an object. `None` as for a version.
    fn issue_count(
        &self,
        object: &mut Object<'_>,
        epoch: Option<Epoch>,
        (hlc, wall_ms): (Hlc, u64),
        by: i64,
    ) -> Result<Option<Issued>, Refusal> {
        let plan = object.plan_count(by, wall_ms).map_err(Refusal::Count)?;
        let may = |actor| object.may_count(actor, plan, wall_ms);
        let (actor, fresh) = self.actor(epoch, object, &Context::default(), may);
        let epoch = if planted!("count_plain_actor") { Epoch::default() } else { actor.epoch };
        let actor = Actor { epoch, ..actor };
        let counter = object.context().counter(actor).checked_add(1).filter(|_| may(actor));
        let Some(counter) = counter else { return Ok(None) };
        let dot = Dot { actor, counter };
        object.count(plan, dot, hlc, wall_ms);
        Ok(Some(Issued { dot, fresh, seen: None, value: Some(plan.value), warned: false }))
    }

    /// Changes a set on an object. `None` as for a version.
    fn issue_change<'o>(
        &self,
        object: &mut Object<'o>,
        epoch: Option<Epoch>,
        (hlc, wall_ms): (Hlc, u64),
        change: SetChange<'o>,
    ) -> Option<Issued> {
        let (actor, fresh) = self.actor(epoch, object, &Context::default(), |_| true);
        let dot = object.change_set(change, actor, hlc, wall_ms)?;
        Some(Issued { dot, fresh, seen: None, value: None, warned: false })
    }

    /// Everything a dot needs that could be missing, before anything is borrowed or changed.
    fn prepare_dot(&mut self, now: Now) -> Result<Hlc, Refusal> {
        if self.spare_epoch.is_none() {
            self.spare_epoch = self.store.take_epoch();
        }
        if self.spare_epoch.is_none() {
            return Err(Refusal::Overloaded);
        }
        let hlc = self.clock.peek(now.wall);
        if hlc.millis() > now.wall.0 + limits::DEADLINE_MAX.as_millis() as u64 {
            return Err(Refusal::ClockTooFar);
        }
        Ok(hlc)
    }

    /// Rule V2: the epoch in use continues only if nothing it issued can have been lost here, no client
    /// knows more of it than we do, it has an event left, and it may issue this one. Otherwise the spare one begins; says whether
    /// it did.
    fn actor(
        &self,
        epoch: Option<Epoch>,
        object: &Object<'_>,
        seen: &Context,
        may: impl Fn(Actor) -> bool,
    ) -> (Actor, bool) {
        let generation = self.identity.generation;
        if planted!("node_actor") {
            return (Actor { generation, epoch: Epoch::default() }, false);
        }
        let entries = object.context().entries().iter().filter(|_| planted!("epoch_of_record"));
        let mut found =
            entries.filter(|(actor, _)| actor.generation == generation).map(|(actor, _)| actor.epoch);
        let current = epoch
            .or_else(|| found.next_back())
            .filter(|epoch| epoch.nonce == self.identity.nonce || self.trusts(epoch));
        if let Some(epoch) = current {
            let actor = Actor { generation, epoch };
            let last = object.context().counter(actor);
            let known = seen.dots.iter().filter(|dot| dot.actor == actor).map(|dot| dot.counter).max();
            let known = known.unwrap_or(0).max(seen.clock.counter(actor));
            if known <= last && last < u64::MAX && may(actor) {
                return (actor, false);
            }
        }
        let number = self.spare_epoch.expect("prepare_dot took one");
        let number = if planted!("actor_reuse") { 0 } else { number };
        (Actor { generation, epoch: Epoch { nonce: self.identity.nonce, number } }, true)
    }

    /// Trap T18: limits are checked only here, where a dot is issued, and never against a write that
    /// covers every sibling. Returns whether a warning is due.
    fn check_siblings(&self, object: &Object<'_>, seen: &Context, value: usize) -> Result<bool, Refusal> {
        let stay = object.siblings().iter().filter(|sibling| !seen.covers(sibling.dot));
        // A set has a bound of its own, and counts for no more than one.
        let has_set = stay.clone().any(|sibling| sibling.element);
        let (left, bytes) = stay.fold((usize::from(has_set), value), |(left, bytes), sibling| {
            (left + usize::from(!sibling.element), bytes + sibling.value.held())
        });
        // An entry takes at most 36 bytes; a context this long has at least as many entries.
        let long = object.context().len() * 36 > limits::CONTEXT_WARN;
        let large = bytes > limits::SIBLING_BYTES_MAX;
        if left > 0 && (left >= self.siblings_max || long || large) {
            let set = usize::from(object.has_elements());
            let count = object.siblings().len() - object.elements().count() + set;
            return Err(Refusal::TooManySiblings(count as u32));
        }
        Ok(left + 1 == limits::SIBLINGS_WARN)
    }
}

/// Whether a context does not cover all there is. One who has seen nothing at all has missed no delete.
fn has_unseen(object: &Object<'_>, seen: &Context, wall_ms: u64) -> bool {
    let rows = object.rows(wall_ms);
    let mut counted = rows.iter().filter(|row| row.is_live || *seen != Context::default());
    if planted!("if_seen_one") {
        return counted.next().is_some_and(|row| row.dots().any(|dot| !seen.covers(dot)));
    }
    counted.any(|row| row.dots().any(|dot| !seen.covers(dot)))
}
