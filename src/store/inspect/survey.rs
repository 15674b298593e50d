//! One segment, byte by byte: what is sound in it, and why the rest is not.

use core::ops::Range;

use super::report::Records;
use crate::store::disk::File;
use crate::store::record::{self, Decoded, Flaw, Kind};
use crate::store::segment::{HEADER_LENGTH, Plan};
use crate::store::upkeep::read_as_possible;
use crate::store::walk::{Step, Walk};

/// What was found in a segment.
#[derive(Debug, Default)]
pub struct Survey {
    /// Bytes of its file.
    pub size: u64,
    /// Where its last sound record ends.
    pub end: u64,
    /// Where its last byte lies that is not zero, and the one behind it.
    pub content: u64,
    pub records: Records,
    pub is_sealed: bool,
    pub sequences: Option<(u64, u64)>,
    /// Ranges that are no records, and why.
    pub bad: Vec<(Range<u64>, String)>,
}

/// Reads a segment to its end.
pub fn survey<F: File>(file: &F) -> Survey {
    let size = file.size();
    let mut survey = Survey { size, end: size.min(HEADER_LENGTH as u64), ..Survey::default() };
    let mut head = [0; HEADER_LENGTH];
    if size < HEADER_LENGTH as u64 {
        return survey;
    }
    read_as_possible(file, 0, &mut head);
    let (plan, _) = Plan::read(&head);
    let mut bytes = vec![0; usize::try_from(size - HEADER_LENGTH as u64).unwrap_or(0)];
    read_as_possible(file, HEADER_LENGTH as u64, &mut bytes);
    let last = bytes.iter().rposition(|&byte| byte != 0);
    survey.content = (HEADER_LENGTH + last.map_or(0, |at| at + 1)) as u64;
    let mut walk = Walk::new(&bytes, &plan, HEADER_LENGTH as u64, false);
    loop {
        match walk.step() {
            Step::Record(at, decoded) => {
                survey.take(&decoded);
                survey.end = (HEADER_LENGTH + at + decoded.length) as u64;
                if survey.is_sealed {
                    return survey;
                }
            }
            Step::Bad(range) => {
                let why = reason(file, &plan, &bytes, &range);
                let from = HEADER_LENGTH as u64;
                survey.bad.push((from + range.start as u64..from + range.end as u64, why));
            }
            Step::Unknown(..) | Step::Zeros(_) | Step::End(_) => return survey,
        }
    }
}

impl Survey {
    fn take(&mut self, decoded: &Decoded) {
        let records = &mut self.records;
        *match decoded.kind {
            Kind::Put => &mut records.puts,
            Kind::Removal => &mut records.removals,
            Kind::SyncMark => &mut records.marks,
            Kind::Drop => &mut records.drops,
            Kind::Chunk => &mut records.chunks,
            Kind::Seal => &mut records.seals,
        } += 1;
        records.bytes += decoded.length as u64;
        self.is_sealed |= decoded.kind == Kind::Seal;
        if matches!(decoded.kind, Kind::Put | Kind::Removal | Kind::Drop | Kind::Chunk) {
            let sequence = decoded.sequence.0;
            let (low, high) = self.sequences.unwrap_or((sequence, sequence));
            self.sequences = Some((low.min(sequence), high.max(sequence)));
        }
    }

    /// Why a range does not hold; `to` is `None` if all that follows is lost.
    pub fn reason(&self, from: u64, to: Option<u64>) -> String {
        if to.is_some_and(|to| to <= HEADER_LENGTH as u64) {
            return "the segment's header does not hold".to_owned();
        }
        let overlaps = |range: &Range<u64>| range.start < to.unwrap_or(u64::MAX) && from < range.end;
        if let Some((_, why)) = self.bad.iter().find(|(range, _)| overlaps(range)) {
            return why.clone();
        }
        match to {
            None => format!("records that were durable are missing: the file has {} bytes", self.size),
            Some(_) if from >= self.content => "zeros where records were durable".to_owned(),
            Some(_) => "a sound record of a key that does not belong where it lies".to_owned(),
        }
    }
}

/// What is wrong with the record that begins where a bad range does.
fn reason<F: File>(file: &F, plan: &Plan, bytes: &[u8], range: &Range<usize>) -> String {
    let mut byte = [0];
    let at = (HEADER_LENGTH + range.start) as u64;
    match file.read_at(at, &mut byte) {
        Err(error) => return format!("it cannot be read: {error}"),
        Ok(0) => return "the file ends before it".to_owned(),
        Ok(_) => {}
    }
    match record::decode(&bytes[range.start..], plan.seed_at(at)) {
        Err(Flaw::Length) => "the lengths in its header cannot be".to_owned(),
        Err(Flaw::Content) => "its parts do not fit together".to_owned(),
        Err(Flaw::Checksum | Flaw::Unknown(_)) | Ok(_) => "its checksum does not hold".to_owned(),
    }
}
