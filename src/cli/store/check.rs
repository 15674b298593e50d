//! `quorate store check`: a report for people or as JSON, and an exit code for scripts.

use std::path::PathBuf;

use serde_json::{Value as Json, json};

use quorate::driver::layout_file;
use quorate::store::inspect::{Checkpoint, Damage, Manifest, Report, SegmentReport, Stop};

use super::{KeyArguments, bytes_text, inspect, ranges_text, warn};
use crate::cli::client::print_line;
use crate::cli::exit::{DAMAGED, Failure};
use crate::cli::progress::Reading;

/// `quorate store check`.
#[derive(clap::Args)]
pub struct CheckArguments {
    /// The data directory.
    directory: PathBuf,
    #[command(flatten)]
    key: KeyArguments,
    /// Print one JSON object.
    #[arg(long)]
    json: bool,
}

/// Checks a directory.
///
/// # Errors
/// It is damaged, or cannot be checked.
pub fn run(arguments: &CheckArguments) -> Result<(), Failure> {
    let directory = &arguments.directory;
    let inspector = inspect(directory)?;
    let hash_key = arguments.key.keys(directory)?.hash;
    let is_key = inspector.is_key(&hash_key);
    if !is_key && !arguments.key.are_given() {
        warn("without the cluster's --cluster and --key-file it is not told which records are live");
    }
    let wanted = is_key || arguments.key.are_given();
    let mut reading = Reading::new(None);
    let report = inspector.check(wanted.then_some(&hash_key), &mut |progress| reading.tell(progress))?;
    let layout = layout_file::names(directory).map_err(|error| error.to_string());
    let is_sound = report.is_sound() && layout.is_ok();
    if arguments.json {
        print_line(json_of(&report, &layout, is_sound).to_string().as_bytes())?;
    } else {
        print(&report, &layout)?;
    }
    if is_sound {
        return Ok(());
    }
    Err(Failure::new(DAMAGED, format!("{}: {}", directory.display(), summary(&report, &layout))))
}

/// What the file of the cluster's layout says: names of cluster and member.
type Layout = Result<Option<(String, String)>, String>;

/// Why a directory is not sound, in one line.
pub fn summary(report: &Report, layout: &Layout) -> String {
    let mut parts = Vec::new();
    let damaged = report.damage.iter().filter(|damage| !damage.is_accepted).count();
    if damaged > 0 {
        parts.push(format!("{damaged} damaged ranges"));
    }
    if let Some((_, partitions)) = &report.incomplete {
        parts.push(format!("{} of {} partitions incomplete", partitions.len(), report.partitions));
    }
    match &report.checkpoint {
        Checkpoint::Void(why) => parts.push(format!("the checkpoint is void: {why}")),
        Checkpoint::Differs { .. } => parts.push("the checkpoint does not agree with the log".to_owned()),
        _ => {}
    }
    parts.extend(report.flawed.iter().map(|name| format!("the file `{name}` does not hold")));
    if let Err(problem) = layout {
        parts.push(problem.clone());
    }
    parts.join("; ")
}

fn print(report: &Report, layout: &Layout) -> Result<(), Failure> {
    let line = |name: &str, text: String| print_line(format!("{name:<12} {text}").as_bytes());
    line("format", format!("version {}, {} partitions", report.version, report.partitions))?;
    line("directory", format!("{:016x}", report.directory))?;
    match layout {
        Ok(Some((cluster, member))) => line("belongs to", format!("member {member} of cluster {cluster}"))?,
        Ok(None) => line("belongs to", "nobody yet".to_owned())?,
        Err(problem) => line("belongs to", problem.clone())?,
    }
    match report.identity {
        Some((generation, opens)) => {
            line("identity", format!("generation {generation:016x}, opened {opens} times"))?;
        }
        None => line("identity", "none: the next opening gives it a new generation".to_owned())?,
    }
    line("last stop", stop_text(report.stop).to_owned())?;
    line("manifest", manifest_text(&report.manifest))?;
    line("checkpoint", checkpoint_text(&report.checkpoint))?;
    if let Some(keys) = report.keys {
        line("keys", format!("{keys}, tombstones included"))?;
    }
    print_line(b"\nsegment           kind             size        end     puts  removals    other       live       dead  seal")?;
    for segment in &report.segments {
        print_line(segment_line(segment).as_bytes())?;
    }
    print_line(b"")?;
    match &report.torn {
        Some(torn) => line(
            "torn tail",
            format!(
                "segment {:016x}, {} bytes from {} on; marks promise up to {}; the next opening cuts it",
                torn.number, torn.bytes, torn.from, torn.promised
            ),
        )?,
        None => line("torn tail", "none".to_owned())?,
    }
    if report.damage.is_empty() {
        line("damage", "none".to_owned())?;
    }
    for damage in &report.damage {
        line("damage", damage_text(damage))?;
    }
    match &report.incomplete {
        None => line("incomplete", "none".to_owned())?,
        Some((until, partitions)) => line(
            "incomplete",
            format!(
                "{} partitions ({}): keys not found may be lost, up to sequence {}",
                partitions.len(),
                ranges_text(partitions),
                until.0
            ),
        )?,
    }
    report.flawed.iter().try_for_each(|name| line("damage", format!("the file {name} does not hold")))?;
    report.leftovers.iter().try_for_each(|name| line("leftover", name.clone()))?;
    report.strange.iter().try_for_each(|name| line("not ours", name.clone()))
}

const fn stop_text(stop: Stop) -> &'static str {
    match stop {
        Stop::Clean => "clean",
        Stop::Unclean => "not clean",
        Stop::Doubtful => "not clean: there are records behind the marker of a clean stop",
    }
}

fn manifest_text(manifest: &Manifest) -> String {
    match manifest {
        Manifest::None => "none: every segment belongs to the log".to_owned(),
        Manifest::Holds { through, named } => format!("names {named} segments up to {through:016x}"),
    }
}

fn checkpoint_text(checkpoint: &Checkpoint) -> String {
    match checkpoint {
        Checkpoint::None => "none: an opening reads the whole log".to_owned(),
        Checkpoint::Void(why) => format!("void, {why}: an opening reads the whole log"),
        Checkpoint::Unchecked => "holds, not compared with the log".to_owned(),
        Checkpoint::Remembers(lost) => {
            format!("holds, and knows {lost} records that are damaged: no other key is lost")
        }
        Checkpoint::Agrees => "holds, and gives the same index as the whole log".to_owned(),
        Checkpoint::Differs { only_checkpoint, only_log, sums } => format!(
            "gives another index than the whole log: {only_checkpoint} records are in it alone, {only_log} in \
             the log alone; sums {}",
            if *sums { "differ" } else { "are equal" }
        ),
    }
}

fn segment_line(segment: &SegmentReport) -> String {
    let records = &segment.records;
    let or_dash = |bytes: Option<u64>| bytes.map_or("-".to_owned(), bytes_text);
    format!(
        "{:016x}  {:<9} {:>11} {:>10} {:>8} {:>9} {:>8} {:>10} {:>10}  {}",
        segment.number,
        segment.kind.name(),
        bytes_text(segment.size),
        segment.end,
        records.puts,
        records.removals,
        records.marks + records.drops + records.chunks + records.seals,
        or_dash(segment.live),
        or_dash(segment.dead()),
        if segment.is_sealed { "yes" } else { "no" },
    )
}

/// One damaged range.
pub fn damage_text(damage: &Damage) -> String {
    let to = damage.to.map_or("its end".to_owned(), |to| to.to_string());
    let state = match (damage.is_accepted, damage.is_known) {
        (true, _) => " (accepted)",
        (false, true) => "",
        (false, false) => " (not known before)",
    };
    format!("segment {:016x}, bytes {} to {to}: {}{state}", damage.number, damage.from, damage.why)
}

fn json_of(report: &Report, layout: &Layout, is_sound: bool) -> Json {
    let segment = |segment: &SegmentReport| {
        let records = &segment.records;
        json!({
            "number": format!("{:016x}", segment.number),
            "kind": segment.kind.name(),
            "size": segment.size,
            "end": segment.end,
            "records": {
                "puts": records.puts, "removals": records.removals, "marks": records.marks,
                "drops": records.drops, "chunks": records.chunks, "seals": records.seals,
                "bytes": records.bytes,
            },
            "live_bytes": segment.live,
            "dead_bytes": segment.dead(),
            "sealed": segment.is_sealed,
            "first_sequence": segment.sequences.map(|sequences| sequences.0),
            "last_sequence": segment.sequences.map(|sequences| sequences.1),
        })
    };
    let (checkpoint, reason) = match &report.checkpoint {
        Checkpoint::None => ("none", Json::Null),
        Checkpoint::Void(why) => ("void", json!(why)),
        Checkpoint::Unchecked => ("unchecked", Json::Null),
        Checkpoint::Remembers(lost) => ("remembers", json!(lost)),
        Checkpoint::Agrees => ("agrees", Json::Null),
        Checkpoint::Differs { .. } => ("differs", json!(checkpoint_text(&report.checkpoint))),
    };
    let names = layout.as_ref().ok().and_then(Option::as_ref);
    json!({
        "sound": is_sound,
        "format": report.version,
        "partitions": report.partitions,
        "directory": format!("{:016x}", report.directory),
        "cluster": names.map(|names| &names.0),
        "member": names.map(|names| &names.1),
        "layout_damaged": layout.is_err(),
        "generation": report.identity.map(|identity| format!("{:016x}", identity.0)),
        "opens": report.identity.map(|identity| identity.1),
        "clean": report.stop == Stop::Clean,
        "keys": report.keys,
        "segments": report.segments.iter().map(segment).collect::<Vec<_>>(),
        "torn_tail": report.torn.map(|torn| json!({
            "segment": format!("{:016x}", torn.number),
            "from": torn.from,
            "bytes": torn.bytes,
            "promised": torn.promised,
        })),
        "damage": report.damage.iter().map(damage_json).collect::<Vec<_>>(),
        "checkpoint": { "state": checkpoint, "reason": reason },
        "manifest": match report.manifest {
            Manifest::None => Json::Null,
            Manifest::Holds { through, named } => {
                json!({ "through": format!("{through:016x}"), "named": named })
            }
        },
        "incomplete_partitions": report.incomplete.as_ref().map_or(&[][..], |lost| &lost.1),
        "incomplete_until": report.incomplete.as_ref().map(|lost| lost.0.0),
        "flawed_files": report.flawed,
        "leftovers": report.leftovers,
        "not_ours": report.strange,
    })
}

/// One damaged range as an object.
pub fn damage_json(damage: &Damage) -> Json {
    json!({
        "segment": format!("{:016x}", damage.number),
        "from": damage.from,
        "to": damage.to,
        "reason": damage.why,
        "known": damage.is_known,
        "accepted": damage.is_accepted,
    })
}
