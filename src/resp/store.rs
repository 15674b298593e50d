//! `Q.STORE`: what an operator asks of a node's records on its disk.
//!
//! ```text
//! Q.STORE STATUS            → read_only, disk_full, incomplete, and every figure of the store
//! Q.STORE BACKUP directory  → OK once the backup is whole and on disk
//! ```
//!
//! A backup writes files where its client says, with the rights of the node. So it is made only for those
//! who have given the password, where there is one, or who are on the same machine.

use crate::proto::node::Status;

use super::command::{Subcommand, subcommand};
use super::parse::Args;
use super::quorum::{flag, number};
use super::session::{Handled, Session, Turn};

const STORE: &[Subcommand] = &[
    Subcommand { name: "status", arity: 2, handler: status },
    Subcommand { name: "backup", arity: 3, handler: backup },
];

/// What the names of the store's figures begin with among all counters.
const FIGURE: &str = "store_";

/// `Q.STORE subcommand`
pub fn store(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    subcommand("q.store", STORE, session, turn, args)
}

fn status(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let Status { read_only, disk_full, incomplete, counters, .. } = turn.backend.status();
    let figures: Vec<_> = counters.iter().filter(|(name, _)| name.starts_with(FIGURE)).collect();
    session.answer(turn, |writer| {
        writer.map(3 + figures.len());
        flag(writer, "read_only", read_only);
        flag(writer, "disk_full", disk_full);
        number(writer, "incomplete", incomplete);
        for (name, value) in figures {
            number(writer, &name[FIGURE.len()..], *value);
        }
    });
    Ok(())
}

fn backup(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    if !session.is_trusted() {
        return Err("NOPERM a backup is made for clients of this machine, or with a password".into());
    }
    let directory = args.at(2);
    if !directory.starts_with(b"/") {
        return Err("ERR BACKUP takes the whole path of a directory, from / on".into());
    }
    session.begin_backup(turn, directory)
}

/// The error line of a backup that was not made.
pub fn backup_error(problem: &str) -> String {
    let one_line: String = problem.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("ERR no backup was made: {one_line}")
}
