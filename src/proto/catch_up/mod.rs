//! Catching up: who was away is given what changed meanwhile, straight from the log of a replica that stayed.
//!
//! ```text
//!  exchange ended ──► Sync, acknowledged ──► claim: up to this cursor the peer has everything on its disk
//!  peer is back   ──► changes since the claim ──► Offer: digests ──► Wanted ──► records, acknowledged ──► claim
//! ```
//!
//! A *claim* says of a member's directory and a partition: each record that lies here with a sequence up to the cursor
//! lies there too, or something that covers it, and on its disk. Nothing but the member's word that it is on disk makes
//! one; it says nothing of another directory, and none outlives the topology it was made under, or this process. Where
//! there is no claim, or the log does not go back to it, the exchange is told to go there first (traps T2, T5, T19).
//!
//! Hints come before it: a node delivers its own first. What somebody else has delivered costs a digest each, as the
//! peer says what it wants. Of several replicas that stayed together the first on the preference list gives a
//! partition's records. A run that meets a refusal or a silence is given up, and left to the exchange.

mod run;

use core::time::Duration;
use std::collections::BTreeMap;

use self::run::{Run, Step};
use super::cluster::Scene;
use super::exchange::Ended;
use super::io::MemberId;
use super::limits;
use super::message::{LEVEL_OF_HINTS, Message, Stored};
use super::pace::Throttle;
use super::peers::Peers;
use super::replica::Replica;
use super::routes::Routes;
use super::store::{ChangeCursor, Sequence, Store};
use super::time::Instant;

/// Marks the numbers of what is sent here, among those that peers echo: no others have both bits.
const NUMBERS: u64 = 3 << 30;

/// Counters of catching up, for operators.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CatchUpCounters {
    /// Members that were given all that they had missed.
    pub done: u64,
    /// Runs that were given up: the member was gone again, slow, or refused.
    pub broken: u64,
    /// Members whose missing records could not be told, of all partitions or some.
    pub gaps: u64,
    /// Records offered by their digests, and the bytes of these and of the answers.
    pub offered: u64,
    /// See `offered`.
    pub offered_bytes: u64,
    /// Records sent, and their bytes.
    pub sent: u64,
    /// See `sent`.
    pub sent_bytes: u64,
}

/// What a member is known to have on its disk.
#[derive(Debug, Default)]
struct Known {
    /// Of its directory.
    generation: u64,
    /// By partition.
    claims: BTreeMap<u16, ChangeCursor>,
    /// Counts the changes of all claims: when these were made or relied on last.
    changed: u64,
}

/// Since when a peer is there, with which boot, and when it was last lost.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    boot: u64,
    met: Instant,
    lost: Instant,
}

/// A claim, as it is shown to those who verify it.
#[derive(Clone, Copy, Debug)]
pub struct Claim {
    /// Of whom.
    pub member: MemberId,
    /// Of which directory of it.
    pub generation: u64,
    /// The partition.
    pub partition: u16,
    /// Records here up to this one.
    pub up_to: Sequence,
    /// Rises with each change of a member's claims.
    pub changed: u64,
}

/// What runs need beside the scene.
pub struct Support<'a> {
    /// Who holds what.
    pub routes: &'a Routes,
    /// How many hints are kept here for a member.
    pub hints_for: &'a dyn Fn(MemberId) -> u64,
    /// How fast it may go.
    pub throttle: &'a mut Throttle,
}

/// See the head of this file.
#[derive(Debug, Default)]
pub struct CatchUps {
    known: BTreeMap<MemberId, Known>,
    links: BTreeMap<u16, Link>,
    /// Peers that were asked to sync, under which number, and what is known when they have.
    syncing: BTreeMap<u16, (u64, Ended)>,
    runs: BTreeMap<u16, Run>,
    /// Members for whom the exchange has to go first.
    left: Vec<MemberId>,
    number: u64,
    changed: u64,
    /// For operators.
    pub counters: CatchUpCounters,
}

impl CatchUps {
    /// An exchange came to its end: what it found equal is a claim once the peer has it on disk.
    pub fn compared<S: Store>(&mut self, scene: &mut Scene<'_, S>, ended: Ended) {
        let peer = scene.peers.peer(ended.peer);
        let is_same = scene.peers.usable(ended.peer) && peer.boot == ended.boot;
        if !scene.config.catch_up || !is_same || ended.settled == ChangeCursor::default() {
            return;
        }
        let number = self.next_number();
        let id = number ^ scene.replica.identity().nonce;
        scene.peers.send(ended.peer, id, &Message::Sync { boot: ended.boot });
        if planted!("cursor_unsynced") {
            return self.claim(scene.peers, ended);
        }
        self.syncing.insert(ended.peer, (number, ended));
    }

    fn claim(&mut self, peers: &Peers, ended: Ended) {
        let peer = peers.peer(ended.peer);
        let Some(generation) = peer.generation else { return };
        self.changed += 1;
        let known = self.known.entry(peer.id).or_default();
        known.bind(generation);
        known.changed = self.changed;
        ended.equal.into_iter().for_each(|partition| known.raise(partition, ended.settled));
    }

    fn next_number(&mut self) -> u64 {
        self.number += 1;
        NUMBERS | (self.number & ((1 << 30) - 1))
    }

    /// A peer has introduced itself, on a new connection or after a restart: it is given what it missed.
    pub fn met<S: Store>(&mut self, scene: &mut Scene<'_, S>, routes: &Routes, slot: u16) {
        self.forget_run(scene.peers, slot);
        let peer = scene.peers.peer(slot);
        let link = self.links.entry(slot).or_default();
        let is_restarted = link.boot != peer.boot;
        (link.met, link.boot) = (scene.now.mono, peer.boot);
        let (id, is_able) = (peer.id, peer.level >= LEVEL_OF_HINTS);
        let (Some(generation), true) = (peer.generation, is_able) else { return };
        let Some(known) = self.known.get_mut(&id) else { return };
        let had_claims = !known.claims.is_empty();
        known.bind(generation);
        self.changed += 1;
        known.changed = self.changed;
        let ours: Vec<u16> = (0..routes.partitions())
            .map(|partition| partition as u16)
            .filter(|&partition| self.is_ours(scene.peers, routes, partition, slot))
            .collect();
        let store = scene.replica.store();
        let claims = &self.known[&id].claims;
        let can = |at: &&u16| claims.get(at).is_some_and(|claim| store.covers(**at, claim));
        let partitions: Vec<u16> = ours.iter().filter(can).copied().collect();
        if had_claims && partitions.len() < ours.len() {
            self.counters.gaps += 1;
            // Who was started anew begins with a comparison by itself.
            self.left.extend((!is_restarted).then_some(id));
        }
        let oldest = partitions.iter().map(|at| claims[at]).min_by_key(|claim| claim.sequence);
        if let Some(oldest) = oldest {
            self.runs.insert(slot, Run::new(partitions, oldest, store.change_cursor(), scene.now.mono));
            scene.peers.peer_mut(slot).catching_up = true;
        }
    }

    /// Whether a partition's records are given to a peer by this node: both hold it, and nobody before us on the
    /// preference list has been with us since the peer was lost, and so has all that we have.
    fn is_ours(&self, peers: &Peers, routes: &Routes, partition: u16, slot: u16) -> bool {
        let replicas = routes.replicas_of_all(partition);
        let holds = |slot: u16| replicas.readable().any(|(_, other)| other == slot);
        if replicas.moves() || !holds(slot) || !holds(peers.own()) {
            return false;
        }
        let lost = self.links.get(&slot).map_or(Instant::ZERO, |link| link.lost);
        let was_with_us = |other: u16| {
            let met = self.links.get(&other).map_or(Instant::NEVER, |link| link.met);
            other != slot && peers.usable(other) && met < lost
        };
        let mut before = replicas.readable().take_while(|&(_, other)| other != peers.own());
        !before.any(|(_, other)| was_with_us(other))
    }

    fn forget_run(&mut self, peers: &mut Peers, slot: u16) {
        self.syncing.remove(&slot);
        self.runs.remove(&slot);
        peers.peer_mut(slot).catching_up = false;
    }

    /// A peer is gone. What it has acknowledged until now it need not be given again.
    pub fn peer_down(&mut self, peers: &mut Peers, slot: u16, now: Instant) {
        self.counters.broken += u64::from(self.runs.contains_key(&slot));
        self.forget_run(peers, slot);
        self.links.entry(slot).or_default().lost = now;
    }

    /// A member's directory went back in time: nothing is known of it.
    pub fn forget(&mut self, member: MemberId) {
        if self.known.remove(&member).is_some() {
            self.counters.gaps += 1;
        }
    }

    /// Another topology is in force: what was known was known of other sets.
    pub fn forget_all(&mut self, peers: &mut Peers) {
        self.known.clear();
        peers.slots().for_each(|slot| self.forget_run(peers, slot));
    }

    /// Members for whom the exchange has to do it, each once.
    pub fn take_left(&mut self) -> Vec<MemberId> {
        core::mem::take(&mut self.left)
    }

    /// What members are believed to have.
    pub fn claims(&self) -> impl Iterator<Item = Claim> {
        self.known.iter().flat_map(|(&member, known)| {
            let Known { generation, changed, .. } = *known;
            known.claims.iter().map(move |(&partition, claim)| {
                let up_to = claim.sequence;
                Claim { member, generation, partition, up_to, changed }
            })
        })
    }

    /// Counts their changes, as [`Claim::changed`] does.
    pub fn changed(&self) -> u64 {
        self.changed
    }

    /// When [`CatchUps::carry_on`] is due although nothing else happens.
    pub fn deadline(&self) -> Instant {
        self.runs.values().map(|run| run.due).min().unwrap_or(Instant::NEVER)
    }

    /// Goes on with what can go on.
    pub fn carry_on<S: Store>(&mut self, scene: &mut Scene<'_, S>, support: &mut Support<'_>) {
        let slots: Vec<u16> = self.runs.keys().copied().collect();
        for slot in slots {
            while let Step::Again = self.step(scene, support, slot) {}
        }
    }

    /// A peer has said what it wants of what it was offered, under this version.
    pub fn wanted<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        support: &mut Support<'_>,
        (from, id): (u16, u64),
        wanted: &[u8],
    ) {
        let number = id ^ scene.replica.identity().nonce;
        let Some(run) = self.runs.get_mut(&from).filter(|run| run.offered == Some(number)) else { return };
        run.take_wanted(wanted);
        self.counters.offered_bytes += wanted.len() as u64;
        self.carry_on(scene, support);
    }

    /// A peer has put a record of ours on its disk, or all that it has, or does not. False if it is no answer to us.
    pub fn acknowledged<S: Store>(
        &mut self,
        scene: &mut Scene<'_, S>,
        support: &mut Support<'_>,
        (from, id): (u16, u64),
        stored: Stored,
    ) -> bool {
        let number = id ^ scene.replica.identity().nonce;
        if self.syncing.get(&from).is_some_and(|(asked, _)| *asked == number) {
            let (_, ended) = self.syncing.remove(&from).expect("it was asked");
            if stored == Stored::Durable {
                self.claim(scene.peers, ended);
            }
            return true;
        }
        let Some(run) = self.runs.get_mut(&from) else { return false };
        let Some(after) = run.acknowledged(scene.now.mono, number) else { return false };
        let is_safe = stored == Stored::Durable || (planted!("cursor_undurable") && stored == Stored::Stored);
        if is_safe {
            run.credit.acknowledged(after);
            self.carry_on(scene, support);
        } else {
            self.give_up(scene.peers, from);
        }
        true
    }

    /// The exchange does the rest.
    fn give_up(&mut self, peers: &mut Peers, slot: u16) {
        self.counters.broken += 1;
        self.left.push(peers.peer(slot).id);
        self.forget_run(peers, slot);
    }
}

impl Known {
    /// It is this directory of the member. What another one held says nothing of it.
    fn bind(&mut self, generation: u64) {
        if self.generation != generation {
            self.generation = generation;
            if !planted!("cursor_generation") {
                self.claims.clear();
            }
        }
    }

    fn raise(&mut self, partition: u16, cursor: ChangeCursor) {
        let claim = self.claims.entry(partition).or_insert(cursor);
        if claim.generation != cursor.generation || claim.sequence < cursor.sequence {
            *claim = cursor;
        }
    }
}

/// How long hints of our own may stand still before what else was missed is given.
const HINTS_STILL: Duration = Duration::from_secs(2 * limits::HINT_TIMEOUT.as_secs());

/// The id that an answer gives back.
fn id_of<S: Store>(number: u64, replica: &Replica<S>) -> u64 {
    number ^ replica.identity().nonce
}
