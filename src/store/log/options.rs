//! How a log is opened.

use core::time::Duration;

use crate::proto::keys::Key;
use crate::store::directory::OpenError;
use crate::store::disk::Disk;
use crate::store::segment;
use crate::store::staging;

/// Who carries out what may wait for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum WorkerMode {
    /// A thread of ours, named `quorate-log`, with all signals blocked.
    #[default]
    Thread,
    /// Nobody, until [`LogStore::disk_step`](super::LogStore::disk_step) or
    /// [`DiskWorker::disk_step`](super::DiskWorker::disk_step) is called.
    Host,
}

/// How to open a [`LogStore`](super::LogStore).
#[derive(Clone, Debug)]
pub struct LogOptions {
    /// Partitions of the cluster, as [`Config::check`](crate::proto::config::Config::check) allows them.
    /// A directory keeps what it was created with.
    pub partitions: u32,
    /// The cluster's hash key: positions are computed from it, they are not stored.
    pub hash_key: Key,
    /// Size of new segments in bytes: a multiple of [`SEGMENT_SIZE_STEP`](crate::store::SEGMENT_SIZE_STEP)
    /// from [`SEGMENT_SIZE_MIN`](crate::store::SEGMENT_SIZE_MIN) to
    /// [`SEGMENT_SIZE_MAX`](crate::store::SEGMENT_SIZE_MAX).
    pub segment_size: u64,
    /// Bytes that may wait in the staging buffer; half of it may be exceeded by one larger record.
    pub staging_limit: usize,
    /// Who waits for the disk.
    pub worker: WorkerMode,
    /// The hybrid timestamp of the moment, if the caller knows it: the first lease on timestamps is taken
    /// with the opening then. 0 if not.
    pub hlc_now: u64,
    /// Whether room that overwritten records take is given back. Without it the log only grows.
    pub compaction: bool,
    /// A checkpoint is written after so many bytes of log, which bounds what a restart replays.
    pub checkpoint_bytes: u64,
    /// And after this time, if anything changed.
    pub checkpoint_interval: Duration,
    /// Bytes of the index that one turn copies for it, about, unless one shard is larger.
    pub checkpoint_share: usize,
    /// The time in which every record is re-read once, and every hash tree compared with its records.
    pub scrub_interval: Duration,
    /// Bytes of the newest log that compaction leaves alone while it can keep its bound elsewhere, for
    /// those who follow the changes.
    pub retention_bytes: u64,
    /// Bytes of memory beyond which no new keys are taken.
    pub memory_max: u64,
}

impl LogOptions {
    /// The defaults: segments of 64 MiB, 8 MiB of staging, a thread of ours, a checkpoint each 256 MiB or
    /// minute, a scrub each week, no ceiling on memory.
    pub fn new(partitions: u32, hash_key: Key) -> LogOptions {
        LogOptions {
            partitions,
            hash_key,
            segment_size: segment::SIZE_DEFAULT,
            staging_limit: staging::LIMIT_DEFAULT,
            worker: WorkerMode::Thread,
            hlc_now: 0,
            compaction: true,
            checkpoint_bytes: 256 << 20,
            checkpoint_interval: Duration::from_secs(60),
            checkpoint_share: 128 << 10,
            scrub_interval: Duration::from_secs(7 * 24 * 3_600),
            retention_bytes: segment::SIZE_DEFAULT,
            memory_max: u64::MAX,
        }
    }

    /// Refuses what is not possible.
    pub(super) fn check<D: Disk>(&self, disk: &D) -> Result<(), OpenError> {
        let sizes = segment::SIZE_MIN..=segment::SIZE_MAX;
        let size = self.segment_size;
        if sizes.contains(&size) && size.is_multiple_of(segment::SIZE_STEP) {
            return Ok(());
        }
        let problem = format!("segments of {size} bytes are not possible");
        Err(OpenError::Settings { path: disk.path().to_owned(), problem })
    }
}
