//! Commands that count.
//!
//! They do not read first (trap T12 is none here): two increments that know nothing of each other both count,
//! whichever replica had seen what. The number that is answered is that of the replica that counted.

use crate::proto::io::{Add, Edit, Operation, Options};

use super::answer::Shape;
use super::number::{NOT_AN_INTEGER, SYNTAX, integer_at};
use super::order::Slot;
use super::parse::Args;
use super::quorum::{Word, context_at, option, set, shared, write_count};
use super::session::{Handled, Session, Turn};
use super::strings::submit;

/// `INCR key`
pub fn increment(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    add(session, turn, args, 1)
}

/// `DECR key`
pub fn decrement(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    add(session, turn, args, -1)
}

/// `INCRBY key increment`
pub fn increment_by(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    add(session, turn, args, integer_at(args, 2)?)
}

/// `DECRBY key decrement`
pub fn decrement_by(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let by = integer_at(args, 2)?.checked_neg().ok_or("ERR decrement would overflow")?;
    add(session, turn, args, by)
}

fn add(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>, by: i64) -> Handled {
    submit(session, turn, args, Operation::Add(Add::By { by, id: None }), Shape::Integer)
}

/// `INCRBYFLOAT key increment`
pub fn increment_by_float(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Edit(Edit::AddFloat(args.at(2))), Shape::Value)
}

/// `Q.COUNTER`
pub fn counter(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let mut options = Options::default();
    let (mut by, mut to, mut id, mut context) = (None, None, None, None);
    let mut at = 2;
    while at < args.len() {
        at += match option(args, at)? {
            Word::By => set(&mut by, integer_at(args, at + 1)?),
            Word::To => set(&mut to, integer_at(args, at + 1)?),
            Word::Id => {
                let text = core::str::from_utf8(args.get(at + 1).ok_or(SYNTAX)?);
                set(&mut id, text.ok().and_then(|text| text.parse().ok()).ok_or(NOT_AN_INTEGER)?)
            }
            Word::Context => set(&mut context, context_at(args, at + 1)?),
            word => match write_count(word, args, at, &mut options)? {
                0 => shared(word, args, at, &mut options)?,
                taken => taken,
            },
        };
    }
    let add = match (by, to, id, &context) {
        (by, None, id, None) => Add::By { by: by.unwrap_or(1), id },
        (None, Some(to), None, Some(context)) => Add::To { to, context },
        _ => return Err(SYNTAX),
    };
    session.request(turn, Slot::Answer(Shape::QuorumCount), args.at(1), Operation::Add(add), options);
    Ok(())
}
