//! Counters: what each actor has added to a key and taken from it, as items beside the siblings.
//!
//! ```text
//! value = base + Σ over the counts that count for it of (totals − covered totals of the actor)
//! ```
//!
//! A positive-negative counter (Shapiro, Preguiça, Baquero, Zawirski 2011) whose entries carry dots, so that a
//! delete takes what it saw and no more (trap T11). An actor has one count at most, with totals since the actor's
//! first event on the key; its next increment replaces it under a new dot. What a write covers leaves, and
//! `covered` keeps the totals that were covered: of 100 that an actor has counted, a write that saw 99 leaves 1.
//!
//! Invariant: whatever a context covers of an actor's counting is known by its totals, as a count that is held
//! or in `covered`. So totals of one actor are comparable, the greater ones are the later ones, and the
//! maximum is right wherever two meet.

use super::actor::{Actor, Dot};
use super::clock::VectorClock;
use super::context::Context;
use super::hlc::Hlc;
use super::object::{Object, Sibling, put_actor, read_actor, read_event};
use super::row::Row;
use crate::proto::wire::{Reader, WireError, put_varint};

const FLAG_BASE: u8 = 1;

/// A decimal integer in its one canonical form: no sign but a minus, no leading zero, no space.
pub fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = digits.len() != text.len();
    match digits {
        [b'0'] if !is_negative => return Some(0),
        [b'1'..=b'9', ..] if digits.iter().all(u8::is_ascii_digit) => {}
        _ => return None,
    }
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// What an actor has added and taken since its first event on a key.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Totals {
    /// The sum of its increments.
    pub added: u64,
    /// The sum of its decrements.
    pub taken: u64,
}

impl Totals {
    /// What it comes to.
    pub fn net(self) -> i128 {
        i128::from(self.added) - i128::from(self.taken)
    }

    /// After one more increment; `None` if they cannot hold it.
    pub fn counted(self, by: i64) -> Option<Totals> {
        let Totals { added, taken } = self;
        Some(if by < 0 {
            Totals { added, taken: taken.checked_add(by.unsigned_abs())? }
        } else {
            Totals { added: added.checked_add(by.unsigned_abs())?, taken }
        })
    }

    /// The later of two of one actor.
    pub fn join(self, other: Totals) -> Totals {
        Totals { added: self.added.max(other.added), taken: self.taken.max(other.taken) }
    }

    fn descend(self, other: Totals) -> bool {
        self.join(other) == self
    }
}

/// Totals by actor, sorted; absent means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActorTotals(Vec<(Actor, Totals)>);

impl ActorTotals {
    /// Those of an actor.
    pub fn of(&self, actor: Actor) -> Totals {
        self.find(actor).map_or(Totals::default(), |at| self.0[at].1)
    }

    /// Makes those of an actor these at least.
    pub fn raise(&mut self, actor: Actor, totals: Totals) {
        match self.find(actor) {
            Ok(at) => self.0[at].1 = self.0[at].1.join(totals),
            Err(at) if totals != Totals::default() => self.0.insert(at, (actor, totals)),
            Err(_) => {}
        }
    }

    /// Takes the pointwise maximum.
    pub fn merge(&mut self, other: &ActorTotals) {
        for &(actor, totals) in &other.0 {
            let Totals { added, taken } = self.of(actor);
            let totals = if planted!("covered_added") {
                Totals { added: totals.added + added, taken: totals.taken + taken }
            } else {
                totals
            };
            self.raise(actor, totals);
        }
    }

    /// Whether these are as late as `other`, for every actor.
    pub fn descends(&self, other: &ActorTotals) -> bool {
        other.0.iter().all(|&(actor, totals)| self.of(actor).descend(totals))
    }

    /// Actors and their totals, by actor.
    pub fn entries(&self) -> &[(Actor, Totals)] {
        &self.0
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn find(&self, actor: Actor) -> Result<usize, usize> {
        self.0.binary_search_by_key(&actor, |entry| entry.0)
    }

    /// Appends the encoding.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.0.len() as u64);
        for &(actor, totals) in &self.0 {
            put_actor(out, actor);
            put_totals(out, totals);
        }
    }

    /// Reads an encoding.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<ActorTotals, WireError> {
        let mut read = ActorTotals::default();
        for _ in 0..reader.varint("totals length")? {
            let (actor, totals) = (read_actor(reader)?, read_totals(reader)?);
            if read.0.last().is_some_and(|last| last.0 >= actor) || totals == Totals::default() {
                return Err(WireError { what: "totals order" });
            }
            read.0.push((actor, totals));
        }
        Ok(read)
    }
}

/// What one actor has counted, as of its last increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Count {
    /// The last increment.
    pub dot: Dot,
    /// When that was, by its coordinator's hybrid clock.
    pub hlc: Hlc,
    /// The sibling that it was counted on, if there was a live one.
    pub base: Option<Dot>,
    /// All increments of the actor up to this one.
    pub totals: Totals,
}

/// Why nothing can be counted on a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountError {
    /// The newest value is no integer of 64 bits.
    NotANumber,
    /// The value would leave the range of 64 bits.
    Overflow,
    /// The newest value is a set.
    IsSet,
}

/// Where an increment goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CountPlan {
    /// The sibling that it counts on.
    pub base: Option<Dot>,
    /// The value after it.
    pub value: i64,
    by: i64,
}

impl Object<'_> {
    /// What actors have counted, by actor.
    pub fn counts(&self) -> &[Count] {
        &self.counts
    }

    /// The totals of what was counted and then covered.
    pub const fn covered(&self) -> &ActorTotals {
        &self.covered
    }

    /// Whether it holds or remembers anything that was counted.
    pub fn has_counted(&self) -> bool {
        !self.counts.is_empty() || !self.covered.is_empty()
    }

    /// What a count adds to the values it counts for. A write may have seen later totals of the actor, in a view
    /// that hid another event of its: then nothing.
    pub(super) fn net(&self, count: &Count) -> i128 {
        let covered = self.covered.of(count.dot.actor);
        count.totals.join(covered).net() - covered.net()
    }

    /// The sibling that a count counts for alone: its base, while that is here. Without, it counts for every
    /// base: whoever replaced its own had not seen it.
    pub(super) fn base_of(&self, count: &Count) -> Option<&Sibling<'_>> {
        self.siblings.iter().find(|sibling| Some(sibling.dot) == count.base)
    }

    /// Takes out the counts that a write covers, and keeps the totals that it has seen.
    pub(super) fn cover_counts(&mut self, seen: &Context) {
        if planted!("covered_forgotten") {
            return self.counts.retain(|count| !seen.covers(count.dot));
        }
        self.covered.merge(&seen.totals);
        self.retire(|count| !seen.covers(count.dot));
    }

    /// Keeps some counts, and of the others their totals.
    pub(super) fn retire(&mut self, stays: impl Fn(&Count) -> bool) {
        for count in self.counts.iter().filter(|count| !stays(count)) {
            self.covered.raise(count.dot.actor, count.totals);
        }
        self.counts.retain(stays);
    }

    /// Decides an increment: it counts on the newest live number, which is what a reader of one value sees.
    ///
    /// # Errors
    /// See [`CountError`].
    pub fn plan_count(&self, by: i64, wall_ms: u64) -> Result<CountPlan, CountError> {
        let latest = self.latest(wall_ms);
        if latest.as_ref().is_some_and(Row::is_set) {
            return Err(CountError::IsSet);
        }
        let base = latest.as_ref().and_then(|row| row.base);
        let now = latest.map_or(Some(0), |row| row.number()).ok_or(CountError::NotANumber)?;
        let value = i64::try_from(now + i128::from(by)).map_err(|_| CountError::Overflow)?;
        Ok(CountPlan { base, value, by })
    }

    /// Whether an actor may carry an increment out. Not if its totals are full, nor if the count that it
    /// replaces counts for another value too, which would then lose what was counted: a fresh actor keeps
    /// the two apart.
    pub fn may_count(&self, actor: Actor, plan: CountPlan, wall_ms: u64) -> bool {
        let live = |sibling: &&Sibling<'_>| {
            !sibling.element && sibling.is_live(wall_ms) && Some(sibling.dot) != plan.base
        };
        let keeps = match self.counts.iter().find(|count| count.dot.actor == actor) {
            None => true,
            Some(count) => match self.base_of(count) {
                Some(base) => Some(base.dot) == plan.base || !base.is_live(wall_ms),
                None => !self.siblings.iter().filter(live).any(|other| integer(other.bytes()).is_some()),
            },
        };
        keeps && self.totals_of(actor).counted(plan.by).is_some()
    }

    /// Everything that an actor is known to have counted.
    fn totals_of(&self, actor: Actor) -> Totals {
        let held = self.counts.iter().find(|count| count.dot.actor == actor);
        held.map_or(Totals::default(), |count| count.totals).join(self.covered.of(actor))
    }

    /// Carries out an increment as a new event: replaces the actor's count, and covers what is dead here,
    /// with what was counted on it.
    ///
    /// # Panics
    /// If the dot is not the actor's next event here, or the actor may not count.
    pub fn count(&mut self, plan: CountPlan, dot: Dot, hlc: Hlc, wall_ms: u64) {
        let dead: Vec<Dot> =
            self.siblings.iter().filter(|sibling| !sibling.is_live(wall_ms)).map(|dead| dead.dot).collect();
        self.retire(|count| count.base.is_none_or(|base| !dead.contains(&base)));
        self.siblings.retain(|sibling| sibling.is_live(wall_ms));
        assert_eq!(self.context.counter(dot.actor) + 1, dot.counter, "a dot is issued once");
        let totals = self.totals_of(dot.actor).counted(plan.by).expect("it was asked whether it may");
        self.context.raise(dot.actor, dot.counter);
        self.counts.retain(|count| count.dot.actor != dot.actor);
        let at = self.counts.partition_point(|count| count.dot < dot);
        self.counts.insert(at, Count { dot, hlc, base: plan.base, totals });
    }

    /// The counts of a merge with another copy (rule V3), before the contexts are merged, and whether one dot was
    /// met with two contents: the greater one stays.
    pub(super) fn merged_counts(&self, other: &Object<'_>) -> (Vec<Count>, bool) {
        let ours = self.counts.iter().filter(|c| other.holds(c.dot) || !other.context.covers(c.dot));
        let theirs = other.counts.iter().filter(|c| self.holds(c.dot) || !self.context.covers(c.dot));
        let mut merged: Vec<Count> = ours.chain(theirs).copied().collect();
        merged.sort_by(|a, b| b.cmp(a));
        merged.dedup();
        let contents = merged.len();
        merged.dedup_by_key(|count| count.dot.actor);
        merged.reverse();
        let has_clash = merged.len() < contents;
        (merged, has_clash)
    }

    /// Whether merging its counts into those of `held` gives just its own.
    pub(super) fn counts_supersede(&self, held: &Object<'_>) -> bool {
        self.covered.descends(&held.covered)
            && self.counts.iter().all(|count| !held.context.covers(count.dot) || held.counts.contains(count))
            && held.counts.iter().all(|ours| !self.holds(ours.dot) || self.counts.contains(ours))
    }

    /// Appends the counts and what was covered.
    pub(super) fn encode_counts(&self, out: &mut Vec<u8>) {
        put_varint(out, self.counts.len() as u64);
        for count in &self.counts {
            self.put_event(out, count.dot);
            out.extend_from_slice(&count.hlc.0.to_le_bytes());
            out.push(if count.base.is_some() { FLAG_BASE } else { 0 });
            if let Some(base) = count.base {
                self.put_event(out, base);
            }
            put_totals(out, count.totals);
        }
        self.covered.encode(out);
    }

    /// Reads the counts and what was covered.
    pub(super) fn read_counts(&mut self, reader: &mut Reader<'_>) -> Result<(), WireError> {
        for _ in 0..reader.varint("count of counts")? {
            let count = read_count(reader, &self.context)?;
            if self.counts.last().is_some_and(|last| last.dot.actor >= count.dot.actor) {
                return Err(WireError { what: "count order" });
            }
            self.counts.push(count);
        }
        self.covered = ActorTotals::read(reader)?;
        Ok(())
    }

    /// Appends what an item hash covers of the counts: nothing, where there are none.
    pub(super) fn hash_counts(&self, canonical: &mut Vec<u8>) {
        if !self.has_counted() {
            return;
        }
        let mut put = |fields: &[u64]| {
            fields.iter().for_each(|field| canonical.extend_from_slice(&field.to_le_bytes()));
        };
        let of_dot =
            |dot: Dot| [dot.actor.generation, dot.actor.epoch.nonce, dot.actor.epoch.number, dot.counter];
        put(&[self.counts.len() as u64]);
        for count in &self.counts {
            put(&of_dot(count.dot));
            put(&[count.hlc.0, count.totals.added, count.totals.taken]);
            // No dot has the counter 0.
            put(&count.base.map_or([0; 4], of_dot));
        }
        for &(actor, totals) in self.covered.entries() {
            put(&[actor.generation, actor.epoch.nonce, actor.epoch.number, totals.added, totals.taken]);
        }
    }
}

fn read_count(reader: &mut Reader<'_>, context: &VectorClock) -> Result<Count, WireError> {
    let dot = read_event(reader, context, "count actor", "count counter")?;
    let hlc = Hlc(reader.u64("count timestamp")?);
    let base = match reader.u8("count flags")? {
        0 => None,
        FLAG_BASE => Some(read_event(reader, context, "base actor", "base counter")?),
        _ => return Err(WireError { what: "count flags" }),
    };
    Ok(Count { dot, hlc, base, totals: read_totals(reader)? })
}

fn put_totals(out: &mut Vec<u8>, totals: Totals) {
    put_varint(out, totals.added);
    put_varint(out, totals.taken);
}

fn read_totals(reader: &mut Reader<'_>) -> Result<Totals, WireError> {
    Ok(Totals { added: reader.varint("added")?, taken: reader.varint("taken")? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_have_one_form() {
        for (text, value) in [
            ("0", Some(0)),
            ("7", Some(7)),
            ("-7", Some(-7)),
            ("9223372036854775807", Some(i64::MAX)),
            ("-9223372036854775808", Some(i64::MIN)),
            ("9223372036854775808", None),
            ("-9223372036854775809", None),
            ("", None),
            ("-", None),
            ("-0", None),
            ("+1", None),
            ("01", None),
            (" 1", None),
            ("1 ", None),
            ("1.0", None),
            ("0x1", None),
        ] {
            assert_eq!(integer(text.as_bytes()), value, "{text:?}");
        }
    }
}
