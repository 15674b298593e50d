//! What a node's reply becomes on the connection: one form per kind of command, one error line per
//! outcome.
//!
//! Rule: only [`Outcome::Ok`] (and, where a command asks a question, *not found*) is answered as
//! success. Every other outcome is an error whose first word tells a client what it may do next.

use core::fmt::Write as _;

use crate::proto::error::Outcome;
use crate::proto::io::{Kind, Reply, SiblingView};
use crate::proto::time::WallTime;

use super::cluster;
use super::number::integer;
use super::object;
use super::parts;
use super::reply::{Protocol, Writer};
use super::text::{context_text, dot_text};
use super::watch;

/// The shape of the answer to a command that is one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `+OK`.
    Ok,
    /// `+OK` if it was written, no value otherwise.
    OkIfApplied,
    /// The value, or none.
    Value,
    /// Nothing without a value; with one, this error line.
    NoneOr(&'static str),
    /// 1 if it was written, 0 otherwise.
    Applied,
    /// The new length.
    Length,
    /// The value, which is a number.
    Integer,
    /// The value's length.
    ValueLength,
    /// `string`, `set` or `none`.
    Type,
    /// A part of the value.
    Asked(parts::Question),
    /// How the value is kept.
    Object(object::Asked),
    /// The elements.
    Members,
    /// How many elements there are.
    Cardinality,
    /// Whether what was asked for is an element, 1 or 0.
    IsMember,
    /// The same for each of several.
    AreMembers,
    /// When the value expires.
    Expiry(ExpiryForm),
    /// All of a read: context, siblings, what was achieved.
    QuorumRead,
    /// All of a write: dot, context, what was achieved.
    QuorumWrite,
    /// All of a count: value, dot, what was achieved.
    QuorumCount,
    /// All of a change of a set: how many elements, dot, what was achieved.
    QuorumChange,
    /// A page of a change feed.
    Changes,
    /// A part of how the cluster is.
    Cluster(cluster::Part),
}

/// How a time of expiry is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpiryForm {
    /// As a point in time rather than as the time that is left.
    pub absolute: bool,
    /// In milliseconds rather than seconds.
    pub millis: bool,
}

/// Writes the answer. `asked` are the elements that were asked about, `wall` is the time of the answer.
pub fn write(
    shape: Shape,
    reply: &Reply,
    asked: &[Vec<u8>],
    protocol: Protocol,
    wall: WallTime,
    out: &mut Vec<u8>,
) {
    // The two shapes that carry nearly all traffic come first and look at nothing else.
    if reply.outcome == Outcome::Ok {
        match (shape, reply.siblings.first()) {
            (Shape::Ok, _) => return out.extend_from_slice(b"+OK\r\n"),
            (Shape::Value, Some(sibling)) if sibling.kind != Kind::Element => {
                return Writer::new(out, protocol).bulk(&sibling.value);
            }
            _ => {}
        }
    }
    let mut writer = Writer::new(out, protocol);
    let asks = !matches!(shape, Shape::Ok | Shape::QuorumWrite);
    match reply.outcome {
        Outcome::Ok => {}
        Outcome::NotFound if asks => {}
        _ if matches!(shape, Shape::Cluster(_)) => return writer.error(&cluster::failure(reply)),
        _ => return writer.error(&failure(reply)),
    }
    let newest = reply.siblings.first();
    if newest.is_some_and(|sibling| !shape.takes(sibling.kind)) {
        return writer.error(&failure(&Reply::bare(Outcome::WrongType)));
    }
    let value = newest.map(|sibling| &sibling.value[..]);
    match shape {
        Shape::Ok => writer.ok(),
        Shape::OkIfApplied if reply.applied => writer.ok(),
        Shape::OkIfApplied => writer.null(),
        Shape::Value => match value {
            Some(value) => writer.bulk(value),
            None => writer.null(),
        },
        Shape::NoneOr(refusal) => match value {
            Some(_) => writer.error(refusal),
            None => writer.null(),
        },
        Shape::Applied => writer.integer(i64::from(reply.applied)),
        Shape::Length => writer.count(reply.length),
        Shape::Integer => match value.and_then(integer) {
            Some(number) => writer.integer(number),
            None => writer.null(),
        },
        Shape::ValueLength => writer.count(value.map_or(0, |value| value.len() as u64)),
        Shape::Type => writer.simple(match newest.map(|sibling| sibling.kind) {
            Some(Kind::Bytes | Kind::Counter) => "string",
            Some(Kind::Element) => "set",
            None => "none",
        }),
        Shape::Members => {
            writer.set(reply.siblings.len());
            reply.siblings.iter().for_each(|element| writer.bulk(&element.value));
        }
        Shape::Cardinality => writer.count(reply.siblings.len() as u64),
        Shape::IsMember => memberships(&mut writer, reply, asked),
        Shape::AreMembers => {
            writer.array(asked.len());
            memberships(&mut writer, reply, asked);
        }
        Shape::Asked(question) => parts::write(&mut writer, question, value),
        Shape::Object(asked) => object::write(&mut writer, asked, &reply.siblings),
        Shape::Expiry(form) => writer.integer(expiry(newest, form, wall)),
        Shape::QuorumRead => quorum_read(&mut writer, reply),
        Shape::QuorumWrite => quorum_write(&mut writer, reply),
        Shape::QuorumCount => quorum_count(&mut writer, reply),
        Shape::QuorumChange => quorum_change(&mut writer, reply),
        Shape::Changes => watch::write(&mut writer, reply),
        Shape::Cluster(part) => match &reply.overview {
            Some(overview) => cluster::write(&mut writer, part, overview),
            None => writer.null(),
        },
    }
}

impl Shape {
    /// Whether it tells of a value of this kind.
    fn takes(self, kind: Kind) -> bool {
        match self {
            Shape::Members | Shape::Cardinality | Shape::IsMember | Shape::AreMembers => {
                kind == Kind::Element
            }
            Shape::Value | Shape::ValueLength | Shape::Integer | Shape::Asked(_) => kind != Kind::Element,
            _ => true,
        }
    }
}

/// The elements come sorted.
fn memberships(writer: &mut Writer<'_>, reply: &Reply, asked: &[Vec<u8>]) {
    for member in asked {
        let found = reply.siblings.binary_search_by(|element| (*element.value).cmp(member));
        writer.integer(i64::from(found.is_ok()));
    }
}

/// −2 without a value, −1 without an expiry, as Redis answers.
fn expiry(newest: Option<&SiblingView>, form: ExpiryForm, wall: WallTime) -> i64 {
    let Some(sibling) = newest else { return -2 };
    let Some(expires_ms) = sibling.expires_ms else { return -1 };
    let millis = if form.absolute { expires_ms } else { expires_ms.saturating_sub(wall.0) };
    let told = if form.millis { millis } else { millis.saturating_add(500) / 1_000 };
    i64::try_from(told).unwrap_or(i64::MAX)
}

/// The flags of a read come only when they are set, so that a careful client asks for their presence.
fn quorum_read(writer: &mut Writer<'_>, reply: &Reply) {
    let flags = [
        ("weak", reply.weak),
        ("unrepaired", reply.unrepaired),
        ("hid_siblings", reply.hid_siblings),
        ("merged", reply.merged),
    ];
    writer.map(6 + flags.iter().filter(|flag| flag.1).count());
    writer.bulk(b"context");
    optional(writer, reply.context.as_deref().map(context_text));
    siblings(writer, &reply.siblings);
    achieved(writer, reply);
    for (name, _) in flags.iter().filter(|flag| flag.1) {
        writer.bulk(name.as_bytes());
        writer.boolean(true);
    }
}

/// The name and the list of siblings.
pub(super) fn siblings(writer: &mut Writer<'_>, siblings: &[SiblingView]) {
    writer.bulk(b"siblings");
    writer.array(siblings.len());
    for sibling in siblings {
        writer.map(4 + usize::from(sibling.expires_ms.is_some()));
        writer.bulk(b"value");
        writer.bulk(&sibling.value);
        writer.bulk(b"type");
        writer.bulk(match sibling.kind {
            Kind::Bytes => b"bytes",
            Kind::Counter => b"counter",
            Kind::Element => b"element",
        });
        writer.bulk(b"dot");
        writer.bulk(dot_text(&sibling.dot).as_bytes());
        writer.bulk(b"hlc");
        writer.count(sibling.hlc.0);
        if let Some(expires_ms) = sibling.expires_ms {
            writer.bulk(b"expires_ms");
            writer.count(expires_ms);
        }
    }
}

fn quorum_write(writer: &mut Writer<'_>, reply: &Reply) {
    writer.map(6 + usize::from(reply.weak));
    dot(writer, reply);
    writer.bulk(b"context");
    optional(writer, reply.context.as_deref().map(context_text));
    written(writer, reply);
}

fn quorum_count(writer: &mut Writer<'_>, reply: &Reply) {
    writer.map(6 + usize::from(reply.weak));
    writer.bulk(b"value");
    match reply.siblings.first().and_then(|sibling| integer(&sibling.value)) {
        Some(number) => writer.integer(number),
        None => writer.null(),
    }
    dot(writer, reply);
    written(writer, reply);
}

fn quorum_change(writer: &mut Writer<'_>, reply: &Reply) {
    writer.map(6 + usize::from(reply.weak));
    writer.bulk(b"changed");
    writer.count(reply.length);
    dot(writer, reply);
    written(writer, reply);
}

fn dot(writer: &mut Writer<'_>, reply: &Reply) {
    writer.bulk(b"dot");
    optional(writer, reply.dot.as_ref().map(dot_text));
}

/// What a write achieved, and whether it is weak.
fn written(writer: &mut Writer<'_>, reply: &Reply) {
    achieved(writer, reply);
    if reply.weak {
        writer.bulk(b"weak");
        writer.boolean(true);
    }
}

fn achieved(writer: &mut Writer<'_>, reply: &Reply) {
    let achieved = reply.achieved;
    for (name, count) in [
        ("acked", achieved.acked),
        ("asked", achieved.asked),
        ("durable", achieved.durable),
        ("fallbacks", achieved.fallbacks),
    ] {
        writer.bulk(name.as_bytes());
        writer.integer(i64::from(count));
    }
}

fn optional(writer: &mut Writer<'_>, text: Option<String>) {
    match text {
        Some(text) => writer.bulk(text.as_bytes()),
        None => writer.null(),
    }
}

/// The error line of an outcome. *Partial* and *maybe* say what was achieved and, once one was issued,
/// name the dot, so that a client can look for its write later.
pub fn failure(reply: &Reply) -> String {
    let code = code(&reply.outcome);
    let mut text = match &reply.outcome {
        Outcome::NoMajority => {
            let count = reply.siblings.len();
            format!("{code} no version is held by a majority; VIEW all shows the siblings, {count} of them")
        }
        outcome => {
            // What stands before the colon is the code once more, in words.
            let told = outcome.to_string();
            let told = told.split_once(": ").map_or(told.as_str(), |(_, rest)| rest);
            format!("{code} {told}")
        }
    };
    if matches!(reply.outcome, Outcome::Partial | Outcome::Maybe) {
        let written = write!(text, " acked={} of={}", reply.achieved.acked, reply.achieved.asked);
        debug_assert!(written.is_ok(), "a string takes every write");
        if let Some(dot) = &reply.dot {
            text.push_str(" dot=");
            text.push_str(&dot_text(dot));
        }
    }
    text
}

/// The first word of the error line.
pub fn code(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Ok | Outcome::NotFound | Outcome::BadArgument(_) => "ERR",
        Outcome::WrongType => "WRONGTYPE",
        Outcome::NotEnoughReplicas { .. } => "NOREPLICAS",
        Outcome::Partial => "PARTIAL",
        Outcome::Maybe => "MAYBE",
        Outcome::Overloaded | Outcome::MemoryCeiling => "BUSY",
        Outcome::WrongLayout => "WRONGLAYOUT",
        Outcome::TooManySiblings(_) => "SIBLINGS",
        Outcome::Changed => "CHANGED",
        Outcome::BadContext(_) => "BADCONTEXT",
        Outcome::ClockTooFar => "CLOCK",
        Outcome::NoMajority => "NOMAJORITY",
        Outcome::DiskFull => "DISKFULL",
        Outcome::ReadOnly => "READONLY",
        Outcome::Incomplete => "INCOMPLETE",
        Outcome::Timeout => "TIMEOUT",
    }
}
