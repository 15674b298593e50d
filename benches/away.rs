//! What a node that was away costs when it is back: three real nodes in simulated time, without sockets or disks.
//!
//! `cargo bench --bench away [-- KEYS PUTS]` (100,000 keys of 1 KiB, 20 puts a second). Every node holds all keys. One is
//! cut off, the others are written to for an hour at random keys, and then it is back, and nobody writes. The table says
//! how long it takes until all copies are equal, in simulated time, and what went over the wire to and from the node
//! meanwhile: by hints alone, by catching up alone, by the exchange alone, and by all of them as they are by default. The
//! last column is what goes over it in the ten seconds after that.
//!
//! A frame takes half a millisecond, however large it is; disks and processors cost nothing. So the time is that of the
//! rounds and of the paces that the nodes hold themselves to: 16 MiB a second for each that gives back hints or what was
//! missed, 64 MiB a second for each that compares.

use core::cmp::Reverse;
use core::time::Duration;
use std::collections::BinaryHeap;

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::io::{Blind, MemberId, Operation, Options, Output, Request, RequestId};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::MemoryStore;

const NODES: usize = 3;
/// The one that is away.
const AWAY: usize = 2;
const VALUE: [u8; 1024] = [b'v'; 1024];
const DELAY: Duration = Duration::from_micros(500);
const HOUR: Duration = Duration::from_secs(3_600);
/// Longer than any run.
const NEVER: Duration = Duration::from_secs(86_400);
/// Between two puts before anything is measured.
const FILL: Duration = Duration::from_micros(50);
/// How often it is looked whether copies are equal.
const LOOK: Duration = Duration::from_millis(10);

/// One row of the table.
struct Way {
    name: &'static str,
    change: fn(&mut Config),
}

const WAYS: [Way; 4] = [
    Way {
        name: "hints",
        change: |config| (config.hint_bytes_max, config.exchange_interval) = (Some(4 << 30), None),
    },
    Way {
        // Copies are compared once, before the node leaves: claims rest on that.
        name: "cursor",
        change: |config| (config.hint_bytes_max, config.exchange_interval) = (Some(0), Some(NEVER)),
    },
    Way { name: "exchange", change: |config| (config.hint_bytes_max, config.catch_up) = (Some(0), false) },
    Way { name: "all", change: |_| () },
];

/// Frames on their way: when they arrive, in which order they left, from whom, to whom.
type Flight = (Instant, u64, usize, usize, Vec<u8>);

struct World {
    nodes: Vec<Node<MemoryStore>>,
    ids: Vec<MemberId>,
    now: Now,
    flights: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    is_cut: bool,
    /// Bytes and frames to and from the node that was away.
    bytes: u64,
    requests: u64,
    random: Rng,
}

impl World {
    fn new(way: &Way) -> World {
        let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
        let members: Vec<MemberSpec> =
            (0..NODES).map(|at| MemberSpec::new(&format!("n{at}"), &format!("host:{at}"))).collect();
        let node = |at: usize| {
            let mut config = Config::new(&format!("n{at}"));
            config.members.clone_from(&members);
            (way.change)(&mut config);
            let mut random = Rng::new(at as u64 + 1);
            let store = MemoryStore::new(config.partitions, &mut || random.next_u64());
            let hints = MemoryStore::new(quorate::proto::hints::PARTITIONS, &mut || random.next_u64());
            Node::new(config, store, hints, at as u64, now).expect("the settings are right")
        };
        let nodes: Vec<_> = (0..NODES).map(node).collect();
        let ids = nodes.iter().map(Node::id).collect();
        let (flights, random) = (BinaryHeap::new(), Rng::new(1));
        let (sent, is_cut, bytes, requests) = (0, false, 0, 0);
        let mut world = World { nodes, ids, now, flights, sent, is_cut, bytes, requests, random };
        world.connect();
        world
    }

    fn connect(&mut self) {
        self.is_cut = false;
        for one in 0..NODES {
            for other in (0..NODES).filter(|&other| other != one) {
                let id = self.ids[other];
                self.nodes[one].handle_peer_up(self.now, id);
            }
            self.drain(one);
        }
    }

    fn cut(&mut self) {
        self.is_cut = true;
        for other in (0..NODES).filter(|&other| other != AWAY) {
            let (away, id) = (self.ids[AWAY], self.ids[other]);
            self.nodes[AWAY].handle_peer_down(self.now, id);
            self.nodes[other].handle_peer_down(self.now, away);
            self.drain(other);
        }
        self.drain(AWAY);
    }

    /// Carries out what a node wants done.
    fn drain(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].poll_output(self.now) {
            match output {
                Output::Send { to, frames } => {
                    let to = self.ids.iter().position(|&id| id == to).expect("a member");
                    self.sent += 1;
                    self.flights.push(Reverse((self.now.mono + DELAY, self.sent, at, to, frames)));
                }
                Output::Sync(need) => {
                    self.nodes[at].store_mut().flush(need);
                    self.nodes[at].handle_synced(self.now);
                }
                Output::SyncHints(need) => {
                    self.nodes[at].hints_mut().store_mut().flush(need);
                    self.nodes[at].handle_synced(self.now);
                }
                Output::Reply { .. } | Output::Probed { .. } | Output::Met(_) => {}
            }
        }
    }

    fn set_time(&mut self, to: Instant) {
        let to = to.max(self.now.mono);
        self.now = Now { mono: to, wall: WallTime(1_000_000 + to.as_nanos() / 1_000_000) };
    }

    /// Lets time pass until then.
    fn run_until(&mut self, end: Instant) {
        loop {
            let (timer, at) = (0..NODES).map(|at| (self.nodes[at].deadline(), at)).min().expect("nodes");
            let arrival = self.flights.peek().map_or(Instant::NEVER, |Reverse(flight)| flight.0);
            if timer.min(arrival) > end {
                return self.set_time(end);
            }
            if arrival <= timer {
                let Some(Reverse((_, _, from, to, frames))) = self.flights.pop() else { return };
                self.set_time(arrival);
                self.arrive(from, to, &frames);
            } else {
                self.set_time(timer);
                self.nodes[at].handle_timeout(self.now);
                self.drain(at);
            }
        }
    }

    fn arrive(&mut self, from: usize, to: usize, frames: &[u8]) {
        let concerns_away = from == AWAY || to == AWAY;
        if self.is_cut && concerns_away {
            return;
        }
        self.bytes += if concerns_away { frames.len() as u64 } else { 0 };
        let id = self.ids[from];
        self.nodes[to].handle_frames(self.now, id, frames).expect("a node of ours said it");
        self.drain(to);
    }

    /// Puts a value at one of the two that stay, and lets so much time pass.
    fn put(&mut self, number: usize, time: Duration) {
        self.requests += 1;
        let at = self.requests as usize % AWAY;
        let operation =
            Operation::Put { value: &VALUE, context: None, blind: Blind::Supersede, expires_ms: None };
        let key = format!("key {number}");
        let request = Request { keyspace: 0, key: key.as_bytes(), operation, options: Options::default() };
        self.nodes[at].handle_request(self.now, RequestId(self.requests), &request);
        self.drain(at);
        self.run_until(self.now.mono + time);
    }

    fn are_equal(&self) -> bool {
        let roots = |at: usize| self.nodes[at].store().trees().roots();
        (1..NODES).all(|at| roots(at) == roots(0))
    }

    /// Lets time pass until all copies are equal; says how much.
    fn settle(&mut self) -> Duration {
        let began = self.now.mono;
        while !self.are_equal() {
            assert!(self.now.mono.since(began) < HOUR, "the copies do not become equal");
            self.run_until(self.now.mono + LOOK);
        }
        self.now.mono.since(began)
    }

    fn counter(&self, name: &str) -> u64 {
        let of = |node: &Node<MemoryStore>| {
            let counters = node.status().counters;
            counters.into_iter().find(|&(known, _)| known == name).map_or(0, |(_, count)| count)
        };
        self.nodes.iter().map(of).sum()
    }
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse::<usize>().ok());
    let (keys, rate) = (numbers.next().unwrap_or(100_000), numbers.next().unwrap_or(20));
    println!("{keys} keys of 1 KiB; away for an hour of {rate} puts a second; back at a quiet moment");
    println!(
        "{:>9} {:>10} {:>9} {:>12} {:>6} {:>9} {:>9} {:>9} {:>12}",
        "way", "missed", "time s", "bytes", "ratio", "hints", "records", "exchanged", "after that"
    );
    for way in WAYS {
        let mut world = World::new(&way);
        (0..keys).for_each(|number| world.put(number, FILL));
        world.run_until(world.now.mono + Duration::from_secs(10));
        for at in 0..NODES {
            let now = world.now;
            world.nodes[at].compare_all(now);
        }
        world.run_until(world.now.mono + Duration::from_secs(10));
        world.settle();
        world.cut();
        let mut missed = std::collections::BTreeSet::new();
        for _ in 0..rate * HOUR.as_secs() as usize {
            let number = world.random.below(keys as u64) as usize;
            missed.insert(number);
            world.put(number, Duration::from_secs(1) / rate as u32);
        }
        // What is younger is not compared.
        world.run_until(world.now.mono + Duration::from_secs(5));
        let names =
            ["hints_delivered", "catch_up_records_sent", "exchange_records_sent", "exchange_records_taken"];
        let before = names.map(|name| world.counter(name));
        world.bytes = 0;
        world.connect();
        let time = world.settle();
        let [hints, records, sent, taken] = core::array::from_fn(|at| world.counter(names[at]) - before[at]);
        let bytes = world.bytes;
        world.run_until(world.now.mono + Duration::from_secs(10));
        // What any way has to carry: the records themselves.
        let least = missed.len() as f64 * VALUE.len() as f64;
        println!(
            "{:>9} {:>10} {:>9.2} {:>12} {:>6.3} {hints:>9} {records:>9} {:>9} {:>12}",
            way.name,
            missed.len(),
            time.as_secs_f64(),
            bytes,
            bytes as f64 / least,
            sent + taken,
            world.bytes - bytes,
        );
    }
}
