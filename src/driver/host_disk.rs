//! Disk work of a node whose host wants no thread of ours: the host carries it out, one operation at a time, on a thread
//! of its choice.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::store::{DiskWorker, FileDisk};

/// One file to be written.
type Errand = Box<dyn FnOnce() + Send>;

/// Work at the disk that is nobody's but the loop's: small files.
#[derive(Clone, Default)]
pub(super) struct Errands(Arc<Mutex<VecDeque<Errand>>>);

impl Errands {
    fn queue(&self) -> MutexGuard<'_, VecDeque<Errand>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, errand: Errand) {
        self.queue().push_back(errand);
    }

    /// Carries one out; false if there is none.
    pub(super) fn step(&self) -> bool {
        let next = self.queue().pop_front();
        next.map(|errand| errand()).is_some()
    }
}

/// What the host carries out. It may be used by another thread than the loop, and keeps the directory locked.
pub struct HostDisk {
    pub(super) workers: Vec<DiskWorker<FileDisk>>,
    pub(super) errands: Errands,
}

impl HostDisk {
    /// Carries out at most one operation of each log, and one small file, however long that takes; false if there was
    /// nothing to do. The loop is to turn after it.
    pub fn step(&self) -> bool {
        let mut did = self.errands.step();
        for worker in &self.workers {
            did |= worker.disk_step();
        }
        did
    }
}
