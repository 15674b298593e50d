//! How evenly each way of placing partitions loads 30 machines, as in Fig. 8 of the Dynamo paper, and how
//! long the balanced plan takes.
//!
//! `cargo bench --bench placement [-- FILE.svg]`. Prints a table and times, and draws the figure into the
//! file, `target/placement.svg` unless told. The table is the same on every machine; the times are not.

mod chart;
mod schemes;

use std::time::Instant;

use chart::{Chart, Series};
use schemes::{REPLICAS, efficiency};

/// As in the paper.
const MACHINES: usize = 30;
/// Random rings that each figure is the mean of.
const SEEDS: u64 = 25;
const TOKENS: [u32; 10] = [1, 4, 8, 16, 32, 64, 128, 256, 512, 1_000];
const PARTITIONS: [u32; 8] = [32, 64, 128, 256, 512, 1_024, 4_096, 8_192];
/// A token and its owner; an owner alone.
const TOKEN_BYTES: u32 = 10;
const OWNER_BYTES: u32 = 2;

/// Mean, least and most of a scheme's efficiency over all seeds.
fn over_seeds(loads: impl Fn(u64) -> Vec<u128>) -> (f64, f64, f64) {
    let all: Vec<f64> = (0..SEEDS).map(|seed| efficiency(&loads(seed))).collect();
    let least = all.iter().copied().fold(f64::INFINITY, f64::min);
    let most = all.iter().copied().fold(0.0, f64::max);
    (all.iter().sum::<f64>() / all.len() as f64, least, most)
}

/// Measures a scheme at several sizes and prints a row for each.
fn measure(
    name: &'static str,
    unit: char,
    sizes: &[u32],
    bytes: impl Fn(u32) -> u32,
    loads: impl Fn(u64, u32) -> Vec<u128>,
) -> Series {
    let mut points = Vec::new();
    for &size in sizes {
        let (mean, least, most) = over_seeds(|seed| loads(seed, size));
        println!("{name:24} {unit} {size:5} {:8} B   {mean:.3}  [{least:.3} to {most:.3}]", bytes(size));
        points.push((f64::from(bytes(size)), mean));
    }
    Series { name, points }
}

fn times() {
    println!("\n{:34} {:>10} {:>10} {:>8} {:>8}", "balanced plan", "first", "join", "moves", "bound");
    for (machines, partitions, zones) in
        [(30, 1_024, 3), (100, 4_096, 3), (1_000, 65_536, 1), (1_000, 65_536, 10)]
    {
        let mut fleet = schemes::fleet(1, machines + 1, zones);
        let newcomer = fleet.pop().expect("one more was made");
        let begun = Instant::now();
        let old = schemes::plan(&fleet, partitions, None);
        let first = begun.elapsed();
        fleet.push(newcomer);
        let begun = Instant::now();
        let new = schemes::plan(&fleet, partitions, Some(&old));
        let join = begun.elapsed();
        println!(
            "{:34} {:8.1}ms {:8.1}ms {:8} {:8}",
            format!("S {machines}, Q {partitions}, zones {zones}"),
            first.as_secs_f64() * 1e3,
            join.as_secs_f64() * 1e3,
            new.moves,
            new.moves_min,
        );
    }
}

fn main() {
    let target = concat!(env!("CARGO_MANIFEST_DIR"), "/target/placement.svg");
    let file = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let file = file.unwrap_or_else(|| target.into());

    println!("load efficiency (mean / largest load), S {MACHINES}, N {REPLICAS}, {SEEDS} seeds");
    let by_tokens = |tokens: u32| MACHINES as u32 * tokens * TOKEN_BYTES;
    let compiled = |tokens: u32| (MACHINES as u32 * tokens).next_power_of_two();
    let series = vec![
        measure("1: tokens, ranges", 'T', &TOKENS, by_tokens, |seed, tokens| {
            schemes::strategy_1(seed, MACHINES, tokens)
        }),
        measure("2: tokens, partitions", 'T', &TOKENS, by_tokens, |seed, tokens| {
            schemes::strategy_2(seed, MACHINES, tokens, compiled(tokens))
        }),
        measure(
            "3: Q/S tokens, walk",
            'Q',
            &PARTITIONS,
            |partitions| partitions * OWNER_BYTES,
            |seed, partitions| schemes::strategy_3(seed, MACHINES, partitions),
        ),
        measure(
            "balanced",
            'Q',
            &PARTITIONS,
            |partitions| partitions * REPLICAS as u32 * OWNER_BYTES,
            |seed, partitions| schemes::balanced(seed, MACHINES, partitions),
        ),
    ];
    let chart = Chart {
        title: format!("Load efficiency at {MACHINES} machines, N = {REPLICAS} (Dynamo, Fig. 8)"),
        x: "bytes of placement table at each node",
        y: "mean load / largest load",
        series,
    };
    let drawn = std::path::Path::new(&file);
    drawn.parent().map(std::fs::create_dir_all).transpose().expect("a folder for the figure");
    std::fs::write(drawn, chart.svg()).expect("a file that can be written");
    println!("drawn: {file}");
    times();
}
