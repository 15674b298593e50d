//! A plan as lines for a terminal: figures first, then what is wrong with it, then zones and members as tables.
//!
//! However many there are, no more than [`MEMBER_ROWS_MAX`] members and [`ZONE_ROWS_MAX`] zones are shown; what the
//! others move in all is said below. ASCII alone, for any terminal and log.

use core::fmt;
use core::fmt::Write as _;
use core::time::Duration;

use super::{Figures, Holding, MemberPlan, Peers, Plan, ZonePlan};

/// Members shown. Of more, those that move most.
const MEMBER_ROWS_MAX: usize = 40;
/// Zones shown. Of more, the first by name.
const ZONE_ROWS_MAX: usize = 20;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_lines().iter().try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl Plan {
    /// The plan for a person at a terminal, a line each, without line breaks.
    pub fn to_lines(&self) -> Vec<String> {
        let mut lines = self.figures();
        lines.extend(self.warnings());
        if self.is_zoned() {
            lines.push(String::new());
            lines.extend(self.zone_table());
        }
        lines.push(String::new());
        lines.extend(self.member_table());
        lines
    }

    fn figures(&self) -> Vec<String> {
        let Figures { version, mode, replicas, usable_ppm, skew_ppm, peers, .. } = &self.to;
        let replicas_all = u128::from(self.partitions) * *replicas as u128;
        let of_all = percent(super::ppm(self.moves.into(), replicas_all));
        let count = |side: fn(&MemberPlan) -> &Option<Holding>| {
            self.members.iter().filter(|member| side(member).is_some()).count()
        };
        let skew_by = if self.partitions_measured > 0 { "by bytes" } else { "by partitions" };
        let mut lines = vec![
            format!(
                "layout    {} -> {version}: {} members, {} partitions in {} replicas, placement {}",
                self.from.version,
                change(count(|member| &member.before), count(|member| &member.after)),
                self.partitions,
                change(self.from.replicas, *replicas),
                change(self.from.mode.name(), mode.name()),
            ),
            format!(
                "moves     {} of {replicas_all} replicas ({of_all}); fewest for these shares: {}",
                self.moves, self.moves_min
            ),
            format!(
                "kept      at least {} of {} copies of each partition",
                self.kept_min, self.from.replicas
            ),
            format!("bytes     {}", self.bytes()),
            format!(
                "capacity  {} usable of what machines of these weights could hold",
                change(ratio(self.from.usable_ppm), ratio(*usable_ppm))
            ),
            format!(
                "skew      {} times the mean on the fullest machine for its weight, {skew_by}",
                change(ratio(self.from.skew_ppm), ratio(*skew_ppm))
            ),
            format!(
                "peers     {} machines share data with one (min/mean/max)",
                change(peers_text(self.from.peers), peers_text(*peers))
            ),
        ];
        if let (Some(pace), Some(duration)) = (self.pace, self.duration_min) {
            let (time, pace) = (duration_text(duration), bytes_text(pace.get()));
            lines.insert(4, format!("time      at least {time}, if a machine moves {pace} a second"));
        }
        lines
    }

    fn bytes(&self) -> String {
        let moved = bytes_text(self.bytes_moved);
        match self.partitions - self.partitions_measured {
            0 => format!("{moved} to copy"),
            all if all == self.partitions => "not known".to_owned(),
            some => format!(
                "about {moved} to copy: {some} of {} partitions are taken for the mean of the others",
                self.partitions
            ),
        }
    }

    /// What speaks against the plan.
    fn warnings(&self) -> Vec<String> {
        let Figures { replicas, replicas_asked, replicas_least, .. } = self.to;
        let mut lines = Vec::new();
        let mut warn = |text: String| lines.push(format!("WARNING   {text}"));
        if self.orphans > 0 {
            warn(format!("no copy of today stays of {} partitions", self.orphans));
        }
        if self.to.is_degraded() {
            warn(format!("degraded: {replicas} replicas where N is {replicas_asked}, for want of machines"));
        }
        if let Some(most) = self.to.max_per_zone {
            for zone in self.zones.iter().filter(|zone| zone.crowded > 0).take(ZONE_ROWS_MAX) {
                let (count, name) = (zone.crowded, zone_name(&zone.zone));
                warn(format!("{count} partitions have more than {most} replicas in zone {name}"));
            }
        }
        if replicas_least < replicas {
            lines.push(format!(
                "note      keyspaces of {replicas_least} replicas use the beginning of each list; \
                 counted are lists of {replicas}"
            ));
        }
        lines
    }

    /// Whether zones were told at all.
    fn is_zoned(&self) -> bool {
        self.zones.iter().any(|zone| !zone.zone.is_empty())
    }

    fn zone_table(&self) -> Vec<String> {
        let rule = |zone: &ZonePlan| match (self.to.max_per_zone, zone.crowded) {
            (None, _) => "no rule".to_owned(),
            (Some(most), 0) => format!("at most {most} of a partition: holds"),
            (Some(most), crowded) => format!("at most {most} of a partition: BROKEN by {crowded}"),
        };
        let mut table = Table::new(&["zone", ">machines", ">replicas", ">share", "rule"]);
        for zone in self.zones.iter().take(ZONE_ROWS_MAX) {
            table.row([
                zone_name(&zone.zone).to_owned(),
                zone.machines.to_string(),
                change(zone.replicas_before, zone.replicas_after),
                percent(zone.share_ppm),
                rule(zone),
            ]);
        }
        let mut lines = table.lines();
        lines.extend(and_more(self.zones.len(), ZONE_ROWS_MAX, ""));
        lines
    }

    fn member_table(&self) -> Vec<String> {
        let mut shown: Vec<&MemberPlan> = self.members.iter().collect();
        let mut hidden = Vec::new();
        if shown.len() > MEMBER_ROWS_MAX {
            // Stable, so of those that move alike the first by name stay.
            shown.sort_by_key(|member| core::cmp::Reverse(member.receives + member.gives_up));
            hidden = shown.split_off(MEMBER_ROWS_MAX);
            shown.sort_by(|one, other| one.name.cmp(&other.name));
        }
        let zoned = self.is_zoned();
        let zone: &[&str] = if zoned { &["zone"] } else { &[] };
        let numbers = [">weight", ">partitions", ">receives", ">gives up", ">bytes in", ">share", ""];
        let mut table = Table::new(&[&["member"], zone, &numbers].concat());
        for member in shown {
            let holding = member.after.as_ref().or(member.before.as_ref());
            let partitions = |side: &Option<Holding>| side.as_ref().map_or(0, |holding| holding.partitions);
            let zone = holding.map(|holding| zone_name(&holding.zone).to_owned()).filter(|_| zoned);
            let bytes_in = Some(bytes_text(member.bytes_received)).filter(|_| self.partitions_measured > 0);
            let none = || "-".to_owned();
            let after = member.after.as_ref();
            let numbers = [
                after.map_or_else(none, |holding| holding.weight.to_string()),
                change(partitions(&member.before), partitions(&member.after)),
                member.receives.to_string(),
                member.gives_up.to_string(),
                bytes_in.unwrap_or_else(none),
                after.map_or_else(none, |holding| percent(holding.share_ppm)),
                what_changes(member),
            ];
            table.row(core::iter::once(member.name.clone()).chain(zone).chain(numbers));
        }
        let sum = |part: fn(&MemberPlan) -> u32| hidden.iter().map(|member| part(member)).sum::<u32>();
        let (receive, give) = (sum(|member| member.receives), sum(|member| member.gives_up));
        let more = format!(", which receive {receive} replicas and give up {give}");
        let mut lines = table.lines();
        lines.extend(and_more(self.members.len(), MEMBER_ROWS_MAX, &more));
        lines
    }
}

/// What is told of a member beside numbers.
fn what_changes(member: &MemberPlan) -> String {
    let (Some(before), Some(after)) = (&member.before, &member.after) else {
        return if member.before.is_none() { "joins" } else { "leaves" }.to_owned();
    };
    let mut parts = Vec::new();
    if before.weight != after.weight {
        let drains = if after.weight == 0 { ", drains" } else { "" };
        parts.push(format!("weight {} -> {}{drains}", before.weight, after.weight));
    }
    if before.zone != after.zone {
        parts.push(format!("zone {} -> {}", zone_name(&before.zone), zone_name(&after.zone)));
    }
    parts.join(", ")
}

fn and_more(count: usize, shown: usize, what: &str) -> Option<String> {
    (count > shown).then(|| format!("... and {} more{what}", count - shown))
}

/// Both values, or the one if they are equal.
fn change<T: PartialEq + fmt::Display>(before: T, after: T) -> String {
    if before == after { after.to_string() } else { format!("{before} -> {after}") }
}

fn zone_name(zone: &str) -> &str {
    if zone.is_empty() { "(none)" } else { zone }
}

fn peers_text(peers: Peers) -> String {
    let tenths = (peers.mean_thousandths + 50) / 100;
    format!("{}/{}.{}/{}", peers.min, tenths / 10, tenths % 10, peers.max)
}

/// `0.985` of 985,000.
fn ratio(ppm: u32) -> String {
    let thousandths = (u64::from(ppm) + 500) / 1_000;
    format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000)
}

/// `98.5 %` of 985,000.
fn percent(ppm: u32) -> String {
    let tenths = (u64::from(ppm) + 500) / 1_000;
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// `1.5 GiB`, cut, not rounded, so that no unit shows 1024.0 of itself.
fn bytes_text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    let thousands = bytes.checked_ilog2().unwrap_or(0) / 10;
    let Some(unit) = thousands.checked_sub(1) else {
        return format!("{bytes} B");
    };
    let tenths = (u128::from(bytes) * 10) >> (10 * thousands);
    format!("{}.{} {}", tenths / 10, tenths % 10, UNITS[unit as usize])
}

/// The two largest units of a time: `3 h 20 min`.
fn duration_text(duration: Duration) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    let seconds = duration.as_secs();
    let first = UNITS.iter().position(|unit| seconds >= unit.0).unwrap_or(UNITS.len() - 1);
    let (length, name) = UNITS[first];
    let mut text = format!("{} {name}", seconds / length);
    if let Some((next, name)) = UNITS.get(first + 1)
        && seconds % length >= *next
    {
        write!(text, " {} {name}", seconds % length / next).expect("a string takes every write");
    }
    text
}

/// Cells in columns as wide as the widest cell.
struct Table {
    /// Whether each column stands to the right, as numbers do.
    right: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a first line. A heading that begins with `>` makes a column of numbers.
    fn new(headings: &[&str]) -> Table {
        let right = headings.iter().map(|heading| heading.starts_with('>')).collect();
        let heading = headings.iter().map(|heading| heading.trim_start_matches('>').to_owned());
        Table { right, rows: vec![heading.collect()] }
    }

    fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn lines(&self) -> Vec<String> {
        let widest = |column: usize| self.rows.iter().map(|row| row[column].len()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..self.right.len()).map(widest).collect();
        let line = |row: &Vec<String>| {
            let mut line = String::new();
            for ((cell, &width), &right) in row.iter().zip(&widths).zip(&self.right) {
                let written =
                    if right { write!(line, "{cell:>width$}  ") } else { write!(line, "{cell:<width$}  ") };
                written.expect("a string takes every write");
            }
            line.truncate(line.trim_end().len());
            line
        };
        self.rows.iter().map(line).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_cut_to_what_one_reads() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            ((1 << 20) - 1, "1023.9 KiB"),
            (3 << 19, "1.5 MiB"),
            (u64::MAX, "15.9 EiB"),
        ] {
            assert_eq!(bytes_text(bytes), text);
        }
        for (seconds, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3_599, "59 min 59 s"),
            (7_230, "2 h"),
            (90_000, "1 d 1 h"),
        ] {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
        }
    }
}
