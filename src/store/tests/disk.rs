//! A disk in memory that keeps its promises and nothing more: a crash loses, tears and reorders what was
//! not synced. It can be told to fail syncs, to be full, and to hold any bytes.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::proto::rng::Rng;
use crate::store::disk::{Disk, File, LockError, Place};

/// A sector is written as a whole or not at all, unless it is torn.
const SECTOR: usize = 512;

#[derive(Clone)]
pub struct TestDisk {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
pub struct State {
    /// Small files: always durable.
    pub small: BTreeMap<String, Vec<u8>>,
    pub segments: BTreeMap<String, Content>,
    /// Syncs that succeed before one fails.
    pub syncs_left: Option<u64>,
    /// Segments that may still be created.
    pub creations_left: Option<u64>,
    pub place: Place,
    /// The next sync waits for a word on it.
    pub gate: Option<Receiver<()>>,
    /// Operations carried out, for tests that count them.
    pub syncs: u64,
    pub writes: u64,
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

    /// What stands on the disk after the machine lost power: of every unsynced write any sectors.
    pub fn crash(&self, rng: &mut Rng) -> TestDisk {
        let state = self.state();
        let mut segments = state.segments.clone();
        for content in segments.values_mut() {
            for (offset, bytes) in core::mem::take(&mut content.pending) {
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min(at + SECTOR - (offset + at) % SECTOR);
                    let end_kept = match rng.below(4) {
                        0 => at,
                        1 => at + rng.below((end - at) as u64 + 1) as usize,
                        _ => end,
                    };
                    content.durable[offset + at..offset + end_kept].copy_from_slice(&bytes[at..end_kept]);
                    at = end;
                }
            }
            content.current = content.durable.clone();
        }
        TestDisk::holding(state.small.clone(), segments, state.place)
    }

    /// What stands on the disk after the process was killed: everything.
    pub fn kill(&self) -> TestDisk {
        let state = self.state();
        TestDisk::holding(state.small.clone(), state.segments.clone(), state.place)
    }

    fn holding(
        small: BTreeMap<String, Vec<u8>>,
        segments: BTreeMap<String, Content>,
        place: Place,
    ) -> TestDisk {
        let state = State { small, segments, place, ..State::default() };
        TestDisk { state: Arc::new(Mutex::new(state)) }
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

fn not_found() -> io::Error {
    io::Error::from(io::ErrorKind::NotFound)
}

impl Disk for TestDisk {
    type File = TestFile;

    fn path(&self) -> &Path {
        Path::new("test")
    }

    fn prepare(&self) -> io::Result<()> {
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
        self.state().small.insert(name.to_owned(), content.to_vec());
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.small.remove(name);
        state.segments.remove(name);
        Ok(())
    }

    fn create(&self, name: &str, size: u64, header: &[u8]) -> io::Result<TestFile> {
        let mut state = self.state();
        if let Some(left) = &mut state.creations_left {
            *left = left.checked_sub(1).ok_or(io::Error::from(io::ErrorKind::StorageFull))?;
        }
        let mut bytes = vec![0; size as usize];
        bytes[..header.len()].copy_from_slice(header);
        let content = Content { current: bytes.clone(), durable: bytes, pending: Vec::new() };
        state.segments.insert(name.to_owned(), content);
        Ok(TestFile { state: Arc::clone(&self.state), name: name.to_owned(), size })
    }

    fn open(&self, name: &str) -> io::Result<TestFile> {
        let size = self.state().segments.get(name).ok_or_else(not_found)?.current.len() as u64;
        Ok(TestFile { state: Arc::clone(&self.state), name: name.to_owned(), size })
    }

    fn shorten(&self, name: &str, size: u64) -> io::Result<()> {
        self.change(name, |bytes| bytes.truncate(size as usize));
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
        self.with(|content| {
            let rest = content.current.get(offset as usize..).unwrap_or_default();
            let count = rest.len().min(into.len());
            into[..count].copy_from_slice(&rest[..count]);
            count
        })
    }

    fn write_at(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.state.lock().unwrap().writes += 1;
        self.with(|content| {
            let at = offset as usize;
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
        let gate = state.gate.take();
        let covered = state.segments.get(&self.name).ok_or_else(not_found)?.current.clone();
        drop(state);
        if let Some(gate) = gate {
            gate.recv().map_err(io::Error::other)?;
        }
        self.with(|content| {
            // What was written meanwhile is not covered.
            content.pending.retain(|(at, bytes)| covered[*at..*at + bytes.len()] != bytes[..]);
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
