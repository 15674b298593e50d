//! Scanning a keyspace, partition by partition in position order, by R replicas of each.
//!
//! A cursor is the next 64-bit position prefix, and a page ends only between prefixes, so a key that was
//! there throughout is returned once (trap T15). What one replica holds does not tell what is there: it may have
//! missed a write that others acknowledged. So R replicas list a run of the partition, and where their lists end
//! the run ends:
//!
//! ```text
//! our own list ── its sum ──► the others: the same, rows of their own, or cannot tell
//! R lists, merged:   one record, or none, at each   it tells whether the key is live
//!                    two of them                    a read of R decides, which merges and repairs
//! ```
//!
//! Copies are equal almost always, so a run costs a word from each replica beyond our own. A page that cannot be
//! finished (its deadline, replicas that are gone) ends with what was decided, if that is anything. Each step of
//! work is bounded.

use core::ops::ControlFlow;

use super::tally::Ranks;
use super::{Origin, Phase, Turn};
use crate::proto::error::Outcome;
use crate::proto::io::{Achieved, Operation, Options, Reply, Request, ScanPage, View};
use crate::proto::limits;
use crate::proto::message::{
    Extent, LEVEL_OF_SCANS, Listed, Message, Row, Scan, Scanned, decode_rows, put_row,
};
use crate::proto::peers::Peers;
use crate::proto::ring::position;
use crate::proto::store::Store;
use crate::proto::version::Object;

/// Keys in a page whose request names no limit.
const LIMIT_DEFAULT: u32 = 10;

/// A scan in flight. The slot's partition is the one that it is at.
#[derive(Debug, Default)]
pub(super) struct Scanning {
    /// Where the page began.
    start: u64,
    /// The next prefix wanted: what is before it is in the page.
    cursor: u64,
    limit: u32,
    /// Rows looked at so far, live or not, those of them that were read, and the bytes of keys in the page.
    visited: usize,
    read: usize,
    bytes: usize,
    page: ScanPage,
    /// The fewest replicas that any run was listed by.
    fewest: Option<u8>,
    run: Option<Run>,
    /// Tells runs apart: a read that was made for an earlier one decides nothing.
    number: u32,
}

impl Scanning {
    /// Gives up what a free slot need not keep. Most were never used.
    pub(super) fn release(&mut self) {
        if self.number > 0 {
            *self = Scanning::default();
        }
    }
}

/// A part of a partition that R replicas list.
#[derive(Debug)]
struct Run {
    question: Scan,
    asked: Ranks,
    answered: Ranks,
    /// They were asked and are late.
    late: Ranks,
    /// They cannot tell.
    unknown: Ranks,
    /// What each list held, one behind the other, until they are merged.
    found: Vec<Found>,
    /// Where the lists end.
    until: Option<u64>,
    is_merged: bool,
    /// Of those whose copies differ, up to here reads were begun, and so many are open.
    begun: usize,
    open: usize,
    /// Reads are being begun: who is answered at once does not go on by itself.
    is_beginning: bool,
    /// Why one of them failed.
    failure: Option<Outcome>,
}

/// A key that some replica holds.
#[derive(Debug)]
struct Found {
    position: u128,
    key: Vec<u8>,
    item_hash: u64,
    is_live: bool,
    /// Two replicas hold different records.
    differs: bool,
}

/// A key of a run whose copies differ, about which a read decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Doubt {
    /// The scan.
    handle: u64,
    /// Its run.
    number: u32,
    /// Where the key is among what the run has found.
    at: usize,
}

/// What one copy holds of a run.
pub struct Listing {
    next: Option<u64>,
    rows: Vec<u8>,
    sum: u64,
}

/// Lists what a store holds from a prefix on; `None` if it cannot tell, having lost records there.
fn list<S: Store>(store: &S, scan: &Scan) -> Option<Listing> {
    let limit = scan.limit.clamp(1, limits::SCAN_PAGE_MAX);
    let until = scan.known.and_then(|known| known.until);
    let mut listing = Listing { next: until, rows: Vec::new(), sum: 0 };
    let (mut live, mut visited, mut last, mut is_readable) = (0, 0, None, true);
    let is_whole = store.scan(scan.partition, u128::from(scan.from) << 64, &mut |key, record| {
        let prefix = (key.position >> 64) as u64;
        if until.is_some_and(|until| prefix >= until) {
            return ControlFlow::Break(());
        }
        let is_full = live >= limit
            || visited >= limits::SCAN_VISITS_MAX
            || listing.rows.len() >= limits::SCAN_BYTES_MAX;
        if last != Some(prefix) && is_full {
            listing.next = Some(prefix);
            return ControlFlow::Break(());
        }
        last = Some(prefix);
        visited += 1;
        if key.keyspace != scan.keyspace {
            return ControlFlow::Continue(());
        }
        let Ok(object) = Object::decode(&record.object) else {
            is_readable = false;
            return ControlFlow::Break(());
        };
        let is_live = object.latest(scan.wall_ms).is_some();
        live += u32::from(is_live);
        // A value that was shed here early has the same item hash, and is alive elsewhere.
        listing.sum = listing.sum.wrapping_add(record.item_hash.rotate_left(u32::from(is_live)));
        put_row(&mut listing.rows, &Row { key: key.key, item_hash: record.item_hash, is_live });
        ControlFlow::Continue(())
    });
    (is_whole && is_readable && !store.is_incomplete(scan.partition)).then_some(listing)
}

/// Answers a scan from a store whose copy is evidence.
pub fn answer_scan<S: Store>(store: &S, scan: &Scan, send: impl FnOnce(&Message<'_>)) {
    let listing = list(store, scan);
    let listed = match &listing {
        None => Listed::Unknown,
        Some(Listing { next, sum, .. }) if scan.known == Some(Extent { until: *next, sum: *sum }) => {
            Listed::Same(*sum)
        }
        Some(Listing { next, rows, .. }) => Listed::Rows { next: *next, rows },
    };
    send(&Message::Scanned(Scanned { from: scan.from, listed }));
}

impl Run {
    /// Asked, neither late nor gone, and without an answer.
    fn waiting(&self) -> Ranks {
        self.asked.without(self.answered.or(self.late).or(self.unknown))
    }

    /// Takes another list into account: where the shortest one ends, the run ends.
    fn end_at(&mut self, next: Option<u64>) {
        let is_first = self.answered.is_empty() || planted!("scan_last_bound");
        self.until = if is_first { next } else { [self.until, next].into_iter().flatten().min() };
    }

    /// Makes one list of all, and leaves out what does not fit the page: a prefix stays whole.
    fn merge(&mut self, limit: usize) {
        self.is_merged = true;
        let until = self.until;
        let is_in = |found: &Found| until.is_none_or(|until| prefix_of(found) < until);
        self.found.retain(is_in);
        self.found.sort_by(|one, other| (one.position, &one.key).cmp(&(other.position, &other.key)));
        self.found.dedup_by(|other, first| {
            let is_same = other.key == first.key;
            first.differs |= is_same && (other.item_hash, other.is_live) != (first.item_hash, first.is_live);
            is_same
        });
        let (mut live, mut differ) = (0, 0);
        for at in 0..self.found.len() {
            let is_next = at == 0 || prefix_of(&self.found[at]) != prefix_of(&self.found[at - 1]);
            if is_next && (live >= limit || differ >= limits::SCAN_READS_MAX) {
                self.until = Some(prefix_of(&self.found[at]));
                self.found.truncate(at);
                return;
            }
            let found = &self.found[at];
            live += usize::from(found.is_live || found.differs);
            differ += usize::from(found.differs);
        }
    }
}

/// Whether a machine can be asked for a list.
fn can_list(peers: &Peers, slot: u16) -> bool {
    peers.usable(slot) && peers.peer(slot).level >= LEVEL_OF_SCANS
}

fn prefix_of(found: &Found) -> u64 {
    (found.position >> 64) as u64
}

/// How a step of a scan ended.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Step {
    /// The next one can be taken.
    Done,
    /// Somebody has to answer first, or the scan is over.
    Waits,
}

impl<S: Store> Turn<'_, S> {
    /// Begins a page.
    pub(super) fn scan(&mut self, index: usize, cursor: u64, limit: u32) {
        let limit = if limit == 0 { LIMIT_DEFAULT } else { limit.min(limits::SCAN_PAGE_MAX) };
        let slot = &mut self.coordinator.slots[index];
        slot.phase = Phase::Scanning;
        slot.scanning = Scanning { start: cursor, cursor, limit, ..Scanning::default() };
        self.scan_on(index);
    }

    /// Goes on until the page is full, somebody must be asked, or the end is reached.
    fn scan_on(&mut self, index: usize) {
        while self.scan_step(index) == Step::Done {}
    }

    fn scan_step(&mut self, index: usize) -> Step {
        if self.coordinator.slots[index].scanning.run.is_none() && !self.begin_run(index) {
            return Step::Waits;
        }
        let (slot, needed) = self.run_of(index);
        if slot.failure.is_some() {
            return self.give_up_scan(index);
        }
        if slot.answered.len() < needed {
            return self.ask_for_lists(index);
        }
        self.decide(index)
    }

    /// The run that a scan is at, and how many replicas must list it.
    fn run_of(&mut self, index: usize) -> (&mut Run, u8) {
        let slot = &mut self.coordinator.slots[index];
        let r = if planted!("scan_one_replica") { 1 } else { slot.quorum.r };
        (slot.scanning.run.as_mut().expect("a run is under way"), r)
    }

    /// Begins the next run with our own list, if our copy is evidence; false if the page is full.
    fn begin_run(&mut self, index: usize) -> bool {
        let slot = &mut self.coordinator.slots[index];
        let scanning = &mut slot.scanning;
        if scanning.page.keys.len() >= scanning.limit as usize
            || scanning.visited >= limits::SCAN_VISITS_MAX
            || scanning.read >= limits::SCAN_READS_MAX
            || scanning.bytes >= limits::SCAN_BYTES_MAX
        {
            self.finish_scan(index);
            return false;
        }
        scanning.number += 1;
        slot.partition = self.routes.partition(u128::from(scanning.cursor) << 64);
        let (keyspace, partition, options) = (slot.keyspace, slot.partition, slot.options);
        let mut run = Run {
            question: Scan {
                keyspace,
                partition,
                from: scanning.cursor,
                limit: scanning.limit - scanning.page.keys.len() as u32,
                wall_ms: self.now.wall.0,
                known: None,
            },
            asked: Ranks::default(),
            answered: Ranks::default(),
            late: Ranks::default(),
            unknown: Ranks::default(),
            found: Vec::new(),
            until: None,
            is_merged: false,
            begun: 0,
            open: 0,
            is_beginning: false,
            failure: None,
        };
        match self.quorum(keyspace, partition, &options, false) {
            Ok(quorum) => self.coordinator.slots[index].quorum = quorum,
            Err(outcome) => run.failure = Some(outcome),
        }
        let own = self.own_readable_rank(index);
        let listing = own.and_then(|_| list(self.replica.store(), &run.question));
        self.coordinator.slots[index].scanning.run = Some(run);
        match (own, listing) {
            (Some(rank), Some(Listing { next, rows, sum })) => {
                self.run_of(index).0.question.known = Some(Extent { until: next, sum });
                self.take_list(index, rank, next, &rows);
            }
            (Some(rank), None) => self.run_of(index).0.unknown.insert(rank),
            (None, _) => {}
        }
        true
    }

    /// Takes one replica's list.
    fn take_list(&mut self, index: usize, rank: usize, next: Option<u64>, rows: &[u8]) {
        let (hash, routes) = (self.keys.hash, self.routes);
        let (run, _) = self.run_of(index);
        let Scan { keyspace, partition, from, .. } = run.question;
        let begun = run.found.len();
        let decoded = decode_rows(rows, |row| {
            let position = position(&hash, keyspace, row.key);
            // A key of another place would be met again there.
            if (position >> 64) as u64 >= from && routes.partition(position) == partition {
                let (key, item_hash, is_live) = (row.key.to_vec(), row.item_hash, row.is_live);
                run.found.push(Found { position, key, item_hash, is_live, differs: false });
            }
        });
        if decoded.is_err() {
            // The frame's checksum holds, so it is a peer's bug: another one may know better.
            run.found.truncate(begun);
            return run.late.insert(rank);
        }
        run.end_at(next);
        run.answered.insert(rank);
    }

    /// Asks as many replicas as are missing.
    fn ask_for_lists(&mut self, index: usize) -> Step {
        let replicas = self.replicas(index);
        let own = self.peers.own();
        let (slot, is_meeting) = (&self.coordinator.slots[index], self.routes.are_meeting(self.now.mono));
        let needed = slot.quorum.r;
        let id = self.wire_id(index);
        let run = self.coordinator.slots[index].scanning.run.as_mut().expect("a run is under way");
        let mut may = run.answered.len();
        // Who is late may answer yet, and counts for as long as nobody else can be asked.
        let (mut late, mut unknown) = (0, run.unknown.len());
        let waiting = run.waiting();
        for (rank, to) in replicas.readable() {
            if to == own
                || !can_list(self.peers, to)
                || run.answered.contains(rank)
                || run.unknown.contains(rank)
            {
                continue;
            }
            if run.late.contains(rank) {
                late += 1;
            } else if waiting.contains(rank) {
                may += 1;
            } else if may < needed {
                may += 1;
                run.asked.insert(rank);
                self.peers.send(to, id, &Message::Scan(run.question));
            }
        }
        if may + late >= needed || is_meeting {
            return Step::Waits;
        }
        unknown += may + late;
        let reachable = may + late;
        run.failure = Some(match unknown >= needed {
            true => Outcome::Incomplete,
            false => Outcome::NotEnoughReplicas { reachable, needed },
        });
        Step::Done
    }

    /// Merges R lists, reads the keys of which they differ, and takes what is live.
    fn decide(&mut self, index: usize) -> Step {
        let handle = self.coordinator.handle(index);
        let scanning = &mut self.coordinator.slots[index].scanning;
        let left = scanning.limit as usize - scanning.page.keys.len();
        let number = scanning.number;
        let run = scanning.run.as_mut().expect("a run is under way");
        if !run.is_merged {
            run.merge(left);
        }
        run.is_beginning = true;
        loop {
            let is_full = self.coordinator.in_flight() >= self.config.in_flight_max;
            let slot = &mut self.coordinator.slots[index];
            let run = slot.scanning.run.as_mut().expect("a run is under way");
            let is_next = |found: &Found| found.differs && !planted!("scan_first_copy");
            let next = run.found.iter().skip(run.begun).position(is_next).map(|at| run.begun + at);
            let Some(at) = next.filter(|_| run.failure.is_none()) else {
                run.begun = next.unwrap_or(run.found.len());
                break;
            };
            run.begun = at;
            if is_full || run.open >= limits::SCAN_READS_OPEN {
                run.failure = (run.open == 0).then_some(Outcome::Overloaded);
                break;
            }
            (run.begun, run.open) = (at + 1, run.open + 1);
            let key = run.found[at].key.clone();
            let options =
                Options { r: slot.options.r, pr: slot.options.pr, view: View::Latest, ..Options::default() };
            let (keyspace, deadline) = (slot.keyspace, slot.deadline);
            let request = Request { keyspace, key: &key, operation: Operation::Get, options };
            self.begin(Origin::Scan(Doubt { handle, number, at }), &request, Some(deadline));
        }
        let (run, _) = self.run_of(index);
        run.is_beginning = false;
        match (run.open, &run.failure) {
            (_, Some(_)) => Step::Done,
            (0, None) => self.take_run(index),
            _ => Step::Waits,
        }
    }

    /// A read has decided about a key whose copies differ.
    pub(super) fn scan_decided(&mut self, doubt: Doubt, reply: &Reply) {
        let Some(index) = self.coordinator.find(doubt.handle) else { return };
        let scanning = &mut self.coordinator.slots[index].scanning;
        let is_current = scanning.number == doubt.number;
        let Some(run) = scanning.run.as_mut().filter(|_| is_current) else { return };
        run.open -= 1;
        match &reply.outcome {
            Outcome::Ok | Outcome::NotFound => run.found[doubt.at].is_live = !reply.siblings.is_empty(),
            failed => run.failure = Some(failed.clone()),
        }
        if !run.is_beginning {
            self.scan_on(index);
        }
    }

    /// Takes what a run has found into the page, and moves the cursor behind it.
    fn take_run(&mut self, index: usize) -> Step {
        let scanning = &mut self.coordinator.slots[index].scanning;
        let run = scanning.run.take().expect("a run is under way");
        let listed_by = run.answered.len();
        scanning.fewest = Some(scanning.fewest.map_or(listed_by, |fewest| fewest.min(listed_by)));
        scanning.visited += run.found.len();
        scanning.read += run.found.iter().filter(|found| found.differs).count();
        for found in run.found.into_iter().filter(|found| found.is_live) {
            scanning.bytes += found.key.len();
            scanning.page.keys.push(found.key);
        }
        let width = (u128::from(u64::MAX) + 1) / u128::from(self.routes.partitions());
        let end = u64::try_from((u128::from(run.question.partition) + 1) * width).ok();
        match run.until.or(end) {
            Some(next) => scanning.cursor = next,
            None => {
                scanning.cursor = 0;
                self.finish_scan(index);
                return Step::Waits;
            }
        }
        Step::Done
    }

    /// Looks again at a scan that waits: who was asked is late, so another is, or all of them again.
    pub(super) fn scan_again(&mut self, index: usize) {
        let replicas = self.replicas(index);
        let run = self.coordinator.slots[index].scanning.run.as_mut();
        let Some(run) = run.filter(|run| !run.is_merged) else { return };
        self.coordinator.counters.retries += 1;
        run.late = run.late.or(run.waiting());
        let is_left = |&(rank, slot): &(usize, u16)| {
            can_list(self.peers, slot) && !run.late.or(run.answered).or(run.unknown).contains(rank)
        };
        if !replicas.readable().any(|replica| is_left(&replica)) {
            run.asked = run.asked.without(run.late);
            run.late = Ranks::default();
        }
        self.scan_on(index);
    }

    /// The partition got other replicas: they list the run.
    pub(super) fn scan_anew(&mut self, index: usize) {
        self.coordinator.slots[index].scanning.run = None;
        self.scan_on(index);
    }

    /// A peer is gone, or has come to a topology under which it answers: it is asked as if it never was.
    pub(super) fn list_again(&mut self, index: usize, replica: u16) {
        let Some(rank) = self.replicas(index).rank(replica) else { return };
        let Some(run) = self.coordinator.slots[index].scanning.run.as_mut() else { return };
        if run.asked.contains(rank) && !run.answered.contains(rank) && !run.is_merged {
            run.asked.remove(rank);
            run.late.remove(rank);
            self.scan_on(index);
        }
    }

    /// A replica's list, given under this version: one of before the sets changed is none.
    pub fn scanned(&mut self, from: u16, id: u64, version: u64, scanned: &Scanned<'_>) {
        let Some(index) = self.find_wire_id(id) else { return };
        let slot = &self.coordinator.slots[index];
        let is_old = version < self.routes.since(slot.partition);
        if slot.phase != Phase::Scanning || is_old {
            return;
        }
        let rank = self.replicas(index).readable().find(|&(_, slot)| slot == from);
        let (partition, routes) = (slot.partition, self.routes);
        let Some((run, (rank, _))) = self.coordinator.slots[index].scanning.run.as_mut().zip(rank) else {
            return;
        };
        // A replica that was asked again, and then for a later run, may answer late.
        let is_awaited = run.asked.or(run.late).contains(rank) && !run.answered.contains(rank);
        if !is_awaited || run.is_merged || run.question.from != scanned.from {
            return;
        }
        match scanned.listed {
            Listed::Unknown if planted!("scan_unknown_list") => run.answered.insert(rank),
            Listed::Unknown => run.unknown.insert(rank),
            Listed::Same(sum) => match run.question.known {
                Some(known) if known.sum == sum => run.answered.insert(rank),
                _ => return,
            },
            // A run that does not lead on would be asked for again without end; another replica may know better.
            Listed::Rows { next: Some(next), .. } if next <= scanned.from => return,
            Listed::Rows { next, rows } => {
                let next = next.filter(|&next| routes.partition(u128::from(next) << 64) == partition);
                self.take_list(index, rank, next, rows);
            }
        }
        self.scan_on(index);
    }

    /// What was decided is a page; if that is nothing, the scan has failed.
    fn give_up_scan(&mut self, index: usize) -> Step {
        let (run, _) = self.run_of(index);
        let outcome = run.failure.clone().expect("it has failed");
        self.end_scan(index, outcome);
        Step::Waits
    }

    /// Ends a scan that cannot go on.
    pub(super) fn end_scan(&mut self, index: usize, outcome: Outcome) {
        let slot = &self.coordinator.slots[index];
        if slot.scanning.cursor != slot.scanning.start {
            return self.finish_scan(index);
        }
        let mut reply = Reply::bare(outcome);
        reply.achieved.asked = slot.quorum.r;
        reply.achieved.acked =
            slot.scanning.run.as_ref().map_or(0, |run| run.answered.len()).min(slot.quorum.r);
        self.finish(index, reply);
    }

    fn finish_scan(&mut self, index: usize) {
        let slot = &mut self.coordinator.slots[index];
        let mut page = core::mem::take(&mut slot.scanning.page);
        page.next = slot.scanning.cursor;
        page.layout_version = self.routes.version();
        let mut reply = Reply::bare(Outcome::Ok);
        let acked = slot.scanning.fewest.unwrap_or(0);
        reply.achieved = Achieved { asked: slot.quorum.r, acked, ..Achieved::default() };
        reply.weak = slot.quorum.weak;
        reply.page = Some(Box::new(page));
        self.finish(index, reply);
    }
}
