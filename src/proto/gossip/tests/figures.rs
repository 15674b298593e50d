//! The model's figures for 10 and 100 nodes; `cargo bench --bench membership` prints them up to 1,000.

use super::net::{Net, Setup};
use super::{Duration, Verdict};

const SECOND: Duration = Duration::from_secs(1);

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn bytes_and_times_are_those_of_the_model() {
    for (nodes, bound, trials) in [(10, 8, 9), (100, 12, 3)] {
        let mut net = Net::new(Setup::new(nodes, 1));
        net.run(20 * SECOND);
        net.bytes.fill(0);
        net.run(30 * SECOND);
        let bytes = net.bytes_per_second(30 * SECOND);
        assert!(bytes <= 300.0, "{nodes} nodes: {bytes} B/s");
        let mut times = Vec::new();
        for trial in 0..trials {
            let declared = net.time_to_declare(trial, 2 * bound * SECOND);
            assert_eq!(declared.len(), nodes - 1, "{nodes} nodes, trial {trial}");
            times.push(*declared.iter().max().expect("somebody is left"));
            net.restart(trial);
            net.run(20 * SECOND);
        }
        let typical = median(times.clone());
        assert!(typical <= bound * SECOND, "{nodes} nodes: declared by all after {times:?}");
    }
}

#[test]
fn false_suspicions_are_as_rare_as_the_model_says() {
    // Per node and hour, without streams: (datagrams lost of 1,000, model, allowed).
    for (loss, allowed) in [(0, 0.0..=0.0), (10, 0.0..=0.5), (50, 0.5..=6.0), (100, 10.0..=60.0)] {
        let mut net = Net::new(Setup::new(20, 2));
        net.streams = false;
        net.loss_per_mille = loss;
        net.run(900 * SECOND);
        let per_hour = net.probes_failed() as f64 / 20.0 * 4.0;
        assert!(allowed.contains(&per_hour), "{loss} of 1,000 lost: {per_hour} a node and hour");
    }
}

#[test]
fn news_reach_all_within_the_periods_of_the_model() {
    for (nodes, periods) in [(10, 3), (100, 4)] {
        let mut times = Vec::new();
        for seed in 0..5 {
            let mut net = Net::new(Setup::new(nodes, seed));
            net.run(10 * SECOND);
            net.loss_per_mille = 10;
            let now = net.time();
            net.nodes[0].leave(now);
            net.drain(0);
            let end = net.now + 60 * SECOND;
            assert!(net.run_until(end, |net| net.all_think(0, Verdict::Left)), "{nodes} nodes");
            times.push(net.now.since(now.mono));
        }
        assert!(median(times.clone()) <= periods * SECOND, "{nodes} nodes: {times:?}");
    }
}
