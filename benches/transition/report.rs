//! From samples to the table: what of the load fell into which part, and medians of the ratios.

use std::fmt::Write;
use std::fs;
use std::time::{Duration, Instant};

use crate::load::{Sample, Seen};

/// A stretch of time, and the processor time that the members took in it.
pub struct Part {
    pub began: Instant,
    pub ended: Instant,
    pub cpu: Duration,
}

/// A quiet part, the transition after it, and the time until old copies were gone.
pub struct Pair {
    pub weight: &'static str,
    pub quiet: Part,
    pub moving: Part,
    pub dropping: Part,
    pub planned: u64,
    pub moved: u64,
}

/// What came of a part.
pub struct Figures {
    pub seconds: f64,
    pub p50: f64,
    pub p99: f64,
    pub p999: f64,
    /// Processor time of all members, in microseconds an operation.
    pub cpu: f64,
}

/// What of the load fell into a part.
pub fn figures(part: &Part, seen: &[Seen]) -> Figures {
    let within = |sample: &&Sample| sample.meant >= part.began && sample.meant < part.ended;
    let samples = seen.iter().flat_map(|seen| &seen.samples).filter(within);
    let mut latencies: Vec<f64> = samples.map(|sample| sample.latency.as_secs_f64() * 1e3).collect();
    latencies.sort_unstable_by(f64::total_cmp);
    let last = latencies.len().saturating_sub(1);
    let at = |share: f64| latencies.get((last as f64 * share) as usize).copied().unwrap_or(f64::NAN);
    Figures {
        seconds: (part.ended - part.began).as_secs_f64(),
        p50: at(0.5),
        p99: at(0.99),
        p999: at(0.999),
        cpu: part.cpu.as_secs_f64() * 1e6 / latencies.len() as f64,
    }
}

/// The middle one.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// The table, in Markdown.
pub fn table(pairs: &[Pair], seen: &[Seen]) -> String {
    let mut text = String::from(
        "| weight | part | s | p50 ms | p99 ms | p99.9 ms | p99 to quiet | CPU µs/op | MiB moved of planned |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    let mut all: [Vec<Figures>; 3] = Default::default();
    for pair in pairs {
        let parts = [&pair.quiet, &pair.moving, &pair.dropping].map(|part| figures(part, seen));
        let bytes = format!("{:.1} of {:.1}", mib(pair.moved), mib(pair.planned));
        for (part, (name, bytes)) in parts.iter().zip([("quiet", "–"), ("moving", &bytes), ("dropping", "–")])
        {
            row(&mut text, (pair.weight, name), part, part.p99 / parts[0].p99, bytes);
        }
        for (all, part) in all.iter_mut().zip(parts) {
            all.push(part);
        }
    }
    for (part, name) in all.iter().zip(["quiet", "moving", "dropping"]) {
        let of = |field: fn(&Figures) -> f64| median(part.iter().map(field).collect());
        let ratio = median(part.iter().zip(&all[0]).map(|(part, quiet)| part.p99 / quiet.p99).collect());
        let figures = Figures {
            seconds: of(|part| part.seconds),
            p50: of(|part| part.p50),
            p99: of(|part| part.p99),
            p999: of(|part| part.p999),
            cpu: of(|part| part.cpu),
        };
        row(&mut text, ("**median**", name), &figures, ratio, "");
    }
    text
}

fn row(text: &mut String, (weight, name): (&str, &str), figures: &Figures, ratio: f64, bytes: &str) {
    let Figures { seconds, p50, p99, p999, cpu } = figures;
    writeln!(
        text,
        "| {weight} | {name} | {seconds:.1} | {p50:.2} | {p99:.2} | {p999:.2} | {ratio:.2} | {cpu:.0} | {bytes} |"
    )
    .expect("a string takes all");
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

/// What it runs on, and how busy that is.
pub fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let processors = thread_count();
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split_whitespace().take(3).collect::<Vec<_>>().join(" ");
    format!("{}, {processors} CPUs, load average {load}", model.trim_start_matches([' ', '\t', ':']).trim())
}

fn thread_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
