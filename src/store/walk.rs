//! Walks the records in a run of bytes of a segment: what is sound, what is not, and where it ends.
//!
//! What does not hold is passed over to the next sound record. Values that were chosen to look like headers
//! must not make that search quadratic, so its effort is bounded by a multiple of the bytes.

use core::ops::Range;

use super::record::{self, ALIGNMENT, Decoded, Flaw, Header};
use super::segment::Plan;

/// Behind a damaged range, sound records are looked for until so many times the run's length has been
/// checksummed.
const SEARCH_EFFORT_MAX: usize = 16;

/// What comes next. Offsets are relative to the run.
#[derive(Debug, PartialEq, Eq)]
pub enum Step {
    /// A sound record.
    Record(usize, Decoded),
    /// No record begins here, up to where the next one does, or the run ends.
    Bad(Range<usize>),
    /// A sound record of a kind that is not known here.
    Unknown(usize, u8),
    /// Nothing but zeros from here on.
    Zeros(usize),
    /// The run ends here, perhaps inside of a record.
    End(usize),
}

/// See the head of this file.
pub struct Walk<'a> {
    bytes: &'a [u8],
    plan: Plan,
    /// Where in the segment they begin.
    from: u64,
    at: usize,
    effort: usize,
    /// Whether the segment goes on behind the run, so that a record may be cut off by its end.
    goes_on: bool,
}

impl<'a> Walk<'a> {
    /// Walks `bytes`, which begin at offset `from` of a segment.
    pub fn new(bytes: &'a [u8], plan: &Plan, from: u64, goes_on: bool) -> Walk<'a> {
        let effort = bytes.len().saturating_mul(SEARCH_EFFORT_MAX);
        Walk { bytes, plan: *plan, from, at: 0, effort, goes_on }
    }

    fn decode(&self, at: usize) -> Result<Decoded, Flaw> {
        record::decode(&self.bytes[at..], self.plan.seed_at(self.from + at as u64))
    }

    /// The next step; after `Zeros` and `End` it stays there.
    pub fn step(&mut self) -> Step {
        let at = self.at;
        let rest = &self.bytes[at..];
        if rest.is_empty() {
            return Step::End(at);
        }
        let Some(content) = first_nonzero(rest) else {
            return if self.goes_on { Step::End(at) } else { Step::Zeros(at) };
        };
        // A record's checksum and kind are in its first bytes: zeros there are no record.
        let decoded = if content < ALIGNMENT { self.decode(at) } else { Err(Flaw::Checksum) };
        match decoded {
            Ok(decoded) => {
                self.at += decoded.length;
                Step::Record(at, decoded)
            }
            Err(Flaw::Unknown(kind)) => Step::Unknown(at, kind),
            Err(Flaw::Length) if self.goes_on && is_cut_off(rest) => Step::End(at),
            Err(_) => {
                let from = at + ALIGNMENT.max(content & !(ALIGNMENT - 1));
                self.at = self.search(from);
                Step::Bad(at..self.at)
            }
        }
    }

    /// Says that the record of the last step, which began at `at`, cannot be used after all.
    pub fn refuse(&mut self, at: usize) -> Range<usize> {
        self.at = self.search(at + ALIGNMENT);
        at..self.at
    }

    /// Where the next sound record begins at or behind `from`, or the end of the run.
    fn search(&mut self, from: usize) -> usize {
        let mut at = from;
        while at + record::HEADER_LENGTH <= self.bytes.len() {
            let rest = &self.bytes[at..];
            if let Ok(header) = Header::read(rest)
                && header.is_plausible()
                && header.length() <= rest.len()
            {
                let Some(left) = self.effort.checked_sub(header.length()) else { break };
                self.effort = left;
                if self.decode(at).is_ok() {
                    return at;
                }
            }
            at += ALIGNMENT;
        }
        self.bytes.len()
    }
}

/// Whether these bytes may be the beginning of a record that is longer than they are.
fn is_cut_off(rest: &[u8]) -> bool {
    match Header::read(rest) {
        Ok(header) => header.is_plausible() && header.length() > rest.len(),
        Err(_) => rest.len() < record::HEADER_LENGTH,
    }
}

/// Where the zeros at the start of `bytes` end; `None` if there is nothing else. Most of a segment that
/// was just begun is zeros, so it is done in steps.
pub fn first_nonzero(bytes: &[u8]) -> Option<usize> {
    const STEP: usize = 512;
    let blocks = bytes.chunks(STEP).position(|block| block != &[0; STEP][..block.len()])?;
    let within = bytes[blocks * STEP..].iter().position(|&byte| byte != 0)?;
    Some(blocks * STEP + within)
}
