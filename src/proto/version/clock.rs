//! Logical clocks as the textbooks give them: Lamport's scalar clock and the vector clock.

use super::actor::{Actor, Dot};
use crate::proto::few::Few;

/// Lamport's clock (Lamport 1978): one number, larger than anything it has heard of. If event a happened
/// before event b then a's number is smaller; the reverse does not hold, which is why versions use
/// [`VectorClock`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LamportClock(u64);

impl LamportClock {
    /// The number of the last event; 0 before the first.
    pub const fn value(self) -> u64 {
        self.0
    }

    /// Counts a local event (a send among them) and returns its number.
    pub fn tick(&mut self) -> u64 {
        self.0 += 1;
        self.0
    }

    /// Counts the receipt of a message stamped `seen`: max of both, plus one.
    pub fn receive(&mut self, seen: u64) -> u64 {
        self.0 = self.0.max(seen) + 1;
        self.0
    }
}

/// How two sets of events lie to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Causality {
    /// The same events.
    Equal,
    /// The left one happened before: the right one has seen all of it, and more.
    Before,
    /// The left one has seen all of the right one, and more.
    After,
    /// Each has an event that the other has not seen.
    Concurrent,
}

impl Causality {
    /// Of two sets of events: whether the left one has all of the right one, and the other way round.
    pub(super) fn of(left_descends: bool, right_descends: bool) -> Causality {
        match (left_descends, right_descends) {
            (true, true) => Causality::Equal,
            (true, false) => Causality::After,
            (false, true) => Causality::Before,
            (false, false) => Causality::Concurrent,
        }
    }
}

/// A vector clock (Fidge 1988, Mattern 1988): for each actor, how many of its events have been seen.
/// Absent means 0. Never pruned (rule V4): a dropped entry would make superseded versions come back.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct VectorClock<A = Actor> {
    /// Sorted by actor; no zero counters.
    entries: Few<(A, u64)>,
}

impl<A> Default for VectorClock<A> {
    fn default() -> Self {
        VectorClock { entries: Few::None }
    }
}

impl<A: Ord + Copy> VectorClock<A> {
    /// Nothing seen.
    pub const fn new() -> Self {
        VectorClock { entries: Few::None }
    }

    /// How many events of `actor` have been seen.
    pub fn counter(&self, actor: A) -> u64 {
        self.find(actor).map_or(0, |at| self.entries[at].1)
    }

    /// Counts an event of `actor` and returns its number: the lecture's update rule for a local event.
    pub fn increment(&mut self, actor: A) -> u64 {
        let counter = self.counter(actor) + 1;
        self.raise(actor, counter);
        counter
    }

    /// Makes the counter of `actor` at least `counter`.
    pub fn raise(&mut self, actor: A, counter: u64) {
        match self.find(actor) {
            Ok(at) => self.entries[at].1 = self.entries[at].1.max(counter),
            Err(at) if counter > 0 => self.entries.insert(at, (actor, counter)),
            Err(_) => {}
        }
    }

    /// Makes the counter of `actor` at most `counter`; at 0 the entry goes.
    pub fn lower(&mut self, actor: A, counter: u64) {
        if let Ok(at) = self.find(actor) {
            self.entries[at].1 = self.entries[at].1.min(counter);
            if self.entries[at].1 == 0 {
                self.entries.remove(at);
            }
        }
    }

    /// Takes the pointwise maximum: the update rule on receipt.
    pub fn merge(&mut self, other: &VectorClock<A>) {
        for &(actor, counter) in &other.entries {
            self.raise(actor, counter);
        }
    }

    /// Whether everything `other` has seen was seen here (dominance, or equality).
    pub fn descends(&self, other: &VectorClock<A>) -> bool {
        let mut mine = self.entries.iter();
        other.entries.iter().all(|&(actor, counter)| {
            mine.by_ref()
                .find(|entry| entry.0 >= actor)
                .is_some_and(|entry| entry.0 == actor && entry.1 >= counter)
        })
    }

    /// How this clock lies to `other`.
    pub fn compare(&self, other: &VectorClock<A>) -> Causality {
        Causality::of(self.descends(other), other.descends(self))
    }

    /// Actors and their counters, by actor.
    pub fn entries(&self) -> &[(A, u64)] {
        &self.entries
    }

    /// Number of actors seen.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether nothing was seen.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends an entry while decoding; false if it is out of order or zero.
    pub(super) fn push(&mut self, actor: A, counter: u64) -> bool {
        let in_order = self.entries.last().is_none_or(|last| last.0 < actor) && counter > 0;
        if in_order {
            self.entries.push((actor, counter));
        }
        in_order
    }

    fn find(&self, actor: A) -> Result<usize, usize> {
        match &*self.entries {
            // Most keys have one writer.
            [(only, _)] if *only == actor => Ok(0),
            entries => entries.binary_search_by_key(&actor, |entry| entry.0),
        }
    }
}

impl VectorClock<Actor> {
    /// Whether the event was seen.
    pub fn covers(&self, dot: Dot) -> bool {
        self.counter(dot.actor) >= dot.counter
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_lamport_clock_passes_whatever_it_hears() {
        let (mut a, mut b) = (LamportClock::default(), LamportClock::default());
        assert_eq!((a.tick(), a.tick()), (1, 2));
        assert_eq!(b.receive(a.value()), 3);
        assert_eq!(a.receive(b.value()), 4);
        assert_eq!(a.receive(1), 5, "an old message still counts as an event");
    }

    /// The cart of the Dynamo paper, figure 3.
    #[test]
    fn two_writers_from_one_ancestor_are_concurrent_until_reconciled() {
        let mut d2 = VectorClock::new();
        assert_eq!((d2.increment("sx"), d2.increment("sx")), (1, 2));
        let (mut d3, mut d4) = (d2.clone(), d2.clone());
        d3.increment("sy");
        d4.increment("sz");
        assert_eq!(d2.compare(&d3), Causality::Before);
        assert_eq!(d3.compare(&d2), Causality::After);
        assert_eq!(d3.compare(&d4), Causality::Concurrent);
        let mut d5 = d3.clone();
        d5.merge(&d4);
        d5.increment("sx");
        assert_eq!(d5.entries(), [("sx", 3), ("sy", 1), ("sz", 1)]);
        assert_eq!((d5.compare(&d3), d5.compare(&d4)), (Causality::After, Causality::After));
    }

    fn clock() -> impl Strategy<Value = VectorClock<u8>> {
        proptest::collection::vec((0..5_u8, 0..4_u64), 0..6).prop_map(|entries| {
            let mut clock = VectorClock::new();
            for (actor, counter) in entries {
                clock.raise(actor, counter);
            }
            clock
        })
    }

    proptest! {
        #[test]
        fn merge_is_the_least_clock_that_descends_both(a in clock(), b in clock(), c in clock()) {
            let join = |x: &VectorClock<u8>, y: &VectorClock<u8>| { let mut z = x.clone(); z.merge(y); z };
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &a), a.clone());
            prop_assert!(join(&a, &b).descends(&a) && join(&a, &b).descends(&b));
            if c.descends(&a) && c.descends(&b) {
                prop_assert!(c.descends(&join(&a, &b)));
            }
        }

        #[test]
        fn comparison_agrees_with_the_definition(a in clock(), b in clock()) {
            let covers = |x: &VectorClock<u8>, y: &VectorClock<u8>| (0..5).all(|at| x.counter(at) >= y.counter(at));
            let expected = match (covers(&a, &b), covers(&b, &a)) {
                (true, true) => Causality::Equal,
                (true, false) => Causality::After,
                (false, true) => Causality::Before,
                (false, false) => Causality::Concurrent,
            };
            prop_assert_eq!(a.compare(&b), expected);
            prop_assert_eq!(a == b, expected == Causality::Equal);
        }
    }
}
