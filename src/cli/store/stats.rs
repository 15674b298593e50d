//! `quorate store stats`: how much lies in a directory, and where.

use std::path::PathBuf;

use serde_json::json;

use quorate::store::inspect::Figures;

use super::{KeyArguments, bytes_text, inspect};
use crate::cli::client::print_line;
use crate::cli::exit::Failure;
use crate::cli::progress::Reading;

/// `quorate store stats`.
#[derive(clap::Args)]
pub struct StatsArguments {
    /// The data directory.
    directory: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// Show each partition that holds something.
    #[arg(long)]
    partitions: bool,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Shows the figures of a directory.
///
/// # Errors
/// It cannot be read.
pub fn run(arguments: &StatsArguments) -> Result<(), Failure> {
    let inspector = inspect(&arguments.directory)?;
    let hash_key = arguments.key.keys(&arguments.directory)?.hash;
    let mut reading = Reading::new(None);
    let figures = inspector.figures(&hash_key, &mut |progress| reading.tell(progress))?;
    if arguments.json {
        return print_line(json_of(&figures, arguments.partitions).to_string().as_bytes());
    }
    let line = |name: &str, text: String| print_line(format!("{name:<12} {text}").as_bytes());
    line("keys", format!("{}, tombstones included", figures.keys))?;
    line("live", bytes_text(figures.live_bytes))?;
    line("disk", format!("{} in {} segments", bytes_text(figures.disk_bytes), figures.segments.len()))?;
    line("live share", percent(figures.live_bytes, figures.disk_bytes))?;
    print_line(b"\nsegment           kind         records       live  share")?;
    for (number, kind, end, live) in &figures.segments {
        let (name, end_text, live_text) = (kind.name(), bytes_text(*end), bytes_text(*live));
        let share = percent(*live, *end);
        print_line(
            format!("{number:016x}  {name:<9} {end_text:>10} {live_text:>10}  {share:>5}").as_bytes(),
        )?;
    }
    if arguments.partitions {
        print_line(b"\npartition       keys      bytes  expiring")?;
        for found in &figures.partitions {
            let (stats, bytes) = (found.stats, bytes_text(found.stats.bytes));
            let lost = if found.is_incomplete { "  incomplete" } else { "" };
            let (partition, keys, expiring) = (found.partition, stats.keys, stats.expiring);
            print_line(format!("{partition:>9} {keys:>10} {bytes:>10} {expiring:>9}{lost}").as_bytes())?;
        }
    }
    Ok(())
}

fn percent(part: u64, whole: u64) -> String {
    match whole {
        0 => "-".to_owned(),
        _ => format!("{} %", part.saturating_mul(100) / whole),
    }
}

fn json_of(figures: &Figures, with_partitions: bool) -> serde_json::Value {
    let segments = figures.segments.iter().map(|(number, kind, end, live)| {
        let number = format!("{number:016x}");
        json!({ "number": number, "kind": kind.name(), "end": end, "live_bytes": live })
    });
    let mut object = json!({
        "keys": figures.keys,
        "live_bytes": figures.live_bytes,
        "disk_bytes": figures.disk_bytes,
        "segments": segments.collect::<Vec<_>>(),
    });
    if with_partitions {
        let partitions = figures.partitions.iter().map(|found| {
            json!({
                "partition": found.partition,
                "keys": found.stats.keys,
                "bytes": found.stats.bytes,
                "expiring": found.stats.expiring,
                "incomplete": found.is_incomplete,
            })
        });
        object["partitions"] = partitions.collect();
    }
    object
}
