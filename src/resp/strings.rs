//! Commands that read and write one string.
//!
//! Rule (trap T12): only `SET key value` without an option writes without reading; it replaces what its
//! coordinator holds. Every other command that writes goes through [`Operation::Edit`], which merges a
//! read quorum first, so that a coordinator that missed a write cannot hide it.

use crate::proto::io::{Blind, Edit, ExpiryEdit, ExpiryWhen, Operation, Options, Presence, View};
use crate::proto::time::Now;

use super::answer::Shape;
use super::number::{NOT_AN_INTEGER, NOT_AN_INTEGER_TEXT, SYNTAX, TimeUnit, positive_expiry};
use super::order::Slot;
use super::parse::Args;
use super::session::{Handled, Refusal, Session, Turn};

/// How plain commands read: the newest value, without a context.
pub const LATEST: Options = Options {
    r: None,
    w: None,
    pr: None,
    pw: None,
    dw: None,
    sloppy: false,
    view: View::Latest,
    text_only: false,
    want_context: false,
    timeout: None,
};

const INVALID_GETEX: &str = "ERR invalid expire time in 'getex' command";

/// Submits a request on the first key.
pub fn submit(
    session: &mut Session,
    turn: &mut Turn<'_>,
    args: Args<'_>,
    operation: Operation<'_>,
    shape: Shape,
) -> Handled {
    // What answers with a value must not have changed a set.
    let text_only = shape == Shape::Value && operation != Operation::Get;
    let options = Options { text_only, ..LATEST };
    session.request(turn, Slot::Answer(shape), args.at(1), operation, options);
    Ok(())
}

/// `GET key`
pub fn get(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::Value)
}

/// `SET key value [NX | XX] [GET] [EX s | PX ms | EXAT s | PXAT ms | KEEPTTL]`
pub fn set(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let value = args.at(2);
    if args.len() == 3 {
        let put = Operation::Put { value, context: None, blind: Blind::Supersede, expires_ms: None };
        return submit(session, turn, args, put, Shape::Ok);
    }
    let options = extended(args, turn.now, Extended::Set)?;
    let edit = Edit::Set { value, when: options.when, expiry: options.expiry.unwrap_or_default() };
    let shape = match (options.get, options.when) {
        (true, _) => Shape::Value,
        (false, Presence::Any) => Shape::Ok,
        (false, _) => Shape::OkIfApplied,
    };
    submit(session, turn, args, Operation::Edit(edit), shape)
}

/// The two commands that take the same options for a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extended {
    Set,
    GetExpire,
}

#[derive(Default)]
struct ExtendedOptions {
    when: Presence,
    get: bool,
    expiry: Option<ExpiryEdit>,
}

/// A time is looked at only once all options are known to fit together, as Redis does: what is wrong in
/// form is told before what is wrong in value. An option may come twice, and a unit too: the last one counts.
fn extended(args: Args<'_>, now: Now, command: Extended) -> Result<ExtendedOptions, Refusal> {
    let (is_set, name, first) = match command {
        Extended::Set => (true, "set", 3),
        Extended::GetExpire => (false, "getex", 2),
    };
    let mut options = ExtendedOptions::default();
    let mut time: Option<(TimeUnit, usize)> = None;
    let mut at = first;
    while at < args.len() {
        let has_time = time.is_some();
        if is_set && args.is(at, "NX") && options.when != Presence::Present {
            options.when = Presence::Absent;
        } else if is_set && args.is(at, "XX") && options.when != Presence::Absent {
            options.when = Presence::Present;
        } else if is_set && args.is(at, "GET") {
            options.get = true;
        } else if is_set && args.is(at, "KEEPTTL") && !has_time {
            options.expiry = Some(ExpiryEdit::Keep);
        } else if !is_set && args.is(at, "PERSIST") && !has_time {
            options.expiry = Some(ExpiryEdit::Clear);
        } else if let Some(unit) = expiry_unit(args, at)
            && at + 1 < args.len()
            && options.expiry.is_none()
            && time.is_none_or(|(other, _)| other == unit)
        {
            at += 1;
            time = Some((unit, at));
        } else {
            return Err(SYNTAX);
        }
        at += 1;
    }
    if let Some((unit, at)) = time {
        options.expiry = Some(ExpiryEdit::At(positive_expiry(args, at, unit, now.wall, name)?));
    }
    Ok(options)
}

fn expiry_unit(args: Args<'_>, at: usize) -> Option<TimeUnit> {
    [
        ("EX", TimeUnit::SECONDS),
        ("PX", TimeUnit::MILLIS),
        ("EXAT", TimeUnit::SECONDS_AT),
        ("PXAT", TimeUnit::MILLIS_AT),
    ]
    .into_iter()
    .find_map(|(name, unit)| args.is(at, name).then_some(unit))
}

/// `SETEX key seconds value`
pub fn set_seconds(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    set_for(session, turn, args, TimeUnit::SECONDS, "setex")
}

/// `PSETEX key milliseconds value`
pub fn set_millis(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    set_for(session, turn, args, TimeUnit::MILLIS, "psetex")
}

fn set_for(
    session: &mut Session,
    turn: &mut Turn<'_>,
    args: Args<'_>,
    unit: TimeUnit,
    command: &str,
) -> Handled {
    let expiry = ExpiryEdit::At(positive_expiry(args, 2, unit, turn.now.wall, command)?);
    let edit = Edit::Set { value: args.at(3), when: Presence::Any, expiry };
    submit(session, turn, args, Operation::Edit(edit), Shape::Ok)
}

/// `SETNX key value`
pub fn set_absent(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let edit = Edit::Set { value: args.at(2), when: Presence::Absent, expiry: ExpiryEdit::Clear };
    submit(session, turn, args, Operation::Edit(edit), Shape::Applied)
}

/// `GETSET key value`
pub fn get_set(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let edit = Edit::Set { value: args.at(2), when: Presence::Any, expiry: ExpiryEdit::Clear };
    submit(session, turn, args, Operation::Edit(edit), Shape::Value)
}

/// `GETDEL key`
pub fn get_delete(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Edit(Edit::Delete), Shape::Value)
}

/// `GETEX key [EX s | PX ms | EXAT s | PXAT ms | PERSIST]`
pub fn get_expire(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let expiry = match extended(args, turn.now, Extended::GetExpire) {
        Ok(ExtendedOptions { expiry: Some(expiry), .. }) => expiry,
        Ok(_) => return submit(session, turn, args, Operation::Get, Shape::Value),
        Err(refusal) if refusal == SYNTAX => return Err(refusal),
        // Unlike SET, it looks for the key before it looks at the time.
        Err(refusal) => {
            let refusal = if refusal == NOT_AN_INTEGER { NOT_AN_INTEGER_TEXT } else { INVALID_GETEX };
            return submit(session, turn, args, Operation::Get, Shape::NoneOr(refusal));
        }
    };
    // A value without an expiry needs no write to lose it.
    let when = if expiry == ExpiryEdit::Clear { ExpiryWhen::Some } else { ExpiryWhen::Always };
    submit(session, turn, args, Operation::Edit(Edit::Expire { expiry, when }), Shape::Value)
}

/// `APPEND key tail`
pub fn append(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Edit(Edit::Append(args.at(2))), Shape::Length)
}

/// `STRLEN key`
pub fn length(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::ValueLength)
}

/// `TYPE key`
pub fn kind(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::Type)
}
