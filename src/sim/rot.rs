//! What a disk does without telling anybody: it writes to the wrong place, and it forgets what it had.
//!
//! Whoever keeps data has to find out by itself, and some of it nobody can find out: after a stop that was
//! not clean, the last bytes of a log that do not hold look like a write that the stop tore. So bytes rot
//! only where the log has promised, in bytes that are durable themselves, how far it was durable. A write
//! may stray before it is promised; while that is so, [`Platter::stray`] says that a stop takes it, and all
//! that came after it, along without a trace.
//!
//! The format file is left alone: it is 100 bytes that are written once, and without it a directory is
//! nobody's.

use std::sync::{Arc, Mutex};

use super::disk::{Content, Inner, Platter, SECTOR, Write, guard};
use crate::proto::rng::Rng;
use crate::store::disk::LOG_DIRECTORY;

/// A kind of damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rot {
    /// Bits of a segment flipped.
    Bits,
    /// Sectors of a segment are zeros, or what they were before they were last written.
    Sectors,
    /// Bits of a small file or of the checkpoint flipped.
    SmallFile,
    /// A write landed elsewhere.
    Misdirected,
}

/// Damage that was done.
#[derive(Clone, Debug)]
pub struct Struck {
    /// Its kind.
    pub rot: Rot,
    /// What happened, for a trace.
    pub text: String,
}

/// Files that may rot besides segments.
const SMALL_FILES: [&str; 4] = ["checkpoint", "manifest", "identity", "members"];
/// Where the header of a segment says that compaction made it: the one thing known of the format here.
const COMPACTED_FLAG_AT: usize = 52;
/// Bytes of the header of a segment.
const HEADER_LENGTH: usize = 64;

impl Platter {
    /// Lets something rot that was synced; false if there is nothing of that kind to rot.
    pub fn rot(&self, rot: Rot) -> bool {
        let mut inner = guard(&self.0);
        let inner = &mut *inner;
        let text = match rot {
            Rot::Misdirected => {
                inner.misdirect_next = true;
                return true;
            }
            Rot::SmallFile => inner.rot_small_file(),
            Rot::Bits | Rot::Sectors => inner.rot_segment(rot),
        };
        let is_done = text.is_some();
        inner.struck.extend(text.map(|text| Struck { rot, text }));
        is_done
    }

    /// The number of the first write that strayed, from 1, of those that no bytes promise: a stop that is not
    /// clean takes it along, and everything after it, as if it tore them.
    pub fn stray(&self) -> Option<u64> {
        let inner = guard(&self.0);
        let promised = inner.promised();
        let strays = inner.files.values().flat_map(|content| {
            let end = promised.iter().find(|(_, other, _)| Arc::ptr_eq(other, content)).map_or(0, |p| p.2);
            let content = guard(content);
            content.strayed.iter().filter(|stray| stray.1 > end).map(|stray| stray.0).min()
        });
        strays.min()
    }

    /// The damage that was done since the last call.
    pub fn take_struck(&self) -> Vec<Struck> {
        std::mem::take(&mut guard(&self.0).struck)
    }
}

impl Content {
    /// Notes how far it was synced as a write begins.
    pub(super) fn begin_write(&mut self) {
        let synced = self.synced();
        self.synced_at.rotate_left(1);
        self.synced_at[3] = synced;
    }

    /// Up to where bytes that are durable say that everything was durable, if it is the segment that is
    /// appended to. A chunk begins with a mark of what was durable when the chunk was begun, and that
    /// was, at the latest, when the write before the one before it began.
    fn promised_while_open(&self) -> usize {
        if self.unsynced.is_empty() { self.synced_at[1] } else { 0 }
    }
}

/// Whether the header of a segment says that compaction made it.
pub(super) fn is_of_compaction(header: &[u8]) -> bool {
    header.get(COMPACTED_FLAG_AT).is_some_and(|flags| flags & 1 != 0)
}

impl Inner {
    /// The segments, each with how far its bytes are promised to be durable.
    fn promised(&self) -> Vec<(String, Arc<Mutex<Content>>, usize)> {
        let is_begun = |content: &Content| !content.is_compacted && content.synced() > HEADER_LENGTH;
        let of_log = self.files.iter().filter(|(name, _)| name.starts_with(LOG_DIRECTORY));
        let newest = of_log.clone().rfind(|(_, content)| is_begun(&guard(content))).map(|(name, _)| name);
        let promised = of_log.map(|(name, content)| {
            let inside = guard(content);
            let is_left = Some(name) < newest || inside.is_compacted;
            let end = if is_left { inside.synced() } else { inside.promised_while_open() };
            (name.clone(), Arc::clone(content), end.min(inside.bytes.len()))
        });
        promised.filter(|(.., end)| *end > HEADER_LENGTH).collect()
    }

    fn rot_segment(&mut self, rot: Rot) -> Option<String> {
        let segments = self.promised();
        let (name, content, end) = segments.get(self.draw(segments.len())?)?;
        let mut content = guard(content);
        let at = self.rng.below(*end as u64) as usize;
        if rot == Rot::Bits {
            return Some(flip(&mut content.bytes[..*end], at, &mut self.rng, name));
        }
        let from = at / SECTOR * SECTOR;
        let to = (from + SECTOR * (1 + self.rng.below(4) as usize)).min(*end);
        content.bytes[from..to].fill(0);
        Some(format!("sectors at {from}..{to} of {name} are zeros, as before they were written"))
    }

    fn rot_small_file(&mut self) -> Option<String> {
        let there: Vec<&str> =
            SMALL_FILES.into_iter().filter(|name| self.files.contains_key(*name)).collect();
        let name = there[self.draw(there.len())?];
        let content = Arc::clone(&self.files[name]);
        let mut content = guard(&content);
        let at = self.draw(content.bytes.len())?;
        Some(flip(&mut content.bytes, at, &mut self.rng, name))
    }

    fn draw(&mut self, below: usize) -> Option<usize> {
        (below > 0).then(|| self.rng.below(below as u64) as usize)
    }

    /// Lets a write land elsewhere, where bytes are promised, as far as these go; whether there was such a
    /// place.
    pub(super) fn misdirect(&mut self, own: &Arc<Mutex<Content>>, offset: usize, bytes: &[u8]) -> bool {
        let segments = self.promised();
        let Some(drawn) = self.draw(segments.len()) else { return false };
        let (name, target, end) = &segments[drawn];
        self.misdirect_next = false;
        self.misdirected += 1;
        {
            let mut own = guard(own);
            own.begin_write();
            own.end = own.end.max(offset + bytes.len());
            // Until the next sync nobody may believe that it is on the disk.
            own.unsynced.push(Write { offset, old: Vec::new(), new: Vec::new() });
            own.strayed.push((self.misdirected, offset + bytes.len()));
        }
        let mut target = guard(target);
        // Whole sectors stray, so a byte keeps its place within its own.
        let sectors = (*end / SECTOR) as u64 + 1;
        let at = self.rng.below(sectors) as usize * SECTOR + offset % SECTOR;
        let room = end.saturating_sub(at).min(bytes.len());
        target.bytes[at.min(*end)..][..room].copy_from_slice(&bytes[..room]);
        let length = bytes.len();
        let text = format!("{length} bytes for offset {offset} went to {name} at {at}, {room} of them");
        self.struck.push(Struck { rot: Rot::Misdirected, text });
        true
    }

    /// The process ends: what strayed is damage, or a part of the tail.
    pub(super) fn forget_strayed(&mut self) {
        self.files.values().for_each(|content| guard(content).strayed.clear());
    }
}

/// Flips up to four bits near a place.
fn flip(bytes: &mut [u8], at: usize, rng: &mut Rng, name: &str) -> String {
    let count = 1 + rng.below(4);
    for _ in 0..count {
        let near = (at + rng.below(8) as usize).min(bytes.len() - 1);
        bytes[near] ^= 1 << rng.below(8);
    }
    format!("{count} bits at {at} of {name} flipped")
}
