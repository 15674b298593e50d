//! `Q.DEV`: what only the nodes of `quorate dev` do, for whoever wants to see what happens then.
//!
//! ```text
//! Q.DEV ISOLATE  → OK; from now on the node hears nothing of the others and says nothing to them
//! Q.DEV HEAL     → OK; it looks for them again
//! ```

use super::command::{Subcommand, subcommand};
use super::parse::Args;
use super::session::{Handled, Session, Turn};

const DEV: &[Subcommand] = &[
    Subcommand { name: "isolate", arity: 2, handler: isolate },
    Subcommand { name: "heal", arity: 2, handler: heal },
];

/// `Q.DEV subcommand`
pub fn dev(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    subcommand("q.dev", DEV, session, turn, args)
}

fn isolate(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    set(session, turn, true)
}

fn heal(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    set(session, turn, false)
}

fn set(session: &mut Session, turn: &mut Turn<'_>, on: bool) -> Handled {
    if !turn.backend.isolate(on) {
        return Err("NOPERM only a node of `quorate dev` is cut off by its clients".into());
    }
    session.answer(turn, |writer| writer.simple("OK"));
    Ok(())
}
