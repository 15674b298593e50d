//! `quorate sim`: runs the simulator over one seed or many, and says what it found.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Instant;

use clap::Args;

use quorate::sim::{
    PROFILES, RangeOptions, RunOptions, RunReport, catch_panics, run_range, run_store, run_store_range,
};

use super::exit::Failure;

/// A property did not hold, or was never exercised.
const FAILED: u8 = 1;

/// What `quorate sim` takes.
#[derive(Args)]
pub struct SimArguments {
    /// Run one seed.
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    seed: Option<u64>,
    /// Run a range of seeds; B is not run.
    #[arg(long, value_name = "A..B", value_parser = parse_range)]
    seeds: Option<Range<u64>>,
    /// The mixture of faults.
    #[arg(long, default_value = "swarm", value_parser = clap::builder::PossibleValuesParser::new(PROFILES))]
    profile: String,
    /// One store alone against a map, in place of a cluster.
    #[arg(long, conflicts_with = "profile")]
    store: bool,
    /// Print everything that happened, not only the end of what led to a failure.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Run every seed twice and compare the traces.
    #[arg(long)]
    twice: bool,
    /// Threads; as many as there are CPUs by default.
    #[arg(long, value_name = "J")]
    jobs: Option<usize>,
    /// Go on after a failure, and fail at the end.
    #[arg(long)]
    keep_going: bool,
    /// Do not fail because a kind of fault, an outcome or a property was never exercised.
    #[arg(long)]
    partial: bool,
}

fn parse_range(text: &str) -> Result<Range<u64>, String> {
    let (from, to) = text.split_once("..").ok_or("a range is written A..B")?;
    let number = |text: &str| text.parse::<u64>().map_err(|error| format!("`{text}`: {error}"));
    let range = number(from)?..number(to)?;
    if range.is_empty() { Err("the range is empty".into()) } else { Ok(range) }
}

/// Runs the verb. Prints its report to stdout.
///
/// # Errors
/// Something did not hold, or was not exercised; said in one line, the details are printed.
pub fn run(arguments: &SimArguments) -> Result<(), Failure> {
    let result = match (arguments.seed, &arguments.seeds) {
        (Some(seed), _) if arguments.store && !arguments.twice => run_store_seed(seed, arguments),
        (Some(seed), _) if !arguments.twice => run_seed(seed, arguments),
        (Some(seed), _) => run_seeds(seed..seed + 1, arguments),
        (None, Some(seeds)) => run_seeds(seeds.clone(), arguments),
        (None, None) => run_seeds(0..100, arguments),
    };
    result.map_err(|message| Failure::new(FAILED, message))
}

fn run_seed(seed: u64, arguments: &SimArguments) -> Result<(), String> {
    catch_panics();
    let report =
        quorate::sim::run(&RunOptions { seed, profile: arguments.profile.clone(), trace: arguments.trace });
    if arguments.trace {
        print(&report.trace);
    }
    print(&report.counts.to_string());
    print(&format!(
        "seed {seed}: {} operations acknowledged, {} events, {} s simulated, trace {:016x}\n",
        report.acknowledged,
        report.events,
        report.simulated_ms / 1_000,
        report.trace_hash
    ));
    if let Some(why) = report.does_not_count() {
        print(&format!("seed {seed} does not count: {why}\n"));
    }
    match describe_failure(&report) {
        None => Ok(()),
        Some(failure) => {
            print(&failure);
            Err(format!("seed {seed} failed"))
        }
    }
}

fn run_store_seed(seed: u64, arguments: &SimArguments) -> Result<(), String> {
    catch_panics();
    let report = run_store(seed, arguments.trace);
    match report.failure() {
        None => {
            let trace = if arguments.trace { &*report.trace } else { "" };
            print(&format!("{trace}{}seed {seed}: trace {:016x}\n", report.counts, report.trace_hash));
            Ok(())
        }
        Some(failure) => {
            print(&failure);
            Err(format!("seed {seed} failed"))
        }
    }
}

fn run_store_seeds(options: &RangeOptions, arguments: &SimArguments) -> Result<(), String> {
    let started = Instant::now();
    let range = run_store_range(options);
    let seconds = started.elapsed().as_secs_f64();
    let mut text = range.counts.to_string();
    let rate = range.runs as f64 / seconds;
    let _ = writeln!(
        text,
        "{} runs of a store in {seconds:.0} s ({rate:.1} seeds a second); trace {:016x}",
        range.runs, range.hash
    );
    for seed in &range.not_repeated {
        let _ = writeln!(text, "seed {seed}: the second run differed");
    }
    range.failed.iter().take(3).filter_map(|report| report.failure()).for_each(|failure| text += &failure);
    print(&text);
    if !range.failed.is_empty() {
        let seeds: Vec<u64> = range.failed.iter().map(|report| report.seed).collect();
        return Err(format!("{} of {} seeds failed: {seeds:?}", seeds.len(), range.runs));
    }
    if !range.not_repeated.is_empty() {
        return Err(format!("{} seeds are not deterministic", range.not_repeated.len()));
    }
    let missing = range.counts.missing();
    if !missing.is_empty() && !arguments.partial {
        return Err(format!("never exercised: {}", missing.join(", ")));
    }
    Ok(())
}

fn run_seeds(seeds: Range<u64>, arguments: &SimArguments) -> Result<(), String> {
    let jobs = arguments.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, Into::into));
    let started = Instant::now();
    let options = RangeOptions {
        seeds: seeds.clone(),
        profile: arguments.profile.clone(),
        twice: arguments.twice,
        jobs,
        keep_going: arguments.keep_going,
    };
    if arguments.store {
        return run_store_seeds(&options, arguments);
    }
    let range = run_range(&options);
    let seconds = started.elapsed().as_secs_f64();
    let mut text = range.counts.to_string();
    let uncounted = range.not_counted.len();
    let _ = writeln!(
        text,
        "{} runs, {uncounted} do not count; {} operations acknowledged; {} h simulated in {seconds:.0} s \
         ({:.1} seeds a second); trace {:016x}",
        range.runs,
        range.acknowledged,
        range.simulated_ms / 3_600_000,
        range.runs as f64 / seconds,
        range.hash
    );
    for (seed, why) in range.not_counted.iter().take(5) {
        let _ = writeln!(text, "seed {seed} does not count: {why}");
    }
    for seed in &range.not_repeated {
        let _ = writeln!(text, "seed {seed}: the second run differed");
    }
    range.failed.iter().take(3).filter_map(describe_failure).for_each(|failure| text.push_str(&failure));
    print(&text);
    if !range.failed.is_empty() {
        let seeds: Vec<u64> = range.failed.iter().map(|report| report.seed).collect();
        return Err(format!("{} of {} seeds failed: {seeds:?}", seeds.len(), range.runs));
    }
    if !range.not_repeated.is_empty() {
        return Err(format!("{} seeds are not deterministic", range.not_repeated.len()));
    }
    let missing = match &*arguments.profile {
        "swarm" => range.counts.missing(),
        "rot" => range.counts.missing_of_rot(),
        "membership" => range.counts.missing_of_membership(),
        "sloppy" => range.counts.missing_of_sloppy(),
        "counters" => range.counts.missing_of_counters(),
        "reap" => range.counts.missing_of_reap(),
        "scans" => range.counts.missing_of_scans(),
        "feeds" => range.counts.missing_of_feeds(),
        "away" => range.counts.missing_of_away(),
        "cancels" => range.counts.missing_of_cancels(),
        "everything" => range.counts.missing_of_everything(),
        _ => Vec::new(),
    };
    if !missing.is_empty() && !arguments.partial {
        return Err(format!("never exercised: {}", missing.join(", ")));
    }
    Ok(())
}

fn describe_failure(report: &RunReport) -> Option<String> {
    let violation = report.violation.as_ref()?;
    let mut text = format!("\n{}", report.trace);
    let _ = writeln!(text, "FAILED seed {} property {}", report.seed, violation.property.name());
    let _ = writeln!(text, "  {}", violation.text);
    let _ = writeln!(text, "  replay: {}", report.command());
    Some(text)
}

/// Prints to stdout; a reader that went away ends the program early, which is no failure of a run.
fn print(text: &str) {
    use std::io::Write as _;
    let _ = std::io::stdout().write_all(text.as_bytes());
}
