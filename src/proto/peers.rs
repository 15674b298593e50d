//! What a node knows of its peers, and the frames on their way to them.

use std::collections::BTreeMap;

use super::io::MemberId;
use super::latency::Latency;
use super::limits;
use super::message::{Envelope, LEVEL, LEVEL_OF_REAPS, Message};
use super::time::Instant;

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
    /// Others are asked first: it is suspected, down, or comes and goes.
    pub avoided: bool,
    /// What it missed is on its way to it: copies are compared with its afterwards.
    pub catching_up: bool,
    /// How long it takes to answer.
    pub latency: Latency,
    /// What it knows of messages.
    pub level: u8,
    /// What it last said that it knows of them, connected or not.
    pub said: u8,
    /// The highest version of a topology that it was seen to follow on this connection.
    pub version: u64,
    /// The highest version that it was told of on this connection.
    pub told: u64,
    /// From when it is told of that one again, if it is still behind: a datagram may be lost.
    pub told_again_at: Instant,
    outbox: Vec<u8>,
}

impl Peer {
    fn new(id: MemberId) -> Peer {
        Peer {
            id,
            connected: false,
            greeted: false,
            other_layout: false,
            boot: 0,
            opens: 0,
            generation: None,
            avoided: false,
            catching_up: false,
            latency: Latency::default(),
            level: LEVEL,
            said: LEVEL,
            version: 0,
            told: 0,
            told_again_at: Instant::NEVER,
            outbox: Vec::new(),
        }
    }
}

/// Machines that a node may have met since it was started.
const PEERS_MAX: usize = 4 * limits::MEMBERS_MAX;

/// All machines that were met, by slot: the members of topologies, and who wants to become one. Our own slot
/// stays unused.
#[derive(Debug)]
pub struct Peers {
    peers: Vec<Peer>,
    own: u16,
    by_id: BTreeMap<MemberId, u16>,
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
    /// This node, and these machines in their order; it may be one of them.
    pub fn new(own: MemberId, cluster_id: u64, others: impl Iterator<Item = MemberId>) -> Peers {
        let mut peers = Peers {
            peers: Vec::new(),
            own: 0,
            by_id: BTreeMap::new(),
            envelope: Envelope { layout_version: 0, cluster_id, request_id: 0, reaps: 0 },
            filled: Vec::new(),
            spare: Vec::new(),
            sent: 0,
            oversized: 0,
        };
        for id in others {
            peers.meet(id);
        }
        peers.own = peers.meet(own);
        peers
    }

    /// The slot of a machine, which it is given at the first meeting and keeps.
    pub fn meet(&mut self, id: MemberId) -> u16 {
        let next = self.peers.len() as u16;
        let slot = *self.by_id.entry(id).or_insert(next);
        if slot == next {
            self.peers.push(Peer::new(id));
        }
        slot
    }

    /// The slot of a machine that was met, if it is another one.
    pub fn slot_of(&self, id: MemberId) -> Option<u16> {
        self.by_id.get(&id).copied().filter(|&slot| slot != self.own)
    }

    /// Whether there is room for one more.
    pub fn has_room(&self) -> bool {
        self.peers.len() < PEERS_MAX
    }

    /// Names the topology that frames are sent under from now on.
    pub fn set_version(&mut self, version: u32) {
        self.envelope.layout_version = version;
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
        self.send_counted(slot, request_id, 0, message);
    }

    /// The same, of what was read, or is asked, under a count of reaps (trap T6).
    pub fn send_counted(&mut self, slot: u16, request_id: u64, reaps: u64, message: &Message<'_>) {
        assert_ne!(slot, self.own, "nobody sends to itself");
        let peer = &mut self.peers[usize::from(slot)];
        // What it does not know it would end the connection for.
        let level = if reaps > 0 { LEVEL_OF_REAPS } else { 0 };
        if !peer.connected || message.level().max(level) > peer.level {
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
        message.encode(&Envelope { request_id, reaps, ..self.envelope }, &mut peer.outbox);
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
        peer.catching_up = false;
        peer.level = LEVEL;
        peer.version = 0;
        peer.told = 0;
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
        let mut peers = Peers::new(MemberId(1), 7, [].into_iter());
        assert_eq!((peers.meet(MemberId(2)), peers.meet(MemberId(2))), (1, 1));
        peers.peer_mut(1).connected = true;
        let object = vec![0; FRAME_MAX];
        peers.send(1, 1, &Message::Fetched(Fetched::Record(&object)));
        assert_eq!((peers.take_frames(), peers.oversized), (None, 1));
        peers.send(1, 1, &Message::Fetched(Fetched::Record(b"object")));
        let (to, frames) = peers.take_frames().unwrap();
        assert_eq!((to, split_frame(&frames).unwrap().1.len()), (MemberId(2), 0));
    }
}
