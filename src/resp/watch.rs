//! `Q.WATCH`: the change feed of a partition, asked for page by page.
//!
//! ```text
//! Q.WATCH partition [FROM place] [COUNT n]
//!   → next, gap, more, changed [key, siblings [value, type, dot, hlc, (expires_ms)]]
//! ```
//!
//! Without `FROM` it begins now, which is a gap to one who knows nothing yet: a scan shows what there is, and the feed
//! from `next` on what changes after that. A node tells of partitions of which it holds a copy (`Q.OWNERS`).

use crate::proto::io::{Operation, Options, Reply};

use super::answer::{Shape, siblings};
use super::number::{SYNTAX, integer_at};
use super::order::Slot;
use super::parse::Args;
use super::reply::Writer;
use super::session::{Handled, Session, Turn};
use super::text::{context_from_text, context_text};

/// `Q.WATCH`
pub fn watch(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let partition = u16::try_from(integer_at(args, 1)?).map_err(|_| "ERR there is no such partition")?;
    let (mut since, mut limit) = (None, 0);
    for at in (2..args.len()).step_by(2) {
        let value = args.get(at + 1).ok_or(SYNTAX)?;
        if args.is(at, "FROM") {
            since = Some(context_from_text(value).ok_or("ERR the place was not given by this cluster")?);
        } else if args.is(at, "COUNT") {
            let count = integer_at(args, at + 1)?;
            limit = u32::try_from(count).ok().filter(|&count| count > 0).ok_or(SYNTAX)?;
        } else {
            return Err(SYNTAX);
        }
    }
    let operation = Operation::Changes { partition: Some(partition), since: since.as_deref(), limit };
    session.request(turn, Slot::Answer(Shape::Changes), b"", operation, Options::default());
    Ok(())
}

/// Answers with a page.
pub fn write(writer: &mut Writer<'_>, reply: &Reply) {
    let Some(page) = &reply.changes else { return writer.null() };
    writer.map(4);
    writer.bulk(b"next");
    writer.bulk(context_text(&page.next).as_bytes());
    for (name, is_so) in [("gap", page.has_gap), ("more", page.has_more)] {
        writer.bulk(name.as_bytes());
        writer.boolean(is_so);
    }
    writer.bulk(b"changed");
    writer.array(page.changed.len());
    for changed in &page.changed {
        writer.map(2);
        writer.bulk(b"key");
        writer.bulk(&changed.key);
        siblings(writer, &changed.siblings);
    }
}
