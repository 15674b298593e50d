//! A clean stop.

use super::{LogStore, Runner};
use crate::proto::store::Durability;
use crate::store::directory::Leases;
use crate::store::directory::{self, CLEAN, IDENTITY};
use crate::store::disk::Disk;

/// Why a clean close did not happen. The next opening counts as after an unclean stop.
#[derive(Debug)]
pub enum CloseError {
    /// A write or a sync has failed, now or before.
    Failed,
    /// Something could not be written for want of room.
    Full,
    /// The marker could not be written.
    Io(std::io::Error),
}

impl core::fmt::Display for CloseError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            CloseError::Failed => f.write_str("a write or a sync of the log failed"),
            CloseError::Full => f.write_str("the disk is full; the last records were not written"),
            CloseError::Io(error) => write!(f, "the clean marker could not be written: {error}"),
        }
    }
}

impl std::error::Error for CloseError {}

impl<D: Disk> LogStore<D> {
    /// Writes and syncs everything and a checkpoint, then leaves the marker of a clean stop. Waits for the
    /// disk. Afterwards the store can be read until it is dropped; puts are refused as
    /// [`StoreError::ReadOnly`](crate::proto::store::StoreError::ReadOnly).
    ///
    /// # Errors
    /// The store is closed, but not cleanly.
    pub fn close(&mut self) -> Result<(), CloseError> {
        if core::mem::replace(&mut self.is_closed, true) {
            return Ok(());
        }
        self.bring_forward(Durability::Always);
        self.shared.retry();
        self.shared.stop(true);
        match &mut self.runner {
            Runner::Thread(thread) => {
                if thread.take().is_some_and(|thread| thread.join().is_err()) {
                    return Err(CloseError::Failed);
                }
            }
            Runner::Host(worker) => {
                let mut worker = worker.lock().map_err(|_| CloseError::Failed)?;
                while worker.step() {}
            }
        }
        if self.shared.marks().failed {
            return Err(CloseError::Failed);
        }
        let durable = self.shared.durable_mark();
        if !self.shared.is_drained() || durable.sequence < self.last {
            return Err(CloseError::Full);
        }
        self.absorb();
        // A restart without it takes longer, and nothing else.
        if let Err(error) = self.checkpoint_now() {
            self.counters.note_checkpoint(&error);
        }
        // Nothing beyond these was issued, so the next opening need not leave a gap.
        self.record.leases =
            Leases { epoch_end: self.next_epoch, sequence_end: self.last.0 + 1, hlc_bound: self.hlc_used };
        self.disk.replace(IDENTITY, &self.record.bytes()).map_err(CloseError::Io)?;
        self.disk.replace(CLEAN, &directory::clean_bytes(&durable)).map_err(CloseError::Io)
    }
}
