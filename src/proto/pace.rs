//! How fast work in the background may go: a pace in bytes, the credit of one receiver, and a throttle for what is given
//! back to replicas.
//!
//! The credit is the count of records that may be on their way. It grows with each acknowledgement that comes soon,
//! halves with one that comes late, and is one record where nothing was acknowledged yet. So nothing that comes back
//! is met by a storm.
//!
//! The throttle holds hints and records that are caught up to one pace, by what clients' requests feel of them: the
//! share of the rate falls by half while requests take longer than they do without, and grows step by step while they
//! do not (Chiu and Jain 1989). It begins at its least, which is above nothing, so what was begun always ends. A record
//! that takes long at its share is judged while it is paid for: what is left of it costs what the share is by then.

use core::time::Duration;

use super::latency::Latency;
use super::limits;
use super::time::{Instant, Now};

/// So many bytes a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    next_at: Instant,
}

impl Pace {
    /// No more may be done before this.
    pub const fn next_at(self) -> Instant {
        self.next_at
    }

    /// So much was done; with a rate of 0 that costs nothing.
    pub fn slow_down(&mut self, now: Now, rate: u64, bytes: u64) {
        if let Some(cost) = bytes.saturating_mul(1_000_000_000).checked_div(rate) {
            self.next_at = self.next_at.max(now.mono) + Duration::from_nanos(cost);
        }
    }

    /// What is not paid for yet is paid at another rate from now on.
    fn change_rate(&mut self, now: Instant, before: u64, after: u64) {
        let left = self.next_at.since(now).as_nanos() * u128::from(before);
        if let Some(left) = left.checked_div(u128::from(after)) {
            self.next_at = now + Duration::from_nanos(u64::try_from(left).unwrap_or(u64::MAX));
        }
    }
}

/// Records that may be on their way to one receiver.
#[derive(Clone, Copy, Debug)]
pub struct Credit {
    window: usize,
}

impl Default for Credit {
    fn default() -> Credit {
        Credit { window: 1 }
    }
}

impl Credit {
    /// How many more may leave, with so many under way.
    pub const fn room(self, under_way: usize) -> usize {
        self.window.saturating_sub(under_way)
    }

    /// A record was acknowledged, so long after it left.
    pub fn acknowledged(&mut self, after: Duration) {
        self.window = match after > limits::HINT_SLOW {
            true => (self.window / 2).max(1),
            false => (self.window + 1).min(limits::HINT_WINDOW),
        };
    }
}

/// The pace of all that this node gives back to replicas. The rate that it is told is
/// [`Config::hint_rate`](super::config::Config::hint_rate), 0 for no limit.
#[derive(Debug, Default)]
pub struct Throttle {
    pace: Pace,
    /// Of the rate, in parts of [`SHARES`], but one less: what it may use beyond the least.
    more: u64,
    /// How long clients' requests take while nothing is given back, and while something is.
    quiet: Latency,
    beside: Latency,
    /// Whether one was answered beside it since it was judged last.
    is_heard: bool,
    /// Until then requests are beside what was given back.
    busy_until: Option<Instant>,
    judge_at: Instant,
}

/// The least share of the rate is one of so many.
const SHARES: u64 = 16;
/// How long requests are beside what has left.
const FELT: Duration = Duration::from_millis(200);
/// How often it is judged what they feel.
const JUDGED: Duration = Duration::from_millis(20);

impl Throttle {
    /// Whether more may leave now.
    pub fn is_open(&mut self, now: Now, rate: u64) -> bool {
        if self.pace.next_at() > now.mono {
            self.judge(now.mono, rate);
        }
        self.pace.next_at() <= now.mono
    }

    /// When [`Throttle::is_open`] may say something else than it does.
    pub fn next_at(&self) -> Instant {
        let may_rise = self.more + 1 < SHARES;
        if may_rise { self.pace.next_at().min(self.judge_at) } else { self.pace.next_at() }
    }

    /// Bytes that may leave in one turn, unless a single record has more: whoever comes next waits for no more than a turn.
    pub fn burst(&self, rate: u64) -> usize {
        let most = limits::HINT_WINDOW_BYTES;
        let bytes = self.rate(rate) * limits::HINT_PAUSE.as_millis() as u64 / 1_000;
        if rate == 0 { most } else { usize::try_from(bytes).map_or(most, |bytes| bytes.min(most)) }
    }

    /// A client's request was answered after so long. One that waited for nobody tells nothing.
    pub fn answered(&mut self, now: Instant, after: Duration) {
        if after.is_zero() {
            return;
        }
        match self.is_felt(now) {
            true => {
                self.is_heard = true;
                self.beside.note(after);
            }
            false => self.quiet.note(after),
        }
    }

    /// So many bytes are given back.
    pub fn sent(&mut self, now: Now, rate: u64, bytes: usize) {
        if !self.is_felt(now.mono) {
            (self.more, self.beside, self.judge_at) = (0, self.quiet, now.mono + JUDGED);
        } else {
            self.judge(now.mono, rate);
        }
        self.pace.slow_down(now, self.rate(rate), bytes as u64);
        if self.more == 0 && planted!("throttle_starves") {
            self.pace.next_at = Instant::NEVER;
        }
        self.busy_until = Some(self.pace.next_at().max(now.mono) + FELT);
    }

    /// Changes the share by what was felt since it was judged last, if that is long enough ago.
    fn judge(&mut self, now: Instant, rate: u64) {
        if self.judge_at > now {
            return;
        }
        // Who comes late for a record that takes long has missed many steps: nobody has felt it.
        let steps = 1 + now.since(self.judge_at).as_nanos() as u64 / JUDGED.as_nanos() as u64;
        self.judge_at = now + JUDGED;
        let usual = self.quiet.late_after();
        let is_slow = core::mem::take(&mut self.is_heard)
            && self.beside.late_after() > usual + usual / 2
            && !planted!("throttle_deaf");
        let before = self.rate(rate);
        self.more = if is_slow { self.more / 2 } else { (self.more + steps).min(SHARES - 1) };
        self.pace.change_rate(now, before, self.rate(rate));
        self.busy_until = Some(self.pace.next_at() + FELT);
    }

    fn is_felt(&self, now: Instant) -> bool {
        self.busy_until.is_some_and(|until| now < until)
    }

    /// What is left of a rate; never 0 of a limit.
    fn rate(&self, rate: u64) -> u64 {
        match rate {
            0 => 0,
            _ => (rate / SHARES * (self.more + 1)).max(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::time::WallTime;

    #[test]
    fn a_pace_spreads_bytes_over_time() {
        let now = Now { mono: Instant::ZERO, wall: WallTime(0) };
        let mut pace = Pace::default();
        pace.slow_down(now, 0, 1 << 20);
        assert_eq!(pace.next_at(), Instant::ZERO);
        pace.slow_down(now, 1_000, 500);
        pace.slow_down(now, 1_000, 500);
        assert_eq!(pace.next_at(), Instant::ZERO + Duration::from_secs(1));
    }

    /// Gives back a byte each 20 ms, and has 20 requests answered meanwhile, so often.
    fn give(throttle: &mut Throttle, now: &mut Now, times: usize, after: Duration) {
        for _ in 0..times {
            throttle.sent(*now, 0, 1);
            (0..20).for_each(|_| throttle.answered(now.mono, after));
            now.mono = now.mono + JUDGED;
        }
    }

    #[test]
    fn a_throttle_begins_at_its_least_and_gives_way_to_requests_that_turn_slow() {
        const RATE: u64 = 16_000;
        let (usual, slow) = (Duration::from_millis(1), Duration::from_millis(2));
        let mut now = Now { mono: Instant::ZERO, wall: WallTime(0) };
        let mut throttle = Throttle::default();
        (0..3_000).for_each(|_| throttle.answered(now.mono, usual));
        give(&mut throttle, &mut now, 1, usual);
        assert_eq!(throttle.rate(RATE), 1_000);
        give(&mut throttle, &mut now, 4, usual);
        assert_eq!((throttle.rate(RATE), throttle.burst(RATE)), (5_000, 10));
        give(&mut throttle, &mut now, 100, usual);
        assert_eq!(throttle.rate(RATE), RATE);
        give(&mut throttle, &mut now, 2, slow);
        assert_eq!(throttle.rate(RATE), 8_000, "half of it with one judgement");
        give(&mut throttle, &mut now, 10, slow);
        assert_eq!(throttle.rate(RATE), 1_000, "and no less than its least");
        give(&mut throttle, &mut now, 100, usual);
        assert_eq!(throttle.rate(RATE), RATE, "they are as quick as before");
        now.mono = now.mono + FELT;
        give(&mut throttle, &mut now, 1, usual);
        assert_eq!(throttle.rate(RATE), 1_000, "something else begins");
    }

    #[test]
    fn a_record_that_took_long_at_a_low_rate_is_many_steps() {
        let mut now = Now { mono: Instant::ZERO, wall: WallTime(0) };
        let mut throttle = Throttle::default();
        throttle.answered(now.mono, Duration::from_millis(1));
        throttle.sent(now, 16_000, 1_000);
        now.mono = now.mono + Duration::from_secs(1);
        throttle.sent(now, 16_000, 1);
        assert_eq!(throttle.rate(16_000), 16_000, "for a second nobody felt anything");
    }

    /// How long nothing more may leave behind a record of 64 seconds at the whole rate, while requests take so long.
    fn closed_for(after: Duration) -> Duration {
        const RATE: u64 = 16_000;
        let mut now = Now { mono: Instant::ZERO, wall: WallTime(0) };
        let mut throttle = Throttle::default();
        (0..3_000).for_each(|_| throttle.answered(now.mono, Duration::from_millis(1)));
        throttle.sent(now, RATE, 64 * RATE as usize);
        let mut looks = 0;
        while !throttle.is_open(now, RATE) {
            (0..20).for_each(|_| throttle.answered(now.mono, after));
            now.mono = throttle.next_at();
            looks += 1;
        }
        assert!(looks <= 60_000, "{looks}: it spins");
        now.mono.since(Instant::ZERO)
    }

    #[test]
    fn a_large_record_costs_its_least_share_only_while_it_is_felt() {
        let [usual, slow] = [1, 2].map(|ms| closed_for(Duration::from_millis(ms)).as_secs());
        assert_eq!((usual, slow), (64, 64 * SHARES));
    }

    #[test]
    fn no_request_and_no_small_rate_stops_a_throttle() {
        let mut now = Now { mono: Instant::ZERO, wall: WallTime(0) };
        let mut throttle = Throttle::default();
        (0..3_000).for_each(|_| throttle.answered(now.mono, Duration::from_millis(1)));
        let mut given = 0;
        while now.mono < Instant::ZERO + Duration::from_secs(32) {
            throttle.answered(now.mono, Duration::from_secs(1));
            if throttle.next_at() <= now.mono {
                throttle.sent(now, 16, 1);
                given += 1;
            }
            now.mono = now.mono + Duration::from_millis(10);
        }
        assert!(given >= 32, "{given} bytes, a sixteenth of the rate");
        throttle.sent(now, 1, 1);
        assert_eq!(throttle.rate(1), 1, "a sixteenth of it would be nothing");
        assert_eq!((throttle.rate(0), throttle.burst(0)), (0, limits::HINT_WINDOW_BYTES), "no limit");
    }

    #[test]
    fn credit_grows_record_by_record_and_halves_with_one_that_is_late() {
        let mut credit = Credit::default();
        assert_eq!((credit.room(0), credit.room(1)), (1, 0));
        (0..1_000).for_each(|_| credit.acknowledged(Duration::ZERO));
        assert_eq!(credit.room(0), limits::HINT_WINDOW);
        credit.acknowledged(limits::HINT_SLOW * 2);
        assert_eq!(credit.room(4), limits::HINT_WINDOW / 2 - 4);
        (0..20).for_each(|_| credit.acknowledged(limits::HINT_SLOW * 2));
        assert_eq!(credit.room(0), 1);
    }
}
