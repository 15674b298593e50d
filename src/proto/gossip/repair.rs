//! Tables that differ for longer than rumours take: a pull and push of the rows that differ, found in two steps
//! and bounded in bytes.
//!
//! ```text
//! A                                   B
//!   ping: digest                 ->     another digest here
//!                                <-   summary: 64 sums
//!   stamps of parts that differ  ->     which rows are newer on which side
//!                                <-   want: ids that A has newer, and the rows that B has newer
//!   those rows                   ->
//! ```
//!
//! Whoever sends pays from its own budget, and what does not fit waits for the next ping. A row that was
//! learned so is passed on like any other news.

use crate::proto::io::MemberId;
use crate::proto::limits;
use crate::proto::time::Instant;

use super::Gossip;
use super::member::{Member, Verdict};
use super::message::{HEADER, Message, Stamp};
use super::rumor::Rumor;
use super::table::PARTS;

/// Room for stamps beside what else their message has.
const STAMPS_BYTES: usize = limits::GOSSIP_DATAGRAM_MAX - HEADER - 8 - 3;
/// Most bytes of one stamp: an id, a verdict and two numbers.
const STAMP_BYTES: usize = 8 + 1 + 2 * 5;
/// Ids in one want.
const WANT_MAX: usize = 128;
/// Datagrams of rows for one want.
const ROWS_DATAGRAMS: usize = 4;
/// While rumours wait, tables differ anyway; one ping in so many is still followed up, as they may never end.
const WHILE_RUMORS: u64 = 8;

impl Gossip {
    /// A member's digest differs from ours.
    pub(super) fn compare(&mut self, now: Instant, id: MemberId, address: &[u8]) {
        let in_flux = !self.rumors.is_empty() && !self.rng.one_in(WHILE_RUMORS);
        // One in a period: a burst of pings, as after a pause, finds one difference many times.
        if !in_flux && self.compare_at <= now && self.repairs.allows(now) {
            self.compare_at = now + self.config.timing.probe_interval;
            self.counters.repairs += 1;
            let message = Message::Summary(self.table.summary());
            self.repair(id, address, &message, &[]);
        }
    }

    /// Sends within the budget; returns how many rows fitted.
    fn repair(&mut self, id: MemberId, address: &[u8], message: &Message, rows: &[Rumor]) -> usize {
        let (fitted, bytes) = self.send_rows(id, address, message, rows);
        self.repairs.spend(bytes);
        fitted
    }

    /// Lists our rows of the parts whose sums differ, from a random one on, as many as fit.
    pub(super) fn take_summary(&mut self, now: Instant, id: MemberId, address: &[u8], theirs: &[u32; PARTS]) {
        let ours = self.table.summary();
        let start = self.rng.below(PARTS as u64) as usize;
        let (mut whole, mut stamps, mut some) = (0, Vec::new(), false);
        let room = STAMPS_BYTES / STAMP_BYTES;
        for part in (start..start + PARTS).map(|part| part % PARTS) {
            if ours[part] == theirs[part] {
                continue;
            }
            let rows: Vec<Stamp> = self.table.part(part).map(stamp).take(room + 1).collect();
            let fits = stamps.len() + rows.len() <= room;
            if fits {
                whole |= 1 << part;
            } else if !stamps.is_empty() {
                break;
            }
            some = true;
            stamps.extend(rows.into_iter().take(room));
        }
        if some && self.repairs.allows(now) {
            self.repair(id, address, &Message::Stamps { whole, stamps }, &[]);
        }
    }

    /// Asks for the rows that are newer there, and gives those that are newer here.
    pub(super) fn take_stamps(
        &mut self,
        now: Instant,
        id: MemberId,
        address: &[u8],
        whole: u64,
        stamps: &[Stamp],
    ) {
        if !self.repairs.allows(now) {
            return;
        }
        let (mut wanted, mut newer) = (Vec::new(), Vec::new());
        for theirs in stamps {
            match self.table.get(theirs.id) {
                None if theirs.verdict == Verdict::Left => {}
                None => wanted.push(theirs.id),
                Some(member) => {
                    let ours = stamp(member);
                    let place = |stamp: &Stamp| (stamp.incarnation, stamp.verdict);
                    match place(theirs).cmp(&place(&ours)) {
                        core::cmp::Ordering::Greater => wanted.push(theirs.id),
                        core::cmp::Ordering::Less => newer.push(row(member)),
                        core::cmp::Ordering::Equal => {}
                    }
                }
            }
        }
        let listed: std::collections::BTreeSet<MemberId> = stamps.iter().map(|stamp| stamp.id).collect();
        for part in (0..PARTS).filter(|part| whole & 1 << part != 0) {
            let missing = |member: &&Member| member.verdict != Verdict::Left && !listed.contains(&member.id);
            newer.extend(self.table.part(part).filter(missing).map(row));
        }
        let mut rows = newer.as_slice();
        if !wanted.is_empty() {
            wanted.truncate(WANT_MAX);
            let fitted = self.repair(id, address, &Message::Want(wanted), rows);
            rows = &rows[fitted..];
        }
        self.send_rows_in_turn(id, address, rows);
    }

    /// Gives the rows that were asked for.
    pub(super) fn take_want(&mut self, now: Instant, id: MemberId, address: &[u8], ids: &[MemberId]) {
        if self.repairs.allows(now) {
            let rows: Vec<Rumor> =
                ids.iter().take(WANT_MAX).filter_map(|&id| self.table.get(id)).map(row).collect();
            self.send_rows_in_turn(id, address, &rows);
        }
    }

    fn send_rows_in_turn(&mut self, id: MemberId, address: &[u8], mut rows: &[Rumor]) {
        for _ in 0..ROWS_DATAGRAMS {
            if rows.is_empty() {
                return;
            }
            let fitted = self.repair(id, address, &Message::Gossip, rows);
            rows = &rows[fitted..];
        }
    }
}

fn stamp(member: &Member) -> Stamp {
    Stamp { id: member.id, verdict: member.verdict.settled(), incarnation: member.incarnation }
}

fn row(member: &Member) -> Rumor {
    let (verdict, incarnation) = (member.verdict.settled(), member.incarnation);
    Rumor::Row { verdict, incarnation, description: member.description.clone() }
}
