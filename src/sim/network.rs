//! The simulated network: when, how often and in what shape each frame arrives, and which machines can
//! reach each other.
//!
//! Two kinds of transport, one per run. A *stream* keeps order and loses nothing while its connection
//! lives; what was on its way when it broke is gone. *Datagrams* may be lost, doubled, overtaken, and may
//! arrive long after, also at a machine that was restarted in between: the core must need no more.
//!
//! It does not know what frames mean; it only splits what one `Send` carried.

use super::clock::{MS, Time};
use super::faults::{Fault, Profile};
use crate::proto::rng::Rng;

/// A frame on its way.
#[derive(Clone, Debug)]
pub struct Flight {
    /// When it arrives.
    pub at: Time,
    /// The bytes, perhaps with a wrong one among them.
    pub bytes: Vec<u8>,
    /// The connection it travels on; a stream's frame dies with it.
    pub connection: u64,
    /// Whether a byte was changed.
    pub corrupt: bool,
}

/// One direction between two machines.
#[derive(Clone, Debug, Default)]
struct Lane {
    /// How many cuts lie on it now.
    cuts: u32,
    /// When the last frame of the stream arrives.
    last: Time,
}

/// What two machines know of their connection.
#[derive(Clone, Debug, Default)]
struct Pair {
    /// Counts breaks. A machine that holds an older number has a dead connection.
    connection: u64,
}

/// All lanes and pairs.
pub struct Network {
    machines: usize,
    lanes: Vec<Lane>,
    pairs: Vec<Pair>,
    /// For each machine and peer: the connection it believes to have.
    sees: Vec<Option<u64>>,
    /// Frames kept to arrive once more after a restart.
    attic: Vec<(usize, usize, Vec<u8>)>,
    rng: Rng,
}

/// Frames kept for [`Network::late_copies`].
const ATTIC_MAX: usize = 48;

impl Network {
    /// Everybody can reach everybody; nobody is connected yet.
    pub fn new(machines: usize, seed: u64) -> Network {
        Network {
            machines,
            lanes: vec![Lane::default(); machines * machines],
            pairs: vec![Pair::default(); machines * machines],
            sees: vec![None; machines * machines],
            attic: Vec::new(),
            rng: Rng::new(seed),
        }
    }

    fn lane(&mut self, from: usize, to: usize) -> &mut Lane {
        &mut self.lanes[from * self.machines + to]
    }

    fn pair(&mut self, a: usize, b: usize) -> &mut Pair {
        &mut self.pairs[a.min(b) * self.machines + a.max(b)]
    }

    /// Adds or takes away a cut of one direction.
    pub fn cut(&mut self, from: usize, to: usize, on: bool) {
        let lane = self.lane(from, to);
        lane.cuts = if on { lane.cuts + 1 } else { lane.cuts.saturating_sub(1) };
    }

    /// Takes all cuts away.
    pub fn heal(&mut self) {
        self.lanes.iter_mut().for_each(|lane| lane.cuts = 0);
    }

    /// Whether frames get through, both ways.
    pub fn is_open(&self, a: usize, b: usize) -> bool {
        self.lanes[a * self.machines + b].cuts == 0 && self.lanes[b * self.machines + a].cuts == 0
    }

    /// Breaks the connection of two machines: both must notice and connect anew.
    pub fn break_connection(&mut self, a: usize, b: usize) {
        self.pair(a, b).connection += 1;
    }

    /// The number of the connection that two machines have or will have.
    pub fn connection(&mut self, a: usize, b: usize) -> u64 {
        self.pair(a, b).connection
    }

    /// The connection that `machine` believes to have to `peer`.
    pub fn sees(&self, machine: usize, peer: usize) -> Option<u64> {
        self.sees[machine * self.machines + peer]
    }

    /// Sets what `machine` believes.
    pub fn set_sees(&mut self, machine: usize, peer: usize, connection: Option<u64>) {
        self.sees[machine * self.machines + peer] = connection;
    }

    /// Forgets what `machine` believed: it was stopped.
    pub fn forget(&mut self, machine: usize) {
        for peer in 0..self.machines {
            self.set_sees(machine, peer, None);
        }
    }

    /// Decides what becomes of one frame. `struck` is told of every fault.
    pub fn send(
        &mut self,
        now: Time,
        route: (usize, usize),
        bytes: &[u8],
        profile: &Profile,
        struck: &mut dyn FnMut(Fault),
    ) -> Vec<Flight> {
        let (from, to) = route;
        let connection = self.pair(from, to).connection;
        if self.lane(from, to).cuts > 0 {
            return Vec::new();
        }
        if profile.stream {
            return self.send_in_order(now, route, bytes, profile);
        }
        self.keep_in_attic(route, bytes);
        let mut hits = |rng: &mut Rng, ppm: u64, fault: Fault| {
            let hit = rng.below(1_000_000) < ppm;
            if hit {
                struck(fault);
            }
            hit
        };
        if hits(&mut self.rng, profile.loss_ppm, Fault::Loss) {
            return Vec::new();
        }
        let mut flights = Vec::with_capacity(1);
        let (least, most) = profile.delay;
        let mut at = now + least + self.rng.below(most - least + 1);
        if hits(&mut self.rng, profile.reorder_ppm, Fault::Reorder) {
            at += self.rng.below(4 * most + 20 * MS);
        }
        let mut copy =
            |at: Time, bytes: Vec<u8>, corrupt| flights.push(Flight { at, bytes, connection, corrupt });
        if hits(&mut self.rng, profile.duplicate_ppm, Fault::Duplicate) {
            copy(at + self.rng.below(2 * most + 50 * MS), bytes.to_vec(), false);
        }
        if hits(&mut self.rng, profile.late_ppm, Fault::LateReplay) {
            copy(at + self.rng.below(5_000 * MS), bytes.to_vec(), false);
        }
        let mut bytes = bytes.to_vec();
        let corrupt = hits(&mut self.rng, profile.corrupt_ppm, Fault::CorruptFrame);
        if corrupt {
            let bit = self.rng.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        copy(at, bytes, corrupt);
        flights
    }

    fn send_in_order(
        &mut self,
        now: Time,
        (from, to): (usize, usize),
        bytes: &[u8],
        profile: &Profile,
    ) -> Vec<Flight> {
        let (least, most) = profile.delay;
        let connection = self.pair(from, to).connection;
        let drawn = now + least + self.rng.below(most - least + 1);
        let lane = self.lane(from, to);
        lane.last = lane.last.max(drawn);
        vec![Flight { at: lane.last, bytes: bytes.to_vec(), connection, corrupt: false }]
    }

    fn keep_in_attic(&mut self, (from, to): (usize, usize), bytes: &[u8]) {
        if !self.rng.one_in(16) {
            return;
        }
        let frame = (from, to, bytes.to_vec());
        if self.attic.len() < ATTIC_MAX {
            self.attic.push(frame);
        } else {
            let at = self.rng.below(ATTIC_MAX as u64) as usize;
            self.attic[at] = frame;
        }
    }

    /// Old frames to or from a machine that was just started again, to arrive once more.
    pub fn late_copies(&mut self, machine: usize, profile: &Profile) -> Vec<(usize, usize, Vec<u8>)> {
        if profile.stream || profile.late_ppm == 0 {
            return Vec::new();
        }
        let mut copies: Vec<_> =
            self.attic.iter().filter(|frame| frame.0 == machine || frame.1 == machine).cloned().collect();
        copies.truncate(self.rng.below(8) as usize);
        copies
    }
}
