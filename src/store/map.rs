//! Read-only maps of segments. A stray pointer of the host cannot damage the log through them.
//!
//! The map covers the whole preallocated file, while other parts of the file are still being written.
//! So no reference to the whole is ever made: a view is made of exactly the bytes that were asked for,
//! and the log asks only for bytes whose write has returned and which are never written again.
//!
//! A file that somebody shortens under a map, and a sector that cannot be read, kill the process with
//! SIGBUS when the lost part is touched. So a block is *populated* before it is viewed for the first time,
//! which gives an error in place of the signal, and [`Map::is_whole`] asks once a turn whether the end of the
//! file is still there. What remains is a file that is shortened between that question and the view: the
//! library installs no signal handler, the program does.

use std::fs;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use memmap2::{Advice, MmapOptions, MmapRaw};

/// Bytes that are populated at one time, on first use.
const BLOCK_LENGTH: usize = 64 << 10;

/// A file, mapped read-only from its start.
pub struct Map {
    map: MmapRaw,
    /// A bit for each block that was populated.
    populated: Box<[AtomicU64]>,
}

impl Map {
    /// Maps the first `size` bytes of a file. No read-ahead: it makes cold reads slower, and lets the
    /// kernel build large folios that each sync then writes whole.
    ///
    /// # Errors
    /// The file cannot be mapped.
    pub fn new(file: &fs::File, size: u64) -> io::Result<Map> {
        let length = usize::try_from(size).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let map = MmapOptions::new().len(length).map_raw_read_only(file)?;
        map.advise(Advice::Random)?;
        let words = length.div_ceil(BLOCK_LENGTH).div_ceil(64);
        Ok(Map { map, populated: (0..words).map(|_| AtomicU64::new(0)).collect() })
    }

    /// Bytes `offset..offset + length`; `None` if they are not all inside, or cannot be read. The caller
    /// asks only for bytes that are never written again.
    pub fn view(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        let end = start.checked_add(length)?;
        if end > self.map.len() {
            return None;
        }
        for block in start / BLOCK_LENGTH..end.div_ceil(BLOCK_LENGTH) {
            let (word, bit) = (&self.populated[block / 64], 1 << (block % 64));
            if word.load(Ordering::Relaxed) & bit == 0 {
                let first = block * BLOCK_LENGTH;
                if self.populate(first, BLOCK_LENGTH.min(self.map.len() - first)) {
                    word.fetch_or(bit, Ordering::Relaxed);
                } else if !self.populate(start, length.max(1)) {
                    // Neither the block, which may reach behind the end of the file, nor what is wanted.
                    return None;
                }
            }
        }
        // SAFETY: the range lies inside the map, which lives as long as `self`; the log writes each byte
        // of a segment once and asks only for bytes whose write has returned, so they do not change while
        // the slice lives.
        Some(unsafe { core::slice::from_raw_parts(self.map.as_ptr().add(start), length) })
    }

    /// Whether the file still reaches up to `end`.
    pub fn is_whole(&self, end: u64) -> bool {
        let last = usize::try_from(end).ok().and_then(|end| end.checked_sub(1));
        last.is_none_or(|last| last < self.map.len() && self.populate(last, 1))
    }

    /// Reads a range into memory; false if that cannot be done. A kernel that does not know how to (before
    /// 5.14) leaves it to the view.
    fn populate(&self, offset: usize, length: usize) -> bool {
        match self.map.advise_range(Advice::PopulateRead, offset, length) {
            Ok(()) => true,
            Err(error) => error.raw_os_error() == Some(libc::EINVAL),
        }
    }
}
