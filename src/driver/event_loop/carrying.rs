//! The loop of a node whose bytes the host moves: what it brings and fetches between two steps.

use super::EventLoop;
use crate::driver::client::Turn;
use crate::driver::peer::{Carrying, Filled, Peers, Uncarried};
use crate::proto::time::Now;

impl EventLoop {
    /// Takes a stream that another member opened to this one. Returns its name, which is never used again.
    ///
    /// # Errors
    /// It is not taken.
    pub fn net_accept(&mut self, now: Now) -> Result<u64, Uncarried> {
        self.with_peers(now, Peers::accept)
    }

    /// Takes the next bytes of a stream, or a datagram, whose own name may be 0; nothing of them is needed afterwards. What
    /// follows from them is done by the next [`EventLoop::step`].
    ///
    /// # Errors
    /// There is no such stream any more, and the bytes are dropped, or [`Uncarried::Unmet`]: the datagram opens a stream
    /// that is to be accepted first.
    pub fn net_receive(&mut self, now: Now, peer: u64, bytes: &[u8]) -> Result<(), Uncarried> {
        self.with_peers(now, |peers, turn| peers.receive(peer, bytes, turn))
    }

    /// Takes what the host says of a stream.
    ///
    /// # Errors
    /// There is no such stream any more.
    pub fn net_event(&mut self, now: Now, peer: u64, what: Carrying) -> Result<(), Uncarried> {
        self.with_peers(now, |peers, turn| peers.heed(peer, what, turn))
    }

    /// Fills a buffer of the host's, which holds [`DATAGRAM_MIN`](crate::proto::limits::DATAGRAM_MIN) bytes at least,
    /// with what it is to carry or to know next; `None` if that is nothing.
    pub fn net_fill(&mut self, into: &mut [u8]) -> Option<Filled> {
        self.peers.fill(into)
    }

    fn with_peers<T>(&mut self, now: Now, work: impl FnOnce(&mut Peers, &mut Turn<'_>) -> T) -> T {
        let now = self.forward(now);
        let mut turn = turn!(self, now);
        work(&mut self.peers, &mut turn)
    }
}
