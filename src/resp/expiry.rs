//! Commands about when a value expires. An expiry is an absolute wall-clock time and part of the
//! replicated version, so every node tells the same one.

use crate::proto::io::{Edit, ExpiryEdit, ExpiryWhen, Operation};

use super::answer::{ExpiryForm, Shape};
use super::limits::SHOWN_MAX;
use super::number::{TimeUnit, integer_at, invalid_expiry};
use super::parse::Args;
use super::session::{Handled, Refusal, Session, Turn};
use super::strings::submit;
use super::text::shown;

/// `EXPIRE key seconds [NX | XX | GT | LT]`
pub fn expire(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    set_expiry(session, turn, args, TimeUnit::SECONDS, "expire")
}

/// `PEXPIRE key milliseconds [NX | XX | GT | LT]`
pub fn expire_millis(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    set_expiry(session, turn, args, TimeUnit::MILLIS, "pexpire")
}

/// `EXPIREAT key unix-seconds [NX | XX | GT | LT]`
pub fn expire_at(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    set_expiry(session, turn, args, TimeUnit::SECONDS_AT, "expireat")
}

/// `PEXPIREAT key unix-milliseconds [NX | XX | GT | LT]`
pub fn expire_at_millis(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    set_expiry(session, turn, args, TimeUnit::MILLIS_AT, "pexpireat")
}

/// `PERSIST key`
pub fn persist(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let edit = Edit::Expire { expiry: ExpiryEdit::Clear, when: ExpiryWhen::Some };
    submit(session, turn, args, Operation::Edit(edit), Shape::Applied)
}

/// `TTL key`
pub fn left(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    tell(session, turn, args, ExpiryForm { absolute: false, millis: false })
}

/// `PTTL key`
pub fn left_millis(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    tell(session, turn, args, ExpiryForm { absolute: false, millis: true })
}

/// `EXPIRETIME key`
pub fn at(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    tell(session, turn, args, ExpiryForm { absolute: true, millis: false })
}

/// `PEXPIRETIME key`
pub fn at_millis(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    tell(session, turn, args, ExpiryForm { absolute: true, millis: true })
}

fn tell(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>, form: ExpiryForm) -> Handled {
    submit(session, turn, args, Operation::Get, Shape::Expiry(form))
}

fn set_expiry(
    session: &mut Session,
    turn: &mut Turn<'_>,
    args: Args<'_>,
    unit: TimeUnit,
    command: &str,
) -> Handled {
    let when = condition(args)?;
    let value = integer_at(args, 2)?;
    let expires_ms = unit.expires_ms(value, turn.now.wall).ok_or_else(|| invalid_expiry(command))?;
    let edit = Edit::Expire { expiry: ExpiryEdit::At(expires_ms), when };
    submit(session, turn, args, Operation::Edit(edit), Shape::Applied)
}

fn condition(args: Args<'_>) -> Result<ExpiryWhen, Refusal> {
    let (mut none, mut some, mut later, mut sooner) = (false, false, false, false);
    for option in args.from(3) {
        let flag = match option.to_ascii_uppercase().as_slice() {
            b"NX" => &mut none,
            b"XX" => &mut some,
            b"GT" => &mut later,
            b"LT" => &mut sooner,
            _ => return Err(format!("ERR Unsupported option {}", shown(option, SHOWN_MAX)).into()),
        };
        *flag = true;
    }
    if none && (some || later || sooner) {
        return Err("ERR NX and XX, GT or LT options at the same time are not compatible".into());
    }
    if later && sooner {
        return Err("ERR GT and LT options at the same time are not compatible".into());
    }
    match (none, some, later, sooner) {
        (true, ..) => Ok(ExpiryWhen::None),
        // No expiry is later than every one, so GT implies XX; LT does not.
        (_, _, true, _) => Ok(ExpiryWhen::Later),
        (_, true, _, true) => Ok(ExpiryWhen::SoonerThanSome),
        (_, _, _, true) => Ok(ExpiryWhen::Sooner),
        (_, true, ..) => Ok(ExpiryWhen::Some),
        _ => Ok(ExpiryWhen::Always),
    }
}
