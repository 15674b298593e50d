//! The store beside its peers and its limits, in one run: every ratio is against the same minute of the
//! same machine. `scripts/bench-store.sh` builds and runs it; `--help` tells its options.
//!
//! ```text
//!  peers     engines side by side     embedded, sync, restart, stall    ours, beside limits
//!  space     steady overwrite         reference                         the limits
//!  engine    what a peer must offer   engines/                          one file an engine
//!  part      a process a measurement  samples, latency, clock, report   figures, up to the table
//! ```
//!
//! Nothing is asserted about speed; a wrong answer of a store ends the run.

mod clock;
mod device;
mod embedded;
mod engine;
mod engines;
mod latency;
mod meter;
mod options;
mod part;
mod peers;
mod reference;
mod report;
mod restart;
mod samples;
mod space;
mod stall;
mod sync;
mod workload;

use options::{HELP, Options};
use part::Job;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["--part", ref rest @ ..] => Job::read(rest).expect("started by this program").carry_out(),
        ["--help"] => println!("{HELP}"),
        _ => match Options::read(&words) {
            Ok(options) => print(&options),
            Err(problem) => {
                eprintln!("{problem}\n{HELP}");
                std::process::exit(64);
            }
        },
    }
}

fn print(options: &Options) {
    println!("{}. Medians of {} (least–most).", report::machine(), options.reps);
    if meter::is_in_memory(&options.directory) {
        println!("\n**{} lies in memory: syncs cost nothing.**", options.directory.display());
    }
    for row in &options.only {
        eprintln!("{row}");
        match row.as_str() {
            "peers" => peers::print(options),
            "embedded" => embedded::print(options),
            "sync" => sync::print(options),
            "restart" => restart::print(options),
            "stall" => stall::print(options),
            _ => space::print(options),
        }
    }
}
