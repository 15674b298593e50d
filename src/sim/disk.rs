//! The simulated disk: [`Disk`] and [`File`] over memory that forgets as a real one does.
//!
//! A file keeps what was written and, until the next sync, what stood there before. When the power goes,
//! each unsynced write is kept, lost or torn inside a sector, each for itself and in any order. When only
//! the process is killed, everything that was written stays. An operation can be made to be the last one
//! before the power goes, a sync can be made to fail, and the room can run out. What is worse than any of
//! these, as nobody is told, is in `rot`: writes that land elsewhere, and bytes that change by themselves.
//!
//! The machine owns the [`Platter`]; a [`SimDisk`] is one opener's handle to it. A handle from before a
//! crash can do nothing any more.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::rot::Struck;
use super::rot::is_of_compaction;
use crate::proto::rng::Rng;
use crate::store::disk::{Disk, Draft, File, LOG_DIRECTORY, LockError, Place};

/// How many bytes a disk writes at once, or not at all.
pub(super) const SECTOR: usize = 512;

/// One unsynced write.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) offset: usize,
    pub(super) old: Vec<u8>,
    pub(super) new: Vec<u8>,
}

#[derive(Debug, Default)]
pub(super) struct Content {
    pub(super) bytes: Vec<u8>,
    pub(super) unsynced: Vec<Write>,
    /// Where the writes of its owner end.
    pub(super) end: usize,
    /// How far it was synced when each of the last writes began, oldest first.
    pub(super) synced_at: [usize; 4],
    /// Writes that landed elsewhere: their numbers, and where they should have ended.
    pub(super) strayed: Vec<(u64, usize)>,
    /// Whether compaction made it, if it is a segment, whatever has become of its header.
    pub(super) is_compacted: bool,
}

impl Content {
    pub(super) fn of(bytes: Vec<u8>) -> Content {
        let end = bytes.len();
        Content { bytes, end, ..Content::default() }
    }

    /// A segment of which only the header was written.
    fn of_segment(end: usize, bytes: Vec<u8>) -> Content {
        let is_compacted = is_of_compaction(&bytes);
        Content { bytes, end, is_compacted, ..Content::default() }
    }

    /// Up to where everything is on the disk.
    pub(super) fn synced(&self) -> usize {
        self.unsynced.iter().map(|write| write.offset).min().unwrap_or(self.end)
    }
}

pub(super) struct Inner {
    pub(super) files: BTreeMap<String, Arc<Mutex<Content>>>,
    /// Which opener may use the disk; handles with another number are of before a crash.
    opener: u64,
    locked: bool,
    place: Place,
    pub(super) rng: Rng,
    /// Operations until the power goes.
    crash_in: Option<u64>,
    crashed: bool,
    fail_next_sync: bool,
    full: bool,
    /// The next write lands elsewhere; and how many did.
    pub(super) misdirect_next: bool,
    pub(super) misdirected: u64,
    /// Damage that was done and not yet told.
    pub(super) struck: Vec<Struck>,
}

/// All files of a disk at some time: their bytes, where they end, and whether compaction made them.
#[derive(Clone)]
pub struct Image(BTreeMap<String, (Vec<u8>, usize, bool)>);

/// The disk itself, as the machine owns it.
#[derive(Clone)]
pub struct Platter(pub(super) Arc<Mutex<Inner>>);

pub(super) fn guard<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic elsewhere is already being reported; the bytes are still what they are.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gone() -> io::Error {
    io::Error::other("the power is gone")
}

impl Platter {
    /// An empty disk of a machine.
    pub fn new(machine: u64, seed: u64) -> Platter {
        Platter(Arc::new(Mutex::new(Inner {
            files: BTreeMap::new(),
            opener: 0,
            locked: false,
            place: Place { machine, inode: 2 },
            rng: Rng::new(seed),
            crash_in: None,
            crashed: false,
            fail_next_sync: false,
            full: false,
            misdirect_next: false,
            misdirected: 0,
            struck: Vec::new(),
        })))
    }

    /// A handle for a new opener. Handles of before are dead.
    pub fn attach(&self) -> SimDisk {
        let mut inner = guard(&self.0);
        inner.opener += 1;
        inner.locked = false;
        inner.crashed = false;
        SimDisk { path: PathBuf::from("sim"), opener: inner.opener, platter: self.clone() }
    }

    /// The process ends: what was written stays, the lock goes.
    pub fn kill_process(&self) {
        let mut inner = guard(&self.0);
        inner.opener += 1;
        inner.locked = false;
        inner.crash_in = None;
        inner.fail_next_sync = false;
        inner.forget_strayed();
    }

    /// The power goes: each unsynced write is kept, lost or torn.
    pub fn crash(&self) {
        let mut inner = guard(&self.0);
        let inner = &mut *inner;
        inner.opener += 1;
        inner.locked = false;
        inner.crash_in = None;
        inner.fail_next_sync = false;
        inner.forget_strayed();
        // A mood for the whole crash: now and then everything is lost, or everything but the last tear.
        let keep_percent = [0, 0, 30, 60, 90, 100][inner.rng.below(6) as usize];
        for content in inner.files.values() {
            let mut content = guard(content);
            crash_file(&mut content, &mut inner.rng, keep_percent);
            // The bytes that promised may be gone.
            content.synced_at = [0; 4];
        }
    }

    /// Everything is gone; the directory itself is another one.
    pub fn wipe(&self) {
        let mut inner = guard(&self.0);
        inner.opener += 1;
        inner.locked = false;
        inner.files.clear();
        inner.place.inode += 1;
    }

    /// What would be left of it if the power went now and took everything with it that was not synced.
    pub fn image(&self) -> Image {
        let inner = guard(&self.0);
        let files = inner.files.iter().map(|(name, content)| {
            let content = guard(content);
            let mut bytes = content.bytes.clone();
            for write in content.unsynced.iter().rev() {
                bytes[write.offset..write.offset + write.old.len()].copy_from_slice(&write.old);
            }
            (name.clone(), (bytes, content.synced(), content.is_compacted))
        });
        Image(files.collect())
    }

    /// An earlier image takes the place of everything, in another directory or in the same one.
    pub fn put_back(&self, image: &Image, is_moved: bool) {
        self.kill_process();
        let mut inner = guard(&self.0);
        inner.place.inode += u64::from(is_moved);
        inner.files.clear();
        for (name, (bytes, end, is_compacted)) in &image.0 {
            let (bytes, end, is_compacted) = (bytes.clone(), *end, *is_compacted);
            let content = Content { bytes, end, is_compacted, ..Content::default() };
            inner.files.insert(name.clone(), Arc::new(Mutex::new(content)));
        }
    }

    /// Lets the power go at the `operations`-th operation from now.
    pub fn crash_after(&self, operations: u64) {
        guard(&self.0).crash_in = Some(operations);
    }

    /// Whether the power went in the middle of an operation.
    pub fn is_crashed(&self) -> bool {
        guard(&self.0).crashed
    }

    /// Makes the next sync of a file fail.
    pub fn fail_next_sync(&self) {
        guard(&self.0).fail_next_sync = true;
    }

    /// Whether there is room for new segments.
    pub fn set_full(&self, full: bool) {
        guard(&self.0).full = full;
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        guard(&self.0).full
    }

    /// No more faults.
    pub fn heal(&self) {
        let mut inner = guard(&self.0);
        inner.full = false;
        inner.fail_next_sync = false;
        inner.crash_in = None;
        inner.misdirect_next = false;
    }

    /// Takes a file away behind everybody's back.
    pub fn lose(&self, name: &str) -> bool {
        guard(&self.0).files.remove(name).is_some()
    }

    /// Whether there is a file of this name.
    pub fn has(&self, name: &str) -> bool {
        guard(&self.0).files.contains_key(name)
    }

    /// Bytes that the files of the log take.
    pub fn log_bytes(&self) -> u64 {
        let inner = guard(&self.0);
        let of_log = inner.files.iter().filter(|(name, _)| name.starts_with(LOG_DIRECTORY));
        of_log.map(|(_, content)| guard(content).bytes.len() as u64).sum()
    }
}

/// What one file looks like after the power went.
fn crash_file(content: &mut Content, rng: &mut Rng, keep_percent: u64) {
    // Where everything is on the disk; what is torn promises nothing.
    content.end = content.synced();
    let writes = std::mem::take(&mut content.unsynced);
    for write in writes.iter().rev() {
        content.bytes[write.offset..write.offset + write.old.len()].copy_from_slice(&write.old);
    }
    for write in &writes {
        if rng.below(100) < keep_percent {
            content.bytes[write.offset..write.offset + write.new.len()].copy_from_slice(&write.new);
            content.end = content.end.max(write.offset + write.new.len());
            continue;
        }
        if rng.one_in(2) {
            tear(content, write, rng);
        }
    }
}

/// Writes some of a write's sectors, perhaps one of them only up to its middle.
fn tear(content: &mut Content, write: &Write, rng: &mut Rng) {
    let end = write.offset + write.new.len();
    let in_order = rng.one_in(2);
    let stop = write.offset + rng.below(write.new.len() as u64 + 1) as usize;
    let mut from = write.offset;
    while from < end {
        let to = (from / SECTOR * SECTOR + SECTOR).min(end);
        let kept = if in_order {
            to.min(stop).max(from)
        } else if rng.one_in(2) {
            to
        } else {
            from
        };
        let new = &write.new[from - write.offset..kept - write.offset];
        content.bytes[from..kept].copy_from_slice(new);
        from = to;
    }
}

/// One opener's handle.
pub struct SimDisk {
    path: PathBuf,
    opener: u64,
    platter: Platter,
}

impl SimDisk {
    /// The disk, if this handle may still use it and the power did not just go. `changes` counts
    /// operations that could be the last.
    fn enter(&self, changes: bool) -> io::Result<MutexGuard<'_, Inner>> {
        enter(&self.platter, self.opener, changes)
    }
}

fn enter(platter: &Platter, opener: u64, changes: bool) -> io::Result<MutexGuard<'_, Inner>> {
    let mut inner = guard(&platter.0);
    if inner.opener != opener || inner.crashed {
        return Err(gone());
    }
    if changes && let Some(left) = inner.crash_in {
        inner.crash_in = left.checked_sub(1);
        if left == 0 {
            inner.crashed = true;
        }
    }
    Ok(inner)
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        let mut inner = guard(&self.platter.0);
        if inner.opener == self.opener {
            inner.locked = false;
        }
    }
}

/// A file that is being written: it is nothing until it was committed.
pub struct SimDraft {
    name: String,
    bytes: Vec<u8>,
    opener: u64,
    platter: Platter,
}

impl Draft for SimDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let inner = enter(&self.platter, self.opener, true)?;
        if inner.full {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        self.bytes.extend_from_slice(bytes);
        if inner.crashed { Err(gone()) } else { Ok(()) }
    }

    fn sync(&mut self) -> io::Result<()> {
        let inner = enter(&self.platter, self.opener, true)?;
        if inner.crashed { Err(gone()) } else { Ok(()) }
    }

    fn commit(self) -> io::Result<()> {
        let mut inner = enter(&self.platter, self.opener, true)?;
        let crashed = inner.crashed;
        if !crashed || inner.rng.one_in(2) {
            let new = Content::of(self.bytes);
            inner.files.insert(self.name, Arc::new(Mutex::new(new)));
        }
        if crashed { Err(gone()) } else { Ok(()) }
    }
}

impl Disk for SimDisk {
    type File = SimFile;
    type Draft = SimDraft;

    fn draft(&self, name: &str) -> io::Result<SimDraft> {
        let inner = self.enter(true)?;
        if inner.crashed {
            return Err(gone());
        }
        let (opener, platter) = (self.opener, self.platter.clone());
        Ok(SimDraft { name: name.to_owned(), bytes: Vec::new(), opener, platter })
    }

    fn path(&self) -> &Path {
        &self.path
    }

    fn prepare(&self) -> io::Result<()> {
        self.enter(false).map(drop)
    }

    fn lock(&self) -> Result<(), LockError> {
        let mut inner = self.enter(false).map_err(LockError::Io)?;
        if inner.locked {
            return Err(LockError::Held("another opener of the simulated disk".into()));
        }
        inner.locked = true;
        Ok(())
    }

    fn place(&self) -> io::Result<Place> {
        Ok(self.enter(false)?.place)
    }

    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        let inner = self.enter(false)?;
        let names = inner.files.keys().filter_map(|name| match name.split_once('/') {
            Some((directory, file)) => (directory == under).then(|| file.to_owned()),
            None => under.is_empty().then(|| name.clone()),
        });
        debug_assert!(under.is_empty() || under == LOG_DIRECTORY, "there is one level only");
        Ok(names.collect())
    }

    fn read(&self, name: &str, limit: usize) -> io::Result<Option<Vec<u8>>> {
        let inner = self.enter(false)?;
        let Some(content) = inner.files.get(name) else { return Ok(None) };
        let bytes = guard(content).bytes.clone();
        if bytes.len() > limit {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{name} is longer than {limit}")));
        }
        Ok(Some(bytes))
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut inner = self.enter(true)?;
        let crashed = inner.crashed;
        if !crashed || inner.rng.one_in(2) {
            let new = Content::of(content.to_vec());
            inner.files.insert(name.to_owned(), Arc::new(Mutex::new(new)));
        }
        if crashed { Err(gone()) } else { Ok(()) }
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut inner = self.enter(true)?;
        let crashed = inner.crashed;
        if !crashed || inner.rng.one_in(2) {
            inner.files.remove(name);
        }
        if crashed { Err(gone()) } else { Ok(()) }
    }

    fn create(&self, name: &str, size: u64, header: &[u8]) -> io::Result<SimFile> {
        let mut inner = self.enter(true)?;
        if inner.full {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        let mut bytes = vec![0; size as usize];
        bytes[..header.len()].copy_from_slice(header);
        if inner.crashed {
            // Nothing, a short file, or one whose header is torn.
            if inner.rng.one_in(2) {
                bytes.truncate(inner.rng.below(size + 1) as usize);
                let torn = inner.rng.below(header.len() as u64 + 1) as usize;
                let from = torn.min(bytes.len());
                let to = header.len().min(bytes.len());
                bytes[from..to].fill(0);
                let content = Content::of_segment(header.len(), bytes);
                inner.files.insert(name.to_owned(), Arc::new(Mutex::new(content)));
            }
            return Err(gone());
        }
        let content = Content::of_segment(header.len(), bytes);
        let content = Arc::new(Mutex::new(content));
        inner.files.insert(name.to_owned(), content.clone());
        Ok(SimFile { size, opener: self.opener, platter: self.platter.clone(), content })
    }

    fn open(&self, name: &str) -> io::Result<SimFile> {
        let inner = self.enter(false)?;
        let content = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?.clone();
        let size = guard(&content).bytes.len() as u64;
        Ok(SimFile { size, opener: self.opener, platter: self.platter.clone(), content })
    }

    fn shorten(&self, name: &str, size: u64) -> io::Result<()> {
        let mut inner = self.enter(true)?;
        let crashed = inner.crashed;
        if !crashed || inner.rng.one_in(2) {
            let content = inner.files.get(name).ok_or(io::ErrorKind::NotFound)?;
            let mut content = guard(content);
            content.bytes.truncate(size as usize);
            content.end = content.end.min(size as usize);
        }
        if crashed { Err(gone()) } else { Ok(()) }
    }
}

/// One opener's handle to a segment.
pub struct SimFile {
    size: u64,
    opener: u64,
    platter: Platter,
    content: Arc<Mutex<Content>>,
}

impl File for SimFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let _inner = enter(&self.platter, self.opener, false)?;
        let content = guard(&self.content);
        let rest = content.bytes.get(offset as usize..).unwrap_or_default();
        let count = rest.len().min(into.len());
        into[..count].copy_from_slice(&rest[..count]);
        Ok(count)
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut inner = enter(&self.platter, self.opener, true)?;
        let strays = inner.misdirect_next && !inner.crashed;
        if strays && inner.misdirect(&self.content, offset as usize, bytes) {
            return Ok(());
        }
        let mut content = guard(&self.content);
        content.begin_write();
        let range = offset as usize..offset as usize + bytes.len();
        let old = content.bytes.get(range.clone()).ok_or(io::ErrorKind::UnexpectedEof)?.to_vec();
        content.end = content.end.max(range.end);
        content.bytes[range].copy_from_slice(bytes);
        content.unsynced.push(Write { offset: offset as usize, old, new: bytes.to_vec() });
        // The power went while it was written: it is among the unsynced writes, so the crash may tear it.
        if inner.crashed { Err(gone()) } else { Ok(()) }
    }

    fn sync(&self) -> io::Result<()> {
        let mut inner = enter(&self.platter, self.opener, true)?;
        if inner.crashed {
            return Err(gone());
        }
        if std::mem::take(&mut inner.fail_next_sync) {
            return Err(io::Error::other("the disk failed to sync"));
        }
        guard(&self.content).unsynced.clear();
        Ok(())
    }

    fn view(&self, offset: u64, length: usize) -> Option<Cow<'_, [u8]>> {
        let content = guard(&self.content);
        let from = usize::try_from(offset).ok()?;
        content.bytes.get(from..from.checked_add(length)?).map(|bytes| Cow::Owned(bytes.to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_crash_loses_only_what_was_not_synced() {
        let (mut lost, mut torn) = (0, 0);
        for seed in 0..200 {
            let platter = Platter::new(1, seed);
            let disk = platter.attach();
            let file = disk.create("log/1.seg", 8_192, b"head").unwrap();
            file.write_at(512, &[1; 1_500]).unwrap();
            file.sync().unwrap();
            file.write_at(3_000, &[2; 2_000]).unwrap();
            platter.crash();
            assert!(file.write_at(0, b"x").is_err(), "a handle of before the crash is dead");
            let file = platter.attach().open("log/1.seg").unwrap();
            assert_eq!(&*file.view(512, 1_500).unwrap(), [1; 1_500]);
            let kept = file.view(3_000, 2_000).unwrap().iter().filter(|&&byte| byte == 2).count();
            lost += u32::from(kept == 0);
            torn += u32::from(kept > 0 && kept < 2_000);
            assert!(file.view(5_000, 3_192).unwrap().iter().all(|&byte| byte == 0));
        }
        assert!(lost > 20 && torn > 20, "{lost} lost, {torn} torn");
    }

    #[test]
    fn a_killed_process_loses_nothing_that_was_written() {
        let platter = Platter::new(1, 1);
        let disk = platter.attach();
        disk.lock().unwrap();
        assert!(matches!(disk.lock(), Err(LockError::Held(_))));
        disk.create("log/1.seg", 64, b"head").unwrap().write_at(8, b"body").unwrap();
        platter.kill_process();
        let disk = platter.attach();
        disk.lock().unwrap();
        assert_eq!(disk.list(LOG_DIRECTORY).unwrap(), ["1.seg"]);
        assert_eq!(&*disk.open("log/1.seg").unwrap().view(0, 12).unwrap(), b"head\0\0\0\0body");
    }

    #[test]
    fn the_operation_in_which_the_power_goes_fails_and_so_do_all_after_it() {
        let platter = Platter::new(1, 3);
        let disk = platter.attach();
        let file = disk.create("log/1.seg", 64, b"head").unwrap();
        platter.crash_after(1);
        file.write_at(8, b"one").unwrap();
        assert!(file.sync().is_err());
        assert!(platter.is_crashed());
        assert!(disk.replace("identity", b"x").is_err());
        platter.crash();
        assert!(platter.attach().read("identity", 100).unwrap().is_none());
    }
}
