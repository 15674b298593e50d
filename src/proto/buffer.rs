//! Bytes whose memory is used again.
//!
//! A request brings a key and a value, and its answer takes values and a context away: short lives, over and over.
//! Each thread keeps some of the vectors that were given up on it for those that it needs next, so that a
//! node in its stride asks nothing of the allocator.

use core::fmt;
use core::ops::Deref;

use super::spare::Spare;

/// Vectors that a thread keeps.
const KEPT: usize = 512;
/// Bytes of the largest vector that is kept.
const KEPT_BYTES: usize = 4 << 10;
/// Bytes that a new one has room for at least: most keys, values and contexts, so that it fits whatever comes next.
const LEAST: usize = 192;

thread_local! {
    static VECTORS: Spare<Vec<u8>> = const { Spare::new() };
}

/// Bytes that are owned, in a vector that is used again.
#[derive(Default, Eq, PartialOrd, Ord)]
pub struct Buffer(Vec<u8>);

impl Buffer {
    /// Nothing yet, with room for a little.
    pub fn new() -> Buffer {
        Buffer(VECTORS.try_with(Spare::take).ok().flatten().unwrap_or_else(|| Vec::with_capacity(LEAST)))
    }

    /// The vector, to be written to.
    pub fn vector(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut vector = core::mem::take(&mut self.0);
        if (1..=KEPT_BYTES).contains(&vector.capacity()) {
            vector.clear();
            let _ = VECTORS.try_with(|spare| spare.keep(KEPT, vector));
        }
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        self
    }
}

impl<T: AsRef<[u8]> + ?Sized> PartialEq<T> for Buffer {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl From<&[u8]> for Buffer {
    fn from(bytes: &[u8]) -> Buffer {
        let mut buffer = Buffer::new();
        buffer.0.extend_from_slice(bytes);
        buffer
    }
}

impl From<Vec<u8>> for Buffer {
    fn from(bytes: Vec<u8>) -> Buffer {
        Buffer(bytes)
    }
}

impl Clone for Buffer {
    fn clone(&self) -> Buffer {
        Buffer::from(&**self)
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_is_used_again_unless_it_is_large() {
        let small = Buffer::from(&b"some"[..]);
        let place = small.as_ptr();
        drop(small);
        let again = Buffer::from(&b"other"[..]);
        assert_eq!((again.as_ptr(), &*again), (place, &b"other"[..]));
        drop(Buffer::from(vec![0; 2 * KEPT_BYTES]));
        assert!(Buffer::new().0.capacity() <= KEPT_BYTES);
    }
}
