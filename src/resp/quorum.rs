//! Our own commands: reads and writes that see siblings and contexts and choose their quorums.
//!
//! ```text
//! Q.GET key [R r] [PR n] [VIEW all|latest|majority|max|min|sum|set_union|concat] [SLOPPY] [TIMEOUT ms]
//!   → context, siblings [value, type, dot, hlc, (expires_ms)], acked, asked, durable, fallbacks
//!     and, only when they are so: weak, unrepaired, hid_siblings, merged
//! Q.PUT key value [CONTEXT c] [SUPERSEDE|IFSEEN] [TTL ms] [W w] [PW n] [DW d] [SLOPPY] [TIMEOUT ms]
//! Q.DEL key [CONTEXT c] [SUPERSEDE|IFSEEN] [W w] [PW n] [DW d] [SLOPPY] [TIMEOUT ms]
//!   → dot, context, acked, asked, durable, fallbacks, and weak when it is so
//! Q.COUNTER key [BY n] [ID id] [W w] [PW n] [DW d] [SLOPPY] [TIMEOUT ms]
//! Q.COUNTER key CONTEXT c TO n [W w] [PW n] [DW d] [SLOPPY] [TIMEOUT ms]
//!   → value, dot, acked, asked, durable, fallbacks, and weak when it is so
//! Q.SET key ADD|REMOVE count member [member ...] [R r] [W w] [PW n] [DW d] [SLOPPY] [TIMEOUT ms]
//!   → changed, dot, acked, asked, durable, fallbacks, and weak when it is so
//! Q.OWNERS key → partition, owners
//! Q.STATUS → what the node knows of itself and its cluster
//! Q.READS → siblings, object_bytes, stale_ms [up_to, count], worst_keys [keyspace, key, siblings, bytes]
//! ```
//!
//! A `Q.PUT` without a context supersedes nothing unless it says `SUPERSEDE`. A `Q.DEL` without one would
//! delete nothing then, so its coordinator reads R replicas first and deletes what they hold.
//!
//! With `IFSEEN` a write is refused (`CHANGED`) if its coordinator's copy holds what the context does not cover; without a
//! context, if it holds any value. Two coordinators may both accept: what they write are siblings, and nothing is lost.
//!
//! A `Q.COUNTER` with a context makes the number that was read the one it names: it adds the difference, once. With
//! an `ID` it counts once at its coordinator.
//!
//! A `Q.SET` is `SADD` or `SREM` with a choice of quorums. What it changed is told as R replicas know it.

use core::time::Duration;

use crate::proto::io::{Blind, Merge, Operation, Options, View};
use crate::proto::limits::DEADLINE_MAX;

use super::answer::Shape;
use super::number::{SYNTAX, TimeUnit, count_at, integer_at, invalid_expiry};
use super::order::Slot;
use super::parse::Args;
use super::reply::Writer;
use super::session::{Handled, Refusal, Session, Turn};
use super::text::context_from_text;

/// `Q.GET`
pub fn get(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let mut options = Options { want_context: true, ..Options::default() };
    let mut at = 2;
    while at < args.len() {
        at += match option(args, at)? {
            Word::R => set(&mut options.r, count_at(args, at + 1)?),
            Word::Pr => set(&mut options.pr, count_at(args, at + 1)?),
            Word::View => {
                options.view = view(args.get(at + 1).ok_or(SYNTAX)?)?;
                2
            }
            word => shared(word, args, at, &mut options)?,
        };
    }
    session.request(turn, Slot::Answer(Shape::QuorumRead), args.at(1), Operation::Get, options);
    Ok(())
}

/// `Q.PUT`
pub fn put(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let write = write_options(args, 3, true)?;
    let expires_ms = match write.ttl {
        None => None,
        Some(ttl) if ttl <= 0 => return Err(invalid_expiry("q.put")),
        Some(ttl) => {
            Some(TimeUnit::MILLIS.expires_ms(ttl, turn.now.wall).ok_or_else(|| invalid_expiry("q.put"))?)
        }
    };
    let context = write.context.as_deref();
    let operation = Operation::Put { value: args.at(2), context, blind: write.blind, expires_ms };
    session.request(turn, Slot::Answer(Shape::QuorumWrite), args.at(1), operation, write.options);
    Ok(())
}

/// `Q.DEL`
pub fn delete(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let write = write_options(args, 2, false)?;
    let operation = Operation::Delete { context: write.context.as_deref(), blind: write.blind };
    session.request(turn, Slot::Answer(Shape::QuorumWrite), args.at(1), operation, write.options);
    Ok(())
}

/// `Q.OWNERS`
pub fn owners(session: &mut Session, turn: &mut Turn<'_>, args: Args<'_>) -> Handled {
    let owners = turn.backend.owners(session.keyspace, args.at(1));
    session.answer(turn, |writer| {
        writer.map(2);
        writer.bulk(b"partition");
        writer.integer(i64::from(owners.partition));
        writer.bulk(b"owners");
        writer.array(owners.members.len());
        for member in &owners.members {
            writer.bulk(member.as_bytes());
        }
    });
    Ok(())
}

/// `Q.STATUS`
pub fn status(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let status = turn.backend.status();
    session.answer(turn, |writer| {
        writer.map(13);
        text(writer, "name", &status.name);
        text(writer, "cluster", &status.cluster);
        text(writer, "generation", &format!("{:016x}", status.generation));
        number(writer, "layout_version", status.layout_version);
        text(writer, "layout_hash", &format!("{:016x}", status.layout_hash));
        number(writer, "partitions", u64::from(status.partitions));
        number(writer, "records", status.records);
        flag(writer, "read_only", status.read_only);
        flag(writer, "disk_full", status.disk_full);
        number(writer, "incomplete", status.incomplete);
        flag(writer, "degraded", status.degraded);
        writer.bulk(b"members");
        writer.array(status.members.len());
        for member in &status.members {
            writer.map(6);
            text(writer, "name", &member.name);
            text(writer, "address", &member.address);
            flag(writer, "up", member.up);
            writer.bulk(b"verdict");
            match member.verdict_name() {
                Some(verdict) => writer.bulk(verdict.as_bytes()),
                None => writer.null(),
            }
            number(writer, "partitions", u64::from(member.partitions));
            writer.bulk(b"generation");
            match member.generation {
                Some(generation) => writer.bulk(format!("{generation:016x}").as_bytes()),
                None => writer.null(),
            }
        }
        writer.bulk(b"counters");
        writer.map(status.counters.len());
        for (name, value) in &status.counters {
            number(writer, name, *value);
        }
    });
    Ok(())
}

/// `Q.READS`
pub fn reads(session: &mut Session, turn: &mut Turn<'_>, _: Args<'_>) -> Handled {
    let reads = turn.backend.status().reads;
    session.answer(turn, |writer| {
        writer.map(4);
        for (name, steps) in [
            ("siblings", &reads.siblings),
            ("object_bytes", &reads.object_bytes),
            ("stale_ms", &reads.stale_ms),
        ] {
            writer.bulk(name.as_bytes());
            writer.array(steps.len());
            for &(bound, count) in steps {
                writer.map(2);
                number(writer, "up_to", bound);
                number(writer, "count", count);
            }
        }
        writer.bulk(b"worst_keys");
        writer.array(reads.worst_keys.len());
        for worst in &reads.worst_keys {
            writer.map(4);
            number(writer, "keyspace", worst.keyspace.into());
            writer.bulk(b"key");
            writer.bulk(&worst.key);
            number(writer, "siblings", worst.siblings);
            number(writer, "bytes", worst.bytes);
        }
    });
    Ok(())
}

pub(super) fn text(writer: &mut Writer<'_>, name: &str, value: &str) {
    writer.bulk(name.as_bytes());
    writer.bulk(value.as_bytes());
}

pub(super) fn number(writer: &mut Writer<'_>, name: &str, value: u64) {
    writer.bulk(name.as_bytes());
    writer.count(value);
}

pub(super) fn flag(writer: &mut Writer<'_>, name: &str, value: bool) {
    writer.bulk(name.as_bytes());
    writer.boolean(value);
}

/// An option's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Word {
    R,
    W,
    Pr,
    Pw,
    Dw,
    View,
    Context,
    Supersede,
    IfSeen,
    Ttl,
    Sloppy,
    Timeout,
    By,
    To,
    Id,
    Match,
    Prefix,
    Count,
}

pub(super) fn option(args: Args<'_>, at: usize) -> Result<Word, Refusal> {
    const WORDS: [(&str, Word); 18] = [
        ("R", Word::R),
        ("W", Word::W),
        ("PR", Word::Pr),
        ("PW", Word::Pw),
        ("DW", Word::Dw),
        ("VIEW", Word::View),
        ("CONTEXT", Word::Context),
        ("SUPERSEDE", Word::Supersede),
        ("IFSEEN", Word::IfSeen),
        ("TTL", Word::Ttl),
        ("SLOPPY", Word::Sloppy),
        ("TIMEOUT", Word::Timeout),
        ("BY", Word::By),
        ("TO", Word::To),
        ("ID", Word::Id),
        ("MATCH", Word::Match),
        ("PREFIX", Word::Prefix),
        ("COUNT", Word::Count),
    ];
    WORDS.into_iter().find_map(|(name, word)| args.is(at, name).then_some(word)).ok_or(SYNTAX)
}

/// Options that reads and writes share. Returns how many arguments it took.
pub(super) fn shared(word: Word, args: Args<'_>, at: usize, options: &mut Options) -> Result<usize, Refusal> {
    match word {
        Word::Sloppy => {
            options.sloppy = true;
            Ok(1)
        }
        Word::Timeout => {
            let millis = integer_at(args, at + 1)?;
            let timeout = Duration::from_millis(u64::try_from(millis).unwrap_or(0));
            if timeout.is_zero() || timeout > DEADLINE_MAX {
                let limit = DEADLINE_MAX.as_millis();
                return Err(format!("ERR TIMEOUT is outside 1 to {limit} milliseconds").into());
            }
            Ok(set(&mut options.timeout, timeout))
        }
        _ => Err(SYNTAX),
    }
}

/// Sets an option that took its name and one argument.
pub(super) fn set<T>(option: &mut Option<T>, value: T) -> usize {
    *option = Some(value);
    2
}

fn view(name: &[u8]) -> Result<View, Refusal> {
    match name.to_ascii_lowercase().as_slice() {
        b"all" => Ok(View::All),
        b"latest" => Ok(View::Latest),
        b"majority" => Ok(View::Majority),
        b"max" => Ok(View::Merged(Merge::Max)),
        b"min" => Ok(View::Merged(Merge::Min)),
        b"sum" => Ok(View::Merged(Merge::Sum)),
        b"set_union" => Ok(View::Merged(Merge::SetUnion)),
        b"concat" => Ok(View::Merged(Merge::Concat)),
        _ => Err("ERR VIEW is one of all, latest, majority, max, min, sum, set_union, concat".into()),
    }
}

/// How many replicas a write asks for. Returns how many arguments it took: none, if it says something else.
pub(super) fn write_count(
    word: Word,
    args: Args<'_>,
    at: usize,
    options: &mut Options,
) -> Result<usize, Refusal> {
    Ok(match word {
        Word::W => set(&mut options.w, count_at(args, at + 1)?),
        Word::Pw => set(&mut options.pw, count_at(args, at + 1)?),
        Word::Dw => set(&mut options.dw, count_at(args, at + 1)?),
        _ => 0,
    })
}

/// The context at `at`.
pub(super) fn context_at(args: Args<'_>, at: usize) -> Result<Vec<u8>, Refusal> {
    let context = context_from_text(args.get(at).ok_or(SYNTAX)?);
    context.ok_or("BADCONTEXT it is no unpadded base64url text of a context".into())
}

struct WriteOptions {
    options: Options,
    context: Option<Vec<u8>>,
    blind: Blind,
    ttl: Option<i64>,
}

fn write_options(args: Args<'_>, from: usize, has_ttl: bool) -> Result<WriteOptions, Refusal> {
    let options = Options { want_context: true, ..Options::default() };
    let mut write = WriteOptions { options, context: None, blind: Blind::Siblings, ttl: None };
    let mut at = from;
    while at < args.len() {
        at += match option(args, at)? {
            Word::Ttl if has_ttl => set(&mut write.ttl, integer_at(args, at + 1)?),
            Word::Supersede => {
                write.blind = Blind::Supersede;
                1
            }
            Word::IfSeen => {
                write.blind = Blind::Refuse;
                1
            }
            Word::Context => set(&mut write.context, context_at(args, at + 1)?),
            word => match write_count(word, args, at, &mut write.options)? {
                0 => shared(word, args, at, &mut write.options)?,
                taken => taken,
            },
        };
    }
    Ok(write)
}
