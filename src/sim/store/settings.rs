//! What a run of the store world is drawn with. As in the cluster's profiles, each kind of fault is switched
//! on or off first: many runs in which a few things happen often show more than one in which everything does.

use core::time::Duration;

use super::super::rot::Rot;
use crate::proto::keys::Key;
use crate::proto::rng::Rng;
use crate::store::{LogOptions, SEGMENT_SIZE_MIN, WorkerMode};

/// The hash key of every run.
pub const HASH_KEY: Key = Key([7; 16]);

/// See the head of this file.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Steps of a run.
    pub steps: u64,
    /// Keys that are written.
    pub keys: usize,
    /// Partitions.
    pub partitions: u32,
    /// Bytes of a segment.
    pub segment_bytes: u64,
    /// How the log is opened.
    pub options: LogOptions,
    /// One step in so many is a stop.
    pub stop_one_in: u64,
    /// One stop in so many loses the checkpoint.
    pub lost_checkpoint_one_in: u64,
    /// One put in so many is longer than a segment, about.
    pub long_one_in: u64,
    /// One step in so many drops a partition.
    pub drop_one_in: u64,
    /// One step in so many fills the disk for a while.
    pub full_one_in: u64,
    /// One step in so many lets the next sync fail.
    pub failed_sync_one_in: u64,
    /// One step in so many lets the power go in the middle of a disk operation.
    pub crash_in_disk_one_in: u64,
    /// One step in so many lets something rot.
    pub rot_one_in: u64,
    /// What rots.
    pub rots: Vec<Rot>,
}

impl Settings {
    /// Draws the settings of a run.
    pub fn draw(rng: &mut Rng) -> Settings {
        let segment_bytes = SEGMENT_SIZE_MIN << rng.below(3);
        let partitions = 1 << rng.below(4);
        let mut on = |one_in: u64, rate: u64| if rng.one_in(one_in) { rate } else { 0 };
        let (drop_one_in, full_one_in, failed_sync_one_in) = (on(2, 300), on(3, 700), on(4, 900));
        let (crash_in_disk_one_in, long_one_in, rot_one_in) = (on(3, 400), on(2, 80), on(2, 250));
        let mut rots = vec![Rot::Bits, Rot::Sectors, Rot::SmallFile, Rot::Misdirected];
        rots.retain(|_| rng.one_in(2));
        let rot_one_in = if rots.is_empty() { 0 } else { rot_one_in };
        let options = LogOptions {
            segment_size: segment_bytes,
            worker: WorkerMode::Host,
            compaction: !rng.one_in(12),
            checkpoint_bytes: (32 << 10) << rng.below(4),
            checkpoint_interval: Duration::from_millis(200 << rng.below(6)),
            scrub_interval: Duration::from_millis(200 << rng.below(4)),
            retention_bytes: segment_bytes * rng.below(4),
            ..LogOptions::new(partitions, HASH_KEY)
        };
        Settings {
            steps: 2_000 + rng.below(2_000),
            keys: 20 << rng.below(5),
            partitions,
            segment_bytes,
            options,
            stop_one_in: 60 << rng.below(4),
            lost_checkpoint_one_in: 2 + rng.below(6),
            long_one_in,
            drop_one_in,
            full_one_in,
            failed_sync_one_in,
            crash_in_disk_one_in,
            rot_one_in,
            rots,
        }
    }
}
