//! From files to records: opens every segment, compares it with what the checkpoint says of it, and reads
//! those for which that does not stand.

use super::BATCH;
use super::Progress;
use super::Reader;
use super::Row;
use super::Scan;
use crate::proto::store::Sequence;
use crate::store::directory::OpenError;
use crate::store::disk::Disk;
use crate::store::disk::File;
use crate::store::record::{ALIGNMENT, Mark};
use crate::store::segment::HEADER_LENGTH;
use crate::store::segment::HeaderFlaw;
use crate::store::segment::MAGIC;
use crate::store::segment::Plan;
use crate::store::segment::SIZE_MAX;
use crate::store::segment::Segment;
use crate::store::segment::VERSION;
use crate::store::segment::file_path;
use crate::store::upkeep::read_as_possible;
use crate::store::walk::Step;
use crate::store::walk::Walk;
use crate::store::walk::first_nonzero;
use std::io;
use std::ops::Range;
use std::sync::Arc;

impl<D: Disk> Reader<'_, D> {
    pub(super) fn error(&self, number: u64, error: io::Error) -> OpenError {
        OpenError::io(self.disk, &file_path(number), error)
    }

    pub(super) fn foreign(&self, number: u64, problem: &str) -> OpenError {
        OpenError::Foreign { path: self.disk.path().join(file_path(number)), problem: problem.to_owned() }
    }

    /// Opens every segment, then reads those for which the checkpoint does not stand: a record is compared
    /// with those that slots point at, wherever they lie. The inner error is why the checkpoint cannot be
    /// used.
    pub(super) fn read(
        &mut self,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Result<(), &'static str>, OpenError> {
        for &number in &self.contents.segments {
            if let Err(why) = self.open_segment(number)? {
                return Ok(Err(why));
            }
        }
        let unread = |scan: &Scan<D::File>| scan.unread.map_or(0, |from| scan.segment.plan.size - from);
        let total = self.scans.iter().map(unread).sum();
        let mut done = 0;
        for at in 0..self.scans.len() {
            done += unread(&self.scans[at]);
            self.at = at;
            if let Some(from) = self.scan().unread.take() {
                self.read_body(from)?;
                progress(Progress { done, total });
            }
        }
        Ok(Ok(()))
    }

    /// Whether a file by a segment's name must be one of ours, whatever its header says: the manifest names
    /// it, or there is a sound one with a higher number, and numbers are given out in order.
    pub(super) fn is_ours(&self, number: u64) -> bool {
        let is_sound = |&number: &u64| {
            let mut head = [0; HEADER_LENGTH];
            let file = self.disk.open(&file_path(number)).ok();
            file.is_some_and(|file| matches!(file.read_at(0, &mut head), Ok(HEADER_LENGTH)))
                && Plan::read(&head).1.is_none()
        };
        let later = self.contents.segments.iter().rev().take_while(|&&other| other > number);
        self.manifest.names(number) || later.into_iter().any(is_sound)
    }

    /// Opens one segment and checks its header.
    pub(super) fn open_segment(&mut self, number: u64) -> Result<Result<(), &'static str>, OpenError> {
        let file = self.disk.open(&file_path(number)).map_err(|error| self.error(number, error))?;
        let size = file.size();
        if size > SIZE_MAX {
            return Err(self.foreign(number, "it is larger than any segment"));
        }
        let mut head = [0; HEADER_LENGTH];
        if size < HEADER_LENGTH as u64 {
            self.leftovers.push(number);
            return Ok(Ok(()));
        }
        read_as_possible(&file, 0, &mut head);
        let (mut plan, flaw) = Plan::read(&head);
        let directory = self.contents.format.directory;
        // A creation that was stopped leaves any part of the header, and nothing behind it.
        let may_be_creation = head.iter().zip(MAGIC).all(|(&byte, ours)| byte == 0 || byte == ours);
        match flaw {
            None if plan.directory != directory => {
                return Err(self.foreign(number, "it belongs to another data directory"));
            }
            None if plan.number != number => return Err(self.foreign(number, "it was renamed")),
            Some(HeaderFlaw::Newer(found)) => {
                let path = self.disk.path().join(file_path(number));
                return Err(OpenError::Newer { path, found, known: VERSION });
            }
            Some(_) if may_be_creation && is_blank(&file) => {
                self.leftovers.push(number);
                return Ok(Ok(()));
            }
            Some(HeaderFlaw::Foreign) if !may_be_creation && !self.is_ours(number) => {
                return Err(self.foreign(number, "it is no segment of a log"));
            }
            // One that was cut while it was written to has zeros where its header was.
            None | Some(_) => {}
        }
        let is_unfinished = flaw.is_none()
            && plan.is_compacted
            && self.contents.manifest.is_some()
            && !self.manifest.names(number);
        if !self.manifest.holds(number) || is_unfinished {
            self.leftovers.push(number);
            return Ok(Ok(()));
        }
        plan.size = size;
        if flaw.is_some() {
            plan = unbelieved(&plan, number, directory);
        }
        let owner = u32::try_from(self.scans.len()).expect("a directory holds fewer segments");
        let mut scan = Scan {
            segment: Arc::new(Segment { plan, file }),
            flaw,
            unread: Some(HEADER_LENGTH as u64),
            reach: HEADER_LENGTH as u64,
            is_sealed: false,
            has_zeros_behind: false,
            bad: Vec::new(),
            held: Vec::new(),
            newest: Sequence(0),
            controls: 0,
            is_gone: false,
        };
        if let Some((_, start)) = self.checkpoint
            && let Err(why) = self.compare(&mut scan, owner, &start)
        {
            return Ok(Err(why));
        }
        if !self.slots.claim(plan.slot, plan.slots(), owner) {
            if self.checkpoint.is_some() {
                return Ok(Err("two segments have one place"));
            }
            plan.slot = self.slots.allocate(plan.slots(), owner).ok_or_else(|| {
                let problem = "the log has more segments than it can address".to_owned();
                OpenError::Corrupt { path: self.disk.path().join(file_path(number)), problem }
            })?;
            Arc::get_mut(&mut scan.segment).expect("it was just made").plan = plan;
        }
        self.add(scan);
        Ok(Ok(()))
    }

    /// Takes an opened segment for one of the log.
    pub(super) fn add(&mut self, scan: Scan<D::File>) {
        if !scan.segment.plan.is_compacted {
            self.last = self.last.max(scan.newest);
        }
        // A log has more segments than a process may have files open.
        scan.segment.file.settle();
        self.scans.push(scan);
    }

    /// Compares a segment with what the checkpoint says of it, and takes over from there what need not be
    /// read.
    pub(super) fn compare(
        &mut self,
        scan: &mut Scan<D::File>,
        owner: u32,
        start: &Mark,
    ) -> Result<(), &'static str> {
        let plan = scan.segment.plan;
        let is_before = plan.is_compacted || plan.number < start.number;
        match self.rows.get_mut(&plan.number) {
            Some(Row { row, is_met }) => {
                let place = (plan.seed, plan.slot, plan.is_compacted);
                if scan.flaw.is_some()
                    || place != (row.seed, row.slot, row.is_compacted)
                    || plan.size < row.end
                    || plan.size < start.offset && plan.number == start.number
                {
                    return Err("a segment is not the one that it names");
                }
                *is_met = true;
                self.ledger.set_live(owner, row.live);
                if row.is_sealed && is_before {
                    (scan.reach, scan.newest, scan.controls) = (row.end, row.newest, row.controls);
                    (scan.is_sealed, scan.unread) = (true, None);
                } else if plan.number == start.number {
                    (scan.reach, scan.newest) = (start.offset, start.sequence);
                    scan.controls = row.controls;
                    scan.unread = Some(start.offset);
                }
            }
            // Compacted after the checkpoint: what lies in it lies where the checkpoint says, too. Or
            // emptied before it.
            None if scan.flaw.is_none() && is_before => {
                (scan.reach, scan.newest) = (plan.size, plan.first);
                (scan.is_sealed, scan.unread) = (true, None);
            }
            None if is_before => return Err("there is a segment that it does not name"),
            None => {}
        }
        Ok(())
    }

    /// Reads the records of the segment at hand from an offset on.
    pub(super) fn read_body(&mut self, from: u64) -> Result<(), OpenError> {
        let at = self.at;
        let scan = &self.scans[at];
        let (plan, flaw) = (scan.segment.plan, scan.flaw);
        let file = self.disk.open(&file_path(plan.number));
        let bytes = read_body(&file.map_err(|error| self.error(plan.number, error))?, from);
        let is_empty = from == HEADER_LENGTH as u64 && first_nonzero(&bytes).is_none();
        if is_empty && flaw.is_none() {
            if !plan.is_compacted {
                self.unused.push(Arc::clone(&scan.segment));
            } else {
                self.leftovers.push(plan.number);
            }
            self.scan().is_gone = true;
            self.slots.release(plan.slot, plan.slots());
            return Ok(());
        }
        if !plan.is_compacted && self.checkpoint.is_none_or(|(_, start)| start.number != plan.number) {
            self.counts.fill(0);
        }
        self.read_records(&bytes, from)
    }

    /// Reads the records of the segment at hand; `bytes` begin at offset `from`, and behind them it has zeros.
    pub(super) fn read_records(&mut self, bytes: &[u8], from: u64) -> Result<(), OpenError> {
        let plan = self.scan().segment.plan;
        let mut walk = Walk::new(bytes, &plan, from, false);
        let mut batch = Vec::with_capacity(BATCH);
        let place = |range: Range<usize>| {
            let end = if range.end == bytes.len() { plan.size } else { from + range.end as u64 };
            from + range.start as u64..end
        };
        loop {
            let step = walk.step();
            if batch.len() == BATCH || !matches!(step, Step::Record(..)) {
                self.apply_batch(bytes, &mut batch);
            }
            let bad = match step {
                Step::Record(at, decoded) => {
                    let offset = from + at as u64;
                    let Some(item) = self.take(&bytes[at..], offset, &plan, &decoded) else {
                        self.apply_batch(bytes, &mut batch);
                        let bad = walk.refuse(at);
                        self.scan().bad.push(place(bad));
                        continue;
                    };
                    let scan = self.scan();
                    scan.reach = offset + decoded.length as u64;
                    if scan.is_sealed {
                        self.apply_batch(bytes, &mut batch);
                        return Ok(());
                    }
                    if let Some(item) = item {
                        let scan = self.scan();
                        match scan.bad.is_empty() {
                            true => {
                                scan.count(&item);
                                batch.push((item, at + decoded.key.start..at + decoded.key.end));
                            }
                            false => scan.held.push(item),
                        }
                    }
                    continue;
                }
                Step::Unknown(at, kind) => {
                    let path = self.disk.path().join(file_path(plan.number));
                    let at = from + at as u64;
                    let problem =
                        format!("the record at {at} is sound, but {kind} is no kind or flag known here");
                    return Err(OpenError::Corrupt { path, problem });
                }
                Step::Bad(range) => range,
                Step::Zeros(_) => {
                    self.scan().has_zeros_behind = true;
                    return Ok(());
                }
                Step::End(_) => return Ok(()),
            };
            self.scan().bad.push(place(bad));
        }
    }

    pub(super) fn scan(&mut self) -> &mut Scan<D::File> {
        &mut self.scans[self.at]
    }
}

/// What is left of a header that does not hold. Its records tell whether the random id is still good; nothing
/// else is to be believed.
fn unbelieved(plan: &Plan, number: u64, directory: u64) -> Plan {
    let (slot, first, is_compacted) = (u32::MAX, Sequence(0), false);
    Plan { number, directory, slot, first, is_compacted, ..*plan }
}

/// Whether nothing but zeros lies behind a segment's header.
fn is_blank<F: File>(file: &F) -> bool {
    first_nonzero(&read_body(file, HEADER_LENGTH as u64)).is_none()
}

/// What lies in a file from an offset on; of the zeros behind the last byte that may be another, a few.
fn read_body<F: File>(file: &F, from: u64) -> Vec<u8> {
    let end = file.zeros_from().next_multiple_of(ALIGNMENT as u64) + ALIGNMENT as u64;
    let length = end.min(file.size()).saturating_sub(from);
    let mut bytes = vec![0; usize::try_from(length).expect("a segment fits into memory")];
    read_as_possible(file, from, &mut bytes);
    bytes
}
