//! A backup while the store runs: the checkpoint, the manifest and every segment get a second name in
//! another directory of the same file system; what is still written to is copied, up to where it is durable.
//!
//! The worker does it between writes and syncs of the log, and removes and renames nothing meanwhile. What
//! the backup holds is what a power cut at its end would leave; restoring it is an opening like after one,
//! with a new generation.

use std::path::{Path, PathBuf};

use super::LogStore;
use super::segments::State as SegmentState;
use crate::proto::store::{Note, Store as _};
use crate::store::checkpoint::CHECKPOINT;
use crate::store::directory::{FORMAT, IDENTITY, MANIFEST, MEMBERS};
use crate::store::disk::Disk;
use crate::store::inspect::copy::make_target;
use crate::store::notes::file_name;
use crate::store::segment::HEADER_LENGTH;
use crate::store::upkeep::{Backup, Upkeep};

/// The length of a file that is copied to its end.
const WHOLE: u64 = u64::MAX;

/// Whether one is under way, and how the last one ended.
#[derive(Debug, Default)]
pub struct State {
    is_running: bool,
    result: Option<Result<(), String>>,
}

impl State {
    pub(super) fn ended(&mut self, result: Result<(), String>) {
        self.is_running = false;
        self.result = Some(result);
    }
}

impl<D: Disk> LogStore<D> {
    /// Begins a backup to a directory that does not exist yet, on the same file system, but not inside the
    /// data directory. What is durable now will be in it. `also` names files of the data directory that go
    /// with it. [`LogStore::backup_result`] tells how it ended; the host is woken then.
    ///
    /// # Errors
    /// What is wrong with the directory, or that another backup is under way; nothing was begun.
    pub fn begin_backup(&mut self, directory: &Path, also: &[&str]) -> Result<(), String> {
        if self.backup.is_running {
            return Err("another backup is under way".to_owned());
        }
        if self.is_closed || self.shared.marks().failed {
            return Err(
                "the store is read-only: stop the node, and make the backup of its directory".to_owned()
            );
        }
        if !self.compaction.unwritten.is_empty() {
            return Err("the manifest could not be written: is there room on the disk?".to_owned());
        }
        make_target(self.disk.path(), directory, true)?;
        self.absorb();
        let durable = self.shared.durable_mark();
        let mut files = std::collections::VecDeque::new();
        // A checkpoint that is replaced meanwhile is another file: what is linked here stays as it is. It
        // comes first, so that no segment that it names has gone.
        if self.checkpointing.standing_id().is_some() {
            files.push_back((CHECKPOINT.to_owned(), None));
        }
        // Small files are written over in place.
        files.extend([MANIFEST, IDENTITY].iter().chain(also).map(|name| ((*name).to_owned(), Some(WHOLE))));
        if !self.members.is_empty() {
            files.push_back((MEMBERS.to_owned(), Some(WHOLE)));
        }
        if !self.notes.content(Note::Topology).is_empty() && self.is_kept(Note::Topology) {
            files.push_back((file_name(Note::Topology).to_owned(), Some(WHOLE)));
        }
        for (_, entry) in self.segments.iter().filter(|(_, entry)| entry.segment.is_some()) {
            let (number, name) = (entry.plan.number, entry.plan.name());
            let is_compacted = entry.plan.is_compacted;
            match entry.state {
                // Copies that are durable, whether or not their originals have gone: the manifest may name
                // them already.
                SegmentState::Output if entry.end != u64::MAX => files.push_back((name, None)),
                SegmentState::Output | SegmentState::Leaving => {}
                SegmentState::Emptied(_) | SegmentState::Left if is_compacted || number < durable.number => {
                    files.push_back((name, None));
                }
                _ if number == durable.number => files.push_back((name, Some(durable.offset))),
                // Nothing in it is durable; but manifest and checkpoint may know that it is there.
                _ => files.push_back((name, Some(HEADER_LENGTH as u64))),
            }
        }
        // Without it a directory is no data directory: it is there once everything else is.
        files.push_back((FORMAT.to_owned(), Some(WHOLE)));
        self.backup = State { is_running: true, result: None };
        self.shared.keep_up(Upkeep::Backup(Backup { directory: PathBuf::from(directory), files }));
        Ok(())
    }

    /// How the last backup ended, once.
    pub fn backup_result(&mut self) -> Option<Result<(), String>> {
        self.absorb();
        self.backup.result.take()
    }
}
