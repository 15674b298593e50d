//! Commands on parts of a value: ranges of its bytes, and bits.
//!
//! ```text
//!  GETRANGE SUBSTR GETBIT BITCOUNT BITPOS   read the value whole; the part is cut out here
//!  SETRANGE SETBIT                          are edits: the key's coordinator reads, changes, writes
//! ```
//!
//! Bits are numbered from the highest of the first byte on. What lies behind the end of a value is zeros, and an
//! absent value is an empty one. Negative places count from the end. Texts and corner cases are Redis'.

use std::borrow::Cow;

use crate::proto::io::{Edit, Operation};

use super::answer::Shape;
use super::number::{NOT_AN_INTEGER, SYNTAX, integer, integer_at};
use super::parse::Args;
use super::reply::Writer;
use super::session::{Handled, Refusal, Session, Turn};
use super::strings::submit;

const TOO_LONG: Refusal = Cow::Borrowed("ERR string exceeds maximum allowed size (proto-max-bulk-len)");
const NO_OFFSET: Refusal = Cow::Borrowed("ERR bit offset is not an integer or out of range");
const NO_BIT: Refusal = Cow::Borrowed("ERR bit is not an integer or out of range");

/// From one place to another, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    start: i64,
    end: i64,
    /// Places are bits rather than bytes.
    is_bits: bool,
}

/// What is asked of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The bytes of a range.
    Bytes(Range),
    /// One bit.
    Bit(u32),
    /// How many bits of a range are 1.
    Ones(Range),
    /// Where in a range the first 1 or 0 is.
    First {
        /// Which of the two.
        bit: bool,
        /// Where it is looked for.
        range: Range,
        /// The caller named the end: the zeros behind the value are not looked at.
        has_end: bool,
    },
}

/// `GETRANGE key start end`, `SUBSTR key start end`
pub fn get_range(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let range = Range { start: integer_at(args, 2)?, end: integer_at(args, 3)?, is_bits: false };
    ask(session, turn, args, Question::Bytes(range))
}

/// `SETRANGE key offset part`
pub fn set_range(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let offset = integer_at(args, 2)?;
    let offset = u64::try_from(offset).map_err(|_| Refusal::Borrowed("ERR offset is out of range"))?;
    let part = args.at(3);
    if part.is_empty() {
        return submit(session, turn, args, Operation::Get, Shape::ValueLength);
    }
    let fits = offset.saturating_add(part.len() as u64) <= session.settings.value_max as u64;
    let offset = u32::try_from(offset).ok().filter(|_| fits).ok_or(TOO_LONG)?;
    submit(session, turn, args, Operation::Edit(Edit::SetRange { offset, part }), Shape::Length)
}

/// `GETBIT key offset`
pub fn get_bit(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let offset = bit_offset(session, args)?;
    ask(session, turn, args, Question::Bit(offset))
}

/// `SETBIT key offset bit`: answers the bit that was there, which the value that the edit met tells.
pub fn set_bit(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let offset = bit_offset(session, args)?;
    let on = match integer(args.at(3)) {
        Some(0) => false,
        Some(1) => true,
        _ => return Err(NO_BIT),
    };
    let edit = Operation::Edit(Edit::SetBit { offset, on });
    submit(session, turn, args, edit, Shape::Asked(Question::Bit(offset)))
}

/// `BITCOUNT key [start end [BYTE | BIT]]`
pub fn count_bits(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let range = match args.len() {
        2 => Range { start: 0, end: -1, is_bits: false },
        4 | 5 => Range { start: integer_at(args, 2)?, end: integer_at(args, 3)?, is_bits: is_bits(args, 4)? },
        _ => return Err(SYNTAX),
    };
    ask(session, turn, args, Question::Ones(range))
}

/// `BITPOS key bit [start [end [BYTE | BIT]]]`
pub fn find_bit(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let bit = match integer(args.at(2)).ok_or(NOT_AN_INTEGER)? {
        0 => false,
        1 => true,
        _ => return Err("ERR The bit argument must be 1 or 0.".into()),
    };
    if args.len() > 6 {
        return Err(SYNTAX);
    }
    let place = |at, otherwise| if at < args.len() { integer_at(args, at) } else { Ok(otherwise) };
    let start = place(3, 0)?;
    let is_bits = is_bits(args, 5)?;
    let range = Range { start, end: place(4, -1)?, is_bits };
    ask(session, turn, args, Question::First { bit, range, has_end: args.len() > 4 })
}

fn ask(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>, question: Question) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::Asked(question))
}

fn bit_offset(session: &Session, args: Args<'_>) -> Result<u32, Refusal> {
    let offset = integer(args.at(2)).and_then(|offset| u32::try_from(offset).ok());
    offset.filter(|&offset| (offset as usize / 8) < session.settings.value_max).ok_or(NO_OFFSET)
}

/// Whether the unit at `at`, if there is one, is bits.
fn is_bits(args: Args<'_>, at: usize) -> Result<bool, Refusal> {
    match args.get(at) {
        None => Ok(false),
        Some(_) if args.is(at, "BYTE") => Ok(false),
        Some(_) if args.is(at, "BIT") => Ok(true),
        Some(_) => Err(SYNTAX),
    }
}

/// Answers a question about a value.
pub fn write(writer: &mut Writer<'_>, question: Question, value: Option<&[u8]>) {
    let found = value.unwrap_or_default();
    match question {
        Question::Bytes(range) => writer.bulk(bytes(found, range)),
        Question::Bit(offset) => writer.integer(i64::from(bit_at(found, offset as usize))),
        Question::Ones(range) => writer.count(ones(found, range)),
        // An absent value is zeros without an end, an empty one has no bit at all.
        Question::First { bit, .. } if value.is_none() => writer.integer(if bit { -1 } else { 0 }),
        Question::First { bit, range, has_end } => writer.integer(first(found, bit, range, has_end)),
    }
}

impl Range {
    /// Its first and its last place in so many; `None` if it has none of them.
    fn within(self, total: usize) -> Option<(usize, usize)> {
        let total = i64::try_from(total).ok()?;
        let place = |place: i64| if place < 0 { (place + total).max(0) } else { place };
        let (start, end) = (place(self.start), place(self.end).min(total - 1));
        Some((usize::try_from(start).ok()?, usize::try_from(end).ok()?)).filter(|_| start <= end)
    }

    /// Its first and its last bit in a value.
    fn bits_within(self, value: &[u8]) -> Option<(usize, usize)> {
        if self.is_bits {
            return self.within(value.len() * 8);
        }
        self.within(value.len()).map(|(start, end)| (start * 8, end * 8 + 7))
    }

    /// Whether it is the wrong way round, told by its places alone.
    fn is_reversed(self) -> bool {
        self.start < 0 && self.end < 0 && self.start > self.end
    }
}

fn bytes(value: &[u8], range: Range) -> &[u8] {
    let within = range.within(value.len()).filter(|_| !range.is_reversed());
    within.map_or(b"", |(start, end)| &value[start..=end])
}

fn bit_at(value: &[u8], offset: usize) -> bool {
    value.get(offset / 8).is_some_and(|byte| byte & (0x80 >> (offset % 8)) != 0)
}

fn ones(value: &[u8], range: Range) -> u64 {
    let within = range.bits_within(value).filter(|_| !range.is_reversed());
    let Some((start, end)) = within else { return 0 };
    let touched = &value[start / 8..=end / 8];
    let all: u64 = touched.iter().map(|byte| u64::from(byte.count_ones())).sum();
    let before = (start / 8 * 8..start).filter(|&at| bit_at(value, at)).count();
    let behind = (end + 1..(end / 8 + 1) * 8).filter(|&at| bit_at(value, at)).count();
    all - (before + behind) as u64
}

fn first(value: &[u8], bit: bool, range: Range, has_end: bool) -> i64 {
    let Some((start, end)) = range.bits_within(value) else { return -1 };
    // Whole bytes without such a bit are passed over.
    let nothing = if bit { 0 } else { u8::MAX };
    let bytes = (start / 8..=end / 8).filter(|&at| value[at] != nothing);
    let mut bits = bytes.flat_map(|at| (at * 8).max(start)..=(at * 8 + 7).min(end));
    match bits.find(|&at| bit_at(value, at) == bit) {
        Some(at) => at as i64,
        None if bit || has_end => -1,
        None => (value.len() * 8) as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(start: i64, end: i64, is_bits: bool) -> Range {
        Range { start, end, is_bits }
    }

    /// Each bit by itself, as the definition has it.
    fn slow_ones(value: &[u8], range: Range) -> u64 {
        let total = value.len() as i64 * if range.is_bits { 8 } else { 1 };
        let from_end = |place: i64| if place < 0 { (place + total).max(0) } else { place };
        let (start, end) = (from_end(range.start), from_end(range.end));
        let counts = |at: &i64| {
            let place = if range.is_bits { *at } else { *at / 8 };
            !range.is_reversed() && place >= start && place <= end
        };
        let bits = (0..value.len() as i64 * 8).filter(counts);
        bits.filter(|&at| bit_at(value, at as usize)).count() as u64
    }

    #[test]
    fn bits_are_counted_in_every_range() {
        for value in [&b""[..], b"\0", b"\xff", b"foobar", b"\x80\x01\xff"] {
            for start in -30..30 {
                for end in -30..30 {
                    for is_bits in [false, true] {
                        let range = range(start, end, is_bits);
                        assert_eq!(ones(value, range), slow_ones(value, range), "{value:?} {range:?}");
                    }
                }
            }
        }
    }

    #[test]
    fn ranges_are_cut_as_redis_cuts_them() {
        for (start, end, expected) in [
            (0, 3, "This"),
            (-3, -1, "ing"),
            (0, -1, "This is a string"),
            (10, 100, "string"),
            (16, 20, ""),
            (5, 3, ""),
            (-1, -3, ""),
            (0, -100, "T"),
            (-100, -100, "T"),
            (i64::MIN, i64::MAX, "This is a string"),
        ] {
            let cut = bytes(b"This is a string", range(start, end, false));
            assert_eq!(cut, expected.as_bytes(), "{start} {end}");
        }
        assert_eq!(bytes(b"", range(0, -1, false)), b"");
    }

    #[test]
    fn the_first_bit_is_found() {
        let value = b"\xff\xf0\x00";
        for (bit, start, end, is_bits, has_end, expected) in [
            (false, 0, -1, false, false, 12),
            (true, 0, -1, false, false, 0),
            (true, 2, -1, false, false, -1),
            (false, 0, 0, false, true, -1),
            (true, 1, 1, false, true, 8),
            (false, 3, 11, true, true, -1),
            (false, 3, 12, true, true, 12),
            (true, 9, -1, true, true, 9),
            (true, 12, 23, true, true, -1),
            (true, -1, -3, false, true, -1),
        ] {
            let found = first(value, bit, range(start, end, is_bits), has_end);
            assert_eq!(found, expected, "{bit} {start} {end} {is_bits}");
        }
        assert_eq!(first(b"\xff\xff", false, range(0, -1, false), false), 16, "the zeros behind it");
        assert_eq!(first(b"", false, range(0, -1, false), false), -1);
    }
}
