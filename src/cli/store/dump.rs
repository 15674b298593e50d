//! `quorate store dump`: every record as a JSON object on a line of its own.
//!
//! In the order of partitions, and of positions within one, which is the same on every replica: two dumps
//! can be compared line by line, their contexts aside. The context of a record is a token like the one that
//! a read gives, good for a write through a node of the cluster.

use core::ops::ControlFlow;
use std::ffi::OsString;
use std::io::{BufWriter, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use serde_json::{Map, Value as Json};

use quorate::proto::keys::ClusterKeys;
use quorate::proto::store::{KeyRef, Record, Store};
use quorate::proto::version::{Context, Object, Sibling, Value};
use quorate::resp::text::{context_text, dot_text};

use super::{KeyArguments, inspect};
use crate::cli::answer::insert_bytes;
use crate::cli::exit::{DAMAGED, Failure, INPUT_OUTPUT};
use crate::cli::progress::Reading;

/// `quorate store dump`.
#[derive(clap::Args)]
pub struct DumpArguments {
    /// The data directory.
    directory: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// Print JSON, one object a line: the one form there is.
    #[arg(long)]
    json: bool,
    /// Only this keyspace.
    #[arg(long, value_name = "NUMBER")]
    keyspace: Option<u16>,
    /// Only keys that begin with this.
    #[arg(long, value_name = "BYTES", default_value = "")]
    prefix: OsString,
}

/// Prints the records of a directory.
///
/// # Errors
/// It cannot be read, or nobody reads what is printed, or some records do not hold.
pub fn run(arguments: &DumpArguments) -> Result<(), Failure> {
    let inspector = inspect(&arguments.directory)?;
    let keys = arguments.key.keys(&arguments.directory)?;
    let partitions = inspector.partitions();
    let mut reading = Reading::new(None);
    let store = inspector.open(&keys.hash, &mut |progress| reading.tell(progress))?;
    let mut out = BufWriter::new(std::io::stdout().lock());
    let (mut seen, mut undecoded) = (0, 0);
    let mut printed = Ok(());
    for partition in (0..=u16::MAX).take(partitions as usize) {
        store.scan(partition, 0, &mut |key, record| {
            seen += 1;
            let is_wanted = arguments.keyspace.is_none_or(|keyspace| keyspace == key.keyspace)
                && key.key.starts_with(arguments.prefix.as_bytes());
            if !is_wanted {
                return ControlFlow::Continue(());
            }
            match line(&keys, key, record) {
                Some(object) => printed = writeln!(out, "{object}"),
                None => undecoded += 1,
            }
            if printed.is_err() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        if printed.is_err() {
            break;
        }
    }
    printed
        .and_then(|()| out.flush())
        .map_err(|error| Failure::new(INPUT_OUTPUT, format!("writing to stdout: {error}")))?;
    let lost = store.len().saturating_sub(seen) + undecoded;
    let incomplete = store.status().incomplete;
    if lost > 0 || incomplete > 0 {
        let message = format!(
            "{}: {lost} records do not hold and were left out; {incomplete} partitions are incomplete",
            arguments.directory.display()
        );
        return Err(Failure::new(DAMAGED, message));
    }
    Ok(())
}

/// A record as an object; `None` if what it holds is none of ours.
fn line(keys: &ClusterKeys, key: &KeyRef<'_>, record: &Record<'_>) -> Option<Json> {
    let object = Object::decode(&record.object).ok()?;
    let mut line = Map::new();
    line.insert("keyspace".into(), key.keyspace.into());
    insert_bytes(&mut line, "key", key.key);
    line.insert("partition".into(), key.partition.into());
    let token = Context::of(&object).token(&keys.token, key.keyspace, key.key, false);
    line.insert("context".into(), context_text(&token).into());
    line.insert("siblings".into(), object.siblings().iter().map(sibling).collect());
    Some(Json::Object(line))
}

fn sibling(sibling: &Sibling<'_>) -> Json {
    let mut shown = Map::new();
    match &sibling.value {
        _ if sibling.tombstone => drop(shown.insert("deleted".into(), true.into())),
        Value::Whole(bytes) => insert_bytes(&mut shown, "value", bytes),
        Value::Shed(_) => drop(shown.insert("expired".into(), true.into())),
    }
    shown.insert("dot".into(), dot_text(&sibling.dot).into());
    shown.insert("hlc".into(), sibling.hlc.0.into());
    if let Some(expires_ms) = sibling.expires_ms {
        shown.insert("expires_ms".into(), expires_ms.into());
    }
    Json::Object(shown)
}
