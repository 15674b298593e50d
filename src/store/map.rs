//! Read-only maps of segments. A stray pointer of the host cannot damage the log through them.
//!
//! The map covers the whole preallocated file, while other parts of the file are still being written.
//! So no reference to the whole is ever made: a view is made of exactly the bytes that were asked for,
//! and the log asks only for bytes whose write has returned and which are never written again.
//!
//! A file that somebody shortens under a map kills the process with SIGBUS when the lost part is touched:
//! segments are preallocated, length-checked when opened, and held under a lock to make that a matter of
//! intent. The library installs no signal handler.

use std::fs;
use std::io;

use memmap2::{Advice, MmapOptions, MmapRaw};

/// A file, mapped read-only from its start.
pub struct Map {
    map: MmapRaw,
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
        Ok(Map { map })
    }

    /// Bytes `offset..offset + length`; `None` if they are not all inside. The caller asks only for bytes
    /// that are never written again.
    pub fn view(&self, offset: u64, length: usize) -> Option<&[u8]> {
        let start = usize::try_from(offset).ok()?;
        if start.checked_add(length)? > self.map.len() {
            return None;
        }
        // SAFETY: the range lies inside the map, which lives as long as `self`; the log writes each byte
        // of a segment once and asks only for bytes whose write has returned, so they do not change while
        // the slice lives.
        Some(unsafe { core::slice::from_raw_parts(self.map.as_ptr().add(start), length) })
    }
}
