//! What it costs to compare two copies and to make them equal: bytes on the wire, in one thread, without sockets or a
//! clock, by the real nodes and their messages.
//!
//! `cargo bench --bench exchange [-- KEYS [BYTES]]` (1,000,000 with values of 1,024 bytes). Of so many keys that both hold, some have a newer version on
//! one side. Beside what went over the wire, records apart, stands a model that knows only where the keys lie: which
//! nodes of a tree with fanout 16 and up to 128 keys a leaf differ, 8 bytes a sum, 16 bytes a key's digest, 8 bytes
//! for a key that is asked for, and 37 bytes a frame, with as many questions in one as go.
//!
//! The last line is a replica that was wiped and is filled again; there records are counted too, and the data is
//! their keys and objects.

use core::ops::ControlFlow;
use core::time::Duration;
use std::collections::BTreeSet;

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::io::{MemberId, Output};
use quorate::proto::keys::ClusterKeys;
use quorate::proto::merkle::{FANOUT, LEVEL_MAX, SPLIT_ABOVE, path};
use quorate::proto::message::{Acks, Envelope, Message, decode_frame, split_frame};
use quorate::proto::node::Node;
use quorate::proto::ring;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::proto::version::{Actor, Context, Dot, Epoch, Hlc, Object, Sibling};
use quorate::store::MemoryStore;

const PARTITIONS: u32 = 256;
/// Of a frame, before what its kind of message says.
const FRAME: u64 = 37;
/// Questions that one frame holds.
const QUESTIONS: u64 = 64;
/// Digests that one frame holds.
const DIGESTS: u64 = 256;

/// Two nodes, and what went between them.
struct Pair {
    nodes: Vec<Node<MemoryStore>>,
    ids: Vec<MemberId>,
    now: Now,
    cost: Cost,
}

/// What went over the wire.
#[derive(Clone, Copy, Debug, Default)]
struct Cost {
    frames: u64,
    /// Bytes without records, and those of records with their frames.
    compared: u64,
    records: u64,
}

fn config(at: usize) -> Config {
    let members: Vec<MemberSpec> =
        (0..2).map(|at| MemberSpec::new(&format!("n{at}"), &format!("host:{at}"))).collect();
    let mut config = Config::new(&format!("n{at}"));
    config.members = members;
    config.partitions = PARTITIONS;
    config.keyspaces[0].n = 2;
    config.exchange_interval = Some(Duration::from_secs(1));
    config.transfer_rate = 0;
    config.hint_bytes_max = Some(0);
    config
}

fn keys_of(config: &Config) -> ClusterKeys {
    ClusterKeys::derive(&config.cluster, &config.secret)
}

fn name(number: usize) -> Vec<u8> {
    format!("key {number}").into_bytes()
}

/// The version of a key with this counter, and a value of so many bytes.
fn object(counter: u64, length: usize) -> Vec<u8> {
    let value = vec![b'v'; length];
    let actor = Actor { generation: 1, epoch: Epoch { nonce: 1, number: 1 } };
    let (mut object, mut bytes) = (Object::default(), Vec::new());
    for counter in 1..=counter {
        let dot = Dot { actor, counter };
        let value = value.as_slice().into();
        let seen = Context::of(&object);
        object.write(
            &seen,
            Sibling { dot, hlc: Hlc(counter), tombstone: false, element: false, expires_ms: None, value },
        );
    }
    object.encode(&mut bytes);
    bytes
}

impl Pair {
    fn new((keys, length): (usize, usize), differs: &BTreeSet<usize>, is_wiped: bool) -> Pair {
        let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
        let node = |at: usize| {
            let mut random = Rng::new(at as u64 + 1);
            let store = MemoryStore::new(PARTITIONS, &mut || random.next_u64());
            let hints = MemoryStore::new(256, &mut || random.next_u64());
            Node::new(config(at), store, hints, at as u64, now).expect("the settings are right")
        };
        let nodes: Vec<_> = (0..2).map(node).collect();
        let ids = nodes.iter().map(Node::id).collect();
        let mut pair = Pair { nodes, ids, now, cost: Cost::default() };
        for (one, other) in [(0, 1), (1, 0)] {
            let id = pair.ids[other];
            pair.nodes[one].handle_peer_up(now, id);
        }
        pair.carry();
        let versions = [object(1, length), object(2, length)];
        for at in 0..if is_wiped { 1 } else { 2 } {
            for number in 0..keys {
                pair.store(at, &name(number), &versions[usize::from(at == 0 && differs.contains(&number))]);
            }
        }
        pair.carry();
        pair
    }

    /// Gives a node a record as its peer would.
    fn store(&mut self, at: usize, key: &[u8], object: &[u8]) {
        let node = &self.nodes[at];
        let (layout_version, cluster_id) = (node.layout().version() as u32, node.keys().cluster_id);
        let envelope = Envelope { layout_version, cluster_id, request_id: 0, reaps: 0 };
        let message = Message::Replicate { keyspace: 0, key, acks: Acks::default(), object };
        let mut frame = Vec::new();
        message.encode(&envelope, &mut frame);
        let from = self.ids[1 - at];
        self.nodes[at].handle_frames(self.now, from, &frame).expect("it is well formed");
    }

    /// Carries everything until nothing is left to carry.
    fn carry(&mut self) {
        loop {
            let mut wire = Vec::new();
            for at in 0..2 {
                while let Some(output) = self.nodes[at].poll_output(self.now) {
                    match output {
                        Output::Send { frames, .. } => wire.push((at, frames)),
                        Output::Sync(need) => {
                            self.nodes[at].store_mut().flush(need);
                            self.nodes[at].handle_synced(self.now);
                        }
                        _ => {}
                    }
                }
            }
            if wire.is_empty() {
                return;
            }
            for (from, frames) in wire {
                self.count(&frames);
                let id = self.ids[from];
                self.nodes[1 - from].handle_frames(self.now, id, &frames).expect("a node of ours said it");
            }
        }
    }

    fn count(&mut self, mut frames: &[u8]) {
        while !frames.is_empty() {
            let (frame, rest) = split_frame(frames).expect("a whole frame");
            let bytes = (frames.len() - rest.len()) as u64;
            frames = rest;
            let (_, message) = decode_frame(frame).expect("a node of ours said it");
            self.cost.frames += 1;
            let of_records = match message {
                Message::Compared(compared) => compared.records.len() as u64,
                Message::Replicate { .. } | Message::Acknowledge(_) => bytes,
                _ => 0,
            };
            self.cost.records += of_records;
            self.cost.compared += bytes - of_records;
        }
    }

    fn are_equal(&self) -> bool {
        let roots = |at: usize| self.nodes[at].store().trees().roots();
        roots(0) == roots(1)
    }

    /// Lets time pass until both are equal, and takes the bytes of the exchange that made them so. Those before it found
    /// that the records were too young to be compared; and the two nodes compare in turn, as they do where they
    /// were not started in the same moment.
    fn settle(&mut self) -> Cost {
        for step in 0..200 {
            self.now.mono = self.now.mono + Duration::from_millis(50);
            self.now.wall.0 += 50;
            for at in (0..2).filter(|&at| at == 0 || step > 10) {
                self.cost = Cost::default();
                if self.nodes[at].deadline() <= self.now.mono {
                    self.nodes[at].handle_timeout(self.now);
                }
                self.carry();
                if self.are_equal() {
                    return self.cost;
                }
            }
        }
        panic!("the copies do not become equal");
    }
}

/// What the model says that a comparison takes, without records.
fn model(positions: &[u128], differing: &[u128]) -> u64 {
    let frames = |questions: u64| 2 * FRAME * questions.div_ceil(QUESTIONS);
    // All, the groups of sixteen partitions, and the partitions.
    let partition = |position: u128| ring::partition(position, PARTITIONS);
    let partitions: BTreeSet<u16> = differing.iter().map(|&at| partition(at)).collect();
    let groups: BTreeSet<u16> = partitions.iter().map(|at| at / 16).collect();
    let sums = 8 * FANOUT as u64;
    let mut bytes = (9 + 1 + sums) + groups.len() as u64 * (3 + sums) + partitions.len() as u64 * (3 + 11);
    bytes += frames(1) + frames(groups.len() as u64) + frames(partitions.len() as u64);
    // Down the trees, level by level, to leaves.
    let mut nodes: BTreeSet<(u16, u32)> = partitions.iter().map(|&at| (at, 0)).collect();
    for level in 0..=LEVEL_MAX {
        let shift = 4 * (LEVEL_MAX - level);
        let prefix = |position: u128| (partition(position), path(position, PARTITIONS) >> shift);
        let (mut branches, mut below) = (0, BTreeSet::new());
        for &node in &nodes {
            let first = positions.partition_point(|&at| prefix(at) < node);
            let keys = positions[first..].iter().take_while(|&&at| prefix(at) == node).count() as u64;
            if keys > u64::from(SPLIT_ABOVE) && level < LEVEL_MAX {
                branches += 1;
                let inside = differing.iter().filter(|&&at| prefix(at) == node);
                below.extend(inside.map(|&at| (node.0, path(at, PARTITIONS) >> (shift - 4))));
            } else {
                let asked = differing.iter().filter(|&&at| prefix(at) == node).count() as u64;
                bytes += 16 * keys + 8 * asked + 2 * FRAME * keys.div_ceil(DIGESTS) + 48;
            }
        }
        bytes += branches * (8 + 1 + sums) + frames(branches);
        nodes = below;
    }
    bytes
}

fn main() {
    let mut numbers = std::env::args().filter_map(|argument| argument.parse().ok());
    let (keys, length) = (numbers.next().unwrap_or(1_000_000), numbers.next().unwrap_or(1024));
    let hash_key = keys_of(&config(0)).hash;
    let mut positions: Vec<u128> =
        (0..keys).map(|number| ring::position(&hash_key, 0, &name(number))).collect();
    let at_of = positions.clone();
    positions.sort_unstable();
    println!("{:>10} {:>8} {:>12} {:>12} {:>6} {:>8}", "keys", "differ", "bytes", "model", "ratio", "frames");
    for count in [1, 10, 1_000, 100_000].into_iter().filter(|&count| count <= keys / 10) {
        let mut rng = Rng::new(count as u64);
        let mut differs = BTreeSet::new();
        while differs.len() < count {
            differs.insert(rng.below(keys as u64) as usize);
        }
        let mut pair = Pair::new((keys, length), &differs, false);
        let cost = pair.settle();
        let mut differing: Vec<u128> = differs.iter().map(|&number| at_of[number]).collect();
        differing.sort_unstable();
        let (bytes, frames) = (cost.compared, cost.frames);
        let model = model(&positions, &differing);
        let ratio = bytes as f64 / model as f64;
        println!("{keys:>10} {count:>8} {bytes:>12} {model:>12} {ratio:>6.3} {frames:>8}");
    }
    let mut pair = Pair::new((keys, length), &BTreeSet::new(), true);
    let cost = pair.settle();
    let bytes = cost.compared + cost.records;
    let mut held = 0;
    for partition in 0..PARTITIONS as u16 {
        pair.nodes[0].store().scan(partition, 0, &mut |key, record| {
            held += (key.key.len() + record.object.len()) as u64;
            ControlFlow::Continue(())
        });
    }
    println!("wiped and refilled: {bytes} bytes for {held} that are held, {:.3}", bytes as f64 / held as f64);
}
