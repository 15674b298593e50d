//! What leaves of a stream, when it leaves again, and how much may be under way.
//!
//! A part is lost when three that left later are known to have arrived, or when nothing is known of it for longer than
//! answers take (RFC 9002 §6, RFC 6298). Credits are datagrams under way: 32 at first; more as they arrive, fewer, once
//! for all that was under way, when some are lost. It is no congestion control for the open internet: the
//! floor is that of a network that loses some whatever is sent.

use core::time::Duration;
use std::collections::VecDeque;

use crate::proto::limits::{PACKET_CREDITS, PACKET_CREDITS_MAX, PACKET_CREDITS_MIN, PACKET_ROOM};
use crate::proto::time::Instant;

/// Parts that left later and arrived, from which on an earlier one counts as lost.
const OVERTAKEN_MAX: u64 = 3;
/// The shortest time without news after which a part counts as lost.
const PATIENCE_MIN: Duration = Duration::from_millis(10);
/// The longest.
const PATIENCE_MAX: Duration = Duration::from_secs(1);
/// How long before the first answer came.
const PATIENCE_FIRST: Duration = Duration::from_millis(100);

/// A part that left and is not known to have arrived with all before it.
#[derive(Clone, Copy, Debug)]
struct Part {
    start: u64,
    length: usize,
    /// Which transmission it was the last time.
    order: u64,
    sent_at: Instant,
    state: State,
    /// An answer may be to either transmission: it says nothing of the time.
    was_repeated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Flying,
    Arrived,
    Lost,
}

impl Part {
    fn end(&self) -> u64 {
        self.start + self.length as u64
    }
}

/// The sending half of a channel.
#[derive(Debug)]
pub(super) struct Sending {
    /// All bytes before this place have arrived.
    base: u64,
    /// The first place that never left.
    next: u64,
    /// The other end takes nothing from here on.
    limit: u64,
    /// In the order of their places, without gaps from `base` to `next`.
    parts: VecDeque<Part>,
    /// Of `parts`, those that fly, and those that are lost.
    flying: usize,
    lost: usize,
    transmissions: u64,
    /// The latest transmission that is known to have arrived.
    latest: u64,
    credits: usize,
    /// Parts that arrived since the credits last grew.
    arrived: usize,
    /// Credits grow by one for each part until the first loss, then by one for as many as there are.
    has_lost: bool,
    /// Losses of transmissions up to here have been answered for.
    answered: u64,
    /// The smoothed round trip and its deviation.
    round_trip: Option<(Duration, Duration)>,
    /// Timeouts in a row.
    timeouts: u32,
}

impl Default for Sending {
    fn default() -> Sending {
        Sending {
            base: 0,
            next: 0,
            limit: PACKET_ROOM,
            parts: VecDeque::new(),
            flying: 0,
            lost: 0,
            transmissions: 0,
            latest: 0,
            credits: PACKET_CREDITS,
            arrived: 0,
            has_lost: false,
            answered: 0,
            round_trip: None,
            timeouts: 0,
        }
    }
}

impl Sending {
    /// The place of the first byte that waits.
    pub(super) fn base(&self) -> u64 {
        self.base
    }

    /// Whether [`Sending::next`] would have something, with so many bytes waiting.
    pub(super) fn has_output(&self, waiting: usize) -> bool {
        self.lost > 0 || (self.may_send() && self.fresh(waiting) > 0)
    }

    fn may_send(&self) -> bool {
        self.flying < self.credits
    }

    /// Bytes that may leave for the first time.
    fn fresh(&self, waiting: usize) -> u64 {
        (self.base + waiting as u64).min(self.limit).saturating_sub(self.next)
    }

    /// What leaves next, in at most `room` bytes: where in what waits, and how long. Lost parts come first.
    pub(super) fn next(&mut self, now: Instant, waiting: usize, room: usize) -> Option<(usize, usize)> {
        let order = self.transmissions + 1;
        let lost = self.parts.iter().position(|part| part.state == State::Lost);
        let part = if let Some(at) = lost {
            self.split(at, room);
            let part = &mut self.parts[at];
            *part = Part { order, sent_at: now, state: State::Flying, was_repeated: true, ..*part };
            self.lost -= 1;
            *part
        } else {
            let length = usize::try_from(self.fresh(waiting)).unwrap_or(room).min(room);
            if length == 0 || !self.may_send() {
                return None;
            }
            let (start, state) = (self.next, State::Flying);
            let part = Part { start, length, order, sent_at: now, state, was_repeated: false };
            self.next = part.end();
            self.parts.push_back(part);
            part
        };
        self.flying += 1;
        self.transmissions = order;
        Some(((part.start - self.base) as usize, part.length))
    }

    /// Cuts a lost part that was larger than datagrams are now.
    fn split(&mut self, at: usize, room: usize) {
        let part = self.parts[at];
        if part.length > room {
            self.parts[at].length = room;
            let rest = Part { start: part.start + room as u64, length: part.length - room, ..part };
            self.parts.insert(at + 1, rest);
            self.lost += 1;
        }
    }

    /// The other end has all before `ack`, and what lies in `ranges`; it takes bytes up to `limit`. Returns how
    /// many bytes wait no more.
    pub(super) fn handle_ack(
        &mut self,
        now: Instant,
        ack: u64,
        limit: u64,
        ranges: impl Iterator<Item = (u64, u64)>,
    ) -> usize {
        if ack > self.next {
            return 0;
        }
        // Late answers come with less of everything.
        self.limit = self.limit.max(limit);
        for (start, end) in ranges {
            let first = self.parts.partition_point(|part| part.start < start);
            for at in first..self.parts.len() {
                if self.parts[at].end() > end {
                    break;
                }
                self.note_arrival(now, at);
            }
        }
        let released = ack.saturating_sub(self.base);
        while self.parts.front().is_some_and(|part| part.end() <= ack) {
            self.note_arrival(now, 0);
            self.parts.pop_front();
        }
        if released > 0 {
            self.base = ack;
            if let Some(part) = self.parts.front_mut().filter(|part| part.start < ack) {
                part.length -= (ack - part.start) as usize;
                part.start = ack;
            }
        }
        self.find_lost(|part, latest| part.order + OVERTAKEN_MAX <= latest);
        released as usize
    }

    fn note_arrival(&mut self, now: Instant, at: usize) {
        let part = &mut self.parts[at];
        match core::mem::replace(&mut part.state, State::Arrived) {
            State::Arrived => return,
            State::Flying => self.flying -= 1,
            State::Lost => self.lost -= 1,
        }
        self.timeouts = 0;
        self.latest = self.latest.max(part.order);
        if !part.was_repeated {
            let sample = now.since(part.sent_at);
            self.round_trip = Some(match self.round_trip {
                None => (sample, sample / 2),
                Some((smooth, deviation)) => {
                    ((smooth * 7 + sample) / 8, (deviation * 3 + smooth.abs_diff(sample)) / 4)
                }
            });
        }
        self.arrived += 1;
        if !self.has_lost || self.arrived >= self.credits {
            self.arrived = 0;
            self.credits = (self.credits + 1).min(PACKET_CREDITS_MAX);
        }
    }

    /// Marks the flying parts that are lost by some measure, of the part and the latest arrival.
    fn find_lost(&mut self, is_lost: impl Fn(&Part, u64) -> bool) {
        let latest = self.latest;
        let mut last = 0;
        for part in self.parts.iter_mut().filter(|part| part.state == State::Flying) {
            if is_lost(part, latest) && !planted!("packet_given_up") {
                part.state = State::Lost;
                last = last.max(part.order);
                self.flying -= 1;
                self.lost += 1;
            }
        }
        if last > self.answered {
            self.answered = self.transmissions;
            self.has_lost = true;
            self.arrived = 0;
            self.credits = (self.credits * 3 / 4).max(PACKET_CREDITS_MIN);
        }
    }

    fn patience(&self) -> Duration {
        let base = self.round_trip.map_or(PATIENCE_FIRST, |(smooth, deviation)| smooth + deviation * 4);
        (base.max(PATIENCE_MIN) * (1 << self.timeouts.min(6))).min(PATIENCE_MAX)
    }

    /// When [`Sending::handle_timeout`] has something to do.
    pub(super) fn deadline(&self) -> Instant {
        let flying = self.parts.iter().filter(|part| part.state == State::Flying);
        flying.map(|part| part.sent_at).min().map_or(Instant::NEVER, |sent_at| sent_at + self.patience())
    }

    /// What nothing was heard of for too long is lost.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        let (patience, lost) = (self.patience(), self.lost);
        self.find_lost(|part, _| now >= part.sent_at + patience);
        if self.lost > lost {
            self.timeouts += 1;
        }
    }

    /// Bytes and parts that are remembered.
    #[cfg(test)]
    pub(super) fn held(&self) -> (u64, usize) {
        (self.next - self.base, self.parts.len())
    }
}
