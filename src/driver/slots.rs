//! A table whose entries keep their number for as long as they live. Numbers are small, dense and used
//! again, so they index instead of being looked up.

/// Entries by number.
#[derive(Debug)]
pub(super) struct Slots<T> {
    /// Boxed, so that taking one out while it is worked on moves a pointer.
    entries: Vec<Option<Box<T>>>,
    free: Vec<u32>,
    /// Entries in the table or taken out of it for a moment.
    held: usize,
}

impl<T> Slots<T> {
    pub(super) fn new() -> Slots<T> {
        Slots { entries: Vec::new(), free: Vec::new(), held: 0 }
    }

    /// Entries held.
    pub(super) fn len(&self) -> usize {
        self.held
    }

    /// Adds what `make` builds for its number.
    pub(super) fn insert(&mut self, make: impl FnOnce(u32) -> T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            self.entries.push(None);
            u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 sockets")
        });
        self.entries[at as usize] = Some(Box::new(make(at)));
        self.held += 1;
        at
    }

    pub(super) fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.entries.get_mut(at as usize)?.as_deref_mut()
    }

    /// Takes an entry out to work on it while the others can be looked at. Its number stays taken until
    /// [`Slots::put_back`] or [`Slots::free`].
    pub(super) fn take(&mut self, at: u32) -> Option<Box<T>> {
        self.entries.get_mut(at as usize)?.take()
    }

    /// Returns an entry that was taken out.
    pub(super) fn put_back(&mut self, at: u32, entry: Box<T>) {
        let place = &mut self.entries[at as usize];
        assert!(place.is_none(), "slot {at} was filled while its entry was out");
        *place = Some(entry);
    }

    /// Gives up the number of an entry that was taken out.
    pub(super) fn free(&mut self, at: u32) {
        assert!(self.entries[at as usize].is_none(), "slot {at} is not empty");
        self.free.push(at);
        self.held -= 1;
    }

    /// All entries with their numbers, in the order of the numbers.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        self.entries.iter().enumerate().filter_map(|(at, entry)| Some((at as u32, entry.as_deref()?)))
    }

    /// The numbers in use.
    pub(super) fn numbers(&self) -> Vec<u32> {
        self.iter().map(|(at, _)| at).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_used_again_only_once_it_is_free() {
        let mut slots = Slots::new();
        let (a, b) = (slots.insert(|at| ("a", at)), slots.insert(|at| ("b", at)));
        assert_eq!((slots.get_mut(a).copied(), slots.get_mut(b).copied()), (Some(("a", a)), Some(("b", b))));
        let taken = slots.take(a).unwrap();
        assert!(slots.get_mut(a).is_none());
        let c = slots.insert(|at| ("c", at));
        assert_ne!(c, a);
        slots.put_back(a, taken);
        slots.take(a).unwrap();
        slots.free(a);
        assert_eq!(slots.insert(|at| ("d", at)), a);
        assert_eq!(slots.len(), 3);
        assert_eq!(slots.numbers(), [a, b, c]);
    }
}
