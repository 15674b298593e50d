//! Streams to peers whose bytes the host moves: what it brings, what it fetches, and what it is to know.
//!
//! They are streams of the host's own, or datagrams, of which a [`Channel`] makes one.
//!
//! Nothing here is called back: the host asks. A stream has a name that is never used again, so that what a host
//! says too late is about nobody, and not about the next stream in the same place. A connection that the loop wants is
//! told once, and its end only to a host that knows of it.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use super::{Cause, Link, Peers, Role, Session, Socket, Stream, nonce};
use crate::driver::client::Turn;
use crate::driver::limits::{NODES_MAX, STRANGERS_MAX};
use crate::driver::options::Transport;
use crate::proto::packet::{Channel, Datagram};
use crate::proto::time::Instant;

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
    /// Bytes of the stream, to be carried in their order; or one datagram of it.
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
    /// The datagram opens a stream, which is to be accepted and then named with it.
    Unmet,
}

/// What the host is to know, in the order in which it happened.
#[derive(Debug)]
pub(super) struct Carried {
    waiting: VecDeque<News>,
    serial: u32,
    has_datagrams: bool,
    /// The channels of datagrams, by their numbers.
    channels: BTreeMap<u64, u32>,
    /// When the host last said what time it is.
    now: Instant,
}

#[derive(Debug)]
enum News {
    Connect { peer: u64, address: SocketAddr },
    Close { peer: u64, last: Vec<u8> },
}

impl Carried {
    /// `None` where the loop has sockets.
    pub(super) fn new(transport: Transport) -> Option<Carried> {
        (transport != Transport::Sockets).then(|| Carried {
            waiting: VecDeque::new(),
            serial: 0,
            has_datagrams: transport == Transport::Datagrams,
            channels: BTreeMap::new(),
            now: Instant::ZERO,
        })
    }

    pub(super) fn has_datagrams(&self) -> bool {
        self.has_datagrams
    }

    pub(super) fn next_serial(&mut self) -> u32 {
        self.serial = self.serial.wrapping_add(1);
        self.serial
    }
}

/// What the host calls the stream in a place. The number in it tells it from the streams that were there before.
pub(super) fn name(serial: u32, at: u32) -> u64 {
    u64::from(serial) << 32 | u64::from(at)
}

impl Link {
    /// Whether there is something to write, and somebody who takes it.
    pub(super) fn has_output(&self) -> bool {
        match &self.channel {
            Some(channel) => !self.socket.is_blocked() && channel.has_output(self.socket.unsent()),
            None => self.socket.can_write(),
        }
    }
}

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

    /// Takes the next bytes of a stream, or one datagram. Nothing of them is needed afterwards.
    pub(in crate::driver) fn receive(
        &mut self,
        peer: u64,
        bytes: &[u8],
        turn: &mut Turn<'_>,
    ) -> Result<(), Uncarried> {
        self.note_time(turn.now.mono);
        if self.carried.as_ref().is_some_and(Carried::has_datagrams) {
            return self.receive_datagram(peer, bytes, turn);
        }
        let (at, mut link) = self.take_named(peer)?;
        self.news = true;
        match self.feed(at, &mut link, bytes, turn) {
            Ok(()) => self.settle(at, link),
            Err(cause) => self.drop_link(at, link, cause, turn),
        }
        Ok(())
    }

    fn receive_datagram(&mut self, peer: u64, bytes: &[u8], turn: &mut Turn<'_>) -> Result<(), Uncarried> {
        let key = self.identity.keys.session;
        // What is not ours, or was changed on its way, is as good as lost.
        let Some(datagram) = Datagram::read(&key, bytes) else { return Ok(()) };
        let known =
            self.carried.as_ref().and_then(|carried| carried.channels.get(&datagram.channel).copied());
        let (at, mut link) = match known.and_then(|at| Some((at, self.links.take(at)?))) {
            Some(found) => found,
            None if !datagram.opens() => return Err(Uncarried::Unknown),
            None if peer == 0 => return Err(Uncarried::Unmet),
            None => self.take_named(peer)?,
        };
        if known.is_none() && link.channel.is_none() {
            link.channel = Some(Box::new(Channel::accept(&datagram, &key, turn.now.mono)));
            if let Some(carried) = &mut self.carried {
                carried.channels.insert(datagram.channel, at);
            }
        }
        let Some(mut channel) = link.channel.take() else {
            self.links.put_back(at, link);
            return Err(Uncarried::Unknown);
        };
        self.news = true;
        let mut fed = Ok(());
        let came = channel.handle(turn.now.mono, &datagram, &mut |bytes| {
            if fed.is_ok() {
                fed = self.feed(at, &mut link, bytes, turn);
            }
        });
        link.socket.pass(came.released);
        self.timer_at = self.timer_at.min(channel.deadline());
        link.channel = Some(channel);
        match fed {
            Err(cause) => self.drop_link(at, link, cause, turn),
            Ok(()) if came.ended => {
                link.ended_there = true;
                self.drop_link(at, link, Cause::broke("the other end closed the connection"), turn);
            }
            Ok(()) => self.settle(at, link),
        }
        Ok(())
    }

    /// The time that the host last told.
    pub(super) fn note_time(&mut self, now: Instant) {
        self.carried.iter_mut().for_each(|carried| carried.now = now);
    }

    /// Does what time has come for at a stream of datagrams. One whose other end is silent is given up at once.
    pub(super) fn handle_channel_timer(&mut self, at: u32, now: Instant) {
        let Some(link) = self.links.get_mut(at) else { return };
        let Some(channel) = &mut link.channel else { return };
        if now >= channel.deadline() && channel.handle_timeout(now).is_err() {
            link.give_up_at = now;
            return;
        }
        self.timer_at = self.timer_at.min(channel.deadline());
        if link.has_output() && !link.dirty {
            link.dirty = true;
            self.dirty.push_back(at);
        }
    }

    /// Takes what the host says of a stream.
    pub(in crate::driver) fn heed(
        &mut self,
        peer: u64,
        what: Carrying,
        turn: &mut Turn<'_>,
    ) -> Result<(), Uncarried> {
        self.note_time(turn.now.mono);
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
    /// take turns. The buffer holds `DATAGRAM_MIN` bytes at least.
    pub(in crate::driver) fn fill(&mut self, into: &mut [u8]) -> Option<Filled> {
        if let Some(news) = self.carried.as_mut()?.waiting.pop_front() {
            return Some(self.tell(news, into));
        }
        let now = self.carried.as_ref()?.now;
        while let Some(at) = self.dirty.pop_front() {
            let Some(link) = self.links.get_mut(at) else { continue };
            link.dirty = false;
            if !link.has_output() {
                continue;
            }
            let length = match &mut link.channel {
                Some(channel) => {
                    let length = channel.fill(now, link.socket.waiting(), into);
                    self.timer_at = self.timer_at.min(channel.deadline());
                    length
                }
                None => link.socket.write_into(into),
            };
            if link.has_output() {
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
    pub(super) fn tell_to_connect(&mut self, link: Option<u32>, address: SocketAddr, turn: &mut Turn<'_>) {
        let Some(carried) = &mut self.carried else { return };
        let Some((at, link)) = link.and_then(|at| Some((at, self.links.get_mut(at)?))) else { return };
        carried.waiting.push_back(News::Connect { peer: link.peer, address });
        if carried.has_datagrams {
            // A session's nonce is random, secret to nobody, and never used again: so is its first half.
            let id = link.session.number();
            let channel = Channel::open(id, &self.identity.keys.session, turn.now.mono);
            carried.channels.insert(id, at);
            link.channel = Some(Box::new(channel));
            link.dirty = true;
            self.dirty.push_back(at);
        }
    }

    /// A stream has ended here: the host is to end it, if it knows of it.
    pub(super) fn tell_of_end(&mut self, mut link: Box<Link>) {
        let Some(carried) = &mut self.carried else { return };
        if let Some(channel) = &link.channel {
            carried.channels.remove(&channel.id());
        }
        let is_untold = |news: &News| matches!(news, News::Connect { peer, .. } if *peer == link.peer);
        if let Some(at) = carried.waiting.iter().position(is_untold) {
            carried.waiting.remove(at);
        } else if !link.socket.has_hung_up() {
            let last = if link.ended_there { Vec::new() } else { last_words(&mut link) };
            carried.waiting.push_back(News::Close { peer: link.peer, last });
        }
    }
}

/// What is still said on a stream that ends: of a handshake that failed, the reason that is given to the other end; of
/// datagrams, that it is over.
fn last_words(link: &mut Link) -> Vec<u8> {
    if let Some(channel) = &mut link.channel {
        return channel.last_words(link.socket.waiting());
    }
    if link.session.is_established() || !link.socket.can_write() {
        return Vec::new();
    }
    link.socket.waiting().to_vec()
}
