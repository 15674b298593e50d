//! What the machine can do at all: the limits that our figures stand beside.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

use quorate::proto::rng::Rng;
use rustix::fs::FallocateFlags;

use crate::latency::Latency;
use crate::meter::Stopwatch;

const CHUNK: usize = 256 << 10;

/// Nanoseconds of processor time to copy and checksum each of `count` records of some length.
pub fn copy_and_checksum(count: u64, length: usize) -> f64 {
    copy(count, length, |_| {})
}

/// The same, and to hand them to the kernel in chunks.
pub fn copy_and_write(count: u64, length: usize, directory: &Path) -> f64 {
    let path = directory.join("copied");
    let file = File::create(&path).expect("a file can be made");
    let mut offset = 0;
    let nanos = copy(count, length, |chunk| {
        file.write_all_at(chunk, offset).expect("there is room");
        offset += chunk.len() as u64;
    });
    fs::remove_file(path).expect("the file is ours");
    nanos
}

fn copy(count: u64, length: usize, mut write: impl FnMut(&[u8])) -> f64 {
    let record = vec![7_u8; length];
    let mut chunk = Vec::with_capacity(CHUNK + length);
    let watch = Stopwatch::start();
    for _ in 0..count {
        let start = chunk.len();
        chunk.extend_from_slice(black_box(&record));
        black_box(crc32c::crc32c(&chunk[start..]));
        if chunk.len() >= CHUNK {
            write(&chunk);
            chunk.clear();
        }
    }
    watch.read().process.as_nanos() as f64 / count as f64
}

/// A slot for each record and the records themselves, in memory.
pub struct Chase {
    slots: Vec<u32>,
    records: Vec<u64>,
    words: usize,
}

impl Chase {
    /// As many as `count`, of `length` bytes.
    pub fn new(count: u64, length: usize) -> Chase {
        let mut rng = Rng::new(8);
        let slots = (0..count).map(|_| rng.below(count) as u32).collect();
        let words = length / 8;
        // Written, as pages that were never written are all the same one.
        let records = (0..count * words as u64).map(|at| at & 1).collect();
        Chase { slots, records, words }
    }

    /// Nanoseconds of processor time for two cache misses, the second at what the first says, the next
    /// two after them: the least that a get can cost.
    pub fn one_by_one(&self, draws: u64) -> f64 {
        let (mut rng, mut last) = (Rng::new(9), 0);
        let watch = Stopwatch::start();
        for _ in 0..draws {
            last = self.record(rng.below(self.slots.len() as u64 - 1) + last);
        }
        black_box(last);
        watch.read().thread.as_nanos() as f64 / draws as f64
    }

    /// The same where the next two need not wait: the least that a get of a batch can cost.
    pub fn side_by_side(&self, draws: u64) -> f64 {
        let (mut rng, mut sum) = (Rng::new(10), 0);
        let watch = Stopwatch::start();
        for _ in 0..draws {
            sum += self.record(rng.below(self.slots.len() as u64));
        }
        black_box(sum);
        watch.read().thread.as_nanos() as f64 / draws as f64
    }

    fn record(&self, at: u64) -> u64 {
        self.records[self.slots[at as usize] as usize * self.words]
    }
}

/// What a file for raw syncs is like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Blocks {
    /// Reserved, as those of a segment are.
    Reserved,
    /// Written before, so that a sync changes nothing but them.
    Written,
}

/// Appends `length` bytes and syncs, again and again: the least that a synced commit can cost. Returns
/// how long it took as a whole, too.
pub fn raw_syncs(directory: &Path, length: usize, blocks: Blocks, time: Duration) -> (Latency, Duration) {
    const SIZE: u64 = 64 << 20;
    let path = directory.join("raw");
    let file = OpenOptions::new().write(true).create_new(true).open(&path).expect("a file can be made");
    rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, SIZE).expect("there is room");
    if blocks == Blocks::Written {
        let zeros = vec![0; 1 << 20];
        (0..SIZE >> 20).for_each(|at| file.write_all_at(&zeros, at << 20).expect("there is room"));
    }
    file.sync_all().expect("the disk works");
    let record = vec![7; length];
    let mut latency = Latency::new();
    let (begun, mut offset) = (Instant::now(), 0);
    while begun.elapsed() < time && offset + length as u64 <= SIZE {
        let one = Instant::now();
        file.write_all_at(&record, offset).expect("there is room");
        file.sync_data().expect("the disk works");
        latency.add(one.elapsed());
        offset += length as u64;
    }
    let took = begun.elapsed();
    fs::remove_file(path).expect("the file is ours");
    (latency, took)
}

/// Milliseconds to read and checksum a file, or every file of a directory: the least that an opening can
/// cost that trusts nothing.
pub fn read_and_checksum(path: &Path) -> f64 {
    let begun = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    let files: Vec<_> = match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
        Err(_) => vec![path.to_owned()],
    };
    for path in files {
        let file = File::open(path).expect("the file is ours");
        let (mut offset, mut checksum) = (0, 0);
        loop {
            let length = file.read_at(&mut buffer, offset).expect("the disk works");
            if length == 0 {
                break;
            }
            checksum = crc32c::crc32c_append(checksum, &buffer[..length]);
            offset += length as u64;
        }
        black_box(checksum);
    }
    begun.elapsed().as_secs_f64() * 1e3
}
