//! Requests and replies as bytes: what a forward carries, and how a request is kept while it waits.

use core::time::Duration;
use std::borrow::Cow;

use crate::proto::buffer::Buffer;
use crate::proto::error::Outcome;
use crate::proto::io::{
    Achieved, Add, Blind, Edit, ExpiryEdit, ExpiryWhen, Kind, Operation, Options, Presence, Reply, Request,
    SiblingView, View,
};
use crate::proto::limits;
use crate::proto::version::{Actor, Dot, Epoch, Hlc};
use crate::proto::wire::{Reader, WireError, put_bytes, put_varint};

/// Appends a request.
pub fn encode_request(request: &Request<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(&request.keyspace.to_le_bytes());
    put_bytes(out, request.key);
    let options = &request.options;
    for count in [options.r, options.w, options.pr, options.pw, options.dw] {
        out.push(count.unwrap_or(u8::MAX));
    }
    out.push(options.view.code());
    let flags = [options.sloppy, options.want_context, options.text_only];
    out.push(flags.into_iter().rev().fold(0, |bits, flag| bits << 1 | u8::from(flag)));
    let timeout =
        options.timeout.map_or(0, |timeout| u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX).max(1));
    put_varint(out, timeout);
    encode_operation(&request.operation, out);
}

fn encode_operation(operation: &Operation<'_>, out: &mut Vec<u8>) {
    match operation {
        Operation::Get => out.push(0),
        Operation::Put { value, context, blind, expires_ms } => {
            out.push(1);
            put_option(out, *context);
            out.push(*blind as u8);
            put_expiry(out, expires_ms.map_or(ExpiryEdit::Clear, ExpiryEdit::At));
            put_bytes(out, value);
        }
        Operation::Delete { context, blind } => {
            out.push(2);
            put_option(out, *context);
            out.push(*blind as u8);
        }
        Operation::Edit(Edit::Set { value, when, expiry }) => {
            out.extend_from_slice(&[3, *when as u8]);
            put_expiry(out, *expiry);
            put_bytes(out, value);
        }
        Operation::Edit(Edit::Append(value)) => {
            out.push(4);
            put_bytes(out, value);
        }
        Operation::Edit(Edit::Delete) => out.push(5),
        Operation::Edit(Edit::Expire { expiry, when }) => {
            out.extend_from_slice(&[6, *when as u8]);
            put_expiry(out, *expiry);
        }
        Operation::Scan { cursor, limit } => {
            out.push(7);
            put_varint(out, *cursor);
            put_varint(out, u64::from(*limit));
        }
        Operation::Add(Add::By { by, id }) => {
            out.push(8);
            out.extend_from_slice(&by.to_le_bytes());
            out.push(u8::from(id.is_some()));
            out.extend_from_slice(&id.unwrap_or(0).to_le_bytes());
        }
        Operation::Add(Add::To { to, context }) => {
            out.push(9);
            out.extend_from_slice(&to.to_le_bytes());
            put_bytes(out, context);
        }
        Operation::Edit(Edit::AddFloat(by)) => {
            out.push(10);
            put_bytes(out, by);
        }
        Operation::Edit(Edit::SetRange { offset, part }) => {
            out.push(11);
            put_varint(out, u64::from(*offset));
            put_bytes(out, part);
        }
        Operation::Edit(Edit::SetBit { offset, on }) => {
            out.push(12);
            put_varint(out, u64::from(*offset));
            out.push(u8::from(*on));
        }
        Operation::Edit(Edit::AddElements(members)) => {
            out.push(13);
            put_members(out, members);
        }
        Operation::Edit(Edit::RemoveElements(members)) => {
            out.push(14);
            put_members(out, members);
        }
        // Carried out where it was asked: no peer takes one.
        Operation::Cluster(_) | Operation::Changes { .. } => out.push(u8::MAX),
    }
}

/// Reads a request.
///
/// # Errors
/// Names the first field that is wrong.
pub fn decode_request(bytes: &[u8]) -> Result<Request<'_>, WireError> {
    let mut reader = Reader::new(bytes);
    let keyspace = reader.u16("keyspace")?;
    let key = reader.bytes(limits::KEY_MAX, "key")?;
    let mut count = |what| reader.u8(what).map(|count| (count != u8::MAX).then_some(count));
    let (r, w, pr, pw, dw) = (count("r")?, count("w")?, count("pr")?, count("pw")?, count("dw")?);
    let view = View::from_code(reader.u8("view")?).ok_or(WireError { what: "view" })?;
    let flags = reader.u8("request flags")?;
    if flags > 7 {
        return Err(WireError { what: "request flags" });
    }
    let timeout = reader.varint("timeout")?;
    let options = Options {
        r,
        w,
        pr,
        pw,
        dw,
        sloppy: flags & 1 != 0,
        view,
        want_context: flags & 2 != 0,
        text_only: flags & 4 != 0,
        timeout: (timeout > 0).then_some(Duration::from_nanos(timeout)),
    };
    let operation = read_operation(&mut reader)?;
    reader.end("request end")?;
    Ok(Request { keyspace, key, operation, options })
}

fn read_operation<'a>(reader: &mut Reader<'a>) -> Result<Operation<'a>, WireError> {
    Ok(match reader.u8("operation")? {
        0 => Operation::Get,
        1 => {
            let context = read_option(reader, limits::CONTEXT_MAX, "context")?;
            let blind = read_blind(reader)?;
            let expires_ms = match read_expiry(reader)? {
                ExpiryEdit::Clear => None,
                ExpiryEdit::At(expires_ms) => Some(expires_ms),
                ExpiryEdit::Keep => return Err(WireError { what: "expiry" }),
            };
            Operation::Put { value: reader.bytes(limits::VALUE_MAX, "value")?, context, blind, expires_ms }
        }
        2 => {
            let context = read_option(reader, limits::CONTEXT_MAX, "context")?;
            Operation::Delete { context, blind: read_blind(reader)? }
        }
        3 => {
            let when = match reader.u8("condition")? {
                0 => Presence::Any,
                1 => Presence::Absent,
                2 => Presence::Present,
                _ => return Err(WireError { what: "condition" }),
            };
            let expiry = read_expiry(reader)?;
            Operation::Edit(Edit::Set { value: reader.bytes(limits::VALUE_MAX, "value")?, when, expiry })
        }
        4 => Operation::Edit(Edit::Append(reader.bytes(limits::VALUE_MAX, "value")?)),
        5 => Operation::Edit(Edit::Delete),
        6 => {
            let when = match reader.u8("condition")? {
                0 => ExpiryWhen::Always,
                1 => ExpiryWhen::None,
                2 => ExpiryWhen::Some,
                3 => ExpiryWhen::Later,
                4 => ExpiryWhen::Sooner,
                5 => ExpiryWhen::SoonerThanSome,
                _ => return Err(WireError { what: "condition" }),
            };
            Operation::Edit(Edit::Expire { expiry: read_expiry(reader)?, when })
        }
        7 => {
            let cursor = reader.varint("cursor")?;
            let limit = u32::try_from(reader.varint("limit")?).map_err(|_| WireError { what: "limit" })?;
            Operation::Scan { cursor, limit }
        }
        8 => {
            let by = reader.u64("increment")?.cast_signed();
            let (has_id, id) = (reader.u8("id")?, reader.u64("id")?);
            if has_id > 1 || (has_id == 0 && id > 0) {
                return Err(WireError { what: "id" });
            }
            Operation::Add(Add::By { by, id: (has_id == 1).then_some(id) })
        }
        9 => {
            let to = reader.u64("number")?.cast_signed();
            Operation::Add(Add::To { to, context: reader.bytes(limits::CONTEXT_MAX, "context")? })
        }
        10 => Operation::Edit(Edit::AddFloat(reader.bytes(limits::VALUE_MAX, "increment")?)),
        11 => {
            let offset = read_offset(reader)?;
            Operation::Edit(Edit::SetRange { offset, part: reader.bytes(limits::VALUE_MAX, "part")? })
        }
        12 => {
            let offset = read_offset(reader)?;
            let on = match reader.u8("bit")? {
                0 => false,
                1 => true,
                _ => return Err(WireError { what: "bit" }),
            };
            Operation::Edit(Edit::SetBit { offset, on })
        }
        13 => Operation::Edit(Edit::AddElements(read_members(reader)?)),
        14 => Operation::Edit(Edit::RemoveElements(read_members(reader)?)),
        _ => return Err(WireError { what: "operation" }),
    })
}

fn put_members(out: &mut Vec<u8>, members: &[&[u8]]) {
    put_varint(out, members.len() as u64);
    members.iter().for_each(|member| put_bytes(out, member));
}

fn read_members<'a>(reader: &mut Reader<'a>) -> Result<Vec<&'a [u8]>, WireError> {
    let count = reader.varint("element count")?;
    (0..count).map(|_| reader.bytes(limits::VALUE_MAX, "element")).collect()
}

fn put_option(out: &mut Vec<u8>, bytes: Option<&[u8]>) {
    out.push(u8::from(bytes.is_some()));
    put_bytes(out, bytes.unwrap_or_default());
}

fn read_option<'a>(
    reader: &mut Reader<'a>,
    max: usize,
    what: &'static str,
) -> Result<Option<&'a [u8]>, WireError> {
    let some = reader.u8(what)?;
    let bytes = reader.bytes(max, what)?;
    match some {
        0 if bytes.is_empty() => Ok(None),
        1 => Ok(Some(bytes)),
        _ => Err(WireError { what }),
    }
}

fn put_expiry(out: &mut Vec<u8>, expiry: ExpiryEdit) {
    match expiry {
        ExpiryEdit::Keep => out.push(0),
        ExpiryEdit::Clear => out.push(1),
        ExpiryEdit::At(expires_ms) => {
            out.push(2);
            put_varint(out, expires_ms);
        }
    }
}

fn read_expiry(reader: &mut Reader<'_>) -> Result<ExpiryEdit, WireError> {
    match reader.u8("expiry")? {
        0 => Ok(ExpiryEdit::Keep),
        1 => Ok(ExpiryEdit::Clear),
        2 => reader.varint("expiry").map(ExpiryEdit::At),
        _ => Err(WireError { what: "expiry" }),
    }
}

fn read_offset(reader: &mut Reader<'_>) -> Result<u32, WireError> {
    u32::try_from(reader.varint("offset")?).map_err(|_| WireError { what: "offset" })
}

fn read_blind(reader: &mut Reader<'_>) -> Result<Blind, WireError> {
    match reader.u8("blind")? {
        0 => Ok(Blind::Siblings),
        1 => Ok(Blind::Supersede),
        2 => Ok(Blind::Refuse),
        _ => Err(WireError { what: "blind" }),
    }
}

/// Appends a reply. Pages do not travel: a scan is not forwarded.
pub fn encode_reply(reply: &Reply, out: &mut Vec<u8>) {
    put_outcome(out, &reply.outcome);
    let achieved = reply.achieved;
    out.extend_from_slice(&[achieved.asked, achieved.acked, achieved.durable, achieved.fallbacks]);
    let flags = [reply.applied, reply.hid_siblings, reply.unrepaired, reply.weak, reply.dot.is_some()];
    out.push(flags.into_iter().enumerate().fold(0, |bits, (at, flag)| bits | u8::from(flag) << at));
    if let Some(dot) = reply.dot {
        put_dot(out, dot);
    }
    put_varint(out, reply.length);
    put_option(out, reply.context.as_deref());
    put_varint(out, reply.siblings.len() as u64);
    for sibling in &reply.siblings {
        put_dot(out, sibling.dot);
        out.extend_from_slice(&sibling.hlc.0.to_le_bytes());
        put_expiry(out, sibling.expires_ms.map_or(ExpiryEdit::Clear, ExpiryEdit::At));
        put_bytes(out, &sibling.value);
    }
}

/// Reads a reply.
///
/// # Errors
/// Names the first field that is wrong.
pub fn decode_reply(bytes: &[u8]) -> Result<Reply, WireError> {
    let mut reader = Reader::new(bytes);
    let mut reply = Reply::bare(read_outcome(&mut reader)?);
    let mut count = || reader.u8("achieved");
    reply.achieved = Achieved { asked: count()?, acked: count()?, durable: count()?, fallbacks: count()? };
    let flags = reader.u8("reply flags")?;
    if flags > 31 {
        return Err(WireError { what: "reply flags" });
    }
    reply.applied = flags & 1 != 0;
    reply.hid_siblings = flags & 2 != 0;
    reply.unrepaired = flags & 4 != 0;
    reply.weak = flags & 8 != 0;
    if flags & 16 != 0 {
        reply.dot = Some(read_dot(&mut reader)?);
    }
    reply.length = reader.varint("length")?;
    reply.context = read_option(&mut reader, limits::CONTEXT_MAX, "context")?.map(Buffer::from);
    for _ in 0..reader.varint("sibling count")? {
        let dot = read_dot(&mut reader)?;
        let hlc = Hlc(reader.u64("timestamp")?);
        let expires_ms = match read_expiry(&mut reader)? {
            ExpiryEdit::At(expires_ms) => Some(expires_ms),
            ExpiryEdit::Clear => None,
            ExpiryEdit::Keep => return Err(WireError { what: "expiry" }),
        };
        let value = reader.bytes(limits::VALUE_MAX, "value")?.into();
        reply.siblings.push(SiblingView { value, kind: Kind::Bytes, dot, hlc, expires_ms });
    }
    reader.end("reply end")?;
    Ok(reply)
}

fn put_dot(out: &mut Vec<u8>, dot: Dot) {
    out.extend_from_slice(&dot.actor.generation.to_le_bytes());
    out.extend_from_slice(&dot.actor.epoch.nonce.to_le_bytes());
    put_varint(out, dot.actor.epoch.number);
    put_varint(out, dot.counter);
}

fn read_dot(reader: &mut Reader<'_>) -> Result<Dot, WireError> {
    let generation = reader.u64("dot generation")?;
    let nonce = reader.u64("dot nonce")?;
    let epoch = Epoch { nonce, number: reader.varint("dot epoch")? };
    Ok(Dot { actor: Actor { generation, epoch }, counter: reader.varint("dot counter")? })
}

fn put_outcome(out: &mut Vec<u8>, outcome: &Outcome) {
    let (tag, number, text): (u8, u64, &str) = match outcome {
        Outcome::Ok => (0, 0, ""),
        Outcome::NotFound => (1, 0, ""),
        Outcome::BadArgument(why) => (2, 0, why),
        Outcome::NotEnoughReplicas { reachable, needed } => {
            (3, u64::from(*reachable) | u64::from(*needed) << 8, "")
        }
        Outcome::Partial => (4, 0, ""),
        Outcome::Maybe => (5, 0, ""),
        Outcome::Overloaded => (6, 0, ""),
        Outcome::WrongLayout => (7, 0, ""),
        Outcome::TooManySiblings(count) => (8, u64::from(*count), ""),
        Outcome::BadContext(why) => (9, 0, why),
        Outcome::ClockTooFar => (10, 0, ""),
        Outcome::NoMajority => (11, 0, ""),
        Outcome::DiskFull => (12, 0, ""),
        Outcome::ReadOnly => (13, 0, ""),
        Outcome::Incomplete => (14, 0, ""),
        Outcome::Timeout => (15, 0, ""),
        Outcome::MemoryCeiling => (16, 0, ""),
        Outcome::WrongType => (17, 0, ""),
        Outcome::Changed => (18, 0, ""),
    };
    out.push(tag);
    put_varint(out, number);
    put_bytes(out, text.as_bytes());
}

fn read_outcome(reader: &mut Reader<'_>) -> Result<Outcome, WireError> {
    let tag = reader.u8("outcome")?;
    let number = reader.varint("outcome number")?;
    let text = reader.bytes(1_024, "outcome text")?;
    let why = || Cow::Owned(String::from_utf8_lossy(text).into_owned());
    Ok(match tag {
        0 => Outcome::Ok,
        1 => Outcome::NotFound,
        2 => Outcome::BadArgument(why()),
        3 => Outcome::NotEnoughReplicas { reachable: number as u8, needed: (number >> 8) as u8 },
        4 => Outcome::Partial,
        5 => Outcome::Maybe,
        6 => Outcome::Overloaded,
        7 => Outcome::WrongLayout,
        8 => Outcome::TooManySiblings(u32::try_from(number).unwrap_or(u32::MAX)),
        9 => Outcome::BadContext(why()),
        10 => Outcome::ClockTooFar,
        11 => Outcome::NoMajority,
        12 => Outcome::DiskFull,
        13 => Outcome::ReadOnly,
        14 => Outcome::Incomplete,
        15 => Outcome::Timeout,
        16 => Outcome::MemoryCeiling,
        17 => Outcome::WrongType,
        18 => Outcome::Changed,
        _ => return Err(WireError { what: "outcome" }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operations() -> Vec<Operation<'static>> {
        vec![
            Operation::Get,
            Operation::Put { value: b"v", context: Some(b""), blind: Blind::Siblings, expires_ms: Some(5) },
            Operation::Put { value: b"", context: None, blind: Blind::Supersede, expires_ms: None },
            Operation::Put { value: b"", context: None, blind: Blind::Refuse, expires_ms: None },
            Operation::Delete { context: Some(b"token"), blind: Blind::Supersede },
            Operation::Edit(Edit::Set { value: b"v", when: Presence::Absent, expiry: ExpiryEdit::Keep }),
            Operation::Edit(Edit::Append(b"v")),
            Operation::Edit(Edit::Delete),
            Operation::Edit(Edit::Expire { expiry: ExpiryEdit::At(9), when: ExpiryWhen::Sooner }),
            Operation::Scan { cursor: u64::MAX, limit: 7 },
            Operation::Add(Add::By { by: -7, id: None }),
            Operation::Add(Add::By { by: i64::MAX, id: Some(9) }),
            Operation::Add(Add::To { to: i64::MIN, context: b"token" }),
            Operation::Edit(Edit::AddFloat(b"1.5")),
            Operation::Edit(Edit::Expire { expiry: ExpiryEdit::At(9), when: ExpiryWhen::SoonerThanSome }),
            Operation::Edit(Edit::SetRange { offset: u32::MAX, part: b"part" }),
            Operation::Edit(Edit::SetBit { offset: 300, on: true }),
            Operation::Edit(Edit::AddElements(vec![b"", b"b"])),
            Operation::Edit(Edit::RemoveElements(vec![b"b"])),
        ]
    }

    #[test]
    fn requests_come_back_and_every_cut_is_refused() {
        for operation in operations() {
            let options = Options {
                r: Some(1),
                dw: Some(0),
                view: View::Majority,
                want_context: true,
                text_only: true,
                timeout: Some(Duration::from_millis(3)),
                ..Options::default()
            };
            let request = Request { keyspace: 2, key: b"key", operation, options };
            let mut bytes = Vec::new();
            encode_request(&request, &mut bytes);
            assert_eq!(decode_request(&bytes), Ok(request));
            for cut in 0..bytes.len() {
                assert!(decode_request(&bytes[..cut]).is_err());
            }
        }
    }

    #[test]
    fn replies_come_back_and_every_cut_is_refused() {
        let dot = Dot { actor: Actor { generation: 1, epoch: Epoch { nonce: 2, number: 3 } }, counter: 4 };
        for outcome in [
            Outcome::Ok,
            Outcome::BadArgument("no".into()),
            Outcome::NotEnoughReplicas { reachable: 1, needed: 2 },
            Outcome::TooManySiblings(100),
            Outcome::Timeout,
            Outcome::WrongType,
            Outcome::Changed,
        ] {
            let mut reply = Reply::bare(outcome);
            reply.achieved = Achieved { asked: 3, acked: 2, durable: 1, fallbacks: 0 };
            reply.siblings.push(SiblingView {
                value: b"v"[..].into(),
                kind: Kind::Bytes,
                dot,
                hlc: Hlc(9),
                expires_ms: Some(1),
            });
            reply.context = Some(b"token"[..].into());
            reply.dot = Some(dot);
            reply.weak = true;
            reply.length = 1_000;
            let mut bytes = Vec::new();
            encode_reply(&reply, &mut bytes);
            assert_eq!(decode_reply(&bytes), Ok(reply));
            for cut in 0..bytes.len() {
                assert!(decode_reply(&bytes[..cut]).is_err());
            }
        }
    }
}
