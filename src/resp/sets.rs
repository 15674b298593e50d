//! Commands on sets.
//!
//! What is added is added anew even if it is there (see [`Edit::AddElements`]); the answer counts what was not there as
//! far as R replicas knew.

use crate::proto::io::{Edit, Operation};

use super::answer::Shape;
use super::parse::Args;
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
