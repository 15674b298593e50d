//! Membership over real sockets, with a clock that is turned by hand: who is there, who only paused, and what
//! strangers send.

use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use quorate::driver::{DataDir, EventLoop, NodeOptions};
use quorate::proto::config::Membership;
use quorate::proto::gossip::Gossip;
use quorate::proto::gossip::config::{Config, Mode, Timing};
use quorate::proto::gossip::keyring::Keyring;
use quorate::proto::gossip::member::{Boot, Description, Incarnation, Known};
use quorate::proto::gossip::output::Output;
use quorate::proto::keys::{ClusterKeys, Key};
use quorate::proto::node::MemberStatus;
use quorate::proto::ring::Mode as Placement;
use quorate::proto::time::{Instant, Now};

use crate::nodes::{Lines, budget, options};

const SECOND: Duration = Duration::from_secs(1);
const NAMES: [&str; 3] = ["a", "b", "c"];
/// What three nodes need to find one that is gone or back: a round of probes, a period until one fails, and a
/// suspicion that nobody can confirm.
const BOUND: Duration = Duration::from_secs(14);

/// How long the kernel is given to carry what was sent, before more of the nodes' time passes: on a busy machine
/// it does not do so at once.
const CARRIED: Duration = Duration::from_micros(500);

/// Nodes that are stepped in turn, at a time of their own.
struct Hall {
    nodes: Vec<Option<EventLoop>>,
    /// Not stepped at present.
    stalled: Vec<usize>,
    now: Now,
    lines: Arc<Lines>,
}

impl Hall {
    fn open(options: impl IntoIterator<Item = NodeOptions>) -> Hall {
        let lines = Lines::new();
        let open = |mut options: NodeOptions| {
            options.log = lines.logger();
            Some(EventLoop::open(options).unwrap())
        };
        let nodes: Vec<_> = options.into_iter().map(open).collect();
        let now = nodes[0].as_ref().unwrap().now();
        Hall { nodes, stalled: Vec::new(), now, lines }
    }

    /// Three nodes in memory that know each other's addresses.
    fn of_three() -> Hall {
        let mut hall = Hall::open(NAMES.map(|name| options(name, &NAMES)));
        hall.tell_addresses();
        hall
    }

    fn tell_addresses(&mut self) {
        let addresses: Vec<SocketAddr> = (0..self.nodes.len()).map(|at| self.address(at)).collect();
        for node in self.nodes.iter_mut().flatten() {
            for (name, &address) in NAMES.iter().zip(&addresses) {
                assert!(node.set_member_address(name, address));
            }
        }
    }

    fn node(&self, at: usize) -> &EventLoop {
        self.nodes[at].as_ref().unwrap()
    }

    fn address(&self, at: usize) -> SocketAddr {
        self.node(at).peer_address().unwrap()
    }

    /// Steps every node that is not stalled until nothing is left to do now; returns how often.
    fn settle(&mut self) -> usize {
        let mut steps = 0;
        loop {
            let before = steps;
            for (at, node) in self.nodes.iter_mut().enumerate() {
                let Some(node) = node.as_mut().filter(|_| !self.stalled.contains(&at)) else { continue };
                while node.step(self.now, budget()).unwrap().more {
                    steps += 1;
                }
            }
            if steps == before {
                return steps;
            }
        }
    }

    /// Steps until a counter of a node stands at so much.
    fn await_count(&mut self, at: usize, name: &str, count: u64) {
        let give_up = std::time::Instant::now() + 20 * SECOND;
        while self.counters(at)[name] < count {
            assert!(std::time::Instant::now() < give_up, "{name} stays below {count}");
            self.settle();
        }
        assert_eq!(self.counters(at)[name], count, "{name}");
    }

    fn run(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while self.now.mono < end {
            self.settle();
            std::thread::sleep(CARRIED);
            self.now.mono = self.now.mono + Duration::from_millis(10);
            self.now.wall.0 += 10;
        }
        self.settle();
    }

    /// Runs until `done`; false if it is not within this time.
    fn run_until(&mut self, within: Duration, done: impl Fn(&Hall) -> bool) -> bool {
        let end = self.now.mono + within;
        while !done(self) {
            if self.now.mono >= end {
                return false;
            }
            self.run(Duration::from_millis(50));
        }
        true
    }

    /// What one node thinks of another.
    fn verdict(&self, at: usize, of: &str) -> &'static str {
        let status = self.node(at).status();
        let member = status.members.iter().find(|member| member.name == of);
        member.and_then(MemberStatus::verdict_name).unwrap_or("unknown")
    }

    /// Whether every node that turns thinks so of this one.
    fn all_think(&self, of: &str, verdict: &str) -> bool {
        let turns = |at: &usize| self.nodes[*at].is_some() && !self.stalled.contains(at);
        (0..self.nodes.len()).filter(turns).all(|at| NAMES[at] == of || self.verdict(at, of) == verdict)
    }

    fn all_alive(&self) -> bool {
        NAMES.iter().all(|name| self.all_think(name, "alive"))
    }

    fn counters(&self, at: usize) -> BTreeMap<&'static str, u64> {
        self.node(at).status().counters.into_iter().collect()
    }

    /// Everything that a node refused.
    fn refused(&self, at: usize) -> Vec<(&'static str, u64)> {
        let refused = |(name, count): &(&str, u64)| name.starts_with("gossip_refused_") && *count > 0;
        self.counters(at).into_iter().filter(refused).collect()
    }
}

#[test]
fn who_is_gone_is_declared_down_and_who_paused_comes_back() {
    let mut hall = Hall::of_three();
    assert!(hall.run_until(BOUND, Hall::all_alive));
    hall.run(3 * SECOND);
    for at in 0..3 {
        let counters = hall.counters(at);
        assert!(counters["gossip_probes"] >= 2 && counters["gossip_datagrams_taken"] >= 2, "{counters:?}");
        assert_eq!((hall.refused(at), counters["gossip_probes_failed"]), (vec![], 0));
    }
    // One that does not run for three seconds is suspected at most for a while, by itself nobody is.
    let before = hall.node(0).status();
    hall.stalled.push(2);
    hall.run(3 * SECOND);
    hall.stalled.clear();
    hall.run(3 * SECOND);
    assert!(hall.run_until(BOUND, Hall::all_alive));
    hall.run(BOUND);
    assert!(hall.all_alive(), "and stays so");
    assert!(hall.counters(2)["gossip_stalls"] > 0);
    let after = hall.node(0).status();
    assert_eq!((after.layout_version, after.layout_hash), (before.layout_version, before.layout_hash));
    // One that is gone is found by both others, each for itself.
    let address = hall.address(2);
    std::thread::sleep(20 * CARRIED);
    hall.settle();
    let probes = |hall: &Hall| [0, 1].map(|at| hall.counters(at)["gossip_probes"]);
    let before = probes(&hall);
    hall.nodes[2] = None;
    let give_up = std::time::Instant::now() + 20 * SECOND;
    while hall.lines.count("WARN peer: c is gone") < 2 {
        assert!(std::time::Instant::now() < give_up, "its streams do not end");
        hall.settle();
    }
    assert_eq!(probes(&hall), before.map(|count| count + 1), "at once, without waiting for its turn");
    assert!(hall.run_until(BOUND, |hall| hall.all_think("c", "down")));
    assert!(hall.lines.has("WARN gossip: c is down"));
    hall.run(5 * SECOND);
    assert_eq!((hall.verdict(0, "b"), hall.verdict(1, "a")), ("alive", "alive"));
    // Without records it counts its openings anew, which looks like a copy until its stream has told.
    let mut again = options("c", &NAMES);
    again.peer = Some(address);
    again.log = hall.lines.logger();
    hall.nodes[2] = Some(EventLoop::open(again).unwrap());
    hall.tell_addresses();
    assert!(hall.run_until(BOUND, Hall::all_alive));
    hall.run(5 * SECOND);
    let count = |hall: &Hall, name| (0..2).map(|at| hall.counters(at)[name]).sum::<u64>();
    let found_by_stream = count(&hall, "gossip_stream_only");
    hall.run(20 * SECOND);
    assert_eq!(count(&hall, "gossip_stream_only"), found_by_stream, "its datagrams are taken");
    assert_eq!(count(&hall, "gossip_refused_twin"), 0);
    assert!(!hall.lines.has("ERROR gossip"), "a false alarm");
}

#[test]
fn whom_no_datagram_reaches_answers_on_its_stream() {
    let mut hall = Hall::of_three();
    let met = |hall: &Hall| hall.node(0).status().members.iter().all(|member| member.up);
    assert!(hall.run_until(BOUND, |hall| hall.all_alive() && met(hall)));
    // The streams are there already; datagrams to b end nowhere from now on.
    let nowhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    for node in [0, 2] {
        let node = hall.nodes[node].as_mut().unwrap();
        assert!(node.set_member_address("b", nowhere.local_addr().unwrap()));
    }
    let changes = hall.lines.count("b does not answer");
    hall.run(30 * SECOND);
    let counters = hall.counters(0);
    assert!(counters["gossip_stream_only"] >= 5, "{counters:?}");
    assert_eq!((counters["gossip_probes_failed"], hall.lines.count("b does not answer")), (0, changes));
    assert!(hall.all_alive());
    // Without the streams it is down for these two, each of which looked for itself.
    hall.stalled.push(1);
    assert!(hall.run_until(2 * BOUND, |hall| hall.all_think("b", "down")));
}

/// A machine that seals as a member does, to send what no member sends.
fn machine(name: &str, keys: &ClusterKeys, seal: Key) -> Gossip {
    let description = |name: &str| Description {
        name: name.to_owned(),
        address: b"127.0.0.1:1".to_vec(),
        zone: 0,
        generation: 0,
        nonce: 0,
    };
    let known = |name| Known { description: description(name), incarnation: Incarnation::default() };
    let config = Config {
        name: name.to_owned(),
        address: b"127.0.0.1:2".to_vec(),
        zone: 0,
        generation: 1,
        boot: Boot { opens: 1, nonce: 5 },
        keyring: Keyring::new(seal),
        mode: Mode::Manual,
        members: vec![known("a")],
        seeds: vec![],
        timing: Timing::default(),
    };
    Gossip::new(config, keys.clone(), 1, Now::default()).unwrap()
}

/// A ping of that machine to node a.
fn ping(machine: &mut Gossip) -> Vec<u8> {
    loop {
        let now = Now { mono: machine.deadline(), ..Now::default() };
        machine.handle_timeout(now);
        while let Some(output) = machine.poll_output(now) {
            if let Output::Send { bytes, .. } = output {
                return bytes;
            }
        }
    }
}

#[test]
fn what_strangers_send_is_counted_and_changes_nothing() {
    let mut hall = Hall::of_three();
    hall.nodes[2] = None;
    assert!(hall.run_until(3 * BOUND, |hall| hall.all_think("c", "down")));
    let keys = ClusterKeys::derive("test", &ClusterKeys::PUBLIC);
    let others = ClusterKeys::derive("others", &ClusterKeys::PUBLIC);
    let good = ping(&mut machine("c", &keys, keys.gossip));
    let mut bent = good.clone();
    *bent.last_mut().unwrap() ^= 1;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_nonblocking(true).unwrap();
    let verdicts = |hall: &Hall| NAMES.map(|name| hall.verdict(0, name));
    let before = verdicts(&hall);
    for (bytes, reason) in [
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "gossip_refused_foreign"),
        (vec![0x51; 60_000], "gossip_refused_foreign"),
        (bent, "gossip_refused_forged"),
        (ping(&mut machine("c", &keys, others.gossip)), "gossip_refused_key"),
        (ping(&mut machine("c", &others, others.gossip)), "gossip_refused_cluster"),
        (ping(&mut machine("d", &keys, keys.gossip)), "gossip_refused_stranger"),
    ] {
        let refused = hall.counters(0)[reason];
        socket.send_to(&bytes, hall.address(0)).unwrap();
        hall.await_count(0, reason, refused + 1);
        assert_eq!(verdicts(&hall), before, "{reason}");
        assert!(socket.recv(&mut [0; 2_000]).is_err(), "{reason}: no answer");
    }
    // A true one is answered once, and a ping alone brings nobody back.
    for _ in 0..3 {
        socket.send_to(&good, hall.address(0)).unwrap();
    }
    hall.await_count(0, "gossip_refused_replayed", 2);
    assert_eq!(verdicts(&hall), before);
    socket.set_nonblocking(false).unwrap();
    socket.set_read_timeout(Some(20 * SECOND)).unwrap();
    assert!(socket.recv(&mut [0; 2_000]).is_ok(), "no answer");
    socket.set_nonblocking(true).unwrap();
    assert!(socket.recv(&mut [0; 2_000]).is_err(), "two answers");
    // More than a turn takes at once is taken in the end, and holds up nothing.
    let refused = hall.counters(0)["gossip_refused_foreign"];
    for _ in 0..200 {
        socket.send_to(b"noise", hall.address(0)).unwrap();
    }
    hall.await_count(0, "gossip_refused_foreign", refused + 200);
}

/// A node in a directory of its name, that joins through these seeds, or founds a cluster without any.
fn joining(directory: &Path, name: &str, seeds: &[SocketAddr]) -> NodeOptions {
    let mut options = options(name, &[name]);
    let core = &mut options.core;
    core.membership = if seeds.is_empty() { Membership::Founded } else { Membership::Joined };
    (core.placement, core.auto_commit) = (Placement::Balanced, true);
    options.data = DataDir::Path(directory.join(name));
    options.store.segment_bytes = Some(1 << 20);
    options.join = seeds.to_vec();
    options
}

#[test]
fn members_find_each_other_through_a_seed_and_are_remembered() {
    let directory = tempfile::tempdir().unwrap();
    let nowhere: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let mut hall = Hall::open([joining(directory.path(), "a", &[])]);
    let seed = hall.address(0);
    for name in ["b", "c"] {
        let mut options = joining(directory.path(), name, &[seed]);
        options.log = hall.lines.logger();
        hall.nodes.push(Some(EventLoop::open(options).unwrap()));
    }
    assert!(hall.run_until(BOUND, Hall::all_alive), "without any address in the list");
    assert!(hall.lines.has("INFO gossip: c is a member"));
    let kept = directory.path().join("b/known-members");
    let give_up = std::time::Instant::now() + 20 * SECOND;
    while !kept.exists() {
        assert!(std::time::Instant::now() < give_up, "nothing was kept");
        hall.run(SECOND);
        std::thread::sleep(Duration::from_millis(10));
    }
    hall.run(10 * SECOND);
    // It comes back to another port, and its seed is gone; what it remembers leads it to the others.
    hall.nodes[1] = None;
    let mut options = joining(directory.path(), "b", &[nowhere]);
    options.log = hall.lines.logger();
    hall.nodes[1] = Some(EventLoop::open(options).unwrap());
    assert!(hall.run_until(BOUND, Hall::all_alive));
    assert!(!hall.lines.has("ERROR gossip"), "{:#?}", hall.lines.with("gossip"));
}

#[test]
fn what_joining_needs_is_asked_for() {
    let directory = tempfile::tempdir().unwrap();
    let good = joining(directory.path(), "a", &["127.0.0.1:9".parse().unwrap()]);
    let mut unheard = good.clone();
    unheard.peer = None;
    let mut lost = good;
    lost.join.clear();
    for (options, named) in [(unheard, "the others reach it"), (lost, "whom does this node ask")] {
        let error = EventLoop::open(options).err().unwrap();
        assert!(error.exit_code() == 64 && error.to_string().contains(named), "{error}");
    }
}

#[test]
fn an_idle_cluster_wakes_for_its_probes_alone() {
    let mut hall = Hall::of_three();
    assert!(hall.run_until(BOUND, Hall::all_alive));
    hall.run(10 * SECOND);
    let probes = |hall: &Hall| (0..3).map(|at| hall.counters(at)["gossip_probes"]).sum::<u64>();
    let bytes = |hall: &Hall| (0..3).map(|at| hall.counters(at)["gossip_bytes_sent"]).sum::<u64>();
    let (begun, probes_before, bytes_before) = (hall.now.mono, probes(&hall), bytes(&hall));
    let (mut wake_ups, mut steps) = (0, 0);
    while hall.now.mono < begun + 60 * SECOND {
        let deadline = hall.nodes.iter().flatten().map(EventLoop::deadline).min().unwrap();
        assert!(deadline > Instant::ZERO, "work is left");
        hall.now.mono = hall.now.mono.max(deadline);
        steps += hall.settle();
        std::thread::sleep(CARRIED);
        steps += hall.settle();
        wake_ups += 1;
    }
    let probes = probes(&hall) - probes_before;
    assert!((150..=190).contains(&probes), "{probes} probes of 3 nodes in a minute");
    // Each ends with its answer or, where the scheduler is late, with a look at its timer.
    assert!(wake_ups <= 3 * probes, "{wake_ups} wake-ups for {probes} probes");
    assert!(steps as u64 <= 10 * probes, "{steps} turns with work left");
    let bytes = bytes(&hall) - bytes_before;
    assert!(bytes <= probes * 200, "{bytes} bytes for {probes} probes");
}
