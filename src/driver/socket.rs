//! A connected stream and the bytes that wait to leave on it. One read and one write system call each
//! per turn at most; what does not fit waits for the next. A stream that the host carries has no system calls:
//! the host brings what came, and fetches what waits.

use core::time::Duration;
use std::io::{self, Read};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, RawFd};

use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, TcpKeepalive};

use super::limits::{KEPT_MAX, UNACKNOWLEDGED_MAX};
use super::sys;

/// A connected stream.
#[derive(Debug)]
pub(super) enum Stream {
    /// Over TCP, without Nagle's delay.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
    /// The host moves its bytes.
    Carried,
}

impl Stream {
    /// Begins to connect to a peer, over TCP.
    pub(super) fn connect(address: SocketAddr) -> io::Result<Stream> {
        let stream = TcpStream::connect(address)?;
        set_patience(&stream);
        Ok(Stream::Tcp(stream))
    }

    fn fd(&self) -> Option<RawFd> {
        match self {
            Stream::Tcp(stream) => Some(stream.as_raw_fd()),
            Stream::Unix(stream) => Some(stream.as_raw_fd()),
            Stream::Carried => None,
        }
    }

    fn source(&mut self) -> Option<&mut dyn mio::event::Source> {
        match self {
            Stream::Tcp(stream) => Some(stream),
            Stream::Unix(stream) => Some(stream),
            Stream::Carried => None,
        }
    }
}

/// Has the kernel find out that a peer's machine is gone, without any timer of ours. Best effort.
fn set_patience(stream: &TcpStream) {
    let socket = SockRef::from(stream);
    let keepalive = TcpKeepalive::new()
        .with_time(Duration::from_secs(1))
        .with_interval(Duration::from_secs(1))
        .with_retries(4);
    let _ = socket.set_tcp_keepalive(&keepalive);
    let _ = socket.set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
}

/// What a read or a write found.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// So many bytes, and perhaps more to come at once.
    Bytes(usize),
    /// Nothing at present; an event will tell when there is.
    Nothing,
    /// The other side has ended the stream.
    End,
    /// The stream is broken.
    Broken(io::ErrorKind),
}

/// A stream with its state of readiness and its outgoing bytes.
#[derive(Debug)]
pub(super) struct Socket {
    stream: Stream,
    /// There may be something to read: an edge came, and no read has come back short since.
    pub(super) readable: bool,
    /// The other side sends no more, so a short read is not the last: the end is still to be read.
    hung_up: bool,
    /// The kernel took less than offered; only an edge may change that.
    blocked: bool,
    /// Bytes to send, those before `sent` already gone.
    pub(super) out: Vec<u8>,
    sent: usize,
}

impl Socket {
    /// A stream that is not yet known to be readable. `connected` tells whether it can be written to; if
    /// not, the first writable event says so.
    pub(super) fn new(stream: Stream, connected: bool) -> Socket {
        if let Stream::Tcp(stream) = &stream {
            // Best effort: a stream without it works, only slower.
            let _ = stream.set_nodelay(true);
        }
        Socket { stream, readable: false, hung_up: false, blocked: !connected, out: Vec::new(), sent: 0 }
    }

    /// Puts the stream under the poll's eyes, for both directions at once and for good.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let Some(source) = self.stream.source() else { return Ok(()) };
        registry.register(source, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Takes an event of the poll.
    pub(super) fn handle_event(&mut self, event: &mio::event::Event) {
        if event.is_read_closed() || event.is_error() {
            self.hung_up = true;
        }
        if event.is_readable() || self.hung_up {
            self.readable = true;
        }
        if event.is_writable() || event.is_error() {
            self.blocked = false;
        }
    }

    /// The error that a connection attempt ended with, if it did.
    pub(super) fn take_error(&self) -> Option<io::Error> {
        match &self.stream {
            Stream::Tcp(stream) => stream.take_error().unwrap_or_else(Some),
            Stream::Unix(stream) => stream.take_error().unwrap_or_else(Some),
            Stream::Carried => None,
        }
    }

    /// Reads once.
    pub(super) fn read(&mut self, into: &mut [u8]) -> Found {
        let result = loop {
            let result = match &mut self.stream {
                Stream::Tcp(stream) => stream.read(into),
                Stream::Unix(stream) => stream.read(into),
                Stream::Carried => Err(io::ErrorKind::WouldBlock.into()),
            };
            match result {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result,
            }
        };
        match result {
            Ok(0) => {
                self.readable = false;
                Found::End
            }
            Ok(length) => {
                // A short read has emptied the socket (epoll(7)); what comes later makes a new edge.
                self.readable = length == into.len() || self.hung_up;
                Found::Bytes(length)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                Found::Nothing
            }
            Err(error) => {
                self.readable = false;
                Found::Broken(error.kind())
            }
        }
    }

    /// Bytes that wait to leave.
    pub(super) fn unsent(&self) -> usize {
        self.out.len() - self.sent
    }

    /// Whether a write would make progress.
    pub(super) fn can_write(&self) -> bool {
        !self.blocked && self.unsent() > 0
    }

    /// The host of a carried stream can move bytes, or cannot at present.
    pub(super) fn set_blocked(&mut self, blocked: bool) {
        self.blocked = blocked;
    }

    /// The host has ended a carried stream.
    pub(super) fn hang_up(&mut self) {
        self.hung_up = true;
    }

    /// Whether the other side has ended the stream.
    pub(super) fn has_hung_up(&self) -> bool {
        self.hung_up
    }

    /// Whether the host cannot move bytes at present.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// The bytes that wait to leave.
    pub(super) fn waiting(&self) -> &[u8] {
        &self.out[self.sent..]
    }

    /// The first of the bytes that wait are gone.
    pub(super) fn pass(&mut self, length: usize) {
        self.sent += length;
        self.compact();
    }

    /// Moves bytes that wait to leave into a buffer of the host's; returns how many.
    pub(super) fn write_into(&mut self, into: &mut [u8]) -> usize {
        let length = self.unsent().min(into.len());
        into[..length].copy_from_slice(&self.waiting()[..length]);
        self.pass(length);
        length
    }

    /// Writes once.
    pub(super) fn write(&mut self) -> Found {
        let Some(fd) = self.stream.fd().filter(|_| self.can_write()) else { return Found::Nothing };
        let offered = &self.out[self.sent..];
        match sys::send(fd, offered) {
            Ok(length) => {
                self.blocked = length < offered.len();
                self.sent += length;
                self.compact();
                Found::Bytes(length)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.blocked = true;
                Found::Nothing
            }
            Err(error) => Found::Broken(error.kind()),
        }
    }

    /// Gives back what was sent: at once if that is all, otherwise when it is the larger part, so that
    /// each byte is moved at most once.
    fn compact(&mut self) {
        if self.sent == self.out.len() {
            self.out.clear();
            self.sent = 0;
            if self.out.capacity() > KEPT_MAX {
                self.out = Vec::new();
            }
        } else if self.sent > self.out.len() / 2 {
            self.out.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Gives back the buffer of a socket that has fallen idle.
    pub(super) fn release(&mut self) {
        if self.out.is_empty() {
            self.out = Vec::new();
        }
    }
}

/// Bytes that came and were not consumed: an incomplete command or record, or what must wait.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Inbox {
    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Bytes that wait.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.consumed
    }

    /// Hands `consume` everything that waits, `fresh` behind it; it returns how much of that it consumed.
    /// Nothing is copied as long as nothing is left over.
    pub(super) fn feed(&mut self, fresh: &[u8], consume: impl FnOnce(&[u8]) -> usize) {
        if self.bytes.is_empty() {
            let consumed = consume(fresh);
            self.bytes.extend_from_slice(&fresh[consumed..]);
            return;
        }
        self.bytes.extend_from_slice(fresh);
        self.consumed += consume(&self.bytes[self.consumed..]);
        if self.consumed == self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
            if self.bytes.capacity() > KEPT_MAX {
                self.bytes = Vec::new();
            }
        } else if self.consumed > self.bytes.len() / 2 {
            self.bytes.drain(..self.consumed);
            self.consumed = 0;
        }
    }

    /// Gives back the buffer if nothing waits in it.
    pub(super) fn release(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Vec::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Socket, UnixStream) {
        let (left, right) = UnixStream::pair().unwrap();
        (Socket::new(Stream::Unix(left), true), right)
    }

    #[test]
    fn a_short_read_has_emptied_the_socket() {
        use std::io::Write;
        let (mut socket, mut other) = pair();
        socket.readable = true;
        other.write_all(b"12345").unwrap();
        let mut buffer = [0; 4];
        assert_eq!(socket.read(&mut buffer), Found::Bytes(4));
        assert!(socket.readable);
        assert_eq!(socket.read(&mut buffer), Found::Bytes(1));
        assert!(!socket.readable);
        assert_eq!(socket.read(&mut buffer), Found::Nothing);
        drop(other);
        assert_eq!(socket.read(&mut buffer), Found::End);
    }

    #[test]
    fn what_the_kernel_does_not_take_waits_in_order() {
        let (mut socket, mut other) = pair();
        let sent: Vec<u8> = (0..4 << 20).map(|at: u32| (at / 7) as u8).collect();
        socket.out.extend_from_slice(&sent);
        let mut received = Vec::new();
        let mut buffer = vec![0; 64 << 10];
        while received.len() < sent.len() {
            socket.write();
            while let Ok(length) = other.read(&mut buffer) {
                received.extend_from_slice(&buffer[..length]);
            }
            // In place of the poll's event.
            socket.blocked = false;
        }
        assert_eq!(socket.unsent(), 0);
        assert!(socket.out.capacity() <= KEPT_MAX, "a large buffer is given back");
        assert!(received == sent);
    }

    #[test]
    fn an_inbox_keeps_what_was_not_consumed() {
        let mut inbox = Inbox::default();
        let mut seen = Vec::new();
        // Consumes whole words of three bytes only.
        let mut feed = |inbox: &mut Inbox, fresh: &[u8]| {
            inbox.feed(fresh, |bytes| {
                let whole = bytes.len() / 3 * 3;
                seen.extend_from_slice(&bytes[..whole]);
                whole
            });
        };
        let text = b"abcdefghijklmnopqrstuvwxyz0";
        for (at, length) in [(0, 1), (1, 1), (2, 5), (7, 0), (7, 1), (8, 13), (21, 6)] {
            feed(&mut inbox, &text[at..at + length]);
        }
        assert!(inbox.is_empty());
        assert_eq!(seen, text);
    }
}
