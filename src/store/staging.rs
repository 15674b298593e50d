//! The log's buffer: records between `put` and the `pwrite` that hands them to the kernel.
//!
//! The loop appends to the *open* chunk. A chunk that goes to the worker is *frozen*: shared, read-only,
//! and still here for lookups until the written mark has passed it. So loop and worker never touch the
//! same bytes while one of them writes, and nothing is copied on the way. Chunks that the worker has not
//! begun can be taken back and extended, which keeps their number small however long a sync lasts.
//!
//! It does not know files, and it does not decide when to write.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::proto::store::Sequence;

/// Bytes that may be staged unless the options say otherwise.
pub const LIMIT_DEFAULT: usize = 8 << 20;
/// A chunk of this size is handed on without being asked for.
pub const CHUNK_LENGTH: usize = 1 << 20;
/// Emptied buffers kept for the next chunks.
const SPARES_MAX: usize = 2;

/// Records that lie together in one segment, as bytes.
#[derive(Debug, Default)]
pub struct Chunk {
    /// Number of the segment.
    pub number: u64,
    /// Where in the segment they begin.
    pub start: u64,
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The sequence of the last put in it, or before it if it has none.
    pub last: Sequence,
}

impl Chunk {
    /// Where in the segment they end.
    pub fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    fn from(&self, number: u64, offset: u64) -> Option<&[u8]> {
        if self.number != number {
            return None;
        }
        self.bytes.get(usize::try_from(offset.checked_sub(self.start)?).ok()?..)
    }
}

/// The staging buffer.
pub struct Staging {
    open: Chunk,
    frozen: VecDeque<Arc<Chunk>>,
    spares: Vec<Vec<u8>>,
    held: usize,
    limit: usize,
}

impl Staging {
    /// An empty buffer that holds `limit` bytes, or half of that and one larger record.
    pub fn new(limit: usize) -> Staging {
        Staging { open: Chunk::default(), frozen: VecDeque::new(), spares: Vec::new(), held: 0, limit }
    }

    /// Whether so many more bytes may be staged. A large record need not wait until nothing at all is
    /// staged, which beside a stream of small ones would be never.
    pub fn has_room(&self, length: usize) -> bool {
        let half = self.limit / 2;
        self.held + length <= self.limit || (length > half && self.held <= half)
    }

    /// Bytes of memory that it takes.
    pub fn heap_bytes(&self) -> usize {
        let spares: usize = self.spares.iter().map(Vec::capacity).sum();
        let frozen: usize = self.frozen.iter().map(|chunk| chunk.bytes.capacity()).sum();
        self.open.bytes.capacity() + frozen + spares
    }

    /// The chunk that is being filled.
    pub fn open(&self) -> &Chunk {
        &self.open
    }

    /// Says where the open chunk begins.
    ///
    /// # Panics
    /// If there is something in it.
    pub fn begin(&mut self, number: u64, start: u64) {
        assert!(self.open.bytes.is_empty(), "a chunk lies in one segment, in one piece");
        self.open.number = number;
        self.open.start = start;
    }

    /// Appends what `encode` writes; `last` is the sequence of the last put by then.
    pub fn append(&mut self, last: Sequence, encode: impl FnOnce(&mut Vec<u8>)) {
        let before = self.open.bytes.len();
        encode(&mut self.open.bytes);
        self.open.last = last;
        self.held += self.open.bytes.len() - before;
    }

    /// Empties the open chunk: it was written by the loop itself.
    pub fn clear_open(&mut self) {
        let end = self.open.end();
        self.held -= self.open.bytes.len();
        self.open.bytes.clear();
        self.open.start = end;
    }

    /// Freezes the open chunk for the worker; a new one begins where it ended. `None` if it is empty.
    pub fn freeze(&mut self) -> Option<Arc<Chunk>> {
        if self.open.bytes.is_empty() {
            return None;
        }
        let next = Chunk {
            number: self.open.number,
            start: self.open.end(),
            bytes: self.spares.pop().unwrap_or_default(),
            last: self.open.last,
        };
        let chunk = Arc::new(core::mem::replace(&mut self.open, next));
        self.frozen.push_back(Arc::clone(&chunk));
        Some(chunk)
    }

    /// Extends the chunk frozen last, which the worker has not begun (`taken_back` is the worker's share
    /// of it), by the open one. Gives it back as it was if they do not join or it would get too large.
    pub fn extend(&mut self, taken_back: Arc<Chunk>) -> Arc<Chunk> {
        let joins = taken_back.number == self.open.number
            && taken_back.end() == self.open.start
            && taken_back.bytes.len() + self.open.bytes.len() <= CHUNK_LENGTH;
        let is_last = self.frozen.back().is_some_and(|last| Arc::ptr_eq(last, &taken_back));
        if !joins || !is_last {
            return taken_back;
        }
        drop(taken_back);
        let chunk = self.frozen.back_mut().expect("it was just compared");
        let unshared = Arc::get_mut(chunk).expect("the worker's share was taken back and dropped");
        unshared.bytes.extend_from_slice(&self.open.bytes);
        unshared.last = self.open.last;
        self.open.start = self.open.end();
        self.open.bytes.clear();
        Arc::clone(chunk)
    }

    /// Lets go of frozen chunks up to the written mark; `gone` is told each one's segment and end.
    pub fn reclaim(&mut self, written: Sequence, mut gone: impl FnMut(u64, u64)) {
        while self.frozen.front().is_some_and(|chunk| chunk.last <= written) {
            let chunk = self.frozen.pop_front().expect("there is a front");
            self.held -= chunk.bytes.len();
            gone(chunk.number, chunk.end());
            if let Ok(mut chunk) = Arc::try_unwrap(chunk)
                && self.spares.len() < SPARES_MAX
                && chunk.bytes.capacity() <= CHUNK_LENGTH * 2
            {
                chunk.bytes.clear();
                self.spares.push(chunk.bytes);
            }
        }
    }

    /// The staged bytes of segment `number` from `offset` to the end of their chunk.
    pub fn find(&self, number: u64, offset: u64) -> Option<&[u8]> {
        let frozen = || self.frozen.iter().rev().find_map(|chunk| chunk.from(number, offset));
        self.open.from(number, offset).or_else(frozen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stage(staging: &mut Staging, last: u64, bytes: &[u8]) {
        staging.append(Sequence(last), |into| into.extend_from_slice(bytes));
    }

    #[test]
    fn staged_bytes_are_found_until_they_are_written() {
        let mut staging = Staging::new(100);
        staging.begin(1, 64);
        stage(&mut staging, 1, b"first");
        let first = staging.freeze().unwrap();
        stage(&mut staging, 2, b"second");
        assert_eq!(staging.find(1, 64), Some(&b"first"[..]));
        assert_eq!(staging.find(1, 66), Some(&b"rst"[..]));
        assert_eq!(staging.find(1, 69), Some(&b"second"[..]));
        assert_eq!((staging.find(1, 63), staging.find(2, 64)), (None, None));
        drop(first);
        let mut gone = Vec::new();
        staging.reclaim(Sequence(1), |number, end| gone.push((number, end)));
        assert_eq!(gone, [(1, 69)]);
        assert_eq!(staging.find(1, 64), None);
        staging.clear_open();
        assert_eq!((staging.held, staging.open().start), (0, 75));
    }

    #[test]
    fn it_is_bounded_but_takes_one_record_of_any_size() {
        let mut staging = Staging::new(10);
        assert!(staging.has_room(1_000));
        stage(&mut staging, 1, b"12345");
        assert!(staging.has_room(5) && staging.has_room(1_000));
        stage(&mut staging, 2, b"6");
        assert!(staging.has_room(4));
        assert!(!staging.has_room(5) && !staging.has_room(1_000));
    }

    #[test]
    fn a_chunk_that_was_not_begun_is_extended() {
        let mut staging = Staging::new(100);
        staging.begin(1, 64);
        stage(&mut staging, 1, b"first");
        let first = staging.freeze().unwrap();
        stage(&mut staging, 2, b"second");
        let joined = staging.extend(first);
        assert_eq!((joined.bytes.as_slice(), joined.last), (&b"firstsecond"[..], Sequence(2)));
        assert!(staging.freeze().is_none());
        assert_eq!(staging.open().start, 75);
        staging.begin(2, 64);
        stage(&mut staging, 3, b"elsewhere");
        assert!(Arc::ptr_eq(&joined, &staging.extend(Arc::clone(&joined))));
        assert!(!staging.open().bytes.is_empty());
    }
}
