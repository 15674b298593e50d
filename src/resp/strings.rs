//! Commands that read and write one string.
//!
//! Rule (trap T12): only `SET key value` without an option writes without reading; it replaces what its
//! coordinator holds. Every other command that writes goes through [`Operation::Edit`], which merges a
//! read quorum first, so that a coordinator that missed a write cannot hide it.

use crate::proto::io::{Blind, Edit, ExpiryEdit, Operation, Options, Presence, View};

use super::answer::Shape;
use super::order::Slot;
use super::parse::Args;
use super::session::{Handled, Session, Turn};

/// How plain commands read: the newest value, without a context.
pub const LATEST: Options = Options {
    r: None,
    w: None,
    pr: None,
    pw: None,
    dw: None,
    sloppy: false,
    view: View::Latest,
    want_context: false,
    timeout: None,
};

/// `GET key`
pub fn get(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    session.request(turn, Slot::Answer(Shape::Value), args.at(1), Operation::Get, LATEST);
    Ok(())
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let (key, value) = (args.at(1), args.at(2));
    if args.len() == 3 {
        let operation = Operation::Put { value, context: None, blind: Blind::Supersede, expires_ms: None };
        session.request(turn, Slot::Answer(Shape::Ok), key, operation, LATEST);
        return Ok(());
    }
    let edit = Edit::Set { value, when: Presence::Any, expiry: ExpiryEdit::Clear };
    session.request(turn, Slot::Answer(Shape::Ok), key, Operation::Edit(edit), LATEST);
    Ok(())
}
