//! Commands on sets.
//!
//! What is added is added anew even if it is there (see [`Edit::AddElements`]); the answer counts what was not there as
//! far as R replicas knew.

use crate::proto::io::{Edit, Operation, Options};

use super::answer::Shape;
use super::number::{SYNTAX, count_at, integer_at};
use super::order::Slot;
use super::parse::Args;
use super::quorum::{Word, option, set, shared, write_count};
use super::session::{Handled, Session, Turn};
use super::strings::submit;

/// `SADD key member [member ...]`
pub fn add(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let edit = Edit::AddElements(args.from(2).collect());
    submit(session, turn, args, Operation::Edit(edit), Shape::Length)
}

/// `SREM key member [member ...]`
pub fn remove(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let edit = Edit::RemoveElements(args.from(2).collect());
    submit(session, turn, args, Operation::Edit(edit), Shape::Length)
}

/// `SMEMBERS key`
pub fn members(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::Members)
}

/// `SCARD key`
pub fn cardinality(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::Cardinality)
}

/// `SISMEMBER key member`
pub fn is_member(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    session.request_about(turn, Shape::IsMember, args);
    Ok(())
}

/// `SMISMEMBER key member [member ...]`
pub fn are_members(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    session.request_about(turn, Shape::AreMembers, args);
    Ok(())
}

/// `Q.SET`
pub fn change(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let adds = args.is(2, "ADD");
    if !adds && !args.is(2, "REMOVE") {
        return Err(SYNTAX);
    }
    let count = usize::try_from(integer_at(args, 3)?).unwrap_or(0);
    if count == 0 || count > args.len() - 4 {
        return Err("ERR the count of members is outside 1 to the number of words behind it".into());
    }
    let mut options = Options::default();
    let mut at = 4 + count;
    while at < args.len() {
        at += match option(args, at)? {
            Word::R => set(&mut options.r, count_at(args, at + 1)?),
            word => match write_count(word, args, at, &mut options)? {
                0 => shared(word, args, at, &mut options)?,
                taken => taken,
            },
        };
    }
    let members = args.from(4).take(count).collect();
    let edit = if adds { Edit::AddElements(members) } else { Edit::RemoveElements(members) };
    session.request(turn, Slot::Answer(Shape::QuorumChange), args.at(1), Operation::Edit(edit), options);
    Ok(())
}
