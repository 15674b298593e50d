//! What the core itself costs: three nodes in one thread, frames handed over by hand, records in memory.
//!
//! `cargo bench --bench core`. Prints nanoseconds of one thread per operation, all three nodes together.

use std::time::Instant as Clock;

use quorate::proto::config::{Config, MemberSpec};
use quorate::proto::io::{Blind, MemberId, Operation, Options, Output, Request, RequestId, View};
use quorate::proto::node::Node;
use quorate::proto::rng::Rng;
use quorate::proto::store::Store;
use quorate::proto::time::{Instant, Now, WallTime};
use quorate::store::MemoryStore;

const KEYS: u64 = 100_000;
const BATCH: u64 = 64;

struct Cluster {
    nodes: Vec<Node<MemoryStore>>,
    ids: Vec<MemberId>,
    now: Now,
    wire: Vec<(usize, usize, Vec<u8>)>,
    replies: u64,
}

impl Cluster {
    fn new(count: usize) -> Cluster {
        let members: Vec<_> =
            (0..count).map(|at| MemberSpec::new(&format!("n{at}"), &format!("host:{at}"))).collect();
        let now = Now { mono: Instant::from_nanos(1), wall: WallTime(1_000_000) };
        let mut random = Rng::new(1);
        let nodes: Vec<_> = (0..count)
            .map(|at| {
                let mut config = Config::new(&format!("n{at}"));
                config.members.clone_from(&members);
                let store = MemoryStore::new(config.partitions, &mut || random.next_u64());
                let hints = MemoryStore::new(config.partitions, &mut || random.next_u64());
                Node::new(config, store, hints, at as u64, now).expect("a good config")
            })
            .collect();
        let ids = nodes.iter().map(Node::id).collect();
        let mut cluster = Cluster { nodes, ids, now, wire: vec![], replies: 0 };
        for one in 0..count {
            for other in (0..count).filter(|&other| other != one) {
                let id = cluster.ids[other];
                cluster.nodes[one].handle_peer_up(now, id);
            }
        }
        cluster.run();
        cluster
    }

    fn run(&mut self) {
        loop {
            for at in 0..self.nodes.len() {
                while let Some(output) = self.nodes[at].poll_output(self.now) {
                    match output {
                        Output::Reply { .. } => self.replies += 1,
                        Output::Sync(need) => {
                            self.nodes[at].store_mut().flush(need);
                            self.nodes[at].handle_synced(self.now);
                        }
                        Output::Send { to, frames } => {
                            let to = self.ids.iter().position(|&id| id == to).expect("a member");
                            self.wire.push((at, to, frames));
                        }
                        Output::SyncHints(_) | Output::Probed { .. } | Output::Met(_) => {}
                    }
                }
            }
            let wire = std::mem::take(&mut self.wire);
            if wire.is_empty() {
                return;
            }
            for (from, to, frames) in wire {
                self.nodes[to].handle_frames(self.now, self.ids[from], &frames).expect("our own frames");
                self.nodes[from].recycle(frames);
            }
        }
    }

    fn measure(&mut self, name: &str, operations: u64, operation: &Operation<'_>) {
        let mut rng = Rng::new(7);
        let options = Options { view: View::Latest, ..Options::default() };
        let begun = Clock::now();
        for _ in 0..operations / BATCH {
            self.now.mono = self.now.mono + std::time::Duration::from_micros(100);
            for _ in 0..BATCH {
                let key = format!("key:{:012}", rng.below(KEYS));
                let request =
                    Request { keyspace: 0, key: key.as_bytes(), operation: operation.clone(), options };
                self.nodes[0].handle_request(self.now, RequestId(1), &request);
            }
            self.run();
        }
        let nanos = begun.elapsed().as_nanos() as f64 / operations as f64;
        println!("{name:24} {nanos:8.0} ns");
    }
}

fn main() {
    let value = [b'x'; 100];
    let set = Operation::Put { value: &value, context: None, blind: Blind::Supersede, expires_ms: None };
    for count in [1, 3] {
        let mut cluster = Cluster::new(count);
        for (name, operation) in [("set, new keys", &set), ("set", &set), ("get", &Operation::Get)] {
            cluster.measure(&format!("{count} nodes, {name}"), 500_000, operation);
        }
        assert_eq!(cluster.replies, 3 * (500_000 / BATCH) * BATCH, "every request was answered");
    }
}
