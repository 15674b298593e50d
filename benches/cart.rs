//! The shopping cart of the Dynamo paper (§4.4 and §6.3): a day of simulated time, by the real nodes and their messages,
//! in one thread. How many versions does a read find, and is anything lost that was put into a cart?
//!
//! `cargo bench --bench cart [-- VISITS]` (500,000). Five nodes, N, R and W are 3, 2 and 2, sloppy. Shoppers come at
//! random over the day, each to one of 50,000 carts; one visit in a hundred comes with two or three others to the same
//! cart in the same moment, and one in a hundred goes to another node than its cart's visits mostly do. A visit reads
//! the cart and writes the union of what it read with one thing more, or, one in five, one thing less. Each hour a node
//! is cut off for five minutes, and every six hours two of the five are cut off from the other three for ten.
//! The paper's day had the load of their customers, and theirs was "the last 24 hours"; so the shares are printed beside
//! each other, and say no more than that both are small. The run is the same whenever it is made.
//!
//! A second run keeps the carts as sets (`SADD`, `SREM`), which need no reader that unites them.

use core::time::Duration;
use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap, HashSet};

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, Edit, MemberId, Operation, Options, Output, Reply, Request, RequestId};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::MemoryStore;

const NODES: usize = 5;
const PARTITIONS: u32 = 256;
const CARTS: u64 = 50_000;
const DAY: Duration = Duration::from_secs(86_400);
/// When a node takes another one for down; streams break at once, probes take their time.
const DETECTED: Duration = Duration::from_secs(2);
/// What the paper counted, in per cent of its requests.
const PAPER: [f64; 4] = [99.94, 0.000_57, 0.000_47, 0.000_09];

/// How carts are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As versions that their readers unite.
    Versions,
    /// As sets.
    Sets,
}

enum Event {
    Frames {
        from: usize,
        to: usize,
        frames: Vec<u8>,
    },
    Visit {
        cart: u64,
        at: usize,
    },
    /// These nodes lose the others, or meet them again.
    Cut(Vec<usize>),
    Notice {
        at: usize,
        peer: usize,
    },
    Heal,
}

/// A request in flight.
enum Step {
    Read {
        cart: u64,
        at: usize,
    },
    Write {
        adds: Option<u32>,
        removes: Option<u32>,
    },
    /// At the end.
    Check {
        cart: u64,
    },
}

struct Day {
    way: Way,
    nodes: Vec<Node<MemoryStore>>,
    ids: Vec<MemberId>,
    now: Now,
    rng: Rng,
    /// By when, then by number; the events stand beside.
    due: BinaryHeap<Reverse<(Instant, u64)>>,
    events: HashMap<u64, Event>,
    /// Which are cut off from the others.
    apart: BTreeSet<usize>,
    steps: HashMap<u64, Step>,
    next: u64,
    items: u32,
    /// Reads by how many versions they found, none counted as one.
    versions: [u64; 5],
    failed: u64,
    /// Things by cart, whose adding was acknowledged.
    added: HashMap<u64, Vec<u32>>,
    /// Things that may be there or not: somebody has asked to take them out, or their adding failed.
    excused: HashSet<u32>,
    /// Things whose removal was acknowledged.
    removed: HashSet<u32>,
    lost: u64,
    came_back: u64,
    checked: u64,
}

fn node(at: usize, now: Now) -> Node<MemoryStore> {
    let mut config = Config::new(&format!("n{at}"));
    config.members = (0..NODES).map(|at| MemberSpec::new(&format!("n{at}"), &format!("host:{at}"))).collect();
    config.partitions = PARTITIONS;
    let mut random = Rng::new(at as u64 + 1);
    let store = MemoryStore::new(PARTITIONS, &mut || random.next_u64());
    let hints = MemoryStore::new(quorate::proto::hints::PARTITIONS, &mut || random.next_u64());
    Node::new(config, store, hints, at as u64, now).expect("the settings are right")
}

fn items(value: &[u8]) -> impl Iterator<Item = u32> + '_ {
    value.chunks_exact(4).map(|four| u32::from_le_bytes(four.try_into().expect("four bytes")))
}

impl Day {
    fn new(way: Way) -> Day {
        let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
        let nodes: Vec<_> = (0..NODES).map(|at| node(at, now)).collect();
        let ids = nodes.iter().map(Node::id).collect();
        let mut day = Day {
            way,
            nodes,
            ids,
            now,
            rng: Rng::new(2007),
            due: BinaryHeap::new(),
            events: HashMap::new(),
            apart: BTreeSet::new(),
            steps: HashMap::new(),
            next: 1,
            items: 0,
            versions: [0; 5],
            failed: 0,
            added: HashMap::new(),
            excused: HashSet::new(),
            removed: HashSet::new(),
            lost: 0,
            came_back: 0,
            checked: 0,
        };
        day.meet();
        day
    }

    fn plan(&mut self, after: Duration, event: Event) {
        let number = self.next;
        self.next += 1;
        self.due.push(Reverse((self.now.mono + after, number)));
        self.events.insert(number, event);
    }

    fn between(&mut self, low: Duration, high: Duration) -> Duration {
        low + Duration::from_nanos(self.rng.below((high - low).as_nanos() as u64))
    }

    fn plan_day(&mut self, visits: u64) {
        for _ in 0..visits {
            let after = self.between(Duration::ZERO, DAY);
            let cart = self.rng.below(CARTS);
            let together = if self.rng.below(100) == 0 { 2 + self.rng.below(2) } else { 1 };
            for _ in 0..together {
                let is_elsewhere = self.rng.below(100) == 0;
                let at = if is_elsewhere { self.rng.below(NODES as u64) } else { cart % NODES as u64 };
                let moment = self.between(Duration::ZERO, Duration::from_millis(5));
                self.plan(after + moment, Event::Visit { cart, at: at as usize });
            }
        }
        for hour in 0..24 {
            let from = Duration::from_secs(3_600 * hour + 600);
            let lone = self.rng.below(NODES as u64) as usize;
            self.plan(from, Event::Cut(vec![lone]));
            self.plan(from + Duration::from_secs(300), Event::Heal);
            if hour % 6 == 3 {
                let from = from + Duration::from_secs(1_200);
                self.plan(from, Event::Cut(vec![lone, (lone + 1) % NODES]));
                self.plan(from + Duration::from_secs(600), Event::Heal);
            }
        }
    }

    /// Lets time pass until a moment.
    fn run(&mut self, until: Instant) {
        loop {
            let of_nodes = self.nodes.iter().map(Node::deadline).min().expect("there are nodes");
            let of_events = self.due.peek().map_or(Instant::NEVER, |Reverse((when, _))| *when);
            let when = of_nodes.min(of_events);
            if when > until {
                break;
            }
            self.pass(when);
            if of_nodes <= of_events {
                let at = (0..NODES).find(|&at| self.nodes[at].deadline() <= when).expect("one is due");
                self.nodes[at].handle_timeout(self.now);
                self.drain(at);
            } else {
                let Reverse((_, number)) = self.due.pop().expect("one is due");
                let event = self.events.remove(&number).expect("it was planned");
                self.happen(event);
            }
        }
        self.pass(until);
    }

    /// Both clocks go on together.
    fn pass(&mut self, when: Instant) {
        self.now.mono = self.now.mono.max(when);
        self.now.wall.0 = 1_000_000 + self.now.mono.as_nanos() / 1_000_000;
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Frames { from, to, frames } => {
                if self.reaches(from, to) {
                    let id = self.ids[from];
                    self.nodes[to].handle_frames(self.now, id, &frames).expect("a node of ours said it");
                    self.drain(to);
                }
            }
            Event::Visit { cart, at } => self.visit(cart, at),
            Event::Cut(apart) => {
                self.apart = apart.into_iter().collect();
                for (at, peer) in pairs().filter(|&(at, peer)| !self.reaches(at, peer)).collect::<Vec<_>>() {
                    self.plan(DETECTED, Event::Notice { at, peer });
                }
            }
            Event::Notice { at, peer } => {
                if !self.reaches(at, peer) {
                    let id = self.ids[peer];
                    self.nodes[at].handle_peer_down(self.now, id);
                    self.drain(at);
                }
            }
            Event::Heal => self.meet(),
        }
    }

    fn reaches(&self, from: usize, to: usize) -> bool {
        self.apart.contains(&from) == self.apart.contains(&to)
    }

    /// Everybody reaches everybody.
    fn meet(&mut self) {
        self.apart.clear();
        for (at, peer) in pairs() {
            let id = self.ids[peer];
            self.nodes[at].handle_peer_up(self.now, id);
            self.drain(at);
        }
    }

    fn drain(&mut self, at: usize) {
        while let Some(output) = self.nodes[at].poll_output(self.now) {
            match output {
                Output::Reply { id, reply } => self.answered(id.0, reply),
                Output::Send { to, frames } => {
                    let to = self.ids.iter().position(|&id| id == to).expect("a member");
                    let delay = self.between(Duration::from_micros(200), Duration::from_millis(2));
                    self.plan(delay, Event::Frames { from: at, to, frames });
                }
                Output::Sync(need) => {
                    self.nodes[at].store_mut().flush(need);
                    self.nodes[at].handle_synced(self.now);
                }
                Output::SyncHints(need) => {
                    self.nodes[at].hints_mut().store_mut().flush(need);
                    self.nodes[at].handle_synced(self.now);
                }
                _ => {}
            }
        }
    }

    fn ask(&mut self, at: usize, cart: u64, operation: Operation<'_>, options: Options, step: Step) {
        let id = self.next;
        self.next += 1;
        self.steps.insert(id, step);
        let key = format!("cart {cart}");
        let request = Request { keyspace: 0, key: key.as_bytes(), operation, options };
        self.nodes[at].handle_request(self.now, RequestId(id), &request);
        self.drain(at);
    }

    fn visit(&mut self, cart: u64, at: usize) {
        let (read, step) = (options(), Step::Read { cart, at });
        self.ask(at, cart, Operation::Get, Options { want_context: true, ..read }, step);
    }

    fn answered(&mut self, id: u64, reply: Reply) {
        match self.steps.remove(&id).expect("it was asked") {
            Step::Read { cart, at } => match reply.outcome {
                Outcome::Ok | Outcome::NotFound => self.change(cart, at, &reply),
                _ => self.failed += 1,
            },
            Step::Write { adds, removes } => match reply.outcome {
                // The cart of an addition was noted when it was sent.
                Outcome::Ok => self.removed.extend(removes.filter(|_| reply.applied || reply.dot.is_some())),
                _ => {
                    self.failed += 1;
                    self.excused.extend(adds);
                }
            },
            Step::Check { cart } => {
                assert!(matches!(reply.outcome, Outcome::Ok | Outcome::NotFound), "cart {cart} at the end");
                self.check(cart, &reply);
            }
        }
    }

    /// The application: unites what it read and changes it.
    fn change(&mut self, cart: u64, at: usize, reply: &Reply) {
        let found = if self.way == Way::Sets { 1 } else { reply.siblings.len().clamp(1, 5) };
        self.versions[found - 1] += 1;
        let mut held: BTreeSet<u32> =
            reply.siblings.iter().flat_map(|sibling| items(&sibling.value)).collect();
        let takes = self.rng.below(5) == 0 && !held.is_empty();
        let chosen = if takes {
            *held.iter().nth(self.rng.below(held.len() as u64) as usize).expect("one of them")
        } else {
            self.items += 1;
            self.items
        };
        let step = if takes {
            held.remove(&chosen);
            self.excused.insert(chosen);
            Step::Write { adds: None, removes: Some(chosen) }
        } else {
            held.insert(chosen);
            self.added.entry(cart).or_default().push(chosen);
            Step::Write { adds: Some(chosen), removes: None }
        };
        let thing = chosen.to_le_bytes();
        let value: Vec<u8> = held.iter().flat_map(|item| item.to_le_bytes()).collect();
        let operation = match self.way {
            Way::Versions => Operation::Put {
                value: &value,
                context: reply.context.as_deref(),
                blind: Blind::Siblings,
                expires_ms: None,
            },
            Way::Sets if takes => Operation::Edit(Edit::RemoveElements(vec![&thing])),
            Way::Sets => Operation::Edit(Edit::AddElements(vec![&thing])),
        };
        self.ask(at, cart, operation, options(), step);
    }

    /// What is in a cart at the end, against what was put into it.
    fn check(&mut self, cart: u64, reply: &Reply) {
        let held: HashSet<u32> = reply.siblings.iter().flat_map(|sibling| items(&sibling.value)).collect();
        self.checked += 1;
        let added = &self.added[&cart];
        self.lost +=
            added.iter().filter(|&item| !held.contains(item) && !self.excused.contains(item)).count() as u64;
        self.came_back +=
            added.iter().filter(|&item| held.contains(item) && self.removed.contains(item)).count() as u64;
    }

    /// Reads every cart at all replicas.
    fn check_all(&mut self) {
        let mut carts: Vec<u64> = self.added.keys().copied().collect();
        carts.sort_unstable();
        for cart in carts {
            let all = Options { r: Some(3), ..Options::default() };
            self.ask((cart % NODES as u64) as usize, cart, Operation::Get, all, Step::Check { cart });
            self.run(self.now.mono + Duration::from_millis(1));
        }
        self.run(self.now.mono + Duration::from_secs(10));
        assert!(self.steps.is_empty(), "every request is answered");
    }

    fn print(&self) {
        let reads: u64 = self.versions.iter().sum();
        println!("\n{:?}: {reads} visits that read, {} requests failed", self.way, self.failed);
        if self.way == Way::Versions {
            println!("{:>9} {:>10} {:>11} {:>11}", "versions", "reads", "here, %", "paper, %");
            for (at, &count) in self.versions.iter().enumerate() {
                let share = 100.0 * count as f64 / reads as f64;
                let paper = PAPER.get(at).map_or("-".to_owned(), |paper| format!("{paper:.5}"));
                let name = if at == 4 { "more".to_owned() } else { (at + 1).to_string() };
                println!("{name:>9} {count:>10} {share:>11.5} {paper:>11}");
            }
        }
        let (added, removed) = (self.added.values().map(Vec::len).sum::<usize>(), self.removed.len());
        println!(
            "{added} things put into {} carts: {} lost; {removed} taken out: {} came back",
            self.checked, self.lost, self.came_back
        );
        assert_eq!(self.lost, 0, "what was put into a cart is in it");
    }
}

fn options() -> Options {
    Options { sloppy: true, ..Options::default() }
}

fn pairs() -> impl Iterator<Item = (usize, usize)> {
    (0..NODES).flat_map(|at| (0..NODES).filter(move |&peer| peer != at).map(move |peer| (at, peer)))
}

fn main() {
    let visits = std::env::args().filter_map(|argument| argument.parse().ok()).next().unwrap_or(500_000);
    for way in [Way::Versions, Way::Sets] {
        let mut day = Day::new(way);
        day.plan_day(visits);
        day.run(day.now.mono + DAY);
        day.run(day.now.mono + Duration::from_secs(600));
        day.check_all();
        day.print();
    }
}
