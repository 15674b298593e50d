//! A list that has one element nearly always, and then asks nothing of the allocator: the siblings of a key, the
//! actors in its context, what a reader is shown.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::iter::Chain;
use core::mem::take;
use core::ops::{Deref, DerefMut};
use std::{option, vec};

/// A list, read as a slice. What lies in which form says nothing.
#[derive(Clone, Default)]
pub enum Few<T> {
    /// No element.
    #[default]
    None,
    /// One.
    One(T),
    /// Any number.
    Many(Vec<T>),
}

impl<T> Few<T> {
    /// Adds an element at the end.
    pub fn push(&mut self, element: T) {
        match self {
            Few::None => *self = Few::One(element),
            _ => self.many().push(element),
        }
    }

    /// Adds an element in front of the one at this place.
    ///
    /// # Panics
    /// If there is no such place.
    pub fn insert(&mut self, at: usize, element: T) {
        assert!(at <= self.len(), "{at} lies behind the end");
        match self {
            Few::None => *self = Few::One(element),
            _ => self.many().insert(at, element),
        }
    }

    /// Takes the element at this place out.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&mut self, at: usize) -> T {
        self.many().remove(at)
    }

    /// Takes the last element out.
    pub fn pop(&mut self) -> Option<T> {
        match take(self) {
            Few::None => None,
            Few::One(element) => Some(element),
            Few::Many(mut many) => {
                let last = many.pop();
                *self = Few::Many(many);
                last
            }
        }
    }

    /// Keeps the elements for which `stays` holds.
    pub fn retain(&mut self, mut stays: impl FnMut(&T) -> bool) {
        match self {
            Few::None => {}
            Few::One(element) if stays(element) => {}
            Few::One(_) => *self = Few::None,
            Few::Many(many) => many.retain(stays),
        }
    }

    /// Takes out each element that is the same as the one kept before it.
    pub fn dedup_by(&mut self, is_same: impl FnMut(&mut T, &mut T) -> bool) {
        if let Few::Many(many) = self {
            many.dedup_by(is_same);
        }
    }

    fn many(&mut self) -> &mut Vec<T> {
        if !matches!(self, Few::Many(_)) {
            *self = Few::Many(take(self).into_iter().collect());
        }
        let Few::Many(many) = self else { unreachable!("it is made so above") };
        many
    }
}

impl<T> Deref for Few<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match self {
            Few::None => &[],
            Few::One(element) => core::slice::from_ref(element),
            Few::Many(many) => many,
        }
    }
}

impl<T> DerefMut for Few<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match self {
            Few::None => &mut [],
            Few::One(element) => core::slice::from_mut(element),
            Few::Many(many) => many,
        }
    }
}

impl<T> Extend<T> for Few<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, elements: I) {
        elements.into_iter().for_each(|element| self.push(element));
    }
}

impl<T> FromIterator<T> for Few<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Few<T> {
        let mut few = Few::None;
        few.extend(elements);
        few
    }
}

impl<T> IntoIterator for Few<T> {
    type Item = T;
    type IntoIter = Chain<option::IntoIter<T>, vec::IntoIter<T>>;

    fn into_iter(self) -> Self::IntoIter {
        let (one, many) = match self {
            Few::None => (None, Vec::new()),
            Few::One(element) => (Some(element), Vec::new()),
            Few::Many(many) => (None, many),
        };
        one.into_iter().chain(many)
    }
}

impl<'f, T> IntoIterator for &'f Few<T> {
    type Item = &'f T;
    type IntoIter = core::slice::Iter<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<'f, T> IntoIterator for &'f mut Few<T> {
    type Item = &'f mut T;
    type IntoIter = core::slice::IterMut<'f, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

impl<T: PartialEq> PartialEq for Few<T> {
    fn eq(&self, other: &Few<T>) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Few<T> {}

impl<T: Hash> Hash for Few<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: fmt::Debug> fmt::Debug for Few<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever was done to it, it is as a vector to which the same was done.
        #[test]
        fn it_is_as_a_vector(steps in prop::collection::vec((0..6_u8, 0..4_u8), 0..40)) {
            let (mut few, mut vector) = (Few::None, Vec::new());
            for (step, number) in steps {
                let at = usize::from(number).min(vector.len());
                match step {
                    0 => { few.push(number); vector.push(number); }
                    1 => { few.insert(at, number); vector.insert(at, number); }
                    2 if at < vector.len() => prop_assert_eq!(few.remove(at), vector.remove(at)),
                    3 => { few.retain(|&each| each != number); vector.retain(|&each| each != number); }
                    4 => prop_assert_eq!(few.pop(), vector.pop()),
                    _ => { few.dedup_by(|a, b| a == b); vector.dedup(); }
                }
                prop_assert_eq!(&*few, &*vector);
                prop_assert_eq!(&few, &vector.iter().copied().collect::<Few<u8>>());
                prop_assert_eq!(few.clone().into_iter().collect::<Vec<u8>>(), vector.clone());
            }
        }
    }
}
