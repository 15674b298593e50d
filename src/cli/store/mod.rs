//! `quorate store`: what an operator does with a data directory.
//!
//! ```text
//!  check        is it sound?               stats, dump   what lies in it?
//!  backup       of a running node, or of a directory that none has open
//!  restore      a data directory of a backup
//!  accept-loss  what is lost is absent from now on
//! ```
//!
//! Results go to stdout, warnings and progress to stderr. Nothing but `restore` and `accept-loss --yes`
//! changes a directory, and nothing at all one that a node has open.

mod backup;
mod check;
mod dump;
mod loss;
mod stats;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Subcommand;

use quorate::driver::{key_file, layout_file};
use quorate::proto::config::Config;
use quorate::proto::keys::ClusterKeys;
use quorate::store::FileDisk;
use quorate::store::inspect::Inspector;

use super::exit::Failure;

/// `quorate store`.
#[derive(clap::Args)]
pub struct StoreArguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Read every byte of a directory and say what does not hold; changes nothing.
    ///
    /// Exit code 0: sound (also what a killed process leaves). 65: something does not hold, or is lost.
    /// Without the right --cluster and --key-file it is not told which records are live, nor whether the
    /// checkpoint agrees with the log; all else is checked.
    Check(check::CheckArguments),
    /// Show how many keys and bytes lie in a directory, and where; changes nothing.
    Stats(stats::StatsArguments),
    /// Print every record of a directory, one JSON object a line, in partition and position order.
    Dump(dump::DumpArguments),
    /// Make a backup: of a running node on its own machine (--node), or of a directory (--data).
    ///
    /// A running node makes it of hard links, in a directory on the same file system as its own. Copy it
    /// elsewhere from there: links keep their bytes from being removed, not from a broken disk.
    Backup(backup::BackupArguments),
    /// Make a data directory of a backup; the backup stays as it is.
    ///
    /// The backup is checked first. The node that opens the directory gets a new generation: it is a new
    /// replica to the others, and nothing that it gave out after the backup is given out again.
    Restore(backup::RestoreArguments),
    /// Take what a directory lost for absent, so that it is answered as not found and no more as unknown.
    ///
    /// Shows what is lost, and changes something only with --yes. Do so where no other replica can make
    /// good for it. The node must be stopped.
    AcceptLoss(loss::LossArguments),
}

/// Runs the verb.
///
/// # Errors
/// What went wrong, or what was found, with its exit code.
pub fn run(arguments: &StoreArguments) -> Result<(), Failure> {
    match &arguments.verb {
        Verb::Check(arguments) => check::run(arguments),
        Verb::Stats(arguments) => stats::run(arguments),
        Verb::Dump(arguments) => dump::run(arguments),
        Verb::Backup(arguments) => backup::back_up(arguments),
        Verb::Restore(arguments) => backup::restore(arguments),
        Verb::AcceptLoss(arguments) => loss::run(arguments),
    }
}

/// Whose directory it is.
#[derive(clap::Args)]
struct KeyArguments {
    /// The cluster's name [default: as the directory says].
    #[arg(long, env = "QUORATE_CLUSTER", value_name = "NAME")]
    cluster: Option<String>,
    /// The cluster's secret: a file of 32 bytes and mode 0600.
    #[arg(long, env = "QUORATE_KEY_FILE", value_name = "FILE")]
    key_file: Option<PathBuf>,
}

impl KeyArguments {
    /// The keys that follow from name and secret.
    fn keys(&self, directory: &Path) -> Result<ClusterKeys, Failure> {
        let defaults = Config::new("A");
        let kept = || layout_file::names(directory).ok().flatten().map(|(cluster, _)| cluster);
        let cluster = self.cluster.clone().or_else(kept).unwrap_or(defaults.cluster);
        let secret = match &self.key_file {
            Some(path) => key_file::read("key-file", path)?,
            None => defaults.secret,
        };
        Ok(ClusterKeys::derive(&cluster, &secret))
    }

    /// Whether the operator said whose it is, so that another answer is a mistake.
    fn are_given(&self) -> bool {
        self.cluster.is_some() || self.key_file.is_some()
    }
}

/// Locks a directory that is only read, and tells what to know before believing what is said of it.
fn inspect(directory: &Path) -> Result<Inspector<FileDisk>, Failure> {
    let inspector = Inspector::new(FileDisk::read_only(directory))?;
    for warning in inspector.warnings() {
        warn(&format!("{}: {warning}", directory.display()));
    }
    Ok(inspector)
}

/// Says something beside the result.
fn warn(text: &str) {
    let _ = writeln!(std::io::stderr(), "quorate: {text}");
}

/// A number of bytes for people.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1_024.0 && unit + 1 < UNITS.len() {
        value /= 1_024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", UNITS[unit]) }
}

/// Partitions in a row are said as a range.
fn ranges_text(partitions: &[u16]) -> String {
    let mut parts: Vec<String> = Vec::new();
    let mut rest = partitions;
    while let Some(&first) = rest.first() {
        let count = rest.iter().zip(first..=u16::MAX).take_while(|(found, due)| *found == due).count();
        let last = rest[count - 1];
        parts.push(if last == first { first.to_string() } else { format!("{first}-{last}") });
        rest = &rest[count..];
    }
    parts.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_ranges_are_said_shortly() {
        let table = [(0, "0 B"), (1_023, "1023 B"), (1_536, "1.5 KiB"), (64 << 20, "64.0 MiB")];
        table.iter().for_each(|(bytes, text)| assert_eq!(bytes_text(*bytes), *text));
        assert_eq!(ranges_text(&[0, 1, 2, 5, 7, 8, 65_535]), "0-2,5,7-8,65535");
        assert_eq!(ranges_text(&[]), "");
        let all: Vec<u16> = (0..=u16::MAX).collect();
        assert_eq!(ranges_text(&all), "0-65535");
    }
}
