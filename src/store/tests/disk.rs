//! A disk in memory that keeps its promises and nothing more: a crash loses, tears and reorders what was
//! not synced. It can be told to fail syncs, to be full, and to hold any bytes.
//!
//! Each operation goes the same way as on the real disk, one system call after the other:
//!
//! ```text
//!  create    made, empty ─► allocated ─► header written ─► synced ─► directory synced
//!  draft     temporary made, empty ─► written ─► synced ─► renamed ─► directory synced
//!  replace   temporary, which was the content before the last, written over ─► synced ─► names exchanged
//!            ─► directory synced
//!  remove    unlinked ─► directory synced             shorten   cut ─► synced
//! ```
//!
//! Before each of them it can record an *image*: what a stop right there leaves. A process that is killed
//! leaves what was done so far, and what was not synced of it stays unsynced; power that is lost may also
//! undo each change of a directory that was not synced.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::proto::rng::Rng;
use crate::store::disk::{Disk, Draft, File, LockError, Place};

/// A sector is written as a whole or not at all, unless it is torn.
const SECTOR: usize = 512;

/// What the name of a file that is being written ends with.
const TEMPORARY: &str = ".tmp";

#[derive(Clone)]
pub struct TestDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Clone, Default)]
struct Files {
    small: BTreeMap<String, Vec<u8>>,
    segments: BTreeMap<String, Content>,
    loose: Vec<Loose>,
    place: Place,
}

#[derive(Default)]
pub struct State {
    /// Small files: durable, but for those that are being written.
    pub small: BTreeMap<String, Vec<u8>>,
    pub segments: BTreeMap<String, Content>,
    /// Changes of directories that were not synced, in order.
    loose: Vec<Loose>,
    /// What a stop between any two steps would have left, if that is recorded.
    images: Option<Vec<Image>>,
    /// Syncs that succeed before one fails.
    pub syncs_left: Option<u64>,
    /// Segments that may still be created.
    pub creations_left: Option<u64>,
    /// Drafts find no room.
    pub are_drafts_full: bool,
    pub place: Place,
    /// The next sync waits for a word on it.
    pub gate: Option<Receiver<()>>,
    /// Operations carried out, for tests that count them.
    pub syncs: u64,
    pub writes: u64,
}

/// A name that may come to stand for what it stood for before.
#[derive(Clone)]
struct Loose {
    name: String,
    before: Before,
}

#[derive(Clone)]
enum Before {
    Small(Option<Vec<u8>>),
    Segment(Option<Content>),
}

/// What a stop leaves that comes right before a step.
pub struct Image {
    /// The step.
    pub before: &'static str,
    files: Files,
}

#[derive(Clone, Default)]
pub struct Content {
    /// What reads see.
    pub current: Vec<u8>,
    /// What a crash leaves for sure.
    pub durable: Vec<u8>,
    pub pending: Vec<(usize, Vec<u8>)>,
}

pub struct TestFile {
    state: Arc<Mutex<State>>,
    name: String,
    size: u64,
}

impl TestDisk {
    pub fn new() -> TestDisk {
        TestDisk { state: Arc::default() }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// What stands on the disk after the machine lost power: of every unsynced write any sectors, and of
    /// the unsynced changes of directories any.
    pub fn crash(&self, rng: &mut Rng) -> TestDisk {
        TestDisk::holding(self.state().files().after_crash(rng))
    }

    /// What stands on the disk after the process was killed: everything.
    pub fn kill(&self) -> TestDisk {
        TestDisk::holding(self.state().files())
    }

    fn holding(files: Files) -> TestDisk {
        let Files { small, segments, loose, place } = files;
        let state = State { small, segments, loose, place, ..State::default() };
        TestDisk { state: Arc::new(Mutex::new(state)) }
    }

    /// Records an image before each step from now on.
    pub fn record(&self) {
        self.state().images.get_or_insert_default();
    }

    /// The images since the last call.
    pub fn take_images(&self) -> Vec<Image> {
        self.state().images.as_mut().map(core::mem::take).unwrap_or_default()
    }

    /// Changes a segment's bytes behind everybody's back.
    pub fn change(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let content = state.segments.get_mut(name).unwrap();
        change(&mut content.current);
        content.durable = content.current.clone();
        content.pending.clear();
    }
}

impl Image {
    pub fn crash(&self, rng: &mut Rng) -> TestDisk {
        TestDisk::holding(self.files.clone().after_crash(rng))
    }

    pub fn kill(&self) -> TestDisk {
        TestDisk::holding(self.files.clone())
    }
}

impl Files {
    fn after_crash(mut self, rng: &mut Rng) -> Files {
        while let Some(Loose { name, before }) = self.loose.pop() {
            if rng.one_in(2) {
                continue;
            }
            match before {
                Before::Small(Some(bytes)) => drop(self.small.insert(name, bytes)),
                Before::Small(None) => drop(self.small.remove(&name)),
                Before::Segment(Some(content)) => drop(self.segments.insert(name, content)),
                Before::Segment(None) => drop(self.segments.remove(&name)),
            }
        }
        for content in self.segments.values_mut() {
            content.crash(rng);
        }
        for (_, bytes) in self.small.iter_mut().filter(|(name, _)| name.ends_with(TEMPORARY)) {
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
        }
        self
    }
}

impl Content {
    fn crash(&mut self, rng: &mut Rng) {
        let (one, other) = (self.durable.len(), self.current.len());
        let length = match rng.below(3) {
            0 => one,
            1 => other,
            // A file that grows may have any length; one that is cut, the old or the new one.
            _ => one.max(other.min(one + rng.below(other.saturating_sub(one) as u64 + 1) as usize)),
        };
        self.durable.resize(length, 0);
        for (offset, bytes) in core::mem::take(&mut self.pending) {
            let bytes = &bytes[..bytes.len().min(length.saturating_sub(offset))];
            let mut at = 0;
            while at < bytes.len() {
                let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                let end_kept = match rng.below(4) {
                    0 => at,
                    1 => at + rng.below((end - at) as u64 + 1) as usize,
                    _ => end,
                };
                self.durable[offset + at..offset + end_kept].copy_from_slice(&bytes[at..end_kept]);
                at = end;
            }
        }
        self.current = self.durable.clone();
    }
}

impl State {
    fn files(&self) -> Files {
        Files {
            small: self.small.clone(),
            segments: self.segments.clone(),
            loose: self.loose.clone(),
            place: self.place,
        }
    }

    /// The next system call.
    fn step(&mut self, before: &'static str) {
        let Some(mut images) = self.images.take() else { return };
        images.push(Image { before, files: self.files() });
        self.images = Some(images);
    }

    /// Notes that a name is going to stand for something else.
    fn loosen(&mut self, name: &str) {
        let before = match is_segment(name) {
            true => Before::Segment(self.segments.get(name).cloned()),
            false => Before::Small(self.small.get(name).cloned()),
        };
        self.loose.push(Loose { name: name.to_owned(), before });
    }

    fn sync_directory_of(&mut self, name: &str) {
        self.step("the sync of a directory");
        self.loose.retain(|loose| is_segment(&loose.name) != is_segment(name));
    }

    /// Writes over the content before the last. If the names that it changed with the last one are not
    /// synced, a crash can make it the content again: then what is written here stands there.
    fn write_over(&mut self, name: &str, content: &[u8]) {
        let temporary = format!("{name}{TEMPORARY}");
        if !self.small.contains_key(&temporary) {
            self.make_temporary(name);
        }
        self.step("a write to a temporary file");
        for loose in self.loose.iter_mut().filter(|loose| loose.name == name) {
            if let Before::Small(Some(before)) = &mut loose.before {
                *before = content[..content.len() / 2].to_vec();
            }
        }
        self.small.insert(temporary, content.to_vec());
        self.step("the sync of a temporary file");
    }

    /// Lets a small file and its temporary one change names, or gives the one that is there both in turn.
    fn exchange(&mut self, name: &str) {
        let temporary = format!("{name}{TEMPORARY}");
        self.step("an exchange");
        self.loosen(&temporary);
        self.loosen(name);
        let (one, other) = (self.small.remove(name), self.small.remove(&temporary));
        // Where there was none, room is kept.
        self.small.insert(temporary, one.unwrap_or_else(|| vec![0; 8]));
        self.small.extend(other.map(|bytes| (name.to_owned(), bytes)));
        self.sync_directory_of(name);
    }

    /// Puts a temporary file, which is synced, in its place.
    fn rename_temporary(&mut self, name: &str) {
        let temporary = format!("{name}{TEMPORARY}");
        self.step("a rename");
        self.loosen(&temporary);
        self.loosen(name);
        if let Some(bytes) = self.small.remove(&temporary) {
            self.small.insert(name.to_owned(), bytes);
        }
        self.sync_directory_of(name);
    }

    fn make_temporary(&mut self, name: &str) {
        let temporary = format!("{name}{TEMPORARY}");
        self.step("a temporary file");
        self.loosen(&temporary);
        self.small.insert(temporary, Vec::new());
    }

    fn write_temporary(&mut self, name: &str, bytes: &[u8]) {
        self.step("a write to a temporary file");
        self.small.entry(format!("{name}{TEMPORARY}")).or_default().extend_from_slice(bytes);
    }
}

/// Whether a file lies in the directory of segments.
fn is_segment(name: &str) -> bool {
    name.starts_with("log/")
}

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

pub struct TestDraft {
    state: Arc<Mutex<State>>,
    name: String,
    is_committed: bool,
}

impl Draft for TestDraft {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        if state.are_drafts_full {
            return Err(io::Error::from(io::ErrorKind::StorageFull));
        }
        state.write_temporary(&self.name, bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.state.lock().unwrap().step("the sync of a draft");
        Ok(())
    }

    fn commit(mut self) -> io::Result<()> {
        self.is_committed = true;
        let mut state = self.state.lock().unwrap();
        state.step("the sync of a draft");
        state.rename_temporary(&self.name);
        Ok(())
    }
}

impl Drop for TestDraft {
    fn drop(&mut self) {
        if !self.is_committed {
            let temporary = format!("{}{TEMPORARY}", self.name);
            // A test that fails may hold the state.
            let Ok(mut state) = self.state.lock() else { return };
            state.loosen(&temporary);
            state.small.remove(&temporary);
        }
    }
}

impl Disk for TestDisk {
    type File = TestFile;
    type Draft = TestDraft;

    fn draft(&self, name: &str) -> io::Result<TestDraft> {
        self.state().make_temporary(name);
        Ok(TestDraft { state: Arc::clone(&self.state), name: name.to_owned(), is_committed: false })
    }

    fn path(&self) -> &Path {
        Path::new("test")
    }

    fn prepare(&self) -> io::Result<()> {
        let mut state = self.state();
        state.sync_directory_of("log/");
        state.sync_directory_of("");
        Ok(())
    }

    fn lock(&self) -> Result<(), LockError> {
        Ok(())
    }

    fn place(&self) -> io::Result<Place> {
        Ok(self.state().place)
    }

    fn list(&self, under: &str) -> io::Result<Vec<String>> {
        let state = self.state();
        Ok(match under {
            "" => state.small.keys().cloned().collect(),
            _ => state.segments.keys().map(|name| name.trim_start_matches("log/").to_owned()).collect(),
        })
    }

    fn read(&self, name: &str, _limit: usize) -> io::Result<Option<Vec<u8>>> {
        Ok(self.state().small.get(name).cloned())
    }

    fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let mut state = self.state();
        state.write_over(name, content);
        state.exchange(name);
        Ok(())
    }

    fn retire(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if state.small.contains_key(name) {
            let temporary = format!("{name}{TEMPORARY}");
            state.step("a rename");
            state.loosen(&temporary);
            state.loosen(name);
            let bytes = state.small.remove(name).expect("it was just there");
            state.small.insert(temporary, bytes);
            state.sync_directory_of(name);
        }
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        if !state.small.contains_key(name) && !state.segments.contains_key(name) {
            return Ok(());
        }
        state.step("an unlink");
        state.loosen(name);
        state.small.remove(name);
        state.segments.remove(name);
        state.sync_directory_of(name);
        Ok(())
    }

    fn create(&self, name: &str, size: u64, header: &[u8]) -> io::Result<TestFile> {
        let mut state = self.state();
        if let Some(left) = &mut state.creations_left {
            *left = left.checked_sub(1).ok_or(io::Error::from(io::ErrorKind::StorageFull))?;
        }
        state.step("a creation");
        state.loosen(name);
        state.segments.insert(name.to_owned(), Content::default());
        state.step("an allocation");
        let mut content = Content { current: vec![0; size as usize], ..Content::default() };
        state.segments.insert(name.to_owned(), content.clone());
        state.step("the write of a header");
        content.current[..header.len()].copy_from_slice(header);
        content.pending.push((0, header.to_vec()));
        state.segments.insert(name.to_owned(), content.clone());
        state.step("the sync of a segment");
        content.durable = content.current.clone();
        content.pending.clear();
        state.segments.insert(name.to_owned(), content);
        state.sync_directory_of(name);
        Ok(TestFile { state: Arc::clone(&self.state), name: name.to_owned(), size })
    }

    fn room(&self) -> u64 {
        self.state().creations_left.map_or(u64::MAX, |left| left * crate::store::segment::SIZE_MIN)
    }

    fn open(&self, name: &str) -> io::Result<TestFile> {
        let state = self.state();
        let small = || state.small.get(name).map(Vec::len);
        let size = state.segments.get(name).map(|content| content.current.len()).or_else(small);
        let size = size.ok_or_else(not_found)? as u64;
        drop(state);
        Ok(TestFile { state: Arc::clone(&self.state), name: name.to_owned(), size })
    }

    fn shorten(&self, name: &str, size: u64) -> io::Result<()> {
        let mut state = self.state();
        state.step("a cut");
        let content = state.segments.get_mut(name).ok_or_else(not_found)?;
        content.current.truncate(size as usize);
        state.step("the sync of a cut");
        let content = state.segments.get_mut(name).ok_or_else(not_found)?;
        content.durable = content.current.clone();
        content.pending.clear();
        Ok(())
    }
}

impl TestFile {
    fn with<T>(&self, work: impl FnOnce(&mut Content) -> T) -> io::Result<T> {
        let mut state = self.state.lock().unwrap();
        state.segments.get_mut(&self.name).map(work).ok_or_else(not_found)
    }
}

impl File for TestFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read_at(&self, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        if let Some(bytes) = self.state.lock().unwrap().small.get(&self.name) {
            let rest = bytes.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            return Ok(count);
        }
        self.with(|content| {
            let rest = content.current.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            count
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.writes += 1;
        state.step("a write");
        drop(state);
        self.with(|content| {
            let at = offset as usize;
            assert!(at + bytes.len() <= content.current.len(), "written behind the end");
            assert!(content.current[at..at + bytes.len()].iter().all(|&byte| byte == 0), "written twice");
            content.current[at..at + bytes.len()].copy_from_slice(bytes);
            content.pending.push((at, bytes.to_vec()));
        })
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap();
        state.syncs += 1;
        if let Some(left) = &mut state.syncs_left {
            *left = left.checked_sub(1).ok_or(io::Error::other("the disk failed a sync"))?;
        }
        state.step("a sync");
        let gate = state.gate.take();
        let covered = state.segments.get(&self.name).ok_or_else(not_found)?.current.clone();
        drop(state);
        if let Some(gate) = gate {
            gate.recv().map_err(io::Error::other)?;
        }
        self.with(|content| {
            // What was written meanwhile is not covered.
            content.pending.retain(|(at, bytes)| covered.get(*at..*at + bytes.len()) != Some(&bytes[..]));
            content.durable = covered;
        })
    }

    fn view(&self, offset: u64, length: usize) -> Option<Cow<'_, [u8]>> {
        let end = (offset as usize).checked_add(length)?;
        self.with(|content| content.current.get(offset as usize..end).map(<[u8]>::to_vec))
            .ok()?
            .map(Cow::Owned)
    }
}
