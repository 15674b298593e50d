//! Scanning a keyspace, partition by partition in position order: one live replica of each answers.
//!
//! A cursor is the next 64-bit position prefix, and a page ends only between prefixes, so a key that was
//! there throughout is returned once (trap T15). Each step of work is bounded.

use core::ops::ControlFlow;

use super::{Phase, Turn};
use crate::proto::error::Outcome;
use crate::proto::io::{Reply, ScanPage};
use crate::proto::limits;
use crate::proto::message::{Message, decode_keys};
use crate::proto::store::Store;
use crate::proto::time::WallTime;
use crate::proto::version::Object;
use crate::proto::wire::put_bytes;

/// Keys in a page whose request names no limit.
const LIMIT_DEFAULT: u32 = 10;
/// Records looked at in one step, live or not.
const VISITS_MAX: u32 = 4_096;

/// A scan in flight.
#[derive(Debug, Default)]
pub(super) struct Scanning {
    /// The next prefix wanted.
    cursor: u64,
    limit: u32,
    /// Records looked at here so far.
    visited: u32,
    page: ScanPage,
    /// Replicas of the present partition that failed to answer, by slot.
    tried: Vec<u16>,
}

/// One replica's part of a page.
pub struct Scanned {
    /// Where the partition goes on; `None` at its end.
    pub next: Option<u64>,
    /// Counted byte strings.
    pub keys: Vec<u8>,
    /// How many.
    pub count: u32,
    /// Records looked at.
    pub visited: u32,
}

/// Collects the live keys of one partition from a prefix on.
pub fn scan_partition<S: Store>(
    store: &S,
    wall: WallTime,
    keyspace: u16,
    partition: u16,
    from: u64,
    limit: u32,
) -> Scanned {
    let limit = limit.clamp(1, limits::SCAN_PAGE_MAX);
    let mut scanned = Scanned { next: None, keys: Vec::new(), count: 0, visited: 0 };
    let mut last = None;
    store.scan(partition, u128::from(from) << 64, &mut |key, record| {
        let prefix = (key.position >> 64) as u64;
        if last != Some(prefix) && (scanned.count >= limit || scanned.visited >= VISITS_MAX) {
            scanned.next = Some(prefix);
            return ControlFlow::Break(());
        }
        last = Some(prefix);
        scanned.visited += 1;
        let live = key.keyspace == keyspace
            && Object::decode(&record.object).is_ok_and(|object| object.latest(wall.0).is_some());
        if live {
            scanned.count += 1;
            put_bytes(&mut scanned.keys, key.key);
        }
        ControlFlow::Continue(())
    });
    scanned
}

impl<S: Store> Turn<'_, S> {
    /// Begins a page.
    pub(super) fn scan(&mut self, index: usize, cursor: u64, limit: u32) {
        let limit = if limit == 0 { LIMIT_DEFAULT } else { limit.min(limits::SCAN_PAGE_MAX) };
        self.coordinator.slots[index].scanning = Scanning { cursor, limit, ..Scanning::default() };
        self.scan_on(index);
    }

    /// Goes through partitions until the page is full, a peer must be asked, or the end is reached.
    fn scan_on(&mut self, index: usize) {
        loop {
            let slot = &self.coordinator.slots[index];
            let (keyspace, scanning) = (slot.keyspace, &slot.scanning);
            if scanning.page.keys.len() >= scanning.limit as usize || scanning.visited >= VISITS_MAX {
                return self.finish_scan(index);
            }
            let partition = self.routes.partition(u128::from(scanning.cursor) << 64);
            let left = scanning.limit - scanning.page.keys.len() as u32;
            let replicas = self.routes.replicas(keyspace, partition);
            let own = self.peers.own();
            if replicas.readable().any(|(_, slot)| slot == own) {
                let from = scanning.cursor;
                let store = self.replica.store();
                let scanned = scan_partition(store, self.now.wall, keyspace, partition, from, left);
                self.coordinator.slots[index].scanning.visited += scanned.visited;
                if self.take_keys(index, partition, scanned.next, &scanned.keys) {
                    return self.finish_scan(index);
                }
                continue;
            }
            let untried =
                |&(_, slot): &(usize, u16)| self.peers.usable(slot) && !scanning.tried.contains(&slot);
            let Some((_, to)) = replicas.readable().find(untried) else {
                let outcome = Outcome::NotEnoughReplicas { reachable: 0, needed: 1 };
                return self.finish(index, Reply::bare(outcome));
            };
            let message = Message::Scan { keyspace, partition, from: scanning.cursor, limit: left };
            let id = self.wire_id(index);
            self.peers.send(to, id, &message);
            self.coordinator.slots[index].phase = Phase::Scanning(to);
            return;
        }
    }

    /// The replica that was asked is late or gone: another, or all of them again.
    pub(super) fn scan_again(&mut self, index: usize) {
        let Phase::Scanning(asked) = self.coordinator.slots[index].phase else { return };
        self.coordinator.counters.retries += 1;
        let usable = self.peers.usable(asked);
        let scanning = &mut self.coordinator.slots[index].scanning;
        scanning.tried.push(asked);
        let partition = self.routes.partition(u128::from(scanning.cursor) << 64);
        let replicas = self.routes.replicas(self.coordinator.slots[index].keyspace, partition);
        let scanning = &mut self.coordinator.slots[index].scanning;
        if usable
            && replicas.readable().all(|(_, slot)| scanning.tried.contains(&slot) || !self.peers.usable(slot))
        {
            scanning.tried.clear();
        }
        self.scan_on(index);
    }

    /// A replica's part.
    pub fn scanned(&mut self, from: u16, id: u64, start: u64, next: Option<u64>, keys: &[u8]) {
        let Some(index) = self.find_wire_id(id) else { return };
        let slot = &self.coordinator.slots[index];
        // A replica that was asked again, and then for a later part, may answer late.
        if slot.phase != Phase::Scanning(from) || slot.scanning.cursor != start {
            return;
        }
        // A page that does not lead on would be asked for again without end; another replica may know better.
        if next.is_some_and(|next| next <= start) {
            return;
        }
        let partition = self.routes.partition(u128::from(start) << 64);
        let next = next.filter(|&next| self.routes.partition(u128::from(next) << 64) == partition);
        if self.take_keys(index, partition, next, keys) {
            self.finish_scan(index);
        } else {
            self.scan_on(index);
        }
    }

    /// Adds keys and moves the cursor; true at the end of the keyspace.
    fn take_keys(&mut self, index: usize, partition: u16, next: Option<u64>, keys: &[u8]) -> bool {
        let scanning = &mut self.coordinator.slots[index].scanning;
        let taken = decode_keys(keys, |key| scanning.page.keys.push(key.to_vec()));
        scanning.tried.clear();
        // Keys up to a malformed one are kept; the frame's checksum makes it a peer's bug, not a loss.
        let _ = taken;
        let width = (u128::from(u64::MAX) + 1) / u128::from(self.routes.partitions());
        let end = (u128::from(partition) + 1) * width;
        match (next, u64::try_from(end)) {
            (Some(next), _) => scanning.cursor = next,
            (None, Ok(end)) => scanning.cursor = end,
            (None, Err(_)) => {
                scanning.cursor = 0;
                return true;
            }
        }
        false
    }

    fn finish_scan(&mut self, index: usize) {
        let scanning = &mut self.coordinator.slots[index].scanning;
        let mut page = core::mem::take(&mut scanning.page);
        page.next = scanning.cursor;
        let mut reply = Reply::bare(Outcome::Ok);
        reply.page = Some(Box::new(page));
        self.finish(index, reply);
    }
}
