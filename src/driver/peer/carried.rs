//! Streams to peers whose bytes the host moves: what it brings, what it fetches, and what it is to know.
//!
//! Nothing here is called back: the host asks. A stream has a name that is never used again, so that what a host
//! says too late is about nobody, and not about the next stream in the same place. A connection that the loop wants is
//! told once, and its end only to a host that knows of it.

use std::collections::VecDeque;
use std::net::SocketAddr;

use super::{Cause, Link, Peers, Role, Session, Socket, Stream, nonce};
use crate::driver::client::Turn;
use crate::driver::limits::{NODES_MAX, STRANGERS_MAX};

/// What a buffer of the host's was filled with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Which stream it is about.
    pub peer: u64,
    /// What the bytes are.
    pub told: Told,
    /// How many there are.
    pub length: usize,
}

/// What a filled buffer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// Bytes of the stream, to be carried in their order.
    Bytes,
    /// A stream is wanted, to the address that stands in the buffer.
    Connect,
    /// The stream has ended, after the bytes that were fetched of it.
    Close,
}

/// What a host says of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carrying {
    /// It is connected.
    Up,
    /// It has ended, or could not be connected, for this reason (an errno, or 0).
    Down(i32),
    /// No bytes of it are to be fetched until it is writable.
    Full,
    /// Bytes may be fetched again.
    Writable,
}

/// Why a host's stream is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Uncarried {
    /// There is no stream of this name any more.
    Unknown,
    /// Too many have not proved themselves yet.
    Overloaded,
    /// The node takes none: it is stopped or cut off, or its streams are sockets of its own.
    Closed,
}

/// What the host is to know, in the order in which it happened.
#[derive(Debug, Default)]
pub(super) struct Carried {
    waiting: VecDeque<News>,
    serial: u32,
}

#[derive(Debug)]
enum News {
    Connect { peer: u64, address: SocketAddr },
    Close { peer: u64, last: Vec<u8> },
}

impl Carried {
    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }
}

/// What the host calls the stream in a place. The number in it tells it from the streams that were there before.
pub(super) fn name(serial: u32, at: u32) -> u64 {
    u64::from(serial) << 32 | u64::from(at)
}

/// Bytes that any address fits into, as text.
pub const ADDRESS_TEXT_MAX: usize = 64;

impl Peers {
    /// Whether the host moves the bytes.
    pub(in crate::driver) fn is_carried(&self) -> bool {
        self.carried.is_some()
    }

    /// Takes a stream that somebody opened to this node.
    pub(in crate::driver) fn accept(&mut self, turn: &mut Turn<'_>) -> Result<u64, Uncarried> {
        let carried = self.carried.as_ref().ok_or(Uncarried::Closed)?;
        if self.closed || self.is_isolated {
            return Err(Uncarried::Closed);
        }
        // A host that accepts and never fetches would be told of ends without end.
        if self.strangers >= STRANGERS_MAX + self.members.len() || carried.waiting.len() >= NODES_MAX {
            return Err(Uncarried::Overloaded);
        }
        let nonce = nonce().map_err(|_| Uncarried::Overloaded)?;
        let session = Session::accept(self.identity.clone(), nonce);
        let at = self.add(Socket::new(Stream::Carried, true), session, Role::Stranger, turn);
        at.and_then(|at| self.links.get_mut(at)).map(|link| link.peer).ok_or(Uncarried::Overloaded)
    }

    /// Takes the next bytes of a stream. Nothing of them is needed afterwards.
    pub(in crate::driver) fn receive(
        &mut self,
        peer: u64,
        bytes: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Uncarried> {
        let (at, mut link) = self.take_named(peer)?;
        self.news = true;
        match self.feed(at, &mut link, bytes, turn) {
            Ok(()) => self.settle(at, link),
            Err(cause) => self.drop_link(at, link, cause, turn),
        }
        Ok(())
    }

    /// Takes what the host says of a stream.
    pub(in crate::driver) fn heed(
        &mut self,
        peer: u64,
        what: Carrying,
        turn: &mut Turn<'_>,
    ) -> Result<(), Uncarried> {
        let (at, mut link) = self.take_named(peer)?;
        match what {
            Carrying::Up | Carrying::Writable => link.socket.set_blocked(false),
            Carrying::Full => link.socket.set_blocked(true),
            Carrying::Down(errno) => {
                link.socket.hang_up();
                let why = match errno {
                    0 => "the other end closed the connection".to_owned(),
                    errno => std::io::Error::from_raw_os_error(errno).to_string(),
                };
                self.drop_link(at, link, Cause::broke(why), turn);
                return Ok(());
            }
        }
        self.settle(at, link);
        Ok(())
    }

    fn take_named(&mut self, peer: u64) -> Result<(u32, Box<Link>), Uncarried> {
        let at = peer as u32;
        match self.links.get_mut(at) {
            Some(link) if link.peer == peer && self.carried.is_some() => {}
            _ => return Err(Uncarried::Unknown),
        }
        Ok((at, self.links.take(at).ok_or(Uncarried::Unknown)?))
    }

    /// Fills a buffer with what the host is to carry or to know next, with as much of one stream as it holds. Streams
    /// take turns. The buffer holds [`ADDRESS_TEXT_MAX`] bytes at least.
    pub(in crate::driver) fn fill(&mut self, into: &mut [u8]) -> Option<Filled> {
        if let Some(news) = self.carried.as_mut()?.waiting.pop_front() {
            return Some(self.tell(news, into));
        }
        while let Some(at) = self.dirty.pop_front() {
            let Some(link) = self.links.get_mut(at) else { continue };
            link.dirty = false;
            if !link.socket.can_write() {
                continue;
            }
            let length = link.socket.write_into(into);
            if link.socket.can_write() {
                link.dirty = true;
                self.dirty.push_back(at);
            }
            return Some(Filled { peer: link.peer, told: Told::Bytes, length });
        }
        None
    }

    fn tell(&mut self, news: News, into: &mut [u8]) -> Filled {
        match news {
            News::Connect { peer, address } => {
                let text = address.to_string();
                into[..text.len()].copy_from_slice(text.as_bytes());
                Filled { peer, told: Told::Connect, length: text.len() }
            }
            News::Close { peer, last } if last.is_empty() => Filled { peer, told: Told::Close, length: 0 },
            News::Close { peer, mut last } => {
                let length = last.len().min(into.len());
                into[..length].copy_from_slice(&last[..length]);
                last.drain(..length);
                if let Some(carried) = &mut self.carried {
                    carried.waiting.push_front(News::Close { peer, last });
                }
                Filled { peer, told: Told::Bytes, length }
            }
        }
    }

    /// The loop has begun to connect: the host is to do it.
    pub(super) fn tell_to_connect(&mut self, link: Option<u32>, address: SocketAddr) {
        let link = link.and_then(|at| self.links.get_mut(at));
        if let (Some(carried), Some(link)) = (&mut self.carried, link) {
            carried.waiting.push_back(News::Connect { peer: link.peer, address });
        }
    }

    /// A stream has ended here: the host is to end it, if it knows of it.
    pub(super) fn tell_of_end(&mut self, mut link: Box<Link>) {
        let Some(carried) = &mut self.carried else { return };
        let is_untold = |news: &News| matches!(news, News::Connect { peer, .. } if *peer == link.peer);
        if let Some(at) = carried.waiting.iter().position(is_untold) {
            carried.waiting.remove(at);
        } else if !link.socket.has_hung_up() {
            let mut last = Vec::new();
            // Of a handshake that failed, the reason that is given to the other end.
            if !link.session.is_established() && link.socket.can_write() {
                last.resize(link.socket.unsent(), 0);
                link.socket.write_into(&mut last);
            }
            carried.waiting.push_back(News::Close { peer: link.peer, last });
        }
    }
}
