//! `OBJECT`: what Redis tells of how it keeps a value.
//!
//! Rule: nothing is made up. Nothing is kept of when or how often a key was read, so `FREQ` and `IDLETIME` are
//! refused; every value is its own, so `REFCOUNT` is 1; and `ENCODING` is the one that Redis gives a value when it
//! is set, told from its bytes, as values are kept in one way here.

use crate::proto::io::{Kind, Operation, SiblingView};

use super::answer::Shape;
use super::command::{Subcommand, subcommand};
use super::number::integer;
use super::order::Slot;
use super::parse::Args;
use super::reply::Writer;
use super::session::{Handled, Session, Turn};
use super::strings::LATEST;

/// What is asked of a value that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// How it is kept.
    Encoding,
    /// How often it is used.
    Frequency,
    /// When it was used last.
    IdleTime,
    /// How many keys share it.
    References,
}

const OBJECT: &[Subcommand] = &[
    Subcommand { name: "encoding", arity: 3, handler: encoding },
    Subcommand { name: "freq", arity: 3, handler: frequency },
    Subcommand { name: "idletime", arity: 3, handler: idle_time },
    Subcommand { name: "refcount", arity: 3, handler: references },
];

/// The longest value that Redis keeps in one piece with its head.
const EMBEDDED_MAX: usize = 44;
/// The most elements of a set of numbers that Redis keeps as an array of them.
const NUMBERS_MAX: usize = 512;
const NO_FREQUENCY: &str = "ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note \
     that when switching between policies at runtime LRU and LFU data will take some time to adjust.";
const NO_IDLE_TIME: &str =
    "ERR not supported: nothing is evicted, so it is not kept when a key was used last";

/// `OBJECT subcommand`
pub fn object(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    subcommand("object", OBJECT, session, turn, args)
}

/// How many words a subcommand takes, both names included; `None` if there is none of that name.
pub fn words(name: &[u8]) -> Option<usize> {
    if name.eq_ignore_ascii_case(b"help") {
        return Some(2);
    }
    let found = OBJECT.iter().find(|row| name.eq_ignore_ascii_case(row.name.as_bytes()))?;
    Some(usize::from(found.arity.unsigned_abs()))
}

fn encoding(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    ask(session, turn, args, Asked::Encoding)
}

fn frequency(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    ask(session, turn, args, Asked::Frequency)
}

fn idle_time(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    ask(session, turn, args, Asked::IdleTime)
}

fn references(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    ask(session, turn, args, Asked::References)
}

fn ask(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>, asked: Asked) -> Handled {
    session.request(turn, Slot::Answer(Shape::Object(asked)), args.at(2), Operation::Get, LATEST);
    Ok(())
}

/// Answers what is asked of a value: of its newest version, or of the elements of a set.
pub fn write(writer: &mut Writer<'_>, asked: Asked, siblings: &[SiblingView]) {
    let Some(newest) = siblings.first() else { return writer.null() };
    match asked {
        Asked::Encoding => writer.bulk(match newest.kind {
            Kind::Element => set_encoding(siblings),
            Kind::Bytes | Kind::Counter => string_encoding(&newest.value),
        }),
        Asked::Frequency => writer.error(NO_FREQUENCY),
        Asked::IdleTime => writer.error(NO_IDLE_TIME),
        Asked::References => writer.integer(1),
    }
}

fn string_encoding(value: &[u8]) -> &'static [u8] {
    match value {
        value if integer(value).is_some() => b"int",
        value if value.len() <= EMBEDDED_MAX => b"embstr",
        _ => b"raw",
    }
}

fn set_encoding(elements: &[SiblingView]) -> &'static [u8] {
    let are_numbers = elements.iter().all(|element| integer(&element.value).is_some());
    if are_numbers && elements.len() <= NUMBERS_MAX { b"intset" } else { b"hashtable" }
}
