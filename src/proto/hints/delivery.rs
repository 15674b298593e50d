//! Bringing hints to their targets, once they can be reached again: in the order in which they lie, a window at a
//! time, and no faster than the target puts them on disk.
//!
//! The window is the target's credit (`pace.rs`), and one record after an acknowledgement that did not come. All targets
//! together are held to a pace in bytes, which gives way to clients' requests and bounds what leaves in one turn.
//!
//! A target that does not settle its hints (`Routes::settles_hints`) is sent nothing: a hint may be the last copy of a
//! write. It waits for the flip, or for the patrol to readdress it. Who leaves hands over what it cannot deliver, to those
//! who would stand in for the target now.

use core::ops::ControlFlow;
use std::collections::BTreeMap;

use super::{Hints, PARTITIONS, Spot};
use crate::proto::config::Config;
use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::message::{Acks, Hint, LEVEL_OF_HINTS, Message, Stored};
use crate::proto::pace::{Credit, Throttle};
use crate::proto::peers::Peers;
use crate::proto::reap::Counts;
use crate::proto::ring;
use crate::proto::routes::Routes;
use crate::proto::store::Store;
use crate::proto::time::{Instant, Now};

/// Marks the numbers of delivered records among those that peers echo: coordinators' have an upper half, and those of
/// transfers have not this bit.
const OURS: u64 = 1 << 31;

/// What a delivery works with.
pub struct Road<'a> {
    /// What time it is.
    pub now: Now,
    /// The settings.
    pub config: &'a Config,
    /// The others.
    pub peers: &'a mut Peers,
    /// Who holds what.
    pub routes: &'a Routes,
    /// Veils numbers.
    pub nonce: u64,
    /// How fast it may go.
    pub throttle: &'a mut Throttle,
}

/// Where a hint goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// To its target.
    Target(u16),
    /// To another who keeps it, as this node leaves.
    Keeper(u16),
}

/// A record on its way.
#[derive(Debug)]
struct Sent {
    to: Way,
    is_counted: bool,
    name: Vec<u8>,
    item_hash: u64,
    bytes: usize,
    at: Instant,
}

/// What is on its way to one target.
#[derive(Debug)]
pub(super) struct Delivery {
    /// Hints for it.
    pub(super) records: u64,
    /// Where to go on: counted ones first, then from this position.
    is_behind_counted: bool,
    from: u128,
    sent: BTreeMap<u64, Sent>,
    credit: Credit,
    /// When to look again.
    next: Instant,
}

impl Default for Delivery {
    fn default() -> Delivery {
        Delivery {
            records: 0,
            is_behind_counted: false,
            from: 0,
            sent: BTreeMap::new(),
            credit: Credit::default(),
            next: Instant::ZERO,
        }
    }
}

impl Delivery {
    pub(super) fn is_done(&self) -> bool {
        self.records == 0 && self.sent.is_empty()
    }

    /// Begins again, gently.
    fn restart(&mut self, next: Instant) {
        *self = Delivery { records: self.records, next, ..Delivery::default() };
    }

    fn given_up_at(&self) -> Instant {
        let oldest = self.sent.values().map(|sent| sent.at).min();
        oldest.map_or(Instant::NEVER, |at| at + limits::HINT_TIMEOUT)
    }

    fn sent_bytes(&self) -> usize {
        self.sent.values().map(|sent| sent.bytes).sum()
    }
}

/// One record to be sent.
struct Picked {
    to: Way,
    is_counted: bool,
    name: Vec<u8>,
    object: Vec<u8>,
    item_hash: u64,
}

impl<S: Store> Hints<S> {
    /// When [`Hints::deliver`] is due.
    pub fn delivery_deadline(&self, peers: &Peers, routes: &Routes) -> Instant {
        let reached = self.targets.iter().filter(|(id, _)| slot_of(peers, routes, **id).is_some());
        reached.map(|(_, delivery)| delivery.next).min().unwrap_or(Instant::NEVER)
    }

    /// Sends what may be sent now. Each hint goes under the count of reaps that is known here, as it is read now.
    pub fn deliver(&mut self, road: &mut Road<'_>, reaps: &Counts) {
        let due: Vec<MemberId> =
            self.targets.iter().filter(|(_, d)| d.next <= road.now.mono).map(|(id, _)| *id).collect();
        for target in due {
            if let Some(slot) = slot_of(road.peers, road.routes, target) {
                self.deliver_to(road, reaps, (target, slot));
            }
        }
    }

    /// Where a hint of a key can go now.
    fn way(&self, road: &Road<'_>, spot: &Spot<'_>, target: u16) -> Option<Way> {
        let (routes, peers) = (road.routes, &*road.peers);
        let partition = self.partition(spot.keyspace, spot.key);
        if peers.usable(target) && routes.settles_hints(spot.keyspace, partition, target) {
            return Some(Way::Target(target));
        }
        if !routes.is_going_for_good(peers.own()) {
            return None;
        }
        let order = routes.fallbacks(partition, &routes.replicas(spot.keyspace, partition), target);
        let keeps = |slot: u16| peers.usable(slot) && peers.peer(slot).level >= LEVEL_OF_HINTS;
        order.into_iter().find(|&slot| slot != peers.own() && keeps(slot)).map(Way::Keeper)
    }

    fn deliver_to(&mut self, road: &mut Road<'_>, reaps: &Counts, (target, slot): (MemberId, u16)) {
        let now = road.now.mono;
        let delivery = self.targets.get_mut(&target).expect("it is due");
        if delivery.given_up_at() <= now {
            delivery.restart(now + limits::HINT_RETRY);
            return;
        }
        let bytes = delivery.sent_bytes();
        let room = delivery.credit.room(delivery.sent.len());
        if room == 0 || bytes >= limits::HINT_WINDOW_BYTES {
            delivery.next = delivery.given_up_at();
            return;
        }
        if !road.throttle.is_open(road.now, road.config.hint_rate) {
            delivery.next = road.throttle.next_at().min(delivery.given_up_at());
            return;
        }
        let (picked, is_end) = self.pick(road, target, slot, room);
        let mut bytes = 0;
        for record in picked {
            let Spot { keyspace, key, .. } = Spot::of(&record.name).expect("it was picked as a hint");
            self.number += 1;
            let number = (self.number & (OURS - 1)) | OURS;
            let durable = !planted!("hint_undurable");
            let acks = Acks { stored: !durable, durable };
            let object = &record.object;
            let is_member = road.routes.is_member(road.peers.own());
            let reaps = reaps.of_leftovers(self.partition(keyspace, key), is_member);
            let (slot, message) = match record.to {
                Way::Target(slot) => (slot, Message::Replicate { keyspace, key, acks, object }),
                Way::Keeper(slot) => {
                    let is_counted = record.is_counted;
                    (slot, Message::Hint(Hint { target, is_counted, keyspace, key, acks, object }))
                }
            };
            road.peers.send_counted(slot, number ^ road.nonce, reaps, &message);
            let size = record.name.len() + record.object.len();
            bytes += size;
            let Picked { to, is_counted, name, item_hash, .. } = record;
            let sent = Sent { to, is_counted, name, item_hash, bytes: size, at: now };
            self.targets.get_mut(&target).expect("it is due").sent.insert(number, sent);
        }
        road.throttle.sent(road.now, road.config.hint_rate, bytes);
        let delivery = self.targets.get_mut(&target).expect("it is due");
        if !is_end {
            delivery.next = road.throttle.next_at().max(now + limits::HINT_PAUSE).min(delivery.given_up_at());
        } else if delivery.sent.is_empty() {
            // What is left came meanwhile, was refused, or waits for the patrol.
            (delivery.is_behind_counted, delivery.from) = (false, 0);
            delivery.next = now + limits::HINT_RETRY;
        } else {
            delivery.next = delivery.given_up_at();
        }
    }

    /// The next hints of a target, and whether its last one was looked at.
    fn pick(&mut self, road: &Road<'_>, target: MemberId, slot: u16, room: usize) -> (Vec<Picked>, bool) {
        let mut picked: Vec<Picked> = Vec::new();
        let mut bytes = 0;
        let tag = format!("{{{:016x}}}", target.0);
        let delivery = &self.targets[&target];
        let (mut is_behind_counted, mut from) = (delivery.is_behind_counted, delivery.from);
        let burst = road.throttle.burst(road.config.hint_rate);
        let mut effort = 0;
        let mut is_end = false;
        while !is_end {
            let is_counted = !is_behind_counted;
            let start = ring::position(&self.hash_key, u16::from(is_counted), tag.as_bytes()) >> 112 << 112;
            let end = start | (u128::MAX >> 16);
            let mut next = None;
            let partition = ring::partition(start, PARTITIONS);
            self.copy.store().scan(partition, from.max(start), &mut |key, record| {
                if key.position > end {
                    return ControlFlow::Break(());
                }
                effort += 1;
                let is_full = picked.len() >= room || (!picked.is_empty() && bytes >= burst);
                if is_full || effort > limits::SWEEP_RECORDS_MAX {
                    next = Some(key.position);
                    return ControlFlow::Break(());
                }
                let spot = Spot::of(key.key).filter(|spot| spot.target == target);
                let way = spot.and_then(|spot| self.way(road, &spot, slot));
                let is_sent =
                    delivery.sent.values().any(|sent| sent.name == key.key && sent.is_counted == is_counted);
                if let Some(to) = way
                    && key.keyspace == u16::from(is_counted)
                    && !is_sent
                {
                    bytes += key.key.len() + record.object.len();
                    let (name, object) = (key.key.to_vec(), record.object.to_vec());
                    picked.push(Picked { to, is_counted, name, object, item_hash: record.item_hash });
                }
                ControlFlow::Continue(())
            });
            match next {
                Some(next) => {
                    from = next;
                    break;
                }
                None if is_counted => (is_behind_counted, from) = (true, 0),
                None => is_end = true,
            }
        }
        let delivery = self.targets.get_mut(&target).expect("it is due");
        (delivery.is_behind_counted, delivery.from) =
            (is_behind_counted, if is_end { u128::MAX } else { from });
        (picked, is_end)
    }

    /// A target, or another keeper of its hints, has put a record of ours on its disk, or does not take it. False if it
    /// is no answer to us.
    pub fn acknowledged(
        &mut self,
        (now, routes): (Now, &Routes),
        (target, from): (MemberId, u16),
        number: u64,
        stored: Stored,
    ) -> bool {
        if number >> 32 != 0 || number & OURS == 0 {
            return false;
        }
        let (key, parts) = (self.hash_key, self.partitions);
        let Some(delivery) = self.targets.get_mut(&target) else { return true };
        let Some(sent) = delivery.sent.remove(&number) else { return true };
        let Spot { keyspace, key: name, .. } = Spot::of(&sent.name).expect("it was sent as a hint");
        let partition = ring::partition(ring::position(&key, keyspace, name), parts);
        // What it was when the hint went it may be no more.
        let is_settled = match sent.to {
            Way::Target(slot) => slot == from && routes.settles_hints(keyspace, partition, slot),
            Way::Keeper(slot) => slot == from && routes.stays(slot),
        };
        let is_safe = is_settled
            && (stored == Stored::Durable || (planted!("hint_undurable") && stored == Stored::Stored));
        if !is_safe {
            delivery.restart(now.mono + limits::HINT_RETRY);
            return true;
        }
        delivery.credit.acknowledged(now.mono.since(sent.at));
        delivery.next = now.mono;
        // A store that takes no removal now keeps it, and it is sent again.
        if self.remove(now, (sent.is_counted, &sent.name, sent.item_hash)) == Ok(true) {
            self.counters.delivered += 1;
        }
        if self.targets.get(&target).is_some_and(Delivery::is_done) {
            self.targets.remove(&target);
        }
        true
    }

    /// A peer is gone: what was on its way may be lost.
    pub fn peer_down(&mut self, target: MemberId) {
        if let Some(delivery) = self.targets.get_mut(&target) {
            delivery.restart(Instant::ZERO);
            if delivery.is_done() {
                self.targets.remove(&target);
            }
        }
    }
}

/// The slot of a target whose hints can go somewhere: to it, or to another keeper as this node leaves.
fn slot_of(peers: &Peers, routes: &Routes, target: MemberId) -> Option<u16> {
    let leaves = routes.is_going_for_good(peers.own());
    peers.slot_of(target).filter(|&slot| leaves || peers.usable(slot))
}
