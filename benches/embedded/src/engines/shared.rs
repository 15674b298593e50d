//! Our store behind a lock, for threads that commit at the same time: each puts, asks for a sync and
//! sleeps until the durable mark has passed its record. So one sync serves all that were put before it.
//!
//! The worker cannot read the marks for the sleepers, and wakes one of them; that one reads them and
//! wakes the others if they have moved.

use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

use super::quorate::{DEFAULTS, Durability, Log, Sequence};
use crate::engine::{Engine, Found};
use crate::workload::Key;

/// Turns that background work gets at most before other callers are let in.
const TURNS_OF_REST: usize = 100;

/// A log and who waits for it.
pub struct Shared {
    log: Mutex<Log>,
    progress: Arc<Progress>,
}

struct Progress {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The marks may have moved since somebody read them.
    is_stale: bool,
    durable: Sequence,
}

impl Shared {
    /// Opens or creates it.
    pub fn open(directory: &Path) -> Shared {
        let progress = Arc::new(Progress { state: Mutex::default(), changed: Condvar::new() });
        let woken = Arc::clone(&progress);
        let wake = move || {
            woken.state().is_stale = true;
            woken.changed.notify_one();
        };
        Shared { log: Mutex::new(Log::open(directory, DEFAULTS, Box::new(wake))), progress }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().expect("no other writer has panicked")
    }

    fn wait(&self, sequence: Sequence) {
        let progress = &self.progress;
        let mut state = progress.state();
        while state.durable < sequence {
            if !std::mem::take(&mut state.is_stale) {
                state = progress.changed.wait(state).expect("no other writer has panicked");
                continue;
            }
            drop(state);
            let durable = self.log().durable();
            state = progress.state();
            if durable > state.durable {
                state.durable = durable;
                progress.changed.notify_all();
            }
        }
        // What woke this one may have been meant for another.
        if state.is_stale {
            progress.changed.notify_one();
        }
    }
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no other writer has panicked")
    }
}

impl Engine for Shared {
    fn write(&self, pairs: &[(Key, &[u8])]) {
        let mut log = self.log();
        for (key, value) in pairs {
            log.put(key, value);
        }
        log.flush(Durability::Interval);
        log.maintain();
    }

    fn commit(&self, key: &Key, value: &[u8]) {
        let mut log = self.log();
        let sequence = log.put(key, value);
        log.flush(Durability::Always);
        log.maintain();
        drop(log);
        self.wait(sequence);
    }

    fn get(&self, keys: &mut dyn Iterator<Item = Key>, found: Found<'_>) {
        let log = self.log();
        for key in keys {
            log.get(&key, found);
        }
    }

    fn get_batch(&self, keys: &[Key], found: Found<'_>) -> bool {
        self.log().get_batch(keys, found)
    }

    fn scan(&self) -> u64 {
        self.log().scan()
    }

    fn settle(&self) {
        self.log().settle();
    }

    fn rest(&self) {
        let mut log = self.log();
        let mut turns = 0..TURNS_OF_REST;
        while log.is_due() && turns.next().is_some() {
            log.maintain();
        }
    }

    fn close(self: Box<Self>) {
        self.log.into_inner().expect("no writer has panicked").close();
    }
}
