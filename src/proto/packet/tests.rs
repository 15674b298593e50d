//! Two ends over a network that loses, doubles, overtakes and changes, in simulated time.

use core::time::Duration;

use super::*;
use crate::proto::limits::PACKET_CREDITS_MAX;
use crate::proto::rng::Rng;

const KEY: Key = Key([7; 16]);
const STEP: Duration = Duration::from_micros(100);

/// How a network treats what it carries, each per mille.
#[derive(Clone, Copy)]
struct Weather {
    loss: u64,
    doubled: u64,
    changed: u64,
    delay_max: u64,
}

const FAIR: Weather = Weather { loss: 0, doubled: 0, changed: 0, delay_max: 1 };
const FOUL: Weather = Weather { loss: 200, doubled: 100, changed: 20, delay_max: 40 };

/// One end with what it sends and what came.
struct End {
    channel: Option<Channel>,
    waiting: Vec<u8>,
    came: Vec<u8>,
    ended: bool,
}

struct Pair {
    ends: [End; 2],
    now: Instant,
    step: u64,
    flying: Vec<(u64, usize, Vec<u8>)>,
    rng: Rng,
    weather: Weather,
    size: usize,
    sent: u64,
    trace: u64,
}

impl Pair {
    fn new(seed: u64, weather: Weather, size: usize) -> Pair {
        let end = || End { channel: None, waiting: Vec::new(), came: Vec::new(), ended: false };
        let (mut one, other) = (end(), end());
        one.channel = Some(Channel::open(seed + 1, &KEY, Instant::ZERO));
        let (rng, now) = (Rng::new(seed), Instant::ZERO);
        let flying = Vec::new();
        Pair { ends: [one, other], now, step: 0, flying, rng, weather, size, sent: 0, trace: 0 }
    }

    fn hits(&mut self, per_mille: u64) -> bool {
        self.rng.below(1_000) < per_mille
    }

    fn send(&mut self, to: usize, mut bytes: Vec<u8>) {
        self.sent += 1;
        self.trace = self.trace.rotate_left(5) ^ tag_of(&KEY, &bytes);
        if self.hits(self.weather.loss) {
            return;
        }
        if self.hits(self.weather.doubled) {
            let at = self.step + 1 + self.rng.below(4 * self.weather.delay_max);
            self.flying.push((at, to, bytes.clone()));
        }
        if self.hits(self.weather.changed) {
            let bit = self.rng.below(bytes.len() as u64 * 8) as usize;
            bytes[bit / 8] ^= 1 << (bit % 8);
        }
        let at = self.step + 1 + self.rng.below(self.weather.delay_max);
        self.flying.push((at, to, bytes));
    }

    fn deliver(&mut self, to: usize, bytes: &[u8]) {
        let Some(datagram) = Datagram::read(&KEY, bytes) else { return };
        let end = &mut self.ends[to];
        if end.channel.is_none() {
            // What overtook the opening is lost.
            if !datagram.opens() {
                return;
            }
            end.channel = Some(Channel::accept(&datagram, &KEY, self.now));
        }
        let came = &mut end.came;
        let channel = end.channel.as_mut().unwrap();
        let result = channel.handle(self.now, &datagram, &mut |bytes| came.extend_from_slice(bytes));
        end.waiting.drain(..result.released);
        end.ended |= result.ended;
    }

    /// One step of time; false if an end has given up.
    fn turn(&mut self) -> bool {
        self.step += 1;
        self.now = self.now + STEP;
        let arriving: Vec<_> = self.flying.extract_if(.., |flight| flight.0 <= self.step).collect();
        for (_, to, bytes) in arriving {
            self.deliver(to, &bytes);
        }
        let mut is_alive = true;
        for at in 0..2 {
            let Some(channel) = &mut self.ends[at].channel else { continue };
            if self.now >= channel.deadline() {
                is_alive &= channel.handle_timeout(self.now).is_ok();
            }
            loop {
                let end = &mut self.ends[at];
                let channel = end.channel.as_mut().unwrap();
                let had_output = channel.has_output(end.waiting.len());
                let mut room = vec![0xee; self.size];
                let length = channel.fill(self.now, &end.waiting, &mut room);
                assert_eq!(length > 0, had_output, "has_output and fill agree");
                let (bytes, parts) = channel.sending.held();
                assert!(bytes <= PACKET_ROOM && parts <= 4 * PACKET_CREDITS_MAX, "{bytes} {parts}");
                assert!(channel.receiving.held_bytes() as u64 <= PACKET_ROOM);
                if length == 0 {
                    break;
                }
                self.send(1 - at, room[..length].to_vec());
            }
        }
        is_alive
    }

    fn run_until(&mut self, steps: u64, done: impl Fn(&[End; 2]) -> bool) {
        for _ in 0..steps {
            if done(&self.ends) {
                return;
            }
            assert!(self.turn(), "an end gave up after {} steps", self.step);
        }
        let came = [self.ends[0].came.len(), self.ends[1].came.len()];
        panic!("not done after {} steps and {} datagrams: {came:?} came", self.step, self.sent);
    }
}

/// Bytes of which no part looks like another.
fn text(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..length).map(|_| rng.next_u64() as u8).collect()
}

fn both_ways(seed: u64, weather: Weather, size: usize, length: usize) -> Pair {
    let mut pair = Pair::new(seed, weather, size);
    pair.ends[0].waiting = text(seed, length);
    pair.ends[1].waiting = text(seed + 1, length / 2);
    pair.run_until(600_000, |ends| ends[1].came.len() >= length && ends[0].came.len() >= length / 2);
    assert!(pair.ends[1].came == text(seed, length), "what came is not what was sent");
    assert!(pair.ends[0].came == text(seed + 1, length / 2), "what came back is not what was sent");
    pair
}

#[test]
fn a_fair_network_carries_each_byte_once() {
    for size in [DATAGRAM_MIN, 1_400, 8_900] {
        let pair = both_ways(1, FAIR, size, 1 << 20);
        let least = (3 << 19) / (size - HEADER) as u64;
        assert!(pair.sent <= 2 * least + 32, "{} datagrams of {size}, {least} at least", pair.sent);
    }
}

#[test]
fn a_megabyte_crosses_a_network_that_loses_one_in_five() {
    for seed in 0..8 {
        both_ways(seed, FOUL, DATAGRAM_MIN, 1 << 20);
        both_ways(seed, FOUL, 1_400, 100_000);
        both_ways(seed, FOUL, 8_900, 3);
    }
}

#[test]
fn datagrams_may_become_smaller_on_the_way() {
    let mut pair = Pair::new(3, FOUL, 8_900);
    pair.ends[0].waiting = text(3, 1 << 20);
    for _ in 0..20 {
        assert!(pair.turn());
    }
    pair.size = DATAGRAM_MIN;
    pair.run_until(600_000, |ends| ends[1].came.len() >= 1 << 20);
    assert!(pair.ends[1].came == text(3, 1 << 20));
}

#[test]
fn a_seed_is_a_trace() {
    let traces: Vec<_> = [5, 5, 6].iter().map(|&seed| both_ways(seed, FOUL, 1_400, 50_000).trace).collect();
    assert_eq!(traces[0], traces[1]);
    assert_ne!(traces[0], traces[2]);
}

#[test]
fn an_idle_channel_lives_and_a_cut_one_ends() {
    let mut pair = both_ways(1, FAIR, 1_400, 10);
    let sent = pair.sent;
    let minute = Duration::from_secs(60).as_micros() / STEP.as_micros();
    for _ in 0..minute {
        assert!(pair.turn(), "both hear each other");
    }
    assert!(pair.sent - sent <= 4 * 60, "{} datagrams in an idle minute", pair.sent - sent);
    pair.weather.loss = 1_000;
    let cut = pair.now;
    while pair.turn() {}
    assert!(pair.now.since(cut) <= PACKET_SILENCE + PACKET_PING);
}

#[test]
fn an_end_that_closes_is_heard_with_its_reason() {
    let mut pair = both_ways(1, FAIR, 1_400, 10);
    pair.run_until(1_000, |ends| ends[1].waiting.is_empty());
    let last = pair.ends[1].channel.as_mut().unwrap().last_words(b"because");
    pair.deliver(0, &last);
    assert!(pair.ends[0].ended && pair.ends[0].came.ends_with(b"because"));
}

#[test]
fn what_is_not_ours_is_not_looked_at() {
    let mut one = Channel::open(1, &KEY, Instant::ZERO);
    let mut room = [0; 1_400];
    let length = one.fill(Instant::ZERO, b"hello", &mut room);
    let datagram = &room[..length];
    assert!(Datagram::read(&KEY, datagram).unwrap().opens());
    assert!(Datagram::read(&Key([8; 16]), datagram).is_none());
    for cut in 0..length {
        assert!(Datagram::read(&KEY, &datagram[..cut]).is_none());
    }
    for bit in 0..length * 8 {
        let mut changed = datagram.to_vec();
        changed[bit / 8] ^= 1 << (bit % 8);
        assert!(Datagram::read(&KEY, &changed).is_none(), "bit {bit}");
    }
    // Its own, sent back to it, acknowledges nothing and brings nothing.
    let own = Datagram::read(&KEY, datagram).unwrap();
    let came = one.handle(Instant::ZERO, &own, &mut |_| panic!("nothing came"));
    assert_eq!(came, Came::default());
    // What the other end could not have heard of is not believed.
    let mut other = Channel::accept(&own, &KEY, Instant::ZERO);
    other.handle(Instant::ZERO, &own, &mut |_| {});
    let mut back = [0; 1_400];
    let length = other.fill(Instant::ZERO, &[], &mut back);
    let answer = Datagram::read(&KEY, &back[..length]).unwrap();
    let beyond = Datagram { ack: 6, ..answer.clone() };
    assert_eq!(one.handle(Instant::ZERO, &beyond, &mut |_| {}).released, 0);
    assert_eq!(one.handle(Instant::ZERO, &answer, &mut |_| {}).released, 5);
    assert_eq!(one.handle(Instant::ZERO, &answer, &mut |_| {}).released, 0, "a late answer");
}
