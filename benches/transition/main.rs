//! What a transition does to requests: six nodes under a load at a fixed rate, quiet and moving by turns.
//!
//! ```text
//!  quiet ── commit ── moving ── settled ── dropping ── quiet ── commit ── …
//!           weight 0 or 1, by turns         old copies go
//! ```
//!
//! Six processes run in every part; about a sixth of the data moves each time. The load never pauses; each
//! request belongs to the part in which it was meant to leave. Nothing is asserted about time: the bench fails
//! if a request failed or an acknowledged write is lost.

#[path = "../../tests/processes/client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod client;
mod load;
mod members;
mod process;
mod report;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use load::{Load, Seen, Shape};
use members::Members;
use report::{Pair, Part};

const HELP: &str = "\
cargo bench --bench transition -- [OPTIONS]
  --pairs N         pairs of a quiet and a moving part              [5]
  --seconds S       how long a quiet part lasts                     [10]
  --keys N          keys filled before, and drawn from              [200000]
  --value-bytes N   bytes of a value                                [1000]
  --connections N   connections, spread over the members            [8]
  --share F         rate, as a share of what a closed loop reaches  [0.3]
  --rate R          rate in operations a second, instead of that
  --transfer-mib N  bytes a second that a member takes, in MiB      [4]
  --quorate PATH    the program to measure                          [the one built beside this bench]";

struct Options {
    pairs: usize,
    seconds: u64,
    keys: usize,
    value_bytes: usize,
    connections: usize,
    share: f64,
    rate: Option<f64>,
    transfer_mib: u32,
    quorate: PathBuf,
}

/// How long the closed loop runs that the rate is a share of, and a load before it is measured.
const WARMING: Duration = Duration::from_secs(3);

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // `cargo test --benches` runs this program too, and has no use for a bench.
        _ if !words.contains(&"--bench") => println!("run by `cargo bench --bench transition`"),
        _ if words.contains(&"--help") => println!("{HELP}"),
        _ => match options(&words) {
            Ok(options) if bench(&options) => {}
            Ok(_) => std::process::exit(1),
            Err(problem) => {
                eprintln!("{problem}\n{HELP}");
                std::process::exit(64);
            }
        },
    }
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        pairs: 5,
        seconds: 10,
        keys: 200_000,
        value_bytes: 1_000,
        connections: 8,
        share: 0.3,
        rate: None,
        transfer_mib: 4,
        quorate: option_env!("CARGO_BIN_EXE_quorate").unwrap_or("target/release/quorate").into(),
    };
    let mut words = words.iter().filter(|word| **word != "--bench");
    while let Some(&word) = words.next() {
        let value = words.next().ok_or(format!("{word} has no value"))?;
        let wrong = |_| format!("{word} {value} is no number");
        match word {
            "--pairs" => options.pairs = value.parse().map_err(wrong)?,
            "--seconds" => options.seconds = value.parse().map_err(wrong)?,
            "--keys" => options.keys = value.parse().map_err(wrong)?,
            "--value-bytes" => options.value_bytes = value.parse().map_err(wrong)?,
            "--connections" => options.connections = value.parse().map_err(wrong)?,
            "--share" => options.share = value.parse().map_err(|_| format!("{value} is no share"))?,
            "--rate" => options.rate = Some(value.parse().map_err(|_| format!("{value} is no rate"))?),
            "--transfer-mib" => options.transfer_mib = value.parse().map_err(wrong)?,
            "--quorate" => options.quorate = value.into(),
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(options)
}

/// Runs it all; false if a request failed or a write is lost.
fn bench(options: &Options) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let flags = ["--drop-after", "1", "--transfer-mib", &options.transfer_mib.to_string()].map(str::to_owned);
    let mut members = Members::start(&options.quorate, folder.path(), &flags);
    let nodes: Vec<_> = (0..members::NAMES.len()).map(|at| members.client(at)).collect();
    let Options { connections, keys, value_bytes, .. } = *options;
    let closed = Shape { connections, keys, value_bytes, rate: None };
    let seen = load::fill(closed, &nodes);
    // What joining has moved is dropped by now; the fill is on disk.
    thread::sleep(WARMING);
    let (seen, reached) = calibrate(closed, &nodes, seen);
    let rate = options.rate.unwrap_or(reached * options.share);
    println!("{}", report::machine());
    println!(
        "six members, {keys} keys of {value_bytes} bytes, N = 3; {} MiB/s a member at most; {connections} connections, \
         {rate:.0} operations a second, half SET, half GET ({:.0} % of {reached:.0} of the closed loop)\n",
        options.transfer_mib,
        rate / reached * 100.0,
    );
    let load = Load::start(Shape { rate: Some(rate), ..closed }, &nodes, seen);
    thread::sleep(WARMING);
    let quiet_time = Duration::from_secs(options.seconds);
    let pairs: Vec<Pair> = (0..options.pairs)
        .map(|at| measure(&mut members, quiet_time, if at % 2 == 0 { "0" } else { "1" }))
        .collect();
    let seen = load.stop();
    println!("{}", report::table(&pairs, &seen));
    load::print_problems(closed, nodes[1], &seen)
}

/// What a closed loop reaches.
fn calibrate(shape: Shape, nodes: &[std::net::SocketAddr], seen: Vec<Seen>) -> (Vec<Seen>, f64) {
    let began = Instant::now();
    let load = Load::start(shape, nodes, seen);
    thread::sleep(WARMING);
    let seen = load.stop();
    let count: usize = seen.iter().map(|seen| seen.samples.len()).sum();
    (seen, count as f64 / began.elapsed().as_secs_f64())
}

fn measure(members: &mut Members, quiet_time: Duration, weight: &'static str) -> Pair {
    let quiet = part(members, |members| members.watch(Some(Instant::now() + quiet_time)));
    let before = members.counted();
    let mut planned = 0;
    let moving = part(members, |members| {
        planned = members.commit_weight(weight);
        members.watch(None);
    });
    let moved = members.counted().bytes_taken - before.bytes_taken;
    let dropping = part(members, |members| members.await_dropped(before));
    Pair { weight, quiet, moving, dropping, planned, moved }
}

fn part(members: &mut Members, act: impl FnOnce(&mut Members)) -> Part {
    let (began, cpu) = (Instant::now(), members.cpu());
    act(members);
    Part { began, ended: Instant::now(), cpu: members.cpu() - cpu }
}
