//! What the system tells of this process: its time on a processor, its memory, its place on a disk.

use std::fs::{self, File};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::time::ClockId;

/// Time passed, and processor time used meanwhile.
pub struct Stopwatch {
    wall: Instant,
    thread: Duration,
    process: Duration,
}

/// What a stopwatch read.
pub struct Took {
    /// On the wall.
    pub wall: Duration,
    /// On a processor, by the calling thread.
    pub thread: Duration,
    /// On a processor, by all threads.
    pub process: Duration,
}

impl Stopwatch {
    /// From now on.
    pub fn start() -> Stopwatch {
        let (thread, process) = (clock(ClockId::ThreadCPUTime), clock(ClockId::ProcessCPUTime));
        Stopwatch { wall: Instant::now(), thread, process }
    }

    /// Up to now.
    pub fn read(&self) -> Took {
        Took {
            wall: self.wall.elapsed(),
            thread: clock(ClockId::ThreadCPUTime) - self.thread,
            process: clock(ClockId::ProcessCPUTime) - self.process,
        }
    }
}

fn clock(id: ClockId) -> Duration {
    let now = rustix::time::clock_gettime(id);
    Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
}

/// How long this thread waited for a processor that others had. A call that took long because of it did
/// not stall.
pub struct Waited(Option<File>);

impl Waited {
    /// Of the calling thread.
    pub fn new() -> Waited {
        Waited(File::open("/proc/thread-self/schedstat").ok())
    }

    /// The sum so far; always zero where the system does not say.
    pub fn read(&self) -> Duration {
        let Some(file) = &self.0 else { return Duration::ZERO };
        let mut text = [0; 96];
        let length = file.read_at(&mut text, 0).unwrap_or(0);
        let text = str::from_utf8(&text[..length]).unwrap_or_default();
        let nanos = text.split_whitespace().nth(1).and_then(|number| number.parse().ok());
        Duration::from_nanos(nanos.unwrap_or(0))
    }
}

/// Bytes of memory that is no file's.
pub fn anonymous_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:"));
    line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok())
        .map_or(f64::NAN, |kib| kib * 1024.0)
}

/// Bytes of disk that a directory takes, with all below it. What disappears meanwhile is not counted.
pub fn disk_usage(directory: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(directory) else { return 0 };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => disk_usage(&entry.path()),
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    });
    sizes.sum()
}

/// Bytes that are left on the disk of a directory.
pub fn disk_left(directory: &Path) -> u64 {
    rustix::fs::statvfs(directory).map_or(u64::MAX, |found| found.f_bavail * found.f_frsize)
}

/// Whether a directory lies in memory, where a sync costs nothing and says nothing.
pub fn is_in_memory(directory: &Path) -> bool {
    const TMPFS_MAGIC: i128 = 0x0102_1994;
    rustix::fs::statfs(directory).is_ok_and(|found| i128::from(found.f_type) == TMPFS_MAGIC)
}
