//! What requests feel of a node that is back: three nodes under a load at a fixed rate, of which one is killed, missed for
//! a while and started again, while the load goes on at the other two.
//!
//! ```text
//!  quiet ── kill ── away ── start ── returning ── quiet ── …
//!                                    until it has what it missed
//! ```
//!
//! Each round is measured as nodes are by default, and then with no hints kept. Nothing is asserted about time: the bench
//! fails if a request failed or an acknowledged write is lost.

#[path = "../../tests/processes/client.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod client;
#[path = "../transition/load.rs"]
mod load;
mod members;
#[path = "../transition/process.rs"]
mod process;
#[path = "../transition/report.rs"]
#[allow(dead_code, reason = "the other bench has a table of its own")]
mod report;

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, Instant};

use load::{Load, Seen, Shape};
use members::{Members, Moved};
use report::{Part, figures, median};

const HELP: &str = "\
cargo bench --bench returning -- [OPTIONS]
  --rounds N        rounds of each way                              [3]
  --seconds S       how long a quiet part lasts                     [10]
  --away S          how long the node is away                       [20]
  --keys N          keys filled before, and drawn from              [100000]
  --value-bytes N   bytes of a value                                [1000]
  --rate R          operations a second, half SET, half GET         [3000]
  --quorate PATH    the program to measure                          [the one built beside this bench]";

struct Options {
    rounds: usize,
    seconds: u64,
    away: u64,
    keys: usize,
    value_bytes: usize,
    rate: f64,
    quorate: PathBuf,
}

/// One time that the node was away.
struct Round {
    quiet: Part,
    returning: Part,
    moved: Moved,
}

/// Before anything is measured, and for copies to be compared by.
const WARMING: Duration = Duration::from_secs(5);
const CONNECTIONS: usize = 8;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        // `cargo test --benches` runs this program too, and has no use for a bench.
        _ if !words.contains(&"--bench") => println!("run by `cargo bench --bench returning`"),
        _ if words.contains(&"--help") => println!("{HELP}"),
        _ => match options(&words) {
            Ok(options) => {
                println!("{}", report::machine());
                let are_good = [("default", vec![]), ("no hints", vec!["--hints-mib", "0"])]
                    .map(|(way, flags)| bench(&options, way, &flags));
                std::process::exit(i32::from(are_good.contains(&false)));
            }
            Err(problem) => {
                eprintln!("{problem}\n{HELP}");
                std::process::exit(64);
            }
        },
    }
}

fn options(words: &[&str]) -> Result<Options, String> {
    let mut options = Options {
        rounds: 3,
        seconds: 10,
        away: 20,
        keys: 100_000,
        value_bytes: 1_000,
        rate: 3_000.0,
        quorate: option_env!("CARGO_BIN_EXE_quorate").unwrap_or("target/release/quorate").into(),
    };
    let mut words = words.iter().filter(|word| **word != "--bench");
    while let Some(&word) = words.next() {
        let value = words.next().ok_or(format!("{word} has no value"))?;
        let wrong = |_| format!("{word} {value} is no number");
        match word {
            "--rounds" => options.rounds = value.parse().map_err(wrong)?,
            "--seconds" => options.seconds = value.parse().map_err(wrong)?,
            "--away" => options.away = value.parse().map_err(wrong)?,
            "--keys" => options.keys = value.parse().map_err(wrong)?,
            "--value-bytes" => options.value_bytes = value.parse().map_err(wrong)?,
            "--rate" => options.rate = value.parse().map_err(|_| format!("{value} is no rate"))?,
            "--quorate" => options.quorate = value.into(),
            _ => return Err(format!("{word} is no option")),
        }
    }
    Ok(options)
}

/// Runs one way; false if a request failed or a write is lost.
fn bench(options: &Options, way: &str, flags: &[&str]) -> bool {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut members = Members::start(&options.quorate, folder.path(), flags);
    let nodes = members.that_stay();
    let Options { keys, value_bytes, rate, .. } = *options;
    let shape = Shape { connections: CONNECTIONS, keys, value_bytes, rate: Some(rate) };
    println!(
        "\n{way}: three nodes, {keys} keys of {value_bytes} bytes, N = 3; {rate:.0} operations a second at two of them; \
         the third is away for {} s",
        options.away
    );
    let seen = load::fill(shape, &nodes);
    thread::sleep(WARMING);
    let load = Load::start(shape, &nodes, seen);
    thread::sleep(WARMING);
    let rounds: Vec<Round> = (0..options.rounds).map(|_| measure(&mut members, options)).collect();
    let seen = load.stop();
    print_table(&rounds, &seen);
    load::print_problems(shape, nodes[1], &seen)
}

fn measure(members: &mut Members, options: &Options) -> Round {
    let quiet = part(members, |members| {
        let until = Instant::now() + Duration::from_secs(options.seconds);
        while Instant::now() < until {
            members.moved();
            thread::sleep(members::PAUSE);
        }
    });
    members.kill_last();
    thread::sleep(Duration::from_secs(options.away));
    let before = members.moved();
    members.start_last();
    let returning = part(members, |members| members.await_returned(before));
    let moved = members.moved().since(before);
    // Until copies are compared again, which the next round rests on.
    thread::sleep(WARMING);
    Round { quiet, returning, moved }
}

fn part(members: &mut Members, act: impl FnOnce(&mut Members)) -> Part {
    let began = Instant::now();
    act(members);
    // A process that ended took its processor time along.
    Part { began, ended: Instant::now(), cpu: Duration::ZERO }
}

fn print_table(rounds: &[Round], seen: &[Seen]) {
    println!(
        "| part | s | p50 ms | p99 ms | p99.9 ms | p99 to quiet | hints | records caught up | exchanged |"
    );
    println!("|---|---|---|---|---|---|---|---|---|");
    let mut ratios = Vec::new();
    for round in rounds {
        let parts = [&round.quiet, &round.returning].map(|part| figures(part, seen));
        let Moved { hints, caught_up, exchanged, .. } = round.moved;
        ratios.push(parts[1].p99 / parts[0].p99);
        for (part, (name, moved)) in parts.iter().zip([
            ("quiet", "– | – | –".to_owned()),
            ("returning", format!("{hints} | {caught_up} | {exchanged}")),
        ]) {
            println!(
                "| {name} | {:.1} | {:.2} | {:.2} | {:.2} | {:.2} | {moved} |",
                part.seconds,
                part.p50,
                part.p99,
                part.p999,
                part.p99 / parts[0].p99
            );
        }
    }
    println!("median of p99 to quiet: {:.2}", median(ratios));
}
