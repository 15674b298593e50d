//! What membership costs and how fast it is, in a simulated network in one thread: no sockets, no clock.
//!
//! `cargo bench --bench membership [-- NODES…]`. Prints, beside the model's figures, bytes a second and node
//! (IP and UDP included), the time until a dead node is declared down by all others, and the probes that fail
//! though their target lives, by loss. The same seed gives the same table on every machine.

use core::time::Duration;

use quorate::proto::gossip::Gossip;
use quorate::proto::gossip::config::{Config, Mode, Timing};
use quorate::proto::gossip::keyring::Keyring;
use quorate::proto::gossip::member::{Boot, Description, Incarnation, Known, Verdict};
use quorate::proto::gossip::output::{Alert, Change, Output};
use quorate::proto::gossip::refusal::Refusal;
use quorate::proto::io::MemberId;
use quorate::proto::keys::ClusterKeys;
use quorate::proto::rng::Rng;
use quorate::proto::time::{Instant, Now, WallTime};

#[path = "../src/proto/gossip/tests/net.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod net;

use net::{Net, Setup};

const SECOND: Duration = Duration::from_secs(1);
/// Loss in thousandths, and the model's false suspicions a node and hour.
const LOSSES: [(u64, f64); 4] = [(0, 0.0), (10, 0.004), (50, 2.24), (100, 27.8)];

/// One size of cluster and what is asked of it.
struct Size {
    nodes: usize,
    /// The model's bytes a second with digest and cells.
    model_bytes: u64,
    /// The model's mean time until a dead node is declared, in seconds.
    model_declared: u64,
    /// What the median may be, in seconds.
    bound: u64,
    deaths: usize,
    /// Simulated time for each loss.
    lossy: Duration,
}

const SIZES: [Size; 3] = [
    Size {
        nodes: 10,
        model_bytes: 219,
        model_declared: 6,
        bound: 8,
        deaths: 100,
        lossy: Duration::from_secs(7_200),
    },
    Size {
        nodes: 100,
        model_bytes: 219,
        model_declared: 10,
        bound: 12,
        deaths: 50,
        lossy: Duration::from_secs(1_200),
    },
    Size {
        nodes: 1_000,
        model_bytes: 219,
        model_declared: 14,
        bound: 16,
        deaths: 20,
        lossy: Duration::from_secs(120),
    },
];

fn main() {
    let asked: Vec<usize> = std::env::args().filter_map(|argument| argument.parse().ok()).collect();
    println!(
        "{:>6} {:>8} {:>7} | {:>7} {:>7} {:>7} {:>7} {:>7}",
        "nodes", "B/s", "model", "p50 s", "p99 s", "bound", "model", "missed"
    );
    for size in SIZES.iter().filter(|size| asked.is_empty() || asked.contains(&size.nodes)) {
        let mut net = Net::new(Setup::new(size.nodes, 1));
        net.run(20 * SECOND);
        net.bytes.fill(0);
        net.run(60 * SECOND);
        let bytes = net.bytes_per_second(60 * SECOND);
        let (times, missed) = deaths(&mut net, size.deaths);
        let (p50, p99) = (share(&times, 50), share(&times, 99));
        println!(
            "{:>6} {bytes:>8.0} {:>7} | {:>7.1} {:>7.1} {:>7} {:>7} {missed:>7}",
            size.nodes,
            size.model_bytes,
            p50.as_secs_f64(),
            p99.as_secs_f64(),
            size.bound,
            size.model_declared,
        );
    }
    println!();
    println!(
        "{:>6} {:>6} {:>7} | {:>9} {:>9} {:>9} {:>7} {:>8}",
        "nodes", "loss", "streams", "false/h", "model", "suspect/h", "down", "B/s"
    );
    for size in SIZES.iter().filter(|size| asked.is_empty() || asked.contains(&size.nodes)) {
        for streams in [false, true] {
            for (loss, model) in LOSSES {
                lossy(size, loss, model, streams);
            }
        }
    }
}

/// Kills one node after another, and says after what time the last of the others knew; and how many never did.
fn deaths(net: &mut Net, count: usize) -> (Vec<Duration>, usize) {
    let (mut times, mut missed) = (Vec::new(), 0);
    for death in 0..count {
        let of = death % net.nodes.len();
        let declared = net.time_to_declare(of, 60 * SECOND);
        missed += net.nodes.len() - 1 - declared.len();
        times.extend(declared.iter().max());
        net.restart(of);
        let end = net.now + 60 * SECOND;
        net.run_until(end, |net| net.all_think(of, Verdict::Alive));
        net.run(2 * SECOND);
    }
    times.sort_unstable();
    (times, missed)
}

fn share(times: &[Duration], percent: usize) -> Duration {
    times[((times.len() * percent).div_ceil(100)).clamp(1, times.len()) - 1]
}

fn lossy(size: &Size, loss: u64, model: f64, streams: bool) {
    let mut net = Net::new(Setup::new(size.nodes, 2));
    net.run(20 * SECOND);
    net.loss_per_mille = loss;
    net.streams = streams;
    net.bytes.fill(0);
    let (since, failed, seen) = (net.now, net.probes_failed(), net.changes.len());
    net.run(size.lossy);
    let hours = size.nodes as f64 * size.lossy.as_secs_f64() / 3_600.0;
    let suspect = |(_, _, change): &&(Instant, usize, Change)| change.to == Verdict::Suspect;
    let suspects = net.changes[seen..].iter().filter(suspect).count() as f64 / size.nodes as f64;
    println!(
        "{:>6} {:>5}% {:>7} | {:>9.3} {:>9.3} {:>9.3} {:>7} {:>8.0}",
        size.nodes,
        loss / 10,
        if streams { "yes" } else { "no" },
        (net.probes_failed() - failed) as f64 / hours,
        model,
        suspects / hours,
        net.declared_down(since),
        net.bytes_per_second(size.lossy),
    );
}
