//! What a node knows of its peers, and the frames on their way to them.

use super::io::MemberId;
use super::message::{Envelope, Message};

/// One peer.
#[derive(Debug)]
pub struct Peer {
    /// Its member id.
    pub id: MemberId,
    /// The host carries messages to it.
    pub connected: bool,
    /// It introduced itself on this connection, with our layout.
    pub greeted: bool,
    /// It introduced itself with another layout.
    pub other_layout: bool,
    /// Its boot, once it introduced itself.
    pub boot: u64,
    /// Its open count at that boot.
    pub opens: u64,
    /// Its generation, once it introduced itself.
    pub generation: Option<u64>,
    outbox: Vec<u8>,
}

/// All members but this one, by slot; our own slot stays unused.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Peer>,
    own: u16,
    envelope: Envelope,
    /// Slots with a filled outbox, in the order in which they were filled.
    filled: Vec<u16>,
    spare: Vec<Vec<u8>>,
    /// Frames sent.
    pub sent: u64,
    /// Messages that were not sent, being larger than a frame may be.
    pub oversized: u64,
}

impl Peers {
    /// Peers with these ids, by slot; `own` is this node.
    pub fn new(ids: impl Iterator<Item = MemberId>, own: u16, layout_version: u32, cluster_id: u64) -> Peers {
        let peer = |id| Peer {
            id,
            connected: false,
            greeted: false,
            other_layout: false,
            boot: 0,
            opens: 0,
            generation: None,
            outbox: Vec::new(),
        };
        Peers {
            peers: ids.map(peer).collect(),
            own,
            envelope: Envelope { layout_version, cluster_id, request_id: 0 },
            filled: Vec::new(),
            spare: Vec::new(),
            sent: 0,
            oversized: 0,
        }
    }

    /// This node's slot.
    pub const fn own(&self) -> u16 {
        self.own
    }

    /// The peer in a slot.
    pub fn peer(&self, slot: u16) -> &Peer {
        &self.peers[usize::from(slot)]
    }

    /// The peer in a slot.
    pub fn peer_mut(&mut self, slot: u16) -> &mut Peer {
        &mut self.peers[usize::from(slot)]
    }

    /// Slots of all peers.
    pub fn slots(&self) -> impl Iterator<Item = u16> + use<> {
        let own = self.own;
        (0..self.peers.len() as u16).filter(move |&slot| slot != own)
    }

    /// Whether requests may be sent there: connected, introduced, and of our layout. Always for ourselves.
    pub fn usable(&self, slot: u16) -> bool {
        slot == self.own || {
            let peer = self.peer(slot);
            peer.connected && peer.greeted
        }
    }

    /// Frames a message for a peer. Not connected: it is dropped, as a network would. So is one that is too
    /// large for any frame: the peer would end the connection over it, and every request with that.
    pub fn send(&mut self, slot: u16, request_id: u64, message: &Message<'_>) {
        assert_ne!(slot, self.own, "nobody sends to itself");
        let peer = &mut self.peers[usize::from(slot)];
        if !peer.connected {
            return;
        }
        if !message.fits() {
            self.oversized += 1;
            return;
        }
        if peer.outbox.is_empty() {
            self.filled.push(slot);
            if peer.outbox.capacity() == 0 {
                peer.outbox = self.spare.pop().unwrap_or_default();
            }
        }
        self.sent += 1;
        message.encode(&Envelope { request_id, ..self.envelope }, &mut peer.outbox);
    }

    /// The frames for one peer.
    pub fn take_frames(&mut self) -> Option<(MemberId, Vec<u8>)> {
        let slot = self.filled.pop()?;
        let peer = &mut self.peers[usize::from(slot)];
        Some((peer.id, core::mem::take(&mut peer.outbox)))
    }

    /// Forgets what was on its way to a peer whose connection is gone.
    pub fn disconnect(&mut self, slot: u16) {
        let peer = &mut self.peers[usize::from(slot)];
        peer.connected = false;
        peer.greeted = false;
        peer.other_layout = false;
        peer.outbox.clear();
        self.filled.retain(|&filled| filled != slot);
    }

    /// Takes a carried buffer back. A few are kept, and no large one.
    pub fn recycle(&mut self, mut frames: Vec<u8>) {
        if self.spare.len() < self.peers.len() && frames.capacity() <= 1 << 20 {
            frames.clear();
            self.spare.push(frames);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::limits::FRAME_MAX;
    use crate::proto::message::{Fetched, split_frame};

    #[test]
    fn what_no_frame_holds_is_not_sent() {
        let ids = [MemberId(1), MemberId(2)];
        let mut peers = Peers::new(ids.into_iter(), 0, 1, 7);
        peers.peer_mut(1).connected = true;
        let object = vec![0; FRAME_MAX];
        peers.send(1, 1, &Message::Fetched(Fetched::Record(&object)));
        assert_eq!((peers.take_frames(), peers.oversized), (None, 1));
        peers.send(1, 1, &Message::Fetched(Fetched::Record(b"object")));
        let (to, frames) = peers.take_frames().unwrap();
        assert_eq!((to, split_frame(&frames).unwrap().1.len()), (MemberId(2), 0));
    }
}
