//! A peer stream over datagrams that may be lost, doubled, overtaken or changed: what one end puts in comes out at the
//! other in order, once, as long as the two hear each other. Bytes and time in, bytes out.
//!
//! ```text
//! datagram   tag u64 of all that follows | channel u64 | flags u8 | ranges u8 | 0 u16 | room u32 | ack u64
//!            | offset u64 | per range: start u32, length u32, from ack on | bytes of the stream, from offset on
//! flags      1 opens the channel: its end has heard nothing yet    2 asks for an answer    4 ends it
//!            8 comes from the end that was opened to
//! ```
//!
//! All integers are little-endian. The *tag* is SipHash-2-4 under the session key: whoever does not hold the cluster's
//! key makes no datagram that is looked at, and a changed one is a lost one. What the stream carries proves itself once
//! more, by [`session`](super::session), so a datagram of an earlier channel that comes late leads to nothing.
//!
//! `sending.rs` decides what leaves again and how much may be under way, `receiving.rs` puts in order what came. Both are
//! bounded, whatever the network does: credits in datagrams here, room in bytes there.
//!
//! Messages need neither order nor more than one attempt, so each could travel for itself. But a value of a megabyte is
//! 2,000 datagrams of 576 bytes, which never all arrive where one in five is lost: parts have to be sent again, and
//! what is counted for that puts them in order at no cost. The price is that a lost datagram delays those behind it by about
//! one round trip.

mod receiving;
mod sending;
#[cfg(test)]
mod tests;

use self::receiving::Receiving;
use self::sending::Sending;
use super::keys::Key;
use super::limits::{
    DATAGRAM_MAX, DATAGRAM_MIN, PACKET_PING, PACKET_RANGES_MAX, PACKET_ROOM, PACKET_SILENCE,
};
use super::time::Instant;
use super::wire::{Reader, WireError};

const HEADER: usize = 40;
const RANGE: usize = 8;
const _: () = assert!(HEADER + PACKET_RANGES_MAX * RANGE < DATAGRAM_MIN);

const OPENS: u8 = 1;
const ASKS: u8 = 2;
const ENDS: u8 = 4;
const OPENED: u8 = 8;

/// A datagram whose tag holds.
#[derive(Clone, Debug)]
pub struct Datagram<'a> {
    /// The channel that it belongs to.
    pub channel: u64,
    flags: u8,
    room: u32,
    ack: u64,
    offset: u64,
    ranges: &'a [u8],
    bytes: &'a [u8],
}

impl<'a> Datagram<'a> {
    /// Reads what came; `None` if it is nothing of ours, or was changed on its way.
    pub fn read(key: &Key, bytes: &'a [u8]) -> Option<Datagram<'a>> {
        let (tag, rest) = bytes.split_first_chunk::<8>()?;
        if !planted!("packet_unchecked") && u64::from_le_bytes(*tag) != tag_of(key, rest) {
            return None;
        }
        Datagram::read_fields(rest).ok()
    }

    fn read_fields(bytes: &'a [u8]) -> Result<Datagram<'a>, WireError> {
        let mut reader = Reader::new(bytes);
        let channel = reader.u64("channel")?;
        let (flags, count) = (reader.u8("flags")?, reader.u8("ranges")?);
        reader.take(2, "zero")?;
        let (room, ack) = (reader.u32("room")?, reader.u64("ack")?);
        let offset = reader.u64("offset")?;
        let ranges = reader.take(usize::from(count) * RANGE, "ranges")?;
        Ok(Datagram { channel, flags, room, ack, offset, ranges, bytes: reader.rest() })
    }

    /// Whether it may begin a channel that is not known: the first bytes of an end that has heard nothing.
    pub fn opens(&self) -> bool {
        self.flags == OPENS && self.offset == 0 && !self.bytes.is_empty()
    }

    /// What arrived out of order at the other end.
    fn ranges(&self) -> impl Iterator<Item = (u64, u64)> {
        let number = |bytes: &[u8]| u64::from(u32::from_le_bytes(bytes.try_into().expect("four bytes")));
        self.ranges.chunks_exact(RANGE).map(move |range| {
            let start = self.ack.saturating_add(number(&range[..4]));
            (start, start.saturating_add(number(&range[4..])))
        })
    }
}

fn tag_of(key: &Key, rest: &[u8]) -> u64 {
    key.hash64(&[b"packet", rest])
}

/// The other end was not heard for so long that it counts as gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Silent;

/// What a datagram came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// So many of the first bytes that wait have arrived at the other end: they are not needed any more.
    pub released: usize,
    /// The other end has ended the channel.
    pub ended: bool,
}

/// One end of a channel. The bytes that it has not seen arrive stay with its user, who gives them with each call.
#[derive(Debug)]
pub struct Channel {
    id: u64,
    key: Key,
    was_opened_to: bool,
    sending: Sending,
    receiving: Receiving,
    /// The other end has heard us, as far as we have heard.
    has_heard: bool,
    heard_at: Instant,
    asked_at: Instant,
    /// An answer is wanted of the other end.
    asks: bool,
    /// An answer is owed to the other end.
    owes: bool,
}

impl Channel {
    /// The end that opens. `id` must be random and never used before.
    pub fn open(id: u64, key: &Key, now: Instant) -> Channel {
        Channel {
            id,
            key: *key,
            was_opened_to: false,
            sending: Sending::default(),
            receiving: Receiving::default(),
            has_heard: false,
            heard_at: now,
            asked_at: now,
            asks: false,
            owes: false,
        }
    }

    /// The end that a datagram opens to; it is to be handled as the first.
    pub fn accept(opening: &Datagram<'_>, key: &Key, now: Instant) -> Channel {
        Channel { was_opened_to: true, has_heard: true, ..Channel::open(opening.channel, key, now) }
    }

    /// Its number, in all of its datagrams.
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Takes a datagram of this channel. What is next in order is handed to `take`.
    pub fn handle(&mut self, now: Instant, datagram: &Datagram<'_>, take: &mut dyn FnMut(&[u8])) -> Came {
        // Our own, come back, would acknowledge what nobody has.
        if datagram.channel != self.id || (datagram.flags & OPENED != 0) == self.was_opened_to {
            return Came::default();
        }
        self.heard_at = now;
        self.has_heard = true;
        self.owes |= datagram.flags & ASKS != 0 || !datagram.bytes.is_empty();
        let limit = datagram.ack.saturating_add(datagram.room.into());
        let released = self.sending.handle_ack(now, datagram.ack, limit, datagram.ranges());
        self.receiving.take(datagram.offset, datagram.bytes, take);
        Came { released, ended: datagram.flags & ENDS != 0 }
    }

    /// Whether [`Channel::fill`] would have something to say, with so many bytes waiting.
    pub fn has_output(&self, waiting: usize) -> bool {
        self.asks || self.owes || self.sending.has_output(waiting)
    }

    /// Writes the next datagram; 0 if there is none. `waiting` are all bytes that were not released. The datagram
    /// fills `into` at most, which holds [`DATAGRAM_MIN`] bytes at least.
    pub fn fill(&mut self, now: Instant, waiting: &[u8], into: &mut [u8]) -> usize {
        let mut ranges = [(0, 0); PACKET_RANGES_MAX];
        let count = self.receiving.ranges(&mut ranges);
        let size = into.len().min(DATAGRAM_MAX);
        let part = self.sending.next(now, waiting.len(), size - HEADER - count * RANGE);
        if part.is_none() && !self.asks && !self.owes {
            return 0;
        }
        let mut flags = if self.asks { ASKS } else { 0 };
        (self.asks, self.owes) = (false, false);
        if !self.has_heard {
            flags = OPENS;
        }
        let bytes = part.map_or(&[][..], |(at, length)| &waiting[at..at + length]);
        let offset = self.sending.base() + part.map_or(0, |(at, _)| at as u64);
        self.write(flags, &ranges[..count], (offset, bytes), into)
    }

    /// The datagram that ends the channel, with the first of the bytes that wait.
    pub fn last_words(&mut self, waiting: &[u8]) -> Vec<u8> {
        let bytes = &waiting[..waiting.len().min(DATAGRAM_MIN - HEADER)];
        let mut out = vec![0; HEADER + bytes.len()];
        self.write(ENDS, &[], (self.sending.base(), bytes), &mut out);
        out
    }

    fn write(
        &self,
        flags: u8,
        ranges: &[(u64, u64)],
        (offset, bytes): (u64, &[u8]),
        into: &mut [u8],
    ) -> usize {
        let ack = self.receiving.next();
        let flags = flags | if self.was_opened_to { OPENED } else { 0 };
        into[8..16].copy_from_slice(&self.id.to_le_bytes());
        into[16..20].copy_from_slice(&[flags, ranges.len() as u8, 0, 0]);
        into[20..24].copy_from_slice(&(PACKET_ROOM as u32).to_le_bytes());
        into[24..32].copy_from_slice(&ack.to_le_bytes());
        into[32..40].copy_from_slice(&offset.to_le_bytes());
        let mut length = HEADER;
        for (start, end) in ranges {
            into[length..length + 4].copy_from_slice(&((start - ack) as u32).to_le_bytes());
            into[length + 4..length + RANGE].copy_from_slice(&((end - start) as u32).to_le_bytes());
            length += RANGE;
        }
        into[length..length + bytes.len()].copy_from_slice(bytes);
        length += bytes.len();
        let tag = tag_of(&self.key, &into[8..length]);
        into[..8].copy_from_slice(&tag.to_le_bytes());
        length
    }

    /// When [`Channel::handle_timeout`] has something to do.
    pub fn deadline(&self) -> Instant {
        let ping = self.heard_at.max(self.asked_at) + PACKET_PING;
        self.sending.deadline().min(ping).min(self.heard_at + PACKET_SILENCE)
    }

    /// Does what time has come for.
    ///
    /// # Errors
    /// The other end is silent: the channel is over.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Silent> {
        if now >= self.heard_at + PACKET_SILENCE {
            return Err(Silent);
        }
        if now >= self.heard_at.max(self.asked_at) + PACKET_PING {
            self.asks = true;
            self.asked_at = now;
        }
        self.sending.handle_timeout(now);
        Ok(())
    }
}
