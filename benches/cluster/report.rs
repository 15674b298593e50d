//! From samples to the table: medians over the repetitions, ratios within each of them.

use std::fmt::Write;
use std::fs;
use std::process::Command;

/// What one run of one row gave.
#[derive(Clone, Copy, Default)]
pub struct Sample {
    pub per_second: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    /// Processor time of all the system's processes, per operation.
    pub cpu_us: f64,
    /// Share of the machine that processes outside of this bench took.
    pub others: f64,
}

/// One operation at one depth on one system, a sample for each repetition.
pub struct Row {
    verb: &'static str,
    pipeline: usize,
    system: &'static str,
    pub samples: Vec<Sample>,
}

impl Row {
    pub fn new(verb: &'static str, pipeline: usize, system: &'static str) -> Row {
        Row { verb, pipeline, system, samples: Vec::new() }
    }

    fn median(&self, field: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(field).collect())
    }

    /// Throughput against the toy's in the same repetition: the median of the ratios.
    fn of_the_toy(&self, rows: &[Row]) -> Option<f64> {
        let toy = rows.iter().find(|row| {
            row.system == "quorum toy" && (row.verb, row.pipeline) == (self.verb, self.pipeline)
        })?;
        let pairs = self.samples.iter().zip(&toy.samples);
        Some(median(pairs.map(|(own, toy)| own.per_second / toy.per_second).collect()))
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => f64::NAN,
        length if length % 2 == 1 => values[middle],
        _ => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// The table, in Markdown.
pub fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| operation | pipeline | system | ops/s (least–most) | of the toy | p50 ms | p99 ms | CPU µs/op | others |\n\
         |---|---|---|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let least = row.samples.iter().map(|sample| sample.per_second).fold(f64::INFINITY, f64::min);
        let most = row.samples.iter().map(|sample| sample.per_second).fold(0.0, f64::max);
        let operation = if row.system.contains("replicas") { "SET+WAIT 1" } else { row.verb };
        let ratio = row.of_the_toy(rows).map_or("–".to_owned(), |ratio| format!("{ratio:.2}"));
        writeln!(
            text,
            "| {operation} | {} | {} | {:.0} k ({:.0}–{:.0}) | {ratio} | {:.2} | {:.2} | {:.1} | {:.0} % |",
            row.pipeline,
            row.system,
            row.median(|sample| sample.per_second) / 1e3,
            least / 1e3,
            most / 1e3,
            row.median(|sample| sample.p50_ms),
            row.median(|sample| sample.p99_ms),
            row.median(|sample| sample.cpu_us),
            row.median(|sample| sample.others) * 100.0,
        )
        .expect("a string takes all");
    }
    text
}

/// What it ran on.
pub fn machine() -> String {
    let information = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = information.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("");
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let redis = Command::new("redis-server").arg("--version").output();
    let redis = redis.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    let redis =
        redis.split_whitespace().find_map(|word| word.strip_prefix("v=")).unwrap_or("of no known version");
    format!(
        "{}, {processors} CPUs, Linux {}; Redis {redis}. 50 connections, 100 byte values; load and servers share the machine.",
        model.trim_start_matches([' ', '\t', ':']).trim(),
        kernel.trim(),
    )
}
