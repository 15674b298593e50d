//! The core without I/O: a few nodes in one thread, frames carried by hand.

use std::collections::BTreeMap;
use std::time::Duration;

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::error::Outcome;
use quorate::proto::io::{Blind, MemberId, Operation, Options, Output, Reply, Request, RequestId, View};
use quorate::proto::message::{Envelope, Hello, Message};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::MemoryStore;

#[path = "core/avoided.rs"]
mod avoided;
#[path = "core/cancel.rs"]
mod cancel;
#[path = "core/catch_up.rs"]
mod catch_up;
#[path = "core/claims.rs"]
mod claims;
#[path = "core/counters.rs"]
mod counters;
#[path = "core/edits.rs"]
mod edits;
#[path = "core/emptied.rs"]
mod emptied;
#[path = "core/exchange.rs"]
mod exchange;
#[path = "core/faulty.rs"]
mod faulty;
#[path = "core/feed.rs"]
mod feed;
#[path = "core/following.rs"]
mod following;
#[path = "core/hedged.rs"]
mod hedged;
#[path = "core/hints.rs"]
mod hints;
#[path = "core/merged.rs"]
mod merged;
#[path = "core/observed.rs"]
mod observed;
#[path = "core/past.rs"]
mod past;
#[path = "core/probes.rs"]
mod probes;
#[path = "core/read_only.rs"]
mod read_only;
#[path = "core/reap.rs"]
mod reap;
#[path = "core/scans.rs"]
mod scans;
#[path = "core/seen.rs"]
mod seen;
#[path = "core/sets.rs"]
mod sets;
#[path = "core/sweep.rs"]
mod sweep;

struct Cluster {
    nodes: Vec<Node<MemoryStore>>,
    ids: Vec<MemberId>,
    now: Now,
    /// Frames on their way: from, to, bytes.
    wire: Vec<(usize, usize, Vec<u8>)>,
    /// Nothing from the first reaches the second.
    cut: Vec<(usize, usize)>,
    replies: BTreeMap<u64, Reply>,
    /// Probes that were answered: at, by, number.
    probed: Vec<(usize, MemberId, u32)>,
    next: u64,
}

impl Cluster {
    fn new(count: usize, change: impl Fn(&mut Config), cold_one_in: u64) -> Cluster {
        let members: Vec<MemberSpec> =
            (0..count).map(|at| MemberSpec::new(&format!("n{at}"), &format!("host:{at}"))).collect();
        let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
        let mut random = Rng::new(count as u64);
        let nodes: Vec<_> = (0..count)
            .map(|at| {
                let mut config = Config::new(&format!("n{at}"));
                config.members.clone_from(&members);
                config.background_read_one_in = 0;
                config.exchange_interval = None;
                config.reap_after = None;
                change(&mut config);
                let store = MemoryStore::new(config.partitions, &mut || random.next_u64())
                    .with_cold_reads(cold_one_in);
                Node::new(config, store, no_hints(at as u64 + 1), at as u64, now).unwrap()
            })
            .collect();
        Cluster::of(nodes, now)
    }

    /// Of nodes that have just been made: connects each with each.
    fn of(nodes: Vec<Node<MemoryStore>>, now: Now) -> Cluster {
        let count = nodes.len();
        let ids = nodes.iter().map(Node::id).collect();
        let (wire, cut, replies, probed) = (vec![], vec![], BTreeMap::new(), vec![]);
        let mut cluster = Cluster { nodes, ids, now, wire, cut, replies, probed, next: 1 };
        for one in 0..count {
            for other in (0..count).filter(|&other| other != one) {
                let id = cluster.ids[other];
                cluster.nodes[one].handle_peer_up(now, id);
            }
        }
        cluster.run();
        cluster
    }

    /// Carries everything until nothing is left to carry.
    fn run(&mut self) {
        while self.carry_once() {}
    }

    /// Carries what every node wants sent now; false if that is nothing.
    fn carry_once(&mut self) -> bool {
        for at in 0..self.nodes.len() {
            self.drain(at);
        }
        let wire = std::mem::take(&mut self.wire);
        let carried = !wire.is_empty();
        for (from, to, frames) in wire {
            if !self.cut.contains(&(from, to)) {
                self.nodes[to].handle_frames(self.now, self.ids[from], &frames).unwrap();
            }
        }
        carried
    }

    fn drain(&mut self, at: usize) {
        loop {
            while let Some(ticket) = self.nodes[at].store_mut().take_read() {
                self.nodes[at].handle_read(self.now, ticket);
            }
            match self.nodes[at].poll_output(self.now) {
                None => return,
                Some(Output::Reply { id, reply }) => {
                    assert!(self.replies.insert(id.0, reply).is_none(), "exactly one reply");
                }
                Some(Output::Sync(need)) => {
                    self.nodes[at].store_mut().flush(need);
                    self.nodes[at].handle_synced(self.now);
                }
                Some(Output::SyncHints(need)) => {
                    self.nodes[at].hints_mut().store_mut().flush(need);
                    self.nodes[at].handle_synced(self.now);
                }
                Some(Output::Send { to, frames }) => {
                    let to = self.ids.iter().position(|&id| id == to).unwrap();
                    self.wire.push((at, to, frames));
                }
                Some(Output::Probed { from, number }) => self.probed.push((at, from, number)),
                Some(Output::Met(_)) => {}
            }
        }
    }

    fn advance(&mut self, by: Duration) {
        self.now.mono = self.now.mono + by;
        self.now.wall.0 += by.as_millis() as u64;
        for at in 0..self.nodes.len() {
            if self.nodes[at].deadline() <= self.now.mono {
                self.nodes[at].handle_timeout(self.now);
            }
        }
        self.run();
    }

    /// Begins a request without carrying anything.
    fn begin(&mut self, at: usize, key: &str, operation: Operation<'_>, options: Options) -> u64 {
        let id = self.next;
        self.next += 1;
        let request = Request { keyspace: 0, key: key.as_bytes(), operation, options };
        self.nodes[at].handle_request(self.now, RequestId(id), &request);
        id
    }

    fn submit(&mut self, at: usize, key: &str, operation: Operation<'_>, options: Options) -> u64 {
        let id = self.begin(at, key, operation, options);
        self.run();
        id
    }

    fn ask(&mut self, at: usize, key: &str, operation: Operation<'_>, options: Options) -> Reply {
        let id = self.submit(at, key, operation, options);
        for _ in 0..40 {
            if let Some(reply) = self.replies.remove(&id) {
                return reply;
            }
            self.advance(Duration::from_millis(50));
        }
        panic!("no reply within two seconds");
    }

    fn get(&mut self, at: usize, key: &str) -> Reply {
        self.ask(at, key, Operation::Get, Options { want_context: true, ..Options::default() })
    }

    /// A counter of a node's status.
    fn counter(&self, at: usize, name: &str) -> u64 {
        let counters = self.nodes[at].status().counters;
        counters.into_iter().find(|&(known, _)| known == name).expect("it is counted").1
    }

    fn isolate(&mut self, at: usize) {
        for other in (0..self.nodes.len()).filter(|&other| other != at) {
            self.cut.extend([(at, other), (other, at)]);
            let (one, two) = (self.ids[at], self.ids[other]);
            self.nodes[at].handle_peer_down(self.now, two);
            self.nodes[other].handle_peer_down(self.now, one);
        }
        self.run();
    }

    /// Replaces a node by an empty one of the same name, as after the loss of its directory.
    fn restart(&mut self, at: usize) {
        self.restart_with(at, |_| ());
    }

    fn restart_with(&mut self, at: usize, change: impl Fn(&mut Config)) {
        self.replace(at, change);
        for other in (0..self.nodes.len()).filter(|&other| other != at) {
            let (one, two) = (self.ids[at], self.ids[other]);
            self.nodes[at].handle_peer_up(self.now, two);
            self.nodes[other].handle_peer_up(self.now, one);
        }
        self.run();
    }

    /// Puts a node with an empty directory, that nobody has met yet, in the place of another.
    fn replace(&mut self, at: usize, change: impl Fn(&mut Config)) {
        self.isolate(at);
        let mut config = self.nodes[at].config().clone();
        change(&mut config);
        let mut random = Rng::new(0xb007);
        let store = MemoryStore::new(config.partitions, &mut || random.next_u64());
        self.nodes[at] = Node::new(config, store, no_hints(0xb007), 1, self.now).unwrap();
        self.cut.retain(|&(one, other)| one != at && other != at);
    }

    /// A message that no node of ours would send.
    fn say(&mut self, from: usize, to: usize, message: &Message<'_>) {
        let node = &self.nodes[to];
        let (layout_version, cluster_id) = (node.layout().version() as u32, node.keys().cluster_id);
        let mut frame = Vec::new();
        message.encode(&Envelope { layout_version, cluster_id, request_id: 0, reaps: 0 }, &mut frame);
        self.nodes[to].handle_frames(self.now, self.ids[from], &frame).unwrap();
        self.run();
    }

    /// Two nodes meet again.
    fn meet_one(&mut self, one: usize, other: usize) {
        for (at, with) in [(one, other), (other, one)] {
            self.cut.retain(|&cut| cut != (at, with));
            let id = self.ids[with];
            self.nodes[at].handle_peer_up(self.now, id);
        }
        self.run();
    }

    fn heal(&mut self) {
        for (one, other) in std::mem::take(&mut self.cut) {
            let id = self.ids[other];
            self.nodes[one].handle_peer_up(self.now, id);
        }
        self.run();
    }
}

/// The store of hints of a node that never had one.
fn no_hints(seed: u64) -> MemoryStore {
    MemoryStore::new(quorate::proto::hints::PARTITIONS, &mut || seed)
}

fn put<'a>(value: &'a str, context: Option<&'a [u8]>) -> Operation<'a> {
    Operation::Put { value: value.as_bytes(), context, blind: Blind::Siblings, expires_ms: None }
}

fn set(value: &str) -> Operation<'_> {
    Operation::Put { value: value.as_bytes(), context: None, blind: Blind::Supersede, expires_ms: None }
}

fn values(reply: &Reply) -> Vec<String> {
    let mut values: Vec<_> =
        reply.siblings.iter().map(|sibling| String::from_utf8(sibling.value.to_vec()).unwrap()).collect();
    values.sort();
    values
}

fn with_context() -> Options {
    Options { want_context: true, ..Options::default() }
}

#[test]
fn a_value_written_at_one_node_is_read_at_every_other() {
    for cold in [0, 1, 3] {
        let mut cluster = Cluster::new(3, |_| {}, cold);
        let reply = cluster.ask(0, "k", set("v"), Options::default());
        assert_eq!((reply.outcome, reply.achieved.asked), (Outcome::Ok, 2));
        assert!(reply.achieved.acked >= 2);
        for at in 0..3 {
            let reply = cluster.get(at, "k");
            assert_eq!((&reply.outcome, values(&reply)), (&Outcome::Ok, vec!["v".to_owned()]));
            assert_eq!(cluster.get(at, "other").outcome, Outcome::NotFound);
        }
    }
}

#[test]
fn concurrent_writers_leave_siblings_and_a_context_resolves_them() {
    let mut cluster = Cluster::new(3, |_| {}, 2);
    cluster.ask(0, "cart", set("milk"), Options::default());
    let seen = cluster.get(1, "cart").context.unwrap();
    let one = cluster.ask(0, "cart", put("milk bread", Some(&seen)), with_context());
    let two = cluster.ask(1, "cart", put("milk eggs", Some(&seen)), with_context());
    assert_eq!((one.outcome, two.outcome), (Outcome::Ok, Outcome::Ok));
    let both = cluster.get(2, "cart");
    assert_eq!(values(&both), ["milk bread", "milk eggs"]);
    let latest = cluster.ask(2, "cart", Operation::Get, Options { view: View::Latest, ..with_context() });
    assert_eq!(values(&latest), ["milk eggs"]);
    assert!(latest.hid_siblings);
    // A put with the context of `latest` replaces what that showed, and not what it hid.
    let merged = cluster.ask(2, "cart", put("milk eggs 12", latest.context.as_deref()), with_context());
    assert_eq!(merged.outcome, Outcome::Ok);
    assert_eq!(values(&cluster.get(0, "cart")), ["milk bread", "milk eggs 12"]);
    let all = cluster.get(0, "cart").context.unwrap();
    cluster.ask(1, "cart", put("milk bread eggs", Some(&all)), Options::default());
    assert_eq!(values(&cluster.get(2, "cart")), ["milk bread eggs"]);
}

#[test]
fn quorums_that_cannot_be_met_are_refused_before_anything_is_written() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    cluster.isolate(0);
    let reply = cluster.ask(0, "k", set("v"), Options::default());
    assert_eq!(reply.outcome, Outcome::NotEnoughReplicas { reachable: 1, needed: 2 });
    for options in [
        Options { w: Some(3), ..Options::default() },
        Options { pw: Some(3), ..Options::default() },
        Options { dw: Some(3), ..Options::default() },
    ] {
        let reply = cluster.ask(1, "k", set("v"), options);
        assert_eq!(reply.outcome, Outcome::NotEnoughReplicas { reachable: 2, needed: 3 });
    }
    for options in
        [Options { r: Some(3), ..Options::default() }, Options { pr: Some(3), ..Options::default() }]
    {
        let reply = cluster.ask(1, "k", Operation::Get, options);
        assert!(matches!(reply.outcome, Outcome::NotEnoughReplicas { needed: 3, .. }));
    }
    for options in
        [Options { r: Some(4), ..Options::default() }, Options { dw: Some(4), ..Options::default() }]
    {
        assert!(matches!(cluster.ask(1, "k", set("v"), options).outcome, Outcome::BadArgument(_)));
    }
    cluster.heal();
    assert_eq!(cluster.get(0, "k").outcome, Outcome::NotFound, "nothing was written");
    let one = cluster.ask(0, "k", set("v"), Options { w: Some(1), ..Options::default() });
    assert_eq!((one.outcome, one.weak), (Outcome::Ok, true));
}

#[test]
fn a_write_cut_off_in_the_middle_is_partial_or_maybe_and_never_ok() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    // Silent peers: the deadline ends it.
    cluster.cut.extend([(0, 1), (0, 2)]);
    let reply = cluster.ask(0, "k", set("v"), Options::default());
    assert_eq!((reply.outcome, reply.achieved.acked), (Outcome::Maybe, 1));
    assert!(reply.dot.is_some());
    // Peers that go away end it at once.
    let id = cluster.submit(0, "k", set("w"), Options::default());
    assert!(!cluster.replies.contains_key(&id));
    cluster.isolate(0);
    assert_eq!(cluster.replies[&id].outcome, Outcome::Partial);
    assert_eq!(
        cluster.ask(0, "k", Operation::Get, Options::default()).outcome,
        Outcome::NotEnoughReplicas { reachable: 1, needed: 2 }
    );
}

#[test]
fn a_late_replica_is_passed_over_and_a_stale_one_is_repaired() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    cluster.isolate(2);
    cluster.ask(0, "k", set("v"), Options::default());
    cluster.heal();
    let all = Options { r: Some(3), ..Options::default() };
    assert_eq!(values(&cluster.ask(2, "k", Operation::Get, all)), ["v"]);
    let one = Options { r: Some(1), ..Options::default() };
    assert_eq!(values(&cluster.ask(2, "k", Operation::Get, one)), ["v"], "read at its own copy alone");
    // A silent peer: another is asked.
    cluster.cut.extend([(0, 1), (1, 0)]);
    for _ in 0..4 {
        assert_eq!(values(&cluster.get(0, "k")), ["v"]);
    }
}

#[test]
fn an_expired_value_is_not_found_and_not_scanned() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let expires_ms = Some(cluster.now.wall.0 + 100);
    let put = Operation::Put { value: b"v", context: None, blind: Blind::Supersede, expires_ms };
    cluster.ask(0, "k", put, Options::default());
    assert_eq!(cluster.get(1, "k").outcome, Outcome::Ok);
    cluster.advance(Duration::from_millis(100));
    assert_eq!(cluster.get(1, "k").outcome, Outcome::NotFound);
    let page =
        cluster.ask(0, "", Operation::Scan { cursor: 0, limit: 100 }, Options::default()).page.unwrap();
    assert_eq!((page.keys.len(), page.next), (0, 0));
}

#[test]
fn a_node_that_holds_no_copy_forwards_writes_and_scans_them_all() {
    let mut cluster = Cluster::new(6, |config| config.partitions = 16, 2);
    let keys: Vec<String> = (0..60).map(|at| format!("key{at}")).collect();
    for (at, key) in keys.iter().enumerate() {
        let reply = cluster.ask(at % 6, key, set(key), with_context());
        assert_eq!((reply.outcome, reply.achieved.asked), (Outcome::Ok, 2));
        assert_eq!(values(&cluster.get((at + 1) % 6, key)), std::slice::from_ref(key));
    }
    let (mut found, mut cursor) = (vec![], 0);
    loop {
        let scan = Operation::Scan { cursor, limit: 7 };
        let page = cluster.ask(3, "", scan, Options::default()).page.unwrap();
        found.extend(page.keys.into_iter().map(|key| String::from_utf8(key).unwrap()));
        cursor = page.next;
        if cursor == 0 {
            break;
        }
    }
    found.sort();
    let mut keys = keys;
    keys.sort();
    assert_eq!(found, keys, "each once");
}

/// Trap T1: a late copy of a forwarded put is not a new write.
#[test]
fn a_forward_that_arrives_twice_is_carried_out_once() {
    let mut cluster = Cluster::new(4, |config| config.partitions = 1, 0);
    let owners = cluster.nodes[0].owners(0, b"k").members;
    let outsider = (0..4).find(|at| !owners.contains(&format!("n{at}"))).unwrap();
    let id = cluster.begin(outsider, "k", set("v1"), Options::default());
    cluster.drain(outsider);
    let copy = cluster.wire.clone();
    cluster.run();
    assert_eq!(cluster.replies[&id].outcome, Outcome::Ok);
    cluster.ask(outsider, "k", set("v2"), Options::default());
    cluster.wire.extend(copy.iter().cloned().chain(copy.iter().cloned()));
    cluster.run();
    assert_eq!(values(&cluster.get(outsider, "k")), ["v2"]);
}

/// Trap T1: numbers begin anew with each boot of the sender, so an answer to an earlier boot must not be
/// taken for the answer to what the present one sent under the same number.
#[test]
fn a_write_forwarded_by_an_earlier_boot_answers_nothing_of_the_present_one() {
    let mut cluster = Cluster::new(4, |config| config.partitions = 1, 0);
    let owners = cluster.nodes[0].owners(0, b"k").members;
    let at_of = |name: &String| name[1..].parse::<usize>().unwrap();
    let (coordinator, other) = (at_of(&owners[0]), at_of(&owners[1]));
    let outsider = (0..4).find(|at| !owners.contains(&format!("n{at}"))).unwrap();
    let all = Options { w: Some(3), ..Options::default() };
    cluster.cut.push((coordinator, other));
    cluster.submit(outsider, "old", set("old"), all);
    cluster.restart(outsider);
    cluster.advance(Duration::from_millis(50));
    let new = cluster.submit(outsider, "new", set("new"), all);
    cluster.cut.clear();
    // The earlier write is sent again and ends; the later one is not due yet.
    cluster.advance(Duration::from_millis(60));
    assert_eq!(values(&cluster.get(other, "old")), ["old"]);
    assert_eq!(cluster.get(other, "new").outcome, Outcome::Ok, "the coordinator holds it");
    assert_eq!(cluster.replies.get(&new), None, "one replica has not acknowledged it yet");
    cluster.advance(Duration::from_millis(60));
    assert_eq!((&cluster.replies[&new].outcome, cluster.replies[&new].achieved.acked), (&Outcome::Ok, 3));
}

#[test]
fn a_page_that_comes_twice_stands_for_no_other_page() {
    let change = |config: &mut Config| {
        config.partitions = 16;
        config.keyspaces[0].n = 1;
    };
    let mut cluster = Cluster::new(2, change, 0);
    let mut keys: Vec<String> = (0..100).map(|at| format!("key{at}")).collect();
    for key in &keys {
        assert_eq!(cluster.ask(0, key, set("v"), Options::default()).outcome, Outcome::Ok);
    }
    let id = cluster.begin(0, "", Operation::Scan { cursor: 0, limit: 1_000 }, Options::default());
    cluster.drain(0);
    cluster.wire.extend(cluster.wire.clone());
    cluster.run();
    let page = cluster.replies[&id].page.as_ref().unwrap();
    let mut found: Vec<_> = page.keys.iter().map(|key| String::from_utf8(key.clone()).unwrap()).collect();
    found.sort();
    keys.sort();
    assert_eq!(found, keys, "each once");
}

#[test]
fn a_read_whose_repair_was_not_acknowledged_ends_at_its_deadline() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let repairs = |cluster: &Cluster| cluster.counter(0, "repairs");
    for key in ["a", "b", "c", "d", "e", "f"] {
        for at in [0, 1] {
            cluster.cut = (0..3).filter(|&other| other != at).map(|other| (at, other)).collect();
            cluster.submit(at, key, put(&at.to_string(), None), Options { w: Some(1), ..Options::default() });
        }
        // The third never answers; the second answers once, and then nothing reaches it any more.
        cluster.cut = vec![(2, 0)];
        let before = repairs(&cluster);
        let id = cluster.begin(0, key, Operation::Get, Options::default());
        while repairs(&cluster) == before {
            if !cluster.carry_once() {
                cluster.now.mono = cluster.now.mono + Duration::from_millis(120);
                cluster.nodes[0].handle_timeout(cluster.now);
            }
        }
        cluster.cut.push((0, 1));
        for _ in 0..12 {
            cluster.advance(Duration::from_millis(100));
        }
        let reply = &cluster.replies[&id];
        assert_eq!((&reply.outcome, reply.unrepaired, values(reply).len()), (&Outcome::Ok, true, 2));
        assert_eq!(cluster.nodes[0].in_flight(), 0, "nothing is left of it");
    }
}

/// Trap T3: what proves that a directory went back in time is not forgotten before it was told.
#[test]
fn the_memory_of_a_member_never_goes_back() {
    let mut cluster = Cluster::new(2, |_| {}, 0);
    let (now, from) = (cluster.now, cluster.ids[1]);
    let node = &mut cluster.nodes[0];
    let envelope =
        Envelope { layout_version: 1, cluster_id: node.keys().cluster_id, request_id: 0, reaps: 0 };
    let layout_hash = node.layout().hash();
    let mut introduce = |opens, boot, sequence, answer| {
        let hello = Hello { boot, generation: 7, opens, sequence, layout_hash, seen: None, answer };
        let mut frame = Vec::new();
        Message::Hello(hello).encode(&envelope, &mut frame);
        node.handle_frames(now, from, &frame).unwrap();
        let memory = &node.store().members()[0];
        (memory.opens, memory.boot, memory.sequence.0)
    };
    assert_eq!(introduce(5, 50, 900, true), (5, 50, 900));
    assert_eq!(introduce(5, 50, 950, true), (5, 50, 950));
    assert_eq!(introduce(5, 50, 800, false), (5, 50, 950), "a late copy");
    assert_eq!(introduce(5, 51, 990, false), (5, 50, 950), "the same opening twice: an older directory");
    assert_eq!(introduce(6, 60, 940, false), (5, 50, 950), "a later opening that found less");
    assert_eq!(introduce(7, 70, 960, true), (5, 50, 950), "it may have gone back, and has not been told");
    assert_eq!(introduce(7, 70, 960, false), (7, 70, 960), "it has heard it, and goes on");
}

#[test]
fn the_majority_view_shows_what_most_replicas_returned_or_says_that_there_is_none() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let majority = Options { view: View::Majority, r: Some(3), ..with_context() };
    assert_eq!(cluster.ask(0, "k", Operation::Get, majority).outcome, Outcome::NotFound);
    cluster.ask(0, "k", set("v1"), Options { w: Some(3), ..Options::default() });
    cluster.cut.extend([(0, 1), (0, 2)]);
    cluster.submit(0, "k", set("v2"), Options { w: Some(1), ..Options::default() });
    cluster.cut.clear();
    let reply = cluster.ask(1, "k", Operation::Get, majority);
    assert_eq!(values(&reply), ["v1"], "the half-done write is not shown");
    for (at, value) in ["a", "b", "c"].into_iter().enumerate() {
        for other in (0..3).filter(|&other| other != at) {
            cluster.cut.push((at, other));
        }
        cluster.submit(at, "split", put(value, None), Options { w: Some(1), ..Options::default() });
        cluster.cut.clear();
    }
    let reply = cluster.ask(1, "split", Operation::Get, majority);
    assert_eq!((&reply.outcome, values(&reply).len()), (&Outcome::NoMajority, 3));
    let low = Options { view: View::Majority, r: Some(1), ..Options::default() };
    assert!(matches!(cluster.ask(1, "split", Operation::Get, low).outcome, Outcome::BadArgument(_)));
}

#[test]
fn too_many_siblings_refuse_blind_puts_and_never_a_full_context() {
    let mut cluster = Cluster::new(3, |config| config.siblings_max = 5, 0);
    for at in 0..5 {
        assert_eq!(cluster.ask(0, "k", put(&at.to_string(), None), Options::default()).outcome, Outcome::Ok);
    }
    assert_eq!(cluster.ask(0, "k", put("5", None), Options::default()).outcome, Outcome::TooManySiblings(5));
    let seen = cluster.get(0, "k").context.unwrap();
    assert_eq!(cluster.ask(0, "k", put("all", Some(&seen)), Options::default()).outcome, Outcome::Ok);
    assert_eq!(values(&cluster.get(1, "k")), ["all"]);
}

#[test]
fn siblings_that_no_frame_would_hold_refuse_blind_puts() {
    let mut cluster = Cluster::new(1, |config| config.value_max = 64 << 20, 0);
    let (large, largest) = ("v".repeat(2 << 20), "v".repeat(64 << 20));
    assert_eq!(cluster.ask(0, "k", put(&large, None), Options::default()).outcome, Outcome::Ok);
    let blind = cluster.ask(0, "k", put(&largest, None), Options::default());
    assert_eq!(blind.outcome, Outcome::TooManySiblings(1));
    let seen = cluster.get(0, "k").context.unwrap();
    let full = cluster.ask(0, "k", put("small", Some(&seen)), Options::default());
    assert_eq!(full.outcome, Outcome::Ok);
}

#[test]
fn keys_and_values_of_no_bytes_and_at_the_limit_are_legal_and_one_more_is_not() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    let longest = "k".repeat(4_096);
    let largest = "v".repeat(1 << 20);
    for (key, value) in [("", ""), ("a", ""), (&longest[..], &largest[..])] {
        assert_eq!(cluster.ask(0, key, set(value), Options::default()).outcome, Outcome::Ok);
        assert_eq!(values(&cluster.get(1, key)), [value]);
    }
    let over = "k".repeat(4_097);
    assert!(matches!(cluster.ask(0, &over, set("v"), Options::default()).outcome, Outcome::BadArgument(_)));
}

#[test]
fn writes_over_the_bound_on_bytes_in_flight_are_refused_until_some_end() {
    let mut cluster = Cluster::new(3, |config| config.in_flight_bytes_max = 1_000, 0);
    let (half, whole) = ("v".repeat(500), "v".repeat(5_000));
    cluster.cut.extend([(0, 1), (0, 2)]);
    let first = cluster.submit(0, "a", set(&half), Options::default());
    let second = cluster.submit(0, "b", set(&half), Options::default());
    assert_eq!(cluster.ask(0, "c", set("v"), Options::default()).outcome, Outcome::Overloaded);
    cluster.cut.clear();
    cluster.advance(Duration::from_millis(200));
    for id in [first, second] {
        assert_eq!(cluster.replies[&id].outcome, Outcome::Ok);
    }
    assert_eq!(cluster.ask(0, "c", set(&whole), Options::default()).outcome, Outcome::Ok, "alone it passes");
}

#[test]
fn close_ends_every_request() {
    let mut cluster = Cluster::new(3, |_| {}, 0);
    cluster.cut.extend([(0, 1), (0, 2)]);
    let write = cluster.submit(0, "k", set("v"), Options::default());
    let read = cluster.submit(0, "k", Operation::Get, Options::default());
    let now = cluster.now;
    cluster.nodes[0].close(now);
    cluster.run();
    assert_eq!(cluster.replies[&write].outcome, Outcome::Maybe);
    assert_eq!(cluster.replies[&read].outcome, Outcome::Timeout);
    assert_eq!(cluster.nodes[0].in_flight(), 0);
    assert_eq!(cluster.nodes[0].deadline(), Instant::NEVER);
}
