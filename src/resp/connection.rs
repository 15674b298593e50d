//! Commands about the connection itself.

use super::command::wrong_arity;
use super::parse::Args;
use super::session::{Handled, Session, Turn};

/// `PING [text]`
pub fn ping(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    match args.len() {
        1 => session.answer(turn, |writer| writer.simple("PONG")),
        2 => session.answer(turn, |writer| writer.bulk(args.at(1))),
        _ => return Err(wrong_arity("ping")),
    }
    Ok(())
}
